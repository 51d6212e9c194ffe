/* SPDX-License-Identifier: Apache-2.0 */

/* A map finds what was put in and nothing else, keeps the order, and loses nothing when memory is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/map.h"
#include "failing_alloc.h"

static int values[5000];

static void numbers_are_found_replaced_and_taken_out(void **state) {
  map *m = map_create(NULL, MAP_U64);
  assert_int_equal(map_count(m), 0);
  assert_null(map_get(m, 7));
  assert_null(map_remove(m, 7));
  assert_int_equal(map_put(m, 7, &values[0]), CAFE_OK);
  assert_int_equal(map_put(m, 0, &values[1]), CAFE_OK);
  assert_int_equal(map_put(m, UINT64_MAX, &values[2]), CAFE_OK);
  assert_ptr_equal(map_get(m, 7), &values[0]);
  assert_ptr_equal(map_get(m, 0), &values[1]);
  assert_ptr_equal(map_get(m, UINT64_MAX), &values[2]);
  assert_null(map_get(m, 8));
  assert_int_equal(map_put(m, 7, &values[3]), CAFE_OK);
  assert_int_equal(map_count(m), 3);
  assert_ptr_equal(map_get(m, 7), &values[3]);
  assert_ptr_equal(map_remove(m, 7), &values[3]);
  assert_null(map_get(m, 7));
  assert_int_equal(map_count(m), 2);
  map_destroy(m);
  map_destroy(NULL);
}

static void byte_strings_are_compared_whole(void **state) {
  static const struct {
    const char *data;
    size_t size;
  } keys[] = {{"", 0},
              {"\0", 1},
              {"\0\0", 2},
              {"a", 1},
              {"ab", 2},
              {"a\0b", 3},
              {"a\0c", 3},
              {"POST", 4},
              {"POST /a", 7},
              {"POST /b", 7},
              {"12345678", 8},
              {"123456789", 9},
              {"1234567890123456789012345678901234567890", 40}};
  enum { KEYS = sizeof(keys) / sizeof(keys[0]) };
  map *m = map_create(NULL, MAP_BYTES);
  for (size_t i = 0; i < KEYS; i++) {
    char copy[64];
    memcpy(copy, keys[i].data, keys[i].size);
    assert_int_equal(map_put_bytes(m, (cafe_slice){copy, keys[i].size}, &values[i]), CAFE_OK);
    memset(copy, 'x', sizeof(copy));
  }
  assert_int_equal(map_count(m), KEYS);
  for (size_t i = 0; i < KEYS; i++) {
    assert_ptr_equal(map_get_bytes(m, (cafe_slice){keys[i].data, keys[i].size}), &values[i]);
  }
  assert_ptr_equal(map_get_bytes(m, (cafe_slice){NULL, 0}), &values[0]);
  assert_null(map_get_bytes(m, cafe_text("b")));
  assert_ptr_equal(map_remove_bytes(m, (cafe_slice){NULL, 0}), &values[0]);
  assert_null(map_get_bytes(m, cafe_text("")));
  assert_int_equal(map_put_bytes(m, (cafe_slice){NULL, 0}, &values[1]), CAFE_OK);
  assert_ptr_equal(map_get_bytes(m, cafe_text("")), &values[1]);
  assert_int_equal(map_put_bytes(m, cafe_text("ab"), &values[99]), CAFE_OK);
  assert_int_equal(map_count(m), KEYS);
  assert_ptr_equal(map_get_bytes(m, cafe_text("ab")), &values[99]);
  map_destroy(m);
}

static void a_key_that_is_too_long_is_refused(void **state) {
  map *m = map_create(NULL, MAP_BYTES);
  assert_int_equal(map_put_bytes(m, (cafe_slice){"", UINT32_MAX}, &values[0]), CAFE_NOMEM);
  assert_int_equal(map_put_bytes(m, (cafe_slice){"", SIZE_MAX}, &values[0]), CAFE_NOMEM);
  assert_int_equal(map_count(m), 0);
  map_destroy(m);
}

static void a_map_is_walked_in_the_order_of_its_keys_coming_in(void **state) {
  map *m = map_create(NULL, MAP_U64);
  for (uint64_t i = 0; i < 1000; i++) {
    assert_int_equal(map_put(m, i * 7919 % 1000, &values[i]), CAFE_OK);
  }
  assert_int_equal(map_put(m, 0, &values[4999]), CAFE_OK);
  uint64_t i = 0;
  for (map_entry *e = map_first(m); e; e = map_next(e), i++) {
    assert_true(map_key(e) == i * 7919 % 1000);
    assert_ptr_equal(map_value(e), i == 0 ? &values[4999] : &values[i]);
  }
  assert_int_equal(i, 1000);
  map_destroy(m);
}

static void entries_can_be_taken_out_while_walking(void **state) {
  map *m = map_create(NULL, MAP_BYTES);
  for (size_t i = 0; i < 300; i++) {
    assert_int_equal(map_put_bytes(m, (cafe_slice){(const char *)&i, sizeof(i)}, &values[i]), CAFE_OK);
  }
  for (map_entry *e = map_first(m); e;) {
    cafe_slice key = map_key_bytes(e);
    size_t number;
    assert_int_equal(key.size, sizeof(number));
    memcpy(&number, key.data, sizeof(number));
    e = map_next(e);
    if (number % 3) {
      assert_ptr_equal(map_remove_bytes(m, (cafe_slice){(const char *)&number, sizeof(number)}), &values[number]);
    }
  }
  assert_int_equal(map_count(m), 100);
  map_clear(m);
  assert_int_equal(map_count(m), 0);
  assert_null(map_first(m));
  assert_int_equal(map_put_bytes(m, cafe_text("again"), &values[0]), CAFE_OK);
  assert_int_equal(map_count(m), 1);
  map_destroy(m);
}

static void a_map_agrees_with_a_plain_table_over_a_long_walk(void **state) {
  enum { KEYS = 700 };
  void *expected[KEYS] = {NULL};
  failing_alloc memory;
  failing_alloc_init(&memory);
  map *m = map_create(&memory.allocator, MAP_U64);
  uint64_t x = 42;
  size_t count = 0;
  for (int i = 0; i < 60000; i++) {
    x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    size_t k = (size_t)(x >> 33) % KEYS;
    uint64_t key = (uint64_t)k << 20; /* low bits all alike */
    if (x >> 63) {
      void *value = &values[i % 5000];
      count += expected[k] == NULL;
      expected[k] = value;
      assert_int_equal(map_put(m, key, value), CAFE_OK);
    } else {
      count -= expected[k] != NULL;
      assert_ptr_equal(map_remove(m, key), expected[k]);
      expected[k] = NULL;
    }
    assert_int_equal(map_count(m), count);
  }
  for (size_t k = 0; k < KEYS; k++) {
    assert_ptr_equal(map_get(m, (uint64_t)k << 20), expected[k]);
  }
  map_destroy(m);
  failing_alloc_end(&memory);
}

