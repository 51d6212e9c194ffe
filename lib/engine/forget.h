/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_FORGET_H
#define ENGINE_FORGET_H

#include "engine/node.h"

/* For who makes a view's rows anew or compares them with its events: rows that are past since before *before_ms
 * (forget_covers) were forgotten, or may have been: they aren't brought back, and may be missing. 0: nothing ever was.
 * On the read lane. */
int forget_mark(int64_t *before_ms, cafe_node *node, const cafe_view *view, cafe_err *err);

/* Whether the row is one of those. */
bool forget_covers(const cafe_view *view, const void *row, int64_t before_ms);

#endif
