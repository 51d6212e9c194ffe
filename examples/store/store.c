/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The owner's tickets over HTTP: parse, submit, print. An action is a word of the path; what it may do in which state
 * is the ticket's to say.
 */
#include "store/store.h"
#include "http/resource.h"

static const resource fulfillments = {
    .view = &cafe_fulfillments_view,
    .path = "/fulfillments",
    .ids = (const char *const[]){"orderId", NULL},
    .filters = (const char *const[]){"store_id", "status", NULL},
    .key_filter = "orderId",
    .aggregate = "fulfillment",
};

static void judge(http_verdict *out, const cafe_outcome *outcome) {
  if (outcome->verdict != CAFE_REFUSED) {
    out->status = 200;
  } else {
    http_judge_problem(out, HTTP_WRONG_STATE, outcome, outcome->text);
  }
}

static void answer(http_request *request, const cafe_outcome *outcome, http_verdict *verdict) {
  (void)outcome;
  if (verdict->status == 200) {
    resource_as_of(request, &fulfillments, 200, verdict->version);
  } else {
    http_send_verdict(request, verdict);
  }
}

static const json_taken fields[] = {{"reason", "reason", false}, {NULL, NULL, false}};
static const http_command command = {&cafe_act_on_ticket_type, sizeof(cafe_act_on_ticket), fields, judge, answer, NULL};

static void act(http_request *request) {
  const cafe_ticket_action *action = request->route->argument;
  cafe_act_on_ticket wanted = {.action = *action};
  if (http_read_optional(request, &wanted, &cafe_act_on_ticket_type, fields)) {
    http_submit(request, &command, request->id, &wanted, HTTP_READ_TIMEOUT_MS, NULL);
  }
}

static const cafe_ticket_action actions[] = {
    [CAFE_TICKET_ACCEPT] = CAFE_TICKET_ACCEPT,     [CAFE_TICKET_REJECT] = CAFE_TICKET_REJECT,
    [CAFE_TICKET_START] = CAFE_TICKET_START,       [CAFE_TICKET_FINISH] = CAFE_TICKET_FINISH,
    [CAFE_TICKET_HAND_OUT] = CAFE_TICKET_HAND_OUT, [CAFE_TICKET_FAIL] = CAFE_TICKET_FAIL,
};

static const http_route routes[] = {
    {"GET", "/fulfillments", resource_list, &fulfillments},
    {"GET", "/fulfillments/{id}", resource_get, &fulfillments},
    {"POST", "/fulfillments/{id}/accept", act, &actions[CAFE_TICKET_ACCEPT]},
    {"POST", "/fulfillments/{id}/reject", act, &actions[CAFE_TICKET_REJECT]},
    {"POST", "/fulfillments/{id}/start", act, &actions[CAFE_TICKET_START]},
    {"POST", "/fulfillments/{id}/ready", act, &actions[CAFE_TICKET_FINISH]},
    {"POST", "/fulfillments/{id}/pickup", act, &actions[CAFE_TICKET_HAND_OUT]},
    {"POST", "/fulfillments/{id}/fail", act, &actions[CAFE_TICKET_FAIL]},
    {NULL, NULL, NULL, NULL},
};

static const http_service service = {"store", routes, &cafe_fulfillments_view};

static const server_need needs[] = {
    {"app", "tickets come from its orders"},
    {NULL, NULL},
};

const server_part store_part = {.service = &service, .hosted = CAFE_SHOP_STORE, .needs = needs};
