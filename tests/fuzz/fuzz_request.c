/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What another node asks and answers, as bytes of any kind: a node that takes orders is asked, and its saga's request
 * is answered. It answers each request once, by what can be read, and goes on taking orders. The first byte says which,
 * and whether the rest is a message as it is, or what is inside of one that is well-formed.
 */
#include <string.h>

#include "cafe/cafe.h"
#include "cafe/op.h"
#include "cafe/shop.h"
#include "cafe/store/memory.h"
#include "cafe/sys/transport.h"
#include "cafe/testing/sim.h"
#include "engine/node.h"
#include "fuzz.h"

enum { IS_ANSWER = 1, IS_WHOLE = 2, ANSWER_US = 100000, SETTLE_US = 20000000 };

static const cafe_schema *const commands[] = {
    &cafe_place_order_type, &cafe_request_cancel_type, &cafe_confirm_cancel_type, &cafe_establish_order_type,
    &cafe_drop_draft_type,  &cafe_mark_order_type,     &cafe_reject_order_type,   &cafe_unclaim_draft_type};
static const char *const events[] = {"PaymentApproved", "PaymentDeclined", "AuthorizationFailed", "Ordered"};

/* ---- a transport that hands over the server, and keeps what is asked ---- */

typedef struct line {
  cafe_transport base;
  cafe_server *server;
  cafe_request *asked;
  unsigned answers;
} line;

static int line_open(cafe_transport *self, cafe_loop *loop, const char *const *services, cafe_server *server,
                     cafe_err *err) {
  (void)loop, (void)services, (void)err;
  ((line *)self)->server = server;
  return CAFE_OK;
}

static int line_request(cafe_transport *self, cafe_request *request, cafe_err *err) {
  line *own = (line *)self;
  if (own->asked) {
    return cafe_fail(err, CAFE_UNAVAILABLE, "one at a time");
  }
  own->asked = request;
  return CAFE_OK;
}

static void line_cancel(cafe_transport *self, cafe_request *request) {
  line *own = (line *)self;
  own->asked = own->asked == request ? NULL : own->asked;
}

static int line_subscribe(cafe_transport *self, cafe_link *link, cafe_err *err) {
  (void)self, (void)link, (void)err; /* nothing ever comes */
  return CAFE_OK;
}

static void line_on_link(cafe_transport *self, cafe_link *link) { (void)self, (void)link; }

static void line_end(cafe_transport *self) { (void)self; }

static const cafe_transport_ops line_ops = {
    .size = sizeof(cafe_transport_ops),
    .name = "fuzz",
    .open = line_open,
    .request = line_request,
    .cancel = line_cancel,
    .subscribe = line_subscribe,
    .more = line_on_link,
    .unsubscribe = line_on_link,
    .close = line_end,
    .destroy = line_end,
};

/* ---- the node ---- */

typedef struct place {
  cafe_loop *loop;
  cafe_store *store;
  cafe_node *node;
  cafe_shop *shop;
  line line;
  cafe_arena *arena;
  bool is_taken; /* the order has its answer */
} place;

static void place_open(place *self) {
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  cafe_shop_options shop = CAFE_SHOP_OPTIONS_INIT;
  memset(self, 0, sizeof(*self));
  self->line.base.ops = &line_ops;
  self->arena = cafe_arena_create(NULL);
  require(self->arena && cafe_sim_create(&self->loop, 1, NULL, NULL) == CAFE_OK &&
          cafe_memory_create(&self->store, NULL, NULL) == CAFE_OK);
  options.loop = self->loop;
  options.store = self->store;
  options.transport = &self->line.base;
  shop.services = CAFE_SHOP_APP;
  require(cafe_node_create(&self->node, &options, NULL) == CAFE_OK &&
          cafe_shop_create(&self->shop, self->node, &shop, NULL) == CAFE_OK &&
          cafe_node_start(self->node, NULL) == CAFE_OK);
}

static void place_close(place *self) {
  cafe_node_destroy(self->node);
  cafe_shop_destroy(self->shop);
  cafe_store_destroy(self->store);
  cafe_loop_destroy(self->loop);
  cafe_arena_destroy(self->arena);
}

static void run(place *self, int64_t us) { cafe_sim_run(self->loop, cafe_sim_now_us(self->loop) + us); }

static void on_taken(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  place *self = user;
  require(!self->is_taken && (err != NULL) != (outcome != NULL));
  self->is_taken = true;
}

