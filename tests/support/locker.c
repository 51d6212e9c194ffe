/* SPDX-License-Identifier: Apache-2.0 */

#include "locker.h"

/* ---- field tables ---- */

static const cafe_field held_fields[] = {
    CAFE_FIELD_OF(1, TEXT, locker_held, guest),
    CAFE_FIELD_OF(2, I64, locker_held, fee_minor),
};
static const cafe_field opened_fields[] = {CAFE_FIELD_OF(1, TIME, locker_opened, until_ms)};
static const cafe_field stuck_fields[] = {CAFE_FIELD_OF(1, TEXT, locker_stuck, why)};
static const cafe_field freed_fields[] = {CAFE_FIELD_OF(1, TIME, locker_freed, at_ms)};
const cafe_schema locker_held_type = CAFE_SCHEMA_OF("LockerHeld", locker_held, held_fields);
const cafe_schema locker_opened_type = CAFE_SCHEMA_OF("LockerOpened", locker_opened, opened_fields);
const cafe_schema locker_stuck_type = CAFE_SCHEMA_OF("LockerStuck", locker_stuck, stuck_fields);
const cafe_schema locker_freed_type = CAFE_SCHEMA_OF("LockerFreed", locker_freed, freed_fields);

static const cafe_field hold_fields[] = {
    CAFE_FIELD_OF(1, TEXT, hold_locker, guest),
    CAFE_FIELD_OF(2, I64, hold_locker, fee_minor),
};
static const cafe_field open_fields[] = {CAFE_FIELD_OF(1, I64, open_locker, hours)};
static const cafe_field free_fields[] = {CAFE_FIELD_OF(1, BOOL, free_locker, is_refunded)};
const cafe_schema hold_locker_type = CAFE_SCHEMA_OF("HoldLocker", hold_locker, hold_fields);
const cafe_schema open_locker_type = CAFE_SCHEMA_OF("OpenLocker", open_locker, open_fields);
const cafe_schema free_locker_type = CAFE_SCHEMA_OF("FreeLocker", free_locker, free_fields);

static const cafe_field locker_fields[] = {
    CAFE_FIELD_OF(1, TEXT, locker, guest),
    CAFE_FIELD_OF(2, I64, locker, fee_minor),
    CAFE_FIELD_OF(3, BOOL, locker, is_open),
    CAFE_FIELD_OF(4, BOOL, locker, is_stuck),
};
static const cafe_schema locker_type = CAFE_SCHEMA_OF("Locker", locker, locker_fields);

static const char *const operations[] = {"none", "charge", "refund"};
static const cafe_field asked_fields[] = {
    CAFE_FIELD_ENUM_OF(1, card_asked, operation, operations),
    CAFE_FIELD_OF(2, I64, card_asked, amount_minor),
};
static const cafe_field charged_fields[] = {CAFE_FIELD_OF(1, I64, card_charged, amount_minor)};
static const cafe_field declined_fields[] = {CAFE_FIELD_OF(1, I64, card_declined, amount_minor)};
static const cafe_field refunded_fields[] = {CAFE_FIELD_OF(1, I64, card_refunded, amount_minor)};
const cafe_schema card_asked_type = CAFE_SCHEMA_OF("CardAsked", card_asked, asked_fields);
const cafe_schema card_charged_type = CAFE_SCHEMA_OF("CardCharged", card_charged, charged_fields);
const cafe_schema card_declined_type = CAFE_SCHEMA_OF("CardDeclined", card_declined, declined_fields);
const cafe_schema card_refunded_type = CAFE_SCHEMA_OF("CardRefunded", card_refunded, refunded_fields);

static const cafe_field charge_fields[] = {CAFE_FIELD_OF(1, I64, charge_card, amount_minor)};
static const cafe_field refund_fields[] = {CAFE_FIELD_OF(1, I64, refund_card, amount_minor)};
static const cafe_field record_fields[] = {
    CAFE_FIELD_ENUM_OF(1, record_card, operation, operations),
    CAFE_FIELD_OF(2, BOOL, record_card, is_done),
};
const cafe_schema charge_card_type = CAFE_SCHEMA_OF("ChargeCard", charge_card, charge_fields);
const cafe_schema refund_card_type = CAFE_SCHEMA_OF("RefundCard", refund_card, refund_fields);
const cafe_schema record_card_type = CAFE_SCHEMA_OF("RecordCard", record_card, record_fields);

