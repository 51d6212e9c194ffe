/* SPDX-License-Identifier: Apache-2.0 */

/* A SQLite store's files from outside: by the system's calls and by SQLite without the library. */
#include "sqlite_file.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, STAMP = 8 };

static void must(bool good, const char *path, const char *what) {
  if (!good) {
    fprintf(stderr, "%s: %s failed\n", path, what);
    abort();
  }
}

static const char *beside(char out[1024], const char *path, const char *suffix) {
  snprintf(out, 1024, "%s%s", path, suffix);
  return out;
}

void sqlite_file_remove(const char *path) {
  static const char *const suffixes[] = {"", "-wal", "-shm", "-lock", "-journal"};
  char name[1024];
  for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
    unlink(beside(name, path, suffixes[i]));
  }
}

unsigned char *sqlite_file_read(const char *path, size_t *size) {
  FILE *in = fopen(path, "rb");
  if (!in) {
    return NULL;
  }
  struct stat status;
  must(fstat(fileno(in), &status) == 0, path, "fstat");
  unsigned char *bytes = malloc((size_t)status.st_size + 1);
  must(bytes != NULL, path, "malloc");
  *size = fread(bytes, 1, (size_t)status.st_size, in);
  must(*size == (size_t)status.st_size, path, "reading");
  fclose(in);
  return bytes;
}

void sqlite_file_write(const char *path, const void *bytes, size_t size) {
  FILE *out = fopen(path, "wb");
  must(out != NULL, path, "creating");
  must(size == 0 || fwrite(bytes, 1, size, out) == size, path, "writing");
  must(fclose(out) == 0, path, "closing");
}

void sqlite_file_copy(const char *from, const char *to) {
  static const char *const suffixes[] = {"", "-wal", "-lock"};
  char name[1024];
  sqlite_file_remove(to);
  for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
    size_t size = 0;
    unsigned char *bytes = sqlite_file_read(beside(name, from, suffixes[i]), &size);
    if (bytes) {
      sqlite_file_write(beside(name, to, suffixes[i]), bytes, size);
    }
    free(bytes);
  }
}

void sqlite_file_flip(const char *path, size_t offset, unsigned bit) {
  FILE *file = fopen(path, "r+b");
  must(file != NULL, path, "opening");
  must(fseek(file, (long)offset, SEEK_SET) == 0, path, "seeking");
  int byte = fgetc(file);
  must(byte != EOF, path, "reading");
  must(fseek(file, (long)offset, SEEK_SET) == 0, path, "seeking");
  must(fputc(byte ^ (1 << bit), file) != EOF && fclose(file) == 0, path, "writing");
}

size_t sqlite_file_find(const char *path, const void *bytes, size_t size) {
  size_t length = 0;
  unsigned char *all = sqlite_file_read(path, &length);
  must(all != NULL, path, "reading");
  const unsigned char *at = memmem(all, length, bytes, size);
  size_t offset = at ? (size_t)(at - all) : SIZE_MAX;
  free(all);
  return offset;
}

void sqlite_file_exec(const char *path, const char *sql) {
  sqlite3 *db = NULL;
  must(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK, path, "sqlite3_open");
  int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
  must(code == SQLITE_OK, path, sqlite3_errmsg(db));
  must(sqlite3_close(db) == SQLITE_OK, path, "sqlite3_close");
  size_t size = 0;
  unsigned char *bytes = sqlite_file_read(path, &size);
  must(bytes != NULL && size % PAGE == 0, path, "reading");
  for (size_t page = 0; page < size; page += PAGE) {
    memset(bytes + page + PAGE - STAMP, 0, STAMP);
  }
  sqlite_file_write(path, bytes, size);
  free(bytes);
}
