/* SPDX-License-Identifier: Apache-2.0 */

/* What is refused of letters; callers who leave, and nodes that end meanwhile. */
#include "test_letters_kit.h"

/* ---- what is refused ---- */

static void what_is_no_letter_or_no_time_for_one_is_refused(void **state) {
  (void)state;
  kitchen *k = letters_open(IN_MEMORY);
  cafe_replay replay = CAFE_REPLAY_INIT;
  letter_call made = {0};
  note data = {1};
  cafe_err err;
  poison_it("fills", CAFE_DENIED, -1);
  kitchen_up(k);
  stir(k, 7, POISON);
  kitchen_run(k, MINUTE_US);
  uint64_t letter = letter_number(k, "fills", 7, 0);
  assert_int_equal(cafe_node_replay_letter(NULL, k->node, NULL, letter_answered, &made, &err), CAFE_INVALID);
  assert_int_equal(cafe_node_replay_letter(NULL, k->node, &replay, letter_answered, &made, &err), CAFE_INVALID);
  assert_int_equal(begin_replay(k, &made, CAFE_KEY_MAX + 1, letter, NULL), CAFE_INVALID);
  assert_int_equal(begin_replay(k, &made, 7, (uint64_t)INT64_MAX + 1, NULL), CAFE_INVALID);
  assert_int_equal(cafe_node_drop_letter(NULL, k->node, 7, letter, NULL, letter_answered, &made, &err), CAFE_INVALID);
  assert_int_equal(cafe_node_drop_letter(NULL, k->node, 7, letter, "", letter_answered, &made, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "Say a reason"));
  replay.key = 7;
  replay.letter = letter;
  replay.event = &Fill; /* a command */
  replay.data = &data;
  replay.data_size = sizeof data;
  assert_int_equal(cafe_node_replay_letter(NULL, k->node, &replay, letter_answered, &made, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "nobody here knows the event Fill"));
  replay.event = &Stirred;
  replay.data_size = 3;
  assert_int_equal(cafe_node_replay_letter(NULL, k->node, &replay, letter_answered, &made, &err), CAFE_INVALID);
  replay.data = NULL;
  assert_int_equal(cafe_node_replay_letter(NULL, k->node, &replay, letter_answered, &made, &err), CAFE_INVALID);
  assert_int_equal(made.times, 0);
  replay.event = &Filled; /* an event, but another one */
  replay.data = &data;
  replay.data_size = sizeof data;
  assert_int_equal(cafe_node_replay_letter(NULL, k->node, &replay, letter_answered, &made, &err), CAFE_OK);
  await_letter(k, &made);
  assert_int_equal(made.code, CAFE_INVALID);
  assert_string_equal(made.text, "the letter is of Stirred, not of Filled: hand in the data of that one");
  assert_int_equal(replay_letter(k, 8, letter, NULL).code, CAFE_NOT_FOUND);
  assert_int_equal(replay_letter(k, 7, letter + 1, NULL).code, CAFE_NOT_FOUND);
  assert_int_equal(drop_letter(k, 7, letter + 1, "spilt").code, CAFE_NOT_FOUND);
  assert_string_equal(letters_of(k, "fills"), "7 parked 5 denied"); /* as it was */
  assert_int_equal(cafe_node_drain(k->node, NULL, NULL, NULL), CAFE_OK);
  assert_int_equal(begin_replay(k, &made, 7, letter, NULL), CAFE_UNAVAILABLE);
  kitchen_close(k);
}

static void a_node_that_isnt_started_has_no_letters(void **state) {
  (void)state;
  kitchen *k = letters_open(IN_MEMORY);
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  letter_call made = {0};
  options.loop = k->loop;
  options.store = k->store;
  assert_int_equal(cafe_node_create(&k->node, &options, NULL), CAFE_OK);
  assert_int_equal(begin_replay(k, &made, 7, 1, NULL), CAFE_INVALID);
  assert_int_equal(dead_letters(k), 0);
  kitchen_close(k);
}

