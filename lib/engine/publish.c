/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Publishing is reading the log with a position. A pull names the place it has seen; it is answered when the log goes
 * beyond it: from what is in memory of the log (recent.c), else by a read, which all share that want the same. What is
 * kept here: events leave in the order of their positions, none is left out but by type and partition, and `scanned`
 * never passes an event that wasn't looked at. Nothing is copied or remembered per subscriber.
 *
 * Who is behind goes through the log read by read. So that neither side waits for the other, the next piece is read
 * while the last one is sent: one, and the one behind it only when somebody has come for that.
 *
 * A log that was restored from a backup has another id and, behind the backup's end, other events under the same
 * positions. It says of which logs it is the continuation, and up to where (origins): a subscriber of one of those that
 * hasn't gone beyond goes on, under the new id; any other is refused, for good.
 */
#include "engine/publish.h"

#include "base/arena.h"
#include "base/sized.h"
#include "engine/recent.h"

enum {
  PULL_EVENTS = 512,
  READ_BYTES = 128 * 1024, /* of a read that has reached it, no more is wanted at once */
  READ_ROOM = 64,
  READ_FULL = CAFE_OVERLOADED /* ends a read: what follows is the next one's */
};

_Static_assert(CAFE_PARTITIONS == 64, "each partition has its bit");

/* ---- one read ---- */

static int make_room(log_job *job) {
  uint32_t room = job->room ? job->room * 2 : READ_ROOM;
  cafe_stored_event *grown = arena_take(job->arena, room * sizeof *grown);
  if (!grown)
    return CAFE_NOMEM;
  if (job->count)
    memcpy(grown, job->events, job->count * sizeof *grown);
  job->events = grown;
  job->room = room;
  return CAFE_OK;
}

/* The names are the definitions', where they are known: they stay. */
static int copy_names(cafe_stored_event *kept, const event_type *type, const log_job *job) {
  const cafe_node *node = job->job.node;
  const char *aggregate = type ? node->registry.aggregates[type->aggregate].type->name : NULL;
  cafe_slice copy;
  if (type) {
    kept->type = type->schema->name;
  } else if (!cafe_arena_copy(&copy, job->arena, cafe_text(kept->type))) {
    kept->type = copy.data;
  } else {
    return CAFE_NOMEM;
  }
  if (type && strcmp(aggregate, kept->aggregate) == 0) {
    kept->aggregate = aggregate;
  } else if (!cafe_arena_copy(&copy, job->arena, cafe_text(kept->aggregate))) {
    kept->aggregate = copy.data;
  } else {
    return CAFE_NOMEM;
  }
  return CAFE_OK;
}

static int see_event(const cafe_stored_event *event, void *user) {
  log_job *job = user;
  const event_type *type = registry_event(job->job.node, event->type);
  if (job->partitions && !(job->partitions >> cafe_partition(event->key) & 1))
    return CAFE_OK;
  if (!type && !job->query.types)
    return CAFE_OK;
  if (job->bytes >= READ_BYTES) {
    job->is_full = true;
    return READ_FULL;
  }
  if (job->count == job->room && make_room(job))
    return CAFE_NOMEM;
  cafe_stored_event *kept = &job->events[job->count];
  *kept = *event;
  if (copy_names(kept, type, job) || cafe_arena_copy(&kept->trace, job->arena, event->trace) ||
      cafe_arena_copy(&kept->data, job->arena, event->data) || cafe_arena_copy(&kept->meta, job->arena, event->meta))
    return CAFE_NOMEM;
  job->bytes += event->trace.size + event->data.size + event->meta.size;
  job->count++;
  return CAFE_OK;
}

