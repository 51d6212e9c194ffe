/* SPDX-License-Identifier: Apache-2.0 */

/* The payment's rules: every command in every state, then what the answers, events and tasks hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/payment.h"
#include "cafe/sys/gateway.h"
#include "given_kit.h"

/* ---- what has happened ---- */

#define WHOSE .amount_minor = 9000, .currency = {"KRW", 3}, .customer_id = {"cdgri", 5}

static const cafe_authorization_started authorizing = {WHOSE};
static const cafe_payment_approved approved = {9000, {"KRW", 3}, {"r1", 2}};
static const cafe_payment_declined declined = {.amount_minor = 9000};
static const cafe_authorization_failed unauthorized;
static const cafe_capture_started capturing = {9000};
static const cafe_payment_captured captured = {9000, {"r2", 2}};
static const cafe_payment_cancel_kept kept = {CAFE_PAYMENT_ORDER_REJECTED};
static const cafe_void_started voiding = {CAFE_PAYMENT_ORDER_CANCELED};
static const cafe_refund_started refunding = {CAFE_PAYMENT_ORDER_REJECTED, 9000};
static const cafe_payment_canceled canceled = {CAFE_PAYMENT_ORDER_CANCELED, false, WHOSE};
static const cafe_payment_canceled tombstone = {CAFE_PAYMENT_DRAFT_DROPPED, true, WHOSE};
static const cafe_payment_refunded refunded = {CAFE_PAYMENT_ORDER_REJECTED, WHOSE};
static const cafe_payment_failed failed_authorize = {.operation = CAFE_PAYMENT_AUTHORIZE};
static const cafe_payment_failed failed_capture = {.operation = CAFE_PAYMENT_CAPTURE};
static const cafe_payment_failed failed_void = {.operation = CAFE_PAYMENT_VOID};
static const cafe_payment_failed failed_refund = {.operation = CAFE_PAYMENT_REFUND};
static const cafe_payment_retried again_authorize = {.operation = CAFE_PAYMENT_AUTHORIZE};
static const cafe_payment_retried again_capture = {.operation = CAFE_PAYMENT_CAPTURE};
static const cafe_payment_retried again_void = {.operation = CAFE_PAYMENT_VOID};
static const cafe_payment_retried again_refund = {.operation = CAFE_PAYMENT_REFUND};

