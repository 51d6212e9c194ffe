/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Where a subscription stands in its log: a checkpoint for each partition, moved by the units of the effects, and the
 * watermark, up to which all partitions are done. What is kept here: what is stored is never ahead of what had its
 * effect. Without the watermark, written now and then, a restart would read all those again that had none.
 *
 * A source may be restored from a backup: then its log has another id and, behind the backup's end, other events. It
 * refuses whoever has gone beyond, for good: nothing is applied, nothing skipped, until somebody does what the refusal
 * says. Whoever hasn't goes on: all his checkpoints are moved to the new id in one unit, with a row that says which log
 * they are of, since those of the old id stay. That row is a checkpoint on this node's own log, where a subscription to
 * another one has none. A view that is made anew has checkpoints of one log only, and needs no such row.
 */
#include "engine/consume.h"
#include "engine/health.h"

enum {
  WATERMARK_EVENTS = 1000, /* a restart reads at most about so many events again */
  PLACES_MAX = CAFE_PARTITIONS + 2
};

uint64_t consumer_place(const struct consumer *consumer, uint32_t partition) {
  uint64_t applied = consumer->applied[partition];
  return applied > consumer->watermark ? applied : consumer->watermark;
}

void consumer_move(cafe_checkpoint *out, struct consumer *consumer, uint32_t partition, uint64_t n) {
  *out = (cafe_checkpoint){.subscription = consumer->name,
                           .log_id = consumer->log_id,
                           .shard = consumer->shard,
                           .partition = (int32_t)partition,
                           .expected = consumer->moved[partition],
                           .n = n};
  consumer->moved[partition] = n;
}

/* ---- reading it ---- */

typedef struct checkpoint_job {
  storage_job job;
  struct consumer *consumer; /* on the lane: only what never changes */
  uint64_t log_id;
  uint64_t pointer;
  uint64_t watermark;
  uint64_t applied[CAFE_PARTITIONS];
} checkpoint_job;

/* Which log they are of. */
static int see_log(const cafe_checkpoint *checkpoint, void *user) {
  checkpoint_job *job = user;
  const struct consumer *consumer = job->consumer;
  if (checkpoint->shard != consumer->shard || consumer->is_local)
    return CAFE_OK;
  if (checkpoint->log_id == consumer->node->log_id)
    job->pointer = checkpoint->n;
  else
    job->log_id = checkpoint->log_id;
  return CAFE_OK;
}

static int see_checkpoint(const cafe_checkpoint *checkpoint, void *user) {
  checkpoint_job *job = user;
  if (checkpoint->shard != job->consumer->shard || checkpoint->log_id != job->log_id)
    return CAFE_OK;
  if (checkpoint->partition < 0)
    job->watermark = checkpoint->n;
  else if (checkpoint->partition < (int32_t)CAFE_PARTITIONS)
    job->applied[checkpoint->partition] = checkpoint->n;
  return CAFE_OK;
}

static int run_checkpoints(storage_job *base, cafe_err *err) {
  checkpoint_job *job = CONTAINER(base, checkpoint_job, job);
  cafe_store *store = base->node->store;
  int code = store->ops->read_checkpoints(store, job->consumer->name, see_log, job, err);
  if (job->pointer)
    job->log_id = job->pointer;
  return code ? code : store->ops->read_checkpoints(store, job->consumer->name, see_checkpoint, job, err);
}

/* Events behind the watermark may have had their effect, too: those of other partitions are behind. */
static uint64_t furthest(const struct consumer *consumer) {
  uint64_t most = consumer->watermark;
  for (uint32_t p = 0; p < CAFE_PARTITIONS; p++)
    most = consumer->applied[p] > most ? consumer->applied[p] : most;
  return most;
}

uint64_t consumer_known(const struct consumer *consumer) {
  uint64_t most = furthest(consumer);
  return most > consumer->head ? most : consumer->head;
}

static void checkpoints_done(storage_job *base) {
  checkpoint_job *job = CONTAINER(base, checkpoint_job, job);
  struct consumer *consumer = job->consumer;
  consumer->is_reading = false;
  if (base->code) {
    consumer_failed(consumer, base->code, &base->err);
  } else {
    consumer->is_ready = true;
    if (consumer->log_id != job->log_id)
      consumer->head = 0; /* of the other one */
    consumer->log_id = job->log_id;
    consumer->pointer = job->pointer;
    consumer->watermark = consumer->stored_watermark = job->watermark;
    memcpy(consumer->applied, job->applied, sizeof consumer->applied);
    memcpy(consumer->stored, job->applied, sizeof consumer->stored);
    consumer->after = consumer->watermark;
    consumer->link.after = consumer->after;
    consumer->link.log_id = consumer->log_id;
    consumer->link.seen = furthest(consumer);
  }
  node_free(base->node, job);
}

void place_read(struct consumer *consumer) {
  cafe_node *node = consumer->node;
  checkpoint_job *job = node_alloc(node, sizeof *job);
  if (!job) {
    consumer->retry_at_us = node_now_us(node) + CONSUME_AGAIN_US;
    return;
  }
  consumer->is_reading = true;
  job->consumer = consumer;
  job->log_id = consumer->is_local ? node->log_id : 0;
  job->job.run = run_checkpoints;
  job->job.done = checkpoints_done;
  job->job.lane = CAFE_LANE_READ;
  storage_submit(node, &job->job);
}

