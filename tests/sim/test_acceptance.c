/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows of the table of what a complete libcafe must be able to show, each by name, in a simulated world. The invariants
 * are checked at every step by the cluster; what is asserted here is what the row says beyond them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/sys/store.h"
#include "cluster.h"
#include "domain/policies.h"
#include "engine/node.h"
#include "schema/collect.h"

enum { ORDERS = 50 };

static const int64_t DAY_MS = INT64_C(86400000);

static bool is_full(void) { return cluster_setting("CAFE_FULL", 0) != 0; }

static cluster *create(uint64_t seed, bool is_split) {
  cluster_options options = {.seed = seed, .is_split = is_split, .is_threaded = seed % 2 != 0, .job_max_us = 500};
  return cluster_create(&options);
}

static uint64_t place(cluster *c, int64_t accept_timeout_ms) {
  cafe_place_order order = {
      .product_id = cafe_text("latte"),
      .qty = 1,
      .customer_id = cafe_text("kim"),
      .amount_minor = 4500,
      .pay_timeout_ms = 5000,
      .accept_timeout_ms = accept_timeout_ms,
      .payment_token = cafe_text("token"),
  };
  cluster_call *call = cluster_submit(c, CLUSTER_APP, &cafe_place_order_type, 0, &order, 0, NULL);
  cluster_wait(c, call);
  assert_int_equal(call->code, CAFE_OK);
  assert_int_equal(call->verdict, CAFE_ACCEPTED);
  assert_ptr_equal(call->event, &cafe_ordered_type);
  return call->key;
}

static cluster_call *act(cluster *c, uint64_t key, cafe_ticket_action action) {
  cluster_call *call = cluster_act(c, key, action);
  cluster_wait(c, call);
  return call;
}

static void wait_for_ticket(cluster *c, uint64_t key, cafe_ticket_status status) {
  for (int i = 0; cluster_find(c, key)->ticket.status != status; i++) {
    assert_true(i < 10000);
    cluster_run(c, 1);
  }
}

static cafe_order_status status_of(cluster *c, uint64_t key) { return cluster_find(c, key)->order.status; }

/* ---- X1 ---- */

static void race(cluster *c, uint64_t key, cluster_call **cancel, cluster_call **start) {
  bool is_cancel_first = cluster_chance(c, 50);
  if (is_cancel_first)
    *cancel = cluster_cancel(c, key);
  else
    *start = cluster_act(c, key, CAFE_TICKET_START);
  for (uint64_t steps = cluster_random(c, is_cancel_first ? 25 : 8); steps > 0; steps--)
    cluster_step(c);
  if (is_cancel_first)
    *start = cluster_act(c, key, CAFE_TICKET_START);
  else
    *cancel = cluster_cancel(c, key);
}

static uint32_t race_all(uint64_t seed) {
  cluster *c = create(seed, seed % 4 != 0);
  uint64_t keys[ORDERS];
  cluster_call *cancels[ORDERS], *starts[ORDERS];
  uint32_t canceled = 0;
  cafe_inproc_faults faults = {sizeof faults, 0, 0, 0, 3000};
  cafe_inproc_set_faults(c->hub, &faults);
  for (int i = 0; i < ORDERS; i++) {
    keys[i] = place(c, 0);
    wait_for_ticket(c, keys[i], CAFE_TICKET_RECEIVED);
    act(c, keys[i], CAFE_TICKET_ACCEPT);
  }
  for (int i = 0; i < ORDERS; i++)
    race(c, keys[i], &cancels[i], &starts[i]);
  cluster_rest(c);
  cluster_check(c, true);
  for (int i = 0; i < ORDERS; i++) {
    cafe_order_status status = status_of(c, keys[i]);
    bool is_canceled = status == CAFE_ORDER_CANCELED;
    canceled += is_canceled;
    assert_true(is_canceled || status == CAFE_ORDER_PREPARING);
    assert_int_equal(cancels[i]->code, CAFE_OK);
    assert_int_equal(starts[i]->code, CAFE_OK);
    assert_int_equal(cancels[i]->verdict, is_canceled ? CAFE_ACCEPTED : CAFE_REFUSED);
    assert_int_equal(starts[i]->verdict, is_canceled ? CAFE_REFUSED : CAFE_ACCEPTED);
    assert_int_equal(cluster_count(cluster_find(c, keys[i]), &cafe_cancel_rejected_type), !is_canceled);
  }
  cluster_destroy(c);
  return canceled;
}

