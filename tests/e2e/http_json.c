/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The example servers' JSON, moments and waits: what is read is read exactly, what is written can be read by anybody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/order.h"
#include "http/changes.h"
#include "http/http.h"
#include "http/json.h"
#include "http/moment.h"

static cafe_slice slice(const char *text) { return cafe_text(text); }

static json_object read_object(cafe_arena *arena, const char *text) {
  json_object object;
  cafe_err err = {0};
  if (json_read(&object, arena, slice(text), &err) != CAFE_OK) {
    fail_msg("%s: %s", text, err.text);
  }
  return object;
}

static void members_keep_their_source_text(void **state) {
  static const struct {
    const char *json;
    json_kind kind;
    const char *text; /* NULL: as if it weren't there */
  } rows[] = {
      {"{\"a\":12.50}", JSON_NUMBER, "12.50"},
      {" { \"a\" : -0 } ", JSON_NUMBER, "-0"},
      {"{\"a\":1e400}", JSON_NUMBER, "1e400"},
      {"{\"a\":123456789012345678901234567890}", JSON_NUMBER, "123456789012345678901234567890"},
      {"{\"b\":1,\"a\":\"x\",\"\":2}", JSON_STRING, "x"},
      {"{\"a\":\"\"}", JSON_STRING, ""},
      {"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", JSON_STRING, "\"\\/\b\f\n\r\t"},
      {"{\"a\":\"\\u00e9\\uAC00\\ud83d\\ude00\"}", JSON_STRING, "\xc3\xa9\xea\xb0\x80\xf0\x9f\x98\x80"},
      {"{\"\\u0061\":true}", JSON_BOOL, "true"},
      {"{\"a\":null}", JSON_NULL, NULL},
      {"{\"a\":[1,{\"a\":[]}]}", JSON_OTHER, "[1,{\"a\":[]}]"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    cafe_arena *arena = cafe_arena_create(NULL);
    json_object object = read_object(arena, rows[i].json);
    const json_member *found = json_find(&object, "a");
    assert_true(object.is_object);
    assert_int_equal(found != NULL, rows[i].text != NULL);
    if (found) {
      assert_int_equal(found->kind, rows[i].kind);
      assert_true(cafe_slice_equal(found->text, slice(rows[i].text)));
    }
    cafe_arena_destroy(arena);
  }
}

static void other_texts_are_refused(void **state) {
  static const char *const texts[] = {
      "",
      " ",
      "{",
      "}",
      "{a:1}",
      "{'a':1}",
      "{\"a\"}",
      "{\"a\":}",
      "{\"a\":1,}",
      "{,}",
      "{\"a\":1}{",
      "[1,]",
      "[1",
      "nul",
      "NaN",
      "-",
      "01",
      "-01",
      "1.",
      ".5",
      "1e",
      "1e+",
      "+1",
      "0x1",
      "\"",
      "\"\\x\"",
      "\"\\u12g4\"",
      "\"\\ud800\"",
      "\"\\udc00\"",
      "\"\\ud800\\u0041\"",
      "\"a\nb\"",
      "\"\xff\"",
      "\"\xc0\x80\"",
      "\"\xed\xa0\x80\"",
      "\"\xf4\x90\x80\x80\"",
      "\"\xe2\x82\"",
      "{\"a\":1,\"a\":1}",
      "{\"a\":1,\"\\u0061\":1}",
      "// c\n1",
      "\xef\xbb\xbf{}",
  };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    cafe_arena *arena = cafe_arena_create(NULL);
    json_object object;
    if (json_read(&object, arena, slice(texts[i]), NULL) != CAFE_INVALID) {
      fail_msg("taken for JSON: %s", texts[i]);
    }
    cafe_arena_destroy(arena);
  }
}

/* A text that is cut off anywhere is refused, and nothing is read beyond its end. */
static void a_text_cut_off_anywhere_is_refused(void **state) {
  static const char text[] = "{\"a\":[-1.5e+7,\"\\ud83d\\ude00\xea\xb0\x80\"],\"b\":{\"c\":null},\"d\":false}";
  for (size_t size = 0; size + 1 < sizeof text - 1; size++) {
    cafe_arena *arena = cafe_arena_create(NULL);
    char *exact = test_malloc(size ? size : 1);
    json_object object;
    memcpy(exact, text, size);
    assert_int_equal(json_read(&object, arena, (cafe_slice){exact, size}, NULL), CAFE_INVALID);
    test_free(exact);
    cafe_arena_destroy(arena);
  }
}

