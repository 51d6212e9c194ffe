/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Numbers that are written nowhere: how many rows have which status, which saga is the oldest. An index on them would
 * be moved by every step of every order, and numbers kept in memory would have to be read at each start; so they are
 * counted when somebody asks, by reading the table.
 *
 * What is kept here: that reading is in nobody's way. A table is read in pieces of some milliseconds, and between two
 * of them whoever else waits for the read lane has his turn.
 */
#include "base/str.h"
#include "cafe/metrics.h"
#include "engine/metrics.h"

enum {
  PIECE_ROWS = 1000,
  CENSUS_US = 10000000, /* so often at most */
  CENSUS_SHARE = 50,    /* and this many times as long as it takes: a fiftieth of the read lane is its */
  PLACES_MAX = 256      /* beyond: told as one */
};

/* A walk through a table. Only its rows are looked at on the lane, and only what is the walk's is touched there. */
typedef struct walk {
  storage_job job;
  cafe_arena *arena; /* it lies in it */
  cafe_row_query query;
  uint64_t key, sub; /* of the last row */
  uint32_t seen;     /* in this piece */
  node_state last;   /* the node is in this state at most, or it ends */
  bool is_given_up;
  int (*see)(struct walk *walk, const void *row);
  void (*ended)(struct walk *walk, int code, const cafe_err *err); /* once; owns it */
} walk;

static int see_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
  walk *self = user;
  (void)table, (void)version;
  self->key = key;
  self->sub = sub;
  self->seen++;
  return self->see(self, data);
}

static int run_piece(storage_job *base, cafe_err *err) {
  walk *self = CONTAINER(base, walk, job);
  return base->node->store->ops->read_rows(base->node->store, &self->query, see_row, self, err);
}

static void next_piece(walk *self);

static void piece_done(storage_job *base) {
  walk *self = CONTAINER(base, walk, job);
  if (base->code || self->seen < self->query.limit) {
    self->ended(self, base->code, &base->err);
    return;
  }
  if (self->is_given_up || base->node->state > self->last) {
    cafe_err err;
    cafe_fail(&err, CAFE_CANCELED, "nobody waits for the count any more");
    self->ended(self, CAFE_CANCELED, &err);
    return;
  }
  self->query.after_key = self->key;
  self->query.after_sub = self->sub;
  next_piece(self);
}

static void next_piece(walk *self) {
  cafe_node *node = self->job.node;
  memset(&self->job, 0, sizeof self->job);
  self->seen = 0;
  self->job.run = run_piece;
  self->job.done = piece_done;
  self->job.lane = CAFE_LANE_READ;
  self->job.node = node;
  storage_submit(node, &self->job);
}

static void begin_walk(walk *self, cafe_node *node, const cafe_table *table, node_state last) {
  self->last = last;
  self->query.size = sizeof self->query;
  self->query.table = table;
  self->query.order_by = -1;
  self->query.limit = PIECE_ROWS;
  self->job.node = node;
  next_piece(self);
}

/* ---- rows of a view ---- */

typedef struct view_count {
  walk walk;
  cafe_op *op; /* NULL: answered already */
  const cafe_schema *row;
  uint32_t column;
  cafe_counts counts;
  uint64_t *rows;
  cafe_condition is_shown;
  void (*done)(const cafe_err *err, const cafe_counts *counts, void *user);
} view_count;

static int see_value(walk *base, const void *row) {
  view_count *self = CONTAINER(base, view_count, walk);
  int64_t value = cafe_schema_get(self->row, row, self->column).number;
  if (value >= 0 && value < (int64_t)self->counts.count)
    self->rows[value]++;
  return CAFE_OK;
}

static void view_counted(walk *base, int code, const cafe_err *err) {
  view_count *self = CONTAINER(base, view_count, walk);
  if (self->op)
    op_answer(self->op, code ? err : NULL, NULL);
  node_arena_free(base->job.node, base->arena);
}

static void count_served(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome) {
  (void)outcome;
  view_count *self = op->serves;
  self->op = NULL;
  self->walk.is_given_up = true;
  self->done(err, err ? NULL : &self->counts, op->user);
}

