/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A copy of the file while it is used, by SQLite's backup interface (sqlite.org/backup.html), a piece in each call.
 *
 * It reads by a connection of its own, that holds one read transaction from the first call to the last: so the copy is
 * of one commit, and nobody's write makes it begin anew. A reader stops no writer of a WAL. But what was committed
 * after its snapshot can't be copied from the WAL into the file past it, and the WAL can't begin anew: it grows by
 * whatever is written until the backup is over, and the next checkpoint after that empties it.
 *
 * What must never be is half a backup that somebody takes for one. It is written under a name that nobody asks for, and
 * has none of what makes a crash harmless, no journal and no order of writes. When it is whole it is marked as a
 * backup, synced, and only then gets its name. A crash leaves nothing under that name, or the whole; before, a file
 * PATH.<16 digits>.part, which nobody needs.
 *
 * A backup isn't a store: it has the log id of the log that goes on without it, so it is marked, and the store refuses
 * it. A restore makes a store of it (sqlite_restore.c).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/remedy.h"
#include "store/sqlite_store.h"

enum {
  PIECE_PAGES = 256, /* 1 MiB: some milliseconds */
  SYNC_PIECES = 16   /* so that the last sync has no more to do than the others */
};

typedef struct backup_run {
  char *file;
  char *part; /* NULL: it has its name, or isn't there */
  sqlite3 *source;
  sqlite3 *target;
  sqlite3_backup *copy;
  uint32_t pieces;
} backup_run;

/* ---- files beside the store's ---- */

static int require_absent(const char *file, cafe_err *err) {
  struct stat status;
  return lstat(file, &status) != 0
             ? CAFE_OK
             : cafe_fail(err, CAFE_INVALID, "%s is there already: name another file.", sqlite_short(file));
}

char *sqlite_part_name(const sqlite_store *store, const char *file) {
  uint64_t number;
  size_t size = strlen(file) + sizeof(".0123456789abcdef.part");
  char *name = sqlite_alloc(store, size);
  sqlite3_randomness(sizeof(number), &number);
  if (name) {
    snprintf(name, size, "%s.%016llx.part", file, (unsigned long long)number);
  }
  return name;
}

int sqlite_publish(const sqlite_store *store, const char *part, const char *file, cafe_err *err) {
  int code = require_absent(file, err);
  if (code == CAFE_OK && rename(part, file) != 0) {
    int cause = errno;
    code = cafe_fail_detail(err, CAFE_UNAVAILABLE, cause, "%s can't be given its name: %s; %s.", sqlite_short(file),
                            strerror(cause), remedy_of_file(cause));
  }
  if (code != CAFE_OK) {
    unlink(part);
    return code;
  }
  code = sqlite_sync_folder(store, file);
  if (code != CAFE_OK) {
    int cause = errno;
    unlink(file);
    cafe_fail_detail(err, (cafe_code)code, cause, "The folder of %s can't be synced: %s; %s.", sqlite_short(file),
                     strerror(cause), remedy_of_file(cause));
  }
  return code;
}

int sqlite_plain_open(sqlite_plain *out, const sqlite_store *store, const char *path, int flags) {
  sqlite3_vfs *vfs = sqlite3_vfs_find(sqlite_pages_name(store->pages));
  int code = SQLITE_NOMEM;
  *out = (sqlite_plain){.store = store, .name = sqlite3_create_filename(path, "", "", 0, NULL)};
  out->file = vfs ? sqlite_alloc(store, (size_t)vfs->szOsFile) : NULL;
  if (out->name && out->file) {
    int given;
    code = vfs->xOpen(vfs, out->name, out->file, flags | SQLITE_OPEN_MAIN_DB, &given);
  }
  if (code != SQLITE_OK) {
    (void)sqlite_plain_close(out);
  }
  return code;
}

int sqlite_plain_close(sqlite_plain *plain) {
  int code = SQLITE_OK;
  if (plain->file && plain->file->pMethods) {
    code = plain->file->pMethods->xClose(plain->file);
  }
  sqlite_free(plain->store, plain->file);
  sqlite3_free_filename(plain->name);
  plain->file = NULL;
  plain->name = NULL;
  return code;
}

void sqlite_set_header(unsigned char *page, uint32_t application_id) {
  page[18] = page[19] = 1; /* no WAL (sqlite.org/fileformat2.html, section 1.3) */
  for (int i = 0; i < 4; i++) {
    page[68 + i] = (unsigned char)(application_id >> (24 - 8 * i));
  }
}

/* ---- one backup ---- */

static int fail_copy(const sqlite_store *store, const char *file, int sqlite_code, cafe_err *err) {
  cafe_code code = sqlite_reaction(sqlite_code);
  if (code == CAFE_CORRUPT) {
    return cafe_fail_detail(err, code, sqlite_code, "%s is damaged, and can't be backed up: restore an older backup.",
                            sqlite_short(store->path));
  }
  bool is_full = (sqlite_code & 0xff) == SQLITE_FULL;
  return cafe_fail_detail(err, code == CAFE_INVALID ? CAFE_UNAVAILABLE : code, sqlite_code,
                          "The backup %s can't be written: %s. %s.", sqlite_short(file), sqlite3_errstr(sqlite_code),
                          is_full               ? "Free some space on its disk"
                          : code == CAFE_DENIED ? "Make its folder writable"
                                                : "Check its disk");
}

static void end(const sqlite_store *store, backup_run *run) {
  sqlite3_backup_finish(run->copy);
  sqlite3_close(run->target);
  sqlite3_close(run->source);
  if (run->part) {
    unlink(run->part);
  }
  sqlite_free(store, run->part);
  sqlite_free(store, run->file);
  sqlite_free(store, run);
}

