/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Publishing is reading the log with a position. A pull names the place it has seen; it is answered when the log goes
 * beyond it. What is kept here: events leave in the order of their positions, none is left out but by type and
 * partition, and `scanned` never passes an event that wasn't looked at. Nothing is copied or remembered per subscriber.
 *
 * A log that was restored from a backup has another id and, behind the backup's end, other events under the same
 * positions. It says of which logs it is the continuation, and up to where (origins): a subscriber of one of those that
 * hasn't gone beyond goes on, under the new id; any other is refused, for good.
 */
#include "engine/publish.h"

#include "base/sized.h"

enum { PULL_EVENTS = 512 };

_Static_assert(CAFE_PARTITIONS == 64, "each partition has its bit");

static int see_event(const cafe_stored_event *event, void *user) {
  log_job *job = user;
  if (job->partitions && !(job->partitions >> cafe_partition(event->key) & 1))
    return CAFE_OK;
  if (job->count == job->room) {
    uint32_t room = job->room ? job->room * 2 : 16;
    cafe_stored_event *grown = cafe_arena_alloc(job->arena, room * sizeof *grown);
    if (!grown)
      return CAFE_NOMEM;
    if (job->count)
      memcpy(grown, job->events, job->count * sizeof *grown);
    job->events = grown;
    job->room = room;
  }
  cafe_stored_event *kept = &job->events[job->count];
  *kept = *event;
  cafe_slice aggregate, type;
  if (cafe_arena_copy(&aggregate, job->arena, cafe_text(event->aggregate)) ||
      cafe_arena_copy(&type, job->arena, cafe_text(event->type)) ||
      cafe_arena_copy(&kept->trace, job->arena, event->trace) ||
      cafe_arena_copy(&kept->data, job->arena, event->data) || cafe_arena_copy(&kept->meta, job->arena, event->meta))
    return CAFE_NOMEM;
  kept->aggregate = aggregate.data;
  kept->type = type.data;
  job->count++;
  return CAFE_OK;
}

static int run_log(storage_job *base, cafe_err *err) {
  log_job *job = CONTAINER(base, log_job, job);
  cafe_store *store = base->node->store;
  return store->ops->read_log(store, &job->query, see_event, job, err);
}

static void log_done(storage_job *base) {
  log_job *job = CONTAINER(base, log_job, job);
  cafe_node *node = base->node;
  if (base->code == CAFE_OK && job->query.head > node->heads[job->query.shard])
    node->heads[job->query.shard] = job->query.head;
  job->done(job, base->code, &base->err);
  node_arena_free(node, job->arena); /* the job lies in it */
}

log_job *log_read(cafe_node *node, uint32_t shard, uint64_t after, uint32_t limit, const char *const *types,
                  uint64_t partitions, void (*done)(log_job *job, int code, const cafe_err *err), void *user) {
  cafe_arena *arena = node_arena(node);
  log_job *job = arena ? cafe_arena_alloc(arena, sizeof *job) : NULL;
  if (!job) {
    node_arena_free(node, arena);
    return NULL;
  }
  job->arena = arena;
  job->done = done;
  job->user = user;
  job->query.size = sizeof job->query;
  job->query.shard = shard;
  job->query.after = after;
  job->query.limit = limit;
  job->query.types = types;
  job->partitions = partitions;
  job->job.run = run_log;
  job->job.done = log_done;
  job->job.lane = CAFE_LANE_READ;
  storage_submit(node, &job->job);
  return job;
}

/* ---- pulls ---- */

typedef struct pull_job {
  struct pull_job *next;
  cafe_pull *pull; /* NULL: forgotten meanwhile, and its types are gone: so the read has its own */
  const char *types[];
} pull_job;

/* Names that nothing here emits are left out: no event has them. */
static pull_job *make_pull_job(cafe_node *node, cafe_pull *pull) {
  size_t count = 0, used = 0;
  while (pull->types[count])
    count++;
  pull_job *made = node_alloc(node, sizeof *made + (count + 1) * sizeof made->types[0]);
  if (!made)
    return NULL;
  made->pull = pull;
  for (size_t i = 0; i < count; i++) {
    const event_type *known = registry_event(node, pull->types[i]);
    if (known)
      made->types[used++] = known->schema->name;
  }
  return made;
}