static void a_map_that_goes_empty_and_full_allocates_entries_only(void **state) {
  failing_alloc memory;
  failing_alloc_init(&memory);
  map *m = map_create(&memory.allocator, MAP_U64);
  size_t before = memory.calls;
  for (uint64_t i = 0; i < 100; i++) {
    assert_int_equal(map_put(m, i, &values[0]), CAFE_OK);
    assert_non_null(map_remove(m, i));
  }
  assert_int_equal(memory.calls - before, 100);
  map_destroy(m);
  failing_alloc_end(&memory);
}

static void replacing_a_value_needs_no_memory(void **state) {
  failing_alloc memory;
  failing_alloc_init(&memory);
  map *m = map_create(&memory.allocator, MAP_U64);
  assert_int_equal(map_put(m, 1, &values[0]), CAFE_OK);
  memory.fail_at = memory.calls + 1;
  assert_int_equal(map_put(m, 1, &values[1]), CAFE_OK);
  assert_false(memory.refused);
  assert_ptr_equal(map_get(m, 1), &values[1]);
  map_destroy(m);
  failing_alloc_end(&memory);
}

/* What is in after a refusal: all that was put in before, in order, and not the one refused. */
static void check_whole(const map *m, uint64_t count, uint64_t refused, map_keys keys) {
  assert_int_equal(map_count(m), count - 1);
  uint64_t expected = 0;
  for (map_entry *e = map_first(m); e; e = map_next(e)) {
    expected += expected == refused;
    uint64_t key = map_key(e);
    if (keys == MAP_BYTES) {
      assert_int_equal(map_key_bytes(e).size, sizeof(key));
      memcpy(&key, map_key_bytes(e).data, sizeof(key));
    }
    assert_true(key == expected);
    assert_ptr_equal(map_value(e), &values[expected]);
    expected++;
  }
  for (uint64_t i = 0; i < count; i++) {
    void *found = keys == MAP_U64 ? map_get(m, i) : map_get_bytes(m, (cafe_slice){(const char *)&i, sizeof(i)});
    assert_ptr_equal(found, i == refused ? NULL : &values[i]);
  }
}

static void a_refusal_changes_nothing(map_keys keys) {
  enum { KEYS = 900 }; /* the table grows more than once */
  failing_alloc memory;
  size_t n = 1;
  unsigned grown = 0;
  for (; failing_alloc_begin(&memory, n); n++) {
    map *m = map_create(&memory.allocator, keys);
    if (!m) {
      assert_true(memory.refused);
      failing_alloc_end(&memory);
      continue;
    }
    for (uint64_t i = 0; i < KEYS; i++) {
      size_t before = memory.calls;
      cafe_slice bytes = {(const char *)&i, sizeof(i)};
      int code = keys == MAP_U64 ? map_put(m, i, &values[i]) : map_put_bytes(m, bytes, &values[i]);
      if (code) {
        assert_int_equal(code, CAFE_NOMEM);
        assert_true(memory.refused);
        grown += memory.calls - before > 1;
        check_whole(m, i + 1, i, keys);
        code = keys == MAP_U64 ? map_put(m, i, &values[i]) : map_put_bytes(m, bytes, &values[i]);
        assert_int_equal(code, CAFE_OK);
      }
    }
    check_whole(m, KEYS + 1, KEYS, keys);
    map_destroy(m);
    failing_alloc_end(&memory);
  }
  assert_true(n > KEYS);
  assert_true(grown >= 2);
}

static void a_refusal_changes_nothing_with_numbers(void **state) { a_refusal_changes_nothing(MAP_U64); }

static void a_refusal_changes_nothing_with_byte_strings(void **state) { a_refusal_changes_nothing(MAP_BYTES); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_are_found_replaced_and_taken_out),
      cmocka_unit_test(byte_strings_are_compared_whole),
      cmocka_unit_test(a_key_that_is_too_long_is_refused),
      cmocka_unit_test(a_map_is_walked_in_the_order_of_its_keys_coming_in),
      cmocka_unit_test(entries_can_be_taken_out_while_walking),
      cmocka_unit_test(a_map_agrees_with_a_plain_table_over_a_long_walk),
      cmocka_unit_test(a_map_that_goes_empty_and_full_allocates_entries_only),
      cmocka_unit_test(replacing_a_value_needs_no_memory),
      cmocka_unit_test(a_refusal_changes_nothing_with_numbers),
      cmocka_unit_test(a_refusal_changes_nothing_with_byte_strings),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
