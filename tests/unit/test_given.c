/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The given/when/then of testing/given.h: it passes on what is right, and each planted mistake is found and told in
 * words that name the field or the definition.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/testing/given.h"
#include "failing_alloc.h"
#include "locker.h"

static cafe_given *it;

static int end(void **state) {
  cafe_given_destroy(it);
  it = NULL;
  return 0;
}

static void begin(const cafe_aggregate *aggregate) {
  cafe_given_destroy(it);
  assert_int_equal(cafe_given_aggregate(&it, aggregate, NULL, NULL), CAFE_OK);
}

static void is_well(void) {
  if (!cafe_given_is_well(it))
    fail_msg("%s", cafe_given_why(it));
  assert_string_equal(cafe_given_why(it), "");
}

/* The failure, word for word; what follows does nothing. */
static void fails(const char *why) {
  assert_false(cafe_given_is_well(it));
  assert_string_equal(cafe_given_why(it), why);
  assert_false(cafe_given_time(it, 5000));
  assert_string_equal(cafe_given_why(it), why);
}

#define KIM       CAFE_DATA(hold_locker_type, hold_locker, .guest = cafe_text("kim"), .fee_minor = 500)
#define KIM_HOLDS CAFE_FACTS(CAFE_FACT(locker_held_type, locker_held, .guest = cafe_text("kim"), .fee_minor = 500))

/* ---- what is right passes ---- */

static void an_aggregate_that_is_right_passes(void **state) {
  begin(&locker_aggregate);
  cafe_given_time(it, 7000);
  cafe_then_is(it, CAFE_VALUE(locker, .fee_minor = 0));
  assert_true(cafe_when(it, KIM));
  assert_string_equal(cafe_given_said(it), "accepted LockerHeld");
  assert_true(cafe_then_says(it, CAFE_ACCEPTED, KIM_HOLDS));
  assert_int_equal(((const locker_held *)cafe_given_data(it, &locker_held_type))->fee_minor, 500);
  assert_null(cafe_given_data(it, &locker_freed_type));
  assert_true(cafe_then_is(it, CAFE_VALUE(locker, .fee_minor = 0)));
  assert_true(cafe_given_command(it, KIM));
  assert_true(cafe_then_is(it, CAFE_VALUE(locker, .guest = cafe_text("kim"), .fee_minor = 500)));
  assert_true(cafe_when(it, KIM));
  assert_true(cafe_then_says(it, CAFE_UNCHANGED, NULL));
  cafe_when(it, CAFE_DATA(hold_locker_type, hold_locker, .guest = cafe_text("lee")));
  assert_true(cafe_then_refuses(it, "taken", NULL));
  assert_true(cafe_then_says(it, CAFE_REFUSED, NULL));
  assert_string_equal(cafe_given_text(it), "the locker is kim's");
  assert_string_equal(cafe_given_said(it), "refused:taken");
  cafe_given_command(it, CAFE_DATA(open_locker_type, open_locker, .hours = 2));
  cafe_then_says(it, CAFE_ACCEPTED, CAFE_FACTS(CAFE_FACT(locker_opened_type, locker_opened, 7207000)));
  assert_true(((const locker *)cafe_given_state(it))->is_open);
  cafe_then_wants(it, NULL);
  is_well();
}

static void tasks_are_compared_with_their_ids(void **state) {
  begin(&till_aggregate);
  cafe_then_wants(it, NULL);
  cafe_given_command(it, CAFE_DATA(charge_card_type, charge_card, 500));
  assert_string_equal(cafe_given_said(it), "pending CardAsked");
  cafe_then_wants(it, CAFE_FACTS(CAFE_FACT_TASK(1, card_task_type, card_task, CARD_CHARGE, 500)));
  assert_string_equal(cafe_given_said(it), "pending CardAsked");
  is_well();
  cafe_then_wants(it, CAFE_FACTS(CAFE_FACT_TASK(2, card_task_type, card_task, CARD_REFUND, 500)));
  fails("the tasks that are wanted aren't those:\n"
        "  task 1: CardTask: wanted with the id 2, got 1\n"
        "  task 1: CardTask.operation: wanted refund, got charge");
}

static void a_view_that_is_right_passes(void **state) {
  assert_int_equal(cafe_given_view(&it, &lockers_view, NULL, NULL), CAFE_OK);
  cafe_given_stream(it, "locker", 7);
  cafe_then_row(it, 0, NULL, 0);
  assert_null(cafe_given_row(it, 0));
  cafe_given_events(it, KIM_HOLDS);
  cafe_then_row(it, 0, CAFE_VALUE(locker_row, .guest = cafe_text("kim"), .status = LOCKER_HELD));
  cafe_given_event(it, CAFE_DATA(locker_freed_type, locker_freed, 1));
  cafe_then_row(it, 0, NULL, 0); /* hidden */
  assert_non_null(cafe_given_row(it, 0));
  is_well();
}

static void a_policy_that_is_right_passes(void **state) {
  assert_int_equal(cafe_given_policy(&it, &apology_policy, NULL, NULL), CAFE_OK);
  cafe_given_stream(it, "locker", 7);
  cafe_given_event(it, CAFE_DATA(locker_stuck_type, locker_stuck, cafe_text("rust")));
  assert_string_equal(cafe_given_said(it), "WriteLetter");
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(write_letter_type, write_letter, cafe_text("rust"))));
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT_TO(7, write_letter_type, write_letter, cafe_text("rust"))));
  is_well();
}

