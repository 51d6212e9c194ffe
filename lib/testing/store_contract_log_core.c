/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tier core: the log, and what belongs to one key, read when nothing is being written. Readers follow the log by
 * positions alone, so a piece that ends too early or too late would be an event that nobody ever sees.
 */
#include <inttypes.h>
#include <string.h>

#include "base/sized.h"
#include "testing/store_checks.h"

static void append(store_check *check, uint64_t key, const char *aggregate, uint64_t version, const char *type) {
  check_unit *unit = unit_new(check, key);
  unit_append(check, unit, aggregate, version, type, check_text(check, "%s v%" PRIu64, aggregate, version));
  check_one(check, unit, CAFE_UNIT_DONE);
}

static void load_gives_events_in_the_order_of_positions(store_check *check) {
  check_begin(check);
  uint64_t key = check_new_key(check), other = check_new_key(check);
  static const char *const order[] = {"pot", "cup", "cup", "jug", "pot", "cup", "pot"};
  uint64_t versions[3] = {0, 0, 0};
  for (unsigned i = 0; i < 7; i++) {
    append(check, key, order[i], ++versions[order[i][0] == 'p' ? 0 : order[i][0] == 'c' ? 1 : 2], "Moved");
    append(check, other, "cup", i + 1, "Moved");
  }
  const check_found *found = check_load(check, key);
  CHECK(check, found->event_count == 7, "load gave %" PRIu32 " events instead of 7", found->event_count);
  for (uint32_t i = 0; i < 7; i++) {
    CHECK(check, strcmp(found->events[i].aggregate, order[i]) == 0, "event %" PRIu32 " is of %s instead of %s", i,
          found->events[i].aggregate, order[i]);
    CHECK(check, i == 0 || found->events[i].n > found->events[i - 1].n, "positions don't rise");
  }
  found = check_load(check, check_new_key(check));
  CHECK(check, found->event_count == 0 && found->row_count == 0, "a key that never was has something");
}

static void load_gives_the_rows_of_loaded_tables(store_check *check) {
  check_begin(check);
  uint64_t key = check_new_key(check);
  const check_note note = {cafe_text("note"), 1};
  for (uint64_t i = 0; i < 3; i++) {
    uint64_t of = i == 1 ? key : check_neighbour(key + i);
    check_unit *unit = unit_new(check, of);
    unit_line(check, unit, 5, 0, 1);
    unit_line(check, unit, 300, 0, 2);
    unit_line(check, unit, 2, 0, 3);
    unit_row(check, unit, &check_notes, 0, 0, &note);
    check_one(check, unit, CAFE_UNIT_DONE);
  }
  const check_found *found = check_load(check, key);
  CHECK(check, found->row_count == 3, "load gave %" PRIu32 " rows instead of 3", found->row_count);
  unsigned seen = 0;
  for (uint32_t i = 0; i < 3; i++) {
    const check_row *row = &found->rows[i];
    CHECK(check, row->table == &check_lines && row->key == key && row->version == 1, "load gave a row of %s %" PRIu64,
          row->table->name, row->key);
    seen |= row->sub == 2 ? 1u : row->sub == 5 ? 2u : row->sub == 300 ? 4u : 8u;
  }
  CHECK(check, seen == 7, "load gave other rows than those of the key");
}

/* 30 events of three types over four keys. */
static void write_log(store_check *check) {
  static const char *const types[] = {"Even", "Odd", "Rare"};
  uint64_t keys[4], versions[4] = {0, 0, 0, 0};
  for (unsigned i = 0; i < 4; i++) {
    keys[i] = check_new_key(check);
  }
  for (unsigned i = 1; i <= 30;) {
    check_unit *unit = unit_new(check, keys[i % 4]);
    for (unsigned k = 0; k < 1 + unit->unit.key % 3 && i <= 30; k++, i++) {
      unsigned at = (unsigned)(unit->unit.key == keys[0]   ? 0
                               : unit->unit.key == keys[1] ? 1
                               : unit->unit.key == keys[2] ? 2
                                                           : 3);
      unit_append(check, unit, "cup", ++versions[at], i % 10 == 0 ? types[2] : types[i % 2], cafe_text("x"));
    }
    check_one(check, unit, CAFE_UNIT_DONE);
  }
}

