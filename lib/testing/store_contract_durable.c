/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tier durable: what a store has acknowledged is there, whatever happens to process, disk and power.
 *
 * All checks run one script, whose state after each step is known from a run in which nothing happens. So after any
 * accident the store can be in two states only: as after the last step that was acknowledged, or as after the one that
 * was under way, whole. Whatever it is, the rest of the script must go through, and end as it does without accidents.
 *
 * Accidents are tried at every call that changes a file, one run for each, from the store's making on. With CAFE_FULL
 * set in the environment, each power loss is tried in more ways.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/sized.h"
#include "testing/store_checks.h"

enum { STEPS = 6, UNITS = 3, CALLS_MAX = 100000 };

typedef struct script {
  cafe_slice after[STEPS + 1]; /* what there is, in memory that outlives check_forget */
  check_unit *units[STEPS][UNITS];
} script;

/* ---- the script ---- */

/* What every step goes on with. */
static check_unit *write_old(store_check *check, uint64_t key, uint32_t step) {
  check_unit *unit = unit_new(check, key);
  unit_event(check, unit, UINT64_C(2) * step + 1);
  unit_event(check, unit, UINT64_C(2) * step + 2);
  unit_line(check, unit, 1, step, 10 + step);
  unit_checkpoint(check, unit, "check-a", 0, UINT64_C(3) * step, UINT64_C(3) * step + 3);
  return unit;
}

/* What each step begins. */
static check_unit *write_new(store_check *check, uint64_t key, uint32_t step) {
  check_unit *unit = unit_new(check, key);
  unit_append(check, unit, "pot", 1, "Brewed", check_bytes(check, step % 3 == 2 ? 9000 : 150, step));
  unit_event(check, unit, 1);
  unit_line(check, unit, 1, 0, 20 + step);
  unit_line(check, unit, 2, 0, 30 + step);
  unit_key(check, unit, CAFE_KEY_CLAIM, check_text(check, "key %" PRIu32, step), cafe_text("print"),
           (cafe_slice){NULL, 0});
  return unit;
}

/* How what the step before began is ended. */
static check_unit *write_end(store_check *check, uint64_t key, uint32_t step) {
  check_unit *unit = unit_new(check, key);
  unit_event(check, unit, 2);
  unit_row(check, unit, &check_lines, 2, 1, NULL);
  unit_key(check, unit, CAFE_KEY_REPLY, check_text(check, "key %" PRIu32, step - 1), (cafe_slice){NULL, 0},
           check_text(check, "reply %" PRIu32, step));
  return unit;
}

static check_unit *write_note(store_check *check, uint64_t key) {
  check_note *note = check_alloc(check, sizeof(*note));
  *note = (check_note){cafe_text("note"), 7};
  check_unit *unit = unit_new(check, key);
  unit_row(check, unit, &check_notes, 0, 0, note);
  return unit;
}

static void write_units(store_check *check, script *s) {
  check->last_key = 0;
  uint64_t old = check_new_key(check);
  uint64_t begun = check_new_key(check);
  for (uint32_t i = 0; i < STEPS; i++) {
    s->units[i][0] = write_old(check, old, i);
    s->units[i][2] = i == 0 ? write_note(check, begun) : write_end(check, begun, i);
    begun = check_new_key(check);
    s->units[i][1] = write_new(check, begun, i);
  }
}

/* One step: the code of its commit. */
static int take_step(store_check *check, const script *s, unsigned step) {
  int code = check_try(check, s->units[step], UNITS);
  for (unsigned i = 0; i < UNITS && code == CAFE_OK; i++) {
    CHECK(check, s->units[step][i]->unit.result == CAFE_UNIT_DONE, "unit %u of step %u ended as %d instead of done",
          i + 1, step + 1, (int)s->units[step][i]->unit.result);
  }
  return code;
}

/* Steps until one fails: *code says how. Returns how many are acknowledged. */
static unsigned take_steps(store_check *check, const script *s, unsigned from, int *code) {
  unsigned step = from;
  for (*code = CAFE_OK; step < STEPS; step++) {
    *code = take_step(check, s, step);
    if (*code != CAFE_OK) {
      break;
    }
  }
  return step;
}

