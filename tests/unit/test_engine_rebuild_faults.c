/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A view is made anew, or verified, with commands coming in, and each thing that can fail fails once: every call of the
 * store, every allocation, the process before and after every write. n = 1, 2, … until nothing is hit. Then the table
 * is the one of before or the new one, whole; nothing half built is left; every command that was answered is in what is
 * made anew next.
 */
#include "test_rebuild_kit.h"

enum { KEYS = 40 };

typedef struct attempt {
  bench_kind kind;
  int view;
  bool verifies;
} attempt;

static const char *const kinds[] = {"memory", "memory on lanes", "SQLite"};

/* Commands that may fail themselves: then nobody knows of them, and the model isn't asked. */
static void send_some(bench *b, uint64_t first) {
  for (uint64_t i = 0; i < 6; i++)
    bench_add(b, 1 + (first + i * 7) % KEYS, 5);
}

static bench *set_out(const attempt *what) {
  bench *b = bench_open(what->kind);
  bench_up(b);
  bench_fill(b, KEYS);
  bench_empty(b, what->view); /* the old table can be told from the new one */
  return b;
}

/* The rows that are there: none, but for keys that were written to since, or all. */
static void check_one_or_the_other(bench *b, const attempt *what, bool was_done) {
  static bench_rows wanted;
  cafe_rebuild_report found = bench_do(b, what->view, true);
  assert_int_equal(found.differing, 0);
  assert_int_equal(found.surplus, 0);
  if (was_done && !what->verifies)
    assert_int_equal(found.missing, 0);
  if (what->verifies)
    assert_true(found.missing > 0);
  bench_expect(b, what->view, &wanted);
  if (what->view == TOTALS)
    return; /* what comes after the old table's loss begins its rows anew */
  assert_true(found.missing == 0 || found.missing >= wanted.count / 2);
}

/* After the accident, with the node up. */
static void check_end(bench *b, const attempt *what, const bench_upkeep *u) {
  bench_rest(b);
  if (what->view != TOTALS)
    check_one_or_the_other(b, what, u->times && !u->code);
  bench_do(b, what->view, false);
  cafe_rebuild_report found = bench_do(b, what->view, true);
  assert_int_equal(bench_wrong(&found), 0);
  bench_check_no_shadow(b); /* also where it couldn't be dropped at once */
  assert_int_equal(b->last_code, CAFE_OK);
}

/* ---- the store ---- */

typedef enum fault_kind { FAIL_CALL, DIE_BEFORE, DIE_AFTER } fault_kind;

static bool is_dead(bench *b) {
  cafe_store_counts counts = {.size = sizeof counts};
  cafe_faulty_store_count(b->k.store, &counts);
  return counts.is_dead;
}

/* False: the fault never came. */
static bool meet_fault(const attempt *what, fault_kind kind, uint64_t n, int code) {
  bench *b = set_out(what);
  bench_upkeep u;
  cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
  cafe_store_counts counts = {.size = sizeof counts};
  faults.fail_code = code;
  faults.fail_call = kind == FAIL_CALL ? n : 0;
  faults.die_before_commit = kind == DIE_BEFORE ? n : 0;
  faults.die_after_commit = kind == DIE_AFTER ? n : 0;
  cafe_faulty_store_set(b->k.store, &faults);
  assert_int_equal(bench_begin(b, &u, what->view, what->verifies), CAFE_OK);
  send_some(b, n);
  for (int i = 0; i < 3000 && !u.times && !is_dead(b); i++)
    kit_run(&b->k, 1);
  assert_true(u.times || is_dead(b));
  cafe_faulty_store_count(b->k.store, &counts);
  bool is_hit = counts.faults > 0;
  if (is_dead(b)) {
    bench_down(b);
    bench_up(b);
    bench_check_no_shadow(b);
  } else {
    assert_true(!u.code || u.code == code);
    cafe_faulty_store_set(b->k.store, NULL);
    kit_run(&b->k, 2000); /* what waits for a store that failed tries again */
  }
  b->last_code = CAFE_OK; /* a command may have met it */
  check_end(b, what, &u);
  bench_close(b);
  return is_hit;
}

static uint64_t enumerate(fault_kind kind, int code, int stores) {
  uint64_t total = 0;
  for (int store = 0; store < stores; store++) {
    for (int view = 0; view < 3; view++) {
      for (int verifies = 0; verifies < 2; verifies++) {
        attempt what = {(bench_kind)store, view, verifies};
        uint64_t n = 1;
        while (meet_fault(&what, kind, n, code))
          n++;
        if (n <= 3)
          fail_msg("%s: only %llu faults were met", kinds[store], (unsigned long long)n - 1);
        total += n - 1;
      }
    }
  }
  return total;
}

