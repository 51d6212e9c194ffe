/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015): callers that
 * failed together don't come back together. Pure: now and randomness are passed in.
 */
#include "cafe/resilience.h"

int64_t cafe_retry_delay_ms(const cafe_retry *retry, uint32_t attempt, uint64_t random) {
  int64_t ceiling = retry->initial_ms > 0 ? retry->initial_ms : 0;
  for (uint32_t i = 1; i < attempt && ceiling < retry->max_ms; i++)
    ceiling = ceiling > retry->max_ms / 2 ? retry->max_ms : ceiling * 2;
  if (ceiling > retry->max_ms)
    ceiling = retry->max_ms;
  return ceiling > 0 ? (int64_t)(random % ((uint64_t)ceiling + 1)) : 0;
}
