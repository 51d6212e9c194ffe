/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tier core: the log, and what belongs to one key. A reader follows the log by positions alone; should it ever skip an
 * event, nobody would notice, so that is tried in every order in which two writers and a reader can take turns.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

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
    unit->events[i].trace = i % 2 ? (cafe_slice){NULL, 0} : check_bytes(check, i * 11, i);
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
  }
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
  uint32_t shards = check->store->ops->shards;
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

/*
 * Two writers, a reader, every order of their steps. A writer loads the stream, then appends behind what it saw: when
 * the other came between, it conflicts. The reader reads two events at a time. What the log has to be at each moment
 * follows from the order, so each read is compared whole.
 */
enum { WRITER_STEPS = 4, READER_STEPS = 2, STEPS = 2 * WRITER_STEPS + READER_STEPS, READ_LIMIT = 2 };

typedef struct turn_writer {
  cafe_store *store;
  const char *name;
  unsigned steps;
  uint64_t seen; /* version of the shared stream */
  uint64_t own;  /* version of its own stream */
} turn_writer;

typedef struct written {
  const char *aggregate;
  uint64_t version;
} written;

typedef struct turn_play {
  uint64_t key;
  uint64_t start;   /* the head before */
  uint64_t version; /* of the shared stream, by what was done */
  written log[2 * WRITER_STEPS];
  uint32_t log_count;
  uint32_t read_count;
} turn_play;

static void expect_written(turn_play *play, const char *aggregate, uint64_t version) {
  play->log[play->log_count++] = (written){aggregate, version};
}

static void write_step(store_check *check, turn_play *play, turn_writer *writer) {
  cafe_store *first = check->store;
  check->store = writer->store;
  if (writer->steps++ % 2 == 0) {
    const check_found *found = check_load(check, play->key);
    writer->seen = 0;
    for (uint32_t i = 0; i < found->event_count; i++) {
      writer->seen += strcmp(found->events[i].aggregate, "cup") == 0;
    }
  } else {
    /* In one batch: an event of its own stream, and one of the stream that both want. */
    check_unit *units[2] = {unit_new(check, play->key), unit_new(check, play->key)};
    unit_append(check, units[0], writer->name, ++writer->own, "Own", cafe_text(""));
    unit_append(check, units[1], "cup", writer->seen + 1, "Shared", cafe_text(writer->name));
    expect_written(play, writer->name, writer->own);
    bool is_first = writer->seen == play->version;
    if (is_first) {
      expect_written(play, "cup", ++play->version);
    }
    check_commit(check, units,
                 (cafe_unit_result[]){CAFE_UNIT_DONE, is_first ? CAFE_UNIT_DONE : CAFE_UNIT_STREAM_CONFLICT}, 2);
  }
  check->store = first;
}

static void read_step(store_check *check, turn_play *play) {
  check_found *found = found_new(check);
  cafe_log_query query = {sizeof(query), 0, play->start + play->read_count, READ_LIMIT, NULL, 0, 0};
  CHECK_OK(check, check->store->ops->read_log(check->store, &query, check_event_sink, found, &check->err));
  uint32_t left = play->log_count - play->read_count;
  uint32_t wanted = left < READ_LIMIT ? left : READ_LIMIT;
  CHECK(check, found->event_count == wanted && query.head == play->start + play->log_count,
        "the reader got %" PRIu32 " events of a head %" PRIu64 " instead of %" PRIu32 " of %" PRIu64,
        found->event_count, query.head, wanted, play->start + play->log_count);
  for (uint32_t i = 0; i < wanted; i++) {
    const cafe_stored_event *event = &found->events[i];
    const written *expected = &play->log[play->read_count];
    CHECK(check,
          event->n == play->start + play->read_count + 1 && event->version == expected->version &&
              strcmp(event->aggregate, expected->aggregate) == 0,
          "the reader got %s v%" PRIu64 " at %" PRIu64 " where %s v%" PRIu64 " was written", event->aggregate,
          event->version, event->n, expected->aggregate, expected->version);
    play->read_count++;
  }
}

