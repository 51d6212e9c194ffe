/* SPDX-License-Identifier: Apache-2.0 */

/* Reading: lists with filters and pages, the events of a stream, and waiting for a view. */
#include "test_engine_kit.h"

typedef struct listing {
  uint32_t times;
  int code;
  char text[240];
  uint32_t count;
  uint64_t keys[128];
  int64_t totals[128];
  bool more;
  uint32_t position_count;
  cafe_position position;
} listing;

static void listed(const cafe_err *err, const cafe_page *page, void *user) {
  listing *l = user;
  l->times++;
  l->code = err ? err->code : CAFE_OK;
  if (err)
    memcpy(l->text, err->text, sizeof l->text);
  assert_int_equal(!page, l->code != CAFE_OK);
  if (!page)
    return;
  assert_int_equal(page->size, sizeof *page);
  assert_null(page->events);
  l->count = page->count;
  l->more = page->more;
  l->position_count = page->position_count;
  l->position = page->position_count ? page->positions[0] : l->position;
  for (uint32_t i = 0; i < page->count; i++) {
    assert_int_equal(page->rows[i]->size, sizeof(cafe_row));
    l->keys[i] = page->rows[i]->key;
    l->totals[i] = ((const box_row *)page->rows[i]->data)->total;
  }
}

static int ask_list(kit *k, listing *l, const cafe_list *list) {
  cafe_err err = {0};
  memset(l, 0, sizeof *l);
  int code = cafe_node_list(NULL, k->node, list, listed, l, &err);
  if (code)
    memcpy(l->text, err.text, sizeof l->text);
  assert_int_equal(l->times, 0);
  return code;
}

static listing list_by(kit *k, const cafe_view *view, const char *column, const char *value) {
  listing l;
  cafe_filter filter = {.column = column, .equals = cafe_text(value)};
  cafe_list list = CAFE_LIST_INIT;
  list.view = view;
  list.filters = &filter;
  list.filter_count = column ? 1 : 0;
  list.limit = 100;
  assert_int_equal(ask_list(k, &l, &list), CAFE_OK);
  kit_run(k, 20);
  assert_int_equal(l.times, 1);
  assert_int_equal(l.code, CAFE_OK);
  return l;
}

static void fill_boxes(kit *k) {
  for (uint64_t key = 1; key <= 10; key++)
    kit_add(k, key, (int64_t)key * 20);
  kit_run(k, 50);
}

static void a_list_shows_what_was_answered_at_once(void **state) {
  (void)state;
  for (int is_threaded = 0; is_threaded <= 1; is_threaded++) {
    kit k;
    kit_open(&k, is_threaded);
    assert_int_equal(list_by(&k, &boxes_view, NULL, NULL).count, 0);
    fill_boxes(&k);
    listing all = list_by(&k, &boxes_view, NULL, NULL);
    assert_int_equal(all.count, 10);
    assert_false(all.more);
    for (uint32_t i = 0; i < 10; i++) {
      assert_int_equal(all.keys[i], i + 1);
      assert_int_equal(all.totals[i], (i + 1) * 20);
    }
    kit_close(&k);
  }
}

static void a_page_holds_all_up_to_the_position_that_it_names(void **state) {
  (void)state;
  for (int is_threaded = 0; is_threaded <= 1; is_threaded++) {
    kit k;
    call calls[20];
    listing seen[40];
    cafe_list list = CAFE_LIST_INIT;
    list.limit = 100;
    kit_open(&k, is_threaded);
    for (uint64_t i = 0; i < 20; i++) {
      add one = {1, cafe_text("kit")};
      assert_int_equal(kit_send(&k, &calls[i], &add_type, i + 1, &one), CAFE_OK);
      list.view = &boxes_view;
      assert_int_equal(ask_list(&k, &seen[2 * i], &list), CAFE_OK);
      list.view = &totals_view;
      assert_int_equal(ask_list(&k, &seen[2 * i + 1], &list), CAFE_OK);
      kit_run(&k, 1);
    }
    kit_run(&k, 100);
    for (uint32_t i = 0; i < 40; i++) { /* each event made a row */
      assert_int_equal(seen[i].times, 1);
      assert_int_equal(seen[i].position_count, 1);
      assert_int_equal(seen[i].position.log_id, calls[0].position.log_id);
      assert_true(seen[i].count >= seen[i].position.n);
    }
    assert_int_equal(list_by(&k, &boxes_view, NULL, NULL).position.n, 20);
    assert_int_equal(list_by(&k, &totals_view, NULL, NULL).position.n, 20);
    kit_close(&k);
  }
}

