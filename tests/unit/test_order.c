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
#include "decider.h"

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
  { &cafe_order_drafted_type, &drafted }
#define UNCLAIMED                                                                                                      \
  { &cafe_draft_unclaimed_type, &unclaimed }
#define ORDERED                                                                                                        \
  DRAFTED, { &cafe_ordered_type, &ordered }
#define ACCEPTED                                                                                                       \
  { &cafe_order_accepted_type, &accepted }
#define STARTED                                                                                                        \
  { &cafe_preparation_started_type, &started }
#define DONE                                                                                                           \
  { &cafe_coffee_done_type, &done }
#define PICKED_UP                                                                                                      \
  { &cafe_order_picked_up_type, &picked_up }
#define CUSTOMER                                                                                                       \
  { &cafe_cancel_requested_type, &asked_customer }
#define DEADLINE                                                                                                       \
  { &cafe_cancel_requested_type, &asked_deadline }
#define REFUSED(how)                                                                                                   \
  { &cafe_cancel_rejected_type, &(how) }

/* ---- what is asked for ---- */

static const cafe_place_order place = {LINES};
static const decider_step commands[] = {
    {&cafe_place_order_type, &place},
    {&cafe_establish_order_type, &(cafe_establish_order){9000}},
    {&cafe_establish_order_type, &(cafe_establish_order){8999}},
    {&cafe_unclaim_draft_type, &(cafe_unclaim_draft){1600}},
    {&cafe_unclaim_draft_type, &(cafe_unclaim_draft){1599}},
    {&cafe_drop_draft_type, &(cafe_drop_draft){CAFE_DROP_ABANDONED, 0}},
    {&cafe_drop_draft_type, &(cafe_drop_draft){CAFE_DROP_UNKNOWN, 1600}},
    {&cafe_drop_draft_type, &(cafe_drop_draft){CAFE_DROP_UNKNOWN, 1599}},
    {&cafe_request_cancel_type, &(cafe_request_cancel){.by = CAFE_CANCEL_BY_CUSTOMER}},
    {&cafe_request_cancel_type, &(cafe_request_cancel){.by = CAFE_CANCEL_BY_DEADLINE}},
    {&cafe_confirm_cancel_type, &(cafe_confirm_cancel){CAFE_CANCEL_BY_CUSTOMER}},
    {&cafe_confirm_cancel_type, &(cafe_confirm_cancel){CAFE_CANCEL_BY_DEADLINE}},
    {&cafe_refuse_cancel_type, &(cafe_refuse_cancel){CAFE_CANCEL_BY_CUSTOMER}},
    {&cafe_refuse_cancel_type, &(cafe_refuse_cancel){CAFE_CANCEL_BY_DEADLINE}},
    {&cafe_reject_order_type, &(cafe_reject_order){.by = CAFE_REJECT_REFUSED}},
    {&cafe_mark_order_type, &(cafe_mark_order){CAFE_MARK_ACCEPTED}},
    {&cafe_mark_order_type, &(cafe_mark_order){CAFE_MARK_STARTED}},
    {&cafe_mark_order_type, &(cafe_mark_order){CAFE_MARK_DONE}},
    {&cafe_mark_order_type, &(cafe_mark_order){CAFE_MARK_PICKED_UP}},
    {NULL, NULL},
};

/* What the eight about drafts say once it is an order, and the eleven about orders while it is none. */
#define ORDER "- | - | - | - | - | - | - | - | "
#define NO_ORDER                                                                                                       \
  "!not-found | !not-found | !not-found | !not-found | !not-found | !not-found | !not-found | !not-found | "           \
  "!not-found | !not-found | !not-found"

/* In this order: place | establish | establish another amount | unclaim | unclaim an earlier wait | drop | drop this
 * wait | drop an earlier wait | customer's cancel | deadline's | confirm customer's | confirm deadline's | refuse
 * customer's | refuse deadline's | reject | mark accepted | started | done | picked up. */
