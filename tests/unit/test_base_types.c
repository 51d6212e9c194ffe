/* SPDX-License-Identifier: Apache-2.0 */

/* Money, positions and partitions: exact, one text per value, the same for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/types.h"

/* ---- partitions ---- */

static void the_partition_of_a_key_never_changes(void **state) {
  /* From the reference implementation of SplitMix64's finaliser, computed apart from this one. */
  static const struct {
    uint64_t key;
    uint32_t partition;
  } golden[] = {{0, 0},
                {1, 37},
                {2, 10},
                {3, 48},
                {4, 20},
                {5, 28},
                {63, 21},
                {64, 19},
                {1041, 3},
                {UINT64_C(4294967296), 63},
                {UINT64_C(9007199254740991), 3},
                {UINT64_C(18446744073709551615), 59}};
  for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
    assert_int_equal(cafe_partition(golden[i].key), golden[i].partition);
  }
}

static void keys_in_a_row_spread_evenly(void **state) {
  unsigned counts[CAFE_PARTITIONS] = {0};
  for (uint64_t key = 1; key <= 64000; key++) {
    uint32_t partition = cafe_partition(key);
    assert_in_range(partition, 0, CAFE_PARTITIONS - 1);
    counts[partition]++;
  }
  for (size_t i = 0; i < CAFE_PARTITIONS; i++) {
    assert_in_range(counts[i], 850, 1150);
  }
}

/* ---- positions ---- */

static void a_position_survives_its_token(void **state) {
  static const cafe_position positions[] = {
      {0, 0, 0},
      {1, 0, 1},
      {35, 3, 9},
      {36, 63, 10},
      {UINT64_MAX, UINT32_MAX, UINT64_MAX},
      {0x123456789abcdef, 1, 1041},
  };
  for (size_t i = 0; i < sizeof(positions) / sizeof(positions[0]); i++) {
    char token[CAFE_POSITION_TEXT_MAX];
    memset(token, 'x', sizeof(token));
    cafe_position_format(token, &positions[i]);
    size_t size = strlen(token);
    assert_true(size < sizeof(token));
    assert_int_equal(strspn(token, "0123456789abcdefghijklmnopqrstuvwxyz."), size);
    cafe_position back;
    assert_int_equal(cafe_position_parse(&back, cafe_text(token), NULL), CAFE_OK);
    assert_true(back.log_id == positions[i].log_id && back.shard == positions[i].shard && back.n == positions[i].n);
    char again[CAFE_POSITION_TEXT_MAX];
    cafe_position_format(again, &back);
    assert_string_equal(again, token);
  }
}

static void the_form_of_a_token_is_fixed(void **state) {
  char token[CAFE_POSITION_TEXT_MAX];
  cafe_position_format(token, &(cafe_position){36 * 36 + 35, 2, 1041});
  assert_string_equal(token, "10z.2.1041");
  cafe_position_format(token, &(cafe_position){UINT64_MAX, UINT32_MAX, UINT64_MAX});
  assert_string_equal(token, "3w5e11264sgsf.4294967295.18446744073709551615");
}

static void what_is_no_token_is_refused_and_changes_nothing(void **state) {
  static const char *const tokens[] = {
      "",
      ".",
      "..",
      "1",
      "1.",
      "1.2",
      "1.2.",
      ".2.3",
      "1..3",
      "1.2.3.",
      "1.2.3.4",
      " 1.2.3",
      "1.2.3 ",
      "1.2.3\n",
      "A.2.3",
      "1.a.3",
      "1.2.a",
      "-1.2.3",
      "1.-2.3",
      "1.2.+3",
      "01.2.3",
      "1.02.3",
      "1.2.03",
      "00.0.0",
      "1.4294967296.3",
      "1.2.18446744073709551616",
      "3w5e11264sgsg.2.3",
      "1000000000000000.2.3",
      "1.2.99999999999999999999999999",
      "1,2,3",
      "\xC3\xA9.2.3",
  };
  for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
    cafe_position out = {7, 8, 9};
    cafe_err err;
    assert_int_equal(cafe_position_parse(&out, cafe_text(tokens[i]), &err), CAFE_INVALID);
    assert_int_equal(err.code, CAFE_INVALID);
    assert_true(out.log_id == 7 && out.shard == 8 && out.n == 9);
  }
  cafe_position out;
  assert_int_equal(cafe_position_parse(&out, (cafe_slice){NULL, 0}, NULL), CAFE_INVALID);
  assert_int_equal(cafe_position_parse(&out, (cafe_slice){"1.2.3\0", 6}, NULL), CAFE_INVALID);
}

/* ---- currencies ---- */

