/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a reservation may become. This aggregate alone decides who came first: the guest who cancels or the cut-off, the
 * restaurant's answer or its deadline, the guest at the door or the no-show. All of these are commands to this one
 * stream, so the second finds what the first left. A timer that fires late changes nothing of that: what counts is the
 * time that the command was decided at.
 *
 * People are refused with a reason. What the saga asks for is never refused: where it doesn't fit any more, something
 * else has happened, the saga hears of that, and nothing changes.
 */
#include "reservation.h"

/* ---- field tables ---- */

#define SCHEMA(name_, struct_, text_) const cafe_schema name_##_type = CAFE_SCHEMA_OF(text_, struct_, struct_##_fields)
#define NOTHING(name_, text_)         SCHEMA(name_, nothing, text_)

const char *const reservation_status_names[RESERVATION_CANCELED + 1] = {
    "",       "Requested", "Abandoned", "Dropped", "Held",     "Confirmed", "Fixed",
    "Seated", "NotShown",  "Refused",   "Silent",  "Released", "Canceled"};
static const char *const by_names[] = {"", "guest", "restaurant", "silence"};

static const cafe_field nothing_fields[] = {CAFE_FIELD_OF(1, BOOL, nothing, unused)};
static const cafe_field reserve_table_fields[] = {
    CAFE_FIELD_OF(1, TEXT, reserve_table, guest),    CAFE_FIELD_OF(2, I64, reserve_table, party_size),
    CAFE_FIELD_OF(3, TIME, reserve_table, at_ms),    CAFE_FIELD_OF(4, I64, reserve_table, deposit_minor),
    CAFE_FIELD_OF(5, TEXT, reserve_table, currency), CAFE_FIELD_OF(6, I64, reserve_table, pay_ms),
    CAFE_FIELD_OF(7, I64, reserve_table, answer_ms), CAFE_FIELD_OF(8, I64, reserve_table, cut_off_ms),
    CAFE_FIELD_OF(9, I64, reserve_table, grace_ms),
};
static const cafe_field answer_request_fields[] = {
    CAFE_FIELD_OF(1, BOOL, answer_request, accepts),
    CAFE_FIELD_OF(2, TEXT, answer_request, reason),
};
static const cafe_field table_requested_fields[] = {
    CAFE_FIELD_OF(1, TEXT, table_requested, guest),         CAFE_FIELD_OF(2, I64, table_requested, party_size),
    CAFE_FIELD_OF(3, TIME, table_requested, at_ms),         CAFE_FIELD_OF(4, I64, table_requested, deposit_minor),
    CAFE_FIELD_OF(5, TEXT, table_requested, currency),      CAFE_FIELD_OF(6, TIME, table_requested, pay_by_ms),
    CAFE_FIELD_OF(7, TIME, table_requested, answer_by_ms),  CAFE_FIELD_OF(8, TIME, table_requested, cancel_until_ms),
    CAFE_FIELD_OF(9, TIME, table_requested, no_show_at_ms),
};
static const cafe_field table_refused_fields[] = {CAFE_FIELD_OF(1, TEXT, table_refused, reason)};
static const cafe_field reservation_canceled_fields[] = {CAFE_FIELD_ENUM_OF(1, reservation_canceled, by, by_names)};
static const cafe_field reservation_fields[] = {
    CAFE_FIELD_ENUM_OF(1, reservation, status, reservation_status_names),
    CAFE_FIELD_OF(2, TIME, reservation, cancel_until_ms),
    CAFE_FIELD_OF(3, BOOL, reservation, cancel_asked),
    CAFE_FIELD_OF(4, BOOL, reservation, was_abandoned),
};

SCHEMA(reserve_table, reserve_table, "ReserveTable");
SCHEMA(answer_request, answer_request, "AnswerRequest");
NOTHING(cancel_reservation, "CancelReservation");
NOTHING(seat_guest, "SeatGuest");
NOTHING(hold_table, "HoldTable");
NOTHING(abandon_request, "AbandonRequest");
NOTHING(lapse_request, "LapseRequest");
NOTHING(release_table, "ReleaseTable");
NOTHING(refuse_cancel, "RefuseReservationCancel"); /* the coffee shop has a RefuseCancel: names are unique */
NOTHING(end_reservation, "EndReservation");
NOTHING(close_cancellation, "CloseCancellation");
NOTHING(note_no_show, "NoteNoShow");
SCHEMA(table_requested, table_requested, "TableRequested");
NOTHING(request_abandoned, "RequestAbandoned");
NOTHING(reservation_dropped, "ReservationDropped");
NOTHING(table_held, "TableHeld");
NOTHING(table_confirmed, "TableConfirmed");
SCHEMA(table_refused, table_refused, "TableRefused");
NOTHING(restaurant_silent, "RestaurantSilent");
NOTHING(cancel_asked, "CancelAsked");
NOTHING(cancel_refused, "CancelRefused");
NOTHING(table_released, "TableReleased");
NOTHING(cancellation_closed, "CancellationClosed");
NOTHING(guest_seated, "GuestSeated");
NOTHING(guest_not_shown, "GuestNotShown");
SCHEMA(reservation_canceled, reservation_canceled, "ReservationCanceled");
static SCHEMA(reservation, reservation, "Reservation");

