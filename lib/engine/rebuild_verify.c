/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A view's table is compared with its shadow, page by page. What is kept here: what is counted as wrong is wrong at one
 * position.
 *
 * A subscribed view stands still while that is done, and its shadow ends where it stands: rows that differ are wrong.
 * Rows that were forgotten may be missing.
 *
 * An inline view goes on. So a row that differs only casts suspicion on its key, and so does each event that came since
 * the shadow ended, until the last page was read. Suspects are judged by what one read of the store gives of them: all
 * their events and all their rows, in one snapshot. A key that isn't suspected had the same events at the shadow's end
 * as at the last page, and the same rows.
 */
#include "engine/forget.h"
#include "engine/rebuild.h"

enum { PAGE_ROWS = 512, SUSPECTS_AT_ONCE = 64 };

typedef struct page_row {
  uint64_t key, sub;
  const void *data;
} page_row;

typedef struct page {
  const cafe_table *table;
  page_row *rows;
  uint32_t count;
  bool has_more;
} page;

typedef struct key_row {
  struct key_row *next;
  uint64_t sub;
  void *data;
  bool is_shown;
} key_row;

/* All of one key. */
typedef struct suspect {
  rebuild *self;
  uint64_t key;
  batch_event *events, **end;
  key_row *stored;
  key_row *folded;
} suspect;

struct comparison {
  cafe_arena *arena; /* of `keys` */
  uint64_t after_key, after_sub;
  page table, shadow;
  bool is_at_end;
  uint64_t *keys; /* that are suspected */
  uint32_t key_count, key_room, judged;
  suspect suspects[SUSPECTS_AT_ONCE];
  uint32_t suspect_count;
  map *known;             /* keys that were judged to be wrong, and later all that were touched */
  rebuild_source *source; /* whose last events are looked at; NULL: none is left */
  uint64_t until;
};

static void no_memory(rebuild *self) {
  rebuild_fail_code(self, CAFE_NOMEM, "no memory to verify the view %s", rebuild_view(self)->type->name);
}

static bool is_inline(const rebuild *self) { return rebuild_view(self)->type->is_inline; }

/* ---- counting ---- */

static void count_wrong(rebuild *self, uint64_t *kind, uint64_t key, uint64_t sub) {
  cafe_rebuild_report *report = &self->report;
  bool is_first =
      !report->first_key || key < report->first_key || (key == report->first_key && sub < report->first_sub);
  ++*kind;
  if (!is_first)
    return;
  report->first_key = key;
  report->first_sub = sub;
}

static bool are_equal(const cafe_schema *type, const void *a, const void *b) {
  for (uint32_t i = 0; i < type->field_count; i++) {
    cafe_value x = cafe_schema_get(type, a, i), y = cafe_schema_get(type, b, i);
    if (x.number != y.number || !cafe_slice_equal(x.bytes, y.bytes))
      return false;
  }
  return true;
}

/* In the row's place in the shadow, and in the table; NULL: it isn't there. Not both. */
static void judge_row(rebuild *self, uint64_t key, uint64_t sub, const void *wanted, const void *found) {
  if (!found && forget_covers(rebuild_view(self)->type, wanted, self->forgotten_ms))
    return;
  if (!found)
    count_wrong(self, &self->report.missing, key, sub);
  else if (!wanted)
    count_wrong(self, &self->report.surplus, key, sub);
  else if (!are_equal(rebuild_view(self)->type->row, wanted, found))
    count_wrong(self, &self->report.differing, key, sub);
}

/* ---- suspects ---- */

static int suspect_key(struct comparison *self, uint64_t key) {
  if (self->key_count && self->keys[self->key_count - 1] == key)
    return CAFE_OK;
  if (self->key_count == self->key_room) {
    uint32_t room = self->key_room ? self->key_room * 2 : 64;
    uint64_t *grown = cafe_arena_alloc(self->arena, room * sizeof *grown);
    if (!grown)
      return CAFE_NOMEM;
    if (self->key_count)
      memcpy(grown, self->keys, self->key_count * sizeof *grown);
    self->keys = grown;
    self->key_room = room;
  }
  self->keys[self->key_count++] = key;
  return CAFE_OK;
}

