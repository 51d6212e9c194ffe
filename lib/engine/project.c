/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A view that subscriptions keep: a batch of events is folded into its rows, and for each partition the changed rows
 * and the checkpoint are one unit. What is kept here: a row in the store is exactly the fold of the events up to the
 * checkpoints of its partition. Rows in memory are a cache of that; after any failure it is thrown away whole, and the
 * batch begun anew from the checkpoints.
 *
 * A view over several logs has a subscription to each, and they meet in the same rows. So they share the cache, and
 * take turns: a batch begins when the one before it is written. Else each would fold into rows that the others have
 * changed.
 */
#include "engine/letter.h"

enum {
  CACHED_ROWS = 8192,
  CACHED_BYTES = 1 << 21 /* of texts: a fold leaves the ones that it replaces behind */
};

typedef struct view_row {
  struct view_row *next_dirty;
  uint64_t key, sub;
  uint64_t version;
  void *row;
  bool is_read;
  bool is_dirty;
} view_row;

struct projection {
  cafe_arena *arena;        /* of the rows */
  map *rows;                /* by (key, sub) */
  size_t text_bytes;        /* folded since the rows were last forgotten */
  uint32_t users;           /* subscriptions of the view */
  struct consumer *turn;    /* whose batch is in hand; NULL: nobody's */
  struct consumer *waiting; /* with a batch, by next_waiting */
};

typedef struct row_key {
  uint64_t key, sub;
} row_key;

typedef struct read_job {
  storage_job job;
  struct consumer *consumer;
  view_row **rows;
  uint32_t count;
} read_job;

static void forget(struct projection *projection) {
  if (!projection || !projection->rows || !projection->arena)
    return; /* half made: nothing is in it */
  map_clear(projection->rows);
  cafe_arena_reset(projection->arena);
  projection->text_bytes = 0;
}

void project_forget(struct consumer *consumer) { forget(consumer->projection); }

/* The view's first subscription has it, for the others, and for the replayer. */
static struct projection *projection_of(const struct consumer *consumer) {
  struct consumer *first;
  LL_FOREACH(consumer->node->consumers, first) {
    if (first->kind == CONSUME_VIEW && first->index == consumer->index)
      break;
  }
  if (first && !first->projection) {
    first->projection = node_alloc(consumer->node, sizeof *first->projection);
    if (first->projection)
      first->projection->users = 1;
  }
  return first ? first->projection : NULL;
}

static int share(struct consumer *consumer, cafe_err *err) {
  struct projection *shared = projection_of(consumer);
  if (!shared)
    return cafe_fail(err, CAFE_NOMEM, "no memory for a view");
  if (consumer->projection != shared)
    shared->users++;
  consumer->projection = shared;
  return CAFE_OK;
}

static int prepare(struct consumer *consumer, cafe_err *err) {
  cafe_node *node = consumer->node;
  struct projection *made = consumer->projection;
  if (!made->arena)
    made->arena = cafe_arena_create(&node->allocator);
  if (!made->rows)
    made->rows = map_create(&node->allocator, MAP_BYTES);
  if (!made->arena || !made->rows)
    return cafe_fail(err, CAFE_NOMEM, "no memory for a view");
  if (map_count(made->rows) > CACHED_ROWS || made->text_bytes > CACHED_BYTES)
    forget(made);
  return CAFE_OK;
}

void project_destroy(struct consumer *consumer) {
  struct projection *shared = consumer->projection;
  if (!shared)
    return;
  consumer->projection = NULL;
  if (--shared->users)
    return;
  map_destroy(shared->rows);
  cafe_arena_destroy(shared->arena);
  node_free(consumer->node, shared);
}

/* *out is NULL where the event is for no row, and on failure. */
static int row_of(view_row **out, struct consumer *consumer, const cafe_event *event, cafe_err *err) {
  const cafe_view *view = consumer->node->registry.views[consumer->index].type;
  struct projection *projection = consumer->projection;
  row_key key = {event->key, 0};
  cafe_slice bytes = {(const char *)&key, sizeof key};
  int code = view_sub(&key.sub, view, event, err);
  *out = NULL;
  if (code || (view->sub && key.sub == 0))
    return code;
  *out = map_get_bytes(projection->rows, bytes);
  if (*out)
    return CAFE_OK;
  view_row *made = cafe_arena_alloc(projection->arena, sizeof *made);
  void *row = made ? cafe_arena_alloc(projection->arena, view->row->width) : NULL;
  if (!row || map_put_bytes(projection->rows, bytes, made))
    return cafe_fail(err, CAFE_NOMEM, "no memory for a view");
  made->row = row;
  made->key = key.key;
  made->sub = key.sub;
  *out = made;
  return CAFE_OK;
}

/* ---- writing ---- */

