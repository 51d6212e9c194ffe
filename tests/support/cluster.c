/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The cluster's nodes, its faults and its clients. What is kept here: a node that is killed leaves nothing but what its
 * store holds. All its memory is one heap, its timers and jobs are one loop's, its calls of the gateway and its
 * messages go through ends that are let go of with it; so whatever reaches into a dead node is found by
 * AddressSanitizer. A SQLite file is put back as it was at that moment, with its WAL, after its store was closed: that
 * is what the system keeps of a process that dies. SQLite runs in the loop's jobs, one at a time, so that a seed does
 * the same each time.
 */
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <cmocka.h>

#include "base/hash.h"
#include "cafe/store/memory.h"
#include "cafe/store/sqlite.h"
#include "cafe/sys/store.h"
#include "cafe/sys/transport.h"
#include "channel/channel.h"
#include "disk_vfs.h"
#include "gateway/gateway.h"
#include "repeats.h"
#include "spoils.h"
#include "sqlite_file.h"
#include "store/sqlite_store.h"

enum {
  STEPS_MAX = 1000000,
  CLOSE_MAX_US = 2000000 /* what was asked of a store may take a while; nothing else is waited for */
};

/* ---- where the library ends, and the test begins ---- */

static bool arm(const cluster *c, bool is_armed) { return c->options.arm && c->options.arm(is_armed); }

/* ---- chance ---- */

uint64_t cluster_setting(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text && text[0] ? strtoull(text, NULL, 10) : otherwise;
}

uint64_t cluster_random(cluster *c, uint64_t below) {
  c->dice += UINT64_C(0x9e3779b97f4a7c15);
  return below ? hash_u64(c->dice) % below : 0;
}

bool cluster_chance(cluster *c, int percent) { return percent > 0 && (int)cluster_random(c, 100) < percent; }

static int64_t draw_delay_us(cluster *c) {
  int64_t jitter = c->chances.jitter_ms;
  return (c->chances.delay_ms + (jitter ? (int64_t)cluster_random(c, (uint64_t)jitter + 1) : 0)) * 1000;
}

/* ---- the gateway, as one node sees it: the sandbox behind an end that dies with the node ---- */

typedef struct front_call {
  gateway_call inner;
  cafe_gateway_call *outer;
  cluster *cluster;
  struct front_call *prev, *next;
} front_call;

typedef struct cluster_front {
  cafe_gateway base;
  cluster *cluster;
  front_call *calls;
} cluster_front;

static void front_answered(gateway_call *inner, cafe_gateway_result result, cafe_slice reference, const char *text) {
  front_call *call = (front_call *)inner;
  cafe_gateway_call *outer = call->outer;
  DL_DELETE(call->cluster->front->calls, call);
  cafe_gateway_answer(outer, result, reference, text);
  free(call);
}

static void draw_mode(cluster *c) {
  const cluster_chances *chances = &c->chances;
  cafe_sandbox_settings settings = {.size = sizeof settings};
  int dice = (int)cluster_random(c, 100);
  settings.mode = CAFE_SANDBOX_APPROVE;
  if (dice < chances->decline)
    settings.mode = CAFE_SANDBOX_DECLINE;
  else if (dice < chances->decline + chances->error)
    settings.mode = CAFE_SANDBOX_ERROR;
  settings.delay_ms = chances->delay_ms;
  settings.jitter_ms = chances->jitter_ms;
  settings.capacity = chances->capacity;
  assert_int_equal(cafe_sandbox_set(c->sandbox, &settings, NULL), CAFE_OK);
  if (!cluster_chance(c, chances->hang))
    return;
  settings.mode = CAFE_SANDBOX_HANG;
  assert_int_equal(cafe_sandbox_set(c->sandbox, &settings, NULL), CAFE_OK);
}

static uint32_t concurrency(const cluster *c) {
  return c->options.payment_concurrency ? c->options.payment_concurrency : 1000;
}

static int front_start(cafe_gateway *self, cafe_gateway_call *outer, cafe_err *err) {
  cluster_front *front = (cluster_front *)self;
  bool was_armed = arm(front->cluster, false);
  front_call *call = calloc(1, sizeof *call);
  assert_non_null(call);
  call->inner.call = *outer;
  call->inner.answered = front_answered;
  call->outer = outer;
  call->cluster = front->cluster;
  draw_mode(front->cluster);
  arm(front->cluster, was_armed);
  int code = front->cluster->sandbox->ops->start(front->cluster->sandbox, &call->inner.call, err);
  if (code) {
    free(call);
    return code;
  }
  DL_APPEND(front->calls, call);
  uint32_t count = 0;
  DL_COUNT(front->calls, call, count);
  if (count > concurrency(front->cluster))
    cluster_violation(front->cluster, "bulkhead", outer->payment_id, "%u calls of the gateway are under way", count);
  return CAFE_OK;
}

