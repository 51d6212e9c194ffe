/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders over HTTP: parse, submit, print. What is right and what isn't is the domain's to say, and what became of a
 * payment is a committed fact before it is told.
 */
#include "app/app.h"
#include "http/moment.h"
#include "http/resource.h"
#include "server/payment_options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
  COMMIT_MS = 20,         /* of the payment deadline, for the commit that ends a wait */
  TAKEN_MS = 100,         /* to take up a cancel whose outcome isn't waited for */
  LAST_RESORT_MS = 30000, /* the store itself doesn't answer */
  CANCEL_WAIT_DEFAULT_S = 1,
  CANCEL_WAIT_MAX_S = 30
};

typedef struct app_config {
  const char *currency;        /* where an order names none */
  int64_t payment_deadline_ms; /* from a request to its answer */
  int64_t accept_deadline_ms;
} app_config;

static const resource orders = {
    .view = &cafe_orders_view,
    .path = "/orders",
    .ids = (const char *const[]){"orderId", NULL},
    .filters = (const char *const[]){"customer_id", "status", NULL},
    .key_filter = "orderId",
    .aggregate = "order",
};

/* ---- POST /orders ---- */

/* The currency stands before the amount, which is read by it. */
static const json_taken place_fields[] = {
    {"productId", "product_id", false},       {"qty", "qty", false},
    {"customerId", "customer_id", false},     {"currency", "currency", false},
    {"amount", "amount_minor", false},        {"storeId", "store_id", false},
    {"pickupTime", "pickup_time_ms", false},  {"orderId", "client_reference", true},
    {"paymentToken", "payment_token", false}, {NULL, NULL, false},
};

static void write_order(buffer *out, const cafe_outcome *outcome) {
  const cafe_order *order = outcome->state;
  cafe_order_row data = {
      .product_id = order->product_id,
      .qty = order->qty,
      .customer_id = order->customer_id,
      .amount_minor = order->amount_minor,
      .currency = order->currency,
      .store_id = order->store_id,
      .pickup_time_ms = order->pickup_time_ms,
      .client_reference = order->client_reference,
      .status = order->status,
      .created_at_ms = outcome->event->time_ms,
      .updated_at_ms = outcome->event->time_ms,
      .version = (int64_t)outcome->version,
  };
  cafe_row row = {.key = outcome->key, .data = &data};
  resource_write(out, &orders, &row, NULL);
}

static bool is_declined(const cafe_outcome *outcome) {
  if (outcome->event && outcome->event->type == &cafe_draft_dropped_type) {
    const cafe_draft_dropped *dropped = outcome->event->data;
    return dropped->reason == CAFE_DROP_DECLINED;
  }
  return outcome->reason && strcmp(outcome->reason, "payment-declined") == 0;
}

static void judge_place(http_verdict *out, const cafe_outcome *outcome) {
  if (outcome->verdict != CAFE_REFUSED) {
    out->status = 201;
    if (outcome->event && outcome->event->type == &cafe_ordered_type) {
      out->version = outcome->event->version;
      write_order(&out->body, outcome);
    }
  } else if (is_declined(outcome)) {
    http_judge_problem(out, HTTP_PAYMENT_DECLINED, outcome, "There is no order; nothing was paid");
  } else {
    out->status = 503;
  }
}

static void late_place(http_request *request) {
  http_problem(request, HTTP_PAYMENT_UNAVAILABLE, "There is no order; the same Idempotency-Key may try again");
}

static void answer_place(http_request *request, const cafe_outcome *outcome, http_verdict *verdict) {
  char location[64];
  if (verdict->status == 503) {
    http_retry_after(request, outcome->retry_after_ms);
    if (outcome->retry_after_ms > 0) {
      http_problem(request, HTTP_PAYMENT_UNAVAILABLE, "There is no order, since %s", outcome->text);
    } else {
      late_place(request);
    }
    return;
  }
  if (verdict->status == 201) {
    (void)snprintf(location, sizeof location, "/orders/%" PRIu64, outcome->key);
    http_add_header(request, "Location", location);
    if (verdict->body.size == 0 && !verdict->body.failed) {
      resource_as_of(request, &orders, 201, verdict->version);
      return;
    }
    if (outcome->replayed) {
      resource_kept(request, &orders, verdict);
      return;
    }
    http_add_position(request, &outcome->position);
  }
  http_send_verdict(request, verdict);
}

