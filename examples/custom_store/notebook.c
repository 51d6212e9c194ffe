/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The smallest store: a notebook in which one only ever writes at the end. It keeps tier core of the interface
 * (cafe/sys/store.h) by three thoughts, which hold for a store of any kind:
 *
 * - All that a store holds has a name, and a value that says how far it is: a stream's version, a row's, a checkpoint's
 *   n, the stream that a client's key names. Whatever a unit writes says which value it expects there. So one function,
 *   `find`, finds the last note of a name, and every conflict is a comparison with it.
 * - A unit is all or nothing, and so is a batch. Since nothing is ever changed, what was begun is taken back by tearing
 *   out the last notes: to where the unit began on a conflict, to where the batch began when something fails.
 * - A log has no gaps: an event's position is one more than the number of events before it, and notes torn out count as
 *   never written.
 *
 * What it doesn't do: forget what a later note has replaced, find a note without leafing through all (so it is slow),
 * outlive its process (tier durable). Its tables are bytes, columns found by name, since the next start may bring
 * another version of a table.
 */
#include "notebook.h"

#include <stdlib.h>
#include <unistd.h>

typedef enum kind { EVENT, ROW, CLIENT_KEY, CHECKPOINT } kind;

/* What the texts of a note are. The first two are its name. */
enum { NAME, SECOND_NAME, TYPE, TRACE, DATA, META, TEXTS };
enum { COLUMNS = TYPE };              /* of a row */
enum { PRINT = TYPE, REPLY = TRACE }; /* of a client's key */

typedef struct note {
  kind kind;
  uint64_t id[3]; /* the rest of the name: key; key, sub; nothing; log, shard, partition */
  uint64_t value; /* version; version, 0 where the row was removed; stream; n */
  uint64_t n;     /* an event's position */
  int64_t time_ms;
  bool has_reply;
  cafe_slice texts[TEXTS]; /* of the note itself, each with a NUL behind it */
} note;

typedef struct notebook {
  cafe_store base; /* first, so that a cafe_store of ours is a notebook */
  cafe_allocator allocator;
  const cafe_table *const *tables; /* of this start */
  uint64_t log_id, events;
  note **notes;
  size_t count, room;
} notebook;

static int no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "The notebook is refused memory."); }

/* ---- notes ---- */

static bool is_of(const note *a, const note *b) {
  return a->kind == b->kind && memcmp(a->id, b->id, sizeof a->id) == 0 &&
         cafe_slice_equal(a->texts[NAME], b->texts[NAME]) &&
         cafe_slice_equal(a->texts[SECOND_NAME], b->texts[SECOND_NAME]);
}

/* The last note of that name; NULL: none. */
static const note *find(const notebook *self, const note *name) {
  for (size_t i = self->count; i-- > 0;)
    if (is_of(self->notes[i], name)) return self->notes[i];
  return NULL;
}

static uint64_t value_of(const notebook *self, const note *name) {
  const note *last = find(self, name);
  return last ? last->value : 0;
}

static int append(notebook *self, const note *said) {
  if (self->count == self->room) {
    size_t room = self->room ? self->room * 2 : 64;
    note **notes = self->allocator.resize(self->notes, room * sizeof *notes, self->allocator.user);
    if (!notes) return CAFE_NOMEM;
    self->notes = notes;
    self->room = room;
  }
  size_t size = sizeof(note);
  for (int i = 0; i < TEXTS; i++) size += said->texts[i].size + 1;
  note *made = self->allocator.resize(NULL, size, self->allocator.user);
  if (!made) return CAFE_NOMEM;
  *made = *said;
  char *at = (char *)(made + 1);
  for (int i = 0; i < TEXTS; i++, at++) {
    made->texts[i].data = at;
    if (said->texts[i].size) memcpy(at, said->texts[i].data, said->texts[i].size);
    at += said->texts[i].size;
    *at = '\0';
  }
  self->notes[self->count++] = made;
  self->events += made->kind == EVENT;
  return CAFE_OK;
}

static void tear_out(notebook *self, size_t from) {
  while (self->count > from) {
    note *last = self->notes[--self->count];
    self->events -= last->kind == EVENT;
    self->allocator.resize(last, 0, self->allocator.user);
  }
}

