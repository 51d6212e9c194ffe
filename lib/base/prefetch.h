/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PREFETCH_H
#define BASE_PREFETCH_H

#include <stddef.h>

/* Asks for memory that is soon needed, all at once and without waiting for it; the address may be any. */
static inline void prefetch(const void *memory, size_t size) {
#if defined(__GNUC__)
  enum { CACHE_LINE = 64 };
  for (size_t at = 0; at < size; at += CACHE_LINE) {
    __builtin_prefetch((const char *)memory + at);
  }
#else
  (void)memory, (void)size;
#endif
}

#endif
