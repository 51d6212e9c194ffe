/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The read model over app, pay and store. Its one invariant: however the three logs interleave, the row is the same. So
 * each log has columns of its own, in which its events are folded in their order, and what all share (the last event)
 * is a maximum by (event time, service, position), which knows no order. A row is there from the first event of any
 * log, and shown once the order's own log has said Ordered.
 *
 * What belongs to a draft isn't folded where it can be told apart: a declined payment, an authorization nobody knows
 * the end of, a tombstone.
 */
#include "cafe/shop.h"
#include "domain/rules.h"
#include "domain/status.h"
#include "view/dashboard.h"

static const cafe_field row_fields[] = {
    RULES_LINES_FIELDS(cafe_order_info_row),
    CAFE_FIELD_ENUM_OF(9, cafe_order_info_row, status, rules_order_status_names),
    CAFE_FIELD_ENUM_OF(10, cafe_order_info_row, payment_status, rules_payment_status_names),
    CAFE_FIELD_ENUM_OF(11, cafe_order_info_row, fulfillment_status, rules_ticket_status_names),
    CAFE_FIELD_OF(12, TEXT, cafe_order_info_row, last_event),
    CAFE_FIELD_OF(13, TIME, cafe_order_info_row, created_at_ms),
    CAFE_FIELD_OF(14, TIME, cafe_order_info_row, updated_at_ms),
    CAFE_FIELD_OF(15, I64, cafe_order_info_row, version),
    CAFE_FIELD_OF(16, TIME, cafe_order_info_row, order_time_ms),
    CAFE_FIELD_OF(17, U64, cafe_order_info_row, order_n),
    CAFE_FIELD_OF(18, TIME, cafe_order_info_row, payment_time_ms),
    CAFE_FIELD_OF(19, U64, cafe_order_info_row, payment_n),
    CAFE_FIELD_OF(20, TIME, cafe_order_info_row, fulfillment_time_ms),
    CAFE_FIELD_OF(21, U64, cafe_order_info_row, fulfillment_n),
    CAFE_FIELD_OF(22, BOOL, cafe_order_info_row, is_visible),
};
const cafe_schema cafe_order_info_row_type = CAFE_SCHEMA_OF("OrderInfoRow", cafe_order_info_row, row_fields);

/* ---- what is shared: the latest event of all ---- */

/* A place in the order of all events: time, then service in the order of the names (app, pay, store), then position. */
typedef struct moment {
  int64_t time_ms;
  int service;
  uint64_t n;
} moment;

enum { APP = 1, PAY = 2, STORE = 3 };

static bool is_later(moment a, moment b) {
  if (a.time_ms != b.time_ms) {
    return a.time_ms > b.time_ms;
  }
  return a.service != b.service ? a.service > b.service : a.n > b.n;
}

static moment latest(const cafe_order_info_row *row) {
  moment last = {row->order_time_ms, APP, row->order_n};
  moment payment = {row->payment_time_ms, PAY, row->payment_n};
  moment fulfillment = {row->fulfillment_time_ms, STORE, row->fulfillment_n};
  if (is_later(payment, last)) {
    last = payment;
  }
  return is_later(fulfillment, last) ? fulfillment : last;
}

/* The name of an event type is static memory: it needs no copy. */
static void touch(cafe_order_info_row *row, const cafe_event *event, int service, int64_t *time_ms, uint64_t *n) {
  moment now = {event->time_ms, service, event->position.n};
  if (is_later(now, latest(row))) {
    row->last_event = cafe_text(event->type->name);
    row->updated_at_ms = event->time_ms;
  }
  if (is_later(now, (moment){*time_ms, service, *n})) {
    *time_ms = event->time_ms;
    *n = event->position.n;
  }
}

/* ---- one log each ---- */

