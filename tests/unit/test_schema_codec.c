/* SPDX-License-Identifier: Apache-2.0 */

/* What is stored is read back, by this version and by others; bytes that are damaged are refused, never believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "cafe/schema.h"
#include "failing_alloc.h"

typedef struct thing {
  bool flag;
  int64_t count;
  uint64_t key;
  int32_t kind;
  cafe_slice name;
  cafe_slice blob;
  int64_t at_ms;
  cafe_slice token;
} thing;

static const char *const kinds[] = {"none", "small", "large"};

static const cafe_field thing_fields[] = {
    CAFE_FIELD_OF(1, BOOL, thing, flag),  CAFE_FIELD_OF(2, I64, thing, count),
    CAFE_FIELD_OF(3, U64, thing, key),    CAFE_FIELD_ENUM_OF(4, thing, kind, kinds),
    CAFE_FIELD_OF(5, TEXT, thing, name),  CAFE_FIELD_OF(6, BYTES, thing, blob),
    CAFE_FIELD_OF(7, TIME, thing, at_ms), CAFE_FIELD_SECRET_OF(8, TEXT, thing, token),
};
static const cafe_schema thing_type = CAFE_SCHEMA_OF("Thing", thing, thing_fields);

/* The same as an older version knew it. */
static const cafe_schema old_type = {"Thing", sizeof(thing), 3, thing_fields};

static cafe_arena *arena;

static int start(void **state) {
  arena = cafe_arena_create(NULL);
  return 0;
}

static int stop(void **state) {
  cafe_arena_destroy(arena);
  return 0;
}

static cafe_slice encoded(const thing *value) {
  cafe_slice out = {NULL, 0};
  cafe_err err;
  if (cafe_schema_encode(&out, arena, &thing_type, value, &err)) {
    fail_msg("%s", err.text);
  }
  return out;
}

static void same(const thing *a, const thing *b) {
  assert_int_equal(a->flag, b->flag);
  assert_true(a->count == b->count);
  assert_true(a->key == b->key);
  assert_int_equal(a->kind, b->kind);
  assert_true(cafe_slice_equal(a->name, b->name));
  assert_true(cafe_slice_equal(a->blob, b->blob));
  assert_true(a->at_ms == b->at_ms);
  assert_true(cafe_slice_equal(a->token, b->token));
}

static void zeroed(const void *value) {
  static const thing zero;
  /* Also what lies between the members: the struct is set whole. */
  assert_memory_equal(value, &zero, sizeof(zero));
}

/* Decodes a copy of exactly that size, so that AddressSanitizer sees one byte too many. */
static int decode(thing *out, const cafe_schema *type, const char *bytes, size_t size) {
  char *exact = malloc(size ? size : 1);
  memcpy(exact, bytes, size);
  memset(out, 0x5A, sizeof(*out));
  cafe_err err;
  int code = cafe_schema_decode(out, type, (cafe_slice){exact, size}, &err);
  if (code) {
    assert_int_equal(code, CAFE_INVALID);
    assert_int_equal(err.code, CAFE_INVALID);
    assert_true(strncmp(err.text, "Thing", 5) == 0);
    zeroed(out);
  } else {
    /* The texts are inside the bytes, or empty. */
    const cafe_slice slices[] = {out->name, out->blob, out->token};
    for (size_t i = 0; i < 3; i++) {
      assert_true(slices[i].size ? slices[i].data >= exact && slices[i].data + slices[i].size <= exact + size
                                 : slices[i].data == NULL);
    }
    assert_true(str_is_utf8(out->name) && str_is_utf8(out->token));
    assert_in_range(out->kind, 0, 2);
    assert_true(out->key <= CAFE_KEY_MAX);
  }
  free(exact);
  return code;
}

#define DECODE(out, literal) decode((out), &thing_type, (literal), sizeof(literal) - 1)

/* ---- the stored form ---- */

