/* SPDX-License-Identifier: Apache-2.0 */

/* A good definition, and every way to spoil it: each is refused by a message that names the place and the reason. */
#include "test_saga_kit.h"

EVENT(Started);
EVENT(Paid);
EVENT(Declined);
EVENT(Refunded);
EVENT(Accepted);
EVENT(Begun);
EVENT(Done);
EVENT(Failed);
EVENT(Nudged);
EVENT(CancelAsked);
EVENT(Withdrawn);
EVENT(Charged);
EVENT(liquid);
EVENT(costarring); /* FNV-1a gives it the number of liquid */

ASK(pay)
ASK(unpay)
ASK(charge)
ASK(refund)
ASK(late)
ASK(give_up)

static int always(bool *out, const cafe_event *event, void *user) {
  *out = event != NULL;
  return CAFE_OK;
}
static int due(int64_t *out, const void *data, void *user) {
  *out = ((const kit_memory *)data)->due_ms;
  return CAFE_OK;
}

enum { PAY, ACCEPT, BEGIN, CHARGE, FINISH, REFUND, STEPS_USED, STEPS_ROOM = CAFE_SAGA_STEPS_MAX + 1 };

typedef struct draft {
  cafe_saga saga;
  cafe_saga_step steps[STEPS_ROOM];
  cafe_saga_interrupt interrupts[CAFE_SAGA_INTERRUPTS_MAX + 1];
  cafe_schema data;
} draft;

static const cafe_saga_timeout late_timeout[] = {{"late", due, late}, {NULL, NULL, NULL}};
static const cafe_saga_turn failed_turn[] = {{&Failed, "refund"}, {NULL, NULL}};

static const cafe_saga_step good_steps[STEPS_USED] = {
    [PAY] = {.name = "pay",
             .kind = CAFE_STEP_COMPENSATABLE,
             .action = pay,
             .again = SIGNALS(&Nudged),
             .completes = SIGNALS(&Paid),
             .fails = SIGNALS(&Declined),
             .timeouts = late_timeout,
             .compensation = unpay,
             .compensated = SIGNALS(&Refunded, &Declined),
             .deadline_ms = due,
             .unavailable = give_up},
    [ACCEPT] = {.name = "accept",
                .kind = CAFE_STEP_COMPENSATABLE,
                .undo = CAFE_UNDO_GUARD,
                .completes = SIGNALS(&Accepted)},
    [BEGIN] = {.name = "begin", .kind = CAFE_STEP_PIVOT, .completes = SIGNALS(&Begun)},
    [CHARGE] = {.name = "charge", .kind = CAFE_STEP_RETRIABLE, .branch = "money", .after = "begin", .action = charge},
    [FINISH] = {.name = "finish", .kind = CAFE_STEP_RETRIABLE, .completes = SIGNALS(&Done), .turns = failed_turn},
    [REFUND] = {.name = "refund", .kind = CAFE_STEP_RETRIABLE, .action = refund},
};
static const cafe_saga_interrupt good_interrupt = {.name = "customer",
                                                   .signal = &CancelAsked,
                                                   .when = always,
                                                   .legal_in = STEPS("accept", "begin"),
                                                   .granted = SIGNALS(&Withdrawn),
                                                   .refused = SIGNALS(&Begun)};

/* Lists that outlive the function which puts them in. */
#define PUT(place, type, ...)                                                                                          \
  do {                                                                                                                 \
    static const type list[] = {__VA_ARGS__};                                                                          \
    (place) = list;                                                                                                    \
  } while (0)
#define PUT_SIGNALS(place, ...) PUT(place, cafe_schema *const, __VA_ARGS__)
#define PUT_STEPS(place, ...)   PUT(place, char *const, __VA_ARGS__)

static const cafe_schema *const more[] = {&Charged, NULL};

static void make_good(draft *d) {
  memset(d, 0, sizeof(*d));
  memcpy(d->steps, good_steps, sizeof(good_steps));
  d->interrupts[0] = good_interrupt;
  cafe_saga saga = {CAFE_SAGA,     "order", 1,    &kit_memory_type, &Started, d->steps, STEPS_USED,
                    d->interrupts, 1,       more, kit_fold,         NULL};
  d->saga = saga;
}

/* ---- the whole ---- */

