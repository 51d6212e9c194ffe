/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated loop.
 *
 * What it keeps: what happens depends on the seed and on what the program does, on nothing else. So there is no real
 * clock here, no address is compared or hashed, and whatever is chosen from is a list in the order in which things came
 * into it.
 *
 * Everything that may happen is an event: a timer, the run of a job, its completion, a wake. Until its time it is in
 * the heap `pending`, then in the list `ready`; a step draws one of those in `ready` whose turn it may be. Of a lane's
 * jobs that is the first that hasn't run, and of its completions the first. Both events of a job are made and put in
 * when it is submitted, because nothing after that may fail.
 */
#include "cafe/testing/sim.h"

#include <assert.h>

#include <utlist.h>

#include "base/hash.h"
#include "base/heap.h"
#include "base/sized.h"
#include "cafe/sys/loop.h"

typedef struct world world;
typedef struct sim_loop sim_loop;

typedef enum event_kind { EVENT_TIMER = 1, EVENT_RUN = 2, EVENT_DONE = 3, EVENT_WAKE = 4 } event_kind;

typedef struct event {
  heap_item item; /* first: the heap gives it back */
  event_kind kind;
  bool is_ready; /* in the world's `ready` */
  sim_loop *loop;
  void *subject; /* the caller's struct */
  unsigned lane;
  struct event *ready_prev, *ready_next;
  struct event *lane_prev, *lane_next;
  struct event *prev, *next; /* all of a loop */
} event;

typedef struct sim_lane {
  event *runs;  /* of jobs that have not run */
  event *dones; /* of all jobs */
  uint64_t has_run;
  uint64_t is_done;
  int64_t busy_until_us;
} sim_lane;

struct sim_loop {
  cafe_loop base;
  world *world;
  uint32_t number;
  event *events;
  sim_lane lanes[CAFE_LANES];
  struct sim_loop *prev, *next;
};

/* xoshiro256** 1.0 (Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47, 2021). */
typedef struct chance {
  uint64_t s[4];
} chance;

struct world {
  cafe_allocator allocator;
  sim_loop *loops;
  uint32_t loops_made;
  bool is_stepping;
  int64_t now_us;
  int64_t utc_offset_ms;
  int64_t job_min_us;
  int64_t job_max_us;
  int64_t late_max_us;
  bool is_orderly;
  chance program; /* what the loop's random gives */
  chance fate;    /* what happens next: a draw by the program doesn't move it */
  heap *pending;
  event *ready;
  uint64_t digest;
};

enum { START_US = 1000000 };                                /* not 0, which many a program takes for "never" */
static const int64_t START_UTC_MS = INT64_C(1767225600000); /* 2026-01-01 */

/* ---- chance ---- */

/* SplitMix64, by which its authors seed xoshiro. */
static void chance_seed(chance *self, uint64_t seed) {
  for (int i = 0; i < 4; i++) {
    seed += UINT64_C(0x9e3779b97f4a7c15);
    self->s[i] = hash_u64(seed);
  }
}

static uint64_t rotate_left(uint64_t x, unsigned by) { return (x << by) | (x >> (64 - by)); }

static uint64_t chance_next(chance *self) {
  uint64_t *s = self->s;
  uint64_t result = rotate_left(s[1] * 5, 7) * 9;
  uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate_left(s[3], 45);
  return result;
}

/* From min to max, both possible. The bias of the remainder is below 2^-40 for ranges below a second. */
static int64_t chance_between(chance *self, int64_t min, int64_t max) {
  return max <= min ? min : min + (int64_t)(chance_next(self) % ((uint64_t)(max - min) + 1));
}

/* ---- events ---- */

static world *world_of(const cafe_loop *loop) { return ((const sim_loop *)loop)->world; }

static void *world_resize(world *w, void *block, size_t size) {
  return w->allocator.resize(block, size, w->allocator.user);
}

static int no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "simulation: memory was refused"); }

static event *event_create(sim_loop *self, event_kind kind, void *subject) {
  event *made = world_resize(self->world, NULL, sizeof(*made));
  if (made) {
    memset(made, 0, sizeof(*made));
    made->kind = kind;
    made->loop = self;
    made->subject = subject;
    DL_APPEND(self->events, made);
  }
  return made;
}

static void event_make_ready(world *w, event *e) {
  if (!e->is_ready) {
    e->is_ready = true;
    DL_APPEND2(w->ready, e, ready_prev, ready_next);
  }
}

