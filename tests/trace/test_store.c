/* SPDX-License-Identifier: Apache-2.0 */

/* Orders that end otherwise than picked up, by the store, the customer or the deadline, as they are told in
 * docs/orders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "trace_shop.h"

/* An order that is paid for, and what the owner has done; what is told begins 10 s after it was placed. */
static shop *open_with_order(bool is_split, cafe_ticket_action done) {
  shop *s = shop_open(is_split);
  trace_end(shop_trace(s));
  shop_place(s, "token", NULL);
  shop_run(s, 4000);
  if (done >= CAFE_TICKET_ACCEPT) {
    shop_act(s, SHOP_ORDER, CAFE_TICKET_ACCEPT);
    shop_run(s, 7000);
  }
  if (done >= CAFE_TICKET_START) {
    shop_act(s, SHOP_ORDER, CAFE_TICKET_START);
  }
  shop_run(s, 10000);
  trace_resume(shop_trace(s));
  return s;
}

static const cafe_ticket_action nothing = (cafe_ticket_action)0;

static void check_money(shop *s, int64_t captured, int64_t voided, int64_t refunded) {
  cafe_sandbox_entry money = shop_money(s, SHOP_ORDER);
  assert_int_equal(money.approved_minor, 4500);
  assert_int_equal(money.captured_minor, captured);
  assert_int_equal(money.voided_minor, voided);
  assert_int_equal(money.refunded_minor, refunded);
}

/* C1: a failing order as golden text. */
static void the_store_rejects_the_ticket(void **state) {
  shop *s = open_with_order(false, nothing);
  shop_act(s, SHOP_ORDER, CAFE_TICKET_REJECT);
  shop_rest(s);
  trace_check(shop_trace(s), "orders/rejected.md", "rejected");
  check_money(s, 0, 4500, 0);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void the_store_gives_up_after_it_has_started(void **state) {
  shop *s = open_with_order(false, CAFE_TICKET_START);
  shop_act(s, SHOP_ORDER, CAFE_TICKET_FAIL);
  shop_rest(s);
  trace_check(shop_trace(s), "orders/gives-up.md", "gives up");
  check_money(s, 4500, 0, 4500);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void nobody_accepts_in_time(void **state) {
  shop *s = open_with_order(false, nothing);
  shop_rest(s);
  trace_check(shop_trace(s), "orders/nobody-accepts.md", "nobody accepts");
  check_money(s, 0, 4500, 0);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void a_cancel_wins(void **state) {
  shop *s = open_with_order(false, CAFE_TICKET_ACCEPT);
  shop_cancel(s, SHOP_ORDER);
  shop_run(s, 15000);
  trace_next(shop_trace(s));
  shop_cancel(s, SHOP_ORDER);
  shop_rest(s);
  trace_check(shop_trace(s), "orders/cancel-wins.md", "one node");
  check_money(s, 0, 4500, 0);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void a_cancel_wins_over_five_nodes(void **state) {
  shop *s = open_with_order(true, nothing);
  shop_cancel(s, SHOP_ORDER);
  shop_rest(s);
  trace_check(shop_trace(s), "orders/cancel-wins.md", "five nodes");
  check_money(s, 0, 4500, 0);
  shop_close(s);
}

/* C1: a failing order as golden text. The owner starts while the cancel is on its way to the store. */
static void a_cancel_loses(void **state) {
  shop *s = open_with_order(true, CAFE_TICKET_ACCEPT);
  shop_cancel(s, SHOP_ORDER);
  shop_act(s, SHOP_ORDER, CAFE_TICKET_START);
  shop_run(s, 15000);
  trace_end(shop_trace(s));
  shop_rest(s);
  trace_check(shop_trace(s), "orders/cancel-loses.md", "cancel loses");
  check_money(s, 4500, 0, 0);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void a_cancel_comes_too_late(void **state) {
  shop *s = open_with_order(false, CAFE_TICKET_START);
  shop_cancel(s, SHOP_ORDER);
  shop_rest(s);
  trace_check(shop_trace(s), "orders/cancel-loses.md", "too late");
  check_money(s, 4500, 0, 0);
  shop_close(s);
}

/* C1: a failing order as golden text. The store is out when the order comes, and hears of the withdrawal first. */
static void a_cancel_comes_before_its_ticket(void **state) {
  shop *s = shop_open(true);
  shop_cut(s, "store", true);
  shop_place(s, "token", NULL);
  shop_run(s, 2000);
  trace_next(shop_trace(s));
  shop_cancel(s, SHOP_ORDER);
  shop_run(s, 2500);
  shop_withdraw(s, SHOP_ORDER);
  shop_run(s, 3000);
  trace_next(shop_trace(s));
  shop_cut(s, "store", false);
  shop_rest(s);
  trace_check(shop_trace(s), "orders/cancel-before-ticket.md", "before");
  check_money(s, 0, 4500, 0);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void the_store_is_out_while_an_order_is_canceled(void **state) {
  shop *s = shop_open(true);
  trace_end(shop_trace(s));
  shop_cut(s, "store", true);
  shop_place(s, "token", NULL);
  shop_run(s, 2000);
  trace_resume(shop_trace(s));
  shop_cancel(s, SHOP_ORDER);
  shop_run(s, 3000);
  trace_next(shop_trace(s));
  shop_cut(s, "store", false);
  shop_rest(s);
  trace_check(shop_trace(s), "orders/cancel-before-ticket.md", "in order");
  check_money(s, 0, 4500, 0);
  shop_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_store_rejects_the_ticket),
      cmocka_unit_test(the_store_gives_up_after_it_has_started),
      cmocka_unit_test(nobody_accepts_in_time),
      cmocka_unit_test(a_cancel_wins),
      cmocka_unit_test(a_cancel_wins_over_five_nodes),
      cmocka_unit_test(a_cancel_loses),
      cmocka_unit_test(a_cancel_comes_too_late),
      cmocka_unit_test(a_cancel_comes_before_its_ticket),
      cmocka_unit_test(the_store_is_out_while_an_order_is_canceled),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