bool cluster_is_paying(const cluster *c) { return c->front->calls != NULL; }

static void front_let_go(front_call *call) {
  cluster *c = call->cluster;
  DL_DELETE(c->front->calls, call);
  c->sandbox->ops->stop(c->sandbox, &call->inner.call);
  free(call);
}

static void front_stop(cafe_gateway *self, cafe_gateway_call *outer) {
  cluster_front *front = (cluster_front *)self;
  front_call *call;
  DL_FOREACH(front->calls, call) if (call->outer == outer) break;
  assert_non_null(call);
  front_let_go(call);
}

static void front_destroy(cafe_gateway *self) { free(self); }

static const cafe_gateway_ops front_ops = {sizeof front_ops, "front", front_start, front_stop, front_destroy};

/* ---- the channel ---- */

typedef struct cluster_delivery {
  cafe_delivery *delivery;
  cluster *cluster;
  cafe_timer timer;
  bool is_delivered, is_silent, is_failed;
  struct cluster_delivery *prev, *next;
} cluster_delivery;

typedef struct cluster_channel {
  cafe_channel base;
  cluster *cluster;
  cluster_delivery *deliveries;
} cluster_channel;

static void delivery_free(cluster_delivery *sent) {
  cluster *c = sent->cluster;
  c->world->ops->timer_stop(c->world, &sent->timer);
  DL_DELETE(c->channel->deliveries, sent);
  free(sent);
}

/* The receiver's end: deliveries of one order come in their order, but for repeats. */
static void deliver(cluster *c, const cafe_delivery *delivery) {
  uint64_t key = 0;
  int64_t number = 0;
  if (c->is_blind)
    return;
  int fields = sscanf(delivery->notification_id, "%llu-%lld", (unsigned long long *)&key, (long long *)&number);
  cluster_look(c);
  cluster_order *order = cluster_find(c, key);
  if (fields != 2 || key != delivery->order_id || !order)
    cluster_violation(c, "I5", delivery->order_id, "a message with the id %s was sent", delivery->notification_id);
  cluster_message *message;
  LL_FOREACH(order->messages, message) if (message->number == number) break;
  if (!message || !cafe_slice_equal(delivery->event, cafe_text(message->event)))
    cluster_violation(c, "I5", key, "message %s (%.*s) was sent, and never queued", delivery->notification_id,
                      (int)delivery->event.size, delivery->event.data);
  if (message->deliveries++ == 0 && number < order->last_delivered)
    cluster_violation(c, "I5", key, "message %lld came after message %lld", (long long)number,
                      (long long)order->last_delivered);
  if (number > order->last_delivered)
    order->last_delivered = number;
}

static void delivery_due(cafe_timer *timer) {
  cluster_delivery *sent = timer->user;
  bool was_armed = arm(sent->cluster, false);
  if (sent->is_delivered)
    deliver(sent->cluster, sent->delivery);
  arm(sent->cluster, was_armed);
  if (sent->is_silent)
    return;
  cafe_delivery *delivery = sent->delivery;
  bool is_failed = sent->is_failed;
  delivery_free(sent);
  cafe_err err;
  cafe_fail(&err, CAFE_UNAVAILABLE, "the receiver is out");
  cafe_delivery_answer(delivery, is_failed ? &err : NULL);
}

static int channel_send(cafe_channel *self, cafe_delivery *delivery, cafe_err *err) {
  cluster *c = ((cluster_channel *)self)->cluster;
  int dice = (int)cluster_random(c, 100);
  bool was_armed = arm(c, false);
  cluster_delivery *sent = calloc(1, sizeof *sent);
  assert_non_null(sent);
  sent->delivery = delivery;
  sent->cluster = c;
  sent->timer.fire = delivery_due;
  sent->timer.user = sent;
  bool is_lost = dice < c->chances.lost;
  bool is_silent = dice < c->chances.lost + c->chances.silent;
  sent->is_failed = !is_silent && dice < c->chances.lost + c->chances.silent + c->chances.fail;
  sent->is_silent = is_silent;
  sent->is_delivered = !is_lost && !sent->is_failed;
  DL_APPEND(c->channel->deliveries, sent);
  int code = c->world->ops->timer_start(c->world, &sent->timer, cafe_sim_now_us(c->world) + draw_delay_us(c), err);
  arm(c, was_armed);
  return code;
}