static const decider_row rows[] = {
    {"nothing", {{NULL, NULL}}, "?OrderDrafted | !not-found | !not-found | - | - | - | - | - | " NO_ORDER},
    {"a claimed draft",
     {DRAFTED},
     "?DraftClaimed | Ordered | !wrong-amount | DraftUnclaimed | - | DraftDropped | DraftDropped | - | " NO_ORDER},
    {"an unclaimed draft",
     {DRAFTED, UNCLAIMED},
     "?DraftClaimed | - | - | - | - | DraftDropped | DraftDropped | - | " NO_ORDER},
    {"a draft claimed again",
     {DRAFTED, UNCLAIMED, {&cafe_draft_claimed_type, &claimed}},
     "?DraftClaimed | Ordered | !wrong-amount | - | - | DraftDropped | - | - | " NO_ORDER},
    {"a draft dropped as declined",
     {DRAFTED, {&cafe_draft_dropped_type, &declined}},
     "!payment-declined | !draft-dropped | !draft-dropped | - | - | - | - | - | " NO_ORDER},
    {"a draft dropped as expired",
     {DRAFTED, UNCLAIMED, {&cafe_draft_dropped_type, &expired}},
     "!payment-unavailable | !draft-dropped | !draft-dropped | - | - | - | - | - | " NO_ORDER},
    {"Ordered",
     {ORDERED},
     ORDER "?CancelRequested | ?CancelRequested | OrderCanceled | OrderCanceled | - | - | OrderRejected | "
           "OrderAccepted | - | - | -"},
    {"Accepted",
     {ORDERED, ACCEPTED},
     ORDER
     "?CancelRequested | - | OrderCanceled | OrderCanceled | - | - | OrderRejected | - | PreparationStarted | - | -"},
    {"Preparing",
     {ORDERED, ACCEPTED, STARTED},
     ORDER "!cancel-rejected CancelRejected | - | !wrong-state | !wrong-state | - | - | OrderRejected | - | - | "
           "CoffeeDone | -"},
    {"CoffeeDone",
     {ORDERED, ACCEPTED, STARTED, DONE},
     ORDER "!cancel-rejected CancelRejected | - | !wrong-state | !wrong-state | - | - | OrderRejected | - | - | - | "
           "OrderPickedUp"},
    {"PickedUp",
     {ORDERED, ACCEPTED, STARTED, DONE, PICKED_UP},
     ORDER "!cancel-rejected CancelRejected | - | !wrong-state | !wrong-state | - | - | - | - | - | - | -"},
    {"Canceling, the customer asked",
     {ORDERED, CUSTOMER},
     ORDER "? | - | OrderCanceled | OrderCanceled | CancelRejected | - | OrderRejected | OrderAccepted | - | - | -"},
    {"Canceling, the deadline asked",
     {ORDERED, DEADLINE},
     ORDER "?CancelRequested | ? | OrderCanceled | OrderCanceled | - | CancelRejected | OrderRejected | OrderAccepted "
           "| - | - | -"},
    {"Canceling, both asked",
     {ORDERED, DEADLINE, CUSTOMER},
     ORDER "? | ? | OrderCanceled | OrderCanceled | CancelRejected | - | OrderRejected | OrderAccepted | - | - | -"},
    {"Canceling, the customer asked, accepted meanwhile",
     {ORDERED, CUSTOMER, ACCEPTED},
     ORDER
     "? | - | OrderCanceled | OrderCanceled | CancelRejected | - | OrderRejected | - | PreparationStarted | - | -"},
    {"Canceling, the deadline asked, accepted meanwhile",
     {ORDERED, DEADLINE, ACCEPTED},
     ORDER "?CancelRequested | ? | OrderCanceled | OrderCanceled | - | CancelRejected | OrderRejected | - | "
           "PreparationStarted | - | -"},
    {"Canceling, the customer asked, started meanwhile",
     {ORDERED, CUSTOMER, ACCEPTED, STARTED},
     ORDER "? | - | !wrong-state | !wrong-state | CancelRejected | - | OrderRejected | - | - | CoffeeDone | -"},
    {"Canceling, the deadline asked, started meanwhile",
     {ORDERED, DEADLINE, ACCEPTED, STARTED},
     ORDER "!cancel-rejected CancelRejected | ? | !wrong-state | !wrong-state | - | CancelRejected | OrderRejected | - "
           "| - | CoffeeDone | -"},
    {"Canceling, both asked, started meanwhile",
     {ORDERED, DEADLINE, CUSTOMER, ACCEPTED, STARTED},
     ORDER "? | ? | !wrong-state | !wrong-state | CancelRejected | - | OrderRejected | - | - | CoffeeDone | -"},
    {"Accepted, and the customer's cancel refused",
     {ORDERED, ACCEPTED, CUSTOMER, REFUSED(refused_in_accepted)},
     ORDER
     "!cancel-rejected | - | OrderCanceled | OrderCanceled | - | - | OrderRejected | - | PreparationStarted | - | -"},
    {"Preparing, and the customer's cancel refused",
     {ORDERED, ACCEPTED, CUSTOMER, STARTED, REFUSED(refused_in_preparing)},
     ORDER "!cancel-rejected | - | !wrong-state | !wrong-state | - | - | OrderRejected | - | - | CoffeeDone | -"},
    {"Accepted, and the deadline's cancel refused",
     {ORDERED, DEADLINE, ACCEPTED, REFUSED(refused_deadline)},
     ORDER
     "?CancelRequested | - | OrderCanceled | OrderCanceled | - | - | OrderRejected | - | PreparationStarted | - | -"},
    {"Canceled",
     {ORDERED, CUSTOMER, {&cafe_order_canceled_type, &canceled}},
     ORDER "- | - | - | - | - | - | - | - | - | - | -"},
    {"Rejected",
     {ORDERED, {&cafe_order_rejected_type, &rejected}},
     ORDER "!cancel-rejected | - | - | - | - | - | - | - | - | - | -"},
    {"Rejected while canceling",
     {ORDERED, CUSTOMER, {&cafe_order_rejected_type, &rejected}},
     ORDER "!cancel-rejected | - | - | - | - | - | - | - | - | - | -"},
    {NULL, {{NULL, NULL}}, NULL},
};