static int fold_order(cafe_order_info_row *row, const cafe_event *event, cafe_arena *arena) {
  if (event->type == &cafe_ordered_type) {
    cafe_order_info_row next = *row;
    RULES_SET_LINES(&next, (const cafe_ordered *)event->data);
    next.created_at_ms = event->time_ms;
    next.is_visible = true;
    if (cafe_schema_copy(row, &next, &cafe_order_info_row_type, arena)) {
      return CAFE_NOMEM;
    }
  }
  row->status = status_of_order(row->status, event);
  row->version = (int64_t)event->version;
  touch(row, event, APP, &row->order_time_ms, &row->order_n);
  return CAFE_OK;
}

static bool is_of_draft(const cafe_event *event) {
  if (event->type == &cafe_payment_failed_type) {
    return ((const cafe_payment_failed *)event->data)->operation == CAFE_PAYMENT_AUTHORIZE;
  }
  if (event->type == &cafe_payment_retried_type) {
    return ((const cafe_payment_retried *)event->data)->operation == CAFE_PAYMENT_AUTHORIZE;
  }
  return event->type == &cafe_payment_canceled_type && ((const cafe_payment_canceled *)event->data)->is_tombstone;
}

static int fold(cafe_fold *out, void *data, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  cafe_order_info_row *row = data;
  cafe_slice stream = cafe_text(event->aggregate);
  if (cafe_slice_equal(stream, cafe_text(cafe_order_aggregate.name))) {
    int code = fold_order(row, event, arena);
    if (code) {
      return code;
    }
  } else if (cafe_slice_equal(stream, cafe_text(cafe_payment_aggregate.name))) {
    if (is_of_draft(event)) {
      *out = CAFE_FOLD_SKIP;
      return CAFE_OK;
    }
    row->payment_status = status_of_payment(row->payment_status, event);
    touch(row, event, PAY, &row->payment_time_ms, &row->payment_n);
  } else {
    row->fulfillment_status = status_of_ticket(row->fulfillment_status, event);
    touch(row, event, STORE, &row->fulfillment_time_ms, &row->fulfillment_n);
  }
  *out = row->is_visible ? CAFE_FOLD_PUT : CAFE_FOLD_HIDE;
  return CAFE_OK;
}

static const cafe_schema *const events[] = {
    &cafe_ordered_type,          &cafe_order_accepted_type,   &cafe_preparation_started_type,
    &cafe_coffee_done_type,      &cafe_order_picked_up_type,  &cafe_cancel_requested_type,
    &cafe_cancel_rejected_type,  &cafe_order_canceled_type,   &cafe_order_rejected_type,
    &cafe_payment_approved_type, &cafe_payment_captured_type, &cafe_payment_canceled_type,
    &cafe_payment_refunded_type, &cafe_payment_failed_type,   &cafe_payment_retried_type,
    &cafe_ticket_received_type,  &cafe_ticket_accepted_type,  &cafe_ticket_rejected_type,
    &cafe_ticket_started_type,   &cafe_ticket_ready_type,     &cafe_ticket_picked_up_type,
    &cafe_ticket_failed_type,    &cafe_ticket_withdrawn_type, NULL};

const cafe_view cafe_order_infos_view = {
    .size = CAFE_VIEW,
    .name = "order_infos",
    .version = 1,
    .is_inline = false,
    .sources = (const char *const[]){"app", "pay", "store", NULL},
    .events = events,
    .key_name = "order_id",
    .row = &cafe_order_info_row_type,
    .indexes = (const char *const[]){"customer_id", "store_id", NULL},
    .shown_by = "is_visible",
    .fold = fold,
};

static const cafe_service dashboard = {
    .size = CAFE_SERVICE,
    .name = "dashboard",
    .views = (const cafe_view *const[]){&cafe_order_infos_view, NULL},
    .remotes = (const cafe_aggregate *const[]){&cafe_order_aggregate, &cafe_payment_aggregate,
                                               &cafe_fulfillment_aggregate, NULL},
    .remote_services = (const char *const[]){"app", "pay", "store", NULL},
};

const cafe_service *view_dashboard_service(void) { return &dashboard; }