static const cafe_field till_fields[] = {
    CAFE_FIELD_ENUM_OF(1, till, running, operations), CAFE_FIELD_OF(2, I64, till, asked_minor),
    CAFE_FIELD_OF(3, I64, till, charged_minor),       CAFE_FIELD_OF(4, I64, till, refunded_minor),
    CAFE_FIELD_OF(5, BOOL, till, is_declined),
};
static const cafe_schema till_type = CAFE_SCHEMA_OF("Till", till, till_fields);
static const cafe_field task_fields[] = {
    CAFE_FIELD_ENUM_OF(1, card_task, operation, operations),
    CAFE_FIELD_OF(2, I64, card_task, amount_minor),
};
const cafe_schema card_task_type = CAFE_SCHEMA_OF("CardTask", card_task, task_fields);

/* ---- the locker ---- */

static cafe_verdict hold(cafe_decision *out, const locker *self, const hold_locker *command) {
  if (self->guest.size)
    return cafe_slice_equal(self->guest, command->guest)
               ? CAFE_UNCHANGED
               : cafe_refuse(out, "taken", "the locker is %.*s's", (int)self->guest.size, self->guest.data);
  locker_held held = {command->guest, command->fee_minor};
  cafe_emit(out, &locker_held_type, &held, sizeof held);
  return CAFE_ACCEPTED;
}

/* Lockers of a guest who is called "unlucky" have stuck locks. */
static cafe_verdict open_it(cafe_decision *out, const locker *self, const open_locker *command, int64_t now_ms) {
  if (self->is_open || self->is_stuck)
    return CAFE_UNCHANGED;
  if (cafe_slice_equal(self->guest, cafe_text("unlucky"))) {
    locker_stuck stuck = {cafe_text("rust")};
    cafe_emit(out, &locker_stuck_type, &stuck, sizeof stuck);
    return CAFE_ACCEPTED;
  }
  locker_opened opened = {now_ms + command->hours * 3600000};
  cafe_emit(out, &locker_opened_type, &opened, sizeof opened);
  return CAFE_ACCEPTED;
}

static cafe_verdict locker_decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  const locker *self = state;
  (void)user;
  if (command->type == &hold_locker_type)
    return hold(out, self, command->data);
  if (!self->guest.size)
    return command->type == &free_locker_type ? CAFE_UNCHANGED : cafe_refuse(out, "free", "nobody holds the locker");
  if (command->type == &open_locker_type)
    return open_it(out, self, command->data, command->now_ms);
  locker_freed freed = {command->now_ms};
  cafe_emit(out, &locker_freed_type, &freed, sizeof freed);
  return CAFE_ACCEPTED;
}

static int locker_evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  locker *self = state;
  (void)user;
  if (event->type == &locker_held_type) {
    const locker_held *held = event->data;
    self->fee_minor = held->fee_minor;
    return cafe_arena_copy(&self->guest, arena, held->guest);
  }
  self->is_open = event->type == &locker_opened_type;
  self->is_stuck = event->type == &locker_stuck_type;
  if (event->type == &locker_freed_type)
    *self = (locker){{NULL, 0}, 0, false, false};
  return CAFE_OK;
}

static const cafe_schema *const locker_events[] = {&locker_held_type, &locker_opened_type, &locker_stuck_type,
                                                   &locker_freed_type, NULL};
static const cafe_command_type locker_commands[] = {
    {.command = &hold_locker_type},
    {.command = &open_locker_type},
    {.command = &free_locker_type},
    {.command = NULL},
};
const cafe_aggregate locker_aggregate = {.size = CAFE_AGGREGATE,
                                         .name = "locker",
                                         .state = &locker_type,
                                         .events = locker_events,
                                         .commands = locker_commands,
                                         .decide = locker_decide,
                                         .evolve = locker_evolve};

/* ---- the till: each operation once, whatever asks for it how often ---- */

static cafe_verdict start(cafe_decision *out, int32_t operation, int64_t amount_minor) {
  card_asked asked = {operation, amount_minor};
  cafe_emit(out, &card_asked_type, &asked, sizeof asked);
  return CAFE_PENDING;
}

static cafe_verdict record(cafe_decision *out, const till *self, const record_card *command) {
  if (self->running != command->operation)
    return CAFE_UNCHANGED;
  if (command->operation == CARD_REFUND) {
    card_refunded refunded = {self->asked_minor};
    cafe_emit(out, &card_refunded_type, &refunded, sizeof refunded);
  } else if (command->is_done) {
    card_charged charged = {self->asked_minor};
    cafe_emit(out, &card_charged_type, &charged, sizeof charged);
  } else {
    card_declined declined = {self->asked_minor};
    cafe_emit(out, &card_declined_type, &declined, sizeof declined);
  }
  return CAFE_ACCEPTED;
}

