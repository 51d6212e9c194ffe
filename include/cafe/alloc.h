/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_ALLOC_H
#define CAFE_ALLOC_H

#include <stddef.h>

#include "cafe/export.h"
#include "cafe/types.h"

CAFE_BEGIN_DECLS

/*
 * Where memory comes from. A node, a store, a loop each take one at creation and keep a copy; NULL there means malloc.
 * Threads: called from every thread its owner uses, so it must be thread-safe for a node with a threaded loop. Frozen.
 */
typedef struct cafe_allocator {
  /* REQUIRED. block NULL: allocates. size 0: frees and returns NULL. Else resizes as realloc does: NULL leaves the
   * block as it was. The result suits any type. */
  void *(*resize)(void *block, size_t size, void *user);
  void *user;
} cafe_allocator;

/* The C library's allocator. BORROW: a constant. THREADSAFE. Since 0.1. */
CAFE_EXPORT const cafe_allocator *cafe_allocator_default(void);

/*
 * An arena: memory that is given out piece by piece and taken back at once. What evolve, fold and react need of the
 * heap they take from the arena they are handed. Not threadsafe; one owner at a time.
 */
typedef struct cafe_arena cafe_arena;

/* Makes an empty arena. OWN: cafe_arena_destroy. allocator NULL: malloc; otherwise COPY. NULL when memory is refused.
 * THREADSAFE, as far as the allocator is. Since 0.1. */
CAFE_EXPORT cafe_arena *cafe_arena_create(const cafe_allocator *allocator);

/* Frees the arena and everything taken from it. NULL is allowed. Since 0.1. */
CAFE_EXPORT void cafe_arena_destroy(cafe_arena *arena);

/* Takes everything back and keeps the blocks for the next use. Since 0.1. */
CAFE_EXPORT void cafe_arena_reset(cafe_arena *arena);

/* Zeroed memory for any type, valid until the arena is reset or destroyed. NULL when memory is refused. Since 0.1. */
CAFE_EXPORT void *cafe_arena_alloc(cafe_arena *arena, size_t size);

/* A copy of the bytes, followed by a NUL that size doesn't count. Returns CAFE_OK or CAFE_NOMEM; an empty slice copies
 * to an empty slice. Since 0.1. */
CAFE_EXPORT int cafe_arena_copy(cafe_slice *out, cafe_arena *arena, cafe_slice bytes);

CAFE_END_DECLS

#endif
