/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_LOG_H
#define CAFE_LOG_H

#include "cafe/export.h"
#include "cafe/types.h"

CAFE_BEGIN_DECLS

typedef enum cafe_log_level {
  CAFE_LOG_ERROR = 1, /* somebody must act */
  CAFE_LOG_WARN = 2,  /* works, but not as meant */
  CAFE_LOG_INFO = 3,  /* what an operator wants to find later, by key or trace */
  CAFE_LOG_DEBUG = 4
} cafe_log_level;

/* One line. Never holds a secret. */
typedef struct cafe_log_record {
  size_t size;
  cafe_log_level level;
  int64_t time_ms;  /* UTC */
  const char *part; /* "engine", "sqlite", … */
  uint64_t key;     /* the order, 0 if it is about none */
  cafe_slice trace; /* W3C traceparent, empty if there is none */
  const char *text; /* one sentence, without a line end */
} cafe_log_record;

/* Where a node writes. Zeroed: nowhere, and nobody learns what a subscription, a task or a timer can't do. Frozen. */
typedef struct cafe_log {
  /* BORROW: the record and all it points to, until the call returns. On the loop thread. Mustn't call the node. */
  void (*write)(const cafe_log_record *record, void *user);
  void *user;
  cafe_log_level level; /* records above it are not made; 0: none is */
} cafe_log;

/* A log that writes text lines to stderr; nothing needs freeing. THREADSAFE, as its write is. Since 0.1. */
CAFE_EXPORT cafe_log cafe_log_stderr(cafe_log_level level);

CAFE_END_DECLS

#endif
