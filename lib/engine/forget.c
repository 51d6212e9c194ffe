/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Forgetting: clients' keys after their time, and rows of inline views that nothing more comes to. In small batches
 * between all else, each a durable write of its own.
 *
 * Of keys the store knows how. Of rows this keeps:
 *
 *   - Before the first row goes, a mark is durable that says up to when rows of the view may be gone: a checkpoint of
 *     the view on the node's own log, moved by compare-and-set, never back. A view that is made anew from its events
 *     would else have them again, and one that is verified would miss them.
 *   - A row goes in the version in which it was found to be past. If its key was in hand meanwhile and changed it, the
 *     removal conflicts and the row stays; if the key decides something after the removal that it has not heard of, its
 *     own unit conflicts and it is read anew.
 *   - None of a view's rows goes while it is made anew: that has looked at the mark before, and would bring it back. It
 *     waits for those that go, too.
 *   - What is in memory of a key keeps the row's fold, and learns that the row isn't stored: an event that comes to it
 *     all the same writes it whole.
 *
 * Rows are looked through in the order of their keys, which new orders get in the order of time, so the old ones lie
 * first; what stays among them (dead letters) is passed over, and a thousand rows of which none is past end it. So no
 * index on the time is needed, and no order pays for one. A crash leaves the batches before it deleted.
 */
#include "engine/forget.h"

#include "base/sized.h"
#include "base/str.h"
#include "cafe/upkeep.h"

enum { PAGE_ROWS = 256, YOUNG_ROWS = 1000 };

/* ---- clients' keys ---- */

typedef struct keys_job {
  storage_job job;
  cafe_op *op; /* NULL: answered already */
  cafe_arena *arena;
  cafe_forget forget;
  uint64_t count; /* told, and no job is touching it */
  cafe_forgot_cb done;
} keys_job;

static int check_time(const cafe_node *node, int64_t before_ms, cafe_err *err) {
  return before_ms <= node_utc_ms(node)
             ? CAFE_OK
             : cafe_fail(err, CAFE_INVALID, "%lld ms isn't past: only what is over is forgotten", (long long)before_ms);
}

static int run_keys(storage_job *base, cafe_err *err) {
  keys_job *job = CONTAINER(base, keys_job, job);
  cafe_store *store = base->node->store;
  return store->ops->forget_keys(store, &job->forget, err);
}

static void keys_done(storage_job *base);

static void submit_keys(cafe_node *node, keys_job *job) {
  memset(&job->job, 0, sizeof job->job);
  job->job.run = run_keys;
  job->job.done = keys_done;
  job->job.lane = CAFE_LANE_WRITE;
  storage_submit(node, &job->job);
}

static void keys_done(storage_job *base) {
  keys_job *job = CONTAINER(base, keys_job, job);
  cafe_node *node = base->node;
  job->count = job->forget.count;
  if (!base->code && !job->forget.is_done && job->op) {
    submit_keys(node, job);
    return;
  }
  if (job->op)
    op_answer(job->op, base->code ? &base->err : NULL, NULL);
  node_arena_free(node, job->arena); /* the job lies in it */
}

static void keys_served(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome) {
  (void)outcome;
  keys_job *job = op->serves;
  job->op = NULL;
  if (job->done)
    job->done(err, job->count, op->user);
}

int cafe_node_forget_keys(cafe_op **op, cafe_node *node, int64_t before_ms, cafe_forgot_cb done, void *user,
                          cafe_err *err) {
  int code = read_check(node, err);
  if (!code)
    code = check_time(node, before_ms, err);
  if (code)
    return code;
  if (!SIZED_HAS(node->store->ops, forget_keys))
    return cafe_fail(err, CAFE_UNSUPPORTED, "the store %s can't forget clients' keys", node->store->ops->name);
  cafe_arena *arena = node_arena(node);
  keys_job *job = arena ? cafe_arena_alloc(arena, sizeof *job) : NULL;
  if (!job || !(job->op = op_make(node, job, keys_served, user))) {
    node_arena_free(node, arena);
    return cafe_fail(err, CAFE_NOMEM, "no memory to forget keys");
  }
  job->arena = arena;
  job->done = done;
  job->forget.size = sizeof job->forget;
  job->forget.before_ms = before_ms;
  if (op)
    *op = job->op;
  submit_keys(node, job);
  return CAFE_OK;
}