static void the_log_is_read_in_pieces_of_any_size(store_check *check) {
  check_begin(check);
  CHECK(check, check_log(check, 0, NULL, 5)->event_count == 0, "a new store has events");
  write_log(check);
  for (uint32_t limit = 1; limit <= 32; limit++) {
    const check_found *found = check_log(check, 0, NULL, limit);
    CHECK(check, found->event_count == 30, "in pieces of %" PRIu32 " there are %" PRIu32 " events instead of 30", limit,
          found->event_count);
  }
  for (uint64_t after = 0; after <= 30; after++) {
    cafe_log_query query = {sizeof(query), 0, after, 100, NULL, 0, 0};
    check_found *found = found_new(check);
    CHECK_OK(check, check->store->ops->read_log(check->store, &query, check_event_sink, found, &check->err));
    CHECK(check, found->event_count == 30 - after && query.head == 30 && query.scanned == 30,
          "after %" PRIu64 " there are %" PRIu32 " events, scanned %" PRIu64 ", head %" PRIu64, after,
          found->event_count, query.scanned, query.head);
    CHECK(check, after == 30 || found->events[0].n == after + 1, "after %" PRIu64 " comes %" PRIu64, after,
          found->events[0].n);
  }
}

static void the_log_is_filtered_by_type(store_check *check) {
  check_begin(check);
  write_log(check);
  static const char *const rare[] = {"Rare", NULL}, *const both[] = {"Rare", "NeverHeardOf", "Odd", NULL},
                           *const none[] = {NULL}, *const unknown[] = {"rare", "NeverHeardOf", NULL},
                           *const all[] = {"Even", "Odd", "Rare", NULL};
  static const struct {
    const char *const *types;
    uint32_t count;
  } filters[] = {{rare, 3}, {both, 18}, {none, 0}, {unknown, 0}, {all, 30}};
  for (unsigned i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
    for (uint32_t limit = 1; limit <= 31; limit += 5) {
      const check_found *found = check_log(check, 0, filters[i].types, limit);
      CHECK(check, found->event_count == filters[i].count,
            "filter %u in pieces of %" PRIu32 " finds %" PRIu32 " events instead of %" PRIu32, i, limit,
            found->event_count, filters[i].count);
    }
  }
}

/* What was scanned is where the next read goes on: not beyond a wanted event that the limit kept back. */
static void scanned_never_passes_an_event_that_was_kept_back(store_check *check) {
  check_begin(check);
  write_log(check);
  static const char *const rare[] = {"Rare", NULL};
  for (uint64_t after = 0; after < 30; after++) {
    cafe_log_query query = {sizeof(query), 0, after, 1, rare, 0, 0};
    check_found *found = found_new(check);
    CHECK_OK(check, check->store->ops->read_log(check->store, &query, check_event_sink, found, &check->err));
    uint64_t first = (after / 10 + 1) * 10, second = first + 10;
    CHECK(check, found->event_count <= 1 && (found->event_count == 0 || found->events[0].n == first),
          "after %" PRIu64 " the first wanted event isn't %" PRIu64, after, first);
    CHECK(check, found->event_count == 1 ? query.scanned >= first && query.scanned < second : query.scanned < first,
          "after %" PRIu64 " with limit 1 scanned is %" PRIu64, after, query.scanned);
  }
}

static void beyond_the_head_is_refused(store_check *check) {
  check_begin(check);
  write_log(check);
  static const uint64_t beyond[] = {31, 32, 1000, UINT64_C(1) << 32, CAFE_KEY_MAX};
  for (unsigned i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
    cafe_log_query query = {sizeof(query), 0, beyond[i], 10, NULL, 0, 0};
    check_found *found = found_new(check);
    CHECK_CODE(check, check->store->ops->read_log(check->store, &query, check_event_sink, found, &check->err),
               CAFE_INVALID);
    CHECK(check, found->event_count == 0, "a refused read gave events");
  }
}

