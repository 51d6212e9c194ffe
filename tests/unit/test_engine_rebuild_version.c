/* SPDX-License-Identifier: Apache-2.0 */

/* A definition that has changed: its rows are made anew after the start, by the node itself. */
#include "base/sized.h"
#include "test_rebuild_kit.h"

/* The same views by another definition: amounts count for three. */
static void change(bench *b, uint32_t version) {
  b->factor = version == 1 ? 1 : 3;
  for (int i = 0; i < 3; i++)
    b->views[i].version = version;
}

static void wait_until_built(bench *b) {
  for (int i = 0; i < 100000; i++) {
    bool is_built = true;
    for (int view = 0; view < 3; view++)
      is_built = is_built && !b->k.node->registry.views[view].is_outdated;
    if (is_built && !bench_stats(b).rebuilding)
      return;
    kit_run(&b->k, 1);
  }
  fail_msg("%s", "a changed view is never rebuilt");
}

static void page_came(const cafe_err *err, const cafe_page *page, void *user) {
  assert_null(err);
  *(int64_t *)user = page->count ? ((const box_row *)page->rows[0]->data)->total : -1;
}

static int list_first(bench *b, int view, int64_t *total, cafe_err *err) {
  cafe_list list = CAFE_LIST_INIT;
  list.view = &b->views[view];
  *total = 0;
  return cafe_node_list(NULL, b->k.node, &list, page_came, total, err);
}

/* C2: a changed definition: rebuilt while the old rows serve, then they are the new one's. */
static void c2_a_changed_view_is_rebuilt_after_the_start(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    int64_t total;
    cafe_err err;
    bench_up(b);
    bench_fill(b, 600);
    bench_rest(b);
    bench_down(b);
    change(b, 2);
    bench_up(b);
    int64_t old = b->totals[1];
    /* Inline: what was answered is to be in it, and the old rows aren't that. By subscription: as it stands. */
    assert_int_equal(list_first(b, BOXES, &total, &err), CAFE_UNAVAILABLE);
    assert_true(err.retry_after_ms > 0);
    assert_non_null(strstr(err.text, "boxes"));
    assert_int_equal(list_first(b, TOTALS, &total, &err), CAFE_OK);
    bench_upkeep u;
    assert_int_equal(bench_begin(b, &u, TOTALS, true), CAFE_CONFLICT);
    for (int i = 0; i < 1000 && !total; i++)
      cafe_sim_step(b->k.loop);
    assert_true(total == old || total == 3 * old);
    /* Commands go on meanwhile. */
    for (uint64_t key = 1; key <= 40; key++)
      bench_add(b, key, 5);
    wait_until_built(b);
    bench_rest(b);
    assert_int_equal(b->last_code, CAFE_OK);
    for (int view = 0; view < 3; view++)
      bench_check_whole(b, view);
    assert_int_equal(list_first(b, BOXES, &total, &err), CAFE_OK);
    kit_run(&b->k, 10);
    assert_int_equal(total, 3 * b->totals[1]);
    bench_check_no_shadow(b);

    /* It is noted: nothing is folded at the next start, and everything again for the definition of before. */
    bench_restart(b);
    kit_run(&b->k, 3000);
    assert_int_equal(bench_stats(b).rebuild_events, 0);
    bench_down(b);
    change(b, 1);
    bench_up(b);
    wait_until_built(b);
    for (int view = 0; view < 3; view++)
      bench_check_whole(b, view);
    bench_close(b);
  }
}

/* As long as the new ones can't be made. */
static void the_old_rows_of_a_subscribed_view_serve_as_they_stand(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    int64_t total;
    bench_up(b);
    bench_fill(b, 60);
    bench_add(b, 2, 778);
    bench_rest(b);
    bench_down(b);
    change(b, 2);
    b->fails_at = 778;
    int64_t old = b->totals[1];
    bench_up(b);
    bench_add(b, 1, 5);
    for (int i = 0; i < 20; i++) {
      kit_run(&b->k, 500);
      assert_int_equal(list_first(b, TOTALS, &total, NULL), CAFE_OK);
      kit_run(&b->k, 10);
      assert_int_equal(total, old);
    }
    assert_int_equal(b->answered, b->sent);
    b->fails_at = 0;
    wait_until_built(b);
    bench_check_whole(b, TOTALS);
    bench_close(b);
  }
}

static void a_rebuild_that_fails_is_tried_again(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    int64_t total;
    bench_up(b);
    bench_fill(b, 60);
    bench_add(b, 7, 777);
    bench_rest(b);
    bench_down(b);
    change(b, 2);
    b->fails_at = 777;
    bench_up(b);
    kit_run(&b->k, 60000);
    assert_true(kit_was_logged(&b->k, "isn't rebuilt"));
    uint64_t folded = bench_stats(b).rebuild_events;
    assert_in_range(folded, 1, 3 * 60 * 130 * 2); /* less and less often */
    assert_int_equal(list_first(b, NOTED, &total, NULL), CAFE_UNAVAILABLE);
    assert_int_equal(list_first(b, TOTALS, &total, NULL), CAFE_OK);
    bench_check_no_shadow(b);
    b->fails_at = 0;
    /* Whoever doesn't want to wait asks. */
    bench_do(b, BOXES, false);
    kit_run(&b->k, 130000);
    wait_until_built(b);
    for (int view = 0; view < 3; view++)
      bench_check_whole(b, view);
    bench_close(b);
  }
}