#define IS(stem, data)                                                                                                 \
  { &cafe_##stem##_type, &(data), sizeof(data) }
#define AUTHORIZING IS(authorization_started, authorizing)
#define APPROVED    AUTHORIZING, IS(payment_approved, approved)
#define CAPTURING   APPROVED, IS(capture_started, capturing)
#define CAPTURED    CAPTURING, IS(payment_captured, captured)
#define KEPT        IS(payment_cancel_kept, kept)
#define UNKNOWN_1   AUTHORIZING, IS(payment_failed, failed_authorize)
#define UNKNOWN_2   CAPTURING, IS(payment_failed, failed_capture)
#define UNKNOWN_3   APPROVED, IS(void_started, voiding), IS(payment_failed, failed_void)
#define UNKNOWN_4   CAPTURED, IS(refund_started, refunding), IS(payment_failed, failed_refund)
#define AGAIN_1     UNKNOWN_1, KEPT, IS(payment_retried, again_authorize)
#define AGAIN_2     UNKNOWN_2, IS(payment_retried, again_capture)
#define AGAIN_3     UNKNOWN_3, IS(payment_retried, again_void)
#define AGAIN_4     UNKNOWN_4, IS(payment_retried, again_refund)

/* ---- what is asked for ---- */

static const cafe_authorize_payment authorize = {WHOSE, .payment_token = {"t", 1}};
static const cafe_cancel_payment cancel = {.reason = CAFE_PAYMENT_ORDER_CANCELED, WHOSE};

#define SAID(operation, result)                                                                                        \
  CAFE_FACT(cafe_record_gateway_type, cafe_record_gateway, operation, result, {"r", 1}, {"t", 1})

static const cafe_fact commands[] = {
    {&cafe_authorize_payment_type, &authorize, sizeof(authorize)},
    CAFE_FACT(cafe_capture_payment_type, cafe_capture_payment, 9000),
    {&cafe_cancel_payment_type, &cancel, sizeof(cancel)},
    SAID(CAFE_PAYMENT_AUTHORIZE, CAFE_GATEWAY_DONE),
    SAID(CAFE_PAYMENT_AUTHORIZE, CAFE_GATEWAY_DECLINED),
    SAID(CAFE_PAYMENT_AUTHORIZE, CAFE_GATEWAY_REFUSED),
    SAID(CAFE_PAYMENT_AUTHORIZE, 0),
    SAID(CAFE_PAYMENT_CAPTURE, CAFE_GATEWAY_DONE),
    SAID(CAFE_PAYMENT_CAPTURE, CAFE_GATEWAY_DECLINED),
    SAID(CAFE_PAYMENT_CAPTURE, CAFE_GATEWAY_REFUSED),
    SAID(CAFE_PAYMENT_CAPTURE, 0),
    SAID(CAFE_PAYMENT_VOID, CAFE_GATEWAY_DONE),
    SAID(CAFE_PAYMENT_VOID, CAFE_GATEWAY_REFUSED),
    SAID(CAFE_PAYMENT_VOID, 0),
    SAID(CAFE_PAYMENT_REFUND, CAFE_GATEWAY_DONE),
    SAID(CAFE_PAYMENT_REFUND, CAFE_GATEWAY_REFUSED),
    SAID(CAFE_PAYMENT_REFUND, 0),
    SAID(CAFE_PAYMENT_NO_OPERATION, CAFE_GATEWAY_DONE),
    CAFE_FACT(cafe_retry_payment_type, cafe_retry_payment, {"mended", 6}),
    {NULL, NULL, 0},
};

/* What a gateway says of operations that aren't running. */
#define NOT_1 "- | - | - | - | "
#define NOT_2 "- | - | - | - | "
#define NOT_3 "- | - | - | "
#define NOT_4 "- | - | - | "
#define NONE  "- | !wrong-state" /* of nothing, and nothing to be tried again */
#define IDLE  NOT_1 NOT_2 NOT_3 NOT_4 NONE
#define STUCK NOT_1 NOT_2 NOT_3 NOT_4 "- | PaymentRetried"

/* In this order: authorize | capture | cancel | authorize: done, declined, refused, can't be had | capture: the same |
 * void: done, refused, can't be had | refund: the same | done, of nothing | try again. */
static const cafe_given_case rows[] = {
    {"nothing", NULL,
     "?AuthorizationStarted | !wrong-state | PaymentCanceled | " NOT_1 NOT_2 NOT_3 NOT_4 "- | !not-found"},
    {"authorizing", CAFE_FACTS(AUTHORIZING),
     "? | !wrong-state | PaymentCancelKept | PaymentApproved | PaymentDeclined | AuthorizationFailed | PaymentFailed "
     "| " NOT_2 NOT_3 NOT_4 NONE},
    {"authorizing, to be canceled", CAFE_FACTS(AUTHORIZING, KEPT),
     "!payment-canceled | - | - | PaymentApproved VoidStarted | PaymentDeclined | AuthorizationFailed | PaymentFailed "
     "| " NOT_2 NOT_3 NOT_4 NONE},
    {"approved", CAFE_FACTS(APPROVED), "- | CaptureStarted | VoidStarted | " IDLE},
    {"declined", CAFE_FACTS(AUTHORIZING, IS(payment_declined, declined)),
     "!payment-declined | !wrong-state | - | " IDLE},
    {"declined, was to be canceled", CAFE_FACTS(AUTHORIZING, KEPT, IS(payment_declined, declined)),
     "!payment-declined | !wrong-state | - | " IDLE},
    {"surely not authorized", CAFE_FACTS(AUTHORIZING, IS(authorization_failed, unauthorized)),
     "!payment-unavailable | !wrong-state | - | " IDLE},
    {"surely not authorized, was to be canceled", CAFE_FACTS(AUTHORIZING, KEPT, IS(authorization_failed, unauthorized)),
     "!payment-unavailable | !wrong-state | - | " IDLE},
    {"authorized or not, nobody knows", CAFE_FACTS(UNKNOWN_1), "!payment-unavailable | - | PaymentCancelKept | " IDLE},
    {"authorized or not, was to be canceled", CAFE_FACTS(AUTHORIZING, KEPT, IS(payment_failed, failed_authorize)),
     "!payment-unavailable | - | - | " STUCK},
    {"authorized or not, is to be canceled", CAFE_FACTS(UNKNOWN_1, KEPT), "!payment-unavailable | - | - | " STUCK},
    {"authorizing again", CAFE_FACTS(AGAIN_1),
     "!payment-canceled | - | - | PaymentApproved VoidStarted | PaymentDeclined | AuthorizationFailed | PaymentFailed "
     "| " NOT_2 NOT_3 NOT_4 "- | -"},
    {"authorized or not, again", CAFE_FACTS(AGAIN_1, IS(payment_failed, failed_authorize)),
     "!payment-unavailable | - | - | " STUCK},
    {"authorized again, voiding", CAFE_FACTS(AGAIN_1, IS(payment_approved, approved), IS(void_started, voiding)),
     "!payment-canceled | - | - | " NOT_1 NOT_2 "PaymentCanceled | PaymentFailed | PaymentFailed | " NOT_4 NONE},
    {"capturing", CAFE_FACTS(CAPTURING),
     "- | - | PaymentCancelKept | " NOT_1
     "PaymentCaptured | PaymentFailed | PaymentFailed | PaymentFailed | " NOT_3 NOT_4 NONE},
    {"capturing, to be canceled", CAFE_FACTS(CAPTURING, KEPT),
     "!payment-canceled | - | - | " NOT_1
     "PaymentCaptured RefundStarted | VoidStarted | VoidStarted | PaymentFailed | " NOT_3 NOT_4 NONE},
    {"captured", CAFE_FACTS(CAPTURED), "- | - | RefundStarted | " IDLE},
    {"captured or not, nobody knows", CAFE_FACTS(UNKNOWN_2), "!payment-unavailable | - | PaymentCancelKept | " STUCK},
    {"captured or not, is to be canceled", CAFE_FACTS(UNKNOWN_2, KEPT), "!payment-unavailable | - | - | " STUCK},
    {"capturing again", CAFE_FACTS(AGAIN_2),
     "- | - | PaymentCancelKept | " NOT_1
     "PaymentCaptured | PaymentFailed | PaymentFailed | PaymentFailed | " NOT_3 NOT_4 "- | -"},
    {"capturing again, to be canceled", CAFE_FACTS(UNKNOWN_2, KEPT, IS(payment_retried, again_capture)),
     "!payment-canceled | - | - | " NOT_1
     "PaymentCaptured RefundStarted | VoidStarted | VoidStarted | PaymentFailed | " NOT_3 NOT_4 "- | -"},
    {"captured again", CAFE_FACTS(AGAIN_2, IS(payment_captured, captured)), "- | - | RefundStarted | " IDLE},
    {"voiding", CAFE_FACTS(APPROVED, IS(void_started, voiding)),
     "!payment-canceled | - | - | " NOT_1 NOT_2 "PaymentCanceled | PaymentFailed | PaymentFailed | " NOT_4 NONE},
    {"void", CAFE_FACTS(APPROVED, IS(void_started, voiding), IS(payment_canceled, canceled)),
     "!payment-canceled | - | - | " IDLE},
    {"void or not, nobody knows", CAFE_FACTS(UNKNOWN_3), "!payment-unavailable | - | - | " STUCK},
    {"voiding again", CAFE_FACTS(AGAIN_3),
     "!payment-canceled | - | - | " NOT_1 NOT_2 "PaymentCanceled | PaymentFailed | PaymentFailed | " NOT_4 "- | -"},
    {"void in the end", CAFE_FACTS(AGAIN_3, IS(payment_canceled, canceled)), "!payment-canceled | - | - | " IDLE},
    {"refunding", CAFE_FACTS(CAPTURED, IS(refund_started, refunding)),
     "!payment-canceled | - | - | " NOT_1 NOT_2 NOT_3 "PaymentRefunded | PaymentFailed | PaymentFailed | " NONE},
    {"refunded", CAFE_FACTS(CAPTURED, IS(refund_started, refunding), IS(payment_refunded, refunded)),
     "!payment-canceled | - | - | " IDLE},
    {"refunded or not, nobody knows", CAFE_FACTS(UNKNOWN_4), "!payment-unavailable | - | - | " STUCK},
    {"refunding again", CAFE_FACTS(AGAIN_4),
     "!payment-canceled | - | - | " NOT_1 NOT_2 NOT_3 "PaymentRefunded | PaymentFailed | PaymentFailed | - | -"},
    {"refunded or not, again", CAFE_FACTS(AGAIN_4, IS(payment_failed, failed_refund)),
     "!payment-unavailable | - | - | " STUCK},
    {"refunded in the end", CAFE_FACTS(AGAIN_4, IS(payment_refunded, refunded)), "!payment-canceled | - | - | " IDLE},
    {"a tombstone", CAFE_FACTS(IS(payment_canceled, tombstone)), "!payment-canceled | - | - | " IDLE},
    {NULL, NULL, NULL, {NULL, NULL}},
};

static void every_command_is_answered_in_every_state(void **unused) {
  given_table(&cafe_payment_aggregate, commands, rows);
}

/* ---- what is said ---- */

static cafe_given *it;

static int begin(void **unused) {
  it = given_begin(&cafe_payment_aggregate);
  return 0;
}

static int end(void **unused) {
  given_end(it);
  return 0;
}

#define GIVEN(...) cafe_given_events(it, CAFE_FACTS(__VA_ARGS__))

static void record(cafe_payment_operation operation, int32_t result) {
  cafe_record_gateway said = {operation, result, cafe_text("ref"), cafe_text("why")};
  cafe_given_command(it, &cafe_record_gateway_type, &said, sizeof(said));
}

static const cafe_payment *payment(void) { return cafe_given_state(it); }

static void an_authorization_names_who_pays_what_and_no_token(void **unused) {
  cafe_given_command(it, &cafe_authorize_payment_type, &authorize, sizeof(authorize));
  const cafe_authorization_started *started = cafe_given_data(it, &cafe_authorization_started_type);
  assert_int_equal(started->amount_minor, 9000);
  assert_true(cafe_slice_equal(started->currency, cafe_text("KRW")));
  assert_true(cafe_slice_equal(started->customer_id, cafe_text("cdgri")));
  record(CAFE_PAYMENT_AUTHORIZE, CAFE_GATEWAY_DONE);
  const cafe_payment_approved *said = cafe_given_data(it, &cafe_payment_approved_type);
  assert_int_equal(said->amount_minor, 9000);
  assert_true(cafe_slice_equal(said->reference, cafe_text("ref")));
  assert_int_equal(payment()->status, CAFE_PAYMENT_APPROVED);
  assert_int_equal(payment()->running, CAFE_PAYMENT_NO_OPERATION);
}

static void a_decline_and_a_failure_say_why(void **unused) {
  GIVEN(AUTHORIZING);
  cafe_record_gateway said = {CAFE_PAYMENT_AUTHORIZE, CAFE_GATEWAY_DECLINED, {NULL, 0}, cafe_text("no money")};
  cafe_when(it, &cafe_record_gateway_type, &said, sizeof(said));
  const cafe_payment_declined *no = cafe_given_data(it, &cafe_payment_declined_type);
  assert_true(cafe_slice_equal(no->text, cafe_text("no money")));
  assert_int_equal(no->amount_minor, 9000);
  assert_true(cafe_slice_equal(no->currency, cafe_text("KRW")));
  said.result = CAFE_GATEWAY_REFUSED;
  cafe_when(it, &cafe_record_gateway_type, &said, sizeof(said));
  assert_true(
      cafe_slice_equal(((const cafe_authorization_failed *)cafe_given_data(it, &cafe_authorization_failed_type))->text,
                       cafe_text("no money")));
  said.result = 0;
  cafe_given_command(it, &cafe_record_gateway_type, &said, sizeof(said));
  const cafe_payment_failed *unknown = cafe_given_data(it, &cafe_payment_failed_type);
  assert_int_equal(unknown->operation, CAFE_PAYMENT_AUTHORIZE);
  assert_int_equal(unknown->amount_minor, 9000);
  assert_true(cafe_slice_equal(unknown->text, cafe_text("no money")));
  assert_int_equal(payment()->status, CAFE_PAYMENT_FAILED);
}

static void what_is_captured_can_be_refunded_and_no_more(void **unused) {
  GIVEN(APPROVED);
  cafe_given_command(it, CAFE_DATA(cafe_capture_payment_type, cafe_capture_payment, 9001));
  assert_string_equal(cafe_given_said(it), "refused:wrong-amount");
  cafe_given_command(it, CAFE_DATA(cafe_capture_payment_type, cafe_capture_payment, 8999));
  assert_string_equal(cafe_given_said(it), "refused:wrong-amount");
  cafe_given_command(it, CAFE_DATA(cafe_capture_payment_type, cafe_capture_payment, 9000));
  record(CAFE_PAYMENT_CAPTURE, CAFE_GATEWAY_DONE);
  assert_int_equal(((const cafe_payment_captured *)cafe_given_data(it, &cafe_payment_captured_type))->amount_minor,
                   9000);
  assert_int_equal(payment()->captured_minor, 9000);
  cafe_given_command(it, &cafe_cancel_payment_type, &cancel, sizeof(cancel));
  const cafe_refund_started *refund = cafe_given_data(it, &cafe_refund_started_type);
  assert_int_equal(refund->amount_minor, 9000);
  assert_int_equal(refund->reason, CAFE_PAYMENT_ORDER_CANCELED);
  record(CAFE_PAYMENT_REFUND, CAFE_GATEWAY_DONE);
  const cafe_payment_refunded *back = cafe_given_data(it, &cafe_payment_refunded_type);
  assert_int_equal(back->amount_minor, 9000);
  assert_int_equal(back->reason, CAFE_PAYMENT_ORDER_CANCELED);
  assert_true(cafe_slice_equal(back->customer_id, cafe_text("cdgri")));
  assert_int_equal(payment()->refunded_minor, 9000);
  assert_int_equal(payment()->status, CAFE_PAYMENT_REFUNDED);
}

static void a_kept_cancel_is_carried_out_with_its_own_reason(void **unused) {
  GIVEN(AUTHORIZING);
  cafe_cancel_payment dropped = {.reason = CAFE_PAYMENT_DRAFT_DROPPED, WHOSE};
  cafe_given_command(it, &cafe_cancel_payment_type, &dropped, sizeof(dropped));
  assert_string_equal(cafe_given_said(it), "accepted PaymentCancelKept");
  record(CAFE_PAYMENT_AUTHORIZE, CAFE_GATEWAY_DONE);
  assert_string_equal(cafe_given_said(it), "accepted PaymentApproved VoidStarted");
  assert_int_equal(((const cafe_void_started *)cafe_given_data(it, &cafe_void_started_type))->reason,
                   CAFE_PAYMENT_DRAFT_DROPPED);
  record(CAFE_PAYMENT_VOID, CAFE_GATEWAY_DONE);
  const cafe_payment_canceled *said = cafe_given_data(it, &cafe_payment_canceled_type);
  assert_int_equal(said->reason, CAFE_PAYMENT_DRAFT_DROPPED);
  assert_false(said->is_tombstone);
  assert_int_equal(said->amount_minor, 9000);
  assert_true(cafe_slice_equal(said->customer_id, cafe_text("cdgri")));
  assert_int_equal(payment()->status, CAFE_PAYMENT_CANCELED);
}

static void a_capture_that_surely_failed_leaves_something_to_void(void **unused) {
  GIVEN(CAPTURING, KEPT);
  record(CAFE_PAYMENT_CAPTURE, CAFE_GATEWAY_REFUSED);
  assert_string_equal(cafe_given_said(it), "accepted VoidStarted");
  record(CAFE_PAYMENT_VOID, CAFE_GATEWAY_DONE);
  assert_int_equal(payment()->status, CAFE_PAYMENT_CANCELED);
  assert_int_equal(payment()->captured_minor, 0);
}

static void a_tombstone_is_whole_and_never_listed_as_canceled(void **unused) {
  cafe_given_command(it, &cafe_cancel_payment_type, &cancel, sizeof(cancel));
  const cafe_payment_canceled *said = cafe_given_data(it, &cafe_payment_canceled_type);
  assert_true(said->is_tombstone);
  assert_int_equal(said->reason, CAFE_PAYMENT_ORDER_CANCELED);
  assert_int_equal(said->amount_minor, 9000);
  assert_true(cafe_slice_equal(said->currency, cafe_text("KRW")));
  assert_true(cafe_slice_equal(said->customer_id, cafe_text("cdgri")));
  assert_true(payment()->is_tombstone);
  assert_int_equal(payment()->status, CAFE_PAYMENT_NONE);
  assert_int_equal(payment()->amount_minor, 9000);
}

static void what_was_given_up_runs_again_in_the_status_that_it_had(void **unused) {
  cafe_retry_payment retry = {cafe_text("it was mended")};
  GIVEN(UNKNOWN_4);
  assert_int_equal(payment()->status, CAFE_PAYMENT_FAILED);
  assert_int_equal(payment()->failed, CAFE_PAYMENT_REFUND);
  cafe_given_command(it, &cafe_retry_payment_type, &retry, sizeof(retry));
  const cafe_payment_retried *said = cafe_given_data(it, &cafe_payment_retried_type);
  assert_int_equal(said->operation, CAFE_PAYMENT_REFUND);
  assert_true(cafe_slice_equal(said->reason, retry.reason));
  assert_int_equal(payment()->status, CAFE_PAYMENT_CAPTURED);
  assert_int_equal(payment()->running, CAFE_PAYMENT_REFUND);
  record(CAFE_PAYMENT_REFUND, CAFE_GATEWAY_DONE);
  assert_int_equal(((const cafe_payment_refunded *)cafe_given_data(it, &cafe_payment_refunded_type))->reason,
                   CAFE_PAYMENT_ORDER_REJECTED);
  assert_int_equal(payment()->status, CAFE_PAYMENT_REFUNDED);
  assert_int_equal(payment()->refunded_minor, 9000);
}

static void each_operation_runs_again_in_its_own_status(void **unused) {
  static const struct {
    cafe_fact past[8];
    cafe_payment_status status;
  } each[] = {{{AGAIN_1}, CAFE_PAYMENT_NONE},
              {{AGAIN_2}, CAFE_PAYMENT_APPROVED},
              {{AGAIN_3}, CAFE_PAYMENT_APPROVED},
              {{AGAIN_4}, CAFE_PAYMENT_CAPTURED}};
  for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
    cafe_given *one = given_begin(&cafe_payment_aggregate);
    cafe_given_events(one, each[i].past);
    const cafe_payment *state = cafe_given_state(one);
    assert_int_equal(state->status, each[i].status);
    assert_int_equal(state->running, (cafe_payment_operation)(i + 1));
    given_end(one);
  }
}

