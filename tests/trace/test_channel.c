/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of an order's messages where their channel fails, as it is told in docs/orders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "trace_shop.h"

/* C1: a failing order as golden text. */
static void a_channel_that_is_out_is_tried_again(void **state) {
  shop *s = shop_open(false);
  shop_channel_fails(s, 3, CAFE_UNAVAILABLE);
  trace_end(shop_trace(s));
  shop_place(s, "token", NULL);
  shop_run(s, 38);
  trace_resume(shop_trace(s));
  shop_run(s, 400);
  trace_next(shop_trace(s));
  shop_act(s, SHOP_ORDER, CAFE_TICKET_ACCEPT);
  shop_run(s, 20000);
  trace_end(shop_trace(s));
  shop_rest(s);
  trace_check(shop_trace(s), "orders/channel-fails.md", "again");
  assert_int_equal(shop_deliveries(s, SHOP_ORDER), 2);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void a_message_that_can_never_be_delivered_is_a_dead_letter(void **state) {
  shop *s = shop_open(false);
  shop_channel_fails(s, 1, CAFE_INVALID);
  trace_end(shop_trace(s));
  shop_place(s, "token", NULL);
  shop_run(s, 38);
  trace_resume(shop_trace(s));
  shop_run(s, 5000);
  trace_next(shop_trace(s));
  shop_act(s, SHOP_ORDER, CAFE_TICKET_ACCEPT);
  shop_run(s, 10000);
  trace_end(shop_trace(s));
  shop_rest(s);
  trace_check(shop_trace(s), "orders/channel-fails.md", "dead letter");
  shop_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_channel_that_is_out_is_tried_again),
      cmocka_unit_test(a_message_that_can_never_be_delivered_is_a_dead_letter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
