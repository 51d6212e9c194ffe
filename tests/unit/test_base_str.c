/* SPDX-License-Identifier: Apache-2.0 */

/* Text is UTF-8 or is refused, and time is written as RFC 3339. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <cmocka.h>

#include "base/date.h"
#include "base/str.h"
#include "failing_alloc.h"

/* The bytes of a code point by the table of RFC 3629; surrogates and what is too high are written all the same. */
static size_t put_utf8(char out[4], uint32_t c) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  if (c < 0x800) {
    out[0] = (char)(0xC0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3F));
    return 2;
  }
  if (c < 0x10000) {
    out[0] = (char)(0xE0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3F));
    out[2] = (char)(0x80 | (c & 0x3F));
    return 3;
  }
  out[0] = (char)(0xF0 | c >> 18);
  out[1] = (char)(0x80 | (c >> 12 & 0x3F));
  out[2] = (char)(0x80 | (c >> 6 & 0x3F));
  out[3] = (char)(0x80 | (c & 0x3F));
  return 4;
}

static void every_code_point_but_surrogates_is_utf8(void **state) {
  for (uint32_t c = 0; c < 0x1FFFFF; c++) {
    char bytes[4];
    cafe_slice text = {bytes, put_utf8(bytes, c)};
    bool good = c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
    assert_int_equal(str_is_utf8(text), good);
    if (good) {
      assert_int_equal(str_count(text), 1);
      assert_int_equal(str_has_control(text), c < 0x20 || (c >= 0x7F && c < 0xA0));
      for (size_t size = 1; size < text.size; size++) {
        assert_false(str_is_utf8((cafe_slice){bytes, size}));
      }
    }
  }
}

static void malformed_bytes_are_no_text(void **state) {
  static const char *const bad[] = {
      "\x80",
      "\xBF",
      "\xC0\x80",
      "\xC1\xBF",
      "\xC3",
      "\xC3(",
      "\xE0\x80\x80",
      "\xE0\x9F\xBF",
      "\xE2\x82",
      "\xE2(\xA1",
      "\xED\xA0\x80",
      "\xED\xBF\xBF",
      "\xF0\x80\x80\x80",
      "\xF0\x8F\xBF\xBF",
      "\xF4\x90\x80\x80",
      "\xF5\x80\x80\x80",
      "\xF8\x88\x80\x80\x80",
      "\xFE",
      "\xFF",
      "\xC3\xA9\xC3",
  };
  /* At every place of words of eight bytes and their overlaps. */
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    size_t width = strlen(bad[i]);
    for (size_t before = 0; before < 20; before++) {
      for (size_t after = 0; after < 20; after++) {
        char text[64];
        memset(text, 'a', sizeof(text));
        memcpy(text + before, bad[i], width);
        assert_false(str_is_utf8((cafe_slice){text, before + width + after}));
        assert_false(str_is_ascii((cafe_slice){text, before + width + after}));
      }
    }
  }
}

static void text_in_many_scripts_is_counted_by_code_points(void **state) {
  static const struct {
    const char *text;
    size_t count;
  } table[] = {{"", 0},
               {"latte", 5},
               {"caf\xC3\xA9", 4},
               {"\xEC\x95\x84\xEB\xA9\x94\xEB\xA6\xAC\xEC\xB9\xB4\xEB\x85\xB8", 5},
               {"\xF0\x9F\x98\x80!", 2},
               {"e\xCC\x81", 2}};
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
    cafe_slice text = cafe_text(table[i].text);
    assert_true(str_is_utf8(text));
    assert_int_equal(str_count(text), table[i].count);
    assert_false(str_has_control(text));
  }
  assert_true(str_is_utf8((cafe_slice){NULL, 0}));
  assert_true(str_is_utf8((cafe_slice){"a\0b", 3}));
  assert_true(str_has_control((cafe_slice){"a\0b", 3}));
  assert_true(str_has_control(cafe_text("a\tb")));
  assert_true(str_has_control(cafe_text("\xC2\x85")));
  assert_false(str_has_control(cafe_text("\xC2\xA0")));
}

static void text_is_read_up_to_its_last_byte_and_no_further(void **state) {
  for (size_t size = 1; size < 40; size++) {
    /* Exactly as large, so that AddressSanitizer sees one byte too many. */
    char *exact = malloc(size);
    memset(exact, 'a', size);
    assert_true(str_is_utf8((cafe_slice){exact, size}));
    exact[size - 1] = (char)0xC3;
    assert_false(str_is_utf8((cafe_slice){exact, size}));
    assert_false(str_has_control((cafe_slice){exact, size}));
    exact[size - 1] = (char)0xC2;
    assert_false(str_has_control((cafe_slice){exact, size}));
    free(exact);
  }
}

static size_t CAFE_PRINTF(3, 4) format(char *out, size_t size, const char *text, ...) {
  va_list args;
  va_start(args, text);
  size_t length = str_format(out, size, text, args);
  va_end(args);
  return length;
}

