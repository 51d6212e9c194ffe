/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One node per file, and what that node knows to be durable.
 *
 * The lock is flock(2) on the file PATH-lock: the system gives it back when the process ends, however it ends, so a
 * crash leaves no lock behind, and it also holds against a second store in the same process, which a lock of fcntl(2)
 * wouldn't. A child made by fork() shares the lock until it ends or calls exec.
 *
 * The file has two lines. The first says who has the lock, for the message to whoever comes second. The second is the
 * witness that sqlite_wal.c and sqlite.c hear after a crash: what was durable. It is written over after each commit,
 * not synced, for it only has to be true: it is written after the sync that it tells of, so an older one, which a power
 * loss may bring back, tells less and nothing wrong. It has a checksum, and a torn one is none. A writer that doesn't
 * sync its commits says that once, synced, before the first.
 *
 * The file goes when the store is closed in order, while it is still locked; who waited for the file that went finds
 * another one under the name, and tries again. A new holder leaves the second line alone until it has been heard.
 */
#include "store/sqlite_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/statfs.h>
#endif

#include "base/remedy.h"

enum {
  HOLDER_SIZE = 256,  /* the first line, padded */
  WITNESS_SIZE = 192, /* the second; both in one sector of a disk */
  LOCK_TRIES = 100    /* each needs another process that closes in between */
};

bool sqlite_is_remote(unsigned long type) {
  /* From linux/magic.h and statfs(2). Neither locks nor shared memory can be relied upon there. FUSE isn't one: most of
   * what it mounts is local. */
  static const uint32_t remote[] = {
      0x6969,     /* NFS */
      0x517b,     /* SMB */
      0xff534d42, /* CIFS */
      0xfe534d42, /* SMB2 */
      0x5346414f, /* AFS */
      0x6b414653, /* AFS of the kernel */
      0x73757245, /* Coda */
      0x564c,     /* NCP */
      0x01021997, /* 9P */
      0x00c36400, /* Ceph */
      0x0bd00bd0, /* Lustre */
      0x47504653, /* GPFS */
      0x7461636f, /* OCFS2 */
      0x01161970, /* GFS2 */
  };
  for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++) {
    if ((uint32_t)type == remote[i]) {
      return true;
    }
  }
  return false;
}

static int check_place(const sqlite_store *store, cafe_err *err) {
  char *folder = sqlite_copy_text(store, store->file);
  if (!folder) {
    return sqlite_no_memory(err);
  }
  char *slash = strrchr(folder, '/');
  if (slash) {
    slash[slash == folder ? 1 : 0] = '\0';
  }
  const char *name = slash ? folder : ".";
  int code = CAFE_OK;
  struct stat status;
  if (stat(name, &status) != 0 || !S_ISDIR(status.st_mode)) {
    code = cafe_fail_detail(err, CAFE_NOT_FOUND, errno, "The folder of %s isn't there: make it.",
                            sqlite_short(store->path));
  }
  if (code == CAFE_OK && stat(store->file, &status) == 0 && S_ISDIR(status.st_mode)) {
    code = cafe_fail(err, CAFE_INVALID, "%s is a folder: name a file.", sqlite_short(store->path));
  }
  if (code == CAFE_OK && access(store->file, R_OK | W_OK) != 0 && errno != ENOENT) {
    int cause = errno;
    code = cafe_fail_detail(err, CAFE_DENIED, cause, "%s can't be read and written: %s; %s.", sqlite_short(store->path),
                            strerror(cause), remedy_of_file(cause));
  }
#ifdef __linux__
  struct statfs system;
  if (code == CAFE_OK && statfs(name, &system) == 0 && sqlite_is_remote((unsigned long)system.f_type)) {
    code = cafe_fail(err, CAFE_UNSUPPORTED,
                     "%s is on a network file system, where SQLite can't keep it safe: use a local disk.",
                     sqlite_short(store->path));
  }
#endif
  sqlite_free(store, folder);
  return code;
}

