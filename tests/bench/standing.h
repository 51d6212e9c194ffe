/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_STANDING_H
#define BENCH_STANDING_H

#include <uv.h>

#include "bench.h"
#include "cafe/cafe.h"
#include "cafe/sys/channel.h"

/* A channel whose receiver has every message at once. */
typedef struct instant_channel {
  cafe_channel base;
  cafe_delivery *first; /* by channel_data[0]: not answered yet */
  uint64_t count;
} instant_channel;

/* What it is to be. */
typedef struct standing_options {
  const char *name;
  unsigned services; /* cafe_shop_service, or-ed */
  bench_store store;
  const char *path;          /* of the store's file */
  const char *ledger;        /* the gateway's books; NULL: in memory */
  struct standing *together; /* its loop is used: several nodes in one process; NULL: a loop of its own */
  /* Makes the node's transport; NULL: it has none. */
  int (*join)(cafe_transport **out, cafe_loop *loop, void *user, cafe_err *err);
  void *join_user;
  void (*see)(const struct cafe_unit *unit, void *user); /* each unit that is durable, on the write lane; or NULL */
  void *see_user;
} standing_options;

/* The shop's services, or some, on a node, on a loop of its own or another one's, with the sandbox gateway and an
 * instant channel. */
typedef struct standing {
  uv_loop_t uv;
  uv_prepare_t before_waiting;
  cafe_loop *loop;
  bool is_guest; /* on another one's loop */
  cafe_transport *transport;
  cafe_store *store;
  counted_store *counted;
  cafe_node *node;
  cafe_gateway *gateway;
  cafe_shop *shop;
  instant_channel channel;
  void (*look)(void *user); /* before the loop waits, or NULL */
  void *user;
} standing;

/* Starts it. out is zeroed. Whatever this returns: standing_close; guests first. */
int standing_open(standing *out, const standing_options *options, cafe_err *err);
/* The shop alone, but for the dashboard, on the store that `wanted` names. */
int standing_open_alone(standing *out, const bench_case *wanted, cafe_err *err);
void standing_close(standing *self);

#endif
