/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The payment. It keeps that money moves at most once each way: one operation at a time, each at most once, each
 * committed as …Started before it is called, under a key made of payment and operation. Captured never exceeds
 * approved, refunded never exceeds captured.
 *
 * A cancel is never lost and never acts on a guess: one that meets a running operation is kept, and carried out in the
 * decision that settles it, when it is known what there is to undo. One that comes first leaves a tombstone, so that no
 * authorization can come after it.
 *
 * An authorization that surely failed is final. Capture, void and refund that surely failed are tried again by the
 * worker under the same key; a failure that is recorded here means that it gave up, so an operator is needed, but for a
 * capture whose payment is to be canceled anyway: what surely wasn't captured can be void.
 *
 * What was given up runs again when an operator says so, under the key that it had, so it still takes effect once. Its
 * outcome isn't known meanwhile, so a cancel that comes is kept as if it ran. An authorization waits for that cancel:
 * until then somebody may still take an approval for his order's, and this one is only to find out what to give back.
 */
#include "cafe/payment.h"

#include "cafe/sys/gateway.h"
#include "domain/rules.h"
#include "domain/status.h"

static bool is_unknown(const cafe_payment *payment) {
  return payment->status == CAFE_PAYMENT_NONE && payment->running == CAFE_PAYMENT_NO_OPERATION && !payment->cancel &&
         !payment->authorization_failed;
}

/* ---- authorize ---- */

static cafe_verdict start_authorization(cafe_decision *out, const cafe_authorize_payment *authorize) {
  int decimals;
  if (authorize->amount_minor < 0 || authorize->amount_minor > RULES_AMOUNT_MAX) {
    return cafe_refuse(out, "invalid", "amount_minor: must be from 0 to 1000000000000");
  }
  if (cafe_currency_decimals(&decimals, authorize->currency, NULL)) {
    return cafe_refuse(out, "invalid", "currency: must be an ISO 4217 code, such as KRW");
  }
  cafe_authorization_started started = {authorize->amount_minor, authorize->currency, authorize->customer_id};
  cafe_emit(out, &cafe_authorization_started_type, &started, sizeof started);
  return CAFE_PENDING;
}

static cafe_verdict authorize_payment(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_payment *payment = state;
  if (is_unknown(payment)) {
    return start_authorization(out, command->data);
  }
  if (payment->status == CAFE_PAYMENT_DECLINED) {
    return cafe_refuse(out, "payment-declined", "the payment was declined");
  }
  if (payment->status == CAFE_PAYMENT_FAILED || payment->authorization_failed) {
    return cafe_refuse(out, "payment-unavailable", "the payment failed");
  }
  if (payment->cancel) {
    return cafe_refuse(out, "payment-canceled", "the payment was canceled");
  }
  return payment->running == CAFE_PAYMENT_AUTHORIZE ? CAFE_PENDING : CAFE_UNCHANGED;
}

/* ---- capture and cancel ---- */

static cafe_verdict capture_payment(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_payment *payment = state;
  const cafe_capture_payment *capture = command->data;
  /* After a cancel, a capture is a no-op, whatever there was to cancel. */
  if (payment->cancel || payment->running == CAFE_PAYMENT_CAPTURE || payment->status == CAFE_PAYMENT_CAPTURED ||
      payment->status == CAFE_PAYMENT_FAILED) {
    return CAFE_UNCHANGED;
  }
  if (payment->status != CAFE_PAYMENT_APPROVED) {
    return cafe_refuse(out, "wrong-state", "there is no approved payment to capture");
  }
  if (capture->amount_minor != payment->amount_minor) {
    return cafe_refuse(out, "wrong-amount", "what is captured must be what was approved");
  }
  cafe_emit(out, &cafe_capture_started_type, &(cafe_capture_started){capture->amount_minor},
            sizeof(cafe_capture_started));
  return CAFE_ACCEPTED;
}

static void start_void(cafe_decision *out, cafe_payment_cancel_reason reason) {
  cafe_emit(out, &cafe_void_started_type, &(cafe_void_started){reason}, sizeof(cafe_void_started));
}

static void start_refund(cafe_decision *out, cafe_payment_cancel_reason reason, int64_t captured_minor) {
  cafe_emit(out, &cafe_refund_started_type, &(cafe_refund_started){reason, captured_minor},
            sizeof(cafe_refund_started));
}

