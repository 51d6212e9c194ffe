/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A WAL that isn't what was written, or isn't there. The files are those of a store that was open: what kill -9 leaves.
 * Damage is refused; what is no damage (a torn tail, old frames, another program's copying) is not taken for it.
 */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sqlite_file.h"
#include "sqlite_kit.h"

static const char origin[] = "wal-origin.db";
static const char path[] = "wal.db";
static const char wal[] = "wal.db-wal";
static const char lock[] = "wal.db-lock";

enum { BATCHES = 6, COUNT = 2, UNITS = BATCHES * COUNT, HEADER = 32, FRAME = 24 + 4096, FRAMES_MAX = 256 };

/* The WAL of origin: how many frames there are, and after which of them a batch is whole. */
static uint32_t frames;
static uint32_t ends[BATCHES];

static cafe_store *open_store(const char *name, cafe_sqlite_sync sync) {
  cafe_err err;
  cafe_store *store;
  if (kit_open(&store, name, NULL, sync, &err) != CAFE_OK) {
    fail_msg("%s", err.text);
  }
  return store;
}

static void commit(cafe_store *store, uint64_t first, uint32_t count) {
  cafe_err err;
  if (kit_commit(store, first, count, 700, &err) != CAFE_OK) {
    fail_msg("%s", err.text);
  }
}

static uint32_t count_frames(const char *name) {
  size_t size = 0;
  unsigned char *bytes = sqlite_file_read(name, &size);
  free(bytes);
  return bytes ? (uint32_t)((size - HEADER) / FRAME) : 0;
}

/* BATCHES in the WAL, as a kill would leave it. */
static int set_up(void **state) {
  sqlite_file_remove(origin);
  cafe_store *store = open_store(origin, CAFE_SQLITE_FULL);
  for (unsigned i = 0; i < BATCHES; i++) {
    commit(store, 1 + i * COUNT, COUNT);
    ends[i] = count_frames("wal-origin.db-wal");
  }
  frames = ends[BATCHES - 1];
  assert_true(frames > 3 * BATCHES && frames < FRAMES_MAX);
  sqlite_file_copy(origin, path);
  cafe_store_destroy(store);
  sqlite_file_copy(path, origin);
  return 0;
}

static int tear_down(void **state) {
  sqlite_file_remove(origin);
  sqlite_file_remove(path);
  return 0;
}

/* The files as they were left; without the witness if wanted. */
static void lay_out(bool has_lock) {
  sqlite_file_copy(origin, path);
  if (!has_lock) {
    unlink(lock);
  }
}

static void expect_refused(const char *what, unsigned where) {
  cafe_err err;
  uint64_t units;
  int code = kit_read_path(path, &units, &err);
  if (code != CAFE_CORRUPT) {
    fail_msg("%s %u: %s, %llu units: %s", what, where, cafe_code_name(code), (unsigned long long)units,
             code ? err.text : "");
  }
  assert_non_null(strstr(err.text, "wal.db"));
  assert_non_null(strstr(err.text, "estore"));
}

static uint64_t expect_opened(const char *what, unsigned where) {
  cafe_err err;
  uint64_t units;
  int code = kit_read_path(path, &units, &err);
  if (code != CAFE_OK) {
    fail_msg("%s %u: %s", what, where, err.text);
  }
  return units;
}

static size_t offset_of(uint32_t frame, size_t within) { return HEADER + (size_t)(frame - 1) * FRAME + within; }

static void what_a_kill_leaves_is_whole(void **state) {
  lay_out(true);
  assert_int_equal(expect_opened("with witness", 0), UNITS);
  lay_out(false);
  assert_int_equal(expect_opened("without witness", 0), UNITS);
}

/* X9: a bad frame in the middle of the WAL is refused, with a clear message. */
static void every_damaged_frame_is_refused(void **state) {
  /* Page number, commit mark, both salts, both sums, the page's begin, middle and end. */
  static const size_t places[] = {3, 7, 8, 15, 16, 23, 24, 24 + 2048, FRAME - 1};
  for (uint32_t frame = 1; frame <= frames; frame++) {
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
      lay_out(true);
      sqlite_file_flip(wal, offset_of(frame, places[i]), (unsigned)frame % 8);
      expect_refused("frame", frame);
    }
  }
}

/* The witness is gone, as after a power loss: a frame of any transaction but the last two is still known to be damaged,
 * and what remains of the others is whole. */
