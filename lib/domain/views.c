/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The inline views: one row for one stream (for notifications, one for each), written in the units of its own events,
 * so that a service's list is never behind its aggregates. A row holds what the events say and nothing else: statuses
 * come from status.c, by the same function as the aggregate's. The read model over all services is lib/view's.
 */
#include "cafe/fulfillment.h"
#include "cafe/notification.h"
#include "cafe/order.h"
#include "cafe/payment.h"
#include "domain/rules.h"
#include "domain/status.h"

/* ---- orders ---- */

static int fold_order(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)out, (void)user; /* each of its events puts the row */
  cafe_order_row *order = row;
  if (event->type == &cafe_ordered_type) {
    cafe_order_row first = {.created_at_ms = event->time_ms};
    RULES_SET_LINES(&first, (const cafe_ordered *)event->data);
    int code = cafe_schema_copy(order, &first, &cafe_order_row_type, arena);
    if (code) {
      return code;
    }
  }
  order->status = status_of_order(order->status, event);
  order->updated_at_ms = event->time_ms;
  order->version = (int64_t)event->version;
  return CAFE_OK;
}

static const cafe_schema *const order_events[] = {&cafe_ordered_type,
                                                  &cafe_order_accepted_type,
                                                  &cafe_preparation_started_type,
                                                  &cafe_coffee_done_type,
                                                  &cafe_order_picked_up_type,
                                                  &cafe_cancel_requested_type,
                                                  &cafe_cancel_rejected_type,
                                                  &cafe_order_canceled_type,
                                                  &cafe_order_rejected_type,
                                                  NULL};

const cafe_view cafe_orders_view = {
    .size = CAFE_VIEW,
    .name = "orders",
    .version = 1,
    .is_inline = true,
    .sources = (const char *const[]){"app", NULL},
    .events = order_events,
    .key_name = "order_id",
    .row = &cafe_order_row_type,
    .indexes = (const char *const[]){"customer_id", NULL},
    .fold = fold_order,
};

/* ---- payments: listed while their authorization is settled ---- */

static int open_payment(cafe_payment_row *row, const cafe_event *event, int64_t amount_minor, cafe_slice currency,
                        cafe_arena *arena) {
  cafe_payment_row first = {.amount_minor = amount_minor, .currency = currency, .created_at_ms = event->time_ms};
  return cafe_schema_copy(row, &first, &cafe_payment_row_type, arena);
}

static int fail_payment(cafe_payment_row *row, const cafe_event *event, cafe_arena *arena) {
  const cafe_payment_failed *failed = event->data;
  int code = row->version ? CAFE_OK : open_payment(row, event, failed->amount_minor, failed->currency, arena);
  row->failed_operation = failed->operation;
  return code ? code : cafe_arena_copy(&row->failed_text, arena, failed->text);
}

static int fold_payment(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  cafe_payment_row *payment = row;
  int code = CAFE_OK;
  if (event->type == &cafe_payment_approved_type) {
    const cafe_payment_approved *approved = event->data;
    code = open_payment(payment, event, approved->amount_minor, approved->currency, arena);
  } else if (event->type == &cafe_payment_declined_type) {
    const cafe_payment_declined *declined = event->data;
    code = open_payment(payment, event, declined->amount_minor, declined->currency, arena);
  } else if (event->type == &cafe_payment_failed_type) {
    code = fail_payment(payment, event, arena);
  } else if (event->type == &cafe_payment_captured_type) {
    payment->captured_minor = ((const cafe_payment_captured *)event->data)->amount_minor;
  } else if (event->type == &cafe_payment_refunded_type) {
    payment->refunded_minor = ((const cafe_payment_refunded *)event->data)->amount_minor;
  } else if (event->type == &cafe_payment_retried_type) {
    payment->failed_operation = CAFE_PAYMENT_NO_OPERATION;
    payment->failed_text = (cafe_slice){NULL, 0};
  } else if (payment->version == 0) {
    /* A cancel that was kept while the authorization runs, or a tombstone. */
    *out = CAFE_FOLD_SKIP;
    return CAFE_OK;
  }
  if (code) {
    return code;
  }
  payment->status = status_of_payment(payment->status, event);
  payment->updated_at_ms = event->time_ms;
  payment->version = (int64_t)event->version;
  if (payment->status == CAFE_PAYMENT_NONE) {
    *out = CAFE_FOLD_HIDE; /* it is authorized again */
  }
  return CAFE_OK;
}

static const cafe_schema *const payment_events[] = {
    &cafe_payment_approved_type, &cafe_payment_declined_type,    &cafe_capture_started_type,
    &cafe_payment_captured_type, &cafe_payment_cancel_kept_type, &cafe_void_started_type,
    &cafe_refund_started_type,   &cafe_payment_canceled_type,    &cafe_payment_refunded_type,
    &cafe_payment_failed_type,   &cafe_payment_retried_type,     NULL};