/* ---- the mark of a view ---- */

typedef struct mark_reading {
  uint64_t log_id;
  uint64_t n;
} mark_reading;

static int see_mark(const cafe_checkpoint *checkpoint, void *user) {
  mark_reading *reading = user;
  if (checkpoint->log_id == reading->log_id && checkpoint->n > reading->n)
    reading->n = checkpoint->n;
  return CAFE_OK;
}

/* No subscription has that name: the ones of views have no blank. */
static const char *mark_name(const cafe_view *view, cafe_arena *arena) {
  return arena_printf(arena, "%s forgotten", view->name);
}

int forget_mark(int64_t *before_ms, cafe_node *node, const cafe_view *view, cafe_err *err) {
  cafe_store *store = node->store;
  mark_reading reading = {node->log_id, 0};
  cafe_arena *arena = cafe_arena_create(&node->allocator);
  const char *name = arena ? mark_name(view, arena) : NULL;
  int code = name ? store->ops->read_checkpoints(store, name, see_mark, &reading, err)
                  : cafe_fail(err, CAFE_NOMEM, "no memory to look at %s", view->name);
  cafe_arena_destroy(arena);
  *before_ms = (int64_t)reading.n;
  return code;
}

bool forget_covers(const cafe_view *view, const void *row, int64_t before_ms) {
  return before_ms > 0 && view->is_past && view->is_past(row, before_ms, view->user);
}

/* ---- rows ---- */

typedef enum rows_step { READ_MARK = 1, WRITE_MARK = 2, READ_PAGE = 3, DELETE_PAGE = 4 } rows_step;

/* A row as it was read, for the loop to judge: is_past is the definition's, and runs there only. */
typedef struct rows_seen {
  uint64_t key, sub, version;
  void *data;
} rows_seen;

typedef struct rows_job {
  storage_job job;
  struct rows_job *next; /* in node->forgets */
  cafe_op *op;           /* NULL: answered already */
  cafe_arena *arena, *page;
  hosted_view *view;
  int64_t before_ms;
  cafe_forgot_cb done;
  rows_step step;
  uint64_t count;
  const char *mark_name;
  mark_reading mark;
  cafe_checkpoint move;
  uint64_t after_key, after_sub;
  rows_seen rows[PAGE_ROWS]; /* in `page` */
  uint32_t seen;             /* of them */
  uint32_t young;            /* rows in a row, over pages, that weren't past */
  cafe_row_write writes[PAGE_ROWS];
  uint32_t write_count;
  cafe_unit units[PAGE_ROWS];
  cafe_unit *pointers[PAGE_ROWS];
  cafe_batch batch;
} rows_job;

static void see_past(rows_job *job, uint64_t key, uint64_t sub, uint64_t version) {
  cafe_row_write *write = &job->writes[job->write_count++];
  *write = (cafe_row_write){.table = &job->view->table, .key = key, .sub = sub, .expected = version};
  cafe_unit *unit = job->batch.unit_count ? &job->units[job->batch.unit_count - 1] : NULL;
  if (unit && unit->key == key) {
    unit->row_count++;
    return;
  }
  unit = &job->units[job->batch.unit_count];
  *unit = (cafe_unit){.size = sizeof *unit, .key = key, .rows = write, .row_count = 1};
  job->pointers[job->batch.unit_count++] = unit;
}