/* `order`: whose turn each step is: '1', '2' for the writers, 'r' for the reader. */
static void play_order(store_check *check, const char *order) {
  check->where = order;
  check_forget(check);
  turn_play play = {.key = check_new_key(check)};
  cafe_log_query query = {sizeof(query), 0, 0, 1, NULL, 0, 0};
  CHECK_OK(check, check->store->ops->read_log(check->store, &query, check_event_sink, found_new(check), &check->err));
  play.start = query.head;
  turn_writer one = {check->store, "one", 0, 0, 0};
  turn_writer two = {check->rival ? check->rival : check->store, "two", 0, 0, 0};
  for (unsigned i = 0; i < STEPS; i++) {
    switch (order[i]) {
    case '1':
      write_step(check, &play, &one);
      break;
    case '2':
      write_step(check, &play, &two);
      break;
    default:
      read_step(check, &play);
      break;
    }
  }
  while (play.read_count < play.log_count) {
    read_step(check, &play);
  }
  read_step(check, &play);
}

static void play_all(store_check *check, char *order, unsigned at, unsigned ones, unsigned twos, unsigned reads) {
  if (at == STEPS) {
    play_order(check, order);
    return;
  }
  if (ones) {
    order[at] = '1';
    play_all(check, order, at + 1, ones - 1, twos, reads);
  }
  if (twos) {
    order[at] = '2';
    play_all(check, order, at + 1, ones, twos - 1, reads);
  }
  if (reads) {
    order[at] = 'r';
    play_all(check, order, at + 1, ones, twos, reads - 1);
  }
}

static void no_order_of_two_writers_and_a_reader_skips_an_event(store_check *check) {
  char order[STEPS + 1] = {0};
  check_begin(check);
  if (check->contract->tiers & CAFE_STORE_SHARED) {
    uint64_t log_id = 0;
    CHECK_OK(check, check->contract->rival(check->contract->user, &check->rival, &check->err));
    CHECK_OK(check, check->rival->ops->open(check->rival, &log_id, &check_setup, &check->err));
    CHECK(check, log_id == check->log_id, "two stores on the same data have different log ids");
  }
  play_all(check, order, 0, WRITER_STEPS, WRITER_STEPS, READER_STEPS);
}

/*
 * The same with the two lanes' real threads: here the orders are the machine's. Each batch has a unit that appends an
 * event and puts its number into a row, so what belongs together can be seen to be together.
 */
enum { BATCHES = 200 };

typedef struct write_thread {
  store_check *check;
  uint64_t key;
  pthread_mutex_t lock;
  uint64_t acknowledged;
  bool ended;
  int code;
  cafe_err err;
} write_thread;

static int write_batch(write_thread *lane, uint64_t version) {
  cafe_arena *arena = cafe_arena_create(NULL);
  char text[32];
  (void)snprintf(text, sizeof(text), "%" PRIu64, version);
  const check_line line = {.number = (int64_t)version, .text = cafe_text(text)};
  const cafe_row_write row = {&check_lines, lane->key, 1, version - 1, &line};
  cafe_stored_event events[2] = {
      {.aggregate = "cup", .type = "Filled", .key = lane->key, .version = version, .data = cafe_text(text)},
      {.aggregate = "pot", .type = "Emptied", .key = lane->key, .version = version, .data = cafe_text(text)}};
  cafe_unit unit = {
      .size = sizeof(unit), .key = lane->key, .events = events, .event_count = 2, .rows = &row, .row_count = 1};
  cafe_unit *units[1] = {&unit};
  cafe_batch batch = {sizeof(batch), units, 1, arena};
  cafe_store *store = lane->check->store;
  int code = arena ? store->ops->commit(store, &batch, &lane->err) : CAFE_NOMEM;
  if (code == CAFE_OK && unit.result != CAFE_UNIT_DONE) {
    code = cafe_fail(&lane->err, CAFE_CONFLICT, "a unit of a single writer conflicted");
  }
  cafe_arena_destroy(arena);
  return code;
}

static void *write_lane(void *user) {
  write_thread *lane = user;
  int code = CAFE_OK;
  for (uint64_t version = 1; version <= BATCHES && code == CAFE_OK; version++) {
    code = write_batch(lane, version);
    (void)pthread_mutex_lock(&lane->lock);
    lane->acknowledged = code == CAFE_OK ? version : lane->acknowledged;
    (void)pthread_mutex_unlock(&lane->lock);
  }
  (void)pthread_mutex_lock(&lane->lock);
  lane->ended = true;
  lane->code = code;
  (void)pthread_mutex_unlock(&lane->lock);
  return NULL;
}