/* ---- rows as bytes: of each column its name, and its number or bytes, of an ENUM its word ---- */

typedef struct column {
  size_t name, bytes; /* sizes of what follows */
  int64_t number;
} column;

static int write_columns(cafe_slice *out, const cafe_schema *type, const void *row, cafe_arena *arena) {
  size_t size = 0;
  for (uint32_t i = 0; i < type->field_count; i++)
    size += sizeof(column) + strlen(type->fields[i].name) + cafe_schema_get(type, row, i).bytes.size;
  char *at = cafe_arena_alloc(arena, size);
  if (!at) return CAFE_NOMEM;
  *out = (cafe_slice){at, size};
  for (uint32_t i = 0; i < type->field_count; i++) {
    cafe_value value = cafe_schema_get(type, row, i);
    column head = {strlen(type->fields[i].name), value.bytes.size, value.number};
    memcpy(at, &head, sizeof head);
    memcpy(at += sizeof head, type->fields[i].name, head.name);
    at += head.name;
    if (head.bytes) memcpy(at, value.bytes.data, head.bytes);
    at += head.bytes;
  }
  return CAFE_OK;
}

/* A column that the bytes lack stays zero; one that the table lacks is passed over. */
static int read_columns(void *row, const cafe_schema *type, cafe_slice columns, cafe_err *err) {
  int code = CAFE_OK;
  memset(row, 0, type->width);
  for (const char *at = columns.data, *end = at + columns.size; at < end && !code;) {
    column head;
    memcpy(&head, at, sizeof head);
    cafe_slice name = {at += sizeof head, head.name};
    cafe_value value = {.number = head.number, .bytes = {at + head.name, head.bytes}};
    int field = cafe_schema_find(type, name);
    if (field >= 0) code = cafe_schema_set(row, type, (uint32_t)field, &value, err);
    at += head.name + head.bytes;
  }
  return code;
}

/* ---- names ---- */

static note stream_of(const char *aggregate, uint64_t key) {
  return (note){.kind = EVENT, .id = {key}, .texts[NAME] = cafe_text(aggregate)};
}
static note row_of(const cafe_table *table, uint64_t key, uint64_t sub) {
  return (note){.kind = ROW, .id = {key, sub}, .texts[NAME] = cafe_text(table->name)};
}
static note client_key_of(cafe_slice scope, cafe_slice key) {
  return (note){.kind = CLIENT_KEY, .texts = {scope, key}};
}
static note checkpoint_of(const cafe_checkpoint *at) {
  return (note){.kind = CHECKPOINT,
                .id = {at->log_id, at->shard, (uint64_t)at->partition},
                .texts[NAME] = cafe_text(at->subscription)};
}

/* ---- writing ---- */

/* Notes `said` with the value where the name has the expected one; else the unit conflicts, and nothing is noted. */
static int write_at(notebook *self, cafe_unit *unit, note *said, uint64_t expected, uint64_t value,
                    cafe_unit_result conflict) {
  if (value_of(self, said) != expected) {
    unit->result = conflict;
    return CAFE_OK;
  }
  said->value = value;
  return append(self, said);
}

static int write_event(notebook *self, cafe_unit *unit, cafe_stored_event *event) {
  note said = stream_of(event->aggregate, event->key);
  event->shard = 0;
  event->n = said.n = self->events + 1;
  said.time_ms = event->time_ms;
  said.texts[TYPE] = cafe_text(event->type);
  said.texts[TRACE] = event->trace;
  said.texts[DATA] = event->data;
  said.texts[META] = event->meta;
  return write_at(self, unit, &said, event->version - 1, event->version, CAFE_UNIT_STREAM_CONFLICT);
}

static int write_row(notebook *self, cafe_unit *unit, const cafe_row_write *write, cafe_arena *arena) {
  note said = row_of(write->table, write->key, write->sub);
  if (write->data && write_columns(&said.texts[COLUMNS], write->table->row, write->data, arena)) return CAFE_NOMEM;
  return write_at(self, unit, &said, write->expected, write->data ? write->expected + 1 : 0, CAFE_UNIT_ROW_CONFLICT);
}

