/* SPDX-License-Identifier: Apache-2.0 */

/* The order's rules: every command in every state, then what the answers and events hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/order.h"
#include "given_kit.h"

#define ROOM    "0123456789abcdef"
#define TEXT_64 ROOM ROOM ROOM ROOM

/* ---- what has happened ---- */

#define LINES                                                                                                          \
  .product_id = {"latte", 5}, .qty = 2, .customer_id = {"cdgri", 5}, .amount_minor = 9000, .currency = {"KRW", 3},     \
  .store_id = {"1", 1}

static const cafe_order_drafted drafted = {LINES, .wait_until_ms = 1600, .pay_timeout_ms = 600,
                                           .accept_timeout_ms = 900000};
static const cafe_draft_unclaimed unclaimed = {1600};
static const cafe_draft_claimed claimed = {5600};
static const cafe_draft_dropped declined = {.reason = CAFE_DROP_DECLINED};
static const cafe_draft_dropped expired = {.reason = CAFE_DROP_EXPIRED};
static const cafe_ordered ordered = {LINES};
static const cafe_order_accepted accepted;
static const cafe_preparation_started started;
static const cafe_coffee_done done;
static const cafe_order_picked_up picked_up;
static const cafe_cancel_requested asked_customer = {LINES, .by = CAFE_CANCEL_BY_CUSTOMER};
static const cafe_cancel_requested asked_deadline = {LINES, .by = CAFE_CANCEL_BY_DEADLINE};
static const cafe_cancel_rejected refused_in_accepted = {CAFE_CANCEL_BY_CUSTOMER, CAFE_ORDER_ACCEPTED};
static const cafe_cancel_rejected refused_in_preparing = {CAFE_CANCEL_BY_CUSTOMER, CAFE_ORDER_PREPARING};
static const cafe_cancel_rejected refused_deadline = {CAFE_CANCEL_BY_DEADLINE, CAFE_ORDER_ACCEPTED};
static const cafe_order_canceled canceled = {.by = CAFE_CANCEL_BY_CUSTOMER};
static const cafe_order_rejected rejected = {.by = CAFE_REJECT_REFUSED};

#define DRAFTED                                                                                                        \
  { &cafe_order_drafted_type, &drafted, sizeof(drafted) }
#define UNCLAIMED                                                                                                      \
  { &cafe_draft_unclaimed_type, &unclaimed, sizeof(unclaimed) }
#define ORDERED                                                                                                        \
  DRAFTED, { &cafe_ordered_type, &ordered, sizeof(ordered) }
#define ACCEPTED                                                                                                       \
  { &cafe_order_accepted_type, &accepted, sizeof(accepted) }
#define STARTED                                                                                                        \
  { &cafe_preparation_started_type, &started, sizeof(started) }
#define DONE                                                                                                           \
  { &cafe_coffee_done_type, &done, sizeof(done) }
#define PICKED_UP                                                                                                      \
  { &cafe_order_picked_up_type, &picked_up, sizeof(picked_up) }
#define CUSTOMER                                                                                                       \
  { &cafe_cancel_requested_type, &asked_customer, sizeof(asked_customer) }
#define DEADLINE                                                                                                       \
  { &cafe_cancel_requested_type, &asked_deadline, sizeof(asked_deadline) }
#define REFUSED(how)                                                                                                   \
  { &cafe_cancel_rejected_type, &(how), sizeof(how) }

/* ---- what is asked for ---- */

