/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A view's changes, where it is made from the logs of other nodes: whatever is cut off, killed, lost or late, who
 * follows is told of every event once. CAFE_SEEDS=<n> says how many seeds are tried, CAFE_FIRST=<n> from which on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"
#include "house.h"

enum { LISTENERS = 5, STEPS = 150, KEYS = 30 };

static uint64_t drawn, playing;

static uint64_t draw(uint64_t below) {
  drawn = drawn * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (drawn >> 33) % below;
}

static void something_happens(house *h, house_listener *all) {
  int which = (int)draw(HOUSE_NODES);
  house_listener *who = &all[draw(LISTENERS)];
  switch (draw(12)) {
  case 0:
    house_cut(h, which, true);
    break;
  case 1:
  case 2:
    house_cut(h, which, false);
    break;
  case 3:
    if (house_node(h, which))
      (draw(2) ? house_kill : house_stop)(h, which);
    break;
  case 4:
  case 5:
    if (!house_node(h, which))
      assert_int_equal(house_start(h, which), CAFE_OK);
    break;
  case 6:
    if (who->op)
      cafe_op_cancel(who->op);
    break;
  default:
    for (uint64_t count = draw(20); count > 0; count--)
      house_say(h, (int)draw(HOUSE_LOGS), 1 + draw(KEYS), 1);
  }
}

/* Each asks again as soon as he isn't: what he was answered is no page, or his node was away. */
static void all_ask(house_listener *all) {
  for (int i = 0; i < LISTENERS; i++)
    if (!all[i].op)
      house_listen(&all[i]);
}

static void play(uint64_t seed, uint64_t *events, uint64_t *links) {
  static const cafe_inproc_faults rough = {sizeof rough, 0.1, 0.1, 0, 3000};
  static const uint32_t limits[LISTENERS] = {1, 3, 10, 100, 1000};
  static const int64_t timeouts_ms[LISTENERS] = {0, 0, 20, 500, -1};
  house *h = house_create(seed, (int64_t)(seed % 3) * 300, seed % 4 == 0);
  house_listener all[LISTENERS];
  drawn = seed;
  if (seed % 2)
    cafe_inproc_set_faults(house_hub(h), &rough);
  for (int i = 0; i < LISTENERS; i++)
    all[i] = (house_listener){.house = h,
                              .limit = limits[i],
                              .timeout_ms = timeouts_ms[i],
                              .from_start = true,
                              .is_paused = timeouts_ms[i] < 0};
  for (int step = 0; step < STEPS; step++) {
    something_happens(h, all);
    all_ask(all);
    house_run(h, (int64_t)draw(40));
  }
  cafe_inproc_set_faults(house_hub(h), NULL);
  for (int i = 0; i < HOUSE_NODES; i++) {
    house_cut(h, i, false);
    if (!house_node(h, i))
      assert_int_equal(house_start(h, i), CAFE_OK);
  }
  for (int round = 0; round < 400; round++) { /* one of them takes one at a time */
    all_ask(all);
    house_run(h, 100);
  }
  for (int i = 0; i < LISTENERS; i++) {
    house_check(h, &all[i]);
    *events += all[i].events;
  }
  *links += house_subscribed(h);
  house_destroy(h);
}

static void whoever_follows_is_told_of_every_change_once(void **state) {
  (void)state;
  uint64_t first = cluster_setting("CAFE_FIRST", 1), count = cluster_setting("CAFE_SEEDS", 100);
  uint64_t events = 0, links = 0;
  for (uint64_t seed = first; seed < first + count; seed++) {
    playing = seed;
    play(seed, &events, &links);
  }
  playing = 0;
  print_message("%llu seeds: %llu changes were told, over %llu links\n", (unsigned long long)count,
                (unsigned long long)events, (unsigned long long)links);
  assert_true(events > count * 100);
}

/* ---- the shop's dashboard ---- */

enum { SHOPPED = 25, PAGES_PLACES = 3 };

/* An event of the stream of one order. */
typedef struct told {
  uint64_t key, n;
  const cafe_schema *type;
} told;

typedef struct reader {
  cluster *cluster;
  cafe_op *op;
  uint32_t limit, position_count, count;
  cafe_position positions[PAGES_PLACES];
  told all[3000];
} reader;

static void read_page(const cafe_err *err, const cafe_page *page, void *user) {
  reader *self = user;
  (void)err;
  self->op = NULL;
  for (uint32_t i = 0; page && i < page->count; i++) {
    const cafe_event *event = page->events[i];
    const cafe_order_info_row *row = page->rows[i]->data;
    assert_true(row->is_visible);
    assert_int_equal(page->rows[i]->key, event->key);
    for (uint32_t before = 0; before < self->count; before++)
      if (self->all[before].key == event->key && self->all[before].type == event->type)
        assert_int_not_equal(self->all[before].n, event->position.n);
    assert_true(self->count < sizeof self->all / sizeof self->all[0]);
    self->all[self->count++] = (told){event->key, event->position.n, event->type};
  }
  if (!page)
    return;
  assert_in_range(page->position_count, 1, PAGES_PLACES);
  self->position_count = page->position_count;
  memcpy(self->positions, page->positions, page->position_count * sizeof self->positions[0]);
}

