/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SUBSCRIBER_H
#define BENCH_SUBSCRIBER_H

#include "bench.h"
#include "cafe/sys/store.h"

/* A log that is read from its beginning to its head. */

/* What was read of it. */
typedef struct log_sum {
  uint64_t events;
  uint64_t last;   /* position */
  uint64_t bytes;  /* of the events themselves: names, data, trace, meta, five numbers */
  uint64_t digest; /* of all that was in them, in their order */
} log_sum;

/* The next event. False: it isn't the one that follows. */
bool log_sum_add(log_sum *sum, const cafe_stored_event *event);

/* What one reading took. Plain memory. */
typedef struct log_reading {
  log_sum sum;
  bench_usage used;
  uint64_t batches;
  uint64_t max_batch; /* events */
  uint64_t wire;      /* bytes that came, where they came by a socket */
  char failure[BENCH_FAILURE_MAX];
} log_reading;

/* log_read.c: the yardsticks, each in a process of its own. */

/* The same SELECT, the same columns, by SQLite alone. */
void log_read_sql(log_reading *out, const char *path);
/* So many bytes through a TCP connection on loopback, from one process to another, in pieces of that size. */
void log_read_socket(log_reading *out, uint64_t bytes, uint64_t piece);
/* The store's own read_log, 512 events at a time, on one thread. */
void log_read_store(log_reading *out, struct cafe_store *store);

/* subscriber.c */

enum { SUBSCRIBERS_MAX = 64 };

/* A log, and the process that publishes it. */
typedef struct subscriber_log {
  isolated publisher;
  char address[ISOLATED_ADDRESS_MAX];
  log_reading store; /* as the store itself reads it: what each subscriber must get */
} subscriber_log;

/* What came of subscribers that read at the same time. */
typedef struct subscriber_round {
  log_reading reader; /* the one that was last */
  int64_t readers_cpu_ns;
  log_reading publisher; /* its usage; batches: reads of the log, sum.events: events that were looked at in them */
} subscriber_round;

/* Starts a publisher: on the SQLite file that is there, or in memory, which is filled first. Whatever this returns:
 * subscriber_close. */
bool subscriber_open(subscriber_log *out, const bench_case *wanted);
/* So many subscribers at once. False: out->reader.failure tells why. */
bool subscriber_run(subscriber_round *out, const subscriber_log *log, uint32_t count);
void subscriber_close(subscriber_log *log);

/* The rows of T14. Returns the program's exit status. */
typedef struct subscriber_options {
  bool stores[2];
  uint64_t orders; /* that fill the log; 0: enough for 300,000 events */
  uint32_t rounds;
  const uint32_t *levels; /* how many subscribers at once */
  uint32_t level_count;
  bool json;
  const char *dir;
} subscriber_options;
int subscriber_main(const subscriber_options *options);

#endif
