/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_SYS_LOOP_H
#define CAFE_SYS_LOOP_H

#include "cafe/node.h"

CAFE_BEGIN_DECLS

/*
 * The loop: where time, randomness, worker threads and readiness come from. The library has libuv (loop/uv.h) and a
 * seeded simulator (testing/sim.h). All methods: loop thread, unless marked THREADSAFE. All callbacks: loop thread,
 * never inside the method that asked for them.
 *
 * The structs below are the caller's memory, zeroed before first use, and must stay in place while active. `loop_data`
 * is the loop's own. Timer, job, watch and wake are frozen.
 */

typedef struct cafe_timer {
  void (*fire)(struct cafe_timer *timer);
  void *user;
  void *loop_data[4];
} cafe_timer;

/* A job lane runs its jobs one after the other, in the order given; lanes run beside each other. Lanes may be added: a
 * loop has those that it knows. */
typedef enum cafe_lane { CAFE_LANE_WRITE = 0, CAFE_LANE_READ = 1 } cafe_lane;
enum { CAFE_LANES = 2 };

typedef struct cafe_job {
  void (*run)(struct cafe_job *job);  /* on the lane's thread; touches only what the job owns */
  void (*done)(struct cafe_job *job); /* on the loop thread, exactly once, after run */
  void *user;
  void *loop_data[4];
} cafe_job;

typedef enum cafe_ready { CAFE_READABLE = 1, CAFE_WRITABLE = 2 } cafe_ready;

typedef struct cafe_watch {
  void (*ready)(struct cafe_watch *watch, unsigned events); /* level-triggered */
  int fd;
  void *user;
  void *loop_data[4];
} cafe_watch;

/* A call from any thread. */
typedef struct cafe_wake {
  void (*woken)(struct cafe_wake *wake); /* once or more after each signal; signals may be merged */
  void *user;
  void *loop_data[4];
} cafe_wake;

typedef struct cafe_loop_ops {
  size_t size;
  const char *name;

  /* REQUIRED. Monotonic time in microseconds, from any origin, as of now. Never fails, never goes back. */
  int64_t (*now_us)(cafe_loop *self);
  /* REQUIRED. Milliseconds since 1970-01-01 UTC. May jump. */
  int64_t (*utc_ms)(cafe_loop *self);
  /* REQUIRED. 64 random bits, unpredictable to others in production, from the seed in a simulation. */
  uint64_t (*random)(cafe_loop *self);

  /* REQUIRED. Fires once at due_us (monotonic) or soon after; a due time not after now fires in the next turn. Starting
   * an active timer moves it. CAFE_NOMEM. */
  int (*timer_start)(cafe_loop *self, cafe_timer *timer, int64_t due_us, cafe_err *err);
  /* REQUIRED. It doesn't fire any more. Harmless where it isn't active. */
  void (*timer_stop)(cafe_loop *self, cafe_timer *timer);

  /* REQUIRED. Runs the job on a lane. CAFE_UNSUPPORTED: a lane that this loop doesn't have; whoever asked for it does
   * without, or says so. CAFE_NOMEM, CAFE_UNAVAILABLE (no thread can be made). */
  int (*work)(cafe_loop *self, cafe_lane lane, cafe_job *job, cafe_err *err);

  /* OPTIONAL. Watches a descriptor; watching again changes the events. CAFE_UNSUPPORTED in a simulation. */
  int (*watch_start)(cafe_loop *self, cafe_watch *watch, unsigned events, cafe_err *err);
  /* With watch_start. Harmless where it isn't active. */
  void (*watch_stop)(cafe_loop *self, cafe_watch *watch);

  /* REQUIRED. Makes the wake usable; wake_close ends it, on the loop thread, after the last signal. */
  int (*wake_open)(cafe_loop *self, cafe_wake *wake, cafe_err *err);
  void (*wake_close)(cafe_loop *self, cafe_wake *wake);
  /* REQUIRED. THREADSAFE, async-signal-safe in loop/uv.h. */
  void (*wake_signal)(cafe_loop *self, cafe_wake *wake);

  /* REQUIRED. The descriptor that is readable when a turn is due, -1 if there is none (a simulation). */
  int (*fd)(cafe_loop *self);
  /* REQUIRED. Milliseconds until a turn is due: -1 nothing is, 0 only when one is due at once. */
  int64_t (*timeout_ms)(cafe_loop *self);
  /* REQUIRED. Runs what is due; waits for it first, up to max_wait_ms (-1: as long as it takes, 0: doesn't wait).
   * Returns CAFE_OK, or CAFE_INVALID inside another turn. */
  int (*turn)(cafe_loop *self, int64_t max_wait_ms);

  /* REQUIRED. Frees the loop. Nothing may be active. */
  void (*destroy)(cafe_loop *self);
} cafe_loop_ops;

/* A loop embeds this first, and zeroes it when it is made. */
struct cafe_loop {
  const cafe_loop_ops *ops;
  void *reserved[4]; /* the library's own */
};

CAFE_END_DECLS

#endif
