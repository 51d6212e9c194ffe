/* SPDX-License-Identifier: Apache-2.0 */

/* Which records are parked and which are never, by whom they are waited for, and what is refused of letters. */
#include "test_letters_kit.h"

/* ---- what is never parked ---- */

static void what_works_before_the_last_try_is_never_parked(void **state) {
  (void)state;
  for (int where = 0; where < LETTERS_STORES; where++) {
    kitchen *k = letters_open((letters_store)where);
    poison_it("fills", CAFE_DENIED, 4);
    kitchen_up(k);
    stir(k, 7, POISON);
    stir(k, 7, 2);
    kitchen_run(k, MINUTE_US);
    assert_int_equal(poisoned.met, 4);
    assert_int_equal(dead_letters(k), 0);
    assert_string_equal(fills_of(k, 107), "13 2");
    assert_int_equal(k->errors, 0);
    assert_int_equal(k->warnings, 1);
    poison_it("fills", CAFE_DENIED, 4); /* another record's tries are its own */
    stir(k, 7, POISON);
    kitchen_run(k, MINUTE_US);
    assert_int_equal(dead_letters(k), 0);
    kitchen_close(k);
  }
}

static void what_may_work_later_by_itself_is_tried_without_end(void **state) {
  static const char *const who[] = {"fills", "lines", "places"};
  static const int codes[] = {CAFE_NOMEM, CAFE_OVERLOADED, CAFE_TIMEOUT, CAFE_UNAVAILABLE};
  (void)state;
  for (size_t i = 0; i < 12; i++) {
    kitchen *k = letters_open((letters_store)(i % LETTERS_STORES));
    poison_it(who[i % 3], codes[i / 3], -1);
    kitchen_up(k);
    stir(k, 7, POISON);
    stir(k, 8, 1);
    kitchen_run(k, MINUTE_US);
    assert_true(poisoned.met > 50);
    assert_int_equal(dead_letters(k), 0);
    assert_int_equal(k->warnings, 1); /* said once */
    assert_int_equal(k->errors, 0);
    poison_it(NULL, CAFE_OK, 0);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(fills_of(k, 107), "13");
    assert_string_equal(row_text(k, &lines_view, 8), "1");
    assert_string_equal(row_text(k, &places_view, 7), "13");
    kitchen_close(k);
  }
}

static void a_store_that_fails_for_long_parks_nothing(void **state) {
  static const int codes[] = {CAFE_UNAVAILABLE, CAFE_CORRUPT, CAFE_DENIED, CAFE_INVALID, CAFE_UNSUPPORTED};
  (void)state;
  for (size_t i = 0; i < 5 * LETTERS_STORES; i++) {
    kitchen *k = letters_open((letters_store)(i / 5));
    kitchen_up(k);
    kitchen_run(k, 1000000);
    cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
    faults.fail_call = 2; /* after the command's own commit */
    faults.fail_calls = UINT64_MAX / 2;
    faults.fail_code = codes[i % 5];
    cafe_faulty_store_set(k->store, &faults);
    call made;
    submit(k, &made, &Stir, 7, 1, NULL);
    kitchen_run(k, MINUTE_US);
    cafe_faulty_store_set(k->store, NULL);
    kitchen_run(k, MINUTE_US);
    if (made.code)
      stir(k, 7, 1); /* on some stores the first call reads the key */
    kitchen_run(k, MINUTE_US);
    assert_int_equal(dead_letters(k), 0);
    assert_string_equal(fills_of(k, 107), "1");
    assert_string_equal(row_text(k, &lines_view, 7), "1");
    kitchen_close(k);
  }
}

static void a_command_that_its_own_units_policy_fails_is_no_letter(void **state) {
  static const cafe_schema *const reads_filled[] = {&Filled, NULL};
  static const cafe_policy inline_policy = {.size = CAFE_POLICY,
                                            .name = "inline",
                                            .source = "kitchen",
                                            .events = reads_filled,
                                            .react = react_fills,
                                            .commands = asks_for_fill};
  static const cafe_policy *const policies[] = {&inline_policy, NULL};
  (void)state;
  kitchen *k = letters_open(IN_MEMORY);
  k->service.policies = policies;
  poison_it("fills", CAFE_DENIED, -1);
  kitchen_up(k);
  assert_int_equal(ask(k, &Fill, 7, POISON, NULL).code, CAFE_DENIED);
  kitchen_run(k, MINUTE_US);
  assert_int_equal(dead_letters(k), 0);
  assert_int_equal(stored(k, 7, &Filled), 0);
  kitchen_close(k);
}

