/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_FULFILLMENT_H
#define CAFE_FULFILLMENT_H

#include "cafe/aggregate.h"
#include "cafe/order.h"
#include "cafe/view.h"

CAFE_BEGIN_DECLS

/*
 * The store's ticket; its key is the order's. Received → Accepted → Preparing → Ready → PickedUp. It alone decides
 * whether a withdrawal or the start of preparation came first. A withdrawal before its ticket leaves a tombstone.
 */

typedef enum cafe_ticket_status {
  CAFE_TICKET_NONE = 0,
  CAFE_TICKET_RECEIVED = 1,
  CAFE_TICKET_ACCEPTED = 2,
  CAFE_TICKET_PREPARING = 3,
  CAFE_TICKET_READY = 4,
  CAFE_TICKET_PICKED_UP = 5,
  CAFE_TICKET_REJECTED = 6,
  CAFE_TICKET_FAILED = 7,
  CAFE_TICKET_WITHDRAWN = 8
} cafe_ticket_status;

/* ---- commands ---- */

typedef struct cafe_receive_ticket {
  CAFE_ORDER_LINES;
} cafe_receive_ticket;
typedef struct cafe_withdraw_ticket {
  CAFE_ORDER_LINES;
  cafe_cancel_by by;
} cafe_withdraw_ticket;

typedef enum cafe_ticket_action {
  CAFE_TICKET_ACCEPT = 1,
  CAFE_TICKET_REJECT = 2,   /* from Received only */
  CAFE_TICKET_START = 3,    /* from Accepted */
  CAFE_TICKET_FINISH = 4,   /* from Preparing */
  CAFE_TICKET_HAND_OUT = 5, /* from Ready */
  CAFE_TICKET_FAIL = 6      /* from Preparing or Ready: the store gives up */
} cafe_ticket_action;

/* What the owner does. The last action repeated: CAFE_UNCHANGED. CAFE_REFUSED "wrong-state" or "not-found". */
typedef struct cafe_act_on_ticket {
  cafe_ticket_action action;
  cafe_slice reason; /* up to 200 code points, or empty */
} cafe_act_on_ticket;

/* ---- events ---- */

typedef struct cafe_ticket_received {
  CAFE_ORDER_LINES;
} cafe_ticket_received;
typedef struct cafe_ticket_accepted {
  bool unused; /* says no more than its name; a struct can't be empty */
} cafe_ticket_accepted;
typedef struct cafe_ticket_rejected {
  cafe_slice reason;
} cafe_ticket_rejected;
typedef struct cafe_ticket_started {
  bool unused;
} cafe_ticket_started;
typedef struct cafe_ticket_ready {
  bool unused;
} cafe_ticket_ready;
typedef struct cafe_ticket_picked_up {
  bool unused;
} cafe_ticket_picked_up;
typedef struct cafe_ticket_failed {
  cafe_slice reason;
} cafe_ticket_failed;
typedef struct cafe_ticket_withdrawn {
  CAFE_ORDER_LINES;
  cafe_cancel_by by;
  bool is_tombstone; /* it came before the ticket */
} cafe_ticket_withdrawn;

/* ---- state and row ---- */

typedef struct cafe_ticket {
  cafe_ticket_status status;
} cafe_ticket;

/* The row of `fulfillments`. */
typedef struct cafe_fulfillment_row {
  cafe_slice store_id;
  cafe_slice product_id;
  int64_t qty;
  cafe_slice customer_id;
  int64_t pickup_time_ms;
  cafe_ticket_status status;
  int64_t created_at_ms; /* arrival at the store */
  int64_t updated_at_ms;
  int64_t version;
} cafe_fulfillment_row;

CAFE_EXPORT extern const cafe_schema cafe_receive_ticket_type;
CAFE_EXPORT extern const cafe_schema cafe_withdraw_ticket_type;
CAFE_EXPORT extern const cafe_schema cafe_act_on_ticket_type;
CAFE_EXPORT extern const cafe_schema cafe_ticket_received_type;
CAFE_EXPORT extern const cafe_schema cafe_ticket_accepted_type;
CAFE_EXPORT extern const cafe_schema cafe_ticket_rejected_type;
CAFE_EXPORT extern const cafe_schema cafe_ticket_started_type;
CAFE_EXPORT extern const cafe_schema cafe_ticket_ready_type;
CAFE_EXPORT extern const cafe_schema cafe_ticket_picked_up_type;
CAFE_EXPORT extern const cafe_schema cafe_ticket_failed_type;
CAFE_EXPORT extern const cafe_schema cafe_ticket_withdrawn_type;
CAFE_EXPORT extern const cafe_schema cafe_ticket_type;
CAFE_EXPORT extern const cafe_schema cafe_fulfillment_row_type;

/* Stream "fulfillment". */
CAFE_EXPORT extern const cafe_aggregate cafe_fulfillment_aggregate;
/* Table `fulfillments`, inline. */
CAFE_EXPORT extern const cafe_view cafe_fulfillments_view;

CAFE_END_DECLS

#endif