#define CHARGED  CAFE_FACTS(CAFE_FACT(card_charged_type, card_charged, 500))
#define DECLINED CAFE_FACTS(CAFE_FACT(card_declined_type, card_declined, 500))
#define REFUNDED CAFE_FACTS(CAFE_FACT(card_refunded_type, card_refunded, 500))
#define OPENED   CAFE_FACTS(CAFE_FACT(locker_opened_type, locker_opened, 9000))
#define STUCK    CAFE_FACTS(CAFE_FACT(locker_stuck_type, locker_stuck, cafe_text("rust")))
#define FREED    CAFE_FACTS(CAFE_FACT(locker_freed_type, locker_freed, 9000))

static void begin_rental(const cafe_saga *saga) {
  cafe_given_destroy(it);
  assert_int_equal(cafe_given_saga(&it, saga, NULL, NULL), CAFE_OK);
  assert_null(cafe_given_state(it));
  cafe_given_stream(it, "locker", 7);
  cafe_then_stands(it, "none", "");
  cafe_given_events(it, KIM_HOLDS);
}

static void a_saga_that_is_right_passes(void **state) {
  begin_rental(&rental_saga);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(charge_card_type, charge_card, 500)));
  cafe_then_stands(it, "running", "charge");
  cafe_when_answered(it, &charge_card_type, CAFE_ACCEPTED, CHARGED);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(open_locker_type, open_locker, 2)));
  cafe_when_answered(it, &open_locker_type, CAFE_ACCEPTED, OPENED);
  cafe_then_asks(it, NULL);
  cafe_then_is(it, CAFE_VALUE(rental, 7, cafe_text("kim"), 500, 9000));
  cafe_given_time(it, 8999);
  cafe_then_asks(it, NULL);
  cafe_given_time(it, 10000);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(free_locker_type, free_locker, 0)));
  cafe_then_stands(it, "running", "use");
  cafe_given_events(it, FREED);
  cafe_then_stands(it, "ended", "");
  is_well();
}

static void a_saga_is_undone_in_its_order(void **state) {
  begin_rental(&rental_saga);
  cafe_when_answered(it, &charge_card_type, CAFE_ACCEPTED, CHARGED);
  cafe_when_answered(it, &open_locker_type, CAFE_ACCEPTED, STUCK);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(refund_card_type, refund_card, 500)));
  cafe_then_stands(it, "compensating", "charge");
  cafe_when_restarted(it);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(refund_card_type, refund_card, 500)));
  cafe_when_answered(it, &refund_card_type, CAFE_PENDING, NULL);
  cafe_then_asks(it, NULL);
  cafe_given_events(it, REFUNDED);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(free_locker_type, free_locker, 0)));
  cafe_when_answered(it, &free_locker_type, CAFE_ACCEPTED, FREED);
  cafe_then_stands(it, "undone", "");
  is_well();
  begin_rental(&rental_saga);
  cafe_when_answered(it, &charge_card_type, CAFE_ACCEPTED, DECLINED);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(free_locker_type, free_locker, 0)));
  is_well();
}

static void an_attempt_that_failed_is_made_again_when_its_time_has_come(void **state) {
  begin_rental(&rental_saga);
  cafe_when_failed(it, &charge_card_type, CAFE_TIMEOUT);
  cafe_then_asks(it, NULL);
  cafe_given_time(it, 1000);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(charge_card_type, charge_card, 500)));
  cafe_when_answered(it, &charge_card_type, CAFE_ACCEPTED, CHARGED);
  cafe_then_stands(it, "running", "open");
  is_well();
}

static void what_was_given_can_be_taken_back(void **state) {
  begin(&locker_aggregate);
  cafe_given_stream(it, NULL, 9);
  cafe_given_events(it, KIM_HOLDS);
  cafe_then_says(it, CAFE_ACCEPTED, NULL);
  assert_false(cafe_given_is_well(it));
  cafe_given_reset(it);
  is_well();
  cafe_when(it, CAFE_DATA(free_locker_type, free_locker, 0));
  cafe_then_says(it, CAFE_UNCHANGED, NULL);
  is_well();
}

/* ---- aggregates with a mistake ---- */

static cafe_aggregate with_decide(cafe_verdict (*decide)(cafe_decision *, const void *, const cafe_command *, void *)) {
  cafe_aggregate wrong = locker_aggregate;
  wrong.decide = decide;
  return wrong;
}

static cafe_verdict takes_too_much(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  cafe_emit(out, &locker_held_type, &(locker_held){cafe_text("lee"), 5000}, sizeof(locker_held));
  cafe_emit(out, &locker_freed_type, &(locker_freed){8}, sizeof(locker_freed));
  return CAFE_ACCEPTED;
}

static void a_wrong_field_is_named_with_what_was_wanted_and_what_came(void **state) {
  cafe_aggregate wrong = with_decide(takes_too_much);
  begin(&wrong);
  cafe_when(it, KIM);
  cafe_then_says(it, CAFE_ACCEPTED, KIM_HOLDS);
  fails("what is said isn't what was wanted:\n"
        "  event 1: LockerHeld.guest: wanted \"kim\", got \"lee\"\n"
        "  event 1: LockerHeld.fee_minor: wanted 500, got 5000\n"
        "  event 2: wanted nothing, got LockerFreed {at_ms 8}");
}

