/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "cafe/shop.h"
#include "http/http.h"
#include "http/options.h"

/*
 * A program that serves services of the coffee shop: one of them, or several on one store. What a service needs and
 * brings along is its part; the rest, from the command line to the end of the drain, is the same for all.
 */

/* What a part is given, and gives, before the node starts. */
typedef struct server_setup {
  const option *options;  /* BORROW: for the process's life */
  cafe_loop *loop;        /* BORROW: until the part's close has returned */
  cafe_shop_options shop; /* what it has the shop do */
  const void *config;     /* its HTTP service's. BORROW: until its close */
} server_setup;

/* Another service that this one hears or asks. */
typedef struct server_need {
  const char *peer; /* "pay" */
  const char *why;  /* "orders are paid there" */
} server_need;

typedef struct server_part {
  const http_service *service;
  cafe_shop_service hosted;
  const server_need *needs; /* ended by {NULL} */
  const option *options;    /* that only programs with this part have, ended by {NULL}; or NULL */
  bool has_ledger;          /* it keeps a file beside the store's */

  /* OPTIONAL. Reads its options. CAFE_INVALID names one that is wrong. */
  int (*open)(server_setup *setup, cafe_err *err);
  /* OPTIONAL. The store is open. ledger: a file of the part's own beside it; NULL: the store is in memory. */
  int (*start)(const char *ledger, cafe_err *err);
  /* OPTIONAL. The node is gone. Also where open failed, or was never called. */
  void (*close)(void);
} server_part;

enum { SERVER_PARTS_MAX = 5 };

typedef struct server_program {
  const char *name;    /* "cafe-app" */
  const char *summary; /* for --help */
  /* Ended by NULL. Of several each has a port of its own, from the one behind --listen's. */
  const server_part *parts[SERVER_PARTS_MAX + 1];
  const char *listen, *node, *store; /* defaults; node NULL: all that it needs is in this process */
} server_program;

/* The whole program, and in it services that a newcomer brings (ended by NULL; or NULL). Returns the exit status. */
int server_main(const server_program *program, int argc, char **argv, const cafe_service *const *guests);

#endif