static void the_stored_form_never_changes(void **state) {
  const thing full = {true, -2, 1041, 2, {"latte", 5}, {"\x00\xFF", 2}, 1700000000000, {"secret", 6}};
  cafe_slice bytes = encoded(&full);
  static const char golden[] =
      "\x98\xC3\xFE\xCD\x04\x11\x02\xA5latte\xC4\x02\x00\xFF\xCF\x00\x00\x01\x8B\xCF\xE5\x68\x00"
      "\xA6secret";
  assert_int_equal(bytes.size, sizeof(golden) - 1);
  assert_memory_equal(bytes.data, golden, bytes.size);
}

static void zero_is_nil_and_nil_at_the_end_is_left_out(void **state) {
  thing value;
  memset(&value, 0, sizeof(value));
  cafe_slice bytes = encoded(&value);
  assert_int_equal(bytes.size, 1);
  assert_memory_equal(bytes.data, "\x90", 1);
  value.key = 7;
  value.name = (cafe_slice){"ignored", 0};
  bytes = encoded(&value);
  assert_int_equal(bytes.size, 4);
  assert_memory_equal(bytes.data, "\x93\xC0\xC0\x07", 4);
}

static void every_type_survives_with_its_extreme_values(void **state) {
  static const int64_t numbers[] = {
      0,          1,           -1,         31,        32,        -32,           -33,
      127,        128,         -128,       -129,      255,       256,           32767,
      32768,      -32768,      -32769,     65535,     65536,     INT32_MAX,     INT32_MIN,
      UINT32_MAX, -2147483649, 4294967296, INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_MIN + 1};
  for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
    thing value = {i % 2, numbers[i], 0, (int32_t)(i % 3), {NULL, 0}, {NULL, 0}, numbers[i], {NULL, 0}};
    value.key = numbers[i] >= 0 && (uint64_t)numbers[i] <= CAFE_KEY_MAX ? (uint64_t)numbers[i] : CAFE_KEY_MAX;
    cafe_slice bytes = encoded(&value);
    thing back;
    assert_int_equal(decode(&back, &thing_type, bytes.data, bytes.size), CAFE_OK);
    same(&back, &value);
  }
}

static void texts_of_every_length_of_head_survive(void **state) {
  static const size_t sizes[] = {0, 1, 31, 32, 33, 255, 256, 257, 65535, 65536, 70000};
  char *text = malloc(70000);
  memset(text, 'x', 70000);
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    thing value;
    memset(&value, 0, sizeof(value));
    value.name = (cafe_slice){text, sizes[i]};
    value.blob = (cafe_slice){text, sizes[i]};
    cafe_slice bytes = encoded(&value);
    thing back;
    memset(&back, 0x5A, sizeof(back));
    assert_int_equal(cafe_schema_decode(&back, &thing_type, bytes, NULL), CAFE_OK);
    same(&back, &value);
  }
  free(text);
}

static void text_in_any_script_survives_and_bytes_may_be_anything(void **state) {
  thing value;
  memset(&value, 0, sizeof(value));
  value.name = cafe_text("\xEB\x9D\xBC\xEB\x96\xBC \xF0\x9F\x98\x80 caf\xC3\xA9");
  value.blob = (cafe_slice){"\xFF\xC0\x80\0\0", 5};
  cafe_slice bytes = encoded(&value);
  thing back;
  assert_int_equal(cafe_schema_decode(&back, &thing_type, bytes, NULL), CAFE_OK);
  same(&back, &value);
}

/* ---- values outside their type ---- */

static void not_encoded(const thing *value, const char *why) {
  cafe_slice out = {"unchanged", 9};
  cafe_err err;
  assert_int_equal(cafe_schema_encode(&out, arena, &thing_type, value, &err), CAFE_INVALID);
  assert_string_equal(err.text, why);
  assert_string_equal(out.data, "unchanged");
}