/* ---- order, or none ---- */

static void a_policy_that_skips_takes_what_comes_behind(void **state) {
  (void)state;
  for (int where = 0; where < LETTERS_STORES; where++) {
    kitchen *k = letters_open((letters_store)where);
    k->service.policies = skipping_policies;
    poison_it("fills", CAFE_DENIED, -1);
    kitchen_up(k);
    stir(k, 7, 1);
    stir(k, 7, POISON);
    stir(k, 7, 2);
    stir(k, 7, POISON);
    stir(k, 7, 3);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(fills_of(k, 107), "1 2 3");
    assert_string_equal(letters_of(k, "fills"), "7 parked 5 denied, 7 parked 5 denied");
    letters_restart(k, true);
    kitchen_run(k, MINUTE_US);
    assert_int_equal(dead_letters(k), 2);
    note first = {20}, second = {21};
    uint64_t number = letter_number(k, "fills", 7, 0);
    assert_int_equal(replay_letter(k, 7, letter_number(k, "fills", 7, 1), &second).code, CAFE_OK);
    assert_int_equal(replay_letter(k, 7, number, &first).code, CAFE_OK);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(fills_of(k, 107), "1 2 3 21 20");
    assert_int_equal(dead_letters(k), 0);
    kitchen_close(k);
  }
}

/* What waits since before goes on in its order, also for a policy that skips now; and the other way round. */
static void a_policy_may_begin_to_skip_and_stop_it(void **state) {
  (void)state;
  kitchen *k = letters_open(IN_MEMORY);
  poison_it("fills", CAFE_DENIED, -1);
  kitchen_up(k);
  stir(k, 7, POISON);
  stir(k, 7, 1);
  kitchen_run(k, MINUTE_US);
  k->service.policies = skipping_policies;
  letters_restart(k, false);
  stir(k, 7, 2);
  stir(k, 7, POISON);
  kitchen_run(k, MINUTE_US);
  assert_string_equal(letters_of(k, "fills"), "7 parked 5 denied, 7 waiting, 7 parked 5 denied");
  k->service.policies = letter_policies;
  letters_restart(k, false);
  stir(k, 7, 3);
  kitchen_run(k, MINUTE_US);
  assert_string_equal(fills_of(k, 107), "2");
  assert_int_equal(drop_letter(k, 7, letter_number(k, "fills", 7, 0), "spilt").code, CAFE_OK);
  kitchen_run(k, MINUTE_US);
  assert_string_equal(fills_of(k, 107), "2 1");
  assert_string_equal(letters_of(k, "fills"), "7 parked 5 denied, 7 waiting");
  assert_int_equal(drop_letter(k, 7, letter_number(k, "fills", 7, 0), "spilt").code, CAFE_OK);
  kitchen_run(k, MINUTE_US);
  assert_string_equal(fills_of(k, 107), "2 1 3");
  assert_int_equal(dead_letters(k), 0);
  kitchen_close(k);
}

static void letters_of_two_readers_have_nothing_to_do_with_each_other(void **state) {
  (void)state;
  kitchen *k = letters_open(ON_A_LANE);
  kitchen_up(k);
  poison_it("fills", CAFE_DENIED, -1);
  stir(k, 7, POISON);
  kitchen_run(k, MINUTE_US);
  poison_it("mirrors", CAFE_DENIED, -1);
  stir(k, 7, POISON);
  kitchen_run(k, MINUTE_US);
  poison_it("lines", CAFE_DENIED, -1);
  stir(k, 7, POISON);
  kitchen_run(k, MINUTE_US);
  assert_string_equal(letters_of(k, "fills"), "7 parked 5 denied, 7 waiting, 7 waiting");
  assert_string_equal(letters_of(k, "mirrors"), "7 parked 5 denied, 7 waiting");
  assert_string_equal(letters_of(k, "lines"), "7 parked 5 denied");
  poison_it(NULL, CAFE_OK, 0);
  assert_int_equal(replay_letter(k, 7, letter_number(k, "mirrors", 7, 0), NULL).code, CAFE_OK);
  kitchen_run(k, MINUTE_US);
  assert_string_equal(fills_of(k, 207), "13 13 13");
  assert_string_equal(fills_of(k, 107), "");
  assert_string_equal(row_text(k, &lines_view, 7), "13 13");
  assert_int_equal(dead_letters(k), 4);
  kitchen_close(k);
}

