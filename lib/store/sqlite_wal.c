/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Is the WAL that a crash left whole? SQLite reads it up to the first frame whose checksum is wrong and takes that for
 * the end. After a power loss it is one: the transaction that was being written is torn. After damage it isn't, and
 * everything behind it, acknowledged and durable, would be gone without a word. So the WAL is read here first, and
 * SQLite gets to see it only if its end can be the end.
 *
 * A frame has the salts of its WAL's header and a checksum over all frames before it, so behind a wrong frame no
 * checksum can be right; but salts and commit marks can still be read. What is known about the place of an honest
 * break:
 *
 *   1. The last holder left a witness in the lock file (sqlite_lock.c): in the WAL with these salts, so many frames are
 *      durable, and this is the checksum of the last of them. It is written after a sync has returned and never before,
 *      so whatever became of it since, it claims nothing that wasn't durable. A break within those frames is damage.
 *      After kill -9 the witness tells of the last acknowledged transaction; after a power loss of that or an earlier
 *      one, or it is gone.
 *   2. A transaction is synced before the next one is begun. So behind the last durable one there are frames of at most
 *      one more transaction, in any state and order, and of these only the last has a commit mark. Two marks at or
 * behind the break are those of two transactions, and the first of them was durable: damage.
 *   3. The header is synced before the first frame is written. So a header that is wrong, in a file that goes on behind
 *      it, is damage. (It is 32 bytes, in one sector, written at once: never half of it.)
 *
 * What remains undecided: after a power loss that took the witness too, damage within the very last transaction looks
 * like a torn one. It is taken for that.
 *
 * The rules rest on a sync before every acknowledgement. A writer that was told not to (CAFE_SQLITE_NORMAL, OFF) has
 * noted so in the lock file, synced, before it began; its WAL may end anywhere, and nothing is checked.
 *
 * A WAL that is missing, or belongs to an older or newer round than the witness tells of, says nothing by itself: other
 * programs may have copied it into the file and removed it. Then the log's head, which the witness has as well, is
 * compared once SQLite has recovered (sqlite.c).
 */
#include <stdio.h>
#include <string.h>

#include "store/sqlite_store.h"

enum { HEADER_SIZE = 32, FRAME_HEADER_SIZE = 24, READ_SIZE = 256 * 1024, LARGEST_PAGE = 65536 };

typedef struct wal_reader {
  const sqlite_store *store;
  const sqlite_witness *witness;
  sqlite3_file *file;
  sqlite3_int64 size;
  unsigned char *buffer;
  size_t page_size;
  bool big_endian; /* the checksums' byte order */
  bool is_sure;    /* a short write harms nothing beside it, so SQLite repeats no commit frames to fill a sector */
  uint32_t salt[2];
  uint32_t sums[2]; /* of the frames so far, while they are right */

  uint32_t frame;  /* the one being looked at, from 1 */
  uint32_t broken; /* the first wrong one; 0: none yet */
  uint32_t marks;  /* commit marks at or behind the break */
  uint32_t last_mark_page;
  bool last_was_mark;
} wal_reader;

static int fail_damaged(const wal_reader *wal, cafe_err *err, const char *what) {
  return cafe_fail(err, CAFE_CORRUPT,
                   "%s-wal is damaged (%s), and acknowledged units behind it would be lost: restore both files from a "
                   "backup.",
                   sqlite_short(wal->store->path), what);
}

static int fail_read(const wal_reader *wal, cafe_err *err, int code) {
  return cafe_fail_detail(err, sqlite_reaction(code), code, "%s-wal can't be read: %s. Check the disk.",
                          sqlite_short(wal->store->path), sqlite3_errstr(code));
}

static int read_at(const wal_reader *wal, size_t size, sqlite3_int64 offset, cafe_err *err) {
  int code = wal->file->pMethods->xRead(wal->file, wal->buffer, (int)size, offset);
  return code == SQLITE_OK ? CAFE_OK : fail_read(wal, err, code);
}

