/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_PAYMENT_H
#define CAFE_PAYMENT_H

#include "cafe/aggregate.h"
#include "cafe/view.h"

CAFE_BEGIN_DECLS

/*
 * The payment; its key is the order's. Every operation at the gateway is committed before its call (…Started) and runs
 * under the idempotency key "orderId/operation"; one at a time. A cancel that meets a running one is kept and carried
 * out when that is settled. Canceling an unknown payment leaves a tombstone, and an authorization after it is refused.
 * An operation that was given up leaves the payment to an operator, who has it tried again by RetryPayment.
 */

typedef enum cafe_payment_operation {
  CAFE_PAYMENT_NO_OPERATION = 0,
  CAFE_PAYMENT_AUTHORIZE = 1,
  CAFE_PAYMENT_CAPTURE = 2,
  CAFE_PAYMENT_VOID = 3,
  CAFE_PAYMENT_REFUND = 4
} cafe_payment_operation;

typedef enum cafe_payment_status {
  CAFE_PAYMENT_NONE = 0, /* not settled yet, a tombstone that never saw an authorization, or a definite failure */
  CAFE_PAYMENT_APPROVED = 1,
  CAFE_PAYMENT_DECLINED = 2,
  CAFE_PAYMENT_CAPTURED = 3,
  CAFE_PAYMENT_CANCELED = 4,
  CAFE_PAYMENT_REFUNDED = 5,
  CAFE_PAYMENT_FAILED = 6 /* an outcome can't be had: an operator is needed */
} cafe_payment_status;

typedef enum cafe_payment_cancel_reason {
  CAFE_PAYMENT_DRAFT_DROPPED = 1, /* there was no order: nobody is told */
  CAFE_PAYMENT_ORDER_CANCELED = 2,
  CAFE_PAYMENT_ORDER_REJECTED = 3
} cafe_payment_cancel_reason;

/* ---- commands ---- */

/* Outcomes: PaymentApproved; PaymentDeclined, AuthorizationFailed, PaymentCanceled, PaymentFailed (refusals). */
typedef struct cafe_authorize_payment {
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice customer_id;
  cafe_slice payment_token; /* SECRET */
} cafe_authorize_payment;
typedef struct cafe_capture_payment {
  int64_t amount_minor;
} cafe_capture_payment;
typedef struct cafe_cancel_payment {
  cafe_payment_cancel_reason reason;
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice customer_id;
} cafe_cancel_payment;
/* What the gateway said. */
typedef struct cafe_record_gateway {
  cafe_payment_operation operation;
  int32_t result; /* a cafe_gateway_result (sys/gateway.h), never UNKNOWN; 0: it can't be had, an operator is needed */
  cafe_slice reference;
  cafe_slice text;
} cafe_record_gateway;
/* An operator's: the operation that was given up is to be tried again, under its key. Refused ("wrong-state") where
 * none was, and for an authorization whose draft isn't dropped yet: what it gives is void at once. What is being tried
 * again stays as it is. Since 0.1. */
typedef struct cafe_retry_payment {
  cafe_slice reason; /* why it may go well now; 200 characters at most */
} cafe_retry_payment;

/* ---- events ---- */

typedef struct cafe_authorization_started {
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice customer_id;
} cafe_authorization_started;
typedef struct cafe_payment_approved {
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice reference;
} cafe_payment_approved;
typedef struct cafe_payment_declined {
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice text;
} cafe_payment_declined;
typedef struct cafe_authorization_failed {
  cafe_slice text;
} cafe_authorization_failed;
typedef struct cafe_capture_started {
  int64_t amount_minor;
} cafe_capture_started;
typedef struct cafe_payment_captured {
  int64_t amount_minor;
  cafe_slice reference;
} cafe_payment_captured;
/* A cancel met an operation that runs, or was given up. */
typedef struct cafe_payment_cancel_kept {
  cafe_payment_cancel_reason reason;
} cafe_payment_cancel_kept;
typedef struct cafe_void_started {
  cafe_payment_cancel_reason reason;
} cafe_void_started;
typedef struct cafe_refund_started {
  cafe_payment_cancel_reason reason;
  int64_t amount_minor;
} cafe_refund_started;
typedef struct cafe_payment_canceled {
  cafe_payment_cancel_reason reason;
  bool is_tombstone; /* no authorization was approved: nothing was void */
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice customer_id;
} cafe_payment_canceled;
typedef struct cafe_payment_refunded {
  cafe_payment_cancel_reason reason;
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice customer_id;
} cafe_payment_refunded;
typedef struct cafe_payment_failed {
  cafe_payment_operation operation;
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice text;
} cafe_payment_failed;
/* What was given up runs again. Since 0.1. */
typedef struct cafe_payment_retried {
  cafe_payment_operation operation;
  cafe_slice reason;
} cafe_payment_retried;

