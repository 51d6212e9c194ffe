/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reads: rows of views, the events of a stream, and waiting for a view to catch up. They go to the store, so they show
 * what is committed and nothing else; a command that was answered is in what is read afterwards.
 */
#include <assert.h>

#include "base/sized.h"
#include "base/str.h"
#include "engine/consume.h"
#include "engine/read.h"

enum { LIST_MAX = 1000, HISTORY_MAX = 1000, REBUILD_RETRY_MS = 1000 };

typedef struct read_job {
  storage_job job;
  cafe_op *op; /* NULL: answered already */
  cafe_arena *arena;
  const cafe_table *table;
  cafe_row_query query;
  const cafe_row **rows;
  const char *aggregate;
  uint64_t key, after;
  const cafe_event **events;
  uint32_t count;
  bool more;
  cafe_position *positions;
  uint32_t position_count;
  cafe_page_cb page_done;
} read_job;

cafe_op *op_make(cafe_node *node, void *serves, void (*served)(cafe_op *, const cafe_err *, const cafe_outcome *),
                 void *user) {
  cafe_arena *arena = node_arena(node);
  cafe_op *op = arena ? cafe_arena_alloc(arena, sizeof *op) : NULL;
  if (!op) {
    node_arena_free(node, arena);
    return NULL;
  }
  op->node = node;
  op->arena = arena;
  op->serves = serves;
  op->served = served;
  op->user = user;
  DL_APPEND(node->ops, op);
  node->op_count++;
  return op;
}

int read_check(const cafe_node *node, cafe_err *err) {
  if (node->state == NODE_CREATED)
    return cafe_fail(err, CAFE_INVALID, "the node isn't started: cafe_node_start");
  if (node->state > NODE_DRAINING)
    return cafe_fail(err, CAFE_UNAVAILABLE, "the node is closing");
  return node_has_room(node, err);
}

int read_check_view(const hosted_view *view, cafe_err *err) {
  if (!view->is_outdated || !view->type->is_inline)
    return CAFE_OK;
  cafe_fail(err, CAFE_UNAVAILABLE, "the view %s is being rebuilt for its version %u: a little later, please",
            view->type->name, view->type->version);
  if (err)
    err->retry_after_ms = REBUILD_RETRY_MS;
  return CAFE_UNAVAILABLE;
}

static void job_free(read_job *job) { node_arena_free(job->job.node, job->arena); /* the job lies in it */ }

static void read_done(storage_job *base) {
  read_job *job = CONTAINER(base, read_job, job);
  if (job->op)
    op_answer(job->op, base->code ? &base->err : NULL, NULL);
  job_free(job);
}

static read_job *make_job(cafe_node *node) {
  cafe_arena *arena = node_arena(node);
  read_job *job = arena ? cafe_arena_alloc(arena, sizeof *job) : NULL;
  if (!job) {
    node_arena_free(node, arena);
    return NULL;
  }
  job->job.node = node;
  job->arena = arena;
  job->job.lane = CAFE_LANE_READ;
  job->job.done = read_done;
  return job;
}

static void page_served(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome) {
  (void)outcome;
  read_job *job = op->serves;
  cafe_page page = {sizeof page, job->rows, job->events, job->count, job->more, job->position_count, job->positions};
  job->op = NULL;
  job->page_done(err, err ? NULL : &page, op->user);
}

/* ---- where a read stands: at least where the logs are when it is asked for, since it is done later ---- */

static int note_shards(read_job *job, uint32_t first, uint32_t count) {
  const cafe_node *node = job->job.node;
  job->positions = cafe_arena_alloc(job->arena, count * sizeof *job->positions);
  if (!job->positions)
    return CAFE_NOMEM;
  for (uint32_t i = 0; i < count; i++)
    job->positions[i] = (cafe_position){node->log_id, first + i, node->heads[first + i]};
  job->position_count = count;
  return CAFE_OK;
}

/* 0: a peer whose log isn't known yet. */
static uint64_t log_of(const struct consumer *consumer) {
  return consumer->is_local ? consumer->node->log_id : consumer->log_id;
}

