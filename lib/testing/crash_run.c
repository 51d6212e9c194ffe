/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One run: processes that live and die on what their stores have, in one simulated world.
 *
 * What is kept here: a process that was killed leaves nothing but its store. Its memory is one heap, its timers and
 * jobs one loop's, and what it had asked of the world outside is let go of with it; so whatever reaches into a dead
 * node is found by AddressSanitizer. Clients and the world outside have a loop of their own, which no crash touches.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"
#include "cafe/store/memory.h"
#include "cafe/sys/transport.h"
#include "testing/crash_core.h"

enum {
  STEPS_MAX = 2000000,
  STARTS_MAX = 100000,
  JOB_MAX_US = 300,
  RANDOM_JOB_MAX_US = 3000,
  RANDOM_LATE_MAX_US = 2000
};

bool cafe_crash_wrong(cafe_crash *run, const char *format, ...) {
  if (!run->is_wrong) {
    va_list args;
    va_start(args, format);
    str_format(run->why, sizeof(run->why), format, args);
    va_end(args);
    run->is_wrong = true;
  }
  return false;
}

cafe_loop *cafe_crash_loop(cafe_crash *run, uint32_t index) { return run->processes[index].loop; }
cafe_node *cafe_crash_node(cafe_crash *run, uint32_t index) { return run->processes[index].node; }

/* ---- one life ---- */

static void keep_line(const cafe_log_record *record, void *user) {
  crash_process *process = user;
  cafe_crash *run = process->run;
  crash_line *line = &run->lines[run->line_count++ % CRASH_LINES];
  snprintf(line->text, sizeof(line->text), "%.3f s, node %u, key %" PRIu64 ": %s",
           (double)cafe_sim_now_us(run->world) / 1e6, process->index, record->key, record->text);
}

static void close_store(crash_process *process) {
  cafe_store_destroy(process->store);
  cafe_store_destroy(process->inner);
  process->store = process->inner = NULL;
}

/* A store of the user's serves one life; one in memory stands for what is on a disk. */
static int open_store(crash_process *process, cafe_err *err) {
  cafe_crash *run = process->run;
  const cafe_crash_scenario *scenario = run->scenario;
  cafe_memory_options options = CAFE_MEMORY_OPTIONS_INIT;
  if (process->store && !scenario->open_store) {
    cafe_faulty_store_revive(process->store);
    return CAFE_OK;
  }
  close_store(process);
  options.allocator = &run->allocator;
  options.is_threaded = !run->is_inline;
  int code = scenario->open_store
                 ? scenario->open_store(&process->inner, run, process->index, !process->was_opened, err, scenario->user)
                 : cafe_memory_create(&process->inner, &options, err);
  if (!code) {
    code = cafe_faulty_store_create(&process->store, process->inner, &run->allocator, err);
  }
  if (code) {
    close_store(process);
  }
  process->was_opened = process->was_opened || !code;
  return code;
}

/* The life is over, and with it what described the tables: a store that is read once more would look at them. */
static void end_store(crash_process *process) {
  if (process->run->scenario->open_store) {
    close_store(process);
  }
}

static int create_node(crash_process *process, bool *was_hosted, cafe_err *err) {
  cafe_crash *run = process->run;
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.name = "crash";
  options.loop = process->loop;
  options.store = process->store;
  options.transport = process->transport;
  options.allocator = &process->heap.allocator;
  options.log = (cafe_log){keep_line, process, CAFE_LOG_WARN};
  int code = cafe_node_create(&process->node, &options, err);
  if (code) {
    process->node = NULL;
    return code;
  }
  *was_hosted = true;
  code = run->scenario->host(run, process->node, process->index, err, run->scenario->user);
  return code ? code : cafe_node_start(process->node, err);
}

static void tell_end(crash_process *process, bool was_killed) {
  const cafe_crash_scenario *scenario = process->run->scenario;
  if (scenario->ended) {
    scenario->ended(process->run, process->index, was_killed, scenario->user);
  }
}

/* Its node is destroyed: nothing of it may be left. */
static void check_heap(crash_process *process) {
  if (process->heap.live) {
    cafe_crash_wrong(process->run, "node %u left %zu blocks of memory behind", process->index, process->heap.live);
  }
}

bool process_was_hit(const crash_process *process) {
  cafe_store_counts counts = {.size = sizeof(counts)};
  if (process->heap.refused) {
    return true;
  }
  if (process->store) {
    cafe_faulty_store_count(process->store, &counts);
  }
  return counts.faults || counts.is_dead;
}