static void lists_are_filtered_by_any_column(void **state) {
  (void)state;
  const cafe_view *const both[] = {&boxes_view, &totals_view};
  kit k;
  kit_open(&k, true);
  fill_boxes(&k);
  for (int i = 0; i < 2; i++) {
    listing one = list_by(&k, both[i], "box_id", "7");
    assert_int_equal(one.count, 1);
    assert_int_equal(one.keys[0], 7);
    assert_int_equal(list_by(&k, both[i], "level", "Some").count, 4);
    assert_int_equal(list_by(&k, both[i], "level", "Much").count, 6);
    assert_int_equal(list_by(&k, both[i], "level", "None").count, 0);
    assert_int_equal(list_by(&k, both[i], "level", "").count, 0);
    assert_int_equal(list_by(&k, both[i], "total", "60").keys[0], 3);
    assert_int_equal(list_by(&k, both[i], "note", "kit").count, 10);
    assert_int_equal(list_by(&k, both[i], "note", "ki").count, 0);
    assert_int_equal(list_by(&k, both[i], "total", "sixty").count, 0);
    assert_int_equal(list_by(&k, both[i], "box_id", "").count, 0);
    assert_int_equal(list_by(&k, both[i], "box_id", "99999999999999999999999").count, 0);
    assert_int_equal(list_by(&k, both[i], "box_id", "-3").count, 0);
  }
  kit_close(&k);
}

static void several_filters_all_hold(void **state) {
  (void)state;
  kit k;
  listing l;
  cafe_filter filters[] = {{.column = "level", .equals = {"Much", 4}},
                           {.column = "total", .equals = {"120", 3}},
                           {.column = "box_id", .equals = {"6", 1}}};
  cafe_list list = CAFE_LIST_INIT;
  kit_open(&k, true);
  fill_boxes(&k);
  list.view = &boxes_view;
  list.filters = filters;
  list.filter_count = 3;
  assert_int_equal(ask_list(&k, &l, &list), CAFE_OK);
  kit_run(&k, 20);
  assert_int_equal(l.count, 1);
  filters[0].equals = cafe_text("Some");
  assert_int_equal(ask_list(&k, &l, &list), CAFE_OK);
  kit_run(&k, 20);
  assert_int_equal(l.count, 0);
  kit_close(&k);
}

static void pages_follow_each_other_without_gap_or_overlap(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  fill_boxes(&k);
  for (uint32_t limit = 1; limit <= 11; limit++) {
    cafe_list list = CAFE_LIST_INIT;
    listing l;
    uint64_t seen = 0;
    list.view = &boxes_view;
    list.limit = limit;
    do {
      list.after_key = seen;
      assert_int_equal(ask_list(&k, &l, &list), CAFE_OK);
      kit_run(&k, 20);
      for (uint32_t i = 0; i < l.count; i++)
        assert_int_equal(l.keys[i], ++seen);
      assert_int_equal(l.more, seen < 10);
    } while (l.more);
    assert_int_equal(seen, 10);
  }
  kit_close(&k);
}

static void rows_that_are_hidden_are_not_listed(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  fill_boxes(&k);
  for (int i = 0; i < 6; i++)
    kit_add(&k, 5, 1000); /* beyond 5000: hidden by the fold, and by the column */
  kit_run(&k, 50);
  assert_int_equal(list_by(&k, &boxes_view, NULL, NULL).count, 9);
  assert_int_equal(list_by(&k, &totals_view, NULL, NULL).count, 9);
  assert_int_equal(list_by(&k, &boxes_view, "box_id", "5").count, 0);
  assert_int_equal(list_by(&k, &totals_view, "box_id", "5").count, 0);
  kit_restart(&k);
  kit_add(&k, 5, 1);
  kit_run(&k, 50);
  assert_int_equal(list_by(&k, &boxes_view, NULL, NULL).count, 9);
  assert_int_equal(list_by(&k, &totals_view, NULL, NULL).count, 9);
  kit_close(&k);
}

