/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SAGA_PLAN_H
#define SAGA_PLAN_H

#include "saga/coordinator.h"

/* A definition with its names resolved: steps, branches, signals and timeouts are numbers here, lists of signals are
 * sets, so that a transition is a few comparisons of bits. */

enum { SAGA_NO = 255, SAGA_MAIN = 0, SAGA_STARTS = 0 };

/* Bit i stands for plan->signals[i]. */
typedef uint64_t saga_set;

typedef struct plan_step {
  uint32_t id; /* saga_id of its name: what the row keeps */
  uint8_t branch;
  uint8_t next;          /* of its branch; SAGA_NO: none */
  uint8_t after;         /* of main; SAGA_NO unless it is the first of another branch */
  uint8_t first_timeout; /* its timeouts are numbered through the saga */
  uint8_t timeout_count;
  saga_set again, completes, fails, turns, compensated;
} plan_step;

typedef struct plan_interrupt {
  uint32_t id;
  uint8_t signal;
  uint32_t legal_in; /* bit i: step i */
  saga_set granted, refused;
} plan_interrupt;

struct saga_plan {
  cafe_allocator allocator;
  const cafe_saga *saga;
  uint8_t signal_count;
  uint8_t branch_count;
  uint8_t timeout_count;
  uint8_t pivot;
  uint8_t first[CAFE_SAGA_STEPS_MAX]; /* by branch */
  const cafe_schema *signals[CAFE_SAGA_SIGNALS_MAX + 1];
  uint32_t signal_ids[CAFE_SAGA_SIGNALS_MAX];
  plan_step steps[CAFE_SAGA_STEPS_MAX];
  plan_interrupt interrupts[CAFE_SAGA_INTERRUPTS_MAX];
  uint32_t timeout_ids[CAFE_SAGA_TIMEOUTS_MAX];
};

/* Checks the definition and resolves it into *plan, which needs no destroying. CAFE_INVALID. */
int plan_build(saga_plan *plan, const cafe_saga *saga, cafe_err *err);

/* The number of a signal, or SAGA_NO. */
uint32_t plan_signal(const saga_plan *plan, const cafe_schema *type);
/* The number of a step, or SAGA_NO. */
uint32_t plan_find(const cafe_saga *saga, const char *step);
/* Whether what the step does can still be taken back when it is done: it lies before the pivot, on main or beside. */
bool plan_is_early(const saga_plan *plan, uint32_t step);

/* A name as a number above 0: FNV-1a of 32 bits (Fowler, Noll, Vo). It is what rows keep instead of the name. */
uint32_t saga_id(const char *name);

/* ---- check.c: the rules, before and after the names are resolved ---- */

/* What a message is about: a step, an interrupt, or (kind NULL) the whole saga. */
typedef struct check_place {
  const cafe_saga *saga;
  const char *kind;
  const char *name;
  cafe_err *err;
} check_place;

/* Fails with the code, and the place in front of the text. */
int check_refuse_as(const check_place *place, cafe_code code, const char *format, ...) CAFE_PRINTF(3, 4);
#define check_refuse(place, ...) check_refuse_as((place), CAFE_INVALID, __VA_ARGS__)
int check_names(const cafe_saga *saga, cafe_err *err);
int check_rules(const saga_plan *plan, cafe_err *err);

#endif
