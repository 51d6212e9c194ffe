/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The deposit's rules. What the saga and the policy ask for is answered by the state, however often and late it comes,
 * so that nothing is moved twice. A return that meets a running charge is remembered, and carried out when that is
 * settled: it can't be known before whether there is anything to return. One that comes before any charge leaves a
 * mark, on which a charge that comes later changes nothing.
 */
#include "deposit.h"

/* All are deposit_nothing: defined here, so that the reservation's file needn't know. */
typedef struct deposit_nothing {
  bool unused;
} deposit_nothing;

const char *const deposit_status_names[DEPOSIT_KEPT + 1] = {"",          "Charging", "Charged", "Declined",
                                                            "Returning", "Returned", "Kept"};
static const char *const operation_names[] = {"", "charge", "return"};

static const cafe_field deposit_nothing_fields[] = {CAFE_FIELD_OF(1, BOOL, deposit_nothing, unused)};
static const cafe_field charge_deposit_fields[] = {
    CAFE_FIELD_OF(1, TEXT, charge_deposit, guest),
    CAFE_FIELD_OF(2, I64, charge_deposit, amount_minor),
    CAFE_FIELD_OF(3, TEXT, charge_deposit, currency),
};
static const cafe_field note_desk_fields[] = {
    CAFE_FIELD_ENUM_OF(1, note_desk, operation, operation_names),
    CAFE_FIELD_OF(2, BOOL, note_desk, is_declined),
};
static const cafe_field deposit_started_fields[] = {
    CAFE_FIELD_OF(1, TEXT, deposit_started, guest),
    CAFE_FIELD_OF(2, I64, deposit_started, amount_minor),
    CAFE_FIELD_OF(3, TEXT, deposit_started, currency),
};
static const cafe_field deposit_fields[] = {
    CAFE_FIELD_ENUM_OF(1, deposit, status, deposit_status_names),
    CAFE_FIELD_OF(2, BOOL, deposit, return_asked),
    CAFE_FIELD_OF(3, TEXT, deposit, guest),
    CAFE_FIELD_OF(4, I64, deposit, amount_minor),
    CAFE_FIELD_OF(5, TEXT, deposit, currency),
};
static const cafe_field move_deposit_fields[] = {
    CAFE_FIELD_ENUM_OF(1, move_deposit, operation, operation_names),
    CAFE_FIELD_OF(2, TEXT, move_deposit, guest),
    CAFE_FIELD_OF(3, I64, move_deposit, amount_minor),
    CAFE_FIELD_OF(4, TEXT, move_deposit, currency),
};

#define SCHEMA(name_, struct_, text_) const cafe_schema name_##_type = CAFE_SCHEMA_OF(text_, struct_, struct_##_fields)

SCHEMA(charge_deposit, charge_deposit, "ChargeDeposit");
SCHEMA(return_deposit, deposit_nothing, "ReturnDeposit");
SCHEMA(keep_deposit, deposit_nothing, "KeepDeposit");
SCHEMA(note_desk, note_desk, "NoteDesk");
SCHEMA(deposit_started, deposit_started, "DepositStarted");
SCHEMA(deposit_charged, deposit_nothing, "DepositCharged");
SCHEMA(deposit_declined, deposit_nothing, "DepositDeclined");
SCHEMA(deposit_return_asked, deposit_nothing, "DepositReturnAsked");
SCHEMA(deposit_return_started, deposit_nothing, "DepositReturnStarted");
SCHEMA(deposit_returned, deposit_nothing, "DepositReturned");
SCHEMA(deposit_kept, deposit_nothing, "DepositKept");
SCHEMA(move_deposit, move_deposit, "MoveDeposit");
static SCHEMA(deposit, deposit, "Deposit");

/* ---- decide ---- */

static cafe_verdict emit(cafe_decision *out, const cafe_schema *event) {
  deposit_nothing said = {false};
  cafe_emit(out, event, &said, sizeof said);
  return CAFE_ACCEPTED;
}

static cafe_verdict charge(cafe_decision *out, const deposit *state, const charge_deposit *asked) {
  if (state->status != DEPOSIT_NONE) return CAFE_UNCHANGED;
  deposit_started started = {asked->guest, asked->amount_minor, asked->currency};
  cafe_emit(out, &deposit_started_type, &started, sizeof started);
  return CAFE_ACCEPTED;
}

