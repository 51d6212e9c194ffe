/* SPDX-License-Identifier: Apache-2.0 */

/* A view's changes, page by page: none missed, none twice, none that isn't shown, whatever goes on or fails. */
#include "cafe/store/sqlite.h"
#include "sharded_store.h"
#include "sqlite_file.h"
#include "test_engine_kit.h"

enum { KEYS = 40 };

typedef enum backend { MEMORY, THREADED, SQLITE, SHARDED, BACKENDS } backend;

/* What a kit's store stands on, if it isn't a memory store itself. */
static cafe_store *beneath;

static void open_kit(kit *k, backend which) {
  kit_init(k, which != MEMORY);
  if (which == SQLITE) {
    sqlite_file_remove("changes.db");
    cafe_store_destroy(k->store);
    cafe_store_destroy(k->inner);
    assert_int_equal(cafe_sqlite_create(&k->inner, "changes.db", NULL, NULL), CAFE_OK);
    assert_int_equal(cafe_faulty_store_create(&k->store, k->inner, NULL, NULL), CAFE_OK);
  }
  if (which == SHARDED) {
    cafe_store_destroy(k->store);
    beneath = k->inner;
    k->inner = sharded_store_create(beneath);
    assert_int_equal(cafe_faulty_store_create(&k->store, k->inner, NULL, NULL), CAFE_OK);
  }
  assert_int_equal(kit_start(k), CAFE_OK);
}

static void close_kit(kit *k) {
  kit_close(k);
  cafe_store_destroy(beneath);
  beneath = NULL;
}

/* ---- one page ---- */

typedef struct got {
  cafe_op *op;
  uint32_t times;
  int code;
  char text[240];
  uint32_t count;
  bool more;
  uint32_t position_count;
  cafe_position positions[SHARDED_SHARDS];
  cafe_event events[1000];
  int64_t totals[1000];
} got;

static void take_page(const cafe_err *err, const cafe_page *page, void *user) {
  got *g = user;
  g->times++;
  g->op = NULL;
  g->code = err ? err->code : CAFE_OK;
  assert_int_equal(!page, g->code != CAFE_OK);
  if (err)
    memcpy(g->text, err->text, sizeof g->text);
  if (!page)
    return;
  assert_in_range(page->position_count, 1, SHARDED_SHARDS);
  g->count = page->count;
  g->more = page->more;
  g->position_count = page->position_count;
  memcpy(g->positions, page->positions, page->position_count * sizeof g->positions[0]);
  for (uint32_t i = 0; i < page->count; i++) {
    assert_int_equal(page->rows[i]->key, page->events[i]->key);
    g->events[i] = *page->events[i];
    g->totals[i] = ((const box_row *)page->rows[i]->data)->total;
  }
}

static int ask_page(kit *k, got *g, const cafe_changes *changes) {
  cafe_err err = {0};
  memset(g, 0, sizeof *g);
  int code = cafe_node_changes(&g->op, k->node, changes, take_page, g, &err);
  memcpy(g->text, err.text, sizeof g->text);
  assert_int_equal(g->times, 0); /* never inside */
  return code;
}

/* After these positions, or from the start. */
static const got *page_after(kit *k, const cafe_view *view, const got *before, uint32_t limit) {
  static got g[2];
  static int next;
  got *now = &g[next = !next];
  cafe_changes changes = CAFE_CHANGES_INIT;
  changes.view = view;
  changes.limit = limit;
  changes.timeout_ms = -1;
  changes.from_start = !before;
  changes.positions = before ? before->positions : NULL;
  changes.position_count = before ? before->position_count : 0;
  assert_int_equal(ask_page(k, now, &changes), CAFE_OK);
  kit_run(k, 20);
  assert_int_equal(now->times, 1);
  assert_int_equal(now->code, CAFE_OK);
  return now;
}