static void another_verdict_and_another_event_are_told(void **state) {
  begin(&locker_aggregate);
  cafe_given_events(it, KIM_HOLDS);
  cafe_when(it, CAFE_DATA(hold_locker_type, hold_locker, .guest = cafe_text("lee")));
  cafe_then_says(it, CAFE_ACCEPTED, KIM_HOLDS);
  fails("what is said isn't what was wanted:\n"
        "  wanted accepted, got refused:taken: the locker is kim's\n"
        "  event 1: wanted LockerHeld {guest \"kim\", fee_minor 500}, got nothing");
  cafe_given_reset(it);
  cafe_when(it, KIM);
  cafe_then_refuses(it, "taken", CAFE_FACTS(CAFE_FACT(locker_freed_type, locker_freed, 8)));
  fails("what is said isn't what was wanted:\n"
        "  wanted refused:taken, got accepted\n"
        "  event 1: wanted LockerFreed {at_ms 8}, got LockerHeld {guest \"kim\", fee_minor 500}");
}

static unsigned asked;

static cafe_verdict counts(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  cafe_emit(out, &locker_held_type, &(locker_held){cafe_text("kim"), ++asked}, sizeof(locker_held));
  return CAFE_ACCEPTED;
}

static cafe_verdict tosses(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  return ++asked % 2 ? CAFE_UNCHANGED : cafe_refuse(out, "tails", "it's tails");
}

static cafe_verdict repeats(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  for (unsigned i = ++asked % 2; i < 2; i++)
    cafe_emit(out, &locker_freed_type, &(locker_freed){8}, sizeof(locker_freed));
  return CAFE_ACCEPTED;
}

static cafe_verdict emits_anothers(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  cafe_emit(out, &card_charged_type, &(card_charged){5}, sizeof(card_charged));
  return CAFE_ACCEPTED;
}

static cafe_verdict accepts_nothing(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  return CAFE_ACCEPTED;
}

static cafe_verdict lets_it_wait(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  return CAFE_PENDING;
}

static cafe_verdict breaks_down(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  return cafe_decision_fail(out, CAFE_UNAVAILABLE, "no key");
}

static void what_a_node_would_refuse_is_refused_here(void **state) {
  static const struct {
    cafe_verdict (*decide)(cafe_decision *, const void *, const cafe_command *, void *);
    const char *why;
  } cases[] = {
      {counts, "one state decides one HoldLocker in two ways: it must be pure:\n"
               "  LockerHeld.fee_minor: wanted 1, got 2"},
      {tosses, "one state decides one HoldLocker in two ways: it must be pure:\n"
               "  first unchanged, then refused:tails"},
      {repeats, "one state decides one HoldLocker in two ways: it must be pure:\n"
                "  first nothing, then LockerFreed"},
      {emits_anothers, "locker emitted CardCharged, which it doesn't list among its events"},
      {accepts_nothing, "HoldLocker was accepted without an event: emit one, or return CAFE_UNCHANGED"},
      {lets_it_wait, "HoldLocker is pending, but lists no outcomes: name the events that answer it"},
      {breaks_down, "the aggregate locker can't decide HoldLocker: no key"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    cafe_aggregate wrong = with_decide(cases[i].decide);
    asked = 0;
    begin(&wrong);
    cafe_when(it, KIM);
    fails(cases[i].why);
  }
}

static cafe_aggregate with_evolve(int (*evolve)(void *, const cafe_event *, cafe_arena *, void *)) {
  cafe_aggregate wrong = locker_aggregate;
  wrong.evolve = evolve;
  return wrong;
}

static int keeps_the_pointer(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  ((locker *)state)->guest = ((const locker_held *)event->data)->guest;
  return CAFE_OK;
}

static int adds_up(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  ((locker *)state)->fee_minor = ++asked;
  return CAFE_OK;
}

static int loses_the_guest(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)cafe_arena_copy(&((locker *)state)->guest, arena, ((const locker_held *)event->data)->guest);
  return CAFE_OK;
}

static int says_anything(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  return cafe_arena_alloc(arena, 10000) ? CAFE_OK : CAFE_UNAVAILABLE;
}

static int never_can(void *state, const cafe_event *event, cafe_arena *arena, void *user) { return CAFE_NOMEM; }

static void a_text_that_was_not_copied_is_found(void **state) {
  cafe_aggregate wrong = with_evolve(keeps_the_pointer);
  begin(&wrong);
  cafe_given_events(it, KIM_HOLDS);
  cafe_then_is(it, CAFE_VALUE(locker, .guest = cafe_text("kim")));
  fails("the state isn't what was wanted:\n"
        "  Locker.guest: wanted \"kim\", got \"~~~\" (what was handed in was kept and not copied: cafe_arena_copy)");
}

static void a_fold_that_comes_out_otherwise_the_second_time_is_found(void **state) {
  cafe_aggregate wrong = with_evolve(adds_up);
  asked = 0;
  begin(&wrong);
  cafe_given_events(it, KIM_HOLDS);
  cafe_then_is(it, CAFE_VALUE(locker, .fee_minor = 1));
  fails("the same events, folded anew, make something else: it must be pure:\n"
        "  Locker.fee_minor: wanted 1, got 2");
}

