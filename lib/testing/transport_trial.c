/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The world of a trial: its loop, its ends, and how time passes. The invariant: whatever is active is known here, so
 * that a trial can be ended from anywhere, and all that is over is seen to be over: an end that is closed has a server
 * that notes each call, and so has an ask or a reader that ended.
 */
#include "testing/transport_trial.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { TURN_MS = 2, TURNS_AT_THE_END = 20 };

/* ---- what callbacks say ---- */

void trial_note(trial *t, const char *format, ...) {
  if (t->broken[0]) {
    return;
  }
  va_list args;
  va_start(args, format);
  (void)vsnprintf(t->broken, sizeof(t->broken), format, args);
  va_end(args);
}

void trial_called(trial *t, const char *callback) {
  if (t->method) {
    trial_note(t, "%s was called inside %s", callback, t->method);
  }
}

static void fail_if_broken(trial *t) { TRY(t, !t->broken[0], "%s", t->broken); }

/* ---- time ---- */

int64_t trial_now_us(const trial *t) { return t->loop->ops->now_us(t->loop); }

bool trial_turn(trial *t, int64_t until_us) {
  TRY_OK(t, t->loop->ops->turn(t->loop, TURN_MS));
  for (uint32_t i = 0; i < TRIAL_ENDS; i++) {
    trial_serve_due(t->ends[i]);
  }
  trial_read_on(t);
  fail_if_broken(t);
  return trial_now_us(t) < until_us;
}

void trial_quiet(trial *t) {
  int64_t until_us = trial_now_us(t) + t->quiet_us;
  while (trial_turn(t, until_us)) {
  }
}

/* ---- ends ---- */

static void open_end(trial *t, uint32_t end) {
  trial_end *self = t->ends[end];
  int code;
  TRIAL_CALL(t, "open",
             code = self->transport->ops->open(self->transport, t->loop, cafe_transport_contract_services(end),
                                               &self->server, &t->check.err));
  check_code(&t->check, __LINE__, "open", code, CAFE_OK);
  self->is_open = true;
  fail_if_broken(t);
}

void trial_open(trial *t, uint32_t end) {
  TRY_OK(t, t->contract->create(&t->ends[end]->transport, end, t->contract->user, &t->check.err));
  TRY(t, t->ends[end]->transport, "create made no transport");
  open_end(t, end);
}

static void let_go(trial *t, uint32_t end) {
  for (uint32_t i = 0; i < t->ask_count; i++) {
    if (t->asks[i]->from == end && t->asks[i]->is_pending) {
      trial_cancel(t->asks[i]);
    }
  }
  for (trial_reader *reader = t->readers; reader; reader = reader->next) {
    if (reader->at == end && reader->is_subscribed) {
      trial_unsubscribe(reader);
    }
  }
}

static void close_end(trial *t, uint32_t end) {
  trial_end *self = t->ends[end];
  if (self->is_open) {
    let_go(t, end);
    TRIAL_CALL(t, "close", self->transport->ops->close(self->transport));
  }
  self->is_open = false;
  /* What came in is the transport's, and gone with it. */
  self->parked = NULL;
  memset(self->held, 0, sizeof(self->held));
}

static void destroy_end(trial *t, uint32_t end) {
  close_end(t, end);
  TRIAL_CALL(t, "destroy", cafe_transport_destroy(t->ends[end]->transport));
  t->ends[end]->transport = NULL;
}

void trial_close(trial *t, uint32_t end) {
  destroy_end(t, end);
  fail_if_broken(t);
}

void trial_reopen(trial *t, uint32_t end) {
  close_end(t, end);
  open_end(t, end);
}

void trial_restart(trial *t, uint32_t end, bool is_killed) {
  if (is_killed) {
    t->contract->cut(end, true, t->contract->user);
  }
  trial_close(t, end);
  if (is_killed) {
    t->contract->cut(end, false, t->contract->user);
  }
  trial_open(t, end);
}

/* ---- the world ---- */

bool trial_end_all(trial *t) {
  if (!t->loop) {
    return true;
  }
  check_allocator_arm(&t->memory, 0);
  for (uint32_t i = 0; i < TRIAL_ENDS; i++) {
    destroy_end(t, i);
  }
  /* What is on its way is for nobody now; a callback is noted. */
  for (int i = 0; i < TURNS_AT_THE_END; i++) {
    (void)t->loop->ops->turn(t->loop, 0);
  }
  t->contract->end(t->loop, t->contract->user);
  t->loop = NULL;
  if (t->memory.blocks) {
    trial_note(t, "%" PRIu64 " blocks of memory weren't given back", t->memory.blocks);
  }
  return !t->broken[0];
}

void trial_begin(trial *t) {
  (void)trial_end_all(t);
  fail_if_broken(t);
  t->ask_count = 0;
  t->readers = NULL;
  for (uint32_t i = 0; i < TRIAL_ENDS; i++) {
    if (!t->ends[i]) {
      t->ends[i] = check_alloc(&t->check, sizeof(trial_end));
    }
    trial_end *end = t->ends[i];
    memset(end, 0, sizeof(*end));
    end->server.ops = &trial_server_ops;
    end->t = t;
    end->number = i;
    end->log_id = UINT64_MAX - i; /* log ids are random, so one may have all bits */
  }
  check_allocator_init(&t->memory);
  const cafe_allocator *allocator = t->contract->takes_allocator ? &t->memory.allocator : NULL;
  cafe_loop *loop = NULL;
  TRY_OK(t, t->contract->begin(&loop, allocator, t->contract->user, &t->check.err));
  TRY(t, loop, "begin made no loop");
  t->loop = loop;
}

void trial_begin_all(trial *t) {
  trial_begin(t);
  for (uint32_t i = 0; i < TRIAL_ENDS; i++) {
    trial_open(t, i);
  }
}
