/* SPDX-License-Identifier: Apache-2.0 */

/* Who follows a view, waits for it, counts it or measures it, while it is made anew, compared, or of another version.
 */
#include "cafe/metrics.h"
#include "test_rebuild_kit.h"

/* ---- a follower: each event once, with a row that holds it ---- */

typedef struct follower {
  bench *b;
  int view;
  cafe_position at;
  uint64_t seen;
  int64_t totals[BENCH_KEYS + 1]; /* of what was seen */
  int code;
  bool is_out;
} follower;

static void page_came(const cafe_err *err, const cafe_page *page, void *user) {
  follower *f = user;
  f->is_out = false;
  f->code = err ? (int)err->code : CAFE_OK;
  if (err)
    return;
  for (uint32_t i = 0; i < page->count; i++) {
    const cafe_event *event = page->events[i];
    assert_int_equal(event->position.n, ++f->seen); /* none is missed, none comes twice */
    f->totals[event->key] += ((const added *)event->data)->amount;
    assert_int_equal(page->rows[i]->key, event->key);
    assert_true(((const box_row *)page->rows[i]->data)->total >= f->totals[event->key]);
  }
  assert_int_equal(page->position_count, 1);
  f->at = page->positions[0];
}

static int follow(follower *f, cafe_err *err) {
  cafe_changes changes = CAFE_CHANGES_INIT;
  changes.view = &f->b->views[f->view];
  changes.positions = f->at.log_id ? &f->at : NULL;
  changes.position_count = f->at.log_id ? 1 : 0;
  changes.from_start = !f->at.log_id;
  changes.limit = 7;
  changes.timeout_ms = 50;
  int code = cafe_node_changes(NULL, f->b->k.node, &changes, page_came, f, err);
  f->is_out = code == CAFE_OK;
  return code;
}

static void follow_to_the_end(follower *f) {
  for (int i = 0; i < 100000 && (f->is_out || f->seen < f->b->sent); i++) {
    if (!f->is_out)
      assert_int_equal(follow(f, NULL), CAFE_OK);
    kit_run(&f->b->k, 1);
  }
  assert_int_equal(f->seen, f->b->sent);
}

/* Commands, two followers and a rebuild or verification of the same view at all times. */
static void who_follows_a_view_misses_nothing_when_it_is_replaced(void **state) {
  (void)state;
  static const int views[] = {BOXES, TOTALS};
  for (int how = 0; how < 2 * BENCH_KINDS; how++) {
    bench *b = bench_open((bench_kind)(how / 2));
    follower early = {.b = b, .view = views[how % 2]}, late = early;
    bench_upkeep u = {.times = 1};
    uint32_t rounds = 0;
    bench_up(b);
    for (uint64_t key = 1; key <= 60; key++)
      bench_add(b, key, 1);
    for (int i = 0; i < 4000; i++) {
      if (i % 9 == 0 && b->sent < b->answered + 30)
        bench_add(b, 1 + (uint64_t)(i * 31) % 80, 1 + i % 5);
      if (!early.is_out && i % 3 == 0)
        assert_int_equal(follow(&early, NULL), CAFE_OK);
      if (!late.is_out && i % 40 == 0)
        assert_int_equal(follow(&late, NULL), CAFE_OK);
      if (u.times && i % 2 == 0)
        assert_int_equal(bench_begin(b, &u, early.view, rounds++ % 3 == 2), CAFE_OK);
      if (!cafe_sim_step(b->k.loop))
        kit_run(&b->k, 1);
      assert_int_equal(early.code, CAFE_OK);
    }
    bench_rest(b);
    follow_to_the_end(&early);
    follow_to_the_end(&late);
    assert_in_range(rounds, 5, 4000);
    bench_wait(b, &u);
    bench_check_whole(b, early.view);
    bench_close(b);
  }
}

/* ---- another version ---- */

