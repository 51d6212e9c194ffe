/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A view's changes: its events after a position, each with the row that it belongs to.
 *
 * What is kept here: an event is handed out once the view holds it, so its row is never older; and the positions of a
 * page pass no event of the view that it hasn't, but those whose row isn't shown. The node remembers nothing between
 * two pages. While a caller waits he costs a look at the view's place in each turn; all who wait at the same place
 * share one read.
 */
#include <stdlib.h>

#include "base/sized.h"
#include "engine/consume.h"
#include "engine/read.h"

enum { CHANGES_MAX = 1000 };

/* A caller. In his op's arena. */
typedef struct watch {
  struct watch *prev, *next; /* in node->watches, or in his read's */
  cafe_op *op;
  const hosted_view *view;
  uint32_t limit;
  bool is_waiting; /* for as long as there is nothing */
  bool has_failed;
  cafe_position *positions; /* he has seen all up to these; one for each shard */
  struct change_read *read; /* under way for him; NULL: in node->watches */
  const cafe_page *page;    /* what he gets; NULL: nothing */
  cafe_page_cb done;
} watch;

/* One read. In its arena. */
typedef struct change_read {
  storage_job job;
  struct change_read *next; /* begun in the same turn */
  cafe_arena *arena;
  watch *watches;
  const hosted_view *view;
  int shown_by; /* column of the row; -1: none */
  const char **types;
  uint32_t limit;
  uint32_t shards;
  cafe_position *after;
  cafe_position *reached; /* as `after`, and then as far as was read */
  uint64_t *until;        /* what the view holds, by shard */
  cafe_change_query query;
  bool is_past; /* the log went beyond query.until */
  uint64_t *keys;
  const cafe_event **events;
  const cafe_row **rows; /* of those keys; then of those events */
  uint32_t count, row_count, row_room;
} change_read;

/* ---- on the lane ---- */

static void want_rows(change_read *self, uint64_t key) {
  uint32_t at = self->query.key_count;
  while (at > 0 && self->keys[at - 1] > key)
    at--;
  if (at > 0 && self->keys[at - 1] == key)
    return;
  memmove(&self->keys[at + 1], &self->keys[at], (self->query.key_count++ - at) * sizeof *self->keys);
  self->keys[at] = key;
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
  want_rows(self, stored->key);
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

/* For a store that can't do both at once: the rows may be newer then, which they may always. */
static int read_apart(change_read *self, cafe_store *store, cafe_err *err) {
  cafe_log_query *log = self->query.log;
  int code = store->ops->read_log(store, log, see_event, self, err);
  if (self->is_past) {
    log->scanned = self->query.until;
    code = CAFE_OK;
  }
  for (uint32_t i = 0; i < self->query.key_count && !code; i++) {
    cafe_condition is_key = {.column = -1, .value.number = (int64_t)self->keys[i]};
    cafe_row_query rows = {sizeof rows, self->query.table, &is_key, 1, 0, 0, -1, UINT32_MAX};
    code = store->ops->read_rows(store, &rows, see_row, self, err);
  }
  return code;
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
static int run_read(storage_job *base, cafe_err *err) {
  change_read *self = CONTAINER(base, change_read, job);
  uint64_t first = 0;
  for (uint32_t i = 0; i < self->shards; i++)
    first += self->after[i].n;
  for (uint32_t i = 0; i < self->shards; i++) {
    uint32_t left = self->limit - self->count, shards = self->shards - i;
    int code = read_shard(self, (uint32_t)((first + i) % self->shards), (left + shards - 1) / shards, err);
    if (code)
      return code;
  }
  if (self->row_count > 1)
    qsort(self->rows, self->row_count, sizeof *self->rows, compare_rows);
  return CAFE_OK;
}

/* ---- answering ---- */

static void watch_served(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome) {
  (void)outcome;
  watch *self = op->serves;
  cafe_node *node = op->node;
  const cafe_page nothing = {sizeof nothing, NULL, NULL, 0, false, node->shards, self->positions};
  bool is_over = err && err->code == CAFE_TIMEOUT && !self->has_failed;
  if (self->read)
    DL_DELETE(self->read->watches, self);
  else
    DL_DELETE(node->watches, self);
  if (err && !is_over)
    self->done(err, NULL, op->user);
  else
    self->done(NULL, self->page ? self->page : &nothing, op->user);
}

static void fail_watch(watch *self, const cafe_err *err) {
  self->has_failed = true;
  op_answer(self->op, err, NULL);
}

/* Leaves the events whose row is shown, and puts it beside each. On the loop's thread, since the view is asked. */
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

static bool has_more(const change_read *self) {
  for (uint32_t i = 0; i < self->shards; i++)
    if (self->reached[i].n < self->until[i])
      return true;
  return false;
}

static void read_done(storage_job *base) {
  change_read *self = CONTAINER(base, change_read, job);
  cafe_node *node = base->node;
  int code = base->code;
  if (!code && self->watches)
    code = join_rows(self, &base->err);
  const cafe_page page = {sizeof page,    self->rows,   self->events, self->count,
                          has_more(self), self->shards, self->reached};
  watch *each, *next;
  DL_FOREACH_SAFE(self->watches, each, next) {
    memcpy(each->positions, self->reached, self->shards * sizeof *each->positions);
    if (code) {
      fail_watch(each, &base->err);
    } else if (self->count) {
      each->page = &page;
      op_answer(each->op, NULL, NULL);
    } else {
      DL_DELETE(self->watches, each);
      each->read = NULL;
      DL_APPEND(node->watches, each);
      node->has_new_watches = true;
    }
  }
  node_arena_free(node, self->arena); /* the read lies in it */
}

/* ---- waiting ---- */

/* The view holds all events of the shard up to there. */
static uint64_t place_of(const cafe_node *node, const hosted_view *view, uint32_t shard) {
  uint32_t index = (uint32_t)(view - node->registry.views);
  const struct consumer *consumer;
  if (view->type->is_inline)
    return node->heads[shard];
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->kind == CONSUME_VIEW && consumer->index == index && consumer->shard == shard)
      return consumer->watermark;
  }
  return 0;
}

