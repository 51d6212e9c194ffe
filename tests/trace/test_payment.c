/* SPDX-License-Identifier: Apache-2.0 */

/* Orders whose payment doesn't go as it should, as they are told in docs/orders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "trace_shop.h"

/* C1: a failing order as golden text. */
static void a_declined_payment_leaves_no_order(void **state) {
  shop *s = shop_open(false);
  shop_place(s, "decline", "k1");
  shop_run(s, 5000);
  trace_next(shop_trace(s));
  shop_place(s, "decline", "k1");
  shop_rest(s);
  trace_check(shop_trace(s), "orders/declined.md", "declined");
  assert_int_equal(shop_money(s, SHOP_ORDER).authorizations, 0);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void a_refused_payment_leaves_no_order(void **state) {
  shop *s = shop_open(false);
  shop_gateway(s, CAFE_SANDBOX_ERROR, 37);
  shop_place(s, "token", "k1");
  shop_run(s, 5000);
  trace_next(shop_trace(s));
  shop_gateway(s, CAFE_SANDBOX_APPROVE, 37);
  shop_place(s, "token", "k1");
  shop_run(s, 5039);
  trace_end(shop_trace(s));
  shop_rest(s);
  trace_check(shop_trace(s), "orders/unavailable.md", "unavailable");
  assert_int_equal(shop_money(s, SHOP_ORDER).authorizations, 0);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void what_the_caller_takes_back_is_voided(void **state) {
  shop *s = shop_open(false);
  shop_call *call = shop_place(s, "token", "k1");
  shop_run(s, 20);
  trace_next(shop_trace(s));
  shop_give_up(s, call);
  shop_rest(s);
  trace_check(shop_trace(s), "orders/taken-back.md", "taken back");
  assert_int_equal(call->code, CAFE_CANCELED);
  assert_int_equal(shop_money(s, SHOP_ORDER).voided_minor, 4500);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void money_that_the_gateway_keeps_is_an_operators(void **state) {
  shop *s = shop_open(false);
  trace_end(shop_trace(s));
  shop_place(s, "token", NULL);
  shop_run(s, 10000);
  trace_resume(shop_trace(s));
  shop_gateway(s, CAFE_SANDBOX_ERROR, 37);
  shop_cancel(s, SHOP_ORDER);
  shop_run(s, 10200);
  trace_next(shop_trace(s));
  trace_end(shop_trace(s));
  shop_run(s, 195550);
  trace_resume(shop_trace(s));
  shop_rest(s);
  assert_int_equal(shop_money(s, SHOP_ORDER).voided_minor, 0);
  trace_next(shop_trace(s));
  shop_gateway(s, CAFE_SANDBOX_APPROVE, 37);
  shop_run(s, 900000);
  shop_retry(s, SHOP_ORDER);
  shop_rest(s);
  trace_check(shop_trace(s), "orders/void-fails.md", "void fails");
  assert_int_equal(shop_money(s, SHOP_ORDER).voided_minor, 4500);
  shop_close(s);
}

/* The gateway takes longer than the caller waits. */
static shop *place_with_a_slow_gateway(void) {
  shop *s = shop_open(false);
  shop_gateway(s, CAFE_SANDBOX_APPROVE, 900);
  shop_place(s, "token", "k1");
  return s;
}

/* C1: a failing order as golden text. */
static void a_late_approval_is_taken_by_who_comes_back(void **state) {
  shop *s = place_with_a_slow_gateway();
  shop_run(s, 700);
  trace_next(shop_trace(s));
  shop_run(s, 10000);
  trace_next(shop_trace(s));
  shop_place(s, "token", "k1");
  shop_run(s, 12000);
  trace_end(shop_trace(s));
  shop_rest(s);
  trace_check(shop_trace(s), "orders/late-approval.md", "taken");
  assert_int_equal(shop_money(s, SHOP_ORDER).authorizations, 1);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void a_late_approval_that_nobody_takes_is_voided(void **state) {
  shop *s = place_with_a_slow_gateway();
  trace_end(shop_trace(s));
  shop_run(s, 10000);
  trace_resume(shop_trace(s));
  shop_rest(s);
  trace_check(shop_trace(s), "orders/late-approval.md", "left");
  cafe_sandbox_entry money = shop_money(s, SHOP_ORDER);
  assert_int_equal(money.voided_minor, 4500);
  assert_int_equal(money.captured_minor, 0);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void a_payment_without_an_answer_is_asked_for_until_it_has_one(void **state) {
  shop *s = shop_open(false);
  shop_gateway(s, CAFE_SANDBOX_HANG, 0);
  shop_place(s, "token", "k1");
  shop_run(s, 11000);
  shop_gateway(s, CAFE_SANDBOX_APPROVE, 37);
  trace_next(shop_trace(s));
  shop_rest(s);
  trace_check(shop_trace(s), "orders/no-answer.md", "no answer");
  assert_int_equal(shop_money(s, SHOP_ORDER).voided_minor, 4500);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void a_retry_joins_the_draft(void **state) {
  shop *s = shop_open(false);
  shop_gateway(s, CAFE_SANDBOX_APPROVE, 400);
  shop_place(s, "token", "k1");
  shop_run(s, 300);
  trace_next(shop_trace(s));
  shop_place(s, "token", "k1");
  shop_run(s, 5000);
  trace_next(shop_trace(s));
  shop_place(s, "token", "k1");
  shop_run(s, 6000);
  trace_end(shop_trace(s));
  shop_rest(s);
  trace_check(shop_trace(s), "orders/retry-joins.md", "joins");
  assert_int_equal(shop_money(s, SHOP_ORDER).authorizations, 1);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void the_log_brings_the_approval_whose_reply_was_lost(void **state) {
  shop *s = shop_open(true);
  shop_place(s, "token", "k1");
  shop_run(s, 20);
  shop_cut(s, "pay", true);
  shop_run(s, 100);
  trace_next(shop_trace(s));
  shop_cut(s, "pay", false);
  shop_run(s, 3000);
  trace_end(shop_trace(s));
  shop_rest(s);
  trace_check(shop_trace(s), "orders/lost-reply.md", "lost reply");
  assert_int_equal(shop_money(s, SHOP_ORDER).authorizations, 1);
  shop_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_declined_payment_leaves_no_order),
      cmocka_unit_test(a_refused_payment_leaves_no_order),
      cmocka_unit_test(what_the_caller_takes_back_is_voided),
      cmocka_unit_test(money_that_the_gateway_keeps_is_an_operators),
      cmocka_unit_test(a_late_approval_is_taken_by_who_comes_back),
      cmocka_unit_test(a_late_approval_that_nobody_takes_is_voided),
      cmocka_unit_test(a_payment_without_an_answer_is_asked_for_until_it_has_one),
      cmocka_unit_test(a_retry_joins_the_draft),
      cmocka_unit_test(the_log_brings_the_approval_whose_reply_was_lost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
