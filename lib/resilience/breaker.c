/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The circuit breaker. What is kept here: a call counts in the state in which it began, by its permit's number, so that
 * what was under way when it opened neither closes it nor opens it again; and it is never wedged, since a probe that
 * nobody tells of holds its place for one sleep only. Probes share their state's numbers: where calls take longer than
 * a sleep, the end of an earlier one still decides.
 *
 * The window is a ring of buckets, counted from when it closed. A clock that goes back fills the latest one.
 */
#include "cafe/resilience.h"

#include "base/sized.h"

#define DAY_MS INT64_C(86400000)

static int check(const cafe_breaker_options *options, cafe_err *err) {
  if (options->error_permille > 1000)
    return cafe_fail(err, CAFE_INVALID, "breaker: error_permille %u: it is 1 to 1000 thousandths",
                     (unsigned)options->error_permille);
  if (options->window_ms < 0 || options->window_ms > DAY_MS)
    return cafe_fail(err, CAFE_INVALID, "breaker: window_ms %lld: it is 1 ms to a day", (long long)options->window_ms);
  if (options->sleep_ms < 0 || options->sleep_ms > DAY_MS)
    return cafe_fail(err, CAFE_INVALID, "breaker: sleep_ms %lld: it is 1 ms to a day", (long long)options->sleep_ms);
  return CAFE_OK;
}

int cafe_breaker_init(cafe_breaker *out, const cafe_breaker_options *given, int64_t now_us, cafe_err *err) {
  cafe_breaker_options options = CAFE_BREAKER_OPTIONS_INIT;
  int code = CAFE_OK;
  if (given)
    code = SIZED_READ(&options, given, cafe_breaker_options, user, "CAFE_BREAKER_OPTIONS_INIT", err);
  if (!code)
    code = check(&options, err);
  if (code)
    return code;
  int64_t window_ms = options.window_ms ? options.window_ms : 10000;
  int64_t sleep_ms = options.sleep_ms ? options.sleep_ms : 5000;
  *out = (cafe_breaker){
      .volume = options.volume ? options.volume : 20,
      .error_permille = options.error_permille ? options.error_permille : 300,
      .window_ms = (uint32_t)window_ms,
      .bucket_us = window_ms * 1000 / CAFE_BREAKER_BUCKETS,
      .sleep_us = sleep_ms * 1000,
      .since_us = now_us,
      .next = 1,
      .first = 1,
      .changed = options.changed,
      .user = options.user,
  };
  return CAFE_OK;
}

/* What ended within the window. */
static void add_up(cafe_breaker_change *out, const cafe_breaker *self) {
  for (uint32_t i = 0; i < CAFE_BREAKER_BUCKETS; i++) {
    out->calls += self->buckets[i].calls;
    out->failures += self->buckets[i].failures;
  }
}

static void move_to(cafe_breaker *self, cafe_breaker_state to, const cafe_breaker_change *counted, int64_t now_us) {
  cafe_breaker_change change = {self->state, to, counted->calls, counted->failures};
  self->state = to;
  self->since_us = now_us;
  self->until_us = now_us + self->sleep_us;
  self->first = self->next;
  self->slot = 0;
  memset(self->buckets, 0, sizeof self->buckets);
  if (self->changed)
    self->changed(&change, self->user);
}

bool cafe_breaker_take(cafe_permit *out, cafe_breaker *self, int64_t now_us) {
  out->number = 0;
  if (self->state != CAFE_BREAKER_CLOSED) {
    if (now_us < self->until_us)
      return false;
    if (self->state == CAFE_BREAKER_OPEN)
      move_to(self, CAFE_BREAKER_HALF_OPEN, &(cafe_breaker_change){0}, now_us);
    self->until_us = now_us + self->sleep_us;
    self->probe = self->next;
  }
  out->number = self->next++;
  return true;
}

/* The bucket of now, those that the window has left behind emptied. */
static cafe_breaker_bucket *bucket_at(cafe_breaker *self, int64_t now_us) {
  int64_t slot = (now_us - self->since_us) / self->bucket_us;
  for (int64_t behind = slot - self->slot < CAFE_BREAKER_BUCKETS ? slot - self->slot : CAFE_BREAKER_BUCKETS; behind > 0;
       behind--)
    self->buckets[(slot - behind + 1) % CAFE_BREAKER_BUCKETS] = (cafe_breaker_bucket){0, 0};
  if (slot > self->slot)
    self->slot = slot;
  return &self->buckets[self->slot % CAFE_BREAKER_BUCKETS];
}

static void count(cafe_breaker *self, bool has_failed, int64_t now_us) {
  cafe_breaker_bucket *bucket = bucket_at(self, now_us);
  cafe_breaker_change counted = {0};
  bucket->calls++;
  bucket->failures += has_failed;
  add_up(&counted, self);
  if (counted.calls >= self->volume && counted.failures * 1000 >= counted.calls * self->error_permille)
    move_to(self, CAFE_BREAKER_OPEN, &counted, now_us);
}

void cafe_breaker_done(cafe_breaker *self, cafe_permit permit, cafe_call_end end, int64_t now_us) {
  if (permit.number < self->first)
    return;
  bool is_closed = self->state == CAFE_BREAKER_CLOSED;
  if (end == CAFE_CALL_UNUSED) {
    if (!is_closed && permit.number == self->probe)
      self->until_us = now_us;
  } else if (is_closed) {
    count(self, end == CAFE_CALL_FAILED, now_us);
  } else {
    move_to(self, end == CAFE_CALL_FAILED ? CAFE_BREAKER_OPEN : CAFE_BREAKER_CLOSED, &(cafe_breaker_change){0}, now_us);
  }
}

int64_t cafe_breaker_wait_us(const cafe_breaker *self, int64_t now_us) {
  return self->state == CAFE_BREAKER_CLOSED || self->until_us <= now_us ? 0 : self->until_us - now_us;
}

const char *cafe_breaker_state_name(cafe_breaker_state state) {
  static const char *const names[] = {"CLOSED", "OPEN", "HALF_OPEN"};
  return names[state];
}
