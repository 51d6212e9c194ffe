/* SPDX-License-Identifier: Apache-2.0 */

/* A view's changes, where it is made from the logs of other nodes. tests/sim/test_changes.c: whatever happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/upkeep.h"
#include "house.h"

static house *open_house(int64_t job_max_us, bool is_mixed) {
  house *h = house_create(7, job_max_us, is_mixed);
  assert_int_equal(house_start(h, HOUSE_BOARD), CAFE_OK);
  for (int i = is_mixed ? HOUSE_WEST : HOUSE_EAST; i < HOUSE_BOARD; i++)
    assert_int_equal(house_start(h, i), CAFE_OK);
  house_run(h, 1000);
  return h;
}

static void say_both(house *h, int count) {
  for (int i = 0; i < count; i++) {
    house_say(h, HOUSE_EAST, 1 + (uint64_t)i % 7, i);
    house_say(h, HOUSE_WEST, 1 + (uint64_t)i % 5, i);
  }
}

static house_listener one_page(house *h, uint32_t limit, bool from_start) {
  return (house_listener){.house = h, .limit = limit, .timeout_ms = -1, .from_start = from_start, .is_paused = true};
}

static void ask(house_listener *who) {
  assert_int_equal(house_listen(who), CAFE_OK);
  for (int i = 0; i < 2000 && who->op; i++)
    house_run(who->house, 1);
  assert_null(who->op);
}

/* What there is, page by page: what one log has may come before what another one has. */
static void ask_all(house_listener *who) {
  uint64_t empty = who->empty;
  while (who->empty == empty) {
    ask(who);
    assert_int_equal(who->code, CAFE_OK);
  }
}

static void changes_of_several_logs_come_once_each_with_their_rows(void **state) {
  (void)state;
  for (int is_mixed = 0; is_mixed <= 1; is_mixed++) {
    for (int64_t job_us = 0; job_us <= 500; job_us += 500) {
      house *h = open_house(job_us, is_mixed);
      house_listener early = {.house = h, .limit = 100}, late = {.house = h, .limit = 7, .from_start = true};
      assert_int_equal(house_listen(&early), CAFE_OK);
      say_both(h, 100);
      house_run(h, 1000);
      assert_int_equal(house_listen(&late), CAFE_OK);
      house_run(h, 1000);
      say_both(h, 100);
      house_run(h, 1000);
      house_check(h, &early);
      house_check(h, &late);
      assert_int_equal(early.events, 400);
      assert_int_equal(early.position_count, 2);
      assert_int_equal(house_head(h, HOUSE_EAST) + house_head(h, HOUSE_WEST), 400);
      house_destroy(h);
    }
  }
}

static void from_now_on_is_what_comes_afterwards(void **state) {
  (void)state;
  house *h = open_house(0, false);
  house_listener who = {.house = h, .limit = 100};
  say_both(h, 10);
  house_run(h, 1000);
  assert_int_equal(house_listen(&who), CAFE_OK);
  who.seen[HOUSE_EAST] = who.seen[HOUSE_WEST] = 10;
  say_both(h, 5);
  house_run(h, 1000);
  assert_int_equal(who.events, 10);
  house_check(h, &who);
  /* Also right after a start, when the view's own places are still being read. */
  house_stop(h, HOUSE_BOARD);
  assert_int_equal(house_start(h, HOUSE_BOARD), CAFE_OK);
  house_listener next = one_page(h, 100, false);
  ask(&next);
  assert_int_equal(next.code, CAFE_OK);
  assert_int_equal(next.positions[0].n, 15);
  assert_int_equal(next.positions[1].n, 15);
  house_destroy(h);
}

static void who_waits_costs_nothing_until_there_is_something(void **state) {
  (void)state;
  house *h = open_house(100, false);
  static house_listener all[50];
  say_both(h, 10);
  house_run(h, 1000);
  uint32_t links = house_links(h);
  for (int i = 0; i < 50; i++) {
    all[i] = (house_listener){.house = h, .limit = 100, .seen = {10, 10}};
    assert_int_equal(house_listen(&all[i]), CAFE_OK);
  }
  house_rest(h); /* so nothing is polled */
  uint64_t calls = house_store_calls(h);
  assert_int_equal(house_links(h), links);
  uint32_t subscribed = house_subscribed(h);
  house_say(h, HOUSE_EAST, 3, 1);
  house_rest(h);
  for (int i = 0; i < 50; i++)
    assert_int_equal(all[i].events, 1);
  /* One link for all, and one read of theirs beside what the view does itself. */
  assert_int_equal(house_subscribed(h), subscribed + 1);
  uint64_t shared = house_store_calls(h) - calls;
  for (int i = 1; i < 50; i++)
    cafe_op_cancel(all[i].op);
  house_rest(h);
  calls = house_store_calls(h);
  house_say(h, HOUSE_EAST, 4, 1);
  house_rest(h);
  assert_int_equal(all[0].events, 2);
  assert_int_equal(house_store_calls(h) - calls, shared);
  cafe_op_cancel(all[0].op);
  house_rest(h);
  assert_int_equal(house_links(h), links); /* nobody needs it any more */
  house_destroy(h);
}

