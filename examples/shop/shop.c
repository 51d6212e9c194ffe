/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cafe-shop: all five services in one process, on one SQLite file. Each has the port and the paths that it has as a
 * process of its own, so that nobody who calls them can tell the difference.
 */
#include "shop/shop.h"

#include "app/app.h"
#include "cafe/gateway/sandbox.h"
#include "cafe/store/sqlite.h"
#include "customer/channels.h"
#include "customer/customer.h"
#include "dashboard/dashboard.h"
#include "http/host.h"
#include "pay/pay.h"
#include "store/store.h"
#include "upkeep/upkeep.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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
    {.name = "upkeep",
     .argument = "HOST:PORT",
     .help = "for operators, who aren't asked who they are: backups, dead letters, views, and what is forgotten"},
    {.name = "restore", .argument = "BACKUP", .help = "makes the store of a backup, and ends"},
    {.name = NULL},
};

typedef struct shop {
  host host;
  cafe_gateway *sandbox;
  channel_set channels;
  cafe_shop *services;
  app_config app;
  pay_config pay;
  upkeep_config upkeep;
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

static int open_services(shop *self, const cafe_service *const *guests, cafe_err *err) {
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
  for (; guests && *guests && code == CAFE_OK; guests++) {
    code = cafe_node_host(self->host.node, *guests, err);
  }
  return code;
}

/* The ledger is the gateway's, and what moved money isn't undone by going back: it is never part of a backup. */
static int restore(const char *backup, cafe_err *err) {
  const char *file;
  char ledger[4096];
  int code = host_store_file(&file, options, err);
  if (code == CAFE_OK && !file) {
    code = cafe_fail(err, CAFE_INVALID, "--restore %s: a backup becomes a store that is sqlite:FILE", backup);
  }
  if (code == CAFE_OK) {
    code = cafe_sqlite_restore(file, backup, err);
  }
  if (code == CAFE_OK) {
    int size = snprintf(ledger, sizeof ledger, "%s.sandbox", file);
    bool has_ledger = size > 0 && (size_t)size < sizeof ledger && access(ledger, F_OK) == 0;
    printf("cafe-shop: %s is restored from %s; %s\n", file, backup,
           has_ledger ? "the sandbox gateway goes on with the ledger beside it"
                      : "put the latest .sandbox file of the lost store beside it: the gateway's ledger");
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

static int listen_for_upkeep(shop *self, int base, cafe_err *err) {
  char address[256];
  int port;
  if (!option_value(options, "upkeep")) {
    return CAFE_OK;
  }
  int code = option_address(address, sizeof address, &port, options, "upkeep", PORT_MAX + SERVICES, err);
  if (code == CAFE_OK && port > base && port <= base + SERVICES) {
    code = cafe_fail(err, CAFE_INVALID, "--upkeep %s: that port is for customers", option_value(options, "upkeep"));
  }
  if (code == CAFE_OK) {
    code = host_store_file(&self->upkeep.store_file, options, err);
  }
  return code == CAFE_OK ? host_listen(&self->host, address, port, &upkeep_service, &self->upkeep, err) : code;
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
  return code == CAFE_OK ? listen_for_upkeep(self, base, err) : code;
}

static int serve(shop *self, const cafe_service *const *guests, cafe_err *err) {
  int listeners = SERVICES + (option_value(options, "upkeep") != NULL);
  int code = host_open(&self->host, options, "cafe-shop", listeners, err);
  if (code == CAFE_OK) {
    code = read_config(self, err);
  }
  if (code == CAFE_OK) {
    code = listen_all(self, err);
  }
  if (code == CAFE_OK) {
    code = open_services(self, guests, err);
  }
  if (code == CAFE_OK) {
    code = start(self, err);
  }
  return code == CAFE_OK ? host_run(&self->host, err) : code;
}

int shop_main(int argc, char **argv, const cafe_service *const *guests) {
  static shop self;
  cafe_err err = {0};
  int code = options_read(options, argc, argv, "All five services of the coffee shop in one process.", &err);
  const char *backup = option_value(options, "restore");
  if (code == CAFE_OK && backup) {
    code = restore(backup, &err);
  } else if (code == CAFE_OK) {
    code = serve(&self, guests, &err);
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