static void channel_stop(cafe_channel *self, cafe_delivery *delivery) {
  cluster_delivery *sent;
  DL_FOREACH(((cluster_channel *)self)->deliveries, sent) if (sent->delivery == delivery) break;
  assert_non_null(sent);
  delivery_free(sent);
}

static void channel_destroy(cafe_channel *self) { free(self); }

static const cafe_channel_ops channel_ops = {sizeof channel_ops, channel_send, channel_stop, channel_destroy};

/* ---- stores ---- */

static void file_name(char out[64], const cluster_node *n, const char *suffix) {
  snprintf(out, 64, "cluster-%d%s", (int)(n - n->cluster->nodes), suffix);
}

static int open_inner(cluster_node *n) {
  cafe_memory_options memory = CAFE_MEMORY_OPTIONS_INIT;
  cafe_sqlite_options sqlite = CAFE_SQLITE_OPTIONS_INIT;
  char path[64];
  if (!n->cluster->options.is_sqlite) {
    memory.is_threaded = n->cluster->options.is_threaded;
    return cafe_memory_create(&n->inner, &memory, NULL);
  }
  file_name(path, n, ".db");
  sqlite.vfs = DISK_VFS;
  return cafe_sqlite_create(&n->inner, path, &sqlite, NULL);
}

/* Fails only where memory is refused; there is no store then. */
static int open_store(cluster_node *n) {
  bool was_armed = arm(n->cluster, true);
  int code = open_inner(n);
  if (!code)
    code = cafe_faulty_store_create(&n->store, n->inner, NULL, NULL);
  arm(n->cluster, was_armed);
  if (code) {
    assert_int_equal(code, CAFE_NOMEM);
    cafe_store_destroy(n->inner);
    n->inner = NULL;
  }
  return code;
}

static void close_store(cluster_node *n) {
  cafe_store_destroy(n->store);
  cafe_store_destroy(n->inner);
  n->store = n->inner = NULL;
}

typedef enum node_end { END_CLOSED, END_KILLED, END_POWER_LOST } node_end;

/* A file's store serves one life of its node. */
static void end_store(cluster_node *n, node_end how) {
  cluster *c = n->cluster;
  char path[64], kept[64];
  if (!c->options.is_sqlite)
    return;
  uint64_t moment = how == END_POWER_LOST ? disk_moment() : 0;
  file_name(path, n, ".db");
  file_name(kept, n, ".killed");
  if (how == END_KILLED)
    sqlite_file_copy(path, kept);
  close_store(n);
  if (how == END_KILLED)
    sqlite_file_copy(kept, path);
  if (how == END_CLOSED)
    return;
  if (how == END_POWER_LOST)
    disk_lose_power(moment, (disk_loss)(1 + cluster_random(c, DISK_LOSSES - 1)), cluster_random(c, UINT64_MAX), NULL);
  if (c->options.loses_power)
    disk_remember();
}

static void remove_files(const cluster_node *n) {
  char path[64];
  if (!n->cluster->options.is_sqlite)
    return;
  file_name(path, n, ".db");
  sqlite_file_remove(path);
  file_name(path, n, ".killed");
  sqlite_file_remove(path);
}

/* ---- nodes ---- */

static void keep_line(const cafe_log_record *record, void *user) {
  cluster_node *n = user;
  cluster *c = n->cluster;
  cluster_log_line *line = &c->lines[c->line_count++ % CLUSTER_LINES];
  snprintf(line->text, sizeof line->text, "%10.3f node %d key %llu: %s", (double)cafe_sim_now_us(c->world) / 1000.0,
           (int)(n - c->nodes), (unsigned long long)record->key, record->text);
}

cluster_node *cluster_node_of(cluster *c, int service) { return &c->nodes[c->options.is_split ? service : 0]; }

static void let_go(cluster_node *n) {
  cluster *c = n->cluster;
  if (n->services & CAFE_SHOP_PAY)
    while (c->front->calls)
      front_let_go(c->front->calls);
  if (n->services & CAFE_SHOP_CUSTOMER)
    while (c->channel->deliveries)
      delivery_free(c->channel->deliveries);
}

