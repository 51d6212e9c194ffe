/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The words in which checks are written: units to commit, reads that copy what they find, a dump of all there is. The
 * invariant: a helper that can't do its work ends the check as failed; so a check goes on only with what it asked for.
 */
#include "testing/store_checks.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
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

static cafe_slice copy(store_check *check, cafe_slice bytes) {
  cafe_slice out;
  if (cafe_arena_copy(&out, check->arena, bytes)) {
    check_fail(check, __LINE__, "the check itself was refused memory");
  }
  return out;
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
const cafe_table check_lines = {"check_lines", "order_id", "line", &line_type, line_indexes, true};

static const cafe_field note_fields[] = {
    CAFE_FIELD_OF(1, TEXT, check_note, text),
    CAFE_FIELD_OF(2, I64, check_note, number),
};
static const cafe_schema note_type = CAFE_SCHEMA_OF("CheckNote", check_note, note_fields);
const cafe_table check_notes = {"check_notes", "note_id", NULL, &note_type, NULL, false};

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
  CHECK_OK(check, check->contract->create(check->contract->user, &check->store, allocator, &check->err));
  CHECK(check, check->store, "create made no store");
}

void check_open(store_check *check, const cafe_store_setup *setup) {
  check->log_id = 0;
  CHECK_OK(check, check->store->ops->open(check->store, &check->log_id, setup, &check->err));
  CHECK(check, check->log_id != 0, "open gave no log id");
}

void check_begin(store_check *check) {
  check_create(check, NULL);
  check_open(check, &check_setup);
}

void check_restart(store_check *check, cafe_store_ending ending, uint64_t seed) {
  CHECK_OK(check, check->contract->restart(check->contract->user, &check->store, ending, seed, NULL, &check->err));
  CHECK(check, check->store, "restart gave no store back");
  check_open(check, &check_setup);
}

/*
 * Units.
 */

uint64_t check_new_key(store_check *check) {
  do {
    check->last_key++;
  } while (cafe_partition(check->last_key) % check->store->ops->shards != 0);
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
  unit->rows[unit->unit.row_count++] = (cafe_row_write){table, unit->unit.key, sub, expected, data};
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
  unit->checkpoints[unit->unit.checkpoint_count++] = (cafe_checkpoint){subscription, 77, 0, partition, expected, n};
}

struct check_key_name {
  struct check_key_name *next;
  cafe_slice scope;
  cafe_slice key;
  cafe_slice fingerprint;
};

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
 * Reading.
 */

check_found *found_new(store_check *check) {
  check_found *found = check_alloc(check, sizeof(*found));
  found->check = check;
  return found;
}

/* Room for one more thing. NULL: no memory; a sink doesn't leave the check. */
static void *grow(check_found *found, void *things, uint32_t count, uint32_t *room, size_t size) {
  if (count < *room) {
    return things;
  }
  uint32_t wanted = *room ? *room * 2 : 8;
  char *larger = cafe_arena_alloc(found->check->arena, wanted * size);
  if (!larger) {
    found->no_memory = true;
    return NULL;
  }
  if (count) {
    memcpy(larger, things, count * size);
  }
  *room = wanted;
  return larger;
}

static int keep(check_found *found, cafe_slice *out, cafe_slice bytes) {
  int code = cafe_arena_copy(out, found->check->arena, bytes);
  found->no_memory = found->no_memory || code;
  return code;
}

/* What the sink says once a thing is kept. */
static int go_on(const check_found *found) {
  uint32_t count = found->event_count + found->row_count + found->checkpoint_count;
  return found->stop_after && count >= (uint32_t)found->stop_after ? found->stop_code : CAFE_OK;
}

