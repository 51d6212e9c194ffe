/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a disk promises: a sector is written whole or not at all, a sync that returned has made everything written
 * before it durable, and nothing else. The model is that of a page cache: each sector of a file has, after a power
 * loss, the content that it had after some number of the writes since the last sync that touched it; which, the seed
 * decides, for each sector apart. Lengths and deletions are like sectors. A sync that fails leaves what it should have
 * written in limbo: the system counts it as written, so later syncs don't write it, and it may never be durable
 * (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
 *
 * PATH.….part is PATH, before it has that name: a rename isn't seen here, and is taken to come after all else.
 *
 * PATH-lock isn't written through the VFS. Its content is looked at before each call, and after a power loss it is any
 * that it ever had, or it is gone: it isn't synced either.
 */
#include "disk_vfs.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
  SECTOR = 512,
  FILES = 3,
  PATH_SIZE = 1024,
  WAL_WRITE_LOCK = 0, /* which of the WAL-index's locks is the writer's: SQLite's file format, section 2.3.1 */
  HOLD_SECONDS = 30
};

static const char *const suffixes[FILES] = {"", "-wal", "-journal"};

typedef enum op_kind { OP_WRITE, OP_TRUNCATE, OP_SYNC, OP_BAD_SYNC, OP_DELETE, OP_OTHER } op_kind;

typedef struct op {
  op_kind kind;
  int file;
  sqlite3_int64 offset; /* OP_TRUNCATE: the size */
  size_t size;
  unsigned char *bytes;
} op;

typedef struct image {
  bool exists;
  size_t size;
  size_t room;
  unsigned char *bytes;
} image;

typedef struct disk_file {
  sqlite3_file base;
  int file;    /* -1: not watched */
  bool writes; /* has the WAL's write lock */
  /* the inner file follows */
} disk_file;

typedef struct lock_text {
  uint64_t moment;
  size_t size;
  char text[1024];
} lock_text;

static struct {
  sqlite3_vfs vfs;
  sqlite3_vfs *inner;
  pthread_mutex_t mutex;
  char path[PATH_SIZE];

  disk_fault fault;
  uint64_t fail_at;
  uint64_t calls;
  bool failed;
  uint64_t fail_read_at;
  uint64_t reads;

  pthread_cond_t changed; /* naps, hold_naps, is_held */
  bool hurries;
  uint64_t naps;
  uint64_t hold_naps; /* 0: no commit is held */
  bool is_held;

  bool remembers;
  image begin[FILES];
  op *ops;
  size_t op_count;
  size_t op_room;
  lock_text *locks;
  size_t lock_count;
  size_t lock_room;
} disk;

static void *must(void *memory) {
  if (!memory) {
    abort();
  }
  return memory;
}

/* ---- remembering ---- */

static int file_of(const char *path) {
  size_t size = strlen(disk.path);
  if (!path || strncmp(path, disk.path, size) != 0) {
    return -1;
  }
  for (int i = 0; i < FILES; i++) {
    if (strcmp(path + size, suffixes[i]) == 0) {
      return i;
    }
  }
  const char *end = strrchr(path, '.');
  return path[size] == '.' && end && strcmp(end, ".part") == 0 ? 0 : -1;
}

static void look_at_lock(void) {
  char path[PATH_SIZE + 8];
  lock_text now = {.moment = disk.op_count};
  snprintf(path, sizeof(path), "%s-lock", disk.path);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return;
  }
  ssize_t size = read(fd, now.text, sizeof(now.text));
  close(fd);
  now.size = size > 0 ? (size_t)size : 0;
  const lock_text *last = disk.lock_count ? &disk.locks[disk.lock_count - 1] : NULL;
  if (last && last->size == now.size && memcmp(last->text, now.text, now.size) == 0) {
    return;
  }
  if (disk.lock_count == disk.lock_room) {
    disk.lock_room = disk.lock_room ? disk.lock_room * 2 : 64;
    disk.locks = must(realloc(disk.locks, disk.lock_room * sizeof(*disk.locks)));
  }
  disk.locks[disk.lock_count++] = now;
}