static void end_life(cluster_node *n, node_end how) {
  cluster *c = n->cluster;
  if (!n->node)
    return;
  cafe_sim_crash(n->loop);
  n->transport->ops->close(n->transport);
  let_go(n);
  cluster_call *call;
  DL_FOREACH(c->calls, call) {
    if (!call->op || cluster_node_of(c, call->service) != n)
      continue;
    call->op = NULL;
    call->is_lost = true;
  }
  end_store(n, how);
  process_heap_drop(&n->heap);
  n->node = NULL;
  n->shop = NULL;
}

void cluster_kill(cluster *c, int service) { end_life(cluster_node_of(c, service), END_KILLED); }

void cluster_lose_power(cluster *c) {
  assert_true(c->options.loses_power);
  end_life(c->nodes, END_POWER_LOST);
}

static void node_closed(const cafe_err *err, void *user) {
  assert_null(err);
  *(bool *)user = true;
}

void cluster_stop(cluster *c, int service) {
  cluster_node *n = cluster_node_of(c, service);
  if (!n->node)
    return;
  bool is_closed = false;
  int64_t from_us = cafe_sim_now_us(c->world);
  assert_int_equal(cafe_node_close(n->node, node_closed, &is_closed, NULL), CAFE_OK);
  uint64_t steps = 0;
  while (!is_closed) {
    bool was_armed = arm(c, true);
    bool happened = cafe_sim_step(c->world);
    arm(c, was_armed);
    cluster_look(c);
    if (!is_closed && (!happened || ++steps > STEPS_MAX || cafe_sim_now_us(c->world) > from_us + CLOSE_MAX_US))
      cluster_violation(c, "close", 0, "node %d is still not closed", service);
  }
  cafe_node_destroy(n->node);
  cafe_shop_destroy(n->shop);
  n->node = NULL;
  n->shop = NULL;
  if (n->heap.live)
    cluster_violation(c, "memory", 0, "node %d left %zu blocks behind", service, n->heap.live);
  const cluster_call *call;
  DL_FOREACH(c->calls, call) {
    if (call->op && cluster_node_of(c, call->service) == n)
      cluster_violation(c, "answers", call->key, "%s was never answered by a node that is closed", call->command->name);
  }
  cluster_look(c);
  end_store(n, END_CLOSED);
}

void cluster_break(cluster *c, int service) {
  cluster_node *n = cluster_node_of(c, service);
  if (n->store)
    cafe_faulty_store_kill(n->store);
  cluster_stop(c, service);
}

static int create_node(cluster_node *n, cafe_err *err) {
  cluster *c = n->cluster;
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  cafe_shop_options shop = CAFE_SHOP_OPTIONS_INIT;
  cafe_channel *channels[] = {&c->channel->base};
  options.loop = n->loop;
  options.store = n->store;
  options.transport = n->transport;
  options.allocator = &n->heap.allocator;
  options.log.write = keep_line;
  options.log.user = n;
  options.log.level = CAFE_LOG_WARN;
  options.max_queued = c->options.max_queued;
  options.max_batch = c->options.max_batch;
  options.max_cached = c->options.max_cached;
  options.id_block = c->options.id_block;
  int code = cafe_node_create(&n->node, &options, err);
  if (code)
    return code;
  shop.services = n->services;
  shop.gateway = &c->front->base;
  shop.channels = channels;
  shop.channel_count = 1;
  shop.gateway_retry = c->options.gateway_retry;
  shop.channel_retry = c->options.channel_retry;
  shop.payment_concurrency = concurrency(c);
  shop.breaker_volume = c->options.breaker_volume;
  shop.breaker_sleep_ms = c->options.breaker_sleep_ms;
  code = cafe_shop_create(&n->shop, n->node, &shop, err);
  return code ? code : cafe_node_start(n->node, err);
}

void cluster_set_faults(cluster *c, int service, const cafe_store_faults *faults) {
  cluster_node *n = cluster_node_of(c, service);
  if (!n->store)
    return;
  cafe_faulty_store_set(n->store, faults);
  n->read_calls = UINT64_MAX; /* its calls are counted anew */
}

