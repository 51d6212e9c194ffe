/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A view that is made anew, or verified, and its dead letters. What is kept here: each record of a log is in the new
 * table or is a letter, once, and a key's later records stand behind its first letter.
 *
 * A rebuild takes all up anew, letters too: it folds what the log has. A record that fails is kept aside, with all that
 * follow it by its key. The unit in which the shadow takes the table's place removes every letter of the view, and
 * writes what was kept aside as new ones. So nothing happens to letters before, whatever is done with them meanwhile: a
 * record that was replayed is folded as any other, and one that was parked meanwhile is tried as any other.
 *
 * A verification has to come to what the table has, which lacks the letters. Which they are can change until the view
 * stands still: they become fewer, since its shadow never passes the view. So all records of a key that has any are
 * kept aside, and in the end those that aren't letters are folded. A record that fails and is none was dropped, or
 * replayed with other data: it is left out, and the row tells whether that made a difference.
 */
#include "engine/letter.h"
#include "engine/rebuild.h"

enum {
  ASIDE_MAX = 65536, /* records: some 50 MB */
  LETTERS_AT_ONCE = 1000
};

typedef struct aside_record {
  struct aside_record *next; /* in the order in which they came */
  rebuild_source *source;
  batch_event record;
} aside_record;

typedef struct known_letter {
  struct known_letter *next;
  uint64_t key, letter, version;
  const rebuild_source *source; /* whose record it is; NULL: of none that is read here, as of a service that is gone */
  uint64_t n;
} known_letter;

struct aside {
  cafe_arena *arena; /* it lies in it */
  map *keys;         /* by key: its first record */
  aside_record *first, *last;
  uint32_t count;

  /* The view's letters, read while it stands still. */
  bool is_read;
  uint64_t after_key, after_letter;
  cafe_condition conditions[2];
  known_letter *letters;
  uint32_t letter_count, page_count;
};

static int no_memory(const rebuild *self, cafe_err *err) {
  return cafe_fail(err, CAFE_NOMEM, "no memory for the dead letters of the view %s", rebuild_view(self)->type->name);
}

int aside_open(rebuild *self, cafe_err *err) {
  cafe_arena *arena = cafe_arena_create(&self->node->allocator);
  self->late.rebuild = self;
  self->aside = arena ? cafe_arena_alloc(arena, sizeof *self->aside) : NULL;
  if (!self->aside) {
    cafe_arena_destroy(arena);
    return no_memory(self, err);
  }
  self->aside->arena = arena;
  self->aside->keys = map_create(&self->node->allocator, MAP_U64);
  return self->aside->keys ? CAFE_OK : no_memory(self, err);
}

void aside_free(rebuild *self) {
  if (!self->aside)
    return;
  map_destroy(self->aside->keys);
  cafe_arena_destroy(self->aside->arena);
}

/* ---- records ---- */

/* All but what is read of its data, which can be read again. */
static int copy_record(batch_event *out, const batch_event *record, cafe_arena *arena) {
  *out = *record;
  out->next = NULL;
  out->event.data = NULL;
  if (cafe_arena_copy(&out->data, arena, record->data) ||
      cafe_arena_copy(&out->event.trace, arena, record->event.trace))
    return CAFE_NOMEM;
  if (!record->failure)
    return CAFE_OK;
  cafe_err *failure = cafe_arena_alloc(arena, sizeof *failure);
  if (!failure)
    return CAFE_NOMEM;
  *failure = *record->failure;
  out->failure = failure;
  return CAFE_OK;
}

int aside_keep(rebuild *self, rebuild_source *source, const batch_event *record, cafe_err *err) {
  struct aside *aside = self->aside;
  if (aside->count == ASIDE_MAX)
    return cafe_fail(err, CAFE_OVERLOADED,
                     "%d records of the view %s fail, or stand behind ones that do: mend it first, or replay or drop "
                     "its letters",
                     ASIDE_MAX, rebuild_view(self)->type->name);
  aside_record *made = cafe_arena_alloc(aside->arena, sizeof *made);
  if (!made || copy_record(&made->record, record, aside->arena))
    return no_memory(self, err);
  bool is_first = !map_get(aside->keys, record->event.key);
  if (is_first && map_put(aside->keys, record->event.key, made))
    return no_memory(self, err);
  made->source = source;
  made->record.fate = is_first ? FATE_PARK : FATE_WAIT;
  if (aside->last)
    aside->last->next = made;
  else
    aside->first = made;
  aside->last = made;
  aside->count++;
  return CAFE_OK;
}

bool aside_covers(const rebuild *self, uint64_t key) {
  if (rebuild_view(self)->type->is_inline)
    return false;
  if (map_get(self->aside->keys, key))
    return true;
  const parked_key *parked = self->verifies ? letter_key(self->node, CONSUME_VIEW, self->view, key) : NULL;
  return parked && parked->count;
}

/* ---- letters ---- */

static const rebuild_source *source_of(const rebuild *self, const cafe_dead_letter *row) {
  const rebuild_source *source;
  LL_FOREACH(self->sources, source) {
    if (source->shard == (uint32_t)row->shard && cafe_slice_equal(cafe_text(source->consumer->name), row->subscription))
      break;
  }
  return source;
}