static int deny(const sqlite_lock *lock, const sqlite_store *store, cafe_err *err) {
  char holder[HOLDER_SIZE + 1];
  ssize_t size = pread(lock->fd, holder, HOLDER_SIZE, 0);
  holder[size > 0 ? size : 0] = '\0';
  holder[strcspn(holder, "\n")] = '\0';
  for (size_t end = strlen(holder); end && holder[end - 1] == ' '; end--) {
    holder[end - 1] = '\0';
  }
  return cafe_fail(err, CAFE_DENIED, "%s is in use by %s: stop it, or name another file.", sqlite_short(store->path),
                   holder[0] ? holder : "a process that is just starting");
}

static int fail_lock(const sqlite_store *store, cafe_err *err) {
  int cause = errno;
  cafe_code code = cause == EACCES || cause == EPERM || cause == EROFS ? CAFE_DENIED : CAFE_UNAVAILABLE;
  return cafe_fail_detail(err, code, cause, "%s-lock can't be written: %s; %s.", sqlite_short(store->path),
                          strerror(cause), remedy_of_file(cause));
}

/* Opens and locks the file that has the name now. CAFE_CONFLICT: it had another one by then. */
static int try_lock(sqlite_lock *lock, const sqlite_store *store, cafe_err *err) {
  lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock->fd < 0) {
    return fail_lock(store, err);
  }
  int code;
  while ((code = flock(lock->fd, LOCK_EX | LOCK_NB)) != 0 && errno == EINTR) {
  }
  if (code != 0) {
    return errno == EWOULDBLOCK ? deny(lock, store, err) : fail_lock(store, err);
  }
  struct stat locked;
  struct stat named;
  if (fstat(lock->fd, &locked) != 0) {
    return fail_lock(store, err);
  }
  if (stat(lock->path, &named) != 0 || locked.st_ino != named.st_ino || locked.st_dev != named.st_dev) {
    return CAFE_CONFLICT;
  }
  return CAFE_OK;
}

/* Until one that stays: the file may go between its opening and its locking. */
static int lock_file(sqlite_lock *lock, const sqlite_store *store, cafe_err *err) {
  for (int i = 0; i < LOCK_TRIES; i++) {
    int code = try_lock(lock, store, err);
    if (code == CAFE_OK) {
      return CAFE_OK;
    }
    if (lock->fd >= 0) {
      close(lock->fd);
      lock->fd = -1;
    }
    if (code != CAFE_CONFLICT) {
      return code;
    }
  }
  return cafe_fail(err, CAFE_UNAVAILABLE, "%s-lock is made and removed all the time: find out by whom.",
                   sqlite_short(store->path));
}

static int write_holder(const sqlite_lock *lock, const sqlite_store *store, const char *owner, cafe_err *err) {
  char line[HOLDER_SIZE];
  int size = snprintf(line, sizeof(line), "%.200s, process %ld", owner, (long)getpid());
  memset(line + size, ' ', sizeof(line) - (size_t)size);
  line[HOLDER_SIZE - 1] = '\n';
  return pwrite(lock->fd, line, sizeof(line), 0) == (ssize_t)sizeof(line) ? CAFE_OK : fail_lock(store, err);
}

static const char full_format[] = "durable log=%llu head=%llu salts=%x-%x frames=%u sums=%x-%x";
static const char relaxed_text[] = "not synced";
static const char checksum_format[] = " checksum=%08x";

