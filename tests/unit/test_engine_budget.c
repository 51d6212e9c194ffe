/* SPDX-License-Identifier: Apache-2.0 */

/* What goes with a request, and what is taken of an answer. The budget of whoever waits for an order travels with the
 * request to payment: what is left of his time, and of his retries. Pay is played by the test, which has the transport;
 * then app is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "cafe/gateway/sandbox.h"
#include "cafe/store/memory.h"
#include "cafe/testing/sim.h"
#include "engine/node.h"

enum { REQUESTS = 16 };

typedef struct played {
  cafe_transport base;
  cafe_server *server;
  cafe_request *requests[REQUESTS];
  cafe_budget budgets[REQUESTS];
  int64_t asked_us[REQUESTS];
  int count;
  cafe_loop *loop;
} played;

static int play_open(cafe_transport *base, cafe_loop *loop, const char *const *services, cafe_server *server,
                     cafe_err *err) {
  (void)services, (void)err;
  ((played *)base)->server = server;
  ((played *)base)->loop = loop;
  return CAFE_OK;
}

static int play_request(cafe_transport *base, cafe_request *request, cafe_err *err) {
  played *self = (played *)base;
  (void)err;
  assert_true(self->count < REQUESTS);
  assert_string_equal(request->service, "pay");
  self->asked_us[self->count] = cafe_sim_now_us(self->loop);
  self->budgets[self->count] = request->budget;
  self->requests[self->count++] = request;
  return CAFE_OK;
}

static void play_cancel(cafe_transport *base, cafe_request *request) { (void)base, (void)request; }

static int play_subscribe(cafe_transport *base, cafe_link *link, cafe_err *err) {
  (void)base, (void)link, (void)err;
  return CAFE_OK;
}

static void play_more(cafe_transport *base, cafe_link *link) { (void)base, (void)link; }
static void play_close(cafe_transport *base) { (void)base; }

static const cafe_transport_ops played_ops = {sizeof played_ops, "played",  play_open, play_request, play_cancel,
                                              play_subscribe,    play_more, play_more, play_close,   play_close};

typedef struct place {
  cafe_loop *loop;
  cafe_store *store;
  cafe_node *node;
  cafe_shop *shop;
  cafe_gateway *gateway;
  played transport;
} place;

static void open_place(place *p, unsigned services) {
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  cafe_shop_options shop = CAFE_SHOP_OPTIONS_INIT;
  memset(p, 0, sizeof *p);
  p->transport.base.ops = &played_ops;
  assert_int_equal(cafe_sim_create(&p->loop, 3, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_memory_create(&p->store, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_sandbox_create(&p->gateway, p->loop, NULL, NULL, NULL), CAFE_OK);
  options.loop = p->loop;
  options.store = p->store;
  options.transport = &p->transport.base;
  shop.services = services;
  shop.gateway = p->gateway;
  assert_int_equal(cafe_node_create(&p->node, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_shop_create(&p->shop, p->node, &shop, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(p->node, NULL), CAFE_OK);
}

static void close_place(place *p) {
  cafe_node_destroy(p->node);
  cafe_shop_destroy(p->shop);
  cafe_gateway_destroy(p->gateway);
  cafe_store_destroy(p->store);
  cafe_loop_destroy(p->loop);
}

static void run(place *p, int64_t ms) { cafe_sim_run(p->loop, cafe_sim_now_us(p->loop) + ms * 1000); }

static void lose(place *p, int request) {
  cafe_err err;
  cafe_fail(&err, CAFE_UNAVAILABLE, "pay is away");
  p->transport.requests[request]->done(p->transport.requests[request], &err, (cafe_slice){NULL, 0});
}

typedef struct answer {
  int times, code;
  cafe_verdict verdict;
  const cafe_schema *event;
} answer;

static void answered(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  answer *self = user;
  self->times++;
  self->code = err ? err->code : CAFE_OK;
  if (!outcome)
    return;
  self->verdict = outcome->verdict;
  self->event = outcome->event ? outcome->event->type : NULL;
}

static void order(place *p, answer *out, int64_t timeout_ms, uint32_t attempts) {
  const cafe_place_order data = {.product_id = cafe_text("latte"),
                                 .qty = 1,
                                 .customer_id = cafe_text("kim"),
                                 .amount_minor = 4500,
                                 .pay_timeout_ms = 600};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = &cafe_place_order_type;
  submit.data = &data;
  submit.data_size = sizeof data;
  submit.timeout_ms = timeout_ms;
  submit.attempts = attempts;
  memset(out, 0, sizeof *out);
  assert_int_equal(cafe_node_submit(NULL, p->node, &submit, answered, out, NULL), CAFE_OK);
}

/* A due time is a UTC millisecond. */
static void assert_about(int64_t us, int64_t wanted_us) { assert_in_range(us, wanted_us - 2000, wanted_us + 2000); }

