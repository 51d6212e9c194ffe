/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A checksum on each page of the file, by a VFS between SQLite and the one that it is given. An event's own checksum
 * finds a damaged event, but not an index that leaves one out, nor a saga's row; this finds any.
 *
 * Each page keeps its last eight bytes free for it (SQLITE_FCNTL_RESERVE_BYTES, set when the file is made). A page is
 * stamped when it is written to the file, which in WAL mode is when a checkpoint does it, and verified when it is read
 * from there. The WAL has checksums of its own, which sqlite_wal.c verifies.
 *
 * The invariant that makes this harmless to others: a page in memory has zeros in those bytes, so that frames in the
 * WAL have them too. If another program copies a crashed node's WAL into the file (the sqlite3 shell does, when it is
 * closed), pages come there without a stamp; zeros are therefore taken for "not stamped", and such a page is believed.
 * What other programs must not do is change rows themselves while no node has the file.
 *
 * The sums are made as those of the WAL are (sqlite.org/fileformat2.html, section 4.2).
 */
#include <stdio.h>
#include <string.h>

#include "store/sqlite_store.h"

enum { STAMP_SIZE = FILE_PAGE_RESERVED, STAMPED_SIZE = FILE_PAGE_SIZE - STAMP_SIZE, HEADER_SIZE = 100 };

typedef struct pages_file {
  sqlite3_file base;
  bool is_ours;                       /* has stamps */
  unsigned char page[FILE_PAGE_SIZE]; /* for one call */
  /* the inner file follows */
} pages_file;

struct sqlite_pages {
  sqlite3_vfs vfs;
  sqlite3_vfs *inner;
  cafe_allocator allocator;
  char name[40];
};

static sqlite3_file *inner_of(sqlite3_file *file) { return (sqlite3_file *)(void *)((pages_file *)(void *)file + 1); }
static sqlite3_vfs *inner_vfs(sqlite3_vfs *vfs) { return ((struct sqlite_pages *)(void *)vfs)->inner; }

/* ---- stamps ---- */

/* Begins with the page's number: a page in the place of another is damage too. */
static void sums_of(unsigned char out[STAMP_SIZE], const unsigned char *page, sqlite3_int64 offset) {
  uint32_t sums[2] = {(uint32_t)(offset / FILE_PAGE_SIZE) + 1, 0};
  sqlite_sums(sums, page, STAMPED_SIZE, false);
  if (sums[0] == 0 && sums[1] == 0) {
    sums[0] = 1;
  }
  for (int i = 0; i < STAMP_SIZE; i++) {
    out[i] = (unsigned char)(sums[i / 4] >> (8 * (i % 4)));
  }
}

static bool is_true(const unsigned char *page, sqlite3_int64 offset) {
  static const unsigned char none[STAMP_SIZE];
  unsigned char sums[STAMP_SIZE];
  if (memcmp(page + STAMPED_SIZE, none, STAMP_SIZE) == 0) {
    return true;
  }
  sums_of(sums, page, offset);
  return memcmp(page + STAMPED_SIZE, sums, STAMP_SIZE) == 0;
}

/* A file is one of ours if its header says so twice: then one of three marks may be what was damaged. An empty one will
 * be ours. */
static bool recognise(sqlite3_file *inner) {
  unsigned char header[HEADER_SIZE];
  if (inner->pMethods->xRead(inner, header, HEADER_SIZE, 0) != SQLITE_OK) {
    return true;
  }
  uint32_t application = sqlite_big(header + 68);
  int marks = (memcmp(header, "SQLite format 3", 16) == 0) + (header[20] == FILE_PAGE_RESERVED) +
              (application == FILE_APPLICATION_ID || application == BACKUP_APPLICATION_ID);
  return marks >= 2;
}

/* ---- the file ---- */

static int pages_close(sqlite3_file *file) { return inner_of(file)->pMethods->xClose(inner_of(file)); }

