/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who reads a node's log from another process: a publisher, whose log was filled before by real orders, and one or more
 * subscribers, a process each, with one link over tcp on loopback. Each takes all events of all types from the first
 * position to the head, and makes a digest of what it got; it must be that of the log as the store itself reads it.
 */
#include "subscriber.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cafe/loop/uv.h"
#include "cafe/sys/loop.h"
#include "cafe/sys/transport.h"
#include "cafe/transport/tcp.h"
#include "workload.h"

enum {
  SAYS_READ_STORE = 'r', /* the publisher: reads its log by the store's method, and tells */
  SAYS_BEGIN = 'g',      /* its clock begins; a subscriber: subscribes */
  SAYS_END = 'e',        /* it tells what it used */
  SAYS_STOP = 's',
  SAYS_STANDS = 'y',
  TYPES_MAX = 128,
  START_MS = 120000,
  STILL_MS = 120000
};

/* ---- the publisher ---- */

typedef struct publisher {
  bench_case wanted;
  int listener;
  int control;
  standing shop;
  bench_usage start;
  int is_stopped;
} publisher;

static int join_tcp(cafe_transport **out, cafe_loop *loop, void *user, cafe_err *err) {
  (void)loop;
  cafe_tcp_options options = CAFE_TCP_OPTIONS_INIT;
  options.listen_fd = ((publisher *)user)->listener;
  return cafe_tcp_create(out, &options, err);
}

static void asked(uv_poll_t *poll, int status, int events) {
  (void)events;
  publisher *self = poll->data;
  char word = SAYS_STOP;
  log_reading told;
  memset(&told, 0, sizeof(told));
  if (status < 0 || !isolated_receive(self->control, &word, 1, 0)) {
    word = SAYS_STOP;
  }
  switch (word) {
  case SAYS_READ_STORE:
    log_read_store(&told, self->shop.store);
    (void)isolated_send(self->control, &told, sizeof(told));
    break;
  case SAYS_BEGIN:
    counted_store_reset(self->shop.counted);
    counted_now(&self->start);
    break;
  case SAYS_END: {
    bench_result counts;
    counted_since(&told.used, &self->start);
    counted_store_get(self->shop.counted, &counts);
    told.batches = counts.log_reads;
    told.sum.events = counts.log_events;
    (void)isolated_send(self->control, &told, sizeof(told));
    break;
  }
  default:
    self->is_stopped = 1;
    break;
  }
}

static void serve(publisher *self) {
  uv_poll_t poll;
  char word = SAYS_STANDS;
  uv_poll_init(&self->shop.uv, &poll, self->control);
  poll.data = self;
  uv_poll_start(&poll, UV_READABLE, asked);
  (void)isolated_send(self->control, &word, 1);
  cafe_node_run(self->shop.node, &self->is_stopped);
  uv_close((uv_handle_t *)&poll, NULL);
  uv_run(&self->shop.uv, UV_RUN_NOWAIT);
}

static void run_publisher(int control, void *user) {
  publisher *self = user;
  char path[512];
  cafe_err err = {0};
  bench_result filled = {0};
  self->control = control;
  workload_path(path, sizeof(path), &self->wanted);
  standing_options how = {.name = "cafe-bench",
                          .services = CAFE_SHOP_APP | CAFE_SHOP_PAY | CAFE_SHOP_STORE | CAFE_SHOP_CUSTOMER,
                          .store = self->wanted.store,
                          .path = path,
                          .join = join_tcp,
                          .join_user = self};
  bool is_open = standing_open(&self->shop, &how, &err) == CAFE_OK;
  if (is_open && self->wanted.store == BENCH_MEMORY) {
    workload_fill(&filled, &self->shop, &self->wanted);
  }
  if (is_open && !filled.failure[0]) {
    serve(self);
  } else {
    fprintf(stderr, "cafe-bench: the publisher: %s\n", is_open ? filled.failure : err.text);
  }
  standing_close(&self->shop);
}

/* ---- a subscriber ---- */

typedef struct reader {
  char address[ISOLATED_ADDRESS_MAX];
  log_reading told;
  const char *types[TYPES_MAX];
  cafe_transport *transport;
  cafe_link link;
  bool is_done;
} reader;

static void take_events(cafe_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                        uint64_t head) {
  reader *self = link->user;
  log_reading *told = &self->told;
  bool is_right = true;
  for (uint32_t i = 0; i < count && is_right; i++) {
    is_right = log_sum_add(&told->sum, &events[i]);
  }
  if (!is_right || told->sum.last != scanned) {
    snprintf(told->failure, sizeof(told->failure), "what came isn't what follows %llu",
             (unsigned long long)told->sum.last);
  }
  told->batches++;
  told->max_batch = count > told->max_batch ? count : told->max_batch;
  link->after = scanned;
  self->is_done = scanned == head || told->failure[0];
  if (!self->is_done) {
    self->transport->ops->more(self->transport, link);
  }
}

static void lost(cafe_link *link, const cafe_err *err) {
  reader *self = link->user;
  snprintf(self->told.failure, sizeof(self->told.failure), "the subscription was lost: %s", err->text);
  self->is_done = true;
}

/* All types that the shop's aggregates emit. */
static void list_types(const char *types[TYPES_MAX]) {
  const cafe_aggregate *const all[] = {&cafe_order_aggregate, &cafe_payment_aggregate, &cafe_fulfillment_aggregate,
                                       &cafe_notification_aggregate};
  size_t count = 0;
  for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
    for (const cafe_schema *const *type = all[i]->events; *type && count < TYPES_MAX - 1; type++) {
      types[count++] = (*type)->name;
    }
  }
}