static void size(draft *d) { d->saga.size--; }
static void no_name(draft *d) { d->saga.name = NULL; }
static void empty_name(draft *d) { d->saga.name = ""; }
static void spaced_name(draft *d) { d->saga.name = "my order"; }
static void long_name(draft *d) { d->saga.name = "a1234567890123456789012345678901234567890123456789012345678901234"; }
static void no_version(draft *d) { d->saga.version = 0; }
static void no_data(draft *d) { d->saga.data = NULL; }
static void no_starts(draft *d) { d->saga.starts = NULL; }
static void no_fold(draft *d) { d->saga.fold = NULL; }
static void bad_data(draft *d) {
  d->data = kit_memory_type;
  d->data.width = 3;
  d->saga.data = &d->data;
}
static void no_steps(draft *d) { d->saga.steps = NULL; }
static void zero_steps(draft *d) { d->saga.step_count = 0; }
static void too_many_steps(draft *d) { d->saga.step_count = STEPS_ROOM; }
static void too_many_interrupts(draft *d) { d->saga.interrupt_count = CAFE_SAGA_INTERRUPTS_MAX + 1; }
static void no_interrupts(draft *d) { d->saga.interrupts = NULL; }
static void no_pivot(draft *d) { d->steps[BEGIN].kind = CAFE_STEP_COMPENSATABLE; }
static void nameless_start(draft *d) {
  static const cafe_schema nameless = {NULL, sizeof(kit_note), 2, kit_note_fields};
  d->saga.starts = &nameless;
}
static void nameless_completes(draft *d) {
  static const cafe_schema nameless = {"", sizeof(kit_note), 2, kit_note_fields};
  PUT_SIGNALS(d->steps[ACCEPT].completes, &nameless, NULL);
}
static void nameless_signal(draft *d) {
  static const cafe_schema nameless = {"", sizeof(kit_note), 2, kit_note_fields};
  PUT_SIGNALS(d->saga.remembers, &nameless, NULL);
}

/* ---- names ---- */

static void nameless_step(draft *d) { d->steps[ACCEPT].name = NULL; }
static void joined_step(draft *d) { d->steps[ACCEPT].name = "a+b"; }
static void same_step(draft *d) { d->steps[FINISH].name = "accept"; }
static void colliding_step(draft *d) {
  d->steps[ACCEPT].name = "liquid";
  d->steps[REFUND].name = "costarring";
}
static void bad_branch(draft *d) { d->steps[CHARGE].branch = "-"; }
static void nameless_interrupt(draft *d) { d->interrupts[0].name = "*"; }
static void same_interrupt(draft *d) {
  d->interrupts[1] = d->interrupts[0];
  d->saga.interrupt_count = 2;
}
static void colliding_signals(draft *d) { PUT_SIGNALS(d->saga.remembers, &liquid, &costarring, NULL); }
static void too_many_signals(draft *d) {
  static char names[CAFE_SAGA_SIGNALS_MAX][8];
  static cafe_schema types[CAFE_SAGA_SIGNALS_MAX];
  static const cafe_schema *list[CAFE_SAGA_SIGNALS_MAX + 1];
  for (int i = 0; i < CAFE_SAGA_SIGNALS_MAX; i++) {
    snprintf(names[i], sizeof(names[i]), "E%d", i);
    types[i] = Started;
    types[i].name = names[i];
    list[i] = &types[i];
  }
  d->saga.remembers = list;
}

/* ---- branches ---- */

static void main_not_first(draft *d) { d->steps[PAY].branch = "money"; }
static void main_after(draft *d) { d->steps[PAY].after = "accept"; }
static void later_after(draft *d) { d->steps[FINISH].after = "accept"; }
static void branch_without_after(draft *d) { d->steps[CHARGE].after = NULL; }
static void after_unknown(draft *d) { d->steps[CHARGE].after = "nowhere"; }
static void after_branch(draft *d) {
  d->steps[REFUND].branch = "other";
  d->steps[REFUND].after = "charge";
}
static void after_unreachable(draft *d) {
  d->steps[FINISH].completes = NULL;
  d->steps[CHARGE].after = "finish";
}
static void unreachable(draft *d) {
  d->steps[FINISH].completes = NULL;
  PUT(d->steps[FINISH].turns, cafe_saga_turn, {&Done, NULL}, {NULL, NULL});
}

/* ---- kinds ---- */

