/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A log without a subscription: what reading its rows takes by bare SQL, what the store's own method takes, and what it
 * takes to bring so many bytes from one process to another. What a subscriber gets is beside these, read by read, with
 * the same digest over what was read.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hash.h"
#include "subscriber.h"

enum { READ_AT_ONCE = 512, PIECE_MAX = 1 << 20 };

static void fail(log_reading *out, const char *doing, const char *why) {
  if (!out->failure[0]) {
    snprintf(out->failure, sizeof(out->failure), "%s: %.200s", doing, why);
  }
}

/* ---- what was read ---- */

/* Eight bytes at a time: it must cost less than what it watches over. */
static uint64_t digest_bytes(uint64_t digest, const char *bytes, size_t size) {
  uint64_t word = 0;
  for (; size >= sizeof(word); bytes += sizeof(word), size -= sizeof(word)) {
    memcpy(&word, bytes, sizeof(word));
    digest = (digest ^ word) * UINT64_C(0x9e3779b97f4a7c15);
  }
  word = size;
  if (size) {
    memcpy(&word, bytes, size);
  }
  return (digest ^ word) * UINT64_C(0x9e3779b97f4a7c15);
}

bool log_sum_add(log_sum *sum, const cafe_stored_event *event) {
  size_t aggregate = strlen(event->aggregate);
  size_t type = strlen(event->type);
  const uint64_t numbers[] = {event->n, event->key, event->version, (uint64_t)event->time_ms};
  if (event->n != sum->last + 1) {
    return false;
  }
  uint64_t digest = digest_bytes(sum->digest, (const char *)numbers, sizeof(numbers));
  digest = digest_bytes(digest, event->aggregate, aggregate);
  digest = digest_bytes(digest, event->type, type);
  digest = digest_bytes(digest, event->data.data, event->data.size);
  digest = digest_bytes(digest, event->trace.data, event->trace.size);
  sum->digest = hash_u64(digest_bytes(digest, event->meta.data, event->meta.size));
  sum->bytes += aggregate + type + event->data.size + event->trace.size + event->meta.size + 5 * sizeof(uint64_t);
  sum->events++;
  sum->last = event->n;
  return true;
}

/* ---- bare SQL ---- */

static cafe_slice column(sqlite3_stmt *statement, int place) {
  cafe_slice found = {sqlite3_column_blob(statement, place), 0};
  found.size = (size_t)sqlite3_column_bytes(statement, place);
  return found;
}

static bool take_row(log_reading *out, sqlite3_stmt *statement) {
  cafe_stored_event event = {
      .n = (uint64_t)sqlite3_column_int64(statement, 0),
      .key = (uint64_t)sqlite3_column_int64(statement, 1),
      .aggregate = (const char *)sqlite3_column_text(statement, 2),
      .version = (uint64_t)sqlite3_column_int64(statement, 3),
      .type = (const char *)sqlite3_column_text(statement, 4),
      .time_ms = sqlite3_column_int64(statement, 5),
      .trace = column(statement, 6),
      .data = column(statement, 7),
      .meta = column(statement, 8),
  };
  (void)sqlite3_column_int64(statement, 9);
  return event.aggregate && event.type && log_sum_add(&out->sum, &event);
}

void log_read_sql(log_reading *out, const char *path) {
  static const char sql[] = "SELECT position, \"key\", aggregate, version, type, time_ms, trace, data, meta, checksum "
                            "FROM events WHERE position > ?1 ORDER BY position LIMIT ?2";
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  bench_usage start;
  memset(out, 0, sizeof(*out));
  bool is_open = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
                 sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) == SQLITE_OK;
  counted_now(&start);
  for (uint64_t before = 1; is_open && before != out->sum.last;) {
    int code;
    before = out->sum.last;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)before);
    sqlite3_bind_int64(statement, 2, READ_AT_ONCE);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW && take_row(out, statement)) {
    }
    is_open = code == SQLITE_DONE;
    sqlite3_reset(statement);
    out->batches++;
    out->max_batch = READ_AT_ONCE;
  }
  counted_since(&out->used, &start);
  if (!is_open) {
    fail(out, "reading the log by bare SQL", db ? sqlite3_errmsg(db) : "no memory");
  }
  sqlite3_finalize(statement);
  sqlite3_close(db);
}

/* ---- the store ---- */

static int see_event(const cafe_stored_event *event, void *user) {
  log_reading *out = user;
  return log_sum_add(&out->sum, event) ? CAFE_OK : CAFE_CORRUPT;
}

void log_read_store(log_reading *out, cafe_store *store) {
  cafe_log_query query = {.size = sizeof(query), .limit = READ_AT_ONCE};
  cafe_err err;
  bench_usage start;
  memset(out, 0, sizeof(*out));
  counted_now(&start);
  do {
    query.after = out->sum.last;
    if (store->ops->read_log(store, &query, see_event, out, &err) != CAFE_OK) {
      fail(out, "reading the log by the store's method", err.text);
      break;
    }
    out->batches++;
    out->max_batch = READ_AT_ONCE;
  } while (out->sum.last < query.head);
  counted_since(&out->used, &start);
}

/* ---- a bare socket ---- */

typedef struct sending {
  int listener;
  uint64_t bytes;
  uint64_t piece;
} sending;

static void send_all(int control, void *user) {
  const sending *what = user;
  static char block[PIECE_MAX];
  int fd = accept(what->listener, NULL, NULL);
  for (uint64_t left = what->bytes; fd >= 0 && left > 0;) {
    uint64_t piece = left < what->piece ? left : what->piece;
    if (!isolated_send(fd, block, piece)) {
      break;
    }
    left -= piece;
  }
  bench_usage used;
  static const bench_usage start;
  counted_since(&used, &start);
  (void)isolated_send(control, &used, sizeof(used));
}

static int connect_to(int listener) {
  struct sockaddr_in at;
  socklen_t size = sizeof(at);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 &&
      (getsockname(listener, (struct sockaddr *)&at, &size) != 0 || connect(fd, (struct sockaddr *)&at, size) != 0)) {
    close(fd);
    fd = -1;
  }
  return fd;
}

void log_read_socket(log_reading *out, uint64_t bytes, uint64_t piece) {
  static char block[PIECE_MAX];
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  sending what = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), bytes, piece < PIECE_MAX ? piece : PIECE_MAX};
  isolated child = {-1, -1};
  bench_usage start;
  bench_usage sender = {0};
  memset(out, 0, sizeof(*out));
  bool is_there = what.listener >= 0 && bind(what.listener, (struct sockaddr *)&at, sizeof(at)) == 0 &&
                  listen(what.listener, 1) == 0 && isolated_begin(&child, send_all, &what);
  int fd = is_there ? connect_to(what.listener) : -1;
  counted_now(&start);
  while (fd >= 0 && out->wire < bytes) {
    ssize_t got = recv(fd, block, sizeof(block), 0);
    if (got <= 0 && errno != EINTR) {
      break;
    }
    out->wire += got > 0 ? (uint64_t)got : 0;
    out->batches++;
  }
  counted_since(&out->used, &start);
  if (out->wire != bytes || !isolated_receive(child.control, &sender, sizeof(sender), -1)) {
    fail(out, "copying bytes through a socket", strerror(errno));
  }
  out->used.cpu_ns += sender.cpu_ns;
  isolated_end(&child);
  close(fd);
  close(what.listener);
}
