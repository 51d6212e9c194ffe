/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reading a page of changes: the events of other nodes' logs are in hand (tail.c), those of the node's own log and the
 * rows are read by the store. What is kept here: a row is read after the view held its event, so it is never older.
 */
#include "engine/changes.h"

#include <stdlib.h>

#include "base/sized.h"
#include "engine/read.h"

/* ---- on the lane ---- */

static void want_rows(uint64_t *keys, uint32_t *count, uint64_t key) {
  uint32_t at = *count;
  while (at > 0 && keys[at - 1] > key)
    at--;
  if (at > 0 && keys[at - 1] == key)
    return;
  memmove(&keys[at + 1], &keys[at], ((*count)++ - at) * sizeof *keys);
  keys[at] = key;
}

static int see_event(const cafe_stored_event *stored, void *user) {
  change_read *self = user;
  const cafe_node *node = self->job.node;
  if (stored->n > self->query.until) {
    self->is_past = true;
    return CAFE_CANCELED; /* it ends the read, and no more */
  }
  const event_type *type = registry_event(node, stored->type);
  const char *aggregate = type ? node->registry.aggregates[type->aggregate].type->name : NULL;
  if (!type || strcmp(aggregate, stored->aggregate) != 0)
    return CAFE_OK; /* another aggregate's that had the name */
  cafe_event *event;
  int code = read_event(&event, node, aggregate, stored, self->arena);
  if (code)
    return code;
  self->events[self->count++] = event;
  want_rows(self->keys, &self->query.key_count, stored->key);
  return CAFE_OK;
}

static int see_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
  (void)version;
  change_read *self = user;
  if (self->shown_by >= 0 && !cafe_schema_get(table->row, data, (uint32_t)self->shown_by).number)
    return CAFE_OK;
  if (self->row_count == self->row_room) {
    uint32_t room = self->row_room ? self->row_room * 2 : 16;
    const cafe_row **grown = cafe_arena_alloc(self->arena, room * sizeof *grown);
    if (!grown)
      return CAFE_NOMEM;
    if (self->row_count)
      memcpy(grown, self->rows, self->row_count * sizeof *grown);
    self->rows = grown;
    self->row_room = room;
  }
  cafe_row *row = cafe_arena_alloc(self->arena, sizeof *row);
  void *copy = row ? cafe_arena_alloc(self->arena, table->row->width) : NULL;
  if (!copy || cafe_schema_copy(copy, data, table->row, self->arena))
    return CAFE_NOMEM;
  *row = (cafe_row){sizeof *row, key, sub, copy};
  self->rows[self->row_count++] = row;
  return CAFE_OK;
}

static int read_keys(change_read *self, uint32_t count, cafe_err *err) {
  cafe_store *store = self->job.node->store;
  int code = CAFE_OK;
  for (uint32_t i = 0; i < count && !code; i++) {
    cafe_condition is_key = {.column = -1, .value.number = (int64_t)self->keys[i]};
    cafe_row_query rows = {sizeof rows, &self->view->table, &is_key, 1, 0, 0, -1, UINT32_MAX};
    code = store->ops->read_rows(store, &rows, see_row, self, err);
  }
  return code;
}

/* For a store that can't do both at once: the rows may be newer then, which they may always. */
static int read_apart(change_read *self, cafe_store *store, cafe_err *err) {
  cafe_log_query *log = self->query.log;
  int code = store->ops->read_log(store, log, see_event, self, err);
  if (self->is_past) {
    log->scanned = self->query.until;
    code = CAFE_OK;
  }
  return code ? code : read_keys(self, self->query.key_count, err);
}

static int read_shard(change_read *self, uint32_t shard, uint32_t limit, cafe_err *err) {
  cafe_store *store = self->job.node->store;
  cafe_position *reached = &self->reached[shard];
  cafe_log_query log = {sizeof log, shard, reached->n, limit, self->types, 0, 0};
  if (!limit || reached->n >= self->until[shard])
    return CAFE_OK;
  self->query = (cafe_change_query){sizeof self->query, &log, self->until[shard], &self->view->table, self->keys, 0};
  self->is_past = false;
  int code = SIZED_HAS(store->ops, read_changes)
                 ? store->ops->read_changes(store, &self->query, see_event, see_row, self, err)
                 : read_apart(self, store, err);
  if (!code)
    reached->n = log.scanned < self->query.until ? log.scanned : self->query.until;
  return code;
}

static int compare_rows(const void *a, const void *b) {
  const cafe_row *x = *(const cafe_row *const *)a, *y = *(const cafe_row *const *)b;
  if (x->key != y->key)
    return x->key < y->key ? -1 : 1;
  return (x->sub > y->sub) - (x->sub < y->sub);
}