static void wrong_lists_are_refused(void **state) {
  (void)state;
  kit k;
  listing l;
  cafe_view unknown = boxes_view;
  cafe_filter filter = {.column = "colour", .equals = {"red", 3}};
  cafe_list list = CAFE_LIST_INIT;
  kit_open(&k, true);
  list.view = &unknown;
  assert_int_equal(ask_list(&k, &l, &list), CAFE_INVALID);
  list.view = NULL;
  assert_int_equal(ask_list(&k, &l, &list), CAFE_INVALID);
  list.view = &boxes_view;
  list.limit = 0;
  assert_int_equal(ask_list(&k, &l, &list), CAFE_INVALID);
  list.limit = 1001;
  assert_int_equal(ask_list(&k, &l, &list), CAFE_INVALID);
  assert_non_null(strstr(l.text, "1001"));
  list.limit = 10;
  list.filters = &filter;
  list.filter_count = 1;
  assert_int_equal(ask_list(&k, &l, &list), CAFE_INVALID);
  assert_non_null(strstr(l.text, "colour"));
  list.size = 0;
  assert_int_equal(ask_list(&k, &l, &list), CAFE_INVALID);
  assert_non_null(strstr(l.text, "CAFE_LIST_INIT"));
  kit_close(&k);
}

static void a_failed_read_is_told_and_a_closing_node_answers_reads(void **state) {
  (void)state;
  for (int is_threaded = 0; is_threaded <= 1; is_threaded++) {
    kit k;
    listing l;
    cafe_list list = CAFE_LIST_INIT;
    kit_open(&k, is_threaded);
    fill_boxes(&k);
    list.view = &boxes_view;
    cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
    faults.fail_call = 1;
    cafe_faulty_store_set(k.store, &faults);
    assert_int_equal(ask_list(&k, &l, &list), CAFE_OK);
    kit_run(&k, 20);
    assert_int_equal(l.code, CAFE_UNAVAILABLE);
    assert_int_equal(ask_list(&k, &l, &list), CAFE_OK);
    kit_stop(&k);
    assert_int_equal(l.times, 1);
    assert_true(l.code == CAFE_CANCELED || l.code == CAFE_OK);
    assert_int_equal(kit_start(&k), CAFE_OK);
    kit_close(&k);
  }
}

/* ---- history ---- */

typedef struct story {
  uint32_t times;
  int code;
  uint32_t count;
  bool more;
  cafe_position position;
  cafe_event events[1000];
  int64_t amounts[1000];
} story;

static void told(const cafe_err *err, const cafe_page *page, void *user) {
  story *s = user;
  s->times++;
  s->code = err ? err->code : CAFE_OK;
  assert_int_equal(!page, s->code != CAFE_OK);
  if (!page)
    return;
  assert_null(page->rows);
  assert_int_equal(page->position_count, 1);
  s->count = page->count;
  s->more = page->more;
  s->position = page->positions[0];
  for (uint32_t i = 0; i < page->count; i++) {
    s->events[i] = *page->events[i];
    s->amounts[i] = page->events[i]->type == &added_type ? ((const added *)page->events[i]->data)->amount : 0;
  }
}

static story history(kit *k, uint64_t key, uint64_t after) {
  static story s;
  memset(&s, 0, sizeof s);
  assert_int_equal(cafe_node_history(NULL, k->node, "box", key, after, told, &s, NULL), CAFE_OK);
  kit_run(k, 20);
  assert_int_equal(s.times, 1);
  assert_int_equal(s.code, CAFE_OK);
  return s;
}

static void the_history_is_the_stream_in_order(void **state) {
  (void)state;
  kit k;
  cafe_err err;
  story s;
  kit_open(&k, true);
  for (int64_t i = 1; i <= 5; i++) {
    kit_add(&k, 3, i);
    kit_add(&k, 4, i * 10);
  }
  s = history(&k, 3, 0);
  assert_int_equal(s.count, 5);
  for (uint32_t i = 0; i < 5; i++) {
    assert_int_equal(s.events[i].version, i + 1);
    assert_int_equal(s.events[i].key, 3);
    assert_int_equal(s.events[i].position.n, i * 2 + 1);
    assert_int_equal(s.amounts[i], i + 1);
    assert_string_equal(s.events[i].aggregate, "box");
  }
  assert_false(s.more);
  assert_int_equal(s.position.log_id, s.events[0].position.log_id);
  assert_int_equal(s.position.n, 10);
  assert_int_equal(history(&k, 3, 3).count, 2);
  assert_int_equal(history(&k, 3, 5).count, 0);
  assert_int_equal(history(&k, 99, 0).count, 0);
  assert_int_equal(cafe_node_history(NULL, k.node, "barrel", 3, 0, told, &s, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "barrel"));
  kit_close(&k);
}