static void large_and_empty_events_come_back_as_they_were(store_check *check) {
  static const size_t sizes[] = {0, 1, 127, 128, 255, 256, 4095, 65535, 65536, 65537, 1 << 20};
  enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
  check_begin(check);
  uint64_t key = check_new_key(check);
  check_unit *unit = unit_new(check, key);
  for (unsigned i = 0; i < SIZES; i++) {
    unit_append(check, unit, "cup", i + 1, "Filled", check_bytes(check, sizes[i], i));
    unit->events[i].trace = i % 2 ? (cafe_slice){NULL, 0} : check_bytes(check, (size_t)i * 11, i);
    unit->events[i].meta = i % 3 ? (cafe_slice){NULL, 0} : check_bytes(check, sizes[SIZES - 1 - i], i);
  }
  check_one(check, unit, CAFE_UNIT_DONE);
  check_restart(check, CAFE_STORE_CLOSED, 0);
  const check_found *loaded = check_load(check, key), *read = check_log(check, 0, NULL, 3);
  CHECK(check, loaded->event_count == SIZES && read->event_count == SIZES, "some events are missing");
  for (unsigned i = 0; i < SIZES; i++) {
    CHECK(check,
          cafe_slice_equal(loaded->events[i].data, unit->events[i].data) &&
              cafe_slice_equal(read->events[i].data, unit->events[i].data),
          "an event of %zu bytes came back with other data", sizes[i]);
    CHECK(check,
          cafe_slice_equal(loaded->events[i].trace, unit->events[i].trace) &&
              cafe_slice_equal(read->events[i].trace, unit->events[i].trace),
          "an event came back with another trace");
    CHECK(check,
          cafe_slice_equal(loaded->events[i].meta, unit->events[i].meta) &&
              cafe_slice_equal(read->events[i].meta, unit->events[i].meta),
          "an event came back with another meta");
  }
}

/* A sink that wants the rows of each event's key. */
typedef struct wanting {
  check_found *found;
  cafe_change_query *query;
  uint64_t keys[64];
} wanting;

static int want_rows(const cafe_stored_event *event, void *user) {
  wanting *self = user;
  uint32_t at = 0;
  while (at < self->query->key_count && self->keys[at] < event->key) {
    at++;
  }
  if (at == self->query->key_count || self->keys[at] != event->key) {
    memmove(&self->keys[at + 1], &self->keys[at], (self->query->key_count++ - at) * sizeof(self->keys[0]));
    self->keys[at] = event->key;
  }
  self->query->keys = self->keys;
  return check_event_sink(event, self->found);
}

static int see_wanted_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                          void *user) {
  return check_row_sink(table, key, sub, version, data, ((wanting *)user)->found);
}

static const check_found *read_changes(store_check *check, cafe_log_query *log, uint64_t until, int wanted) {
  cafe_change_query query = {sizeof(query), log, until, &check_lines, NULL, 0};
  wanting self = {.found = found_new(check), .query = &query};
  int code = check->store->ops->read_changes(check->store, &query, want_rows, see_wanted_row, &self, &check->err);
  check_code(check, __LINE__, "read_changes", code, wanted);
  return self.found;
}

/* Where a store has the method; the node does without. */
static void changes_are_events_and_the_rows_of_their_keys(store_check *check) {
  static const char *const rare[] = {"Rare", NULL};
  check_begin(check);
  if (!SIZED_HAS(check->store->ops, read_changes)) {
    return;
  }
  uint64_t keys[3] = {check_new_key(check), check_new_key(check), check_new_key(check)};
  for (unsigned i = 0; i < 9; i++) {
    check_unit *unit = unit_new(check, keys[2 - i % 3]);
    unit_append(check, unit, "cup", i / 3 + 1, i == 4 ? "Rare" : "Filled", cafe_text("x"));
    for (uint64_t sub = 2; sub > 0 && i % 3 != 1; sub--) {
      unit_line(check, unit, sub, i / 3, i);
    }
    check_one(check, unit, CAFE_UNIT_DONE);
  }
  for (uint64_t after = 0; after <= 9; after++) {
    for (uint64_t until = after; until <= 10; until++) {
      for (uint32_t limit = 1; limit <= 9; limit += 4) {
        cafe_log_query log = {sizeof(log), 0, after, limit, NULL, 0, 0};
        const check_found *found = read_changes(check, &log, until, CAFE_OK);
        uint64_t end = until < 9 ? until : 9, count = end - after < limit ? end - after : limit;
        CHECK(check, found->event_count == count && log.scanned == after + count && log.head == 9 && !found->mixed,
              "from %" PRIu64 " until %" PRIu64 ", %" PRIu32 " at most: %" PRIu32 " events, scanned %" PRIu64, after,
              until, limit, found->event_count, log.scanned);
        uint32_t rows = count >= 3 ? 4 : 0; /* the key in the middle has none */
        for (uint64_t i = 0; i < count && count < 3; i++) {
          rows += (after + i) % 3 != 1 ? 2 : 0;
        }
        CHECK(check, found->row_count == rows, "there are %" PRIu32 " rows instead of %" PRIu32, found->row_count,
              rows);
        for (uint32_t i = 0; i < rows; i++) {
          CHECK(check, found->rows[i].version == 3 && found->rows[i].sub == i % 2 + 1, "a row isn't as it is now");
          CHECK(check, i < 2 || found->rows[i].key > found->rows[i - 2].key, "rows aren't in the order of their keys");
        }
      }
    }
  }
  cafe_log_query log = {sizeof(log), 0, 0, 10, rare, 0, 0};
  const check_found *found = read_changes(check, &log, 4, CAFE_OK);
  CHECK(check, found->event_count == 0 && log.scanned == 4, "an event behind `until` was read");
  log.after = 10;
  found = read_changes(check, &log, 20, CAFE_INVALID);
  CHECK(check, found->event_count == 0, "a refused read gave events");
}

