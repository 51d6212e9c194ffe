/* SPDX-License-Identifier: Apache-2.0 */

/* Tasks: started once what wants them is durable, one at a time, again until they are answered, and known by their
 * attempt for what may have happened before. */
#include "test_engine_kit.h"

/* Nobody looks at its answer, which comes when it comes: so its memory stays. */
static void want_task(kit *k, uint64_t key) {
  static call c;
  ask data = {1};
  assert_int_equal(kit_send(k, &c, &ask_type, key, &data), CAFE_OK);
  kit_run(k, 10);
}

static void a_task_starts_after_the_commit_and_not_before(void **state) {
  (void)state;
  kit k;
  call c;
  ask data = {1};
  kit_open(&k, true);
  kit_run(&k, 10);
  cafe_sim_set_job_delay(k.loop, 100000, 100000);
  assert_int_equal(kit_send(&k, &c, &ask_type, 1, &data), CAFE_OK);
  kit_run(&k, 150);
  assert_int_equal(k.running, 0); /* it was read, and is being written */
  kit_run(&k, 200);
  assert_int_equal(k.running, 1);
  assert_int_equal(k.attempts[0], 1);
  assert_int_equal(k.tasks[0]->key, 1);
  assert_string_equal(k.tasks[0]->aggregate, "box");
  assert_ptr_equal(k.tasks[0]->type, &question_type);
  assert_int_equal(((const question_task *)k.tasks[0]->data)->question, 1);
  assert_non_null(k.tasks[0]->cause);
  assert_ptr_equal(k.tasks[0]->cause->type, &ask_type);
  kit_close(&k);
  assert_int_equal(k.stopped, 1);
}

static void a_task_whose_commit_failed_never_starts(void **state) {
  (void)state;
  kit k;
  call c;
  ask data = {1};
  kit_open(&k, true);
  kit_run(&k, 10);
  for (uint64_t n = 1; n <= 2; n++) {
    cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
    faults.fail_call = n;
    cafe_faulty_store_set(k.store, &faults);
    assert_int_equal(kit_send(&k, &c, &ask_type, 5 + n, &data), CAFE_OK); /* it is read, then written */
    kit_run(&k, 5000);
    assert_int_equal(c.code, CAFE_UNAVAILABLE);
    assert_int_equal(k.started, 0);
  }
  kit_close(&k);
}

static void a_task_may_be_answered_where_it_starts(void **state) {
  (void)state;
  for (int is_threaded = 0; is_threaded <= 1; is_threaded++) {
    for (uint32_t failures = 0; failures < 3; failures++) {
      for (uint64_t n = 0; n < 6; n++) {
        kit k;
        call c;
        ask data = {1};
        kit_open(&k, is_threaded);
        kit_run(&k, 10);
        k.start_answers = true;
        k.start_gives_up = failures;
        cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
        faults.fail_call = n ? n + 2 : 0; /* behind the unit that wants it */
        cafe_faulty_store_set(k.store, &faults);
        assert_int_equal(kit_send(&k, &c, &ask_type, 1, &data), CAFE_OK);
        kit_run(&k, 10000);
        assert_int_equal(c.times, 1);
        assert_int_equal(c.verdict, CAFE_ACCEPTED);
        assert_true(k.started >= failures + 1);
        kit_close(&k);
      }
    }
  }
}

static void a_failed_attempt_is_repeated_when_its_backoff_says(void **state) {
  (void)state;
  kit k;
  kit_init(&k, true);
  k.retry = (cafe_retry){200, 3000, 0, 0};
  assert_int_equal(kit_start(&k), CAFE_OK);
  want_task(&k, 1);
  int64_t ceiling_ms = 200;
  for (uint32_t attempt = 1; attempt < 12; attempt++) {
    assert_int_equal(k.running, 1);
    assert_int_equal(k.attempts[0], attempt);
    kit_fail_task(&k, 0);
    int64_t from_us = cafe_sim_now_us(k.loop);
    while (!k.running)
      assert_true(cafe_sim_step(k.loop));
    int64_t waited_ms = (cafe_sim_now_us(k.loop) - from_us) / 1000;
    assert_in_range(waited_ms, 0, ceiling_ms + 10); /* and what two commits take */
    ceiling_ms = ceiling_ms * 2 > 3000 ? 3000 : ceiling_ms * 2;
  }
  kit_answer(&k, 0, 1);
  kit_run(&k, 10);
  kit_close(&k);
}

