/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_COMMIT_H
#define ENGINE_COMMIT_H

#include <stdatomic.h>

#include "engine/node.h"

/* One is in flight while those in the one before it are told. Made with the node, so that committing needs no memory of
 * its own. */
enum { COMMIT_JOBS = 2 };

typedef struct commit_job {
  storage_job job;
  cafe_batch batch;
  struct unit **units;
  cafe_unit **stores;
  cafe_arena *arena;
  int64_t begun_us;
  int code;            /* what the store said */
  atomic_bool has_run; /* set by the store's thread: code, and the units' results, are there */
} commit_job;

/* In the middle of long work: the next batch, if it is worth one and the store is free. */
void commit_early(cafe_node *node);
/* A turn has something to commit. */
bool commit_is_due(const cafe_node *node);
/* Monotonic: what waits for company has waited enough; INT64_MAX: nothing does. */
int64_t commit_next_us(const cafe_node *node);
int commit_create(cafe_node *node);
void commit_destroy(cafe_node *node);

#endif