int check_event_sink(void *user, const cafe_stored_event *event) {
  check_found *found = user;
  cafe_stored_event *events =
      grow(found, found->events, found->event_count, &found->events_room, sizeof(*found->events));
  cafe_slice aggregate, type;
  if (!events) {
    return CAFE_NOMEM;
  }
  found->events = events;
  cafe_stored_event *kept = &events[found->event_count];
  *kept = *event;
  if (keep(found, &aggregate, cafe_text(event->aggregate)) || keep(found, &type, cafe_text(event->type)) ||
      keep(found, &kept->trace, event->trace) || keep(found, &kept->data, event->data)) {
    return CAFE_NOMEM;
  }
  kept->aggregate = aggregate.size ? aggregate.data : "";
  kept->type = type.size ? type.data : "";
  found->mixed = found->mixed || found->row_count > 0;
  found->event_count++;
  return go_on(found);
}

int check_row_sink(void *user, const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version,
                   const void *data) {
  check_found *found = user;
  check_row *rows = grow(found, found->rows, found->row_count, &found->rows_room, sizeof(*found->rows));
  if (!rows) {
    return CAFE_NOMEM;
  }
  found->rows = rows;
  void *kept = cafe_arena_alloc(found->check->arena, table->row->width);
  if (!kept || cafe_schema_copy(kept, data, table->row, found->check->arena)) {
    found->no_memory = true;
    return CAFE_NOMEM;
  }
  rows[found->row_count++] = (check_row){key, sub, version, table, kept};
  return go_on(found);
}

int check_checkpoint_sink(void *user, const cafe_checkpoint *checkpoint) {
  check_found *found = user;
  cafe_checkpoint *checkpoints =
      grow(found, found->checkpoints, found->checkpoint_count, &found->checkpoints_room, sizeof(*found->checkpoints));
  cafe_slice name;
  if (!checkpoints || keep(found, &name, cafe_text(checkpoint->subscription))) {
    return CAFE_NOMEM;
  }
  found->checkpoints = checkpoints;
  checkpoints[found->checkpoint_count] = *checkpoint;
  checkpoints[found->checkpoint_count].subscription = name.size ? name.data : "";
  found->checkpoint_count++;
  return go_on(found);
}

check_found *check_load(store_check *check, uint64_t key) {
  check_found *found = found_new(check);
  CHECK_OK(check, check->store->ops->load(check->store, key, check_event_sink, check_row_sink, found, &check->err));
  return found;
}

static bool is_among(const char *const *types, const char *type) {
  while (types && *types && strcmp(*types, type) != 0) {
    types++;
  }
  return !types || *types;
}

check_found *check_log(store_check *check, uint32_t shard, const char *const *types, uint32_t limit) {
  check_found *found = found_new(check);
  uint64_t after = 0;
  uint64_t last = 0;
  for (;;) {
    uint32_t before = found->event_count;
    cafe_log_query query = {sizeof(query), shard, after, limit, types, UINT64_MAX, UINT64_MAX};
    CHECK_OK(check, check->store->ops->read_log(check->store, &query, check_event_sink, found, &check->err));
    CHECK(check, found->event_count - before <= limit, "read_log gave %" PRIu32 " events over its limit of %" PRIu32,
          found->event_count - before - limit, limit);
    CHECK(check, query.scanned <= query.head && query.scanned >= after,
          "read_log after %" PRIu64 " says scanned %" PRIu64 ", head %" PRIu64, after, query.scanned, query.head);
    for (uint32_t i = before; i < found->event_count; i++) {
      const cafe_stored_event *event = &found->events[i];
      CHECK(check, event->n > last && event->n <= query.scanned,
            "read_log after %" PRIu64 " gave position %" PRIu64 " after %" PRIu64 ", scanned %" PRIu64, after, event->n,
            last, query.scanned);
      CHECK(check, types || event->n == last + 1, "read_log skipped from position %" PRIu64 " to %" PRIu64, last,
            event->n);
      CHECK(check, is_among(types, event->type), "read_log gave a %s, which wasn't asked for", event->type);
      CHECK(check, event->shard == shard, "read_log of shard %" PRIu32 " gave an event of shard %" PRIu32, shard,
            event->shard);
      last = event->n;
    }
    if (query.scanned == query.head) {
      CHECK(check, types || last == query.head, "the log ends at %" PRIu64 ", its head is %" PRIu64, last, query.head);
      return found;
    }
    CHECK(check, query.scanned > after, "read_log after %" PRIu64 " doesn't move on, though the head is %" PRIu64,
          after, query.head);
    after = query.scanned;
  }
}

