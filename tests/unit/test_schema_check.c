/* SPDX-License-Identifier: Apache-2.0 */

/* A field table that doesn't describe its struct is refused, and the message names the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/cafe.h"

typedef struct good {
  bool flag;
  int64_t count;
  uint64_t key;
  int32_t kind;
  cafe_slice name;
  cafe_slice blob;
  int64_t at_ms;
  cafe_slice token;
} good;

static const char *const kinds[] = {"none", "small", "large"};

enum { FIELDS = 8 };
static const cafe_field good_fields[FIELDS] = {
    CAFE_FIELD_OF(1, BOOL, good, flag),  CAFE_FIELD_OF(2, I64, good, count),
    CAFE_FIELD_OF(3, U64, good, key),    CAFE_FIELD_ENUM_OF(4, good, kind, kinds),
    CAFE_FIELD_OF(5, TEXT, good, name),  CAFE_FIELD_OF(6, BYTES, good, blob),
    CAFE_FIELD_OF(7, TIME, good, at_ms), CAFE_FIELD_SECRET_OF(8, TEXT, good, token),
};

/* The good table with one thing changed. */
static cafe_field fields[FIELDS];
static cafe_schema schema;

static int start(void **state) {
  memcpy(fields, good_fields, sizeof(fields));
  schema = (cafe_schema)CAFE_SCHEMA_OF("GoodThing", good, fields);
  return 0;
}

static void refused_as(int code, const char *why) {
  cafe_err err;
  assert_int_equal(cafe_schema_check(&schema, &err), code);
  assert_int_equal(err.code, code);
  if (!strstr(err.text, why)) {
    fail_msg("'%s' doesn't say '%s'", err.text, why);
  }
  assert_int_equal(cafe_schema_check(&schema, NULL), code);
  start(NULL);
}

static void refused(const char *why) { refused_as(CAFE_INVALID, why); }

static void a_table_that_describes_its_struct_is_taken(void **state) {
  assert_int_equal(cafe_schema_check(&schema, NULL), CAFE_OK);
  static const char *const names[] = {"good_thing-2.x", "a", "z", "A", "Z", "x09azAZ"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    schema.name = names[i];
    assert_int_equal(cafe_schema_check(&schema, NULL), CAFE_OK);
  }
  static const char *const field_names[] = {"a", "z", "a_z09"};
  for (size_t i = 0; i < sizeof(field_names) / sizeof(field_names[0]); i++) {
    fields[1].name = field_names[i];
    assert_int_equal(cafe_schema_check(&schema, NULL), CAFE_OK);
  }
}

static void a_schema_without_a_proper_name_is_refused(void **state) {
  static const char *const names[] = {NULL, "", "1st", "has space", "semi;colon", "quo\"te", "_x", "caf\xC3\xA9"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    schema.name = names[i];
    refused("name");
  }
  assert_int_equal(cafe_schema_check(NULL, NULL), CAFE_INVALID);
}

static void a_schema_without_fields_is_refused(void **state) {
  schema.field_count = 0;
  refused("0 fields");
  schema.fields = NULL;
  refused("fields");
  schema.field_count = 65536;
  refused("65536 fields");
}

static void numbers_rise_from_1_without_gap(void **state) {
  fields[0].number = 0;
  refused("GoodThing.flag");
  fields[3].number = 5;
  refused("GoodThing.kind: has number 5 and must have 4");
  fields[7].number = 7;
  refused("GoodThing.token");
}

static void a_member_of_another_width_is_refused(void **state) {
  for (uint32_t i = 0; i < FIELDS; i++) {
    fields[i].width++;
    refused(good_fields[i].name);
    fields[i].width = 0;
    refused(good_fields[i].name);
  }
  fields[1].type = CAFE_FIELD_ENUM; /* an int64_t told as an enum */
  refused("GoodThing.count: the member has 8 bytes");
  fields[1].type = CAFE_FIELD_TEXT;
  refused("GoodThing.count");
}

