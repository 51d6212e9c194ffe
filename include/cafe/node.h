/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_NODE_H
#define CAFE_NODE_H

#include "cafe/aggregate.h"
#include "cafe/alloc.h"
#include "cafe/log.h"
#include "cafe/policy.h"
#include "cafe/saga.h"
#include "cafe/view.h"

CAFE_BEGIN_DECLS

typedef struct cafe_node cafe_node;
typedef struct cafe_loop cafe_loop;           /* sys/loop.h to write one; loop/uv.h makes one */
typedef struct cafe_store cafe_store;         /* sys/store.h to write one; store/ makes one */
typedef struct cafe_transport cafe_transport; /* sys/transport.h to write one; transport/ makes one */

/* Free what their constructors made; nothing of it may be in use any more. NULL is allowed. Since 0.1. */
CAFE_EXPORT void cafe_loop_destroy(cafe_loop *loop);
CAFE_EXPORT void cafe_store_destroy(cafe_store *store);
CAFE_EXPORT void cafe_transport_destroy(cafe_transport *transport);

/*
 * A service: what is hosted together under one name and may be moved to a node of its own. Any array may be NULL; each
 * is ended by NULL. BORROW by the node: static.
 */
typedef struct cafe_service {
  size_t size; /* CAFE_SERVICE sets it */
  const char *name;
  const cafe_aggregate *const *aggregates;
  const cafe_saga *const *sagas;
  const cafe_policy *const *policies;
  const cafe_view *const *views;
  /* Aggregates of other services that this one's sagas and policies command. */
  const cafe_aggregate *const *remotes;
  const char *const *remote_services; /* where each of them lives, in the same order */
} cafe_service;

#define CAFE_SERVICE sizeof(cafe_service)

typedef struct cafe_node_options {
  size_t size;
  const char *name;                /* for logs and locks; NULL: "cafe" */
  cafe_loop *loop;                 /* REQUIRED. BORROW: until the node is closed */
  cafe_store *store;               /* REQUIRED. BORROW: until the node is closed */
  cafe_transport *transport;       /* BORROW, or NULL for a node without peers */
  const cafe_allocator *allocator; /* COPY; NULL: malloc */
  cafe_log log;                    /* COPY; zeroed: none */
  uint32_t max_queued;             /* operations not answered yet; beyond: CAFE_OVERLOADED. 0: 16,384 */
  uint32_t max_batch;              /* units in one durable write. 0: 512 */
  uint32_t max_cached;             /* keys kept in memory beside those in use. 0: 16,384 */
  uint32_t id_block;               /* keys reserved at once. 0: 1,024 */
} cafe_node_options;

#define CAFE_NODE_OPTIONS_INIT                                                                                         \
  { sizeof(cafe_node_options), NULL, NULL, NULL, NULL, NULL, {NULL, NULL, CAFE_LOG_ERROR}, 0, 0, 0, 0 }

/* Makes a node. OWN: close it, then destroy it. CAFE_INVALID, CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_node_create(cafe_node **out, const cafe_node_options *options, cafe_err *err);

/* Hosts a service. Before start only. What can be checked of one service alone is checked here, the rest at
 * start: CAFE_INVALID names what is wrong. Since 0.1. */
CAFE_EXPORT int cafe_node_host(cafe_node *node, const cafe_service *service, cafe_err *err);

/* Gives the node a worker for tasks of one type. COPY, its user BORROW until the node is closed. Before start only.
 * Since 0.1. */
CAFE_EXPORT int cafe_node_employ(cafe_node *node, const cafe_worker *worker, cafe_err *err);

/* Opens the store's tables and begins: resumes what a crash left, subscribes, answers peers. May block for as long as
 * the store needs to open. CAFE_INVALID where a task has no worker; the store's own failures. Since 0.1. */
CAFE_EXPORT int cafe_node_start(cafe_node *node, cafe_err *err);

/* For a program with its own loop: when `fd` is readable or `timeout_ms` has passed, turn the node; after submitting,
 * turn it once. timeout_ms: -1 nothing is due, 0 only when a turn is. turn: CAFE_OK, or CAFE_INVALID inside another.
 * Loop thread. Since 0.1. */
CAFE_EXPORT int cafe_node_fd(const cafe_node *node);
CAFE_EXPORT int64_t cafe_node_timeout_ms(const cafe_node *node);
CAFE_EXPORT int cafe_node_turn(cafe_node *node);

/* The blocking form: turns the node, sleeping between, until *until is not 0. Since 0.1. */
CAFE_EXPORT int cafe_node_run(cafe_node *node, const volatile int *until);

/* Takes no more commands (CAFE_UNAVAILABLE), finishes what is in flight, then calls done, in a later turn. In flight is
 * what was submitted, and what runs already: a task that was started is waited for, and its answer is committed. Tasks,
 * timers and retries begin only where an operation waits for what they bring, subscriptions go on while any does; the
 * rest goes on at the next start. An operation without a timeout may wait for long: close ends it. done may be NULL; it
 * also runs, once, where the node is closed before. CAFE_INVALID: it isn't running. Loop thread. Since 0.1. */
CAFE_EXPORT int cafe_node_drain(cafe_node *node, void (*done)(void *user), void *user, cafe_err *err);

/* The blocking form: drains the node, turning it for at most timeout_ms (0: as long as it takes). A node that is
 * draining already is waited for. CAFE_TIMEOUT: it isn't drained yet; it goes on draining, so that the call may be
 * repeated, and cafe_node_close or cafe_node_destroy ends it as it stands. What isn't finished then isn't lost: what
 * was committed goes on at the next start, where a task that was running is started again, with a higher attempt (a
 * message may so be sent twice, under one id). CAFE_INVALID: it is neither running nor draining, or this is a
 * completion. CAFE_CANCELED: it was closed meanwhile. Loop thread. Since 0.1. */
CAFE_EXPORT int cafe_node_finish(cafe_node *node, int64_t timeout_ms, cafe_err *err);

/* Stops now: every operation in flight completes with CAFE_CANCELED (or its real end), then done runs. What was
 * committed stays. CAFE_INVALID: it is neither running nor draining. Since 0.1. */
CAFE_EXPORT int cafe_node_close(cafe_node *node, void (*done)(void *user), void *user, cafe_err *err);

/* Frees a node that was never started or is closed; a running one is closed first, turning it. NULL is allowed. Must
 * not be called from a completion. Since 0.1. */
CAFE_EXPORT void cafe_node_destroy(cafe_node *node);

/* A count of what the node has done and holds, for metrics. Fields may be added at the end. */
typedef struct cafe_node_stats {
  size_t size;
  uint64_t commands; /* decided, with those a unit caused */
  uint64_t refused;
  uint64_t units;   /* committed */
  uint64_t batches; /* durable writes */
  uint64_t events;
  uint64_t conflicts;      /* units decided again */
  uint64_t max_batch_seen; /* units */
  uint64_t queued;         /* operations not answered yet, now */
  uint64_t cached;         /* keys in memory, now */
  uint64_t tasks_running;
  uint64_t parked;         /* sagas and tasks that need an operator */
  int64_t commit_us_total; /* in batches: commit time = total / batches */
} cafe_node_stats;

/* Fills *out, whose size is set. Loop thread. Since 0.1. */
CAFE_EXPORT void cafe_node_stats_get(const cafe_node *node, cafe_node_stats *out);

CAFE_END_DECLS

#endif
