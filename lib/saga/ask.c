/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a saga asks, and asks again. What is kept here: an attempt is numbered in the row before it is sent, and only the
 * answer to the last number counts, so an answer that was overtaken by a retry, a restart or a move can't settle
 * anything. A crash after the commit leaves an attempt that is asked and not answered: saga_resume asks the next one,
 * and the receiving aggregate answers by its state, whichever of them reached it.
 *
 * A failure is definite (the peer surely did nothing) or unknown. One unknown attempt makes the whole step unknown:
 * what is asked when a peer surely did nothing may then never be asked, whatever later attempts say. An unknown step
 * without attempts left is moved by its events or its timeouts; one that has no timeouts needs an operator.
 *
 * Who waits for a step hands in what he has left, time and retries: they bound the attempts that his operation began,
 * as the step's own deadline and retry do, and go on with each request, so that nobody works for him when he is gone,
 * and retries at several hops don't multiply. It is in memory only: after a crash he is gone, and the row decides.
 *
 * A compensation has neither deadline nor last attempt: nobody waits for it, and giving up would leave something
 * behind.
 */
#include "cafe/resilience.h"
#include "saga/instance.h"

enum { INITIAL_MS = 100, MAX_MS = 10 * 1000, TIMEOUT_MS = 5 * 1000 };

static cafe_retry retry_of(const cafe_saga_step *step) {
  cafe_retry retry = step->retry;
  if (!retry.initial_ms && !retry.max_ms && !retry.max_attempts && !retry.timeout_ms) {
    retry.timeout_ms = TIMEOUT_MS;
  }
  /* Without these a peer that is down would be asked in a circle. */
  if (!retry.initial_ms) {
    retry.initial_ms = INITIAL_MS;
  }
  if (!retry.max_ms) {
    retry.max_ms = retry.initial_ms > MAX_MS ? retry.initial_ms : MAX_MS;
  }
  return retry;
}

/* Appends what ask names; like says all but the command. *count is how many. */
static int append(input *in, uint32_t *count, cafe_saga_ask ask, const saga_ask *like) {
  cafe_reaction reaction;
  const cafe_saga *saga = in->self->plan->saga;
  collector_init(&reaction.commands, in->scratch);
  ask(&reaction, in->self->data, saga->user);
  const cafe_err *err = &reaction.commands.err;
  if (err->code) {
    return callback_failed(in->err, err->code, err->text, "the saga %s can't ask what it has to in step %s of key %llu",
                           saga->name, saga->steps[like->step].name, (unsigned long long)in->self->key);
  }
  int code = saga->commands ? collector_check(&reaction.commands, saga->commands, saga->name, in->err) : CAFE_OK;
  if (code) {
    return code;
  }
  for (const collected *command = reaction.commands.first; command; command = command->next) {
    saga_ask *added = cafe_arena_alloc(in->scratch, sizeof(*added));
    if (!added) {
      return cafe_fail(in->err, CAFE_NOMEM, "saga %s: no memory to ask for %s", saga->name, command->type->name);
    }
    *added = *like;
    added->command = command;
    if (in->out->last) {
      in->out->last->next = added;
    } else {
      in->out->first = added;
    }
    in->out->last = added;
    in->out->count++;
  }
  *count = reaction.commands.count;
  return CAFE_OK;
}

int ask_other(input *in, uint32_t step, cafe_saga_ask ask) {
  uint32_t count;
  saga_ask like = {NULL, SAGA_ASK_OTHER, step, 1, 0, TIMEOUT_MS, UINT32_MAX, NULL};
  return ask ? append(in, &count, ask, &like) : CAFE_OK;
}

/* Nothing more is asked by itself. */
static int give_up(input *in, uint32_t index) {
  const cafe_saga_step *step = &in->self->plan->saga->steps[index];
  progress *p = &in->self->steps[index];
  if (step->unavailable && !(p->flags & PROGRESS_UNKNOWN)) {
    return ask_other(in, index, step->unavailable);
  }
  if (!step->timeouts) {
    p->flags |= PROGRESS_STUCK;
  }
  return CAFE_OK;
}

/* The step's own, or the caller's where that is earlier; 0: none. A step without one isn't what a caller waits for. */
static int deadline_of(int64_t *out, const input *in, uint32_t index) {
  const cafe_saga *saga = in->self->plan->saga;
  const saga_caller *caller = &in->self->steps[index].caller;
  const cafe_saga_step *step = &saga->steps[index];
  *out = 0;
  int code = step->deadline_ms ? step->deadline_ms(out, in->self->data, saga->user) : CAFE_OK;
  if (*out && caller->waits && caller->deadline_ms && caller->deadline_ms < *out) {
    *out = caller->deadline_ms;
  }
  return code ? callback_failed(in->err, code, NULL, "the saga %s, step %s, can't tell its deadline for key %llu",
                                saga->name, step->name, (unsigned long long)in->self->key)
              : CAFE_OK;
}

