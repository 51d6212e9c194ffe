/* SPDX-License-Identifier: Apache-2.0 */

/* The order saga on its own: what it asks at each point, what it forgets, and how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/fulfillment.h"
#include "cafe/payment.h"
#include "failing_alloc.h"
#include "saga/coordinator.h"

/* ---- a saga under the hand ---- */

typedef struct driver {
  cafe_arena *arena;
  saga_plan *plan;
  saga_instance *saga;
  uint64_t version;
  int64_t now_ms;
  saga_asks asks; /* of the last input */
  char said[256];
} driver;

static driver it;

static int begin(void **unused) {
  memset(&it, 0, sizeof(it));
  it.now_ms = 1000;
  it.arena = cafe_arena_create(NULL);
  cafe_err err;
  assert_int_equal(saga_plan_create(&it.plan, &cafe_order_saga, NULL, &err), CAFE_OK);
  it.saga = saga_instance_create(it.plan, 1041, it.arena);
  assert_non_null(it.saga);
  return 0;
}

static int end(void **unused) {
  saga_plan_destroy(it.plan);
  cafe_arena_destroy(it.arena);
  return 0;
}

static const char *said(void) {
  it.said[0] = '\0';
  for (const saga_ask *ask = it.asks.first; ask; ask = ask->next) {
    size_t size = strlen(it.said);
    assert_int_equal(ask->command->key, 1041);
    snprintf(it.said + size, sizeof(it.said) - size, "%s%s", size ? " " : "", ask->command->type->name);
  }
  return it.said;
}

static const char *hear_from(const cafe_schema *type, const void *data, const cafe_command *cause) {
  cafe_event event = {.type = type, .key = 1041, .version = ++it.version, .time_ms = it.now_ms, .data = data};
  bool changed;
  cafe_err err;
  assert_int_equal(saga_signal(it.saga, &event, cause, it.now_ms, it.arena, &it.asks, &changed, &err), CAFE_OK);
  return said();
}

#define HEAR(stem, ...) hear_from(&cafe_##stem##_type, &(cafe_##stem){__VA_ARGS__}, NULL)

static const char *wait_until(int64_t now_ms) {
  bool changed;
  cafe_err err;
  it.now_ms = now_ms;
  assert_int_equal(saga_tick(it.saga, now_ms, it.arena, &it.asks, &changed, &err), CAFE_OK);
  return said();
}

static const char *answered(int code, cafe_verdict verdict) {
  const saga_ask ask = *it.asks.first;
  bool changed;
  cafe_err err;
  assert_int_equal(saga_answer(it.saga, ask.kind, ask.step, ask.attempt, code, verdict, it.now_ms, 0, it.arena,
                               &it.asks, &changed, &err),
                   CAFE_OK);
  return said();
}

static const void *asked(void) { return it.asks.last->command->data; }

static saga_phase phase(void) { return saga_instance_phase(it.saga); }

/* What would be written now. */
static saga_row row(void) {
  saga_row row;
  cafe_err err;
  assert_int_equal(saga_save(&row, it.saga, it.now_ms, it.arena, &err), CAFE_OK);
  return row;
}

static bool knows_token(void) {
  cafe_slice data = row().data;
  for (size_t i = 0; i + 12 <= data.size; i++) {
    if (memcmp(data.data + i, "secret-token", 12) == 0) {
      return true;
    }
  }
  return false;
}

static const cafe_place_order place = {.payment_token = {"secret-token", 12}};
static const cafe_command placing = {&cafe_place_order_type, 1041, 1000, &place};

static const char *draft(void) {
  cafe_order_drafted drafted = {.amount_minor = 4500, .wait_until_ms = 1600, .accept_timeout_ms = 5000};
  drafted.currency = cafe_text("KRW");
  drafted.customer_id = cafe_text("cdgri");
  return hear_from(&cafe_order_drafted_type, &drafted, &placing);
}

static void ordered(void) {
  draft();
  HEAR(payment_approved, .amount_minor = 4500);
  HEAR(ordered, .qty = 1);
}

static void received(void) {
  ordered();
  HEAR(ticket_received, .qty = 1);
}

static void accepted(void) {
  received();
  HEAR(ticket_accepted, false);
}

static void started(void) {
  accepted();
  HEAR(ticket_started, false);
}

/* ---- the definition ---- */

