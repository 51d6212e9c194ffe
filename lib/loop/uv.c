/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop on libuv.
 *
 * What it keeps: a callback runs on the loop thread only, once for what was asked, and never inside the method that
 * asked; after a stop nothing of the caller's struct is touched, so the caller may free it at once, also inside its own
 * callback. Therefore no uv handle lies in the caller's struct: a handle has to outlive its uv_close by an iteration.
 * Each lies in an entry of ours, and a callback that finds its entry without an owner does nothing.
 *
 * Timers come and go with every request, so their handles are kept and reused: a uv_close each would cost a turn. A
 * timer due already isn't given to uv_timer: one that starts itself anew with no delay would keep libuv (before 1.45)
 * in one turn for ever. It goes to a queue that a uv_idle empties once an iteration, which also keeps the poll from
 * waiting.
 *
 * What libuv leaves to whoever turns it from outside, and is solved here:
 *  - descriptors reach the kernel only inside uv_run: a submission asks for a turn (needs_turn);
 *  - uv_backend_timeout is 0 on an idle loop too: uv_loop_alive is asked first;
 *  - it counts from the time of the last iteration: the time is updated first;
 *  - UV_RUN_ONCE may run a due timer and then wait for the next event: whatever runs a callback calls uv_stop.
 *
 * Lanes: a job belongs to the lane's thread from work() until it is pushed to `finished`, under the mutex both times.
 */
#include "cafe/loop/uv.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include <utlist.h>

#include "cafe/sys/loop.h"

enum { RANDOM_WORDS = 32 }; /* 256 bytes: what getrandom(2) gives without being interrupted */

typedef struct uv_loop uv_loop;

typedef struct timer_entry {
  uv_timer_t uv;
  cafe_timer *timer; /* NULL: free, in `spare` */
  bool is_due;       /* in `due`, not in uv's heap */
  struct timer_entry *prev, *next;
} timer_entry;

typedef struct watch_entry {
  uv_poll_t uv;
  uv_loop *loop;
  cafe_watch *watch;
  unsigned events;
} watch_entry;

typedef struct wake_entry {
  uv_async_t uv;
  uv_loop *loop;
  cafe_wake *wake;
} wake_entry;

/* First in, first out, linked by loop_data[0]. */
typedef struct job_queue {
  cafe_job *first;
  cafe_job *last;
} job_queue;

typedef struct lane {
  uv_loop *loop;
  uv_cond_t filled;
  uv_thread_t thread;
  bool has_cond;
  bool has_thread;
  job_queue waiting;
} lane;

struct uv_loop {
  cafe_loop base;
  cafe_allocator allocator;
  uv_loop_t *uv;
  uv_loop_t own;
  bool owns_uv;
  bool has_mutex;
  bool is_turning;
  bool is_dispatching;
  bool is_destroyed;
  bool needs_turn;
  unsigned handles; /* open, or closing */
  unsigned active;  /* timers, watches and wakes in use */
  unsigned jobs;    /* between work() and done */

  uv_idle_t idle;   /* active while `due` isn't empty */
  uv_timer_t limit; /* ends a turn that waits */
  timer_entry *spare;
  timer_entry *due;

  uv_async_t reported; /* active as a handle always, referenced while there are jobs */
  uv_mutex_t mutex;
  bool is_stopping;   /* mutex */
  job_queue finished; /* mutex */
  lane lanes[CAFE_LANES];

  unsigned random_left;
  uint64_t random[RANDOM_WORDS];
};

static void *allocate(uv_loop *self, size_t size) { return self->allocator.resize(self->allocator.user, NULL, size); }

static void release(uv_loop *self, void *block) { (void)self->allocator.resize(self->allocator.user, block, 0); }

static int no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "uv loop: memory was refused"); }

static int uv_failure(cafe_err *err, cafe_code code, int status, const char *what) {
  if (status == UV_ENOMEM) {
    code = CAFE_NOMEM;
  }
  return cafe_fail_detail(err, code, status, "uv loop: %s: %s", what, uv_strerror(status));
}

