/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The reservation's saga: charge the deposit, hold the table, wait for the restaurant, wait for the cut-off; then
 * either way forward. It is data: steps, what completes and what fails them, what undoes them. It only asks;
 * reservation.c and deposit.c decide.
 *
 * Undoing goes back step by step. The reservation's end is asked for first, by `hold`, and the money follows, by
 * `deposit`: nobody is shown a reservation whose deposit was given back. A request that never was held ends last, by
 * `request`.
 *
 * The cut-off is the pivot: from there on the guest can't cancel, and nothing is undone. What is left are two ways
 * forward: the guest comes and gets the deposit back, or doesn't, and it is kept (deposit_policy.c).
 */
#include "reservation.h"

/* ---- what it remembers: its own key too, since what it asks for is of that key ---- */

typedef struct reservation_saga_data {
  uint64_t reservation_id;
  cafe_slice guest;
  int64_t deposit_minor;
  cafe_slice currency;
  int64_t pay_by_ms;
  int64_t answer_by_ms;
  int64_t cancel_until_ms;
  int64_t no_show_at_ms;
} reservation_saga_data;

static const cafe_field data_fields[] = {
    CAFE_FIELD_OF(1, U64, reservation_saga_data, reservation_id),
    CAFE_FIELD_OF(2, TEXT, reservation_saga_data, guest),
    CAFE_FIELD_OF(3, I64, reservation_saga_data, deposit_minor),
    CAFE_FIELD_OF(4, TEXT, reservation_saga_data, currency),
    CAFE_FIELD_OF(5, TIME, reservation_saga_data, pay_by_ms),
    CAFE_FIELD_OF(6, TIME, reservation_saga_data, answer_by_ms),
    CAFE_FIELD_OF(7, TIME, reservation_saga_data, cancel_until_ms),
    CAFE_FIELD_OF(8, TIME, reservation_saga_data, no_show_at_ms),
};
static const cafe_schema data_type = CAFE_SCHEMA_OF("ReservationSaga", reservation_saga_data, data_fields);

static int fold(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user) {
  (void)cause, (void)user;
  if (event->type != &table_requested_type) return CAFE_OK;
  const table_requested *requested = event->data;
  reservation_saga_data fresh = {
      .reservation_id = event->key,
      .guest = requested->guest,
      .deposit_minor = requested->deposit_minor,
      .currency = requested->currency,
      .pay_by_ms = requested->pay_by_ms,
      .answer_by_ms = requested->answer_by_ms,
      .cancel_until_ms = requested->cancel_until_ms,
      .no_show_at_ms = requested->no_show_at_ms,
  };
  return cafe_schema_copy(data, &fresh, &data_type, arena); /* the texts as well */
}

/* ---- what it asks ---- */

static void ask(cafe_reaction *out, const void *data, const cafe_schema *command) {
  nothing said = {false};
  cafe_react(out, command, ((const reservation_saga_data *)data)->reservation_id, &said, sizeof said);
}

static void ask_charge(cafe_reaction *out, const void *data, void *user) {
  (void)user;
  const reservation_saga_data *self = data;
  charge_deposit charge = {self->guest, self->deposit_minor, self->currency};
  cafe_react(out, &charge_deposit_type, self->reservation_id, &charge, sizeof charge);
}

#define ASK(name_, command_)                                                                                           \
  static void name_(cafe_reaction *out, const void *data, void *user) {                                                \
    (void)user;                                                                                                        \
    ask(out, data, &command_);                                                                                         \
  }
ASK(ask_return, return_deposit_type)
ASK(ask_hold, hold_table_type)
ASK(ask_abandon, abandon_request_type)
ASK(ask_lapse, lapse_request_type)
ASK(ask_close, close_cancellation_type)
ASK(ask_no_show, note_no_show_type)
ASK(ask_end, end_reservation_type)
ASK(ask_release, release_table_type)
ASK(ask_refuse_cancel, refuse_cancel_type)

/* ---- when ---- */

#define DUE(name_, member_)                                                                                            \
  static int name_(int64_t *out, const void *data, void *user) {                                                       \
    (void)user;                                                                                                        \
    *out = ((const reservation_saga_data *)data)->member_;                                                             \
    return CAFE_OK;                                                                                                    \
  }
DUE(pay_by, pay_by_ms)
DUE(answer_by, answer_by_ms)
DUE(cancel_until, cancel_until_ms)
DUE(no_show_at, no_show_at_ms)