static cafe_verdict till_decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  const till *self = state;
  (void)user;
  if (command->type == &record_card_type)
    return record(out, self, command->data);
  if (command->type == &charge_card_type) {
    if (self->running == CARD_CHARGE)
      return CAFE_PENDING;
    return self->charged_minor || self->is_declined
               ? CAFE_UNCHANGED
               : start(out, CARD_CHARGE, ((const charge_card *)command->data)->amount_minor);
  }
  if (self->running == CARD_REFUND)
    return CAFE_PENDING;
  return self->charged_minor == self->refunded_minor ? CAFE_UNCHANGED : start(out, CARD_REFUND, self->charged_minor);
}

static int till_evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  till *self = state;
  (void)arena;
  (void)user;
  self->running = CARD_NONE;
  if (event->type == &card_asked_type) {
    const card_asked *asked = event->data;
    self->running = asked->operation;
    self->asked_minor = asked->amount_minor;
  } else if (event->type == &card_charged_type) {
    self->charged_minor = ((const card_charged *)event->data)->amount_minor;
  } else if (event->type == &card_refunded_type) {
    self->refunded_minor = ((const card_refunded *)event->data)->amount_minor;
  } else {
    self->is_declined = true;
  }
  return CAFE_OK;
}

static void till_tasks(cafe_tasks *out, const void *state, void *user) {
  const till *self = state;
  (void)user;
  card_task task = {self->running, self->asked_minor};
  if (self->running != CARD_NONE)
    cafe_want(out, (uint32_t)self->running, &card_task_type, &task, sizeof task, 0);
}

static const cafe_schema *const till_events[] = {&card_asked_type, &card_charged_type, &card_declined_type,
                                                 &card_refunded_type, NULL};
static const cafe_command_outcome charge_outcomes[] = {
    {.event = &card_charged_type, .verdict = CAFE_ACCEPTED},
    {.event = &card_declined_type, .verdict = CAFE_REFUSED},
    {.event = NULL},
};
static const cafe_command_outcome refund_outcomes[] = {
    {.event = &card_refunded_type, .verdict = CAFE_ACCEPTED},
    {.event = NULL},
};
static const cafe_command_type till_commands[] = {
    {.command = &charge_card_type, .outcomes = charge_outcomes},
    {.command = &refund_card_type, .outcomes = refund_outcomes},
    {.command = &record_card_type},
    {.command = NULL},
};
static const cafe_schema *const till_task_types[] = {&card_task_type, NULL};
const cafe_aggregate till_aggregate = {.size = CAFE_AGGREGATE,
                                       .name = "till",
                                       .state = &till_type,
                                       .events = till_events,
                                       .commands = till_commands,
                                       .decide = till_decide,
                                       .evolve = till_evolve,
                                       .tasks = till_tasks,
                                       .task_types = till_task_types};

/* ---- the saga: hold, charge, open, and free it when the time is up ---- */

static const cafe_field rental_fields[] = {
    CAFE_FIELD_OF(1, U64, rental, key),
    CAFE_FIELD_OF(2, TEXT, rental, guest),
    CAFE_FIELD_OF(3, I64, rental, fee_minor),
    CAFE_FIELD_OF(4, TIME, rental, until_ms),
};
static const cafe_schema rental_type = CAFE_SCHEMA_OF("Rental", rental, rental_fields);

static int rental_fold(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user) {
  rental *self = data;
  (void)cause;
  (void)user;
  if (event->type == &locker_opened_type)
    self->until_ms = ((const locker_opened *)event->data)->until_ms;
  if (event->type != &locker_held_type)
    return CAFE_OK;
  const locker_held *held = event->data;
  self->key = event->key;
  self->fee_minor = held->fee_minor;
  return cafe_arena_copy(&self->guest, arena, held->guest);
}

static void ask_free(cafe_reaction *out, const void *data, void *user) {
  const rental *self = data;
  (void)user;
  cafe_react(out, &free_locker_type, self->key, &(free_locker){false}, sizeof(free_locker));
}

static void ask_charge(cafe_reaction *out, const void *data, void *user) {
  const rental *self = data;
  (void)user;
  cafe_react(out, &charge_card_type, self->key, &(charge_card){self->fee_minor}, sizeof(charge_card));
}

static void ask_refund(cafe_reaction *out, const void *data, void *user) {
  const rental *self = data;
  (void)user;
  cafe_react(out, &refund_card_type, self->key, &(refund_card){self->fee_minor}, sizeof(refund_card));
}

