/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THREE_ORDERS_H
#define THREE_ORDERS_H

#include "cluster.h"

/* Three orders, of which one is served, one canceled, one rejected, whatever goes wrong meanwhile. */
typedef struct script script;
struct script {
  cluster *cluster;
  uint64_t step;
  uint64_t at;               /* this step, 0: none … */
  void (*what)(script *run); /* … this is done */
  uint64_t keys[3];
};

void play(script *run);
/* Faults end, it comes to rest: all invariants hold, and each order has ended as it was meant to. */
void check_end(script *run);

#endif
