/* SPDX-License-Identifier: Apache-2.0 */

/* Budget, backoff and rates: tables, since all of it is arithmetic with now and randomness passed in. */
#include "cafe/resilience.h"
#include "failing_alloc.h"
#include "resilience/bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void the_ceiling_doubles_up_to_its_limit(void **state) {
  (void)state;
  const cafe_retry retry = {100, 1000, 0, 0};
  static const int64_t ceilings[] = {100, 200, 400, 800, 1000, 1000, 1000};
  for (uint32_t i = 0; i < sizeof ceilings / sizeof ceilings[0]; i++) {
    /* random = ceiling gives the ceiling itself, random = ceiling + 1 wraps to nothing. */
    assert_int_equal(cafe_retry_delay_ms(&retry, i + 1, (uint64_t)ceilings[i]), ceilings[i]);
    assert_int_equal(cafe_retry_delay_ms(&retry, i + 1, (uint64_t)ceilings[i] + 1), 0);
  }
}

static void a_delay_is_anywhere_between_nothing_and_the_ceiling(void **state) {
  (void)state;
  const cafe_retry retry = {100, 100, 0, 0};
  bool seen[101] = {false};
  for (uint64_t random = 0; random < 1000; random++) {
    int64_t delay = cafe_retry_delay_ms(&retry, 1, random);
    assert_in_range(delay, 0, 100);
    seen[delay] = true;
  }
  for (int i = 0; i <= 100; i++)
    assert_true(seen[i]);
}

static void the_largest_numbers_do_not_overflow(void **state) {
  (void)state;
  const cafe_retry endless = {INT64_MAX / 2 + 1, INT64_MAX, 0, 0};
  assert_true(cafe_retry_delay_ms(&endless, UINT32_MAX, UINT64_MAX) >= 0);
  assert_true(cafe_retry_delay_ms(&endless, 2, (uint64_t)INT64_MAX) == INT64_MAX);
  const cafe_retry nothing = {0, 0, 0, 0};
  assert_int_equal(cafe_retry_delay_ms(&nothing, 1, 12345), 0);
  const cafe_retry backwards = {500, 100, 0, 0};
  assert_int_equal(cafe_retry_delay_ms(&backwards, 1, 100), 100);
}

static void a_budget_is_what_is_left_of_it(void **state) {
  (void)state;
  const int64_t now_us = 5000000;
  cafe_budget budget = cafe_budget_from(now_us, 600, 2);
  assert_int_equal(budget.deadline_us, now_us + 600000);
  assert_int_equal(cafe_budget_left_us(&budget, now_us), 600000);
  assert_int_equal(cafe_budget_left_us(&budget, now_us + 599999), 1);
  assert_int_equal(cafe_budget_left_us(&budget, now_us + 600000), 0);
  assert_int_equal(cafe_budget_left_us(&budget, now_us + 700000), 0);
  static const int64_t endless_ms[] = {0, -1, INT64_MIN, INT64_MAX, INT64_MAX / 1000};
  for (size_t i = 0; i < sizeof endless_ms / sizeof endless_ms[0]; i++) {
    cafe_budget endless = cafe_budget_from(now_us, endless_ms[i], 0);
    assert_true(endless.deadline_us == INT64_MAX);
    assert_true(cafe_budget_left_us(&endless, now_us) == INT64_MAX);
  }
  const cafe_budget none = CAFE_BUDGET_NONE;
  assert_true(cafe_budget_left_us(&none, INT64_MAX - 1) == INT64_MAX);
}

static void retries_are_taken_until_none_or_no_time_is_left(void **state) {
  (void)state;
  cafe_budget budget = cafe_budget_from(0, 1, 2);
  assert_true(cafe_budget_take_retry(&budget, 0));
  assert_false(cafe_budget_take_retry(&budget, 1000)); /* no time */
  assert_int_equal(budget.retries, 1);
  assert_true(cafe_budget_take_retry(&budget, 999));
  assert_false(cafe_budget_take_retry(&budget, 0)); /* none left */
  assert_int_equal(budget.retries, 0);
  cafe_budget endless = CAFE_BUDGET_NONE;
  for (int i = 0; i < 1000; i++)
    assert_true(cafe_budget_take_retry(&endless, i));
  assert_int_equal(endless.retries, UINT32_MAX);
}

