/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The order. It keeps that nothing is an order before it is paid for, and that each question has one answer: whatever
 * comes late, twice or out of order is answered by the state, for ever, because the receiving aggregate's state is the
 * only thing that deduplicates what services and the saga ask. A draft ends once, as an order or dropped; an order ends
 * once, and a cancel that is pending is answered by that end or by CancelRejected.
 *
 * A customer's cancel and the deadline's may be pending together. Whatever refuses the customer's (preparation started)
 * refuses the deadline's too, but not the other way round; so the deadline's refusal is not told while a customer
 * waits: CancelRejected would be taken as his answer, and his own may still be a yes.
 */
#include "domain/order_check.h"
#include "domain/rules.h"
#include "domain/status.h"

#define PAY_TIMEOUT_MS    600
#define ACCEPT_TIMEOUT_MS 900000

static bool is_draft(const cafe_order *order) {
  return order->draft == CAFE_DRAFT_CLAIMED || order->draft == CAFE_DRAFT_UNCLAIMED;
}

static bool is_order(const cafe_order *order) { return order->draft == CAFE_DRAFT_ENDED; }

static bool is_ended(const cafe_order *order) {
  return order->status == CAFE_ORDER_CANCELED || order->status == CAFE_ORDER_REJECTED;
}

static cafe_verdict not_found(cafe_decision *out) { return cafe_refuse(out, "not-found", "there is no such order"); }

static cafe_verdict invalid(cafe_decision *out, const char *text) { return cafe_refuse(out, "invalid", "%s", text); }

/* ---- placing ---- */

static int64_t wait_until(const cafe_command *command) {
  const cafe_place_order *place = command->data;
  return command->now_ms + (place->pay_timeout_ms ? place->pay_timeout_ms : PAY_TIMEOUT_MS);
}

static void draft(cafe_decision *out, const cafe_command *command) {
  const cafe_place_order *place = command->data;
  cafe_order_drafted drafted = {.wait_until_ms = wait_until(command)};
  RULES_SET_LINES(&drafted, place);
  if (drafted.currency.size == 0) {
    drafted.currency = cafe_text("KRW");
  }
  if (drafted.store_id.size == 0) {
    drafted.store_id = cafe_text("1");
  }
  drafted.pay_timeout_ms = place->pay_timeout_ms ? place->pay_timeout_ms : PAY_TIMEOUT_MS;
  drafted.accept_timeout_ms = place->accept_timeout_ms ? place->accept_timeout_ms : ACCEPT_TIMEOUT_MS;
  cafe_emit(out, &cafe_order_drafted_type, &drafted, sizeof drafted);
}

/* A retry joins the draft. The wait never gets shorter: the first caller may still be there. */
static void claim(cafe_decision *out, const cafe_order *order, const cafe_command *command) {
  cafe_draft_claimed claimed = {wait_until(command)};
  if (claimed.wait_until_ms < order->wait_until_ms) {
    claimed.wait_until_ms = order->wait_until_ms;
  }
  cafe_emit(out, &cafe_draft_claimed_type, &claimed, sizeof claimed);
}

static cafe_verdict place_order(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_order *order = state;
  if (is_order(order)) {
    return CAFE_UNCHANGED;
  }
  if (order->draft == CAFE_DRAFT_DROPPED) {
    return order->dropped == CAFE_DROP_DECLINED
               ? cafe_refuse(out, "payment-declined", "the payment was declined")
               : cafe_refuse(out, "payment-unavailable", "the payment didn't happen: pay a little later");
  }
  char wrong[ORDER_COMPLAINTS_MAX];
  if (!order_check(wrong, command->data)) {
    return invalid(out, wrong);
  }
  if (is_draft(order)) {
    claim(out, order, command);
  } else {
    draft(out, command);
  }
  return CAFE_PENDING;
}

/* ---- from draft to order ---- */