check_found *check_rows(store_check *check, const cafe_row_query *query) {
  check_found *found = found_new(check);
  CHECK_OK(check, check->store->ops->read_rows(check->store, query, check_row_sink, found, &check->err));
  CHECK(check, found->row_count <= query->limit, "read_rows gave %" PRIu32 " rows, its limit was %" PRIu32,
        found->row_count, query->limit);
  return found;
}

check_found *check_checkpoints(store_check *check, const char *subscription) {
  check_found *found = found_new(check);
  CHECK_OK(check,
           check->store->ops->read_checkpoints(check->store, subscription, check_checkpoint_sink, found, &check->err));
  return found;
}

static cafe_key_record read_key(store_check *check, cafe_slice scope, cafe_slice key, cafe_slice fingerprint) {
  cafe_key_record record;
  memset(&record, 0xa5, sizeof(record));
  CHECK_OK(check,
           check->store->ops->read_key(check->store, &record, scope, key, fingerprint, check->arena, &check->err));
  return record;
}

cafe_key_record check_key(store_check *check, cafe_slice key, cafe_slice fingerprint) {
  return read_key(check, cafe_text("PUT /check"), key, fingerprint);
}

bool check_lines_equal(const check_line *a, const check_line *b) {
  return a->flag == b->flag && a->number == b->number && a->count == b->count && a->state == b->state &&
         cafe_slice_equal(a->text, b->text) && cafe_slice_equal(a->blob, b->blob) && a->at_ms == b->at_ms;
}

/*
 * The dump.
 */

typedef struct dump {
  store_check *check;
  char *text;
  size_t size;
  size_t room;
} dump;

static void dump_bytes(dump *out, const char *bytes, size_t size) {
  if (out->room - out->size < size) {
    size_t room = (out->room + size) * 2 + 256;
    char *text = check_alloc(out->check, room);
    if (out->size) {
      memcpy(text, out->text, out->size);
    }
    out->text = text;
    out->room = room;
  }
  if (size) {
    memcpy(out->text + out->size, bytes, size);
  }
  out->size += size;
}

static void dump_text(dump *out, const char *format, ...) CAFE_PRINTF(2, 3);
static void dump_text(dump *out, const char *format, ...) {
  char text[256];
  va_list args;
  va_start(args, format);
  int size = vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  dump_bytes(out, text, size < (int)sizeof(text) ? (size_t)size : sizeof(text) - 1);
}

static void dump_hex(dump *out, cafe_slice bytes) {
  static const char digits[] = "0123456789abcdef";
  dump_bytes(out, "=", 1);
  for (size_t i = 0; i < bytes.size; i++) {
    unsigned byte = (unsigned char)bytes.data[i];
    const char pair[2] = {digits[byte >> 4], digits[byte & 15u]};
    dump_bytes(out, pair, 2);
  }
}

static void dump_events(dump *out) {
  for (uint32_t shard = 0; shard < out->check->store->ops->shards; shard++) {
    const check_found *found = check_log(out->check, shard, NULL, 1000);
    for (uint32_t i = 0; i < found->event_count; i++) {
      const cafe_stored_event *event = &found->events[i];
      dump_text(out, "event %" PRIu32 ".%" PRIu64 " %s %" PRIu64 " v%" PRIu64 " %s at %" PRId64, event->shard, event->n,
                event->aggregate, event->key, event->version, event->type, event->time_ms);
      dump_hex(out, event->trace);
      dump_hex(out, event->data);
      dump_bytes(out, "\n", 1);
    }
  }
}

static void dump_rows(dump *out, const cafe_table *table) {
  cafe_row_query query = {sizeof(query), table, NULL, 0, 0, 0, -1, UINT32_MAX};
  const check_found *found = check_rows(out->check, &query);
  for (uint32_t i = 0; i < found->row_count; i++) {
    const check_row *row = &found->rows[i];
    dump_text(out, "row %s %" PRIu64 ".%" PRIu64 " v%" PRIu64, table->name, row->key, row->sub, row->version);
    for (uint32_t field = 0; field < table->row->field_count; field++) {
      cafe_value value = cafe_schema_get(table->row, row->data, field);
      dump_text(out, " %s %" PRId64, table->row->fields[field].name, value.number);
      dump_hex(out, value.bytes);
    }
    dump_bytes(out, "\n", 1);
  }
}

