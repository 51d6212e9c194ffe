/* SPDX-License-Identifier: Apache-2.0 */

/* One field at a time, by its index or name, and whole structs that outlive the memory they came from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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
} thing;

static const char *const kinds[] = {NULL, "small", "large"};

enum { FLAG, COUNT, KEY, KIND, NAME, BLOB, AT_MS };
static const cafe_field thing_fields[] = {
    CAFE_FIELD_OF(1, BOOL, thing, flag),  CAFE_FIELD_OF(2, I64, thing, count),
    CAFE_FIELD_OF(3, U64, thing, key),    CAFE_FIELD_ENUM_OF(4, thing, kind, kinds),
    CAFE_FIELD_OF(5, TEXT, thing, name),  CAFE_FIELD_OF(6, BYTES, thing, blob),
    CAFE_FIELD_OF(7, TIME, thing, at_ms),
};
static const cafe_schema thing_type = CAFE_SCHEMA_OF("Thing", thing, thing_fields);

static void fields_are_found_by_name(void **state) {
  assert_int_equal(cafe_schema_find(&thing_type, cafe_text("flag")), FLAG);
  assert_int_equal(cafe_schema_find(&thing_type, cafe_text("at_ms")), AT_MS);
  assert_int_equal(cafe_schema_find(&thing_type, cafe_text("at_m")), -1);
  assert_int_equal(cafe_schema_find(&thing_type, cafe_text("at_ms2")), -1);
  assert_int_equal(cafe_schema_find(&thing_type, (cafe_slice){NULL, 0}), -1);
}

static void every_type_is_read_as_a_value(void **state) {
  const thing value = {true, INT64_MIN, CAFE_KEY_MAX, 2, {"latte", 5}, {"\0\1", 2}, -5};
  assert_true(cafe_schema_get(&thing_type, &value, FLAG).number == 1);
  assert_true(cafe_schema_get(&thing_type, &value, COUNT).number == INT64_MIN);
  assert_true(cafe_schema_get(&thing_type, &value, KEY).number == (int64_t)CAFE_KEY_MAX);
  assert_true(cafe_schema_get(&thing_type, &value, AT_MS).number == -5);
  cafe_value kind = cafe_schema_get(&thing_type, &value, KIND);
  assert_true(kind.number == 2);
  assert_true(cafe_slice_equal(kind.bytes, cafe_text("large")));
  assert_true(cafe_slice_equal(cafe_schema_get(&thing_type, &value, NAME).bytes, value.name));
  assert_true(cafe_slice_equal(cafe_schema_get(&thing_type, &value, BLOB).bytes, value.blob));
  for (uint32_t i = 0; i < thing_type.field_count; i++) {
    assert_ptr_equal(cafe_schema_get(&thing_type, &value, i).field, &thing_fields[i]);
  }
}

static void a_number_that_names_no_value_has_no_name(void **state) {
  static const int32_t numbers[] = {0, 3, -1, INT32_MAX, INT32_MIN};
  for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
    thing value;
    memset(&value, 0, sizeof(value));
    value.kind = numbers[i];
    cafe_value kind = cafe_schema_get(&thing_type, &value, KIND);
    assert_true(kind.number == numbers[i]);
    assert_int_equal(kind.bytes.size, 0);
  }
}

static void zero_has_its_name_if_it_was_given_one(void **state) {
  static const char *const named[] = {"none", "small"};
  static const cafe_field field[] = {CAFE_FIELD_ENUM_OF(1, thing, kind, named)};
  static const cafe_schema type = CAFE_SCHEMA_OF("Thing", thing, field);
  thing value;
  memset(&value, 0, sizeof(value));
  assert_true(cafe_slice_equal(cafe_schema_get(&type, &value, 0).bytes, cafe_text("none")));
  value.kind = 1;
  cafe_value from = {NULL, 1, cafe_text("none")};
  assert_int_equal(cafe_schema_set(&value, &type, 0, &from, NULL), CAFE_OK);
  assert_int_equal(value.kind, 0);
}

static void what_is_read_can_be_written_field_by_field(void **state) {
  const thing value = {true, -7, 1041, 1, {"latte", 5}, {"\0\1", 2}, 99};
  thing copy;
  memset(&copy, 0, sizeof(copy));
  for (uint32_t i = 0; i < thing_type.field_count; i++) {
    cafe_value field = cafe_schema_get(&thing_type, &value, i);
    assert_int_equal(cafe_schema_set(&copy, &thing_type, i, &field, NULL), CAFE_OK);
  }
  assert_true(copy.flag && copy.count == -7 && copy.key == 1041 && copy.kind == 1 && copy.at_ms == 99);
  assert_true(cafe_slice_equal(copy.name, value.name));
  assert_true(cafe_slice_equal(copy.blob, value.blob));
}

static int set(thing *value, uint32_t index, int64_t number, const char *bytes) {
  cafe_value from = {NULL, number, cafe_text(bytes)};
  cafe_err err;
  int code = cafe_schema_set(value, &thing_type, index, &from, &err);
  if (code) {
    assert_non_null(strstr(err.text, thing_fields[index].name));
  }
  return code;
}

static void an_enum_is_written_by_name_or_number(void **state) {
  thing value;
  memset(&value, 0, sizeof(value));
  assert_int_equal(set(&value, KIND, 0, "large"), CAFE_OK);
  assert_int_equal(value.kind, 2);
  assert_int_equal(set(&value, KIND, 1, NULL), CAFE_OK);
  assert_int_equal(value.kind, 1);
  assert_int_equal(set(&value, KIND, 0, NULL), CAFE_OK);
  assert_int_equal(value.kind, 0);
}

static void a_value_outside_its_type_is_refused_and_changes_nothing(void **state) {
  static const thing before = {true, 1, 2, 1, {"a", 1}, {"b", 1}, 3}; /* static: its padding is defined */
  thing value;
  memcpy(&value, &before, sizeof(value));
  assert_int_equal(set(&value, FLAG, 2, NULL), CAFE_INVALID);
  assert_int_equal(set(&value, FLAG, -1, NULL), CAFE_INVALID);
  assert_int_equal(set(&value, KEY, -1, NULL), CAFE_INVALID);
  assert_int_equal(set(&value, KEY, (int64_t)CAFE_KEY_MAX + 1, NULL), CAFE_INVALID);
  assert_int_equal(set(&value, KIND, 3, NULL), CAFE_INVALID);
  assert_int_equal(set(&value, KIND, -1, NULL), CAFE_INVALID);
  assert_int_equal(set(&value, KIND, INT64_MAX, NULL), CAFE_INVALID);
  assert_int_equal(set(&value, KIND, 1, "huge"), CAFE_INVALID);
  assert_int_equal(set(&value, KIND, 1, "Large"), CAFE_INVALID);
  assert_int_equal(set(&value, NAME, 0, "\xC3"), CAFE_INVALID);
  assert_memory_equal(&value, &before, sizeof(value));
  assert_int_equal(set(&value, BLOB, 0, "\xC3"), CAFE_OK);
  assert_int_equal(set(&value, KEY, 0, NULL), CAFE_OK);
  assert_true(value.key == 0);
  assert_int_equal(set(&value, KEY, (int64_t)CAFE_KEY_MAX, NULL), CAFE_OK);
  assert_true(value.key == CAFE_KEY_MAX);
}