const cafe_view cafe_payments_view = {
    .size = CAFE_VIEW,
    .name = "payments",
    .version = 2,
    .is_inline = true,
    .sources = (const char *const[]){"pay", NULL},
    .events = payment_events,
    .key_name = "payment_id",
    .row = &cafe_payment_row_type,
    .fold = fold_payment,
};

/* ---- fulfillments ---- */

static int open_ticket(cafe_fulfillment_row *row, const cafe_event *event, const cafe_ticket_received *lines,
                       cafe_arena *arena) {
  cafe_fulfillment_row first = {
      .store_id = lines->store_id,
      .product_id = lines->product_id,
      .qty = lines->qty,
      .customer_id = lines->customer_id,
      .pickup_time_ms = lines->pickup_time_ms,
      .created_at_ms = event->time_ms,
  };
  return cafe_schema_copy(row, &first, &cafe_fulfillment_row_type, arena);
}

static int fold_ticket(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)out, (void)user; /* each of its events puts the row */
  cafe_fulfillment_row *ticket = row;
  int code = CAFE_OK;
  if (event->type == &cafe_ticket_received_type) {
    code = open_ticket(ticket, event, event->data, arena);
  } else if (event->type == &cafe_ticket_withdrawn_type && ticket->version == 0) {
    cafe_ticket_received lines;
    RULES_SET_LINES(&lines, (const cafe_ticket_withdrawn *)event->data);
    code = open_ticket(ticket, event, &lines, arena);
  }
  if (code) {
    return code;
  }
  ticket->status = status_of_ticket(ticket->status, event);
  ticket->updated_at_ms = event->time_ms;
  ticket->version = (int64_t)event->version;
  return CAFE_OK;
}

static const cafe_schema *const ticket_events[] = {
    &cafe_ticket_received_type, &cafe_ticket_accepted_type,  &cafe_ticket_rejected_type,
    &cafe_ticket_started_type,  &cafe_ticket_ready_type,     &cafe_ticket_picked_up_type,
    &cafe_ticket_failed_type,   &cafe_ticket_withdrawn_type, NULL};

const cafe_view cafe_fulfillments_view = {
    .size = CAFE_VIEW,
    .name = "fulfillments",
    .version = 1,
    .is_inline = true,
    .sources = (const char *const[]){"store", NULL},
    .events = ticket_events,
    .key_name = "order_id",
    .row = &cafe_fulfillment_row_type,
    .indexes = (const char *const[]){"store_id", NULL},
    .fold = fold_ticket,
};

/* ---- notifications ---- */

static int notification_number(uint64_t *out, const cafe_event *event, void *user) {
  (void)user;
  if (event->type == &cafe_notification_queued_type) {
    *out = (uint64_t)((const cafe_notification_queued *)event->data)->number;
  } else if (event->type == &cafe_notification_sent_type) {
    *out = (uint64_t)((const cafe_notification_sent *)event->data)->number;
  } else {
    *out = (uint64_t)((const cafe_notification_failed *)event->data)->number;
  }
  return CAFE_OK;
}

static int fold_notification(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)out, (void)user; /* each of its events puts the row */
  cafe_notification_row *notification = row;
  if (event->type == &cafe_notification_queued_type) {
    const cafe_notification_queued *queued = event->data;
    cafe_notification_row first = {
        .customer_id = queued->customer_id,
        .event = queued->event,
        .channel = queued->channel,
        .message = queued->message,
        .status = CAFE_NOTIFICATION_QUEUED,
        .created_at_ms = event->time_ms,
    };
    int code = cafe_schema_copy(notification, &first, &cafe_notification_row_type, arena);
    if (code) {
      return code;
    }
  } else if (event->type == &cafe_notification_sent_type) {
    notification->status = CAFE_NOTIFICATION_SENT;
    notification->attempts = ((const cafe_notification_sent *)event->data)->attempts;
  } else {
    notification->status = CAFE_NOTIFICATION_FAILED;
    notification->attempts = ((const cafe_notification_failed *)event->data)->attempts;
  }
  notification->updated_at_ms = event->time_ms;
  return CAFE_OK;
}

static const cafe_schema *const notification_events[] = {&cafe_notification_queued_type, &cafe_notification_sent_type,
                                                         &cafe_notification_failed_type, NULL};

/* Sent, and so never changed again. One that failed is an operator's, and one in the queue the worker's. */
static bool is_past_notification(const void *row, int64_t before_ms, void *user) {
  (void)user;
  const cafe_notification_row *notification = row;
  return notification->status == CAFE_NOTIFICATION_SENT && notification->updated_at_ms < before_ms;
}

const cafe_view cafe_notifications_view = {
    .size = CAFE_VIEW,
    .name = "notifications",
    .version = 1,
    .is_inline = true,
    .sources = (const char *const[]){"customer", NULL},
    .events = notification_events,
    .key_name = "order_id",
    .sub_name = "number",
    .row = &cafe_notification_row_type,
    .indexes = (const char *const[]){"customer_id", NULL},
    .sub = notification_number,
    .fold = fold_notification,
    .is_past = is_past_notification,
};
