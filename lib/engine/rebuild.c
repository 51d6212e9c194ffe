/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A view is made anew, or verified: its life, from who asks to what takes whose place. What is kept here: the table
 * that serves is never touched but by the one transaction in which the shadow replaces it; and whatever happens, the
 * shadow goes, and what was held goes on.
 *
 * The last step. A subscribed view's own subscriptions stand still, nothing else does. An inline view is written by
 * every unit that has one of its events, so the node decides nothing until the rest of the log is folded and the shadow
 * is in place; what is submitted meanwhile waits. Afterwards rows have the shadow's versions: keys in memory that know
 * others are read anew before anything is decided on them.
 *
 * What a crash leaves. Before the replacement: the old table, and a shadow that the store drops when it is opened.
 * After it: the new one, with the places of its subscriptions and the number of the definition in `cafe_views`.
 */
#include "engine/rebuild.h"

#include <stdarg.h>

#include "base/str.h"
#include "engine/forget.h"
#include "engine/letter.h"

enum {
  AGAIN_US = 1000000, /* after a failure, by itself; doubled up to the longest */
  AGAIN_US_MAX = 60000000
};

/* ---- failing ---- */

void rebuild_fail(rebuild *self, const cafe_err *err) {
  if (self->err.code)
    return;
  self->err = *err;
  if (!self->err.code)
    cafe_fail(&self->err, CAFE_INVALID, "the view %s can't be made anew", rebuild_view(self)->type->name);
}

void rebuild_fail_code(rebuild *self, cafe_code code, const char *format, ...) {
  char text[256];
  cafe_err err;
  va_list args;
  va_start(args, format);
  str_format(text, sizeof text, format, args);
  va_end(args);
  cafe_fail(&err, code, "%s", text);
  rebuild_fail(self, &err);
}

/* ---- jobs ---- */

static int run_job(storage_job *base, cafe_err *err) {
  rebuild *self = CONTAINER(base, rebuild, job);
  return self->run(self, err);
}

/* A replacement has taken place, whatever became of who asked for it. */
static void job_done(storage_job *base) {
  rebuild *self = CONTAINER(base, rebuild, job);
  self->busy--;
  if (base->code)
    rebuild_fail(self, &base->err);
  else if (!self->err.code || self->step == REBUILD_REPLACE)
    self->ran(self);
}

void rebuild_job(rebuild *self, cafe_lane lane, rebuild_run run, rebuild_done done) {
  memset(&self->job, 0, sizeof self->job);
  self->job.lane = lane;
  self->job.run = run_job;
  self->job.done = job_done;
  self->run = run;
  self->ran = done;
  self->busy++;
  storage_submit(self->node, &self->job);
}

/* ---- holding ---- */

static void hold(rebuild *self) {
  self->is_holding = true;
  if (rebuild_view(self)->type->is_inline)
    self->node->pauses++;
  else
    rebuild_view(self)->is_held = true;
}

static bool is_quiet(const rebuild *self) {
  if (rebuild_view(self)->type->is_inline)
    return self->node->units_in_flight == 0 && self->node->loads == 0;
  return consume_is_quiet(self->node, self->view) && replay_is_quiet(self->node, self->view);
}

void rebuild_release(rebuild *self) {
  if (!self->is_holding)
    return;
  self->is_holding = false;
  if (rebuild_view(self)->type->is_inline) {
    self->node->pauses--;
  } else {
    rebuild_view(self)->is_held = false;
    consume_release(self->node, self->view, self->is_replaced);
  }
  node_pump(self->node);
}

/* ---- the shadow ---- */

/* Before anything is folded, and none of its rows are forgotten later: that waits. */
static int run_mark(rebuild *self, cafe_err *err) {
  return forget_mark(&self->forgotten_ms, self->node, rebuild_view(self)->type, err);
}

static void marked(rebuild *self) {
  self->step = REBUILD_MAKE;
  node_pump(self->node);
}

static int run_make(rebuild *self, cafe_err *err) {
  const hosted_view *view = rebuild_view(self);
  cafe_store *store = self->node->store;
  int code = store->ops->make_shadow(store, &view->shadow, &view->table, err);
  if (!code && view->type->is_inline)
    code = store->ops->make_shadow(store, &view->hidden, &view->table, err);
  return code;
}