static void an_empty_text_points_nowhere(void **state) {
  thing value = {true, 1, 2, 1, {"a", 1}, {"b", 1}, 3};
  assert_int_equal(set(&value, NAME, 0, ""), CAFE_OK);
  assert_null(value.name.data);
  assert_int_equal(value.name.size, 0);
}

static void a_copy_outlives_the_texts_it_came_from(void **state) {
  char name[] = "latte";
  char blob[] = "xyz";
  thing value = {true, 1, 2, 1, {name, 5}, {blob, 3}, 3};
  cafe_arena *arena = cafe_arena_create(NULL);
  thing copy;
  assert_int_equal(cafe_schema_copy(&copy, &value, &thing_type, arena), CAFE_OK);
  memset(name, '?', sizeof(name));
  memset(blob, '?', sizeof(blob));
  assert_string_equal(copy.name.data, "latte");
  assert_string_equal(copy.blob.data, "xyz");
  assert_true(copy.flag && copy.count == 1 && copy.key == 2 && copy.kind == 1 && copy.at_ms == 3);
  /* Onto itself: the struct stays, its texts move. */
  value.name = (cafe_slice){"mocha", 5};
  value.blob = (cafe_slice){name, 0};
  assert_int_equal(cafe_schema_copy(&value, &value, &thing_type, arena), CAFE_OK);
  assert_string_equal(value.name.data, "mocha");
  assert_null(value.blob.data);
  cafe_arena_destroy(arena);
}

static void a_copy_that_is_refused_changes_nothing(void **state) {
  char text[2000];
  memset(text, 'x', sizeof(text));
  const thing value = {true, 1, 2, 1, {text, sizeof(text)}, {text, sizeof(text)}, 3};
  failing_alloc memory;
  for (size_t n = 1; failing_alloc_begin(&memory, n); n++) {
    cafe_arena *arena = cafe_arena_create(&memory.allocator);
    if (arena) {
      thing copy;
      thing before;
      memset(&copy, 0x5A, sizeof(copy));
      memcpy(&before, &copy, sizeof(copy));
      if (cafe_schema_copy(&copy, &value, &thing_type, arena)) {
        assert_true(memory.refused);
        assert_memory_equal(&copy, &before, sizeof(copy));
      } else {
        assert_true(cafe_slice_equal(copy.blob, value.blob));
      }
    }
    cafe_arena_destroy(arena);
    failing_alloc_end(&memory);
  }
}

static void sizes_that_no_memory_has_are_refused(void **state) {
  thing value = {true, 1, 2, 1, {"x", SIZE_MAX}, {NULL, 0}, 3};
  cafe_arena *arena = cafe_arena_create(NULL);
  thing copy;
  assert_int_equal(cafe_schema_copy(&copy, &value, &thing_type, arena), CAFE_NOMEM);
  value.name.size = SIZE_MAX / 2 + 1;
  value.blob = value.name;
  assert_int_equal(cafe_schema_copy(&copy, &value, &thing_type, arena), CAFE_NOMEM);
  cafe_arena_destroy(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fields_are_found_by_name),
      cmocka_unit_test(every_type_is_read_as_a_value),
      cmocka_unit_test(a_number_that_names_no_value_has_no_name),
      cmocka_unit_test(zero_has_its_name_if_it_was_given_one),
      cmocka_unit_test(what_is_read_can_be_written_field_by_field),
      cmocka_unit_test(an_enum_is_written_by_name_or_number),
      cmocka_unit_test(a_value_outside_its_type_is_refused_and_changes_nothing),
      cmocka_unit_test(an_empty_text_points_nowhere),
      cmocka_unit_test(a_copy_outlives_the_texts_it_came_from),
      cmocka_unit_test(a_copy_that_is_refused_changes_nothing),
      cmocka_unit_test(sizes_that_no_memory_has_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