static int read_page(sqlite3_file *inner, unsigned char *page, sqlite3_int64 offset) {
  int code = inner->pMethods->xRead(inner, page, FILE_PAGE_SIZE, offset);
  if (code != SQLITE_OK) {
    return code;
  }
  if (!is_true(page, offset)) {
    return SQLITE_IOERR_DATA;
  }
  memset(page + STAMPED_SIZE, 0, STAMP_SIZE);
  return SQLITE_OK;
}

/* SQLite reads pages, the header, and from 3.45 on also what of an overflow page a query asks for, past its cache: that
 * takes the whole page, or it would go unverified. */
static int pages_read(sqlite3_file *file, void *out, int size, sqlite3_int64 offset) {
  pages_file *self = (pages_file *)(void *)file;
  sqlite3_file *inner = inner_of(file);
  if (!self->is_ours || offset + size <= HEADER_SIZE) {
    return inner->pMethods->xRead(inner, out, size, offset);
  }
  sqlite3_int64 within = offset % FILE_PAGE_SIZE;
  if (within == 0 && size == FILE_PAGE_SIZE) {
    return read_page(inner, out, offset);
  }
  if (within + size > FILE_PAGE_SIZE) {
    return SQLITE_IOERR_DATA;
  }
  int code = read_page(inner, self->page, offset - within);
  if (code == SQLITE_OK) {
    memcpy(out, self->page + within, (size_t)size);
  }
  return code;
}

static int pages_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset) {
  pages_file *self = (pages_file *)(void *)file;
  sqlite3_file *inner = inner_of(file);
  if (self->is_ours && size == FILE_PAGE_SIZE && offset % FILE_PAGE_SIZE == 0) {
    memcpy(self->page, bytes, STAMPED_SIZE);
    sums_of(self->page + STAMPED_SIZE, self->page, offset);
    bytes = self->page;
  }
  return inner->pMethods->xWrite(inner, bytes, size, offset);
}

static int pages_truncate(sqlite3_file *file, sqlite3_int64 size) {
  return inner_of(file)->pMethods->xTruncate(inner_of(file), size);
}
static int pages_sync(sqlite3_file *file, int flags) { return inner_of(file)->pMethods->xSync(inner_of(file), flags); }
static int pages_size(sqlite3_file *file, sqlite3_int64 *out) {
  return inner_of(file)->pMethods->xFileSize(inner_of(file), out);
}
static int pages_lock(sqlite3_file *file, int level) { return inner_of(file)->pMethods->xLock(inner_of(file), level); }
static int pages_unlock(sqlite3_file *file, int level) {
  return inner_of(file)->pMethods->xUnlock(inner_of(file), level);
}
static int pages_is_reserved(sqlite3_file *file, int *out) {
  return inner_of(file)->pMethods->xCheckReservedLock(inner_of(file), out);
}
static int pages_control(sqlite3_file *file, int op, void *arg) {
  return inner_of(file)->pMethods->xFileControl(inner_of(file), op, arg);
}
static int pages_sector(sqlite3_file *file) { return inner_of(file)->pMethods->xSectorSize(inner_of(file)); }
static int pages_device(sqlite3_file *file) { return inner_of(file)->pMethods->xDeviceCharacteristics(inner_of(file)); }
static int pages_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out) {
  return inner_of(file)->pMethods->xShmMap(inner_of(file), region, size, extend, out);
}
static int pages_shm_lock(sqlite3_file *file, int offset, int n, int flags) {
  return inner_of(file)->pMethods->xShmLock(inner_of(file), offset, n, flags);
}
static void pages_shm_barrier(sqlite3_file *file) { inner_of(file)->pMethods->xShmBarrier(inner_of(file)); }
static int pages_shm_unmap(sqlite3_file *file, int remove) {
  return inner_of(file)->pMethods->xShmUnmap(inner_of(file), remove);
}

/* Version 2: without xFetch, so that no page reaches SQLite but by pages_read. */
static const sqlite3_io_methods pages_methods = {
    .iVersion = 2,
    .xClose = pages_close,
    .xRead = pages_read,
    .xWrite = pages_write,
    .xTruncate = pages_truncate,
    .xSync = pages_sync,
    .xFileSize = pages_size,
    .xLock = pages_lock,
    .xUnlock = pages_unlock,
    .xCheckReservedLock = pages_is_reserved,
    .xFileControl = pages_control,
    .xSectorSize = pages_sector,
    .xDeviceCharacteristics = pages_device,
    .xShmMap = pages_shm_map,
    .xShmLock = pages_shm_lock,
    .xShmBarrier = pages_shm_barrier,
    .xShmUnmap = pages_shm_unmap,
};