static int read_header(wal_reader *wal, cafe_err *err) {
  int code = read_at(wal, HEADER_SIZE, 0, err);
  if (code != CAFE_OK) {
    return code;
  }
  const unsigned char *header = wal->buffer;
  uint32_t magic = sqlite_big(header);
  wal->big_endian = (magic & 1) != 0;
  wal->page_size = sqlite_big(header + 8);
  wal->salt[0] = sqlite_big(header + 16);
  wal->salt[1] = sqlite_big(header + 20);
  sqlite_sums(wal->sums, header, 24, wal->big_endian);
  if ((magic & ~1u) != 0x377f0682u || sqlite_big(header + 24) != wal->sums[0] ||
      sqlite_big(header + 28) != wal->sums[1] || wal->page_size < 512 || wal->page_size > LARGEST_PAGE ||
      (wal->page_size & (wal->page_size - 1)) != 0) {
    return fail_damaged(wal, err, "its header");
  }
  return CAFE_OK;
}

/* Behind the break: what still looks like a frame of this WAL. */
static void count_mark(wal_reader *wal, const unsigned char *frame) {
  bool is_mark = sqlite_big(frame + 8) == wal->salt[0] && sqlite_big(frame + 12) == wal->salt[1] &&
                 sqlite_big(frame) != 0 && sqlite_big(frame + 4) != 0;
  /* Where SQLite fills a sector with copies of the commit frame, a row of them is one mark. */
  bool is_copy = !wal->is_sure && is_mark && wal->last_was_mark && wal->last_mark_page == sqlite_big(frame);
  wal->marks += is_mark && !is_copy;
  wal->last_was_mark = is_mark;
  wal->last_mark_page = sqlite_big(frame);
}

static int look_at(wal_reader *wal, const unsigned char *frame, cafe_err *err) {
  wal->frame++;
  if (wal->broken == 0) {
    uint32_t sums[2] = {wal->sums[0], wal->sums[1]};
    sqlite_sums(sums, frame, 8, wal->big_endian);
    sqlite_sums(sums, frame + FRAME_HEADER_SIZE, wal->page_size, wal->big_endian);
    bool is_right = sqlite_big(frame + 8) == wal->salt[0] && sqlite_big(frame + 12) == wal->salt[1] &&
                    sqlite_big(frame) != 0 && sqlite_big(frame + 16) == sums[0] && sqlite_big(frame + 20) == sums[1];
    if (is_right) {
      wal->sums[0] = sums[0];
      wal->sums[1] = sums[1];
    } else {
      wal->broken = wal->frame;
    }
  }
  if (wal->broken != 0) {
    count_mark(wal, frame);
    return CAFE_OK;
  }
  const sqlite_witness *witness = wal->witness;
  bool is_witnessed =
      wal->frame == witness->frames && wal->salt[0] == witness->salt[0] && wal->salt[1] == witness->salt[1];
  if (is_witnessed && (wal->sums[0] != witness->checksum[0] || wal->sums[1] != witness->checksum[1])) {
    return fail_damaged(wal, err, "it isn't the one that was acknowledged");
  }
  return CAFE_OK;
}

static int judge(const wal_reader *wal, cafe_err *err) {
  char what[64];
  const sqlite_witness *witness = wal->witness;
  uint32_t right = wal->broken ? wal->broken - 1 : wal->frame;
  bool is_same = witness->frames != 0 && wal->salt[0] == witness->salt[0] && wal->salt[1] == witness->salt[1];
  snprintf(what, sizeof(what), "frame %u of %u", (unsigned)right + 1, (unsigned)wal->frame);
  if (is_same && right < witness->frames) {
    return fail_damaged(wal, err, what);
  }
  return wal->marks >= 2 ? fail_damaged(wal, err, what) : CAFE_OK;
}

static int read_frames(wal_reader *wal, cafe_err *err) {
  size_t frame_size = FRAME_HEADER_SIZE + wal->page_size;
  size_t at_once = READ_SIZE / frame_size;
  for (sqlite3_int64 offset = HEADER_SIZE; offset + (sqlite3_int64)frame_size <= wal->size;) {
    size_t count = (size_t)(wal->size - offset) / frame_size;
    count = count < at_once ? count : at_once;
    int code = read_at(wal, count * frame_size, offset, err);
    for (size_t i = 0; i < count && code == CAFE_OK; i++) {
      code = look_at(wal, wal->buffer + i * frame_size, err);
    }
    if (code != CAFE_OK) {
      return code;
    }
    offset += (sqlite3_int64)(count * frame_size);
  }
  return judge(wal, err);
}

