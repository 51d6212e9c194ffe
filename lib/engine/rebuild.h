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
 *   rebuild_replace.c  the shadow takes the table's place; which definition a table is of, at a node's start
 *   rebuild_verify.c   the two tables are compared
 */

typedef enum rebuild_step {
  REBUILD_MAKE = 1,    /* the shadow */
  REBUILD_FOLD = 2,    /* while everything goes on */
  REBUILD_HOLD = 3,    /* nothing new begins that would change the view; what is under way ends */
  REBUILD_REST = 4,    /* the last events, up to where the view stands */
  REBUILD_REPLACE = 5, /* the shadow takes the table's place */
  REBUILD_COMPARE = 6, /* page by page */
  REBUILD_TOUCHED = 7, /* inline: keys that changed meanwhile, one by one */
  REBUILD_DROP = 8,    /* what is left of the shadow; its end, whatever came of it */
  REBUILD_OVER = 9
} rebuild_step;

typedef struct fold_event {
  struct fold_event *next;
  cafe_event event;
} fold_event;

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
  fold_event *events;
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
  cafe_arena *job_arena; /* of what is in hand */
  cafe_arena *arena;     /* lives as long as it */
  cafe_unit unit;        /* beside the replacement */

  rebuild_source *sources; /* rebuild_logs.c */

  /* rebuild_fold.c: a cache of the shadow's rows. */
  rebuild_source *taken; /* whose batch is being folded */
  cafe_arena *row_arena;
  map *rows;         /* by (key, sub) */
  size_t text_bytes; /* folded since the rows were last forgotten */
  bool is_partial;   /* rows were forgotten: what isn't in memory may be in the store */
  bool has_hidden;   /* some row is, or was, in the table of the hidden ones */
  shadow_row **wanted;
  uint32_t wanted_count;

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
/* The event as a fold sees it, in the arena. *out NULL: it isn't one of this node's types. */
int logs_decode(fold_event **out, const cafe_node *node, const cafe_stored_event *stored, uint64_t log_id,
                cafe_arena *arena, cafe_err *err);

/* ---- rebuild_fold.c ---- */

int fold_open(rebuild *self, cafe_err *err);
/* Takes a batch in hand. False: there is none that may be taken now. */
bool fold_next(rebuild *self);
void fold_free(rebuild *self);

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