static cafe_verdict give_back(cafe_decision *out, const deposit *state) {
  switch (state->status) {
  case DEPOSIT_NONE:
    return emit(out, &deposit_declined_type);
  case DEPOSIT_CHARGING:
    return state->return_asked ? CAFE_UNCHANGED : emit(out, &deposit_return_asked_type);
  case DEPOSIT_CHARGED:
    return emit(out, &deposit_return_started_type);
  default:
    return CAFE_UNCHANGED;
  }
}

static cafe_verdict note(cafe_decision *out, const deposit *state, const note_desk *said) {
  if (said->operation == DESK_RETURN)
    return state->status == DEPOSIT_RETURNING ? emit(out, &deposit_returned_type) : CAFE_UNCHANGED;
  if (state->status != DEPOSIT_CHARGING) return CAFE_UNCHANGED;
  if (said->is_declined) return emit(out, &deposit_declined_type);
  emit(out, &deposit_charged_type);
  return state->return_asked ? emit(out, &deposit_return_started_type) : CAFE_ACCEPTED;
}

static cafe_verdict decide(cafe_decision *out, const void *from, const cafe_command *command, void *user) {
  const deposit *state = from;
  (void)user;
  if (command->type == &charge_deposit_type) return charge(out, state, command->data);
  if (command->type == &return_deposit_type) return give_back(out, state);
  if (command->type == &note_desk_type) return note(out, state, command->data);
  return state->status == DEPOSIT_CHARGED ? emit(out, &deposit_kept_type) : CAFE_UNCHANGED;
}

/* ---- evolve, and what the state wants of the desk ---- */

static const struct {
  const cafe_schema *event;
  deposit_status status;
} statuses[] = {
    {&deposit_started_type, DEPOSIT_CHARGING},  {&deposit_charged_type, DEPOSIT_CHARGED},
    {&deposit_declined_type, DEPOSIT_DECLINED}, {&deposit_return_started_type, DEPOSIT_RETURNING},
    {&deposit_returned_type, DEPOSIT_RETURNED}, {&deposit_kept_type, DEPOSIT_KEPT},
};

deposit_status deposit_status_after(deposit_status before, const cafe_schema *event) {
  for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
    if (statuses[i].event == event) return statuses[i].status;
  return before;
}

static int evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  deposit *self = state;
  int code = CAFE_OK;
  self->status = deposit_status_after(self->status, event->type);
  if (event->type == &deposit_return_asked_type) self->return_asked = true;
  if (event->type == &deposit_started_type) {
    const deposit_started *started = event->data;
    self->amount_minor = started->amount_minor;
    code = cafe_arena_copy(&self->guest, arena, started->guest);
    if (!code) code = cafe_arena_copy(&self->currency, arena, started->currency);
  }
  return code;
}

/* A task is wanted as long as it is named here; its number is the operation's, since each is done once. */
static void tasks(cafe_tasks *out, const void *state, void *user) {
  (void)user;
  const deposit *self = state;
  move_deposit move = {DESK_CHARGE, self->guest, self->amount_minor, self->currency};
  if (self->status != DEPOSIT_CHARGING && self->status != DEPOSIT_RETURNING) return;
  if (self->status == DEPOSIT_RETURNING) move.operation = DESK_RETURN;
  cafe_want(out, (uint32_t)move.operation, &move_deposit_type, &move, sizeof move, 0);
}

static const cafe_schema *const events[] = {
    &deposit_started_type,        &deposit_charged_type,  &deposit_declined_type, &deposit_return_asked_type,
    &deposit_return_started_type, &deposit_returned_type, &deposit_kept_type,     NULL};
static const cafe_command_type commands[] = {
    {.command = &charge_deposit_type},
    {.command = &return_deposit_type},
    {.command = &keep_deposit_type},
    {.command = &note_desk_type},
    {.command = NULL},
};
static const cafe_schema *const task_types[] = {&move_deposit_type, NULL};

const cafe_aggregate deposit_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "deposit",
    .state = &deposit_type,
    .events = events,
    .commands = commands,
    .decide = decide,
    .evolve = evolve,
    .tasks = tasks,
    .task_types = task_types,
};