/* Each shard has its share of the page, and another one is the first in the next: a busy one holds nobody up. */
static uint64_t first_place(const change_read *self) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < self->places; i++)
    sum += self->after[i].n;
  return sum;
}

static int run_read(storage_job *base, cafe_err *err) {
  change_read *self = CONTAINER(base, change_read, job);
  uint32_t far = self->count;
  uint64_t first = first_place(self);
  int code = read_keys(self, self->far_keys, err);
  for (uint32_t i = 0; i < self->own && !code; i++) {
    uint32_t left = self->own_limit - (self->count - far), shards = self->own - i;
    code = read_shard(self, (uint32_t)((first + i) % self->own), (left + shards - 1) / shards, err);
  }
  if (self->row_count > 1)
    qsort(self->rows, self->row_count, sizeof *self->rows, compare_rows);
  return code;
}

/* ---- afterwards, on the loop's thread ---- */

/* Leaves the events whose row is shown, and puts it beside each. Here, since the view is asked. */
static int join_rows(change_read *self, cafe_err *err) {
  const cafe_view *view = self->view->type;
  const cafe_row **found = cafe_arena_alloc(self->arena, (self->count + 1) * sizeof *found);
  uint32_t kept = 0;
  if (!found)
    return cafe_fail(err, CAFE_NOMEM, "no memory for the changes of %s", view->name);
  for (uint32_t i = 0; i < self->count; i++) {
    cafe_row wanted = {.key = self->events[i]->key};
    const cafe_row *key = &wanted;
    int code = view_sub(&wanted.sub, view, self->events[i], err);
    if (code)
      return code;
    const cafe_row *const *row =
        self->row_count ? bsearch(&key, self->rows, self->row_count, sizeof *self->rows, compare_rows) : NULL;
    if (!row)
      continue;
    self->events[kept] = self->events[i];
    found[kept++] = *row;
  }
  self->rows = found;
  self->count = kept;
  return CAFE_OK;
}

static bool is_of_other_log(const cafe_event *event, const cafe_event *before) {
  return event->position.log_id != before->position.log_id || event->position.shard != before->position.shard;
}

/* Between logs nothing tells the order but the time. Each one's own stays. */
static int merge_logs(change_read *self, cafe_err *err) {
  uint32_t *next = cafe_arena_alloc(self->arena, (self->places + 1) * sizeof *next);
  uint32_t *end = cafe_arena_alloc(self->arena, (self->places + 1) * sizeof *end);
  const cafe_event **events = cafe_arena_alloc(self->arena, (self->count + 1) * sizeof *events);
  const cafe_row **rows = cafe_arena_alloc(self->arena, (self->count + 1) * sizeof *rows);
  uint32_t logs = 0;
  if (!next || !end || !events || !rows)
    return cafe_fail(err, CAFE_NOMEM, "no memory for the changes of %s", self->view->type->name);
  for (uint32_t i = 0; i < self->count; i++) {
    if (i == 0 || is_of_other_log(self->events[i], self->events[i - 1]))
      next[logs++] = i;
    end[logs - 1] = i + 1;
  }
  for (uint32_t i = 0; i < self->count; i++) {
    uint32_t first = UINT32_MAX;
    for (uint32_t log = 0; log < logs; log++)
      if (next[log] < end[log] &&
          (first == UINT32_MAX || self->events[next[log]]->time_ms < self->events[next[first]]->time_ms))
        first = log;
    events[i] = self->events[next[first]];
    rows[i] = self->rows[next[first]++];
  }
  self->events = events;
  self->rows = rows;
  return CAFE_OK;
}

int changes_join(change_read *self, cafe_err *err) {
  int code = join_rows(self, err);
  return code ? code : merge_logs(self, err);
}

void changes_free(change_read *self) {
  for (uint32_t i = 0; i < self->places; i++)
    if (self->tails[i])
      tail_give_back(self->tails[i]);
  node_arena_free(self->job.node, self->arena); /* the read lies in it */
}

/* ---- beginning ---- */

uint64_t changes_held(const cafe_node *node, const watch *self, uint32_t place) {
  const struct consumer *consumer = self->peers[place];
  if (!consumer && self->view->type->is_inline)
    return node->heads[place];
  if (consumer)
    return consumer->log_id && consumer->log_id == self->positions[place].log_id ? consumer->watermark : 0;
  uint32_t index = (uint32_t)(self->view - node->registry.views);
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->kind == CONSUME_VIEW && consumer->index == index && consumer->is_local && consumer->shard == place)
      return consumer->watermark;
  }
  return 0;
}

