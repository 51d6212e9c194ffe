/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An inbound adapter that the library has never heard of: a counter's terminal, by lines of text. It includes public
 * headers alone and is linked to the installed libraries alone, so that it compiles and runs shows that a new way in
 * needs no change inside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cafe/cafe.h>
#include <cafe/gateway/sandbox.h>
#include <cafe/op.h>
#include <cafe/store/memory.h>
#include <cafe/testing/sim.h>

/* ---- the adapter ---- */

typedef struct terminal {
  cafe_node *node;
  char line[320]; /* the answer */
} terminal;

static void say_outcome(terminal *self, int code, const cafe_outcome *outcome, const cafe_err *err) {
  const void *row = NULL;
  if (code) {
    snprintf(self->line, sizeof self->line, "error: %s", err->text);
    return;
  }
  if (outcome->verdict == CAFE_REFUSED) {
    snprintf(self->line, sizeof self->line, "no: %s", outcome->reason);
    return;
  }
  uint64_t key = outcome->key; /* the outcome is there until the next blocking call */
  if (cafe_node_find(&row, self->node, &cafe_orders_view, key, 0, NULL) == CAFE_OK)
    snprintf(self->line, sizeof self->line, "%llu %s", (unsigned long long)key,
             cafe_order_status_name(((const cafe_order_row *)row)->status));
}

static void call(terminal *self, uint64_t key, const cafe_schema *command, const void *data, size_t size) {
  cafe_submit submit = {sizeof submit, .command = command, .key = key, .data = data, .data_size = size};
  const cafe_outcome *outcome;
  cafe_err err;
  int code = cafe_node_call(&outcome, self->node, &submit, &err);
  say_outcome(self, code, outcome, &err);
}

static cafe_ticket_action action_of(const char *verb) {
  static const char *const verbs[] = {"accept", "reject", "start", "ready", "pickup", "fail"};
  for (int i = 0; i < 6; i++)
    if (strcmp(verbs[i], verb) == 0)
      return (cafe_ticket_action)(i + 1);
  return (cafe_ticket_action)0;
}

/* "order <product> <amount> <token>", "cancel <id>", or what the owner does: "accept <id>". */
static const char *type_in(terminal *self, const char *line) {
  char verb[16], product[64], token[64];
  unsigned long long number;
  long long amount;
  snprintf(self->line, sizeof self->line, "what?");
  if (sscanf(line, "order %63s %lld %63s", product, &amount, token) == 3) {
    cafe_place_order order = {.product_id = cafe_text(product),
                              .qty = 1,
                              .customer_id = cafe_text("terminal"),
                              .amount_minor = amount,
                              .payment_token = cafe_text(token)};
    call(self, 0, &cafe_place_order_type, &order, sizeof order);
  } else if (sscanf(line, "cancel %llu", &number) == 1) {
    cafe_request_cancel cancel = {.by = CAFE_CANCEL_BY_CUSTOMER};
    call(self, number, &cafe_request_cancel_type, &cancel, sizeof cancel);
  } else if (sscanf(line, "%15s %llu", verb, &number) == 2 && action_of(verb)) {
    cafe_act_on_ticket act = {.action = action_of(verb)};
    call(self, number, &cafe_act_on_ticket_type, &act, sizeof act);
  }
  return self->line;
}

/* ---- the shop behind it ---- */

/* C16: hexagonal: a new inbound adapter needs no change inside. */
static void c16_a_new_way_in_needs_no_change_inside(void **state) {
  (void)state;
  static const char *const dialog[][2] = {
      {"order latte 4500 token", "1 Ordered"},
      {"order latte -1 token", "no: invalid"},
      {"order latte 4500 decline", "no: DraftDropped"},
      {"start 1", "no: wrong-state"},
      {"accept 1", "1 Accepted"},
      {"start 1", "1 Preparing"},
      {"cancel 1", "no: cancel-rejected"},
      {"ready 1", "1 CoffeeDone"},
      {"pickup 1", "1 PickedUp"},
      {"order mocha 5000 token", "4 Ordered"},
      {"cancel 4", "4 Canceled"},
      {"cancel 99", "no: not-found"},
      {"dance 1", "what?"},
  };
  cafe_loop *loop;
  cafe_store *store;
  cafe_gateway *gateway;
  cafe_shop *shop;
  terminal self;
  cafe_shop_options options = CAFE_SHOP_OPTIONS_INIT;
  cafe_node_options node_options = CAFE_NODE_OPTIONS_INIT;
  assert_int_equal(cafe_sim_create(&loop, 16, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_memory_create(&store, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_sandbox_create(&gateway, loop, NULL, NULL, NULL), CAFE_OK);
  node_options.loop = loop;
  node_options.store = store;
  assert_int_equal(cafe_node_create(&self.node, &node_options, NULL), CAFE_OK);
  options.gateway = gateway;
  assert_int_equal(cafe_shop_create(&shop, self.node, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(self.node, NULL), CAFE_OK);
  for (size_t i = 0; i < sizeof dialog / sizeof dialog[0]; i++)
    assert_string_equal(type_in(&self, dialog[i][0]), dialog[i][1]);
  cafe_node_destroy(self.node);
  cafe_shop_destroy(shop);
  cafe_gateway_destroy(gateway);
  cafe_store_destroy(store);
  cafe_loop_destroy(loop);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(c16_a_new_way_in_needs_no_change_inside)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
