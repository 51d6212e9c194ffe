/* SPDX-License-Identifier: Apache-2.0 */

/* The circuit breaker as a table: what is done at which time, and the state after it. The clock is the table's. */
#include "cafe/resilience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { PERMITS = 8 };

/* Ends and times of one breaker, by permits that the row names. */
typedef enum what {
  TAKE,    /* permit n */
  REFUSED, /* asks, and gets none */
  OK,      /* permit n ends so */
  FAIL,
  UNUSED,
  OKS, /* n calls begin and end so, at that time */
  FAILS
} what;

typedef struct row {
  int64_t at_ms;
  what what;
  int n;
  cafe_breaker_state state; /* after it */
  int64_t wait_ms;          /* … until a call may be permitted */
} row;

#define CLOSED CAFE_BREAKER_CLOSED
#define OPEN   CAFE_BREAKER_OPEN
#define HALF   CAFE_BREAKER_HALF_OPEN

typedef struct heard {
  cafe_breaker_change last;
  int count;
} heard;

static void hear(const cafe_breaker_change *change, void *user) {
  heard *self = user;
  assert_int_not_equal(change->from, change->to);
  self->last = *change;
  self->count++;
}

/* The clock doesn't begin with 0. */
static const int64_t start_us = 77000000123;

static void do_row(cafe_breaker *breaker, cafe_permit *permits, const row *at) {
  static const cafe_call_end ends[] = {
      [OK] = CAFE_CALL_SUCCEEDED, [FAIL] = CAFE_CALL_FAILED, [UNUSED] = CAFE_CALL_UNUSED};
  int64_t now_us = start_us + at->at_ms * 1000;
  cafe_permit one = {99};
  switch (at->what) {
  case TAKE:
    assert_true(cafe_breaker_take(&permits[at->n], breaker, now_us));
    assert_true(permits[at->n].number > 0);
    break;
  case REFUSED:
    assert_false(cafe_breaker_take(&one, breaker, now_us));
    assert_int_equal(one.number, 0);
    break;
  case OK:
  case FAIL:
  case UNUSED:
    cafe_breaker_done(breaker, permits[at->n], ends[at->what], now_us);
    break;
  case OKS:
  case FAILS:
    for (int i = 0; i < at->n; i++) {
      assert_true(cafe_breaker_take(&one, breaker, now_us));
      cafe_breaker_done(breaker, one, at->what == OKS ? CAFE_CALL_SUCCEEDED : CAFE_CALL_FAILED, now_us);
    }
    break;
  }
}

/* Each change is told, and only changes. */
static heard run(const cafe_breaker_options *given, const row *rows, size_t count) {
  cafe_breaker_options options = *given;
  heard said = {{0}, 0};
  options.changed = hear;
  options.user = &said;
  cafe_breaker breaker;
  cafe_permit permits[PERMITS];
  assert_int_equal(cafe_breaker_init(&breaker, &options, start_us, NULL), CAFE_OK);
  assert_int_equal(breaker.state, CLOSED);
  for (size_t i = 0; i < count; i++) {
    cafe_breaker_state before = breaker.state;
    int told = said.count;
    do_row(&breaker, permits, &rows[i]);
    if (breaker.state != rows[i].state ||
        cafe_breaker_wait_us(&breaker, start_us + rows[i].at_ms * 1000) != rows[i].wait_ms * 1000)
      fail_msg("row %zu: %s, and %lld us to wait", i, cafe_breaker_state_name(breaker.state),
               (long long)cafe_breaker_wait_us(&breaker, start_us + rows[i].at_ms * 1000));
    if (before != breaker.state) {
      assert_true(said.count > told);
      assert_int_equal(said.last.to, breaker.state);
    } else {
      assert_int_equal(said.count, told);
    }
  }
  return said;
}

#define RUN(options, rows) run((options), (rows), sizeof(rows) / sizeof((rows)[0]))

