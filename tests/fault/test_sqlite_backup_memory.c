/* SPDX-License-Identifier: Apache-2.0 */

/* Each allocation of a backup and of a restore is refused, the store's own and SQLite's: nothing is left, or the whole.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk_vfs.h"
#include "failing_alloc.h"
#include "sqlite_file.h"
#include "sqlite_kit.h"
#include "store/sqlite_store.h"

static const char path[] = "refused.db";
static const char backup_path[] = "refused.bak";
static const char restored[] = "refused-again.db";

enum { UNITS = 10 };

static sqlite3_mem_methods inner;
static uint64_t calls;
static uint64_t fail_at;
static failing_alloc own;

static bool is_refused(void) { return ++calls == fail_at; }
static void *refusing_malloc(int size) { return is_refused() ? NULL : inner.xMalloc(size); }
static void *refusing_realloc(void *block, int size) { return is_refused() ? NULL : inner.xRealloc(block, size); }

/* Of SQLite's every one, or for short every third. */
static uint64_t step(bool is_own) {
  const char *value = getenv("CAFE_FULL");
  return is_own || (value && value[0]) ? 1 : 3;
}

static void arm(bool is_own, uint64_t n) {
  calls = 0;
  fail_at = is_own ? 0 : n;
  own.calls = 0;
  own.refused = 0;
  own.fail_at = is_own ? n : 0;
}

static bool was_refused(void) { return own.refused || (fail_at != 0 && calls >= fail_at); }

static void must(int code, const cafe_err *err) {
  if (code != CAFE_OK) {
    fail_msg("%s", err->text);
  }
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

static void remove_all(void) {
  sqlite_file_remove(path);
  sqlite_file_remove(backup_path);
  sqlite_file_remove(restored);
}

static int set_up(void **state) {
  sqlite3_mem_methods refusing;
  assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &inner), SQLITE_OK);
  refusing = inner;
  refusing.xMalloc = refusing_malloc;
  refusing.xRealloc = refusing_realloc;
  assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &refusing), SQLITE_OK);
  assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
  disk_begin(path);
  failing_alloc_init(&own);
  return 0;
}

static int tear_down(void **state) {
  disk_end();
  remove_all();
  return 0;
}

static cafe_sqlite_options options(void) {
  cafe_sqlite_options all = CAFE_SQLITE_OPTIONS_INIT;
  all.vfs = DISK_VFS;
  all.allocator = &own.allocator;
  return all;
}

static cafe_store *open_store(const char *file) {
  cafe_err err;
  cafe_store *store;
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  cafe_sqlite_options all = options();
  must(cafe_sqlite_create(&store, file, &all, &err), &err);
  must(store->ops->open(store, &info, &kit_setup, &err), &err);
  return store;
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

static int restore(cafe_err *err) {
  cafe_sqlite_options all = options();
  return sqlite_restore(restored, backup_path, &all, INT64_C(1800000000000), err);
}

static void expect(const char *file, uint64_t units) {
  cafe_err err;
  uint64_t found;
  cafe_store *store = open_store(file);
  must(kit_read(store, &found, &err), &err);
  assert_int_equal(found, units);
  cafe_store_destroy(store);
}

static void a_backup_and_a_restore_survive_refused_memory(void **state) {
  cafe_err err;
  cafe_store *store = open_store(path);
  must(kit_commit(store, 1, UNITS, 600, &err), &err);
  for (int round = 0; round < 4; round++) {
    bool is_own = round % 2 == 0, is_restore = round >= 2;
    const char *made = is_restore ? restored : backup_path;
    for (uint64_t n = 1;; n += step(is_own)) {
      sqlite_file_remove(made);
      size_t live = own.live;
      arm(is_own, n);
      int code = is_restore ? restore(&err) : back_up(store, &err);
      bool refused = was_refused();
      arm(false, 0);
      assert_true(code == CAFE_OK || (refused && (code == CAFE_NOMEM || (code == CAFE_UNAVAILABLE && err.text[0]))));
      assert_true((access(made, F_OK) == 0) == (code == CAFE_OK));
      assert_int_equal(parts(), 0);
      assert_int_equal(own.live, live);
      if (code == CAFE_OK && is_restore) {
        expect(restored, UNITS);
      }
      if (!refused) {
        assert_true(n > 3);
        break;
      }
    }
  }
  cafe_store_destroy(store);
  assert_int_equal(own.live, 0);
}

static void opening_a_restored_store_survives_refused_memory(void **state) {
  cafe_err err;
  remove_all();
  cafe_store *store = open_store(path);
  must(kit_commit(store, 1, UNITS, 600, &err), &err);
  must(back_up(store, &err), &err);
  cafe_store_destroy(store);
  must(restore(&err), &err);
  for (int round = 0; round < 2; round++) {
    bool is_own = round == 0;
    for (uint64_t n = 1;; n++) {
      cafe_store_info info = CAFE_STORE_INFO_INIT;
      cafe_sqlite_options all = options();
      must(cafe_sqlite_create(&store, restored, &all, &err), &err);
      arm(is_own, n);
      int code = store->ops->open(store, &info, &kit_setup, &err);
      bool refused = was_refused();
      arm(false, 0);
      assert_true(code == CAFE_OK || (refused && (code == CAFE_NOMEM || (code == CAFE_UNAVAILABLE && err.text[0]))));
      assert_int_equal(info.origin_count, code == CAFE_OK ? 1 : 0);
      cafe_store_destroy(store);
      assert_int_equal(own.live, 0);
      if (!refused) {
        assert_true(n > 3);
        break;
      }
    }
  }
  expect(restored, UNITS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_backup_and_a_restore_survive_refused_memory),
      cmocka_unit_test(opening_a_restored_store_survives_refused_memory),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