static int write_checkpoint(notebook *self, cafe_unit *unit, const cafe_checkpoint *moved) {
  note said = checkpoint_of(moved);
  return write_at(self, unit, &said, moved->expected, moved->n, CAFE_UNIT_CHECKPOINT_CONFLICT);
}

static int tell_key(cafe_key_record *out, const note *found, cafe_slice fingerprint, cafe_arena *arena) {
  *out = (cafe_key_record){.found = found != NULL};
  if (!found) return CAFE_OK;
  out->same_request = cafe_slice_equal(found->texts[PRINT], fingerprint);
  out->has_reply = found->has_reply;
  out->stream_key = found->value;
  return cafe_arena_copy(&out->reply, arena, found->texts[REPLY]);
}

static int write_key(notebook *self, cafe_unit *unit, const cafe_key_write *write, cafe_arena *arena) {
  note said = client_key_of(write->scope, write->key);
  const note *found = find(self, &said);
  if (write->mode == CAFE_KEY_REPLY) {
    if (!found) return CAFE_OK;
    said = *found;
  } else if (found && (found->has_reply || found->value != write->replaces)) {
    unit->result = CAFE_UNIT_KEY_CONFLICT;
    return tell_key(&unit->key_found, found, write->fingerprint, arena);
  } else {
    said.value = write->stream_key;
    said.texts[PRINT] = write->fingerprint;
  }
  said.has_reply = write->mode != CAFE_KEY_CLAIM;
  if (said.has_reply) said.texts[REPLY] = write->reply;
  return append(self, &said);
}

static int write_unit(notebook *self, cafe_unit *unit, cafe_arena *arena) {
  int code = CAFE_OK;
  unit->result = CAFE_UNIT_DONE;
  for (uint32_t i = 0; i < unit->event_count && !code && unit->result == CAFE_UNIT_DONE; i++)
    code = write_event(self, unit, &unit->events[i]);
  for (uint32_t i = 0; i < unit->row_count && !code && unit->result == CAFE_UNIT_DONE; i++)
    code = write_row(self, unit, &unit->rows[i], arena);
  if (unit->client_key && !code && unit->result == CAFE_UNIT_DONE)
    code = write_key(self, unit, unit->client_key, arena);
  for (uint32_t i = 0; i < unit->checkpoint_count && !code && unit->result == CAFE_UNIT_DONE; i++)
    code = write_checkpoint(self, unit, &unit->checkpoints[i]);
  return code;
}

static int notebook_commit(cafe_store *store, cafe_batch *batch, cafe_err *err) {
  notebook *self = (notebook *)store;
  size_t before = self->count;
  for (uint32_t i = 0; i < batch->unit_count; i++) {
    size_t begun = self->count;
    if (write_unit(self, batch->units[i], batch->arena)) {
      tear_out(self, before);
      return no_memory(err);
    }
    if (batch->units[i]->result != CAFE_UNIT_DONE) tear_out(self, begun);
  }
  return CAFE_OK;
}

/* ---- reading ---- */

static int hand_event(const note *from, cafe_event_sink on_event, void *user) {
  cafe_stored_event event = {.aggregate = from->texts[NAME].data,
                             .type = from->texts[TYPE].data,
                             .key = from->id[0],
                             .version = from->value,
                             .time_ms = from->time_ms,
                             .trace = from->texts[TRACE],
                             .data = from->texts[DATA],
                             .n = from->n,
                             .meta = from->texts[META]};
  return on_event(&event, user);
}

/* A row that a read found, in the order in which it is handed out. */
typedef struct found {
  struct found *next;
  const note *row;
  void *data;
} found;

/* Whether it is a row of that table as it stands now. */
static bool is_row(const notebook *self, const note *at, const cafe_table *table) {
  return at->kind == ROW && at->value && cafe_slice_equal(at->texts[NAME], cafe_text(table->name)) &&
         find(self, at) == at;
}

static int make_found(found **out, const note *row, const cafe_table *table, cafe_arena *arena, cafe_err *err) {
  *out = cafe_arena_alloc(arena, sizeof **out);
  void *data = *out ? cafe_arena_alloc(arena, table->row->width) : NULL;
  if (!data) return no_memory(err);
  **out = (found){NULL, row, data};
  return read_columns(data, table->row, row->texts[COLUMNS], err);
}

