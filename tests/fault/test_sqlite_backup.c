/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Backups while units are committed, and stores made of them: whole or not at all, whatever fails: each call to the
 * disk, the folder's sync, the process, the power. (Memory: test_sqlite_backup_memory.c.)
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk_vfs.h"
#include "sqlite_file.h"
#include "sqlite_kit.h"
#include "store/sqlite_store.h"

static const char path[] = "backed.db";
static const char backup_path[] = "backed.bak";
static const char restored[] = "restored.db";

enum { UNITS = 40, SIZE = 3000 }; /* one piece; the tests of many pieces have larger ones */

/* ---- the folder's sync, in the place of the C library's ---- */

static unsigned folder_syncs;
static const char *wanted_then; /* what must have its name by then; NULL: nothing is looked at */
static bool folder_fails;

int fsync(int fd) {
  struct stat status;
  if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
    folder_syncs += !wanted_then || access(wanted_then, F_OK) == 0;
    if (folder_fails) {
      errno = EIO;
      return -1;
    }
  }
  return (int)syscall(SYS_fsync, fd);
}

/* ---- tools ---- */

static void must(int code, const cafe_err *err) {
  if (code != CAFE_OK) {
    fail_msg("%s", err->text);
  }
}

static void remove_all(void) {
  DIR *folder = opendir(".");
  assert_non_null(folder);
  for (struct dirent *entry; (entry = readdir(folder));) {
    if (strncmp(entry->d_name, "backed.", 7) == 0 || strncmp(entry->d_name, "restored.", 9) == 0) {
      unlink(entry->d_name);
    }
  }
  closedir(folder);
}

static unsigned parts(void) {
  unsigned count = 0;
  DIR *folder = opendir(".");
  assert_non_null(folder);
  for (struct dirent *entry; (entry = readdir(folder));) {
    count += strstr(entry->d_name, ".part") != NULL;
  }
  closedir(folder);
  return count;
}

static bool exists(const char *name) { return access(name, F_OK) == 0; }

static cafe_store *must_open(const char *vfs) {
  cafe_err err;
  cafe_store *store;
  must(kit_open(&store, path, vfs, CAFE_SQLITE_FULL, &err), &err);
  return store;
}

static void must_commit(cafe_store *store, uint64_t first, uint32_t count) {
  cafe_err err;
  must(kit_commit(store, first, count, SIZE, &err), &err);
}

static void expect_units(const char *file, uint64_t wanted) {
  cafe_err err;
  uint64_t units;
  must(kit_read_path(file, &units, &err), &err);
  assert_int_equal(units, wanted);
}

static int back_up(cafe_store *store, cafe_err *err) {
  cafe_backup backup = {.size = sizeof(backup), .path = backup_path};
  int code = CAFE_OK;
  while (code == CAFE_OK && !backup.is_done) {
    code = store->ops->backup(store, &backup, err);
  }
  assert_null(backup.store_data);
  return code;
}

static int restore(const char *vfs, cafe_err *err) {
  cafe_sqlite_options options = CAFE_SQLITE_OPTIONS_INIT;
  options.vfs = vfs;
  return sqlite_restore(restored, backup_path, &options, INT64_C(1800000000000), err);
}

/* A backup of so many units. */
static void make_backup(uint64_t units) {
  cafe_err err;
  remove_all();
  cafe_store *store = must_open(NULL);
  for (uint64_t i = 0; i < units; i += UNITS) {
    must_commit(store, i + 1, UNITS);
  }
  must(back_up(store, &err), &err);
  cafe_store_destroy(store);
}

static int set_up(void **state) {
  remove_all();
  disk_begin(backup_path);
  wanted_then = NULL;
  folder_fails = false;
  return 0;
}

static int tear_down(void **state) {
  disk_end();
  remove_all();
  return 0;
}

/* ---- what they are ---- */

