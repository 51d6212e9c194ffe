/* SPDX-License-Identifier: Apache-2.0 */
/* The transport within a process, on the simulated loop, against a small server that publishes numbered events. */
#include "cafe/transport/inproc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cafe/sys/loop.h"
#include "cafe/sys/transport.h"
#include "cafe/testing/sim.h"
#include "failing_alloc.h"

enum { EVENTS_MAX = 2000, LOG_ID = 77 };

static cafe_loop *loop;
static cafe_inproc *hub;

static void open_hub(uint64_t seed) {
  assert_int_equal(cafe_sim_create(&loop, seed, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_inproc_create(&hub, loop, NULL, NULL), CAFE_OK);
}

static void close_hub(void) {
  cafe_inproc_destroy(hub);
  cafe_loop_destroy(loop);
}

static int setup(void **state) {
  open_hub(1);
  return 0;
}

static int teardown(void **state) {
  close_hub();
  return 0;
}

static void run_ms(int64_t ms) { cafe_sim_run(loop, cafe_sim_now_us(loop) + ms * 1000); }

/* ---- a node that publishes events 1 to head, and answers requests by their own body ---- */

typedef struct node {
  cafe_server server;
  cafe_transport *transport;
  const char *services[2];
  uint64_t head;
  cafe_pull *waiting;
  cafe_incoming *unanswered;
  int served;
  int pulled;
  int forgotten;
  int refuse; /* a code for every pull */
  bool is_silent;
  char last_body[64];
} node;

static bool is_wanted(const char *const *types, const char *type) {
  for (; *types; types++) {
    if (strcmp(*types, type) == 0) {
      return true;
    }
  }
  return false;
}

static void publish(node *self) {
  cafe_pull *pull, *next;
  for (pull = self->waiting, self->waiting = NULL; pull; pull = next) {
    next = pull->next;
    if (self->head <= pull->after) {
      pull->next = self->waiting;
      self->waiting = pull;
      continue;
    }
    static cafe_stored_event events[EVENTS_MAX];
    static char data[EVENTS_MAX][16];
    uint32_t count = 0;
    uint64_t n = pull->after;
    while (n < self->head && count < pull->limit) {
      n++;
      const char *type = n % 3 ? "Ordered" : "OrderAccepted";
      if (is_wanted(pull->types, type)) {
        int size = snprintf(data[count], sizeof(data[count]), "event %u", (unsigned)n);
        events[count] = (cafe_stored_event){.aggregate = "order",
                                            .type = type,
                                            .key = n,
                                            .version = 1,
                                            .time_ms = 5,
                                            .data = {data[count], (size_t)size},
                                            .n = n,
                                            .meta = {data[count], 5}};
        count++;
      }
    }
    pull->answer(pull, NULL, LOG_ID, events, count, n, self->head);
    memset(data, 'x', sizeof(data)); /* what was sent was copied */
  }
}

static void node_serve(cafe_server *server, cafe_incoming *incoming) {
  node *self = (node *)server;
  self->served++;
  snprintf(self->last_body, sizeof(self->last_body), "%.*s", (int)incoming->body.size,
           incoming->body.data ? incoming->body.data : "");
  if (self->is_silent) {
    self->unanswered = incoming;
  } else if (strcmp(self->last_body, "fail") == 0) {
    cafe_err err;
    (void)cafe_fail(&err, CAFE_OVERLOADED, "too much");
    incoming->answer(incoming, &err, (cafe_slice){NULL, 0});
  } else {
    incoming->answer(incoming, NULL, incoming->body);
  }
}

static void node_pull(cafe_server *server, cafe_pull *pull) {
  node *self = (node *)server;
  self->pulled++;
  if (self->refuse) {
    cafe_err err;
    (void)cafe_fail(&err, (cafe_code)self->refuse, "not this place");
    pull->answer(pull, &err, LOG_ID, NULL, 0, 0, 0);
    return;
  }
  pull->next = self->waiting;
  self->waiting = pull;
  publish(self);
}

static void node_forget_incoming(cafe_server *server, cafe_incoming *incoming) {
  node *self = (node *)server;
  assert_ptr_equal(self->unanswered, incoming);
  self->unanswered = NULL;
  self->forgotten++;
}

static void node_forget_pull(cafe_server *server, cafe_pull *pull) {
  node *self = (node *)server;
  cafe_pull **at = &self->waiting;
  while (*at && *at != pull) {
    at = &(*at)->next;
  }
  assert_ptr_equal(*at, pull);
  *at = pull->next;
  self->forgotten++;
}

static const cafe_server_ops node_ops = {sizeof(node_ops), node_serve, node_pull, node_forget_incoming,
                                         node_forget_pull};

static int node_open(node *self) {
  self->waiting = NULL;
  self->unanswered = NULL;
  return self->transport->ops->open(self->transport, loop, self->services, &self->server, NULL);
}

static int node_try_join(node *self, const char *service) {
  memset(self, 0, sizeof(*self));
  self->server.ops = &node_ops;
  self->services[0] = service;
  int code = cafe_inproc_join(&self->transport, hub, NULL);
  return code == CAFE_OK ? node_open(self) : code;
}

static void node_join(node *self, const char *service) { assert_int_equal(node_try_join(self, service), CAFE_OK); }

static void node_leave(node *self) { cafe_transport_destroy(self->transport); }

static void append(node *self, uint64_t count) {
  self->head += count;
  publish(self);
}

/* ---- a request ---- */

typedef struct question {
  cafe_request request;
  int answers;
  int code;
  char answer[64];
} question;

static void on_answer(cafe_request *request, const cafe_err *err, cafe_slice answer) {
  question *self = request->user;
  self->answers++;
  self->code = err ? err->code : CAFE_OK;
  snprintf(self->answer, sizeof(self->answer), "%.*s", (int)answer.size, answer.data ? answer.data : "");
}

static int try_ask(question *self, node *from, const char *service, const char *body, int64_t timeout_ms) {
  memset(self, 0, sizeof(*self));
  self->request.service = service;
  self->request.body = cafe_text(body);
  self->request.budget.deadline_us = cafe_sim_now_us(loop) + timeout_ms * 1000;
  self->request.done = on_answer;
  self->request.user = self;
  return from->transport->ops->request(from->transport, &self->request, NULL);
}

static void ask(question *self, node *from, const char *service, const char *body, int64_t timeout_ms) {
  assert_int_equal(try_ask(self, from, service, body, timeout_ms), CAFE_OK);
  assert_int_equal(self->answers, 0);
}

/* ---- a subscriber, which commits each batch some time later ---- */

static const char *const all_types[] = {"Ordered", "OrderAccepted", NULL};
static const char *const accepted_only[] = {"OrderAccepted", NULL};

typedef struct reader {
  cafe_link link;
  node *node;
  cafe_timer commit;
  uint64_t committing;
  int64_t commit_us;
  int batches;
  int repeats; /* batches that brought nothing new */
  int lost;
  int lost_code;
  uint64_t events;
  bool leave_in_callback;
} reader;

static void unsubscribe(reader *self) {
  loop->ops->timer_stop(loop, &self->commit);
  self->node->transport->ops->unsubscribe(self->node->transport, &self->link);
}

static void on_committed(cafe_timer *timer) {
  reader *self = timer->user;
  self->link.after = self->committing;
  self->node->transport->ops->more(self->node->transport, &self->link);
}

static void on_events(cafe_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                      uint64_t head) {
  reader *self = link->user;
  uint64_t seen = self->committing;
  self->batches++;
  assert_true(scanned >= seen); /* batches never go back */
  assert_true(scanned <= head);
  assert_int_equal(link->log_id, LOG_ID);
  self->repeats += scanned == seen;
  uint64_t before = 0;
  for (uint32_t i = 0; i < count; i++) {
    char expected[16];
    assert_true(events[i].n > before && events[i].n <= scanned);
    before = events[i].n;
    assert_true(is_wanted(link->types, events[i].type));
    assert_string_equal(events[i].aggregate, "order");
    snprintf(expected, sizeof(expected), "event %u", (unsigned)events[i].n);
    assert_int_equal(events[i].data.size, strlen(expected));
    assert_memory_equal(events[i].data.data, expected, strlen(expected));
    assert_true(cafe_slice_equal(events[i].meta, cafe_text("event")));
    if (events[i].n > seen) {
      self->events++;
    }
  }
  self->committing = scanned;
  if (self->leave_in_callback) {
    unsubscribe(self);
  } else {
    int64_t due_us = cafe_sim_now_us(loop) + self->commit_us;
    if (loop->ops->timer_start(loop, &self->commit, due_us, NULL) != CAFE_OK) { /* one refusal is all there ever is */
      assert_int_equal(loop->ops->timer_start(loop, &self->commit, due_us, NULL), CAFE_OK);
    }
  }
}

static void on_lost(cafe_link *link, const cafe_err *err) {
  reader *self = link->user;
  self->lost++;
  self->lost_code = err->code;
  assert_true(err->text[0] != '\0');
  if (self->leave_in_callback) {
    unsubscribe(self);
  }
}

static int try_subscribe(reader *self, node *at, const char *service, const char *const *types) {
  memset(self, 0, sizeof(*self));
  self->node = at;
  self->link.service = service;
  self->link.name = "test";
  self->link.types = types;
  self->link.on_events = on_events;
  self->link.on_lost = on_lost;
  self->link.user = self;
  self->commit.fire = on_committed;
  self->commit.user = self;
  self->commit_us = 300;
  return at->transport->ops->subscribe(at->transport, &self->link, NULL);
}

static void subscribe(reader *self, node *at, const char *service, const char *const *types) {
  assert_int_equal(try_subscribe(self, at, service, types), CAFE_OK);
  assert_int_equal(self->batches + self->lost, 0);
}

/* ---- requests ---- */

static void a_request_is_answered_after_the_call(void **state) {
  node app, pay;
  question q;
  char body[] = "hello";
  node_join(&app, "app");
  node_join(&pay, "pay");
  ask(&q, &app, "pay", body, 1000);
  memset(body, 'x', 5);
  cafe_sim_run(loop, -1);
  assert_int_equal(q.answers, 1);
  assert_int_equal(q.code, CAFE_OK);
  assert_string_equal(q.answer, "hello");

  ask(&q, &app, "pay", "", 1000);
  cafe_sim_run(loop, -1);
  assert_string_equal(q.answer, "");
  assert_int_equal(q.answers, 1);
  assert_int_equal(pay.served, 2);

  ask(&q, &app, "pay", "fail", 1000);
  cafe_sim_run(loop, -1);
  assert_int_equal(q.code, CAFE_OVERLOADED);
  app.transport->ops->cancel(app.transport, &q.request); /* too late, harmless */
  node_leave(&app);
  node_leave(&pay);
}

static void a_service_that_is_not_there_is_unavailable(void **state) {
  node app;
  question q;
  node_join(&app, "app");
  ask(&q, &app, "pay", "hello", 1000);
  cafe_sim_run(loop, -1);
  assert_int_equal(q.answers, 1);
  assert_int_equal(q.code, CAFE_UNAVAILABLE);
  node_leave(&app);
}

static void the_deadline_ends_a_request_and_a_late_answer_changes_nothing(void **state) {
  node app, pay;
  question q;
  node_join(&app, "app");
  node_join(&pay, "pay");
  pay.is_silent = true;
  ask(&q, &app, "pay", "hello", 50);
  run_ms(49);
  assert_int_equal(q.answers, 0);
  assert_int_equal(pay.served, 1);
  assert_int_equal(pay.unanswered->budget.deadline_us, q.request.budget.deadline_us);
  run_ms(2);
  assert_int_equal(q.answers, 1);
  assert_int_equal(q.code, CAFE_TIMEOUT);
  pay.unanswered->answer(pay.unanswered, NULL, cafe_text("late"));
  cafe_sim_run(loop, -1);
  assert_int_equal(q.answers, 1);

  ask(&q, &app, "pay", "hello", -5);
  cafe_sim_run(loop, -1);
  assert_int_equal(q.answers, 1);
  assert_int_equal(q.code, CAFE_TIMEOUT);
  node_leave(&app);
  node_leave(&pay);
}

static void a_canceled_request_is_forgotten_on_both_sides(void **state) {
  node app, pay;
  question *q = malloc(sizeof(*q));
  node_join(&app, "app");
  node_join(&pay, "pay");
  pay.is_silent = true;
  ask(q, &app, "pay", "hello", 1000);
  run_ms(1);
  assert_non_null(pay.unanswered);
  app.transport->ops->cancel(app.transport, &q->request);
  free(q);
  cafe_sim_run(loop, -1);
  assert_null(pay.unanswered);
  assert_int_equal(pay.forgotten, 1);
  node_leave(&app);
  node_leave(&pay);
}

static void a_duplicated_request_is_served_twice_and_answered_once(void **state) {
  const cafe_inproc_faults faults = {sizeof(faults), 0, 1, 0, 2000};
  node app, pay;
  question q;
  node_join(&app, "app");
  node_join(&pay, "pay");
  cafe_inproc_set_faults(hub, &faults);
  ask(&q, &app, "pay", "hello", 1000);
  cafe_sim_run(loop, -1);
  assert_int_equal(pay.served, 2);
  assert_int_equal(q.answers, 1);
  assert_int_equal(q.code, CAFE_OK);
  node_leave(&app);
  node_leave(&pay);
}

static void a_dropped_request_or_answer_ends_at_the_deadline(void **state) {
  const cafe_inproc_faults faults = {sizeof(faults), 0.5, 0, 0, 0};
  int lost_requests = 0, lost_answers = 0, answered = 0;
  node app, pay;
  node_join(&app, "app");
  node_join(&pay, "pay");
  cafe_inproc_set_faults(hub, &faults);
  for (int i = 0; i < 100; i++) {
    question q;
    int served = pay.served;
    ask(&q, &app, "pay", "hello", 10);
    cafe_sim_run(loop, -1);
    assert_int_equal(q.answers, 1);
    assert_true(q.code == CAFE_OK || q.code == CAFE_TIMEOUT);
    lost_requests += pay.served == served;
    lost_answers += pay.served > served && q.code == CAFE_TIMEOUT;
    answered += q.code == CAFE_OK;
  }
  assert_true(lost_requests > 20 && lost_answers > 10 && answered > 10);
  node_leave(&app);
  node_leave(&pay);
}

static void messages_take_as_long_as_told(void **state) {
  const cafe_inproc_faults faults = {sizeof(faults), 0, 0, 1000, 3000};
  node app, pay;
  question q;
  node_join(&app, "app");
  node_join(&pay, "pay");
  cafe_inproc_set_faults(hub, &faults);
  int64_t before_us = cafe_sim_now_us(loop);
  ask(&q, &app, "pay", "hello", 1000);
  while (q.answers == 0) {
    assert_true(cafe_sim_step(loop));
  }
  assert_in_range(cafe_sim_now_us(loop) - before_us, 2000, 6000);
  cafe_inproc_set_faults(hub, NULL);
  before_us = cafe_sim_now_us(loop);
  ask(&q, &app, "pay", "hello", 1000);
  while (q.answers == 0) {
    assert_true(cafe_sim_step(loop));
  }
  assert_int_equal(cafe_sim_now_us(loop), before_us);
  node_leave(&app);
  node_leave(&pay);
}

static void a_service_is_offered_once(void **state) {
  node first, second;
  cafe_err err;
  node_join(&first, "pay");
  assert_int_equal(node_try_join(&second, "pay"), CAFE_DENIED);
  first.transport->ops->close(first.transport);
  assert_int_equal(second.transport->ops->open(second.transport, loop, second.services, &second.server, &err), CAFE_OK);
  node_leave(&first);
  node_leave(&second);
}

/* ---- subscriptions ---- */

static void a_link_gets_everything_in_order_and_waits_for_more(void **state) {
  node app, store;
  reader r, some;
  node_join(&app, "app");
  node_join(&store, "store");
  app.head = 1000;
  subscribe(&r, &store, "app", all_types);
  subscribe(&some, &store, "app", accepted_only);
  cafe_sim_run(loop, -1);
  assert_int_equal(r.events, 1000);
  assert_true(r.batches > 1);
  assert_int_equal(r.link.after, 1000);
  assert_int_equal(some.events, 333);
  assert_int_equal(some.link.after, 1000);

  int batches = r.batches;
  append(&app, 1);
  assert_int_equal(r.batches, batches);
  cafe_sim_run(loop, -1);
  assert_int_equal(r.events, 1001);
  assert_int_equal(r.batches, batches + 1);
  assert_int_equal(r.repeats + r.lost + some.lost, 0);
  unsubscribe(&r);
  unsubscribe(&some);
  cafe_sim_run(loop, -1);
  assert_null(app.waiting);
  assert_int_equal(app.forgotten, 2);
  node_leave(&app);
  node_leave(&store);
}

static void whatever_is_lost_or_doubled_every_event_arrives_once_it_is_wanted(void **state) {
  uint64_t repeats = 0;
  for (uint64_t seed = 0; seed < 100; seed++) {
    const cafe_inproc_faults faults = {sizeof(faults), 0.3, 0.3, 0, (int64_t)(seed % 5) * 500};
    node app, store;
    reader r;
    close_hub();
    open_hub(seed);
    node_join(&app, "app");
    node_join(&store, "store");
    cafe_inproc_set_faults(hub, &faults);
    subscribe(&r, &store, "app", all_types);
    r.commit_us = (int64_t)(seed % 3) * 400;
    for (int i = 0; i < 60; i++) {
      append(&app, loop->ops->random(loop) % 30);
      run_ms(3);
    }
    cafe_sim_run(loop, -1);
    assert_int_equal(r.link.after, app.head);
    assert_int_equal(r.events, app.head);
    assert_int_equal(r.lost, 0);
    repeats += (uint64_t)r.repeats;
    unsubscribe(&r);
    node_leave(&app);
    node_leave(&store);
  }
  assert_true(repeats > 100);
}

static void a_cut_service_is_silent_and_goes_on_when_healed(void **state) {
  node app, store;
  reader r;
  question q;
  node_join(&app, "app");
  node_join(&store, "store");
  subscribe(&r, &store, "app", all_types);
  append(&app, 10);
  cafe_sim_run(loop, -1);
  assert_int_equal(r.events, 10);

  cafe_inproc_cut(hub, "store", true);
  append(&app, 10);
  ask(&q, &store, "app", "hello", 100);
  run_ms(5000);
  assert_int_equal(q.code, CAFE_TIMEOUT);
  assert_int_equal(app.served, 0);
  assert_int_equal(r.events, 10);
  assert_int_equal(r.lost, 1);
  assert_int_equal(r.lost_code, CAFE_UNAVAILABLE);

  /* A message on its way doesn't come through either. */
  const cafe_inproc_faults slow = {sizeof(slow), 0, 0, 3000, 3000};
  cafe_inproc_cut(hub, "store", false);
  cafe_inproc_set_faults(hub, &slow);
  ask(&q, &app, "store", "hello", 100);
  run_ms(1);
  cafe_inproc_cut(hub, "store", true);
  run_ms(200);
  assert_int_equal(q.code, CAFE_TIMEOUT);
  assert_int_equal(store.served, 0);

  cafe_inproc_cut(hub, "store", false);
  run_ms(5000);
  assert_int_equal(r.events, 20);
  ask(&q, &store, "app", "hello", 100);
  run_ms(200);
  assert_int_equal(q.code, CAFE_OK);
  unsubscribe(&r);
  node_leave(&app);
  node_leave(&store);
}

static void a_link_waits_for_a_service_that_comes_later(void **state) {
  node app, store;
  reader r;
  node_join(&store, "store");
  subscribe(&r, &store, "app", all_types);
  run_ms(10000);
  assert_int_equal(r.lost, 1);
  assert_int_equal(r.lost_code, CAFE_UNAVAILABLE);
  node_join(&app, "app");
  append(&app, 5);
  run_ms(2000);
  assert_int_equal(r.events, 5);
  assert_int_equal(r.lost, 1);
  unsubscribe(&r);
  node_leave(&app);
  node_leave(&store);
}

static void tries_get_rarer_while_nobody_is_there(void **state) {
  node store;
  reader r;
  node_join(&store, "store");
  subscribe(&r, &store, "app", all_types);
  run_ms(10000);
  uint64_t steps = cafe_sim_run(loop, cafe_sim_now_us(loop) + 60 * 1000000);
  assert_in_range(steps, 60, 600); /* two for each try, whose pauses are up to a second */
  unsubscribe(&r);
  node_leave(&store);
}

static void a_publisher_that_crashes_and_returns_is_found_again(void **state) {
  node app, store;
  reader r;
  question q;
  node_join(&app, "app");
  node_join(&store, "store");
  subscribe(&r, &store, "app", all_types);
  append(&app, 10);
  app.is_silent = true;
  ask(&q, &store, "app", "hello", 100);
  run_ms(10);
  assert_int_equal(r.events, 10);
  assert_non_null(app.waiting);
  assert_non_null(app.unanswered);

  app.transport->ops->close(app.transport);
  run_ms(1000);
  assert_int_equal(r.lost, 1);
  assert_int_equal(q.code, CAFE_TIMEOUT);
  assert_int_equal(app.forgotten, 0); /* who closes needs no telling */

  assert_int_equal(node_open(&app), CAFE_OK);
  append(&app, 10);
  run_ms(3000);
  assert_int_equal(r.events, 20);
  unsubscribe(&r);
  node_leave(&app);
  node_leave(&store);
}

static void a_subscriber_that_vanishes_is_forgotten(void **state) {
  node app, store;
  reader *r = malloc(sizeof(*r));
  question *q = malloc(sizeof(*q));
  node_join(&app, "app");
  node_join(&store, "store");
  app.is_silent = true;
  subscribe(r, &store, "app", all_types);
  ask(q, &store, "app", "hello", 1000);
  run_ms(10);
  assert_non_null(app.waiting);
  assert_non_null(app.unanswered);
  store.transport->ops->close(store.transport); /* a crash: nothing was canceled */
  free(r);
  free(q);
  run_ms(10);
  assert_null(app.waiting);
  assert_null(app.unanswered);
  assert_int_equal(app.forgotten, 2);
  append(&app, 3);
  cafe_sim_run(loop, -1);

  /* In its next life it starts from where it stood. */
  reader again;
  assert_int_equal(node_open(&store), CAFE_OK);
  subscribe(&again, &store, "app", all_types);
  run_ms(10);
  assert_int_equal(again.events, 3);
  unsubscribe(&again);
  node_leave(&app);
  node_leave(&store);
}

static void messages_of_an_earlier_life_do_not_reach_the_next(void **state) {
  const cafe_inproc_faults slow = {sizeof(slow), 0, 0, 5000, 5000};
  node app, store;
  reader r;
  question q;
  node_join(&app, "app");
  node_join(&store, "store");
  app.head = 5;
  cafe_inproc_set_faults(hub, &slow);
  subscribe(&r, &store, "app", all_types);
  ask(&q, &store, "app", "hello", 1000);
  run_ms(7); /* answers are on their way */
  assert_int_equal(app.served + app.pulled, 2);
  store.transport->ops->close(store.transport);
  assert_int_equal(node_open(&store), CAFE_OK);
  cafe_sim_run(loop, -1);
  assert_int_equal(q.answers, 0);
  assert_int_equal(r.batches + r.lost, 0);
  node_leave(&app);
  node_leave(&store);
}

static void a_refused_position_is_final_and_another_failure_is_not(void **state) {
  node app, store;
  reader r, s;
  node_join(&app, "app");
  node_join(&store, "store");
  app.refuse = CAFE_INVALID;
  subscribe(&r, &store, "app", all_types);
  run_ms(5000);
  assert_int_equal(r.lost, 1);
  assert_int_equal(r.lost_code, CAFE_INVALID);
  assert_int_equal(app.pulled, 1);

  app.refuse = CAFE_CORRUPT;
  subscribe(&s, &store, "app", all_types);
  run_ms(5000);
  assert_int_equal(s.lost, 1);
  assert_int_equal(s.lost_code, CAFE_CORRUPT);
  assert_true(app.pulled > 5);
  app.refuse = 0;
  append(&app, 4);
  run_ms(5000);
  assert_int_equal(s.events, 4);
  assert_int_equal(r.batches, 0);
  unsubscribe(&r);
  unsubscribe(&s);
  node_leave(&app);
  node_leave(&store);
}

static void a_link_may_leave_in_its_own_callback(void **state) {
  node app, store;
  reader r, s;
  node_join(&app, "app");
  node_join(&store, "store");
  subscribe(&r, &store, "app", all_types);
  subscribe(&s, &store, "pay", all_types);
  r.leave_in_callback = true;
  s.leave_in_callback = true;
  append(&app, 3);
  cafe_sim_run(loop, -1);
  assert_int_equal(r.batches, 1);
  assert_int_equal(s.lost, 1);
  append(&app, 3);
  cafe_sim_run(loop, -1);
  assert_int_equal(r.batches, 1);
  node_leave(&app);
  node_leave(&store);
}

static int use_everything(const cafe_allocator *allocator) {
  node app, store;
  reader r;
  question q;
  cafe_sim_options options = CAFE_SIM_OPTIONS_INIT;
  options.allocator = allocator;
  memset(&app, 0, sizeof(app));
  memset(&store, 0, sizeof(store));
  int code = cafe_sim_create(&loop, 5, &options, NULL);
  if (code != CAFE_OK) {
    return code;
  }
  code = cafe_inproc_create(&hub, loop, allocator, NULL);
  if (code == CAFE_OK) {
    code = node_try_join(&app, "app");
    code = code == CAFE_OK ? node_try_join(&store, "store") : code;
    if (code == CAFE_OK) {
      append(&app, 10);
      code = try_subscribe(&r, &store, "app", all_types);
      /* What fails from here on is made up for. */
      if (code == CAFE_OK) {
        for (int i = 0; i < 3; i++) {
          run_ms(3000);
          int asked = try_ask(&q, &store, "app", "hello", 100);
          assert_true(asked == CAFE_OK || asked == CAFE_NOMEM);
          run_ms(1000);
          assert_int_equal(q.answers, asked == CAFE_OK);
          append(&app, 1);
        }
        run_ms(1000);
        assert_int_equal(r.events, 13);
        unsubscribe(&r);
        cafe_sim_run(loop, -1);
      }
    }
    cafe_transport_destroy(app.transport);
    cafe_transport_destroy(store.transport);
    cafe_inproc_destroy(hub);
  }
  cafe_loop_destroy(loop);
  return code;
}

static void a_refused_allocation_costs_a_message_at_most(void **state) {
  failing_alloc memory;
  int code = CAFE_OK;
  size_t n;
  for (n = 1; failing_alloc_begin(&memory, n); n++) {
    code = use_everything(&memory.allocator);
    failing_alloc_end(&memory);
    assert_true(code == CAFE_OK || code == CAFE_NOMEM);
  }
  assert_int_equal(code, CAFE_OK);
  assert_true(n > 50);
}

int main(void) {
#define ON_HUB(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
  const struct CMUnitTest tests[] = {
      ON_HUB(a_request_is_answered_after_the_call),
      ON_HUB(a_service_that_is_not_there_is_unavailable),
      ON_HUB(the_deadline_ends_a_request_and_a_late_answer_changes_nothing),
      ON_HUB(a_canceled_request_is_forgotten_on_both_sides),
      ON_HUB(a_duplicated_request_is_served_twice_and_answered_once),
      ON_HUB(a_dropped_request_or_answer_ends_at_the_deadline),
      ON_HUB(messages_take_as_long_as_told),
      ON_HUB(a_service_is_offered_once),
      ON_HUB(a_link_gets_everything_in_order_and_waits_for_more),
      ON_HUB(whatever_is_lost_or_doubled_every_event_arrives_once_it_is_wanted),
      ON_HUB(a_cut_service_is_silent_and_goes_on_when_healed),
      ON_HUB(a_link_waits_for_a_service_that_comes_later),
      ON_HUB(tries_get_rarer_while_nobody_is_there),
      ON_HUB(a_publisher_that_crashes_and_returns_is_found_again),
      ON_HUB(a_subscriber_that_vanishes_is_forgotten),
      ON_HUB(messages_of_an_earlier_life_do_not_reach_the_next),
      ON_HUB(a_refused_position_is_final_and_another_failure_is_not),
      ON_HUB(a_link_may_leave_in_its_own_callback),
      cmocka_unit_test(a_refused_allocation_costs_a_message_at_most),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
