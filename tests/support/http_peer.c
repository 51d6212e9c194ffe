/* SPDX-License-Identifier: Apache-2.0 */
#include "http_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const int PATIENCE_S = 20;

static time_t now_s(void) {
  struct timespec now;
  assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
  return now.tv_sec;
}

void http_peer_open(http_peer *self, void (*turn)(void *user), void *user) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(address);
  self->turn = turn;
  self->user = user;
  self->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  assert_true(self->listener >= 0);
  assert_int_equal(bind(self->listener, (struct sockaddr *)&address, size), 0);
  assert_int_equal(listen(self->listener, 64), 0);
  assert_int_equal(getsockname(self->listener, (struct sockaddr *)&address, &size), 0);
  self->port = ntohs(address.sin_port);
}

void http_peer_close(http_peer *self) {
  if (self->listener >= 0) {
    (void)close(self->listener);
    self->listener = -1;
  }
}

const char *http_peer_url(const http_peer *self, const char *path) {
  static char url[512];
  (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", self->port, path);
  return url;
}

bool http_peer_has_caller(const http_peer *self) {
  struct pollfd ready = {.fd = self->listener, .events = POLLIN};
  return poll(&ready, 1, 0) == 1;
}

/* Turns the program until there is something to read; 0: the other end has closed. */
static size_t read_some(http_call *call, char *out, size_t size) {
  time_t until = now_s() + PATIENCE_S;
  for (;;) {
    ssize_t more = read(call->fd, out, size);
    if (more >= 0) {
      return (size_t)more;
    }
    if (errno == ECONNRESET) {
      return 0;
    }
    assert_true(errno == EAGAIN || errno == EINTR);
    if (now_s() > until) {
      fail_msg("%s", "nothing comes");
    }
    call->peer->turn(call->peer->user);
  }
}

static bool read_request(http_call *call) {
  size_t size = 0;
  call->head[0] = '\0';
  do {
    size_t more = read_some(call, call->head + size, 1); /* so that nothing of the body is taken */
    if (more == 0) {
      return false;
    }
    size++;
    call->head[size] = '\0';
    assert_true(size < sizeof(call->head) - 1);
  } while (size < 4 || memcmp(call->head + size - 4, "\r\n\r\n", 4) != 0);
  const char *length = http_call_header(call, "Content-Length");
  assert_non_null(length);
  size_t wanted = strtoul(length, NULL, 10);
  assert_true(wanted < sizeof(call->body));
  for (call->body_size = 0; call->body_size < wanted;) {
    size_t more = read_some(call, call->body + call->body_size, wanted - call->body_size);
    if (more == 0) {
      return false;
    }
    call->body_size += more;
  }
  call->body[wanted] = '\0';
  return true;
}

bool http_peer_try(http_peer *self, http_call *call) {
  time_t until = now_s() + PATIENCE_S;
  memset(call, 0, sizeof(*call));
  call->peer = self;
  while ((call->fd = accept4(self->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0) {
    if (now_s() > until) {
      fail_msg("%s", "nobody connects");
    }
    self->turn(self->user);
  }
  return read_request(call);
}

void http_peer_accept(http_peer *self, http_call *call) { assert_true(http_peer_try(self, call)); }

void http_call_next(http_call *call) { assert_true(read_request(call)); }

const char *http_call_header(const http_call *call, const char *name) {
  static char value[8192];
  size_t size = strlen(name);
  int found = 0;
  for (const char *line = strstr(call->head, "\r\n"); line && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
    if (strncasecmp(line + 2, name, size) == 0 && line[2 + size] == ':') {
      const char *from = line + 3 + size;
      from += strspn(from, " ");
      size_t length = strcspn(from, "\r");
      assert_true(length < sizeof(value));
      memcpy(value, from, length);
      value[length] = '\0';
      found++;
    }
  }
  assert_true(found <= 1);
  return found ? value : NULL;
}

bool http_call_write(http_call *call, const char *bytes, size_t size) {
  time_t until = now_s() + PATIENCE_S;
  while (size > 0) {
    ssize_t more = send(call->fd, bytes, size, MSG_NOSIGNAL);
    if (more > 0) {
      bytes += more;
      size -= (size_t)more;
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return false;
    } else {
      assert_true(errno == EAGAIN || errno == EINTR);
    }
    if (now_s() > until) {
      fail_msg("%s", "nobody reads");
    }
    call->peer->turn(call->peer->user);
  }
  return true;
}

void http_call_answer(http_call *call, const char *status, const char *headers, const char *body) {
  static char text[65536];
  int size = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers,
                      strlen(body), body);
  assert_in_range(size, 1, sizeof(text) - 1);
  assert_true(http_call_write(call, text, (size_t)size));
}

void http_call_wait_closed(http_call *call) {
  char rest[256];
  while (read_some(call, rest, sizeof(rest)) > 0) {
  }
}

void http_call_close(http_call *call) {
  (void)close(call->fd);
  call->fd = -1;
}
