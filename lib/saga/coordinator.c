/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One transition: (instance, input) → (instance, asks). What is kept here: an input counts once. Each signal's last
 * version is in the row, each attempt has a number; what is delivered again, or late, finds the row beyond it and
 * changes nothing. (A signal's versions rise because its type belongs to one aggregate, and the saga to one key.)
 *
 * Time goes on under a guard: timeouts fire, retries and `again` are asked. They only ask, and the aggregates judge
 * that: a guard may take hours (a store that is closed), and the customer's deadline must not wait for it.
 *
 * A crash anywhere here leaves nothing: the row is written with the unit whose events were the input, or neither is. A
 * crash after that commit, before the asks have left the node, is repaired by saga_resume.
 */
#include "saga/instance.h"

saga_instance *saga_instance_create(const saga_plan *plan, uint64_t key, cafe_arena *arena) {
  const cafe_saga *saga = plan->saga;
  saga_instance *self = cafe_arena_alloc(arena, sizeof(*self));
  progress *steps = cafe_arena_alloc(arena, saga->step_count * sizeof(*steps));
  uint64_t *versions = cafe_arena_alloc(arena, plan->signal_count * sizeof(*versions));
  int64_t *fired = cafe_arena_alloc(arena, (plan->timeout_count + 1u) * sizeof(*fired));
  uint8_t *trail = cafe_arena_alloc(arena, saga->step_count + (size_t)plan->branch_count);
  void *data = cafe_arena_alloc(arena, saga->data->width);
  if (!self || !steps || !versions || !fired || !trail || !data) {
    return NULL;
  }
  self->plan = plan;
  self->key = key;
  self->arena = arena;
  self->data = data;
  self->guard = SAGA_NO;
  self->steps = steps;
  self->versions = versions;
  self->fired = fired;
  self->trail = trail;
  self->at = trail + saga->step_count;
  memset(self->at, SAGA_NO, plan->branch_count);
  return self;
}

saga_phase saga_instance_phase(const saga_instance *self) {
  bool is_undoing = self->phase == SAGA_COMPENSATING;
  for (uint32_t i = 0; i < self->trail_count; i++) {
    uint32_t step = self->trail[i];
    bool counts = is_undoing ? i + 1u == self->trail_count : self->phase == SAGA_RUNNING && instance_stands(self, step);
    if (counts && self->steps[step].flags & PROGRESS_STUCK) {
      return SAGA_PARKED;
    }
  }
  return self->phase;
}

const void *saga_instance_data(const saga_instance *self) { return self->data; }

void saga_instance_set_caller(saga_instance *self, saga_caller caller) { self->caller = caller; }

/* ---- inputs ---- */

static input begin(saga_instance *self, int64_t now_ms, uint64_t random, cafe_arena *scratch, saga_asks *out,
                   bool *changed, cafe_err *err) {
  memset(out, 0, sizeof(*out));
  *changed = false;
  return (input){self, now_ms, random, scratch, out, err};
}

static bool has_finished(const saga_instance *self) { return self->phase == SAGA_ENDED || self->phase == SAGA_UNDONE; }

/* SAGA_NO: none. */
static int interrupt_of(uint32_t *out, const saga_instance *self, uint32_t signal, const cafe_event *event,
                        cafe_err *err) {
  const cafe_saga *saga = self->plan->saga;
  *out = SAGA_NO;
  for (uint32_t i = 0; i < saga->interrupt_count && *out == SAGA_NO; i++) {
    const cafe_saga_interrupt *interrupt = &saga->interrupts[i];
    if (self->plan->interrupts[i].signal != signal) {
      continue;
    }
    bool is_it = false;
    int code = interrupt->when ? interrupt->when(&is_it, event, saga->user) : CAFE_OK;
    if (code) {
      return callback_failed(err, code, NULL, "the saga %s can't tell whether %s of key %llu is the interrupt %s",
                             saga->name, event->type->name, (unsigned long long)self->key, interrupt->name);
    }
    *out = is_it || !interrupt->when ? i : SAGA_NO;
  }
  return CAFE_OK;
}

/* A new run: it has all its attempts again. One that is still out is given up, so what it did isn't known. */
static int ask_again(input *in, uint32_t step) {
  progress *p = &in->self->steps[step];
  p->flags = (uint8_t)((p->flags & ~PROGRESS_STUCK) | (p->asked ? PROGRESS_UNKNOWN : 0));
  p->before = p->attempt;
  return ask_first(in, step);
}

int saga_signal(saga_instance *self, const cafe_event *event, const cafe_command *cause, int64_t now_ms,
                cafe_arena *scratch, saga_asks *out, bool *changed, cafe_err *err) {
  input in = begin(self, now_ms, 0, scratch, out, changed, err);
  const cafe_saga *saga = self->plan->saga;
  uint32_t signal = plan_signal(self->plan, event->type);
  if (signal == SAGA_NO || has_finished(self) || event->version <= self->versions[signal]) {
    return CAFE_OK;
  }
  *changed = true;
  self->versions[signal] = event->version;
  self->seen |= (saga_set)1 << signal;
  int code = saga->fold(self->data, event, cause, self->arena, saga->user);
  if (code) {
    return callback_failed(err, code, NULL, "the saga %s can't fold %s of key %llu", saga->name, event->type->name,
                           (unsigned long long)self->key);
  }
  if (self->phase == SAGA_NONE && signal == SAGA_STARTS) {
    self->phase = SAGA_RUNNING;
    self->started_at_ms = now_ms;
    self->at[SAGA_MAIN] = self->plan->first[SAGA_MAIN];
  }
  uint32_t stood = 0;
  for (uint32_t i = 0; i < saga->step_count; i++) {
    bool hears = instance_stands(self, i) && self->plan->steps[i].again >> signal & 1;
    stood |= (uint32_t)hears << i;
  }
  uint32_t interrupt;
  code = interrupt_of(&interrupt, self, signal, event, err);
  if (!code && interrupt != SAGA_NO) {
    code = move_interrupt(&in, interrupt);
  }
  if (!code) {
    code = move_settle(&in);
  }
  for (uint32_t i = 0; !code && i < saga->step_count; i++) {
    if (stood >> i & 1 && instance_stands(self, i)) {
      code = ask_again(&in, i);
    }
  }
  return code || !stood ? code : move_settle(&in);
}

/* Whether the answer is to the attempt that is out. */
static bool is_awaited(const saga_instance *self, saga_ask_kind kind, uint32_t step, uint32_t attempt) {
  if (step >= self->plan->saga->step_count || !self->steps[step].asked || self->steps[step].attempt != attempt) {
    return false;
  }
  if (kind == SAGA_ASK_COMPENSATION) {
    return self->phase == SAGA_COMPENSATING;
  }
  return kind == SAGA_ASK_ACTION && instance_stands(self, step);
}

/* Before the pivot a refusal fails the step, unless its events decide, and can. Behind it there is no way back, and no
 * way on that somebody named for certain: an operator looks at it. Until an event moves it: then it goes on by itself.
 */
static void refused(saga_instance *self, saga_ask_kind kind, uint32_t step) {
  const plan_step *sets = &self->plan->steps[step];
  progress *p = &self->steps[step];
  bool can_undo = kind == SAGA_ASK_ACTION && (plan_is_early(self->plan, step) || step == self->plan->pivot);
  bool is_steered = sets->fails || sets->turns || sets->again || sets->timeout_count;
  p->asked = 0;
  if (can_undo && !sets->completes) {
    p->flags |= PROGRESS_REFUSED;
  } else if (!can_undo || !is_steered) {
    p->flags |= PROGRESS_STUCK;
  }
}

int saga_answer(saga_instance *self, saga_ask_kind kind, uint32_t step, uint32_t attempt, int answer,
                cafe_verdict verdict, int64_t now_ms, uint64_t random, cafe_arena *scratch, saga_asks *out,
                bool *changed, cafe_err *err) {
  input in = begin(self, now_ms, random, scratch, out, changed, err);
  if (!is_awaited(self, kind, step, attempt)) {
    return CAFE_OK;
  }
  *changed = true;
  progress *p = &self->steps[step];
  const plan_step *sets = &self->plan->steps[step];
  bool by_events = kind == SAGA_ASK_ACTION ? sets->completes : sets->compensated;
  if (answer != CAFE_OK) {
    int code = ask_failed(&in, kind, step, answer);
    if (code) {
      return code;
    }
  } else if (verdict == CAFE_REFUSED) {
    refused(self, kind, step);
  } else if (verdict == CAFE_PENDING && !by_events) {
    /* The answer will be an event, and the definition waits for none. A later answer to this attempt still counts. */
    p->flags |= PROGRESS_STUCK;
  } else {
    p->flags &= (uint8_t)~PROGRESS_STUCK;
    if (--p->asked == 0 && !by_events) {
      p->flags |= PROGRESS_ANSWERED;
    }
  }
  return move_settle(&in);
}

/* When a timeout is due that hasn't fired for that due time, or 0. */
static int timeout_due_ms(int64_t *out, const saga_instance *self, uint32_t step, uint32_t index, cafe_err *err) {
  const cafe_saga *saga = self->plan->saga;
  const cafe_saga_timeout *timeout = &saga->steps[step].timeouts[index];
  int64_t due = 0;
  int code = timeout->due_ms(&due, self->data, saga->user);
  if (code) {
    return callback_failed(err, code, NULL, "the saga %s, step %s, can't tell when %s is due for key %llu", saga->name,
                           saga->steps[step].name, timeout->name, (unsigned long long)self->key);
  }
  *out = due > self->fired[self->plan->steps[step].first_timeout + index] ? due : 0;
  return CAFE_OK;
}

static int tick_step(input *in, uint32_t step, bool *changed) {
  saga_instance *self = in->self;
  progress *p = &self->steps[step];
  int code = CAFE_OK;
  if (p->retry_ms && p->retry_ms <= in->now_ms) {
    *changed = true;
    code = self->phase == SAGA_COMPENSATING ? ask_compensation(in, step) : ask_action(in, step);
  }
  const plan_step *plan = &self->plan->steps[step];
  for (uint32_t i = 0; !code && instance_stands(self, step) && i < plan->timeout_count; i++) {
    int64_t due = 0;
    code = timeout_due_ms(&due, self, step, i, in->err);
    if (!code && due && due <= in->now_ms) {
      *changed = true;
      self->fired[plan->first_timeout + i] = due;
      code = ask_other(in, step, self->plan->saga->steps[step].timeouts[i].ask);
    }
  }
  return code;
}

int saga_tick(saga_instance *self, int64_t now_ms, cafe_arena *scratch, saga_asks *out, bool *changed, cafe_err *err) {
  input in = begin(self, now_ms, 0, scratch, out, changed, err);
  int code = CAFE_OK;
  if (self->phase == SAGA_COMPENSATING) {
    code = tick_step(&in, self->trail[self->trail_count - 1], changed);
  } else {
    for (uint32_t i = 0; !code && i < self->trail_count; i++) {
      if (instance_stands(self, self->trail[i])) {
        code = tick_step(&in, self->trail[i], changed);
      }
    }
  }
  return code || !*changed ? code : move_settle(&in);
}

/* What is out may have taken effect, and no answer to it can come any more. It costs no attempt: nobody failed. What is
 * stuck is asked again as well: a restart is how an operator lets a corrected program try; it stays stuck until that is
 * answered. */
static int resume_step(input *in, uint32_t step, bool *changed) {
  progress *p = &in->self->steps[step];
  bool is_undoing = in->self->phase == SAGA_COMPENSATING;
  bool is_out = p->asked;
  bool is_stuck = p->flags & PROGRESS_STUCK;
  if (!is_out && !is_stuck) {
    return CAFE_OK;
  }
  *changed = true;
  if (is_out) {
    p->flags |= PROGRESS_UNKNOWN;
    p->before++;
  } else {
    p->before = p->attempt;
  }
  return is_undoing ? ask_compensation(in, step) : ask_action(in, step);
}

int saga_resume(saga_instance *self, int64_t now_ms, cafe_arena *scratch, saga_asks *out, bool *changed,
                cafe_err *err) {
  input in = begin(self, now_ms, 0, scratch, out, changed, err);
  int code = CAFE_OK;
  if (self->phase == SAGA_COMPENSATING) {
    code = resume_step(&in, self->trail[self->trail_count - 1], changed);
  } else {
    for (uint32_t i = 0; !code && i < self->trail_count; i++) {
      if (instance_stands(self, self->trail[i])) {
        code = resume_step(&in, self->trail[i], changed);
      }
    }
  }
  if (!code && self->phase == SAGA_GUARDING) {
    code = ask_other(&in, self->at[SAGA_MAIN], self->plan->saga->interrupts[self->guard].guard);
  }
  return code || !*changed ? code : move_settle(&in);
}

int saga_due_ms(int64_t *out, const saga_instance *self, cafe_err *err) {
  int64_t due = 0;
  for (uint32_t i = 0; i < self->trail_count; i++) {
    uint32_t step = self->trail[i];
    int64_t retry = self->steps[step].retry_ms;
    due = retry && (!due || retry < due) ? retry : due;
    for (uint32_t j = 0; instance_stands(self, step) && j < self->plan->steps[step].timeout_count; j++) {
      int64_t timeout = 0;
      int code = timeout_due_ms(&timeout, self, step, j, err);
      if (code) {
        return code;
      }
      due = timeout && (!due || timeout < due) ? timeout : due;
    }
  }
  *out = due;
  return CAFE_OK;
}