static void a_backup_is_of_one_commit_while_others_are_made(void **state) {
  cafe_err err;
  enum { BEFORE = 800, AT_ONCE = 20 };
  cafe_store *store = must_open(NULL);
  uint64_t units = 0;
  for (; units < BEFORE; units += AT_ONCE) {
    must_commit(store, units + 1, AT_ONCE);
  }
  cafe_backup backup = {.size = sizeof(backup), .path = backup_path};
  unsigned pieces = 0;
  for (; !backup.is_done; pieces++) {
    must(store->ops->backup(store, &backup, &err), &err);
    must_commit(store, units + 1, AT_ONCE);
    units += AT_ONCE;
    assert_true(exists(backup_path) == backup.is_done);
    uint64_t seen;
    must(kit_read(store, &seen, &err), &err); /* reads and writes go on */
    assert_int_equal(seen, units);
  }
  assert_true(pieces > 5);
  assert_int_equal(parts(), 0);
  must_commit(store, units + 1, AT_ONCE);
  cafe_store_destroy(store);
  expect_units(path, units + AT_ONCE);
  must(cafe_sqlite_restore(restored, backup_path, &err), &err);
  expect_units(restored, BEFORE);
}

/* The WAL, which can't begin anew meanwhile, does so afterwards. */
static void a_backup_holds_no_wal_for_longer_than_it_takes(void **state) {
  cafe_err err;
  cafe_store *store = must_open(NULL);
  must_commit(store, 1, UNITS);
  cafe_backup backup = {.size = sizeof(backup), .path = backup_path};
  uint64_t units = UNITS;
  sqlite_store *inner = (sqlite_store *)store;
  must_commit(store, units + 1, UNITS);
  units += UNITS;
  for (; inner->wal_frames < 2 * WAL_PAGES; units += UNITS) {
    if (!backup.store_data && units > 500) {
      must(store->ops->backup(store, &backup, &err), &err);
      assert_false(backup.is_done);
    }
    must_commit(store, units + 1, UNITS);
  }
  store->ops->end_backup(store, &backup);
  for (int i = 0; i < 3; i++, units += UNITS) {
    must_commit(store, units + 1, UNITS);
  }
  assert_true(inner->wal_frames < WAL_PAGES);
  cafe_store_destroy(store);
}

static void a_backup_that_is_ended_leaves_nothing(void **state) {
  cafe_err err;
  cafe_store *store = must_open(NULL);
  for (uint64_t i = 0; i < 400; i += UNITS) {
    must_commit(store, i + 1, UNITS);
  }
  for (int pieces = 0; pieces < 4; pieces++) {
    cafe_backup backup = {.size = sizeof(backup), .path = backup_path};
    for (int i = 0; i < pieces; i++) {
      must(store->ops->backup(store, &backup, &err), &err);
    }
    assert_int_equal(parts(), pieces > 0);
    store->ops->end_backup(store, &backup);
    assert_null(backup.store_data);
    assert_int_equal(parts(), 0);
    assert_false(exists(backup_path));
  }
  must(back_up(store, &err), &err);
  cafe_store_destroy(store);
}

static void no_file_that_is_there_is_overwritten(void **state) {
  cafe_err err;
  make_backup(UNITS);
  size_t size, later;
  unsigned char *before = sqlite_file_read(backup_path, &size);
  cafe_store *store = must_open(NULL);
  assert_int_equal(back_up(store, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "is there already"));
  /* Also where it comes while it is under way. */
  unlink(backup_path);
  for (uint64_t i = UNITS; i < 400; i += UNITS) {
    must_commit(store, i + 1, UNITS);
  }
  cafe_backup backup = {.size = sizeof(backup), .path = backup_path};
  must(store->ops->backup(store, &backup, &err), &err);
  sqlite_file_write(backup_path, before, size);
  int code = CAFE_OK;
  while (code == CAFE_OK && !backup.is_done) {
    code = store->ops->backup(store, &backup, &err);
  }
  assert_int_equal(code, CAFE_INVALID);
  cafe_store_destroy(store);
  unsigned char *after = sqlite_file_read(backup_path, &later);
  assert_true(size == later && memcmp(before, after, size) == 0);
  free(after);
  assert_int_equal(cafe_sqlite_restore(path, backup_path, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "is there already"));
  expect_units(path, 400);
  /* Nor anything beside it, which SQLite would take for a part of the new store. */
  sqlite_file_write("restored.db-wal", before, 100);
  assert_int_equal(cafe_sqlite_restore(restored, backup_path, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "-wal"));
  unlink("restored.db-wal");
  must(cafe_sqlite_restore(restored, backup_path, &err), &err);
  free(before);
  assert_int_equal(parts(), 0);
}