static int note_subscriptions(read_job *job, uint32_t view) {
  const struct consumer *consumer;
  uint32_t count = 0;
  LL_COUNT(job->job.node->consumers, consumer, count);
  job->positions = cafe_arena_alloc(job->arena, (count + 1) * sizeof *job->positions);
  if (!job->positions)
    return CAFE_NOMEM;
  LL_FOREACH(job->job.node->consumers, consumer) {
    uint64_t log_id = log_of(consumer);
    if (consumer->kind == CONSUME_VIEW && consumer->index == view && log_id)
      job->positions[job->position_count++] = (cafe_position){log_id, consumer->shard, consumer->watermark};
  }
  return CAFE_OK;
}

/* ---- rows ---- */

static int see_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
  (void)version;
  read_job *job = user;
  if (job->count + 1 == job->query.limit) {
    job->more = true; /* one more than asked for was read */
    return CAFE_OK;
  }
  cafe_row *row = cafe_arena_alloc(job->arena, sizeof *row);
  void *copy = row ? cafe_arena_alloc(job->arena, table->row->width) : NULL;
  if (!copy || cafe_schema_copy(copy, data, table->row, job->arena))
    return CAFE_NOMEM;
  row->size = sizeof *row;
  row->key = key;
  row->sub = sub;
  row->data = copy;
  job->rows[job->count++] = row;
  return CAFE_OK;
}

static int run_list(storage_job *base, cafe_err *err) {
  read_job *job = CONTAINER(base, read_job, job);
  return base->node->store->ops->read_rows(base->node->store, &job->query, see_row, job, err);
}

static int read_number(int64_t *out, cafe_slice text) {
  int64_t value = 0;
  bool is_negative = text.size > 1 && text.data[0] == '-';
  for (size_t i = is_negative; i < text.size; i++) {
    if (text.data[i] < '0' || text.data[i] > '9' || value > (INT64_MAX - 9) / 10)
      return CAFE_INVALID;
    value = value * 10 + (text.data[i] - '0');
  }
  *out = is_negative ? -value : value;
  return text.size ? CAFE_OK : CAFE_INVALID;
}

/* CAFE_NOT_FOUND: no row can have that value. */
static int read_filter(cafe_condition *out, const cafe_view *view, const cafe_filter *filter, cafe_arena *arena,
                       cafe_err *err) {
  cafe_slice name = cafe_text(filter->column);
  memset(out, 0, sizeof *out);
  if (cafe_slice_equal(name, cafe_text(view->key_name)))
    out->column = -1;
  else if (view->sub_name && cafe_slice_equal(name, cafe_text(view->sub_name)))
    out->column = -2;
  else
    out->column = cafe_schema_find(view->row, name);
  if (out->column < 0 && !cafe_slice_equal(name, cafe_text(view->key_name)) &&
      !(view->sub_name && cafe_slice_equal(name, cafe_text(view->sub_name))))
    return cafe_fail(err, CAFE_INVALID, "%s has no column %s", view->name, filter->column);
  if (out->column < 0)
    return read_number(&out->value.number, filter->equals) ? CAFE_NOT_FOUND : CAFE_OK;
  const cafe_field *field = &view->row->fields[out->column];
  out->value.field = field;
  switch (field->type) {
  case CAFE_FIELD_TEXT:
  case CAFE_FIELD_BYTES:
    return cafe_arena_copy(&out->value.bytes, arena, filter->equals)
               ? cafe_fail(err, CAFE_NOMEM, "no memory for a read")
               : CAFE_OK;
  case CAFE_FIELD_ENUM:
    for (uint32_t i = 0; i < field->names_count; i++) {
      if (!field->names[i] || !cafe_slice_equal(cafe_text(field->names[i]), filter->equals))
        continue;
      out->value.number = i;
      return CAFE_OK;
    }
    return CAFE_NOT_FOUND;
  default:
    return read_number(&out->value.number, filter->equals) ? CAFE_NOT_FOUND : CAFE_OK;
  }
}

/* One of the engine's own tables, made from no log. */
static bool is_own(const cafe_view *view) { return view == &cafe_dead_letters_view; }

static int note_positions(read_job *job, const cafe_view *view, const hosted_view *hosted) {
  if (is_own(view))
    return CAFE_OK;
  if (view->is_inline)
    return note_shards(job, 0, job->job.node->shards);
  return note_subscriptions(job, (uint32_t)(hosted - job->job.node->registry.views));
}

static int run_nothing(storage_job *base, cafe_err *err) {
  (void)base, (void)err;
  return CAFE_OK;
}