static void x1_cancel_against_start_has_exactly_one_winner(void **state) {
  (void)state;
  uint64_t seeds = is_full() ? 10000 / ORDERS : 10;
  uint32_t canceled = 0;
  for (uint64_t seed = 1; seed <= seeds; seed++)
    canceled += race_all(seed);
  print_message("X1: %llu races, %u of them won by the cancel\n", (unsigned long long)seeds * ORDERS, canceled);
  assert_true(canceled > seeds * ORDERS / 10 && canceled < seeds * ORDERS * 9 / 10);
}

/* ---- X3 ---- */

static void withdraw_early(cluster *c, uint64_t key) {
  const cafe_order *order = &cluster_find(c, key)->order;
  cafe_withdraw_ticket withdraw = {.by = CAFE_CANCEL_BY_CUSTOMER,
                                   .product_id = order->product_id,
                                   .qty = order->qty,
                                   .customer_id = order->customer_id,
                                   .amount_minor = order->amount_minor,
                                   .currency = order->currency,
                                   .store_id = order->store_id};
  cluster_call *call = cluster_submit(c, CLUSTER_STORE, &cafe_withdraw_ticket_type, key, &withdraw, 0, NULL);
  cluster_wait(c, call);
  assert_int_equal(call->verdict, CAFE_ACCEPTED);
}

static void cancel_before_ticket(cluster *c, bool is_early, cluster_order *out) {
  cafe_inproc_cut(c->hub, "store", true);
  uint64_t key = place(c, 0);
  cluster_call *call = cluster_cancel(c, key);
  cluster_run(c, 1000);
  assert_int_equal(status_of(c, key), CAFE_ORDER_CANCELING);
  assert_false(call->is_done);
  if (is_early)
    withdraw_early(c, key);
  cafe_inproc_cut(c->hub, "store", false);
  cluster_rest(c);
  assert_int_equal(call->verdict, CAFE_ACCEPTED);
  cluster_check(c, true);
  *out = *cluster_find(c, key);
}

static void x3_a_cancel_that_reaches_the_store_before_the_ticket_ends_the_same(void **state) {
  (void)state;
  cluster *c = create(3, true);
  cluster_order early, in_order;
  cancel_before_ticket(c, true, &early);
  cancel_before_ticket(c, false, &in_order);
  assert_int_equal(early.received, 0);
  assert_int_equal(in_order.received, 1);
  assert_int_equal(early.order.status, CAFE_ORDER_CANCELED);
  assert_int_equal(in_order.order.status, CAFE_ORDER_CANCELED);
  assert_int_equal(early.ticket.status, in_order.ticket.status);
  assert_int_equal(early.payment.status, CAFE_PAYMENT_CANCELED);
  assert_int_equal(in_order.payment.status, CAFE_PAYMENT_CANCELED);
  cafe_sandbox_entry a = cluster_money(c, early.key), b = cluster_money(c, in_order.key);
  assert_int_equal(a.voided_minor, 4500);
  assert_int_equal(b.voided_minor, 4500);
  cluster_destroy(c);
}

/* ---- X4 ---- */

static int service_of(const cafe_schema *command) {
  static const cafe_aggregate *const owners[] = {&cafe_order_aggregate, &cafe_payment_aggregate,
                                                 &cafe_fulfillment_aggregate, &cafe_notification_aggregate};
  for (int service = 0; service < 4; service++)
    for (const cafe_command_type *type = owners[service]->commands; type->command; type++)
      if (type->command == command)
        return service;
  fail();
  return -1;
}