static void a_new_store_is_of_the_version_that_it_begins_with(void **state) {
  (void)state;
  for (int kind = 0; kind < BENCH_KINDS; kind++) {
    bench *b = bench_open((bench_kind)kind);
    int64_t total;
    change(b, 7);
    bench_up(b);
    for (int view = 0; view < 3; view++)
      assert_int_equal(list_first(b, view, &total, NULL), CAFE_OK);
    bench_fill(b, 60);
    assert_int_equal(bench_stats(b).rebuild_events, 0);
    bench_restart(b);
    kit_run(&b->k, 1000);
    assert_int_equal(bench_stats(b).rebuild_events, 0);
    for (int view = 0; view < 3; view++)
      bench_check_whole(b, view);
    if (kind == ON_SQLITE)
      assert_int_equal(bench_ask("SELECT sum(version) FROM cafe_views WHERE name IN ('boxes', 'notes', 'totals')"), 21);
    bench_close(b);
  }
}

/* ---- a store that can't ---- */

typedef struct older_store {
  cafe_store base;
  cafe_store_ops ops;
  cafe_store *inner;
} older_store;

static cafe_store *inner_of(cafe_store *self) { return ((older_store *)self)->inner; }
static int older_open(cafe_store *self, cafe_store_info *out, const cafe_store_setup *setup, cafe_err *err) {
  return inner_of(self)->ops->open(inner_of(self), out, setup, err);
}
static int older_commit(cafe_store *self, cafe_batch *batch, cafe_err *err) {
  return inner_of(self)->ops->commit(inner_of(self), batch, err);
}
static int older_load(cafe_store *self, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row, void *user,
                      cafe_err *err) {
  return inner_of(self)->ops->load(inner_of(self), key, on_event, on_row, user, err);
}
static int older_log(cafe_store *self, cafe_log_query *query, cafe_event_sink on_event, void *user, cafe_err *err) {
  return inner_of(self)->ops->read_log(inner_of(self), query, on_event, user, err);
}
static int older_rows(cafe_store *self, const cafe_row_query *query, cafe_row_sink on_row, void *user, cafe_err *err) {
  return inner_of(self)->ops->read_rows(inner_of(self), query, on_row, user, err);
}
static int older_key(cafe_store *self, cafe_key_record *out, cafe_slice scope, cafe_slice key, cafe_slice fingerprint,
                     cafe_arena *arena, cafe_err *err) {
  return inner_of(self)->ops->read_key(inner_of(self), out, scope, key, fingerprint, arena, err);
}
static int older_places(cafe_store *self, const char *name, cafe_checkpoint_sink sink, void *user, cafe_err *err) {
  return inner_of(self)->ops->read_checkpoints(inner_of(self), name, sink, user, err);
}

/* What was built before there were shadows: its methods end with destroy, and what lies behind is none. */
static void make_older(older_store *self, cafe_store *inner) {
  memset(self, 0xa5, sizeof *self);
  memset(&self->base, 0, sizeof self->base);
  self->ops.size = offsetof(cafe_store_ops, make_shadow);
  self->ops.name = "older";
  self->ops.is_inline = true;
  self->ops.open = older_open;
  self->ops.commit = older_commit;
  self->ops.load = older_load;
  self->ops.read_log = older_log;
  self->ops.read_rows = older_rows;
  self->ops.read_key = older_key;
  self->ops.read_checkpoints = older_places;
  self->base.ops = &self->ops;
  self->inner = inner;
}

static void a_store_without_shadows_says_so(void **state) {
  (void)state;
  bench *b = bench_open(IN_MEMORY);
  older_store older;
  bench_upkeep u;
  cafe_err err = {0};
  cafe_store *own = b->k.store;
  make_older(&older, b->k.inner);
  b->k.store = &older.base;
  change(b, 2); /* a new store is what it begins with */
  bench_up(b);
  bench_fill(b, 60);
  for (int verifies = 0; verifies < 2; verifies++) {
    assert_int_equal(bench_begin(b, &u, BOXES, verifies), CAFE_UNSUPPORTED);
    assert_non_null(strstr(u.text, "older"));
    assert_non_null(strstr(u.text, "make_shadow"));
  }
  kit_stop(&b->k);
  change(b, 1);
  assert_int_equal(bench_start(b, &err), CAFE_UNSUPPORTED);
  assert_non_null(strstr(err.text, "older"));
  kit_stop(&b->k);
  b->k.store = own;
  bench_up(b);
  wait_until_built(b);
  bench_check_whole(b, BOXES);
  bench_close(b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(c2_a_changed_view_is_rebuilt_after_the_start),
      cmocka_unit_test(the_old_rows_of_a_subscribed_view_serve_as_they_stand),
      cmocka_unit_test(a_rebuild_that_fails_is_tried_again),
      cmocka_unit_test(a_new_store_is_of_the_version_that_it_begins_with),
      cmocka_unit_test(a_store_without_shadows_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
