/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Group commit: while one batch is being made durable, the next one fills. A batch takes all that is ready, without
 * waiting for more, so a single order has a single commit's latency and a thousand share one. Only where nobody waits
 * for any of it (what was heard of other services, messages that were sent) it waits a moment for company, since such
 * things come in drops. When many are ready, the loop looks up from what it does as soon as the store's thread has run,
 * and hands it the next batch, before anybody is told of the last one: both are busy all the time.
 *
 * What is kept here: nothing leaves the node before the unit it rests on is durable. Answers, tasks, requests to other
 * nodes, readers of the log: all of it starts in unit_committed, in the order in which the units were decided. And a
 * unit is written only if the ones that it rests on are: two of one key share a batch only where the store itself
 * refuses the second without the first (nobody else writes to it: a foreign unit could else take the first one's
 * version); otherwise the second waits, and fails with the first. Else an event whose effect is already there, but not
 * yet written, would be marked as done, and its effect lost with that write.
 *
 * The same holds for the units of one subscription, whatever keys they are of: none is written in an earlier batch than
 * one that was decided before it, and none in a later one than one that failed. In its own batch those of other
 * partitions may go on, and their checkpoints say so; those of its partition can't, since the store refuses the move of
 * a checkpoint without the move before it.
 *
 * A crash before the batch is durable leaves nothing of it: nobody was answered, nothing was started. A crash after it,
 * but before unit_committed, leaves units that nobody heard of: the row in `wakes`, written by the same unit, brings
 * the key back at the next start, which resumes its sagas and tasks; a client's repeat finds its key.
 */
#include "engine/commit.h"

#include "base/log.h"
#include "engine/consume.h"
#include "engine/health.h"
#include "engine/metrics.h"
#include "engine/timer.h"

enum {
  /* A batch of this size is large enough to pay for a sync of its own: it needn't wait for the rest of the turn. */
  EARLY_UNITS = 64,
  /* Where a commit is no journey, a large batch wins nothing and leaves the processor's cache before it is written. */
  EARLY_INLINE_UNITS = 16,
  /* A commit takes a fifth of a millisecond of processor time, whatever is in it: so at most a fifth of a core goes
   * into commits that nobody waits for. */
  LINGER_US = 1000,
  WORDS_MAX = 512 /* of a line in the log */
};

/* The store's thread. */
static int run_commit(storage_job *base, cafe_err *err) {
  commit_job *job = CONTAINER(base, commit_job, job);
  cafe_store *store = base->node->store;
  job->code = store->ops->commit(store, &job->batch, err);
  atomic_store_explicit(&job->has_run, true, memory_order_release);
  return job->code;
}

static void finish_acts(cafe_node *node, struct unit *unit, int code, const cafe_err *err) {
  while (unit->acts) {
    struct act *act = unit->acts;
    DL_DELETE(unit->acts, act);
    running_task *task = act->task;
    if (task && code == CAFE_OK)
      task_settled(task, unit);
    else
      act->finish(node, act, code, err);
  }
}

static void see_positions(struct unit *unit) {
  cafe_node *node = unit->subject->node;
  uint32_t i = 0;
  for (unit_event *at = unit->events; at; at = at->next, i++) {
    const cafe_stored_event *stored = &unit->store.events[i];
    at->event.position.shard = stored->shard;
    at->event.position.n = stored->n;
    if (stored->n > node->heads[stored->shard])
      node->heads[stored->shard] = stored->n;
  }
  publish_committed(node, unit);
  node->stats.units++;
  node->stats.events += unit->store.event_count;
}

static void add_text(char *line, size_t *used, const char *text) {
  size_t size = strlen(text);
  if (size >= WORDS_MAX - *used)
    size = WORDS_MAX - 1 - *used;
  memcpy(line + *used, text, size);
  *used += size;
  line[*used] = '\0';
}

/* One line for a unit: what caused it, and the names of what happened. An order is followed by these, through all
 * services, and never by what its events hold. */
static void log_unit(cafe_node *node, const struct unit *unit) {
  char line[WORDS_MAX] = "";
  size_t used = 0;
  const struct act *act = unit->acts;
  if (act->kind == ACT_COMMAND)
    add_text(line, &used, act->command->type->command->name);
  else if (act->event)
    add_text(line, &used, act->event->type->name);
  else
    add_text(line, &used, act->kind == ACT_TICK ? "due" : "answered");
  for (const unit_event *at = unit->events; at; at = at->next) {
    add_text(line, &used, at == unit->events ? ": " : ", ");
    add_text(line, &used, at->event.type->name);
  }
  log_write(&node->log, CAFE_LOG_INFO, node_utc_ms(node), "engine", unit->store.key, unit->trace, "%s", line);
}

