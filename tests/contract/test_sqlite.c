/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The SQLite store keeps tiers core, durable, inspectable and backed up, on a disk that fails and loses power
 * (disk_vfs.h). A kill is a disk that is gone: the store is destroyed, but nothing of that reaches the files, which are
 * what the process had handed to the system. (Processes that are really killed: fault/test_sqlite_kill.c.)
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cafe/store/sqlite.h"
#include "disk_vfs.h"
#include "sqlite_file.h"
#include "contract_suite.h"

static const char path[] = "contract.db";
static const char wal_path[] = "contract.db-wal";
static const char backup_path[] = "contract.bak";

static int make(cafe_store **out, const cafe_allocator *allocator, cafe_err *err) {
  cafe_sqlite_options options = CAFE_SQLITE_OPTIONS_INIT;
  options.allocator = allocator;
  options.vfs = DISK_VFS;
  return cafe_sqlite_create(out, path, &options, err);
}

static int create(cafe_store **out, const cafe_allocator *allocator, void *user, cafe_err *err) {
  (void)user;
  disk_arm(0, 0);
  sqlite_file_remove(path);
  sqlite_file_remove(backup_path);
  disk_remember();
  return make(out, allocator, err);
}

/* Destroys the store so that its files stay as they are. */
static void kill_store(cafe_store **store) {
  disk_arm(DISK_GONE, 1);
  cafe_store_destroy(*store);
  *store = NULL;
  disk_arm(0, 0);
}

static void close_store(cafe_store **store) {
  disk_arm(0, 0);
  cafe_store_destroy(*store);
  *store = NULL;
}

static int restart(cafe_store **store, cafe_store_ending ending, uint64_t seed, const cafe_allocator *allocator,
                   void *user, cafe_err *err) {
  (void)user;
  uint64_t moment = disk_moment();
  if (ending == CAFE_STORE_CLOSED) {
    close_store(store);
  } else {
    kill_store(store);
  }
  if (ending == CAFE_STORE_POWER_LOST) {
    disk_lose_power(moment, (disk_loss)(DISK_DROPPED + seed % (DISK_LOSSES - DISK_DROPPED)), seed, NULL);
    disk_remember();
  }
  return make(store, allocator, err);
}

static int fail_io(cafe_store_io_fault fault, uint64_t n, void *user) {
  static const disk_fault faults[] = {
      [CAFE_STORE_IO_GONE] = DISK_GONE, [CAFE_STORE_IO_FULL] = DISK_FULL, [CAFE_STORE_IO_ERROR] = DISK_ERROR};
  (void)user;
  disk_arm(faults[fault], n);
  return CAFE_OK;
}

static void damage_event(uint64_t n) {
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  if (sqlite3_open(path, &db) != SQLITE_OK ||
      sqlite3_prepare_v2(db, "SELECT data FROM events WHERE position = ?", -1, &statement, NULL) != SQLITE_OK ||
      sqlite3_bind_int64(statement, 1, (sqlite3_int64)n) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW) {
    abort();
  }
  size_t size = (size_t)sqlite3_column_bytes(statement, 0);
  size_t at = sqlite_file_find(path, sqlite3_column_blob(statement, 0), size < 64 ? size : 64);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  sqlite_file_flip(path, at + size / 2, 3);
}

/* Half a frame of one more transaction. */
static void tear_tail(void) {
  size_t size = 0;
  unsigned char *bytes = sqlite_file_read(wal_path, &size);
  if (!bytes || size < 32 + 24 + 4096) {
    abort();
  }
  enum { TORN = 24 + 1000 };
  unsigned char *torn = malloc(size + TORN);
  if (!torn) {
    abort();
  }
  memcpy(torn, bytes, size);
  memcpy(torn + size, bytes + size - 24 - 4096, TORN);
  sqlite_file_write(wal_path, torn, size + TORN);
  free(torn);
  free(bytes);
}

static void damage_journal(void) {
  size_t size = 0;
  unsigned char *bytes = sqlite_file_read(wal_path, &size);
  if (!bytes || size < 100) {
    abort();
  }
  free(bytes);
  sqlite_file_flip(wal_path, size / 2, 5);
}

