/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The words in which checks are written: stores, units, and how a check ends. The invariant: a helper that can't do its
 * work ends the check as failed; so a check goes on only with what it asked for.
 */
#include "testing/store_checks.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/*
 * Failing.
 */

static void leave(store_check *check) { longjmp(*check->leave, 1); }

void check_fail(store_check *check, int line, const char *format, ...) {
  size_t used = 0;
  if (check->where) {
    used = (size_t)snprintf(check->why, CAFE_STORE_WHY_MAX, "%.200s: ", check->where);
  }
  va_list args;
  va_start(args, format);
  int more = vsnprintf(check->why + used, CAFE_STORE_WHY_MAX - used, format, args);
  va_end(args);
  used += more > 0 ? (size_t)more : 0;
  if (used < CAFE_STORE_WHY_MAX) {
    (void)snprintf(check->why + used, CAFE_STORE_WHY_MAX - used, " (line %d)", line);
  }
  leave(check);
  /* For compilers that don't know that longjmp doesn't return. */
  for (;;) {
  }
}

void check_code(store_check *check, int line, const char *call, int code, int wanted) {
  if (code != wanted) {
    check_fail(check, line, "%.200s returned %s instead of %s%s%s", call, cafe_code_name(code), cafe_code_name(wanted),
               code && check->err.text[0] ? ": " : "", code && check->err.text[0] ? check->err.text : "");
  }
  if (wanted != CAFE_OK && (check->err.code != wanted || check->err.text[0] == '\0')) {
    check_fail(check, line, "%.200s returned %s, but its cafe_err says %s: \"%s\"", call, cafe_code_name(code),
               cafe_code_name(check->err.code), check->err.text);
  }
  cafe_err_clear(&check->err);
}

bool check_is_full(void) {
  const char *value = getenv("CAFE_FULL");
  return value && value[0];
}

void *check_alloc(store_check *check, size_t size) {
  void *block = cafe_arena_alloc(check->arena, size ? size : 1);
  if (!block) {
    check_fail(check, __LINE__, "the check itself was refused memory");
  }
  return block;
}

void check_forget(store_check *check) {
  cafe_arena_reset(check->arena);
  check->key_names = NULL;
}

cafe_slice check_text(store_check *check, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const char *text = arena_vprintf(check->arena, format, args);
  va_end(args);
  if (!text) {
    check_fail(check, __LINE__, "the check itself was refused memory");
  }
  return cafe_text(text);
}

cafe_slice check_bytes(store_check *check, size_t size, uint32_t seed) {
  char *bytes = check_alloc(check, size);
  uint32_t x = seed * 2654435761u + 1;
  for (size_t i = 0; i < size; i++) {
    x = x * 1664525u + 1013904223u;
    bytes[i] = (char)(x >> 24);
    if (i % 7 == 3) {
      bytes[i] = 0;
    }
  }
  return (cafe_slice){bytes, size};
}

/*
 * Tables.
 */

static const char *const state_names[] = {"None", "Open", "Done"};

static const cafe_field line_fields[] = {
    CAFE_FIELD_OF(1, BOOL, check_line, flag),  CAFE_FIELD_OF(2, I64, check_line, number),
    CAFE_FIELD_OF(3, U64, check_line, count),  CAFE_FIELD_ENUM_OF(4, check_line, state, state_names),
    CAFE_FIELD_OF(5, TEXT, check_line, text),  CAFE_FIELD_OF(6, BYTES, check_line, blob),
    CAFE_FIELD_OF(7, TIME, check_line, at_ms),
};
static const cafe_schema line_type = CAFE_SCHEMA_OF("CheckLine", check_line, line_fields);
static const char *const line_indexes[] = {"number", "text", NULL};
const cafe_table check_lines = {"check_lines", "order_id", "line", &line_type, line_indexes, true, 0};

static const cafe_field note_fields[] = {
    CAFE_FIELD_OF(1, TEXT, check_note, text),
    CAFE_FIELD_OF(2, I64, check_note, number),
};
static const cafe_schema note_type = CAFE_SCHEMA_OF("CheckNote", check_note, note_fields);
const cafe_table check_notes = {"check_notes", "note_id", NULL, &note_type, NULL, false, CAFE_TABLE_ANYWHERE};