static void who_says_how_long_to_wait_is_not_asked_earlier(void **state) {
  (void)state;
  kit k;
  kit_init(&k, true);
  k.retry = (cafe_retry){1000, 1000, 0, 0};
  assert_int_equal(kit_start(&k), CAFE_OK);
  want_task(&k, 1);
  /* Less than the backoff may be: the backoff says. */
  static const int32_t asked_ms[] = {5000, 1, 60000};
  for (size_t i = 0; i < sizeof asked_ms / sizeof asked_ms[0]; i++) {
    int64_t most_ms = asked_ms[i] > 1000 ? asked_ms[i] : 1000;
    assert_int_equal(k.running, 1);
    kit_fail_task_for(&k, 0, asked_ms[i]);
    int64_t from_us = cafe_sim_now_us(k.loop);
    while (!k.running)
      assert_true(cafe_sim_step(k.loop));
    assert_in_range((cafe_sim_now_us(k.loop) - from_us) / 1000, asked_ms[i], most_ms + 10);
  }
  kit_answer(&k, 0, 1);
  kit_run(&k, 10);
  kit_close(&k);
}

static void the_time_of_an_attempt_counts_from_its_turn(void **state) {
  (void)state;
  kit k;
  kit_init(&k, true);
  k.retry = (cafe_retry){50, 50, 0, 300};
  k.start_holds = true;
  assert_int_equal(kit_start(&k), CAFE_OK);
  want_task(&k, 1);
  kit_run(&k, 100000);
  assert_int_equal(k.stopped, 0);
  assert_int_equal(k.running, 1);
  k.start_holds = false;
  cafe_task_begin(k.tasks[0]);
  kit_run(&k, 280);
  assert_int_equal(k.stopped, 0);
  kit_run(&k, 100);
  assert_int_equal(k.stopped, 1);
  assert_int_equal(k.attempts[0], 2);
  kit_answer(&k, 0, 1);
  kit_run(&k, 10);
  kit_close(&k);
}

static void count_drained(const cafe_err *err, void *user) {
  assert_null(err);
  ++*(int *)user;
}

/* After a restart nobody waits for the answer any more. */
static void reopen_held(kit *k) {
  kit_open(k, true);
  k->start_holds = true;
  want_task(k, 1);
  kit_restart(k);
  kit_run(k, 100);
  assert_int_equal(k->running, 1);
  assert_int_equal(k->attempts[0], 2);
  k->stopped = 0;
}

static void a_drain_does_not_wait_for_what_waits_for_its_turn(void **state) {
  (void)state;
  kit k;
  int drained = 0;
  reopen_held(&k);
  assert_int_equal(cafe_node_drain(k.node, count_drained, &drained, NULL), CAFE_OK);
  assert_int_equal(k.stopped, 1);
  kit_run(&k, 100);
  assert_int_equal(drained, 1);
  k.start_holds = false;
  kit_restart(&k); /* nothing is lost */
  kit_run(&k, 100);
  assert_int_equal(k.running, 1);
  assert_int_equal(k.attempts[0], 3);
  kit_answer(&k, 0, 1);
  kit_run(&k, 10);
  kit_close(&k);
}

static void a_drain_waits_for_what_had_its_turn_and_for_what_somebody_waits_for(void **state) {
  (void)state;
  kit k;
  int drained = 0;
  reopen_held(&k);
  cafe_task_begin(k.tasks[0]);
  assert_int_equal(cafe_node_drain(k.node, count_drained, &drained, NULL), CAFE_OK);
  kit_run(&k, 100);
  assert_int_equal(k.stopped + (uint32_t)drained, 0);
  kit_answer(&k, 0, 1);
  kit_run(&k, 100);
  assert_int_equal(drained, 1);
  kit_close(&k);

  drained = 0;
  kit_open(&k, true);
  k.start_holds = true;
  want_task(&k, 1);
  assert_int_equal(cafe_node_drain(k.node, count_drained, &drained, NULL), CAFE_OK);
  kit_run(&k, 100);
  assert_int_equal(k.stopped + (uint32_t)drained, 0);
  cafe_task_begin(k.tasks[0]);
  kit_answer(&k, 0, 1);
  kit_run(&k, 100);
  assert_int_equal(drained, 1);
  kit_close(&k);
}

