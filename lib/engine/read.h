/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_READ_H
#define ENGINE_READ_H

#include "cafe/op.h"
#include "engine/node.h"

/* On the lane too. CAFE_UNSUPPORTED: of a type, or with a value, that isn't known here. */
int read_event(cafe_event **out, const cafe_node *node, const char *aggregate, const cafe_stored_event *stored,
               cafe_arena *arena);

#endif
