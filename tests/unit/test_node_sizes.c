/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A program may have been built with older headers than the library that it runs with, or with newer ones. What it
 * hands in says how large it is: what both know is taken, and what only the program knows may not say anything.
 */
#include "test_engine_kit.h"

/* ---- data ---- */

/* add as an older and as a newer header have it. */
typedef struct older_add {
  int64_t amount;
} older_add;
typedef struct newer_add {
  add add;
  int64_t newer;
} newer_add;

static int submit(kit *k, call *c, const void *data, size_t size) {
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = &add_type;
  submit.key = 7;
  submit.data = data;
  submit.data_size = size;
  int code = kit_submit(k, c, &submit);
  kit_run(k, 10);
  return code;
}

static void a_command_of_another_size_is_taken_as_far_as_both_know_it(void **state) {
  kit k;
  call c;
  older_add older = {1};
  newer_add newer = {{2, {"two", 3}}, 0};
  kit_open(&k, false);
  assert_int_equal(submit(&k, &c, &newer, sizeof newer), CAFE_OK);
  assert_int_equal(c.state.total, 2);
  assert_true(cafe_slice_equal(c.state.note, cafe_text("two")));
  assert_int_equal(submit(&k, &c, &older, sizeof older), CAFE_OK);
  assert_int_equal(c.state.total, 3);
  assert_int_equal(c.state.note.size, 0);

  newer.newer = 1;
  assert_int_equal(submit(&k, &c, &newer, sizeof newer), CAFE_UNSUPPORTED);
  assert_string_equal(c.text, "Add: its data has 32 bytes, of which this library knows 24: use a newer one");
  assert_int_equal(submit(&k, &c, &newer, 0), CAFE_INVALID);
  assert_string_equal(c.text, "Add: its data has a size of 0: hand in sizeof the struct");
  kit_close(&k);
}

static void the_answer_of_a_task_is_taken_by_the_same_rule(void **state) {
  static const size_t sizes[] = {sizeof(older_add), sizeof(newer_add)};
  kit k;
  call c;
  newer_add data = {{5, {NULL, 0}}, 0};
  ask question = {1};
  kit_open(&k, false);
  assert_int_equal(kit_send(&k, &c, &ask_type, 7, &question), CAFE_OK);
  for (size_t i = 0; i < 2; i++) {
    kit_run(&k, 2000);
    assert_int_equal(k.running, 1);
    cafe_task *task = k.tasks[0];
    kit_forget(&k, task);
    cafe_task_settle(task, &add_type, &data, sizes[i]);
  }
  kit_run(&k, 2000);
  assert_int_equal(kit_add(&k, 7, 0).state.total, 10);
  data.newer = 1;
  cafe_task *task = k.tasks[0];
  kit_forget(&k, task);
  cafe_task_settle(task, &add_type, &data, sizeof data);
  assert_true(kit_was_logged(&k, "Add: its data has 32 bytes, of which this library knows 24: use a newer one"));
  kit_run(&k, 2000);
  assert_int_equal(k.running, 1); /* a failed attempt */
  assert_int_equal(kit_add(&k, 7, 0).state.total, 10);
  kit_answer(&k, 0, 1);
  kit_run(&k, 10);
  assert_int_equal(c.verdict, CAFE_ACCEPTED);
  kit_close(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_command_of_another_size_is_taken_as_far_as_both_know_it),
      cmocka_unit_test(the_answer_of_a_task_is_taken_by_the_same_rule),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
