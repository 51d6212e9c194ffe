/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A table of hashes with open addresses, and the entries in a list. The table is what is searched: a hash stands in the
 * first free slot from its own place on, so a look is mostly one line of the processor's cache and one entry, however
 * large the map. The list is what is walked. Two invariants: between the place of a hash and its slot no slot is free,
 * also after a key was taken out; and an entry has its memory, and the table its room, before either is changed.
 */
#include "base/map.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"

struct map_entry {
  map_entry *prev, *next;
  void *value;
  uint64_t number; /* the key */
  uint32_t size;   /* of the bytes */
  char bytes[];
};

typedef struct slot {
  uint64_t hash;
  map_entry *entry; /* NULL: free */
} slot;

struct map {
  cafe_allocator allocator;
  map_keys keys;
  slot *slots;
  size_t mask; /* the number of slots, a power of two, less one */
  size_t count;
  map_entry *first, *last;
};

enum { FIRST_SLOTS = 16 };

static void *resize(map *m, void *memory, size_t size) { return m->allocator.resize(memory, size, m->allocator.user); }

static slot *make_slots(map *m, size_t count) {
  if (count > SIZE_MAX / sizeof(slot)) {
    return NULL;
  }
  slot *slots = resize(m, NULL, count * sizeof(*slots));
  if (slots) {
    memset(slots, 0, count * sizeof(*slots));
  }
  return slots;
}

map *map_create(const cafe_allocator *allocator, map_keys keys) {
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  map *m = allocator->resize(NULL, sizeof(*m), allocator->user);
  if (!m) {
    return NULL;
  }
  memset(m, 0, sizeof(*m));
  m->allocator = *allocator;
  m->keys = keys;
  m->slots = make_slots(m, FIRST_SLOTS);
  m->mask = FIRST_SLOTS - 1;
  if (!m->slots) {
    (void)resize(m, m, 0);
    return NULL;
  }
  return m;
}

static void free_entries(map *m) {
  for (map_entry *entry = m->first; entry;) {
    map_entry *next = entry->next;
    (void)resize(m, entry, 0);
    entry = next;
  }
}

void map_clear(map *m) {
  free_entries(m);
  memset(m->slots, 0, (m->mask + 1) * sizeof(*m->slots));
  m->first = m->last = NULL;
  m->count = 0;
}

void map_destroy(map *m) {
  if (!m) {
    return;
  }
  free_entries(m);
  (void)resize(m, m->slots, 0);
  (void)resize(m, m, 0);
}

size_t map_count(const map *m) { return m->count; }

static uint64_t hash_bytes(cafe_slice key) {
  uint64_t hash = hash_u64(key.size);
  for (size_t at = 0; at < key.size; at += sizeof(hash)) {
    uint64_t word = 0;
    size_t left = key.size - at;
    memcpy(&word, key.data + at, left < sizeof(word) ? left : sizeof(word));
    hash = hash_u64(hash ^ word);
  }
  return hash;
}

/* The slot of the hash, and of the bytes unless they have no address; or the free one where it would stand. */
static slot *find(const map *m, uint64_t hash, cafe_slice bytes) {
  for (size_t at = (size_t)hash & m->mask;; at = (at + 1) & m->mask) {
    slot *s = &m->slots[at];
    if (!s->entry) {
      return s;
    }
    if (s->hash == hash && (m->keys == MAP_U64 || cafe_slice_equal(map_key_bytes(s->entry), bytes))) {
      return s;
    }
  }
}

/* Of two different numbers the hashes differ, too. */
static slot *find_number(const map *m, uint64_t key) {
  assert(m->keys == MAP_U64);
  return find(m, hash_u64(key), (cafe_slice){NULL, 0});
}

static slot *find_bytes(const map *m, cafe_slice key) {
  assert(m->keys == MAP_BYTES);
  return find(m, hash_bytes(key), key);
}

