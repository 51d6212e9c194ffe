/* SPDX-License-Identifier: Apache-2.0 */
/* The coffee shop hosted in one call: what it refuses, and an order from payment to pick-up, with all services in one
 * node and with each in a node of its own, on the simulated loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "cafe/cafe.h"
#include "cafe/channel/file.h"
#include "cafe/gateway/sandbox.h"
#include "cafe/store/memory.h"
#include "cafe/sys/channel.h"
#include "cafe/testing/sim.h"
#include "cafe/transport/inproc.h"
#include "failing_alloc.h"

static const char path[] = "shop_messages.txt";

static cafe_loop *loop;
static cafe_gateway *gateway;
static cafe_channel *file;

static int setup(void **state) {
  (void)unlink(path);
  assert_int_equal(cafe_sim_create(&loop, 7, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_sandbox_create(&gateway, loop, NULL, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_file_channel_create(&file, loop, path, NULL, NULL), CAFE_OK);
  return 0;
}

static int teardown(void **state) {
  cafe_channel_destroy(file);
  cafe_gateway_destroy(gateway);
  cafe_loop_destroy(loop);
  (void)unlink(path);
  return 0;
}

/* ---- a node with some of the services ---- */

typedef struct place {
  cafe_store *store;
  cafe_transport *transport;
  cafe_node *node;
  cafe_shop *shop;
} place;

static int place_try(place *self, unsigned services, cafe_transport *transport, const cafe_allocator *allocator,
                     cafe_err *err) {
  memset(self, 0, sizeof(*self));
  self->transport = transport;
  int code = cafe_memory_create(&self->store, NULL, err);
  if (code == CAFE_OK) {
    cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
    options.loop = loop;
    options.store = self->store;
    options.transport = transport;
    options.allocator = allocator;
    code = cafe_node_create(&self->node, &options, err);
  }
  if (code == CAFE_OK) {
    cafe_shop_options options = CAFE_SHOP_OPTIONS_INIT;
    options.services = services;
    options.gateway = gateway;
    options.channels = &file;
    options.channel_count = 1;
    code = cafe_shop_create(&self->shop, self->node, &options, err);
  }
  return code;
}

static void place_close(place *self) {
  cafe_node_destroy(self->node);
  cafe_shop_destroy(self->shop);
  cafe_store_destroy(self->store);
  cafe_transport_destroy(self->transport);
}

static void open_place(place *self, unsigned services, cafe_transport *transport) {
  cafe_err err = {0};
  if (place_try(self, services, transport, NULL, &err) != CAFE_OK || cafe_node_start(self->node, &err) != CAFE_OK) {
    fail_msg("%s", err.text);
  }
}

static const cafe_outcome *call(place *at, const cafe_schema *command, uint64_t key, const void *data) {
  cafe_submit submit = CAFE_SUBMIT_INIT;
  const cafe_outcome *outcome;
  cafe_err err = {0};
  submit.command = command;
  submit.key = key;
  submit.data = data;
  submit.data_size = command->width;
  if (cafe_node_call(&outcome, at->node, &submit, &err) != CAFE_OK) {
    fail_msg("%s", err.text);
  }
  return outcome;
}

static uint64_t order_latte(place *at, const char *token) {
  cafe_place_order latte = {
      .product_id = cafe_text("latte"),
      .qty = 1,
      .customer_id = cafe_text("customer-7"),
      .amount_minor = 4500,
      .currency = cafe_text("KRW"),
      .store_id = cafe_text("main"),
      .payment_token = cafe_text(token),
  };
  const cafe_outcome *outcome = call(at, &cafe_place_order_type, 0, &latte);
  assert_int_equal(outcome->verdict, strcmp(token, "decline") == 0 ? CAFE_REFUSED : CAFE_ACCEPTED);
  return outcome->key;
}

static void settle_down(void) { cafe_sim_run(loop, cafe_sim_now_us(loop) + 5 * 1000000); }

static void serve(place *store, uint64_t order) {
  static const cafe_ticket_action actions[] = {CAFE_TICKET_ACCEPT, CAFE_TICKET_START, CAFE_TICKET_FINISH,
                                               CAFE_TICKET_HAND_OUT};
  for (size_t i = 0; i < 4; i++) {
    cafe_act_on_ticket act = {.action = actions[i]};
    assert_int_equal(call(store, &cafe_act_on_ticket_type, order, &act)->verdict, CAFE_ACCEPTED);
    settle_down();
  }
}

static int lines_with(const char *text, uint64_t order) {
  char line[1024], id[64];
  int found = 0;
  FILE *in = fopen(path, "r");
  assert_non_null(in);
  snprintf(id, sizeof(id), "\"orderId\":%llu,", (unsigned long long)order);
  while (fgets(line, sizeof(line), in)) {
    found += strstr(line, text) != NULL && strstr(line, id) != NULL;
  }
  fclose(in);
  return found;
}

static void check_told(uint64_t order) {
  static const char *const events[] = {"Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp"};
  for (size_t i = 0; i < 4; i++) {
    char event[64];
    snprintf(event, sizeof(event), "\"event\":\"%s\"", events[i]);
    assert_int_equal(lines_with(event, order), 1);
  }
}

