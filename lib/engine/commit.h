/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_COMMIT_H
#define ENGINE_COMMIT_H

#include "engine/node.h"

/* The batch in flight. There is one, made with the node, so that committing needs no memory of its own. */
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