/* Under the mutex. */
static void remember(op_kind kind, int file, sqlite3_int64 offset, const void *bytes, size_t size) {
  if (!disk.remembers) {
    return;
  }
  look_at_lock();
  if (disk.op_count == disk.op_room) {
    disk.op_room = disk.op_room ? disk.op_room * 2 : 256;
    disk.ops = must(realloc(disk.ops, disk.op_room * sizeof(*disk.ops)));
  }
  op *o = &disk.ops[disk.op_count++];
  *o = (op){file < 0 ? OP_OTHER : kind, file, offset, size, NULL};
  if (bytes && file >= 0) {
    o->bytes = must(malloc(size ? size : 1));
    memcpy(o->bytes, bytes, size);
  }
}

static void forget(void) {
  for (size_t i = 0; i < disk.op_count; i++) {
    free(disk.ops[i].bytes);
  }
  disk.op_count = 0;
  disk.lock_count = 0;
  for (int i = 0; i < FILES; i++) {
    free(disk.begin[i].bytes);
    disk.begin[i] = (image){false, 0, 0, NULL};
  }
}

static void image_grow(image *img, size_t size) {
  if (size > img->room) {
    size_t room = size + size / 2 + 4096;
    img->bytes = must(realloc(img->bytes, room));
    memset(img->bytes + img->room, 0, room - img->room);
    img->room = room;
  }
  if (size > img->size) {
    img->size = size;
  }
}

static void image_read(image *img, const char *path) {
  *img = (image){false, 0, 0, NULL};
  FILE *in = fopen(path, "rb");
  if (in) {
    img->exists = true;
    struct stat status;
    if (fstat(fileno(in), &status) != 0) {
      abort();
    }
    image_grow(img, (size_t)status.st_size);
    img->size = fread(img->bytes, 1, (size_t)status.st_size, in);
    fclose(in);
  }
}

/* ---- faults ---- */

/* Counts the call. Under the mutex. 0: it goes on; else the code to fail with is the caller's. */
static disk_fault next_call(void) {
  disk.calls++;
  if (disk.fail_at == 0 || disk.calls < disk.fail_at) {
    return 0;
  }
  switch (disk.fault) {
  case DISK_KILL:
    raise(SIGKILL);
    return 0;
  case DISK_ERROR:
    if (disk.calls > disk.fail_at) {
      return 0;
    }
    break;
  default:
    break;
  }
  disk.failed = true;
  return disk.fault;
}

static sqlite3_file *inner_of(sqlite3_file *file) { return (sqlite3_file *)(void *)((disk_file *)(void *)file + 1); }

static int disk_close(sqlite3_file *file) { return inner_of(file)->pMethods->xClose(inner_of(file)); }

static int disk_read(sqlite3_file *file, void *out, int size, sqlite3_int64 offset) {
  pthread_mutex_lock(&disk.mutex);
  disk.reads++;
  bool fails = disk.fail_read_at != 0 && disk.reads == disk.fail_read_at;
  disk.failed |= fails;
  pthread_mutex_unlock(&disk.mutex);
  return fails ? SQLITE_IOERR_READ : inner_of(file)->pMethods->xRead(inner_of(file), out, size, offset);
}

static int disk_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset) {
  sqlite3_file *inner = inner_of(file);
  pthread_mutex_lock(&disk.mutex);
  disk_fault fault = next_call();
  int code = SQLITE_OK;
  if (fault != DISK_GONE) {
    int written = fault ? size / 2 : size;
    remember(OP_WRITE, ((disk_file *)(void *)file)->file, offset, bytes, (size_t)written);
    code = inner->pMethods->xWrite(inner, bytes, written, offset);
  }
  pthread_mutex_unlock(&disk.mutex);
  return fault == DISK_FULL ? SQLITE_FULL : fault ? SQLITE_IOERR_WRITE : code;
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 size) {
  sqlite3_file *inner = inner_of(file);
  pthread_mutex_lock(&disk.mutex);
  disk_fault fault = next_call();
  bool fails = fault == DISK_GONE || fault == DISK_ERROR;
  int code = SQLITE_IOERR_TRUNCATE;
  if (!fails) {
    remember(OP_TRUNCATE, ((disk_file *)(void *)file)->file, size, NULL, 0);
    code = inner->pMethods->xTruncate(inner, size);
  }
  pthread_mutex_unlock(&disk.mutex);
  return code;
}

