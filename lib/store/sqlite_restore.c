/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A store from a backup. What was committed after the backup is gone, and others may have seen it: subscribers, clients
 * with positions, the gateway. What is kept here is that nobody mistakes the new life for the old one.
 *
 *   - The log gets a new id, so that a position of the old one is known as such. How far both are the same is written
 *     down (origins), so that who isn't ahead may go on.
 *   - The store's own checkpoints on its log are moved to the new id in the same transaction: its views and policies
 *     have seen exactly what is there.
 *   - The time is written down. The engine takes new keys from it, so that none is given out twice: not one of the life
 *     that is lost, and not one of an earlier restore of the same backup. So the clock must be right, as far as can be
 *     told: it isn't when the log has an event of later.
 *
 * All is done under a name that nobody asks for (PATH.<16 digits>.part), without a journal on the disk, checked there,
 * synced, and renamed. A crash before leaves nothing at the path, one after it the store. The lock of the path is held
 * meanwhile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/sized.h"
#include "store/sqlite_store.h"

static const char origin_name[] = "origin "; /* and a log id: in `meta`, with the last position that was the same */

/* ---- what a restore wrote down ---- */

static int add_origin(sqlite_store *store, sqlite3_stmt *row, cafe_err *err) {
  const char *name = (const char *)sqlite3_column_text(row, 0);
  if (!name) {
    return sqlite_no_memory(err);
  }
  cafe_position *grown =
      store->allocator.resize(store->origins, (store->origin_count + 1) * sizeof(*grown), store->allocator.user);
  if (!grown) {
    return sqlite_no_memory(err);
  }
  store->origins = grown;
  grown[store->origin_count++] = (cafe_position){.log_id = strtoull(name + strlen(origin_name), NULL, 10),
                                                 .n = (uint64_t)sqlite3_column_int64(row, 1)};
  return CAFE_OK;
}

int sqlite_read_origins(sqlite_store *store, cafe_err *err) {
  bool found;
  sqlite3_stmt *statement = NULL;
  int step = SQLITE_DONE;
  int code = sqlite_number(store, store->writer, "SELECT value FROM meta WHERE name = 'restored_ms'",
                           &store->restored_ms, &found, err);
  if (code == CAFE_OK && found) {
    code = sqlite_prepare(store, store->writer, &statement, "SELECT name, value FROM meta WHERE name LIKE 'origin %'",
                          err);
  }
  while (code == CAFE_OK && statement && (step = sqlite_step(statement)) == SQLITE_ROW) {
    code = add_origin(store, statement, err);
  }
  if (code == CAFE_OK && step != SQLITE_DONE) {
    code = sqlite_fail(store, store->writer, err, "opening it");
  }
  sqlite3_finalize(statement);
  return code;
}

/* ---- the copy ---- */

static int fail_file(const char *path, int sqlite_code, cafe_err *err) {
  cafe_code code = sqlite_reaction(sqlite_code);
  return cafe_fail_detail(err, code, sqlite_code, "%s: %s. %s.", sqlite_short(path), sqlite3_errstr(sqlite_code),
                          code == CAFE_CORRUPT                  ? "It is damaged: restore an older backup"
                          : (sqlite_code & 0xff) == SQLITE_FULL ? "Free some space on the disk"
                                                                : "Check the disk");
}

/* Whether it is a backup, by its first page, which is one without damage. */
static int recognise(const char *path, const unsigned char *page, cafe_err *err) {
  if (memcmp(page, "SQLite format 3", 16) != 0 || sqlite_big(page + 68) != BACKUP_APPLICATION_ID) {
    bool is_store = memcmp(page, "SQLite format 3", 16) == 0 && sqlite_big(page + 68) == FILE_APPLICATION_ID;
    return cafe_fail(err, CAFE_INVALID, "%s is %s: name a file that cafe_node_backup made.", sqlite_short(path),
                     is_store ? "a store, and no backup" : "no backup");
  }
  return CAFE_OK;
}

static int copy_pages(const char *path, sqlite3_file *from, sqlite3_file *to, sqlite3_int64 size, const char *part,
                      cafe_err *err) {
  unsigned char page[FILE_PAGE_SIZE];
  for (sqlite3_int64 at = 0; at < size; at += FILE_PAGE_SIZE) {
    int code = from->pMethods->xRead(from, page, FILE_PAGE_SIZE, at);
    if (code != SQLITE_OK) {
      return fail_file(path, code, err);
    }
    if (at == 0) {
      code = recognise(path, page, err);
      if (code != CAFE_OK) {
        return code;
      }
      sqlite_set_header(page, FILE_APPLICATION_ID);
    }
    code = to->pMethods->xWrite(to, page, FILE_PAGE_SIZE, at);
    if (code != SQLITE_OK) {
      return fail_file(part, code, err);
    }
  }
  return CAFE_OK;
}

