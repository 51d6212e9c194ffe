/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTING_HEAP_H
#define TESTING_HEAP_H

#include "cafe/alloc.h"

/* Memory of one process: it can be refused, and all of it goes when the process is killed. A block moves at each
 * resize, so that a pointer kept over one is found. */
typedef struct process_heap {
  cafe_allocator allocator; /* hand out this, while the heap stays where it is */
  cafe_allocator below;
  struct heap_block *blocks;
  size_t live;    /* blocks that aren't freed */
  uint64_t calls; /* that asked for memory */
  uint64_t from;  /* this one, and … */
  uint64_t count; /* … so many in a row, are refused */
  uint64_t refused;
} process_heap;

/* below NULL: malloc; COPY. */
void process_heap_init(process_heap *self, const cafe_allocator *below);
/* Frees whatever is left. */
void process_heap_drop(process_heap *self);

#endif
