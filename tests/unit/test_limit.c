/* SPDX-License-Identifier: Apache-2.0 */

/* The bulkhead, and the limit that finds out what the callee can bear. */
#include "cafe/resilience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { MANY = 256 };

static cafe_limit make(uint32_t min, uint32_t initial, uint32_t max) {
  cafe_limit_options options = CAFE_LIMIT_OPTIONS_INIT;
  cafe_limit limit;
  options.min = min;
  options.initial = initial;
  options.max = max;
  assert_int_equal(cafe_limit_init(&limit, &options, NULL), CAFE_OK);
  return limit;
}

/* Takes as many as there are, and says how many. */
static uint32_t take_all(cafe_limit *limit, cafe_permit *permits) {
  uint32_t count = 0;
  while (cafe_limit_take(&permits[count], limit))
    count++;
  assert_int_equal(permits[count].number, 0);
  assert_int_equal(limit->running, limit->limit);
  return count;
}

/* A round in which all of it is in use, and every call ends so. */
static void round_of(cafe_limit *limit, cafe_call_end end) {
  cafe_permit permits[MANY];
  uint32_t count = take_all(limit, permits);
  for (uint32_t i = 0; i < count; i++)
    cafe_limit_done(limit, permits[i], end);
  assert_int_equal(limit->running, 0);
}

static void a_bulkhead_holds_so_many(void **state) {
  (void)state;
  const cafe_limit_options options = CAFE_BULKHEAD_INIT(3);
  cafe_limit limit;
  cafe_permit permits[4];
  assert_int_equal(cafe_limit_init(&limit, &options, NULL), CAFE_OK);
  for (int ends = CAFE_CALL_SUCCEEDED; ends <= CAFE_CALL_UNUSED; ends++) {
    for (int i = 0; i < 20; i++) {
      assert_int_equal(take_all(&limit, permits), 3);
      cafe_limit_done(&limit, permits[1], (cafe_call_end)ends);
      assert_true(cafe_limit_take(&permits[1], &limit)); /* the one that ended made room for one */
      assert_false(cafe_limit_take(&permits[3], &limit));
      for (int j = 0; j < 3; j++)
        cafe_limit_done(&limit, permits[j], (cafe_call_end)ends);
    }
    assert_int_equal(limit.limit, 3);
  }
}

/* One by one, each taken as soon as there is room: the limit is in use all the time. */
static void it_grows_by_one_for_each_round_that_is_in_use(void **state) {
  (void)state;
  cafe_limit limit = make(1, 4, 6);
  cafe_permit permits[MANY];
  uint32_t first = take_all(&limit, permits), last = first;
  static const uint32_t grows_to[] = {4, 4, 4, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6};
  first = 0;
  for (size_t i = 0; i < sizeof grows_to / sizeof grows_to[0]; i++) {
    cafe_limit_done(&limit, permits[first++], CAFE_CALL_SUCCEEDED);
    assert_int_equal(limit.limit, grows_to[i]);
    while (cafe_limit_take(&permits[last], &limit))
      last++;
    assert_int_equal(last - first, limit.limit);
  }
}

/* However they end: together, or with pauses between. */
static void calls_that_come_in_bursts_grow_it_as_well(void **state) {
  (void)state;
  cafe_limit limit = make(1, 2, 64);
  for (uint32_t i = 0; i < 10; i++) {
    cafe_permit permits[MANY];
    uint32_t count = take_all(&limit, permits);
    assert_int_equal(count, 2 + i);
    while (count-- > 0)
      cafe_limit_done(&limit, permits[count], CAFE_CALL_SUCCEEDED);
  }
  cafe_permit permits[MANY];
  assert_int_equal(take_all(&limit, permits), 12);
  cafe_limit_done(&limit, permits[0], CAFE_CALL_UNUSED);
  assert_true(cafe_limit_take(&permits[0], &limit));
  for (uint32_t i = 1; i < 12; i++)
    cafe_limit_done(&limit, permits[i], CAFE_CALL_UNUSED);
  cafe_permit late; /* it began when there was room again */
  assert_true(cafe_limit_take(&late, &limit));
  cafe_limit_done(&limit, late, CAFE_CALL_SUCCEEDED);
  assert_int_equal(limit.grown, 0);
  cafe_limit_done(&limit, permits[0], CAFE_CALL_SUCCEEDED);
  assert_int_equal(limit.grown, 1);
}