/* Around each call of the caller's code. */
static bool dispatch_begin(uv_loop *self) {
  bool outer = self->is_dispatching;
  self->is_dispatching = true;
  if (self->is_turning) {
    uv_stop(self->uv);
  }
  return outer;
}

static void dispatch_end(uv_loop *self, bool outer) { self->is_dispatching = outer; }

/* ---- the end ---- */

static void free_self(uv_loop *self) {
  cafe_allocator allocator = self->allocator;
  for (int i = 0; i < CAFE_LANES; i++) {
    if (self->lanes[i].has_cond) {
      uv_cond_destroy(&self->lanes[i].filled);
    }
  }
  if (self->has_mutex) {
    uv_mutex_destroy(&self->mutex);
  }
  (void)allocator.resize(allocator.user, self, 0);
}

/* On a loop of its own, destroy itself waits for the handles; on the caller's, the last one to close ends it. */
static void handle_closed(uv_loop *self) {
  self->handles--;
  if (self->is_destroyed && self->handles == 0 && !self->owns_uv) {
    free_self(self);
  }
}

static void close_embedded(uv_handle_t *handle) { handle_closed(handle->data); }

static void close_timer(uv_handle_t *handle) {
  uv_loop *self = handle->data;
  timer_entry *entry = (timer_entry *)handle;
  release(self, entry);
  handle_closed(self);
}

static void close_watch(uv_handle_t *handle) {
  watch_entry *entry = (watch_entry *)handle;
  uv_loop *self = entry->loop;
  release(self, entry);
  handle_closed(self);
}

static void close_wake(uv_handle_t *handle) {
  wake_entry *entry = (wake_entry *)handle;
  uv_loop *self = entry->loop;
  release(self, entry);
  handle_closed(self);
}

/* ---- time ---- */

static int64_t loop_now_us(cafe_loop *loop) {
  (void)loop;
  return (int64_t)(uv_hrtime() / 1000);
}

