/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCP_KIT_H
#define TCP_KIT_H

/* Nodes over TCP on one loop of libuv: a small server that publishes numbered events and answers requests by their own
 * body, somebody who asks, somebody who subscribes. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "cafe/loop/uv.h"
#include "cafe/sys/loop.h"
#include "cafe/sys/transport.h"
#include "cafe/transport/tcp.h"

enum { EVENTS_MAX = 512, LOG_ID = 77, PATIENCE_MS = 20000 };

static cafe_loop *loop;

/* Turns the loop until the condition holds; fails the test if that takes too long. */
#define WAIT_UNTIL(condition)                                                                                          \
  do {                                                                                                                 \
    int64_t wait_end_us = loop->ops->now_us(loop) + (int64_t)PATIENCE_MS * 1000;                                       \
    while (!(condition)) {                                                                                             \
      assert_int_equal(loop->ops->turn(loop, 10), CAFE_OK);                                                            \
      if (loop->ops->now_us(loop) > wait_end_us) {                                                                     \
        fail_msg("%s didn't come to hold", #condition);                                                                \
      }                                                                                                                \
    }                                                                                                                  \
  } while (0)

static inline int64_t now_us(void) { return loop->ops->now_us(loop); }

static inline void run_ms(int64_t ms) {
  for (int64_t end = now_us() + ms * 1000; now_us() < end;) {
    assert_int_equal(loop->ops->turn(loop, 1), CAFE_OK);
  }
}

static inline int open_loop(void **state) {
  assert_int_equal(cafe_uv_create(&loop, NULL, NULL, NULL), CAFE_OK);
  return 0;
}

static inline int close_loop(void **state) {
  cafe_loop_destroy(loop);
  return 0;
}

/* A socket that listens on some port of the loopback address; its address as text. */
static inline int listen_somewhere(char text[32]) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(at);
  int one = 1;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_true(fd >= 0);
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
  assert_int_equal(listen(fd, 64), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
  snprintf(text, 32, "127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
  return fd;
}

/* An address where nobody listens. */
static inline void free_address(char text[32]) { close(listen_somewhere(text)); }

/* ---- what is logged ---- */

typedef struct log_lines {
  int count;
  char all[20000];
} log_lines;

static inline void keep_line(const cafe_log_record *record, void *user) {
  log_lines *lines = user;
  size_t used = strlen(lines->all);
  lines->count++;
  snprintf(lines->all + used, sizeof(lines->all) - used, "%s\n", record->text);
}

static inline int times_logged(const log_lines *lines, const char *text) {
  int times = 0;
  for (const char *at = lines->all; (at = strstr(at, text)); at += strlen(text)) {
    times++;
  }
  return times;
}

/* ---- a node ---- */

typedef struct node {
  cafe_server server;
  cafe_transport *transport;
  const char *services[3];
  cafe_tcp_options options;
  cafe_tcp_peer peers[4];
  char address[32];
  log_lines log;
  uint64_t head;
  uint64_t log_id;
  cafe_pull *waiting;
  cafe_incoming *unanswered[2000];
  int silent_count;
  int served;
  int pulled;
  int forgotten;
  int refuse; /* a code for every pull */
  bool is_silent;
  bool is_reserved; /* pulls wait, whatever there is */
  size_t event_size;
  char last_body[64];
  char last_peer[256];
  cafe_budget last_budget;
} node;

static inline bool is_wanted(const char *const *types, const char *type) {
  for (; *types; types++) {
    if (strcmp(*types, type) == 0) {
      return true;
    }
  }
  return false;
}

static inline const char *type_of(uint64_t n) { return n % 3 ? "Ordered" : "OrderAccepted"; }
static inline const char *aggregate_of(uint64_t n) { return n % 5 ? "order" : "payment"; }

static inline void answer_pull_of(node *self, cafe_pull *pull) {
  static cafe_stored_event events[EVENTS_MAX];
  char *data = malloc(EVENTS_MAX * (self->event_size + 32));
  uint32_t count = 0;
  uint64_t n = pull->after;
  while (n < self->head && count < pull->limit) {
    n++;
    if (is_wanted(pull->types, type_of(n))) {
      char *own = data + count * (self->event_size + 32);
      int size = snprintf(own, 32, "event %u", (unsigned)n);
      if ((size_t)size < self->event_size) {
        memset(own + size, '.', self->event_size - (size_t)size);
        size = (int)self->event_size;
      }
      events[count++] = (cafe_stored_event){.aggregate = aggregate_of(n),
                                            .type = type_of(n),
                                            .key = n,
                                            .version = n + 1,
                                            .time_ms = 5,
                                            .trace = {"trace", 5},
                                            .data = {own, (size_t)size},
                                            .shard = pull->shard,
                                            .n = n,
                                            .meta = {own, 5}};
    }
  }
  pull->answer(pull, NULL, self->log_id, events, count, n, self->head);
  memset(data, 'x', EVENTS_MAX * (self->event_size + 32)); /* what was sent was copied */
  free(data);
}

static inline void publish(node *self) {
  cafe_pull *list = self->waiting;
  self->waiting = NULL;
  while (list) {
    cafe_pull *pull = list;
    list = pull->next;
    if (self->is_reserved || self->head <= pull->after) {
      pull->next = self->waiting;
      self->waiting = pull;
    } else {
      answer_pull_of(self, pull);
    }
  }
}

static inline void append(node *self, uint64_t count) {
  self->head += count;
  publish(self);
}

static inline void node_serve(cafe_server *server, cafe_incoming *incoming) {
  node *self = (node *)server;
  self->served++;
  self->last_budget = incoming->budget;
  snprintf(self->last_body, sizeof(self->last_body), "%.*s", (int)incoming->body.size,
           incoming->body.data ? incoming->body.data : "");
  snprintf(self->last_peer, sizeof(self->last_peer), "%.*s", (int)incoming->peer.size, incoming->peer.data);
  if (self->is_silent) {
    assert_true(self->silent_count < (int)(sizeof(self->unanswered) / sizeof(self->unanswered[0])));
    self->unanswered[self->silent_count++] = incoming;
  } else if (strcmp(self->last_body, "fail") == 0) {
    cafe_err err;
    (void)cafe_fail_detail(&err, CAFE_OVERLOADED, -5, "too much");
    err.retry_after_ms = 70;
    incoming->answer(incoming, &err, (cafe_slice){NULL, 0});
  } else {
    incoming->answer(incoming, NULL, incoming->body);
  }
}

static inline void answer_silent(node *self, const char *body) {
  while (self->silent_count > 0) {
    cafe_incoming *incoming = self->unanswered[--self->silent_count];
    incoming->answer(incoming, NULL, cafe_text(body));
  }
}

static inline void node_pull(cafe_server *server, cafe_pull *pull) {
  node *self = (node *)server;
  self->pulled++;
  if (self->refuse) {
    cafe_err err;
    (void)cafe_fail(&err, (cafe_code)self->refuse, "not this place");
    pull->answer(pull, &err, self->log_id, NULL, 0, 0, 0);
    return;
  }
  if (pull->log_id && pull->log_id != self->log_id) {
    pull->answer(pull, NULL, self->log_id, NULL, 0, pull->after, self->head);
    return;
  }
  pull->next = self->waiting;
  self->waiting = pull;
  publish(self);
}

static inline void node_forget_incoming(cafe_server *server, cafe_incoming *incoming) {
  node *self = (node *)server;
  int at = 0;
  while (at < self->silent_count && self->unanswered[at] != incoming) {
    at++;
  }
  assert_true(at < self->silent_count);
  self->unanswered[at] = self->unanswered[--self->silent_count];
  self->forgotten++;
}

static inline void node_forget_pull(cafe_server *server, cafe_pull *pull) {
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

static inline void node_init(node *self, const char *service) {
  memset(self, 0, sizeof(*self));
  self->server.ops = &node_ops;
  self->services[0] = service;
  self->log_id = LOG_ID;
  self->options = (cafe_tcp_options)CAFE_TCP_OPTIONS_INIT;
  self->options.peers = self->peers;
  self->options.log = (cafe_log){keep_line, &self->log, CAFE_LOG_DEBUG};
}

/* From a socket of its own, so that no other program has the port. */
static inline void node_listen(node *self) { self->options.listen_fd = listen_somewhere(self->address); }

static inline void node_peer(node *self, const char *service, const char *address) {
  self->peers[self->options.peer_count++] = (cafe_tcp_peer){service, address, {NULL, NULL}};
}

static inline int node_try_open(node *self, cafe_err *err) {
  self->waiting = NULL;
  self->silent_count = 0;
  return self->transport->ops->open(self->transport, loop, self->services, &self->server, err);
}

static inline void node_start(node *self) {
  cafe_err err = {0};
  if (cafe_tcp_create(&self->transport, &self->options, &err) != CAFE_OK || node_try_open(self, &err) != CAFE_OK) {
    fail_msg("%s", err.text);
  }
}

/* One that is asked, and one that asks it. */
static inline void start_pair(node *pay, node *app) {
  node_init(pay, "pay");
  node_listen(pay);
  node_start(pay);
  node_init(app, "app");
  node_peer(app, "pay", pay->address);
  node_start(app);
}

static inline void node_stop(node *self) {
  cafe_transport_destroy(self->transport);
  self->transport = NULL;
}

/* ---- a request ---- */

typedef struct question {
  cafe_request request;
  int answers;
  cafe_err err;
  char answer[64];
  size_t answer_size;
} question;

static inline void on_answer(cafe_request *request, const cafe_err *err, cafe_slice answer) {
  question *self = request->user;
  self->answers++;
  memset(&self->err, 0, sizeof(self->err));
  if (err) {
    self->err = *err;
    assert_true(err->text[0] != '\0');
  }
  self->answer_size = answer.size;
  snprintf(self->answer, sizeof(self->answer), "%.*s", (int)answer.size, answer.data ? answer.data : "");
}

static inline int try_ask(question *self, node *from, const char *service, cafe_slice body, int64_t timeout_ms,
                          cafe_err *err) {
  memset(self, 0, sizeof(*self));
  self->request.size = sizeof(self->request);
  self->request.service = service;
  self->request.key = UINT64_MAX;
  self->request.body = body;
  self->request.budget.deadline_us = now_us() + timeout_ms * 1000;
  self->request.budget.retries = 3;
  self->request.done = on_answer;
  self->request.user = self;
  return from->transport->ops->request(from->transport, &self->request, err);
}

static inline void ask(question *self, node *from, const char *service, const char *body, int64_t timeout_ms) {
  assert_int_equal(try_ask(self, from, service, cafe_text(body), timeout_ms, NULL), CAFE_OK);
  assert_int_equal(self->answers, 0);
}

static inline void ask_and_wait(question *self, node *from, const char *service, const char *body) {
  ask(self, from, service, body, PATIENCE_MS);
  WAIT_UNTIL(self->answers);
}

/* ---- a subscriber, which commits each batch some time later ---- */

static const char *const all_types[] = {"Ordered", "OrderAccepted", NULL};
static const char *const accepted_only[] = {"OrderAccepted", NULL};

typedef struct reader {
  cafe_link link;
  node *node;
  cafe_timer commit;
  uint64_t committing;
  int64_t commit_us; /* -1: inside the callback; INT64_MAX: never */
  int batches;
  int moves; /* batches that told of another log */
  int lost;
  cafe_err last;
  uint64_t events;
  uint64_t head;
  char last_aggregate[16];
  bool is_lenient; /* events aren't those of a node here */
  bool leave_in_callback;
  bool close_in_callback;
} reader;

static inline void unsubscribe(reader *self) {
  loop->ops->timer_stop(loop, &self->commit);
  self->node->transport->ops->unsubscribe(self->node->transport, &self->link);
}

static inline void commit(reader *self) {
  self->link.after = self->committing;
  self->node->transport->ops->more(self->node->transport, &self->link);
}

static inline void on_committed(cafe_timer *timer) { commit(timer->user); }

static inline void check_event(const reader *self, const cafe_stored_event *event, uint64_t before, uint64_t scanned) {
  char expected[32];
  int size = snprintf(expected, sizeof(expected), "event %u", (unsigned)event->n);
  assert_true(event->n > before && event->n <= scanned);
  assert_true(is_wanted(self->link.types, event->type));
  assert_string_equal(event->type, type_of(event->n));
  assert_string_equal(event->aggregate, aggregate_of(event->n));
  assert_int_equal(event->key, event->n);
  assert_int_equal(event->version, event->n + 1);
  assert_int_equal(event->time_ms, 5);
  assert_int_equal(event->shard, self->link.shard);
  assert_true(cafe_slice_equal(event->trace, cafe_text("trace")));
  assert_true(cafe_slice_equal(event->meta, cafe_text("event")));
  assert_true(event->data.size >= (size_t)size);
  assert_memory_equal(event->data.data, expected, (size_t)size);
}

static inline void on_events(cafe_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                             uint64_t head) {
  reader *self = link->user;
  uint64_t before = self->committing;
  self->batches++;
  self->moves += scanned == before;
  assert_true(scanned >= before && scanned <= head); /* batches never go back, nor come twice from one publisher */
  for (uint32_t i = 0; i < count; i++) {
    if (!self->is_lenient) {
      check_event(self, &events[i], before, scanned);
    }
    snprintf(self->last_aggregate, sizeof(self->last_aggregate), "%s", events[i].aggregate);
    before = events[i].n;
    self->events++;
  }
  self->committing = scanned;
  self->head = head;
  if (self->close_in_callback) {
    self->close_in_callback = false;
    unsubscribe(self);
    node_stop(self->node);
  } else if (self->leave_in_callback) {
    unsubscribe(self);
  } else if (self->commit_us < 0) {
    commit(self);
  } else if (self->commit_us < INT64_MAX) {
    assert_int_equal(loop->ops->timer_start(loop, &self->commit, now_us() + self->commit_us, NULL), CAFE_OK);
  }
}

static inline void on_lost(cafe_link *link, const cafe_err *err) {
  reader *self = link->user;
  self->lost++;
  self->last = *err;
  assert_true(err->text[0] != '\0');
  if (self->leave_in_callback) {
    unsubscribe(self);
  }
}

static inline int try_subscribe(reader *self, node *at, const char *service, const char *const *types, cafe_err *err) {
  memset(self, 0, sizeof(*self));
  self->node = at;
  self->link.size = sizeof(self->link);
  self->link.service = service;
  self->link.name = "test";
  self->link.types = types;
  self->link.on_events = on_events;
  self->link.on_lost = on_lost;
  self->link.user = self;
  self->commit.fire = on_committed;
  self->commit.user = self;
  return at->transport->ops->subscribe(at->transport, &self->link, err);
}

static inline void subscribe(reader *self, node *at, const char *service, const char *const *types) {
  assert_int_equal(try_subscribe(self, at, service, types, NULL), CAFE_OK);
  assert_int_equal(self->batches + self->lost, 0);
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, open_loop, close_loop)

#endif
