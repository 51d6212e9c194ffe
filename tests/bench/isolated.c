/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A process of its own, so that its peak memory, its CPU and the kernel's books are nobody else's. It is forked from
 * one that has a single thread and has opened nothing; what it finds out comes back through a socket as plain memory.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

bool isolated_begin(isolated *out, void (*run)(int control, void *user), void *user) {
  int ends[2] = {-1, -1};
  *out = (isolated){-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return false;
  }
  pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    run(ends[1], user);
    _exit(0);
  }
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
    return false;
  }
  *out = (isolated){child, ends[0]};
  return true;
}

bool isolated_send(int control, const void *bytes, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t sent = send(control, (const char *)bytes + done, size - done, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) {
      continue;
    }
    if (sent <= 0) {
      return false;
    }
    done += (size_t)sent;
  }
  return true;
}

bool isolated_receive(int control, void *out, size_t size, int timeout_ms) {
  struct pollfd ready = {control, POLLIN, 0};
  for (size_t done = 0; done < size;) {
    if (poll(&ready, 1, timeout_ms) == 0) {
      return false;
    }
    ssize_t got = recv(control, (char *)out + done, size - done, 0);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return false;
    }
    done += (size_t)got;
  }
  return true;
}

int isolated_end(isolated *self) {
  int status = 0;
  if (self->pid > 0) {
    while (waitpid(self->pid, &status, 0) < 0 && errno == EINTR) {
    }
    close(self->control);
  }
  *self = (isolated){-1, -1};
  return status;
}

int isolated_kill(isolated *self) {
  if (self->pid > 0) {
    kill(self->pid, SIGKILL);
  }
  return isolated_end(self);
}

bool isolated_listen(int *fd, char address[ISOLATED_ADDRESS_MAX]) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(at);
  *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool is_there = *fd >= 0 && bind(*fd, (struct sockaddr *)&at, size) == 0 && listen(*fd, SOMAXCONN) == 0 &&
                  getsockname(*fd, (struct sockaddr *)&at, &size) == 0;
  snprintf(address, ISOLATED_ADDRESS_MAX, "127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
  return is_there;
}