static void every_command_is_answered_in_every_state(void **unused) {
  decider_table(&cafe_order_aggregate, commands, rows);
}

/* ---- placing ---- */

static const char *placed(const cafe_place_order *with) {
  static char said[128];
  decider it;
  decider_init(&it, &cafe_order_aggregate);
  decider_when(&it, &cafe_place_order_type, with);
  const char *text = it.verdict == CAFE_REFUSED ? it.decision.text : decider_said(&it);
  snprintf(said, sizeof(said), "%s", text);
  decider_deinit(&it);
  return said;
}

static void a_draft_holds_the_lines_and_what_was_left_out(void **unused) {
  cafe_place_order bare = {LINES, .pickup_time_ms = 5, .client_reference = {"r1", 2}};
  bare.currency = bare.store_id = (cafe_slice){NULL, 0};
  bare.payment_token = cafe_text("secret");
  decider it;
  decider_init(&it, &cafe_order_aggregate);
  decider_do(&it, &cafe_place_order_type, &bare);
  assert_string_equal(decider_said(&it), "pending OrderDrafted");
  const cafe_order_drafted *made = it.last_data;
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
  const cafe_order *order = it.state;
  assert_int_equal(order->draft, CAFE_DRAFT_CLAIMED);
  assert_int_equal(order->status, CAFE_ORDER_NONE);
  decider_deinit(&it);
}