static void second_pivot(draft *d) { d->steps[FINISH].kind = CAFE_STEP_PIVOT; }
static void pivot_beside(draft *d) {
  d->steps[BEGIN].kind = CAFE_STEP_RETRIABLE;
  d->steps[CHARGE].kind = CAFE_STEP_PIVOT;
}
static void early_retriable(draft *d) { d->steps[ACCEPT].kind = CAFE_STEP_RETRIABLE; }
static void late_compensatable(draft *d) { d->steps[FINISH].kind = CAFE_STEP_COMPENSATABLE; }
static void no_kind(draft *d) { d->steps[PAY].kind = 0; }
static void early_branch(draft *d) { d->steps[CHARGE].after = "accept"; }

/* ---- waits ---- */

static void waits_for_nothing(draft *d) { d->steps[ACCEPT].completes = NULL; }
static void empty_completes(draft *d) { PUT_SIGNALS(d->steps[ACCEPT].completes, NULL); }
static void empty_again(draft *d) { PUT_SIGNALS(d->steps[PAY].again, NULL); }
static void empty_fails(draft *d) { PUT_SIGNALS(d->steps[PAY].fails, NULL); }
static void empty_compensated(draft *d) { PUT_SIGNALS(d->steps[PAY].compensated, NULL); }
static void again_without_action(draft *d) { PUT_SIGNALS(d->steps[ACCEPT].again, &Nudged, NULL); }
static void unavailable_without_action(draft *d) { d->steps[ACCEPT].unavailable = give_up; }
static void deadline_without_action(draft *d) { d->steps[ACCEPT].deadline_ms = due; }
static void negative_initial(draft *d) { d->steps[PAY].retry.initial_ms = -1; }
static void negative_max(draft *d) { d->steps[PAY].retry.max_ms = -1; }
static void negative_timeout(draft *d) { d->steps[PAY].retry.timeout_ms = -1; }
static void crossed_retry(draft *d) {
  d->steps[PAY].retry.initial_ms = 2;
  d->steps[PAY].retry.max_ms = 1;
}
static void used_up(draft *d) { d->steps[CHARGE].retry.max_attempts = 3; }
static void past_deadline(draft *d) { d->steps[CHARGE].deadline_ms = due; }
static void completes_and_fails(draft *d) { PUT_SIGNALS(d->steps[PAY].fails, &Declined, &Paid, NULL); }
static void completes_and_turns(draft *d) { PUT_SIGNALS(d->steps[FINISH].completes, &Failed, NULL); }
static void fails_and_turns(draft *d) { PUT(d->steps[PAY].turns, cafe_saga_turn, {&Declined, "accept"}, {NULL, NULL}); }
static void again_and_fails(draft *d) { PUT_SIGNALS(d->steps[PAY].again, &Declined, NULL); }
static void timeout_without_due(draft *d) {
  PUT(d->steps[PAY].timeouts, cafe_saga_timeout, {"late", NULL, late}, {NULL, NULL, NULL});
}
static void timeout_without_ask(draft *d) {
  PUT(d->steps[PAY].timeouts, cafe_saga_timeout, {"late", due, NULL}, {NULL, NULL, NULL});
}
static void timeout_without_name(draft *d) {
  PUT(d->steps[PAY].timeouts, cafe_saga_timeout, {NULL, due, late}, {NULL, NULL, NULL});
}
static void timeout_with_empty_name(draft *d) {
  PUT(d->steps[PAY].timeouts, cafe_saga_timeout, {"", due, late}, {NULL, NULL, NULL});
}
static void timeout_with_ask_alone(draft *d) {
  PUT(d->steps[PAY].timeouts, cafe_saga_timeout, {NULL, NULL, late}, {NULL, NULL, NULL});
}
static void same_timeout(draft *d) {
  PUT(d->steps[PAY].timeouts, cafe_saga_timeout, {"late", due, late}, {"late", due, late}, {NULL, NULL, NULL});
}
static void too_many_timeouts(draft *d) {
  static char names[CAFE_SAGA_TIMEOUTS_MAX][8];
  static cafe_saga_timeout list[CAFE_SAGA_TIMEOUTS_MAX + 1];
  for (int i = 0; i < CAFE_SAGA_TIMEOUTS_MAX; i++) {
    snprintf(names[i], sizeof(names[i]), "t%d", i);
    list[i] = (cafe_saga_timeout){names[i], due, late};
  }
  d->steps[FINISH].timeouts = list;
}

/* ---- undoing ---- */