static void a_reason_to_try_again_is_a_text(void **unused) {
  char text[201];
  memset(text, 'x', sizeof text);
  GIVEN(UNKNOWN_3);
  cafe_when(it, CAFE_DATA(cafe_retry_payment_type, cafe_retry_payment, {text, 200}));
  assert_string_equal(cafe_given_said(it), "accepted PaymentRetried");
  cafe_when(it, CAFE_DATA(cafe_retry_payment_type, cafe_retry_payment, {text, 201}));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  cafe_when(it, CAFE_DATA(cafe_retry_payment_type, cafe_retry_payment, {"a\nb", 3}));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  cafe_when(it, CAFE_DATA(cafe_retry_payment_type, cafe_retry_payment, {NULL, 0}));
  assert_string_equal(cafe_given_said(it), "accepted PaymentRetried");
}

#define TASK_OF(operation_, may_have_run_)                                                                             \
  CAFE_FACTS(CAFE_FACT_TASK(operation_, cafe_payment_task_type, cafe_payment_task, .operation = operation_,            \
                            .amount_minor = 9000, .currency = {"KRW", 3}, .may_have_run = may_have_run_))
#define TASK(operation_) TASK_OF(operation_, false)

static void the_running_operation_is_the_only_task(void **unused) {
  cafe_then_wants(it, NULL);
  GIVEN(AUTHORIZING);
  cafe_then_wants(it, TASK(CAFE_PAYMENT_AUTHORIZE));
  cafe_given_event(it, &cafe_payment_approved_type, &approved, sizeof(approved));
  cafe_then_wants(it, NULL);
  cafe_given_event(it, &cafe_capture_started_type, &capturing, sizeof(capturing));
  cafe_then_wants(it, TASK(CAFE_PAYMENT_CAPTURE));
  cafe_given_event(it, &cafe_payment_cancel_kept_type, &kept, sizeof(kept));
  cafe_then_wants(it, TASK(CAFE_PAYMENT_CAPTURE));
  cafe_given_event(it, &cafe_payment_captured_type, &captured, sizeof(captured));
  cafe_given_event(it, &cafe_refund_started_type, &refunding, sizeof(refunding));
  cafe_then_wants(it, TASK(CAFE_PAYMENT_REFUND));
}