static void timeouts_that_are_given_are_taken(void **unused) {
  cafe_place_order own = {LINES, .pay_timeout_ms = 50, .accept_timeout_ms = 70};
  own.currency = cafe_text("USD");
  own.store_id = cafe_text("9");
  decider it;
  decider_init(&it, &cafe_order_aggregate);
  decider_when(&it, &cafe_place_order_type, &own);
  const cafe_order_drafted *made = it.last_data;
  assert_int_equal(made->wait_until_ms, 1050);
  assert_int_equal(made->pay_timeout_ms, 50);
  assert_int_equal(made->accept_timeout_ms, 70);
  assert_true(cafe_slice_equal(made->currency, cafe_text("USD")));
  assert_true(cafe_slice_equal(made->store_id, cafe_text("9")));
  decider_deinit(&it);
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
  decider it;
  decider_init(&it, &cafe_order_aggregate);
  decider_when(&it, &cafe_place_order_type, &order);
  assert_string_equal(decider_said(&it), "refused:invalid");
  assert_string_equal(it.decision.text, "product_id: must have 1 to 64 characters, and no control characters\n"
                                        "qty: must be from 1 to 1000\n"
                                        "customer_id: must have 1 to 64 characters, and no control characters\n"
                                        "amount_minor: must be from 0 to 1000000000000\n"
                                        "currency: must be an ISO 4217 code, such as KRW\n"
                                        "store_id: must have 1 to 64 characters, and no control characters\n"
                                        "pickup_time_ms: must be a time from 1970 to 9999\n"
                                        "client_reference: must have at most 64 characters, and no control characters\n"
                                        "pay_timeout_ms: must be from 0 to 86400000\n"
                                        "accept_timeout_ms: must be from 0 to 31536000000");
  decider_given(&it, &cafe_order_drafted_type, &drafted);
  decider_when(&it, &cafe_place_order_type, &order);
  assert_string_equal(decider_said(&it), "refused:invalid");
  decider_given(&it, &cafe_ordered_type, &ordered);
  decider_when(&it, &cafe_place_order_type, &order);
  assert_string_equal(decider_said(&it), "unchanged");
  decider_deinit(&it);
}

static void a_retry_moves_the_wait_on_and_never_back(void **unused) {
  decider it;
  decider_init(&it, &cafe_order_aggregate);
  decider_do(&it, &cafe_place_order_type, &place);
  it.now_ms = 1300;
  decider_do(&it, &cafe_place_order_type, &place);
  assert_int_equal(((const cafe_draft_claimed *)it.last_data)->wait_until_ms, 1900);
  decider_do(&it, &cafe_place_order_type, &(cafe_place_order){LINES, .pay_timeout_ms = 1});
  assert_int_equal(((const cafe_draft_claimed *)it.last_data)->wait_until_ms, 1900);
  decider_do(&it, &cafe_unclaim_draft_type, &(cafe_unclaim_draft){1600});
  assert_string_equal(decider_said(&it), "unchanged");
  decider_do(&it, &cafe_unclaim_draft_type, &(cafe_unclaim_draft){2000});
  assert_string_equal(decider_said(&it), "accepted DraftUnclaimed");
  assert_int_equal(((const cafe_draft_unclaimed *)it.last_data)->wait_until_ms, 1900);
  it.now_ms = 20000;
  decider_do(&it, &cafe_place_order_type, &place);
  assert_string_equal(decider_said(&it), "pending DraftClaimed");
  decider_do(&it, &cafe_establish_order_type, &(cafe_establish_order){9000});
  assert_string_equal(decider_said(&it), "accepted Ordered");
  decider_deinit(&it);
}

static void a_dropped_draft_tells_payment_what_to_cancel(void **unused) {
  decider it;
  decider_init(&it, &cafe_order_aggregate);
  decider_given(&it, &cafe_order_drafted_type, &drafted);
  decider_do(&it, &cafe_drop_draft_type, &(cafe_drop_draft){CAFE_DROP_EXPIRED, 1600});
  const cafe_draft_dropped *dropped = it.last_data;
  assert_int_equal(dropped->reason, CAFE_DROP_EXPIRED);
  assert_int_equal(dropped->amount_minor, 9000);
  assert_true(cafe_slice_equal(dropped->currency, cafe_text("KRW")));
  assert_true(cafe_slice_equal(dropped->customer_id, cafe_text("cdgri")));
  assert_int_equal(((const cafe_order *)it.state)->dropped, CAFE_DROP_EXPIRED);
  decider_deinit(&it);
}

/* ---- statuses ---- */

