/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The end of the log in memory. Most subscribers stand at the end, and all of them want what was committed a moment
 * ago: it is copied here once, as it was written, and handed to each of them without a read. Who comes from further
 * back reads, and what was read stays for a while, for those that come the same way.
 *
 * What is kept here: a piece holds every event of its shard behind `after` and up to `scanned` that is of its types and
 * partitions, and nothing that isn't durable. Positions have no gaps, so one that is missed (another node's on the same
 * store, one that is too large, one for which there is no memory) shows: then the end begins anew behind it. A log only
 * grows, so a piece never becomes wrong. There are at most so many, of so many bytes, whatever peers do.
 */
#include "engine/recent.h"

#include <assert.h>

#include "base/arena.h"

enum {
  TAIL_EVENTS = 256,
  TAIL_BLOCK = 64 * 1024, /* its events and their bytes, mostly */
  TAIL_BYTES = 128 * 1024,
  TAIL_PIECES = 16, /* some 4,000 events: what all commits of a second leave, or a slow subscriber's lag */
  READ_PIECES = 8,
  TAKE_EVENTS = 512
};

struct recent {
  cafe_node *node;
  log_piece *tail; /* newest first; of all shards */
  log_piece *read; /* newest first */
  uint32_t tail_count, read_count;
  cafe_stored_event taken[TAKE_EVENTS];
};

recent *recent_create(cafe_node *node) {
  recent *made = node_alloc(node, sizeof *made);
  if (made)
    made->node = node;
  return made;
}

static void drop_tail(recent *self, log_piece *piece) {
  DL_DELETE(self->tail, piece);
  self->tail_count--;
  cafe_arena_destroy(piece->arena); /* it lies in it */
}

static void drop_read(recent *self, log_piece *piece) {
  DL_DELETE(self->read, piece);
  self->read_count--;
  cafe_arena_destroy(piece->arena);
}

void recent_destroy(recent *self) {
  if (!self)
    return;
  while (self->tail)
    drop_tail(self, self->tail);
  while (self->read)
    drop_read(self, self->read);
  node_free(self->node, self);
}

/* ---- what was committed ---- */

static log_piece *end_of(const recent *self, uint32_t shard) {
  log_piece *piece;
  DL_FOREACH(self->tail, piece) {
    if (piece->shard == shard)
      break;
  }
  return piece;
}

static void forget_end(recent *self, uint32_t shard) {
  log_piece *piece;
  while ((piece = end_of(self, shard)))
    drop_tail(self, piece);
}

/* The oldest one's memory, or new. NULL: none. */
static cafe_arena *tail_arena(recent *self) {
  if (self->tail_count < TAIL_PIECES)
    return arena_create(&self->node->allocator, TAIL_BLOCK);
  assert(self->tail && "pieces that are counted are there");
  log_piece *oldest = self->tail->prev; /* of a list's first: its last */
  cafe_arena *arena = oldest->arena;
  DL_DELETE(self->tail, oldest);
  self->tail_count--;
  cafe_arena_reset(arena);
  return arena;
}

static log_piece *new_tail(recent *self, uint32_t shard, uint64_t after) {
  cafe_arena *arena = tail_arena(self);
  log_piece *made = arena ? cafe_arena_alloc(arena, sizeof *made) : NULL;
  cafe_stored_event *events = made ? arena_take(arena, TAIL_EVENTS * sizeof *events) : NULL;
  uint32_t *indexes = events ? arena_take(arena, TAIL_EVENTS * sizeof *indexes) : NULL;
  if (!indexes) {
    cafe_arena_destroy(arena);
    return NULL;
  }
  made->shard = shard;
  made->after = made->scanned = after;
  made->arena = arena;
  made->events = events;
  made->indexes = indexes;
  made->room = TAIL_EVENTS;
  DL_PREPEND(self->tail, made);
  self->tail_count++;
  return made;
}

