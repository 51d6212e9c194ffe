/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCP_SIEGE_H
#define TCP_SIEGE_H

/* A node that is besieged, another one that it serves meanwhile, and what both take. */

#include <dirent.h>
#include <sys/resource.h>

#include "tcp_raw.h"

enum { KB = 1024, MB = 1024 * 1024 };

/* ---- what is taken ---- */

typedef struct measured {
  cafe_allocator allocator;
  size_t live;
  size_t most;
} measured;

typedef struct block {
  _Alignas(16) size_t size;
} block;

static inline void *measured_resize(void *old, size_t size, void *user) {
  measured *self = user;
  block *at = old ? (block *)old - 1 : NULL;
  self->live -= at ? at->size : 0;
  if (size == 0) {
    free(at);
    return NULL;
  }
  block *made = realloc(at, sizeof(*made) + size);
  assert_non_null(made);
  made->size = size;
  self->live += size;
  self->most = self->live > self->most ? self->live : self->most;
  return made + 1;
}

static inline size_t count_descriptors(void) {
  DIR *dir = opendir("/proc/self/fd");
  assert_non_null(dir);
  size_t count = 0;
  while (readdir(dir)) {
    count++;
  }
  closedir(dir);
  return count;
}

/* ---- a node that is besieged, and one that it serves meanwhile ---- */

typedef struct siege {
  node pay, app;
  reader reader;
  measured memory;
  size_t calm_bytes;
  size_t calm_descriptors;
} siege;

static inline void expect_service(siege *self) {
  question q;
  append(&self->pay, 1);
  ask_and_wait(&q, &self->app, "pay", "other");
  assert_int_equal(q.err.code, CAFE_OK);
  WAIT_UNTIL(self->reader.events == self->pay.head);
  assert_int_equal(self->reader.lost, 0);
}

static inline siege *begin_with(uint32_t max_connections, uint32_t max_frame, uint64_t max_incoming, int64_t idle_ms) {
  static siege self;
  memset(&self, 0, sizeof(self));
  self.memory.allocator = (cafe_allocator){measured_resize, &self.memory};
  node_init(&self.pay, "pay");
  node_listen(&self.pay);
  self.pay.options.allocator = &self.memory.allocator;
  self.pay.options.max_connections = max_connections;
  self.pay.options.max_frame = max_frame;
  self.pay.options.max_incoming = max_incoming;
  self.pay.options.idle_timeout_ms = idle_ms;
  node_start(&self.pay);
  node_init(&self.app, "app");
  node_peer(&self.app, "pay", self.pay.address);
  node_start(&self.app);
  subscribe(&self.reader, &self.app, "pay", all_types);
  expect_service(&self);
  self.calm_bytes = self.memory.live;
  self.calm_descriptors = count_descriptors();
  self.memory.most = self.memory.live;
  return &self;
}

static inline siege *begin(uint32_t max_connections, uint32_t max_frame) {
  return begin_with(max_connections, max_frame, 0, 0);
}

/* All that it took is back, but for what is kept for the next time. */
static inline void end(siege *self) {
  expect_service(self);
  WAIT_UNTIL(count_descriptors() <= self->calm_descriptors);
  WAIT_UNTIL(self->memory.live <= self->calm_bytes + 64 * KB);
  unsubscribe(&self->reader);
  node_stop(&self->app);
  node_stop(&self->pay);
  assert_int_equal(self->memory.live, 0);
}

static inline void expect_cost(const siege *self, size_t most) {
  if (self->memory.most > self->calm_bytes + most) {
    fail_msg("%zu bytes are taken, of which %zu were before", self->memory.most, self->calm_bytes);
  }
}

/* As much as there is room for. False: it is closed. */
static inline bool push(int fd, const char *bytes, size_t size, size_t *sent) {
  ssize_t more = send(fd, bytes + *sent, size - *sent, MSG_DONTWAIT | MSG_NOSIGNAL);
  *sent += more > 0 ? (size_t)more : 0;
  return more >= 0 || errno == EAGAIN;
}

static inline void turn(void) { assert_int_equal(loop->ops->turn(loop, 1), CAFE_OK); }

static inline void raise_descriptors(rlim_t wanted) {
  struct rlimit limit;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = wanted;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
}

#endif
