/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One node per file. The lock is flock(2) on the file PATH-lock: the system gives it back when the process ends, however
 * it ends, so a crash leaves no lock behind, and it also holds against a second store in the same process, which a lock
 * of fcntl(2) wouldn't. A child made by fork() shares the lock until it ends or calls exec.
 *
 * The lock file also holds who has it, for the message to whoever comes second. It goes when the store is closed in
 * order, while it is still locked; who waited for the file that went finds another one under the name, and tries again.
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

enum {
  HOLDER_SIZE = 256, /* the first line, padded */
  LOCK_TRIES = 100   /* each needs another process that closes in between */
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

static int check_folder(const sqlite_store *store, cafe_err *err) {
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
  return cafe_fail(err, CAFE_DENIED, "%s is in use by %s: stop it, or name another file.", sqlite_short(store->path),
                   holder[0] ? holder : "a process that is just starting");
}

static int fail_lock(const sqlite_store *store, cafe_err *err) {
  int cause = errno;
  cafe_code code = cause == EACCES || cause == EPERM || cause == EROFS ? CAFE_DENIED : CAFE_UNAVAILABLE;
  return cafe_fail_detail(err, code, cause, "%s-lock can't be opened: %s.", sqlite_short(store->path),
                          strerror(cause));
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

int sqlite_lock_take(sqlite_lock *lock, sqlite_witness *left, const sqlite_store *store, const char *owner,
                     cafe_err *err) {
  memset(left, 0, sizeof(*left));
  int code = check_folder(store, err);
  if (code != CAFE_OK) {
    return code;
  }
  size_t size = strlen(store->file) + sizeof("-lock");
  lock->path = sqlite_alloc(store, size);
  if (!lock->path) {
    return sqlite_no_memory(err);
  }
  snprintf(lock->path, size, "%s-lock", store->file);
  for (int i = 0; i < LOCK_TRIES; i++) {
    code = try_lock(lock, store, err);
    if (code == CAFE_OK) {
      break;
    }
    if (lock->fd >= 0) {
      close(lock->fd);
      lock->fd = -1;
    }
    if (code != CAFE_CONFLICT) {
      return code;
    }
  }
  if (code != CAFE_OK) {
    return cafe_fail(err, CAFE_UNAVAILABLE, "%s-lock is made and removed all the time: find out by whom.",
                     sqlite_short(store->path));
  }
  char holder[HOLDER_SIZE];
  memset(holder, ' ', sizeof(holder));
  int written = snprintf(holder, sizeof(holder), "%.*s, process %ld", 200, owner, (long)getpid());
  holder[written] = '\n';
  holder[HOLDER_SIZE - 1] = '\n';
  if (pwrite(lock->fd, holder, sizeof(holder), 0) != (ssize_t)sizeof(holder)) {
    return fail_lock(store, err);
  }
  return CAFE_OK;
}

void sqlite_lock_release(sqlite_lock *lock, const sqlite_store *store, bool remove) {
  if (lock->fd >= 0) {
    if (remove) {
      unlink(lock->path);
    }
    close(lock->fd);
    lock->fd = -1;
  }
  sqlite_free(store, lock->path);
  lock->path = NULL;
}