static int see_letter(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                      void *user) {
  const rebuild *self = user;
  struct aside *aside = self->aside;
  const cafe_dead_letter *row = data;
  known_letter *made = cafe_arena_alloc(aside->arena, sizeof *made);
  (void)table;
  if (!made)
    return CAFE_NOMEM;
  *made = (known_letter){.key = key, .letter = sub, .version = version, .source = source_of(self, row)};
  made->n = (uint64_t)row->n;
  LL_PREPEND(aside->letters, made);
  aside->after_key = key;
  aside->after_letter = sub;
  aside->letter_count++;
  aside->page_count++;
  return CAFE_OK;
}

static int read_letters(rebuild *self, cafe_err *err) {
  struct aside *aside = self->aside;
  cafe_row_query query = {
      sizeof query,   &engine_tables[TABLE_LETTERS], aside->conditions, 2, aside->after_key, aside->after_letter, -1,
      LETTERS_AT_ONCE};
  aside->page_count = 0;
  return self->node->store->ops->read_rows(self->node->store, &query, see_letter, self, err);
}

typedef struct place {
  uint64_t source, n;
} place;

static cafe_slice place_of(place *out, const rebuild_source *source, uint64_t n) {
  *out = (place){(uint64_t)(uintptr_t)source, n};
  return (cafe_slice){(const char *)out, sizeof *out};
}

static int note_letters(map *places, const rebuild *self) {
  const known_letter *letter;
  place at;
  LL_FOREACH(self->aside->letters, letter) {
    if (letter->source && map_put_bytes(places, place_of(&at, letter->source, letter->n), self->aside))
      return CAFE_NOMEM;
  }
  return CAFE_OK;
}

/* Those that aren't letters, as one more batch. */
static int make_late(rebuild *self, const map *letters) {
  rebuild_source *late = &self->late;
  batch_event **end = &late->events;
  const aside_record *kept;
  place at;
  LL_FOREACH(self->aside->first, kept) {
    const event_type *type = kept->record.type;
    if (map_get_bytes(letters, place_of(&at, kept->source, kept->record.event.position.n)))
      continue;
    batch_event *made = cafe_arena_alloc(self->aside->arena, sizeof *made);
    void *data = made ? cafe_arena_alloc(self->aside->arena, type->schema->width) : NULL;
    if (!data)
      return CAFE_NOMEM;
    *made = kept->record;
    made->failure = NULL;
    if (record_read(made, data, self->aside->arena))
      return CAFE_NOMEM;
    *end = made;
    end = &made->next;
  }
  late->has_batch = late->events != NULL;
  return CAFE_OK;
}

static void letters_read(rebuild *self) {
  struct aside *aside = self->aside;
  cafe_err err = {0};
  if (aside->page_count == LETTERS_AT_ONCE) {
    rebuild_job(self, CAFE_LANE_READ, read_letters, letters_read);
    return;
  }
  aside->is_read = true;
  node_pump(self->node);
  if (!self->verifies)
    return;
  map *letters = map_create(&self->node->allocator, MAP_BYTES);
  if (!letters || note_letters(letters, self) || make_late(self, letters)) {
    no_memory(self, &err);
    rebuild_fail(self, &err);
  }
  map_destroy(letters);
}

bool aside_settle(rebuild *self) {
  struct aside *aside = self->aside;
  if (!aside->is_read) {
    int reader = cafe_schema_find(&cafe_dead_letter_type, cafe_text("reader"));
    int name = cafe_schema_find(&cafe_dead_letter_type, cafe_text("name"));
    aside->conditions[0] = (cafe_condition){
        .column = reader, .value = {.field = &cafe_dead_letter_type.fields[reader], .number = CAFE_LETTER_VIEW}};
    aside->conditions[1] = (cafe_condition){
        .column = name,
        .value = {.field = &cafe_dead_letter_type.fields[name], .bytes = cafe_text(rebuild_view(self)->type->name)}};
    rebuild_job(self, CAFE_LANE_READ, read_letters, letters_read);
    return true;
  }
  if (!self->late.has_batch)
    return false;
  fold_batch(self, &self->late);
  return true;
}

uint32_t aside_rows(const rebuild *self) { return self->aside->letter_count + self->aside->count; }

int aside_write(cafe_row_write *rows, rebuild *self, cafe_err *err) {
  const known_letter *letter;
  const aside_record *kept;
  const rebuild_source *source;
  LL_FOREACH(self->sources, source) letter_forget_trials(source->consumer); /* the fold was one of its own */
  LL_FOREACH(self->aside->letters, letter) {
    *rows++ = (cafe_row_write){
        .table = &engine_tables[TABLE_LETTERS], .key = letter->key, .sub = letter->letter, .expected = letter->version};
  }
  LL_FOREACH(self->aside->first, kept) {
    int code = letter_write(rows++, kept->source->consumer, &kept->record, self->job_arena, err);
    if (code)
      return code;
  }
  self->unit.row_count += aside_rows(self);
  return CAFE_OK;
}

void aside_written(rebuild *self) { letter_replaced(self->node, self->view, self->aside->letter_count, &self->unit); }
