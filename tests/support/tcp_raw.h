/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCP_RAW_H
#define TCP_RAW_H

/* Peers that are none: sockets on which a test writes and reads what it likes. */

#include <errno.h>
#include <fcntl.h>

#include "tcp_kit.h"
#include "transport/tcp_frame.h"

enum { FRAME_MAX_OF_TESTS = 64 * 1024 * 1024 };

static inline int raw_connect(const char *address) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  to.sin_port = htons((uint16_t)atoi(strchr(address, ':') + 1));
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_true(fd >= 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
  return fd;
}

/* All of it, while the loop turns. */
static inline void raw_send(int fd, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t sent = send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      bytes += sent;
      size -= (size_t)sent;
    } else if (errno == EAGAIN) {
      run_ms(1);
    } else {
      return; /* closed by the other side, which the test looks for */
    }
  }
}

static inline buffer raw_frame_bytes(const frame *f) {
  buffer out = {.allocator = cafe_allocator_default()};
  frame copy = *f;
  assert_int_equal(frame_put(&out, &copy, FRAME_MAX_OF_TESTS, NULL), CAFE_OK);
  return out;
}

static inline void raw_put(int fd, const frame *f) {
  buffer bytes = raw_frame_bytes(f);
  raw_send(fd, bytes.data, buffer_size(&bytes));
  buffer_free(&bytes);
}

static inline void raw_hello(int fd) {
  frame hello = {.kind = FRAME_HELLO, .services = {"raw\0pay", 8}, .max_frame = FRAME_MAX_OF_TESTS};
  raw_put(fd, &hello);
}

/* The next frame; false: the connection is closed, or there is none yet. */
typedef struct raw_reader {
  int fd;
  buffer in;
  size_t last; /* bytes of the frame that was read last: they stay until the next read */
  bool is_closed;
} raw_reader;

static inline raw_reader raw_reader_of(int fd) {
  return (raw_reader){.fd = fd, .in = {.allocator = cafe_allocator_default()}};
}

static inline bool raw_read(raw_reader *self, frame *out) {
  cafe_slice one;
  buffer_drop(&self->in, self->last);
  self->last = 0;
  char *to = buffer_reserve(&self->in, 65536);
  ssize_t got = recv(self->fd, to, 65536, MSG_DONTWAIT);
  if (got > 0) {
    buffer_add(&self->in, (size_t)got);
  }
  self->is_closed = got == 0 || (got < 0 && errno != EAGAIN);
  int cut = frame_cut(&one, buffer_bytes(&self->in), FRAME_MAX_OF_TESTS);
  assert_true(cut >= 0);
  if (cut == 0) {
    return false;
  }
  assert_int_equal(frame_read(out, one, NULL), CAFE_OK);
  self->last = FRAME_LENGTH + one.size;
  return true;
}

/* A ping may come at any time, and is passed over where it isn't what is expected. */
static inline void raw_expect(raw_reader *self, frame *out, frame_kind kind) {
  WAIT_UNTIL((raw_read(self, out) && (out->kind != FRAME_PING || kind == FRAME_PING)) || self->is_closed);
  assert_true(self->last > 0);
  assert_int_equal(out->kind, kind);
}

static inline void raw_expect_end(raw_reader *self) {
  frame unused;
  WAIT_UNTIL((raw_read(self, &unused), self->is_closed));
}

static inline void raw_close(raw_reader *self) {
  close(self->fd);
  buffer_free(&self->in);
}

/* Connected, and greeted. */
static inline raw_reader raw_client(const char *address) {
  frame f;
  raw_reader self = raw_reader_of(raw_connect(address));
  raw_hello(self.fd);
  raw_expect(&self, &f, FRAME_HELLO);
  return self;
}

/* The next one that connects to a socket of listen_somewhere. */
static inline int raw_accept(int listener) {
  int fd;
  assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
  WAIT_UNTIL((fd = accept(listener, NULL, NULL)) >= 0);
  return fd;
}

static inline raw_reader raw_server(int listener) {
  frame f;
  raw_reader self = raw_reader_of(raw_accept(listener));
  raw_expect(&self, &f, FRAME_HELLO);
  raw_hello(self.fd);
  return self;
}

#endif
