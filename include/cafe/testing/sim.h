/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_TESTING_SIM_H
#define CAFE_TESTING_SIM_H

#include "cafe/node.h"

CAFE_BEGIN_DECLS

/*
 * The simulated loop: a loop (sys/loop.h) on which nothing is real. One thread, a virtual clock, and a seed that draws
 * every random number and, among all that may happen next, what does: due timers, jobs, their completions, wakes. Time
 * stands still while anything may happen, and then jumps to the next moment at which something may. The same program on
 * the same seed does the same, always.
 *
 * Several loops can share one world, that is its clock and its chance: one for each node of a cluster, so that a node
 * can crash alone. What is said of one loop below, but for cafe_sim_crash, is said of its world.
 */
typedef struct cafe_sim_options {
  size_t size;
  const cafe_allocator *allocator; /* COPY; NULL: malloc */
  int64_t utc_ms;                  /* at the start; 0: 2026-01-01T00:00:00Z */
  int64_t job_min_us;              /* how long a job takes, between these two; its effect is at a moment in between */
  int64_t job_max_us;
  int64_t late_max_us; /* how far time may jump beyond the next due moment, so that what is due mixes; 0: not at all */
  bool is_orderly; /* nothing is drawn for the order: what may happen does so in the order in which it came due, and a
                      job's effect is at its end. For a trace that is compared with a text */
} cafe_sim_options;

#define CAFE_SIM_OPTIONS_INIT                                                                                          \
  { sizeof(cafe_sim_options), NULL, 0, 0, 0, 0, false }

/* Makes a world and its first loop. options may be NULL. OWN: cafe_loop_destroy; the world ends with its last loop.
 * CAFE_NOMEM, CAFE_INVALID. Since 0.1. */
CAFE_EXPORT int cafe_sim_create(cafe_loop **out, uint64_t seed, const cafe_sim_options *options, cafe_err *err);

/* Makes another loop in sim's world. OWN: cafe_loop_destroy. CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_sim_join(cafe_loop **out, cafe_loop *sim, cafe_err *err);

/* Lets one thing happen, moving time where nothing may happen now. False: nothing is left that ever could. Not from a
 * callback. Since 0.1. */
CAFE_EXPORT bool cafe_sim_step(cafe_loop *sim);

/* Steps until it is until_us, and moves time there; until_us -1: until nothing is left, which a periodic timer
 * prevents. Returns the number of steps. Not from a callback. Since 0.1. */
CAFE_EXPORT uint64_t cafe_sim_run(cafe_loop *sim, int64_t until_us);

/* Virtual monotonic time, in microseconds. It starts at one second. Since 0.1. */
CAFE_EXPORT int64_t cafe_sim_now_us(const cafe_loop *sim);

/* Sets the UTC clock, which goes on from there: a jump. Since 0.1. */
CAFE_EXPORT void cafe_sim_set_utc(cafe_loop *sim, int64_t utc_ms);

/* Sets how long jobs take from now on. Since 0.1. */
CAFE_EXPORT void cafe_sim_set_job_delay(cafe_loop *sim, int64_t min_us, int64_t max_us);

/* This one loop's timers, jobs and wakes are gone, without a callback and without a look at their memory: what kill -9
 * leaves. A job's effect that was before stays. Also from a callback. Since 0.1. */
CAFE_EXPORT void cafe_sim_crash(cafe_loop *sim);

/* A number over everything that has happened so far, in its order: two runs that differ in it did different things.
 * Since 0.1. */
CAFE_EXPORT uint64_t cafe_sim_digest(const cafe_loop *sim);

CAFE_END_DECLS

#endif
