/* SPDX-License-Identifier: Apache-2.0 */

/* Clients' own keys: a repeat finds the first one's answer, at once, later, after a restart; and never has a second
 * effect. */
#include "test_engine_kit.h"

/* What is kept: the stream and its total, or that it is denied for ever. */
static int make_reply(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user) {
  char text[64];
  uint32_t *calls = user;
  const box *state = outcome->state;
  if (calls)
    ++*calls;
  assert_int_equal(outcome->position.n, 0); /* op.h: pure, so it can't know where it will be written */
  *out = (cafe_slice){NULL, 0};
  if (outcome->verdict == CAFE_REFUSED) {
    bool is_final =
        outcome->event ? ((const denied *)outcome->event->data)->for_ever : strcmp(outcome->reason, "denied") == 0;
    if (!is_final)
      return CAFE_OK;
    return cafe_arena_copy(out, arena, cafe_text("denied"));
  }
  snprintf(text, sizeof text, "%llu has %lld", (unsigned long long)outcome->key, (long long)state->total);
  return cafe_arena_copy(out, arena, cafe_text(text));
}

static int send(kit *k, call *c, const cafe_schema *command, const void *data, const char *key, const char *body,
                int64_t timeout_ms) {
  cafe_client_key named = {cafe_text("POST /boxes"), cafe_text(key), cafe_text(body)};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = command;
  submit.data = data;
  submit.data_size = command->width;
  submit.client_key = &named;
  submit.reply = make_reply;
  submit.timeout_ms = timeout_ms;
  return kit_submit(k, c, &submit);
}

static call add_under(kit *k, const char *key, const char *body, int64_t amount) {
  call c;
  add data = {amount, {NULL, 0}};
  assert_int_equal(send(k, &c, &add_type, &data, key, body, 0), CAFE_OK);
  kit_run(k, 10);
  assert_int_equal(c.times, 1);
  return c;
}

static void a_repeat_finds_the_first_answer(void **state) {
  (void)state;
  for (int how = 0; how < 4; how++) {
    kit k;
    kit_open(&k, how % 2);
    call first = add_under(&k, "a", "body", 5);
    assert_int_equal(first.verdict, CAFE_ACCEPTED);
    assert_string_equal(first.reply, "1 has 5");
    assert_false(first.replayed);
    if (how == 2)
      kit_restart(&k);
    if (how == 3)
      kit_crash(&k);
    kit_add(&k, 1, 7);
    call again = add_under(&k, "a", "body", 5);
    assert_int_equal(again.code, CAFE_OK);
    assert_true(again.replayed);
    assert_int_equal(again.verdict, CAFE_UNCHANGED);
    assert_int_equal(again.key, 1);
    assert_string_equal(again.reply, "1 has 5");
    assert_false(again.has_state);
    assert_int_equal(kit_add(&k, 1, 0).state.adds, 2);
    kit_close(&k);
  }
}

static void another_body_under_the_key_is_refused(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  add_under(&k, "a", "body", 5);
  call other = add_under(&k, "a", "another", 6);
  assert_int_equal(other.code, CAFE_CONFLICT);
  assert_non_null(strstr(other.text, "another request"));
  assert_int_equal(kit_add(&k, 1, 0).state.adds, 1);
  kit_close(&k);
}

static void another_scope_is_another_key(void **state) {
  (void)state;
  kit k;
  call a, b;
  add data = {1, {NULL, 0}};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  cafe_client_key one = {cafe_text("one"), cafe_text("k"), {NULL, 0}},
                  two = {cafe_text("onek"), cafe_text("k"), {NULL, 0}};
  kit_open(&k, true);
  submit.command = &add_type;
  submit.data = &data;
  submit.data_size = sizeof data;
  submit.client_key = &one;
  assert_int_equal(kit_submit(&k, &a, &submit), CAFE_OK);
  submit.client_key = &two;
  assert_int_equal(kit_submit(&k, &b, &submit), CAFE_OK);
  kit_run(&k, 20);
  assert_int_equal(a.code, CAFE_OK);
  assert_int_equal(b.code, CAFE_OK);
  assert_int_not_equal(a.key, b.key);
  kit_close(&k);
}