static const cafe_place_order place = {LINES};
static const cafe_fact commands[] = {
    {&cafe_place_order_type, &place, sizeof(place)},
    CAFE_FACT(cafe_establish_order_type, cafe_establish_order, 9000),
    CAFE_FACT(cafe_establish_order_type, cafe_establish_order, 8999),
    CAFE_FACT(cafe_unclaim_draft_type, cafe_unclaim_draft, 1600),
    CAFE_FACT(cafe_unclaim_draft_type, cafe_unclaim_draft, 1599),
    CAFE_FACT(cafe_drop_draft_type, cafe_drop_draft, CAFE_DROP_ABANDONED, 0),
    CAFE_FACT(cafe_drop_draft_type, cafe_drop_draft, CAFE_DROP_UNKNOWN, 1600),
    CAFE_FACT(cafe_drop_draft_type, cafe_drop_draft, CAFE_DROP_UNKNOWN, 1599),
    CAFE_FACT(cafe_request_cancel_type, cafe_request_cancel, .by = CAFE_CANCEL_BY_CUSTOMER),
    CAFE_FACT(cafe_request_cancel_type, cafe_request_cancel, .by = CAFE_CANCEL_BY_DEADLINE),
    CAFE_FACT(cafe_confirm_cancel_type, cafe_confirm_cancel, CAFE_CANCEL_BY_CUSTOMER),
    CAFE_FACT(cafe_confirm_cancel_type, cafe_confirm_cancel, CAFE_CANCEL_BY_DEADLINE),
    CAFE_FACT(cafe_refuse_cancel_type, cafe_refuse_cancel, CAFE_CANCEL_BY_CUSTOMER),
    CAFE_FACT(cafe_refuse_cancel_type, cafe_refuse_cancel, CAFE_CANCEL_BY_DEADLINE),
    CAFE_FACT(cafe_reject_order_type, cafe_reject_order, .by = CAFE_REJECT_REFUSED),
    CAFE_FACT(cafe_mark_order_type, cafe_mark_order, CAFE_MARK_ACCEPTED),
    CAFE_FACT(cafe_mark_order_type, cafe_mark_order, CAFE_MARK_STARTED),
    CAFE_FACT(cafe_mark_order_type, cafe_mark_order, CAFE_MARK_DONE),
    CAFE_FACT(cafe_mark_order_type, cafe_mark_order, CAFE_MARK_PICKED_UP),
    {NULL, NULL, 0},
};

/* What the eight about drafts say once it is an order, and the eleven about orders while it is none. */
#define ORDER "- | - | - | - | - | - | - | - | "
#define NO_ORDER                                                                                                       \
  "!not-found | !not-found | !not-found | !not-found | !not-found | !not-found | !not-found | !not-found | "           \
  "!not-found | !not-found | !not-found"

/* In this order: place | establish | establish another amount | unclaim | unclaim an earlier wait | drop | drop this
 * wait | drop an earlier wait | customer's cancel | deadline's | confirm customer's | confirm deadline's | refuse
 * customer's | refuse deadline's | reject | mark accepted | started | done | picked up. */
