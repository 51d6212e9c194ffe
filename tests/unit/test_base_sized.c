/* SPDX-License-Identifier: Apache-2.0 */

/* A struct that begins with its size is read as far as both sides know it; nothing beyond it is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sized.h"

/* What the library has now, and what it had in 0.1. */
typedef struct now {
  size_t size;
  uint32_t first;
  uint32_t second; /* since 0.2 */
} now;

typedef struct later {
  now now;
  uint64_t third;
} later;

enum { FIRST_SIZE = SIZED_UNTIL(now, first) };

static int take(now *own, const void *given, cafe_err *err) {
  memset(own, 0xAA, sizeof *own);
  return SIZED_READ(own, given, now, first, "NOW_INIT", err);
}

static void expect(const void *given, int code, uint32_t first, uint32_t second, const char *text) {
  now own;
  cafe_err err = {0};
  assert_int_equal(take(&own, given, &err), code);
  assert_int_equal(err.code, code);
  assert_string_equal(err.text, text);
  assert_int_equal(own.size, code ? 0 : sizeof own);
  assert_int_equal(own.first, first);
  assert_int_equal(own.second, second);
  assert_int_equal(take(&own, given, NULL), code);
}

static void what_is_as_long_is_taken_whole(void **state) {
  now given = {sizeof given, 1, 2};
  expect(&given, CAFE_OK, 1, 2, "");
}

/* In memory of its own length, so that a read beyond it is found by a sanitizer. */
static void what_is_shorter_is_taken_as_it_is_and_the_rest_is_zero(void **state) {
  now whole = {FIRST_SIZE, 1, 2};
  void *given = malloc(FIRST_SIZE);
  assert_non_null(given);
  memcpy(given, &whole, FIRST_SIZE);
  expect(given, CAFE_OK, 1, 0, "");
  free(given);
}

static void what_is_shorter_than_ever_is_refused(void **state) {
  now given = {FIRST_SIZE - 1, 1, 2};
  expect(&given, CAFE_INVALID, 0, 0, "now has the size 11, and needs 16: set it by NOW_INIT");
  given.size = 0;
  expect(&given, CAFE_INVALID, 0, 0, "now has the size 0, and needs 16: set it by NOW_INIT");
  expect(NULL, CAFE_INVALID, 0, 0, "now is NULL, and needed");
}

static void what_is_longer_is_taken_if_the_rest_says_nothing(void **state) {
  later given = {{sizeof given, 1, 2}, 0};
  expect(&given, CAFE_OK, 1, 2, "");
  given.third = UINT64_C(1) << 63;
  expect(&given, CAFE_UNSUPPORTED, 0, 0, "now has 24 bytes, of which this library knows 16: use a newer one");
}

static void what_never_grows_is_looked_at_where_it_lies(void **state) {
  later given = {{sizeof given.now, 1, 2}, 3};
  assert_int_equal(sized_check(&given, sizeof(now), "now", "NOW_INIT", NULL), CAFE_OK);
  given.now.size--;
  assert_int_equal(sized_check(&given, sizeof(now), "now", "NOW_INIT", NULL), CAFE_INVALID);
  given.now.size = sizeof given;
  assert_int_equal(sized_check(&given, sizeof(now), "now", "NOW_INIT", NULL), CAFE_UNSUPPORTED);
  given.third = 0;
  assert_int_equal(sized_check(&given, sizeof(now), "now", "NOW_INIT", NULL), CAFE_OK);
  assert_int_equal(sized_check(NULL, sizeof(now), "now", "NOW_INIT", NULL), CAFE_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_as_long_is_taken_whole),
      cmocka_unit_test(what_is_shorter_is_taken_as_it_is_and_the_rest_is_zero),
      cmocka_unit_test(what_is_shorter_than_ever_is_refused),
      cmocka_unit_test(what_is_longer_is_taken_if_the_rest_says_nothing),
      cmocka_unit_test(what_never_grows_is_looked_at_where_it_lies),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