static void a_type_that_is_none_is_refused(void **state) {
  fields[2].type = 0;
  refused("GoodThing.key: 0 is no field type");
  fields[2].type = CAFE_FIELD_TIME + 1;
  refused("GoodThing.key");
}

static void what_only_a_newer_library_knows_is_refused(void **state) {
  static const char newer = 1;
  fields[4].flags = 2;
  refused_as(CAFE_UNSUPPORTED, "GoodThing.name: has flags or reserved words");
  fields[4].flags = 0x80000000 | CAFE_FIELD_SECRET;
  refused_as(CAFE_UNSUPPORTED, "GoodThing.name");
  fields[4].reserved_word = 1;
  refused_as(CAFE_UNSUPPORTED, "GoodThing.name");
  fields[4].of = &schema;
  refused_as(CAFE_UNSUPPORTED, "GoodThing.name");
  fields[4].reserved[1] = &newer;
  refused_as(CAFE_UNSUPPORTED, "GoodThing.name");
  schema.reserved[7] = &newer;
  refused_as(CAFE_UNSUPPORTED, "GoodThing: has reserved words");
}

static void a_field_outside_its_struct_is_refused(void **state) {
  fields[7].offset = sizeof(good);
  refused("GoodThing.token");
  fields[7].offset = sizeof(good) - 8;
  refused("GoodThing.token");
  fields[7].offset = UINT32_MAX - 7;
  refused("GoodThing.token");
  schema.width = 1;
  refused("GoodThing.count");
}

static void a_field_between_two_members_is_refused(void **state) {
  fields[1].offset = 1;
  refused("GoodThing.count: isn't inside the struct");
}

static void two_fields_do_not_share_memory(void **state) {
  fields[6].offset = good_fields[1].offset;
  refused("GoodThing.at_ms: lies where count lies");
  fields[6].offset = good_fields[5].offset + 8;
  refused("GoodThing.at_ms: lies where blob lies");
}

static void field_names_are_snake_case_and_their_own(void **state) {
  static const char *const names[] = {NULL, "",          "Count",      "camelCase", "1st",
                                      "_x", "with-dash", "with space", "\xC3\xA9"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    fields[1].name = names[i];
    refused("field 2");
  }
  fields[6].name = "count";
  refused("GoodThing.count: is there twice");
}

static void an_enum_names_each_of_its_values(void **state) {
  static const char *const unset_without_name[] = {NULL, "small"};
  static const char *const hole[] = {"none", NULL, "large"};
  static const char *const empty[] = {"none", "small", ""};
  static const char *const twice[] = {"none", "small", "small"};
  fields[3].names = unset_without_name;
  fields[3].names_count = 2;
  assert_int_equal(cafe_schema_check(&schema, NULL), CAFE_OK);
  start(NULL);
  fields[3].names = hole;
  refused("GoodThing.kind: value 1 has no name");
  fields[3].names = empty;
  refused("GoodThing.kind: value 2 has no name");
  fields[3].names = twice;
  refused("GoodThing.kind: two values are called small");
  fields[3].names = NULL;
  refused("GoodThing.kind");
  fields[3].names_count = 0;
  refused("GoodThing.kind");
  fields[4].names = kinds;
  refused("GoodThing.name: only an ENUM has names");
  fields[4].names_count = 1;
  refused("GoodThing.name");
}

#define TEST(function) cmocka_unit_test_setup(function, start)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_table_that_describes_its_struct_is_taken), TEST(a_schema_without_a_proper_name_is_refused),
      TEST(a_schema_without_fields_is_refused),         TEST(numbers_rise_from_1_without_gap),
      TEST(a_member_of_another_width_is_refused),       TEST(a_type_that_is_none_is_refused),
      TEST(what_only_a_newer_library_knows_is_refused), TEST(a_field_outside_its_struct_is_refused),
      TEST(a_field_between_two_members_is_refused),     TEST(two_fields_do_not_share_memory),
      TEST(field_names_are_snake_case_and_their_own),   TEST(an_enum_names_each_of_its_values),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
