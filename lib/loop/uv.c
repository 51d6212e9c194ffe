/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop on libuv: its life and its turn.
 *
 * What it keeps: a callback runs on the loop thread only, once for what was asked, and never inside the method that
 * asked; after a stop nothing of the caller's struct is touched, so the caller may free it at once, also inside its own
 * callback. Therefore no uv handle lies in the caller's struct: a handle has to outlive its uv_close by an iteration.
 * Each lies in an entry of ours, and a callback that finds its entry without an owner does nothing.
 *
 * What libuv leaves to whoever turns it from outside, and is solved here:
 *  - descriptors reach the kernel only inside uv_run: a new one asks for a turn (needs_turn);
 *  - uv_backend_timeout is 0 on an idle loop too: uv_loop_alive is asked first;
 *  - it counts from the time of the last iteration: the time is updated first;
 *  - UV_RUN_ONCE may run a due timer and then wait for the next event: whatever runs a callback calls uv_stop.
 */
#include "cafe/loop/uv.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include "loop/adapter.h"

void *adapter_alloc(adapter *self, size_t size) { return self->allocator.resize(NULL, size, self->allocator.user); }

void adapter_free(adapter *self, void *block) { (void)self->allocator.resize(block, 0, self->allocator.user); }

int adapter_no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "uv loop: memory was refused"); }

int adapter_failure(cafe_err *err, cafe_code code, int status, const char *what) {
  if (status == UV_ENOMEM) {
    code = CAFE_NOMEM;
  }
  return cafe_fail_detail(err, code, status, "uv loop: %s: %s", what, uv_strerror(status));
}

bool adapter_dispatch_begin(adapter *self) {
  bool outer = self->is_dispatching;
  self->is_dispatching = true;
  if (self->is_turning) {
    uv_stop(self->uv);
  }
  return outer;
}

void adapter_dispatch_end(adapter *self, bool outer) { self->is_dispatching = outer; }

/* ---- time ---- */

int64_t adapter_now_us(cafe_loop *loop) {
  (void)loop;
  return (int64_t)(uv_hrtime() / 1000);
}

