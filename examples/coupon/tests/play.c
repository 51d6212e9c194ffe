/* SPDX-License-Identifier: Apache-2.0 */

/*
 * play FILE with|without DAY [CUSTOMER...]: one day of the coffee shop in the SQLite file FILE, with the coupon service
 * or without. Each customer named orders a cup and picks it up; -CUSTOMER orders and cancels. Says what became of it.
 *
 * The clock is the simulator's, so that the same day gives the same times, whoever else is there, and two files can be
 * compared byte by byte.
 */
#include <stdio.h>
#include <stdlib.h>

#include <cafe/gateway/sandbox.h>
#include <cafe/store/sqlite.h>
#include <cafe/testing/sim.h>

#include "coupon.h"

static cafe_loop *loop;
static cafe_node *node;
static cafe_err err;

static void must(int code) {
  if (code == CAFE_OK) return;
  fprintf(stderr, "%s\n", err.text);
  exit(1);
}

/* Lets the next minute begin: whatever was to happen in this one has. */
static void pass_a_minute(void) {
  int64_t minute_us = 60 * 1000000;
  cafe_sim_run(loop, (cafe_sim_now_us(loop) / minute_us + 1) * minute_us);
}

static uint64_t ask(uint64_t order, const cafe_schema *command, const void *data, size_t size) {
  cafe_submit submit = {sizeof submit, .command = command, .key = order, .data = data, .data_size = size};
  const cafe_outcome *outcome;
  must(cafe_node_call(&outcome, node, &submit, &err));
  if (outcome->verdict == CAFE_REFUSED) printf("%s: %s\n", command->name, outcome->text);
  order = outcome->key;
  pass_a_minute();
  return order;
}

static void serve(const char *customer) {
  bool cancels = customer[0] == '-';
  cafe_place_order cup = {.product_id = cafe_text("latte"),
                          .qty = 1,
                          .customer_id = cafe_text(customer + cancels),
                          .amount_minor = 4500,
                          .currency = cafe_text("KRW")};
  uint64_t order = ask(0, &cafe_place_order_type, &cup, sizeof cup);
  if (cancels) {
    cafe_request_cancel cancel = {.by = CAFE_CANCEL_BY_CUSTOMER};
    ask(order, &cafe_request_cancel_type, &cancel, sizeof cancel);
  }
  for (int action = CAFE_TICKET_ACCEPT; action <= CAFE_TICKET_HAND_OUT && !cancels; action++) {
    if (action == CAFE_TICKET_REJECT) continue;
    cafe_act_on_ticket act = {.action = (cafe_ticket_action)action};
    ask(order, &cafe_act_on_ticket_type, &act, sizeof act);
  }
  const void *found;
  must(cafe_node_find(&found, node, &cafe_orders_view, order, 0, &err));
  printf("order %llu: %s\n", (unsigned long long)order,
         cafe_order_status_name(((const cafe_order_row *)found)->status));
}

int main(int argc, char **argv) {
  cafe_store *store;
  cafe_gateway *gateway;
  cafe_shop *shop;
  if (argc < 4) {
    fprintf(stderr, "play FILE with|without DAY [CUSTOMER...]\n");
    return 2;
  }
  cafe_sim_options sim = CAFE_SIM_OPTIONS_INIT;
  sim.utc_ms = 1767225600000 + (int64_t)atoi(argv[3]) * 86400000;
  sim.is_orderly = true;
  must(cafe_sim_create(&loop, 1, &sim, &err));
  must(cafe_sqlite_create(&store, argv[1], NULL, &err));
  must(cafe_sandbox_create(&gateway, loop, NULL, NULL, &err));
  cafe_node_options options = {sizeof options, .loop = loop, .store = store, .log = cafe_log_stderr(CAFE_LOG_WARN)};
  must(cafe_node_create(&node, &options, &err));
  cafe_shop_options shop_options = {sizeof shop_options, .gateway = gateway};
  must(cafe_shop_create(&shop, node, &shop_options, &err));
  if (strcmp(argv[2], "with") == 0) must(cafe_node_host(node, &coupons_service, &err));
  must(cafe_node_start(node, &err));
  pass_a_minute(); /* here a newcomer catches up */
  for (int i = 4; i < argc; i++) serve(argv[i]);
  must(cafe_node_finish(node, 0, &err));
  cafe_node_destroy(node);
  cafe_shop_destroy(shop);
  cafe_gateway_destroy(gateway);
  cafe_store_destroy(store);
  cafe_loop_destroy(loop);
  return 0;
}
