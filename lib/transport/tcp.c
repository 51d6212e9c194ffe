/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport over TCP: its life, and its turn.
 *
 * Who asks connects: requests and subscriptions of one node to another share one connection (tcp_endpoint.c), and the
 * other direction has its own. Each side of it has its own part: tcp_request.c and tcp_link.c ask, tcp_serve.c and
 * tcp_feed.c are asked.
 *
 * What this file keeps: nothing of the caller's is called inside a method, and nothing is freed under the feet of what
 * runs. Methods only write down what is to be done; it happens in the turn, which one timer starts: at once where there
 * is work, else when the first of `dues` is due. That timer runs from open to close, because moving a running timer
 * needs no memory. What dies within a callback is freed when the outermost one returns, the transport itself too.
 *
 * All frames of a turn leave in one write, because output is flushed at the turn's end only.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <utlist.h>

#include "base/log.h"
#include "base/sized.h"
#include "base/str.h"
#include "transport/tcp_core.h"

enum {
  CONNECTIONS_DEFAULT = 256,
  FRAME_DEFAULT = 16 * 1024 * 1024,
  INCOMING_DEFAULT = 64 * 1024 * 1024,
  FRAME_MIN = 1024, /* a hello, and an error's text, always fit */
  IDLE_DEFAULT_MS = 10000,
  LOG_RATE = 1,
  LOG_BURST = 10,
  TEXT_MAX = 400
};

void *tcp_alloc(tcp *self, size_t size) {
  void *block = self->allocator.resize(NULL, size, self->allocator.user);
  if (block) {
    memset(block, 0, size);
  }
  return block;
}

void tcp_free(tcp *self, void *block) { (void)self->allocator.resize(block, 0, self->allocator.user); }

int tcp_no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "tcp: memory was refused"); }

int64_t tcp_now_us(tcp *self) { return self->loop->ops->now_us(self->loop); }

void tcp_log(tcp *self, cafe_log_level level, const char *format, ...) {
  char text[TEXT_MAX];
  va_list args;
  int64_t now_us = tcp_now_us(self);
  if (!log_wants(&self->log, level) || bucket_due_us(&self->log_bucket) > now_us) {
    return;
  }
  bucket_take(&self->log_bucket, now_us);
  va_start(args, format);
  (void)str_format(text, sizeof(text), format, args);
  va_end(args);
  log_write(&self->log, level, self->loop->ops->utc_ms(self->loop), "tcp", 0, (cafe_slice){NULL, 0}, "%s", text);
}

bool tcp_offers(const tcp *self, cafe_slice service) {
  for (const char *const *name = self->offered; *name; name++) {
    if (cafe_slice_equal(cafe_text(*name), service)) {
      return true;
    }
  }
  return false;
}

/* ---- what is due ---- */

int due_add(tcp *self, due *item, void (*fire)(due *item), int64_t at_us) {
  item->fire = fire;
  return heap_push(self->dues, &item->item, at_us);
}

void due_at(tcp *self, due *item, int64_t at_us) { heap_update(self->dues, &item->item, at_us); }

void due_remove(tcp *self, due *item) { heap_remove(self->dues, &item->item); }

static void set_turn(tcp *self, int64_t at_us) {
  self->turn_at_us = at_us;
  self->is_stalled = self->loop->ops->timer_start(self->loop, &self->turn, at_us, NULL) != CAFE_OK;
}

void tcp_plan(tcp *self) {
  if (!self->is_open || self->depth > 0) {
    return;
  }
  int64_t now_us = tcp_now_us(self);
  const heap_item *first = heap_peek(self->dues);
  int64_t at_us = self->busy                                     ? now_us
                  : first && first->due < now_us + self->idle_us ? first->due
                                                                 : now_us + self->idle_us;
  if (at_us < self->turn_at_us || self->is_stalled) {
    set_turn(self, at_us);
  }
}

static void run_dues(tcp *self) {
  int64_t now_us = tcp_now_us(self);
  for (heap_item *first; self->is_open && (first = heap_peek(self->dues)) && first->due <= now_us;) {
    due *item = (due *)first;
    due_at(self, item, INT64_MAX);
    item->fire(item);
  }
}