/* He is told of what the others say, and of the rest when it is back: the node, or the way to it. */
static void while_a_log_is_out_of_reach_the_others_go_on_and_nothing_is_missed(void **state) {
  (void)state;
  for (int is_stopped = 0; is_stopped <= 1; is_stopped++) {
    house *h = open_house(100, false);
    house_listener who = {.house = h, .limit = 10, .from_start = true};
    say_both(h, 30);
    house_run(h, 1000); /* the view holds all of it; nobody has asked for anything */
    if (is_stopped)
      house_stop(h, HOUSE_EAST);
    else
      house_cut(h, HOUSE_EAST, true);
    assert_int_equal(house_listen(&who), CAFE_OK);
    house_run(h, 1000);
    assert_int_equal(who.seen[HOUSE_EAST], 0);
    assert_int_equal(who.seen[HOUSE_WEST], 30);
    house_say(h, HOUSE_WEST, 1, 1);
    house_run(h, 1000);
    assert_int_equal(who.seen[HOUSE_WEST], 31);
    if (is_stopped)
      assert_int_equal(house_start(h, HOUSE_EAST), CAFE_OK);
    else
      house_cut(h, HOUSE_EAST, false);
    house_run(h, 30000);
    house_check(h, &who);
    assert_int_equal(who.seen[HOUSE_EAST], 30);
    house_destroy(h);
  }
}

static void who_doesnt_wait_is_answered_with_what_can_be_reached(void **state) {
  (void)state;
  house *h = open_house(100, false);
  say_both(h, 30);
  house_run(h, 1000);
  house_listener who = one_page(h, 20, true);
  ask(&who);
  assert_in_range(who.events, 1, 20);
  ask_all(&who);
  house_check(h, &who);
  house_run(h, 5000);
  /* Without them: soon, and with his own positions. */
  house_cut(h, HOUSE_EAST, true);
  house_cut(h, HOUSE_WEST, true);
  house_listener late = one_page(h, 100, true);
  int64_t from_us = cafe_sim_now_us(house_loop(h));
  ask(&late);
  assert_int_equal(late.code, CAFE_OK);
  assert_int_equal(late.events, 0);
  assert_in_range(cafe_sim_now_us(house_loop(h)) - from_us, 0, 1100000);
  assert_int_equal(late.position_count, 2);
  assert_int_equal(late.positions[0].n, 0);
  house_cut(h, HOUSE_EAST, false);
  house_cut(h, HOUSE_WEST, false);
  house_run(h, 30000);
  ask_all(&late);
  house_check(h, &late);
  house_destroy(h);
}

static void a_follower_goes_on_behind_his_last_page_after_a_restart_of_the_view(void **state) {
  (void)state;
  house *h = open_house(100, false);
  house_listener who = {.house = h, .limit = 10, .from_start = true};
  assert_int_equal(house_listen(&who), CAFE_OK);
  for (int i = 0; i < 20; i++) {
    say_both(h, 10);
    house_run(h, i % 5);
    house_kill(h, HOUSE_BOARD);
    assert_int_equal(house_start(h, HOUSE_BOARD), CAFE_OK);
    if (i % 2)
      house_run(h, 1000);
    assert_int_equal(house_listen(&who), CAFE_OK);
  }
  /* With nobody else there, the places are known all the same. */
  house_run(h, 5000);
  house_stop(h, HOUSE_EAST);
  house_stop(h, HOUSE_WEST);
  house_kill(h, HOUSE_BOARD);
  assert_int_equal(house_start(h, HOUSE_BOARD), CAFE_OK);
  who.timeout_ms = 100;
  who.is_paused = true;
  uint64_t empty = who.empty;
  ask(&who);
  assert_int_equal(who.code, CAFE_OK);
  assert_int_equal(who.empty, empty + 1);
  house_check(h, &who);
  house_destroy(h);
}