static const cafe_breaker_options defaults = CAFE_BREAKER_OPTIONS_INIT;

/* C5: volume and error rate, each on both sides of its bound. */
static void it_opens_when_volume_and_error_rate_are_full(void **state) {
  (void)state;
  static const row too_few[] = {{0, FAILS, 19, CLOSED, 0}};
  static const row enough[] = {{0, FAILS, 19, CLOSED, 0}, {0, FAILS, 1, OPEN, 5000}};
  static const row by_a_success[] = {{0, FAILS, 19, CLOSED, 0}, {0, OKS, 1, OPEN, 5000}};
  static const row below[] = {{0, OKS, 15, CLOSED, 0}, {0, FAILS, 5, CLOSED, 0}};
  static const row at_the_rate[] = {{0, OKS, 14, CLOSED, 0}, {0, FAILS, 5, CLOSED, 0}, {0, FAILS, 1, OPEN, 5000}};
  static const row later[] = {{0, OKS, 99, CLOSED, 0}, {0, FAILS, 42, CLOSED, 0}, {0, FAILS, 1, OPEN, 5000}};
  RUN(&defaults, too_few);
  RUN(&defaults, enough);
  RUN(&defaults, by_a_success);
  RUN(&defaults, below);
  heard said = RUN(&defaults, at_the_rate);
  assert_int_equal(said.last.from, CLOSED);
  assert_int_equal(said.last.calls, 20);
  assert_int_equal(said.last.failures, 6);
  said = RUN(&defaults, later);
  assert_int_equal(said.last.calls, 142);
  assert_int_equal(said.last.failures, 43);
}

/* C5: the window, in tenths. */
static void what_ended_before_the_window_does_not_count(void **state) {
  (void)state;
  static const row within[] = {{999, FAILS, 19, CLOSED, 0}, {9999, FAILS, 1, OPEN, 5000}};
  static const row beyond[] = {{999, FAILS, 19, CLOSED, 0}, {10000, FAILS, 1, CLOSED, 0}};
  static const row next_tenth[] = {{1000, FAILS, 19, CLOSED, 0}, {10999, FAILS, 1, OPEN, 5000}};
  static const row next_beyond[] = {{1000, FAILS, 19, CLOSED, 0}, {11000, FAILS, 1, CLOSED, 0}};
  static const row one_by_one[] = {{500, FAILS, 4, CLOSED, 0},   {2500, FAILS, 5, CLOSED, 0},
                                   {4500, FAILS, 5, CLOSED, 0},  {6500, FAILS, 5, CLOSED, 0},
                                   {10000, OKS, 1, CLOSED, 0},   {10001, FAILS, 3, CLOSED, 0},
                                   {10001, FAILS, 1, OPEN, 5000}};
  static const row much_later[] = {
      {0, FAILS, 19, CLOSED, 0}, {86400000, FAILS, 19, CLOSED, 0}, {86400000, FAILS, 1, OPEN, 5000}};
  RUN(&defaults, within);
  RUN(&defaults, beyond);
  RUN(&defaults, next_tenth);
  RUN(&defaults, next_beyond);
  heard said = RUN(&defaults, one_by_one);
  assert_int_equal(said.last.calls, 20);
  assert_int_equal(said.last.failures, 19);
  RUN(&defaults, much_later);
}

static void a_clock_that_goes_back_counts_as_now(void **state) {
  (void)state;
  static const row rows[] = {{25000, FAILS, 10, CLOSED, 0},
                             {3000, FAILS, 9, CLOSED, 0},
                             {-5000, FAILS, 0, CLOSED, 0},
                             {25500, FAILS, 1, OPEN, 5000}};
  RUN(&defaults, rows);
}