/* A connection that becomes busy while they are worked on is worked on in the next turn. */
static void run_busy(tcp *self) {
  conn *c;
  unsigned count = 0;
  DL_COUNT2(self->busy, c, count, busy_next);
  for (; count > 0 && self->is_open && self->busy; count--) {
    c = self->busy;
    DL_DELETE2(self->busy, c, busy_prev, busy_next);
    c->is_busy = false;
    conn_work(c);
  }
}

static void on_turn(cafe_timer *timer) {
  tcp *self = timer->user;
  /* At once, while the timer's memory in the loop is surely still there; moved when it is known to when. */
  set_turn(self, tcp_now_us(self) + self->idle_us);
  tcp_enter(self);
  run_dues(self);
  if (self->is_open) {
    run_busy(self);
  }
  tcp_leave(self);
}

static void tcp_release(tcp *self) {
  while (self->endpoints) {
    endpoint *e = self->endpoints;
    DL_DELETE(self->endpoints, e);
    tcp_free(self, e);
  }
  map_destroy(self->services);
  map_destroy(self->calls);
  map_destroy(self->ties);
  heap_destroy(self->dues);
  buffer_free(&self->names);
  buffer_free(&self->packed);
  buffer_free(&self->spare);
  tcp_free(self, self->read_buffer);
  tcp_free(self, self->events);
  tls_destroy(self->tls);
  if (self->given_fd >= 0) {
    (void)close(self->given_fd);
  }
  cafe_allocator allocator = self->allocator;
  (void)allocator.resize(self, 0, allocator.user);
}

void tcp_enter(tcp *self) { self->depth++; }

void tcp_leave(tcp *self) {
  if (--self->depth > 0) {
    return;
  }
  while (self->dead) {
    conn *c = self->dead;
    DL_DELETE(self->dead, c);
    conn_free(c);
  }
  if (self->is_destroyed) {
    tcp_release(self);
  } else {
    tcp_plan(self);
  }
}

/* ---- the transport's methods ---- */

static int reserve(tcp *self, cafe_err *err) {
  self->dues = self->dues ? self->dues : heap_create(&self->allocator);
  self->calls = self->calls ? self->calls : map_create(&self->allocator, MAP_U64);
  self->ties = self->ties ? self->ties : map_create(&self->allocator, MAP_U64);
  self->read_buffer = self->read_buffer ? self->read_buffer : tcp_alloc(self, READ_SIZE);
  self->events = self->events ? self->events : tcp_alloc(self, sizeof(*self->events) * BATCH_EVENTS);
  return self->dues && self->calls && self->ties && self->read_buffer && self->events ? CAFE_OK : tcp_no_memory(err);
}

static void tcp_close(cafe_transport *transport) {
  tcp *self = (tcp *)transport;
  if (!self->is_open) {
    return;
  }
  tcp_enter(self);
  self->is_open = false;
  accept_close(self);
  while (self->unsent) {
    call_drop(self->unsent);
  }
  endpoint *e;
  DL_FOREACH(self->endpoints, e) { endpoint_close(e); }
  while (self->conns) {
    conn_drop(self->conns);
  }
  self->loop->ops->timer_stop(self->loop, &self->turn);
  tcp_leave(self);
}

static void ignore_ready(cafe_watch *watch, unsigned events) { (void)watch, (void)events; }

/* Whether it watches descriptors shows when it is asked to. */
static int check_loop(cafe_loop *loop, cafe_err *err) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) {
    return cafe_fail_detail(err, CAFE_UNAVAILABLE, errno, "tcp: no socket can be made: %s", strerror(errno));
  }
  cafe_watch probe = {.ready = ignore_ready, .fd = fd};
  int code =
      SIZED_HAS(loop->ops, watch_start) ? loop->ops->watch_start(loop, &probe, CAFE_READABLE, err) : CAFE_UNSUPPORTED;
  if (code == CAFE_OK) {
    loop->ops->watch_stop(loop, &probe);
  } else if (code == CAFE_UNSUPPORTED) {
    (void)cafe_fail(err, CAFE_UNSUPPORTED, "tcp: the loop %s can't watch a descriptor: use another, such as libuv's",
                    loop->ops->name);
  }
  (void)close(fd);
  return code;
}

