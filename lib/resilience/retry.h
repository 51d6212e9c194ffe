/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESILIENCE_RETRY_H
#define RESILIENCE_RETRY_H

#include "cafe/aggregate.h"

/* How long attempt + 1 waits after attempt (from 1) failed: U(0, min(max_ms, initial_ms * 2^(attempt - 1))), with the
 * randomness passed in. Never negative. */
int64_t retry_delay_ms(const cafe_retry *retry, uint32_t attempt, uint64_t random);

/* The time one attempt may take: its own limit, and what is left of the whole's deadline (0: none), both from now on.
 * 0: nothing is left. A budget is handed on as what is left of it, so it shrinks with every hop. */
int64_t retry_budget_ms(int64_t attempt_timeout_ms, int64_t deadline_ms, int64_t now_ms);

#endif