static void nothing_undoes(draft *d) {
  d->steps[PAY].compensation = NULL;
  d->steps[PAY].compensated = NULL;
}
static void late_fails(draft *d) { PUT_SIGNALS(d->steps[FINISH].fails, &Declined, NULL); }
static void late_compensation(draft *d) { d->steps[FINISH].compensation = unpay; }
static void late_compensated(draft *d) { PUT_SIGNALS(d->steps[FINISH].compensated, &Refunded, NULL); }
static void late_undo(draft *d) { d->steps[FINISH].undo = CAFE_UNDO_GUARD; }
static void guard_without_interrupt(draft *d) { d->saga.interrupt_count = 0; }
static void guard_too_early(draft *d) { PUT_STEPS(d->interrupts[0].legal_in, "pay", NULL); }
static void signal_without_fails(draft *d) { d->steps[ACCEPT].undo = CAFE_UNDO_SIGNAL; }
static void two_ways(draft *d) { d->steps[PAY].undo = CAFE_UNDO_SIGNAL; }
static void bad_undo(draft *d) { d->steps[PAY].undo = 9; }

/* ---- turns ---- */

static void turn_unknown(draft *d) { PUT(d->steps[FINISH].turns, cafe_saga_turn, {&Failed, "nowhere"}, {NULL, NULL}); }
static void turn_back(draft *d) { PUT(d->steps[FINISH].turns, cafe_saga_turn, {&Failed, "finish"}, {NULL, NULL}); }
static void turn_beside(draft *d) { PUT(d->steps[BEGIN].turns, cafe_saga_turn, {&Failed, "charge"}, {NULL, NULL}); }
static void turn_without_signal(draft *d) {
  PUT(d->steps[FINISH].turns, cafe_saga_turn, {NULL, "refund"}, {NULL, NULL});
}
static void turn_nameless(draft *d) {
  static const cafe_schema nameless = {"", sizeof(kit_note), 2, kit_note_fields};
  PUT(d->steps[FINISH].turns, cafe_saga_turn, {&nameless, "refund"}, {NULL, NULL});
}
static void turn_past_pivot(draft *d) {
  PUT(d->steps[ACCEPT].turns, cafe_saga_turn, {&Failed, "finish"}, {NULL, NULL});
}
static void turn_to_end_early(draft *d) { PUT(d->steps[ACCEPT].turns, cafe_saga_turn, {&Failed, NULL}, {NULL, NULL}); }

/* ---- interrupts ---- */

static void no_signal(draft *d) { d->interrupts[0].signal = NULL; }
static void no_legal(draft *d) { d->interrupts[0].legal_in = NULL; }
static void no_granted(draft *d) { d->interrupts[0].granted = NULL; }
static void no_refused(draft *d) { d->interrupts[0].refused = NULL; }
static void nameless_interrupt_signal(draft *d) {
  static const cafe_schema nameless = {"", sizeof(kit_note), 2, kit_note_fields};
  d->interrupts[0].signal = &nameless;
}
static void empty_granted(draft *d) { PUT_SIGNALS(d->interrupts[0].granted, NULL); }
static void empty_refused(draft *d) { PUT_SIGNALS(d->interrupts[0].refused, NULL); }
static void legal_nowhere(draft *d) {
  d->steps[ACCEPT].undo = CAFE_UNDO_COMPENSATION;
  PUT_STEPS(d->interrupts[0].legal_in, NULL);
}
static void legal_in_unknown(draft *d) { PUT_STEPS(d->interrupts[0].legal_in, "nowhere", NULL); }
static void legal_beside(draft *d) { PUT_STEPS(d->interrupts[0].legal_in, "charge", NULL); }
static void legal_late(draft *d) { PUT_STEPS(d->interrupts[0].legal_in, "accept", "finish", NULL); }
static void granted_and_refused(draft *d) { PUT_SIGNALS(d->interrupts[0].refused, &Begun, &Withdrawn, NULL); }
static void signal_moves(draft *d) { d->interrupts[0].signal = &Paid; }
static void signal_starts(draft *d) { d->interrupts[0].signal = &Started; }
static void signal_answers(draft *d) { d->interrupts[0].signal = &Withdrawn; }
static void shadowed(draft *d) {
  d->interrupts[1] = d->interrupts[0];
  d->interrupts[1].name = "deadline";
  d->interrupts[0].when = NULL;
  d->saga.interrupt_count = 2;
}

