/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server's life. Kept here: a start that fails has changed nothing, so options are read and addresses are taken
 * before the store is opened; and what a service was given is taken away only after the node that uses it is gone.
 */
#include "server/server.h"

#include "cafe/store/sqlite.h"
#include "http/host.h"
#include "server/peers.h"
#include "upkeep/upkeep.h"

#include <assert.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPTIONS_MAX = 64 };

typedef struct server {
  const server_program *program;
  option options[OPTIONS_MAX];
  int option_count;
  host host;
  cafe_transport *transport;
  cafe_shop *shop;
  server_setup setup;
  const void *configs[SERVER_PARTS_MAX];
  int part_count;
  upkeep_config upkeep;
} server;

/* ---- options ---- */

static const option common[] = {
    HOST_OPTIONS,
    {.name = "upkeep",
     .argument = "HOST:PORT",
     .help = "for operators, who aren't asked who they are: backups, dead letters, views, and what is forgotten"},
    {.name = "restore", .argument = "BACKUP", .help = "makes the store of a backup, and ends"},
    {.name = NULL},
};
static const option apart[] = {PEER_OPTIONS, {.name = NULL}};
static const option together[] = {
    {.name = "peer",
     .argument = "NAME=URL",
     .help = "not needed here, and ignored: all services are in this process; repeatable",
     .is_repeatable = true},
    {.name = NULL},
};

/* Two parts may have one option: both read it. */
static void add_options(server *self, const option *more) {
  for (; more && more->name; more++) {
    if (!option_find(self->options, more->name)) {
      assert(self->option_count < OPTIONS_MAX - 1); /* the last one ends the table */
      self->options[self->option_count++] = *more;
    }
  }
}

static void set_default(server *self, const char *name, const char *value, const char *help) {
  for (option *each = self->options; each->name; each++) {
    if (strcmp(each->name, name) == 0) {
      each->fallback = value;
      each->help = help ? help : each->help;
    }
  }
}

static int read_options(server *self, int argc, char **argv, cafe_err *err) {
  const server_program *program = self->program;
  add_options(self, common);
  add_options(self, program->node ? apart : together);
  for (const server_part *const *part = program->parts; *part; part++) {
    add_options(self, (*part)->options);
    self->part_count++;
  }
  set_default(self, "listen", program->listen,
              self->part_count > 1 ? "the first service is at PORT + 1, the next at PORT + 2, ..." : NULL);
  set_default(self, "store", program->store, NULL);
  set_default(self, "node", program->node, NULL);
  return options_read(self->options, argc, argv, program->summary, err);
}

/* ---- opening ---- */

static int open_parts(server *self, cafe_err *err) {
  int code = CAFE_OK;
  self->setup = (server_setup){.options = self->options, .loop = self->host.loop, .shop = CAFE_SHOP_OPTIONS_INIT};
  for (int i = 0; i < self->part_count && code == CAFE_OK; i++) {
    const server_part *part = self->program->parts[i];
    self->setup.shop.services |= (unsigned)part->hosted;
    self->setup.config = NULL;
    code = part->open ? part->open(&self->setup, err) : CAFE_OK;
    self->configs[i] = self->setup.config;
  }
  return code;
}

static int open_node(server *self, cafe_err *err) {
  int code = self->program->node ? peers_open(&self->transport, self->program, self->options, &self->host, err)
                                 : option_peers(self->options, "peer", err);
  return code == CAFE_OK ? host_make_node(&self->host, self->transport, err) : code;
}

static int listen_for_upkeep(server *self, int first, cafe_err *err) {
  const char *wanted = option_value(self->options, "upkeep");
  char address[256];
  int port;
  if (!wanted) {
    return CAFE_OK;
  }
  int code = option_address(address, sizeof address, &port, self->options, "upkeep", OPTION_PORT_MAX, err);
  if (code == CAFE_OK && port >= first && port < first + self->part_count) {
    code = cafe_fail(err, CAFE_INVALID, "%s%s: that port is for customers", option_given_as(self->options, "upkeep"),
                     wanted);
  }
  if (code == CAFE_OK) {
    code = host_store_file(&self->upkeep.store_file, self->options, err);
  }
  return code == CAFE_OK ? host_listen(&self->host, option_find(self->options, "upkeep"), "upkeep", address, port,
                                       &upkeep_service, &self->upkeep, err)
                         : code;
}

