/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include "standing.h"

enum { WORKLOAD_AMOUNT = 4500, WORKLOAD_CUSTOMER_MAX = 24 };

/* What a run leaves to be looked at. The node is at rest. */
typedef struct workload {
  const bench_case *wanted;
  cafe_node *node;
  cafe_gateway *gateway;
  uint64_t delivered; /* messages that the channel was handed */
  bench_result *out;
} workload;

/* An order like all others; customer is where its customer's id lies. */
void workload_order(cafe_place_order *out, char customer[WORKLOAD_CUSTOMER_MAX], uint64_t number);
/* What the store's owner does of a ticket, as the command after `step` others of the order, its placing among them:
 * accept, start, finish, hand out. False: nothing more. */
bool workload_owner_acts(cafe_submit *out, uint32_t step);
/* p50, p99, p99.9; sorts them. */
void workload_percentiles(double out_us[3], int64_t *taken_ns, uint64_t count);
/* Runs the orders on a shop that is open, and checks them. */
void workload_fill(bench_result *out, standing *shop, const bench_case *wanted);

/* Of each order, and of all together. Puts what is wrong into out->failure. */
void check_all(workload *w);
/* What only the closed file tells. */
void check_file(bench_result *out, const char *path);

#endif
