/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes at all, from a peer of the transport over TCP, on either side of a connection: whatever comes, nothing is
 * called that wasn't promised, nothing leaks, and no memory is reserved that the bytes didn't pay for.
 *
 * The first byte says how the others are sent: which side they come from, whether a hello goes before them, and whether
 * they are frames already, or pieces of at most 255 bytes to be made frames of, with a byte for the length before each.
 */
#include <sys/socket.h>
#include <unistd.h>

#include <utlist.h>

#include "fuzz.h"
#include "transport/tcp_core.h"

enum { TO_CLIENT = 1, WITHOUT_HELLO = 2, RAW = 4, IN_BYTES = 8, TURNS_MAX = 64, MEMORY_MAX = 4 * 1024 * 1024 };

/* ---- memory that is counted ---- */

static size_t live;

typedef union block {
  size_t size;
  long double unused; /* for any type */
} block;

static void *count(void *from, size_t size, void *user) {
  block *old = from ? (block *)from - 1 : NULL;
  (void)user;
  live -= old ? old->size : 0;
  if (size == 0) {
    free(old);
    return NULL;
  }
  block *made = realloc(old, sizeof(*made) + size);
  require(made != NULL);
  made->size = size;
  live += size;
  require(live < MEMORY_MAX);
  return made + 1;
}

static const cafe_allocator counting = {count, NULL};

/* ---- a loop of one timer and one watch, that is turned by hand ---- */

static int64_t now;
static cafe_timer *timer;
static cafe_watch *watch;
static unsigned watched;

static int64_t loop_now(cafe_loop *self) {
  (void)self;
  return now;
}

static uint64_t loop_random(cafe_loop *self) {
  (void)self;
  return 20; /* the longest delay: no input is so long that a lost connection is made anew */
}

static int start_timer(cafe_loop *self, cafe_timer *started, int64_t due_us, cafe_err *err) {
  (void)self, (void)due_us, (void)err;
  timer = started;
  return CAFE_OK;
}

static void stop_timer(cafe_loop *self, cafe_timer *stopped) {
  (void)self, (void)stopped;
  timer = NULL;
}

static int start_watch(cafe_loop *self, cafe_watch *started, unsigned events, cafe_err *err) {
  (void)self, (void)err;
  watch = started;
  watched = events;
  return CAFE_OK;
}

static void stop_watch(cafe_loop *self, cafe_watch *stopped) {
  (void)self;
  watch = watch == stopped ? NULL : watch;
}

static const cafe_loop_ops loop_ops = {.size = sizeof(loop_ops),
                                       .name = "fuzz",
                                       .now_us = loop_now,
                                       .utc_ms = loop_now,
                                       .random = loop_random,
                                       .timer_start = start_timer,
                                       .timer_stop = stop_timer,
                                       .watch_start = start_watch,
                                       .watch_stop = stop_watch};
static cafe_loop loop = {&loop_ops, {NULL}};

static void turn(void) {
  now++;
  if (timer) {
    timer->fire(timer);
  }
}

/* ---- a server that answers some and holds some ---- */

static uint32_t held_incoming, held_pulls;

static void serve(cafe_server *server, cafe_incoming *incoming) {
  (void)server;
  require(incoming->body.size == 0 || incoming->body.data != NULL);
  if (incoming->body.size % 3 == 0) {
    held_incoming++;
    return;
  }
  cafe_err err;
  (void)cafe_fail(&err, CAFE_OVERLOADED, "full");
  incoming->answer(incoming, incoming->body.size % 3 == 1 ? &err : NULL, incoming->body);
}

static void pull(cafe_server *server, cafe_pull *wish) {
  static const cafe_stored_event event = {.aggregate = "order", .key = 1, .data = {"data", 4}};
  cafe_stored_event events[3];
  uint32_t wanted = 0;
  (void)server;
  if (wish->shard % 2) {
    held_pulls++;
    return;
  }
  for (; wish->types[wanted] && wanted < 3; wanted++) {
    events[wanted] = event;
    events[wanted].type = wish->types[wanted];
    events[wanted].n = wish->after + wanted + 1;
  }
  if (wish->after + 3 > CAFE_KEY_MAX) {
    cafe_err err;
    (void)cafe_fail(&err, CAFE_INVALID, "beyond the head");
    wish->answer(wish, &err, 0, NULL, 0, 0, 0);
  } else {
    wish->answer(wish, NULL, wish->log_id, events, wanted, wish->after + 3, wish->after + 3);
  }
}

static void forget_incoming(cafe_server *server, cafe_incoming *incoming) {
  (void)server, (void)incoming;
  require(held_incoming-- > 0);
}

static void forget_pull(cafe_server *server, cafe_pull *forgotten) {
  (void)server, (void)forgotten;
  require(held_pulls-- > 0);
}

static const cafe_server_ops server_ops = {sizeof(server_ops), serve, pull, forget_incoming, forget_pull};
static cafe_server server = {&server_ops};

/* ---- somebody who asks and subscribes ---- */

static uint32_t answers;
static cafe_transport *transport;

