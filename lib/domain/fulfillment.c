/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The store's ticket. It alone decides whether a withdrawal or the start of preparation came first: both are commands
 * to this one stream, and whichever is decided second finds the other's event. The loser gets no event of its own,
 * since the winner's is already the answer. A withdrawal that comes before its ticket leaves a tombstone, on which the
 * ticket changes nothing: the store never sees it.
 */
#include "cafe/fulfillment.h"

#include "domain/rules.h"
#include "domain/status.h"

/* ---- field tables: as in order_schema.c, fields are only ever added at the end ---- */

const char *const rules_ticket_status_names[CAFE_TICKET_WITHDRAWN + 1] = {
    "", "Received", "Accepted", "Preparing", "Ready", "PickedUp", "Rejected", "Failed", "Withdrawn"};
static const char *const action_names[] = {"", "accept", "reject", "start", "ready", "pickup", "fail"};

static const cafe_field receive_ticket_fields[] = {RULES_LINES_FIELDS(cafe_receive_ticket)};
RULES_SCHEMA(receive_ticket, "ReceiveTicket");

static const cafe_field withdraw_ticket_fields[] = {
    RULES_LINES_FIELDS(cafe_withdraw_ticket),
    CAFE_FIELD_ENUM_OF(9, cafe_withdraw_ticket, by, rules_cancel_by_names),
};
RULES_SCHEMA(withdraw_ticket, "WithdrawTicket");

static const cafe_field act_on_ticket_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_act_on_ticket, action, action_names),
    CAFE_FIELD_OF(2, TEXT, cafe_act_on_ticket, reason),
};
RULES_SCHEMA(act_on_ticket, "ActOnTicket");

static const cafe_field ticket_received_fields[] = {RULES_LINES_FIELDS(cafe_ticket_received)};
RULES_SCHEMA(ticket_received, "TicketReceived");

static const cafe_field ticket_accepted_fields[] = {CAFE_FIELD_OF(1, BOOL, cafe_ticket_accepted, unused)};
RULES_SCHEMA(ticket_accepted, "TicketAccepted");

static const cafe_field ticket_rejected_fields[] = {CAFE_FIELD_OF(1, TEXT, cafe_ticket_rejected, reason)};
RULES_SCHEMA(ticket_rejected, "TicketRejected");

static const cafe_field ticket_started_fields[] = {CAFE_FIELD_OF(1, BOOL, cafe_ticket_started, unused)};
RULES_SCHEMA(ticket_started, "TicketStarted");

static const cafe_field ticket_ready_fields[] = {CAFE_FIELD_OF(1, BOOL, cafe_ticket_ready, unused)};
RULES_SCHEMA(ticket_ready, "TicketReady");

static const cafe_field ticket_picked_up_fields[] = {CAFE_FIELD_OF(1, BOOL, cafe_ticket_picked_up, unused)};
RULES_SCHEMA(ticket_picked_up, "TicketPickedUp");

static const cafe_field ticket_failed_fields[] = {CAFE_FIELD_OF(1, TEXT, cafe_ticket_failed, reason)};
RULES_SCHEMA(ticket_failed, "TicketFailed");

static const cafe_field ticket_withdrawn_fields[] = {
    RULES_LINES_FIELDS(cafe_ticket_withdrawn),
    CAFE_FIELD_ENUM_OF(9, cafe_ticket_withdrawn, by, rules_cancel_by_names),
    CAFE_FIELD_OF(10, BOOL, cafe_ticket_withdrawn, is_tombstone),
};
RULES_SCHEMA(ticket_withdrawn, "TicketWithdrawn");

static const cafe_field ticket_fields[] = {CAFE_FIELD_ENUM_OF(1, cafe_ticket, status, rules_ticket_status_names)};
RULES_SCHEMA(ticket, "Ticket");

static const cafe_field fulfillment_row_fields[] = {
    CAFE_FIELD_OF(1, TEXT, cafe_fulfillment_row, store_id),
    CAFE_FIELD_OF(2, TEXT, cafe_fulfillment_row, product_id),
    CAFE_FIELD_OF(3, I64, cafe_fulfillment_row, qty),
    CAFE_FIELD_OF(4, TEXT, cafe_fulfillment_row, customer_id),
    CAFE_FIELD_OF(5, TIME, cafe_fulfillment_row, pickup_time_ms),
    CAFE_FIELD_ENUM_OF(6, cafe_fulfillment_row, status, rules_ticket_status_names),
    CAFE_FIELD_OF(7, TIME, cafe_fulfillment_row, created_at_ms),
    CAFE_FIELD_OF(8, TIME, cafe_fulfillment_row, updated_at_ms),
    CAFE_FIELD_OF(9, I64, cafe_fulfillment_row, version),
};
RULES_SCHEMA(fulfillment_row, "FulfillmentRow");

/* ---- decide ---- */

static cafe_verdict receive_ticket(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_ticket *ticket = state;
  if (ticket->status != CAFE_TICKET_NONE) {
    return CAFE_UNCHANGED;
  }
  cafe_ticket_received received;
  RULES_SET_LINES(&received, (const cafe_receive_ticket *)command->data);
  cafe_emit(out, &cafe_ticket_received_type, &received, sizeof received);
  return CAFE_ACCEPTED;
}

static bool lets_go(cafe_ticket_status status, cafe_cancel_by by) {
  switch (status) {
  case CAFE_TICKET_NONE:
  case CAFE_TICKET_RECEIVED:
    return true;
  case CAFE_TICKET_ACCEPTED:
    return by == CAFE_CANCEL_BY_CUSTOMER;
  default:
    return false;
  }
}

