/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coupon service as a process of its own, with a store of its own, beside a shop that knows nothing of it:
 *
 *   coupons coupons.db 127.0.0.1:9081       where app's node is; SIGTERM ends it
 *   sqlite3 coupons.db 'SELECT * FROM coupons'
 */
#include <signal.h>
#include <stdio.h>

#include <cafe/loop/uv.h>
#include <cafe/store/sqlite.h>
#include <cafe/transport/tcp.h>

#include "coupon.h"

static volatile int is_over;

static void end(int number) {
  (void)number;
  is_over = 1;
}

int main(int argc, char **argv) {
  cafe_loop *loop = NULL;
  cafe_store *store = NULL;
  cafe_transport *tcp = NULL;
  cafe_node *node = NULL;
  cafe_err err = {0};
  if (argc != 3) {
    fprintf(stderr, "coupons FILE APP-HOST:PORT\n");
    return 2;
  }
  signal(SIGTERM, end);
  signal(SIGINT, end);
  cafe_tcp_peer app = {.service = "app", .address = argv[2]};
  cafe_tcp_options wanted = {sizeof wanted, .listen_fd = -1, .peers = &app, .peer_count = 1,
                             .log = cafe_log_stderr(CAFE_LOG_WARN)};
  int code = cafe_uv_create(&loop, NULL, NULL, &err);
  if (!code) code = cafe_sqlite_create(&store, argv[1], NULL, &err);
  if (!code) code = cafe_tcp_create(&tcp, &wanted, &err);
  if (!code) {
    cafe_node_options options = {sizeof options, .name = "coupons", .loop = loop, .store = store, .transport = tcp,
                                 .log = cafe_log_stderr(CAFE_LOG_WARN)};
    code = cafe_node_create(&node, &options, &err);
  }
  if (!code) code = cafe_node_host(node, &coupons_service, &err);
  if (!code) code = cafe_node_start(node, &err);
  if (!code) code = cafe_node_run(node, &is_over);
  if (!code) code = cafe_node_finish(node, 5000, &err);
  if (code) fprintf(stderr, "coupons: %s\n", err.text);
  cafe_node_destroy(node);
  cafe_transport_destroy(tcp);
  cafe_store_destroy(store);
  cafe_loop_destroy(loop);
  return code ? 2 : 0;
}
