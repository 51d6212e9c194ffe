/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_AGGREGATE_H
#define CAFE_AGGREGATE_H

#include "cafe/alloc.h"
#include "cafe/schema.h"
#include "cafe/types.h"

CAFE_BEGIN_DECLS

/*
 * Definitions: aggregates, workers, policies, sagas, views. What is said of their callbacks here holds for all of them.
 *
 * Each gets its definition's `user` last, runs on the loop thread, and must neither call the node nor keep what it is
 * handed. Each may fail: by the cafe_code that it returns, or, where it is handed a collector, by cafe_decision_fail
 * and its like. The unit then fails with that code, and with a text that names the definition and the event; nothing of
 * the unit is written, and what was in memory of it is forgotten. Whoever submitted the command gets the failure; what
 * is due is tried again, for as long as it fails. What comes from a log is tried again, too, and nothing behind it is
 * taken before it; after some tries it is parked as a dead letter, and what is behind it goes on (letters.h), unless it
 * fails by a code that is retryable (err.h).
 * CAFE_CONFLICT, CAFE_CANCELED and what is no code are told as CAFE_INVALID: the library says those two itself.
 *
 * user BORROW: until the node that hosts the definition is destroyed. NULL is allowed.
 *
 * A definition begins with its size, as options do, set by the macro or the initialiser of its type. One of an older
 * header, which is shorter, is taken as it is, and what it lacks is zero. One of a newer header, which is longer, is
 * taken if what is beyond is zero; else it is CAFE_UNSUPPORTED: a newer library is needed. Shorter than in 0.1, or
 * without a size: CAFE_INVALID.
 */

/* What happened, once and for ever. Made by the library; BORROW: valid until the function that was handed it returns.
 * Frozen. */
typedef struct cafe_event {
  const cafe_schema *type;
  const char *aggregate; /* the stream is (aggregate, key) */
  uint64_t key;
  uint64_t version;       /* in its stream, from 1 without gaps */
  int64_t time_ms;        /* UTC, of the decision */
  cafe_position position; /* n is 0 while it isn't committed */
  cafe_slice trace;       /* W3C traceparent of what caused it, or empty */
  const void *data;       /* the struct that type describes */
  const void *reserved[2];
} cafe_event;

/* What is asked for. BORROW, as an event. Fields may be added at the end. */
typedef struct cafe_command {
  const cafe_schema *type;
  uint64_t key;
  int64_t now_ms; /* UTC: the only clock a decision sees */
  const void *data;
} cafe_command;

/* What became of a command. A refusal is an answer, not an error. */
typedef enum cafe_verdict {
  CAFE_ACCEPTED = 1,  /* events were decided, one at least, or the command fails */
  CAFE_UNCHANGED = 2, /* it is so already; nothing new: with an event the command fails */
  CAFE_PENDING = 3,   /* the answer is one of the command's outcomes, in this unit or a later one */
  CAFE_REFUSED = 4
} cafe_verdict;

/* Collects what a decision says. A failure is kept, the first one, and fails the command. */
typedef struct cafe_decision cafe_decision;

/* Adds an event, one that the aggregate lists; inside decide only. data COPY, texts too: the struct that type
 * describes, of `size` bytes (schema.h). Fails with CAFE_NOMEM, CAFE_INVALID for a value outside its type,
 * CAFE_UNSUPPORTED. Since 0.1. */
CAFE_EXPORT void cafe_emit(cafe_decision *decision, const cafe_schema *type, const void *data, size_t size);

/* Says why not: `return cafe_refuse(decision, "wrong-state", "…")`; inside decide only. reason is a kebab-case word for
 * programs, the text is for people: COPY both. Returns CAFE_REFUSED; events emitted before are committed all the
 * same. No memory is kept as a failure, and fails the command. Since 0.1. */
CAFE_EXPORT cafe_verdict cafe_refuse(cafe_decision *decision, const char *reason, const char *format, ...)
    CAFE_PRINTF(3, 4);

/* Fails the command, also when events were emitted: `return cafe_decision_fail(decision, CAFE_UNAVAILABLE, "…")`.
 * Returns CAFE_REFUSED, which counts for nothing then. Since 0.1. */
