/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "cafe/alloc.h"

/* As cafe_arena_create, with a first block of so many bytes, the arena itself among them: a multiple of 16, from 512 to
 * 64 KiB. Later blocks double from there. */
cafe_arena *arena_create(const cafe_allocator *allocator, size_t first_block);

/* As cafe_arena_alloc, but not zeroed: for who writes all of it at once. */
void *arena_take(cafe_arena *arena, size_t size);

/* Gives back the end of the block that was taken last, so that it keeps `kept` of its `size` bytes. For who knows the
 * size only afterwards. */
void arena_shrink(cafe_arena *arena, void *block, size_t size, size_t kept);

#endif