/* C5: sleep, and the single probe. */
static void a_single_probe_decides(void **state) {
  (void)state;
  static const row succeeds[] = {
      {100, FAILS, 20, OPEN, 5000}, {100, REFUSED, 0, OPEN, 5000},  {5099, REFUSED, 0, OPEN, 1},
      {5100, TAKE, 1, HALF, 5000},  {5100, REFUSED, 0, HALF, 5000}, {6000, REFUSED, 0, HALF, 4100},
      {6100, OK, 1, CLOSED, 0},     {6100, FAILS, 19, CLOSED, 0},   {6100, FAILS, 1, OPEN, 5000},
  };
  static const row fails[] = {
      {0, FAILS, 20, OPEN, 5000},   {7000, TAKE, 1, HALF, 5000},  {7300, FAIL, 1, OPEN, 5000},
      {12299, REFUSED, 0, OPEN, 1}, {12300, TAKE, 2, HALF, 5000}, {12301, OK, 2, CLOSED, 0},
  };
  heard said = RUN(&defaults, succeeds);
  assert_int_equal(said.count, 4);
  said = RUN(&defaults, fails);
  assert_int_equal(said.count, 5);
  assert_int_equal(said.last.from, HALF);
  assert_int_equal(said.last.calls, 0);
}

/* C5: nothing wedges it. */
static void a_probe_without_an_end_makes_room_for_the_next(void **state) {
  (void)state;
  static const row unused[] = {
      {0, FAILS, 20, OPEN, 5000},  {5000, TAKE, 1, HALF, 5000},    {5200, UNUSED, 1, HALF, 0},
      {5200, TAKE, 2, HALF, 5000}, {5201, REFUSED, 0, HALF, 4999}, {5300, OK, 2, CLOSED, 0},
  };
  static const row lost[] = {
      {0, FAILS, 20, OPEN, 5000},   {5000, TAKE, 1, HALF, 5000},     {9999, REFUSED, 0, HALF, 1},
      {10000, TAKE, 2, HALF, 5000}, {10000, REFUSED, 0, HALF, 5000}, {10001, OK, 2, CLOSED, 0},
  };
  static const row late_end[] = {
      {0, FAILS, 20, OPEN, 5000},    {5000, TAKE, 1, HALF, 5000}, {10000, TAKE, 2, HALF, 5000},
      {10100, OK, 1, CLOSED, 0},     {10200, FAIL, 2, CLOSED, 0}, {10200, FAILS, 19, CLOSED, 0},
      {10200, FAILS, 1, OPEN, 5000},
  };
  static const row late_unused[] = {
      {0, FAILS, 20, OPEN, 5000},     {5000, TAKE, 1, HALF, 5000}, {10000, TAKE, 2, HALF, 5000},
      {10100, UNUSED, 1, HALF, 4900}, {10200, UNUSED, 2, HALF, 0},
  };
  RUN(&defaults, unused);
  RUN(&defaults, lost);
  RUN(&defaults, late_end);
  RUN(&defaults, late_unused);
}

/* C5: a call counts in the state in which it began. */
static void calls_that_began_before_do_not_count(void **state) {
  (void)state;
  static const row rows[] = {
      {0, TAKE, 1, CLOSED, 0},       {0, TAKE, 2, CLOSED, 0},      {0, TAKE, 3, CLOSED, 0},
      {0, TAKE, 4, CLOSED, 0},       {0, FAILS, 20, OPEN, 5000},   {1000, FAIL, 1, OPEN, 4000},
      {1000, UNUSED, 2, OPEN, 4000}, {5000, TAKE, 5, HALF, 5000},  {5001, OK, 3, HALF, 4999},
      {5002, OK, 5, CLOSED, 0},      {5002, FAILS, 19, CLOSED, 0}, {5003, FAIL, 4, CLOSED, 0},
      {5003, FAIL, 5, CLOSED, 0},    {5004, FAILS, 1, OPEN, 5000},
  };
  RUN(&defaults, rows);
}

