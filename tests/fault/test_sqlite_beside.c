/* SPDX-License-Identifier: Apache-2.0 */

/* Other programs on the file while a node has it, a store that knows more than it can keep, and the edges of its
 * numbers. */
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "disk_vfs.h"
#include "sqlite_file.h"
#include "sqlite_kit.h"

static const char path[] = "beside.db";

static int set_up(void **state) {
  sqlite_file_remove(path);
  disk_begin(path);
  return 0;
}

static int tear_down(void **state) {
  disk_end();
  sqlite_file_remove(path);
  return 0;
}

static cafe_store *must_open(void) {
  cafe_err err;
  cafe_store *store;
  if (kit_open(&store, path, DISK_VFS, CAFE_SQLITE_FULL, &err) != CAFE_OK) {
    fail_msg("%s", err.text);
  }
  return store;
}

static void must_commit(cafe_store *store, uint64_t first, uint32_t count) {
  cafe_err err;
  if (kit_commit(store, first, count, 100, &err) != CAFE_OK) {
    fail_msg("%s", err.text);
  }
}

/* A row of the kit's table, as it is written by hand. */
typedef struct thing {
  int64_t number;
  cafe_slice text;
} thing;

static cafe_unit_result put(cafe_store *store, uint64_t key, uint64_t expected, bool removes, int *code) {
  cafe_err err;
  cafe_arena *arena = cafe_arena_create(NULL);
  thing row = {(int64_t)key, cafe_text("by hand")};
  cafe_row_write write = {.table = &kit_table, .key = key, .expected = expected, .data = removes ? NULL : &row};
  cafe_unit unit = {.size = sizeof(unit), .key = key, .rows = &write, .row_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_batch batch = {sizeof(batch), units, 1, arena};
  *code = store->ops->commit(store, &batch, &err);
  cafe_arena_destroy(arena);
  return unit.result;
}

static void expect_put(cafe_store *store, uint64_t key, uint64_t expected, cafe_unit_result wanted) {
  int code;
  cafe_unit_result result = put(store, key, expected, false, &code);
  assert_int_equal(code, CAFE_OK);
  assert_int_equal(result, wanted);
}

static sqlite3 *open_beside(void) {
  sqlite3 *db = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  return db;
}

static void exec(sqlite3 *db, const char *sql) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
    fail_msg("%s: %s", sql, sqlite3_errmsg(db));
  }
}

/* The store believes what it remembers of versions only as long as nobody else has written. */
static void what_another_program_wrote_is_seen(void **state) {
  cafe_store *store = must_open();
  sqlite3 *db = open_beside();
  must_commit(store, 1, 3);
  expect_put(store, 1, 1, CAFE_UNIT_DONE);
  exec(db, "UPDATE things SET row_version = 7 WHERE thing_id = 1");
  expect_put(store, 1, 7, CAFE_UNIT_DONE);
  exec(db, "UPDATE things SET row_version = 20 WHERE thing_id = 1; DELETE FROM things WHERE thing_id = 2");
  expect_put(store, 1, 8, CAFE_UNIT_ROW_CONFLICT);
  expect_put(store, 2, 1, CAFE_UNIT_ROW_CONFLICT);
  expect_put(store, 2, 0, CAFE_UNIT_DONE);
  exec(db, "INSERT INTO things(thing_id, row_version) VALUES(50, 4)");
  expect_put(store, 50, 0, CAFE_UNIT_ROW_CONFLICT);
  expect_put(store, 50, 4, CAFE_UNIT_DONE);
  sqlite3_close(db);
  cafe_store_destroy(store);
  /* Its pages were stamped when the store copied them into the file. */
  store = must_open();
  expect_put(store, 50, 5, CAFE_UNIT_DONE);
  cafe_store_destroy(store);
}

