/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tier core: tables that change from one start to the next. Programs are updated, and sometimes taken back, over a
 * store that lives longer than any of them; a column belongs to its name, wherever the struct of the day has it.
 */
#include <inttypes.h>
#include <string.h>

#include "testing/store_checks.h"

/* The table as the next version of a program has it, and as the one before had it. */
typedef struct newer_line {
  cafe_slice text;
  cafe_slice added_text;
  int64_t added_number;
  int32_t state;
  bool added_flag;
  bool flag;
  int64_t number;
  uint64_t count;
  cafe_slice blob;
  int64_t at_ms;
  int32_t added_state;
} newer_line;

static const char *const newer_states[] = {"None", "Open", "Done", "Lost"};
static const cafe_field newer_fields[] = {
    CAFE_FIELD_OF(1, BOOL, newer_line, flag),
    CAFE_FIELD_OF(2, I64, newer_line, number),
    CAFE_FIELD_OF(3, U64, newer_line, count),
    CAFE_FIELD_ENUM_OF(4, newer_line, state, newer_states),
    CAFE_FIELD_OF(5, TEXT, newer_line, text),
    CAFE_FIELD_OF(6, BYTES, newer_line, blob),
    CAFE_FIELD_OF(7, TIME, newer_line, at_ms),
    CAFE_FIELD_OF(8, TEXT, newer_line, added_text),
    CAFE_FIELD_OF(9, I64, newer_line, added_number),
    CAFE_FIELD_OF(10, BOOL, newer_line, added_flag),
    CAFE_FIELD_ENUM_OF(11, newer_line, added_state, newer_states),
};
static const cafe_schema newer_type = CAFE_SCHEMA_OF("CheckLine", newer_line, newer_fields);
static const char *const newer_indexes[] = {"number", "added_number", NULL};
static const cafe_table newer_lines = {"check_lines", "order_id", "line", &newer_type, newer_indexes, true, 0};

typedef struct older_line {
  int64_t number;
  cafe_slice text;
} older_line;
static const cafe_field older_fields[] = {
    CAFE_FIELD_OF(1, I64, older_line, number),
    CAFE_FIELD_OF(2, TEXT, older_line, text),
};
static const cafe_schema older_type = CAFE_SCHEMA_OF("CheckLine", older_line, older_fields);
static const cafe_table older_lines = {"check_lines", "order_id", "line", &older_type, NULL, true, 0};

static const cafe_table *const newer_tables[] = {&check_notes, &newer_lines, NULL};
static const cafe_table *const older_tables[] = {&older_lines, NULL};
const cafe_store_setup check_newer_setup = {sizeof(cafe_store_setup), "newer", newer_tables};
static const cafe_store_setup older_setup = {sizeof(cafe_store_setup), "older", older_tables};

static void reopen(store_check *check, const cafe_store_setup *setup) {
  CHECK_OK(check,
           check->contract->restart(&check->store, CAFE_STORE_CLOSED, 0, NULL, check->contract->user, &check->err));
  check_open(check, setup);
}