/* ---- the VFS ---- */

/* Files other than the database are the inner VFS's own: SQLite asked for room enough. */
static int pages_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags) {
  sqlite3_vfs *inner = inner_vfs(vfs);
  if (!(flags & SQLITE_OPEN_MAIN_DB)) {
    return inner->xOpen(inner, name, file, flags, out_flags);
  }
  pages_file *self = (pages_file *)(void *)file;
  memset(self, 0, sizeof(*self));
  int code = inner->xOpen(inner, name, inner_of(file), flags, out_flags);
  if (code != SQLITE_OK) {
    return code;
  }
  if (inner_of(file)->pMethods->iVersion < 2) {
    inner_of(file)->pMethods->xClose(inner_of(file));
    return SQLITE_CANTOPEN;
  }
  self->base.pMethods = &pages_methods;
  self->is_ours = recognise(inner_of(file));
  return SQLITE_OK;
}

static int pages_delete(sqlite3_vfs *vfs, const char *name, int sync) {
  return inner_vfs(vfs)->xDelete(inner_vfs(vfs), name, sync);
}
static int pages_access(sqlite3_vfs *vfs, const char *name, int flags, int *out) {
  return inner_vfs(vfs)->xAccess(inner_vfs(vfs), name, flags, out);
}
static int pages_full_name(sqlite3_vfs *vfs, const char *name, int size, char *out) {
  return inner_vfs(vfs)->xFullPathname(inner_vfs(vfs), name, size, out);
}
static int pages_random(sqlite3_vfs *vfs, int size, char *out) {
  return inner_vfs(vfs)->xRandomness(inner_vfs(vfs), size, out);
}
static int pages_sleep(sqlite3_vfs *vfs, int us) { return inner_vfs(vfs)->xSleep(inner_vfs(vfs), us); }
static int pages_time(sqlite3_vfs *vfs, double *out) { return inner_vfs(vfs)->xCurrentTime(inner_vfs(vfs), out); }
static int pages_error(sqlite3_vfs *vfs, int size, char *out) {
  return inner_vfs(vfs)->xGetLastError ? inner_vfs(vfs)->xGetLastError(inner_vfs(vfs), size, out) : 0;
}

sqlite_pages *sqlite_pages_create(sqlite3_vfs *inner, const cafe_allocator *allocator) {
  sqlite_pages *pages = allocator->resize(NULL, sizeof(*pages), allocator->user);
  if (!pages) {
    return NULL;
  }
  memset(pages, 0, sizeof(*pages));
  pages->allocator = *allocator;
  pages->inner = inner;
  snprintf(pages->name, sizeof(pages->name), "cafe-%p", (void *)pages);
  pages->vfs = (sqlite3_vfs){
      .iVersion = 1,
      .szOsFile = (int)sizeof(pages_file) + inner->szOsFile,
      .mxPathname = inner->mxPathname,
      .zName = pages->name,
      .xOpen = pages_open,
      .xDelete = pages_delete,
      .xAccess = pages_access,
      .xFullPathname = pages_full_name,
      .xRandomness = pages_random,
      .xSleep = pages_sleep,
      .xCurrentTime = pages_time,
      .xGetLastError = pages_error,
  };
  if (sqlite3_vfs_register(&pages->vfs, 0) != SQLITE_OK) {
    allocator->resize(pages, 0, allocator->user);
    return NULL;
  }
  return pages;
}

const char *sqlite_pages_name(const sqlite_pages *pages) { return pages->name; }

void sqlite_pages_destroy(sqlite_pages *pages) {
  if (pages) {
    sqlite3_vfs_unregister(&pages->vfs);
    pages->allocator.resize(pages, 0, pages->allocator.user);
  }
}