static void a_long_history_comes_in_pages(void **state) {
  (void)state;
  kit k;
  call c;
  kit_open(&k, false);
  burst many = {63};
  for (int i = 0; i < 17; i++) {
    assert_int_equal(kit_send(&k, &c, &burst_type, 1, &many), CAFE_OK);
    kit_run(&k, 10);
  }
  assert_int_equal(c.version, 17 * 64);
  story first = history(&k, 1, 0);
  assert_int_equal(first.count, 1000);
  assert_int_equal(first.events[999].version, 1000);
  assert_true(first.more);
  assert_false(history(&k, 1, 17 * 64 - 1000).more);
  story rest = history(&k, 1, 1000);
  assert_int_equal(rest.count, 17 * 64 - 1000);
  assert_int_equal(rest.events[0].version, 1001);
  kit_close(&k);
}

/* ---- waiting for a view ---- */

typedef struct waiting {
  uint32_t times;
  int code;
} waiting;

static void caught_up(const cafe_err *err, void *user) {
  waiting *w = user;
  w->times++;
  w->code = err ? err->code : CAFE_OK;
}

static void waiting_for_a_view_ends_when_it_holds_the_position(void **state) {
  (void)state;
  for (int is_threaded = 0; is_threaded <= 1; is_threaded++) {
    kit k;
    cafe_err err = {0};
    kit_open(&k, is_threaded);
    for (uint64_t i = 1; i <= 20; i++) {
      waiting w = {0, 0};
      call c;
      add data = {7, {NULL, 0}};
      assert_int_equal(kit_send(&k, &c, &add_type, i, &data), CAFE_OK);
      while (!c.times)
        cafe_sim_step(k.loop);
      assert_int_equal(cafe_node_await(NULL, k.node, &totals_view, &c.position, 1000, caught_up, &w, &err), CAFE_OK);
      while (!w.times)
        cafe_sim_step(k.loop);
      assert_int_equal(w.code, CAFE_OK);
      assert_int_equal(list_by(&k, &totals_view, "total", "7").count, i);
    }
    kit_close(&k);
  }
}

static void waiting_has_a_deadline_and_may_be_given_up(void **state) {
  (void)state;
  kit k;
  waiting late = {0, 0}, gone = {0, 0}, closed = {0, 0};
  cafe_op *op;
  kit_open(&k, true);
  call c = kit_add(&k, 1, 7);
  kit_run(&k, 50);
  cafe_sim_set_job_delay(k.loop, 500000, 500000); /* the view is far behind */
  add data = {7, {NULL, 0}};
  assert_int_equal(kit_send(&k, &c, &add_type, 1, &data), CAFE_OK);
  while (!c.times)
    cafe_sim_step(k.loop);
  assert_int_equal(cafe_node_await(NULL, k.node, &totals_view, &c.position, 100, caught_up, &late, NULL), CAFE_OK);
  assert_int_equal(cafe_node_await(&op, k.node, &totals_view, &c.position, 10000, caught_up, &gone, NULL), CAFE_OK);
  cafe_op_cancel(op);
  kit_run(&k, 110);
  assert_int_equal(late.code, CAFE_TIMEOUT);
  assert_int_equal(gone.code, CAFE_CANCELED);
  assert_int_equal(cafe_node_await(NULL, k.node, &totals_view, &c.position, 10000, caught_up, &closed, NULL), CAFE_OK);
  kit_close(&k);
  assert_int_equal(late.times + gone.times + closed.times, 3);
  assert_int_equal(closed.code, CAFE_CANCELED);
}

static void an_inline_view_holds_a_position_as_soon_as_that_is_committed(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  for (int i = 1; i <= 2; i++) {
    waiting w = {0, 0};
    call c = kit_add(&k, 1, 7);
    assert_int_equal(cafe_node_await(NULL, k.node, &boxes_view, &c.position, 1000, caught_up, &w, NULL), CAFE_OK);
    assert_int_equal(w.times, 0); /* never inside the call */
    cafe_sim_set_job_delay(k.loop, 500000, 500000);
    kit_run(&k, 10); /* nothing has to be read for it */
    assert_int_equal(w.times, 1);
    assert_int_equal(w.code, CAFE_OK);
    cafe_sim_set_job_delay(k.loop, 0, 0);
    kit_restart(&k);
    w = (waiting){0, 0};
    assert_int_equal(cafe_node_await(NULL, k.node, &boxes_view, &c.position, 1000, caught_up, &w, NULL), CAFE_OK);
    kit_run(&k, 10);
    assert_int_equal(w.times, 1);
    assert_int_equal(w.code, CAFE_OK);
  }
  kit_close(&k);
}

