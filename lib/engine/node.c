/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A node's life: created, running, draining, closing, closed. And its turn, the one place where everything moves, in
 * the order of an order: what was submitted is decided, what is decided is committed, what is committed is told.
 *
 * What is kept here: nothing runs inside a call from outside; and closing waits for what the store and the workers have
 * in hand, so that no completion is lost and none comes after `closed`.
 */
#include "engine/node.h"

#include <assert.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/prefetch.h"
#include "base/sized.h"
#include "base/str.h"
#include "engine/commit.h"
#include "engine/consume.h"
#include "engine/guard.h"
#include "engine/health.h"
#include "engine/key.h"
#include "engine/letter.h"
#include "engine/metrics.h"
#include "engine/tail.h"
#include "engine/timer.h"

/* ---- small things that all of the engine needs ---- */

void *node_alloc(cafe_node *node, size_t size) {
  void *block = node->allocator.resize(NULL, size, node->allocator.user);
  if (block)
    memset(block, 0, size);
  return block;
}

void node_free(cafe_node *node, void *block) {
  if (block)
    node->allocator.resize(block, 0, node->allocator.user);
}

/* An operation or task with its command; the states, rows and sagas of a coffee order. */
enum { SMALL_ARENA = 1024, LARGE_ARENA = 3840 };

static cafe_arena *take_arena(cafe_node *node, arena_pool *pool) {
  return pool->count ? pool->spare[--pool->count] : arena_create(&node->allocator, pool->block);
}

static void give_arena(arena_pool *pool, cafe_arena *arena) {
  if (!arena)
    return;
  if (pool->count == SPARE_ARENAS) {
    cafe_arena_destroy(arena);
    return;
  }
  cafe_arena_reset(arena);
  pool->spare[pool->count++] = arena;
}

static void empty_pool(arena_pool *pool) {
  while (pool->count)
    cafe_arena_destroy(pool->spare[--pool->count]);
}

cafe_arena *node_arena(cafe_node *node) { return take_arena(node, &node->small_arenas); }

void node_arena_free(cafe_node *node, cafe_arena *arena) { give_arena(&node->small_arenas, arena); }

cafe_arena *node_large_arena(cafe_node *node) { return take_arena(node, &node->large_arenas); }

void node_large_arena_free(cafe_node *node, cafe_arena *arena) { give_arena(&node->large_arenas, arena); }

int64_t node_now_us(const cafe_node *node) {
  return node->is_turning ? node->turn_us : node->loop->ops->now_us(node->loop);
}

/* UTC, mapped once, at start, to the monotonic clock: a jump of the clock within a run makes nothing early or late. */
int64_t node_utc_ms(const cafe_node *node) { return node->utc_base_ms + node_now_us(node) / 1000; }

uint64_t node_random(const cafe_node *node) { return node->loop->ops->random(node->loop); }

void node_log(cafe_node *node, cafe_log_level level, uint64_t key, cafe_slice trace, const char *format, ...) {
  if (!log_wants(&node->log, level))
    return;
  char text[512];
  va_list args;
  va_start(args, format);
  str_format(text, sizeof text, format, args);
  va_end(args);
  log_write(&node->log, level, node_utc_ms(node), "engine", key, trace, "%s", text);
}

/* ---- the turn ---- */

static void turn(cafe_node *node);

static void pump_fired(cafe_timer *timer) {
  cafe_node *node = timer->user;
  node->pump_at_us = INT64_MAX;
  node->is_pump_due = false;
  turn(node);
}

static void woken(cafe_wake *wake) { turn(wake->user); }

/* A turn that is due is never forgotten, or the node would sleep for ever: without memory it comes early, and tries
 * again. */
static void pump_at(cafe_node *node, int64_t due_us) {
  if (due_us >= node->pump_at_us)
    return;
  cafe_err err;
  if (node->loop->ops->timer_start(node->loop, &node->pump, due_us, &err) == CAFE_OK)
    node->pump_at_us = due_us;
  else
    node->loop->ops->wake_signal(node->loop, &node->wake);
}

int64_t node_after_us(const cafe_node *node, int64_t ms) {
  int64_t now_us = node_now_us(node);
  if (ms <= 0)
    return now_us;
  return ms < (INT64_MAX - now_us) / 1000 ? now_us + ms * 1000 : INT64_MAX;
}

/* Places come free with the next batch; how long one took so far is all that is known. */
static int32_t commit_ms(const cafe_node *node) {
  if (!node->stats.batches)
    return 0;
  int64_t ms = node->stats.commit_us_total / (int64_t)node->stats.batches / 1000 + 1;
  return ms < INT32_MAX ? (int32_t)ms : INT32_MAX;
}

