/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The order saga as data: pay, establish, wait for the store, capture; and the ways back.
 *
 * It only asks. The order's aggregate decides what an order is, the payment's what there is to give back, the ticket's
 * who was first; the order's status follows the store's events by policy (policies.c) and never the saga's place. So
 * the saga may be behind or resumed at any point and asks nothing that could be wrong by then.
 *
 * Undoing goes record first, money second: the order's end, or the draft's, is committed, the payment hears of it as
 * everybody does, by policy, and the saga isn't done before the payment has said how it ended. That wait is what undoes
 * the first step, which stands for the money and is undone last.
 *
 * The payment token lives here and nowhere else, until the authorization is settled or the draft dropped: fold erases
 * it in that very unit.
 */
#include "cafe/fulfillment.h"
#include "cafe/order.h"
#include "cafe/payment.h"

#include "domain/rules.h"

#define COME_BACK_MS 30000 /* how long an unclaimed draft waits for a retry */

/* ---- what it remembers ---- */

typedef struct order_saga {
  uint64_t order_id;
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice customer_id;
  cafe_slice payment_token; /* SECRET */
  int64_t wait_until_ms;    /* the caller waits for payment until then */
  int64_t accept_timeout_ms;
  int64_t accept_until_ms; /* 0: the store hasn't got the ticket yet */
  cafe_drop_reason drop;   /* why the draft has to go; 0: nothing says so */
  bool is_settled;         /* the authorization ended, one way or the other */
  bool is_approved;
  int64_t approved_minor;
  bool is_ordered;
  cafe_cancel_by withdrawn; /* whose cancel the store granted; 0: none */
  bool is_rejected;         /* by the store; OrderRejected, by policy, is everybody's answer */
} order_saga;

static const char *const drop_names[] = {"", "declined", "unavailable", "expired", "unknown", "abandoned"};

static const cafe_field data_fields[] = {
    CAFE_FIELD_OF(1, U64, order_saga, order_id),
    CAFE_FIELD_OF(2, I64, order_saga, amount_minor),
    CAFE_FIELD_OF(3, TEXT, order_saga, currency),
    CAFE_FIELD_OF(4, TEXT, order_saga, customer_id),
    CAFE_FIELD_SECRET_OF(5, TEXT, order_saga, payment_token),
    CAFE_FIELD_OF(6, TIME, order_saga, wait_until_ms),
    CAFE_FIELD_OF(7, I64, order_saga, accept_timeout_ms),
    CAFE_FIELD_OF(8, TIME, order_saga, accept_until_ms),
    CAFE_FIELD_ENUM_OF(9, order_saga, drop, drop_names),
    CAFE_FIELD_OF(10, BOOL, order_saga, is_settled),
    CAFE_FIELD_OF(11, BOOL, order_saga, is_approved),
    CAFE_FIELD_OF(12, I64, order_saga, approved_minor),
    CAFE_FIELD_OF(13, BOOL, order_saga, is_ordered),
    CAFE_FIELD_ENUM_OF(14, order_saga, withdrawn, rules_cancel_by_names),
    CAFE_FIELD_OF(15, BOOL, order_saga, is_rejected),
};
static const cafe_schema data_type = CAFE_SCHEMA_OF("OrderSaga", order_saga, data_fields);

static int keep_token(order_saga *saga, const cafe_command *cause, cafe_arena *arena) {
  if (saga->is_settled || !cause || cause->type != &cafe_place_order_type) {
    return CAFE_OK;
  }
  return cafe_arena_copy(&saga->payment_token, arena, ((const cafe_place_order *)cause->data)->payment_token);
}

static void erase_token(order_saga *saga) { saga->payment_token = (cafe_slice){NULL, 0}; }

static int start(order_saga *saga, const cafe_event *event, const cafe_command *cause, cafe_arena *arena) {
  const cafe_order_drafted *drafted = event->data;
  order_saga fresh = {
      .order_id = event->key,
      .amount_minor = drafted->amount_minor,
      .currency = drafted->currency,
      .customer_id = drafted->customer_id,
      .wait_until_ms = drafted->wait_until_ms,
      .accept_timeout_ms = drafted->accept_timeout_ms,
  };
  int code = cafe_schema_copy(saga, &fresh, &data_type, arena);
  return code ? code : keep_token(saga, cause, arena);
}

