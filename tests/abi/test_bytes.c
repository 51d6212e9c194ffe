/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bytes.txt holds one value of each type as an earlier version wrote it, in hexadecimal, and what its fields are. It is
 * the witness beside schemas.txt: whoever changes a field and that file too still has these bytes to read. Blocks are
 * added for new types and never changed; nothing here writes the file.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "known_schemas.h"

enum { FILE_MAX = 200000, BYTES_MAX = 4096, TEXT_MAX = 512, WIDTH_MAX = 1024 };

static const char name[] = "tests/abi/bytes.txt";
static const char path[] = CAFE_TEST_DATA "/abi/bytes.txt";

static char file[FILE_MAX];

/* ---- values as text ---- */

static void print_value(char out[TEXT_MAX], const cafe_schema *schema, const void *value, uint32_t index) {
  const cafe_field *field = &schema->fields[index];
  cafe_value is = cafe_schema_get(schema, value, index);
  int size = snprintf(out, TEXT_MAX, "  %u %s ", field->number, field->name);
  if (field->type == CAFE_FIELD_TEXT || field->type == CAFE_FIELD_ENUM) {
    snprintf(out + size, TEXT_MAX - (size_t)size, "%.*s", (int)is.bytes.size, is.bytes.size ? is.bytes.data : "");
  } else if (field->type == CAFE_FIELD_BYTES) {
    for (size_t i = 0; i < is.bytes.size; i++)
      size += snprintf(out + size, TEXT_MAX - (size_t)size, "%02x", (unsigned char)is.bytes.data[i]);
  } else {
    snprintf(out + size, TEXT_MAX - (size_t)size, "%lld", (long long)is.number);
  }
}

static bool is_empty(const cafe_schema *schema, const void *value, uint32_t index) {
  cafe_value is = cafe_schema_get(schema, value, index);
  return is.number == 0 && (schema->fields[index].type == CAFE_FIELD_ENUM || is.bytes.size == 0);
}

/* ---- the file ---- */

/* A block: its title, the bytes, a line for each field; then an empty line. */
typedef struct block {
  char title[TEXT_MAX];
  char bytes[BYTES_MAX];
  size_t size;
  const char *fields; /* their lines, in `file` */
} block;

static const char *take_line(char out[TEXT_MAX], const char *from) {
  size_t size = strcspn(from, "\n");
  assert_true(size < TEXT_MAX);
  memcpy(out, from, size);
  out[size] = '\0';
  return from[size] ? from + size + 1 : from + size;
}

static const char *take_bytes(block *out, const char *from) {
  static const char label[] = "  bytes ";
  assert_memory_equal(from, label, sizeof label - 1);
  from += sizeof label - 1;
  for (out->size = 0; isxdigit((unsigned char)*from); from += 2) {
    const char pair[] = {from[0], from[1], '\0'};
    assert_true(out->size < BYTES_MAX);
    out->bytes[out->size++] = (char)strtoul(pair, NULL, 16);
  }
  assert_int_equal(*from, '\n');
  return from + 1;
}

/* False: there is no more. */
static bool take_block(block *out, const char **from) {
  char line[TEXT_MAX];
  const char *at = *from;
  do {
    if (!*at)
      return false;
    at = take_line(out->title, at);
  } while (!out->title[0] || out->title[0] == '#');
  out->fields = take_bytes(out, at);
  for (*from = out->fields; **from == ' ';)
    *from = take_line(line, *from);
  return true;
}

static bool find_block(block *out, const char *title) {
  const char *from = file;
  while (take_block(out, &from))
    if (strcmp(out->title, title) == 0)
      return true;
  return false;
}

static int read_file(void **state) {
  (void)state;
  FILE *in = fopen(path, "r");
  assert_non_null(in);
  size_t size = fread(file, 1, sizeof file - 1, in);
  fclose(in);
  assert_true(size < sizeof file - 1);
  file[size] = '\0';
  return 0;
}

/* ---- a type that isn't in the file ---- */

static cafe_value sample(const cafe_field *field, char text[64]) {
  cafe_value out = {field, 0, {NULL, 0}};
  switch (field->type) {
  case CAFE_FIELD_BOOL:
    out.number = 1;
    break;
  case CAFE_FIELD_ENUM:
    out.number = field->names_count - 1;
    break;
  case CAFE_FIELD_TEXT:
    snprintf(text, 64, "커피 %s %u", field->name, field->number);
    out.bytes = cafe_text(text);
    break;
  case CAFE_FIELD_BYTES:
    memcpy(text, (const char[]){0, (char)0xff, (char)field->number}, 3);
    out.bytes = (cafe_slice){text, 3};
    break;
  case CAFE_FIELD_U64:
    out.number = (int64_t)CAFE_KEY_MAX - field->number;
    break;
  case CAFE_FIELD_TIME:
    out.number = INT64_C(1767225600000) + field->number;
    break;
  default:
    out.number = field->number % 2 ? INT64_C(1000000000000) + field->number : -field->number;
    break;
  }
  return out;
}

static void print_block(const known_schema *known) {
  _Alignas(16) char value[WIDTH_MAX] = {0};
  char texts[64][64], line[TEXT_MAX];
  const cafe_schema *schema = known->schema;
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_slice bytes;
  assert_true(arena && schema->width <= sizeof value && schema->field_count <= 64);
  for (uint32_t i = 0; i < schema->field_count; i++) {
    cafe_value from = sample(&schema->fields[i], texts[i]);
    assert_int_equal(cafe_schema_set(value, schema, i, &from, NULL), CAFE_OK);
  }
  assert_int_equal(cafe_schema_encode(&bytes, arena, schema, value, NULL), CAFE_OK);
  print_error("%s isn't in %s. Add this block there:\n\n%s\n  bytes ", known->title, name, known->title);
  for (size_t i = 0; i < bytes.size; i++)
    print_error("%02x", (unsigned char)bytes.data[i]);
  print_error("\n");
  for (uint32_t i = 0; i < schema->field_count; i++) {
    print_value(line, schema, value, i);
    print_error("%s\n", line);
  }
  print_error("\n");
  cafe_arena_destroy(arena);
}

