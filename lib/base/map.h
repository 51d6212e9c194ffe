/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "cafe/alloc.h"
#include "cafe/types.h"

/*
 * A map from keys to pointers that are the caller's. All keys of one map are numbers, or all are byte strings; which,
 * is said at creation. Walked in the order in which keys came in, so a seeded run repeats.
 */
typedef struct map map;

typedef enum map_keys {
  MAP_U64 = 1,
  MAP_BYTES = 2 /* of any size, 0 too; COPY. Compared as bytes: a struct as key must have no holes */
} map_keys;

/* OWN. allocator NULL: malloc; otherwise COPY. NULL: no memory. */
map *map_create(const cafe_allocator *allocator, map_keys keys);

/* The values stay the caller's. NULL is allowed. */
void map_destroy(map *m);

size_t map_count(const map *m);

/* value isn't NULL. A key that is there gets the new value, which never fails. CAFE_NOMEM: nothing changed. */
int map_put(map *m, uint64_t key, void *value);
int map_put_bytes(map *m, cafe_slice key, void *value);

/* NULL: there is no such key. */
void *map_get(const map *m, uint64_t key);
void *map_get_bytes(const map *m, cafe_slice key);

/* Takes the key out. Returns its value, NULL if there is no such key. */
void *map_remove(map *m, uint64_t key);
void *map_remove_bytes(map *m, cafe_slice key);

/* Takes all keys out. */
void map_clear(map *m);

/* for (map_entry *e = map_first(m); e; e = map_next(e)). Taking out other keys, and putting in, is allowed meanwhile;
 * to take out e itself step on first. */
typedef struct map_entry map_entry;
map_entry *map_first(const map *m);
map_entry *map_next(const map_entry *entry);
void *map_value(const map_entry *entry);
uint64_t map_key(const map_entry *entry);
cafe_slice map_key_bytes(const map_entry *entry); /* BORROW: until the key is taken out */

#endif