static void records_that_come_while_those_before_them_are_taken_up_wait_their_turn(void **state) {
  static const char *const who[] = {"fills", "lines"};
  (void)state;
  for (int i = 0; i < 2 * LETTERS_STORES; i++) {
    kitchen *k = letters_open((letters_store)(i / 2));
    char wanted[400] = "";
    poison_it(who[i % 2], CAFE_DENIED, -1);
    kitchen_up(k);
    stir(k, 7, POISON);
    for (int64_t n = 20; n < 30; n++)
      stir(k, 7, n);
    kitchen_run(k, MINUTE_US);
    letter_call made;
    note other = {19};
    assert_int_equal(begin_replay(k, &made, 7, letter_number(k, who[i % 2], 7, 0), &other), CAFE_OK);
    for (int64_t n = 30; n < 60; n++)
      stir(k, 7, n);
    kitchen_run(k, MINUTE_US);
    assert_int_equal(made.times, 1);
    assert_int_equal(made.code, CAFE_OK);
    for (int64_t n = 19; n < 60; n++)
      snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%s%lld", n > 19 ? " " : "", (long long)n);
    assert_string_equal(i % 2 ? row_text(k, &lines_view, 7) : fills_of(k, 107), wanted);
    assert_int_equal(dead_letters(k), 0);
    kitchen_close(k);
  }
}

/* ---- records that can't be read ---- */

static void a_record_that_cant_be_read_is_parked_and_can_be_replayed_with_data_that_can(void **state) {
  (void)state;
  for (int where = 0; where < LETTERS_STORES; where++) {
    kitchen *k = letters_open((letters_store)where);
    note good = {4};
    kitchen_up(k);
    kitchen_down(k);
    kitchen_append(k, "jar", &Stirred, 7, 1, (cafe_slice){"\xff\xff", 2});
    kitchen_append(k, "jar", &Stirred, 8, 1, (cafe_slice){"\x90", 1});
    if (k->is_file) {
      letters_close_store(k);
      letters_open_store(k);
    }
    kitchen_up(k);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(letters_of(k, "fills"), "7 parked 5 invalid");
    assert_string_equal(letters_of(k, "lines"), "7 parked 5 invalid");
    assert_int_equal(dead_letters(k), 4);
    assert_string_equal(fills_of(k, 108), "0");
    assert_string_equal(row_text(k, &lines_view, 8), "0");
    assert_non_null(strstr(k->error, "Stirred of key 7 can't be read: "));
    assert_int_equal(replay_letter(k, 7, letter_number(k, "fills", 7, 0), NULL).code, CAFE_INVALID);
    assert_int_equal(replay_letter(k, 7, letter_number(k, "fills", 7, 0), &good).code, CAFE_OK);
    assert_int_equal(replay_letter(k, 7, letter_number(k, "lines", 7, 0), &good).code, CAFE_OK);
    assert_string_equal(fills_of(k, 107), "4");
    assert_string_equal(row_text(k, &lines_view, 7), "4");
    kitchen_close(k);
  }
}

/* ---- a definition that is wrong, or gone ---- */