static cafe_verdict establish_order(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_order *order = state;
  const cafe_establish_order *establish = command->data;
  switch (order->draft) {
  case CAFE_DRAFT_NONE:
    return not_found(out);
  case CAFE_DRAFT_DROPPED:
    return cafe_refuse(out, "draft-dropped", "the draft was dropped before its payment was approved");
  case CAFE_DRAFT_CLAIMED:
    break;
  default:
    /* Unclaimed: nobody waits; the saga keeps the approval until somebody does. Ended: it is an order. */
    return CAFE_UNCHANGED;
  }
  if (establish->approved_minor != order->amount_minor) {
    return cafe_refuse(out, "wrong-amount", "the approved amount isn't the order's");
  }
  cafe_ordered ordered;
  RULES_SET_LINES(&ordered, order);
  cafe_emit(out, &cafe_ordered_type, &ordered, sizeof ordered);
  return CAFE_ACCEPTED;
}

static cafe_verdict unclaim_draft(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_order *order = state;
  const cafe_unclaim_draft *unclaim = command->data;
  if (order->draft != CAFE_DRAFT_CLAIMED || order->wait_until_ms > unclaim->wait_until_ms) {
    return CAFE_UNCHANGED;
  }
  cafe_emit(out, &cafe_draft_unclaimed_type, &(cafe_draft_unclaimed){order->wait_until_ms},
            sizeof(cafe_draft_unclaimed));
  return CAFE_ACCEPTED;
}

static cafe_verdict drop_draft(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_order *order = state;
  const cafe_drop_draft *drop = command->data;
  if (drop->reason < CAFE_DROP_DECLINED || drop->reason > CAFE_DROP_ABANDONED) {
    return invalid(out, "reason: must be given");
  }
  if (!is_draft(order) || (drop->wait_until_ms != 0 && order->wait_until_ms > drop->wait_until_ms)) {
    return CAFE_UNCHANGED;
  }
  cafe_draft_dropped dropped = {drop->reason, order->amount_minor, order->currency, order->customer_id};
  cafe_emit(out, &cafe_draft_dropped_type, &dropped, sizeof dropped);
  return CAFE_ACCEPTED;
}

/* ---- canceling ---- */

static bool is_asker(cafe_cancel_by by) { return by == CAFE_CANCEL_BY_CUSTOMER || by == CAFE_CANCEL_BY_DEADLINE; }

static cafe_verdict ask_store(cafe_decision *out, const cafe_order *order, const cafe_request_cancel *request) {
  cafe_cancel_requested requested = {.by = request->by, .reason = request->reason};
  RULES_SET_LINES(&requested, order);
  cafe_emit(out, &cafe_cancel_requested_type, &requested, sizeof requested);
  return CAFE_PENDING;
}

static cafe_verdict too_late(cafe_decision *out) {
  return cafe_refuse(out, "cancel-rejected", "preparation has started, or the store has ended the order");
}

static cafe_verdict cancel_by_customer(cafe_decision *out, const cafe_order *order,
                                       const cafe_request_cancel *request) {
  if (order->status == CAFE_ORDER_CANCELED) {
    return CAFE_UNCHANGED;
  }
  if (order->status == CAFE_ORDER_REJECTED || order->cancel_refused) {
    return too_late(out);
  }
  if (order->cancel_by_customer) {
    return CAFE_PENDING;
  }
  if (order->progress >= CAFE_ORDER_PREPARING) {
    cafe_emit(out, &cafe_cancel_rejected_type, &(cafe_cancel_rejected){CAFE_CANCEL_BY_CUSTOMER, order->progress},
              sizeof(cafe_cancel_rejected));
    return too_late(out);
  }
  return ask_store(out, order, request);
}

static cafe_verdict cancel_by_deadline(cafe_decision *out, const cafe_order *order,
                                       const cafe_request_cancel *request) {
  if (is_ended(order)) {
    return CAFE_UNCHANGED;
  }
  if (order->cancel_by_deadline) {
    return CAFE_PENDING;
  }
  /* A customer's cancel is granted wherever the deadline's would be: there is nothing to add. */
  if (order->progress != CAFE_ORDER_ORDERED || order->cancel_by_customer) {
    return CAFE_UNCHANGED;
  }
  return ask_store(out, order, request);
}

