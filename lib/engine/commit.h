/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_COMMIT_H
#define ENGINE_COMMIT_H

#include "engine/node.h"

/* One is in flight while those of the one before it are told. Made with the node, so that committing needs no memory of
 * its own. */
enum { COMMIT_JOBS = 2 };

typedef struct commit_job {
  storage_job job;
  cafe_batch batch;
  struct unit **units;
  cafe_unit **stores;
  cafe_arena *arena;
  int64_t begun_us;
} commit_job;

int commit_create(cafe_node *node);
void commit_destroy(cafe_node *node);

#endif
