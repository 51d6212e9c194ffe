/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tier core: memory that is refused. Allocation n fails, for n = 1, 2, … until nothing was refused: each call has to
 * say CAFE_NOMEM, leave everything as it was, work when it is asked again, and give every block back in the end.
 */
#include <inttypes.h>
#include <string.h>

#include "testing/store_checks.h"

enum { ATTEMPTS_MAX = 100000, UNITS = 6 };

/* Begins with a store that holds something, on an allocator that refuses nothing yet. */
static check_allocator *begin(store_check *check, uint64_t *key) {
  check_allocator *memory = check_alloc(check, sizeof(*memory));
  check_allocator_init(memory);
  check->last_key = 0;
  check->spare = cafe_arena_create(&memory->allocator);
  CHECK(check, check->spare, "the check itself was refused memory");
  check_create(check, &memory->allocator);
  check_open(check, &check_setup);
  *key = check_new_key(check);
  check_unit *unit = unit_new(check, *key);
  unit_event(check, unit, 1);
  unit_line(check, unit, 1, 0, 1);
  unit_line(check, unit, 2, 0, 2);
  unit_key(check, unit, CAFE_KEY_BOTH, cafe_text("taken"), cafe_text("p"), check_text(check, "%0*d", 3000, 1));
  unit_checkpoint(check, unit, "check-a", 0, 0, 3);
  check_one(check, unit, CAFE_UNIT_DONE);
  return memory;
}

/* The store is destroyed, and all that it took is back. */
static void end(store_check *check, const check_allocator *memory) {
  cafe_store_destroy(check->store);
  check->store = NULL;
  cafe_arena_destroy(check->spare);
  check->spare = NULL;
  CHECK(check, memory->blocks == 0, "%" PRIu64 " blocks weren't given back", memory->blocks);
}

static void expect_refusal(store_check *check, const check_allocator *memory, const char *call, int code) {
  CHECK(check, memory->calls < ATTEMPTS_MAX, "%s asks for memory without end", call);
  CHECK(check, code == CAFE_OK || code == CAFE_NOMEM, "%s returned %s when memory was refused: %s", call,
        cafe_code_name(code), check->err.text);
  CHECK(check, code == CAFE_OK || memory->refused, "%s returned nomem though nothing was refused", call);
  CHECK(check, code == CAFE_OK || (check->err.code == CAFE_NOMEM && check->err.text[0]),
        "%s returned nomem without saying why", call);
  cafe_err_clear(&check->err);
}

static void create_and_open_survive_refused_memory(store_check *check) {
  for (uint64_t n = 1;; n++) {
    check_allocator *memory = check_alloc(check, sizeof(*memory));
    check_allocator_init(memory);
    check_allocator_arm(memory, n);
    int code = check->contract->create(&check->store, &memory->allocator, check->contract->user, &check->err);
    expect_refusal(check, memory, "create", code);
    CHECK(check, (code == CAFE_OK) == (check->store != NULL), "create returned %s, and a store or none",
          cafe_code_name(code));
    if (check->store) {
      code = check->store->ops->open(check->store, &check->info, &check_setup, &check->err);
      expect_refusal(check, memory, "open", code);
      memory->fail_at = 0;
      if (code) {
        check_open(check, &check_setup);
      }
      check_unit *unit = unit_new(check, check_new_key(check));
      unit_event(check, unit, 1);
      unit_line(check, unit, 1, 0, 1);
      check_one(check, unit, CAFE_UNIT_DONE);
    }
    end(check, memory);
    if (!memory->refused) {
      return;
    }
  }
}

/* Something of each kind: updates, insertions, a removal and a new beginning, one that conflicts too; new streams and
 * types, a large event; a key that is taken, with a large reply. */
static void make_batch(store_check *check, uint64_t key, check_unit *units[UNITS], cafe_unit_result results[UNITS]) {
  for (unsigned i = 0; i < UNITS; i++) {
    units[i] = unit_new(check, key);
    results[i] = CAFE_UNIT_DONE;
  }
  unit_event(check, units[0], 2);
  unit_line(check, units[0], 1, 1, 11);
  unit_line(check, units[0], 3, 0, 12);
  unit_key(check, units[1], CAFE_KEY_CLAIM, cafe_text("taken"), cafe_text("p"), (cafe_slice){NULL, 0});
  unit_event(check, units[1], 3);
  results[1] = CAFE_UNIT_KEY_CONFLICT;
  units[2]->unit.key = check_neighbour(key);
  unit_append(check, units[2], "pot", 1, "Brewed", check_bytes(check, 70000, 1));
  unit_append(check, units[2], "pot", 2, "Poured", check_bytes(check, 10, 1));
  unit_line(check, units[2], 1, 0, 13);
  unit_row(check, units[2], &check_lines, 2, 1, NULL);
  units[2]->rows[1].key = key;
  unit_key(check, units[3], CAFE_KEY_CLAIM, cafe_text("new"), cafe_text("p"), (cafe_slice){NULL, 0});
  unit_checkpoint(check, units[3], "check-b", 0, 0, 5);
  unit_checkpoint(check, units[3], "check-a", 0, 3, 4);
  unit_append(check, units[4], "jug", 1, "Broken", check_bytes(check, 100, 1));
  unit_line(check, units[4], 4, 0, 14);
  unit_line(check, units[4], 2, 0, 18);
  unit_line(check, units[4], 1, 2, 15);
  unit_line(check, units[4], 3, 7, 16);
  results[4] = CAFE_UNIT_ROW_CONFLICT;
  unit_key(check, units[5], CAFE_KEY_REPLY, cafe_text("new"), (cafe_slice){NULL, 0}, check_bytes(check, 500, 2));
  unit_line(check, units[5], 2, 0, 17);
  unit_checkpoint(check, units[5], "check-b", 0, 5, 6);
}

