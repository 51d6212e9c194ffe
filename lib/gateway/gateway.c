/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payment tasks as calls of a gateway, and its answers as commands.
 *
 * What it keeps: a payment learns only what is known. No answer is never read as yes or no: the task fails and is tried
 * again under the same idempotency key, which the gateway knows. A refusal ends an authorization, because the caller
 * waits and another order may pay; what must happen in the end (capture, void, refund) is tried again until the worker
 * gives up, and that is recorded as what it is: an outcome that can't be had.
 *
 * It is a bulkhead, too: so many calls run at once and no more, whoever waits for them, or doesn't any more. A new
 * authorization beyond that is refused at once, which surely does nothing. What must happen in the end waits for its
 * turn, first in, first out, and comes before new authorizations: there is no room for those while it waits. So does an
 * authorization that may have run, since "refused" would be a lie.
 *
 * The token comes with the command that asked for the authorization and is nowhere else, so an attempt after a restart
 * has none: then the gateway is only asked what became of the key.
 */
#include "gateway/gateway.h"

#include <assert.h>

#include <utlist.h>

#include "base/str.h"
#include "cafe/payment.h"
#include "cafe/resilience.h"

typedef struct bridge bridge;

typedef struct attempt {
  gateway_call base;
  bridge *bridge;
  cafe_task *task;
  bool is_running; /* else it waits for its turn */
  cafe_permit permit;
  struct attempt *prev, *next;
} attempt;

struct bridge {
  cafe_allocator allocator;
  cafe_gateway *gateway;
  cafe_limit limit;
  attempt *running, *waiting;
};

void cafe_gateway_destroy(cafe_gateway *gateway) {
  if (gateway) {
    gateway->ops->destroy(gateway);
  }
}

void cafe_gateway_answer(cafe_gateway_call *call, cafe_gateway_result result, cafe_slice reference, const char *text) {
  gateway_call *self = (gateway_call *)call;
  self->answered(self, result, reference, text);
}

/* Of the idempotency key. */
static const char *operation_suffix(cafe_payment_operation operation) {
  assert(operation != CAFE_PAYMENT_NO_OPERATION);
  switch (operation) {
  case CAFE_PAYMENT_AUTHORIZE:
    return "/authorize";
  case CAFE_PAYMENT_CAPTURE:
    return "/capture";
  case CAFE_PAYMENT_VOID:
    return "/void";
  case CAFE_PAYMENT_REFUND:
    return "/refund";
  case CAFE_PAYMENT_NO_OPERATION:
    break;
  }
  return "/none";
}

static attempt **list_of(const attempt *self) {
  return self->is_running ? &self->bridge->running : &self->bridge->waiting;
}

static void attempt_destroy(attempt *self) {
  bridge *b = self->bridge;
  DL_DELETE(*list_of(self), self);
  if (self->is_running) {
    cafe_limit_done(&b->limit, self->permit, CAFE_CALL_UNUSED); /* it has no limit to find out */
  }
  (void)b->allocator.resize(self, 0, b->allocator.user);
}

/* Its turn has come: it has a permit. A failure: it is gone, and its task isn't answered. */
static int begin(attempt *self, cafe_permit permit, cafe_err *err) {
  bridge *b = self->bridge;
  self->is_running = true;
  self->permit = permit;
  DL_APPEND(b->running, self);
  int code = b->gateway->ops->start(b->gateway, &self->base.call, err);
  if (code != CAFE_OK) {
    attempt_destroy(self);
  }
  return code;
}

/* There may be room for those that wait. */
static void advance(bridge *b) {
  cafe_permit permit;
  while (b->waiting && cafe_limit_take(&permit, &b->limit)) {
    attempt *first = b->waiting;
    cafe_task *task = first->task;
    cafe_err err = {0};
    DL_DELETE(b->waiting, first);
    cafe_task_begin(task);
    if (begin(first, permit, &err) != CAFE_OK) {
      cafe_task_fail(task, &err);
    }
  }
}

static void answered(gateway_call *base, cafe_gateway_result result, cafe_slice reference, const char *text) {
  attempt *self = (attempt *)base;
  bridge *b = self->bridge;
  cafe_task *task = self->task;
  cafe_payment_operation operation = base->call.operation;
  attempt_destroy(self);

  bool is_final = result == CAFE_GATEWAY_DONE || result == CAFE_GATEWAY_DECLINED ||
                  (result == CAFE_GATEWAY_REFUSED && operation == CAFE_PAYMENT_AUTHORIZE);
  if (is_final) {
    cafe_record_gateway said = {operation, (int32_t)result, reference, cafe_text(text)};
    cafe_task_settle(task, &cafe_record_gateway_type, &said, sizeof(said));
    advance(b);
    return;
  }
  cafe_err err;
  bool is_refused = result == CAFE_GATEWAY_REFUSED;
  (void)cafe_fail(&err, is_refused ? CAFE_UNAVAILABLE : CAFE_TIMEOUT, "the gateway %s: %s",
                  is_refused ? "refused" : "gave no answer", text ? text : "it doesn't say why");
  cafe_task_fail(task, &err);
  advance(b);
}