static void a_start_that_fails_counts_as_an_attempt(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  k.start_fails = true;
  want_task(&k, 1);
  kit_run(&k, 1000);
  assert_in_range(k.started, 3, 1000);
  uint32_t tries = k.started;
  k.start_fails = false;
  kit_run(&k, 1000);
  assert_int_equal(k.running, 1);
  assert_int_equal(k.attempts[0], tries + 1);
  kit_close(&k);
}

static void an_attempt_without_an_answer_is_stopped_and_repeated(void **state) {
  (void)state;
  kit k;
  kit_init(&k, true);
  k.retry = (cafe_retry){50, 50, 0, 300};
  assert_int_equal(kit_start(&k), CAFE_OK);
  want_task(&k, 1);
  kit_run(&k, 280);
  assert_int_equal(k.stopped, 0);
  kit_run(&k, 100);
  assert_int_equal(k.stopped, 1);
  assert_int_equal(k.running, 1);
  assert_int_equal(k.attempts[0], 2);
  assert_true(kit_was_logged(&k, "no answer within 300 ms"));
  kit_answer(&k, 0, 1);
  kit_run(&k, 1000);
  assert_int_equal(k.stopped, 1);
  assert_int_equal(k.running, 0);
  kit_close(&k);
}

static void after_the_last_attempt_the_worker_says_so(void **state) {
  (void)state;
  kit k;
  call c;
  ask data = {1};
  kit_init(&k, true);
  k.retry = (cafe_retry){10, 10, 3, 0};
  assert_int_equal(kit_start(&k), CAFE_OK);
  assert_int_equal(kit_send(&k, &c, &ask_type, 1, &data), CAFE_OK);
  for (uint32_t attempt = 1; attempt <= 3; attempt++) {
    kit_run(&k, 50);
    assert_int_equal(k.running, 1);
    assert_int_equal(k.attempts[0], attempt);
    assert_int_equal(k.given_up, 0);
    kit_fail_task(&k, 0);
  }
  kit_run(&k, 50);
  assert_int_equal(k.given_up, 1);
  assert_int_equal(c.verdict, CAFE_REFUSED);
  assert_string_equal(c.reason, "Denied");
  cafe_node_stats stats = {.size = sizeof stats};
  cafe_node_stats_get(k.node, &stats);
  assert_int_equal(stats.parked, 1);
  assert_int_equal(stats.tasks_running, 0);
  kit_close(&k);
}

/* In the very batch that gives it up, too, before its attempts are forgotten. */
static void what_was_given_up_can_be_wanted_again_at_once(void **state) {
  (void)state;
  for (int is_late = 0; is_late <= 1; is_late++) {
    kit k;
    call c, again;
    ask data = {1}, same = {-1};
    kit_init(&k, true);
    k.retry = (cafe_retry){10, 10, 2, 0};
    assert_int_equal(kit_start(&k), CAFE_OK);
    assert_int_equal(kit_send(&k, &c, &ask_type, 1, &data), CAFE_OK);
    for (int attempt = 1; attempt <= 2; attempt++) {
      kit_run(&k, 50);
      kit_fail_task(&k, 0);
    }
    kit_run(&k, is_late ? 50 : 0);
    assert_int_equal(kit_send(&k, &again, &ask_type, 1, &same), CAFE_OK);
    kit_run(&k, 50);
    assert_string_equal(c.reason, "Denied");
    assert_int_equal(k.given_up, 1);
    assert_int_equal(k.running, 1);
    assert_int_equal(k.attempts[0], 1);
    assert_int_equal(k.tasks[0]->id, 1);
    kit_answer(&k, 0, 1);
    kit_run(&k, 50);
    assert_int_equal(again.verdict, CAFE_ACCEPTED);
    kit_close(&k);
  }
}

/* ---- over a restart ---- */

static void what_may_have_run_has_a_higher_attempt_after_a_restart(void **state) {
  (void)state;
  for (int crashes = 0; crashes <= 1; crashes++) {
    kit k;
    kit_open(&k, true);
    want_task(&k, 1);
    for (uint32_t attempt = 1; attempt < 5; attempt++) {
      kit_run(&k, 3000);
      assert_int_equal(k.running, 1);
      assert_int_equal(k.attempts[0], attempt);
      assert_int_equal(k.tasks[0]->cause != NULL, attempt == 1); /* what no event holds is gone */
      if (crashes)
        kit_crash(&k);
      else
        kit_restart(&k);
    }
    kit_run(&k, 3000);
    kit_answer(&k, 0, 1);
    kit_run(&k, 10);
    kit_restart(&k);
    kit_run(&k, 60000);
    assert_int_equal(k.running, 0);
    kit_close(&k);
  }
}