static void a_value_outside_its_type_is_not_written(void **state) {
  thing value;
  memset(&value, 0, sizeof(value));
  value.key = CAFE_KEY_MAX + 1;
  not_encoded(&value, "Thing.key: must be an integer from 0 to 2^53 - 1");
  value.key = UINT64_MAX;
  not_encoded(&value, "Thing.key: must be an integer from 0 to 2^53 - 1");
  value.key = 0;
  value.kind = 3;
  not_encoded(&value, "Thing.kind: must be one of its named values");
  value.kind = -1;
  not_encoded(&value, "Thing.kind: must be one of its named values");
  value.kind = 0;
  value.name = cafe_text("caf\xC3");
  not_encoded(&value, "Thing.name: must be text in UTF-8");
  value.name = (cafe_slice){NULL, 0};
  *(unsigned char *)&value.flag = 2;
  not_encoded(&value, "Thing.flag: must be true or false");
}

/* ---- what others wrote ---- */

static void an_integer_of_any_width_is_read(void **state) {
  static const struct {
    const char *bytes;
    size_t size;
    int64_t count;
  } table[] = {
#define ROW(literal, number) {literal, sizeof(literal) - 1, number}
      ROW("\x92\xC0\x05", 5),
      ROW("\x92\xC0\xE0", -32),
      ROW("\x92\xC0\xCC\x05", 5),
      ROW("\x92\xC0\xCC\xFF", 255),
      ROW("\x92\xC0\xCD\x00\x05", 5),
      ROW("\x92\xC0\xCE\x00\x00\x00\x05", 5),
      ROW("\x92\xC0\xCF\x00\x00\x00\x00\x00\x00\x00\x05", 5),
      ROW("\x92\xC0\xCF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", INT64_MAX),
      ROW("\x92\xC0\xD0\x05", 5),
      ROW("\x92\xC0\xD0\xFB", -5),
      ROW("\x92\xC0\xD0\x80", -128),
      ROW("\x92\xC0\xD1\xFF\xFB", -5),
      ROW("\x92\xC0\xD1\x80\x00", -32768),
      ROW("\x92\xC0\xD2\xFF\xFF\xFF\xFB", -5),
      ROW("\x92\xC0\xD2\x00\x00\x00\x05", 5),
      ROW("\x92\xC0\xD3\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFB", -5),
      ROW("\x92\xC0\xD3\x80\x00\x00\x00\x00\x00\x00\x00", INT64_MIN),
      ROW("\xDC\x00\x02\xC0\x05", 5),
      ROW("\xDD\x00\x00\x00\x02\xC0\x05", 5),
  };
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
    thing out;
    assert_int_equal(decode(&out, &thing_type, table[i].bytes, table[i].size), CAFE_OK);
    assert_true(out.count == table[i].count);
  }
}

static void a_key_or_enum_is_read_from_any_width_too(void **state) {
  thing out;
  assert_int_equal(DECODE(&out, "\x94\xC0\xC0\xD3\x00\x00\x00\x00\x00\x00\x04\x11\xD2\x00\x00\x00\x02"), CAFE_OK);
  assert_true(out.key == 1041);
  assert_int_equal(out.kind, 2);
  assert_int_equal(DECODE(&out, "\x93\xC0\xC0\xCF\x00\x1F\xFF\xFF\xFF\xFF\xFF\xFF"), CAFE_OK);
  assert_true(out.key == CAFE_KEY_MAX);
}

static void zero_may_be_written_out(void **state) {
  thing out;
  assert_int_equal(DECODE(&out, "\x98\xC2\x00\x00\x00\xA0\xC4\x00\x00\xD9\x00"), CAFE_OK);
  zeroed(&out);
}

