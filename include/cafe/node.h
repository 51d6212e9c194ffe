/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_NODE_H
#define CAFE_NODE_H

#include "cafe/aggregate.h"
#include "cafe/alloc.h"
#include "cafe/log.h"
#include "cafe/policy.h"
#include "cafe/resilience.h"
#include "cafe/saga.h"
#include "cafe/view.h"

CAFE_BEGIN_DECLS

typedef struct cafe_node cafe_node;
typedef struct cafe_loop cafe_loop;           /* sys/loop.h to write one; loop/uv.h makes one */
typedef struct cafe_store cafe_store;         /* sys/store.h to write one; store/ makes one */
typedef struct cafe_transport cafe_transport; /* sys/transport.h to write one; transport/ makes one */

/* The end of what has no result but whether it was done. err is NULL on success; BORROW: until it returns. */
typedef void (*cafe_done_cb)(const cafe_err *err, void *user);

/* Free what their constructors made, the node that uses it first. NULL is allowed. Loop thread, not inside a turn.
 * Since 0.1. */
CAFE_EXPORT void cafe_loop_destroy(cafe_loop *loop);
CAFE_EXPORT void cafe_store_destroy(cafe_store *store);
CAFE_EXPORT void cafe_transport_destroy(cafe_transport *transport);

/*
 * A service: what is hosted together under one name and may be moved to a node of its own. Any array may be NULL; each
 * is ended by NULL. BORROW by the node, with all that it points to: until the node is destroyed.
 *
 * Names: no service, aggregate, saga, policy or view has one that begins with `cafe_`, or that of a table of the
 * library's (ids, sagas, wakes, attempts, meta, events, client_keys, checkpoints).
 */
typedef struct cafe_service {
  size_t size;      /* CAFE_SERVICE sets it */
  const char *name; /* unique in a system: letters, digits, '_', '-' and '.' */
  const cafe_aggregate *const *aggregates;
  const cafe_saga *const *sagas;
  const cafe_policy *const *policies;
  const cafe_view *const *views;
  /* Aggregates of other services that this one's sagas command, or whose events its sagas, policies and views hear. A
   * node that hosts those services too starts without this list; one that doesn't, doesn't start. */
  const cafe_aggregate *const *remotes;
  const char *const *remote_services; /* where each of them lives, in the same order; REQUIRED with remotes */
} cafe_service;

#define CAFE_SERVICE sizeof(cafe_service)

typedef struct cafe_node_options {
  size_t size;
  const char *name;                /* COPY. For logs and locks; NULL: "cafe" */
  cafe_loop *loop;                 /* REQUIRED. BORROW: until the node is closed */
  cafe_store *store;               /* REQUIRED. BORROW: until the node is closed */
  cafe_transport *transport;       /* BORROW, or NULL for a node without peers */
  const cafe_allocator *allocator; /* COPY; NULL: malloc */
  cafe_log log;                    /* COPY; zeroed: none */
  uint32_t max_queued;             /* operations not answered yet; beyond: CAFE_OVERLOADED. 0: 16,384 */
  uint32_t max_batch;              /* units in one durable write. 0: 512 */
  uint32_t max_cached;             /* keys kept in memory beside those in use. 0: 16,384 */
  uint32_t id_block;               /* new keys reserved at once; each end, in order or not, leaves a gap of at most so
                                      many. 0: 1,024 */
  uint64_t max_record_attempts;    /* of a record that a subscription fails on; then it is parked (letters.h). 0: 5 */
  /* OPTIONAL. The store refuses everything from now on, since a write failed in a way that leaves open whether it is
   * durable: only opening it anew can tell. Nothing that was answered is lost. The program ends its process, for a
   * supervisor to start it again; or it closes the node, destroys both, and makes another node on another store. Once,
   * in a turn, in which it may call cafe_node_close. err BORROW: until it returns. */
  void (*store_lost)(const cafe_err *err, void *user);
  void *store_lost_user; /* handed to store_lost. BORROW: until the node is closed */
} cafe_node_options;

#define CAFE_NODE_OPTIONS_INIT                                                                                         \
  { sizeof(cafe_node_options), NULL, NULL, NULL, NULL, NULL, {NULL, NULL, CAFE_LOG_ERROR}, 0, 0, 0, 0, 0, NULL, NULL }

/*
 * The thread that makes a node is its loop thread, and everything below is for it alone. One node turns on one thread;
 * several may share a loop.
 */

/* Makes a node that hosts nothing yet and has touched nothing. OWN: cafe_node_destroy. CAFE_INVALID (no loop or store,
 * options without a size), CAFE_UNSUPPORTED (options of a newer library), CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_node_create(cafe_node **out, const cafe_node_options *options, cafe_err *err);

/* Hosts a service. Before start only. BORROW: until the node is destroyed. CAFE_INVALID names what is wrong and what to
 * do: what a definition shows by itself is found here, what only shows beside the others at start. CAFE_UNSUPPORTED: a
 * definition asks for what only a newer library knows. CAFE_NOMEM. After a failure the node can't be started any more:
 * destroy it. Since 0.1. */
