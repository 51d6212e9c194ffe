/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coffee shop in one call: the services of lib/domain and lib/view, hosted by a node, with workers for the tasks of
 * payment and notification. It has no rule of its own, and uses what any program could use: cafe_node_host and
 * cafe_node_employ.
 *
 * The node keeps references to what is made here, to the customer's service too, whose channels are known only now. So
 * everything that may fail for want of memory comes first, and the shop outlives the running node.
 */
#include "cafe/shop.h"

#include "base/sized.h"
#include "cafe/sys/channel.h"
#include "channel/channel.h"
#include "domain/services.h"
#include "engine/node.h"
#include "gateway/gateway.h"
#include "view/dashboard.h"

struct cafe_shop {
  cafe_allocator allocator;
  cafe_worker gateway_worker;
  cafe_worker channel_worker;
  services_customer customer;
  char channels[]; /* names, separated by spaces */
};

enum { PAYMENT_CONCURRENCY = 64 }; /* as a limit's by default */

static const cafe_retry gateway_default = {.initial_ms = 200, .max_ms = 30000, .max_attempts = 20, .timeout_ms = 10000};
static const cafe_retry channel_default = {.initial_ms = 500, .max_ms = 60000, .max_attempts = 20, .timeout_ms = 10000};

static cafe_retry or_default(cafe_retry wanted, cafe_retry otherwise) {
  bool is_zeroed = !wanted.initial_ms && !wanted.max_ms && !wanted.max_attempts && !wanted.timeout_ms;
  return is_zeroed ? otherwise : wanted;
}

static int check_retries(const cafe_shop_options *options, cafe_err *err) {
  bool is_known = is_zero(options->gateway_retry.reserved, sizeof(options->gateway_retry.reserved)) &&
                  is_zero(options->channel_retry.reserved, sizeof(options->channel_retry.reserved));
  return is_known ? CAFE_OK
                  : cafe_fail(err, CAFE_UNSUPPORTED, "shop: a retry has reserved words that this library doesn't know");
}

static int check_channels(const cafe_shop_options *options, cafe_err *err) {
  if (options->channel_count > CAFE_CHANNELS_MAX) {
    return cafe_fail(err, CAFE_INVALID, "shop: at most %d channels", (int)CAFE_CHANNELS_MAX);
  }
  for (uint32_t i = 0; i < options->channel_count; i++) {
    if (!options->channels || !options->channels[i]) {
      return cafe_fail(err, CAFE_INVALID, "shop: channel %u of %u is NULL", (unsigned)i + 1,
                       (unsigned)options->channel_count);
    }
    const char *name = options->channels[i]->name;
    if (!name[0] || strpbrk(name, " \t\r\n")) {
      return cafe_fail(err, CAFE_INVALID, "shop: channel name \"%s\": it must be a word", name);
    }
    for (uint32_t j = 0; j < i; j++) {
      if (strcmp(options->channels[j]->name, name) == 0) {
        return cafe_fail(err, CAFE_INVALID, "shop: there are two channels %s; their names tell them apart", name);
      }
    }
  }
  return CAFE_OK;
}

static size_t names_size(const cafe_shop_options *options) {
  size_t size = 1;
  for (uint32_t i = 0; i < options->channel_count; i++) {
    size += strlen(options->channels[i]->name) + 1;
  }
  return size;
}

static void join_names(char *out, const cafe_shop_options *options) {
  for (uint32_t i = 0; i < options->channel_count; i++) {
    size_t size = strlen(options->channels[i]->name);
    if (i > 0) {
      *out++ = ' ';
    }
    memcpy(out, options->channels[i]->name, size);
    out += size;
  }
  *out = '\0';
}