static void memory_that_runs_out_unseen_is_found(void **state) {
  cafe_aggregate right = locker_aggregate, wrong = with_evolve(loses_the_guest), rude = with_evolve(says_anything),
                 lame = with_evolve(never_can);
  begin(&right);
  cafe_given_events(it, KIM_HOLDS);
  cafe_given_events(it, OPENED);
  assert_true(cafe_given_starve(it));
  begin(&wrong);
  cafe_given_events(it, KIM_HOLDS);
  cafe_given_starve(it);
  fails("without memory, after 0 bytes, LockerHeld goes on as if it had it: return CAFE_NOMEM");
  begin(&rude);
  cafe_given_events(it, KIM_HOLDS);
  cafe_given_starve(it);
  fails("without memory, after 0 bytes, LockerHeld must fail by CAFE_NOMEM: the aggregate locker can't evolve by "
        "LockerHeld: unavailable");
  begin(&lame);
  cafe_given_events(it, KIM_HOLDS);
  fails("the aggregate locker can't evolve by LockerHeld: nomem");
}

#define IS_FREE                                                                                                        \
  {                                                                                                                    \
    "free", NULL, "LockerHeld | !free | -", { NULL, NULL }                                                             \
  }
#define END                                                                                                            \
  {                                                                                                                    \
    NULL, NULL, NULL, { NULL, NULL }                                                                                   \
  }

static void a_table_tells_every_row_that_is_wrong(void **state) {
  const cafe_fact *commands =
      CAFE_FACTS(CAFE_FACT(hold_locker_type, hold_locker, cafe_text("kim"), 500),
                 CAFE_FACT(open_locker_type, open_locker, 2), CAFE_FACT(free_locker_type, free_locker, 0));
  const cafe_given_case right[] = {IS_FREE, {"held", KIM_HOLDS, "- | LockerOpened | LockerFreed", {NULL, NULL}}, END};
  const cafe_given_case wrong[] = {{"free", NULL, "LockerHeld | - | -", {NULL, NULL}},
                                   {"held", KIM_HOLDS, "- | LockerOpened | LockerFreed", {NULL, NULL}},
                                   {"nothing", CHARGED, "-", {NULL, NULL}},
                                   END};
  begin(&locker_aggregate);
  assert_true(cafe_given_table(it, commands, right));
  assert_false(cafe_given_table(it, commands, wrong));
  fails("what is said in these states isn't what was wanted:\n"
        "free\n"
        "  wanted LockerHeld | - | -\n"
        "  got    LockerHeld | !free | -\n"
        "nothing: the aggregate locker doesn't name CardCharged among its events");
  begin(&till_aggregate);
  commands = CAFE_FACTS(CAFE_FACT(charge_card_type, charge_card, 500));
  const cafe_given_case tills[] = {{"new", NULL, "?CardAsked", {NULL, NULL}}, END};
  assert_true(cafe_given_table(it, commands, tills));
}

/* ---- views, policies and sagas with a mistake ---- */

static int always_held(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  ((locker_row *)row)->status = LOCKER_HELD;
  ((locker_row *)row)->guest = cafe_text("anybody");
  return CAFE_OK;
}

static void a_view_with_a_mistake_is_told_by_its_column(void **state) {
  cafe_view wrong = lockers_view;
  wrong.fold = always_held;
  assert_int_equal(cafe_given_view(&it, &wrong, NULL, NULL), CAFE_OK);
  cafe_given_events(it, OPENED);
  cafe_then_row(it, 0, CAFE_VALUE(locker_row, .status = LOCKER_OPEN));
  fails("the view lockers, row 0 of key 1:\n"
        "  LockerRow.guest: wanted \"\", got \"anybody\"\n"
        "  LockerRow.status: wanted open, got held");
  cafe_given_reset(it);
  cafe_given_events(it, FREED);
  cafe_then_row(it, 0, NULL, 0);
  fails("the view lockers, row 0 of key 1: shown, though none was wanted");
  cafe_given_reset(it);
  cafe_then_row(it, 0, CAFE_VALUE(locker_row, .status = LOCKER_OPEN));
  fails("the view lockers, row 0 of key 1: wanted, and not shown");
  cafe_given_reset(it);
  cafe_given_events(it, STUCK);
  fails("the view lockers doesn't name LockerStuck among its events");
}

static void forgets(cafe_reaction *out, const cafe_event *event, void *user) {}

static void writes_to_others(cafe_reaction *out, const cafe_event *event, void *user) {
  cafe_react(out, &write_letter_type, event->key + 1, &(write_letter){{NULL, 0}}, sizeof(write_letter));
}

static void writes_now_and_then(cafe_reaction *out, const cafe_event *event, void *user) {
  if (++asked % 2)
    cafe_react(out, &write_letter_type, event->key, &(write_letter){{NULL, 0}}, sizeof(write_letter));
}

static void charges(cafe_reaction *out, const cafe_event *event, void *user) {
  cafe_react(out, &charge_card_type, event->key, &(charge_card){1}, sizeof(charge_card));
}

static void a_policy_with_a_mistake_is_told(void **state) {
  static const struct {
    void (*react)(cafe_reaction *, const cafe_event *, void *);
    const char *why;
  } cases[] = {
      {forgets, "what is asked for isn't what was wanted:\n"
                "  command 1: wanted WriteLetter {text \"rust\"}, got nothing"},
      {writes_to_others, "the policy apology asks for WriteLetter to key 2, and the event is of key 1: mark the policy "
                         "other_key"},
      {writes_now_and_then, "the policy apology reacts to one LockerStuck in two ways: it must be pure:\n"
                            "  first WriteLetter, then nothing"},
      {charges, "the policy apology, for LockerStuck: apology asks for ChargeCard, which it doesn't list: add it"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    cafe_policy wrong = apology_policy;
    wrong.react = cases[i].react;
    asked = 0;
    cafe_given_destroy(it);
    assert_int_equal(cafe_given_policy(&it, &wrong, NULL, NULL), CAFE_OK);
    cafe_given_events(it, STUCK);
    cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(write_letter_type, write_letter, cafe_text("rust"))));
    fails(cases[i].why);
  }
  cafe_policy other = apology_policy;
  other.react = writes_to_others;
  other.other_key = true;
  cafe_given_destroy(it);
  assert_int_equal(cafe_given_policy(&it, &other, NULL, NULL), CAFE_OK);
  cafe_given_events(it, STUCK);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(write_letter_type, write_letter, {NULL, 0})));
  fails("what is asked for isn't what was wanted:\n"
        "  command 1: WriteLetter: wanted to key 1, got to key 2");
}

