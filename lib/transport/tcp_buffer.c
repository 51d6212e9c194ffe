/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes on their way in or out. Invariant: begin <= end <= capacity; what is reserved lies behind end and counts for
 * nothing until it is added. */
#include "transport/tcp_buffer.h"

#include <string.h>

enum { FIRST_SIZE = 512 };

static char *reserve(buffer *b, size_t size, size_t least) {
  size_t held = buffer_size(b);
  if (b->begin > 0 && b->capacity - b->end < size) {
    memmove(b->data, b->data + b->begin, held);
    b->begin = 0;
    b->end = held;
  }
  if (!b->data || b->capacity - b->end < size) {
    if (size > SIZE_MAX / 4 - held) {
      return NULL;
    }
    size_t capacity = least < held + size ? held + size : least;
    char *data = b->allocator->resize(b->data, capacity, b->allocator->user);
    if (!data) {
      return NULL;
    }
    b->data = data;
    b->capacity = capacity;
  }
  return b->data + b->end;
}

char *buffer_reserve(buffer *b, size_t size) {
  return reserve(b, size, b->capacity < FIRST_SIZE ? FIRST_SIZE : b->capacity * 2);
}

char *buffer_reserve_just(buffer *b, size_t size) { return reserve(b, size, 0); }

void buffer_drop(buffer *b, size_t size) {
  b->begin += size;
  if (b->begin == b->end) {
    buffer_clear(b);
  }
}

int buffer_set(buffer *b, cafe_slice bytes) {
  if (bytes.size > b->capacity) {
    char *data = b->allocator->resize(NULL, bytes.size, b->allocator->user);
    if (!data) {
      return CAFE_NOMEM;
    }
    memcpy(data, bytes.data, bytes.size);
    buffer_free(b);
    b->data = data;
    b->capacity = bytes.size;
  } else if (bytes.size > 0 && b->data != bytes.data) {
    memmove(b->data, bytes.data, bytes.size);
  }
  b->begin = 0;
  b->end = bytes.size;
  return CAFE_OK;
}

void buffer_free(buffer *b) {
  (void)b->allocator->resize(b->data, 0, b->allocator->user);
  b->data = NULL;
  b->capacity = 0;
  buffer_clear(b);
}