static void the_definition_is_sound(void **unused) {
  cafe_err err = {0};
  int code = cafe_saga_check(&cafe_order_saga, &err);
  assert_string_equal(err.text, "");
  assert_int_equal(code, CAFE_OK);
}

/* ---- paying ---- */

static void a_draft_is_authorized_with_its_token_within_its_wait(void **unused) {
  assert_string_equal(draft(), "AuthorizePayment");
  const cafe_authorize_payment *ask = asked();
  assert_int_equal(ask->amount_minor, 4500);
  assert_true(cafe_slice_equal(ask->currency, cafe_text("KRW")));
  assert_true(cafe_slice_equal(ask->customer_id, cafe_text("cdgri")));
  assert_true(cafe_slice_equal(ask->payment_token, cafe_text("secret-token")));
  assert_int_equal(it.asks.last->deadline_ms, 1600);
  assert_true(knows_token());
}

static void a_draft_that_nobody_placed_has_no_token(void **unused) {
  cafe_order_drafted drafted = {.amount_minor = 4500, .wait_until_ms = 1600};
  cafe_drop_draft other = {CAFE_DROP_ABANDONED, 0};
  hear_from(&cafe_order_drafted_type, &drafted, &(cafe_command){&cafe_drop_draft_type, 1041, 1000, &other});
  assert_int_equal(((const cafe_authorize_payment *)asked())->payment_token.size, 0);
  end(NULL);
  begin(NULL);
  hear_from(&cafe_order_drafted_type, &drafted, NULL);
  assert_int_equal(((const cafe_authorize_payment *)asked())->payment_token.size, 0);
}

static void a_retry_asks_again_with_its_own_token_and_wait(void **unused) {
  draft();
  cafe_place_order retry = {.payment_token = cafe_text("other-token")};
  cafe_draft_claimed claimed = {2000};
  cafe_command again = {&cafe_place_order_type, 1041, 1000, &retry};
  assert_string_equal(hear_from(&cafe_draft_claimed_type, &claimed, &again), "AuthorizePayment");
  assert_true(cafe_slice_equal(((const cafe_authorize_payment *)asked())->payment_token, cafe_text("other-token")));
  assert_int_equal(it.asks.last->deadline_ms, 2000);
  assert_string_equal(wait_until(1600), "");
  assert_string_equal(wait_until(2000), "UnclaimDraft");
}

static void an_approval_establishes_the_order_and_erases_the_token(void **unused) {
  draft();
  assert_string_equal(HEAR(payment_approved, .amount_minor = 4500), "EstablishOrder");
  assert_int_equal(((const cafe_establish_order *)asked())->approved_minor, 4500);
  assert_false(knows_token());
  assert_string_equal(HEAR(ordered, .qty = 1), "");
  assert_true(cafe_slice_equal(row().steps, cafe_text("ticket")));
}

static void expect_drop(const char *said_then, cafe_drop_reason reason) {
  assert_string_equal(said_then, "DropDraft");
  const cafe_drop_draft *drop = asked();
  assert_int_equal(drop->reason, reason);
  assert_int_equal(drop->wait_until_ms, 0);
  assert_false(knows_token());
}

static void what_settles_the_authorization_without_approval_drops_the_draft(void **unused) {
  draft();
  expect_drop(HEAR(payment_declined, .amount_minor = 4500), CAFE_DROP_DECLINED);
  assert_string_equal(HEAR(draft_dropped, .reason = CAFE_DROP_DECLINED), "");
  assert_int_equal(phase(), SAGA_UNDONE);
  end(NULL);
  begin(NULL);
  draft();
  expect_drop(HEAR(authorization_failed, {NULL, 0}), CAFE_DROP_UNAVAILABLE);
  HEAR(draft_dropped, .reason = CAFE_DROP_UNAVAILABLE);
  assert_int_equal(phase(), SAGA_UNDONE);
  end(NULL);
  begin(NULL);
  draft();
  expect_drop(HEAR(payment_failed, .operation = CAFE_PAYMENT_AUTHORIZE), CAFE_DROP_UNKNOWN);
  HEAR(draft_dropped, .reason = CAFE_DROP_UNKNOWN);
  assert_int_equal(phase(), SAGA_UNDONE);
  end(NULL);
  begin(NULL);
  draft();
  assert_string_equal(HEAR(payment_canceled, .is_tombstone = true), "DropDraft");
  assert_int_equal(((const cafe_drop_draft *)asked())->reason, CAFE_DROP_UNAVAILABLE);
}

