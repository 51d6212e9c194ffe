/* SPDX-License-Identifier: Apache-2.0 */

/* What is kept in memory is a hint: with next to none of it everything is the same, and another writer is noticed. */
#include "test_engine_kit.h"

static void with_room_for_one_key_everything_is_the_same(void **state) {
  (void)state;
  enum { KEYS = 40, ROUNDS = 10 };
  for (int is_threaded = 0; is_threaded <= 1; is_threaded++) {
    kit k;
    call calls[KEYS];
    kit_init(&k, is_threaded);
    k.options.max_cached = 1;
    assert_int_equal(kit_start(&k), CAFE_OK);
    for (int64_t round = 1; round <= ROUNDS; round++) {
      for (uint64_t key = 0; key < KEYS; key++) {
        add data = {round, cafe_text("note")};
        assert_int_equal(kit_send(&k, &calls[key], &add_type, key + 1, &data), CAFE_OK);
        if (key % 7 == 0)
          cafe_sim_step(k.loop);
      }
      kit_run(&k, 200);
      for (int i = 0; i < KEYS; i++) {
        assert_int_equal(calls[i].times, 1);
        assert_int_equal(calls[i].code, CAFE_OK);
        assert_int_equal(calls[i].version, round);
        assert_int_equal(calls[i].state.total, round * (round + 1) / 2);
      }
      cafe_node_stats stats = {.size = sizeof stats};
      cafe_node_stats_get(k.node, &stats);
      assert_in_range(stats.cached, 0, 1);
    }
    kit_close(&k);
  }
}

static void what_somebody_waits_for_is_not_thrown_out(void **state) {
  (void)state;
  kit k;
  call waits;
  ask data = {1};
  kit_init(&k, true);
  k.options.max_cached = 1;
  assert_int_equal(kit_start(&k), CAFE_OK);
  assert_int_equal(kit_send(&k, &waits, &ask_type, 1000, &data), CAFE_OK);
  kit_run(&k, 20);
  for (uint64_t key = 1; key <= 20; key++)
    kit_add(&k, key, 1);
  assert_int_equal(k.running, 1);
  kit_answer(&k, 0, 1);
  kit_run(&k, 20);
  assert_int_equal(waits.verdict, CAFE_ACCEPTED);
  kit_close(&k);
}

static void a_key_is_let_go_by_who_gave_up_on_the_way_to_it(void **state) {
  (void)state;
  kit k;
  call gives_up;
  add data = {1, {NULL, 0}};
  kit_init(&k, true);
  k.options.max_cached = 1;
  assert_int_equal(kit_start(&k), CAFE_OK);
  kit_add(&k, 1, 1);
  assert_int_equal(kit_send(&k, &gives_up, &add_type, 1, &data), CAFE_OK);
  cafe_op_cancel(gives_up.op);
  kit_run(&k, 20);
  assert_int_equal(gives_up.times, 1);
  assert_int_equal(gives_up.code, CAFE_CANCELED);
  kit_add(&k, 2, 1);
  cafe_node_stats stats = {.size = sizeof stats};
  cafe_node_stats_get(k.node, &stats);
  assert_int_equal(stats.cached, 1);
  assert_int_equal(kit_add(&k, 1, 1).state.total, 2);
  kit_close(&k);
}

static void a_retry_is_remembered_though_its_key_left_memory(void **state) {
  (void)state;
  kit k;
  call c;
  ask data = {1};
  kit_init(&k, true);
  k.options.max_cached = 1;
  k.retry = (cafe_retry){5000, 5000, 0, 0};
  assert_int_equal(kit_start(&k), CAFE_OK);
  for (uint64_t key = 100; key < 110; key++) {
    assert_int_equal(kit_send(&k, &c, &ask_type, key, &data), CAFE_OK);
    kit_run(&k, 10);
    cafe_op_cancel(c.op);
    kit_run(&k, 10);
    uint32_t index = 0;
    while (k.tasks[index]->key != key)
      index++;
    kit_fail_task(&k, index);
    kit_run(&k, 20);
    kit_add(&k, 1, 1); /* another key takes the room */
    kit_add(&k, 2, 1);
  }
  cafe_node_stats stats = {.size = sizeof stats};
  cafe_node_stats_get(k.node, &stats);
  assert_in_range(stats.cached, 0, 10);
  kit_run(&k, 20000);
  assert_int_equal(k.running, 10);
  for (uint32_t i = 0; i < 10; i++)
    assert_int_equal(k.attempts[i], 2);
  while (k.running)
    kit_answer(&k, 0, 1);
  kit_run(&k, 100);
  kit_close(&k);
}

