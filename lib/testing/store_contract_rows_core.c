/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tier core: rows and the lists made of them. Each list is compared with what a plain walk over the same rows selects,
 * by the rules of cafe_row_query alone; so a backend's index, its collation and its idea of numbers are all put to the
 * same test.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "testing/store_checks.h"

/* Values at which columns get into each other's way: limits, neighbours, text that looks like a number or like SQL. */
static const int64_t numbers[] = {0,
                                  1,
                                  -1,
                                  2,
                                  9,
                                  10,
                                  127,
                                  128,
                                  -128,
                                  -129,
                                  INT64_C(2147483647),
                                  INT64_C(2147483648),
                                  INT64_C(-2147483648),
                                  INT64_C(-2147483649),
                                  INT64_C(9007199254740993),
                                  INT64_MAX,
                                  INT64_MIN,
                                  42,
                                  42,
                                  42};
static const char *const texts[] = {"",
                                    "a",
                                    "A",
                                    "b",
                                    "ab",
                                    "a'b",
                                    "a\"b",
                                    "a%",
                                    "a_b",
                                    "10",
                                    "9",
                                    "010",
                                    " ",
                                    "NULL",
                                    "na\xc3\xafve",
                                    "\xec\xbb\xa4\xed\x94\xbc",
                                    "\xf0\x9f\x8d\xb5",
                                    "a\nb",
                                    "z",
                                    "a"};
enum { LINES = 20, KEYS = 5 };

static check_line *line_number(store_check *check, unsigned i) {
  check_line *line = check_alloc(check, sizeof(*line));
  line->flag = i % 3 == 0;
  line->number = numbers[i];
  line->count = i % 4 == 0 ? CAFE_KEY_MAX - i : i * 7;
  line->state = (int32_t)(i % 3);
  line->text = cafe_text(texts[i]);
  line->blob = i % 5 == 0 ? (cafe_slice){NULL, 0} : check_bytes(check, i % 5, i % 7);
  line->at_ms = i % 6 == 0 ? 0 : INT64_C(1700000000000) + (int64_t)((i * 13) % 7);
  return line;
}

/* Twenty rows over five keys, four to a key, put in out of order. */
static void write_lines(store_check *check, uint64_t keys[KEYS]) {
  for (unsigned i = 0; i < KEYS; i++) {
    keys[i] = check_new_key(check);
  }
  for (unsigned i = 0; i < LINES; i++) {
    unsigned k = (i * 7) % LINES;
    check_unit *unit = unit_new(check, keys[k % KEYS]);
    unit_row(check, unit, &check_lines, 1 + (k / KEYS) * 1000, 0, line_number(check, k));
    check_one(check, unit, CAFE_UNIT_DONE);
  }
}

static cafe_row_query all_lines(void) {
  return (cafe_row_query){sizeof(cafe_row_query), &check_lines, NULL, 0, 0, 0, -1, 1000};
}

static int compare_numbers(int64_t a, int64_t b) { return (a > b) - (a < b); }

static int compare_bytes(cafe_slice a, cafe_slice b) {
  size_t size = a.size < b.size ? a.size : b.size;
  int order = size ? memcmp(a.data, b.data, size) : 0;
  return order ? order : compare_numbers((int64_t)a.size, (int64_t)b.size);
}

static int compare_column(const check_row *row, int column, const cafe_value *value) {
  if (column < 0) {
    return compare_numbers((int64_t)(column == -1 ? row->key : row->sub), value->number);
  }
  cafe_value own = cafe_schema_get(check_lines.row, row->data, (uint32_t)column);
  if (column == LINE_TEXT || column == LINE_BLOB) {
    return compare_bytes(own.bytes, value->bytes);
  }
  return compare_numbers(own.number, value->number);
}

static bool is_selected(const check_row *row, const cafe_row_query *query) {
  for (uint32_t i = 0; i < query->condition_count; i++) {
    const cafe_condition *condition = &query->conditions[i];
    int order = compare_column(row, condition->column, &condition->value);
    if (condition->at_most ? order > 0 : order != 0) {
      return false;
    }
  }
  return row->key > query->after_key || (row->key == query->after_key && row->sub > query->after_sub);
}