static void damage_before_two_transactions_is_refused_without_a_witness(void **state) {
  static const size_t places[] = {3, 8, 16, 24 + 100, FRAME - 1};
  for (uint32_t frame = 1; frame <= frames; frame++) {
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
      lay_out(false);
      sqlite_file_flip(wal, offset_of(frame, places[i]), 0);
      if (frame <= ends[BATCHES - 3]) {
        expect_refused("frame", frame);
      } else {
        cafe_err err;
        uint64_t units;
        int code = kit_read_path(path, &units, &err);
        assert_true(code == CAFE_CORRUPT || (code == CAFE_OK && units >= (BATCHES - 2) * COUNT));
      }
    }
  }
}

/* Units without events don't show in the log's head: the witness alone speaks for them. */
static void units_without_events_are_guarded_as_well(void **state) {
  sqlite_file_remove(origin);
  cafe_store *store = open_store(origin, CAFE_SQLITE_FULL);
  commit(store, 1, COUNT);
  uint32_t before = count_frames("wal-origin.db-wal");
  cafe_err err;
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_checkpoint checkpoint = {.subscription = "sub", .log_id = 7, .partition = -1, .n = 6};
  cafe_unit unit = {.size = sizeof(unit), .key = 1, .checkpoints = &checkpoint, .checkpoint_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_batch batch = {sizeof(batch), units, 1, arena};
  assert_int_equal(store->ops->commit(store, &batch, &err), CAFE_OK);
  cafe_arena_destroy(arena);
  sqlite_file_copy(origin, path);
  cafe_store_destroy(store);
  sqlite_file_copy(path, origin);
  uint32_t last = count_frames("wal-origin.db-wal");
  assert_true(last > before);
  for (uint32_t frame = before + 1; frame <= last; frame++) {
    lay_out(true);
    sqlite_file_flip(wal, offset_of(frame, 100), 0);
    expect_refused("frame", frame);
  }
}

static void a_damaged_header_is_refused(void **state) {
  for (unsigned has_lock = 0; has_lock < 2; has_lock++) {
    for (unsigned byte = 0; byte < HEADER; byte++) {
      lay_out(has_lock);
      sqlite_file_flip(wal, byte, byte % 8);
      expect_refused("header byte", byte);
    }
    lay_out(has_lock);
    size_t size = 0;
    unsigned char *bytes = sqlite_file_read(wal, &size);
    assert_non_null(bytes);
    memset(bytes, 0, HEADER);
    sqlite_file_write(wal, bytes, size);
    free(bytes);
    expect_refused("empty header", has_lock);
  }
}

static void a_wal_that_was_cut_is_refused(void **state) {
  size_t size = 0;
  unsigned char *bytes = sqlite_file_read("wal-origin.db-wal", &size);
  assert_non_null(bytes);
  for (uint32_t frame = 0; frame < frames; frame++) {
    lay_out(true);
    sqlite_file_write(wal, bytes, HEADER + (size_t)frame * FRAME + (frame % 2 ? 100 : 0));
    expect_refused("cut after frame", frame);
  }
  lay_out(true);
  sqlite_file_write(wal, bytes, 0);
  expect_refused("emptied", 0);
  lay_out(true);
  unlink(wal);
  expect_refused("removed", 0);
  free(bytes);
}

/* X9: a torn tail is recovered. */
static void a_tail_that_was_never_acknowledged_is_dropped(void **state) {
  size_t size = 0;
  unsigned char *bytes = sqlite_file_read("wal-origin.db-wal", &size);
  assert_non_null(bytes);
  unsigned char *longer = calloc(1, size + 3 * FRAME);
  assert_non_null(longer);
  memcpy(longer, bytes, size);
  for (unsigned has_lock = 0; has_lock < 2; has_lock++) {
    /* Part of a frame; frames of this WAL, the last with a commit mark, but wrong sums; zeros; an older WAL's frames.
     */
    memcpy(longer + size, bytes + size - FRAME, FRAME);
    lay_out(has_lock);
    sqlite_file_write(wal, longer, size + 512);
    assert_int_equal(expect_opened("part of a frame", has_lock), UNITS);
    memcpy(longer + size, bytes + offset_of(1, 0), FRAME);
    memcpy(longer + size + FRAME, bytes + size - FRAME, FRAME);
    lay_out(has_lock);
    sqlite_file_write(wal, longer, size + 2 * FRAME);
    assert_int_equal(expect_opened("a torn transaction", has_lock), UNITS);
    memset(longer + size, 0, 3 * FRAME);
    lay_out(has_lock);
    sqlite_file_write(wal, longer, size + 3 * FRAME);
    assert_int_equal(expect_opened("zeros", has_lock), UNITS);
    for (int i = 0; i < 3; i++) {
      memcpy(longer + size + i * FRAME, bytes + size - FRAME, FRAME);
      longer[size + (size_t)i * FRAME + 11]--;
    }
    lay_out(has_lock);
    sqlite_file_write(wal, longer, size + 3 * FRAME);
    assert_int_equal(expect_opened("an older WAL's frames", has_lock), UNITS);
  }
  free(longer);
  free(bytes);
}

/* The sqlite3 shell and its like: they recover, and copy the WAL into the file when they are closed. */
static void another_program_may_have_copied_it(void **state) {
  lay_out(true);
  sqlite3 *db = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db, "SELECT count(*) FROM events", NULL, NULL, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_close(db), SQLITE_OK);
  assert_int_equal(access(wal, F_OK), -1);
  assert_int_equal(expect_opened("copied by another program", 0), UNITS);
  assert_int_equal(access(lock, F_OK), -1);
}

