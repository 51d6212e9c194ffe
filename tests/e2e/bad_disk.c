/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A disk that fails, for a real process: preloaded, it stands between the program and the system's calls. While the
 * file BAD_DISK is there its first word says what happens to files of a store (BAD_DISK_FILES is in their path):
 *
 *   full    nothing can be written (ENOSPC)
 *   write   writing fails (EIO)
 *   sync    what was written can't be made durable (EIO)
 *   hang    writing doesn't come to an end
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static bool is_of_store(int fd) {
  char link[64], path[4096];
  const char *part = getenv("BAD_DISK_FILES");
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size <= 0 || !part)
    return false;
  path[size] = '\0';
  return strstr(path, part) != NULL;
}

static bool is_now(const char *what) {
  char word[16] = "";
  const char *name = getenv("BAD_DISK");
  int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0)
    return false;
  ssize_t size = read(fd, word, sizeof word - 1);
  close(fd);
  return size > 0 && strncmp(word, what, strlen(what)) == 0;
}

/* 0, or the errno of a call that would change the file. */
static int fails_to_write(int fd) {
  int failure = 0, before = errno;
  while (is_now("hang") && is_of_store(fd))
    (void)usleep(1000);
  if (is_now("full"))
    failure = ENOSPC;
  else if (is_now("write"))
    failure = EIO;
  if (failure && !is_of_store(fd))
    failure = 0;
  errno = before;
  return failure;
}

static int fails_to_sync(int fd) {
  int before = errno;
  int failure = is_now("sync") && is_of_store(fd) ? EIO : 0;
  errno = before;
  return failure;
}

/* The system's own, found once. */
#define REAL(function)                                                                                                 \
  static __typeof__(&function) real;                                                                                   \
  if (!real)                                                                                                           \
  *(void **)&real = dlsym(RTLD_NEXT, #function)

#define REFUSE(failure)                                                                                                \
  do {                                                                                                                 \
    int code = (failure);                                                                                              \
    if (code) {                                                                                                        \
      errno = code;                                                                                                    \
      return -1;                                                                                                       \
    }                                                                                                                  \
  } while (0)

ssize_t write(int fd, const void *bytes, size_t size) {
  REAL(write);
  REFUSE(fails_to_write(fd));
  return real(fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
  REAL(pwrite);
  REFUSE(fails_to_write(fd));
  return real(fd, bytes, size, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
  REAL(pwrite64);
  REFUSE(fails_to_write(fd));
  return real(fd, bytes, size, at);
}

int ftruncate(int fd, off_t size) {
  REAL(ftruncate);
  REFUSE(fails_to_write(fd));
  return real(fd, size);
}

int ftruncate64(int fd, off64_t size) {
  REAL(ftruncate64);
  REFUSE(fails_to_write(fd));
  return real(fd, size);
}

int fsync(int fd) {
  REAL(fsync);
  REFUSE(fails_to_sync(fd));
  return real(fd);
}

int fdatasync(int fd) {
  REAL(fdatasync);
  REFUSE(fails_to_sync(fd));
  return real(fd);
}