static cafe_verdict withdraw_ticket(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_ticket *ticket = state;
  const cafe_withdraw_ticket *withdraw = command->data;
  if (withdraw->by != CAFE_CANCEL_BY_CUSTOMER && withdraw->by != CAFE_CANCEL_BY_DEADLINE) {
    return cafe_refuse(out, "invalid", "by: must be given");
  }
  if (!lets_go(ticket->status, withdraw->by)) {
    return CAFE_UNCHANGED;
  }
  cafe_ticket_withdrawn withdrawn = {.by = withdraw->by, .is_tombstone = ticket->status == CAFE_TICKET_NONE};
  RULES_SET_LINES(&withdrawn, withdraw);
  cafe_emit(out, &cafe_ticket_withdrawn_type, &withdrawn, sizeof withdrawn);
  return CAFE_ACCEPTED;
}

static void emit_action(cafe_decision *out, const cafe_act_on_ticket *act) {
  switch (act->action) {
  case CAFE_TICKET_ACCEPT:
    cafe_emit(out, &cafe_ticket_accepted_type, &(cafe_ticket_accepted){false}, sizeof(cafe_ticket_accepted));
    break;
  case CAFE_TICKET_REJECT:
    cafe_emit(out, &cafe_ticket_rejected_type, &(cafe_ticket_rejected){act->reason}, sizeof(cafe_ticket_rejected));
    break;
  case CAFE_TICKET_START:
    cafe_emit(out, &cafe_ticket_started_type, &(cafe_ticket_started){false}, sizeof(cafe_ticket_started));
    break;
  case CAFE_TICKET_FINISH:
    cafe_emit(out, &cafe_ticket_ready_type, &(cafe_ticket_ready){false}, sizeof(cafe_ticket_ready));
    break;
  case CAFE_TICKET_HAND_OUT:
    cafe_emit(out, &cafe_ticket_picked_up_type, &(cafe_ticket_picked_up){false}, sizeof(cafe_ticket_picked_up));
    break;
  default:
    cafe_emit(out, &cafe_ticket_failed_type, &(cafe_ticket_failed){act->reason}, sizeof(cafe_ticket_failed));
    break;
  }
}

/* What each action leads to, and from where. */
static const struct {
  cafe_ticket_status to;
  cafe_ticket_status from;
  cafe_ticket_status or_from;
} actions[] = {
    [CAFE_TICKET_ACCEPT] = {CAFE_TICKET_ACCEPTED, CAFE_TICKET_RECEIVED, CAFE_TICKET_RECEIVED},
    [CAFE_TICKET_REJECT] = {CAFE_TICKET_REJECTED, CAFE_TICKET_RECEIVED, CAFE_TICKET_RECEIVED},
    [CAFE_TICKET_START] = {CAFE_TICKET_PREPARING, CAFE_TICKET_ACCEPTED, CAFE_TICKET_ACCEPTED},
    [CAFE_TICKET_FINISH] = {CAFE_TICKET_READY, CAFE_TICKET_PREPARING, CAFE_TICKET_PREPARING},
    [CAFE_TICKET_HAND_OUT] = {CAFE_TICKET_PICKED_UP, CAFE_TICKET_READY, CAFE_TICKET_READY},
    [CAFE_TICKET_FAIL] = {CAFE_TICKET_FAILED, CAFE_TICKET_PREPARING, CAFE_TICKET_READY},
};

static cafe_verdict act_on_ticket(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_ticket *ticket = state;
  const cafe_act_on_ticket *act = command->data;
  if (ticket->status == CAFE_TICKET_NONE) {
    return cafe_refuse(out, "not-found", "there is no such ticket");
  }
  if (act->action < CAFE_TICKET_ACCEPT || act->action > CAFE_TICKET_FAIL) {
    return cafe_refuse(out, "invalid", "action: must be given");
  }
  if (!rules_is_text(act->reason, 0, RULES_REASON_MAX)) {
    return cafe_refuse(out, "invalid", "reason: must have at most 200 characters, and no control characters");
  }
  if (ticket->status == actions[act->action].to) {
    return CAFE_UNCHANGED;
  }
  if (ticket->status != actions[act->action].from && ticket->status != actions[act->action].or_from) {
    return cafe_refuse(out, "wrong-state", "a ticket that is %s can't take: %s",
                       rules_ticket_status_names[ticket->status], action_names[act->action]);
  }
  emit_action(out, act);
  return CAFE_ACCEPTED;
}

static const rules_decide decides[] = {
    {&cafe_receive_ticket_type, receive_ticket},
    {&cafe_withdraw_ticket_type, withdraw_ticket},
    {&cafe_act_on_ticket_type, act_on_ticket},
    {NULL, NULL},
};

static cafe_verdict decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  (void)user;
  return rules_run_decide(out, decides, state, command);
}

static int evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  cafe_ticket *ticket = state;
  (void)arena;
  ticket->status = status_of_ticket(ticket->status, event);
  return CAFE_OK;
}

/* ---- the aggregate ---- */

static const cafe_schema *const events[] = {
    &cafe_ticket_received_type, &cafe_ticket_accepted_type,  &cafe_ticket_rejected_type,
    &cafe_ticket_started_type,  &cafe_ticket_ready_type,     &cafe_ticket_picked_up_type,
    &cafe_ticket_failed_type,   &cafe_ticket_withdrawn_type, NULL};

static const cafe_command_type commands[] = {
    {.command = &cafe_receive_ticket_type},
    {.command = &cafe_withdraw_ticket_type},
    {.command = &cafe_act_on_ticket_type},
    {.command = NULL},
};

const cafe_aggregate cafe_fulfillment_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "fulfillment",
    .state = &cafe_ticket_type,
    .events = events,
    .commands = commands,
    .decide = decide,
    .evolve = evolve,
};
