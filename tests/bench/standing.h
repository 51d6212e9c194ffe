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

/* The shop's services on a node, on a loop of its own, with the sandbox gateway and an instant channel. */
typedef struct standing {
  uv_loop_t uv;
  uv_prepare_t before_waiting;
  cafe_loop *loop;
  cafe_store *store;
  counted_store *counted;
  cafe_node *node;
  cafe_gateway *gateway;
  cafe_shop *shop;
  instant_channel channel;
  void (*look)(void *user); /* before the loop waits, or NULL */
  void *user;
} standing;

/* Starts it, on the store that `wanted` names. out is zeroed. Whatever this returns: standing_close. */
int standing_open(standing *out, const bench_case *wanted, cafe_err *err);
void standing_close(standing *self);

#endif