/* What the rows of the list have to be. */
static int read_conditions(read_job *job, const cafe_list *list, cafe_err *err) {
  const cafe_view *view = list->view;
  cafe_condition *conditions = cafe_arena_alloc(job->arena, (list->filter_count + 1) * sizeof *conditions);
  if (!conditions)
    return cafe_fail(err, CAFE_NOMEM, "no memory for a read");
  uint32_t count = 0;
  for (; count < list->filter_count; count++) {
    int code = read_filter(&conditions[count], view, &list->filters[count], job->arena, err);
    if (code == CAFE_NOT_FOUND)
      job->job.run = run_nothing;
    else if (code)
      return code;
  }
  if (view->shown_by) {
    conditions[count].column = cafe_schema_find(view->row, cafe_text(view->shown_by));
    conditions[count].value.field = &view->row->fields[conditions[count].column];
    conditions[count++].value.number = 1;
  }
  job->query.conditions = conditions;
  job->query.condition_count = count;
  return CAFE_OK;
}

int cafe_node_list(cafe_op **op, cafe_node *node, const cafe_list *given, cafe_page_cb done, void *user,
                   cafe_err *err) {
  cafe_list list;
  int code = read_check(node, err);
  if (!code)
    code = SIZED_READ(&list, given, cafe_list, limit, "CAFE_LIST_INIT", err);
  if (code)
    return code;
  const hosted_view *view = registry_view(node, list.view);
  if (!view && !(list.view && is_own(list.view)))
    return cafe_fail(err, CAFE_INVALID, "this node doesn't host the view %s", list.view ? list.view->name : "NULL");
  if (view && read_check_view(view, err))
    return CAFE_UNAVAILABLE;
  if (list.limit < 1 || list.limit > LIST_MAX)
    return cafe_fail(err, CAFE_INVALID, "a list has 1 to %d rows, not %u", LIST_MAX, list.limit);
  for (uint32_t i = 0; i < list.filter_count; i++)
    if (list.filters[i].flags || !is_zero(list.filters[i].reserved, sizeof list.filters[i].reserved))
      return cafe_fail(err, CAFE_UNSUPPORTED, "a filter has reserved words that this library doesn't know");
  read_job *job = make_job(node);
  if (!job)
    return cafe_fail(err, CAFE_NOMEM, "no memory for a read");
  job->rows = cafe_arena_alloc(job->arena, list.limit * sizeof *job->rows);
  bool has_positions = !note_positions(job, list.view, view);
  job->job.run = run_list;
  code = job->rows && has_positions ? read_conditions(job, &list, err)
                                    : cafe_fail(err, CAFE_NOMEM, "no memory for a read");
  job->query.size = sizeof job->query;
  job->query.table = view ? &view->table : &engine_tables[TABLE_LETTERS];
  job->query.after_key = list.after_key;
  job->query.after_sub = list.after_sub;
  job->query.order_by = -1;
  job->query.limit = list.limit + 1;
  job->page_done = done;
  if (!code && !(job->op = op_make(node, job, page_served, user)))
    code = cafe_fail(err, CAFE_NOMEM, "no memory for a read");
  if (code) {
    job_free(job);
    return code;
  }
  if (op)
    *op = job->op;
  storage_submit(node, &job->job);
  return CAFE_OK;
}

typedef struct blocking_find {
  const void **out;
  const cafe_view *view;
  uint64_t sub;
  cafe_arena *arena;
  cafe_err *err;
  int code;
  bool is_done;
} blocking_find;

static void find_done(const cafe_err *err, const cafe_page *page, void *user) {
  blocking_find *find = user;
  find->is_done = true;
  if (err) {
    find->code = err->code;
    if (find->err)
      *find->err = *err;
    return;
  }
  if (page->count == 0 || page->rows[0]->sub != find->sub) {
    find->code = cafe_fail(find->err, CAFE_NOT_FOUND, "%s has no such row", find->view->name);
    return;
  }
  void *copy = cafe_arena_alloc(find->arena, find->view->row->width);
  if (!copy || cafe_schema_copy(copy, page->rows[0]->data, find->view->row, find->arena))
    find->code = cafe_fail(find->err, CAFE_NOMEM, "no memory for a row");
  else
    *find->out = copy;
}