static bool is_in_order(const check_row *a, const check_row *b, int order_by) {
  int order = 0;
  if (order_by >= 0) {
    cafe_value value = cafe_schema_get(check_lines.row, b->data, (uint32_t)order_by);
    order = compare_column(a, order_by, &value);
  }
  if (order == 0) {
    order = compare_numbers((int64_t)a->key, (int64_t)b->key);
  }
  return order < 0 || (order == 0 && a->sub < b->sub);
}

/* The query gives the first `limit` of the rows that it selects, in its order, as they were written. */
static void check_query(store_check *check, const check_found *all, const cafe_row_query *query) {
  const check_found *found = check_rows(check, query);
  uint32_t selected = 0;
  for (uint32_t i = 0; i < all->row_count; i++) {
    const check_row *row = &all->rows[i];
    bool is_found = false;
    for (uint32_t k = 0; k < found->row_count; k++) {
      const check_row *other = &found->rows[k];
      if (other->key == row->key && other->sub == row->sub) {
        is_found = true;
        CHECK(check, other->version == row->version && check_lines_equal(other->data, row->data),
              "row %" PRIu64 ".%" PRIu64 " came back differently", row->key, row->sub);
      }
    }
    bool is_wanted = is_selected(row, query);
    selected += is_wanted;
    CHECK(check, is_wanted || !is_found, "row %" PRIu64 ".%" PRIu64 " doesn't meet the conditions", row->key, row->sub);
    /* Left out though wanted: only because of the limit, and then behind the last one. */
    CHECK(check, !is_wanted || is_found || found->row_count == query->limit, "row %" PRIu64 ".%" PRIu64 " is missing",
          row->key, row->sub);
    CHECK(check, !is_wanted || is_found || is_in_order(&found->rows[found->row_count - 1], row, query->order_by),
          "row %" PRIu64 ".%" PRIu64 " was left out for a later one", row->key, row->sub);
  }
  CHECK(check, found->row_count == (selected < query->limit ? selected : query->limit),
        "the list has %" PRIu32 " rows, %" PRIu32 " meet the conditions, the limit is %" PRIu32, found->row_count,
        selected, query->limit);
  for (uint32_t i = 1; i < found->row_count; i++) {
    CHECK(check, is_in_order(&found->rows[i - 1], &found->rows[i], query->order_by),
          "row %" PRIu64 ".%" PRIu64 " comes before %" PRIu64 ".%" PRIu64, found->rows[i - 1].key,
          found->rows[i - 1].sub, found->rows[i].key, found->rows[i].sub);
  }
}

/* The rows as they were written, in the order of their keys. */
static const check_found *begin_lines(store_check *check, uint64_t keys[KEYS]) {
  check_begin(check);
  write_lines(check, keys);
  cafe_row_query query = all_lines();
  const check_found *all = check_rows(check, &query);
  CHECK(check, all->row_count == LINES, "there are %" PRIu32 " rows instead of %d", all->row_count, LINES);
  for (uint32_t i = 0; i < LINES; i++) {
    unsigned k = i / 4 + (i % 4) * KEYS;
    const check_row *row = &all->rows[i];
    CHECK(check,
          row->table == &check_lines && row->key == keys[i / 4] && row->sub == 1 + (i % 4) * 1000 && row->version == 1,
          "row %" PRIu32 " of the list is %" PRIu64 ".%" PRIu64, i, row->key, row->sub);
    CHECK(check, check_lines_equal(row->data, line_number(check, k)),
          "row %" PRIu64 ".%" PRIu64 " came back differently", row->key, row->sub);
  }
  return all;
}