int cluster_start(cluster *c, int service) {
  cluster_node *n = cluster_node_of(c, service);
  if (n->node)
    return CAFE_OK;
  if (!n->store && open_store(n))
    return CAFE_NOMEM;
  cafe_faulty_store_revive(n->store);
  cluster_set_faults(c, service, n->starts || n != c->nodes ? NULL : c->options.faults);
  n->starts++;
  n->is_stuck = false;
  cafe_err err = {0};
  bool was_armed = arm(c, true);
  int code = create_node(n, &err);
  arm(c, was_armed);
  if (!code)
    return CAFE_OK;
  cafe_node_destroy(n->node);
  cafe_shop_destroy(n->shop);
  n->node = NULL;
  n->shop = NULL;
  if (n->heap.live)
    cluster_violation(c, "memory", 0, "a node that didn't start left %zu blocks", n->heap.live);
  cafe_store_counts counts = {.size = sizeof counts};
  cafe_faulty_store_count(n->store, &counts);
  if (code != CAFE_NOMEM && !counts.faults)
    cluster_violation(c, "start", 0, "node %d: %s", service, err.text);
  end_store(n, END_CLOSED);
  return code;
}

/* ---- backups ---- */

static void backup_done(const cafe_err *err, void *user) {
  if (err)
    fail_msg("no backup: %s", err->text);
  *(bool *)user = true;
}

void cluster_back_up(cluster *c, int service, const char *path) {
  bool is_done = false;
  uint64_t steps = 0;
  assert_int_equal(cafe_node_backup(NULL, cluster_node_of(c, service)->node, path, backup_done, &is_done, NULL),
                   CAFE_OK);
  while (!is_done)
    if (!cluster_step(c) || ++steps > STEPS_MAX)
      cluster_violation(c, "answers", 0, "a backup is never done");
}

void cluster_restore(cluster *c, int service, const char *path) {
  cluster_node *n = cluster_node_of(c, service);
  cafe_sqlite_options options = CAFE_SQLITE_OPTIONS_INIT;
  cafe_err err;
  char file[64];
  assert_null(n->node);
  assert_null(n->store);
  c->is_blind = true;
  file_name(file, n, ".db");
  sqlite_file_remove(file);
  options.vfs = DISK_VFS;
  if (sqlite_restore(file, path, &options, c->world->ops->utc_ms(c->world), &err))
    fail_msg("no store: %s", err.text);
}

void cluster_see_again(cluster *c) {
  map_clear(c->orders);
  map_clear(c->client_keys);
  for (int i = 0; i < c->node_count; i++) {
    c->nodes[i].read_n = 0;
    c->nodes[i].read_calls = UINT64_MAX;
    map_clear(c->nodes[i].touched);
  }
  c->is_blind = false;
  c->is_rereading = true;
  cluster_look(c);
  c->is_rereading = false;
}

bool cluster_bury(cluster *c) {
  bool is_any = false;
  for (int i = 0; i < c->node_count; i++) {
    cafe_store_counts counts = {.size = sizeof counts};
    if (!c->nodes[i].node)
      continue;
    cafe_faulty_store_count(c->nodes[i].store, &counts);
    if (!counts.is_dead && !c->nodes[i].is_stuck)
      continue;
    cluster_kill(c, i);
    is_any = true;
  }
  return is_any;
}

/* ---- the whole ---- */

static void create_loop(cluster_node *n) {
  assert_int_equal(cafe_sim_join(&n->loop, n->cluster->world, NULL), CAFE_OK);
  remove_files(n);
  assert_int_equal(cafe_inproc_join(&n->port, n->cluster->hub, NULL), CAFE_OK);
  const cluster_options *options = &n->cluster->options;
  assert_false(options->repeats && options->spoils);
  n->transport = options->repeats  ? repeats_create(n->port, n->cluster->world)
                 : options->spoils ? spoils_create(n->port, options->seed)
                                   : n->port;
  n->touched = map_create(NULL, MAP_U64);
  assert_non_null(n->touched);
}

static void create_ends(cluster *c) {
  assert_int_equal(cafe_sandbox_create(&c->sandbox, c->world, NULL, NULL, NULL), CAFE_OK);
  c->front = calloc(1, sizeof *c->front);
  c->channel = calloc(1, sizeof *c->channel);
  assert_non_null(c->front);
  assert_non_null(c->channel);
  c->front->base.ops = &front_ops;
  c->front->cluster = c;
  c->channel->base.ops = &channel_ops;
  c->channel->base.name = "test";
  c->channel->cluster = c;
}