CAFE_EXPORT cafe_verdict cafe_decision_fail(cafe_decision *decision, cafe_code code, const char *format, ...)
    CAFE_PRINTF(3, 4);

/* One event that answers a pending command: any of the command's key, of whichever aggregate of the node, also one that
 * its own decision emits. It is answered by the first unit that has such an event from its own on; where that unit has
 * several, by the last of them, which is what the state after it rests on. Frozen. */
typedef struct cafe_command_outcome {
  const cafe_schema *event;
  cafe_verdict verdict; /* CAFE_ACCEPTED, or CAFE_REFUSED with the event's name as reason and text */
  uint32_t flags;       /* reserved */
  const void *reserved[2];
} cafe_command_outcome;

/* Frozen. */
typedef struct cafe_command_type {
  const cafe_schema *command;
  const cafe_command_outcome *outcomes; /* ended by one without event; NULL for a command that never says
                                           CAFE_PENDING */
  uint64_t flags;                       /* reserved */
  const void *reserved[2];
} cafe_command_type;

/*
 * Tasks: what a state asks of the outside world (move money, send a message). A task is wanted as long as tasks() names
 * it; the event that makes it wanted is committed before it is started, and the worker (below) answers with a command
 * whose events end it. After a crash it is started again, with a higher attempt: so it must be repeatable, by its own
 * idempotency key.
 */
struct cafe_reaction; /* policy.h */

typedef struct cafe_tasks cafe_tasks;

/* Names a wanted task; inside tasks only. id is unique in its stream, for ever; type is one of task_types; data COPY,
 * texts too: the struct that it describes, of `size` bytes (schema.h). It is started when it is not_before_ms (UTC; 0:
 * at once). A failure is kept, as by cafe_emit. Since 0.1. */
CAFE_EXPORT void cafe_want(cafe_tasks *out, uint32_t id, const cafe_schema *type, const void *data, size_t size,
                           int64_t not_before_ms);

/* Fails what looks at the state. Since 0.1. */
CAFE_EXPORT void cafe_tasks_fail(cafe_tasks *out, cafe_code code, const char *format, ...) CAFE_PRINTF(3, 4);

/*
 * An aggregate: state, decide, evolve. All of it pure: no clock, no random, no I/O, no static variable; the heap only
 * by the arena. The four of the coffee shop use this same interface. BORROW, with all that it points to: until the node
 * that hosts it is destroyed. Frozen.
 */
typedef struct cafe_aggregate {
  size_t size;                       /* CAFE_AGGREGATE sets it */
  const char *name;                  /* "order": the first half of the stream's name, unique in a node and kept for
                                        ever; letters, digits, '_', '-' and '.' */
  const cafe_schema *state;          /* zeroed is the state of a stream without events. It is never stored, so that its
                                        numbers may be given anew; but it is checked as all schemas are. The struct
                                        may have members that no field names, such as a list: evolve keeps it */
  const cafe_schema *const *events;  /* all it emits, ended by NULL */
  const cafe_command_type *commands; /* all it takes, ended by one without command */

  /* REQUIRED. (state, command) → events, by cafe_emit, and a verdict: CAFE_PENDING only for a command with outcomes,
   * CAFE_REFUSED only by cafe_refuse. command->type is one of commands. BORROW all until it returns. */
  cafe_verdict (*decide)(cafe_decision *out, const void *state, const cafe_command *command, void *user);

  /* REQUIRED. state becomes the state after event. Texts to keep are copied into the arena, which lives as long as the
   * state; the nodes of a list are taken from it (cafe_arena_alloc), and linked in state. What is unlinked is taken
   * back when the key leaves memory. Returns CAFE_OK, or a cafe_code if it couldn't be done now; it can't refuse: what
   * happened has happened. */
  int (*evolve)(void *state, const cafe_event *event, cafe_arena *arena, void *user);

  /* OPTIONAL. Names the tasks that this state wants. */
  void (*tasks)(cafe_tasks *out, const void *state, void *user);
  const cafe_schema *const *task_types; /* all that tasks may name, ended by NULL; NULL without tasks. Each has a worker
                                           on the node that hosts the aggregate, or the node isn't started */

  /* OPTIONAL. Whoever waited for this pending command gave up (cafe_op_cancel), and nobody else waits for one of its
   * type: names by cafe_react (policy.h) the command that takes it back, or none: one, to the same key, of an aggregate
   * of the node. Pure. Where it fails, or names anything else (CAFE_INVALID), the command goes on, and the log says
   * so. */
  void (*give_up)(struct cafe_reaction *out, const cafe_command *command, void *user);

  void *user; /* handed to the callbacks */
  const void *reserved[8];
} cafe_aggregate;

