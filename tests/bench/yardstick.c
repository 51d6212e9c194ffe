/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The yardstick: a recording of rows written by hand-prepared SQL, one INSERT, UPDATE or DELETE by primary key for
 * each, in the transactions in which they came. The same tables and indexes, the same durability, and the settings that
 * measured best for such rows (WAL, full sync, a checkpoint every 4000 pages, one connection). No checksums, no guards,
 * no thread, nothing to decide: what is left is what SQLite and the disk take.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

enum { TABLES_MAX = 32, COLUMNS_MAX = 64 };

typedef struct table {
  char name[64];
  uint32_t columns;
  char column[COLUMNS_MAX][64];
  uint32_t key_place[COLUMNS_MAX]; /* from 1 in the primary key; 0: not in it */
  sqlite3_stmt *insert, *update, *remove;
} table;

typedef struct yardstick {
  sqlite3 *db;
  bench_result *out;
  table tables[TABLES_MAX];
  uint32_t table_count;
  sqlite3_stmt *begin, *commit;
  bool is_within; /* a transaction */
} yardstick;

static bool fail(yardstick *y, const char *doing) {
  if (!y->out->failure[0]) {
    snprintf(y->out->failure, sizeof(y->out->failure), "yardstick: %s: %s", doing,
             y->db ? sqlite3_errmsg(y->db) : "no memory");
  }
  return false;
}

static bool run_sql(yardstick *y, const char *sql) {
  return sqlite3_exec(y->db, sql, NULL, NULL, NULL) == SQLITE_OK || fail(y, sql);
}

