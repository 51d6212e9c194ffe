/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tier core: writing and reading in turns, and at once. Should a reader ever skip an event, nobody would notice; so
 * each order in which two writers and a reader can take turns is tried, and then two lanes are left to the machine's
 * orders.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "testing/store_checks.h"

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
    cafe_store_info info = CAFE_STORE_INFO_INIT;
    CHECK_OK(check, check->contract->rival(&check->rival, check->contract->user, &check->err));
    CHECK_OK(check, check->rival->ops->open(check->rival, &info, &check_setup, &check->err));
    CHECK(check, info.log_id == check->info.log_id, "two stores on the same data have different log ids");
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
  const cafe_row_write row = {
      .table = &check_lines, .key = lane->key, .sub = 1, .expected = version - 1, .data = &line};
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

const store_check_entry store_checks_turns[] = {
    {"no_order_of_two_writers_and_a_reader_skips_an_event", no_order_of_two_writers_and_a_reader_skips_an_event, false,
     false},
    {"reads_beside_a_commit_see_whole_units", reads_beside_a_commit_see_whole_units, false, true},
    {NULL, NULL, false, false},
};
