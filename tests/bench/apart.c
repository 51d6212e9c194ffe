/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Five services, a process and a SQLite file each, tcp on loopback between them. The processes are forked first and
 * told to begin when all of them stand; the clock runs from then until the last one owes no order anything, so that
 * what a service is behind with is nobody's gain.
 */
#include "apart.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cafe/transport/inproc.h"
#include "cafe/transport/tcp.h"

enum {
  SAYS_STANDS = 'r',
  SAYS_BEGIN = 'g',
  SAYS_OVER = 'o',
  SAYS_STOP = 's',
  START_MS = 30000,
  STILL_MS = 60000, /* nothing ends for so long: it never will */
  ORDER_MS = 20     /* and so long for each order */
};

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void fail(apart_result *out, const char *why) {
  if (!out->failure[0]) {
    snprintf(out->failure, sizeof(out->failure), "%s", why);
  }
}

void apart_clean(const bench_case *wanted) {
  static const char *const ends[] = {"", "-wal", "-shm", "-lock"};
  for (int which = 0; which < PARTS; which++) {
    for (int i = 0; i < 4; i++) {
      char path[512];
      char file[520];
      part_path(path, sizeof(path), wanted, which);
      snprintf(file, sizeof(file), "%s%s", path, ends[i]);
      unlink(file);
    }
  }
}

/* ---- a process of the five ---- */

typedef struct process {
  const bench_case *wanted;
  int which;
  int listeners[PARTS];
  char addresses[PARTS][ISOLATED_ADDRESS_MAX];
  int control;
  part part;
  int is_stopped;
} process;

static int join_tcp(cafe_transport **out, cafe_loop *loop, void *user, cafe_err *err) {
  (void)loop;
  process *self = user;
  cafe_tcp_peer peers[PARTS];
  cafe_tcp_options options = CAFE_TCP_OPTIONS_INIT;
  memset(peers, 0, sizeof(peers));
  for (int i = 0; i < PARTS; i++) {
    if (i != self->which) {
      peers[options.peer_count++] = (cafe_tcp_peer){part_names[i], self->addresses[i], {NULL, NULL}};
    }
  }
  options.peers = peers;
  options.listen_fd = self->listeners[self->which];
  return cafe_tcp_create(out, &options, err);
}

static void say(process *self, char word) { (void)isolated_send(self->control, &word, 1); }

static void part_ended(part *which, void *user) {
  (void)which;
  say(user, SAYS_OVER);
}

static void heard(uv_poll_t *poll, int status, int events) {
  (void)events;
  process *self = poll->data;
  char word = SAYS_STOP;
  if (status < 0 || !isolated_receive(self->control, &word, 1, 0) || word == SAYS_STOP) {
    self->is_stopped = 1;
  } else if (word == SAYS_BEGIN) {
    part_begin(&self->part);
  }
}

static void run_part(process *self, bench_result *out) {
  uv_poll_t poll;
  bench_usage start;
  uv_poll_init(&self->part.shop.uv, &poll, self->control);
  poll.data = self;
  uv_poll_start(&poll, UV_READABLE, heard);
  counted_now(&start);
  say(self, SAYS_STANDS);
  cafe_node_run(self->part.shop.node, &self->is_stopped);
  counted_since(&out->used, &start);
  part_finish(&self->part);
  uv_close((uv_handle_t *)&poll, NULL);
  while (uv_is_active((uv_handle_t *)&poll)) {
    uv_run(&self->part.shop.uv, UV_RUN_NOWAIT);
  }
}

static void run_process(int control, void *user) {
  process *self = user;
  bench_result out;
  memset(&out, 0, sizeof(out));
  self->control = control;
  for (int i = 0; i < PARTS; i++) {
    if (i != self->which) {
      close(self->listeners[i]);
    }
  }
  self->part.ended = part_ended;
  self->part.user = self;
  standing_options how = {.join = join_tcp, .join_user = self};
  if (part_open(&self->part, self->wanted, self->which, &how, &out)) {
    run_part(self, &out);
  }
  part_close(&self->part);
  (void)isolated_send(control, &out, sizeof(out));
}

/* ---- the one that watches them ---- */

/* Each says the word once. False: one died, or nobody said anything for too long. */
static bool all_say(const isolated children[PARTS], char word, int timeout_ms) {
  struct pollfd waits[PARTS];
  int left = PARTS;
  for (int i = 0; i < PARTS; i++) {
    waits[i] = (struct pollfd){children[i].control, POLLIN, 0};
  }
  while (left > 0) {
    if (poll(waits, PARTS, timeout_ms) <= 0) {
      return false;
    }
    for (int i = 0; i < PARTS; i++) {
      char said;
      if (!(waits[i].revents & (POLLIN | POLLHUP))) {
        continue;
      }
      if (!isolated_receive(waits[i].fd, &said, 1, 0) || said != word) {
        return false;
      }
      waits[i].fd = -1;
      left--;
    }
  }
  return true;
}

static void tell_all(const isolated children[PARTS], char word) {
  for (int i = 0; i < PARTS; i++) {
    (void)isolated_send(children[i].control, &word, 1);
  }
}

