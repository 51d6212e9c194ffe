/* SPDX-License-Identifier: Apache-2.0 */
/* The loop on libuv: what sys/loop.h promises, from real time and real threads. */
#include "cafe/loop/uv.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cafe/sys/loop.h"
#include "failing_alloc.h"

static const int64_t PATIENCE_US = 20 * INT64_C(1000000);
static const int64_t NEVER_US = 3600 * INT64_C(1000000);

static failing_alloc memory;
static cafe_loop *loop;

static int setup(void **state) {
  cafe_err err;
  failing_alloc_init(&memory);
  assert_int_equal(cafe_uv_create(&loop, NULL, &memory.allocator, &err), CAFE_OK);
  return 0;
}

static int teardown(void **state) {
  cafe_loop_destroy(loop);
  failing_alloc_end(&memory);
  return 0;
}

static int64_t now_us(void) { return loop->ops->now_us(loop); }

static int turn(int64_t max_wait_ms) { return loop->ops->turn(loop, max_wait_ms); }

/* Turns until *count is at least `wanted`. */
static void run_until(const int *count, int wanted) {
  int64_t deadline_us = now_us() + PATIENCE_US;
  while (*count < wanted) {
    assert_true(now_us() < deadline_us);
    assert_int_equal(turn(1000), CAFE_OK);
  }
}

/* ---- timers ---- */

typedef struct alarm_clock {
  cafe_timer timer;
  int fired;
  int64_t fired_us;
  int *order; /* a counter shared by several */
  int place;
} alarm_clock;

static void ring(cafe_timer *timer) {
  alarm_clock *self = timer->user;
  self->fired++;
  self->fired_us = now_us();
  if (self->order) {
    self->place = ++*self->order;
  }
}

static void alarm_init(alarm_clock *self) {
  memset(self, 0, sizeof(*self));
  self->timer.fire = ring;
  self->timer.user = self;
}

static void start(cafe_timer *timer, int64_t due_us) {
  cafe_err err;
  assert_int_equal(loop->ops->timer_start(loop, timer, due_us, &err), CAFE_OK);
}

static void a_timer_fires_once_and_not_before_its_time(void **state) {
  for (int64_t in_us = 1; in_us < 20000; in_us = in_us * 3 + 7) {
    alarm_clock a;
    alarm_init(&a);
    int64_t due_us = now_us() + in_us;
    start(&a.timer, due_us);
    run_until(&a.fired, 1);
    assert_true(a.fired_us >= due_us);
    assert_int_equal(turn(0), CAFE_OK);
    assert_int_equal(a.fired, 1);
  }
}

static void a_timer_due_already_fires_in_the_next_turn_and_not_in_the_call(void **state) {
  alarm_clock a, b;
  alarm_init(&a);
  alarm_init(&b);
  start(&a.timer, now_us() - 5000);
  start(&b.timer, 0);
  assert_int_equal(a.fired + b.fired, 0);
  assert_int_equal(loop->ops->timeout_ms(loop), 0);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(a.fired, 1);
  assert_int_equal(b.fired, 1);
}

static void timers_fire_in_the_order_of_their_times(void **state) {
  alarm_clock a[5];
  static const int64_t in_ms[5] = {12, 3, 9, 0, 6};
  static const int places[5] = {5, 2, 4, 1, 3};
  int order = 0;
  int64_t base_us = now_us() + 30000; /* none is due when it is started */
  for (int i = 0; i < 5; i++) {
    alarm_init(&a[i]);
    a[i].order = &order;
    start(&a[i].timer, base_us + in_ms[i] * 1000);
  }
  run_until(&order, 5);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(a[i].place, places[i]);
  }
}

static void ring_again_at_once(cafe_timer *timer) {
  ring(timer);
  start(timer, 0);
}

static void a_timer_that_starts_itself_without_delay_lets_the_turn_end(void **state) {
  alarm_clock a;
  alarm_init(&a);
  a.timer.fire = ring_again_at_once;
  start(&a.timer, 0);
  for (int turns = 1; turns <= 10; turns++) {
    assert_int_equal(turn(-1), CAFE_OK);
    assert_int_equal(a.fired, turns);
  }
  loop->ops->timer_stop(loop, &a.timer);
}

