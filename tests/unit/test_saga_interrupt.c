/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Interrupts and their guards. The saga has the order's shape: pay, wait until it is accepted, wait until it is begun
 * (the pivot), wait until it is done; the customer may cancel in both waits, the deadline in the first only.
 */
#include "test_saga_kit.h"

EVENT(Started);
EVENT(Paid);
EVENT(Refunded);
EVENT(Accepted);
EVENT(Rejected);
EVENT(Begun);
EVENT(Done);
EVENT(Nudged);
EVENT(CancelAsked);
EVENT(Withdrawn);

ASK(pay)
ASK(unpay)
ASK(book)
ASK(unbook)
ASK(withdraw)
ASK(confirm)
ASK(deny)
ASK(deny_late)
ASK(expire)
ASK(nudge)

enum { CUSTOMER = 1, DEADLINE = 2, NOBODY = 3 };

static int by_customer(bool *out, const cafe_event *event, void *user) {
  *out = ((const kit_note *)event->data)->n == CUSTOMER;
  return CAFE_OK;
}
static int by_deadline(bool *out, const cafe_event *event, void *user) {
  *out = ((const kit_note *)event->data)->n == DEADLINE;
  return CAFE_OK;
}
static int due_of_memory(int64_t *out, const void *data, void *user) {
  *out = ((const kit_memory *)data)->due_ms;
  return CAFE_OK;
}

static const cafe_saga_interrupt interrupts[] = {
    {.name = "customer",
     .signal = &CancelAsked,
     .when = by_customer,
     .legal_in = STEPS("accept", "begin"),
     .guard = withdraw,
     .granted = SIGNALS(&Withdrawn),
     .refused = SIGNALS(&Begun, &Rejected),
     .grant = confirm,
     .refuse = deny},
    {.name = "deadline",
     .signal = &CancelAsked,
     .when = by_deadline,
     .legal_in = STEPS("accept"),
     .granted = SIGNALS(&Withdrawn),
     .refused = SIGNALS(&Accepted, &Begun, &Rejected),
     .refuse = deny_late},
};

static const cafe_saga_step order_steps[] = {
    {.name = "pay",
     .kind = CAFE_STEP_COMPENSATABLE,
     .action = pay,
     .completes = SIGNALS(&Paid),
     .compensation = unpay,
     .compensated = SIGNALS(&Refunded)},
    {.name = "accept",
     .kind = CAFE_STEP_COMPENSATABLE,
     .undo = CAFE_UNDO_GUARD,
     .completes = SIGNALS(&Accepted),
     .fails = SIGNALS(&Rejected),
     .timeouts = (const cafe_saga_timeout[]){{"late", due_of_memory, expire}, {NULL, NULL, NULL}}},
    {.name = "begin", .kind = CAFE_STEP_PIVOT, .completes = SIGNALS(&Begun)},
    {.name = "finish", .kind = CAFE_STEP_RETRIABLE, .completes = SIGNALS(&Done)},
};
static const cafe_saga order = SAGA("order", order_steps, interrupts, 2);

static void cancel(kit_rig *r, int64_t by, const char *expected) {
  kit_event(r, &CancelAsked, ++r->version, (kit_note){by, 0}, NULL);
  assert_true(r->changed);
  kit_asked(r, expected);
}

static void open_at_accept(kit_rig *r, bool restarts) {
  kit_open(r, &order, restarts);
  kit_hears(r, &Started, "pay#1");
  kit_hears(r, &Paid, "");
  kit_at(r, SAGA_RUNNING, "accept");
}
#define OPEN_AT_ACCEPT(r) open_at_accept(r, *state != NULL)

static void a_granted_guard_undoes_the_saga(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  cancel(&r, CUSTOMER, "withdraw");
  kit_at(&r, SAGA_GUARDING, "accept");
  assert_true(cafe_slice_equal(kit_row(&r).guard, cafe_text("customer")));
  kit_hears(&r, &Withdrawn, "confirm unpay~1");
  kit_at(&r, SAGA_COMPENSATING, "pay");
  assert_int_equal(kit_row(&r).guard.size, 0);
  kit_hears(&r, &Refunded, "");
  kit_at(&r, SAGA_UNDONE, "");
  kit_close(&r);
}

