/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The field tables of the payment. As in order_schema.c: fields are added at the end, and none is renumbered, retyped
 * or removed.
 */
#include "cafe/payment.h"

#include "domain/rules.h"

const char *const rules_payment_status_names[CAFE_PAYMENT_FAILED + 1] = {"",         "Approved", "Declined", "Captured",
                                                                         "Canceled", "Refunded", "Failed"};
static const char *const operation_names[] = {"", "authorize", "capture", "void", "refund"};
static const char *const cancel_reason_names[] = {"", "draft-dropped", "order-canceled", "order-rejected"};
static const char *const result_names[] = {"", "done", "declined", "refused", "unknown"};

/* ---- commands ---- */

static const cafe_field authorize_payment_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_authorize_payment, amount_minor),
    CAFE_FIELD_OF(2, TEXT, cafe_authorize_payment, currency),
    CAFE_FIELD_OF(3, TEXT, cafe_authorize_payment, customer_id),
    CAFE_FIELD_SECRET_OF(4, TEXT, cafe_authorize_payment, payment_token),
};
RULES_SCHEMA(authorize_payment, "AuthorizePayment");

static const cafe_field capture_payment_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_capture_payment, amount_minor),
};
RULES_SCHEMA(capture_payment, "CapturePayment");

static const cafe_field cancel_payment_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_cancel_payment, reason, cancel_reason_names),
    CAFE_FIELD_OF(2, I64, cafe_cancel_payment, amount_minor),
    CAFE_FIELD_OF(3, TEXT, cafe_cancel_payment, currency),
    CAFE_FIELD_OF(4, TEXT, cafe_cancel_payment, customer_id),
};
RULES_SCHEMA(cancel_payment, "CancelPayment");

static const cafe_field record_gateway_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_record_gateway, operation, operation_names),
    CAFE_FIELD_ENUM_OF(2, cafe_record_gateway, result, result_names),
    CAFE_FIELD_OF(3, TEXT, cafe_record_gateway, reference),
    CAFE_FIELD_OF(4, TEXT, cafe_record_gateway, text),
};
RULES_SCHEMA(record_gateway, "RecordGateway");

static const cafe_field retry_payment_fields[] = {
    CAFE_FIELD_OF(1, TEXT, cafe_retry_payment, reason),
};
RULES_SCHEMA(retry_payment, "RetryPayment");

/* ---- events ---- */

static const cafe_field authorization_started_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_authorization_started, amount_minor),
    CAFE_FIELD_OF(2, TEXT, cafe_authorization_started, currency),
    CAFE_FIELD_OF(3, TEXT, cafe_authorization_started, customer_id),
};
RULES_SCHEMA(authorization_started, "AuthorizationStarted");

static const cafe_field payment_approved_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_payment_approved, amount_minor),
    CAFE_FIELD_OF(2, TEXT, cafe_payment_approved, currency),
    CAFE_FIELD_OF(3, TEXT, cafe_payment_approved, reference),
};
RULES_SCHEMA(payment_approved, "PaymentApproved");

static const cafe_field payment_declined_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_payment_declined, amount_minor),
    CAFE_FIELD_OF(2, TEXT, cafe_payment_declined, currency),
    CAFE_FIELD_OF(3, TEXT, cafe_payment_declined, text),
};
RULES_SCHEMA(payment_declined, "PaymentDeclined");

static const cafe_field authorization_failed_fields[] = {
    CAFE_FIELD_OF(1, TEXT, cafe_authorization_failed, text),
};
RULES_SCHEMA(authorization_failed, "AuthorizationFailed");

static const cafe_field capture_started_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_capture_started, amount_minor),
};
RULES_SCHEMA(capture_started, "CaptureStarted");

static const cafe_field payment_captured_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_payment_captured, amount_minor),
    CAFE_FIELD_OF(2, TEXT, cafe_payment_captured, reference),
};
RULES_SCHEMA(payment_captured, "PaymentCaptured");

static const cafe_field payment_cancel_kept_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_payment_cancel_kept, reason, cancel_reason_names),
};
RULES_SCHEMA(payment_cancel_kept, "PaymentCancelKept");

static const cafe_field void_started_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_void_started, reason, cancel_reason_names),
};
RULES_SCHEMA(void_started, "VoidStarted");