/* The board has lost its store. Whose log the positions are of isn't known until it is reached. */
static void positions_of_a_log_that_isnt_known_yet_wait_for_it(void **state) {
  (void)state;
  house *h = open_house(100, false);
  say_both(h, 10);
  house_run(h, 1000);
  house_listener who = one_page(h, 100, true);
  ask_all(&who);
  house_check(h, &who);
  house_stop(h, HOUSE_BOARD);
  house_forget(h, HOUSE_BOARD);
  house_cut(h, HOUSE_EAST, true);
  assert_int_equal(house_start(h, HOUSE_BOARD), CAFE_OK);
  house_run(h, 5000);
  house_listener before = who;
  house_say(h, HOUSE_WEST, 1, 1);
  house_run(h, 1000);
  ask(&who); /* nothing, and he is where he was: else it would be forgotten that he was anywhere in the east's */
  assert_int_equal(who.code, CAFE_OK);
  assert_memory_equal(who.positions, before.positions, 2 * sizeof who.positions[0]);
  who.timeout_ms = 0;
  who.is_paused = false;
  assert_int_equal(house_listen(&who), CAFE_OK);
  house_run(h, 5000);
  assert_non_null(who.op);
  house_cut(h, HOUSE_EAST, false);
  house_run(h, 30000);
  assert_int_equal(who.seen[HOUSE_EAST], 10); /* he had seen all of it */
  assert_int_equal(who.seen[HOUSE_WEST], 11);
  house_say(h, HOUSE_EAST, 1, 1);
  house_run(h, 1000);
  assert_int_equal(who.seen[HOUSE_EAST], 11);
  house_check(h, &who);
  house_destroy(h);
}

/* What isn't known is of no other log: it has its place in the page, and its first event is told. */
static void a_log_that_was_never_heard_of_begins_with_its_first_event(void **state) {
  (void)state;
  house *h = house_create(3, 100, false);
  assert_int_equal(house_start(h, HOUSE_BOARD), CAFE_OK);
  assert_int_equal(house_start(h, HOUSE_WEST), CAFE_OK);
  house_run(h, 1000);
  house_listener who = one_page(h, 100, false);
  ask(&who);
  assert_int_equal(who.position_count, 2);
  assert_int_equal(who.positions[0].log_id, 0);
  say_both(h, 5); /* the west alone is there */
  house_run(h, 1000);
  ask(&who);
  assert_int_equal(who.seen[HOUSE_WEST], 5);
  assert_int_equal(house_start(h, HOUSE_EAST), CAFE_OK);
  say_both(h, 5);
  house_run(h, 30000);
  ask_all(&who);
  house_check(h, &who);
  assert_int_equal(who.seen[HOUSE_EAST], 5);
  assert_true(who.positions[0].log_id != 0);
  house_destroy(h);
}

static void rebuilt(const cafe_err *err, const cafe_rebuild_report *result, void *user) {
  (void)result;
  if (err)
    fail_msg("%s", err->text);
  *(bool *)user = true;
}

/* The east's log is another one: who stood in the old one is told so, before and while he waits. */
static void a_log_that_was_restored_is_told_as_such(void **state) {
  (void)state;
  house *h = open_house(100, false);
  bool is_rebuilt = false;
  say_both(h, 10);
  house_run(h, 1000);
  house_listener waits = {.house = h, .limit = 100, .seen = {10, 10}}, behind = one_page(h, 4, true);
  ask(&behind);
  house_run(h, 5000); /* what was in hand for him is gone */
  assert_int_equal(house_listen(&waits), CAFE_OK);
  house_stop(h, HOUSE_EAST);
  house_forget(h, HOUSE_EAST);
  assert_int_equal(house_start(h, HOUSE_EAST), CAFE_OK);
  house_say(h, HOUSE_EAST, 1, 1);
  house_run(h, 30000);
  /* The view itself is refused there. Whoever is behind it can't be told what it held. */
  for (int i = 0; i < 10 && behind.code == CAFE_OK; i++) /* the west's may come first */
    ask(&behind);
  assert_int_equal(behind.code, CAFE_INVALID);
  assert_non_null(strstr(behind.text, "is of another log, or beyond its head: it was restored from a backup."));
  assert_non_null(waits.op);
  assert_int_equal(cafe_node_rebuild(NULL, house_node(h, HOUSE_BOARD), house_view(), rebuilt, &is_rebuilt, NULL),
                   CAFE_OK);
  house_run(h, 30000);
  assert_true(is_rebuilt);
  assert_null(waits.op);
  assert_int_equal(waits.code, CAFE_INVALID);
  assert_non_null(strstr(waits.text, "it was restored from a backup. Read the view's rows anew"));
  assert_int_equal(house_listen(&behind), CAFE_INVALID); /* at once: all logs are known */
  house_listener now = one_page(h, 100, false);
  ask(&now);
  assert_int_equal(now.positions[0].n, 1);
  house_listener anew = one_page(h, 100, true);
  ask_all(&anew);
  house_check(h, &anew);
  house_destroy(h);
}