static void pull_fail(cafe_pull *pull, const cafe_err *err) { pull->answer(pull, err, 0, NULL, 0, 0, 0); }

static void pull_read(log_job *job, int code, const cafe_err *err) {
  cafe_node *node = job->job.node;
  pull_job *asked = job->user;
  cafe_pull *pull = asked->pull;
  LL_DELETE(node->pull_jobs, asked);
  node_free(node, asked);
  if (!pull)
    return;
  if (code) {
    pull_fail(pull, err);
  } else if (job->query.scanned > pull->after) {
    pull->answer(pull, NULL, node->log_id, job->events, job->count, job->query.scanned, job->query.head);
  } else {
    LL_APPEND(node->pulls, pull);
  }
}

/* Up to where the log is the one that a position is of. False: it never was. */
static bool is_same_until(uint64_t *until, const cafe_node *node, uint64_t log_id, uint32_t shard) {
  *until = node->heads[shard];
  if (!log_id || log_id == node->log_id)
    return true;
  for (uint32_t i = 0; i < node->origin_count; i++) {
    if (node->origins[i].log_id != log_id || node->origins[i].shard != shard)
      continue;
    *until = node->origins[i].n;
    return true;
  }
  return false;
}

/* Who has seen what this log doesn't have would take what it has there for the same, and skip it. */
static bool refuse_position(cafe_node *node, cafe_pull *pull) {
  static const char remedy[] = "Rebuild the views made of it (cafe_node_rebuild), or restore their node too, from a "
                               "backup no younger than this log's";
  cafe_err err;
  uint64_t until,
      seen = pull->size >= SIZED_UNTIL(cafe_pull, seen) && pull->seen > pull->after ? pull->seen : pull->after;
  if (pull->shard >= node->shards)
    cafe_fail(&err, CAFE_INVALID, "this log has no shard %u", pull->shard);
  else if (!is_same_until(&until, node, pull->log_id, pull->shard))
    cafe_fail(&err, CAFE_INVALID, "the log was made anew, or restored from a backup of another one. %s", remedy);
  else if (seen > until)
    cafe_fail(&err, CAFE_INVALID, "the log was read up to %llu, and is the same up to %llu only: it was restored. %s",
              (unsigned long long)seen, (unsigned long long)until, remedy);
  else
    return false;
  pull_fail(pull, &err);
  return true;
}

void publish_pull(cafe_node *node, cafe_pull *pull) {
  if (refuse_position(node, pull))
    return;
  if (pull->log_id && pull->log_id != node->log_id) {
    /* The log goes on from the one that was read; the subscriber has to know before it gets any of it. */
    pull->answer(pull, NULL, node->log_id, NULL, 0, pull->after, node->heads[pull->shard]);
    return;
  }
  LL_APPEND(node->pulls, pull);
  node_pump(node);
}

void publish_turn(cafe_node *node) {
  cafe_pull *pull, *next;
  LL_FOREACH_SAFE(node->pulls, pull, next) {
    if (node->heads[pull->shard] <= pull->after)
      continue;
    LL_DELETE(node->pulls, pull);
    uint32_t limit = pull->limit && pull->limit < PULL_EVENTS ? pull->limit : PULL_EVENTS;
    pull_job *asked = make_pull_job(node, pull);
    if (asked) {
      LL_PREPEND(node->pull_jobs, asked);
      if (log_read(node, pull->shard, pull->after, limit, asked->types, pull->partitions, pull_read, asked))
        continue;
      LL_DELETE(node->pull_jobs, asked);
      node_free(node, asked);
    }
    cafe_err err;
    cafe_fail(&err, CAFE_NOMEM, "no memory to read the log");
    pull_fail(pull, &err);
  }
}

void publish_forget(cafe_node *node, cafe_pull *pull) {
  cafe_pull *parked, *next;
  LL_FOREACH_SAFE(node->pulls, parked, next) {
    if (parked == pull)
      LL_DELETE(node->pulls, parked);
  }
  pull_job *asked;
  LL_FOREACH(node->pull_jobs, asked) {
    if (asked->pull == pull)
      asked->pull = NULL;
  }
}

void publish_close(cafe_node *node) {
  pull_job *asked;
  LL_FOREACH(node->pull_jobs, asked) asked->pull = NULL;
  node->pulls = NULL; /* the transport is closed, and has them back */
}