static void settle(order_saga *saga, cafe_drop_reason drop) {
  saga->is_settled = true;
  saga->drop = drop;
  erase_token(saga);
}

static int fold(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user) {
  (void)user;
  order_saga *saga = data;
  const cafe_schema *type = event->type;
  if (type == &cafe_order_drafted_type) {
    return start(saga, event, cause, arena);
  }
  if (type == &cafe_draft_claimed_type) {
    saga->wait_until_ms = ((const cafe_draft_claimed *)event->data)->wait_until_ms;
    return keep_token(saga, cause, arena);
  }
  if (type == &cafe_payment_approved_type) {
    saga->is_approved = true;
    saga->approved_minor = ((const cafe_payment_approved *)event->data)->amount_minor;
    settle(saga, (cafe_drop_reason)0);
  } else if (type == &cafe_payment_declined_type) {
    settle(saga, CAFE_DROP_DECLINED);
  } else if (type == &cafe_authorization_failed_type) {
    settle(saga, CAFE_DROP_UNAVAILABLE);
  } else if (type == &cafe_payment_failed_type && !saga->is_settled) {
    settle(saga, CAFE_DROP_UNKNOWN);
  } else if (type == &cafe_ordered_type) {
    saga->is_ordered = true;
  } else if (type == &cafe_draft_dropped_type) {
    erase_token(saga);
  } else if (type == &cafe_ticket_received_type) {
    saga->accept_until_ms = event->time_ms + saga->accept_timeout_ms;
  } else if (type == &cafe_ticket_withdrawn_type) {
    saga->withdrawn = ((const cafe_ticket_withdrawn *)event->data)->by;
  } else if (type == &cafe_ticket_rejected_type || type == &cafe_ticket_failed_type) {
    saga->is_rejected = true;
  }
  return CAFE_OK;
}

/* ---- what it asks ---- */

static void ask_authorize(cafe_reaction *out, const void *data, void *user) {
  (void)user;
  const order_saga *saga = data;
  cafe_authorize_payment authorize = {saga->amount_minor, saga->currency, saga->customer_id, saga->payment_token};
  cafe_react(out, &cafe_authorize_payment_type, saga->order_id, &authorize, sizeof(authorize));
}

static void ask_establish(cafe_reaction *out, const void *data, void *user) {
  (void)user;
  const order_saga *saga = data;
  cafe_react(out, &cafe_establish_order_type, saga->order_id, &(cafe_establish_order){saga->approved_minor},
             sizeof(cafe_establish_order));
}

static void ask_drop(cafe_reaction *out, const order_saga *saga, cafe_drop_reason reason, int64_t wait_until_ms) {
  cafe_react(out, &cafe_drop_draft_type, saga->order_id, &(cafe_drop_draft){reason, wait_until_ms},
             sizeof(cafe_drop_draft));
}

/* Payment surely did nothing. */
static void ask_unavailable(cafe_reaction *out, const void *data, void *user) {
  (void)user;
  ask_drop(out, data, CAFE_DROP_UNAVAILABLE, 0);
}

/* The record's end, where nobody else brings it about: a rejected order ends by policy, with the store's reason. */
static void ask_end(cafe_reaction *out, const void *data, void *user) {
  (void)user;
  const order_saga *saga = data;
  if (!saga->is_ordered) {
    ask_drop(out, saga, saga->drop ? saga->drop : CAFE_DROP_UNAVAILABLE, 0);
  } else if (saga->withdrawn) {
    cafe_react(out, &cafe_confirm_cancel_type, saga->order_id, &(cafe_confirm_cancel){saga->withdrawn},
               sizeof(cafe_confirm_cancel));
  }
}

/* Where the order ends otherwise, that end is the answer. */
static void refuse(cafe_reaction *out, const order_saga *saga, cafe_cancel_by by) {
  if (!saga->is_rejected && !saga->withdrawn) {
    cafe_react(out, &cafe_refuse_cancel_type, saga->order_id, &(cafe_refuse_cancel){by}, sizeof(cafe_refuse_cancel));
  }
}
static void ask_refuse_customer(cafe_reaction *out, const void *data, void *user) {
  (void)user;
  refuse(out, data, CAFE_CANCEL_BY_CUSTOMER);
}
static void ask_refuse_deadline(cafe_reaction *out, const void *data, void *user) {
  (void)user;
  refuse(out, data, CAFE_CANCEL_BY_DEADLINE);
}