static void bytes_may_come_as_str_and_with_any_head(void **state) {
  static const struct {
    const char *bytes;
    size_t size;
  } table[] = {
#define BLOB(head) {"\x96\xC0\xC0\xC0\xC0\xC0" head "abc", sizeof("\x96\xC0\xC0\xC0\xC0\xC0" head "abc") - 1}
      BLOB("\xA3"),     BLOB("\xD9\x03"),     BLOB("\xDA\x00\x03"),         BLOB("\xDB\x00\x00\x00\x03"),
      BLOB("\xC4\x03"), BLOB("\xC5\x00\x03"), BLOB("\xC6\x00\x00\x00\x03"),
  };
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
    thing out;
    assert_int_equal(cafe_schema_decode(&out, &thing_type, (cafe_slice){table[i].bytes, table[i].size}, NULL), CAFE_OK);
    assert_true(cafe_slice_equal(out.blob, cafe_text("abc")));
  }
}

static void fields_that_the_bytes_lack_are_zero(void **state) {
  const thing value = {true, 2, 3, 1, {"x", 1}, {"y", 1}, 4, {"z", 1}};
  cafe_slice bytes;
  assert_int_equal(cafe_schema_encode(&bytes, arena, &old_type, &value, NULL), CAFE_OK);
  thing out;
  assert_int_equal(decode(&out, &thing_type, bytes.data, bytes.size), CAFE_OK);
  const thing expected = {true, 2, 3, 0, {NULL, 0}, {NULL, 0}, 0, {NULL, 0}};
  same(&out, &expected);
}

static void fields_that_the_table_lacks_are_skipped(void **state) {
  const thing value = {true, 2, 3, 1, {"x", 1}, {"y", 1}, 4, {"z", 1}};
  cafe_slice bytes = encoded(&value);
  thing out;
  assert_int_equal(decode(&out, &old_type, bytes.data, bytes.size), CAFE_OK);
  const thing expected = {true, 2, 3, 0, {NULL, 0}, {NULL, 0}, 0, {NULL, 0}};
  same(&out, &expected);
}

/* One unknown element of each type that msgpack has, containers nested. */
#define UNKNOWN_COUNT 40
#define UNKNOWN                                                                                                        \
  "\xC0\xC2\xC3\x7F\xFF"                                                                                               \
  "\xCC\xFF\xCD\xFF\xFF\xCE\xFF\xFF\xFF\xFF\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"                                       \
  "\xD0\x80\xD1\x80\x00\xD2\x80\x00\x00\x00\xD3\x80\x00\x00\x00\x00\x00\x00\x00"                                       \
  "\xCA\x00\x00\x00\x00\xCB\x00\x00\x00\x00\x00\x00\x00\x00"                                                           \
  "\xA1\xFF\xD9\x01x\xDA\x00\x01x\xDB\x00\x00\x00\x01x"                                                                \
  "\xC4\x01x\xC5\x00\x01x\xC6\x00\x00\x00\x01x"                                                                        \
  "\xC7\x01\x05x\xC8\x00\x01\x05x\xC9\x00\x00\x00\x01\x05x"                                                            \
  "\xD4\x05x\xD5\x05xx\xD6\x05xxxx\xD7\x05xxxxxxxx\xD8\x05xxxxxxxxxxxxxxxx"                                            \
  "\x92\x01\x91\x92\xA1x\xC0\xDC\x00\x02\x01\x90\xDD\x00\x00\x00\x02\x01\x80"                                          \
  "\x81\xA1k\x82\x01\x02\x03\x91\x04\xDE\x00\x01\x01\x02\xDF\x00\x00\x00\x01\x01\x91\xC0"                              \
  "\x90\x80\xA0\xC7\x00\x05"

static void unknown_elements_of_every_type_are_skipped(void **state) {
  char bytes[512] = "\xDC\x00";
  char body[] = UNKNOWN;
  size_t size = 2;
  bytes[size++] = 3 + UNKNOWN_COUNT;
  memcpy(bytes + size, "\xC3\x02\x03", 3);
  size += 3;
  memcpy(bytes + size, body, sizeof(body) - 1);
  size += sizeof(body) - 1;
  thing out;
  assert_int_equal(decode(&out, &old_type, bytes, size), CAFE_OK);
  assert_true(out.flag && out.count == 2 && out.key == 3);
  for (size_t cut = 0; cut < size; cut++) {
    assert_int_equal(decode(&out, &old_type, bytes, cut), CAFE_INVALID);
  }
  assert_int_equal(decode(&out, &old_type, bytes, size + 1), CAFE_INVALID);
}