static int tcp_open(cafe_transport *transport, cafe_loop *loop, const char *const *services, cafe_server *server,
                    cafe_err *err) {
  tcp *self = (tcp *)transport;
  assert(!self->is_open);
  int code = check_loop(loop, err);
  if (code != CAFE_OK) {
    return code;
  }
  code = reserve(self, err);
  if (code != CAFE_OK) {
    return code;
  }
  self->loop = loop;
  self->offered = services;
  self->server = server;
  self->log_bucket = bucket_full(LOG_RATE, LOG_BURST, tcp_now_us(self));
  self->is_open = true;
  self->turn_at_us = tcp_now_us(self) + self->idle_us;
  self->is_stalled = false;
  self->depth++; /* nothing is planned until all is there */
  code = loop->ops->timer_start(loop, &self->turn, self->turn_at_us, err);
  endpoint *e;
  DL_FOREACH(self->endpoints, e) {
    if (code == CAFE_OK && endpoint_open(e) != CAFE_OK) {
      code = tcp_no_memory(err);
    }
  }
  if (code == CAFE_OK) {
    code = accept_open(self, err);
  }
  self->depth--;
  if (code != CAFE_OK) {
    tcp_close(transport);
  }
  return code;
}

static void tcp_destroy(cafe_transport *transport) {
  tcp *self = (tcp *)transport;
  tcp_close(transport);
  tcp_enter(self);
  self->is_destroyed = true;
  tcp_leave(self);
}

static void tcp_peers(const cafe_transport *transport, void (*visit)(const char *service, bool is_up, void *user),
                      void *user) {
  const tcp *self = (const tcp *)transport;
  for (map_entry *each = map_first(self->services); each; each = map_next(each)) {
    const endpoint *e = map_value(each);
    cafe_slice name = map_key_bytes(each);
    char service[PEER_TEXT_MAX];
    (void)snprintf(service, sizeof(service), "%.*s", (int)name.size, name.data);
    visit(service, e->conn && e->conn->state == CONN_READY, user);
  }
}

static const cafe_transport_ops tcp_ops = {
    .size = sizeof(cafe_transport_ops),
    .name = "tcp",
    .open = tcp_open,
    .request = call_begin,
    .cancel = call_cancel,
    .subscribe = tie_begin,
    .more = tie_more,
    .unsubscribe = tie_end,
    .close = tcp_close,
    .destroy = tcp_destroy,
    .peers = tcp_peers,
};

/* ---- options ---- */

static int check_plain(const tcp *self, const char *text, bool is_local, cafe_err *err) {
  return self->tls || self->is_insecure || is_local
             ? CAFE_OK
             : cafe_fail(
                   err, CAFE_INVALID,
                   "tcp: %s isn't a loopback address, and would be plain: give certificates (tls), or allow it by "
                   "is_insecure",
                   text);
}

static int take_listen(tcp *self, const cafe_tcp_options *options, cafe_err *err) {
  place at;
  socklen_t size = sizeof(at);
  memset(&at, 0, sizeof(at));
  if (options->listen && options->listen_fd >= 0) {
    return cafe_fail(err, CAFE_INVALID, "tcp: give listen or listen_fd, not both");
  }
  if (options->listen_fd >= 0) {
    if (getsockname(options->listen_fd, &at.any, &size) != 0 ||
        (at.any.sa_family != AF_INET && at.any.sa_family != AF_INET6)) {
      return cafe_fail(err, CAFE_INVALID, "tcp: listen_fd isn't a socket of TCP");
    }
  } else if (options->listen) {
    address a;
    place found[PLACES_MAX];
    const char *why = "";
    int code = address_parse(&a, options->listen, err);
    if (code != CAFE_OK) {
      return code;
    }
    if (!address_place(&at, &a)) {
      if (address_look_up(found, &a, &why) == 0) {
        return cafe_fail(err, CAFE_INVALID, "tcp: %s can't be listened on: %s", options->listen, why);
      }
      at = found[0];
    }
  }
  self->has_listen = options->listen || options->listen_fd >= 0;
  self->listen = at;
  place_text(self->listen_text, &at);
  return self->has_listen ? check_plain(self, self->listen_text, place_is_local(&at), err) : CAFE_OK;
}