static void wrong_positions_are_refused(void **state) {
  (void)state;
  for (int is_mixed = 0; is_mixed <= 1; is_mixed++) {
    house *h = open_house(0, is_mixed);
    say_both(h, 3);
    house_run(h, 1000);
    house_listener who = one_page(h, 100, true);
    ask_all(&who);
    const house_listener right = who;
    who.position_count = 1;
    assert_int_equal(house_listen(&who), CAFE_INVALID);
    who.position_count = 3;
    assert_int_equal(house_listen(&who), CAFE_INVALID);
    for (int i = 0; i < 2; i++) {
      who = right;
      who.positions[i].log_id++;
      assert_int_equal(house_listen(&who), CAFE_INVALID);
      assert_non_null(strstr(who.text, "restored"));
      who = right;
      who.positions[i].shard++;
      assert_int_equal(house_listen(&who), CAFE_INVALID);
      who = right;
      who.positions[i] = who.positions[!i];
      assert_int_equal(house_listen(&who), CAFE_INVALID);
    }
    who = right; /* in any order */
    who.positions[0] = right.positions[1];
    who.positions[1] = right.positions[0];
    ask(&who);
    assert_int_equal(who.code, CAFE_OK);
    house_destroy(h);
  }
}

/* ---- giving up, and the node's end ---- */

static void drained(const cafe_err *err, void *user) { *(bool *)user = err == NULL; }

static void whoever_follows_may_give_up_and_the_node_may_end_at_any_moment(void **state) {
  (void)state;
  for (int64_t after_us = 0; after_us < 6000; after_us += 100) {
    for (int ending = 0; ending < 3; ending++) {
      house *h = open_house(300, after_us % 300 == 0);
      bool is_drained = false;
      say_both(h, 20);
      house_run(h, 1000);
      house_listener first = {.house = h, .limit = 3, .from_start = true, .is_paused = true};
      house_listener second = {.house = h, .limit = 10, .from_start = true, .is_paused = true};
      assert_int_equal(house_listen(&first), CAFE_OK);
      assert_int_equal(house_listen(&second), CAFE_OK);
      cafe_sim_run(house_loop(h), cafe_sim_now_us(house_loop(h)) + after_us);
      if (ending == 0 && first.op)
        cafe_op_cancel(first.op);
      if (ending == 1)
        assert_int_equal(cafe_node_drain(house_node(h, HOUSE_BOARD), drained, &is_drained, NULL), CAFE_OK);
      if (ending == 2)
        house_stop(h, HOUSE_BOARD);
      house_run(h, 5000);
      assert_null(first.op);
      assert_null(second.op);
      assert_int_equal(is_drained, ending == 1);
      assert_true(first.events || first.code == (ending == 1 ? CAFE_UNAVAILABLE : CAFE_CANCELED));
      assert_true(second.events || (ending && second.code == (ending == 1 ? CAFE_UNAVAILABLE : CAFE_CANCELED)));
      house_destroy(h);
    }
  }
}

static void close_board(const cafe_err *err, const cafe_page *page, void *user) {
  house *h = user;
  (void)err, (void)page;
  assert_int_equal(cafe_node_close(house_node(h, HOUSE_BOARD), NULL, NULL, NULL), CAFE_OK);
}

