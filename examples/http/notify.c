/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd's notification protocol: a datagram for each state, to the socket that NOTIFY_SOCKET names. The watchdog's
 * comes from a timer of the loop and from nowhere else: where the loop is stuck it doesn't come, whatever else of the
 * process is alive, and the supervisor ends it and starts it anew.
 */
#include "http/notify.h"
#include "http/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void say(const notifier *self, const char *what, int failure) {
  http_log(self->log, CAFE_LOG_WARN, "notify", 0, (cafe_slice){NULL, 0}, "the supervisor can't be told %s: %s", what,
           strerror(failure));
}

/* A supervisor that doesn't read mustn't hold up the loop. */
static void tell(const notifier *self, const char *state) {
  if (self->fd >= 0 && send(self->fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    say(self, state, errno);
  }
}

static void on_watchdog(uv_timer_t *timer) { tell(timer->data, "WATCHDOG=1"); }

/* An abstract name begins with a byte of 0, which the variable shows as '@'. */
static int connect_to(const char *name) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  size_t size = strlen(name);
  if ((name[0] != '/' && name[0] != '@') || size < 2 || size >= sizeof to.sun_path) {
    errno = EINVAL;
    return -1;
  }
  memcpy(to.sun_path, name, size);
  if (name[0] == '@') {
    to.sun_path[0] = '\0';
  }
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (name[0] == '/'));
  if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, length) != 0) {
    int failure = errno;
    (void)close(fd);
    errno = failure;
    return -1;
  }
  return fd;
}

/* How long the supervisor waits for a sign of life; 0: it doesn't. */
static uint64_t watchdog_us(void) {
  const char *us = getenv("WATCHDOG_USEC");
  const char *pid = getenv("WATCHDOG_PID");
  bool is_ours = !pid || strtoll(pid, NULL, 10) == getpid();
  return us && is_ours ? strtoull(us, NULL, 10) : 0;
}

void notify_open(notifier *self, uv_loop_t *loop, const cafe_log *log) {
  const char *name = getenv("NOTIFY_SOCKET");
  self->log = log;
  self->fd = name && *name ? connect_to(name) : -1;
  if (name && *name && self->fd < 0) {
    say(self, name, errno);
  }
  (void)uv_timer_init(loop, &self->watchdog);
  self->watchdog.data = self;
  uint64_t half_ms = watchdog_us() / 2000;
  if (self->fd >= 0 && half_ms > 0) {
    (void)uv_timer_start(&self->watchdog, on_watchdog, half_ms, half_ms);
  }
}

void notify_ready(notifier *self) { tell(self, "READY=1"); }

void notify_stopping(notifier *self) { tell(self, "STOPPING=1"); }

void notify_close(notifier *self) {
  if (self->fd >= 0) {
    (void)close(self->fd);
  }
  self->fd = -1;
  uv_close((uv_handle_t *)&self->watchdog, NULL);
}