static void each_event_comes_with_its_row(void **state) {
  (void)state;
  for (backend which = MEMORY; which < BACKENDS; which++) {
    kit k;
    open_kit(&k, which);
    const cafe_view *const both[] = {&totals_view, &boxes_view};
    for (int i = 0; i < 2; i++)
      assert_int_equal(page_after(&k, both[i], NULL, 10)->count, 0);
    kit_add(&k, 7, 10);
    call burst_of = {0};
    burst two = {2}; /* an event that the view has nothing to do with, and two of Added */
    assert_int_equal(kit_send(&k, &burst_of, &burst_type, 7, &two), CAFE_OK);
    kit_run(&k, 50);
    for (int i = 0; i < 2; i++) {
      const got *g = page_after(&k, both[i], NULL, 10);
      assert_int_equal(g->count, 3);
      assert_false(g->more);
      for (uint32_t at = 0; at < 3; at++) {
        assert_ptr_equal(g->events[at].type, &added_type);
        assert_string_equal(g->events[at].aggregate, "box");
        assert_int_equal(g->events[at].key, 7);
        assert_int_equal(g->events[at].version, at == 0 ? 1 : at + 2);
        assert_int_equal(g->events[at].position.n, at == 0 ? 1 : at + 2);
        assert_int_equal(g->totals[at], 12);
      }
      g = page_after(&k, both[i], g, 10);
      assert_int_equal(g->count, 0);
    }
    close_kit(&k);
  }
}

/* ---- followers ---- */

typedef struct follower {
  kit *k;
  const cafe_view *view;
  uint32_t limit;
  int64_t timeout_ms;
  cafe_op *op;
  bool has_positions, has_ended;
  cafe_position positions[SHARDED_SHARDS];
  uint32_t position_count;
  uint64_t versions[KEYS + 1]; /* the last one seen */
  uint64_t events, pages, empty, failures;
} follower;

static void next_page(follower *f);

static void follow(const cafe_err *err, const cafe_page *page, void *user) {
  follower *f = user;
  f->op = NULL;
  if (err && (err->code == CAFE_CANCELED || f->has_ended)) {
    f->has_ended = true;
    return;
  }
  f->failures += err != NULL;
  f->pages += page && page->count;
  f->empty += page && !page->count;
  for (uint32_t i = 0; page && i < page->count; i++) {
    const cafe_event *event = page->events[i];
    const box_row *row = page->rows[i]->data;
    assert_int_equal(event->version, ++f->versions[event->key]);
    assert_true(row->total >= (int64_t)event->version); /* each adds one: the row isn't older */
    f->events++;
  }
  if (page) {
    assert_true(page->count <= f->limit);
    f->has_positions = true;
    f->position_count = page->position_count;
    memcpy(f->positions, page->positions, page->position_count * sizeof f->positions[0]);
  }
  next_page(f);
}

static void next_page(follower *f) {
  cafe_changes changes = CAFE_CHANGES_INIT;
  changes.view = f->view;
  changes.limit = f->limit;
  changes.timeout_ms = f->timeout_ms;
  changes.from_start = !f->has_positions;
  changes.positions = f->has_positions ? f->positions : NULL;
  changes.position_count = f->position_count;
  cafe_err err = {0};
  int code = cafe_node_changes(&f->op, f->k->node, &changes, follow, f, &err);
  if (code == CAFE_NOMEM)
    f->op = NULL; /* whoever has no memory asks again later */
  else
    assert_int_equal(code, CAFE_OK);
}

static void ended(call *calls, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    assert_int_equal(calls[i].times, 1);
    assert_int_equal(calls[i].code, CAFE_OK);
  }
}

static void ten_thousand_changes_come_once_each_while_traffic_goes_on(void **state) {
  (void)state;
  enum { CHANGES = 10000, ROUND = 200, FOLLOWERS = 4 };
  static call calls[ROUND];
  for (backend which = MEMORY; which < BACKENDS; which++) {
    kit k;
    follower followers[FOLLOWERS];
    open_kit(&k, which);
    for (uint32_t i = 0; i < FOLLOWERS; i++) {
      static const uint32_t limits[FOLLOWERS] = {1000, 7, 100, 1};
      followers[i] = (follower){.k = &k, .view = i % 2 ? &boxes_view : &totals_view, .limit = limits[i]};
      next_page(&followers[i]);
    }
    uint32_t changes = which == SHARDED ? CHANGES / 10 : CHANGES; /* it reads its whole log each time */
    for (uint32_t done = 0; done < changes; done += ROUND) {
      for (uint32_t i = 0; i < ROUND; i++) {
        add one = {1, {NULL, 0}};
        assert_int_equal(kit_send(&k, &calls[i], &add_type, 1 + (done + i * 7) % KEYS, &one), CAFE_OK);
      }
      for (uint32_t i = 0; i < ROUND; i++)
        while (!calls[i].times)
          cafe_sim_step(k.loop);
      ended(calls, ROUND);
    }
    int64_t until_us = cafe_sim_now_us(k.loop) + 60000000;
    for (uint32_t i = 0; i < FOLLOWERS; i++) {
      while (followers[i].events < changes && cafe_sim_now_us(k.loop) < until_us)
        cafe_sim_step(k.loop);
      assert_int_equal(followers[i].events, changes);
      assert_int_equal(followers[i].failures, 0);
    }
    kit_run(&k, 1000);
    for (uint32_t i = 0; i < FOLLOWERS; i++)
      assert_int_equal(followers[i].events, changes);
    close_kit(&k);
    for (uint32_t i = 0; i < FOLLOWERS; i++)
      assert_true(followers[i].has_ended);
  }
}