static void a_refused_guard_leaves_the_saga_where_it_was(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  cancel(&r, DEADLINE, "");
  kit_at(&r, SAGA_GUARDING, "accept");
  kit_hears(&r, &Accepted, "deny_late");
  kit_at(&r, SAGA_RUNNING, "begin");
  kit_close(&r);
}

static void signals_are_kept_under_a_guard_and_move_the_saga_after_its_no(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  cancel(&r, CUSTOMER, "withdraw");
  kit_hears(&r, &Accepted, "");
  kit_hears(&r, &Done, "");
  kit_at(&r, SAGA_GUARDING, "accept");
  kit_hears(&r, &Begun, "deny");
  kit_at(&r, SAGA_ENDED, "");
  kit_close(&r);
}

static void a_kept_signal_that_fails_the_step_undoes_it_after_the_no(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  cancel(&r, CUSTOMER, "withdraw");
  kit_hears(&r, &Rejected, "deny unpay~1");
  kit_at(&r, SAGA_COMPENSATING, "pay");
  kit_close(&r);
}

static void what_was_seen_before_the_guard_answers_it_at_once(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  kit_hears(&r, &Begun, "");
  cancel(&r, CUSTOMER, "deny");
  kit_at(&r, SAGA_RUNNING, "accept");
  kit_hears(&r, &Withdrawn, "");
  cancel(&r, CUSTOMER, "confirm unpay~1");
  kit_close(&r);
}

static void in_a_step_that_is_not_listed_it_is_refused_at_once(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &order);
  kit_hears(&r, &Started, "pay#1");
  cancel(&r, CUSTOMER, "deny");
  kit_at(&r, SAGA_RUNNING, "pay");
  kit_hears(&r, &Paid, "");
  kit_hears(&r, &Accepted, "");
  cancel(&r, DEADLINE, "deny_late");
  kit_hears(&r, &Begun, "");
  cancel(&r, CUSTOMER, "deny");
  kit_at(&r, SAGA_RUNNING, "finish");
  kit_close(&r);
}

static void while_it_is_undone_an_interrupt_is_refused_and_after_the_end_ignored(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  kit_hears(&r, &Rejected, "unpay~1");
  cancel(&r, CUSTOMER, "deny");
  kit_at(&r, SAGA_COMPENSATING, "pay");
  kit_hears(&r, &Refunded, "");
  kit_event(&r, &CancelAsked, ++r.version, (kit_note){CUSTOMER, 0}, NULL);
  assert_false(r.changed);
  kit_at(&r, SAGA_UNDONE, "");
  kit_close(&r);
}

static void a_second_interrupt_waits_for_the_answer_to_the_first(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  cancel(&r, DEADLINE, "");
  cancel(&r, CUSTOMER, "");
  kit_at(&r, SAGA_GUARDING, "accept");
  kit_hears(&r, &Accepted, "deny_late withdraw");
  kit_at(&r, SAGA_GUARDING, "begin");
  kit_hears(&r, &Withdrawn, "confirm unpay~1");
  kit_at(&r, SAGA_COMPENSATING, "pay");
  kit_close(&r);
}

static void a_second_interrupt_is_refused_where_the_first_no_has_led(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  cancel(&r, CUSTOMER, "withdraw");
  cancel(&r, DEADLINE, "");
  kit_hears(&r, &Accepted, "");
  kit_hears(&r, &Begun, "deny deny_late");
  kit_at(&r, SAGA_RUNNING, "finish");
  kit_close(&r);
}

static void an_interrupt_that_waits_is_answered_also_when_the_saga_ends_before_its_turn(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  cancel(&r, CUSTOMER, "withdraw");
  cancel(&r, DEADLINE, "");
  kit_hears(&r, &Accepted, "");
  kit_hears(&r, &Done, "");
  kit_hears(&r, &Begun, "deny deny_late");
  kit_at(&r, SAGA_ENDED, "");
  kit_close(&r);
}

