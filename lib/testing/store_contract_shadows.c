/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Shadows, for the backends that have them: a table is made anew beside the one that serves, and takes its place. What
 * is there at any moment is the old one or the new one, whole, with the checkpoints that belong to it; so every check
 * compares with the two states that there may be.
 *
 * Tier core: what readers and writers find. Tier durable: what is left after an accident at any call that changes a
 * file.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/sized.h"
#include "testing/store_checks.h"

enum { ATTEMPTS_MAX = 100000, ROWS = 6, ROUNDS = 3 };

/* False: there are none to check. */
static bool begin(store_check *check) {
  check_begin(check);
  const cafe_store_ops *ops = check->store->ops;
  bool has_make = SIZED_HAS(ops, make_shadow);
  bool has_drop = SIZED_HAS(ops, drop_shadow);
  bool has_replace = SIZED_HAS(ops, replace);
  CHECK(check, has_make == has_drop && has_make == has_replace,
        "make_shadow, drop_shadow and replace belong together: it has some of them");
  return has_make;
}

static const cafe_table *shadow_of(store_check *check, const char *name) {
  cafe_table *shadow = check_alloc(check, sizeof(*shadow));
  *shadow = check_lines;
  shadow->name = name;
  shadow->is_loaded = false;
  return shadow;
}

/* ---- what is done ---- */

/* Two keys in the table, and places in the log. */
static void write_old(store_check *check) {
  check->last_key = 0;
  for (uint32_t i = 0; i < 2; i++) {
    check_unit *unit = unit_new(check, check_new_key(check));
    unit_event(check, unit, 1);
    unit_line(check, unit, 1, 0, i);
    unit_line(check, unit, 2, 0, 10 + i);
    unit_checkpoint(check, unit, "check-a", (int32_t)i, 0, 5);
    unit_checkpoint(check, unit, "check-ab", (int32_t)i, 0, 7);
    check_one(check, unit, CAFE_UNIT_DONE);
  }
}

static int make(store_check *check, const cafe_table *shadow) {
  return check->store->ops->make_shadow(check->store, shadow, &check_lines, &check->err);
}

static int drop(store_check *check, const cafe_table *shadow) {
  return check->store->ops->drop_shadow(check->store, shadow, &check->err);
}

/* Some of the table's rows, changed ones and new ones, the first of them twice. */
static int fill(store_check *check, const cafe_table *shadow, uint32_t round) {
  uint64_t key = 0;
  check->last_key = 0;
  for (uint32_t i = 0; i < ROWS; i++) {
    key = i % 2 == 0 ? check_new_key(check) : key;
    check_unit *unit = unit_new(check, key);
    unit_row(check, unit, shadow, 1 + i % 2, 0, check_line_of(check, 20 * round + i));
    check_unit *again = unit_new(check, key);
    unit_row(check, again, shadow, 1, 1, check_line_of(check, 20 * round + 10));
    check_unit *units[2] = {unit, again};
    int code = check_try(check, units, i == 0 ? 2 : 1);
    if (code) {
      return code;
    }
    CHECK(check, unit->unit.result == CAFE_UNIT_DONE && (i != 0 || again->unit.result == CAFE_UNIT_DONE),
          "a row of a shadow wasn't written");
  }
  return CAFE_OK;
}

/* The unit beside it: a note of its own in each round, and where the subscription stands now. */
static check_unit *beside(store_check *check, uint32_t round, uint64_t expected) {
  check->last_key = 0;
  check_unit *unit = unit_new(check, check_new_key(check));
  check_note *note = check_alloc(check, sizeof(*note));
  *note = (check_note){cafe_text("replaced"), round};
  unit_row(check, unit, &check_notes, 0, expected, note);
  unit_checkpoint(check, unit, "check-a", -1, 0, 100 + round);
  return unit;
}

static int replace(store_check *check, const cafe_table *shadow, check_unit *unit) {
  static const char *const subscriptions[] = {"check-a", "check-none", NULL};
  cafe_replacement what = {sizeof(what),  &check_lines, shadow,
                           subscriptions, &unit->unit,  check->spare ? check->spare : check->arena};
  unit->unit.result = CAFE_UNIT_OPEN;
  return check->store->ops->replace(check->store, &what, &check->err);
}