static void a_column_that_is_added_is_empty_at_first(store_check *check) {
  uint64_t keys[CHECK_KEYS];
  (void)check_begin_lines(check, keys);
  check_unit *unit = unit_new(check, keys[1]);
  unit_line(check, unit, 1, 1, 5);
  check_one(check, unit, CAFE_UNIT_DONE);
  cafe_row_query old = check_all_lines();
  const check_found *before = check_rows(check, &old);
  reopen(check, &check_newer_setup);
  cafe_row_query query = {sizeof(query), &newer_lines, NULL, 0, 0, 0, -1, 1000};
  const check_found *found = check_rows(check, &query);
  CHECK(check, found->row_count == CHECK_LINES, "there are %" PRIu32 " rows instead of %d", found->row_count,
        CHECK_LINES);
  for (uint32_t i = 0; i < CHECK_LINES; i++) {
    const newer_line *line = found->rows[i].data;
    const check_line same = {line->flag, line->number, line->count, line->state, line->text, line->blob, line->at_ms};
    CHECK(check,
          found->rows[i].key == before->rows[i].key && found->rows[i].version == before->rows[i].version &&
              check_lines_equal(&same, before->rows[i].data),
          "row %" PRIu64 ".%" PRIu64 " isn't what it was", found->rows[i].key, found->rows[i].sub);
    CHECK(check, line->added_text.size == 0 && line->added_number == 0 && !line->added_flag && line->added_state == 0,
          "a new column has a value");
  }
  /* Empty is a value that a list can ask for. */
  static const uint32_t added[] = {7, 8, 9, 10};
  for (unsigned i = 0; i < 4; i++) {
    cafe_condition condition = {.column = (int)added[i], .at_most = i % 2 != 0, .value = {.number = 0}};
    query.conditions = &condition;
    query.condition_count = 1;
    CHECK(check, check_rows(check, &query)->row_count == CHECK_LINES, "a condition on new column %u leaves rows out",
          i);
  }
  newer_line line = {.text = cafe_text("t"),
                     .added_text = cafe_text("new"),
                     .added_number = -3,
                     .state = 3,
                     .added_flag = true,
                     .added_state = 2};
  unit = unit_new(check, keys[2]);
  unit_row(check, unit, &newer_lines, 1, 1, &line);
  unit_row(check, unit, &newer_lines, 2, 0, &line);
  check_one(check, unit, CAFE_UNIT_DONE);
  cafe_condition condition = {.column = 8, .at_most = true, .value = {.number = -3}};
  query.conditions = &condition;
  found = check_rows(check, &query);
  CHECK(check, found->row_count == 2, "a list by a new column finds %" PRIu32 " rows instead of 2", found->row_count);
  const newer_line *read = found->rows[0].data;
  CHECK(check,
        found->rows[0].version == 2 && read->added_number == -3 && read->added_flag && read->added_state == 2 &&
            read->state == 3 && cafe_slice_equal(read->added_text, cafe_text("new")),
        "a row with new columns came back differently");
  reopen(check, &check_newer_setup);
  CHECK(check, check_rows(check, &query)->row_count == 2, "a restart lost new columns");
}

/* The same columns in a struct of the same size, but elsewhere in it, and the words of the enum by other numbers. */
typedef struct moved_line {
  cafe_slice blob;
  cafe_slice text;
  int64_t at_ms;
  int32_t state;
  uint64_t count;
  int64_t number;
  bool flag;
} moved_line;

static const char *const moved_states[] = {"Open", "Done", "None"};
static const cafe_field moved_fields[] = {
    CAFE_FIELD_OF(1, BOOL, moved_line, flag),  CAFE_FIELD_OF(2, I64, moved_line, number),
    CAFE_FIELD_OF(3, U64, moved_line, count),  CAFE_FIELD_ENUM_OF(4, moved_line, state, moved_states),
    CAFE_FIELD_OF(5, TEXT, moved_line, text),  CAFE_FIELD_OF(6, BYTES, moved_line, blob),
    CAFE_FIELD_OF(7, TIME, moved_line, at_ms),
};
static const cafe_schema moved_type = CAFE_SCHEMA_OF("CheckLine", moved_line, moved_fields);
static const cafe_table moved_lines = {"check_lines", "order_id", "line", &moved_type, NULL, true, 0};
static const cafe_table *const moved_tables[] = {&moved_lines, NULL};
static const cafe_store_setup moved_setup = {sizeof(cafe_store_setup), "moved", moved_tables};

