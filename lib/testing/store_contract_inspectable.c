/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tier inspectable: tables are real ones, with a column for each field, and every SQL client reads them while the store
 * is open. What an operator types in an emergency is a promise too: names of tables and columns, text as text, an ENUM
 * as its name, and only what is committed.
 */
#include <inttypes.h>
#include <string.h>

#include "testing/store_checks.h"

/* What a query found, a line for each row: name=value, joined by spaces. */
typedef struct answer {
  char text[2048];
  size_t used;
  bool is_whole;
} answer;

static void add(answer *out, const char *text) {
  size_t size = strlen(text);
  if (sizeof(out->text) - out->used <= size) {
    out->is_whole = false;
    return;
  }
  memcpy(out->text + out->used, text, size + 1);
  out->used += size;
}

static int on_row(uint32_t columns, const char *const *names, const char *const *values, void *user) {
  answer *out = user;
  for (uint32_t i = 0; i < columns; i++) {
    add(out, names[i]);
    add(out, "=");
    add(out, values[i] ? values[i] : "NULL");
    add(out, i + 1 < columns ? " " : "\n");
  }
  return CAFE_OK;
}

/* The query's answer has to be this. */
static void expect(store_check *check, int line, const char *sql, cafe_slice wanted) {
  answer out = {.is_whole = true};
  check->where = sql;
  int code = check->contract->query(sql, on_row, &out, check->contract->user, &check->err);
  check_code(check, line, "query", code, CAFE_OK);
  if (!out.is_whole || !cafe_slice_equal(cafe_text(out.text), wanted)) {
    check_fail(check, line, "the answer is \"%.400s\" instead of \"%.*s\"", out.text, (int)wanted.size,
               wanted.size ? wanted.data : "");
  }
  check->where = NULL;
}

#define EXPECT(check, sql, ...) expect((check), __LINE__, (sql), check_text((check), __VA_ARGS__))

static uint64_t prepare(store_check *check) {
  check_begin(check);
  uint64_t key = check_new_key(check);
  check_unit *unit = unit_new(check, key);
  unit_event(check, unit, 1);
  unit_append(check, unit, "pot", 1, "Brewed", (cafe_slice){"\x00\x01\xff", 3});
  unit->events[1].trace = (cafe_slice){NULL, 0};
  unit->events[1].meta = (cafe_slice){"\xfe", 1};
  unit_line(check, unit, 4, 0, 5);
  unit_row(check, unit, &check_notes, 0, 0, &(check_note){cafe_text("it's \"quoted\"; caf\xc3\xa9"), -12});
  unit_key(check, unit, CAFE_KEY_BOTH, cafe_text("k-1"), cafe_text("\x02\x03"), cafe_text("\xab"));
  unit_checkpoint(check, unit, "check-a", 3, 0, 12);
  unit_checkpoint(check, unit, "check-b", -1, 0, 7);
  check_one(check, unit, CAFE_UNIT_DONE);
  return key;
}

static void events_are_a_table(store_check *check) {
  uint64_t key = prepare(check);
  EXPECT(check, "SELECT aggregate, version, type, time_ms, trace FROM events ORDER BY position",
         "aggregate=cup version=1 type=CupFilled time_ms=1700000000001 "
         "trace=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n"
         "aggregate=pot version=1 type=Brewed time_ms=1700000000001 trace=NULL\n");
  EXPECT(check, "SELECT position, \"key\", data, meta FROM events WHERE type = 'Brewed'",
         "position=2 key=%" PRIu64 " data=0001ff meta=fe\n", key);
  EXPECT(check, "SELECT position, meta FROM events WHERE type = 'CupFilled'", "position=1 meta=NULL\n");
}

