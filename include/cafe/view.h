/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_VIEW_H
#define CAFE_VIEW_H

#include "cafe/aggregate.h"

CAFE_BEGIN_DECLS

typedef enum cafe_fold {
  CAFE_FOLD_SKIP = 1, /* this event doesn't concern the row */
  CAFE_FOLD_PUT = 2,  /* the row is as it stands now */
  CAFE_FOLD_HIDE = 3  /* inline views: the row changed, but isn't shown (yet, or any more). Others: as PUT */
} cafe_fold;

/*
 * A read model: a table whose rows are pure folds of events. Inline, it is written in the units of the events, which
 * are of the node's own services, and read with its own writes. Otherwise a subscription keeps it, over one or several
 * services' logs, here or elsewhere. Rows are real columns in a table of the view's name, so any SQL client reads them.
 * Frozen.
 */
typedef struct cafe_view {
  size_t size;      /* CAFE_VIEW sets it */
  const char *name; /* "orders": the table, unique in a node; snake_case */
  uint32_t version; /* from 1; a changed definition has a new one. Rows of another are made anew after the start
                       (upkeep.h); until then a subscribed view serves them as they stand, an inline one isn't read */
  bool is_inline;
  const char *const *sources;       /* the services that its events are of, ended by NULL */
  const cafe_schema *const *events; /* at least one, each once, ended by NULL */
  const char *key_name;             /* "order_id": the column of the event's key; no column of row */
  const char *sub_name;             /* the second half of the row's key, or NULL for one row a key */
  const cafe_schema *row;           /* the other columns */
  const char *const *indexes;       /* columns that lists are filtered by, ended by NULL; or NULL */
  const char *shown_by;             /* a BOOL column: lists leave out the rows where it is false. For views that aren't
                                       inline, whose hidden rows are stored too; NULL: all are shown */

  /* REQUIRED if sub_name is set: which row of the key this event folds into, from 1. 0, as set before: none. */
  int (*sub)(uint64_t *out, const cafe_event *event, void *user);

  /* REQUIRED. row is zeroed before its first event; *out is CAFE_FOLD_PUT before the call. Texts to keep are copied
   * into the arena. Over several sources the result mustn't depend on how their events interleave: keep columns per
   * source. Returns CAFE_OK or a cafe_code. Where this or sub fails in a view that a subscription keeps, the view
   * stands still and tries again; then the event is parked (letters.h), the rows of its key stand still, and the others
   * go on. No event is skipped. */
  int (*fold)(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user);

  void *user; /* handed to the callbacks */

  /* OPTIONAL, for inline views. Whether nothing more is to come to this row since before that time (UTC), so that it
   * may be forgotten (cafe_node_forget_rows). Pure, and true for every later time too. */
  bool (*is_past)(const void *row, int64_t before_ms, void *user);
  const void *reserved[7];
} cafe_view;

#define CAFE_VIEW sizeof(cafe_view)

CAFE_END_DECLS

#endif
