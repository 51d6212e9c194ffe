/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COUPON_H
#define COUPON_H

#include <cafe/cafe.h>

/*
 * A newcomer to the coffee shop: every fifth cup that a customer has picked up earns a coupon. The shop knows nothing
 * of it: the service hears the shop's events, also those of the time before it was there, and can be taken away again.
 */
enum { COUPON_VISITS = 5 };

/* ---- commands, all of the service's own policies ---- */

/* To the order's key: whose order it is. */
typedef struct note_coupon_order {
  cafe_slice customer_id;
} note_coupon_order;

/* To the order's key: it was picked up. */
typedef struct note_coupon_visit {
  bool unused;
} note_coupon_visit;

/* To the customer's key. */
typedef struct count_coupon_visit {
  uint64_t order_id;
  cafe_slice customer_id;
} count_coupon_visit;

/* ---- events ---- */

typedef struct coupon_order_noted {
  cafe_slice customer_id;
} coupon_order_noted;

typedef struct coupon_visit_made {
  cafe_slice customer_id;
} coupon_visit_made;

typedef struct coupon_visit_counted {
  uint64_t order_id;
  cafe_slice customer_id;
  int64_t visits; /* with this one */
} coupon_visit_counted;

typedef struct coupon_issued {
  int64_t coupons; /* with this one */
} coupon_issued;

/* ---- the row of `coupons` ---- */

typedef struct coupon_row {
  cafe_slice customer_id;
  int64_t visits;
  int64_t coupons;
} coupon_row;

extern const cafe_view coupons_view;
extern const cafe_service coupons_service;

/* The key of a customer's coupons: keys are numbers, and a customer's id is a text. */
uint64_t coupon_key(cafe_slice customer_id);

#endif
