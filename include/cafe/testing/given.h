/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_TESTING_GIVEN_H
#define CAFE_TESTING_GIVEN_H

#include "cafe/aggregate.h"
#include "cafe/policy.h"
#include "cafe/saga.h"
#include "cafe/view.h"

CAFE_BEGIN_DECLS

/*
 * Given what has happened, when this is asked for, then that is said: one stream of an aggregate, the rows of one key
 * of a view, a policy, or one saga, without a node, a store or a clock. Any test framework:
 *
 *   cafe_given *it;
 *   cafe_given_aggregate(&it, &table_aggregate, NULL, NULL);
 *   cafe_given_event(it, CAFE_DATA(table_opened_type, table_opened, .seats = 4));
 *   cafe_when(it, CAFE_DATA(book_table_type, book_table, .guests = 3));
 *   cafe_then_says(it, CAFE_ACCEPTED, CAFE_FACTS(CAFE_FACT(table_booked_type, table_booked, .guests = 3)));
 *   if (!cafe_given_is_well(it))
 *     puts(cafe_given_why(it));
 *   cafe_given_destroy(it);
 *
 * Nothing here asserts, prints or ends the process. Each function that returns bool says whether all is well; false is
 * kept, with the reason of the first failure, until cafe_given_reset: what is called after it does nothing and returns
 * false too. So a test may look at each answer, or once at the end.
 *
 * Data is compared by its schema: the fields that it names, texts by what they say. Everything that is handed in is
 * BORROW: until the call returns. What a definition is handed is overwritten afterwards, so that a pointer that it kept
 * instead of a copy is found. What is to be pure is asked twice, and must say the same. One thread at a time.
 */
typedef struct cafe_given cafe_given;

/* Two arguments: a struct's address and its size, `CAFE_VALUE(book_table, .guests = 3)`. Three: its schema's address
 * first, `CAFE_DATA(book_table_type, book_table, .guests = 3)`. Where all is zero, 0 stands for the fields. */
#define CAFE_VALUE(struct_, ...)        &(struct_){__VA_ARGS__}, sizeof(struct_)
#define CAFE_DATA(schema, struct_, ...) &(schema), CAFE_VALUE(struct_, __VA_ARGS__)

/* An event, a command, or a task, in a list. Frozen. */
typedef struct cafe_fact {
  const cafe_schema *type;
  const void *data;
  size_t size;
  uint64_t key;          /* a command that is asked for: to this key; 0: to the one that it is all about */
  uint32_t task;         /* a task's id */
  uint32_t flags;        /* reserved */
  int64_t not_before_ms; /* a task's */
  const void *reserved[2];
} cafe_fact;

#define CAFE_FACT(schema, struct_, ...)                                                                                \
  {                                                                                                                    \
    CAFE_DATA(schema, struct_, __VA_ARGS__), 0, 0, 0, 0, { NULL, NULL }                                                \
  }
/* A command to another key; a task with its id. */
#define CAFE_FACT_TO(key, schema, struct_, ...)                                                                        \
  {                                                                                                                    \
    CAFE_DATA(schema, struct_, __VA_ARGS__), (key), 0, 0, 0, { NULL, NULL }                                            \
  }
#define CAFE_FACT_TASK(id, schema, struct_, ...)                                                                       \
  {                                                                                                                    \
    CAFE_DATA(schema, struct_, __VA_ARGS__), 0, (id), 0, 0, { NULL, NULL }                                             \
  }
/* A list of them, in this order. An empty list is NULL. It is a compound literal: inside a function it lives as long as
 * its block, and can't be the value of a static variable; outside it can, where all in it is constant: a text is
 * {"kim", 3} then, since cafe_text is a call. */
#define CAFE_FACTS(...)                                                                                                \
  (const cafe_fact[]) {                                                                                                \
    __VA_ARGS__, {                                                                                                     \
      NULL, NULL, 0, 0, 0, 0, 0, { NULL, NULL }                                                                        \
    }                                                                                                                  \
  }

