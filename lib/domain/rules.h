/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DOMAIN_RULES_H
#define DOMAIN_RULES_H

#include "cafe/fulfillment.h"
#include "cafe/order.h"
#include "cafe/payment.h"

/* The field table of CAFE_ORDER_LINES: numbers 1 to 8 of every struct that begins with it. */
#define RULES_LINES_FIELDS(struct_)                                                                                    \
  CAFE_FIELD_OF(1, TEXT, struct_, product_id), CAFE_FIELD_OF(2, I64, struct_, qty),                                    \
      CAFE_FIELD_OF(3, TEXT, struct_, customer_id), CAFE_FIELD_OF(4, I64, struct_, amount_minor),                      \
      CAFE_FIELD_OF(5, TEXT, struct_, currency), CAFE_FIELD_OF(6, TEXT, struct_, store_id),                            \
      CAFE_FIELD_OF(7, TIME, struct_, pickup_time_ms), CAFE_FIELD_OF(8, TEXT, struct_, client_reference)

/* Sets the lines of one struct from another's; texts BORROW. */
#define RULES_SET_LINES(to, from)                                                                                      \
  do {                                                                                                                 \
    (to)->product_id = (from)->product_id;                                                                             \
    (to)->qty = (from)->qty;                                                                                           \
    (to)->customer_id = (from)->customer_id;                                                                           \
    (to)->amount_minor = (from)->amount_minor;                                                                         \
    (to)->currency = (from)->currency;                                                                                 \
    (to)->store_id = (from)->store_id;                                                                                 \
    (to)->pickup_time_ms = (from)->pickup_time_ms;                                                                     \
    (to)->client_reference = (from)->client_reference;                                                                 \
  } while (0)

/* The schema of struct cafe_<stem>, from the table <stem>_fields. */
#define RULES_SCHEMA(stem, name) const cafe_schema cafe_##stem##_type = CAFE_SCHEMA_OF(name, cafe_##stem, stem##_fields)

/* The names of values that more than one table shows. Those of 0 are empty: such a field was never set. */
extern const char *const rules_order_status_names[CAFE_ORDER_REJECTED + 1];
extern const char *const rules_payment_status_names[CAFE_PAYMENT_FAILED + 1];
extern const char *const rules_ticket_status_names[CAFE_TICKET_WITHDRAWN + 1];
extern const char *const rules_cancel_by_names[CAFE_CANCEL_BY_DEADLINE + 1];

#define RULES_AMOUNT_MAX INT64_C(1000000000000)
#define RULES_ID_MAX     64  /* code points of an id or reference */
#define RULES_REASON_MAX 200 /* code points of what somebody gives as a reason */

/* Whether a text has min to max code points of UTF-8 and no control character. */
bool rules_is_text(cafe_slice text, size_t min, size_t max);

/* What one command does. The table is ended by a NULL command, and answers every command that it lacks by a refusal. */
typedef struct rules_decide {
  const cafe_schema *command;
  cafe_verdict (*decide)(cafe_decision *out, const void *state, const cafe_command *command);
} rules_decide;

cafe_verdict rules_run_decide(cafe_decision *out, const rules_decide *rules, const void *state,
                              const cafe_command *command);

/* What one event makes of the state. The table is ended by a NULL event; an event that it lacks changes nothing. */
typedef struct rules_evolve {
  const cafe_schema *event;
  int (*evolve)(void *state, const cafe_event *event, cafe_arena *arena);
} rules_evolve;

int rules_run_evolve(const rules_evolve *rules, void *state, const cafe_event *event, cafe_arena *arena);

#endif
