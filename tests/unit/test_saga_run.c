/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Small sagas, each showing one thing that the coordinator does. Every test runs twice: once in memory, once with the
 * saga written to its row and loaded again after every input.
 */
#include "test_saga_kit.h"

EVENT(Started);
EVENT(Paid);
EVENT(Declined);
EVENT(Refunded);
EVENT(Shipped);
EVENT(Lost);
EVENT(Arrived);
EVENT(Retried);
EVENT(Stranger);

ASK(hold)
ASK(unhold)
ASK(pay)
ASK(unpay)
ASK(ship)
ASK(tell)
ASK(refund)
ASK(give_up)
ASK(remind)
ASK(warn)

static void nothing(cafe_reaction *out, const void *data, void *user) {
  (void)out;
  (void)data;
}

static void both(cafe_reaction *out, const void *data, void *user) {
  hold(out, data, user);
  pay(out, data, user);
}

static int due_of_memory(int64_t *out, const void *data, void *user) {
  *out = ((const kit_memory *)data)->due_ms;
  return CAFE_OK;
}

/* ---- one after the other ---- */

static const cafe_saga_step trip_steps[] = {
    {.name = "hold", .kind = CAFE_STEP_COMPENSATABLE, .action = hold, .compensation = unhold},
    {.name = "pay",
     .kind = CAFE_STEP_COMPENSATABLE,
     .action = pay,
     .completes = SIGNALS(&Paid),
     .fails = SIGNALS(&Declined),
     .compensation = unpay,
     .compensated = SIGNALS(&Refunded, &Declined)},
    {.name = "ship", .kind = CAFE_STEP_PIVOT, .completes = SIGNALS(&Shipped), .fails = SIGNALS(&Lost)},
    {.name = "tell", .kind = CAFE_STEP_RETRIABLE, .action = tell},
};
static const cafe_saga trip = SAGA("trip", trip_steps, NULL, 0);

static void steps_follow_each_other_by_answers_and_by_signals(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_hears(&r, &Started, "hold#1");
  kit_at(&r, SAGA_RUNNING, "hold");
  kit_says(&r, "hold", 1, CAFE_ACCEPTED, "pay#1");
  kit_says(&r, "pay", 1, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_RUNNING, "pay");
  kit_hears(&r, &Paid, "");
  kit_at(&r, SAGA_RUNNING, "ship");
  kit_hears(&r, &Shipped, "tell#1");
  kit_says(&r, "tell", 1, CAFE_UNCHANGED, "");
  kit_at(&r, SAGA_ENDED, "");
  kit_close(&r);
}

static void early_signals_count_when_their_step_is_reached(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_hears(&r, &Started, "hold#1");
  kit_hears(&r, &Shipped, "");
  kit_hears(&r, &Paid, "");
  kit_at(&r, SAGA_RUNNING, "hold");
  kit_says(&r, "hold", 1, CAFE_ACCEPTED, "tell#1");
  kit_at(&r, SAGA_RUNNING, "tell");
  kit_close(&r);
}

static void what_comes_before_the_start_is_kept_and_remembered(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_hears(&r, &Paid, "");
  kit_at(&r, SAGA_NONE, "");
  assert_int_equal(kit_row(&r).started_at_ms, 0);
  kit_hears(&r, &Started, "hold#1");
  assert_int_equal(kit_row(&r).started_at_ms, KIT_START_MS);
  kit_says(&r, "hold", 1, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_RUNNING, "ship");
  assert_int_equal(kit_data(&r)->heard, 2);
  kit_close(&r);
}

static void a_signal_that_comes_again_changes_nothing(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_event(&r, &Started, 3, (kit_note){0, 0}, NULL);
  kit_asked(&r, "hold#1");
  kit_event(&r, &Started, 3, (kit_note){0, 0}, NULL);
  assert_false(r.changed);
  kit_event(&r, &Started, 2, (kit_note){0, 0}, NULL);
  assert_false(r.changed);
  kit_event(&r, &Stranger, 9, (kit_note){0, 0}, NULL);
  assert_false(r.changed);
  assert_int_equal(kit_data(&r)->heard, 1);
  assert_true(cafe_slice_equal(kit_data(&r)->last, cafe_text("Started")));
  kit_close(&r);
}

static void nothing_moves_a_saga_that_has_ended(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_hears(&r, &Started, "hold#1");
  kit_says(&r, "hold", 1, CAFE_REFUSED, "unhold~1");
  kit_answer(&r, SAGA_ASK_COMPENSATION, "hold", 1, CAFE_OK, CAFE_ACCEPTED);
  kit_at(&r, SAGA_UNDONE, "");
  kit_event(&r, &Paid, ++r.version, (kit_note){0, 0}, NULL);
  assert_false(r.changed);
  kit_event(&r, &Started, ++r.version, (kit_note){0, 0}, NULL);
  assert_false(r.changed);
  kit_resume(&r, "");
  kit_tick(&r, r.now_ms + 1000000, "");
  assert_int_equal(kit_due_ms(r.saga), 0);
  kit_close(&r);
}

static void a_secret_comes_from_the_command_behind_the_event(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  cafe_command cause = {&Chold, KIT_KEY, r.now_ms, NULL};
  kit_event(&r, &Started, 1, (kit_note){5, 0}, &cause);
  kit_asked(&r, "hold#1");
  assert_true(cafe_slice_equal(kit_data(&r)->token, cafe_text("hold")));
  assert_int_equal(((const kit_note *)r.asks.first->command->data)->n, 5);
  kit_close(&r);
}

/* ---- failing ---- */

static void a_failing_signal_undoes_what_was_entered_last_step_first(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_hears(&r, &Started, "hold#1");
  kit_says(&r, "hold", 1, CAFE_ACCEPTED, "pay#1");
  kit_hears(&r, &Paid, "");
  kit_hears(&r, &Lost, "unpay~1");
  kit_at(&r, SAGA_COMPENSATING, "pay");
  kit_answer(&r, SAGA_ASK_COMPENSATION, "pay", 1, CAFE_OK, CAFE_PENDING);
  kit_asked(&r, "");
  kit_at(&r, SAGA_COMPENSATING, "pay");
  kit_hears(&r, &Refunded, "unhold~1");
  kit_at(&r, SAGA_COMPENSATING, "hold");
  kit_hears(&r, &Shipped, "");
  kit_answer(&r, SAGA_ASK_COMPENSATION, "hold", 1, CAFE_OK, CAFE_UNCHANGED);
  kit_at(&r, SAGA_UNDONE, "");
  kit_close(&r);
}

static void a_signal_that_says_it_is_undone_counts_also_when_it_came_before(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_hears(&r, &Started, "hold#1");
  kit_says(&r, "hold", 1, CAFE_ACCEPTED, "pay#1");
  kit_hears(&r, &Declined, "unhold~1");
  kit_at(&r, SAGA_COMPENSATING, "hold");
  kit_close(&r);
}

