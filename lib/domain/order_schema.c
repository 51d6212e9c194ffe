/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The field tables of the order. A number is a place in bytes that are kept for ever: fields are added at the end, and
 * none is renumbered, retyped or removed.
 */
#include "domain/rules.h"

const char *const rules_order_status_names[CAFE_ORDER_REJECTED + 1] = {
    "", "Ordered", "Accepted", "Preparing", "CoffeeDone", "PickedUp", "Canceling", "Canceled", "Rejected"};
const char *const rules_cancel_by_names[CAFE_CANCEL_BY_DEADLINE + 1] = {"", "customer", "deadline"};
static const char *const drop_reason_names[] = {"", "declined", "unavailable", "expired", "unknown", "abandoned"};
static const char *const reject_by_names[] = {"", "refused", "gave-up"};
static const char *const mark_names[] = {"", "accepted", "started", "done", "picked-up"};
static const char *const draft_status_names[] = {"", "claimed", "unclaimed", "ended", "dropped"};

/* ---- commands ---- */

static const cafe_field place_order_fields[] = {
    RULES_LINES_FIELDS(cafe_place_order),
    CAFE_FIELD_OF(9, I64, cafe_place_order, pay_timeout_ms),
    CAFE_FIELD_OF(10, I64, cafe_place_order, accept_timeout_ms),
    CAFE_FIELD_SECRET_OF(11, TEXT, cafe_place_order, payment_token),
};
RULES_SCHEMA(place_order, "PlaceOrder");

static const cafe_field request_cancel_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_request_cancel, by, rules_cancel_by_names),
    CAFE_FIELD_OF(2, TEXT, cafe_request_cancel, reason),
};
RULES_SCHEMA(request_cancel, "RequestCancel");

static const cafe_field establish_order_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_establish_order, approved_minor),
};
RULES_SCHEMA(establish_order, "EstablishOrder");

static const cafe_field unclaim_draft_fields[] = {
    CAFE_FIELD_OF(1, TIME, cafe_unclaim_draft, wait_until_ms),
};
RULES_SCHEMA(unclaim_draft, "UnclaimDraft");

static const cafe_field drop_draft_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_drop_draft, reason, drop_reason_names),
    CAFE_FIELD_OF(2, TIME, cafe_drop_draft, wait_until_ms),
};
RULES_SCHEMA(drop_draft, "DropDraft");

static const cafe_field confirm_cancel_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_confirm_cancel, by, rules_cancel_by_names),
};
RULES_SCHEMA(confirm_cancel, "ConfirmCancel");

static const cafe_field refuse_cancel_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_refuse_cancel, by, rules_cancel_by_names),
};
RULES_SCHEMA(refuse_cancel, "RefuseCancel");

static const cafe_field reject_order_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_reject_order, by, reject_by_names),
    CAFE_FIELD_OF(2, TEXT, cafe_reject_order, reason),
};
RULES_SCHEMA(reject_order, "RejectOrder");

static const cafe_field mark_order_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_mark_order, mark, mark_names),
};
RULES_SCHEMA(mark_order, "MarkOrder");

/* ---- events ---- */

static const cafe_field order_drafted_fields[] = {
    RULES_LINES_FIELDS(cafe_order_drafted),
    CAFE_FIELD_OF(9, TIME, cafe_order_drafted, wait_until_ms),
    CAFE_FIELD_OF(10, I64, cafe_order_drafted, pay_timeout_ms),
    CAFE_FIELD_OF(11, I64, cafe_order_drafted, accept_timeout_ms),
};
RULES_SCHEMA(order_drafted, "OrderDrafted");

static const cafe_field draft_claimed_fields[] = {
    CAFE_FIELD_OF(1, TIME, cafe_draft_claimed, wait_until_ms),
};
RULES_SCHEMA(draft_claimed, "DraftClaimed");

static const cafe_field draft_unclaimed_fields[] = {
    CAFE_FIELD_OF(1, TIME, cafe_draft_unclaimed, wait_until_ms),
};
RULES_SCHEMA(draft_unclaimed, "DraftUnclaimed");

static const cafe_field draft_dropped_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_draft_dropped, reason, drop_reason_names),
    CAFE_FIELD_OF(2, I64, cafe_draft_dropped, amount_minor),
    CAFE_FIELD_OF(3, TEXT, cafe_draft_dropped, currency),
    CAFE_FIELD_OF(4, TEXT, cafe_draft_dropped, customer_id),
};
RULES_SCHEMA(draft_dropped, "DraftDropped");