/* What it remembers, without the field by which it knows when the time is up. */
static const cafe_field short_fields[] = {
    CAFE_FIELD_OF(1, U64, rental, key),
    CAFE_FIELD_OF(2, TEXT, rental, guest),
    CAFE_FIELD_OF(3, I64, rental, fee_minor),
};
static const cafe_schema short_type = CAFE_SCHEMA_OF("Rental", rental, short_fields);

static void what_a_saga_would_have_forgotten_after_a_restart_is_found(void **state) {
  cafe_saga wrong = rental_saga;
  wrong.data = &short_type;
  begin_rental(&wrong);
  cafe_when_answered(it, &charge_card_type, CAFE_ACCEPTED, CHARGED);
  cafe_when_answered(it, &open_locker_type, CAFE_ACCEPTED, OPENED);
  cafe_given_time(it, 10000);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(free_locker_type, free_locker, 0)));
  fails("what is asked for isn't what was wanted:\n"
        "  command 1: wanted FreeLocker {}, got nothing");
}

static void a_saga_with_a_mistake_is_told(void **state) {
  begin_rental(&rental_saga);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(charge_card_type, charge_card, 400)));
  fails("what is asked for isn't what was wanted:\n"
        "  command 1: ChargeCard.amount_minor: wanted 400, got 500");
  begin_rental(&rental_saga);
  cafe_then_stands(it, "ended", "");
  fails("the saga rental isn't there:\n"
        "  wanted ended, got running\n"
        "  wanted at \"\", got \"charge\"");
  begin_rental(&rental_saga);
  cafe_when_answered(it, &refund_card_type, CAFE_ACCEPTED, NULL);
  fails("the saga rental waits for no answer to RefundCard");
  begin_rental(&rental_saga);
  cafe_then_is(it, CAFE_VALUE(rental, 7, cafe_text("lee"), 500, 0));
  fails("it remembers something else:\n"
        "  Rental.guest: wanted \"lee\", got \"kim\"");
}

static int deadline_code;

static int tell_deadline(int64_t *out, const void *data, void *user) { return deadline_code; }

static void ask_nothing(cafe_reaction *out, const void *data, void *user) {}

static int fold_fails(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user) {
  return CAFE_UNAVAILABLE;
}

static void a_callback_of_a_saga_that_fails_is_told_with_its_step(void **state) {
  cafe_saga_step steps[4];
  memcpy(steps, rental_saga.steps, sizeof steps);
  steps[1].deadline_ms = tell_deadline;
  steps[1].unavailable = ask_nothing;
  cafe_saga wrong = rental_saga;
  wrong.steps = steps;
  deadline_code = CAFE_OK;
  begin_rental(&wrong);
  deadline_code = CAFE_UNAVAILABLE;
  cafe_when_failed(it, &charge_card_type, CAFE_TIMEOUT);
  fails("the saga rental, step charge, can't tell its deadline for key 7: unavailable");
  begin_rental(&wrong);
  fails("the saga rental, step charge, can't tell its deadline for key 7: unavailable");
  wrong = rental_saga;
  wrong.fold = fold_fails;
  begin_rental(&wrong);
  fails("the saga rental can't fold LockerHeld of key 7: unavailable");
}

/* What came with the command that caused it, and is in no event. */
static int takes_the_cause(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena,
                           void *user) {
  rental *self = data;
  self->key = event->key;
  return cause ? cafe_arena_copy(&self->guest, arena, ((const hold_locker *)cause->data)->guest) : CAFE_OK;
}

static int keeps_the_cause(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena,
                           void *user) {
  rental *self = data;
  self->key = event->key;
  self->guest = cause ? ((const hold_locker *)cause->data)->guest : self->guest;
  return CAFE_OK;
}

static void the_cause_is_handed_to_the_next_event_alone(void **state) {
  cafe_saga saga = rental_saga;
  for (int i = 0; i < 2; i++) {
    saga.fold = i ? keeps_the_cause : takes_the_cause;
    cafe_given_destroy(it);
    assert_int_equal(cafe_given_saga(&it, &saga, NULL, NULL), CAFE_OK);
    cafe_given_cause(it, CAFE_DATA(hold_locker_type, hold_locker, .guest = cafe_text("lee")));
    cafe_given_events(it, KIM_HOLDS);
    cafe_given_events(it, CHARGED);
    cafe_then_is(it, CAFE_VALUE(rental, .key = 1, .guest = cafe_text("lee")));
    if (i == 0)
      is_well();
  }
  fails("it remembers something else:\n"
        "  Rental.guest: wanted \"lee\", got \"~~~\" (what was handed in was kept and not copied: cafe_arena_copy)");
}