static void starting_an_active_timer_moves_it(void **state) {
  alarm_clock a;
  alarm_init(&a);
  start(&a.timer, now_us() + NEVER_US);
  start(&a.timer, 0);
  start(&a.timer, now_us() + NEVER_US);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(a.fired, 0);
  start(&a.timer, now_us() + 1000);
  run_until(&a.fired, 1);
  assert_int_equal(loop->ops->timeout_ms(loop), -1);
}

static void a_stopped_timer_may_be_freed_at_once(void **state) {
  alarm_clock *a = malloc(sizeof(*a));
  alarm_clock *b = malloc(sizeof(*b));
  alarm_init(a);
  alarm_init(b);
  loop->ops->timer_stop(loop, &a->timer);
  start(&a->timer, 0);
  start(&b->timer, now_us() + 1);
  loop->ops->timer_stop(loop, &a->timer);
  loop->ops->timer_stop(loop, &b->timer);
  loop->ops->timer_stop(loop, &b->timer);
  free(a);
  free(b);
  assert_int_equal(turn(5), CAFE_OK);
}

typedef struct killer {
  cafe_timer timer;
  cafe_timer *victim;
  int fired;
} killer;

static void stop_both_and_free_the_victim(cafe_timer *timer) {
  killer *self = timer->user;
  self->fired++;
  loop->ops->timer_stop(loop, timer);
  loop->ops->timer_stop(loop, self->victim);
  free(self->victim);
}

static void a_timer_may_stop_itself_and_others_that_are_due_in_the_same_turn(void **state) {
  for (int late = 0; late < 2; late++) {
    alarm_clock *a = malloc(sizeof(*a));
    alarm_init(a);
    killer k = {{stop_both_and_free_the_victim, &k, {NULL, NULL}}, &a->timer, 0};
    int64_t due_us = late ? now_us() + 2000 : 0;
    start(&k.timer, due_us);
    start(&a->timer, due_us);
    run_until(&k.fired, 1);
    assert_int_equal(turn(0), CAFE_OK);
    assert_int_equal(loop->ops->timeout_ms(loop), -1);
  }
}

/* ---- turning ---- */

static void an_idle_loop_has_nothing_due(void **state) {
  assert_int_equal(turn(0), CAFE_OK);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(loop->ops->timeout_ms(loop), -1);
    assert_int_equal(turn(0), CAFE_OK);
  }
}

static void the_timeout_counts_from_the_moment_of_asking(void **state) {
  alarm_clock a;
  alarm_init(&a);
  start(&a.timer, now_us() + NEVER_US);
  assert_int_equal(loop->ops->timeout_ms(loop), 0); /* a new loop polls nothing yet */
  assert_int_equal(turn(0), CAFE_OK);
  int64_t before_ms = loop->ops->timeout_ms(loop);
  assert_true(before_ms > 0 && before_ms <= NEVER_US / 1000 + 1);
  int64_t until_us = now_us() + 20000;
  while (now_us() < until_us) {
  }
  assert_true(loop->ops->timeout_ms(loop) <= before_ms - 15);
  loop->ops->timer_stop(loop, &a.timer);
}

static void a_turn_waits_no_longer_than_it_may(void **state) {
  int64_t before_us = now_us();
  assert_int_equal(turn(30), CAFE_OK);
  assert_true(now_us() - before_us >= 25000);

  alarm_clock a;
  alarm_init(&a);
  start(&a.timer, before_us + NEVER_US);
  before_us = now_us();
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(turn(10), CAFE_OK);
  assert_int_equal(a.fired, 0);
  assert_true(now_us() - before_us < PATIENCE_US);
  loop->ops->timer_stop(loop, &a.timer);
}

static void a_turn_that_ran_something_does_not_wait_any_more(void **state) {
  alarm_clock far, near;
  alarm_init(&far);
  alarm_init(&near);
  start(&far.timer, now_us() + PATIENCE_US);
  start(&near.timer, now_us() + 3000);
  int64_t due_us = now_us() + 6000;
  while (now_us() < due_us) { /* so that it is due when the turn begins */
  }
  assert_int_equal(turn(-1), CAFE_OK);
  assert_int_equal(near.fired, 1);
  assert_int_equal(far.fired, 0);
  loop->ops->timer_stop(loop, &far.timer);
}