static const cafe_field refund_started_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_refund_started, reason, cancel_reason_names),
    CAFE_FIELD_OF(2, I64, cafe_refund_started, amount_minor),
};
RULES_SCHEMA(refund_started, "RefundStarted");

static const cafe_field payment_canceled_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_payment_canceled, reason, cancel_reason_names),
    CAFE_FIELD_OF(2, BOOL, cafe_payment_canceled, is_tombstone),
    CAFE_FIELD_OF(3, I64, cafe_payment_canceled, amount_minor),
    CAFE_FIELD_OF(4, TEXT, cafe_payment_canceled, currency),
    CAFE_FIELD_OF(5, TEXT, cafe_payment_canceled, customer_id),
};
RULES_SCHEMA(payment_canceled, "PaymentCanceled");

static const cafe_field payment_refunded_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_payment_refunded, reason, cancel_reason_names),
    CAFE_FIELD_OF(2, I64, cafe_payment_refunded, amount_minor),
    CAFE_FIELD_OF(3, TEXT, cafe_payment_refunded, currency),
    CAFE_FIELD_OF(4, TEXT, cafe_payment_refunded, customer_id),
};
RULES_SCHEMA(payment_refunded, "PaymentRefunded");

static const cafe_field payment_failed_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_payment_failed, operation, operation_names),
    CAFE_FIELD_OF(2, I64, cafe_payment_failed, amount_minor),
    CAFE_FIELD_OF(3, TEXT, cafe_payment_failed, currency),
    CAFE_FIELD_OF(4, TEXT, cafe_payment_failed, text),
};
RULES_SCHEMA(payment_failed, "PaymentFailed");

static const cafe_field payment_retried_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_payment_retried, operation, operation_names),
    CAFE_FIELD_OF(2, TEXT, cafe_payment_retried, reason),
};
RULES_SCHEMA(payment_retried, "PaymentRetried");

/* ---- task, state and row ---- */

static const cafe_field payment_task_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_payment_task, operation, operation_names),
    CAFE_FIELD_OF(2, I64, cafe_payment_task, amount_minor),
    CAFE_FIELD_OF(3, TEXT, cafe_payment_task, currency),
    CAFE_FIELD_OF(4, BOOL, cafe_payment_task, may_have_run),
};
RULES_SCHEMA(payment_task, "PaymentTask");

static const cafe_field payment_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_payment, status, rules_payment_status_names),
    CAFE_FIELD_ENUM_OF(2, cafe_payment, running, operation_names),
    CAFE_FIELD_ENUM_OF(3, cafe_payment, cancel, cancel_reason_names),
    CAFE_FIELD_OF(4, BOOL, cafe_payment, is_tombstone),
    CAFE_FIELD_OF(5, BOOL, cafe_payment, authorization_failed),
    CAFE_FIELD_OF(6, I64, cafe_payment, amount_minor),
    CAFE_FIELD_OF(7, I64, cafe_payment, captured_minor),
    CAFE_FIELD_OF(8, I64, cafe_payment, refunded_minor),
    CAFE_FIELD_OF(9, TEXT, cafe_payment, currency),
    CAFE_FIELD_OF(10, TEXT, cafe_payment, customer_id),
    CAFE_FIELD_ENUM_OF(11, cafe_payment, failed, operation_names),
};
RULES_SCHEMA(payment, "Payment");

static const cafe_field payment_row_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_payment_row, amount_minor),
    CAFE_FIELD_OF(2, TEXT, cafe_payment_row, currency),
    CAFE_FIELD_OF(3, I64, cafe_payment_row, captured_minor),
    CAFE_FIELD_OF(4, I64, cafe_payment_row, refunded_minor),
    CAFE_FIELD_ENUM_OF(5, cafe_payment_row, status, rules_payment_status_names),
    CAFE_FIELD_OF(6, TIME, cafe_payment_row, created_at_ms),
    CAFE_FIELD_OF(7, TIME, cafe_payment_row, updated_at_ms),
    CAFE_FIELD_OF(8, I64, cafe_payment_row, version),
    CAFE_FIELD_ENUM_OF(9, cafe_payment_row, failed_operation, operation_names),
    CAFE_FIELD_OF(10, TEXT, cafe_payment_row, failed_text),
};
RULES_SCHEMA(payment_row, "PaymentRow");
