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

static check_line *line_number(store_check *check, unsigned i) {
  check_line *line = check_alloc(check, sizeof(*line));
  line->flag = i % 3 == 0;
  line->number = numbers[i];
  line->count = i % 4 == 0 ? CAFE_KEY_MAX - i : (uint64_t)i * 7;
  line->state = (int32_t)(i % 3);
  line->text = cafe_text(texts[i]);
  line->blob = i % 5 == 0 ? (cafe_slice){NULL, 0} : check_bytes(check, i % 5, i % 7);
  line->at_ms = i % 6 == 0 ? 0 : INT64_C(1700000000000) + (int64_t)((i * 13) % 7);
  return line;
}

/* Twenty rows over five keys, four to a key, put in out of order. */
static void write_lines(store_check *check, uint64_t keys[CHECK_KEYS]) {
  for (unsigned i = 0; i < CHECK_KEYS; i++) {
    keys[i] = check_new_key(check);
  }
  for (unsigned i = 0; i < CHECK_LINES; i++) {
    unsigned k = (i * 7) % CHECK_LINES;
    check_unit *unit = unit_new(check, keys[k % CHECK_KEYS]);
    unit_row(check, unit, &check_lines, 1 + (uint64_t)(k / CHECK_KEYS) * 1000, 0, line_number(check, k));
    check_one(check, unit, CAFE_UNIT_DONE);
  }
}