static int find_place(const sqlite_store *store, backup_run *run, const char *path, cafe_err *err) {
  sqlite3_vfs *vfs = sqlite3_vfs_find(store->vfs_name);
  run->file = vfs ? sqlite_alloc(store, (size_t)vfs->mxPathname + 1) : NULL;
  if (!run->file) {
    return sqlite_no_memory(err);
  }
  int code = path && path[0] ? vfs->xFullPathname(vfs, path, vfs->mxPathname + 1, run->file) : SQLITE_CANTOPEN;
  if (code != SQLITE_OK && code != SQLITE_OK_SYMLINK) {
    return cafe_fail_detail(err, CAFE_INVALID, code, "%s is no path of a file.", sqlite_short(path ? path : "(none)"));
  }
  code = require_absent(run->file, err);
  if (code == CAFE_OK) {
    run->part = sqlite_part_name(store, run->file);
    code = run->part ? CAFE_OK : sqlite_no_memory(err);
  }
  return code;
}

/* From here on the copy is of what is committed now. */
static int open_source(const sqlite_store *store, backup_run *run, cafe_err *err) {
  int64_t unused;
  bool found;
  int code = sqlite_connect(store, &run->source, SQLITE_OPEN_READONLY, err);
  if (code == CAFE_OK) {
    code = sqlite_exec(store, run->source, "PRAGMA cache_size = -2048; BEGIN", err);
  }
  return code == CAFE_OK ? sqlite_number(store, run->source, "SELECT count(*) FROM meta", &unused, &found, err) : code;
}

static int open_target(const sqlite_store *store, backup_run *run, cafe_err *err) {
  int code = sqlite3_open_v2(run->part, &run->target,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                             sqlite_pages_name(store->pages));
  if (code == SQLITE_OK) {
    code = sqlite3_exec(run->target,
                        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                        "PRAGMA cache_size = -2048",
                        NULL, NULL, NULL);
  }
  if (code == SQLITE_OK) {
    run->copy = sqlite3_backup_init(run->target, "main", run->source, "main");
    code = run->copy ? SQLITE_OK : sqlite3_extended_errcode(run->target);
  }
  return code == SQLITE_OK ? CAFE_OK : fail_copy(store, run->file, code, err);
}

static int begin(const sqlite_store *store, backup_run **out, const char *path, cafe_err *err) {
  backup_run *run = sqlite_alloc(store, sizeof(*run));
  if (!run) {
    return sqlite_no_memory(err);
  }
  int code = find_place(store, run, path, err);
  if (code == CAFE_OK) {
    code = open_source(store, run, err);
  }
  if (code == CAFE_OK) {
    code = open_target(store, run, err);
  }
  if (code != CAFE_OK) {
    end(store, run);
    return code;
  }
  *out = run;
  return CAFE_OK;
}

static int sync_target(const backup_run *run) {
  sqlite3_file *file = NULL;
  int code = sqlite3_file_control(run->target, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  return code == SQLITE_OK && file && file->pMethods ? file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) : code;
}

/* All pages are there: marks it as a backup, and makes it durable. */
static int seal(const sqlite_store *store, backup_run *run) {
  sqlite_plain part;
  unsigned char page[FILE_PAGE_SIZE];
  int code = sqlite3_backup_finish(run->copy);
  run->copy = NULL;
  int closed = sqlite3_close(run->target);
  run->target = NULL;
  code = code == SQLITE_OK ? closed : code;
  if (code == SQLITE_OK) {
    code = sqlite_plain_open(&part, store, run->part, SQLITE_OPEN_READWRITE);
  }
  if (code != SQLITE_OK) {
    return code;
  }
  const sqlite3_io_methods *methods = part.file->pMethods;
  code = methods->xRead(part.file, page, FILE_PAGE_SIZE, 0);
  if (code == SQLITE_OK) {
    sqlite_set_header(page, BACKUP_APPLICATION_ID);
    code = methods->xWrite(part.file, page, FILE_PAGE_SIZE, 0);
  }
  if (code == SQLITE_OK) {
    code = methods->xSync(part.file, SQLITE_SYNC_FULL);
  }
  closed = sqlite_plain_close(&part);
  return code == SQLITE_OK ? closed : code;
}

static int go_on(const sqlite_store *store, backup_run *run, bool *is_done, cafe_err *err) {
  int code = sqlite3_backup_step(run->copy, PIECE_PAGES);
  if (code == SQLITE_OK && ++run->pieces % SYNC_PIECES == 0) {
    code = sync_target(run);
  }
  if (code == SQLITE_OK) {
    return CAFE_OK;
  }
  if (code == SQLITE_DONE) {
    code = seal(store, run);
  }
  if (code != SQLITE_OK) {
    return fail_copy(store, run->file, code, err);
  }
  code = sqlite_publish(store, run->part, run->file, err);
  sqlite_free(store, run->part);
  run->part = NULL;
  *is_done = code == CAFE_OK;
  return code;
}

int sqlite_backup(cafe_store *self, cafe_backup *backup, cafe_err *err) {
  sqlite_store *store = (sqlite_store *)self;
  backup_run *run = backup->store_data;
  int code = sqlite_check_usable(store, err);
  if (code == CAFE_OK && !run) {
    code = begin(store, &run, backup->path, err);
  }
  if (code == CAFE_OK) {
    code = go_on(store, run, &backup->is_done, err);
  }
  bool is_over = code != CAFE_OK || backup->is_done;
  if (is_over && run) {
    end(store, run);
  }
  backup->store_data = is_over ? NULL : run;
  return code;
}

void sqlite_end_backup(cafe_store *self, cafe_backup *backup) {
  if (backup->store_data) {
    end((sqlite_store *)self, backup->store_data);
    backup->store_data = NULL;
  }
}
