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

static void something_happens(house *h, listener *all) {
  int which = (int)draw(HOUSE_NODES);
  listener *who = &all[draw(LISTENERS)];
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
static void all_ask(listener *all) {
  for (int i = 0; i < LISTENERS; i++)
    if (!all[i].op)
      listen(&all[i]);
}

static void play(uint64_t seed, uint64_t *events, uint64_t *links) {
  static const cafe_inproc_faults rough = {sizeof rough, 0.1, 0.1, 0, 3000};
  static const uint32_t limits[LISTENERS] = {1, 3, 10, 100, 1000};
  static const int64_t timeouts_ms[LISTENERS] = {0, 0, 20, 500, -1};
  house *h = house_create(seed, (int64_t)(seed % 3) * 300, seed % 4 == 0);
  listener all[LISTENERS];
  drawn = seed;
  if (seed % 2)
    cafe_inproc_set_faults(house_hub(h), &rough);
  for (int i = 0; i < LISTENERS; i++)
    all[i] = (listener){.house = h,
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

static int name_the_seed(void **state) {
  (void)state;
  if (playing)
    print_error("seed %llu: CAFE_FIRST=%llu CAFE_SEEDS=1\n", (unsigned long long)playing, (unsigned long long)playing);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(whoever_follows_is_told_of_every_change_once, name_the_seed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