/* ---- waiting ---- */

static uint64_t store_calls(kit *k) {
  cafe_store_counts counts = {.size = sizeof counts};
  cafe_faulty_store_count(k->store, &counts);
  return counts.calls;
}

static void it_waits_for_the_view_and_asks_nobody_meanwhile(void **state) {
  (void)state;
  for (backend which = MEMORY; which < BACKENDS; which++) {
    kit k;
    got g;
    cafe_changes changes = CAFE_CHANGES_INIT;
    open_kit(&k, which);
    kit_add(&k, 1, 5);
    kit_run(&k, 50);
    changes.view = &totals_view;
    assert_int_equal(ask_page(&k, &g, &changes), CAFE_OK); /* from now on */
    kit_run(&k, 50);
    uint64_t before = store_calls(&k);
    kit_run(&k, 3600000);
    assert_int_equal(store_calls(&k), before);
    assert_int_equal(g.times, 0);
    kit_add(&k, 2, 6);
    kit_run(&k, 50);
    assert_int_equal(g.times, 1);
    assert_int_equal(g.count, 1);
    assert_int_equal(g.events[0].key, 2);
    assert_int_equal(g.totals[0], 6);
    close_kit(&k);
  }
}

static void five_hundred_who_wait_at_one_place_share_one_read(void **state) {
  (void)state;
  kit k;
  static got all[500];
  cafe_changes changes = CAFE_CHANGES_INIT;
  open_kit(&k, THREADED);
  changes.view = &totals_view;
  kit_add(&k, 1, 5);
  kit_run(&k, 50);
  uint64_t alone = store_calls(&k);
  kit_add(&k, 1, 5);
  kit_run(&k, 50);
  alone = store_calls(&k) - alone;
  for (uint32_t i = 0; i < 500; i++)
    assert_int_equal(ask_page(&k, &all[i], &changes), CAFE_OK);
  kit_run(&k, 50);
  uint64_t before = store_calls(&k);
  kit_add(&k, 1, 5);
  kit_run(&k, 50);
  assert_int_equal(store_calls(&k) - before, alone + 1);
  for (uint32_t i = 0; i < 500; i++) {
    assert_int_equal(all[i].times, 1);
    assert_int_equal(all[i].count, 1);
    assert_int_equal(all[i].totals[0], 15);
  }
  close_kit(&k);
}

static void when_its_time_is_over_the_page_is_empty_and_says_where_to_go_on(void **state) {
  (void)state;
  kit k;
  got g;
  cafe_changes changes = CAFE_CHANGES_INIT;
  open_kit(&k, THREADED);
  changes.view = &totals_view;
  changes.timeout_ms = 1000;
  kit_add(&k, 1, 5);
  assert_int_equal(ask_page(&k, &g, &changes), CAFE_OK);
  kit_run(&k, 990);
  assert_int_equal(g.times, 0);
  call spreading;
  spread none = {1, 2, 0}; /* nothing that the view would hold: seen, and passed */
  assert_int_equal(kit_send(&k, &spreading, &spread_type, 1, &none), CAFE_OK);
  kit_run(&k, 20);
  assert_int_equal(g.times, 1);
  assert_int_equal(g.count, 0);
  assert_int_equal(g.positions[0].n, 2);
  kit_add(&k, 1, 5);
  kit_run(&k, 50);
  const got *next = page_after(&k, &totals_view, &g, 10);
  assert_int_equal(next->count, 1);
  assert_int_equal(next->events[0].position.n, 3);
  close_kit(&k);
}