static int nested_code;
static void turn_inside(cafe_timer *timer) { nested_code = turn(0); }

static void a_turn_inside_a_turn_is_refused(void **state) {
  cafe_timer timer = {turn_inside, NULL, {NULL, NULL}};
  nested_code = CAFE_OK;
  start(&timer, 0);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(nested_code, CAFE_INVALID);
}

/* ---- jobs ---- */

typedef struct task {
  cafe_job job;
  pthread_t ran_on;
  int run_place;
  int done_place;
  int *runs; /* touched on the lane's thread only */
  int *dones;
} task;

static void task_run(cafe_job *job) {
  task *self = job->user;
  self->ran_on = pthread_self();
  self->run_place = ++*self->runs;
}

static void task_done(cafe_job *job) {
  task *self = job->user;
  assert_int_equal(self->done_place, 0);
  self->done_place = ++*self->dones;
}

static void task_init(task *self, int *runs, int *dones) {
  memset(self, 0, sizeof(*self));
  self->job.run = task_run;
  self->job.done = task_done;
  self->job.user = self;
  self->runs = runs;
  self->dones = dones;
}

static void submit(cafe_lane lane, cafe_job *job) {
  cafe_err err;
  assert_int_equal(loop->ops->work(loop, lane, job, &err), CAFE_OK);
}

static void jobs_of_a_lane_run_in_order_on_one_thread_of_their_own(void **state) {
  enum { COUNT = 300 };
  static task tasks[CAFE_LANES][COUNT];
  int runs[CAFE_LANES] = {0, 0};
  int dones[CAFE_LANES] = {0, 0};
  for (int i = 0; i < COUNT; i++) {
    for (int lane = 0; lane < CAFE_LANES; lane++) {
      task_init(&tasks[lane][i], &runs[lane], &dones[lane]);
      submit((cafe_lane)lane, &tasks[lane][i].job);
    }
  }
  assert_int_equal(dones[0] + dones[1], 0);
  run_until(&dones[0], COUNT);
  run_until(&dones[1], COUNT);
  for (int lane = 0; lane < CAFE_LANES; lane++) {
    for (int i = 0; i < COUNT; i++) {
      assert_int_equal(tasks[lane][i].run_place, i + 1);
      assert_int_equal(tasks[lane][i].done_place, i + 1);
      assert_true(pthread_equal(tasks[lane][i].ran_on, tasks[lane][0].ran_on));
      assert_false(pthread_equal(tasks[lane][i].ran_on, pthread_self()));
    }
  }
  assert_false(pthread_equal(tasks[0][0].ran_on, tasks[1][0].ran_on));
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(loop->ops->timeout_ms(loop), -1);
}

static void a_lane_that_is_not_known_is_refused(void **state) {
  static task one;
  int runs = 0, dones = 0;
  cafe_err err;
  task_init(&one, &runs, &dones);
  assert_int_equal(loop->ops->work(loop, (cafe_lane)CAFE_LANES, &one.job, &err), CAFE_UNSUPPORTED);
  assert_int_equal(loop->ops->work(loop, (cafe_lane)-1, &one.job, &err), CAFE_UNSUPPORTED);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(loop->ops->timeout_ms(loop), -1);
  assert_int_equal(runs + dones, 0);
}

static pthread_barrier_t meeting;
static void meet(cafe_job *job) { (void)pthread_barrier_wait(&meeting); }
static void count_done(cafe_job *job) { ++*(int *)job->user; }

static void lanes_run_beside_each_other(void **state) {
  int dones = 0;
  cafe_job a = {meet, count_done, &dones, {NULL, NULL}};
  cafe_job b = {meet, count_done, &dones, {NULL, NULL}};
  assert_int_equal(pthread_barrier_init(&meeting, NULL, 2), 0);
  submit(CAFE_LANE_WRITE, &a);
  submit(CAFE_LANE_READ, &b);
  run_until(&dones, 2);
  assert_int_equal(pthread_barrier_destroy(&meeting), 0);
}

typedef struct chain {
  cafe_job job;
  int left;
  int ended;
  int value; /* written on the lane, read on the loop and back */
} chain;

static void chain_run(cafe_job *job) { ((chain *)job->user)->value++; }