/* All of them fail, and are tried again soon: so their rows stay early, and mustn't hide the others. */
static void more_keys_than_one_scan_finds_are_all_taken_up(void **state) {
  (void)state;
  enum { KEYS = 1500 };
  kit k;
  static call calls[KEYS];
  ask data = {1};
  cafe_node_stats stats = {.size = sizeof stats};
  kit_init(&k, true);
  cafe_sim_set_job_delay(k.loop, 1, 10);
  k.retry = (cafe_retry){300, 300, 0, 0};
  k.start_fails = true;
  assert_int_equal(kit_start(&k), CAFE_OK);
  for (uint64_t key = 0; key < KEYS; key++)
    assert_int_equal(kit_send(&k, &calls[key], &ask_type, key + 1, &data), CAFE_OK);
  kit_run(&k, 100);
  cafe_node_stats_get(k.node, &stats);
  assert_int_equal(stats.events, KEYS);
  kit_restart(&k);
  kit_run(&k, 5000);
  cafe_node_stats_get(k.node, &stats);
  assert_int_equal(stats.cached, KEYS);
  kit_close(&k);
}

/* ---- another writer ---- */

static void add_beside(kit *k, uint64_t key, uint64_t version, int64_t amount) {
  cafe_arena *arena = cafe_arena_create(NULL);
  assert_non_null(arena);
  added data = {amount, {NULL, 0}};
  cafe_stored_event event = {.aggregate = "box", .type = "Added", .key = key, .version = version, .time_ms = 1};
  assert_int_equal(cafe_schema_encode(&event.data, arena, &added_type, &data, NULL), CAFE_OK);
  cafe_unit unit = {.size = sizeof unit, .key = key, .events = &event, .event_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_batch batch = {sizeof batch, units, 1, arena};
  assert_int_equal(k->inner->ops->commit(k->inner, &batch, NULL), CAFE_OK);
  assert_int_equal(unit.result, CAFE_UNIT_DONE);
  cafe_arena_destroy(arena);
}

static void who_finds_another_writer_first_decides_again(void **state) {
  (void)state;
  for (int is_threaded = 0; is_threaded <= 1; is_threaded++) {
    kit k;
    call calls[5];
    kit_open(&k, is_threaded);
    kit_add(&k, 1, 1);
    add_beside(&k, 1, 2, 10);
    for (int i = 0; i < 5; i++) {
      add data = {100, {NULL, 0}};
      assert_int_equal(kit_send(&k, &calls[i], &add_type, 1, &data), CAFE_OK);
    }
    kit_run(&k, 100);
    for (int i = 0; i < 5; i++) {
      assert_int_equal(calls[i].code, CAFE_OK);
      assert_int_equal(calls[i].version, 3 + i);
      assert_int_equal(calls[i].state.total, 11 + 100 * (i + 1));
    }
    cafe_node_stats stats = {.size = sizeof stats};
    cafe_node_stats_get(k.node, &stats);
    assert_in_range(stats.conflicts, 1, 5);
    kit_close(&k);
  }
}

static void a_key_whose_events_nobody_knows_is_refused_and_the_others_go_on(void **state) {
  (void)state;
  kit k;
  call c;
  add data = {1, {NULL, 0}};
  kit_open(&k, true);
  add_beside(&k, 1, 1, 10);
  kit_stop(&k);
  /* An event of a type that nobody knows, in another stream: its key can't be read, the others can. */
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_stored_event event = {.aggregate = "box", .type = "Vanished", .key = 2, .version = 1, .time_ms = 1};
  cafe_unit unit = {.size = sizeof unit, .key = 2, .events = &event, .event_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_batch batch = {sizeof batch, units, 1, arena};
  assert_int_equal(k.inner->ops->commit(k.inner, &batch, NULL), CAFE_OK);
  cafe_arena_destroy(arena);
  assert_int_equal(kit_start(&k), CAFE_OK);
  assert_int_equal(kit_send(&k, &c, &add_type, 2, &data), CAFE_OK);
  kit_run(&k, 50);
  assert_int_equal(c.code, CAFE_UNSUPPORTED);
  assert_non_null(strstr(c.text, "Vanished"));
  assert_int_equal(kit_add(&k, 1, 1).state.total, 11);
  kit_close(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(with_room_for_one_key_everything_is_the_same),
      cmocka_unit_test(what_somebody_waits_for_is_not_thrown_out),
      cmocka_unit_test(a_key_is_let_go_by_who_gave_up_on_the_way_to_it),
      cmocka_unit_test(a_retry_is_remembered_though_its_key_left_memory),
      cmocka_unit_test(more_keys_than_one_scan_finds_are_all_taken_up),
      cmocka_unit_test(who_finds_another_writer_first_decides_again),
      cmocka_unit_test(a_key_whose_events_nobody_knows_is_refused_and_the_others_go_on),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