static void currencies_have_the_decimals_of_iso_4217(void **state) {
  static const struct {
    const char *code;
    int decimals;
  } table[] = {{"KRW", 0}, {"USD", 2}, {"EUR", 2}, {"JPY", 0}, {"KWD", 3}, {"CLF", 4}, {"AED", 2},
               {"ZWG", 2}, {"BHD", 3}, {"VND", 0}, {"ISK", 0}, {"UYW", 4}, {"HUF", 2}, {"XOF", 0}};
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
    int decimals = -1;
    assert_int_equal(cafe_currency_decimals(&decimals, cafe_text(table[i].code), NULL), CAFE_OK);
    assert_int_equal(decimals, table[i].decimals);
  }
}

static void every_code_of_three_capitals_is_either_known_or_not(void **state) {
  int known = 0;
  char code[4] = "AAA";
  for (code[0] = 'A'; code[0] <= 'Z'; code[0]++) {
    for (code[1] = 'A'; code[1] <= 'Z'; code[1]++) {
      for (code[2] = 'A'; code[2] <= 'Z'; code[2]++) {
        int decimals = -1;
        if (cafe_currency_decimals(&decimals, cafe_text(code), NULL) == CAFE_OK) {
          known++;
          assert_in_range(decimals, 0, 4);
        } else {
          assert_int_equal(decimals, -1);
        }
      }
    }
  }
  /* A table that isn't sorted would lose codes here. */
  assert_int_equal(known, 167);
}

static void what_is_no_currency_is_refused(void **state) {
  static const char *const codes[] = {"", "K", "KR", "krw", "KRWX", "XXX", "XAU", "AAA", "ZZZ", "K W", "\xC3\xA9W"};
  for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
    int decimals = -1;
    cafe_err err;
    assert_int_equal(cafe_currency_decimals(&decimals, cafe_text(codes[i]), &err), CAFE_INVALID);
    assert_int_equal(decimals, -1);
  }
}

/* ---- amounts ---- */

static void amounts_are_read_exactly(void **state) {
  static const struct {
    const char *text;
    int decimals;
    int64_t minor;
  } table[] = {
      {"0", 0, 0},
      {"4500", 0, 4500},
      {"12.50", 2, 1250},
      {"12.5", 2, 1250},
      {"12", 2, 1200},
      {"0.01", 2, 1},
      {"0.1", 2, 10},
      {"1e3", 0, 1000},
      {"1E3", 0, 1000},
      {"1e+3", 0, 1000},
      {"1e0", 0, 1},
      {"1.5e1", 0, 15},
      {"15e-1", 1, 15},
      {"1e-2", 2, 1},
      {"1.25e1", 2, 1250},
      {"-0", 2, 0},
      {"-0.00", 2, 0},
      {"0e9", 0, 0},
      {"0e-2", 2, 0},
      {"1e00003", 0, 1000},
      {"0.57", 2, 57},
      {"1.15", 2, 115},
      {"8.20", 2, 820},
      {"0.29", 2, 29},
      {"1.005", 3, 1005},
      {"1000000000000", 0, 1000000000000},
      {"10000000000.00", 2, 1000000000000},
      {"1e12", 0, 1000000000000},
      {"1e10", 2, 1000000000000},
      {"0.000000000001e24", 0, 1000000000000},
      {"0e99999999999999999999999999999999", 0, 0},
  };
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
    int64_t minor = -1;
    int code = cafe_amount_parse(&minor, cafe_text(table[i].text), table[i].decimals, NULL);
    assert_int_equal(code, CAFE_OK);
    assert_true(minor == table[i].minor);
  }
}

