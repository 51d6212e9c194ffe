/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_SAGA_H
#define CAFE_SAGA_H

#include "cafe/aggregate.h"
#include "cafe/policy.h"

CAFE_BEGIN_DECLS

/*
 * A saga is data: steps on branches, and interrupts. The coordinator (lib/saga) runs it as a pure function over a row
 * that is committed in the unit of whatever moved it, so a crash resumes it where it stood.
 *
 * Signals are events of the saga's key. One that comes early is kept and counts when its step is reached; one that
 * comes again changes nothing; where several count in one step, failing goes before turning, turning before completing.
 * Aggregates decide, a saga only asks: each action and compensation is a command that its aggregate answers by its own
 * state, however often it comes.
 *
 * What it asks for is of its own key, too, and anything else fails the unit. What another key has to decide is asked in
 * four steps: the action is a command to the own key; its event is heard by a policy that says other_key, which asks
 * the other key; the event of that one is heard by such a policy too, which asks the own key for the event that is the
 * signal.
 */

enum {
  CAFE_SAGA_STEPS_MAX = 32,
  CAFE_SAGA_SIGNALS_MAX = 63, /* different event types that one saga names */
  CAFE_SAGA_INTERRUPTS_MAX = 8,
  CAFE_SAGA_TIMEOUTS_MAX = 16
};

typedef enum cafe_step_kind {
  CAFE_STEP_COMPENSATABLE = 1, /* before the pivot: can be undone */
  CAFE_STEP_PIVOT = 2,         /* the point of no return: exactly one */
  CAFE_STEP_RETRIABLE = 3      /* after it: tried until it succeeds, or goes forward another way */
} cafe_step_kind;

/* How a step before the pivot is undone where it has no compensation of its own. */
typedef enum cafe_step_undo {
  CAFE_UNDO_COMPENSATION = 0, /* by its compensation; a step without action needs none */
  CAFE_UNDO_GUARD = 1,        /* the interrupt's guard, when granted, undid it */
  CAFE_UNDO_SIGNAL = 2        /* the signal that fails it says that it is undone, or never was done */
} cafe_step_undo;

/* Names commands by cafe_react, all to the saga's key, from what the saga remembers: the key too, which fold keeps.
 * Pure. user is the saga's, here and below. */
typedef void (*cafe_saga_ask)(cafe_reaction *out, const void *data, void *user);

/* A moment at which something is asked for, while the step stands; it doesn't move the saga: the events that the
 * command causes do. It fires once for each due time: a later due_ms (data changed) arms it again. Frozen, as are turn,
 * step and interrupt. */
typedef struct cafe_saga_timeout {
  const char *name;
  int (*due_ms)(int64_t *out, const void *data, void *user); /* REQUIRED. UTC; 0, as set before: not now */
  cafe_saga_ask ask;                                         /* REQUIRED. */
  const void *reserved[2];
} cafe_saga_timeout;

/* A signal that turns the saga forward to another step of the same branch instead of failing it. */
typedef struct cafe_saga_turn {
  const cafe_schema *signal;
  const char *to; /* a step's name; NULL ends the branch */
  const void *reserved[2];
} cafe_saga_turn;

typedef struct cafe_saga_step {
  const char *name; /* kept for ever: running sagas are found by it */
  cafe_step_kind kind;
  cafe_step_undo undo;
  const char *branch; /* NULL: the main one. Steps of one branch follow each other in the order of the table */
  const char *after;  /* first step of another branch than main: begins when that step of main is done. The pivot isn't
                         entered before each branch that began before it has ended */

  cafe_saga_ask action;                /* asked once on entry, and on each `again`; NULL: only waits */
  const cafe_schema *const *again;     /* signals that ask the action again, each time they come; NULL: none */
  const cafe_schema *const *completes; /* signals that end the step well; NULL: an answered action does, and a refused
                                          one fails it (after the pivot: an operator is needed) */
  const cafe_schema *const *fails;     /* before the pivot: signals that undo the saga from here; NULL: none */
  const cafe_saga_turn *turns;         /* ended by one without signal; NULL: none */
  const cafe_saga_timeout *timeouts;   /* ended by one without name; NULL: none */

  cafe_saga_ask compensation;            /* asked when the saga is undone and this step was entered; NULL: none */
  const cafe_schema *const *compensated; /* signals that say it is undone; NULL: an answered compensation does.
                                            One that came before counts */

  /* For commands to a service on another node. */
  cafe_retry retry; /* zeroed: 100 ms, 10 s, without end, 5 s */
  /* UTC: no attempt outlasts it; NULL, or 0 as set before: none. With one it is a step that a caller waits for: the
   * attempts that an operation began are within that one's timeout_ms and attempts (op.h), too. */
  int (*deadline_ms)(int64_t *out, const void *data, void *user);
  cafe_saga_ask unavailable; /* the attempts are used up or the peer surely did nothing: ask this */
  const void *reserved[4];
} cafe_saga_step;

