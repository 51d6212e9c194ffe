/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The shop of the traces. What it keeps: the same script does the same, line by line. So the world is orderly, nothing
 * is drawn but by the library itself, from a fixed seed, and nothing is told before all that a first order causes once
 * (blocks of keys, subscriptions) is over.
 */
#include "trace_shop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utlist.h>

#include "cafe/store/memory.h"
#include "cafe/sys/loop.h"
#include "cafe/testing/sim.h"
#include "engine/node.h"

enum { SEED = 1041, JOB_US = 1000, MESSAGE_US = 1000, GATEWAY_MS = 37, CHANNEL_MS = 5, DELIVERIES_MAX = 64 };

typedef struct place {
  shop *shop;
  const char *name;
  unsigned services;
  cafe_loop *loop;
  cafe_store *inner, *store;
  cafe_transport *transport;
  cafe_arena *arena; /* all memory of the running node */
  cafe_allocator allocator;
  cafe_node *node; /* NULL: it is down */
  cafe_shop *services_made;
} place;

typedef struct shop_channel {
  cafe_channel base;
  shop *shop;
} shop_channel;

typedef struct sent {
  cafe_timer timer;
  cafe_delivery *delivery;
  shop *shop;
  int code;
  struct sent *prev, *next;
} sent;

struct shop {
  trace *trace;
  bool is_split;
  cafe_loop *world;
  cafe_inproc *hub;
  cafe_gateway *gateway;
  const cafe_gateway_ops *gateway_ops; /* its own, by which the sandbox knows itself */
  shop_channel channel;
  sent *sent;
  int fails, fail_code;
  uint32_t crashes, delivered_count;
  char delivered[DELIVERIES_MAX][40];
  place places[SHOP_NODES];
  int count;
  shop_call *calls;
};

trace *shop_trace(shop *s) { return s->trace; }

static place *place_of(const shop *s, shop_node node) { return (place *)&s->places[s->is_split ? (int)node : 0]; }

/* ---- memory: an arena, so that all of it goes at once when the node is killed ---- */

static void *take_memory(void *block, size_t size, void *user) {
  size_t *old = block ? (size_t *)(void *)((char *)block - 16) : NULL;
  if (size == 0) {
    return NULL;
  }
  char *made = cafe_arena_alloc(user, size + 16);
  assert_non_null(made);
  memcpy(made, &size, sizeof(size));
  if (old) {
    memcpy(made + 16, block, *old < size ? *old : size);
  }
  return made + 16;
}

/* ---- the channel ---- */

static void delivery_due(cafe_timer *timer) {
  sent *d = timer->user;
  shop *s = d->shop;
  cafe_delivery *delivery = d->delivery;
  cafe_err err;
  int code = d->code;
  DL_DELETE(s->sent, d);
  free(d);
  if (!code) {
    uint32_t known = 0;
    while (known < s->delivered_count && strcmp(s->delivered[known], delivery->notification_id) != 0) {
      known++;
    }
    assert_true(known < DELIVERIES_MAX);
    if (known == s->delivered_count) {
      snprintf(s->delivered[s->delivered_count++], sizeof(s->delivered[0]), "%s", delivery->notification_id);
    }
  } else {
    (void)cafe_fail(&err, (cafe_code)code, cafe_code_is_retryable(code) ? "the receiver is out" : "no such customer");
  }
  cafe_delivery_answer(delivery, code ? &err : NULL);
}

static int channel_send(cafe_channel *self, cafe_delivery *delivery, cafe_err *err) {
  shop *s = ((shop_channel *)self)->shop;
  sent *d = calloc(1, sizeof(*d));
  assert_non_null(d);
  d->timer.fire = delivery_due;
  d->timer.user = d;
  d->delivery = delivery;
  d->shop = s;
  if (s->fails > 0) {
    s->fails--;
    d->code = s->fail_code;
  }
  DL_APPEND(s->sent, d);
  return s->world->ops->timer_start(s->world, &d->timer, cafe_sim_now_us(s->world) + (int64_t)CHANNEL_MS * 1000, err);
}