static void made(rebuild *self) {
  self->step = REBUILD_FOLD;
  node_pump(self->node);
}

static int run_drop(rebuild *self, cafe_err *err) {
  const hosted_view *view = rebuild_view(self);
  cafe_store *store = self->node->store;
  int code = self->is_replaced ? CAFE_OK : store->ops->drop_shadow(store, &view->shadow, err);
  int second = view->type->is_inline ? store->ops->drop_shadow(store, &view->hidden, code ? NULL : err) : CAFE_OK;
  return code ? code : second;
}

/* Whatever came of it: one that is left goes when it is made again, or at the next start. */
static void drop_done(storage_job *base) {
  rebuild *self = CONTAINER(base, rebuild, job);
  self->busy--;
  self->step = REBUILD_OVER;
  if (base->code)
    node_log(self->node, CAFE_LOG_WARN, 0, (cafe_slice){NULL, 0}, "what was made anew of the view %s isn't dropped: %s",
             rebuild_view(self)->type->name, base->err.text);
}

static void drop(rebuild *self) {
  self->is_made = false;
  memset(&self->job, 0, sizeof self->job);
  self->job.lane = CAFE_LANE_WRITE;
  self->job.run = run_job;
  self->job.done = drop_done;
  self->run = run_drop;
  self->busy++;
  storage_submit(self->node, &self->job);
}

/* ---- one step after the other ---- */

/* False: it waits for something. */
static bool advance(rebuild *self) {
  bool is_inline = rebuild_view(self)->type->is_inline;
  switch (self->step) {
  case REBUILD_MARK:
    if (!rebuild_view(self)->forgetting)
      rebuild_job(self, CAFE_LANE_READ, run_mark, marked);
    return false;
  case REBUILD_MAKE:
    self->is_made = true;
    rebuild_job(self, CAFE_LANE_WRITE, run_make, made);
    return false;
  case REBUILD_FOLD:
    logs_read(self);
    if (self->err.code || fold_next(self))
      return true;
    if (!logs_are_near(self))
      return false;
    if (is_inline && self->verifies) {
      self->step = REBUILD_COMPARE; /* key by key where the table has gone on */
      return true;
    }
    hold(self);
    self->step = REBUILD_HOLD;
    return true;
  case REBUILD_HOLD:
    if (!is_quiet(self))
      return false;
    self->step = REBUILD_REST;
    return true;
  case REBUILD_REST:
    logs_read(self);
    if (self->err.code || fold_next(self))
      return true;
    if (!logs_are_there(self))
      return false;
    self->step = is_inline ? REBUILD_REPLACE : REBUILD_LETTERS;
    return true;
  case REBUILD_LETTERS:
    if (aside_settle(self))
      return self->err.code != 0 || !self->busy;
    self->step = self->verifies ? REBUILD_COMPARE : REBUILD_REPLACE;
    return true;
  case REBUILD_REPLACE:
    rebuild_replace(self);
    return self->err.code != 0;
  case REBUILD_COMPARE:
  case REBUILD_TOUCHED:
    if (verify_next(self))
      return self->err.code != 0 || !self->busy;
    self->step = REBUILD_DROP;
    return true;
  case REBUILD_DROP:
    rebuild_release(self);
    logs_close(self);
    if (self->is_made)
      drop(self);
    else if (!logs_are_being_read(self))
      self->step = REBUILD_OVER;
    return false;
  case REBUILD_OVER:
    break;
  }
  return false;
}

static void rebuild_free(rebuild *self) {
  cafe_node *node = self->node;
  logs_free(self);
  fold_free(self);
  aside_free(self);
  verify_free(self);
  cafe_arena_destroy(self->job_arena);
  cafe_arena_destroy(self->arena);
  node_free(node, self);
}

