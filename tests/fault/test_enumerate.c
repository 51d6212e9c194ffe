/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Three orders on one node, and each thing that can fail fails once: every allocation, every call of the store, the
 * process before and after every commit; and every operation is canceled, and the node closed or drained, at every
 * step. n = 1, 2, … until nothing is hit. Then all invariants hold at rest, each order has ended as it was meant to,
 * and no block of memory is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "three_orders.h"

enum { WINDOW = 40 };

static cluster_options options_of(bool is_threaded, uint64_t seed) {
  cluster_options options = {.seed = seed, .is_threaded = is_threaded};
  options.job_max_us = is_threaded ? 300 : 0;
  return options;
}

/* ---- the store ---- */

typedef enum store_fault { FAIL_CALL, FAIL_CALLS, DIE_BEFORE, DIE_AFTER } store_fault;

/* Returns whether the fault was hit. */
static bool play_with_fault(store_fault kind, uint64_t n, int code, bool is_threaded) {
  cluster_options options = options_of(is_threaded, n);
  cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
  faults.fail_code = code;
  if (kind == FAIL_CALL || kind == FAIL_CALLS)
    faults.fail_call = n;
  if (kind == FAIL_CALLS)
    faults.fail_calls = WINDOW;
  if (kind == DIE_BEFORE)
    faults.die_before_commit = n;
  if (kind == DIE_AFTER)
    faults.die_after_commit = n;
  options.faults = &faults;
  script run = {.cluster = cluster_create(&options)};
  cafe_store *store = run.cluster->nodes[0].store;
  uint32_t starts = run.cluster->nodes[0].starts;
  play(&run);
  cafe_store_counts counts = {.size = sizeof counts};
  cafe_faulty_store_count(store, &counts);
  /* A node that is started again counts anew; that it was is a hit too. */
  bool is_hit = counts.faults || run.cluster->nodes[0].starts > starts || starts > 1;
  check_end(&run);
  cluster_destroy(run.cluster);
  return is_hit;
}

static uint64_t enumerate(store_fault kind, int code, bool is_threaded) {
  uint64_t n = 1;
  while (play_with_fault(kind, n, code, is_threaded))
    n++;
  return n - 1;
}

static void any_store_call_may_fail(void **state) {
  (void)state;
  uint64_t calls = enumerate(FAIL_CALL, CAFE_UNAVAILABLE, false);
  uint64_t refused = enumerate(FAIL_CALL, CAFE_NOMEM, false);
  uint64_t threaded = enumerate(FAIL_CALL, CAFE_UNAVAILABLE, true);
  uint64_t many = enumerate(FAIL_CALLS, CAFE_UNAVAILABLE, true);
  print_message("fault: %llu store calls, %llu without memory, %llu on lanes, %llu times %d in a row\n",
                (unsigned long long)calls, (unsigned long long)refused, (unsigned long long)threaded,
                (unsigned long long)many, (int)WINDOW);
  assert_true(calls > 20 && threaded > 20);
}

static void the_process_may_die_before_any_commit(void **state) {
  (void)state;
  uint64_t commits = enumerate(DIE_BEFORE, 0, false);
  uint64_t threaded = enumerate(DIE_BEFORE, 0, true);
  print_message("fault: died before %llu commits, %llu on lanes\n", (unsigned long long)commits,
                (unsigned long long)threaded);
  assert_true(commits > 10 && threaded > 10);
}

static void the_process_may_die_after_any_commit(void **state) {
  (void)state;
  uint64_t commits = enumerate(DIE_AFTER, 0, false);
  uint64_t threaded = enumerate(DIE_AFTER, 0, true);
  print_message("fault: died after %llu commits, %llu on lanes\n", (unsigned long long)commits,
                (unsigned long long)threaded);
  assert_true(commits > 10 && threaded > 10);
}

/* ---- the node's memory ---- */

static bool play_without_memory(uint64_t n, uint64_t count, bool is_threaded) {
  process_heap memory;
  process_heap_init(&memory, NULL);
  memory.from = n;
  memory.count = count;
  cluster_options options = options_of(is_threaded, n);
  options.allocator = &memory.allocator;
  script run = {.cluster = cluster_create(&options)};
  play(&run);
  bool is_hit = memory.refused > 0;
  memory.count = 0;
  check_end(&run);
  cluster_destroy(run.cluster);
  return is_hit;
}