static void an_interrupt_that_waits_is_refused_when_another_was_granted(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  cancel(&r, CUSTOMER, "withdraw");
  cancel(&r, DEADLINE, "");
  kit_hears(&r, &Withdrawn, "confirm unpay~1 deny_late");
  kit_close(&r);
}

static void the_same_interrupt_again_joins_the_one_that_is_asked_or_waits(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  cancel(&r, CUSTOMER, "withdraw");
  cancel(&r, CUSTOMER, "");
  cancel(&r, DEADLINE, "");
  cancel(&r, DEADLINE, "");
  kit_hears(&r, &Rejected, "deny unpay~1 deny_late");
  kit_close(&r);
}

static void an_event_of_the_type_that_is_no_interrupt_is_only_remembered(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  cancel(&r, NOBODY, "");
  kit_at(&r, SAGA_RUNNING, "accept");
  assert_int_equal(kit_data(&r)->n, NOBODY);
  kit_close(&r);
}

static void an_interrupt_before_the_start_waits_for_it(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &order);
  kit_hears(&r, &Paid, "");
  cancel(&r, DEADLINE, "");
  cancel(&r, CUSTOMER, "");
  cancel(&r, DEADLINE, "");
  kit_at(&r, SAGA_NONE, "");
  kit_hears(&r, &Started, "");
  kit_at(&r, SAGA_GUARDING, "accept");
  kit_hears(&r, &Withdrawn, "unpay~1 deny");
  kit_close(&r);
}

static void a_guard_is_asked_again_after_a_restart(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  cancel(&r, CUSTOMER, "withdraw");
  kit_resume(&r, "withdraw");
  kit_at(&r, SAGA_GUARDING, "accept");
  kit_close(&r);
}

static void time_goes_on_under_a_guard(void **state) {
  kit_rig r;
  OPEN_AT_ACCEPT(&r);
  kit_event(&r, &CancelAsked, ++r.version, (kit_note){CUSTOMER, r.now_ms + 10}, NULL);
  kit_asked(&r, "withdraw");
  assert_int_equal(kit_due_ms(r.saga), r.now_ms + 10);
  kit_tick(&r, r.now_ms + 10, "expire");
  cancel(&r, DEADLINE, "");
  kit_at(&r, SAGA_GUARDING, "accept");
  kit_close(&r);
}

/* ---- with a branch beside ---- */

static const cafe_saga_interrupt stop[] = {
    {.name = "stop",
     .signal = &CancelAsked,
     .legal_in = STEPS("accept", "begin"),
     .granted = SIGNALS(&Withdrawn),
     .refused = SIGNALS(&Begun)},
};
static const cafe_saga_step beside_steps[] = {
    {.name = "pay", .kind = CAFE_STEP_COMPENSATABLE, .completes = SIGNALS(&Paid)},
    {.name = "book",
     .kind = CAFE_STEP_COMPENSATABLE,
     .branch = "room",
     .after = "pay",
     .action = book,
     .again = SIGNALS(&Nudged),
     .compensation = unbook},
    {.name = "accept",
     .kind = CAFE_STEP_COMPENSATABLE,
     .action = nudge,
     .completes = SIGNALS(&Accepted),
     .undo = CAFE_UNDO_GUARD},
    {.name = "begin", .kind = CAFE_STEP_PIVOT, .completes = SIGNALS(&Begun)},
};
static const cafe_saga beside = SAGA("beside", beside_steps, stop, 1);

static void open_beside(kit_rig *r, bool restarts) {
  kit_open(r, &beside, restarts);
  kit_hears(r, &Started, "");
  kit_hears(r, &Paid, "book#1 nudge#1");
  cancel(r, CUSTOMER, "");
  kit_at(r, SAGA_GUARDING, "accept+book");
}

static void no_branch_moves_under_a_guard_and_answers_are_kept(void **state) {
  kit_rig r;
  open_beside(&r, *state != NULL);
  kit_says(&r, "book", 1, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_GUARDING, "accept+book");
  kit_resume(&r, "nudge#2");
  kit_hears(&r, &Accepted, "");
  kit_hears(&r, &Begun, "");
  kit_at(&r, SAGA_ENDED, "");
  kit_close(&r);
}