static cafe_verdict request_cancel(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_order *order = state;
  const cafe_request_cancel *request = command->data;
  if (!is_order(order)) {
    return not_found(out);
  }
  if (!is_asker(request->by)) {
    return invalid(out, "by: must be given");
  }
  if (!rules_is_text(request->reason, 0, RULES_REASON_MAX)) {
    return invalid(out, "reason: must have at most 200 characters, and no control characters");
  }
  return request->by == CAFE_CANCEL_BY_CUSTOMER ? cancel_by_customer(out, order, request)
                                                : cancel_by_deadline(out, order, request);
}

/* The store has let go of the ticket. */
static cafe_verdict confirm_cancel(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_order *order = state;
  const cafe_confirm_cancel *confirm = command->data;
  if (!is_order(order)) {
    return not_found(out);
  }
  if (!is_asker(confirm->by)) {
    return invalid(out, "by: must be given");
  }
  if (is_ended(order)) {
    return CAFE_UNCHANGED;
  }
  if (order->progress >= CAFE_ORDER_PREPARING) {
    return cafe_refuse(out, "wrong-state", "preparation has started");
  }
  cafe_order_canceled canceled = {confirm->by, order->amount_minor, order->currency, order->customer_id};
  cafe_emit(out, &cafe_order_canceled_type, &canceled, sizeof canceled);
  return CAFE_ACCEPTED;
}

/* The store hasn't. */
static cafe_verdict refuse_cancel(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_order *order = state;
  const cafe_refuse_cancel *refuse = command->data;
  if (!is_order(order)) {
    return not_found(out);
  }
  if (!is_asker(refuse->by)) {
    return invalid(out, "by: must be given");
  }
  bool is_answer = refuse->by == CAFE_CANCEL_BY_CUSTOMER ? order->cancel_by_customer
                                                         : order->cancel_by_deadline && !order->cancel_by_customer;
  if (!is_answer) {
    return CAFE_UNCHANGED;
  }
  cafe_emit(out, &cafe_cancel_rejected_type, &(cafe_cancel_rejected){refuse->by, order->progress},
            sizeof(cafe_cancel_rejected));
  return CAFE_ACCEPTED;
}

/* ---- what the store does ---- */

static cafe_verdict reject_order(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_order *order = state;
  const cafe_reject_order *reject = command->data;
  if (!is_order(order)) {
    return not_found(out);
  }
  if (reject->by != CAFE_REJECT_REFUSED && reject->by != CAFE_REJECT_GAVE_UP) {
    return invalid(out, "by: must be given");
  }
  if (is_ended(order) || order->progress == CAFE_ORDER_PICKED_UP) {
    return CAFE_UNCHANGED;
  }
  cafe_order_rejected rejected = {reject->by, reject->reason, order->amount_minor, order->currency, order->customer_id};
  cafe_emit(out, &cafe_order_rejected_type, &rejected, sizeof rejected);
  return CAFE_ACCEPTED;
}

static void emit_progress(cafe_decision *out, const cafe_order *order, cafe_order_mark mark) {
  switch (mark) {
  case CAFE_MARK_ACCEPTED:
    cafe_emit(out, &cafe_order_accepted_type, &(cafe_order_accepted){false}, sizeof(cafe_order_accepted));
    break;
  case CAFE_MARK_STARTED:
    cafe_emit(out, &cafe_preparation_started_type,
              &(cafe_preparation_started){order->amount_minor, order->currency, order->customer_id},
              sizeof(cafe_preparation_started));
    break;
  case CAFE_MARK_DONE:
    cafe_emit(out, &cafe_coffee_done_type, &(cafe_coffee_done){false}, sizeof(cafe_coffee_done));
    break;
  default:
    cafe_emit(out, &cafe_order_picked_up_type, &(cafe_order_picked_up){false}, sizeof(cafe_order_picked_up));
    break;
  }
}

