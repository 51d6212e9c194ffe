/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A view's logs are read from their first event, and folded into its shadow. What is kept here: when no batch is in
 * hand, the shadow holds exactly the fold of what was read; rows in memory are a cache of it. Nothing of this outlives
 * a failure: it is begun anew from the first event, so there are no checkpoints.
 *
 * An inline view's rows that aren't shown have no place in its table (decisions/0007-hidden-rows.md), but the fold has
 * to find them again: they lie in a second shadow, which is dropped in the end. So do rows that were forgotten.
 *
 * A record that fails by itself leaves its row as it was (rebuild_aside.c). All that an inline view has was folded
 * once, in the unit of its event: there it ends the rebuild.
 */
#include "engine/forget.h"
#include "engine/letter.h"
#include "engine/rebuild.h"

#include <assert.h>

enum {
  CACHED_ROWS = 16384,
  CACHED_BYTES = 1 << 22 /* of texts: a fold leaves the ones that it replaces behind */
};

typedef struct row_key {
  uint64_t key, sub;
} row_key;

static void no_memory(rebuild *self) {
  rebuild_fail_code(self, CAFE_NOMEM, "no memory to fold the view %s", rebuild_view(self)->type->name);
}

/* ---- rows ---- */

static void forget(rebuild *self) {
  map_clear(self->rows);
  cafe_arena_reset(self->row_arena);
  self->text_bytes = 0;
  self->is_partial = true;
}

/* *out is NULL where the event is for no row, and on failure. */
static int row_of(shadow_row **out, rebuild *self, const cafe_event *event, bool *is_new, cafe_err *err) {
  const cafe_view *view = rebuild_view(self)->type;
  row_key key = {event->key, 0};
  cafe_slice bytes = {(const char *)&key, sizeof key};
  *out = NULL;
  *is_new = false;
  int code = view_sub(&key.sub, view, event, err);
  if (code || (view->sub && key.sub == 0))
    return code;
  *out = map_get_bytes(self->rows, bytes);
  if (*out)
    return CAFE_OK;
  shadow_row *made = cafe_arena_alloc(self->row_arena, sizeof *made);
  void *row = made ? cafe_arena_alloc(self->row_arena, view->row->width) : NULL;
  if (!row || map_put_bytes(self->rows, bytes, made))
    return cafe_fail(err, CAFE_NOMEM, "no memory to fold the view %s", view->name);
  made->row = row;
  made->key = key.key;
  made->sub = key.sub;
  *out = made;
  *is_new = true;
  return CAFE_OK;
}

typedef struct row_read {
  rebuild *self;
  shadow_row *row;
  uint64_t *version;
} row_read;

static int see_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
  row_read *read = user;
  (void)key, (void)sub;
  if (cafe_schema_copy(read->row->row, data, table->row, read->self->row_arena))
    return CAFE_NOMEM;
  *read->version = version;
  return CAFE_OK;
}

static int read_row(row_read *read, const cafe_table *table, cafe_err *err) {
  cafe_store *store = read->self->node->store;
  cafe_condition conditions[2] = {{.column = -1, .value.number = (int64_t)read->row->key},
                                  {.column = -2, .value.number = (int64_t)read->row->sub}};
  cafe_row_query query = {sizeof query, table, conditions, table->sub_name ? 2 : 1, 0, 0, -1, 1};
  return store->ops->read_rows(store, &query, see_row, read, err);
}

static int read_wanted(rebuild *self, cafe_err *err) {
  const hosted_view *view = rebuild_view(self);
  int code = CAFE_OK;
  for (uint32_t i = 0; i < self->wanted_count && !code; i++) {
    shadow_row *row = self->wanted[i];
    row_read read = {self, row, &row->version};
    code = read_row(&read, &view->shadow, err);
    row->is_shown = row->version != 0;
    read.version = &row->hidden_version;
    if (!code && !row->version && self->has_hidden)
      code = read_row(&read, &view->hidden, err);
  }
  return code;
}

/* ---- writing ---- */