/* ---- what people ask for ---- */

static cafe_verdict emit(cafe_decision *out, const cafe_schema *event) {
  nothing said = {false};
  cafe_emit(out, event, &said, sizeof said);
  return CAFE_ACCEPTED;
}

static cafe_verdict wrong_state(cafe_decision *out, const reservation *state) {
  if (state->status == RESERVATION_NONE) return cafe_refuse(out, "not-found", "there is no such reservation");
  return cafe_refuse(out, "wrong-state", "the reservation is %s", reservation_status_names[state->status]);
}

/* Within a year each, so that no sum overflows. */
static bool is_duration(int64_t ms) { return ms >= 0 && ms <= 31536000000; }

static int64_t or_else(int64_t ms, int64_t otherwise_ms) { return ms ? ms : otherwise_ms; }

static const char *wrong_field(const reserve_table *asked, int64_t cut_off_ms, int64_t now_ms) {
  int decimals;
  if (asked->guest.size < 1 || asked->guest.size > 64) return "guest: must have 1 to 64 bytes";
  if (asked->party_size < 1 || asked->party_size > 20) return "party_size: must be 1 to 20";
  if (asked->deposit_minor < 1 || asked->deposit_minor > 1000000000) return "deposit_minor: must be 1 to 10^9";
  if (cafe_currency_decimals(&decimals, asked->currency, NULL)) return "currency: must be an ISO 4217 code";
  if (!is_duration(asked->pay_ms) || !is_duration(asked->answer_ms) || !is_duration(asked->cut_off_ms) ||
      !is_duration(asked->grace_ms))
    return "pay_ms, answer_ms, cut_off_ms, grace_ms: must be 0 to a year";
  if (!is_duration(asked->at_ms - now_ms) || asked->at_ms - now_ms <= cut_off_ms)
    return "at_ms: must be after the cut-off, and within a year";
  return NULL;
}

/* A guest who got no answer asks again, and is told what the first request came to. */
static cafe_verdict reserve_again(cafe_decision *out, const reservation *state) {
  switch (state->status) {
  case RESERVATION_REQUESTED:
    return CAFE_PENDING; /* the same answer will do */
  case RESERVATION_ABANDONED:
  case RESERVATION_DROPPED:
    return state->was_abandoned ? cafe_refuse(out, "RequestAbandoned", "the deposit took too long")
                                : cafe_refuse(out, "DepositDeclined", "the deposit was declined");
  default:
    return CAFE_UNCHANGED;
  }
}

static cafe_verdict reserve(cafe_decision *out, const reservation *state, const cafe_command *command) {
  const reserve_table *asked = command->data;
  if (state->status != RESERVATION_NONE) return reserve_again(out, state);
  int64_t cut_off_ms = or_else(asked->cut_off_ms, 7200000);
  const char *wrong = wrong_field(asked, cut_off_ms, command->now_ms);
  if (wrong) return cafe_refuse(out, "invalid", "%s", wrong);
  table_requested requested = {
      .guest = asked->guest,
      .party_size = asked->party_size,
      .at_ms = asked->at_ms,
      .deposit_minor = asked->deposit_minor,
      .currency = asked->currency,
      .pay_by_ms = command->now_ms + or_else(asked->pay_ms, 60000),
      .answer_by_ms = command->now_ms + or_else(asked->answer_ms, 1800000),
      .cancel_until_ms = asked->at_ms - cut_off_ms,
      .no_show_at_ms = asked->at_ms + or_else(asked->grace_ms, 900000),
  };
  if (requested.answer_by_ms > requested.cancel_until_ms) requested.answer_by_ms = requested.cancel_until_ms;
  cafe_emit(out, &table_requested_type, &requested, sizeof requested);
  return CAFE_PENDING;
}

