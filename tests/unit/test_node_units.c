/* SPDX-License-Identifier: Apache-2.0 */

/* Answers: once each, and resting on what is stored, where units of one key are in flight together and some fail. */
#include "test_node_kit.h"

static void an_answer_that_rests_on_a_unit_of_its_batch_fails_with_it(void **state) {
  kitchen *k = kitchen_open(1000);
  call used, first, beside, second;
  kitchen_up(k);
  used = ask(k, &Fill, 7, 1, "spent");
  assert_int_equal(used.verdict, CAFE_ACCEPTED);
  submit(k, &first, &Close, 7, 2, "spent"); /* the key was used for another request */
  submit(k, &beside, &Fill, 7, 1, NULL);
  submit(k, &second, &Close, 7, 3, NULL); /* closed already, as far as the first one is written */
  kitchen_run(k, 1000000);
  assert_int_equal(first.code, CAFE_CONFLICT);
  assert_int_equal(beside.verdict, CAFE_ACCEPTED);
  assert_int_equal(second.verdict, CAFE_ACCEPTED);
  assert_int_equal(stored(k, 7, &Closed), 1);
  assert_int_equal(stored(k, 7, &Filled), 2);
  kitchen_close(k);
}

static void who_waits_for_an_outcome_isnt_forgotten_when_another_unit_fails(void **state) {
  kitchen *k = kitchen_open(1000);
  call first, second, failing;
  kitchen_up(k);
  ask(k, &Fill, 7, 1, "spent");
  submit(k, &first, &Ask, 7, 0, NULL);
  kitchen_run(k, 100000);
  submit(k, &second, &Ask, 7, 0, NULL); /* asked already: nothing to write */
  kitchen_run(k, 100000);
  submit(k, &failing, &Close, 7, 2, "spent");
  kitchen_run(k, 100000);
  assert_int_equal(failing.code, CAFE_CONFLICT);
  assert_false(first.is_done);
  assert_false(second.is_done);
  ask(k, &Answer, 7, 0, NULL);
  assert_int_equal(first.times, 1);
  assert_int_equal(second.times, 1);
  assert_int_equal(second.verdict, CAFE_ACCEPTED);
  kitchen_close(k);
}

static void a_commands_own_key_is_written_though_its_unit_answers_another_one(void **state) {
  kitchen *k = kitchen_open(0);
  call waiting, again;
  kitchen_up(k);
  submit(k, &waiting, &Ask, 7, 0, "asker");
  kitchen_run(k, 100000);
  ask(k, &Answer, 7, 5, "answerer");
  assert_int_equal(waiting.verdict, CAFE_ACCEPTED);
  again = ask(k, &Answer, 7, 5, "answerer");
  assert_true(again.replayed);
  assert_int_equal(stored(k, 7, &Answered), 1);
  kitchen_close(k);
}

static void a_command_that_cant_be_decided_takes_nothing_from_those_before_it(void **state) {
  kitchen *k = kitchen_open(1000);
  call brewed, spoiled;
  kitchen_up(k);
  ask(k, &Fill, 7, 1, NULL);
  submit(k, &brewed, &Brew, 7, 1, NULL);
  submit(k, &spoiled, &Spoil, 7, 1, NULL); /* while the brew is being written */
  kitchen_run(k, 20000);
  assert_int_equal(brewed.verdict, CAFE_ACCEPTED);
  assert_int_equal(spoiled.code, CAFE_INVALID);
  assert_int_equal(k->starts, 1);
  assert_int_equal(k->attempt, 1);
  assert_true(k->has_cause);
  kitchen_close(k);
}

/* The outcome of a failed batch is seen by the first turn after it has run, which may be before anybody is told. Until
 * then what rests on it can be neither written nor given up, and the node has to wait, not to turn in a circle. */
static void fail_and_rest(uint64_t seed) {
  kitchen *k = kitchen_open(1000);
  cafe_sim_options sim = CAFE_SIM_OPTIONS_INIT;
  call failing, resting, idle[100];
  cafe_loop_destroy(k->loop);
  sim.job_min_us = sim.job_max_us = 1000; /* it runs somewhere before its end */
  assert_int_equal(cafe_sim_create(&k->loop, seed, &sim, NULL), CAFE_OK);
  kitchen_up(k);
  ask(k, &Fill, 7, 1, "spent");
  ask(k, &Close, 8, 1, NULL);
  submit(k, &failing, &Close, 7, 2, "spent");
  cafe_sim_step(k->loop); /* it is being written */
  submit(k, &resting, &Fill, 7, 1, NULL);
  int turns = 0;
  int64_t seen_us = 0;
  for (int steps = 0; steps < 1000 && !resting.is_done; steps++) {
    if (turns < 100 && cafe_sim_now_us(k->loop) != seen_us)
      submit(k, &idle[turns++], &Close, 8, 1, NULL); /* closed already: a turn without a unit */
    seen_us = cafe_sim_now_us(k->loop);
    cafe_sim_step(k->loop);
  }
  assert_int_equal(failing.code, CAFE_CONFLICT);
  assert_true(resting.is_done);
  assert_int_equal(resting.verdict, CAFE_ACCEPTED);
  kitchen_run(k, 1000000);
  assert_int_equal(stored(k, 7, &Filled), 2);
  assert_int_equal(stored(k, 7, &Closed), 0);
  kitchen_close(k);
}

static void what_rests_on_a_failed_unit_waits_until_somebody_is_told(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 20; seed++)
    fail_and_rest(seed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_answer_that_rests_on_a_unit_of_its_batch_fails_with_it),
      cmocka_unit_test(who_waits_for_an_outcome_isnt_forgotten_when_another_unit_fails),
      cmocka_unit_test(a_command_that_cant_be_decided_takes_nothing_from_those_before_it),
      cmocka_unit_test(what_rests_on_a_failed_unit_waits_until_somebody_is_told),
      cmocka_unit_test(a_commands_own_key_is_written_though_its_unit_answers_another_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
