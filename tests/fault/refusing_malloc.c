/* SPDX-License-Identifier: Apache-2.0 */

/* A program's own malloc takes the place of glibc's for every library that it loads; glibc's stays behind another name,
 * and free needs no change. */
#include "refusing_malloc.h"

#include <errno.h>
#include <stddef.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

static _Thread_local struct {
  bool is_armed;
  uint64_t calls, from, count, refused;
} state;

static bool is_refused(void) {
  if (!state.is_armed)
    return false;
  state.calls++;
  if (state.calls < state.from || state.calls - state.from >= state.count)
    return false;
  state.refused++;
  errno = ENOMEM;
  return true;
}

/* Seen by the libraries. */
#pragma GCC visibility push(default)

void *malloc(size_t size) { return is_refused() ? NULL : __libc_malloc(size); }

void *calloc(size_t count, size_t size) { return is_refused() ? NULL : __libc_calloc(count, size); }

void *realloc(void *block, size_t size) { return size && is_refused() ? NULL : __libc_realloc(block, size); }

#pragma GCC visibility pop

void refusing_malloc_begin(uint64_t from, uint64_t count) {
  state.calls = state.refused = 0;
  state.from = from;
  state.count = count;
}

bool refusing_malloc_arm(bool is_armed) {
  bool was = state.is_armed;
  state.is_armed = is_armed;
  return was;
}

uint64_t refusing_malloc_calls(void) { return state.calls; }

uint64_t refusing_malloc_refused(void) { return state.refused; }
