/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEPOSIT_H
#define DEPOSIT_H

#include <cafe/cafe.h>

/*
 * The deposit, and the desk that moves its money. The aggregate says what is to be done (a task); the desk, which
 * stands for a payment service elsewhere, does it, knows each operation by its key, and does none twice.
 */
typedef enum deposit_status {
  DEPOSIT_NONE = 0,
  DEPOSIT_CHARGING = 1,
  DEPOSIT_CHARGED = 2,
  DEPOSIT_DECLINED = 3,
  DEPOSIT_RETURNING = 4,
  DEPOSIT_RETURNED = 5,
  DEPOSIT_KEPT = 6
} deposit_status;

typedef enum desk_operation { DESK_CHARGE = 1, DESK_RETURN = 2 } desk_operation;

/* ---- commands: all but the desk's own are answered by the state, however often they come ---- */

typedef struct charge_deposit {
  cafe_slice guest;
  int64_t amount_minor;
  cafe_slice currency;
} charge_deposit;

/* return_deposit and keep_deposit say no more than their names. */

/* What the desk says. */
typedef struct note_desk {
  desk_operation operation;
  bool is_declined;
} note_desk;

/* ---- events ---- */

typedef struct deposit_started {
  cafe_slice guest;
  int64_t amount_minor;
  cafe_slice currency;
} deposit_started;

/* DepositCharged, DepositDeclined, DepositReturnAsked (while it is being charged), DepositReturnStarted,
 * DepositReturned, DepositKept say no more than their names. */

/* ---- state and task ---- */

typedef struct deposit {
  deposit_status status;
  bool return_asked; /* while it is charging: back as soon as it is charged */
  cafe_slice guest;
  int64_t amount_minor;
  cafe_slice currency;
} deposit;

typedef struct move_deposit {
  desk_operation operation;
  cafe_slice guest;
  int64_t amount_minor;
  cafe_slice currency;
} move_deposit;

extern const char *const deposit_status_names[DEPOSIT_KEPT + 1];

/* The status after the event; one that says nothing of it leaves it. */
deposit_status deposit_status_after(deposit_status before, const cafe_schema *event);

extern const cafe_schema charge_deposit_type, return_deposit_type, keep_deposit_type, note_desk_type;
extern const cafe_schema deposit_started_type, deposit_charged_type, deposit_declined_type, deposit_return_asked_type,
    deposit_return_started_type, deposit_returned_type, deposit_kept_type;
extern const cafe_schema move_deposit_type;

extern const cafe_aggregate deposit_aggregate;
extern const cafe_service deposits_service;

/* ---- the desk ---- */

typedef struct desk_entry {
  uint64_t key; /* the reservation's; with the operation the idempotency key */
  desk_operation operation;
  bool is_declined;
  int64_t amount_minor;
} desk_entry;

typedef struct desk {
  cafe_loop *loop;
  int64_t delay_ms;        /* how long it takes */
  int64_t limit_minor;     /* it declines more */
  uint32_t lost_answers;   /* so many calls from now on take effect, and their answers are lost */
  struct desk_call *calls; /* running */
  desk_entry *book;        /* all that it ever did */
  uint32_t count, room;
} desk;

/* A desk on the loop (BORROW: as long as it works). *out is the caller's. */
void desk_init(desk *out, cafe_loop *loop);
void desk_deinit(desk *self);

/* A worker for the desk. COPY. */
cafe_worker desk_worker(desk *self);

/* Money that it holds of the reservation: charged and not returned. */
int64_t desk_holds(const desk *self, uint64_t key);

#endif