/* Where signed and unsigned, 7, 31, 32 and 53 bits, and doubles end. */
static const uint64_t odd_keys[] = {1,
                                    2,
                                    127,
                                    128,
                                    255,
                                    256,
                                    32767,
                                    32768,
                                    (UINT64_C(1) << 31) - 1,
                                    UINT64_C(1) << 31,
                                    (UINT64_C(1) << 31) + 1,
                                    (UINT64_C(1) << 32) - 1,
                                    UINT64_C(1) << 32,
                                    (UINT64_C(1) << 32) + 1,
                                    CAFE_KEY_MAX - 1,
                                    CAFE_KEY_MAX};
enum { ODD_KEYS = sizeof(odd_keys) / sizeof(odd_keys[0]) };

static void keys_of_any_size_are_kept_apart(store_check *check) {
  check_begin(check);
  uint32_t shards = check->info.shards;
  for (unsigned i = 0; i < ODD_KEYS; i++) {
    uint64_t key = odd_keys[(i * 5) % ODD_KEYS];
    check_unit *unit = unit_new(check, key);
    unit_event(check, unit, 1);
    unit_line(check, unit, key, 0, i);
    check_line *line = check_alloc(check, sizeof(*line));
    line->count = key;
    unit_row(check, unit, &check_lines, CAFE_KEY_MAX - key, 0, line);
    unit_key(check, unit, CAFE_KEY_CLAIM, check_text(check, "%" PRIu64, key), cafe_text("p"), (cafe_slice){NULL, 0});
    unit_checkpoint(check, unit, "check-a", (int32_t)i, 0, key);
    check_one(check, unit, CAFE_UNIT_DONE);
    CHECK(check, unit->events[0].shard == cafe_partition(key) % shards, "key %" PRIu64 " went to shard %" PRIu32, key,
          unit->events[0].shard);
  }
  check_restart(check, CAFE_STORE_CLOSED, 0);
  for (unsigned i = 0; i < ODD_KEYS; i++) {
    uint64_t key = odd_keys[i];
    const check_found *found = check_load(check, key);
    CHECK(check, found->event_count == 1 && found->events[0].key == key, "key %" PRIu64 " lost its event", key);
    CHECK(check, found->row_count == 2, "key %" PRIu64 " has %" PRIu32 " rows instead of 2", key, found->row_count);
    for (unsigned k = 0; k < 2; k++) {
      const check_row *row = &found->rows[k];
      const check_line *line = row->data;
      CHECK(check, row->key == key && (row->sub == key || (row->sub == CAFE_KEY_MAX - key && line->count == key)),
            "key %" PRIu64 " has a row %" PRIu64 ".%" PRIu64, key, row->key, row->sub);
    }
    cafe_key_record record = check_key(check, check_text(check, "%" PRIu64, key), cafe_text("p"));
    CHECK(check, record.found && record.stream_key == key, "a client key of %" PRIu64 " names %" PRIu64, key,
          record.stream_key);
  }
  cafe_row_query query = {sizeof(query), &check_lines, NULL, 0, 0, 0, -1, 1000};
  const check_found *rows = check_rows(check, &query);
  CHECK(check, rows->row_count == ODD_KEYS * 2, "there are %" PRIu32 " rows instead of %d", rows->row_count,
        ODD_KEYS * 2);
  for (uint32_t i = 0; i < rows->row_count; i++) {
    CHECK(check, rows->rows[i].key == odd_keys[i / 2], "the list has %" PRIu64 " where %" PRIu64 " belongs",
          rows->rows[i].key, odd_keys[i / 2]);
  }
  const check_found *checkpoints = check_checkpoints(check, "check-a");
  CHECK(check, checkpoints->checkpoint_count == ODD_KEYS, "some checkpoints are missing");
  for (unsigned i = 0; i < ODD_KEYS; i++) {
    unsigned partition = (unsigned)checkpoints->checkpoints[i].partition;
    CHECK(check, checkpoints->checkpoints[i].n == odd_keys[(partition * 5) % ODD_KEYS], "a checkpoint has another n");
  }
}

