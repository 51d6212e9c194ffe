/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACCEPTANCE_KIT_H
#define ACCEPTANCE_KIT_H

/*
 * For the rows of the table of what a complete libcafe must be able to show, each tested by name in a simulated world.
 * The invariants are checked at every step by the cluster; what a test asserts is what its row says beyond them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"

enum { ORDERS = 50 };

#define DAY_MS INT64_C(86400000)

static inline bool is_full(void) { return cluster_setting("CAFE_FULL", 0) != 0; }

static inline cluster *create(uint64_t seed, bool is_split) {
  cluster_options options = {.seed = seed, .is_split = is_split, .is_threaded = seed % 2 != 0, .job_max_us = 500};
  return cluster_create(&options);
}

static inline cluster_call *submit_order(cluster *c, int64_t accept_timeout_ms, const char *client_key) {
  cafe_place_order order = {
      .product_id = cafe_text("latte"),
      .qty = 1,
      .customer_id = cafe_text("kim"),
      .amount_minor = 4500,
      .pay_timeout_ms = 5000,
      .accept_timeout_ms = accept_timeout_ms,
      .payment_token = cafe_text("token"),
  };
  return cluster_submit(c, CLUSTER_APP, &cafe_place_order_type, 0, &order, 0, client_key);
}

/* An order that is paid for. accept_timeout_ms 0: the domain's own. */
static inline uint64_t place(cluster *c, int64_t accept_timeout_ms) {
  cluster_call *call = submit_order(c, accept_timeout_ms, NULL);
  cluster_wait(c, call);
  assert_int_equal(call->code, CAFE_OK);
  assert_int_equal(call->verdict, CAFE_ACCEPTED);
  assert_ptr_equal(call->event, &cafe_ordered_type);
  return call->key;
}

static inline cluster_call *act(cluster *c, uint64_t key, cafe_ticket_action action) {
  cluster_call *call = cluster_act(c, key, action);
  cluster_wait(c, call);
  return call;
}

static inline void wait_for_ticket(cluster *c, uint64_t key, cafe_ticket_status status) {
  for (int i = 0; cluster_find(c, key)->ticket.status != status; i++) {
    assert_true(i < 10000);
    cluster_run(c, 1);
  }
}

static inline cafe_order_status status_of(cluster *c, uint64_t key) { return cluster_find(c, key)->order.status; }

/* How many messages of that name were queued, and how often they were delivered. */
static inline uint32_t count_messages(const cluster_order *order, const char *event, uint32_t *deliveries) {
  uint32_t count = 0;
  *deliveries = 0;
  for (const cluster_message *message = order->messages; message; message = message->next) {
    if (strcmp(message->event, event) != 0)
      continue;
    count++;
    *deliveries += message->deliveries;
  }
  return count;
}

static inline void jump(cluster *c, int64_t by_ms) {
  cafe_sim_set_utc(c->world, c->world->ops->utc_ms(c->world) + by_ms);
}

#endif
