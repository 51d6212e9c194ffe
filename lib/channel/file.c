/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels that write a line: to standard output, or to a file.
 *
 * What it keeps: a message is one line, whatever it holds, and a line is whole or the last one of the file. It is
 * handed to the system in one write and answered as delivered then: it survives the process, not a power cut. What
 * makes it sure against that is the receiver's, as with every channel. A line that was cut short (a full disk, a crash)
 * is closed by the next one; that delivery wasn't answered, so it comes again whole. A file is made by its first line:
 * whoever only tries to start, and finds the store taken, leaves nothing that another would have to tell from its own.
 */
#include "cafe/channel/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utlist.h>

#include "base/remedy.h"
#include "base/str.h"
#include "cafe/sys/channel.h"
#include "cafe/sys/loop.h"
#include "channel/json.h"

typedef struct line_channel line_channel;

/* A delivery that is written, until it is answered: not inside send. */
typedef struct written {
  line_channel *channel;
  cafe_delivery *delivery;
  cafe_timer timer;
  struct written *prev, *next;
} written;

struct line_channel {
  cafe_channel base;
  cafe_allocator allocator;
  cafe_loop *loop;
  char *path;   /* NULL: standard output */
  int fd;       /* of the file; -1: it isn't there yet */
  bool is_torn; /* the file doesn't end with a line end */
  written *answers;
};

static void written_destroy(written *w) {
  line_channel *self = w->channel;
  self->loop->ops->timer_stop(self->loop, &w->timer);
  DL_DELETE(self->answers, w);
  (void)self->allocator.resize(w, 0, self->allocator.user);
}

static void answer(cafe_timer *timer) {
  written *w = timer->user;
  cafe_delivery *delivery = w->delivery;
  written_destroy(w);
  cafe_delivery_answer(delivery, NULL);
}

/* ---- lines ---- */

static const char *json_line(cafe_arena *arena, const cafe_delivery *delivery, const char *before) {
  const char *object = json_delivery(arena, delivery);
  return object ? arena_printf(arena, "%s%s\n", before, object) : NULL;
}

/* How many bytes at text[i] are a control character: U+0000 to U+001F, U+007F, U+0080 to U+009F. */
static size_t control_size(cafe_slice text, size_t i) {
  unsigned char c = (unsigned char)text.data[i];
  unsigned char next = i + 1 < text.size ? (unsigned char)text.data[i + 1] : 0;
  if (c == 0xc2 && next >= 0x80 && next < 0xa0) {
    return 2;
  }
  return c < 0x20 || c == 0x7f;
}

/* What a terminal would take for a command becomes a space. */
static const char *plain(cafe_arena *arena, cafe_slice text) {
  char *out = cafe_arena_alloc(arena, text.size + 1);
  char *to = out;
  for (size_t i = 0; out && i < text.size; i++) {
    size_t control = control_size(text, i);
    if (control) {
      *to++ = ' ';
      i += control - 1;
    } else {
      *to++ = text.data[i];
    }
  }
  return out;
}

static const char *text_line(cafe_arena *arena, const cafe_delivery *delivery) {
  const char *customer = plain(arena, delivery->customer_id);
  const char *event = plain(arena, delivery->event);
  const char *message = plain(arena, delivery->message);
  if (!customer || !event || !message) {
    return NULL;
  }
  return arena_printf(arena, "%s to %s: %s: %s\n", delivery->notification_id, customer, event, message);
}

/* ---- the file ---- */

static int open_failure(cafe_err *err, const char *path) {
  bool is_denied = errno == EACCES || errno == EPERM || errno == EROFS;
  int cause = errno;
  return cafe_fail_detail(err, is_denied ? CAFE_DENIED : CAFE_INVALID, cause,
                          "channel file: %s can't be opened: %s; %s", path, strerror(cause), remedy_of_file(cause));
}

/* Whether the first message can make the file. */
static int check_folder(line_channel *self, cafe_err *err) {
  char *slash = strrchr(self->path, '/');
  if (!slash) {
    return access(".", W_OK | X_OK) == 0 ? CAFE_OK : open_failure(err, self->path);
  }
  char first = slash[1];
  slash[1] = '\0';
  int failed = access(self->path, W_OK | X_OK);
  slash[1] = first;
  return failed ? open_failure(err, self->path) : CAFE_OK;
}

/* flags: O_CREAT, or 0, where a file that isn't there is left for later. */
static int open_file(line_channel *self, int flags, cafe_err *err) {
  struct stat st;
  char last = '\n';
  /* Not blocking: a pipe that is full is an error. Readable, to see how it ends. */
  int fd = open(self->path, O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK | flags, 0640);
  if (fd < 0) {
    return errno == ENOENT && !flags ? check_folder(self, err) : open_failure(err, self->path);
  }
  if (fstat(fd, &st) != 0 || (S_ISREG(st.st_mode) && st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1)) {
    int code = open_failure(err, self->path);
    (void)close(fd);
    return code;
  }
  self->fd = fd;
  self->is_torn = last != '\n';
  return CAFE_OK;
}