static cafe_verdict cancel_payment(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_payment *payment = state;
  const cafe_cancel_payment *cancel = command->data;
  if (cancel->reason < CAFE_PAYMENT_DRAFT_DROPPED || cancel->reason > CAFE_PAYMENT_ORDER_REJECTED) {
    return cafe_refuse(out, "invalid", "reason: must be given");
  }
  if (payment->cancel) {
    return CAFE_UNCHANGED;
  }
  if (is_unknown(payment)) {
    cafe_payment_canceled tombstone = {cancel->reason, true, cancel->amount_minor, cancel->currency,
                                       cancel->customer_id};
    cafe_emit(out, &cafe_payment_canceled_type, &tombstone, sizeof tombstone);
  } else if (payment->running || payment->status == CAFE_PAYMENT_FAILED) {
    cafe_emit(out, &cafe_payment_cancel_kept_type, &(cafe_payment_cancel_kept){cancel->reason},
              sizeof(cafe_payment_cancel_kept));
  } else if (payment->status == CAFE_PAYMENT_APPROVED) {
    start_void(out, cancel->reason);
  } else if (payment->status == CAFE_PAYMENT_CAPTURED) {
    start_refund(out, cancel->reason, payment->captured_minor);
  } else {
    return CAFE_UNCHANGED;
  }
  return CAFE_ACCEPTED;
}

/* ---- what the gateway said ---- */

static void fail(cafe_decision *out, const cafe_payment *payment, const cafe_record_gateway *said) {
  cafe_payment_failed failed = {said->operation, payment->amount_minor, payment->currency, said->text};
  cafe_emit(out, &cafe_payment_failed_type, &failed, sizeof failed);
}

static void settle_authorize(cafe_decision *out, const cafe_payment *payment, const cafe_record_gateway *said) {
  switch (said->result) {
  case CAFE_GATEWAY_DONE: {
    cafe_payment_approved approved = {payment->amount_minor, payment->currency, said->reference};
    cafe_emit(out, &cafe_payment_approved_type, &approved, sizeof approved);
    if (payment->cancel) {
      start_void(out, payment->cancel);
    }
    break;
  }
  case CAFE_GATEWAY_DECLINED: {
    cafe_payment_declined declined = {payment->amount_minor, payment->currency, said->text};
    cafe_emit(out, &cafe_payment_declined_type, &declined, sizeof declined);
    break;
  }
  case CAFE_GATEWAY_REFUSED:
    cafe_emit(out, &cafe_authorization_failed_type, &(cafe_authorization_failed){said->text},
              sizeof(cafe_authorization_failed));
    break;
  default:
    fail(out, payment, said);
    break;
  }
}

static void settle_capture(cafe_decision *out, const cafe_payment *payment, const cafe_record_gateway *said) {
  if (said->result == CAFE_GATEWAY_DONE) {
    cafe_emit(out, &cafe_payment_captured_type, &(cafe_payment_captured){payment->amount_minor, said->reference},
              sizeof(cafe_payment_captured));
    if (payment->cancel) {
      start_refund(out, payment->cancel, payment->amount_minor);
    }
  } else if (said->result != 0 && payment->cancel) {
    start_void(out, payment->cancel);
  } else {
    fail(out, payment, said);
  }
}

static void settle_void(cafe_decision *out, const cafe_payment *payment, const cafe_record_gateway *said) {
  if (said->result != CAFE_GATEWAY_DONE) {
    fail(out, payment, said);
    return;
  }
  cafe_payment_canceled canceled = {payment->cancel, false, payment->amount_minor, payment->currency,
                                    payment->customer_id};
  cafe_emit(out, &cafe_payment_canceled_type, &canceled, sizeof canceled);
}

static void settle_refund(cafe_decision *out, const cafe_payment *payment, const cafe_record_gateway *said) {
  if (said->result != CAFE_GATEWAY_DONE) {
    fail(out, payment, said);
    return;
  }
  cafe_payment_refunded refunded = {payment->cancel, payment->captured_minor, payment->currency, payment->customer_id};
  cafe_emit(out, &cafe_payment_refunded_type, &refunded, sizeof refunded);
}