static void what_is_given_back_unused_does_not_count(void **state) {
  (void)state;
  static const row rows[] = {
      {0, TAKE, 1, CLOSED, 0}, {0, FAILS, 19, CLOSED, 0}, {0, UNUSED, 1, CLOSED, 0}, {0, FAILS, 1, OPEN, 5000}};
  RUN(&defaults, rows);
}

static void its_options_are_its_own(void **state) {
  (void)state;
  cafe_breaker_options options = CAFE_BREAKER_OPTIONS_INIT;
  options.volume = 1;
  options.error_permille = 1000;
  options.window_ms = 1;
  options.sleep_ms = 1;
  static const row rows[] = {
      {0, OKS, 1, CLOSED, 0}, {0, FAILS, 1, CLOSED, 0}, {1, FAILS, 1, OPEN, 1}, {2, TAKE, 1, HALF, 1}};
  RUN(&options, rows);
  options.error_permille = 1;
  options.window_ms = options.sleep_ms = 86400000;
  static const row patient[] = {
      {0, OKS, 1000, CLOSED, 0}, {77759999, FAILS, 1, CLOSED, 0}, {77759999, FAILS, 1, OPEN, 86400000}};
  RUN(&options, patient);

  cafe_breaker breaker;
  assert_int_equal(cafe_breaker_init(&breaker, NULL, 5, NULL), CAFE_OK);
  assert_int_equal(breaker.volume, 20);
  assert_int_equal(breaker.error_permille, 300);
  assert_int_equal(breaker.window_ms, 10000);
  assert_int_equal(breaker.sleep_us, 5000000);
  cafe_permit permit;
  for (int i = 0; i < 20; i++) { /* without anybody to tell */
    assert_true(cafe_breaker_take(&permit, &breaker, 5));
    cafe_breaker_done(&breaker, permit, CAFE_CALL_FAILED, 5);
  }
  assert_int_equal(breaker.state, OPEN);
}

static void an_option_out_of_its_range_is_refused(void **state) {
  (void)state;
  static const struct {
    uint32_t error_permille;
    int64_t window_ms, sleep_ms;
    const char *named;
  } wrong[] = {{1001, 0, 0, "error_permille"},
               {0, -1, 0, "window_ms"},
               {0, 86400001, 0, "window_ms"},
               {0, 0, -1, "sleep_ms"},
               {0, 0, 86400001, "sleep_ms"}};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    cafe_breaker_options options = CAFE_BREAKER_OPTIONS_INIT;
    options.error_permille = wrong[i].error_permille;
    options.window_ms = wrong[i].window_ms;
    options.sleep_ms = wrong[i].sleep_ms;
    cafe_breaker breaker;
    cafe_err err;
    assert_int_equal(cafe_breaker_init(&breaker, &options, 0, &err), CAFE_INVALID);
    assert_non_null(strstr(err.text, wrong[i].named));
  }
  cafe_breaker breaker;
  cafe_breaker_options sizeless = {0};
  assert_int_equal(cafe_breaker_init(&breaker, &sizeless, 0, NULL), CAFE_INVALID);
}

static void each_state_has_its_name(void **state) {
  (void)state;
  assert_string_equal(cafe_breaker_state_name(CLOSED), "CLOSED");
  assert_string_equal(cafe_breaker_state_name(OPEN), "OPEN");
  assert_string_equal(cafe_breaker_state_name(HALF), "HALF_OPEN");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_opens_when_volume_and_error_rate_are_full),
      cmocka_unit_test(what_ended_before_the_window_does_not_count),
      cmocka_unit_test(a_clock_that_goes_back_counts_as_now),
      cmocka_unit_test(a_single_probe_decides),
      cmocka_unit_test(a_probe_without_an_end_makes_room_for_the_next),
      cmocka_unit_test(calls_that_began_before_do_not_count),
      cmocka_unit_test(what_is_given_back_unused_does_not_count),
      cmocka_unit_test(its_options_are_its_own),
      cmocka_unit_test(an_option_out_of_its_range_is_refused),
      cmocka_unit_test(each_state_has_its_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
