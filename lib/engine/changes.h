/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_CHANGES_H
#define ENGINE_CHANGES_H

#include "cafe/op.h"
#include "engine/tail.h"

/*
 * A view's changes. Where somebody stands is a position in each log that the view is made from, its places: first this
 * node's own log, shard by shard, if the view is made from it, then those of other nodes.
 */

/* A caller. In his op's arena. */
typedef struct watch {
  struct watch *prev, *next; /* in node->watches, or in his read's */
  cafe_op *op;
  const hosted_view *view;
  uint32_t limit;
  bool is_waiting; /* for as long as there is nothing */
  bool has_failed;
  bool begins_now;
  uint32_t places, own;          /* and those of the node's own log */
  const struct consumer **peers; /* by place: the view's subscription to it; NULL: the node's own */
  cafe_position *positions;      /* by place: he has seen all up to there. log_id 0: nothing is known of the log */
  bool *is_new;                  /* by place: nothing was, when he began: he begins at its start */
  cafe_position *given;          /* of other nodes' logs: whose isn't known yet … */
  uint32_t given_count;
  cafe_position *told;      /* … and until then he is where he said; NULL: he didn't */
  struct change_read *read; /* under way for him; NULL: in node->watches */
  const cafe_page *page;    /* what he gets; NULL: nothing */
  cafe_page_cb done;
} watch;

/* One read. In its arena. */
typedef struct change_read {
  storage_job job;
  struct change_read *next; /* begun in the same turn */
  cafe_arena *arena;
  watch *watches;
  const hosted_view *view;
  int shown_by; /* column of the row; -1: none */
  const char **types;
  uint32_t limit, own_limit; /* of the events, and of those of the node's own log */
  uint32_t places, own;
  cafe_position *after;
  cafe_position *reached; /* as `after`, and then as far as was read */
  uint64_t *until;        /* what the view holds, by place */
  tail **tails;           /* by place: whose events are taken; NULL: none's */
  cafe_change_query query;
  bool is_past; /* the log went beyond query.until */
  uint64_t *keys;
  uint32_t far_keys; /* of events of other nodes' logs, in `keys` */
  const cafe_event **events;
  const cafe_row **rows; /* of those keys; then of those events */
  uint32_t count, row_count, row_room;
} change_read;

/* ---- changes_read.c ---- */

/* The view holds all of that place's log up to there. */
uint64_t changes_held(const cafe_node *node, const watch *self, uint32_t place);
/* Has read what is in hand, and in the node's own log, for whoever stands where `wanted` does. NULL: no memory, or an
 * event can't be read: err says which. */
change_read *changes_read(const watch *wanted, void (*done)(storage_job *job), cafe_err *err);
/* Puts each event that is shown together with its row. On the loop's thread. */
int changes_join(change_read *self, cafe_err *err);
void changes_free(change_read *self);

#endif
