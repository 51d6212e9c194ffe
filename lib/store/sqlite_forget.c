/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Clients' keys after their time. They lie in the table in the order in which they were claimed, so those that are old
 * lie at its beginning, and no index on the time has to be kept for them by every order. The order isn't perfect: a key
 * is answered, or taken over, later than it was claimed, and a clock may be set back between two starts. So what is too
 * young is passed over, and only a whole batch of the young ends the search.
 *
 * A crash leaves the batches before it deleted. Nothing depends on how far it got.
 */
#include "store/sqlite_store.h"

enum { BATCH = 500, LOOKED_AT = 2000 }; /* keys deleted by one transaction, some milliseconds; keys looked at for it */

typedef struct forget_run {
  sqlite_store *store;
  const cafe_forget *forget;
  int64_t found[BATCH];
  uint32_t count;
  int64_t place;
  bool is_done;
} forget_run;

/* Not kept: this runs seldom, and then for long. */
static int prepare(forget_run *run, sqlite3_stmt **out, const char *sql, cafe_err *err) {
  *out = NULL;
  return sqlite_prepare(run->store, run->store->writer, out, sql, err);
}

static int find(forget_run *run, cafe_err *err) {
  sqlite3_stmt *statement;
  int code =
      prepare(run, &statement, "SELECT rowid, time_ms FROM client_keys WHERE rowid > ?1 ORDER BY rowid LIMIT ?2", err);
  if (code != CAFE_OK) {
    return code;
  }
  sqlite3_bind_int64(statement, 1, run->place);
  sqlite3_bind_int(statement, 2, LOOKED_AT);
  uint32_t seen = 0;
  int step = SQLITE_ROW;
  while (run->count < BATCH && (step = sqlite_step(statement)) == SQLITE_ROW) {
    seen++;
    run->place = sqlite3_column_int64(statement, 0);
    if (sqlite3_column_int64(statement, 1) < run->forget->before_ms) {
      run->found[run->count++] = run->place;
    }
  }
  run->is_done = step == SQLITE_DONE && (run->count == 0 || seen < LOOKED_AT);
  code = step == SQLITE_ROW || step == SQLITE_DONE
             ? CAFE_OK
             : sqlite_fail(run->store, run->store->writer, err, "looking for old client keys");
  sqlite3_finalize(statement);
  return code;
}

static int write_batch(sqlite_store *store, void *user, cafe_err *err) {
  (void)store; /* the run has it */
  forget_run *run = user;
  sqlite3_stmt *statement;
  int code = prepare(run, &statement, "DELETE FROM client_keys WHERE rowid = ?1 AND time_ms < ?2", err);
  for (uint32_t i = 0; code == CAFE_OK && i < run->count; i++) {
    sqlite3_bind_int64(statement, 1, run->found[i]);
    sqlite3_bind_int64(statement, 2, run->forget->before_ms);
    if (sqlite3_step(statement) != SQLITE_DONE) {
      code = sqlite_fail(run->store, run->store->writer, err, "deleting old client keys");
    }
    sqlite3_reset(statement);
  }
  sqlite3_finalize(statement);
  return code;
}

int sqlite_forget_keys(cafe_store *self, cafe_forget *forget, cafe_err *err) {
  sqlite_store *store = (sqlite_store *)self;
  forget_run run = {.store = store, .forget = forget, .place = (int64_t)forget->place};
  int code = sqlite_check_usable(store, err);
  if (code == CAFE_OK) {
    code = find(&run, err);
  }
  if (code == CAFE_OK && run.count) {
    code = sqlite_transact(store, write_batch, &run, err);
    if (code == CAFE_OK) {
      sqlite_testify(store);
    }
  }
  if (code == CAFE_OK) {
    forget->count += run.count;
    forget->place = (uint64_t)run.place;
    forget->is_done = run.is_done;
  }
  return code;
}