static void the_librarys_view_cant_be_hosted_and_flags_it_doesnt_know_are_refused(void **state) {
  static const cafe_view *const views[] = {&cafe_dead_letters_view, NULL};
  (void)state;
  kitchen *k = letters_open(IN_MEMORY);
  cafe_policy odd = fills_policy;
  const cafe_policy *const policies[] = {&odd, NULL};
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  cafe_err err;
  options.loop = k->loop;
  options.store = k->store;
  k->service.views = views;
  assert_int_equal(cafe_node_create(&k->node, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_host(k->node, &k->service, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "cafe_dead_letters"));
  kitchen_down(k);
  odd.flags = 2;
  k->service.views = NULL;
  k->service.policies = policies;
  assert_int_equal(cafe_node_create(&k->node, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_host(k->node, &k->service, &err), CAFE_UNSUPPORTED);
  kitchen_close(k);
}

/* ---- callers who leave, and nodes that end ---- */

static void a_replay_may_be_given_up_at_any_step(void **state) {
  (void)state;
  bool is_over = false;
  for (int step = 0; !is_over; step++) {
    kitchen *k = letters_open(ON_A_LANE);
    letter_call made;
    poison_it("fills", CAFE_DENIED, -1);
    kitchen_up(k);
    stir(k, 7, POISON);
    stir(k, 7, 1);
    kitchen_run(k, MINUTE_US);
    poison_it(NULL, CAFE_OK, 0);
    assert_int_equal(begin_replay(k, &made, 7, letter_number(k, "fills", 7, 0), NULL), CAFE_OK);
    for (int i = 0; i < step && !made.times; i++)
      cafe_sim_step(k->loop);
    is_over = made.times > 0;
    if (made.op)
      cafe_op_cancel(made.op);
    kitchen_run(k, MINUTE_US);
    assert_int_equal(made.times, 1);
    bool was_done = dead_letters(k) == 0;
    assert_true(made.code == CAFE_CANCELED ? !is_over : made.code == CAFE_OK && was_done); /* or it was faster */
    assert_string_equal(fills_of(k, 107), was_done ? "13 1" : "");
    if (!was_done)
      assert_int_equal(replay_letter(k, 7, letter_number(k, "fills", 7, 0), NULL).code, CAFE_OK);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(fills_of(k, 107), "13 1");
    kitchen_close(k);
  }
}

static void drained(const cafe_err *err, void *user) {
  assert_null(err);
  *(bool *)user = true;
}

static void a_node_may_be_closed_or_drained_at_any_step_of_a_replay(void **state) {
  static const char *const who[] = {"fills", "lines"};
  (void)state;
  for (int i = 0; i < 8; i++) {
    bool is_over = false, drains = i / 4, replays = i / 2 % 2;
    for (int step = 0; !is_over; step++) {
      kitchen *k = letters_open(ON_A_LANE);
      letter_call made = {0};
      bool is_drained = false;
      poison_it(who[i % 2], CAFE_DENIED, -1);
      kitchen_up(k);
      stir(k, 7, POISON);
      stir(k, 7, 1);
      kitchen_run(k, MINUTE_US);
      poison_it(NULL, CAFE_OK, 0);
      uint64_t letter = letter_number(k, who[i % 2], 7, 0);
      if (replays)
        assert_int_equal(begin_replay(k, &made, 7, letter, NULL), CAFE_OK);
      else
        assert_int_equal(cafe_node_drop_letter(NULL, k->node, 7, letter, "spilt", letter_answered, &made, NULL),
                         CAFE_OK);
      for (int at = 0; at < step; at++)
        is_over = !cafe_sim_step(k->loop) || dead_letters(k) == 0;
      if (drains) {
        assert_int_equal(cafe_node_drain(k->node, drained, &is_drained, NULL), CAFE_OK);
        kitchen_run(k, MINUTE_US);
        assert_true(is_drained);
        assert_int_equal(made.code, CAFE_OK);
      }
      kitchen_down(k);
      assert_int_equal(made.times, 1);
      kitchen_up(k);
      kitchen_run(k, MINUTE_US);
      if (dead_letters(k)) {
        assert_int_equal(made.code, CAFE_CANCELED);
        assert_int_equal(dead_letters(k), 2);
      } else {
        assert_string_equal(i % 2 ? row_text(k, &lines_view, 7) : fills_of(k, 107), replays ? "13 1" : "1");
      }
      kitchen_close(k);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_no_letter_or_no_time_for_one_is_refused),
      cmocka_unit_test(a_node_that_isnt_started_has_no_letters),
      cmocka_unit_test(the_librarys_view_cant_be_hosted_and_flags_it_doesnt_know_are_refused),
      cmocka_unit_test(a_replay_may_be_given_up_at_any_step),
      cmocka_unit_test(a_node_may_be_closed_or_drained_at_any_step_of_a_replay),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