static const cafe_given_case rows[] = {
    {"nothing", NULL, "?OrderDrafted | !not-found | !not-found | - | - | - | - | - | " NO_ORDER},
    {"a claimed draft", CAFE_FACTS(DRAFTED),
     "?DraftClaimed | Ordered | !wrong-amount | DraftUnclaimed | - | DraftDropped | DraftDropped | - | " NO_ORDER},
    {"an unclaimed draft", CAFE_FACTS(DRAFTED, UNCLAIMED),
     "?DraftClaimed | - | - | - | - | DraftDropped | DraftDropped | - | " NO_ORDER},
    {"a draft claimed again", CAFE_FACTS(DRAFTED, UNCLAIMED, {&cafe_draft_claimed_type, &claimed, sizeof(claimed)}),
     "?DraftClaimed | Ordered | !wrong-amount | - | - | DraftDropped | - | - | " NO_ORDER},
    {"a draft dropped as declined", CAFE_FACTS(DRAFTED, {&cafe_draft_dropped_type, &declined, sizeof(declined)}),
     "!payment-declined | !draft-dropped | !draft-dropped | - | - | - | - | - | " NO_ORDER},
    {"a draft dropped as expired",
     CAFE_FACTS(DRAFTED, UNCLAIMED, {&cafe_draft_dropped_type, &expired, sizeof(expired)}),
     "!payment-unavailable | !draft-dropped | !draft-dropped | - | - | - | - | - | " NO_ORDER},
    {"Ordered", CAFE_FACTS(ORDERED),
     ORDER "?CancelRequested | ?CancelRequested | OrderCanceled | OrderCanceled | - | - | OrderRejected | "
           "OrderAccepted | - | - | -"},
    {"Accepted", CAFE_FACTS(ORDERED, ACCEPTED),
     ORDER
     "?CancelRequested | - | OrderCanceled | OrderCanceled | - | - | OrderRejected | - | PreparationStarted | - | -"},
    {"Preparing", CAFE_FACTS(ORDERED, ACCEPTED, STARTED),
     ORDER "!cancel-rejected CancelRejected | - | !wrong-state | !wrong-state | - | - | OrderRejected | - | - | "
           "CoffeeDone | -"},
    {"CoffeeDone", CAFE_FACTS(ORDERED, ACCEPTED, STARTED, DONE),
     ORDER "!cancel-rejected CancelRejected | - | !wrong-state | !wrong-state | - | - | OrderRejected | - | - | - | "
           "OrderPickedUp"},
    {"PickedUp", CAFE_FACTS(ORDERED, ACCEPTED, STARTED, DONE, PICKED_UP),
     ORDER "!cancel-rejected CancelRejected | - | !wrong-state | !wrong-state | - | - | - | - | - | - | -"},
    {"Canceling, the customer asked", CAFE_FACTS(ORDERED, CUSTOMER),
     ORDER "? | - | OrderCanceled | OrderCanceled | CancelRejected | - | OrderRejected | OrderAccepted | - | - | -"},
    {"Canceling, the deadline asked", CAFE_FACTS(ORDERED, DEADLINE),
     ORDER "?CancelRequested | ? | OrderCanceled | OrderCanceled | - | CancelRejected | OrderRejected | OrderAccepted "
           "| - | - | -"},
    {"Canceling, both asked", CAFE_FACTS(ORDERED, DEADLINE, CUSTOMER),
     ORDER "? | ? | OrderCanceled | OrderCanceled | CancelRejected | - | OrderRejected | OrderAccepted | - | - | -"},
    {"Canceling, the customer asked, accepted meanwhile", CAFE_FACTS(ORDERED, CUSTOMER, ACCEPTED),
     ORDER
     "? | - | OrderCanceled | OrderCanceled | CancelRejected | - | OrderRejected | - | PreparationStarted | - | -"},
    {"Canceling, the deadline asked, accepted meanwhile", CAFE_FACTS(ORDERED, DEADLINE, ACCEPTED),
     ORDER "?CancelRequested | ? | OrderCanceled | OrderCanceled | - | CancelRejected | OrderRejected | - | "
           "PreparationStarted | - | -"},
    {"Canceling, the customer asked, started meanwhile", CAFE_FACTS(ORDERED, CUSTOMER, ACCEPTED, STARTED),
     ORDER "? | - | !wrong-state | !wrong-state | CancelRejected | - | OrderRejected | - | - | CoffeeDone | -"},
    {"Canceling, the deadline asked, started meanwhile", CAFE_FACTS(ORDERED, DEADLINE, ACCEPTED, STARTED),
     ORDER "!cancel-rejected CancelRejected | ? | !wrong-state | !wrong-state | - | CancelRejected | OrderRejected | - "
           "| - | CoffeeDone | -"},
    {"Canceling, both asked, started meanwhile", CAFE_FACTS(ORDERED, DEADLINE, CUSTOMER, ACCEPTED, STARTED),
     ORDER "? | ? | !wrong-state | !wrong-state | CancelRejected | - | OrderRejected | - | - | CoffeeDone | -"},
    {"Accepted, and the customer's cancel refused",
     CAFE_FACTS(ORDERED, ACCEPTED, CUSTOMER, REFUSED(refused_in_accepted)),
     ORDER
     "!cancel-rejected | - | OrderCanceled | OrderCanceled | - | - | OrderRejected | - | PreparationStarted | - | -"},
    {"Preparing, and the customer's cancel refused",
     CAFE_FACTS(ORDERED, ACCEPTED, CUSTOMER, STARTED, REFUSED(refused_in_preparing)),
     ORDER "!cancel-rejected | - | !wrong-state | !wrong-state | - | - | OrderRejected | - | - | CoffeeDone | -"},
    {"Accepted, and the deadline's cancel refused", CAFE_FACTS(ORDERED, DEADLINE, ACCEPTED, REFUSED(refused_deadline)),
     ORDER
     "?CancelRequested | - | OrderCanceled | OrderCanceled | - | - | OrderRejected | - | PreparationStarted | - | -"},
    {"Canceled", CAFE_FACTS(ORDERED, CUSTOMER, {&cafe_order_canceled_type, &canceled, sizeof(canceled)}),
     ORDER "- | - | - | - | - | - | - | - | - | - | -"},
    {"Rejected", CAFE_FACTS(ORDERED, {&cafe_order_rejected_type, &rejected, sizeof(rejected)}),
     ORDER "!cancel-rejected | - | - | - | - | - | - | - | - | - | -"},
    {"Rejected while canceling",
     CAFE_FACTS(ORDERED, CUSTOMER, {&cafe_order_rejected_type, &rejected, sizeof(rejected)}),
     ORDER "!cancel-rejected | - | - | - | - | - | - | - | - | - | -"},
    {NULL, NULL, NULL, {NULL, NULL}},
};

static void every_command_is_answered_in_every_state(void **unused) {
  given_table(&cafe_order_aggregate, commands, rows);
}

/* ---- placing ---- */

