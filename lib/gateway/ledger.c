/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's books.
 *
 * What it keeps: an idempotency key is entered once, and what was answered by an entry is in the file before, so that
 * no crash makes the gateway forget money that it said it moved.
 *
 * The file is lines of text, each beginning with a checksum of its rest, only ever appended to. Entries wait in
 * `unsaved` and are written together by a job on a lane; the next ones gather meanwhile. A crash while appending leaves
 * a torn last line: nothing was answered by it, and it is cut off when the file is opened. A write that fails (a full
 * disk) leaves `size` where it was, and the next one begins there again. Any other damage is refused.
 */
#include "gateway/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/remedy.h"
#include "cafe/sys/loop.h"

enum { LINE_MAX_SIZE = 200 };

static const char header[] = "cafe sandbox ledger 1\n";

typedef struct text {
  char *data;
  size_t size;
  size_t capacity;
  uint64_t last; /* the number of the last entry in it */
} text;

struct ledger {
  cafe_allocator allocator;
  cafe_loop *loop;
  void (*written)(const cafe_err *err, void *user);
  void *user;
  map *entries;  /* by key */
  map *payments; /* sums, by payment */
  cafe_sandbox_entry total;
  uint64_t count;
  uint64_t durable;

  int fd; /* -1: in memory only */
  char *path;
  off_t size;
  text unsaved;
  text saving; /* the job's while is_writing */
  cafe_job job;
  bool is_writing;
  cafe_err outcome; /* the job's while is_writing */
};

static void *resize(ledger *self, void *block, size_t size) {
  return self->allocator.resize(block, size, self->allocator.user);
}

static int no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "sandbox ledger: memory was refused"); }

/* ---- books ---- */

static void sum(cafe_sandbox_entry *into, const ledger_entry *entry) {
  if (entry->result != CAFE_GATEWAY_DONE) {
    return;
  }
  switch (entry->operation) {
  case CAFE_PAYMENT_AUTHORIZE:
    into->approved_minor += entry->amount_minor;
    into->authorizations++;
    break;
  case CAFE_PAYMENT_CAPTURE:
    into->captured_minor += entry->amount_minor;
    into->captures++;
    break;
  case CAFE_PAYMENT_VOID:
    into->voided_minor += entry->amount_minor;
    into->voids++;
    break;
  case CAFE_PAYMENT_REFUND:
    into->refunded_minor += entry->amount_minor;
    into->refunds++;
    break;
  case CAFE_PAYMENT_NO_OPERATION:
    break;
  }
}

static int enter(const ledger_entry **out, ledger *self, const ledger_entry *entry, cafe_err *err) {
  cafe_sandbox_entry *sums = map_get(self->payments, entry->payment_id);
  ledger_entry *copy = NULL;
  if (!sums) {
    sums = resize(self, NULL, sizeof(*sums));
    if (!sums) {
      return no_memory(err);
    }
    memset(sums, 0, sizeof(*sums));
    if (map_put(self->payments, entry->payment_id, sums) != CAFE_OK) {
      (void)resize(self, sums, 0);
      return no_memory(err);
    }
  }
  copy = resize(self, NULL, sizeof(*copy));
  if (!copy) {
    return no_memory(err);
  }
  *copy = *entry;
  copy->number = self->count + 1;
  if (map_put_bytes(self->entries, cafe_text(copy->key), copy) != CAFE_OK) {
    (void)resize(self, copy, 0);
    return no_memory(err);
  }
  self->count++;
  sum(sums, copy);
  sum(&self->total, copy);
  *out = copy;
  return CAFE_OK;
}

const ledger_entry *ledger_find(const ledger *self, const char *key) {
  return map_get_bytes(self->entries, cafe_text(key));
}

bool ledger_is_file(const ledger *self) { return self->fd >= 0; }

uint64_t ledger_durable(const ledger *self) { return self->fd < 0 ? self->count : self->durable; }

const cafe_sandbox_entry *ledger_total(const ledger *self) { return &self->total; }

cafe_sandbox_entry ledger_payment(const ledger *self, uint64_t payment_id) {
  static const cafe_sandbox_entry none;
  const cafe_sandbox_entry *found = map_get(self->payments, payment_id);
  return found ? *found : none;
}

