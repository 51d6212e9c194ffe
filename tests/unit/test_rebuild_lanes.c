/* SPDX-License-Identifier: Apache-2.0 */

/* The store's threads are real ones: what is rebuilt meets commits and reads on the two lanes. */
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(c2_views_are_rebuilt_and_verified_beside_commits_on_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
