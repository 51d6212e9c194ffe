/* SPDX-License-Identifier: Apache-2.0 */

/* What goes wrong in a run, and when: by its number, or drawn. */
#include "base/hash.h"
#include "testing/crash_core.h"

enum { STRIKES_MAX = 5, FIRST_STEPS = 60, NEXT_STEPS = 120, SOON_CALLS = 50, SOON_COMMITS = 3 };

uint64_t cafe_crash_draw(cafe_crash *run, uint64_t below) {
  run->dice += UINT64_C(0x9e3779b97f4a7c15);
  return hash_u64(run->dice) % below;
}

cafe_store_faults crash_store_faults(const cafe_crash *run, uint32_t index) {
  cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
  if (index != run->target) {
    return faults;
  }
  switch (run->kind) {
  case CAFE_CRASH_BEFORE_COMMIT:
    faults.die_before_commit = run->n;
    break;
  case CAFE_CRASH_AFTER_COMMIT:
    faults.die_after_commit = run->n;
    break;
  case CAFE_CRASH_STORE_CALL:
    faults.fail_call = run->n;
    break;
  case CAFE_CRASH_STORE_CALLS:
    faults.fail_call = run->n;
    faults.fail_calls = run->options->in_a_row;
    break;
  default:
    break;
  }
  return faults;
}

void crash_strike_begin(cafe_crash *run) {
  run->dice = hash_u64(run->seed + 1);
  run->is_inline = run->options->is_inline;
  if (run->kind == CAFE_CRASH_RANDOM) {
    run->is_inline = cafe_crash_draw(run, 4) == 0;
    run->strikes_left = 1 + (uint32_t)cafe_crash_draw(run, STRIKES_MAX);
    run->next_strike = 1 + cafe_crash_draw(run, FIRST_STEPS);
  }
}

/* The store of a node that is up. */
static void disturb_store(cafe_crash *run, crash_process *process, cafe_crash_kind kind) {
  cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
  if (!process->node) {
    return;
  }
  switch (kind) {
  case CAFE_CRASH_BEFORE_COMMIT:
    faults.die_before_commit = 1 + cafe_crash_draw(run, SOON_COMMITS);
    break;
  case CAFE_CRASH_AFTER_COMMIT:
    faults.die_after_commit = 1 + cafe_crash_draw(run, SOON_COMMITS);
    break;
  default:
    faults.fail_call = 1 + cafe_crash_draw(run, SOON_COMMITS);
    faults.fail_calls = 1 + cafe_crash_draw(run, run->options->in_a_row);
    break;
  }
  cafe_faulty_store_set(process->store, &faults);
}

static void disturb_network(cafe_crash *run) {
  cafe_inproc_faults faults = {sizeof(faults), 0.2, 0.1, 0, 20000};
  if (run->hub) {
    cafe_inproc_set_faults(run->hub, &faults);
  }
}

static void strike_at_random(cafe_crash *run) {
  crash_process *process = &run->processes[cafe_crash_draw(run, run->count)];
  run->next_strike = run->steps + 1 + cafe_crash_draw(run, NEXT_STEPS);
  run->strikes_left--;
  run->is_hit = true;
  switch (cafe_crash_draw(run, 9)) {
  case 0:
    process_kill(process);
    break;
  case 1:
    process_close(process);
    break;
  case 2:
    process_drain(process);
    break;
  case 3:
    client_give_up(run);
    break;
  case 4:
    disturb_store(run, process, CAFE_CRASH_BEFORE_COMMIT);
    break;
  case 5:
    disturb_store(run, process, CAFE_CRASH_AFTER_COMMIT);
    break;
  case 6:
    disturb_store(run, process, CAFE_CRASH_STORE_CALLS);
    break;
  case 7:
    process->heap.from = process->heap.calls + 1 + cafe_crash_draw(run, SOON_CALLS);
    process->heap.count = 1 + cafe_crash_draw(run, run->options->in_a_row);
    break;
  default:
    disturb_network(run);
    break;
  }
}

static void strike_in_turn(cafe_crash *run) {
  crash_process *process = &run->processes[run->target];
  switch (run->kind) {
  case CAFE_CRASH_GIVEN_UP:
    run->is_hit = true;
    client_give_up(run);
    break;
  case CAFE_CRASH_CLOSED:
    run->is_hit = true;
    process_close(process);
    break;
  case CAFE_CRASH_DRAINED:
    run->is_hit = true;
    process_drain(process);
    break;
  default:
    break;
  }
}

/* One at a time: what steps meanwhile is beyond it. */
void crash_strike(cafe_crash *run) {
  if (run->is_striking) {
    return;
  }
  run->is_striking = true;
  if (run->kind == CAFE_CRASH_RANDOM && run->strikes_left && run->steps >= run->next_strike) {
    strike_at_random(run);
  } else if (run->kind != CAFE_CRASH_RANDOM && run->steps == run->n) {
    strike_in_turn(run);
  }
  run->is_striking = false;
}
