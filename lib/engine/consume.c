/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Subscriptions: events of other logs (and of this one, for views and policies across keys) have their effect here.
 *
 * What is kept here: each event has its effect once. The effect and the checkpoint of the event's partition are one
 * unit, the checkpoint moves by compare-and-set from exactly where this node thinks it is, and the next event of the
 * partition waits for it. So a batch that comes twice finds its events done, and a crash anywhere resumes at the first
 * undone one. Events without effect move nothing; the watermark, written now and then, keeps a restart from reading
 * them all again.
 *
 * A record that fails again and again for a reason of its own is parked: its letter and the checkpoint are one unit
 * (letter.c).
 * A source may be restored from a backup: then its log has another id and, behind the backup's end, other events. It
 * refuses whoever has gone beyond, for good: nothing is applied, nothing skipped, until somebody does what the refusal
 * says. Whoever hasn't goes on: all his checkpoints are moved to the new id in one unit, with a row that says which log
 * they are of, since those of the old id stay. That row is a checkpoint on this node's own log, where a subscription to
 * another one has none.
 *
 * A policy that asks for several keys writes the checkpoint with the last of them: the others may be asked again after
 * a crash, and aggregates answer by their state.
 */
#include "engine/letter.h"

#include "base/str.h"
#include "engine/health.h"

enum {
  BATCH_EVENTS = 512,
  AGAIN_US = 500000,      /* after a failure */
  WATERMARK_EVENTS = 1000 /* a restart reads at most about so many events again */
};

static void take_events(struct consumer *consumer, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                        uint64_t head);

uint64_t consumer_place(const struct consumer *consumer, uint32_t partition) {
  uint64_t applied = consumer->applied[partition];
  return applied > consumer->watermark ? applied : consumer->watermark;
}

uint64_t consumer_head(const struct consumer *consumer) {
  return consumer->is_local ? consumer->node->heads[consumer->shard] : consumer->head;
}

/* An event was there at most a commit before its position is known. */
static void note_lag(struct consumer *consumer) {
  bool is_behind = consumer_head(consumer) > consumer->watermark;
  if (is_behind && !consumer->is_behind)
    consumer->complete_ms = node_utc_ms(consumer->node);
  consumer->is_behind = is_behind;
}

void consumer_see_head(struct consumer *consumer, uint64_t head) {
  consumer->head = head > consumer->head ? head : consumer->head;
  note_lag(consumer);
}

/* Its view stands still (rebuild.c): it knows its place, and takes nothing. */
static bool is_held(const struct consumer *consumer) {
  const hosted_view *view = &consumer->node->registry.views[consumer->index];
  return consumer->kind == CONSUME_VIEW && (view->is_held || view->is_outdated);
}

/* ---- where it stands ---- */

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

