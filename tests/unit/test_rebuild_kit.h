/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_REBUILD_KIT_H
#define TEST_REBUILD_KIT_H

#include <sqlite3.h>

#include "cafe/store/sqlite.h"
#include "cafe/upkeep.h"
#include "engine/node.h"
#include "sqlite_file.h"
#include "test_engine_kit.h"

/*
 * Boxes and three views of them, on each kind of store: `boxes` (inline, hides full ones), `notes` (inline, three rows
 * a key, one of them hidden now and then), `totals` (by a subscription). A model says what each row has to be, by other
 * code than a fold.
 */
typedef enum bench_kind { IN_MEMORY, ON_LANES, ON_SQLITE, BENCH_KINDS } bench_kind;

enum { BENCH_KEYS = 700, NOTES = 3 };

typedef struct bench {
  kit k;
  bench_kind kind;
  cafe_view views[3];
  const cafe_view *view_list[4];
  cafe_service service;
  int64_t factor;   /* what the folds make of an amount: another definition has another one */
  int64_t fails_at; /* a fold that would add this amount fails; 0: none */
  /* The model. */
  int64_t totals[BENCH_KEYS + 1];
  int64_t notes[BENCH_KEYS + 1][NOTES + 1]; /* the last amount of each row; 0: there is none */
  uint32_t sent, answered;
  int last_code;
  cafe_slice note; /* in each command */
  bool is_real;    /* the loop has real time and threads */
} bench;

enum { BOXES, NOTED, TOTALS };

/* ---- the views ---- */

static inline int bench_box_fold(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  const bench *b = user;
  box_row *self = row;
  const added *data = event->data;
  if (b->fails_at && data->amount == b->fails_at)
    return CAFE_UNAVAILABLE;
  self->total += data->amount * b->factor;
  self->level = self->total < 100 ? FILL_SOME : FILL_MUCH;
  self->is_shown = self->total < 5000;
  *out = self->is_shown ? CAFE_FOLD_PUT : CAFE_FOLD_HIDE;
  return cafe_arena_copy(&self->note, arena, data->note);
}

static inline int bench_note_sub(uint64_t *out, const cafe_event *event, void *user) {
  (void)user;
  *out = (uint64_t)((const added *)event->data)->amount % (NOTES + 1);
  return CAFE_OK;
}

/* Shown on and off. */
static inline int bench_note_fold(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  const bench *b = user;
  box_row *self = row;
  (void)arena;
  if (b->fails_at && ((const added *)event->data)->amount == b->fails_at)
    return CAFE_UNAVAILABLE;
  self->total = ((const added *)event->data)->amount * b->factor;
  *out = (self->total / b->factor) / (NOTES + 1) % 5 == 4 ? CAFE_FOLD_HIDE : CAFE_FOLD_PUT;
  return CAFE_OK;
}

static inline bool bench_is_note_shown(int64_t amount) { return amount && amount / (NOTES + 1) % 5 != 4; }

static inline void bench_define(bench *b) {
  b->views[BOXES] = (cafe_view){.size = CAFE_VIEW,
                                .name = "boxes",
                                .version = 1,
                                .is_inline = true,
                                .sources = box_sources,
                                .events = box_row_events,
                                .key_name = "box_id",
                                .row = &box_row_type,
                                .indexes = box_indexes,
                                .fold = bench_box_fold,
                                .user = b};
  b->views[NOTED] = b->views[TOTALS] = b->views[BOXES];
  b->views[NOTED].name = "notes";
  b->views[NOTED].sub_name = "number";
  b->views[NOTED].sub = bench_note_sub;
  b->views[NOTED].fold = bench_note_fold;
  b->views[TOTALS].name = "totals";
  b->views[TOTALS].is_inline = false;
  b->views[TOTALS].shown_by = "is_shown";
  for (int i = 0; i < 3; i++)
    b->view_list[i] = &b->views[i];
  b->service = box_service;
  b->service.views = b->view_list;
  b->factor = 1;
  b->note = cafe_text("bench");
}

static inline void bench_run(bench *b, int64_t ms) {
  if (!b->is_real)
    kit_run(&b->k, ms);
  else
    assert_int_equal(b->k.loop->ops->turn(b->k.loop, ms), CAFE_OK);
}

/* ---- its life ---- */