static void a_step_that_failed_before_it_was_entered_is_not_asked_for(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_hears(&r, &Declined, "");
  kit_hears(&r, &Paid, "");
  kit_hears(&r, &Started, "hold#1");
  kit_says(&r, "hold", 1, CAFE_ACCEPTED, "unhold~1");
  kit_close(&r);
}

static void answers_to_what_was_left_change_nothing(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_hears(&r, &Started, "hold#1");
  kit_answer(&r, SAGA_ASK_ACTION, "hold", 2, CAFE_OK, CAFE_ACCEPTED);
  assert_false(r.changed);
  kit_answer(&r, SAGA_ASK_COMPENSATION, "hold", 1, CAFE_OK, CAFE_ACCEPTED);
  assert_false(r.changed);
  kit_answer(&r, SAGA_ASK_OTHER, "hold", 1, CAFE_OK, CAFE_ACCEPTED);
  assert_false(r.changed);
  cafe_err err;
  assert_int_equal(saga_answer(r.saga, SAGA_ASK_ACTION, 99, 1, CAFE_OK, CAFE_ACCEPTED, r.now_ms, 0, r.scratch, &r.asks,
                               &r.changed, &err),
                   CAFE_OK);
  assert_false(r.changed);
  kit_says(&r, "hold", 1, CAFE_ACCEPTED, "pay#1");
  kit_says(&r, "hold", 1, CAFE_REFUSED, "");
  assert_false(r.changed);
  kit_hears(&r, &Paid, "");
  kit_says(&r, "pay", 1, CAFE_REFUSED, "");
  assert_false(r.changed);
  kit_hears(&r, &Lost, "unpay~1");
  kit_says(&r, "pay", 1, CAFE_ACCEPTED, "");
  assert_false(r.changed);
  kit_answer(&r, SAGA_ASK_COMPENSATION, "hold", 1, CAFE_OK, CAFE_ACCEPTED);
  assert_false(r.changed);
  kit_close(&r);
}

static void a_refusal_where_events_decide_leaves_the_step_standing(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_hears(&r, &Started, "hold#1");
  kit_says(&r, "hold", 1, CAFE_ACCEPTED, "pay#1");
  kit_says(&r, "pay", 1, CAFE_REFUSED, "");
  kit_at(&r, SAGA_RUNNING, "pay");
  kit_hears(&r, &Paid, "");
  kit_at(&r, SAGA_RUNNING, "ship");
  kit_close(&r);
}

static void after_the_pivot_a_refusal_parks_until_a_restart_or_an_answer_helps(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_hears(&r, &Started, "hold#1");
  kit_hears(&r, &Paid, "");
  kit_hears(&r, &Shipped, "");
  kit_says(&r, "hold", 1, CAFE_ACCEPTED, "tell#1");
  kit_says(&r, "tell", 1, CAFE_REFUSED, "");
  kit_at(&r, SAGA_PARKED, "tell");
  kit_tick(&r, r.now_ms + 1000000, "");
  kit_resume(&r, "tell#2");
  kit_at(&r, SAGA_PARKED, "tell");
  kit_says(&r, "tell", 2, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_ENDED, "");
  kit_close(&r);
}

static const cafe_saga_step late_steps[] = {
    {.name = "ship", .kind = CAFE_STEP_PIVOT, .completes = SIGNALS(&Shipped)},
    {.name = "tell", .kind = CAFE_STEP_RETRIABLE, .action = tell, .completes = SIGNALS(&Arrived)},
    {.name = "both", .kind = CAFE_STEP_RETRIABLE, .action = both},
};
static const cafe_saga late = SAGA("late", late_steps, NULL, 0);

static void a_good_answer_frees_what_is_parked_also_where_events_decide(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &late);
  kit_hears(&r, &Started, "");
  kit_hears(&r, &Shipped, "tell#1");
  kit_says(&r, "tell", 1, CAFE_REFUSED, "");
  kit_at(&r, SAGA_PARKED, "tell");
  kit_resume(&r, "tell#2");
  assert_int_equal(kit_row(&r).attempt, 1);
  kit_at(&r, SAGA_PARKED, "tell");
  kit_says(&r, "tell", 2, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_RUNNING, "tell");
  kit_close(&r);
}

static void one_refused_command_of_several_parks_whatever_the_others_say(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &late);
  kit_hears(&r, &Started, "");
  kit_hears(&r, &Arrived, "");
  kit_hears(&r, &Shipped, "hold#1 pay#1");
  kit_says(&r, "both", 1, CAFE_REFUSED, "");
  kit_says(&r, "both", 1, CAFE_ACCEPTED, "");
  assert_false(r.changed);
  kit_at(&r, SAGA_PARKED, "both");
  kit_close(&r);
}

static void a_pending_answer_that_no_event_is_named_for_parks(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_hears(&r, &Started, "hold#1");
  kit_says(&r, "hold", 1, CAFE_PENDING, "");
  kit_at(&r, SAGA_PARKED, "hold");
  kit_says(&r, "hold", 1, CAFE_ACCEPTED, "pay#1");
  kit_at(&r, SAGA_RUNNING, "pay");
  kit_close(&r);
}

static void a_refused_compensation_parks_until_its_event_comes(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_hears(&r, &Started, "hold#1");
  kit_says(&r, "hold", 1, CAFE_ACCEPTED, "pay#1");
  kit_hears(&r, &Paid, "");
  kit_hears(&r, &Lost, "unpay~1");
  kit_answer(&r, SAGA_ASK_COMPENSATION, "pay", 1, CAFE_OK, CAFE_REFUSED);
  kit_at(&r, SAGA_PARKED, "pay");
  kit_resume(&r, "unpay~2");
  kit_hears(&r, &Refunded, "unhold~1");
  kit_at(&r, SAGA_COMPENSATING, "hold");
  kit_answer(&r, SAGA_ASK_COMPENSATION, "hold", 1, CAFE_OK, CAFE_REFUSED);
  kit_at(&r, SAGA_PARKED, "hold");
  kit_close(&r);
}

static const cafe_saga_step lone_steps[] = {
    {.name = "ship", .kind = CAFE_STEP_PIVOT, .action = ship, .completes = SIGNALS(&Shipped)},
};
static const cafe_saga lone = SAGA("lone", lone_steps, NULL, 0);

static void a_refusal_that_no_event_can_follow_parks(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &lone);
  kit_hears(&r, &Started, "ship#1");
  kit_says(&r, "ship", 1, CAFE_REFUSED, "");
  kit_at(&r, SAGA_PARKED, "ship");
  kit_hears(&r, &Shipped, "");
  kit_at(&r, SAGA_ENDED, "");
  kit_close(&r);
}

static const cafe_saga_step waiting_steps[] = {
    {.name = "hold", .kind = CAFE_STEP_COMPENSATABLE, .action = hold, .compensated = SIGNALS(&Refunded)},
    {.name = "pay",
     .kind = CAFE_STEP_COMPENSATABLE,
     .action = pay,
     .fails = SIGNALS(&Declined),
     .undo = CAFE_UNDO_SIGNAL},
    {.name = "ship", .kind = CAFE_STEP_PIVOT, .completes = SIGNALS(&Shipped), .fails = SIGNALS(&Lost)},
};
static const cafe_saga waiting = SAGA("waiting", waiting_steps, NULL, 0);

