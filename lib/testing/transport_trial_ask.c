/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Requests of a trial. The invariant: a request ends once, as the caller sees it and as it may: that it wasn't done is
 * said only if the server didn't see it.
 */
#include <inttypes.h>

#include "testing/transport_trial.h"

static const char id_mark[8] = {'c', 'o', 'n', 't', 'r', 'a', 'c', 't'};
enum { ID_SIZE = sizeof(id_mark) + sizeof(uint32_t), ASK_MS = 10000, TRY_MS = 500 };

trial_ask *trial_ask_of(trial *t, cafe_slice body) {
  uint32_t number;
  if (body.size < ID_SIZE || memcmp(body.data, id_mark, sizeof(id_mark)) != 0) {
    return NULL;
  }
  memcpy(&number, body.data + sizeof(id_mark), sizeof(number));
  return number < t->ask_count ? t->asks[number] : NULL;
}

static void on_done(cafe_request *request, const cafe_err *err, cafe_slice answer) {
  trial_ask *self = request->user;
  trial_called(self->t, "done");
  self->ended++;
  self->ended_us = trial_now_us(self->t);
  if (!self->is_pending) {
    trial_note(self->t, "done was called %s", self->ended > 1 ? "twice" : "for a request that was canceled");
    return;
  }
  self->is_pending = false;
  cafe_err_clear(&self->err);
  if (err) {
    self->err = *err;
    if (err->code == CAFE_OK || !err->text[0]) {
      trial_note(self->t, "done was given an error without a code or a text");
    }
  } else {
    self->is_echo = cafe_slice_equal(answer, request->body);
  }
  if (self->err.code == CAFE_UNAVAILABLE && self->served && self->script != TRIAL_FAIL) {
    trial_note(self->t, "a request that the server was asked ended as unavailable: %s", self->err.text);
  }
  if (self->then) {
    self->then(self);
  }
}

static cafe_slice make_body(trial *t, uint32_t number, size_t size) {
  if (size < ID_SIZE) {
    return check_bytes(&t->check, size, number);
  }
  char *body = check_alloc(&t->check, size);
  memcpy(body, check_bytes(&t->check, size, number).data, size);
  memcpy(body, id_mark, sizeof(id_mark));
  memcpy(body + sizeof(id_mark), &number, sizeof(number));
  return (cafe_slice){body, size};
}

trial_ask *trial_ask_new(trial *t, uint32_t from, const char *service, size_t body_size) {
  TRY(t, t->ask_count < TRIAL_ASKS_MAX, "the check asks too much");
  trial_ask *self = check_alloc(&t->check, sizeof(*self));
  uint32_t number = t->ask_count;
  t->asks[t->ask_count++] = self;
  self->t = t;
  self->from = from;
  self->request.size = sizeof(self->request);
  self->request.service = service;
  self->request.key = number + 1;
  self->request.done = on_done;
  self->request.user = self;
  self->request.budget = (cafe_budget){trial_now_us(t) + ASK_MS * INT64_C(1000), UINT32_MAX, 0};
  self->request.body = make_body(t, number, body_size);
  return self;
}

int trial_try_send(trial_ask *ask) {
  trial *t = ask->t;
  cafe_transport *transport = t->ends[ask->from]->transport;
  int code;
  ask->asked_us = trial_now_us(t);
  ask->is_pending = true;
  TRIAL_CALL(t, "request", code = transport->ops->request(transport, &ask->request, &t->check.err));
  if (code != CAFE_OK) {
    ask->is_pending = false; /* a call of done is noted */
  }
  return code;
}

void trial_send(trial_ask *ask) { check_code(&ask->t->check, __LINE__, "request", trial_try_send(ask), CAFE_OK); }

void trial_cancel(trial_ask *ask) {
  cafe_transport *transport = ask->t->ends[ask->from]->transport;
  ask->is_pending = false;
  TRIAL_CALL(ask->t, "cancel", transport->ops->cancel(transport, &ask->request));
}

void trial_expect_any_end(trial_ask *ask) {
  trial *t = ask->t;
  TRY(t, ask->ended == 1, "a request ended %" PRIu32 " times", ask->ended);
  if (ask->err.code == CAFE_OK) {
    TRY(t, ask->is_echo, "a request was answered by another body than the server's");
  } else {
    TRY(t, ask->err.code == CAFE_TIMEOUT || (!ask->served && ask->err.code == CAFE_UNAVAILABLE),
        "a request that the server was asked %" PRIu32 " times ended as %s: %s", ask->served,
        cafe_code_name(ask->err.code), ask->err.text);
  }
}

void trial_ask_until_answered(trial *t, uint32_t from, const char *service) {
  trial_ask *ask;
  int64_t until_us = trial_now_us(t) + t->patience_us;
  do {
    TRY(t, trial_now_us(t) < until_us, "service %s answers no more", service);
    ask = trial_ask_new(t, from, service, 100);
    ask->request.budget.deadline_us = trial_now_us(t) + TRY_MS * INT64_C(1000);
    int code = trial_try_send(ask);
    TRY(t, code == CAFE_OK || code == CAFE_UNAVAILABLE, "request returned %s: %s", cafe_code_name(code),
        t->check.err.text);
    cafe_err_clear(&t->check.err);
    if (code == CAFE_OK) {
      TRIAL_UNTIL(t, ask->ended, "a request doesn't end");
      trial_expect_any_end(ask);
    }
    (void)trial_turn(t, until_us);
  } while (!ask->ended || ask->err.code);
}