static bool is_behind(const cafe_node *node, const watch *self) {
  for (uint32_t i = 0; i < node->shards; i++)
    if (self->positions[i].n < place_of(node, self->view, i))
      return true;
  return false;
}

static bool is_same(const change_read *read, const watch *self) {
  if (read->view != self->view || read->limit != self->limit)
    return false;
  for (uint32_t i = 0; i < read->shards; i++)
    if (read->after[i].n != self->positions[i].n)
      return false;
  return true;
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

static change_read *make_read(cafe_node *node, const watch *wanted) {
  const cafe_view *view = wanted->view->type;
  cafe_arena *arena = node_arena(node);
  change_read *self = arena ? cafe_arena_alloc(arena, sizeof *self) : NULL;
  if (!self)
    goto fail;
  self->arena = arena;
  self->view = wanted->view;
  self->shown_by = view->shown_by ? cafe_schema_find(view->row, cafe_text(view->shown_by)) : -1;
  self->limit = wanted->limit;
  self->shards = node->shards;
  self->types = types_of(node, view, arena);
  self->after = cafe_arena_alloc(arena, node->shards * sizeof *self->after);
  self->reached = cafe_arena_alloc(arena, node->shards * sizeof *self->reached);
  self->until = cafe_arena_alloc(arena, node->shards * sizeof *self->until);
  self->keys = cafe_arena_alloc(arena, self->limit * sizeof *self->keys);
  self->events = cafe_arena_alloc(arena, self->limit * sizeof *self->events);
  if (!self->types || !self->after || !self->reached || !self->until || !self->keys || !self->events)
    goto fail;
  memcpy(self->after, wanted->positions, node->shards * sizeof *self->after);
  memcpy(self->reached, wanted->positions, node->shards * sizeof *self->reached);
  for (uint32_t i = 0; i < node->shards; i++)
    self->until[i] = place_of(node, self->view, i);
  self->job.run = run_read;
  self->job.done = read_done;
  self->job.lane = CAFE_LANE_READ;
  return self;

fail:
  node_arena_free(node, arena);
  return NULL;
}

/* Has it read, together with those of this turn who are at the same place. */
static void begin_read(change_read **begun, watch *self) {
  cafe_node *node = self->op->node;
  change_read *read = *begun;
  while (read && !is_same(read, self))
    read = read->next;
  if (!read) {
    read = make_read(node, self);
    if (!read) {
      cafe_err err;
      cafe_fail(&err, CAFE_NOMEM, "no memory to read the changes of %s", self->view->type->name);
      fail_watch(self, &err);
      return;
    }
    LL_PREPEND(*begun, read);
    storage_submit(node, &read->job);
  }
  DL_DELETE(node->watches, self);
  self->read = read;
  DL_APPEND(read->watches, self);
}

void changes_turn(cafe_node *node) {
  change_read *begun = NULL;
  watch *each, *next;
  node->has_new_watches = false;
  DL_FOREACH_SAFE(node->watches, each, next) {
    if (node->state == NODE_DRAINING) {
      cafe_err err;
      cafe_fail(&err, CAFE_UNAVAILABLE, "the node is draining: changes come at its next start");
      fail_watch(each, &err);
    } else if (is_behind(node, each)) {
      begin_read(&begun, each);
    } else if (!each->is_waiting) {
      op_answer(each->op, NULL, NULL);
    }
  }
}

/* ---- submitting ---- */

static int check_view(const cafe_node *node, const hosted_view *view, cafe_err *err) {
  const struct consumer *consumer;
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->kind == CONSUME_VIEW && &node->registry.views[consumer->index] == view && !consumer->is_local)
      return cafe_fail(err, CAFE_UNSUPPORTED,
                       "%s follows the log of %s on another node, whose changes can't be read from here yet: read its "
                       "rows by cafe_node_list",
                       view->type->name, consumer->source);
  }
  return CAFE_OK;
}

