/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets that a process listens at. */
#include "http/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  SEND_BUFFER = 131072, /* of a connection: left to itself the system takes megabytes for a client that doesn't read */
  FIRST_FD = 3          /* SD_LISTEN_FDS_START */
};

static int limit_buffer(int fd) {
  int send_buffer = SEND_BUFFER;
  return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
}

int listen_open(int *out, const char *host, int port, cafe_err *err) {
  char service[16];
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
  struct addrinfo *found = NULL;
  int on = 1;
  (void)snprintf(service, sizeof service, "%d", port);
  int failure = getaddrinfo(host, service, &hints, &found);
  if (failure != 0) {
    return cafe_fail(err, CAFE_INVALID, "the address %s is unknown: %s", host, gai_strerror(failure));
  }
  int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 || limit_buffer(fd) != 0 ||
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

void listen_name(char out[LISTEN_NAME_MAX], int fd) {
  struct sockaddr_storage at;
  socklen_t size = sizeof at;
  char host[64];
  char port[16];
  bool is_known = getsockname(fd, (struct sockaddr *)&at, &size) == 0 &&
                  getnameinfo((struct sockaddr *)&at, size, host, sizeof host, port, sizeof port,
                              NI_NUMERICHOST | NI_NUMERICSERV) == 0;
  if (!is_known) {
    (void)snprintf(out, LISTEN_NAME_MAX, "a socket without a port");
    return;
  }
  (void)snprintf(out, LISTEN_NAME_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

/* ---- a supervisor's ---- */

static bool is_listening(int fd) {
  int type = 0;
  int does = 0;
  socklen_t size = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
         getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &does, &size) == 0 && does;
}

static bool adopt(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 &&
         limit_buffer(fd) == 0;
}

/* The next of the names, which ':' separates; where there is none the protocol calls it so. */
static cafe_slice next_name(const char **at) {
  if (!*at) {
    return cafe_text("unknown");
  }
  size_t size = strcspn(*at, ":");
  cafe_slice name = {*at, size};
  *at = (*at)[size] ? *at + size + 1 : NULL;
  return name;
}

int listen_inherit(listen_inherited *out, cafe_err *err) {
  const char *pid = getenv("LISTEN_PID");
  const char *count = getenv("LISTEN_FDS");
  const char *names = getenv("LISTEN_FDNAMES");
  out->count = 0;
  if (!pid || !count || strtoll(pid, NULL, 10) != getpid()) {
    return CAFE_OK; /* whoever they are for, it isn't this process */
  }
  long wanted = strtol(count, NULL, 10);
  if (wanted < 0 || wanted > LISTEN_INHERITED_MAX) {
    return cafe_fail(err, CAFE_INVALID, "LISTEN_FDS=%s: from 0 to %d sockets can be handed over", count,
                     LISTEN_INHERITED_MAX);
  }
  for (int i = 0; i < (int)wanted; i++) {
    cafe_slice name = next_name(&names);
    if (!is_listening(FIRST_FD + i) || !adopt(FIRST_FD + i)) {
      return cafe_fail(err, CAFE_INVALID, "LISTEN_FDS=%s: descriptor %d, \"%.*s\", is no listening socket", count,
                       FIRST_FD + i, (int)name.size, name.data);
    }
    out->all[out->count].fd = FIRST_FD + i;
    out->all[out->count++].name = name;
  }
  return CAFE_OK;
}

int listen_take(listen_inherited *self, const char *name) {
  for (int i = 0; i < self->count; i++) {
    if (self->all[i].fd >= 0 && cafe_slice_equal(self->all[i].name, cafe_text(name))) {
      int fd = self->all[i].fd;
      self->all[i].fd = -1;
      return fd;
    }
  }
  return -1;
}

int listen_check(const listen_inherited *self, cafe_err *err) {
  for (int i = 0; i < self->count; i++) {
    if (self->all[i].fd >= 0) {
      return cafe_fail(err, CAFE_INVALID,
                       "LISTEN_FDNAMES: nobody listens at a socket \"%.*s\", or not at a second one; "
                       "FileDescriptorName= in its unit says which it is",
                       (int)self->all[i].name.size, self->all[i].name.data);
    }
  }
  return CAFE_OK;
}