static void make_foreign(void) {
  sqlite3 *db = NULL;
  sqlite_file_remove(path);
  if (sqlite3_open(path, &db) != SQLITE_OK ||
      sqlite3_exec(db, "CREATE TABLE events(position INTEGER PRIMARY KEY, data BLOB)", NULL, NULL, NULL) != SQLITE_OK) {
    abort();
  }
  sqlite3_close(db);
}

static int damage(cafe_store **store, cafe_store_damage what, uint64_t n, void *user, cafe_err *err) {
  (void)user;
  if (what == CAFE_STORE_DAMAGE_TAIL || what == CAFE_STORE_DAMAGE_JOURNAL) {
    kill_store(store);
  } else {
    close_store(store);
  }
  switch (what) {
  case CAFE_STORE_DAMAGE_EVENT:
    damage_event(n);
    break;
  case CAFE_STORE_DAMAGE_TAIL:
    tear_tail();
    break;
  case CAFE_STORE_DAMAGE_JOURNAL:
    damage_journal();
    break;
  case CAFE_STORE_DAMAGE_NEWER:
    sqlite_file_exec(path, "PRAGMA user_version = 1000");
    break;
  case CAFE_STORE_DAMAGE_FOREIGN:
    make_foreign();
    break;
  }
  disk_remember();
  return make(store, NULL, err);
}

static int rival(cafe_store **out, void *user, cafe_err *err) {
  (void)user;
  return make(out, NULL, err);
}

static int restore(cafe_store **store, void *user, cafe_err *err) {
  (void)user;
  close_store(store);
  sqlite_file_remove(path);
  int code = cafe_sqlite_restore(path, backup_path, err);
  disk_remember();
  return code == CAFE_OK ? make(store, NULL, err) : code;
}

static const char *value_of(sqlite3_stmt *statement, int column, char **hex) {
  *hex = NULL;
  if (sqlite3_column_type(statement, column) != SQLITE_BLOB) {
    return (const char *)sqlite3_column_text(statement, column);
  }
  const unsigned char *bytes = sqlite3_column_blob(statement, column);
  int size = sqlite3_column_bytes(statement, column);
  *hex = calloc((size_t)size * 2 + 1, 1);
  for (int i = 0; *hex && i < size; i++) {
    snprintf(*hex + 2 * i, 3, "%02x", bytes[i]);
  }
  return *hex;
}

/* SQLite's own library, on its own VFS: what the sqlite3 shell does. */
static int query(const char *sql, cafe_store_query_sink on_row, void *row_user, void *user, cafe_err *err) {
  enum { COLUMNS = 32 };
  (void)user;
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
  if (code == SQLITE_OK) {
    code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  }
  int result = CAFE_OK;
  while (code == SQLITE_OK && result == CAFE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
    const char *names[COLUMNS];
    const char *values[COLUMNS];
    char *hex[COLUMNS];
    int count = sqlite3_column_count(statement);
    for (int i = 0; i < count && i < COLUMNS; i++) {
      names[i] = sqlite3_column_name(statement, i);
      values[i] = value_of(statement, i, &hex[i]);
    }
    result = on_row((uint32_t)count, names, values, row_user);
    for (int i = 0; i < count && i < COLUMNS; i++) {
      free(hex[i]);
    }
    code = SQLITE_OK;
  }
  if (result == CAFE_OK && code != SQLITE_OK && code != SQLITE_DONE) {
    result = cafe_fail_detail(err, CAFE_INVALID, code, "%s: %s", sql, sqlite3_errmsg(db));
  }
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return result;
}

int main(int argc, char **argv) {
  disk_begin(path);
  cafe_store_contract contract = CAFE_STORE_CONTRACT_INIT;
  contract.name = "sqlite";
  contract.tiers = CAFE_STORE_CORE | CAFE_STORE_DURABLE | CAFE_STORE_INSPECTABLE | CAFE_STORE_BACKED_UP;
  contract.takes_allocator = true;
  contract.create = create;
  contract.restart = restart;
  contract.fail_io = fail_io;
  contract.damage = damage;
  contract.rival = rival;
  contract.query = query;
  contract.backup_path = backup_path;
  contract.restore = restore;
  int failed = store_suite_run(&contract, argc > 1 ? argv[1] : NULL);
  sqlite_file_remove(path);
  sqlite_file_remove(backup_path);
  disk_end();
  return failed;
}