/* Out of the heap and the list. */
static void event_withdraw(world *w, event *e) {
  heap_remove(w->pending, &e->item);
  if (e->is_ready) {
    e->is_ready = false;
    DL_DELETE2(w->ready, e, ready_prev, ready_next);
  }
}

static void event_destroy(event *e) {
  if (e) {
    sim_loop *self = e->loop;
    event_withdraw(self->world, e);
    DL_DELETE(self->events, e);
    (void)world_resize(self->world, e, 0);
  }
}

static bool event_may_happen(const event *e) {
  const sim_lane *lane = &e->loop->lanes[e->lane];
  switch (e->kind) {
  case EVENT_RUN:
    return lane->runs == e;
  case EVENT_DONE:
    return lane->dones == e && lane->has_run > lane->is_done;
  case EVENT_TIMER:
  case EVENT_WAKE:
    break;
  }
  return true;
}

/* ---- the loop's methods ---- */

static int64_t loop_now_us(cafe_loop *loop) { return world_of(loop)->now_us; }

static int64_t loop_utc_ms(cafe_loop *loop) {
  const world *w = world_of(loop);
  return w->utc_offset_ms + w->now_us / 1000;
}

static uint64_t loop_random(cafe_loop *loop) { return chance_next(&world_of(loop)->program); }

static int loop_timer_start(cafe_loop *loop, cafe_timer *timer, int64_t due_us, cafe_err *err) {
  sim_loop *self = (sim_loop *)loop;
  world *w = self->world;
  event *e = timer->loop_data[0];
  if (e && heap_has(&e->item)) {
    heap_update(w->pending, &e->item, due_us);
    return CAFE_OK;
  }
  event *made = event_create(self, EVENT_TIMER, timer);
  if (!made || heap_push(w->pending, &made->item, due_us) != CAFE_OK) {
    event_destroy(made);
    return no_memory(err);
  }
  event_destroy(e);
  timer->loop_data[0] = made;
  return CAFE_OK;
}

static void loop_timer_stop(cafe_loop *loop, cafe_timer *timer) {
  (void)loop;
  event_destroy(timer->loop_data[0]);
  timer->loop_data[0] = NULL;
}

static int loop_work(cafe_loop *loop, cafe_lane number, cafe_job *job, cafe_err *err) {
  sim_loop *self = (sim_loop *)loop;
  world *w = self->world;
  if ((unsigned)number >= CAFE_LANES) {
    return cafe_fail(err, CAFE_UNSUPPORTED, "simulation: there is no lane %d: upgrade it", (int)number);
  }
  sim_lane *lane = &self->lanes[number];

  int64_t start_us = lane->busy_until_us > w->now_us ? lane->busy_until_us : w->now_us;
  int64_t takes_us = chance_between(&w->fate, w->job_min_us, w->job_max_us);
  int64_t run_us = start_us + (w->is_orderly ? takes_us : chance_between(&w->fate, 0, takes_us));
  event *run = event_create(self, EVENT_RUN, job);
  event *done = event_create(self, EVENT_DONE, job);
  if (!run || !done || heap_push(w->pending, &run->item, run_us) != CAFE_OK ||
      heap_push(w->pending, &done->item, start_us + takes_us) != CAFE_OK) {
    event_destroy(run);
    event_destroy(done);
    return no_memory(err);
  }
  lane->busy_until_us = start_us + takes_us;
  run->lane = (unsigned)number;
  done->lane = (unsigned)number;
  DL_APPEND2(lane->runs, run, lane_prev, lane_next);
  DL_APPEND2(lane->dones, done, lane_prev, lane_next);
  return CAFE_OK;
}

static int loop_watch_start(cafe_loop *loop, cafe_watch *watch, unsigned events, cafe_err *err) {
  (void)loop;
  (void)watch;
  (void)events;
  return cafe_fail(err, CAFE_UNSUPPORTED, "simulation: there are no descriptors; use a transport without them");
}

static void loop_watch_stop(cafe_loop *loop, cafe_watch *watch) {
  (void)loop;
  (void)watch;
}

static int loop_wake_open(cafe_loop *loop, cafe_wake *wake, cafe_err *err) {
  event *e = event_create((sim_loop *)loop, EVENT_WAKE, wake);
  if (!e) {
    return no_memory(err);
  }
  wake->loop_data[0] = e;
  return CAFE_OK;
}

