/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_READ_H
#define ENGINE_READ_H

#include "cafe/op.h"
#include "engine/node.h"

/* An op that has no act: it is answered by its job, or earlier by its deadline or its caller. NULL: no memory. */
cafe_op *read_op(cafe_node *node, void *serves, void (*served)(cafe_op *, const cafe_err *, const cafe_outcome *),
                 void *user);
/* Whether anything may be read: the node is started and isn't closing, and there is room. */
int read_check(const cafe_node *node, cafe_err *err);
/* NULL: the node doesn't host it. */
const hosted_view *read_view(const cafe_node *node, const cafe_view *view);
/* On the lane too. CAFE_UNSUPPORTED: of a type, or with a value, that isn't known here. */
int read_event(cafe_event **out, const cafe_node *node, const char *aggregate, const cafe_stored_event *stored,
               cafe_arena *arena);

#endif