/* The node's own is tried again, less and less often. */
static void settle_view(const rebuild *self) {
  hosted_view *view = rebuild_view(self);
  const char *name = view->type->name;
  cafe_slice none = {NULL, 0};
  if (self->err.code && view->is_outdated) {
    view->again_us = view->again_us ? view->again_us * 2 : AGAIN_US;
    view->again_us = view->again_us < AGAIN_US_MAX ? view->again_us : AGAIN_US_MAX;
    view->rebuild_at_us = node_now_us(self->node) + view->again_us;
  }
  if (self->verifies || self->err.code == CAFE_CANCELED)
    return;
  if (self->err.code)
    node_log(self->node, CAFE_LOG_ERROR, 0, none, "the view %s isn't rebuilt: %s", name, self->err.text);
  else
    node_log(self->node, CAFE_LOG_INFO, 0, none, "the view %s is rebuilt: %llu rows of %llu events", name,
             (unsigned long long)self->report.rows, (unsigned long long)self->report.events);
}

/* Whoever is told may ask for another one at once. */
static void finish(rebuild *self) {
  cafe_op *op = self->op;
  DL_DELETE(self->node->rebuilds, self);
  self->node->stats.rebuilding--;
  settle_view(self);
  if (op) {
    self->step = REBUILD_OVER;
    op_answer(op, self->err.code ? &self->err : NULL, NULL);
  }
  rebuild_free(self);
}

bool rebuild_is_making(const cafe_node *node, const hosted_view *view) {
  const rebuild *self;
  DL_FOREACH(node->rebuilds, self) {
    if (rebuild_view(self) == view && !self->verifies)
      return true;
  }
  return false;
}

static bool is_over(const rebuild *self) {
  return self->step == REBUILD_OVER && !self->busy && !logs_are_being_read(self);
}

static int begin(rebuild **out, cafe_node *node, uint32_t view, bool verifies, cafe_err *err);

static void begin_outdated(cafe_node *node, int64_t now_us) {
  for (uint32_t i = 0; i < node->registry.view_count; i++) {
    hosted_view *view = &node->registry.views[i];
    rebuild *other;
    cafe_err err = {0};
    if (!view->is_outdated || view->rebuild_at_us > now_us)
      continue;
    DL_FOREACH(node->rebuilds, other) {
      if (other->view == i)
        break;
    }
    if (!other && begin(&other, node, i, false, &err))
      view->rebuild_at_us = now_us + AGAIN_US;
  }
}

void rebuild_turn(cafe_node *node, int64_t now_us) {
  rebuild *self, *next;
  if (node->state == NODE_RUNNING)
    begin_outdated(node, now_us);
  if (node->state > NODE_DRAINING)
    return;
  for (self = node->rebuilds; self; self = next) {
    bool goes_on = true;
    while (goes_on && !self->busy) {
      if (self->err.code && self->step < REBUILD_DROP)
        self->step = REBUILD_DROP;
      goes_on = advance(self);
    }
    next = self->next;
    if (!is_over(self))
      continue;
    finish(self);
    next = node->rebuilds; /* the completion may have changed the list */
    if (node->state > NODE_DRAINING)
      return;
  }
}

int64_t rebuild_next_us(const cafe_node *node) {
  int64_t next = INT64_MAX;
  for (uint32_t i = 0; i < node->registry.view_count && node->state == NODE_RUNNING; i++) {
    const hosted_view *view = &node->registry.views[i];
    const rebuild *other;
    DL_FOREACH(node->rebuilds, other) {
      if (other->view == i)
        break;
    }
    if (view->is_outdated && !other && view->rebuild_at_us < next)
      next = view->rebuild_at_us;
  }
  return next;
}

/* ---- asking ---- */

static void served(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome) {
  rebuild *self = op->serves;
  cafe_rebuild_report report = self->report;
  cafe_rebuild_cb done = self->done;
  (void)outcome;
  self->op = NULL;
  if (self->step != REBUILD_OVER && err)
    rebuild_fail(self, err); /* canceled; what it may be in the middle of still ends as it does */
  report.size = sizeof report;
  if (done)
    done(err, err ? NULL : &report, op->user);
}