static int run_log(storage_job *base, cafe_err *err) {
  log_job *job = CONTAINER(base, log_job, job);
  cafe_store *store = base->node->store;
  int code = store->ops->read_log(store, &job->query, see_event, job, err);
  return job->is_full && code == READ_FULL ? CAFE_OK : code;
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

/* A read that is under way for pulls; for none: ahead of one. */
typedef struct pull_read {
  struct pull_read *next;
  log_wish wish;
  cafe_pull *pulls;
  type_set *types;
  bool wants_all; /* that are known here */
  const char *names[];
} pull_read;

struct publisher {
  recent *recent;
  cafe_pull *pulls; /* that wait for the log, or for their turn */
  cafe_pull *due;   /* that are looked at now */
  pull_read *reads;
  type_set types[]; /* of the pull in hand */
};

static struct publisher *publisher_of(cafe_node *node) {
  if (node->publisher)
    return node->publisher;
  struct publisher *made = node_alloc(node, sizeof *made + type_set_words(node) * sizeof made->types[0]);
  if (made && !(made->recent = recent_create(node))) {
    node_free(node, made);
    made = NULL;
  }
  return node->publisher = made;
}

static void pull_fail(cafe_pull *pull, const cafe_err *err) { pull->answer(pull, err, 0, NULL, 0, 0, 0); }

/* Names that nothing here emits are left out: no event has them. wish->types BORROW: until the next call. */
static void wish_of(log_wish *out, const cafe_node *node, const cafe_pull *pull) {
  type_set *types = node->publisher->types;
  memset(types, 0, type_set_words(node) * sizeof *types);
  for (const char *const *name = pull->types; *name; name++) {
    const event_type *known = registry_event(node, *name);
    if (known)
      type_set_add(types, known->index);
  }
  *out = (log_wish){pull->shard, pull->after, pull->partitions, types};
}

static bool is_same_wish(const cafe_node *node, const log_wish *a, const log_wish *b) {
  return a->shard == b->shard && a->after == b->after && a->partitions == b->partitions &&
         memcmp(a->types, b->types, type_set_words(node) * sizeof(type_set)) == 0;
}

static pull_read *make_read(cafe_node *node, const log_wish *wish) {
  size_t words = type_set_words(node);
  uint32_t count = node->registry.event_count, used = 0;
  size_t names = sizeof(const char *) * ((size_t)count + 1);
  pull_read *made = node_alloc(node, sizeof *made + names + words * sizeof(type_set));
  if (!made)
    return NULL;
  made->types = (type_set *)(void *)((char *)made + sizeof *made + names); /* aligned, as pointers are */
  memcpy(made->types, wish->types, words * sizeof(type_set));
  made->wish = *wish;
  made->wish.types = made->types;
  for (map_entry *entry = map_first(node->registry.events_by_name); entry; entry = map_next(entry)) {
    const event_type *type = map_value(entry);
    if (type_set_has(made->types, type->index))
      made->names[used++] = type->schema->name;
  }
  made->wants_all = used == count;
  return made;
}

/* It stays for those who come the same way; without memory it doesn't, and they read it again. */
static log_piece *make_piece(log_job *job, const pull_read *read) {
  const cafe_node *node = job->job.node;
  size_t size = type_set_words(node) * sizeof(type_set);
  log_piece *made = cafe_arena_alloc(job->arena, sizeof *made);
  type_set *types = made ? cafe_arena_alloc(job->arena, size) : NULL;
  if (!types)
    return NULL;
  memcpy(types, read->types, size);
  *made = (log_piece){.shard = read->wish.shard,
                      .after = read->wish.after,
                      .scanned = job->query.scanned,
                      .partitions = read->wish.partitions,
                      .types = types,
                      .is_ahead = !read->pulls,
                      .arena = job->arena,
                      .events = job->events,
                      .count = job->count};
  return made;
}

static void piece_came(log_job *job, int code, const cafe_err *err);

/* False: no memory. */
static bool begin_read(cafe_node *node, const log_wish *wish, cafe_pull *pull) {
  pull_read *read = make_read(node, wish);
  if (!read)
    return false;
  if (pull)
    LL_PREPEND(read->pulls, pull);
  LL_PREPEND(node->publisher->reads, read);
  if (log_read(node, wish->shard, wish->after, PULL_EVENTS, read->wants_all ? NULL : read->names, wish->partitions,
               piece_came, read))
    return true;
  LL_DELETE(node->publisher->reads, read);
  node_free(node, read);
  return false;
}

static pull_read *find_read(const cafe_node *node, const log_wish *wish) {
  pull_read *read;
  LL_FOREACH(node->publisher->reads, read) {
    if (is_same_wish(node, &read->wish, wish))
      break;
  }
  return read;
}

/* What follows the piece is wanted next. A store that doesn't block is read when it is asked. */
static void read_ahead(cafe_node *node, const log_piece *piece) {
  log_wish next = {piece->shard, piece->scanned, piece->partitions, piece->types};
  if (node->store->ops->is_inline || !piece->types || node->heads[next.shard] <= next.after)
    return;
  if (!find_read(node, &next) && !recent_find(node->publisher->recent, &next))
    (void)begin_read(node, &next, NULL);
}

/* False: it isn't in memory. */
static bool answer_from_memory(cafe_node *node, cafe_pull *pull, const log_wish *wish) {
  recent *known = node->publisher->recent;
  log_piece *piece = recent_find(known, wish);
  log_answer answer;
  if (!piece)
    return false;
  if (piece->is_ahead) {
    piece->is_ahead = false;
    read_ahead(node, piece);
  }
  recent_take(&answer, known, piece, wish, pull->limit && pull->limit < PULL_EVENTS ? pull->limit : PULL_EVENTS);
  pull->answer(pull, NULL, node->log_id, answer.events, answer.count, answer.scanned, node->heads[pull->shard]);
  return true;
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
  cafe_err err;
  if (refuse_position(node, pull))
    return;
  if (pull->log_id && pull->log_id != node->log_id) {
    /* The log goes on from the one that was read; the subscriber has to know before it gets any of it. */
    pull->answer(pull, NULL, node->log_id, NULL, 0, pull->after, node->heads[pull->shard]);
    return;
  }
  if (!publisher_of(node)) {
    cafe_fail(&err, CAFE_NOMEM, "no memory to publish the log");
    pull_fail(pull, &err);
    return;
  }
  LL_APPEND(node->publisher->pulls, pull);
  node_pump(node);
}

/* It may come back, when it is answered, with the next one: in the list, for the next turn. */
static void serve_pull(cafe_node *node, cafe_pull *pull) {
  log_wish wish;
  wish_of(&wish, node, pull);
  if (answer_from_memory(node, pull, &wish))
    return;
  pull_read *read = find_read(node, &wish);
  if (read) {
    LL_APPEND(read->pulls, pull);
    return;
  }
  if (begin_read(node, &wish, pull))
    return;
  cafe_err err;
  cafe_fail(&err, CAFE_NOMEM, "no memory to read the log");
  pull_fail(pull, &err);
}

static void serve_due(cafe_node *node);

static void fail_due(cafe_node *node, const cafe_err *err) {
  while (node->publisher->due) {
    cafe_pull *pull = node->publisher->due;
    LL_DELETE(node->publisher->due, pull);
    pull_fail(pull, err);
  }
}

static void piece_came(log_job *job, int code, const cafe_err *err) {
  cafe_node *node = job->job.node;
  struct publisher *self = node->publisher;
  pull_read *read = job->user;
  cafe_err none;
  log_piece *piece = code ? NULL : make_piece(job, read);
  LL_DELETE(self->reads, read);
  self->due = read->pulls;
  if (piece) {
    recent_keep(self->recent, piece);
    job->arena = NULL;
    if (self->due)
      read_ahead(node, piece);
    serve_due(node);
  } else {
    cafe_fail(&none, CAFE_NOMEM, "no memory for what was read of the log");
    fail_due(node, code ? err : &none);
  }
  node_free(node, read);
}

/* An answer may bring the next pull, which waits for its turn, and may end others, wherever they are. */
static void serve_due(cafe_node *node) {
  struct publisher *self = node->publisher;
  while (self->due) {
    cafe_pull *pull = self->due;
    LL_DELETE(self->due, pull);
    if (node->heads[pull->shard] > pull->after)
      serve_pull(node, pull);
    else
      LL_APPEND(self->pulls, pull);
  }
}

void publish_turn(cafe_node *node) {
  struct publisher *self = node->publisher;
  if (!self)
    return;
  self->due = self->pulls;
  self->pulls = NULL;
  serve_due(node);
}

bool publish_is_due(const cafe_node *node) {
  const cafe_pull *pull;
  if (!node->publisher)
    return false;
  LL_FOREACH(node->publisher->pulls, pull) {
    if (node->heads[pull->shard] > pull->after)
      return true;
  }
  return false;
}

void publish_committed(cafe_node *node, const struct unit *unit) {
  if (node->publisher && unit->store.event_count)
    recent_add(node->publisher->recent, unit);
}

static void forget_in(cafe_pull **list, cafe_pull *pull) {
  cafe_pull *parked, *next;
  LL_FOREACH_SAFE(*list, parked, next) {
    if (parked == pull)
      LL_DELETE(*list, parked);
  }
}

void publish_forget(cafe_node *node, cafe_pull *pull) {
  pull_read *read;
  if (!node->publisher)
    return;
  forget_in(&node->publisher->pulls, pull);
  forget_in(&node->publisher->due, pull);
  LL_FOREACH(node->publisher->reads, read) forget_in(&read->pulls, pull);
}

void publish_close(cafe_node *node) {
  pull_read *read;
  if (!node->publisher)
    return;
  node->publisher->pulls = node->publisher->due = NULL; /* the transport is closed, and has them back */
  LL_FOREACH(node->publisher->reads, read) read->pulls = NULL;
}

void publish_destroy(cafe_node *node) {
  if (!node->publisher)
    return;
  recent_destroy(node->publisher->recent);
  node_free(node, node->publisher);
  node->publisher = NULL;
}
