/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Where a saga goes. Three rules are kept here, and each would cost money if it broke.
 *
 * 1. Where the saga stands follows from the set of signals seen, not from the order in which they came: one that is
 *    early waits in the set until its step is reached. In one step a failing signal goes before a turning one, that
 *    before a completing one.
 * 2. Nothing is undone after the pivot: fails and interrupts exist before it only (check.c), and the pivot isn't
 *    entered while a branch that began before it is under way, so no late failure there can come behind it.
 * 3. While a guard is asked nobody moves, on no branch: what came meanwhile is in the set and counts when the answer
 *    is no; when it is yes, nothing was done that the compensations don't know of.
 */
#include "saga/instance.h"

/* ---- forward ---- */

/* Ended sagas hear nothing more, so nothing of theirs needs keeping, but for interrupts that wait for an answer. */
static void finish(saga_instance *self, saga_phase phase) {
  const saga_plan *plan = self->plan;
  self->phase = phase;
  self->guard = SAGA_NO;
  self->trail_count = 0;
  self->seen = 0;
  memset(self->at, SAGA_NO, plan->branch_count);
  memset(self->steps, 0, plan->saga->step_count * sizeof(*self->steps));
  memset(self->versions, 0, plan->signal_count * sizeof(*self->versions));
  memset(self->fired, 0, plan->timeout_count * sizeof(*self->fired));
}

/* From here: every step entered, the last one first. */
static void begin_undo(saga_instance *self) {
  self->phase = SAGA_COMPENSATING;
  self->guard = SAGA_NO;
  memset(self->at, SAGA_NO, self->plan->branch_count);
  memset(self->steps, 0, self->plan->saga->step_count * sizeof(*self->steps));
  memset(self->fired, 0, self->plan->timeout_count * sizeof(*self->fired));
}

static bool has_entered(const saga_instance *self, uint32_t step) { return self->steps[step].flags & PROGRESS_ENTERED; }

/* Whether a branch that began before the pivot is under way. */
static bool must_join(const saga_instance *self, uint32_t step) {
  const saga_plan *plan = self->plan;
  if (step != plan->pivot) {
    return false;
  }
  for (uint32_t branch = SAGA_MAIN + 1; branch < plan->branch_count; branch++) {
    uint32_t first = plan->first[branch];
    bool has_ended = has_entered(self, first) && self->at[branch] == SAGA_NO;
    if (plan_is_early(plan, first) && self->steps[plan->steps[first].after].flags & PROGRESS_DONE && !has_ended) {
      return true;
    }
  }
  return false;
}

/* A step is entered also where a kept signal settles it at once: what it stands for has happened, and is undone. Only
 * its action is not asked for then. */
static int enter(input *in, uint32_t step) {
  saga_instance *self = in->self;
  const plan_step *sets = &self->plan->steps[step];
  self->steps[step].flags = PROGRESS_ENTERED;
  self->trail[self->trail_count++] = (uint8_t)step;
  if (!self->plan->saga->steps[step].action || (sets->completes | sets->fails | sets->turns) & self->seen) {
    return CAFE_OK;
  }
  return ask_first(in, step);
}

static uint32_t leave(saga_instance *self, uint32_t step, bool is_done) {
  progress *p = &self->steps[step];
  const plan_step *plan = &self->plan->steps[step];
  memset(p, 0, sizeof(*p));
  p->flags = (uint8_t)(PROGRESS_ENTERED | PROGRESS_LEFT | (is_done ? PROGRESS_DONE : 0));
  for (uint32_t i = 0; i < plan->timeout_count; i++) {
    self->fired[plan->first_timeout + i] = 0;
  }
  if (is_done) {
    return plan->next;
  }
  const cafe_saga_turn *turn = self->plan->saga->steps[step].turns;
  while (!(self->seen >> plan_signal(self->plan, turn->signal) & 1)) {
    turn++;
  }
  return turn->to ? plan_find(self->plan->saga, turn->to) : SAGA_NO;
}

/* Moves one branch by one step, if it can. */
static int walk(input *in, uint32_t branch, bool *moved) {
  saga_instance *self = in->self;
  const saga_plan *plan = self->plan;
  uint8_t *at = &self->at[branch];
  if (*at == SAGA_NO) {
    uint32_t first = plan->first[branch];
    if (branch == SAGA_MAIN || has_entered(self, first) ||
        !(self->steps[plan->steps[first].after].flags & PROGRESS_DONE)) {
      return CAFE_OK;
    }
    *at = (uint8_t)first;
  }
  uint32_t step = *at;
  if (!has_entered(self, step)) {
    if (must_join(self, step)) {
      return CAFE_OK;
    }
    int code = enter(in, step);
    if (code) {
      return code;
    }
  }
  const plan_step *sets = &plan->steps[step];
  uint8_t flags = self->steps[step].flags;
  if (sets->fails & self->seen || flags & PROGRESS_REFUSED) {
    begin_undo(self);
  } else if (sets->turns & self->seen) {
    *at = (uint8_t)leave(self, step, false);
    *moved = true;
  } else if (sets->completes & self->seen || flags & PROGRESS_ANSWERED) {
    *at = (uint8_t)leave(self, step, true);
    *moved = true;
  }
  return CAFE_OK;
}

