/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A store in one SQLite file. What the backend promises rests on five things, each kept by a file of its own:
 *
 *   - one node per file, so that the writer's memory of versions is the truth (sqlite_lock.c, sqlite_known.c);
 *   - a batch is one transaction in WAL mode, synced before it is acknowledged (sqlite_commit.c);
 *   - what a crash left in the WAL is checked before SQLite sees it, because SQLite takes damage for the end
 *     (sqlite_wal.c);
 *   - each page and each event carries a checksum (sqlite_pages.c, sqlite_checksum.c);
 *   - a reader has a connection of its own, and with it a snapshot (sqlite_read.c), and so has a backup
 *     (sqlite_backup.c).
 *
 * Opening goes from what costs nothing to undo to what does: the lock, the WAL as it lies there, SQLite's recovery, the
 * comparison with what was acknowledged, the migration, and last a checkpoint, which writes out anew all that the WAL
 * held: after a sync that failed the system may hold pages in memory that it believes to be on the disk, and are not.
 */
#include <stdio.h>
#include <string.h>

#include "base/sized.h"
#include "store/sqlite_store.h"

/* ---- memory ---- */

void *sqlite_alloc(const sqlite_store *store, size_t size) {
  void *memory = store->allocator.resize(NULL, size, store->allocator.user);
  if (memory) {
    memset(memory, 0, size);
  }
  return memory;
}

void sqlite_free(const sqlite_store *store, void *memory) {
  if (memory) {
    store->allocator.resize(memory, 0, store->allocator.user);
  }
}

char *sqlite_copy_text(const sqlite_store *store, const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = sqlite_alloc(store, size);
  if (copy) {
    memcpy(copy, text, size);
  }
  return copy;
}

int sqlite_no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "No memory for the SQLite store."); }

/* ---- failures ---- */

cafe_code sqlite_reaction(int sqlite_code) {
  switch (sqlite_code) {
  case SQLITE_IOERR_DATA:
  case SQLITE_IOERR_CORRUPTFS:
  case SQLITE_IOERR_SHORT_READ:
    return CAFE_CORRUPT;
  case SQLITE_IOERR_NOMEM:
    return CAFE_NOMEM;
  default:
    break;
  }
  switch (sqlite_code & 0xff) {
  case SQLITE_CORRUPT:
    return CAFE_CORRUPT;
  case SQLITE_NOTADB:
    return CAFE_INVALID; /* what was a store of ours fails by its first page's checksum (sqlite_pages.c) */
  case SQLITE_NOMEM:
    return CAFE_NOMEM;
  case SQLITE_READONLY:
  case SQLITE_PERM:
  case SQLITE_AUTH:
    return CAFE_DENIED;
  case SQLITE_TOOBIG:
    return CAFE_INVALID;
  default:
    return CAFE_UNAVAILABLE;
  }
}

static const char *remedy_of(int sqlite_code) {
  switch (sqlite_reaction(sqlite_code)) {
  case CAFE_CORRUPT:
    return "The file is damaged: restore it from a backup";
  case CAFE_DENIED:
    return "Make the file and its folder writable";
  case CAFE_NOMEM:
    return "Free some memory";
  case CAFE_INVALID:
    return (sqlite_code & 0xff) == SQLITE_NOTADB ? "Name another file" : "Make it smaller";
  default:
    break;
  }
  switch (sqlite_code & 0xff) {
  case SQLITE_FULL:
    return "Free some space on the disk";
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return "End the transaction that another program has open on it";
  case SQLITE_IOERR:
  case SQLITE_CANTOPEN:
    return "Check the disk";
  default:
    return "Try again";
  }
}

const char *sqlite_short(const char *path) {
  enum { SHOWN = 90 };
  size_t size = strlen(path);
  return size > SHOWN ? path + size - SHOWN : path;
}

int sqlite_fail(const sqlite_store *store, sqlite3 *db, cafe_err *err, const char *doing) {
  int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
  return cafe_fail_detail(err, sqlite_reaction(code), code, "%s: SQLite failed while %s: %s. %s.",
                          sqlite_short(store->path), doing, db ? sqlite3_errmsg(db) : sqlite3_errstr(code),
                          remedy_of(code));
}

/* ---- statements ---- */

int sqlite_prepare(const sqlite_store *store, sqlite3 *db, sqlite3_stmt **kept, const char *sql, cafe_err *err) {
  if (!*kept && sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, kept, NULL) != SQLITE_OK) {
    return sqlite_fail(store, db, err, "preparing a statement");
  }
  return CAFE_OK;
}