static void read_log(reader *self, int control, cafe_loop *loop) {
  cafe_err err = {0};
  bench_usage start;
  char word = SAYS_STANDS;
  (void)isolated_send(control, &word, 1);
  if (!isolated_receive(control, &word, 1, START_MS)) {
    return;
  }
  counted_now(&start);
  if (self->transport->ops->subscribe(self->transport, &self->link, &err) != CAFE_OK) {
    snprintf(self->told.failure, sizeof(self->told.failure), "subscribing: %s", err.text);
    return;
  }
  while (!self->is_done) {
    loop->ops->turn(loop, -1);
  }
  counted_since(&self->told.used, &start);
  self->told.wire = self->told.used.received;
  self->transport->ops->unsubscribe(self->transport, &self->link);
}

static void run_reader(int control, void *user) {
  static const cafe_server_ops nothing = {.size = sizeof(nothing)}; /* it offers nothing, so nothing is asked */
  static const char *const no_services[] = {NULL};
  reader *self = user;
  cafe_server server = {&nothing};
  cafe_loop *loop = NULL;
  cafe_err err = {0};
  cafe_tcp_peer peer = {"app", self->address, {NULL, NULL}};
  cafe_tcp_options options = CAFE_TCP_OPTIONS_INIT;
  options.peers = &peer;
  options.peer_count = 1;
  list_types(self->types);
  self->link = (cafe_link){.size = sizeof(self->link),
                           .service = "app",
                           .name = "cafe-bench",
                           .types = self->types,
                           .on_events = take_events,
                           .on_lost = lost,
                           .user = self};
  if (cafe_uv_create(&loop, NULL, NULL, &err) != CAFE_OK ||
      cafe_tcp_create(&self->transport, &options, &err) != CAFE_OK ||
      self->transport->ops->open(self->transport, loop, no_services, &server, &err) != CAFE_OK) {
    snprintf(self->told.failure, sizeof(self->told.failure), "opening a link: %s", err.text);
  } else {
    read_log(self, control, loop);
    self->transport->ops->close(self->transport);
  }
  (void)isolated_send(control, &self->told, sizeof(self->told));
  cafe_transport_destroy(self->transport);
  cafe_loop_destroy(loop);
}

/* ---- one round ---- */

static bool say(const isolated *to, char word) { return isolated_send(to->control, &word, 1); }

static bool hears(const isolated *from, char word) {
  char said = 0;
  return isolated_receive(from->control, &said, 1, START_MS) && said == word;
}

static bool end_round(subscriber_round *out, isolated readers[], uint32_t count, const subscriber_log *log) {
  const log_sum *right = &log->store.sum;
  bool is_right = true;
  for (uint32_t i = 0; i < count; i++) {
    log_reading told;
    if (!isolated_receive(readers[i].control, &told, sizeof(told), STILL_MS)) {
      snprintf(told.failure, sizeof(told.failure), "a subscriber's process died, or never came to the head");
    } else if (!told.failure[0] && (told.sum.digest != right->digest || told.sum.events != right->events)) {
      snprintf(told.failure, sizeof(told.failure), "check: what a subscriber got isn't what the log holds");
    }
    is_right = is_right && !told.failure[0];
    out->reader = i == 0 || told.used.wall_ns > out->reader.used.wall_ns || told.failure[0] ? told : out->reader;
    out->readers_cpu_ns += told.used.cpu_ns;
    if (!is_right) {
      break;
    }
  }
  return is_right && say(&log->publisher, SAYS_END) &&
         isolated_receive(log->publisher.control, &out->publisher, sizeof(out->publisher), START_MS);
}

bool subscriber_run(subscriber_round *out, const subscriber_log *log, uint32_t count) {
  static isolated readers[SUBSCRIBERS_MAX];
  reader *self = calloc(1, sizeof(*self));
  bool is_ready = self != NULL;
  uint32_t made = 0;
  memset(out, 0, sizeof(*out));
  if (self) {
    snprintf(self->address, sizeof(self->address), "%s", log->address);
  }
  for (; made < count && is_ready; made++) {
    is_ready = isolated_begin(&readers[made], run_reader, self) && hears(&readers[made], SAYS_STANDS);
  }
  is_ready = is_ready && say(&log->publisher, SAYS_BEGIN);
  for (uint32_t i = 0; i < count && is_ready; i++) {
    is_ready = say(&readers[i], SAYS_BEGIN);
  }
  if (!is_ready) {
    snprintf(out->reader.failure, sizeof(out->reader.failure), "the subscribers' processes can't be made");
  }
  bool is_right = is_ready && end_round(out, readers, count, log);
  for (uint32_t i = 0; i < made; i++) {
    if (is_right) {
      isolated_end(&readers[i]);
    } else {
      isolated_kill(&readers[i]);
    }
  }
  free(self);
  return is_right;
}

/* ---- a log and its publisher ---- */

bool subscriber_open(subscriber_log *out, const bench_case *wanted) {
  publisher *self = calloc(1, sizeof(*self));
  char word = SAYS_READ_STORE;
  memset(out, 0, sizeof(*out));
  out->publisher = (isolated){-1, -1};
  bool is_open = self && isolated_listen(&self->listener, out->address);
  if (is_open) {
    self->wanted = *wanted;
    is_open = isolated_begin(&out->publisher, run_publisher, self) && hears(&out->publisher, SAYS_STANDS) &&
              say(&out->publisher, word) &&
              isolated_receive(out->publisher.control, &out->store, sizeof(out->store), START_MS) &&
              !out->store.failure[0];
    close(self->listener);
  }
  free(self);
  return is_open;
}

void subscriber_close(subscriber_log *log) {
  if (log->publisher.pid > 0 && say(&log->publisher, SAYS_STOP)) {
    isolated_end(&log->publisher);
  } else {
    isolated_kill(&log->publisher);
  }
}
