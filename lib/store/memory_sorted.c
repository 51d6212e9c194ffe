/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An array of two levels: chunks of entries, and an array of the chunks. Keys rise with time, so nearly all is looked
 * up, added and removed near the end, where nothing has to be moved and the whole way is in the processor's cache;
 * anywhere else half a chunk is moved. The invariant: a chunk isn't empty, its entries rise, and all of them lie from
 * its head's pair on (the first chunk: from anywhere) to before the next head's.
 */
#include "store/memory_sorted.h"

#include <assert.h>
#include <string.h>

/* 128 entries of 24 bytes: moving half of them takes as long as the search. */
enum { CHUNK_ENTRIES = 128 };

/* So many at the end are looked at in turn before the others are searched. */
enum { NEAR_CHUNKS = 8 };

typedef struct sorted_chunk {
  uint32_t count;
  sorted_entry entries[CHUNK_ENTRIES];
} sorted_chunk;

typedef struct sorted_head {
  uint64_t key;
  uint64_t sub;
  sorted_chunk *chunk;
} sorted_head;

void sorted_init(sorted *out, const cafe_allocator *allocator) {
  memset(out, 0, sizeof(*out));
  out->allocator = *allocator;
}

static void release(const sorted *s, void *block) {
  if (block) {
    (void)s->allocator.resize(block, 0, s->allocator.user);
  }
}

void sorted_deinit(sorted *s) {
  for (size_t i = 0; i < s->count; i++) {
    release(s, s->heads[i].chunk);
  }
  release(s, s->heads);
  s->heads = NULL;
  s->count = s->room = 0;
}

static bool is_before(uint64_t key, uint64_t sub, uint64_t than_key, uint64_t than_sub) {
  return key < than_key || (key == than_key && sub < than_sub);
}

/* The chunk that holds the pair, or would; there is one. */
static size_t find_chunk(const sorted *s, uint64_t key, uint64_t sub) {
  size_t low = 0, high = s->count;
  for (int near = 0; near < NEAR_CHUNKS && high > 1; near++, high--) {
    if (!is_before(key, sub, s->heads[high - 1].key, s->heads[high - 1].sub)) {
      return high - 1;
    }
  }
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (is_before(key, sub, s->heads[middle].key, s->heads[middle].sub)) {
      high = middle;
    } else {
      low = middle;
    }
  }
  return low;
}

/* Where the key stands if the chunk's are spread evenly, as those that were given out one after the other are. */
static uint32_t guess_entry(const sorted_chunk *chunk, uint64_t key) {
  uint64_t first = chunk->entries[0].key, last = chunk->entries[chunk->count - 1].key;
  if (key <= first || key >= last) {
    return key <= first ? 0 : chunk->count - 1;
  }
  return (uint32_t)((double)(key - first) / (double)(last - first) * (chunk->count - 1));
}

/* The first entry that is not before the pair; the count if all are. From the guess it is mostly no step or two. */
static uint32_t find_entry(const sorted_chunk *chunk, uint64_t key, uint64_t sub) {
  if (chunk->count == 0) {
    return 0;
  }
  uint32_t at = guess_entry(chunk, key);
  while (at < chunk->count && is_before(chunk->entries[at].key, chunk->entries[at].sub, key, sub)) {
    at++;
  }
  while (at > 0 && !is_before(chunk->entries[at - 1].key, chunk->entries[at - 1].sub, key, sub)) {
    at--;
  }
  return at;
}

static bool is_at(const sorted_chunk *chunk, uint32_t at, uint64_t key, uint64_t sub) {
  return at < chunk->count && chunk->entries[at].key == key && chunk->entries[at].sub == sub;
}

void **sorted_find(const sorted *s, uint64_t key, uint64_t sub) {
  if (s->count == 0) {
    return NULL;
  }
  sorted_chunk *chunk = s->heads[find_chunk(s, key, sub)].chunk;
  uint32_t at = find_entry(chunk, key, sub);
  return is_at(chunk, at, key, sub) ? &chunk->entries[at].value : NULL;
}

