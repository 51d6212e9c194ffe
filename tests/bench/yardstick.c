/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The yardstick: a recording of rows written by hand-prepared SQL in the transactions in which they came, as sparingly
 * as somebody would who knows each row: an UPDATE names only the columns that change, by primary key; INSERTs that
 * follow each other in one table are one statement of sixteen rows. The same tables and indexes, the same durability,
 * and the settings that measured best for such rows (WAL, full sync, a checkpoint every 4000 pages, one connection). No
 * checksums, no guards, no thread, nothing to decide: what is left is what SQLite and the disk take.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

enum { TABLES_MAX = 32, COLUMNS_MAX = 64, UPDATES_MAX = 16, ROWS_AT_ONCE = 16 };

typedef struct table {
  char name[64];
  uint32_t columns;
  char column[COLUMNS_MAX][64];
  uint32_t key_place[COLUMNS_MAX]; /* from 1 in the primary key; 0: not in it */
  sqlite3_stmt *insert, *insert_many, *remove;
  struct {
    uint64_t columns; /* that it sets, a bit each */
    sqlite3_stmt *statement;
  } updates[UPDATES_MAX];
  uint32_t update_count;
} table;

typedef struct yardstick {
  sqlite3 *db;
  bench_result *out;
  table tables[TABLES_MAX];
  uint32_t table_count;
  sqlite3_stmt *begin, *commit;
  bool is_within; /* a transaction */
  table *inserting;
  const char *waiting[ROWS_AT_ONCE]; /* values of rows to be inserted into it */
  uint32_t waiting_count;
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
static void append_columns(sqlite3_str *sql, const table *of, uint64_t wanted, const char *joint) {
  const char *between = "";
  for (uint32_t i = 0; i < of->columns; i++) {
    if (wanted >> i & 1) {
      sqlite3_str_appendf(sql, "%s\"%w\" = ?%d", between, of->column[i], (int)i + 1);
      between = joint;
    }
  }
}

static uint64_t keys_of(const table *of) {
  uint64_t keys = 0;
  for (uint32_t i = 0; i < of->columns; i++) {
    keys |= (uint64_t)(of->key_place[i] != 0) << i;
  }
  return keys;
}

static bool prepare_insert(yardstick *y, const table *of, sqlite3_stmt **out, int rows) {
  sqlite3_str *sql = sqlite3_str_new(y->db);
  sqlite3_str_appendf(sql, "INSERT OR FAIL INTO \"%w\" VALUES", of->name);
  for (int row = 0; row < rows; row++) {
    sqlite3_str_appendall(sql, row ? ", (?" : "(?");
    for (uint32_t i = 1; i < of->columns; i++) {
      sqlite3_str_appendall(sql, ", ?");
    }
    sqlite3_str_appendall(sql, ")");
  }
  return prepare(y, out, sqlite3_str_finish(sql));
}

static sqlite3_stmt *update_of(yardstick *y, table *of, uint64_t columns) {
  for (uint32_t i = 0; i < of->update_count; i++) {
    if (of->updates[i].columns == columns) {
      return of->updates[i].statement;
    }
  }
  if (of->update_count == UPDATES_MAX) {
    fail(y, "too many kinds of updates");
    return NULL;
  }
  sqlite3_str *sql = sqlite3_str_new(y->db);
  sqlite3_str_appendf(sql, "UPDATE \"%w\" SET ", of->name);
  append_columns(sql, of, columns, ", ");
  sqlite3_str_appendall(sql, " WHERE ");
  append_columns(sql, of, keys_of(of), " AND ");
  sqlite3_stmt *statement = NULL;
  if (prepare(y, &statement, sqlite3_str_finish(sql))) {
    of->updates[of->update_count].columns = columns;
    of->updates[of->update_count++].statement = statement;
  }
  return statement;
}

static bool prepare_table(yardstick *y, table *made) {
  sqlite3_str *remove = sqlite3_str_new(y->db);
  sqlite3_str_appendf(remove, "DELETE FROM \"%w\" WHERE ", made->name);
  append_columns(remove, made, keys_of(made), " AND ");
  bool has_remove = prepare(y, &made->remove, sqlite3_str_finish(remove));
  return prepare_insert(y, made, &made->insert, 1) && prepare_insert(y, made, &made->insert_many, ROWS_AT_ONCE) &&
         has_remove;
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
static const char *skip(const char *at, const char *end, uint32_t columns, uint64_t *changed) {
  *changed = 0;
  for (uint32_t i = 0; i < columns; i++) {
    rows_value value;
    if ((size_t)(end - at) < sizeof(value)) {
      return NULL;
    }
    memcpy(&value, at, sizeof(value));
    at += sizeof(value);
    if ((size_t)(end - at) < value.size) {
      return NULL;
    }
    at += value.size;
    *changed |= (uint64_t)(value.has_changed != 0) << i;
  }
  return at;
}

/* The values that `wanted` names, each at its place after `before`. */
static void bind(sqlite3_stmt *statement, const char *at, uint32_t columns, uint64_t wanted, int before) {
  for (uint32_t i = 0; i < columns; i++) {
    rows_value value;
    int place = before + (int)i + 1;
    memcpy(&value, at, sizeof(value));
    at += sizeof(value);
    if (!(wanted >> i & 1)) {
      at += value.size;
      continue;
    }
    switch (value.type) {
    case SQLITE_INTEGER:
      sqlite3_bind_int64(statement, place, value.number);
      break;
    case SQLITE_TEXT:
      sqlite3_bind_text(statement, place, value.size ? at : "", (int)value.size, SQLITE_STATIC);
      break;
    case SQLITE_BLOB:
      sqlite3_bind_blob(statement, place, value.size ? at : "", (int)value.size, SQLITE_STATIC);
      break;
    default:
      sqlite3_bind_null(statement, place);
      break;
    }
    at += value.size;
  }
}

static bool insert_waiting(yardstick *y) {
  const table *of = y->inserting;
  bool is_done = true;
  if (y->waiting_count == ROWS_AT_ONCE) {
    for (uint32_t i = 0; i < ROWS_AT_ONCE; i++) {
      bind(of->insert_many, y->waiting[i], of->columns, UINT64_MAX, (int)(i * of->columns));
    }
    is_done = step(y, of->insert_many, "inserting rows");
  } else {
    for (uint32_t i = 0; i < y->waiting_count && is_done; i++) {
      bind(of->insert, y->waiting[i], of->columns, UINT64_MAX, 0);
      is_done = step(y, of->insert, "inserting a row");
    }
  }
  y->waiting_count = 0;
  return is_done;
}

static bool replay_insert(yardstick *y, table *of, const char *values) {
  if (of != y->inserting && !insert_waiting(y)) {
    return false;
  }
  y->inserting = of;
  y->waiting[y->waiting_count++] = values;
  return y->waiting_count < ROWS_AT_ONCE || insert_waiting(y);
}

static bool replay_change(yardstick *y, table *of, uint8_t kind, const char *values, uint64_t changed) {
  uint64_t keys = keys_of(of);
  changed &= ~keys;
  sqlite3_stmt *statement = kind == ROWS_DELETE ? of->remove : update_of(y, of, changed);
  if (!statement || !insert_waiting(y)) {
    return false;
  }
  bind(statement, values, of->columns, kind == ROWS_DELETE ? keys : keys | changed, 0);
  if (!step(y, statement, "changing a row")) {
    return false;
  }
  return sqlite3_changes(y->db) == 1 || fail(y, "a row that was replaced isn't there");
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
  const char *values = at + entry->name_size;
  uint64_t changed;
  at = skip(values, end, entry->columns, &changed);
  y->out->units++;
  bool is_done = at && (entry->kind == ROWS_INSERT ? replay_insert(y, of, values)
                                                   : replay_change(y, of, entry->kind, values, changed));
  return is_done ? at : NULL;
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
      if (!insert_waiting(y) || !step(y, y->commit, "committing")) {
        return false;
      }
    }
  }
  return at == end || fail(y, "the recording ends within a row");
}

static void close_store(yardstick *y) {
  for (uint32_t i = 0; i < y->table_count; i++) {
    table *of = &y->tables[i];
    sqlite3_finalize(of->insert);
    sqlite3_finalize(of->insert_many);
    sqlite3_finalize(of->remove);
    for (uint32_t k = 0; k < of->update_count; k++) {
      sqlite3_finalize(of->updates[k].statement);
    }
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
