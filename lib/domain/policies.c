/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the services ask of each other, as "whenever this happened, ask for that". None of it depends on when it is
 * heard: each command is answered by its aggregate's state, for ever, so a log may be read late, twice, or before
 * another one. Nothing here knows the saga, and the statuses that people see hang on nothing else.
 *
 * A policy is handed the types of its list only, so the last of them needs no test.
 */
#include "domain/policies.h"

#include "base/str.h"
#include "cafe/fulfillment.h"
#include "cafe/notification.h"
#include "cafe/order.h"
#include "cafe/payment.h"
#include "domain/rules.h"

/* ---- app: the order follows the ticket ---- */

static void mark(cafe_reaction *out, const cafe_event *event, cafe_order_mark mark) {
  cafe_react(out, &cafe_mark_order_type, event->key, &(cafe_mark_order){mark}, sizeof(cafe_mark_order));
}

static void reject(cafe_reaction *out, const cafe_event *event, cafe_reject_by by, cafe_slice reason) {
  cafe_react(out, &cafe_reject_order_type, event->key, &(cafe_reject_order){by, reason}, sizeof(cafe_reject_order));
}

static void follow_ticket(cafe_reaction *out, const cafe_event *event, void *user) {
  (void)user;
  if (event->type == &cafe_ticket_accepted_type) {
    mark(out, event, CAFE_MARK_ACCEPTED);
  } else if (event->type == &cafe_ticket_started_type) {
    mark(out, event, CAFE_MARK_STARTED);
  } else if (event->type == &cafe_ticket_ready_type) {
    mark(out, event, CAFE_MARK_DONE);
  } else if (event->type == &cafe_ticket_picked_up_type) {
    mark(out, event, CAFE_MARK_PICKED_UP);
  } else if (event->type == &cafe_ticket_rejected_type) {
    reject(out, event, CAFE_REJECT_REFUSED, ((const cafe_ticket_rejected *)event->data)->reason);
  } else {
    reject(out, event, CAFE_REJECT_GAVE_UP, ((const cafe_ticket_failed *)event->data)->reason);
  }
}

static const cafe_schema *const app_store_events[] = {&cafe_ticket_accepted_type,
                                                      &cafe_ticket_started_type,
                                                      &cafe_ticket_ready_type,
                                                      &cafe_ticket_picked_up_type,
                                                      &cafe_ticket_rejected_type,
                                                      &cafe_ticket_failed_type,
                                                      NULL};

const cafe_policy policies_app_store = {
    .size = CAFE_POLICY,
    .name = "app-store",
    .source = "store",
    .events = app_store_events,
    .react = follow_ticket,
    .commands = (const cafe_schema *const[]){&cafe_mark_order_type, &cafe_reject_order_type, NULL},
};

/* ---- pay: money follows the order ---- */

static void follow_order_with_money(cafe_reaction *out, const cafe_event *event, void *user) {
  (void)user;
  if (event->type == &cafe_preparation_started_type) {
    const cafe_preparation_started *started = event->data;
    cafe_react(out, &cafe_capture_payment_type, event->key, &(cafe_capture_payment){started->amount_minor},
               sizeof(cafe_capture_payment));
  } else if (event->type == &cafe_order_canceled_type) {
    const cafe_order_canceled *canceled = event->data;
    cafe_cancel_payment cancel = {CAFE_PAYMENT_ORDER_CANCELED, canceled->amount_minor, canceled->currency,
                                  canceled->customer_id};
    cafe_react(out, &cafe_cancel_payment_type, event->key, &cancel, sizeof(cancel));
  } else if (event->type == &cafe_order_rejected_type) {
    const cafe_order_rejected *rejected = event->data;
    cafe_cancel_payment cancel = {CAFE_PAYMENT_ORDER_REJECTED, rejected->amount_minor, rejected->currency,
                                  rejected->customer_id};
    cafe_react(out, &cafe_cancel_payment_type, event->key, &cancel, sizeof(cancel));
  } else {
    const cafe_draft_dropped *dropped = event->data;
    cafe_cancel_payment cancel = {CAFE_PAYMENT_DRAFT_DROPPED, dropped->amount_minor, dropped->currency,
                                  dropped->customer_id};
    cafe_react(out, &cafe_cancel_payment_type, event->key, &cancel, sizeof(cancel));
  }
}

static const cafe_schema *const pay_app_events[] = {&cafe_preparation_started_type, &cafe_order_canceled_type,
                                                    &cafe_order_rejected_type, &cafe_draft_dropped_type, NULL};

const cafe_policy policies_pay_app = {
    .size = CAFE_POLICY,
    .name = "pay-app",
    .source = "app",
    .events = pay_app_events,
    .react = follow_order_with_money,
    .commands = (const cafe_schema *const[]){&cafe_capture_payment_type, &cafe_cancel_payment_type, NULL},
};

/* ---- store: the ticket follows the order ---- */