int sqlite_step(sqlite3_stmt *statement) {
  /* A reader that meets a commit half shown looks again, a hundred times in ten seconds, and then it is
   * SQLITE_PROTOCOL: the writer has lost the processor for all that time, or the lock's holder is stopped. Nothing has
   * been read or written yet, since only the beginning of a transaction fails so. */
  enum { ROUNDS = 3 };
  int code = sqlite3_step(statement);
  for (int round = 1; (code & 0xff) == SQLITE_PROTOCOL && round < ROUNDS; round++) {
    sqlite3_reset(statement);
    code = sqlite3_step(statement);
  }
  return code;
}

int sqlite_exec(const sqlite_store *store, sqlite3 *db, const char *sql, cafe_err *err) {
  return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? CAFE_OK : sqlite_fail(store, db, err, "setting it up");
}

int sqlite_number(const sqlite_store *store, sqlite3 *db, const char *sql, int64_t *out, bool *found, cafe_err *err) {
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  if (code == SQLITE_OK) {
    code = sqlite_step(statement);
  }
  *found = code == SQLITE_ROW;
  *out = *found ? sqlite3_column_int64(statement, 0) : 0;
  code = *found || code == SQLITE_DONE ? CAFE_OK : sqlite_fail(store, db, err, "looking into it");
  sqlite3_finalize(statement);
  return code;
}

/* ---- open ---- */

static void close_lists(sqlite_store *store) {
  for (uint32_t i = 0; i < LISTS_KEPT; i++) {
    sqlite3_finalize(store->lists[i].statement);
    sqlite3_free(store->lists[i].sql);
    store->lists[i] = (sqlite_list){NULL, NULL};
  }
}

static void close_tables(sqlite_store *store) {
  for (uint32_t i = 0; i < store->place_count; i++) {
    sqlite_table *table = &store->tables[i];
    for (int k = 0; k < ROW_STATEMENTS; k++) {
      sqlite3_finalize(table->statements[k]);
    }
  }
  sqlite_free(store, store->tables);
  store->tables = NULL;
  store->table_count = store->place_count = 0;
}

/* Whether the WAL is still there: another program has the file open too, or it couldn't be copied. */
static bool has_wal(const sqlite_store *store) {
  sqlite3_vfs *vfs = sqlite3_vfs_find(store->vfs_name);
  char *path = store->file ? sqlite3_mprintf("%s-wal", store->file) : NULL;
  int is_there = 1;
  if (vfs && path && vfs->xAccess(vfs, path, SQLITE_ACCESS_EXISTS, &is_there) != SQLITE_OK) {
    is_there = 1;
  }
  sqlite3_free(path);
  return is_there != 0;
}

