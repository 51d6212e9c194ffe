/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Shadows: a table that is filled beside the one that serves, and then takes its name. The invariant: whoever reads the
 * table finds all rows of before, or all of after; the rename, the checkpoints and the unit are one transaction.
 *
 * What a crash leaves. Before the replacement's COMMIT is whole: the table as it was, and a shadow, which the next open
 * drops. After it: the new one, under the table's name.
 *
 * Statements that were prepared before a change of the schema are prepared anew by SQLite itself, on both connections,
 * when they are next run. What the writer knows of the table's rows is forgotten (sqlite_commit.c).
 */
#include <string.h>

#include "store/sqlite_store.h"

static bool is_in_setup(const sqlite_store *store, const cafe_table *table) {
  const sqlite_table *place = sqlite_find_table(store, table);
  return place && !sqlite_is_shadow(store, place);
}

static sqlite_table *find_shadow(const sqlite_store *store, const cafe_table *shadow) {
  sqlite_table *place = sqlite_find_table(store, shadow);
  return place && sqlite_is_shadow(store, place) ? place : NULL;
}

static sqlite_table *find_free(const sqlite_store *store) {
  for (uint32_t i = store->table_count; i < store->place_count; i++) {
    if (!store->tables[i].table) {
      return &store->tables[i];
    }
  }
  return NULL;
}

/* Nobody uses it any more. What it knew of rows is of no table now, and its place may become another's. */
static void free_place(sqlite_store *store, const cafe_table *shadow) {
  sqlite_table *place = find_shadow(store, shadow);
  if (!place) {
    return;
  }
  for (int i = 0; i < ROW_STATEMENTS; i++) {
    sqlite3_finalize(place->statements[i]);
    place->statements[i] = NULL;
  }
  place->table = NULL;
  sqlite_known_clear(store->known);
}

/* Where SQLite overwrites whatever is deleted, it would write each page of the table once more, and the WAL with it:
 * ten times as long, in which nothing else is written. Rows of views hold no secrets, so their pages are only freed. If
 * the mode can't be set back, no more is overwritten than other builds of SQLite do. */
static int drop_table(sqlite_store *store, const char *name, cafe_err *err) {
  int64_t overwrites = 0;
  bool found;
  int code = sqlite_number(store, store->writer, "PRAGMA secure_delete", &overwrites, &found, err);
  if (code == CAFE_OK && overwrites) {
    code = sqlite_exec(store, store->writer, "PRAGMA secure_delete = FAST", err);
  }
  if (code == CAFE_OK) {
    code = sqlite_exec_own(store, sqlite3_mprintf("DROP TABLE IF EXISTS \"%w\"", name), err);
  }
  if (overwrites == 1) {
    sqlite3_exec(store->writer, "PRAGMA secure_delete = ON", NULL, NULL, NULL);
  }
  return code;
}

/* ---- making and dropping ---- */

typedef struct making {
  const cafe_table *shadow;
  const cafe_table *of;
} making;

static int make(sqlite_store *store, void *user, cafe_err *err) {
  const making *what = user;
  int code = drop_table(store, what->shadow->name, err);
  if (code == CAFE_OK) {
    code = sqlite_exec_own(store, sqlite_sql_create(what->shadow), err);
  }
  return code == CAFE_OK ? sqlite_make_indexes(store, what->shadow, what->of->name, err) : code;
}

static int drop(sqlite_store *store, void *user, cafe_err *err) { return drop_table(store, user, err); }

