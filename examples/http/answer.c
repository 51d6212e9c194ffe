/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers. One that couldn't be written whole is not sent: memory that ran out becomes a 503, never half a body. Neither
 * is one for which there is no room while its client takes it.
 */
#include "http/exchange.h"
#include "http/log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
  unsigned status;
  const char *name;
  const char *title;
} problems[] = {
    [HTTP_MALFORMED] = {400, "malformed", "The request can't be read"},
    [HTTP_INVALID] = {422, "invalid", "The request has wrong values"},
    [HTTP_NOT_FOUND] = {404, "not-found", "There is no such thing"},
    [HTTP_METHOD_NOT_ALLOWED] = {405, "method-not-allowed", "This can't be done here"},
    [HTTP_TOO_LARGE] = {413, "too-large", "The request is too large"},
    [HTTP_WRONG_CONTENT_TYPE] = {415, "wrong-content-type", "The body must be application/json"},
    [HTTP_PAYMENT_DECLINED] = {402, "payment-declined", "The payment was declined"},
    [HTTP_PAYMENT_UNAVAILABLE] = {503, "payment-unavailable", "Payment can't be had now; pay a little later"},
    [HTTP_CANCEL_REJECTED] = {409, "cancel-rejected", "The order can't be canceled any more"},
    [HTTP_WRONG_STATE] = {409, "wrong-state", "That isn't possible in this state"},
    [HTTP_IDEMPOTENCY_KEY_REUSED] = {422, "idempotency-key-reused", "The Idempotency-Key belongs to another request"},
    [HTTP_NOT_READY] = {503, "not-ready", "The service can't be used now"},
    [HTTP_VIEW_BEHIND] = {503, "view-behind", "The view doesn't hold that write yet"},
    [HTTP_OVERLOADED] = {503, "overloaded", "Too much is queued"},
};

enum {
  HELD_MAX = 67108864, /* of all clients' bodies and answers */
  HELD_FREELY = 4096   /* so much has always room: an order, a row */
};

/* Clients are many, and slow if they like: what they make a server keep has a bound for all of them together. */
bool http_hold(http_request *request, size_t size) {
  exchange *self = (exchange *)request;
  if (size > HELD_FREELY && *self->all_held - self->held + size > HELD_MAX) {
    return false;
  }
  *self->all_held += size - self->held;
  self->held = size;
  return true;
}

buffer *http_body(http_request *request) { return &((exchange *)request)->body; }

void http_link_self(buffer *out, const char *href) {
  json_open(out, "_links", '{');
  json_open(out, "self", '{');
  json_string(out, "href", href);
  json_close(out, '}');
  json_close(out, '}');
}

void http_add_header(http_request *request, const char *name, const char *value) {
  exchange *self = (exchange *)request;
  cafe_slice copy;
  assert(self->header_count < EXCHANGE_HEADERS_MAX);
  if (cafe_arena_copy(&copy, request->arena, cafe_text(value)) != CAFE_OK || !copy.data) {
    self->body.failed = true;
    return;
  }
  self->headers[self->header_count].name = name;
  self->headers[self->header_count++].value = copy.data;
}

void http_add_position(http_request *request, const cafe_position *position) {
  char text[CAFE_POSITION_TEXT_MAX];
  cafe_position_format(text, position);
  http_add_header(request, "Cafe-Position", text);
}

int http_retry_after_s(int32_t ms) { return ms > 1000 ? (ms - 1) / 1000 + 1 : 1; }

void http_retry_after(http_request *request, int64_t ms) {
  ((exchange *)request)->retry_after_ms = ms < INT32_MAX ? (int32_t)ms : INT32_MAX;
}