static void loop_wake_close(cafe_loop *loop, cafe_wake *wake) {
  (void)loop;
  event_destroy(wake->loop_data[0]);
  wake->loop_data[0] = NULL;
}

static void loop_wake_signal(cafe_loop *loop, cafe_wake *wake) { event_make_ready(world_of(loop), wake->loop_data[0]); }

static int loop_fd(cafe_loop *loop) {
  (void)loop;
  return -1;
}

/* ---- what happens ---- */

/* Moves what is due from the heap to the list. */
static void collect_due(world *w) {
  for (heap_item *item = heap_peek(w->pending); item && item->due <= w->now_us; item = heap_peek(w->pending)) {
    event_make_ready(w, (event *)heap_pop(w->pending));
  }
}

static uint32_t count_possible(const world *w) {
  uint32_t count = 0;
  const event *e;
  DL_FOREACH2(w->ready, e, ready_next) { count += event_may_happen(e); }
  return count;
}

static event *choose(world *w, uint32_t count) {
  uint32_t skip = count > 1 && !w->is_orderly ? (uint32_t)(chance_next(&w->fate) % count) : 0;
  event *e;
  DL_FOREACH2(w->ready, e, ready_next) {
    if (event_may_happen(e) && skip-- == 0) {
      break;
    }
  }
  return e;
}

static void note(world *w, uint64_t what) { w->digest = hash_u64(w->digest + UINT64_C(0x9e3779b97f4a7c15) + what); }

/* The event is taken out before the caller's code runs: that may stop, start, free, or crash the loop. */
static void happen(world *w, event *e) {
  sim_loop *self = e->loop;
  sim_lane *lane = &self->lanes[e->lane];
  void *subject = e->subject;
  note(w, (uint64_t)w->now_us);
  note(w, (uint64_t)self->number << 8 | (uint64_t)e->lane << 4 | (uint64_t)e->kind);

  switch (e->kind) {
  case EVENT_TIMER: {
    cafe_timer *timer = subject;
    event_destroy(e);
    timer->loop_data[0] = NULL;
    timer->fire(timer);
    break;
  }
  case EVENT_RUN: {
    cafe_job *job = subject;
    DL_DELETE2(lane->runs, e, lane_prev, lane_next);
    event_destroy(e);
    lane->has_run++;
    job->run(job);
    break;
  }
  case EVENT_DONE: {
    cafe_job *job = subject;
    DL_DELETE2(lane->dones, e, lane_prev, lane_next);
    event_destroy(e);
    lane->is_done++;
    job->done(job);
    break;
  }
  case EVENT_WAKE: {
    cafe_wake *wake = subject;
    event_withdraw(w, e);
    wake->woken(wake);
    break;
  }
  }
}

/* One thing, at until_us at the latest. False: nothing happened, and time didn't move. */
static bool step_until(world *w, int64_t until_us) {
  assert(!w->is_stepping && "a simulation is stepped from one of its callbacks");
  collect_due(w);
  uint32_t count = count_possible(w);
  /* A completion that waits for its job's run doesn't count, and the run is still in the heap. */
  while (count == 0) {
    const heap_item *next = heap_peek(w->pending);
    if (!next || next->due > until_us) {
      return false;
    }
    w->now_us = chance_between(&w->fate, next->due, next->due + w->late_max_us);
    if (w->now_us > until_us) {
      w->now_us = until_us;
    }
    collect_due(w);
    count = count_possible(w);
  }
  w->is_stepping = true;
  happen(w, choose(w, count));
  w->is_stepping = false;
  return true;
}

static int64_t loop_timeout_ms(cafe_loop *loop) {
  world *w = world_of(loop);
  collect_due(w);
  if (count_possible(w) > 0) {
    return 0;
  }
  const heap_item *next = heap_peek(w->pending);
  return next ? (next->due - w->now_us + 999) / 1000 : -1;
}

static int loop_turn(cafe_loop *loop, int64_t max_wait_ms) {
  world *w = world_of(loop);
  if (w->is_stepping) {
    return CAFE_INVALID;
  }
  if (max_wait_ms < 0) {
    bool happened = step_until(w, INT64_MAX);
    assert(happened && "a simulation waits for what can never happen");
    (void)happened;
    return CAFE_OK;
  }
  int64_t until_us = w->now_us + max_wait_ms * 1000;
  if (!step_until(w, until_us)) {
    w->now_us = until_us;
  }
  return CAFE_OK;
}