typedef struct badge {
  cafe_slice token, photo;
  bool is_new;
  int32_t status;
} badge;
static const char *const statuses[] = {"lost", "found"};
static const cafe_field badge_fields[] = {
    CAFE_FIELD_SECRET_OF(1, TEXT, badge, token),
    CAFE_FIELD_OF(2, BYTES, badge, photo),
    CAFE_FIELD_OF(3, BOOL, badge, is_new),
    CAFE_FIELD_ENUM_OF(4, badge, status, statuses),
};
static const cafe_schema badge_type = CAFE_SCHEMA_OF("IssueBadge", badge, badge_fields);
static const cafe_schema *const badge_only[] = {&badge_type, NULL};

static void issues(cafe_reaction *out, const cafe_event *event, void *user) {
  badge issued = {cafe_text("s3cret"), {"\x01\xfe", 2}, true, 1};
  cafe_react(out, &badge_type, event->key, &issued, sizeof issued);
}

static void values_are_shown_by_their_type_and_secrets_not_at_all(void **state) {
  cafe_policy policy = apology_policy;
  policy.react = issues;
  policy.commands = badge_only;
  assert_int_equal(cafe_given_policy(&it, &policy, NULL, NULL), CAFE_OK);
  cafe_given_events(it, STUCK);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(badge_type, badge, cafe_text("s3cret"), {"\x01\xfe", 2}, true, 1)));
  is_well();
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(badge_type, badge, cafe_text("other"), {NULL, 0}, false, 7)));
  fails("what is asked for isn't what was wanted:\n"
        "  command 1: IssueBadge.token: wanted another secret than it got\n"
        "  command 1: IssueBadge.photo: wanted x'', got x'01fe'\n"
        "  command 1: IssueBadge.is_new: wanted false, got true\n"
        "  command 1: IssueBadge.status: wanted 7, got found");
  cafe_given_reset(it);
  cafe_given_events(it, STUCK);
  cafe_then_asks(it, NULL);
  fails("what is asked for isn't what was wanted:\n"
        "  command 1: wanted nothing, got IssueBadge {token (secret), photo x'01fe', is_new true, status found}");
}

/* A row for each fee. */
static int sub_of(uint64_t *out, const cafe_event *event, void *user) {
  if (event->type != &locker_held_type)
    return CAFE_OK;
  *out = (uint64_t)((const locker_held *)event->data)->fee_minor;
  return *out == 13 ? CAFE_INVALID : CAFE_OK;
}

static int no_fold(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  *out = (cafe_fold)0;
  return CAFE_OK;
}

static int failing_fold(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  return CAFE_UNAVAILABLE;
}

static void a_view_with_several_rows_of_a_key(void **state) {
  cafe_view fees = lockers_view;
  fees.sub = sub_of;
  fees.sub_name = "fee";
  assert_int_equal(cafe_given_view(&it, &fees, NULL, NULL), CAFE_OK);
  cafe_given_events(it, CAFE_FACTS(CAFE_FACT(locker_held_type, locker_held, cafe_text("kim"), 5),
                                   CAFE_FACT(locker_held_type, locker_held, cafe_text("lee"), 7),
                                   CAFE_FACT(locker_opened_type, locker_opened, 1)));
  cafe_then_row(it, 5, CAFE_VALUE(locker_row, cafe_text("kim"), LOCKER_HELD));
  cafe_then_row(it, 7, CAFE_VALUE(locker_row, cafe_text("lee"), LOCKER_HELD));
  cafe_then_row(it, 6, NULL, 0);
  cafe_given_starve(it);
  is_well();
  cafe_given_event(it, CAFE_DATA(locker_held_type, locker_held, cafe_text("kim"), 13));
  fails("the view lockers can't tell the row of LockerHeld: invalid");
  fees.fold = no_fold;
  cafe_given_reset(it);
  cafe_given_events(it, KIM_HOLDS);
  fails("the view lockers, for LockerHeld: what it said is no cafe_fold");
  fees.fold = failing_fold;
  cafe_given_reset(it);
  cafe_given_events(it, KIM_HOLDS);
  fails("the view lockers can't fold LockerHeld: unavailable");
}

/* Rows of a view that isn't inline are shown by a column, whatever its fold says. */
static const cafe_field shown_fields[] = {CAFE_FIELD_OF(1, BOOL, locker, is_open)};
static const cafe_schema shown_type = CAFE_SCHEMA_OF("ShownRow", locker, shown_fields);

static int fold_shown(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  assert_int_equal(event->position.n, event->version);
  ((locker *)row)->is_open = event->type == &locker_opened_type;
  *out = event->type == &locker_freed_type ? CAFE_FOLD_SKIP : CAFE_FOLD_HIDE;
  return CAFE_OK;
}

static void a_row_that_is_shown_by_its_column(void **state) {
  cafe_view view = lockers_view;
  view.is_inline = false;
  view.row = &shown_type;
  view.shown_by = "is_open";
  view.fold = fold_shown;
  assert_int_equal(cafe_given_view(&it, &view, NULL, NULL), CAFE_OK);
  cafe_given_events(it, KIM_HOLDS);
  cafe_then_row(it, 0, NULL, 0);
  cafe_given_events(it, OPENED);
  cafe_then_row(it, 0, CAFE_VALUE(locker, .is_open = true));
  cafe_given_events(it, FREED);
  cafe_then_row(it, 0, NULL, 0);
  is_well();
}

static void refunds(cafe_reaction *out, const cafe_command *command, void *user) {
  refund_card refund = {((const charge_card *)command->data)->amount_minor};
  cafe_react(out, &refund_card_type, command->key, &refund, sizeof refund);
}