static void ask_open(cafe_reaction *out, const void *data, void *user) {
  const rental *self = data;
  (void)user;
  cafe_react(out, &open_locker_type, self->key, &(open_locker){2}, sizeof(open_locker));
}

static int due_overdue(int64_t *out, const void *data, void *user) {
  (void)user;
  *out = ((const rental *)data)->until_ms;
  return CAFE_OK;
}

#define SIGNALS(...) ((const cafe_schema *const[]){__VA_ARGS__, NULL})

static const cafe_saga_timeout overdue[] = {
    {.name = "overdue", .due_ms = due_overdue, .ask = ask_free},
    {.name = NULL},
};
static const cafe_saga_step rental_steps[] = {
    {.name = "hold",
     .kind = CAFE_STEP_COMPENSATABLE,
     .completes = SIGNALS(&locker_held_type),
     .compensation = ask_free,
     .compensated = SIGNALS(&locker_freed_type)},
    {.name = "charge",
     .kind = CAFE_STEP_COMPENSATABLE,
     .action = ask_charge,
     .completes = SIGNALS(&card_charged_type),
     .fails = SIGNALS(&card_declined_type),
     .compensation = ask_refund,
     .compensated = SIGNALS(&card_refunded_type, &card_declined_type)},
    {.name = "open",
     .kind = CAFE_STEP_PIVOT,
     .action = ask_open,
     .completes = SIGNALS(&locker_opened_type),
     .fails = SIGNALS(&locker_stuck_type)},
    {.name = "use", .kind = CAFE_STEP_RETRIABLE, .completes = SIGNALS(&locker_freed_type), .timeouts = overdue},
};
const cafe_saga rental_saga = {.size = CAFE_SAGA,
                               .name = "rental",
                               .version = 1,
                               .data = &rental_type,
                               .starts = &locker_held_type,
                               .steps = rental_steps,
                               .step_count = sizeof rental_steps / sizeof rental_steps[0],
                               .fold = rental_fold};

/* ---- the view ---- */

static const char *const statuses[] = {"free", "held", "open"};
static const cafe_field row_fields[] = {
    CAFE_FIELD_OF(1, TEXT, locker_row, guest),
    CAFE_FIELD_ENUM_OF(2, locker_row, status, statuses),
};
static const cafe_schema row_type = CAFE_SCHEMA_OF("LockerRow", locker_row, row_fields);

static int lockers_fold(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  locker_row *self = row;
  (void)user;
  if (event->type == &locker_held_type) {
    self->status = LOCKER_HELD;
    return cafe_arena_copy(&self->guest, arena, ((const locker_held *)event->data)->guest);
  }
  self->status = event->type == &locker_opened_type ? LOCKER_OPEN : LOCKER_FREE;
  if (self->status == LOCKER_FREE)
    *out = CAFE_FOLD_HIDE;
  return CAFE_OK;
}

static const char *const sources[] = {"lockers", NULL};
const cafe_view lockers_view = {.size = CAFE_VIEW,
                                .name = "lockers",
                                .version = 1,
                                .is_inline = true,
                                .sources = sources,
                                .events = SIGNALS(&locker_held_type, &locker_opened_type, &locker_freed_type),
                                .key_name = "locker_id",
                                .row = &row_type,
                                .fold = lockers_fold};

/* ---- the policy ---- */

static const cafe_field letter_fields[] = {CAFE_FIELD_OF(1, TEXT, write_letter, text)};
const cafe_schema write_letter_type = CAFE_SCHEMA_OF("WriteLetter", write_letter, letter_fields);

static void apologise(cafe_reaction *out, const cafe_event *event, void *user) {
  const locker_stuck *stuck = event->data;
  (void)user;
  cafe_react(out, &write_letter_type, event->key, &(write_letter){stuck->why}, sizeof(write_letter));
}

const cafe_policy apology_policy = {.size = CAFE_POLICY,
                                    .name = "apology",
                                    .source = "lockers",
                                    .events = SIGNALS(&locker_stuck_type),
                                    .react = apologise,
                                    .commands = SIGNALS(&write_letter_type)};

/* ---- the service ---- */

static const cafe_aggregate *const aggregates[] = {&locker_aggregate, &till_aggregate, NULL};
static const cafe_saga *const sagas[] = {&rental_saga, NULL};
static const cafe_view *const views[] = {&lockers_view, NULL};
const cafe_service locker_service = {
    .size = CAFE_SERVICE, .name = "lockers", .aggregates = aggregates, .sagas = sagas, .views = views};
