/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_HOST_H
#define HTTP_HOST_H

#include "http/http.h"
#include "http/listen.h"
#include "http/notify.h"
#include "http/options.h"

/* What every server process has: a loop, a store, a node, and HTTP servers; from its start to the end of its drain. */
enum { HOST_SERVERS_MAX = 8, HOST_PLACES_MAX = 1000 };

typedef struct host {
  const char *name;
  uv_loop_t uv;
  cafe_loop *loop;
  cafe_store *store;
  cafe_node *node;
  cafe_log log;
  http_server *servers[HOST_SERVERS_MAX];
  int server_count;
  int undrained;
  http_limits limits; /* of each server */
  listen_inherited inherited;
  char places[HOST_PLACES_MAX]; /* where it listens, for the log */
  uv_signal_t term;
  uv_signal_t interrupt;
  uv_timer_t patience; /* of the drain */
  int64_t drain_timeout_ms;
  uv_timer_t upkeep;
  int64_t retention_ms; /* of idempotency keys */
  cafe_op *forgetting;  /* the keys that are older; NULL: nobody is */
  bool has_uv;
  bool is_draining;
  bool is_closing;
  bool is_lost; /* the store has to be opened anew: by the next process */
  notifier supervisor;
  char *ledger; /* a file beside the store's for what isn't in it, or NULL */
} host;

/* What host_open reads of a table. */
#define HOST_OPTIONS                                                                                                   \
  {.name = "listen", .argument = "HOST:PORT", .help = "where customers, or their gateway, connect"},                   \
      {.name = "store", .argument = "URL", .help = "sqlite:FILE, or memory:"},                                         \
      {.name = "drain-timeout",                                                                                        \
       .argument = "DURATION",                                                                                         \
       .fallback = "30s",                                                                                              \
       .help = "for what is in flight at the end"},                                                                    \
      {.name = "idempotency-retention",                                                                                \
       .argument = "DURATION",                                                                                         \
       .fallback = "86400s",                                                                                           \
       .help = "for so long a repeat of a request finds its answer"},                                                  \
      {.name = "connections-per-address",                                                                              \
       .argument = "NUMBER",                                                                                           \
       .help = "at once, of one client; 0: as many as there are (five sixths of those)"},                              \
      {.name = "log-level", .argument = "LEVEL", .fallback = "info", .help = "error, warn, info or debug"}, {          \
    .name = "log-format", .argument = "FORMAT", .fallback = "text", .help = "text or json: an object a line"           \
  }

/* The SQLite file that --store names; NULL: it is memory:. BORROW: the option's. CAFE_INVALID. */
int host_store_file(const char **out, const option *options, cafe_err *err);

/* Makes the loop and the store, and finds the sockets that a supervisor has handed over. OWN: host_close, whatever this
 * returns. self stays where it is until the process is gone: signals find it to the end. */
int host_open(host *self, const option *options, const char *name, int services, cafe_err *err);

/* Makes the node, which isn't started yet. transport BORROW: until host_close_node; NULL: it has no peers. */
int host_make_node(host *self, cafe_transport *transport, cafe_err *err);

/* Listens for a service: at the supervisor's socket of that name, else at the address, which the option asks for. Nobody
 * is answered before host_run. */
int host_listen(host *self, const option *asked, const char *socket, const char *address, int port,
                const http_service *service, const void *config, cafe_err *err);

/* Notes for the log that this listens there. is_shared: the socket is the supervisor's, and the option isn't used. */
void host_note(host *self, const char *what, int fd, bool is_shared, const option *asked);

/* The node is started. Serves until SIGTERM or SIGINT; then drains. */
int host_run(host *self, cafe_err *err);

/* The process's exit status, before host_close. code: of what it did last. 0: it ended as it was asked to; 2: it couldn't
 * start, and nothing was changed; 3: its store was lost while it ran, which a new start mends or explains. */
int host_status(const host *self, int code);

/* The node is gone after the first, so that what it borrowed can be destroyed before the second. */
void host_close_node(host *self);
void host_close(host *self);

#endif
