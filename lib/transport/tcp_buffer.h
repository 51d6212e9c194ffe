/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPORT_TCP_BUFFER_H
#define TRANSPORT_TCP_BUFFER_H

#include "cafe/alloc.h"

/* Bytes that come at the end and go at the front. The owner's memory; zeroed but for the allocator it is empty. */
typedef struct buffer {
  const cafe_allocator *allocator; /* BORROW */
  char *data;
  size_t begin;    /* where the first byte is */
  size_t end;      /* and the last one ends */
  size_t capacity; /* of data */
} buffer;

static inline size_t buffer_size(const buffer *b) { return b->end - b->begin; }
static inline cafe_slice buffer_bytes(const buffer *b) {
  return (cafe_slice){b->data ? b->data + b->begin : NULL, b->end - b->begin};
}

/* Where `size` more bytes may be written; what of them counts is said by buffer_add. NULL: no memory, and nothing
 * changed. */
char *buffer_reserve(buffer *b, size_t size);
static inline void buffer_add(buffer *b, size_t size) { b->end += size; }

/* The same, but takes no more memory than that needs. */
char *buffer_reserve_just(buffer *b, size_t size);

/* Takes bytes off at the front. An empty one keeps its memory, for the next use. */
void buffer_drop(buffer *b, size_t size);

/* Makes it hold just these bytes, which may be its own. CAFE_OK or CAFE_NOMEM, with all as it was. */
int buffer_set(buffer *b, cafe_slice bytes);

/* Empties it. */
static inline void buffer_clear(buffer *b) { b->begin = b->end = 0; }

/* Empties it, and gives its memory back. */
void buffer_free(buffer *b);

#endif