static void send_some(cluster *c, const cafe_schema *command, uint64_t key, const void *data) {
  for (uint64_t times = 1 + cluster_random(c, 5); times > 0; times--) {
    cluster_submit(c, service_of(command), command, key, data, 0, NULL);
    if (cluster_chance(c, 30))
      cafe_sim_set_utc(c->world, c->world->ops->utc_ms(c->world) + DAY_MS);
    if (cluster_chance(c, 30))
      cluster_run(c, 1);
  }
}

/* Everything that any event made a policy ask for is asked for again. */
static void send_again(cluster *c, const cluster_order *order, const cluster_event *last) {
  static const cafe_policy *const policies[] = {&policies_app_store, &policies_pay_app, &policies_store_app,
                                                &policies_customer_app, &policies_customer_pay};
  for (const cluster_event *at = order->first; at; at = at == last ? NULL : at->next) {
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
      bool hears = false;
      for (const cafe_schema *const *event = policies[i]->events; *event; event++)
        hears = hears || *event == at->event.type;
      if (!hears)
        continue;
      cafe_reaction reaction;
      memset(&reaction, 0, sizeof reaction);
      reaction.commands.arena = c->arena;
      policies[i]->react(&reaction, &at->event, i >= 3 ? "test" : NULL);
      for (const collected *item = reaction.commands.first; item; item = item->next)
        send_some(c, item->type, item->key, item->data);
    }
  }
}

static void resend_order(cluster *c, const cluster_order *order) {
  const cluster_event *last = order->last;
  cafe_authorize_payment authorize = {order->order.amount_minor, order->order.currency, order->order.customer_id,
                                      cafe_text("token")};
  cafe_establish_order establish = {order->order.amount_minor};
  send_some(c, &cafe_authorize_payment_type, order->key, &authorize);
  send_some(c, &cafe_establish_order_type, order->key, &establish);
  send_again(c, order, last);
  cluster_rest(c);
  if (order->last != last)
    cluster_violation(c, "X4", order->key, "a repeat had an effect");
}

static void live_doubly(cluster *c, int how) {
  char client_key[16];
  snprintf(client_key, sizeof client_key, "order %d", how);
  for (uint64_t times = 1 + cluster_random(c, 5); times > 0; times--)
    cluster_place(c, 4500, "token", client_key);
  cluster_run(c, 3000);
  uint64_t key = c->calls->prev->key;
  static const cafe_ticket_action actions[] = {CAFE_TICKET_ACCEPT, CAFE_TICKET_START, CAFE_TICKET_FINISH,
                                               CAFE_TICKET_HAND_OUT};
  for (int i = 0; i < how % 5 && i < 4; i++) {
    for (uint64_t times = 1 + cluster_random(c, 5); times > 0; times--)
      cluster_act(c, key, actions[i]);
    cluster_run(c, 1000);
  }
  if (how % 5 >= 3)
    return;
  for (uint64_t times = 1 + cluster_random(c, 5); times > 0; times--)
    cluster_cancel(c, key);
  cluster_run(c, 1000);
}

static void repeat_everything(uint64_t seed) {
  cluster *c = create(seed, true);
  cafe_inproc_faults faults = {sizeof faults, 0, 1.0, 0, 20000};
  cafe_inproc_set_faults(c->hub, &faults);
  c->chances.silent = 30; /* so that messages are delivered more than once */
  for (int how = 0; how < 10; how++)
    live_doubly(c, how);
  cluster_finish(c);
  uint32_t orders = 0;
  for (map_entry *entry = map_first(c->orders); entry; entry = map_next(entry)) {
    resend_order(c, map_value(entry));
    orders++;
  }
  cluster_check(c, true);
  assert_int_equal(orders, 10);
  cluster_destroy(c);
}

static void x4_what_comes_one_to_five_times_days_apart_counts_once(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= (is_full() ? 100 : 5); seed++)
    repeat_everything(seed);
}

/* ---- X6 ---- */

