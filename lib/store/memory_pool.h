/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_MEMORY_POOL_H
#define STORE_MEMORY_POOL_H

#include "cafe/alloc.h"

/* Up to 2 KiB in steps of 64 bytes; above, a block goes straight back. */
enum { POOL_STEP = 64, POOL_CLASSES = 32 };

/* Blocks of a store's rows. */
typedef struct pool {
  cafe_allocator allocator;
  struct pool_block *free[POOL_CLASSES];
} pool;

/* Allocates nothing. */
void pool_init(pool *out, const cafe_allocator *allocator);
/* All blocks have been given back. */
void pool_deinit(pool *p);

/* Memory for any type. NULL: no memory. */
void *pool_take(pool *p, size_t size);
/* block NULL: nothing. size is that which was taken. */
void pool_give(pool *p, void *block, size_t size);

#endif