static void unit_committed(struct unit *unit) {
  struct subject *subject = unit->subject;
  cafe_node *node = subject->node;
  see_positions(unit);
  if (unit->events && log_wants(&node->log, CAFE_LOG_INFO))
    log_unit(node, unit);
  finish_acts(node, unit, CAFE_OK, NULL);
  if (subject->state == SUBJECT_READY) {
    if (unit->looked_at_tasks)
      task_reconcile(subject, unit);
    for (const remote_ask *ask = unit->asks; ask; ask = ask->next)
      request_send(subject, ask, unit->trace);
  } else {
    subject->is_resumed = false; /* read anew soon, and what this unit wanted is taken up then */
  }
  timer_committed(subject, unit);
  op_committed(subject, unit->seq);
}

static void conflict_text(cafe_err *err, const struct unit *unit) {
  static const char *const what[] = {"an unfinished unit", "nothing",        "the stream", "a row",
                                     "the client's key",   "the checkpoint", "the lease"};
  cafe_fail(err, CAFE_CONFLICT, "somebody else was first: %s of key %llu had moved on", what[unit->store.result],
            (unsigned long long)unit->store.key);
}

static void unit_failed(struct unit *unit, int code, const cafe_err *err) {
  struct subject *subject = unit->subject;
  cafe_node *node = subject->node;
  op_failed(subject, unit);
  struct act *own = unit->acts;
  if (code == CAFE_OK && own && own->is_new_key)
    subject->wake_written_ms = 0; /* nothing is stored that could be due */
  if (code == CAFE_OK && unit->store.result == CAFE_UNIT_KEY_CONFLICT && own->op) {
    DL_DELETE(unit->acts, own);
    op_key_found(own->op, &unit->store.key_found);
  }
  if (code == CAFE_OK)
    node->stats.conflicts++;
  cafe_err conflict;
  conflict_text(&conflict, unit);
  finish_acts(node, unit, code ? code : CAFE_CONFLICT, code ? err : &conflict);
}

static void finish_projection(struct unit *unit, int code, const cafe_err *err) {
  cafe_err conflict;
  conflict_text(&conflict, unit);
  if (code)
    unit->finished(unit, code, err);
  else if (unit->store.result != CAFE_UNIT_DONE)
    unit->finished(unit, CAFE_CONFLICT, &conflict);
  else
    unit->finished(unit, CAFE_OK, NULL);
}

static bool is_written(const commit_job *job, const struct unit *unit) {
  return job->code == CAFE_OK && unit->store.result == CAFE_UNIT_DONE;
}

/* The subscription whose units rest on those before them; NULL: none's. */
static struct consumer *line_of(const struct unit *unit) {
  return unit->consumer && unit->consumer->is_in_order ? unit->consumer : NULL;
}

/* What was decided after it, and rests on it, must not be written. */
static void mark_lost(cafe_node *node, const struct unit *unit) {
  struct consumer *line = line_of(unit);
  if (unit->subject) {
    subject_make_stale(unit->subject);
    unit->subject->failed_seq = unit->subject->unit_seq;
  }
  if (line)
    line->has_lost = true;
  node->has_failed = node->has_failed || unit->subject || line;
}

static bool rests_on_lost(const struct unit *unit) {
  const struct consumer *line = line_of(unit);
  return (unit->subject && unit->seq <= unit->subject->failed_seq) || (line && line->has_lost);
}

/* Before anything else is decided or written. Units rest on earlier ones only, so one look at each is enough. */
static void mark_failed(cafe_node *node, const commit_job *job) {
  for (uint32_t i = 0; i < job->batch.unit_count; i++)
    if (!is_written(job, job->units[i]))
      mark_lost(node, job->units[i]);
  if (!node->has_failed)
    return;
  struct unit *unit;
  DL_FOREACH(node->ready, unit) {
    unit->is_abandoned = unit->is_abandoned || rests_on_lost(unit);
    if (unit->is_abandoned)
      mark_lost(node, unit);
  }
}

/* The unit is over, one way or the other. */
static void leave(cafe_node *node, struct unit *unit, bool is_done, int code, const cafe_err *err) {
  struct subject *subject = unit->subject;
  if (!subject) {
    finish_projection(unit, code, err);
    unit_free(node, unit);
    return;
  }
  subject->holds++;
  subject->in_flight--;
  node->units_in_flight--;
  if (subject->last_unit == unit)
    subject->last_unit = NULL;
  if (is_done)
    unit_committed(unit);
  else
    unit_failed(unit, code, err);
  unit_free(node, unit);
  subject->holds--;
  subject_settle(subject);
}