static void a_bounded_text_says_its_length(void **state) {
  char out[8];
  assert_int_equal(format(out, sizeof(out), "%d-%s", 42, "abc"), 6);
  assert_string_equal(out, "42-abc");
  assert_int_equal(format(out, sizeof(out), "%s", "12345678"), 7);
  assert_string_equal(out, "1234567");
  assert_int_equal(format(out, sizeof(out), "%s", "12345\xE2\x82\xAC"), 5);
  assert_string_equal(out, "12345");
  assert_int_equal(format(out, 1, "%s", "abc"), 0);
  assert_string_equal(out, "");
}

static void a_text_in_the_arena_is_whole_or_refused(void **state) {
  failing_alloc memory;
  for (size_t n = 1; failing_alloc_begin(&memory, n); n++) {
    cafe_arena *arena = cafe_arena_create(&memory.allocator);
    if (arena) {
      char long_text[3000];
      memset(long_text, 'z', sizeof(long_text) - 1);
      long_text[sizeof(long_text) - 1] = '\0';
      char *text = arena_printf(arena, "%s %d", long_text, 7);
      if (text) {
        assert_int_equal(strlen(text), 3001);
        assert_string_equal(text + 2998, "z 7");
      } else {
        assert_true(memory.refused);
      }
    }
    cafe_arena_destroy(arena);
    failing_alloc_end(&memory);
  }
}

static void what_cannot_be_formatted_is_empty(void **state) {
  /* No byte sequence stands for this wide character in the C locale, so the C library gives up. */
  static const wchar_t impossible[] = {0xD800, 0};
  char out[8] = "before";
  assert_int_equal(format(out, sizeof(out), "%ls", impossible), 0);
  assert_string_equal(out, "");
  cafe_arena *arena = cafe_arena_create(NULL);
  assert_null(arena_printf(arena, "%ls", impossible));
  cafe_arena_destroy(arena);
}

static void a_number_between_two_texts_is_as_printf_has_it(void **state) {
  static const uint64_t numbers[] = {0, 7, 10, 1041, CAFE_KEY_MAX, UINT64_MAX};
  static const char *const texts[][2] = {{"", ""}, {"주문 ", "번"}, {"", "/authorize"}, {"sandbox-", ""}};
  for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
    for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
      char wanted[64];
      int whole =
          snprintf(wanted, sizeof(wanted), "%s%llu%s", texts[t][0], (unsigned long long)numbers[n], texts[t][1]);
      for (size_t size = 1; size <= (size_t)whole + 2; size++) {
        char out[64];
        memset(out, 'x', sizeof(out));
        assert_int_equal(str_number(out, size, texts[t][0], numbers[n], texts[t][1]), whole);
        size_t kept = size <= (size_t)whole ? size - 1 : (size_t)whole;
        assert_memory_equal(out, wanted, kept);
        assert_int_equal(out[kept], 0);
        assert_int_equal(out[kept + 1], 'x');
      }
    }
  }
}

static void moments_are_written_as_rfc_3339(void **state) {
  static const struct {
    int64_t ms;
    const char *text;
  } table[] = {
      {0, "1970-01-01T00:00:00.000Z"},
      {-1, "1969-12-31T23:59:59.999Z"},
      {951782400000, "2000-02-29T00:00:00.000Z"},
      {951868799999, "2000-02-29T23:59:59.999Z"},
      {1709164800123, "2024-02-29T00:00:00.123Z"},
      {4107542400000, "2100-03-01T00:00:00.000Z"},
      {-62167219200000, "0000-01-01T00:00:00.000Z"},
      {253402300799999, "9999-12-31T23:59:59.999Z"},
      {INT64_MAX, "292278994-08-17T07:12:55.807Z"},
      {INT64_MIN, "-292275055-05-16T16:47:04.192Z"},
  };
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
    char out[DATE_TEXT_MAX];
    date_format(out, table[i].ms);
    assert_string_equal(out, table[i].text);
  }
}

static void days_follow_each_other(void **state) {
  char before[DATE_TEXT_MAX] = "";
  for (int64_t day = -800 * 365; day < 800 * 365; day++) {
    char out[DATE_TEXT_MAX];
    date_format(out, day * 86400000);
    assert_true(strcmp(before, out) < 0);
    memcpy(before, out, sizeof(out));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_code_point_but_surrogates_is_utf8),
      cmocka_unit_test(malformed_bytes_are_no_text),
      cmocka_unit_test(text_in_many_scripts_is_counted_by_code_points),
      cmocka_unit_test(text_is_read_up_to_its_last_byte_and_no_further),
      cmocka_unit_test(a_bounded_text_says_its_length),
      cmocka_unit_test(a_text_in_the_arena_is_whole_or_refused),
      cmocka_unit_test(what_cannot_be_formatted_is_empty),
      cmocka_unit_test(a_number_between_two_texts_is_as_printf_has_it),
      cmocka_unit_test(moments_are_written_as_rfc_3339),
      cmocka_unit_test(days_follow_each_other),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