CAFE_EXPORT int cafe_node_host(cafe_node *node, const cafe_service *service, cafe_err *err);

/* Gives the node a worker for tasks of one type; each type has one at most. Before start only. COPY, its user BORROW
 * until the node is closed. CAFE_INVALID: what the worker lacks, or that the type has one already; CAFE_UNSUPPORTED: it
 * asks for what only a newer library knows; CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_node_employ(cafe_node *node, const cafe_worker *worker, cafe_err *err);

/*
 * A guard stands before the commands of one type whose answer comes from somebody who may be slow, overloaded or gone.
 * An operation whose command begins such a call, by deciding one of `begins` and being pending, takes a permit of the
 * guard's breaker and limit before anything of that is kept. Without one nothing is written, nor is it an answer to
 * keep under a client's key (cafe_submit.reply isn't called): it is CAFE_REFUSED with the guard's reason, a text, and
 * retry_after_ms. Commands that begin nothing need no permit: one that joins what was begun, one that is refused, a
 * repeat whose answer is kept under its client's key.
 *
 * The permit is given back when the operation is answered, by its outcome; by CAFE_TIMEOUT as failed; unused when its
 * unit fails, or nobody waits any more. Commands that aren't operations of this node (policies', sagas') aren't
 * guarded.
 */
typedef struct cafe_guard {
  size_t size;                         /* CAFE_GUARD sets it */
  const char *name;                    /* REQUIRED. "payment": for logs and metrics; unique in the node */
  const cafe_schema *command;          /* REQUIRED. One that an aggregate of the node takes, with outcomes */
  const cafe_schema *const *begins;    /* REQUIRED. Events of that aggregate, ended by NULL */
  const char *reason;                  /* REQUIRED. Of the refusal, for programs: "payment-unavailable" */
  const cafe_breaker_options *breaker; /* `changed` isn't called: the node logs and counts. NULL: by default */
  const cafe_limit_options *limit;     /* NULL: by default */
  /* REQUIRED. Whether an outcome says that who was asked is at fault: no answer in time, over capacity. A no to what
   * was asked doesn't. Pure. BORROW: until it returns. */
  bool (*is_failure)(const cafe_event *outcome, void *user);
  /* OPTIONAL. Whether a failure says that fewer calls at once would have helped, so that the limit shrinks: the callee
   * refused for want of room. A late answer may only be a slow one: it counts for the breaker. NULL: each failure does.
   * Pure. BORROW: until it returns. */
  bool (*is_overload)(const cafe_event *outcome, void *user);
  void *user; /* handed to both */
} cafe_guard;

#define CAFE_GUARD sizeof(cafe_guard)

/* Puts a guard before a command that has none. Before start only. COPY; what it points to BORROW until the node is
 * destroyed, but breaker and limit: until the call returns. CAFE_INVALID: what it lacks, or that the command has one
 * already; that nobody takes the command, or emits the events, is found at start. CAFE_UNSUPPORTED: it asks for what
 * only a newer library knows; CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_node_guard(cafe_node *node, const cafe_guard *guard, cafe_err *err);

/* Checks what is hosted, opens the store and begins: what a crash left is resumed, logs are subscribed to, peers are
 * answered, all of it in later turns. Blocks for as long as the store needs to open. CAFE_INVALID: something is wrong
 * with what is hosted (a task type without a worker, an event that no aggregate emits, …), and the text says what to
 * do. CAFE_NOMEM. The store's and the transport's own: CAFE_DENIED (another process has the store), CAFE_INVALID (it is
 * no store), CAFE_UNSUPPORTED, CAFE_CORRUPT, CAFE_UNAVAILABLE, …. A start that failed may be made again, also after
 * more was hosted or employed, if it failed before the store was open. Since 0.1. */
CAFE_EXPORT int cafe_node_start(cafe_node *node, cafe_err *err);

/* For a program with its own loop: when `fd` is readable or `timeout_ms` has passed, turn the node; after submitting,
 * turn it once. fd BORROW: the loop's, -1 in a simulation. timeout_ms: -1 nothing is due, 0 only when a turn is.
 * turn doesn't wait, and returns CAFE_OK, or CAFE_INVALID inside another. Since 0.1. */
CAFE_EXPORT int cafe_node_fd(const cafe_node *node);
CAFE_EXPORT int64_t cafe_node_timeout_ms(const cafe_node *node);
CAFE_EXPORT int cafe_node_turn(cafe_node *node);

/* The blocking form: turns the node, sleeping between, until *until is not 0, which is looked at after each turn; a
 * completion or a signal handler sets it. CAFE_OK, or CAFE_INVALID inside a turn. Since 0.1. */