void sqlite_close_files(sqlite_store *store, bool in_order) {
  for (int i = 0; i < READER_STATEMENTS; i++) {
    sqlite3_finalize(store->reader_statements[i]);
    store->reader_statements[i] = NULL;
  }
  for (int i = 0; i < WRITER_STATEMENTS; i++) {
    sqlite3_finalize(store->writer_statements[i]);
    store->writer_statements[i] = NULL;
  }
  close_lists(store);
  close_tables(store);
  sqlite3_close(store->reader);
  store->reader = NULL;
  if (store->writer && !in_order && !store->lock.is_blank) {
    sqlite3_db_config(store->writer, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  }
  sqlite3_close(store->writer);
  store->writer = NULL;
  sqlite_pages_destroy(store->pages);
  store->pages = NULL;
  sqlite_lock_release(&store->lock, store, in_order && !has_wal(store));
  sqlite_free(store, store->file);
  store->file = NULL;
  sqlite_free(store, store->row);
  store->row = NULL;
  sqlite_known_destroy(store->known);
  store->known = NULL;
  sqlite_free(store, store->origins);
  store->origins = NULL;
  store->origin_count = 0;
}

int sqlite_find_file(sqlite_store *store, cafe_err *err) {
  sqlite3_vfs *vfs = sqlite3_vfs_find(store->vfs_name);
  if (!vfs) {
    return cafe_fail(err, CAFE_INVALID, "SQLite has no VFS %s: register it before the store is opened.",
                     store->vfs_name ? store->vfs_name : "");
  }
  store->file = sqlite_alloc(store, (size_t)vfs->mxPathname + 1);
  if (!store->file) {
    return sqlite_no_memory(err);
  }
  int code = vfs->xFullPathname(vfs, store->path, vfs->mxPathname + 1, store->file);
  if (code != SQLITE_OK && code != SQLITE_OK_SYMLINK) {
    return cafe_fail_detail(err, CAFE_INVALID, code, "%s is no path of a file: %s.", sqlite_short(store->path),
                            sqlite3_errstr(code));
  }
  return CAFE_OK;
}

int sqlite_connect(const sqlite_store *store, sqlite3 **db, int flags, cafe_err *err) {
  int code = sqlite3_open_v2(store->file, db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                             sqlite_pages_name(store->pages));
  if (code != SQLITE_OK) {
    return sqlite_fail(store, *db, err, "opening it");
  }
  sqlite3_busy_timeout(*db, FILE_BUSY_MS);
  sqlite3_db_config(*db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  sqlite3_db_config(*db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  /* A view or a trigger that somebody made by hand is left as it is when a table takes another's name. */
  sqlite3_db_config(*db, SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, 1, NULL);
  return sqlite_exec(store, *db, "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY", err);
}

static int count_frames(void *user, sqlite3 *db, const char *schema, int frames) {
  (void)db;
  (void)schema;
  ((sqlite_store *)user)->wal_frames = frames;
  return SQLITE_OK;
}

static int configure_writer(sqlite_store *store, cafe_err *err) {
  /* In WAL mode EXTRA is FULL. Before that, while the file is made, it also makes the journal's end durable: one that
   * came back after a power loss would undo the whole file. */
  static const char *const sync[] = {"EXTRA", "NORMAL", "OFF"};
  char sql[256];
  int reserved = FILE_PAGE_RESERVED;
  sqlite3_file_control(store->writer, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
  snprintf(sql, sizeof(sql),
           "PRAGMA page_size = %d; PRAGMA synchronous = %s; PRAGMA cache_size = -%u; PRAGMA journal_size_limit = %d",
           FILE_PAGE_SIZE, sync[store->sync], (unsigned)store->cache_kib, 4 * WAL_PAGES * FILE_PAGE_SIZE);
  int code = sqlite_exec(store, store->writer, sql, err);
  if (code == CAFE_OK && sqlite3_db_readonly(store->writer, "main")) {
    code = cafe_fail(err, CAFE_DENIED, "%s is read-only: make the file and its folder writable.",
                     sqlite_short(store->path));
  }
  /* The checkpoint is the writer's own, after a commit: SQLite's hook would run it before the batch is accounted for.
   */
  sqlite3_wal_hook(store->writer, count_frames, store);
  return code;
}

/* The mode's name comes as a row before the change is written, so the row proves nothing: it is asked for again. */
static int enter_wal(sqlite_store *store, cafe_err *err) {
  int64_t is_wal = 0;
  bool found;
  int code = sqlite_exec(store, store->writer, "PRAGMA journal_mode = WAL", err);
  if (code == CAFE_OK) {
    code = sqlite_number(store, store->writer, "SELECT journal_mode = 'wal' FROM pragma_journal_mode", &is_wal, &found,
                         err);
  }
  if (code == CAFE_OK && !is_wal) {
    code =
        cafe_fail(err, CAFE_UNSUPPORTED, "%s can't have a write-ahead log there: its file system has no shared memory.",
                  sqlite_short(store->path));
  }
  return code;
}

static int take_tables(sqlite_store *store, const cafe_store_setup *setup, cafe_err *err) {
  size_t width = 1;
  while (setup->tables[store->table_count]) {
    const cafe_schema *row = setup->tables[store->table_count++]->row;
    width = row->width > width ? row->width : width;
  }
  store->place_count = 3 * store->table_count; /* each may have two shadows */
  store->tables = sqlite_alloc(store, (store->place_count + 1) * sizeof(*store->tables));
  store->row = sqlite_alloc(store, width);
  store->known = sqlite_known_create(&store->allocator);
  if (!store->tables || !store->row || !store->known) {
    if (!store->tables) {
      store->table_count = store->place_count = 0;
    }
    return sqlite_no_memory(err);
  }
  for (uint32_t i = 0; i < store->table_count; i++) {
    store->tables[i].table = setup->tables[i];
  }
  return CAFE_OK;
}

static int open_reader(sqlite_store *store, cafe_err *err) {
  int code = sqlite_connect(store, &store->reader, SQLITE_OPEN_READONLY, err);
  if (code == CAFE_OK) {
    code = sqlite_exec(store, store->reader, "PRAGMA cache_size = -8192", err);
  }
  return code;
}

/* Recovery has run. Is everything there that the last holder knew to be durable? */
static int compare(sqlite_store *store, const sqlite_witness *left, cafe_err *err) {
  int64_t head = 0;
  bool found;
  int code = sqlite_number(store, store->writer, "SELECT max(position) FROM events", &head, &found, err);
  if (code == CAFE_OK && left->log_id == store->log_id && (uint64_t)head < left->head) {
    code = cafe_fail(err, CAFE_CORRUPT,
                     "%s ends at position %lld, but %llu was acknowledged: its WAL is gone, or it is an older copy. "
                     "Restore it, or remove the -lock file to accept the loss.",
                     sqlite_short(store->path), (long long)head, (unsigned long long)left->head);
  }
  return code;
}

/* Everything that the WAL holds is written out anew, and is durable then. Another program that reads meanwhile may
 * prevent that (*is_done), which does no harm but that less is known. */
static int renew(sqlite_store *store, bool *is_done, cafe_err *err) {
  sqlite3_busy_timeout(store->writer, 0);
  int code = sqlite3_wal_checkpoint_v2(store->writer, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
  sqlite3_busy_timeout(store->writer, FILE_BUSY_MS);
  store->wal_frames = 0;
  *is_done = code == SQLITE_OK;
  return *is_done || (code & 0xff) == SQLITE_BUSY ? CAFE_OK : sqlite_fail(store, store->writer, err, "recovering it");
}

/* From here on the lock file speaks for this holder. Of what isn't renewed only that is sure which was before. */
static int testify_first(sqlite_store *store, const sqlite_witness *left, bool is_renewed, cafe_err *err) {
  sqlite_witness witness = {.is_relaxed = store->sync != CAFE_SQLITE_FULL};
  if (!witness.is_relaxed && is_renewed) {
    witness.log_id = store->log_id;
    witness.head = store->head;
  } else if (!witness.is_relaxed) {
    witness = *left;
    witness.log_id = left->is_relaxed ? 0 : store->log_id;
  }
  return sqlite_lock_write(&store->lock, store, &witness, true, err);
}

static int open_writer(sqlite_store *store, const cafe_store_setup *setup, const sqlite_witness *left, cafe_err *err) {
  bool is_new = false;
  sqlite3_vfs *vfs = sqlite3_vfs_find(store->vfs_name);
  int code = sqlite_wal_check(store, vfs, left, err);
  if (code == CAFE_OK) {
    store->pages = sqlite_pages_create(vfs, &store->allocator);
    code = store->pages ? CAFE_OK : sqlite_no_memory(err);
  }
  if (code == CAFE_OK) {
    code = sqlite_connect(store, &store->writer, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err);
  }
  if (code == CAFE_OK) {
    code = configure_writer(store, err);
  }
  if (code == CAFE_OK) {
    code = sqlite_schema_identify(store, &is_new, err);
  }
  if (code == CAFE_OK && !is_new) {
    code = compare(store, left, err);
  }
  if (code == CAFE_OK) {
    code = sqlite_schema_open(store, setup, is_new, err);
  }
  return code == CAFE_OK ? enter_wal(store, err) : code;
}

static int open_files(sqlite_store *store, const cafe_store_setup *setup, cafe_err *err) {
  sqlite_witness left;
  bool is_renewed = false;
  int code = sqlite_find_file(store, err);
  if (code == CAFE_OK) {
    code = sqlite_lock_take(&store->lock, &left, store, setup->owner ? setup->owner : "cafe", err);
  }
  if (code == CAFE_OK) {
    left.is_relaxed |= left.log_id == 0 && store->sync != CAFE_SQLITE_FULL;
    code = open_writer(store, setup, &left, err);
  }
  if (code == CAFE_OK) {
    code = renew(store, &is_renewed, err);
  }
  if (code == CAFE_OK) {
    code = sqlite_read_origins(store, err);
  }
  if (code == CAFE_OK) {
    code = take_tables(store, setup, err);
  }
  if (code == CAFE_OK) {
    code = sqlite_writer_begin(store, err);
  }
  if (code == CAFE_OK) {
    code = open_reader(store, err);
  }
  return code == CAFE_OK ? testify_first(store, &left, is_renewed, err) : code;
}

static int sqlite_open(cafe_store *self, cafe_store_info *out, const cafe_store_setup *setup, cafe_err *err) {
  sqlite_store *store = (sqlite_store *)self;
  if (store->is_open) {
    return cafe_fail(err, CAFE_INVALID, "%s is open already.", sqlite_short(store->path));
  }
  atomic_store(&store->refuses, false);
  int code = open_files(store, setup, err);
  if (code != CAFE_OK) {
    sqlite_close_files(store, false);
    return code;
  }
  store->is_open = true;
  out->log_id = store->log_id;
  out->shards = 1;
  out->partitions = CAFE_PARTITIONS;
  if (out->size >= SIZED_UNTIL(cafe_store_info, origin_count)) {
    out->restored_ms = store->restored_ms;
    out->origins = store->origins;
    out->origin_count = store->origin_count;
  }
  return CAFE_OK;
}

static void sqlite_destroy(cafe_store *self) {
  sqlite_store *store = (sqlite_store *)self;
  sqlite_close_files(store, store->is_open && !atomic_load(&store->refuses));
  sqlite_free(store, store->vfs_name);
  sqlite_free(store, store->path);
  sqlite_free(store, store);
}

static bool sqlite_is_lost(const cafe_store *self) { return atomic_load(&((const sqlite_store *)self)->refuses); }

static const cafe_store_ops sqlite_ops = {
    .size = sizeof(cafe_store_ops),
    .name = "sqlite",
    .is_inline = false,
    .open = sqlite_open,
    .commit = sqlite_commit,
    .load = sqlite_load,
    .read_log = sqlite_read_log,
    .read_rows = sqlite_read_rows,
    .read_key = sqlite_read_key,
    .read_checkpoints = sqlite_read_checkpoints,
    .destroy = sqlite_destroy,
    .read_changes = sqlite_read_changes,
    .is_lost = sqlite_is_lost,
    .backup = sqlite_backup,
    .end_backup = sqlite_end_backup,
    .forget_keys = sqlite_forget_keys,
    .make_shadow = sqlite_make_shadow,
    .drop_shadow = sqlite_drop_shadow,
    .replace = sqlite_replace,
};

int sqlite_check_usable(const sqlite_store *store, cafe_err *err) {
  if (!store->is_open) {
    return cafe_fail(err, CAFE_INVALID, "%s isn't open.", sqlite_short(store->path));
  }
  if (atomic_load(&store->refuses)) {
    return cafe_fail(
        err, CAFE_UNAVAILABLE,
        "%s: an earlier write failed in a way that leaves open whether it is durable: open the store anew.",
        sqlite_short(store->path));
  }
  return CAFE_OK;
}

int cafe_sqlite_create(cafe_store **out, const char *path, const cafe_sqlite_options *options, cafe_err *err) {
  cafe_sqlite_options all = CAFE_SQLITE_OPTIONS_INIT;
  int code = options ? SIZED_READ(&all, options, cafe_sqlite_options, vfs, "CAFE_SQLITE_OPTIONS_INIT", err) : CAFE_OK;
  if (code) {
    return code;
  }
  if (!path || !path[0] || path[0] == ':') {
    return cafe_fail(err, CAFE_INVALID, "The SQLite store needs the path of a file.");
  }
  if (all.sync < CAFE_SQLITE_FULL || all.sync > CAFE_SQLITE_OFF) {
    return cafe_fail(err, CAFE_INVALID, "%d is no cafe_sqlite_sync.", (int)all.sync);
  }
  const cafe_allocator *allocator = all.allocator ? all.allocator : cafe_allocator_default();
  sqlite_store *store = allocator->resize(NULL, sizeof(*store), allocator->user);
  if (!store) {
    return sqlite_no_memory(err);
  }
  memset(store, 0, sizeof(*store));
  store->base.ops = &sqlite_ops;
  store->allocator = *allocator;
  store->sync = all.sync;
  store->cache_kib = all.cache_kib ? all.cache_kib : 65536;
  store->lock.fd = -1;
  store->path = sqlite_copy_text(store, path);
  store->vfs_name = all.vfs ? sqlite_copy_text(store, all.vfs) : NULL;
  if (!store->path || (all.vfs && !store->vfs_name)) {
    sqlite_destroy(&store->base);
    return sqlite_no_memory(err);
  }
  *out = &store->base;
  return CAFE_OK;
}