static void chain_done(cafe_job *job) {
  chain *self = job->user;
  if (--self->left == 0) {
    self->ended = 1;
  } else {
    submit(self->left % 2 ? CAFE_LANE_READ : CAFE_LANE_WRITE, job);
  }
}

static void a_job_may_be_given_again_when_it_is_done(void **state) {
  chain c = {{chain_run, chain_done, &c, {NULL, NULL}}, 200, 0, 0};
  submit(CAFE_LANE_WRITE, &c.job);
  run_until(&c.ended, 1);
  assert_int_equal(c.value, 200);
}

static void read_signal_mask(cafe_job *job) { (void)pthread_sigmask(SIG_SETMASK, NULL, job->loop_data[1]); }

static void signals_do_not_reach_the_lanes(void **state) {
  sigset_t mask;
  int dones = 0;
  cafe_job job = {read_signal_mask, count_done, &dones, {NULL, &mask}};
  submit(CAFE_LANE_READ, &job);
  run_until(&dones, 1);
  assert_int_equal(sigismember(&mask, SIGINT), 1);
  assert_int_equal(sigismember(&mask, SIGTERM), 1);
}

/* ---- a driver that polls the descriptor, as a foreign event loop does ---- */

static void drive_until(const int *count, int wanted) {
  struct pollfd wait = {loop->ops->fd(loop), POLLIN, 0};
  int64_t deadline_us = now_us() + PATIENCE_US;
  assert_int_equal(turn(0), CAFE_OK); /* after the submission */
  while (*count < wanted) {
    assert_true(now_us() < deadline_us);
    int64_t timeout_ms = loop->ops->timeout_ms(loop);
    assert_true(poll(&wait, 1, timeout_ms < 0 ? (int)(PATIENCE_US / 1000) : (int)timeout_ms) >= 0);
    assert_int_equal(turn(0), CAFE_OK);
  }
}

static void the_descriptor_and_the_timeout_are_enough_to_drive_it(void **state) {
  alarm_clock a;
  chain c = {{chain_run, chain_done, &c, {NULL, NULL}}, 50, 0, 0};
  submit(CAFE_LANE_READ, &c.job);
  drive_until(&c.ended, 1);
  alarm_init(&a);
  start(&a.timer, now_us() + 5000);
  drive_until(&a.fired, 1);
  assert_int_equal(loop->ops->timeout_ms(loop), -1);
}

/* ---- wakes ---- */

typedef struct sleeper {
  cafe_wake wake;
  int woken;
  int seen; /* what the other thread had said by then */
  pthread_mutex_t mutex;
  int said;
} sleeper;

static void wake_up(cafe_wake *wake) {
  sleeper *self = wake->user;
  self->woken++;
  pthread_mutex_lock(&self->mutex);
  self->seen = self->said;
  pthread_mutex_unlock(&self->mutex);
}

static void *say_and_signal(void *user) {
  sleeper *self = user;
  for (int i = 0; i < 1000; i++) {
    pthread_mutex_lock(&self->mutex);
    self->said++;
    pthread_mutex_unlock(&self->mutex);
    loop->ops->wake_signal(loop, &self->wake);
  }
  return NULL;
}

static void a_wake_comes_after_every_signal_of_another_thread(void **state) {
  cafe_err err;
  pthread_t thread;
  sleeper s = {{wake_up, &s, {NULL, NULL}}, 0, 0, PTHREAD_MUTEX_INITIALIZER, 0};
  assert_int_equal(loop->ops->wake_open(loop, &s.wake, &err), CAFE_OK);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(loop->ops->timeout_ms(loop), -1);
  assert_int_equal(pthread_create(&thread, NULL, say_and_signal, &s), 0);
  run_until(&s.seen, 1000);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_in_range(s.woken, 1, 1000);
  loop->ops->wake_close(loop, &s.wake);
}

static sleeper *signaled;
static void on_signal(int number) { loop->ops->wake_signal(loop, &signaled->wake); }