static int take_peers(tcp *self, const cafe_tcp_options *options, cafe_err *err) {
  for (uint32_t i = 0; i < options->peer_count; i++) {
    int code = endpoint_add(self, &options->peers[i], err);
    if (code != CAFE_OK) {
      return code;
    }
  }
  endpoint *e;
  DL_FOREACH(self->endpoints, e) {
    int code = check_plain(self, e->text, address_is_local(&e->address), err);
    if (code != CAFE_OK) {
      return code;
    }
  }
  return CAFE_OK;
}

static uint32_t frame_of(const cafe_tcp_options *options) {
  return options->max_frame ? options->max_frame : FRAME_DEFAULT;
}

static uint64_t incoming_of(const cafe_tcp_options *options) {
  uint64_t frames = 4 * (uint64_t)frame_of(options);
  return options->max_incoming ? options->max_incoming : frames > INCOMING_DEFAULT ? frames : INCOMING_DEFAULT;
}

static int check_options(const cafe_tcp_options *options, cafe_err *err) {
  if (options->max_frame > 0 && options->max_frame < FRAME_MIN) {
    return cafe_fail(err, CAFE_INVALID, "tcp: max_frame is %u, and must be at least %d", options->max_frame, FRAME_MIN);
  }
  if (options->max_frame > INT32_MAX || options->idle_timeout_ms < 0 || options->idle_timeout_ms > INT32_MAX) {
    return cafe_fail(err, CAFE_INVALID, "tcp: max_frame or idle_timeout_ms is out of range: at most %d", INT32_MAX);
  }
  if (options->max_incoming > 0 && options->max_incoming < 2 * (uint64_t)frame_of(options)) {
    return cafe_fail(err, CAFE_INVALID, "tcp: max_incoming is %llu, and must be at least twice max_frame, %llu",
                     (unsigned long long)options->max_incoming, 2 * (unsigned long long)frame_of(options));
  }
  if (options->peer_count > 0 && !options->peers) {
    return cafe_fail(err, CAFE_INVALID, "tcp: peer_count is %u, and peers is NULL", options->peer_count);
  }
  return CAFE_OK;
}

static int take_options(tcp *self, const cafe_tcp_options *options, cafe_err *err) {
  self->services = map_create(&self->allocator, MAP_BYTES);
  if (!self->services) {
    return tcp_no_memory(err);
  }
  if (options->tls && !is_zero(options->tls->reserved, sizeof(options->tls->reserved))) {
    return cafe_fail(err, CAFE_UNSUPPORTED, "tcp: the tls was written for a newer library");
  }
  int code = options->tls ? tls_create(&self->tls, options->tls, &self->allocator, err) : CAFE_OK;
  if (code == CAFE_OK) {
    code = take_peers(self, options, err);
  }
  return code == CAFE_OK ? take_listen(self, options, err) : code;
}

int cafe_tcp_create(cafe_transport **out, const cafe_tcp_options *given, cafe_err *err) {
  cafe_tcp_options options;
  int code = SIZED_READ(&options, given, cafe_tcp_options, log, "CAFE_TCP_OPTIONS_INIT", err);
  if (code == CAFE_OK) {
    code = check_options(&options, err);
  }
  if (code != CAFE_OK) {
    return code;
  }
  const cafe_allocator *allocator = options.allocator ? options.allocator : cafe_allocator_default();
  tcp *self = allocator->resize(NULL, sizeof(*self), allocator->user);
  if (!self) {
    return tcp_no_memory(err);
  }
  memset(self, 0, sizeof(*self));
  self->base.ops = &tcp_ops;
  self->allocator = *allocator;
  self->names.allocator = self->packed.allocator = self->spare.allocator = &self->allocator;
  self->log = options.log;
  self->given_fd = -1;
  self->is_insecure = options.is_insecure;
  self->max_connections = options.max_connections ? options.max_connections : CONNECTIONS_DEFAULT;
  self->max_frame = frame_of(&options);
  self->max_incoming = incoming_of(&options);
  self->idle_us = (options.idle_timeout_ms ? options.idle_timeout_ms : IDLE_DEFAULT_MS) * 1000;
  self->turn.fire = on_turn;
  self->turn.user = self;
  code = take_options(self, &options, err);
  if (code != CAFE_OK) {
    tcp_release(self);
    return code;
  }
  self->given_fd = options.listen_fd;
  *out = &self->base;
  return CAFE_OK;
}