/* The transport is closed then, and takes no subscription any more: those behind him are told the end. */
static void whoever_is_told_may_close_the_node(void **state) {
  (void)state;
  house *h = open_house(0, false);
  cafe_changes now = CAFE_CHANGES_INIT;
  say_both(h, 20);
  house_run(h, 1000);
  now.view = house_view();
  now.timeout_ms = -1;
  uint32_t subscribed = house_subscribed(h);
  house_listener behind = {.house = h, .limit = 10, .from_start = true, .is_paused = true};
  assert_int_equal(cafe_node_changes(NULL, house_node(h, HOUSE_BOARD), &now, close_board, h, NULL), CAFE_OK);
  assert_int_equal(house_listen(&behind), CAFE_OK);
  house_run(h, 1000);
  assert_null(behind.op);
  assert_int_equal(behind.code, CAFE_CANCELED);
  assert_int_equal(house_subscribed(h), subscribed);
  house_leave(h, HOUSE_BOARD);
  house_destroy(h);
}

/* Slow ones at many places: each has his own window, and there are only so many. */
static void hundreds_who_are_at_different_places_are_all_served(void **state) {
  (void)state;
  enum { FOLLOWERS = 300 };
  static house_listener all[FOLLOWERS];
  house *h = open_house(50, false);
  say_both(h, FOLLOWERS + 10);
  house_run(h, 1000);
  uint32_t links = house_links(h), most = 0;
  house_listener leader = one_page(h, 2, true);
  for (int i = 0; i < FOLLOWERS; i++) {
    ask(&leader); /* one of each log a page */
    all[i] = leader;
    all[i].timeout_ms = 0;
    all[i].is_paused = false;
    all[i].limit = 1000;
  }
  for (int i = 0; i < FOLLOWERS; i++)
    assert_int_equal(house_listen(&all[i]), CAFE_OK);
  for (int i = 0; i < 60000; i++) {
    cafe_sim_run(house_loop(h), cafe_sim_now_us(house_loop(h)) + 500);
    most = house_links(h) - links > most ? house_links(h) - links : most;
  }
  for (int i = 0; i < FOLLOWERS; i++)
    house_check(h, &all[i]);
  assert_in_range(most, 3, 64);
  house_destroy(h);
}

/* ---- failures ---- */

static void every_allocation_of_the_views_node_may_fail(void **state) {
  (void)state;
  size_t refused = 0;
  for (size_t n = 1;; n++) {
    house *h = house_create(5, n % 2 ? 100 : 0, n % 4 < 2);
    failing_alloc *memory = house_memory(h, HOUSE_BOARD);
    house_listener all[] = {{.house = h, .limit = 2, .from_start = true},
                            {.house = h, .limit = 50, .from_start = true}};
    for (int i = 0; i < HOUSE_BOARD; i++)
      if (!house_node(h, i) && house_memory(h, i) != memory)
        assert_int_equal(house_start(h, i), CAFE_OK);
    assert_int_equal(house_start(h, HOUSE_BOARD), CAFE_OK);
    memory->calls = 0;
    memory->fail_at = n;
    for (int round = 0; round < 30; round++) {
      if (round < 4)
        say_both(h, 3);
      for (int i = 0; i < 2; i++)
        house_listen(&all[i]);
      house_run(h, round < 10 ? 20 : 2000);
    }
    bool was_refused = memory->refused;
    memory->fail_at = 0;
    for (int i = 0; i < 2; i++)
      house_check(h, &all[i]);
    house_destroy(h);
    if (!was_refused)
      break;
    refused++;
  }
  assert_true(refused > 50);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(changes_of_several_logs_come_once_each_with_their_rows),
      cmocka_unit_test(from_now_on_is_what_comes_afterwards),
      cmocka_unit_test(who_waits_costs_nothing_until_there_is_something),
      cmocka_unit_test(while_a_log_is_out_of_reach_the_others_go_on_and_nothing_is_missed),
      cmocka_unit_test(who_doesnt_wait_is_answered_with_what_can_be_reached),
      cmocka_unit_test(a_follower_goes_on_behind_his_last_page_after_a_restart_of_the_view),
      cmocka_unit_test(positions_of_a_log_that_isnt_known_yet_wait_for_it),
      cmocka_unit_test(a_log_that_was_never_heard_of_begins_with_its_first_event),
      cmocka_unit_test(a_log_that_was_restored_is_told_as_such),
      cmocka_unit_test(wrong_positions_are_refused),
      cmocka_unit_test(whoever_follows_may_give_up_and_the_node_may_end_at_any_moment),
      cmocka_unit_test(whoever_is_told_may_close_the_node),
      cmocka_unit_test(hundreds_who_are_at_different_places_are_all_served),
      cmocka_unit_test(every_allocation_of_the_views_node_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