static void checkpoints_done(storage_job *base) {
  checkpoint_job *job = CONTAINER(base, checkpoint_job, job);
  struct consumer *consumer = job->consumer;
  consumer->is_reading = false;
  if (base->code) {
    consumer_failed(consumer, base->code, &base->err);
  } else {
    consumer->is_ready = true;
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

static void read_checkpoints(struct consumer *consumer) {
  cafe_node *node = consumer->node;
  checkpoint_job *job = node_alloc(node, sizeof *job);
  if (!job) {
    consumer->retry_at_us = node_now_us(node) + AGAIN_US;
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

/* ---- where its events come from ---- */

static void move_to(struct consumer *consumer, uint64_t log_id);

static void link_events(cafe_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                        uint64_t head) {
  struct consumer *consumer = link->user;
  if (is_held(consumer)) {
    consumer_see_head(consumer, head);
    return; /* asked for again when it goes on */
  }
  if (consumer->log_id && link->log_id != consumer->log_id) {
    move_to(consumer, link->log_id);
    return;
  }
  if (consumer->has_batch || scanned <= consumer->after) {
    /* It came twice: the first one is in hand, or done. */
    if (!consumer->has_batch)
      consumer->node->transport->ops->more(consumer->node->transport, link);
    return;
  }
  consumer->log_id = link->log_id;
  take_events(consumer, events, count, scanned, head);
}

static void link_lost(cafe_link *link, const cafe_err *err) {
  struct consumer *consumer = link->user;
  if (err->code != CAFE_INVALID)
    return; /* the transport goes on by itself */
  consumer->is_refused = true;
  consumer->refusal = *err;
  node_log(consumer->node, CAFE_LOG_ERROR, 0, (cafe_slice){NULL, 0}, "the subscription %s to %s is refused: %s",
           consumer->name, consumer->source, err->text);
  node_pump(consumer->node); /* who waits for it is told */
}

const cafe_err *consume_refusal(const cafe_node *node, uint32_t view, const cafe_position *position) {
  const struct consumer *consumer;
  const cafe_err *refusal = NULL;
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->kind != CONSUME_VIEW || consumer->index != view || consumer->shard != position->shard)
      continue;
    if (consumer->log_id == position->log_id)
      return consumer->is_refused ? &consumer->refusal : NULL;
    if (consumer->is_refused)
      refusal = &consumer->refusal;
  }
  return refusal;
}

uint64_t consume_refused(const cafe_node *node) {
  const struct consumer *consumer;
  uint64_t count = 0;
  LL_FOREACH(node->consumers, consumer) count += consumer->is_refused;
  return count;
}

static void open_link(struct consumer *consumer) {
  cafe_err err = {0};
  cafe_transport *transport = consumer->node->transport;
  consumer->link.size = sizeof consumer->link;
  consumer->link.service = consumer->source;
  consumer->link.name = consumer->name;
  consumer->link.types = consumer->types;
  consumer->link.shard = consumer->shard;
  consumer->link.on_events = link_events;
  consumer->link.on_lost = link_lost;
  consumer->link.user = consumer;
  int code = transport->ops->subscribe(transport, &consumer->link, &err);
  if (code)
    consumer_failed(consumer, code, &err);
  else
    consumer->is_linked = true;
}

static void local_events(log_job *job, int code, const cafe_err *err) {
  struct consumer *consumer = job->user;
  consumer->is_reading = false;
  if (code)
    consumer_failed(consumer, code, err);
  else if (job->query.scanned > consumer->after && !is_held(consumer))
    take_events(consumer, job->events, job->count, job->query.scanned, job->query.head);
}

static void want_more(struct consumer *consumer) {
  cafe_node *node = consumer->node;
  if (consumer->has_batch || consumer->is_reading || consumer->is_refused)
    return;
  if (!consumer->is_ready) {
    read_checkpoints(consumer);
  } else if (is_held(consumer)) {
    return;
  } else if (!consumer->is_local) {
    if (!consumer->is_linked)
      open_link(consumer);
  } else if (node->heads[consumer->shard] > consumer->after) {
    consumer->is_reading = true;
    if (log_read(node, consumer->shard, consumer->after, BATCH_EVENTS, consumer->types, 0, local_events, consumer))
      return;
    consumer->is_reading = false;
    consumer->retry_at_us = node_now_us(node) + AGAIN_US;
  }
}

/* ---- a batch ---- */

int record_make(batch_event **out, const cafe_node *node, const cafe_stored_event *stored, cafe_position position,
                cafe_arena *arena) {
  const event_type *type = registry_event(node, stored->type);
  const char *aggregate = type ? node->registry.aggregates[type->aggregate].type->name : NULL;
  *out = NULL;
  if (!type || strcmp(aggregate, stored->aggregate) != 0)
    return CAFE_OK; /* not asked for, or another aggregate's that had the name */
  batch_event *made = cafe_arena_alloc(arena, sizeof *made);
  void *data = made ? cafe_arena_alloc(arena, type->schema->width) : NULL;
  if (!data || cafe_arena_copy(&made->data, arena, stored->data) ||
      cafe_arena_copy(&made->event.trace, arena, stored->trace))
    return CAFE_NOMEM;
  made->type = type;
  made->event.type = type->schema;
  made->event.aggregate = aggregate;
  made->event.key = stored->key;
  made->event.version = stored->version;
  made->event.time_ms = stored->time_ms;
  made->event.position = position;
  if (record_read(made, data, arena))
    return CAFE_NOMEM;
  *out = made;
  return CAFE_OK;
}

static int keep_event(struct consumer *consumer, const cafe_stored_event *stored, batch_event ***ends, cafe_err *err) {
  uint32_t partition = cafe_partition(stored->key);
  if (stored->n <= consumer_place(consumer, partition))
    return CAFE_OK;
  batch_event *kept;
  cafe_position position = {consumer->log_id, consumer->shard, stored->n};
  if (record_make(&kept, consumer->node, stored, position, consumer->arena))
    return cafe_fail(err, CAFE_NOMEM, "no memory for events of %s", consumer->source);
  if (!kept)
    return CAFE_OK;
  consumer->batch_ms = stored->time_ms;
  if (stored->time_ms < consumer->complete_ms)
    consumer->complete_ms = stored->time_ms;
  *ends[partition] = kept;
  ends[partition] = &kept->next;
  return CAFE_OK;
}

int record_read(batch_event *record, void *data, cafe_arena *arena) {
  cafe_err why;
  record->event.data = data;
  int code = cafe_schema_decode(data, record->type->schema, record->data, &why);
  if (!code)
    return CAFE_OK;
  cafe_err *kept = cafe_arena_alloc(arena, sizeof *kept);
  if (!kept)
    return CAFE_NOMEM;
  cafe_fail(kept, (cafe_code)code, "%s of key %llu can't be read: %s", record->event.type->name,
            (unsigned long long)record->event.key, why.text);
  record->failure = kept;
  record->event.data = NULL;
  return CAFE_OK;
}

static void take_events(struct consumer *consumer, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                        uint64_t head) {
  batch_event **ends[CAFE_PARTITIONS];
  cafe_err err = {0};
  int code = CAFE_OK;
  cafe_arena_reset(consumer->arena);
  for (uint32_t p = 0; p < CAFE_PARTITIONS; p++) {
    consumer->queues[p] = NULL;
    ends[p] = &consumer->queues[p];
  }
  consumer->head = head;
  note_lag(consumer);
  consumer->batch_ms = 0;
  consumer->scanned = scanned;
  consumer->has_batch = true;
  consumer->has_failed = false;
  consumer->is_parking = false;
  for (uint32_t i = 0; i < count && !code; i++)
    code = keep_event(consumer, &events[i], ends, &err);
  consumer->under_way = 1; /* until all is begun */
  if (code)
    consumer_failed(consumer, code, &err);
  else if (consumer->kind == CONSUME_VIEW)
    project_begin(consumer);
  else
    consumer_begin(consumer);
  consumer_end(consumer);
}

static void begin_anew(struct consumer *consumer, int64_t after_us) {
  consumer->has_failed = true;
  consumer->retry_at_us = node_now_us(consumer->node) + after_us;
  node_pump(consumer->node);
}

void consumer_failed(struct consumer *consumer, int code, const cafe_err *err) {
  if (consumer->letter) {
    replay_failed(consumer, false, err);
    return;
  }
  bool is_news = code != CAFE_CONFLICT && code != CAFE_CANCELED && !consumer->has_warned;
  if (is_news)
    node_log(consumer->node, CAFE_LOG_WARN, 0, (cafe_slice){NULL, 0}, "the subscription %s to %s: %s", consumer->name,
             consumer->source, err->text);
  consumer->has_warned = consumer->has_warned || is_news;
  begin_anew(consumer, AGAIN_US);
}

void consumer_failed_by(struct consumer *consumer, const batch_event *record, int code, const cafe_err *err) {
  if (!record || !letter_is_deserved(code))
    consumer_failed(consumer, code, err);
  else if (consumer->letter)
    replay_failed(consumer, true, err);
  else
    begin_anew(consumer, letter_try(consumer, record, err) ? AGAIN_US : 1);
}

void consumer_end(struct consumer *consumer) {
  if (--consumer->under_way)
    return;
  consumer->has_batch = false;
  if (consumer->kind == CONSUME_VIEW)
    project_end(consumer);
  if (consumer->letter) {
    replay_ended(consumer);
    return;
  }
  if (consumer->has_failed)
    return; /* begun anew from the checkpoints, by consume_turn */
  consumer->has_warned = false;
  consumer->after = consumer->scanned;
  consumer->watermark = consumer->scanned;
  if (consumer->batch_ms > consumer->complete_ms)
    consumer->complete_ms = consumer->batch_ms;
  consumer->link.after = consumer->after;
  if (consumer->is_linked)
    consumer->node->transport->ops->more(consumer->node->transport, &consumer->link);
  node_pump(consumer->node);
}

/* ---- policies and sagas: one act after the other in each partition ---- */

struct effect {
  struct act act;
  struct consumer *consumer;
  const batch_event *record;
  const collected *at; /* the first of its commands for act.key; those for keys named before it are done */
};

static void next_of(struct consumer *consumer, uint32_t partition);

/* An act has all commands of its key, wherever they stand in the list. */
static const collected *next_key(const struct effect *effect) {
  const collected *item, *before;
  LL_FOREACH(effect->at->next, item) {
    for (before = effect->act.commands; before->key != item->key;)
      before = before->next;
    if (before == item)
      return item;
  }
  return NULL;
}

static void effect_key(struct effect *effect) {
  struct act *act = &effect->act;
  act->key = effect->at ? effect->at->key : act->event->key;
  act->is_last = !effect->at || !next_key(effect);
}

static void effect_finished(cafe_node *node, struct act *done, int code, const cafe_err *err) {
  struct effect *effect = CONTAINER(done, struct effect, act);
  struct consumer *consumer = effect->consumer;
  if (code == CAFE_OK && !done->is_last) {
    effect->at = next_key(effect);
    effect_key(effect);
    act_submit(node, done);
    return;
  }
  if (code)
    consumer_failed_by(consumer, done->is_at_fault ? effect->record : NULL, code, err);
  else if (!consumer->letter)
    consumer_done(consumer, (uint32_t)done->checkpoint.partition, done->checkpoint.n);
  consumer_end(consumer);
}

void consumer_done(struct consumer *consumer, uint32_t partition, uint64_t n) {
  consumer->applied[partition] = consumer->stored[partition] = n;
  if (!consumer->node->is_consuming)
    consumer->has_failed = true; /* what is left is the next start's */
  else if (!consumer->has_failed)
    next_of(consumer, partition);
}

void consumer_move(cafe_checkpoint *out, const struct consumer *consumer, uint32_t partition, uint64_t n) {
  *out = (cafe_checkpoint){.subscription = consumer->name,
                           .log_id = consumer->log_id,
                           .shard = consumer->shard,
                           .partition = (int32_t)partition,
                           .expected = consumer->stored[partition],
                           .n = n};
}

/* *begun tells whether it has one. */
static int begin_effect(bool *begun, struct consumer *consumer, uint32_t partition, const batch_event *taken,
                        cafe_err *err) {
  cafe_node *node = consumer->node;
  cafe_reaction reaction;
  if (taken->failure) {
    *err = *taken->failure;
    return err->code;
  }
  collector_init(&reaction.commands, consumer->arena);
  if (consumer->kind == CONSUME_POLICY) {
    const cafe_policy *policy = node->registry.policies[consumer->index];
    policy->react(&reaction, &taken->event, policy->user);
    if (reaction.commands.err.code)
      return callback_failed(err, reaction.commands.err.code, reaction.commands.err.text,
                             "the policy %s can't react to %s of key %llu", policy->name, taken->event.type->name,
                             (unsigned long long)taken->event.key);
    int code = collector_check(&reaction.commands, policy->commands, policy->name, err);
    if (code)
      return code;
    if (!reaction.commands.first)
      return CAFE_OK;
  }
  struct effect *made = cafe_arena_alloc(consumer->arena, sizeof *made);
  if (!made)
    return cafe_fail(err, CAFE_NOMEM, "no memory for an event's effect");
  made->consumer = consumer;
  made->record = taken;
  made->at = reaction.commands.first;
  made->act.kind = ACT_EVENT;
  made->act.consumer = consumer;
  made->act.saga = consumer->index;
  made->act.event = &taken->event;
  made->act.signals = consumer->kind == CONSUME_SAGA;
  made->act.commands = reaction.commands.first;
  made->act.trace = taken->event.trace;
  made->act.finish = effect_finished;
  made->act.letter = consumer->letter;
  consumer_move(&made->act.checkpoint, consumer, partition, taken->event.position.n);
  effect_key(made);
  consumer->under_way++;
  act_submit(node, &made->act);
  *begun = true;
  return CAFE_OK;
}

static void next_of(struct consumer *consumer, uint32_t partition) {
  cafe_err err = {0};
  int code = CAFE_OK;
  bool begun = false;
  while (!code && !begun && consumer->queues[partition]) {
    batch_event *taken = consumer->queues[partition];
    consumer->queues[partition] = taken->next;
    taken->fate = letter_fate_of(consumer, taken);
    if (taken->fate == FATE_TAKE)
      code = begin_effect(&begun, consumer, partition, taken, &err);
    else
      code = letter_park(&begun, consumer, taken, &err);
    if (!code && !begun && consumer->letter)
      code = replay_without_effect(&begun, consumer, &err);
    else if (!code && !begun)
      consumer->applied[partition] = taken->event.position.n;
    if (code)
      consumer_failed_by(consumer, taken, code, &err);
  }
}

void consumer_begin(struct consumer *consumer) {
  for (uint32_t p = 0; p < CAFE_PARTITIONS && !consumer->has_failed; p++)
    next_of(consumer, p);
}

/* ---- the watermark ---- */

typedef struct mark_job {
  storage_job job;
  struct consumer *consumer;
  cafe_checkpoint checkpoint;
  cafe_unit unit;
  cafe_unit *units[1];
  cafe_batch batch;
} mark_job;

static int run_mark(storage_job *base, cafe_err *err) {
  mark_job *job = CONTAINER(base, mark_job, job);
  return base->node->store->ops->commit(base->node->store, &job->batch, err);
}

static void mark_done(storage_job *base) {
  mark_job *job = CONTAINER(base, mark_job, job);
  struct consumer *consumer = job->consumer;
  consumer->is_marking = false;
  health_written(base->node, base->code, &base->err);
  bool is_done = base->code == CAFE_OK && job->unit.result == CAFE_UNIT_DONE;
  if (is_done)
    consumer->stored_watermark = job->checkpoint.n;
  else
    consumer->mark_at_us = node_now_us(base->node) + AGAIN_US;
  if (!is_done && base->code == CAFE_OK)
    consumer->retry_at_us = consumer->mark_at_us; /* another node was first: read it */
  node_arena_free(base->node, job->batch.arena);  /* the job lies in it */
}

/* Best effort: without it a restart reads more. So nothing is woken for it, and one that failed waits. */
static void mark(struct consumer *consumer) {
  cafe_node *node = consumer->node;
  if (consumer->is_marking || consumer->watermark < consumer->stored_watermark + WATERMARK_EVENTS)
    return;
  if (node_now_us(node) < consumer->mark_at_us)
    return;
  cafe_arena *arena = node_arena(node);
  mark_job *job = arena ? cafe_arena_alloc(arena, sizeof *job) : NULL;
  if (!job) {
    node_arena_free(node, arena);
    return;
  }
  job->consumer = consumer;
  job->checkpoint.subscription = consumer->name;
  job->checkpoint.log_id = consumer->log_id;
  job->checkpoint.shard = consumer->shard;
  job->checkpoint.partition = -1;
  job->checkpoint.expected = consumer->stored_watermark;
  job->checkpoint.n = consumer->watermark;
  job->unit.size = sizeof job->unit;
  job->unit.key = 1; /* any: a checkpoint lies in no partition */
  job->unit.checkpoints = &job->checkpoint;
  job->unit.checkpoint_count = 1;
  job->units[0] = &job->unit;
  job->batch.size = sizeof job->batch;
  job->batch.units = job->units;
  job->batch.unit_count = 1;
  job->batch.arena = arena;
  job->job.run = run_mark;
  job->job.done = mark_done;
  job->job.lane = CAFE_LANE_WRITE;
  consumer->is_marking = true;
  storage_submit(node, &job->job);
}

/* ---- a source that was restored ---- */

enum { MOVED_MAX = CAFE_PARTITIONS + 2 };

typedef struct move_job {
  storage_job job;
  struct consumer *consumer;
  uint64_t log_id;
  cafe_checkpoint checkpoints[MOVED_MAX];
  cafe_unit unit;
  cafe_unit *units[1];
  cafe_batch batch;
} move_job;

static int run_move(storage_job *base, cafe_err *err) {
  move_job *job = CONTAINER(base, move_job, job);
  return base->node->store->ops->commit(base->node->store, &job->batch, err);
}

static void move_done(storage_job *base) {
  move_job *job = CONTAINER(base, move_job, job);
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
    memcpy(consumer->stored, consumer->applied, sizeof consumer->stored);
    consumer->stored_watermark = consumer->watermark;
    node_log(node, CAFE_LOG_WARN, 0, (cafe_slice){NULL, 0},
             "the subscription %s to %s goes on from %llu: its log was restored from a backup", consumer->name,
             consumer->source, (unsigned long long)consumer->after);
    if (consumer->is_linked)
      node->transport->ops->more(node->transport, &consumer->link);
  }
  node_arena_free(node, job->batch.arena); /* the job lies in it */
}

static void move_checkpoint(move_job *job, uint64_t log_id, int32_t partition, uint64_t expected, uint64_t n) {
  if (n)
    job->checkpoints[job->unit.checkpoint_count++] = (cafe_checkpoint){.subscription = job->consumer->name,
                                                                       .log_id = log_id,
                                                                       .shard = job->consumer->shard,
                                                                       .partition = partition,
                                                                       .expected = expected,
                                                                       .n = n};
}

/* The log's first `after` events are those that were read under its old id. */
static void move_to(struct consumer *consumer, uint64_t log_id) {
  cafe_node *node = consumer->node;
  cafe_err err;
  if (consumer->has_batch || consumer->is_moving)
    return;
  cafe_arena *arena = node_arena(node);
  move_job *job = arena && !consumer->is_marking ? cafe_arena_alloc(arena, sizeof *job) : NULL;
  if (!job) {
    node_arena_free(node, arena);
    cafe_fail(&err, consumer->is_marking ? CAFE_CONFLICT : CAFE_NOMEM, "no memory to move its checkpoints");
    consumer_failed(consumer, err.code, &err);
    return;
  }
  job->consumer = consumer;
  job->log_id = log_id;
  for (uint32_t p = 0; p < CAFE_PARTITIONS; p++)
    move_checkpoint(job, log_id, (int32_t)p, 0, consumer->applied[p]);
  move_checkpoint(job, log_id, -1, 0, consumer->watermark);
  move_checkpoint(job, node->log_id, -1, consumer->pointer, log_id);
  job->unit.size = sizeof job->unit;
  job->unit.key = 1; /* any: a checkpoint lies in no partition */
  job->unit.checkpoints = job->checkpoints;
  job->units[0] = &job->unit;
  job->batch.size = sizeof job->batch;
  job->batch.units = job->units;
  job->batch.unit_count = 1;
  job->batch.arena = arena;
  job->job.run = run_move;
  job->job.done = move_done;
  job->job.lane = CAFE_LANE_WRITE;
  consumer->is_moving = true;
  storage_submit(node, &job->job);
}

/* ---- the turn's share, and the life of subscriptions ---- */

static bool is_busy(const struct consumer *consumer) {
  return consumer->has_batch || consumer->is_reading || consumer->is_moving;
}

void consume_turn(cafe_node *node, int64_t now_us) {
  if (!node->is_consuming)
    return;
  struct consumer *consumer;
  LL_FOREACH(node->consumers, consumer) {
    note_lag(consumer);
    if (consumer->retry_at_us && !is_busy(consumer) && consumer->retry_at_us <= now_us) {
      consumer->retry_at_us = 0;
      consumer->has_failed = false;
      consumer->is_ready = false;
      if (consumer->is_linked)
        node->transport->ops->unsubscribe(node->transport, &consumer->link);
      consumer->is_linked = false;
    }
    if (!consumer->retry_at_us)
      want_more(consumer);
    if (consumer->is_ready && !consumer->has_batch && !consumer->is_moving && !is_held(consumer))
      mark(consumer);
  }
}

int64_t consume_next_us(const cafe_node *node) {
  int64_t next = INT64_MAX;
  if (!node->is_consuming)
    return next;
  const struct consumer *consumer;
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->retry_at_us && !is_busy(consumer) && consumer->retry_at_us < next)
      next = consumer->retry_at_us;
  }
  return next;
}