static bool prepare(yardstick *y, sqlite3_stmt **out, char *sql) {
  bool is_ready = sql && sqlite3_prepare_v3(y->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK;
  if (!is_ready) {
    fail(y, sql ? sql : "preparing");
  }
  sqlite3_free(sql);
  return is_ready;
}

/* ---- the tables, as the store's own file has them ---- */

static int see_schema(void *user, int columns, char **values, char **names) {
  (void)columns, (void)names;
  return run_sql(user, values[0]) ? 0 : 1;
}

static bool copy_schema(yardstick *y, const char *path) {
  sqlite3 *source = NULL;
  bool is_copied =
      sqlite3_open_v2(path, &source, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
      sqlite3_exec(source,
                   "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
                   see_schema, y, NULL) == SQLITE_OK;
  sqlite3_close(source);
  return is_copied || fail(y, "copying the tables");
}

static bool open_store(yardstick *y, const char *file, const char *tables_of) {
  char other[520];
  static const char *const ends[] = {"", "-wal", "-shm"};
  for (int i = 0; i < 3; i++) {
    snprintf(other, sizeof(other), "%s%s", file, ends[i]);
    unlink(other);
  }
  if (sqlite3_open_v2(file, &y->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL)) {
    return fail(y, "opening");
  }
  return run_sql(y, "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                    "PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4000; PRAGMA temp_store = MEMORY") &&
         copy_schema(y, tables_of) && prepare(y, &y->begin, sqlite3_mprintf("BEGIN IMMEDIATE")) &&
         prepare(y, &y->commit, sqlite3_mprintf("COMMIT"));
}

static bool read_columns(yardstick *y, table *made) {
  sqlite3_stmt *columns = NULL;
  if (!prepare(y, &columns, sqlite3_mprintf("SELECT name, pk FROM pragma_table_info(%Q) ORDER BY cid", made->name))) {
    return false;
  }
  while (made->columns < COLUMNS_MAX && sqlite3_step(columns) == SQLITE_ROW) {
    snprintf(made->column[made->columns], sizeof(made->column[0]), "%s", (const char *)sqlite3_column_text(columns, 0));
    made->key_place[made->columns++] = (uint32_t)sqlite3_column_int(columns, 1);
  }
  sqlite3_finalize(columns);
  return made->columns > 0 || fail(y, "reading a table's columns");
}

/* Parameter n is column n, wherever it stands. */
static void append_columns(sqlite3_str *sql, const table *of, bool keys, const char *joint, const char *format) {
  const char *between = "";
  for (uint32_t i = 0; i < of->columns; i++) {
    if ((of->key_place[i] != 0) == keys) {
      sqlite3_str_appendall(sql, between);
      sqlite3_str_appendf(sql, format, of->column[i], (int)i + 1);
      between = joint;
    }
  }
}

static bool prepare_table(yardstick *y, table *made) {
  sqlite3_str *insert = sqlite3_str_new(y->db);
  sqlite3_str_appendf(insert, "INSERT INTO \"%w\" VALUES(?", made->name);
  for (uint32_t i = 1; i < made->columns; i++) {
    sqlite3_str_appendall(insert, ", ?");
  }
  sqlite3_str_appendall(insert, ")");
  sqlite3_str *update = sqlite3_str_new(y->db);
  sqlite3_str_appendf(update, "UPDATE \"%w\" SET ", made->name);
  append_columns(update, made, false, ", ", "\"%w\" = ?%d");
  sqlite3_str_appendall(update, " WHERE ");
  append_columns(update, made, true, " AND ", "\"%w\" = ?%d");
  sqlite3_str *remove = sqlite3_str_new(y->db);
  sqlite3_str_appendf(remove, "DELETE FROM \"%w\" WHERE ", made->name);
  append_columns(remove, made, true, " AND ", "\"%w\" = ?%d");
  bool has_insert = prepare(y, &made->insert, sqlite3_str_finish(insert));
  bool has_update = prepare(y, &made->update, sqlite3_str_finish(update));
  bool has_remove = prepare(y, &made->remove, sqlite3_str_finish(remove));
  return has_insert && has_update && has_remove;
}

static table *table_of(yardstick *y, const char *name, size_t size) {
  for (uint32_t i = 0; i < y->table_count; i++) {
    if (strncmp(y->tables[i].name, name, size) == 0 && !y->tables[i].name[size]) {
      return &y->tables[i];
    }
  }
  if (y->table_count == TABLES_MAX || size >= sizeof(y->tables[0].name)) {
    fail(y, "too many tables");
    return NULL;
  }
  table *made = &y->tables[y->table_count++];
  memcpy(made->name, name, size);
  return read_columns(y, made) && prepare_table(y, made) ? made : NULL;
}

/* ---- replaying ---- */

static bool step(yardstick *y, sqlite3_stmt *statement, const char *doing) {
  bool is_done = sqlite3_step(statement) == SQLITE_DONE;
  if (!is_done) {
    fail(y, doing);
  }
  sqlite3_reset(statement);
  return is_done;
}

/* Where the entry's values end; NULL where it isn't whole. */
static const char *bind(sqlite3_stmt *statement, const char *at, const char *end, uint32_t columns) {
  int parameters = sqlite3_bind_parameter_count(statement);
  for (uint32_t i = 1; i <= columns; i++) {
    rows_value value;
    if ((size_t)(end - at) < sizeof(value)) {
      return NULL;
    }
    memcpy(&value, at, sizeof(value));
    at += sizeof(value);
    if ((size_t)(end - at) < value.size) {
      return NULL;
    }
    if ((int)i > parameters) {
      at += value.size;
      continue;
    }
    switch (value.type) {
    case SQLITE_INTEGER:
      sqlite3_bind_int64(statement, (int)i, value.number);
      break;
    case SQLITE_TEXT:
      sqlite3_bind_text(statement, (int)i, value.size ? at : "", (int)value.size, SQLITE_STATIC);
      break;
    case SQLITE_BLOB:
      sqlite3_bind_blob(statement, (int)i, value.size ? at : "", (int)value.size, SQLITE_STATIC);
      break;
    default:
      sqlite3_bind_null(statement, (int)i);
      break;
    }
    at += value.size;
  }
  return at;
}

static const char *replay_row(yardstick *y, const rows_entry *entry, const char *at, const char *end) {
  if (!y->is_within) {
    y->is_within = true;
    if (!step(y, y->begin, "beginning")) {
      return NULL;
    }
  }
  table *of = (size_t)(end - at) >= entry->name_size ? table_of(y, at, entry->name_size) : NULL;
  if (!of || of->columns != entry->columns) {
    return NULL;
  }
  sqlite3_stmt *statement = entry->kind == ROWS_INSERT   ? of->insert
                            : entry->kind == ROWS_UPDATE ? of->update
                                                         : of->remove;
  at = bind(statement, at + entry->name_size, end, entry->columns);
  if (!at || !step(y, statement, "writing a row")) {
    return NULL;
  }
  if (sqlite3_changes(y->db) != 1) {
    fail(y, "a row that was replaced isn't there");
    return NULL;
  }
  y->out->units++;
  return at;
}

static bool replay(yardstick *y, const char *at, const char *end) {
  while (at && (size_t)(end - at) >= sizeof(rows_entry)) {
    rows_entry entry;
    memcpy(&entry, at, sizeof(entry));
    at += sizeof(entry);
    if (entry.kind != ROWS_COMMIT) {
      at = replay_row(y, &entry, at, end);
    } else if (y->is_within) {
      y->is_within = false;
      y->out->commits++;
      if (!step(y, y->commit, "committing")) {
        return false;
      }
    }
  }
  return at == end || fail(y, "the recording ends within a row");
}

static void close_store(yardstick *y) {
  for (uint32_t i = 0; i < y->table_count; i++) {
    sqlite3_finalize(y->tables[i].insert);
    sqlite3_finalize(y->tables[i].update);
    sqlite3_finalize(y->tables[i].remove);
  }
  sqlite3_finalize(y->begin);
  sqlite3_finalize(y->commit);
  sqlite3_close(y->db);
}

void yardstick_run(bench_result *out, const bench_case *wanted, int recording, const char *path) {
  memset(out, 0, sizeof(*out));
  yardstick *y = calloc(1, sizeof(*y));
  struct stat about;
  char file[512];
  snprintf(file, sizeof(file), "%s/cafe-bench-yardstick.db", wanted->dir);
  if (!y || fstat(recording, &about) != 0 || about.st_size == 0) {
    snprintf(out->failure, sizeof(out->failure), "yardstick: there is no recording");
    free(y);
    return;
  }
  y->out = out;
  size_t size = (size_t)about.st_size;
  char *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, recording, 0);
  if (bytes != MAP_FAILED && open_store(y, file, path)) {
    bench_usage start;
    counted_now(&start);
    if (replay(y, bytes, bytes + size)) {
      counted_since(&out->used, &start);
      out->orders = wanted->orders;
    }
  }
  close_store(y);
  if (bytes != MAP_FAILED) {
    munmap(bytes, size);
  }
  free(y);
}