/* A chunk behind chunk `after` (SIZE_MAX: the first), without entries as yet. NULL: no memory. */
static sorted_chunk *add_chunk(sorted *s, size_t after, uint64_t key, uint64_t sub) {
  if (s->count == s->room) {
    size_t room = s->room ? s->room * 2 : 16;
    sorted_head *heads = s->allocator.resize(s->heads, room * sizeof(*heads), s->allocator.user);
    if (!heads) {
      return NULL;
    }
    s->heads = heads;
    s->room = room;
  }
  sorted_chunk *chunk = s->allocator.resize(NULL, sizeof(*chunk), s->allocator.user);
  if (!chunk) {
    return NULL;
  }
  chunk->count = 0;
  size_t at = after + 1;
  memmove(&s->heads[at + 1], &s->heads[at], (s->count - at) * sizeof(*s->heads));
  s->heads[at] = (sorted_head){key, sub, chunk};
  s->count++;
  return chunk;
}

int sorted_add(sorted *s, uint64_t key, uint64_t sub, void *value) {
  if (s->count == 0 && !add_chunk(s, SIZE_MAX, key, sub)) {
    return CAFE_NOMEM;
  }
  size_t in = find_chunk(s, key, sub);
  sorted_chunk *chunk = s->heads[in].chunk;
  uint32_t at = find_entry(chunk, key, sub);
  assert(!is_at(chunk, at, key, sub));

  if (chunk->count == CHUNK_ENTRIES) {
    /* Behind the last entry nothing is moved over: chunks that were filled in order stay full. */
    uint32_t kept = in + 1 == s->count && at == chunk->count ? chunk->count : CHUNK_ENTRIES / 2;
    bool is_end = kept == chunk->count;
    sorted_chunk *next =
        add_chunk(s, in, is_end ? key : chunk->entries[kept].key, is_end ? sub : chunk->entries[kept].sub);
    if (!next) {
      return CAFE_NOMEM;
    }
    next->count = chunk->count - kept;
    memcpy(next->entries, &chunk->entries[kept], next->count * sizeof(*next->entries));
    chunk->count = kept;
    if (is_end || at > kept) {
      chunk = next;
      at -= kept;
    }
  }
  memmove(&chunk->entries[at + 1], &chunk->entries[at], (chunk->count - at) * sizeof(*chunk->entries));
  chunk->entries[at] = (sorted_entry){key, sub, value};
  chunk->count++;
  return CAFE_OK;
}

static void remove_chunk(sorted *s, size_t at) {
  release(s, s->heads[at].chunk);
  s->count--;
  memmove(&s->heads[at], &s->heads[at + 1], (s->count - at) * sizeof(*s->heads));
}

/* A few entries that stay behind where thousands were removed mustn't hold a chunk each. */
static void merge_with_next(sorted *s, size_t at) {
  if (at + 1 >= s->count) {
    return;
  }
  sorted_chunk *chunk = s->heads[at].chunk;
  const sorted_chunk *next = s->heads[at + 1].chunk;
  if (chunk->count + next->count <= CHUNK_ENTRIES / 2) {
    memcpy(&chunk->entries[chunk->count], next->entries, next->count * sizeof(*next->entries));
    chunk->count += next->count;
    remove_chunk(s, at + 1);
  }
}

void sorted_remove(sorted *s, uint64_t key, uint64_t sub) {
  if (s->count == 0) {
    return;
  }
  size_t in = find_chunk(s, key, sub);
  sorted_chunk *chunk = s->heads[in].chunk;
  uint32_t at = find_entry(chunk, key, sub);
  if (!is_at(chunk, at, key, sub)) {
    return;
  }
  chunk->count--;
  memmove(&chunk->entries[at], &chunk->entries[at + 1], (chunk->count - at) * sizeof(*chunk->entries));
  if (chunk->count == 0) {
    remove_chunk(s, in);
    return;
  }
  merge_with_next(s, in);
  if (in > 0) {
    merge_with_next(s, in - 1);
  }
}

sorted_cursor sorted_seek(const sorted *s, uint64_t key, uint64_t sub) {
  sorted_cursor cursor = {s, 0, 0};
  if (s->count) {
    cursor.chunk = find_chunk(s, key, sub);
    cursor.at = find_entry(s->heads[cursor.chunk].chunk, key, sub);
  }
  return cursor;
}

const sorted_entry *sorted_next(sorted_cursor *cursor) {
  while (cursor->chunk < cursor->of->count) {
    const sorted_chunk *chunk = cursor->of->heads[cursor->chunk].chunk;
    if (cursor->at < chunk->count) {
      return &chunk->entries[cursor->at++];
    }
    cursor->chunk++;
    cursor->at = 0;
  }
  return NULL;
}