/* Names are the definitions' and stay; bytes are copied. */
static int add_event(log_piece *piece, const cafe_stored_event *event, uint32_t index) {
  cafe_stored_event *kept = &piece->events[piece->count];
  size_t bytes = event->trace.size + event->data.size + event->meta.size;
  char *copy = bytes > TAIL_BYTES ? NULL : arena_take(piece->arena, bytes + 1);
  if (!copy)
    return CAFE_NOMEM; /* or too large: its arena would keep that much for good */
  *kept = *event;
  cafe_slice *slices[] = {&kept->trace, &kept->data, &kept->meta};
  for (size_t i = 0; i < sizeof slices / sizeof slices[0]; i++) {
    if (!slices[i]->size)
      continue;
    memcpy(copy, slices[i]->data, slices[i]->size);
    slices[i]->data = copy;
    copy += slices[i]->size;
  }
  piece->indexes[piece->count++] = index;
  piece->scanned = event->n;
  piece->bytes += bytes;
  return CAFE_OK;
}

void recent_add(recent *self, const struct unit *unit) {
  const unit_event *at = unit->events;
  for (uint32_t i = 0; i < unit->store.event_count && at; i++, at = at->next) {
    const cafe_stored_event *event = &unit->store.events[i];
    log_piece *end = end_of(self, event->shard);
    if (end && event->n != end->scanned + 1) {
      forget_end(self, event->shard);
      end = NULL;
    }
    if (!end || end->count == end->room || end->bytes >= TAIL_BYTES)
      end = new_tail(self, event->shard, event->n - 1);
    if (!end || add_event(end, event, at->type->index))
      forget_end(self, event->shard);
  }
}

/* ---- what was read ---- */

static bool is_of(const log_piece *piece, const log_wish *wish, size_t words) {
  return piece->partitions == wish->partitions && memcmp(piece->types, wish->types, words * sizeof(type_set)) == 0;
}

static bool goes_on_at(const log_piece *piece, const log_wish *wish) {
  return piece->shard == wish->shard && piece->after <= wish->after && wish->after < piece->scanned;
}

void recent_keep(recent *self, log_piece *piece) {
  if (self->read_count == READ_PIECES)
    drop_read(self, self->read->prev);
  DL_PREPEND(self->read, piece);
  self->read_count++;
}

log_piece *recent_find(recent *self, const log_wish *wish) {
  log_piece *piece;
  DL_FOREACH(self->tail, piece) {
    if (goes_on_at(piece, wish))
      return piece;
  }
  DL_FOREACH(self->read, piece) {
    if (goes_on_at(piece, wish) && is_of(piece, wish, type_set_words(self->node)))
      return piece;
  }
  return NULL;
}

static bool is_wanted(const log_piece *piece, uint32_t i, const log_wish *wish) {
  if (!piece->indexes)
    return true;
  return type_set_has(wish->types, piece->indexes[i]) &&
         (!wish->partitions || wish->partitions >> cafe_partition(piece->events[i].key) & 1);
}

void recent_take(log_answer *out, recent *self, const log_piece *piece, const log_wish *wish, uint32_t limit) {
  uint32_t first = 0;
  limit = limit < TAKE_EVENTS ? limit : TAKE_EVENTS;
  while (first < piece->count && piece->events[first].n <= wish->after)
    first++;
  *out = (log_answer){piece->events + first, 0, piece->scanned};
  if (!piece->indexes) { /* all that it holds is wanted: it is handed out as it lies there */
    out->count = piece->count - first < limit ? piece->count - first : limit;
    if (first + out->count < piece->count)
      out->scanned = out->events[out->count - 1].n;
    return;
  }
  out->events = self->taken;
  for (uint32_t i = first; i < piece->count; i++) {
    if (!is_wanted(piece, i, wish))
      continue;
    if (out->count == limit) {
      out->scanned = piece->events[i].n - 1;
      return;
    }
    self->taken[out->count++] = piece->events[i];
  }
}