static void rows_are_listed_in_pages_of_any_size(store_check *check) {
  uint64_t keys[KEYS];
  const check_found *all = begin_lines(check, keys);
  for (uint32_t limit = 1; limit <= LINES + 1; limit++) {
    cafe_row_query query = all_lines();
    query.limit = limit;
    for (uint32_t done = 0;;) {
      const check_found *page = check_rows(check, &query);
      CHECK(check, page->row_count == (LINES - done < limit ? LINES - done : limit),
            "a page of %" PRIu32 " after %" PRIu32 " rows has %" PRIu32, limit, done, page->row_count);
      for (uint32_t i = 0; i < page->row_count; i++, done++) {
        CHECK(check, page->rows[i].key == all->rows[done].key && page->rows[i].sub == all->rows[done].sub,
              "pages of %" PRIu32 " have %" PRIu64 ".%" PRIu64 " at %" PRIu32, limit, page->rows[i].key,
              page->rows[i].sub, done);
        query.after_key = page->rows[i].key;
        query.after_sub = page->rows[i].sub;
      }
      if (page->row_count == 0) {
        break;
      }
    }
  }
  /* A page may begin after a row that isn't there. */
  cafe_row_query query = all_lines();
  for (query.after_key = 0; query.after_key <= keys[KEYS - 1] + 1; query.after_key++) {
    for (query.after_sub = 0; query.after_sub < 4000; query.after_sub += 500) {
      check_query(check, all, &query);
    }
  }
}

static cafe_value value_of(const check_row *row, int column) {
  if (column >= 0) {
    cafe_value value = cafe_schema_get(check_lines.row, row->data, (uint32_t)column);
    if (column == LINE_STATE) {
      value.bytes = (cafe_slice){NULL, 0};
    }
    return value;
  }
  return (cafe_value){.number = (int64_t)(column == -1 ? row->key : row->sub)};
}

static void rows_are_filtered_by_each_column(store_check *check) {
  uint64_t keys[KEYS];
  const check_found *all = begin_lines(check, keys);
  for (int column = -2; column <= LINE_AT_MS; column++) {
    char where[64];
    (void)snprintf(where, sizeof(where), "by %s",
                   column == -2   ? check_lines.sub_name
                   : column == -1 ? check_lines.key_name
                                  : check_lines.row->fields[column].name);
    check->where = where;
    for (uint32_t i = 0; i < LINES; i++) {
      cafe_condition condition = {column, false, value_of(&all->rows[i], column)};
      cafe_row_query query = all_lines();
      query.conditions = &condition;
      query.condition_count = 1;
      check_query(check, all, &query);
      query.limit = 2;
      check_query(check, all, &query);
      query.after_key = keys[1];
      query.after_sub = 1001;
      check_query(check, all, &query);
    }
    check->where = NULL;
  }
}

static void rows_are_filtered_by_at_most(store_check *check) {
  uint64_t keys[KEYS];
  static const int columns[] = {-2, -1, LINE_FLAG, LINE_NUMBER, LINE_COUNT, LINE_TEXT, LINE_BLOB, LINE_AT_MS};
  const check_found *all = begin_lines(check, keys);
  for (unsigned c = 0; c < sizeof(columns) / sizeof(columns[0]); c++) {
    for (uint32_t i = 0; i < LINES; i++) {
      cafe_condition condition = {columns[c], true, value_of(&all->rows[i], columns[c])};
      cafe_row_query query = all_lines();
      query.conditions = &condition;
      query.condition_count = 1;
      check_query(check, all, &query);
      query.limit = 3;
      check_query(check, all, &query);
    }
  }
}

static void values_that_no_row_has_find_nothing(store_check *check) {
  uint64_t keys[KEYS];
  const check_found *all = begin_lines(check, keys);
  const cafe_condition conditions[] = {
      {-1, false, {.number = (int64_t)keys[KEYS - 1] + 1}},
      {-2, false, {.number = 2}},
      {LINE_NUMBER, false, {.number = 43}},
      {LINE_TEXT, false, {.bytes = cafe_text("nobody")}},
      {LINE_TEXT, false, {.bytes = {"a\0", 2}}},
      {LINE_TEXT, false, {.bytes = cafe_text("' OR 1=1 --")}},
      {LINE_BLOB, false, {.bytes = cafe_text("a")}},
      {LINE_AT_MS, false, {.number = 1}},
      {LINE_AT_MS, true, {.number = -1}},
  };
  for (unsigned i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
    cafe_row_query query = all_lines();
    query.conditions = &conditions[i];
    query.condition_count = 1;
    check_query(check, all, &query);
    CHECK(check, check_rows(check, &query)->row_count == 0, "condition %u found a row", i);
  }
}

