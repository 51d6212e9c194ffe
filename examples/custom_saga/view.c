/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The table `reservations`: what people look at. It is inline, so whoever was answered finds the answer in it, and it
 * reads the events of two services, which are hosted together here. Without a deposit there is no row.
 */
#include "reservation.h"

static const cafe_field reservation_row_fields[] = {
    CAFE_FIELD_OF(1, TEXT, reservation_row, guest),
    CAFE_FIELD_OF(2, I64, reservation_row, party_size),
    CAFE_FIELD_OF(3, TIME, reservation_row, at_ms),
    CAFE_FIELD_ENUM_OF(4, reservation_row, status, reservation_status_names),
    CAFE_FIELD_ENUM_OF(5, reservation_row, deposit, deposit_status_names),
    CAFE_FIELD_OF(6, I64, reservation_row, deposit_minor),
    CAFE_FIELD_OF(7, TEXT, reservation_row, currency),
    CAFE_FIELD_OF(8, TIME, reservation_row, updated_at_ms),
};
static const cafe_schema reservation_row_type =
    CAFE_SCHEMA_OF("ReservationRow", reservation_row, reservation_row_fields);

static const cafe_schema *const row_events[] = {&table_requested_type,
                                                &request_abandoned_type,
                                                &reservation_dropped_type,
                                                &table_held_type,
                                                &table_confirmed_type,
                                                &table_refused_type,
                                                &restaurant_silent_type,
                                                &table_released_type,
                                                &cancellation_closed_type,
                                                &guest_seated_type,
                                                &guest_not_shown_type,
                                                &reservation_canceled_type,
                                                &deposit_started_type,
                                                &deposit_charged_type,
                                                &deposit_declined_type,
                                                &deposit_return_started_type,
                                                &deposit_returned_type,
                                                &deposit_kept_type,
                                                NULL};

static int fold(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  reservation_row *self = row;
  int code = CAFE_OK;
  if (event->type == &table_requested_type) {
    const table_requested *requested = event->data;
    self->party_size = requested->party_size;
    self->at_ms = requested->at_ms;
    self->deposit_minor = requested->deposit_minor;
    code = cafe_arena_copy(&self->guest, arena, requested->guest);
    if (!code) code = cafe_arena_copy(&self->currency, arena, requested->currency);
  }
  self->status = reservation_status_after(self->status, event->type);
  self->deposit = deposit_status_after(self->deposit, event->type);
  self->updated_at_ms = event->time_ms;
  *out = self->status < RESERVATION_HELD ? CAFE_FOLD_HIDE : CAFE_FOLD_PUT; /* without a deposit it is none */
  return code;
}

const cafe_view reservations_view = {
    .size = CAFE_VIEW,
    .name = "reservations",
    .version = 1,
    .is_inline = true,
    .sources = (const char *const[]){"reservations", "deposits", NULL},
    .events = row_events,
    .key_name = "reservation_id",
    .row = &reservation_row_type,
    .indexes = (const char *const[]){"status", NULL},
    .fold = fold,
};