/* It may have taken effect the last time: so the gateway is asked first. What comes after it never ran. */
static void what_is_tried_again_is_wanted_as_what_may_have_run(void **unused) {
  GIVEN(UNKNOWN_2);
  cafe_then_wants(it, NULL);
  cafe_given_event(it, &cafe_payment_retried_type, &again_capture, sizeof(again_capture));
  cafe_then_wants(it, TASK_OF(CAFE_PAYMENT_CAPTURE, true));
  cafe_given_event(it, &cafe_payment_captured_type, &captured, sizeof(captured));
  cafe_then_wants(it, NULL);
  cafe_given_event(it, &cafe_refund_started_type, &refunding, sizeof(refunding));
  cafe_then_wants(it, TASK(CAFE_PAYMENT_REFUND));
}

static void commands_with_values_that_are_none_are_invalid(void **unused) {
  cafe_authorize_payment wrong = authorize;
  wrong.amount_minor = -1;
  cafe_when(it, &cafe_authorize_payment_type, &wrong, sizeof(wrong));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  wrong.amount_minor = INT64_C(1000000000001);
  cafe_when(it, &cafe_authorize_payment_type, &wrong, sizeof(wrong));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  wrong.amount_minor = 0;
  cafe_when(it, &cafe_authorize_payment_type, &wrong, sizeof(wrong));
  assert_string_equal(cafe_given_said(it), "pending AuthorizationStarted");
  wrong.currency = cafe_text("beans");
  cafe_when(it, &cafe_authorize_payment_type, &wrong, sizeof(wrong));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  cafe_cancel_payment why = cancel;
  why.reason = (cafe_payment_cancel_reason)0;
  cafe_when(it, &cafe_cancel_payment_type, &why, sizeof(why));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  why.reason = (cafe_payment_cancel_reason)4;
  cafe_when(it, &cafe_cancel_payment_type, &why, sizeof(why));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  GIVEN(AUTHORIZING);
  record(CAFE_PAYMENT_AUTHORIZE, CAFE_GATEWAY_UNKNOWN);
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  record(CAFE_PAYMENT_AUTHORIZE, -1);
  assert_string_equal(cafe_given_said(it), "refused:invalid");
}