/* All of it. The code of the first call that failed. */
static int rebuild(store_check *check, const cafe_table *shadow, uint32_t round, bool *is_replaced) {
  *is_replaced = false;
  int code = make(check, shadow);
  if (code == CAFE_OK) {
    code = fill(check, shadow, round);
  }
  if (code == CAFE_OK) {
    check_unit *unit = beside(check, round, round);
    code = replace(check, shadow, unit);
    CHECK(check, code || unit->unit.result == CAFE_UNIT_DONE, "the unit beside a replacement ended as %d",
          (int)unit->unit.result);
    *is_replaced = code == CAFE_OK;
  }
  return code;
}

static int read_rows_of(store_check *check, const cafe_table *table, check_found *found) {
  cafe_row_query query = {sizeof(query), table, NULL, 0, 0, 0, -1, UINT32_MAX};
  return check->store->ops->read_rows(check->store, &query, check_row_sink, found, &check->err);
}

static uint32_t count_rows(store_check *check, const cafe_table *table) {
  check_found *found = found_new(check);
  check_code(check, __LINE__, "read_rows", read_rows_of(check, table, found), CAFE_OK);
  return found->row_count;
}

/* ---- core ---- */

static void a_shadow_is_filled_while_the_table_serves(store_check *check) {
  if (!begin(check)) {
    return;
  }
  write_old(check);
  cafe_slice before = check_dump(check);
  const cafe_table *shadow = shadow_of(check, CAFE_SHADOW_NAME "of_lines");
  check_code(check, __LINE__, "make_shadow", make(check, shadow), CAFE_OK);
  CHECK(check, count_rows(check, shadow) == 0, "a shadow that was just made has rows");
  check_code(check, __LINE__, "commit", fill(check, shadow, 0), CAFE_OK);
  CHECK_SAME(check, before, check_dump(check), "rows of a shadow changed what there is");
  CHECK(check, count_rows(check, shadow) == ROWS, "a shadow doesn't have the rows that were written");
  check->last_key = 0;
  CHECK(check, check_load(check, check_new_key(check))->row_count == 2, "load gives rows of a shadow");
  check_unit *unit = unit_new(check, check->last_key);
  unit_row(check, unit, shadow, 1, 1, check_line_of(check, 1));
  check_one(check, unit, CAFE_UNIT_ROW_CONFLICT);
  cafe_condition at_most = {.column = LINE_NUMBER, .at_most = true, .value = {.number = 0}};
  cafe_row_query query = {sizeof(query), shadow, &at_most, 1, 0, 0, LINE_NUMBER, 10};
  CHECK(check, check_rows(check, &query)->row_count == 3, "a list of a shadow's rows by a column isn't right");
  check_code(check, __LINE__, "make_shadow of one that is there", make(check, shadow), CAFE_OK);
  CHECK(check, count_rows(check, shadow) == 0, "a shadow that was made anew has rows");
  check_code(check, __LINE__, "drop_shadow", drop(check, shadow), CAFE_OK);
  CHECK_CODE(check, read_rows_of(check, shadow, found_new(check)), CAFE_INVALID);
  check_code(check, __LINE__, "drop_shadow of none", drop(check, shadow), CAFE_OK);
  CHECK_SAME(check, before, check_dump(check), "a shadow that was dropped left something");
}

static void a_table_has_two_shadows_at_a_time(store_check *check) {
  if (!begin(check)) {
    return;
  }
  const cafe_table *one = shadow_of(check, CAFE_SHADOW_NAME "one");
  const cafe_table *two = shadow_of(check, CAFE_SHADOW_NAME "two");
  for (uint32_t round = 0; round < ROUNDS; round++) {
    CHECK_OK(check, make(check, one));
    CHECK_OK(check, make(check, two));
    CHECK_OK(check, fill(check, two, round));
    CHECK(check, count_rows(check, one) == 0 && count_rows(check, two) == ROWS, "two shadows are mixed up");
    CHECK_OK(check, drop(check, two));
    CHECK_OK(check, fill(check, one, round));
    CHECK(check, count_rows(check, one) == ROWS, "a shadow lost its rows with another one");
    CHECK_OK(check, drop(check, one));
  }
}

