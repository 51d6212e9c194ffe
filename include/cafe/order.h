/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_ORDER_H
#define CAFE_ORDER_H

#include "cafe/aggregate.h"
#include "cafe/saga.h"
#include "cafe/view.h"

CAFE_BEGIN_DECLS

/*
 * The order: OrderDrafted → Ordered → OrderAccepted → PreparationStarted → CoffeeDone → OrderPickedUp, or canceled, or
 * rejected by the store. A draft is durable before payment is asked for, and no view or message shows it; the order
 * exists from Ordered on. Each struct is described by the cafe_schema of its name with _type behind it.
 */

/* What is ordered: the same fields wherever a whole order is told of. Frozen, since it begins other structs: a further
 * field of an order goes to the end of each of them. */
#define CAFE_ORDER_LINES                                                                                               \
  cafe_slice product_id;      /* 1 to 64 code points */                                                                \
  int64_t qty;                /* 1 to 1000 */                                                                          \
  cafe_slice customer_id;     /* 1 to 64 code points */                                                                \
  int64_t amount_minor;       /* the order's total, 0 to 10^12 */                                                      \
  cafe_slice currency;        /* ISO 4217; PlaceOrder without one: "KRW" */                                            \
  cafe_slice store_id;        /* 1 to 64 code points; PlaceOrder without one: "1" */                                   \
  int64_t pickup_time_ms;     /* TIME; 0: none */                                                                      \
  cafe_slice client_reference /* up to 64 code points, or empty */

typedef enum cafe_order_status {
  CAFE_ORDER_NONE = 0, /* no order: nothing, a draft, or a dropped draft */
  CAFE_ORDER_ORDERED = 1,
  CAFE_ORDER_ACCEPTED = 2,
  CAFE_ORDER_PREPARING = 3,
  CAFE_ORDER_COFFEE_DONE = 4,
  CAFE_ORDER_PICKED_UP = 5,
  CAFE_ORDER_CANCELING = 6,
  CAFE_ORDER_CANCELED = 7,
  CAFE_ORDER_REJECTED = 8
} cafe_order_status;

typedef enum cafe_cancel_by {
  CAFE_CANCEL_BY_CUSTOMER = 1, /* until preparation starts */
  CAFE_CANCEL_BY_DEADLINE = 2  /* nobody accepted in time: until the store accepts */
} cafe_cancel_by;

typedef enum cafe_drop_reason {
  CAFE_DROP_DECLINED = 1,    /* the payer's bank said no */
  CAFE_DROP_UNAVAILABLE = 2, /* payment surely didn't happen */
  CAFE_DROP_EXPIRED = 3,     /* approved too late, and nobody came back for it */
  CAFE_DROP_UNKNOWN = 4,     /* no answer from payment, and nobody came back */
  CAFE_DROP_ABANDONED = 5    /* the caller took it back */
} cafe_drop_reason;

typedef enum cafe_reject_by {
  CAFE_REJECT_REFUSED = 1, /* the store refused the ticket */
  CAFE_REJECT_GAVE_UP = 2  /* the store gave up after it had started */
} cafe_reject_by;

/* ---- commands ---- */

/* Orders, and pays. Outcomes: Ordered, DraftDropped, DraftUnclaimed (no answer from payment in time: pay a little
 * later). Sent again to the same key while a draft stands, it joins it. CAFE_REFUSED: "invalid", whose text names each
 * wrong field ("qty: must be …", a line each); "payment-declined" or "payment-unavailable" once the draft is dropped.
 */
typedef struct cafe_place_order {
  CAFE_ORDER_LINES;
  int64_t pay_timeout_ms;    /* how long payment may take; 0: 600 */
  int64_t accept_timeout_ms; /* how long the store may leave the ticket unanswered; 0: 900,000 */
  cafe_slice payment_token;  /* SECRET */
} cafe_place_order;

/* The customer changed his mind, or the deadline passed. Outcomes: OrderCanceled, CancelRejected, OrderRejected.
 * CAFE_REFUSED: "not-found", "cancel-rejected" (too late), "invalid". */
typedef struct cafe_request_cancel {
  cafe_cancel_by by;
  cafe_slice reason; /* up to 200 code points, or empty */
} cafe_request_cancel;

/* The saga's and the policies' own: each is answered by the order's state, however often it comes. */
typedef struct cafe_establish_order {
  int64_t approved_minor;
} cafe_establish_order;
typedef struct cafe_unclaim_draft {
  int64_t wait_until_ms; /* the wait that ended; a later one stands */
} cafe_unclaim_draft;
typedef struct cafe_drop_draft {
  cafe_drop_reason reason;
  int64_t wait_until_ms; /* as in cafe_unclaim_draft; 0: whatever it is */
} cafe_drop_draft;
typedef struct cafe_confirm_cancel {
  cafe_cancel_by by;
} cafe_confirm_cancel;
typedef struct cafe_refuse_cancel {
  cafe_cancel_by by;
} cafe_refuse_cancel;
typedef struct cafe_reject_order {
  cafe_reject_by by;
  cafe_slice reason;
} cafe_reject_order;
/* The store's progress: mark_accepted, mark_started, mark_done, mark_picked_up. */
typedef enum cafe_order_mark {
  CAFE_MARK_ACCEPTED = 1,
  CAFE_MARK_STARTED = 2,
  CAFE_MARK_DONE = 3,
  CAFE_MARK_PICKED_UP = 4
} cafe_order_mark;
typedef struct cafe_mark_order {
  cafe_order_mark mark;
} cafe_mark_order;

/* ---- events ---- */