static void a_place_that_is_none_is_told(void **state) {
  cafe_err err;
  cafe_store *store = must_open(NULL);
  cafe_backup backup = {.size = sizeof(backup), .path = "no-such-folder/x.bak"};
  assert_int_equal(store->ops->backup(store, &backup, &err), CAFE_UNAVAILABLE);
  assert_non_null(strstr(err.text, "no-such-folder"));
  backup.path = "";
  assert_int_equal(store->ops->backup(store, &backup, &err), CAFE_INVALID);
  must(back_up(store, &err), &err);
  cafe_store_destroy(store);
  assert_int_equal(cafe_sqlite_restore("no-such-folder/x.db", backup_path, &err), CAFE_NOT_FOUND);
  assert_int_equal(cafe_sqlite_restore(restored, "backed.none", &err), CAFE_NOT_FOUND);
  assert_int_equal(cafe_sqlite_restore(restored, NULL, &err), CAFE_NOT_FOUND);
  assert_false(exists(restored));
}

/* In a process of its own, which is nobody's: root may read everything. */
static void a_backup_that_may_not_be_read_is_told(void **state) {
  cafe_err err;
  int status;
  make_backup(UNITS);
  assert_int_equal(chmod(backup_path, 0), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    if (getuid() == 0 && setuid(65534) != 0) {
      _exit(100);
    }
    int code = cafe_sqlite_restore(restored, backup_path, &err);
    _exit(code == CAFE_DENIED && strstr(err.text, backup_path) ? 0 : 1);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_false(exists(restored));
}

static void a_backup_is_no_store_and_a_store_no_backup(void **state) {
  cafe_err err;
  cafe_store *store;
  make_backup(UNITS);
  assert_int_equal(kit_open(&store, backup_path, NULL, CAFE_SQLITE_FULL, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "cafe_sqlite_restore"));
  assert_int_equal(cafe_sqlite_restore(restored, path, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "no backup"));
  sqlite_file_write("backed.txt", "not a backup", 12);
  assert_int_equal(cafe_sqlite_restore(restored, "backed.txt", &err), CAFE_INVALID);
  assert_false(exists(restored));
  assert_int_equal(parts(), 0);
}

/* ---- the new life ---- */

typedef struct found {
  cafe_checkpoint all[8];
  uint32_t count;
} found;

static int see_checkpoint(const cafe_checkpoint *checkpoint, void *user) {
  found *to = user;
  assert_true(to->count < 8);
  to->all[to->count++] = *checkpoint;
  return CAFE_OK;
}

static cafe_store *open_with(const char *file, cafe_store_info *info) {
  cafe_err err;
  cafe_store *store;
  must(cafe_sqlite_create(&store, file, NULL, &err), &err);
  must(store->ops->open(store, info, &kit_setup, &err), &err);
  return store;
}

static void move_checkpoint(cafe_store *store, uint64_t log_id, uint64_t n) {
  cafe_err err;
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_checkpoint checkpoint = {.subscription = "view<x", .log_id = log_id, .partition = 7, .n = n};
  cafe_unit unit = {.size = sizeof(unit), .key = 1, .checkpoints = &checkpoint, .checkpoint_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_batch batch = {sizeof(batch), units, 1, arena};
  must(store->ops->commit(store, &batch, &err), &err);
  assert_int_equal(unit.result, CAFE_UNIT_DONE);
  cafe_arena_destroy(arena);
}

static uint64_t checkpoint_of(cafe_store *store, uint64_t log_id) {
  cafe_err err;
  found seen = {.count = 0};
  must(store->ops->read_checkpoints(store, "view<x", see_checkpoint, &seen, &err), &err);
  uint64_t n = 0;
  for (uint32_t i = 0; i < seen.count; i++) {
    n = seen.all[i].log_id == log_id ? seen.all[i].n : n;
  }
  return n;
}

static void a_restored_store_has_a_log_id_of_its_own_and_its_checkpoints_moved_along(void **state) {
  cafe_err err;
  cafe_store_info infos[4] = {CAFE_STORE_INFO_INIT, CAFE_STORE_INFO_INIT, CAFE_STORE_INFO_INIT, CAFE_STORE_INFO_INIT};
  cafe_store *store = open_with(path, &infos[0]);
  must_commit(store, 1, UNITS);
  move_checkpoint(store, infos[0].log_id, 33);
  move_checkpoint(store, 4711, 12);
  assert_true(infos[0].restored_ms == 0 && infos[0].origin_count == 0);
  must(back_up(store, &err), &err);
  cafe_store_destroy(store);
  for (int i = 1; i < 3; i++) { /* twice of the same */
    sqlite_file_remove(restored);
    must(cafe_sqlite_restore(restored, backup_path, &err), &err);
    store = open_with(restored, &infos[i]);
    assert_true(infos[i].log_id != infos[0].log_id && infos[i].log_id != infos[1 + i % 2].log_id);
    assert_true(infos[i].restored_ms > INT64_C(1700000000000));
    assert_int_equal(infos[i].origin_count, 1);
    assert_true(infos[i].origins[0].log_id == infos[0].log_id && infos[i].origins[0].n == 2 * UNITS);
    assert_int_equal(checkpoint_of(store, infos[i].log_id), 33);
    assert_int_equal(checkpoint_of(store, infos[0].log_id), 0);
    assert_int_equal(checkpoint_of(store, 4711), 12);
    if (i == 1) {
      cafe_store_destroy(store);
    }
  }
  /* And once more, from a backup of the restored one. */
  must_commit(store, UNITS + 1, UNITS);
  unlink(backup_path);
  must(back_up(store, &err), &err);
  cafe_store_destroy(store);
  sqlite_file_remove(restored);
  must(cafe_sqlite_restore(restored, backup_path, &err), &err);
  store = open_with(restored, &infos[3]);
  assert_int_equal(infos[3].origin_count, 2);
  for (uint32_t i = 0; i < 2; i++) {
    bool is_first = infos[3].origins[i].log_id == infos[0].log_id;
    assert_true(is_first || infos[3].origins[i].log_id == infos[2].log_id);
    assert_int_equal(infos[3].origins[i].n, is_first ? 2 * UNITS : 4 * UNITS);
  }
  cafe_store_destroy(store);
  expect_units(restored, 2 * UNITS);
}

static void a_restore_while_a_node_has_the_path_is_refused(void **state) {
  cafe_err err;
  make_backup(UNITS);
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  cafe_store *store = open_with(restored, &info);
  rename(restored, "restored.moved"); /* the file is gone, but not who has it */
  rename("restored.db-wal", "restored.moved-wal");
  assert_int_equal(cafe_sqlite_restore(restored, backup_path, &err), CAFE_DENIED);
  cafe_store_destroy(store);
  assert_int_equal(parts(), 0);
}

static void a_damaged_backup_is_refused(void **state) {
  cafe_err err;
  size_t size;
  make_backup(UNITS);
  unsigned char *bytes = sqlite_file_read(backup_path, &size);
  for (size_t at = 0; at < size; at += 997) {
    sqlite_file_flip(backup_path, at, at % 8);
    int code = cafe_sqlite_restore(restored, backup_path, &err);
    assert_true(code == CAFE_CORRUPT || (at < 100 && code == CAFE_INVALID));
    assert_false(exists(restored));
    sqlite_file_write(backup_path, bytes, size);
  }
  sqlite_file_write(backup_path, bytes, size - 4096);
  assert_int_equal(cafe_sqlite_restore(restored, backup_path, &err), CAFE_CORRUPT);
  sqlite_file_write(backup_path, bytes, size - 1);
  assert_int_equal(cafe_sqlite_restore(restored, backup_path, &err), CAFE_CORRUPT);
  sqlite_file_write(backup_path, bytes, size);
  sqlite_file_exec(backup_path, "PRAGMA user_version = 1000");
  assert_int_equal(cafe_sqlite_restore(restored, backup_path, &err), CAFE_UNSUPPORTED);
  assert_false(exists(restored));
  assert_int_equal(parts(), 0);
  free(bytes);
}

/* Pages with right checksums, and wrong all the same. */
static void a_backup_that_was_changed_is_refused(void **state) {
  static const char *const changes[] = {
      "UPDATE events SET data = x'00' WHERE position = 20",
      "DELETE FROM events WHERE position = 20",
      "DELETE FROM events WHERE position = (SELECT max(position) FROM events WHERE aggregate = 'cup')",
      "UPDATE meta SET value = 0 WHERE name = 'log_id'",
  };
  cafe_err err;
  for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
    make_backup(UNITS);
    sqlite_file_exec(backup_path, changes[i]);
    assert_int_equal(cafe_sqlite_restore(restored, backup_path, &err), CAFE_CORRUPT);
    assert_false(exists(restored));
  }
}

static void a_clock_behind_the_backup_is_refused(void **state) {
  cafe_err err;
  make_backup(UNITS);
  char sql[200];
  snprintf(sql, sizeof(sql), "UPDATE events SET time_ms = %lld WHERE position = %d", 4102444800000LL, 2 * UNITS);
  sqlite_file_exec(backup_path, sql);
  int code = cafe_sqlite_restore(restored, backup_path, &err);
  assert_int_equal(code, CAFE_CORRUPT); /* its checksum is of another time: so it is made anew below */
  remove_all();
  cafe_store *store = must_open(NULL);
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_stored_event event = {.aggregate = "cup", .type = "CupFilled", .key = 1, .version = 1, .time_ms = 4102444800000};
  cafe_unit unit = {.size = sizeof(unit), .key = 1, .events = &event, .event_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_batch batch = {sizeof(batch), units, 1, arena};
  must(store->ops->commit(store, &batch, &err), &err);
  cafe_arena_destroy(arena);
  must(back_up(store, &err), &err);
  cafe_store_destroy(store);
  assert_int_equal(cafe_sqlite_restore(restored, backup_path, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "clock"));
  assert_false(exists(restored));
}

/* ---- faults ---- */

typedef int (*action)(cafe_err *err);

static cafe_store *faulty;

static int do_backup(cafe_err *err) { return back_up(faulty, err); }
static int do_restore(cafe_err *err) { return restore(DISK_VFS, err); }

/* Fails at call n of those that change files, n = 1, 2, …: nothing is left, and the next one is whole. */
static void fail_each(action act, const char *made, bool reads) {
  static const disk_fault faults[] = {DISK_FULL, DISK_ERROR, DISK_GONE};
  for (size_t i = 0; i < (reads ? 1 : 3); i++) {
    for (uint64_t n = 1;; n++) {
      cafe_err err;
      sqlite_file_remove(made);
      if (reads) {
        disk_arm_read(n);
      } else {
        disk_arm(faults[i], n);
      }
      int code = act(&err);
      bool failed = disk_failed();
      disk_arm(0, 0);
      disk_arm_read(0);
      assert_int_equal(parts(), 0);
      if (code != CAFE_OK) {
        assert_true(failed);
        assert_false(exists(made));
        assert_true(code == CAFE_UNAVAILABLE || code == CAFE_CORRUPT || code == CAFE_DENIED);
        assert_true(reads || faults[i] != DISK_FULL || strstr(err.text, "space"));
        continue;
      }
      assert_true(exists(made));
      if (!failed) {
        assert_true(n > 3);
        break;
      }
    }
  }
}

static void a_backup_at_each_failing_call_leaves_nothing_or_is_whole(void **state) {
  faulty = must_open(DISK_VFS);
  must_commit(faulty, 1, UNITS);
  fail_each(do_backup, backup_path, false);
  fail_each(do_backup, backup_path, true);
  must_commit(faulty, UNITS + 1, 1);
  cafe_store_destroy(faulty);
  expect_units(path, UNITS + 1);
  cafe_err err;
  must(restore(NULL, &err), &err);
  expect_units(restored, UNITS);
}

static void a_restore_at_each_failing_call_leaves_nothing_or_is_whole(void **state) {
  make_backup(UNITS);
  size_t size, later;
  unsigned char *before = sqlite_file_read(backup_path, &size);
  fail_each(do_restore, restored, false);
  fail_each(do_restore, restored, true);
  expect_units(restored, UNITS);
  unsigned char *after = sqlite_file_read(backup_path, &later);
  assert_true(size == later && memcmp(before, after, size) == 0);
  free(before);
  free(after);
}

static void it_is_done_when_the_folder_knows(void **state) {
  cafe_err err;
  cafe_store *store = must_open(NULL);
  must_commit(store, 1, UNITS);
  wanted_then = backup_path;
  folder_fails = true;
  assert_int_equal(back_up(store, &err), CAFE_UNAVAILABLE);
  assert_false(exists(backup_path));
  folder_fails = false;
  folder_syncs = 0;
  must(back_up(store, &err), &err);
  assert_int_equal(folder_syncs, 1);
  cafe_store_destroy(store);
  wanted_then = restored;
  folder_fails = true;
  assert_int_equal(restore(NULL, &err), CAFE_UNAVAILABLE);
  assert_false(exists(restored));
  folder_fails = false;
  folder_syncs = 0;
  must(restore(NULL, &err), &err);
  assert_int_equal(folder_syncs, 1);
  assert_int_equal(parts(), 0);
}

/* ---- kills ---- */

static int run_killed(action act, uint64_t n) {
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    cafe_err err;
    disk_arm(DISK_KILL, n);
    _exit(act(&err) == CAFE_OK ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

static int child_backup(cafe_err *err) {
  int code = kit_open(&faulty, path, DISK_VFS, CAFE_SQLITE_FULL, err);
  if (code == CAFE_OK) {
    code = back_up(faulty, err);
    cafe_store_destroy(faulty);
  }
  return code;
}

static void a_process_killed_in_a_backup_leaves_none_or_a_whole_one(void **state) {
  cafe_err err;
  cafe_store *store = must_open(NULL);
  must_commit(store, 1, UNITS);
  cafe_store_destroy(store);
  unsigned whole = 0, none = 0;
  for (uint64_t n = 1;; n++) {
    unlink(backup_path);
    int status = run_killed(child_backup, n);
    expect_units(path, UNITS);
    if (exists(backup_path)) {
      whole++;
      sqlite_file_remove(restored);
      must(cafe_sqlite_restore(restored, backup_path, &err), &err);
      expect_units(restored, UNITS);
    } else {
      none++;
    }
    if (WIFEXITED(status)) {
      assert_int_equal(WEXITSTATUS(status), 0);
      assert_true(exists(backup_path));
      break;
    }
    assert_int_equal(WTERMSIG(status), SIGKILL);
  }
  assert_true(none > 10 && whole > 1);
}

static void a_process_killed_in_a_restore_leaves_none_or_a_whole_store(void **state) {
  cafe_err err;
  make_backup(UNITS);
  unsigned none = 0;
  for (uint64_t n = 1;; n++) {
    sqlite_file_remove(restored);
    int status = run_killed(do_restore, n);
    if (exists(restored)) {
      expect_units(restored, UNITS);
    } else {
      none++;
      must(cafe_sqlite_restore(restored, backup_path, &err), &err); /* what it left is in nobody's way */
    }
    if (WIFEXITED(status)) {
      assert_int_equal(WEXITSTATUS(status), 0);
      break;
    }
  }
  assert_true(none > 10);
}

/* ---- power ---- */

/* Once done was said, no loss of power takes anything of it. */
static void expect_kept(const char *made) {
  size_t size, left;
  unsigned char *whole = sqlite_file_read(made, &size);
  uint64_t moment = disk_moment();
  assert_true(moment > 10);
  for (unsigned loss = 0; loss < DISK_LOSSES; loss++) {
    for (uint64_t seed = 0; seed < 10; seed++) {
      disk_lose_power(moment, (disk_loss)loss, seed, "backed.after");
      unsigned char *after = sqlite_file_read("backed.after", &left);
      assert_non_null(after);
      assert_true(size == left && memcmp(whole, after, size) == 0);
      free(after);
    }
  }
  free(whole);
}

static void a_power_loss_takes_nothing_of_what_was_said_to_be_done(void **state) {
  cafe_err err;
  cafe_store *store = must_open(DISK_VFS);
  for (uint64_t i = 0; i < 400; i += UNITS) {
    must_commit(store, i + 1, UNITS);
  }
  disk_remember();
  must(back_up(store, &err), &err);
  expect_kept(backup_path);
  cafe_store_destroy(store);
  disk_end();
  disk_begin(restored);
  disk_remember();
  must(restore(DISK_VFS, &err), &err);
  expect_kept(restored);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_backup_is_of_one_commit_while_others_are_made, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_backup_holds_no_wal_for_longer_than_it_takes, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_backup_that_is_ended_leaves_nothing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(no_file_that_is_there_is_overwritten, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_place_that_is_none_is_told, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_backup_that_may_not_be_read_is_told, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_backup_is_no_store_and_a_store_no_backup, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_restored_store_has_a_log_id_of_its_own_and_its_checkpoints_moved_along, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_restore_while_a_node_has_the_path_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_damaged_backup_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_backup_that_was_changed_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_clock_behind_the_backup_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_backup_at_each_failing_call_leaves_nothing_or_is_whole, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_restore_at_each_failing_call_leaves_nothing_or_is_whole, set_up, tear_down),
      cmocka_unit_test_setup_teardown(it_is_done_when_the_folder_knows, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_process_killed_in_a_backup_leaves_none_or_a_whole_one, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_process_killed_in_a_restore_leaves_none_or_a_whole_store, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_power_loss_takes_nothing_of_what_was_said_to_be_done, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
