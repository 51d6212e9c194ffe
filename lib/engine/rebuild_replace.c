/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A shadow takes the place of its table, and which definition a table is of. What is kept here: rows, the places of the
 * subscriptions, dead letters and the number in `cafe_views` belong together, so they change in one unit.
 *
 * Afterwards rows have the shadow's versions. Keys in memory that know others are read anew before anything is decided
 * on them: their next unit would conflict, and be decided twice.
 */
#include "base/sized.h"
#include "engine/rebuild.h"

bool rebuild_is_possible(const cafe_node *node) {
  const cafe_store_ops *ops = node->store->ops;
  return SIZED_HAS(ops, make_shadow) && SIZED_HAS(ops, drop_shadow) && SIZED_HAS(ops, replace);
}

/* ---- taking its place ---- */

static int list_places(rebuild *self) {
  const rebuild_source *source;
  uint32_t count = 0, names = 0;
  LL_COUNT(self->sources, source, count);
  cafe_checkpoint *places = cafe_arena_alloc(self->job_arena, (count + 1) * sizeof *places);
  self->subscriptions = cafe_arena_alloc(self->job_arena, (count + 1) * sizeof *self->subscriptions);
  if (!places || !self->subscriptions)
    return CAFE_NOMEM;
  self->unit.checkpoints = places;
  LL_FOREACH(self->sources, source) {
    if (!source->consumer)
      continue;
    self->subscriptions[names++] = source->consumer->name;
    if (source->after == 0)
      continue;
    cafe_checkpoint *place = &places[self->unit.checkpoint_count++];
    place->subscription = source->consumer->name;
    place->log_id = source->log_id;
    place->shard = source->shard;
    place->partition = -1;
    place->n = source->after;
  }
  return CAFE_OK;
}

static int run_replace(rebuild *self, cafe_err *err) {
  const hosted_view *view = rebuild_view(self);
  cafe_store *store = self->node->store;
  cafe_replacement what = {sizeof what, &view->table, &view->shadow, self->subscriptions, &self->unit, self->job_arena};
  return store->ops->replace(store, &what, err);
}

/* In memory are the rows' versions of before. */
static void outdate_keys(const rebuild *self) {
  for (map_entry *entry = map_first(self->node->subjects); entry; entry = map_next(entry)) {
    struct subject *subject = map_value(entry);
    const view_slot *slot;
    LL_FOREACH(subject->views, slot) {
      if (slot->view == self->view && subject->state == SUBJECT_READY)
        subject_make_stale(subject);
    }
  }
}

static void replaced(rebuild *self) {
  hosted_view *view = rebuild_view(self);
  if (self->unit.result != CAFE_UNIT_DONE) {
    rebuild_fail_code(self, CAFE_CONFLICT, "somebody else has changed what the view %s is built with",
                      view->type->name);
    return;
  }
  self->is_replaced = true;
  view->built_version = view->type->version;
  view->noted_version++;
  view->is_outdated = false;
  if (view->type->is_inline)
    outdate_keys(self);
  else
    aside_written(self);
  rebuild_release(self);
  self->is_made = view->type->is_inline; /* the hidden rows' */
  self->step = REBUILD_DROP;
  node_pump(self->node);
}

/* The unit's first row, and room for so many more. NULL: no memory. */
static cafe_row_write *note_version(cafe_unit *unit, const hosted_view *view, uint32_t more, cafe_arena *arena) {
  cafe_row_write *write = cafe_arena_alloc(arena, (more + (size_t)1) * sizeof *write);
  view_version_row *row = write ? cafe_arena_alloc(arena, sizeof *row) : NULL;
  if (!row)
    return NULL;
  row->name = cafe_text(view->type->name);
  row->version = view->type->version;
  write->table = &engine_tables[TABLE_VIEWS];
  write->key = view->number;
  write->expected = view->noted_version;
  write->data = row;
  unit->size = sizeof *unit;
  unit->key = view->number;
  unit->rows = write;
  unit->row_count = 1;
  return write;
}