static void a_write_lock_of_another_program_is_told(void **state) {
  cafe_err err;
  cafe_store *store = must_open();
  sqlite3 *db = open_beside();
  must_commit(store, 1, 1);
  exec(db, "BEGIN IMMEDIATE");
  disk_hurry(true);
  assert_int_equal(kit_commit(store, 2, 1, 100, &err), CAFE_UNAVAILABLE);
  assert_non_null(strstr(err.text, "another program"));
  assert_int_equal(err.detail & 0xff, SQLITE_BUSY);
  uint64_t units;
  assert_int_equal(kit_read(store, &units, &err), CAFE_OK);
  assert_int_equal(units, 1);
  exec(db, "ROLLBACK");
  must_commit(store, 2, 1);
  sqlite3_close(db);
  cafe_store_destroy(store);
}

/* The write lane, on a thread of its own: unit 2. */
static void *commit_second(void *user) {
  cafe_err err;
  return kit_commit(user, 2, 1, 100, &err) == CAFE_OK ? user : NULL;
}

static void begin_held_commit(pthread_t *thread, cafe_store *store, uint64_t naps) {
  disk_hurry(true);
  disk_hold(naps);
  assert_int_equal(pthread_create(thread, NULL, commit_second, store), 0);
  assert_true(disk_await_hold());
}

static void end_held_commit(pthread_t thread, cafe_store *store) {
  void *result = NULL;
  disk_hold(0);
  assert_int_equal(pthread_join(thread, &result), 0);
  assert_ptr_equal(result, store);
}

/* On a machine with too much to do the writer may lose the processor while it shows a commit to readers. SQLite looks a
 * hundred times whether it is back. */
static void a_commit_that_is_shown_slowly_is_waited_for(void **state) {
  cafe_err err;
  pthread_t thread;
  uint64_t units;
  cafe_store *store = must_open();
  must_commit(store, 1, 1);
  begin_held_commit(&thread, store, 150);
  if (kit_read(store, &units, &err) != CAFE_OK) {
    fail_msg("%s", err.text);
  }
  assert_int_equal(units, 2);
  end_held_commit(thread, store);
  cafe_store_destroy(store);
}

static void a_commit_that_is_never_shown_is_told(void **state) {
  cafe_err err;
  pthread_t thread;
  uint64_t units;
  cafe_store *store = must_open();
  must_commit(store, 1, 1);
  begin_held_commit(&thread, store, UINT64_MAX);
  assert_int_equal(kit_read(store, &units, &err), CAFE_UNAVAILABLE);
  assert_int_equal(err.detail & 0xff, SQLITE_PROTOCOL);
  assert_non_null(strstr(err.text, "Try again"));
  end_held_commit(thread, store);
  assert_int_equal(kit_read(store, &units, &err), CAFE_OK);
  assert_int_equal(units, 2);
  cafe_store_destroy(store);
}

/* A shell that has been forgotten in the middle of a query keeps the WAL from beginning anew, not the store from
 * working; nor does it keep anything from being found after that. */
static void a_reader_that_never_ends_does_no_harm(void **state) {
  cafe_err err;
  uint64_t units;
  cafe_store *store = must_open();
  must_commit(store, 1, 100);
  sqlite3 *db = open_beside();
  exec(db, "BEGIN; SELECT count(*) FROM events");
  for (unsigned i = 0; i < 20; i++) {
    assert_int_equal(kit_commit(store, 101 + i * 60, 60, 5000, &err), CAFE_OK);
  }
  cafe_store_destroy(store);
  store = must_open();
  assert_int_equal(kit_read(store, &units, &err), CAFE_OK);
  assert_int_equal(units, 1300);
  exec(db, "COMMIT");
  sqlite3_close(db);
  must_commit(store, 1301, 1);
  cafe_store_destroy(store);
  assert_int_equal(kit_read_path(path, &units, &err), CAFE_OK);
  assert_int_equal(units, 1301);
}