static int see_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
  (void)table;
  rows_job *job = user;
  const cafe_schema *type = job->view->type->row;
  void *copy = cafe_arena_alloc(job->page, type->width);
  if (!copy || cafe_schema_copy(copy, data, type, job->page))
    return CAFE_NOMEM;
  job->after_key = key;
  job->after_sub = sub;
  job->rows[job->seen++] = (rows_seen){key, sub, version, copy};
  return CAFE_OK;
}

static void judge_page(rows_job *job) {
  for (uint32_t i = 0; i < job->seen; i++) {
    const rows_seen *row = &job->rows[i];
    bool is_past = forget_covers(job->view->type, row->data, job->before_ms);
    job->young = is_past ? 0 : job->young + 1;
    if (is_past)
      see_past(job, row->key, row->sub, row->version);
  }
}

static void set_batch(rows_job *job, uint32_t count) {
  cafe_arena_reset(job->page);
  job->batch = (cafe_batch){sizeof job->batch, job->pointers, count, job->page};
}

static int read_page(rows_job *job, cafe_err *err) {
  cafe_store *store = job->job.node->store;
  cafe_row_query query = {sizeof query, &job->view->table, NULL, 0, job->after_key, job->after_sub, -1, PAGE_ROWS};
  job->write_count = job->seen = 0;
  set_batch(job, 0);
  return store->ops->read_rows(store, &query, see_row, job, err);
}

static int write_mark(rows_job *job, cafe_err *err) {
  cafe_node *node = job->job.node;
  job->move = (cafe_checkpoint){.subscription = job->mark_name,
                                .log_id = node->log_id,
                                .partition = -1,
                                .expected = job->mark.n,
                                .n = (uint64_t)job->before_ms};
  job->units[0] = (cafe_unit){.size = sizeof job->units[0], .key = 1, .checkpoints = &job->move, .checkpoint_count = 1};
  job->pointers[0] = &job->units[0];
  set_batch(job, 1);
  return node->store->ops->commit(node->store, &job->batch, err);
}

static int run_rows(storage_job *base, cafe_err *err) {
  rows_job *job = CONTAINER(base, rows_job, job);
  cafe_store *store = base->node->store;
  switch (job->step) {
  case READ_MARK:
    job->mark = (mark_reading){base->node->log_id, 0};
    return store->ops->read_checkpoints(store, job->mark_name, see_mark, &job->mark, err);
  case WRITE_MARK:
    return write_mark(job, err);
  case READ_PAGE:
    return read_page(job, err);
  case DELETE_PAGE:
    break;
  }
  return store->ops->commit(store, &job->batch, err);
}

static void rows_done(storage_job *base);

static void submit_rows(cafe_node *node, rows_job *job, rows_step step) {
  memset(&job->job, 0, sizeof job->job);
  job->step = step;
  job->job.run = run_rows;
  job->job.done = rows_done;
  job->job.lane = step == WRITE_MARK || step == DELETE_PAGE ? CAFE_LANE_WRITE : CAFE_LANE_READ;
  storage_submit(node, &job->job);
}

/* What is in memory of the key is right again: the row has no version. */
static void tell_subject(rows_job *job, const cafe_row_write *removed) {
  cafe_node *node = job->job.node;
  const struct subject *subject = subject_find(node, removed->key);
  uint32_t view = (uint32_t)(job->view - node->registry.views);
  view_slot *slot = subject ? subject->views : NULL;
  for (; slot; slot = slot->next)
    if (slot->view == view && slot->sub == removed->sub && slot->version == removed->expected)
      slot->version = 0;
}

static void see_deleted(rows_job *job) {
  for (uint32_t i = 0; i < job->batch.unit_count; i++) {
    const cafe_unit *unit = &job->units[i];
    for (uint32_t k = 0; unit->result == CAFE_UNIT_DONE && k < unit->row_count; k++) {
      tell_subject(job, &unit->rows[k]);
      job->count++;
    }
  }
}