void rebuild_replace(rebuild *self) {
  uint32_t letters = rebuild_view(self)->type->is_inline ? 0 : aside_rows(self);
  cafe_err err = {0};
  cafe_arena_reset(self->job_arena);
  memset(&self->unit, 0, sizeof self->unit);
  cafe_row_write *rows = note_version(&self->unit, rebuild_view(self), letters, self->job_arena);
  int code =
      rows && !list_places(self) ? CAFE_OK : cafe_fail(&err, CAFE_NOMEM, "no memory to replace the table of a view");
  if (!code && letters)
    code = aside_write(rows + 1, self, &err);
  if (code)
    rebuild_fail(self, &err);
  else
    rebuild_job(self, CAFE_LANE_WRITE, run_replace, replaced);
}

/* ---- a node's start ---- */

static int see_version(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                       void *user) {
  cafe_node *node = user;
  (void)table, (void)sub;
  for (uint32_t i = 0; i < node->registry.view_count; i++) {
    hosted_view *view = &node->registry.views[i];
    if (view->number != key)
      continue;
    view->built_version = ((const view_version_row *)data)->version;
    view->noted_version = version;
  }
  return CAFE_OK;
}

static int see_place(const cafe_checkpoint *checkpoint, void *user) {
  (void)checkpoint;
  *(bool *)user = true;
  return CAFE_OK;
}

/* Nothing was ever folded into it. */
static int is_untouched(bool *out, cafe_node *node, uint32_t view, cafe_err *err) {
  bool has_place = false;
  int code = CAFE_OK;
  struct consumer *consumer;
  for (uint32_t shard = 0; shard < node->shards && node->registry.views[view].type->is_inline; shard++)
    has_place = has_place || node->heads[shard];
  LL_FOREACH(node->consumers, consumer) {
    if (!code && consumer->kind == CONSUME_VIEW && consumer->index == view)
      code = node->store->ops->read_checkpoints(node->store, consumer->name, see_place, &has_place, err);
  }
  *out = !has_place;
  return code;
}

static int note_now(cafe_node *node, hosted_view *view, cafe_err *err) {
  cafe_unit unit = {.size = sizeof unit}, *units[1] = {&unit};
  cafe_arena_reset(node->call_arena);
  cafe_batch batch = {sizeof batch, units, 1, node->call_arena};
  int code = note_version(&unit, view, 0, node->call_arena)
                 ? node->store->ops->commit(node->store, &batch, err)
                 : cafe_fail(err, CAFE_NOMEM, "no memory to note the version of the view %s", view->type->name);
  if (!code && unit.result != CAFE_UNIT_DONE)
    code = cafe_fail(err, CAFE_CONFLICT, "somebody else has noted a version of the view %s", view->type->name);
  if (!code) {
    view->built_version = view->type->version;
    view->noted_version++;
  }
  return code;
}

static int look_at_version(cafe_node *node, uint32_t index, cafe_err *err) {
  hosted_view *view = &node->registry.views[index];
  bool is_new = false;
  view->is_outdated = view->built_version != view->type->version;
  view->rebuild_at_us = view->again_us = 0;
  if (!view->is_outdated)
    return CAFE_OK;
  int code = is_untouched(&is_new, node, index, err);
  if (!code && is_new) {
    code = note_now(node, view, err);
    view->is_outdated = code != CAFE_OK;
  } else if (!code && !rebuild_is_possible(node)) {
    code = cafe_fail(err, CAFE_UNSUPPORTED,
                     "the view %s was built with version %lld, and is %u now: the store %s can't make it anew "
                     "(make_shadow). Give it another name",
                     view->type->name, (long long)view->built_version, view->type->version, node->store->ops->name);
  }
  return code;
}

int rebuild_start(cafe_node *node, cafe_err *err) {
  cafe_row_query query = {sizeof query, &engine_tables[TABLE_VIEWS], NULL, 0, 0, 0, -1, UINT32_MAX};
  for (uint32_t i = 0; i < node->registry.view_count; i++) {
    node->registry.views[i].built_version = 1; /* what isn't noted */
    node->registry.views[i].noted_version = 0;
  }
  int code = node->store->ops->read_rows(node->store, &query, see_version, node, err);
  for (uint32_t i = 0; i < node->registry.view_count && !code; i++)
    code = look_at_version(node, i, err);
  return code;
}