static void nesting_of_any_depth_costs_no_stack(void **state) {
  enum { DEPTH = 4000000 };
  char *bytes = malloc(DEPTH + 1);
  memcpy(bytes, "\x94\xC0\xC0\xC0", 4);
  memset(bytes + 4, 0x91, DEPTH - 4);
  bytes[DEPTH] = 0;
  thing out;
  assert_int_equal(cafe_schema_decode(&out, &old_type, (cafe_slice){bytes, DEPTH + 1}, NULL), CAFE_OK);
  assert_int_equal(cafe_schema_decode(&out, &old_type, (cafe_slice){bytes, DEPTH}, NULL), CAFE_INVALID);
  free(bytes);
}

/* ---- damage ---- */

static void what_is_no_array_is_refused(void **state) {
  thing out;
  for (int head = 0; head < 256; head++) {
    char bytes[40];
    memset(bytes, 0xC0, sizeof(bytes));
    bytes[0] = (char)head;
    bool is_array = (head & 0xF0) == 0x90 || head == 0xDC || head == 0xDD;
    if (!is_array) {
      for (size_t size = 1; size <= sizeof(bytes); size++) {
        assert_int_equal(decode(&out, &thing_type, bytes, size), CAFE_INVALID);
      }
    }
  }
  assert_int_equal(decode(&out, &thing_type, "", 0), CAFE_INVALID);
  memset(&out, 0x5A, sizeof(out));
  assert_int_equal(cafe_schema_decode(&out, &thing_type, (cafe_slice){NULL, 0}, NULL), CAFE_INVALID);
  zeroed(&out);
}

static void a_wrong_type_is_refused_in_every_field(void **state) {
  static const struct {
    const char *element;
    size_t size;
    const char *takes; /* the fields that it fits: b(ool) i(64) u(64) e(num) t(ext) y(bytes) */
  } table[] = {
#define ELEMENT(literal, fits) {literal, sizeof(literal) - 1, fits}
      ELEMENT("\xC3", "b"),
      ELEMENT("\x01", "iue"),
      ELEMENT("\x03", "iu"),
      ELEMENT("\xFF", "i"),
      ELEMENT("\xD0\xFF", "i"),
      ELEMENT("\xD3\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", "i"),
      ELEMENT("\xCF\x00\x20\x00\x00\x00\x00\x00\x00", "i"),
      ELEMENT("\xCF\x80\x00\x00\x00\x00\x00\x00\x00", ""),
      ELEMENT("\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", ""),
      ELEMENT("\xD3\x00\x20\x00\x00\x00\x00\x00\x00", "i"),
      ELEMENT("\xCE\xFF\xFF\xFF\xFF", "iu"),
      ELEMENT("\xCF\x00\x00\x00\x01\x00\x00\x00\x01", "iu"),
      ELEMENT("\xA1x", "ty"),
      ELEMENT("\xA1\xFF", "y"),
      ELEMENT("\xA3\xED\xA0\x80", "y"),
      ELEMENT("\xC4\x01x", "y"),
      ELEMENT("\xCA\x00\x00\x00\x00", ""),
      ELEMENT("\xCB\x00\x00\x00\x00\x00\x00\x00\x00", ""),
      ELEMENT("\x90", ""),
      ELEMENT("\x80", ""),
      ELEMENT("\xC1", ""),
      ELEMENT("\xD4\x01x", ""),
      ELEMENT("\xC7\x01\x01x", ""),
      ELEMENT("\xC0", "biuety"),
  };
  static const char letters[] = "biuetyit";
  for (size_t row = 0; row < sizeof(table) / sizeof(table[0]); row++) {
    for (size_t field = 0; field < 8; field++) {
      char bytes[32];
      size_t size = 0;
      bytes[size++] = (char)(0x90 + field + 1);
      while (size <= field) {
        bytes[size++] = (char)0xC0;
      }
      memcpy(bytes + size, table[row].element, table[row].size);
      size += table[row].size;
      thing out;
      int expected = strchr(table[row].takes, letters[field]) ? CAFE_OK : CAFE_INVALID;
      if (decode(&out, &thing_type, bytes, size) != expected) {
        fail_msg("element %zu in field %zu", row, field + 1);
      }
    }
  }
}