int sqlite_make_shadow(cafe_store *self, const cafe_table *shadow, const cafe_table *of, cafe_err *err) {
  sqlite_store *store = (sqlite_store *)self;
  making what = {shadow, of};
  int code = sqlite_check_usable(store, err);
  if (code == CAFE_OK && (!is_in_setup(store, of) || shadow->row != of->row)) {
    code = cafe_fail(err, CAFE_INVALID, "%s can't be a shadow of %s: it isn't in the setup, or has other columns.",
                     shadow->name, of->name);
  }
  if (code != CAFE_OK) {
    return code;
  }
  free_place(store, shadow); /* of an earlier life */
  sqlite_table *place = find_free(store);
  if (!place) {
    return cafe_fail(err, CAFE_INVALID, "%s can't be made: each table may have two shadows.", shadow->name);
  }
  code = sqlite_transact(store, make, &what, err);
  if (code == CAFE_OK) {
    place->table = shadow;
    sqlite_testify(store);
  }
  return code;
}

int sqlite_drop_shadow(cafe_store *self, const cafe_table *shadow, cafe_err *err) {
  sqlite_store *store = (sqlite_store *)self;
  char *name = sqlite_copy_text(store, shadow->name);
  int code = sqlite_check_usable(store, err);
  if (code == CAFE_OK && !name) {
    code = sqlite_no_memory(err);
  }
  if (code == CAFE_OK) {
    free_place(store, shadow);
    code = sqlite_transact(store, drop, name, err);
  }
  if (code == CAFE_OK) {
    sqlite_testify(store);
  }
  sqlite_free(store, name);
  return code;
}

int sqlite_drop_shadows(sqlite_store *store, cafe_err *err) {
  static const char sql[] = "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, ?1) = ?2";
  bool is_more = true;
  int code = CAFE_OK;
  while (code == CAFE_OK && is_more) {
    sqlite3_stmt *statement = NULL;
    char *name = NULL;
    code = sqlite_prepare(store, store->writer, &statement, sql, err);
    if (code != CAFE_OK) {
      return code;
    }
    sqlite3_bind_int(statement, 1, (int)strlen(CAFE_SHADOW_NAME));
    sqlite_bind_text(statement, 2, cafe_text(CAFE_SHADOW_NAME));
    int step = sqlite3_step(statement);
    is_more = step == SQLITE_ROW;
    if (is_more) {
      name = sqlite3_mprintf("%s", (const char *)sqlite3_column_text(statement, 0));
    } else if (step != SQLITE_DONE) {
      code = sqlite_fail(store, store->writer, err, "looking for shadows");
    }
    sqlite3_finalize(statement);
    if (is_more) {
      code = name ? drop_table(store, name, err) : sqlite_no_memory(err);
    }
    sqlite3_free(name);
  }
  return code;
}

/* ---- replacing ---- */

int sqlite_replace_begin(sqlite_store *store, const cafe_replacement *what, cafe_err *err) {
  int code = CAFE_OK;
  for (const char *const *name = what->subscriptions; code == CAFE_OK && name && *name; name++) {
    code = sqlite_exec_own(store, sqlite3_mprintf("DELETE FROM checkpoints WHERE subscription = %Q", *name), err);
  }
  return code;
}

/* The table itself may have been dropped by hand. */
int sqlite_replace_end(sqlite_store *store, const cafe_replacement *what, cafe_err *err) {
  int code = drop_table(store, what->table->name, err);
  if (code == CAFE_OK) {
    code = sqlite_exec_own(
        store, sqlite3_mprintf("ALTER TABLE \"%w\" RENAME TO \"%w\"", what->shadow->name, what->table->name), err);
  }
  return code;
}

int sqlite_replace(cafe_store *self, const cafe_replacement *what, cafe_err *err) {
  sqlite_store *store = (sqlite_store *)self;
  cafe_unit *units[1] = {what->unit};
  cafe_batch batch = {sizeof(batch), units, 1, what->arena};
  if (!is_in_setup(store, what->table) || !find_shadow(store, what->shadow)) {
    return cafe_fail(err, CAFE_INVALID, "%s can't be replaced: it isn't in the setup, or there is no shadow.",
                     what->table->name);
  }
  int code = sqlite_write(store, &batch, what, err);
  if (code == CAFE_OK && what->unit->result == CAFE_UNIT_DONE) {
    free_place(store, what->shadow);
  }
  return code;
}