static void unit_written(struct unit *unit, int code, const cafe_err *err) {
  rebuild *self = unit->rebuild;
  self->busy--;
  if (code)
    rebuild_fail(self, err);
  node_pump(self->node);
}

static cafe_row_write *add_write(struct unit *unit, cafe_row_write *rows, const cafe_table *table,
                                 const shadow_row *row, uint64_t expected, const void *data) {
  cafe_row_write *write = &rows[unit->store.row_count++];
  write->table = table;
  write->key = row->key;
  write->sub = row->sub;
  write->expected = expected;
  write->data = data;
  return write;
}

/* A row is in one of the two tables. */
static void write_row(rebuild *self, struct unit *unit, cafe_row_write *rows, shadow_row *row, const void *data) {
  const hosted_view *view = rebuild_view(self);
  const cafe_table *to = row->is_shown ? &view->shadow : &view->hidden;
  const cafe_table *from = row->is_shown ? &view->hidden : &view->shadow;
  uint64_t *in = row->is_shown ? &row->version : &row->hidden_version;
  uint64_t *out = row->is_shown ? &row->hidden_version : &row->version;
  if (row->is_shown && !row->version)
    self->report.rows++;
  if (!row->is_shown && row->version)
    self->report.rows--;
  self->has_hidden = self->has_hidden || !row->is_shown;
  add_write(unit, rows, to, row, (*in)++, data);
  if (*out)
    add_write(unit, rows, from, row, *out, NULL);
  *out = 0;
  row->is_dirty = false;
}

static int write_partition(rebuild *self, shadow_row *dirty, uint32_t count) {
  assert(dirty);
  cafe_node *node = self->node;
  const cafe_schema *type = rebuild_view(self)->type->row;
  cafe_arena *arena = node_large_arena(node);
  struct unit *made = arena ? cafe_arena_alloc(arena, sizeof *made) : NULL;
  cafe_row_write *rows = made ? cafe_arena_alloc(arena, 2 * (size_t)count * sizeof *rows) : NULL;
  if (!rows)
    goto no_memory;
  for (shadow_row *row = dirty; row; row = row->next_dirty) {
    void *copy = cafe_arena_alloc(arena, type->width);
    if (!copy || cafe_schema_copy(copy, row->row, type, arena))
      goto no_memory;
    write_row(self, made, rows, row, copy);
  }
  made->store.size = sizeof made->store;
  made->store.key = dirty->key;
  made->store.rows = rows;
  made->arena = arena;
  made->rebuild = self;
  made->finished = unit_written;
  self->busy++;
  commit_push(node, made);
  return CAFE_OK;

no_memory:
  node_large_arena_free(node, arena);
  return CAFE_NOMEM;
}

/* ---- a batch ---- */

static int fold_event_into(rebuild *self, shadow_row *row, const cafe_event *event, cafe_err *err) {
  const cafe_view *view = rebuild_view(self)->type;
  cafe_fold fold;
  memcpy(self->row_before, row->row, view->row->width);
  int code = view_fold(&fold, view, row->row, event, self->row_arena, err);
  if (code) {
    memcpy(row->row, self->row_before, view->row->width); /* it may be half done */
    return code;
  }
  self->report.events++;
  self->node->stats.rebuild_events++;
  self->text_bytes += view_text_bytes(view, row->row);
  if (fold == CAFE_FOLD_SKIP)
    return CAFE_OK;
  row->is_shown = !view->is_inline || (fold == CAFE_FOLD_PUT && !forget_covers(view, row->row, self->forgotten_ms));
  row->is_dirty = true;
  return CAFE_OK;
}

/* *out: the row that is dirty by it; NULL: none. */
static int fold_readable(shadow_row **out, rebuild *self, const batch_event *record, cafe_err *err) {
  shadow_row *row = NULL;
  bool is_new, was_dirty;
  *out = NULL;
  if (record->failure)
    *err = *record->failure;
  int code = record->failure ? record->failure->code : row_of(&row, self, &record->event, &is_new, err);
  if (code || !row)
    return code;
  was_dirty = row->is_dirty;
  code = fold_event_into(self, row, &record->event, err);
  *out = !was_dirty && row->is_dirty ? row : NULL;
  return code;
}

