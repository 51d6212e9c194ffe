/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whether the store can be used, and who else is there.
 *
 * What is kept here: a node that says that it is ready has written last time, and one that doesn't finds out by itself
 * when it can again, though nobody sends it commands meanwhile, since they go where it is ready. So a write that failed
 * is followed by others, a second apart, of a row that is written as it is; while writes succeed there is none of this.
 *
 * A store that is lost is no matter of waiting: it doesn't know whether its last commit is durable, and refuses
 * everything until it is opened anew. The program is told, once, since only it can end the process or make a node anew.
 * Nothing that was acknowledged is missing then.
 */
#include "engine/health.h"

#include "base/sized.h"

#include "engine/key.h"

enum { PROBE_MS = 1000 };

static void lose(cafe_node *node) {
  cafe_err err;
  node->is_store_lost = true;
  cafe_fail(&err, CAFE_UNAVAILABLE, "the store has to be opened anew: %s", node->write_err.text);
  node->write_err = err;
  node_log(node, CAFE_LOG_ERROR, 0, (cafe_slice){NULL, 0}, "%s", err.text);
  if (node->store_lost)
    node->store_lost(&err, node->store_lost_user);
}

void health_written(cafe_node *node, int code, bool has_written, const cafe_err *err) {
  if (code == CAFE_INVALID)
    return; /* the batch was no batch: the store had no part in it */
  if (!code && !has_written)
    return; /* all of it conflicted, such as a client's key that is known: a full disk takes that, too */
  if (!code && node->write_err.code)
    node_log(node, CAFE_LOG_WARN, 0, (cafe_slice){NULL, 0}, "the store can be written again");
  if (!code) {
    cafe_err_clear(&node->write_err);
    return;
  }
  if (node->is_store_lost)
    return;
  node->write_err = *err;
  node->probe_at_us = node_after_us(node, PROBE_MS);
  if (SIZED_HAS(node->store->ops, is_lost) && node->store->ops->is_lost(node->store))
    lose(node);
  node_pump(node);
}

static bool is_probing(const cafe_node *node) {
  return node->write_err.code && !node->is_store_lost && node->state == NODE_RUNNING;
}

void health_turn(cafe_node *node, int64_t now_us) {
  if (!is_probing(node) || node->probe_at_us > now_us)
    return;
  node->probe_at_us = node_after_us(node, PROBE_MS);
  key_rewrite(node);
}

int64_t health_next_us(const cafe_node *node) { return is_probing(node) ? node->probe_at_us : INT64_MAX; }

int cafe_node_ready(const cafe_node *node, cafe_err *err) {
  if (node->state == NODE_CREATED)
    return cafe_fail(err, CAFE_INVALID, "the node isn't started: cafe_node_start");
  if (node->state != NODE_RUNNING)
    return cafe_fail(err, CAFE_UNAVAILABLE, "the node is %s", node->state == NODE_DRAINING ? "draining" : "closed");
  if (node->write_err.code == CAFE_OK)
    return CAFE_OK;
  if (err)
    *err = node->write_err;
  return node->write_err.code;
}

typedef struct peer_visit {
  void (*visit)(const cafe_peer *peer, void *user);
  void *user;
} peer_visit;

static void visit_peer(const char *service, bool is_up, void *user) {
  const peer_visit *self = user;
  cafe_peer peer = {sizeof peer, service, is_up};
  self->visit(&peer, self->user);
}

void cafe_node_peers(const cafe_node *node, void (*visit)(const cafe_peer *peer, void *user), void *user) {
  peer_visit self = {visit, user};
  bool is_open = node->state == NODE_RUNNING || node->state == NODE_DRAINING;
  if (is_open && node->transport && SIZED_HAS(node->transport->ops, peers))
    node->transport->ops->peers(node->transport, visit_peer, &self);
}
