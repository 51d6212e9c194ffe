/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_REBUILD_H
#define ENGINE_REBUILD_H

#include "cafe/upkeep.h"
#include "engine/consume.h"

/*
 * One view being made anew, or compared with what is made anew.
 *
 *   rebuild.c          its life: who asks, one step after the other, what is held before the last one
 *   rebuild_logs.c     its logs are read
 *   rebuild_fold.c     … and folded into the shadow
 *   rebuild_aside.c    records that can't be folded, and the view's dead letters
 *   rebuild_replace.c  the shadow takes the table's place; which definition a table is of, at a node's start
 *   rebuild_verify.c   the two tables are compared
 */

typedef enum rebuild_step {
  REBUILD_MARK = 1,    /* up to when rows were forgotten */
  REBUILD_MAKE = 2,    /* the shadow */
  REBUILD_FOLD = 3,    /* while everything goes on */
  REBUILD_HOLD = 4,    /* nothing new begins that would change the view; what is under way ends */
  REBUILD_REST = 5,    /* the last events, up to where the view stands */
  REBUILD_LETTERS = 6, /* subscribed: the view's dead letters */
  REBUILD_REPLACE = 7, /* the shadow takes the table's place */
  REBUILD_COMPARE = 8, /* page by page */
  REBUILD_TOUCHED = 9, /* inline: keys that changed meanwhile, one by one */
  REBUILD_DROP = 10,   /* what is left of the shadow; its end, whatever came of it */
  REBUILD_OVER = 11
} rebuild_step;

/* One shard of one log that the view is made from. */
typedef struct rebuild_source {
  struct rebuild_source *next;
  struct rebuild *rebuild;
  struct consumer *consumer; /* which keeps the view; NULL: it is inline */
  const char *const *types;
  bool is_local;
  uint32_t shard;
  uint64_t log_id; /* 0: not known yet */
  uint64_t after;  /* folded up to here */
  uint64_t head;   /* as far as is known */

  cafe_link link;
  bool is_linked;
  bool is_reading;

  cafe_arena *arena; /* of the batch in hand */
  batch_event *events;
  uint64_t scanned;
  bool has_batch;
} rebuild_source;

/* A row of the shadow as it is now, or will be with what is being written. */
typedef struct shadow_row {
  struct shadow_row *next_dirty;
  uint64_t key, sub;
  uint64_t version;        /* in the shadow; 0: it isn't there */
  uint64_t hidden_version; /* in the table of the hidden ones */
  void *row;
  bool is_shown;
  bool is_dirty;
} shadow_row;

typedef struct rebuild rebuild;
typedef int (*rebuild_run)(rebuild *self, cafe_err *err); /* on a lane, which then has all that it touches */
typedef void (*rebuild_done)(rebuild *self);

struct rebuild {
  rebuild *prev, *next;
  cafe_node *node;
  uint32_t view;
  bool verifies;
  cafe_op *op; /* NULL: the node's own, or answered */
  cafe_rebuild_cb done;
  cafe_rebuild_report report;
  rebuild_step step;
  cafe_err err;     /* with a code: it has failed, and only cleans up */
  bool is_made;     /* there may be a shadow in the store */
  bool is_holding;  /* a pause of the node, or of the view's subscriptions */
  bool is_replaced; /* the shadow has taken the table's place */

  uint32_t busy;   /* jobs and units that have to end before anything else is done */
  storage_job job; /* one at a time */
  rebuild_run run;
  rebuild_done ran;
  cafe_arena *job_arena;      /* of what is in hand */
  cafe_arena *arena;          /* lives as long as it */
  cafe_unit unit;             /* beside the replacement */
  const char **subscriptions; /* whose places it moves */
  int64_t forgotten_ms;       /* rows that are past since before aren't made again (forget.h); 0: all are */

  rebuild_source *sources; /* rebuild_logs.c */

