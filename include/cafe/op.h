/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_OP_H
#define CAFE_OP_H

#include "cafe/aggregate.h"
#include "cafe/node.h"
#include "cafe/view.h"

CAFE_BEGIN_DECLS

/*
 * Operations: what a program asks of a node while it runs. Each takes a completion, which runs exactly once, on the
 * loop thread, never inside the call that submitted it; a refused submission never calls back. The blocking forms turn
 * the node until then. Everything here: loop thread only.
 */
typedef struct cafe_op cafe_op;

/* A client's own key for a command, so that a repeat finds the first one's answer, also after a restart. */
typedef struct cafe_client_key {
  cafe_slice scope;       /* method and path, or any name space; at most 255 bytes */
  cafe_slice key;         /* 1 to 255 bytes */
  cafe_slice fingerprint; /* the request, or what tells it from others; at most 65,536 bytes */
} cafe_client_key;

/* What became of a command. BORROW: valid until the completion returns. Fields may be added at the end. */
typedef struct cafe_outcome {
  cafe_verdict verdict;    /* never CAFE_PENDING */
  uint64_t key;            /* of the stream; the new one where the command asked for one */
  uint64_t version;        /* of the stream */
  cafe_position position;  /* at or after the last event that this answer rests on; n is 0 if none */
  const cafe_event *event; /* the outcome, or the stream's last event in this unit; NULL if none */
  const void *state;       /* the aggregate's state after it; NULL with a replayed reply, and from cafe_node_call */
  const char *reason;      /* CAFE_REFUSED: for programs; else NULL */
  const char *text;        /* CAFE_REFUSED: for people; else NULL */
  bool replayed;           /* the answer was kept under the client's key: only reply says what it was, and verdict is
                              CAFE_UNCHANGED */
  cafe_slice reply;        /* what `reply` below made, now or then; empty without it */
} cafe_outcome;

/* err is NULL on success, otherwise outcome is. CAFE_TIMEOUT: accepted, but not answered by the deadline. CAFE_CONFLICT
 * with a client key: used before for another request. BORROW both. */
typedef void (*cafe_op_cb)(const cafe_err *err, const cafe_outcome *outcome, void *user);

typedef struct cafe_submit {
  size_t size;
  const cafe_schema *command;
  uint64_t key;                      /* 0: a new one, from the node's block */
  const void *data;                  /* COPY, texts too */
  int64_t timeout_ms;                /* from now; 0: none. What it outlasts goes on, only the waiting ends */
  cafe_slice trace;                  /* COPY. W3C traceparent, or empty */
  const cafe_client_key *client_key; /* COPY, or NULL */

  /* OPTIONAL, with client_key: makes the bytes kept under the key from a final answer, in the unit that gives it.
   * Pure; position.n is 0. An empty slice keeps nothing, so that the key may try again. The bytes are taken from the
   * arena. CAFE_OK or CAFE_NOMEM. */
  int (*reply)(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user);
  void *reply_user; /* BORROW: until the completion */
} cafe_submit;

#define CAFE_SUBMIT_INIT                                                                                               \
  { sizeof(cafe_submit), NULL, 0, NULL, 0, {NULL, 0}, NULL, NULL, NULL }

/* Submits a command. *op (may be NULL) is valid until the completion. CAFE_INVALID, CAFE_OVERLOADED, CAFE_UNAVAILABLE
 * (draining), CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_node_submit(cafe_op **op, cafe_node *node, const cafe_submit *submit, cafe_op_cb done, void *user,
                                 cafe_err *err);

/* Stops waiting: the completion comes with CAFE_CANCELED, unless the answer was faster. A pending command is then taken
 * back, if its aggregate knows how (give_up) and nobody else waits for one: an order whose payment is in flight becomes
 * none, and the approval is voided. Anything else may still happen, and that too where a crash or the store comes in
 * between. Since 0.1. */
CAFE_EXPORT void cafe_op_cancel(cafe_op *op);

/* The blocking form. *out stays valid until the next blocking call on the node. Must not be called from a completion.
 * Since 0.1. */
CAFE_EXPORT int cafe_node_call(cafe_outcome *out, cafe_node *node, const cafe_submit *submit, cafe_err *err);

/* One row of a view. */
typedef struct cafe_row {
  uint64_t key;
  uint64_t sub; /* 0 where the view has one row a key */
  const void *data;
} cafe_row;

typedef struct cafe_filter {
  const char *column; /* of the row's schema, or the view's key_name or sub_name */
  cafe_slice equals;  /* the value as text: a number's digits, an ENUM's name */
} cafe_filter;

typedef struct cafe_list {
  size_t size;
  const cafe_view *view;
  const cafe_filter *filters;
  uint32_t filter_count;
  uint64_t after_key; /* exclusive, with after_sub; 0 and 0: from the start */
  uint64_t after_sub;
  uint32_t limit; /* 1 to 1000 */
} cafe_list;

#define CAFE_LIST_INIT                                                                                                 \
  { sizeof(cafe_list), NULL, NULL, 0, 0, 0, 50 }

/* BORROW all until it returns. Rows ascend by key and sub; `more` tells that the next page isn't empty. */
typedef void (*cafe_list_cb)(const cafe_err *err, const cafe_row *rows, uint32_t count, bool more, void *user);

/* Reads committed rows of a view that the node hosts. One row: a filter on key_name. CAFE_INVALID, CAFE_OVERLOADED,
 * CAFE_UNAVAILABLE (closing), CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_node_list(cafe_op **op, cafe_node *node, const cafe_list *list, cafe_list_cb done, void *user,
                               cafe_err *err);

/* The blocking form for one row: *out is its struct, and stays valid until the next blocking call on the node.
 * CAFE_NOT_FOUND: there is none, or none that is shown. Must not be called from a completion. Since 0.1. */
CAFE_EXPORT int cafe_node_find(const void **out, cafe_node *node, const cafe_view *view, uint64_t key, uint64_t sub,
                               cafe_err *err);

/* BORROW until it returns. In the order of their positions. */
typedef void (*cafe_history_cb)(const cafe_err *err, const cafe_event *events, uint32_t count, void *user);

/* Reads the committed events of one stream, from version after + 1 on, at most 1000. CAFE_INVALID, CAFE_OVERLOADED,
 * CAFE_UNAVAILABLE (closing), CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_node_history(cafe_op **op, cafe_node *node, const char *aggregate, uint64_t key, uint64_t after,
                                  cafe_history_cb done, void *user, cafe_err *err);

/* Waits until the node's view (not inline) holds everything up to position: err is NULL then. timeout_ms 0: without
 * end. done gets CAFE_TIMEOUT or CAFE_CANCELED. CAFE_INVALID: a position of a log that the view doesn't read, or, for
 * the node's own log, beyond its head; CAFE_OVERLOADED, CAFE_UNAVAILABLE (closing), CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_node_await(cafe_op **op, cafe_node *node, const cafe_view *view, const cafe_position *position,
                                int64_t timeout_ms, void (*done)(const cafe_err *err, void *user), void *user,
                                cafe_err *err);

CAFE_END_DECLS

#endif