/* ---- moving it, but for what a unit of an effect moves ---- */

typedef struct place_job {
  storage_job job;
  struct consumer *consumer;
  uint64_t log_id;
  cafe_checkpoint places[PLACES_MAX];
  cafe_unit unit;
  cafe_unit *units[1];
  cafe_batch batch;
} place_job;

static int run_places(storage_job *base, cafe_err *err) {
  place_job *job = CONTAINER(base, place_job, job);
  return base->node->store->ops->commit(base->node->store, &job->batch, err);
}

/* NULL: no memory. */
static place_job *make_job(struct consumer *consumer, uint64_t log_id, void (*done)(storage_job *job)) {
  cafe_arena *arena = node_arena(consumer->node);
  place_job *job = arena ? cafe_arena_alloc(arena, sizeof *job) : NULL;
  if (!job) {
    node_arena_free(consumer->node, arena);
    return NULL;
  }
  job->consumer = consumer;
  job->log_id = log_id;
  job->unit.size = sizeof job->unit;
  job->unit.key = 1; /* any: a checkpoint lies in no partition */
  job->unit.checkpoints = job->places;
  job->units[0] = &job->unit;
  job->batch = (cafe_batch){sizeof job->batch, job->units, 1, arena};
  job->job.run = run_places;
  job->job.done = done;
  job->job.lane = CAFE_LANE_WRITE;
  return job;
}

static void add_place(place_job *job, uint64_t log_id, int32_t partition, uint64_t expected, uint64_t n) {
  if (n)
    job->places[job->unit.checkpoint_count++] = (cafe_checkpoint){.subscription = job->consumer->name,
                                                                  .log_id = log_id,
                                                                  .shard = job->consumer->shard,
                                                                  .partition = partition,
                                                                  .expected = expected,
                                                                  .n = n};
}

static void free_job(place_job *job) { node_arena_free(job->job.node, job->batch.arena); /* it lies in it */ }

static void mark_done(storage_job *base) {
  place_job *job = CONTAINER(base, place_job, job);
  struct consumer *consumer = job->consumer;
  consumer->is_marking = false;
  bool is_done = base->code == CAFE_OK && job->unit.result == CAFE_UNIT_DONE;
  health_written(base->node, base->code, is_done, &base->err);
  if (is_done)
    consumer->stored_watermark = job->places[0].n;
  else
    consumer->mark_at_us = node_now_us(base->node) + CONSUME_AGAIN_US;
  if (!is_done && base->code == CAFE_OK)
    consumer->retry_at_us = consumer->mark_at_us; /* another node was first: read it */
  free_job(job);
}

/* Best effort: without it a restart reads more. So nothing is woken for it, and one that failed waits. */
void place_mark(struct consumer *consumer) {
  cafe_node *node = consumer->node;
  if (consumer->is_marking || consumer->watermark < consumer->stored_watermark + WATERMARK_EVENTS)
    return;
  if (node_now_us(node) < consumer->mark_at_us)
    return;
  place_job *job = make_job(consumer, consumer->log_id, mark_done);
  if (!job)
    return;
  add_place(job, consumer->log_id, -1, consumer->stored_watermark, consumer->watermark);
  consumer->is_marking = true;
  storage_submit(node, &job->job);
}

static void move_done(storage_job *base) {
  place_job *job = CONTAINER(base, place_job, job);
  struct consumer *consumer = job->consumer;
  cafe_node *node = base->node;
  cafe_err conflict;
  int code = base->code;
  consumer->is_moving = false;
  if (!code && job->unit.result != CAFE_UNIT_DONE)
    code = cafe_fail(&conflict, CAFE_CONFLICT, "its checkpoints had moved on");
  if (code) {
    consumer_failed(consumer, code, base->code ? &base->err : &conflict);
  } else {
    consumer->log_id = consumer->link.log_id = consumer->pointer = job->log_id;
    consumer->head = consumer->after;
    memcpy(consumer->stored, consumer->applied, sizeof consumer->stored);
    consumer->stored_watermark = consumer->watermark;
    node_log(node, CAFE_LOG_WARN, 0, (cafe_slice){NULL, 0},
             "the subscription %s to %s goes on from %llu: its log was restored from a backup", consumer->name,
             consumer->source, (unsigned long long)consumer->after);
    if (consumer->is_linked)
      node->transport->ops->more(node->transport, &consumer->link);
  }
  free_job(job);
}

void place_move(struct consumer *consumer, uint64_t log_id) {
  cafe_node *node = consumer->node;
  cafe_err err;
  if (consumer->has_batch || consumer->is_moving)
    return;
  place_job *job = consumer->is_marking ? NULL : make_job(consumer, log_id, move_done);
  if (!job) {
    if (consumer->is_marking)
      cafe_fail(&err, CAFE_CONFLICT, "its watermark is being written: its checkpoints are moved behind that");
    else
      cafe_fail(&err, CAFE_NOMEM, "no memory to move its checkpoints");
    consumer_failed(consumer, err.code, &err);
    return;
  }
  for (uint32_t p = 0; p < CAFE_PARTITIONS; p++)
    add_place(job, log_id, (int32_t)p, 0, consumer->applied[p]);
  add_place(job, log_id, -1, 0, consumer->watermark);
  add_place(job, node->log_id, -1, consumer->pointer, log_id);
  consumer->is_moving = true;
  storage_submit(node, &job->job);
}
