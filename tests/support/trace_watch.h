/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACE_WATCH_H
#define TRACE_WATCH_H

#include "trace.h"
#include "trace_lines.h"

/* The tracer's own structures. */

typedef struct watched {
  union {
    cafe_store_ops store;
    cafe_transport_ops transport;
    cafe_gateway_ops gateway;
    cafe_channel_ops channel;
  } ops; /* first: an object's table leads back here */
  const void *original;
  const void **place; /* the object's pointer to its table */
  trace *trace;
  char node[16];
  char name[16]; /* of a channel */
  struct watched *next;
} watched;

struct trace {
  cafe_loop *world;
  bool is_split;
  bool is_on;
  int64_t zero_us;
  watched *watched;
  struct pending *pending;
  trace_lines lines;
};

/* A line, or one more of the same moment and thing. */
void trace_line(trace *t, bool is_first, const char *node, const char *what, const char *subject, const char *details);
watched *trace_watch(trace *t, const char *node, const void **place, size_t size);
watched *trace_watched(const void *ops);
/* "Ordered 1041", behind what is there already. */
void trace_add_read(trace_text *out, const cafe_stored_event *event);

#endif
