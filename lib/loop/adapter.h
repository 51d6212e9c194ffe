/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOOP_ADAPTER_H
#define LOOP_ADAPTER_H

#include "cafe/loop/uv.h"
#include "cafe/sys/loop.h"

/* The loop on libuv: what its files share. uv.c holds the whole, each other file one kind of thing to wait for. */

enum { RANDOM_WORDS = 32 }; /* 256 bytes: what getrandom(2) gives without being interrupted */

typedef struct adapter adapter;
typedef struct timer_entry timer_entry; /* uv_timer.c */

/* First in, first out, linked by loop_data[0]. */
typedef struct job_queue {
  cafe_job *first;
  cafe_job *last;
} job_queue;

typedef struct lane {
  adapter *loop;
  uv_cond_t filled;
  uv_thread_t thread;
  bool has_cond;
  bool has_thread;
  job_queue waiting;
} lane;

struct adapter {
  cafe_loop base;
  cafe_allocator allocator;
  uv_loop_t *uv;
  uv_loop_t own;
  bool owns_uv;
  bool has_mutex;
  bool is_turning;
  bool is_dispatching;
  bool is_destroyed;
  bool needs_turn;  /* a descriptor isn't polled yet */
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

void *adapter_alloc(adapter *self, size_t size);
void adapter_free(adapter *self, void *block);
int adapter_no_memory(cafe_err *err);
int adapter_failure(cafe_err *err, cafe_code code, int status, const char *what);

/* Around each call of the caller's code. */
bool adapter_dispatch_begin(adapter *self);
void adapter_dispatch_end(adapter *self, bool outer);

/* From each close callback, last: a loop that is destroyed may end with it. */
void adapter_handle_closed(adapter *self);

int64_t adapter_now_us(cafe_loop *loop);

/* uv_timer.c */
int adapter_timer_start(cafe_loop *loop, cafe_timer *timer, int64_t due_us, cafe_err *err);
void adapter_timer_stop(cafe_loop *loop, cafe_timer *timer);
void adapter_timers_close(adapter *self);

/* uv_lane.c */
int adapter_lanes_init(adapter *self);
void adapter_lanes_reported(uv_async_t *async);
void adapter_lanes_stop(adapter *self);
void adapter_lanes_deinit(adapter *self);
int adapter_work(cafe_loop *loop, cafe_lane number, cafe_job *job, cafe_err *err);

/* uv_watch.c */
int adapter_watch_start(cafe_loop *loop, cafe_watch *watch, unsigned events, cafe_err *err);
void adapter_watch_stop(cafe_loop *loop, cafe_watch *watch);
int adapter_wake_open(cafe_loop *loop, cafe_wake *wake, cafe_err *err);
void adapter_wake_close(cafe_loop *loop, cafe_wake *wake);
void adapter_wake_signal(cafe_loop *loop, cafe_wake *wake);

#endif