bool consume_is_quiet(const cafe_node *node, uint32_t view) {
  const struct consumer *consumer;
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->kind == CONSUME_VIEW && consumer->index == view &&
        (is_busy(consumer) || consumer->is_marking || consumer->retry_at_us || !consumer->is_ready))
      return false;
  }
  return true;
}

void consume_release(cafe_node *node, uint32_t view, bool is_replaced) {
  struct consumer *consumer;
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->kind != CONSUME_VIEW || consumer->index != view)
      continue;
    if (!is_replaced) {
      if (consumer->is_linked && !consumer->is_refused && !is_busy(consumer))
        node->transport->ops->more(node->transport, &consumer->link);
      continue;
    }
    if (consumer->is_linked)
      node->transport->ops->unsubscribe(node->transport, &consumer->link);
    consumer->is_linked = consumer->is_refused = consumer->is_ready = consumer->has_failed = false;
    project_forget(consumer);
  }
}

static bool is_hosted(const cafe_node *node, const char *service) {
  for (uint32_t i = 0; i < node->registry.service_count; i++)
    if (strcmp(node->registry.services[i]->name, service) == 0)
      return true;
  return false;
}

/* A node's services come and go, its log stays: a place in it must be found again whoever is hosted beside whom. No
 * service has that name. */
