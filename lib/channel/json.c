/* SPDX-License-Identifier: Apache-2.0 */
/* A delivery as JSON: what stands in a file is what a webhook gets. */
#include "channel/json.h"

#include "base/str.h"

const char *json_escape(cafe_arena *arena, cafe_slice text) {
  static const char hex[] = "0123456789abcdef";
  char *out = cafe_arena_alloc(arena, text.size * 6 + 1);
  char *to = out;
  for (size_t i = 0; out && i < text.size; i++) {
    char c = text.data[i];
    bool is_control = (unsigned char)c < 0x20;
    if (is_control || c == '"' || c == '\\') {
      *to++ = '\\';
    }
    if (is_control) {
      *to++ = 'u';
      *to++ = '0';
      *to++ = '0';
      *to++ = hex[(unsigned char)c >> 4];
      *to++ = hex[c & 15];
    } else {
      *to++ = c;
    }
  }
  return out; /* the arena's memory is zeroed, so it ends with NUL */
}

const char *json_delivery(cafe_arena *arena, const cafe_delivery *delivery) {
  const char *customer = json_escape(arena, delivery->customer_id);
  const char *event = json_escape(arena, delivery->event);
  const char *message = json_escape(arena, delivery->message);
  if (!customer || !event || !message) {
    return NULL;
  }
  return arena_printf(arena,
                      "{\"notificationId\":\"%s\",\"orderId\":%llu,\"customerId\":\"%s\",\"event\":\"%s\","
                      "\"message\":\"%s\",\"attempt\":%u}",
                      delivery->notification_id, (unsigned long long)delivery->order_id, customer, event, message,
                      (unsigned)delivery->attempt);
}