static int fold_record(shadow_row **out, rebuild *self, rebuild_source *source, batch_event *record, cafe_err *err) {
  *out = NULL;
  if (source != &self->late && aside_covers(self, record->event.key))
    return aside_keep(self, source, record, err);
  int code = fold_readable(out, self, record, err);
  if (!code || rebuild_view(self)->type->is_inline || !letter_is_deserved(code))
    return code;
  record->failure = err;
  return self->verifies ? CAFE_OK : aside_keep(self, source, record, err);
}

static void fold_taken(rebuild *self) {
  shadow_row *dirty[CAFE_PARTITIONS] = {NULL};
  uint32_t counts[CAFE_PARTITIONS] = {0};
  rebuild_source *source = self->taken;
  cafe_err err = {0};
  int code = CAFE_OK;
  for (batch_event *at = source->events; at && !code; at = at->next) {
    shadow_row *row;
    if (!logs_want(source, &at->event))
      continue;
    code = fold_record(&row, self, source, at, &err);
    if (code || !row)
      continue;
    uint32_t partition = cafe_partition(row->key);
    row->next_dirty = dirty[partition];
    dirty[partition] = row;
    counts[partition]++;
  }
  if (code) {
    rebuild_fail(self, &err);
    return;
  }
  for (uint32_t p = 0; p < CAFE_PARTITIONS && !self->err.code; p++)
    if (dirty[p] && write_partition(self, dirty[p], counts[p]))
      no_memory(self);
  self->taken = NULL;
  logs_give_back(source);
}

/* Of the rows that the batch is for, those that have to be read. */
static int find_wanted(rebuild *self, cafe_err *err) {
  size_t count = 0;
  for (const batch_event *at = self->taken->events; at; at = at->next)
    count++;
  cafe_arena_reset(self->job_arena);
  self->wanted_count = 0;
  self->wanted = cafe_arena_alloc(self->job_arena, (count + 1) * sizeof(shadow_row *));
  if (!self->wanted)
    return cafe_fail(err, CAFE_NOMEM, "no memory to fold a view");
  for (const batch_event *at = self->taken->events; at; at = at->next) {
    shadow_row *row;
    bool is_new;
    if (at->failure)
      continue;
    int code = row_of(&row, self, &at->event, &is_new, err);
    if (code && !letter_is_deserved(code))
      return code;
    if (is_new)
      self->wanted[self->wanted_count++] = row;
  }
  return CAFE_OK;
}

void fold_batch(rebuild *self, rebuild_source *source) {
  self->taken = source;
  if (map_count(self->rows) > CACHED_ROWS || self->text_bytes > CACHED_BYTES)
    forget(self);
  cafe_err err = {0};
  self->wanted_count = 0;
  if (self->is_partial && find_wanted(self, &err))
    rebuild_fail(self, &err);
  else if (self->wanted_count)
    rebuild_job(self, CAFE_LANE_READ, read_wanted, fold_taken);
  else
    fold_taken(self);
}

bool fold_next(rebuild *self) {
  rebuild_source *source = logs_take(self);
  if (source)
    fold_batch(self, source);
  return source != NULL;
}

/* ---- beginning and end ---- */

int fold_open(rebuild *self, cafe_err *err) {
  self->row_arena = cafe_arena_create(&self->node->allocator);
  self->rows = map_create(&self->node->allocator, MAP_BYTES);
  self->row_before = cafe_arena_alloc(self->arena, rebuild_view(self)->type->row->width);
  return self->row_arena && self->rows && self->row_before
             ? CAFE_OK
             : cafe_fail(err, CAFE_NOMEM, "no memory to make the view %s anew", rebuild_view(self)->type->name);
}

void fold_free(rebuild *self) {
  map_destroy(self->rows);
  cafe_arena_destroy(self->row_arena);
}
