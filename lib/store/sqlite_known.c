/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the write lane knows without asking: the versions of streams, rows and checkpoints that it has met. The file is
 * held by one node, so what was read or written here stays true; whoever else writes to it shows in PRAGMA
 * data_version, and then everything is forgotten (sqlite_commit.c). So it is after any failure: an item may hold what
 * was rolled back.
 *
 * Everything about one key hangs together: a unit mostly touches one, and then finds it once. Items live in an arena,
 * each in one line of the processor's cache; all go at once when there are too many, and come back by SELECT as they
 * are needed.
 */
#include <string.h>

#include "store/sqlite_store.h"

enum {
  ITEMS_MAX = 65536, /* some 8 MB; 1,024 orders in flight need a fifth */
  NAMES_MAX = 1024   /* aggregates and subscriptions */
};

typedef struct known_key {
  sqlite_item *items;
} known_key;

struct sqlite_known {
  cafe_allocator allocator;
  cafe_arena *arena;
  map *keys;        /* to known_key */
  map *checkpoints; /* to sqlite_item */
  uint32_t count;   /* items */
  uint64_t last_number;
  known_key *last; /* of last_number; NULL: none */
  uint32_t name_count;
  const char *names[NAMES_MAX]; /* in the arena; a name's number is its place */
};

/* Without holes: compared as bytes. */
typedef struct checkpoint_key {
  uint64_t log_id;
  uint32_t shard;
  int32_t partition;
  uint64_t name;
} checkpoint_key;

sqlite_known *sqlite_known_create(const cafe_allocator *allocator) {
  sqlite_known *known = allocator->resize(NULL, sizeof(*known), allocator->user);
  if (!known) {
    return NULL;
  }
  memset(known, 0, sizeof(*known));
  known->allocator = *allocator;
  known->arena = cafe_arena_create(allocator);
  known->keys = map_create(allocator, MAP_U64);
  known->checkpoints = map_create(allocator, MAP_BYTES);
  if (!known->arena || !known->keys || !known->checkpoints) {
    sqlite_known_destroy(known);
    return NULL;
  }
  return known;
}

void sqlite_known_destroy(sqlite_known *known) {
  if (known) {
    map_destroy(known->keys);
    map_destroy(known->checkpoints);
    cafe_arena_destroy(known->arena);
    known->allocator.resize(known, 0, known->allocator.user);
  }
}

void sqlite_known_clear(sqlite_known *known) {
  map_clear(known->keys);
  map_clear(known->checkpoints);
  cafe_arena_reset(known->arena);
  known->count = 0;
  known->last = NULL;
  known->name_count = 0;
}

void sqlite_known_trim(sqlite_known *known) {
  if (known->count > ITEMS_MAX || known->name_count > NAMES_MAX / 2) {
    sqlite_known_clear(known);
  }
}

/* A number for the name as long as the items live. There are few, so looking through them is the fastest. */
static int number_of(sqlite_known *known, uint32_t *out, const char *name) {
  for (uint32_t i = 0; i < known->name_count; i++) {
    if (strcmp(known->names[i], name) == 0) {
      *out = i;
      return CAFE_OK;
    }
  }
  cafe_slice copy;
  if (known->name_count == NAMES_MAX || cafe_arena_copy(&copy, known->arena, cafe_text(name)) != CAFE_OK) {
    return CAFE_NOMEM;
  }
  *out = known->name_count;
  known->names[known->name_count++] = copy.size ? copy.data : "";
  return CAFE_OK;
}

static known_key *key_of(sqlite_known *known, uint64_t number) {
  if (known->last && known->last_number == number) {
    return known->last;
  }
  known_key *key = map_get(known->keys, number);
  if (!key) {
    key = cafe_arena_alloc(known->arena, sizeof(*key));
    if (!key || map_put(known->keys, number, key) != CAFE_OK) {
      return NULL;
    }
  }
  known->last = key;
  known->last_number = number;
  return key;
}

static sqlite_item *item_of(sqlite_known *known, uint64_t number, sqlite_kind kind, uint32_t place, uint64_t sub,
                            bool *is_new) {
  known_key *key = key_of(known, number);
  if (!key) {
    return NULL;
  }
  sqlite_item *item = key->items;
  while (item && (item->kind != kind || item->place != place || item->sub != sub)) {
    item = item->next;
  }
  *is_new = !item;
  if (!item) {
    item = cafe_arena_alloc(known->arena, sizeof(*item));
    if (item) {
      item->kind = (uint8_t)kind;
      item->place = (uint16_t)place;
      item->sub = sub;
      item->next = key->items;
      key->items = item;
      known->count++;
    }
  }
  return item;
}

sqlite_item *sqlite_known_stream(sqlite_known *known, const char *aggregate, uint64_t key, bool *is_new) {
  uint32_t number;
  return number_of(known, &number, aggregate) == CAFE_OK ? item_of(known, key, KNOWN_STREAM, number, 0, is_new) : NULL;
}

sqlite_item *sqlite_known_row(sqlite_known *known, uint32_t table, uint64_t key, uint64_t sub, bool *is_new) {
  return item_of(known, key, KNOWN_ROW, table, sub, is_new);
}

sqlite_item *sqlite_known_checkpoint(sqlite_known *known, const cafe_checkpoint *checkpoint, bool *is_new) {
  uint32_t number;
  if (number_of(known, &number, checkpoint->subscription) != CAFE_OK) {
    return NULL;
  }
  checkpoint_key key = {checkpoint->log_id, checkpoint->shard, checkpoint->partition, number};
  cafe_slice bytes = {(const char *)&key, sizeof(key)};
  sqlite_item *item = map_get_bytes(known->checkpoints, bytes);
  *is_new = !item;
  if (!item) {
    item = cafe_arena_alloc(known->arena, sizeof(*item));
    if (!item || map_put_bytes(known->checkpoints, bytes, item) != CAFE_OK) {
      return NULL;
    }
    item->kind = KNOWN_CHECKPOINT;
    known->count++;
  }
  return item;
}
