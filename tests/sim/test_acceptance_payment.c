/* SPDX-License-Identifier: Apache-2.0 */

/* Payment that is away, slow, overloaded, or can't give money back. */
#include "acceptance_kit.h"
#include "samples.h"

static cafe_node *app(cluster *c) { return cluster_node_of(c, CLUSTER_APP)->node; }
static cafe_node *pay(cluster *c) { return cluster_node_of(c, CLUSTER_PAY)->node; }

static cafe_sandbox_figures figures(cluster *c) {
  cafe_sandbox_figures now = {.size = sizeof now};
  cafe_sandbox_get(c->sandbox, NULL, &now);
  return now;
}

static int64_t now_ms(cluster *c) { return cafe_sim_now_us(c->world) / 1000; }

/* ---- N1 ---- */

static void stop_pay(bool is_split, bool is_unreachable) {
  cluster *c = create(3, is_split);
  if (is_unreachable)
    cafe_inproc_cut(c->hub, "pay", true);
  else
    cluster_stop(c, CLUSTER_PAY);
  int64_t begun_ms = now_ms(c);
  cluster_call *call = cluster_place(c, 4500, "token", "k");
  cluster_wait(c, call);
  assert_in_range(now_ms(c) - begun_ms, 0, 600 + 10);
  assert_int_equal(call->verdict, CAFE_REFUSED);
  assert_true(call->event == &cafe_draft_dropped_type || call->event == &cafe_draft_unclaimed_type);
  assert_int_equal(status_of(c, call->key), CAFE_ORDER_NONE);
  assert_int_equal(figures(c).calls, 0);
  cafe_inproc_cut(c->hub, "pay", false);
  assert_int_equal(cluster_start(c, CLUSTER_PAY), CAFE_OK);
  cluster_run(c, 1000);
  cluster_call *next = cluster_place(c, 4500, "token", "k"); /* the same key tries again */
  cluster_wait(c, next);
  assert_int_equal(next->verdict, CAFE_ACCEPTED);
  cluster_finish(c);
  cluster_check(c, true);
  assert_int_equal(figures(c).approved_minor, 4500);
  cluster_destroy(c);
}

/* N1: unpaid is no deal: pay stopped, or out of reach. */
static void n1_without_payment_there_is_no_order_and_with_it_there_is_one_again(void **state) {
  (void)state;
  stop_pay(true, false);
  stop_pay(true, true);
}

/* N1: an answer that comes after the deadline is taken by who comes back, or void. */
static void n1_a_late_approval_is_never_a_silent_charge(void **state) {
  (void)state;
  for (int comes_back = 0; comes_back <= 1; comes_back++) {
    for (int is_split = 0; is_split <= 1; is_split++) {
      cluster *c = create(5, is_split);
      c->chances.delay_ms = 700;
      cluster_call *call = cluster_place(c, 4500, "token", "k"), *again = NULL;
      cluster_wait(c, call);
      assert_ptr_equal(call->event, &cafe_draft_unclaimed_type);
      cluster_run(c, 2000);
      assert_int_equal(cluster_money(c, call->key).approved_minor, 4500);
      if (comes_back) {
        again = cluster_place(c, 4500, "token", "k");
        cluster_wait(c, again);
        assert_int_equal(again->verdict, CAFE_ACCEPTED);
        assert_int_equal(again->key, call->key);
      }
      cluster_finish(c);
      cluster_check(c, true);
      cafe_sandbox_entry money = cluster_money(c, call->key);
      assert_int_equal(money.authorizations, 1);
      assert_int_equal(money.voided_minor + money.captured_minor, 4500);
      assert_true(comes_back || money.voided_minor == 4500);
      cluster_destroy(c);
    }
  }
}

/* ---- N2b ---- */

enum { CLIENTS = 100 };

typedef struct siege {
  uint32_t accepted, rejected, failed;
} siege;

