/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection's bytes: what goes out, and what comes in.
 *
 * What it keeps: whatever the other side sends costs a bounded amount of memory and time. A frame's bytes are kept only
 * as far as they have come; a connection is read only while there is room for what it asks (tcp_serve.c) and for what
 * it is answered. What no peer would send ends it at once. It never matters to any other connection.
 *
 * Frames are handled where they were read. So a callback can't be within two of them, and after each it is asked
 * whether the connection is still alive.
 */
#include <errno.h>

#include <utlist.h>

#include "transport/tcp_core.h"

enum {
  KEEP_SIZE = 16 * 1024,    /* an empty buffer that is larger is given back */
  PROGRESS_SIZE = 64 * 1024 /* so much more of a long frame is a sign of life */
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
    room_count(c);
    room_make(c->tcp);
  }
  return code;
}

int conn_put_number(conn *c, frame_kind kind, uint64_t number) {
  frame f = {.kind = kind, .number = number};
  return conn_put(c, &f, NULL);
}

void conn_flush(conn *c) {
  cafe_err err = {0};
  bool has_moved = false;
  while (buffer_size(&c->out) > 0) {
    cafe_slice bytes = buffer_bytes(&c->out);
    if (c->tls) {
      c->offered = c->out_begin + bytes.size; /* parts of it may leave before it says so */
    }
    ptrdiff_t sent = socket_send(c, bytes.data, bytes.size, &err);
    if (sent == IO_AGAIN) {
      c->moved_us = has_moved || !c->is_blocked ? tcp_now_us(c->tcp) : c->moved_us;
      c->is_blocked = true;
      return;
    }
    if (sent < 0) {
      conn_break(c, &err);
      return;
    }
    has_moved = true;
    buffer_drop(&c->out, (size_t)sent);
    c->out_begin += (uint64_t)sent;
    c->offered = c->offered < c->out_begin ? c->out_begin : c->offered;
  }
  c->is_blocked = false;
  if (c->out.capacity > KEEP_SIZE) {
    buffer_free(&c->out);
    room_count(c);
  }
  if (c->was_full) {
    c->was_full = false;
    conn_touch(c); /* what waited for room goes on in the next turn */
  }
}

void conn_flush_last(conn *c) {
  cafe_err unused;
  while (buffer_size(&c->out) > 0) {
    cafe_slice bytes = buffer_bytes(&c->out);
    ptrdiff_t sent = socket_send(c, bytes.data, bytes.size, &unused);
    if (sent < 0) {
      return; /* as if the line had broken a moment earlier */
    }
    buffer_drop(&c->out, (size_t)sent);
  }
}

/* ---- frames ---- */

int conn_put_hello(conn *c, cafe_err *err) {
  tcp *self = c->tcp;
  if (frame_put_texts(&self->names, self->offered) != CAFE_OK) {
    return tcp_no_memory(err);
  }
  frame f = {.kind = FRAME_HELLO, .services = buffer_bytes(&self->names), .max_frame = self->max_frame};
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
    endpoint_ready(c->endpoint, f->services);
    return;
  }
  c->asked = map_create(&c->tcp->allocator, MAP_U64);
  if (!c->asked || conn_put_hello(c, &err) != CAFE_OK) {
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
  if (!c->endpoint && c->state == CONN_GREETING && conn_put_hello(c, NULL) == CAFE_OK) {
    conn_flush(c);
  }
  conn_break(c, why);
}

/* A hello is short, and nobody else says anything before it. */
static size_t longest_frame(const conn *c) {
  enum { HELLO_MAX = RESERVE - FRAME_LENGTH };
  return c->state == CONN_GREETING && c->tcp->max_frame > HELLO_MAX ? HELLO_MAX : c->tcp->max_frame;
}

/* Handles whole frames at the front. Returns how many bytes those had. */
static size_t conn_take(conn *c, cafe_slice bytes) {
  size_t used = 0;
  while (c->state != CONN_DEAD && conn_has_room(c)) {
    cafe_slice one;
    frame f;
    cafe_err err = {0};
    int cut = frame_cut(&one, (cafe_slice){bytes.data + used, bytes.size - used}, longest_frame(c));
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

/* Makes c->in hold just these bytes, which may lie in it; after a long frame it gives its memory back. */
static int set_input(conn *c, cafe_slice rest) {
  if (c->in.capacity <= KEEP_SIZE || rest.size >= c->in.capacity / 4) {
    return buffer_set(&c->in, rest);
  }
  buffer old = c->in;
  c->in = (buffer){.allocator = old.allocator};
  int code = rest.size > 0 ? buffer_set(&c->in, rest) : CAFE_OK;
  buffer_free(&old);
  return code;
}

/* What is left of `bytes`, which began with what was in c->in, is kept. */
static void conn_keep(conn *c, cafe_slice bytes, size_t used) {
  cafe_slice rest = {bytes.data + used, bytes.size - used};
  if (used > 0 || rest.size >= c->progress + PROGRESS_SIZE) {
    c->heard_us = tcp_now_us(c->tcp);
    c->progress = rest.size;
  }
  int code = set_input(c, rest);
  room_count(c);
  if (code != CAFE_OK) {
    cafe_err err;
    (void)tcp_no_memory(&err);
    conn_break(c, &err);
  } else if (used > 0) {
    room_leave(c);
  }
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* A frame that is longer than the shared buffer comes together in the connection's own, which grows as it comes: by a
 * quarter, not beyond the frame's end, and not beyond the room. */
static ptrdiff_t receive_long(conn *c, cafe_err *err) {
  size_t had = buffer_size(&c->in);
  size_t missing = frame_missing(buffer_bytes(&c->in));
  size_t wanted = missing ? missing : READ_SIZE;
  size_t unused = c->in.capacity - had;
  size_t size = unused ? unused : least(room_to_read(c), had / 4 < READ_SIZE ? READ_SIZE : had / 4);
  size = least(size, wanted);
  char *to = buffer_reserve_just(&c->in, size);
  if (!to) {
    (void)tcp_no_memory(err);
    return IO_FAILED;
  }
  room_count(c);
  ptrdiff_t got = socket_receive(c, to, size, err);
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
  ptrdiff_t got = socket_receive(c, self->read_buffer + had, least(READ_SIZE - had, room_to_read(c)), err);
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

void conn_receive(conn *c) {
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

/* Frames that had to wait until there was room. */
void conn_resume(conn *c) {
  cafe_slice bytes = buffer_bytes(&c->in);
  size_t used = conn_take(c, bytes);
  if (c->state != CONN_DEAD && used > 0) {
    conn_keep(c, bytes, used);
  }
}
