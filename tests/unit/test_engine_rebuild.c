/* SPDX-License-Identifier: Apache-2.0 */

/* A view is made anew from the first event, or compared with what that gives, while the node goes on. */
#include "test_rebuild_kit.h"

/* ---- while everything goes on ---- */

typedef struct reader {
  bench *b;
  int view;
  uint32_t reads, full, empty; /* pages that were whole, and that had no row at all */
  bool is_out;
} reader;

static void page_read(const cafe_err *err, const cafe_page *page, void *user) {
  reader *r = user;
  assert_null(err);
  r->is_out = false;
  r->reads++;
  r->full += page->count == 50;
  r->empty += page->count == 0;
}

static void read_on(reader *r) {
  cafe_list list = CAFE_LIST_INIT;
  list.view = &r->b->views[r->view];
  if (r->is_out)
    return;
  r->is_out = true;
  assert_int_equal(cafe_node_list(NULL, r->b->k.node, &list, page_read, r, NULL), CAFE_OK);
}

/* Commands to old keys and new ones, and a reader, at each step until it is over. */
static void go_on_until_done(bench *b, bench_upkeep *u, reader *r) {
  for (uint32_t i = 0; !u->times; i++) {
    assert_in_range(i, 0, 1000000);
    if (i % 7 == 0 && b->sent < b->answered + 40) {
      bench_add(b, 1 + (i * 31) % 600, 1 + i % 97);
      bench_add(b, 601 + i / 7 % 90, 3);
    }
    if (i % 3 == 0)
      read_on(r);
    if (!cafe_sim_step(b->k.loop))
      kit_run(&b->k, 1);
  }
}

/* C2: view deleted and rebuilt from event 0: equal row by row, while being read. */
static void c2_a_view_that_was_deleted_is_made_anew_while_it_is_read_and_written(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    for (int view = 0; view < 3; view++) {
      bench *b = bench_open((bench_kind)kind);
      bench_upkeep u;
      reader r = {b, view, 0, 0, 0, false};
      bench_up(b);
      bench_fill(b, 600);
      bench_check(b, view);
      bench_empty(b, view);
      assert_int_equal(bench_read(b, view)->count, 0);
      assert_int_equal(bench_begin(b, &u, view, false), CAFE_OK);
      go_on_until_done(b, &u, &r);
      assert_int_equal(u.code, CAFE_OK);
      assert_in_range(u.report.events, 1000, 100000);
      bench_rest(b);
      bench_check_whole(b, view);
      bench_check_no_shadow(b);
      assert_in_range(r.reads, 3, 1000000);
      bench_restart(b);
      bench_check_whole(b, view);
      bench_close(b);
    }
  }
}

/* C2: nobody sees the table half built: who reads finds the old rows or the new ones. */
static void c2_who_reads_meanwhile_finds_full_pages_and_what_was_answered(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    for (int view = 0; view < 3; view++) {
      bench *b = bench_open((bench_kind)kind);
      bench_upkeep u;
      reader r = {b, view, 0, 0, 0, false};
      bench_up(b);
      bench_fill(b, 600);
      assert_int_equal(bench_begin(b, &u, view, false), CAFE_OK);
      go_on_until_done(b, &u, &r);
      assert_int_equal(u.code, CAFE_OK);
      assert_in_range(r.reads, 3, 1000000);
      assert_int_equal(r.full, r.reads);
      bench_rest(b);
      /* Rows in memory know the versions of the new table: nobody conflicts. */
      uint64_t conflicts = bench_stats(b).conflicts;
      for (uint64_t key = 1; key <= 600; key += 13)
        bench_add(b, key, 5);
      bench_rest(b);
      assert_int_equal(b->last_code, CAFE_OK);
      assert_int_equal(bench_stats(b).conflicts, conflicts);
      bench_check_whole(b, view);
      bench_close(b);
    }
  }
}

static void a_table_that_was_dropped_by_hand_is_made_anew(void **state) {
  (void)state;
  bench *b = bench_open(ON_SQLITE);
  bench_up(b);
  bench_fill(b, 60);
  bench_exec("DROP TABLE totals; DROP TABLE notes");
  bench_do(b, TOTALS, false);
  bench_do(b, NOTED, false);
  bench_check_whole(b, TOTALS);
  bench_check_whole(b, NOTED);
  bench_close(b);
}