#define SPOIL(spoil, text)                                                                                             \
  { #spoil, spoil, text }

static const struct {
  const char *name;
  void (*spoil)(draft *d);
  const char *text;
} bad[] = {
    SPOIL(size, "cafe_saga has the size 159, and needs 160: set it by CAFE_SAGA"),
    SPOIL(no_name, "a saga needs a name"),
    SPOIL(empty_name, "a saga needs a name"),
    SPOIL(spaced_name, "a saga needs a name"),
    SPOIL(long_name, "a saga needs a name"),
    SPOIL(no_version, "saga order: needs a version from 1, data, starts and fold"),
    SPOIL(no_data, "saga order: needs a version from 1, data, starts and fold"),
    SPOIL(no_starts, "saga order: needs a version from 1, data, starts and fold"),
    SPOIL(no_fold, "saga order: needs a version from 1, data, starts and fold"),
    SPOIL(bad_data, "saga order: its data can't be kept: Memory.heard"),
    SPOIL(no_steps, "saga order: has 6 steps: it needs 1 to 32"),
    SPOIL(zero_steps, "saga order: has 0 steps"),
    SPOIL(too_many_steps, "saga order: has 33 steps"),
    SPOIL(too_many_interrupts, "saga order: has 9 interrupts: it may have 8"),
    SPOIL(no_interrupts, "saga order: has 1 interrupts"),
    SPOIL(no_pivot, "saga order: has no pivot"),
    SPOIL(nameless_start, "saga order: names an event type without a name"),
    SPOIL(nameless_completes, "saga order, step accept: names an event type without a name"),
    SPOIL(nameless_signal, "saga order: names an event type without a name"),
    SPOIL(nameless_step, "saga order: step 2 needs a name"),
    SPOIL(joined_step, "saga order: step 2 needs a name"),
    SPOIL(same_step, "saga order, step accept: rows can't tell it from accept"),
    SPOIL(colliding_step, "saga order, step costarring: rows can't tell it from liquid"),
    SPOIL(bad_branch, "saga order, step charge: its branch needs a name"),
    SPOIL(nameless_interrupt, "saga order: interrupt 1 needs a name"),
    SPOIL(same_interrupt, "saga order, interrupt customer: rows can't tell it from customer"),
    SPOIL(colliding_signals, "saga order: names costarring, which rows can't tell from liquid"),
    SPOIL(too_many_signals, "one event type too many: a saga has at most 63"),
    SPOIL(main_not_first, "saga order, step pay: the first step of the table, and no later branch, is main's"),
    SPOIL(main_after, "saga order, step pay: main begins with the saga"),
    SPOIL(later_after, "saga order, step finish: only the first step of a branch other than main begins after another"),
    SPOIL(branch_without_after, "saga order, step charge: the branch money must say after which step"),
    SPOIL(after_unknown, "saga order, step charge: begins after nowhere, which is no step of main"),
    SPOIL(after_branch, "saga order, step refund: begins after charge, which is no step of main"),
    SPOIL(after_unreachable, "saga order, step charge: begins after finish, which is only ever left by a turn"),
    SPOIL(unreachable, "saga order, step refund: is never reached"),
    SPOIL(second_pivot, "saga order, step finish: is a second pivot after begin"),
    SPOIL(pivot_beside, "saga order: its pivot charge isn't on main"),
    SPOIL(early_retriable, "saga order, step accept: lies before the pivot, so its kind must be compensatable"),
    SPOIL(late_compensatable, "saga order, step finish: lies after the pivot, so its kind must be retriable"),
    SPOIL(no_kind, "saga order, step pay: lies before the pivot"),
    SPOIL(early_branch, "saga order, step charge: lies before the pivot"),
    SPOIL(waits_for_nothing, "saga order, step accept: waits for nothing"),
    SPOIL(empty_completes, "saga order, step accept: completes is an empty list"),
    SPOIL(empty_again, "saga order, step pay: again is an empty list"),
    SPOIL(empty_fails, "saga order, step pay: fails is an empty list"),
    SPOIL(empty_compensated, "saga order, step pay: compensated is an empty list"),
    SPOIL(again_without_action, "saga order, step accept: has no action"),
    SPOIL(unavailable_without_action, "saga order, step accept: has no action"),
    SPOIL(deadline_without_action, "saga order, step accept: has no action"),
    SPOIL(negative_initial, "saga order, step pay: its retry has a negative time"),
    SPOIL(negative_max, "saga order, step pay: its retry has a negative time"),
    SPOIL(negative_timeout, "saga order, step pay: its retry has a negative time"),
    SPOIL(crossed_retry, "or initial_ms above max_ms"),
    SPOIL(used_up, "saga order, step charge: its attempts can be used up"),
    SPOIL(past_deadline, "saga order, step charge: its attempts can be used up"),
    SPOIL(completes_and_fails, "saga order, step pay: one signal is in two of"),
    SPOIL(completes_and_turns, "saga order, step finish: one signal is in two of"),
    SPOIL(fails_and_turns, "saga order, step pay: one signal is in two of"),
    SPOIL(again_and_fails, "saga order, step pay: one signal is in two of"),
    SPOIL(timeout_without_due, "saga order, step pay: a timeout needs a name, due_ms and ask"),
    SPOIL(timeout_without_ask, "saga order, step pay: a timeout needs a name, due_ms and ask"),
    SPOIL(timeout_without_name, "saga order, step pay: a timeout needs a name, due_ms and ask"),
    SPOIL(timeout_with_empty_name, "saga order, step pay: a timeout needs a name, due_ms and ask"),
    SPOIL(timeout_with_ask_alone, "saga order, step pay: a timeout needs a name, due_ms and ask"),
    SPOIL(same_timeout, "saga order, step pay: the timeout late can't be told from another one"),
    SPOIL(too_many_timeouts, "saga order, step finish: t15 is one timeout too many: a saga has at most 16"),
    SPOIL(nothing_undoes, "saga order, step pay: has an action and nothing that undoes it"),
    SPOIL(late_fails, "saga order, step finish: lies after the pivot, where nothing fails"),
    SPOIL(late_compensation, "saga order, step finish: lies after the pivot, where nothing fails"),
    SPOIL(late_compensated, "saga order, step finish: lies after the pivot, where nothing fails"),
    SPOIL(late_undo, "saga order, step finish: lies after the pivot, where nothing fails"),
    SPOIL(guard_without_interrupt, "saga order, step accept: is undone by a guard, but no interrupt is legal"),
    SPOIL(guard_too_early, "saga order, step accept: is undone by a guard, but no interrupt is legal"),
    SPOIL(signal_without_fails, "saga order, step accept: is undone by the signal that fails it, but none does"),
    SPOIL(two_ways, "saga order, step pay: has a compensation and another undo"),
    SPOIL(bad_undo, "saga order, step pay: 9 is no way to undo it"),
    SPOIL(turn_unknown, "saga order, step finish: Failed turns to nowhere, which is no later step"),
    SPOIL(turn_back, "saga order, step finish: Failed turns to finish, which is no later step"),
    SPOIL(turn_beside, "saga order, step begin: Failed turns to charge, which is no later step"),
    SPOIL(turn_without_signal, "saga order, step finish: the turn to refund names no signal"),
    SPOIL(turn_nameless, "saga order, step finish: names an event type without a name"),
    SPOIL(turn_past_pivot, "saga order, step accept: Failed turns past the pivot begin"),
    SPOIL(turn_to_end_early, "saga order, step accept: Failed turns past the pivot begin"),
    SPOIL(no_signal, "saga order, interrupt customer: needs a signal, legal_in, granted and refused"),
    SPOIL(no_legal, "saga order, interrupt customer: needs a signal, legal_in, granted and refused"),
    SPOIL(no_granted, "saga order, interrupt customer: needs a signal, legal_in, granted and refused"),
    SPOIL(no_refused, "saga order, interrupt customer: needs a signal, legal_in, granted and refused"),
    SPOIL(nameless_interrupt_signal, "saga order, interrupt customer: names an event type without a name"),
    SPOIL(empty_granted, "saga order, interrupt customer: granted is an empty list"),
    SPOIL(empty_refused, "saga order, interrupt customer: refused is an empty list"),
    SPOIL(legal_nowhere, "saga order, interrupt customer: is legal nowhere"),
    SPOIL(legal_in_unknown, "saga order, interrupt customer: is legal in nowhere, which is no step of main"),
    SPOIL(legal_beside, "saga order, interrupt customer: is legal in charge, which is no step of main"),
    SPOIL(legal_late, "saga order, interrupt customer: is legal in finish, after the pivot"),
    SPOIL(granted_and_refused, "saga order, interrupt customer: one signal both grants and refuses it"),
    SPOIL(signal_moves, "saga order, interrupt customer: its signal Paid moves the saga elsewhere"),
    SPOIL(signal_starts, "saga order, interrupt customer: its signal Started moves the saga elsewhere"),
    SPOIL(signal_answers, "saga order, interrupt customer: its signal Withdrawn moves the saga elsewhere"),
    SPOIL(shadowed, "saga order, interrupt deadline: customer takes every CancelAsked before it"),
};

static void a_good_definition_is_accepted(void **state) {
  draft d;
  cafe_err err;
  make_good(&d);
  if (cafe_saga_check(&d.saga, &err)) {
    fail_msg("%s", err.text);
  }
  assert_int_equal(cafe_saga_check(&d.saga, NULL), CAFE_OK);
  d.saga.interrupts = NULL;
  d.saga.interrupt_count = 0;
  d.saga.remembers = NULL;
  d.steps[ACCEPT].undo = CAFE_UNDO_COMPENSATION;
  assert_int_equal(cafe_saga_check(&d.saga, &err), CAFE_OK);
}

static void what_may_be_left_out_may_be_left_out(void **state) {
  draft d;
  cafe_err err;
  make_good(&d);
  d.steps[PAY].compensation = NULL; /* waits for its signals instead */
  d.steps[PAY].undo = CAFE_UNDO_SIGNAL;
  d.steps[BEGIN].action = pay; /* the pivot may act without a compensation */
  d.steps[BEGIN].completes = NULL;
  d.steps[BEGIN].turns = (const cafe_saga_turn[]){{&Failed, "refund"}, {&Charged, NULL}, {NULL, NULL}};
  d.steps[CHARGE].retry = (cafe_retry){0, 0, 3, 0};
  d.steps[CHARGE].timeouts = late_timeout; /* another step's may have the same name */
  d.steps[FINISH].retry = (cafe_retry){5, 5, 0, 0};
  d.interrupts[0].refused = SIGNALS(&Nudged);
  if (cafe_saga_check(&d.saga, &err)) {
    fail_msg("%s", err.text);
  }
}

static void a_branch_before_the_pivot_may_be_undone_by_a_guard(void **state) {
  draft d;
  cafe_err err;
  make_good(&d);
  d.steps[CHARGE].after = "pay";
  d.steps[CHARGE].kind = CAFE_STEP_COMPENSATABLE;
  d.steps[CHARGE].undo = CAFE_UNDO_GUARD;
  if (cafe_saga_check(&d.saga, &err)) {
    fail_msg("%s", err.text);
  }
}

static void names_may_have_letters_digits_and_some_signs(void **state) {
  draft d;
  cafe_err err;
  make_good(&d);
  d.saga.name = "0rder_v2.Beta-X";
  d.steps[ACCEPT].name = "Accept-9_z.Z";
  static const char *const legal[] = {"Accept-9_z.Z", NULL};
  d.interrupts[0].legal_in = legal;
  assert_int_equal(cafe_saga_check(&d.saga, &err), CAFE_OK);
  static const char *const bad_names[] = {"a/b", "a:b", "a@b", "a[b", "a{b", "a`b", ".a", "_", "a b"};
  for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
    d.saga.name = bad_names[i];
    assert_int_equal(cafe_saga_check(&d.saga, &err), CAFE_INVALID);
  }
}

