/* SPDX-License-Identifier: Apache-2.0 */
#include "still_loop.h"

#include <assert.h>
#include <stdlib.h>

#include "cafe/loop/uv.h"

enum { TIMERS = 32 };

typedef struct still_timer {
  cafe_timer inner; /* libuv's, for what is due now */
  still_loop *loop;
  cafe_timer *timer; /* NULL: free */
  int64_t due_us;
} still_timer;

struct still_loop {
  cafe_loop base;
  cafe_loop *uv;
  int64_t now_us;
  still_timer timers[TIMERS];
  int watches;
  bool goes_on;
  uint64_t timer_calls, watch_calls, fail_timer, fail_watch, failed;
};

static still_timer *find(still_loop *self, const cafe_timer *timer) {
  for (int i = 0; i < TIMERS; i++) {
    if (self->timers[i].timer == timer) {
      return &self->timers[i];
    }
  }
  return NULL;
}

static void fire(cafe_timer *inner) {
  still_timer *entry = inner->user;
  cafe_timer *timer = entry->timer;
  entry->timer = NULL;
  timer->fire(timer);
}

static int arm(still_timer *entry, cafe_err *err) {
  still_loop *self = entry->loop;
  if (entry->due_us > self->now_us) {
    self->uv->ops->timer_stop(self->uv, &entry->inner);
    return CAFE_OK;
  }
  return self->uv->ops->timer_start(self->uv, &entry->inner, 0, err);
}

static int64_t now_us(cafe_loop *base) { return ((still_loop *)base)->now_us; }

static int64_t utc_ms(cafe_loop *base) { return now_us(base) / 1000; }

static uint64_t draw(cafe_loop *base) { return 4; }

static bool is_failed(still_loop *self, uint64_t calls, uint64_t from) {
  bool is_hit = from && (calls == from || (self->goes_on && calls > from));
  self->failed += is_hit;
  return is_hit;
}

static int timer_start(cafe_loop *base, cafe_timer *timer, int64_t due_us, cafe_err *err) {
  still_loop *self = (still_loop *)base;
  if (is_failed(self, ++self->timer_calls, self->fail_timer)) {
    return cafe_fail(err, CAFE_NOMEM, "the test has no timers left");
  }
  still_timer *entry = find(self, timer);
  bool is_new = !entry;
  entry = is_new ? find(self, NULL) : entry;
  assert(entry && "too many timers");
  entry->timer = timer;
  entry->due_us = due_us;
  int code = arm(entry, err);
  if (code != CAFE_OK && is_new) {
    entry->timer = NULL;
  }
  return code;
}

static void timer_stop(cafe_loop *base, cafe_timer *timer) {
  still_loop *self = (still_loop *)base;
  still_timer *entry = find(self, timer);
  if (entry) {
    self->uv->ops->timer_stop(self->uv, &entry->inner);
    entry->timer = NULL;
  }
}

static int watch_start(cafe_loop *base, cafe_watch *watch, unsigned events, cafe_err *err) {
  still_loop *self = (still_loop *)base;
  if (is_failed(self, ++self->watch_calls, self->fail_watch)) {
    return cafe_fail(err, CAFE_NOMEM, "the test has no watches left");
  }
  bool was_active = watch->loop_data[0] != NULL;
  int code = self->uv->ops->watch_start(self->uv, watch, events, err);
  self->watches += code == CAFE_OK && !was_active;
  return code;
}

static void watch_stop(cafe_loop *base, cafe_watch *watch) {
  still_loop *self = (still_loop *)base;
  self->watches -= watch->loop_data[0] != NULL;
  self->uv->ops->watch_stop(self->uv, watch);
}

static const cafe_loop_ops ops = {
    .size = sizeof(cafe_loop_ops),
    .name = "still",
    .now_us = now_us,
    .utc_ms = utc_ms,
    .random = draw,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .watch_start = watch_start,
    .watch_stop = watch_stop,
};

still_loop *still_loop_create(void) {
  still_loop *self = calloc(1, sizeof(*self));
  if (!self || cafe_uv_create(&self->uv, NULL, NULL, NULL) != CAFE_OK) {
    abort();
  }
  self->base.ops = &ops;
  self->now_us = 1000000;
  for (int i = 0; i < TIMERS; i++) {
    self->timers[i].loop = self;
    self->timers[i].inner.fire = fire;
    self->timers[i].inner.user = &self->timers[i];
  }
  return self;
}

void still_loop_destroy(still_loop *self) {
  assert(still_loop_active(self) == 0);
  cafe_loop_destroy(self->uv);
  free(self);
}

cafe_loop *still_loop_base(still_loop *self) { return &self->base; }

void still_loop_advance(still_loop *self, int64_t us) {
  self->now_us += us;
  for (int i = 0; i < TIMERS; i++) {
    if (self->timers[i].timer && arm(&self->timers[i], NULL) != CAFE_OK) {
      abort();
    }
  }
}

void still_loop_fail(still_loop *self, uint64_t timer_call, uint64_t watch_call, bool goes_on) {
  self->timer_calls = self->watch_calls = self->failed = 0;
  self->fail_timer = timer_call;
  self->fail_watch = watch_call;
  self->goes_on = goes_on;
}

uint64_t still_loop_failed(const still_loop *self) { return self->failed; }

int still_loop_active(const still_loop *self) {
  int active = self->watches;
  for (int i = 0; i < TIMERS; i++) {
    active += self->timers[i].timer != NULL;
  }
  return active;
}

void still_loop_turn(still_loop *self) { (void)self->uv->ops->turn(self->uv, 20); }

void still_loop_settle(still_loop *self) {
  for (int i = 0; i < 5; i++) {
    (void)self->uv->ops->turn(self->uv, 2);
  }
}