/* Wherever the process dies, the task runs again until its answer is stored, and never with an attempt's number that
 * was started before. */
static void no_crash_loses_a_task_or_forgets_that_it_ran(void **state) {
  (void)state;
  for (uint64_t n = 1; n <= 10; n++) {
    for (int before = 0; before <= 1; before++) {
      kit k;
      call c;
      ask data = {1};
      uint32_t highest = 0;
      kit_open(&k, n % 2);
      kit_run(&k, 20);
      cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
      if (before)
        faults.die_before_commit = n;
      else
        faults.die_after_commit = n;
      cafe_faulty_store_set(k.store, &faults);
      assert_int_equal(kit_send(&k, &c, &ask_type, 1, &data), CAFE_OK);
      for (int i = 0; i < 6; i++) {
        kit_run(&k, 3000);
        cafe_store_counts counts = {.size = sizeof counts};
        cafe_faulty_store_count(k.store, &counts);
        if (counts.is_dead) {
          kit_crash(&k);
          continue;
        }
        if (!k.running)
          continue;
        assert_true(k.attempts[0] > highest);
        highest = k.attempts[0];
        kit_fail_task(&k, 0);
      }
      kit_run(&k, 3000);
      bool is_asked = n > 1 || !before;
      assert_int_equal(k.running, is_asked);
      if (is_asked) {
        assert_true(k.attempts[0] > highest);
        kit_answer(&k, 0, 1);
      }
      kit_run(&k, 100);
      kit_restart(&k);
      kit_run(&k, 60000);
      assert_int_equal(k.running, 0);
      kit_close(&k);
    }
  }
}

static void an_answer_that_cannot_be_stored_is_stored_later(void **state) {
  (void)state;
  kit k;
  call c;
  ask data = {1};
  kit_open(&k, true);
  assert_int_equal(kit_send(&k, &c, &ask_type, 1, &data), CAFE_OK);
  kit_run(&k, 10);
  cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
  faults.fail_call = 1;
  faults.fail_calls = 6;
  cafe_faulty_store_set(k.store, &faults);
  kit_answer(&k, 0, 1);
  kit_run(&k, 30000);
  assert_int_equal(k.started, 1); /* the worker isn't asked again: it has answered */
  assert_int_equal(c.verdict, CAFE_ACCEPTED);
  kit_close(&k);
}

/* ---- the end of a task ---- */

static void a_task_that_is_no_longer_wanted_is_stopped(void **state) {
  (void)state;
  kit k;
  call c;
  answer no = {0};
  kit_open(&k, true);
  want_task(&k, 1);
  assert_int_equal(k.running, 1);
  assert_int_equal(kit_send(&k, &c, &answer_type, 1, &no), CAFE_OK); /* somebody else answers */
  kit_run(&k, 10);
  assert_int_equal(c.verdict, CAFE_ACCEPTED);
  assert_int_equal(k.stopped, 1);
  assert_int_equal(k.running, 0);
  kit_run(&k, 60000);
  assert_int_equal(k.started, 1);
  kit_close(&k);
}

static int count_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                     void *user) {
  (void)table, (void)key, (void)sub, (void)version, (void)data;
  ++*(uint32_t *)user;
  return CAFE_OK;
}

static int no_event(const cafe_stored_event *event, void *user) {
  (void)user, (void)event;
  return CAFE_OK;
}

static void nothing_is_left_in_the_tables_of_a_task_that_is_over(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  want_task(&k, 1);
  kit_fail_task(&k, 0);
  kit_run(&k, 3000);
  kit_answer(&k, 0, 1);
  kit_run(&k, 60000);
  uint32_t rows = 0;
  assert_int_equal(k.inner->ops->load(k.inner, 1, no_event, count_row, &rows, NULL), CAFE_OK);
  assert_int_equal(rows, 0); /* neither an attempt nor a wake; the box has no row of its own without an Add */
  kit_close(&k);
}

