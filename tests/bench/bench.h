/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * cafe-bench, in the order in which a measurement goes:
 *
 *   cafe_bench.c   options; what is measured, row by row
 *   isolated.c     each measurement in a process of its own
 *   standing.c     a node that hosts the shop
 *   workload.c     orders through its public interface
 *   parked.c       what stands still, and what a restart takes
 *   apart.c        the shop's services apart, a process each
 *   part.c         one of them
 *   apart_check.c  whether all that was ordered is there, once, over the five
 *   subscriber.c   who reads a node's log from another process
 *   log_read.c     the same bytes without a library: bare SQL, a bare socket
 *   check.c        whether everything that was ordered is there, once
 *   counted.c      what the kernel was really asked: syncs, bytes, CPU; and the batches that a store was handed
 *   rows.c         the rows that SQLite really wrote, as its preupdate hook saw them
 *   yardstick.c    the same rows by bare SQL
 *   report.c       the table, JSON, and the targets
 */

typedef enum bench_scenario {
  BENCH_W1 = 0,     /* the whole life of an order */
  BENCH_W2 = 1,     /* placed, paid, canceled, void */
  BENCH_PARKED = 2, /* placed and paid; all wait for the store to accept */
  BENCH_KILLED = 3  /* each stands at another step, when the process is killed */
} bench_scenario;

typedef enum bench_store { BENCH_MEMORY = 0, BENCH_SQLITE = 1 } bench_store;

/* One thing to measure. */
typedef struct bench_case {
  bench_scenario scenario;
  bench_store store;
  uint32_t in_flight;
  uint64_t orders;
  const char *dir; /* where the store's files go */
  bool has_ledger; /* the gateway keeps its books in a file, so that they survive the process */
} bench_case;

/* What the process used, or has used up to now. */
typedef struct bench_usage {
  int64_t wall_ns;
  int64_t cpu_ns;        /* all threads */
  int64_t thread_cpu_ns; /* this one */
  uint64_t syncs;        /* calls of fsync and fdatasync */
  uint64_t written;      /* bytes handed to write calls */
  uint64_t received;     /* bytes that recv brought */
  uint64_t stored;       /* bytes that the kernel had to bring to a disk; 0 where the file system has none */
  uint64_t peak_kib;     /* resident; not a difference */
} bench_usage;

enum { BENCH_FAILURE_MAX = 400 };

/* What came of it. Plain memory: it goes through a pipe. */
typedef struct bench_result {
  uint64_t orders;
  bench_usage used;
  uint64_t calls; /* of the store, of whatever method */
  uint64_t commits;
  uint64_t units;
  uint64_t events;
  uint64_t max_batch; /* units */
  uint64_t median_batch;
  uint64_t log_reads;              /* of the store */
  uint64_t log_events;             /* that were looked at in them */
  double paid_us[3];               /* place → paid: p50, p99, p99.9 */
  uint64_t checks;                 /* statements that were found true */
  char failure[BENCH_FAILURE_MAX]; /* empty: none */
} bench_result;

/* One row of the report: the medians of the rounds. */
typedef struct bench_row {
  bench_case wanted;
  bench_result result;    /* of the round with the median rate */
  bench_result yardstick; /* orders is 0 where there is none */
  double ratio;           /* library to yardstick, each round's own */
  double load;
} bench_row;

/* ---- cafe_bench.c ---- */

/* Orders, in a process of its own, on a new store. */
void bench_orders(bench_result *out, const bench_case *wanted);
double bench_load(void);

/* ---- isolated.c ---- */

/* A process that does one thing, and the socket that it is talked to by. */
typedef struct isolated {
  int pid; /* -1: there is none */
  int control;
} isolated;

/* False: it couldn't be made. The child ends when run returns. */
bool isolated_begin(isolated *out, void (*run)(int control, void *user), void *user);
/* Either end. False: the other one is gone, or (timeout_ms, -1: as long as it takes) says nothing. */
bool isolated_send(int control, const void *bytes, size_t size);
bool isolated_receive(int control, void *out, size_t size, int timeout_ms);
/* Waits for its end, and returns its status. Harmless where there is none. */
int isolated_end(isolated *self);
int isolated_kill(isolated *self);
/* A socket that listens on loopback, on a port that is free, and its address. */
enum { ISOLATED_ADDRESS_MAX = 32 };
bool isolated_listen(int *fd, char address[ISOLATED_ADDRESS_MAX]);