typedef struct sample {
  cafe_slice product_id;
  int64_t qty;
  cafe_slice currency;
  int64_t amount_minor;
  int64_t captured_minor;
  int64_t pickup_time_ms;
  bool is_visible;
  cafe_order_status status;
  cafe_slice token;
} sample;

static const char *const status_names[] = {"", "Ordered"};
static const cafe_field sample_fields[] = {
    CAFE_FIELD_OF(1, TEXT, sample, product_id),    CAFE_FIELD_OF(2, I64, sample, qty),
    CAFE_FIELD_OF(3, TEXT, sample, currency),      CAFE_FIELD_OF(4, I64, sample, amount_minor),
    CAFE_FIELD_OF(5, I64, sample, captured_minor), CAFE_FIELD_OF(6, TIME, sample, pickup_time_ms),
    CAFE_FIELD_OF(7, BOOL, sample, is_visible),    CAFE_FIELD_ENUM_OF(8, sample, status, status_names),
    CAFE_FIELD_SECRET_OF(9, TEXT, sample, token),
};
static const cafe_schema sample_type = CAFE_SCHEMA_OF("Sample", sample, sample_fields);

static void a_struct_is_written_by_its_field_table(void **state) {
  static const char *const hidden[] = {"is_visible", NULL};
  sample value = {.product_id = slice("a\"\\\n\x01\xff"),
                  .qty = -3,
                  .currency = slice("USD"),
                  .amount_minor = 1250,
                  .status = CAFE_ORDER_ORDERED,
                  .token = slice("secret")};
  buffer out = {0};
  json_open(&out, NULL, '{');
  json_fields(&out, &sample_type, &value, hidden);
  json_close(&out, '}');
  buffer_add(&out, "", 1);
  assert_string_equal(out.data, "{\"productId\":\"a\\\"\\\\\\n\\u0001\\ufffd\",\"qty\":-3,\"currency\":\"USD\","
                                "\"amount\":12.50,\"capturedAmount\":0.00,\"pickupTime\":null,\"status\":\"Ordered\"}");
  buffer_reset(&out);
}

static void a_struct_is_read_by_its_field_table(void **state) {
  static const json_taken taken[] = {{"productId", "product_id", true}, {"qty", "qty", false},
                                     {"currency", "currency", false},   {"amount", "amount_minor", false},
                                     {"status", "status", false},       {NULL, NULL, false}};
  cafe_arena *arena = cafe_arena_create(NULL);
  json_wrongs wrongs = {.count = 0};
  sample value = {.qty = 1};
  json_object object = read_object(arena, "{\"amount\":\"12.50\",\"currency\":\"USD\",\"productId\":7,\"qty\":\"2\","
                                          "\"status\":\"Ordered\",\"isVisible\":true,\"token\":\"x\"}");
  json_take(&value, &sample_type, &object, taken, &wrongs);
  assert_int_equal(wrongs.count, 0);
  assert_int_equal(value.amount_minor, 1250);
  assert_int_equal(value.qty, 2);
  assert_int_equal(value.status, CAFE_ORDER_ORDERED);
  assert_true(cafe_slice_equal(value.product_id, slice("7")));
  assert_false(value.is_visible); /* not in the table: the server's */
  assert_int_equal(value.token.size, 0);

  object = read_object(arena, "{\"amount\":1.005,\"qty\":1.5,\"status\":\"Eaten\",\"currency\":1}");
  json_take(&value, &sample_type, &object, taken, &wrongs);
  assert_int_equal(wrongs.count, 4);
  assert_true(json_is_wrong(&wrongs, "amount"));
  assert_int_equal(value.amount_minor, 1250);
  cafe_arena_destroy(arena);
}

/* X14: ids past 127 and 2^31, up to 2^53 - 1, JSON included: who reads numbers as doubles reads each of them exactly.
 */
static void x14_every_id_is_written_as_a_number_that_every_reader_takes_exactly(void **state) {
  static const uint64_t ids[] = {
      1, 127, 128, UINT64_C(2147483647), UINT64_C(2147483648), UINT64_C(4294967296), CAFE_KEY_MAX - 1, CAFE_KEY_MAX};
  for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
    char wanted[64];
    buffer out = {0};
    snprintf(wanted, sizeof wanted, "{\"orderId\":%llu}", (unsigned long long)ids[i]);
    json_open(&out, NULL, '{');
    json_integer(&out, "orderId", (int64_t)ids[i]);
    json_close(&out, '}');
    buffer_add(&out, "", 1);
    assert_string_equal(out.data, wanted);
    cafe_arena *arena = cafe_arena_create(NULL);
    json_object object = read_object(arena, out.data);
    const json_member *found = json_find(&object, "orderId");
    assert_int_equal(found->kind, JSON_NUMBER);
    assert_true((uint64_t)strtod(found->text.data, NULL) == ids[i]);
    cafe_arena_destroy(arena);
    buffer_reset(&out);
  }
}

