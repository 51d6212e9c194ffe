/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_RECENT_H
#define ENGINE_RECENT_H

#include "engine/node.h"

/*
 * Pieces of the log that are in memory: those that were committed a moment ago, and those that were read a moment ago.
 * A hint: whatever isn't here is read from the store.
 */
typedef struct recent recent;

/* Event types by their index, a bit each. */
typedef uint64_t type_set;
static inline size_t type_set_words(const cafe_node *node) { return (node->registry.event_count + 63) / 64; }
static inline void type_set_add(type_set *set, uint32_t index) { set[index / 64] |= (uint64_t)1 << index % 64; }
static inline bool type_set_has(const type_set *set, uint32_t index) { return set[index / 64] >> index % 64 & 1; }

/* What is wanted of a log. */
typedef struct log_wish {
  uint32_t shard;
  uint64_t after;
  uint64_t partitions; /* a bit each; 0: all */
  const type_set *types;
} log_wish;

/* Events of a shard in their order: all that were wanted, behind `after` and up to `scanned`. */
typedef struct log_piece {
  struct log_piece *prev, *next;
  uint32_t shard;
  uint64_t after, scanned;
  uint64_t partitions;
  type_set *types; /* NULL: all of them */
  bool is_ahead;   /* read before it was asked for, and not asked for yet */
  cafe_arena *arena;
  cafe_stored_event *events;
  uint32_t *indexes; /* of their types; NULL where `types` isn't */
  uint32_t count, room;
  size_t bytes;
} log_piece;

/* What of it is wanted. events BORROW: until anything is added. */
typedef struct log_answer {
  const cafe_stored_event *events;
  uint32_t count;
  uint64_t scanned;
} log_answer;

recent *recent_create(cafe_node *node);
void recent_destroy(recent *self);

/* The unit is durable. */
void recent_add(recent *self, const struct unit *unit);
/* What was read. Takes the piece, which lies in its arena, and may free others. */
void recent_keep(recent *self, log_piece *piece);
/* The piece that goes on behind wish->after; NULL: it has to be read. */
log_piece *recent_find(recent *self, const log_wish *wish);
/* Of the piece, at most so many events. */
void recent_take(log_answer *out, recent *self, const log_piece *piece, const log_wish *wish, uint32_t limit);

#endif