static void a_dropped_draft_waits_for_its_payments_end(void **unused) {
  draft();
  assert_string_equal(HEAR(draft_dropped, .reason = CAFE_DROP_ABANDONED), "");
  assert_false(knows_token());
  assert_int_equal(phase(), SAGA_COMPENSATING);
  assert_string_equal(HEAR(payment_approved, .amount_minor = 4500), "");
  assert_int_equal(phase(), SAGA_COMPENSATING);
  HEAR(payment_canceled, .is_tombstone = false);
  assert_int_equal(phase(), SAGA_UNDONE);
}

static void payment_that_is_surely_down_drops_the_draft(void **unused) {
  draft();
  assert_string_equal(answered(CAFE_UNAVAILABLE, (cafe_verdict)0), "");
  assert_string_equal(wait_until(1000), "AuthorizePayment");
  it.now_ms = 1600;
  assert_string_equal(answered(CAFE_UNAVAILABLE, (cafe_verdict)0), "DropDraft");
  assert_int_equal(((const cafe_drop_draft *)asked())->reason, CAFE_DROP_UNAVAILABLE);
}

static void payment_that_may_have_happened_only_unclaims_it(void **unused) {
  draft();
  it.now_ms = 1600;
  assert_string_equal(answered(CAFE_TIMEOUT, (cafe_verdict)0), "");
  assert_string_equal(wait_until(1600), "UnclaimDraft");
  assert_int_equal(((const cafe_unclaim_draft *)asked())->wait_until_ms, 1600);
  HEAR(draft_unclaimed, 1600);
  assert_string_equal(wait_until(31599), "");
  assert_string_equal(wait_until(31600), "DropDraft");
  assert_int_equal(((const cafe_drop_draft *)asked())->reason, CAFE_DROP_UNKNOWN);
  assert_int_equal(((const cafe_drop_draft *)asked())->wait_until_ms, 1600);
}

static void an_approval_that_comes_late_is_kept_for_a_retry(void **unused) {
  draft();
  wait_until(1600);
  assert_string_equal(HEAR(payment_approved, .amount_minor = 4500), "EstablishOrder");
  assert_string_equal(answered(CAFE_OK, CAFE_UNCHANGED), "");
  cafe_draft_claimed claimed = {6000};
  assert_string_equal(hear_from(&cafe_draft_claimed_type, &claimed, &placing), "EstablishOrder");
  assert_false(knows_token());
  assert_string_equal(wait_until(35999), "UnclaimDraft");
  assert_string_equal(wait_until(36000), "DropDraft");
  assert_int_equal(((const cafe_drop_draft *)asked())->reason, CAFE_DROP_EXPIRED);
  assert_string_equal(HEAR(draft_dropped, .reason = CAFE_DROP_EXPIRED), "");
  HEAR(payment_canceled, .is_tombstone = false);
  assert_int_equal(phase(), SAGA_UNDONE);
}

/* ---- the store ---- */

static void an_order_ends_when_it_is_captured_and_picked_up(void **unused) {
  for (int captured_first = 0; captured_first < 2; captured_first++) {
    started();
    assert_true(cafe_slice_equal(row().steps, cafe_text("await_ready+capture")));
    if (captured_first) {
      HEAR(payment_captured, .amount_minor = 4500);
    }
    HEAR(ticket_ready, false);
    HEAR(ticket_picked_up, false);
    assert_int_equal(phase(), captured_first ? SAGA_ENDED : SAGA_RUNNING);
    HEAR(payment_captured, .amount_minor = 4500);
    assert_int_equal(phase(), SAGA_ENDED);
    end(NULL);
    begin(NULL);
  }
}

static void a_store_that_gives_up_ends_it_when_the_money_is_back(void **unused) {
  started();
  HEAR(payment_captured, .amount_minor = 4500);
  HEAR(ticket_ready, false);
  assert_string_equal(HEAR(ticket_failed, {NULL, 0}), "");
  assert_int_equal(phase(), SAGA_RUNNING);
  assert_true(cafe_slice_equal(row().steps, cafe_text("give_back")));
  HEAR(payment_refunded, .amount_minor = 4500);
  assert_int_equal(phase(), SAGA_ENDED);
  end(NULL);
  begin(NULL);
  started();
  HEAR(ticket_failed, {NULL, 0});
  HEAR(payment_canceled, .is_tombstone = false);
  assert_int_equal(phase(), SAGA_ENDED);
}

