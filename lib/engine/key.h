/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_KEY_H
#define ENGINE_KEY_H

#include "engine/node.h"

/* The unit answers the op, or begins what it waits for: the row of its client's key rides in it. */
int key_claim(cafe_op *op, struct unit *unit, cafe_key_write **out, cafe_err *err);
int key_answer(cafe_op *op, struct unit *unit, const cafe_outcome *outcome, cafe_key_write **out, cafe_err *err);

/* Reads the op's client key, which a guard asks for: op_key_looked is told, in a later turn. */
void key_look(cafe_op *op);

/* A key for a new stream. CAFE_OK with *out; CAFE_UNAVAILABLE: the act waits and is submitted again. */
int key_take(cafe_node *node, uint64_t *out, struct act *act);
/* Writes the row of keys as it is, unless a block is being reserved: health.c is told how that ends. */
void key_rewrite(cafe_node *node);
void key_close(cafe_node *node);

#endif
