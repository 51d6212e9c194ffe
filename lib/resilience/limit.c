/* SPDX-License-Identifier: Apache-2.0 */

/*
 * So many at once, fixed or found out. What is kept here: one overload shrinks the limit once, however many calls it
 * fails, since only a call that began after the limit shrank tells of the smaller one (as TCP halves its window once a
 * round trip); and it grows only by calls that ran while all of it was in use, since others say nothing about the
 * callee.
 */
#include "cafe/resilience.h"

#include <assert.h>

#include "base/sized.h"

int cafe_limit_init(cafe_limit *out, const cafe_limit_options *given, cafe_err *err) {
  cafe_limit_options options = CAFE_LIMIT_OPTIONS_INIT;
  int code = CAFE_OK;
  if (given)
    code = SIZED_READ(&options, given, cafe_limit_options, initial, "CAFE_LIMIT_OPTIONS_INIT", err);
  if (code)
    return code;
  uint32_t min = options.min ? options.min : 1;
  uint32_t max = options.max ? options.max : min > 64 ? min : 64;
  uint32_t initial = options.initial ? options.initial : max;
  if (initial < min || initial > max)
    return cafe_fail(err, CAFE_INVALID, "limit: it begins at %u, which isn't from %u to %u", (unsigned)initial,
                     (unsigned)min, (unsigned)max);
  *out = (cafe_limit){.min = min, .max = max, .limit = initial, .next = 1, .shrunk = 1};
  return CAFE_OK;
}

bool cafe_limit_take(cafe_permit *out, cafe_limit *self) {
  out->number = 0;
  if (self->running >= self->limit)
    return false;
  self->running++;
  out->number = self->next++;
  if (self->running == self->limit)
    self->full = out->number;
  return true;
}

static void grow(cafe_limit *self) {
  if (self->limit == self->max || ++self->grown < self->limit)
    return;
  self->limit++;
  self->grown = 0;
}

static void shrink(cafe_limit *self) {
  uint32_t less = (uint32_t)((uint64_t)self->limit * 7 / 10);
  self->limit = less > self->min ? less : self->min;
  self->grown = 0;
  self->shrunk = self->next;
}

void cafe_limit_done(cafe_limit *self, cafe_permit permit, cafe_call_end end) {
  assert(permit.number && self->running && "a permit is given back once");
  self->running--;
  if (permit.number < self->shrunk || end == CAFE_CALL_UNUSED)
    return;
  if (end == CAFE_CALL_FAILED)
    shrink(self);
  else if (permit.number <= self->full)
    grow(self);
}