static void start(crash_process *process) {
  cafe_crash *run = process->run;
  cafe_err err = {0};
  bool was_hosted = false;
  uint64_t refused = process->heap.refused;
  int code = open_store(process, &err);
  if (code) {
    cafe_crash_wrong(run, "node %u has no store: %s", process->index, err.text);
    return;
  }
  cafe_store_faults faults = crash_store_faults(run, process->index);
  cafe_faulty_store_set(process->store, process->starts || !run->is_driving ? NULL : &faults);
  process->starts++;
  code = create_node(process, &was_hosted, &err);
  if (!code) {
    return;
  }
  cafe_node_destroy(process->node);
  process->node = NULL;
  if (was_hosted) {
    tell_end(process, false);
  }
  check_heap(process);
  cafe_store_counts counts = {.size = sizeof(counts)};
  cafe_faulty_store_count(process->store, &counts);
  run->is_hit = run->is_hit || process_was_hit(process);
  bool is_excused = process->heap.refused > refused || counts.faults || counts.is_dead;
  end_store(process); /* it may not be open, and can't be read then */
  if (!is_excused || process->starts > STARTS_MAX) {
    cafe_crash_wrong(run, "node %u can't be started: %s", process->index,
                     err.code ? err.text : "host returned a failure without a text");
  }
}

void crash_start_all(cafe_crash *run) {
  for (uint32_t i = 0; i < run->count && !run->is_wrong; i++) {
    if (!run->processes[i].node) {
      start(&run->processes[i]);
    }
  }
}

void process_kill(crash_process *process) {
  cafe_crash *run = process->run;
  if (!process->node) {
    return;
  }
  run->is_hit = run->is_hit || process_was_hit(process);
  cafe_faulty_store_kill(process->store);
  cafe_sim_crash(process->loop);
  if (process->transport) {
    process->transport->ops->close(process->transport);
  }
  outside_forget(process);
  client_lost(process);
  process->node = NULL;
  tell_end(process, true);
  end_store(process);
  process_heap_drop(&process->heap);
}

static void has_ended(const cafe_err *err, void *user) {
  (void)err;
  *(bool *)user = true;
}

/* Steps until it is so, or the process is killed meanwhile. False: that took too long, and the run has failed. */
static bool wait_for(crash_process *process, const bool *is_so, const char *what) {
  cafe_crash *run = process->run;
  for (uint64_t steps = 0; !*is_so && process->node && !run->is_wrong; steps++) {
    if ((!crash_step(run) && !*is_so && process->node) || steps > STEPS_MAX) {
      return cafe_crash_wrong(run, "node %u is never %s", process->index, what);
    }
  }
  return process->node && !run->is_wrong;
}

void process_close(crash_process *process) {
  cafe_crash *run = process->run;
  bool is_closed = false;
  cafe_err err;
  if (!process->node) {
    return;
  }
  if (cafe_node_close(process->node, has_ended, &is_closed, &err)) {
    cafe_crash_wrong(run, "node %u can't be closed: %s", process->index, err.text);
    return;
  }
  if (!wait_for(process, &is_closed, "closed")) {
    return;
  }
  run->is_hit = run->is_hit || process_was_hit(process);
  cafe_node_destroy(process->node);
  process->node = NULL;
  client_check_answered(process);
  tell_end(process, false);
  end_store(process);
  check_heap(process);
}

void process_drain(crash_process *process) {
  cafe_crash *run = process->run;
  bool is_drained = false;
  cafe_err err;
  if (!process->node) {
    return;
  }
  if (cafe_node_drain(process->node, has_ended, &is_drained, &err)) {
    cafe_crash_wrong(run, "node %u can't be drained: %s", process->index, err.text);
    return;
  }
  if (wait_for(process, &is_drained, "drained")) {
    client_check_answered(process);
    process_close(process);
  }
}

/* ---- steps ---- */

static bool bury(cafe_crash *run) {
  bool is_any = false;
  for (uint32_t i = 0; i < run->count; i++) {
    crash_process *process = &run->processes[i];
    cafe_store_counts counts = {.size = sizeof(counts)};
    if (!process->node) {
      continue;
    }
    cafe_faulty_store_count(process->store, &counts);
    if (counts.is_dead) {
      process_kill(process);
      is_any = true;
    }
  }
  return is_any;
}

static bool watch(cafe_crash *run) {
  const cafe_crash_scenario *scenario = run->scenario;
  for (uint32_t i = 0; i < run->count; i++) {
    if (!run->processes[i].inner) {
      return true; /* not all can be read now */
    }
  }
  if (scenario->watch && !scenario->watch(run, scenario->user)) {
    cafe_crash_wrong(run, "watch says that something isn't as it must always be");
  }
  return !run->is_wrong;
}

bool crash_step(cafe_crash *run) {
  if (run->is_wrong) {
    return false;
  }
  bool has_happened = cafe_sim_step(run->world);
  run->steps++;
  has_happened = bury(run) || has_happened;
  if (!run->is_wrong && watch(run) && run->is_driving) {
    crash_strike(run);
  }
  return has_happened && !run->is_wrong;
}