/* How often it may be tried again after this attempt, by the step and by the caller. */
static uint32_t retries_of(const cafe_retry *retry, const progress *p, bool has_deadline) {
  uint32_t attempt = p->attempt - p->before;
  uint32_t own = !retry->max_attempts ? UINT32_MAX : attempt < retry->max_attempts ? retry->max_attempts - attempt : 0;
  uint32_t callers = has_deadline && p->caller.waits ? p->caller.retries : UINT32_MAX;
  return own < callers ? own : callers;
}

/* Of two who wait for the same, whoever has more left. */
static saga_caller later_of(saga_caller a, saga_caller b) {
  bool has_end = a.deadline_ms && b.deadline_ms;
  int64_t later = a.deadline_ms > b.deadline_ms ? a.deadline_ms : b.deadline_ms;
  return (saga_caller){true, has_end ? later : 0, a.retries > b.retries ? a.retries : b.retries};
}

int ask_first(input *in, uint32_t index) {
  saga_caller *caller = &in->self->steps[index].caller;
  saga_caller next = in->self->caller;
  *caller = caller->waits && next.waits ? later_of(*caller, next) : next;
  return ask_action(in, index);
}

int ask_action(input *in, uint32_t index) {
  const cafe_saga_step *step = &in->self->plan->saga->steps[index];
  progress *p = &in->self->steps[index];
  p->asked = 0;
  p->retry_ms = 0;
  int64_t deadline;
  int code = deadline_of(&deadline, in, index);
  if (code) {
    return code;
  }
  if (deadline && deadline <= in->now_ms) {
    return give_up(in, index);
  }
  cafe_retry retry = retry_of(step);
  p->attempt++;
  saga_ask like = {
      NULL, SAGA_ASK_ACTION, index, p->attempt, deadline, retry.timeout_ms, retries_of(&retry, p, deadline != 0), NULL};
  if (deadline && (!like.timeout_ms || like.timeout_ms > deadline - in->now_ms)) {
    like.timeout_ms = deadline - in->now_ms;
  }
  code = append(in, &p->asked, step->action, &like);
  if (!code && !p->asked && !step->completes) {
    p->flags |= PROGRESS_ANSWERED;
  }
  return code;
}

int ask_compensation(input *in, uint32_t index) {
  const cafe_saga_step *step = &in->self->plan->saga->steps[index];
  progress *p = &in->self->steps[index];
  p->retry_ms = 0;
  saga_ask like = {NULL, SAGA_ASK_COMPENSATION, index, ++p->attempt, 0, retry_of(step).timeout_ms, UINT32_MAX, NULL};
  int code = append(in, &p->asked, step->compensation, &like);
  if (!code && !p->asked && !step->compensated) {
    p->flags |= PROGRESS_ANSWERED;
  }
  return code;
}

int ask_failed(input *in, saga_ask_kind kind, uint32_t index, int failure) {
  const cafe_saga_step *step = &in->self->plan->saga->steps[index];
  progress *p = &in->self->steps[index];
  cafe_retry retry = retry_of(step);
  uint32_t attempt = p->attempt - p->before;
  bool is_unknown = failure == CAFE_TIMEOUT || failure == CAFE_CANCELED || failure == CAFE_CORRUPT;
  p->asked = 0;
  if (is_unknown) {
    p->flags |= PROGRESS_UNKNOWN;
  }
  if (cafe_code_is_retryable(failure) || failure == CAFE_CANCELED) {
    int64_t due = in->now_ms + cafe_retry_delay_ms(&retry, attempt, in->random);
    int64_t deadline = 0;
    int code = kind == SAGA_ASK_ACTION ? deadline_of(&deadline, in, index) : CAFE_OK;
    if (code) {
      return code;
    }
    bool has_left = kind == SAGA_ASK_COMPENSATION || retries_of(&retry, p, deadline != 0) > 0;
    if (has_left && (!deadline || due < deadline)) {
      if (deadline && p->caller.waits && p->caller.retries != UINT32_MAX) {
        p->caller.retries--;
      }
      p->retry_ms = due;
      return CAFE_OK;
    }
  }
  if (kind == SAGA_ASK_ACTION) {
    return give_up(in, index);
  }
  p->flags |= PROGRESS_STUCK;
  return CAFE_OK;
}