cluster *cluster_create(const cluster_options *options) {
  cluster *c = calloc(1, sizeof *c);
  assert_non_null(c);
  c->options = *options;
  c->dice = hash_u64(options->seed + 1);
  if (!c->options.gateway_retry.initial_ms)
    c->options.gateway_retry = (cafe_retry){50, 1000, 12, 800};
  if (!c->options.channel_retry.initial_ms)
    c->options.channel_retry = (cafe_retry){50, 1000, 12, 800};
  cafe_sim_options sim = CAFE_SIM_OPTIONS_INIT;
  sim.job_max_us = options->job_max_us;
  sim.late_max_us = options->late_max_us;
  assert_int_equal(cafe_sim_create(&c->world, options->seed, &sim, NULL), CAFE_OK);
  assert_int_equal(cafe_inproc_create(&c->hub, c->world, NULL, NULL), CAFE_OK);
  create_ends(c);
  c->orders = map_create(NULL, MAP_U64);
  c->client_keys = map_create(NULL, MAP_BYTES);
  c->arena = cafe_arena_create(NULL);
  assert_true(c->orders && c->client_keys && c->arena);
  c->node_count = options->is_split ? CLUSTER_SERVICES : 1;
  if (options->is_sqlite)
    disk_begin("cluster-0.db"); /* it needs no real disk's time */
  for (int i = 0; i < c->node_count; i++) {
    cluster_node *n = &c->nodes[i];
    n->cluster = c;
    n->services = options->is_split ? 1u << i : CAFE_SHOP_ALL;
    process_heap_init(&n->heap, options->allocator);
    create_loop(n);
  }
  if (options->loses_power)
    disk_remember();
  for (int i = 0; i < c->node_count; i++)
    cluster_start(c, i);
  return c;
}

void cluster_destroy(cluster *c) {
  for (int i = 0; i < c->node_count; i++)
    cluster_stop(c, i);
  for (int i = 0; i < c->node_count; i++) {
    cluster_node *n = &c->nodes[i];
    if (n->transport != n->port)
      cafe_transport_destroy(n->transport);
    cafe_transport_destroy(n->port);
    close_store(n);
    remove_files(n);
    map_destroy(n->touched);
  }
  cafe_inproc_destroy(c->hub);
  cafe_gateway_destroy(c->sandbox);
  cafe_gateway_destroy(&c->front->base);
  cafe_channel_destroy(&c->channel->base);
  for (int i = 0; i < c->node_count; i++)
    cafe_loop_destroy(c->nodes[i].loop);
  cafe_loop_destroy(c->world);
  if (c->options.is_sqlite)
    disk_end();
  while (c->calls) {
    cluster_call *call = c->calls;
    DL_DELETE(c->calls, call);
    free(call);
  }
  map_destroy(c->orders);
  map_destroy(c->client_keys);
  cafe_arena_destroy(c->arena);
  free(c);
}

/* ---- time ---- */

bool cluster_step(cluster *c) {
  bool was_armed = arm(c, true);
  bool happened = cafe_sim_step(c->world);
  arm(c, was_armed);
  c->steps++;
  cluster_look(c);
  return cluster_bury(c) || happened;
}

static void run_out(cafe_timer *timer) { *(bool *)timer->user = true; }

void cluster_run(cluster *c, int64_t ms) {
  bool is_over = false;
  cafe_timer timer = {.fire = run_out, .user = &is_over};
  int64_t due_us = cafe_sim_now_us(c->world) + ms * 1000;
  assert_int_equal(c->world->ops->timer_start(c->world, &timer, due_us, NULL), CAFE_OK);
  while (!is_over)
    cluster_step(c);
}

void cluster_rest(cluster *c) {
  uint64_t steps = 0;
  while (cluster_step(c))
    if (++steps > STEPS_MAX)
      cluster_violation(c, "rest", 0, "it doesn't come to rest");
}

void cluster_heal(cluster *c) {
  memset(&c->chances, 0, sizeof c->chances);
  cafe_inproc_set_faults(c->hub, NULL);
  static const char *const names[] = {"app", "pay", "store", "customer", "dashboard"};
  for (int i = 0; i < CLUSTER_SERVICES; i++)
    cafe_inproc_cut(c->hub, names[i], false);
  for (int i = 0; i < c->node_count; i++) {
    cluster_set_faults(c, i, NULL);
    assert_int_equal(cluster_start(c, i), CAFE_OK);
  }
  cluster_spoil(c, 0);
  cluster_mend_all(c);
}