static cafe_verdict answer(cafe_decision *out, const reservation *state, const answer_request *asked) {
  if (state->status == (asked->accepts ? RESERVATION_CONFIRMED : RESERVATION_REFUSED)) return CAFE_UNCHANGED;
  if (state->status != RESERVATION_HELD) return wrong_state(out, state);
  if (asked->accepts) return emit(out, &table_confirmed_type);
  table_refused refused = {asked->reason};
  cafe_emit(out, &table_refused_type, &refused, sizeof refused);
  return CAFE_ACCEPTED;
}

/* The saga asks back whether it may be (release), and answers. */
static cafe_verdict cancel(cafe_decision *out, const reservation *state) {
  if (state->status != RESERVATION_HELD && state->status != RESERVATION_CONFIRMED && state->status != RESERVATION_FIXED)
    return state->status == RESERVATION_CANCELED ? CAFE_UNCHANGED : wrong_state(out, state);
  if (!state->cancel_asked) emit(out, &cancel_asked_type);
  return CAFE_PENDING;
}

static cafe_verdict seat(cafe_decision *out, const reservation *state) {
  if (state->status == RESERVATION_SEATED) return CAFE_UNCHANGED;
  if (state->status != RESERVATION_CONFIRMED && state->status != RESERVATION_FIXED) return wrong_state(out, state);
  return emit(out, &guest_seated_type);
}

/* ---- what the saga asks for ---- */

/* The guard: who asks before the restaurant has answered, or before the cut-off, may go. */
static cafe_verdict release(cafe_decision *out, const reservation *state, int64_t now_ms) {
  if (state->status == RESERVATION_HELD) return emit(out, &table_released_type);
  if (state->status != RESERVATION_CONFIRMED) return CAFE_UNCHANGED;
  return emit(out, now_ms <= state->cancel_until_ms ? &table_released_type : &cancellation_closed_type);
}

static cafe_verdict end(cafe_decision *out, const reservation *state) {
  reservation_canceled canceled = {CANCELED_BY_GUEST};
  switch (state->status) {
  case RESERVATION_REQUESTED:
  case RESERVATION_ABANDONED:
    return emit(out, &reservation_dropped_type);
  case RESERVATION_REFUSED:
    canceled.by = CANCELED_BY_RESTAURANT;
    break;
  case RESERVATION_SILENT:
    canceled.by = CANCELED_BY_SILENCE;
    break;
  case RESERVATION_RELEASED:
    break;
  default:
    return CAFE_UNCHANGED;
  }
  cafe_emit(out, &reservation_canceled_type, &canceled, sizeof canceled);
  return CAFE_ACCEPTED;
}

/* Those that are one event, in one or two states. */
static const struct {
  const cafe_schema *command;
  reservation_status from, or_from;
  const cafe_schema *event;
} steps[] = {
    {&hold_table_type, RESERVATION_REQUESTED, RESERVATION_REQUESTED, &table_held_type},
    {&abandon_request_type, RESERVATION_REQUESTED, RESERVATION_REQUESTED, &request_abandoned_type},
    {&lapse_request_type, RESERVATION_HELD, RESERVATION_HELD, &restaurant_silent_type},
    {&close_cancellation_type, RESERVATION_CONFIRMED, RESERVATION_CONFIRMED, &cancellation_closed_type},
    {&note_no_show_type, RESERVATION_CONFIRMED, RESERVATION_FIXED, &guest_not_shown_type},
};

static cafe_verdict decide(cafe_decision *out, const void *from, const cafe_command *command, void *user) {
  const reservation *state = from;
  (void)user;
  if (command->type == &reserve_table_type) return reserve(out, state, command);
  if (command->type == &answer_request_type) return answer(out, state, command->data);
  if (command->type == &cancel_reservation_type) return cancel(out, state);
  if (command->type == &seat_guest_type) return seat(out, state);
  if (command->type == &release_table_type) return release(out, state, command->now_ms);
  if (command->type == &end_reservation_type) return end(out, state);
  if (command->type == &refuse_cancel_type)
    return state->cancel_asked ? emit(out, &cancel_refused_type) : CAFE_UNCHANGED;
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
    if (command->type == steps[i].command && (state->status == steps[i].from || state->status == steps[i].or_from))
      return emit(out, steps[i].event);
  return CAFE_UNCHANGED;
}

/* ---- evolve ---- */