static int64_t loop_utc_ms(cafe_loop *loop) {
  struct timespec now = {0, 0};
  (void)loop;
  (void)clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int fill_random(uv_loop *self) {
  int status = uv_random(NULL, NULL, self->random, sizeof(self->random), 0, NULL);
  if (status == 0) {
    self->random_left = RANDOM_WORDS;
  }
  return status;
}

static uint64_t loop_random(cafe_loop *loop) {
  uv_loop *self = (uv_loop *)loop;
  if (self->random_left == 0 && fill_random(self) != 0) {
    abort(); /* the system's generator worked at creation; guessable numbers would be worse than no process */
  }
  return self->random[--self->random_left];
}

/* ---- timers ---- */

static void entry_retire(uv_loop *self, timer_entry *entry) {
  if (entry->is_due) {
    DL_DELETE(self->due, entry);
    entry->is_due = false;
    if (!self->due) {
      (void)uv_idle_stop(&self->idle);
    }
  } else {
    (void)uv_timer_stop(&entry->uv);
  }
}

static void entry_fire(uv_loop *self, timer_entry *entry) {
  cafe_timer *timer = entry->timer;
  entry_retire(self, entry);
  entry->timer = NULL;
  DL_PREPEND(self->spare, entry);
  timer->loop_data[0] = NULL;
  self->active--;
  bool outer = dispatch_begin(self);
  timer->fire(timer);
  dispatch_end(self, outer);
}

static void on_timer(uv_timer_t *uv) {
  timer_entry *entry = (timer_entry *)uv;
  entry_fire(uv->data, entry);
}

static void on_idle(uv_idle_t *idle) {
  uv_loop *self = idle->data;
  /* What a callback starts is for the next iteration, what it stops must be gone from this one: so the list stays in
   * place, and a marker tells where this iteration ends. */
  timer_entry marker;
  memset(&marker, 0, sizeof(marker));
  DL_APPEND(self->due, &marker);
  while (self->due != &marker) {
    entry_fire(self, self->due);
  }
  DL_DELETE(self->due, &marker);
  if (!self->due) {
    (void)uv_idle_stop(idle);
  }
}

static timer_entry *entry_take(uv_loop *self) {
  timer_entry *entry = self->spare;
  if (entry) {
    DL_DELETE(self->spare, entry);
    return entry;
  }
  entry = allocate(self, sizeof(*entry));
  if (entry) {
    (void)uv_timer_init(self->uv, &entry->uv); /* can't fail: it fills a struct */
    entry->uv.data = self;
    entry->is_due = false;
    self->handles++;
  }
  return entry;
}

static int loop_timer_start(cafe_loop *loop, cafe_timer *timer, int64_t due_us, cafe_err *err) {
  uv_loop *self = (uv_loop *)loop;
  timer_entry *entry = timer->loop_data[0];
  if (entry) {
    entry_retire(self, entry);
  } else {
    entry = entry_take(self);
    if (!entry) {
      return no_memory(err);
    }
    entry->timer = timer;
    timer->loop_data[0] = entry;
    self->active++;
  }

  if (due_us <= loop_now_us(loop)) {
    entry->is_due = true;
    DL_APPEND(self->due, entry);
    (void)uv_idle_start(&self->idle, on_idle);
  } else {
    /* uv_now is uv_hrtime in whole milliseconds, rounded down: with the due time rounded up it never fires early. */
    uint64_t due_ms = (uint64_t)(due_us - 1) / 1000 + 1;
    uint64_t now_ms = uv_now(self->uv);
    (void)uv_timer_start(&entry->uv, on_timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
  }
  self->needs_turn = true;
  return CAFE_OK;
}

static void loop_timer_stop(cafe_loop *loop, cafe_timer *timer) {
  uv_loop *self = (uv_loop *)loop;
  timer_entry *entry = timer->loop_data[0];
  if (!entry) {
    return;
  }
  entry_retire(self, entry);
  entry->timer = NULL;
  DL_PREPEND(self->spare, entry);
  timer->loop_data[0] = NULL;
  self->active--;
}

/* ---- lanes ---- */

static void queue_push(job_queue *queue, cafe_job *job) {
  job->loop_data[0] = NULL;
  if (queue->last) {
    queue->last->loop_data[0] = job;
  } else {
    queue->first = job;
  }
  queue->last = job;
}

static cafe_job *queue_pop(job_queue *queue) {
  cafe_job *job = queue->first;
  if (job) {
    queue->first = job->loop_data[0];
    if (!queue->first) {
      queue->last = NULL;
    }
  }
  return job;
}

static void lane_main(void *user) {
  lane *own = user;
  uv_loop *self = own->loop;
  uv_mutex_lock(&self->mutex);
  for (;;) {
    cafe_job *job = queue_pop(&own->waiting);
    if (!job) {
      if (self->is_stopping) {
        break;
      }
      uv_cond_wait(&own->filled, &self->mutex);
      continue;
    }
    uv_mutex_unlock(&self->mutex);
    job->run(job);
    uv_mutex_lock(&self->mutex);
    queue_push(&self->finished, job);
    (void)uv_async_send(&self->reported);
  }
  uv_mutex_unlock(&self->mutex);
}

static int lane_begin(uv_loop *self, lane *own, cafe_err *err) {
  sigset_t all;
  sigset_t before;
  /* Signals are for the program's own threads: a handler may expect them there. */
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  own->loop = self;
  int status = uv_thread_create(&own->thread, lane_main, own);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (status != 0) {
    return uv_failure(err, CAFE_UNAVAILABLE, status, "no thread can be made for a lane");
  }
  own->has_thread = true;
  return CAFE_OK;
}

static int loop_work(cafe_loop *loop, cafe_lane number, cafe_job *job, cafe_err *err) {
  uv_loop *self = (uv_loop *)loop;
  assert((unsigned)number < CAFE_LANES);
  lane *own = &self->lanes[number];
  if (!own->has_thread) {
    int code = lane_begin(self, own, err);
    if (code != CAFE_OK) {
      return code;
    }
  }
  if (self->jobs++ == 0) {
    uv_ref((uv_handle_t *)&self->reported);
  }
  self->needs_turn = true;
  uv_mutex_lock(&self->mutex);
  queue_push(&own->waiting, job);
  uv_cond_signal(&own->filled);
  uv_mutex_unlock(&self->mutex);
  return CAFE_OK;
}

static void on_reported(uv_async_t *async) {
  uv_loop *self = async->data;
  uv_mutex_lock(&self->mutex);
  job_queue finished = self->finished;
  self->finished.first = NULL;
  self->finished.last = NULL;
  uv_mutex_unlock(&self->mutex);

  for (cafe_job *job = queue_pop(&finished); job; job = queue_pop(&finished)) {
    if (--self->jobs == 0) {
      uv_unref((uv_handle_t *)async);
    }
    bool outer = dispatch_begin(self);
    job->done(job);
    dispatch_end(self, outer);
  }
}

/* ---- watches ---- */

static int to_uv_events(unsigned events) {
  return ((events & CAFE_READABLE) ? UV_READABLE : 0) | ((events & CAFE_WRITABLE) ? UV_WRITABLE : 0);
}

static void on_ready(uv_poll_t *poll, int status, int uv_events) {
  watch_entry *entry = (watch_entry *)poll;
  uv_loop *self = entry->loop;
  cafe_watch *watch = entry->watch;
  if (!watch) {
    return;
  }
  unsigned events = ((uv_events & UV_READABLE) ? CAFE_READABLE : 0u) | ((uv_events & UV_WRITABLE) ? CAFE_WRITABLE : 0u);
  if (status != 0) {
    /* The caller's next read or write says what is wrong. libuv stops at an error; a level stays until it is gone. */
    events = entry->events;
  }
  bool outer = dispatch_begin(self);
  watch->ready(watch, events);
  dispatch_end(self, outer);
  if (status != 0 && entry->watch) {
    (void)uv_poll_start(&entry->uv, to_uv_events(entry->events), on_ready);
  }
}

static int loop_watch_start(cafe_loop *loop, cafe_watch *watch, unsigned events, cafe_err *err) {
  uv_loop *self = (uv_loop *)loop;
  watch_entry *entry = watch->loop_data[0];
  bool is_new = !entry;
  if (is_new) {
    entry = allocate(self, sizeof(*entry));
    if (!entry) {
      return no_memory(err);
    }
    int status = uv_poll_init(self->uv, &entry->uv, watch->fd);
    if (status != 0) {
      release(self, entry);
      return uv_failure(err, CAFE_INVALID, status, "the descriptor can't be watched");
    }
    self->handles++;
    entry->loop = self;
    entry->watch = NULL;
  }
  int status = uv_poll_start(&entry->uv, to_uv_events(events), on_ready);
  if (status != 0) {
    if (is_new) {
      uv_close((uv_handle_t *)&entry->uv, close_watch);
    }
    return uv_failure(err, CAFE_INVALID, status, "the descriptor can't be watched");
  }
  entry->events = events;
  if (is_new) {
    entry->watch = watch;
    watch->loop_data[0] = entry;
    self->active++;
  }
  self->needs_turn = true;
  return CAFE_OK;
}

static void loop_watch_stop(cafe_loop *loop, cafe_watch *watch) {
  uv_loop *self = (uv_loop *)loop;
  watch_entry *entry = watch->loop_data[0];
  if (!entry) {
    return;
  }
  entry->watch = NULL;
  watch->loop_data[0] = NULL;
  self->active--;
  (void)uv_poll_stop(&entry->uv);
  uv_close((uv_handle_t *)&entry->uv, close_watch);
}

/* ---- wakes ---- */

static void on_woken(uv_async_t *async) {
  wake_entry *entry = (wake_entry *)async;
  cafe_wake *wake = entry->wake;
  if (!wake) {
    return;
  }
  uv_loop *self = entry->loop;
  bool outer = dispatch_begin(self);
  wake->woken(wake);
  dispatch_end(self, outer);
}

static int loop_wake_open(cafe_loop *loop, cafe_wake *wake, cafe_err *err) {
  uv_loop *self = (uv_loop *)loop;
  wake_entry *entry = allocate(self, sizeof(*entry));
  if (!entry) {
    return no_memory(err);
  }
  int status = uv_async_init(self->uv, &entry->uv, on_woken);
  if (status != 0) {
    release(self, entry);
    return uv_failure(err, CAFE_UNAVAILABLE, status, "no wake can be made");
  }
  self->handles++;
  self->active++;
  entry->loop = self;
  entry->wake = wake;
  wake->loop_data[0] = entry;
  self->needs_turn = true;
  return CAFE_OK;
}

static void loop_wake_close(cafe_loop *loop, cafe_wake *wake) {
  uv_loop *self = (uv_loop *)loop;
  wake_entry *entry = wake->loop_data[0];
  if (!entry) {
    return;
  }
  entry->wake = NULL;
  wake->loop_data[0] = NULL;
  self->active--;
  uv_close((uv_handle_t *)&entry->uv, close_wake);
}

static void loop_wake_signal(cafe_loop *loop, cafe_wake *wake) {
  wake_entry *entry = wake->loop_data[0];
  (void)loop;
  (void)uv_async_send(&entry->uv);
}

/* ---- turning ---- */

static int loop_fd(cafe_loop *loop) { return uv_backend_fd(((uv_loop *)loop)->uv); }

static int64_t loop_timeout_ms(cafe_loop *loop) {
  uv_loop *self = (uv_loop *)loop;
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
  uv_loop *self = (uv_loop *)loop;
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

static void stop_lanes(uv_loop *self) {
  if (!self->has_mutex) {
    return;
  }
  uv_mutex_lock(&self->mutex);
  self->is_stopping = true;
  uv_mutex_unlock(&self->mutex);
  for (int i = 0; i < CAFE_LANES; i++) {
    if (self->lanes[i].has_thread) {
      uv_cond_signal(&self->lanes[i].filled);
      (void)uv_thread_join(&self->lanes[i].thread);
    }
  }
}

static void loop_destroy(cafe_loop *loop) {
  uv_loop *self = (uv_loop *)loop;
  assert(self->active == 0 && self->jobs == 0 && "a timer, watch, wake or job outlives its loop");
  assert(!self->is_turning && !self->is_dispatching && "a loop is destroyed inside a turn");
  stop_lanes(self);
  while (self->spare) {
    timer_entry *entry = self->spare;
    DL_DELETE(self->spare, entry);
    uv_close((uv_handle_t *)&entry->uv, close_timer);
  }
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
    .now_us = loop_now_us,
    .utc_ms = loop_utc_ms,
    .random = loop_random,
    .timer_start = loop_timer_start,
    .timer_stop = loop_timer_stop,
    .work = loop_work,
    .watch_start = loop_watch_start,
    .watch_stop = loop_watch_stop,
    .wake_open = loop_wake_open,
    .wake_close = loop_wake_close,
    .wake_signal = loop_wake_signal,
    .fd = loop_fd,
    .timeout_ms = loop_timeout_ms,
    .turn = loop_turn,
    .destroy = loop_destroy,
};

static int make_locks(uv_loop *self) {
  int status = uv_mutex_init(&self->mutex);
  if (status != 0) {
    return status;
  }
  self->has_mutex = true;
  for (int i = 0; i < CAFE_LANES; i++) {
    status = uv_cond_init(&self->lanes[i].filled);
    if (status != 0) {
      return status;
    }
    self->lanes[i].has_cond = true;
  }
  return 0;
}

int cafe_uv_create(cafe_loop **out, uv_loop_t *uv, const cafe_allocator *allocator, cafe_err *err) {
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  uv_loop *self = allocator->resize(allocator->user, NULL, sizeof(*self));
  if (!self) {
    return no_memory(err);
  }
  memset(self, 0, sizeof(*self));
  self->base.ops = &uv_ops;
  self->allocator = *allocator;
  self->owns_uv = !uv;
  self->uv = uv ? uv : &self->own;

  /* What can fail comes before the handles: they can't be freed without a turn of a loop that may be the caller's. */
  int status = fill_random(self);
  if (status == 0) {
    status = make_locks(self);
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
  status = uv_async_init(self->uv, &self->reported, on_reported);
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
  return uv_failure(err, CAFE_UNAVAILABLE, status, "it can't be made");
}