static const char local_log[] = ".";

static int add_consumer(cafe_node *node, consumer_kind kind, uint32_t index, const char *name, const char *source,
                        uint32_t shard, const char **types, cafe_err *err) {
  struct consumer *made = node_alloc(node, sizeof *made), *other;
  if (!made)
    goto no_memory;
  LL_APPEND(node->consumers, made);
  made->node = node;
  made->kind = kind;
  made->index = index;
  made->source = source;
  made->is_local = is_hosted(node, source);
  made->shard = shard;
  made->types = types;
  made->arena = cafe_arena_create(&node->allocator);
  made->name = arena_printf(node->registry_arena, "%s<%s", name, made->is_local ? local_log : source);
  if (!made->arena || !made->name)
    goto no_memory;
  LL_FOREACH(node->consumers, other) {
    if (other != made && other->shard == shard && strcmp(other->name, made->name) == 0)
      return cafe_fail(err, CAFE_INVALID,
                       "two of the policies, sagas and views are named %s and read %s: each would skip what the other "
                       "has read",
                       name, source);
  }
  return CAFE_OK;

no_memory:
  return cafe_fail(err, CAFE_NOMEM, "no memory for the subscription %s", name);
}

static int add_consumers(cafe_node *node, consumer_kind kind, uint32_t index, const char *name, const char *source,
                         const char **types, cafe_err *err) {
  uint32_t shards = is_hosted(node, source) ? node->shards : 1;
  for (uint32_t shard = 0; shard < shards; shard++) {
    int code = add_consumer(node, kind, index, name, source, shard, types, err);
    if (code)
      return code;
  }
  return CAFE_OK;
}