cafe_row_query check_all_lines(void) {
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

const check_found *check_begin_lines(store_check *check, uint64_t keys[CHECK_KEYS]) {
  check_begin(check);
  write_lines(check, keys);
  cafe_row_query query = check_all_lines();
  const check_found *all = check_rows(check, &query);
  CHECK(check, all->row_count == CHECK_LINES, "there are %" PRIu32 " rows instead of %d", all->row_count, CHECK_LINES);
  for (uint32_t i = 0; i < CHECK_LINES; i++) {
    unsigned k = i / 4 + (i % 4) * CHECK_KEYS;
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
  uint64_t keys[CHECK_KEYS];
  const check_found *all = check_begin_lines(check, keys);
  for (uint32_t limit = 1; limit <= CHECK_LINES + 1; limit++) {
    cafe_row_query query = check_all_lines();
    query.limit = limit;
    for (uint32_t done = 0;;) {
      const check_found *page = check_rows(check, &query);
      CHECK(check, page->row_count == (CHECK_LINES - done < limit ? CHECK_LINES - done : limit),
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
  cafe_row_query query = check_all_lines();
  for (query.after_key = 0; query.after_key <= keys[CHECK_KEYS - 1] + 1; query.after_key++) {
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
  uint64_t keys[CHECK_KEYS];
  const check_found *all = check_begin_lines(check, keys);
  for (int column = -2; column <= LINE_AT_MS; column++) {
    char where[64];
    (void)snprintf(where, sizeof(where), "by %s",
                   column == -2   ? check_lines.sub_name
                   : column == -1 ? check_lines.key_name
                                  : check_lines.row->fields[column].name);
    check->where = where;
    for (uint32_t i = 0; i < CHECK_LINES; i++) {
      cafe_condition condition = {.column = column, .value = value_of(&all->rows[i], column)};
      cafe_row_query query = check_all_lines();
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
  uint64_t keys[CHECK_KEYS];
  static const int columns[] = {-2, -1, LINE_FLAG, LINE_NUMBER, LINE_COUNT, LINE_TEXT, LINE_BLOB, LINE_AT_MS};
  const check_found *all = check_begin_lines(check, keys);
  for (unsigned c = 0; c < sizeof(columns) / sizeof(columns[0]); c++) {
    for (uint32_t i = 0; i < CHECK_LINES; i++) {
      cafe_condition condition = {.column = columns[c], .at_most = true, .value = value_of(&all->rows[i], columns[c])};
      cafe_row_query query = check_all_lines();
      query.conditions = &condition;
      query.condition_count = 1;
      check_query(check, all, &query);
      query.limit = 3;
      check_query(check, all, &query);
    }
  }
}

static void values_that_no_row_has_find_nothing(store_check *check) {
  uint64_t keys[CHECK_KEYS];
  const check_found *all = check_begin_lines(check, keys);
  const cafe_condition conditions[] = {
      {.column = -1, .value = {.number = (int64_t)keys[CHECK_KEYS - 1] + 1}},
      {.column = -2, .value = {.number = 2}},
      {.column = LINE_NUMBER, .value = {.number = 43}},
      {.column = LINE_TEXT, .value = {.bytes = cafe_text("nobody")}},
      {.column = LINE_TEXT, .value = {.bytes = {"a\0", 2}}},
      {.column = LINE_TEXT, .value = {.bytes = cafe_text("' OR 1=1 --")}},
      {.column = LINE_BLOB, .value = {.bytes = cafe_text("a")}},
      {.column = LINE_AT_MS, .value = {.number = 1}},
      {.column = LINE_AT_MS, .at_most = true, .value = {.number = -1}},
  };
  for (unsigned i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
    cafe_row_query query = check_all_lines();
    query.conditions = &conditions[i];
    query.condition_count = 1;
    check_query(check, all, &query);
    CHECK(check, check_rows(check, &query)->row_count == 0, "condition %u found a row", i);
  }
}

static void conditions_are_met_all_at_once(store_check *check) {
  uint64_t keys[CHECK_KEYS];
  const check_found *all = check_begin_lines(check, keys);
  for (int first = -2; first <= LINE_AT_MS; first++) {
    for (int second = -2; second <= LINE_AT_MS; second++) {
      const cafe_condition conditions[2] = {
          {.column = first, .value = value_of(&all->rows[8], first)},
          {.column = second, .at_most = second != LINE_STATE, .value = value_of(&all->rows[12], second)},
      };
      cafe_row_query query = check_all_lines();
      query.conditions = conditions;
      query.condition_count = 2;
      check_query(check, all, &query);
    }
  }
}

static void rows_are_ordered_by_a_column(store_check *check) {
  uint64_t keys[CHECK_KEYS];
  static const int columns[] = {LINE_FLAG, LINE_NUMBER, LINE_COUNT, LINE_TEXT, LINE_BLOB, LINE_AT_MS};
  const check_found *all = check_begin_lines(check, keys);
  for (unsigned c = 0; c < sizeof(columns) / sizeof(columns[0]); c++) {
    for (uint32_t limit = 1; limit <= CHECK_LINES + 1; limit++) {
      cafe_row_query query = check_all_lines();
      query.order_by = columns[c];
      query.limit = limit;
      check_query(check, all, &query);
      const cafe_condition conditions[2] = {{.column = LINE_STATE, .value = {.number = 1}},
                                            {.column = LINE_NUMBER, .at_most = true, .value = {.number = 127}}};
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
  const cafe_condition odd = {.column = 1, .value = {.number = 1}};
  query = (cafe_row_query){sizeof(query), &check_notes, &odd, 1, 0, 0, -1, 10};
  found = check_rows(check, &query);
  CHECK(check, found->row_count == 1 && found->rows[0].key == key[1], "a filter found the wrong notes");
  query = (cafe_row_query){sizeof(query), &check_notes, NULL, 0, 0, 0, 0, 2};
  found = check_rows(check, &query);
  CHECK(check, found->row_count == 2 && found->rows[0].key == key[2] && found->rows[1].key == key[1],
        "notes ordered by text came in another order");
  query = check_all_lines();
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
  cafe_condition of_key = {.column = -1, .value = {.number = (int64_t)key}};
  cafe_row_query query = check_all_lines();
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
      cafe_row_query query = check_all_lines();
      const check_found *found = check_rows(check, &query);
      CHECK(check, found->row_count == ROWS - 1 - i, "%" PRIu32 " rows are left instead of %u", found->row_count,
            ROWS - 1 - i);
      for (uint32_t k = 1; k < found->row_count; k++) {
        CHECK(check, found->rows[k - 1].key < found->rows[k].key, "the list isn't in the order of its keys");
      }
    }
  }
}

static void rows_that_lie_anywhere_ride_in_units_of_other_partitions(store_check *check) {
  check_begin(check);
  uint64_t key = check_new_key(check), far = key;
  while (cafe_partition(far) == cafe_partition(key)) {
    far = check_new_key(check);
  }
  const check_note note = {cafe_text("far"), 1};
  static const struct {
    uint64_t expected;
    bool is_removal;
    cafe_unit_result wanted;
    uint32_t events, rows; /* there afterwards */
  } steps[] = {
      {0, false, CAFE_UNIT_DONE, 1, 1},        {0, false, CAFE_UNIT_ROW_CONFLICT, 1, 1},
      {2, true, CAFE_UNIT_ROW_CONFLICT, 1, 1}, {1, false, CAFE_UNIT_DONE, 2, 1},
      {2, true, CAFE_UNIT_DONE, 3, 0},
  };
  for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
    check_unit *unit = unit_new(check, key);
    unit_event(check, unit, i == 0 ? 1 : steps[i - 1].events + 1);
    unit_row(check, unit, &check_notes, 0, steps[i].expected, steps[i].is_removal ? NULL : &note);
    unit->rows[0].key = far;
    check_one(check, unit, steps[i].wanted);
    cafe_row_query query = {sizeof(query), &check_notes, NULL, 0, 0, 0, -1, 10};
    const check_found *found = check_rows(check, &query);
    CHECK(check, found->row_count == steps[i].rows && (!found->row_count || found->rows[0].key == far),
          "step %u left %" PRIu32 " rows", i, found->row_count);
    CHECK(check, check_load(check, key)->event_count == steps[i].events, "step %u left its event, or not", i);
  }
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
    {"rows_that_lie_anywhere_ride_in_units_of_other_partitions",
     rows_that_lie_anywhere_ride_in_units_of_other_partitions, false, false},
    {NULL, NULL, false, false},
};
