/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_STORE_SQLITE_H
#define CAFE_STORE_SQLITE_H

#include "cafe/node.h"

CAFE_BEGIN_DECLS

typedef enum cafe_sqlite_sync {
  CAFE_SQLITE_FULL = 0,   /* every acknowledged unit survives power loss */
  CAFE_SQLITE_NORMAL = 1, /* a power cut may lose the last commits, a crash of the process none */
  CAFE_SQLITE_OFF = 2     /* a power cut may damage the file */
} cafe_sqlite_sync;

typedef struct cafe_sqlite_options {
  size_t size;
  const cafe_allocator *allocator; /* COPY; NULL: malloc. SQLite itself allocates by its own means */
  cafe_sqlite_sync sync;
  uint32_t cache_kib; /* page cache of the writer. 0: 65,536 */
  const char *vfs;    /* name of a registered sqlite3_vfs; NULL: SQLite's default */
} cafe_sqlite_options;

#define CAFE_SQLITE_OPTIONS_INIT                                                                                       \
  { sizeof(cafe_sqlite_options), NULL, CAFE_SQLITE_FULL, 0, NULL }

/* A store in one SQLite file (WAL mode), made if it isn't there; its folder must exist, and not be on a network file
 * system. Opening is the node's start. options may be NULL. OWN: cafe_store_destroy. CAFE_INVALID, CAFE_NOMEM.
 * Since 0.1. */
CAFE_EXPORT int cafe_sqlite_create(cafe_store **out, const char *path, const cafe_sqlite_options *options,
                                   cafe_err *err);

/* Makes a store at `path` of a backup that cafe_node_backup made. It blocks for as long as reading the backup twice
 * takes: pages, indexes, and each event are checked. The store has a log id of its own, and its own views and policies
 * go on where they stood; new keys begin far above any that the log can have given out since the backup, by the
 * system's clock. The backup stays as it is, and may be restored again. Durable, and whole: a crash leaves nothing at
 * `path`, or the store, and maybe a file PATH.<16 digits>.part, which nobody needs.
 *
 * CAFE_INVALID: there is something at `path` already, or beside it (-wal, -journal), `backup` isn't one, or the clock
 * is behind the backup's last event; CAFE_NOT_FOUND: there is no such backup or folder; CAFE_CORRUPT: the backup is
 * damaged; CAFE_UNSUPPORTED: a newer version made it; CAFE_DENIED (another process is about to have a store there, or a
 * permission is missing), CAFE_UNAVAILABLE (the disk), CAFE_NOMEM. THREADSAFE. Since 0.1. */
CAFE_EXPORT int cafe_sqlite_restore(const char *path, const char *backup, cafe_err *err);

CAFE_END_DECLS

#endif
