/* SPDX-License-Identifier: Apache-2.0 */

/* Which records are parked and which are never, and which of those behind them wait. */
#include "engine/node.h"
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

/* A store that refuses one thing, by a code that says that it will do so for ever. */
typedef struct stubborn {
  cafe_store base;
  cafe_store *inner;
  int load_code, commit_code; /* of key 107 */
  uint32_t met;
} stubborn;

static int stubborn_open(cafe_store *store, cafe_store_info *out, const cafe_store_setup *setup, cafe_err *err) {
  cafe_store *inner = ((stubborn *)store)->inner;
  return inner->ops->open(inner, out, setup, err);
}

static int stubborn_commit(cafe_store *store, cafe_batch *batch, cafe_err *err) {
  stubborn *self = (stubborn *)store;
  for (uint32_t i = 0; i < batch->unit_count && self->commit_code; i++) {
    if (batch->units[i]->key != 107)
      continue;
    self->met++;
    return cafe_fail(err, (cafe_code)self->commit_code, "it won't write");
  }
  return self->inner->ops->commit(self->inner, batch, err);
}

static int stubborn_load(cafe_store *store, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row, void *user,
                         cafe_err *err) {
  stubborn *self = (stubborn *)store;
  if (key != 107 || !self->load_code)
    return self->inner->ops->load(self->inner, key, on_event, on_row, user, err);
  self->met++;
  return cafe_fail(err, (cafe_code)self->load_code, "it won't read");
}

static int stubborn_read_log(cafe_store *store, cafe_log_query *query, cafe_event_sink on_event, void *user,
                             cafe_err *err) {
  cafe_store *inner = ((stubborn *)store)->inner;
  return inner->ops->read_log(inner, query, on_event, user, err);
}

static int stubborn_read_rows(cafe_store *store, const cafe_row_query *query, cafe_row_sink on_row, void *user,
                              cafe_err *err) {
  cafe_store *inner = ((stubborn *)store)->inner;
  return inner->ops->read_rows(inner, query, on_row, user, err);
}

static int stubborn_read_key(cafe_store *store, cafe_key_record *out, cafe_slice scope, cafe_slice key,
                             cafe_slice fingerprint, cafe_arena *arena, cafe_err *err) {
  cafe_store *inner = ((stubborn *)store)->inner;
  return inner->ops->read_key(inner, out, scope, key, fingerprint, arena, err);
}

static int stubborn_read_checkpoints(cafe_store *store, const char *subscription, cafe_checkpoint_sink on_checkpoint,
                                     void *user, cafe_err *err) {
  cafe_store *inner = ((stubborn *)store)->inner;
  return inner->ops->read_checkpoints(inner, subscription, on_checkpoint, user, err);
}

static void stubborn_destroy(cafe_store *store) { cafe_store_destroy(((stubborn *)store)->inner); }