static void partition_finished(struct unit *unit, int code, const cafe_err *err) {
  struct consumer *consumer = unit->consumer;
  const cafe_checkpoint *moved = unit->store.checkpoint_count ? &unit->store.checkpoints[0] : NULL;
  if (code) {
    forget(consumer->projection);
    consumer_failed(consumer, code, err);
  } else {
    letter_written(consumer->node, CONSUME_VIEW, consumer->index, &unit->store);
    if (moved) {
      consumer->applied[moved->partition] = consumer->stored[moved->partition] = moved->n;
      if (moved->n > consumer->stored_watermark)
        node_pump(consumer->node);
    }
  }
  consumer_end(consumer);
}

/* *count is how many rows are to be written, letters too; *n the last one's position. *at_fault: who fails. */
static int fold_events(struct consumer *consumer, const batch_event *queue, view_row **dirty, uint32_t *count,
                       uint64_t *n, const batch_event **at_fault, cafe_err *err) {
  const cafe_view *view = consumer->node->registry.views[consumer->index].type;
  for (const batch_event *at = queue; at; at = at->next) {
    *n = at->event.position.n;
    if (at->fate != FATE_TAKE) {
      ++*count;
      continue;
    }
    view_row *row;
    cafe_fold fold;
    int code = row_of(&row, consumer, &at->event, err);
    if (!code && row)
      code = view_fold(&fold, view, row->row, &at->event, consumer->projection->arena, err);
    if (code) {
      *at_fault = at;
      return code;
    }
    if (!row)
      continue;
    consumer->projection->text_bytes += view_text_bytes(view, row->row);
    if (fold == CAFE_FOLD_SKIP || row->is_dirty)
      continue;
    row->is_dirty = true;
    row->next_dirty = *dirty;
    *dirty = row;
    ++*count;
  }
  return CAFE_OK;
}

static int write_partition(struct consumer *consumer, uint32_t partition, const batch_event **at_fault, cafe_err *err) {
  cafe_node *node = consumer->node;
  const cafe_table *table = &node->registry.views[consumer->index].table;
  view_row *dirty = NULL;
  uint32_t count = 0;
  uint64_t n = 0;
  int code = fold_events(consumer, consumer->queues[partition], &dirty, &count, &n, at_fault, err);
  if (code)
    return code;
  if (!count && !consumer->letter) {
    consumer->applied[partition] = n;
    return CAFE_OK;
  }
  cafe_arena *arena = node_arena(node);
  struct unit *made = arena ? cafe_arena_alloc(arena, sizeof *made) : NULL;
  cafe_row_write *rows = made ? cafe_arena_alloc(arena, (count + 1) * sizeof *rows) : NULL;
  cafe_checkpoint *checkpoint = rows ? cafe_arena_alloc(arena, sizeof *checkpoint) : NULL;
  if (!checkpoint)
    goto no_memory;
  for (view_row *row = dirty; row; row = row->next_dirty) {
    void *copy = cafe_arena_alloc(arena, table->row->width);
    if (!copy || cafe_schema_copy(copy, row->row, table->row, arena))
      goto no_memory;
    cafe_row_write *write = &rows[made->store.row_count++];
    write->table = table;
    write->key = row->key;
    write->sub = row->sub;
    write->expected = row->version++;
    write->data = copy;
    row->is_dirty = false;
  }
  for (const batch_event *at = consumer->queues[partition]; at && !code; at = at->next)
    if (at->fate != FATE_TAKE)
      code = letter_write(&rows[made->store.row_count++], consumer, at, arena, err);
  if (code) {
    node_arena_free(node, arena);
    return code;
  }
  if (consumer->letter)
    rows[made->store.row_count++] = *consumer->letter;
  consumer_move(checkpoint, consumer, partition, n);
  made->store.size = sizeof made->store;
  made->store.key = rows[0].key;
  made->store.rows = rows;
  made->store.checkpoints = checkpoint;
  made->store.checkpoint_count = !consumer->letter;
  made->arena = arena;
  made->consumer = consumer;
  made->finished = partition_finished;
  consumer->under_way++;
  commit_push(node, made);
  return CAFE_OK;

no_memory:
  node_arena_free(node, arena);
  return cafe_fail(err, CAFE_NOMEM, "no memory to write a view");
}

static void fold_batch(struct consumer *consumer) {
  cafe_err err = {0};
  for (uint32_t p = 0; p < CAFE_PARTITIONS; p++) {
    if (!consumer->queues[p])
      continue;
    const batch_event *at_fault = NULL;
    int code = write_partition(consumer, p, &at_fault, &err);
    if (!code)
      continue;
    forget(consumer->projection);
    consumer_failed_by(consumer, at_fault, code, &err);
    return;
  }
}

/* ---- reading what isn't cached ---- */