static int copy(const sqlite_store *store, const char *backup, const char *part, cafe_err *err) {
  sqlite_plain from;
  sqlite_plain to = {.store = store};
  sqlite3_int64 size = 0;
  int code = sqlite_plain_open(&from, store, backup, SQLITE_OPEN_READONLY);
  if (code != SQLITE_OK) {
    return fail_file(backup, code, err);
  }
  code = from.file->pMethods->xFileSize(from.file, &size);
  if (code != SQLITE_OK) {
    code = fail_file(backup, code, err);
  } else if (size == 0 || size % FILE_PAGE_SIZE != 0) {
    code =
        cafe_fail(err, size < FILE_PAGE_SIZE ? CAFE_INVALID : CAFE_CORRUPT,
                  "%s is no backup, or a part of one: name a file that cafe_node_backup made.", sqlite_short(backup));
  } else {
    code = sqlite_plain_open(&to, store, part, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    code = code == SQLITE_OK ? copy_pages(backup, from.file, to.file, size, part, err) : fail_file(part, code, err);
  }
  (void)sqlite_plain_close(&from);
  int closed = sqlite_plain_close(&to);
  return code == CAFE_OK && closed != SQLITE_OK ? fail_file(part, closed, err) : code;
}

/* ---- the checks ---- */

static int on_event(const cafe_stored_event *event, void *user) {
  *(int64_t *)user = event->time_ms;
  return CAFE_OK;
}

/* Every event, by the way that all others read them. */
static int check_log(sqlite_store *store, uint64_t *head, int64_t *last_ms, cafe_err *err) {
  cafe_log_query query = {.size = sizeof(query), .limit = UINT32_MAX};
  int code = sqlite_read_log(&store->base, &query, on_event, last_ms, err);
  *head = query.head;
  return code;
}

static int check_by_query(sqlite_store *store, const char *sql, const char *what, cafe_err *err) {
  int64_t one = 0;
  bool found = false;
  int code = sqlite_number(store, store->reader, sql, &one, &found, err);
  return code == CAFE_OK && found
             ? cafe_fail(err, CAFE_CORRUPT, "The backup is damaged (%s): restore an older one.", what)
             : code;
}

static int check(sqlite_store *store, uint64_t *head, int64_t *last_ms, cafe_err *err) {
  int code = sqlite_connect(store, &store->reader, SQLITE_OPEN_READONLY, err);
  if (code == CAFE_OK) {
    code = check_by_query(store, "SELECT 1 FROM pragma_integrity_check WHERE integrity_check != 'ok' LIMIT 1",
                          "a table or an index", err);
  }
  if (code == CAFE_OK) {
    code = check_log(store, head, last_ms, err);
  }
  if (code == CAFE_OK) {
    code = check_by_query(store,
                          "SELECT 1 FROM events GROUP BY \"key\", aggregate HAVING count(*) != max(version) LIMIT 1",
                          "a stream has a gap", err);
  }
  return code;
}

/* ---- the new life ---- */

static int renew(sqlite_store *store, uint64_t head, int64_t now_ms, cafe_err *err) {
  uint64_t log_id;
  int code = store_random_id(&log_id, err);
  if (code != CAFE_OK) {
    return code;
  }
  char *sql = sqlite3_mprintf(
      "BEGIN;"
      "INSERT OR REPLACE INTO meta(name, value) VALUES('%s%lld', %lld), ('restored_ms', %lld), ('log_id', %lld);"
      "UPDATE checkpoints SET log_id = %lld WHERE log_id = %lld;"
      "COMMIT",
      origin_name, (long long)store->log_id, (long long)head, (long long)now_ms, (long long)log_id, (long long)log_id,
      (long long)store->log_id);
  code = sql ? sqlite_exec(store, store->writer, sql, err) : sqlite_no_memory(err);
  sqlite3_free(sql);
  return code;
}

/* The store is `part` here: nobody else knows it. */
static int make(sqlite_store *store, int64_t now_ms, cafe_err *err) {
  uint64_t head = 0;
  int64_t last_ms = 0;
  bool is_new = false;
  int code = sqlite_connect(store, &store->writer, SQLITE_OPEN_READWRITE, err);
  if (code == CAFE_OK) {
    code = sqlite_exec(store, store->writer, "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF", err);
  }
  if (code == CAFE_OK) {
    code = sqlite_schema_identify(store, &is_new, err);
  }
  store->is_open = true; /* its reader may be used */
  if (code == CAFE_OK) {
    code = check(store, &head, &last_ms, err);
  }
  if (code == CAFE_OK && now_ms < last_ms) {
    code = cafe_fail(err, CAFE_INVALID,
                     "The clock is wrong: it is behind the backup's last event by %lld s. Set it: new keys follow it.",
                     (long long)(last_ms - now_ms) / 1000 + 1);
  }
  for (int i = 0; i < READER_STATEMENTS; i++) {
    sqlite3_finalize(store->reader_statements[i]);
    store->reader_statements[i] = NULL;
  }
  sqlite3_close(store->reader);
  store->reader = NULL;
  return code == CAFE_OK ? renew(store, head, now_ms, err) : code;
}

static int sync_file(const sqlite_store *store, const char *path, cafe_err *err) {
  sqlite_plain plain;
  int code = sqlite_plain_open(&plain, store, path, SQLITE_OPEN_READWRITE);
  if (code == SQLITE_OK) {
    code = plain.file->pMethods->xSync(plain.file, SQLITE_SYNC_FULL);
    int closed = sqlite_plain_close(&plain);
    code = code == SQLITE_OK ? closed : code;
  }
  return code == SQLITE_OK ? CAFE_OK : fail_file(path, code, err);
}

/* What SQLite would take for a part of the new store. */
static int require_alone(const sqlite_store *store, cafe_err *err) {
  static const char *const beside[] = {"", "-wal", "-journal"};
  for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
    char *name = sqlite3_mprintf("%s%s", store->file, beside[i]);
    if (!name) {
      return sqlite_no_memory(err);
    }
    struct stat status;
    bool is_there = lstat(name, &status) == 0;
    sqlite3_free(name);
    if (is_there) {
      return cafe_fail(err, CAFE_INVALID, "%s%s is there already: move the old store away, with all that is beside it.",
                       sqlite_short(store->path), beside[i]);
    }
  }
  return CAFE_OK;
}

