/* SPDX-License-Identifier: Apache-2.0 */

/* The read models: what their rows show, and that no interleaving of the logs shows in order_infos. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/shop.h"
#include "given_kit.h"
#include "view/dashboard.h"

#define LINES                                                                                                          \
  .product_id = {"latte", 5}, .qty = 2, .customer_id = {"cdgri", 5}, .amount_minor = 9000, .currency = {"KRW", 3},     \
  .store_id = {"1", 1}, .pickup_time_ms = 7, .client_reference = {"r", 1}

/* An event, in the log of its service. */
typedef struct happened {
  const char *aggregate;
  const cafe_schema *type;
  const void *data;
  int64_t time_ms;
} happened;

static const cafe_ordered ordered = {LINES};
static const cafe_order_accepted accepted;
static const cafe_preparation_started started;
static const cafe_coffee_done done;
static const cafe_order_picked_up picked_up;
static const cafe_cancel_requested cancel_requested = {LINES, .by = CAFE_CANCEL_BY_CUSTOMER};
static const cafe_cancel_rejected cancel_rejected = {CAFE_CANCEL_BY_CUSTOMER, CAFE_ORDER_PREPARING};
static const cafe_order_canceled canceled;
static const cafe_order_rejected rejected;

#define OF(aggregate, stem, value, time)                                                                               \
  { aggregate, &cafe_##stem##_type, &(value), time }
#define ORDER(stem, value, time)   OF("order", stem, value, time)
#define PAYMENT(stem, value, time) OF("payment", stem, value, time)
#define TICKET(stem, value, time)  OF("fulfillment", stem, value, time)

/* ---- a row under a view ---- */

typedef struct table {
  const cafe_view *view;
  cafe_arena *arena;
  void *row;
  uint64_t count;
} table;

static void table_init(table *self, const cafe_view *view) {
  self->view = view;
  self->arena = cafe_arena_create(NULL);
  self->row = cafe_arena_alloc(self->arena, view->row->width);
  self->count = 0;
  assert_non_null(self->row);
}

static void table_deinit(table *self) { cafe_arena_destroy(self->arena); }

static bool reads(const cafe_view *view, const cafe_schema *type) {
  const cafe_schema *const *known = view->events;
  while (*known && *known != type) {
    known++;
  }
  return *known != NULL;
}

static cafe_fold fold_at(table *self, happened what, uint64_t version, uint64_t n) {
  cafe_event event = {
      .type = what.type,
      .aggregate = what.aggregate,
      .key = 1041,
      .version = version,
      .time_ms = what.time_ms,
      .position = {.log_id = 1, .shard = 0, .n = n},
      .data = what.data,
  };
  assert_true(reads(self->view, what.type));
  cafe_fold said = CAFE_FOLD_PUT;
  assert_int_equal(self->view->fold(&said, self->row, &event, self->arena, NULL), CAFE_OK);
  return said;
}

static cafe_fold fold(table *self, happened what) {
  self->count++;
  return fold_at(self, what, self->count, self->count);
}

/* ---- orders ---- */

static void an_order_is_shown_from_ordered_on_as_its_events_say(void **unused) {
  static const struct {
    happened what;
    cafe_order_status status;
  } life[] = {
      {ORDER(ordered, ordered, 100), CAFE_ORDER_ORDERED},
      {ORDER(cancel_requested, cancel_requested, 110), CAFE_ORDER_CANCELING},
      {ORDER(order_accepted, accepted, 120), CAFE_ORDER_CANCELING},
      {ORDER(preparation_started, started, 130), CAFE_ORDER_CANCELING},
      {ORDER(cancel_rejected, cancel_rejected, 140), CAFE_ORDER_PREPARING},
      {ORDER(coffee_done, done, 150), CAFE_ORDER_COFFEE_DONE},
      {ORDER(order_picked_up, picked_up, 160), CAFE_ORDER_PICKED_UP},
  };
  table orders;
  table_init(&orders, &cafe_orders_view);
  const cafe_order_row *row = orders.row;
  for (size_t i = 0; i < sizeof(life) / sizeof(life[0]); i++) {
    assert_int_equal(fold(&orders, life[i].what), CAFE_FOLD_PUT);
    assert_int_equal(row->status, life[i].status);
    assert_int_equal(row->updated_at_ms, life[i].what.time_ms);
    assert_int_equal(row->version, i + 1);
    assert_int_equal(row->created_at_ms, 100);
  }
  assert_true(cafe_slice_equal(row->product_id, cafe_text("latte")));
  assert_true(row->product_id.data != ordered.product_id.data);
  assert_int_equal(row->qty, 2);
  assert_true(cafe_slice_equal(row->client_reference, cafe_text("r")));
  table_deinit(&orders);
}

static void an_order_ends_canceled_or_rejected(void **unused) {
  table orders;
  table_init(&orders, &cafe_orders_view);
  const cafe_order_row *row = orders.row;
  fold(&orders, (happened)ORDER(ordered, ordered, 1));
  fold(&orders, (happened)ORDER(cancel_requested, cancel_requested, 2));
  fold(&orders, (happened)ORDER(order_canceled, canceled, 3));
  assert_int_equal(row->status, CAFE_ORDER_CANCELED);
  table_deinit(&orders);
  table_init(&orders, &cafe_orders_view);
  row = orders.row;
  fold(&orders, (happened)ORDER(ordered, ordered, 1));
  fold(&orders, (happened)ORDER(order_rejected, rejected, 2));
  assert_int_equal(row->status, CAFE_ORDER_REJECTED);
  table_deinit(&orders);
}

static void no_view_reads_what_happens_to_a_draft(void **unused) {
  static const cafe_view *const all[] = {&cafe_orders_view, &cafe_order_infos_view};
  for (size_t i = 0; i < 2; i++) {
    assert_false(reads(all[i], &cafe_order_drafted_type));
    assert_false(reads(all[i], &cafe_draft_claimed_type));
    assert_false(reads(all[i], &cafe_draft_unclaimed_type));
    assert_false(reads(all[i], &cafe_draft_dropped_type));
  }
  assert_false(reads(&cafe_order_infos_view, &cafe_payment_declined_type));
  assert_false(reads(&cafe_payments_view, &cafe_authorization_started_type));
  assert_false(reads(&cafe_payments_view, &cafe_authorization_failed_type));
}

/* ---- payments ---- */

static const cafe_payment_approved approved = {9000, {"KRW", 3}, {"ref", 3}};
static const cafe_payment_declined declined = {9000, {"KRW", 3}, {"no", 2}};
static const cafe_capture_started capture_started = {9000};
static const cafe_payment_captured captured = {9000, {"ref", 3}};
static const cafe_payment_cancel_kept cancel_kept = {CAFE_PAYMENT_ORDER_REJECTED};
static const cafe_refund_started refund_started = {CAFE_PAYMENT_ORDER_REJECTED, 9000};
static const cafe_payment_refunded refunded = {.amount_minor = 9000};
static const cafe_void_started void_started = {CAFE_PAYMENT_ORDER_CANCELED};
static const cafe_payment_canceled payment_canceled;
static const cafe_payment_canceled tombstone = {.is_tombstone = true};
static const cafe_payment_failed authorize_failed = {CAFE_PAYMENT_AUTHORIZE, 9000, {"KRW", 3}, {"?", 1}};
static const cafe_payment_failed refund_failed = {CAFE_PAYMENT_REFUND, 9000, {"KRW", 3}, {"?", 1}};
static const cafe_payment_retried authorize_retried = {.operation = CAFE_PAYMENT_AUTHORIZE};
static const cafe_payment_retried refund_retried = {.operation = CAFE_PAYMENT_REFUND};

static void a_payment_is_listed_once_its_authorization_is_settled(void **unused) {
  static const struct {
    happened what;
    cafe_fold fold;
    cafe_payment_status status;
  } life[] = {
      {PAYMENT(payment_cancel_kept, cancel_kept, 90), CAFE_FOLD_SKIP, CAFE_PAYMENT_NONE},
      {PAYMENT(payment_approved, approved, 100), CAFE_FOLD_PUT, CAFE_PAYMENT_APPROVED},
      {PAYMENT(capture_started, capture_started, 110), CAFE_FOLD_PUT, CAFE_PAYMENT_APPROVED},
      {PAYMENT(payment_captured, captured, 120), CAFE_FOLD_PUT, CAFE_PAYMENT_CAPTURED},
      {PAYMENT(refund_started, refund_started, 130), CAFE_FOLD_PUT, CAFE_PAYMENT_CAPTURED},
      {PAYMENT(payment_refunded, refunded, 140), CAFE_FOLD_PUT, CAFE_PAYMENT_REFUNDED},
  };
  table payments;
  table_init(&payments, &cafe_payments_view);
  const cafe_payment_row *row = payments.row;
  for (size_t i = 0; i < sizeof(life) / sizeof(life[0]); i++) {
    assert_int_equal(fold(&payments, life[i].what), life[i].fold);
    assert_int_equal(row->status, life[i].status);
  }
  assert_int_equal(row->amount_minor, 9000);
  assert_int_equal(row->captured_minor, 9000);
  assert_int_equal(row->refunded_minor, 9000);
  assert_int_equal(row->created_at_ms, 100);
  assert_int_equal(row->updated_at_ms, 140);
  assert_int_equal(row->version, 6);
  assert_true(cafe_slice_equal(row->currency, cafe_text("KRW")));
  table_deinit(&payments);
}

static cafe_payment_status payment_after(happened first, happened second, cafe_fold expected) {
  table payments;
  table_init(&payments, &cafe_payments_view);
  fold(&payments, first);
  if (second.type) {
    assert_int_equal(fold(&payments, second), CAFE_FOLD_PUT);
  }
  const cafe_payment_row *row = payments.row;
  cafe_payment_status status = row->status;
  assert_int_equal(row->amount_minor, expected == CAFE_FOLD_PUT ? 9000 : 0);
  table_deinit(&payments);
  return status;
}

static void a_payment_shows_how_it_ended(void **unused) {
  const happened none = {NULL, NULL, NULL, 0};
  assert_int_equal(payment_after((happened)PAYMENT(payment_declined, declined, 1), none, CAFE_FOLD_PUT),
                   CAFE_PAYMENT_DECLINED);
  assert_int_equal(payment_after((happened)PAYMENT(payment_failed, authorize_failed, 1), none, CAFE_FOLD_PUT),
                   CAFE_PAYMENT_FAILED);
  assert_int_equal(payment_after((happened)PAYMENT(payment_canceled, tombstone, 1), none, CAFE_FOLD_SKIP),
                   CAFE_PAYMENT_NONE);
  assert_int_equal(payment_after((happened)PAYMENT(payment_approved, approved, 1),
                                 (happened)PAYMENT(void_started, void_started, 2), CAFE_FOLD_PUT),
                   CAFE_PAYMENT_APPROVED);
  assert_int_equal(payment_after((happened)PAYMENT(payment_approved, approved, 1),
                                 (happened)PAYMENT(payment_canceled, payment_canceled, 2), CAFE_FOLD_PUT),
                   CAFE_PAYMENT_CANCELED);
  assert_int_equal(payment_after((happened)PAYMENT(payment_approved, approved, 1),
                                 (happened)PAYMENT(payment_failed, refund_failed, 2), CAFE_FOLD_PUT),
                   CAFE_PAYMENT_FAILED);
}

static void a_failed_payment_shows_what_was_given_up_until_it_is_tried_again(void **unused) {
  table payments;
  table_init(&payments, &cafe_payments_view);
  const cafe_payment_row *row = payments.row;
  fold(&payments, (happened)PAYMENT(payment_approved, approved, 1));
  fold(&payments, (happened)PAYMENT(payment_captured, captured, 2));
  for (int64_t at = 3; at < 7; at += 2) {
    assert_int_equal(fold(&payments, (happened)PAYMENT(payment_failed, refund_failed, at)), CAFE_FOLD_PUT);
    assert_int_equal(row->status, CAFE_PAYMENT_FAILED);
    assert_int_equal(row->failed_operation, CAFE_PAYMENT_REFUND);
    assert_true(cafe_slice_equal(row->failed_text, cafe_text("?")));
    assert_int_equal(fold(&payments, (happened)PAYMENT(payment_retried, refund_retried, at + 1)), CAFE_FOLD_PUT);
    assert_int_equal(row->status, CAFE_PAYMENT_CAPTURED);
    assert_int_equal(row->failed_operation, CAFE_PAYMENT_NO_OPERATION);
    assert_int_equal(row->failed_text.size, 0);
  }
  assert_int_equal(row->created_at_ms, 1);
  assert_int_equal(row->captured_minor, 9000);
  table_deinit(&payments);
}

/* It isn't settled any more; what it comes to opens its row anew, or there is none. */
static void a_payment_that_is_authorized_again_is_not_listed_meanwhile(void **unused) {
  table payments;
  table_init(&payments, &cafe_payments_view);
  const cafe_payment_row *row = payments.row;
  fold(&payments, (happened)PAYMENT(payment_failed, authorize_failed, 1));
  fold(&payments, (happened)PAYMENT(payment_cancel_kept, cancel_kept, 2));
  assert_int_equal(row->failed_operation, CAFE_PAYMENT_AUTHORIZE);
  assert_int_equal(fold(&payments, (happened)PAYMENT(payment_retried, authorize_retried, 3)), CAFE_FOLD_HIDE);
  assert_int_equal(fold(&payments, (happened)PAYMENT(payment_approved, approved, 4)), CAFE_FOLD_PUT);
  assert_int_equal(row->status, CAFE_PAYMENT_APPROVED);
  assert_int_equal(row->created_at_ms, 4);
  table_deinit(&payments);
}

/* ---- fulfillments ---- */

static const cafe_ticket_received received = {LINES};
static const cafe_ticket_accepted ticket_accepted;
static const cafe_ticket_started ticket_started;
static const cafe_ticket_ready ready;
static const cafe_ticket_picked_up ticket_picked_up;
static const cafe_ticket_withdrawn withdrawn = {.by = CAFE_CANCEL_BY_CUSTOMER};
static const cafe_ticket_withdrawn ticket_tombstone = {LINES, .is_tombstone = true};

static void a_ticket_shows_its_lines_and_status(void **unused) {
  table tickets;
  table_init(&tickets, &cafe_fulfillments_view);
  const cafe_fulfillment_row *row = tickets.row;
  assert_int_equal(fold(&tickets, (happened)TICKET(ticket_received, received, 50)), CAFE_FOLD_PUT);
  assert_int_equal(row->status, CAFE_TICKET_RECEIVED);
  assert_int_equal(fold(&tickets, (happened)TICKET(ticket_accepted, ticket_accepted, 55)), CAFE_FOLD_PUT);
  assert_int_equal(row->status, CAFE_TICKET_ACCEPTED);
  assert_int_equal(fold(&tickets, (happened)TICKET(ticket_withdrawn, withdrawn, 60)), CAFE_FOLD_PUT);
  assert_int_equal(row->status, CAFE_TICKET_WITHDRAWN);
  assert_int_equal(row->created_at_ms, 50);
  assert_int_equal(row->updated_at_ms, 60);
  assert_int_equal(row->version, 3);
  assert_true(cafe_slice_equal(row->product_id, cafe_text("latte")));
  assert_true(cafe_slice_equal(row->store_id, cafe_text("1")));
  assert_true(cafe_slice_equal(row->customer_id, cafe_text("cdgri")));
  assert_int_equal(row->qty, 2);
  assert_int_equal(row->pickup_time_ms, 7);
  table_deinit(&tickets);
}

static void a_withdrawal_that_came_first_shows_as_a_whole_ticket(void **unused) {
  table tickets;
  table_init(&tickets, &cafe_fulfillments_view);
  const cafe_fulfillment_row *row = tickets.row;
  assert_int_equal(fold(&tickets, (happened)TICKET(ticket_withdrawn, ticket_tombstone, 50)), CAFE_FOLD_PUT);
  assert_int_equal(row->status, CAFE_TICKET_WITHDRAWN);
  assert_int_equal(row->created_at_ms, 50);
  assert_true(cafe_slice_equal(row->product_id, cafe_text("latte")));
  table_deinit(&tickets);
}

/* ---- notifications ---- */

static const cafe_notification_queued queued = {3, {"Ordered", 7}, {"console", 7}, {"cdgri", 5}, {"hello", 5}};
static const cafe_notification_sent sent = {3, 2};
static const cafe_notification_failed notification_failed = {3, 20, {"gone", 4}};

static void a_notification_has_a_row_of_its_own(void **unused) {
  const happened life[] = {OF("notification", notification_queued, queued, 5),
                           OF("notification", notification_sent, sent, 6),
                           OF("notification", notification_failed, notification_failed, 6)};
  for (size_t end = 1; end <= 2; end++) {
    table notifications;
    table_init(&notifications, &cafe_notifications_view);
    const cafe_notification_row *row = notifications.row;
    fold(&notifications, life[0]);
    assert_int_equal(row->status, CAFE_NOTIFICATION_QUEUED);
    assert_true(cafe_slice_equal(row->event, cafe_text("Ordered")));
    assert_true(cafe_slice_equal(row->channel, cafe_text("console")));
    assert_true(cafe_slice_equal(row->customer_id, cafe_text("cdgri")));
    assert_true(cafe_slice_equal(row->message, cafe_text("hello")));
    fold(&notifications, life[end]);
    assert_int_equal(row->status, end == 1 ? CAFE_NOTIFICATION_SENT : CAFE_NOTIFICATION_FAILED);
    assert_int_equal(row->attempts, end == 1 ? 2 : 20);
    assert_int_equal(row->created_at_ms, 5);
    assert_int_equal(row->updated_at_ms, 6);
    table_deinit(&notifications);
  }
  for (size_t i = 0; i < 3; i++) {
    cafe_event event = {.type = life[i].type, .data = life[i].data};
    uint64_t sub = 0;
    assert_int_equal(cafe_notifications_view.sub(&sub, &event, NULL), CAFE_OK);
    assert_int_equal(sub, 3);
  }
}

/* ---- order_infos ---- */

static void a_row_is_hidden_until_ordered_was_seen(void **unused) {
  table infos;
  table_init(&infos, &cafe_order_infos_view);
  const cafe_order_info_row *row = infos.row;
  assert_int_equal(fold(&infos, (happened)PAYMENT(payment_approved, approved, 10)), CAFE_FOLD_HIDE);
  assert_int_equal(fold(&infos, (happened)TICKET(ticket_received, received, 30)), CAFE_FOLD_HIDE);
  assert_false(row->is_visible);
  assert_int_equal(fold(&infos, (happened)ORDER(ordered, ordered, 20)), CAFE_FOLD_PUT);
  assert_true(row->is_visible);
  assert_int_equal(row->status, CAFE_ORDER_ORDERED);
  assert_int_equal(row->payment_status, CAFE_PAYMENT_APPROVED);
  assert_int_equal(row->fulfillment_status, CAFE_TICKET_RECEIVED);
  assert_true(cafe_slice_equal(row->last_event, cafe_text("TicketReceived")));
  assert_int_equal(row->updated_at_ms, 30);
  assert_int_equal(row->created_at_ms, 20);
  assert_int_equal(row->version, 3);
  assert_true(cafe_slice_equal(row->product_id, cafe_text("latte")));
  table_deinit(&infos);
}

static void a_canceled_order_shows_its_void_payment_and_withdrawn_ticket(void **unused) {
  table infos;
  table_init(&infos, &cafe_order_infos_view);
  const cafe_order_info_row *row = infos.row;
  fold(&infos, (happened)ORDER(ordered, ordered, 10));
  fold(&infos, (happened)TICKET(ticket_withdrawn, withdrawn, 20));
  fold(&infos, (happened)ORDER(order_canceled, canceled, 30));
  assert_int_equal(fold(&infos, (happened)PAYMENT(payment_canceled, payment_canceled, 40)), CAFE_FOLD_PUT);
  assert_int_equal(row->status, CAFE_ORDER_CANCELED);
  assert_int_equal(row->payment_status, CAFE_PAYMENT_CANCELED);
  assert_int_equal(row->fulfillment_status, CAFE_TICKET_WITHDRAWN);
  assert_true(cafe_slice_equal(row->last_event, cafe_text("PaymentCanceled")));
  table_deinit(&infos);
}

static void what_was_never_an_orders_payment_leaves_no_row(void **unused) {
  table infos;
  table_init(&infos, &cafe_order_infos_view);
  assert_int_equal(fold(&infos, (happened)PAYMENT(payment_canceled, tombstone, 1)), CAFE_FOLD_SKIP);
  assert_int_equal(fold(&infos, (happened)PAYMENT(payment_failed, authorize_failed, 2)), CAFE_FOLD_SKIP);
  assert_int_equal(fold(&infos, (happened)PAYMENT(payment_retried, authorize_retried, 2)), CAFE_FOLD_SKIP);
  assert_int_equal(((const cafe_order_info_row *)infos.row)->payment_n, 0);
  assert_int_equal(fold(&infos, (happened)PAYMENT(payment_failed, refund_failed, 3)), CAFE_FOLD_HIDE);
  assert_int_equal(((const cafe_order_info_row *)infos.row)->payment_status, CAFE_PAYMENT_FAILED);
  assert_int_equal(fold(&infos, (happened)PAYMENT(payment_retried, refund_retried, 4)), CAFE_FOLD_HIDE);
  assert_int_equal(((const cafe_order_info_row *)infos.row)->payment_status, CAFE_PAYMENT_CAPTURED);
  table_deinit(&infos);
}

enum { LOGS = 3, LOG_MAX = 6 };

typedef struct history {
  const char *name;
  const happened *logs[LOGS];
  size_t sizes[LOGS];
} history;

typedef struct interleaving {
  const history *all;
  size_t at[LOGS];
  int order[LOGS * LOG_MAX];
  size_t count;
  size_t total;
  cafe_arena *arena;
  cafe_slice expected;
  size_t seen;
} interleaving;

static void compare(interleaving *self) {
  table infos;
  table_init(&infos, &cafe_order_infos_view);
  size_t at[LOGS] = {0};
  for (size_t i = 0; i < self->total; i++) {
    int log = self->order[i];
    size_t index = at[log]++;
    fold_at(&infos, self->all->logs[log][index], index + 1, index + 1);
  }
  cafe_slice bytes;
  assert_int_equal(cafe_schema_encode(&bytes, infos.arena, &cafe_order_info_row_type, infos.row, NULL), CAFE_OK);
  if (self->seen++ == 0) {
    assert_int_equal(cafe_arena_copy(&self->expected, self->arena, bytes), CAFE_OK);
  }
  assert_true(cafe_slice_equal(bytes, self->expected));
  table_deinit(&infos);
}

static void interleave(interleaving *self) {
  if (self->count == self->total) {
    compare(self);
    return;
  }
  for (int log = 0; log < LOGS; log++) {
    if (self->at[log] < self->all->sizes[log]) {
      self->at[log]++;
      self->order[self->count++] = log;
      interleave(self);
      self->count--;
      self->at[log]--;
    }
  }
}

static size_t interleavings_of(const history *all) {
  interleaving self = {.all = all, .total = all->sizes[0] + all->sizes[1] + all->sizes[2]};
  self.arena = cafe_arena_create(NULL);
  interleave(&self);
  cafe_arena_destroy(self.arena);
  return self.seen;
}

/* Times that are equal across the logs, equal within one, and that run backwards. */
static const happened order_log[] = {ORDER(ordered, ordered, 100), ORDER(cancel_requested, cancel_requested, 120),
                                     ORDER(order_accepted, accepted, 120), ORDER(preparation_started, started, 110),
                                     ORDER(cancel_rejected, cancel_rejected, 130)};
static const happened payment_log[] = {PAYMENT(payment_approved, approved, 100),
                                       PAYMENT(payment_captured, captured, 130),
                                       PAYMENT(payment_refunded, refunded, 90)};
static const happened ticket_log[] = {TICKET(ticket_received, received, 130),
                                      TICKET(ticket_accepted, ticket_accepted, 130),
                                      TICKET(ticket_started, ticket_started, 105)};
static const happened late_ticket_log[] = {
    TICKET(ticket_received, received, 200), TICKET(ticket_accepted, ticket_accepted, 300),
    TICKET(ticket_ready, ready, 300), TICKET(ticket_picked_up, ticket_picked_up, 300)};

static void every_interleaving_folds_to_the_same_row(void **unused) {
  const history mixed = {"mixed", {order_log, payment_log, ticket_log}, {5, 3, 3}};
  assert_int_equal(interleavings_of(&mixed), 9240); /* 11! / (5! 3! 3!) */
  const history late = {"late", {order_log, payment_log, late_ticket_log}, {3, 3, 4}};
  assert_int_equal(interleavings_of(&late), 4200); /* 10! / (3! 3! 4!) */
}

static void the_last_event_is_the_latest_by_time_then_service_then_position(void **unused) {
  table infos;
  table_init(&infos, &cafe_order_infos_view);
  const cafe_order_info_row *row = infos.row;
  fold_at(&infos, (happened)ORDER(ordered, ordered, 100), 1, 9);
  fold_at(&infos, (happened)PAYMENT(payment_approved, approved, 100), 1, 3);
  assert_true(cafe_slice_equal(row->last_event, cafe_text("PaymentApproved")));
  fold_at(&infos, (happened)TICKET(ticket_received, received, 99), 1, 1);
  assert_true(cafe_slice_equal(row->last_event, cafe_text("PaymentApproved")));
  fold_at(&infos, (happened)PAYMENT(payment_captured, captured, 100), 2, 4);
  assert_true(cafe_slice_equal(row->last_event, cafe_text("PaymentCaptured")));
  fold_at(&infos, (happened)ORDER(order_accepted, accepted, 101), 2, 10);
  assert_true(cafe_slice_equal(row->last_event, cafe_text("OrderAccepted")));
  assert_int_equal(row->updated_at_ms, 101);
  assert_int_equal(row->order_n, 10);
  assert_int_equal(row->payment_n, 4);
  assert_int_equal(row->fulfillment_n, 1);
  assert_int_equal(row->version, 2);
  table_deinit(&infos);
}

static void the_dashboard_hosts_the_read_model_and_nothing_else(void **unused) {
  const cafe_service *service = view_dashboard_service();
  assert_string_equal(service->name, "dashboard");
  assert_ptr_equal(service->views[0], &cafe_order_infos_view);
  assert_null(service->views[1]);
  assert_null(service->aggregates);
  assert_null(service->policies);
  assert_null(service->sagas);
}

/* ---- all of them ---- */

static const cafe_view *const views[] = {&cafe_orders_view, &cafe_payments_view, &cafe_fulfillments_view,
                                         &cafe_notifications_view, &cafe_order_infos_view};

static void every_view_has_a_sound_table_and_its_columns(void **unused) {
  for (size_t i = 0; i < 5; i++) {
    assert_int_equal(cafe_schema_check(views[i]->row, NULL), CAFE_OK);
    for (uint32_t field = 0; field < views[i]->row->field_count; field++) {
      assert_false(views[i]->row->fields[field].flags & CAFE_FIELD_SECRET);
    }
    for (const char *const *column = views[i]->indexes; column && *column; column++) {
      assert_true(cafe_schema_find(views[i]->row, cafe_text(*column)) >= 0);
    }
  }
  assert_true(cafe_schema_find(cafe_order_infos_view.row, cafe_text(cafe_order_infos_view.shown_by)) >= 0);
}

/* With all its texts set, so that each needs memory. */
static void starve(const cafe_view *view, happened what) {
  static char data[512];
  cafe_given *it = NULL;
  memcpy(data, what.data, what.type->width);
  for (uint32_t i = 0; i < what.type->field_count; i++) {
    if (what.type->fields[i].type == CAFE_FIELD_TEXT) {
      cafe_value value = {.bytes = cafe_text("a text that is longer than any piece of memory")};
      assert_int_equal(cafe_schema_set(data, what.type, i, &value, NULL), CAFE_OK);
    }
  }
  assert_int_equal(cafe_given_view(&it, view, NULL, NULL), CAFE_OK);
  cafe_given_stream(it, what.aggregate, 1);
  cafe_given_event(it, what.type, data, what.type->width);
  cafe_given_starve(it);
  given_end(it);
}

static void without_memory_a_fold_says_so(void **unused) {
  starve(&cafe_orders_view, (happened)ORDER(ordered, ordered, 1));
  starve(&cafe_order_infos_view, (happened)ORDER(ordered, ordered, 1));
  starve(&cafe_payments_view, (happened)PAYMENT(payment_approved, approved, 1));
  starve(&cafe_payments_view, (happened)PAYMENT(payment_declined, declined, 1));
  starve(&cafe_payments_view, (happened)PAYMENT(payment_failed, authorize_failed, 1));
  starve(&cafe_fulfillments_view, (happened)TICKET(ticket_received, received, 1));
  starve(&cafe_fulfillments_view, (happened)TICKET(ticket_withdrawn, ticket_tombstone, 1));
  starve(&cafe_notifications_view, (happened)OF("notification", notification_queued, queued, 1));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_order_is_shown_from_ordered_on_as_its_events_say),
      cmocka_unit_test(an_order_ends_canceled_or_rejected),
      cmocka_unit_test(no_view_reads_what_happens_to_a_draft),
      cmocka_unit_test(a_payment_is_listed_once_its_authorization_is_settled),
      cmocka_unit_test(a_payment_shows_how_it_ended),
      cmocka_unit_test(a_failed_payment_shows_what_was_given_up_until_it_is_tried_again),
      cmocka_unit_test(a_payment_that_is_authorized_again_is_not_listed_meanwhile),
      cmocka_unit_test(a_ticket_shows_its_lines_and_status),
      cmocka_unit_test(a_withdrawal_that_came_first_shows_as_a_whole_ticket),
      cmocka_unit_test(a_notification_has_a_row_of_its_own),
      cmocka_unit_test(a_row_is_hidden_until_ordered_was_seen),
      cmocka_unit_test(a_canceled_order_shows_its_void_payment_and_withdrawn_ticket),
      cmocka_unit_test(what_was_never_an_orders_payment_leaves_no_row),
      cmocka_unit_test(every_interleaving_folds_to_the_same_row),
      cmocka_unit_test(the_last_event_is_the_latest_by_time_then_service_then_position),
      cmocka_unit_test(the_dashboard_hosts_the_read_model_and_nothing_else),
      cmocka_unit_test(every_view_has_a_sound_table_and_its_columns),
      cmocka_unit_test(without_memory_a_fold_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