static void a_second_question_is_a_new_task(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  for (uint32_t i = 1; i <= 3; i++) {
    want_task(&k, 1);
    kit_run(&k, 10);
    assert_int_equal(k.running, 1);
    assert_int_equal(k.tasks[0]->id, i);
    assert_int_equal(k.attempts[0], 1);
    kit_answer(&k, 0, 1);
    kit_run(&k, 10);
  }
  kit_close(&k);
}

static void many_tasks_run_beside_each_other(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  call calls[KIT_TASKS];
  ask data = {1};
  for (uint64_t i = 0; i < KIT_TASKS; i++)
    assert_int_equal(kit_send(&k, &calls[i], &ask_type, i + 1, &data), CAFE_OK);
  kit_run(&k, 50);
  assert_int_equal(k.running, KIT_TASKS);
  while (k.running)
    kit_answer(&k, k.running / 2, 1);
  kit_run(&k, 50);
  for (int i = 0; i < KIT_TASKS; i++)
    assert_int_equal(calls[i].verdict, CAFE_ACCEPTED);
  kit_close(&k);
}

static void a_task_answered_by_what_nobody_takes_counts_as_failed(void **state) {
  (void)state;
  kit k;
  kit_open(&k, true);
  want_task(&k, 1);
  question_task wrong = {1};
  cafe_task *task = k.tasks[0];
  kit_forget(&k, task);
  cafe_task_settle(task, &question_type, &wrong, sizeof wrong);
  kit_run(&k, 1000);
  assert_int_equal(k.running, 1);
  assert_int_equal(k.attempts[0], 2);
  assert_true(kit_was_logged(&k, "no aggregate of this node takes"));
  kit_close(&k);
}

/* Or a worker that has no place left would give each that it gets back to one that is stopped in turn. */
static void a_close_stops_those_that_wait_for_their_turn_first(void **state) {
  (void)state;
  enum { TASKS = 12 };
  kit k;
  call calls[TASKS];
  kit_open(&k, true);
  for (uint64_t key = 1; key <= TASKS; key++) {
    ask data = {1};
    k.start_holds = key % 2 == 0;
    assert_int_equal(kit_send(&k, &calls[key - 1], &ask_type, key, &data), CAFE_OK);
    kit_run(&k, 20);
  }
  assert_int_equal(k.running, TASKS);
  kit_stop(&k);
  assert_int_equal(k.stopped, TASKS);
  for (uint32_t i = 0; i < TASKS; i++)
    assert_int_equal(k.stops[i] % 2, i >= TASKS / 2);
  k.start_holds = false;
  assert_int_equal(kit_start(&k), CAFE_OK);
  kit_close(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_close_stops_those_that_wait_for_their_turn_first),
      cmocka_unit_test(a_task_starts_after_the_commit_and_not_before),
      cmocka_unit_test(a_task_whose_commit_failed_never_starts),
      cmocka_unit_test(a_task_may_be_answered_where_it_starts),
      cmocka_unit_test(a_failed_attempt_is_repeated_when_its_backoff_says),
      cmocka_unit_test(who_says_how_long_to_wait_is_not_asked_earlier),
      cmocka_unit_test(the_time_of_an_attempt_counts_from_its_turn),
      cmocka_unit_test(a_drain_does_not_wait_for_what_waits_for_its_turn),
      cmocka_unit_test(a_drain_waits_for_what_had_its_turn_and_for_what_somebody_waits_for),
      cmocka_unit_test(a_start_that_fails_counts_as_an_attempt),
      cmocka_unit_test(an_attempt_without_an_answer_is_stopped_and_repeated),
      cmocka_unit_test(after_the_last_attempt_the_worker_says_so),
      cmocka_unit_test(what_was_given_up_can_be_wanted_again_at_once),
      cmocka_unit_test(what_may_have_run_has_a_higher_attempt_after_a_restart),
      cmocka_unit_test(no_crash_loses_a_task_or_forgets_that_it_ran),
      cmocka_unit_test(an_answer_that_cannot_be_stored_is_stored_later),
      cmocka_unit_test(a_task_that_is_no_longer_wanted_is_stopped),
      cmocka_unit_test(nothing_is_left_in_the_tables_of_a_task_that_is_over),
      cmocka_unit_test(a_second_question_is_a_new_task),
      cmocka_unit_test(many_tasks_run_beside_each_other),
      cmocka_unit_test(a_task_answered_by_what_nobody_takes_counts_as_failed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
