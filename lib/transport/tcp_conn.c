/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection: bytes in and out, its greeting, and whether anybody is still there.
 *
 * What it keeps: whatever the other side sends costs a bounded amount of memory and time. A frame's bytes are kept only
 * as far as they have come; a connection is read only while there is room for what it asks (tcp_serve.c) and for what
 * it is answered; and a frame that makes no progress is silence, which ends the connection. What no peer would send
 * ends it at once. It never matters to any other connection.
 *
 * Frames are handled where they were read. So a callback can't be within two of them, and after each it is asked
 * whether the connection is still alive.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <utlist.h>

#include "transport/tcp_core.h"

enum {
  KEEP_SIZE = 16 * 1024,     /* an empty buffer that is larger is given back */
  PROGRESS_SIZE = 64 * 1024, /* so much more of a long frame is a sign of life */
  AGAIN_MS = 100             /* after memory was refused */
};

/* ---- the descriptor ---- */

static ptrdiff_t socket_receive(conn *c, char *to, size_t size, cafe_err *err) {
  if (c->tls) {
    return tls_receive(c->tls, to, size, err);
  }
  ptrdiff_t got = recv(c->fd, to, size, 0);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) {
      return IO_AGAIN;
    }
    (void)cafe_fail_detail(err, CAFE_UNAVAILABLE, errno, "%s", strerror(errno));
    return IO_FAILED;
  }
  return got;
}

static ptrdiff_t socket_send(conn *c, const char *from, size_t size, cafe_err *err) {
  if (c->tls) {
    return tls_send(c->tls, from, size, err);
  }
  ptrdiff_t sent = send(c->fd, from, size, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno == EAGAIN || errno == EINTR) {
      return IO_AGAIN;
    }
    (void)cafe_fail_detail(err, CAFE_UNAVAILABLE, errno, "%s", strerror(errno));
    return IO_FAILED;
  }
  return sent;
}

/* Whether there is room for what more it might ask, and for the answers. */
static bool has_room(const conn *c) {
  return c->endpoint || (c->held < HELD_MAX && c->held_bytes < HELD_BYTES_MAX && !conn_is_full(c));
}

static unsigned wanted_events(const conn *c) {
  if (c->state == CONN_CONNECTING) {
    return CAFE_WRITABLE;
  }
  unsigned events = has_room(c) ? CAFE_READABLE : 0u;
  bool wants_write = c->tls ? tls_wants_write(c->tls) : c->is_blocked;
  return wants_write ? events | CAFE_WRITABLE : events;
}

static int conn_watch(conn *c) {
  cafe_loop *loop = c->tcp->loop;
  unsigned events = wanted_events(c);
  if (events == c->watched) {
    return CAFE_OK;
  }
  int code = CAFE_OK;
  if (events) {
    code = loop->ops->watch_start(loop, &c->watch, events, NULL);
  } else {
    loop->ops->watch_stop(loop, &c->watch);
  }
  c->watched = code == CAFE_OK ? events : 0;
  return code;
}

/* After whatever changed what is waited for. */
static void conn_rewatch(conn *c) {
  if (c->state != CONN_DEAD && conn_watch(c) != CAFE_OK) {
    cafe_err err;
    (void)cafe_fail(&err, CAFE_NOMEM, "it can't be watched");
    conn_break(c, &err);
  }
}

/* ---- the end ---- */

void conn_free(conn *c) {
  map_destroy(c->asked);
  buffer_free(&c->in);
  buffer_free(&c->out);
  tcp_free(c->tcp, c);
}

/* Takes it out of everything but its own lists. */
static void conn_kill(conn *c) {
  tcp *self = c->tcp;
  c->state = CONN_DEAD;
  self->loop->ops->watch_stop(self->loop, &c->watch);
  tls_close(c->tls);
  c->tls = NULL;
  (void)close(c->fd);
  due_remove(self, &c->due);
  if (c->is_busy) {
    DL_DELETE2(self->busy, c, busy_prev, busy_next);
    c->is_busy = false;
  }
  DL_DELETE(self->conns, c);
  DL_APPEND(self->dead, c);
  if (!c->endpoint) {
    self->accepted--;
    self->is_full = false;
  }
}

void conn_break(conn *c, const cafe_err *why) {
  if (c->state == CONN_DEAD) {
    return;
  }
  conn_state before = c->state;
  conn_kill(c);
  if (!c->endpoint) {
    asked_forget_all(c, true);
  } else if (before == CONN_READY) {
    endpoint_lost(c->endpoint, c, why);
  } else {
    c->endpoint->conn = NULL;
    endpoint_refused(c->endpoint, why);
  }
}

