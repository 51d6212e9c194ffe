/* SPDX-License-Identifier: Apache-2.0 */

/* What a pure function says is kept whole and in order, or the first failure is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "schema/collect.h"

typedef struct said {
  uint64_t key;
  cafe_slice text;
} said;

static const cafe_field said_fields[] = {
    CAFE_FIELD_OF(1, U64, said, key),
    CAFE_FIELD_OF(2, TEXT, said, text),
};
static const cafe_schema said_type = CAFE_SCHEMA_OF("Said", said, said_fields);
static const cafe_schema other_type = CAFE_SCHEMA_OF("Other", said, said_fields);

static cafe_arena *arena;

static int start(void **state) {
  arena = cafe_arena_create(NULL);
  return 0;
}

static int stop(void **state) {
  cafe_arena_destroy(arena);
  return 0;
}

static void events_are_kept_in_order_with_their_texts(void **state) {
  cafe_decision decision = {{arena, NULL, NULL, 0, {0}}, NULL, NULL};
  char text[] = "a";
  for (uint64_t i = 1; i <= 100; i++) {
    said value = {i, {text, 1}};
    cafe_emit(&decision, i % 2 ? &said_type : &other_type, &value, sizeof value);
    text[0] = (char)('a' + i % 26);
  }
  assert_int_equal(decision.events.err.code, CAFE_OK);
  assert_int_equal(decision.events.count, 100);
  uint64_t i = 1;
  for (const collected *c = decision.events.first; c; c = c->next, i++) {
    const said *value = c->data;
    assert_ptr_equal(c->type, i % 2 ? &said_type : &other_type);
    assert_true(value->key == i);
    assert_int_equal(value->text.size, 1);
    assert_int_equal(value->text.data[0], 'a' + (i - 1) % 26);
    assert_true((c->next == NULL) == (c == decision.events.last));
  }
  assert_int_equal(i, 101);
}

static void a_refusal_says_why_and_keeps_the_events(void **state) {
  cafe_decision decision = {{arena, NULL, NULL, 0, {0}}, NULL, NULL};
  said value = {1, {NULL, 0}};
  cafe_emit(&decision, &said_type, &value, sizeof value);
  assert_int_equal(cafe_refuse(&decision, "wrong-state", "it is %s since %d", "started", 7), CAFE_REFUSED);
  assert_string_equal(decision.reason, "wrong-state");
  assert_string_equal(decision.text, "it is started since 7");
  assert_int_equal(decision.events.count, 1);
  assert_int_equal(decision.events.err.code, CAFE_OK);
}

static void a_command_is_kept_with_its_key(void **state) {
  cafe_reaction reaction = {{arena, NULL, NULL, 0, {0}}};
  said value = {1, {"x", 1}};
  cafe_react(&reaction, &said_type, 1041, &value, sizeof value);
  cafe_react(&reaction, &other_type, CAFE_KEY_MAX, &value, sizeof value);
  assert_int_equal(reaction.commands.count, 2);
  assert_true(reaction.commands.first->key == 1041);
  assert_true(reaction.commands.last->key == CAFE_KEY_MAX);
}

static void a_key_that_is_none_fails_the_reaction(void **state) {
  static const uint64_t keys[] = {0, CAFE_KEY_MAX + 1, UINT64_MAX};
  for (size_t i = 0; i < 3; i++) {
    cafe_reaction reaction = {{arena, NULL, NULL, 0, {0}}};
    said value = {1, {"x", 1}};
    cafe_react(&reaction, &said_type, keys[i], &value, sizeof value);
    assert_int_equal(reaction.commands.err.code, CAFE_INVALID);
    assert_non_null(strstr(reaction.commands.err.text, "Said"));
    cafe_react(&reaction, &said_type, 1, &value, sizeof value);
    assert_int_equal(reaction.commands.count, 0);
    assert_null(reaction.commands.first);
  }
}

static void a_task_is_kept_with_its_id_and_time(void **state) {
  cafe_tasks tasks = {{arena, NULL, NULL, 0, {0}}};
  said value = {1, {"x", 1}};
  cafe_want(&tasks, 7, &said_type, &value, sizeof value, 1700000000000);
  assert_int_equal(tasks.wanted.count, 1);
  assert_int_equal(tasks.wanted.first->id, 7);
  assert_true(tasks.wanted.first->not_before_ms == 1700000000000);
  assert_ptr_equal(tasks.wanted.first->type, &said_type);
}

/* A program that was built with fewer fields, and one with more: what both know is taken. */
static void data_of_another_size_is_taken_as_far_as_both_know_it(void **state) {
  struct {
    said said;
    int64_t newer;
  } longer = {{7, {"seven", 5}}, 0};
  said garbage;
  memset(&garbage, 0xAA, sizeof garbage);
  garbage.key = 7;
  cafe_decision decision = {{arena, NULL, NULL, 0, {0}}, NULL, NULL};
  cafe_emit(&decision, &said_type, &garbage, sizeof garbage.key);
  cafe_emit(&decision, &said_type, &longer, sizeof longer);
  assert_int_equal(decision.events.err.code, CAFE_OK);
  const said *shorter = decision.events.first->data, *cut = decision.events.last->data;
  assert_int_equal(shorter->key, 7);
  assert_int_equal(shorter->text.size, 0);
  assert_int_equal(cut->key, 7);
  assert_true(cafe_slice_equal(cut->text, cafe_text("seven")));

  longer.newer = INT64_MIN;
  cafe_emit(&decision, &said_type, &longer, sizeof longer);
  assert_int_equal(decision.events.err.code, CAFE_UNSUPPORTED);
  assert_string_equal(decision.events.err.text,
                      "Said: its data has 32 bytes, of which this library knows 24: use a newer one");
  assert_int_equal(decision.events.count, 2);
}