/* Each client orders again when he is answered, or when he may come back. */
static siege besiege(cluster *c, int64_t ms) {
  cluster_call *calls[CLIENTS] = {NULL};
  int64_t not_before[CLIENTS] = {0};
  siege counted = {0, 0, 0};
  for (int64_t until = now_ms(c) + ms; now_ms(c) < until; cluster_run(c, 10)) {
    for (int i = 0; i < CLIENTS; i++) {
      if (calls[i] && calls[i]->is_done) {
        bool is_accepted = calls[i]->verdict == CAFE_ACCEPTED;
        counted.accepted += is_accepted;
        counted.rejected += calls[i]->retry_after_ms > 0;
        counted.failed += !is_accepted && !calls[i]->retry_after_ms;
        not_before[i] = now_ms(c) + (is_accepted ? 100 : 300 + (int64_t)cluster_random(c, 700));
        calls[i] = NULL;
      }
      if (!calls[i] && now_ms(c) >= not_before[i])
        calls[i] = cluster_place(c, 1000 + i, "token", NULL);
    }
  }
  return counted;
}

static void overload(bool is_split) {
  cluster_options options = {.seed = 21, .is_split = is_split, .payment_concurrency = 24, .breaker_sleep_ms = 2000};
  cluster *c = cluster_create(&options); /* its gateway counts, and more than 24 calls fail the test */
  c->chances.delay_ms = 400;
  c->chances.jitter_ms = 220;
  c->chances.capacity = 8;
  siege counted = besiege(c, is_full() ? 60000 : 20000);
  print_message("N2b: %u accepted, %u rejected at once, %u failed\n", counted.accepted, counted.rejected,
                counted.failed);
  assert_true(counted.accepted > 50 && counted.rejected > counted.failed);
  cluster_check(c, false);
  assert_true(sample_value(app(c), "cafe_breaker_transitions_total payment OPEN") >= 1);
  assert_true(sample_value(app(c), "cafe_breaker_transitions_total payment HALF_OPEN") >= 1);
  assert_true(sample_value(app(c), "cafe_guard_limit payment") < 24);

  /* Payment is well again: so is ordering within one sleep. */
  memset(&c->chances, 0, sizeof c->chances);
  cluster_run(c, 1000); /* who has waited for it is answered */
  int64_t begun_ms = now_ms(c);
  bool is_accepted = false;
  while (!is_accepted) {
    assert_true(now_ms(c) - begun_ms <= 2000 + 100);
    cluster_call *call = cluster_place(c, 4500, "token", NULL);
    cluster_wait(c, call);
    is_accepted = call->verdict == CAFE_ACCEPTED;
    if (!is_accepted)
      cluster_run(c, 20);
  }
  assert_int_equal((int)sample_value(app(c), "cafe_breaker_state payment CLOSED"), 1);
  cluster_rest(c);
  cluster_check(c, true);
  cluster_destroy(c);
}

/* N2b: payment overloaded: the breaker opens, probes and closes; who is refused is told at once; each kind is counted.
 */
static void n2b_overloaded_payment_is_held_off_and_comes_back(void **state) {
  (void)state;
  overload(false);
  overload(true);
}

/* N2b: while it is open, an order is refused in no time, and nothing of it is asked or written. */
static void n2b_while_the_breaker_is_open_nobody_waits(void **state) {
  (void)state;
  for (int is_split = 0; is_split <= 1; is_split++) {
    cluster_options options = {.seed = 22, .is_split = is_split, .breaker_volume = 4, .breaker_sleep_ms = 5000};
    cluster *c = cluster_create(&options);
    c->chances.error = 100;
    for (int i = 0; i < 4; i++)
      cluster_wait(c, cluster_place(c, 4500, "token", NULL));
    cluster_run(c, 100);
    uint64_t asked = figures(c).calls;
    int64_t begun_us = cafe_sim_now_us(c->world);
    cluster_call *call = cluster_place(c, 4500, "token", NULL);
    cluster_wait(c, call);
    assert_true(cafe_sim_now_us(c->world) - begun_us < 1000);
    assert_string_equal(call->reason, "payment-unavailable");
    assert_in_range(call->retry_after_ms, 4000, 5001);
    assert_null(cluster_find(c, call->key));
    assert_int_equal(figures(c).calls, asked);
    cluster_heal(c);
    cluster_run(c, call->retry_after_ms);
    call = cluster_place(c, 4500, "token", NULL);
    cluster_wait(c, call);
    assert_int_equal(call->verdict, CAFE_ACCEPTED);
    cluster_rest(c);
    cluster_check(c, true);
    cluster_destroy(c);
  }
}

