/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cafe/alloc.h"

/*
 * What is due next. Items are the caller's memory, embedded in what they stand for and zeroed before the first push;
 * the heap holds pointers. Of two items due at the same time the one pushed or moved first comes first.
 */
typedef struct heap_item {
  int64_t due;  /* read only */
  size_t place; /* the heap's; 0: in no heap */
} heap_item;

typedef struct heap heap;

/* OWN. allocator NULL: malloc; otherwise COPY. NULL: no memory. */
heap *heap_create(const cafe_allocator *allocator);

/* The items stay as they are, the caller's. NULL is allowed. */
void heap_destroy(heap *h);

/* BORROW: until the item is popped or removed. CAFE_NOMEM: it isn't in. */
int heap_push(heap *h, heap_item *item, int64_t due);

/* The item that is due first, or NULL. */
heap_item *heap_peek(const heap *h);
heap_item *heap_pop(heap *h);

/* Takes the item out; nothing if it isn't in. */
void heap_remove(heap *h, heap_item *item);

/* Gives an item that is in another due time; one that has it already keeps its turn. Never fails. */
void heap_update(heap *h, heap_item *item, int64_t due);

size_t heap_count(const heap *h);

static inline bool heap_has(const heap_item *item) { return item->place != 0; }

#endif