static void positions_of_another_log_or_of_the_future_are_refused(void **state) {
  (void)state;
  kit k;
  waiting w = {0, 0};
  cafe_err err;
  kit_open(&k, true);
  call c = kit_add(&k, 1, 7);
  kit_run(&k, 50);
  cafe_position other = c.position, future = c.position;
  other.log_id++;
  future.n += 100;
  assert_int_equal(cafe_node_await(NULL, k.node, &totals_view, &other, 100, caught_up, &w, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "restored"));
  assert_int_equal(cafe_node_await(NULL, k.node, &totals_view, &future, 100, caught_up, &w, &err), CAFE_INVALID);
  assert_int_equal(cafe_node_await(NULL, k.node, &boxes_view, &other, 100, caught_up, &w, &err), CAFE_INVALID);
  assert_int_equal(cafe_node_await(NULL, k.node, &boxes_view, &future, 100, caught_up, &w, &err), CAFE_INVALID);
  other = c.position;
  other.shard = 1000;
  assert_int_equal(cafe_node_await(NULL, k.node, &boxes_view, &other, 100, caught_up, &w, &err), CAFE_INVALID);
  kit_run(&k, 1000);
  assert_int_equal(w.times, 0);
  /* Right after a start the view's place isn't read yet: that is no reason to refuse. */
  kit_restart(&k);
  assert_int_equal(cafe_node_await(NULL, k.node, &totals_view, &c.position, 1000, caught_up, &w, &err), CAFE_OK);
  kit_run(&k, 50);
  assert_int_equal(w.times, 1);
  assert_int_equal(w.code, CAFE_OK);
  kit_close(&k);
}

static void a_view_is_the_fold_after_any_crash(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  int64_t total = 0;
  for (int i = 0; i < 30; i++) {
    call c;
    add data = {1 + i, cafe_text("x")};
    cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
    faults.die_after_commit = 1 + (uint64_t)i % 3;
    cafe_faulty_store_set(k.store, &faults);
    assert_int_equal(kit_send(&k, &c, &add_type, 1, &data), CAFE_OK);
    kit_run(&k, 20);
    kit_crash(&k);
    kit_run(&k, 1000);
    call now = kit_add(&k, 1, 0);
    assert_true(now.state.total == total || now.state.total == total + data.amount);
    if (c.code == CAFE_OK)
      assert_int_equal(now.state.total, total + data.amount);
    total = now.state.total;
    if (!total)
      continue;
    assert_int_equal(list_by(&k, &boxes_view, NULL, NULL).totals[0], total);
    assert_int_equal(list_by(&k, &totals_view, NULL, NULL).totals[0], total);
  }
  assert_true(total > 100);
  kit_close(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_list_shows_what_was_answered_at_once),
      cmocka_unit_test(a_page_holds_all_up_to_the_position_that_it_names),
      cmocka_unit_test(lists_are_filtered_by_any_column),
      cmocka_unit_test(several_filters_all_hold),
      cmocka_unit_test(pages_follow_each_other_without_gap_or_overlap),
      cmocka_unit_test(rows_that_are_hidden_are_not_listed),
      cmocka_unit_test(wrong_lists_are_refused),
      cmocka_unit_test(a_failed_read_is_told_and_a_closing_node_answers_reads),
      cmocka_unit_test(the_history_is_the_stream_in_order),
      cmocka_unit_test(a_long_history_comes_in_pages),
      cmocka_unit_test(waiting_for_a_view_ends_when_it_holds_the_position),
      cmocka_unit_test(waiting_has_a_deadline_and_may_be_given_up),
      cmocka_unit_test(an_inline_view_holds_a_position_as_soon_as_that_is_committed),
      cmocka_unit_test(positions_of_another_log_or_of_the_future_are_refused),
      cmocka_unit_test(a_view_is_the_fold_after_any_crash),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