static void rest(cafe_crash *run) {
  for (uint64_t steps = 0; !run->is_wrong; steps++) {
    crash_start_all(run);
    if (!crash_step(run)) {
      break;
    }
    if (steps > STEPS_MAX) {
      cafe_crash_wrong(run, "it doesn't come to rest: something is tried again without end");
    }
  }
}

/* ---- the whole ---- */

static int create_process(cafe_crash *run, uint32_t index, cafe_err *err) {
  crash_process *process = &run->processes[index];
  process->run = run;
  process->index = index;
  process_heap_init(&process->heap, &run->allocator);
  if (run->target == index && (run->kind == CAFE_CRASH_ALLOCATION || run->kind == CAFE_CRASH_ALLOCATIONS)) {
    process->heap.from = run->n;
    process->heap.count = run->kind == CAFE_CRASH_ALLOCATION ? 1 : run->options->in_a_row;
  }
  int code = cafe_sim_join(&process->loop, run->world, err);
  return code || !run->hub ? code : cafe_inproc_join(&process->transport, run->hub, err);
}

static int create_world(cafe_crash *run, cafe_err *err) {
  cafe_sim_options options = CAFE_SIM_OPTIONS_INIT;
  bool is_random = run->kind == CAFE_CRASH_RANDOM;
  options.allocator = &run->allocator;
  options.job_max_us = is_random ? RANDOM_JOB_MAX_US : JOB_MAX_US;
  options.late_max_us = is_random ? RANDOM_LATE_MAX_US : 0;
  uint32_t count = run->scenario->nodes ? run->scenario->nodes : 1;
  run->processes = cafe_arena_alloc(run->arena, count * sizeof(*run->processes));
  if (!run->processes) {
    return cafe_fail(err, CAFE_NOMEM, "no memory for a run");
  }
  int code = cafe_sim_create(&run->world, run->seed, &options, err);
  if (!code && count > 1) {
    code = cafe_inproc_create(&run->hub, run->world, &run->allocator, err);
  }
  for (; !code && run->count < count; run->count++) {
    code = create_process(run, run->count, err);
  }
  return code;
}

static void destroy_world(cafe_crash *run) {
  for (uint32_t i = 0; i < run->count; i++) {
    process_kill(&run->processes[i]);
  }
  client_end(run);
  outside_end(run);
  for (uint32_t i = 0; i < run->count; i++) {
    close_store(&run->processes[i]);
    cafe_transport_destroy(run->processes[i].transport);
  }
  cafe_inproc_destroy(run->hub);
  for (uint32_t i = 0; i < run->count; i++) {
    cafe_loop_destroy(run->processes[i].loop);
  }
  cafe_loop_destroy(run->world);
}

static void heal(cafe_crash *run) {
  run->is_driving = false;
  for (uint32_t i = 0; i < run->count; i++) {
    crash_process *process = &run->processes[i];
    run->is_hit = run->is_hit || process_was_hit(process);
    process->heap.count = 0;
    if (process->store) {
      cafe_faulty_store_set(process->store, NULL);
    }
  }
  if (run->hub) {
    cafe_inproc_set_faults(run->hub, NULL);
  }
  bury(run);
}

int crash_play(cafe_crash *run, cafe_err *err) {
  const cafe_crash_scenario *scenario = run->scenario;
  int code = create_world(run, err);
  if (code) {
    destroy_world(run);
    return code;
  }
  if (scenario->begin) {
    scenario->begin(run, scenario->user);
  }
  crash_strike_begin(run);
  run->is_driving = true;
  crash_start_all(run);
  if (!run->is_wrong) {
    scenario->drive(run, scenario->user);
  }
  rest(run); /* what goes on without clients may be hit as well */
  heal(run);
  rest(run);
  if (!run->is_wrong && client_is_waiting(run)) {
    cafe_crash_wrong(run, "a command that was sent is never answered");
  }
  if (!run->is_wrong && !scenario->check(run, scenario->user)) {
    cafe_crash_wrong(run, "check says that not all is well");
  }
  for (uint32_t i = 0; i < run->count && !run->is_wrong; i++) {
    process_close(&run->processes[i]);
  }
  destroy_world(run);
  return CAFE_OK;
}

/* ---- time ---- */

static void run_out(cafe_timer *timer) { *(bool *)timer->user = true; }

bool cafe_crash_pass(cafe_crash *run, int64_t ms) {
  bool is_over = false;
  cafe_timer timer = {.fire = run_out, .user = &is_over};
  cafe_err err;
  if (run->is_wrong) {
    return false;
  }
  if (run->world->ops->timer_start(run->world, &timer, cafe_sim_now_us(run->world) + ms * 1000, &err)) {
    return cafe_crash_wrong(run, "no memory to let time pass");
  }
  while (!is_over && !run->is_wrong) {
    crash_start_all(run);
    (void)crash_step(run);
  }
  run->world->ops->timer_stop(run->world, &timer);
  return !run->is_wrong;
}