static void a_step_without_compensation_waits_for_the_signals_that_say_it_is_undone(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &waiting);
  kit_hears(&r, &Started, "hold#1");
  kit_says(&r, "hold", 1, CAFE_ACCEPTED, "pay#1");
  kit_hears(&r, &Declined, "");
  kit_at(&r, SAGA_COMPENSATING, "hold");
  kit_hears(&r, &Refunded, "");
  kit_at(&r, SAGA_UNDONE, "");
  kit_close(&r);
}

static void a_refusal_parks_only_where_nothing_else_is_named_that_could_come(void **state) {
  static const cafe_saga_timeout timeouts[] = {{"wait", due_of_memory, remind}, {NULL, NULL, NULL}};
  static const cafe_saga_turn turns[] = {{&Lost, "tell"}, {NULL, NULL}};
  static const cafe_schema *const signals[] = {&Declined, NULL};
  for (int i = 0; i < 4; i++) {
    cafe_saga_step steps[2] = {lone_steps[0], {.name = "tell", .kind = CAFE_STEP_RETRIABLE, .action = tell}};
    cafe_saga saga = lone;
    steps[0].fails = i == 0 ? signals : NULL;
    steps[0].again = i == 1 ? signals : NULL;
    steps[0].turns = i == 2 ? turns : NULL;
    steps[0].timeouts = i == 3 ? timeouts : NULL;
    saga.steps = steps;
    saga.step_count = 2;
    kit_rig r;
    KIT_OPEN(&r, &saga);
    kit_hears(&r, &Started, "ship#1");
    kit_says(&r, "ship", 1, CAFE_REFUSED, "");
    kit_at(&r, SAGA_RUNNING, "ship");
    kit_close(&r);
  }
}

/* ---- how many commands an ask names ---- */

static const cafe_saga_step silent_steps[] = {
    {.name = "none", .kind = CAFE_STEP_COMPENSATABLE, .action = nothing, .compensation = nothing},
    {.name = "event",
     .kind = CAFE_STEP_COMPENSATABLE,
     .action = nothing,
     .completes = SIGNALS(&Paid),
     .fails = SIGNALS(&Declined),
     .compensation = nothing,
     .compensated = SIGNALS(&Refunded)},
    {.name = "two", .kind = CAFE_STEP_PIVOT, .action = both},
};
static const cafe_saga silent = SAGA("silent", silent_steps, NULL, 0);

static void an_action_that_names_no_command_is_done_unless_events_decide(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &silent);
  kit_hears(&r, &Started, "");
  kit_at(&r, SAGA_RUNNING, "event");
  kit_hears(&r, &Declined, "");
  kit_at(&r, SAGA_COMPENSATING, "event");
  kit_hears(&r, &Refunded, "");
  kit_at(&r, SAGA_UNDONE, "");
  kit_close(&r);
}

static void an_action_of_several_commands_is_done_when_each_is_answered(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &silent);
  kit_hears(&r, &Started, "");
  kit_hears(&r, &Paid, "hold#1 pay#1");
  kit_says(&r, "two", 1, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_RUNNING, "two");
  kit_says(&r, "two", 1, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_ENDED, "");
  kit_close(&r);
}

static void one_failed_command_of_several_asks_them_all_again(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &silent);
  kit_hears(&r, &Started, "");
  kit_hears(&r, &Paid, "hold#1 pay#1");
  kit_lost(&r, "two", 1, CAFE_UNAVAILABLE, "");
  kit_says(&r, "two", 1, CAFE_ACCEPTED, "");
  assert_false(r.changed);
  kit_tick(&r, r.now_ms, "hold#2 pay#2");
  kit_says(&r, "two", 2, CAFE_ACCEPTED, "");
  kit_says(&r, "two", 2, CAFE_REFUSED, "");
  kit_at(&r, SAGA_COMPENSATING, "event");
  kit_close(&r);
}

/* ---- asking again ---- */

static const cafe_saga_step patient_steps[] = {
    {.name = "pay",
     .kind = CAFE_STEP_COMPENSATABLE,
     .action = pay,
     .again = SIGNALS(&Retried),
     .completes = SIGNALS(&Paid),
     .fails = SIGNALS(&Declined),
     .timeouts = (const cafe_saga_timeout[]){{"wait", due_of_memory, remind}, {NULL, NULL, NULL}},
     .compensation = unpay,
     .retry = {200, 1000, 3, 700},
     .deadline_ms = due_of_memory,
     .unavailable = give_up},
    {.name = "ship", .kind = CAFE_STEP_PIVOT, .action = ship},
    {.name = "tell", .kind = CAFE_STEP_RETRIABLE, .action = tell},
};
static const cafe_saga patient = SAGA("patient", patient_steps, NULL, 0);

static void a_failed_attempt_is_asked_again_after_full_jitter(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &patient);
  int64_t start = r.now_ms;
  kit_hears(&r, &Started, "pay#1");
  assert_int_equal(r.asks.first->timeout_ms, 700);
  assert_int_equal(r.asks.first->deadline_ms, 0);
  r.random = 200;
  kit_lost(&r, "pay", 1, CAFE_UNAVAILABLE, "");
  assert_int_equal(kit_due_ms(r.saga), start + 200);
  assert_int_equal(kit_row(&r).attempt, 1);
  kit_tick(&r, start + 199, "");
  assert_false(r.changed);
  kit_tick(&r, start + 200, "pay#2");
  assert_int_equal(kit_due_ms(r.saga), 0);
  assert_int_equal(kit_row(&r).attempt, 2);
  r.random = 401;
  kit_lost(&r, "pay", 2, CAFE_TIMEOUT, "");
  assert_int_equal(kit_due_ms(r.saga), start + 200);
  kit_tick(&r, start + 200, "pay#3");
  kit_hears(&r, &Paid, "ship#1");
  assert_int_equal(kit_row(&r).attempt, 1);
  kit_close(&r);
}

static void back_off_doubles_up_to_its_bound(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &trip);
  kit_hears(&r, &Started, "hold#1");
  static const int64_t bounds[] = {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
  for (uint32_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
    char expected[16];
    r.random = (uint64_t)bounds[i];
    kit_lost(&r, "hold", i + 1, CAFE_OVERLOADED, "");
    assert_int_equal(kit_due_ms(r.saga), r.now_ms + bounds[i]);
    snprintf(expected, sizeof(expected), "hold#%u", i + 2);
    kit_tick(&r, r.now_ms + bounds[i], expected);
    assert_int_equal(r.asks.first->timeout_ms, 5000);
    kit_at(&r, SAGA_RUNNING, "hold");
  }
  r.random = 10001;
  kit_lost(&r, "hold", 10, CAFE_CANCELED, "");
  assert_int_equal(kit_due_ms(r.saga), r.now_ms);
  kit_tick(&r, r.now_ms, "hold#11");
  kit_close(&r);
}

