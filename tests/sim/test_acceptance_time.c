/* SPDX-License-Identifier: Apache-2.0 */

/* Clocks that jump. */
#include "acceptance_kit.h"

/* ---- X11 ---- */

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

/* The same while payment is in flight: the caller's wait, then the draft's. */
static void jump_while_paying(int64_t by_ms) {
  cluster_options options = {.seed = 13, .gateway_retry = {50, 1000, 0, 800}};
  cluster *c = cluster_create(&options);
  c->chances.hang = 100;
  cluster_call *call = submit_order(c, 0, NULL);
  cluster_run(c, 1000);
  jump(c, by_ms);
  cluster_run(c, 4000 - 20);
  assert_false(call->is_done); /* not early */
  cluster_run(c, 100);
  assert_true(call->is_done); /* not late */
  assert_ptr_equal(call->event, &cafe_draft_unclaimed_type);
  jump(c, -2 * by_ms);
  cluster_run(c, 30000 - 200);
  const cluster_order *order = cluster_find(c, call->key);
  assert_int_equal(order->order.draft, CAFE_DRAFT_UNCLAIMED);
  cluster_run(c, 1000);
  assert_int_equal(order->order.draft, CAFE_DRAFT_DROPPED);
  cluster_heal(c);
  cluster_rest(c);
  cluster_check(c, true);
  assert_int_equal(cluster_count(order, &cafe_draft_unclaimed_type), 1);
  assert_int_equal(cluster_count(order, &cafe_draft_dropped_type), 1);
  cluster_destroy(c);
}

/* X11: clock jumps: within a run nothing fires early or twice. */
static void x11_a_jump_of_the_clock_within_a_run_makes_nothing_early_late_or_twice(void **state) {
  (void)state;
  static const int64_t jumps_ms[] = {DAY_MS, -DAY_MS, 30000, -30000};
  for (size_t i = 0; i < sizeof jumps_ms / sizeof jumps_ms[0]; i++) {
    jump_within(jumps_ms[i]);
    jump_while_paying(jumps_ms[i]);
  }
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

/* X11: after a restart due times hold as UTC. */
static void x11_after_a_restart_due_times_hold_as_utc(void **state) {
  (void)state;
  jump_over_restart(0, 50000);
  jump_over_restart(30000, 20000);
  jump_over_restart(DAY_MS, 0);
  jump_over_restart(-3600000, 3650000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(x11_a_jump_of_the_clock_within_a_run_makes_nothing_early_late_or_twice),
      cmocka_unit_test(x11_after_a_restart_due_times_hold_as_utc),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