  /* rebuild_fold.c: a cache of the shadow's rows. */
  rebuild_source *taken; /* whose batch is being folded */
  cafe_arena *row_arena;
  map *rows;         /* by (key, sub) */
  void *row_before;  /* one, as it was before the fold in hand */
  size_t text_bytes; /* folded since the rows were last forgotten */
  bool is_partial;   /* rows were forgotten: what isn't in memory may be in the store */
  bool has_hidden;   /* some row is, or was, in the table of the hidden ones */
  shadow_row **wanted;
  uint32_t wanted_count;

  /* rebuild_aside.c */
  struct aside *aside;
  rebuild_source late; /* of no log: what a verification folds last */

  struct comparison *comparison; /* rebuild_verify.c */
};

enum { REBUILD_EVENTS = 512 }; /* read at once, as by any subscription */

static inline hosted_view *rebuild_view(const rebuild *self) { return &self->node->registry.views[self->view]; }

/* ---- rebuild.c ---- */

/* It comes to nothing. The first failure counts. */
void rebuild_fail(rebuild *self, const cafe_err *err);
void rebuild_fail_code(rebuild *self, cafe_code code, const char *format, ...) CAFE_PRINTF(3, 4);
/* Runs a job; it is busy until then. `done` runs on success only, and only if nothing else has failed meanwhile. */
void rebuild_job(rebuild *self, cafe_lane lane, rebuild_run run, rebuild_done done);

/* What it holds goes on. */
void rebuild_release(rebuild *self);

/* ---- rebuild_logs.c ---- */

int logs_open(rebuild *self, cafe_err *err);
/* Asks for what is to be read next. */
void logs_read(rebuild *self);
/* Something was asked for, and will come. */
bool logs_are_being_read(const rebuild *self);
/* Whether all that there is has been folded, or little is left; and whether it is where the table stands, exactly, once
 * that stands still. */
bool logs_are_near(const rebuild *self);
bool logs_are_there(const rebuild *self);
/* One with a batch that may be folded now. NULL: none. */
rebuild_source *logs_take(rebuild *self);
/* Whether this event of its batch is to be folded: in a comparison none that the table hasn't. */
bool logs_want(const rebuild_source *source, const cafe_event *event);
/* Its batch is folded. */
void logs_give_back(rebuild_source *source);
/* Nothing more is asked for. */
void logs_close(rebuild *self);
void logs_free(rebuild *self);

/* ---- rebuild_fold.c ---- */

int fold_open(rebuild *self, cafe_err *err);
/* Takes a batch in hand. False: there is none that may be taken now. */
bool fold_next(rebuild *self);
void fold_batch(rebuild *self, rebuild_source *source);
void fold_free(rebuild *self);

/* ---- rebuild_aside.c ---- */

int aside_open(rebuild *self, cafe_err *err);
void aside_free(rebuild *self);
/* Whether records of the key aren't folded now. */
bool aside_covers(const rebuild *self, uint64_t key);
/* The first of a key says why it failed, where the view is made anew. CAFE_NOMEM; CAFE_OVERLOADED: too many. */
int aside_keep(rebuild *self, rebuild_source *source, const batch_event *record, cafe_err *err);
/* Finds out which letters there are, now that the view stands still, and what they mean. False: it is done. */
bool aside_settle(rebuild *self);
/* The letters that go, and those that come: so many rows, for the unit of the replacement. As letter_write. */
uint32_t aside_rows(const rebuild *self);
int aside_write(cafe_row_write *rows, rebuild *self, cafe_err *err);
/* It is written. */
void aside_written(rebuild *self);

/* ---- rebuild_replace.c ---- */

/* Whether the store has what it takes. */
bool rebuild_is_possible(const cafe_node *node);
/* Begins the one transaction. */
void rebuild_replace(rebuild *self);

/* ---- rebuild_verify.c ---- */

/* Begins the next page, or the next keys. False: all is compared. */
bool verify_next(rebuild *self);
void verify_free(rebuild *self);

#endif
