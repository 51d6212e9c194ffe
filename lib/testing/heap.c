/* SPDX-License-Identifier: Apache-2.0 */

#include "testing/heap.h"

#include <string.h>

#include <utlist.h>

typedef struct heap_block {
  struct heap_block *prev, *next;
  size_t size;
  _Alignas(16) char bytes[];
} heap_block;

static void block_free(process_heap *self, heap_block *block) {
  DL_DELETE(self->blocks, block);
  self->live--;
  self->below.resize(block, 0, self->below.user);
}

static bool is_refused(process_heap *self) {
  uint64_t number = ++self->calls;
  if (number < self->from || number - self->from >= self->count) {
    return false;
  }
  self->refused++;
  return true;
}

static void *resize(void *bytes, size_t size, void *user) {
  process_heap *self = user;
  heap_block *old = bytes ? (heap_block *)(void *)((char *)bytes - offsetof(heap_block, bytes)) : NULL;
  if (size == 0) {
    if (old) {
      block_free(self, old);
    }
    return NULL;
  }
  heap_block *made = is_refused(self) || size > SIZE_MAX - sizeof(*made)
                         ? NULL
                         : self->below.resize(NULL, sizeof(*made) + size, self->below.user);
  if (!made) {
    return NULL;
  }
  made->size = size;
  self->live++;
  DL_PREPEND(self->blocks, made);
  if (old) {
    memcpy(made->bytes, bytes, old->size < size ? old->size : size);
    block_free(self, old);
  }
  return made->bytes;
}

void process_heap_init(process_heap *self, const cafe_allocator *below) {
  memset(self, 0, sizeof(*self));
  self->allocator.resize = resize;
  self->allocator.user = self;
  self->below = below ? *below : *cafe_allocator_default();
}

void process_heap_drop(process_heap *self) {
  while (self->blocks) {
    block_free(self, self->blocks);
  }
}
