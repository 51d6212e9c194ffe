/* SPDX-License-Identifier: Apache-2.0 */
/* The webhook: each message is a POST of JSON, under the notification's id, and the status says what became of it. */
#include "cafe/channel/webhook.h"

#include "base/sized.h"
#include "channel/http.h"
#include "channel/json.h"

enum { IN_FLIGHT_MAX = 8 };

static int write_request(http_request *out, const http_channel *self, const cafe_delivery *delivery, cafe_arena *arena,
                         cafe_err *err) {
  out->url = self->url;
  out->idempotency_key = delivery->notification_id;
  out->body = json_delivery(arena, delivery);
  return out->body ? CAFE_OK : http_no_memory(self, err);
}

static const http_kind webhook = {
    .write = write_request, .judge = http_judge, .content_type = "application/json", .keeps_connections = true};

int cafe_webhook_create(cafe_channel **out, cafe_loop *loop, const cafe_webhook_options *given,
                        const cafe_allocator *allocator, cafe_err *err) {
  cafe_webhook_options options;
  int code = SIZED_READ(&options, given, cafe_webhook_options, burst, "CAFE_WEBHOOK_OPTIONS_INIT", err);
  if (code != CAFE_OK) {
    return code;
  }
  http_settings settings = {
      .name = options.name ? options.name : "webhook",
      .url = options.url,
      .token = options.token,
      .token_file = options.token_file,
      .ca_file = options.ca_file,
      .proxy = options.proxy,
      .allows_clear_token = options.allows_clear_token,
      .timeout_ms = options.timeout_ms,
      .in_flight_max = options.in_flight_max ? options.in_flight_max : IN_FLIGHT_MAX,
      .waiting_max = options.waiting_max,
      .rate_per_s = options.rate_per_s,
      .burst = options.burst,
  };
  http_channel *self;
  code = http_create(&self, sizeof(*self), loop, &webhook, &settings, allocator, err);
  if (code == CAFE_OK) {
    *out = &self->base;
  }
  return code;
}
