/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What accepted connections may take together.
 *
 * What it keeps: however many peers there are, and whatever they promise, they cost max_incoming bytes of what came in,
 * as many of what goes out, and a reserve for each connection. Within its reserve each one is read at any time, so that
 * short frames come through whatever the others do. Only what is beyond it counts.
 *
 * Who wants more than there is isn't read until there is room. If that were all, each could hold a part of a frame, and
 * none get to its end. So the last part of the room, as large as the longest frame, is set aside for one of those
 * that wait and go on: in turn for the eldest connection, which those that come to take the room aren't, and for the
 * one that has waited longest. It comes to the end of its frame, and then the next one has it. While somebody waits,
 * who holds a part of a frame and sends no more of it is closed, after a part of the idle timeout; and who is first,
 * after twice the timeout. What else may take of that part goes by itself, since requests are answered; subscriptions
 * may stay for ever, and take none of it.
 *
 * Output can't wait, since an answer is there once. When there is too much of it, the connection goes whose other side
 * has taken nothing for longest. Who reads loses nothing to those who don't.
 */
#include <errno.h>

#include <utlist.h>

#include "transport/tcp_core.h"

enum { STALLS = 4 }; /* of that long in the idle timeout */

static size_t beyond(size_t bytes) { return bytes > RESERVE ? bytes - RESERVE : 0; }

static size_t taken_by(const conn *c) { return c->in.capacity + c->asked_bytes; }

/* What it may take beyond its reserve. */
static uint64_t room_left(const conn *c) {
  const tcp *self = c->tcp;
  uint64_t kept = self->incoming + (c == self->first ? 0 : self->max_frame);
  return kept < self->max_incoming ? self->max_incoming - kept : 0;
}

size_t room_to_read(const conn *c) {
  if (c->endpoint) {
    return SIZE_MAX;
  }
  size_t taken = taken_by(c);
  size_t own = c->in.capacity - buffer_size(&c->in) + (taken < RESERVE ? RESERVE - taken : 0);
  return c->state == CONN_READY ? own + (size_t)room_left(c) : own;
}

bool room_for_request(const conn *c) { return c->held == 0 || c->incoming == 0 || room_left(c) > 0; }

bool room_for_feed(const conn *c, size_t size) {
  return taken_by(c) + size <= RESERVE ||
         (size <= room_left(c) && c->tcp->feed_bytes + size <= c->tcp->max_incoming / 4);
}

/* ---- who waits ---- */

/* In their turn it shows who is read now. */
static void wake_all(tcp *self) {
  conn *c;
  DL_FOREACH(self->conns, c) {
    if (c->waits_us) {
      conn_touch(c);
    }
  }
}

void room_count(conn *c) {
  tcp *self = c->tcp;
  if (c->endpoint) {
    return;
  }
  size_t in = beyond(taken_by(c));
  size_t out = c->has_failed ? 0 : beyond(c->out.capacity);
  bool is_less = in < c->incoming;
  self->incoming = self->incoming - c->incoming + in;
  self->outgoing = self->outgoing - c->outgoing + out;
  c->incoming = in;
  c->outgoing = out;
  if (is_less && self->waiting > 0) {
    wake_all(self);
  }
}

bool room_is_readable(const conn *c) {
  char unused;
  return (c->tls && tls_has_pending(c->tls)) || recv(c->fd, &unused, 1, MSG_PEEK) >= 0 || errno != EAGAIN;
}

void room_choose(tcp *self) {
  conn *c;
  if (self->first || self->waiting == 0) {
    return;
  }
  DL_FOREACH(self->conns, c) {
    bool is_before = !self->first || (!self->is_eldest_next && c->waits_us < self->first->waits_us);
    if (c->waits_us && is_before && conn_has_room(c) && room_is_readable(c)) {
      self->first = c;
    }
  }
  if (self->first) {
    self->is_eldest_next = !self->is_eldest_next;
    self->first_us = tcp_now_us(self);
    wake_all(self);
  }
}

bool room_is_open(const conn *c) { return c->waits_us && !c->tcp->first && conn_has_room(c); }

void room_ask(conn *c) {
  tcp *self = c->tcp;
  if (c->waits_us || !conn_has_room(c) || room_to_read(c) > 0) {
    return;
  }
  if (self->waiting == 0) {
    tcp_log(self, CAFE_LOG_WARN, "connections to %s wait for room: %llu bytes are taken (max_incoming)",
            self->listen_text, (unsigned long long)self->incoming);
  }
  c->waits_us = tcp_now_us(self);
  self->waiting++;
  if (self->stalls.item.due == INT64_MAX) {
    due_at(self, &self->stalls, c->waits_us + self->idle_us / STALLS);
  }
  room_choose(self);
}

void room_leave(conn *c) {
  tcp *self = c->tcp;
  if (!c->waits_us) {
    return;
  }
  c->waits_us = 0;
  self->waiting--;
  if (self->first == c) {
    self->first = NULL;
    room_choose(self);
    if (!self->first) {
      wake_all(self); /* the next one that gets on is it */
    }
  }
}

bool room_is_overdue(const conn *c, int64_t now_us) {
  const tcp *self = c->tcp;
  return c == self->first && self->waiting > 1 && now_us - self->first_us >= 2 * self->idle_us;
}

static conn *find_stalled(const tcp *self, int64_t now_us) {
  conn *c;
  DL_FOREACH(self->conns, c) {
    if (c->incoming > 0 && buffer_size(&c->in) > 0 && now_us - c->heard_us >= self->idle_us / STALLS &&
        conn_has_room(c) && !room_is_readable(c)) {
      break;
    }
  }
  return c;
}

static void on_stalls(due *item) {
  tcp *self = (tcp *)(void *)((char *)item - offsetof(tcp, stalls));
  int64_t now_us = tcp_now_us(self);
  conn *c;
  while (self->is_open && self->waiting > 0 && (c = find_stalled(self, now_us))) {
    conn_violate(c, "its frame doesn't get on, and others wait for the room (max_incoming)");
  }
  if (self->is_open && self->waiting > 0) {
    due_at(self, item, now_us + self->idle_us / STALLS / 2);
  }
}

int room_open(tcp *self) { return due_add(self, &self->stalls, on_stalls, INT64_MAX); }

/* ---- what goes out ---- */

void room_make(tcp *self) {
  while (self->outgoing > self->max_incoming) {
    conn *c, *worst = NULL;
    DL_FOREACH(self->conns, c) {
      if (c->outgoing > 0 && c->is_blocked && (!worst || c->moved_us < worst->moved_us)) {
        worst = c;
      }
    }
    if (!worst) {
      return; /* it is of this turn, at whose end it is sent */
    }
    tcp_log(self, CAFE_LOG_WARN,
            "the connection from %s is closed: it reads nothing, and others need the room "
            "(max_incoming)",
            worst->place);
    worst->has_failed = true;
    room_count(worst);
    conn_touch(worst);
  }
}