/* Begin with nothing: key 1, at 1000 ms. The definition is checked as far as it shows by itself, and BORROW: until the
 * destroy. OWN: cafe_given_destroy. allocator NULL: malloc; otherwise COPY. CAFE_INVALID says what is wrong with it,
 * CAFE_UNSUPPORTED, CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_given_aggregate(cafe_given **out, const cafe_aggregate *aggregate, const cafe_allocator *allocator,
                                     cafe_err *err);
CAFE_EXPORT int cafe_given_view(cafe_given **out, const cafe_view *view, const cafe_allocator *allocator,
                                cafe_err *err);
CAFE_EXPORT int cafe_given_policy(cafe_given **out, const cafe_policy *policy, const cafe_allocator *allocator,
                                  cafe_err *err);
CAFE_EXPORT int cafe_given_saga(cafe_given **out, const cafe_saga *saga, const cafe_allocator *allocator,
                                cafe_err *err);

/* Frees it and everything that it handed out. NULL is allowed. Since 0.1. */
CAFE_EXPORT void cafe_given_destroy(cafe_given *it);

/* Takes back all that happened, and the failure: key, time and stream are as in the beginning. Since 0.1. */
CAFE_EXPORT void cafe_given_reset(cafe_given *it);

/* Whether nothing has failed yet, and the first failure: one or more lines, without one at the end; "" if nothing has.
 * BORROW: until the reset or the destroy. Since 0.1. */
CAFE_EXPORT bool cafe_given_is_well(const cafe_given *it);
CAFE_EXPORT const char *cafe_given_why(const cafe_given *it);

/* ---- given ---- */

/* Which stream the next events are of: COPY. aggregate NULL: as before; its own name where it is one. An aggregate's
 * key, or a saga's, is set before anything happens. Since 0.1. */
CAFE_EXPORT bool cafe_given_stream(cafe_given *it, const char *aggregate, uint64_t key);

/* From now on it is now_ms, UTC. A saga fires what is due until then, each at its moment; back-off takes no time, what
 * failed is asked again at the next call. Since 0.1. */
CAFE_EXPORT bool cafe_given_time(cafe_given *it, int64_t now_ms);

/* A saga's next event comes from this command, in the same unit: what fold gets as its cause. Since 0.1. */
CAFE_EXPORT bool cafe_given_cause(cafe_given *it, const cafe_schema *command, const void *data, size_t size);

/* It has happened: one that the definition names, of the next version of its stream. A policy reacts, a saga hears it;
 * a saga is put into its row and taken out of it after each input, as by a restart. Since 0.1. */
CAFE_EXPORT bool cafe_given_event(cafe_given *it, const cafe_schema *event, const void *data, size_t size);
CAFE_EXPORT bool cafe_given_events(cafe_given *it, const cafe_fact *events);

/* An aggregate was asked, and what it said has happened: cafe_when, and then its events. Since 0.1. */
CAFE_EXPORT bool cafe_given_command(cafe_given *it, const cafe_schema *command, const void *data, size_t size);

/* ---- when ---- */

/* Asks an aggregate; what is said doesn't happen. False also for what the node would refuse: an event that isn't
 * listed, CAFE_ACCEPTED without an event, and the like. Since 0.1. */
CAFE_EXPORT bool cafe_when(cafe_given *it, const cafe_schema *command, const void *data, size_t size);

/* Whoever waited for a pending command gives up: asks the aggregate's give_up; cafe_then_asks compares. Since 0.1. */
CAFE_EXPORT bool cafe_when_given_up(cafe_given *it, const cafe_schema *command, const void *data, size_t size);

/* What a saga asked by `command`, an action or a compensation that isn't answered yet, is answered: these events
 * happened (NULL: none), and that was the verdict. Since 0.1. */
CAFE_EXPORT bool cafe_when_answered(cafe_given *it, const cafe_schema *command, cafe_verdict verdict,
                                    const cafe_fact *events);

/* The same, but that attempt failed, by CAFE_TIMEOUT (it may have been done) or another code. Since 0.1. */
CAFE_EXPORT bool cafe_when_failed(cafe_given *it, const cafe_schema *command, cafe_code code);

/* The node of a saga stops and starts: what was asked and not answered is asked again. Since 0.1. */
CAFE_EXPORT bool cafe_when_restarted(cafe_given *it);

/* ---- then ---- */