/* A new store, not opened, and the script for it. */
static void set_out(store_check *check, script *s) {
  check_forget(check);
  check_create(check, NULL);
  write_units(check, s);
}

/* The script without accidents. */
static script *write_script(store_check *check) {
  script *s = NULL;
  check->spare = cafe_arena_create(NULL);
  if (check->spare) {
    s = cafe_arena_alloc(check->spare, sizeof(*s));
  }
  CHECK(check, s, "the check itself was refused memory");
  check_begin(check); /* how many shards there are, and so which keys the script may take, only an open store says */
  set_out(check, s);
  check_open(check, &check_setup);
  for (unsigned i = 0; i <= STEPS; i++) {
    CHECK(check, cafe_arena_copy(&s->after[i], check->spare, check_dump(check)) == CAFE_OK,
          "the check itself was refused memory");
    if (i < STEPS) {
      check_code(check, __LINE__, "commit", take_step(check, s, i), CAFE_OK);
    }
  }
  return s;
}

/* Which step the store stands after: the last one acknowledged, or the one under way. */
static unsigned find_step(store_check *check, const script *s, unsigned acknowledged) {
  cafe_slice found = check_dump(check);
  if (acknowledged < STEPS && cafe_slice_equal(found, s->after[acknowledged + 1])) {
    return acknowledged + 1;
  }
  CHECK_SAME(check, s->after[acknowledged], found, "what was acknowledged isn't what is there");
  return acknowledged;
}

/* Goes on from an open store to the script's end. */
static void finish(store_check *check, const script *s, unsigned acknowledged) {
  int code;
  unsigned step = find_step(check, s, acknowledged);
  (void)take_steps(check, s, step, &code);
  check_code(check, __LINE__, "commit after the accident", code, CAFE_OK);
  CHECK_SAME(check, s->after[STEPS], check_dump(check), "the script ends otherwise after an accident");
}

static void arm(store_check *check, cafe_store_io_fault fault, uint64_t n) {
  CHECK(check, check->contract->fail_io(fault, n, check->contract->user) == CAFE_OK, "fail_io failed");
}

/* Makes the store and runs the script into the fault at call n. Returns how many steps are acknowledged. *code is that
 * of the call that failed; *is_open tells whether it was opened. */
static unsigned run_into(store_check *check, script *s, cafe_store_io_fault fault, uint64_t n, int *code,
                         bool *is_open) {
  CHECK(check, n < CALLS_MAX, "the script takes calls without end");
  set_out(check, s);
  arm(check, fault, n);
  *code = check->store->ops->open(check->store, &check->info, &check_setup, &check->err);
  *is_open = *code == CAFE_OK;
  return *is_open ? take_steps(check, s, 0, code) : 0;
}

/* The number of calls from the store's making to the script's end. */
static uint64_t count_calls(store_check *check, script *s) {
  uint64_t low = 0;
  uint64_t high = CALLS_MAX - 1;
  while (high - low > 1) {
    uint64_t middle = low + 256 < high ? low + 256 : low + (high - low) / 2;
    int code;
    bool is_open;
    (void)run_into(check, s, CAFE_STORE_IO_GONE, middle, &code, &is_open);
    *(code == CAFE_OK ? &high : &low) = middle;
    check_restart(check, CAFE_STORE_KILLED, 0);
  }
  return low;
}

/* ---- endings ---- */

static void a_restart_finds_everything(store_check *check) {
  script *s = write_script(check);
  uint64_t log_id = check->info.log_id;
  for (unsigned i = 0; i < 3; i++) {
    check_restart(check, CAFE_STORE_CLOSED, 0);
    CHECK_SAME(check, s->after[STEPS], check_dump(check), "a restart lost something");
    CHECK(check, check->info.log_id == log_id, "a restart changed the log id");
  }
  check_begin(check);
  CHECK(check, check->info.log_id != log_id, "two stores have the same log id");
}

/* The ending after each step. */
static void end_after_each_step(store_check *check, cafe_store_ending ending, uint64_t seed) {
  script *s = write_script(check);
  set_out(check, s);
  check_open(check, &check_setup);
  for (unsigned i = 0; i <= STEPS; i++) {
    check_restart(check, ending, seed + i);
    CHECK_SAME(check, s->after[i], check_dump(check), "what was acknowledged isn't there");
    if (i < STEPS) {
      check_code(check, __LINE__, "commit", take_step(check, s, i), CAFE_OK);
    }
  }
}

