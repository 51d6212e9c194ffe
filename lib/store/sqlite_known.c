/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the write lane knows without asking: the versions of streams, rows and checkpoints that it has met. The file is
 * held by one node, so what was read or written here stays true; whoever else writes to it shows in PRAGMA data_version,
 * and then everything is forgotten (sqlite_commit.c). So it is after any failure: an item may hold what was rolled back.
 *
 * Items live in an arena, keyed by bytes; all go at once when there are too many, and come back by SELECT as they are
 * needed.
 */
#include <string.h>

#include "store/sqlite_store.h"

enum { ITEMS_MAX = 65536 }; /* about 10 MB; 1,024 orders in flight need a fifth */

struct sqlite_known {
  cafe_allocator allocator;
  cafe_arena *arena;
  map *items;
  map *names; /* of aggregates and subscriptions, to their numbers */
  uint64_t next_name;
};

/* Without holes: compared as bytes. */
typedef struct item_key {
  uint64_t kind; /* and what makes it narrower: a table, a shard and partition */
  uint64_t name;
  uint64_t key;
  uint64_t sub;
} item_key;

sqlite_known *sqlite_known_create(const cafe_allocator *allocator) {
  sqlite_known *known = allocator->resize(allocator->user, NULL, sizeof(*known));
  if (!known) {
    return NULL;
  }
  memset(known, 0, sizeof(*known));
  known->allocator = *allocator;
  known->arena = cafe_arena_create(allocator);
  known->items = map_create(allocator, MAP_BYTES);
  known->names = map_create(allocator, MAP_BYTES);
  if (!known->arena || !known->items || !known->names) {
    sqlite_known_destroy(known);
    return NULL;
  }
  return known;
}

void sqlite_known_destroy(sqlite_known *known) {
  if (known) {
    map_destroy(known->items);
    map_destroy(known->names);
    cafe_arena_destroy(known->arena);
    known->allocator.resize(known->allocator.user, known, 0);
  }
}

void sqlite_known_clear(sqlite_known *known) {
  map_clear(known->items);
  map_clear(known->names);
  cafe_arena_reset(known->arena);
}

void sqlite_known_trim(sqlite_known *known) {
  if (map_count(known->items) > ITEMS_MAX || map_count(known->names) > ITEMS_MAX) {
    sqlite_known_clear(known);
  }
}

/* A number for the name as long as the items live; 0: no memory. */
static uint64_t number_of(sqlite_known *known, const char *name) {
  uint64_t *number = map_get_bytes(known->names, cafe_text(name));
  if (!number) {
    number = cafe_arena_alloc(known->arena, sizeof(*number));
    if (!number) {
      return 0;
    }
    *number = known->next_name + 1;
    if (map_put_bytes(known->names, cafe_text(name), number) != CAFE_OK) {
      return 0;
    }
    known->next_name++;
  }
  return *number;
}

static sqlite_item *item_of(sqlite_known *known, const item_key *key, bool *is_new) {
  cafe_slice bytes = {(const char *)key, sizeof(*key)};
  sqlite_item *item = map_get_bytes(known->items, bytes);
  *is_new = !item;
  if (!item) {
    item = cafe_arena_alloc(known->arena, sizeof(*item));
    if (item && map_put_bytes(known->items, bytes, item) != CAFE_OK) {
      item = NULL;
    }
  }
  return item;
}

sqlite_item *sqlite_known_stream(sqlite_known *known, const char *aggregate, uint64_t key, bool *is_new) {
  item_key item = {KNOWN_STREAM, number_of(known, aggregate), key, 0};
  return item.name ? item_of(known, &item, is_new) : NULL;
}

sqlite_item *sqlite_known_row(sqlite_known *known, uint32_t table, uint64_t key, uint64_t sub, bool *is_new) {
  item_key item = {KNOWN_ROW, table, key, sub};
  return item_of(known, &item, is_new);
}

sqlite_item *sqlite_known_checkpoint(sqlite_known *known, const cafe_checkpoint *checkpoint, bool *is_new) {
  uint64_t place = (uint64_t)checkpoint->shard << 32 | (uint32_t)checkpoint->partition;
  item_key item = {KNOWN_CHECKPOINT, number_of(known, checkpoint->subscription), checkpoint->log_id, place};
  return item.name ? item_of(known, &item, is_new) : NULL;
}
