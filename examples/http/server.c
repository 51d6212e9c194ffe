/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd on a libuv loop: its epoll descriptor is polled, its timeout is a timer, and a connection whose command
 * is in flight is suspended, so nothing blocks and nothing spins.
 *
 * Kept here: an exchange lives from its head until libmicrohttpd says that it is completed, which can't happen while
 * the connection is suspended; so a completion always finds its exchange. A client that leaves changes nothing. Time
 * limits are on a whole head and a whole body, not on silence, so a client that sends a byte now and then gains
 * nothing.
 */
#include "http/exchange.h"
#include "http/log.h"
#include "http/metrics.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utlist.h>

enum {
  HEAD_MS = 10000,
  BODY_MS = 30000,
  SEND_MS = 30000,
  IDLE_MS = 60000,      /* between two requests */
  DRAIN_ACCEPTS = 1000, /* turns in which the last ones are accepted */
  DRAIN_IDLE_MS = 2000, /* the same while draining: time for what was on its way */
  SWEEP_MS = 1000,
  POOL_SIZE = 32768, /* libmicrohttpd's memory for a connection: it bounds the head */
  URI_MAX = 8192
};
#define UNTIL_DRAIN UINT64_MAX

typedef struct connection {
  struct connection *prev;
  struct connection *next;
  http_server *server;
  struct MHD_Connection *handle;
  int fd;
  uint64_t taken;    /* of a body, at the last look */
  uint64_t until_ms; /* to read a head or a body, or to send an answer */
  bool was_used;     /* it had a request before */
  bool is_uri_too_long;
  bool is_uri_malformed;
  exchange *exchange; /* while it is busy: from a head to its completion */
} connection;

struct http_server {
  const http_service *service;
  const void *config;
  cafe_node *node;
  cafe_log log;
  uv_loop_t *loop;
  uv_poll_t readable;
  uv_timer_t due;
  uv_idle_t soon;
  uv_timer_t sweep;
  int open_handles;
  struct MHD_Daemon *daemon;
  int listener;     /* -1: closed */
  bool is_shared;   /* with a supervisor, and so with the next process: it is left listening */
  connection *idle; /* the longest first */
  connection *busy;
  uint32_t count;
  uint32_t crowd; /* so many connections leave room for no idle one */
  uint64_t held;  /* by its exchanges */
  http_metrics *metrics;
  bool is_started;
  bool is_draining;
  void (*drained)(void *user);
  void *user;
};

/* ---- turning ---- */

static void spin(http_server *server);

static void on_readable(uv_poll_t *handle, int status, int events) {
  (void)status;
  (void)events;
  spin(handle->data);
}

static void on_due(uv_timer_t *handle) { spin(handle->data); }

static void on_soon(uv_idle_t *handle) {
  (void)uv_idle_stop(handle);
  spin(handle->data);
}

/* In the loop's next turn, once, however much was answered in this one. By no timer: one that is started anew by itself
 * for now comes before the loop has looked at anything else, and a connection that libmicrohttpd can't get done with
 * would be all that is served. */
static void run_soon(http_server *server) { (void)uv_idle_start(&server->soon, on_soon); }

static void spin(http_server *server) {
  MHD_UNSIGNED_LONG_LONG timeout_ms;
  (void)MHD_run(server->daemon);
  (void)uv_timer_stop(&server->due);
  if (MHD_get_timeout(server->daemon, &timeout_ms) == MHD_YES) {
    if (timeout_ms == 0) {
      run_soon(server);
    } else {
      (void)uv_timer_start(&server->due, on_due, timeout_ms, 0);
    }
  }
  if (server->is_draining && server->count == 0 && server->drained) {
    void (*drained)(void *) = server->drained;
    server->drained = NULL;
    drained(server->user);
  }
}

void exchange_answered(exchange *self) {
  self->op = NULL;
  if (self->is_suspended) {
    self->is_suspended = false;
    MHD_resume_connection(self->connection);
    run_soon(self->server);
  }
}

void http_await(http_request *request, cafe_op *op, int64_t timeout_ms) {
  exchange *self = (exchange *)request;
  uint64_t now_ms = uv_now(self->server->loop);
  self->op = op;
  if (timeout_ms == HTTP_UNTIL_DRAIN) {
    self->op_until_ms = self->server->is_draining ? now_ms : UNTIL_DRAIN;
  } else {
    self->op_until_ms = now_ms + (uint64_t)timeout_ms;
  }
}

http_metrics *exchange_metrics(const exchange *self) { return self->server->metrics; }

uint32_t exchange_connections(const exchange *self) { return self->server->count; }

const cafe_log *exchange_log(const exchange *self) { return &self->server->log; }

