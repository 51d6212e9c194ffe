/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACE_SHOP_H
#define TRACE_SHOP_H

#include "cafe/cafe.h"
#include "cafe/gateway/sandbox.h"
#include "cafe/op.h"
#include "cafe/testing/faults.h"
#include "cafe/transport/inproc.h"
#include "trace.h"

/*
 * The coffee shop in an orderly world, for traces: one node or five, with the time that things take fixed. Reading or
 * committing takes 1 ms, a message between nodes 1 ms, the gateway 37 ms, the channel 5 ms. It has had 1040 orders; the
 * last was declined, so that everything has begun, and the trace begins when all is at rest. The next order is 1041.
 */
typedef struct shop shop;

enum { SHOP_ORDER = 1041, SHOP_NODES = 5 };

/* One node: SHOP_APP stands for it. */
typedef enum shop_node { SHOP_APP, SHOP_PAY, SHOP_STORE, SHOP_CUSTOMER, SHOP_DASHBOARD } shop_node;

/* A command and its answer. Lives as long as the shop. */
typedef struct shop_call {
  struct shop_call *next;
  shop *shop;
  shop_node node;
  cafe_op *op;  /* while it is under way */
  bool is_done; /* answered */
  bool is_lost; /* its node was killed */
  int code;
  cafe_verdict verdict;
  uint64_t key;
  const cafe_schema *event;
  char reply[32];
} shop_call;

shop *shop_open(bool is_split);
/* Fails the test if memory is left. */
void shop_close(shop *s);
trace *shop_trace(shop *s);

/* How the world behaves from now on. */
void shop_gateway(shop *s, cafe_sandbox_mode mode, int64_t delay_ms);
/* The next `count` deliveries fail with this code. */
void shop_channel_fails(shop *s, int count, int code);
void shop_cut(shop *s, const char *service, bool is_cut);

/* Until so many milliseconds after the beginning. */
void shop_run(shop *s, int64_t until_ms);
/* Until nothing is left that ever could happen. */
void shop_rest(shop *s);

/* Commands. client_key may be NULL. */
shop_call *shop_place(shop *s, const char *token, const char *client_key);
shop_call *shop_act(shop *s, uint64_t key, cafe_ticket_action action);
shop_call *shop_cancel(shop *s, uint64_t key);
/* An operator has what was given up at the gateway tried again. */
shop_call *shop_retry(shop *s, uint64_t key);
/* The caller gives up waiting. */
void shop_give_up(shop *s, shop_call *call);
/* What the store asks itself when it hears of a cancel, handed to it by hand. */
shop_call *shop_withdraw(shop *s, uint64_t key);

/* kill -9: what the node has in memory is gone. It stays down until shop_start. */
void shop_kill(shop *s, shop_node node);
void shop_start(shop *s, shop_node node);
bool shop_is_up(const shop *s, shop_node node);
/* Its store dies with its n-th commit from now: before it, or after. The node is killed at that moment. */
void shop_doom(shop *s, shop_node node, uint64_t commit, bool is_after);
/* How often a node was killed. */
uint32_t shop_crashes(const shop *s);

/* What is stored under a key in all nodes, which are up: its streams' events from Ordered on, and its rows. The same,
 * whichever way led there. */
void shop_describe(shop *s, uint64_t key, char *out, size_t size);
/* What a node has, and how many there are. */
cafe_store *shop_store(const shop *s, shop_node node);
const cafe_table *const *shop_tables(const shop *s, shop_node node);
int shop_nodes(const shop *s);
bool shop_has_event(shop *s, shop_node node, uint64_t key, const cafe_schema *type);
cafe_sandbox_entry shop_money(shop *s, uint64_t key);
/* Distinct notifications of a key that came to their receiver. */
uint32_t shop_deliveries(const shop *s, uint64_t key);

#endif