static cafe_verdict record_gateway(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_payment *payment = state;
  const cafe_record_gateway *said = command->data;
  if (said->result < 0 || said->result >= CAFE_GATEWAY_UNKNOWN) {
    return cafe_refuse(out, "invalid", "result: must be an outcome");
  }
  if (payment->running == CAFE_PAYMENT_NO_OPERATION || said->operation != payment->running) {
    return CAFE_UNCHANGED;
  }
  switch (payment->running) {
  case CAFE_PAYMENT_AUTHORIZE:
    settle_authorize(out, payment, said);
    break;
  case CAFE_PAYMENT_CAPTURE:
    settle_capture(out, payment, said);
    break;
  case CAFE_PAYMENT_VOID:
    settle_void(out, payment, said);
    break;
  default:
    settle_refund(out, payment, said);
    break;
  }
  return CAFE_ACCEPTED;
}

/* ---- what an operator says ---- */

static cafe_verdict retry_payment(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_payment *payment = state;
  const cafe_retry_payment *retry = command->data;
  if (!rules_is_text(retry->reason, 0, RULES_REASON_MAX)) {
    return cafe_refuse(out, "invalid", "reason: must have at most 200 characters, and no control characters");
  }
  if (is_unknown(payment)) {
    return cafe_refuse(out, "not-found", "there is no such payment");
  }
  if (payment->running && payment->running == payment->failed) {
    return CAFE_UNCHANGED;
  }
  if (payment->status != CAFE_PAYMENT_FAILED) {
    return cafe_refuse(out, "wrong-state", "nothing of this payment was given up");
  }
  if (payment->failed == CAFE_PAYMENT_AUTHORIZE && !payment->cancel) {
    return cafe_refuse(out, "wrong-state",
                       "an authorization is tried again once its draft was dropped, and it wasn't yet");
  }
  cafe_payment_retried retried = {payment->failed, retry->reason};
  cafe_emit(out, &cafe_payment_retried_type, &retried, sizeof retried);
  return CAFE_ACCEPTED;
}

static const rules_decide decides[] = {
    {&cafe_authorize_payment_type, authorize_payment}, {&cafe_capture_payment_type, capture_payment},
    {&cafe_cancel_payment_type, cancel_payment},       {&cafe_record_gateway_type, record_gateway},
    {&cafe_retry_payment_type, retry_payment},         {NULL, NULL},
};

static cafe_verdict decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  (void)user;
  return rules_run_decide(out, decides, state, command);
}

/* ---- evolve ---- */

static int authorization_started(void *state, const cafe_event *event, cafe_arena *arena) {
  const cafe_authorization_started *started = event->data;
  cafe_payment payment = {
      .running = CAFE_PAYMENT_AUTHORIZE,
      .amount_minor = started->amount_minor,
      .currency = started->currency,
      .customer_id = started->customer_id,
  };
  return cafe_schema_copy(state, &payment, &cafe_payment_type, arena);
}

static int settled(void *state, const cafe_event *event, cafe_arena *arena) {
  cafe_payment *payment = state;
  (void)arena;
  payment->running = CAFE_PAYMENT_NO_OPERATION;
  payment->status = status_of_payment(payment->status, event);
  return CAFE_OK;
}

/* No charge, so nothing is left of a cancel that was kept. */
static int declined(void *state, const cafe_event *event, cafe_arena *arena) {
  ((cafe_payment *)state)->cancel = (cafe_payment_cancel_reason)0;
  return settled(state, event, arena);
}

static int authorization_failed(void *state, const cafe_event *event, cafe_arena *arena) {
  ((cafe_payment *)state)->authorization_failed = true;
  return declined(state, event, arena);
}

static int capture_started(void *state, const cafe_event *event, cafe_arena *arena) {
  (void)event;
  (void)arena;
  ((cafe_payment *)state)->running = CAFE_PAYMENT_CAPTURE;
  return CAFE_OK;
}

static int captured(void *state, const cafe_event *event, cafe_arena *arena) {
  ((cafe_payment *)state)->captured_minor = ((const cafe_payment_captured *)event->data)->amount_minor;
  return settled(state, event, arena);
}

static int cancel_kept(void *state, const cafe_event *event, cafe_arena *arena) {
  (void)arena;
  ((cafe_payment *)state)->cancel = ((const cafe_payment_cancel_kept *)event->data)->reason;
  return CAFE_OK;
}

static int void_started(void *state, const cafe_event *event, cafe_arena *arena) {
  cafe_payment *payment = state;
  (void)arena;
  payment->running = CAFE_PAYMENT_VOID;
  payment->cancel = ((const cafe_void_started *)event->data)->reason;
  return CAFE_OK;
}

static int refund_started(void *state, const cafe_event *event, cafe_arena *arena) {
  cafe_payment *payment = state;
  (void)arena;
  payment->running = CAFE_PAYMENT_REFUND;
  payment->cancel = ((const cafe_refund_started *)event->data)->reason;
  return CAFE_OK;
}