static void forget_suspects(struct comparison *self) {
  cafe_arena_reset(self->arena);
  self->keys = NULL;
  self->key_count = self->key_room = self->judged = 0;
}

static bool is_of_view(const cafe_view *view, const cafe_schema *type) {
  for (const cafe_schema *const *event = view->events; *event; event++)
    if (*event == type)
      return true;
  return false;
}

static int see_event(const cafe_stored_event *stored, void *user) {
  suspect *of = user;
  const cafe_node *node = of->self->node;
  const event_type *type = registry_event(node, stored->type);
  batch_event *made;
  if (!type || !is_of_view(rebuild_view(of->self)->type, type->schema))
    return CAFE_OK;
  cafe_position position = {node->log_id, stored->shard, stored->n};
  if (record_make(&made, node, stored, position, of->self->job_arena))
    return CAFE_NOMEM;
  if (!made)
    return CAFE_OK;
  if (made->failure)
    return made->failure->code;
  *of->end = made;
  of->end = &made->next;
  return CAFE_OK;
}

static int see_stored(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                      void *user) {
  suspect *of = user;
  cafe_arena *arena = of->self->job_arena;
  (void)key, (void)version;
  if (table != &rebuild_view(of->self)->table)
    return CAFE_OK;
  key_row *made = cafe_arena_alloc(arena, sizeof *made);
  void *copy = made ? cafe_arena_alloc(arena, table->row->width) : NULL;
  if (!copy || cafe_schema_copy(copy, data, table->row, arena))
    return CAFE_NOMEM;
  made->sub = sub;
  made->data = copy;
  LL_PREPEND(of->stored, made);
  return CAFE_OK;
}

/* After the rows: what is gone from them was marked before. */
static int read_mark(rebuild *self, cafe_err *err) {
  const cafe_view *view = rebuild_view(self)->type;
  return view->is_past ? forget_mark(&self->forgotten_ms, self->node, view, err) : CAFE_OK;
}

static int load_suspects(rebuild *self, cafe_err *err) {
  struct comparison *comparison = self->comparison;
  cafe_store *store = self->node->store;
  int code = CAFE_OK;
  for (uint32_t i = 0; i < comparison->suspect_count && !code; i++) {
    suspect *of = &comparison->suspects[i];
    code = store->ops->load(store, of->key, see_event, see_stored, of, err);
  }
  return code ? code : read_mark(self, err);
}

static key_row *row_of(suspect *of, uint64_t sub) {
  cafe_arena *arena = of->self->job_arena;
  key_row *row;
  LL_FOREACH(of->folded, row) {
    if (row->sub == sub)
      return row;
  }
  row = cafe_arena_alloc(arena, sizeof *row);
  void *data = row ? cafe_arena_alloc(arena, rebuild_view(of->self)->type->row->width) : NULL;
  if (!data)
    return NULL;
  row->sub = sub;
  row->data = data;
  LL_PREPEND(of->folded, row);
  return row;
}

static int fold_suspect(suspect *of, cafe_err *err) {
  const cafe_view *view = rebuild_view(of->self)->type;
  for (const batch_event *at = of->events; at; at = at->next) {
    uint64_t sub = 0;
    cafe_fold fold = CAFE_FOLD_SKIP;
    int code = view_sub(&sub, view, &at->event, err);
    if (!code && view->sub && sub == 0)
      continue;
    key_row *row = code ? NULL : row_of(of, sub);
    if (!code)
      code = row ? view_fold(&fold, view, row->data, &at->event, of->self->job_arena, err)
                 : cafe_fail(err, CAFE_NOMEM, "no memory to verify the view %s", view->name);
    if (code)
      return code;
    if (fold != CAFE_FOLD_SKIP)
      row->is_shown = fold == CAFE_FOLD_PUT;
  }
  return CAFE_OK;
}

static uint64_t wrong_rows(const rebuild *self) {
  return self->report.differing + self->report.missing + self->report.surplus;
}

