/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cafe-shop: all five services in one process, on one SQLite file. Each has the port and the paths that it has as a
 * process of its own, so that nobody who calls them can tell the difference.
 */
#include "app/app.h"
#include "cafe/gateway/sandbox.h"
#include "customer/channels.h"
#include "customer/customer.h"
#include "dashboard/dashboard.h"
#include "http/host.h"
#include "pay/pay.h"
#include "store/store.h"

#include <stdio.h>
#include <sys/stat.h>

enum { SERVICES = 5, PORT_MAX = 65535 - SERVICES };

static option options[] = {
    HOST_OPTIONS("127.0.0.1:8080", "app at PORT + 1, then pay, store, customer, dashboard", "sqlite:var/shop.db"),
    {.name = "peer",
     .argument = "NAME=URL",
     .help = "not needed here, and ignored: all five are in this process; repeatable",
     .is_repeatable = true},
    {.name = "payment-deadline", .argument = "DURATION", .fallback = "600ms", .help = "from an order to its answer"},
    {.name = "accept-deadline", .argument = "DURATION", .fallback = "900s", .help = "for the store to accept a ticket"},
    {.name = "currency", .argument = "CODE", .fallback = "KRW", .help = "where an order names none"},
    CHANNEL_OPTIONS,
    {.name = NULL},
};

typedef struct shop {
  host host;
  cafe_gateway *sandbox;
  channel_set channels;
  cafe_shop *services;
  app_config app;
  pay_config pay;
} shop;

static int read_config(shop *self, cafe_err *err) {
  int decimals;
  self->app.currency = option_value(options, "currency");
  int code = cafe_currency_decimals(&decimals, cafe_text(self->app.currency), NULL);
  if (code != CAFE_OK) {
    return cafe_fail(err, CAFE_INVALID, "--currency %s: a currency is an ISO 4217 code, such as KRW",
                     self->app.currency);
  }
  code = option_peers(options, "peer", err);
  if (code == CAFE_OK) {
    code = option_duration(&self->app.payment_deadline_ms, options, "payment-deadline", err);
  }
  if (code == CAFE_OK) {
    code = option_duration(&self->app.accept_deadline_ms, options, "accept-deadline", err);
  }
  return code;
}

static int open_services(shop *self, cafe_err *err) {
  int code = channels_open(&self->channels, options, self->host.loop, err);
  if (code == CAFE_OK) {
    code = cafe_sandbox_create(&self->sandbox, self->host.loop, NULL, NULL, err);
  }
  if (code == CAFE_OK) {
    cafe_shop_options wanted = CAFE_SHOP_OPTIONS_INIT;
    wanted.gateway = self->sandbox;
    wanted.channels = self->channels.all;
    wanted.channel_count = self->channels.count;
    self->pay.sandbox = self->sandbox;
    code = cafe_shop_create(&self->services, self->host.node, &wanted, err);
  }
  return code;
}

/* The store first: whoever else has it has the ledger too, and is to be named as the store's holder. */
static int start(shop *self, cafe_err *err) {
  if (!option_find(options, "store")->is_given) {
    (void)mkdir("var", 0777); /* the default's folder; whether it is there now is told by who opens a file in it */
  }
  int code = cafe_node_start(self->host.node, err);
  if (code == CAFE_OK && self->host.ledger) {
    code = cafe_sandbox_open(self->sandbox, self->host.ledger, err);
  }
  return code;
}

static int listen_all(shop *self, cafe_err *err) {
  char address[256];
  int base;
  const struct {
    const http_service *service;
    const void *config;
  } served[SERVICES] = {{&app_service, &self->app},
                        {&pay_service, &self->pay},
                        {&store_service, NULL},
                        {&customer_service, NULL},
                        {&dashboard_service, NULL}};
  int code = option_address(address, sizeof address, &base, options, "listen", PORT_MAX, err);
  for (int i = 0; i < SERVICES && code == CAFE_OK; i++) {
    code = host_listen(&self->host, address, base + 1 + i, served[i].service, served[i].config, err);
  }
  return code;
}

int main(int argc, char **argv) {
  static shop self;
  cafe_err err = {0};
  int code = options_read(options, argc, argv, "All five services of the coffee shop in one process.", &err);
  if (code == CAFE_OK) {
    code = host_open(&self.host, options, "cafe-shop", SERVICES, &err);
  }
  if (code == CAFE_OK) {
    code = read_config(&self, &err);
  }
  if (code == CAFE_OK) {
    code = listen_all(&self, &err);
  }
  if (code == CAFE_OK) {
    code = open_services(&self, &err);
  }
  if (code == CAFE_OK) {
    code = start(&self, &err);
  }
  if (code == CAFE_OK) {
    code = host_run(&self.host, &err);
  }
  if (code != CAFE_OK) {
    (void)fprintf(stderr, "cafe-shop: %s\n", err.text);
  }
  host_close_node(&self.host);
  cafe_shop_destroy(self.services);
  channels_close(&self.channels);
  cafe_gateway_destroy(self.sandbox);
  int status = host_status(&self.host, code);
  host_close(&self.host);
  return status;
}