static void a_budget_that_is_handed_on_never_gets_larger(void **state) {
  (void)state;
  const cafe_budget none = CAFE_BUDGET_NONE, soon = {10, 9, 0}, few = {20, 3, 0};
  const struct {
    cafe_budget own, callers;
    int64_t deadline_us;
    uint32_t retries;
  } cases[] = {{soon, few, 10, 3},  {few, soon, 10, 3},  {soon, soon, 10, 9},
               {none, soon, 10, 9}, {soon, none, 10, 9}, {none, none, INT64_MAX, UINT32_MAX}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    cafe_budget least = cafe_budget_min(cases[i].own, cases[i].callers);
    assert_true(least.deadline_us == cases[i].deadline_us);
    assert_int_equal(least.retries, cases[i].retries);
    assert_int_equal(least.reserved, 0);
  }
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

static cafe_rates *make_rates(uint32_t per_s, uint32_t burst, uint32_t max_keys) {
  cafe_rates_options options = CAFE_RATES_OPTIONS_INIT;
  cafe_rates *rates = NULL;
  options.per_s = per_s;
  options.burst = burst;
  options.max_keys = max_keys;
  assert_int_equal(cafe_rates_create(&rates, &options, NULL), CAFE_OK);
  return rates;
}

static void each_key_has_a_rate_of_its_own(void **state) {
  (void)state;
  cafe_rates *rates = make_rates(10, 2, 0);
  cafe_slice a = cafe_text("a"), b = cafe_text("b"), nobody = {NULL, 0};
  cafe_err err;
  assert_int_equal(cafe_rates_take(rates, a, 1000, &err), CAFE_OK);
  assert_int_equal(cafe_rates_take(rates, a, 1000, &err), CAFE_OK);
  assert_int_equal(cafe_rates_take(rates, a, 1000, &err), CAFE_OVERLOADED);
  assert_int_equal(err.code, CAFE_OVERLOADED);
  assert_int_equal(err.retry_after_ms, 100);
  assert_int_equal(cafe_rates_take(rates, a, 1001, &err), CAFE_OVERLOADED);
  assert_int_equal(err.retry_after_ms, 100); /* upwards: by then it is due */
  assert_int_equal(cafe_rates_take(rates, a, 100999, NULL), CAFE_OVERLOADED);
  assert_int_equal(cafe_rates_take(rates, b, 1000, &err), CAFE_OK);
  assert_int_equal(cafe_rates_take(rates, nobody, 1000, &err), CAFE_OK);
  assert_int_equal(cafe_rates_take(rates, nobody, 1000, &err), CAFE_OK);
  assert_int_equal(cafe_rates_take(rates, nobody, 1000, &err), CAFE_OVERLOADED);
  assert_int_equal(cafe_rates_take(rates, a, 101000, &err), CAFE_OK);
  cafe_rates_destroy(rates);
  cafe_rates_destroy(NULL);
}

static void the_longest_quiet_key_makes_room(void **state) {
  (void)state;
  cafe_rates *rates = make_rates(1, 1, 2);
  cafe_slice a = cafe_text("a"), b = cafe_text("b"), c = cafe_text("c");
  assert_int_equal(cafe_rates_take(rates, a, 0, NULL), CAFE_OK);
  assert_int_equal(cafe_rates_take(rates, b, 0, NULL), CAFE_OK);
  assert_int_equal(cafe_rates_take(rates, a, 0, NULL), CAFE_OVERLOADED); /* so it isn't quiet */
  assert_int_equal(cafe_rates_take(rates, c, 0, NULL), CAFE_OK);         /* b is forgotten */
  assert_int_equal(cafe_rates_take(rates, a, 0, NULL), CAFE_OVERLOADED);
  assert_int_equal(cafe_rates_take(rates, c, 0, NULL), CAFE_OVERLOADED);
  assert_int_equal(cafe_rates_take(rates, b, 0, NULL), CAFE_OK); /* a is forgotten */
  assert_int_equal(cafe_rates_take(rates, c, 0, NULL), CAFE_OVERLOADED);
  assert_int_equal(cafe_rates_take(rates, a, 0, NULL), CAFE_OK);
  cafe_rates_destroy(rates);
}

/* Wherever it stands among the others. */
static void each_use_makes_a_key_the_latest(void **state) {
  (void)state;
  const char *const names[] = {"a", "b", "c"};
  for (int used = 0; used < 3; used++) {
    cafe_rates *rates = make_rates(1, 1, 3);
    for (int i = 0; i < 3; i++)
      assert_int_equal(cafe_rates_take(rates, cafe_text(names[i]), 0, NULL), CAFE_OK);
    assert_int_equal(cafe_rates_take(rates, cafe_text(names[used]), 0, NULL), CAFE_OVERLOADED);
    assert_int_equal(cafe_rates_take(rates, cafe_text("d"), 0, NULL), CAFE_OK);
    assert_int_equal(cafe_rates_take(rates, cafe_text("e"), 0, NULL), CAFE_OK);
    assert_int_equal(cafe_rates_take(rates, cafe_text(names[used]), 0, NULL), CAFE_OVERLOADED);
    cafe_rates_destroy(rates);
  }
}

static void however_many_keys_there_are_the_table_stays_small(void **state) {
  (void)state;
  failing_alloc memory;
  failing_alloc_init(&memory);
  cafe_rates_options options = CAFE_RATES_OPTIONS_INIT;
  cafe_rates *rates = NULL;
  options.per_s = 5;
  options.allocator = &memory.allocator;
  assert_int_equal(cafe_rates_create(&rates, &options, NULL), CAFE_OK);
  size_t most = 0;
  for (uint32_t i = 0; i < 20000; i++) {
    assert_int_equal(cafe_rates_take(rates, (cafe_slice){(const char *)&i, sizeof i}, i, NULL), CAFE_OK);
    if (i == 9999)
      most = memory.live;
    assert_true(i < 10000 || memory.live == most);
  }
  cafe_rates_destroy(rates);
  failing_alloc_end(&memory);
}

static void the_longest_wait_fits(void **state) {
  (void)state;
  cafe_rates *rates = make_rates(1, 1, 1);
  cafe_err err;
  assert_int_equal(cafe_rates_take(rates, cafe_text("a"), 0, NULL), CAFE_OK);
  assert_int_equal(cafe_rates_take(rates, cafe_text("a"), -INT64_C(3000000000000000), &err), CAFE_OVERLOADED);
  assert_int_equal(err.retry_after_ms, INT32_MAX);
  cafe_rates_destroy(rates);
}

static void rates_without_memory_say_so(void **state) {
  (void)state;
  failing_alloc memory;
  failing_alloc_init(&memory);
  for (size_t n = 1; failing_alloc_begin(&memory, n); n++) {
    cafe_rates_options options = CAFE_RATES_OPTIONS_INIT;
    cafe_rates *rates = NULL;
    options.per_s = 1;
    options.max_keys = 40; /* so that the map has to grow */
    options.allocator = &memory.allocator;
    cafe_err err;
    int code = cafe_rates_create(&rates, &options, &err);
    for (uint32_t i = 0; i < 50 && !code; i++)
      code = cafe_rates_take(rates, (cafe_slice){(const char *)&i, sizeof i}, 0, &err);
    assert_int_equal(code, memory.refused ? CAFE_NOMEM : CAFE_OK);
    if (code)
      assert_int_equal(err.code, CAFE_NOMEM);
    cafe_rates_destroy(rates);
    failing_alloc_end(&memory);
  }
}

static void rates_need_a_rate(void **state) {
  (void)state;
  cafe_rates_options options = CAFE_RATES_OPTIONS_INIT;
  cafe_rates *rates = NULL;
  cafe_err err;
  assert_int_equal(cafe_rates_create(&rates, &options, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "per_s"));
  options.size = 0;
  assert_int_equal(cafe_rates_create(&rates, &options, &err), CAFE_INVALID);
  assert_null(rates);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_ceiling_doubles_up_to_its_limit),
      cmocka_unit_test(a_delay_is_anywhere_between_nothing_and_the_ceiling),
      cmocka_unit_test(the_largest_numbers_do_not_overflow),
      cmocka_unit_test(a_budget_is_what_is_left_of_it),
      cmocka_unit_test(retries_are_taken_until_none_or_no_time_is_left),
      cmocka_unit_test(a_budget_that_is_handed_on_never_gets_larger),
      cmocka_unit_test(a_bucket_gives_its_burst_at_once_and_then_its_rate),
      cmocka_unit_test(a_bucket_never_gives_more_than_its_rate),
      cmocka_unit_test(a_bucket_without_a_rate_gives_always),
      cmocka_unit_test(each_key_has_a_rate_of_its_own),
      cmocka_unit_test(the_longest_quiet_key_makes_room),
      cmocka_unit_test(each_use_makes_a_key_the_latest),
      cmocka_unit_test(however_many_keys_there_are_the_table_stays_small),
      cmocka_unit_test(the_longest_wait_fits),
      cmocka_unit_test(rates_without_memory_say_so),
      cmocka_unit_test(rates_need_a_rate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