/* ---- lines ---- */

static uint32_t checksum(const char *bytes, size_t size) {
  uint64_t sum = size;
  for (size_t i = 0; i < size; i++) {
    sum = hash_u64(sum ^ (unsigned char)bytes[i]);
  }
  return (uint32_t)sum;
}

/* With its line end. Returns the size. */
static size_t line_format(char out[LINE_MAX_SIZE], const ledger_entry *entry) {
  char rest[LINE_MAX_SIZE - 10];
  int size = snprintf(rest, sizeof(rest), "%s %llu %d %d %lld %s", entry->key, (unsigned long long)entry->payment_id,
                      (int)entry->operation, (int)entry->result, (long long)entry->amount_minor,
                      entry->currency[0] ? entry->currency : "-");
  assert(size > 0 && (size_t)size < sizeof(rest));
  return (size_t)snprintf(out, LINE_MAX_SIZE, "%08x %s\n", (unsigned)checksum(rest, (size_t)size), rest);
}

/* The next word of a line, and ends it with NUL. */
static const char *next_word(char **line) {
  char *word = *line;
  char *end = strchr(word, ' ');
  *line = end ? end + 1 : word + strlen(word);
  if (end) {
    *end = '\0';
  }
  return word;
}

/* The line without its end. Whether it is one that line_format wrote: that is found by writing it again, so the words
 * need no check of their own but for their size. */
static bool line_parse(ledger_entry *out, const char *line, size_t size) {
  char copy[LINE_MAX_SIZE];
  char again[LINE_MAX_SIZE];
  char *rest = copy;
  if (size >= sizeof(copy) || memchr(line, '\0', size)) {
    return false;
  }
  memcpy(copy, line, size);
  copy[size] = '\0';
  memset(out, 0, sizeof(*out));
  (void)next_word(&rest);
  const char *key = next_word(&rest);
  out->payment_id = strtoull(next_word(&rest), NULL, 10);
  out->operation = (cafe_payment_operation)strtol(next_word(&rest), NULL, 10);
  out->result = (cafe_gateway_result)strtol(next_word(&rest), NULL, 10);
  out->amount_minor = strtoll(next_word(&rest), NULL, 10);
  const char *currency = next_word(&rest);
  if (strlen(key) >= sizeof(out->key) || strlen(currency) >= sizeof(out->currency)) {
    return false;
  }
  memcpy(out->key, key, strlen(key));
  if (strcmp(currency, "-") != 0) {
    memcpy(out->currency, currency, strlen(currency));
  }
  return line_format(again, out) == size + 1 && memcmp(again, line, size) == 0;
}

static int text_reserve(ledger *self, text *t, size_t more) {
  if (t->capacity - t->size >= more) {
    return CAFE_OK;
  }
  size_t capacity = t->capacity * 2 > t->size + more ? t->capacity * 2 : t->size + more;
  char *grown = resize(self, t->data, capacity);
  if (!grown) {
    return CAFE_NOMEM;
  }
  t->data = grown;
  t->capacity = capacity;
  return CAFE_OK;
}

int ledger_add(const ledger_entry **out, ledger *self, const ledger_entry *entry, cafe_err *err) {
  if (self->fd >= 0 && text_reserve(self, &self->unsaved, LINE_MAX_SIZE) != CAFE_OK) {
    return no_memory(err);
  }
  int code = enter(out, self, entry, err);
  if (code == CAFE_OK && self->fd >= 0) {
    self->unsaved.size += line_format(self->unsaved.data + self->unsaved.size, *out);
    self->unsaved.last = (*out)->number;
  }
  return code;
}

/* ---- writing ---- */

static int failure(cafe_err *err, cafe_code code, const char *what, const char *path) {
  int number = errno;
  return cafe_fail_detail(err, code, number, "sandbox ledger %s: %s: %s; %s", path, what, strerror(number),
                          remedy_of_file(number));
}

static bool write_all(int fd, const char *data, size_t size, off_t at) {
  while (size > 0) {
    ssize_t wrote = pwrite(fd, data, size, at);
    if (wrote < 0 && errno == EINTR) {
      continue;
    }
    if (wrote <= 0) {
      return false;
    }
    data += wrote;
    size -= (size_t)wrote;
    at += wrote;
  }
  return true;
}

