/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_GUARD_H
#define ENGINE_GUARD_H

#include "engine/node.h"

/* What stands before the commands of one type. */
struct guard {
  struct guard *next;
  cafe_node *node;
  cafe_guard said;
  cafe_breaker breaker;
  cafe_limit limit;
  uint64_t admitted, rejected_open, rejected_limit;
  uint64_t ended[CAFE_CALL_UNUSED + 1];         /* so many, by cafe_call_end */
  uint64_t entered[CAFE_BREAKER_HALF_OPEN + 1]; /* the state so often */
  histogram took_us;                            /* those that succeeded or failed */
};

typedef enum guard_answer {
  GUARD_PASSES = 0, /* nothing here needs a permit, or the operation has one now */
  GUARD_REFUSES,    /* the operation's reason, text and retry_after_ms say why */
  GUARD_LOOKS       /* it would refuse, but an answer may be kept under the client's key: key_look */
} guard_answer;

/* What was decided for an operation, before anything of it is kept. */
guard_answer guard_ask(cafe_op *op, const cafe_decision *decision, cafe_verdict verdict);

/* The operation's permit, if it has one, is given back unused. */
void guard_unused(cafe_op *op);
/* … by how it is answered. */
void guard_answered(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome);

/* The guards' commands and events are known, at start. CAFE_INVALID. */
int guard_wire(cafe_node *node, cafe_err *err);
void guard_destroy(cafe_node *node);

#endif