/* C4: the deadline travels with the request, and so do the retries. */
static void a_request_carries_what_is_left_to_who_waits(void **state) {
  (void)state;
  place p;
  answer said;
  open_place(&p, CAFE_SHOP_APP);
  run(&p, 10);
  int64_t begun_us = cafe_sim_now_us(p.loop);
  order(&p, &said, 400, 3);
  for (int attempt = 0; attempt < 3; attempt++) {
    while (p.transport.count == attempt)
      assert_true(cafe_sim_step(p.loop));
    assert_about(p.transport.budgets[attempt].deadline_us, begun_us + 400000);
    assert_int_equal(p.transport.budgets[attempt].retries, 2 - attempt);
    assert_int_equal(said.times, 0);
    lose(&p, attempt);
  }
  run(&p, 350); /* no fourth one is made, though there is time */
  assert_int_equal(p.transport.count, 3);
  assert_int_equal(said.times, 1);
  assert_int_equal(said.verdict, CAFE_REFUSED);
  assert_ptr_equal(said.event, &cafe_draft_dropped_type);
  close_place(&p);
}

static void without_a_budget_the_step_decides(void **state) {
  (void)state;
  place p;
  answer said;
  open_place(&p, CAFE_SHOP_APP);
  run(&p, 10);
  int64_t begun_us = cafe_sim_now_us(p.loop);
  order(&p, &said, 0, 0);
  run(&p, 10);
  assert_int_equal(p.transport.count, 1);
  assert_about(p.transport.budgets[0].deadline_us, begun_us + 600000);
  assert_int_equal(p.transport.budgets[0].retries, UINT32_MAX);
  close_place(&p);
}

static void nothing_is_asked_for_who_has_no_time_left(void **state) {
  (void)state;
  place p;
  answer said;
  open_place(&p, CAFE_SHOP_APP);
  run(&p, 10);
  order(&p, &said, 100, 0);
  while (!p.transport.count)
    assert_true(cafe_sim_step(p.loop));
  run(&p, 150);
  assert_int_equal(said.code, CAFE_TIMEOUT);
  lose(&p, 0);
  run(&p, 400); /* the step would still have time */
  assert_int_equal(p.transport.count, 1);
  close_place(&p);
}

/* ---- being asked ---- */

static void never_answered(cafe_incoming *incoming, const cafe_err *err, cafe_slice body) {
  (void)incoming, (void)err, (void)body;
  fail();
}

/* C4: what came with the request is the budget of what is done for it. */
static void what_is_served_has_the_callers_budget(void **state) {
  (void)state;
  static const uint32_t retries[] = {0, 7, UINT32_MAX};
  for (size_t i = 0; i < sizeof retries / sizeof retries[0]; i++) {
    place app, pay;
    answer said;
    open_place(&app, CAFE_SHOP_APP);
    run(&app, 10);
    order(&app, &said, 0, 0);
    run(&app, 10);
    open_place(&pay, CAFE_SHOP_PAY);
    run(&pay, 10);
    cafe_sandbox_settings hang = {sizeof hang, CAFE_SANDBOX_HANG, 0, 0, 0};
    assert_int_equal(cafe_sandbox_set(pay.gateway, &hang, NULL), CAFE_OK);
    cafe_incoming incoming = {.size = sizeof incoming, .answer = never_answered};
    incoming.body = app.transport.requests[0]->body;
    incoming.budget.deadline_us = cafe_sim_now_us(pay.loop) + 250000;
    incoming.budget.retries = retries[i];
    pay.transport.server->ops->serve(pay.transport.server, &incoming);
    assert_int_equal(pay.node->op_count, 1);
    assert_int_equal(pay.node->ops->budget.deadline_us, incoming.budget.deadline_us);
    assert_int_equal(pay.node->ops->budget.retries, retries[i]);
    run(&pay, 10);
    pay.transport.server->ops->forget_incoming(pay.transport.server, &incoming);
    close_place(&pay);
    close_place(&app);
  }
}