static const char *placed(const cafe_place_order *with) {
  static char said[128];
  cafe_given *it = given_begin(&cafe_order_aggregate);
  cafe_when(it, &cafe_place_order_type, with, sizeof(*with));
  const char *text = cafe_given_text(it)[0] ? cafe_given_text(it) : cafe_given_said(it);
  snprintf(said, sizeof(said), "%s", text);
  given_end(it);
  return said;
}

static void a_draft_holds_the_lines_and_what_was_left_out(void **unused) {
  cafe_place_order bare = {LINES, .pickup_time_ms = 5, .client_reference = {"r1", 2}};
  bare.currency = bare.store_id = (cafe_slice){NULL, 0};
  bare.payment_token = cafe_text("secret");
  cafe_given *it = given_begin(&cafe_order_aggregate);
  cafe_given_command(it, &cafe_place_order_type, &bare, sizeof(bare));
  assert_string_equal(cafe_given_said(it), "pending OrderDrafted");
  const cafe_order_drafted *made = cafe_given_data(it, &cafe_order_drafted_type);
  assert_true(cafe_slice_equal(made->product_id, cafe_text("latte")));
  assert_int_equal(made->qty, 2);
  assert_true(cafe_slice_equal(made->customer_id, cafe_text("cdgri")));
  assert_int_equal(made->amount_minor, 9000);
  assert_true(cafe_slice_equal(made->currency, cafe_text("KRW")));
  assert_true(cafe_slice_equal(made->store_id, cafe_text("1")));
  assert_int_equal(made->pickup_time_ms, 5);
  assert_true(cafe_slice_equal(made->client_reference, cafe_text("r1")));
  assert_int_equal(made->wait_until_ms, 1600);
  assert_int_equal(made->pay_timeout_ms, 600);
  assert_int_equal(made->accept_timeout_ms, 900000);
  const cafe_order *order = cafe_given_state(it);
  assert_int_equal(order->draft, CAFE_DRAFT_CLAIMED);
  assert_int_equal(order->status, CAFE_ORDER_NONE);
  given_end(it);
}

static void timeouts_that_are_given_are_taken(void **unused) {
  cafe_place_order own = {LINES, .pay_timeout_ms = 50, .accept_timeout_ms = 70};
  own.currency = cafe_text("USD");
  own.store_id = cafe_text("9");
  cafe_given *it = given_begin(&cafe_order_aggregate);
  cafe_when(it, &cafe_place_order_type, &own, sizeof(own));
  const cafe_order_drafted *made = cafe_given_data(it, &cafe_order_drafted_type);
  assert_int_equal(made->wait_until_ms, 1050);
  assert_int_equal(made->pay_timeout_ms, 50);
  assert_int_equal(made->accept_timeout_ms, 70);
  assert_true(cafe_slice_equal(made->currency, cafe_text("USD")));
  assert_true(cafe_slice_equal(made->store_id, cafe_text("9")));
  given_end(it);
}

static void expect_text(const char *field, size_t offset, bool may_be_empty) {
  static const struct {
    const char *text;
    size_t size;
    bool right;
  } cases[] = {
      {"a", 1, true},           {TEXT_64, 64, true},
      {TEXT_64 "x", 65, false}, {"\xea\xb0\x80", 3, true}, /* one code point */
      {"\xea\xb0", 2, false},                              /* not UTF-8 */
      {"a\nb", 3, false},                                  /* control characters: C0, DEL, C1 */
      {"a\0b", 3, false},       {"\x7f", 1, false},
      {"\xc2\x85", 2, false},   {" ", 1, true},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    cafe_place_order order = {LINES};
    cafe_slice text = {cases[i].text, cases[i].size};
    memcpy((char *)&order + offset, &text, sizeof(text));
    const char *said = placed(&order);
    if (cases[i].right) {
      assert_string_equal(said, "pending OrderDrafted");
    } else {
      assert_memory_equal(said, field, strlen(field));
      assert_int_equal(said[strlen(field)], ':');
    }
  }
  cafe_place_order order = {LINES};
  memset((char *)&order + offset, 0, sizeof(cafe_slice));
  assert_int_equal(strcmp(placed(&order), "pending OrderDrafted") == 0, may_be_empty);
}

static void texts_have_1_to_64_characters_and_no_control_characters(void **unused) {
  expect_text("product_id", offsetof(cafe_place_order, product_id), false);
  expect_text("customer_id", offsetof(cafe_place_order, customer_id), false);
  expect_text("store_id", offsetof(cafe_place_order, store_id), true);
  expect_text("client_reference", offsetof(cafe_place_order, client_reference), true);
}

