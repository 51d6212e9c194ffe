/* SPDX-License-Identifier: Apache-2.0 */

/* The ticket's rules: every command in every state, then what the events hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/fulfillment.h"
#include "given_kit.h"

#define LINES                                                                                                          \
  .product_id = {"latte", 5}, .qty = 2, .customer_id = {"cdgri", 5}, .amount_minor = 9000, .currency = {"KRW", 3},     \
  .store_id = {"1", 1}, .pickup_time_ms = 7, .client_reference = {"r", 1}

static const cafe_ticket_received received = {LINES};
static const cafe_ticket_accepted accepted;
static const cafe_ticket_rejected rejected;
static const cafe_ticket_started started;
static const cafe_ticket_ready ready;
static const cafe_ticket_picked_up picked_up;
static const cafe_ticket_failed failed;
static const cafe_ticket_withdrawn withdrawn = {LINES, .by = CAFE_CANCEL_BY_CUSTOMER};
static const cafe_ticket_withdrawn tombstone = {LINES, .by = CAFE_CANCEL_BY_CUSTOMER, .is_tombstone = true};

#define IS(stem)                                                                                                       \
  { &cafe_ticket_##stem##_type, &(stem), sizeof(stem) }
#define RECEIVED IS(received)
#define ACCEPTED RECEIVED, IS(accepted)
#define STARTED  ACCEPTED, IS(started)
#define READY    STARTED, IS(ready)

static const cafe_receive_ticket receive = {LINES};
static const cafe_withdraw_ticket by_customer = {LINES, .by = CAFE_CANCEL_BY_CUSTOMER};
static const cafe_withdraw_ticket by_deadline = {LINES, .by = CAFE_CANCEL_BY_DEADLINE};

#define ACT(action) CAFE_FACT(cafe_act_on_ticket_type, cafe_act_on_ticket, action, {NULL, 0})

static const cafe_fact commands[] = {
    {&cafe_receive_ticket_type, &receive, sizeof(receive)},
    {&cafe_withdraw_ticket_type, &by_customer, sizeof(by_customer)},
    {&cafe_withdraw_ticket_type, &by_deadline, sizeof(by_deadline)},
    ACT(CAFE_TICKET_ACCEPT),
    ACT(CAFE_TICKET_REJECT),
    ACT(CAFE_TICKET_START),
    ACT(CAFE_TICKET_FINISH),
    ACT(CAFE_TICKET_HAND_OUT),
    ACT(CAFE_TICKET_FAIL),
    {NULL, NULL, 0},
};

#define NO "!wrong-state"

/* In this order: receive | withdraw for the customer | for the deadline | accept | reject | start | ready | pickup |
 * fail. */
static const cafe_given_case rows[] = {
    {"nothing", NULL,
     "TicketReceived | TicketWithdrawn | TicketWithdrawn | !not-found | !not-found | !not-found | !not-found | "
     "!not-found | !not-found"},
    {"Received", CAFE_FACTS(RECEIVED),
     "- | TicketWithdrawn | TicketWithdrawn | TicketAccepted | TicketRejected | " NO " | " NO " | " NO " | " NO},
    {"Accepted", CAFE_FACTS(ACCEPTED), "- | TicketWithdrawn | - | - | " NO " | TicketStarted | " NO " | " NO " | " NO},
    {"Preparing", CAFE_FACTS(STARTED), "- | - | - | " NO " | " NO " | - | TicketReady | " NO " | TicketFailed"},
    {"Ready", CAFE_FACTS(READY), "- | - | - | " NO " | " NO " | " NO " | - | TicketPickedUp | TicketFailed"},
    {"PickedUp", CAFE_FACTS(READY, IS(picked_up)), "- | - | - | " NO " | " NO " | " NO " | " NO " | - | " NO},
    {"Rejected", CAFE_FACTS(RECEIVED, IS(rejected)), "- | - | - | " NO " | - | " NO " | " NO " | " NO " | " NO},
    {"Failed", CAFE_FACTS(STARTED, IS(failed)), "- | - | - | " NO " | " NO " | " NO " | " NO " | " NO " | -"},
    {"Withdrawn", CAFE_FACTS(RECEIVED, IS(withdrawn)), "- | - | - | " NO " | " NO " | " NO " | " NO " | " NO " | " NO},
    {"a tombstone", CAFE_FACTS({&cafe_ticket_withdrawn_type, &tombstone, sizeof(tombstone)}),
     "- | - | - | " NO " | " NO " | " NO " | " NO " | " NO " | " NO},
    {NULL, NULL, NULL, {NULL, NULL}},
};

static void every_command_is_answered_in_every_state(void **unused) {
  given_table(&cafe_fulfillment_aggregate, commands, rows);
}

static cafe_given *it;

static int begin(void **unused) {
  it = given_begin(&cafe_fulfillment_aggregate);
  return 0;
}

static int end(void **unused) {
  given_end(it);
  return 0;
}