static void it_does_not_grow_while_some_of_it_is_free(void **state) {
  (void)state;
  cafe_limit limit = make(1, 4, 64);
  cafe_permit permits[3];
  for (int i = 0; i < 100; i++) {
    for (int j = 0; j < 3; j++)
      assert_true(cafe_limit_take(&permits[j], &limit));
    for (int j = 0; j < 3; j++)
      cafe_limit_done(&limit, permits[j], CAFE_CALL_SUCCEEDED);
  }
  assert_int_equal(limit.limit, 4);
  for (int i = 0; i < 3; i++)
    round_of(&limit, CAFE_CALL_UNUSED);
  assert_int_equal(limit.limit, 4);
}

static void it_shrinks_once_for_one_overload(void **state) {
  (void)state;
  cafe_limit limit = make(1, 64, 64);
  static const uint32_t shrinks_to[] = {44, 30, 21, 14, 9, 6, 4, 2, 1, 1};
  for (size_t i = 0; i < sizeof shrinks_to / sizeof shrinks_to[0]; i++) {
    round_of(&limit, CAFE_CALL_FAILED); /* all of them failed, and that is one thing that happened */
    assert_int_equal(limit.limit, shrinks_to[i]);
  }
  limit = make(5, 7, 64);
  round_of(&limit, CAFE_CALL_FAILED);
  assert_int_equal(limit.limit, 5);
  round_of(&limit, CAFE_CALL_FAILED);
  assert_int_equal(limit.limit, 5);
}

/* What began when it was larger tells of that. */
static void calls_from_before_do_not_count(void **state) {
  (void)state;
  cafe_limit limit = make(1, 10, 64);
  cafe_permit old[MANY], fresh;
  assert_int_equal(take_all(&limit, old), 10);
  cafe_limit_done(&limit, old[0], CAFE_CALL_FAILED);
  assert_int_equal(limit.limit, 7);
  assert_int_equal(limit.running, 9);
  assert_false(cafe_limit_take(&fresh, &limit));
  cafe_limit_done(&limit, old[1], CAFE_CALL_SUCCEEDED);
  cafe_limit_done(&limit, old[2], CAFE_CALL_SUCCEEDED);
  assert_int_equal(limit.grown, 0);
  assert_false(cafe_limit_take(&fresh, &limit));
  cafe_limit_done(&limit, old[3], CAFE_CALL_FAILED);
  assert_int_equal(limit.limit, 7);
  assert_true(cafe_limit_take(&fresh, &limit));
  cafe_limit_done(&limit, fresh, CAFE_CALL_FAILED);
  assert_int_equal(limit.limit, 4);
}

/* What grew it halfway counts no more. */
static void it_begins_to_grow_anew_after_it_shrank(void **state) {
  (void)state;
  cafe_limit limit = make(1, 3, 64);
  cafe_permit permits[MANY];
  (void)take_all(&limit, permits);
  cafe_limit_done(&limit, permits[0], CAFE_CALL_SUCCEEDED);
  assert_int_equal(limit.grown, 1);
  cafe_limit_done(&limit, permits[1], CAFE_CALL_FAILED);
  cafe_limit_done(&limit, permits[2], CAFE_CALL_UNUSED);
  assert_int_equal(limit.limit, 2);
  (void)take_all(&limit, permits);
  cafe_limit_done(&limit, permits[0], CAFE_CALL_SUCCEEDED);
  cafe_limit_done(&limit, permits[1], CAFE_CALL_UNUSED);
  assert_int_equal(limit.limit, 2);
  (void)take_all(&limit, permits);
  cafe_limit_done(&limit, permits[0], CAFE_CALL_SUCCEEDED);
  assert_int_equal(limit.limit, 3);
  cafe_limit_done(&limit, permits[1], CAFE_CALL_UNUSED);
}

