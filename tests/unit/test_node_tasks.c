/* SPDX-License-Identifier: Apache-2.0 */

/* Tasks: begun only while they are wanted, never as if for the first time when they may have run, and tried again at a
 * pace. */
#include "test_node_kit.h"

static void brew(kitchen *k) {
  ask(k, &Brew, 7, 1, NULL);
  kitchen_run(k, 10000);
  assert_int_equal(k->starts, 1);
  assert_int_equal(k->attempt, 1);
  assert_true(k->has_cause);
}

static void burn(kitchen *k) {
  cafe_task *task = k->task;
  cafe_err err;
  cafe_fail(&err, CAFE_UNAVAILABLE, "it burned");
  k->task = NULL;
  cafe_task_fail(task, &err);
}

static void a_task_that_nobody_wants_any_more_isnt_begun_after_a_restart(void **state) {
  kitchen *k = kitchen_open(0);
  call forgotten;
  kitchen_up(k);
  brew(k);
  kitchen_down(k);
  kitchen_up(k);
  submit(k, &forgotten, &Forget, 7, 1, NULL);
  kitchen_run(k, 5000000);
  assert_int_equal(forgotten.verdict, CAFE_ACCEPTED);
  assert_int_equal(k->starts, 1);
  kitchen_close(k);
}

static void a_task_that_ran_before_a_restart_isnt_begun_as_if_for_the_first_time(void **state) {
  enum { KEYS = 300 }; /* more than are looked at together after a restart */
  kitchen *k = kitchen_open(1000);
  call stirred;
  kitchen_up(k);
  for (uint64_t key = 1; key <= KEYS; key++)
    ask(k, &Brew, key, 1, NULL);
  kitchen_down(k);
  kitchen_up(k);
  kitchen_run(k, 1500);
  submit(k, &stirred, &Stir, KEYS, 1, NULL); /* it comes to the key before the look does */
  kitchen_run(k, 5000000);
  assert_int_equal(stirred.verdict, CAFE_ACCEPTED);
  assert_int_equal(k->starts, 2 * KEYS);
  for (uint64_t key = 1; key <= KEYS; key++)
    assert_int_equal(k->attempts[key], 2);
  kitchen_close(k);
}

static void a_failed_attempt_counts_though_its_row_couldnt_be_written_at_once(void **state) {
  kitchen *k = kitchen_open(0);
  call waiting;
  kitchen_up(k);
  call brewed = ask(k, &Brew, 0, 1, NULL);
  submit(k, &waiting, &Ask, brewed.key, 0, NULL); /* so that the key stays in memory */
  kitchen_run(k, 10000);
  fail_call(k, 1, 1);
  burn(k);
  kitchen_run(k, 10000000);
  assert_int_equal(k->starts, 2);
  assert_int_equal(k->attempt, 2);
  assert_true(k->has_cause);
  kitchen_close(k);
}

static void each_attempt_of_one_run_has_the_command_that_caused_it(void **state) {
  kitchen *k = kitchen_open(0);
  kitchen_up(k);
  brew(k);
  for (uint32_t attempt = 2; attempt < 5; attempt++) {
    burn(k);
    kitchen_run(k, 1000000);
    assert_int_equal(k->attempt, attempt);
    assert_true(k->has_cause);
  }
  kitchen_close(k);
}

static void says_nothing(cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user) {}

static void says_twice(cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user) {
  cafe_react(out, &Forget, task->key, task->data, sizeof(note));
  cafe_react(out, &Close, task->key, task->data, sizeof(note));
}

static void says_it_elsewhere(cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user) {
  cafe_react(out, &Forget, 8, task->data, sizeof(note));
}

static void says_what_nobody_takes(cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user) {
  cafe_react(out, &Closed, task->key, task->data, sizeof(note));
}

