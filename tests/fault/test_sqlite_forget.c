/* SPDX-License-Identifier: Apache-2.0 */

/* Clients' keys are forgotten on a disk that fails, and without looking at all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "disk_vfs.h"
#include "sqlite_file.h"
#include "sqlite_kit.h"

static const char path[] = "forget.db";

enum { AT_ONCE = 100, KEYS = 40 * AT_ONCE };

static void must(int code, const cafe_err *err) {
  if (code != CAFE_OK) {
    fail_msg("%s", err->text);
  }
}

/* Keys first to first + AT_ONCE - 1, each of its own time. */
static void claim(cafe_store *store, uint64_t first) {
  static char names[AT_ONCE][32];
  static cafe_key_write keys[AT_ONCE];
  static cafe_unit units[AT_ONCE];
  cafe_unit *pointers[AT_ONCE];
  cafe_err err;
  cafe_arena *arena = cafe_arena_create(NULL);
  for (unsigned i = 0; i < AT_ONCE; i++) {
    snprintf(names[i], sizeof(names[i]), "%llu", (unsigned long long)(first + i) * 2654435761 % 4294967296);
    keys[i] = (cafe_key_write){.mode = CAFE_KEY_BOTH,
                               .scope = cafe_text("POST /orders"),
                               .key = cafe_text(names[i]),
                               .fingerprint = cafe_text("a body of some length, as an order has one"),
                               .stream_key = first + i + 1,
                               .reply = cafe_text("{\"orderId\":1041,\"status\":\"Ordered\"}"),
                               .time_ms = (int64_t)(first + i)};
    units[i] = (cafe_unit){.size = sizeof(units[i]), .key = first + i + 1, .client_key = &keys[i]};
    pointers[i] = &units[i];
  }
  cafe_batch batch = {sizeof(batch), pointers, AT_ONCE, arena};
  must(store->ops->commit(store, &batch, &err), &err);
  cafe_arena_destroy(arena);
}

static cafe_store *must_open(void) {
  cafe_err err;
  cafe_store *store;
  must(kit_open(&store, path, DISK_VFS, CAFE_SQLITE_FULL, &err), &err);
  return store;
}

static cafe_store *fill(uint64_t keys) {
  sqlite_file_remove(path);
  cafe_store *store = must_open();
  for (uint64_t i = 0; i < keys; i += AT_ONCE) {
    claim(store, i);
  }
  return store;
}

static int forget(cafe_store *store, int64_t before_ms, uint64_t *count, cafe_err *err) {
  cafe_forget it = {.size = sizeof(it), .before_ms = before_ms};
  int code = CAFE_OK;
  while (code == CAFE_OK && !it.is_done) {
    code = store->ops->forget_keys(store, &it, err);
  }
  *count = it.count;
  return code;
}

static int set_up(void **state) {
  disk_begin(path);
  return 0;
}

static int tear_down(void **state) {
  disk_end();
  sqlite_file_remove(path);
  return 0;
}

/* What is told to be gone is gone, and nothing else; a failure leaves the store to go on, or to be opened anew. */
static void a_disk_that_fails_loses_no_young_key(void **state) {
  static const disk_fault faults[] = {DISK_FULL, DISK_ERROR};
  enum { OLD = 600, ALL = 700 };
  for (size_t i = 0; i < 2; i++) {
    for (uint64_t n = 1;; n++) {
      cafe_err err;
      uint64_t count, rest, young;
      cafe_store *store = fill(ALL);
      disk_arm(faults[i], n);
      int code = forget(store, OLD, &count, &err);
      bool failed = disk_failed();
      disk_arm(0, 0);
      assert_true(code == CAFE_OK || (failed && code == CAFE_UNAVAILABLE));
      cafe_store_destroy(store);
      store = must_open();
      must(forget(store, OLD, &rest, &err), &err);
      assert_true(count + rest == OLD || (code && count + rest < OLD)); /* a commit that nobody was told of */
      assert_true(code || count == OLD);
      must(forget(store, INT64_MAX, &young, &err), &err);
      assert_int_equal(young, ALL - OLD);
      cafe_store_destroy(store);
      if (!failed) {
        assert_true(n > 3);
        break;
      }
    }
  }
}

/* Of many young keys some thousands are looked at, by as many reads as these take; not all of them. */
static void young_keys_are_not_looked_through(void **state) {
  cafe_err err;
  uint64_t count, reads[2];
  for (int i = 0; i < 2; i++) {
    cafe_store *store = fill(i ? 10 * KEYS : KEYS);
    cafe_store_destroy(store);
    store = must_open(); /* nothing of it is in memory */
    disk_arm_read(0);
    must(forget(store, 0, &count, &err), &err);
    reads[i] = disk_reads();
    assert_int_equal(count, 0);
    cafe_store_destroy(store);
  }
  assert_true(reads[0] > 10 && reads[1] < reads[0] + 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_disk_that_fails_loses_no_young_key, set_up, tear_down),
      cmocka_unit_test_setup_teardown(young_keys_are_not_looked_through, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
