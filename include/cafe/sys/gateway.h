/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_SYS_GATEWAY_H
#define CAFE_SYS_GATEWAY_H

#include "cafe/aggregate.h"
#include "cafe/shop.h"

CAFE_BEGIN_DECLS

/* What the mover of money said. */
typedef enum cafe_gateway_result {
  CAFE_GATEWAY_DONE = 1,     /* it is done, now or by an earlier call under this key */
  CAFE_GATEWAY_DECLINED = 2, /* the payer's bank says no; final */
  CAFE_GATEWAY_REFUSED = 3,  /* surely not done: over capacity, an error; another key may succeed */
  CAFE_GATEWAY_UNKNOWN = 4   /* no answer: ask again under the same key */
} cafe_gateway_result;

/* One call. The library's memory until it is answered. Fields may be added at the end. */
typedef struct cafe_gateway_call {
  cafe_payment_operation operation;
  char idempotency_key[40]; /* "1041/authorize": the same key is the same operation, for ever */
  uint64_t payment_id;
  int64_t amount_minor;
  cafe_slice currency;
  cafe_slice token;  /* AUTHORIZE only; a secret; empty where it was lost with a crash: then only ask */
  bool may_have_run; /* ask by the key first: an earlier call may have taken effect */
  void *gateway_data[4];
} cafe_gateway_call;

/* Answers a call, exactly once, on the loop thread, not inside start. reference COPY: the gateway's own number. text
 * COPY: for people, may be NULL. Since 0.1. */
CAFE_EXPORT void cafe_gateway_answer(cafe_gateway_call *call, cafe_gateway_result result, cafe_slice reference,
                                     const char *text);

typedef struct cafe_gateway_ops {
  size_t size;
  const char *name;
  /* REQUIRED. Begins; must not block. A failure returned is taken as CAFE_GATEWAY_UNKNOWN. */
  int (*start)(cafe_gateway *self, cafe_gateway_call *call, cafe_err *err);
  /* REQUIRED. Let go of it, without an answer. What it asked may still happen. */
  void (*stop)(cafe_gateway *self, cafe_gateway_call *call);
  /* REQUIRED. Frees it. No call is running. */
  void (*destroy)(cafe_gateway *self);
} cafe_gateway_ops;

/* A gateway embeds this first, and zeroes it when it is made. */
struct cafe_gateway {
  const cafe_gateway_ops *ops;
  void *reserved[4]; /* the library's own */
};

CAFE_END_DECLS

#endif
