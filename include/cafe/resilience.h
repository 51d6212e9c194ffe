/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_RESILIENCE_H
#define CAFE_RESILIENCE_H

#include "cafe/aggregate.h"
#include "cafe/err.h"
#include "cafe/types.h"

CAFE_BEGIN_DECLS

/* How long something may take, and how often anything may be tried again on its behalf, over all hops. It is handed on
 * as what is left of it. Frozen. */
typedef struct cafe_budget {
  int64_t deadline_us; /* on the monotonic clock of whoever holds it; INT64_MAX: none */
  uint32_t retries;    /* UINT32_MAX: no limit */
  uint32_t reserved;   /* 0 */
} cafe_budget;

CAFE_END_DECLS

#endif
