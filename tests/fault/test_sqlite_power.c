/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Power that goes at every call that changes a file: once what was done is remembered, the files are made as the disk
 * could have them at each moment, in several ways, and opened. What was acknowledged by then is there, and nothing in
 * halves. With CAFE_FULL, in more ways, and at more moments of a checkpoint of thousands of pages.
 */
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

static const char path[] = "power.db";
static const char after[] = "power-after.db";

enum { ACKS_MAX = 256 };

/* What was acknowledged, and when. */
static struct {
  uint64_t moment;
  uint64_t units;
} acks[ACKS_MAX];
static unsigned ack_count;

static unsigned full(unsigned shorter, unsigned longer) {
  const char *value = getenv("CAFE_FULL");
  return value && value[0] ? longer : shorter;
}

static cafe_store *must_open(void) {
  cafe_err err;
  cafe_store *store;
  if (kit_open(&store, path, DISK_VFS, CAFE_SQLITE_FULL, &err) != CAFE_OK) {
    fail_msg("%s", err.text);
  }
  return store;
}

static uint64_t acknowledged(void) { return ack_count ? acks[ack_count - 1].units : 0; }

static void must_commit(cafe_store *store, uint32_t count, size_t size) {
  cafe_err err;
  uint64_t units = acknowledged();
  if (kit_commit(store, units + 1, count, size, &err) != CAFE_OK) {
    fail_msg("%s", err.text);
  }
  assert_true(ack_count < ACKS_MAX);
  acks[ack_count].moment = disk_moment();
  acks[ack_count++].units = units + count;
}

static int set_up(void **state) {
  sqlite_file_remove(path);
  ack_count = 0;
  disk_begin(path);
  disk_remember();
  return 0;
}

static int tear_down(void **state) {
  disk_end();
  sqlite_file_remove(path);
  sqlite_file_remove(after);
  return 0;
}

/* The number of units that may be there besides those acknowledged: the batch under way. */
static void check_moment(uint64_t moment, disk_loss loss, uint64_t seed) {
  unsigned known = 0;
  while (known < ack_count && acks[known].moment <= moment) {
    known++;
  }
  uint64_t least = known ? acks[known - 1].units : 0;
  uint64_t most = known < ack_count ? acks[known].units : least;
  disk_lose_power(moment, loss, seed, after);
  cafe_err err;
  cafe_store *store = NULL;
  uint64_t units = 0;
  int code = kit_open(&store, after, DISK_VFS, CAFE_SQLITE_FULL, &err);
  if (code == CAFE_OK) {
    code = kit_read(store, &units, &err);
  }
  if (code != CAFE_OK || (units != least && units != most)) {
    fail_msg("moment %llu, loss %d, seed %llu: %llu units instead of %llu or %llu: %s", (unsigned long long)moment,
             (int)loss, (unsigned long long)seed, (unsigned long long)units, (unsigned long long)least,
             (unsigned long long)most, code ? err.text : "");
  }
  cafe_store_destroy(store);
}

/* X16: power loss: unsynced writes are dropped, torn and reordered at every write n: every acknowledged unit is
 * there. Small batches, with a close and an open in between. */
static void every_moment_keeps_what_was_acknowledged(void **state) {
  for (unsigned round = 0; round < 2; round++) {
    cafe_store *store = must_open();
    for (unsigned i = 0; i < 4; i++) {
      must_commit(store, 1 + i % 2, i == 2 ? 6000 : 300);
    }
    cafe_store_destroy(store);
  }
  uint64_t end = disk_moment();
  assert_true(end > 100);
  for (uint64_t moment = 0; moment <= end; moment++) {
    for (unsigned loss = 0; loss < DISK_LOSSES; loss++) {
      for (uint64_t seed = 0; seed < (loss == DISK_SHUFFLED ? full(1, 30) : full(1, 5)); seed++) {
        check_moment(moment, (disk_loss)loss, seed * 1000003 + moment);
      }
    }
  }
}

/* X16: the same while the WAL is copied. Batches until the WAL was copied into the file, then some more, in the
 * WAL's next round. */
static void a_checkpoint_keeps_what_was_acknowledged(void **state) {
  enum { BATCH = 60, SIZE = 5000 };
  cafe_store *store = must_open();
  uint64_t before = 0;
  uint64_t copied = 0;
  while (copied == 0) {
    uint64_t begun = disk_moment();
    must_commit(store, BATCH, SIZE);
    uint64_t calls = disk_moment() - begun;
    if (calls > 4000) {
      before = begun;
      copied = disk_moment();
    }
  }
  for (unsigned i = 0; i < 3; i++) {
    must_commit(store, 2, 300);
  }
  uint64_t end = disk_moment();
  /* The checkpoint's own calls, the WAL's new beginning, and every one of the last batches. */
  uint64_t stride = (copied - before) / full(8, 400) + 1;
  for (uint64_t moment = before; moment < copied; moment += stride) {
    check_moment(moment, DISK_SHUFFLED, moment);
    check_moment(moment, (disk_loss)(moment % DISK_LOSSES), moment);
  }
  for (uint64_t moment = copied - 5; moment <= end; moment += full(9, 1)) {
    check_moment(moment, DISK_SHUFFLED, moment);
    check_moment(moment, (disk_loss)(moment % DISK_LOSSES), moment);
  }
  cafe_store_destroy(store);
}

/* The commit is done before its checkpoint begins, so a checkpoint that fails takes nothing along, and the next one
 * makes up for it. */
static void a_checkpoint_that_fails_loses_nothing(void **state) {
  cafe_store *store = must_open();
  unsigned batches = 0;
  uint64_t own = 0;   /* calls of a commit without a checkpoint */
  uint64_t calls = 0; /* of the one with it */
  while (calls < 2 * own || own == 0) {
    own = calls > own ? calls : own;
    disk_arm(DISK_ERROR, 0);
    must_commit(store, 60, 5000);
    calls = disk_calls();
    batches++;
  }
  cafe_store_destroy(store);
  const uint64_t at[] = {own + 20, own + 21, (own + calls) / 2, calls - 1, calls};
  for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
    tear_down(NULL);
    set_up(NULL);
    store = must_open();
    for (unsigned k = 1; k < batches; k++) {
      must_commit(store, 60, 5000);
    }
    disk_arm(i % 2 ? DISK_FULL : DISK_ERROR, at[i]);
    must_commit(store, 60, 5000);
    assert_true(disk_failed());
    disk_arm(0, 0);
    must_commit(store, 1, 300);
    must_commit(store, 1, 300);
    uint64_t moment = disk_moment();
    cafe_store_destroy(store);
    check_moment(moment, DISK_SHUFFLED, at[i]);
    check_moment(moment, DISK_DROPPED, at[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(every_moment_keeps_what_was_acknowledged, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_checkpoint_keeps_what_was_acknowledged, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_checkpoint_that_fails_loses_nothing, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
