/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a check sees of a store: reads that copy what they find, and a dump of all there is. The invariant: what was
 * found is the check's own, so it can be compared with what a later call finds; and a sink never leaves the check,
 * since it runs inside the store.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "testing/store_checks.h"

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

int check_event_sink(const cafe_stored_event *event, void *user) {
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
      keep(found, &kept->trace, event->trace) || keep(found, &kept->data, event->data) ||
      keep(found, &kept->meta, event->meta)) {
    return CAFE_NOMEM;
  }
  kept->aggregate = aggregate.size ? aggregate.data : "";
  kept->type = type.size ? type.data : "";
  found->mixed = found->mixed || found->row_count > 0;
  found->event_count++;
  return go_on(found);
}

int check_row_sink(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
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

int check_checkpoint_sink(const cafe_checkpoint *checkpoint, void *user) {
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
  for (uint32_t shard = 0; shard < out->check->info.shards; shard++) {
    const check_found *found = check_log(out->check, shard, NULL, 1000);
    for (uint32_t i = 0; i < found->event_count; i++) {
      const cafe_stored_event *event = &found->events[i];
      dump_text(out, "event %" PRIu32 ".%" PRIu64 " %s %" PRIu64 " v%" PRIu64 " %s at %" PRId64, event->shard, event->n,
                event->aggregate, event->key, event->version, event->type, event->time_ms);
      dump_hex(out, event->trace);
      dump_hex(out, event->data);
      dump_hex(out, event->meta);
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
  return (cafe_slice){out.text, out.size};
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