static int check_open(wal_reader *wal, cafe_err *err) {
  int code = wal->file->pMethods->xFileSize(wal->file, &wal->size);
  if (code != SQLITE_OK) {
    return fail_read(wal, err, code);
  }
  wal->is_sure = (wal->file->pMethods->xDeviceCharacteristics(wal->file) & SQLITE_IOCAP_POWERSAFE_OVERWRITE) != 0;
  if (wal->size <= HEADER_SIZE) {
    /* Nothing was begun behind the header, if even that was. */
    return CAFE_OK;
  }
  code = read_header(wal, err);
  return code == CAFE_OK ? read_frames(wal, err) : code;
}

/* CAFE_OK with the file not open where there is none. */
static int open_file(const wal_reader *wal, sqlite3_vfs *vfs, const char *name, int type, cafe_err *err) {
  int is_there = 0;
  wal->file->pMethods = NULL;
  int code = vfs->xAccess(vfs, name, SQLITE_ACCESS_EXISTS, &is_there);
  if (code == SQLITE_OK && is_there) {
    int flags = 0;
    code = vfs->xOpen(vfs, name, wal->file, SQLITE_OPEN_READONLY | type, &flags);
  }
  return code == SQLITE_OK ? CAFE_OK : fail_read(wal, err, code);
}

static void close_file(const wal_reader *wal) {
  if (wal->file->pMethods) {
    wal->file->pMethods->xClose(wal->file);
  }
}

/* SQLite throws away a WAL beside an empty file, or none. *is_there: the file, with something in it. */
static int check_main(const wal_reader *wal, sqlite3_vfs *vfs, const char *name, bool *is_there, cafe_err *err) {
  sqlite3_int64 size = 0;
  int has_wal = 0;
  int code = open_file(wal, vfs, name, SQLITE_OPEN_MAIN_DB, err);
  if (code == CAFE_OK && wal->file->pMethods) {
    code = wal->file->pMethods->xFileSize(wal->file, &size);
    code = code == SQLITE_OK ? CAFE_OK : fail_read(wal, err, code);
    close_file(wal);
  }
  *is_there = size > 0;
  if (code == CAFE_OK && vfs->xAccess(vfs, sqlite3_filename_wal(name), SQLITE_ACCESS_EXISTS, &has_wal) != SQLITE_OK) {
    code = fail_read(wal, err, SQLITE_IOERR_ACCESS);
  }
  if (code == CAFE_OK && size == 0 && (has_wal || wal->witness->head != 0)) {
    code =
        cafe_fail(err, CAFE_CORRUPT,
                  "%s is missing or empty, though acknowledged units were in it: restore it, or remove what is beside "
                  "it (-wal, -lock) to begin anew.",
                  sqlite_short(wal->store->path));
  }
  return code;
}

int sqlite_wal_check(const sqlite_store *store, sqlite3_vfs *vfs, const sqlite_witness *witness, cafe_err *err) {
  wal_reader wal = {.store = store, .witness = witness};
  size_t size = strlen(store->file) + sizeof("-wal");
  char *path = sqlite_alloc(store, size);
  sqlite3_filename names = NULL;
  wal.file = sqlite_alloc(store, (size_t)vfs->szOsFile);
  wal.buffer = sqlite_alloc(store, READ_SIZE);
  bool is_there = false;
  int code = CAFE_OK;
  if (path) {
    snprintf(path, size, "%s-wal", store->file);
    names = sqlite3_create_filename(store->file, "", path, 0, NULL);
  }
  if (!path || !names || !wal.file || !wal.buffer) {
    code = sqlite_no_memory(err);
    goto done;
  }
  code = check_main(&wal, vfs, names, &is_there, err);
  if (code != CAFE_OK || !is_there || witness->is_relaxed) {
    goto done;
  }
  code = open_file(&wal, vfs, sqlite3_filename_wal(names), SQLITE_OPEN_WAL, err);
  if (code == CAFE_OK && wal.file->pMethods) {
    code = check_open(&wal, err);
    close_file(&wal);
  }
done:
  sqlite3_free_filename(names);
  sqlite_free(store, wal.buffer);
  sqlite_free(store, wal.file);
  sqlite_free(store, path);
  return code;
}
