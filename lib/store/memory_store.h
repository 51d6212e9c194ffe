/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_MEMORY_STORE_H
#define STORE_MEMORY_STORE_H

#include <pthread.h>

#include "base/map.h"
#include "cafe/store/memory.h"
#include "store/memory_log.h"
#include "store/memory_rows.h"

/* The parts of a memory store, for memory.c, memory_commit.c and memory_shadow.c. */

typedef struct subscription {
  struct subscription *next;
  sorted places; /* by log id, then shard and partition; checkpoint */
  char name[];
} subscription;

typedef struct checkpoint {
  uint64_t n; /* 0: there is none */
} checkpoint;

/* A client's key: never changed, another reply is another block. */
typedef struct key_entry {
  cafe_slice name; /* scope and key */
  uint64_t stream_key;
  int64_t time_ms;
  bool has_reply;
  cafe_slice fingerprint;
  cafe_slice reply;
  char bytes[];
} key_entry;

typedef enum undo_kind { UNDO_ROW = 1, UNDO_KEY = 2, UNDO_CHECKPOINT = 3 } undo_kind;

/* One write, and what was there before it. */
typedef struct undo {
  undo_kind kind;
  bool is_new;     /* ROW: its place was made by this write */
  bool is_removal; /* ROW: its place is empty since this write */
  union {
    struct {
      memory_table *table;
      uint64_t key, sub;
      memory_row *old;
    } row;
    struct {
      key_entry *made;
      key_entry *old; /* NULL: there was none */
    } key;
    struct {
      checkpoint *place;
      uint64_t old;
    } checkpoint;
  } of;
} undo;

typedef struct memory_store {
  cafe_store base;
  cafe_allocator allocator;
  bool is_threaded;
  pthread_mutex_t lock;
  uint64_t log_id;
  memory_log log;
  pool rows;            /* of all tables */
  memory_table *tables; /* in the order of the setup */
  map *keys;            /* key_entry by name */
  subscription *subscriptions;
  undo *undos;
  size_t undo_count;
  size_t undo_room;
  char *name; /* of the key in hand: scope and key in one */
  size_t name_room;
} memory_store;

static inline void *memory_alloc(memory_store *self, size_t size) {
  return self->allocator.resize(NULL, size, self->allocator.user);
}

static inline void memory_free(memory_store *self, void *block) {
  if (block) {
    (void)self->allocator.resize(block, 0, self->allocator.user);
  }
}

/* NULL: the store wasn't opened with it. */
memory_table *memory_find_table(const memory_store *self, const cafe_table *type);
int memory_unknown_table(const cafe_table *type, cafe_err *err);

/* Scope and key as one name. BORROW: until the next one. CAFE_OK or CAFE_NOMEM. */
int memory_name_key(cafe_slice *out, memory_store *self, cafe_slice scope, cafe_slice key);

/* Sets *out whole; entry NULL: there is none. CAFE_NOMEM leaves it zeroed. */
int memory_describe_key(cafe_key_record *out, const key_entry *entry, cafe_slice fingerprint, cafe_arena *arena);

/* NULL: it has no checkpoints. */
const subscription *memory_find_subscription(const memory_store *self, const char *name);

/* cafe_store_ops.commit of a batch that is well formed. */
int memory_commit(memory_store *self, cafe_batch *batch, cafe_err *err);

/* The checkpoints of the subscriptions go and the unit, which is well formed, is written, or, as its result tells,
 * nothing is. */
int memory_commit_anew(memory_store *self, const char *const *subscriptions, cafe_unit *unit, cafe_arena *arena,
                       cafe_err *err);

/* As cafe_store_ops has them. */
int memory_make_shadow(memory_store *self, const cafe_table *shadow, const cafe_table *of, cafe_err *err);
void memory_drop_shadow(memory_store *self, const char *name);
int memory_replace(memory_store *self, const cafe_replacement *what, cafe_err *err);
/* At open: those that the last life left. */
void memory_drop_shadows(memory_store *self);

#endif