static void a_page_of_a_thousand_is_the_largest_and_more_tells_of_the_next(void **state) {
  (void)state;
  kit k;
  open_kit(&k, SQLITE);
  burst many = {60};
  for (int i = 0; i < 20; i++) {
    call c;
    assert_int_equal(kit_send(&k, &c, &burst_type, 1 + (uint64_t)i, &many), CAFE_OK);
    kit_run(&k, 10);
  }
  kit_run(&k, 50);
  const got *g = page_after(&k, &totals_view, NULL, 1000);
  assert_int_equal(g->count, 1000);
  assert_true(g->more);
  g = page_after(&k, &totals_view, g, 1000);
  assert_int_equal(g->count, 200);
  assert_false(g->more);
  close_kit(&k);
}

/* ---- what isn't shown ---- */

static void changes_of_rows_that_are_not_shown_are_never_seen(void **state) {
  (void)state;
  for (backend which = MEMORY; which < BACKENDS; which++) {
    kit k;
    got waiting;
    cafe_changes changes = CAFE_CHANGES_INIT;
    open_kit(&k, which);
    changes.view = &totals_view;
    for (int i = 0; i < 6; i++)
      kit_add(&k, 5, 1000);
    kit_run(&k, 50);
    assert_int_equal(ask_page(&k, &waiting, &changes), CAFE_OK);
    kit_add(&k, 5, 1); /* hidden by the fold, and by the column */
    kit_run(&k, 50);
    assert_int_equal(waiting.times, 0);
    kit_add(&k, 6, 1);
    kit_run(&k, 50);
    assert_int_equal(waiting.times, 1);
    assert_int_equal(waiting.count, 1);
    assert_int_equal(waiting.events[0].key, 6);
    const cafe_view *const both[] = {&totals_view, &boxes_view};
    for (int i = 0; i < 2; i++) {
      const got *g = page_after(&k, both[i], NULL, 100);
      assert_int_equal(g->count, 1);
      assert_int_equal(g->events[0].key, 6);
    }
    close_kit(&k);
  }
}

/* ---- giving up, and the node's end ---- */

static void a_caller_may_give_up_and_a_node_may_end(void **state) {
  (void)state;
  for (backend which = MEMORY; which < BACKENDS; which++) {
    for (int64_t after_us = 0; after_us < 3000; after_us += 100) {
      kit k;
      got canceled, drained, late;
      call c;
      cafe_changes changes = CAFE_CHANGES_INIT;
      open_kit(&k, which);
      changes.view = &totals_view;
      kit_run(&k, 10);
      assert_int_equal(ask_page(&k, &canceled, &changes), CAFE_OK);
      assert_int_equal(ask_page(&k, &drained, &changes), CAFE_OK);
      add one = {1, {NULL, 0}};
      assert_int_equal(kit_send(&k, &c, &add_type, 1, &one), CAFE_OK);
      cafe_sim_run(k.loop, cafe_sim_now_us(k.loop) + after_us);
      if (canceled.op)
        cafe_op_cancel(canceled.op);
      assert_int_equal(cafe_node_drain(k.node, NULL, NULL, NULL), CAFE_OK);
      assert_int_equal(ask_page(&k, &late, &changes), CAFE_UNAVAILABLE);
      kit_run(&k, 1000);
      assert_int_equal(canceled.times, 1);
      assert_true(canceled.code == CAFE_CANCELED || canceled.count == 1);
      assert_int_equal(drained.times, 1);
      assert_true(drained.code == CAFE_UNAVAILABLE || drained.count == 1);
      close_kit(&k);
    }
  }
}

static void a_node_may_be_closed_while_it_reads(void **state) {
  (void)state;
  for (backend which = MEMORY; which < BACKENDS; which++) {
    for (int64_t after_us = 0; after_us < 3000; after_us += 100) {
      kit k;
      got g;
      call c;
      cafe_changes changes = CAFE_CHANGES_INIT;
      open_kit(&k, which);
      changes.view = &totals_view;
      kit_run(&k, 10);
      assert_int_equal(ask_page(&k, &g, &changes), CAFE_OK);
      add one = {1, {NULL, 0}};
      assert_int_equal(kit_send(&k, &c, &add_type, 1, &one), CAFE_OK);
      cafe_sim_run(k.loop, cafe_sim_now_us(k.loop) + after_us);
      close_kit(&k);
      assert_int_equal(g.times, 1);
      assert_true(g.code == CAFE_CANCELED || g.count == 1);
    }
  }
}

/* ---- refusals ---- */