static void any_allocation_of_a_node_may_fail(void **state) {
  (void)state;
  uint64_t single = 1, many = 1, threaded = 1;
  while (play_without_memory(single, 1, false))
    single++;
  while (play_without_memory(threaded, 1, true))
    threaded++;
  while (play_without_memory(many, WINDOW, false))
    many++;
  print_message("fault: %llu allocations, %llu on lanes, %llu times %d in a row\n", (unsigned long long)single - 1,
                (unsigned long long)threaded - 1, (unsigned long long)many - 1, (int)WINDOW);
  assert_true(single > 100);
}

/* ---- canceled, closed, drained ---- */

static void cancel_all(script *run) {
  for (cluster_call *call = run->cluster->calls; call; call = call->next)
    if (call->op)
      cafe_op_cancel(call->op);
}

static void close_node(script *run) { cluster_stop(run->cluster, (int)(run->at % 3)); }

static void drained(const cafe_err *err, void *user) {
  assert_null(err);
  *(bool *)user = true;
}

/* In turn each of those that somebody may wait for. */
static void drain_node(script *run) {
  cluster *c = run->cluster;
  int service = (int)(run->at % 3);
  bool is_drained = false;
  assert_int_equal(cafe_node_drain(cluster_node_of(c, service)->node, drained, &is_drained, NULL), CAFE_OK);
  int64_t until_us = cafe_sim_now_us(c->world) + 60 * INT64_C(1000000);
  while (!is_drained)
    if (!cluster_step(c) || cafe_sim_now_us(c->world) > until_us)
      cluster_violation(c, "drain", 0, "the node isn't drained");
  for (const cluster_call *call = c->calls; call; call = call->next)
    if (call->op && cluster_node_of(c, call->service) == cluster_node_of(c, service))
      cluster_violation(c, "drain", call->key, "%s is open, and the node is drained", call->command->name);
  cluster_stop(c, service);
}

static uint64_t play_with_interruption(void (*what)(script *run), bool is_threaded, bool is_split) {
  uint64_t n = 0;
  bool is_hit = true;
  while (is_hit) {
    cluster_options options = options_of(is_threaded, n);
    options.is_split = is_split;
    script run = {.cluster = cluster_create(&options), .at = ++n, .what = what};
    play(&run);
    is_hit = run.step >= n;
    check_end(&run);
    cluster_destroy(run.cluster);
  }
  return n - 1;
}

static void a_caller_may_give_up_at_any_step(void **state) {
  (void)state;
  uint64_t steps = play_with_interruption(cancel_all, false, false);
  uint64_t threaded = play_with_interruption(cancel_all, true, false);
  uint64_t split = play_with_interruption(cancel_all, true, true);
  print_message("fault: given up at %llu steps, %llu on lanes, %llu over five nodes\n", (unsigned long long)steps,
                (unsigned long long)threaded, (unsigned long long)split);
  assert_true(steps > 20);
}

static void a_node_may_be_closed_at_any_step(void **state) {
  (void)state;
  uint64_t steps = play_with_interruption(close_node, false, false);
  uint64_t threaded = play_with_interruption(close_node, true, false);
  uint64_t split = play_with_interruption(close_node, true, true);
  print_message("fault: closed at %llu steps, %llu on lanes, %llu over five nodes\n", (unsigned long long)steps,
                (unsigned long long)threaded, (unsigned long long)split);
  assert_true(steps > 20);
}

static void a_node_may_be_drained_at_any_step(void **state) {
  (void)state;
  uint64_t steps = play_with_interruption(drain_node, false, false);
  uint64_t threaded = play_with_interruption(drain_node, true, false);
  uint64_t split = play_with_interruption(drain_node, true, true);
  print_message("fault: drained at %llu steps, %llu on lanes, %llu over five nodes\n", (unsigned long long)steps,
                (unsigned long long)threaded, (unsigned long long)split);
  assert_true(steps > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_store_call_may_fail),
      cmocka_unit_test(the_process_may_die_before_any_commit),
      cmocka_unit_test(the_process_may_die_after_any_commit),
      cmocka_unit_test(any_allocation_of_a_node_may_fail),
      cmocka_unit_test(a_caller_may_give_up_at_any_step),
      cmocka_unit_test(a_node_may_be_closed_at_any_step),
      cmocka_unit_test(a_node_may_be_drained_at_any_step),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