static void any_store_call_of_a_rebuild_may_fail(void **state) {
  (void)state;
  uint64_t calls = enumerate(FAIL_CALL, CAFE_UNAVAILABLE, BENCH_KINDS);
  uint64_t refused = enumerate(FAIL_CALL, CAFE_NOMEM, ON_SQLITE);
  print_message("fault: %llu calls of the store failed, %llu had no memory\n", (unsigned long long)calls,
                (unsigned long long)refused);
}

static void the_process_may_die_before_any_write_of_a_rebuild(void **state) {
  (void)state;
  print_message("fault: %llu deaths before a write\n",
                (unsigned long long)enumerate(DIE_BEFORE, CAFE_UNAVAILABLE, BENCH_KINDS));
}

static void the_process_may_die_after_any_write_of_a_rebuild(void **state) {
  (void)state;
  print_message("fault: %llu deaths after a write\n",
                (unsigned long long)enumerate(DIE_AFTER, CAFE_UNAVAILABLE, BENCH_KINDS));
}

/* ---- memory ---- */

static bool refuse_memory(const attempt *what, size_t n) {
  bench *b = set_out(what);
  bench_upkeep u;
  failing_alloc *memory = &b->k.memory;
  memory->calls = 0;
  memory->refused = 0;
  memory->fail_at = n;
  int code = bench_begin(b, &u, what->view, what->verifies);
  assert_true(code == CAFE_OK || code == CAFE_NOMEM);
  send_some(b, n);
  if (!code)
    for (int i = 0; i < 3000 && !u.times; i++)
      kit_run(&b->k, 1);
  assert_int_equal(u.times, code ? 0 : 1);
  assert_true(!u.code || u.code == CAFE_NOMEM);
  bool is_hit = memory->refused;
  memory->fail_at = 0;
  kit_run(&b->k, 2000);
  b->last_code = CAFE_OK;
  check_end(b, what, &u);
  bench_close(b);
  return is_hit;
}

static void any_allocation_of_a_rebuild_may_fail(void **state) {
  (void)state;
  size_t total = 0;
  for (int store = 0; store < ON_SQLITE; store++) { /* the node's memory, which is the same on a file */
    for (int view = 0; view < 3; view++) {
      for (int verifies = 0; verifies < 2; verifies++) {
        attempt what = {(bench_kind)store, view, verifies};
        size_t n = 1;
        while (refuse_memory(&what, n))
          n++;
        total += n - 1;
      }
    }
  }
  print_message("fault: %zu allocations\n", total);
  assert_true(total > 100);
}

/* ---- a version's change ---- */

/* The node dies, again and again, while it makes the views anew by itself. */
static void a_changed_view_is_rebuilt_whatever_dies(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    bench_up(b);
    bench_fill(b, KEYS);
    uint32_t deaths = 0;
    for (uint32_t version = 2; version < 40; version++) {
      bench_down(b);
      b->factor = version;
      for (int view = 0; view < 3; view++)
        b->views[view].version = version;
      cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
      faults.die_before_commit = version % 2 ? 1 + version / 2 : 0;
      faults.die_after_commit = version % 2 ? 0 : version / 2;
      cafe_faulty_store_set(b->k.store, &faults);
      bench_up(b);
      for (int i = 0; i < 500 && !is_dead(b); i++)
        kit_run(&b->k, 1);
      deaths += is_dead(b);
      if (is_dead(b)) {
        bench_down(b);
        bench_up(b);
      }
      cafe_faulty_store_set(b->k.store, NULL);
      for (int i = 0;
           i < 5000 && (bench_stats(b).rebuilding || b->k.node->registry.views[BOXES].is_outdated ||
                        b->k.node->registry.views[NOTED].is_outdated || b->k.node->registry.views[TOTALS].is_outdated);
           i++)
        kit_run(&b->k, 1);
      for (int view = 0; view < 3; view++)
        bench_check_whole(b, view);
      bench_check_no_shadow(b);
    }
    assert_in_range(deaths, 10, 38);
    bench_close(b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_store_call_of_a_rebuild_may_fail),
      cmocka_unit_test(the_process_may_die_before_any_write_of_a_rebuild),
      cmocka_unit_test(the_process_may_die_after_any_write_of_a_rebuild),
      cmocka_unit_test(any_allocation_of_a_rebuild_may_fail),
      cmocka_unit_test(a_changed_view_is_rebuilt_whatever_dies),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