/* What one round of reads saw; looked at once the writer can't be left running. */
typedef struct read_state {
  const char *wrong;
  uint64_t position;
} read_state;

static bool read_round(read_state *round, write_thread *lane, uint64_t acknowledged) {
  store_check *check = lane->check;
  const cafe_store_ops *ops = check->store->ops;
  check_found log = {.check = check}, one = {.check = check}, rows = {.check = check};
  cafe_log_query query = {sizeof(query), 0, round->position, 7, NULL, 0, 0};
  if (ops->read_log(check->store, &query, check_event_sink, &log, &check->err)) {
    round->wrong = check->err.text;
    return false;
  }
  for (uint32_t i = 0; i < log.event_count; i++) {
    if (log.events[i].n != ++round->position || log.events[i].version != (round->position + 1) / 2) {
      round->wrong = "the log has a gap, or events in another order";
    }
  }
  if (query.head % 2 || query.head < acknowledged * 2) {
    round->wrong = "the head is within a unit, or before one that was acknowledged";
  }
  if (ops->load(check->store, lane->key, check_event_sink, check_row_sink, &one, &check->err)) {
    round->wrong = check->err.text;
  } else if (one.event_count < acknowledged * 2 || one.event_count % 2 ||
             (one.event_count > 0) != (one.row_count > 0) ||
             (one.row_count && ((const check_line *)one.rows[0].data)->number != (int64_t)(one.event_count / 2))) {
    round->wrong = "load saw a unit's events without its row, or the other way round";
  }
  cafe_row_query all = {sizeof(all), &check_lines, NULL, 0, 0, 0, -1, 10};
  if (ops->read_rows(check->store, &all, check_row_sink, &rows, &check->err)) {
    round->wrong = check->err.text;
  } else if (rows.row_count && (rows.rows[0].version < one.event_count / 2 ||
                                (int64_t)rows.rows[0].version != ((const check_line *)rows.rows[0].data)->number)) {
    round->wrong = "read_rows saw a row from before, or one half written";
  }
  return !round->wrong;
}

static void reads_beside_a_commit_see_whole_units(store_check *check) {
  check_begin(check);
  CHECK(check, !check->store->ops->is_inline, "the contract says that the store isn't inline, its ops say it is");
  write_thread lane = {.check = check, .key = check_new_key(check)};
  read_state round = {NULL, 0};
  pthread_t thread;
  (void)pthread_mutex_init(&lane.lock, NULL);
  CHECK(check, pthread_create(&thread, NULL, write_lane, &lane) == 0, "the check itself can't make a thread");
  for (bool ended = false, last = false; !last;) {
    (void)pthread_mutex_lock(&lane.lock);
    uint64_t acknowledged = lane.acknowledged;
    last = ended;
    ended = lane.ended;
    (void)pthread_mutex_unlock(&lane.lock);
    if (!read_round(&round, &lane, acknowledged)) {
      break;
    }
  }
  (void)pthread_join(thread, NULL);
  (void)pthread_mutex_destroy(&lane.lock);
  CHECK(check, !round.wrong, "%s", round.wrong);
  CHECK(check, lane.code == CAFE_OK, "commit returned %s: %s", cafe_code_name(lane.code), lane.err.text);
  const check_found *found = check_log(check, 0, NULL, 100);
  CHECK(check, found->event_count == BATCHES * 2, "the log has %" PRIu32 " events instead of %d", found->event_count,
        BATCHES * 2);
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
    {"keys_of_any_size_are_kept_apart", keys_of_any_size_are_kept_apart, false, false},
    {"a_sink_ends_its_read", a_sink_ends_its_read, false, false},
    {"no_order_of_two_writers_and_a_reader_skips_an_event", no_order_of_two_writers_and_a_reader_skips_an_event, false,
     false},
    {"reads_beside_a_commit_see_whole_units", reads_beside_a_commit_see_whole_units, false, true},
    {NULL, NULL, false, false},
};