static void what_was_forgotten_is_looked_up_again(void **state) {
  enum { BATCH = 500, BATCHES = 60 };
  cafe_err err;
  cafe_store *store = must_open();
  for (uint64_t i = 0; i < BATCHES; i++) {
    must_commit(store, 1 + i * BATCH, BATCH);
  }
  for (uint64_t key = 1; key <= BATCH * BATCHES; key += 997) {
    expect_put(store, key, 0, CAFE_UNIT_ROW_CONFLICT);
    expect_put(store, key, 2, CAFE_UNIT_ROW_CONFLICT);
    expect_put(store, key, 1, CAFE_UNIT_DONE);
    expect_put(store, key, 1, CAFE_UNIT_ROW_CONFLICT);
    /* Its stream is there already. */
    assert_int_equal(kit_commit(store, key, 1, 100, &err), CAFE_CONFLICT);
  }
  cafe_store_destroy(store);
}

/* Of a row that it hasn't met the store believes that it is new, until the write proves it. Here no write does. */
static void a_row_that_comes_and_goes_in_a_batch_is_still_checked(void **state) {
  cafe_err err;
  cafe_store *store = must_open();
  must_commit(store, 1, 2);
  expect_put(store, 1, 1, CAFE_UNIT_DONE);
  cafe_store_destroy(store);
  store = must_open();
  cafe_arena *arena = cafe_arena_create(NULL);
  thing row = {1, cafe_text("new")};
  cafe_row_write writes[] = {{.table = &kit_table, .key = 1, .data = &row},
                             {.table = &kit_table, .key = 1, .expected = 1},
                             {.table = &kit_table, .key = 9, .data = &row},
                             {.table = &kit_table, .key = 9, .expected = 1}};
  const cafe_unit_result wanted[] = {CAFE_UNIT_ROW_CONFLICT, CAFE_UNIT_ROW_CONFLICT, CAFE_UNIT_DONE, CAFE_UNIT_DONE};
  cafe_unit units_of[4];
  cafe_unit *pointers[4];
  for (int i = 0; i < 4; i++) {
    units_of[i] = (cafe_unit){.size = sizeof(cafe_unit), .key = writes[i].key, .rows = &writes[i], .row_count = 1};
    pointers[i] = &units_of[i];
  }
  cafe_batch batch = {sizeof(batch), pointers, 4, arena};
  assert_int_equal(store->ops->commit(store, &batch, &err), CAFE_OK);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(units_of[i].result, wanted[i]);
  }
  cafe_arena_destroy(arena);
  expect_put(store, 1, 2, CAFE_UNIT_DONE);
  expect_put(store, 9, 0, CAFE_UNIT_DONE);
  cafe_store_destroy(store);
}

/* The same for a unit that believed a row to be new, but conflicted on something else, so that no write came of it. */
static void what_a_conflict_believed_is_not_believed_any_more(void **state) {
  cafe_err err;
  cafe_store *store = must_open();
  must_commit(store, 1, 1);
  cafe_store_destroy(store);
  store = must_open();
  cafe_arena *arena = cafe_arena_create(NULL);
  thing row = {1, cafe_text("new")};
  cafe_checkpoint elsewhere = {.subscription = "sub", .log_id = 7, .partition = -1, .expected = 5, .n = 6};
  cafe_row_write first = {.table = &kit_table, .key = 1, .data = &row};
  cafe_row_write second = {.table = &kit_table, .key = 1, .expected = 1, .data = &row};
  cafe_unit units_of[] = {
      {.size = sizeof(cafe_unit),
       .key = 1,
       .rows = &first,
       .row_count = 1,
       .checkpoints = &elsewhere,
       .checkpoint_count = 1},
      {.size = sizeof(cafe_unit), .key = 1, .rows = &second, .row_count = 1},
  };
  cafe_unit *pointers[] = {&units_of[0], &units_of[1]};
  cafe_batch batch = {sizeof(batch), pointers, 2, arena};
  assert_int_equal(store->ops->commit(store, &batch, &err), CAFE_OK);
  assert_int_equal(units_of[0].result, CAFE_UNIT_CHECKPOINT_CONFLICT);
  assert_int_equal(units_of[1].result, CAFE_UNIT_DONE);
  cafe_arena_destroy(arena);
  cafe_store_destroy(store);
}