static void what_was_made_by_hand_beside_the_table_stays(void **state) {
  (void)state;
  bench *b = bench_open(ON_SQLITE);
  bench_up(b);
  bench_fill(b, 60);
  bench_exec("CREATE VIEW full AS SELECT b.box_id FROM boxes b JOIN totals USING(box_id) WHERE b.total > 100");
  int64_t before = bench_ask("SELECT count(*) FROM full");
  for (int round = 0; round < 3; round++) {
    bench_do(b, BOXES, false);
    bench_do(b, TOTALS, false);
    assert_int_equal(bench_ask("SELECT count(*) FROM full"), before);
    /* One index of the column, whatever it is called. */
    assert_int_equal(bench_ask("SELECT count(*) FROM pragma_index_list('boxes') WHERE origin = 'c'"), 1);
  }
  bench_restart(b);
  assert_int_equal(bench_ask("SELECT count(*) FROM pragma_index_list('boxes') WHERE origin = 'c'"), 1);
  bench_check_whole(b, BOXES);
  bench_close(b);
}

/* ---- what is wrong ---- */

/* C2: a row that was changed, one that was deleted, one that was added are found, and repaired. */
static void c2_rows_that_are_wrong_are_found_and_repaired(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    for (int view = 0; view < 3; view++) {
      bench *b = bench_open((bench_kind)kind);
      uint64_t keys[3];
      bench_up(b);
      bench_fill(b, 600);
      bench_check_whole(b, view);
      bench_harm(b, view, keys);
      uint32_t count = bench_read(b, view)->count;
      cafe_rebuild_report report = bench_do(b, view, true);
      assert_int_equal(report.differing, 1);
      assert_int_equal(report.missing, 1);
      assert_int_equal(report.surplus, 1);
      assert_int_equal(report.rows, count + 1);
      assert_int_equal(report.first_key, keys[0]);
      assert_int_equal(report.first_sub > 0, view == NOTED);
      assert_int_equal(bench_read(b, view)->count, count); /* it only looks */
      bench_check_no_shadow(b);
      report = bench_do(b, view, false);
      static bench_rows wanted;
      bench_expect(b, view, &wanted);
      assert_int_equal(report.rows, view == TOTALS ? wanted.count : bench_read(b, view)->count);
      bench_check_whole(b, view);
      bench_empty(b, view);
      report = bench_do(b, view, true);
      assert_int_equal(report.missing, wanted.count);
      assert_int_equal(report.first_key, 1);
      bench_close(b);
    }
  }
}

/* Only what is wrong is, although every row changes while they are compared. */
static void a_view_is_verified_while_it_is_written(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    for (int view = 0; view < 3; view++) {
      bench *b = bench_open((bench_kind)kind);
      bench_upkeep u;
      reader r = {b, view, 0, 0, 0, false};
      bench_up(b);
      bench_fill(b, 600);
      for (int round = 0; round < 2; round++) {
        assert_int_equal(bench_begin(b, &u, view, true), CAFE_OK);
        go_on_until_done(b, &u, &r);
        assert_int_equal(u.code, CAFE_OK);
        assert_int_equal(u.report.differing, 0);
        assert_int_equal(u.report.surplus, 0);
        assert_int_equal(u.report.missing, round);
        assert_int_equal(u.report.first_key, round ? BENCH_KEYS : 0);
        bench_rest(b);
        if (round == 0) {
          /* A key that nobody writes to. */
          bench_add(b, BENCH_KEYS, 1);
          bench_rest(b);
          const bench_rows *rows = bench_read(b, view);
          const bench_row last = rows->rows[rows->count - 1];
          assert_int_equal(last.key, BENCH_KEYS);
          bench_put(b, view, last.key, last.sub, last.version, NULL);
        }
      }
      bench_close(b);
    }
  }
}

/* Rows leave the memory on the way, and are read again: those that are hidden, too. */
static void a_view_of_more_rows_than_are_kept_in_memory_is_made_anew(void **state) {
  (void)state;
  static char text[20000];
  memset(text, 'x', sizeof text);
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    b->note = (cafe_slice){text, sizeof text};
    bench_up(b);
    bench_fill(b, 300);
    for (uint64_t key = 1; key <= 300; key += 3) {
      bench_add(b, key, 7); /* those that are hidden stay so */
      bench_add(b, key, 6000 - b->totals[key] % 3);
    }
    bench_rest(b);
    for (int view = 0; view < 3; view++) {
      bench_empty(b, view);
      cafe_rebuild_report report = bench_do(b, view, false);
      assert_int_equal(report.rows, bench_read(b, view)->count);
      bench_check_whole(b, view);
    }
    bench_close(b);
  }
}

/* ---- one at a time for each view ---- */

