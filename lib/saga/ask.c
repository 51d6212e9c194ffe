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
  saga_ask like = {NULL, SAGA_ASK_OTHER, step, 1, 0, TIMEOUT_MS, NULL};
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

static int deadline_of(int64_t *out, const input *in, uint32_t index) {
  const cafe_saga *saga = in->self->plan->saga;
  const cafe_saga_step *step = &saga->steps[index];
  *out = 0;
  int code = step->deadline_ms ? step->deadline_ms(out, in->self->data, saga->user) : CAFE_OK;
  return code ? callback_failed(in->err, code, NULL, "the saga %s, step %s, can't tell its deadline for key %llu",
                                saga->name, step->name, (unsigned long long)in->self->key)
              : CAFE_OK;
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
  saga_ask like = {NULL, SAGA_ASK_ACTION, index, ++p->attempt, deadline, retry_of(step).timeout_ms, NULL};
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
  saga_ask like = {NULL, SAGA_ASK_COMPENSATION, index, ++p->attempt, 0, retry_of(step).timeout_ms, NULL};
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
    bool has_left = kind == SAGA_ASK_COMPENSATION || !retry.max_attempts || attempt < retry.max_attempts;
    if (has_left && (!deadline || due < deadline)) {
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