static void change(bench *b, int64_t fails_at) {
  b->factor = 3;
  b->fails_at = fails_at;
  for (int i = 0; i < 3; i++)
    b->views[i].version = 2;
}

static void wait_until_built(bench *b) {
  b->fails_at = 0;
  for (int i = 0; i < 200000 && (b->k.node->registry.views[BOXES].is_outdated ||
                                 b->k.node->registry.views[TOTALS].is_outdated || bench_stats(b).rebuilding);
       i++)
    kit_run(&b->k, 1);
  assert_false(b->k.node->registry.views[BOXES].is_outdated || b->k.node->registry.views[TOTALS].is_outdated);
}

typedef struct reached {
  uint32_t times;
  int code;
} reached;

static void is_there(const cafe_err *err, void *user) {
  reached *r = user;
  r->times++;
  r->code = err ? (int)err->code : CAFE_OK;
}

static void counted(const cafe_err *err, const cafe_counts *counts, void *user) {
  uint64_t *sum = user;
  assert_null(err);
  for (uint32_t i = 0; i < counts->count; i++)
    *sum += counts->rows[i];
}

/* An inline one isn't read from in any way until it is built, and nothing that was committed meanwhile is missed. A
 * subscribed one is read from as it stands. */
static void a_view_of_another_version_is_followed_awaited_and_counted_once_it_is_built(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    follower inline_one = {.b = b, .view = BOXES}, other = {.b = b, .view = TOTALS};
    reached boxes = {0, -1}, totals = {0, -1};
    uint64_t rows = 0;
    cafe_err err;
    bench_up(b);
    for (uint64_t key = 1; key <= 50; key++)
      bench_add(b, key, 2);
    bench_add(b, 50, 777);
    bench_rest(b);
    for (int i = 0; i < 20; i++) {
      if (!inline_one.is_out)
        assert_int_equal(follow(&inline_one, NULL), CAFE_OK);
      if (!other.is_out)
        assert_int_equal(follow(&other, NULL), CAFE_OK);
      kit_run(&b->k, 1);
    }
    kit_run(&b->k, 100);
    uint64_t before = other.seen;
    assert_true(before > 7 && !other.is_out && !inline_one.is_out);
    bench_down(b);
    change(b, 777);
    bench_up(b);
    for (uint64_t key = 1; key <= 20; key++)
      bench_add(b, key, 4);
    bench_rest(b);
    cafe_position head = {b->k.node->log_id, 0, b->k.node->heads[0]};
    assert_int_equal(follow(&inline_one, &err), CAFE_UNAVAILABLE);
    assert_true(err.retry_after_ms > 0);
    assert_non_null(strstr(err.text, "boxes"));
    assert_int_equal(cafe_node_count(NULL, b->k.node, &b->views[BOXES], "level", counted, &rows, &err),
                     CAFE_UNAVAILABLE);
    assert_int_equal(cafe_node_await(NULL, b->k.node, &b->views[BOXES], &head, 0, is_there, &boxes, NULL), CAFE_OK);
    assert_int_equal(cafe_node_await(NULL, b->k.node, &b->views[TOTALS], &head, 0, is_there, &totals, NULL), CAFE_OK);
    assert_int_equal(cafe_node_count(NULL, b->k.node, &b->views[TOTALS], "level", counted, &rows, &err), CAFE_OK);
    for (int i = 0; i < 3000; i++) {
      if (!other.is_out)
        assert_int_equal(follow(&other, NULL), CAFE_OK);
      kit_run(&b->k, 1);
    }
    assert_int_equal(rows, 50);
    assert_int_equal(other.seen, 51); /* as it stands: none of the 20 */
    assert_int_equal(boxes.times + totals.times, 0);
    wait_until_built(b);
    kit_run(&b->k, 10);
    assert_true(boxes.times == 1 && boxes.code == CAFE_OK && totals.times == 1 && totals.code == CAFE_OK);
    memset(inline_one.totals, 0, sizeof inline_one.totals); /* the new definition's amounts count for three */
    memset(other.totals, 0, sizeof other.totals);
    follow_to_the_end(&inline_one);
    follow_to_the_end(&other);
    assert_int_equal(cafe_node_count(NULL, b->k.node, &b->views[BOXES], "level", counted, &rows, &err), CAFE_OK);
    kit_run(&b->k, 100);
    assert_int_equal(rows, 100);
    bench_close(b);
  }
}

