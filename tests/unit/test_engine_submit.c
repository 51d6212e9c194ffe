/* SPDX-License-Identifier: Apache-2.0 */

/* Submitting: answers, refusals, deadlines, giving up, overload, and the keys of new streams. */
#include "test_engine_kit.h"

static void an_answer_tells_what_became_of_the_command(void **state) {
  (void)state;
  for (int is_threaded = 0; is_threaded <= 1; is_threaded++) {
    kit k;
    kit_open(&k, is_threaded);
    call first = kit_add(&k, 5, 3), second = kit_add(&k, 5, 4);
    assert_int_equal(first.verdict, CAFE_ACCEPTED);
    assert_int_equal(first.version, 1);
    assert_int_equal(second.version, 2);
    assert_ptr_equal(second.event, &added_type);
    assert_int_equal(second.position.n, 2);
    assert_int_not_equal(second.position.log_id, 0);
    assert_int_equal(second.state.total, 7);
    call unchanged = kit_add(&k, 5, 0);
    assert_int_equal(unchanged.verdict, CAFE_UNCHANGED);
    assert_int_equal(unchanged.version, 2);
    assert_null(unchanged.event);
    assert_int_equal(unchanged.state.total, 7);
    call refused = kit_add(&k, 5, -1);
    assert_int_equal(refused.verdict, CAFE_REFUSED);
    assert_string_equal(refused.reason, "negative");
    assert_string_equal(refused.text, "-1 is negative");
    kit_close(&k);
  }
}

static void events_before_a_refusal_are_committed(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  call both = kit_add(&k, 5, 2000);
  assert_int_equal(both.verdict, CAFE_REFUSED);
  assert_string_equal(both.reason, "too-much");
  assert_int_equal(both.version, 1);
  kit_restart(&k);
  assert_int_equal(kit_add(&k, 5, 0).state.total, 2000);
  kit_close(&k);
}

static void commands_of_one_key_are_decided_in_the_order_of_submission(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  call calls[50];
  for (int i = 0; i < 50; i++) {
    add data = {i + 1, {NULL, 0}};
    assert_int_equal(kit_send(&k, &calls[i], &add_type, 9, &data), CAFE_OK);
  }
  kit_run(&k, 100);
  int64_t total = 0;
  for (int i = 0; i < 50; i++) {
    total += i + 1;
    assert_int_equal(calls[i].times, 1);
    assert_int_equal(calls[i].version, i + 1);
    assert_int_equal(calls[i].state.total, total);
  }
  cafe_node_stats stats = {.size = sizeof stats};
  cafe_node_stats_get(k.node, &stats);
  assert_in_range(stats.batches, 1, 10); /* one durable write serves many */
  kit_close(&k);
}

static void what_is_submitted_wrongly_is_refused_and_never_calls_back(void **state) {
  (void)state;
  kit k;
  call c;
  add data = {1, {NULL, 0}};
  char long_key[300];
  memset(long_key, 'k', sizeof long_key);
  kit_init(&k, false);
  k.options.loop = k.loop;
  k.options.store = k.store;
  cafe_node *unstarted;
  cafe_submit submit = CAFE_SUBMIT_INIT;
  cafe_err err;
  submit.command = &add_type;
  submit.data = &data;
  submit.data_size = sizeof data;
  assert_int_equal(cafe_node_create(&unstarted, &k.options, &err), CAFE_OK);
  assert_int_equal(cafe_node_submit(NULL, unstarted, &submit, call_done, &c, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "cafe_node_start"));
  cafe_node_destroy(unstarted);
  assert_int_equal(kit_start(&k), CAFE_OK);

  assert_int_equal(kit_send(&k, &c, &question_type, 1, &data), CAFE_INVALID);
  assert_non_null(strstr(c.text, "QuestionTask"));
  assert_int_equal(kit_send(&k, &c, NULL, 1, &data), CAFE_INVALID);
  assert_int_equal(kit_send(&k, &c, &add_type, 1, NULL), CAFE_INVALID);
  assert_int_equal(kit_send(&k, &c, &add_type, CAFE_KEY_MAX + 1, &data), CAFE_INVALID);
  assert_non_null(strstr(c.text, "2^53"));
  cafe_client_key wrong[] = {
      {{NULL, 0}, {NULL, 0}, {NULL, 0}},
      {{NULL, 0}, {long_key, 256}, {NULL, 0}},
      {{long_key, 256}, {"k", 1}, {NULL, 0}},
      {{NULL, 0}, {"k", 1}, {long_key, 65537}},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    submit.client_key = &wrong[i];
    assert_int_equal(kit_submit(&k, &c, &submit), CAFE_INVALID);
  }
  submit.client_key = NULL;
  submit.size = 0;
  assert_int_equal(kit_submit(&k, &c, &submit), CAFE_INVALID);
  assert_non_null(strstr(c.text, "CAFE_SUBMIT_INIT"));
  static const cafe_schema twin = CAFE_SCHEMA_OF("Add", add, add_fields);
  assert_int_equal(kit_send(&k, &c, &twin, 1, &data), CAFE_INVALID);
  assert_non_null(strstr(c.text, "one cafe_schema"));
  kit_run(&k, 100);
  assert_int_equal(c.times, 0);
  kit_close(&k);
}