/* ---- when ---- */

static int wait_ends(int64_t *out, const void *data, void *user) {
  (void)user;
  *out = ((const order_saga *)data)->wait_until_ms;
  return CAFE_OK;
}

static void ask_unclaim(cafe_reaction *out, const void *data, void *user) {
  (void)user;
  const order_saga *saga = data;
  cafe_react(out, &cafe_unclaim_draft_type, saga->order_id, &(cafe_unclaim_draft){saga->wait_until_ms},
             sizeof(cafe_unclaim_draft));
}

static int nobody_came_back(int64_t *out, const void *data, void *user) {
  (void)user;
  *out = ((const order_saga *)data)->wait_until_ms + COME_BACK_MS;
  return CAFE_OK;
}

static void ask_expire(cafe_reaction *out, const void *data, void *user) {
  (void)user;
  const order_saga *saga = data;
  ask_drop(out, saga, saga->is_approved ? CAFE_DROP_EXPIRED : CAFE_DROP_UNKNOWN, saga->wait_until_ms);
}

static int nobody_accepted(int64_t *out, const void *data, void *user) {
  (void)user;
  *out = ((const order_saga *)data)->accept_until_ms;
  return CAFE_OK;
}

static void ask_cancel(cafe_reaction *out, const void *data, void *user) {
  (void)user;
  const order_saga *saga = data;
  cafe_request_cancel cancel = {.by = CAFE_CANCEL_BY_DEADLINE};
  cafe_react(out, &cafe_request_cancel_type, saga->order_id, &cancel, sizeof(cancel));
}

static const cafe_saga_timeout draft_timeouts[] = {
    {.name = "unclaim", .due_ms = wait_ends, .ask = ask_unclaim},
    {.name = "drop", .due_ms = nobody_came_back, .ask = ask_expire},
    {.name = NULL},
};
static const cafe_saga_timeout accept_timeouts[] = {
    {.name = "accept", .due_ms = nobody_accepted, .ask = ask_cancel},
    {.name = NULL},
};

/* ---- steps ---- */

#define SIGNALS(...)                                                                                                   \
  (const cafe_schema *const[]) { __VA_ARGS__, NULL }

/* How money ends up nowhere, or on an operator's list. */
#define MONEY_ENDS                                                                                                     \
  &cafe_payment_declined_type, &cafe_authorization_failed_type, &cafe_payment_canceled_type,                           \
      &cafe_payment_refunded_type, &cafe_payment_failed_type
#define RECORD_ENDS &cafe_draft_dropped_type, &cafe_order_canceled_type, &cafe_order_rejected_type

static const cafe_saga_turn ready_turns[] = {
    {.signal = &cafe_ticket_failed_type, .to = "give_back"},
    {.signal = NULL},
};
static const cafe_saga_turn picked_up_turns[] = {
    {.signal = &cafe_ticket_failed_type, .to = "give_back"},
    {.signal = &cafe_ticket_picked_up_type},
    {.signal = NULL},
};