static const cafe_saga_timeout pay_timeouts[] = {{.name = "pay", .due_ms = pay_by, .ask = ask_abandon}, {.name = NULL}};
static const cafe_saga_timeout answer_timeouts[] = {{.name = "answer", .due_ms = answer_by, .ask = ask_lapse},
                                                    {.name = NULL}};
static const cafe_saga_timeout cut_off_timeouts[] = {{.name = "cut_off", .due_ms = cancel_until, .ask = ask_close},
                                                     {.name = NULL}};
static const cafe_saga_timeout no_show_timeouts[] = {{.name = "no_show", .due_ms = no_show_at, .ask = ask_no_show},
                                                     {.name = NULL}};

/* ---- steps ---- */

#define SIGNALS(...)                                                                                                   \
  (const cafe_schema *const[]) { __VA_ARGS__, NULL }

static const cafe_saga_turn arrival_turns[] = {
    {.signal = &guest_seated_type, .to = "give_back"},
    {.signal = &guest_not_shown_type, .to = NULL}, /* the end */
    {.signal = NULL},
};

static const cafe_saga_step steps[] = {
    {
        .name = "request",
        .kind = CAFE_STEP_COMPENSATABLE,
        .completes = SIGNALS(&table_requested_type),
        .compensation = ask_end,
        .compensated = SIGNALS(&reservation_dropped_type, &reservation_canceled_type),
    },
    {
        .name = "deposit",
        .kind = CAFE_STEP_COMPENSATABLE,
        .action = ask_charge,
        .completes = SIGNALS(&deposit_charged_type),
        .fails = SIGNALS(&deposit_declined_type, &request_abandoned_type),
        .timeouts = pay_timeouts,
        .compensation = ask_return,
        .compensated = SIGNALS(&deposit_returned_type, &deposit_declined_type),
    },
    {
        .name = "hold",
        .kind = CAFE_STEP_COMPENSATABLE,
        .action = ask_hold,
        .completes = SIGNALS(&table_held_type),
        .compensation = ask_end,
        .compensated = SIGNALS(&reservation_canceled_type),
    },
    {
        .name = "answer",
        .kind = CAFE_STEP_COMPENSATABLE,
        .completes = SIGNALS(&table_confirmed_type),
        .fails = SIGNALS(&table_refused_type, &restaurant_silent_type),
        .timeouts = answer_timeouts,
    },
    {
        .name = "cut_off",
        .kind = CAFE_STEP_PIVOT,
        .completes = SIGNALS(&cancellation_closed_type, &guest_seated_type),
        .timeouts = cut_off_timeouts,
    },
    {
        .name = "arrival",
        .kind = CAFE_STEP_RETRIABLE,
        .turns = arrival_turns,
        .timeouts = no_show_timeouts,
    },
    {
        .name = "give_back",
        .kind = CAFE_STEP_RETRIABLE,
        .action = ask_return,
        .completes = SIGNALS(&deposit_returned_type),
    },
};

/* ---- the interrupt ---- */

static const cafe_saga_interrupt interrupts[] = {
    {
        .name = "guest",
        .signal = &cancel_asked_type,
        .legal_in = (const char *const[]){"answer", "cut_off", NULL},
        .guard = ask_release,
        .granted = SIGNALS(&table_released_type),
        .refused = SIGNALS(&cancellation_closed_type, &guest_seated_type),
        .refuse = ask_refuse_cancel, /* at once, where it isn't legal */
    },
};

/* With this list the node isn't started where somebody is missing who takes one of them. */
static const cafe_schema *const commands[] = {&charge_deposit_type,
                                              &return_deposit_type,
                                              &hold_table_type,
                                              &abandon_request_type,
                                              &lapse_request_type,
                                              &release_table_type,
                                              &refuse_cancel_type,
                                              &end_reservation_type,
                                              &close_cancellation_type,
                                              &note_no_show_type,
                                              NULL};

const cafe_saga reservation_saga = {
    .size = CAFE_SAGA,
    .name = "reservation",
    .version = 1,
    .data = &data_type,
    .starts = &table_requested_type,
    .steps = steps,
    .step_count = sizeof steps / sizeof steps[0],
    .interrupts = interrupts,
    .interrupt_count = sizeof interrupts / sizeof interrupts[0],
    .fold = fold,
    .commands = commands,
};