static void a_sink_ends_its_read(store_check *check) {
  check_begin(check);
  uint64_t key = check_new_key(check);
  check_unit *unit = unit_new(check, key);
  for (unsigned i = 1; i <= 3; i++) {
    unit_event(check, unit, i);
    unit_line(check, unit, i, 0, i);
    unit_checkpoint(check, unit, "check-a", (int32_t)i, 0, i);
  }
  check_one(check, unit, CAFE_UNIT_DONE);
  cafe_slice before = check_dump(check);
  const cafe_store_ops *ops = check->store->ops;
  for (int stop = 1; stop <= 6; stop++) {
    check_found found = {.check = check, .stop_after = stop, .stop_code = CAFE_CANCELED};
    int code = ops->load(check->store, key, check_event_sink, check_row_sink, &found, &check->err);
    CHECK(check, code == CAFE_CANCELED && found.event_count + found.row_count == (uint32_t)stop,
          "load returned %s after thing %d, and gave %" PRIu32, cafe_code_name(code), stop,
          found.event_count + found.row_count);
  }
  for (int stop = 1; stop <= 3; stop++) {
    check_found events = {.check = check, .stop_after = stop, .stop_code = CAFE_OVERLOADED};
    cafe_log_query log = {sizeof(log), 0, 0, 10, NULL, 0, 0};
    int code = ops->read_log(check->store, &log, check_event_sink, &events, &check->err);
    CHECK(check, code == CAFE_OVERLOADED && events.event_count == (uint32_t)stop, "read_log went on after its sink");

    for (int order_by = -1; order_by <= LINE_TEXT; order_by += 2) {
      check_found rows = {.check = check, .stop_after = stop, .stop_code = CAFE_CONFLICT};
      cafe_row_query query = {sizeof(query), &check_lines, NULL, 0, 0, 0, order_by, 10};
      code = ops->read_rows(check->store, &query, check_row_sink, &rows, &check->err);
      CHECK(check, code == CAFE_CONFLICT && rows.row_count == (uint32_t)stop, "read_rows went on after its sink");
    }
    check_found checkpoints = {.check = check, .stop_after = stop, .stop_code = CAFE_NOMEM};
    code = ops->read_checkpoints(check->store, "check-a", check_checkpoint_sink, &checkpoints, &check->err);
    CHECK(check, code == CAFE_NOMEM && checkpoints.checkpoint_count == (uint32_t)stop,
          "read_checkpoints went on after its sink");
  }
  cafe_err_clear(&check->err);
  CHECK_SAME(check, before, check_dump(check), "a read that was ended changed something");
  unit = unit_new(check, key);
  unit_event(check, unit, 4);
  check_one(check, unit, CAFE_UNIT_DONE);
}

const store_check_entry store_checks_log[] = {
    {"load_gives_events_in_the_order_of_positions", load_gives_events_in_the_order_of_positions, false, false},
    {"load_gives_the_rows_of_loaded_tables", load_gives_the_rows_of_loaded_tables, false, false},
    {"the_log_is_read_in_pieces_of_any_size", the_log_is_read_in_pieces_of_any_size, false, false},
    {"the_log_is_filtered_by_type", the_log_is_filtered_by_type, false, false},
    {"scanned_never_passes_an_event_that_was_kept_back", scanned_never_passes_an_event_that_was_kept_back, false,
     false},
    {"beyond_the_head_is_refused", beyond_the_head_is_refused, false, false},
    {"large_and_empty_events_come_back_as_they_were", large_and_empty_events_come_back_as_they_were, false, false},
    {"changes_are_events_and_the_rows_of_their_keys", changes_are_events_and_the_rows_of_their_keys, false, false},
    {"keys_of_any_size_are_kept_apart", keys_of_any_size_are_kept_apart, false, false},
    {"a_sink_ends_its_read", a_sink_ends_its_read, false, false},
    {NULL, NULL, false, false},
};