static void who_gives_up_by_anything_but_one_command_of_the_key_is_told_and_tries_on(void **state) {
  static const struct {
    void (*give_up)(cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user);
    const char *text;
  } rows[] = {
      {says_nothing, "give_up names no command: it must name the one that says so"},
      {says_twice, "give_up names 2 commands: it may name one"},
      {says_it_elsewhere, "give_up names Forget to key 8, not to its own key 7"},
      {says_what_nobody_takes, "give_up names Closed, which no aggregate of this node takes"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    kitchen *k = kitchen_open(0);
    char text[200];
    k->worker.retry.max_attempts = 1;
    k->worker.give_up = rows[i].give_up;
    kitchen_up(k);
    brew(k);
    burn(k);
    snprintf(text, sizeof text, "BrewTask 1 of jar can't be given up: %s", rows[i].text);
    assert_string_equal(k->warning, text);
    kitchen_run(k, 10000000);
    assert_int_equal(k->starts, 2);
    assert_int_equal(stored(k, 7, &BrewForgotten), 0);
    assert_int_equal(stored(k, 8, &BrewForgotten), 0);
    kitchen_close(k);
  }
}

static void a_task_whose_answer_is_refused_is_begun_again_at_a_pace(void **state) {
  kitchen *k = kitchen_open(0);
  note odd = {-1};
  kitchen_up(k);
  brew(k);
  for (int i = 0; i < 1000; i++) {
    cafe_task *task = k->task;
    k->task = NULL;
    if (task)
      cafe_task_settle(task, &Finish, &odd, sizeof odd);
    kitchen_run(k, 10000);
  }
  assert_in_range(k->starts, 2, 20);
  assert_int_equal(k->attempt, k->starts);
  kitchen_close(k);
}

static void count_down(const cafe_err *err, void *user) {
  assert_null(err);
  ++*(int *)user;
}

static void a_worker_that_cant_be_stopped_is_waited_for(void **state) {
  kitchen *k = kitchen_open(0);
  note done = {1};
  int closed = 0;
  k->worker.stop = NULL;
  kitchen_up(k);
  brew(k);
  cafe_task *unwanted = k->task;
  ask(k, &Forget, 7, 1, NULL);
  kitchen_run(k, 5000000);
  cafe_task_settle(unwanted, &Finish, &done, sizeof done);
  kitchen_run(k, 5000000);
  k->starts = 0;
  ask(k, &Brew, 7, 2, NULL);
  kitchen_run(k, 10000);
  assert_int_equal(k->starts, 1);
  assert_int_equal(cafe_node_close(k->node, count_down, &closed, NULL), CAFE_OK);
  kitchen_run(k, 5000000);
  assert_int_equal(closed, 0);
  cafe_task_settle(k->task, &Finish, &done, sizeof done);
  kitchen_run(k, 5000000);
  assert_int_equal(closed, 1);
  kitchen_close(k);
}

static void a_worker_with_a_timeout_can_be_stopped(void **state) {
  kitchen *k = kitchen_open(0);
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.loop = k->loop;
  options.store = k->store;
  assert_int_equal(cafe_node_create(&k->node, &options, NULL), CAFE_OK);
  k->worker.stop = NULL;
  k->worker.retry.timeout_ms = 1000;
  assert_int_equal(cafe_node_employ(k->node, &k->worker, NULL), CAFE_INVALID);
  kitchen_close(k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_task_that_nobody_wants_any_more_isnt_begun_after_a_restart),
      cmocka_unit_test(a_task_that_ran_before_a_restart_isnt_begun_as_if_for_the_first_time),
      cmocka_unit_test(a_failed_attempt_counts_though_its_row_couldnt_be_written_at_once),
      cmocka_unit_test(each_attempt_of_one_run_has_the_command_that_caused_it),
      cmocka_unit_test(who_gives_up_by_anything_but_one_command_of_the_key_is_told_and_tries_on),
      cmocka_unit_test(a_task_whose_answer_is_refused_is_begun_again_at_a_pace),
      cmocka_unit_test(a_worker_that_cant_be_stopped_is_waited_for),
      cmocka_unit_test(a_worker_with_a_timeout_can_be_stopped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