static void conditions_are_met_all_at_once(store_check *check) {
  uint64_t keys[KEYS];
  const check_found *all = begin_lines(check, keys);
  for (int first = -2; first <= LINE_AT_MS; first++) {
    for (int second = -2; second <= LINE_AT_MS; second++) {
      const cafe_condition conditions[2] = {
          {first, false, value_of(&all->rows[8], first)},
          {second, second != LINE_STATE, value_of(&all->rows[12], second)},
      };
      cafe_row_query query = all_lines();
      query.conditions = conditions;
      query.condition_count = 2;
      check_query(check, all, &query);
    }
  }
}

static void rows_are_ordered_by_a_column(store_check *check) {
  uint64_t keys[KEYS];
  static const int columns[] = {LINE_FLAG, LINE_NUMBER, LINE_COUNT, LINE_TEXT, LINE_BLOB, LINE_AT_MS};
  const check_found *all = begin_lines(check, keys);
  for (unsigned c = 0; c < sizeof(columns) / sizeof(columns[0]); c++) {
    for (uint32_t limit = 1; limit <= LINES + 1; limit++) {
      cafe_row_query query = all_lines();
      query.order_by = columns[c];
      query.limit = limit;
      check_query(check, all, &query);
      const cafe_condition conditions[2] = {{LINE_STATE, false, {.number = 1}}, {LINE_NUMBER, true, {.number = 127}}};
      query.conditions = conditions;
      query.condition_count = 1 + limit % 2;
      check_query(check, all, &query);
    }
  }
}

static void tables_without_a_second_key_are_listed_too(store_check *check) {
  check_begin(check);
  uint64_t key[3];
  for (unsigned i = 0; i < 3; i++) {
    check_note *note = check_alloc(check, sizeof(*note));
    *note = (check_note){check_text(check, "note %u", 9 - i), (int64_t)i % 2};
    key[i] = check_new_key(check);
    check_unit *unit = unit_new(check, key[i]);
    unit_row(check, unit, &check_notes, 0, 0, note);
    check_one(check, unit, CAFE_UNIT_DONE);
  }
  cafe_row_query query = {sizeof(query), &check_notes, NULL, 0, key[0], 0, -1, 10};
  const check_found *found = check_rows(check, &query);
  CHECK(check,
        found->row_count == 2 && found->rows[0].key == key[1] && found->rows[1].key == key[2] &&
            found->rows[0].sub == 0,
        "a page after the first note has %" PRIu32 " rows instead of 2", found->row_count);
  const cafe_condition odd = {1, false, {.number = 1}};
  query = (cafe_row_query){sizeof(query), &check_notes, &odd, 1, 0, 0, -1, 10};
  found = check_rows(check, &query);
  CHECK(check, found->row_count == 1 && found->rows[0].key == key[1], "a filter found the wrong notes");
  query = (cafe_row_query){sizeof(query), &check_notes, NULL, 0, 0, 0, 0, 2};
  found = check_rows(check, &query);
  CHECK(check, found->row_count == 2 && found->rows[0].key == key[2] && found->rows[1].key == key[1],
        "notes ordered by text came in another order");
  query = all_lines();
  CHECK(check, check_rows(check, &query)->row_count == 0, "rows of one table show in another");
}

static void write_line(store_check *check, uint64_t key, uint64_t expected, uint32_t seed, cafe_unit_result wanted) {
  check_unit *unit = unit_new(check, key);
  if (seed) {
    unit_line(check, unit, 4, expected, seed);
  } else {
    unit_row(check, unit, &check_lines, 4, expected, NULL);
  }
  check_one(check, unit, wanted);
}

