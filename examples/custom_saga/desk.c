/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The deposit desk, which stands for a payment service: it takes a while, may decline, may do what it was asked and
 * lose the answer. The one thing that it must be is idempotent: each operation has a key (the reservation's number and
 * the operation), and a key that is in its book is answered from the book. For after a crash, and after an answer that
 * didn't come, the library asks again.
 */
#include "deposit.h"

#include <stdlib.h>

#include <cafe/sys/loop.h>

/* A call that is being worked on. */
typedef struct desk_call {
  struct desk_call *next;
  cafe_timer timer; /* it is answered then, never inside start */
  cafe_task *task;
  desk *desk;
} desk_call;

void desk_init(desk *out, cafe_loop *loop) { *out = (desk){.loop = loop, .delay_ms = 20, .limit_minor = 100000}; }

void desk_deinit(desk *self) { free(self->book); }

int64_t desk_holds(const desk *self, uint64_t key) {
  int64_t minor = 0;
  for (uint32_t i = 0; i < self->count; i++)
    if (self->book[i].key == key && !self->book[i].is_declined)
      minor += self->book[i].operation == DESK_CHARGE ? self->book[i].amount_minor : -self->book[i].amount_minor;
  return minor;
}

static const desk_entry *look_up(const desk *self, uint64_t key, desk_operation operation) {
  for (uint32_t i = 0; i < self->count; i++)
    if (self->book[i].key == key && self->book[i].operation == operation) return &self->book[i];
  return NULL;
}

/* Does it, unless it is done already. NULL: there was no memory to write it down, and nothing is done. */
static const desk_entry *carry_out(desk *self, const cafe_task *task) {
  const move_deposit *move = task->data;
  const desk_entry *done = look_up(self, task->key, move->operation);
  if (done) return done;
  if (self->count == self->room) {
    uint32_t room = self->room ? self->room * 2 : 16;
    desk_entry *book = realloc(self->book, room * sizeof *book);
    if (!book) return NULL;
    self->book = book;
    self->room = room;
  }
  bool is_declined = move->operation == DESK_CHARGE && move->amount_minor > self->limit_minor;
  self->book[self->count] = (desk_entry){task->key, move->operation, is_declined, move->amount_minor};
  return &self->book[self->count++];
}

static void let_go(desk_call *call) {
  desk_call **at = &call->desk->calls;
  while (*at != call) at = &(*at)->next;
  *at = call->next;
  free(call);
}

static void answer(cafe_timer *timer) {
  desk_call *call = timer->user;
  desk *self = call->desk;
  cafe_task *task = call->task;
  const desk_entry *done = carry_out(self, task);
  if (self->lost_answers) {
    self->lost_answers--;
    return; /* it will be stopped when its time is up */
  }
  let_go(call);
  if (!done) {
    cafe_err err;
    cafe_fail(&err, CAFE_NOMEM, "The desk has no memory for its book.");
    cafe_task_fail(task, &err);
    return;
  }
  note_desk said = {done->operation, done->is_declined};
  cafe_task_settle(task, &note_desk_type, &said, sizeof said);
}

static int start(cafe_task *task, cafe_err *err, void *user) {
  desk *self = user;
  const cafe_loop_ops *ops = self->loop->ops;
  desk_call *call = calloc(1, sizeof *call);
  if (!call) return cafe_fail(err, CAFE_NOMEM, "The desk has no memory for a call.");
  call->task = task;
  call->desk = self;
  call->timer = (cafe_timer){.fire = answer, .user = call};
  int code = ops->timer_start(self->loop, &call->timer, ops->now_us(self->loop) + self->delay_ms * 1000, err);
  if (code) {
    free(call);
    return code;
  }
  call->next = self->calls;
  self->calls = call;
  return CAFE_OK;
}

/* It took too long, or isn't wanted any more: the task is the library's again. */
static void stop(cafe_task *task, void *user) {
  desk *self = user;
  for (desk_call *call = self->calls; call; call = call->next) {
    if (call->task != task) continue;
    self->loop->ops->timer_stop(self->loop, &call->timer);
    let_go(call);
    return;
  }
}

/* Without a last attempt: whether money has moved isn't to be guessed, so it is asked until it is known. */
cafe_worker desk_worker(desk *self) {
  return (cafe_worker){.size = CAFE_WORKER,
                       .task = &move_deposit_type,
                       .retry = {.initial_ms = 200, .max_ms = 10000, .timeout_ms = 1000},
                       .start = start,
                       .stop = stop,
                       .user = self};
}