static void a_kill_between_commits_loses_nothing(store_check *check) {
  end_after_each_step(check, CAFE_STORE_KILLED, 0);
}

static void a_power_loss_between_commits_loses_nothing(store_check *check) {
  for (uint64_t seed = 0; seed < (check_is_full() ? 200 : 20); seed++) {
    cafe_arena_destroy(check->spare);
    check->spare = NULL;
    end_after_each_step(check, CAFE_STORE_POWER_LOST, seed * (STEPS + 1));
  }
}

/* The ending at call n, and again, in the recovery, at call m of it. */
static void end_at(store_check *check, script *s, cafe_store_ending ending, uint64_t n, uint64_t m, uint64_t seed) {
  char where[96];
  snprintf(where, sizeof(where), "ended at call %" PRIu64 ", in recovery at %" PRIu64 ", seed %" PRIu64, n, m, seed);
  check->where = where;
  int code;
  bool is_open;
  unsigned steps = run_into(check, s, CAFE_STORE_IO_GONE, n, &code, &is_open);
  if (m > 0) {
    CHECK_OK(check, check->contract->restart(&check->store, ending, seed, NULL, check->contract->user, &check->err));
    arm(check, CAFE_STORE_IO_GONE, m);
    (void)check->store->ops->open(check->store, &check->info, &check_setup, &check->err);
    cafe_err_clear(&check->err);
  }
  check_restart(check, ending, seed + 1);
  finish(check, s, steps);
  check->where = NULL;
}

static void a_kill_at_any_call_leaves_whole_batches(store_check *check) {
  script *s = write_script(check);
  uint64_t calls = count_calls(check, s);
  CHECK(check, calls > STEPS, "%d steps took %" PRIu64 " calls: fail_io does nothing", STEPS, calls);
  for (uint64_t n = 1; n <= calls + 1; n++) {
    end_at(check, s, CAFE_STORE_KILLED, n, 0, 0);
  }
}

static void a_power_loss_at_any_call_leaves_whole_batches(store_check *check) {
  script *s = write_script(check);
  uint64_t calls = count_calls(check, s);
  for (uint64_t seed = 0; seed < (check_is_full() ? 60 : 1); seed++) {
    for (uint64_t n = 1; n <= calls + 1; n++) {
      end_at(check, s, CAFE_STORE_POWER_LOST, n, 0, seed * 7919 + n);
    }
  }
}

static void recovery_that_is_cut_short_loses_nothing(store_check *check) {
  enum { RECOVERY = 40 };
  script *s = write_script(check);
  uint64_t calls = count_calls(check, s);
  uint64_t stride = calls / (check_is_full() ? 40 : 5) + 1;
  for (uint64_t n = stride; n <= calls; n += stride) {
    for (uint64_t m = 1; m <= RECOVERY; m++) {
      end_at(check, s, m % 2 ? CAFE_STORE_KILLED : CAFE_STORE_POWER_LOST, n, m, n * RECOVERY + m);
    }
  }
}

/* ---- faults ---- */

/* A store that says whether it is lost says so exactly while it refuses. */
static void check_lost(store_check *check, bool refuses) {
  const cafe_store_ops *ops = check->store->ops;
  CHECK(check, !SIZED_HAS(ops, is_lost) || ops->is_lost(check->store) == refuses, "it is%s lost, and says the contrary",
        refuses ? "" : "n't");
}

/* A commit failed, and the fault is gone. Either the store knows that nothing was written, and goes on; or it doesn't,
 * and refuses until it is opened anew. Returns the steps that are there, with the store open and at work. */
static unsigned go_on(store_check *check, const script *s, unsigned steps, bool ends) {
  cafe_log_query query = {sizeof(query), 0, 0, 1, NULL, 0, 0};
  int code = check->store->ops->read_log(check->store, &query, check_event_sink, found_new(check), &check->err);
  if (code != CAFE_OK) {
    check_code(check, __LINE__, "read_log after a commit that failed", code, CAFE_UNAVAILABLE);
    check_lost(check, true);
    check_code(check, __LINE__, "commit after one that failed", take_step(check, s, steps), CAFE_UNAVAILABLE);
    check_restart(check, ends ? CAFE_STORE_KILLED : CAFE_STORE_CLOSED, 0);
    check_lost(check, false);
    return find_step(check, s, steps);
  }
  CHECK_SAME(check, s->after[steps], check_dump(check), "a commit that failed left something");
  check_lost(check, false);
  if (ends) {
    check_restart(check, CAFE_STORE_KILLED, 0);
    CHECK_SAME(check, s->after[steps], check_dump(check), "a commit that failed came back");
  }
  check_code(check, __LINE__, "commit once the fault is gone", take_step(check, s, steps), CAFE_OK);
  return steps + 1;
}