static void repeats_at_once_have_one_effect_and_one_answer(void **state) {
  (void)state;
  for (int is_threaded = 0; is_threaded <= 1; is_threaded++) {
    kit k;
    call calls[20];
    add data = {5, {NULL, 0}};
    kit_open(&k, is_threaded);
    for (int i = 0; i < 20; i++) {
      assert_int_equal(send(&k, &calls[i], &add_type, &data, "a", "body", 0), CAFE_OK);
      if (i % 3 == 0)
        cafe_sim_step(k.loop);
    }
    kit_run(&k, 100);
    uint32_t replayed = 0;
    for (int i = 0; i < 20; i++) {
      assert_int_equal(calls[i].code, CAFE_OK);
      assert_string_equal(calls[i].reply, calls[0].reply);
      assert_int_equal(calls[i].key, calls[0].key);
      replayed += calls[i].replayed;
    }
    assert_int_equal(replayed, 19);
    assert_int_equal(kit_add(&k, calls[0].key, 0).state.adds, 1);
    kit_close(&k);
  }
}

/* ---- what is pending ---- */

static void a_repeat_joins_what_is_pending(void **state) {
  (void)state;
  for (int how = 0; how < 3; how++) {
    kit k;
    call calls[3];
    ask data = {1};
    kit_open(&k, true);
    for (int i = 0; i < 3; i++) {
      assert_int_equal(send(&k, &calls[i], &ask_type, &data, "a", "body", 0), CAFE_OK);
      if (how == 0)
        kit_run(&k, 20);
      if (how == 1)
        cafe_sim_step(k.loop);
    }
    kit_run(&k, 50);
    assert_int_equal(k.started, 1);
    kit_answer(&k, 0, 1);
    kit_run(&k, 50);
    for (int i = 0; i < 3; i++) {
      assert_int_equal(calls[i].times, 1);
      assert_int_equal(calls[i].code, CAFE_OK);
      assert_int_equal(calls[i].verdict, CAFE_ACCEPTED);
      assert_int_equal(calls[i].key, calls[0].key);
      assert_string_equal(calls[i].reply, calls[0].reply);
    }
    kit_close(&k);
  }
}

static void what_is_pending_is_joined_after_a_crash_too(void **state) {
  (void)state;
  kit k;
  call first, again;
  ask data = {1};
  kit_open(&k, true);
  assert_int_equal(send(&k, &first, &ask_type, &data, "a", "body", 0), CAFE_OK);
  kit_run(&k, 50);
  assert_int_equal(k.running, 1);
  kit_crash(&k);
  assert_int_equal(first.code, CAFE_CANCELED);
  assert_int_equal(send(&k, &again, &ask_type, &data, "a", "body", 0), CAFE_OK);
  kit_run(&k, 5000);
  assert_int_equal(k.running, 1); /* the same question, not another */
  assert_int_equal(k.attempts[0], 2);
  kit_answer(&k, 0, 1);
  kit_run(&k, 50);
  assert_int_equal(again.verdict, CAFE_ACCEPTED);
  assert_int_equal(again.key, 1);
  kit_close(&k);
}

static void what_came_to_nothing_begins_anew_under_the_same_key(void **state) {
  (void)state;
  kit k;
  call calls[3];
  ask data = {1};
  kit_open(&k, true);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(send(&k, &calls[i], &ask_type, &data, "a", "body", 0), CAFE_OK);
    kit_run(&k, 50);
    assert_int_equal(k.running, 1);
    kit_answer(&k, 0, i < 2 ? 2 : 1);
    kit_run(&k, 50);
    assert_int_equal(calls[i].verdict, i < 2 ? CAFE_REFUSED : CAFE_ACCEPTED);
  }
  assert_int_not_equal(calls[0].key, calls[1].key);
  assert_int_not_equal(calls[1].key, calls[2].key);
  call again;
  assert_int_equal(send(&k, &again, &ask_type, &data, "a", "body", 0), CAFE_OK);
  kit_run(&k, 50);
  assert_true(again.replayed);
  assert_int_equal(again.key, calls[2].key);
  kit_close(&k);
}

/* Without a reply nobody says that the key may try again: it names the first stream for good, whatever that says. */
static void without_a_reply_a_key_never_begins_a_second_stream(void **state) {
  (void)state;
  kit k;
  ask data = {1};
  cafe_client_key named = {cafe_text("POST /boxes"), cafe_text("a"), cafe_text("body")};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = &ask_type;
  submit.data = &data;
  submit.data_size = sizeof data;
  submit.client_key = &named;
  kit_open(&k, true);
  for (int i = 0; i < 4; i++) {
    call c;
    assert_int_equal(kit_submit(&k, &c, &submit), CAFE_OK);
    kit_run(&k, 50);
    if (i == 0) {
      kit_answer(&k, 0, 2);
      kit_run(&k, 50);
    }
    assert_int_equal(k.running, 0);
    assert_int_equal(c.code, CAFE_OK);
    assert_int_equal(c.verdict, CAFE_REFUSED);
    assert_int_equal(c.key, 1);
    if (i == 2)
      kit_restart(&k);
  }
  kit_close(&k);
}