static void channel_stop(cafe_channel *self, cafe_delivery *delivery) {
  shop *s = ((shop_channel *)self)->shop;
  sent *d;
  LL_SEARCH_SCALAR(s->sent, d, delivery, delivery);
  assert_non_null(d);
  s->world->ops->timer_stop(s->world, &d->timer);
  DL_DELETE(s->sent, d);
  free(d);
}

static void channel_destroy(cafe_channel *self) { (void)self; }

static const cafe_channel_ops channel_ops = {sizeof(channel_ops), channel_send, channel_stop, channel_destroy};

/* ---- nodes ---- */

static void tell_log(const cafe_log_record *record, void *user) {
  const place *p = user;
  trace_log(p->shop->trace, p->name, record);
}

static void start(place *p) {
  shop *s = p->shop;
  cafe_channel *channels[] = {&s->channel.base};
  cafe_node_options node = CAFE_NODE_OPTIONS_INIT;
  cafe_shop_options services = CAFE_SHOP_OPTIONS_INIT;
  cafe_err err;
  p->arena = cafe_arena_create(NULL);
  assert_non_null(p->arena);
  p->allocator = (cafe_allocator){take_memory, p->arena};
  node.name = p->name;
  node.loop = p->loop;
  node.store = p->store;
  node.transport = p->transport;
  node.allocator = &p->allocator;
  node.log = (cafe_log){tell_log, p, CAFE_LOG_WARN};
  services.services = p->services;
  services.gateway = s->gateway;
  services.channels = channels;
  services.channel_count = 1;
  if (cafe_node_create(&p->node, &node, &err) || cafe_shop_create(&p->services_made, p->node, &services, &err) ||
      cafe_node_start(p->node, &err)) {
    fail_msg("%s: %s", p->name, err.text);
  }
}

static void drop_memory(place *p) {
  p->node = NULL;
  p->services_made = NULL;
  cafe_arena_destroy(p->arena);
  p->arena = NULL;
}

static void stop(place *p) {
  if (p->node) {
    cafe_node_destroy(p->node);
    cafe_shop_destroy(p->services_made);
    drop_memory(p);
  }
}

void shop_kill(shop *s, shop_node node) {
  place *p = place_of(s, node);
  shop_call *call;
  trace_say(s->trace, p->name, "crash", "", "kill -9: all that was in memory is gone");
  s->crashes++;
  cafe_sim_crash(p->loop);
  if (p->transport) {
    p->transport->ops->close(p->transport);
  }
  trace_crashed(s->trace, p->name);
  LL_FOREACH(s->calls, call) {
    if (!call->is_done && place_of(s, call->node) == p) {
      call->is_lost = true;
    }
  }
  drop_memory(p);
}

void shop_start(shop *s, shop_node node) {
  place *p = place_of(s, node);
  cafe_faulty_store_revive(p->store);
  cafe_faulty_store_set(p->store, NULL);
  trace_say(s->trace, p->name, "start", "", "on the same store");
  start(p);
}

bool shop_is_up(const shop *s, shop_node node) { return place_of(s, node)->node != NULL; }

void shop_doom(shop *s, shop_node node, uint64_t commit, bool is_after) {
  cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
  *(is_after ? &faults.die_after_commit : &faults.die_before_commit) = commit;
  cafe_faulty_store_set(place_of(s, node)->store, &faults);
}

uint32_t shop_crashes(const shop *s) { return s->crashes; }

static void bury(shop *s) {
  for (int i = 0; i < s->count; i++) {
    cafe_store_counts counts = {.size = sizeof(counts)};
    cafe_faulty_store_count(s->places[i].store, &counts);
    if (counts.is_dead && s->places[i].node) {
      shop_kill(s, (shop_node)i);
    }
  }
}

/* ---- time ---- */

static void time_over(cafe_timer *timer) { *(bool *)timer->user = true; }

static void run_us(shop *s, int64_t until_us) {
  bool is_over = false;
  cafe_timer timer = {.fire = time_over, .user = &is_over};
  if (until_us <= cafe_sim_now_us(s->world)) {
    return;
  }
  assert_int_equal(s->world->ops->timer_start(s->world, &timer, until_us, NULL), CAFE_OK);
  while (!is_over) {
    assert_true(cafe_sim_step(s->world));
    bury(s);
  }
}

