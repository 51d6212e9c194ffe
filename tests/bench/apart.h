/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_APART_H
#define BENCH_APART_H

#include "part.h"

/* The shop with its services apart. */

typedef enum apart_how {
  APART_PROCESSES = 0, /* a process each, tcp on loopback between them */
  APART_NODES = 1      /* one process, one loop; inproc between them */
} apart_how;

/* What came of it. Plain memory. */
typedef struct apart_result {
  uint64_t orders;
  int64_t wall_ns;           /* from the first order until none of the five owed anything */
  bench_result parts[PARTS]; /* with APART_NODES the first one has the usage of all */
  uint64_t checks;
  char failure[BENCH_FAILURE_MAX];
} apart_result;

/* Runs the orders and checks them; the files are left behind. */
void apart_run(apart_result *out, const bench_case *wanted, apart_how how);
/* The files of an earlier run are gone. */
void apart_clean(const bench_case *wanted);

/* apart_check.c: over the five closed files. */
void apart_check(apart_result *out, const bench_case *wanted);

/* The rows of T12, and what they come to. Returns the program's exit status. */
typedef struct apart_options {
  apart_how how;
  const uint32_t *levels;
  uint32_t level_count;
  uint64_t orders; /* 0: by level */
  uint32_t rounds;
  bool json;
  const char *dir;
} apart_options;
int apart_main(const apart_options *options);

#endif
