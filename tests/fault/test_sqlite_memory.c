/* SPDX-License-Identifier: Apache-2.0 */

/* SQLite allocates by its own means: its allocations are refused, one a run, in opening, committing and reading.
 * Nothing acknowledged is lost, nothing is written in halves, and it works again. (What the store itself allocates is
 * refused by the contract suite.) With CAFE_FULL, each of them. */
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

static const char path[] = "memory.db";

static sqlite3_mem_methods inner;
static uint64_t calls;
static uint64_t fail_at;

static bool is_refused(void) { return ++calls == fail_at; }

static void *refusing_malloc(int size) { return is_refused() ? NULL : inner.xMalloc(size); }
static void *refusing_realloc(void *block, int size) { return is_refused() ? NULL : inner.xRealloc(block, size); }

static void arm(uint64_t n) {
  calls = 0;
  fail_at = n;
}

/* Of the allocations every one, or for short every seventh: a call's allocations are many, its ways to fail few. */
static uint64_t step(void) {
  const char *value = getenv("CAFE_FULL");
  return value && value[0] ? 1 : 7;
}

static bool was_refused(void) { return fail_at != 0 && calls >= fail_at; }

static int open_store(cafe_store **out, cafe_err *err) { return kit_open(out, path, DISK_VFS, CAFE_SQLITE_FULL, err); }

static void must(int code, const cafe_err *err) {
  if (code != CAFE_OK) {
    fail_msg("%s", err->text);
  }
}

static void expect_units(cafe_store *store, uint64_t least, uint64_t most) {
  cafe_err err;
  uint64_t units;
  must(kit_read(store, &units, &err), &err);
  assert_true(units == least || units == most);
}

/* Before the first use of SQLite, which takes no other allocator later. */
static int set_up(void **state) {
  sqlite3_mem_methods refusing;
  assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &inner), SQLITE_OK);
  refusing = inner;
  refusing.xMalloc = refusing_malloc;
  refusing.xRealloc = refusing_realloc;
  assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &refusing), SQLITE_OK);
  /* Otherwise small blocks come from a pool, and are never refused. */
  assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
  disk_begin(path);
  return 0;
}

static int tear_down(void **state) {
  disk_end();
  sqlite_file_remove(path);
  return 0;
}

static void opening_survives_refused_memory(void **state) {
  for (unsigned is_new = 0; is_new < 2; is_new++) {
    for (uint64_t n = 1;; n += step()) {
      cafe_err err;
      cafe_store *store;
      if (is_new || n == 1) {
        sqlite_file_remove(path);
      }
      if (!is_new && n == 1) {
        must(open_store(&store, &err), &err);
        must(kit_commit(store, 1, 3, 300, &err), &err);
        cafe_store_destroy(store);
      }
      arm(n);
      int code = open_store(&store, &err);
      bool refused = was_refused();
      arm(0);
      assert_true(code == CAFE_OK || code == CAFE_NOMEM || (code == CAFE_UNAVAILABLE && err.text[0]));
      assert_true(code == CAFE_OK || refused);
      if (code != CAFE_OK) {
        must(open_store(&store, &err), &err);
      }
      expect_units(store, is_new ? 0 : 3, is_new ? 0 : 3);
      cafe_store_destroy(store);
      if (!refused) {
        assert_true(n > 100);
        break;
      }
    }
  }
}

static void committing_survives_refused_memory(void **state) {
  for (uint64_t n = 1;; n += step()) {
    cafe_err err;
    cafe_store *store;
    sqlite_file_remove(path);
    must(open_store(&store, &err), &err);
    must(kit_commit(store, 1, 2, 300, &err), &err);
    arm(n);
    int code = kit_commit(store, 3, 3, 5000, &err);
    bool refused = was_refused();
    arm(0);
    assert_true(code == CAFE_OK || code == CAFE_NOMEM || code == CAFE_UNAVAILABLE);
    assert_true(code == CAFE_OK || refused);
    uint64_t units = 5;
    if (code == CAFE_UNAVAILABLE) {
      /* Not known: refused until it is opened anew. */
      assert_int_equal(kit_read(store, &units, &err), CAFE_UNAVAILABLE);
      cafe_store_destroy(store);
      must(open_store(&store, &err), &err);
      must(kit_read(store, &units, &err), &err);
      assert_true(units == 2 || units == 5);
    } else if (code == CAFE_NOMEM) {
      units = 2;
    }
    expect_units(store, units, units);
    must(kit_commit(store, units + 1, 2, 300, &err), &err);
    expect_units(store, units + 2, units + 2);
    cafe_store_destroy(store);
    if (!refused) {
      assert_true(n > 10);
      break;
    }
  }
}

static void reading_survives_refused_memory(void **state) {
  cafe_err err;
  cafe_store *store;
  sqlite_file_remove(path);
  must(open_store(&store, &err), &err);
  must(kit_commit(store, 1, 3, 5000, &err), &err);
  cafe_store_destroy(store);
  for (uint64_t n = 1;; n += step()) {
    must(open_store(&store, &err), &err);
    uint64_t units = 0;
    arm(n);
    int code = kit_read(store, &units, &err);
    bool refused = was_refused();
    arm(0);
    assert_true(code == CAFE_NOMEM || (code == CAFE_OK && units == 3));
    assert_true(code == CAFE_OK || refused);
    expect_units(store, 3, 3);
    cafe_store_destroy(store);
    if (!refused) {
      assert_true(n > 10);
      break;
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(opening_survives_refused_memory),
      cmocka_unit_test(committing_survives_refused_memory),
      cmocka_unit_test(reading_survives_refused_memory),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