/* On the lane. What a failure leaves behind `size` is overwritten by the next write, which begins there and holds more.
 */
static void run_write(cafe_job *job) {
  ledger *self = job->user;
  cafe_err_clear(&self->outcome);
  if (!write_all(self->fd, self->saving.data, self->saving.size, self->size) || fdatasync(self->fd) != 0) {
    (void)failure(&self->outcome, CAFE_UNAVAILABLE, "it can't be written", self->path);
  }
}

static void write_done(cafe_job *job) {
  ledger *self = job->user;
  self->is_writing = false;
  bool is_ok = self->outcome.code == CAFE_OK;
  if (is_ok) {
    self->size += (off_t)self->saving.size;
    self->durable = self->saving.last;
    self->saving.size = 0;
  }
  self->written(is_ok ? NULL : &self->outcome, self->user);
}

int ledger_write(ledger *self, cafe_err *err) {
  if (self->is_writing || (self->unsaved.size == 0 && self->saving.size == 0)) {
    return CAFE_OK;
  }
  if (self->saving.size == 0) {
    text empty = self->saving;
    self->saving = self->unsaved;
    self->unsaved = empty;
  } else if (self->unsaved.size > 0 && text_reserve(self, &self->saving, self->unsaved.size) == CAFE_OK) {
    /* The last write failed. */
    memcpy(self->saving.data + self->saving.size, self->unsaved.data, self->unsaved.size);
    self->saving.size += self->unsaved.size;
    self->saving.last = self->unsaved.last;
    self->unsaved.size = 0;
  }
  self->job.run = run_write;
  self->job.done = write_done;
  self->job.user = self;
  int code = self->loop->ops->work(self->loop, CAFE_LANE_READ, &self->job, err);
  self->is_writing = code == CAFE_OK;
  return code;
}

/* ---- opening ---- */

static int corrupt(cafe_err *err, const char *path, size_t line, const char *what) {
  return cafe_fail(err, CAFE_CORRUPT, "sandbox ledger %s, line %zu: %s; restore the file", path, line, what);
}

/* Enters all lines, and sets size to where the next one goes. */
static int parse(ledger *self, const char *data, size_t size, cafe_err *err) {
  size_t at = sizeof(header) - 1;
  size_t number = 1;
  if (size < at && memcmp(data, header, size) == 0) {
    self->size = 0; /* torn while it was made */
    return CAFE_OK;
  }
  if (size < at || memcmp(data, header, at) != 0) {
    return cafe_fail(err, CAFE_INVALID, "sandbox ledger %s: it is a file of another kind", self->path);
  }
  while (at < size) {
    const char *end = memchr(data + at, '\n', size - at);
    ledger_entry entry;
    const ledger_entry *entered;
    number++;
    if (!end) {
      break;
    }
    size_t length = (size_t)(end - data) - at;
    if (!line_parse(&entry, data + at, length)) {
      /* Bytes that were never written, before ones that were. */
      if (at + length + 1 == size && memchr(data + at, '\0', length)) {
        break;
      }
      return corrupt(err, self->path, number, "it is damaged");
    }
    if (ledger_find(self, entry.key)) {
      return corrupt(err, self->path, number, "its key was there before");
    }
    int code = enter(&entered, self, &entry, err);
    if (code != CAFE_OK) {
      return code;
    }
    at += length + 1;
  }
  self->size = (off_t)at;
  self->durable = self->count;
  return CAFE_OK;
}

static int load(ledger *self, cafe_err *err) {
  struct stat st;
  if (fstat(self->fd, &st) != 0) {
    return failure(err, CAFE_INVALID, "it can't be read", self->path);
  }
  if (!S_ISREG(st.st_mode)) {
    return cafe_fail(err, CAFE_INVALID, "sandbox ledger %s: it must be a file", self->path);
  }
  size_t size = (size_t)st.st_size;
  char *data = resize(self, NULL, size + 1);
  if (!data) {
    return no_memory(err);
  }
  size_t got = 0;
  while (got < size) {
    ssize_t more = pread(self->fd, data + got, size - got, (off_t)got);
    if (more < 0 && errno == EINTR) {
      continue;
    }
    if (more <= 0) {
      (void)resize(self, data, 0);
      return failure(err, CAFE_INVALID, "it can't be read", self->path);
    }
    got += (size_t)more;
  }
  int code = parse(self, data, size, err);
  (void)resize(self, data, 0);
  return code;
}

