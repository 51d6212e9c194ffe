/* SPDX-License-Identifier: Apache-2.0 */

/* What the SQLite store writes by statements of its own choice: several events at once, and updates that leave indexed
 * columns alone. Neither may show. */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/store/sqlite.h"
#include "cafe/sys/store.h"
#include "sqlite_file.h"

static const char path[] = "batches.db";

typedef struct guest {
  cafe_slice town; /* indexed */
  int64_t age;
} guest;

static const cafe_field guest_fields[] = {CAFE_FIELD_OF(1, TEXT, guest, town), CAFE_FIELD_OF(2, I64, guest, age)};
static const cafe_schema guest_type = CAFE_SCHEMA_OF("Guest", guest, guest_fields);
static const char *const guest_indexes[] = {"town", NULL};
static const cafe_table guests = {"guests", "guest_id", NULL, &guest_type, guest_indexes, false};
static const cafe_table *const tables[] = {&guests, NULL};
static const cafe_store_setup setup = {sizeof(setup), "test", tables};

typedef struct fixture {
  cafe_store *store;
  cafe_arena *arena;
} fixture;

static void open_store(fixture *f) {
  cafe_err err;
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  if (cafe_sqlite_create(&f->store, path, NULL, &err) || f->store->ops->open(f->store, &info, &setup, &err)) {
    fail_msg("%s", err.text);
  }
}

static int set_up(void **state) {
  static fixture f;
  sqlite_file_remove(path);
  f.arena = cafe_arena_create(NULL);
  open_store(&f);
  *state = &f;
  return 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  cafe_store_destroy(f->store);
  cafe_arena_destroy(f->arena);
  sqlite_file_remove(path);
  return 0;
}

static void commit(fixture *f, cafe_unit **units, uint32_t count) {
  cafe_batch batch = {sizeof(batch), units, count, f->arena};
  cafe_err err;
  if (f->store->ops->commit(f->store, &batch, &err)) {
    fail_msg("%s", err.text);
  }
}

/* ---- rows ---- */

static void put_guest(fixture *f, uint64_t key, uint64_t expected, const char *town, int64_t age) {
  guest row = {cafe_text(town), age};
  cafe_row_write write = {.table = &guests, .key = key, .expected = expected, .data = &row};
  cafe_unit unit = {.size = sizeof(unit), .key = key, .rows = &write, .row_count = 1};
  commit(f, (cafe_unit *[]){&unit}, 1);
  assert_int_equal(unit.result, CAFE_UNIT_DONE);
}

typedef struct found {
  uint32_t count;
  int64_t age;
} found;

static int see_guest(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                     void *user) {
  found *f = user;
  f->count++;
  f->age = ((const guest *)data)->age;
  return CAFE_OK;
}

static found find(fixture *f, const char *town) {
  cafe_condition lives_there = {.column = 0, .value = {&guest_fields[0], 0, cafe_text(town)}};
  cafe_row_query query = {.size = sizeof(query),
                          .table = &guests,
                          .conditions = &lives_there,
                          .condition_count = 1,
                          .order_by = -1,
                          .limit = 10};
  found seen = {0, 0};
  cafe_err err;
  assert_int_equal(f->store->ops->read_rows(f->store, &query, see_guest, &seen, &err), CAFE_OK);
  return seen;
}

static void assert_file_is_whole(void) {
  sqlite3 *db = NULL;
  sqlite3_stmt *check = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &check, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(check), SQLITE_ROW);
  assert_string_equal((const char *)sqlite3_column_text(check, 0), "ok");
  sqlite3_finalize(check);
  sqlite3_close(db);
}

static void a_row_is_found_by_its_indexed_column_however_often_that_moves(void **state) {
  fixture *f = *state;
  static const char *const towns[] = {"Seoul", "Busan"};
  uint64_t version = 0;
  uint32_t at = 0;
  put_guest(f, 7, version++, towns[at], 0);
  /* Runs of updates that keep the town, one longer than the last, so that each way meets the other at every length. */
  for (int64_t stays = 0; stays < 20; stays++) {
    for (int64_t i = 0; i <= stays; i++) {
      put_guest(f, 7, version, towns[at], (int64_t)version);
      found here = find(f, towns[at]);
      assert_int_equal(here.count, 1);
      assert_int_equal(here.age, version);
      assert_int_equal(find(f, towns[1 - at]).count, 0);
      version++;
    }
    at = 1 - at;
  }
  assert_file_is_whole();
}

