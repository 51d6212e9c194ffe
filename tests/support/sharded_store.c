/* SPDX-License-Identifier: Apache-2.0 */

/* The invariant: numbers[n] is what the event at n in the log inside has in its shard. */
#include "sharded_store.h"

#include <stdlib.h>

typedef struct sharded_store {
  cafe_store base;
  cafe_store_ops ops;
  cafe_store *inner;
  uint64_t *numbers;
  uint64_t count;
  uint64_t heads[SHARDED_SHARDS];
} sharded_store;

static uint32_t shard_of(uint64_t key) { return cafe_partition(key) % SHARDED_SHARDS; }

static int number_event(const cafe_stored_event *event, void *user) {
  sharded_store *self = user;
  self->numbers = realloc(self->numbers, (event->n + 1) * sizeof *self->numbers);
  if (!self->numbers)
    abort();
  self->numbers[event->n] = ++self->heads[shard_of(event->key)];
  self->count = event->n;
  return CAFE_OK;
}

static int open_store(cafe_store *store, cafe_store_info *out, const cafe_store_setup *setup, cafe_err *err) {
  sharded_store *self = (sharded_store *)(void *)store;
  int code = self->inner->ops->open(self->inner, out, setup, err);
  cafe_log_query all = {sizeof all, 0, self->count, UINT32_MAX, NULL, 0, 0};
  if (!code)
    code = self->inner->ops->read_log(self->inner, &all, number_event, self, err);
  out->shards = SHARDED_SHARDS;
  return code;
}

static int commit(cafe_store *store, cafe_batch *batch, cafe_err *err) {
  sharded_store *self = (sharded_store *)(void *)store;
  int code = self->inner->ops->commit(self->inner, batch, err);
  for (uint32_t i = 0; i < batch->unit_count && !code; i++) {
    for (uint32_t k = 0; k < batch->units[i]->event_count && batch->units[i]->result == CAFE_UNIT_DONE; k++) {
      cafe_stored_event *event = &batch->units[i]->events[k];
      (void)number_event(event, self);
      event->shard = shard_of(event->key);
      event->n = self->numbers[event->n];
    }
  }
  return code;
}

typedef struct passing {
  sharded_store *self;
  cafe_event_sink on_event;
  cafe_row_sink on_row;
  void *user;
  cafe_log_query *query; /* or NULL */
  uint32_t found;
} passing;

static bool is_wanted(const cafe_log_query *query, const char *name) {
  for (const char *const *type = query->types; type && *type; type++)
    if (strcmp(*type, name) == 0)
      return true;
  return !query->types;
}

static int pass_event(const cafe_stored_event *event, void *user) {
  passing *to = user;
  cafe_stored_event shown = *event;
  shown.shard = shard_of(event->key);
  shown.n = to->self->numbers[event->n];
  if (!to->query)
    return to->on_event(&shown, to->user);
  if (shown.shard != to->query->shard || shown.n <= to->query->after || to->found == to->query->limit)
    return CAFE_OK;
  if (is_wanted(to->query, event->type)) {
    int code = to->on_event(&shown, to->user);
    if (code)
      return code;
    to->found++;
  }
  to->query->scanned = shown.n;
  return CAFE_OK;
}

static int pass_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                    void *user) {
  const passing *to = user;
  return to->on_row(table, key, sub, version, data, to->user);
}

static int load(cafe_store *store, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row, void *user,
                cafe_err *err) {
  sharded_store *self = (sharded_store *)(void *)store;
  passing to = {self, on_event, on_row, user, NULL, 0};
  return self->inner->ops->load(self->inner, key, pass_event, pass_row, &to, err);
}

static int read_log(cafe_store *store, cafe_log_query *query, cafe_event_sink on_event, void *user, cafe_err *err) {
  sharded_store *self = (sharded_store *)(void *)store;
  passing to = {self, on_event, NULL, user, query, 0};
  cafe_log_query all = {sizeof all, 0, 0, UINT32_MAX, NULL, 0, 0};
  query->scanned = query->after;
  query->head = self->heads[query->shard];
  if (query->after > query->head)
    return cafe_fail(err, CAFE_INVALID, "that is beyond the head");
  return self->inner->ops->read_log(self->inner, &all, pass_event, &to, err);
}

static int read_rows(cafe_store *store, const cafe_row_query *query, cafe_row_sink on_row, void *user, cafe_err *err) {
  sharded_store *self = (sharded_store *)(void *)store;
  return self->inner->ops->read_rows(self->inner, query, on_row, user, err);
}

static int read_key(cafe_store *store, cafe_key_record *out, cafe_slice scope, cafe_slice key, cafe_slice fingerprint,
                    cafe_arena *arena, cafe_err *err) {
  sharded_store *self = (sharded_store *)(void *)store;
  return self->inner->ops->read_key(self->inner, out, scope, key, fingerprint, arena, err);
}

static int read_checkpoints(cafe_store *store, const char *subscription, cafe_checkpoint_sink on_checkpoint, void *user,
                            cafe_err *err) {
  sharded_store *self = (sharded_store *)(void *)store;
  return self->inner->ops->read_checkpoints(self->inner, subscription, on_checkpoint, user, err);
}

static void destroy(cafe_store *store) {
  sharded_store *self = (sharded_store *)(void *)store;
  free(self->numbers);
  free(self);
}

cafe_store *sharded_store_create(cafe_store *inner) {
  sharded_store *self = calloc(1, sizeof *self);
  if (!self)
    abort();
  self->inner = inner;
  self->ops = (cafe_store_ops){
      .size = offsetof(cafe_store_ops, read_changes), /* as of 0.1 */
      .name = "sharded",
      .is_inline = inner->ops->is_inline,
      .open = open_store,
      .commit = commit,
      .load = load,
      .read_log = read_log,
      .read_rows = read_rows,
      .read_key = read_key,
      .read_checkpoints = read_checkpoints,
      .destroy = destroy,
  };
  self->base.ops = &self->ops;
  return &self->base;
}