void http_send(http_request *request, unsigned status) {
  exchange *self = (exchange *)request;
  assert(self->status == 0);
  self->discarded += self->received.size; /* it has had its effect */
  buffer_reset(&self->received);
  if (self->body.failed || !http_hold(request, self->body.capacity)) {
    static const char sorry[] = "{\"type\":\"/problems/overloaded\",\"title\":\"Too much is queued\",\"status\":503,"
                                "\"detail\":\"There is no room for the answer\"}";
    buffer_reset(&self->body);
    buffer_text(&self->body, sorry);
    (void)http_hold(request, self->body.capacity);
    self->header_count = 0;
    status = 503;
  }
  if (status == 503) {
    (void)snprintf(self->retry_after, sizeof self->retry_after, "%d", http_retry_after_s(self->retry_after_ms));
    self->headers[self->header_count].name = "Retry-After";
    self->headers[self->header_count++].value = self->retry_after;
  }
  self->status = status;
  exchange_answered(self);
}

static void open_problem(buffer *out, http_problem_name name, unsigned status, cafe_slice detail) {
  json_open(out, NULL, '{');
  buffer_format(out, "\"type\":\"/problems/%s\"", problems[name].name);
  json_string(out, "title", problems[name].title);
  json_integer(out, "status", status);
  json_text(out, "detail", detail);
}

void exchange_problem(exchange *self, unsigned status, http_problem_name name, const char *detail) {
  buffer_reset(&self->body);
  open_problem(&self->body, name, status, cafe_text(detail));
  json_close(&self->body, '}');
  http_send(&self->request, status);
}

void http_judge_problem(http_verdict *out, http_problem_name name, const cafe_outcome *outcome, const char *detail) {
  out->status = problems[name].status;
  open_problem(&out->body, name, out->status, cafe_text(detail));
  json_integer(&out->body, "orderId", (int64_t)outcome->key);
  json_close(&out->body, '}');
}

void http_send_verdict(http_request *request, http_verdict *verdict) {
  *http_body(request) = verdict->body;
  verdict->body = (buffer){0};
  http_send(request, verdict->status);
}

void http_problem(http_request *request, http_problem_name name, const char *format, ...) {
  char detail[512];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(detail, sizeof detail, format, arguments);
  va_end(arguments);
  exchange_problem((exchange *)request, problems[name].status, name, detail);
}

void http_wrong(http_request *request, const json_wrongs *wrongs) {
  exchange *self = (exchange *)request;
  char detail[80];
  (void)snprintf(detail, sizeof detail, wrongs->count == 1 ? "One field is wrong" : "%u fields are wrong",
                 wrongs->count);
  open_problem(&self->body, HTTP_INVALID, 422, cafe_text(detail));
  json_open(&self->body, "errors", '[');
  for (uint32_t i = 0; i < wrongs->count; i++) {
    json_open(&self->body, NULL, '{');
    json_string(&self->body, "field", wrongs->items[i].field);
    json_string(&self->body, "message", wrongs->items[i].message);
    json_close(&self->body, '}');
  }
  json_close(&self->body, ']');
  json_close(&self->body, '}');
  http_send(request, 422);
}

void http_wrong_field(http_request *request, const char *field, const char *message) {
  json_wrongs wrongs = {.count = 0};
  json_add_wrong(&wrongs, field, message);
  http_wrong(request, &wrongs);
}

void http_failure(http_request *request, const cafe_err *err) {
  http_retry_after(request, err->retry_after_ms);
  switch (err->code) {
  case CAFE_INVALID:
    http_problem(request, HTTP_INVALID, "%s", err->text);
    return;
  case CAFE_NOT_FOUND:
    http_problem(request, HTTP_NOT_FOUND, "%s", err->text);
    return;
  case CAFE_NOMEM:
  case CAFE_OVERLOADED:
    http_problem(request, HTTP_OVERLOADED, "%s", err->text);
    return;
  case CAFE_CANCELED:
  case CAFE_UNSUPPORTED:
    http_problem(request, HTTP_NOT_READY, "%s", err->text);
    return;
  default: /* the store's: its text names files, which are nobody's business but the operator's */
    http_log(exchange_log((exchange *)request), CAFE_LOG_WARN, request->service->name, request->id, request->trace,
             "%s: %s", request->path, err->text);
    http_problem(request, HTTP_NOT_READY, "The store can't be used now; the log says why");
  }
}