static int disk_sync(sqlite3_file *file, int flags) {
  (void)flags;
  pthread_mutex_lock(&disk.mutex);
  disk_fault fault = next_call();
  bool fails = fault == DISK_GONE || fault == DISK_ERROR;
  if (fault != DISK_GONE) {
    remember(fails ? OP_BAD_SYNC : OP_SYNC, ((disk_file *)(void *)file)->file, 0, NULL, 0);
  }
  pthread_mutex_unlock(&disk.mutex);
  /* The real files needn't be synced: nobody pulls a plug here, and the tests are the faster for it. */
  return fails ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int disk_size(sqlite3_file *file, sqlite3_int64 *out) {
  return inner_of(file)->pMethods->xFileSize(inner_of(file), out);
}
static int disk_lock(sqlite3_file *file, int level) { return inner_of(file)->pMethods->xLock(inner_of(file), level); }
static int disk_unlock(sqlite3_file *file, int level) {
  return inner_of(file)->pMethods->xUnlock(inner_of(file), level);
}
static int disk_is_reserved(sqlite3_file *file, int *out) {
  return inner_of(file)->pMethods->xCheckReservedLock(inner_of(file), out);
}
static int disk_control(sqlite3_file *file, int code, void *arg) {
  return inner_of(file)->pMethods->xFileControl(inner_of(file), code, arg);
}
static int disk_sector(sqlite3_file *file) { return inner_of(file)->pMethods->xSectorSize(inner_of(file)); }
static int disk_device(sqlite3_file *file) { return inner_of(file)->pMethods->xDeviceCharacteristics(inner_of(file)); }

static int disk_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out) {
  if (extend) {
    pthread_mutex_lock(&disk.mutex);
    disk_fault fault = next_call();
    remember(OP_OTHER, -1, 0, NULL, 0);
    pthread_mutex_unlock(&disk.mutex);
    if (fault) {
      *out = NULL;
      return SQLITE_IOERR_SHMSIZE;
    }
  }
  return inner_of(file)->pMethods->xShmMap(inner_of(file), region, size, extend, out);
}
static int disk_shm_lock(sqlite3_file *file, int offset, int n, int flags) {
  int code = inner_of(file)->pMethods->xShmLock(inner_of(file), offset, n, flags);
  if (code == SQLITE_OK && offset == WAL_WRITE_LOCK) {
    ((disk_file *)(void *)file)->writes = (flags & SQLITE_SHM_LOCK) != 0;
  }
  return code;
}

/* Under the mutex. False: the deadline has passed. */
static bool wait_changed(const struct timespec *deadline) {
  return pthread_cond_timedwait(&disk.changed, &disk.mutex, deadline) == 0;
}

static struct timespec deadline_of(void) {
  struct timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += HOLD_SECONDS;
  return deadline;
}

/* While it holds the write lock SQLite calls this between the two copies of the WAL-index's header, and nowhere else as
 * long as the WAL doesn't begin anew. */
static void disk_shm_barrier(sqlite3_file *file) {
  pthread_mutex_lock(&disk.mutex);
  if (disk.hold_naps && ((disk_file *)(void *)file)->writes) {
    struct timespec deadline = deadline_of();
    disk.is_held = true;
    disk.naps = 0;
    pthread_cond_broadcast(&disk.changed);
    while (disk.naps < disk.hold_naps && wait_changed(&deadline)) {
    }
    disk.hold_naps = 0;
    disk.is_held = false;
  }
  pthread_mutex_unlock(&disk.mutex);
  inner_of(file)->pMethods->xShmBarrier(inner_of(file));
}
static int disk_shm_unmap(sqlite3_file *file, int delete) {
  return inner_of(file)->pMethods->xShmUnmap(inner_of(file), delete);
}

static const sqlite3_io_methods disk_methods = {
    .iVersion = 2,
    .xClose = disk_close,
    .xRead = disk_read,
    .xWrite = disk_write,
    .xTruncate = disk_truncate,
    .xSync = disk_sync,
    .xFileSize = disk_size,
    .xLock = disk_lock,
    .xUnlock = disk_unlock,
    .xCheckReservedLock = disk_is_reserved,
    .xFileControl = disk_control,
    .xSectorSize = disk_sector,
    .xDeviceCharacteristics = disk_device,
    .xShmMap = disk_shm_map,
    .xShmLock = disk_shm_lock,
    .xShmBarrier = disk_shm_barrier,
    .xShmUnmap = disk_shm_unmap,
};

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags) {
  (void)vfs;
  disk_file *self = (disk_file *)(void *)file;
  memset(self, 0, sizeof(*self));
  int code = disk.inner->xOpen(disk.inner, name, inner_of(file), flags, out_flags);
  if (code == SQLITE_OK) {
    self->base.pMethods = &disk_methods;
    self->file = file_of(name);
  }
  return code;
}