static int advance(input *in) {
  saga_instance *self = in->self;
  for (bool moved = true; moved;) {
    moved = false;
    for (uint32_t branch = 0; branch < self->plan->branch_count; branch++) {
      int code = walk(in, branch, &moved);
      if (code || self->phase != SAGA_RUNNING) {
        return code;
      }
    }
  }
  for (uint32_t branch = 0; branch < self->plan->branch_count; branch++) {
    if (self->at[branch] != SAGA_NO) {
      return CAFE_OK;
    }
  }
  finish(self, SAGA_ENDED);
  return CAFE_OK;
}

/* ---- backward ---- */

static bool is_undone(const saga_instance *self, uint32_t step) {
  const plan_step *sets = &self->plan->steps[step];
  return sets->compensated & self->seen || self->steps[step].flags & PROGRESS_ANSWERED ||
         (!sets->compensated && !self->plan->saga->steps[step].compensation);
}

/* One step after the other, so that nothing is taken back from under what was built on it. */
static int compensate(input *in) {
  saga_instance *self = in->self;
  while (self->trail_count) {
    uint32_t step = self->trail[self->trail_count - 1];
    if (!is_undone(self, step) && self->plan->saga->steps[step].compensation && !self->steps[step].attempt) {
      int code = ask_compensation(in, step);
      if (code) {
        return code;
      }
    }
    if (!is_undone(self, step)) {
      return CAFE_OK;
    }
    memset(&self->steps[step], 0, sizeof(self->steps[step]));
    self->trail_count--;
  }
  finish(self, SAGA_UNDONE);
  return CAFE_OK;
}

/* ---- interrupts ---- */

static void keep(saga_instance *self, uint32_t interrupt) {
  bool is_known = self->guard == interrupt;
  for (uint32_t i = 0; i < self->pending_count; i++) {
    is_known = is_known || self->pending[i] == interrupt;
  }
  if (!is_known) {
    self->pending[self->pending_count++] = (uint8_t)interrupt;
  }
}

static uint32_t take_pending(saga_instance *self) {
  uint32_t interrupt = self->pending[0];
  memmove(self->pending, self->pending + 1, --self->pending_count);
  return interrupt;
}

int move_interrupt(input *in, uint32_t index) {
  saga_instance *self = in->self;
  const plan_interrupt *sets = &self->plan->interrupts[index];
  const cafe_saga_interrupt *interrupt = &self->plan->saga->interrupts[index];
  if (self->phase == SAGA_NONE || self->phase == SAGA_GUARDING) {
    keep(self, index);
    return CAFE_OK;
  }
  uint32_t at = self->at[SAGA_MAIN];
  if (self->phase != SAGA_RUNNING || at == SAGA_NO || !(sets->legal_in >> at & 1)) {
    return ask_other(in, 0, interrupt->refuse);
  }
  self->phase = SAGA_GUARDING;
  self->guard = (uint8_t)index;
  return (sets->granted | sets->refused) & self->seen ? CAFE_OK : ask_other(in, at, interrupt->guard);
}

/* Granted goes before refused: it says that the thing is undone, and then nobody can go on with it. */
static int answer_guard(input *in, bool *moved) {
  saga_instance *self = in->self;
  const plan_interrupt *sets = &self->plan->interrupts[self->guard];
  const cafe_saga_interrupt *interrupt = &self->plan->saga->interrupts[self->guard];
  *moved = true;
  if (sets->granted & self->seen) {
    begin_undo(self);
    return ask_other(in, 0, interrupt->grant);
  }
  if (sets->refused & self->seen) {
    self->phase = SAGA_RUNNING;
    self->guard = SAGA_NO;
    return ask_other(in, 0, interrupt->refuse);
  }
  *moved = false;
  return CAFE_OK;
}

int move_settle(input *in) {
  saga_instance *self = in->self;
  for (;;) {
    bool moved = true;
    int code = CAFE_OK;
    if (self->phase == SAGA_GUARDING) {
      code = answer_guard(in, &moved);
      if (code || !moved) {
        return code;
      }
      continue;
    }
    if (self->phase == SAGA_RUNNING) {
      code = advance(in);
    }
    if (!code && self->phase == SAGA_COMPENSATING) {
      code = compensate(in);
    }
    if (code || !self->pending_count || self->phase == SAGA_NONE) {
      return code;
    }
    code = move_interrupt(in, take_pending(self));
    if (code) {
      return code;
    }
  }
}