static const char bench_path[] = "rebuild.db";

static inline void bench_open_store(bench *b) {
  cafe_memory_options memory = CAFE_MEMORY_OPTIONS_INIT;
  cafe_sqlite_options sqlite = CAFE_SQLITE_OPTIONS_INIT;
  memory.is_threaded = b->kind == ON_LANES;
  sqlite.sync = CAFE_SQLITE_OFF; /* no power is lost here */
  int code = b->kind == ON_SQLITE ? cafe_sqlite_create(&b->k.inner, bench_path, &sqlite, NULL)
                                  : cafe_memory_create(&b->k.inner, &memory, NULL);
  assert_int_equal(code, CAFE_OK);
  assert_int_equal(cafe_faulty_store_create(&b->k.store, b->k.inner, NULL, NULL), CAFE_OK);
}

static inline void bench_close_store(bench *b) {
  cafe_store_destroy(b->k.store);
  cafe_store_destroy(b->k.inner);
  b->k.store = b->k.inner = NULL;
}

static inline int bench_start(bench *b, cafe_err *err) {
  kit *k = &b->k;
  cafe_worker worker = {CAFE_WORKER, &question_type, k->retry, kit_task_start, kit_task_stop, kit_give_up, k};
  k->options.loop = k->loop;
  k->options.store = k->store;
  k->options.allocator = b->is_real ? NULL : &k->memory.allocator; /* which counts on one thread */
  k->options.log = (cafe_log){kit_log, k, CAFE_LOG_WARN};
  assert_int_equal(cafe_node_create(&k->node, &k->options, err), CAFE_OK);
  assert_int_equal(cafe_node_host(k->node, &b->service, err), CAFE_OK);
  assert_int_equal(cafe_node_employ(k->node, &worker, err), CAFE_OK);
  return cafe_node_start(k->node, err);
}

static inline void bench_up(bench *b) {
  cafe_err err = {0};
  if (bench_start(b, &err))
    fail_msg("%s", err.text);
}

static inline bench *bench_open(bench_kind kind) {
  bench *b = calloc(1, sizeof *b);
  assert_non_null(b);
  kit_init(&b->k, kind != IN_MEMORY);
  bench_close_store(b);
  b->kind = kind;
  sqlite_file_remove(bench_path);
  bench_open_store(b);
  bench_define(b);
  return b;
}

/* The node ends as it stands, and its store with it; a memory store stays. */
static inline void bench_down(bench *b) {
  kit_stop(&b->k);
  if (b->kind == ON_SQLITE) {
    bench_close_store(b);
    bench_open_store(b);
    return;
  }
  cafe_faulty_store_revive(b->k.store);
  cafe_faulty_store_set(b->k.store, NULL);
}

static inline void bench_restart(bench *b) {
  bench_down(b);
  bench_up(b);
}

static inline void bench_close(bench *b) {
  kit_stop(&b->k);
  bench_close_store(b);
  cafe_loop_destroy(b->k.loop);
  sqlite_file_remove(bench_path);
  free(b);
}

/* ---- traffic ---- */

typedef struct bench_call {
  bench *b;
  uint64_t key;
  int64_t amount;
} bench_call;

static inline void bench_answered(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  bench_call *c = user;
  bench *b = c->b;
  (void)outcome;
  b->answered++;
  if (err) {
    b->last_code = err->code;
  } else {
    b->totals[c->key] += c->amount;
    if (c->amount % (NOTES + 1))
      b->notes[c->key][c->amount % (NOTES + 1)] = c->amount;
  }
  free(c);
}

/* A command; its answer moves the model. */
static inline void bench_add(bench *b, uint64_t key, int64_t amount) {
  bench_call *c = malloc(sizeof *c);
  add data = {amount, b->note};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  assert_non_null(c);
  *c = (bench_call){b, key, amount};
  submit.command = &add_type;
  submit.key = key;
  submit.data = &data;
  submit.data_size = sizeof data;
  if (cafe_node_submit(NULL, b->k.node, &submit, bench_answered, c, NULL))
    free(c);
  else
    b->sent++;
}

static inline void bench_rest(bench *b) {
  for (int i = 0; i < 100000 && b->answered < b->sent; i++)
    bench_run(b, 1);
  bench_run(b, 100);
  assert_int_equal(b->answered, b->sent);
}