static int canceled(void *state, const cafe_event *event, cafe_arena *arena) {
  const cafe_payment_canceled *canceled = event->data;
  if (!canceled->is_tombstone) {
    return settled(state, event, arena);
  }
  cafe_payment payment = {
      .cancel = canceled->reason,
      .is_tombstone = true,
      .amount_minor = canceled->amount_minor,
      .currency = canceled->currency,
      .customer_id = canceled->customer_id,
  };
  return cafe_schema_copy(state, &payment, &cafe_payment_type, arena);
}

static int refunded(void *state, const cafe_event *event, cafe_arena *arena) {
  ((cafe_payment *)state)->refunded_minor = ((const cafe_payment_refunded *)event->data)->amount_minor;
  return settled(state, event, arena);
}

static int failed(void *state, const cafe_event *event, cafe_arena *arena) {
  ((cafe_payment *)state)->failed = ((const cafe_payment_failed *)event->data)->operation;
  return settled(state, event, arena);
}

static int retried(void *state, const cafe_event *event, cafe_arena *arena) {
  (void)settled(state, event, arena);
  ((cafe_payment *)state)->running = ((const cafe_payment_retried *)event->data)->operation;
  return CAFE_OK;
}

static const rules_evolve evolves[] = {
    {&cafe_authorization_started_type, authorization_started},
    {&cafe_payment_approved_type, settled},
    {&cafe_payment_declined_type, declined},
    {&cafe_authorization_failed_type, authorization_failed},
    {&cafe_capture_started_type, capture_started},
    {&cafe_payment_captured_type, captured},
    {&cafe_payment_cancel_kept_type, cancel_kept},
    {&cafe_void_started_type, void_started},
    {&cafe_refund_started_type, refund_started},
    {&cafe_payment_canceled_type, canceled},
    {&cafe_payment_refunded_type, refunded},
    {&cafe_payment_failed_type, failed},
    {&cafe_payment_retried_type, retried},
    {NULL, NULL},
};

static int evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  return rules_run_evolve(evolves, state, event, arena);
}

/* Every operation runs at most once in a payment's life, but for one that was given up: so its number is the task's id,
 * and whether it may have run before is known by that. */
static void tasks(cafe_tasks *out, const void *state, void *user) {
  (void)user;
  const cafe_payment *payment = state;
  if (payment->running) {
    cafe_payment_task task = {payment->running, payment->amount_minor, payment->currency,
                              payment->running == payment->failed};
    cafe_want(out, (uint32_t)payment->running, &cafe_payment_task_type, &task, sizeof task, 0);
  }
}

/* ---- the aggregate ---- */

static const cafe_schema *const events[] = {&cafe_authorization_started_type, &cafe_payment_approved_type,
                                            &cafe_payment_declined_type,      &cafe_authorization_failed_type,
                                            &cafe_capture_started_type,       &cafe_payment_captured_type,
                                            &cafe_payment_cancel_kept_type,   &cafe_void_started_type,
                                            &cafe_refund_started_type,        &cafe_payment_canceled_type,
                                            &cafe_payment_refunded_type,      &cafe_payment_failed_type,
                                            &cafe_payment_retried_type,       NULL};

static const cafe_command_outcome authorize_outcomes[] = {
    {.event = &cafe_payment_approved_type, .verdict = CAFE_ACCEPTED},
    {.event = &cafe_payment_declined_type, .verdict = CAFE_REFUSED},
    {.event = &cafe_authorization_failed_type, .verdict = CAFE_REFUSED},
    {.event = &cafe_payment_canceled_type, .verdict = CAFE_REFUSED},
    {.event = &cafe_payment_failed_type, .verdict = CAFE_REFUSED},
    {.event = NULL},
};

static const cafe_command_type commands[] = {
    {.command = &cafe_authorize_payment_type, .outcomes = authorize_outcomes},
    {.command = &cafe_capture_payment_type},
    {.command = &cafe_cancel_payment_type},
    {.command = &cafe_record_gateway_type},
    {.command = &cafe_retry_payment_type},
    {.command = NULL},
};

const cafe_aggregate cafe_payment_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "payment",
    .state = &cafe_payment_type,
    .events = events,
    .commands = commands,
    .decide = decide,
    .evolve = evolve,
    .tasks = tasks,
    .task_types = (const cafe_schema *const[]){&cafe_payment_task_type, NULL},
};