static void commit_survives_refused_memory(store_check *check) {
  cafe_slice wanted = {NULL, 0};
  for (uint64_t n = 0;; n++) {
    uint64_t key;
    check_unit *units[UNITS];
    cafe_unit_result results[UNITS];
    check_allocator *memory = begin(check, &key);
    make_batch(check, key, units, results);
    cafe_slice before = check_dump(check);
    check_allocator_arm(memory, n);
    int code = check_try(check, units, UNITS);
    memory->fail_at = 0;
    expect_refusal(check, memory, "commit", code);
    if (code) {
      CHECK_SAME(check, before, check_dump(check), "a batch that failed left something");
      code = check_try(check, units, UNITS);
    }
    check_code(check, __LINE__, "commit once memory is there", code, CAFE_OK);
    for (unsigned i = 0; i < UNITS; i++) {
      CHECK(check, units[i]->unit.result == results[i], "unit %u has result %d instead of %d", i + 1,
            (int)units[i]->unit.result, (int)results[i]);
    }
    CHECK(check, units[1]->unit.key_found.reply.size == 3000, "the loser of a key didn't get its reply whole");
    if (n == 0) {
      wanted = check_dump(check);
    }
    CHECK_SAME(check, wanted, check_dump(check), "a batch came out differently once memory had been refused");
    end(check, memory);
    if (n > 0 && !memory->refused) {
      return;
    }
  }
}

static int read_by(store_check *check, unsigned way, uint64_t key, check_found *found) {
  static const char *const types[] = {"CupFilled", NULL};
  const cafe_store_ops *ops = check->store->ops;
  const cafe_condition condition = {.column = LINE_TEXT, .at_most = true, .value = {.bytes = cafe_text("z")}};
  cafe_log_query log = {sizeof(log), 0, 0, 10, types, 0, 0};
  cafe_row_query rows = {sizeof(rows), &check_lines, &condition, 1, 0, 0, way % 2 ? LINE_NUMBER : -1, 10};
  cafe_key_record record;
  int code;
  switch (way) {
  case 0:
    return ops->load(check->store, key, check_event_sink, check_row_sink, found, &check->err);
  case 1:
  case 2:
    return ops->read_rows(check->store, &rows, check_row_sink, found, &check->err);
  case 3:
    return ops->read_log(check->store, &log, check_event_sink, found, &check->err);
  case 4:
    return ops->read_checkpoints(check->store, "check-a", check_checkpoint_sink, found, &check->err);
  default:
    code = ops->read_key(check->store, &record, cafe_text("PUT /check"), cafe_text("taken"), cafe_text("p"),
                         check->spare, &check->err);
    found->row_count = code == CAFE_OK && record.found && record.has_reply && record.reply.size == 3000;
    return code;
  }
}

static void reads_survive_refused_memory(store_check *check) {
  static const char *const names[] = {"load",     "read_rows by a column", "read_rows",
                                      "read_log", "read_checkpoints",      "read_key"};
  static const uint32_t counts[] = {3, 2, 2, 1, 1, 1};
  uint64_t key;
  check_allocator *memory = begin(check, &key);
  cafe_slice before = check_dump(check);
  for (unsigned way = 0; way < sizeof(counts) / sizeof(counts[0]); way++) {
    for (uint64_t n = 1;; n++) {
      check_found *found = found_new(check);
      check_allocator_arm(memory, n);
      int code = read_by(check, way, key, found);
      memory->fail_at = 0;
      expect_refusal(check, memory, names[way], code);
      if (code == CAFE_OK) {
        uint32_t count = found->event_count + found->row_count + found->checkpoint_count;
        CHECK(check, count == counts[way], "%s found %" PRIu32 " things instead of %" PRIu32, names[way], count,
              counts[way]);
      }
      if (!memory->refused) {
        break;
      }
    }
  }
  CHECK_SAME(check, before, check_dump(check), "a read that failed changed something");
  end(check, memory);
}

static void a_changed_table_survives_refused_memory(store_check *check) {
  for (uint64_t n = 1;; n++) {
    uint64_t key;
    check_allocator *memory = begin(check, &key);
    cafe_slice before = check_dump(check);
    CHECK_OK(check, check->contract->restart(&check->store, CAFE_STORE_CLOSED, 0, &memory->allocator,
                                             check->contract->user, &check->err));
    check_allocator_arm(memory, n);
    int code = check->store->ops->open(check->store, &check->info, &check_newer_setup, &check->err);
    memory->fail_at = 0;
    expect_refusal(check, memory, "open with a changed table", code);
    if (code) {
      check_open(check, &check_setup);
      CHECK_SAME(check, before, check_dump(check), "an open that failed left something");
    }
    CHECK(check, check_load(check, key)->row_count == 2, "rows are missing after a change of their table");
    end(check, memory);
    if (!memory->refused) {
      return;
    }
  }
}

const store_check_entry store_checks_faults[] = {
    {"create_and_open_survive_refused_memory", create_and_open_survive_refused_memory, true, false},
    {"commit_survives_refused_memory", commit_survives_refused_memory, true, false},
    {"reads_survive_refused_memory", reads_survive_refused_memory, true, false},
    {"a_changed_table_survives_refused_memory", a_changed_table_survives_refused_memory, true, false},
    {NULL, NULL, false, false},
};
