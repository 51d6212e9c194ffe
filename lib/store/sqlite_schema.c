/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The tables: those that every store has, and one for each cafe_table of the setup. All that opening changes happens in
 * one transaction, so a crash leaves the old schema or the new one; a file that isn't ours, or that a newer version
 * made, is refused before anything is written.
 *
 * A column may be added, never taken away or retyped: what was written by an older program must stay readable, and what
 * a newer one added stays in the file. Each column has a default, so that rows from before it read as if it had been
 * empty.
 *
 * Keys are integers and the rowid itself; a table with two keys is WITHOUT ROWID, clustered by them, so that one tree
 * holds it and a list by an indexed column comes in key order without a sort.
 */
#include <stdio.h>

#include "store/sqlite_store.h"

static const char own_tables[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE events(position INTEGER PRIMARY KEY, \"key\" INTEGER NOT NULL, aggregate TEXT NOT NULL,"
    " version INTEGER NOT NULL, type TEXT NOT NULL, time_ms INTEGER NOT NULL, trace TEXT, data BLOB NOT NULL,"
    " meta BLOB, checksum INTEGER NOT NULL, UNIQUE(\"key\", aggregate, version));"
    "CREATE TABLE client_keys(scope TEXT NOT NULL, \"key\" TEXT NOT NULL, fingerprint BLOB NOT NULL,"
    " stream_key INTEGER NOT NULL, reply BLOB, time_ms INTEGER NOT NULL, PRIMARY KEY(scope, \"key\"));"
    "CREATE TABLE checkpoints(subscription TEXT NOT NULL, log_id INTEGER NOT NULL, shard INTEGER NOT NULL,"
    " \"partition\" INTEGER NOT NULL, n INTEGER NOT NULL,"
    " PRIMARY KEY(subscription, log_id, shard, \"partition\")) WITHOUT ROWID;";

static const char *const own_names[] = {"meta", "events", "client_keys", "checkpoints"};

/* ---- is the setup one? ---- */

static int check_table(const cafe_table *table, cafe_err *err) {
  if (!table->name || !table->name[0] || !table->key_name || !table->key_name[0] || !table->row) {
    return cafe_fail(err, CAFE_INVALID, "A table lacks its name, key_name or row.");
  }
  if (sqlite3_strnicmp(table->name, "sqlite_", 7) == 0) {
    return cafe_fail(err, CAFE_INVALID, "The table %s can't be made: SQLite keeps such names for itself.", table->name);
  }
  for (size_t i = 0; i < sizeof(own_names) / sizeof(own_names[0]); i++) {
    if (sqlite3_stricmp(table->name, own_names[i]) == 0) {
      return cafe_fail(err, CAFE_INVALID, "The table %s can't be made: the store has one of that name.", table->name);
    }
  }
  int code = cafe_schema_check(table->row, err);
  if (code) {
    return code;
  }
  const char *const keys[] = {sqlite_version_name, table->key_name, table->sub_name};
  for (size_t i = 0; i < 3 && keys[i]; i++) {
    for (size_t j = 0; j < i; j++) {
      if (sqlite3_stricmp(keys[i], keys[j]) == 0) {
        return cafe_fail(err, CAFE_INVALID, "The table %s has two columns %s.", table->name, keys[i]);
      }
    }
    for (uint32_t j = 0; j < table->row->field_count; j++) {
      if (sqlite3_stricmp(keys[i], table->row->fields[j].name) == 0) {
        return cafe_fail(err, CAFE_INVALID, "The table %s has two columns %s.", table->name, keys[i]);
      }
    }
  }
  for (const char *const *index = table->indexes; index && *index; index++) {
    if (cafe_schema_find(table->row, cafe_text(*index)) < 0) {
      return cafe_fail(err, CAFE_INVALID, "The table %s has an index on %s, but no such column.", table->name, *index);
    }
  }
  return CAFE_OK;
}

static int check_setup(const cafe_store_setup *setup, cafe_err *err) {
  for (uint32_t i = 0; setup->tables[i]; i++) {
    int code = check_table(setup->tables[i], err);
    if (code) {
      return code;
    }
    for (uint32_t j = 0; j < i; j++) {
      if (sqlite3_stricmp(setup->tables[i]->name, setup->tables[j]->name) == 0) {
        return cafe_fail(err, CAFE_INVALID, "The table %s is there twice.", setup->tables[i]->name);
      }
    }
  }
  return CAFE_OK;
}

/* ---- the setup's tables ---- */

sqlite_table *sqlite_find_table(const sqlite_store *store, const cafe_table *table) {
  for (uint32_t i = 0; table && i < store->place_count; i++) {
    if (store->tables[i].table == table) {
      return &store->tables[i];
    }
  }
  return NULL;
}

int sqlite_unknown_table(const cafe_table *table, cafe_err *err) {
  return cafe_fail(err, CAFE_INVALID, "The table %s isn't in the setup that the store was opened with.",
                   table ? table->name : "(none)");
}

int sqlite_exec_own(sqlite_store *store, char *sql, cafe_err *err) {
  int code = !sql ? sqlite_no_memory(err)
             : sqlite3_exec(store->writer, sql, NULL, NULL, NULL) == SQLITE_OK
                 ? CAFE_OK
                 : sqlite_fail(store, store->writer, err, "changing its tables");
  sqlite3_free(sql);
  return code;
}

/* The declared type of a column, *found if there is one. */
static int column_type(sqlite_store *store, const char *table, const char *column, char type[16], bool *found,
                       cafe_err *err) {
  static const char sql[] = "SELECT type FROM pragma_table_info(?1) WHERE name = ?2 COLLATE NOCASE";
  sqlite3_stmt *statement = NULL;
  int code = sqlite_prepare(store, store->writer, &statement, sql, err);
  if (code != CAFE_OK) {
    return code;
  }
  sqlite_bind_text(statement, 1, cafe_text(table));
  sqlite_bind_text(statement, 2, cafe_text(column));
  code = sqlite3_step(statement);
  *found = code == SQLITE_ROW;
  if (*found) {
    const unsigned char *text = sqlite3_column_text(statement, 0);
    sqlite3_snprintf(16, type, "%s", text ? (const char *)text : "");
  }
  code = *found || code == SQLITE_DONE ? CAFE_OK : sqlite_fail(store, store->writer, err, "reading a table's columns");
  sqlite3_finalize(statement);
  return code;
}

static int require_column(sqlite_store *store, const cafe_table *table, const char *column, cafe_err *err) {
  char type[16];
  bool found;
  int code = column_type(store, table->name, column, type, &found, err);
  if (!code && !found) {
    code = cafe_fail(err, CAFE_INVALID, "%s: its table %s has no column %s, so it is another table of that name.",
                     sqlite_short(store->path), table->name, column);
  }
  return code;
}

static int migrate_columns(sqlite_store *store, const cafe_table *table, cafe_err *err) {
  const char *const keys[] = {sqlite_version_name, table->key_name, table->sub_name};
  for (size_t i = 0; i < 3 && keys[i]; i++) {
    int code = require_column(store, table, keys[i], err);
    if (code) {
      return code;
    }
  }
  for (uint32_t i = 0; i < table->row->field_count; i++) {
    const cafe_field *field = &table->row->fields[i];
    char type[16];
    bool found;
    int code = column_type(store, table->name, field->name, type, &found, err);
    if (!code && found && sqlite3_stricmp(type, sqlite_column_type(field)) != 0) {
      code = cafe_fail(err, CAFE_INVALID, "%s: the column %s.%s is %s in the file and %s in the program.",
                       sqlite_short(store->path), table->name, field->name, type, sqlite_column_type(field));
    }
    if (!code && !found) {
      sqlite3_str *sql = sqlite3_str_new(NULL);
      sqlite3_str_appendf(sql, "ALTER TABLE \"%w\" ADD COLUMN ", table->name);
      sqlite_append_column(sql, field);
      code = sqlite_exec_own(store, sqlite3_str_finish(sql), err);
    }
    if (code) {
      return code;
    }
  }
  return CAFE_OK;
}

/* Takes sql, a query for 1. */
static int ask_own(sqlite_store *store, char *sql, bool *found, cafe_err *err) {
  int64_t one;
  int code = sql ? sqlite_number(store, store->writer, sql, &one, found, err) : sqlite_no_memory(err);
  sqlite3_free(sql);
  return code;
}

/* An index keeps its name when its table takes another's: so what counts is that the column has one, and it is named by
 * the first number that is free. */
static int make_index(sqlite_store *store, const cafe_table *table, const char *column, const char *of, cafe_err *err) {
  bool is_there = false;
  char suffix[16] = "";
  int code = ask_own(store,
                     sqlite3_mprintf("SELECT 1 FROM pragma_index_list(%Q) AS l, pragma_index_info(l.name) AS i"
                                     " WHERE l.origin = 'c' AND i.seqno = 0 AND i.name = %Q",
                                     table->name, column),
                     &is_there, err);
  bool is_taken = true;
  for (int number = 2; code == CAFE_OK && !is_there && is_taken; number++) {
    code = ask_own(
        store, sqlite3_mprintf("SELECT 1 FROM sqlite_schema WHERE name = '%q_%q%s' COLLATE NOCASE", of, column, suffix),
        &is_taken, err);
    if (code == CAFE_OK && is_taken) {
      snprintf(suffix, sizeof(suffix), "_%d", number);
    }
  }
  if (code != CAFE_OK || is_there) {
    return code;
  }
  return sqlite_exec_own(
      store, sqlite3_mprintf("CREATE INDEX \"%w_%w%s\" ON \"%w\"(\"%w\")", of, column, suffix, table->name, column),
      err);
}

int sqlite_make_indexes(sqlite_store *store, const cafe_table *table, const char *of, cafe_err *err) {
  int code = CAFE_OK;
  for (const char *const *index = table->indexes; code == CAFE_OK && index && *index; index++) {
    code = make_index(store, table, *index, of, err);
  }
  return code;
}

static int open_table(sqlite_store *store, const cafe_table *table, cafe_err *err) {
  char *sql =
      sqlite3_mprintf("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = %Q COLLATE NOCASE", table->name);
  if (!sql) {
    return sqlite_no_memory(err);
  }
  int64_t one;
  bool found = false;
  int code = sqlite_number(store, store->writer, sql, &one, &found, err);
  sqlite3_free(sql);
  if (code == CAFE_OK) {
    code = found ? migrate_columns(store, table, err) : sqlite_exec_own(store, sqlite_sql_create(table), err);
  }
  return code == CAFE_OK ? sqlite_make_indexes(store, table, table->name, err) : code;
}

/* ---- the file ---- */

static int make_own_tables(sqlite_store *store, cafe_err *err) {
  uint64_t log_id;
  int code = store_random_id(&log_id, err);
  if (code == CAFE_OK) {
    code = sqlite_exec(store, store->writer, own_tables, err);
  }
  if (code == CAFE_OK) {
    code =
        sqlite_exec_own(store,
                        sqlite3_mprintf("INSERT INTO meta(name, value)"
                                        " VALUES('log_id', %lld), ('shards', 1), ('partitions', %u);"
                                        "PRAGMA application_id = %d; PRAGMA user_version = %d",
                                        (long long)log_id, CAFE_PARTITIONS, FILE_APPLICATION_ID, FILE_SCHEMA_VERSION),
                        err);
  }
  return code;
}

static int read_meta(sqlite_store *store, cafe_err *err) {
  int64_t log_id = 0;
  int64_t shards = 0;
  int64_t partitions = 0;
  bool found = false;
  int code = sqlite_number(store, store->writer, "SELECT value FROM meta WHERE name = 'log_id'", &log_id, &found, err);
  if (code == CAFE_OK) {
    code = sqlite_number(store, store->writer, "SELECT value FROM meta WHERE name = 'shards'", &shards, &found, err);
  }
  if (code == CAFE_OK) {
    code = sqlite_number(store, store->writer, "SELECT value FROM meta WHERE name = 'partitions'", &partitions, &found,
                         err);
  }
  if (code == CAFE_OK && (log_id <= 0 || shards != 1 || partitions <= 0)) {
    code = cafe_fail(err, CAFE_CORRUPT, "%s: its table meta is damaged: restore the file from a backup.",
                     sqlite_short(store->path));
  }
  if (code == CAFE_OK && partitions != CAFE_PARTITIONS) {
    code = cafe_fail(err, CAFE_UNSUPPORTED,
                     "%s was made with %lld partitions, and this version has %u: use the version that made it.",
                     sqlite_short(store->path), (long long)partitions, CAFE_PARTITIONS);
  }
  store->log_id = (uint64_t)log_id;
  return code;
}

int sqlite_schema_identify(sqlite_store *store, bool *is_new, cafe_err *err) {
  int64_t application = 0;
  int64_t version = 0;
  int64_t things = 0;
  bool found;
  int code = sqlite_number(store, store->writer, "PRAGMA application_id", &application, &found, err);
  if (code == CAFE_OK) {
    code = sqlite_number(store, store->writer, "PRAGMA user_version", &version, &found, err);
  }
  if (code == CAFE_OK) {
    code = sqlite_number(store, store->writer, "SELECT count(*) FROM sqlite_schema", &things, &found, err);
  }
  if (code != CAFE_OK) {
    return code;
  }
  *is_new = application == 0 && version == 0 && things == 0;
  if (*is_new) {
    return CAFE_OK;
  }
  if (application == BACKUP_APPLICATION_ID) {
    return cafe_fail(err, CAFE_INVALID, "%s is a backup: make a store of it by cafe_sqlite_restore.",
                     sqlite_short(store->path));
  }
  if (application != FILE_APPLICATION_ID) {
    return cafe_fail(err, CAFE_INVALID, "%s is a database of another program: name another file.",
                     sqlite_short(store->path));
  }
  if (version > FILE_SCHEMA_VERSION) {
    return cafe_fail(err, CAFE_UNSUPPORTED,
                     "%s was written by a newer version (schema %lld, this one knows up to %d): upgrade.",
                     sqlite_short(store->path), (long long)version, FILE_SCHEMA_VERSION);
  }
  if (version < FILE_SCHEMA_VERSION) {
    return cafe_fail(
        err, CAFE_UNSUPPORTED,
        "%s was written before version 0.1 (schema %lld), which nothing reads any more: name another file.",
        sqlite_short(store->path), (long long)version);
  }
  return read_meta(store, err);
}

int sqlite_schema_open(sqlite_store *store, const cafe_store_setup *setup, bool is_new, cafe_err *err) {
  int code = check_setup(setup, err);
  if (code == CAFE_OK) {
    code = sqlite_exec(store, store->writer, "BEGIN IMMEDIATE", err);
  }
  if (code != CAFE_OK) {
    return code;
  }
  if (is_new) {
    code = make_own_tables(store, err);
  }
  if (code == CAFE_OK && !is_new) {
    code = sqlite_drop_shadows(store, err);
  }
  for (uint32_t i = 0; code == CAFE_OK && setup->tables[i]; i++) {
    code = open_table(store, setup->tables[i], err);
  }
  if (code == CAFE_OK) {
    code = sqlite_exec(store, store->writer, "COMMIT", err);
  }
  if (code != CAFE_OK && !sqlite3_get_autocommit(store->writer)) {
    sqlite3_exec(store->writer, "ROLLBACK", NULL, NULL, NULL);
  }
  return code == CAFE_OK && is_new ? read_meta(store, err) : code;
}