static void expect_status(const decider_step *given, cafe_order_status progress, cafe_order_status status) {
  decider it;
  decider_init(&it, &cafe_order_aggregate);
  for (; given->type; given++) {
    decider_given(&it, given->type, given->data);
  }
  assert_int_equal(((const cafe_order *)it.state)->progress, progress);
  assert_int_equal(((const cafe_order *)it.state)->status, status);
  decider_deinit(&it);
}

#define GIVEN(...)                                                                                                     \
  (const decider_step[]) {                                                                                             \
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
  expect_status(GIVEN(ORDERED, CUSTOMER, {&cafe_order_canceled_type, &canceled}), ordered_, CAFE_ORDER_CANCELED);
  expect_status(GIVEN(ORDERED, CUSTOMER, {&cafe_order_rejected_type, &rejected}), ordered_, CAFE_ORDER_REJECTED);
}

static void a_refused_cancel_names_the_status_that_stands_again(void **unused) {
  decider it;
  decider_init(&it, &cafe_order_aggregate);
  const decider_step *step = GIVEN(ORDERED, DEADLINE, ACCEPTED);
  for (; step->type; step++) {
    decider_given(&it, step->type, step->data);
  }
  decider_when(&it, &cafe_refuse_cancel_type, &(cafe_refuse_cancel){CAFE_CANCEL_BY_DEADLINE});
  assert_int_equal(((const cafe_cancel_rejected *)it.last_data)->by, CAFE_CANCEL_BY_DEADLINE);
  assert_int_equal(((const cafe_cancel_rejected *)it.last_data)->status, CAFE_ORDER_ACCEPTED);
  decider_given(&it, &cafe_preparation_started_type, &started);
  decider_do(&it, &cafe_request_cancel_type, &(cafe_request_cancel){.by = CAFE_CANCEL_BY_CUSTOMER});
  assert_int_equal(((const cafe_cancel_rejected *)it.last_data)->by, CAFE_CANCEL_BY_CUSTOMER);
  assert_int_equal(((const cafe_cancel_rejected *)it.last_data)->status, CAFE_ORDER_PREPARING);
  const cafe_order *order = it.state;
  assert_int_equal(order->status, CAFE_ORDER_PREPARING);
  assert_false(order->cancel_by_deadline);
  assert_true(order->cancel_refused);
  decider_deinit(&it);
}

/* The customer waits for his own answer, so the deadline's must not look like it. */
static void the_deadlines_refusal_is_no_answer_to_a_customer_who_waits(void **unused) {
  decider it;
  decider_init(&it, &cafe_order_aggregate);
  const decider_step *step = GIVEN(ORDERED, DEADLINE, CUSTOMER, ACCEPTED);
  for (; step->type; step++) {
    decider_given(&it, step->type, step->data);
  }
  decider_do(&it, &cafe_refuse_cancel_type, &(cafe_refuse_cancel){CAFE_CANCEL_BY_DEADLINE});
  assert_string_equal(decider_said(&it), "unchanged");
  decider_do(&it, &cafe_confirm_cancel_type, &(cafe_confirm_cancel){CAFE_CANCEL_BY_CUSTOMER});
  assert_string_equal(decider_said(&it), "accepted OrderCanceled");
  decider_deinit(&it);
}

static void a_cancel_request_is_whole_for_a_store_without_the_ticket(void **unused) {
  decider it;
  decider_init(&it, &cafe_order_aggregate);
  decider_given(&it, &cafe_order_drafted_type, &drafted);
  decider_given(&it, &cafe_ordered_type, &ordered);
  cafe_request_cancel request = {CAFE_CANCEL_BY_CUSTOMER, cafe_text("too slow")};
  decider_when(&it, &cafe_request_cancel_type, &request);
  const cafe_cancel_requested *made = it.last_data;
  assert_int_equal(made->by, CAFE_CANCEL_BY_CUSTOMER);
  assert_true(cafe_slice_equal(made->reason, cafe_text("too slow")));
  assert_true(cafe_slice_equal(made->product_id, cafe_text("latte")));
  assert_int_equal(made->amount_minor, 9000);
  cafe_reject_order reject = {CAFE_REJECT_GAVE_UP, cafe_text("no beans")};
  decider_when(&it, &cafe_reject_order_type, &reject);
  const cafe_order_rejected *end = it.last_data;
  assert_int_equal(end->by, CAFE_REJECT_GAVE_UP);
  assert_true(cafe_slice_equal(end->reason, cafe_text("no beans")));
  assert_int_equal(end->amount_minor, 9000);
  assert_true(cafe_slice_equal(end->customer_id, cafe_text("cdgri")));
  decider_deinit(&it);
}