/* Nothing told: what is no witness of ours is none. */
static void read_witness(const sqlite_lock *lock, sqlite_witness *out) {
  char line[WITNESS_SIZE + 1];
  ssize_t size = pread(lock->fd, line, WITNESS_SIZE, HOLDER_SIZE);
  line[size > 0 ? size : 0] = '\0';
  char *end = strstr(line, " checksum=");
  unsigned checksum;
  memset(out, 0, sizeof(*out));
  if (!end || sscanf(end, checksum_format, &checksum) != 1 ||
      checksum != sqlite_checksum_bytes(line, (size_t)(end - line))) {
    return;
  }
  *end = '\0';
  if (strcmp(line, relaxed_text) == 0) {
    out->is_relaxed = true;
    return;
  }
  unsigned long long log_id;
  unsigned long long head;
  sqlite_witness told = {.is_relaxed = false};
  if (sscanf(line, full_format, &log_id, &head, &told.salt[0], &told.salt[1], &told.frames, &told.checksum[0],
             &told.checksum[1]) == 7) {
    told.log_id = log_id;
    told.head = head;
    *out = told;
  }
}

int sqlite_lock_take(sqlite_lock *lock, sqlite_witness *left, const sqlite_store *store, const char *owner,
                     cafe_err *err) {
  int code = check_place(store, err);
  if (code != CAFE_OK) {
    return code;
  }
  size_t size = strlen(store->file) + sizeof("-lock");
  lock->path = sqlite_alloc(store, size);
  if (!lock->path) {
    return sqlite_no_memory(err);
  }
  snprintf(lock->path, size, "%s-lock", store->file);
  code = lock_file(lock, store, err);
  if (code == CAFE_OK) {
    read_witness(lock, left);
    lock->is_blank = left->log_id == 0 && !left->is_relaxed;
    code = write_holder(lock, store, owner, err);
  }
  return code;
}

int sqlite_sync_folder(const sqlite_store *store, const char *file) {
  char *folder = sqlite_copy_text(store, file);
  if (!folder) {
    errno = ENOMEM;
    return CAFE_NOMEM;
  }
  char *slash = strrchr(folder, '/');
  if (slash) {
    slash[1] = '\0';
  }
  int fd = open(slash ? folder : ".", O_RDONLY | O_CLOEXEC);
  sqlite_free(store, folder);
  int code = fd >= 0 && fsync(fd) == 0 ? CAFE_OK : CAFE_UNAVAILABLE;
  int cause = errno;
  if (fd >= 0) {
    close(fd);
  }
  errno = cause;
  return code;
}

/* The file's name is durable once its folder is. */
static int sync_lock(const sqlite_lock *lock, const sqlite_store *store, cafe_err *err) {
  int code = fsync(lock->fd) == 0 ? sqlite_sync_folder(store, lock->path) : CAFE_UNAVAILABLE;
  if (code == CAFE_NOMEM) {
    return sqlite_no_memory(err);
  }
  return code == CAFE_OK ? CAFE_OK : fail_lock(store, err);
}

int sqlite_lock_write(sqlite_lock *lock, const sqlite_store *store, const sqlite_witness *witness, bool is_durable,
                      cafe_err *err) {
  char line[WITNESS_SIZE];
  int size = witness->is_relaxed ? snprintf(line, sizeof(line), relaxed_text)
                                 : snprintf(line, sizeof(line), full_format, (unsigned long long)witness->log_id,
                                            (unsigned long long)witness->head, witness->salt[0], witness->salt[1],
                                            witness->frames, witness->checksum[0], witness->checksum[1]);
  uint32_t checksum = sqlite_checksum_bytes(line, (size_t)size);
  size += snprintf(line + size, sizeof(line) - (size_t)size, checksum_format, checksum);
  memset(line + size, ' ', sizeof(line) - (size_t)size);
  line[WITNESS_SIZE - 1] = '\n';
  if (pwrite(lock->fd, line, sizeof(line), HOLDER_SIZE) != (ssize_t)sizeof(line)) {
    return fail_lock(store, err);
  }
  lock->is_blank = false;
  return is_durable ? sync_lock(lock, store, err) : CAFE_OK;
}

void sqlite_lock_release(sqlite_lock *lock, const sqlite_store *store, bool remove) {
  if (lock->fd >= 0) {
    if (remove || lock->is_blank) {
      unlink(lock->path);
    }
    close(lock->fd);
    lock->fd = -1;
  }
  sqlite_free(store, lock->path);
  lock->path = NULL;
}