/* A supervisor's sockets are called "http", or "http-app", "http-pay", ... where there are several. */
static int listen_all(server *self, cafe_err *err) {
  char address[256];
  char socket[32] = "http";
  bool has_several = self->part_count > 1;
  int first;
  int code = option_address(address, sizeof address, &first, self->options, "listen",
                            OPTION_PORT_MAX - (has_several ? self->part_count : 0), err);
  first += has_several;
  for (int i = 0; i < self->part_count && code == CAFE_OK; i++) {
    const http_service *service = self->program->parts[i]->service;
    if (has_several) {
      (void)snprintf(socket, sizeof socket, "http-%s", service->name);
    }
    code = host_listen(&self->host, option_find(self->options, "listen"), socket, address, first + i, service,
                       self->configs[i], err);
  }
  if (code == CAFE_OK) {
    code = listen_for_upkeep(self, first, err);
  }
  return code == CAFE_OK ? listen_check(&self->host.inherited, err) : code;
}

static int host_services(server *self, const cafe_service *const *guests, cafe_err *err) {
  int code = cafe_shop_create(&self->shop, self->host.node, &self->setup.shop, err);
  for (; guests && *guests && code == CAFE_OK; guests++) {
    code = cafe_node_host(self->host.node, *guests, err);
  }
  return code;
}

/* The store first: whoever else has it has the ledger too, and is to be named as the store's holder. */
static int start(server *self, cafe_err *err) {
  if (!option_find(self->options, "store")->is_given) {
    (void)mkdir("var", 0777); /* the default's folder; whether it is there now is told by who opens a file in it */
  }
  int code = cafe_node_start(self->host.node, err);
  for (int i = 0; i < self->part_count && code == CAFE_OK; i++) {
    const server_part *part = self->program->parts[i];
    code = part->start ? part->start(self->host.ledger, err) : CAFE_OK;
  }
  return code;
}

static int serve(server *self, const cafe_service *const *guests, cafe_err *err) {
  int listeners = self->part_count + (option_value(self->options, "upkeep") != NULL);
  int code = host_open(&self->host, self->options, self->program->name, listeners, err);
  if (code == CAFE_OK) {
    code = open_parts(self, err);
  }
  if (code == CAFE_OK) {
    code = open_node(self, err);
  }
  if (code == CAFE_OK) {
    code = listen_all(self, err);
  }
  if (code == CAFE_OK) {
    code = host_services(self, guests, err);
  }
  if (code == CAFE_OK) {
    code = start(self, err);
  }
  return code == CAFE_OK ? host_run(&self->host, err) : code;
}

/* ---- restoring ---- */

/* The ledger is the gateway's, and what moved money isn't undone by going back: it is never part of a backup. */
static const char *ledger_advice(const server *self, const char *file) {
  bool has_ledger = false;
  char ledger[4096];
  for (int i = 0; i < self->part_count; i++) {
    has_ledger = has_ledger || self->program->parts[i]->has_ledger;
  }
  if (!has_ledger) {
    return "";
  }
  int size = snprintf(ledger, sizeof ledger, "%s.sandbox", file);
  bool is_there = size > 0 && (size_t)size < sizeof ledger && access(ledger, F_OK) == 0;
  return is_there ? "; the sandbox gateway goes on with the ledger beside it"
                  : "; put the latest .sandbox file of the lost store beside it: the gateway's ledger";
}

static int restore(const server *self, const char *backup, cafe_err *err) {
  const char *file;
  int code = host_store_file(&file, self->options, err);
  if (code == CAFE_OK && !file) {
    code = cafe_fail(err, CAFE_INVALID, "%s%s: a backup becomes a store that is sqlite:FILE",
                     option_given_as(self->options, "restore"), backup);
  }
  if (code == CAFE_OK) {
    code = cafe_sqlite_restore(file, backup, err);
  }
  if (code == CAFE_OK) {
    printf("%s: %s is restored from %s%s\n", self->program->name, file, backup, ledger_advice(self, file));
  }
  return code;
}

int server_main(const server_program *program, int argc, char **argv, const cafe_service *const *guests) {
  static server self; /* signals find it to the very end */
  cafe_err err = {0};
  self.program = program;
  int code = read_options(&self, argc, argv, &err);
  const char *backup = option_value(self.options, "restore");
  if (code == CAFE_OK && backup) {
    code = restore(&self, backup, &err);
  } else if (code == CAFE_OK) {
    code = serve(&self, guests, &err);
  }
  if (code != CAFE_OK) {
    (void)fprintf(stderr, "%s: %s\n", program->name, err.text);
  }
  host_close_node(&self.host);
  cafe_transport_destroy(self.transport);
  cafe_shop_destroy(self.shop);
  for (int i = 0; i < self.part_count; i++) {
    if (program->parts[i]->close) {
      program->parts[i]->close();
    }
  }
  int status = host_status(&self.host, code);
  host_close(&self.host);
  return status;
}