static void turns_may_lead_on_wherever_it_can_still_be_undone(void **state) {
  draft d;
  cafe_err err;
  make_good(&d);
  d.steps[PAY].turns = (const cafe_saga_turn[]){{&Failed, "accept"}, {&Charged, "begin"}, {NULL, NULL}};
  d.steps[CHARGE].after = "pay";
  d.steps[CHARGE].kind = CAFE_STEP_COMPENSATABLE;
  d.steps[CHARGE].compensation = refund;
  d.steps[CHARGE].turns = (const cafe_saga_turn[]){{&Failed, NULL}, {NULL, NULL}};
  d.steps[REFUND].branch = "beside";
  d.steps[REFUND].after = "begin";
  d.steps[FINISH].turns = (const cafe_saga_turn[]){{&Failed, NULL}, {NULL, NULL}};
  if (cafe_saga_check(&d.saga, &err)) {
    fail_msg("%s", err.text);
  }
}

static void a_step_behind_a_wait_that_only_turns_is_reached_by_its_turn_alone(void **state) {
  draft d;
  cafe_err err;
  make_good(&d);
  d.steps[FINISH].completes = NULL;
  d.steps[FINISH].turns = (const cafe_saga_turn[]){{&Done, NULL}, {&Failed, "refund"}, {NULL, NULL}};
  assert_int_equal(cafe_saga_check(&d.saga, &err), CAFE_OK);
  /* Another step's turn doesn't help this one. */
  d.steps[BEGIN].turns = (const cafe_saga_turn[]){{&Charged, "finish"}, {NULL, NULL}};
  d.steps[FINISH].turns = (const cafe_saga_turn[]){{&Done, NULL}, {NULL, NULL}};
  assert_int_equal(cafe_saga_check(&d.saga, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "step refund: is never reached"));
}

