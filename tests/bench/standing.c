/* SPDX-License-Identifier: Apache-2.0 */

/* What all measurements stand on: a node that hosts the shop or a part of it, as a program that uses the library has
 * it. */
#include "standing.h"

#include <stdio.h>

#include "cafe/gateway/sandbox.h"
#include "cafe/loop/uv.h"
#include "cafe/store/memory.h"
#include "cafe/store/sqlite.h"

static int channel_send(cafe_channel *self, cafe_delivery *delivery, cafe_err *err) {
  (void)err;
  instant_channel *channel = (instant_channel *)self;
  delivery->channel_data[0] = channel->first;
  channel->first = delivery;
  channel->count++;
  return CAFE_OK;
}

static void channel_stop(cafe_channel *self, cafe_delivery *delivery) {
  instant_channel *channel = (instant_channel *)self;
  cafe_delivery **at = &channel->first;
  while (*at && *at != delivery) {
    at = (cafe_delivery **)&(*at)->channel_data[0];
  }
  if (*at) {
    *at = delivery->channel_data[0];
  }
}

static void channel_destroy(cafe_channel *self) { (void)self; }

static const cafe_channel_ops channel_ops = {sizeof(channel_ops), channel_send, channel_stop, channel_destroy};

/* Not inside send, but before the loop waits. */
static void answer_deliveries(instant_channel *channel) {
  while (channel->first) {
    cafe_delivery *delivery = channel->first;
    channel->first = delivery->channel_data[0];
    cafe_delivery_answer(delivery, NULL);
  }
}

static void log_line(const cafe_log_record *record, void *user) {
  (void)user;
  fprintf(stderr, "cafe-bench: the node says: %s\n", record->text);
}

static int open_store(standing *self, const standing_options *wanted, cafe_err *err) {
  int code = wanted->store == BENCH_MEMORY ? cafe_memory_create(&self->store, NULL, err)
                                           : cafe_sqlite_create(&self->store, wanted->path, NULL, err);
  if (code == CAFE_OK) {
    self->counted = counted_store_create(self->store);
    code = self->counted ? CAFE_OK : cafe_fail(err, CAFE_NOMEM, "no memory");
  }
  if (code == CAFE_OK) {
    counted_store_watch(self->counted, wanted->see, wanted->see_user);
  }
  return code;
}

static int open_node(standing *self, const standing_options *wanted, cafe_err *err) {
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.name = wanted->name;
  options.loop = self->loop;
  options.store = counted_store_base(self->counted);
  options.transport = self->transport;
  options.log = (cafe_log){log_line, NULL, CAFE_LOG_WARN};
  cafe_channel *channels[] = {&self->channel.base};
  cafe_shop_options shop = CAFE_SHOP_OPTIONS_INIT;
  shop.services = wanted->services;
  shop.channels = channels;
  shop.channel_count = 1;
  shop.payment_concurrency = 1000000; /* nothing is refused for being much */
  int code = cafe_node_create(&self->node, &options, err);
  if (code == CAFE_OK) {
    code = cafe_sandbox_create(&self->gateway, self->loop, wanted->ledger, NULL, err);
  }
  if (code == CAFE_OK) {
    shop.gateway = self->gateway;
    code = cafe_shop_create(&self->shop, self->node, &shop, err);
  }
  return code == CAFE_OK ? cafe_node_start(self->node, err) : code;
}

static void before_waiting(uv_prepare_t *handle) {
  standing *self = handle->data;
  answer_deliveries(&self->channel);
  if (self->look) {
    self->look(self->user);
  }
}

static int open_loop(standing *self, standing *together, cafe_err *err) {
  if (together) {
    self->is_guest = true;
    self->loop = together->loop;
    uv_prepare_init(&together->uv, &self->before_waiting);
  } else {
    if (uv_loop_init(&self->uv) != 0) {
      return cafe_fail(err, CAFE_NOMEM, "no memory");
    }
    uv_prepare_init(&self->uv, &self->before_waiting);
    int code = cafe_uv_create(&self->loop, &self->uv, NULL, err);
    if (code != CAFE_OK) {
      return code;
    }
  }
  self->before_waiting.data = self;
  uv_prepare_start(&self->before_waiting, before_waiting);
  return CAFE_OK;
}

int standing_open(standing *self, const standing_options *wanted, cafe_err *err) {
  self->channel.base.ops = &channel_ops;
  self->channel.base.name = "bench";
  int code = open_loop(self, wanted->together, err);
  if (code == CAFE_OK) {
    code = open_store(self, wanted, err);
  }
  if (code == CAFE_OK && wanted->join) {
    code = wanted->join(&self->transport, self->loop, wanted->join_user, err);
  }
  return code == CAFE_OK ? open_node(self, wanted, err) : code;
}

int standing_open_alone(standing *self, const bench_case *wanted, cafe_err *err) {
  char path[512];
  char ledger[512];
  workload_path(path, sizeof(path), wanted);
  workload_ledger(ledger, sizeof(ledger), wanted);
  standing_options options = {.name = "cafe-bench",
                              .services = CAFE_SHOP_APP | CAFE_SHOP_PAY | CAFE_SHOP_STORE | CAFE_SHOP_CUSTOMER,
                              .store = wanted->store,
                              .path = path,
                              .ledger = wanted->has_ledger ? ledger : NULL};
  return standing_open(self, &options, err);
}

void standing_close(standing *self) {
  cafe_node_destroy(self->node);
  cafe_shop_destroy(self->shop);
  cafe_gateway_destroy(self->gateway);
  cafe_transport_destroy(self->transport);
  counted_store_free(self->counted);
  cafe_store_destroy(self->store);
  if (!self->loop) {
    return;
  }
  uv_close((uv_handle_t *)&self->before_waiting, NULL);
  if (!self->is_guest) {
    cafe_loop_destroy(self->loop);
    uv_run(&self->uv, UV_RUN_DEFAULT);
    uv_loop_close(&self->uv);
  }
}
