/* SPDX-License-Identifier: Apache-2.0 */
/* The ends of what a node borrows. They only go through the tables, so a program needs no library for a loop or a
 * transport that it didn't make. */
#include "cafe/node.h"
#include "cafe/sys/loop.h"
#include "cafe/sys/transport.h"

void cafe_loop_destroy(cafe_loop *loop) {
  if (loop != NULL) {
    loop->ops->destroy(loop);
  }
}

void cafe_transport_destroy(cafe_transport *transport) {
  if (transport != NULL) {
    transport->ops->destroy(transport);
  }
}
