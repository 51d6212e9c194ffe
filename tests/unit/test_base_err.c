/* SPDX-License-Identifier: Apache-2.0 */

/* An error is told without memory, whole, and in UTF-8, whatever it quotes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "cafe/err.h"
#include "cafe/version.h"

static void a_failure_returns_its_code_and_says_why(void **state) {
  cafe_err err;
  assert_int_equal(cafe_fail(&err, CAFE_CONFLICT, "stream %s is at %d", "order 7", 3), CAFE_CONFLICT);
  assert_int_equal(err.code, CAFE_CONFLICT);
  assert_int_equal(err.detail, 0);
  assert_string_equal(err.text, "stream order 7 is at 3");
  assert_int_equal(cafe_fail_detail(&err, CAFE_UNAVAILABLE, 111, "refused"), CAFE_UNAVAILABLE);
  assert_int_equal(err.detail, 111);
  assert_int_equal(err.retry_after_ms, 0);
  err.retry_after_ms = 7; /* of an earlier failure in the same memory */
  cafe_fail(&err, CAFE_OVERLOADED, "full");
  assert_int_equal(err.retry_after_ms, 0);
  assert_int_equal(err.reserved, 0);
}

static void nobody_needs_to_listen(void **state) {
  assert_int_equal(cafe_fail(NULL, CAFE_TIMEOUT, "%d", 1), CAFE_TIMEOUT);
  assert_int_equal(cafe_fail_detail(NULL, CAFE_TIMEOUT, 2, "%d", 1), CAFE_TIMEOUT);
  cafe_err_clear(NULL);
}

static void clearing_says_success(void **state) {
  cafe_err err;
  cafe_fail_detail(&err, CAFE_DENIED, 13, "no");
  cafe_err_clear(&err);
  assert_int_equal(err.code, CAFE_OK);
  assert_int_equal(err.detail, 0);
  assert_string_equal(err.text, "");
}

static void a_failure_can_quote_the_one_before_in_the_same_memory(void **state) {
  cafe_err err;
  cafe_fail(&err, CAFE_CORRUPT, "bad checksum");
  cafe_fail(&err, CAFE_CORRUPT, "event 7: %s", err.text);
  assert_string_equal(err.text, "event 7: bad checksum");
}

static void a_long_text_is_cut_between_two_characters(void **state) {
  static const char *const characters[] = {"x", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
  for (size_t c = 0; c < 4; c++) {
    size_t width = strlen(characters[c]);
    for (size_t lead = 0; lead < 4; lead++) {
      char input[600];
      memset(input, 'a', lead);
      size_t size = lead;
      while (size + width < sizeof(input)) {
        memcpy(input + size, characters[c], width);
        size += width;
      }
      input[size] = '\0';
      cafe_err err;
      cafe_fail(&err, CAFE_INVALID, "%s", input);
      size_t kept = strlen(err.text);
      assert_int_equal(kept, lead + (sizeof(err.text) - 1 - lead) / width * width);
      assert_memory_equal(err.text, input, kept);
    }
  }
}

static void a_text_that_just_fits_is_whole(void **state) {
  char input[sizeof(((cafe_err *)0)->text)];
  memset(input, 'b', sizeof(input) - 1);
  input[sizeof(input) - 1] = '\0';
  cafe_err err;
  cafe_fail(&err, CAFE_INVALID, "%s", input);
  assert_string_equal(err.text, input);
}

static void bytes_that_are_no_text_are_shown_as_question_marks(void **state) {
  cafe_err err;
  cafe_fail(&err, CAFE_INVALID, "not a name: '%s'", "\xFFx\xC3(\xE2\x82");
  assert_string_equal(err.text, "not a name: '?x?(?"
                                "?'");
  assert_true(str_is_utf8(cafe_text(err.text)));
}

static void every_code_has_a_name_and_a_reaction(void **state) {
  static const struct {
    int code;
    const char *name;
    int retryable;
  } table[] = {
      {CAFE_OK, "ok", 0},
      {CAFE_INVALID, "invalid", 0},
      {CAFE_NOMEM, "nomem", 1},
      {CAFE_OVERLOADED, "overloaded", 1},
      {CAFE_TIMEOUT, "timeout", 1},
      {CAFE_CANCELED, "canceled", 0},
      {CAFE_CONFLICT, "conflict", 1},
      {CAFE_NOT_FOUND, "not_found", 0},
      {CAFE_UNAVAILABLE, "unavailable", 1},
      {CAFE_CORRUPT, "corrupt", 0},
      {CAFE_UNSUPPORTED, "unsupported", 0},
      {CAFE_DENIED, "denied", 0},
      {CAFE_DENIED + 1, "unknown", 0},
      {-1, "unknown", 0},
      {INT32_MIN, "unknown", 0},
      {INT32_MAX, "unknown", 0},
  };
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
    assert_string_equal(cafe_code_name(table[i].code), table[i].name);
    assert_int_equal(cafe_code_is_retryable(table[i].code), table[i].retryable);
  }
}

static void the_version_is_that_of_the_headers(void **state) {
  char built[32];
  snprintf(built, sizeof(built), "%d.%d.%d", CAFE_VERSION_MAJOR, CAFE_VERSION_MINOR, CAFE_VERSION_PATCH);
  assert_string_equal(cafe_version(), CAFE_VERSION);
  assert_string_equal(cafe_version(), built);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_failure_returns_its_code_and_says_why),
      cmocka_unit_test(nobody_needs_to_listen),
      cmocka_unit_test(clearing_says_success),
      cmocka_unit_test(a_failure_can_quote_the_one_before_in_the_same_memory),
      cmocka_unit_test(a_long_text_is_cut_between_two_characters),
      cmocka_unit_test(a_text_that_just_fits_is_whole),
      cmocka_unit_test(bytes_that_are_no_text_are_shown_as_question_marks),
      cmocka_unit_test(every_code_has_a_name_and_a_reaction),
      cmocka_unit_test(the_version_is_that_of_the_headers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