/* The part is the store for as long as this takes. */
static int make_part(sqlite_store *store, char *part, const char *backup, int64_t now_ms, cafe_err *err) {
  char *file = store->file;
  int code = copy(store, backup, part, err);
  if (code == CAFE_OK) {
    store->file = part;
    code = make(store, now_ms, err);
    int closed = sqlite3_close(store->writer);
    store->writer = NULL;
    store->file = file;
    code = code == CAFE_OK && closed != SQLITE_OK ? fail_file(part, closed, err) : code;
  }
  return code == CAFE_OK ? sync_file(store, part, err) : code;
}

/* The store has the path's lock. */
static int restore_locked(sqlite_store *store, const char *backup, int64_t now_ms, cafe_err *err) {
  char *part = sqlite_part_name(store, store->file);
  int code = part ? require_alone(store, err) : sqlite_no_memory(err);
  if (code == CAFE_OK) {
    code = make_part(store, part, backup, now_ms, err);
    if (code == CAFE_OK) {
      code = sqlite_publish(store, part, store->file, err);
    } else {
      unlink(part);
    }
  }
  sqlite_free(store, part);
  return code;
}

static int find_backup(const char *backup, cafe_err *err) {
  if (backup && access(backup, R_OK) == 0) {
    return CAFE_OK;
  }
  int cause = backup ? errno : ENOENT;
  return cause == EACCES ? cafe_fail_detail(err, CAFE_DENIED, cause, "The backup %s can't be read: make it readable.",
                                            sqlite_short(backup))
                         : cafe_fail_detail(err, CAFE_NOT_FOUND, cause, "There is no backup %s.",
                                            sqlite_short(backup ? backup : "(none)"));
}

int sqlite_restore(const char *path, const char *backup, const cafe_sqlite_options *options, int64_t now_ms,
                   cafe_err *err) {
  cafe_store *made = NULL;
  sqlite_witness left;
  int code = find_backup(backup, err);
  if (code == CAFE_OK) {
    code = cafe_sqlite_create(&made, path, options, err);
  }
  if (code != CAFE_OK) {
    return code;
  }
  sqlite_store *store = (sqlite_store *)made;
  code = sqlite_find_file(store, err);
  if (code == CAFE_OK) {
    code = sqlite_lock_take(&store->lock, &left, store, "a restore", err);
  }
  if (code == CAFE_OK) {
    store->pages = sqlite_pages_create(sqlite3_vfs_find(store->vfs_name), &store->allocator);
    code = store->pages ? restore_locked(store, backup, now_ms, err) : sqlite_no_memory(err);
    sqlite_lock_release(&store->lock, store, code == CAFE_OK);
  }
  store->is_open = false;
  cafe_store_destroy(made);
  return code;
}

static int64_t utc_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int cafe_sqlite_restore(const char *path, const char *backup, cafe_err *err) {
  return sqlite_restore(path, backup, NULL, utc_ms(), err);
}
