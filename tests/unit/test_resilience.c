/* SPDX-License-Identifier: Apache-2.0 */

/* Backoff and budget: tables, since all of it is arithmetic with now and randomness passed in. */
#include "resilience/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_ceiling_doubles_up_to_its_limit(void **state) {
  (void)state;
  const cafe_retry retry = {100, 1000, 0, 0};
  static const int64_t ceilings[] = {100, 200, 400, 800, 1000, 1000, 1000};
  for (uint32_t i = 0; i < sizeof ceilings / sizeof ceilings[0]; i++) {
    /* random = ceiling gives the ceiling itself, random = ceiling + 1 wraps to nothing. */
    assert_int_equal(retry_delay_ms(&retry, i + 1, (uint64_t)ceilings[i]), ceilings[i]);
    assert_int_equal(retry_delay_ms(&retry, i + 1, (uint64_t)ceilings[i] + 1), 0);
  }
}

static void a_delay_is_anywhere_between_nothing_and_the_ceiling(void **state) {
  (void)state;
  const cafe_retry retry = {100, 100, 0, 0};
  bool seen[101] = {false};
  for (uint64_t random = 0; random < 1000; random++) {
    int64_t delay = retry_delay_ms(&retry, 1, random);
    assert_in_range(delay, 0, 100);
    seen[delay] = true;
  }
  for (int i = 0; i <= 100; i++)
    assert_true(seen[i]);
}

static void the_largest_numbers_do_not_overflow(void **state) {
  (void)state;
  const cafe_retry endless = {INT64_MAX / 2 + 1, INT64_MAX, 0, 0};
  assert_true(retry_delay_ms(&endless, UINT32_MAX, UINT64_MAX) >= 0);
  assert_true(retry_delay_ms(&endless, 2, (uint64_t)INT64_MAX) == INT64_MAX);
  const cafe_retry nothing = {0, 0, 0, 0};
  assert_int_equal(retry_delay_ms(&nothing, 1, 12345), 0);
  const cafe_retry backwards = {500, 100, 0, 0};
  assert_int_equal(retry_delay_ms(&backwards, 1, 100), 100);
}

static void an_attempt_takes_no_longer_than_the_whole(void **state) {
  (void)state;
  assert_int_equal(retry_budget_ms(5000, 0, 1000), 5000);
  assert_int_equal(retry_budget_ms(5000, 3000, 1000), 2000);
  assert_int_equal(retry_budget_ms(5000, 9000, 1000), 5000);
  assert_int_equal(retry_budget_ms(5000, 1000, 1000), 0);
  assert_int_equal(retry_budget_ms(5000, 500, 1000), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_ceiling_doubles_up_to_its_limit),
      cmocka_unit_test(a_delay_is_anywhere_between_nothing_and_the_ceiling),
      cmocka_unit_test(the_largest_numbers_do_not_overflow),
      cmocka_unit_test(an_attempt_takes_no_longer_than_the_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
