/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A batch replaces as many rows as it writes, and gives all old ones back at its end: more at once than the C library
 * keeps at hand, so it would sort and join them each time. Here they wait in lists by size, the last one first, which
 * is the one that the processor's cache still has. The invariant: a block is on the list of the size that it was taken
 * with.
 */
#include "store/memory_pool.h"

#include <string.h>

typedef struct pool_block {
  struct pool_block *next;
} pool_block;

void pool_init(pool *out, const cafe_allocator *allocator) {
  memset(out, 0, sizeof(*out));
  out->allocator = *allocator;
}

void pool_deinit(pool *p) {
  for (size_t i = 0; i < POOL_CLASSES; i++) {
    while (p->free[i]) {
      pool_block *next = p->free[i]->next;
      (void)p->allocator.resize(p->free[i], 0, p->allocator.user);
      p->free[i] = next;
    }
  }
}

/* size isn't 0. */
static size_t class_of(size_t size) { return (size - 1) / POOL_STEP; }

void *pool_take(pool *p, size_t size) {
  size_t class = class_of(size);
  if (class >= POOL_CLASSES) {
    return p->allocator.resize(NULL, size, p->allocator.user);
  }
  pool_block *block = p->free[class];
  if (block) {
    p->free[class] = block->next;
    return block;
  }
  return p->allocator.resize(NULL, (class + 1) * POOL_STEP, p->allocator.user);
}

void pool_give(pool *p, void *block, size_t size) {
  size_t class = class_of(size);
  if (!block) {
    return;
  }
  if (class >= POOL_CLASSES) {
    (void)p->allocator.resize(block, 0, p->allocator.user);
    return;
  }
  pool_block *given = block;
  given->next = p->free[class];
  p->free[class] = given;
}
