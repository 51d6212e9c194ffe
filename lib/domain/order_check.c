/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What may be placed. Everything that comes later trusts these limits: no text can break a line of a log or a column,
 * no amount can overflow, no time can't be written down. All wrong fields are named at once, so that nobody has to
 * correct them one by one.
 */
#include "domain/order_check.h"

#include <stdio.h>

#include "domain/rules.h"

#define PAY_TIMEOUT_MAX_MS    INT64_C(86400000)    /* a day: nobody waits longer at a counter */
#define ACCEPT_TIMEOUT_MAX_MS INT64_C(31536000000) /* a year */
#define QTY_MAX               1000
#define PICKUP_TIME_MAX_MS    INT64_C(253402300799999) /* the last moment that RFC 3339 can write */

typedef struct complaints {
  char *text;
  size_t size;
} complaints;

static void complain_unless(complaints *to, bool right, const char *field, const char *message) {
  if (!right) {
    to->size += (size_t)snprintf(to->text + to->size, ORDER_COMPLAINTS_MAX - to->size, "%s%s: %s", to->size ? "\n" : "",
                                 field, message);
  }
}

static bool is_within(int64_t value, int64_t min, int64_t max) { return value >= min && value <= max; }

static bool is_currency(cafe_slice currency) {
  int decimals;
  return cafe_currency_decimals(&decimals, currency, NULL) == CAFE_OK;
}

static void check_lines(complaints *to, const cafe_place_order *place) {
  static const char id_rule[] = "must have 1 to 64 characters, and no control characters";
  complain_unless(to, rules_is_text(place->product_id, 1, RULES_ID_MAX), "product_id", id_rule);
  complain_unless(to, is_within(place->qty, 1, QTY_MAX), "qty", "must be from 1 to 1000");
  complain_unless(to, rules_is_text(place->customer_id, 1, RULES_ID_MAX), "customer_id", id_rule);
  complain_unless(to, is_within(place->amount_minor, 0, RULES_AMOUNT_MAX), "amount_minor",
                  "must be from 0 to 1000000000000");
  complain_unless(to, place->currency.size == 0 || is_currency(place->currency), "currency",
                  "must be an ISO 4217 code, such as KRW");
  complain_unless(to, rules_is_text(place->store_id, 0, RULES_ID_MAX), "store_id", id_rule);
  complain_unless(to, is_within(place->pickup_time_ms, 0, PICKUP_TIME_MAX_MS), "pickup_time_ms",
                  "must be a time from 1970 to 9999");
  complain_unless(to, rules_is_text(place->client_reference, 0, RULES_ID_MAX), "client_reference",
                  "must have at most 64 characters, and no control characters");
}

static void check_timeouts(complaints *to, const cafe_place_order *place) {
  complain_unless(to, is_within(place->pay_timeout_ms, 0, PAY_TIMEOUT_MAX_MS), "pay_timeout_ms",
                  "must be from 0 to 86400000");
  complain_unless(to, is_within(place->accept_timeout_ms, 0, ACCEPT_TIMEOUT_MAX_MS), "accept_timeout_ms",
                  "must be from 0 to 31536000000");
}

bool order_check(char why[ORDER_COMPLAINTS_MAX], const cafe_place_order *place) {
  complaints wrong = {why, 0};
  check_lines(&wrong, place);
  check_timeouts(&wrong, place);
  return wrong.size == 0;
}