static void used_up_attempts_that_surely_did_nothing_ask_what_then(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &patient);
  kit_hears(&r, &Started, "pay#1");
  kit_lost(&r, "pay", 1, CAFE_UNAVAILABLE, "");
  kit_tick(&r, r.now_ms, "pay#2");
  kit_lost(&r, "pay", 2, CAFE_OVERLOADED, "");
  kit_tick(&r, r.now_ms, "pay#3");
  kit_lost(&r, "pay", 3, CAFE_UNAVAILABLE, "give_up");
  assert_int_equal(r.asks.first->kind, SAGA_ASK_OTHER);
  kit_at(&r, SAGA_RUNNING, "pay");
  assert_int_equal(kit_due_ms(r.saga), 0);
  kit_resume(&r, "");
  kit_hears(&r, &Declined, "unpay~1");
  kit_close(&r);
}

static void one_unknown_attempt_forbids_to_say_that_nothing_was_done(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &patient);
  kit_hears(&r, &Started, "pay#1");
  kit_lost(&r, "pay", 1, CAFE_TIMEOUT, "");
  kit_tick(&r, r.now_ms, "pay#2");
  kit_lost(&r, "pay", 2, CAFE_UNAVAILABLE, "");
  kit_tick(&r, r.now_ms, "pay#3");
  kit_lost(&r, "pay", 3, CAFE_UNAVAILABLE, "");
  kit_at(&r, SAGA_RUNNING, "pay");
  kit_hears(&r, &Retried, "pay#4");
  kit_lost(&r, "pay", 4, CAFE_INVALID, "");
  kit_at(&r, SAGA_RUNNING, "pay");
  kit_close(&r);
}

static void a_failure_that_no_repeat_cures_is_not_repeated(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &patient);
  kit_hears(&r, &Started, "pay#1");
  kit_lost(&r, "pay", 1, CAFE_INVALID, "give_up");
  assert_int_equal(kit_due_ms(r.saga), 0);
  kit_close(&r);
}

static void no_attempt_outlasts_the_deadline(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &patient);
  int64_t deadline = r.now_ms + 300;
  kit_event(&r, &Started, 1, (kit_note){0, deadline}, NULL);
  kit_asked(&r, "pay#1");
  assert_int_equal(r.asks.first->timeout_ms, 300);
  assert_int_equal(r.asks.first->deadline_ms, deadline);
  r.now_ms += 200;
  r.random = 99;
  kit_lost(&r, "pay", 1, CAFE_UNAVAILABLE, "");
  assert_int_equal(kit_due_ms(r.saga), deadline - 1);
  kit_tick(&r, deadline - 1, "pay#2");
  assert_int_equal(r.asks.first->timeout_ms, 1);
  r.random = 1;
  kit_lost(&r, "pay", 2, CAFE_UNAVAILABLE, "give_up");
  assert_int_equal(kit_due_ms(r.saga), deadline);
  kit_tick(&r, deadline, "remind");
  kit_close(&r);
}

/* ---- who waits has a budget ---- */

static void call_for(kit_rig *r, int64_t deadline_ms, uint32_t retries) {
  saga_instance_set_caller(r->saga, (saga_caller){true, deadline_ms, retries});
}

static void nobody_calls(kit_rig *r) { saga_instance_set_caller(r->saga, (saga_caller){false, 0, 0}); }

/* Begins with a deadline of the step's own, 300 ms away. */
static void begin_for(kit_rig *r, int64_t within_ms, uint32_t retries) {
  kit_open(r, &patient, false);
  call_for(r, within_ms ? r->now_ms + within_ms : 0, retries);
  kit_event(r, &Started, 1, (kit_note){0, r->now_ms + 300}, NULL);
  nobody_calls(r);
}

/* C4: the deadline travels with the request, and so do the retries. */
static void a_request_carries_what_is_left_to_the_caller_and_the_step(void **state) {
  static const struct {
    int64_t within_ms;
    uint32_t retries;
    int64_t timeout_ms;
    uint32_t left;
  } cases[] = {{100, UINT32_MAX, 100, 2}, {0, 1, 300, 1},   {5000, 5, 300, 2},
               {299, 2, 299, 2},          {300, 0, 300, 0}, {0, UINT32_MAX, 300, 2}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    kit_rig r;
    begin_for(&r, cases[i].within_ms, cases[i].retries);
    kit_asked(&r, "pay#1");
    assert_int_equal(r.asks.first->timeout_ms, cases[i].timeout_ms);
    assert_int_equal(r.asks.first->deadline_ms, r.now_ms + cases[i].timeout_ms);
    assert_int_equal(r.asks.first->retries, cases[i].left);
    kit_close(&r);
  }
}

static void an_attempt_beyond_the_callers_retries_is_not_made(void **state) {
  for (uint32_t retries = 0; retries <= 2; retries++) {
    kit_rig r;
    begin_for(&r, 0, retries);
    kit_asked(&r, "pay#1");
    uint32_t attempt = 1;
    for (; attempt <= retries; attempt++) {
      kit_lost(&r, "pay", attempt, CAFE_UNAVAILABLE, "");
      kit_tick(&r, r.now_ms, attempt == 1 ? "pay#2" : "pay#3");
      assert_int_equal(r.asks.first->retries, retries - attempt);
    }
    kit_lost(&r, "pay", attempt, CAFE_UNAVAILABLE, "give_up");
    kit_close(&r);
  }
}

static void no_attempt_outlasts_the_caller(void **state) {
  kit_rig r;
  begin_for(&r, 100, UINT32_MAX);
  kit_asked(&r, "pay#1");
  int64_t start = r.now_ms;
  r.random = 60;
  kit_lost(&r, "pay", 1, CAFE_UNAVAILABLE, "");
  kit_tick(&r, start + 60, "pay#2");
  assert_int_equal(r.asks.first->timeout_ms, 40);
  kit_lost(&r, "pay", 2, CAFE_UNAVAILABLE, "give_up"); /* the next one would come at 120 */
  kit_close(&r);
  begin_for(&r, 100, UINT32_MAX);
  kit_asked(&r, "pay#1");
  kit_lost(&r, "pay", 1, CAFE_UNAVAILABLE, "");
  kit_tick(&r, r.now_ms + 100, "give_up"); /* a tick that comes late */
  kit_close(&r);
}