static const struct {
  const cafe_schema *event;
  reservation_status status;
} statuses[] = {
    {&table_requested_type, RESERVATION_REQUESTED},   {&request_abandoned_type, RESERVATION_ABANDONED},
    {&reservation_dropped_type, RESERVATION_DROPPED}, {&table_held_type, RESERVATION_HELD},
    {&table_confirmed_type, RESERVATION_CONFIRMED},   {&cancellation_closed_type, RESERVATION_FIXED},
    {&guest_seated_type, RESERVATION_SEATED},         {&guest_not_shown_type, RESERVATION_NOT_SHOWN},
    {&table_refused_type, RESERVATION_REFUSED},       {&restaurant_silent_type, RESERVATION_SILENT},
    {&table_released_type, RESERVATION_RELEASED},     {&reservation_canceled_type, RESERVATION_CANCELED},
};

reservation_status reservation_status_after(reservation_status before, const cafe_schema *event) {
  for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
    if (statuses[i].event == event) return statuses[i].status;
  return before;
}

static int evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)arena, (void)user;
  reservation *self = state;
  self->status = reservation_status_after(self->status, event->type);
  if (event->type == &table_requested_type)
    self->cancel_until_ms = ((const table_requested *)event->data)->cancel_until_ms;
  if (event->type == &request_abandoned_type) self->was_abandoned = true;
  if (event->type == &cancel_asked_type) self->cancel_asked = true;
  if (event->type == &cancel_refused_type || event->type == &reservation_canceled_type) self->cancel_asked = false;
  return CAFE_OK;
}

/* ---- a guest's own key ---- */

/* Kept is what can't turn out otherwise. Whatever else is refused keeps nothing, so that the key may try again. */
int reservation_reply(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user) {
  (void)user;
  const char *answer = outcome->verdict == CAFE_REFUSED ? outcome->reason : "reserved";
  bool is_final = outcome->verdict != CAFE_REFUSED || strcmp(answer, "DepositDeclined") == 0;
  return cafe_arena_copy(out, arena, cafe_text(is_final ? answer : ""));
}

/* ---- the aggregate ---- */

static const cafe_schema *const events[] = {
    &table_requested_type,   &request_abandoned_type,    &reservation_dropped_type,
    &table_held_type,        &table_confirmed_type,      &table_refused_type,
    &restaurant_silent_type, &cancel_asked_type,         &cancel_refused_type,
    &table_released_type,    &cancellation_closed_type,  &guest_seated_type,
    &guest_not_shown_type,   &reservation_canceled_type, NULL};

/* An outcome may be any event of the key, the deposit's too. */
static const cafe_command_outcome reserve_outcomes[] = {
    {.event = &table_held_type, .verdict = CAFE_ACCEPTED},
    {.event = &deposit_declined_type, .verdict = CAFE_REFUSED},
    {.event = &request_abandoned_type, .verdict = CAFE_REFUSED},
    {.event = NULL},
};
static const cafe_command_outcome cancel_outcomes[] = {
    {.event = &reservation_canceled_type, .verdict = CAFE_ACCEPTED},
    {.event = &cancel_refused_type, .verdict = CAFE_REFUSED},
    {.event = NULL},
};
static const cafe_command_type commands[] = {
    {.command = &reserve_table_type, .outcomes = reserve_outcomes},
    {.command = &answer_request_type},
    {.command = &cancel_reservation_type, .outcomes = cancel_outcomes},
    {.command = &seat_guest_type},
    {.command = &hold_table_type},
    {.command = &abandon_request_type},
    {.command = &lapse_request_type},
    {.command = &release_table_type},
    {.command = &refuse_cancel_type},
    {.command = &end_reservation_type},
    {.command = &close_cancellation_type},
    {.command = &note_no_show_type},
    {.command = NULL},
};

const cafe_aggregate reservation_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "reservation",
    .state = &reservation_type,
    .events = events,
    .commands = commands,
    .decide = decide,
    .evolve = evolve,
};

/* ---- the service: its saga commands the deposit, and hears it, so that it names it as a remote ---- */

const cafe_service reservations_service = {
    .size = CAFE_SERVICE,
    .name = "reservations",
    .aggregates = (const cafe_aggregate *const[]){&reservation_aggregate, NULL},
    .sagas = (const cafe_saga *const[]){&reservation_saga, NULL},
    .views = (const cafe_view *const[]){&reservations_view, NULL},
    .remotes = (const cafe_aggregate *const[]){&deposit_aggregate, NULL},
    .remote_services = (const char *const[]){"deposits", NULL},
};