static void expect_number(const char *refusal, size_t offset, int64_t min, int64_t max) {
  const struct {
    int64_t value;
    bool right;
  } cases[] = {{min, true}, {max, true}, {min - 1, false}, {max + 1, false}, {INT64_MIN, false}, {INT64_MAX, false}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    cafe_place_order order = {LINES};
    memcpy((char *)&order + offset, &cases[i].value, sizeof(cases[i].value));
    assert_string_equal(placed(&order), cases[i].right ? "pending OrderDrafted" : refusal);
  }
}

static void numbers_have_limits(void **unused) {
  expect_number("qty: must be from 1 to 1000", offsetof(cafe_place_order, qty), 1, 1000);
  expect_number("amount_minor: must be from 0 to 1000000000000", offsetof(cafe_place_order, amount_minor), 0,
                INT64_C(1000000000000));
  expect_number("pickup_time_ms: must be a time from 1970 to 9999", offsetof(cafe_place_order, pickup_time_ms), 0,
                INT64_C(253402300799999));
  expect_number("pay_timeout_ms: must be from 0 to 86400000", offsetof(cafe_place_order, pay_timeout_ms), 0, 86400000);
  expect_number("accept_timeout_ms: must be from 0 to 31536000000", offsetof(cafe_place_order, accept_timeout_ms), 0,
                INT64_C(31536000000));
}

static void a_currency_must_be_known(void **unused) {
  cafe_place_order order = {LINES};
  order.currency = cafe_text("krw");
  assert_string_equal(placed(&order), "currency: must be an ISO 4217 code, such as KRW");
  order.currency = cafe_text("KRWX");
  assert_string_equal(placed(&order), "currency: must be an ISO 4217 code, such as KRW");
}

static void every_wrong_field_is_named_at_once(void **unused) {
  cafe_place_order order = {.product_id = {"\n", 1},
                            .customer_id = {"\n", 1},
                            .amount_minor = -1,
                            .currency = {"x", 1},
                            .store_id = {"\n", 1},
                            .pickup_time_ms = -1,
                            .client_reference = {"\n", 1},
                            .pay_timeout_ms = -1,
                            .accept_timeout_ms = -1};
  cafe_given *it = given_begin(&cafe_order_aggregate);
  cafe_when(it, &cafe_place_order_type, &order, sizeof(order));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  assert_string_equal(cafe_given_text(it),
                      "product_id: must have 1 to 64 characters, and no control characters\n"
                      "qty: must be from 1 to 1000\n"
                      "customer_id: must have 1 to 64 characters, and no control characters\n"
                      "amount_minor: must be from 0 to 1000000000000\n"
                      "currency: must be an ISO 4217 code, such as KRW\n"
                      "store_id: must have 1 to 64 characters, and no control characters\n"
                      "pickup_time_ms: must be a time from 1970 to 9999\n"
                      "client_reference: must have at most 64 characters, and no control characters\n"
                      "pay_timeout_ms: must be from 0 to 86400000\n"
                      "accept_timeout_ms: must be from 0 to 31536000000");
  cafe_given_event(it, &cafe_order_drafted_type, &drafted, sizeof(drafted));
  cafe_when(it, &cafe_place_order_type, &order, sizeof(order));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  cafe_given_event(it, &cafe_ordered_type, &ordered, sizeof(ordered));
  cafe_when(it, &cafe_place_order_type, &order, sizeof(order));
  assert_string_equal(cafe_given_said(it), "unchanged");
  given_end(it);
}

static void a_retry_moves_the_wait_on_and_never_back(void **unused) {
  cafe_given *it = given_begin(&cafe_order_aggregate);
  cafe_given_command(it, &cafe_place_order_type, &place, sizeof(place));
  cafe_given_time(it, 1300);
  cafe_given_command(it, &cafe_place_order_type, &place, sizeof(place));
  assert_int_equal(((const cafe_draft_claimed *)cafe_given_data(it, &cafe_draft_claimed_type))->wait_until_ms, 1900);
  cafe_given_command(it, CAFE_DATA(cafe_place_order_type, cafe_place_order, LINES, .pay_timeout_ms = 1));
  assert_int_equal(((const cafe_draft_claimed *)cafe_given_data(it, &cafe_draft_claimed_type))->wait_until_ms, 1900);
  cafe_given_command(it, CAFE_DATA(cafe_unclaim_draft_type, cafe_unclaim_draft, 1600));
  assert_string_equal(cafe_given_said(it), "unchanged");
  cafe_given_command(it, CAFE_DATA(cafe_unclaim_draft_type, cafe_unclaim_draft, 2000));
  assert_string_equal(cafe_given_said(it), "accepted DraftUnclaimed");
  assert_int_equal(((const cafe_draft_unclaimed *)cafe_given_data(it, &cafe_draft_unclaimed_type))->wait_until_ms,
                   1900);
  cafe_given_time(it, 20000);
  cafe_given_command(it, &cafe_place_order_type, &place, sizeof(place));
  assert_string_equal(cafe_given_said(it), "pending DraftClaimed");
  cafe_given_command(it, CAFE_DATA(cafe_establish_order_type, cafe_establish_order, 9000));
  assert_string_equal(cafe_given_said(it), "accepted Ordered");
  given_end(it);
}