/* Two wait for the same: neither is cut short by the other. */
static void whoever_has_more_left_decides(void **state) {
  static const struct {
    int64_t first_ms, second_ms;
    uint32_t first_retries, second_retries;
    int64_t timeout_ms;
    uint32_t left;
  } cases[] = {
      {200, 100, 1, 0, 200, 1}, {100, 200, 0, 1, 200, 1}, {0, 100, 2, 2, 300, 2}, {100, 0, 0, UINT32_MAX, 300, 2}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    kit_rig r;
    begin_for(&r, cases[i].first_ms, cases[i].first_retries);
    kit_asked(&r, "pay#1");
    call_for(&r, cases[i].second_ms ? r.now_ms + cases[i].second_ms : 0, cases[i].second_retries);
    kit_event(&r, &Retried, 2, (kit_note){0, 0}, NULL);
    kit_asked(&r, "pay#2");
    assert_int_equal(r.asks.first->timeout_ms, cases[i].timeout_ms);
    assert_int_equal(r.asks.first->retries, cases[i].left);
    kit_close(&r);
  }
  kit_rig r; /* asked again by nobody who waits: as the step says */
  begin_for(&r, 100, 0);
  kit_asked(&r, "pay#1");
  kit_event(&r, &Retried, 2, (kit_note){0, 0}, NULL);
  kit_asked(&r, "pay#2");
  assert_int_equal(r.asks.first->timeout_ms, 300);
  assert_int_equal(r.asks.first->retries, 2);
  kit_close(&r);
}

/* After a crash nobody waits: the row decides. Nor does anybody wait for a step without a deadline. */
static void without_a_caller_the_step_decides_alone(void **state) {
  kit_rig r;
  begin_for(&r, 100, 0);
  kit_asked(&r, "pay#1");
  kit_restart(&r);
  kit_lost(&r, "pay", 1, CAFE_UNAVAILABLE, "");
  kit_tick(&r, r.now_ms + 150, "pay#2");
  assert_int_equal(r.asks.first->timeout_ms, 150);
  assert_int_equal(r.asks.first->retries, 1);
  call_for(&r, r.now_ms + 10, 0);
  kit_hears(&r, &Paid, "ship#1"); /* a step that has none */
  assert_int_equal(r.asks.first->deadline_ms, 0);
  assert_int_equal(r.asks.first->retries, UINT32_MAX);
  for (uint32_t attempt = 1; attempt < 5; attempt++) {
    kit_lost(&r, "ship", attempt, CAFE_UNAVAILABLE, "");
    r.now_ms += 20000;
    assert_int_equal(saga_tick(r.saga, r.now_ms, r.scratch, &r.asks, &r.changed, NULL), CAFE_OK);
    assert_int_equal(r.asks.count, 1);
  }
  kit_close(&r);
}

static void a_step_reached_after_its_deadline_is_not_asked_for(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &patient);
  kit_event(&r, &Started, 1, (kit_note){0, r.now_ms}, NULL);
  kit_asked(&r, "give_up");
  kit_at(&r, SAGA_RUNNING, "pay");
  /* A tick that comes late finds the deadline passed. */
  kit_event(&r, &Retried, 2, (kit_note){0, r.now_ms + 500}, NULL);
  kit_asked(&r, "pay#1");
  kit_lost(&r, "pay", 1, CAFE_UNAVAILABLE, "");
  kit_tick(&r, r.now_ms + 500, "give_up remind");
  kit_close(&r);
}

static void again_asks_each_time_and_begins_a_new_run(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &patient);
  kit_event(&r, &Retried, 1, (kit_note){0, 0}, NULL);
  kit_asked(&r, "");
  kit_event(&r, &Started, 2, (kit_note){0, 0}, NULL);
  kit_asked(&r, "pay#1");
  kit_event(&r, &Retried, 3, (kit_note){0, 0}, NULL);
  kit_asked(&r, "pay#2");
  kit_event(&r, &Retried, 3, (kit_note){0, 0}, NULL);
  kit_event(&r, &Retried, 2, (kit_note){0, 0}, NULL);
  kit_asked(&r, "");
  kit_lost(&r, "pay", 1, CAFE_UNAVAILABLE, "");
  assert_false(r.changed);
  kit_lost(&r, "pay", 2, CAFE_UNAVAILABLE, "");
  kit_event(&r, &Retried, 4, (kit_note){0, 0}, NULL);
  kit_asked(&r, "pay#3");
  assert_int_equal(kit_due_ms(r.saga), 0);
  kit_lost(&r, "pay", 3, CAFE_UNAVAILABLE, "");
  kit_tick(&r, r.now_ms, "pay#4");
  kit_lost(&r, "pay", 4, CAFE_UNAVAILABLE, "");
  kit_tick(&r, r.now_ms, "pay#5");
  /* The attempt that was still out when `again` came may have done something. */
  kit_lost(&r, "pay", 5, CAFE_UNAVAILABLE, "");
  kit_event(&r, &Paid, 5, (kit_note){0, 0}, NULL);
  kit_asked(&r, "ship#1");
  kit_event(&r, &Retried, 6, (kit_note){0, 0}, NULL);
  kit_asked(&r, "");
  kit_close(&r);
}

static const cafe_saga_step once_steps[] = {
    {.name = "ship",
     .kind = CAFE_STEP_PIVOT,
     .action = ship,
     .again = SIGNALS(&Retried),
     .retry = {0, 0, 1, 0},
     .unavailable = nothing},
};
static const cafe_saga once = SAGA("once", once_steps, NULL, 0);

static void a_used_up_action_that_nothing_steers_parks_and_again_frees_it(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &once);
  kit_hears(&r, &Started, "ship#1");
  assert_int_equal(r.asks.first->timeout_ms, 0);
  kit_lost(&r, "ship", 1, CAFE_TIMEOUT, "");
  kit_at(&r, SAGA_PARKED, "ship");
  kit_hears(&r, &Retried, "ship#2");
  kit_at(&r, SAGA_RUNNING, "ship");
  kit_says(&r, "ship", 2, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_ENDED, "");
  kit_close(&r);
}

static void after_a_restart_what_was_out_is_asked_again_at_no_cost(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &patient);
  kit_hears(&r, &Started, "pay#1");
  kit_resume(&r, "pay#2");
  kit_lost(&r, "pay", 1, CAFE_UNAVAILABLE, "");
  assert_false(r.changed);
  assert_int_equal(kit_row(&r).attempt, 1);
  kit_lost(&r, "pay", 2, CAFE_UNAVAILABLE, "");
  kit_resume(&r, "");
  assert_false(r.changed);
  kit_tick(&r, r.now_ms, "pay#3");
  kit_lost(&r, "pay", 3, CAFE_UNAVAILABLE, "");
  kit_tick(&r, r.now_ms, "pay#4");
  /* Used up, but the first one isn't known. */
  kit_lost(&r, "pay", 4, CAFE_UNAVAILABLE, "");
  kit_hears(&r, &Paid, "ship#1");
  kit_says(&r, "ship", 1, CAFE_REFUSED, "unpay~1");
  kit_resume(&r, "unpay~2");
  kit_close(&r);
}