static int host(cafe_shop *shop, cafe_node *node, unsigned services, cafe_err *err) {
  const struct {
    unsigned bit;
    const cafe_service *service;
    const cafe_worker *worker;
  } parts[] = {
      {CAFE_SHOP_APP, services_app(), NULL},
      {CAFE_SHOP_PAY, services_pay(), &shop->gateway_worker},
      {CAFE_SHOP_STORE, services_store(), NULL},
      {CAFE_SHOP_CUSTOMER, &shop->customer.service, &shop->channel_worker},
      {CAFE_SHOP_DASHBOARD, view_dashboard_service(), NULL},
  };
  int code = CAFE_OK;
  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && code == CAFE_OK; i++) {
    if (!(services & parts[i].bit)) {
      continue;
    }
    code = cafe_node_host(node, parts[i].service, err);
    if (code == CAFE_OK && parts[i].worker) {
      code = cafe_node_employ(node, parts[i].worker, err);
    }
  }
  return code;
}

static int put_guard(cafe_node *node, const cafe_shop_options *options, cafe_err *err) {
  cafe_breaker_options breaker = CAFE_BREAKER_OPTIONS_INIT;
  cafe_limit_options limit = CAFE_LIMIT_OPTIONS_INIT;
  cafe_guard guard = services_payment_guard();
  breaker.volume = options->breaker_volume;
  breaker.error_permille = options->breaker_error_permille;
  breaker.window_ms = options->breaker_window_ms;
  breaker.sleep_ms = options->breaker_sleep_ms;
  limit.max = options->payment_concurrency;
  guard.breaker = &breaker;
  guard.limit = &limit;
  return cafe_node_guard(node, &guard, err);
}

int cafe_shop_create(cafe_shop **out, cafe_node *node, const cafe_shop_options *given, cafe_err *err) {
  cafe_shop_options own;
  const cafe_shop_options *options = &own;
  int code = SIZED_READ(&own, given, cafe_shop_options, channel_retry, "CAFE_SHOP_OPTIONS_INIT", err);
  if (code != CAFE_OK) {
    return code;
  }
  unsigned services = options->services ? options->services : CAFE_SHOP_ALL;
  if (services & ~(unsigned)CAFE_SHOP_ALL) {
    return cafe_fail(err, CAFE_INVALID, "shop: services: an unknown one is asked for");
  }
  if ((services & CAFE_SHOP_PAY) && !options->gateway) {
    return cafe_fail(err, CAFE_INVALID, "shop: service pay needs a gateway");
  }
  code = check_channels(options, err);
  if (code == CAFE_OK) {
    code = check_retries(options, err);
  }
  if (code != CAFE_OK) {
    return code;
  }

  cafe_allocator allocator = node->allocator;
  cafe_shop *shop = allocator.resize(NULL, sizeof(*shop) + names_size(options), allocator.user);
  if (!shop) {
    return cafe_fail(err, CAFE_NOMEM, "shop: memory was refused");
  }
  memset(shop, 0, sizeof(*shop));
  shop->allocator = allocator;
  join_names(shop->channels, options);
  services_customer_init(&shop->customer, shop->channels);
  if (services & CAFE_SHOP_PAY) {
    cafe_retry retry = or_default(options->gateway_retry, gateway_default);
    uint32_t concurrency = options->payment_concurrency ? options->payment_concurrency : PAYMENT_CONCURRENCY;
    code = gateway_worker_create(&shop->gateway_worker, options->gateway, concurrency, retry, &allocator, err);
  }
  if (code == CAFE_OK && (services & CAFE_SHOP_CUSTOMER)) {
    cafe_retry retry = or_default(options->channel_retry, channel_default);
    code =
        channel_worker_create(&shop->channel_worker, options->channels, options->channel_count, retry, &allocator, err);
  }
  if (code == CAFE_OK) {
    code = host(shop, node, services, err);
  }
  if (code == CAFE_OK && (services & CAFE_SHOP_APP)) {
    code = put_guard(node, options, err);
  }
  if (code != CAFE_OK) {
    cafe_shop_destroy(shop);
    return code;
  }
  *out = shop;
  return CAFE_OK;
}

void cafe_shop_destroy(cafe_shop *shop) {
  if (shop) {
    cafe_allocator allocator = shop->allocator;
    gateway_worker_destroy(&shop->gateway_worker);
    channel_worker_destroy(&shop->channel_worker);
    (void)allocator.resize(shop, 0, allocator.user);
  }
}