/* version 0: the row isn't there. */
static void expect_line(store_check *check, uint64_t key, uint64_t version, uint32_t seed) {
  const check_found *found = check_load(check, key);
  CHECK(check, found->row_count == (version > 0), "there are %" PRIu32 " rows", found->row_count);
  cafe_condition of_key = {-1, false, {.number = (int64_t)key}};
  cafe_row_query query = all_lines();
  query.conditions = &of_key;
  query.condition_count = 1;
  CHECK(check, check_rows(check, &query)->row_count == found->row_count, "load and read_rows disagree");
  CHECK(check,
        version == 0 ||
            (found->rows[0].version == version && check_lines_equal(found->rows[0].data, check_line_of(check, seed))),
        "the row has version %" PRIu64 " instead of %" PRIu64 ", or other columns", found->rows[0].version, version);
}

static void row_versions_count_each_write_and_begin_anew(store_check *check) {
  check_begin(check);
  uint64_t key = check_new_key(check);
  for (unsigned life = 0; life < 3; life++) {
    write_line(check, key, 1, 9, CAFE_UNIT_ROW_CONFLICT);
    expect_line(check, key, 0, 0);
    write_line(check, key, 0, 1, CAFE_UNIT_DONE);
    expect_line(check, key, 1, 1);
    write_line(check, key, 0, 9, CAFE_UNIT_ROW_CONFLICT);
    write_line(check, key, 2, 9, CAFE_UNIT_ROW_CONFLICT);
    for (uint32_t version = 1; version <= 4; version++) {
      write_line(check, key, version, version + 1, CAFE_UNIT_DONE);
      write_line(check, key, version, 9, CAFE_UNIT_ROW_CONFLICT);
      expect_line(check, key, version + 1, version + 1);
    }
    write_line(check, key, 4, 0, CAFE_UNIT_ROW_CONFLICT);
    write_line(check, key, 6, 0, CAFE_UNIT_ROW_CONFLICT);
    expect_line(check, key, 5, 5);
    if (life == 1) {
      check_restart(check, CAFE_STORE_CLOSED, 0);
    }
    write_line(check, key, 5, 0, CAFE_UNIT_DONE);
    write_line(check, key, 5, 0, CAFE_UNIT_ROW_CONFLICT);
    expect_line(check, key, 0, 0);
  }
}

static void an_update_replaces_every_column(store_check *check) {
  check_begin(check);
  uint64_t key = check_new_key(check);
  uint64_t version = 0;
  const check_line empty = {.number = 0};
  check_line *large = line_number(check, 4);
  large->text = check_text(check, "%0*d", 65536, 7);
  large->blob = check_bytes(check, 65536, 3);
  const check_line *lines[] = {line_number(check, 3), &empty, large, line_number(check, 16), &empty, large,
                               line_number(check, 0)};
  for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
    check_unit *unit = unit_new(check, key);
    unit_row(check, unit, &check_lines, 1, version++, lines[i]);
    check_one(check, unit, CAFE_UNIT_DONE);
    const check_found *found = check_load(check, key);
    CHECK(check,
          found->row_count == 1 && found->rows[0].version == version &&
              check_lines_equal(found->rows[0].data, lines[i]),
          "write %u left something of the row before it", i + 1);
  }
}

static void rows_far_apart_come_and_go(store_check *check) {
  enum { ROWS = 700 };
  check_begin(check);
  uint64_t keys[ROWS];
  for (unsigned i = 0; i < ROWS; i++) {
    keys[i] = check_new_key(check);
  }
  /* In at every place, out at every place, until three are left. 7 and 700 have a divisor, 11 and 700 none. */
  for (unsigned i = 0; i < ROWS; i++) {
    check_unit *unit = unit_new(check, keys[(i * 11) % ROWS]);
    unit_line(check, unit, 1, 0, i);
    check_one(check, unit, CAFE_UNIT_DONE);
  }
  for (unsigned i = 0; i < ROWS - 3; i++) {
    check_unit *unit = unit_new(check, keys[(i * 13) % ROWS]);
    unit_row(check, unit, &check_lines, 1, 1, NULL);
    check_one(check, unit, CAFE_UNIT_DONE);
    if (i % 100 == 0 || i > ROWS - 6) {
      cafe_row_query query = all_lines();
      const check_found *found = check_rows(check, &query);
      CHECK(check, found->row_count == ROWS - 1 - i, "%" PRIu32 " rows are left instead of %u", found->row_count,
            ROWS - 1 - i);
      for (uint32_t k = 1; k < found->row_count; k++) {
        CHECK(check, found->rows[k - 1].key < found->rows[k].key, "the list isn't in the order of its keys");
      }
    }
  }
}