#define CAFE_AGGREGATE sizeof(cafe_aggregate)

/* How often and how soon something is tried again: after attempt a it waits U(0, min(max_ms, initial_ms * 2^(a-1)))
 * (full jitter: Brooker, "Exponential Backoff And Jitter", 2015). Zeroed: at once, without end, and without a limit to
 * an attempt, but where a default is named. Frozen. */
typedef struct cafe_retry {
  int64_t initial_ms; /* at most max_ms */
  int64_t max_ms;
  uint32_t max_attempts; /* 0: without end */
  int64_t timeout_ms;    /* an attempt without an answer for so long is taken as failed; 0: none */
  int64_t reserved[2];
} cafe_retry;

/* One run of a task. BORROW: valid until it is answered or stopped. */
typedef struct cafe_task {
  uint64_t key;
  const char *aggregate;
  uint32_t id;
  uint32_t attempt; /* from 1; more than 1: an earlier one may have taken effect */
  const cafe_schema *type;
  const void *data;
  int64_t now_ms;            /* UTC, when it started */
  const cafe_command *cause; /* the command whose unit made it wanted, secrets included; NULL after a restart, or where
                                memory was short: ask without it */
} cafe_task;

/*
 * Does the tasks of one type. On the loop thread; must not block. Answers each started task exactly once, by one of
 * the two calls below, also inside start.
 */
typedef struct cafe_worker {
  size_t size;             /* CAFE_WORKER sets it */
  const cafe_schema *task; /* the type it does */
  cafe_retry retry;

  /* REQUIRED. Begins. A failure returned counts as a failed attempt, and the task isn't answered then. */
  int (*start)(cafe_task *task, cafe_err *err, void *user);

  /* OPTIONAL without timeout_ms. The attempt timed out, isn't wanted any more, or the node closes: let go of it.
   * Afterwards it must not be answered. NULL: it is waited for. */
  void (*stop)(cafe_task *task, void *user);

  /* REQUIRED if max_attempts isn't 0. The last attempt failed: names by cafe_react (policy.h) the one command, to the
   * task's own key, of an aggregate of the node, that says so. Where it fails, or names anything else or none
   * (CAFE_INVALID), the log says so, and the task goes on being tried. BORROW all until it returns. */
  void (*give_up)(struct cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user);

  void *user; /* handed to the callbacks */
} cafe_worker;

#define CAFE_WORKER sizeof(cafe_worker)

/* Answers a task by a command to its key, of an aggregate of the node; its events are to end the task, which otherwise
 * runs again. data COPY, texts too, of `size` bytes (schema.h). The task is gone afterwards. A failure (no memory, a
 * command that nobody takes, data that isn't understood) counts as a failed attempt. Loop thread. Since 0.1. */
CAFE_EXPORT void cafe_task_settle(cafe_task *task, const cafe_schema *command, const void *data, size_t size);

/* The attempt failed: again later, by the worker's retry but not before reason's retry_after_ms, or give_up after the
 * last. reason (not NULL) BORROW: until the call returns. The task is gone afterwards. Loop thread. Since 0.1. */
CAFE_EXPORT void cafe_task_fail(cafe_task *task, const cafe_err *reason);

/* A started task waits for its turn at the worker, where only so many may run, or run in a second: until
 * cafe_task_begin its time isn't limited, and when the node is drained it is stopped, to be started again at the next
 * start, unless an operation waits for it. Inside start too. Loop thread. Since 0.1. */
CAFE_EXPORT void cafe_task_hold(cafe_task *task);

/* Its turn has come: the worker's timeout_ms counts from now. Harmless for a task that isn't held. Loop thread. Since
 * 0.1. */
CAFE_EXPORT void cafe_task_begin(cafe_task *task);

CAFE_END_DECLS

#endif
