/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SAGA_COORDINATOR_H
#define SAGA_COORDINATOR_H

#include "cafe/saga.h"
#include "schema/collect.h"

/*
 * The coordinator: (instance, input, now) → (instance, asks). Pure. The engine feeds it start, signals, answers and
 * time, carries out what it asks, and commits the row in the same unit.
 */

/* A checked definition, ready to run. */
typedef struct saga_plan saga_plan;

int saga_plan_create(saga_plan **out, const cafe_saga *saga, const cafe_allocator *allocator, cafe_err *err);
void saga_plan_destroy(saga_plan *plan);
const cafe_saga *saga_plan_saga(const saga_plan *plan);
/* Every event type it wants to be fed, starts included; ended by NULL. BORROW: as long as the plan. */
const cafe_schema *const *saga_plan_signals(const saga_plan *plan);

typedef enum saga_phase {
  SAGA_NONE = 0,
  SAGA_RUNNING = 1,
  SAGA_GUARDING = 2, /* an interrupt's guard is asked */
  SAGA_COMPENSATING = 3,
  SAGA_ENDED = 4,  /* all branches done */
  SAGA_UNDONE = 5, /* all compensated */
  SAGA_PARKED = 6  /* an operator is needed; an event, an answer or a resume may still move it: go on feeding it */
} saga_phase;

/* The row of the table `sagas`; key is the saga's, sub is saga_number. */
typedef struct saga_row {
  cafe_slice name;
  int64_t saga_version;
  saga_phase phase;
  cafe_slice steps; /* where it stands, readable: "await_started+capture" */
  cafe_slice guard; /* the interrupt whose guard is asked */
  int64_t attempt;  /* of the action being retried, 0 if none */
  int64_t due_ms;   /* next timeout or retry, TIME */
  int64_t started_at_ms;
  int64_t updated_at_ms;
  cafe_slice state; /* the coordinator's own, BYTES */
  cafe_slice data;  /* what the saga remembers, BYTES; emptied of secrets when their step has ended: by fold */
} saga_row;

extern const cafe_schema saga_row_type;
/* What the column `state` is made of (row.c). */
extern const cafe_schema saga_state_type, saga_mark_type, saga_step_type;

/* A stable number above 0 for a saga's name (the row's sub). */
uint64_t saga_number(const char *name);

typedef enum saga_ask_kind {
  SAGA_ASK_ACTION = 1,
  SAGA_ASK_COMPENSATION = 2,
  SAGA_ASK_OTHER = 3 /* timeouts, guards, grant, refuse, unavailable: nobody waits for the answer, and none is asked
                        again (but a guard, by saga_resume): for local aggregates only */
} saga_ask_kind;

/* A command that the saga wants decided: by a local aggregate in this unit, or by request. */
typedef struct saga_ask {
  struct saga_ask *next;
  saga_ask_kind kind;
  uint32_t step;       /* index, for saga_answer; ACTION and COMPENSATION */
  uint32_t attempt;    /* from 1; several commands of one attempt share it, and each is answered */
  int64_t deadline_ms; /* UTC; 0: none but the retry's timeout */
  int64_t timeout_ms;  /* of this attempt */
  uint32_t retries;    /* whoever is asked may try again so often; UINT32_MAX: no limit */
  const collected *command;
} saga_ask;

/* What is left to somebody who waits for what an input begins. Zeroed: nobody waits. */
typedef struct saga_caller {
  bool waits;
  int64_t deadline_ms; /* UTC; 0: none */
  uint32_t retries;    /* UINT32_MAX: no limit */
} saga_caller;

/* What came out of one input, to be carried out in this order. Set whole by it; in the arena that was handed in. */
typedef struct saga_asks {
  saga_ask *first;
  saga_ask *last;
  uint32_t count;
} saga_asks;

typedef struct saga_instance saga_instance;

/* A zeroed instance (phase SAGA_NONE). Its memory, and what fold keeps, comes from the arena. NULL: no memory. */
saga_instance *saga_instance_create(const saga_plan *plan, uint64_t key, cafe_arena *arena);
saga_phase saga_instance_phase(const saga_instance *instance);
const void *saga_instance_data(const saga_instance *instance);

/* For whom the inputs are that follow. A step that has a deadline is what a caller waits for: where one of these inputs
 * begins to ask its action, all attempts of that run are made within what is left to him. In memory only: a saga that
 * was saved and loaded goes on by itself. */
void saga_instance_set_caller(saga_instance *instance, saga_caller caller);

/* An event of the saga's key: starts it, moves it, or is kept (before the start too: a row of SAGA_NONE is written
 * then). One it doesn't name, one that was fed before (its type's last version, or an earlier one), and any after the
 * end change nothing. *changed tells whether the row must be written. Here and below: CAFE_OK, CAFE_NOMEM, or
 * what a callback of the definition failed with; after a failure the instance is unusable. */
int saga_signal(saga_instance *instance, const cafe_event *event, const cafe_command *cause, int64_t now_ms,
                cafe_arena *scratch, saga_asks *out, bool *changed, cafe_err *err);

/* How an ACTION or COMPENSATION was answered. The events that a local command caused have been fed as signals before.
 * code CAFE_OK: by the verdict. CAFE_TIMEOUT, CAFE_UNAVAILABLE, …: that attempt failed; it is asked again by the step's
 * retry, or `unavailable` is asked (used-up attempts that all failed definitely). An answer to an earlier attempt or a
 * step that was left changes nothing. random: for jitter. */
int saga_answer(saga_instance *instance, saga_ask_kind kind, uint32_t step, uint32_t attempt, int code,
                cafe_verdict verdict, int64_t now_ms, uint64_t random, cafe_arena *scratch, saga_asks *out,
                bool *changed, cafe_err *err);

/* Time has come to now_ms: fires what is due. */
int saga_tick(saga_instance *instance, int64_t now_ms, cafe_arena *scratch, saga_asks *out, bool *changed,
              cafe_err *err);

/* After a restart: asks again every action or compensation that was asked and not answered (its command was for another
 * node: to local aggregates asking and answering is one unit); the guard that is asked; and what an operator is needed
 * for, since a corrected program may have been started. */
int saga_resume(saga_instance *instance, int64_t now_ms, cafe_arena *scratch, saga_asks *out, bool *changed,
                cafe_err *err);

/* The earliest moment saga_tick is wanted, UTC; 0: none. */
int saga_due_ms(int64_t *out, const saga_instance *instance, cafe_err *err);

/* To and from the row. The row's bytes are in the arena. saga_load, into an instance just created: CAFE_NOMEM,
 * CAFE_CORRUPT, CAFE_UNSUPPORTED (a step or version the plan doesn't know). */
int saga_save(saga_row *out, const saga_instance *instance, int64_t now_ms, cafe_arena *arena, cafe_err *err);
int saga_load(saga_instance *instance, const saga_row *row, cafe_err *err);

#endif