static void refunds_twice(cafe_reaction *out, const cafe_command *command, void *user) {
  refunds(out, command, user);
  refunds(out, command, user);
}

static void cannot(cafe_reaction *out, const cafe_command *command, void *user) {
  cafe_reaction_fail(out, CAFE_UNAVAILABLE, "no line");
}

static void who_gives_up_is_taken_back(void **state) {
  cafe_aggregate tills = till_aggregate;
  tills.give_up = refunds;
  begin(&tills);
  cafe_given_command(it, CAFE_DATA(charge_card_type, charge_card, 500));
  cafe_when_given_up(it, CAFE_DATA(charge_card_type, charge_card, 500));
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(refund_card_type, refund_card, 500)));
  is_well();
  tills.give_up = refunds_twice;
  cafe_when_given_up(it, CAFE_DATA(charge_card_type, charge_card, 500));
  fails("the aggregate till gives up ChargeCard by more than one command, or one to another key");
  tills.give_up = cannot;
  begin(&tills);
  cafe_when_given_up(it, CAFE_DATA(charge_card_type, charge_card, 500));
  fails("the aggregate till can't give up ChargeCard: no line");
}

static void wants_anything(cafe_tasks *out, const void *state, void *user) {
  cafe_want(out, 1, &badge_type, &(badge){{NULL, 0}, {NULL, 0}, false, 0}, sizeof(badge), 0);
}

static void wants_one_id_twice(cafe_tasks *out, const void *state, void *user) {
  cafe_want(out, 4, &card_task_type, &(card_task){CARD_CHARGE, 1}, sizeof(card_task), 0);
  cafe_want(out, 4, &card_task_type, &(card_task){CARD_REFUND, 1}, sizeof(card_task), 99);
}

static void tasks_that_no_node_would_take_are_told(void **state) {
  cafe_aggregate tills = till_aggregate;
  begin(&tills);
  cafe_given_command(it, CAFE_DATA(charge_card_type, charge_card, 500));
  tills.tasks = wants_anything;
  cafe_then_wants(it, NULL);
  fails("the aggregate till can't name its tasks: till asks for IssueBadge, which it doesn't list: add it");
  cafe_given_reset(it);
  cafe_given_command(it, CAFE_DATA(charge_card_type, charge_card, 500));
  tills.tasks = wants_one_id_twice;
  cafe_then_wants(it, NULL);
  fails("the aggregate till wants two tasks with the id 4");
}

/* ---- tests with a mistake ---- */

static void a_definition_that_no_node_would_host_is_refused(void **state) {
  cafe_err err;
  cafe_aggregate wrong = locker_aggregate;
  wrong.evolve = NULL;
  assert_int_equal(cafe_given_aggregate(&it, &wrong, NULL, &err), CAFE_INVALID);
  assert_string_equal(err.text, "the aggregate locker lacks evolve");
  cafe_saga endless = rental_saga;
  endless.step_count = 2;
  assert_int_equal(cafe_given_saga(&it, &endless, NULL, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "pivot"));
  assert_null(it);
  cafe_given_destroy(NULL);
}

static void a_test_that_asks_the_wrong_thing_is_told_so(void **state) {
  begin(&locker_aggregate);
  cafe_when(it, CAFE_DATA(charge_card_type, charge_card, 5));
  fails("the aggregate locker doesn't list ChargeCard among its commands");
  cafe_given_reset(it);
  cafe_given_event(it, &locker_held_type, &(locker_held){{NULL, 0}, 5}, 3);
  fails("LockerHeld: its data has 3 bytes, which end inside guest: hand in sizeof the struct");
  cafe_given_reset(it);
  cafe_given_events(it, KIM_HOLDS);
  cafe_then_says(it, CAFE_ACCEPTED, NULL);
  fails("nothing was asked since something else happened: cafe_when goes before it");
  cafe_given_reset(it);
  cafe_given_events(it, KIM_HOLDS);
  cafe_given_stream(it, NULL, 8);
  fails("key 8 comes too late: what has happened is of key 1");
  cafe_given_reset(it);
  cafe_given_stream(it, "till", 8);
  fails("till is no stream of the aggregate locker");
  cafe_given_reset(it);
  cafe_given_stream(it, NULL, 0);
  fails("a key is from 1 to 2^53 - 1");
  cafe_given_reset(it);
  cafe_then_row(it, 0, NULL, 0);
  fails("only a view has rows");
  cafe_given_reset(it);
  cafe_then_stands(it, "ended", "");
  fails("only a saga stands at steps");
  cafe_given_reset(it);
  cafe_when_restarted(it);
  fails("only a saga is restarted");
  cafe_given_reset(it);
  cafe_given_cause(it, CAFE_DATA(hold_locker_type, hold_locker, .guest = cafe_text("lee")));
  fails("HoldLocker: only a saga hears of a cause");
  cafe_given_reset(it);
  cafe_when_failed(it, &charge_card_type, CAFE_TIMEOUT);
  fails("ChargeCard: only what a saga asks is answered");
  cafe_given_reset(it);
  cafe_when_given_up(it, KIM);
  fails("the aggregate locker has no give_up");
  begin_rental(&rental_saga);
  cafe_when(it, KIM);
  fails("HoldLocker: only an aggregate decides");
  begin_rental(&rental_saga);
  cafe_given_time(it, 5);
  fails("a saga's time goes on: 5 is before 1000");
  begin_rental(&rental_saga);
  cafe_given_starve(it);
  fails("only an aggregate and a view take memory that can run out");
  begin_rental(&rental_saga);
  cafe_then_wants(it, NULL);
  fails("only an aggregate wants tasks");
}