/* ---- waiting ---- */

static void a_pending_command_is_answered_by_its_outcome(void **state) {
  (void)state;
  kit k;
  call yes, no, other;
  ask data = {1};
  kit_open(&k, true);
  assert_int_equal(kit_send(&k, &yes, &ask_type, 1, &data), CAFE_OK);
  assert_int_equal(kit_send(&k, &no, &ask_type, 2, &data), CAFE_OK);
  kit_run(&k, 50);
  assert_int_equal(k.running, 2);
  assert_int_equal(kit_send(&k, &other, &ask_type, 1, &data), CAFE_OK); /* joins */
  kit_run(&k, 50);
  assert_int_equal(yes.times + no.times + other.times, 0);
  uint32_t first = k.tasks[0]->key == 1 ? 0 : 1;
  kit_answer(&k, first, 1);
  kit_run(&k, 50);
  assert_int_equal(yes.times, 1);
  assert_int_equal(other.times, 1);
  assert_int_equal(yes.verdict, CAFE_ACCEPTED);
  assert_ptr_equal(yes.event, &answered_type);
  assert_int_equal(yes.version, 2);
  assert_int_equal(other.version, 2);
  kit_answer(&k, 0, 0);
  kit_run(&k, 50);
  assert_int_equal(no.verdict, CAFE_REFUSED);
  assert_string_equal(no.reason, "Denied");
  kit_close(&k);
}

static void a_deadline_ends_the_waiting_and_nothing_else(void **state) {
  (void)state;
  kit k;
  call c, later;
  ask data = {1};
  kit_open(&k, true);
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = &ask_type;
  submit.key = 1;
  submit.data = &data;
  submit.data_size = sizeof data;
  submit.timeout_ms = 200;
  int64_t from_us = cafe_sim_now_us(k.loop);
  assert_int_equal(kit_submit(&k, &c, &submit), CAFE_OK);
  kit_run(&k, 199);
  assert_int_equal(c.times, 0);
  kit_run(&k, 2);
  assert_int_equal(c.times, 1);
  assert_int_equal(c.code, CAFE_TIMEOUT);
  assert_true(cafe_sim_now_us(k.loop) - from_us < 202000);
  assert_int_equal(kit_send(&k, &later, &ask_type, 1, &data), CAFE_OK);
  kit_run(&k, 10);
  kit_answer(&k, 0, 1);
  kit_run(&k, 10);
  assert_int_equal(c.times, 1);
  assert_int_equal(later.verdict, CAFE_ACCEPTED); /* it went on */
  kit_close(&k);
}

/* Whoever is told that nothing was done is told the truth, and so is who is told that it goes on. */
static void a_deadline_before_its_turn_leaves_nothing_done(void **state) {
  (void)state;
  int seen[2] = {0, 0};
  for (int64_t timeout_ms = 1; timeout_ms < 40; timeout_ms++) {
    kit k;
    call late, after;
    add data = {5, {NULL, 0}};
    kit_open(&k, true);
    cafe_sim_set_job_delay(k.loop, 10000, 12000); /* to load the key, and then to commit */
    cafe_submit submit = CAFE_SUBMIT_INIT;
    submit.command = &add_type;
    submit.key = 9;
    submit.data = &data;
    submit.data_size = sizeof data;
    submit.timeout_ms = timeout_ms;
    assert_int_equal(kit_submit(&k, &late, &submit), CAFE_OK);
    kit_run(&k, 100);
    assert_int_equal(late.times, 1);
    cafe_sim_set_job_delay(k.loop, 0, 0);
    after = kit_add(&k, 9, 1);
    assert_int_equal(after.version, late.code == CAFE_OVERLOADED ? 1 : 2);
    if (late.code)
      seen[late.code == CAFE_TIMEOUT]++;
    kit_close(&k);
  }
  assert_true(seen[0] && seen[1]);
}