static void interrupts_may_share_a_signal_that_each_takes_a_part_of(void **state) {
  draft d;
  cafe_err err;
  make_good(&d);
  d.interrupts[1] = d.interrupts[0];
  d.interrupts[1].name = "deadline";
  d.interrupts[1].when = NULL;
  d.interrupts[2] = d.interrupts[0];
  d.interrupts[2].name = "owner";
  d.interrupts[2].signal = &liquid;
  d.saga.interrupt_count = 3;
  assert_int_equal(cafe_saga_check(&d.saga, &err), CAFE_OK);
}

static void a_branch_is_known_by_its_name_wherever_that_is_written(void **state) {
  static const char money[] = "money";
  draft d;
  cafe_err err;
  make_good(&d);
  d.steps[FINISH].turns = NULL;
  d.steps[REFUND].branch = money;
  assert_int_equal(cafe_saga_check(&d.saga, &err), CAFE_OK);
}

static void nothing_at_all_is_refused(void **state) {
  cafe_err err;
  assert_int_equal(cafe_saga_check(NULL, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "cafe_saga is NULL"));
}

static void each_bad_definition_is_refused_with_its_reason(void **state) {
  draft d;
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    cafe_err err;
    make_good(&d);
    bad[i].spoil(&d);
    int code = cafe_saga_check(&d.saga, &err);
    if (code != CAFE_INVALID) {
      fail_msg("%s: accepted", bad[i].name);
    }
    if (!strstr(err.text, bad[i].text)) {
      fail_msg("%s: says \"%s\"", bad[i].name, err.text);
    }
    saga_plan *plan = NULL;
    assert_int_equal(saga_plan_create(&plan, &d.saga, NULL, NULL), CAFE_INVALID);
    assert_null(plan);
  }
}