static void follow_order_with_ticket(cafe_reaction *out, const cafe_event *event, void *user) {
  (void)user;
  if (event->type == &cafe_ordered_type) {
    cafe_receive_ticket receive;
    RULES_SET_LINES(&receive, (const cafe_ordered *)event->data);
    cafe_react(out, &cafe_receive_ticket_type, event->key, &receive, sizeof(receive));
  } else {
    const cafe_cancel_requested *requested = event->data;
    cafe_withdraw_ticket withdraw = {.by = requested->by};
    RULES_SET_LINES(&withdraw, requested);
    cafe_react(out, &cafe_withdraw_ticket_type, event->key, &withdraw, sizeof(withdraw));
  }
}

static const cafe_schema *const store_app_events[] = {&cafe_ordered_type, &cafe_cancel_requested_type, NULL};

const cafe_policy policies_store_app = {
    .size = CAFE_POLICY,
    .name = "store-app",
    .source = "app",
    .events = store_app_events,
    .react = follow_order_with_ticket,
    .commands = (const cafe_schema *const[]){&cafe_receive_ticket_type, &cafe_withdraw_ticket_type, NULL},
};

/* ---- customer: is told ---- */

/* What people read, with the order's number in between. */
static const struct {
  const cafe_schema *event;
  const char *before;
  const char *after;
} messages[] = {
    {&cafe_ordered_type, "주문 ", "번이 접수되었습니다."},
    {&cafe_order_accepted_type, "매장에서 주문 ", "번을 확인했습니다."},
    {&cafe_coffee_done_type, "주문 ", "번 커피가 준비되었습니다."},
    {&cafe_order_picked_up_type, "주문 ", "번을 받아 가셨습니다. 감사합니다."},
    {&cafe_order_canceled_type, "주문 ", "번이 취소되었습니다."},
    {&cafe_order_rejected_type, "매장 사정으로 주문 ", "번을 준비하지 못했습니다."},
    {&cafe_cancel_rejected_type, "이미 제조가 시작되어 주문 ", "번을 취소할 수 없습니다."},
    {&cafe_payment_canceled_type, "주문 ", "번의 결제가 취소되었습니다."},
    {&cafe_payment_refunded_type, "주문 ", "번의 결제 금액이 환불되었습니다."},
};

static void tell(cafe_reaction *out, const cafe_event *event, cafe_slice customer_id, const char *channels) {
  char text[160]; /* the longest sentence and number have 110 bytes */
  for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
    if (messages[i].event == event->type) {
      size_t size = str_number(text, sizeof(text), messages[i].before, event->key, messages[i].after);
      cafe_notify_customer notify = {cafe_text(event->type->name), customer_id, cafe_text(channels), {text, size}};
      cafe_react(out, &cafe_notify_customer_type, event->key, &notify, sizeof(notify));
    }
  }
}

/* Only a customer who asked hears that he asked too late; and none of what the order's first event told him again. */
static void tell_of_order(cafe_reaction *out, const cafe_event *event, void *user) {
  cafe_slice customer_id = {NULL, 0};
  if (event->type == &cafe_ordered_type) {
    customer_id = ((const cafe_ordered *)event->data)->customer_id;
  } else if (event->type == &cafe_order_canceled_type) {
    customer_id = ((const cafe_order_canceled *)event->data)->customer_id;
  } else if (event->type == &cafe_order_rejected_type) {
    customer_id = ((const cafe_order_rejected *)event->data)->customer_id;
  } else if (event->type == &cafe_cancel_rejected_type &&
             ((const cafe_cancel_rejected *)event->data)->by != CAFE_CANCEL_BY_CUSTOMER) {
    return;
  }
  tell(out, event, customer_id, user);
}

static const cafe_schema *const customer_app_events[] = {
    &cafe_ordered_type,        &cafe_order_accepted_type, &cafe_coffee_done_type,     &cafe_order_picked_up_type,
    &cafe_order_canceled_type, &cafe_order_rejected_type, &cafe_cancel_rejected_type, NULL};

const cafe_policy policies_customer_app = {
    .size = CAFE_POLICY,
    .name = "customer-app",
    .source = "app",
    .events = customer_app_events,
    .react = tell_of_order,
    .commands = (const cafe_schema *const[]){&cafe_notify_customer_type, NULL},
};

/* A draft was never an order: nobody is told what became of its payment. */
static void tell_of_payment(cafe_reaction *out, const cafe_event *event, void *user) {
  if (event->type == &cafe_payment_refunded_type) {
    tell(out, event, ((const cafe_payment_refunded *)event->data)->customer_id, user);
    return;
  }
  const cafe_payment_canceled *canceled = event->data;
  if (canceled->reason != CAFE_PAYMENT_DRAFT_DROPPED) {
    tell(out, event, canceled->customer_id, user);
  }
}

static const cafe_schema *const customer_pay_events[] = {&cafe_payment_canceled_type, &cafe_payment_refunded_type,
                                                         NULL};

const cafe_policy policies_customer_pay = {
    .size = CAFE_POLICY,
    .name = "customer-pay",
    .source = "pay",
    .events = customer_pay_events,
    .react = tell_of_payment,
    .commands = (const cafe_schema *const[]){&cafe_notify_customer_type, NULL},
};
