/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The token bucket as one number, the time at which it is full again (the virtual scheduling of ATM's generic cell rate
 * algorithm, ITU-T I.371): nothing has to be filled up between two looks, so nothing has to run at rest.
 */
#include "resilience/bucket.h"

bucket bucket_full(uint32_t rate_per_s, uint32_t burst, int64_t now_us) {
  bucket self = {.full_us = now_us};
  if (rate_per_s > 0) {
    self.interval_us = (INT64_C(1000000) + rate_per_s - 1) / rate_per_s; /* upwards: never more than the rate */
    self.slack_us = burst > 0 ? self.interval_us * ((int64_t)burst - 1) : 0;
  }
  return self;
}

int64_t bucket_due_us(const bucket *self) { return self->interval_us > 0 ? self->full_us - self->slack_us : INT64_MIN; }

void bucket_take(bucket *self, int64_t now_us) {
  self->full_us = (self->full_us > now_us ? self->full_us : now_us) + self->interval_us;
}
