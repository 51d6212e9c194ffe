/* SPDX-License-Identifier: Apache-2.0 */

/*
 * uthash behind an allocator that is passed in and may refuse. Two invariants. The anchor, an entry that no key finds,
 * is always the first: so uthash's table lives as long as the map, a map that goes empty and full again allocates
 * nothing but entries, and the path in which uthash gives up a table on its first insertion is behind us after
 * map_create. And `hh.tbl` of an entry that uthash couldn't add is NULL: that is how a refusal shows.
 */
#include "base/map.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"

#define HASH_NONFATAL_OOM         1
#define uthash_malloc(size)       resize(m, NULL, (size))
#define uthash_free(memory, size) ((void)resize(m, (memory), 0))
#include <uthash.h>

struct map_entry {
  UT_hash_handle hh;
  void *value;
  union {
    uint64_t number;
    char bytes[sizeof(uint64_t)]; /* and on behind the struct */
  } key;
};

struct map {
  cafe_allocator allocator;
  map_keys keys;
  map_entry *head; /* the anchor */
  map_entry anchor;
};

/* No key is so long: uthash keeps 32 bits of the length. */
#define ANCHOR_SIZE UINT32_MAX

static void *resize(map *m, void *memory, size_t size) { return m->allocator.resize(m->allocator.user, memory, size); }

map *map_create(const cafe_allocator *allocator, map_keys keys) {
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  map *m = allocator->resize(allocator->user, NULL, sizeof(*m));
  if (!m) {
    return NULL;
  }
  memset(m, 0, sizeof(*m));
  m->allocator = *allocator;
  m->keys = keys;
  map_entry *anchor = &m->anchor;
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, m->head, anchor->key.bytes, ANCHOR_SIZE, 0u, anchor);
  if (!anchor->hh.tbl) {
    allocator->resize(allocator->user, m, 0);
    return NULL;
  }
  return m;
}

void map_clear(map *m) {
  for (map_entry *entry = map_first(m); entry;) {
    map_entry *next = map_next(entry);
    HASH_DELETE(hh, m->head, entry);
    resize(m, entry, 0);
    entry = next;
  }
}

void map_destroy(map *m) {
  if (!m) {
    return;
  }
  for (map_entry *entry = map_first(m); entry;) {
    map_entry *next = map_next(entry);
    resize(m, entry, 0);
    entry = next;
  }
  HASH_CLEAR(hh, m->head);
  resize(m, m, 0);
}

size_t map_count(const map *m) { return HASH_COUNT(m->head) - 1; }

/* {NULL, 0} is a key like another, but memcmp and memcpy want an address. */
static cafe_slice with_address(cafe_slice key) { return key.size ? key : (cafe_slice){"", 0}; }

static uint32_t hash_bytes(cafe_slice key) {
  uint32_t hash;
  HASH_JEN(key.data, key.size, hash);
  return hash;
}

static map_entry *find(const map *m, uint64_t key) {
  assert(m->keys == MAP_U64);
  map_entry *found;
  HASH_FIND_BYHASHVALUE(hh, m->head, &key, sizeof(key), (uint32_t)hash_u64(key), found);
  return found;
}

static map_entry *find_bytes(const map *m, cafe_slice key, uint32_t hash) {
  assert(m->keys == MAP_BYTES);
  map_entry *found;
  HASH_FIND_BYHASHVALUE(hh, m->head, key.data, key.size, hash, found);
  return found;
}

static int add(map *m, map_entry *entry, size_t size, uint32_t hash) {
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, m->head, entry->key.bytes, size, hash, entry);
  if (!entry->hh.tbl) {
    resize(m, entry, 0);
    return CAFE_NOMEM;
  }
  return CAFE_OK;
}

int map_put(map *m, uint64_t key, void *value) {
  assert(value);
  map_entry *entry = find(m, key);
  if (entry) {
    entry->value = value;
    return CAFE_OK;
  }
  entry = resize(m, NULL, sizeof(*entry));
  if (!entry) {
    return CAFE_NOMEM;
  }
  entry->value = value;
  entry->key.number = key;
  return add(m, entry, sizeof(key), (uint32_t)hash_u64(key));
}

int map_put_bytes(map *m, cafe_slice key, void *value) {
  assert(value);
  key = with_address(key);
  if (key.size >= ANCHOR_SIZE) {
    return CAFE_NOMEM;
  }
  uint32_t hash = hash_bytes(key);
  map_entry *entry = find_bytes(m, key, hash);
  if (entry) {
    entry->value = value;
    return CAFE_OK;
  }
  entry = resize(m, NULL, sizeof(*entry) + key.size);
  if (!entry) {
    return CAFE_NOMEM;
  }
  entry->value = value;
  memcpy(entry->key.bytes, key.data, key.size);
  return add(m, entry, key.size, hash);
}

void *map_get(const map *m, uint64_t key) {
  map_entry *entry = find(m, key);
  return entry ? entry->value : NULL;
}

void *map_get_bytes(const map *m, cafe_slice key) {
  key = with_address(key);
  map_entry *entry = find_bytes(m, key, hash_bytes(key));
  return entry ? entry->value : NULL;
}

static void *take_out(map *m, map_entry *entry) {
  if (!entry) {
    return NULL;
  }
  void *value = entry->value;
  HASH_DELETE(hh, m->head, entry);
  resize(m, entry, 0);
  return value;
}

void *map_remove(map *m, uint64_t key) { return take_out(m, find(m, key)); }

void *map_remove_bytes(map *m, cafe_slice key) {
  key = with_address(key);
  return take_out(m, find_bytes(m, key, hash_bytes(key)));
}

map_entry *map_first(const map *m) { return m->anchor.hh.next; }

map_entry *map_next(const map_entry *entry) { return entry->hh.next; }

void *map_value(const map_entry *entry) { return entry->value; }

uint64_t map_key(const map_entry *entry) { return entry->key.number; }

cafe_slice map_key_bytes(const map_entry *entry) { return (cafe_slice){entry->hh.key, entry->hh.keylen}; }