static void collect(apart_result *out, const isolated children[PARTS]) {
  for (int i = 0; i < PARTS; i++) {
    if (!isolated_receive(children[i].control, &out->parts[i], sizeof(out->parts[i]), START_MS)) {
      fail(out, "a service's process died");
    } else if (out->parts[i].failure[0]) {
      fail(out, out->parts[i].failure);
    }
  }
}

static void watch(apart_result *out, const isolated children[PARTS], const bench_case *wanted) {
  if (!all_say(children, SAYS_STANDS, START_MS)) {
    fail(out, "a service's process didn't begin");
    return;
  }
  int64_t start = now_ns();
  tell_all(children, SAYS_BEGIN);
  if (!all_say(children, SAYS_OVER, STILL_MS + (int)wanted->orders * ORDER_MS)) {
    fail(out, "an order never ended everywhere");
    return;
  }
  out->wall_ns = now_ns() - start;
  tell_all(children, SAYS_STOP);
  collect(out, children);
}

static void run_processes(apart_result *out, const bench_case *wanted) {
  process *self = calloc(1, sizeof(*self));
  isolated children[PARTS];
  bool is_ready = self != NULL;
  for (int i = 0; i < PARTS; i++) {
    children[i] = (isolated){-1, -1};
    is_ready = is_ready && isolated_listen(&self->listeners[i], self->addresses[i]);
  }
  for (int i = 0; i < PARTS && is_ready; i++) {
    self->wanted = wanted;
    self->which = i;
    is_ready = isolated_begin(&children[i], run_process, self);
  }
  if (is_ready) {
    watch(out, children, wanted);
  } else {
    fail(out, "the services' processes can't be made");
  }
  for (int i = 0; i < PARTS; i++) {
    if (out->failure[0]) {
      isolated_kill(&children[i]);
    } else {
      isolated_end(&children[i]);
    }
    if (self && self->listeners[i] > 0) {
      close(self->listeners[i]);
    }
  }
  free(self);
}

/* ---- all in one process ---- */

typedef struct together {
  const bench_case *wanted;
  cafe_inproc *hub;
  part parts[PARTS];
  apart_result out;
  int left;
  int is_over;
} together;

static int join_hub(cafe_transport **out, cafe_loop *loop, void *user, cafe_err *err) {
  together *self = user;
  int code = self->hub ? CAFE_OK : cafe_inproc_create(&self->hub, loop, NULL, err);
  return code == CAFE_OK ? cafe_inproc_join(out, self->hub, err) : code;
}

static void one_ended(part *which, void *user) {
  together *self = user;
  self->is_over = --self->left == 0 || which->out->failure[0];
}

static void run_together(int control, void *user) {
  together *self = user;
  bool is_open = true;
  bench_usage start;
  bench_usage used;
  for (int i = 0; i < PARTS && is_open; i++) {
    standing_options how = {.join = join_hub, .join_user = self, .together = i > 0 ? &self->parts[0].shop : NULL};
    self->parts[i].ended = one_ended;
    self->parts[i].user = self;
    is_open = part_open(&self->parts[i], self->wanted, i, &how, &self->out.parts[i]);
  }
  self->left = PARTS;
  counted_now(&start);
  for (int i = PARTS - 1; i >= 0 && is_open; i--) {
    part_begin(&self->parts[i]);
  }
  if (is_open) {
    cafe_node_run(self->parts[0].shop.node, &self->is_over);
  }
  counted_since(&used, &start);
  for (int i = 0; i < PARTS && is_open; i++) {
    part_finish(&self->parts[i]);
  }
  for (int i = PARTS - 1; i >= 0; i--) {
    cafe_node_destroy(self->parts[i].shop.node); /* all of them before the hub, which is before the loop */
    self->parts[i].shop.node = NULL;
    cafe_transport_destroy(self->parts[i].shop.transport);
    self->parts[i].shop.transport = NULL;
  }
  cafe_inproc_destroy(self->hub);
  for (int i = PARTS - 1; i >= 0; i--) {
    part_close(&self->parts[i]);
    fail(&self->out, self->out.parts[i].failure);
  }
  self->out.parts[0].used = used;
  self->out.wall_ns = used.wall_ns;
  (void)isolated_send(control, &self->out, sizeof(self->out));
}

static void run_nodes(apart_result *out, const bench_case *wanted) {
  together *self = calloc(1, sizeof(*self));
  isolated child = {-1, -1};
  if (self) {
    self->wanted = wanted;
  }
  if (!self || !isolated_begin(&child, run_together, self) ||
      !isolated_receive(child.control, out, sizeof(*out), STILL_MS + (int)wanted->orders * ORDER_MS)) {
    fail(out, "the services' process died, or an order never ended everywhere");
  }
  isolated_kill(&child);
  free(self);
}

void apart_run(apart_result *out, const bench_case *wanted, apart_how how) {
  memset(out, 0, sizeof(*out));
  apart_clean(wanted);
  if (how == APART_NODES) {
    run_nodes(out, wanted);
  } else {
    run_processes(out, wanted);
  }
  out->orders = wanted->orders;
  if (!out->failure[0]) {
    apart_check(out, wanted);
  }
}