int cafe_node_find(const void **out, cafe_node *node, const cafe_view *view, uint64_t key, uint64_t sub,
                   cafe_err *err) {
  assert(out && "cafe_node_find needs a place for the row");
  *out = NULL;
  int code = node_may_block(node, err);
  if (code)
    return code; /* with the arena as it is, as in cafe_node_call */
  cafe_arena_reset(node->call_arena);
  const char *digits = arena_printf(node->call_arena, "%llu", (unsigned long long)key);
  if (!digits)
    return cafe_fail(err, CAFE_NOMEM, "no memory for a read");
  cafe_filter is_key = {.column = view->key_name, .equals = cafe_text(digits)};
  cafe_list list = CAFE_LIST_INIT;
  list.view = view;
  list.filters = &is_key;
  list.filter_count = 1;
  list.after_key = sub ? key : 0;
  list.after_sub = sub ? sub - 1 : 0;
  list.limit = 1;
  blocking_find find = {out, view, sub, node->call_arena, err, CAFE_OK, false};
  code = cafe_node_list(NULL, node, &list, find_done, &find, err);
  while (!code && !find.is_done)
    code = node->loop->ops->turn(node->loop, -1);
  return code ? code : find.code;
}

/* ---- the events of a stream ---- */

int read_event(cafe_event **out, const cafe_node *node, const char *aggregate, const cafe_stored_event *stored,
               cafe_arena *arena) {
  const event_type *type = registry_event(node, stored->type);
  if (!type)
    return CAFE_UNSUPPORTED;
  cafe_slice bytes;
  cafe_event *event = cafe_arena_alloc(arena, sizeof *event);
  void *data = event ? cafe_arena_alloc(arena, type->schema->width) : NULL;
  if (!data || cafe_arena_copy(&bytes, arena, stored->data) || cafe_arena_copy(&event->trace, arena, stored->trace))
    return CAFE_NOMEM;
  if (cafe_schema_decode(data, type->schema, bytes, NULL))
    return CAFE_UNSUPPORTED;
  event->type = type->schema;
  event->aggregate = aggregate;
  event->key = stored->key;
  event->version = stored->version;
  event->time_ms = stored->time_ms;
  event->position.log_id = node->log_id;
  event->position.shard = stored->shard;
  event->position.n = stored->n;
  event->data = data;
  *out = event;
  return CAFE_OK;
}

static int see_event(const cafe_stored_event *stored, void *user) {
  read_job *job = user;
  if (strcmp(stored->aggregate, job->aggregate) != 0 || stored->version <= job->after)
    return CAFE_OK;
  if (job->count == HISTORY_MAX) {
    job->more = true;
    return CAFE_OK;
  }
  cafe_event *event;
  int code = read_event(&event, job->job.node, job->aggregate, stored, job->arena);
  if (!code)
    job->events[job->count++] = event;
  return code;
}

static int skip_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                    void *user) {
  (void)user, (void)table, (void)key, (void)sub, (void)version, (void)data;
  return CAFE_OK;
}

static int run_history(storage_job *base, cafe_err *err) {
  read_job *job = CONTAINER(base, read_job, job);
  return base->node->store->ops->load(base->node->store, job->key, see_event, skip_row, job, err);
}

int cafe_node_history(cafe_op **op, cafe_node *node, const char *aggregate, uint64_t key, uint64_t after,
                      cafe_page_cb done, void *user, cafe_err *err) {
  int code = read_check(node, err);
  if (code)
    return code;
  const char *known = NULL;
  for (uint32_t i = 0; i < node->registry.aggregate_count; i++)
    if (strcmp(node->registry.aggregates[i].type->name, aggregate) == 0 && node->registry.aggregates[i].is_local)
      known = node->registry.aggregates[i].type->name;
  if (!known)
    return cafe_fail(err, CAFE_INVALID, "this node doesn't host the aggregate %s", aggregate);
  read_job *job = make_job(node);
  if (!job)
    return cafe_fail(err, CAFE_NOMEM, "no memory for a read");
  job->aggregate = known;
  job->key = key;
  job->after = after;
  job->page_done = done;
  job->events = cafe_arena_alloc(job->arena, HISTORY_MAX * sizeof *job->events);
  bool is_made = job->events && !note_shards(job, cafe_partition(key) % node->shards, 1);
  job->op = is_made ? op_make(node, job, page_served, user) : NULL;
  if (!job->op) {
    job_free(job);
    return cafe_fail(err, CAFE_NOMEM, "no memory for a read");
  }
  job->job.run = run_history;
  if (op)
    *op = job->op;
  storage_submit(node, &job->job);
  return CAFE_OK;
}

