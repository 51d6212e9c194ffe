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

/* The happy order: paid at once, accepted after a while, made, handed out. */
static void play_happy(shop *s) {
  trace *t = shop_trace(s);
  shop_place(s, "token", NULL);
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
  trace_end(t);
}

static void an_order_goes_its_way_in_one_node(void **state) {
  shop *s = shop_open(false);
  play_happy(s);
  trace_check(shop_trace(s), "one-order.md", "one node");
  shop_close(s);
}

static void an_order_goes_its_way_over_five_nodes(void **state) {
  shop *s = shop_open(true);
  play_happy(s);
  trace_check(shop_trace(s), "one-order.md", "five nodes");
  shop_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_order_goes_its_way_in_one_node),
      cmocka_unit_test(an_order_goes_its_way_over_five_nodes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
