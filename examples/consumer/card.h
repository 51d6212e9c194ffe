/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CARD_H
#define CARD_H

#include <cafe/cafe.h>

/*
 * A stamp card: one stamp a visit, and the tenth cup is free. Its key is the number on the card. Each struct is
 * described by the cafe_schema of its name with _type behind it; fields are only ever added, at the end.
 */
enum { CARD_FULL = 10 };

/* ---- commands ---- */

typedef struct open_card {
  cafe_slice holder; /* 1 to 64 bytes */
} open_card;

typedef struct stamp_card {
  uint64_t visit; /* which one: the same visit gives one stamp, however often it is told */
} stamp_card;

typedef struct redeem_card {
  bool unused; /* says no more than its name; a struct can't be empty */
} redeem_card;

/* ---- events ---- */

typedef struct card_opened {
  cafe_slice holder;
} card_opened;

typedef struct card_stamped {
  uint64_t visit;
  int64_t stamps; /* with this one */
} card_stamped;

typedef struct card_redeemed {
  int64_t cups; /* free ones so far, with this one */
} card_redeemed;

/* ---- state, and the row of `cards` ---- */

typedef struct card {
  cafe_slice holder; /* empty: there is no such card */
  uint64_t last_visit;
  int64_t stamps;
  int64_t cups;
} card;

typedef struct card_row {
  cafe_slice holder;
  int64_t stamps;
  int64_t cups;
  int64_t updated_at_ms;
} card_row;

extern const cafe_schema open_card_type, stamp_card_type, redeem_card_type;
extern const cafe_schema card_opened_type, card_stamped_type, card_redeemed_type;
extern const cafe_view cards_view;
extern const cafe_service cards_service;

#endif