static void an_update_of_another_version_conflicts_and_changes_nothing(void **state) {
  fixture *f = *state;
  put_guest(f, 7, 0, "Seoul", 1);
  guest row = {cafe_text("Seoul"), 2};
  cafe_row_write write = {.table = &guests, .key = 7, .expected = 5, .data = &row};
  cafe_unit unit = {.size = sizeof(unit), .key = 7, .rows = &write, .row_count = 1};
  commit(f, (cafe_unit *[]){&unit}, 1);
  assert_int_equal(unit.result, CAFE_UNIT_ROW_CONFLICT);
  assert_int_equal(find(f, "Seoul").age, 1);
}

/* ---- events ---- */

enum { EVENTS_MAX = 40 };

static cafe_unit unit_of_events(cafe_stored_event *events, uint64_t key, uint64_t first_version, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    events[i] = (cafe_stored_event){.aggregate = "order",
                                    .type = "Ordered",
                                    .key = key,
                                    .version = first_version + i,
                                    .time_ms = 1000 + (int64_t)i,
                                    .data = cafe_text("data")};
  }
  return (cafe_unit){.size = sizeof(cafe_unit), .key = key, .events = events, .event_count = count};
}

typedef struct log_seen {
  uint64_t n;
  uint64_t key;
  uint64_t version;
} log_seen;

static int see_event(const cafe_stored_event *event, void *user) {
  log_seen *seen = user;
  if (event->n != seen->n + 1) {
    return CAFE_CORRUPT;
  }
  seen->version = event->key == seen->key ? seen->version + 1 : 1;
  seen->key = event->key;
  seen->n = event->n;
  return event->version == seen->version && event->data.size == 4 ? CAFE_OK : CAFE_CORRUPT;
}

static uint64_t read_log(fixture *f) {
  cafe_log_query query = {.size = sizeof(query), .limit = UINT32_MAX};
  log_seen seen = {0, 0, 0};
  cafe_err err;
  assert_int_equal(f->store->ops->read_log(f->store, &query, see_event, &seen, &err), CAFE_OK);
  return seen.n;
}

static void events_keep_their_order_however_many_a_batch_has(void **state) {
  fixture *f = *state;
  cafe_stored_event events[EVENTS_MAX];
  uint64_t written = 0;
  for (uint32_t count = 1; count <= EVENTS_MAX; count++) {
    cafe_unit unit = unit_of_events(events, count, 1, count);
    commit(f, (cafe_unit *[]){&unit}, 1);
    assert_int_equal(unit.result, CAFE_UNIT_DONE);
    for (uint32_t i = 0; i < count; i++) {
      assert_int_equal(events[i].n, ++written);
    }
    assert_int_equal(read_log(f), written);
  }
}

/* A store that was opened anew knows no stream, and takes "this is the first event" at its word until the write fails:
 * at any place among others that are written with it. */
static void a_stream_that_is_there_conflicts_alone_wherever_its_events_stand(void **state) {
  fixture *f = *state;
  cafe_stored_event before[EVENTS_MAX], wrong[EVENTS_MAX], after[EVENTS_MAX];
  cafe_unit first = unit_of_events(before, 1000, 1, 3);
  commit(f, (cafe_unit *[]){&first}, 1);
  for (uint32_t count = 1; count < 20; count++) {
    cafe_store_destroy(f->store);
    open_store(f);
    cafe_unit units[] = {unit_of_events(before, 2 * count, 1, count), unit_of_events(wrong, 1000, 1, 2),
                         unit_of_events(after, 2 * count + 1, 1, 20 - count)};
    uint64_t head = read_log(f);
    commit(f, (cafe_unit *[]){&units[0], &units[1], &units[2]}, 3);
    assert_int_equal(units[0].result, CAFE_UNIT_DONE);
    assert_int_equal(units[1].result, CAFE_UNIT_STREAM_CONFLICT);
    assert_int_equal(units[2].result, CAFE_UNIT_DONE);
    assert_int_equal(read_log(f), head + 20);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_row_is_found_by_its_indexed_column_however_often_that_moves, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_update_of_another_version_conflicts_and_changes_nothing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(events_keep_their_order_however_many_a_batch_has, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_stream_that_is_there_conflicts_alone_wherever_its_events_stand, set_up,
                                      tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