static int notebook_load(cafe_store *store, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row, void *user,
                         cafe_err *err) {
  notebook *self = (notebook *)store;
  cafe_arena *arena = cafe_arena_create(&self->allocator);
  int code = arena ? CAFE_OK : no_memory(err);
  for (size_t i = 0; i < self->count && !code; i++)
    if (self->notes[i]->kind == EVENT && self->notes[i]->id[0] == key)
      code = hand_event(self->notes[i], on_event, user);
  for (const cafe_table *const *table = self->tables; *table && !code; table++)
    for (size_t i = 0; (*table)->is_loaded && i < self->count && !code; i++) {
      found *row;
      if (self->notes[i]->id[0] != key || !is_row(self, self->notes[i], *table)) continue;
      code = make_found(&row, self->notes[i], *table, arena, err);
      if (!code) code = on_row(*table, key, row->row->id[1], row->row->value, row->data, user);
    }
  cafe_arena_destroy(arena);
  return code;
}

static bool is_wanted(const char *const *types, cafe_slice type) {
  for (; types && *types; types++)
    if (cafe_slice_equal(cafe_text(*types), type)) return true;
  return !types;
}

static int notebook_read_log(cafe_store *store, cafe_log_query *query, cafe_event_sink on_event, void *user,
                             cafe_err *err) {
  notebook *self = (notebook *)store;
  uint32_t handed = 0;
  int code = CAFE_OK;
  if (query->shard || query->after > self->events)
    return cafe_fail(err, CAFE_INVALID, "The notebook's log has no such position: it ends at 0.%llu.",
                     (unsigned long long)self->events);
  query->head = self->events;
  query->scanned = query->after;
  for (size_t i = 0; i < self->count && handed < query->limit && !code; i++) {
    const note *at = self->notes[i];
    if (at->kind != EVENT || at->n <= query->after) continue;
    query->scanned = at->n;
    if (!is_wanted(query->types, at->texts[TYPE])) continue;
    code = hand_event(at, on_event, user);
    handed++;
  }
  return code;
}

static int order_of_numbers(int64_t a, int64_t b) { return (a > b) - (a < b); }

static int order_of_values(const cafe_value *a, const cafe_value *b, uint16_t type) {
  if (type != CAFE_FIELD_TEXT && type != CAFE_FIELD_BYTES) return order_of_numbers(a->number, b->number);
  size_t common = a->bytes.size < b->bytes.size ? a->bytes.size : b->bytes.size;
  int order = common ? memcmp(a->bytes.data, b->bytes.data, common) : 0;
  return order ? order : order_of_numbers((int64_t)a->bytes.size, (int64_t)b->bytes.size);
}

static cafe_value column_of(const cafe_table *table, const found *row, int index) {
  if (index >= 0) return cafe_schema_get(table->row, row->data, (uint32_t)index);
  return (cafe_value){.number = (int64_t)row->row->id[index == -1 ? 0 : 1]};
}

static uint16_t type_of(const cafe_table *table, int index) {
  return index >= 0 ? table->row->fields[index].type : (uint16_t)CAFE_FIELD_U64;
}

static bool meets(const cafe_row_query *query, const found *row) {
  for (uint32_t i = 0; i < query->condition_count; i++) {
    const cafe_condition *condition = &query->conditions[i];
    cafe_value value = column_of(query->table, row, condition->column);
    int order = order_of_values(&value, &condition->value, type_of(query->table, condition->column));
    if (condition->at_most ? order > 0 : order != 0) return false;
  }
  const uint64_t *id = row->row->id;
  return id[0] > query->after_key || (id[0] == query->after_key && id[1] > query->after_sub);
}

static bool is_before(const cafe_row_query *query, const found *a, const found *b) {
  const int columns[] = {query->order_by, -1, -2};
  int order = 0;
  for (int i = 0; i < 3 && !order; i++) {
    cafe_value left = column_of(query->table, a, columns[i]), right = column_of(query->table, b, columns[i]);
    order = order_of_values(&left, &right, type_of(query->table, columns[i]));
  }
  return order < 0;
}

