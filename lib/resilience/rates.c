/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A bucket for each key, in the order in which they were last used. What is kept here: the table is bounded, whoever
 * asks under however many names. The one that goes is the one that was quiet for longest, whose bucket has had most
 * time to fill up; a full one is as good as none.
 */
#include <utlist.h>

#include "base/map.h"
#include "base/sized.h"
#include "cafe/resilience.h"
#include "resilience/bucket.h"

typedef struct rate {
  struct rate *prev, *next; /* the longest quiet first */
  bucket bucket;
  size_t key_size;
  char key[];
} rate;

struct cafe_rates {
  cafe_allocator allocator;
  map *by_key;
  rate *all;
  uint32_t per_s, burst, max_keys;
};

int cafe_rates_create(cafe_rates **out, const cafe_rates_options *given, cafe_err *err) {
  cafe_rates_options options;
  int code = SIZED_READ(&options, given, cafe_rates_options, allocator, "CAFE_RATES_OPTIONS_INIT", err);
  if (code)
    return code;
  if (!options.per_s)
    return cafe_fail(err, CAFE_INVALID, "rates: per_s is 0: say how many a second");
  const cafe_allocator *allocator = options.allocator ? options.allocator : cafe_allocator_default();
  cafe_rates *self = allocator->resize(NULL, sizeof *self, allocator->user);
  if (!self)
    return cafe_fail(err, CAFE_NOMEM, "rates: memory was refused");
  *self = (cafe_rates){*allocator,    map_create(allocator, MAP_BYTES),           NULL, options.per_s,
                       options.burst, options.max_keys ? options.max_keys : 10000};
  if (!self->by_key) {
    cafe_rates_destroy(self);
    return cafe_fail(err, CAFE_NOMEM, "rates: memory was refused");
  }
  *out = self;
  return CAFE_OK;
}

static void unlist(cafe_rates *self, rate *listed) { DL_DELETE(self->all, listed); }

static void forget(cafe_rates *self, rate *quiet) {
  (void)map_remove_bytes(self->by_key, (cafe_slice){quiet->key, quiet->key_size});
  unlist(self, quiet);
  self->allocator.resize(quiet, 0, self->allocator.user);
}

void cafe_rates_destroy(cafe_rates *self) {
  if (!self)
    return;
  while (self->all)
    forget(self, self->all);
  map_destroy(self->by_key);
  cafe_allocator allocator = self->allocator;
  allocator.resize(self, 0, allocator.user);
}

/* A full one, at the end. NULL: no memory. */
static rate *add(cafe_rates *self, cafe_slice key, int64_t now_us) {
  if (map_count(self->by_key) >= self->max_keys)
    forget(self, self->all);
  rate *made = self->allocator.resize(NULL, sizeof *made + key.size, self->allocator.user);
  if (!made)
    return NULL;
  if (map_put_bytes(self->by_key, key, made)) {
    self->allocator.resize(made, 0, self->allocator.user);
    return NULL;
  }
  made->bucket = bucket_full(self->per_s, self->burst, now_us);
  made->key_size = key.size;
  if (key.size)
    memcpy(made->key, key.data, key.size);
  DL_APPEND(self->all, made);
  return made;
}

int cafe_rates_take(cafe_rates *self, cafe_slice key, int64_t now_us, cafe_err *err) {
  rate *found = map_get_bytes(self->by_key, key);
  if (found) {
    unlist(self, found);
    DL_APPEND(self->all, found);
  } else {
    found = add(self, key, now_us);
  }
  if (!found)
    return cafe_fail(err, CAFE_NOMEM, "rates: no memory for one more key");
  int64_t wait_us = bucket_due_us(&found->bucket) - now_us;
  if (wait_us <= 0) {
    bucket_take(&found->bucket, now_us);
    return CAFE_OK;
  }
  int64_t wait_ms = (wait_us + 999) / 1000;
  cafe_fail(err, CAFE_OVERLOADED, "too many a second: again in %lld ms", (long long)wait_ms);
  if (err)
    err->retry_after_ms = wait_ms < INT32_MAX ? (int32_t)wait_ms : INT32_MAX;
  return CAFE_OVERLOADED;
}