static view_count *make_count(cafe_node *node, const hosted_view *view, uint32_t column) {
  const cafe_field *field = &view->type->row->fields[column];
  cafe_arena *arena = node_arena(node);
  view_count *made = arena ? cafe_arena_alloc(arena, sizeof *made) : NULL;
  const char **values = made ? cafe_arena_alloc(arena, (field->names_count + 1) * sizeof *values) : NULL;
  uint64_t *rows = values ? cafe_arena_alloc(arena, (field->names_count + 1) * sizeof *rows) : NULL;
  if (!rows) {
    node_arena_free(node, arena);
    return NULL;
  }
  for (uint32_t i = 0; i < field->names_count; i++)
    values[i] = field->names[i] ? field->names[i] : "";
  made->walk.arena = arena;
  made->walk.see = see_value;
  made->walk.ended = view_counted;
  made->row = view->type->row;
  made->column = column;
  made->rows = rows;
  made->counts = (cafe_counts){sizeof made->counts, field->names_count, values, rows};
  return made;
}

static void only_shown(view_count *self, const cafe_view *view) {
  if (!view->shown_by)
    return;
  self->is_shown.column = cafe_schema_find(view->row, cafe_text(view->shown_by));
  self->is_shown.value.field = &view->row->fields[self->is_shown.column];
  self->is_shown.value.number = 1;
  self->walk.query.conditions = &self->is_shown;
  self->walk.query.condition_count = 1;
}

int cafe_node_count(cafe_op **op, cafe_node *node, const cafe_view *view, const char *column,
                    void (*done)(const cafe_err *err, const cafe_counts *counts, void *user), void *user,
                    cafe_err *err) {
  int code = read_check(node, err);
  if (code)
    return code;
  const hosted_view *hosted = registry_view(node, view);
  if (!hosted)
    return cafe_fail(err, CAFE_INVALID, "this node doesn't host the view %s", view ? view->name : "NULL");
  code = read_check_view(hosted, err);
  if (code)
    return code;
  int index = cafe_schema_find(view->row, cafe_text(column));
  if (index < 0 || view->row->fields[index].type != CAFE_FIELD_ENUM)
    return cafe_fail(err, CAFE_INVALID, "%s has no column %s of a known set of values, by which it could be counted",
                     view->name, column ? column : "NULL");
  view_count *made = make_count(node, hosted, (uint32_t)index);
  if (made && !(made->op = op_make(node, made, count_served, user))) {
    node_arena_free(node, made->walk.arena);
    made = NULL;
  }
  if (!made)
    return cafe_fail(err, CAFE_NOMEM, "no memory to count");
  made->done = done;
  only_shown(made, view);
  if (op)
    *op = made->op;
  begin_walk(&made->walk, node, &hosted->table, NODE_DRAINING);
  return CAFE_OK;
}

/* ---- the sagas ---- */

typedef struct census_walk {
  walk walk;
  saga_census *census;
  uint32_t place_count;
  uint32_t phase; /* the column */
  int64_t begun_us;
} census_walk;

static bool is_over(saga_phase phase) { return phase == SAGA_NONE || phase == SAGA_ENDED || phase == SAGA_UNDONE; }

static bool is_text(const char *a, cafe_slice b) { return cafe_slice_equal(cafe_text(a), b); }

static saga_place *find_place(const saga_census *census, cafe_slice saga, cafe_slice phase, cafe_slice steps) {
  saga_place *place;
  LL_FOREACH(census->places, place) {
    if (is_text(place->saga, saga) && is_text(place->phase, phase) && is_text(place->steps, steps))
      break;
  }
  return place;
}

/* A copy that ends with NUL; NULL: no memory. */
static const char *copy_text(cafe_arena *arena, cafe_slice text) {
  cafe_slice copy;
  if (cafe_arena_copy(&copy, arena, text))
    return NULL;
  return copy.data ? copy.data : "";
}

