/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_SQLITE_BATCH_H
#define STORE_SQLITE_BATCH_H

#include "store/sqlite_store.h"

enum { EVENTS_AT_ONCE = 16 };

/* One commit on its way: sqlite_judge.c says which units may pass, sqlite_commit.c writes them. */
typedef struct batch_run {
  sqlite_store *store;
  cafe_batch *batch;
  const cafe_replacement *replacement; /* NULL: none */
  cafe_err *err;
  bool asks;             /* no guesses */
  uint32_t unit;         /* counts from 1; never that of an earlier run, since items remember it */
  sqlite_item **touched; /* of the unit being judged: one for each event, row and checkpoint */
  const cafe_stored_event *events[EVENTS_AT_ONCE]; /* of units that passed, to be written together */
  uint32_t event_count;
  sqlite_item *first; /* rows and checkpoints to write */
  sqlite_item *last;
} batch_run;

/* A statement of the writer's, ready to be bound. */
int batch_statement(sqlite_store *store, sqlite_writer_statement which, sqlite3_stmt **out, cafe_err *err);
/* The one number of a prepared query, 0 without a row or for NULL. */
int batch_ask(sqlite_store *store, sqlite3_stmt *statement, uint64_t *out, cafe_err *err);
void batch_bind_checkpoint(sqlite3_stmt *statement, const cafe_checkpoint *checkpoint);

/* Sets the unit's result: DONE if nothing stands against it, and then r->touched; *key_is_there tells whether there is
 * a row for its client's key. A failure is one of the whole batch. */
int batch_judge(batch_run *r, cafe_unit *unit, bool *key_is_there);

#endif