/* Only the enum's numbers differ. */
static const cafe_field renumbered_fields[] = {
    CAFE_FIELD_OF(1, BOOL, check_line, flag),  CAFE_FIELD_OF(2, I64, check_line, number),
    CAFE_FIELD_OF(3, U64, check_line, count),  CAFE_FIELD_ENUM_OF(4, check_line, state, moved_states),
    CAFE_FIELD_OF(5, TEXT, check_line, text),  CAFE_FIELD_OF(6, BYTES, check_line, blob),
    CAFE_FIELD_OF(7, TIME, check_line, at_ms),
};
static const cafe_schema renumbered_type = CAFE_SCHEMA_OF("CheckLine", check_line, renumbered_fields);
static const cafe_table renumbered_lines = {"check_lines", "order_id", "line", &renumbered_type, NULL, true, 0};
static const cafe_table *const renumbered_tables[] = {&renumbered_lines, NULL};
static const cafe_store_setup renumbered_setup = {sizeof(cafe_store_setup), "renumbered", renumbered_tables};

static void columns_are_found_by_name_wherever_a_struct_has_them(store_check *check) {
  uint64_t keys[CHECK_KEYS];
  const check_found *before = check_begin_lines(check, keys);
  reopen(check, &moved_setup);
  cafe_row_query query = {sizeof(query), &moved_lines, NULL, 0, 0, 0, -1, 1000};
  const check_found *found = check_rows(check, &query);
  CHECK(check, found->row_count == CHECK_LINES, "there are %" PRIu32 " rows instead of %d", found->row_count,
        CHECK_LINES);
  for (uint32_t i = 0; i < CHECK_LINES; i++) {
    const moved_line *line = found->rows[i].data;
    const check_line same = {line->flag, line->number, line->count, (line->state + 1) % 3,
                             line->text, line->blob,   line->at_ms};
    CHECK(check, check_lines_equal(&same, before->rows[i].data), "row %" PRIu64 ".%" PRIu64 " isn't what it was",
          found->rows[i].key, found->rows[i].sub);
  }
  reopen(check, &renumbered_setup);
  query.table = &renumbered_lines;
  found = check_rows(check, &query);
  for (uint32_t i = 0; i < CHECK_LINES; i++) {
    check_line line = *(const check_line *)found->rows[i].data;
    line.state = (line.state + 1) % 3;
    CHECK(check, check_lines_equal(&line, before->rows[i].data), "an enum's word isn't what it was");
  }
  reopen(check, &check_setup);
  query.table = &check_lines;
  found = check_rows(check, &query);
  for (uint32_t i = 0; i < CHECK_LINES; i++) {
    CHECK(check, check_lines_equal(found->rows[i].data, before->rows[i].data),
          "row %" PRIu64 ".%" PRIu64 " isn't what it was before", found->rows[i].key, found->rows[i].sub);
  }
}

static const cafe_table *const note_tables[] = {&check_notes, NULL};
static const cafe_store_setup note_setup = {sizeof(cafe_store_setup), "notes", note_tables};

static void a_table_that_a_start_does_not_name_waits(store_check *check) {
  uint64_t keys[CHECK_KEYS];
  (void)check_begin_lines(check, keys);
  cafe_slice before = check_dump(check);
  reopen(check, &note_setup);
  CHECK(check, check_load(check, keys[0])->row_count == 0, "load gives rows of a table that nobody opened");
  reopen(check, &check_setup);
  CHECK_SAME(check, before, check_dump(check), "a table that one start didn't name isn't what it was");
}