static const char **types_of(const cafe_node *node, const cafe_view *view, cafe_arena *arena) {
  uint32_t count = 0;
  while (view->events[count])
    count++;
  const char **types = cafe_arena_alloc(arena, (count + 1) * sizeof *types);
  for (uint32_t i = 0, used = 0; types && i < count; i++) {
    const event_type *type = registry_event_of(node, view->events[i]);
    if (type && registry_is_local(node, type))
      types[used++] = type->schema->name;
  }
  return types;
}

/* At most so many of the events that are in hand. *taken: how many. */
static int take_far(change_read *self, uint32_t place, uint32_t most, uint32_t *taken, cafe_err *err) {
  const tail *from = self->tails[place];
  cafe_position *reached = &self->reached[place];
  *taken = 0;
  for (const batch_event *at = from->records; at; at = at->next) {
    uint64_t n = at->event.position.n;
    if (n <= self->after[place].n)
      continue;
    if (n > self->until[place])
      break;
    if (*taken == most || (at->failure && *taken))
      return CAFE_OK;
    if (at->failure)
      return cafe_fail(err, CAFE_UNSUPPORTED, "%s", at->failure->text);
    self->events[self->count++] = &at->event;
    want_rows(self->keys, &self->far_keys, at->event.key);
    reached->n = n;
    ++*taken;
  }
  reached->n = self->until[place];
  return CAFE_OK;
}

/* A page is shared by those places that have anything for it. */
static int share_out(change_read *self, cafe_err *err) {
  uint64_t first = first_place(self);
  uint32_t left = self->limit, sharers = 0;
  int code = CAFE_OK;
  for (uint32_t i = 0; i < self->places; i++)
    sharers += self->until[i] > self->after[i].n;
  for (uint32_t i = 0; i < self->places && !code; i++) {
    uint32_t place = (uint32_t)((first + i) % self->places);
    if (self->until[place] <= self->after[place].n)
      continue;
    uint32_t share = (left + sharers - 1) / sharers;
    sharers--;
    if (place < self->own)
      self->own_limit += share;
    else
      code = take_far(self, place, share, &share, err);
    left -= share;
  }
  return code;
}

static int look(change_read *self, const watch *wanted, cafe_err *err) {
  cafe_node *node = self->job.node;
  for (uint32_t i = 0; i < self->places; i++) {
    const struct consumer *peer = wanted->peers[i];
    bool is_coming = false;
    self->after[i] = self->reached[i] = wanted->positions[i];
    self->until[i] = changes_held(node, wanted, i);
    if (!peer)
      continue;
    int code = tail_reach(&self->until[i], &is_coming, node, peer, &self->after[i], self->until[i], err);
    if (code)
      return code;
    if (self->until[i] > self->after[i].n)
      self->tails[i] = tail_take(node, peer, &self->after[i]);
  }
  return CAFE_OK;
}

change_read *changes_read(const watch *wanted, void (*done)(storage_job *job), cafe_err *err) {
  cafe_node *node = wanted->op->node;
  const cafe_view *view = wanted->view->type;
  cafe_arena *arena = node_arena(node);
  change_read *self = arena ? cafe_arena_alloc(arena, sizeof *self) : NULL;
  uint32_t places = wanted->places;
  if (!self) {
    node_arena_free(node, arena);
    cafe_fail(err, CAFE_NOMEM, "no memory to read the changes of %s", view->name);
    return NULL;
  }
  self->arena = arena;
  self->view = wanted->view;
  self->shown_by = view->shown_by ? cafe_schema_find(view->row, cafe_text(view->shown_by)) : -1;
  self->limit = wanted->limit;
  self->own = wanted->own;
  self->job = (storage_job){.run = run_read, .done = done, .lane = CAFE_LANE_READ, .node = node};
  self->types = types_of(node, view, arena);
  self->after = cafe_arena_alloc(arena, places * sizeof *self->after);
  self->reached = cafe_arena_alloc(arena, places * sizeof *self->reached);
  self->until = cafe_arena_alloc(arena, places * sizeof *self->until);
  self->tails = cafe_arena_alloc(arena, places * sizeof(tail *));
  self->keys = cafe_arena_alloc(arena, self->limit * sizeof *self->keys);
  self->events = cafe_arena_alloc(arena, self->limit * sizeof(cafe_event *));
  bool is_made =
      self->types && self->after && self->reached && self->until && self->tails && self->keys && self->events;
  self->places = is_made ? places : 0;
  int code =
      is_made ? look(self, wanted, err) : cafe_fail(err, CAFE_NOMEM, "no memory to read the changes of %s", view->name);
  if (!code)
    code = share_out(self, err);
  if (!code)
    return self;
  changes_free(self);
  return NULL;
}