/* ---- workload.c ---- */

/* Runs the orders and checks them. Leaves the store's files behind. */
void workload_run(bench_result *out, const bench_case *wanted);
void workload_path(char *out, size_t size, const bench_case *wanted);
void workload_ledger(char *out, size_t size, const bench_case *wanted);
/* The files of an earlier run are gone. */
void workload_clean(const bench_case *wanted);

/* ---- counted.c ---- */

void counted_now(bench_usage *out);
void counted_since(bench_usage *out, const bench_usage *start);

struct cafe_store;
struct cafe_unit;

/* Counts what passes through to another store. */
typedef struct counted_store counted_store;
/* inner BORROW. NULL: no memory. */
counted_store *counted_store_create(struct cafe_store *inner);
struct cafe_store *counted_store_base(counted_store *counted);
/* see is shown each unit once it is durable, on the write lane. Before the store is opened. */
void counted_store_watch(counted_store *counted, void (*see)(const struct cafe_unit *unit, void *user), void *user);
void counted_store_reset(counted_store *counted);
void counted_store_get(const counted_store *counted, bench_result *out);
void counted_store_free(counted_store *counted);

/* ---- rows.c ---- */

/* A recording: one entry a row written, and one a commit. */
typedef enum rows_kind { ROWS_INSERT = 'I', ROWS_UPDATE = 'U', ROWS_DELETE = 'D', ROWS_COMMIT = 'C' } rows_kind;

typedef struct rows_entry {
  uint8_t kind;
  uint8_t name_size; /* of the table; its bytes follow, then the values */
  uint16_t columns;
} rows_entry;

typedef struct rows_value {
  int16_t type;        /* SQLITE_INTEGER, …; a text's or blob's bytes follow */
  int16_t has_changed; /* ROWS_UPDATE: it isn't what it was before */
  uint32_t size;
  int64_t number;
} rows_value;

/* From now on every connection of this process tells what it writes, into this file. */
void rows_record(int fd);
/* What is still in memory goes to the file. False: something was lost. */
bool rows_finish(void);

/* ---- parked.c ---- */

typedef struct parked_result {
  uint64_t orders;       /* in flight, when the process was killed, or parked */
  double start_ms;       /* of the node */
  double first_read_ms;  /* from the start's beginning to the first order that was read */
  double first_order_ms; /* … to the first one that was placed and paid */
  double resumed_ms;     /* … until all of them had ended well */
  uint64_t idle_kib;     /* resident, at rest, before anything was asked */
  uint64_t store_calls;  /* at rest */
  double wakeups_per_s;  /* at rest: times that a thread of the process slept and was woken */
  char failure[BENCH_FAILURE_MAX];
} parked_result;

/* Places orders, as wanted->scenario says, and kills the process while others are on their way. Doesn't return. `say`
 * is told once all are placed. */
void parked_fill(const bench_case *wanted, void (*say)(const char *failure, void *user), void *user);
/* Starts again on what that left, and brings all to their end where wanted->scenario is BENCH_KILLED. */
void parked_restart(parked_result *out, const bench_case *wanted);

/* ---- yardstick.c ---- */

/* Replays a recording into a store of its own, whose tables are those of the store at `path`. */
void yardstick_run(bench_result *out, const bench_case *wanted, int recording, const char *path);

/* ---- report.c ---- */

typedef struct bench_machine {
  long cores;
  double sync_us; /* median of a 4 KiB append and fdatasync */
  double load;
} bench_machine;

void report_head(const bench_machine *machine);
void report_row(const bench_row *row);
void report_targets(const bench_machine *machine, const bench_row *rows, uint32_t count);
void report_restart(const bench_case *wanted, const parked_result *found, bool as_json);
void report_json(const bench_machine *machine, const bench_row *rows, uint32_t count);

#endif
