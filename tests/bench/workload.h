/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include "bench.h"
#include "cafe/cafe.h"

enum { WORKLOAD_AMOUNT = 4500 };

/* What a run leaves to be looked at. The node is at rest. */
typedef struct workload {
  const bench_case *wanted;
  cafe_node *node;
  cafe_gateway *gateway;
  uint64_t delivered; /* messages that the channel was handed */
  bench_result *out;
} workload;

/* Of each order, and of all together. Puts what is wrong into out->failure. */
void check_all(workload *w);
/* What only the closed file tells. */
void check_file(bench_result *out, const char *path);

#endif