static void a_plan_names_every_signal_once(void **state) {
  draft d;
  make_good(&d);
  saga_plan *plan;
  assert_int_equal(saga_plan_create(&plan, &d.saga, NULL, NULL), CAFE_OK);
  assert_ptr_equal(saga_plan_saga(plan), &d.saga);
  static const cafe_schema *const expected[] = {&Started, &Nudged, &Paid,   &Declined,    &Refunded,  &Accepted,
                                                &Begun,   &Done,   &Failed, &CancelAsked, &Withdrawn, &Charged};
  const cafe_schema *const *signals = saga_plan_signals(plan);
  for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
    assert_ptr_equal(signals[i], expected[i]);
  }
  assert_null(signals[sizeof(expected) / sizeof(expected[0])]);
  saga_plan_destroy(plan);
  saga_plan_destroy(NULL);
}

static void the_number_of_a_name_never_changes(void **state) {
  assert_int_equal(saga_number("order"), 0x732c1097);
  assert_int_equal(saga_number("liquid"), saga_number("costarring"));
  /* Four bytes whose FNV-1a is 0, which is no number. */
  assert_int_equal(saga_number("\xcc\x24\x31\xc4"), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_good_definition_is_accepted),
      cmocka_unit_test(what_may_be_left_out_may_be_left_out),
      cmocka_unit_test(a_branch_before_the_pivot_may_be_undone_by_a_guard),
      cmocka_unit_test(names_may_have_letters_digits_and_some_signs),
      cmocka_unit_test(turns_may_lead_on_wherever_it_can_still_be_undone),
      cmocka_unit_test(a_step_behind_a_wait_that_only_turns_is_reached_by_its_turn_alone),
      cmocka_unit_test(interrupts_may_share_a_signal_that_each_takes_a_part_of),
      cmocka_unit_test(a_branch_is_known_by_its_name_wherever_that_is_written),
      cmocka_unit_test(nothing_at_all_is_refused),
      cmocka_unit_test(each_bad_definition_is_refused_with_its_reason),
      cmocka_unit_test(a_plan_names_every_signal_once),
      cmocka_unit_test(the_number_of_a_name_never_changes),
  };
  return cmocka_run_group_tests_name("saga check", tests, NULL, NULL);
}
