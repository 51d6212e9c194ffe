/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESERVATION_H
#define RESERVATION_H

#include <cafe/cafe.h>

#include "deposit.h"

/*
 * A table in a restaurant, reserved for a time, with a deposit. Its key is the reservation's number, and the deposit's
 * too, so that both, the saga and the row of `reservations` change together.
 *
 *   TableRequested → the deposit is charged → TableHeld → the restaurant answers: TableConfirmed
 *     → CancellationClosed at the cut-off → GuestSeated: the deposit goes back; or GuestNotShown: it is kept
 *   or ReservationDropped (no deposit, no reservation), or ReservationCanceled, and the deposit goes back.
 *
 * Each struct is described by the cafe_schema of its name with _type behind it.
 */
typedef enum reservation_status {
  RESERVATION_NONE = 0,
  RESERVATION_REQUESTED = 1, /* the deposit is being charged; nobody is shown it */
  RESERVATION_ABANDONED = 2, /* the deposit took too long */
  RESERVATION_DROPPED = 3,
  RESERVATION_HELD = 4, /* the restaurant is to answer */
  RESERVATION_CONFIRMED = 5,
  RESERVATION_FIXED = 6, /* confirmed, and it can't be canceled any more */
  RESERVATION_SEATED = 7,
  RESERVATION_NOT_SHOWN = 8,
  RESERVATION_REFUSED = 9,   /* by the restaurant */
  RESERVATION_SILENT = 10,   /* the restaurant didn't answer */
  RESERVATION_RELEASED = 11, /* the guest canceled in time */
  RESERVATION_CANCELED = 12  /* after one of those three */
} reservation_status;

typedef enum canceled_by { CANCELED_BY_GUEST = 1, CANCELED_BY_RESTAURANT = 2, CANCELED_BY_SILENCE = 3 } canceled_by;

/* ---- commands ---- */

/* The guest's. Outcomes: TableHeld; DepositDeclined, RequestAbandoned (refused). */
typedef struct reserve_table {
  cafe_slice guest;      /* 1 to 64 bytes */
  int64_t party_size;    /* 1 to 20 */
  int64_t at_ms;         /* TIME; before the cut-off nothing can be reserved */
  int64_t deposit_minor; /* 1 to 10^9 */
  cafe_slice currency;   /* ISO 4217 */
  int64_t pay_ms;        /* how long the deposit may take; 0: a minute */
  int64_t answer_ms;     /* how long the restaurant may take to answer; 0: half an hour */
  int64_t cut_off_ms;    /* how long before the table's time the guest may cancel; 0: two hours */
  int64_t grace_ms;      /* how long after it the table is kept; 0: a quarter of an hour */
} reserve_table;

/* The restaurant's. */
typedef struct answer_request {
  bool accepts;
  cafe_slice reason; /* why not */
} answer_request;

/* All other commands and events say no more than their names: the guest's cancel_reservation (outcomes:
 * ReservationCanceled; CancelRefused), the restaurant's seat_guest, and what the saga asks for. */
typedef struct nothing {
  bool unused; /* a struct can't be empty */
} nothing;

/* ---- events ---- */

/* Every time that will count is in it: rules may change, what was agreed doesn't. */
typedef struct table_requested {
  cafe_slice guest;
  int64_t party_size;
  int64_t at_ms;
  int64_t deposit_minor;
  cafe_slice currency;
  int64_t pay_by_ms;       /* the deposit is charged by then, or the request is abandoned */
  int64_t answer_by_ms;    /* the restaurant answers by then, or the reservation is canceled */
  int64_t cancel_until_ms; /* the guest may cancel until then */
  int64_t no_show_at_ms;   /* the guest is there by then, or the deposit is kept */
} table_requested;

typedef struct table_refused {
  cafe_slice reason;
} table_refused;

typedef struct reservation_canceled {
  canceled_by by;
} reservation_canceled;

/* ---- state, and the row of `reservations` ---- */

typedef struct reservation {
  reservation_status status;
  int64_t cancel_until_ms;
  bool cancel_asked; /* and not answered yet */
  bool was_abandoned;
} reservation;

typedef struct reservation_row {
  cafe_slice guest;
  int64_t party_size;
  int64_t at_ms;
  reservation_status status;
  deposit_status deposit;
  int64_t deposit_minor;
  cafe_slice currency;
  int64_t updated_at_ms;
} reservation_row;

/* cafe_submit.reply of a reserve_table under the guest's own key: "reserved", or "DepositDeclined". */
int reservation_reply(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user);

extern const char *const reservation_status_names[RESERVATION_CANCELED + 1];

/* The status after the event; one that says nothing of it leaves it. */
reservation_status reservation_status_after(reservation_status before, const cafe_schema *event);

extern const cafe_schema reserve_table_type, answer_request_type, cancel_reservation_type, seat_guest_type;
extern const cafe_schema hold_table_type, abandon_request_type, lapse_request_type, release_table_type,
    refuse_cancel_type, end_reservation_type, close_cancellation_type, note_no_show_type;

extern const cafe_schema table_requested_type, request_abandoned_type, reservation_dropped_type, table_held_type,
    table_confirmed_type, table_refused_type, restaurant_silent_type, cancel_asked_type, cancel_refused_type,
    table_released_type, cancellation_closed_type, guest_seated_type, guest_not_shown_type, reservation_canceled_type;

extern const cafe_aggregate reservation_aggregate;
extern const cafe_saga reservation_saga;
extern const cafe_view reservations_view;
extern const cafe_service reservations_service; /* with "deposits" and a worker for it on the same node */

#endif