static bool may_have_run(const cafe_task *task) {
  return task->attempt > 1 || ((const cafe_payment_task *)task->data)->may_have_run;
}

static attempt *attempt_make(bridge *b, cafe_task *task) {
  const cafe_payment_task *wanted = task->data;
  attempt *self = b->allocator.resize(NULL, sizeof(*self), b->allocator.user);
  if (!self) {
    return NULL;
  }
  memset(self, 0, sizeof(*self));
  self->base.answered = answered;
  self->bridge = b;
  self->task = task;
  cafe_gateway_call *call = &self->base.call;
  call->operation = wanted->operation;
  call->payment_id = task->key;
  call->amount_minor = wanted->amount_minor;
  call->currency = wanted->currency;
  call->may_have_run = may_have_run(task);
  (void)str_number(call->idempotency_key, sizeof(call->idempotency_key), "", task->key,
                   operation_suffix(wanted->operation));
  if (task->cause && task->cause->type == &cafe_authorize_payment_type && call->operation == CAFE_PAYMENT_AUTHORIZE) {
    call->token = ((const cafe_authorize_payment *)task->cause->data)->payment_token;
  }
  return self;
}

static int start(cafe_task *task, cafe_err *err, void *user) {
  bridge *b = user;
  const cafe_payment_task *wanted = task->data;
  cafe_permit permit;
  bool has_room = cafe_limit_take(&permit, &b->limit);
  if (!has_room && wanted->operation == CAFE_PAYMENT_AUTHORIZE && !may_have_run(task)) {
    const cafe_record_gateway said = {
        wanted->operation, CAFE_GATEWAY_REFUSED, {NULL, 0}, cafe_text("as many calls as may be are under way")};
    cafe_task_settle(task, &cafe_record_gateway_type, &said, sizeof(said));
    return CAFE_OK;
  }
  attempt *self = attempt_make(b, task);
  if (!self) {
    if (has_room) {
      cafe_limit_done(&b->limit, permit, CAFE_CALL_UNUSED);
    }
    return cafe_fail(err, CAFE_NOMEM, "gateway: memory was refused");
  }
  if (has_room) {
    return begin(self, permit, err);
  }
  DL_APPEND(b->waiting, self);
  cafe_task_hold(task);
  return CAFE_OK;
}

static attempt *find(attempt *list, const cafe_task *task) {
  attempt *self;
  DL_FOREACH(list, self) {
    if (self->task == task) {
      break;
    }
  }
  return self;
}

static void stop(cafe_task *task, void *user) {
  bridge *b = user;
  attempt *self = find(b->running, task);
  if (self) {
    b->gateway->ops->stop(b->gateway, &self->base.call);
  } else {
    self = find(b->waiting, task);
    assert(self && "a task is stopped while it is started");
  }
  attempt_destroy(self);
  advance(b);
}

static void give_up(struct cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user) {
  const cafe_payment_task *wanted = task->data;
  cafe_record_gateway said = {wanted->operation, 0, {NULL, 0}, cafe_text(reason->text)};
  (void)user;
  cafe_react(out, &cafe_record_gateway_type, task->key, &said, sizeof(said));
}

int gateway_worker_create(cafe_worker *out, cafe_gateway *gateway, uint32_t concurrency, cafe_retry retry,
                          const cafe_allocator *allocator, cafe_err *err) {
  const cafe_limit_options bulkhead = CAFE_BULKHEAD_INIT(concurrency);
  cafe_limit limit;
  int code = cafe_limit_init(&limit, &bulkhead, err);
  if (code != CAFE_OK) {
    return code;
  }
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  bridge *b = allocator->resize(NULL, sizeof(*b), allocator->user);
  if (!b) {
    return cafe_fail(err, CAFE_NOMEM, "gateway: memory was refused");
  }
  *b = (bridge){*allocator, gateway, limit, NULL, NULL};
  *out = (cafe_worker){
      .size = CAFE_WORKER,
      .task = &cafe_payment_task_type,
      .retry = retry,
      .start = start,
      .stop = stop,
      .give_up = give_up,
      .user = b,
  };
  return CAFE_OK;
}

void gateway_worker_destroy(cafe_worker *worker) {
  bridge *b = worker->user;
  if (b) {
    assert(!b->running && !b->waiting && "a payment task outlives its worker");
    worker->user = NULL;
    (void)b->allocator.resize(b, 0, b->allocator.user);
  }
}