static void two_views_are_made_anew_at_once_and_one_is_not_twice(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    bench_upkeep u[3], other;
    bench_up(b);
    bench_fill(b, 600);
    for (int view = 0; view < 3; view++) {
      bench_empty(b, view);
      assert_int_equal(bench_begin(b, &u[view], view, false), CAFE_OK);
      assert_int_equal(bench_begin(b, &other, view, false), CAFE_CONFLICT);
      assert_int_equal(bench_begin(b, &other, view, true), CAFE_CONFLICT);
      assert_non_null(strstr(other.text, b->views[view].name));
    }
    assert_int_equal(bench_stats(b).rebuilding, 3);
    for (int view = 0; view < 3; view++)
      bench_wait(b, &u[view]);
    assert_int_equal(bench_stats(b).rebuilding, 0);
    assert_in_range(bench_stats(b).rebuild_events, 3000, 100000);
    for (int view = 0; view < 3; view++) {
      assert_int_equal(u[view].code, CAFE_OK);
      bench_check_whole(b, view);
    }
    bench_close(b);
  }
}

/* ---- what ends it ---- */

static bool cancel_at(bench *b, int view, bool verifies, uint32_t n) {
  bench_upkeep u;
  assert_int_equal(bench_begin(b, &u, view, verifies), CAFE_OK);
  for (uint32_t i = 0; i < n && !u.times; i++)
    cafe_sim_step(b->k.loop);
  bool is_hit = !u.times;
  if (is_hit)
    cafe_op_cancel(u.op);
  bench_wait(b, &u);
  assert_int_equal(u.code, is_hit ? CAFE_CANCELED : CAFE_OK);
  kit_run(&b->k, 50);
  assert_int_equal(bench_stats(b).rebuilding, 0);
  bench_check_no_shadow(b);
  bench_add(b, 1 + n % 50, 7); /* everything goes on */
  bench_rest(b);
  assert_int_equal(b->last_code, CAFE_OK);
  bench_check(b, view);
  return is_hit;
}

static void it_may_be_canceled_at_any_step(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    bench_up(b);
    bench_fill(b, 60);
    for (int view = 0; view < 3; view++) {
      for (int verifies = 0; verifies < 2; verifies++) {
        uint32_t n = 0;
        while (cancel_at(b, view, verifies, n))
          n++;
        assert_in_range(n, 3, 1000);
        bench_check_whole(b, view);
      }
    }
    bench_close(b);
  }
}

static void drained(const cafe_err *err, void *user) {
  assert_null(err);
  *(bool *)user = true;
}

static bool drain_at(bench *b, int view, uint32_t n) {
  bench_upkeep u, late;
  bool is_drained = false;
  assert_int_equal(bench_begin(b, &u, view, false), CAFE_OK);
  for (uint32_t i = 0; i < n && !u.times; i++)
    cafe_sim_step(b->k.loop);
  bool is_hit = !u.times;
  assert_int_equal(cafe_node_drain(b->k.node, drained, &is_drained, NULL), CAFE_OK);
  assert_int_equal(bench_begin(b, &late, view, false), CAFE_UNAVAILABLE);
  for (int i = 0; i < 10000 && !is_drained; i++)
    kit_run(&b->k, 1);
  assert_true(is_drained);
  assert_int_equal(u.times, 1);
  assert_true(u.code == CAFE_CANCELED || u.code == CAFE_OK);
  bench_restart(b);
  bench_check_no_shadow(b);
  bench_check(b, view);
  return is_hit;
}

static bool close_at(bench *b, int view, bool verifies, uint32_t n) {
  bench_upkeep u;
  assert_int_equal(bench_begin(b, &u, view, verifies), CAFE_OK);
  for (uint32_t i = 0; i < n && !u.times; i++)
    cafe_sim_step(b->k.loop);
  bool is_hit = !u.times;
  bench_restart(b);
  assert_int_equal(u.times, 1);
  assert_int_equal(u.code, is_hit ? CAFE_CANCELED : CAFE_OK);
  bench_check_no_shadow(b);
  bench_check(b, view);
  return is_hit;
}

static void it_ends_with_the_node_at_any_step(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    bench_up(b);
    bench_fill(b, 60);
    for (int view = 0; view < 3; view++) {
      for (uint32_t n = 0; drain_at(b, view, n); n++) {
      }
      for (int verifies = 0; verifies < 2; verifies++)
        for (uint32_t n = 0; close_at(b, view, verifies, n); n++) {
        }
    }
    bench_close(b);
  }
}