bool http_server_is_draining(const http_request *request) { return ((const exchange *)request)->server->is_draining; }

/* ---- connections ---- */

/* There is no call to drop a connection; the end of its stream does it, and where nobody reads that, a short patience.
 */
static void drop(const connection *self) {
  (void)shutdown(self->fd, SHUT_RDWR);
  (void)MHD_set_connection_option(self->handle, MHD_CONNECTION_OPTION_TIMEOUT, 1U);
}

/*
 * Whether a connection that is being read from has outlived its time, or its client. An end of the stream that came
 * together with bytes is lost on libmicrohttpd: epoll tells it once (edge-triggered), and a read that didn't fill the
 * buffer is taken for the last there is to read.
 */
static bool is_over(connection *self, uint64_t now_ms) {
  char byte;
  ssize_t unread = recv(self->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  bool is_late = self->until_ms <= now_ms && !(unread > 0 && !self->exchange && self->was_used);
  /* A chunk's size that doesn't end fills libmicrohttpd's buffer, and it turns in a circle. */
  uint64_t taken = self->exchange ? self->exchange->received.size + self->exchange->discarded + 1 : 0;
  bool is_stuck = unread > 0 && taken && taken == self->taken;
  self->taken = taken;
  return unread == 0 || is_late || is_stuck;
}

static void look_at_stream(connection *on, uint64_t now_ms) {
  exchange *self = on->exchange;
  if (self->has_moved || self->is_suspended) {
    self->has_moved = false;
    on->until_ms = now_ms + SEND_MS;
  }
  if (!exchange_check_stream(self, on->fd) || on->until_ms <= now_ms) {
    drop(on);
  }
}

static void on_sweep(uv_timer_t *handle) {
  http_server *server = handle->data;
  uint64_t now_ms = uv_now(server->loop);
  for (connection *each = server->busy; each; each = each->next) {
    exchange *waiting = each->exchange;
    if (waiting->more && waiting->is_sent) {
      look_at_stream(each, now_ms);
    } else if (waiting->op && waiting->op_until_ms <= now_ms) {
      cafe_op *op = waiting->op;
      waiting->op = NULL;
      cafe_op_cancel(op);
    } else if (!waiting->is_dispatched ? is_over(each, now_ms) : waiting->is_sent && each->until_ms <= now_ms) {
      drop(each);
    }
  }
  for (connection *each = server->idle; each; each = each->next) {
    if (is_over(each, now_ms)) {
      drop(each);
    }
  }
  if (server->count == 0) {
    (void)uv_timer_stop(handle);
  }
}

static connection *connection_of(struct MHD_Connection *handle) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(handle, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info ? info->socket_context : NULL;
}

static void on_connection(void *user, struct MHD_Connection *handle, void **context,
                          enum MHD_ConnectionNotificationCode code) {
  http_server *server = user;
  connection *self = *context;
  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(handle, MHD_CONNECTION_INFO_CONNECTION_FD);
    self = calloc(1, sizeof *self);
    *context = self;
    if (!self) {
      return; /* on_request refuses what comes */
    }
    self->server = server;
    self->handle = handle;
    self->fd = info->connect_fd;
    self->until_ms = uv_now(server->loop) + HEAD_MS;
    if (++server->count > server->crowd && server->idle) {
      /* Who has something to ask comes before who only holds a place. It is gone when libmicrohttpd sees the end of its
       * stream; until then it must not be found here again. */
      connection *longest = server->idle;
      drop(longest);
      DL_DELETE(server->idle, longest);
      DL_APPEND(server->idle, longest);
    }
    DL_APPEND(server->idle, self);
    if (!uv_is_active((uv_handle_t *)&server->sweep)) {
      (void)uv_timer_start(&server->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    }
  } else if (self) {
    DL_DELETE(server->idle, self);
    server->count--;
    free(self);
    *context = NULL;
    /* libmicrohttpd stops listening when it has no room, or the process no descriptor, and takes this one's place for
     * the next only when it is run again, which nobody else may ask for. */
    run_soon(server);
  }
}

/* The request line was read. */
static void *on_uri(void *user, const char *uri, struct MHD_Connection *handle) {
  http_server *server = user;
  connection *self = connection_of(handle);
  if (self) {
    if (self->was_used) {
      self->until_ms = uv_now(server->loop) + HEAD_MS;
    }
    self->is_uri_too_long = strlen(uri) > URI_MAX;
    self->is_uri_malformed = strstr(uri, "%00") != NULL;
  }
  return NULL;
}

static void on_completed(void *user, struct MHD_Connection *handle, void **context,
                         enum MHD_RequestTerminationCode code) {
  (void)code;
  http_server *server = user;
  exchange *self = *context;
  connection *on = connection_of(handle);
  if (on && on->exchange) {
    DL_DELETE(server->busy, on);
    DL_APPEND(server->idle, on);
    on->exchange = NULL;
    on->was_used = true;
    on->until_ms = uv_now(server->loop) + (server->is_draining ? DRAIN_IDLE_MS : IDLE_MS);
  }
  *context = NULL;
  if (self) {
    (void)http_hold(&self->request, 0);
    buffer_reset(&self->received);
    buffer_reset(&self->body);
    cafe_arena_destroy(self->request.arena);
  }
}

/* ---- requests ---- */

/* A target may name the server too (RFC 9112, 3.2.2), as a proxy's client does. */
static const char *path_of(const char *target) {
  const char *path = strncasecmp(target, "http://", 7) == 0 ? strchr(target + 7, '/') : target;
  return path ? path : "/";
}

static exchange *begin(http_server *server, struct MHD_Connection *handle, const char *path, const char *method,
                       const char *version) {
  connection *on = connection_of(handle);
  cafe_arena *arena = on ? cafe_arena_create(NULL) : NULL;
  exchange *self = arena ? cafe_arena_alloc(arena, sizeof *self) : NULL;
  if (!self) {
    cafe_arena_destroy(arena);
    return NULL;
  }
  self->request.arena = arena;
  self->request.node = server->node;
  self->request.config = server->config;
  self->request.service = server->service;
  self->request.path = path_of(path);
  self->server = server;
  self->all_held = &server->held;
  self->connection = handle;
  self->method = method;
  self->begun_ns = uv_hrtime();
  DL_DELETE(server->idle, on);
  DL_APPEND(server->busy, on);
  on->exchange = self;
  on->until_ms = uv_now(server->loop) + BODY_MS;
  exchange_check_head(self, version, on->is_uri_too_long, on->is_uri_malformed);
  return self;
}

static enum MHD_Result take_body(exchange *self, const char *bytes, size_t size) {
  if (self->status == 0 && self->received.size + size > EXCHANGE_BODY_MAX) {
    http_problem(&self->request, HTTP_TOO_LARGE, "The body is larger than %d bytes", EXCHANGE_BODY_MAX);
  } else if (self->status == 0 && !http_hold(&self->request, self->received.size + size)) {
    http_problem(&self->request, HTTP_OVERLOADED, "Too many large requests are on their way");
  }
  if (self->status != 0) {
    self->discarded += size;
    return self->discarded > EXCHANGE_DISCARD_MAX ? MHD_NO : MHD_YES;
  }
  buffer_add(&self->received, bytes, size);
  return self->received.failed ? MHD_NO : MHD_YES;
}

static void note(const exchange *self) {
  const http_server *server = self->server;
  /* Reads are many, and change nothing; a trace is what somebody wants to follow. */
  bool is_read = strcmp(self->method, "GET") == 0 || strcmp(self->method, "HEAD") == 0;
  http_log(&server->log, is_read && !self->request.trace.size ? CAFE_LOG_DEBUG : CAFE_LOG_INFO, server->service->name,
           self->request.id, self->request.trace, "%s %s %u", self->method, self->request.path, self->status);
}

static enum MHD_Result send_answer(exchange *self) {
  struct MHD_Response *response =
      self->more ? exchange_stream(self)
                 : MHD_create_response_from_buffer(self->body.size, self->body.data, MHD_RESPMEM_MUST_FREE);
  if (!response) {
    return MHD_NO;
  }
  if (!self->more) {
    self->body = (buffer){0};
  }
  const char *type = self->content_type ? self->content_type : "application/json";
  (void)MHD_add_response_header(response, "Content-Type", self->status < 400 ? type : "application/problem+json");
  for (uint32_t i = 0; i < self->header_count; i++) {
    (void)MHD_add_response_header(response, self->headers[i].name, self->headers[i].value);
  }
  if (self->must_close || self->server->is_draining) {
    (void)MHD_add_response_header(response, "Connection", "close");
  }
  note(self);
  http_metrics_count(self->server->metrics, self->method, self->request.route, self->status, self->begun_ns);
  self->is_sent = true;
  connection_of(self->connection)->until_ms = uv_now(self->server->loop) + SEND_MS;
  enum MHD_Result queued = MHD_queue_response(self->connection, self->status, response);
  MHD_destroy_response(response);
  return queued;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *handle, const char *path, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **context) {
  exchange *self = *context;
  if (!self) {
    self = begin(user, handle, path, method, version);
    *context = self;
    return !self ? MHD_NO : self->must_close ? send_answer(self) : MHD_YES;
  }
  if (*upload_size > 0) {
    enum MHD_Result taken = take_body(self, upload, *upload_size);
    *upload_size = 0;
    return taken;
  }
  if (!self->is_dispatched) {
    self->is_dispatched = true;
    if (self->status == 0) {
      self->request.body = (cafe_slice){self->received.data, self->received.size};
      exchange_dispatch(self);
    }
    if (self->status == 0) {
      self->is_suspended = true;
      MHD_suspend_connection(handle);
      return MHD_YES;
    }
  }
  return send_answer(self);
}

/* ---- opening and closing ---- */

int http_server_open(http_server **out, uv_loop_t *loop, int listener, bool is_shared, const http_limits *limits,
                     const http_service *service, const void *config, cafe_node *node, const cafe_log *log,
                     cafe_err *err) {
  int code;
  *out = NULL;
  http_server *server = calloc(1, sizeof *server);
  if (!server) {
    return cafe_fail(err, CAFE_NOMEM, "no memory for a server");
  }
  server->service = service;
  server->config = config;
  server->node = node;
  server->log = *log;
  server->loop = loop;
  server->crowd = limits->connections - limits->connections / 4;
  server->listener = listener;
  server->is_shared = is_shared;
  server->metrics = http_metrics_open();
  if (!server->metrics) {
    code = cafe_fail(err, CAFE_NOMEM, "no memory for a server");
    goto fail;
  }
  server->daemon = MHD_start_daemon(
      MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET,
      server->listener, MHD_OPTION_CONNECTION_LIMIT, limits->connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
      limits->per_address, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_SIZE,
      MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(IDLE_MS / 1000), MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
      MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_URI_LOG_CALLBACK, on_uri, server, MHD_OPTION_END);
  if (!server->daemon) {
    code = cafe_fail(err, CAFE_UNAVAILABLE, "libmicrohttpd can't serve %s", service->name);
    goto fail;
  }
  *out = server;
  return CAFE_OK;

fail:
  http_metrics_close(server->metrics);
  free(server);
  return code;
}

void http_server_start(http_server *server) {
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  (void)uv_poll_init(server->loop, &server->readable, info->epoll_fd);
  (void)uv_timer_init(server->loop, &server->due);
  (void)uv_idle_init(server->loop, &server->soon);
  (void)uv_timer_init(server->loop, &server->sweep);
  server->readable.data = server->due.data = server->soon.data = server->sweep.data = server;
  server->open_handles = 4;
  server->is_started = true;
  (void)uv_poll_start(&server->readable, UV_READABLE, on_readable);
  spin(server);
}

/* Taken from libmicrohttpd before it ends: it would shut the socket down, and that is for all who have it. */
static void close_listener(http_server *server) {
  if (server->listener >= 0) {
    (void)MHD_quiesce_daemon(server->daemon);
    (void)close(server->listener);
    server->listener = -1;
  }
}

void http_server_drain(http_server *server, void (*done)(void *user), void *user) {
  struct pollfd backlog = {.fd = server->listener, .events = POLLIN};
  server->is_draining = true;
  server->drained = done;
  server->user = user;
  /* Whoever is connected already was told that somebody listens; as far as there is room. */
  for (int i = 0; !server->is_shared && i < DRAIN_ACCEPTS && poll(&backlog, 1, 0) > 0 && (backlog.revents & POLLIN);
       i++) {
    (void)MHD_run(server->daemon);
  }
  close_listener(server);
  for (connection *each = server->busy; each; each = each->next) {
    if (each->exchange->more) {
      exchange_end_stream(each->exchange);
    } else if (each->exchange->op_until_ms == UNTIL_DRAIN) {
      each->exchange->op_until_ms = 0;
    }
  }
  uint64_t until_ms = uv_now(server->loop) + DRAIN_IDLE_MS;
  for (connection *each = server->idle; each; each = each->next) {
    if (each->until_ms > until_ms) {
      each->until_ms = until_ms;
    }
  }
  run_soon(server);
}

static void on_closed(uv_handle_t *handle) {
  http_server *server = handle->data;
  if (--server->open_handles == 0) {
    free(server);
  }
}

void http_server_close(http_server *server) {
  if (!server) {
    return;
  }
  if (server->is_started) {
    (void)MHD_run(server->daemon); /* sends what was answered last */
  }
  close_listener(server);
  MHD_stop_daemon(server->daemon);
  http_metrics_close(server->metrics);
  if (!server->is_started) {
    free(server);
    return;
  }
  uv_close((uv_handle_t *)&server->readable, on_closed);
  uv_close((uv_handle_t *)&server->due, on_closed);
  uv_close((uv_handle_t *)&server->soon, on_closed);
  uv_close((uv_handle_t *)&server->sweep, on_closed);
}