static void judge(suspect *of) {
  rebuild *self = of->self;
  key_row *folded, *stored;
  uint64_t before = wrong_rows(self);
  LL_FOREACH(of->folded, folded) {
    LL_FOREACH(of->stored, stored) {
      if (stored->sub == folded->sub)
        break;
    }
    if (folded->is_shown)
      judge_row(self, of->key, folded->sub, folded->data, stored ? stored->data : NULL);
  }
  LL_FOREACH(of->stored, stored) {
    LL_FOREACH(of->folded, folded) {
      if (folded->sub == stored->sub && folded->is_shown)
        break;
    }
    if (!folded)
      judge_row(self, of->key, stored->sub, NULL, stored->data);
  }
  if (wrong_rows(self) != before && map_put(self->comparison->known, of->key, self))
    no_memory(self);
}

static void judge_suspects(rebuild *self) {
  struct comparison *comparison = self->comparison;
  cafe_err err = {0};
  for (uint32_t i = 0; i < comparison->suspect_count && !self->err.code; i++) {
    suspect *of = &comparison->suspects[i];
    if (fold_suspect(of, &err))
      rebuild_fail(self, &err);
    else
      judge(of);
  }
  node_pump(self->node);
}

static void next_suspects(rebuild *self) {
  struct comparison *comparison = self->comparison;
  cafe_arena_reset(self->job_arena);
  comparison->suspect_count = 0;
  while (comparison->judged < comparison->key_count && comparison->suspect_count < SUSPECTS_AT_ONCE) {
    suspect *of = &comparison->suspects[comparison->suspect_count++];
    memset(of, 0, sizeof *of);
    of->self = self;
    of->key = comparison->keys[comparison->judged++];
    of->end = &of->events;
  }
  rebuild_job(self, CAFE_LANE_READ, load_suspects, judge_suspects);
}

/* ---- pages ---- */

typedef struct page_read {
  page *page;
  cafe_arena *arena;
} page_read;

static int see_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
  page_read *read = user;
  (void)version;
  if (read->page->count == PAGE_ROWS) {
    read->page->has_more = true; /* one more than asked for was read */
    return CAFE_OK;
  }
  void *copy = cafe_arena_alloc(read->arena, table->row->width);
  if (!copy || cafe_schema_copy(copy, data, table->row, read->arena))
    return CAFE_NOMEM;
  read->page->rows[read->page->count++] = (page_row){key, sub, copy};
  return CAFE_OK;
}

static int read_page(rebuild *self, page *out, const cafe_table *table, cafe_err *err) {
  const struct comparison *comparison = self->comparison;
  page_read read = {out, self->job_arena};
  *out = (page){table, cafe_arena_alloc(self->job_arena, PAGE_ROWS * sizeof(page_row)), 0, false};
  if (!out->rows)
    return cafe_fail(err, CAFE_NOMEM, "no memory to verify a view");
  cafe_row_query query = {sizeof query,          table, NULL,         0, comparison->after_key,
                          comparison->after_sub, -1,    PAGE_ROWS + 1};
  return self->node->store->ops->read_rows(self->node->store, &query, see_row, &read, err);
}

static int read_pages(rebuild *self, cafe_err *err) {
  const hosted_view *view = rebuild_view(self);
  int code = read_page(self, &self->comparison->shadow, &view->shadow, err);
  if (!code)
    code = read_page(self, &self->comparison->table, &view->table, err);
  return code ? code : read_mark(self, err);
}

static int compare_places(const page_row *a, const page_row *b) {
  if (a->key != b->key)
    return a->key < b->key ? -1 : 1;
  return (a->sub > b->sub) - (a->sub < b->sub);
}

/* Beyond it one of the two hasn't been read. NULL: both were read to their end. */
static const page_row *last_place(const struct comparison *self) {
  const page_row *wanted = self->shadow.has_more ? &self->shadow.rows[self->shadow.count - 1] : NULL;
  const page_row *found = self->table.has_more ? &self->table.rows[self->table.count - 1] : NULL;
  if (wanted && found)
    return compare_places(wanted, found) < 0 ? wanted : found;
  return wanted ? wanted : found;
}

/* A key's rows may lie on two pages: what was judged once counts once. */
static void compare_row(rebuild *self, uint64_t key, uint64_t sub, const void *wanted, const void *found) {
  const cafe_view *view = rebuild_view(self)->type;
  if (!found && forget_covers(view, wanted, self->forgotten_ms))
    return;
  self->report.rows++;
  if (wanted && found && are_equal(view->row, wanted, found))
    return;
  if (!is_inline(self))
    judge_row(self, key, sub, wanted, found);
  else if (!map_get(self->comparison->known, key) && suspect_key(self->comparison, key))
    no_memory(self);
}