/* ---- birth and death ---- */

static void loop_destroy(cafe_loop *loop) {
  sim_loop *self = (sim_loop *)loop;
  world *w = self->world;
  assert(!self->events && "a timer, wake or job outlives its loop");
  DL_DELETE(w->loops, self);
  (void)world_resize(w, self, 0);
  if (!w->loops) {
    cafe_allocator allocator = w->allocator;
    heap_destroy(w->pending);
    (void)allocator.resize(w, 0, allocator.user);
  }
}

static const cafe_loop_ops sim_ops = {
    .size = sizeof(cafe_loop_ops),
    .name = "sim",
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

static sim_loop *join(world *w) {
  sim_loop *made = world_resize(w, NULL, sizeof(*made));
  if (made) {
    memset(made, 0, sizeof(*made));
    made->base.ops = &sim_ops;
    made->world = w;
    made->number = w->loops_made++;
    DL_APPEND(w->loops, made);
  }
  return made;
}

int cafe_sim_join(cafe_loop **out, cafe_loop *sim, cafe_err *err) {
  sim_loop *made = join(world_of(sim));
  if (!made) {
    return no_memory(err);
  }
  *out = &made->base;
  return CAFE_OK;
}

int cafe_sim_create(cafe_loop **out, uint64_t seed, const cafe_sim_options *given, cafe_err *err) {
  cafe_sim_options own = CAFE_SIM_OPTIONS_INIT;
  const cafe_sim_options *options = &own;
  int code = given ? SIZED_READ(&own, given, cafe_sim_options, is_orderly, "CAFE_SIM_OPTIONS_INIT", err) : CAFE_OK;
  if (code) {
    return code;
  }
  if (options->job_min_us < 0 || options->job_max_us < options->job_min_us || options->late_max_us < 0) {
    return cafe_fail(err, CAFE_INVALID, "simulation: delays must not be negative, and a minimum not above its maximum");
  }
  cafe_allocator allocator = options->allocator ? *options->allocator : *cafe_allocator_default();
  world *w = allocator.resize(NULL, sizeof(*w), allocator.user);
  if (!w) {
    return no_memory(err);
  }
  memset(w, 0, sizeof(*w));
  w->allocator = allocator;
  w->now_us = START_US;
  w->utc_offset_ms = (options->utc_ms ? options->utc_ms : START_UTC_MS) - START_US / 1000;
  w->job_min_us = options->job_min_us;
  w->job_max_us = options->job_max_us;
  w->late_max_us = options->late_max_us;
  w->is_orderly = options->is_orderly;
  chance_seed(&w->program, seed);
  chance_seed(&w->fate, ~seed);
  w->pending = heap_create(&allocator);
  sim_loop *first = w->pending ? join(w) : NULL;
  if (!first) {
    heap_destroy(w->pending);
    (void)allocator.resize(w, 0, allocator.user);
    return no_memory(err);
  }
  *out = &first->base;
  return CAFE_OK;
}

bool cafe_sim_step(cafe_loop *sim) { return step_until(world_of(sim), INT64_MAX); }

uint64_t cafe_sim_run(cafe_loop *sim, int64_t until_us) {
  world *w = world_of(sim);
  uint64_t steps = 0;
  while (step_until(w, until_us < 0 ? INT64_MAX : until_us)) {
    steps++;
  }
  if (until_us > w->now_us) {
    w->now_us = until_us;
  }
  return steps;
}

int64_t cafe_sim_now_us(const cafe_loop *sim) { return world_of(sim)->now_us; }

void cafe_sim_set_utc(cafe_loop *sim, int64_t utc_ms) {
  world *w = world_of(sim);
  w->utc_offset_ms = utc_ms - w->now_us / 1000;
}

void cafe_sim_set_job_delay(cafe_loop *sim, int64_t min_us, int64_t max_us) {
  world *w = world_of(sim);
  assert(min_us >= 0 && min_us <= max_us);
  w->job_min_us = min_us;
  w->job_max_us = max_us;
}

void cafe_sim_crash(cafe_loop *sim) {
  sim_loop *self = (sim_loop *)sim;
  while (self->events) {
    event_destroy(self->events);
  }
  memset(self->lanes, 0, sizeof(self->lanes));
}

uint64_t cafe_sim_digest(const cafe_loop *sim) { return world_of(sim)->digest; }