static void letters_of_a_policy_that_isnt_hosted_wait_for_it_or_are_dropped(void **state) {
  static const cafe_policy *const only_mirrors[] = {&mirrors_policy, NULL};
  (void)state;
  kitchen *k = letters_open(IN_MEMORY);
  poison_it("fills", CAFE_DENIED, -1);
  kitchen_up(k);
  stir(k, 7, POISON);
  stir(k, 7, 1);
  stir(k, 8, POISON);
  kitchen_run(k, MINUTE_US);
  k->service.policies = only_mirrors;
  letters_restart(k, false);
  kitchen_run(k, MINUTE_US);
  assert_int_equal(dead_letters(k), 3);
  letter_call refused = replay_letter(k, 7, letter_number(k, "fills", 7, 0), NULL);
  assert_int_equal(refused.code, CAFE_INVALID);
  assert_non_null(strstr(refused.text, "what the letter is for, fills, isn't hosted here"));
  assert_int_equal(drop_letter(k, 8, letter_number(k, "fills", 8, 0), "the policy is gone").code, CAFE_OK);
  assert_int_equal(dead_letters(k), 2);
  poison_it(NULL, CAFE_OK, 0);
  k->service.policies = letter_policies;
  letters_restart(k, false);
  assert_int_equal(replay_letter(k, 7, letter_number(k, "fills", 7, 0), NULL).code, CAFE_OK);
  kitchen_run(k, MINUTE_US);
  assert_string_equal(fills_of(k, 107), "13 1");
  assert_int_equal(dead_letters(k), 0);
  kitchen_close(k);
}

static void ask_nothing(cafe_reaction *out, const cafe_event *event, void *user) {
  int code = taste("fills", event);
  (void)user;
  if (code)
    cafe_reaction_fail(out, (cafe_code)code, "it is poison");
}

static void a_letter_whose_policy_asks_for_nothing_any_more_is_done_by_that(void **state) {
  static const cafe_policy silent = {.size = CAFE_POLICY,
                                     .name = "fills",
                                     .source = "kitchen",
                                     .events = reads_stirred,
                                     .other_key = true,
                                     .react = ask_nothing,
                                     .commands = asks_for_fill};
  static const cafe_policy *const policies[] = {&silent, NULL};
  (void)state;
  kitchen *k = letters_open(ON_A_LANE);
  k->service.policies = policies;
  poison_it("fills", CAFE_DENIED, -1);
  kitchen_up(k);
  stir(k, 7, POISON);
  stir(k, 7, 1);
  kitchen_run(k, MINUTE_US);
  assert_int_equal(dead_letters(k), 2);
  poison_it(NULL, CAFE_OK, 0);
  assert_int_equal(replay_letter(k, 7, letter_number(k, "fills", 7, 0), NULL).code, CAFE_OK);
  kitchen_run(k, MINUTE_US);
  assert_int_equal(dead_letters(k), 0);
  kitchen_close(k);
}

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
      cmocka_unit_test(what_works_before_the_last_try_is_never_parked),
      cmocka_unit_test(what_may_work_later_by_itself_is_tried_without_end),
      cmocka_unit_test(a_store_that_fails_for_long_parks_nothing),
      cmocka_unit_test(a_command_that_its_own_units_policy_fails_is_no_letter),
      cmocka_unit_test(a_policy_that_skips_takes_what_comes_behind),
      cmocka_unit_test(a_policy_may_begin_to_skip_and_stop_it),
      cmocka_unit_test(letters_of_two_readers_have_nothing_to_do_with_each_other),
      cmocka_unit_test(records_that_come_while_those_before_them_are_taken_up_wait_their_turn),
      cmocka_unit_test(a_record_that_cant_be_read_is_parked_and_can_be_replayed_with_data_that_can),
      cmocka_unit_test(letters_of_a_policy_that_isnt_hosted_wait_for_it_or_are_dropped),
      cmocka_unit_test(a_letter_whose_policy_asks_for_nothing_any_more_is_done_by_that),
      cmocka_unit_test(what_is_no_letter_or_no_time_for_one_is_refused),
      cmocka_unit_test(a_node_that_isnt_started_has_no_letters),
      cmocka_unit_test(the_librarys_view_cant_be_hosted_and_flags_it_doesnt_know_are_refused),
      cmocka_unit_test(a_replay_may_be_given_up_at_any_step),
      cmocka_unit_test(a_node_may_be_closed_or_drained_at_any_step_of_a_replay),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