void conn_drop(conn *c) {
  conn_kill(c);
  asked_forget_all(c, false);
  while (c->calls) {
    call_drop(c->calls);
  }
}

void conn_violate(conn *c, const char *what) {
  if (c->state == CONN_DEAD) {
    return;
  }
  cafe_err err;
  tcp_log(c->tcp, CAFE_LOG_WARN, "the connection %s %s was closed: %s", c->endpoint ? "to" : "from", c->place, what);
  (void)cafe_fail(&err, CAFE_UNAVAILABLE, "the peer isn't one: %s", what);
  conn_break(c, &err);
}

/* ---- output ---- */

void conn_touch(conn *c) {
  tcp *self = c->tcp;
  if (c->state != CONN_DEAD && !c->is_busy) {
    c->is_busy = true;
    DL_APPEND2(self->busy, c, busy_prev, busy_next);
  }
  tcp_plan(self);
}

int conn_put(conn *c, frame *f, cafe_err *err) {
  /* What must be written is bounded by what was asked; whoever asks, and doesn't read, is let go. */
  if (buffer_size(&c->out) > OUT_MAX + (size_t)c->tcp->max_frame) {
    return cafe_fail(err, CAFE_OVERLOADED, "tcp: %s doesn't read what it is sent", c->place);
  }
  int code = frame_put(&c->out, f, c->max_frame, err);
  if (code == CAFE_OK) {
    c->was_full = c->was_full || conn_is_full(c);
    conn_touch(c);
  }
  return code;
}

int conn_put_number(conn *c, frame_kind kind, uint64_t number) {
  frame f = {.kind = kind, .number = number};
  return conn_put(c, &f, NULL);
}

static void conn_flush(conn *c) {
  cafe_err err = {0};
  while (buffer_size(&c->out) > 0) {
    cafe_slice bytes = buffer_bytes(&c->out);
    if (c->tls) {
      c->offered = c->out_begin + bytes.size; /* parts of it may leave before it says so */
    }
    ptrdiff_t sent = socket_send(c, bytes.data, bytes.size, &err);
    if (sent < 0) {
      c->is_blocked = sent == IO_AGAIN;
      if (!c->is_blocked) {
        conn_break(c, &err);
      }
      return;
    }
    buffer_drop(&c->out, (size_t)sent);
    c->out_begin += (uint64_t)sent;
    c->offered = c->offered < c->out_begin ? c->out_begin : c->offered;
  }
  c->is_blocked = false;
  if (c->out.capacity > KEEP_SIZE) {
    buffer_free(&c->out);
  }
  if (c->was_full) {
    c->was_full = false;
    conn_touch(c); /* what waited for room goes on in the next turn */
  }
}

/* ---- frames ---- */

static void put_services(char out[PEER_TEXT_MAX], size_t *size, const char *const *services) {
  *size = 0;
  for (; *services; services++) {
    size_t length = strlen(*services) + 1;
    if (length > PEER_TEXT_MAX - *size) {
      break; /* for people: a part of them will do */
    }
    memcpy(out + *size, *services, length);
    *size += length;
  }
}

static int put_hello(conn *c, cafe_err *err) {
  char services[PEER_TEXT_MAX];
  size_t size;
  put_services(services, &size, c->tcp->offered);
  frame f = {.kind = FRAME_HELLO, .services = {services, size}, .max_frame = c->tcp->max_frame};
  return conn_put(c, &f, err);
}

static void conn_set_ready(conn *c) {
  c->state = CONN_READY;
  c->ready_us = tcp_now_us(c->tcp);
  due_at(c->tcp, &c->due, c->ready_us + c->tcp->idle_us);
}

static void arrive_hello(conn *c, const frame *f) {
  uint32_t unused;
  cafe_err err;
  if (c->state != CONN_GREETING || !frame_texts(&unused, f->services) || f->max_frame == 0) {
    conn_violate(c, "a hello that is none, or a second one");
    return;
  }
  c->max_frame = f->max_frame < INT32_MAX ? f->max_frame : INT32_MAX;
  if (c->endpoint) {
    conn_set_ready(c);
    endpoint_ready(c->endpoint);
    return;
  }
  c->asked = map_create(&c->tcp->allocator, MAP_U64);
  if (!c->asked || put_hello(c, &err) != CAFE_OK) {
    (void)tcp_no_memory(&err);
    conn_break(c, &err);
    return;
  }
  conn_set_ready(c);
}