/* Where it begins. */
static int take_positions(cafe_position *out, const cafe_node *node, const cafe_changes *changes, cafe_err *err) {
  for (uint32_t i = 0; i < node->shards; i++)
    out[i] = (cafe_position){node->log_id, i, changes->from_start ? 0 : node->heads[i]};
  if (!changes->positions)
    return CAFE_OK;
  if (changes->from_start || changes->position_count != node->shards)
    return cafe_fail(err, CAFE_INVALID,
                     "changes begin at the start, or after one position of each of the log's %u shards, as a page has "
                     "them",
                     node->shards);
  for (uint32_t i = 0; i < node->shards; i++)
    out[i].log_id = 0;
  for (uint32_t i = 0; i < node->shards; i++) {
    const cafe_position *given = &changes->positions[i];
    if (given->log_id != node->log_id || given->shard >= node->shards || given->n > node->heads[given->shard])
      return cafe_fail(err, CAFE_INVALID,
                       "position %llu of shard %u is of another log, or beyond its head: it was restored from a "
                       "backup. Read the view's rows anew, and its changes from now on",
                       (unsigned long long)given->n, given->shard);
    if (out[given->shard].log_id)
      return cafe_fail(err, CAFE_INVALID, "two positions are of shard %u", given->shard);
    out[given->shard] = *given;
  }
  return CAFE_OK;
}

int cafe_node_changes(cafe_op **op, cafe_node *node, const cafe_changes *given, cafe_page_cb done, void *user,
                      cafe_err *err) {
  cafe_changes changes;
  int code = read_check(node, err);
  if (!code && node->state == NODE_DRAINING)
    code = cafe_fail(err, CAFE_UNAVAILABLE, "the node is draining: changes come at its next start");
  if (!code)
    code = SIZED_READ(&changes, given, cafe_changes, timeout_ms, "CAFE_CHANGES_INIT", err);
  if (code)
    return code;
  const hosted_view *view = registry_view(node, changes.view);
  if (!view)
    return cafe_fail(err, CAFE_INVALID, "this node doesn't host the view %s",
                     changes.view ? changes.view->name : "NULL");
  if (changes.limit < 1 || changes.limit > CHANGES_MAX)
    return cafe_fail(err, CAFE_INVALID, "a page has 1 to %d changes, not %u", CHANGES_MAX, changes.limit);
  code = read_check_view(view, err);
  if (!code)
    code = check_view(node, view, err);
  if (code)
    return code;
  cafe_op *made = op_make(node, NULL, watch_served, user);
  watch *self = made ? cafe_arena_alloc(made->arena, sizeof *self) : NULL;
  cafe_position *positions = self ? cafe_arena_alloc(made->arena, node->shards * sizeof *positions) : NULL;
  code = positions ? take_positions(positions, node, &changes, err) : CAFE_NOMEM;
  if (!code && changes.timeout_ms > 0)
    code = heap_push(node->deadlines, &made->deadline, node_after_us(node, changes.timeout_ms));
  if (code) {
    if (made)
      op_discard(made);
    return code == CAFE_NOMEM ? cafe_fail(err, CAFE_NOMEM, "no memory to wait for changes") : code;
  }
  *self = (watch){.op = made,
                  .view = view,
                  .limit = changes.limit,
                  .is_waiting = changes.timeout_ms >= 0,
                  .positions = positions,
                  .done = done};
  made->serves = self;
  DL_APPEND(node->watches, self);
  node->has_new_watches = true;
  node_pump(node);
  if (op)
    *op = made;
  return CAFE_OK;
}