static void rows_have_a_column_for_each_field(store_check *check) {
  uint64_t key = prepare(check);
  EXPECT(check, "SELECT order_id, line, row_version, number, count, state, text, at_ms FROM check_lines",
         "order_id=%" PRIu64 " line=4 row_version=1 number=2 count=5 state=Done text=line 5 at_ms=1700000000005\n",
         key);
  const check_line *line = check_line_of(check, 5);
  char hex[16] = "";
  for (size_t i = 0; i < line->blob.size; i++) {
    static const char digits[] = "0123456789abcdef";
    hex[2 * i] = digits[(unsigned char)line->blob.data[i] >> 4];
    hex[2 * i + 1] = digits[(unsigned char)line->blob.data[i] & 15];
  }
  EXPECT(check, "SELECT blob FROM check_lines", "blob=%s\n", hex);
  EXPECT(check, "SELECT note_id, number, text FROM check_notes",
         "note_id=%" PRIu64 " number=-12 text=it's \"quoted\"; caf\xc3\xa9\n", key);
  EXPECT(check, "SELECT number FROM check_lines WHERE flag = 1", "number=2\n");
}

static void empty_values_are_not_null(store_check *check) {
  check_begin(check);
  check_unit *unit = unit_new(check, check_new_key(check));
  check_line line = {.number = 0};
  unit_row(check, unit, &check_lines, 1, 0, &line);
  check_one(check, unit, CAFE_UNIT_DONE);
  EXPECT(check, "SELECT number, count, state, text, blob, at_ms FROM check_lines WHERE flag = 0",
         "number=0 count=0 state=None text= blob= at_ms=0\n");
}

static void keys_and_checkpoints_are_tables(store_check *check) {
  uint64_t key = prepare(check);
  EXPECT(check, "SELECT scope, \"key\", fingerprint, stream_key, reply, time_ms FROM client_keys",
         "scope=PUT /check key=k-1 fingerprint=0203 stream_key=%" PRIu64 " reply=ab time_ms=1700000000000\n", key);
  EXPECT(check, "SELECT subscription, log_id, shard, \"partition\", n FROM checkpoints ORDER BY subscription",
         "subscription=check-a log_id=77 shard=0 partition=3 n=12\n"
         "subscription=check-b log_id=77 shard=0 partition=-1 n=7\n");
}

static void what_is_asked_while_it_writes_is_what_is_committed(store_check *check) {
  uint64_t key = prepare(check);
  for (uint32_t version = 1; version <= 5; version++) {
    EXPECT(check, "SELECT count(*) AS n FROM check_lines", "n=1\n");
    EXPECT(check, "SELECT row_version, number FROM check_lines", "row_version=%" PRIu32 " number=%" PRIu32 "\n",
           version, version + 1);
    check_unit *unit = unit_new(check, key);
    unit_event(check, unit, version + 1);
    unit_line(check, unit, 4, version, 5 + version);
    check_one(check, unit, CAFE_UNIT_DONE);
  }
  check_unit *unit = unit_new(check, key);
  unit_event(check, unit, 9);
  check_one(check, unit, CAFE_UNIT_STREAM_CONFLICT);
  EXPECT(check, "SELECT max(version) AS v FROM events WHERE aggregate = 'cup'", "v=6\n");
}

static void removed_rows_are_gone(store_check *check) {
  uint64_t key = prepare(check);
  check_unit *unit = unit_new(check, key);
  unit_row(check, unit, &check_lines, 4, 1, NULL);
  check_one(check, unit, CAFE_UNIT_DONE);
  EXPECT(check, "SELECT count(*) AS n FROM check_lines", "n=0\n");
}

const store_check_entry store_checks_inspectable[] = {
    {"events_are_a_table", events_are_a_table, false, false},
    {"rows_have_a_column_for_each_field", rows_have_a_column_for_each_field, false, false},
    {"empty_values_are_not_null", empty_values_are_not_null, false, false},
    {"keys_and_checkpoints_are_tables", keys_and_checkpoints_are_tables, false, false},
    {"what_is_asked_while_it_writes_is_what_is_committed", what_is_asked_while_it_writes_is_what_is_committed, false,
     false},
    {"removed_rows_are_gone", removed_rows_are_gone, false, false},
    {NULL, NULL, false, false},
};