/* ---- what can't be asked ---- */

static const decider_step wrong[] = {
    {&cafe_request_cancel_type, &(cafe_request_cancel){.by = (cafe_cancel_by)0}},
    {&cafe_request_cancel_type, &(cafe_request_cancel){.by = (cafe_cancel_by)3}},
    {&cafe_request_cancel_type, &(cafe_request_cancel){CAFE_CANCEL_BY_CUSTOMER, {"\n", 1}}},
    {&cafe_confirm_cancel_type, &(cafe_confirm_cancel){(cafe_cancel_by)0}},
    {&cafe_refuse_cancel_type, &(cafe_refuse_cancel){(cafe_cancel_by)0}},
    {&cafe_reject_order_type, &(cafe_reject_order){.by = (cafe_reject_by)0}},
    {&cafe_mark_order_type, &(cafe_mark_order){(cafe_order_mark)0}},
    {&cafe_mark_order_type, &(cafe_mark_order){(cafe_order_mark)5}},
    {&cafe_drop_draft_type, &(cafe_drop_draft){(cafe_drop_reason)0, 0}},
    {&cafe_drop_draft_type, &(cafe_drop_draft){(cafe_drop_reason)6, 0}},
    {NULL, NULL},
};

static void commands_with_values_that_are_none_are_invalid(void **unused) {
  decider it;
  decider_init(&it, &cafe_order_aggregate);
  decider_given(&it, &cafe_order_drafted_type, &drafted);
  decider_given(&it, &cafe_ordered_type, &ordered);
  for (const decider_step *step = wrong; step->type; step++) {
    decider_when(&it, step->type, step->data);
    assert_string_equal(decider_said(&it), "refused:invalid");
  }
  char reason[202];
  memset(reason, 'x', sizeof(reason));
  cafe_request_cancel request = {CAFE_CANCEL_BY_CUSTOMER, {reason, 201}};
  decider_when(&it, &cafe_request_cancel_type, &request);
  assert_string_equal(decider_said(&it), "refused:invalid");
  request.reason.size = 200;
  decider_when(&it, &cafe_request_cancel_type, &request);
  assert_string_equal(decider_said(&it), "pending CancelRequested");
  decider_deinit(&it);
}

static void commands_and_events_of_others_change_nothing(void **unused) {
  decider it;
  decider_init(&it, &cafe_order_aggregate);
  decider_when(&it, &cafe_ordered_type, &ordered);
  assert_string_equal(decider_said(&it), "refused:unsupported");
  cafe_event event = {.type = &cafe_place_order_type, .data = &place};
  assert_int_equal(cafe_order_aggregate.evolve(it.state, &event, it.arena, NULL), CAFE_OK);
  assert_int_equal(((const cafe_order *)it.state)->draft, CAFE_DRAFT_NONE);
  decider_deinit(&it);
}

static void statuses_have_names(void **unused) {
  assert_null(cafe_order_status_name(CAFE_ORDER_NONE));
  assert_string_equal(cafe_order_status_name(CAFE_ORDER_ORDERED), "Ordered");
  assert_string_equal(cafe_order_status_name(CAFE_ORDER_COFFEE_DONE), "CoffeeDone");
  assert_string_equal(cafe_order_status_name(CAFE_ORDER_REJECTED), "Rejected");
  assert_null(cafe_order_status_name((cafe_order_status)9));
}

static void every_table_is_sound_and_no_event_holds_a_secret(void **unused) {
  decider_check_schemas(&cafe_order_aggregate);
}

static void without_memory_it_says_so(void **unused) {
  decider_starve(&cafe_order_aggregate, GIVEN(ORDERED, CUSTOMER));
}

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