static void the_message_names_the_field(void **state) {
  thing out;
  cafe_err err;
  assert_int_equal(cafe_schema_decode(&out, &thing_type, (cafe_slice){"\x94\xC0\xC0\xC0\x03", 5}, &err), CAFE_INVALID);
  assert_string_equal(err.text, "Thing.kind: must be one of its named values");
}

static void counts_and_lengths_beyond_the_bytes_are_refused(void **state) {
  thing out;
  assert_int_equal(DECODE(&out, "\xDD\xFF\xFF\xFF\xFF"), CAFE_INVALID);
  assert_int_equal(DECODE(&out, "\xDD\xFF\xFF\xFF\xFF\xC0\xC0"), CAFE_INVALID);
  assert_int_equal(DECODE(&out, "\xDC\x00\x01"), CAFE_INVALID);
  assert_int_equal(DECODE(&out, "\x95\xC0\xC0\xC0\xC0\xDB\xFF\xFF\xFF\xFFx"), CAFE_INVALID);
  assert_int_equal(DECODE(&out, "\x96\xC0\xC0\xC0\xC0\xC0\xC6\xFF\xFF\xFF\xFFx"), CAFE_INVALID);
  assert_int_equal(DECODE(&out, "\x99\xC0\xC0\xC0\xC0\xC0\xC0\xC0\xC0\xDF\xFF\xFF\xFF\xFF\x01\x02"), CAFE_INVALID);
  assert_int_equal(DECODE(&out, "\x99\xC0\xC0\xC0\xC0\xC0\xC0\xC0\xC0\xC9\xFF\xFF\xFF\xFF\x01\x02"), CAFE_INVALID);
  assert_int_equal(DECODE(&out, "\x99\xC0\xC0\xC0\xC0\xC0\xC0\xC0\xC0\x92\x01"), CAFE_INVALID);
  assert_int_equal(DECODE(&out, "\x99\xC0\xC0\xC0\xC0\xC0\xC0\xC0\xC0\xC1"), CAFE_INVALID);
  assert_int_equal(DECODE(&out, "\x90\x90"), CAFE_INVALID);
}

static cafe_slice full_thing(void) {
  const thing full = {true, -70000, 1041, 2, {"espresso \xC3\xA9", 11}, {"\x01\x02\x03", 3}, 1700000000000, {"tok", 3}};
  return encoded(&full);
}

static void truncation_at_every_byte_is_refused(void **state) {
  cafe_slice bytes = full_thing();
  thing out;
  for (size_t size = 0; size < bytes.size; size++) {
    assert_int_equal(decode(&out, &thing_type, bytes.data, size), CAFE_INVALID);
    decode(&out, &old_type, bytes.data, size);
  }
  assert_int_equal(decode(&out, &thing_type, bytes.data, bytes.size), CAFE_OK);
}

static void a_byte_that_changed_is_refused_or_read_within_bounds(void **state) {
  cafe_slice bytes = full_thing();
  char damaged[128];
  unsigned refused = 0;
  for (size_t at = 0; at < bytes.size; at++) {
    for (int value = 0; value < 256; value++) {
      memcpy(damaged, bytes.data, bytes.size);
      damaged[at] = (char)value;
      thing out;
      refused += decode(&out, &thing_type, damaged, bytes.size) != CAFE_OK;
      decode(&out, &old_type, damaged, bytes.size);
    }
  }
  /* Half of the bytes are heads and lengths: most changes must show. */
  assert_true(refused > 2000);
}