/* ---- reading ---- */

/* How many of the value's fields aren't what the block says; fields that it lacks are newer, and empty. */
static uint32_t count_wrong(const block *old, const cafe_schema *schema, const void *value) {
  char line[TEXT_MAX], is[TEXT_MAX];
  const char *from = old->fields;
  uint32_t index = 0, wrong = 0;
  for (; *from == ' '; index++) {
    from = take_line(line, from);
    if (index < schema->field_count)
      print_value(is, schema, value, index);
    if (index < schema->field_count && strcmp(line, is) == 0)
      continue;
    print_error("%s: the bytes of an earlier version say \"%s\", and are read as \"%s\"\n", old->title, line + 2,
                index < schema->field_count ? is + 2 : "");
    wrong++;
  }
  for (; index < schema->field_count; index++)
    wrong += !is_empty(schema, value, index);
  return wrong;
}

static uint32_t read_block(const block *old, const cafe_schema *schema, cafe_slice bytes) {
  _Alignas(16) char value[WIDTH_MAX];
  cafe_err err;
  assert_true(schema->width <= sizeof value);
  if (cafe_schema_decode(value, schema, bytes, &err)) {
    print_error("%s: %s\n", old->title, err.text);
    return 1;
  }
  return count_wrong(old, schema, value);
}

/* C14: what an earlier version wrote is read as what it was. */
static void what_an_earlier_version_wrote_is_read_as_it_was(void **state) {
  (void)state;
  known_schema all[KNOWN_SCHEMAS_MAX];
  uint32_t wrong = 0;
  known_schemas(all);
  for (const known_schema *known = all; known->title; known++) {
    block old;
    if (find_block(&old, known->title)) {
      wrong += read_block(&old, known->schema, (cafe_slice){old.bytes, old.size});
    } else {
      print_block(known);
      wrong++;
    }
  }
  assert_int_equal(wrong, 0);
}

/* C14: bytes whose type is gone could never be read. */
static void every_type_that_was_ever_written_is_known(void **state) {
  (void)state;
  known_schema all[KNOWN_SCHEMAS_MAX];
  const char *from = file;
  block old;
  uint32_t lost = 0, count = 0;
  known_schemas(all);
  for (; take_block(&old, &from); count++) {
    const known_schema *known = all;
    while (known->title && strcmp(known->title, old.title) != 0)
      known++;
    if (!known->title) {
      print_error("%s is gone, and its bytes are stored and sent\n", old.title);
      lost++;
    }
  }
  assert_int_equal(lost, 0);
  assert_true(count > 50);
}

/* ---- a newer version ---- */

/* The old bytes, nil where this version has more fields than they, and one element more than it knows. */
static size_t make_newer(char out[BYTES_MAX], const block *old, uint32_t field_count, const char *more) {
  unsigned head = (unsigned char)old->bytes[0];
  uint32_t count = head & 0x0f;
  size_t start = 1;
  if (head == 0xdc) { /* array 16 */
    count = (uint32_t)(unsigned char)old->bytes[1] << 8 | (unsigned char)old->bytes[2];
    start = 3;
  } else {
    assert_int_equal(head & 0xf0, 0x90); /* fixarray */
  }
  uint32_t total = (field_count > count ? field_count : count) + 1;
  size_t size = 0;
  assert_true(old->size + total + strlen(more) / 2 < BYTES_MAX);
  out[size++] = (char)0xdc;
  out[size++] = (char)(total >> 8);
  out[size++] = (char)total;
  memcpy(out + size, old->bytes + start, old->size - start);
  size += old->size - start;
  for (; count + 1 < total; count++)
    out[size++] = (char)0xc0; /* nil */
  for (; *more; more += 2) {
    const char pair[] = {more[0], more[1], '\0'};
    out[size++] = (char)strtoul(pair, NULL, 16);
  }
  return size;
}

/* C14: fields that this version doesn't know are no error, of whatever type they are. */
static void what_a_newer_version_adds_is_no_error(void **state) {
  (void)state;
  /* nil, true, -1, 2^64 - 1, a double, "neu", bytes, [1, [2, {}]], {"a": ["b"]}, an extension */
  static const char *const more[] = {"c0",       "c3",       "ff",         "cfffffffffffffffff", "cb400921fb54442d18",
                                     "a36e6575", "c4020001", "9201920280", "81a16191a162",       "d40100"};
  known_schema all[KNOWN_SCHEMAS_MAX];
  uint32_t wrong = 0;
  known_schemas(all);
  for (const known_schema *known = all; known->title; known++) {
    block old;
    char bytes[BYTES_MAX];
    assert_true(find_block(&old, known->title));
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
      size_t size = make_newer(bytes, &old, known->schema->field_count, more[i]);
      wrong += read_block(&old, known->schema, (cafe_slice){bytes, size});
    }
  }
  assert_int_equal(wrong, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_an_earlier_version_wrote_is_read_as_it_was),
      cmocka_unit_test(every_type_that_was_ever_written_is_known),
      cmocka_unit_test(what_a_newer_version_adds_is_no_error),
  };
  return cmocka_run_group_tests(tests, read_file, NULL);
}
