/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PART_H
#define BENCH_PART_H

#include <pthread.h>
#include <stdatomic.h>

#include "standing.h"

/* One of the shop's services, on a node and a store of its own. */

enum { PARTS = 5, PART_APP = 0, PART_PAY = 1, PART_STORE = 2, PART_CUSTOMER = 3, PART_DASHBOARD = 4 };
extern const char *const part_names[PARTS];

struct part;

/* An order, as app places it, or the owner makes it. */
typedef struct part_order {
  struct part *part;
  uint64_t key;
  uint32_t step;
  int64_t placed_ns;
} part_order;

typedef struct part {
  int which;
  const bench_case *wanted;
  bench_result *out;
  standing shop;
  part_order *orders;
  uint64_t started;
  int64_t *paid_ns; /* of each order, place -> paid */
  uint64_t paid;

  /* What the write lane saw become durable. */
  atomic_uint_fast64_t over;      /* rows of which the service owes an order nothing more */
  atomic_uint_fast64_t picked_up; /* orders, in app */
  pthread_mutex_t mutex;
  uint64_t *tickets; /* keys, in store */
  uint64_t ticket_count;

  bool has_begun;
  bool is_over; /* it owes nothing to any order, or has failed */
  void (*ended)(struct part *self, void *user);
  void *user;
} part;

/* dir/cafe-bench-NAME.db */
void part_path(char *out, size_t size, const bench_case *wanted, int which);

/* Starts it; *self is zeroed. join is as in standing_options. `ended` is called once, on the loop, when it owes nothing
 * more. Whatever this returns: part_close. False: out->failure tells. */
bool part_open(part *self, const bench_case *wanted, int which, const standing_options *how, bench_result *out);
/* The clock begins; app places orders. */
void part_begin(part *self);
/* Looks into the books that only the open one has. */
void part_finish(part *self);
void part_close(part *self);
void part_fail(part *self, const char *doing, const char *why);

#endif