static void giving_up_is_answered_once_in_a_later_turn(void **state) {
  (void)state;
  kit k;
  ask data = {1};
  add one = {1, {NULL, 0}};
  kit_open(&k, true);
  /* Before it is decided, while it is committed, while it waits. */
  for (int steps = 0; steps < 12; steps++) {
    call c, added_once;
    assert_int_equal(kit_send(&k, &c, &ask_type, 100 + (uint64_t)steps, &data), CAFE_OK);
    assert_int_equal(kit_send(&k, &added_once, &add_type, 200 + (uint64_t)steps, &one), CAFE_OK);
    for (int i = 0; i < steps; i++)
      cafe_sim_step(k.loop);
    if (c.op) {
      cafe_op_cancel(c.op);
      cafe_op_cancel(c.op); /* harmless */
      assert_int_equal(c.times, 0);
    }
    if (added_once.op)
      cafe_op_cancel(added_once.op);
    kit_run(&k, 50);
    assert_int_equal(c.times, 1);
    assert_int_equal(c.code, CAFE_CANCELED);
    assert_int_equal(added_once.times, 1);
    assert_true(added_once.code == CAFE_CANCELED || added_once.code == CAFE_OK);
    while (k.running)
      kit_answer(&k, 0, 1);
    kit_run(&k, 50);
    assert_in_range(kit_add(&k, 200 + (uint64_t)steps, 0).state.adds, added_once.code == CAFE_OK, 1);
  }
  kit_close(&k);
}

static void a_full_queue_says_so(void **state) {
  (void)state;
  kit k;
  call calls[5];
  ask data = {1};
  kit_init(&k, true);
  cafe_sim_set_job_delay(k.loop, 2500, 2500);
  k.options.max_queued = 4;
  assert_int_equal(kit_start(&k), CAFE_OK);
  for (uint64_t i = 0; i < 4; i++)
    assert_int_equal(kit_send(&k, &calls[i], &ask_type, i + 1, &data), CAFE_OK);
  assert_int_equal(kit_send(&k, &calls[4], &ask_type, 5, &data), CAFE_OVERLOADED);
  assert_non_null(strstr(calls[4].text, "later"));
  assert_int_equal(calls[4].retry_after_ms, 0); /* nothing was committed yet: nobody knows */
  kit_run(&k, 50);
  assert_int_equal(kit_send(&k, &calls[4], &ask_type, 5, &data), CAFE_OVERLOADED); /* who waits counts */
  assert_int_equal(calls[4].retry_after_ms, 3);                                    /* a commit takes 2.5 ms */
  kit_answer(&k, 0, 1);
  kit_run(&k, 50);
  assert_int_equal(kit_send(&k, &calls[4], &ask_type, 5, &data), CAFE_OK);
  kit_close(&k);
  for (int i = 0; i < 5; i++)
    assert_int_equal(calls[i].times, 1);
}

static void after_a_failed_commit_the_caller_is_told_and_the_next_command_finds_what_is_stored(void **state) {
  (void)state;
  for (int is_threaded = 0; is_threaded <= 1; is_threaded++) {
    kit k;
    kit_open(&k, is_threaded);
    kit_add(&k, 1, 5);
    cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
    faults.fail_call = 1;
    cafe_faulty_store_set(k.store, &faults);
    call failed = kit_add(&k, 1, 7);
    assert_int_equal(failed.code, CAFE_UNAVAILABLE);
    call next = kit_add(&k, 1, 1);
    assert_int_equal(next.state.total, 6);
    assert_int_equal(next.version, 2);
    kit_close(&k);
  }
}

static int (*work_of_loop)(cafe_loop *self, cafe_lane lane, cafe_job *job, cafe_err *err);

static void has_run(cafe_job *job) { (void)job; }

/* The lane's thread is done with the job before the loop's comes back from here. */
static int work_at_once(cafe_loop *self, cafe_lane lane, cafe_job *job, cafe_err *err) {
  job->run(job);
  job->run = has_run;
  return work_of_loop(self, lane, job, err);
}