static const http_command place_command = {
    &cafe_place_order_type, sizeof(cafe_place_order), place_fields, judge_place, answer_place, late_place};

static void place(http_request *request) {
  const app_config *config = request->config;
  int64_t room_ms = config->payment_deadline_ms / 10 < COMMIT_MS ? config->payment_deadline_ms / 10 : COMMIT_MS;
  cafe_place_order order = {
      .amount_minor = -1, /* none: the domain refuses it */
      .currency = cafe_text(config->currency),
      .pay_timeout_ms = config->payment_deadline_ms - room_ms,
      .accept_timeout_ms = config->accept_deadline_ms,
  };
  json_wrongs *wrongs = cafe_arena_alloc(request->arena, sizeof *wrongs);
  if (!wrongs) {
    http_problem(request, HTTP_OVERLOADED, "There is no memory to read the order");
    return;
  }
  if (!http_read_json(request, &order, &cafe_place_order_type, place_fields, wrongs)) {
    return;
  }
  if (wrongs->count && order.amount_minor >= 0) {
    /* Asked all the same, with an amount that it must refuse: one answer then names what the domain finds wrong too. */
    order.amount_minor = -1;
    wrongs->muted = "amount";
  }
  http_submit(request, &place_command, 0, &order, config->payment_deadline_ms + LAST_RESORT_MS, wrongs);
}

/* ---- POST /orders/{id}/cancel ---- */

static void judge_cancel(http_verdict *out, const cafe_outcome *outcome) {
  if (outcome->verdict != CAFE_REFUSED) {
    out->status = 200;
  } else {
    http_judge_problem(out, HTTP_CANCEL_REJECTED, outcome, "Preparation has started, or the store has ended the order");
  }
}

static void answer_cancel(http_request *request, const cafe_outcome *outcome, http_verdict *verdict) {
  (void)outcome;
  if (verdict->status == 200) {
    resource_as_of(request, &orders, 200, verdict->version);
  } else {
    http_send_verdict(request, verdict);
  }
}

static unsigned canceled_or_not_yet(const void *row) {
  cafe_order_status status = ((const cafe_order_row *)row)->status;
  return status == CAFE_ORDER_CANCELED ? 200 : status == CAFE_ORDER_CANCELING ? 202 : 0;
}

/* The store hasn't said whether it has started, or not before the wait was over. */
static void late_cancel(http_request *request) { resource_as_is(request, &orders, canceled_or_not_yet); }

static const json_taken cancel_fields[] = {{"reason", "reason", false}, {NULL, NULL, false}};
static const http_command cancel_command = {
    &cafe_request_cancel_type, sizeof(cafe_request_cancel), cancel_fields, judge_cancel, answer_cancel, late_cancel};

/* Prefer: wait=N (RFC 7240), in seconds. */
static int64_t preferred_wait_ms(http_request *request) {
  const char *prefer = http_header(request, "Prefer");
  int64_t wait_s = CANCEL_WAIT_DEFAULT_S;
  char applied[32];
  for (const char *at = prefer; at && *at; at++) {
    bool is_start = at == prefer || at[-1] == ',' || at[-1] == ' ' || at[-1] == ';';
    if (is_start && strncasecmp(at, "wait=", 5) == 0 && at[5] >= '0' && at[5] <= '9') {
      unsigned long given = strtoul(at + 5, NULL, 10);
      wait_s = given > CANCEL_WAIT_MAX_S ? CANCEL_WAIT_MAX_S : (int64_t)given;
      (void)snprintf(applied, sizeof applied, "wait=%d", (int)wait_s);
      http_add_header(request, "Preference-Applied", applied);
      break;
    }
  }
  return wait_s > 0 ? wait_s * 1000 : TAKEN_MS;
}

