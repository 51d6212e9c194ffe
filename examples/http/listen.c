/* SPDX-License-Identifier: Apache-2.0 */
/* The socket that a server listens at. */
#include "http/exchange.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* The system's, of a connection: left to itself it takes megabytes for a client that doesn't read. */
enum { SEND_BUFFER = 131072 };

int exchange_listen(int *out, const char *host, int port, cafe_err *err) {
  char service[16];
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
  struct addrinfo *found = NULL;
  int on = 1;
  int send_buffer = SEND_BUFFER;
  (void)snprintf(service, sizeof service, "%d", port);
  int failure = getaddrinfo(host, service, &hints, &found);
  if (failure != 0) {
    return cafe_fail(err, CAFE_INVALID, "the address %s is unknown: %s", host, gai_strerror(failure));
  }
  int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer) != 0 ||
      bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
    int cause = errno;
    if (fd >= 0) {
      (void)close(fd);
    }
    freeaddrinfo(found);
    return cafe_fail_detail(err, CAFE_DENIED, cause, "can't listen on %s:%d: %s", host, port, strerror(cause));
  }
  freeaddrinfo(found);
  *out = fd;
  return CAFE_OK;
}
