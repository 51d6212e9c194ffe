/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A binary heap. Invariant: no item is before its parent, by (due, order), and item->place is where it is, from 1. The
 * order makes it stable: without it two timers due in the same millisecond would fire in an order that depends on the
 * heap's past, and a seeded run would not repeat.
 */
#include "base/heap.h"

#include <assert.h>
#include <string.h>

struct heap {
  cafe_allocator allocator;
  heap_item **items; /* items[0] is unused: children of i are 2i and 2i + 1 */
  size_t count;
  size_t capacity;
  uint64_t next_order;
};

heap *heap_create(const cafe_allocator *allocator) {
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  heap *h = allocator->resize(allocator->user, NULL, sizeof(*h));
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
  allocator.resize(allocator.user, h->items, 0);
  allocator.resize(allocator.user, h, 0);
}

static bool before(const heap_item *a, const heap_item *b) {
  return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void put(heap *h, size_t place, heap_item *item) {
  h->items[place] = item;
  item->place = place;
}

static void settle(heap *h, size_t place, heap_item *item) {
  while (place > 1 && before(item, h->items[place / 2])) {
    put(h, place, h->items[place / 2]);
    place /= 2;
  }
  for (size_t child; (child = place * 2) <= h->count; place = child) {
    if (child < h->count && before(h->items[child + 1], h->items[child])) {
      child++;
    }
    if (!before(h->items[child], item)) {
      break;
    }
    put(h, place, h->items[child]);
  }
  put(h, place, item);
}

int heap_push(heap *h, heap_item *item, int64_t due) {
  assert(item->place == 0);
  if (h->count + 1 >= h->capacity) {
    size_t capacity = h->capacity ? h->capacity * 2 : 16;
    heap_item **items = h->allocator.resize(h->allocator.user, h->items, capacity * sizeof(heap_item *));
    if (!items) {
      return CAFE_NOMEM;
    }
    h->items = items;
    h->capacity = capacity;
  }
  item->due = due;
  item->order = h->next_order++;
  h->count++;
  settle(h, h->count, item);
  return CAFE_OK;
}

heap_item *heap_peek(const heap *h) { return h->count ? h->items[1] : NULL; }

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
  assert(place <= h->count && h->items[place] == item);
  heap_item *last = h->items[h->count--];
  item->place = 0;
  if (last != item) {
    settle(h, place, last);
  }
}

void heap_update(heap *h, heap_item *item, int64_t due) {
  assert(item->place != 0 && item->place <= h->count && h->items[item->place] == item);
  item->due = due;
  item->order = h->next_order++;
  settle(h, item->place, item);
}

size_t heap_count(const heap *h) { return h->count; }
