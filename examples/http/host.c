/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server process, from its start to its end. A start that fails changes nothing: addresses are taken before the store
 * is opened. The end has an order: no more connections, then no more requests, then nothing in flight in the node, and
 * only then the node's end; when patience runs out the node ends at once, and what isn't answered is told so.
 */
#include "http/host.h"
#include "cafe/cafe.h"
#include "cafe/loop/uv.h"
#include "cafe/store/memory.h"
#include "cafe/store/sqlite.h"
#include "http/log.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
  UPKEEP_MIN_MS = 1000,
  UPKEEP_MAX_MS = 3600000,
  FILES_WANTED = 65536,
  FILES_KEPT = 128, /* for the store and whatever else */
  CONNECTIONS_MAX = 12288
};

static void say(const host *self, cafe_log_level level, const char *text) {
  http_log(&self->log, level, self->name, 0, (cafe_slice){NULL, 0}, "%s", text);
}

static void on_store_lost(const cafe_err *err, void *user);

/* ---- opening ---- */

static uint32_t raise_limits(int services) {
  struct rlimit files = {.rlim_cur = 1024};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    rlim_t wanted = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
    rlim_t had = files.rlim_cur;
    files.rlim_cur = wanted > had ? wanted : had;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) {
      files.rlim_cur = had;
    }
  }
  rlim_t each = files.rlim_cur > (rlim_t)FILES_KEPT * 2 ? (files.rlim_cur - FILES_KEPT) / (rlim_t)services : 16;
  return each < CONNECTIONS_MAX ? (uint32_t)each : CONNECTIONS_MAX;
}

/* One client leaves room for others, and a gateway, which comes from one address, has most of it. */
static int read_limits(http_limits *out, const option *options, int services, cafe_err *err) {
  out->connections = raise_limits(services);
  out->per_address = out->connections - out->connections / 6;
  return option_value(options, "connections-per-address")
             ? option_number(&out->per_address, options, "connections-per-address", err)
             : CAFE_OK;
}

int host_store_file(const char **out, const option *options, cafe_err *err) {
  const char *url = option_value(options, "store");
  *out = NULL;
  if (strcmp(url, "memory:") == 0) {
    return CAFE_OK;
  }
  if (strncmp(url, "sqlite:", 7) != 0 || !url[7]) {
    return cafe_fail(err, CAFE_INVALID, "%s%.*s...: a store is sqlite:FILE or memory:",
                     option_given_as(options, "store"), (int)strcspn(url, ":/@?#"),
                     url); /* no more of it: a URL may hold a password */
  }
  *out = url + 7;
  return CAFE_OK;
}

static int open_store(host *self, const option *options, cafe_err *err) {
  const char *file;
  int code = host_store_file(&file, options, err);
  if (code != CAFE_OK) {
    return code;
  }
  if (!file) {
    return cafe_memory_create(&self->store, NULL, err);
  }
  static const char behind[] = ".sandbox";
  self->ledger = malloc(strlen(file) + sizeof behind);
  if (!self->ledger) {
    return cafe_fail(err, CAFE_NOMEM, "no memory to open the store");
  }
  (void)sprintf(self->ledger, "%s%s", file, behind);
  return cafe_sqlite_create(&self->store, file, NULL, err);
}

int host_open(host *self, const option *options, const char *name, int services, cafe_err *err) {
  *self = (host){.name = name};
  int code = http_log_open(&self->log, options, name, err);
  if (code == CAFE_OK) {
    code = option_duration(&self->drain_timeout_ms, options, "drain-timeout", err);
  }
  if (code == CAFE_OK) {
    code = option_duration(&self->retention_ms, options, "idempotency-retention", err);
  }
  if (code == CAFE_OK) {
    code = read_limits(&self->limits, options, services, err);
  }
  if (code != CAFE_OK) {
    return code;
  }
  (void)signal(SIGPIPE, SIG_IGN); /* who reads our output may leave */
  if (uv_loop_init(&self->uv) != 0) {
    return cafe_fail(err, CAFE_UNAVAILABLE, "libuv can't make a loop");
  }
  self->has_uv = true;
  code = cafe_uv_create(&self->loop, &self->uv, NULL, err);
  if (code == CAFE_OK) {
    code = open_store(self, options, err);
  }
  return code == CAFE_OK ? listen_inherit(&self->inherited, err) : code;
}

