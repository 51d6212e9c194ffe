/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_SYS_CHANNEL_H
#define CAFE_SYS_CHANNEL_H

#include "cafe/aggregate.h"
#include "cafe/shop.h"

CAFE_BEGIN_DECLS

/* One message on its way. The library's memory until it is answered. Fields may be added at the end. */
typedef struct cafe_delivery {
  char notification_id[40]; /* "1041-3": the receiver's idempotency key */
  uint64_t order_id;
  uint32_t attempt; /* from 1 */
  cafe_slice customer_id;
  cafe_slice event;   /* "OrderAccepted" */
  cafe_slice message; /* for people */
  void *channel_data[4];
} cafe_delivery;

/* Answers a delivery, exactly once, on the loop thread, not inside send. err NULL: the receiver has it. A retryable
 * code: again later, but not before its retry_after_ms. Any other: never. Since 0.1. */
CAFE_EXPORT void cafe_delivery_answer(cafe_delivery *delivery, const cafe_err *err);

/* The delivery waits for its turn (a rate, a place among those that are sent at once), then it begins: as
 * cafe_task_hold and cafe_task_begin. Inside send too. Loop thread. Since 0.1. */
CAFE_EXPORT void cafe_delivery_hold(cafe_delivery *delivery);
CAFE_EXPORT void cafe_delivery_begin(cafe_delivery *delivery);

typedef struct cafe_channel_ops {
  size_t size;
  /* REQUIRED. Begins; must not block for longer than a local write. */
  int (*send)(cafe_channel *self, cafe_delivery *delivery, cafe_err *err);
  /* REQUIRED. Let go of it, without an answer. */
  void (*stop)(cafe_channel *self, cafe_delivery *delivery);
  /* REQUIRED. Frees it. Nothing is on its way. */
  void (*destroy)(cafe_channel *self);
} cafe_channel_ops;

/* A channel embeds this first, and zeroes it when it is made. */
struct cafe_channel {
  const cafe_channel_ops *ops;
  const char *name;  /* "console": the notification's channel column, kept for ever */
  void *reserved[4]; /* the library's own */
};

CAFE_END_DECLS

#endif