static void a_lane_that_is_quicker_than_the_loop_is_believed(void **state) {
  (void)state;
  kit k;
  kit_init(&k, true);
  cafe_loop_ops quick = *k.loop->ops;
  work_of_loop = quick.work;
  quick.work = work_at_once;
  k.loop->ops = &quick;
  assert_int_equal(kit_start(&k), CAFE_OK);
  kit_add(&k, 1, 5);
  cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
  faults.fail_call = 1;
  cafe_faulty_store_set(k.store, &faults);
  assert_int_equal(kit_add(&k, 1, 7).code, CAFE_UNAVAILABLE);
  assert_int_equal(kit_add(&k, 1, 1).state.total, 6);
  kit_close(&k);
}

/* ---- new keys ---- */

static uint64_t new_key(kit *k) { return kit_add(k, 0, 1).key; }

static void new_keys_rise_without_gaps_within_a_node(void **state) {
  (void)state;
  kit k;
  kit_init(&k, true);
  k.options.id_block = 4;
  assert_int_equal(kit_start(&k), CAFE_OK);
  for (uint64_t i = 1; i <= 30; i++)
    assert_int_equal(new_key(&k), i);
  kit_close(&k);
}

static void a_crash_leaves_a_gap_of_a_block_at_most_and_never_a_key_twice(void **state) {
  (void)state;
  kit k;
  kit_init(&k, true);
  k.options.id_block = 8;
  assert_int_equal(kit_start(&k), CAFE_OK);
  uint64_t last = 0;
  for (int i = 0; i < 20; i++) {
    for (int j = 0; j <= i % 5; j++) {
      uint64_t key = new_key(&k);
      assert_in_range(key, last + 1, last + 17); /* the block in hand and the one that was fetched early */
      last = key;
    }
    if (i % 2)
      kit_crash(&k);
    else
      kit_restart(&k);
  }
  kit_close(&k);
}

static void many_new_keys_at_once_wait_for_their_block(void **state) {
  (void)state;
  kit k;
  call calls[40];
  add data = {1, {NULL, 0}};
  kit_init(&k, true);
  k.options.id_block = 4;
  assert_int_equal(kit_start(&k), CAFE_OK);
  for (int i = 0; i < 40; i++)
    assert_int_equal(kit_send(&k, &calls[i], &add_type, 0, &data), CAFE_OK);
  kit_run(&k, 100);
  for (int i = 0; i < 40; i++) {
    assert_int_equal(calls[i].times, 1);
    assert_int_equal(calls[i].code, CAFE_OK);
    assert_int_equal(calls[i].key, i + 1);
  }
  kit_close(&k);
}

static void that_no_key_can_be_reserved_is_told_to_all_who_wait(void **state) {
  (void)state;
  kit k;
  call calls[3];
  add data = {1, {NULL, 0}};
  kit_open(&k, true);
  kit_run(&k, 10); /* what it reads at its start is read */
  cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
  faults.fail_call = 1;
  cafe_faulty_store_set(k.store, &faults);
  for (int i = 0; i < 3; i++)
    assert_int_equal(kit_send(&k, &calls[i], &add_type, 0, &data), CAFE_OK);
  kit_run(&k, 100);
  for (int i = 0; i < 3; i++)
    assert_int_equal(calls[i].code, CAFE_UNAVAILABLE);
  assert_int_equal(kit_add(&k, 0, 1).key, 1);
  kit_close(&k);
}

/* ---- the blocking form ---- */

static void the_blocking_form_gives_the_same_answer(void **state) {
  (void)state;
  kit k;
  const cafe_outcome *out;
  cafe_err err;
  add data = {3, cafe_text("blocking")};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  kit_open(&k, true);
  submit.command = &add_type;
  submit.data = &data;
  submit.data_size = sizeof data;
  assert_int_equal(cafe_node_call(&out, k.node, &submit, &err), CAFE_OK);
  assert_int_equal(out->verdict, CAFE_ACCEPTED);
  assert_int_equal(out->key, 1);
  assert_ptr_equal(out->event->type, &added_type);
  assert_int_equal(((const added *)out->event->data)->amount, 3);
  assert_true(cafe_slice_equal(((const added *)out->event->data)->note, cafe_text("blocking")));
  assert_null(out->state);
  data.amount = -3;
  assert_int_equal(cafe_node_call(&out, k.node, &submit, &err), CAFE_OK);
  assert_int_equal(out->verdict, CAFE_REFUSED);
  assert_string_equal(out->reason, "negative");
  assert_string_equal(out->text, "-3 is negative");
  submit.command = &question_type;
  assert_int_equal(cafe_node_call(&out, k.node, &submit, &err), CAFE_INVALID);
  assert_null(out);
  kit_close(&k);
}