static void a_store_that_rejects_leaves_the_rest_to_policy(void **unused) {
  received();
  assert_string_equal(HEAR(ticket_rejected, {NULL, 0}), "");
  assert_int_equal(phase(), SAGA_COMPENSATING);
  HEAR(order_rejected, .by = CAFE_REJECT_REFUSED);
  assert_int_equal(phase(), SAGA_COMPENSATING);
  HEAR(payment_canceled, .is_tombstone = false);
  assert_int_equal(phase(), SAGA_UNDONE);
}

static void the_deadline_runs_from_the_tickets_arrival(void **unused) {
  it.now_ms = 1000;
  ordered();
  it.now_ms = 3000;
  HEAR(ticket_received, .qty = 1);
  assert_string_equal(wait_until(7999), "");
  assert_string_equal(wait_until(8000), "RequestCancel");
  assert_int_equal(((const cafe_request_cancel *)asked())->by, CAFE_CANCEL_BY_DEADLINE);
  HEAR(cancel_requested, .by = CAFE_CANCEL_BY_DEADLINE);
  assert_int_equal(phase(), SAGA_GUARDING);
}

static void nobody_asks_once_the_store_has_accepted(void **unused) {
  accepted();
  assert_string_equal(wait_until(1000000), "");
}

/* ---- interrupts ---- */

static void a_withdrawn_ticket_confirms_the_cancel_and_then_the_money_comes_back(void **unused) {
  accepted();
  assert_string_equal(HEAR(cancel_requested, .by = CAFE_CANCEL_BY_CUSTOMER), "");
  assert_string_equal(HEAR(ticket_withdrawn, .by = CAFE_CANCEL_BY_CUSTOMER), "ConfirmCancel");
  assert_int_equal(((const cafe_confirm_cancel *)asked())->by, CAFE_CANCEL_BY_CUSTOMER);
  HEAR(order_canceled, .by = CAFE_CANCEL_BY_CUSTOMER);
  assert_int_equal(phase(), SAGA_COMPENSATING);
  HEAR(payment_canceled, .is_tombstone = false);
  assert_int_equal(phase(), SAGA_UNDONE);
}

static void a_start_refuses_the_cancel_and_goes_on(void **unused) {
  accepted();
  HEAR(cancel_requested, .by = CAFE_CANCEL_BY_CUSTOMER);
  assert_string_equal(HEAR(ticket_started, false), "RefuseCancel");
  assert_int_equal(((const cafe_refuse_cancel *)asked())->by, CAFE_CANCEL_BY_CUSTOMER);
  assert_true(cafe_slice_equal(row().steps, cafe_text("await_ready+capture")));
}

static void a_cancel_after_the_start_is_refused_at_once(void **unused) {
  started();
  assert_string_equal(HEAR(cancel_requested, .by = CAFE_CANCEL_BY_CUSTOMER), "RefuseCancel");
}

static void an_acceptance_refuses_the_deadline_but_not_the_customer(void **unused) {
  received();
  HEAR(cancel_requested, .by = CAFE_CANCEL_BY_DEADLINE);
  HEAR(cancel_requested, .by = CAFE_CANCEL_BY_CUSTOMER);
  assert_string_equal(HEAR(ticket_accepted, false), "RefuseCancel");
  assert_int_equal(((const cafe_refuse_cancel *)asked())->by, CAFE_CANCEL_BY_DEADLINE);
  assert_int_equal(phase(), SAGA_GUARDING);
  assert_string_equal(HEAR(ticket_withdrawn, .by = CAFE_CANCEL_BY_CUSTOMER), "ConfirmCancel");
}

static void a_customer_who_waited_behind_the_deadline_is_not_refused_when_it_wins(void **unused) {
  received();
  HEAR(cancel_requested, .by = CAFE_CANCEL_BY_DEADLINE);
  HEAR(cancel_requested, .by = CAFE_CANCEL_BY_CUSTOMER);
  assert_string_equal(HEAR(ticket_withdrawn, .by = CAFE_CANCEL_BY_DEADLINE), "ConfirmCancel");
  assert_int_equal(((const cafe_confirm_cancel *)asked())->by, CAFE_CANCEL_BY_DEADLINE);
}