/* Room for one more, with a quarter of the slots free. */
static int reserve(map *m) {
  size_t slots = m->mask + 1;
  if (m->count + 1 <= slots - slots / 4) {
    return CAFE_OK;
  }
  slot *larger = slots <= SIZE_MAX / 2 ? make_slots(m, slots * 2) : NULL;
  if (!larger) {
    return CAFE_NOMEM;
  }
  size_t mask = slots * 2 - 1;
  for (size_t i = 0; i < slots; i++) {
    if (m->slots[i].entry) {
      size_t at = (size_t)m->slots[i].hash & mask;
      while (larger[at].entry) {
        at = (at + 1) & mask;
      }
      larger[at] = m->slots[i];
    }
  }
  (void)resize(m, m->slots, 0);
  m->slots = larger;
  m->mask = mask;
  return CAFE_OK;
}

/* number is the key, or 0 and the bytes are it. */
static int add(map *m, uint64_t hash, uint64_t number, cafe_slice bytes, void *value) {
  map_entry *entry = resize(m, NULL, sizeof(*entry) + bytes.size);
  if (!entry || reserve(m)) {
    if (entry) {
      (void)resize(m, entry, 0);
    }
    return CAFE_NOMEM;
  }
  *entry = (map_entry){m->last, NULL, value, number, (uint32_t)bytes.size};
  if (bytes.size) {
    memcpy(entry->bytes, bytes.data, bytes.size);
  }
  *find(m, hash, bytes) = (slot){hash, entry};
  if (m->last) {
    m->last->next = entry;
  } else {
    m->first = entry;
  }
  m->last = entry;
  m->count++;
  return CAFE_OK;
}

int map_put(map *m, uint64_t key, void *value) {
  assert(value);
  slot *found = find_number(m, key);
  if (found->entry) {
    found->entry->value = value;
    return CAFE_OK;
  }
  return add(m, hash_u64(key), key, (cafe_slice){NULL, 0}, value);
}

int map_put_bytes(map *m, cafe_slice key, void *value) {
  assert(value);
  if (key.size >= UINT32_MAX) {
    return CAFE_NOMEM;
  }
  slot *found = find_bytes(m, key);
  if (found->entry) {
    found->entry->value = value;
    return CAFE_OK;
  }
  return add(m, hash_bytes(key), 0, key, value);
}

void *map_get(const map *m, uint64_t key) {
  const slot *found = find_number(m, key);
  return found->entry ? found->entry->value : NULL;
}

void *map_get_bytes(const map *m, cafe_slice key) {
  const slot *found = find_bytes(m, key);
  return found->entry ? found->entry->value : NULL;
}

/* Frees the slot. Those behind it that can't stand where they do with a gap before them move up. */
static void free_slot(map *m, size_t gap) {
  for (size_t at = (gap + 1) & m->mask; m->slots[at].entry; at = (at + 1) & m->mask) {
    size_t home = (size_t)m->slots[at].hash & m->mask;
    if (((at - home) & m->mask) >= ((at - gap) & m->mask)) {
      m->slots[gap] = m->slots[at];
      gap = at;
    }
  }
  m->slots[gap].entry = NULL;
}

static void *take_out(map *m, const slot *found) {
  map_entry *entry = found->entry;
  if (!entry) {
    return NULL;
  }
  void *value = entry->value;
  free_slot(m, (size_t)(found - m->slots));
  *(entry->prev ? &entry->prev->next : &m->first) = entry->next;
  *(entry->next ? &entry->next->prev : &m->last) = entry->prev;
  m->count--;
  (void)resize(m, entry, 0);
  return value;
}

void *map_remove(map *m, uint64_t key) { return take_out(m, find_number(m, key)); }

void *map_remove_bytes(map *m, cafe_slice key) { return take_out(m, find_bytes(m, key)); }

map_entry *map_first(const map *m) { return m->first; }

map_entry *map_next(const map_entry *entry) { return entry->next; }

void *map_value(const map_entry *entry) { return entry->value; }

uint64_t map_key(const map_entry *entry) { return entry->number; }

cafe_slice map_key_bytes(const map_entry *entry) { return (cafe_slice){entry->bytes, entry->size}; }
