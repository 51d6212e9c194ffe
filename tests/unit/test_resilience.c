/* SPDX-License-Identifier: Apache-2.0 */

/* Backoff, budget and rate: tables, since all of it is arithmetic with now and randomness passed in. */
#include "resilience/bucket.h"
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

/* How many may be taken at once, at that time. */
static int take_all(bucket *b, int64_t now_us) {
  int taken = 0;
  for (; taken < 1000 && bucket_due_us(b) <= now_us; taken++)
    bucket_take(b, now_us);
  return taken;
}

static void a_bucket_gives_its_burst_at_once_and_then_its_rate(void **state) {
  (void)state;
  const int64_t start_us = 123456789;
  bucket b = bucket_full(10, 3, start_us);
  assert_int_equal(take_all(&b, start_us), 3);
  assert_int_equal(bucket_due_us(&b), start_us + 100000);
  assert_int_equal(take_all(&b, start_us + 99999), 0);
  assert_int_equal(take_all(&b, start_us + 100000), 1);
  assert_int_equal(take_all(&b, start_us + 350000), 2);
  assert_int_equal(take_all(&b, start_us + 400000), 1);
  assert_int_equal(take_all(&b, start_us + INT64_C(3600000000)), 3); /* what nobody took isn't kept */
}

static void a_bucket_never_gives_more_than_its_rate(void **state) {
  (void)state;
  static const uint32_t rates[] = {1, 3, 7, 999, 1000000};
  for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
    bucket b = bucket_full(rates[i], 1, 0);
    int taken = 0;
    int64_t until_us = 100 * (INT64_C(1000000) / rates[i] + 1);
    for (int64_t now_us = 0; now_us < until_us; now_us = bucket_due_us(&b)) {
      bucket_take(&b, now_us);
      taken++;
    }
    assert_in_range(taken, 1, 1 + until_us * rates[i] / 1000000);
    assert_true(taken >= 99);
  }
}

static void a_bucket_without_a_rate_gives_always(void **state) {
  (void)state;
  bucket none = bucket_full(0, 5, 77);
  assert_int_equal(take_all(&none, 77), 1000);
  bucket no_burst = bucket_full(1, 0, 77);
  assert_int_equal(take_all(&no_burst, 77), 1);
  bucket most = bucket_full(1, UINT32_MAX, 77);
  assert_int_equal(take_all(&most, 77), 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_ceiling_doubles_up_to_its_limit),
      cmocka_unit_test(a_delay_is_anywhere_between_nothing_and_the_ceiling),
      cmocka_unit_test(the_largest_numbers_do_not_overflow),
      cmocka_unit_test(an_attempt_takes_no_longer_than_the_whole),
      cmocka_unit_test(a_bucket_gives_its_burst_at_once_and_then_its_rate),
      cmocka_unit_test(a_bucket_never_gives_more_than_its_rate),
      cmocka_unit_test(a_bucket_without_a_rate_gives_always),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
