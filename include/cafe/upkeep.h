/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_UPKEEP_H
#define CAFE_UPKEEP_H

#include "cafe/op.h"

CAFE_BEGIN_DECLS

/*
 * What keeps a store for years, while the node runs: copies of it, and that it doesn't grow for ever. Operations as in
 * op.h, in small pieces between all else. docs/operations.md says when to use which.
 */

/* Makes a backup of the node's store: everything as of one commit, no older than this call's, in a file at `path`
 * (COPY), which isn't there yet. err is NULL once it is whole and durable; before, no file has that name. Commands and
 * reads go on meanwhile. A drain waits for it; cafe_op_cancel and closing the node end it, and the unfinished file is
 * gone when the node is closed at the latest. done gets CAFE_INVALID: there is a file at `path`, or none can be;
 * CAFE_UNAVAILABLE: it can't be written, the text says why; CAFE_CORRUPT: the store is damaged; CAFE_CANCELED,
 * CAFE_NOMEM. The call: CAFE_INVALID (not started, no path), CAFE_UNSUPPORTED (the store has no backup: memory),
 * CAFE_OVERLOADED (max_queued), CAFE_UNAVAILABLE (closing), CAFE_NOMEM. A restore is the store's: cafe_sqlite_restore.
 * Since 0.1. */
CAFE_EXPORT int cafe_node_backup(cafe_op **op, cafe_node *node, const char *path,
                                 void (*done)(const cafe_err *err, void *user), void *user, cafe_err *err);

/* err is NULL on success; count is how many were deleted, also where it failed or was canceled after those. */
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
 * none is past. done gets CAFE_CANCELED, and the store's failures; what was deleted by then stays so. The call:
 * CAFE_INVALID (not started, a time that isn't past, a view that isn't hosted, isn't inline or has no is_past),
 * CAFE_OVERLOADED (max_queued), CAFE_UNAVAILABLE (closing), CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_node_forget_rows(cafe_op **op, cafe_node *node, const cafe_view *view, int64_t before_ms,
                                      cafe_forgot_cb done, void *user, cafe_err *err);

CAFE_END_DECLS

#endif