static void a_dropped_draft_tells_payment_what_to_cancel(void **unused) {
  cafe_given *it = given_begin(&cafe_order_aggregate);
  cafe_given_event(it, &cafe_order_drafted_type, &drafted, sizeof(drafted));
  cafe_given_command(it, CAFE_DATA(cafe_drop_draft_type, cafe_drop_draft, CAFE_DROP_EXPIRED, 1600));
  const cafe_draft_dropped *dropped = cafe_given_data(it, &cafe_draft_dropped_type);
  assert_int_equal(dropped->reason, CAFE_DROP_EXPIRED);
  assert_int_equal(dropped->amount_minor, 9000);
  assert_true(cafe_slice_equal(dropped->currency, cafe_text("KRW")));
  assert_true(cafe_slice_equal(dropped->customer_id, cafe_text("cdgri")));
  assert_int_equal(((const cafe_order *)cafe_given_state(it))->dropped, CAFE_DROP_EXPIRED);
  given_end(it);
}

/* ---- statuses ---- */

static void expect_status(const cafe_fact *given, cafe_order_status progress, cafe_order_status status) {
  cafe_given *it = given_begin(&cafe_order_aggregate);
  for (; given->type; given++) {
    cafe_given_event(it, given->type, given->data, given->size);
  }
  assert_int_equal(((const cafe_order *)cafe_given_state(it))->progress, progress);
  assert_int_equal(((const cafe_order *)cafe_given_state(it))->status, status);
  given_end(it);
}

#define GIVEN(...)                                                                                                     \
  (const cafe_fact[]) {                                                                                                \
    __VA_ARGS__, { NULL, NULL }                                                                                        \
  }

static void the_status_is_what_the_events_say(void **unused) {
  const cafe_order_status ordered_ = CAFE_ORDER_ORDERED, accepted_ = CAFE_ORDER_ACCEPTED,
                          canceling = CAFE_ORDER_CANCELING;
  expect_status(GIVEN(DRAFTED), CAFE_ORDER_NONE, CAFE_ORDER_NONE);
  expect_status(GIVEN(ORDERED), ordered_, ordered_);
  expect_status(GIVEN(ORDERED, ACCEPTED), accepted_, accepted_);
  expect_status(GIVEN(ORDERED, ACCEPTED, STARTED), CAFE_ORDER_PREPARING, CAFE_ORDER_PREPARING);
  expect_status(GIVEN(ORDERED, ACCEPTED, STARTED, DONE), CAFE_ORDER_COFFEE_DONE, CAFE_ORDER_COFFEE_DONE);
  expect_status(GIVEN(ORDERED, ACCEPTED, STARTED, DONE, PICKED_UP), CAFE_ORDER_PICKED_UP, CAFE_ORDER_PICKED_UP);
  expect_status(GIVEN(ORDERED, CUSTOMER), ordered_, canceling);
  expect_status(GIVEN(ORDERED, CUSTOMER, ACCEPTED), accepted_, canceling);
  expect_status(GIVEN(ORDERED, CUSTOMER, ACCEPTED, REFUSED(refused_in_accepted)), accepted_, accepted_);
  expect_status(GIVEN(ORDERED, CUSTOMER, {&cafe_order_canceled_type, &canceled, sizeof(canceled)}), ordered_,
                CAFE_ORDER_CANCELED);
  expect_status(GIVEN(ORDERED, CUSTOMER, {&cafe_order_rejected_type, &rejected, sizeof(rejected)}), ordered_,
                CAFE_ORDER_REJECTED);
}

