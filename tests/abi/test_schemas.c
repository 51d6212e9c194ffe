/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A field's number is its place in bytes that are kept for ever, and its name is a column's. schemas.txt says what they
 * were so far: nobody takes one away, moves it or changes its type unseen. Nothing here writes that file: a field is
 * added to it by hand, where it was added to the code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "known_schemas.h"

enum { LINES_MAX = 1000, TEXT_MAX = 200000 };

static const char name[] = "tests/abi/schemas.txt";
static const char path[] = CAFE_TEST_DATA "/abi/schemas.txt";

/* ---- the code's side ---- */

static void put(char **to, const char *end, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void put(char **to, const char *end, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int size = vsnprintf(*to, (size_t)(end - *to), format, args);
  va_end(args);
  assert_true(size >= 0 && size < end - *to);
  *to += size;
}

static void put_bounds(char **to, const char *end, const cafe_field *field) {
  switch (field->type) {
  case CAFE_FIELD_U64:
    put(to, end, " 0..%llu", (unsigned long long)CAFE_KEY_MAX);
    break;
  case CAFE_FIELD_ENUM:
    for (uint32_t i = 0; i < field->names_count; i++)
      if (field->names[i][0])
        put(to, end, " %u=%s", i, field->names[i]);
    break;
  default:
    break;
  }
}

static void put_field(char **to, const char *end, const cafe_field *field) {
  static const char *const types[] = {
      [CAFE_FIELD_BOOL] = "bool", [CAFE_FIELD_I64] = "i64",     [CAFE_FIELD_U64] = "u64",  [CAFE_FIELD_ENUM] = "enum",
      [CAFE_FIELD_TEXT] = "text", [CAFE_FIELD_BYTES] = "bytes", [CAFE_FIELD_TIME] = "time"};
  put(to, end, "  %u %s %s", field->number, field->name, types[field->type]);
  put_bounds(to, end, field);
  put(to, end, "%s\n", field->flags & CAFE_FIELD_SECRET ? " secret" : "");
}

static void print_schemas(char *to, size_t size) {
  const char *end = to + size;
  known_schema all[KNOWN_SCHEMAS_MAX];
  known_schemas(all);
  for (const known_schema *known = all; known->title; known++) {
    put(&to, end, "%s\n", known->title);
    for (uint32_t i = 0; i < known->schema->field_count; i++)
      put_field(&to, end, &known->schema->fields[i]);
  }
}

/* ---- lines ---- */

typedef struct line {
  const char *type; /* the title that it stands under; its own where it is one */
  const char *text;
} line;

typedef struct lines {
  line items[LINES_MAX];
  uint32_t count;
} lines;

/* Cuts the text up in place. Comments and empty lines are left out. */
static void split(lines *out, char *text) {
  const char *type = "";
  out->count = 0;
  for (char *at = strtok(text, "\n"); at; at = strtok(NULL, "\n")) {
    if (at[0] == '#')
      continue;
    if (at[0] != ' ')
      type = at;
    assert_true(out->count < LINES_MAX);
    out->items[out->count++] = (line){type, at};
  }
}

static bool holds(const lines *all, const line *wanted) {
  for (uint32_t i = 0; i < all->count; i++)
    if (strcmp(all->items[i].type, wanted->type) == 0 && strcmp(all->items[i].text, wanted->text) == 0)
      return true;
  return false;
}

static void read_file(char *to, size_t size) {
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  size_t length = fread(to, 1, size - 1, file);
  fclose(file);
  assert_true(length < size - 1);
  to[length] = '\0';
}

/* ---- the comparison ---- */

static uint32_t complain_of_lost(const lines *golden, const lines *code) {
  uint32_t lost = 0;
  for (uint32_t i = 0; i < golden->count; i++) {
    const line *was = &golden->items[i];
    if (holds(code, was))
      continue;
    lost++;
    if (was->text == was->type)
      print_error("%s: the type is gone. It is stored and sent: put it back.\n", was->type);
    else
      print_error("%s: the field \"%s\" is gone or changed. Bytes and columns of it are kept: put it back as it was; "
                  "what is new gets a new number at the end. (An enum may get one more value at its end: then change "
                  "the line.)\n",
                  was->type, was->text + 2);
  }
  return lost;
}

static uint32_t complain_of_new(const lines *golden, const lines *code) {
  uint32_t added = 0;
  for (uint32_t i = 0; i < code->count; i++) {
    const line *is = &code->items[i];
    if (holds(golden, is))
      continue;
    added++;
    print_error("%s: not in %s. If it was meant to be added, add this line there: \"%s\"\n", is->type, name, is->text);
  }
  return added;
}

static void compare(char *golden_text, char *code_text) {
  static lines golden, code;
  split(&golden, golden_text);
  split(&code, code_text);
  uint32_t lost = complain_of_lost(&golden, &code);
  uint32_t added = complain_of_new(&golden, &code);
  if (lost || added)
    fail_msg("%u lines of %s don't hold any more, %u aren't in it", lost, name, added);
  assert_int_equal(golden.count, code.count);
  for (uint32_t i = 0; i < golden.count; i++)
    assert_string_equal(golden.items[i].text, code.items[i].text);
}

/* C14: no field of what is stored or sent is removed, renumbered or retyped, and no type vanishes. */
static void no_field_of_what_is_stored_or_sent_changes(void **state) {
  static char golden[TEXT_MAX], code[TEXT_MAX];
  (void)state;
  read_file(golden, sizeof golden);
  print_schemas(code, sizeof code);
  compare(golden, code);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(no_field_of_what_is_stored_or_sent_changes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