static void texts_that_look_alike_are_told_apart(void **state) {
  char one[400], other[400];
  memset(one, 'x', sizeof one);
  memset(other, 'x', sizeof other);
  other[300] = 'y';
  begin(&locker_aggregate);
  cafe_given_event(it, CAFE_DATA(locker_held_type, locker_held, .guest = {one, 400}));
  cafe_then_is(it, CAFE_VALUE(locker, .guest = {other, 400}));
  assert_non_null(strstr(cafe_given_why(it), "xxx\"... (they differ from byte 300 on)"));
  cafe_given_reset(it);
  cafe_given_event(it, CAFE_DATA(locker_held_type, locker_held, .guest = cafe_text("a\"\n\\")));
  cafe_then_is(it, CAFE_VALUE(locker, .guest = cafe_text("b")));
  fails("the state isn't what was wanted:\n"
        "  Locker.guest: wanted \"b\", got \"a\\x22\\x0a\\x5c\"");
}

/* ---- without memory ---- */

static void play(void) {
  cafe_given_stream(it, NULL, 7);
  cafe_given_command(it, KIM);
  cafe_then_says(it, CAFE_ACCEPTED, KIM_HOLDS);
  cafe_given_command(it, CAFE_DATA(open_locker_type, open_locker, 2));
  cafe_then_is(it, CAFE_VALUE(locker, .guest = cafe_text("kim"), .fee_minor = 500, .is_open = true));
  cafe_then_wants(it, NULL);
  cafe_when(it, CAFE_DATA(hold_locker_type, hold_locker, .guest = cafe_text("lee")));
  cafe_then_refuses(it, "taken", NULL);
  cafe_given_starve(it);
}

static void play_rental(void) {
  cafe_given_stream(it, "locker", 7);
  cafe_given_events(it, KIM_HOLDS);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(charge_card_type, charge_card, 500)));
  cafe_when_answered(it, &charge_card_type, CAFE_ACCEPTED, CHARGED);
  cafe_when_answered(it, &open_locker_type, CAFE_ACCEPTED, STUCK);
  cafe_when_restarted(it);
  cafe_given_time(it, 9000);
  cafe_then_stands(it, "compensating", "charge");
}

/* Each allocation is refused in turn: that is told, and nothing is left behind. */
static void starve(bool is_saga) {
  failing_alloc memory;
  uint64_t told = 0;
  for (size_t n = 1; failing_alloc_begin(&memory, n); n++) {
    cafe_err err;
    it = NULL;
    int code = is_saga ? cafe_given_saga(&it, &rental_saga, &memory.allocator, &err)
                       : cafe_given_aggregate(&it, &locker_aggregate, &memory.allocator, &err);
    if (code) {
      assert_int_equal(code, CAFE_NOMEM);
    } else {
      if (is_saga)
        play_rental();
      else
        play();
      assert_int_equal(cafe_given_is_well(it), !memory.refused);
      if (memory.refused && !strstr(cafe_given_why(it), "memory"))
        fail_msg("%s", cafe_given_why(it));
      told += memory.refused != 0;
    }
    cafe_given_destroy(it);
    it = NULL;
    failing_alloc_end(&memory);
  }
  assert_true(told > 5);
}

static void without_memory_it_says_so(void **state) {
  starve(false);
  starve(true);
}

#define TEST(name) cmocka_unit_test_teardown(name, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(an_aggregate_that_is_right_passes),
      TEST(tasks_are_compared_with_their_ids),
      TEST(a_view_that_is_right_passes),
      TEST(a_policy_that_is_right_passes),
      TEST(a_saga_that_is_right_passes),
      TEST(a_saga_is_undone_in_its_order),
      TEST(an_attempt_that_failed_is_made_again_when_its_time_has_come),
      TEST(what_was_given_can_be_taken_back),
      TEST(a_wrong_field_is_named_with_what_was_wanted_and_what_came),
      TEST(another_verdict_and_another_event_are_told),
      TEST(what_a_node_would_refuse_is_refused_here),
      TEST(a_text_that_was_not_copied_is_found),
      TEST(a_fold_that_comes_out_otherwise_the_second_time_is_found),
      TEST(memory_that_runs_out_unseen_is_found),
      TEST(a_table_tells_every_row_that_is_wrong),
      TEST(a_view_with_a_mistake_is_told_by_its_column),
      TEST(a_policy_with_a_mistake_is_told),
      TEST(what_a_saga_would_have_forgotten_after_a_restart_is_found),
      TEST(a_saga_with_a_mistake_is_told),
      TEST(values_are_shown_by_their_type_and_secrets_not_at_all),
      TEST(a_view_with_several_rows_of_a_key),
      TEST(a_row_that_is_shown_by_its_column),
      TEST(who_gives_up_is_taken_back),
      TEST(tasks_that_no_node_would_take_are_told),
      TEST(a_callback_of_a_saga_that_fails_is_told_with_its_step),
      TEST(the_cause_is_handed_to_the_next_event_alone),
      TEST(a_definition_that_no_node_would_host_is_refused),
      TEST(a_test_that_asks_the_wrong_thing_is_told_so),
      TEST(texts_that_look_alike_are_told_apart),
      TEST(without_memory_it_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