static void a_compensation_is_asked_without_end_and_whatever_the_deadline(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &patient);
  kit_event(&r, &Started, 1, (kit_note){0, r.now_ms + 100}, NULL);
  kit_asked(&r, "pay#1");
  kit_event(&r, &Declined, 2, (kit_note){0, 0}, NULL);
  kit_asked(&r, "unpay~1");
  assert_int_equal(r.asks.first->deadline_ms, 0);
  assert_int_equal(r.asks.first->timeout_ms, 700);
  for (uint32_t i = 1; i < 9; i++) {
    char expected[16];
    r.random = 0;
    kit_answer(&r, SAGA_ASK_COMPENSATION, "pay", i, i % 2 ? CAFE_TIMEOUT : CAFE_UNAVAILABLE, 0);
    kit_asked(&r, "");
    assert_int_equal(kit_due_ms(r.saga), r.now_ms);
    kit_at(&r, SAGA_COMPENSATING, "pay");
    snprintf(expected, sizeof(expected), "unpay~%u", i + 1);
    kit_tick(&r, r.now_ms, expected);
    r.now_ms += 1000;
  }
  kit_answer(&r, SAGA_ASK_COMPENSATION, "pay", 9, CAFE_UNSUPPORTED, 0);
  kit_at(&r, SAGA_PARKED, "pay");
  kit_resume(&r, "unpay~10");
  kit_answer(&r, SAGA_ASK_COMPENSATION, "pay", 10, CAFE_OK, CAFE_ACCEPTED);
  kit_at(&r, SAGA_UNDONE, "");
  kit_close(&r);
}

static const cafe_saga_step quiet_steps[] = {
    {.name = "pay",
     .kind = CAFE_STEP_COMPENSATABLE,
     .action = pay,
     .fails = SIGNALS(&Declined),
     .compensation = nothing,
     .compensated = SIGNALS(&Refunded)},
    {.name = "ship", .kind = CAFE_STEP_PIVOT, .completes = SIGNALS(&Shipped)},
};
static const cafe_saga quiet = SAGA("quiet", quiet_steps, NULL, 0);

static void a_compensation_may_turn_out_to_name_nothing_later(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &quiet);
  kit_hears(&r, &Started, "pay#1");
  kit_hears(&r, &Declined, "");
  kit_hears(&r, &Shipped, "");
  kit_at(&r, SAGA_COMPENSATING, "pay");
  kit_resume(&r, "");
  kit_hears(&r, &Refunded, "");
  kit_at(&r, SAGA_UNDONE, "");
  kit_close(&r);
}

static void what_retry_leaves_out_has_a_default(void **state) {
  static const struct {
    cafe_retry retry;
    int64_t deadline_ms;
    int64_t timeout_ms;
    int64_t bound_ms;
  } rows[] = {
      {{0, 0, 0, 0}, 0, 5000, 100},     {{0, 0, 1000, 0}, 0, 0, 100},    {{0, 50, 0, 0}, 0, 0, 50},
      {{0, 0, 0, 70}, 0, 70, 100},      {{20000, 0, 0, 0}, 0, 0, 20000}, {{0, 0, 0, 70}, 500, 70, 100},
      {{0, 0, 1000, 0}, 500, 500, 100}, {{0, 0, 0, 0}, 500, 500, 100},   {{7, 7, 0, 9}, 0, 9, 7},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    cafe_saga_step steps[3];
    cafe_saga saga = patient;
    memcpy(steps, patient_steps, sizeof(steps));
    steps[0].retry = rows[i].retry;
    saga.steps = steps;
    kit_rig r;
    KIT_OPEN(&r, &saga);
    kit_event(&r, &Started, 1, (kit_note){0, rows[i].deadline_ms ? r.now_ms + rows[i].deadline_ms : 0}, NULL);
    kit_asked(&r, "pay#1");
    assert_int_equal(r.asks.first->timeout_ms, rows[i].timeout_ms);
    r.random = (uint64_t)rows[i].bound_ms;
    kit_lost(&r, "pay", 1, CAFE_UNAVAILABLE, "");
    assert_int_equal(kit_due_ms(r.saga), r.now_ms + rows[i].bound_ms);
    kit_close(&r);
  }
}

static void which_failures_leave_open_whether_something_was_done(void **state) {
  static const struct {
    int code;
    bool is_repeated;
    bool is_definite;
  } rows[] = {
      {CAFE_INVALID, false, true},     {CAFE_NOMEM, true, true},       {CAFE_OVERLOADED, true, true},
      {CAFE_TIMEOUT, true, false},     {CAFE_CANCELED, true, false},   {CAFE_CONFLICT, true, true},
      {CAFE_NOT_FOUND, false, true},   {CAFE_UNAVAILABLE, true, true}, {CAFE_CORRUPT, false, false},
      {CAFE_UNSUPPORTED, false, true}, {CAFE_DENIED, false, true},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    kit_rig r;
    KIT_OPEN(&r, &patient);
    kit_hears(&r, &Started, "pay#1");
    kit_answer(&r, SAGA_ASK_ACTION, "pay", 1, rows[i].code, 0);
    assert_int_equal(kit_due_ms(r.saga) != 0, rows[i].is_repeated);
    if (rows[i].is_repeated) {
      kit_tick(&r, r.now_ms, "pay#2");
      kit_answer(&r, SAGA_ASK_ACTION, "pay", 2, CAFE_INVALID, 0);
    }
    kit_asked(&r, rows[i].is_definite ? "give_up" : "");
    kit_close(&r);
  }
}

/* ---- time ---- */

static void a_timeout_fires_once_for_each_due_time_while_its_step_stands(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &patient);
  int64_t start = r.now_ms;
  kit_hears(&r, &Started, "pay#1");
  kit_says(&r, "pay", 1, CAFE_PENDING, "");
  assert_int_equal(kit_due_ms(r.saga), 0);
  kit_event(&r, &Retried, ++r.version, (kit_note){0, start + 50}, NULL);
  kit_asked(&r, "pay#2");
  assert_int_equal(kit_due_ms(r.saga), start + 50);
  assert_int_equal(kit_row(&r).due_ms, start + 50);
  kit_tick(&r, start + 49, "");
  assert_false(r.changed);
  kit_tick(&r, start + 50, "remind");
  kit_tick(&r, start + 60, "");
  assert_int_equal(kit_due_ms(r.saga), 0);
  kit_event(&r, &Retried, ++r.version, (kit_note){0, start + 40}, NULL);
  kit_tick(&r, start + 61, "");
  kit_event(&r, &Retried, ++r.version, (kit_note){0, start + 90}, NULL);
  kit_asked(&r, "pay#3");
  kit_tick(&r, start + 90, "remind");
  kit_event(&r, &Paid, ++r.version, (kit_note){0, start + 100}, NULL);
  kit_asked(&r, "ship#1");
  assert_int_equal(kit_due_ms(r.saga), 0);
  kit_tick(&r, start + 200, "");
  kit_close(&r);
}

static int never(int64_t *out, const void *data, void *user) { return CAFE_OK; /* *out as it was set */ }

static const cafe_saga_step clocked_steps[] = {
    {.name = "ship",
     .kind = CAFE_STEP_PIVOT,
     .action = ship,
     .timeouts = (const cafe_saga_timeout[]){{"never", never, tell},
                                             {"wait", due_of_memory, remind},
                                             {"wait too", due_of_memory, warn},
                                             {NULL, NULL, NULL}}},
};
static const cafe_saga clocked = SAGA("clock", clocked_steps, NULL, 0);