/*
 * The table as the next version of a program has it, and as the one before had it.
 */
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
static const cafe_table newer_lines = {"check_lines", "order_id", "line", &newer_type, newer_indexes, true};

typedef struct older_line {
  int64_t number;
  cafe_slice text;
} older_line;
static const cafe_field older_fields[] = {
    CAFE_FIELD_OF(1, I64, older_line, number),
    CAFE_FIELD_OF(2, TEXT, older_line, text),
};
static const cafe_schema older_type = CAFE_SCHEMA_OF("CheckLine", older_line, older_fields);
static const cafe_table older_lines = {"check_lines", "order_id", "line", &older_type, NULL, true};

static const cafe_table *const newer_tables[] = {&check_notes, &newer_lines, NULL};
static const cafe_table *const older_tables[] = {&older_lines, NULL};
const cafe_store_setup check_newer_setup = {sizeof(cafe_store_setup), "newer", newer_tables};
static const cafe_store_setup older_setup = {sizeof(cafe_store_setup), "older", older_tables};

static void reopen(store_check *check, const cafe_store_setup *setup) {
  CHECK_OK(check,
           check->contract->restart(check->contract->user, &check->store, CAFE_STORE_CLOSED, 0, NULL, &check->err));
  check_open(check, setup);
}

static void a_column_that_is_added_is_empty_at_first(store_check *check) {
  uint64_t keys[KEYS];
  (void)begin_lines(check, keys);
  check_unit *unit = unit_new(check, keys[1]);
  unit_line(check, unit, 1, 1, 5);
  check_one(check, unit, CAFE_UNIT_DONE);
  cafe_row_query old = all_lines();
  const check_found *before = check_rows(check, &old);
  reopen(check, &check_newer_setup);
  cafe_row_query query = {sizeof(query), &newer_lines, NULL, 0, 0, 0, -1, 1000};
  const check_found *found = check_rows(check, &query);
  CHECK(check, found->row_count == LINES, "there are %" PRIu32 " rows instead of %d", found->row_count, LINES);
  for (uint32_t i = 0; i < LINES; i++) {
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
    cafe_condition condition = {(int)added[i], i % 2 != 0, {.number = 0}};
    query.conditions = &condition;
    query.condition_count = 1;
    CHECK(check, check_rows(check, &query)->row_count == LINES, "a condition on new column %u leaves rows out", i);
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
  cafe_condition condition = {8, true, {.number = -3}};
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
static const cafe_table moved_lines = {"check_lines", "order_id", "line", &moved_type, NULL, true};
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
static const cafe_table renumbered_lines = {"check_lines", "order_id", "line", &renumbered_type, NULL, true};
static const cafe_table *const renumbered_tables[] = {&renumbered_lines, NULL};
static const cafe_store_setup renumbered_setup = {sizeof(cafe_store_setup), "renumbered", renumbered_tables};

static void columns_are_found_by_name_wherever_a_struct_has_them(store_check *check) {
  uint64_t keys[KEYS];
  const check_found *before = begin_lines(check, keys);
  reopen(check, &moved_setup);
  cafe_row_query query = {sizeof(query), &moved_lines, NULL, 0, 0, 0, -1, 1000};
  const check_found *found = check_rows(check, &query);
  CHECK(check, found->row_count == LINES, "there are %" PRIu32 " rows instead of %d", found->row_count, LINES);
  for (uint32_t i = 0; i < LINES; i++) {
    const moved_line *line = found->rows[i].data;
    const check_line same = {line->flag, line->number, line->count, (line->state + 1) % 3,
                             line->text, line->blob,   line->at_ms};
    CHECK(check, check_lines_equal(&same, before->rows[i].data), "row %" PRIu64 ".%" PRIu64 " isn't what it was",
          found->rows[i].key, found->rows[i].sub);
  }
  reopen(check, &renumbered_setup);
  query.table = &renumbered_lines;
  found = check_rows(check, &query);
  for (uint32_t i = 0; i < LINES; i++) {
    check_line line = *(const check_line *)found->rows[i].data;
    line.state = (line.state + 1) % 3;
    CHECK(check, check_lines_equal(&line, before->rows[i].data), "an enum's word isn't what it was");
  }
  reopen(check, &check_setup);
  query.table = &check_lines;
  found = check_rows(check, &query);
  for (uint32_t i = 0; i < LINES; i++) {
    CHECK(check, check_lines_equal(found->rows[i].data, before->rows[i].data),
          "row %" PRIu64 ".%" PRIu64 " isn't what it was before", found->rows[i].key, found->rows[i].sub);
  }
}

static const cafe_table *const note_tables[] = {&check_notes, NULL};
static const cafe_store_setup note_setup = {sizeof(cafe_store_setup), "notes", note_tables};

static void a_table_that_a_start_does_not_name_waits(store_check *check) {
  uint64_t keys[KEYS];
  (void)begin_lines(check, keys);
  cafe_slice before = check_dump(check);
  reopen(check, &note_setup);
  CHECK(check, check_load(check, keys[0])->row_count == 0, "load gives rows of a table that nobody opened");
  reopen(check, &check_setup);
  CHECK_SAME(check, before, check_dump(check), "a table that one start didn't name isn't what it was");
}

static void a_column_too_much_is_left_alone(store_check *check) {
  uint64_t keys[KEYS];
  const check_found *before = begin_lines(check, keys);
  const check_note note = {cafe_text("stays"), 4};
  check_unit *unit = unit_new(check, keys[0]);
  unit_row(check, unit, &check_notes, 0, 0, &note);
  check_one(check, unit, CAFE_UNIT_DONE);
  reopen(check, &older_setup);
  cafe_row_query query = {sizeof(query), &older_lines, NULL, 0, 0, 0, -1, 1000};
  const check_found *found = check_rows(check, &query);
  CHECK(check, found->row_count == LINES, "there are %" PRIu32 " rows instead of %d", found->row_count, LINES);
  for (uint32_t i = 0; i < LINES; i++) {
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

const store_check_entry store_checks_rows[] = {
    {"rows_are_listed_in_pages_of_any_size", rows_are_listed_in_pages_of_any_size, false, false},
    {"rows_are_filtered_by_each_column", rows_are_filtered_by_each_column, false, false},
    {"rows_are_filtered_by_at_most", rows_are_filtered_by_at_most, false, false},
    {"values_that_no_row_has_find_nothing", values_that_no_row_has_find_nothing, false, false},
    {"conditions_are_met_all_at_once", conditions_are_met_all_at_once, false, false},
    {"rows_are_ordered_by_a_column", rows_are_ordered_by_a_column, false, false},
    {"tables_without_a_second_key_are_listed_too", tables_without_a_second_key_are_listed_too, false, false},
    {"row_versions_count_each_write_and_begin_anew", row_versions_count_each_write_and_begin_anew, false, false},
    {"an_update_replaces_every_column", an_update_replaces_every_column, false, false},
    {"rows_far_apart_come_and_go", rows_far_apart_come_and_go, false, false},
    {"a_column_that_is_added_is_empty_at_first", a_column_that_is_added_is_empty_at_first, false, false},
    {"columns_are_found_by_name_wherever_a_struct_has_them", columns_are_found_by_name_wherever_a_struct_has_them,
     false, false},
    {"a_table_that_a_start_does_not_name_waits", a_table_that_a_start_does_not_name_waits, false, false},
    {"a_column_too_much_is_left_alone", a_column_too_much_is_left_alone, false, false},
    {NULL, NULL, false, false},
};