void shop_run(shop *s, int64_t until_ms) {
  run_us(s, cafe_sim_now_us(s->world) + (until_ms - trace_now_ms(s->trace)) * 1000);
}

void shop_rest(shop *s) {
  for (int steps = 0; cafe_sim_step(s->world); steps++) {
    assert_true(steps < 100000);
    bury(s);
  }
}

/* ---- the whole ---- */

/* 1039 orders were before: the next key is 1040. */
static void write_ids(cafe_store *store) {
  const cafe_table *tables[] = {&engine_tables[TABLE_IDS], NULL};
  cafe_store_setup setup = {sizeof(setup), "tests", tables};
  id_row next = {SHOP_ORDER - 1};
  cafe_row_write row = {.table = tables[0], .key = 1, .data = &next};
  cafe_unit unit = {.size = sizeof(unit), .key = 1, .rows = &row, .row_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_batch batch = {sizeof(batch), units, 1, arena};
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  assert_int_equal(store->ops->open(store, &info, &setup, NULL), CAFE_OK);
  assert_int_equal(store->ops->commit(store, &batch, NULL), CAFE_OK);
  assert_int_equal(unit.result, CAFE_UNIT_DONE);
  cafe_arena_destroy(arena);
}

static void make_place(shop *s, int number) {
  static const char *const names[] = {"app", "pay", "store", "customer", "dashboard"};
  place *p = &s->places[number];
  cafe_memory_options memory = CAFE_MEMORY_OPTIONS_INIT;
  memory.is_threaded = true; /* so that it takes its time */
  p->shop = s;
  p->name = s->is_split ? names[number] : "shop";
  p->services = s->is_split ? 1u << number : CAFE_SHOP_ALL;
  assert_int_equal(cafe_sim_join(&p->loop, s->world, NULL), CAFE_OK);
  assert_int_equal(cafe_memory_create(&p->inner, &memory, NULL), CAFE_OK);
  assert_int_equal(cafe_faulty_store_create(&p->store, p->inner, NULL, NULL), CAFE_OK);
  if (number == 0) {
    write_ids(p->inner);
  }
  trace_store(s->trace, p->name, p->inner);
  if (s->is_split) {
    assert_int_equal(cafe_inproc_join(&p->transport, s->hub, NULL), CAFE_OK);
    trace_transport(s->trace, p->name, p->transport);
  }
}

static void make_world(shop *s) {
  cafe_sim_options sim = CAFE_SIM_OPTIONS_INIT;
  sim.is_orderly = true;
  sim.job_min_us = sim.job_max_us = JOB_US;
  cafe_inproc_faults messages = {sizeof(messages), 0, 0, MESSAGE_US, MESSAGE_US};
  assert_int_equal(cafe_sim_create(&s->world, SEED, &sim, NULL), CAFE_OK);
  assert_int_equal(cafe_inproc_create(&s->hub, s->world, NULL, NULL), CAFE_OK);
  cafe_inproc_set_faults(s->hub, &messages);
  assert_int_equal(cafe_sandbox_create(&s->gateway, s->world, NULL, NULL, NULL), CAFE_OK);
  s->gateway_ops = s->gateway->ops;
  shop_gateway(s, CAFE_SANDBOX_APPROVE, GATEWAY_MS);
  s->channel.base.ops = &channel_ops;
  s->channel.base.name = "console";
  s->channel.shop = s;
}

shop *shop_open(bool is_split) {
  shop *s = calloc(1, sizeof(*s));
  assert_non_null(s);
  s->is_split = is_split;
  s->count = is_split ? SHOP_NODES : 1;
  make_world(s);
  s->trace = trace_create(s->world, is_split);
  trace_gateway(s->trace, is_split ? "pay" : "shop", s->gateway);
  trace_channel(s->trace, is_split ? "customer" : "shop", &s->channel.base);
  for (int i = 0; i < s->count; i++) {
    make_place(s, i);
  }
  for (int i = 0; i < s->count; i++) {
    start(&s->places[i]);
  }
  const shop_call *first = shop_place(s, "decline", NULL);
  shop_rest(s);
  assert_true(first->is_done && first->verdict == CAFE_REFUSED && first->key == SHOP_ORDER - 1);
  run_us(s, (cafe_sim_now_us(s->world) / 1000000 + 1) * 1000000);
  trace_begin(s->trace);
  return s;
}

void shop_close(shop *s) {
  trace_end(s->trace);
  for (int i = 0; i < s->count; i++) {
    stop(&s->places[i]);
  }
  trace_destroy(s->trace);
  for (int i = 0; i < s->count; i++) {
    place *p = &s->places[i];
    cafe_transport_destroy(p->transport);
    cafe_store_destroy(p->store);
    cafe_store_destroy(p->inner);
    cafe_loop_destroy(p->loop);
  }
  cafe_inproc_destroy(s->hub);
  cafe_gateway_destroy(s->gateway);
  cafe_loop_destroy(s->world);
  while (s->calls) {
    shop_call *call = s->calls;
    LL_DELETE(s->calls, call);
    free(call);
  }
  free(s);
}

void shop_gateway(shop *s, cafe_sandbox_mode mode, int64_t delay_ms) {
  cafe_sandbox_settings settings = {.size = sizeof(settings), .mode = mode, .delay_ms = delay_ms};
  const cafe_gateway_ops *watched = s->gateway->ops;
  s->gateway->ops = s->gateway_ops;
  assert_int_equal(cafe_sandbox_set(s->gateway, &settings, NULL), CAFE_OK);
  s->gateway->ops = watched;
}

void shop_channel_fails(shop *s, int count, int code) {
  s->fails = count;
  s->fail_code = code;
}

void shop_cut(shop *s, const char *service, bool is_cut) {
  trace_say(s->trace, service, is_cut ? "cut" : "healed", service, "%s",
            is_cut ? "nobody reaches it, and it reaches nobody" : "");
  cafe_inproc_cut(s->hub, service, is_cut);
}

/* ---- commands ---- */

/* What is final is kept under the client's key, as an HTTP server does. */
static int make_reply(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user) {
  char text[32];
  (void)user;
  bool is_dropped = outcome->event && outcome->event->type == &cafe_draft_dropped_type &&
                    ((const cafe_draft_dropped *)outcome->event->data)->reason == CAFE_DROP_DECLINED;
  if (outcome->verdict == CAFE_REFUSED && !is_dropped) {
    return CAFE_OK;
  }
  snprintf(text, sizeof(text), "%s %llu", is_dropped ? "402" : "201", (unsigned long long)outcome->key);
  return cafe_arena_copy(out, arena, cafe_text(text));
}

static void call_done(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  shop_call *call = user;
  trace_answer(call->shop->trace, place_of(call->shop, call->node)->name, err, outcome);
  call->op = NULL;
  call->is_done = true;
  call->code = err ? err->code : CAFE_OK;
  if (err) {
    return;
  }
  call->verdict = outcome->verdict;
  call->key = outcome->key;
  call->event = outcome->event ? outcome->event->type : NULL;
  snprintf(call->reply, sizeof(call->reply), "%.*s", (int)outcome->reply.size, outcome->reply.data);
}

static shop_call *submit(shop *s, shop_node node, const cafe_schema *command, uint64_t key, const void *data,
                         const char *client_key) {
  place *p = place_of(s, node);
  cafe_client_key named = {cafe_text("POST /orders"), cafe_text(client_key), cafe_text("latte")};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  cafe_err err;
  shop_call *call = calloc(1, sizeof(*call));
  assert_non_null(call);
  call->shop = s;
  call->node = node;
  submit.command = command;
  submit.key = key;
  submit.data = data;
  submit.data_size = command->width;
  if (client_key) {
    submit.client_key = &named;
    submit.reply = make_reply;
  }
  LL_APPEND(s->calls, call);
  if (!p->node) {
    trace_say(s->trace, p->name, "answer", "unavailable", "nobody is there");
    call->is_lost = true;
  } else if (cafe_node_submit(&call->op, p->node, &submit, call_done, call, &err)) {
    fail_msg("%s", err.text);
  }
  return call;
}

shop_call *shop_place(shop *s, const char *token, const char *client_key) {
  cafe_place_order latte = {
      .product_id = cafe_text("latte"),
      .qty = 1,
      .customer_id = cafe_text("kim"),
      .amount_minor = 4500,
      .payment_token = cafe_text(token),
  };
  trace_say(s->trace, place_of(s, SHOP_APP)->name, "command", "place order", "latte x1, 4500 KRW%s%s",
            client_key ? ", key " : "", client_key ? client_key : "");
  return submit(s, SHOP_APP, &cafe_place_order_type, 0, &latte, client_key);
}

shop_call *shop_act(shop *s, uint64_t key, cafe_ticket_action action) {
  static const char *const names[] = {"", "accept", "reject", "start", "finish", "hand out", "fail"};
  cafe_act_on_ticket act = {.action = action};
  char subject[32];
  const char *why = action == CAFE_TICKET_REJECT ? "out of milk"
                    : action == CAFE_TICKET_FAIL ? "the machine broke"
                                                 : "";
  act.reason = cafe_text(why);
  snprintf(subject, sizeof(subject), "%s %llu", names[action], (unsigned long long)key);
  trace_say(s->trace, place_of(s, SHOP_STORE)->name, "command", subject, "%s", why);
  return submit(s, SHOP_STORE, &cafe_act_on_ticket_type, key, &act, NULL);
}

shop_call *shop_cancel(shop *s, uint64_t key) {
  cafe_request_cancel cancel = {.by = CAFE_CANCEL_BY_CUSTOMER};
  char subject[32];
  snprintf(subject, sizeof(subject), "cancel %llu", (unsigned long long)key);
  trace_say(s->trace, place_of(s, SHOP_APP)->name, "command", subject, "by the customer");
  return submit(s, SHOP_APP, &cafe_request_cancel_type, key, &cancel, NULL);
}

shop_call *shop_retry(shop *s, uint64_t key) {
  cafe_retry_payment retry = {.reason = cafe_text("the gateway was mended")};
  char subject[40];
  snprintf(subject, sizeof(subject), "retry payment %llu", (unsigned long long)key);
  trace_say(s->trace, place_of(s, SHOP_PAY)->name, "command", subject, "by an operator");
  return submit(s, SHOP_PAY, &cafe_retry_payment_type, key, &retry, NULL);
}

void shop_give_up(shop *s, shop_call *call) {
  trace_say(s->trace, place_of(s, call->node)->name, "command", "give up", "the caller waits no longer");
  cafe_op_cancel(call->op);
}

shop_call *shop_withdraw(shop *s, uint64_t key) {
  cafe_withdraw_ticket withdraw = {
      .product_id = cafe_text("latte"),
      .qty = 1,
      .customer_id = cafe_text("kim"),
      .amount_minor = 4500,
      .currency = cafe_text("KRW"),
      .store_id = cafe_text("1"),
      .by = CAFE_CANCEL_BY_CUSTOMER,
  };
  char subject[32];
  snprintf(subject, sizeof(subject), "withdraw %llu", (unsigned long long)key);
  trace_say(s->trace, place_of(s, SHOP_STORE)->name, "command", subject, "by the customer");
  return submit(s, SHOP_STORE, &cafe_withdraw_ticket_type, key, &withdraw, NULL);
}

/* ---- what is left ---- */

cafe_store *shop_store(const shop *s, shop_node node) { return place_of(s, node)->inner; }

const cafe_table *const *shop_tables(const shop *s, shop_node node) {
  const place *p = place_of(s, node);
  assert_non_null(p->node);
  return p->node->registry.tables;
}

int shop_nodes(const shop *s) { return s->count; }

cafe_sandbox_entry shop_money(shop *s, uint64_t key) {
  cafe_sandbox_entry entry = {.size = sizeof(entry)};
  const cafe_gateway_ops *watched = s->gateway->ops;
  s->gateway->ops = s->gateway_ops;
  cafe_sandbox_lookup(s->gateway, key, &entry);
  s->gateway->ops = watched;
  return entry;
}

uint32_t shop_deliveries(const shop *s, uint64_t key) {
  char prefix[32];
  int size = snprintf(prefix, sizeof(prefix), "%llu-", (unsigned long long)key);
  uint32_t count = 0;
  for (uint32_t i = 0; i < s->delivered_count; i++) {
    count += strncmp(s->delivered[i], prefix, (size_t)size) == 0;
  }
  return count;
}