static void arrive(conn *c, const frame *f, cafe_slice bytes) {
  bool is_asked = !c->endpoint;
  if (f->kind == FRAME_HELLO) {
    arrive_hello(c, f);
  } else if (c->state != CONN_READY) {
    conn_violate(c, "it didn't begin with a hello");
  } else if (f->kind == FRAME_PING) {
    frame pong = {.kind = FRAME_PONG};
    (void)conn_put(c, &pong, NULL); /* without memory it is asked again, or closed as one who is silent */
  } else if (f->kind == FRAME_PONG) {
    return; /* it was heard, that is all */
  } else if (is_asked && f->kind == FRAME_REQUEST) {
    held_arrive(c, f);
  } else if (is_asked && f->kind == FRAME_PULL) {
    feed_arrive(c, f);
  } else if (is_asked && f->kind == FRAME_MORE) {
    feed_arrive_more(c, f);
  } else if (is_asked && (f->kind == FRAME_CANCEL || f->kind == FRAME_FORGET)) {
    asked_arrive_end(c, f);
  } else if (!is_asked && f->kind == FRAME_ANSWER) {
    call_arrive_answer(c, f);
  } else if (!is_asked && f->kind == FRAME_BATCH) {
    tie_arrive_batch(c, f, bytes);
  } else {
    conn_violate(c, "a frame that isn't for this side");
  }
}

/* A newer peer learns our version from our hello; whoever runs the older one reads it in the log. */
static void refuse_version(conn *c, const cafe_err *why) {
  tcp *self = c->tcp;
  bool *is_known = c->endpoint ? &c->endpoint->is_mismatched : &self->is_mismatched;
  if (!*is_known) {
    *is_known = true;
    tcp_log(self, CAFE_LOG_ERROR, "the connection %s %s was refused: %s", c->endpoint ? "to" : "from", c->place,
            why->text);
  }
  if (!c->endpoint && c->state == CONN_GREETING && put_hello(c, NULL) == CAFE_OK) {
    conn_flush(c);
  }
  conn_break(c, why);
}

/* Handles whole frames at the front. Returns how many bytes those had. */
static size_t conn_take(conn *c, cafe_slice bytes) {
  size_t used = 0;
  while (c->state != CONN_DEAD && has_room(c)) {
    cafe_slice one;
    frame f;
    cafe_err err = {0};
    int cut = frame_cut(&one, (cafe_slice){bytes.data + used, bytes.size - used}, c->tcp->max_frame);
    if (cut < 0) {
      conn_violate(c, "a frame of a length that isn't allowed (max_frame)");
    }
    if (cut <= 0) {
      break;
    }
    int code = frame_read(&f, one, &err);
    if (code == CAFE_UNSUPPORTED) {
      err.code = CAFE_UNAVAILABLE;
      refuse_version(c, &err);
    } else if (code != CAFE_OK) {
      conn_violate(c, err.text);
    } else {
      arrive(c, &f, one);
    }
    used += FRAME_LENGTH + one.size;
  }
  return used;
}

/* ---- input ---- */

/* What is left of `bytes`, which began with what was in c->in, is kept. */
static void conn_keep(conn *c, cafe_slice bytes, size_t used) {
  cafe_slice rest = {bytes.data + used, bytes.size - used};
  if (used > 0 || rest.size >= c->progress + PROGRESS_SIZE) {
    c->heard_us = tcp_now_us(c->tcp);
    c->progress = rest.size;
  }
  if (buffer_set(&c->in, rest) != CAFE_OK) {
    cafe_err err;
    (void)tcp_no_memory(&err);
    conn_break(c, &err);
    return;
  }
  if (rest.size == 0 && c->in.capacity > KEEP_SIZE) {
    buffer_free(&c->in);
  }
}

/* A frame that is longer than the shared buffer comes together in the connection's own, which grows as it comes. */
static ptrdiff_t receive_long(conn *c, cafe_err *err) {
  char *to = buffer_reserve(&c->in, READ_SIZE);
  if (!to) {
    (void)tcp_no_memory(err);
    return IO_FAILED;
  }
  ptrdiff_t got = socket_receive(c, to, READ_SIZE, err);
  if (got > 0) {
    buffer_add(&c->in, (size_t)got);
    cafe_slice bytes = buffer_bytes(&c->in);
    size_t used = conn_take(c, bytes);
    if (c->state != CONN_DEAD) {
      conn_keep(c, bytes, used);
    }
  }
  return got;
}