static void a_signal_handler_may_wake_the_loop(void **state) {
  cafe_err err;
  sleeper s = {{wake_up, &s, {NULL, NULL}}, 0, 0, PTHREAD_MUTEX_INITIALIZER, 0};
  struct sigaction action, before;
  memset(&action, 0, sizeof(action));
  action.sa_handler = on_signal;
  signaled = &s;
  assert_int_equal(loop->ops->wake_open(loop, &s.wake, &err), CAFE_OK);
  assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
  assert_int_equal(raise(SIGUSR1), 0);
  assert_int_equal(s.woken, 0);
  run_until(&s.woken, 1);
  assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
  loop->ops->wake_close(loop, &s.wake);
}

static void a_closed_wake_is_not_called_and_may_be_freed(void **state) {
  cafe_err err;
  sleeper *s = malloc(sizeof(*s));
  *s = (sleeper){{wake_up, s, {NULL, NULL}}, 0, 0, PTHREAD_MUTEX_INITIALIZER, 0};
  assert_int_equal(loop->ops->wake_open(loop, &s->wake, &err), CAFE_OK);
  loop->ops->wake_signal(loop, &s->wake);
  loop->ops->wake_close(loop, &s->wake);
  free(s);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(loop->ops->timeout_ms(loop), -1);
}

/* ---- watches ---- */

typedef struct ear {
  cafe_watch watch;
  int calls;
  unsigned events;
  int stop_at; /* stops and frees itself at that call */
  int *freed;
} ear;

static void hear(cafe_watch *watch, unsigned events) {
  ear *self = watch->user;
  self->calls++;
  self->events = events;
  if (self->calls == self->stop_at) {
    loop->ops->watch_stop(loop, watch);
    *self->freed = 1;
    free(self);
  }
}

static ear *ear_create(int fd, int stop_at, int *freed) {
  ear *self = calloc(1, sizeof(*self));
  self->watch.ready = hear;
  self->watch.fd = fd;
  self->watch.user = self;
  self->stop_at = stop_at;
  self->freed = freed;
  return self;
}

static void watch(ear *self, unsigned events) {
  cafe_err err;
  assert_int_equal(loop->ops->watch_start(loop, &self->watch, events, &err), CAFE_OK);
}

static void a_watch_is_called_as_long_as_the_level_stays(void **state) {
  int fds[2];
  int freed = 0;
  char byte;
  assert_int_equal(pipe(fds), 0);
  ear *e = ear_create(fds[0], 0, &freed);
  watch(e, CAFE_READABLE);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(e->calls, 0);
  assert_int_equal(write(fds[1], "x", 1), 1);
  run_until(&e->calls, 1);
  run_until(&e->calls, 2);
  assert_int_equal(e->events, CAFE_READABLE);
  assert_int_equal(read(fds[0], &byte, 1), 1);
  int calls = e->calls;
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(e->calls, calls);

  /* The other end closes: a reader has to learn it. */
  assert_int_equal(close(fds[1]), 0);
  run_until(&e->calls, calls + 1);
  loop->ops->watch_stop(loop, &e->watch);
  loop->ops->watch_stop(loop, &e->watch);
  free(e);
  assert_int_equal(close(fds[0]), 0);
}

static void a_new_watch_asks_for_a_turn(void **state) {
  int fds[2];
  int freed = 0;
  assert_int_equal(pipe(fds), 0);
  ear *e = ear_create(fds[0], 0, &freed);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(loop->ops->timeout_ms(loop), -1);
  watch(e, CAFE_READABLE);
  assert_int_equal(loop->ops->timeout_ms(loop), 0);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(loop->ops->timeout_ms(loop), -1);
  assert_int_equal(write(fds[1], "x", 1), 1);
  drive_until(&e->calls, 1);
  loop->ops->watch_stop(loop, &e->watch);
  free(e);
  assert_int_equal(close(fds[0]), 0);
  assert_int_equal(close(fds[1]), 0);
}

static void watching_again_changes_the_events(void **state) {
  int fds[2];
  int freed = 0;
  assert_int_equal(pipe(fds), 0);
  ear *e = ear_create(fds[1], 0, &freed);
  watch(e, CAFE_READABLE);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(e->calls, 0);
  watch(e, CAFE_WRITABLE);
  run_until(&e->calls, 1);
  assert_int_equal(e->events, CAFE_WRITABLE);

  /* A writer without a reader: an error, told as the event that is waited for. */
  assert_int_equal(close(fds[0]), 0);
  int calls = e->calls;
  run_until(&e->calls, calls + 3);
  assert_int_equal(e->events, CAFE_WRITABLE);
  loop->ops->watch_stop(loop, &e->watch);
  free(e);
  assert_int_equal(close(fds[1]), 0);
}

