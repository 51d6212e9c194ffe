/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_OP_H
#define CAFE_OP_H

#include "cafe/aggregate.h"
#include "cafe/node.h"
#include "cafe/view.h"

CAFE_BEGIN_DECLS

/*
 * Operations: what a program asks of a node while it runs. Each takes a completion, which runs exactly once, on the
 * loop thread, never inside the call that submitted it; a refused submission never calls back. It may be NULL only
 * where that is said. The blocking forms turn the node until then, and other completions run meanwhile. Everything
 * here: loop thread only.
 *
 * An operation (BORROW, until its completion) is only good for cafe_op_cancel; where it isn't wanted, NULL is handed in
 * for it. `user` is handed to the completion as it is.
 */
typedef struct cafe_op cafe_op;

/* A client's own key for a command, so that a repeat finds the first one's answer, also after a restart. It is unique
 * over the whole store by scope and key. Frozen. */
typedef struct cafe_client_key {
  cafe_slice scope;       /* method and path, or any name space; at most 255 bytes */
  cafe_slice key;         /* 1 to 255 bytes */
  cafe_slice fingerprint; /* the request, or what tells it from others; at most 65,536 bytes */
  const void *reserved[2];
} cafe_client_key;

/* What became of a command. BORROW: valid until the completion returns. Fields may be added at the end. */
typedef struct cafe_outcome {
  cafe_verdict verdict;    /* never CAFE_PENDING */
  uint64_t key;            /* of the stream; the new one where the command asked for one */
  uint64_t version;        /* of the stream; 0 with a replayed reply */
  cafe_position position;  /* at or after the last event that this answer rests on */
  const cafe_event *event; /* the outcome, or the stream's last event in this unit; NULL if none */
  const void *state;       /* the aggregate's state after it; NULL with a replayed reply, and from cafe_node_call */
  const char *reason;      /* CAFE_REFUSED: for programs, the outcome's name where an event refuses; else NULL */
  const char *text;        /* CAFE_REFUSED: for people; else NULL */
  bool replayed;           /* the answer was kept under the client's key: only reply says what it was, and verdict is
                              CAFE_UNCHANGED, of a refusal too */
  cafe_slice reply;        /* what `reply` below made, now or then; empty without it */
  int64_t retry_after_ms;  /* CAFE_REFUSED by a guard (cafe_node_guard): when the same command may be taken; else 0 */
} cafe_outcome;

/* err is NULL on success, otherwise outcome is; a refusal is a success. BORROW both, until it returns. CAFE_TIMEOUT:
 * not answered by the deadline, and what was asked for goes on. CAFE_OVERLOADED: the deadline passed before its turn
 * came, and nothing was done. CAFE_CANCELED: cafe_op_cancel, or the node was closed.
 * CAFE_CONFLICT: with a client key, it was used before for another request; else other writers were first, again and
 * again. CAFE_INVALID: the definition of an aggregate, policy or view is wrong, the text says how. Others are the
 * store's, nothing was written then: CAFE_UNAVAILABLE, CAFE_CORRUPT, CAFE_NOMEM, …. */
typedef void (*cafe_op_cb)(const cafe_err *err, const cafe_outcome *outcome, void *user);

typedef struct cafe_submit {
  size_t size;
  const cafe_schema *command;        /* REQUIRED: one that an aggregate of the node takes */
  uint64_t key;                      /* 1 to CAFE_KEY_MAX; 0: a new one, from the node's block */
  const void *data;                  /* REQUIRED: the struct that command describes. COPY, texts too */
  size_t data_size;                  /* REQUIRED: sizeof that struct (schema.h) */
  int64_t timeout_ms;                /* from now; 0: none. What was begun by then goes on, only the waiting ends */
  cafe_slice trace;                  /* COPY. W3C traceparent, or empty */
  const cafe_client_key *client_key; /* COPY, or NULL */

  /* OPTIONAL, with client_key: makes the bytes kept under the key from an answer, refusals too (but a guard's), in the
   * unit that gives it. A repeat is told these bytes and no verdict, so they say that as well. Pure; position.n is 0,
   * since nothing is written yet. An empty slice keeps nothing, so that the key may try again: a repeat is asked of the
   * stream that the key names, and where that one refuses, and reply keeps that neither, it begins a new stream, which
   * the key names from then on. So after a crash, with nothing kept yet, a stream that did what it was asked for must
   * not refuse the repeat, but say CAFE_UNCHANGED. Without reply nothing is kept, and the key names the stream that its
   * first command made for good. The bytes are taken from the arena. Returns CAFE_OK, or a cafe_code: the command fails
   * then, as by its aggregate's callback. */
  int (*reply)(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user);
  void *reply_user; /* BORROW: until the completion */
  /* How often anything may be tried on its behalf, over all hops: 1: once. With timeout_ms it is the operation's
   * budget: steps of sagas with a deadline, which it begins, ask other nodes within what is left of it. 0: no limit. */
  uint32_t attempts;
} cafe_submit;