static const cafe_field ordered_fields[] = {RULES_LINES_FIELDS(cafe_ordered)};
RULES_SCHEMA(ordered, "Ordered");

static const cafe_field order_accepted_fields[] = {CAFE_FIELD_OF(1, BOOL, cafe_order_accepted, unused)};
RULES_SCHEMA(order_accepted, "OrderAccepted");

static const cafe_field preparation_started_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_preparation_started, amount_minor),
    CAFE_FIELD_OF(2, TEXT, cafe_preparation_started, currency),
    CAFE_FIELD_OF(3, TEXT, cafe_preparation_started, customer_id),
};
RULES_SCHEMA(preparation_started, "PreparationStarted");

static const cafe_field coffee_done_fields[] = {CAFE_FIELD_OF(1, BOOL, cafe_coffee_done, unused)};
RULES_SCHEMA(coffee_done, "CoffeeDone");

static const cafe_field order_picked_up_fields[] = {CAFE_FIELD_OF(1, BOOL, cafe_order_picked_up, unused)};
RULES_SCHEMA(order_picked_up, "OrderPickedUp");

static const cafe_field cancel_requested_fields[] = {
    RULES_LINES_FIELDS(cafe_cancel_requested),
    CAFE_FIELD_ENUM_OF(9, cafe_cancel_requested, by, rules_cancel_by_names),
    CAFE_FIELD_OF(10, TEXT, cafe_cancel_requested, reason),
};
RULES_SCHEMA(cancel_requested, "CancelRequested");

static const cafe_field cancel_rejected_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_cancel_rejected, by, rules_cancel_by_names),
    CAFE_FIELD_ENUM_OF(2, cafe_cancel_rejected, status, rules_order_status_names),
};
RULES_SCHEMA(cancel_rejected, "CancelRejected");

static const cafe_field order_canceled_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_order_canceled, by, rules_cancel_by_names),
    CAFE_FIELD_OF(2, I64, cafe_order_canceled, amount_minor),
    CAFE_FIELD_OF(3, TEXT, cafe_order_canceled, currency),
    CAFE_FIELD_OF(4, TEXT, cafe_order_canceled, customer_id),
};
RULES_SCHEMA(order_canceled, "OrderCanceled");

static const cafe_field order_rejected_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_order_rejected, by, reject_by_names),
    CAFE_FIELD_OF(2, TEXT, cafe_order_rejected, reason),
    CAFE_FIELD_OF(3, I64, cafe_order_rejected, amount_minor),
    CAFE_FIELD_OF(4, TEXT, cafe_order_rejected, currency),
    CAFE_FIELD_OF(5, TEXT, cafe_order_rejected, customer_id),
};
RULES_SCHEMA(order_rejected, "OrderRejected");

/* ---- state and row ---- */

static const cafe_field order_fields[] = {
    RULES_LINES_FIELDS(cafe_order),
    CAFE_FIELD_ENUM_OF(9, cafe_order, draft, draft_status_names),
    CAFE_FIELD_ENUM_OF(10, cafe_order, dropped, drop_reason_names),
    CAFE_FIELD_ENUM_OF(11, cafe_order, progress, rules_order_status_names),
    CAFE_FIELD_ENUM_OF(12, cafe_order, status, rules_order_status_names),
    CAFE_FIELD_OF(13, BOOL, cafe_order, cancel_by_customer),
    CAFE_FIELD_OF(14, BOOL, cafe_order, cancel_by_deadline),
    CAFE_FIELD_OF(15, BOOL, cafe_order, cancel_refused),
    CAFE_FIELD_OF(16, TIME, cafe_order, wait_until_ms),
    CAFE_FIELD_OF(17, I64, cafe_order, pay_timeout_ms),
    CAFE_FIELD_OF(18, I64, cafe_order, accept_timeout_ms),
};
RULES_SCHEMA(order, "Order");

static const cafe_field order_row_fields[] = {
    RULES_LINES_FIELDS(cafe_order_row),
    CAFE_FIELD_ENUM_OF(9, cafe_order_row, status, rules_order_status_names),
    CAFE_FIELD_OF(10, TIME, cafe_order_row, created_at_ms),
    CAFE_FIELD_OF(11, TIME, cafe_order_row, updated_at_ms),
    CAFE_FIELD_OF(12, I64, cafe_order_row, version),
};
RULES_SCHEMA(order_row, "OrderRow");

const char *cafe_order_status_name(cafe_order_status status) {
  return status > CAFE_ORDER_NONE && status <= CAFE_ORDER_REJECTED ? rules_order_status_names[status] : NULL;
}