static cafe_ticket_action next_action(cluster *c, cafe_ticket_status status) {
  switch (status) {
  case CAFE_TICKET_RECEIVED:
    return cluster_chance(c, 10) ? CAFE_TICKET_REJECT : CAFE_TICKET_ACCEPT;
  case CAFE_TICKET_ACCEPTED:
    return CAFE_TICKET_START;
  case CAFE_TICKET_PREPARING:
    return cluster_chance(c, 10) ? CAFE_TICKET_FAIL : CAFE_TICKET_FINISH;
  case CAFE_TICKET_READY:
    return CAFE_TICKET_HAND_OUT;
  default:
    return (cafe_ticket_action)0;
  }
}

void cluster_finish(cluster *c) {
  bool is_open = true;
  while (is_open) {
    /* Tickets that are due to come, come; then nothing may fire but what the owner leaves undone for long. */
    cluster_run(c, 5000);
    is_open = false;
    for (map_entry *entry = map_first(c->orders); entry; entry = map_next(entry)) {
      const cluster_order *order = map_value(entry);
      cafe_ticket_action action = next_action(c, order->ticket.status);
      bool is_parked = order->payment.status == CAFE_PAYMENT_FAILED;
      is_open = is_open || action || is_parked;
      if (action)
        cluster_act(c, order->key, action);
      if (is_parked)
        cluster_retry(c, order->key);
    }
  }
  cluster_rest(c);
}

/* ---- clients ---- */

typedef struct kept_reply {
  char text[64];
} kept_reply;

static bool is_for_ever(const cafe_outcome *outcome) {
  if (outcome->verdict != CAFE_REFUSED)
    return true;
  if (strcmp(outcome->reason, "payment-declined") == 0)
    return true;
  return outcome->event && outcome->event->type == &cafe_draft_dropped_type &&
         ((const cafe_draft_dropped *)outcome->event->data)->reason == CAFE_DROP_DECLINED;
}

static int make_reply(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user) {
  char text[64];
  (void)user;
  *out = (cafe_slice){NULL, 0};
  if (!is_for_ever(outcome))
    return CAFE_OK;
  snprintf(text, sizeof text, "%s %llu", outcome->verdict == CAFE_REFUSED ? "declined" : "order",
           (unsigned long long)outcome->key);
  return cafe_arena_copy(out, arena, cafe_text(text));
}

static int see_acknowledged(const cafe_stored_event *stored, void *user) {
  const cafe_outcome *outcome = user;
  return stored->n == outcome->position.n && stored->key == outcome->key &&
                 stored->version == outcome->event->version && strcmp(stored->type, outcome->event->type->name) == 0
             ? CAFE_NOT_FOUND /* it is found: anything that isn't CAFE_OK ends the read */
             : CAFE_OK;
}

/* What is acknowledged is in the store by now. */
static void check_event(cluster_call *call, const cafe_outcome *outcome) {
  cluster *c = call->cluster;
  cafe_store *inner = cluster_node_of(c, call->service)->inner;
  cafe_log_query query = {sizeof query, 0, outcome->position.n - 1, 1, NULL, 0, 0};
  cafe_outcome wanted = *outcome;
  if (inner->ops->read_log(inner, &query, see_acknowledged, &wanted, NULL) != CAFE_NOT_FOUND)
    cluster_violation(c, "I8", outcome->key, "%s was answered by %s v%llu at %llu, which the store doesn't hold",
                      call->command->name, outcome->event->type->name, (unsigned long long)outcome->event->version,
                      (unsigned long long)outcome->position.n);
}

static void check_reply(cluster_call *call) {
  cluster *c = call->cluster;
  if (!call->client_key[0] || !call->reply[0])
    return;
  kept_reply *kept = map_get_bytes(c->client_keys, cafe_text(call->client_key));
  if (!kept) {
    kept = cafe_arena_alloc(c->arena, sizeof *kept);
    assert_non_null(kept);
    memcpy(kept->text, call->reply, sizeof kept->text);
    assert_int_equal(map_put_bytes(c->client_keys, cafe_text(call->client_key), kept), CAFE_OK);
  } else if (strcmp(kept->text, call->reply) != 0) {
    cluster_violation(c, "I8", call->key, "the key %s was answered by \"%s\", and now by \"%s\"", call->client_key,
                      kept->text, call->reply);
  }
}

/* No permit, no draft. */
static void check_refused(cluster_call *call) {
  cluster *c = call->cluster;
  cluster_look(c);
  if (call->verdict != CAFE_REFUSED || call->event || call->reply[0] || cluster_find(c, call->key))
    cluster_violation(c, "guard", call->key, "it was refused by the guard, and left something");
}

