/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REFUSING_MALLOC_H
#define REFUSING_MALLOC_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The C library's malloc, calloc and realloc for the whole program, third parties included, of which some calls fail.
 * Only calls of this thread are counted, and only while it is armed.
 */

/* Calls from, from + 1, … from + count - 1 fail, from 1; count 0: none. Counts anew. */
void refusing_malloc_begin(uint64_t from, uint64_t count);
/* Returns what it was. */
bool refusing_malloc_arm(bool is_armed);
uint64_t refusing_malloc_calls(void);
uint64_t refusing_malloc_refused(void);

#endif