static void on_answer(cafe_request *request, const cafe_err *err, cafe_slice answer) {
  (void)request;
  require(err ? err->code > CAFE_OK && err->code <= CAFE_DENIED : answer.size == 0 || answer.data != NULL);
  answers++;
}

static void on_events(cafe_link *link, const cafe_stored_event *events, uint32_t event_count, uint64_t scanned,
                      uint64_t head) {
  uint64_t last = link->after;
  (void)head;
  require(event_count <= BATCH_EVENTS && scanned >= last);
  for (uint32_t i = 0; i < event_count; i++) {
    require(events[i].n > last && events[i].n <= scanned);
    require(events[i].type == link->types[0] || events[i].type == link->types[1]);
    require(strlen(events[i].aggregate) < 100000);
    last = events[i].n;
  }
  link->after = scanned;
  if (scanned % 2) {
    transport->ops->more(transport, link);
  }
}

static void on_lost(cafe_link *link, const cafe_err *err) {
  (void)link;
  require(err->code > CAFE_OK && err->code <= CAFE_DENIED);
}

/* ---- bytes on their way ---- */

typedef struct wire {
  int fd; /* the peer's end */
  bool in_bytes;
} wire;

static void settle(void) {
  for (int i = 0; i < 4; i++) {
    if (watch) {
      watch->ready(watch, watched);
    }
    turn();
  }
}

static void put(const wire *w, const void *bytes, size_t size) {
  const char *from = bytes;
  static char sink[65536];
  while (size > 0) {
    size_t piece = w->in_bytes ? 1 : size;
    ptrdiff_t sent = send(w->fd, from, piece, MSG_DONTWAIT | MSG_NOSIGNAL);
    settle();
    while (recv(w->fd, sink, sizeof(sink), MSG_DONTWAIT) > 0) {
    }
    if (sent <= 0) {
      return; /* closed, or it isn't read */
    }
    from += sent;
    size -= (size_t)sent;
  }
}

static void put_hello(const wire *w) {
  buffer out = {.allocator = &counting};
  frame hello = {.kind = FRAME_HELLO, .services = {"pay", 4}, .max_frame = 100000};
  require(frame_put(&out, &hello, 1000, NULL) == CAFE_OK);
  put(w, out.data, buffer_size(&out));
  buffer_free(&out);
}

static void put_pieces(const wire *w, const uint8_t *data, size_t size) {
  while (size > 1) {
    size_t length = data[0] < size - 1 ? data[0] : size - 1;
    const char head[FRAME_LENGTH] = {0, 0, 0, (char)length};
    put(w, head, sizeof(head));
    put(w, data + 1, length);
    data += 1 + length;
    size -= 1 + length;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const offered[] = {"pay", NULL};
  static const char *const types[] = {"Ordered", "OrderAccepted", NULL};
  static const cafe_tcp_peer peer = {"pay", "127.0.0.1:9", {NULL, NULL}};
  static const place nowhere = {.v4 = {.sin_family = AF_INET}};
  cafe_tcp_options options = CAFE_TCP_OPTIONS_INIT;
  cafe_request request = {.service = "pay", .done = on_answer, .budget = {.deadline_us = INT64_MAX}};
  cafe_link link = {.size = sizeof(link),
                    .service = "pay",
                    .name = "fuzz",
                    .types = types,
                    .on_events = on_events,
                    .on_lost = on_lost};
  int ends[2];
  unsigned how = size ? data[0] : 0;
  answers = held_incoming = held_pulls = 0;
  options.allocator = &counting;
  options.peers = &peer;
  options.peer_count = 1;
  options.max_frame = 1024 * 1024;
  require(cafe_tcp_create(&transport, &options, NULL) == CAFE_OK);
  require(transport->ops->open(transport, &loop, offered, &server, NULL) == CAFE_OK);
  require(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  tcp *self = (tcp *)transport;
  if (how & TO_CLIENT) {
    require(transport->ops->request(transport, &request, NULL) == CAFE_OK);
    require(transport->ops->subscribe(transport, &link, NULL) == CAFE_OK);
  }
  endpoint *e = how & TO_CLIENT ? self->endpoints : NULL;
  tcp_enter(self);
  conn *c = conn_create(self, ends[0], e, &nowhere, NULL);
  require(c != NULL);
  if (e) {
    e->conn = c;
  } else {
    self->accepted++;
  }
  conn_begin(c);
  conn_touch(c);
  tcp_leave(self);
  const wire w = {ends[1], (how & IN_BYTES) != 0};
  settle();
  if (!(how & WITHOUT_HELLO)) {
    put_hello(&w);
  }
  if (how & RAW) {
    put(&w, data + 1, size - 1);
  } else if (size > 1) {
    put_pieces(&w, data + 1, size - 1);
  }
  close(ends[1]);
  settle();
  require(held_incoming + held_pulls == 0); /* told that the peer is gone */
  require(answers <= 1);
  if (how & TO_CLIENT) {
    transport->ops->unsubscribe(transport, &link);
    transport->ops->cancel(transport, &request);
  }
  cafe_transport_destroy(transport);
  require(live == 0 && !watch);
  return 0;
}