typedef struct cafe_order_drafted {
  CAFE_ORDER_LINES;
  int64_t wait_until_ms; /* TIME: the caller waits for payment until then */
  int64_t pay_timeout_ms;
  int64_t accept_timeout_ms;
} cafe_order_drafted;
typedef struct cafe_draft_claimed {
  int64_t wait_until_ms;
} cafe_draft_claimed;
typedef struct cafe_draft_unclaimed {
  int64_t wait_until_ms;
} cafe_draft_unclaimed;
typedef struct cafe_draft_dropped {
  cafe_drop_reason reason;
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice customer_id;
} cafe_draft_dropped;
typedef struct cafe_ordered {
  CAFE_ORDER_LINES;
} cafe_ordered;
typedef struct cafe_order_accepted {
  bool unused; /* says no more than its name; a struct can't be empty */
} cafe_order_accepted;
typedef struct cafe_preparation_started {
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice customer_id;
} cafe_preparation_started;
typedef struct cafe_coffee_done {
  bool unused;
} cafe_coffee_done;
typedef struct cafe_order_picked_up {
  bool unused;
} cafe_order_picked_up;
typedef struct cafe_cancel_requested {
  CAFE_ORDER_LINES; /* so that a withdrawal that comes before its ticket is whole */
  cafe_cancel_by by;
  cafe_slice reason;
} cafe_cancel_requested;
typedef struct cafe_cancel_rejected {
  cafe_cancel_by by;
  cafe_order_status status; /* what it is again, given by the store meanwhile */
} cafe_cancel_rejected;
typedef struct cafe_order_canceled {
  cafe_cancel_by by;
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice customer_id;
} cafe_order_canceled;
typedef struct cafe_order_rejected {
  cafe_reject_by by;
  cafe_slice reason;
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice customer_id;
} cafe_order_rejected;

/* ---- state and row ---- */

typedef enum cafe_draft_status {
  CAFE_DRAFT_NONE = 0,
  CAFE_DRAFT_CLAIMED = 1,   /* a caller waits for it */
  CAFE_DRAFT_UNCLAIMED = 2, /* nobody waits: never established until claimed again */
  CAFE_DRAFT_ENDED = 3,     /* it is an order */
  CAFE_DRAFT_DROPPED = 4
} cafe_draft_status;

typedef struct cafe_order {
  CAFE_ORDER_LINES;
  cafe_draft_status draft;
  cafe_drop_reason dropped;   /* 0 unless draft is CAFE_DRAFT_DROPPED */
  cafe_order_status progress; /* what the store's events have given it; ORDERED to PICKED_UP */
  cafe_order_status status;   /* what is shown: progress, CANCELING, CANCELED or REJECTED */
  bool cancel_by_customer;    /* asked for, and not answered yet */
  bool cancel_by_deadline;
  bool cancel_refused; /* the customer was told no */
  int64_t wait_until_ms;
  int64_t pay_timeout_ms;
  int64_t accept_timeout_ms;
} cafe_order;

/* The row of `orders`, from Ordered on. */
typedef struct cafe_order_row {
  CAFE_ORDER_LINES;
  cafe_order_status status;
  int64_t created_at_ms;
  int64_t updated_at_ms;
  int64_t version; /* the stream's */
} cafe_order_row;

CAFE_EXPORT extern const cafe_schema cafe_place_order_type;
CAFE_EXPORT extern const cafe_schema cafe_request_cancel_type;
CAFE_EXPORT extern const cafe_schema cafe_establish_order_type;
CAFE_EXPORT extern const cafe_schema cafe_unclaim_draft_type;
CAFE_EXPORT extern const cafe_schema cafe_drop_draft_type;
CAFE_EXPORT extern const cafe_schema cafe_confirm_cancel_type;
CAFE_EXPORT extern const cafe_schema cafe_refuse_cancel_type;
CAFE_EXPORT extern const cafe_schema cafe_reject_order_type;
CAFE_EXPORT extern const cafe_schema cafe_mark_order_type;
CAFE_EXPORT extern const cafe_schema cafe_order_drafted_type;
CAFE_EXPORT extern const cafe_schema cafe_draft_claimed_type;
CAFE_EXPORT extern const cafe_schema cafe_draft_unclaimed_type;
CAFE_EXPORT extern const cafe_schema cafe_draft_dropped_type;
CAFE_EXPORT extern const cafe_schema cafe_ordered_type;
CAFE_EXPORT extern const cafe_schema cafe_order_accepted_type;
CAFE_EXPORT extern const cafe_schema cafe_preparation_started_type;
CAFE_EXPORT extern const cafe_schema cafe_coffee_done_type;
CAFE_EXPORT extern const cafe_schema cafe_order_picked_up_type;
CAFE_EXPORT extern const cafe_schema cafe_cancel_requested_type;
CAFE_EXPORT extern const cafe_schema cafe_cancel_rejected_type;
CAFE_EXPORT extern const cafe_schema cafe_order_canceled_type;
CAFE_EXPORT extern const cafe_schema cafe_order_rejected_type;
CAFE_EXPORT extern const cafe_schema cafe_order_type;
CAFE_EXPORT extern const cafe_schema cafe_order_row_type;

/* Stream "order". */
CAFE_EXPORT extern const cafe_aggregate cafe_order_aggregate;
/* Saga "order": authorize, establish, ticket, waits, capture. */
CAFE_EXPORT extern const cafe_saga cafe_order_saga;
/* Table `orders`, inline. */
CAFE_EXPORT extern const cafe_view cafe_orders_view;

/* The status as people read it: "CoffeeDone"; NULL for CAFE_ORDER_NONE. BORROW: a constant. THREADSAFE. Since 0.1. */
CAFE_EXPORT const char *cafe_order_status_name(cafe_order_status status);

CAFE_END_DECLS

#endif