/* What rests on a unit that was not written. */
static void abandon_failed(cafe_node *node) {
  struct unit *unit, *next, *failed = NULL;
  node->has_failed = false;
  DL_FOREACH_SAFE(node->ready, unit, next) {
    if (!unit->is_abandoned)
      continue;
    DL_DELETE(node->ready, unit);
    node->ready_count--;
    DL_APPEND(failed, unit);
  }
  while (failed) {
    unit = failed;
    DL_DELETE(failed, unit);
    cafe_err err;
    cafe_fail(&err, CAFE_CONFLICT, "what was decided before it, and it rests on, was not written: key %llu",
              (unsigned long long)unit->store.key);
    leave(node, unit, false, CAFE_CONFLICT, &err);
  }
}

/* Whether it goes into the batch that is being made. */
static bool may_join(cafe_node *node, const struct unit *unit) {
  struct subject *subject = unit->subject;
  struct consumer *line = line_of(unit);
  uint64_t batch = node->batch_number;
  bool is_held = line && line->held_batch == batch;
  if (subject)
    is_held = is_held || subject->held_batch == batch || (subject->batch == batch && !unit->is_chained);
  if (subject && !is_held)
    subject->batch = batch;
  if (subject && is_held)
    subject->held_batch = batch;
  if (line && is_held)
    line->held_batch = batch;
  return !is_held;
}

static uint32_t fill_batch(cafe_node *node, commit_job *job) {
  uint32_t count = 0;
  struct unit *unit, *next;
  node->batch_number++;
  DL_FOREACH_SAFE(node->ready, unit, next) {
    if (count == node->max_batch)
      break;
    if (unit->is_abandoned || !may_join(node, unit))
      continue;
    DL_DELETE(node->ready, unit);
    node->ready_count--;
    job->units[count] = unit;
    job->stores[count++] = &unit->store;
  }
  return count;
}

static void commit_done(storage_job *base);

/* So many units are worth a commit of their own, whatever else is to come. */
static uint32_t worth_a_commit(const cafe_node *node) {
  uint32_t units = node->store->ops->is_inline ? EARLY_INLINE_UNITS : EARLY_UNITS;
  return units < node->max_batch ? units : node->max_batch;
}

/* Whether what is ready may wait for company … */
static bool may_linger(const cafe_node *node) {
  return node->ready && !node->is_awaited && !node->store->ops->is_inline && node->state == NODE_RUNNING &&
         node->ready_count < worth_a_commit(node);
}

/* … and does. */
static bool lingers(const cafe_node *node) {
  return may_linger(node) && node_now_us(node) < node->ready_us + LINGER_US;
}

/* Somebody waits for what the unit tells: who asked for it, who has asked for something that comes of it, or who reads
 * a view only once it has come so far. */
static bool is_awaited(const cafe_node *node, const struct unit *unit) {
  const struct subject *subject = unit->subject;
  if (!subject)
    return node->wait_count > 0;
  return subject->waiters || subject->answered || (unit->acts && unit->acts->op);
}

static void start_batch(cafe_node *node) {
  commit_job *job = &node->commits[node->next_commit];
  if (node->committing || job->batch.unit_count || !node->ready || lingers(node))
    return;
  uint32_t count = fill_batch(node, job);
  if (!count)
    return;
  node->is_awaited = node->ready != NULL; /* what was left out has waited enough */
  if (count > node->stats.max_batch_seen)
    node->stats.max_batch_seen = count;
  job->batch.size = sizeof job->batch;
  job->batch.units = job->stores;
  job->batch.unit_count = count;
  job->batch.arena = job->arena;
  job->begun_us = node->loop->ops->now_us(node->loop); /* not the turn's: it may be a long one */
  atomic_store_explicit(&job->has_run, false, memory_order_relaxed);
  memset(&job->job, 0, sizeof job->job);
  job->job.run = run_commit;
  job->job.done = commit_done;
  job->job.lane = CAFE_LANE_WRITE;
  node->committing = job;
  node->next_commit = (node->next_commit + 1) % COMMIT_JOBS;
  storage_submit(node, &job->job);
}

/* Its outcome is known, so the next one may follow; who is told of it comes later. */
static void end_commit(cafe_node *node) {
  commit_job *job = node->committing;
  node->committing = NULL;
  node->stats.batches++;
  int64_t took_us = node->loop->ops->now_us(node->loop) - job->begun_us;
  node->stats.commit_us_total += took_us;
  metrics_commit(node, took_us, job->batch.unit_count);
  mark_failed(node, job);
}