/* The names of the types, of one source where it is known whose they are. In the registry's arena. */
static const char **type_names(cafe_node *node, const cafe_schema *const *types, const char *source) {
  size_t count = 0;
  while (types[count])
    count++;
  const char **names = cafe_arena_alloc(node->registry_arena, (count + 1) * sizeof *names);
  if (!names)
    return NULL;
  size_t used = 0;
  for (size_t i = 0; i < count; i++) {
    const event_type *known = registry_event_of(node, types[i]);
    if (known && strcmp(node->registry.aggregates[known->aggregate].service, source) == 0)
      names[used++] = types[i]->name;
  }
  return names;
}

static int start_policies(cafe_node *node, cafe_err *err) {
  registry *known = &node->registry;
  for (uint32_t i = 0; i < known->policy_count; i++) {
    const cafe_policy *policy = known->policies[i];
    if (is_hosted(node, policy->source) && !policy->other_key)
      continue; /* inline */
    const char **names = type_names(node, policy->events, policy->source);
    if (!names)
      return cafe_fail(err, CAFE_NOMEM, "no memory to start");
    int code = add_consumers(node, CONSUME_POLICY, i, policy->name, policy->source, names, err);
    if (code)
      return code;
  }
  return CAFE_OK;
}

static bool is_first_version(const registry *known, uint32_t saga) {
  for (uint32_t i = 0; i < saga; i++)
    if (known->sagas[i].number == known->sagas[saga].number)
      return false;
  return true;
}

