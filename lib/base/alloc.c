/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The arena is a chain of blocks. Blocks before `current` are full or passed over, blocks behind it are free: a reset
 * only moves `current` back to the first, and the same work then takes the same blocks again without one call to the
 * allocator. There are many arenas, so the first block is small and shares its memory with the arena itself; later ones
 * double.
 *
 * What isn't given out is poisoned under AddressSanitizer: a text kept beyond its arena's reset is found at its use.
 */
#include "cafe/alloc.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size)   ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

enum {
  ALIGNMENT = 16,           /* suits any type on every platform we know */
  FIRST_BLOCK = 512,        /* where nothing else is asked for, and the least; with the arena itself */
  LARGEST_BLOCK = 64 * 1024 /* doubling ends at the first size that isn't below, so that less than twice it is idle */
};

/* The block's bytes follow it. */
typedef struct block {
  _Alignas(ALIGNMENT) struct block *next;
  size_t capacity; /* of its bytes, a multiple of ALIGNMENT */
} block;

struct cafe_arena {
  char *free, *end; /* what is left of `current`: multiples of ALIGNMENT */
  block *current;
  size_t next_size; /* of the next block to be made */
  cafe_allocator allocator;
  block first;
};

static char *data_of(block *b) { return (char *)(b + 1); }

static void enter(cafe_arena *arena, block *b) {
  arena->current = b;
  arena->free = data_of(b);
  arena->end = data_of(b) + b->capacity;
}

static void *default_resize(void *memory, size_t size, void *user) {
  (void)user;
  if (size == 0) {
    free(memory);
    return NULL;
  }
  return realloc(memory, size);
}

const cafe_allocator *cafe_allocator_default(void) {
  static const cafe_allocator allocator = {default_resize, NULL};
  return &allocator;
}

cafe_arena *cafe_arena_create(const cafe_allocator *allocator) { return arena_create(allocator, FIRST_BLOCK); }

cafe_arena *arena_create(const cafe_allocator *allocator, size_t first_block) {
  assert(first_block % ALIGNMENT == 0 && first_block >= FIRST_BLOCK && first_block <= LARGEST_BLOCK);
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  cafe_arena *arena = allocator->resize(NULL, first_block, allocator->user);
  if (!arena) {
    return NULL;
  }
  memset(arena, 0, sizeof(*arena));
  arena->allocator = *allocator;
  arena->next_size = first_block * 2;
  arena->first.capacity = first_block - sizeof(*arena);
  enter(arena, &arena->first);
  ASAN_POISON_MEMORY_REGION(data_of(&arena->first), arena->first.capacity);
  return arena;
}

void cafe_arena_destroy(cafe_arena *arena) {
  if (!arena) {
    return;
  }
  cafe_allocator allocator = arena->allocator;
  for (block *b = arena->first.next; b;) {
    block *next = b->next;
    ASAN_UNPOISON_MEMORY_REGION(data_of(b), b->capacity);
    allocator.resize(b, 0, allocator.user);
    b = next;
  }
  ASAN_UNPOISON_MEMORY_REGION(data_of(&arena->first), arena->first.capacity);
  allocator.resize(arena, 0, allocator.user);
}

void cafe_arena_reset(cafe_arena *arena) {
  /* Those behind `current` are free already. */
  for (block *b = &arena->first; b != arena->current->next; b = b->next) {
    ASAN_POISON_MEMORY_REGION(data_of(b), b->capacity);
  }
  enter(arena, &arena->first);
}

/* Makes `current` a block with room for size bytes, a multiple of ALIGNMENT. A free block that is too small is made
 * larger, not passed over: else every request larger than all before would leave another block behind for ever. */
__attribute__((noinline)) static bool make_room(cafe_arena *arena, size_t size) {
  block *next = arena->current->next;
  if (!next || next->capacity < size) {
    size_t total = arena->next_size;
    if (size > total - sizeof(block)) {
      if (size > SIZE_MAX - sizeof(block)) {
        return false;
      }
      total = size + sizeof(block);
    }
    block *after = next ? next->next : NULL;
    if (next) {
      ASAN_UNPOISON_MEMORY_REGION(data_of(next), next->capacity);
    }
    next = arena->allocator.resize(next, total, arena->allocator.user);
    if (!next) {
      return false;
    }
    *next = (block){after, total - sizeof(block)};
    arena->current->next = next;
    if (arena->next_size < LARGEST_BLOCK) {
      arena->next_size *= 2;
    }
    ASAN_POISON_MEMORY_REGION(data_of(next), next->capacity);
  }
  enter(arena, next);
  return true;
}

static size_t rounded(size_t size) { return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/* Inline in both that zero and those that don't: hundreds of pieces are taken for one order. */
static inline void *take(cafe_arena *arena, size_t size) {
  if (size > SIZE_MAX - ALIGNMENT) {
    return NULL;
  }
  /* Two blocks never have the same address, not even empty ones. */
  size_t whole = size ? rounded(size) : ALIGNMENT;
  if ((size_t)(arena->end - arena->free) < whole && !make_room(arena, whole)) {
    return NULL;
  }
  char *taken = arena->free;
  arena->free += whole;
  ASAN_UNPOISON_MEMORY_REGION(taken, size);
  return taken;
}

void *arena_take(cafe_arena *arena, size_t size) { return take(arena, size); }

void arena_shrink(cafe_arena *arena, void *memory, size_t size, size_t kept) {
  char *start = memory;
  assert(kept <= size && start >= data_of(arena->current) && start + rounded(size) == arena->free);
  arena->free = start + (kept ? rounded(kept) : ALIGNMENT);
  ASAN_POISON_MEMORY_REGION(start + kept, rounded(size) - kept);
}

void *cafe_arena_alloc(cafe_arena *arena, size_t size) {
  void *taken = take(arena, size);
  if (taken) {
    memset(taken, 0, size);
  }
  return taken;
}

int cafe_arena_copy(cafe_slice *out, cafe_arena *arena, cafe_slice bytes) {
  if (bytes.size == 0) {
    *out = (cafe_slice){NULL, 0};
    return CAFE_OK;
  }
  if (bytes.size == SIZE_MAX) {
    return CAFE_NOMEM;
  }
  char *copy = arena_take(arena, bytes.size + 1);
  if (!copy) {
    return CAFE_NOMEM;
  }
  memcpy(copy, bytes.data, bytes.size);
  copy[bytes.size] = '\0';
  *out = (cafe_slice){copy, bytes.size};
  return CAFE_OK;
}
