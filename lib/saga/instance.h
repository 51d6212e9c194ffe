/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SAGA_INSTANCE_H
#define SAGA_INSTANCE_H

#include "saga/plan.h"

/* One running saga in memory, and what the files of this folder say to each other about it. */

typedef enum progress_flag {
  PROGRESS_ENTERED = 1,
  PROGRESS_LEFT = 2, /* done, or turned away from */
  PROGRESS_DONE = 4,
  PROGRESS_ANSWERED = 8, /* an answer that settles it came, and isn't acted on yet: a guard is asked */
  PROGRESS_REFUSED = 16, /* the same, and it fails the step */
  PROGRESS_UNKNOWN = 32, /* some attempt may have taken effect without an answer */
  PROGRESS_STUCK = 64,   /* nothing that is named moves it on by itself: an operator is needed */
  PROGRESS_ALL = 127
} progress_flag;

/* Of one step's action; while the saga is undone, of its compensation. */
typedef struct progress {
  uint8_t flags;
  uint32_t attempt;   /* the last one asked */
  uint32_t before;    /* attempts before this run: `again` begins another, and back-off counts from there */
  uint32_t asked;     /* commands of it that aren't answered */
  int64_t retry_ms;   /* UTC, when the next attempt is due; 0: none */
  saga_caller caller; /* of this run; not in the row */
} progress;

struct saga_instance {
  const saga_plan *plan;
  uint64_t key;
  cafe_arena *arena;
  void *data;
  saga_caller caller; /* of the input */
  int64_t started_at_ms;
  saga_phase phase;      /* never SAGA_PARKED: that is told from what is stuck */
  uint8_t guard;         /* the interrupt whose guard is asked, or SAGA_NO */
  uint8_t pending_count; /* other interrupts, in the order in which they came */
  uint8_t trail_count;   /* steps entered, in that order; while it is undone, those left to undo */
  uint8_t pending[CAFE_SAGA_INTERRUPTS_MAX];
  saga_set seen;
  uint8_t *trail;
  uint8_t *at; /* by branch: the step where it stands; SAGA_NO: not begun, or ended */
  progress *steps;
  int64_t *fired;     /* by timeout: the due time it fired for */
  uint64_t *versions; /* by signal: the last one taken */
};

static inline bool instance_stands(const saga_instance *self, uint32_t step) {
  return (self->phase == SAGA_RUNNING || self->phase == SAGA_GUARDING) &&
         (self->steps[step].flags & (PROGRESS_ENTERED | PROGRESS_LEFT)) == PROGRESS_ENTERED;
}

/* What one input works with. */
typedef struct input {
  saga_instance *self;
  int64_t now_ms;
  uint64_t random;
  cafe_arena *scratch;
  saga_asks *out;
  cafe_err *err;
} input;

/* ---- ask.c ---- */

/* Asks for what ask names. SAGA_ASK_OTHER; ask may be NULL. */
int ask_other(input *in, uint32_t step, cafe_saga_ask ask);
/* A run of a step's action begins, for the input's caller. */
int ask_first(input *in, uint32_t step);
/* The next attempt of a step's action, unless its deadline has passed. */
int ask_action(input *in, uint32_t step);
/* The next attempt of a step's compensation. */
int ask_compensation(input *in, uint32_t step);
/* An attempt was answered by a failure: it is tried again, or given up. */
int ask_failed(input *in, saga_ask_kind kind, uint32_t step, int failure);

/* ---- move.c ---- */

/* An interrupt came: its guard is asked, or it waits (before the start, or under another's guard), or it is refused.
 * Each one that comes before the saga has ended is answered, by its grant or by `refuse`. move_settle follows. */
int move_interrupt(input *in, uint32_t interrupt);
/* Goes as far as what was seen and answered allows; then come the interrupts that waited, in their order. */
int move_settle(input *in);

#endif