/* ---- X13 ---- */

enum { TRIES = 12 };

static void count_failed(const cafe_err *err, const cafe_counts *counts, void *user) {
  assert_null(err);
  for (uint32_t i = 0; i < counts->count; i++)
    if (strcmp(counts->values[i], "Failed") == 0)
      *(int *)user = (int)counts->rows[i];
}

/* As the metric cafe_payments{status="Failed"} counts them. */
static int failed_payments(cluster *c) {
  int count = -1;
  assert_int_equal(cafe_node_count(NULL, pay(c), &cafe_payments_view, "status", count_failed, &count, NULL), CAFE_OK);
  while (count < 0)
    assert_true(cluster_step(c));
  return count;
}

/* Money that is to be given back: before the start by a void, after it by a refund. */
static uint64_t owe(cluster *c, bool is_captured) {
  uint64_t key = place(c, 0);
  wait_for_ticket(c, key, CAFE_TICKET_RECEIVED);
  if (is_captured) {
    act(c, key, CAFE_TICKET_ACCEPT);
    act(c, key, CAFE_TICKET_START);
    cluster_run(c, 1000);
    assert_int_equal(cluster_find(c, key)->payment.captured_minor, 4500);
  }
  c->chances.error = 100;
  if (is_captured)
    act(c, key, CAFE_TICKET_FAIL);
  else
    cluster_wait(c, cluster_cancel(c, key));
  return key;
}

/* Until the gateway was asked so often, from now on. */
static void wait_for_calls(cluster *c, uint64_t calls, int64_t *at_ms) {
  while (figures(c).calls < calls)
    assert_true(cluster_step(c));
  *at_ms = now_ms(c);
}

static void retry(cluster *c, uint64_t key, cafe_verdict verdict) {
  cluster_call *call = cluster_retry(c, key);
  cluster_wait(c, call);
  assert_int_equal(call->verdict, verdict);
}

/* By an operator: too early, which is given up again; then when it can be done. */
static void have_it_retried(cluster *c, uint64_t key, bool is_captured, bool is_killed) {
  c->chances.error = 100;
  uint64_t before = figures(c).calls;
  retry(c, key, CAFE_ACCEPTED);
  cluster_run(c, 1000);
  assert_true(figures(c).calls > before);
  assert_int_equal(failed_payments(c), 0);
  if (is_killed) {
    cluster_kill(c, CLUSTER_PAY);
    assert_int_equal(cluster_start(c, CLUSTER_PAY), CAFE_OK);
  }
  retry(c, key, CAFE_UNCHANGED);
  cluster_run(c, 30000);
  assert_int_equal(failed_payments(c), 1);
  assert_int_equal(cluster_count(cluster_find(c, key), &cafe_payment_failed_type), 2);
  assert_true(figures(c).calls >= before + TRIES); /* as often as the first time */
  cluster_heal(c);
  retry(c, key, CAFE_ACCEPTED);
  cluster_rest(c);
  cluster_check(c, true);
  cafe_sandbox_entry money = cluster_money(c, key);
  assert_int_equal(is_captured ? money.refunded_minor : money.voided_minor, 4500);
  assert_int_equal(money.voids + money.refunds, 1);
  assert_int_equal(failed_payments(c), 0);
  retry(c, key, CAFE_REFUSED);
}