/* All that any version of the saga wants to hear, ended by NULL. */
static const cafe_schema *const *signals_of_versions(cafe_node *node, uint32_t saga) {
  const registry *known = &node->registry;
  size_t count = 0;
  for (uint32_t i = 0; i < known->saga_count; i++)
    for (const cafe_schema *const *at = saga_plan_signals(known->sagas[i].plan); *at; at++)
      count++;
  const cafe_schema **signals = cafe_arena_alloc(node->registry_arena, (count + 1) * sizeof *signals);
  size_t used = 0;
  for (uint32_t i = 0; signals && i < known->saga_count; i++) {
    if (known->sagas[i].number != known->sagas[saga].number)
      continue;
    for (const cafe_schema *const *at = saga_plan_signals(known->sagas[i].plan); *at; at++)
      signals[used++] = *at;
  }
  return signals;
}

static int start_sagas(cafe_node *node, cafe_err *err) {
  registry *known = &node->registry;
  for (uint32_t i = 0; i < known->saga_count; i++) {
    if (!is_first_version(known, i))
      continue;
    const cafe_schema *const *signals = signals_of_versions(node, i);
    if (!signals)
      return cafe_fail(err, CAFE_NOMEM, "no memory to start");
    for (uint32_t a = 0; a < known->aggregate_count; a++) {
      const char *source = known->aggregates[a].service;
      bool is_seen = is_hosted(node, source);
      for (uint32_t b = 0; b < a && !is_seen; b++)
        is_seen = strcmp(known->aggregates[b].service, source) == 0;
      if (is_seen)
        continue;
      const char **names = type_names(node, signals, source);
      if (!names)
        return cafe_fail(err, CAFE_NOMEM, "no memory to start");
      if (!names[0])
        continue;
      int code = add_consumers(node, CONSUME_SAGA, i, known->sagas[i].type->name, source, names, err);
      if (code)
        return code;
    }
  }
  return CAFE_OK;
}