int host_make_node(host *self, cafe_transport *transport, cafe_err *err) {
  cafe_node_options node = CAFE_NODE_OPTIONS_INIT;
  node.name = self->name;
  node.loop = self->loop;
  node.store = self->store;
  node.transport = transport;
  node.log = self->log;
  node.store_lost = on_store_lost;
  node.store_lost_user = self;
  return cafe_node_create(&self->node, &node, err);
}

/* An address that was asked for and isn't where anybody listens would be looked for in vain. */
void host_note(host *self, const char *what, int fd, bool is_shared, const option *asked) {
  char address[LISTEN_NAME_MAX];
  size_t used = strlen(self->places);
  bool is_passed_over = is_shared && asked->is_given;
  listen_name(address, fd);
  (void)snprintf(self->places + used, sizeof self->places - used, "%s%s at %s%s%s%s%s", used ? ", " : "", what, address,
                 is_passed_over ? " (the supervisor's socket, not "
                 : is_shared    ? " (the supervisor's socket"
                                : "",
                 is_passed_over ? asked->given_as : "", is_passed_over ? asked->values[asked->count - 1] : "",
                 is_shared ? ")" : "");
}

int host_listen(host *self, const option *asked, const char *socket, const char *address, int port,
                const http_service *service, const void *config, cafe_err *err) {
  assert(self->server_count < HOST_SERVERS_MAX);
  int fd = listen_take(&self->inherited, socket);
  bool is_shared = fd >= 0;
  int code = is_shared ? CAFE_OK : listen_open(&fd, address, port, err);
  if (code != CAFE_OK) {
    return code;
  }
  code = http_server_open(&self->servers[self->server_count], &self->uv, fd, is_shared, &self->limits, service, config,
                          self->node, &self->log, err);
  if (code != CAFE_OK) {
    (void)close(fd);
    return code;
  }
  self->server_count++;
  host_note(self, service->name, fd, is_shared, asked);
  return CAFE_OK;
}

/* ---- upkeep ---- */

static void on_forgotten(const cafe_err *err, uint64_t count, void *user) {
  host *self = user;
  char text[sizeof err->text + 64];
  self->forgetting = NULL;
  if (err && err->code != CAFE_CANCELED) {
    (void)snprintf(text, sizeof text, "old idempotency keys stay until the next look: %s", err->text);
    say(self, CAFE_LOG_WARN, text);
  } else if (count) {
    (void)snprintf(text, sizeof text, "%llu idempotency keys were older than their retention",
                   (unsigned long long)count);
    say(self, CAFE_LOG_DEBUG, text);
  }
}

static void on_upkeep(uv_timer_t *timer) {
  host *self = timer->data;
  uv_timeval64_t now;
  cafe_err err = {0};
  if (self->forgetting || self->is_draining || uv_gettimeofday(&now) != 0) {
    return;
  }
  int64_t now_ms = now.tv_sec * 1000 + now.tv_usec / 1000;
  int code = cafe_node_forget_keys(&self->forgetting, self->node, now_ms - self->retention_ms, on_forgotten, self, &err);
  if (code != CAFE_OK) {
    self->forgetting = NULL;
    say(self, CAFE_LOG_WARN, err.text);
  }
}

/* Often enough that a key outlives its retention by little, and seldom enough that nobody notices. */
static void start_upkeep(host *self) {
  int64_t every_ms = self->retention_ms / 24;
  every_ms = every_ms < UPKEEP_MIN_MS ? UPKEEP_MIN_MS : every_ms > UPKEEP_MAX_MS ? UPKEEP_MAX_MS : every_ms;
  self->upkeep.data = self;
  (void)uv_timer_init(&self->uv, &self->upkeep);
  (void)uv_timer_start(&self->upkeep, on_upkeep, (uint64_t)every_ms, (uint64_t)every_ms);
}

/* ---- ending ---- */

static void on_node_closed(const cafe_err *err, void *user) {
  (void)err; /* there is none */
  host *self = user;
  uv_stop(&self->uv);
}

static void close_node(host *self) {
  cafe_err err = {0};
  if (self->is_closing) {
    return;
  }
  self->is_closing = true;
  if (cafe_node_close(self->node, on_node_closed, self, &err) != CAFE_OK) {
    say(self, CAFE_LOG_ERROR, err.text);
    uv_stop(&self->uv);
  }
}

