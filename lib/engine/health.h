/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_HEALTH_H
#define ENGINE_HEALTH_H

#include "engine/node.h"

/* How a durable write ended, whoever made it; has_written: something of it is in the store, which is why it could be
 * written. err BORROW: until the call returns. May call store_lost. */
void health_written(cafe_node *node, int code, bool has_written, const cafe_err *err);
void health_turn(cafe_node *node, int64_t now_us);
/* Monotonic; INT64_MAX: nothing is due. */
int64_t health_next_us(const cafe_node *node);

#endif
