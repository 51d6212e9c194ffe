/* SPDX-License-Identifier: Apache-2.0 */

/* The clients go on as clients do, under their own keys, until they have what they want. */
#include "three_orders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { TRIES_MAX = 200 };

static void advance(script *run) {
  if (++run->step == run->at)
    run->what(run);
  for (int service = 0; service < CLUSTER_SERVICES; service++)
    cluster_start(run->cluster, service);
  cluster_step(run->cluster);
}

/* False: it came to nothing, and may be tried again. */
static bool wait_for(script *run, cluster_call *call) {
  if (!call) {
    cluster_run(run->cluster, 20); /* the node is down, or has no memory to take it */
    return false;
  }
  for (int steps = 0; !call->is_done && !call->is_lost; steps++) {
    if (steps > 20000)
      cluster_violation(run->cluster, "answers", call->key, "%s is never answered", call->command->name);
    advance(run);
  }
  if (call->is_done && !call->code && call->verdict != CAFE_REFUSED)
    return true;
  cluster_run(run->cluster, 50);
  return false;
}

static uint64_t place(script *run, const char *client_key) {
  for (int i = 0; i < TRIES_MAX; i++) {
    cluster_start(run->cluster, CLUSTER_APP);
    cluster_call *call = cluster_place(run->cluster, 4500, "token", client_key);
    unsigned long long key;
    if (!wait_for(run, call))
      continue;
    assert_int_equal(sscanf(call->reply, "order %llu", &key), 1);
    return key;
  }
  cluster_violation(run->cluster, "answers", 0, "%s was never ordered", client_key);
}

static void act(script *run, uint64_t key, cafe_ticket_action action, cafe_ticket_status wanted) {
  for (int i = 0; i < TRIES_MAX; i++) {
    cluster_start(run->cluster, CLUSTER_STORE);
    if (cluster_find(run->cluster, key)->ticket.status == wanted)
      return;
    wait_for(run, cluster_act(run->cluster, key, action));
  }
  cluster_violation(run->cluster, "answers", key, "the owner's %d was never done", (int)action);
}

static void cancel(script *run, uint64_t key) {
  for (int i = 0; i < TRIES_MAX; i++) {
    cluster_start(run->cluster, CLUSTER_APP);
    if (cluster_find(run->cluster, key)->order.status == CAFE_ORDER_CANCELED)
      return;
    wait_for(run, cluster_cancel(run->cluster, key));
  }
  cluster_violation(run->cluster, "answers", key, "it was never canceled");
}

void play(script *run) {
  run->keys[0] = place(run, "served");
  act(run, run->keys[0], CAFE_TICKET_ACCEPT, CAFE_TICKET_ACCEPTED);
  act(run, run->keys[0], CAFE_TICKET_START, CAFE_TICKET_PREPARING);
  run->keys[1] = place(run, "canceled");
  act(run, run->keys[0], CAFE_TICKET_FINISH, CAFE_TICKET_READY);
  act(run, run->keys[1], CAFE_TICKET_ACCEPT, CAFE_TICKET_ACCEPTED);
  cancel(run, run->keys[1]);
  run->keys[2] = place(run, "rejected");
  act(run, run->keys[0], CAFE_TICKET_HAND_OUT, CAFE_TICKET_PICKED_UP);
  act(run, run->keys[2], CAFE_TICKET_REJECT, CAFE_TICKET_REJECTED);
}

void check_end(script *run) {
  static const cafe_order_status wanted[] = {CAFE_ORDER_PICKED_UP, CAFE_ORDER_CANCELED, CAFE_ORDER_REJECTED};
  cluster *c = run->cluster;
  uint32_t ordered = 0;
  cluster_heal(c);
  cluster_rest(c);
  cluster_check(c, true);
  for (int i = 0; i < 3; i++) {
    const cluster_order *order = cluster_find(c, run->keys[i]);
    if (order->order.status != wanted[i])
      cluster_violation(c, "end", order->key, "it isn't the end that was wanted");
  }
  for (map_entry *entry = map_first(c->orders); entry; entry = map_next(entry))
    ordered += ((cluster_order *)map_value(entry))->ordered;
  if (ordered != 3)
    cluster_violation(c, "end", 0, "three clients have %u orders", ordered);
}