static void the_earliest_of_timeouts_and_retries_is_due_first(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &clocked);
  int64_t start = r.now_ms;
  kit_event(&r, &Started, 1, (kit_note){0, start + 50}, NULL);
  kit_asked(&r, "ship#1");
  r.random = 40;
  kit_lost(&r, "ship", 1, CAFE_UNAVAILABLE, "");
  assert_int_equal(kit_due_ms(r.saga), start + 40);
  kit_tick(&r, start + 40, "ship#2");
  r.random = 20;
  kit_lost(&r, "ship", 2, CAFE_UNAVAILABLE, "");
  assert_int_equal(kit_due_ms(r.saga), start + 50);
  kit_tick(&r, start + 70, "ship#3 remind warn");
  assert_int_equal(kit_due_ms(r.saga), 0);
  kit_close(&r);
}

/* ---- turns and branches ---- */

static const cafe_saga_step forked_steps[] = {
    {.name = "ship", .kind = CAFE_STEP_PIVOT, .completes = SIGNALS(&Shipped)},
    {.name = "charge", .kind = CAFE_STEP_RETRIABLE, .branch = "money", .after = "ship", .action = pay},
    {.name = "arrive",
     .kind = CAFE_STEP_RETRIABLE,
     .completes = SIGNALS(&Arrived),
     .turns = (const cafe_saga_turn[]){{&Lost, "refund"}, {&Declined, NULL}, {NULL, NULL}}},
    {.name = "tell", .kind = CAFE_STEP_RETRIABLE, .action = tell},
    {.name = "refund", .kind = CAFE_STEP_RETRIABLE, .action = refund},
};
static const cafe_saga forked = SAGA("forked", forked_steps, NULL, 0);

static void a_branch_runs_beside_main_and_the_saga_ends_with_the_last(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &forked);
  kit_hears(&r, &Started, "");
  kit_hears(&r, &Shipped, "pay#1");
  kit_at(&r, SAGA_RUNNING, "arrive+charge");
  kit_hears(&r, &Arrived, "tell#1");
  kit_says(&r, "tell", 1, CAFE_ACCEPTED, "refund#1");
  kit_says(&r, "refund", 1, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_RUNNING, "charge");
  kit_says(&r, "charge", 1, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_ENDED, "");
  kit_close(&r);
}

static void a_turn_leads_to_another_step_and_skips_those_between(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &forked);
  kit_hears(&r, &Started, "");
  kit_hears(&r, &Shipped, "pay#1");
  kit_says(&r, "charge", 1, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_RUNNING, "arrive");
  kit_hears(&r, &Lost, "refund#1");
  kit_says(&r, "refund", 1, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_ENDED, "");
  kit_close(&r);
}

static void a_turn_to_nowhere_ends_its_branch(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &forked);
  kit_hears(&r, &Declined, "");
  kit_hears(&r, &Arrived, "");
  kit_hears(&r, &Started, "");
  kit_hears(&r, &Shipped, "pay#1");
  kit_at(&r, SAGA_RUNNING, "charge");
  kit_says(&r, "charge", 1, CAFE_REFUSED, "");
  kit_at(&r, SAGA_PARKED, "charge");
  kit_resume(&r, "pay#2");
  kit_says(&r, "charge", 2, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_ENDED, "");
  kit_close(&r);
}

static const cafe_saga_step joined_steps[] = {
    {.name = "start", .kind = CAFE_STEP_COMPENSATABLE, .completes = SIGNALS(&Retried)},
    {.name = "hold",
     .kind = CAFE_STEP_COMPENSATABLE,
     .branch = "room",
     .after = "start",
     .action = hold,
     .completes = SIGNALS(&Arrived),
     .fails = SIGNALS(&Lost),
     .compensation = unhold},
    {.name = "pay", .kind = CAFE_STEP_COMPENSATABLE, .action = pay, .compensation = unpay},
    {.name = "ship", .kind = CAFE_STEP_PIVOT, .action = ship},
    {.name = "tell", .kind = CAFE_STEP_RETRIABLE, .action = tell},
};
static const cafe_saga joined = SAGA("joined", joined_steps, NULL, 0);

static void the_pivot_waits_for_branches_that_began_before_it(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &joined);
  kit_hears(&r, &Started, "");
  kit_hears(&r, &Retried, "hold#1 pay#1");
  kit_says(&r, "pay", 1, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_RUNNING, "ship+hold");
  kit_tick(&r, r.now_ms + 100000, "");
  kit_resume(&r, "hold#2");
  kit_hears(&r, &Arrived, "ship#1");
  kit_at(&r, SAGA_RUNNING, "ship");
  kit_hears(&r, &Lost, "");
  kit_says(&r, "ship", 1, CAFE_ACCEPTED, "tell#1");
  kit_says(&r, "tell", 1, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_ENDED, "");
  kit_close(&r);
}

static void a_branch_that_fails_before_the_pivot_undoes_what_was_entered_last_first(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &joined);
  kit_hears(&r, &Started, "");
  kit_hears(&r, &Retried, "hold#1 pay#1");
  kit_says(&r, "pay", 1, CAFE_ACCEPTED, "");
  kit_hears(&r, &Lost, "unpay~1");
  kit_answer(&r, SAGA_ASK_COMPENSATION, "pay", 1, CAFE_OK, CAFE_ACCEPTED);
  kit_asked(&r, "unhold~1");
  kit_at(&r, SAGA_COMPENSATING, "hold");
  kit_answer(&r, SAGA_ASK_COMPENSATION, "hold", 1, CAFE_OK, CAFE_ACCEPTED);
  kit_at(&r, SAGA_UNDONE, "");
  kit_close(&r);
}

static void again_is_not_asked_where_the_same_signal_fails_the_saga_beside(void **state) {
  cafe_saga_step steps[5];
  cafe_saga saga = joined;
  static const cafe_schema *const lost[] = {&Lost, NULL};
  memcpy(steps, joined_steps, sizeof(steps));
  steps[2].again = lost;
  saga.steps = steps;
  kit_rig r;
  KIT_OPEN(&r, &saga);
  kit_hears(&r, &Started, "");
  kit_hears(&r, &Retried, "hold#1 pay#1");
  kit_hears(&r, &Lost, "unpay~1");
  kit_close(&r);
}

static void the_earlier_retry_of_two_branches_is_due_first(void **state) {
  kit_rig r;
  KIT_OPEN(&r, &joined);
  kit_hears(&r, &Started, "");
  kit_hears(&r, &Retried, "hold#1 pay#1");
  r.random = 90;
  kit_lost(&r, "hold", 1, CAFE_UNAVAILABLE, "");
  assert_int_equal(kit_due_ms(r.saga), r.now_ms + 90);
  r.random = 95;
  kit_lost(&r, "pay", 1, CAFE_UNAVAILABLE, "");
  assert_int_equal(kit_due_ms(r.saga), r.now_ms + 90);
  kit_tick(&r, r.now_ms + 90, "hold#2");
  assert_int_equal(kit_due_ms(r.saga), r.now_ms + 5);
  r.random = 6;
  kit_lost(&r, "hold", 2, CAFE_UNAVAILABLE, "");
  assert_int_equal(kit_due_ms(r.saga), r.now_ms + 5);
  kit_tick(&r, r.now_ms + 6, "hold#3 pay#2");
  kit_close(&r);
}