/* A refusal that leaves events is a stream's beginning as any other. */
static void a_key_names_the_stream_of_a_refusal_with_events(void **state) {
  (void)state;
  kit k;
  add data = {1001, {NULL, 0}};
  cafe_client_key named = {cafe_text("POST /boxes"), cafe_text("a"), cafe_text("body")};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = &add_type;
  submit.data = &data;
  submit.data_size = sizeof data;
  submit.client_key = &named;
  kit_open(&k, true);
  for (int i = 0; i < 3; i++) {
    call c;
    assert_int_equal(kit_submit(&k, &c, &submit), CAFE_OK);
    kit_run(&k, 50);
    assert_int_equal(c.code, CAFE_OK);
    assert_int_equal(c.verdict, CAFE_REFUSED);
    assert_int_equal(c.key, 1);
    if (i == 1)
      kit_crash(&k);
  }
  kit_close(&k);
}

static void repeats_at_once_of_what_came_to_nothing_begin_one_thing_anew(void **state) {
  (void)state;
  kit k;
  call first, calls[5];
  ask data = {1};
  kit_open(&k, true);
  assert_int_equal(send(&k, &first, &ask_type, &data, "a", "body", 0), CAFE_OK);
  kit_run(&k, 50);
  kit_answer(&k, 0, 2);
  kit_run(&k, 50);
  for (int i = 0; i < 5; i++)
    assert_int_equal(send(&k, &calls[i], &ask_type, &data, "a", "body", 0), CAFE_OK);
  kit_run(&k, 200);
  assert_int_equal(k.running, 1);
  kit_answer(&k, 0, 1);
  kit_run(&k, 200);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(calls[i].verdict, CAFE_ACCEPTED);
    assert_int_equal(calls[i].key, calls[0].key);
  }
  kit_close(&k);
}

static void a_final_refusal_is_kept(void **state) {
  (void)state;
  kit k;
  call first, again, late;
  ask data = {1};
  kit_open(&k, true);
  assert_int_equal(send(&k, &first, &ask_type, &data, "a", "body", 0), CAFE_OK);
  kit_run(&k, 50);
  kit_answer(&k, 0, 0);
  kit_run(&k, 50);
  assert_int_equal(first.verdict, CAFE_REFUSED);
  assert_string_equal(first.reply, "denied");
  assert_int_equal(send(&k, &again, &ask_type, &data, "a", "body", 0), CAFE_OK);
  kit_run(&k, 50);
  assert_true(again.replayed);
  assert_string_equal(again.reply, "denied");
  assert_int_equal(k.started, 1);
  /* Nobody was there any more when it was refused: then the stream itself says it. */
  assert_int_equal(send(&k, &first, &ask_type, &data, "b", "body", 20), CAFE_OK);
  kit_run(&k, 50);
  assert_int_equal(first.code, CAFE_TIMEOUT);
  kit_answer(&k, 0, 0);
  kit_run(&k, 50);
  assert_int_equal(send(&k, &late, &ask_type, &data, "b", "body", 0), CAFE_OK);
  kit_run(&k, 50);
  assert_int_equal(late.verdict, CAFE_REFUSED);
  assert_string_equal(late.reply, "denied");
  assert_int_equal(k.started, 2);
  kit_close(&k);
}

/* ---- giving up ---- */

static void whoever_gives_up_and_repeats_has_one_effect(void **state) {
  (void)state;
  for (int is_threaded = 0; is_threaded <= 1; is_threaded++) {
    for (int steps = 0; steps < 14; steps++) {
      kit k;
      call first, again;
      add data = {5, {NULL, 0}};
      kit_open(&k, is_threaded);
      kit_run(&k, 10);
      assert_int_equal(send(&k, &first, &add_type, &data, "a", "body", 0), CAFE_OK);
      for (int i = 0; i < steps; i++)
        cafe_sim_step(k.loop);
      if (first.op)
        cafe_op_cancel(first.op);
      assert_int_equal(send(&k, &again, &add_type, &data, "a", "body", 0), CAFE_OK);
      kit_run(&k, 50);
      assert_int_equal(first.times, 1);
      assert_int_equal(again.code, CAFE_OK);
      cafe_node_stats stats = {.size = sizeof stats};
      cafe_node_stats_get(k.node, &stats);
      assert_int_equal(stats.events, 1);
      kit_close(&k);
    }
  }
}