static const cafe_table *const check_tables[] = {&check_lines, &check_notes, NULL};
const cafe_store_setup check_setup = {sizeof(cafe_store_setup), "contract", check_tables};

/*
 * Stores.
 */

void check_create(store_check *check, const cafe_allocator *allocator) {
  cafe_store_destroy(check->rival);
  check->rival = NULL;
  cafe_store_destroy(check->store);
  check->store = NULL;
  check->key_names = NULL;
  CHECK_OK(check, check->contract->create(&check->store, allocator, check->contract->user, &check->err));
  CHECK(check, check->store, "create made no store");
}

void check_open(store_check *check, const cafe_store_setup *setup) {
  check->info = (cafe_store_info)CAFE_STORE_INFO_INIT;
  CHECK_OK(check, check->store->ops->open(check->store, &check->info, setup, &check->err));
  CHECK(check, check->info.log_id != 0, "open gave no log id");
  CHECK(check, check->info.shards > 0, "open said that the log has no shards");
  CHECK(check, check->info.partitions == CAFE_PARTITIONS, "open said that there are %" PRIu32 " partitions",
        check->info.partitions);
}

void check_begin(store_check *check) {
  check_create(check, NULL);
  check_open(check, &check_setup);
}

void check_restart(store_check *check, cafe_store_ending ending, uint64_t seed) {
  CHECK_OK(check, check->contract->restart(&check->store, ending, seed, NULL, check->contract->user, &check->err));
  CHECK(check, check->store, "restart gave no store back");
  check_open(check, &check_setup);
}

/*
 * Units.
 */

uint64_t check_new_key(store_check *check) {
  do {
    check->last_key++;
  } while (cafe_partition(check->last_key) % check->info.shards != 0);
  return check->last_key;
}

uint64_t check_neighbour(uint64_t key) {
  uint64_t next = key;
  do {
    next = next < CAFE_KEY_MAX ? next + 1 : 1;
  } while (cafe_partition(next) != cafe_partition(key));
  return next;
}

check_unit *unit_new(store_check *check, uint64_t key) {
  check_unit *unit = check_alloc(check, sizeof(*unit));
  unit->unit.size = sizeof(unit->unit);
  unit->unit.key = key;
  unit->unit.events = unit->events;
  unit->unit.rows = unit->rows;
  unit->unit.checkpoints = unit->checkpoints;
  return unit;
}