static void a_rejection_is_the_answer_to_every_cancel(void **unused) {
  received();
  HEAR(cancel_requested, .by = CAFE_CANCEL_BY_CUSTOMER);
  HEAR(cancel_requested, .by = CAFE_CANCEL_BY_DEADLINE);
  assert_string_equal(HEAR(ticket_rejected, {NULL, 0}), "");
  assert_int_equal(phase(), SAGA_COMPENSATING);
}

/* ---- what an earlier version left ---- */

/* Rows as version 1 of the saga wrote them when it was new: where it stood, and its columns. They are never changed. */
typedef struct left_row {
  saga_phase phase;
  const char *steps, *state, *data;
} left_row;

static const left_row at_authorize = {SAGA_RUNNING, "authorize",
                                      "9501c0c0c4080792ce9c2fc76301c4130792cee150c94f070a95ce873013b00101c001",
                                      "97cd0411cd1194a34b5257a56364677269ac7365637265742d746f6b656ecd0640cd1388"};
static const left_row at_ticket = {SAGA_RUNNING, "ticket",
                                   "9501c0c0c4180792ce9c2fc763010792ce2edfe586020792ce17b4187603c4200792cee150c94f0707"
                                   "92ce873013b0070792ceb3af5adc070792ce6517b3e501",
                                   "9dcd0411cd1194a34b5257a56364677269c0cd0640cd1388c0c0c3c3cd1194c3"};
static const left_row at_acceptance = {
    SAGA_RUNNING, "await_accepted",
    "9501c0c0c4200792ce9c2fc763010792ce2edfe586020792ce17b41876030792ceb1ee551204c4280792cee150c94f070792ce873013b007"
    "0792ceb3af5adc070792ce6517b3e5070792ceea9f5e0701",
    "9dcd0411cd1194a34b5257a56364677269c0cd0640cd1388cd1770c0c3c3cd1194c3"};
static const left_row at_guard = {
    SAGA_GUARDING, "await_started",
    "9502c0cea4bdaa19c4300792ce9c2fc763010792ce2edfe586020792ce17b41876030792ceb1ee5512040792ce1b1767a0050792ce21f110"
    "f506c4300792cee150c94f070792ce873013b0070792ceb3af5adc070792ce6517b3e5070792ceea9f5e07070792ce9c8604b701",
    "9dcd0411cd1194a34b5257a56364677269c0cd0640cd1388cd1770c0c3c3cd1194c3"};
static const left_row at_capture = {
    SAGA_RUNNING, "await_ready+capture",
    "9501c0c0c4300792ce9c2fc763010792ce2edfe586020792ce17b41876030792ceb1ee5512040792ce1b1767a0050792cef120ce7e06c440"
    "0792cee150c94f070792ce873013b0070792ceb3af5adc070792ce6517b3e5070792ceea9f5e07070792ce9c8604b7070792cefc9819c101"
    "0792ceba0e073501",
    "9dcd0411cd1194a34b5257a56364677269c0cd0640cd1388cd1770c0c3c3cd1194c3"};
static const left_row at_undoing = {
    SAGA_COMPENSATING, "money",
    "9503c0c0c4300792ce9c2fc763010792ce2edfe586020792ceaabbbb15060792ce17b41876030792ceb1ee5512040792ce610c88a705c407"
    "0691cee150c94f",
    "9fcd0411cd1194a34b5257a56364677269c0cd0640cd1388cd1770c0c3c3cd1194c3c0c3"};

static cafe_slice bytes_of(const char *hex) {
  size_t size = strlen(hex) / 2;
  char *bytes = cafe_arena_alloc(it.arena, size + 1);
  assert_non_null(bytes);
  for (size_t i = 0; i < size; i++) {
    const char pair[] = {hex[2 * i], hex[2 * i + 1], '\0'};
    bytes[i] = (char)strtoul(pair, NULL, 16);
  }
  return (cafe_slice){bytes, size};
}

static bool stands_in(const char *steps) { return cafe_slice_equal(row().steps, cafe_text(steps)); }

static void take_up(const left_row *left) {
  saga_row was = {.name = cafe_text("order"), .saga_version = 1, .phase = left->phase};
  cafe_err err = {0};
  was.steps = cafe_text(left->steps);
  was.state = bytes_of(left->state);
  was.data = bytes_of(left->data);
  it.saga = saga_instance_create(it.plan, 1041, it.arena);
  assert_non_null(it.saga);
  if (saga_load(it.saga, &was, &err)) {
    fail_msg("%s: %s", left->steps, err.text);
  }
  it.version = 100;
  assert_int_equal(phase(), left->phase);
  assert_true(stands_in(left->steps));
}

