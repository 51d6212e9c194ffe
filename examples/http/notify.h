/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_NOTIFY_H
#define HTTP_NOTIFY_H

#include <stdbool.h>
#include <uv.h>

#include "cafe/log.h"

/* What a supervisor that speaks systemd's protocol (sd_notify(3)) is told: that the process serves, that it ends, and
 * again and again that its loop turns. Without one nothing here does anything. */
typedef struct notifier {
  int fd; /* -1: nobody listens */
  uv_timer_t watchdog;
  const cafe_log *log;
} notifier;

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. log BORROW: until notify_close. */
void notify_open(notifier *self, uv_loop_t *loop, const cafe_log *log);
void notify_ready(notifier *self);
void notify_stopping(notifier *self);
/* The loop must turn once more. */
void notify_close(notifier *self);

#endif