static void wrong_questions_are_refused(void **state) {
  (void)state;
  kit k;
  got g;
  cafe_view unknown = totals_view;
  cafe_changes changes = CAFE_CHANGES_INIT;
  open_kit(&k, THREADED);
  kit_add(&k, 1, 1);
  kit_run(&k, 50);
  cafe_position here[2];
  here[0] = here[1] = page_after(&k, &totals_view, NULL, 10)->positions[0];
  assert_int_equal(ask_page(&k, &g, &changes), CAFE_INVALID);
  changes.view = &unknown;
  assert_int_equal(ask_page(&k, &g, &changes), CAFE_INVALID);
  changes.view = &totals_view;
  for (uint32_t limit = 0; limit <= 1001; limit += 1001) {
    changes.limit = limit;
    assert_int_equal(ask_page(&k, &g, &changes), CAFE_INVALID);
  }
  assert_non_null(strstr(g.text, "1001"));
  changes.limit = 1;
  changes.positions = here;
  for (uint32_t count = 0; count <= 2; count += 2) {
    changes.position_count = count;
    assert_int_equal(ask_page(&k, &g, &changes), CAFE_INVALID);
  }
  changes.position_count = 1;
  here[0].n += 2;
  assert_int_equal(ask_page(&k, &g, &changes), CAFE_INVALID);
  assert_non_null(strstr(g.text, "restored"));
  here[0].n -= 2;
  here[0].log_id++;
  assert_int_equal(ask_page(&k, &g, &changes), CAFE_INVALID);
  here[0].log_id--;
  here[0].shard = 1;
  assert_int_equal(ask_page(&k, &g, &changes), CAFE_INVALID);
  here[0].shard = 0;
  changes.from_start = true;
  assert_int_equal(ask_page(&k, &g, &changes), CAFE_INVALID);
  changes.from_start = false;
  changes.size = 0;
  assert_int_equal(ask_page(&k, &g, &changes), CAFE_INVALID);
  assert_non_null(strstr(g.text, "CAFE_CHANGES_INIT"));
  changes.size = sizeof changes;
  assert_int_equal(ask_page(&k, &g, &changes), CAFE_OK);
  kit_stop(&k);
  k.options.max_queued = 1;
  assert_int_equal(kit_start(&k), CAFE_OK);
  assert_int_equal(ask_page(&k, &g, &changes), CAFE_OK);
  got crowded;
  assert_int_equal(ask_page(&k, &crowded, &changes), CAFE_OVERLOADED);
  close_kit(&k);
  open_kit(&k, SHARDED);
  cafe_position twice[] = {{0, 1, 0}, {0, 2, 0}, {0, 1, 0}};
  for (int i = 0; i < SHARDED_SHARDS; i++)
    twice[i].log_id = page_after(&k, &totals_view, NULL, 10)->positions[0].log_id;
  changes.positions = twice;
  changes.position_count = SHARDED_SHARDS;
  assert_int_equal(ask_page(&k, &g, &changes), CAFE_INVALID);
  assert_non_null(strstr(g.text, "two positions"));
  twice[2].shard = 0; /* in any order */
  assert_int_equal(ask_page(&k, &g, &changes), CAFE_OK);
  close_kit(&k);
}

/* ---- failures ---- */

/* Adds twelve times over three keys, followed by two; asks again for those that couldn't ask. */
static void play(kit *k, follower followers[2]) {
  static const uint64_t keys[] = {1, 2, 3};
  uint64_t sent = 0;
  for (int i = 0; i < 2; i++)
    followers[i] = (follower){.k = k, .view = i ? &boxes_view : &totals_view, .limit = i ? 100 : 2};
  int64_t until_us = cafe_sim_now_us(k->loop) + 600000000;
  while (sent < 12 || followers[0].events < 12 || followers[1].events < 12) {
    call c;
    add one = {1, {NULL, 0}};
    for (int i = 0; i < 2; i++)
      if (!followers[i].op)
        next_page(&followers[i]);
    if (sent < 12 && kit_send(k, &c, &add_type, keys[sent % 3], &one) == CAFE_OK) {
      while (!c.times)
        cafe_sim_step(k->loop);
      sent += c.code == CAFE_OK;
    }
    kit_run(k, 10);
    assert_true(cafe_sim_now_us(k->loop) < until_us);
  }
  for (int i = 0; i < 2; i++)
    followers[i].has_ended = true;
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  for (backend which = MEMORY; which < BACKENDS; which++) {
    size_t refused = 0;
    for (size_t n = 1;; n++) {
      kit k;
      follower followers[2];
      open_kit(&k, which);
      k.memory.calls = 0;
      k.memory.fail_at = n;
      play(&k, followers);
      bool was_refused = k.memory.refused;
      k.memory.fail_at = 0;
      close_kit(&k);
      if (!was_refused)
        break;
      refused++;
    }
    assert_true(refused > 50);
  }
}