static void lose_and_reorder(uint64_t seed) {
  cluster *c = create(seed, true);
  cafe_inproc_faults faults = {sizeof faults, 0.2, 0.1, 0, 300000};
  cafe_inproc_set_faults(c->hub, &faults);
  for (int i = 0; i < ORDERS; i++) {
    char client_key[16];
    snprintf(client_key, sizeof client_key, "order %d", i);
    cluster_place(c, 100 + i, "token", client_key);
    cluster_run(c, (int64_t)cluster_random(c, 200));
    if (!cluster_chance(c, 30))
      continue;
    map_entry *entry = map_first(c->orders);
    if (entry)
      cluster_cancel(c, map_key(entry) + cluster_random(c, (uint64_t)i + 1));
  }
  cluster_finish(c);
  cluster_check(c, true);
  uint32_t picked_up = 0;
  for (map_entry *entry = map_first(c->orders); entry; entry = map_next(entry))
    picked_up += ((cluster_order *)map_value(entry))->order.status == CAFE_ORDER_PICKED_UP;
  assert_true(picked_up > ORDERS / 10);
  cluster_destroy(c);
}

static void x6_with_a_fifth_of_all_messages_lost_and_the_rest_reordered_all_ends_well(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= (is_full() ? 200 : 10); seed++)
    lose_and_reorder(seed);
}

/* ---- X11 ---- */

static void jump(cluster *c, int64_t by_ms) { cafe_sim_set_utc(c->world, c->world->ops->utc_ms(c->world) + by_ms); }

static void jump_within(int64_t by_ms) {
  cluster *c = create(11, true);
  uint64_t key = place(c, 60000);
  wait_for_ticket(c, key, CAFE_TICKET_RECEIVED);
  int64_t from_us = cafe_sim_now_us(c->world);
  cluster_run(c, 10000);
  jump(c, by_ms);
  cluster_run(c, 60000 - 20 - (cafe_sim_now_us(c->world) - from_us) / 1000);
  assert_int_equal(status_of(c, key), CAFE_ORDER_ORDERED); /* not early */
  cluster_run(c, 1000);
  assert_int_equal(status_of(c, key), CAFE_ORDER_CANCELED); /* not late */
  cluster_rest(c);
  cluster_check(c, true);
  assert_int_equal(cluster_count(cluster_find(c, key), &cafe_cancel_requested_type), 1); /* not twice */
  cluster_destroy(c);
}

static void x11_a_jump_of_the_clock_within_a_run_makes_nothing_early_late_or_twice(void **state) {
  (void)state;
  jump_within(DAY_MS);
  jump_within(-DAY_MS);
  jump_within(30000);
}

/* After a restart a due time is what the clock says. */
static void jump_over_restart(int64_t by_ms, int64_t due_in_ms) {
  cluster *c = create(12, false);
  uint64_t key = place(c, 60000);
  cluster_run(c, 10000);
  cluster_stop(c, CLUSTER_APP);
  jump(c, by_ms);
  assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
  if (due_in_ms > 0) {
    cluster_run(c, due_in_ms - 100);
    assert_int_equal(status_of(c, key), CAFE_ORDER_ORDERED);
  }
  cluster_run(c, 1000);
  assert_int_equal(status_of(c, key), CAFE_ORDER_CANCELED);
  cluster_rest(c);
  cluster_check(c, true);
  assert_int_equal(cluster_count(cluster_find(c, key), &cafe_cancel_requested_type), 1);
  cluster_destroy(c);
}

static void x11_after_a_restart_due_times_hold_as_utc(void **state) {
  (void)state;
  jump_over_restart(0, 50000);
  jump_over_restart(30000, 20000);
  jump_over_restart(DAY_MS, 0);
  jump_over_restart(-3600000, 3650000);
}

/* ---- X12 ---- */

