/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPEATS_H
#define REPEATS_H

#include "cafe/sys/loop.h"
#include "cafe/sys/transport.h"

/*
 * A transport over another one, by which each request and each batch of events comes one to five times: the repeats up
 * to three days later, and a batch also once more in front of the next one.
 */
typedef struct repeats_counts {
  uint64_t requests, batches; /* that came in … */
  uint64_t repeats;           /* … and how often one came again */
} repeats_counts;

/* world: whose time it is, and whose chance. inner: BORROW. */
cafe_transport *repeats_create(cafe_transport *inner, cafe_loop *world);
void repeats_count(const cafe_transport *transport, repeats_counts *out);

#endif