static void keys_go_up_to_two_to_the_53(void **state) {
  static const uint64_t keys[] = {127, 128, 2147483647, 2147483648u, 4294967296u, CAFE_KEY_MAX};
  int code;
  cafe_store *store = must_open();
  for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
    expect_put(store, keys[i], 0, CAFE_UNIT_DONE);
    expect_put(store, keys[i], 1, CAFE_UNIT_DONE);
  }
  cafe_store_destroy(store);
  store = must_open();
  for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
    expect_put(store, keys[i], 2, CAFE_UNIT_DONE);
  }
  (void)put(store, CAFE_KEY_MAX + 1, 0, false, &code);
  assert_int_equal(code, CAFE_INVALID);
  (void)put(store, 0, 0, false, &code);
  assert_int_equal(code, CAFE_INVALID);
  expect_put(store, 1, 0, CAFE_UNIT_DONE);
  cafe_store_destroy(store);
}

/* The other ways of syncing: a kill loses nothing with any of them. */
static void a_kill_loses_nothing_without_syncs_either(void **state) {
  static const cafe_sqlite_sync syncs[] = {CAFE_SQLITE_NORMAL, CAFE_SQLITE_OFF};
  for (size_t i = 0; i < sizeof(syncs) / sizeof(syncs[0]); i++) {
    cafe_err err;
    cafe_store *store;
    uint64_t units;
    sqlite_file_remove(path);
    assert_int_equal(kit_open(&store, path, DISK_VFS, syncs[i], &err), CAFE_OK);
    must_commit(store, 1, 40);
    must_commit(store, 41, 1);
    disk_arm(DISK_GONE, 1);
    cafe_store_destroy(store);
    disk_arm(0, 0);
    assert_int_equal(kit_read_path(path, &units, &err), CAFE_OK);
    assert_int_equal(units, 41);
  }
}

/* X8: it isn't the disk that fails, but somebody who tidies up. */
static void a_file_that_is_moved_away_is_noticed_before_anything_is_acknowledged(void **state) {
  static const char elsewhere[] = "elsewhere.db";
  cafe_store *store = must_open();
  cafe_err err;
  uint64_t units;
  must_commit(store, 1, 3);
  assert_false(store->ops->is_lost(store));
  assert_int_equal(rename(path, elsewhere), 0);
  assert_int_equal(kit_commit(store, 4, 1, 100, &err), CAFE_UNAVAILABLE);
  assert_non_null(strstr(err.text, "beside.db was moved or removed"));
  assert_true(store->ops->is_lost(store));
  assert_int_equal(kit_commit(store, 4, 1, 100, &err), CAFE_UNAVAILABLE);
  cafe_store_destroy(store);
  assert_int_equal(kit_open(&store, path, DISK_VFS, CAFE_SQLITE_FULL, &err), CAFE_CORRUPT); /* no new one is begun */
  assert_int_equal(rename(elsewhere, path), 0);
  if (kit_read_path(path, &units, &err)) {
    fail_msg("%s", err.text);
  }
  assert_in_range(units, 3, 4); /* the last one was written, only nobody was told */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_another_program_wrote_is_seen, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_write_lock_of_another_program_is_told, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_commit_that_is_shown_slowly_is_waited_for, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_commit_that_is_never_shown_is_told, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_reader_that_never_ends_does_no_harm, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_was_forgotten_is_looked_up_again, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_a_conflict_believed_is_not_believed_any_more, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_row_that_comes_and_goes_in_a_batch_is_still_checked, set_up, tear_down),
      cmocka_unit_test_setup_teardown(keys_go_up_to_two_to_the_53, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_kill_loses_nothing_without_syncs_either, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_file_that_is_moved_away_is_noticed_before_anything_is_acknowledged, set_up,
                                      tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