static void a_deadline_that_passes_before_the_decision_has_no_effect_twice(void **state) {
  (void)state;
  kit k;
  call first, again;
  add data = {5, {NULL, 0}};
  kit_open(&k, true);
  cafe_sim_set_job_delay(k.loop, 50000, 60000); /* the block of keys takes long to come */
  assert_int_equal(send(&k, &first, &add_type, &data, "a", "body", 10), CAFE_OK);
  kit_run(&k, 20);
  assert_int_equal(first.code, CAFE_OVERLOADED); /* it surely isn't done */
  assert_int_equal(send(&k, &again, &add_type, &data, "a", "body", 0), CAFE_OK);
  kit_run(&k, 1000);
  assert_int_equal(again.code, CAFE_OK);
  assert_int_equal(kit_add(&k, again.key, 0).times, 1);
  cafe_node_stats stats = {.size = sizeof stats};
  cafe_node_stats_get(k.node, &stats);
  assert_int_equal(stats.events, 1);
  kit_close(&k);
}

static void a_key_for_a_command_to_a_known_stream_is_kept_too(void **state) {
  (void)state;
  kit k;
  call c;
  add data = {5, {NULL, 0}};
  cafe_client_key named = {cafe_text("POST /boxes/9"), cafe_text("x"), {NULL, 0}};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  uint32_t made = 0;
  kit_open(&k, true);
  submit.command = &add_type;
  submit.key = 9;
  submit.data = &data;
  submit.data_size = sizeof data;
  submit.client_key = &named;
  submit.reply = make_reply;
  submit.reply_user = &made;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(kit_submit(&k, &c, &submit), CAFE_OK);
    kit_run(&k, 20);
    assert_int_equal(c.code, CAFE_OK);
    assert_string_equal(c.reply, "9 has 5");
    assert_int_equal(c.replayed, i > 0);
  }
  assert_int_equal(kit_add(&k, 9, 0).state.adds, 1);
  assert_true(made >= 1);
  kit_close(&k);
}

static void without_a_reply_the_key_names_the_stream_alone(void **state) {
  (void)state;
  kit k;
  call first, again;
  add data = {5, {NULL, 0}};
  cafe_client_key named = {{NULL, 0}, cafe_text("x"), {NULL, 0}};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  kit_open(&k, true);
  submit.command = &add_type;
  submit.data = &data;
  submit.data_size = sizeof data;
  submit.client_key = &named;
  assert_int_equal(kit_submit(&k, &first, &submit), CAFE_OK);
  kit_run(&k, 20);
  data.amount = 0;
  assert_int_equal(kit_submit(&k, &again, &submit), CAFE_OK);
  kit_run(&k, 20);
  assert_int_equal(again.verdict, CAFE_UNCHANGED); /* decided once more, on the same stream */
  (void)first;
  kit_close(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_repeat_finds_the_first_answer),
      cmocka_unit_test(another_body_under_the_key_is_refused),
      cmocka_unit_test(another_scope_is_another_key),
      cmocka_unit_test(repeats_at_once_have_one_effect_and_one_answer),
      cmocka_unit_test(a_repeat_joins_what_is_pending),
      cmocka_unit_test(what_is_pending_is_joined_after_a_crash_too),
      cmocka_unit_test(what_came_to_nothing_begins_anew_under_the_same_key),
      cmocka_unit_test(without_a_reply_a_key_never_begins_a_second_stream),
      cmocka_unit_test(a_key_names_the_stream_of_a_refusal_with_events),
      cmocka_unit_test(repeats_at_once_of_what_came_to_nothing_begin_one_thing_anew),
      cmocka_unit_test(a_final_refusal_is_kept),
      cmocka_unit_test(whoever_gives_up_and_repeats_has_one_effect),
      cmocka_unit_test(a_deadline_that_passes_before_the_decision_has_no_effect_twice),
      cmocka_unit_test(a_key_for_a_command_to_a_known_stream_is_kept_too),
      cmocka_unit_test(without_a_reply_the_key_names_the_stream_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