static void a_watch_may_end_in_its_own_call_and_begin_anew_on_the_same_descriptor(void **state) {
  int fds[2];
  assert_int_equal(pipe(fds), 0);
  assert_int_equal(write(fds[1], "x", 1), 1);
  for (int round = 0; round < 3; round++) {
    int freed = 0;
    watch(ear_create(fds[0], 1, &freed), CAFE_READABLE);
    run_until(&freed, 1);
  }
  assert_int_equal(close(fds[0]), 0);
  assert_int_equal(close(fds[1]), 0);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(loop->ops->timeout_ms(loop), -1);
}

static void a_descriptor_that_is_none_is_refused(void **state) {
  cafe_err err;
  int freed = 0;
  ear *e = ear_create(-1, 0, &freed);
  assert_int_equal(loop->ops->watch_start(loop, &e->watch, CAFE_READABLE, &err), CAFE_INVALID);
  assert_int_equal(err.code, CAFE_INVALID);
  loop->ops->watch_stop(loop, &e->watch);
  free(e);
}

/* ---- the rest ---- */

static void the_clocks_go_and_random_numbers_differ(void **state) {
  int64_t before_us = now_us();
  int64_t utc_ms = loop->ops->utc_ms(loop);
  int64_t here_ms = (int64_t)time(NULL) * 1000;
  assert_true(utc_ms > here_ms - 60000 && utc_ms < here_ms + 60000);
  assert_true(now_us() >= before_us);
  uint64_t all = 0;
  for (int i = 0; i < 100; i++) {
    uint64_t one = loop->ops->random(loop);
    assert_int_not_equal(one, loop->ops->random(loop));
    all |= one;
  }
  assert_true(all == UINT64_MAX);
}

static void it_runs_on_the_callers_own_loop(void **state) {
  uv_loop_t uv;
  cafe_loop *own = loop;
  cafe_err err;
  alarm_clock a;
  chain c = {{chain_run, chain_done, &c, {NULL, NULL}}, 20, 0, 0};
  assert_int_equal(uv_loop_init(&uv), 0);
  assert_int_equal(cafe_uv_create(&loop, &uv, &memory.allocator, &err), CAFE_OK);
  assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0); /* nothing keeps it */

  alarm_init(&a);
  start(&a.timer, now_us() + 2000);
  submit(CAFE_LANE_WRITE, &c.job);
  assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
  assert_int_equal(a.fired, 1);
  assert_int_equal(c.value, 20);

  start(&a.timer, 0);
  assert_int_equal(turn(0), CAFE_OK);
  assert_int_equal(a.fired, 2);

  cafe_loop_destroy(loop);
  loop = own;
  assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&uv), 0);
}