/* The table's rows are those of the round, and may be gone on with. */
static void expect_round(store_check *check, uint32_t round) {
  check_found *found = found_new(check);
  CHECK_OK(check, read_rows_of(check, &check_lines, found));
  CHECK(check, found->row_count == ROWS, "the table has %" PRIu32 " rows instead of the shadow's %d", found->row_count,
        ROWS);
  for (uint32_t i = 0; i < ROWS; i++) {
    const check_line *wanted = check_line_of(check, 20 * round + (i == 0 ? 10 : i));
    CHECK(check, check_lines_equal(found->rows[i].data, wanted), "row %" PRIu32 " isn't the shadow's", i);
    CHECK(check, found->rows[i].version == (i == 0 ? 2 : 1), "row %" PRIu32 " has another version than the shadow's",
          i);
  }
  check->last_key = 0;
  check_unit *old = unit_new(check, check_new_key(check)), *next = unit_new(check, check->last_key);
  unit_line(check, old, 1, 1, 90);
  check_one(check, old, CAFE_UNIT_ROW_CONFLICT);
  unit_line(check, next, 1, 2, 91);
  check_one(check, next, CAFE_UNIT_DONE);
  CHECK(check, check_load(check, check->last_key)->row_count == 2, "load doesn't give the rows of the new table");
  cafe_condition equals = {.column = LINE_NUMBER, .value = {.number = 91 - 3}};
  cafe_row_query query = {sizeof(query), &check_lines, &equals, 1, 0, 0, -1, 10};
  CHECK(check, check_rows(check, &query)->row_count == 1, "a list by a column doesn't find what the new table has");
}

static void a_shadow_takes_the_tables_place(store_check *check) {
  if (!begin(check)) {
    return;
  }
  write_old(check);
  const cafe_table *shadow = shadow_of(check, CAFE_SHADOW_NAME "of_lines");
  for (uint32_t round = 0; round < ROUNDS; round++) {
    bool is_replaced;
    CHECK_OK(check, rebuild(check, shadow, round, &is_replaced));
    CHECK_CODE(check, read_rows_of(check, shadow, found_new(check)), CAFE_INVALID);
    const check_found *places = check_checkpoints(check, "check-a");
    CHECK(check,
          places->checkpoint_count == 1 && places->checkpoints[0].partition == -1 &&
              places->checkpoints[0].n == 100 + round,
          "the subscription's checkpoints aren't the unit's");
    CHECK(check, check_checkpoints(check, "check-ab")->checkpoint_count == 2, "another subscription's are gone");
    expect_round(check, round);
    cafe_slice before = check_dump(check);
    check_restart(check, CAFE_STORE_CLOSED, 0);
    CHECK_SAME(check, before, check_dump(check), "a restart after a replacement changed something");
  }
}

static void a_replacement_whose_unit_conflicts_changes_nothing(store_check *check) {
  if (!begin(check)) {
    return;
  }
  write_old(check);
  const cafe_table *shadow = shadow_of(check, CAFE_SHADOW_NAME "of_lines");
  cafe_slice before = check_dump(check);
  CHECK_OK(check, make(check, shadow));
  CHECK_OK(check, fill(check, shadow, 0));
  check_unit *unit = beside(check, 0, 3);
  CHECK_OK(check, replace(check, shadow, unit));
  CHECK(check, unit->unit.result == CAFE_UNIT_ROW_CONFLICT, "a unit whose row isn't there ended as %d",
        (int)unit->unit.result);
  CHECK_SAME(check, before, check_dump(check), "a replacement whose unit conflicts changed something");
  CHECK(check, count_rows(check, shadow) == ROWS, "a shadow that took nobody's place lost rows");
  CHECK_OK(check, replace(check, shadow, beside(check, 0, 0)));
  expect_round(check, 0);
}

static void a_shadow_ends_with_the_store(store_check *check) {
  if (!begin(check)) {
    return;
  }
  write_old(check);
  const cafe_table *shadow = shadow_of(check, CAFE_SHADOW_NAME "of_lines");
  CHECK_OK(check, make(check, shadow));
  CHECK_OK(check, fill(check, shadow, 0));
  cafe_slice before = check_dump(check);
  check_restart(check, CAFE_STORE_CLOSED, 0);
  CHECK_CODE(check, read_rows_of(check, shadow, found_new(check)), CAFE_INVALID);
  CHECK_SAME(check, before, check_dump(check), "a shadow left something at a restart");
  bool is_replaced;
  CHECK_OK(check, rebuild(check, shadow, 0, &is_replaced));
  expect_round(check, 0);
}