static void a_refused_action_beside_fails_the_saga_after_the_no(void **state) {
  kit_rig r;
  open_beside(&r, *state != NULL);
  kit_says(&r, "book", 1, CAFE_REFUSED, "");
  kit_at(&r, SAGA_GUARDING, "accept+book");
  kit_hears(&r, &Begun, "unbook~1");
  kit_answer(&r, SAGA_ASK_COMPENSATION, "book", 1, CAFE_OK, CAFE_ACCEPTED);
  kit_at(&r, SAGA_UNDONE, "");
  kit_close(&r);
}

static void what_stands_is_asked_again_under_a_guard(void **state) {
  kit_rig r;
  open_beside(&r, *state != NULL);
  kit_hears(&r, &Nudged, "book#2");
  kit_lost(&r, "book", 2, CAFE_UNAVAILABLE, "");
  kit_tick(&r, r.now_ms, "book#3");
  kit_lost(&r, "book", 3, CAFE_DENIED, "");
  kit_at(&r, SAGA_GUARDING, "accept+book");
  kit_hears(&r, &Begun, "");
  kit_at(&r, SAGA_PARKED, "accept+book");
  cancel(&r, CUSTOMER, "");
  kit_at(&r, SAGA_PARKED, "accept+book");
  kit_hears(&r, &Nudged, "book#4");
  kit_at(&r, SAGA_RUNNING, "accept+book");
  kit_close(&r);
}

static void main_can_be_interrupted_while_it_waits_to_enter_the_pivot(void **state) {
  kit_rig r;
  kit_open(&r, &beside, *state != NULL);
  kit_hears(&r, &Started, "");
  kit_hears(&r, &Paid, "book#1 nudge#1");
  kit_hears(&r, &Accepted, "");
  kit_at(&r, SAGA_RUNNING, "begin+book");
  cancel(&r, CUSTOMER, "");
  kit_at(&r, SAGA_GUARDING, "begin+book");
  kit_hears(&r, &Withdrawn, "unbook~1");
  kit_close(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      KIT_TWICE(a_granted_guard_undoes_the_saga),
      KIT_TWICE(a_refused_guard_leaves_the_saga_where_it_was),
      KIT_TWICE(signals_are_kept_under_a_guard_and_move_the_saga_after_its_no),
      KIT_TWICE(a_kept_signal_that_fails_the_step_undoes_it_after_the_no),
      KIT_TWICE(what_was_seen_before_the_guard_answers_it_at_once),
      KIT_TWICE(in_a_step_that_is_not_listed_it_is_refused_at_once),
      KIT_TWICE(while_it_is_undone_an_interrupt_is_refused_and_after_the_end_ignored),
      KIT_TWICE(a_second_interrupt_waits_for_the_answer_to_the_first),
      KIT_TWICE(a_second_interrupt_is_refused_where_the_first_no_has_led),
      KIT_TWICE(an_interrupt_that_waits_is_answered_also_when_the_saga_ends_before_its_turn),
      KIT_TWICE(an_interrupt_that_waits_is_refused_when_another_was_granted),
      KIT_TWICE(the_same_interrupt_again_joins_the_one_that_is_asked_or_waits),
      KIT_TWICE(an_event_of_the_type_that_is_no_interrupt_is_only_remembered),
      KIT_TWICE(an_interrupt_before_the_start_waits_for_it),
      KIT_TWICE(a_guard_is_asked_again_after_a_restart),
      KIT_TWICE(time_goes_on_under_a_guard),
      KIT_TWICE(no_branch_moves_under_a_guard_and_answers_are_kept),
      KIT_TWICE(a_refused_action_beside_fails_the_saga_after_the_no),
      KIT_TWICE(what_stands_is_asked_again_under_a_guard),
      KIT_TWICE(main_can_be_interrupted_while_it_waits_to_enter_the_pivot),
  };
  return cmocka_run_group_tests_name("saga interrupt", tests, NULL, NULL);
}