static void see_answer(cluster_call *call, const cafe_err *err, const cafe_outcome *outcome) {
  call->op = NULL;
  call->is_done = true;
  if (++call->times > 1)
    cluster_violation(call->cluster, "answers", call->key, "an answer came twice");
  if (err) {
    call->code = err->code;
    snprintf(call->reason, sizeof call->reason, "%.40s", err->text);
    return;
  }
  call->verdict = outcome->verdict;
  call->key = outcome->key;
  call->version = outcome->version;
  call->position = outcome->position;
  call->event = outcome->event ? outcome->event->type : NULL;
  call->replayed = outcome->replayed;
  call->retry_after_ms = outcome->retry_after_ms;
  if (call->retry_after_ms)
    check_refused(call);
  if (outcome->reason)
    snprintf(call->reason, sizeof call->reason, "%s", outcome->reason);
  snprintf(call->reply, sizeof call->reply, "%.*s", (int)outcome->reply.size,
           outcome->reply.data ? outcome->reply.data : "");
  if (outcome->event && outcome->event->position.n)
    check_event(call, outcome);
  check_reply(call);
}

static void call_done(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  cluster_call *call = user;
  bool was_armed = arm(call->cluster, false);
  see_answer(call, err, outcome);
  arm(call->cluster, was_armed);
}

cluster_call *cluster_submit(cluster *c, int service, const cafe_schema *command, uint64_t key, const void *data,
                             int64_t timeout_ms, const char *client_key) {
  cluster_node *n = cluster_node_of(c, service);
  cafe_submit submit = CAFE_SUBMIT_INIT;
  char fingerprint[32];
  if (!n->node)
    return NULL;
  cluster_call *call = calloc(1, sizeof *call);
  assert_non_null(call);
  call->cluster = c;
  call->service = service;
  call->command = command;
  call->key = key;
  submit.command = command;
  submit.key = key;
  submit.data = data;
  submit.data_size = command->width;
  submit.timeout_ms = timeout_ms;
  cafe_client_key named = {cafe_text("POST /orders"), {NULL, 0}, {NULL, 0}};
  if (client_key) {
    snprintf(call->client_key, sizeof call->client_key, "%s", client_key);
    snprintf(fingerprint, sizeof fingerprint, "body of %s", client_key);
    named.key = cafe_text(call->client_key);
    named.fingerprint = cafe_text(fingerprint);
    submit.client_key = &named;
    submit.reply = make_reply;
  }
  cafe_err err;
  bool was_armed = arm(c, true);
  int code = cafe_node_submit(&call->op, n->node, &submit, call_done, call, &err);
  arm(c, was_armed);
  if (code) {
    free(call);
    return NULL;
  }
  DL_APPEND(c->calls, call);
  c->call_count++;
  return call;
}

cluster_call *cluster_place(cluster *c, int64_t amount, const char *token, const char *client_key) {
  cafe_place_order place = {
      .product_id = cafe_text("latte"),
      .qty = 1,
      .customer_id = cafe_text("kim"),
      .amount_minor = amount,
      .payment_token = cafe_text(token),
  };
  return cluster_submit(c, CLUSTER_APP, &cafe_place_order_type, 0, &place, 0, client_key);
}

cluster_call *cluster_cancel(cluster *c, uint64_t key) {
  cafe_request_cancel cancel = {.by = CAFE_CANCEL_BY_CUSTOMER, .reason = cafe_text("changed my mind")};
  return cluster_submit(c, CLUSTER_APP, &cafe_request_cancel_type, key, &cancel, 0, NULL);
}

cluster_call *cluster_act(cluster *c, uint64_t key, cafe_ticket_action action) {
  cafe_act_on_ticket act = {.action = action};
  return cluster_submit(c, CLUSTER_STORE, &cafe_act_on_ticket_type, key, &act, 0, NULL);
}

cluster_call *cluster_retry(cluster *c, uint64_t key) {
  cafe_retry_payment retry = {cafe_text("the gateway was mended")};
  return cluster_submit(c, CLUSTER_PAY, &cafe_retry_payment_type, key, &retry, 0, NULL);
}

void cluster_wait(cluster *c, cluster_call *call) {
  uint64_t steps = 0;
  while (!call->is_done && !call->is_lost) {
    bool happened = cluster_step(c);
    if (!call->is_done && (!happened || ++steps > STEPS_MAX))
      cluster_violation(c, "answers", call->key, "%s is never answered", call->command->name);
  }
}