static void shadows_survive_refused_memory(store_check *check) {
  if (!begin(check)) {
    return;
  }
  const char *const name = CAFE_SHADOW_NAME "of_lines";
  for (uint64_t n = 1; n < ATTEMPTS_MAX; n++) {
    check_forget(check);
    check_allocator *memory = check_alloc(check, sizeof(*memory));
    const cafe_table *shadow = shadow_of(check, name);
    bool is_replaced;
    check_allocator_init(memory);
    check_create(check, &memory->allocator);
    check_open(check, &check_setup);
    write_old(check);
    cafe_slice before = check_dump(check);
    check_allocator_arm(memory, n);
    int code = rebuild(check, shadow, 0, &is_replaced);
    memory->fail_at = 0;
    CHECK(check, code == CAFE_OK || (code == CAFE_NOMEM && memory->refused && check->err.code == CAFE_NOMEM),
          "a rebuild returned %s when memory was refused: %s", cafe_code_name(code), check->err.text);
    cafe_err_clear(&check->err);
    if (!is_replaced) {
      CHECK_SAME(check, before, check_dump(check), "a replacement that failed changed something");
      CHECK_OK(check, rebuild(check, shadow, 0, &is_replaced));
    }
    expect_round(check, 0);
    cafe_store_destroy(check->store);
    check->store = NULL;
    CHECK(check, memory->blocks == 0, "%" PRIu64 " blocks weren't given back", memory->blocks);
    if (!memory->refused) {
      return;
    }
  }
  check_fail(check, __LINE__, "a rebuild asks for memory without end");
}

const store_check_entry store_checks_shadows[] = {
    {"a_shadow_is_filled_while_the_table_serves", a_shadow_is_filled_while_the_table_serves, false, false},
    {"a_table_has_two_shadows_at_a_time", a_table_has_two_shadows_at_a_time, false, false},
    {"a_shadow_takes_the_tables_place", a_shadow_takes_the_tables_place, false, false},
    {"a_replacement_whose_unit_conflicts_changes_nothing", a_replacement_whose_unit_conflicts_changes_nothing, false,
     false},
    {"a_shadow_ends_with_the_store", a_shadow_ends_with_the_store, false, false},
    {"shadows_survive_refused_memory", shadows_survive_refused_memory, true, false},
    {NULL, NULL, false, false},
};

/* ---- durable ---- */

/* Makes a store with something in it. Its state, and that after a rebuild, are kept in `spare`. */
typedef struct states {
  cafe_slice before, after;
} states;

static void keep(store_check *check, cafe_slice *out) {
  CHECK(check, cafe_arena_copy(out, check->spare, check_dump(check)) == CAFE_OK, "the check itself was refused memory");
}

static const cafe_table *set_out(store_check *check) {
  check_forget(check);
  check_begin(check);
  write_old(check);
  return shadow_of(check, CAFE_SHADOW_NAME "of_lines");
}

static void note_states(store_check *check, states *out) {
  bool is_replaced;
  check->spare = cafe_arena_create(NULL);
  CHECK(check, check->spare, "the check itself was refused memory");
  const cafe_table *shadow = set_out(check);
  keep(check, &out->before);
  CHECK_OK(check, rebuild(check, shadow, 0, &is_replaced));
  keep(check, &out->after);
}

static void arm(store_check *check, cafe_store_io_fault fault, uint64_t n) {
  CHECK(check, check->contract->fail_io(fault, n, check->contract->user) == CAFE_OK, "fail_io failed");
}

/* After the accident, in the open store: the one or the other, and the other can still be had. Then it lasts. */
static void settle(store_check *check, const states *s, bool was_replaced) {
  const cafe_table *shadow = shadow_of(check, CAFE_SHADOW_NAME "of_lines");
  cafe_slice found = check_dump(check);
  if (was_replaced || !cafe_slice_equal(found, s->before)) {
    CHECK_SAME(check, s->after, found, was_replaced ? "what was acknowledged isn't there" : "it is half a replacement");
    return;
  }
  bool is_replaced;
  CHECK_OK(check, rebuild(check, shadow, 0, &is_replaced));
  CHECK_SAME(check, s->after, check_dump(check), "a rebuild after an accident ends otherwise");
  check_restart(check, CAFE_STORE_POWER_LOST, 1);
  CHECK_SAME(check, s->after, check_dump(check), "a replacement was lost with the power");
}