static void keep_failing(bool is_split, bool is_captured, bool is_killed) {
  cluster *c = create(7, is_split);
  uint64_t key = owe(c, is_captured);
  uint64_t before = figures(c).calls;
  int64_t at_ms, last_ms = 0, ceiling_ms = 100, spread = 0; /* of the second gap */
  for (uint64_t call = before + 1; call < before + TRIES; call++) {
    wait_for_calls(c, call, &at_ms);
    if (last_ms) {
      assert_true(at_ms - last_ms <= ceiling_ms + 50); /* and some commits */
      spread += at_ms - last_ms < ceiling_ms / 2;
      ceiling_ms = ceiling_ms < 1000 ? ceiling_ms * 2 : 1000;
    }
    last_ms = at_ms;
    if (is_killed && call % 4 == 0) { /* the count goes on where it was */
      cluster_run(c, 20);
      cluster_kill(c, CLUSTER_PAY);
      assert_int_equal(cluster_start(c, CLUSTER_PAY), CAFE_OK);
      last_ms = 0;
    }
  }
  assert_true(is_killed || (spread > 0 && spread < TRIES - 1)); /* jitter */
  cluster_run(c, 5000);
  const cluster_order *order = cluster_find(c, key);
  assert_int_equal(cluster_count(order, &cafe_payment_failed_type), 1);
  assert_int_equal(order->payment.status, CAFE_PAYMENT_FAILED);
  assert_true(figures(c).calls <= before + TRIES + (is_killed ? TRIES : 0));
  assert_true(is_killed || figures(c).calls >= before + TRIES - 1);
  assert_int_equal(failed_payments(c), 1);
  if (!is_killed)
    assert_int_equal((int)sample_value(pay(c), "cafe_tasks_given_up_total"), 1);
  cluster_heal(c);
  cluster_rest(c);
  cluster_check(c, true);
  assert_int_equal(cluster_money(c, key).voids + cluster_money(c, key).refunds, 0);
  assert_int_equal(failed_payments(c), 1); /* never forgotten */
  have_it_retried(c, key, is_captured, is_killed);
  cluster_destroy(c);
}

/* X13: a void or a refund that fails is retried with backoff and jitter, then parked, and counted where it alerts; an
 * operator has it tried again. */
static void x13_money_that_cannot_be_given_back_is_an_operators(void **state) {
  (void)state;
  for (int is_captured = 0; is_captured <= 1; is_captured++) {
    keep_failing(false, is_captured, false);
    keep_failing(true, is_captured, false);
    keep_failing(true, is_captured, true);
  }
}

/* X13: a void or a refund that fails for a while is done in the end, once. */
static void x13_money_that_can_be_given_back_later_is(void **state) {
  (void)state;
  for (int is_captured = 0; is_captured <= 1; is_captured++) {
    cluster *c = create(8, true);
    uint64_t key = owe(c, is_captured);
    cluster_run(c, 1500);
    assert_int_equal(failed_payments(c), 0);
    cluster_heal(c);
    cluster_rest(c);
    cluster_check(c, true);
    cafe_sandbox_entry money = cluster_money(c, key);
    assert_int_equal(is_captured ? money.refunded_minor : money.voided_minor, 4500);
    assert_int_equal(money.voids + money.refunds, 1);
    cluster_destroy(c);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(n1_without_payment_there_is_no_order_and_with_it_there_is_one_again),
      cmocka_unit_test(n1_a_late_approval_is_never_a_silent_charge),
      cmocka_unit_test(n2b_overloaded_payment_is_held_off_and_comes_back),
      cmocka_unit_test(n2b_while_the_breaker_is_open_nobody_waits),
      cmocka_unit_test(x13_money_that_cannot_be_given_back_is_an_operators),
      cmocka_unit_test(x13_money_that_can_be_given_back_later_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