static cafe_verdict mark_order(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_order *order = state;
  const cafe_mark_order *mark = command->data;
  if (!is_order(order)) {
    return not_found(out);
  }
  if (mark->mark < CAFE_MARK_ACCEPTED || mark->mark > CAFE_MARK_PICKED_UP) {
    return invalid(out, "mark: must be given");
  }
  /* Mark n leads from status n to n + 1. Any other has been here before, or comes before its turn. */
  if (is_ended(order) || (int)mark->mark != (int)order->progress) {
    return CAFE_UNCHANGED;
  }
  emit_progress(out, order, mark->mark);
  return CAFE_ACCEPTED;
}

static const rules_decide decides[] = {
    {&cafe_place_order_type, place_order},       {&cafe_establish_order_type, establish_order},
    {&cafe_unclaim_draft_type, unclaim_draft},   {&cafe_drop_draft_type, drop_draft},
    {&cafe_request_cancel_type, request_cancel}, {&cafe_confirm_cancel_type, confirm_cancel},
    {&cafe_refuse_cancel_type, refuse_cancel},   {&cafe_reject_order_type, reject_order},
    {&cafe_mark_order_type, mark_order},         {NULL, NULL},
};

static cafe_verdict decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  (void)user;
  return rules_run_decide(out, decides, state, command);
}

/* ---- evolve ---- */

static int order_drafted(void *state, const cafe_event *event, cafe_arena *arena) {
  const cafe_order_drafted *drafted = event->data;
  cafe_order order = {
      .draft = CAFE_DRAFT_CLAIMED,
      .wait_until_ms = drafted->wait_until_ms,
      .pay_timeout_ms = drafted->pay_timeout_ms,
      .accept_timeout_ms = drafted->accept_timeout_ms,
  };
  RULES_SET_LINES(&order, drafted);
  return cafe_schema_copy(state, &order, &cafe_order_type, arena);
}

static int draft_claimed(void *state, const cafe_event *event, cafe_arena *arena) {
  cafe_order *order = state;
  (void)arena;
  order->draft = CAFE_DRAFT_CLAIMED;
  order->wait_until_ms = ((const cafe_draft_claimed *)event->data)->wait_until_ms;
  return CAFE_OK;
}

static int draft_unclaimed(void *state, const cafe_event *event, cafe_arena *arena) {
  (void)event;
  (void)arena;
  ((cafe_order *)state)->draft = CAFE_DRAFT_UNCLAIMED;
  return CAFE_OK;
}

static int draft_dropped(void *state, const cafe_event *event, cafe_arena *arena) {
  cafe_order *order = state;
  (void)arena;
  order->draft = CAFE_DRAFT_DROPPED;
  order->dropped = ((const cafe_draft_dropped *)event->data)->reason;
  return CAFE_OK;
}

static int progressed(void *state, const cafe_event *event, cafe_arena *arena) {
  cafe_order *order = state;
  (void)arena;
  order->draft = CAFE_DRAFT_ENDED;
  order->progress = status_of_order(CAFE_ORDER_NONE, event);
  order->status = status_of_order(order->status, event);
  return CAFE_OK;
}

static int cancel_requested(void *state, const cafe_event *event, cafe_arena *arena) {
  cafe_order *order = state;
  (void)arena;
  if (((const cafe_cancel_requested *)event->data)->by == CAFE_CANCEL_BY_CUSTOMER) {
    order->cancel_by_customer = true;
  } else {
    order->cancel_by_deadline = true;
  }
  order->status = status_of_order(order->status, event);
  return CAFE_OK;
}

static int cancel_rejected(void *state, const cafe_event *event, cafe_arena *arena) {
  cafe_order *order = state;
  (void)arena;
  order->cancel_refused |= ((const cafe_cancel_rejected *)event->data)->by == CAFE_CANCEL_BY_CUSTOMER;
  order->cancel_by_customer = false;
  order->cancel_by_deadline = false;
  order->status = status_of_order(order->status, event);
  return CAFE_OK;
}