/* ---- waiting for a view ---- */

typedef struct wait {
  uint32_t view;
  cafe_position position;
  void (*done)(const cafe_err *err, void *user);
} wait;

static int other_log(const cafe_view *view, cafe_err *err) {
  return cafe_fail(err, CAFE_INVALID,
                   "the position is of a log that %s doesn't read, or beyond its end: the log was restored from a "
                   "backup. What was seen there may be gone: look again, by a read without a position",
                   view->name);
}

static void wait_served(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome) {
  (void)outcome;
  const wait *waiting = op->serves;
  op->node->wait_count--;
  waiting->done(err, op->user);
}

/* Whether the view holds everything up to there; *is_known: it is made of that log. */
static bool is_reached(const cafe_node *node, uint32_t view, const cafe_position *position, uint64_t *head,
                       bool *is_known) {
  if (node->registry.views[view].type->is_inline) {
    *is_known = position->log_id == node->log_id && position->shard < node->shards;
    *head = *is_known ? node->heads[position->shard] : 0;
    return *is_known && position->n <= *head && !node->registry.views[view].is_outdated;
  }
  const struct consumer *consumer;
  bool is_reached = false;
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->kind != CONSUME_VIEW || consumer->index != view || consumer->shard != position->shard)
      continue;
    uint64_t log_id = log_of(consumer);
    if (log_id && log_id != position->log_id)
      continue;
    *is_known = true;
    *head = consumer->is_local ? node->heads[consumer->shard] : consumer->head;
    is_reached = is_reached || (consumer->log_id == position->log_id && consumer->watermark >= position->n);
  }
  return is_reached;
}

void read_turn(cafe_node *node) {
  cafe_op *op = node->ops;
  while (op && node->wait_count) {
    cafe_op *next = op->next;
    if (op->served == wait_served) {
      const wait *waiting = op->serves;
      uint64_t head;
      bool is_known = false;
      bool is_there = is_reached(node, waiting->view, &waiting->position, &head, &is_known);
      const cafe_err *refusal = is_there ? NULL : consume_refusal(node, waiting->view, &waiting->position);
      cafe_err moved;
      if (!is_known && !refusal) { /* a rebuild, or its subscription, has gone over to the restored log */
        other_log(node->registry.views[waiting->view].type, &moved);
        refusal = &moved;
      }
      if (is_there || refusal) {
        op_answer(op, refusal, NULL);
        next = node->ops; /* the completion may have changed the list */
      }
    }
    op = next;
  }
}

int cafe_node_await(cafe_op **op, cafe_node *node, const cafe_view *view, const cafe_position *position,
                    int64_t timeout_ms, void (*done)(const cafe_err *err, void *user), void *user, cafe_err *err) {
  int code = read_check(node, err);
  if (code)
    return code;
  const hosted_view *hosted = registry_view(node, view);
  if (!hosted)
    return cafe_fail(err, CAFE_INVALID, "only a view of this node can be awaited");
  uint32_t index = (uint32_t)(hosted - node->registry.views);
  uint64_t head = 0;
  bool is_known = false;
  is_reached(node, index, position, &head, &is_known);
  bool is_local = position->log_id == node->log_id;
  const cafe_err *refusal = consume_refusal(node, index, position);
  if (!is_known && refusal) {
    if (err)
      *err = *refusal;
    return refusal->code;
  }
  if (!is_known || (is_local && position->n > head))
    return other_log(view, err);
  cafe_op *made = op_make(node, NULL, wait_served, user);
  wait *waiting = made ? cafe_arena_alloc(made->arena, sizeof *waiting) : NULL;
  if (!waiting || (timeout_ms > 0 && heap_push(node->deadlines, &made->deadline, node_after_us(node, timeout_ms)))) {
    if (made)
      op_discard(made);
    return cafe_fail(err, CAFE_NOMEM, "no memory to wait");
  }
  waiting->view = index;
  waiting->position = *position;
  waiting->done = done;
  made->serves = waiting;
  node->wait_count++;
  if (op)
    *op = made;
  node_pump(node);
  return CAFE_OK;
}
