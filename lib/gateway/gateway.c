/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payment tasks as calls of a gateway, and its answers as commands.
 *
 * What it keeps: a payment learns only what is known. No answer is never read as yes or no: the task fails and is tried
 * again under the same idempotency key, which the gateway knows. A refusal ends an authorization, because the caller
 * waits and another order may pay; what must happen in the end (capture, void, refund) is tried again until the worker
 * gives up, and that is recorded as what it is: an outcome that can't be had.
 *
 * The token comes with the command that asked for the authorization and is nowhere else, so an attempt after a restart
 * has none: then the gateway is only asked what became of the key.
 */
#include "gateway/gateway.h"

#include <assert.h>

#include <utlist.h>

#include "base/str.h"
#include "cafe/payment.h"

typedef struct bridge bridge;

typedef struct attempt {
  gateway_call base;
  bridge *bridge;
  cafe_task *task;
  struct attempt *prev, *next;
} attempt;

struct bridge {
  cafe_allocator allocator;
  cafe_gateway *gateway;
  attempt *attempts;
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

static void attempt_destroy(attempt *self) {
  bridge *b = self->bridge;
  DL_DELETE(b->attempts, self);
  (void)b->allocator.resize(self, 0, b->allocator.user);
}

static void answered(gateway_call *base, cafe_gateway_result result, cafe_slice reference, const char *text) {
  attempt *self = (attempt *)base;
  cafe_task *task = self->task;
  cafe_payment_operation operation = base->call.operation;
  attempt_destroy(self);

  bool is_final = result == CAFE_GATEWAY_DONE || result == CAFE_GATEWAY_DECLINED ||
                  (result == CAFE_GATEWAY_REFUSED && operation == CAFE_PAYMENT_AUTHORIZE);
  if (is_final) {
    cafe_record_gateway said = {operation, (int32_t)result, reference, cafe_text(text)};
    cafe_task_settle(task, &cafe_record_gateway_type, &said, sizeof(said));
    return;
  }
  cafe_err err;
  bool is_refused = result == CAFE_GATEWAY_REFUSED;
  (void)cafe_fail(&err, is_refused ? CAFE_UNAVAILABLE : CAFE_TIMEOUT, "the gateway %s: %s",
                  is_refused ? "refused" : "gave no answer", text ? text : "it doesn't say why");
  cafe_task_fail(task, &err);
}

static int start(cafe_task *task, cafe_err *err, void *user) {
  bridge *b = user;
  const cafe_payment_task *wanted = task->data;
  attempt *self = b->allocator.resize(NULL, sizeof(*self), b->allocator.user);
  if (!self) {
    return cafe_fail(err, CAFE_NOMEM, "gateway: memory was refused");
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
  call->may_have_run = task->attempt > 1;
  (void)str_number(call->idempotency_key, sizeof(call->idempotency_key), "", task->key,
                   operation_suffix(wanted->operation));
  if (task->cause && task->cause->type == &cafe_authorize_payment_type && call->operation == CAFE_PAYMENT_AUTHORIZE) {
    call->token = ((const cafe_authorize_payment *)task->cause->data)->payment_token;
  }
  DL_APPEND(b->attempts, self);
  int code = b->gateway->ops->start(b->gateway, call, err);
  if (code != CAFE_OK) {
    attempt_destroy(self);
  }
  return code;
}

static void stop(cafe_task *task, void *user) {
  bridge *b = user;
  attempt *self;
  DL_FOREACH(b->attempts, self) {
    if (self->task == task) {
      b->gateway->ops->stop(b->gateway, &self->base.call);
      attempt_destroy(self);
      return;
    }
  }
}

static void give_up(struct cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user) {
  const cafe_payment_task *wanted = task->data;
  cafe_record_gateway said = {wanted->operation, 0, {NULL, 0}, cafe_text(reason->text)};
  (void)user;
  cafe_react(out, &cafe_record_gateway_type, task->key, &said, sizeof(said));
}

int gateway_worker_create(cafe_worker *out, cafe_gateway *gateway, cafe_retry retry, const cafe_allocator *allocator,
                          cafe_err *err) {
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  bridge *b = allocator->resize(NULL, sizeof(*b), allocator->user);
  if (!b) {
    return cafe_fail(err, CAFE_NOMEM, "gateway: memory was refused");
  }
  *b = (bridge){*allocator, gateway, NULL};
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
    assert(!b->attempts && "a payment task outlives its worker");
    worker->user = NULL;
    (void)b->allocator.resize(b, 0, b->allocator.user);
  }
}