/* ---- draining ---- */

static void note_done(const cafe_err *err, void *user) {
  assert_null(err);
  *(bool *)user = true;
}

static void a_draining_node_takes_nothing_more_and_finishes_what_it_has(void **state) {
  (void)state;
  kit k;
  call waits, late;
  ask data = {1};
  bool is_drained = false;
  kit_open(&k, true);
  assert_int_equal(kit_send(&k, &waits, &ask_type, 1, &data), CAFE_OK);
  assert_int_equal(cafe_node_drain(k.node, note_done, &is_drained, NULL), CAFE_OK);
  assert_int_equal(cafe_node_drain(k.node, note_done, &is_drained, NULL), CAFE_INVALID);
  assert_int_equal(kit_send(&k, &late, &ask_type, 2, &data), CAFE_UNAVAILABLE);
  kit_run(&k, 100);
  assert_false(is_drained);
  assert_int_equal(k.running, 1); /* begun for him who waits */
  kit_fail_task(&k, 0);
  kit_run(&k, 500);
  assert_int_equal(k.running, 1); /* and again */
  kit_answer(&k, 0, 1);
  kit_run(&k, 10);
  assert_true(is_drained);
  assert_int_equal(waits.verdict, CAFE_ACCEPTED);
  kit_close(&k);
}

static void what_nobody_waits_for_is_left_to_the_next_start(void **state) {
  (void)state;
  kit k;
  call gone;
  ask data = {1};
  bool is_drained = false;
  kit_open(&k, true);
  assert_int_equal(kit_send(&k, &gone, &ask_type, 1, &data), CAFE_OK);
  kit_run(&k, 10);
  assert_int_equal(k.running, 1);
  cafe_op_cancel(gone.op);
  kit_run(&k, 10);
  kit_fail_task(&k, 0);
  assert_int_equal(cafe_node_drain(k.node, note_done, &is_drained, NULL), CAFE_OK);
  kit_run(&k, 5000);
  assert_true(is_drained);
  assert_int_equal(k.running, 0);
  kit_restart(&k);
  kit_run(&k, 5000);
  assert_int_equal(k.running, 1);
  assert_int_equal(k.attempts[0], 2);
  kit_answer(&k, 0, 1);
  kit_run(&k, 10);
  kit_close(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_answer_tells_what_became_of_the_command),
      cmocka_unit_test(events_before_a_refusal_are_committed),
      cmocka_unit_test(commands_of_one_key_are_decided_in_the_order_of_submission),
      cmocka_unit_test(what_is_submitted_wrongly_is_refused_and_never_calls_back),
      cmocka_unit_test(a_pending_command_is_answered_by_its_outcome),
      cmocka_unit_test(a_deadline_ends_the_waiting_and_nothing_else),
      cmocka_unit_test(a_deadline_before_its_turn_leaves_nothing_done),
      cmocka_unit_test(giving_up_is_answered_once_in_a_later_turn),
      cmocka_unit_test(a_full_queue_says_so),
      cmocka_unit_test(after_a_failed_commit_the_caller_is_told_and_the_next_command_finds_what_is_stored),
      cmocka_unit_test(a_lane_that_is_quicker_than_the_loop_is_believed),
      cmocka_unit_test(new_keys_rise_without_gaps_within_a_node),
      cmocka_unit_test(a_crash_leaves_a_gap_of_a_block_at_most_and_never_a_key_twice),
      cmocka_unit_test(many_new_keys_at_once_wait_for_their_block),
      cmocka_unit_test(that_no_key_can_be_reserved_is_told_to_all_who_wait),
      cmocka_unit_test(the_blocking_form_gives_the_same_answer),
      cmocka_unit_test(a_draining_node_takes_nothing_more_and_finishes_what_it_has),
      cmocka_unit_test(what_nobody_waits_for_is_left_to_the_next_start),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