/* False: the call n never came. */
static bool end_at(store_check *check, const states *s, cafe_store_ending ending, uint64_t n, uint64_t seed) {
  char where[64];
  snprintf(where, sizeof(where), "ended at call %" PRIu64 ", seed %" PRIu64, n, seed);
  const cafe_table *shadow = set_out(check);
  check->where = where;
  bool is_replaced;
  arm(check, CAFE_STORE_IO_GONE, n);
  int code = rebuild(check, shadow, 0, &is_replaced);
  CHECK(check, (code == CAFE_OK) == is_replaced, "a replacement is done and isn't");
  cafe_err_clear(&check->err);
  check_restart(check, ending, seed);
  settle(check, s, is_replaced);
  check->where = NULL;
  return code != CAFE_OK;
}

static void a_kill_at_any_call_leaves_the_old_table_or_the_new_one(store_check *check) {
  states s;
  uint64_t n = 1;
  if (!begin(check)) {
    return;
  }
  note_states(check, &s);
  while (end_at(check, &s, CAFE_STORE_KILLED, n, 0)) {
    n++;
  }
  CHECK(check, n > ROWS, "%d commits and a replacement took %" PRIu64 " calls: fail_io does nothing", ROWS, n - 1);
}

static void a_power_loss_at_any_call_leaves_the_old_table_or_the_new_one(store_check *check) {
  states s;
  if (!begin(check)) {
    return;
  }
  note_states(check, &s);
  for (uint64_t seed = 1; seed <= (check_is_full() ? 20 : 1); seed++) {
    for (uint64_t n = 1; end_at(check, &s, CAFE_STORE_POWER_LOST, n, seed * 7919 + n); n++) {
    }
  }
}

static bool fail_at(store_check *check, const states *s, cafe_store_io_fault fault, uint64_t n) {
  char where[64];
  snprintf(where, sizeof(where), "disk %s at call %" PRIu64, fault == CAFE_STORE_IO_FULL ? "full" : "error", n);
  const cafe_table *shadow = set_out(check);
  check->where = where;
  bool is_replaced;
  arm(check, fault, n);
  int code = rebuild(check, shadow, 0, &is_replaced);
  arm(check, fault, 0);
  if (code != CAFE_OK) {
    check_code(check, __LINE__, "the call that met it", code, CAFE_UNAVAILABLE);
    cafe_log_query query = {sizeof(query), 0, 0, 1, NULL, 0, 0};
    if (check->store->ops->read_log(check->store, &query, check_event_sink, found_new(check), &check->err)) {
      cafe_err_clear(&check->err);
      check_restart(check, CAFE_STORE_CLOSED, 0); /* it doesn't know what is durable, and refuses */
    }
  }
  settle(check, s, is_replaced);
  check->where = NULL;
  return code != CAFE_OK;
}

static void a_disk_that_fails_leaves_the_old_table_or_the_new_one(store_check *check) {
  states s;
  if (!begin(check)) {
    return;
  }
  note_states(check, &s);
  for (uint64_t n = 1; fail_at(check, &s, CAFE_STORE_IO_FULL, n); n++) {
  }
  for (uint64_t n = 1; fail_at(check, &s, CAFE_STORE_IO_ERROR, n); n++) {
  }
}

const store_check_entry store_checks_shadows_durable[] = {
    {"a_kill_at_any_call_leaves_the_old_table_or_the_new_one", a_kill_at_any_call_leaves_the_old_table_or_the_new_one,
     false, false},
    {"a_power_loss_at_any_call_leaves_the_old_table_or_the_new_one",
     a_power_loss_at_any_call_leaves_the_old_table_or_the_new_one, false, false},
    {"a_disk_that_fails_leaves_the_old_table_or_the_new_one", a_disk_that_fails_leaves_the_old_table_or_the_new_one,
     false, false},
    {NULL, NULL, false, false},
};