static int64_t loop_utc_ms(cafe_loop *loop) {
  struct timespec now = {0, 0};
  (void)loop;
  (void)clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int fill_random(adapter *self) {
  int status = uv_random(NULL, NULL, self->random, sizeof(self->random), 0, NULL);
  if (status == 0) {
    self->random_left = RANDOM_WORDS;
  }
  return status;
}

static uint64_t loop_random(cafe_loop *loop) {
  adapter *self = (adapter *)loop;
  if (self->random_left == 0 && fill_random(self) != 0) {
    abort(); /* the system's generator worked at creation; guessable numbers would be worse than no process */
  }
  return self->random[--self->random_left];
}

/* ---- the end ---- */

static void free_self(adapter *self) {
  cafe_allocator allocator = self->allocator;
  adapter_lanes_deinit(self);
  (void)allocator.resize(self, 0, allocator.user);
}

/* On a loop of its own, destroy itself waits for the handles; on the caller's, the last one to close ends it. */
void adapter_handle_closed(adapter *self) {
  self->handles--;
  if (self->is_destroyed && self->handles == 0 && !self->owns_uv) {
    free_self(self);
  }
}

static void close_embedded(uv_handle_t *handle) { adapter_handle_closed(handle->data); }

/* ---- turning ---- */

static int loop_fd(cafe_loop *loop) { return uv_backend_fd(((adapter *)loop)->uv); }

static int64_t loop_timeout_ms(cafe_loop *loop) {
  adapter *self = (adapter *)loop;
  if (self->needs_turn) {
    return 0;
  }
  if (!uv_loop_alive(self->uv)) {
    return -1;
  }
  uv_update_time(self->uv);
  return uv_backend_timeout(self->uv);
}

static void on_limit(uv_timer_t *limit) { (void)limit; }

static int loop_turn(cafe_loop *loop, int64_t max_wait_ms) {
  adapter *self = (adapter *)loop;
  if (self->is_turning || self->is_dispatching) {
    return CAFE_INVALID;
  }
  self->is_turning = true;
  self->needs_turn = false;
  /* A loop on which nothing is active doesn't poll at all, not even for as long as `limit`. */
  uv_ref((uv_handle_t *)&self->reported);
  if (max_wait_ms == 0) {
    (void)uv_run(self->uv, UV_RUN_NOWAIT);
  } else {
    if (max_wait_ms > 0) {
      uv_update_time(self->uv);
      (void)uv_timer_start(&self->limit, on_limit, (uint64_t)max_wait_ms, 0);
    }
    (void)uv_run(self->uv, UV_RUN_ONCE);
    (void)uv_timer_stop(&self->limit);
  }
  if (self->jobs == 0) {
    uv_unref((uv_handle_t *)&self->reported);
  }
  self->is_turning = false;
  return CAFE_OK;
}

/* ---- birth and death ---- */

static void loop_destroy(cafe_loop *loop) {
  adapter *self = (adapter *)loop;
  assert(self->active == 0 && self->jobs == 0 && "a timer, watch, wake or job outlives its loop");
  assert(!self->is_turning && !self->is_dispatching && "a loop is destroyed inside a turn");
  adapter_lanes_stop(self);
  adapter_timers_close(self);
  uv_close((uv_handle_t *)&self->idle, close_embedded);
  uv_close((uv_handle_t *)&self->limit, close_embedded);
  uv_close((uv_handle_t *)&self->reported, close_embedded);
  self->is_destroyed = true;
  if (self->owns_uv) {
    while (self->handles > 0) {
      (void)uv_run(self->uv, UV_RUN_ONCE);
    }
    (void)uv_loop_close(self->uv);
    free_self(self);
  }
}

static const cafe_loop_ops uv_ops = {
    .size = sizeof(cafe_loop_ops),
    .name = "uv",
    .now_us = adapter_now_us,
    .utc_ms = loop_utc_ms,
    .random = loop_random,
    .timer_start = adapter_timer_start,
    .timer_stop = adapter_timer_stop,
    .work = adapter_work,
    .watch_start = adapter_watch_start,
    .watch_stop = adapter_watch_stop,
    .wake_open = adapter_wake_open,
    .wake_close = adapter_wake_close,
    .wake_signal = adapter_wake_signal,
    .fd = loop_fd,
    .timeout_ms = loop_timeout_ms,
    .turn = loop_turn,
    .destroy = loop_destroy,
};

int cafe_uv_create(cafe_loop **out, uv_loop_t *uv, const cafe_allocator *allocator, cafe_err *err) {
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  adapter *self = allocator->resize(NULL, sizeof(*self), allocator->user);
  if (!self) {
    return adapter_no_memory(err);
  }
  memset(self, 0, sizeof(*self));
  self->base.ops = &uv_ops;
  self->allocator = *allocator;
  self->owns_uv = !uv;
  self->uv = uv ? uv : &self->own;

  /* What can fail comes before the handles: they can't be freed without a turn of a loop that may be the caller's. */
  int status = fill_random(self);
  if (status == 0) {
    status = adapter_lanes_init(self);
  }
  if (status != 0) {
    goto fail;
  }
  if (self->owns_uv) {
    status = uv_loop_init(self->uv);
    if (status != 0) {
      goto fail;
    }
  }
  status = uv_async_init(self->uv, &self->reported, adapter_lanes_reported);
  if (status != 0) {
    if (self->owns_uv) {
      (void)uv_loop_close(self->uv);
    }
    goto fail;
  }
  uv_unref((uv_handle_t *)&self->reported);
  (void)uv_idle_init(self->uv, &self->idle);
  (void)uv_timer_init(self->uv, &self->limit);
  self->reported.data = self;
  self->idle.data = self;
  self->limit.data = self;
  self->handles = 3;
  self->needs_turn = true;
  *out = &self->base;
  return CAFE_OK;

fail:
  free_self(self);
  return adapter_failure(err, CAFE_UNAVAILABLE, status, "it can't be made");
}
