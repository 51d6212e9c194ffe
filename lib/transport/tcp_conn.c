/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection: how it begins, what it waits for, how it ends, and whether anybody is still there.
 *
 * What it keeps: whoever connects has shown who it is, by TLS and a hello, within GREETING_MS, or is gone; and what is
 * silent for too long is gone, too, be it between two frames or within one. Whoever waited for something of a
 * connection learns that it ended, once.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <utlist.h>

#include "transport/tcp_core.h"

enum {
  AGAIN_MS = 100 /* after memory was refused */
};

/* ---- what it waits for ---- */

bool conn_has_room(const conn *c) {
  return c->endpoint ||
         (c->held < HELD_MAX && c->held_bytes < HELD_BYTES_MAX && !conn_is_full(c) && room_for_request(c));
}

static bool can_read(const conn *c) { return conn_has_room(c) && room_to_read(c) > 0; }

static unsigned wanted_events(const conn *c) {
  if (c->state == CONN_CONNECTING) {
    return CAFE_WRITABLE;
  }
  unsigned events = can_read(c) || room_is_open(c) ? CAFE_READABLE : 0u;
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
  if (c->state == CONN_READY) {
    room_ask(c);
  }
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
  room_count(c);
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
  room_leave(c);
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
  if (conn_is_up(c) && !c->is_blocked) {
    conn_flush_last(c);
  }
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
  if (!c->endpoint) { /* else that logs it */
    tcp_log(c->tcp, CAFE_LOG_WARN, "the connection from %s was closed: %s", c->place, what);
  }
  (void)cafe_fail(&err, CAFE_UNAVAILABLE, "the peer isn't one: %s", what);
  conn_break(c, &err);
}

/* ---- its turn ---- */

void conn_work(conn *c) {
  if (c->has_failed) {
    cafe_err err;
    (void)cafe_fail(&err, CAFE_UNAVAILABLE, "it doesn't read what it is sent, or memory was refused");
    conn_break(c, &err);
    return;
  }
  if (conn_is_up(c) && buffer_size(&c->in) > 0) {
    conn_resume(c);
  }
  if (conn_is_up(c) && c->has_pending && can_read(c)) {
    c->has_pending = false;
    conn_receive(c);
  }
  if (c->state == CONN_READY) {
    feed_pump_all(c);
  }
  if (c->state == CONN_READY && c->endpoint && c->endpoint->waiting) {
    call_send_waiting(c->endpoint);
  }
  if (conn_is_up(c) && !c->is_blocked) {
    conn_flush(c);
  }
  conn_rewatch(c);
}

/* ---- readiness ---- */

static void conn_greet(conn *c) {
  cafe_err err;
  c->state = CONN_GREETING;
  if (c->endpoint && conn_put_hello(c, &err) != CAFE_OK) {
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
    if (room_is_open(c)) {
      room_choose(self);
    }
    /* TLS may have to read before it goes on writing, and the other way round. */
    if (((events & CAFE_READABLE) || c->tls) && can_read(c)) {
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
  bool is_read = can_read(c);
  if (!conn_has_room(c) || (!is_read && room_is_readable(c))) {
    c->heard_us = now_us; /* nobody listens, so that it says that it is there */
    silent_us = 0;
    (void)conn_put_number(c, FRAME_PING, 0);
  } else if (is_read && room_is_overdue(c, now_us)) {
    conn_violate(c, "its frame takes too long, and others wait for the room (max_incoming)");
    return;
  } else if (is_read && silent_us >= 2 * self->idle_us) {
    conn_receive(c); /* if it was this program that stood still, there is something to read */
    if (c->state == CONN_DEAD) {
      return;
    }
    silent_us = now_us - c->heard_us;
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