static int disk_delete(sqlite3_vfs *vfs, const char *name, int sync) {
  (void)vfs;
  pthread_mutex_lock(&disk.mutex);
  disk_fault fault = next_call();
  int code = SQLITE_IOERR_DELETE;
  if (fault != DISK_GONE && fault != DISK_ERROR) {
    remember(OP_DELETE, file_of(name), 0, NULL, 0);
    if (sync) {
      remember(OP_SYNC, file_of(name), 0, NULL, 0);
    }
    code = disk.inner->xDelete(disk.inner, name, sync);
  }
  pthread_mutex_unlock(&disk.mutex);
  return code;
}

static int disk_access(sqlite3_vfs *vfs, const char *name, int flags, int *out) {
  (void)vfs;
  return disk.inner->xAccess(disk.inner, name, flags, out);
}
static int disk_full_name(sqlite3_vfs *vfs, const char *name, int size, char *out) {
  (void)vfs;
  return disk.inner->xFullPathname(disk.inner, name, size, out);
}
static int disk_random(sqlite3_vfs *vfs, int size, char *out) {
  (void)vfs;
  return disk.inner->xRandomness(disk.inner, size, out);
}
static int disk_sleep(sqlite3_vfs *vfs, int us) {
  (void)vfs;
  pthread_mutex_lock(&disk.mutex);
  bool hurries = disk.hurries;
  disk.naps++;
  pthread_cond_broadcast(&disk.changed);
  pthread_mutex_unlock(&disk.mutex);
  disk.inner->xSleep(disk.inner, hurries && us > 1000 ? 1000 : us);
  return us;
}
static int disk_time(sqlite3_vfs *vfs, double *out) {
  (void)vfs;
  return disk.inner->xCurrentTime(disk.inner, out);
}
static int disk_error(sqlite3_vfs *vfs, int size, char *out) {
  (void)vfs;
  return disk.inner->xGetLastError(disk.inner, size, out);
}

void disk_begin(const char *path) {
  memset(&disk, 0, sizeof(disk));
  disk.inner = sqlite3_vfs_find(NULL);
  assert(disk.inner);
  disk.inner->xFullPathname(disk.inner, path, PATH_SIZE, disk.path);
  pthread_mutex_init(&disk.mutex, NULL);
  pthread_cond_init(&disk.changed, NULL);
  disk.vfs = (sqlite3_vfs){
      .iVersion = 1,
      .szOsFile = (int)sizeof(disk_file) + disk.inner->szOsFile,
      .mxPathname = disk.inner->mxPathname,
      .zName = DISK_VFS,
      .xOpen = disk_open,
      .xDelete = disk_delete,
      .xAccess = disk_access,
      .xFullPathname = disk_full_name,
      .xRandomness = disk_random,
      .xSleep = disk_sleep,
      .xCurrentTime = disk_time,
      .xGetLastError = disk_error,
  };
  if (sqlite3_vfs_register(&disk.vfs, 0) != SQLITE_OK) {
    abort();
  }
}

void disk_end(void) {
  sqlite3_vfs_unregister(&disk.vfs);
  forget();
  free(disk.ops);
  free(disk.locks);
  pthread_cond_destroy(&disk.changed);
  pthread_mutex_destroy(&disk.mutex);
}

void disk_arm(disk_fault fault, uint64_t n) {
  disk.fault = fault;
  disk.fail_at = n;
  disk.calls = 0;
  disk.failed = false;
}

void disk_arm_read(uint64_t n) {
  disk.fail_read_at = n;
  disk.reads = 0;
  disk.failed = false;
}

uint64_t disk_calls(void) { return disk.calls; }
uint64_t disk_reads(void) { return disk.reads; }
bool disk_failed(void) { return disk.failed; }

void disk_hurry(bool hurries) {
  pthread_mutex_lock(&disk.mutex);
  disk.hurries = hurries;
  pthread_mutex_unlock(&disk.mutex);
}

void disk_hold(uint64_t naps) {
  pthread_mutex_lock(&disk.mutex);
  disk.hold_naps = naps;
  pthread_cond_broadcast(&disk.changed);
  pthread_mutex_unlock(&disk.mutex);
}