/* The task: one operation at the gateway; its id is the operation. */
typedef struct cafe_payment_task {
  cafe_payment_operation operation;
  int64_t amount_minor;
  cafe_slice currency;
  bool may_have_run; /* it was given up before: an earlier call may have taken effect */
} cafe_payment_task;

/* ---- state and row ---- */

typedef struct cafe_payment {
  cafe_payment_status status;
  cafe_payment_operation running;
  cafe_payment_cancel_reason cancel; /* kept, or being carried out; 0: none */
  bool is_tombstone;
  bool authorization_failed;
  int64_t amount_minor;
  int64_t captured_minor;
  int64_t refunded_minor;
  cafe_slice currency;
  cafe_slice customer_id;
  cafe_payment_operation failed; /* the last that was given up, also where it is tried again */
} cafe_payment;

/* The row of `payments`, once the authorization is settled. */
typedef struct cafe_payment_row {
  int64_t amount_minor;
  cafe_slice currency;
  int64_t captured_minor;
  int64_t refunded_minor;
  cafe_payment_status status;
  int64_t created_at_ms;
  int64_t updated_at_ms;
  int64_t version;
  cafe_payment_operation failed_operation; /* while the status is Failed: what was given up, and why */
  cafe_slice failed_text;
} cafe_payment_row;

CAFE_EXPORT extern const cafe_schema cafe_authorize_payment_type;
CAFE_EXPORT extern const cafe_schema cafe_capture_payment_type;
CAFE_EXPORT extern const cafe_schema cafe_cancel_payment_type;
CAFE_EXPORT extern const cafe_schema cafe_record_gateway_type;
CAFE_EXPORT extern const cafe_schema cafe_retry_payment_type;
CAFE_EXPORT extern const cafe_schema cafe_authorization_started_type;
CAFE_EXPORT extern const cafe_schema cafe_payment_approved_type;
CAFE_EXPORT extern const cafe_schema cafe_payment_declined_type;
CAFE_EXPORT extern const cafe_schema cafe_authorization_failed_type;
CAFE_EXPORT extern const cafe_schema cafe_capture_started_type;
CAFE_EXPORT extern const cafe_schema cafe_payment_captured_type;
CAFE_EXPORT extern const cafe_schema cafe_payment_cancel_kept_type;
CAFE_EXPORT extern const cafe_schema cafe_void_started_type;
CAFE_EXPORT extern const cafe_schema cafe_refund_started_type;
CAFE_EXPORT extern const cafe_schema cafe_payment_canceled_type;
CAFE_EXPORT extern const cafe_schema cafe_payment_refunded_type;
CAFE_EXPORT extern const cafe_schema cafe_payment_failed_type;
CAFE_EXPORT extern const cafe_schema cafe_payment_retried_type;
CAFE_EXPORT extern const cafe_schema cafe_payment_task_type;
CAFE_EXPORT extern const cafe_schema cafe_payment_type;
CAFE_EXPORT extern const cafe_schema cafe_payment_row_type;

/* Stream "payment". */
CAFE_EXPORT extern const cafe_aggregate cafe_payment_aggregate;
/* Table `payments`, inline. */
CAFE_EXPORT extern const cafe_view cafe_payments_view;

CAFE_END_DECLS

#endif