/* Nothing can be answered here any more, and only a new process opens the store anew. */
static void on_store_lost(const cafe_err *err, void *user) {
  (void)err; /* the node has said it */
  host *self = user;
  self->is_lost = true;
  say(self, CAFE_LOG_ERROR, "ending with status 3, to be started anew");
  close_node(self);
}

int host_status(const host *self, int code) { return code != CAFE_OK ? 2 : self->is_lost ? 3 : 0; }

static void on_node_drained(const cafe_err *err, void *user) {
  (void)err; /* canceled: it is closing already */
  close_node(user);
}

static void on_server_drained(void *user) {
  host *self = user;
  cafe_err err = {0};
  if (--self->undrained > 0 || self->is_closing) {
    return;
  }
  if (cafe_node_drain(self->node, on_node_drained, self, &err) != CAFE_OK) {
    say(self, CAFE_LOG_ERROR, err.text);
    close_node(self);
  }
}

static void on_impatient(uv_timer_t *timer) {
  host *self = timer->data;
  say(self, CAFE_LOG_WARN, "the drain timeout has passed: what is in flight goes on at the next start");
  close_node(self);
}

static void on_signal(uv_signal_t *handle, int number) {
  (void)number;
  host *self = handle->data;
  if (self->is_draining || self->is_closing) {
    return;
  }
  self->is_draining = true;
  say(self, CAFE_LOG_INFO, "draining");
  notify_stopping(&self->supervisor);
  if (self->forgetting) {
    cafe_op_cancel(self->forgetting); /* the rest goes at the next start */
  }
  (void)uv_timer_start(&self->patience, on_impatient, (uint64_t)self->drain_timeout_ms, 0);
  self->undrained = self->server_count;
  for (int i = 0; i < self->server_count; i++) {
    http_server_drain(self->servers[i], on_server_drained, self);
  }
}

int host_run(host *self, cafe_err *err) {
  int code = CAFE_OK;
  /* These are watched for to the very end, and never closed: that would give each a moment in which it kills. So who
   * asks again while the process ends gets what he asked for, and the exit status it has earned. */
  (void)uv_signal_init(&self->uv, &self->term);
  (void)uv_signal_init(&self->uv, &self->interrupt);
  uv_unref((uv_handle_t *)&self->term);
  uv_unref((uv_handle_t *)&self->interrupt);
  (void)uv_timer_init(&self->uv, &self->patience);
  notify_open(&self->supervisor, &self->uv, &self->log);
  self->term.data = self->interrupt.data = self->patience.data = self;
  if (uv_signal_start(&self->term, on_signal, SIGTERM) != 0 ||
      uv_signal_start(&self->interrupt, on_signal, SIGINT) != 0) {
    code = cafe_fail(err, CAFE_UNAVAILABLE, "libuv can't watch for signals");
  } else {
    for (int i = 0; i < self->server_count; i++) {
      http_server_start(self->servers[i]);
    }
    start_upkeep(self);
    http_log(&self->log, CAFE_LOG_INFO, self->name, 0, (cafe_slice){NULL, 0}, "serving: %s", self->places);
    notify_ready(&self->supervisor);
    (void)uv_run(&self->uv, UV_RUN_DEFAULT);
    say(self, CAFE_LOG_INFO, "ended");
  }
  uv_close((uv_handle_t *)&self->patience, NULL);
  notify_close(&self->supervisor);
  if (self->upkeep.data) {
    uv_close((uv_handle_t *)&self->upkeep, NULL);
  }
  return code;
}

void host_close_node(host *self) {
  for (int i = 0; i < self->server_count; i++) {
    http_server_close(self->servers[i]);
  }
  self->server_count = 0;
  cafe_node_destroy(self->node);
  self->node = NULL;
}

void host_close(host *self) {
  host_close_node(self);
  cafe_store_destroy(self->store);
  cafe_loop_destroy(self->loop);
  if (self->has_uv) {
    (void)uv_run(&self->uv, UV_RUN_DEFAULT);
    (void)uv_loop_close(&self->uv); /* not while it watches for signals: then it goes with the process */
  }
  free(self->ledger);
  self->ledger = NULL;
}
