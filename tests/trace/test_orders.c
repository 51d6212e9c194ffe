/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whole orders as they are told in docs/: what happens is compared with the blocks of the pages, line by line. After a
 * change that is meant, CAFE_UPDATE=1 writes the blocks anew; the prose around them is for the author to read again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "trace_shop.h"

/* The happy order: paid at once, accepted after a while, made, handed out. The first two moments are those at which the
 * parts of the story end: after the draft, and after the answer. */
static void play_happy(shop *s, int64_t drafted_ms, int64_t answered_ms) {
  trace *t = shop_trace(s);
  shop_place(s, "token", NULL);
  shop_run(s, drafted_ms);
  trace_next(t);
  shop_run(s, answered_ms);
  trace_next(t);
  shop_run(s, 1000);
  trace_next(t);
  shop_run(s, 5000);
  trace_next(t);
  shop_run(s, 30000);
  shop_act(s, SHOP_ORDER, CAFE_TICKET_ACCEPT);
  shop_run(s, 60000);
  trace_next(t);
  shop_act(s, SHOP_ORDER, CAFE_TICKET_START);
  shop_run(s, 180000);
  trace_next(t);
  shop_act(s, SHOP_ORDER, CAFE_TICKET_FINISH);
  shop_run(s, 200000);
  shop_act(s, SHOP_ORDER, CAFE_TICKET_HAND_OUT);
  shop_rest(s);
}

static void check_and_close(shop *s, const char *name) {
  trace_check(shop_trace(s), "one-order.md", name);
  cafe_sandbox_entry money = shop_money(s, SHOP_ORDER);
  assert_int_equal(money.captured_minor, 4500);
  assert_int_equal(money.authorizations + money.captures, 2);
  assert_int_equal(shop_deliveries(s, SHOP_ORDER), 4);
  shop_close(s);
}

/* C1: a happy order as golden text. */
static void an_order_goes_its_way_in_one_node(void **state) {
  shop *s = shop_open(false);
  play_happy(s, 20, 40);
  check_and_close(s, "one node");
}

/* C1: a happy order as golden text. */
static void an_order_goes_its_way_over_five_nodes(void **state) {
  shop *s = shop_open(true);
  play_happy(s, 20, 45);
  check_and_close(s, "five nodes");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_order_goes_its_way_in_one_node),
      cmocka_unit_test(an_order_goes_its_way_over_five_nodes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
