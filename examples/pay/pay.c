/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payments over HTTP: to read. They are made by the order's saga alone, so there is no command here but for drills: how
 * the sandbox gateway behaves.
 */
#include "pay/pay.h"
#include "cafe/gateway/sandbox.h"
#include "http/resource.h"
#include "server/payment_options.h"

typedef struct pay_config {
  cafe_gateway *sandbox;
} pay_config;

static const resource payments = {
    .view = &cafe_payments_view,
    .path = "/payments",
    .ids = (const char *const[]){"paymentId", "orderId", NULL},
    .hidden = (const char *const[]){"failed_operation", "failed_text", NULL}, /* the operator's: upkeep shows them */
    .key_filter = "orderId",
};

/* ---- the sandbox, shown and set by a field table like anything else ---- */

typedef struct sandbox {
  cafe_sandbox_mode mode;
  int64_t delay_ms;
  int64_t jitter_ms;
  int64_t capacity;
  int64_t in_flight;
  int64_t max_in_flight;
} sandbox;

static const char *const modes[] = {"approve", "decline", "error", "hang"};
static const cafe_field sandbox_fields[] = {
    CAFE_FIELD_ENUM_OF(1, sandbox, mode, modes), CAFE_FIELD_OF(2, I64, sandbox, delay_ms),
    CAFE_FIELD_OF(3, I64, sandbox, jitter_ms),   CAFE_FIELD_OF(4, I64, sandbox, capacity),
    CAFE_FIELD_OF(5, I64, sandbox, in_flight),   CAFE_FIELD_OF(6, I64, sandbox, max_in_flight),
};
static const cafe_schema sandbox_type = CAFE_SCHEMA_OF("Sandbox", sandbox, sandbox_fields);
static const char *const hidden[] = {"mode", NULL}; /* its 0 has a name */
static const json_taken settable[] = {{"mode", "mode", false},
                                      {"delayMs", "delay_ms", false},
                                      {"jitterMs", "jitter_ms", false},
                                      {"capacity", "capacity", false},
                                      {NULL, NULL, false}};
enum { DELAY_MAX_MS = 3600000, CAPACITY_MAX = 1000000 };

static void get(sandbox *out, const cafe_gateway *gateway) {
  cafe_sandbox_settings settings = {.size = sizeof settings};
  cafe_sandbox_figures figures = {.size = sizeof figures};
  cafe_sandbox_get(gateway, &settings, &figures);
  *out = (sandbox){settings.mode,     settings.delay_ms, settings.jitter_ms,
                   settings.capacity, figures.in_flight, figures.max_in_flight};
}

static void get_sandbox(http_request *request) {
  const pay_config *config = request->config;
  sandbox now;
  get(&now, config->sandbox);
  buffer *out = http_body(request);
  json_open(out, NULL, '{');
  json_string(out, "mode", modes[now.mode]);
  json_fields(out, &sandbox_type, &now, hidden);
  http_link_self(out, request->path);
  json_close(out, '}');
  http_send(request, 200);
}

static void put_sandbox(http_request *request) {
  const pay_config *config = request->config;
  sandbox wanted;
  json_wrongs wrongs = {.count = 0};
  cafe_err err = {0};
  get(&wanted, config->sandbox);
  if (!http_read_json(request, &wanted, &sandbox_type, settable, &wrongs)) {
    return;
  }
  if (wanted.delay_ms < 0 || wanted.delay_ms > DELAY_MAX_MS) {
    json_add_wrong(&wrongs, "delayMs", "must be from 0 to 3600000");
  }
  if (wanted.jitter_ms < 0 || wanted.jitter_ms > DELAY_MAX_MS) {
    json_add_wrong(&wrongs, "jitterMs", "must be from 0 to 3600000");
  }
  if (wanted.capacity < 0 || wanted.capacity > CAPACITY_MAX) {
    json_add_wrong(&wrongs, "capacity", "must be from 0 to 1000000");
  }
  if (wrongs.count) {
    http_wrong(request, &wrongs);
    return;
  }
  cafe_sandbox_settings settings = {sizeof settings, wanted.mode, wanted.delay_ms, wanted.jitter_ms,
                                    (uint32_t)wanted.capacity};
  if (cafe_sandbox_set(config->sandbox, &settings, &err) != CAFE_OK) {
    http_failure(request, &err);
  } else {
    get_sandbox(request);
  }
}

static const http_route routes[] = {
    {"GET", "/payments", resource_list, &payments},
    {"GET", "/payments/{id}", resource_get, &payments},
    {"GET", "/sandbox", get_sandbox, NULL},
    {"PUT", "/sandbox", put_sandbox, NULL},
    {NULL, NULL, NULL, NULL},
};

static const http_service service = {"pay", routes, &cafe_payments_view};

/* ---- the part ---- */

static pay_config config;

static int open_part(server_setup *setup, cafe_err *err) {
  int code = cafe_sandbox_create(&config.sandbox, setup->loop, NULL, NULL, err);
  setup->shop.gateway = config.sandbox;
  setup->config = &config;
  return code == CAFE_OK ? concurrency_option_read(&setup->shop, setup->options, err) : code;
}

static int start_part(const char *ledger, cafe_err *err) {
  return ledger ? cafe_sandbox_open(config.sandbox, ledger, err) : CAFE_OK;
}

static void close_part(void) { cafe_gateway_destroy(config.sandbox); }

static const option options[] = {CONCURRENCY_OPTION, {.name = NULL}};

static const server_need needs[] = {
    {"app", "which orders are to be captured, or given back, is known there"},
    {NULL, NULL},
};

const server_part pay_part = {.service = &service,
                              .hosted = CAFE_SHOP_PAY,
                              .needs = needs,
                              .options = options,
                              .has_ledger = true,
                              .open = open_part,
                              .start = start_part,
                              .close = close_part};
