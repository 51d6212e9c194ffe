/* SPDX-License-Identifier: Apache-2.0 */

/* The sorted array against a plain one: every operation, at every place where a chunk fills, splits, merges or ends. */
#include "store/memory_sorted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "failing_alloc.h"

enum { MODEL = 700 };

/* Pair i of the model is (i / 3, i % 3); what is there is its own address. */
typedef struct model {
  bool is_there[MODEL];
  char marks[MODEL];
} model;

static void expect_same(const sorted *s, model *m) {
  sorted_cursor cursor = sorted_seek(s, 0, 0);
  for (unsigned i = 0; i < MODEL; i++) {
    void **found = sorted_find(s, i / 3, i % 3);
    assert_int_equal(found != NULL, m->is_there[i]);
    if (found) {
      assert_ptr_equal(*found, &m->marks[i]);
      const sorted_entry *entry = sorted_next(&cursor);
      assert_non_null(entry);
      assert_int_equal(entry->key, i / 3);
      assert_int_equal(entry->sub, i % 3);
    }
  }
  assert_null(sorted_next(&cursor));
}

static void expect_seeks(const sorted *s, const model *m) {
  for (unsigned i = 0; i < MODEL; i++) {
    unsigned first = i;
    while (first < MODEL && !m->is_there[first]) {
      first++;
    }
    sorted_cursor cursor = sorted_seek(s, i / 3, i % 3);
    const sorted_entry *entry = sorted_next(&cursor);
    assert_int_equal(entry != NULL, first < MODEL);
    if (entry) {
      assert_int_equal(entry->key * 3 + entry->sub, first);
    }
  }
}

static void add(sorted *s, model *m, unsigned i) {
  assert_int_equal(sorted_add(s, i / 3, i % 3, &m->marks[i]), CAFE_OK);
  m->is_there[i] = true;
}

static void drop(sorted *s, model *m, unsigned i) {
  sorted_remove(s, i / 3, i % 3);
  m->is_there[i] = false;
}

static uint32_t next_random(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}

static void it_is_a_sorted_array_whatever_comes_and_goes(void **state) {
  (void)state;
  for (uint32_t seed = 1; seed <= 20; seed++) {
    uint32_t random = seed;
    model m = {0};
    failing_alloc memory;
    failing_alloc_init(&memory);
    sorted s;
    sorted_init(&s, &memory.allocator);
    for (unsigned step = 0; step < 4000; step++) {
      unsigned i = next_random(&random) % MODEL;
      /* It fills for a while, then empties, and so on. */
      bool adds = next_random(&random) % 100 < (step / 1000 % 2 ? 20u : 80u);
      if (adds && !m.is_there[i]) {
        add(&s, &m, i);
      } else if (!adds) {
        drop(&s, &m, i);
      }
      if (step % 97 == 0) {
        expect_same(&s, &m);
      }
    }
    expect_seeks(&s, &m);
    for (unsigned i = 0; i < MODEL; i++) {
      drop(&s, &m, i);
    }
    expect_same(&s, &m);
    sorted_deinit(&s);
    failing_alloc_end(&memory);
  }
}

/* 128 pairs fill a chunk: one more, at each of its places, splits it there. */
static void a_full_chunk_takes_one_more_at_every_place(void **state) {
  (void)state;
  for (unsigned at = 0; at <= 128; at++) {
    for (unsigned tail = 0; tail <= 128; tail += 128) {
      model m = {0};
      sorted s;
      sorted_init(&s, cafe_allocator_default());
      for (unsigned i = 0; i < 128 + tail; i++) {
        add(&s, &m, i < at ? i : i + 1);
      }
      add(&s, &m, at);
      expect_same(&s, &m);
      expect_seeks(&s, &m);
      sorted_deinit(&s);
    }
  }
}

static void pairs_that_come_in_order_fill_their_chunks(void **state) {
  (void)state;
  model m = {0};
  sorted s;
  sorted_init(&s, cafe_allocator_default());
  for (unsigned i = 0; i < MODEL; i++) {
    add(&s, &m, i);
  }
  assert_int_equal(s.count, (MODEL + 127) / 128);
  for (unsigned i = 0; i < MODEL; i++) {
    if (i % 50) {
      drop(&s, &m, i);
    }
  }
  expect_same(&s, &m);
  assert_true(s.count <= 2);
  sorted_deinit(&s);
}

static void nothing_changes_when_memory_is_refused(void **state) {
  (void)state;
  failing_alloc memory;
  failing_alloc_init(&memory);
  for (size_t n = 1; failing_alloc_begin(&memory, n); n++) {
    model m = {0};
    sorted s;
    sorted_init(&s, &memory.allocator);
    for (unsigned i = 0; i < MODEL; i++) {
      unsigned k = i * 11 % MODEL;
      if (sorted_add(&s, k / 3, k % 3, &m.marks[k])) {
        expect_same(&s, &m);
        add(&s, &m, k);
      }
      m.is_there[k] = true;
    }
    expect_same(&s, &m);
    sorted_deinit(&s);
    failing_alloc_end(&memory);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_is_a_sorted_array_whatever_comes_and_goes),
      cmocka_unit_test(a_full_chunk_takes_one_more_at_every_place),
      cmocka_unit_test(pairs_that_come_in_order_fill_their_chunks),
      cmocka_unit_test(nothing_changes_when_memory_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
