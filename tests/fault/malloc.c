/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Three orders on one node, on a SQLite file, and allocation n of the process fails: the library's, the loop's,
 * SQLite's, whoever else's. n = 1, 2, … until nothing is hit; what is only the test's own is left alone. The supervisor
 * starts a node anew that can't go on. Then all invariants hold at rest, and each order has ended as it was meant to.
 * For short, not every n.
 */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "refusing_malloc.h"
#include "three_orders.h"

enum { WINDOW = 40, SHORT_RUNS = 150 };

static struct { uint64_t runs, restarts; } tally;

/* Returns the number of allocations. */
static uint64_t play_without_memory(uint64_t n, uint64_t count) {
  cluster_options options = {.seed = 6, .is_sqlite = true, .is_threaded = true, .job_max_us = 300};
  options.arm = refusing_malloc_arm;
  refusing_malloc_begin(n, count);
  script run = {.cluster = cluster_create(&options)};
  play(&run);
  uint64_t calls = refusing_malloc_calls();
  assert_true(!count || refusing_malloc_refused() > 0);
  refusing_malloc_begin(0, 0);
  check_end(&run);
  tally.runs++;
  tally.restarts += run.cluster->nodes[0].starts - 1;
  cluster_destroy(run.cluster);
  return calls;
}

static void refuse_each(uint64_t count) {
  uint64_t all = play_without_memory(0, 0);
  uint64_t step = cluster_setting("CAFE_FULL", 0) ? 1 : all / SHORT_RUNS + 1;
  memset(&tally, 0, sizeof tally);
  for (uint64_t n = 1; n <= all; n += step)
    play_without_memory(n, count);
  print_message("fault: %llu allocations, of which one in %llu failed, %llu at once: %llu runs, %llu restarts\n",
                (unsigned long long)all, (unsigned long long)step, (unsigned long long)count,
                (unsigned long long)tally.runs, (unsigned long long)tally.restarts);
  assert_true(all > 1000);
}

static void any_allocation_of_the_process_may_fail(void **state) {
  (void)state;
  refuse_each(1);
}

static void any_allocations_in_a_row_may_fail(void **state) {
  (void)state;
  refuse_each(WINDOW);
}

/* Before the first use of SQLite: or else small blocks come from a pool, and are never refused. */
static int set_up(void **state) {
  (void)state;
  assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
  assert_int_equal(sqlite3_initialize(), SQLITE_OK);
  /* Third parties are included; the compiler mustn't know better. */
  char *(*volatile copy)(const char *) = strdup;
  refusing_malloc_begin(1, 2);
  refusing_malloc_arm(true);
  void *from_sqlite = sqlite3_malloc(100);
  void *from_libc = copy("a");
  refusing_malloc_arm(false);
  return from_sqlite || from_libc || refusing_malloc_refused() != 2;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_allocation_of_the_process_may_fail),
      cmocka_unit_test(any_allocations_in_a_row_may_fail),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