static ptrdiff_t receive_short(conn *c, cafe_err *err) {
  tcp *self = c->tcp;
  size_t had = buffer_size(&c->in);
  ptrdiff_t got = socket_receive(c, self->read_buffer + had, READ_SIZE - had, err);
  if (got > 0) {
    if (had > 0) {
      memcpy(self->read_buffer, c->in.data + c->in.begin, had);
    }
    cafe_slice bytes = {self->read_buffer, had + (size_t)got};
    size_t used = conn_take(c, bytes);
    if (c->state != CONN_DEAD) {
      conn_keep(c, bytes, used);
    }
  }
  return got;
}

static void conn_receive(conn *c) {
  cafe_err err = {0};
  bool is_long = buffer_size(&c->in) >= READ_SIZE / 2;
  ptrdiff_t got = is_long ? receive_long(c, &err) : receive_short(c, &err);
  if (c->state == CONN_DEAD || got == IO_AGAIN) {
    return;
  }
  if (got == 0) {
    (void)cafe_fail(&err, CAFE_UNAVAILABLE, "it closed the connection");
  }
  if (got <= 0) {
    conn_break(c, &err);
  } else if (c->tls) {
    /* What OpenSSL has decrypted the descriptor doesn't tell of. */
    c->has_pending = true;
    conn_touch(c);
  }
}

static bool is_up(const conn *c) { return c->state == CONN_READY || c->state == CONN_GREETING; }

/* Frames that had to wait until there was room. */
static void conn_resume(conn *c) {
  cafe_slice bytes = buffer_bytes(&c->in);
  size_t used = conn_take(c, bytes);
  if (c->state != CONN_DEAD && used > 0) {
    conn_keep(c, bytes, used);
  }
}

void conn_work(conn *c) {
  if (c->has_failed) {
    cafe_err err;
    (void)cafe_fail(&err, CAFE_UNAVAILABLE, "it doesn't read what it is sent, or memory was refused");
    conn_break(c, &err);
    return;
  }
  if (is_up(c) && buffer_size(&c->in) > 0) {
    conn_resume(c);
  }
  if (is_up(c) && c->has_pending && has_room(c)) {
    c->has_pending = false;
    conn_receive(c);
  }
  if (c->state == CONN_READY) {
    feed_pump_all(c);
  }
  if (c->state == CONN_READY && c->endpoint && c->endpoint->waiting) {
    call_send_waiting(c->endpoint);
  }
  if (is_up(c) && !c->is_blocked) {
    conn_flush(c);
  }
  conn_rewatch(c);
}

/* ---- readiness ---- */

static void conn_greet(conn *c) {
  cafe_err err;
  c->state = CONN_GREETING;
  if (c->endpoint && put_hello(c, &err) != CAFE_OK) {
    conn_break(c, &err);
  }
}

static void conn_shake(conn *c) {
  cafe_err err = {0};
  int code = tls_shake(c->tls, &err);
  if (code == CAFE_OK) {
    code = tls_subject(c->peer, sizeof(c->peer), c->tls, &err);
  }
  if (code == CAFE_OK) {
    conn_greet(c);
    c->has_pending = true;
    conn_touch(c);
  } else if (code != CAFE_TIMEOUT) {
    tcp_log(c->tcp, CAFE_LOG_WARN, "the connection %s %s was refused: %s", c->endpoint ? "to" : "from", c->place,
            err.text);
    conn_break(c, &err);
  }
}

void conn_begin(conn *c) {
  tcp *self = c->tcp;
  cafe_err err = {0};
  int one = 1;
  (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* slower without, not wrong */
  if (!self->tls) {
    conn_greet(c);
  } else if (tls_open(&c->tls, self->tls, c->fd, c->endpoint ? c->endpoint->address.host : NULL, &err) != CAFE_OK) {
    conn_break(c, &err);
  } else {
    c->state = CONN_SHAKING;
    conn_shake(c);
  }
}

static void conn_connected(conn *c) {
  int cause = 0;
  socklen_t size = sizeof(cause);
  if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &cause, &size) != 0) {
    cause = errno;
  }
  if (cause) {
    cafe_err err;
    (void)cafe_fail_detail(&err, CAFE_UNAVAILABLE, cause, "%s", strerror(cause));
    conn_break(c, &err);
  } else {
    conn_begin(c);
  }
}