#define CAFE_SUBMIT_INIT                                                                                               \
  { sizeof(cafe_submit), NULL, 0, NULL, 0, 0, {NULL, 0}, NULL, NULL, NULL, 0 }

/* Submits a command. submit BORROW: until the call returns. done may be NULL. CAFE_INVALID (not started, a command that
 * nobody here takes, a key out of range), CAFE_UNSUPPORTED (submit, data or client_key hold what only a newer library
 * knows), CAFE_OVERLOADED (max_queued), CAFE_UNAVAILABLE (draining or closed), CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_node_submit(cafe_op **op, cafe_node *node, const cafe_submit *submit, cafe_op_cb done, void *user,
                                 cafe_err *err);

/* Stops waiting: the completion comes with CAFE_CANCELED, in a later turn, unless the answer was faster. A pending
 * command is then taken back, if its aggregate knows how (give_up) and nobody else waits for one: an order whose
 * payment is in flight becomes none, and the approval is voided. Anything else may still happen, and that too where a
 * crash or the store comes in between. Not after the completion: op is gone then. Since 0.1. */
CAFE_EXPORT void cafe_op_cancel(cafe_op *op);

/* The blocking form of submitting a command. *out is whole, but for its state, which is NULL. It is BORROW, and what it
 * points to as well: until the next cafe_node_call or cafe_node_find on the node. On failure *out is NULL. Returns what
 * submitting or the completion says; CAFE_INVALID in a completion, which must not call it. Since 0.1. */
CAFE_EXPORT int cafe_node_call(const cafe_outcome **out, cafe_node *node, const cafe_submit *submit, cafe_err *err);

/* One row of a view. Made by the library; fields may be added at the end. */
typedef struct cafe_row {
  size_t size;
  uint64_t key;
  uint64_t sub; /* 0 where the view has one row a key */
  const void *data;
} cafe_row;

/* What a read found. BORROW: all of it, until the completion returns. Fields may be added at the end. */
typedef struct cafe_page {
  size_t size;
  const cafe_row *const *rows;     /* of cafe_node_list, ascending by key and sub; of cafe_node_changes, the row that
                                      belongs to each event; else NULL */
  const cafe_event *const *events; /* of cafe_node_history, in the order of their versions; of cafe_node_changes, in
                                      that of their positions in each shard; else NULL */
  uint32_t count;                  /* of rows or events */
  bool more;                       /* the next page isn't empty; of cafe_node_changes: there is more to look at */
  /* What was read holds all events up to these: one for each shard that the view or stream is made from. A log that a
   * subscribed view hasn't heard of yet is missing. Of cafe_node_changes: from where the next page goes on; such a log
   * is there, with log_id 0. */
  uint32_t position_count;
  const cafe_position *positions;
} cafe_page;

/* err is NULL on success, otherwise page is. BORROW both, until it returns. CAFE_CANCELED, and the store's failures. */
typedef void (*cafe_page_cb)(const cafe_err *err, const cafe_page *page, void *user);

/* BORROW: until the call that is handed it returns. Frozen. */
typedef struct cafe_filter {
  const char *column; /* of the row's schema, or the view's key_name or sub_name */
  cafe_slice equals;  /* the value as text: a number's digits (BOOL 0 or 1, TIME milliseconds), an ENUM's name. A value
                         that the column can't have (no number, no such name) is no failure: no row equals it */
  uint64_t flags;     /* reserved */
  const void *reserved[2];
} cafe_filter;

typedef struct cafe_list {
  size_t size;
  const cafe_view *view;      /* REQUIRED: one that the node hosts */
  const cafe_filter *filters; /* all must hold */
  uint32_t filter_count;
  uint64_t after_key; /* exclusive, with after_sub; 0 and 0: from the start */
  uint64_t after_sub;
  uint32_t limit; /* 1 to 1000 */
} cafe_list;

#define CAFE_LIST_INIT                                                                                                 \
  { sizeof(cafe_list), NULL, NULL, 0, 0, 0, 50 }