static void random_bytes_are_refused_or_read_within_bounds(void **state) {
  uint64_t x = 11;
  for (int i = 0; i < 30000; i++) {
    char bytes[24];
    for (size_t j = 0; j < sizeof(bytes); j++) {
      x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
      bytes[j] = (char)(x >> 40);
    }
    bytes[0] = (char)(0x90 | (bytes[0] & 0x0F));
    thing out;
    decode(&out, &thing_type, bytes, 1 + (size_t)(x >> 60) % sizeof(bytes));
  }
}

/* ---- memory ---- */

static void encoding_takes_from_the_arena_what_it_needs(void **state) {
  failing_alloc memory;
  failing_alloc_init(&memory);
  cafe_arena *small = cafe_arena_create(&memory.allocator);
  const thing full = {true, 2, 3, 1, {"x", 1}, {"y", 1}, 4, {"z", 1}};
  for (int i = 0; i < 20; i++) {
    cafe_slice out;
    assert_int_equal(cafe_schema_encode(&out, small, &thing_type, &full, NULL), CAFE_OK);
    assert_int_equal(out.size, 13);
  }
  assert_int_equal(memory.calls, 1);
  cafe_arena_destroy(small);
  failing_alloc_end(&memory);
}

static void encoding_survives_every_refusal(void **state) {
  char text[3000];
  memset(text, 'x', sizeof(text));
  thing value = {true, 2, 3, 1, {text, sizeof(text)}, {text, sizeof(text)}, 4, {NULL, 0}};
  failing_alloc memory;
  size_t n = 1;
  for (; failing_alloc_begin(&memory, n); n++) {
    cafe_arena *small = cafe_arena_create(&memory.allocator);
    if (small) {
      cafe_slice out = {"unchanged", 9};
      cafe_err err;
      int code = cafe_schema_encode(&out, small, &thing_type, &value, &err);
      if (code) {
        assert_true(memory.refused);
        assert_int_equal(code, CAFE_NOMEM);
        assert_int_equal(err.code, CAFE_NOMEM);
        assert_string_equal(out.data, "unchanged");
        assert_int_equal(cafe_schema_encode(&out, small, &thing_type, &value, NULL), CAFE_OK);
      }
      thing back;
      assert_int_equal(cafe_schema_decode(&back, &thing_type, out, NULL), CAFE_OK);
      same(&back, &value);
    }
    cafe_arena_destroy(small);
    failing_alloc_end(&memory);
  }
  assert_int_equal(n, 4); /* arena, encoding, and the run in which nothing is refused */
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_stored_form_never_changes),
      TEST(zero_is_nil_and_nil_at_the_end_is_left_out),
      TEST(every_type_survives_with_its_extreme_values),
      TEST(texts_of_every_length_of_head_survive),
      TEST(text_in_any_script_survives_and_bytes_may_be_anything),
      TEST(a_value_outside_its_type_is_not_written),
      TEST(an_integer_of_any_width_is_read),
      TEST(a_key_or_enum_is_read_from_any_width_too),
      TEST(zero_may_be_written_out),
      TEST(bytes_may_come_as_str_and_with_any_head),
      TEST(fields_that_the_bytes_lack_are_zero),
      TEST(fields_that_the_table_lacks_are_skipped),
      TEST(unknown_elements_of_every_type_are_skipped),
      TEST(nesting_of_any_depth_costs_no_stack),
      TEST(what_is_no_array_is_refused),
      TEST(a_wrong_type_is_refused_in_every_field),
      TEST(the_message_names_the_field),
      TEST(counts_and_lengths_beyond_the_bytes_are_refused),
      TEST(truncation_at_every_byte_is_refused),
      TEST(a_byte_that_changed_is_refused_or_read_within_bounds),
      TEST(random_bytes_are_refused_or_read_within_bounds),
      TEST(encoding_takes_from_the_arena_what_it_needs),
      TEST(encoding_survives_every_refusal),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