int conn_connect(conn *c, const place *to, cafe_err *err) {
  if (connect(c->fd, &to->any, place_size(to)) == 0 || errno == EINPROGRESS || errno == EINTR) {
    conn_touch(c); /* it is watched from the turn on: writable means that it is decided */
    return CAFE_OK;
  }
  int code = cafe_fail_detail(err, CAFE_UNAVAILABLE, errno, "%s", strerror(errno));
  conn_kill(c);
  return code;
}

static void on_ready(cafe_watch *watch, unsigned events) {
  conn *c = watch->user;
  tcp *self = c->tcp;
  tcp_enter(self);
  if (c->state == CONN_CONNECTING) {
    conn_connected(c);
  } else if (c->state == CONN_SHAKING) {
    conn_shake(c);
  } else {
    /* TLS may have to read before it goes on writing, and the other way round. */
    if (((events & CAFE_READABLE) || c->tls) && has_room(c)) {
      conn_receive(c);
    }
    if (c->state != CONN_DEAD && c->is_blocked && ((events & CAFE_WRITABLE) || c->tls)) {
      conn_flush(c);
    }
  }
  conn_rewatch(c);
  tcp_leave(self);
}

/* ---- silence ---- */

static void conn_check(conn *c, int64_t now_us) {
  tcp *self = c->tcp;
  cafe_err err;
  int64_t silent_us = now_us - c->heard_us;
  if (!has_room(c)) {
    c->heard_us = now_us; /* nobody listens */
    silent_us = 0;
  }
  if (silent_us >= 2 * self->idle_us) {
    (void)cafe_fail(&err, CAFE_UNAVAILABLE, "it was silent for too long (idle_timeout_ms)");
    conn_break(c, &err);
    return;
  }
  if (silent_us >= self->idle_us) {
    frame ping = {.kind = FRAME_PING};
    (void)conn_put(c, &ping, NULL); /* without memory it has until the end as well */
  }
  due_at(self, &c->due, c->heard_us + (silent_us >= self->idle_us ? 2 : 1) * self->idle_us);
}

static void conn_due(due *item) {
  conn *c = (conn *)item;
  if (c->state == CONN_READY) {
    conn_check(c, tcp_now_us(c->tcp));
    if (c->state != CONN_DEAD) {
      conn_touch(c); /* what memory was refused for is tried again */
    }
    return;
  }
  cafe_err err;
  (void)cafe_fail(&err, CAFE_UNAVAILABLE, "it didn't answer within %d ms", GREETING_MS);
  if (!c->endpoint) {
    tcp_log(c->tcp, CAFE_LOG_WARN, "the connection from %s was closed: no hello came within %d ms", c->place,
            GREETING_MS);
  }
  conn_break(c, &err);
}

void conn_retry_soon(conn *c) {
  int64_t at_us = tcp_now_us(c->tcp) + AGAIN_MS * 1000;
  if (c->due.item.due > at_us) {
    due_at(c->tcp, &c->due, at_us);
  }
  tcp_plan(c->tcp);
}

/* ---- the begin ---- */

conn *conn_create(tcp *self, int fd, endpoint *of, const place *at, cafe_err *err) {
  conn *c = NULL;
  int flags = fcntl(fd, F_GETFL, 0);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    (void)cafe_fail_detail(err, CAFE_UNAVAILABLE, errno, "tcp: %s", strerror(errno));
    goto fail;
  }
  c = tcp_alloc(self, sizeof(*c));
  if (!c) {
    (void)tcp_no_memory(err);
    goto fail;
  }
  c->tcp = self;
  c->endpoint = of;
  c->fd = fd;
  c->state = CONN_CONNECTING;
  c->in.allocator = c->out.allocator = &self->allocator;
  c->max_frame = self->max_frame;
  c->watch.fd = fd;
  c->watch.ready = on_ready;
  c->watch.user = c;
  c->heard_us = tcp_now_us(self);
  place_text(c->place, at);
  if (due_add(self, &c->due, conn_due, c->heard_us + GREETING_MS * 1000) != CAFE_OK) {
    (void)tcp_no_memory(err);
    goto fail;
  }
  DL_APPEND(self->conns, c);
  return c;

fail:
  tcp_free(self, c);
  (void)close(fd);
  return NULL;
}
