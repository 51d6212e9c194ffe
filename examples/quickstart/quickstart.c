/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include <cafe/cafe.h>
#include <cafe/channel/file.h>
#include <cafe/gateway/sandbox.h>
#include <cafe/loop/uv.h>
#include <cafe/store/sqlite.h>

static cafe_node *node;
static cafe_err err;

static void must(int code) {
  if (code == CAFE_OK) return;
  fprintf(stderr, "%s\n", err.text);
  exit(1);
}

/* Submits a command, waits for its outcome, prints the order. Returns its number. */
static uint64_t step(uint64_t order, const cafe_schema *command, const void *data, size_t size) {
  cafe_submit submit = {sizeof submit, .command = command, .key = order, .data = data, .data_size = size};
  const cafe_outcome *outcome;
  const void *row;
  must(cafe_node_call(&outcome, node, &submit, &err));
  order = outcome->key;
  must(cafe_node_find(&row, node, &cafe_orders_view, order, 0, &err));
  printf("order %llu is %s\n", (unsigned long long)order,
         cafe_order_status_name(((const cafe_order_row *)row)->status));
  return order;
}

int main(void) {
  cafe_loop *loop;
  cafe_store *store;
  cafe_gateway *gateway;
  cafe_channel *console;
  cafe_shop *shop;
  must(cafe_uv_create(&loop, NULL, NULL, &err));
  must(cafe_sqlite_create(&store, "coffee.db", NULL, &err));
  must(cafe_sandbox_create(&gateway, loop, NULL, NULL, &err));
  must(cafe_console_create(&console, loop, NULL, &err));
  cafe_node_options node_options = {sizeof node_options, .loop = loop, .store = store};
  must(cafe_node_create(&node, &node_options, &err));
  cafe_shop_options shop_options = {sizeof shop_options, .gateway = gateway, .channels = &console, .channel_count = 1};
  must(cafe_shop_create(&shop, node, &shop_options, &err));
  must(cafe_node_start(node, &err));

  cafe_place_order latte = {.product_id = cafe_text("latte"), .qty = 1, .customer_id = cafe_text("cdgri"),
                            .amount_minor = 4500, .currency = cafe_text("KRW")};
  uint64_t order = step(0, &cafe_place_order_type, &latte, sizeof latte); /* 0: a new one */
  cafe_act_on_ticket owner[] = {{.action = CAFE_TICKET_ACCEPT}, {.action = CAFE_TICKET_START},
                                {.action = CAFE_TICKET_FINISH}, {.action = CAFE_TICKET_HAND_OUT}};
  for (int i = 0; i < 4; i++) step(order, &cafe_act_on_ticket_type, &owner[i], sizeof owner[i]);

  must(cafe_node_finish(node, 5000, &err)); /* what is on its way gets there */
  cafe_node_destroy(node);
  cafe_shop_destroy(shop);
  cafe_channel_destroy(console);
  cafe_gateway_destroy(gateway);
  cafe_store_destroy(store);
  cafe_loop_destroy(loop);
  return 0;
}