static void a_refused_cancel_names_the_status_that_stands_again(void **unused) {
  cafe_given *it = given_begin(&cafe_order_aggregate);
  const cafe_fact *step = GIVEN(ORDERED, DEADLINE, ACCEPTED);
  for (; step->type; step++) {
    cafe_given_event(it, step->type, step->data, step->size);
  }
  cafe_when(it, CAFE_DATA(cafe_refuse_cancel_type, cafe_refuse_cancel, CAFE_CANCEL_BY_DEADLINE));
  assert_int_equal(((const cafe_cancel_rejected *)cafe_given_data(it, &cafe_cancel_rejected_type))->by,
                   CAFE_CANCEL_BY_DEADLINE);
  assert_int_equal(((const cafe_cancel_rejected *)cafe_given_data(it, &cafe_cancel_rejected_type))->status,
                   CAFE_ORDER_ACCEPTED);
  cafe_given_event(it, &cafe_preparation_started_type, &started, sizeof(started));
  cafe_given_command(it, CAFE_DATA(cafe_request_cancel_type, cafe_request_cancel, .by = CAFE_CANCEL_BY_CUSTOMER));
  assert_int_equal(((const cafe_cancel_rejected *)cafe_given_data(it, &cafe_cancel_rejected_type))->by,
                   CAFE_CANCEL_BY_CUSTOMER);
  assert_int_equal(((const cafe_cancel_rejected *)cafe_given_data(it, &cafe_cancel_rejected_type))->status,
                   CAFE_ORDER_PREPARING);
  const cafe_order *order = cafe_given_state(it);
  assert_int_equal(order->status, CAFE_ORDER_PREPARING);
  assert_false(order->cancel_by_deadline);
  assert_true(order->cancel_refused);
  given_end(it);
}

/* The customer waits for his own answer, so the deadline's must not look like it. */
static void the_deadlines_refusal_is_no_answer_to_a_customer_who_waits(void **unused) {
  cafe_given *it = given_begin(&cafe_order_aggregate);
  const cafe_fact *step = GIVEN(ORDERED, DEADLINE, CUSTOMER, ACCEPTED);
  for (; step->type; step++) {
    cafe_given_event(it, step->type, step->data, step->size);
  }
  cafe_given_command(it, CAFE_DATA(cafe_refuse_cancel_type, cafe_refuse_cancel, CAFE_CANCEL_BY_DEADLINE));
  assert_string_equal(cafe_given_said(it), "unchanged");
  cafe_given_command(it, CAFE_DATA(cafe_confirm_cancel_type, cafe_confirm_cancel, CAFE_CANCEL_BY_CUSTOMER));
  assert_string_equal(cafe_given_said(it), "accepted OrderCanceled");
  given_end(it);
}

static void a_cancel_request_is_whole_for_a_store_without_the_ticket(void **unused) {
  cafe_given *it = given_begin(&cafe_order_aggregate);
  cafe_given_event(it, &cafe_order_drafted_type, &drafted, sizeof(drafted));
  cafe_given_event(it, &cafe_ordered_type, &ordered, sizeof(ordered));
  cafe_request_cancel request = {CAFE_CANCEL_BY_CUSTOMER, cafe_text("too slow")};
  cafe_when(it, &cafe_request_cancel_type, &request, sizeof(request));
  const cafe_cancel_requested *made = cafe_given_data(it, &cafe_cancel_requested_type);
  assert_int_equal(made->by, CAFE_CANCEL_BY_CUSTOMER);
  assert_true(cafe_slice_equal(made->reason, cafe_text("too slow")));
  assert_true(cafe_slice_equal(made->product_id, cafe_text("latte")));
  assert_int_equal(made->amount_minor, 9000);
  cafe_reject_order reject = {CAFE_REJECT_GAVE_UP, cafe_text("no beans")};
  cafe_when(it, &cafe_reject_order_type, &reject, sizeof(reject));
  const cafe_order_rejected *end = cafe_given_data(it, &cafe_order_rejected_type);
  assert_int_equal(end->by, CAFE_REJECT_GAVE_UP);
  assert_true(cafe_slice_equal(end->reason, cafe_text("no beans")));
  assert_int_equal(end->amount_minor, 9000);
  assert_true(cafe_slice_equal(end->customer_id, cafe_text("cdgri")));
  given_end(it);
}

/* ---- what can't be asked ---- */