static int compare_checkpoints(const cafe_checkpoint *a, const cafe_checkpoint *b) {
  if (a->log_id != b->log_id) {
    return a->log_id < b->log_id ? -1 : 1;
  }
  if (a->shard != b->shard) {
    return a->shard < b->shard ? -1 : 1;
  }
  return (a->partition > b->partition) - (a->partition < b->partition);
}

static void dump_checkpoints(dump *out, const char *subscription) {
  const check_found *found = check_checkpoints(out->check, subscription);
  for (uint32_t i = 1; i < found->checkpoint_count; i++) {
    for (uint32_t k = i; k > 0 && compare_checkpoints(&found->checkpoints[k], &found->checkpoints[k - 1]) < 0; k--) {
      cafe_checkpoint moved = found->checkpoints[k];
      found->checkpoints[k] = found->checkpoints[k - 1];
      found->checkpoints[k - 1] = moved;
    }
  }
  for (uint32_t i = 0; i < found->checkpoint_count; i++) {
    const cafe_checkpoint *checkpoint = &found->checkpoints[i];
    dump_text(out, "checkpoint %s %" PRIu64 ".%" PRIu32 " partition %" PRId32 " at %" PRIu64 "\n",
              checkpoint->subscription, checkpoint->log_id, checkpoint->shard, checkpoint->partition, checkpoint->n);
  }
}

static void dump_keys(dump *out) {
  for (const check_key_name *name = out->check->key_names; name; name = name->next) {
    cafe_key_record record = read_key(out->check, name->scope, name->key, name->fingerprint);
    if (record.found) {
      dump_text(out, "key");
      dump_hex(out, name->scope);
      dump_hex(out, name->key);
      dump_text(out, " for %" PRIu64 "%s%s", record.stream_key, record.same_request ? "" : ", of another request",
                record.has_reply ? ", answered" : "");
      dump_hex(out, record.reply);
      dump_bytes(out, "\n", 1);
    }
  }
}

cafe_slice check_dump(store_check *check) {
  dump out = {check, NULL, 0, 0};
  dump_events(&out);
  dump_rows(&out, &check_lines);
  dump_rows(&out, &check_notes);
  dump_checkpoints(&out, "check-a");
  dump_checkpoints(&out, "check-ab");
  dump_checkpoints(&out, "check-b");
  dump_keys(&out);
  return copy(check, (cafe_slice){out.text, out.size});
}

static cafe_slice line_at(cafe_slice text, size_t at) {
  size_t end = at;
  while (end < text.size && text.data[end] != '\n') {
    end++;
  }
  return end > at ? (cafe_slice){text.data + at, end - at} : cafe_text("nothing");
}

void check_same(store_check *check, int line, cafe_slice before, cafe_slice after, const char *what) {
  if (cafe_slice_equal(before, after)) {
    return;
  }
  size_t begin = 0;
  for (size_t i = 0; i < before.size && i < after.size && before.data[i] == after.data[i]; i++) {
    if (before.data[i] == '\n') {
      begin = i + 1;
    }
  }
  cafe_slice a = line_at(before, begin), b = line_at(after, begin);
  check_fail(check, line, "%s: expected is \"%.*s\", found is \"%.*s\"", what, (int)(a.size < 250 ? a.size : 250),
             a.data, (int)(b.size < 250 ? b.size : 250), b.data);
}

/*
 * The allocator that refuses.
 */

static void *refusing_resize(void *user, void *block, size_t size) {
  check_allocator *self = user;
  const cafe_allocator *inner = cafe_allocator_default();
  if (size == 0) {
    self->blocks -= block != NULL;
    return inner->resize(inner->user, block, 0);
  }
  if (++self->calls == self->fail_at) {
    self->refused = true;
    return NULL;
  }
  void *result = inner->resize(inner->user, block, size);
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
