/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "cafe/sys/gateway.h"

/* A call and who waits for it. Every cafe_gateway_call that a gateway sees lies first in one of these. */
typedef struct gateway_call {
  cafe_gateway_call call;
  /* reference and text BORROW until it returns. Frees the call, or uses it again. */
  void (*answered)(struct gateway_call *self, cafe_gateway_result result, cafe_slice reference, const char *text);
  void *user;
} gateway_call;

/* Makes *out the worker for cafe_payment_task that moves money by the gateway, with at most `concurrency` calls (1 or
 * more) at once. gateway BORROW, allocator COPY (NULL: malloc). OWN: gateway_worker_destroy. CAFE_NOMEM. */
int gateway_worker_create(cafe_worker *out, cafe_gateway *gateway, uint32_t concurrency, cafe_retry retry,
                          const cafe_allocator *allocator, cafe_err *err);

/* After the node is closed. A zeroed worker is allowed. */
void gateway_worker_destroy(cafe_worker *worker);

#endif