/* The last cafe_when or cafe_given_command was answered so, by exactly these events. Since 0.1. */
CAFE_EXPORT bool cafe_then_says(cafe_given *it, cafe_verdict verdict, const cafe_fact *events);

/* It was refused for this reason, by exactly these events (mostly NULL). Since 0.1. */
CAFE_EXPORT bool cafe_then_refuses(cafe_given *it, const char *reason, const cafe_fact *events);

/* The aggregate's state, or what a saga remembers, is this. A member that no field names isn't compared: look at it by
 * cafe_given_state. Since 0.1. */
CAFE_EXPORT bool cafe_then_is(cafe_given *it, const void *data, size_t size);

/* The state wants exactly these tasks, in this order. Since 0.1. */
CAFE_EXPORT bool cafe_then_wants(cafe_given *it, const cafe_fact *tasks);

/* A policy, or a saga, asked for exactly these commands, in this order, because of the last input: the last call of
 * cafe_given_event, cafe_given_events, cafe_given_time or cafe_when_*. Since 0.1. */
CAFE_EXPORT bool cafe_then_asks(cafe_given *it, const cafe_fact *commands);

/* The view's row, the one under `sub` (0 where it has one row a key), is this. data NULL: there is none, or it is
 * hidden (an inline view's CAFE_FOLD_HIDE, another's column shown_by). Since 0.1. */
CAFE_EXPORT bool cafe_then_row(cafe_given *it, uint64_t sub, const void *data, size_t size);

/* The saga is so: "none", "running", "guarding", "compensating", "ended", "undone", "parked" (an operator is needed);
 * and stands at these steps, "await_started+capture"; "" for none. Since 0.1. */
CAFE_EXPORT bool cafe_then_stands(cafe_given *it, const char *phase, const char *steps);

/* ---- more ---- */

/* What was said last, in a line: an aggregate's "accepted TableBooked", "refused:full", "pending TableHeld"; a policy's
 * or a saga's commands by name. BORROW: until the next call. Since 0.1. */
CAFE_EXPORT const char *cafe_given_said(const cafe_given *it);

/* The text of the last refusal, "" if there was none. BORROW: until the next call. Since 0.1. */
CAFE_EXPORT const char *cafe_given_text(const cafe_given *it);

/* The data of the last event or command of that type that was said last; NULL: none was. BORROW: until the next call.
 * Since 0.1. */
CAFE_EXPORT const void *cafe_given_data(const cafe_given *it, const cafe_schema *type);

/* The state of an aggregate, what a saga remembers, a view's row under `sub`, shown or not; NULL: there is none.
 * BORROW: until the next call. Since 0.1. */
CAFE_EXPORT const void *cafe_given_state(const cafe_given *it);
CAFE_EXPORT const void *cafe_given_row(const cafe_given *it, uint64_t sub);

/* A state, and what is said there to each command of a list, separated by " | ": "-" unchanged, "?" pending, "!reason"
 * refused, each with the names of its events behind it; an accepted one is its events alone. Several names have a blank
 * between. So for BookTable, which waits for its deposit, and FreeTable, which doesn't:
 *
 *   {.name = "free", .given = NULL, .said = "?TableAsked | -"},
 *   {.name = "asked for", .given = asked, .said = "? | TableFreed DepositReturned"},
 *   {.name = "taken", .given = taken, .said = "!taken | !guests-there GuestsWarned"},
 *   {.name = NULL},
 *
 * Frozen. */
typedef struct cafe_given_case {
  const char *name;
  const cafe_fact *given; /* NULL: nothing */
  const char *said;
  const void *reserved[2];
} cafe_given_case;

/* Asks an aggregate each command in each state of the table, which is ended by a case without a name. What was given
 * before is taken back. All that is wrong is told. Since 0.1. */
CAFE_EXPORT bool cafe_given_table(cafe_given *it, const cafe_fact *commands, const cafe_given_case *cases);

/* Lets all that an aggregate or a view was given happen once more, with the arena running out of memory at every point:
 * each callback must then return CAFE_NOMEM. The state stays as it was. Since 0.1. */
CAFE_EXPORT bool cafe_given_starve(cafe_given *it);

CAFE_END_DECLS

#endif