/* C14: a saga that an earlier version left goes on from where it stood. */
static void what_an_earlier_version_left_goes_on(void **unused) {
  take_up(&at_authorize);
  assert_true(knows_token());
  assert_string_equal(HEAR(payment_approved, .amount_minor = 4500), "EstablishOrder");
  assert_int_equal(((const cafe_establish_order *)asked())->approved_minor, 4500);
  take_up(&at_ticket);
  HEAR(ticket_received, .qty = 1);
  assert_true(stands_in("await_accepted"));
  take_up(&at_acceptance);
  HEAR(ticket_accepted, false);
  assert_true(stands_in("await_started"));
  take_up(&at_guard);
  assert_string_equal(HEAR(ticket_withdrawn, .by = CAFE_CANCEL_BY_CUSTOMER), "ConfirmCancel");
  take_up(&at_capture);
  HEAR(payment_captured, .amount_minor = 4500);
  HEAR(ticket_ready, false);
  HEAR(ticket_picked_up, false);
  assert_int_equal(phase(), SAGA_ENDED);
  take_up(&at_undoing);
  HEAR(payment_canceled, .is_tombstone = false);
  assert_int_equal(phase(), SAGA_UNDONE);
}

/* ---- memory ---- */

static int start_with(const cafe_allocator *allocator) {
  cafe_arena *arena = cafe_arena_create(allocator);
  saga_instance *saga = arena ? saga_instance_create(it.plan, 1041, arena) : NULL;
  int code = CAFE_NOMEM;
  if (saga) {
    static char text[20000];
    memset(text, 'x', sizeof(text));
    cafe_order_drafted drafted = {.currency = {text, sizeof(text)}, .customer_id = {"cdgri", 5}};
    cafe_place_order big = {.payment_token = {text, sizeof(text)}};
    cafe_command cause = {&cafe_place_order_type, 1041, 1000, &big};
    cafe_event event = {.type = &cafe_order_drafted_type, .key = 1041, .version = 1, .data = &drafted};
    saga_asks asks;
    bool changed;
    code = saga_signal(saga, &event, &cause, 1000, it.arena, &asks, &changed, NULL);
  }
  cafe_arena_destroy(arena);
  return code;
}

static void without_memory_it_says_so(void **unused) {
  failing_alloc memory;
  int code = CAFE_OK;
  for (size_t n = 1; failing_alloc_begin(&memory, n); n++) {
    code = start_with(&memory.allocator);
    assert_int_equal(code, memory.refused ? CAFE_NOMEM : CAFE_OK);
    failing_alloc_end(&memory);
  }
  assert_int_equal(code, CAFE_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_definition_is_sound),
      TEST(a_draft_is_authorized_with_its_token_within_its_wait),
      TEST(a_draft_that_nobody_placed_has_no_token),
      TEST(a_retry_asks_again_with_its_own_token_and_wait),
      TEST(an_approval_establishes_the_order_and_erases_the_token),
      TEST(what_settles_the_authorization_without_approval_drops_the_draft),
      TEST(a_dropped_draft_waits_for_its_payments_end),
      TEST(payment_that_is_surely_down_drops_the_draft),
      TEST(payment_that_may_have_happened_only_unclaims_it),
      TEST(an_approval_that_comes_late_is_kept_for_a_retry),
      TEST(an_order_ends_when_it_is_captured_and_picked_up),
      TEST(a_store_that_gives_up_ends_it_when_the_money_is_back),
      TEST(a_store_that_rejects_leaves_the_rest_to_policy),
      TEST(the_deadline_runs_from_the_tickets_arrival),
      TEST(nobody_asks_once_the_store_has_accepted),
      TEST(a_withdrawn_ticket_confirms_the_cancel_and_then_the_money_comes_back),
      TEST(a_start_refuses_the_cancel_and_goes_on),
      TEST(a_cancel_after_the_start_is_refused_at_once),
      TEST(an_acceptance_refuses_the_deadline_but_not_the_customer),
      TEST(a_customer_who_waited_behind_the_deadline_is_not_refused_when_it_wins),
      TEST(a_rejection_is_the_answer_to_every_cancel),
      TEST(what_an_earlier_version_left_goes_on),
      TEST(without_memory_it_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