static void x12_what_nobody_accepts_is_canceled_voided_and_told_once(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 4; seed++) {
    cluster *c = create(seed, seed % 2 == 0);
    uint64_t key = place(c, 5000);
    cluster_rest(c);
    cluster_check(c, true);
    const cluster_order *order = cluster_find(c, key);
    assert_int_equal(order->order.status, CAFE_ORDER_CANCELED);
    assert_int_equal(order->payment.status, CAFE_PAYMENT_CANCELED);
    assert_int_equal(cluster_count(order, &cafe_order_canceled_type), 1);
    assert_int_equal(cluster_money(c, key).voided_minor, 4500);
    int64_t waited_ms = 0;
    for (const cluster_event *at = order->first; at; at = at->next) {
      if (at->event.type == &cafe_ticket_received_type)
        waited_ms -= at->event.time_ms;
      if (at->event.type == &cafe_order_canceled_type)
        waited_ms += at->event.time_ms;
    }
    assert_in_range(waited_ms, 5000, 5500);
    cluster_destroy(c);
  }
}

static void pass_deadline_unreachable(bool has_accepted) {
  cluster *c = create(5, true);
  uint64_t key = place(c, 5000);
  wait_for_ticket(c, key, CAFE_TICKET_RECEIVED);
  cluster_run(c, 1000);
  cafe_inproc_cut(c->hub, "store", true);
  if (has_accepted)
    act(c, key, CAFE_TICKET_ACCEPT);
  cluster_run(c, 3600000);
  assert_int_equal(status_of(c, key), CAFE_ORDER_CANCELING); /* never guessed */
  cluster_check(c, false);
  cafe_inproc_cut(c->hub, "store", false);
  cluster_rest(c);
  cluster_check(c, true);
  assert_int_equal(status_of(c, key), has_accepted ? CAFE_ORDER_ACCEPTED : CAFE_ORDER_CANCELED);
  assert_int_equal(cluster_money(c, key).voided_minor, has_accepted ? 0 : 4500);
  cluster_destroy(c);
}

static void x12_while_the_store_is_unreachable_the_order_is_canceling_and_never_guessed(void **state) {
  (void)state;
  pass_deadline_unreachable(false);
  pass_deadline_unreachable(true);
}

/* ---- X14 ---- */

