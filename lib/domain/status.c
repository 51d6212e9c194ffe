/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One function for each status, for the aggregate and for every view of it, so that they can't disagree. A view knows
 * no more than the event and the status before: so what the store does to an order that is canceling doesn't show, and
 * the event that refuses the cancel says which status stands then.
 */
#include "domain/status.h"

typedef struct status_rule {
  const cafe_schema *event;
  int32_t status;
} status_rule;

static const status_rule order_rules[] = {
    {&cafe_ordered_type, CAFE_ORDER_ORDERED},
    {&cafe_order_accepted_type, CAFE_ORDER_ACCEPTED},
    {&cafe_preparation_started_type, CAFE_ORDER_PREPARING},
    {&cafe_coffee_done_type, CAFE_ORDER_COFFEE_DONE},
    {&cafe_order_picked_up_type, CAFE_ORDER_PICKED_UP},
    {&cafe_cancel_requested_type, CAFE_ORDER_CANCELING},
    {&cafe_order_canceled_type, CAFE_ORDER_CANCELED},
    {&cafe_order_rejected_type, CAFE_ORDER_REJECTED},
    {NULL, 0},
};

static const status_rule payment_rules[] = {
    {&cafe_payment_approved_type, CAFE_PAYMENT_APPROVED},
    {&cafe_payment_declined_type, CAFE_PAYMENT_DECLINED},
    {&cafe_payment_captured_type, CAFE_PAYMENT_CAPTURED},
    {&cafe_payment_canceled_type, CAFE_PAYMENT_CANCELED},
    {&cafe_payment_refunded_type, CAFE_PAYMENT_REFUNDED},
    {&cafe_payment_failed_type, CAFE_PAYMENT_FAILED},
    {NULL, 0},
};

static const status_rule ticket_rules[] = {
    {&cafe_ticket_received_type, CAFE_TICKET_RECEIVED},
    {&cafe_ticket_accepted_type, CAFE_TICKET_ACCEPTED},
    {&cafe_ticket_started_type, CAFE_TICKET_PREPARING},
    {&cafe_ticket_ready_type, CAFE_TICKET_READY},
    {&cafe_ticket_picked_up_type, CAFE_TICKET_PICKED_UP},
    {&cafe_ticket_rejected_type, CAFE_TICKET_REJECTED},
    {&cafe_ticket_failed_type, CAFE_TICKET_FAILED},
    {&cafe_ticket_withdrawn_type, CAFE_TICKET_WITHDRAWN},
    {NULL, 0},
};

static int32_t status_after(const status_rule *rules, int32_t before, const cafe_event *event) {
  for (; rules->event; rules++) {
    if (rules->event == event->type) {
      return rules->status;
    }
  }
  return before;
}

cafe_order_status status_of_order(cafe_order_status before, const cafe_event *event) {
  if (event->type == &cafe_cancel_rejected_type) {
    return ((const cafe_cancel_rejected *)event->data)->status;
  }
  cafe_order_status after = (cafe_order_status)status_after(order_rules, (int32_t)before, event);
  return before == CAFE_ORDER_CANCELING && after <= CAFE_ORDER_PICKED_UP ? CAFE_ORDER_CANCELING : after;
}

/* As it was when the operation was given up. */
static cafe_payment_status status_before(cafe_payment_operation operation) {
  static const cafe_payment_status before[] = {[CAFE_PAYMENT_AUTHORIZE] = CAFE_PAYMENT_NONE,
                                               [CAFE_PAYMENT_CAPTURE] = CAFE_PAYMENT_APPROVED,
                                               [CAFE_PAYMENT_VOID] = CAFE_PAYMENT_APPROVED,
                                               [CAFE_PAYMENT_REFUND] = CAFE_PAYMENT_CAPTURED};
  return before[operation];
}

cafe_payment_status status_of_payment(cafe_payment_status before, const cafe_event *event) {
  if (event->type == &cafe_payment_retried_type) {
    return status_before(((const cafe_payment_retried *)event->data)->operation);
  }
  return (cafe_payment_status)status_after(payment_rules, (int32_t)before, event);
}

cafe_ticket_status status_of_ticket(cafe_ticket_status before, const cafe_event *event) {
  return (cafe_ticket_status)status_after(ticket_rules, (int32_t)before, event);
}