/* A new file survives power loss only if its name does. */
static bool sync_folder(ledger *self) {
  char *slash = strrchr(self->path, '/');
  int fd;
  if (slash && slash != self->path) {
    *slash = '\0';
    fd = open(self->path, O_RDONLY | O_CLOEXEC);
    *slash = '/';
  } else {
    fd = open(slash ? "/" : ".", O_RDONLY | O_CLOEXEC);
  }
  bool is_ok = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0) {
    (void)close(fd);
  }
  return is_ok;
}

/* Cuts off a torn tail, or writes the head of a new file. */
static int settle(ledger *self, cafe_err *err) {
  if (ftruncate(self->fd, self->size) != 0) {
    return failure(err, CAFE_INVALID, "it can't be written", self->path);
  }
  if (self->size == 0) {
    if (!write_all(self->fd, header, sizeof(header) - 1, 0)) {
      return failure(err, CAFE_INVALID, "it can't be written", self->path);
    }
    self->size = (off_t)(sizeof(header) - 1);
  }
  if (fsync(self->fd) != 0 || !sync_folder(self)) {
    return failure(err, CAFE_INVALID, "it can't be written", self->path);
  }
  return CAFE_OK;
}

static int open_file(ledger *self, const char *path, cafe_err *err) {
  size_t size = strlen(path) + 1;
  self->path = resize(self, NULL, size);
  if (!self->path) {
    return no_memory(err);
  }
  memcpy(self->path, path, size);
  self->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
  if (self->fd < 0) {
    bool is_denied = errno == EACCES || errno == EPERM || errno == EROFS;
    return failure(err, is_denied ? CAFE_DENIED : CAFE_INVALID, "it can't be opened", path);
  }
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fcntl(self->fd, F_SETLK, &lock) != 0 && (errno == EACCES || errno == EAGAIN)) {
    return cafe_fail(err, CAFE_DENIED, "sandbox ledger %s: another process has it; stop that first", path);
  }
  int code = load(self, err);
  return code == CAFE_OK ? settle(self, err) : code;
}

static void free_values(ledger *self, map *m) {
  for (map_entry *e = m ? map_first(m) : NULL; e; e = map_next(e)) {
    (void)resize(self, map_value(e), 0);
  }
  map_destroy(m);
}

void ledger_close(ledger *self) {
  if (!self) {
    return;
  }
  while (self->is_writing) {
    int code = self->loop->ops->turn(self->loop, -1);
    assert(code == CAFE_OK && "a sandbox is destroyed inside a turn");
    (void)code;
  }
  if (self->fd >= 0) {
    (void)close(self->fd);
  }
  free_values(self, self->entries);
  free_values(self, self->payments);
  cafe_allocator allocator = self->allocator;
  (void)allocator.resize(self->path, 0, allocator.user);
  (void)allocator.resize(self->unsaved.data, 0, allocator.user);
  (void)allocator.resize(self->saving.data, 0, allocator.user);
  (void)allocator.resize(self, 0, allocator.user);
}

int ledger_open(ledger **out, cafe_loop *loop, const char *path, void (*written)(const cafe_err *err, void *user),
                void *user, const cafe_allocator *allocator, cafe_err *err) {
  ledger *self = allocator->resize(NULL, sizeof(*self), allocator->user);
  if (!self) {
    return no_memory(err);
  }
  memset(self, 0, sizeof(*self));
  self->allocator = *allocator;
  self->loop = loop;
  self->written = written;
  self->user = user;
  self->fd = -1;
  int code = CAFE_OK;
  self->entries = map_create(allocator, MAP_BYTES);
  self->payments = map_create(allocator, MAP_U64);
  if (!self->entries || !self->payments) {
    code = no_memory(err);
  } else if (path) {
    code = open_file(self, path, err);
  }
  if (code != CAFE_OK) {
    ledger_close(self);
    return code;
  }
  *out = self;
  return CAFE_OK;
}
