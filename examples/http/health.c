/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two questions that mustn't be mixed: a supervisor that restarts a process because its store is slow makes an outage
 * of a hiccup, so /livez tests nothing but that the loop turns. A store is used by reading and by writing: /readyz
 * reads, and asks the node how the last write went, which finds out by itself when it can write again. Peers that are
 * down are named and change nothing: to answer without them is each service's job.
 */
#include "http/health.h"
#include "http/metrics.h"

enum { STORE_TIMEOUT_MS = 1000 };

static void livez(http_request *request) {
  json_open(http_body(request), NULL, '{');
  json_string(http_body(request), "status", "live");
  json_close(http_body(request), '}');
  http_send(request, 200);
}

static void tell_peer(const cafe_peer *peer, void *user) {
  if (!peer->is_up) {
    json_string(user, NULL, peer->service);
  }
}

static void on_read(const cafe_err *err, const cafe_page *found, void *user) {
  (void)found;
  http_request *request = user;
  if (err) {
    http_problem(request, HTTP_NOT_READY, "The store can't be read: %s", err->text);
    return;
  }
  buffer *out = http_body(request);
  json_open(out, NULL, '{');
  json_string(out, "status", "ready");
  json_open(out, "degraded", '[');
  cafe_node_peers(request->node, tell_peer, out);
  json_close(out, ']');
  json_close(out, '}');
  http_send(request, 200);
}

static void readyz(http_request *request) {
  if (http_server_is_draining(request)) {
    http_problem(request, HTTP_NOT_READY, "The service is draining");
    return;
  }
  cafe_err err = {0};
  if (cafe_node_ready(request->node, &err) != CAFE_OK) {
    http_problem(request, HTTP_NOT_READY, "The store can't be written: %s", err.text);
    return;
  }
  cafe_list list = CAFE_LIST_INIT;
  list.view = request->service->view;
  list.limit = 1;
  cafe_op *op;
  if (cafe_node_list(&op, request->node, &list, on_read, request, &err) != CAFE_OK) {
    http_problem(request, HTTP_NOT_READY, "The store can't be read: %s", err.text);
    return;
  }
  http_await(request, op, STORE_TIMEOUT_MS);
}

const http_route health_routes[] = {
    {"GET", "/livez", livez, NULL},
    {"GET", "/readyz", readyz, NULL},
    {"GET", "/metrics", http_metrics_get, NULL},
    {NULL, NULL, NULL, NULL},
};
