/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepting. What it keeps: whoever connects costs nothing before it is one of max_connections, and when descriptors
 * run out accepting pauses. The queue would tell of itself again and again, and the loop do nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "transport/tcp_core.h"

enum {
  BACKLOG = 511,
  ACCEPTS_MAX = 64, /* in a turn: others are served too */
  PAUSE_MS = 100
};

static void pause_accepting(tcp *self, int cause) {
  if (!self->is_short) {
    self->is_short = true;
    tcp_log(self, CAFE_LOG_ERROR, "no connection can be accepted at %s: %s; allow more open files", self->listen_text,
            strerror(cause));
  }
  self->loop->ops->watch_stop(self->loop, &self->listener);
  due_at(self, &self->accept_again, tcp_now_us(self) + PAUSE_MS * 1000);
}

static void accept_resumed(due *item) {
  tcp *self = (tcp *)(void *)((char *)item - offsetof(tcp, accept_again));
  if (self->loop->ops->watch_start(self->loop, &self->listener, CAFE_READABLE, NULL) != CAFE_OK) {
    due_at(self, &self->accept_again, tcp_now_us(self) + PAUSE_MS * 1000);
  }
}

static void take(tcp *self, int fd, const place *from) {
  if (self->accepted >= self->max_connections) {
    if (!self->is_full) {
      self->is_full = true;
      tcp_log(self, CAFE_LOG_WARN, "connections to %s are closed at once: there are %u (max_connections)",
              self->listen_text, self->accepted);
    }
    (void)close(fd);
    return;
  }
  conn *c = conn_create(self, fd, NULL, from, NULL);
  if (c) {
    self->accepted++;
    conn_begin(c);
    conn_touch(c);
  }
}

static void on_connection(cafe_watch *watch, unsigned events) {
  tcp *self = watch->user;
  (void)events;
  tcp_enter(self);
  for (int i = 0; i < ACCEPTS_MAX; i++) {
    place from;
    socklen_t size = sizeof(from);
    memset(&from, 0, sizeof(from));
    int fd = accept(watch->fd, &from.any, &size);
    if (fd >= 0) {
      self->is_short = false;
      take(self, fd, &from);
      continue;
    }
    if (errno == EAGAIN) {
      break;
    }
    if (errno != ECONNABORTED && errno != EINTR) {
      pause_accepting(self, errno);
      break;
    }
  }
  tcp_leave(self);
}

static int make_listener(int *out, const tcp *self, cafe_err *err) {
  int one = 1;
  int fd = socket(self->listen.any.sa_family, SOCK_STREAM, 0);
  if (fd < 0) {
    return cafe_fail_detail(err, CAFE_UNAVAILABLE, errno, "tcp: no socket can be made: %s", strerror(errno));
  }
  /* An address that a connection of before still holds in TIME_WAIT can be listened on again. */
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(fd, &self->listen.any, place_size(&self->listen)) != 0 || listen(fd, BACKLOG) != 0) {
    int cause = errno;
    (void)close(fd);
    return cafe_fail_detail(err, cause == EACCES ? CAFE_DENIED : CAFE_UNAVAILABLE, cause,
                            "tcp: %s can't be listened on: %s", self->listen_text, strerror(cause));
  }
  *out = fd;
  return CAFE_OK;
}

int accept_open(tcp *self, cafe_err *err) {
  if (!self->has_listen) {
    return CAFE_OK;
  }
  int fd = self->given_fd;
  int code = fd < 0 ? make_listener(&fd, self, err) : CAFE_OK;
  if (code != CAFE_OK) {
    return code;
  }
  int flags = fcntl(fd, F_GETFL, 0);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    code = cafe_fail_detail(err, CAFE_UNAVAILABLE, errno, "tcp: %s can't be listened on: %s", self->listen_text,
                            strerror(errno));
  } else if (due_add(self, &self->accept_again, accept_resumed, INT64_MAX) != CAFE_OK || room_open(self) != CAFE_OK) {
    code = tcp_no_memory(err);
  } else {
    self->listener = (cafe_watch){.ready = on_connection, .fd = fd, .user = self};
    code = self->loop->ops->watch_start(self->loop, &self->listener, CAFE_READABLE, err);
  }
  if (code != CAFE_OK) {
    due_remove(self, &self->accept_again);
    due_remove(self, &self->stalls);
    if (fd != self->given_fd) {
      (void)close(fd);
    }
    return code;
  }
  self->is_listening = true;
  return CAFE_OK;
}

void accept_close(tcp *self) {
  if (!self->is_listening) {
    return;
  }
  self->is_listening = false;
  self->loop->ops->watch_stop(self->loop, &self->listener);
  due_remove(self, &self->accept_again);
  due_remove(self, &self->stalls);
  if (self->listener.fd != self->given_fd) {
    (void)close(self->listener.fd);
  }
}