int node_has_room(const cafe_node *node, cafe_err *err) {
  if (node->op_count < node->max_queued)
    return CAFE_OK;
  cafe_fail(err, CAFE_OVERLOADED, "%u operations are waiting already: later, please", node->op_count);
  if (err)
    err->retry_after_ms = commit_ms(node);
  return CAFE_OVERLOADED;
}

int node_may_block(cafe_node *node, cafe_err *err) {
  if (node->loop->ops->turn(node->loop, 0) == CAFE_OK)
    return CAFE_OK;
  return cafe_fail(err, CAFE_INVALID, "a blocking call turns the node, and must not be made while it is being turned");
}

void node_pump(cafe_node *node) {
  if (node->is_turning || node->is_pump_due)
    return; /* a turn ends by looking for what is due */
  pump_at(node, node_now_us(node));
  node->is_pump_due = node->pump_at_us <= node_now_us(node); /* later: the wake does it */
}

void act_submit(cafe_node *node, struct act *act) {
  DL_APPEND(node->acts, act);
  node_pump(node);
}

static void take_act(cafe_node *node, struct act *taken) {
  cafe_err err = {0};
  if (node->state > NODE_DRAINING) {
    cafe_fail(&err, CAFE_CANCELED, "the node is closing");
    taken->finish(node, taken, CAFE_CANCELED, &err);
    return;
  }
  if (taken->op && taken->op->is_detached) {
    taken->finish(node, taken, CAFE_CANCELED, &err); /* answered already, and nothing was begun */
    return;
  }
  if (taken->op && taken->op->wants_new_key && taken->key == 0) {
    if (key_take(node, &taken->key, taken))
      return;
    taken->is_new_key = true;
  }
  struct subject *subject = taken->subject ? taken->subject : subject_get(node, taken->key, &err);
  if (subject)
    subject_take(subject, taken);
  else
    taken->finish(node, taken, err.code, &err);
}

/* Where many keys are under way, each is out of the processor's cache when its turn comes. The way to its memory has
 * three steps, and each is asked for while the step before it is on its way for the act behind. */
static void foresee(const struct act *next) {
  if (next && next->subject)
    prefetch(next->subject->arena, LARGE_ARENA);
  next = next ? next->next : NULL;
  if (next && next->subject)
    prefetch(next->subject, sizeof *next->subject);
  next = next ? next->next : NULL;
  if (next)
    prefetch(next, sizeof(cafe_op));
}

static void take_acts(cafe_node *node) {
  /* What comes meanwhile waits for the next turn, so that one busy circle never starves the loop. */
  if (node->pauses)
    return;
  struct act *list = node->acts;
  node->acts = NULL;
  while (list) {
    struct act *taken = list;
    DL_DELETE(list, taken);
    foresee(list);
    take_act(node, taken);
    commit_early(node);
  }
}

static bool is_quiet(const cafe_node *node) {
  if (node->acts || node->ready || node->jobs || node->jobs_done || node->op_count || node->requests)
    return false;
  if (node->rebuilds && node->state == NODE_DRAINING)
    return false; /* canceled, and cleaning up */
  return node->stats.tasks_running == 0;
}

static void close_finished(cafe_node *node) {
  struct subject *subject;
  map_entry *entry, *next;
  for (entry = map_first(node->subjects); entry; entry = next) {
    next = map_next(entry);
    subject = map_value(entry);
    subject_drop(subject);
  }
  node->loop->ops->timer_stop(node->loop, &node->pump);
  node->loop->ops->wake_close(node->loop, &node->wake);
  node->state = NODE_CLOSED;
  cafe_err canceled;
  cafe_fail(&canceled, CAFE_CANCELED, "the node was closed while it was drained");
  if (node->drained)
    node->drained(&canceled, node->drained_user);
  if (node->closed)
    node->closed(NULL, node->closed_user);
}

static void finish_phases(cafe_node *node) {
  if (node->state == NODE_DRAINING && node->is_consuming && !node->op_count)
    consume_close(node);
  if (!is_quiet(node))
    return;
  if (node->state == NODE_DRAINING && !node->is_drained) {
    void (*drained)(const cafe_err *err, void *user) = node->drained;
    node->is_drained = true;
    node->drained = NULL;
    if (drained)
      drained(NULL, node->drained_user);
  } else if (node->state == NODE_CLOSING) {
    close_finished(node);
  }
}