bool disk_await_hold(void) {
  struct timespec deadline = deadline_of();
  pthread_mutex_lock(&disk.mutex);
  while (!disk.is_held && wait_changed(&deadline)) {
  }
  bool is_held = disk.is_held;
  pthread_mutex_unlock(&disk.mutex);
  return is_held;
}

void disk_remember(void) {
  char path[PATH_SIZE + 16];
  forget();
  disk.remembers = true;
  for (int i = 0; i < FILES; i++) {
    snprintf(path, sizeof(path), "%s%s", disk.path, suffixes[i]);
    image_read(&disk.begin[i], path);
  }
}

uint64_t disk_moment(void) {
  pthread_mutex_lock(&disk.mutex);
  look_at_lock();
  uint64_t moment = disk.op_count;
  pthread_mutex_unlock(&disk.mutex);
  return moment;
}

/* ---- losing power ---- */

static uint64_t next_random(uint64_t *state) {
  uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static void apply(image *img, const op *o) {
  switch (o->kind) {
  case OP_WRITE:
    img->exists = true;
    image_grow(img, (size_t)o->offset + o->size);
    memcpy(img->bytes + o->offset, o->bytes, o->size);
    break;
  case OP_TRUNCATE:
    if ((size_t)o->offset < img->size) {
      memset(img->bytes + o->offset, 0, img->size - (size_t)o->offset);
      img->size = (size_t)o->offset;
    } else {
      image_grow(img, (size_t)o->offset);
    }
    break;
  case OP_DELETE:
    if (img->size) {
      memset(img->bytes, 0, img->size);
    }
    img->size = 0;
    img->exists = false;
    break;
  default:
    break;
  }
}

/* Part of a write: what of it lies in one sector. */
static void apply_sector(image *img, const op *o, size_t sector) {
  size_t from = sector * SECTOR > (size_t)o->offset ? sector * SECTOR : (size_t)o->offset;
  size_t to = (sector + 1) * SECTOR;
  size_t end = (size_t)o->offset + o->size;
  to = to < end ? to : end;
  if (from < to) {
    img->exists = true;
    image_grow(img, to);
    memcpy(img->bytes + from, o->bytes + (from - (size_t)o->offset), to - from);
  }
}

typedef struct pending {
  const op **ops;
  size_t count;
} pending;

static size_t first_sector(const op *o) { return (size_t)o->offset / SECTOR; }
static size_t last_sector(const op *o) { return ((size_t)o->offset + (o->size ? o->size - 1 : 0)) / SECTOR; }

/* The sectors of all pending writes, as one row in the order of writing: `from` to `to` of them survive. A deletion or
 * truncation that doesn't takes what was written after it along: that went to another file, or to other blocks. */
static void apply_range(image *img, const pending *of, size_t from, size_t to) {
  size_t at = 0;
  for (size_t i = 0; i < of->count; i++) {
    const op *o = of->ops[i];
    if (o->kind != OP_WRITE) {
      if (at < from || at >= to) {
        return;
      }
      apply(img, o);
      at++;
      continue;
    }
    for (size_t sector = first_sector(o); sector <= last_sector(o); sector++, at++) {
      if (at >= from && at < to) {
        apply_sector(img, o, sector);
      }
    }
  }
}

static size_t count_sectors(const pending *of) {
  size_t count = 0;
  for (size_t i = 0; i < of->count; i++) {
    const op *o = of->ops[i];
    count += o->kind != OP_WRITE ? 1 : last_sector(o) - first_sector(o) + 1;
  }
  return count;
}

/* Each sector has seen some of the writes to it, the first ones; how many depends on the seed and the sector alone. */
static void apply_shuffled(image *img, const pending *of, uint64_t seed) {
  static const unsigned through[] = {32, 128, 224, 252}; /* of 256: a write reaches its sector */
  uint64_t random = seed;
  unsigned odds = through[next_random(&random) % 4];
  size_t sectors = 1;
  for (size_t i = 0; i < of->count; i++) {
    size_t last = of->ops[i]->kind == OP_WRITE ? last_sector(of->ops[i]) : 0;
    sectors = last + 1 > sectors ? last + 1 : sectors;
  }
  bool *is_behind = must(calloc(sectors, sizeof(*is_behind)));
  for (size_t i = 0; i < of->count; i++) {
    const op *o = of->ops[i];
    if (o->kind != OP_WRITE) {
      if (next_random(&random) % 256 >= odds) {
        break;
      }
      apply(img, o);
      memset(is_behind, 0, sectors * sizeof(*is_behind));
      continue;
    }
    for (size_t sector = first_sector(o); sector <= last_sector(o); sector++) {
      is_behind[sector] = is_behind[sector] || next_random(&random) % 256 >= odds;
      if (!is_behind[sector]) {
        apply_sector(img, o, sector);
      }
    }
  }
  free(is_behind);
}

static void lose(image *img, const pending *of, disk_loss loss, uint64_t seed) {
  uint64_t random = seed;
  size_t sectors = count_sectors(of);
  size_t cut = (size_t)(next_random(&random) % (sectors + 1));
  switch (loss) {
  case DISK_KEPT:
    apply_range(img, of, 0, sectors);
    break;
  case DISK_DROPPED:
    break;
  case DISK_TORN:
    apply_range(img, of, 0, cut);
    break;
  case DISK_SHUFFLED:
    apply_shuffled(img, of, next_random(&random));
    break;
  case DISK_BACKWARDS:
    apply_range(img, of, cut, sectors);
    break;
  }
}

/* What the file is after `moment`. */
static image make_image(int file, uint64_t moment, disk_loss loss, uint64_t seed) {
  image img = {disk.begin[file].exists, 0, 0, NULL};
  if (disk.begin[file].size) {
    image_grow(&img, disk.begin[file].size);
    memcpy(img.bytes, disk.begin[file].bytes, disk.begin[file].size);
  }
  pending wait = {must(malloc((moment + 1) * sizeof(const op *))), 0};
  size_t limbo = 0; /* the first so many of the waiting ones were given up by a sync that failed */
  for (uint64_t i = 0; i < moment; i++) {
    const op *o = &disk.ops[i];
    if (o->file != file) {
      continue;
    }
    if (o->kind == OP_BAD_SYNC) {
      limbo = wait.count;
    } else if (o->kind == OP_SYNC && limbo == 0) {
      for (size_t k = 0; k < wait.count; k++) {
        apply(&img, wait.ops[k]);
      }
      wait.count = 0;
    } else if (o->kind == OP_SYNC) {
      /* Those in limbo may be lost still. Those behind them are durable, which here means: they are applied last. */
      pending lost = {wait.ops, limbo};
      lose(&img, &lost, loss, seed + i);
      for (size_t k = limbo; k < wait.count; k++) {
        apply(&img, wait.ops[k]);
      }
      wait.count = 0;
      limbo = 0;
    } else {
      wait.ops[wait.count++] = o;
    }
  }
  lose(&img, &wait, loss, seed);
  free(wait.ops);
  return img;
}

static void write_whole(const char *path, bool exists, const void *bytes, size_t size) {
  unlink(path);
  if (exists) {
    FILE *out = must(fopen(path, "wb"));
    if (size && fwrite(bytes, 1, size, out) != size) {
      abort();
    }
    fclose(out);
  }
}

static void lose_lock(uint64_t moment, disk_loss loss, uint64_t seed, const char *to) {
  char path[PATH_SIZE + 16];
  size_t known = 0;
  while (known < disk.lock_count && disk.locks[known].moment <= moment) {
    known++;
  }
  uint64_t random = seed ^ UINT64_C(0x10c);
  size_t chosen = known ? (size_t)(next_random(&random) % (known + 1)) : 0; /* 0: none */
  if (loss == DISK_KEPT) {
    chosen = known;
  }
  snprintf(path, sizeof(path), "%s-lock", to);
  write_whole(path, chosen != 0, chosen ? disk.locks[chosen - 1].text : NULL, chosen ? disk.locks[chosen - 1].size : 0);
}

void disk_lose_power(uint64_t moment, disk_loss loss, uint64_t seed, const char *to) {
  char path[PATH_SIZE + 16];
  assert(moment <= disk.op_count);
  to = to ? to : disk.path;
  for (int i = 0; i < FILES; i++) {
    image img = make_image(i, moment, loss, seed * FILES + (uint64_t)i);
    snprintf(path, sizeof(path), "%s%s", to, suffixes[i]);
    write_whole(path, img.exists, img.bytes, img.size);
    free(img.bytes);
  }
  snprintf(path, sizeof(path), "%s-shm", to);
  unlink(path);
  lose_lock(moment, loss, seed, to);
}
