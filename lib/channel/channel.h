/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHANNEL_CHANNEL_H
#define CHANNEL_CHANNEL_H

#include "cafe/sys/channel.h"

/* A delivery and who waits for it. Every cafe_delivery that a channel sees lies first in one of these. */
typedef struct channel_delivery {
  cafe_delivery delivery;
  /* err BORROW until it returns. Frees the delivery, or uses it again. */
  void (*answered)(struct channel_delivery *self, const cafe_err *err);
  void (*held)(struct channel_delivery *self, bool is_held); /* NULL: nobody cares */
  void *user;
} channel_delivery;

/* Makes *out the worker for cafe_delivery_task that sends by the channel of the task's name. channels BORROW each, at
 * most CAFE_CHANNELS_MAX; allocator COPY (NULL: malloc). OWN: channel_worker_destroy. CAFE_NOMEM. */
int channel_worker_create(cafe_worker *out, cafe_channel *const *channels, uint32_t count, cafe_retry retry,
                          const cafe_allocator *allocator, cafe_err *err);

/* After the node is closed. A zeroed worker is allowed. */
void channel_worker_destroy(cafe_worker *worker);

#endif
