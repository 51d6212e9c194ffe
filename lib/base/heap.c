/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A binary heap. Invariant: no item is before its parent, by (due, order), and item->place is where it is, from 1. The
 * order makes it stable: without it two timers due in the same millisecond would fire in an order that depends on the
 * heap's past, and a seeded run would not repeat. What is compared stands in the heap itself: the items lie anywhere,
 * and only those that move are touched.
 */
#include "base/heap.h"

#include <assert.h>
#include <string.h>

typedef struct entry {
  int64_t due;
  uint64_t order;
  heap_item *item;
} entry;

struct heap {
  cafe_allocator allocator;
  entry *entries; /* entries[0] is unused: children of i are 2i and 2i + 1 */
  size_t count;
  size_t capacity;
  uint64_t next_order;
};

heap *heap_create(const cafe_allocator *allocator) {
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  heap *h = allocator->resize(NULL, sizeof(*h), allocator->user);
  if (h) {
    memset(h, 0, sizeof(*h));
    h->allocator = *allocator;
  }
  return h;
}

void heap_destroy(heap *h) {
  if (!h) {
    return;
  }
  cafe_allocator allocator = h->allocator;
  allocator.resize(h->entries, 0, allocator.user);
  allocator.resize(h, 0, allocator.user);
}

static bool before(const entry *a, const entry *b) { return a->due != b->due ? a->due < b->due : a->order < b->order; }

static void put(heap *h, size_t place, const entry *e) {
  h->entries[place] = *e;
  e->item->place = place;
}

static void settle(heap *h, size_t place, entry moved) {
  while (place > 1 && before(&moved, &h->entries[place / 2])) {
    put(h, place, &h->entries[place / 2]);
    place /= 2;
  }
  for (size_t child; (child = place * 2) <= h->count; place = child) {
    if (child < h->count && before(&h->entries[child + 1], &h->entries[child])) {
      child++;
    }
    if (!before(&h->entries[child], &moved)) {
      break;
    }
    put(h, place, &h->entries[child]);
  }
  put(h, place, &moved);
}

int heap_push(heap *h, heap_item *item, int64_t due) {
  assert(item->place == 0);
  if (h->count + 1 >= h->capacity) {
    size_t capacity = h->capacity ? h->capacity * 2 : 16;
    entry *entries = h->allocator.resize(h->entries, capacity * sizeof(*entries), h->allocator.user);
    if (!entries) {
      return CAFE_NOMEM;
    }
    h->entries = entries;
    h->capacity = capacity;
  }
  item->due = due;
  h->count++;
  settle(h, h->count, (entry){due, h->next_order++, item});
  return CAFE_OK;
}

heap_item *heap_peek(const heap *h) { return h->count ? h->entries[1].item : NULL; }

heap_item *heap_pop(heap *h) {
  heap_item *item = heap_peek(h);
  if (item) {
    heap_remove(h, item);
  }
  return item;
}

void heap_remove(heap *h, heap_item *item) {
  size_t place = item->place;
  if (place == 0) {
    return;
  }
  assert(place <= h->count && h->entries[place].item == item);
  entry last = h->entries[h->count--];
  item->place = 0;
  if (last.item != item) {
    settle(h, place, last);
  }
}

void heap_update(heap *h, heap_item *item, int64_t due) {
  assert(item->place != 0 && item->place <= h->count && h->entries[item->place].item == item);
  if (due == item->due) {
    return;
  }
  item->due = due;
  settle(h, item->place, (entry){due, h->next_order++, item});
}

size_t heap_count(const heap *h) { return h->count; }