/* Additive increase and multiplicative decrease: it comes to what a callee of capacity 20 bears, and stays near it. */
static void it_finds_the_capacity_of_a_callee(void **state) {
  (void)state;
  cafe_limit limit = make(1, 64, 64);
  for (int i = 0; i < 200; i++) {
    cafe_permit permits[MANY];
    uint32_t count = take_all(&limit, permits);
    for (uint32_t j = 0; j < count; j++)
      cafe_limit_done(&limit, permits[j], j < 20 ? CAFE_CALL_SUCCEEDED : CAFE_CALL_FAILED);
    if (i > 5)
      assert_in_range(limit.limit, 14, 21);
  }
}

static void its_bounds_make_sense(void **state) {
  (void)state;
  static const struct {
    uint32_t min, initial, max;
    uint32_t is_min, is_limit, is_max; /* 0: refused */
  } cases[] = {
      {0, 0, 0, 1, 64, 64},   {0, 0, 8, 1, 8, 8},
      {0, 3, 8, 1, 3, 8},     {0, 8, 8, 1, 8, 8},
      {8, 8, 8, 8, 8, 8},     {100, 0, 0, 100, 100, 100},
      {64, 0, 0, 64, 64, 64}, {9, 0, 8, 0, 0, 0},
      {2, 1, 8, 0, 0, 0},     {0, 9, 8, 0, 0, 0},
      {0, 65, 0, 0, 0, 0},    {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    cafe_limit_options options = CAFE_LIMIT_OPTIONS_INIT;
    cafe_limit limit = {.limit = 77};
    options.min = cases[i].min;
    options.initial = cases[i].initial;
    options.max = cases[i].max;
    if (!cases[i].is_min) {
      assert_int_equal(cafe_limit_init(&limit, &options, NULL), CAFE_INVALID);
      assert_int_equal(limit.limit, 77);
      continue;
    }
    assert_int_equal(cafe_limit_init(&limit, &options, NULL), CAFE_OK);
    assert_int_equal(limit.min, cases[i].is_min);
    assert_int_equal(limit.limit, cases[i].is_limit);
    assert_int_equal(limit.max, cases[i].is_max);
  }
  cafe_limit limit;
  assert_int_equal(cafe_limit_init(&limit, NULL, NULL), CAFE_OK);
  assert_int_equal(limit.limit, 64);
  cafe_limit_options sizeless = {0};
  assert_int_equal(cafe_limit_init(&limit, &sizeless, NULL), CAFE_INVALID);
}

static void the_largest_limit_does_not_overflow(void **state) {
  (void)state;
  cafe_limit limit = make(1, UINT32_MAX, UINT32_MAX);
  cafe_permit permit;
  assert_true(cafe_limit_take(&permit, &limit));
  cafe_limit_done(&limit, permit, CAFE_CALL_FAILED);
  assert_int_equal(limit.limit, UINT32_C(3006477106));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_bulkhead_holds_so_many),
      cmocka_unit_test(it_grows_by_one_for_each_round_that_is_in_use),
      cmocka_unit_test(calls_that_come_in_bursts_grow_it_as_well),
      cmocka_unit_test(it_does_not_grow_while_some_of_it_is_free),
      cmocka_unit_test(it_shrinks_once_for_one_overload),
      cmocka_unit_test(calls_from_before_do_not_count),
      cmocka_unit_test(it_begins_to_grow_anew_after_it_shrank),
      cmocka_unit_test(it_finds_the_capacity_of_a_callee),
      cmocka_unit_test(its_bounds_make_sense),
      cmocka_unit_test(the_largest_limit_does_not_overflow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