static void set_next_id(cluster *c, uint64_t next) {
  cafe_store *inner = c->nodes[0].inner;
  cafe_arena *arena = cafe_arena_create(NULL);
  assert_non_null(arena);
  id_row data = {(int64_t)next};
  cafe_row_write row = {&engine_tables[TABLE_IDS], 1, 0, 0, &data};
  cafe_unit unit = {.size = sizeof unit, .key = 1, .rows = &row, .row_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_batch batch = {sizeof batch, units, 1, arena};
  assert_int_equal(inner->ops->commit(inner, &batch, NULL), CAFE_OK);
  assert_int_equal(unit.result, CAFE_UNIT_DONE);
  cafe_arena_destroy(arena);
}

static cluster *create_at(uint64_t next, bool is_split) {
  cluster_options options = {.seed = next, .is_split = is_split, .id_block = 3};
  cluster *c = cluster_create(&options);
  cluster_stop(c, CLUSTER_APP);
  set_next_id(c, next);
  assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
  return c;
}

static void live_from(uint64_t next, bool is_split) {
  cluster *c = create_at(next, is_split);
  for (uint64_t i = 0; i < 6; i++) {
    uint64_t key = place(c, 0);
    assert_true(key == next + i);
    if (i % 2)
      cluster_cancel(c, key);
    if (i == 3) {
      cluster_kill(c, CLUSTER_APP);
      assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
      next += 2; /* what is left of the block in hand is lost: 3, 4, 5 of it were begun by key 3 */
    }
  }
  cluster_finish(c);
  cluster_check(c, true);
  cluster_destroy(c);
}

static void x14_orders_past_127_and_2_to_the_31st_live_like_all_others(void **state) {
  (void)state;
  static const uint64_t from[] = {
      1, 125, 253, 32765, 65533, (UINT64_C(1) << 31) - 3, (UINT64_C(1) << 32) - 3, UINT64_C(1) << 52};
  for (size_t i = 0; i < sizeof from / sizeof from[0]; i++) {
    live_from(from[i], true);
    live_from(from[i], false);
  }
}

static void x14_the_last_id_is_2_to_the_53rd_less_1_and_beyond_is_a_clear_refusal(void **state) {
  (void)state;
  cluster *c = create_at(CAFE_KEY_MAX - 1, true);
  uint64_t before = place(c, 0), last = place(c, 0);
  assert_true(before == CAFE_KEY_MAX - 1 && last == CAFE_KEY_MAX);
  for (int i = 0; i < 3; i++) {
    cluster_call *beyond = cluster_place(c, 4500, "token", NULL);
    cluster_wait(c, beyond);
    assert_int_equal(beyond->code, CAFE_UNSUPPORTED);
    assert_non_null(strstr(beyond->reason, "no keys are left"));
  }
  cluster_cancel(c, last);
  cluster_finish(c);
  cluster_check(c, true);
  assert_int_equal(status_of(c, last), CAFE_ORDER_CANCELED);
  cluster_destroy(c);
}

/* ---- C3 ---- */

static void cancel_every_seventh(bool is_split) {
  enum { COUNT = 100 };
  cluster *c = create(7, is_split);
  cluster_call *calls[COUNT], *cancels[COUNT];
  for (int i = 0; i < COUNT; i++)
    calls[i] = cluster_place(c, 1000 + i, "token", NULL);
  cluster_run(c, 5000);
  for (int i = 0; i < COUNT; i++) {
    assert_int_equal(calls[i]->verdict, CAFE_ACCEPTED);
    cancels[i] = i % 7 == 6 ? cluster_cancel(c, calls[i]->key) : NULL;
  }
  cluster_run(c, 5000);
  cluster_check(c, false);
  cafe_sandbox_figures figures = {.size = sizeof figures};
  cafe_sandbox_get(c->sandbox, NULL, &figures);
  int64_t voided = 0;
  for (int i = 0; i < COUNT; i++) {
    bool is_canceled = i % 7 == 6;
    if (is_canceled)
      assert_int_equal(cancels[i]->verdict, CAFE_ACCEPTED);
    cafe_sandbox_entry money = cluster_money(c, calls[i]->key);
    assert_int_equal(money.approved_minor, 1000 + i);
    assert_int_equal(money.voided_minor, is_canceled ? 1000 + i : 0);
    assert_int_equal(status_of(c, calls[i]->key), is_canceled ? CAFE_ORDER_CANCELED : CAFE_ORDER_ORDERED);
    voided += is_canceled ? 1000 + i : 0;
  }
  assert_int_equal(figures.voided_minor, voided);
  cluster_finish(c);
  cluster_check(c, true);
  cluster_destroy(c);
}

static void c3_of_100_orders_at_once_exactly_every_seventh_is_voided(void **state) {
  (void)state;
  cancel_every_seventh(false);
  cancel_every_seventh(true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(x1_cancel_against_start_has_exactly_one_winner),
      cmocka_unit_test(x3_a_cancel_that_reaches_the_store_before_the_ticket_ends_the_same),
      cmocka_unit_test(x4_what_comes_one_to_five_times_days_apart_counts_once),
      cmocka_unit_test(x6_with_a_fifth_of_all_messages_lost_and_the_rest_reordered_all_ends_well),
      cmocka_unit_test(x11_a_jump_of_the_clock_within_a_run_makes_nothing_early_late_or_twice),
      cmocka_unit_test(x11_after_a_restart_due_times_hold_as_utc),
      cmocka_unit_test(x12_what_nobody_accepts_is_canceled_voided_and_told_once),
      cmocka_unit_test(x12_while_the_store_is_unreachable_the_order_is_canceling_and_never_guessed),
      cmocka_unit_test(x14_orders_past_127_and_2_to_the_31st_live_like_all_others),
      cmocka_unit_test(x14_the_last_id_is_2_to_the_53rd_less_1_and_beyond_is_a_clear_refusal),
      cmocka_unit_test(c3_of_100_orders_at_once_exactly_every_seventh_is_voided),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