static int note_place(census_walk *self, const saga_row *row) {
  saga_census *census = self->census;
  cafe_slice phase = cafe_schema_get(&saga_row_type, row, self->phase).bytes;
  cafe_slice steps = row->steps;
  saga_place *place = find_place(census, row->name, phase, steps);
  if (!place && self->place_count >= PLACES_MAX) {
    steps = cafe_text("others");
    place = find_place(census, row->name, phase, steps);
  }
  if (!place) {
    place = cafe_arena_alloc(census->arena, sizeof *place);
    if (!place || !(place->saga = copy_text(census->arena, row->name)) ||
        !(place->phase = copy_text(census->arena, phase)) || !(place->steps = copy_text(census->arena, steps)))
      return CAFE_NOMEM;
    LL_APPEND(census->places, place);
    self->place_count++;
  }
  place->count++;
  return CAFE_OK;
}

static int note_age(saga_census *census, cafe_slice name, int64_t began_ms) {
  saga_age *age;
  LL_FOREACH(census->ages, age) {
    if (is_text(age->saga, name))
      break;
  }
  if (!age) {
    age = cafe_arena_alloc(census->arena, sizeof *age);
    if (!age || !(age->saga = copy_text(census->arena, name)))
      return CAFE_NOMEM;
    LL_APPEND(census->ages, age);
  }
  if (began_ms && (!age->oldest_ms || began_ms < age->oldest_ms))
    age->oldest_ms = began_ms;
  return CAFE_OK;
}

static int see_saga(walk *base, const void *data) {
  census_walk *self = CONTAINER(base, census_walk, walk);
  const saga_row *row = data;
  if (is_over(row->phase))
    return CAFE_OK;
  int code = note_place(self, row);
  return code ? code : note_age(self->census, row->name, row->started_at_ms);
}

static void census_free(cafe_node *node, saga_census *census) {
  if (census)
    node_arena_free(node, census->arena); /* it lies in it */
}

static void census_ended(walk *base, int code, const cafe_err *err) {
  census_walk *self = CONTAINER(base, census_walk, walk);
  cafe_node *node = base->job.node;
  int64_t took_us = node_now_us(node) - self->begun_us;
  (void)err; /* what can't be read is told by whoever needs it; this is asked again */
  if (code) {
    census_free(node, self->census);
  } else {
    census_free(node, node->census);
    node->census = self->census;
  }
  node->census_at_us = node_now_us(node) + (took_us * CENSUS_SHARE > CENSUS_US ? took_us * CENSUS_SHARE : CENSUS_US);
  node_arena_free(node, base->arena);
}

/* Those of each saga that is hosted, so that none is missing because nothing of it runs. */
static int note_hosted(saga_census *census, const registry *known) {
  int code = CAFE_OK;
  for (uint32_t i = 0; i < known->saga_count && !code; i++)
    code = note_age(census, cafe_text(known->sagas[i].type->name), 0);
  return code;
}

static saga_census *make_census(cafe_node *node) {
  cafe_arena *arena = node_arena(node);
  saga_census *made = arena ? cafe_arena_alloc(arena, sizeof *made) : NULL;
  if (made)
    made->arena = arena;
  if (!made || note_hosted(made, &node->registry)) {
    node_arena_free(node, arena);
    return NULL;
  }
  return made;
}

void census_refresh(cafe_node *node) {
  if (node->state != NODE_RUNNING || !node->registry.saga_count || node_now_us(node) < node->census_at_us)
    return;
  cafe_arena *arena = node_arena(node);
  census_walk *self = arena ? cafe_arena_alloc(arena, sizeof *self) : NULL;
  if (!self || !(self->census = make_census(node))) {
    node_arena_free(node, arena);
    return; /* at the next one */
  }
  self->begun_us = node_now_us(node);
  self->phase = (uint32_t)cafe_schema_find(&saga_row_type, cafe_text("phase"));
  self->walk.arena = arena;
  self->walk.see = see_saga;
  self->walk.ended = census_ended;
  node->census_at_us = INT64_MAX; /* while it is under way */
  begin_walk(&self->walk, node, &engine_tables[TABLE_SAGAS], NODE_RUNNING);
}

void census_destroy(cafe_node *node) {
  census_free(node, node->census);
  node->census = NULL;
}