/* ---- sending ---- */

static int write_line(line_channel *self, const char *line, cafe_err *err) {
  size_t size = strlen(line);
  size_t done = 0;
  errno = 0;
  if (!self->path) {
    if (fwrite(line, 1, size, stdout) != size || fflush(stdout) != 0) {
      clearerr(stdout);
      return cafe_fail_detail(err, CAFE_UNAVAILABLE, errno, "channel console: standard output can't be written: %s",
                              strerror(errno));
    }
    return CAFE_OK;
  }
  while (done < size) {
    ssize_t more = write(self->fd, line + done, size - done);
    if (more < 0 && errno == EINTR) {
      continue;
    }
    if (more <= 0) {
      self->is_torn = self->is_torn || done > 0;
      return cafe_fail_detail(err, CAFE_UNAVAILABLE, errno, "channel file: %s can't be written: %s", self->path,
                              strerror(errno));
    }
    done += (size_t)more;
  }
  self->is_torn = false;
  return CAFE_OK;
}

static int channel_send(cafe_channel *base, cafe_delivery *delivery, cafe_err *err) {
  line_channel *self = (line_channel *)base;
  cafe_loop *loop = self->loop;
  int code = self->path && self->fd < 0 ? open_file(self, O_CREAT, err) : CAFE_OK;
  if (code != CAFE_OK) {
    return code;
  }
  cafe_arena *arena = cafe_arena_create(&self->allocator);
  written *w = self->allocator.resize(NULL, sizeof(*w), self->allocator.user);
  const char *line = NULL;
  if (arena && w) {
    line = self->path ? json_line(arena, delivery, self->is_torn ? "\n" : "") : text_line(arena, delivery);
  }
  /* What can fail comes before the write: a line that is there is answered. */
  if (line) {
    memset(w, 0, sizeof(*w));
    w->channel = self;
    w->delivery = delivery;
    w->timer.fire = answer;
    w->timer.user = w;
    DL_APPEND(self->answers, w);
    code = loop->ops->timer_start(loop, &w->timer, loop->ops->now_us(loop), err);
    if (code == CAFE_OK) {
      code = write_line(self, line, err);
    }
    if (code == CAFE_OK) {
      delivery->channel_data[0] = w;
    } else {
      written_destroy(w);
    }
  } else {
    (void)self->allocator.resize(w, 0, self->allocator.user);
    code = cafe_fail(err, CAFE_NOMEM, "channel %s: memory was refused", base->name);
  }
  cafe_arena_destroy(arena);
  return code;
}

static void channel_stop(cafe_channel *base, cafe_delivery *delivery) {
  (void)base;
  written_destroy(delivery->channel_data[0]);
}

static void channel_destroy(cafe_channel *base) {
  line_channel *self = (line_channel *)base;
  assert(!self->answers && "a delivery outlives its channel");
  cafe_allocator allocator = self->allocator;
  if (self->fd >= 0) {
    (void)close(self->fd);
  }
  (void)allocator.resize(self->path, 0, allocator.user);
  (void)allocator.resize(self, 0, allocator.user);
}

static const cafe_channel_ops line_ops = {
    .size = sizeof(cafe_channel_ops),
    .send = channel_send,
    .stop = channel_stop,
    .destroy = channel_destroy,
};

/* ---- making ---- */

static line_channel *create(cafe_loop *loop, const char *name, const cafe_allocator *allocator, cafe_err *err) {
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  line_channel *self = allocator->resize(NULL, sizeof(*self), allocator->user);
  if (!self) {
    (void)cafe_fail(err, CAFE_NOMEM, "channel %s: memory was refused", name);
    return NULL;
  }
  memset(self, 0, sizeof(*self));
  self->base.ops = &line_ops;
  self->base.name = name;
  self->allocator = *allocator;
  self->loop = loop;
  self->fd = -1;
  return self;
}

int cafe_console_create(cafe_channel **out, cafe_loop *loop, const cafe_allocator *allocator, cafe_err *err) {
  line_channel *self = create(loop, "console", allocator, err);
  if (!self) {
    return CAFE_NOMEM;
  }
  *out = &self->base;
  return CAFE_OK;
}

int cafe_file_channel_create(cafe_channel **out, cafe_loop *loop, const char *path, const cafe_allocator *allocator,
                             cafe_err *err) {
  line_channel *self = create(loop, "file", allocator, err);
  if (!self) {
    return CAFE_NOMEM;
  }
  int code;
  size_t size = strlen(path) + 1;
  self->path = self->allocator.resize(NULL, size, self->allocator.user);
  if (!self->path) {
    code = cafe_fail(err, CAFE_NOMEM, "channel file: memory was refused");
    goto fail;
  }
  memcpy(self->path, path, size);
  code = open_file(self, 0, err);
  if (code != CAFE_OK) {
    goto fail;
  }
  *out = &self->base;
  return CAFE_OK;

fail:
  channel_destroy(&self->base);
  return code;
}