static int start_views(cafe_node *node, cafe_err *err) {
  registry *known = &node->registry;
  for (uint32_t i = 0; i < known->view_count; i++) {
    const cafe_view *view = known->views[i].type;
    if (view->is_inline)
      continue;
    for (const char *const *source = view->sources; *source; source++) {
      bool is_seen = false; /* hosted services share one log: one subscription for all of them */
      for (const char *const *before = view->sources; before < source; before++)
        is_seen = is_seen || (is_hosted(node, *source) && is_hosted(node, *before));
      if (is_seen)
        continue;
      const char **names =
          is_hosted(node, *source) ? registry_local_types(node, view->events) : type_names(node, view->events, *source);
      if (!names)
        return cafe_fail(err, CAFE_NOMEM, "no memory to start");
      int code = add_consumers(node, CONSUME_VIEW, i, view->name, *source, names, err);
      if (code)
        return code;
    }
  }
  return CAFE_OK;
}

int consume_start(cafe_node *node, cafe_err *err) {
  int code = letter_start(node, err);
  if (!code)
    code = start_policies(node, err);
  if (!code)
    code = start_sagas(node, err);
  if (!code)
    code = start_views(node, err);
  return code;
}

void consume_close(cafe_node *node) {
  struct consumer *consumer;
  node->is_consuming = false;
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->is_linked)
      node->transport->ops->unsubscribe(node->transport, &consumer->link);
    consumer->is_linked = false;
  }
}

void consume_destroy(cafe_node *node) {
  struct consumer *consumer, *next;
  letter_destroy(node);
  LL_FOREACH_SAFE(node->consumers, consumer, next) {
    project_destroy(consumer);
    letter_forget_trials(consumer);
    cafe_arena_destroy(consumer->arena);
    node_free(node, consumer);
  }
  node->consumers = NULL;
}
