/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_METRICS_H
#define ENGINE_METRICS_H

#include "engine/node.h"

/* A durable write has ended, well or not. */
void metrics_commit(cafe_node *node, int64_t took_us, uint32_t units);
/* A guarded call has ended. */
void metrics_guarded(histogram *took, int64_t took_us);

/* ---- count.c: what only a look through the store tells ---- */

/* Sagas of one name that stand in the same place and aren't over. */
typedef struct saga_place {
  struct saga_place *next;
  const char *saga, *phase, *steps;
  uint64_t count;
} saga_place;

typedef struct saga_age {
  struct saga_age *next;
  const char *saga;
  int64_t oldest_ms; /* when the oldest that isn't over began */
} saga_age;

/* What a look through the sagas found. It lies in its arena. */
typedef struct saga_census {
  cafe_arena *arena;
  saga_place *places;
  saga_age *ages;
} saga_census;

/* Begins a look, if one is due. */
void census_refresh(cafe_node *node);
void census_destroy(cafe_node *node);

#endif
