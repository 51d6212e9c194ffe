/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The caller gives up while payment is in flight, at every moment of the flight: step n = 0, 1, … of a world that does
 * the same each time up to there. From the gateway's answer on the approval may be faster than he; then it is an order
 * like any other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"

typedef struct setting {
  bool is_split, is_threaded;
  bool is_cut; /* payment can't be reached until he has given up */
  cluster_chances chances;
} setting;

static struct { uint32_t moments, voided, tombstones, late, orders; } tally;

static const cluster_order *only_order(cluster *c) {
  const map_entry *first = map_first(c->orders);
  assert_true(map_count(c->orders) <= 1);
  return first ? map_value(first) : NULL;
}

static void check_nothing_came_of_it(cluster *c) {
  const cluster_order *order = only_order(c);
  if (!order)
    return; /* it wasn't even a draft */
  if (order->ordered || order->received || cluster_count(order, &cafe_ticket_withdrawn_type))
    cluster_violation(c, "X2", order->key, "the caller gave up, and it became an order or a ticket");
  cafe_sandbox_entry money = cluster_money(c, order->key);
  if (money.captured_minor || money.voided_minor != money.approved_minor)
    cluster_violation(c, "X2", order->key, "the caller gave up, and the approval isn't void");
  tally.voided += money.voids;
  tally.tombstones += order->payment.is_tombstone;
}

/* False: it was answered before step n. */
static bool give_up_at(const setting *how, uint64_t n) {
  cluster_options options = {.seed = 2, .is_split = how->is_split, .is_threaded = how->is_threaded, .job_max_us = 300};
  cluster *c = cluster_create(&options);
  bool was_asked = false;
  c->chances = how->chances;
  cafe_inproc_cut(c->hub, "pay", how->is_cut);
  cluster_call *call = cluster_place(c, 4500, "token", NULL);
  for (uint64_t i = 0; i < n && call->op; i++) {
    cluster_step(c);
    was_asked = was_asked || cluster_is_paying(c);
  }
  bool is_in_flight = !was_asked || cluster_is_paying(c);
  bool is_hit = call->op != NULL;
  if (is_hit)
    cafe_op_cancel(call->op);
  cluster_heal(c);
  cluster_rest(c);
  cluster_check(c, true);
  if (is_hit && is_in_flight) {
    tally.moments++;
    /* Faster may be: no answer from payment in time. */
    assert_true(call->code == CAFE_CANCELED || (call->event == &cafe_draft_unclaimed_type && !call->code));
    check_nothing_came_of_it(c);
  } else if (is_hit) {
    const cluster_order *order = only_order(c);
    tally.late++;
    tally.orders += order->ordered;
    if (!order->ordered)
      check_nothing_came_of_it(c);
  }
  cluster_destroy(c);
  return is_hit;
}

static void give_up_at_each_step(const setting *how) {
  uint64_t n = 0;
  while (give_up_at(how, n))
    n++;
}

/* X2: the caller gives up while payment is in flight: the pending operation is canceled, the approval voided, the store
 * never has a ticket. */
static void x2_who_gives_up_while_payment_is_in_flight_has_no_order_and_no_charge(void **state) {
  (void)state;
  static const cluster_chances gateways[] = {{.delay_ms = 5},
                                             {.delay_ms = 900},
                                             {.delay_ms = 5, .decline = 100},
                                             {.delay_ms = 5, .error = 100},
                                             {.hang = 100}};
  for (int nodes = 0; nodes < 4; nodes++) {
    setting how = {.is_split = nodes & 1, .is_threaded = nodes & 2};
    for (size_t i = 0; i < sizeof gateways / sizeof gateways[0]; i++) {
      how.chances = gateways[i];
      give_up_at_each_step(&how);
    }
    how.is_cut = how.is_split;
    give_up_at_each_step(&how);
  }
  print_message("X2: given up at %u moments of the flight, %u approvals voided, %u payments that never began; at %u "
                "moments after it, %u of them too late\n",
                tally.moments, tally.voided, tally.tombstones, tally.late, tally.orders);
  assert_true(tally.moments > 100 && tally.voided > 50 && tally.tombstones && tally.late);
}

/* Two callers under one key: what one gives up is still the other's. */
static void give_up_one_of_two(bool is_threaded, bool is_first, bool is_both) {
  cluster_options options = {.seed = 3, .is_threaded = is_threaded, .job_max_us = 300};
  cluster *c = cluster_create(&options);
  c->chances.delay_ms = 100;
  cluster_call *calls[] = {cluster_place(c, 4500, "token", "k1"), NULL};
  cluster_run(c, 20);
  calls[1] = cluster_place(c, 4500, "token", "k1");
  cluster_run(c, 20);
  cafe_op_cancel(calls[!is_first]->op);
  if (is_both)
    cafe_op_cancel(calls[is_first]->op);
  cluster_run(c, 5000);
  const cluster_order *order = only_order(c);
  assert_int_equal(calls[!is_first]->code, CAFE_CANCELED);
  assert_int_equal(calls[is_first]->code, is_both ? CAFE_CANCELED : CAFE_OK);
  assert_int_equal(order->ordered, !is_both);
  assert_int_equal(cluster_money(c, order->key).voids, is_both);
  cluster_rest(c);
  cluster_check(c, true);
  cluster_destroy(c);
}

static void what_two_wait_for_is_taken_back_when_both_have_given_up(void **state) {
  (void)state;
  for (int how = 0; how < 8; how++)
    give_up_one_of_two(how & 1, how & 2, how & 4);
}

static void a_cancel_that_nobody_waits_for_is_carried_out(void **state) {
  (void)state;
  cluster_options options = {.seed = 4, .is_split = true};
  cluster *c = cluster_create(&options);
  cluster_call *call = cluster_place(c, 4500, "token", NULL);
  cluster_wait(c, call);
  cafe_inproc_cut(c->hub, "store", true);
  cluster_call *cancel = cluster_cancel(c, call->key);
  cluster_run(c, 1000);
  cafe_op_cancel(cancel->op);
  cluster_run(c, 1000);
  assert_int_equal(cancel->code, CAFE_CANCELED);
  cafe_inproc_cut(c->hub, "store", false);
  cluster_rest(c);
  cluster_check(c, true);
  assert_int_equal(cluster_find(c, call->key)->order.status, CAFE_ORDER_CANCELED);
  cluster_destroy(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(x2_who_gives_up_while_payment_is_in_flight_has_no_order_and_no_charge),
      cmocka_unit_test(what_two_wait_for_is_taken_back_when_both_have_given_up),
      cmocka_unit_test(a_cancel_that_nobody_waits_for_is_carried_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
