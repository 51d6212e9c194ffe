/* SPDX-License-Identifier: Apache-2.0 */
#include "tcp_proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <utlist.h>

enum { ROOM = 1 << 16 };

/* Bytes on their way from one side to the other. */
typedef struct way {
  char bytes[ROOM];
  size_t begin, size;
  bool has_ended; /* nothing more comes in */
  int64_t not_before_us;
} way;

typedef struct crossing {
  tcp_proxy *proxy;
  cafe_watch sides[2]; /* who connected, and the target */
  way ways[2];         /* from that side */
  cafe_timer later;
  uint64_t passed;
  uint64_t break_at; /* 0: not */
  struct crossing *prev, *next;
} crossing;

struct tcp_proxy {
  cafe_loop *loop;
  cafe_watch listener;
  int port;
  int target;
  tcp_proxy_cut cut;
  tcp_proxy_manners manners;
  uint64_t random;
  crossing *crossings;
};

static uint64_t draw(tcp_proxy *self, uint64_t below) {
  self->random ^= self->random << 13;
  self->random ^= self->random >> 7;
  self->random ^= self->random << 17;
  return below ? self->random % below : 0;
}

int tcp_listen_anywhere(int *out_port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(address);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
  assert_int_equal(listen(fd, 128), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
  *out_port = ntohs(address.sin_port);
  return fd;
}

/* The loop may be refused memory, once. */
static void watch(tcp_proxy *self, cafe_watch *watched, unsigned events) {
  const cafe_loop_ops *ops = self->loop->ops;
  if (ops->watch_start(self->loop, watched, events, NULL) != CAFE_OK) {
    assert_int_equal(ops->watch_start(self->loop, watched, events, NULL), CAFE_OK);
  }
}

static void wait_until(tcp_proxy *self, cafe_timer *timer, int64_t due_us) {
  const cafe_loop_ops *ops = self->loop->ops;
  if (ops->timer_start(self->loop, timer, due_us, NULL) != CAFE_OK) {
    assert_int_equal(ops->timer_start(self->loop, timer, due_us, NULL), CAFE_OK);
  }
}

/* ---- one connection ---- */

/* By a reset: the other end is told at once, and what it had sent is lost. */
static void close_hard(int fd) {
  const struct linger at_once = {1, 0};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  (void)close(fd);
}

static void crossing_end(crossing *self) {
  tcp_proxy *proxy = self->proxy;
  const cafe_loop_ops *ops = proxy->loop->ops;
  ops->timer_stop(proxy->loop, &self->later);
  for (int i = 0; i < 2; i++) {
    ops->watch_stop(proxy->loop, &self->sides[i]);
    close_hard(self->sides[i].fd);
  }
  DL_DELETE(proxy->crossings, self);
  free(self);
}

static int64_t now_us(const tcp_proxy *self) { return self->loop->ops->now_us(self->loop); }

static bool may_write(const crossing *self, const way *w, int64_t at_us) {
  return w->size && self->proxy->cut != TCP_PROXY_SILENT && at_us >= w->not_before_us;
}

/* Watches for what can be done, and comes back when a delay is over. */
static void crossing_wait(crossing *self) {
  tcp_proxy *proxy = self->proxy;
  const cafe_loop_ops *ops = proxy->loop->ops;
  int64_t due_us = INT64_MAX, at_us = now_us(proxy); /* one moment: what may be written is watched, or waited for */
  for (int i = 0; i < 2; i++) {
    const way *from = &self->ways[i], *to = &self->ways[1 - i];
    bool reads = !from->has_ended && from->begin + from->size < ROOM && proxy->cut != TCP_PROXY_SILENT;
    unsigned events = (reads ? CAFE_READABLE : 0u) | (may_write(self, to, at_us) ? CAFE_WRITABLE : 0u);
    if (events) {
      watch(proxy, &self->sides[i], events);
    } else {
      ops->watch_stop(proxy->loop, &self->sides[i]);
    }
    if (from->size && !may_write(self, from, at_us) && from->not_before_us < due_us) {
      due_us = from->not_before_us;
    }
  }
  if (due_us != INT64_MAX && proxy->cut != TCP_PROXY_SILENT) {
    wait_until(proxy, &self->later, due_us);
  }
}

/* False: the connection is over. */
static bool read_way(way *w, int fd) {
  ssize_t more = read(fd, w->bytes + w->begin + w->size, ROOM - w->begin - w->size);
  if (more > 0) {
    w->size += (size_t)more;
  } else if (more == 0) {
    w->has_ended = true;
  } else if (errno != EAGAIN && errno != EINTR) {
    return false;
  }
  return true;
}

static bool write_way(crossing *self, way *w, int fd) {
  tcp_proxy *proxy = self->proxy;
  size_t size = w->size;
  if (proxy->manners.piece_max) {
    size_t piece = 1 + (size_t)draw(proxy, proxy->manners.piece_max);
    size = piece < size ? piece : size;
  }
  if (self->break_at && self->passed + size >= self->break_at) {
    size = (size_t)(self->break_at - self->passed);
  }
  ssize_t written = send(fd, w->bytes + w->begin, size, MSG_NOSIGNAL);
  if (written < 0) {
    return errno == EAGAIN || errno == EINTR;
  }
  w->begin += (size_t)written;
  w->size -= (size_t)written;
  if (w->size == 0) {
    w->begin = 0;
  }
  self->passed += (uint64_t)written;
  if (proxy->manners.delay_max_us) {
    w->not_before_us = now_us(proxy) + (int64_t)draw(proxy, (uint64_t)proxy->manners.delay_max_us);
  }
  return !self->break_at || self->passed < self->break_at;
}

static void crossing_move(crossing *self) {
  for (int i = 0; i < 2; i++) {
    way *w = &self->ways[i];
    if (self->proxy->cut != TCP_PROXY_SILENT && !w->has_ended && w->begin + w->size < ROOM &&
        !read_way(w, self->sides[i].fd)) {
      crossing_end(self);
      return;
    }
    if (may_write(self, w, now_us(self->proxy)) && !write_way(self, w, self->sides[1 - i].fd)) {
      crossing_end(self);
      return;
    }
    if (w->has_ended && w->size == 0) {
      crossing_end(self);
      return;
    }
  }
  crossing_wait(self);
}

static void on_ready(cafe_watch *watch, unsigned events) {
  (void)events;
  crossing_move(watch->user);
}

static void on_later(cafe_timer *timer) { crossing_move(timer->user); }

static void crossing_behave(crossing *self) {
  uint64_t after = self->proxy->manners.break_after;
  self->break_at = after ? self->passed + 1 + draw(self->proxy, after) : 0;
}

static void begin_crossing(tcp_proxy *proxy, int from) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)proxy->target), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(to >= 0);
  if (proxy->cut == TCP_PROXY_BROKEN || !proxy->target ||
      connect(to, (struct sockaddr *)&address, sizeof(address)) != 0) {
    close_hard(from);
    (void)close(to);
    return;
  }
  assert_int_equal(fcntl(to, F_SETFL, O_NONBLOCK), 0);
  crossing *made = calloc(1, sizeof(*made));
  assert_non_null(made);
  made->proxy = proxy;
  for (int i = 0; i < 2; i++) {
    const int yes = 1; /* a piece isn't kept until another is acknowledged */
    assert_int_equal(setsockopt(i ? to : from, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)), 0);
    made->sides[i] = (cafe_watch){.ready = on_ready, .fd = i ? to : from, .user = made};
  }
  made->later = (cafe_timer){.fire = on_later, .user = made};
  DL_APPEND(proxy->crossings, made);
  crossing_behave(made);
  crossing_wait(made);
}

