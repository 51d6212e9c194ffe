/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include <cafe/cafe.h>
#include <cafe/channel/file.h>
#include <cafe/gateway/sandbox.h>
#include <cafe/loop/uv.h>
#include <cafe/store/sqlite.h>

static void print_status(const cafe_err *err, const cafe_row *rows, uint32_t count, bool more, void *done) {
  const cafe_order_row *order = count ? rows->data : NULL;
  if (order)
    printf("order %llu is %s\n", (unsigned long long)rows->key, cafe_order_status_name(order->status));
  *(int *)done = err || more || !order ? -1 : 1;
}

/* Submits a command, waits for its outcome, prints the order's status. */
static int step(uint64_t *order, cafe_node *node, const cafe_schema *command, const void *data, cafe_err *err) {
  cafe_submit submit = {sizeof submit, .command = command, .key = *order, .data = data};
  cafe_outcome outcome;
  int done = 0;
  if (cafe_node_call(&outcome, node, &submit, err))
    return err->code;
  *order = outcome.key;
  cafe_list list = {sizeof list, .view = &cafe_orders_view, .after_key = *order - 1, .limit = 1};
  int failed = cafe_node_list(NULL, node, &list, print_status, &done, err);
  return failed ? failed : cafe_node_run(node, &done);
}

int main(void) {
  cafe_loop *loop;
  cafe_store *store;
  cafe_gateway *gateway;
  cafe_channel *console;
  cafe_node *node;
  cafe_shop *shop;
  cafe_err err = {0};
  uint64_t order = 0; /* a new one */
  if (cafe_uv_create(&loop, NULL, NULL, &err) || cafe_sqlite_create(&store, "coffee.db", NULL, &err) ||
      cafe_sandbox_create(&gateway, loop, NULL, NULL, &err) || cafe_console_create(&console, loop, NULL, &err))
    goto fail;
  cafe_node_options node_options = {sizeof node_options, .loop = loop, .store = store};
  cafe_shop_options shop_options = {sizeof shop_options, .gateway = gateway, .channels = &console, .channel_count = 1};
  if (cafe_node_create(&node, &node_options, &err) || cafe_shop_create(&shop, node, &shop_options, &err) ||
      cafe_node_start(node, &err))
    goto fail;

  cafe_place_order latte = {.product_id = cafe_text("latte"),
                            .qty = 1,
                            .customer_id = cafe_text("cdgri"),
                            .amount_minor = 4500,
                            .currency = cafe_text("KRW")};
  if (step(&order, node, &cafe_place_order_type, &latte, &err))
    goto fail;
  const cafe_ticket_action acts[] = {CAFE_TICKET_ACCEPT, CAFE_TICKET_START, CAFE_TICKET_FINISH, CAFE_TICKET_HAND_OUT};
  for (int i = 0; i < 4; i++) {
    cafe_act_on_ticket act = {.action = acts[i]};
    if (step(&order, node, &cafe_act_on_ticket_type, &act, &err))
      goto fail;
  }
  cafe_node_destroy(node);
  cafe_shop_destroy(shop);
  cafe_channel_destroy(console);
  cafe_gateway_destroy(gateway);
  cafe_store_destroy(store);
  cafe_loop_destroy(loop);
  return 0;
fail:
  fprintf(stderr, "%s\n", err.text);
  return 1;
}