static void a_ticket_holds_the_orders_lines(void **unused) {
  cafe_given_command(it, &cafe_receive_ticket_type, &receive, sizeof(receive));
  const cafe_ticket_received *made = cafe_given_data(it, &cafe_ticket_received_type);
  assert_true(cafe_slice_equal(made->product_id, cafe_text("latte")));
  assert_int_equal(made->qty, 2);
  assert_true(cafe_slice_equal(made->store_id, cafe_text("1")));
  assert_int_equal(made->pickup_time_ms, 7);
  assert_true(cafe_slice_equal(made->client_reference, cafe_text("r")));
}

static void a_withdrawal_says_who_asked_and_whether_the_ticket_was_there(void **unused) {
  cafe_when(it, &cafe_withdraw_ticket_type, &by_deadline, sizeof(by_deadline));
  const cafe_ticket_withdrawn *made = cafe_given_data(it, &cafe_ticket_withdrawn_type);
  assert_int_equal(made->by, CAFE_CANCEL_BY_DEADLINE);
  assert_true(made->is_tombstone);
  assert_true(cafe_slice_equal(made->product_id, cafe_text("latte")));
  cafe_given_command(it, &cafe_receive_ticket_type, &receive, sizeof(receive));
  cafe_given_command(it, &cafe_withdraw_ticket_type, &by_customer, sizeof(by_customer));
  made = cafe_given_data(it, &cafe_ticket_withdrawn_type);
  assert_int_equal(made->by, CAFE_CANCEL_BY_CUSTOMER);
  assert_false(made->is_tombstone);
  assert_int_equal(((const cafe_ticket *)cafe_given_state(it))->status, CAFE_TICKET_WITHDRAWN);
}

static void a_store_that_says_no_may_say_why(void **unused) {
  cafe_act_on_ticket act = {CAFE_TICKET_REJECT, cafe_text("no beans")};
  cafe_given_event(it, &cafe_ticket_received_type, &received, sizeof(received));
  cafe_when(it, &cafe_act_on_ticket_type, &act, sizeof(act));
  assert_true(cafe_slice_equal(((const cafe_ticket_rejected *)cafe_given_data(it, &cafe_ticket_rejected_type))->reason,
                               cafe_text("no beans")));
  cafe_given_event(it, &cafe_ticket_accepted_type, &accepted, sizeof(accepted));
  cafe_given_event(it, &cafe_ticket_started_type, &started, sizeof(started));
  act.action = CAFE_TICKET_FAIL;
  cafe_when(it, &cafe_act_on_ticket_type, &act, sizeof(act));
  assert_true(cafe_slice_equal(((const cafe_ticket_failed *)cafe_given_data(it, &cafe_ticket_failed_type))->reason,
                               cafe_text("no beans")));
}

static void a_refusal_says_what_the_ticket_is(void **unused) {
  cafe_given_event(it, &cafe_ticket_received_type, &received, sizeof(received));
  cafe_when(it, CAFE_DATA(cafe_act_on_ticket_type, cafe_act_on_ticket, .action = CAFE_TICKET_FINISH));
  assert_string_equal(cafe_given_text(it), "a ticket that is Received can't take: ready");
}

static void commands_with_values_that_are_none_are_invalid(void **unused) {
  cafe_withdraw_ticket withdraw = {LINES, .by = (cafe_cancel_by)0};
  cafe_when(it, &cafe_withdraw_ticket_type, &withdraw, sizeof(withdraw));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  cafe_given_event(it, &cafe_ticket_received_type, &received, sizeof(received));
  cafe_act_on_ticket act = {(cafe_ticket_action)0, {NULL, 0}};
  cafe_when(it, &cafe_act_on_ticket_type, &act, sizeof(act));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  act.action = (cafe_ticket_action)7;
  cafe_when(it, &cafe_act_on_ticket_type, &act, sizeof(act));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
  act = (cafe_act_on_ticket){CAFE_TICKET_ACCEPT, cafe_text("\n")};
  cafe_when(it, &cafe_act_on_ticket_type, &act, sizeof(act));
  assert_string_equal(cafe_given_said(it), "refused:invalid");
}

static void commands_and_events_of_others_change_nothing(void **unused) {
  given_refuses_unlisted(&cafe_fulfillment_aggregate, &cafe_ticket_received_type, &received, "unsupported");
  given_ignores(&cafe_fulfillment_aggregate, &cafe_receive_ticket_type, &receive);
}

static void every_table_is_sound_and_no_event_holds_a_secret(void **unused) {
  given_end(given_begin(&cafe_fulfillment_aggregate));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_command_is_answered_in_every_state),
      TEST(a_ticket_holds_the_orders_lines),
      TEST(a_withdrawal_says_who_asked_and_whether_the_ticket_was_there),
      TEST(a_store_that_says_no_may_say_why),
      TEST(a_refusal_says_what_the_ticket_is),
      TEST(commands_with_values_that_are_none_are_invalid),
      TEST(commands_and_events_of_others_change_nothing),
      cmocka_unit_test(every_table_is_sound_and_no_event_holds_a_secret),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