/* The fault at call n, told, and gone again; then the power is lost, for what was acknowledged must be on the disk. */
static void fail_at(store_check *check, script *s, cafe_store_io_fault fault, uint64_t n, bool ends) {
  char where[64];
  snprintf(where, sizeof(where), "disk %s at call %" PRIu64, fault == CAFE_STORE_IO_FULL ? "full" : "error", n);
  check->where = where;
  int code;
  bool is_open;
  unsigned steps = run_into(check, s, fault, n, &code, &is_open);
  if (code != CAFE_OK) {
    check_code(check, __LINE__, "the call that met it", code, CAFE_UNAVAILABLE);
    arm(check, fault, 0);
    if (is_open) {
      steps = go_on(check, s, steps, ends);
    } else {
      check_restart(check, CAFE_STORE_CLOSED, 0);
    }
  }
  finish(check, s, steps);
  check_restart(check, CAFE_STORE_POWER_LOST, n);
  CHECK_SAME(check, s->after[STEPS], check_dump(check), "a power loss after the fault lost something");
  check->where = NULL;
}

static void fail_at_each_call(store_check *check, cafe_store_io_fault fault) {
  script *s = write_script(check);
  uint64_t calls = count_calls(check, s);
  for (uint64_t n = 1; n <= calls; n++) {
    fail_at(check, s, fault, n, false);
    fail_at(check, s, fault, n, true);
  }
}

static void a_full_disk_loses_nothing(store_check *check) { fail_at_each_call(check, CAFE_STORE_IO_FULL); }

static void a_disk_error_loses_nothing(store_check *check) { fail_at_each_call(check, CAFE_STORE_IO_ERROR); }

/* ---- damage ---- */

/* *is_there is false where this backend can't be damaged so. */
static int damage_and_open(store_check *check, cafe_store_damage what, uint64_t n, bool *is_there) {
  int code = check->contract->damage(&check->store, what, n, check->contract->user, &check->err);
  *is_there = code == CAFE_OK;
  if (code != CAFE_UNSUPPORTED) {
    check_code(check, __LINE__, "damage", code, CAFE_OK);
    code = check->store->ops->open(check->store, &check->info, &check_setup, &check->err);
  }
  return code;
}

/* Reads the log as it is; what comes out must be what went in. */
static int read_damaged(store_check *check, const cafe_stored_event *wanted, check_found *found) {
  cafe_log_query query = {sizeof(query), 0, 0, UINT32_MAX, NULL, 0, 0};
  int code = check->store->ops->read_log(check->store, &query, check_event_sink, found, &check->err);
  for (uint32_t i = 0; i < found->event_count; i++) {
    CHECK(check, found->events[i].n == wanted[i].n && cafe_slice_equal(found->events[i].data, wanted[i].data),
          "position %" PRIu64 " came out changed", wanted[i].n);
  }
  return code;
}

static void a_damaged_event_is_refused(store_check *check) {
  for (uint64_t n = 1;; n += 5) {
    script *s = write_script(check);
    const check_found *before = check_log(check, 0, NULL, 1000);
    if (n > before->event_count) {
      return;
    }
    uint64_t key = before->events[n - 1].key;
    bool is_there;
    int code = damage_and_open(check, CAFE_STORE_DAMAGE_EVENT, n, &is_there);
    if (!is_there) {
      return;
    }
    if (code == CAFE_OK) {
      check_found *found = found_new(check);
      check_code(check, __LINE__, "read_log over a damaged event", read_damaged(check, before->events, found),
                 CAFE_CORRUPT);
      CHECK(check, found->event_count < n, "position %" PRIu64 " was read though it is damaged", n);
      code =
          check->store->ops->load(check->store, key, check_event_sink, check_row_sink, found_new(check), &check->err);
    }
    check_code(check, __LINE__, "open or load with a damaged event", code, CAFE_CORRUPT);
    (void)s;
    cafe_arena_destroy(check->spare);
    check->spare = NULL;
  }
}