static void what_cant_be_asked_is_refused(void **state) {
  (void)state;
  bench *b = bench_open(IN_MEMORY);
  bench_upkeep u;
  cafe_err err;
  assert_int_equal(cafe_node_create(&b->k.node,
                                    &(cafe_node_options){.size = sizeof(cafe_node_options),
                                                         .loop = b->k.loop,
                                                         .store = b->k.store,
                                                         .allocator = &b->k.memory.allocator},
                                    NULL),
                   CAFE_OK);
  assert_int_equal(bench_begin(b, &u, BOXES, false), CAFE_INVALID);
  cafe_node_destroy(b->k.node);
  b->k.options.max_queued = 1;
  bench_up(b);
  assert_int_equal(cafe_node_rebuild(NULL, b->k.node, &totals_view, NULL, NULL, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "totals"));
  assert_int_equal(cafe_node_verify(NULL, b->k.node, NULL, NULL, NULL, &err), CAFE_INVALID);
  assert_int_equal(bench_begin(b, &u, BOXES, false), CAFE_OK);
  assert_int_equal(cafe_node_rebuild(NULL, b->k.node, &b->views[TOTALS], NULL, NULL, &err), CAFE_OVERLOADED);
  bench_wait(b, &u);
  /* Nobody needs to be told. */
  assert_int_equal(cafe_node_rebuild(NULL, b->k.node, &b->views[TOTALS], NULL, NULL, &err), CAFE_OK);
  kit_run(&b->k, 100);
  assert_int_equal(bench_stats(b).rebuilding, 0);
  bench_close(b);
}

static void a_fold_that_fails_leaves_the_table_as_it_is(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    for (int view = 0; view < 3; view++) {
      bench *b = bench_open((bench_kind)kind);
      bench_upkeep u;
      bench_up(b);
      bench_fill(b, 600);
      bench_add(b, 1, 777);
      bench_rest(b);
      b->fails_at = 777;
      for (int verifies = 0; verifies < 2; verifies++) {
        assert_int_equal(bench_begin(b, &u, view, verifies), CAFE_OK);
        bench_wait(b, &u);
        assert_int_equal(u.code, CAFE_UNAVAILABLE);
        assert_non_null(strstr(u.text, b->views[view].name));
        bench_check_no_shadow(b);
        bench_check(b, view);
      }
      b->fails_at = 0;
      bench_check_whole(b, view);
      bench_close(b);
    }
  }
}

/* Whoever is told asks at once for the next. */
typedef struct chain {
  bench *b;
  int left;
} chain;

static void next_in_chain(const cafe_err *err, const cafe_rebuild_report *report, void *user) {
  chain *c = user;
  assert_null(err);
  assert_non_null(report);
  if (c->left-- > 0)
    assert_int_equal(cafe_node_rebuild(NULL, c->b->k.node, &c->b->views[BOXES], next_in_chain, c, NULL), CAFE_OK);
}

static void the_next_one_may_be_asked_for_in_the_completion(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    chain c = {b, 3};
    bench_up(b);
    bench_fill(b, 60);
    assert_int_equal(cafe_node_rebuild(NULL, b->k.node, &b->views[BOXES], next_in_chain, &c, NULL), CAFE_OK);
    for (int i = 0; i < 10000 && c.left >= 0; i++)
      kit_run(&b->k, 1);
    assert_int_equal(c.left, -1);
    bench_check_whole(b, BOXES);
    bench_close(b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(c2_a_view_that_was_deleted_is_made_anew_while_it_is_read_and_written),
      cmocka_unit_test(c2_who_reads_meanwhile_finds_full_pages_and_what_was_answered),
      cmocka_unit_test(a_table_that_was_dropped_by_hand_is_made_anew),
      cmocka_unit_test(what_was_made_by_hand_beside_the_table_stays),
      cmocka_unit_test(c2_rows_that_are_wrong_are_found_and_repaired),
      cmocka_unit_test(a_view_is_verified_while_it_is_written),
      cmocka_unit_test(a_view_of_more_rows_than_are_kept_in_memory_is_made_anew),
      cmocka_unit_test(two_views_are_made_anew_at_once_and_one_is_not_twice),
      cmocka_unit_test(it_may_be_canceled_at_any_step),
      cmocka_unit_test(it_ends_with_the_node_at_any_step),
      cmocka_unit_test(what_cant_be_asked_is_refused),
      cmocka_unit_test(a_fold_that_fails_leaves_the_table_as_it_is),
      cmocka_unit_test(the_next_one_may_be_asked_for_in_the_completion),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