static void keep_lag(const cafe_sample *sample, void *user) {
  bool is_lag = strcmp(sample->name, "cafe_view_lag_seconds") == 0;
  if (is_lag && strcmp(sample->label_values[0], "totals") == 0)
    *(double *)user = sample->value;
}

static double lag(bench *b) {
  double value = -1;
  cafe_node_metrics(b->k.node, keep_lag, &value);
  return value;
}

/* Behind is behind, also where nothing is read meanwhile: from the start on, until it is built. */
static void a_view_that_stands_still_is_behind(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    bench_up(b);
    bench_add(b, 1, 777);
    bench_rest(b);
    bench_down(b);
    change(b, 777);
    bench_up(b);
    bench_add(b, 2, 5);
    bench_rest(b);
    kit_run(&b->k, 10000);
    double seconds = lag(b);
    assert_true(seconds > 9 && seconds < 12);
    kit_run(&b->k, 20000);
    assert_true(lag(b) > seconds + 19 && lag(b) < seconds + 21);
    wait_until_built(b);
    kit_run(&b->k, 1000);
    assert_false(lag(b) > 0);
    bench_close(b);
  }
}

/* ---- a drain ---- */

static void drained(const cafe_err *err, void *user) {
  assert_null(err);
  *(bool *)user = true;
}

/* At each step of a rebuild, with somebody who waits for the view: he is told, and what was committed is in it. */
static void a_node_is_drained_at_any_step_while_somebody_waits_for_the_view(void **state) {
  (void)state;
  for (int how = 0; how < 4; how++) {
    bool is_over = false;
    for (int step = 0; !is_over; step++) {
      bench *b = bench_open(how / 2 ? ON_LANES : IN_MEMORY);
      int view = how % 2 ? TOTALS : BOXES;
      bench_upkeep u;
      reached r = {0, -1};
      bool is_drained = false;
      bench_up(b);
      for (uint64_t key = 1; key <= 20; key++)
        bench_add(b, key, 2);
      bench_rest(b);
      assert_int_equal(bench_begin(b, &u, view, false), CAFE_OK);
      for (int i = 0; i < step && !u.times; i++)
        cafe_sim_step(b->k.loop);
      is_over = u.times > 0;
      bench_add(b, 3, 4);
      for (int i = 0; i < 3; i++)
        cafe_sim_step(b->k.loop);
      cafe_position next = {b->k.node->log_id, 0, b->k.node->heads[0]};
      assert_int_equal(cafe_node_await(NULL, b->k.node, &b->views[view], &next, 0, is_there, &r, NULL), CAFE_OK);
      assert_int_equal(cafe_node_drain(b->k.node, drained, &is_drained, NULL), CAFE_OK);
      kit_run(&b->k, 5000);
      assert_true(is_drained && r.times == 1 && r.code == CAFE_OK && u.times == 1);
      assert_int_equal(b->answered, b->sent);
      bench_restart(b);
      kit_run(&b->k, 1000);
      bench_check_whole(b, view);
      bench_check_no_shadow(b);
      bench_close(b);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(who_follows_a_view_misses_nothing_when_it_is_replaced),
      cmocka_unit_test(a_view_of_another_version_is_followed_awaited_and_counted_once_it_is_built),
      cmocka_unit_test(a_view_that_stands_still_is_behind),
      cmocka_unit_test(a_node_is_drained_at_any_step_while_somebody_waits_for_the_view),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