static void commands_of_others_change_nothing(void **unused) {
  given_refuses_unlisted(&cafe_payment_aggregate, &cafe_payment_approved_type, &approved, "unsupported");
}

static void every_table_is_sound_and_no_event_holds_a_secret(void **unused) {
  given_end(given_begin(&cafe_payment_aggregate));
  assert_int_equal(cafe_schema_check(&cafe_payment_task_type, NULL), CAFE_OK);
}

static void without_memory_it_says_so(void **unused) {
  given_starve(&cafe_payment_aggregate, (const cafe_fact[]){AUTHORIZING, {NULL, NULL}});
  given_starve(&cafe_payment_aggregate, (const cafe_fact[]){IS(payment_canceled, tombstone), {NULL, NULL}});
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_command_is_answered_in_every_state),
      TEST(an_authorization_names_who_pays_what_and_no_token),
      TEST(a_decline_and_a_failure_say_why),
      TEST(what_is_captured_can_be_refunded_and_no_more),
      TEST(a_kept_cancel_is_carried_out_with_its_own_reason),
      TEST(a_capture_that_surely_failed_leaves_something_to_void),
      TEST(a_tombstone_is_whole_and_never_listed_as_canceled),
      TEST(the_running_operation_is_the_only_task),
      TEST(what_was_given_up_runs_again_in_the_status_that_it_had),
      TEST(each_operation_runs_again_in_its_own_status),
      TEST(a_reason_to_try_again_is_a_text),
      TEST(what_is_tried_again_is_wanted_as_what_may_have_run),
      TEST(commands_with_values_that_are_none_are_invalid),
      TEST(commands_of_others_change_nothing),
      cmocka_unit_test(every_table_is_sound_and_no_event_holds_a_secret),
      cmocka_unit_test(without_memory_it_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
