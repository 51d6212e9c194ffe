/* SPDX-License-Identifier: Apache-2.0 */

/* The store's threads are real ones: what is rebuilt meets commits and reads on the two lanes. */
#include <pthread.h>
#include <uv.h>

#include "cafe/loop/uv.h"
#include "test_rebuild_kit.h"

static void keep_writing(bench *b, bench_upkeep *u) {
  for (uint32_t i = 0; !u->times; i++) {
    assert_in_range(i, 0, 1000000);
    if (b->sent < b->answered + 60)
      bench_add(b, 1 + (i * 31) % 300, 1 + i % 97);
    bench_run(b, 1);
  }
}

/* C2: view deleted and rebuilt from event 0, on threads. */
static void c2_views_are_rebuilt_and_verified_beside_commits_on_threads(void **state) {
  (void)state;
  for (int kind = ON_LANES; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    cafe_loop_destroy(b->k.loop);
    assert_int_equal(cafe_uv_create(&b->k.loop, NULL, NULL, NULL), CAFE_OK);
    b->is_real = true;
    bench_up(b);
    bench_fill(b, 300);
    for (int view = 0; view < 3; view++) {
      bench_upkeep u;
      if (view != TOTALS)
        bench_empty(b, view);
      assert_int_equal(bench_begin(b, &u, view, false), CAFE_OK);
      keep_writing(b, &u);
      assert_int_equal(u.code, CAFE_OK);
      assert_int_equal(bench_begin(b, &u, view, true), CAFE_OK);
      keep_writing(b, &u);
      assert_int_equal(u.code, CAFE_OK);
      assert_int_equal(bench_wrong(&u.report), 0);
    }
    bench_rest(b);
    for (int view = 0; view < 3; view++)
      bench_check_whole(b, view);
    bench_close(b);
  }
}

/* ---- what is past ---- */

static pthread_t loop_thread;
static uint32_t judged_elsewhere, judged;

static bool is_past(const void *row, int64_t before_ms, void *user) {
  (void)row, (void)before_ms, (void)user;
  judged++;
  judged_elsewhere += !pthread_equal(pthread_self(), loop_thread);
  return true;
}

typedef struct forgotten {
  int times, code;
  uint64_t count;
} forgotten;

static void forgot(const cafe_err *err, uint64_t count, void *user) {
  *(forgotten *)user = (forgotten){1, err ? err->code : CAFE_OK, count};
}

/* aggregate.h: a definition's callbacks run on the loop's thread, those that are asked of stored rows too. */
static void what_is_past_is_asked_on_the_loops_thread(void **state) {
  (void)state;
  for (int kind = ON_LANES; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    forgotten f = {0, 0, 0};
    loop_thread = pthread_self();
    judged = judged_elsewhere = 0;
    b->views[BOXES].is_past = is_past;
    cafe_loop_destroy(b->k.loop);
    assert_int_equal(cafe_uv_create(&b->k.loop, NULL, NULL, NULL), CAFE_OK);
    b->is_real = true;
    bench_up(b);
    bench_fill(b, 300);
    bench_rest(b);
    assert_int_equal(cafe_node_forget_rows(NULL, b->k.node, &b->views[BOXES], 1, forgot, &f, NULL), CAFE_OK);
    for (int i = 0; !f.times; i++) {
      assert_in_range(i, 0, 1000000);
      bench_run(b, 1);
    }
    assert_int_equal(f.code, CAFE_OK);
    assert_true(f.count > 0 && judged >= f.count);
    assert_int_equal(judged_elsewhere, 0);
    bench_close(b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(c2_views_are_rebuilt_and_verified_beside_commits_on_threads),
      cmocka_unit_test(what_is_past_is_asked_on_the_loops_thread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
