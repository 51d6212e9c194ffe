/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_STORE_MEMORY_H
#define CAFE_STORE_MEMORY_H

#include "cafe/node.h"

CAFE_BEGIN_DECLS

typedef struct cafe_memory_options {
  size_t size;
  const cafe_allocator *allocator; /* COPY; NULL: malloc */
  bool is_threaded; /* runs on the loop's lanes like a store that blocks, for tests and simulation; else on the loop */
} cafe_memory_options;

#define CAFE_MEMORY_OPTIONS_INIT                                                                                       \
  { sizeof(cafe_memory_options), NULL, false }

/* A store in memory, gone with the process. It may be opened again and again, which stands for a restart; only one node
 * at a time. options may be NULL. OWN: cafe_store_destroy. CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_memory_create(cafe_store **out, const cafe_memory_options *options, cafe_err *err);

CAFE_END_DECLS

#endif