static int notebook_read_rows(cafe_store *store, const cafe_row_query *query, cafe_row_sink on_row, void *user,
                              cafe_err *err) {
  notebook *self = (notebook *)store;
  found *first = NULL, *row;
  uint32_t handed = 0;
  cafe_arena *arena = cafe_arena_create(&self->allocator);
  int code = arena ? CAFE_OK : no_memory(err);
  for (size_t i = 0; i < self->count && !code; i++) {
    if (!is_row(self, self->notes[i], query->table)) continue;
    code = make_found(&row, self->notes[i], query->table, arena, err);
    if (code || !meets(query, row)) continue;
    found **place = &first;
    while (*place && is_before(query, *place, row)) place = &(*place)->next;
    row->next = *place;
    *place = row;
  }
  for (row = first; row && handed < query->limit && !code; row = row->next, handed++)
    code = on_row(query->table, row->row->id[0], row->row->id[1], row->row->value, row->data, user);
  cafe_arena_destroy(arena);
  return code;
}

static int notebook_read_key(cafe_store *store, cafe_key_record *out, cafe_slice scope, cafe_slice key,
                             cafe_slice fingerprint, cafe_arena *arena, cafe_err *err) {
  note name = client_key_of(scope, key);
  return tell_key(out, find((notebook *)store, &name), fingerprint, arena) ? no_memory(err) : CAFE_OK;
}

static int notebook_read_checkpoints(cafe_store *store, const char *subscription, cafe_checkpoint_sink on_checkpoint,
                                     void *user, cafe_err *err) {
  notebook *self = (notebook *)store;
  int code = CAFE_OK;
  (void)err; /* nothing can go wrong but in the sink */
  for (size_t i = 0; i < self->count && !code; i++) {
    const note *at = self->notes[i];
    if (at->kind != CHECKPOINT || strcmp(at->texts[NAME].data, subscription) != 0 || find(self, at) != at) continue;
    cafe_checkpoint told = {.subscription = at->texts[NAME].data,
                            .log_id = at->id[0],
                            .shard = (uint32_t)at->id[1],
                            .partition = (int32_t)at->id[2],
                            .n = at->value};
    code = on_checkpoint(&told, user);
  }
  return code;
}

/* ---- the store ---- */

static int notebook_open(cafe_store *store, cafe_store_info *out, const cafe_store_setup *setup, cafe_err *err) {
  notebook *self = (notebook *)store;
  (void)err;
  self->tables = setup->tables;
  out->log_id = self->log_id;
  out->shards = 1;
  out->partitions = CAFE_PARTITIONS;
  return CAFE_OK;
}

static void notebook_destroy(cafe_store *store) {
  notebook *self = (notebook *)store;
  cafe_allocator allocator = self->allocator;
  tear_out(self, 0);
  allocator.resize(self->notes, 0, allocator.user);
  allocator.resize(self, 0, allocator.user);
}

static const cafe_store_ops ops = {
    .size = sizeof ops,
    .name = "notebook",
    .is_inline = true, /* it never blocks, so it needs no thread and no lock */
    .open = notebook_open,
    .commit = notebook_commit,
    .load = notebook_load,
    .read_log = notebook_read_log,
    .read_rows = notebook_read_rows,
    .read_key = notebook_read_key,
    .read_checkpoints = notebook_read_checkpoints,
    .destroy = notebook_destroy,
};

int notebook_create(cafe_store **out, const cafe_allocator *allocator, cafe_err *err) {
  if (!allocator) allocator = cafe_allocator_default();
  notebook *self = allocator->resize(NULL, sizeof *self, allocator->user);
  if (!self) return no_memory(err);
  *self = (notebook){.base.ops = &ops, .allocator = *allocator};
  if (getentropy(&self->log_id, sizeof self->log_id)) {
    notebook_destroy(&self->base);
    return cafe_fail(err, CAFE_UNAVAILABLE, "The system gives no random number to name a log by.");
  }
  self->log_id = self->log_id % CAFE_KEY_MAX + 1;
  *out = &self->base;
  return CAFE_OK;
}