/* Until the saga asks for the payment. */
static void place_order(place *self) {
  static const cafe_place_order latte = {.product_id = {"latte", 5},
                                         .qty = 1,
                                         .customer_id = {"c", 1},
                                         .amount_minor = 4500,
                                         .currency = {"KRW", 3},
                                         .store_id = {"main", 4},
                                         .payment_token = {"token", 5}};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = &cafe_place_order_type;
  submit.data = &latte;
  submit.data_size = sizeof(latte);
  submit.timeout_ms = 3000;
  require(cafe_node_submit(NULL, self->node, &submit, on_taken, self, NULL) == CAFE_OK);
  run(self, ANSWER_US);
  require(self->line.asked != NULL);
}

/* ---- messages, field by field as the engine has them ---- */

typedef struct message {
  const cafe_schema *type;
  void *data;
} message;

static message message_of(const cafe_schema *type, cafe_arena *arena) {
  message made = {type, cafe_arena_alloc(arena, type->width)};
  require(made.data != NULL);
  return made;
}

static void set(const message *self, const char *name, int64_t number, cafe_slice bytes) {
  int at = cafe_schema_find(self->type, cafe_text(name));
  require(at >= 0);
  cafe_value value = cafe_schema_get(self->type, self->data, (uint32_t)at);
  value.number = number;
  value.bytes = bytes;
  require(cafe_schema_set(self->data, self->type, (uint32_t)at, &value, NULL) == CAFE_OK);
}

static cafe_slice encode(const message *self, cafe_arena *arena) {
  cafe_slice bytes;
  require(cafe_schema_encode(&bytes, arena, self->type, self->data, NULL) == CAFE_OK);
  return bytes;
}

static cafe_slice request_around(cafe_slice data, uint8_t which, cafe_arena *arena) {
  static const cafe_slice none = {NULL, 0};
  message made = message_of(&wire_request_type, arena);
  set(&made, "version", which & 64 ? which : 1, none);
  set(&made, "command", 0, cafe_text(commands[which % 8]->name));
  set(&made, "key", which & 32 ? which & 1 : 4711, none);
  set(&made, "data", 0, data);
  return encode(&made, arena);
}

static cafe_slice answer_around(cafe_slice data, uint8_t which, cafe_arena *arena) {
  static const cafe_slice none = {NULL, 0};
  message made = message_of(&wire_answer_type, arena);
  set(&made, "version", which & 64 ? which : 1, none);
  set(&made, "verdict", which & 32 ? which : which % 4, none);
  set(&made, "event", 0, cafe_text(events[which / 4 % 4]));
  set(&made, "event_version", 1, none);
  set(&made, "event_data", 0, data);
  return encode(&made, arena);
}

/* ---- both ways ---- */

static void on_answer(cafe_incoming *incoming, const cafe_err *err, cafe_slice body) {
  place *self = incoming->transport_data[0];
  self->line.answers++;
  if (err) {
    require(err->code != CAFE_OK && err->text[0] != '\0');
    return;
  }
  message answer = message_of(&wire_answer_type, self->arena);
  require(cafe_schema_decode(answer.data, &wire_answer_type, body, NULL) == CAFE_OK);
}

static void ask(place *self, cafe_slice body) {
  cafe_incoming incoming = {.size = sizeof(incoming), .body = body, .answer = on_answer};
  incoming.budget = (cafe_budget){cafe_sim_now_us(self->loop) + ANSWER_US, 0, 0};
  incoming.transport_data[0] = self;
  self->line.server->ops->serve(self->line.server, &incoming);
  run(self, SETTLE_US);
  require(self->line.answers == 1);
}

static void answer(place *self, cafe_slice body) {
  place_order(self);
  cafe_request *asked = self->line.asked;
  self->line.asked = NULL;
  asked->done(asked, NULL, body);
  run(self, SETTLE_US);
  require(self->is_taken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) {
    return 0;
  }
  place self;
  place_open(&self);
  cafe_slice rest = {(const char *)data + 2, size - 2};
  bool is_answer = data[0] & IS_ANSWER, is_whole = data[0] & IS_WHOLE;
  if (is_answer) {
    answer(&self, is_whole ? rest : answer_around(rest, data[1], self.arena));
  } else {
    ask(&self, is_whole ? rest : request_around(rest, data[1], self.arena));
  }
  place_close(&self);
  return 0;
}