static void moments_are_read_exactly_or_not_at_all(void **state) {
  static const struct {
    const char *text;
    const char *utc; /* NULL: refused */
  } rows[] = {
      {"20230306150010", "2023-03-06T06:00:10.000Z"},
      {"20240229235959", "2024-02-29T14:59:59.000Z"},
      {"20230229000000", NULL},
      {"20231301000000", NULL},
      {"20230306240000", NULL},
      {"20230306150060", NULL},
      {"2023030615001", NULL},
      {"2023030615001x", NULL},
      {"2023-03-06T06:00:10Z", "2023-03-06T06:00:10.000Z"},
      {"2023-03-06t15:00:10.1239+09:00", "2023-03-06T06:00:10.123Z"},
      {"2023-03-05 22:30:10-07:30", "2023-03-06T06:00:10.000Z"},
      {"1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"},
      {"9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"},
      {"2023-03-06T06:00:10", NULL},
      {"2023-03-06T06:00:10.Z", NULL},
      {"2023-03-06T06:00:10+24:00", NULL},
      {"2023-03-06T06:00:10+0900", NULL},
      {"2023-03-06T06:00:10Zx", NULL},
      {"2023-02-30T06:00:10Z", NULL},
      {"2023-03-06T06:00", NULL},
      {"", NULL},
  };
  cafe_err err;
  assert_int_equal(moment_set_zone("Asia/Seoul", &err), CAFE_OK);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    int64_t ms;
    char utc[MOMENT_MAX] = "refused";
    if (moment_parse(&ms, slice(rows[i].text))) {
      moment_format(utc, ms);
    }
    assert_string_equal(utc, rows[i].utc ? rows[i].utc : "refused");
  }
  assert_int_equal(moment_set_zone("Mars/Olympus", &err), CAFE_INVALID);
  assert_int_equal(moment_set_zone("../passwd", &err), CAFE_INVALID);
}

static void who_is_told_to_wait_never_comes_too_early(void **state) {
  static const struct {
    int32_t ms;
    int s;
  } rows[] = {{0, 1}, {1, 1}, {999, 1}, {1000, 1}, {1001, 2}, {2500, 3}, {3000, 3}, {INT32_MAX, 2147484}, {-5, 1}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_int_equal(http_retry_after_s(rows[i].ms), rows[i].s);
  }
}

static void a_place_in_a_log_of_many_shards_is_one_token(void **state) {
  static const char *const others[] = {"", "-", "a.0.1-", "-a.0.1", "a.0.1--a.1.1", "a.0", "a.0.1,a.1.1", "A.0.1"};
  for (uint32_t count = 1; count <= PLACE_SHARDS_MAX; count++) {
    place at = {.count = count}, read = {.count = 0};
    buffer token = {0};
    for (uint32_t i = 0; i < count; i++) {
      at.positions[i] = (cafe_position){CAFE_KEY_MAX - i, i, i * UINT64_C(1000000007)};
    }
    place_write(&token, &at);
    assert_true(place_read(&read, (cafe_slice){token.data, token.size}));
    assert_int_equal(read.count, count);
    for (uint32_t i = 0; i < count; i++) {
      assert_int_equal(read.positions[i].log_id, at.positions[i].log_id);
      assert_int_equal(read.positions[i].shard, i);
      assert_int_equal(read.positions[i].n, at.positions[i].n);
    }
    if (count == PLACE_SHARDS_MAX) { /* one too many */
      buffer_text(&token, "-a.0.1");
      assert_false(place_read(&read, (cafe_slice){token.data, token.size}));
      assert_int_equal(read.count, 0);
    }
    buffer_reset(&token);
  }
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    place read;
    assert_false(place_read(&read, slice(others[i])));
    assert_int_equal(read.count, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(members_keep_their_source_text),
      cmocka_unit_test(other_texts_are_refused),
      cmocka_unit_test(a_text_cut_off_anywhere_is_refused),
      cmocka_unit_test(a_struct_is_written_by_its_field_table),
      cmocka_unit_test(a_struct_is_read_by_its_field_table),
      cmocka_unit_test(who_is_told_to_wait_never_comes_too_early),
      cmocka_unit_test(moments_are_read_exactly_or_not_at_all),
      cmocka_unit_test(a_place_in_a_log_of_many_shards_is_one_token),
      cmocka_unit_test(x14_every_id_is_written_as_a_number_that_every_reader_takes_exactly),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
