/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_NOTIFICATION_H
#define CAFE_NOTIFICATION_H

#include "cafe/aggregate.h"
#include "cafe/view.h"

CAFE_BEGIN_DECLS

/*
 * What the customer is told; the key is the order's. One row per order, transition and channel, exactly once; delivery
 * at least once, with the notification's id ("orderId-number") as the receiver's idempotency key. Messages of one order
 * on one channel go out one after the other, in order.
 */

enum { CAFE_CHANNELS_MAX = 8 };

typedef enum cafe_notification_status {
  CAFE_NOTIFICATION_NONE = 0,
  CAFE_NOTIFICATION_QUEUED = 1,
  CAFE_NOTIFICATION_SENT = 2,
  CAFE_NOTIFICATION_FAILED = 3 /* dead letter */
} cafe_notification_status;

/* ---- commands ---- */

typedef struct cafe_notify_customer {
  cafe_slice event;       /* the transition: "OrderAccepted" */
  cafe_slice customer_id; /* empty: known from an earlier one */
  cafe_slice channels;    /* names, separated by spaces */
  cafe_slice message;     /* for people */
} cafe_notify_customer;
typedef struct cafe_record_delivery {
  int64_t number;
  cafe_notification_status status; /* SENT or FAILED */
  int64_t attempts;
  cafe_slice text; /* FAILED: why */
} cafe_record_delivery;

/* ---- events ---- */

typedef struct cafe_notification_queued {
  int64_t number; /* in the order, from 1 */
  cafe_slice event;
  cafe_slice channel;
  cafe_slice customer_id;
  cafe_slice message;
} cafe_notification_queued;
typedef struct cafe_notification_sent {
  int64_t number;
  int64_t attempts;
} cafe_notification_sent;
typedef struct cafe_notification_failed {
  int64_t number;
  int64_t attempts;
  cafe_slice text;
} cafe_notification_failed;

/* The task: one delivery; its id is the notification's number. */
typedef struct cafe_delivery_task {
  int64_t number;
  cafe_slice event;
  cafe_slice channel;
  cafe_slice customer_id;
  cafe_slice message;
} cafe_delivery_task;

/* ---- state and row ---- */

typedef struct cafe_notification_item {
  struct cafe_notification_item *next; /* by number */
  cafe_notification_status status;
  int64_t number;
  cafe_slice event;
  cafe_slice channel;
  cafe_slice message;
} cafe_notification_item;

typedef struct cafe_notifications {
  cafe_slice customer_id;
  int64_t count;
  cafe_notification_item *first;
  cafe_notification_item *last;
} cafe_notifications;

/* A row of `notifications`; its second key is the number. */
typedef struct cafe_notification_row {
  cafe_slice customer_id;
  cafe_slice event;
  cafe_slice channel;
  cafe_slice message;
  cafe_notification_status status;
  int64_t attempts;
  int64_t created_at_ms;
  int64_t updated_at_ms;
} cafe_notification_row;

CAFE_EXPORT extern const cafe_schema cafe_notify_customer_type;
CAFE_EXPORT extern const cafe_schema cafe_record_delivery_type;
CAFE_EXPORT extern const cafe_schema cafe_notification_queued_type;
CAFE_EXPORT extern const cafe_schema cafe_notification_sent_type;
CAFE_EXPORT extern const cafe_schema cafe_notification_failed_type;
CAFE_EXPORT extern const cafe_schema cafe_delivery_task_type;
CAFE_EXPORT extern const cafe_schema cafe_notifications_type;
CAFE_EXPORT extern const cafe_schema cafe_notification_row_type;

/* Stream "notification". */
CAFE_EXPORT extern const cafe_aggregate cafe_notification_aggregate;
/* Table `notifications`, inline. */
CAFE_EXPORT extern const cafe_view cafe_notifications_view;

CAFE_END_DECLS

#endif