/* ---- the line ---- */

static void on_caller(cafe_watch *watch, unsigned events) {
  tcp_proxy *self = watch->user;
  (void)events;
  int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    begin_crossing(self, fd);
  }
}

tcp_proxy *tcp_proxy_create(cafe_loop *loop, uint64_t seed) {
  tcp_proxy *self = calloc(1, sizeof(*self));
  assert_non_null(self);
  self->loop = loop;
  self->random = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
  self->listener = (cafe_watch){.ready = on_caller, .fd = tcp_listen_anywhere(&self->port), .user = self};
  watch(self, &self->listener, CAFE_READABLE);
  return self;
}

static void end_all(tcp_proxy *self) {
  while (self->crossings) {
    crossing_end(self->crossings);
  }
}

void tcp_proxy_destroy(tcp_proxy *self) {
  if (self) {
    end_all(self);
    self->loop->ops->watch_stop(self->loop, &self->listener);
    (void)close(self->listener.fd);
    free(self);
  }
}

int tcp_proxy_port(const tcp_proxy *self) { return self->port; }

void tcp_proxy_aim(tcp_proxy *self, int port) { self->target = port; }

void tcp_proxy_set_cut(tcp_proxy *self, tcp_proxy_cut cut) {
  self->cut = cut;
  if (cut == TCP_PROXY_BROKEN) {
    end_all(self);
  }
  crossing *c;
  DL_FOREACH(self->crossings, c) { crossing_wait(c); }
}

void tcp_proxy_behave(tcp_proxy *self, const tcp_proxy_manners *manners) {
  self->manners = manners ? *manners : (tcp_proxy_manners){0};
  crossing *c;
  DL_FOREACH(self->crossings, c) { crossing_behave(c); }
}
