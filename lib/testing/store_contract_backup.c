/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tier backed up: a copy of one moment, made while everything goes on, and a store made of it that nobody can mistake
 * for the one before. A backup that isn't whole is worse than none: it is found out on the day that it is needed.
 */
#include <inttypes.h>

#include "testing/store_checks.h"

enum { ORDERS = 120, PER_BATCH = 20 };

/* Orders with an event, two rows, a client's key and a checkpoint each. */
static void fill(store_check *check, uint32_t from, uint32_t count) {
  for (uint32_t first = from; first < from + count; first += PER_BATCH) {
    check_unit *units[PER_BATCH];
    cafe_unit_result done[PER_BATCH];
    for (uint32_t i = 0; i < PER_BATCH; i++) {
      check_unit *unit = units[i] = unit_new(check, check_new_key(check));
      unit_append(check, unit, "cup", 1, "CupFilled", check_bytes(check, 9000, first + i));
      unit_line(check, unit, 1, 0, first + i);
      unit_line(check, unit, 2, 0, first + i + 1);
      unit_key(check, unit, CAFE_KEY_BOTH, check_text(check, "key %" PRIu32, first + i), cafe_text("p"),
               check_text(check, "reply %" PRIu32, first + i));
      done[i] = CAFE_UNIT_DONE;
    }
    unit_checkpoint(check, units[0], "check-a", -1, first == 0 ? 0 : first, first + PER_BATCH);
    check_commit(check, units, done, PER_BATCH);
  }
}

static int step(store_check *check, cafe_backup *backup) {
  return check->store->ops->backup(check->store, backup, &check->err);
}

static void back_up(store_check *check) {
  cafe_backup backup = {.size = sizeof(backup), .path = check->contract->backup_path};
  while (!backup.is_done) {
    CHECK_OK(check, step(check, &backup));
  }
  CHECK(check, !backup.store_data, "a backup that is done isn't over");
}

static void restore(store_check *check) {
  CHECK_OK(check, check->contract->restore(&check->store, check->contract->user, &check->err));
  check_open(check, &check_setup);
}

static void a_backup_is_of_one_commit_while_others_are_made(store_check *check) {
  check_begin(check);
  fill(check, 0, ORDERS);
  cafe_slice before = check_dump(check);
  check_key_name *names = check->key_names;
  cafe_backup backup = {.size = sizeof(backup), .path = check->contract->backup_path};
  uint32_t orders = ORDERS;
  for (; !backup.is_done; orders += PER_BATCH) {
    CHECK_OK(check, step(check, &backup));
    fill(check, orders, PER_BATCH);
    CHECK(check, check_log(check, 0, NULL, 1000)->event_count == orders + PER_BATCH, "a backup keeps readers away");
  }
  cafe_slice now = check_dump(check);
  check_restart(check, CAFE_STORE_CLOSED, 0);
  CHECK_SAME(check, now, check_dump(check), "a backup changed the store");
  restore(check);
  check->key_names = names; /* of those that there were then */
  CHECK_SAME(check, before, check_dump(check), "the store isn't as it was when the backup began");
  CHECK(check, check_log(check, 0, NULL, 1000)->event_count == ORDERS, "the restored log has another length");
}

static void a_restored_log_has_an_id_of_its_own(store_check *check) {
  check_begin(check);
  uint64_t old_id = check->info.log_id;
  CHECK(check, check->info.restored_ms == 0 && check->info.origin_count == 0, "a new store says that it was restored");
  fill(check, 0, PER_BATCH);
  check_unit *unit = unit_new(check, check_new_key(check));
  unit_checkpoint(check, unit, "check-b", 5, 0, 17);
  unit->checkpoints[0].log_id = old_id;
  check_one(check, unit, CAFE_UNIT_DONE);
  back_up(check);
  uint64_t last_id = old_id;
  for (unsigned i = 0; i < 2; i++) {
    restore(check);
    const cafe_store_info *info = &check->info;
    CHECK(check, info->log_id != old_id && info->log_id != last_id, "a restored log has an id that was there before");
    CHECK(check, info->restored_ms > 0, "a restored store doesn't say so");
    CHECK(check, info->origin_count == 1 && info->origins[0].log_id == old_id && info->origins[0].n == PER_BATCH,
          "a restored store doesn't say which log it goes on from, or from where");
    const check_found *own = check_checkpoints(check, "check-b");
    CHECK(check,
          own->checkpoint_count == 1 && own->checkpoints[0].log_id == info->log_id && own->checkpoints[0].n == 17,
          "a checkpoint on the store's own log didn't move along");
    const check_found *other = check_checkpoints(check, "check-a");
    CHECK(check, other->checkpoint_count == 1 && other->checkpoints[0].log_id == 77,
          "a checkpoint on another log moved");
    last_id = info->log_id;
  }
}

static void a_backup_that_is_ended_leaves_nothing(store_check *check) {
  check_begin(check);
  fill(check, 0, ORDERS);
  for (unsigned steps = 0; steps < 2; steps++) {
    cafe_backup backup = {.size = sizeof(backup), .path = check->contract->backup_path};
    for (unsigned i = 0; i < steps && !backup.is_done; i++) {
      CHECK_OK(check, step(check, &backup));
    }
    if (backup.is_done) {
      return; /* so fast that there is nothing to end */
    }
    check->store->ops->end_backup(check->store, &backup);
    CHECK(check, !backup.store_data, "a backup that was ended isn't over");
    check->store->ops->end_backup(check->store, &backup);
  }
  back_up(check); /* nothing is in its way */
}

static void a_backup_takes_nobody_s_place(store_check *check) {
  check_begin(check);
  fill(check, 0, PER_BATCH);
  back_up(check);
  fill(check, PER_BATCH, PER_BATCH);
  cafe_backup second = {.size = sizeof(second), .path = check->contract->backup_path};
  CHECK_CODE(check, step(check, &second), CAFE_INVALID);
  restore(check);
  CHECK(check, check_log(check, 0, NULL, 1000)->event_count == PER_BATCH, "the first backup was overwritten");
}

const store_check_entry store_checks_backup[] = {
    {"a_backup_is_of_one_commit_while_others_are_made", a_backup_is_of_one_commit_while_others_are_made, false, false},
    {"a_restored_log_has_an_id_of_its_own", a_restored_log_has_an_id_of_its_own, false, false},
    {"a_backup_that_is_ended_leaves_nothing", a_backup_that_is_ended_leaves_nothing, false, false},
    {"a_backup_takes_nobody_s_place", a_backup_takes_nobody_s_place, false, false},
    {NULL, NULL, false, false},
};