static void what_the_store_cant_do_is_not_the_records_fault(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    kitchen *k = letters_open(i % 2 ? ON_A_LANE : IN_MEMORY);
    const cafe_store_ops ops = {
        sizeof ops,      "stubborn",        k->store->ops->is_inline, stubborn_open,     stubborn_commit,
        stubborn_load,   stubborn_read_log, stubborn_read_rows,       stubborn_read_key, stubborn_read_checkpoints,
        stubborn_destroy};
    stubborn odd = {{&ops, {NULL}}, k->store, i < 2 ? CAFE_CORRUPT : 0, i < 2 ? 0 : CAFE_DENIED, 0};
    k->store = &odd.base;
    kitchen_up(k);
    stir(k, 7, 1);
    kitchen_run(k, MINUTE_US / 600); /* its effect has failed, in a batch of its own */
    stir(k, 8, 2);
    kitchen_run(k, MINUTE_US);
    assert_true(odd.met > 50);
    assert_int_equal(dead_letters(k), 0);
    odd.load_code = odd.commit_code = 0;
    kitchen_run(k, MINUTE_US);
    assert_string_equal(fills_of(k, 107), "1");
    assert_string_equal(fills_of(k, 108), "2");
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

/* Writes letters past the node: one of each key from `first` on. */
static void put_letters(kitchen *k, const char *event, uint64_t first, uint32_t count) {
  enum { BATCH = 512 };
  static cafe_unit units[BATCH];
  static cafe_row_write rows[BATCH];
  cafe_unit *listed[BATCH];
  cafe_arena *arena = cafe_arena_create(NULL);
  const cafe_dead_letter row = {.state = CAFE_LETTER_PARKED,
                                .reader = CAFE_LETTER_POLICY,
                                .name = cafe_text("fills"),
                                .subscription = cafe_text("fills<."),
                                .aggregate = cafe_text("jar"),
                                .event = cafe_text(event),
                                .attempts = 5};
  for (uint32_t done = 0; done < count; done += BATCH) {
    for (uint32_t i = 0; i < BATCH; i++) {
      rows[i] =
          (cafe_row_write){.table = &engine_tables[TABLE_LETTERS], .key = first + done + i, .sub = 1, .data = &row};
      units[i] = (cafe_unit){.size = sizeof units[i], .key = rows[i].key, .rows = &rows[i], .row_count = 1};
      listed[i] = &units[i];
    }
    cafe_batch batch = {sizeof batch, listed, BATCH, arena};
    assert_int_equal(k->inner->ops->commit(k->inner, &batch, NULL), CAFE_OK);
  }
  cafe_arena_destroy(arena);
}

static void a_subscription_that_has_parked_too_many_keys_stands_still(void **state) {
  enum { KEYS = 65536 };
  (void)state;
  kitchen *k = letters_open(IN_MEMORY);
  poison_it("fills", CAFE_DENIED, -1);
  kitchen_up(k);
  kitchen_down(k);
  put_letters(k, "Stirred", 1000, KEYS);
  kitchen_up(k);
  assert_int_equal(dead_letters(k), KEYS);
  stir(k, 7, POISON);
  stir(k, 8, 1);
  kitchen_run(k, MINUTE_US);
  assert_int_equal(dead_letters(k), KEYS);
  assert_string_equal(fills_of(k, 108), "");
  assert_string_equal(fills_of(k, 207), "13"); /* the others go on */
  assert_non_null(strstr(k->warning, "65536 keys have dead letters already: replay or drop them"));
  stir(k, 1000, 1); /* one that waits needs no place */
  assert_int_equal(drop_letter(k, 1000, 1, "spilt").code, CAFE_OK);
  kitchen_run(k, MINUTE_US);
  assert_int_equal(dead_letters(k), KEYS);
  assert_string_equal(fills_of(k, 108), "1");
  kitchen_close(k);
}

static void a_letter_of_an_event_that_nobody_knows_can_only_be_dropped(void **state) {
  (void)state;
  kitchen *k = letters_open(IN_MEMORY);
  kitchen_up(k);
  kitchen_down(k);
  put_letters(k, "Thrown", 1000, 1);
  kitchen_up(k);
  letter_call refused = replay_letter(k, 1000, 1, NULL);
  assert_int_equal(refused.code, CAFE_INVALID);
  assert_string_equal(refused.text, "nobody here knows the event Thrown of jar any more: drop the letter");
  uint64_t before = dead_letters(k);
  assert_int_equal(drop_letter(k, 1000, 1, "nobody knows it").code, CAFE_OK);
  assert_int_equal(dead_letters(k), before - 1);
  kitchen_close(k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_works_before_the_last_try_is_never_parked),
      cmocka_unit_test(what_may_work_later_by_itself_is_tried_without_end),
      cmocka_unit_test(a_store_that_fails_for_long_parks_nothing),
      cmocka_unit_test(what_the_store_cant_do_is_not_the_records_fault),
      cmocka_unit_test(a_command_that_its_own_units_policy_fails_is_no_letter),
      cmocka_unit_test(a_policy_that_skips_takes_what_comes_behind),
      cmocka_unit_test(a_policy_may_begin_to_skip_and_stop_it),
      cmocka_unit_test(letters_of_two_readers_have_nothing_to_do_with_each_other),
      cmocka_unit_test(records_that_come_while_those_before_them_are_taken_up_wait_their_turn),
      cmocka_unit_test(a_record_that_cant_be_read_is_parked_and_can_be_replayed_with_data_that_can),
      cmocka_unit_test(letters_of_a_policy_that_isnt_hosted_wait_for_it_or_are_dropped),
      cmocka_unit_test(a_letter_whose_policy_asks_for_nothing_any_more_is_done_by_that),
      cmocka_unit_test(a_subscription_that_has_parked_too_many_keys_stands_still),
      cmocka_unit_test(a_letter_of_an_event_that_nobody_knows_can_only_be_dropped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