static void check_charged_once(uint64_t order) {
  cafe_sandbox_entry entry = {.size = sizeof(entry)};
  cafe_sandbox_lookup(gateway, order, &entry);
  assert_int_equal(entry.approved_minor, 4500);
  assert_int_equal(entry.captured_minor, 4500);
  assert_int_equal(entry.authorizations, 1);
  assert_int_equal(entry.captures, 1);
  assert_int_equal(entry.voids + entry.refunds, 0);
}

static void one_node_serves_an_order_from_payment_to_pick_up(void **state) {
  place all;
  open_place(&all, 0, NULL);
  uint64_t order = order_latte(&all, "token");
  settle_down();
  serve(&all, order);
  check_charged_once(order);
  check_told(order);

  uint64_t declined = order_latte(&all, "decline");
  settle_down();
  assert_int_equal(lines_with("", declined), 0); /* it never was an order */
  place_close(&all);
}

static void five_nodes_serve_it_too(void **state) {
  static const unsigned services[] = {CAFE_SHOP_APP, CAFE_SHOP_PAY, CAFE_SHOP_STORE, CAFE_SHOP_CUSTOMER,
                                      CAFE_SHOP_DASHBOARD};
  place places[5];
  cafe_inproc *hub;
  assert_int_equal(cafe_inproc_create(&hub, loop, NULL, NULL), CAFE_OK);
  for (int i = 0; i < 5; i++) {
    cafe_transport *transport;
    assert_int_equal(cafe_inproc_join(&transport, hub, NULL), CAFE_OK);
    open_place(&places[i], services[i], transport);
  }
  settle_down();
  uint64_t order = order_latte(&places[0], "token");
  settle_down();
  serve(&places[2], order);
  check_charged_once(order);
  check_told(order);
  for (int i = 0; i < 5; i++) {
    place_close(&places[i]);
  }
  cafe_inproc_destroy(hub);
}

/* ---- what is refused ---- */

static int create_with(const cafe_shop_options *options, cafe_err *err) {
  place p;
  cafe_shop *shop = NULL;
  memset(&p, 0, sizeof(p));
  assert_int_equal(cafe_memory_create(&p.store, NULL, NULL), CAFE_OK);
  cafe_node_options node_options = CAFE_NODE_OPTIONS_INIT;
  node_options.loop = loop;
  node_options.store = p.store;
  assert_int_equal(cafe_node_create(&p.node, &node_options, NULL), CAFE_OK);
  int code = cafe_shop_create(&shop, p.node, options, err);
  assert_true((code == CAFE_OK) == (shop != NULL));
  p.shop = shop;
  place_close(&p);
  return code;
}

static void what_can_not_be_hosted_is_refused(void **state) {
  cafe_err err;
  cafe_channel *many[CAFE_CHANNELS_MAX + 1];
  for (size_t i = 0; i <= CAFE_CHANNELS_MAX; i++) {
    many[i] = file;
  }
  cafe_shop_options options = CAFE_SHOP_OPTIONS_INIT;
  assert_int_equal(create_with(&options, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "gateway"));
  options.gateway = gateway;
  assert_int_equal(create_with(&options, &err), CAFE_OK);
  options.services = 32;
  assert_int_equal(create_with(&options, &err), CAFE_INVALID);
  options.services = CAFE_SHOP_APP;
  options.gateway = NULL;
  assert_int_equal(create_with(&options, &err), CAFE_OK);

  options.services = CAFE_SHOP_CUSTOMER;
  options.channels = many;
  options.channel_count = CAFE_CHANNELS_MAX + 1;
  assert_int_equal(create_with(&options, &err), CAFE_INVALID);
  options.channel_count = 2;
  assert_int_equal(create_with(&options, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "two channels file"));
  cafe_channel odd = *file;
  many[1] = &odd;
  odd.name = "two words";
  assert_int_equal(create_with(&options, &err), CAFE_INVALID);
  odd.name = "";
  assert_int_equal(create_with(&options, &err), CAFE_INVALID);
  odd.name = "word";
  assert_int_equal(create_with(&options, &err), CAFE_OK);
  options.channels = NULL;
  assert_int_equal(create_with(&options, &err), CAFE_INVALID);
  options.size = 0;
  assert_int_equal(create_with(&options, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "CAFE_SHOP_OPTIONS_INIT"));
}

static void a_refused_allocation_leaves_nothing_behind(void **state) {
  failing_alloc memory;
  int code = CAFE_OK;
  for (size_t n = 1; failing_alloc_begin(&memory, n); n++) {
    place p;
    cafe_err err;
    code = place_try(&p, 0, NULL, &memory.allocator, &err);
    assert_int_equal(code, memory.refused ? CAFE_NOMEM : CAFE_OK);
    place_close(&p);
    failing_alloc_end(&memory);
  }
  assert_int_equal(code, CAFE_OK);
}

int main(void) {
#define IN_SHOP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
  const struct CMUnitTest tests[] = {
      IN_SHOP(one_node_serves_an_order_from_payment_to_pick_up),
      IN_SHOP(five_nodes_serve_it_too),
      IN_SHOP(what_can_not_be_hosted_is_refused),
      IN_SHOP(a_refused_allocation_leaves_nothing_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