/* ---- what a definition can get wrong while it runs ---- */

static void keyless(cafe_reaction *out, const void *data, void *user) {
  (void)data;
  cafe_react(out, &Cpay, 0, &(kit_note){0, 0}, sizeof(kit_note));
}

static void a_command_outside_its_type_fails_the_input(void **state) {
  cafe_saga_step steps[3];
  cafe_saga saga = patient;
  cafe_err err;
  memcpy(steps, patient_steps, sizeof(steps));
  steps[0].unavailable = keyless;
  saga.steps = steps;
  kit_rig r;
  KIT_OPEN(&r, &saga);
  kit_hears(&r, &Started, "pay#1");
  assert_int_equal(
      saga_answer(r.saga, SAGA_ASK_ACTION, 0, 1, CAFE_DENIED, 0, r.now_ms, 0, r.scratch, &r.asks, &r.changed, &err),
      CAFE_INVALID);
  assert_string_equal(err.text,
                      "the saga patient can't ask what it has to in step pay of key 7: pay: its key must be from 1 to "
                      "2^53 - 1");
  kit_close(&r);

  steps[0].action = keyless;
  KIT_OPEN(&r, &saga);
  kit_note note = {0, 0};
  cafe_event event = {&Started, "kit", KIT_KEY, 1, r.now_ms, {0, 0, 0}, {NULL, 0}, &note};
  assert_int_equal(saga_signal(r.saga, &event, NULL, r.now_ms, r.scratch, &r.asks, &r.changed, &err), CAFE_INVALID);
  kit_close(&r);
}

static void a_type_is_known_by_its_name_where_its_table_lies_elsewhere(void **state) {
  static const cafe_schema elsewhere = CAFE_SCHEMA_OF("Shipped", kit_note, kit_note_fields);
  kit_rig r;
  KIT_OPEN(&r, &lone);
  kit_hears(&r, &Started, "ship#1");
  kit_hears(&r, &elsewhere, "");
  kit_at(&r, SAGA_ENDED, "");
  kit_close(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      KIT_TWICE(steps_follow_each_other_by_answers_and_by_signals),
      KIT_TWICE(early_signals_count_when_their_step_is_reached),
      KIT_TWICE(what_comes_before_the_start_is_kept_and_remembered),
      KIT_TWICE(a_signal_that_comes_again_changes_nothing),
      KIT_TWICE(nothing_moves_a_saga_that_has_ended),
      KIT_TWICE(a_secret_comes_from_the_command_behind_the_event),
      KIT_TWICE(a_failing_signal_undoes_what_was_entered_last_step_first),
      KIT_TWICE(a_signal_that_says_it_is_undone_counts_also_when_it_came_before),
      KIT_TWICE(a_step_that_failed_before_it_was_entered_is_not_asked_for),
      KIT_TWICE(answers_to_what_was_left_change_nothing),
      KIT_TWICE(a_refusal_where_events_decide_leaves_the_step_standing),
      KIT_TWICE(after_the_pivot_a_refusal_parks_until_a_restart_or_an_answer_helps),
      KIT_TWICE(a_pending_answer_that_no_event_is_named_for_parks),
      KIT_TWICE(a_refused_compensation_parks_until_its_event_comes),
      KIT_TWICE(a_refusal_that_no_event_can_follow_parks),
      KIT_TWICE(a_step_without_compensation_waits_for_the_signals_that_say_it_is_undone),
      KIT_TWICE(an_action_that_names_no_command_is_done_unless_events_decide),
      KIT_TWICE(an_action_of_several_commands_is_done_when_each_is_answered),
      KIT_TWICE(one_failed_command_of_several_asks_them_all_again),
      KIT_TWICE(a_failed_attempt_is_asked_again_after_full_jitter),
      KIT_TWICE(back_off_doubles_up_to_its_bound),
      KIT_TWICE(used_up_attempts_that_surely_did_nothing_ask_what_then),
      KIT_TWICE(one_unknown_attempt_forbids_to_say_that_nothing_was_done),
      KIT_TWICE(a_failure_that_no_repeat_cures_is_not_repeated),
      KIT_TWICE(no_attempt_outlasts_the_deadline),
      cmocka_unit_test(a_request_carries_what_is_left_to_the_caller_and_the_step),
      cmocka_unit_test(an_attempt_beyond_the_callers_retries_is_not_made),
      cmocka_unit_test(no_attempt_outlasts_the_caller),
      cmocka_unit_test(whoever_has_more_left_decides),
      cmocka_unit_test(without_a_caller_the_step_decides_alone),
      KIT_TWICE(a_step_reached_after_its_deadline_is_not_asked_for),
      KIT_TWICE(again_asks_each_time_and_begins_a_new_run),
      KIT_TWICE(a_used_up_action_that_nothing_steers_parks_and_again_frees_it),
      KIT_TWICE(after_a_restart_what_was_out_is_asked_again_at_no_cost),
      KIT_TWICE(a_compensation_is_asked_without_end_and_whatever_the_deadline),
      KIT_TWICE(a_compensation_may_turn_out_to_name_nothing_later),
      KIT_TWICE(what_retry_leaves_out_has_a_default),
      KIT_TWICE(which_failures_leave_open_whether_something_was_done),
      KIT_TWICE(a_refusal_parks_only_where_nothing_else_is_named_that_could_come),
      KIT_TWICE(again_is_not_asked_where_the_same_signal_fails_the_saga_beside),
      KIT_TWICE(the_earlier_retry_of_two_branches_is_due_first),
      KIT_TWICE(a_command_outside_its_type_fails_the_input),
      KIT_TWICE(a_type_is_known_by_its_name_where_its_table_lies_elsewhere),
      KIT_TWICE(a_good_answer_frees_what_is_parked_also_where_events_decide),
      KIT_TWICE(one_refused_command_of_several_parks_whatever_the_others_say),
      KIT_TWICE(a_timeout_fires_once_for_each_due_time_while_its_step_stands),
      KIT_TWICE(the_earliest_of_timeouts_and_retries_is_due_first),
      KIT_TWICE(a_branch_runs_beside_main_and_the_saga_ends_with_the_last),
      KIT_TWICE(a_turn_leads_to_another_step_and_skips_those_between),
      KIT_TWICE(a_turn_to_nowhere_ends_its_branch),
      KIT_TWICE(the_pivot_waits_for_branches_that_began_before_it),
      KIT_TWICE(a_branch_that_fails_before_the_pivot_undoes_what_was_entered_last_first),
  };
  return cmocka_run_group_tests_name("saga run", tests, NULL, NULL);
}