/* Boxes with something in each; every 20th is full. */
static inline void bench_fill(bench *b, uint64_t keys) {
  for (uint64_t key = 1; key <= keys; key++) {
    bench_add(b, key, 1 + (int64_t)(key % 60));
    bench_add(b, key, key % 20 ? 2 + (int64_t)(key % 41) : 900);
    for (int i = 0; i < 6 && key % 20 == 0; i++)
      bench_add(b, key, 901);
    if (key % 50 == 0)
      bench_rest(b);
  }
  bench_rest(b);
}

/* ---- what there is ---- */

typedef struct bench_row {
  uint64_t key, sub, version;
  int64_t total;
  bool is_shown;
} bench_row;

enum { ROWS_MAX = 4096 };
typedef struct bench_rows {
  bench_row rows[ROWS_MAX];
  uint32_t count;
} bench_rows;

static inline int bench_see(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                            void *user) {
  bench_rows *out = user;
  const box_row *row = data;
  (void)table;
  if (out->count == ROWS_MAX)
    return CAFE_NOMEM;
  out->rows[out->count++] = (bench_row){key, sub, version, row->total, row->is_shown};
  return CAFE_OK;
}

static inline const cafe_table *bench_table(const bench *b, int view) { return &b->k.node->registry.views[view].table; }

/* What the store has, past the node. */
static inline bench_rows *bench_read(bench *b, int view) {
  static bench_rows out;
  cafe_row_query query = {sizeof query, bench_table(b, view), NULL, 0, 0, 0, -1, UINT32_MAX};
  out.count = 0;
  assert_int_equal(b->k.inner->ops->read_rows(b->k.inner, &query, bench_see, &out, NULL), CAFE_OK);
  return &out;
}

/* The rows that the model has; in a subscribed view also those that aren't shown. */
static inline uint32_t bench_expect(const bench *b, int view, bench_rows *out) {
  out->count = 0;
  for (uint64_t key = 1; key <= BENCH_KEYS; key++) {
    int64_t total = b->totals[key] * b->factor;
    if (view == NOTED) {
      for (uint64_t sub = 1; sub <= NOTES; sub++)
        if (bench_is_note_shown(b->notes[key][sub]))
          out->rows[out->count++] = (bench_row){key, sub, 0, b->notes[key][sub] * b->factor, false};
    } else if (total && (view == TOTALS || total < 5000)) {
      out->rows[out->count++] = (bench_row){key, 0, 0, total, total < 5000};
    }
  }
  return out->count;
}

/* C2's measure: equal row by row. */
static inline void bench_check(bench *b, int view) {
  static bench_rows wanted;
  const bench_rows *found = bench_read(b, view);
  assert_int_equal(found->count, bench_expect(b, view, &wanted));
  for (uint32_t i = 0; i < wanted.count; i++) {
    assert_int_equal(found->rows[i].key, wanted.rows[i].key);
    assert_int_equal(found->rows[i].sub, wanted.rows[i].sub);
    assert_int_equal(found->rows[i].total, wanted.rows[i].total);
    assert_int_equal(found->rows[i].is_shown, wanted.rows[i].is_shown);
  }
}