static void set_pump(cafe_node *node) {
  bool is_due = ((node->acts || node->has_effects) && !node->pauses) || node->jobs_done || commit_is_due(node) ||
                node->has_canceled || node->is_closing_ops || node->has_new_watches || publish_is_due(node);
  int64_t next = is_due ? node_now_us(node) : INT64_MAX;
  int64_t timer_ms = timer_next_ms(node);
  if (timer_ms != INT64_MAX) {
    int64_t wait_ms = timer_ms - node_utc_ms(node);
    int64_t timer_us = wait_ms > 0 ? node_after_us(node, wait_ms) / 1000 * 1000 : node_now_us(node);
    if (timer_us < next)
      next = timer_us;
  }
  heap_item *deadline = heap_peek(node->deadlines);
  if (deadline && deadline->due < next)
    next = deadline->due;
  heap_item *retry = heap_peek(node->retries);
  if (retry && retry->due < next)
    next = retry->due;
  int64_t health_us = health_next_us(node);
  if (health_us < next)
    next = health_us;
  int64_t commit_us = commit_next_us(node);
  if (commit_us < next)
    next = commit_us;
  int64_t consume_us = consume_next_us(node);
  if (consume_us < next)
    next = consume_us;
  int64_t replay_us = replay_next_us(node);
  if (replay_us < next)
    next = replay_us;
  int64_t tail_us = tail_next_us(node);
  if (tail_us < next)
    next = tail_us;
  int64_t rebuild_us = rebuild_next_us(node);
  if (rebuild_us < next)
    next = rebuild_us;
  if (next != INT64_MAX)
    pump_at(node, next);
}

static void turn(cafe_node *node) {
  if (node->state == NODE_CLOSED)
    return;
  int64_t now_us = node_now_us(node);
  node->turn_us = now_us;
  node->is_turning = true;
  if (node->is_closing_ops) {
    node->is_closing_ops = false;
    op_close(node);
  }
  storage_turn(node);
  op_turn(node, now_us);
  task_turn(node, now_us);
  timer_turn(node, now_us);
  health_turn(node, now_us);
  take_acts(node);
  effect_turn(node);
  commit_turn(node);
  consume_turn(node, now_us);
  replay_turn(node, now_us);
  rebuild_turn(node, now_us);
  forget_turn(node);
  publish_turn(node);
  read_turn(node);
  changes_turn(node, now_us);
  finish_phases(node);
  node->is_turning = false;
  if (node->state != NODE_CLOSED)
    set_pump(node);
}

/* ---- what peers ask ---- */

static void serve(cafe_server *server, cafe_incoming *incoming) {
  request_serve(CONTAINER(server, cafe_node, server), incoming);
}
static void pull(cafe_server *server, cafe_pull *asked) { publish_pull(CONTAINER(server, cafe_node, server), asked); }
static void forget_incoming(cafe_server *server, cafe_incoming *incoming) {
  request_forget(CONTAINER(server, cafe_node, server), incoming);
}
static void forget_pull(cafe_server *server, cafe_pull *asked) {
  publish_forget(CONTAINER(server, cafe_node, server), asked);
}

static const cafe_server_ops server_ops = {sizeof server_ops, serve, pull, forget_incoming, forget_pull};

/* ---- life ---- */