CAFE_EXPORT int cafe_node_run(cafe_node *node, const volatile int *until);

/* Takes no more commands (CAFE_UNAVAILABLE), finishes what is in flight, then calls done, in a later turn. In flight is
 * what was submitted, and what runs already: a task that was started is waited for, and its answer is committed. Tasks,
 * timers and retries begin only where an operation waits for what they bring, subscriptions go on while any does; the
 * rest goes on at the next start. Committed rows can be read until the node is closed. An operation without a timeout
 * may wait for long: close ends it. done may be NULL; it runs once, with NULL, or CAFE_CANCELED where the node is
 * closed before. CAFE_INVALID: it isn't running. Since 0.1. */
CAFE_EXPORT int cafe_node_drain(cafe_node *node, cafe_done_cb done, void *user, cafe_err *err);

/* The blocking form: drains the node, turning it for at most timeout_ms (0: as long as it takes). A node that is
 * draining already is waited for. CAFE_TIMEOUT: it isn't drained yet; it goes on draining, so that the call may be
 * repeated, and cafe_node_close or cafe_node_destroy ends it as it stands. What isn't finished then isn't lost: what
 * was committed goes on at the next start, where a task that was running is started again, with a higher attempt (a
 * message may so be sent twice, under one id). CAFE_INVALID: it is neither running nor draining, or this is a
 * completion. CAFE_CANCELED: it was closed meanwhile. Since 0.1. */
CAFE_EXPORT int cafe_node_finish(cafe_node *node, int64_t timeout_ms, cafe_err *err);

/* Stops now, in later turns: tasks are stopped, every operation in flight completes with CAFE_CANCELED (or its real
 * end), and when the store has done what it has in hand, done runs, with NULL; it may be NULL itself. What was
 * committed stays. CAFE_INVALID: it is neither running nor draining. Since 0.1. */
CAFE_EXPORT int cafe_node_close(cafe_node *node, cafe_done_cb done, void *user, cafe_err *err);

/* Frees a node that was never started or is closed; a running one is closed first, turning it, which may block for as
 * long as the store has something in hand. Its loop, store and transport stay the caller's. NULL is allowed. Must not
 * be called from a completion, which is asserted. Since 0.1. */
CAFE_EXPORT void cafe_node_destroy(cafe_node *node);

/* Whether it can be asked to do anything: it runs, and its store took the last write. After one that failed the node
 * writes a row of its own once a second, so that this becomes true by itself. CAFE_INVALID: it isn't started.
 * CAFE_UNAVAILABLE: it is draining, closing or closed. Else the store's, with what is wrong; reads may work all the
 * same. Since 0.1. */
CAFE_EXPORT int cafe_node_ready(const cafe_node *node, cafe_err *err);

/* A service that is elsewhere. Made by the library; fields may be added at the end. */
typedef struct cafe_peer {
  size_t size;
  const char *service;
  bool is_up; /* the transport is connected to it now */
} cafe_peer;

/* Visits the services that the transport was told of. One that is down makes the node no less ready: what can't be done
 * without it waits, or is refused, and the rest goes on. Nothing is visited without a transport, or with one that can't
 * tell (inproc), nor before start or after close. peer BORROW: until visit returns, which mustn't call the node. Loop
 * thread. Since 0.1. */
CAFE_EXPORT void cafe_node_peers(const cafe_node *node, void (*visit)(const cafe_peer *peer, void *user), void *user);

/* What the node has done since it was made, and what it holds, for metrics. Fields may be added at the end. */
typedef struct cafe_node_stats {
  size_t size;
  uint64_t commands; /* decided, with those a unit caused */
  uint64_t refused;
  uint64_t units;          /* committed */
  uint64_t batches;        /* durable writes */
  uint64_t events;         /* committed */
  uint64_t conflicts;      /* units that another writer was before, and that were decided again */
  uint64_t max_batch_seen; /* units */
  uint64_t queued;         /* operations not answered yet, now */
  uint64_t cached;         /* keys in memory, now */
  uint64_t tasks_running;  /* now */
  uint64_t parked;         /* tasks whose last attempt failed */
  int64_t commit_us_total; /* microseconds in batches: one took commit_us_total / batches */
  uint64_t dead_letters;   /* records that are parked, with those that wait behind them, now */
  uint64_t refused_links;  /* subscriptions that their source refuses for good, now: the log says why, and what to do */
  uint64_t rebuilding;     /* views being rebuilt or verified, now */
  uint64_t rebuild_events; /* folded for that */
} cafe_node_stats;

/* Fills *out, whose size is set, as far as it reaches. Since 0.1. */
CAFE_EXPORT void cafe_node_stats_get(const cafe_node *node, cafe_node_stats *out);

CAFE_END_DECLS

#endif
