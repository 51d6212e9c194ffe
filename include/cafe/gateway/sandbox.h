/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_GATEWAY_SANDBOX_H
#define CAFE_GATEWAY_SANDBOX_H

#include "cafe/shop.h"

CAFE_BEGIN_DECLS

typedef enum cafe_sandbox_mode {
  CAFE_SANDBOX_APPROVE = 0,
  CAFE_SANDBOX_DECLINE = 1, /* authorizations; the rest is done */
  CAFE_SANDBOX_ERROR = 2,   /* refused: surely not done */
  CAFE_SANDBOX_HANG = 3     /* done or not by the mode before, and never answered */
} cafe_sandbox_mode;

/* How it behaves, for drills and tests. Kept in memory only. */
typedef struct cafe_sandbox_settings {
  size_t size;
  cafe_sandbox_mode mode;
  int64_t delay_ms; /* an answer takes delay_ms + U(0, jitter_ms) */
  int64_t jitter_ms;
  uint32_t capacity; /* at most so many at once, others are refused; 0: no limit */
} cafe_sandbox_settings;

typedef struct cafe_sandbox_figures {
  size_t size;
  uint32_t in_flight;
  uint32_t max_in_flight;
  uint64_t calls;
  int64_t approved_minor; /* sums of the ledger, over all payments and currencies */
  int64_t captured_minor;
  int64_t voided_minor;
  int64_t refunded_minor;
} cafe_sandbox_figures;

/* A gateway that moves no money but keeps books like one that does: a ledger by idempotency key, in memory and, with
 * ledger_path, in a file of its own that survives the process. The token "decline" is always declined. loop BORROW.
 * OWN: cafe_gateway_destroy. CAFE_NOMEM, CAFE_INVALID, CAFE_CORRUPT, CAFE_DENIED. Since 0.1. */
CAFE_EXPORT int cafe_sandbox_create(cafe_gateway **out, cafe_loop *loop, const char *ledger_path,
                                    const cafe_allocator *allocator, cafe_err *err);

/* Keeps the ledger of one that was made without in this file, and takes up what it holds. Before the first call, so at
 * the latest between cafe_node_start and the first turn: for a program whose store must be its own before it touches
 * anything else. Errors as above; CAFE_INVALID too where it has a file or a call was made, and on any failure it is as
 * before. Loop thread. Since 0.1. */
CAFE_EXPORT int cafe_sandbox_open(cafe_gateway *sandbox, const char *ledger_path, cafe_err *err);

/* How it behaves now, and what it has done. Either may be NULL; their size is set. Since 0.1. */
CAFE_EXPORT void cafe_sandbox_get(const cafe_gateway *sandbox, cafe_sandbox_settings *settings,
                                  cafe_sandbox_figures *figures);

/* Behaves so from the next call on. COPY. CAFE_INVALID; CAFE_UNSUPPORTED: they hold what only a newer library knows.
 * Since 0.1. */
CAFE_EXPORT int cafe_sandbox_set(cafe_gateway *sandbox, const cafe_sandbox_settings *settings, cafe_err *err);

/* What the ledger holds for one payment: the sums that were approved, captured, voided and refunded. Zeros if none.
 * How often money was really moved for each operation shows in the count. Since 0.1. */
typedef struct cafe_sandbox_entry {
  size_t size;
  int64_t approved_minor, captured_minor, voided_minor, refunded_minor;
  uint32_t authorizations, captures, voids, refunds;
} cafe_sandbox_entry;
CAFE_EXPORT void cafe_sandbox_lookup(const cafe_gateway *sandbox, uint64_t payment_id, cafe_sandbox_entry *out);

CAFE_END_DECLS

#endif