static void read_on(reader *self) {
  cafe_node *node = cluster_node_of(self->cluster, CLUSTER_DASHBOARD)->node;
  cafe_changes changes = CAFE_CHANGES_INIT;
  if (self->op || !node)
    return;
  changes.view = &cafe_order_infos_view;
  changes.limit = self->limit;
  changes.from_start = !self->position_count;
  changes.positions = self->position_count ? self->positions : NULL;
  changes.position_count = self->position_count;
  assert_int_equal(cafe_node_changes(&self->op, node, &changes, read_page, self, NULL), CAFE_OK);
}

static bool is_of_view(const cafe_schema *type) {
  for (const cafe_schema *const *at = cafe_order_infos_view.events; *at; at++)
    if (*at == type)
      return true;
  return false;
}

/* Once an order is one, all that becomes of it is told, once, in its order: the row is shown from Ordered on. */
static void check_order(const reader *self, const cluster_order *order) {
  uint32_t next = 0;
  bool is_order = false;
  for (const cluster_event *at = order->first; at; at = at->next) {
    is_order = is_order || at->event.type == &cafe_ordered_type;
    if (!is_order || at->node != CLUSTER_APP || !is_of_view(at->event.type))
      continue;
    while (next < self->count && (self->all[next].key != order->key || self->all[next].n != at->event.position.n ||
                                  self->all[next].type != at->event.type))
      next++;
    if (next == self->count)
      fail_msg("order %llu: nobody is told of %s, or too late", (unsigned long long)order->key, at->event.type->name);
  }
}

static void shop(uint64_t seed, uint64_t *events) {
  cluster_options options = {.seed = seed, .is_split = true, .is_threaded = seed % 2 != 0, .job_max_us = 500};
  cluster *c = cluster_create(&options);
  static const char *const names[] = {"app", "pay", "store", "customer", "dashboard"};
  static reader all[2];
  uint64_t keys[SHOPPED] = {0};
  for (int i = 0; i < 2; i++) {
    all[i] = (reader){.cluster = c, .limit = i ? 3 : 100};
    read_on(&all[i]);
  }
  for (int i = 0; i < SHOPPED; i++) {
    uint64_t which = cluster_random(c, CLUSTER_SERVICES);
    if (cluster_chance(c, 20))
      cafe_inproc_cut(c->hub, names[which], true);
    if (cluster_chance(c, 50))
      cafe_inproc_cut(c->hub, names[cluster_random(c, CLUSTER_SERVICES)], false);
    if (cluster_chance(c, 10)) {
      cluster_kill(c, (int)which);
      for (int r = 0; r < 2 && which == CLUSTER_DASHBOARD; r++)
        all[r].op = NULL; /* nobody will answer */
      assert_int_equal(cluster_start(c, (int)which), CAFE_OK);
    }
    const cluster_call *call = cluster_place(c, 4500, "token", NULL);
    for (int moment = 0; moment < 20; moment++) {
      for (int r = 0; r < 2; r++)
        read_on(&all[r]);
      cluster_run(c, (int64_t)cluster_random(c, 20));
    }
    keys[i] = call && call->is_done && !call->code ? call->key : 0;
    if (keys[i] && cluster_chance(c, 30))
      cluster_cancel(c, keys[i]);
  }
  cluster_heal(c);
  cluster_finish(c);
  for (int page = 0; page < 2000; page++) {
    for (int r = 0; r < 2; r++)
      read_on(&all[r]);
    cluster_rest(c);
  }
  cluster_check(c, true);
  for (int r = 0; r < 2; r++) {
    for (int i = 0; i < SHOPPED; i++)
      if (keys[i] && cluster_find(c, keys[i]))
        check_order(&all[r], cluster_find(c, keys[i]));
    *events += all[r].count;
  }
  cluster_destroy(c);
}

static void whoever_follows_a_dashboard_of_its_own_is_told_all_of_each_order(void **state) {
  (void)state;
  uint64_t first = cluster_setting("CAFE_FIRST", 1), count = cluster_setting("CAFE_SEEDS", 10), events = 0;
  for (uint64_t seed = first; seed < first + count; seed++) {
    playing = seed;
    shop(seed, &events);
  }
  playing = 0;
  print_message("%llu seeds: %llu changes were told\n", (unsigned long long)count, (unsigned long long)events);
  assert_true(events > count * SHOPPED);
}

static int name_the_seed(void **state) {
  (void)state;
  if (playing)
    print_error("seed %llu: CAFE_FIRST=%llu CAFE_SEEDS=1\n", (unsigned long long)playing, (unsigned long long)playing);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(whoever_follows_is_told_of_every_change_once, name_the_seed),
      cmocka_unit_test_teardown(whoever_follows_a_dashboard_of_its_own_is_told_all_of_each_order, name_the_seed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