static void an_older_witness_tells_less_and_nothing_wrong(void **state) {
  sqlite_file_remove(path);
  cafe_store *store = open_store(path, CAFE_SQLITE_FULL);
  unsigned char *witnesses[3] = {NULL, NULL, NULL};
  size_t sizes[3] = {0, 0, 0};
  for (unsigned i = 0; i < 3; i++) {
    witnesses[i] = sqlite_file_read(lock, &sizes[i]);
    assert_non_null(witnesses[i]);
    commit(store, 1 + i * COUNT, COUNT);
  }
  sqlite_file_copy(path, origin);
  cafe_store_destroy(store);
  for (unsigned i = 0; i < 3; i++) {
    for (size_t cut = 0; cut < 2; cut++) {
      lay_out(true);
      sqlite_file_write(lock, witnesses[i], cut ? sizes[i] / 2 : sizes[i]);
      assert_int_equal(expect_opened("an older witness", i), 3 * COUNT);
    }
    free(witnesses[i]);
  }
}

static void a_missing_file_beside_its_wal_is_refused(void **state) {
  lay_out(true);
  unlink(path);
  expect_refused("no file", 0);
  lay_out(false);
  unlink(path);
  expect_refused("no file, no witness", 0);
  lay_out(false);
  sqlite_file_write(path, "", 0);
  expect_refused("an empty file", 0);
  lay_out(true);
  unlink(path);
  unlink(wal);
  expect_refused("no file, no WAL, a witness", 0);
  unlink(lock);
  assert_int_equal(expect_opened("nothing at all", 0), 0);
}

static void an_older_copy_is_refused(void **state) {
  sqlite_file_remove(origin);
  cafe_store *store = open_store(origin, CAFE_SQLITE_FULL);
  commit(store, 1, COUNT);
  cafe_store_destroy(store);
  size_t size = 0;
  unsigned char *older = sqlite_file_read(origin, &size);
  assert_non_null(older);
  store = open_store(origin, CAFE_SQLITE_FULL);
  commit(store, 1 + COUNT, COUNT);
  sqlite_file_copy(origin, path);
  cafe_store_destroy(store);
  sqlite_file_write(path, older, size);
  unlink(wal);
  expect_refused("an older copy", 0);
  unlink(lock);
  assert_int_equal(expect_opened("an older copy, accepted", 0), COUNT);
  free(older);
}

/* Who doesn't sync has no claim to more than a whole beginning. */
static void a_writer_that_does_not_sync_is_taken_at_its_word(void **state) {
  for (unsigned broken = 1; broken < frames; broken += 3) {
    sqlite_file_remove(origin);
    cafe_store *store = open_store(origin, CAFE_SQLITE_NORMAL);
    for (unsigned i = 0; i < BATCHES; i++) {
      commit(store, 1 + i * COUNT, COUNT);
    }
    sqlite_file_copy(origin, path);
    cafe_store_destroy(store);
    sqlite_file_flip(wal, offset_of(broken, 100), 1);
    uint64_t units = expect_opened("a WAL that wasn't synced", broken);
    assert_true(units < UNITS && units % COUNT == 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_a_kill_leaves_is_whole, set_up, tear_down),
      cmocka_unit_test_setup_teardown(every_damaged_frame_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(damage_before_two_transactions_is_refused_without_a_witness, set_up, tear_down),
      cmocka_unit_test_setup_teardown(units_without_events_are_guarded_as_well, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_damaged_header_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_wal_that_was_cut_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_tail_that_was_never_acknowledged_is_dropped, set_up, tear_down),
      cmocka_unit_test_setup_teardown(another_program_may_have_copied_it, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_older_witness_tells_less_and_nothing_wrong, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_missing_file_beside_its_wal_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_older_copy_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_writer_that_does_not_sync_is_taken_at_its_word, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
