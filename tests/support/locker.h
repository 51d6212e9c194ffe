/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOCKER_H
#define LOCKER_H

#include <cafe/cafe.h>

/*
 * Lockers for rent. Whoever holds one is charged by card, then it is opened. A card may be declined and a lock may be
 * stuck; then the money goes back and the locker is free again. Two aggregates, a saga, a view; a task for each call of
 * the card terminal.
 */

/* ---- the locker: what happens to it ---- */

typedef struct locker_held {
  cafe_slice guest;
  int64_t fee_minor;
} locker_held;
typedef struct locker_opened {
  int64_t until_ms;
} locker_opened;
typedef struct locker_stuck {
  cafe_slice why;
} locker_stuck;
typedef struct locker_freed {
  int64_t at_ms;
} locker_freed;
extern const cafe_schema locker_held_type, locker_opened_type, locker_stuck_type, locker_freed_type;

/* ... and what is asked of it */

typedef struct hold_locker {
  cafe_slice guest;
  int64_t fee_minor;
} hold_locker;
typedef struct open_locker {
  int64_t hours;
} open_locker;
typedef struct free_locker {
  bool is_refunded;
} free_locker;
extern const cafe_schema hold_locker_type, open_locker_type, free_locker_type;

typedef struct locker {
  cafe_slice guest;
  int64_t fee_minor;
  bool is_open;
  bool is_stuck;
} locker;
extern const cafe_aggregate locker_aggregate;

/* ---- the till ---- */

typedef enum card_operation { CARD_NONE, CARD_CHARGE, CARD_REFUND } card_operation;

typedef struct card_asked {
  int32_t operation;
  int64_t amount_minor;
} card_asked;
typedef struct card_charged {
  int64_t amount_minor;
} card_charged;
typedef struct card_declined {
  int64_t amount_minor;
} card_declined;
typedef struct card_refunded {
  int64_t amount_minor;
} card_refunded;
extern const cafe_schema card_asked_type, card_charged_type, card_declined_type, card_refunded_type;

typedef struct charge_card {
  int64_t amount_minor;
} charge_card;
typedef struct refund_card {
  int64_t amount_minor;
} refund_card;
/* The terminal's answer. */
typedef struct record_card {
  int32_t operation;
  bool is_done;
} record_card;
extern const cafe_schema charge_card_type, refund_card_type, record_card_type;

typedef struct till {
  int32_t running; /* a card_operation */
  int64_t asked_minor;
  int64_t charged_minor;
  int64_t refunded_minor;
  bool is_declined;
} till;
typedef struct card_task {
  int32_t operation;
  int64_t amount_minor;
} card_task;
extern const cafe_schema card_task_type;
extern const cafe_aggregate till_aggregate;

/* ---- the rest ---- */

typedef struct rental {
  uint64_t key;
  cafe_slice guest;
  int64_t fee_minor;
  int64_t until_ms;
} rental;
extern const cafe_saga rental_saga;

typedef enum locker_status { LOCKER_FREE, LOCKER_HELD, LOCKER_OPEN } locker_status;

typedef struct locker_row {
  cafe_slice guest;
  int32_t status; /* a locker_status */
} locker_row;
extern const cafe_view lockers_view;

/* A letter to the guest, when a lock is stuck. */
extern const cafe_schema write_letter_type;
typedef struct write_letter {
  cafe_slice text;
} write_letter;
extern const cafe_policy apology_policy;

/* locker, till, rental and lockers. */
extern const cafe_service locker_service;

#endif