static void compare_pages(rebuild *self) {
  struct comparison *comparison = self->comparison;
  const page *wanted = &comparison->shadow, *found = &comparison->table;
  const page_row *last = last_place(comparison);
  uint32_t i = 0, k = 0;
  forget_suspects(comparison);
  while (!self->err.code) {
    const page_row *a = i < wanted->count ? &wanted->rows[i] : NULL;
    const page_row *b = k < found->count ? &found->rows[k] : NULL;
    const page_row *at = a && (!b || compare_places(a, b) < 0) ? a : b;
    if (!at || (last && compare_places(at, last) > 0))
      break;
    bool is_wanted = a && compare_places(a, at) == 0;
    bool is_found = b && compare_places(b, at) == 0;
    compare_row(self, at->key, at->sub, is_wanted ? a->data : NULL, is_found ? b->data : NULL);
    i += is_wanted;
    k += is_found;
  }
  comparison->is_at_end = !last;
  if (last) {
    comparison->after_key = last->key;
    comparison->after_sub = last->sub;
  }
  node_pump(self->node);
}

/* ---- what came since the shadow ended ---- */

static void events_came(log_job *job, int code, const cafe_err *err) {
  rebuild *self = job->user;
  struct comparison *comparison = self->comparison;
  rebuild_source *source = comparison->source;
  self->busy--;
  source->is_reading = false;
  if (code) {
    rebuild_fail(self, err);
    return;
  }
  forget_suspects(comparison);
  for (uint32_t i = 0; i < job->count && !self->err.code; i++) {
    uint64_t key = job->events[i].key;
    if (!map_get(comparison->known, key) && (map_put(comparison->known, key, self) || suspect_key(comparison, key)))
      no_memory(self);
  }
  source->after = job->query.scanned;
}

static void read_touched(rebuild *self) {
  rebuild_source *source = self->comparison->source;
  source->is_reading = true;
  if (log_read(self->node, source->shard, source->after, REBUILD_EVENTS, source->types, 0, events_came, self)) {
    self->busy++;
    return;
  }
  source->is_reading = false;
  no_memory(self);
}

/* False: there are none. */
static bool next_touched(rebuild *self) {
  struct comparison *comparison = self->comparison;
  if (self->step == REBUILD_COMPARE) {
    self->step = REBUILD_TOUCHED;
    comparison->source = self->sources;
    comparison->until = self->node->heads[comparison->source->shard];
  }
  while (comparison->source && comparison->source->after >= comparison->until) {
    comparison->source = comparison->source->next;
    comparison->until = comparison->source ? self->node->heads[comparison->source->shard] : 0;
  }
  if (!comparison->source)
    return false;
  read_touched(self);
  return true;
}

/* ---- ---- */

static int open_comparison(rebuild *self) {
  struct comparison *made = node_alloc(self->node, sizeof *made);
  self->comparison = made;
  self->report.rows = 0; /* from here on those that are compared */
  if (!made)
    return CAFE_NOMEM;
  made->arena = cafe_arena_create(&self->node->allocator);
  made->known = map_create(&self->node->allocator, MAP_U64);
  return made->arena && made->known ? CAFE_OK : CAFE_NOMEM;
}

bool verify_next(rebuild *self) {
  if (!self->comparison && open_comparison(self)) {
    no_memory(self);
    return true;
  }
  struct comparison *comparison = self->comparison;
  if (comparison->judged < comparison->key_count) {
    next_suspects(self);
    return true;
  }
  if (!comparison->is_at_end) {
    cafe_arena_reset(self->job_arena);
    rebuild_job(self, CAFE_LANE_READ, read_pages, compare_pages);
    return true;
  }
  return is_inline(self) && next_touched(self);
}

void verify_free(rebuild *self) {
  if (!self->comparison)
    return;
  map_destroy(self->comparison->known);
  cafe_arena_destroy(self->comparison->arena);
  node_free(self->node, self->comparison);
}