/* ---- peers that say what isn't theirs to say ---- */

/* As it is on the wire. */
typedef struct said_answer {
  int64_t version, verdict;
  cafe_slice reason, text, event;
  uint64_t event_version;
  int64_t event_time_ms;
  cafe_slice event_data;
} said_answer;

typedef struct said_request {
  int64_t version;
  cafe_slice command;
  uint64_t key;
  cafe_slice data, trace;
} said_request;

/* Nor is what nobody knows. It is as if no answer had come, so it is asked again. */
static void an_event_that_is_not_the_peers_is_no_answer(void **state) {
  (void)state;
  static const char *const events[] = {"Ordered", "TicketStarted", "Unheard"};
  for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
    place p;
    answer said;
    cafe_slice body, data;
    cafe_arena *arena = cafe_arena_create(NULL);
    open_place(&p, CAFE_SHOP_APP);
    run(&p, 10);
    order(&p, &said, 0, 0);
    run(&p, 10);
    assert_int_equal(p.transport.count, 1);
    const cafe_ordered ordered = {.product_id = cafe_text("latte")};
    assert_int_equal(cafe_schema_encode(&data, arena, &cafe_ordered_type, &ordered, NULL), CAFE_OK);
    const said_answer wire = {1, CAFE_ACCEPTED, {NULL, 0}, {NULL, 0}, cafe_text(events[i]), 1, 1, data};
    assert_int_equal(cafe_schema_encode(&body, arena, &wire_answer_type, &wire, NULL), CAFE_OK);
    p.transport.requests[0]->done(p.transport.requests[0], NULL, body);
    run(&p, 400);
    assert_true(p.transport.count > 1);
    assert_int_equal(said.times, 0);
    close_place(&p);
    cafe_arena_destroy(arena);
  }
}

/* It would be in each event that comes of it. */
static void a_trace_that_is_none_is_left_out(void **state) {
  (void)state;
  place app, pay;
  answer said;
  static char trace[600];
  cafe_arena *arena = cafe_arena_create(NULL);
  open_place(&app, CAFE_SHOP_APP);
  open_place(&pay, CAFE_SHOP_PAY);
  run(&app, 10);
  order(&app, &said, 0, 0);
  run(&app, 10);
  memset(trace, 'x', sizeof trace);
  for (size_t size = 511; size < 515; size++) {
    said_request wire;
    cafe_incoming incoming = {.size = sizeof incoming, .answer = never_answered};
    assert_int_equal(cafe_schema_decode(&wire, &wire_request_type, app.transport.requests[0]->body, NULL), CAFE_OK);
    wire.trace = (cafe_slice){trace, size};
    assert_int_equal(cafe_schema_encode(&incoming.body, arena, &wire_request_type, &wire, NULL), CAFE_OK);
    incoming.budget.deadline_us = cafe_sim_now_us(pay.loop) + 250000;
    pay.transport.server->ops->serve(pay.transport.server, &incoming);
    assert_int_equal(pay.node->ops->prev->act.trace.size, size <= 512 ? size : 0);
    pay.transport.server->ops->forget_incoming(pay.transport.server, &incoming);
  }
  close_place(&pay);
  close_place(&app);
  cafe_arena_destroy(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_request_carries_what_is_left_to_who_waits),
      cmocka_unit_test(without_a_budget_the_step_decides),
      cmocka_unit_test(nothing_is_asked_for_who_has_no_time_left),
      cmocka_unit_test(what_is_served_has_the_callers_budget),
      cmocka_unit_test(an_event_that_is_not_the_peers_is_no_answer),
      cmocka_unit_test(a_trace_that_is_none_is_left_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
