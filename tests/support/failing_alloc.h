/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAILING_ALLOC_H
#define FAILING_ALLOC_H

#include "cafe/alloc.h"

/*
 * An allocator that refuses one call and counts what is out. In a test:
 *
 *   failing_alloc memory;
 *   for (size_t n = 1; failing_alloc_begin(&memory, n); n++) {
 *     code = work(&memory.allocator);   // whether it fails or not: nothing may be left behind
 *     failing_alloc_end(&memory);
 *   }
 *
 * The loop ends after the first run in which nothing was refused.
 */
typedef struct failing_alloc {
  cafe_allocator allocator; /* hand out this, while the failing_alloc stays where it is */
  size_t fail_at;           /* the call that is refused, from 1; 0: none */
  size_t calls;             /* that ask for memory */
  size_t live;              /* blocks that aren't freed */
  int refused;              /* 1 once the call came */
} failing_alloc;

/* Refuses nothing: counts only. */
void failing_alloc_init(failing_alloc *memory);

/* Makes ready to refuse call n and returns 1; returns 0 if call n - 1 never came, so nothing is left to refuse. */
int failing_alloc_begin(failing_alloc *memory, size_t n);

/* Fails the test if a block isn't freed. */
void failing_alloc_end(const failing_alloc *memory);

#endif
