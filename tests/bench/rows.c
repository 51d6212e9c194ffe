/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The rows that a SQLite store really writes: what each connection's preupdate hook is told, row by row with all its
 * values, and where each transaction ended. So the yardstick needs to know nothing of the library, and writes no row
 * less and no byte less than it.
 */
#define SQLITE_ENABLE_PREUPDATE_HOOK
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

enum { BUFFER_SIZE = 1 << 20 };

static struct {
  int fd;
  bool has_failed;
  bool is_within; /* a transaction that has written */
  size_t used;
  char *buffer;
} recording = {-1, false, false, 0, NULL};

static void flush(void) {
  for (size_t done = 0; done < recording.used && !recording.has_failed;) {
    ssize_t size = write(recording.fd, recording.buffer + done, recording.used - done);
    recording.has_failed = size <= 0;
    done += size > 0 ? (size_t)size : 0;
  }
  recording.used = 0;
}

static void put(const void *bytes, size_t size) {
  const char *at = bytes;
  while (size) {
    if (recording.used == BUFFER_SIZE) {
      flush();
    }
    size_t part = BUFFER_SIZE - recording.used < size ? BUFFER_SIZE - recording.used : size;
    memcpy(recording.buffer + recording.used, at, part);
    recording.used += part;
    at += part;
    size -= part;
  }
}

static bool is_same(sqlite3_value *a, sqlite3_value *b) {
  if (sqlite3_value_type(a) != sqlite3_value_type(b)) {
    return false;
  }
  if (sqlite3_value_type(a) == SQLITE_INTEGER) {
    return sqlite3_value_int64(a) == sqlite3_value_int64(b);
  }
  const void *left = sqlite3_value_blob(a);
  const void *right = sqlite3_value_blob(b);
  int size = sqlite3_value_bytes(a);
  return size == sqlite3_value_bytes(b) && (size == 0 || memcmp(left, right, (size_t)size) == 0);
}

static void put_value(sqlite3_value *from, bool has_changed) {
  rows_value value = {(int16_t)sqlite3_value_type(from), has_changed, 0, 0};
  const void *bytes = NULL;
  if (value.type == SQLITE_INTEGER) {
    value.number = sqlite3_value_int64(from);
  } else if (value.type == SQLITE_TEXT || value.type == SQLITE_BLOB) {
    bytes = sqlite3_value_blob(from);
    value.size = (uint32_t)sqlite3_value_bytes(from);
  }
  put(&value, sizeof(value));
  put(bytes, value.size);
}

static void row_written(void *user, sqlite3 *db, int kind, const char *database, const char *table,
                        sqlite3_int64 before, sqlite3_int64 after) {
  (void)user, (void)database, (void)before, (void)after;
  rows_entry entry = {0, (uint8_t)strlen(table), (uint16_t)sqlite3_preupdate_count(db)};
  entry.kind = kind == SQLITE_INSERT ? ROWS_INSERT : kind == SQLITE_UPDATE ? ROWS_UPDATE : ROWS_DELETE;
  recording.is_within = true;
  put(&entry, sizeof(entry));
  put(table, entry.name_size);
  for (int i = 0; i < entry.columns; i++) {
    sqlite3_value *old = NULL;
    sqlite3_value *value = NULL;
    int code = kind == SQLITE_INSERT ? SQLITE_OK : sqlite3_preupdate_old(db, i, &old);
    if (code == SQLITE_OK && kind != SQLITE_DELETE) {
      code = sqlite3_preupdate_new(db, i, &value);
    }
    recording.has_failed = recording.has_failed || code != SQLITE_OK;
    put_value(value ? value : old, !old || !value || !is_same(old, value));
  }
}

static int committing(void *user) {
  (void)user;
  rows_entry entry = {ROWS_COMMIT, 0, 0};
  put(&entry, sizeof(entry));
  recording.is_within = false;
  return 0;
}

/* What was written in vain would be replayed as if it had counted. */
static void rolled_back(void *user) {
  (void)user;
  recording.has_failed = recording.has_failed || recording.is_within;
}

static int opened(sqlite3 *db, const char **message, const void *api) {
  (void)message, (void)api;
  sqlite3_preupdate_hook(db, row_written, NULL);
  sqlite3_commit_hook(db, committing, NULL);
  sqlite3_rollback_hook(db, rolled_back, NULL);
  return SQLITE_OK;
}

void rows_record(int fd) {
  recording.fd = fd;
  recording.buffer = malloc(BUFFER_SIZE);
  recording.has_failed = !recording.buffer || sqlite3_auto_extension((void (*)(void))opened) != SQLITE_OK;
}

bool rows_finish(void) {
  if (recording.buffer) {
    flush();
  }
  return !recording.has_failed;
}
