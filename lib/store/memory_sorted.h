/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_MEMORY_SORTED_H
#define STORE_MEMORY_SORTED_H

#include "cafe/alloc.h"
#include "cafe/types.h"

/* Pointers that are the caller's, in ascending order of two numbers, each pair once. */
typedef struct sorted_entry {
  uint64_t key;
  uint64_t sub;
  void *value;
} sorted_entry;

typedef struct sorted {
  cafe_allocator allocator;
  struct sorted_head *heads;
  size_t count; /* of chunks */
  size_t room;
} sorted;

/* A place to read on from. Valid until something is added or removed. */
typedef struct sorted_cursor {
  const sorted *of;
  size_t chunk;
  uint32_t at;
} sorted_cursor;

/* Allocates nothing. */
void sorted_init(sorted *out, const cafe_allocator *allocator);
/* The values stay the caller's. */
void sorted_deinit(sorted *s);

/* Where the pair's value stands, NULL if the pair isn't there. BORROW: until something is added or removed. */
void **sorted_find(const sorted *s, uint64_t key, uint64_t sub);

/* The pair isn't there yet. CAFE_OK or CAFE_NOMEM. */
int sorted_add(sorted *s, uint64_t key, uint64_t sub, void *value);

/* Nothing if the pair isn't there. Never fails. */
void sorted_remove(sorted *s, uint64_t key, uint64_t sub);

/* The first pair that is not before (key, sub). */
sorted_cursor sorted_seek(const sorted *s, uint64_t key, uint64_t sub);
/* The entry there, and a step on; NULL at the end. */
const sorted_entry *sorted_next(sorted_cursor *cursor);

#endif