static const cafe_saga_step steps[] = {
    {
        .name = "money",
        .kind = CAFE_STEP_COMPENSATABLE,
        .completes = SIGNALS(&cafe_order_drafted_type),
        .compensated = SIGNALS(MONEY_ENDS),
    },
    {
        .name = "authorize",
        .kind = CAFE_STEP_COMPENSATABLE,
        .action = ask_authorize,
        .again = SIGNALS(&cafe_draft_claimed_type),
        .completes = SIGNALS(&cafe_payment_approved_type),
        .fails = SIGNALS(&cafe_payment_declined_type, &cafe_authorization_failed_type, &cafe_payment_canceled_type,
                         &cafe_payment_failed_type, &cafe_draft_dropped_type),
        .timeouts = draft_timeouts,
        .compensation = ask_end,
        .compensated = SIGNALS(RECORD_ENDS),
        /* Soon again, within the caller's wait: a peer that is being replaced isn't noticed. */
        .retry = {.initial_ms = 50, .max_ms = 200},
        .deadline_ms = wait_ends,
        .unavailable = ask_unavailable,
    },
    {
        .name = "establish",
        .kind = CAFE_STEP_COMPENSATABLE,
        .action = ask_establish,
        .again = SIGNALS(&cafe_draft_claimed_type),
        .completes = SIGNALS(&cafe_ordered_type),
        .fails = SIGNALS(&cafe_draft_dropped_type),
        .timeouts = draft_timeouts,
        .compensation = ask_end,
        .compensated = SIGNALS(RECORD_ENDS),
    },
    {
        .name = "ticket",
        .kind = CAFE_STEP_COMPENSATABLE,
        .undo = CAFE_UNDO_GUARD,
        .completes = SIGNALS(&cafe_ticket_received_type),
    },
    {
        .name = "await_accepted",
        .kind = CAFE_STEP_COMPENSATABLE,
        .undo = CAFE_UNDO_SIGNAL,
        .completes = SIGNALS(&cafe_ticket_accepted_type),
        .fails = SIGNALS(&cafe_ticket_rejected_type),
        .timeouts = accept_timeouts,
    },
    {
        .name = "await_started",
        .kind = CAFE_STEP_PIVOT,
        .completes = SIGNALS(&cafe_ticket_started_type),
    },
    {
        .name = "await_ready",
        .kind = CAFE_STEP_RETRIABLE,
        .completes = SIGNALS(&cafe_ticket_ready_type),
        .turns = ready_turns,
    },
    {
        .name = "await_picked_up",
        .kind = CAFE_STEP_RETRIABLE,
        .turns = picked_up_turns,
    },
    {
        .name = "give_back",
        .kind = CAFE_STEP_RETRIABLE,
        .completes = SIGNALS(&cafe_payment_canceled_type, &cafe_payment_refunded_type, &cafe_payment_failed_type),
    },
    {
        .name = "capture",
        .kind = CAFE_STEP_RETRIABLE,
        .branch = "capture",
        .after = "await_started",
        .completes = SIGNALS(&cafe_payment_captured_type, &cafe_payment_canceled_type, &cafe_payment_failed_type),
    },
};

/* ---- interrupts ---- */

static int is_customers(bool *out, const cafe_event *event, void *user) {
  (void)user;
  *out = ((const cafe_cancel_requested *)event->data)->by == CAFE_CANCEL_BY_CUSTOMER;
  return CAFE_OK;
}
static int is_deadlines(bool *out, const cafe_event *event, void *user) {
  (void)user;
  *out = ((const cafe_cancel_requested *)event->data)->by != CAFE_CANCEL_BY_CUSTOMER;
  return CAFE_OK;
}

/* The question is CancelRequested itself: the store hears it by policy, and withdraws the ticket or doesn't. */
static const cafe_saga_interrupt interrupts[] = {
    {
        .name = "customer",
        .signal = &cafe_cancel_requested_type,
        .when = is_customers,
        .legal_in = (const char *const[]){"ticket", "await_accepted", "await_started", NULL},
        .granted = SIGNALS(&cafe_ticket_withdrawn_type),
        .refused = SIGNALS(&cafe_ticket_started_type, &cafe_ticket_rejected_type, &cafe_ticket_failed_type),
        .refuse = ask_refuse_customer,
    },
    {
        .name = "deadline",
        .signal = &cafe_cancel_requested_type,
        .when = is_deadlines,
        .legal_in = (const char *const[]){"await_accepted", NULL},
        .granted = SIGNALS(&cafe_ticket_withdrawn_type),
        .refused = SIGNALS(&cafe_ticket_accepted_type, &cafe_ticket_started_type, &cafe_ticket_rejected_type,
                           &cafe_ticket_failed_type),
        .refuse = ask_refuse_deadline,
    },
};

static const cafe_schema *const commands[] = {
    &cafe_authorize_payment_type, &cafe_establish_order_type, &cafe_unclaim_draft_type, &cafe_drop_draft_type,
    &cafe_request_cancel_type,    &cafe_confirm_cancel_type,  &cafe_refuse_cancel_type, NULL};

const cafe_saga cafe_order_saga = {
    .size = CAFE_SAGA,
    .name = "order",
    .version = 1,
    .data = &data_type,
    .starts = &cafe_order_drafted_type,
    .steps = steps,
    .step_count = sizeof(steps) / sizeof(steps[0]),
    .interrupts = interrupts,
    .interrupt_count = sizeof(interrupts) / sizeof(interrupts[0]),
    .fold = fold,
    .commands = commands,
};
