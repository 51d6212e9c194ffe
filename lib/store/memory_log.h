/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_MEMORY_LOG_H
#define STORE_MEMORY_LOG_H

#include "cafe/sys/store.h"
#include "store/memory_sorted.h"

/* A name that events share: of an aggregate or an event type. Its own copy. */
typedef struct log_name {
  struct log_name *next;
  uint64_t wanted; /* the number of the last read that wants it */
  char text[];
} log_name;

typedef struct log_subject log_subject;

typedef struct log_stream {
  struct log_stream *next; /* of the key */
  log_subject *subject;
  const log_name *aggregate;
  uint64_t version;
} log_stream;

/* One event. */
typedef struct log_record {
  uint64_t n;
  uint64_t version;
  int64_t time_ms;
  const char *trace; /* shared with the record before, where it is the same */
  const char *data;  /* and meta behind it */
  uint32_t trace_size;
  uint32_t data_size;
  uint32_t meta_size;
  const log_name *type;
  log_stream *stream;
  struct log_record *next; /* of the key */
} log_record;

/* As many streams as an order has lie in the subject itself, so that they are found where it is. */
enum { LOG_OWN_STREAMS = 4 };

/* All of one key. */
struct log_subject {
  uint64_t key;
  log_record *first;
  log_record *last;
  log_stream *streams;
  uint32_t own_count;
  log_stream own[LOG_OWN_STREAMS];
};

enum { LOG_NAME_CACHE = 128 };

typedef struct memory_log {
  cafe_allocator allocator;
  struct log_segment *segments;
  size_t segment_count;
  size_t segment_room;
  uint64_t head;
  struct log_block *block; /* bytes are added here */
  cafe_slice trace;        /* of the last record; empty after a cut */
  sorted subjects;         /* by key */
  log_name *names;
  log_name *name_cache[LOG_NAME_CACHE]; /* by the pointer that last stood for it */
  uint64_t reads;
} memory_log;

/* Where the log ended once. */
typedef struct log_mark {
  uint64_t head;
  struct log_block *block;
  size_t used;
} log_mark;

void memory_log_init(memory_log *out, const cafe_allocator *allocator);
void memory_log_deinit(memory_log *log);

/* CAFE_OK; CAFE_CONFLICT, if the stream isn't at event->version - 1; CAFE_NOMEM. Sets the event's position. */
int memory_log_append(memory_log *log, cafe_stored_event *event);

/* The log as it is, and back to that: never fails. */
log_mark memory_log_mark(const memory_log *log);
void memory_log_cut(memory_log *log, log_mark mark);

/* As cafe_store_ops has them. */
int memory_log_load(const memory_log *log, uint64_t key, cafe_event_sink on_event, void *user);
/* … no event behind `until`. */
int memory_log_read(memory_log *log, cafe_log_query *query, uint64_t until, cafe_event_sink on_event, void *user,
                    cafe_err *err);

#endif