static const cafe_fact wrong[] = {
    CAFE_FACT(cafe_request_cancel_type, cafe_request_cancel, .by = (cafe_cancel_by)0),
    CAFE_FACT(cafe_request_cancel_type, cafe_request_cancel, .by = (cafe_cancel_by)3),
    CAFE_FACT(cafe_request_cancel_type, cafe_request_cancel, CAFE_CANCEL_BY_CUSTOMER, {"\n", 1}),
    CAFE_FACT(cafe_confirm_cancel_type, cafe_confirm_cancel, (cafe_cancel_by)0),
    CAFE_FACT(cafe_refuse_cancel_type, cafe_refuse_cancel, (cafe_cancel_by)0),
    CAFE_FACT(cafe_reject_order_type, cafe_reject_order, .by = (cafe_reject_by)0),
    CAFE_FACT(cafe_mark_order_type, cafe_mark_order, (cafe_order_mark)0),
    CAFE_FACT(cafe_mark_order_type, cafe_mark_order, (cafe_order_mark)5),
    CAFE_FACT(cafe_drop_draft_type, cafe_drop_draft, (cafe_drop_reason)0, 0),
    CAFE_FACT(cafe_drop_draft_type, cafe_drop_draft, (cafe_drop_reason)6, 0),
    {NULL, NULL, 0},
};

static void commands_with_values_that_are_none_are_invalid(void **unused) {
  cafe_given *it = given_begin(&cafe_order_aggregate);
  cafe_given_event(it, &cafe_order_drafted_type, &drafted, sizeof(drafted));
  cafe_given_event(it, &cafe_ordered_type, &ordered, sizeof(ordered));
  for (const cafe_fact *step = wrong; step->type; step++) {
    cafe_when(it, step->type, step->data, step->size);
    assert_string_equal(cafe_given_said(it), "refused:invalid");
  }
  char reason[202];
  memset(reason, 'x', sizeof(reason));
  cafe_request_cancel request = {CAFE_CANCEL_BY_CUSTOMER, {reason, 201}};
  cafe_when(it, &cafe_request_cancel_type, &request, sizeof(request));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  request.reason.size = 200;
  cafe_when(it, &cafe_request_cancel_type, &request, sizeof(request));
  assert_string_equal(cafe_given_said(it), "pending CancelRequested");
  given_end(it);
}

static void commands_and_events_of_others_change_nothing(void **unused) {
  given_refuses_unlisted(&cafe_order_aggregate, &cafe_ordered_type, &ordered, "unsupported");
  given_ignores(&cafe_order_aggregate, &cafe_place_order_type, &place);
}

static void statuses_have_names(void **unused) {
  assert_null(cafe_order_status_name(CAFE_ORDER_NONE));
  assert_string_equal(cafe_order_status_name(CAFE_ORDER_ORDERED), "Ordered");
  assert_string_equal(cafe_order_status_name(CAFE_ORDER_COFFEE_DONE), "CoffeeDone");
  assert_string_equal(cafe_order_status_name(CAFE_ORDER_REJECTED), "Rejected");
  assert_null(cafe_order_status_name((cafe_order_status)9));
}

static void every_table_is_sound_and_no_event_holds_a_secret(void **unused) {
  given_end(given_begin(&cafe_order_aggregate));
}

static void without_memory_it_says_so(void **unused) { given_starve(&cafe_order_aggregate, GIVEN(ORDERED, CUSTOMER)); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_command_is_answered_in_every_state),
      cmocka_unit_test(a_draft_holds_the_lines_and_what_was_left_out),
      cmocka_unit_test(timeouts_that_are_given_are_taken),
      cmocka_unit_test(texts_have_1_to_64_characters_and_no_control_characters),
      cmocka_unit_test(numbers_have_limits),
      cmocka_unit_test(a_currency_must_be_known),
      cmocka_unit_test(every_wrong_field_is_named_at_once),
      cmocka_unit_test(a_retry_moves_the_wait_on_and_never_back),
      cmocka_unit_test(a_dropped_draft_tells_payment_what_to_cancel),
      cmocka_unit_test(the_status_is_what_the_events_say),
      cmocka_unit_test(a_refused_cancel_names_the_status_that_stands_again),
      cmocka_unit_test(the_deadlines_refusal_is_no_answer_to_a_customer_who_waits),
      cmocka_unit_test(a_cancel_request_is_whole_for_a_store_without_the_ticket),
      cmocka_unit_test(commands_with_values_that_are_none_are_invalid),
      cmocka_unit_test(commands_and_events_of_others_change_nothing),
      cmocka_unit_test(statuses_have_names),
      cmocka_unit_test(every_table_is_sound_and_no_event_holds_a_secret),
      cmocka_unit_test(without_memory_it_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
