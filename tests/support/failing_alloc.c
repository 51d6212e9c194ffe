/* SPDX-License-Identifier: Apache-2.0 */

/* Blocks are moved at each resize, so that a pointer kept over one is found by AddressSanitizer and Valgrind. */
#include "failing_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct header {
  _Alignas(16) size_t size;
} header;

static void *resize(void *block, size_t size, void *user) {
  failing_alloc *memory = user;
  header *old = block ? (header *)block - 1 : NULL;
  if (size == 0) {
    if (old) {
      memory->live--;
      free(old);
    }
    return NULL;
  }
  memory->calls++;
  if (memory->calls == memory->fail_at) {
    memory->refused = 1;
    return NULL;
  }
  header *made = size <= SIZE_MAX / 2 ? malloc(sizeof(header) + size) : NULL;
  if (!made) {
    return NULL;
  }
  made->size = size;
  memset(made + 1, 0xA5, size);
  if (old) {
    memcpy(made + 1, block, old->size < size ? old->size : size);
    free(old);
  } else {
    memory->live++;
  }
  return made + 1;
}

void failing_alloc_init(failing_alloc *memory) {
  memset(memory, 0, sizeof(*memory));
  memory->allocator.resize = resize;
  memory->allocator.user = memory;
}

int failing_alloc_begin(failing_alloc *memory, size_t n) {
  if (n > 1 && !memory->refused) {
    return 0;
  }
  failing_alloc_init(memory);
  memory->fail_at = n;
  return 1;
}

void failing_alloc_end(const failing_alloc *memory) { assert_int_equal(memory->live, 0); }