static void without_descriptors_it_can_not_be_made(void **state) {
  struct rlimit before, none;
  cafe_loop *other = NULL;
  cafe_err err;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  int codes[8];
  int made = 0;
  for (rlim_t more = 0; more < 8; more++) { /* it fails at another place for each number that is left */
    int next = dup(STDOUT_FILENO);
    none = before;
    none.rlim_cur = (rlim_t)next + more;
    close(next);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    codes[more] = cafe_uv_create(&other, NULL, &memory.allocator, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    if (codes[more] == CAFE_OK) {
      cafe_loop_destroy(other);
      made++;
    } else {
      assert_int_equal(codes[more], CAFE_UNAVAILABLE);
      assert_int_equal(err.code, CAFE_UNAVAILABLE);
    }
  }
  assert_int_equal(codes[0], CAFE_UNAVAILABLE);
  assert_true(made > 0 && made < 8);
}

static int use_everything(const cafe_allocator *allocator) {
  cafe_err err;
  int fds[2];
  int freed = 0;
  alarm_clock a, b;
  chain c = {{chain_run, chain_done, &c, {NULL, NULL}}, 2, 0, 0};
  cafe_wake wake = {NULL, NULL, {NULL, NULL}};
  int code = cafe_uv_create(&loop, NULL, allocator, &err);
  if (code != CAFE_OK) {
    return code;
  }
  assert_int_equal(pipe(fds), 0);
  ear *e = ear_create(fds[1], 0, &freed);
  alarm_init(&a);
  alarm_init(&b);
  code = loop->ops->timer_start(loop, &a.timer, 0, &err);
  if (code == CAFE_OK) {
    code = loop->ops->timer_start(loop, &b.timer, now_us() + NEVER_US, &err);
  }
  if (code == CAFE_OK) {
    code = loop->ops->wake_open(loop, &wake, &err);
  }
  if (code == CAFE_OK) {
    code = loop->ops->watch_start(loop, &e->watch, CAFE_WRITABLE, &err);
  }
  if (code == CAFE_OK) {
    submit(CAFE_LANE_WRITE, &c.job);
    run_until(&c.ended, 1);
  }
  loop->ops->timer_stop(loop, &a.timer);
  loop->ops->timer_stop(loop, &b.timer);
  loop->ops->watch_stop(loop, &e->watch);
  loop->ops->wake_close(loop, &wake);
  cafe_loop_destroy(loop);
  free(e);
  (void)close(fds[0]);
  (void)close(fds[1]);
  assert_true(code == CAFE_OK || code == err.code);
  return code;
}

static void every_refused_allocation_is_told_and_leaves_nothing_behind(void **state) {
  failing_alloc own;
  int code = CAFE_OK;
  size_t failures = 0;
  for (size_t n = 1; failing_alloc_begin(&own, n); n++) {
    code = use_everything(&own.allocator);
    failing_alloc_end(&own);
    failures += code == CAFE_NOMEM;
    assert_true(code == CAFE_NOMEM || code == CAFE_OK);
  }
  assert_int_equal(code, CAFE_OK);
  assert_true(failures >= 5);
}

int main(void) {
#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
  const struct CMUnitTest tests[] = {
      ON_LOOP(a_timer_fires_once_and_not_before_its_time),
      ON_LOOP(a_timer_due_already_fires_in_the_next_turn_and_not_in_the_call),
      ON_LOOP(timers_fire_in_the_order_of_their_times),
      ON_LOOP(a_timer_that_starts_itself_without_delay_lets_the_turn_end),
      ON_LOOP(starting_an_active_timer_moves_it),
      ON_LOOP(a_stopped_timer_may_be_freed_at_once),
      ON_LOOP(a_timer_may_stop_itself_and_others_that_are_due_in_the_same_turn),
      ON_LOOP(an_idle_loop_has_nothing_due),
      ON_LOOP(the_timeout_counts_from_the_moment_of_asking),
      ON_LOOP(a_turn_waits_no_longer_than_it_may),
      ON_LOOP(a_turn_that_ran_something_does_not_wait_any_more),
      ON_LOOP(a_turn_inside_a_turn_is_refused),
      ON_LOOP(jobs_of_a_lane_run_in_order_on_one_thread_of_their_own),
      ON_LOOP(a_lane_that_is_not_known_is_refused),
      ON_LOOP(lanes_run_beside_each_other),
      ON_LOOP(a_job_may_be_given_again_when_it_is_done),
      ON_LOOP(signals_do_not_reach_the_lanes),
      ON_LOOP(the_descriptor_and_the_timeout_are_enough_to_drive_it),
      ON_LOOP(a_wake_comes_after_every_signal_of_another_thread),
      ON_LOOP(a_signal_handler_may_wake_the_loop),
      ON_LOOP(a_closed_wake_is_not_called_and_may_be_freed),
      ON_LOOP(a_watch_is_called_as_long_as_the_level_stays),
      ON_LOOP(a_new_watch_asks_for_a_turn),
      ON_LOOP(watching_again_changes_the_events),
      ON_LOOP(a_watch_may_end_in_its_own_call_and_begin_anew_on_the_same_descriptor),
      ON_LOOP(a_descriptor_that_is_none_is_refused),
      ON_LOOP(the_clocks_go_and_random_numbers_differ),
      ON_LOOP(it_runs_on_the_callers_own_loop),
      ON_LOOP(without_descriptors_it_can_not_be_made),
      cmocka_unit_test(every_refused_allocation_is_told_and_leaves_nothing_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