/*
 * An interrupt: a signal that may stop the saga. In a listed step its guard runs: somebody else decides, and its own
 * events are the answer. Granted: the saga is undone. Refused: the saga stays exactly where it was and asks `refuse`.
 * One guard at a time; other interrupts and signals are kept meanwhile, time goes on. In a step not listed, and while
 * the saga is undone: `refuse` at once. What guard, grant, refuse, timeouts and `unavailable` ask is for aggregates of
 * the same node: it is decided in the same unit, and not asked a second time.
 */
typedef struct cafe_saga_interrupt {
  const char *name;
  const cafe_schema *signal;
  /* OPTIONAL. Whether this event of that type is this interrupt: *out, false as set before. */
  int (*when)(bool *out, const cafe_event *event, void *user);
  const char *const *legal_in;       /* steps of main, ended by NULL */
  cafe_saga_ask guard;               /* NULL: the signal itself is the question, a policy elsewhere hears it */
  const cafe_schema *const *granted; /* REQUIRED, ended by NULL */
  const cafe_schema *const *refused; /* REQUIRED, ended by NULL. May be seen already when the guard starts */
  cafe_saga_ask grant;               /* OPTIONAL. Asked when granted, before the compensations */
  cafe_saga_ask refuse;              /* OPTIONAL. */
  const void *reserved[4];
} cafe_saga_interrupt;

/* Frozen. */
typedef struct cafe_saga {
  size_t size; /* CAFE_SAGA sets it */
  const char *name;
  uint32_t version;          /* running sagas of another version go on by theirs: host both */
  const cafe_schema *data;   /* what it remembers; may hold CAFE_FIELD_SECRET */
  const cafe_schema *starts; /* the event that starts one, once a key */
  const cafe_saga_step *steps;
  uint32_t step_count;
  const cafe_saga_interrupt *interrupts;
  uint32_t interrupt_count;
  const cafe_schema *const *remembers; /* events for fold beyond those named above, ended by NULL; or NULL */

  /* REQUIRED. data becomes what is remembered after event. cause is the command it came from where that was in the
   * same unit, else NULL: the only way for a secret, which no event holds. Returns CAFE_OK or a cafe_code. */
  int (*fold)(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user);

  void *user; /* handed to the callbacks, those of steps and interrupts too */

  /* OPTIONAL. All that it may ask for, ended by NULL, each taken by an aggregate of the node or one of its remotes: so
   * that what nobody takes is found at the start, not by the first saga that asks for it. Asking for anything else
   * fails the unit. NULL: nothing is known before. */
  const cafe_schema *const *commands;
  const void *reserved[7];
} cafe_saga;

#define CAFE_SAGA sizeof(cafe_saga)

/* Checks a definition, as hosting it does: names, references, limits; exactly one pivot; before it each step with an
 * action has a compensation or says what undoes it; after it each is retriable and none fails; every interrupt can be
 * granted and refused; every wait can end. saga BORROW: until it returns. CAFE_INVALID says which step and why;
 * CAFE_UNSUPPORTED: a newer library is needed. THREADSAFE. Since 0.1. */
CAFE_EXPORT int cafe_saga_check(const cafe_saga *saga, cafe_err *err);

/* Writes the saga as a graph in the DOT language (graphviz.org/doc/info/lang.html) by `write`, piece by piece; one that
 * cafe_saga_check refuses becomes a graph that says why. Each text BORROW: until write returns. THREADSAFE.
 * Since 0.1. */
CAFE_EXPORT void cafe_saga_print(const cafe_saga *saga, void (*write)(cafe_slice text, void *user), void *user);

CAFE_END_DECLS

#endif