int cafe_node_create(cafe_node **out, const cafe_node_options *given, cafe_err *err) {
  assert(out && "cafe_node_create needs a place for the node");
  cafe_node_options own;
  const cafe_node_options *options = &own;
  int code = SIZED_READ(&own, given, cafe_node_options, id_block, "CAFE_NODE_OPTIONS_INIT", err);
  if (code)
    return code;
  if (!options->loop || !options->store)
    return cafe_fail(err, CAFE_INVALID, "a node needs a loop and a store");
  const cafe_allocator *allocator = options->allocator ? options->allocator : cafe_allocator_default();
  cafe_node *node = allocator->resize(NULL, sizeof *node, allocator->user);
  if (!node)
    return cafe_fail(err, CAFE_NOMEM, "no memory for a node");
  memset(node, 0, sizeof *node);
  node->allocator = *allocator;
  node->log = options->log;
  node->loop = options->loop;
  node->store = options->store;
  node->transport = options->transport;
  node->max_queued = options->max_queued ? options->max_queued : 16384;
  node->max_batch = options->max_batch ? options->max_batch : 512;
  node->max_cached = options->max_cached ? options->max_cached : 16384;
  node->id_block = options->id_block ? options->id_block : 1024;
  node->max_record_attempts = options->max_record_attempts ? options->max_record_attempts : 5;
  node->store_lost = options->store_lost;
  node->store_lost_user = options->store_lost_user;
  node->small_arenas.block = SMALL_ARENA;
  node->large_arenas.block = LARGE_ARENA;
  node->pump.fire = pump_fired;
  node->pump.user = node;
  node->pump_at_us = INT64_MAX;
  node->wake.woken = woken;
  node->wake.user = node;
  node->server.ops = &server_ops;
  const char *name = options->name ? options->name : "cafe";
  node->name = node_alloc(node, strlen(name) + 1);
  node->subjects = map_create(allocator, MAP_U64);
  node->due = heap_create(allocator);
  node->deadlines = heap_create(allocator);
  node->retries = heap_create(allocator);
  node->call_arena = cafe_arena_create(allocator);
  if (!node->name || !node->subjects || !node->due || !node->deadlines || !node->retries || !node->call_arena ||
      registry_create(node) || commit_create(node) || timer_create(node)) {
    cafe_node_destroy(node);
    return cafe_fail(err, CAFE_NOMEM, "no memory for a node");
  }
  memcpy(node->name, name, strlen(name) + 1);
  *out = node;
  return CAFE_OK;
}

int cafe_node_host(cafe_node *node, const cafe_service *service, cafe_err *err) {
  return registry_add_service(node, service, err);
}

int cafe_node_employ(cafe_node *node, const cafe_worker *worker, cafe_err *err) {
  return registry_add_worker(node, worker, err);
}

static int skip_event(const cafe_stored_event *event, void *user) {
  (void)user, (void)event;
  return CAFE_OK;
}

static int open_store(cafe_node *node, cafe_err *err) {
  int code = registry_finish(node, err);
  if (code)
    return code;
  cafe_store_setup setup = {sizeof setup, node->name, node->registry.tables};
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  code = node->store->ops->open(node->store, &info, &setup, err);
  if (code)
    return code;
  if (info.partitions != CAFE_PARTITIONS || info.shards < 1)
    return cafe_fail(err, CAFE_UNSUPPORTED,
                     "the store %s has %u partitions and %u shards; this version needs %u and at least one",
                     node->store->ops->name, info.partitions, info.shards, CAFE_PARTITIONS);
  node->log_id = info.log_id;
  node->restored_ms = info.restored_ms;
  node->origins = info.origins;
  node->origin_count = info.origin_count;
  node->shards = info.shards;
  node->is_store_open = true;
  return CAFE_OK;
}

static int read_heads(cafe_node *node, cafe_err *err) {
  if (!node->heads)
    node->heads = node_alloc(node, node->shards * sizeof *node->heads);
  if (!node->heads)
    return cafe_fail(err, CAFE_NOMEM, "no memory for the heads of %u shards", node->shards);
  for (uint32_t shard = 0; shard < node->shards; shard++) {
    cafe_log_query query = {sizeof query, shard, 0, 1, NULL, 0, 0};
    int code = node->store->ops->read_log(node->store, &query, skip_event, NULL, err);
    if (code)
      return code;
    node->heads[shard] = query.head;
  }
  return CAFE_OK;
}

int cafe_node_start(cafe_node *node, cafe_err *err) {
  if (node->state != NODE_CREATED)
    return cafe_fail(err, CAFE_INVALID, "the node was started before");
  int code = node->is_store_open ? CAFE_OK : open_store(node, err);
  if (code)
    return code;
  node->utc_base_ms = node->loop->ops->utc_ms(node->loop) - node_now_us(node) / 1000;
  code = read_heads(node, err);
  if (!code && !node->consumers)
    code = consume_start(node, err);
  if (!code)
    code = rebuild_start(node, err);
  if (!code)
    code = node->loop->ops->wake_open(node->loop, &node->wake, err);
  if (code) {
    consume_destroy(node);
    return code;
  }
  if (node->transport)
    code = node->transport->ops->open(node->transport, node->loop, node->registry.service_names, &node->server, err);
  if (code) {
    node->loop->ops->wake_close(node->loop, &node->wake);
    consume_destroy(node);
    return code;
  }
  node->state = NODE_RUNNING;
  node->is_consuming = true;
  node_pump(node);
  return CAFE_OK;
}

int cafe_node_fd(const cafe_node *node) { return node->loop->ops->fd(node->loop); }

int64_t cafe_node_timeout_ms(const cafe_node *node) { return node->loop->ops->timeout_ms(node->loop); }