static int ended(void *state, const cafe_event *event, cafe_arena *arena) {
  cafe_order *order = state;
  (void)arena;
  order->cancel_by_customer = false;
  order->cancel_by_deadline = false;
  order->status = status_of_order(order->status, event);
  return CAFE_OK;
}

static const rules_evolve evolves[] = {
    {&cafe_order_drafted_type, order_drafted},
    {&cafe_draft_claimed_type, draft_claimed},
    {&cafe_draft_unclaimed_type, draft_unclaimed},
    {&cafe_draft_dropped_type, draft_dropped},
    {&cafe_ordered_type, progressed},
    {&cafe_order_accepted_type, progressed},
    {&cafe_preparation_started_type, progressed},
    {&cafe_coffee_done_type, progressed},
    {&cafe_order_picked_up_type, progressed},
    {&cafe_cancel_requested_type, cancel_requested},
    {&cafe_cancel_rejected_type, cancel_rejected},
    {&cafe_order_canceled_type, ended},
    {&cafe_order_rejected_type, ended},
    {NULL, NULL},
};

static int evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  return rules_run_evolve(evolves, state, event, arena);
}

/* ---- the aggregate ---- */

static const cafe_schema *const events[] = {&cafe_order_drafted_type,
                                            &cafe_draft_claimed_type,
                                            &cafe_draft_unclaimed_type,
                                            &cafe_draft_dropped_type,
                                            &cafe_ordered_type,
                                            &cafe_order_accepted_type,
                                            &cafe_preparation_started_type,
                                            &cafe_coffee_done_type,
                                            &cafe_order_picked_up_type,
                                            &cafe_cancel_requested_type,
                                            &cafe_cancel_rejected_type,
                                            &cafe_order_canceled_type,
                                            &cafe_order_rejected_type,
                                            NULL};

static const cafe_command_outcome place_outcomes[] = {
    {.event = &cafe_ordered_type, .verdict = CAFE_ACCEPTED},
    {.event = &cafe_draft_dropped_type, .verdict = CAFE_REFUSED},
    {.event = &cafe_draft_unclaimed_type, .verdict = CAFE_REFUSED},
    {.event = NULL},
};
static const cafe_command_outcome cancel_outcomes[] = {
    {.event = &cafe_order_canceled_type, .verdict = CAFE_ACCEPTED},
    {.event = &cafe_cancel_rejected_type, .verdict = CAFE_REFUSED},
    {.event = &cafe_order_rejected_type, .verdict = CAFE_REFUSED},
    {.event = NULL},
};

static const cafe_command_type commands[] = {
    {.command = &cafe_place_order_type, .outcomes = place_outcomes},
    {.command = &cafe_request_cancel_type, .outcomes = cancel_outcomes},
    {.command = &cafe_establish_order_type},
    {.command = &cafe_unclaim_draft_type},
    {.command = &cafe_drop_draft_type},
    {.command = &cafe_confirm_cancel_type},
    {.command = &cafe_refuse_cancel_type},
    {.command = &cafe_reject_order_type},
    {.command = &cafe_mark_order_type},
    {.command = NULL},
};

/* An approval that nobody waits for would be a coffee that nobody knows of. A cancel stays asked for. */
static void give_up(cafe_reaction *out, const cafe_command *command, void *user) {
  (void)user;
  if (command->type == &cafe_place_order_type) {
    cafe_react(out, &cafe_drop_draft_type, command->key, &(cafe_drop_draft){CAFE_DROP_ABANDONED, 0},
               sizeof(cafe_drop_draft));
  }
}

const cafe_aggregate cafe_order_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "order",
    .state = &cafe_order_type,
    .events = events,
    .commands = commands,
    .decide = decide,
    .evolve = evolve,
    .give_up = give_up,
};