static void a_torn_tail_is_recovered(store_check *check) {
  script *s = write_script(check);
  bool is_there;
  int code = damage_and_open(check, CAFE_STORE_DAMAGE_TAIL, 0, &is_there);
  if (is_there) {
    check_code(check, __LINE__, "open with a torn tail", code, CAFE_OK);
    CHECK_SAME(check, s->after[STEPS], check_dump(check), "a torn tail took more than itself along");
  }
}

static void damage_amid_the_journal_is_refused(store_check *check) {
  script *s = write_script(check);
  bool is_there;
  int code = damage_and_open(check, CAFE_STORE_DAMAGE_JOURNAL, 0, &is_there);
  if (is_there && code == CAFE_OK) {
    CHECK_SAME(check, s->after[STEPS], check_dump(check), "damage took acknowledged units along without a word");
  } else if (is_there) {
    check_code(check, __LINE__, "open with a damaged journal", code, CAFE_CORRUPT);
  }
}

static void a_newer_schema_is_refused(store_check *check) {
  (void)write_script(check);
  bool is_there;
  int code = damage_and_open(check, CAFE_STORE_DAMAGE_NEWER, 0, &is_there);
  if (is_there) {
    check_code(check, __LINE__, "open of a newer schema", code, CAFE_UNSUPPORTED);
  }
}

static void a_foreign_file_is_refused(store_check *check) {
  (void)write_script(check);
  bool is_there;
  int code = damage_and_open(check, CAFE_STORE_DAMAGE_FOREIGN, 0, &is_there);
  if (is_there) {
    check_code(check, __LINE__, "open of what isn't a store", code, CAFE_INVALID);
  }
}

/* ---- one at a time ---- */

static void a_second_opener_is_told_who_was_first(store_check *check) {
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  script *s = write_script(check);
  CHECK_OK(check, check->contract->rival(&check->rival, check->contract->user, &check->err));
  int code = check->rival->ops->open(check->rival, &info, &check_setup, &check->err);
  CHECK(check, code != CAFE_DENIED || strstr(check->err.text, check_setup.owner), "the holder isn't named: %s",
        check->err.text);
  CHECK_CODE(check, code, CAFE_DENIED);
  CHECK_SAME(check, s->after[STEPS], check_dump(check), "being asked for the store changed it");
  set_out(check, s);
  check_open(check, &check_setup);
  check_code(check, __LINE__, "commit after a rival was denied", take_step(check, s, 0), CAFE_OK);
}

const store_check_entry store_checks_durable[] = {
    {"a_restart_finds_everything", a_restart_finds_everything, false, false},
    {"a_kill_between_commits_loses_nothing", a_kill_between_commits_loses_nothing, false, false},
    {"a_power_loss_between_commits_loses_nothing", a_power_loss_between_commits_loses_nothing, false, false},
    {"a_kill_at_any_call_leaves_whole_batches", a_kill_at_any_call_leaves_whole_batches, false, false},
    {"a_power_loss_at_any_call_leaves_whole_batches", a_power_loss_at_any_call_leaves_whole_batches, false, false},
    {"recovery_that_is_cut_short_loses_nothing", recovery_that_is_cut_short_loses_nothing, false, false},
    {"a_full_disk_loses_nothing", a_full_disk_loses_nothing, false, false},
    {"a_disk_error_loses_nothing", a_disk_error_loses_nothing, false, false},
    {"a_damaged_event_is_refused", a_damaged_event_is_refused, false, false},
    {"a_torn_tail_is_recovered", a_torn_tail_is_recovered, false, false},
    {"damage_amid_the_journal_is_refused", damage_amid_the_journal_is_refused, false, false},
    {"a_newer_schema_is_refused", a_newer_schema_is_refused, false, false},
    {"a_foreign_file_is_refused", a_foreign_file_is_refused, false, false},
    {"a_second_opener_is_told_who_was_first", a_second_opener_is_told_who_was_first, false, false},
    {NULL, NULL, false, false},
};