/* What comes after the step; 0: nothing more. */
static rows_step next_step(const rows_job *job) {
  bool is_at_end = job->seen < PAGE_ROWS || job->young >= YOUNG_ROWS;
  switch (job->step) {
  case READ_MARK:
    return job->mark.n < (uint64_t)job->before_ms ? WRITE_MARK : READ_PAGE;
  case WRITE_MARK: /* somebody else may have moved it meanwhile */
    return job->units[0].result == CAFE_UNIT_DONE ? READ_PAGE : READ_MARK;
  case READ_PAGE:
    return job->write_count ? DELETE_PAGE : is_at_end ? (rows_step)0 : READ_PAGE;
  case DELETE_PAGE:
    break;
  }
  return is_at_end ? (rows_step)0 : READ_PAGE;
}

static void rows_free(cafe_node *node, rows_job *job) {
  node_arena_free(node, job->page);
  node_arena_free(node, job->arena); /* the job lies in it */
}

static void begin_rows(cafe_node *node, rows_job *job) {
  job->view->forgetting++;
  submit_rows(node, job, READ_MARK);
}

void forget_turn(cafe_node *node) {
  rows_job *job, *next;
  LL_FOREACH_SAFE(node->forgets, job, next) {
    if (job->op && rebuild_is_making(node, job->view))
      continue;
    LL_DELETE(node->forgets, job);
    if (job->op)
      begin_rows(node, job);
    else
      rows_free(node, job);
  }
}

static void rows_done(storage_job *base) {
  rows_job *job = CONTAINER(base, rows_job, job);
  cafe_node *node = base->node;
  if (!base->code && job->step == READ_PAGE && job->op)
    judge_page(job);
  if (!base->code && job->step == DELETE_PAGE)
    see_deleted(job);
  rows_step next = base->code || !job->op ? (rows_step)0 : next_step(job);
  if (next) {
    submit_rows(node, job, next);
    return;
  }
  job->view->forgetting--;
  if (job->op)
    op_answer(job->op, base->code ? &base->err : NULL, NULL);
  rows_free(node, job);
}

static void rows_served(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome) {
  (void)outcome;
  rows_job *job = op->serves;
  job->op = NULL;
  if (job->done)
    job->done(err, job->count, op->user);
}

static rows_job *make_rows_job(cafe_node *node, hosted_view *view, void *user) {
  cafe_arena *arena = node_arena(node), *page = node_arena(node);
  rows_job *job = arena && page ? cafe_arena_alloc(arena, sizeof *job) : NULL;
  if (job)
    job->mark_name = mark_name(view->type, arena);
  if (!job || !job->mark_name || !(job->op = op_make(node, job, rows_served, user))) {
    node_arena_free(node, page);
    node_arena_free(node, arena);
    return NULL;
  }
  job->arena = arena;
  job->page = page;
  job->view = view;
  return job;
}

int cafe_node_forget_rows(cafe_op **op, cafe_node *node, const cafe_view *view, int64_t before_ms, cafe_forgot_cb done,
                          void *user, cafe_err *err) {
  int code = read_check(node, err);
  if (!code)
    code = check_time(node, before_ms, err);
  if (code)
    return code;
  const hosted_view *hosted = registry_view(node, view);
  if (!hosted || !view->is_inline || !view->is_past)
    return cafe_fail(err, CAFE_INVALID,
                     "rows of %s can't be forgotten: it has to be an inline view of this node that says which are past",
                     view ? view->name : "no view");
  rows_job *job =
      before_ms > 0 ? make_rows_job(node, &node->registry.views[hosted - node->registry.views], user) : NULL;
  if (!job)
    return before_ms > 0 ? cafe_fail(err, CAFE_NOMEM, "no memory to forget rows")
                         : cafe_fail(err, CAFE_INVALID, "%lld ms is no time that rows have", (long long)before_ms);
  job->before_ms = before_ms;
  job->done = done;
  if (op)
    *op = job->op;
  if (rebuild_is_making(node, hosted))
    LL_APPEND(node->forgets, job);
  else
    begin_rows(node, job);
  return CAFE_OK;
}