static void a_column_too_much_is_left_alone(store_check *check) {
  uint64_t keys[CHECK_KEYS];
  const check_found *before = check_begin_lines(check, keys);
  const check_note note = {cafe_text("stays"), 4};
  check_unit *unit = unit_new(check, keys[0]);
  unit_row(check, unit, &check_notes, 0, 0, &note);
  check_one(check, unit, CAFE_UNIT_DONE);
  reopen(check, &older_setup);
  cafe_row_query query = {sizeof(query), &older_lines, NULL, 0, 0, 0, -1, 1000};
  const check_found *found = check_rows(check, &query);
  CHECK(check, found->row_count == CHECK_LINES, "there are %" PRIu32 " rows instead of %d", found->row_count,
        CHECK_LINES);
  for (uint32_t i = 0; i < CHECK_LINES; i++) {
    const older_line *line = found->rows[i].data;
    const check_line *same = before->rows[i].data;
    CHECK(check,
          line->number == same->number && cafe_slice_equal(line->text, same->text) &&
              found->rows[i].version == before->rows[i].version,
          "row %" PRIu64 ".%" PRIu64 " isn't what it was", found->rows[i].key, found->rows[i].sub);
  }
  const older_line line = {77, cafe_text("written by the older one")};
  unit = unit_new(check, keys[1]);
  unit_row(check, unit, &older_lines, 1, 1, &line);
  unit_row(check, unit, &older_lines, 99, 0, &line);
  check_one(check, unit, CAFE_UNIT_DONE);

  reopen(check, &check_setup);
  found = check_load(check, keys[1]);
  CHECK(check, found->row_count == 5, "there are %" PRIu32 " rows instead of 5", found->row_count);
  uint32_t seen = 0;
  for (uint32_t i = 0; i < found->row_count; i++) {
    const check_line *read = found->rows[i].data;
    seen += read->number == 77 && cafe_slice_equal(read->text, line.text);
  }
  CHECK(check, seen == 2, "%" PRIu32 " rows of the older table are there instead of 2", seen);
  query = (cafe_row_query){sizeof(query), &check_notes, NULL, 0, 0, 0, -1, 10};
  CHECK(check, check_rows(check, &query)->row_count == 1, "a table that one start didn't name is gone");
}

/* A program may free what it described a table by once its node is gone. Here it says something else from then on. */
static void the_tables_of_an_earlier_start_are_not_looked_at(store_check *check) {
  char name[] = "check_lines", number[] = "number", text[] = "text";
  cafe_field fields[] = {older_fields[0], older_fields[1]};
  cafe_schema type = older_type;
  cafe_table table = older_lines;
  const cafe_table *tables[] = {&table, NULL};
  const cafe_store_setup setup = {sizeof(setup), "gone", tables};
  fields[0].name = number;
  fields[1].name = text;
  type.fields = fields;
  table.name = name;
  table.row = &type;
  check_create(check, NULL);
  check_open(check, &setup);
  const older_line line = {7, cafe_text("seven")};
  check_unit *unit = unit_new(check, check_new_key(check));
  unit_row(check, unit, &table, 1, 0, &line);
  check_one(check, unit, CAFE_UNIT_DONE);

  memcpy(name, "other_lines", sizeof(name));
  memcpy(number, "rebmun", sizeof(number));
  memcpy(text, "txet", sizeof(text));
  fields[0].offset = fields[1].offset;
  type.field_count = 1;
  table.row = &newer_type;
  reopen(check, &older_setup);
  cafe_row_query query = {sizeof(query), &older_lines, NULL, 0, 0, 0, -1, 10};
  const check_found *found = check_rows(check, &query);
  CHECK(check, found->row_count == 1, "there are %" PRIu32 " rows instead of 1", found->row_count);
  const older_line *read = found->rows[0].data;
  CHECK(check, read->number == line.number && cafe_slice_equal(read->text, line.text), "the row isn't what it was");
}

const store_check_entry store_checks_change[] = {
    {"a_column_that_is_added_is_empty_at_first", a_column_that_is_added_is_empty_at_first, false, false},
    {"columns_are_found_by_name_wherever_a_struct_has_them", columns_are_found_by_name_wherever_a_struct_has_them,
     false, false},
    {"a_table_that_a_start_does_not_name_waits", a_table_that_a_start_does_not_name_waits, false, false},
    {"a_column_too_much_is_left_alone", a_column_too_much_is_left_alone, false, false},
    {"the_tables_of_an_earlier_start_are_not_looked_at", the_tables_of_an_earlier_start_are_not_looked_at, false,
     false},
    {NULL, NULL, false, false},
};
