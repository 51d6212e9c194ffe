/* SPDX-License-Identifier: Apache-2.0 */

/* Policies: in the unit of the event for its own key, by subscription for other keys; once, whatever crashes. */
#include "test_engine_kit.h"

/* A node whose boxes have this policy only. */
static void start_with(kit *k, const cafe_policy *policy) {
  static const cafe_policy *policies[] = {NULL, NULL};
  cafe_service service = box_service;
  cafe_worker worker = {CAFE_WORKER, &question_type, {0, 0, 0, 0}, kit_task_start, kit_task_stop, NULL, k};
  policies[0] = policy;
  service.policies = policies;
  service.views = NULL;
  kit_init(k, true);
  k->options.loop = k->loop;
  k->options.store = k->store;
  k->options.log.write = kit_log;
  k->options.log.user = k;
  k->options.log.level = CAFE_LOG_WARN;
  assert_int_equal(cafe_node_create(&k->node, &k->options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_host(k->node, &service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_employ(k->node, &worker, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(k->node, NULL), CAFE_OK);
}

static call send_burst(kit *k, uint64_t key, int64_t count) {
  call c;
  burst data = {count};
  assert_int_equal(kit_send(k, &c, &burst_type, key, &data), CAFE_OK);
  kit_run(k, 20);
  assert_int_equal(c.times, 1);
  return c;
}

static void send_spread(kit *k, uint64_t key, uint64_t first, uint64_t second, int64_t times) {
  call c;
  spread data = {first, second, times};
  assert_int_equal(kit_send(k, &c, &spread_type, key, &data), CAFE_OK);
  kit_run(k, 50);
  assert_int_equal(c.code, CAFE_OK);
}

static box state_of(kit *k, uint64_t key) { return kit_add(k, key, 0).state; }

static void what_a_policy_asks_of_the_same_key_rides_in_the_same_unit(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  call c = send_burst(&k, 1, 5);
  assert_int_equal(c.verdict, CAFE_ACCEPTED);
  assert_int_equal(c.version, 6);
  assert_int_equal(c.state.total, 5);
  cafe_node_stats stats = {.size = sizeof stats};
  cafe_node_stats_get(k.node, &stats);
  assert_int_equal(stats.units, 1);
  assert_int_equal(stats.events, 6);
  assert_int_equal(stats.commands, 6);
  kit_close(&k);
}

static void one_command_causes_64_at_most(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  assert_int_equal(send_burst(&k, 1, 63).state.total, 63);
  call beyond = send_burst(&k, 1, 64);
  assert_int_equal(beyond.code, CAFE_INVALID);
  assert_non_null(strstr(beyond.text, "64"));
  /* Nothing of it is left, and the key goes on. */
  assert_int_equal(state_of(&k, 1).total, 63);
  assert_int_equal(kit_add(&k, 1, 1).version, 65);
  kit_close(&k);
}

static void what_a_policy_asks_of_other_keys_happens_once(void **state) {
  (void)state;
  for (int is_threaded = 0; is_threaded <= 1; is_threaded++) {
    kit k;
    kit_open(&k, is_threaded);
    send_spread(&k, 1, 2, 3, 1);
    assert_int_equal(state_of(&k, 2).total, 1);
    assert_int_equal(state_of(&k, 3).total, 100);
    kit_restart(&k);
    kit_run(&k, 5000);
    assert_int_equal(state_of(&k, 2).total, 1);
    assert_int_equal(state_of(&k, 3).total, 100);
    send_spread(&k, 1, 2, 2, 1); /* both for one key */
    assert_int_equal(state_of(&k, 2).total, 102);
    kit_close(&k);
  }
}

static void keys_that_alternate_are_asked_once_each(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  send_spread(&k, 1, 2, 3, 4);
  assert_int_equal(state_of(&k, 2).total, 4);
  assert_int_equal(state_of(&k, 3).total, 400);
  assert_int_equal(state_of(&k, 2).adds, 4);
  assert_int_equal(state_of(&k, 3).adds, 4);
  kit_close(&k);
}

/* The last key's effect and the checkpoint are one unit. The first one's may come again: aggregates answer by their
 * state, and the box, which adds whatever comes, shows it. */
static void after_a_crash_at_any_commit_the_last_key_has_its_effect_once(void **state) {
  (void)state;
  bool has_repeated = false;
  for (uint64_t n = 1; n <= 12; n++) {
    for (int before = 0; before <= 1; before++) {
      kit k;
      call c;
      spread data = {2, 3, 1};
      kit_open(&k, n % 2);
      kit_run(&k, 20);
      cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
      if (before)
        faults.die_before_commit = n;
      else
        faults.die_after_commit = n;
      cafe_faulty_store_set(k.store, &faults);
      assert_int_equal(kit_send(&k, &c, &spread_type, 1, &data), CAFE_OK);
      kit_run(&k, 50);
      kit_crash(&k);
      kit_run(&k, 5000);
      bool is_there = n > 1 || !before;
      assert_int_equal(state_of(&k, 3).total, is_there ? 100 : 0);
      assert_in_range(state_of(&k, 2).total, is_there, 2 * is_there);
      has_repeated = has_repeated || state_of(&k, 2).total == 2;
      kit_close(&k);
    }
  }
  assert_true(has_repeated); /* so the crash was where it matters */
}

static void a_failed_unit_is_done_again_by_the_subscription(void **state) {
  (void)state;
  for (uint64_t n = 1; n <= 12; n++) {
    kit k;
    call c;
    spread data = {2, 3, 1};
    kit_open(&k, n % 2);
    kit_run(&k, 20);
    cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
    faults.fail_call = n;
    cafe_faulty_store_set(k.store, &faults);
    assert_int_equal(kit_send(&k, &c, &spread_type, 1, &data), CAFE_OK);
    kit_run(&k, 10000);
    if (c.code == CAFE_OK) {
      assert_int_equal(state_of(&k, 3).total, 100);
      assert_in_range(state_of(&k, 2).total, 1, 2);
    }
    kit_close(&k);
  }
}

static void many_events_are_worked_through_and_a_restart_goes_on_where_it_was(void **state) {
  (void)state;
  kit k;
  call calls[200];
  kit_open(&k, true);
  for (uint64_t i = 0; i < 200; i++) {
    spread data = {500 + i % 7, 600 + i % 11, 1};
    assert_int_equal(kit_send(&k, &calls[i], &spread_type, 1 + i % 50, &data), CAFE_OK);
    if (i == 100)
      kit_run(&k, 3);
    if (i == 150) {
      kit_run(&k, 1);
      kit_restart(&k);
    }
  }
  kit_run(&k, 5000);
  int64_t first = 0, second = 0, accepted = 0;
  for (uint64_t i = 0; i < 200; i++)
    accepted += calls[i].code == CAFE_OK;
  for (uint64_t i = 0; i < 7; i++)
    first += state_of(&k, 500 + i).adds;
  for (uint64_t i = 0; i < 11; i++)
    second += state_of(&k, 600 + i).adds;
  assert_in_range(second, accepted, 200);
  assert_in_range(first, second, second + 64); /* one for each partition may have come again */
  kit_close(&k);
}

/* Asks the first key for nothing: so what becomes of that is decided by the unit before it, somebody else's. */
static void look_react(cafe_reaction *out, const cafe_event *event, void *user) {
  const spreaded *data = event->data;
  add nothing = {0, {NULL, 0}}, hundred = {100, {NULL, 0}};
  (void)user;
  cafe_react(out, &add_type, data->first, &nothing, sizeof nothing);
  cafe_react(out, &add_type, data->second, &hundred, sizeof hundred);
}

static void keys_of_several_events_that_fail_at_once_are_asked_again(void **state) {
  (void)state;
  cafe_policy looking = spread_policy;
  looking.react = look_react;
  for (uint64_t n = 1; n <= 60; n++) {
    kit k;
    static call calls[4][200];
    start_with(&k, &looking);
    kit_run(&k, 20);
    cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
    faults.fail_call = n;
    cafe_faulty_store_set(k.store, &faults);
    for (uint64_t i = 0; i < 4; i++) {
      spread data = {2 + i, 12 + i, 1};
      assert_int_equal(kit_send(&k, &calls[i][0], &spread_type, 22 + i, &data), CAFE_OK);
    }
    for (int i = 1; i < 200; i++) { /* those keys always have a unit in flight */
      add one = {1, {NULL, 0}};
      for (uint64_t key = 0; key < 4; key++)
        assert_int_equal(kit_send(&k, &calls[key][i], &add_type, 2 + key, &one), CAFE_OK);
      cafe_sim_run(k.loop, cafe_sim_now_us(k.loop) + 50);
    }
    kit_run(&k, 10000);
    for (uint64_t i = 0; i < 4; i++)
      assert_int_equal(state_of(&k, 12 + i).total, calls[i][0].code ? 0 : 100);
    kit_close(&k);
  }
}

/* ---- refusals ---- */

static void refuse_react(cafe_reaction *out, const cafe_event *event, void *user) {
  add wrong = {-1, {NULL, 0}};
  (void)user;
  cafe_react(out, &add_type, event->key, &wrong, sizeof wrong);
}

static void a_command_that_is_refused_is_logged_and_nothing_else(void **state) {
  (void)state;
  cafe_policy refusing = burst_policy;
  kit k;
  call c;
  burst data = {1};
  refusing.react = refuse_react;
  start_with(&k, &refusing);
  assert_int_equal(kit_send(&k, &c, &burst_type, 4, &data), CAFE_OK);
  kit_run(&k, 20);
  assert_int_equal(c.verdict, CAFE_ACCEPTED);
  assert_int_equal(c.version, 1);
  assert_true(kit_was_logged(&k, "Add was refused: -1 is negative"));
  kit_close(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_a_policy_asks_of_the_same_key_rides_in_the_same_unit),
      cmocka_unit_test(one_command_causes_64_at_most),
      cmocka_unit_test(what_a_policy_asks_of_other_keys_happens_once),
      cmocka_unit_test(keys_that_alternate_are_asked_once_each),
      cmocka_unit_test(after_a_crash_at_any_commit_the_last_key_has_its_effect_once),
      cmocka_unit_test(a_failed_unit_is_done_again_by_the_subscription),
      cmocka_unit_test(keys_of_several_events_that_fail_at_once_are_asked_again),
      cmocka_unit_test(many_events_are_worked_through_and_a_restart_goes_on_where_it_was),
      cmocka_unit_test(a_command_that_is_refused_is_logged_and_nothing_else),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