static void cancel(http_request *request) {
  cafe_request_cancel wanted = {.by = CAFE_CANCEL_BY_CUSTOMER};
  if (http_read_optional(request, &wanted, &cafe_request_cancel_type, cancel_fields)) {
    http_submit(request, &cancel_command, request->id, &wanted, preferred_wait_ms(request), NULL);
  }
}

/* ---- GET /orders/{id}/events ---- */

static void on_events(const cafe_err *err, const cafe_page *stream, void *user) {
  http_request *request = user;
  buffer *out = http_body(request);
  uint32_t first = 0;
  if (err) {
    http_failure(request, err);
    return;
  }
  while (first < stream->count && stream->events[first]->type != &cafe_ordered_type) {
    first++;
  }
  if (first == stream->count) {
    http_problem(request, HTTP_NOT_FOUND, "There is nothing at %s", request->path);
    return;
  }
  json_open(out, NULL, '{');
  json_open(out, "_embedded", '{');
  json_open(out, "events", '[');
  for (uint32_t i = first; i < stream->count; i++) {
    const cafe_event *event = stream->events[i];
    json_open(out, NULL, '{');
    json_string(out, "event", event->type->name);
    json_integer(out, "version", (int64_t)event->version);
    json_moment(out, "at", event->time_ms);
    json_open(out, "data", '{');
    json_fields(out, event->type, event->data, NULL);
    json_close(out, '}');
    json_close(out, '}');
  }
  json_close(out, ']');
  json_close(out, '}');
  http_link_self(out, request->path);
  json_close(out, '}');
  http_send(request, 200);
}

static void list_events(http_request *request) {
  cafe_op *op;
  cafe_err err = {0};
  if (cafe_node_history(&op, request->node, "order", request->id, 0, on_events, request, &err) != CAFE_OK) {
    http_failure(request, &err);
  } else {
    http_await(request, op, HTTP_READ_TIMEOUT_MS);
  }
}

static const http_route routes[] = {
    {"POST", "/orders", place, NULL},
    {"GET", "/orders", resource_list, &orders},
    {"GET", "/orders/{id}", resource_get, &orders},
    {"GET", "/orders/{id}/events", list_events, NULL},
    {"POST", "/orders/{id}/cancel", cancel, NULL},
    {NULL, NULL, NULL, NULL},
};

static const http_service service = {"app", routes, &cafe_orders_view};

/* ---- the part ---- */

static app_config config;

static int open_part(server_setup *setup, cafe_err *err) {
  int decimals;
  config.currency = option_value(setup->options, "currency");
  setup->config = &config;
  if (cafe_currency_decimals(&decimals, cafe_text(config.currency), NULL) != CAFE_OK) {
    return cafe_fail(err, CAFE_INVALID, "%s%s: a currency is an ISO 4217 code, such as KRW",
                     option_given_as(setup->options, "currency"), config.currency);
  }
  int code = option_duration(&config.payment_deadline_ms, setup->options, "payment-deadline", err);
  if (code == CAFE_OK) {
    code = option_duration(&config.accept_deadline_ms, setup->options, "accept-deadline", err);
  }
  if (code == CAFE_OK) {
    code = moment_set_zone(option_value(setup->options, "time-zone"), err);
  }
  return code == CAFE_OK ? guard_options_read(&setup->shop, setup->options, err) : code;
}

static const server_need needs[] = {
    {"pay", "orders are paid there"},
    {"store", "tickets are worked on there"},
    {NULL, NULL},
};

static const option options[] = {
    {.name = "payment-deadline", .argument = "DURATION", .fallback = "600ms", .help = "from an order to its answer"},
    {.name = "accept-deadline", .argument = "DURATION", .fallback = "900s", .help = "for the store to accept a ticket"},
    {.name = "currency", .argument = "CODE", .fallback = "KRW", .help = "where an order names none"},
    {.name = "time-zone", .argument = "ZONE", .fallback = "Asia/Seoul", .help = "of pickup times without one"},
    GUARD_OPTIONS,
    {.name = NULL},
};

const server_part app_part = {
    .service = &service, .hosted = CAFE_SHOP_APP, .needs = needs, .options = options, .open = open_part};