static void every_call_of_the_store_may_fail(void **state) {
  (void)state;
  for (backend which = MEMORY; which < BACKENDS; which++) {
    uint64_t failures = 0;
    for (uint64_t n = 1;; n++) {
      kit k;
      follower followers[2];
      open_kit(&k, which);
      cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
      cafe_store_counts counts = {.size = sizeof counts};
      faults.fail_call = n;
      cafe_faulty_store_set(k.store, &faults);
      play(&k, followers);
      cafe_faulty_store_count(k.store, &counts);
      failures += followers[0].failures + followers[1].failures;
      close_kit(&k);
      if (!counts.faults)
        break;
    }
    assert_true(failures >= 10);
  }
}

static void crash(kit *k, backend which) {
  cafe_faulty_store_kill(k->store);
  kit_stop(k);
  if (which == SQLITE) {
    cafe_store_destroy(k->store);
    cafe_store_destroy(k->inner);
    assert_int_equal(cafe_sqlite_create(&k->inner, "changes.db", NULL, NULL), CAFE_OK);
    assert_int_equal(cafe_faulty_store_create(&k->store, k->inner, NULL, NULL), CAFE_OK);
  } else {
    cafe_faulty_store_revive(k->store);
    cafe_faulty_store_set(k->store, NULL);
  }
  assert_int_equal(kit_start(k), CAFE_OK);
}

static void a_follower_goes_on_behind_his_last_page_after_any_crash(void **state) {
  (void)state;
  for (backend which = MEMORY; which < BACKENDS; which++) {
    kit k;
    open_kit(&k, which);
    follower followers[] = {{.k = &k, .view = &totals_view, .limit = 3}, {.k = &k, .view = &boxes_view, .limit = 100}};
    uint64_t seed = 11;
    for (int round = 0; round < 60; round++) {
      call calls[8];
      cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
      for (int i = 0; i < 2; i++) {
        followers[i].has_ended = false;
        next_page(&followers[i]);
      }
      seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
      faults.die_after_commit = 1 + (seed >> 33) % 6;
      cafe_faulty_store_set(k.store, &faults);
      for (uint64_t i = 0; i < 8; i++) {
        add one = {1, {NULL, 0}};
        assert_int_equal(kit_send(&k, &calls[i], &add_type, 1 + i % 3, &one), CAFE_OK);
      }
      cafe_sim_run(k.loop, cafe_sim_now_us(k.loop) + (int64_t)((seed >> 40) % 5000));
      crash(&k, which);
      assert_true(followers[0].has_ended && followers[1].has_ended);
    }
    for (int i = 0; i < 2; i++) {
      followers[i].has_ended = false;
      next_page(&followers[i]);
    }
    kit_run(&k, 5000);
    for (uint64_t key = 1; key <= 3; key++) {
      call now = kit_add(&k, key, 1);
      kit_run(&k, 5000);
      for (int i = 0; i < 2; i++)
        assert_int_equal(followers[i].versions[key], now.version);
    }
    close_kit(&k);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_event_comes_with_its_row),
      cmocka_unit_test(ten_thousand_changes_come_once_each_while_traffic_goes_on),
      cmocka_unit_test(it_waits_for_the_view_and_asks_nobody_meanwhile),
      cmocka_unit_test(five_hundred_who_wait_at_one_place_share_one_read),
      cmocka_unit_test(when_its_time_is_over_the_page_is_empty_and_says_where_to_go_on),
      cmocka_unit_test(a_page_of_a_thousand_is_the_largest_and_more_tells_of_the_next),
      cmocka_unit_test(changes_of_rows_that_are_not_shown_are_never_seen),
      cmocka_unit_test(a_caller_may_give_up_and_a_node_may_end),
      cmocka_unit_test(a_node_may_be_closed_while_it_reads),
      cmocka_unit_test(wrong_questions_are_refused),
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(every_call_of_the_store_may_fail),
      cmocka_unit_test(a_follower_goes_on_behind_his_last_page_after_any_crash),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