static void what_is_no_amount_is_refused_and_changes_nothing(void **state) {
  static const struct {
    const char *text;
    int decimals;
    const char *why;
  } table[] = {
      {"", 0, "number"},
      {"-", 0, "number"},
      {"+1", 0, "number"},
      {" 1", 0, "number"},
      {"1 ", 0, "number"},
      {"01", 0, "number"},
      {"00", 0, "number"},
      {"-01", 0, "number"},
      {".5", 2, "number"},
      {"5.", 2, "number"},
      {"1.e3", 2, "number"},
      {"1e", 0, "number"},
      {"1e+", 0, "number"},
      {"1e-", 0, "number"},
      {"1e1.5", 0, "number"},
      {"0x10", 0, "number"},
      {"1,5", 2, "number"},
      {"1_000", 0, "number"},
      {"NaN", 0, "number"},
      {"Infinity", 0, "number"},
      {"1.5.2", 2, "number"},
      {"--1", 0, "number"},
      {"1e1e1", 0, "number"},
      {"\xD9\xA1", 0, "number"},
      {"-1", 0, "negative"},
      {"-0.01", 2, "negative"},
      {"-1e-1", 2, "negative"},
      {"12.500", 2, "decimals"},
      {"1.0", 0, "decimals"},
      {"1.50e1", 0, "decimals"},
      {"1e-3", 2, "decimals"},
      {"100e-2", 0, "decimals"},
      {"0.000", 2, "decimals"},
      {"0e-3", 2, "decimals"},
      {"1e-99999999999999999999", 2, "decimals"},
      {"1000000000001", 0, "10^12"},
      {"10000000000.01", 2, "10^12"},
      {"1e13", 0, "10^12"},
      {"1e12", 2, "10^12"},
      {"1e99999999999999999999", 0, "10^12"},
      {"99999999999999999999999999999999999999", 0, "10^12"},
      {"18446744073709551617", 0, "10^12"},
      {"9223372036854775808", 0, "10^12"},
  };
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
    int64_t minor = -77;
    cafe_err err;
    assert_int_equal(cafe_amount_parse(&minor, cafe_text(table[i].text), table[i].decimals, &err), CAFE_INVALID);
    assert_true(minor == -77);
    if (!strstr(err.text, table[i].why)) {
      fail_msg("%s: %s", table[i].text, err.text);
    }
  }
  int64_t minor;
  assert_int_equal(cafe_amount_parse(&minor, (cafe_slice){NULL, 0}, 0, NULL), CAFE_INVALID);
  assert_int_equal(cafe_amount_parse(&minor, (cafe_slice){"1\0", 2}, 0, NULL), CAFE_INVALID);
}

static void an_amount_is_read_up_to_its_last_byte_and_no_further(void **state) {
  char text[] = "12.50";
  for (size_t size = 0; size <= 5; size++) {
    /* A copy of exactly that size, so that AddressSanitizer sees one byte too many. */
    char *exact = malloc(size ? size : 1);
    memcpy(exact, text, size);
    int64_t minor = 0;
    int code = cafe_amount_parse(&minor, (cafe_slice){exact, size}, 2, NULL);
    static const int64_t expected[] = {-1, 100, 1200, -1, 1250, 1250};
    assert_int_equal(code, expected[size] < 0 ? CAFE_INVALID : CAFE_OK);
    if (code == CAFE_OK) {
      assert_true(minor == expected[size]);
    }
    free(exact);
  }
}

static void amounts_are_written_with_all_their_decimals(void **state) {
  static const struct {
    int64_t minor;
    int decimals;
    const char *text;
  } table[] = {
      {0, 0, "0"},
      {0, 2, "0.00"},
      {4500, 0, "4500"},
      {1250, 2, "12.50"},
      {1, 2, "0.01"},
      {10, 2, "0.10"},
      {100, 2, "1.00"},
      {5, 4, "0.0005"},
      {-1250, 2, "-12.50"},
      {-1, 3, "-0.001"},
      {INT64_MAX, 0, "9223372036854775807"},
      {INT64_MIN, 0, "-9223372036854775808"},
      {INT64_MIN, 2, "-92233720368547758.08"},
      {INT64_MIN, 12, "-9223372.036854775808"},
      {1, 12, "0.000000000001"},
  };
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
    char text[CAFE_AMOUNT_TEXT_MAX];
    cafe_amount_format(text, table[i].minor, table[i].decimals);
    assert_string_equal(text, table[i].text);
  }
}

static void an_amount_survives_its_text(void **state) {
  uint64_t x = 1;
  for (int i = 0; i < 20000; i++) {
    x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    int64_t minor = (int64_t)(x >> 20) % INT64_C(1000000000001);
    int decimals = i % 5;
    char text[CAFE_AMOUNT_TEXT_MAX];
    cafe_amount_format(text, minor, decimals);
    int64_t back = -1;
    assert_int_equal(cafe_amount_parse(&back, cafe_text(text), decimals, NULL), CAFE_OK);
    assert_true(back == minor);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_partition_of_a_key_never_changes),
      cmocka_unit_test(keys_in_a_row_spread_evenly),
      cmocka_unit_test(a_position_survives_its_token),
      cmocka_unit_test(the_form_of_a_token_is_fixed),
      cmocka_unit_test(what_is_no_token_is_refused_and_changes_nothing),
      cmocka_unit_test(currencies_have_the_decimals_of_iso_4217),
      cmocka_unit_test(every_code_of_three_capitals_is_either_known_or_not),
      cmocka_unit_test(what_is_no_currency_is_refused),
      cmocka_unit_test(amounts_are_read_exactly),
      cmocka_unit_test(what_is_no_amount_is_refused_and_changes_nothing),
      cmocka_unit_test(an_amount_is_read_up_to_its_last_byte_and_no_further),
      cmocka_unit_test(amounts_are_written_with_all_their_decimals),
      cmocka_unit_test(an_amount_survives_its_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
