/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESILIENCE_BUCKET_H
#define RESILIENCE_BUCKET_H

#include <stdint.h>

/* A token bucket: so many in a second, so many of them at once. Monotonic microseconds, passed in. */
typedef struct bucket {
  int64_t interval_us; /* between two at the rate; 0: no limit */
  int64_t slack_us;    /* how far ahead of the rate a burst may be */
  int64_t full_us;     /* when all that were taken are made up for */
} bucket;

/* Full. rate_per_s 0: no limit. burst 0 counts as 1. */
bucket bucket_full(uint32_t rate_per_s, uint32_t burst, int64_t now_us);

/* When the next one may be taken; not after now: at once. */
int64_t bucket_due_us(const bucket *self);

/* Takes one, which is due. */
void bucket_take(bucket *self, int64_t now_us);

#endif