void unit_append(store_check *check, check_unit *unit, const char *aggregate, uint64_t version, const char *type,
                 cafe_slice data) {
  CHECK(check, unit->unit.event_count < CHECK_UNIT_EVENTS, "the check made too large a unit");
  cafe_stored_event *event = &unit->events[unit->unit.event_count++];
  event->aggregate = aggregate;
  event->type = type;
  event->key = unit->unit.key;
  event->version = version;
  event->time_ms = INT64_C(1700000000000) + (int64_t)version;
  event->trace = cafe_text("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  event->data = data;
}

void unit_event(store_check *check, check_unit *unit, uint64_t version) {
  unit_append(check, unit, "cup", version, version % 2 ? "CupFilled" : "CupEmptied",
              check_text(check, "cup %" PRIu64 " v%" PRIu64, unit->unit.key, version));
}

void unit_row(store_check *check, check_unit *unit, const cafe_table *table, uint64_t sub, uint64_t expected,
              const void *data) {
  CHECK(check, unit->unit.row_count < CHECK_UNIT_ROWS, "the check made too large a unit");
  unit->rows[unit->unit.row_count++] =
      (cafe_row_write){.table = table, .key = unit->unit.key, .sub = sub, .expected = expected, .data = data};
}

const check_line *check_line_of(store_check *check, uint32_t seed) {
  check_line *line = check_alloc(check, sizeof(*line));
  line->flag = seed % 2;
  line->number = (int64_t)seed - 3;
  line->count = seed;
  line->state = (int32_t)(seed % 3);
  line->text = check_text(check, "line %u", seed);
  line->blob = check_bytes(check, seed % 40, seed);
  line->at_ms = INT64_C(1700000000000) + seed;
  return line;
}

void unit_line(store_check *check, check_unit *unit, uint64_t sub, uint64_t expected, uint32_t seed) {
  unit_row(check, unit, &check_lines, sub, expected, check_line_of(check, seed));
}

void unit_key(store_check *check, check_unit *unit, cafe_key_mode mode, cafe_slice key, cafe_slice fingerprint,
              cafe_slice reply) {
  (void)check;
  cafe_key_write *write = &unit->client_key;
  write->mode = mode;
  write->scope = cafe_text("PUT /check");
  write->key = key;
  write->fingerprint = fingerprint;
  write->stream_key = unit->unit.key;
  write->reply = reply;
  write->time_ms = INT64_C(1700000000000);
  unit->unit.client_key = write;
}

void unit_checkpoint(store_check *check, check_unit *unit, const char *subscription, int32_t partition,
                     uint64_t expected, uint64_t n) {
  CHECK(check, unit->unit.checkpoint_count < CHECK_UNIT_CHECKPOINTS, "the check made too large a unit");
  unit->checkpoints[unit->unit.checkpoint_count++] = (cafe_checkpoint){
      .subscription = subscription, .log_id = 77, .partition = partition, .expected = expected, .n = n};
}

static void remember_key(store_check *check, const cafe_key_write *write) {
  for (const check_key_name *name = check->key_names; name; name = name->next) {
    if (cafe_slice_equal(name->scope, write->scope) && cafe_slice_equal(name->key, write->key)) {
      return;
    }
  }
  check_key_name *name = check_alloc(check, sizeof(*name));
  *name = (check_key_name){check->key_names, write->scope, write->key, write->fingerprint};
  check->key_names = name;
}

int check_try(store_check *check, check_unit *const *units, uint32_t count) {
  cafe_unit **pointers = check_alloc(check, count * sizeof(cafe_unit *));
  for (uint32_t i = 0; i < count; i++) {
    pointers[i] = &units[i]->unit;
    units[i]->unit.result = CAFE_UNIT_OPEN;
    if (units[i]->unit.client_key) {
      remember_key(check, units[i]->unit.client_key);
    }
  }
  cafe_batch batch = {sizeof(batch), pointers, count, check->spare ? check->spare : check->arena};
  return check->store->ops->commit(check->store, &batch, &check->err);
}

static const char *result_name(cafe_unit_result result) {
  static const char *const names[] = {
      "open", "done", "stream conflict", "row conflict", "key conflict", "checkpoint conflict", "lease lost"};
  return (size_t)result < sizeof(names) / sizeof(names[0]) ? names[result] : "no result that there is";
}

void check_commit(store_check *check, check_unit *const *units, const cafe_unit_result *wanted, uint32_t count) {
  CHECK_OK(check, check_try(check, units, count));
  for (uint32_t i = 0; i < count; i++) {
    CHECK(check, units[i]->unit.result == wanted[i], "unit %" PRIu32 " of %" PRIu32 " ended as %s instead of %s", i + 1,
          count, result_name(units[i]->unit.result), result_name(wanted[i]));
  }
}

void check_one(store_check *check, check_unit *unit, cafe_unit_result wanted) {
  check_commit(check, &unit, &wanted, 1);
}

/*
 * The allocator that refuses.
 */

static void *refusing_resize(void *block, size_t size, void *user) {
  check_allocator *self = user;
  const cafe_allocator *inner = cafe_allocator_default();
  if (size == 0) {
    self->blocks -= block != NULL;
    return inner->resize(block, 0, inner->user);
  }
  if (++self->calls == self->fail_at) {
    self->refused = true;
    return NULL;
  }
  void *result = inner->resize(block, size, inner->user);
  self->blocks += result && !block;
  return result;
}

void check_allocator_init(check_allocator *out) {
  memset(out, 0, sizeof(*out));
  out->allocator = (cafe_allocator){refusing_resize, out};
}

void check_allocator_arm(check_allocator *allocator, uint64_t n) {
  allocator->calls = 0;
  allocator->fail_at = n;
  allocator->refused = false;
}