/* As another program would, but for copying the WAL: the pages that it brought into the file would have no stamp. */
static inline void bench_exec(const char *sql) {
  sqlite3 *db = NULL;
  char *why = NULL;
  assert_int_equal(sqlite3_open_v2(bench_path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
  sqlite3_busy_timeout(db, 5000);
  sqlite3_wal_autocheckpoint(db, 0);
  if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
    fail_msg("%s: %s", sql, why);
  sqlite3_close(db);
}

static inline int64_t bench_ask(const char *sql) {
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  assert_int_equal(sqlite3_open_v2(bench_path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  int64_t found = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return found;
}

/* No table is left that was made beside the ones that serve. */
static inline void bench_check_no_shadow(bench *b) {
  if (b->kind == ON_SQLITE)
    assert_int_equal(bench_ask("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'cafe\\_shadow\\_%' ESCAPE '\\'"),
                     0);
}

/* Writes a row past the node: data NULL removes it. */
static inline void bench_put(bench *b, int view, uint64_t key, uint64_t sub, uint64_t version, const box_row *data) {
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_row_write write = {.table = bench_table(b, view), .key = key, .sub = sub, .expected = version, .data = data};
  cafe_unit unit = {.size = sizeof unit, .key = key, .rows = &write, .row_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_batch batch = {sizeof batch, units, 1, arena};
  assert_int_equal(b->k.inner->ops->commit(b->k.inner, &batch, NULL), CAFE_OK);
  assert_int_equal(unit.result, CAFE_UNIT_DONE);
  cafe_arena_destroy(arena);
}

/* All rows go; on SQLite as somebody would do it by hand. */
static inline void bench_empty(bench *b, int view) {
  char sql[64];
  if (b->kind == ON_SQLITE) {
    snprintf(sql, sizeof sql, "DELETE FROM %s", b->views[view].name);
    bench_exec(sql);
    return;
  }
  const bench_rows *rows = bench_read(b, view);
  for (uint32_t i = 0; i < rows->count; i++)
    bench_put(b, view, rows->rows[i].key, rows->rows[i].sub, rows->rows[i].version, NULL);
}

/* One row is changed, one is gone, one is too much: keys[0] to keys[2], ascending. */
static inline void bench_harm(bench *b, int view, uint64_t keys[3]) {
  const bench_rows *rows = bench_read(b, view);
  const box_row wrong = {.total = 4321, .level = FILL_MUCH, .note = cafe_text("by hand"), .is_shown = true};
  const bench_row changed = rows->rows[2], gone = rows->rows[rows->count - 2];
  keys[0] = changed.key;
  keys[1] = gone.key;
  keys[2] = BENCH_KEYS + 9; /* nothing ever happened to it */
  bench_put(b, view, changed.key, changed.sub, changed.version, &wrong);
  bench_put(b, view, gone.key, gone.sub, gone.version, NULL);
  bench_put(b, view, keys[2], view == NOTED ? 1 : 0, 0, &wrong);
}

/* ---- rebuilds ---- */

typedef struct bench_upkeep {
  cafe_op *op;
  uint32_t times;
  int code;
  char text[240];
  cafe_rebuild_report report;
} bench_upkeep;

static inline void bench_kept_up(const cafe_err *err, const cafe_rebuild_report *report, void *user) {
  bench_upkeep *u = user;
  u->times++;
  u->op = NULL;
  assert_true((err == NULL) == (report != NULL));
  u->code = err ? (int)err->code : CAFE_OK;
  snprintf(u->text, sizeof u->text, "%s", err ? err->text : "");
  if (report)
    u->report = *report;
}

static inline int bench_begin(bench *b, bench_upkeep *u, int view, bool verifies) {
  cafe_err err = {0};
  memset(u, 0, sizeof *u);
  int code = verifies ? cafe_node_verify(&u->op, b->k.node, &b->views[view], bench_kept_up, u, &err)
                      : cafe_node_rebuild(&u->op, b->k.node, &b->views[view], bench_kept_up, u, &err);
  snprintf(u->text, sizeof u->text, "%s", err.text);
  assert_int_equal(u->times, 0); /* never inside */
  return code;
}

static inline void bench_wait(bench *b, bench_upkeep *u) {
  for (int i = 0; i < 100000 && !u->times; i++)
    bench_run(b, 1);
  assert_int_equal(u->times, 1);
}

static inline cafe_rebuild_report bench_do(bench *b, int view, bool verifies) {
  bench_upkeep u;
  assert_int_equal(bench_begin(b, &u, view, verifies), CAFE_OK);
  bench_wait(b, &u);
  if (u.code)
    fail_msg("%s", u.text);
  return u.report;
}

static inline uint64_t bench_wrong(const cafe_rebuild_report *report) {
  return report->differing + report->missing + report->surplus;
}

/* It is what the model says, and the library finds so too, by looking at as many rows. */
static inline void bench_check_whole(bench *b, int view) {
  static bench_rows wanted;
  cafe_rebuild_report report = bench_do(b, view, true);
  bench_check(b, view);
  assert_int_equal(bench_wrong(&report), 0);
  assert_int_equal(report.first_key, 0);
  assert_int_equal(report.rows, bench_expect(b, view, &wanted));
}

static inline cafe_node_stats bench_stats(const bench *b) {
  cafe_node_stats stats = {.size = sizeof stats};
  cafe_node_stats_get(b->k.node, &stats);
  return stats;
}

#endif
