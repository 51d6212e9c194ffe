/* SPDX-License-Identifier: Apache-2.0 */

/* What is due first comes first; what is due at the same time comes in the order in which it was said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/heap.h"
#include "failing_alloc.h"

enum { ITEMS = 400 };

static void items_come_out_by_their_due_time(void **state) {
  heap_item items[ITEMS];
  memset(items, 0, sizeof(items));
  heap *h = heap_create(NULL);
  assert_null(heap_peek(h));
  assert_null(heap_pop(h));
  for (int i = 0; i < ITEMS; i++) {
    assert_int_equal(heap_push(h, &items[i], i * 7919 % 101 - 50), CAFE_OK);
  }
  assert_int_equal(heap_count(h), ITEMS);
  const heap_item *last = NULL;
  for (int i = 0; i < ITEMS; i++) {
    heap_item *item = heap_peek(h);
    assert_ptr_equal(heap_pop(h), item);
    assert_false(heap_has(item));
    if (last) {
      assert_true(last->due < item->due || (last->due == item->due && last < item));
    }
    last = item;
  }
  assert_null(heap_pop(h));
  heap_destroy(h);
  heap_destroy(NULL);
}

static void the_ends_of_time_have_their_place(void **state) {
  heap_item items[3];
  memset(items, 0, sizeof(items));
  heap *h = heap_create(NULL);
  heap_push(h, &items[0], INT64_MAX);
  heap_push(h, &items[1], INT64_MIN);
  heap_push(h, &items[2], 0);
  assert_ptr_equal(heap_pop(h), &items[1]);
  assert_ptr_equal(heap_pop(h), &items[2]);
  assert_ptr_equal(heap_pop(h), &items[0]);
  heap_destroy(h);
}

static void an_item_that_is_moved_goes_behind_those_of_its_new_time(void **state) {
  heap_item items[3];
  memset(items, 0, sizeof(items));
  heap *h = heap_create(NULL);
  heap_push(h, &items[0], 10);
  heap_push(h, &items[1], 20);
  heap_push(h, &items[2], 30);
  heap_update(h, &items[0], 20);
  heap_update(h, &items[2], 5);
  heap_update(h, &items[1], 20);
  assert_ptr_equal(heap_pop(h), &items[2]);
  assert_ptr_equal(heap_pop(h), &items[1]);
  assert_ptr_equal(heap_pop(h), &items[0]);
  heap_destroy(h);
}

static void taking_out_what_is_not_in_changes_nothing(void **state) {
  heap_item items[2];
  memset(items, 0, sizeof(items));
  heap *h = heap_create(NULL);
  heap_push(h, &items[0], 1);
  heap_remove(h, &items[1]);
  assert_int_equal(heap_count(h), 1);
  heap_remove(h, &items[0]);
  heap_remove(h, &items[0]);
  assert_int_equal(heap_count(h), 0);
  assert_int_equal(heap_push(h, &items[0], 3), CAFE_OK);
  assert_ptr_equal(heap_peek(h), &items[0]);
  heap_destroy(h);
}

/* The due item by looking at all of them; turns tells when each got its due time. */
static heap_item *first_of(heap_item *items, const uint64_t *turns) {
  heap_item *first = NULL;
  for (int i = 0; i < ITEMS; i++) {
    if (heap_has(&items[i]) &&
        (!first || items[i].due < first->due || (items[i].due == first->due && turns[i] < turns[first - items]))) {
      first = &items[i];
    }
  }
  return first;
}

static void a_heap_agrees_with_a_search_over_a_long_walk(void **state) {
  heap_item items[ITEMS];
  memset(items, 0, sizeof(items));
  failing_alloc memory;
  failing_alloc_init(&memory);
  heap *h = heap_create(&memory.allocator);
  uint64_t x = 3;
  size_t count = 0;
  uint64_t turns[ITEMS], turn = 0;
  for (int i = 0; i < 20000; i++) {
    x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    heap_item *item = &items[(x >> 33) % ITEMS];
    int64_t due = (int64_t)(x >> 50) % 97;
    if (!heap_has(item)) {
      assert_int_equal(heap_push(h, item, due), CAFE_OK);
      turns[item - items] = turn++;
      count++;
    } else if (x >> 63) {
      bool is_moved = due != item->due;
      heap_update(h, item, due);
      turns[item - items] = is_moved ? turn++ : turns[item - items];
      assert_true(item->due == due);
    } else {
      heap_remove(h, item);
      count--;
    }
    assert_int_equal(heap_count(h), count);
    assert_ptr_equal(heap_peek(h), first_of(items, turns));
  }
  while (heap_count(h)) {
    heap_item *first = first_of(items, turns);
    assert_ptr_equal(heap_pop(h), first);
  }
  heap_destroy(h);
  failing_alloc_end(&memory);
}

static void a_push_that_is_refused_changes_nothing(void **state) {
  heap_item items[ITEMS];
  failing_alloc memory;
  size_t n = 1;
  for (; failing_alloc_begin(&memory, n); n++) {
    memset(items, 0, sizeof(items));
    heap *h = heap_create(&memory.allocator);
    if (h) {
      for (int i = 0; i < ITEMS; i++) {
        if (heap_push(h, &items[i], -i)) {
          assert_true(memory.refused);
          assert_false(heap_has(&items[i]));
          assert_int_equal(heap_count(h), i);
          assert_ptr_equal(heap_peek(h), i ? &items[i - 1] : NULL);
          assert_int_equal(heap_push(h, &items[i], -i), CAFE_OK);
        }
      }
      for (int i = ITEMS; i-- > 0;) {
        assert_ptr_equal(heap_pop(h), &items[i]);
      }
    } else {
      assert_true(memory.refused);
    }
    heap_destroy(h);
    failing_alloc_end(&memory);
  }
  assert_true(n > 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(items_come_out_by_their_due_time),
      cmocka_unit_test(the_ends_of_time_have_their_place),
      cmocka_unit_test(an_item_that_is_moved_goes_behind_those_of_its_new_time),
      cmocka_unit_test(taking_out_what_is_not_in_changes_nothing),
      cmocka_unit_test(a_heap_agrees_with_a_search_over_a_long_walk),
      cmocka_unit_test(a_push_that_is_refused_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