/* Reads committed rows of a view: what was answered before is in an inline one, and comes to others soon. One row: a
 * filter on key_name. list BORROW: until the call returns. CAFE_INVALID (not started, no such view, column or limit),
 * CAFE_UNSUPPORTED (list or a filter holds what only a newer library knows), CAFE_OVERLOADED (max_queued),
 * CAFE_UNAVAILABLE (closing, or an inline view is being rebuilt for its new version), CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_node_list(cafe_op **op, cafe_node *node, const cafe_list *list, cafe_page_cb done, void *user,
                               cafe_err *err);

/* The blocking form for one row; sub is 0 where the view has one row a key. *out is its struct, NULL on failure;
 * BORROW: until the next cafe_node_call or cafe_node_find on the node. CAFE_NOT_FOUND: there is none, or none that is
 * shown. CAFE_INVALID in a completion, which must not call it; others as above. Since 0.1. */
CAFE_EXPORT int cafe_node_find(const void **out, cafe_node *node, const cafe_view *view, uint64_t key, uint64_t sub,
                               cafe_err *err);

/* Reads the committed events of one stream of an aggregate that the node hosts, from version after + 1 on, at most
 * 1000; a stream without events has none, which is no failure. done also gets CAFE_UNSUPPORTED: an event of a type, or
 * with a value, that the aggregate doesn't know here. CAFE_INVALID (not started, no such aggregate), CAFE_OVERLOADED
 * (max_queued), CAFE_UNAVAILABLE (closing), CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_node_history(cafe_op **op, cafe_node *node, const char *aggregate, uint64_t key, uint64_t after,
                                  cafe_page_cb done, void *user, cafe_err *err);

/* Waits until the node's view holds everything up to position (COPY), but for its dead letters: err is NULL then. An
 * inline one does so as soon as the position is committed, so at once, unless it is being rebuilt for its new version;
 * it reads the node's own log only. timeout_ms from now; 0: without end. done gets CAFE_TIMEOUT or CAFE_CANCELED else,
 * or CAFE_INVALID: the log was restored from a backup and refuses the view, or the view reads the restored one by now;
 * the text says what to do. The call: CAFE_INVALID (not started, or a position of a log that the view doesn't read, or,
 * for the node's own log, beyond its head, or the same refusal), CAFE_OVERLOADED (max_queued), CAFE_UNAVAILABLE
 * (closing), CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_node_await(cafe_op **op, cafe_node *node, const cafe_view *view, const cafe_position *position,
                                int64_t timeout_ms, cafe_done_cb done, void *user, cafe_err *err);

typedef struct cafe_changes {
  size_t size;
  const cafe_view *view;          /* REQUIRED: one that the node hosts */
  const cafe_position *positions; /* after these: a page's, all of them, in any order. NULL: what comes from now on */
  uint32_t position_count;
  bool from_start;    /* without positions: all that ever was */
  uint32_t limit;     /* 1 to 1000 */
  int64_t timeout_ms; /* from now; 0: without end; negative: it doesn't wait */
} cafe_changes;

#define CAFE_CHANGES_INIT                                                                                              \
  { sizeof(cafe_changes), NULL, NULL, 0, false, 100, 0 }

/* A page of a view's changes: its events after the given positions, and with each the row that it belongs to, as the
 * view holds it: with that event, and maybe with later ones. Where there are none it waits until there are; when the
 * time is over the page is empty. To follow a view is to hand in each page's positions for the next one: no change is
 * missed, none comes twice, and whoever is slow is behind, and costs the node nothing meanwhile.
 *
 * Events whose row isn't shown when it is read are left out, all of them: nobody sees an order's before it is one. What
 * is shown later comes with the events that are still ahead. An event that is a dead letter of the view (letters.h)
 * comes in its place, with the row as it is without it.
 *
 * The events of one shard of one log come in their order; between logs, in a page, that of their times. Those of other
 * nodes' logs are read from those nodes, once the view holds them. While one can't be reached the others' changes go
 * on, and its own come when it can be again. A page has what came first; with a negative timeout it waits up to a
 * second for any.
 *
 * changes BORROW: until the call returns. CAFE_INVALID (not started, no such view or limit; positions that aren't one
 * of each shard of each log, of another log, or beyond its head: the log was restored, so begin anew), CAFE_UNSUPPORTED
 * (changes holds what only a newer library knows), CAFE_OVERLOADED (max_queued), CAFE_UNAVAILABLE (draining or closing,
 * or an inline view is being rebuilt for its new version), CAFE_NOMEM. done also gets CAFE_INVALID, where it turns out
 * later that a log was restored; CAFE_UNAVAILABLE, where the node is drained while it waits; CAFE_TIMEOUT, where the
 * view's own places aren't read by then and "now" is nowhere yet; CAFE_CANCELED, CAFE_UNSUPPORTED (an event that isn't
 * known here), and the store's and the transport's failures. Since 0.1.
 */
CAFE_EXPORT int cafe_node_changes(cafe_op **op, cafe_node *node, const cafe_changes *changes, cafe_page_cb done,
                                  void *user, cafe_err *err);

CAFE_END_DECLS

#endif
