/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_TRANSPORT_INPROC_H
#define CAFE_TRANSPORT_INPROC_H

#include "cafe/node.h"

CAFE_BEGIN_DECLS

/* A hub joins the nodes of one process and one loop. OWN: destroy it after its transports. CAFE_NOMEM. Since 0.1. */
typedef struct cafe_inproc cafe_inproc;
CAFE_EXPORT int cafe_inproc_create(cafe_inproc **out, cafe_loop *loop, const cafe_allocator *allocator, cafe_err *err);
CAFE_EXPORT void cafe_inproc_destroy(cafe_inproc *hub);

/* A transport for one node on the hub. OWN: cafe_transport_destroy. CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_inproc_join(cafe_transport **out, cafe_inproc *hub, cafe_err *err);

/* What happens to messages, from now on; each message, answer and batch draws for itself, from the loop's random. */
typedef struct cafe_inproc_faults {
  size_t size;
  double drop; /* probability, 0 to 1: a request isn't answered (its deadline ends it), a batch comes again later */
  double duplicate; /* probability: it arrives twice */
  int64_t delay_min_us;
  int64_t delay_max_us;
} cafe_inproc_faults;

/* COPY; NULL: none. Since 0.1. */
CAFE_EXPORT void cafe_inproc_set_faults(cafe_inproc *hub, const cafe_inproc_faults *faults);

/* Cuts a service off from everybody, or heals the cut. Since 0.1. */
CAFE_EXPORT void cafe_inproc_cut(cafe_inproc *hub, const char *service, bool is_cut);

CAFE_END_DECLS

#endif
