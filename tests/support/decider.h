/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECIDER_H
#define DECIDER_H

#include "cafe/aggregate.h"
#include "schema/collect.h"

/*
 * One stream of one aggregate: given what has happened, when this is asked for, then that is said.
 *
 *   decider it;
 *   decider_init(&it, &cafe_order_aggregate);
 *   decider_given(&it, &cafe_ordered_type, &ordered);
 *   decider_when(&it, &cafe_mark_order_type, &mark);
 *   assert_string_equal(decider_said(&it), "accepted OrderAccepted");
 *   decider_deinit(&it);
 */
typedef struct decider {
  const cafe_aggregate *aggregate;
  cafe_arena *arena;
  void *state;
  uint64_t version;
  int64_t now_ms;       /* 1000 at first */
  cafe_verdict verdict; /* of the last decision */
  cafe_decision decision;
  const cafe_schema *last; /* event of the last decision; NULL: none */
  const void *last_data;
  char said[512];
} decider;

void decider_init(decider *self, const cafe_aggregate *aggregate);
void decider_deinit(decider *self);

/* Takes all that happened back. */
void decider_reset(decider *self);

/* It has happened. Fails the test if it isn't an event of the aggregate. */
void decider_given(decider *self, const cafe_schema *event, const void *data);

/* Asks, and keeps what is said for decider_said; the state stays as it was. */
void decider_when(decider *self, const cafe_schema *command, const void *data);

/* Asks, and what is said has happened. */
void decider_do(decider *self, const cafe_schema *command, const void *data);

/* "accepted", "unchanged", "pending" or "refused:reason", then the events' names. BORROW: until the next question. */
const char *decider_said(const decider *self);

/* A command, or an event that has happened. Lists of them are ended by {NULL, NULL}. */
typedef struct decider_step {
  const cafe_schema *type;
  const void *data;
} decider_step;

/* A state, and what it says to each command of a list, separated by " | ": "-" unchanged, "?" pending, "!reason"
 * refused; then, or for accepted alone, the names of the events. */
typedef struct decider_row {
  const char *state;
  decider_step given[12];
  const char *said;
} decider_row;

/* Checks every pair of rows (ended by one without a name) and commands. A wrong row fails the test, all are printed. */
void decider_table(const cafe_aggregate *aggregate, const decider_step *commands, const decider_row *rows);

/* Checks every field table of the aggregate, and that no event holds a secret. */
void decider_check_schemas(const cafe_aggregate *aggregate);

/* Lets it happen with every allocation refused in turn: each either succeeds or says CAFE_NOMEM. */
void decider_starve(const cafe_aggregate *aggregate, const decider_step *given);

/* The tasks that the state wants: "2 PaymentTask", in their order. BORROW: until the next question. */
const char *decider_wants(decider *self);

#endif