/* As sizeof a pointer does. */
static void data_that_ends_inside_a_field_is_refused(void **state) {
  said value = {1, {"seven", 5}};
  for (size_t size = 1; size < sizeof value; size++) {
    cafe_decision decision = {{arena, NULL, NULL, 0, {0}}, NULL, NULL};
    char text[100];
    cafe_emit(&decision, &said_type, &value, size);
    if (size == offsetof(said, text)) {
      assert_int_equal(decision.events.err.code, CAFE_OK);
      continue;
    }
    snprintf(text, sizeof text, "Said: its data has %zu bytes, which end inside %s: hand in sizeof the struct", size,
             size < offsetof(said, text) ? "key" : "text");
    assert_int_equal(decision.events.err.code, CAFE_INVALID);
    assert_string_equal(decision.events.err.text, text);
    assert_int_equal(decision.events.count, 0);
  }
}

static void data_without_a_size_is_refused(void **state) {
  said value = {1, {"x", 1}};
  cafe_reaction reaction = {{arena, NULL, NULL, 0, {0}}};
  cafe_tasks tasks = {{arena, NULL, NULL, 0, {0}}};
  cafe_react(&reaction, &said_type, 1, &value, 0);
  assert_int_equal(reaction.commands.err.code, CAFE_INVALID);
  assert_string_equal(reaction.commands.err.text, "Said: its data has a size of 0: hand in sizeof the struct");
  cafe_want(&tasks, 1, &said_type, &value, 0, 0);
  assert_int_equal(tasks.wanted.err.code, CAFE_INVALID);
}

static void the_first_failure_is_kept_and_nothing_comes_after_it(void **state) {
  cafe_decision decision = {{arena, NULL, NULL, 0, {0}}, NULL, NULL};
  said good = {1, {"x", 1}};
  said big = {CAFE_KEY_MAX + 1, {"x", 1}};
  said torn = {1, {"\xC3", 1}};
  cafe_emit(&decision, &said_type, &good, sizeof good);
  cafe_emit(&decision, &said_type, &big, sizeof big);
  cafe_emit(&decision, &said_type, &torn, sizeof torn);
  cafe_emit(&decision, &said_type, &good, sizeof good);
  assert_int_equal(decision.events.count, 1);
  assert_null(decision.events.first->next);
  assert_int_equal(decision.events.err.code, CAFE_INVALID);
  assert_non_null(strstr(decision.events.err.text, "Said.key"));
}

static void a_refusal_of_memory_is_kept_wherever_it_comes(void **state) {
  char text[600];
  memset(text, 'x', sizeof(text) - 1);
  text[sizeof(text) - 1] = '\0';
  said value = {1, {text, sizeof(text) - 1}};
  failing_alloc memory;
  size_t n = 1;
  for (; failing_alloc_begin(&memory, n); n++) {
    cafe_arena *small = cafe_arena_create(&memory.allocator);
    if (small) {
      cafe_decision decision = {{small, NULL, NULL, 0, {0}}, NULL, NULL};
      for (int i = 0; i < 8; i++) {
        cafe_emit(&decision, &said_type, &value, sizeof value);
      }
      assert_int_equal(cafe_refuse(&decision, "too-many", "%s", text), CAFE_REFUSED);
      assert_int_equal(decision.events.err.code, memory.refused ? CAFE_NOMEM : CAFE_OK);
      uint32_t count = 0;
      for (const collected *c = decision.events.first; c; c = c->next) {
        assert_true(cafe_slice_equal(((const said *)c->data)->text, value.text));
        count++;
      }
      assert_int_equal(count, decision.events.count);
    }
    cafe_arena_destroy(small);
    failing_alloc_end(&memory);
  }
  assert_true(n > 4);
}

static void a_refusal_that_cannot_say_why_fails_the_decision(void **state) {
  char text[3000];
  memset(text, 'x', sizeof(text) - 1);
  text[sizeof(text) - 1] = '\0';
  failing_alloc memory;
  failing_alloc_init(&memory);
  cafe_arena *small = cafe_arena_create(&memory.allocator);
  memory.fail_at = memory.calls + 1;
  cafe_decision decision = {{small, NULL, NULL, 0, {0}}, NULL, NULL};
  assert_int_equal(cafe_refuse(&decision, "too-long", "%s", text), CAFE_REFUSED);
  assert_int_equal(decision.events.err.code, CAFE_NOMEM);
  assert_null(decision.reason);
  cafe_arena_destroy(small);
  failing_alloc_end(&memory);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(events_are_kept_in_order_with_their_texts),
      TEST(a_refusal_says_why_and_keeps_the_events),
      TEST(a_command_is_kept_with_its_key),
      TEST(a_key_that_is_none_fails_the_reaction),
      TEST(a_task_is_kept_with_its_id_and_time),
      TEST(data_of_another_size_is_taken_as_far_as_both_know_it),
      TEST(data_that_ends_inside_a_field_is_refused),
      TEST(data_without_a_size_is_refused),
      TEST(the_first_failure_is_kept_and_nothing_comes_after_it),
      TEST(a_refusal_that_cannot_say_why_fails_the_decision),
      TEST(a_refusal_of_memory_is_kept_wherever_it_comes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