static int begin(rebuild **out, cafe_node *node, uint32_t view, bool verifies, cafe_err *err) {
  rebuild *self = node_alloc(node, sizeof *self);
  if (!self)
    return cafe_fail(err, CAFE_NOMEM, "no memory to make the view %s anew", node->registry.views[view].type->name);
  self->node = node;
  self->view = view;
  self->verifies = verifies;
  self->step = !verifies && rebuild_view(self)->type->is_past ? REBUILD_MARK : REBUILD_MAKE;
  self->arena = cafe_arena_create(&node->allocator);
  self->job_arena = cafe_arena_create(&node->allocator);
  int code = self->arena && self->job_arena
                 ? logs_open(self, err)
                 : cafe_fail(err, CAFE_NOMEM, "no memory to make the view %s anew", rebuild_view(self)->type->name);
  if (!code)
    code = fold_open(self, err);
  if (!code)
    code = aside_open(self, err);
  if (code) {
    rebuild_free(self);
    return code;
  }
  DL_APPEND(node->rebuilds, self);
  node->stats.rebuilding++;
  node_pump(node);
  *out = self;
  return CAFE_OK;
}

static int check(const cafe_node *node, uint32_t view, bool verifies, cafe_err *err) {
  const hosted_view *hosted = &node->registry.views[view];
  const rebuild *other;
  if (!rebuild_is_possible(node))
    return cafe_fail(err, CAFE_UNSUPPORTED,
                     "the view %s can't be made anew: the store %s has no tables beside those that serve (make_shadow)",
                     hosted->type->name, node->store->ops->name);
  DL_FOREACH(node->rebuilds, other) {
    if (other->view == view)
      return cafe_fail(err, CAFE_CONFLICT, "the view %s is being rebuilt or verified already", hosted->type->name);
  }
  if (verifies && hosted->is_outdated)
    return cafe_fail(err, CAFE_CONFLICT, "the view %s is still of version %lld, and is being rebuilt",
                     hosted->type->name, (long long)hosted->built_version);
  return CAFE_OK;
}

static int ask(cafe_op **op, cafe_node *node, const cafe_view *view, bool verifies, cafe_rebuild_cb done, void *user,
               cafe_err *err) {
  int code = read_check(node, err);
  if (!code && node->state != NODE_RUNNING)
    code = cafe_fail(err, CAFE_UNAVAILABLE, "the node is being drained");
  if (code)
    return code;
  uint32_t index = 0;
  while (index < node->registry.view_count && node->registry.views[index].type != view)
    index++;
  if (index == node->registry.view_count)
    return cafe_fail(err, CAFE_INVALID, "this node doesn't host the view %s", view ? view->name : "NULL");
  rebuild *self = NULL;
  code = check(node, index, verifies, err);
  if (code)
    return code;
  cafe_op *made = op_make(node, NULL, served, user);
  if (!made)
    return cafe_fail(err, CAFE_NOMEM, "no memory to make the view %s anew", view->name);
  code = begin(&self, node, index, verifies, err);
  if (!self) {
    op_discard(made);
    return code;
  }
  made->serves = self;
  self->op = made;
  self->done = done;
  if (op)
    *op = made;
  return CAFE_OK;
}

int cafe_node_rebuild(cafe_op **op, cafe_node *node, const cafe_view *view, cafe_rebuild_cb done, void *user,
                      cafe_err *err) {
  return ask(op, node, view, false, done, user, err);
}

int cafe_node_verify(cafe_op **op, cafe_node *node, const cafe_view *view, cafe_rebuild_cb done, void *user,
                     cafe_err *err) {
  return ask(op, node, view, true, done, user, err);
}

/* ---- a node's end ---- */

void rebuild_drain(cafe_node *node) {
  rebuild *self;
  cafe_err err;
  cafe_fail(&err, CAFE_CANCELED, "the node is being drained");
  DL_FOREACH(node->rebuilds, self) rebuild_fail(self, &err);
}

/* What the store has in hand ends, and is for nobody. */
void rebuild_close(cafe_node *node) {
  rebuild *self;
  cafe_err err;
  cafe_fail(&err, CAFE_CANCELED, "the node is closing");
  DL_FOREACH(node->rebuilds, self) {
    rebuild_fail(self, &err);
    logs_close(self);
    self->is_holding = false;
  }
  node->pauses = 0;
}

void rebuild_destroy(cafe_node *node) {
  while (node->rebuilds) {
    rebuild *self = node->rebuilds;
    DL_DELETE(node->rebuilds, self);
    rebuild_free(self);
  }
}
