/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_UPKEEP_H
#define CAFE_UPKEEP_H

#include "cafe/node.h"
#include "cafe/op.h"

CAFE_BEGIN_DECLS

/*
 * Upkeep: what whoever runs a node asks of it, beside commands and reads, so that its store stays right and doesn't
 * grow for ever. Operations as in op.h, in small pieces between all else. Everywhere done may be NULL. Everything here:
 * loop thread only. docs/operations.md says when to use which.
 */

/* ---- Copies, and what is forgotten ---- */

/* Makes a backup of the node's store: everything as of one commit, no older than this call's, in a file at `path`
 * (COPY), which isn't there yet. err is NULL once it is whole and durable; before, no file has that name. Commands and
 * reads go on meanwhile. A drain waits for it; cafe_op_cancel and closing the node end it, and the unfinished file is
 * gone when the node is closed at the latest. done gets CAFE_INVALID: there is a file at `path`, or none can be;
 * CAFE_UNAVAILABLE: it can't be written, the text says why; CAFE_CORRUPT: the store is damaged; CAFE_CANCELED,
 * CAFE_NOMEM. The call: CAFE_INVALID (not started, no path), CAFE_UNSUPPORTED (the store has no backup: memory),
 * CAFE_OVERLOADED (max_queued), CAFE_UNAVAILABLE (closing), CAFE_NOMEM. A restore is the store's: cafe_sqlite_restore.
 * Since 0.1. */
CAFE_EXPORT int cafe_node_backup(cafe_op **op, cafe_node *node, const char *path, cafe_done_cb done, void *user,
                                 cafe_err *err);

/* err is NULL on success; count is how many were deleted, also where it failed or was canceled after those. err BORROW:
 * until it returns. */
typedef void (*cafe_forgot_cb)(const cafe_err *err, uint64_t count, void *user);

/* Deletes clients' keys whose answer was kept before that time (UTC); those without one go by the time of their claim,
 * so leave any command the time that it needs. A request that is repeated later than that is a new one. Keys are met
 * about in the order of their times: one that is passed over is met by the next call. done gets CAFE_CANCELED, and the
 * store's failures; what was deleted by then stays so. The call: CAFE_INVALID (not started, a time that isn't past),
 * CAFE_UNSUPPORTED (the store has no means), CAFE_OVERLOADED (max_queued), CAFE_UNAVAILABLE (closing), CAFE_NOMEM.
 * Since 0.1. */
CAFE_EXPORT int cafe_node_forget_keys(cafe_op **op, cafe_node *node, int64_t before_ms, cafe_forgot_cb done, void *user,
                                      cafe_err *err);

/* Deletes the rows of an inline view that are past (is_past) since before that time (UTC): of
 * cafe_notifications_view, messages that were sent before. Events stay, and no rebuild brings the rows back; one that
 * an event changes later is whole again. Rows are met in the order of their keys, until there are a thousand of which
 * none is past. While the view is being rebuilt it waits for the end of that. done gets CAFE_CANCELED, and the store's
 * failures; what was deleted by then stays so. The call: CAFE_INVALID (not started, a time that isn't past, a view that
 * isn't hosted, isn't inline or has no is_past), CAFE_OVERLOADED (max_queued), CAFE_UNAVAILABLE (closing), CAFE_NOMEM.
 * Since 0.1. */
CAFE_EXPORT int cafe_node_forget_rows(cafe_op **op, cafe_node *node, const cafe_view *view, int64_t before_ms,
                                      cafe_forgot_cb done, void *user, cafe_err *err);

/*
 * ---- Views: made anew, and compared ----
 *
 * A view's rows are a fold of its events, so they can be made anew from the first event of each log that it reads. That
 * is done in a table beside the one that serves, which goes on to be read and kept meanwhile. Events are taken in
 * batches, between which everything else has its turn.
 *
 * A view whose definition has another version than the one that it was built with (view.h) is rebuilt by the node
 * itself after its start, again and again until that succeeds.
 */

/* What came of it. Made by the library; fields may be added at the end. */
typedef struct cafe_rebuild_report {
  size_t size;
  uint64_t events;    /* folded */
  uint64_t rows;      /* rebuild: in the new table; verify: compared, which is all that are there or should be */
  uint64_t differing; /* verify: rows that aren't what the events say */
  uint64_t missing;   /* verify: rows that should be there */
  uint64_t surplus;   /* verify: rows that no event speaks of, or only to hide them */
  uint64_t first_key; /* verify: the first of all these, by key and sub; 0: there is none */
  uint64_t first_sub;
} cafe_rebuild_report;

/* err is NULL on success, otherwise report is. For a verification that found something wrong that is a success. BORROW
 * both, until it returns. */
typedef void (*cafe_rebuild_cb)(const cafe_err *err, const cafe_rebuild_report *report, void *user);

/* Makes a view's table anew. When the new one has caught up it takes the place of the old one in one durable unit, with
 * the subscriptions' places in their logs, and the view's dead letters: those go, and a record that its fold fails on
 * now becomes one, after one try (letters.h). Rows that were forgotten don't come back. An inline view's node decides
 * nothing for the length of that last step: a few writes. A crash at any moment leaves the one or the other whole; what
 * was half built is dropped at the next start. After a source's log was restored from a backup this is what makes the
 * view right again.
 *
 * view: one that the node hosts. Failures that done gets leave the old table and the letters as they are: what the fold
 * failed with, of an inline view, or by a code that is retryable; CAFE_OVERLOADED: more than 65,536 records fail, or
 * stand behind ones that do; the store's and the transport's own; CAFE_CANCELED: cafe_op_cancel, or the node is being
 * drained or closed. A source that can't be reached is waited for, until that. A cancel that comes too late isn't taken
 * back: the new table may be there.
 *
 * CAFE_INVALID (not started, no such view), CAFE_CONFLICT (it is being rebuilt or verified already),
 * CAFE_UNSUPPORTED (its store can't), CAFE_OVERLOADED (max_queued), CAFE_UNAVAILABLE (draining or closed), CAFE_NOMEM.
 * Since 0.1. */
CAFE_EXPORT int cafe_node_rebuild(cafe_op **op, cafe_node *node, const cafe_view *view, cafe_rebuild_cb done,
                                  void *user, cafe_err *err);

/* Compares a view's table, row by row, with one that is made anew in the same way and then dropped: each row as of one
 * position in the logs, while the node goes on. A view that a subscription keeps isn't kept for the length of the
 * comparison, and catches up afterwards. Changes nothing. What is missing since it is a dead letter, or was forgotten,
 * isn't wrong; what was replayed with other data than the log's shows as a row that differs. view and failures as
 * above; a view that waits to be rebuilt for its new version is a CAFE_CONFLICT; CAFE_INVALID: a restored log refuses
 * the view, so there is nothing to compare it with: rebuild it. Since 0.1. */
CAFE_EXPORT int cafe_node_verify(cafe_op **op, cafe_node *node, const cafe_view *view, cafe_rebuild_cb done, void *user,
                                 cafe_err *err);

CAFE_END_DECLS

#endif