void commit_early(cafe_node *node) {
  if (node->committing && atomic_load_explicit(&node->committing->has_run, memory_order_acquire))
    end_commit(node);
  if (node->has_failed)
    return; /* what rests on it is in the way */
  if (node->ready_count < worth_a_commit(node))
    return;
  start_batch(node);
  if (node->store->ops->is_inline)
    storage_turn(node);
}

static void commit_done(storage_job *base) {
  commit_job *job = CONTAINER(base, commit_job, job);
  cafe_node *node = base->node;
  if (base->code) {
    node->batches_failed++;
    node_log(node, CAFE_LOG_ERROR, 0, (cafe_slice){NULL, 0}, "a batch of %u units was not written: %s",
             job->batch.unit_count, base->err.text);
  }
  job->code = base->code; /* the lane may not have taken it at all */
  if (node->committing == job)
    end_commit(node);
  bool has_written = false;
  for (uint32_t i = 0; i < job->batch.unit_count; i++) {
    struct unit *unit = job->units[i];
    has_written = has_written || is_written(job, unit);
    if (!node->store->ops->is_inline)
      commit_early(node);
    leave(node, unit, is_written(job, unit), base->code, &base->err);
  }
  cafe_err err = base->err;
  int code = base->code;
  cafe_arena_reset(job->arena);
  job->batch.unit_count = 0; /* it may be filled again */
  health_written(node, code, has_written, &err);
}

/* Somebody is still to be told of a batch whose outcome is known. The turn after that takes up what waits for it. */
static bool is_telling(const cafe_node *node) {
  for (uint32_t i = 0; i < COMMIT_JOBS; i++)
    if (node->commits[i].batch.unit_count && &node->commits[i] != node->committing)
      return true;
  return false;
}

bool commit_is_due(const cafe_node *node) {
  return node->ready && !node->committing && !is_telling(node) && !lingers(node);
}

/* Also where that has passed: it may have just now, since it was asked whether anything is due. */
int64_t commit_next_us(const cafe_node *node) {
  bool is_free = !node->committing && !is_telling(node);
  return is_free && may_linger(node) ? node->ready_us + LINGER_US : INT64_MAX;
}

void commit_turn(cafe_node *node) {
  if (node->has_failed && !is_telling(node)) /* after what they rest on, so that who tries again does so in order */
    abandon_failed(node);
  start_batch(node);
}

void commit_push(cafe_node *node, struct unit *unit) {
  if (!node->ready)
    node->ready_us = node_now_us(node);
  node->is_awaited = node->is_awaited || is_awaited(node, unit);
  DL_APPEND(node->ready, unit);
  node->ready_count++;
  node_pump(node);
}

void commit_nothing(cafe_node *node, struct unit *nothing) {
  struct subject *subject = nothing->subject;
  struct unit *last = subject->last_unit;
  if (last) {
    if (nothing->acts->op) {
      op_rest_on(nothing->acts->op, subject, last->seq);
      node->is_awaited = true; /* it may be among those that linger */
    }
    DL_CONCAT(last->acts, nothing->acts);
    nothing->acts = NULL;
  } else {
    subject->holds++;
    finish_acts(node, nothing, CAFE_OK, NULL);
    if (nothing->looked_at_tasks)
      task_reconcile(subject, nothing);
    for (const remote_ask *ask = nothing->asks; ask; ask = ask->next)
      request_send(subject, ask, nothing->trace);
    timer_committed(subject, nothing);
    op_committed(subject, nothing->seq);
    subject->holds--;
  }
  unit_free(node, nothing);
}

int commit_create(cafe_node *node) {
  node->commits = node_alloc(node, COMMIT_JOBS * sizeof *node->commits);
  for (uint32_t i = 0; node->commits && i < COMMIT_JOBS; i++) {
    commit_job *job = &node->commits[i];
    job->arena = cafe_arena_create(&node->allocator);
    job->units = node_alloc(node, node->max_batch * sizeof(struct unit *));
    job->stores = node_alloc(node, node->max_batch * sizeof(cafe_unit *));
    if (!job->arena || !job->units || !job->stores)
      return CAFE_NOMEM;
  }
  return node->commits ? CAFE_OK : CAFE_NOMEM;
}

void commit_destroy(cafe_node *node) {
  if (!node->commits)
    return;
  for (uint32_t i = 0; i < COMMIT_JOBS; i++) {
    cafe_arena_destroy(node->commits[i].arena);
    node_free(node, node->commits[i].units);
    node_free(node, node->commits[i].stores);
  }
  node_free(node, node->commits);
  node->commits = NULL;
}
