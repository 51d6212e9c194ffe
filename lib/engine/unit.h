/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_UNIT_H
#define ENGINE_UNIT_H

#include "engine/node.h"

/* What the files share that make a unit of an act: unit.c, decide.c, seal.c. */

typedef struct work {
  struct work *next;
  const command_type *command;
  const void *data;
  cafe_op *op;
  uint32_t saga;
  const saga_ask *ask; /* NULL: a policy's, or the act's own */
} work;

typedef struct execution {
  cafe_node *node;
  struct subject *subject;
  struct unit *unit;
  cafe_arena *arena;
  work *first, *last;
  uint32_t commands;
  uint64_t changed_sagas;
  uint64_t touched; /* aggregates with new events */
  cafe_stored_event *stored;
  uint32_t stored_count, stored_room;
  saga_caller caller; /* who waits for the act */
  cafe_err *err;
} execution;

/* CAFE_NOMEM. */
int unit_no_memory(cafe_err *err);

/* ---- decide.c. All: CAFE_NOMEM, CAFE_INVALID, and what a callback fails with. ---- */

/* The command joins the unit's queue, or goes to another node behind the unit. ask NULL: it isn't a saga's. */
int decide_queue(execution *x, const cafe_schema *schema, uint64_t key, const void *data, uint32_t saga,
                 const saga_ask *ask);
int decide_queue_asks(execution *x, uint32_t saga, const saga_asks *asks);
/* The saga hears the event, of this or of another log, and what it asks for is queued. cause may be NULL. */
int decide_signal(execution *x, uint32_t saga, const cafe_event *event, const cafe_command *cause);
/* All of the queue is decided, with what is queued meanwhile. */
int decide_run(execution *x);

/* ---- seal.c ---- */

/* CAFE_NOMEM, CAFE_INVALID, and what a callback fails with. */
int seal_unit(execution *x, struct act *act);

#endif
