/* SPDX-License-Identifier: Apache-2.0 */

/* Memory from an arena is zeroed, aligned, nobody else's, and all comes back at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "cafe/alloc.h"
#include "failing_alloc.h"

static void the_default_allocator_gives_resizes_and_frees(void **state) {
  const cafe_allocator *allocator = cafe_allocator_default();
  char *block = allocator->resize(NULL, 10, allocator->user);
  assert_non_null(block);
  memcpy(block, "123456789", 10);
  block = allocator->resize(block, 100000, allocator->user);
  assert_non_null(block);
  assert_string_equal(block, "123456789");
  assert_null(allocator->resize(block, 0, allocator->user));
  assert_null(allocator->resize(NULL, 0, allocator->user));
}

static void pieces_are_zeroed_aligned_and_apart(void **state) {
  enum { PIECES = 500 };
  unsigned char *pieces[PIECES];
  size_t sizes[PIECES];
  cafe_arena *arena = cafe_arena_create(NULL);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < PIECES; i++) {
      sizes[i] = (size_t)(i * 37 % 301);
      pieces[i] = cafe_arena_alloc(arena, sizes[i]);
      assert_non_null(pieces[i]);
      assert_int_equal((uintptr_t)pieces[i] % 16, 0);
      for (size_t j = 0; j < sizes[i]; j++) {
        assert_int_equal(pieces[i][j], 0);
      }
      memset(pieces[i], i % 251 + 1, sizes[i]);
    }
    for (int i = 0; i < PIECES; i++) {
      for (size_t j = 0; j < sizes[i]; j++) {
        assert_int_equal(pieces[i][j], i % 251 + 1);
      }
    }
    cafe_arena_reset(arena);
  }
  cafe_arena_destroy(arena);
}

static void empty_pieces_have_addresses_of_their_own(void **state) {
  cafe_arena *arena = cafe_arena_create(NULL);
  for (int i = 0; i < 100; i++) {
    void *a = cafe_arena_alloc(arena, 0);
    void *b = cafe_arena_alloc(arena, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
  }
  cafe_arena_destroy(arena);
}

static void the_same_work_after_a_reset_asks_for_no_memory(void **state) {
  failing_alloc memory;
  failing_alloc_init(&memory);
  cafe_arena *arena = cafe_arena_create(&memory.allocator);
  size_t calls = 0;
  for (int round = 0; round < 5; round++) {
    for (size_t i = 0; i < 200; i++) {
      assert_non_null(cafe_arena_alloc(arena, i % 7 == 0 ? 5000 + i : i));
    }
    assert_non_null(cafe_arena_alloc(arena, 300000));
    if (round > 0) {
      assert_int_equal(memory.calls, calls);
    }
    calls = memory.calls;
    cafe_arena_reset(arena);
  }
  cafe_arena_destroy(arena);
  failing_alloc_end(&memory);
}

static void requests_that_grow_from_round_to_round_leave_no_blocks_behind(void **state) {
  failing_alloc memory;
  failing_alloc_init(&memory);
  cafe_arena *arena = cafe_arena_create(&memory.allocator);
  for (size_t round = 0; round < 300; round++) {
    assert_non_null(cafe_arena_alloc(arena, 70000 + round * 1000));
    assert_non_null(cafe_arena_alloc(arena, 100));
    cafe_arena_reset(arena);
  }
  assert_in_range(memory.live, 1, 4);
  cafe_arena_destroy(arena);
  failing_alloc_end(&memory);
}

static void a_small_arena_is_one_allocation(void **state) {
  failing_alloc memory;
  failing_alloc_init(&memory);
  cafe_arena *arena = cafe_arena_create(&memory.allocator);
  for (int i = 0; i < 9; i++) {
    assert_non_null(cafe_arena_alloc(arena, 40));
  }
  assert_int_equal(memory.calls, 1);
  cafe_arena_destroy(arena);
  failing_alloc_end(&memory);
}

static void a_size_that_no_memory_has_is_refused(void **state) {
  static const size_t sizes[] = {SIZE_MAX,      SIZE_MAX - 1,  SIZE_MAX - 15, SIZE_MAX - 16,
                                 SIZE_MAX - 31, SIZE_MAX - 32, SIZE_MAX - 64, SIZE_MAX / 2 + 1};
  failing_alloc memory;
  failing_alloc_init(&memory);
  cafe_arena *arena = cafe_arena_create(&memory.allocator);
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    assert_null(cafe_arena_alloc(arena, sizes[i]));
    cafe_slice out = {"unchanged", 9};
    assert_int_equal(cafe_arena_copy(&out, arena, (cafe_slice){"", sizes[i]}), CAFE_NOMEM);
    assert_string_equal(out.data, "unchanged");
  }
  assert_non_null(cafe_arena_alloc(arena, 100));
  cafe_arena_destroy(arena);
  failing_alloc_end(&memory);
}

static void a_copy_ends_with_nul_and_an_empty_one_is_empty(void **state) {
  cafe_arena *arena = cafe_arena_create(NULL);
  char original[] = "latte";
  cafe_slice out;
  assert_int_equal(cafe_arena_copy(&out, arena, cafe_text(original)), CAFE_OK);
  original[0] = 'x';
  assert_int_equal(out.size, 5);
  assert_string_equal(out.data, "latte");
  assert_int_equal(cafe_arena_copy(&out, arena, (cafe_slice){"x", 0}), CAFE_OK);
  assert_null(out.data);
  assert_int_equal(out.size, 0);
  cafe_arena_destroy(arena);
}

static void what_a_piece_gives_back_is_given_out_again(void **state) {
  cafe_arena *arena = cafe_arena_create(NULL);
  char *wide = arena_take(arena, 200);
  memset(wide, 1, 200);
  arena_shrink(arena, wide, 200, 10);
  char *next = cafe_arena_alloc(arena, 50);
  assert_ptr_equal(next, wide + 16);
  char *exact = arena_take(arena, 16);
  assert_ptr_equal(exact, next + 64);
  assert_ptr_equal(arena_take(arena, 16), exact + 16);
  for (int i = 0; i < 50; i++) {
    assert_int_equal(next[i], 0);
  }
  char *empty = arena_take(arena, 100);
  arena_shrink(arena, empty, 100, 0);
  assert_ptr_not_equal(arena_take(arena, 1), empty);
  cafe_arena_destroy(arena);
}

static void an_arena_survives_every_refusal(void **state) {
  failing_alloc memory;
  size_t n = 1;
  for (; failing_alloc_begin(&memory, n); n++) {
    cafe_arena *arena = cafe_arena_create(&memory.allocator);
    if (arena) {
      char *kept = cafe_arena_alloc(arena, 100);
      assert_non_null(kept);
      memset(kept, 7, 100);
      for (int round = 0; round < 2; round++) {
        for (size_t size = 100; size < 400000; size *= 3) {
          char *piece = cafe_arena_alloc(arena, size);
          if (!piece) {
            /* One call was refused, the next isn't. */
            assert_true(memory.refused);
            piece = cafe_arena_alloc(arena, size);
          }
          assert_non_null(piece);
          memset(piece, 9, size);
        }
        if (round == 0) {
          for (int i = 0; i < 100; i++) {
            assert_int_equal(kept[i], 7);
          }
        }
        cafe_arena_reset(arena);
      }
    } else {
      assert_true(memory.refused);
    }
    cafe_arena_destroy(arena);
    failing_alloc_end(&memory);
  }
  assert_in_range(n, 4, 100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_default_allocator_gives_resizes_and_frees),
      cmocka_unit_test(pieces_are_zeroed_aligned_and_apart),
      cmocka_unit_test(empty_pieces_have_addresses_of_their_own),
      cmocka_unit_test(the_same_work_after_a_reset_asks_for_no_memory),
      cmocka_unit_test(requests_that_grow_from_round_to_round_leave_no_blocks_behind),
      cmocka_unit_test(a_small_arena_is_one_allocation),
      cmocka_unit_test(a_size_that_no_memory_has_is_refused),
      cmocka_unit_test(a_copy_ends_with_nul_and_an_empty_one_is_empty),
      cmocka_unit_test(what_a_piece_gives_back_is_given_out_again),
      cmocka_unit_test(an_arena_survives_every_refusal),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