static int see_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
  read_job *job = user;
  for (uint32_t i = 0; i < job->count; i++) {
    view_row *row = job->rows[i];
    if (row->key != key || row->sub != sub || row->is_read)
      continue;
    if (cafe_schema_copy(row->row, data, table->row, job->consumer->projection->arena))
      return CAFE_NOMEM;
    row->version = version;
  }
  return CAFE_OK;
}

static int run_read(storage_job *base, cafe_err *err) {
  read_job *job = CONTAINER(base, read_job, job);
  cafe_store *store = base->node->store;
  const cafe_table *table = &base->node->registry.views[job->consumer->index].table;
  for (uint32_t i = 0; i < job->count; i++) {
    cafe_condition is_key = {.column = -1, .value.number = (int64_t)job->rows[i]->key};
    cafe_condition is_sub = {.column = -2, .value.number = (int64_t)job->rows[i]->sub};
    cafe_condition both[2] = {is_key, is_sub};
    cafe_row_query query = {sizeof query, table, both, table->sub_name ? 2 : 1, 0, 0, -1, 1};
    int code = store->ops->read_rows(store, &query, see_row, job, err);
    if (code)
      return code;
    job->rows[i]->is_read = true;
  }
  return CAFE_OK;
}

static void read_done(storage_job *base) {
  read_job *job = CONTAINER(base, read_job, job);
  struct consumer *consumer = job->consumer;
  if (base->code) {
    forget(consumer->projection);
    consumer_failed(consumer, base->code, &base->err);
  } else if (!base->node->is_consuming) {
    consumer->has_failed = true; /* the batch is the next start's */
  } else if (!consumer->has_failed) {
    fold_batch(consumer);
  }
  node_free(base->node, job);
  consumer_end(consumer);
}

/* And what becomes of each event. *at_fault: the one that fails. */
static int find_rows(struct consumer *consumer, read_job *job, const batch_event **at_fault, cafe_err *err) {
  for (uint32_t p = 0; p < CAFE_PARTITIONS; p++) {
    for (batch_event *at = consumer->queues[p]; at; at = at->next) {
      view_row *row = NULL;
      at->fate = letter_fate_of(consumer, at);
      if (at->fate != FATE_TAKE)
        continue;
      if (at->failure)
        *err = *at->failure;
      int code = at->failure ? at->failure->code : row_of(&row, consumer, &at->event, err);
      if (code) {
        *at_fault = at;
        return code;
      }
      if (!row)
        continue;
      bool is_listed = row->is_read;
      for (uint32_t i = job->count; i > 0 && !is_listed; i--)
        is_listed = job->rows[i - 1] == row;
      if (!is_listed)
        job->rows[job->count++] = row;
    }
  }
  return CAFE_OK;
}

static void begin_batch(struct consumer *consumer) {
  cafe_node *node = consumer->node;
  cafe_err err = {0};
  size_t events = 0;
  for (uint32_t p = 0; p < CAFE_PARTITIONS; p++)
    for (batch_event *at = consumer->queues[p]; at; at = at->next)
      events++;
  if (events == 0)
    return;
  read_job *job = node_alloc(node, sizeof *job);
  const batch_event *at_fault = NULL;
  int code = job ? prepare(consumer, &err) : cafe_fail(&err, CAFE_NOMEM, "no memory for a view");
  if (!code) {
    job->consumer = consumer;
    job->rows = cafe_arena_alloc(consumer->arena, events * sizeof(view_row *));
    code = job->rows ? find_rows(consumer, job, &at_fault, &err) : cafe_fail(&err, CAFE_NOMEM, "no memory for a view");
  }
  if (code) {
    node_free(node, job);
    forget(consumer->projection);
    consumer_failed_by(consumer, at_fault, code, &err);
    return;
  }
  consumer->under_way++;
  if (job->count) {
    job->job.run = run_read;
    job->job.done = read_done;
    job->job.lane = CAFE_LANE_READ;
    storage_submit(node, &job->job);
    return;
  }
  node_free(node, job);
  fold_batch(consumer);
  consumer_end(consumer);
}

void project_begin(struct consumer *consumer) {
  cafe_err err = {0};
  int code = share(consumer, &err);
  if (code) {
    consumer_failed(consumer, code, &err);
    return;
  }
  struct projection *shared = consumer->projection;
  if (shared->turn) {
    consumer->under_way++; /* until its turn */
    LL_APPEND2(shared->waiting, consumer, next_waiting);
    return;
  }
  shared->turn = consumer;
  begin_batch(consumer);
}

void project_end(struct consumer *consumer) {
  struct projection *shared = consumer->projection;
  if (!shared || shared->turn != consumer)
    return;
  struct consumer *next = shared->waiting;
  shared->turn = NULL;
  if (!next || !consumer->node->is_consuming)
    return;
  LL_DELETE2(shared->waiting, next, next_waiting);
  shared->turn = next;
  begin_batch(next);
  consumer_end(next);
}
