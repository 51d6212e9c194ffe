/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOUSE_H
#define HOUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "cafe/cafe.h"
#include "cafe/op.h"
#include "cafe/testing/sim.h"
#include "cafe/transport/inproc.h"
#include "failing_alloc.h"

/*
 * Three nodes over a hub, each with a store of its own: east and west, where something is said about keys, and the
 * board, whose view is made from both of their logs and holds what each said of a key. What is said is never hidden, so
 * who follows the board's changes must be told of every event of both logs, once, and of each log in its order: a
 * listener checks that as he goes, and house_check in the end.
 */
typedef struct house house;

enum { HOUSE_EAST, HOUSE_WEST, HOUSE_BOARD, HOUSE_NODES, HOUSE_LOGS = 2 };

typedef struct house_row {
  int64_t east, west; /* so often each has said something */
} house_row;

/* job_max_us 0: the stores take no time. is_mixed: the board hosts the east, too. Nobody is up yet. */
house *house_create(uint64_t seed, int64_t job_max_us, bool is_mixed);
/* Fails the test if memory is left. */
void house_destroy(house *h);
cafe_loop *house_loop(house *h);
cafe_inproc *house_hub(house *h);
/* The board's view. */
const cafe_view *house_view(void);
cafe_node *house_node(house *h, int which); /* NULL: it is down */
failing_alloc *house_memory(house *h, int which);
/* Links of other nodes' logs that are open at the board, and how many ever were. */
uint32_t house_links(const house *h);
uint32_t house_subscribed(const house *h);
/* Calls of the board's store, ever. */
uint64_t house_store_calls(const house *h);

/* Fails only for want of memory. */
int house_start(house *h, int which);
/* Closes it, and waits until it is. */
void house_stop(house *h, int which);
/* It was closed. */
void house_leave(house *h, int which);
/* kill -9: what it has in memory is gone. */
void house_kill(house *h, int which);
/* A new store, with a log of another id. The node is down. */
void house_forget(house *h, int which);
void house_cut(house *h, int which, bool is_cut);
/* Nobody waits for the answer, if the node takes it at all. */
void house_say(house *h, int which, uint64_t key, int64_t n);
void house_run(house *h, int64_t ms);
/* Until nothing is left that ever could happen. */
void house_rest(house *h);
/* Events in that log. */
uint64_t house_head(house *h, int which);

/* ---- who follows ---- */

enum { HOUSE_PLACES = 8 };

typedef struct house_listener {
  house *house;
  uint32_t limit;
  int64_t timeout_ms;
  bool from_start; /* without positions */
  bool is_paused;  /* doesn't ask for the next page by himself */
  cafe_op *op;     /* NULL: he isn't asking */
  uint32_t position_count;
  cafe_position positions[HOUSE_PLACES];
  uint64_t seen[HOUSE_LOGS]; /* the last position of that log */
  uint64_t events, pages, empty;
  int code; /* of the last answer */
  char text[256];
} house_listener;

/* Asks for the next page, if he isn't asking: the code. */
int house_listen(house_listener *self);
/* He is told of all of both logs. */
void house_check(house *h, const house_listener *self);

#endif