int cafe_node_turn(cafe_node *node) { return node->loop->ops->turn(node->loop, 0); }

int cafe_node_run(cafe_node *node, const volatile int *until) {
  int code = CAFE_OK;
  while (!*until && !code)
    code = node->loop->ops->turn(node->loop, -1);
  return code;
}

int cafe_node_drain(cafe_node *node, void (*done)(const cafe_err *err, void *user), void *user, cafe_err *err) {
  if (node->state != NODE_RUNNING)
    return cafe_fail(err, CAFE_INVALID, "only a running node can be drained");
  node->state = NODE_DRAINING;
  node->drained = done;
  node->drained_user = user;
  for (map_entry *entry = map_first(node->subjects); entry; entry = map_next(entry))
    task_drop_held(map_value(entry));
  rebuild_drain(node);
  node_pump(node);
  return CAFE_OK;
}

int cafe_node_finish(cafe_node *node, int64_t timeout_ms, cafe_err *err) {
  int code = node_may_block(node, err);
  if (!code && node->state != NODE_DRAINING)
    code = cafe_node_drain(node, NULL, NULL, err);
  int64_t until_us = timeout_ms > 0 ? node_after_us(node, timeout_ms) : INT64_MAX;
  while (!code && node->state == NODE_DRAINING && !node->is_drained) {
    int64_t left_us = until_us - node_now_us(node);
    if (left_us <= 0)
      return cafe_fail(err, CAFE_TIMEOUT,
                       "the node isn't drained yet: wait on, or close it; what is left goes on at "
                       "its next start");
    code = node->loop->ops->turn(node->loop, until_us == INT64_MAX ? -1 : (left_us + 999) / 1000);
  }
  if (!code && !node->is_drained)
    code = cafe_fail(err, CAFE_CANCELED, "the node was closed while it was drained");
  return code;
}

int cafe_node_close(cafe_node *node, void (*done)(const cafe_err *err, void *user), void *user, cafe_err *err) {
  if (node->state != NODE_RUNNING && node->state != NODE_DRAINING)
    return cafe_fail(err, CAFE_INVALID, "only a running or draining node can be closed");
  node->state = NODE_CLOSING;
  node->closed = done;
  node->closed_user = user;
  consume_close(node);
  tail_close(node);
  rebuild_close(node);
  request_close(node);
  if (node->transport)
    node->transport->ops->close(node->transport);
  publish_close(node);
  key_close(node);
  /* First those that wait for their turn at a worker, or each that is stopped would make room for another. */
  for (map_entry *entry = map_first(node->subjects); entry; entry = map_next(entry))
    task_drop_held(map_value(entry));
  for (map_entry *entry = map_first(node->subjects); entry; entry = map_next(entry))
    task_stop_all(map_value(entry));
  node->is_closing_ops = true; /* in the next turn: completions never run inside this call */
  node_pump(node);
  return CAFE_OK;
}

void cafe_node_destroy(cafe_node *node) {
  if (!node)
    return;
  assert(!node->is_turning && "cafe_node_destroy must not be called from a completion");
  if (node->state == NODE_RUNNING || node->state == NODE_DRAINING)
    cafe_node_close(node, NULL, NULL, NULL);
  while (node->state == NODE_CLOSING) {
    int code = node->loop->ops->turn(node->loop, -1);
    assert(code == CAFE_OK && "cafe_node_destroy must not be called while the loop is turned, as by another node");
    (void)code;
  }
  rebuild_destroy(node);
  tail_destroy(node);
  consume_destroy(node);
  guard_destroy(node);
  publish_destroy(node);
  timer_destroy(node);
  commit_destroy(node);
  census_destroy(node);
  registry_destroy(node);
  map_destroy(node->subjects);
  heap_destroy(node->due);
  heap_destroy(node->deadlines);
  heap_destroy(node->retries);
  cafe_arena_destroy(node->call_arena);
  empty_pool(&node->small_arenas);
  empty_pool(&node->large_arenas);
  node_free(node, node->heads);
  node_free(node, node->name);
  cafe_allocator allocator = node->allocator;
  allocator.resize(node, 0, allocator.user);
}

void cafe_node_stats_get(const cafe_node *node, cafe_node_stats *out) {
  size_t size = out->size < sizeof node->stats ? out->size : sizeof node->stats;
  cafe_node_stats stats = node->stats;
  stats.size = out->size;
  stats.queued = node->op_count;
  stats.cached = map_count(node->subjects);
  stats.refused_links = consume_refused(node);
  memcpy(out, &stats, size);
}
