/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Requests: each is answered once, by what the server said, whatever it is and whenever it comes; and ends in time,
 * whoever answers.
 */
#include <inttypes.h>
#include <stdio.h>

#include "testing/transport_trial.h"

static void expect_echo(trial_ask *ask) {
  TRIAL_UNTIL(ask->t, ask->ended, "a request of %zu bytes doesn't end", ask->request.body.size);
  TRY(ask->t, ask->err.code == CAFE_OK, "a request of %zu bytes failed: %s", ask->request.body.size, ask->err.text);
  TRY(ask->t, ask->is_echo, "a request of %zu bytes was answered by another body", ask->request.body.size);
}

static void bodies_of_any_size_go_there_and_back(trial *t) {
  static const size_t sizes[] = {0, 1, 2, 31, 32, 64, 127, 128, 255, 256, 4095, 65535, 65536, 65537, 1 << 20};
  trial_begin_all(t);
  for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    trial_ask *ask = trial_ask_new(t, 1, "contract-a", sizes[i]);
    trial_send(ask);
    expect_echo(ask);
  }
  TRY(t, t->ends[0]->served == sizeof(sizes) / sizeof(sizes[0]), "the server was asked %" PRIu32 " times",
      t->ends[0]->served);
}

static void a_request_may_be_answered_later(trial *t) {
  trial_begin_all(t);
  trial_ask *ask = trial_ask_new(t, 1, "contract-a", 1000);
  ask->script = TRIAL_HOLD;
  trial_send(ask);
  TRIAL_UNTIL(t, trial_is_held(t->ends[0], ask), "the server isn't asked");
  trial_quiet(t);
  TRY(t, !ask->ended, "a request ended before it was answered: %s", ask->err.text);
  trial_answer_held(t->ends[0], ask);
  expect_echo(ask);
  trial_quiet(t);
}

static void a_thousand_requests_at_once_get_their_own_answers(trial *t) {
  enum { COUNT = 1000 };
  trial_begin_all(t);
  for (uint32_t i = 0; i < COUNT; i++) {
    trial_ask *ask = trial_ask_new(t, 1 + i % 2, i % 3 ? "contract-a" : "contract-b", 20 + i % 500);
    ask->script = i % 5 ? TRIAL_ECHO : TRIAL_LATER;
    ask->later_ms = i % 7;
    trial_send(ask);
  }
  for (uint32_t i = 0; i < COUNT; i++) {
    expect_echo(t->asks[i]);
  }
  trial_quiet(t);
  TRY(t, t->ends[0]->served == COUNT, "the server was asked %" PRIu32 " times instead of %d", t->ends[0]->served,
      COUNT);
}

static void an_error_is_told_with_code_text_and_when_to_come_again(trial *t) {
  trial_begin_all(t);
  for (int code = CAFE_INVALID; code <= CAFE_DENIED; code++) {
    trial_ask *ask = trial_ask_new(t, 1, "contract-a", 50);
    ask->script = TRIAL_FAIL;
    /* Up to the longest text that there is. */
    (void)cafe_fail(&ask->failure, (cafe_code)code, "no coffee: %0*d", (code - 1) * 22 + 8, code);
    ask->failure.retry_after_ms = code == CAFE_OVERLOADED ? INT32_MAX : code * 100;
    trial_send(ask);
    TRIAL_UNTIL(t, ask->ended, "a request that failed doesn't end");
    TRY(t, ask->err.code == code && strcmp(ask->err.text, ask->failure.text) == 0, "%s: \"%s\" came as %s: \"%s\"",
        cafe_code_name(code), ask->failure.text, cafe_code_name(ask->err.code), ask->err.text);
    TRY(t, ask->err.retry_after_ms == ask->failure.retry_after_ms, "retry_after_ms %" PRId32 " came as %" PRId32,
        ask->failure.retry_after_ms, ask->err.retry_after_ms);
  }
}

/* That the deadline does is checked of each request, by the server. */
static void the_budget_travels(trial *t) {
  static const uint32_t retries[] = {0, 1, 127, 128, 65536, UINT32_MAX - 1, UINT32_MAX};
  static const int64_t left_ms[] = {2000, 60000, INT64_C(36525) * 24 * 3600 * 1000};
  trial_begin_all(t);
  for (unsigned i = 0; i < sizeof(retries) / sizeof(retries[0]); i++) {
    trial_ask *ask = trial_ask_new(t, 1, "contract-a", 30);
    ask->request.budget.retries = retries[i];
    ask->request.budget.deadline_us = trial_now_us(t) + left_ms[i % 3] * 1000;
    trial_send(ask);
    expect_echo(ask);
    TRY(t, ask->served == 1, "a request was served %" PRIu32 " times", ask->served);
  }
}

static void a_deadline_is_a_timeout_and_not_before_it(trial *t) {
  trial_begin_all(t);
  for (int64_t left_ms = 1; left_ms < 400; left_ms = left_ms * 3 + 5) {
    trial_ask *ask = trial_ask_new(t, 1, "contract-a", 30);
    ask->script = TRIAL_HOLD;
    ask->request.budget.deadline_us = trial_now_us(t) + left_ms * 1000;
    trial_send(ask);
    TRIAL_UNTIL(t, ask->ended, "a deadline doesn't end a request");
    TRY(t, ask->err.code == CAFE_TIMEOUT || (!ask->served && ask->err.code == CAFE_UNAVAILABLE),
        "a request that wasn't answered ended as %s: %s", cafe_code_name(ask->err.code), ask->err.text);
    TRY(t, ask->err.code != CAFE_TIMEOUT || ask->ended_us >= ask->request.budget.deadline_us,
        "a timeout came %" PRId64 " us early", ask->request.budget.deadline_us - ask->ended_us);
    /* It comes too late, and goes nowhere. */
    trial_answer_held(t->ends[0], ask);
    trial_quiet(t);
  }
  trial_ask *late = trial_ask_new(t, 1, "contract-a", 30);
  late->request.budget.deadline_us = trial_now_us(t) - 5000;
  if (trial_try_send(late) == CAFE_OK) {
    TRIAL_UNTIL(t, late->ended, "a deadline that has passed doesn't end a request");
    TRY(t, late->err.code == CAFE_TIMEOUT || late->err.code == CAFE_UNAVAILABLE || late->is_echo,
        "a deadline that has passed ended a request as %s", cafe_code_name(late->err.code));
  }
  trial_ask_until_answered(t, 1, "contract-a");
}

static void expect_unavailable(trial *t, const char *service) {
  trial_ask *ask = trial_ask_new(t, 1, service, 30);
  int code = trial_try_send(ask);
  if (code == CAFE_OK) {
    TRIAL_UNTIL(t, ask->ended, "a request to a service that nobody offers doesn't end");
    code = ask->err.code;
  }
  TRY(t, code == CAFE_UNAVAILABLE, "a request to a service that nobody offers ended as %s", cafe_code_name(code));
  cafe_err_clear(&t->check.err);
}

static void a_service_that_nobody_offers_is_unavailable(trial *t) {
  trial_begin(t);
  trial_open(t, 1);
  expect_unavailable(t, "contract-a");
  expect_unavailable(t, "contract-nobody");
  trial_open(t, 0);
  trial_ask_until_answered(t, 1, "contract-a");
  expect_unavailable(t, "contract-nobody");
}

static void a_canceled_request_is_done_with(trial *t) {
  trial_begin_all(t);
  trial_ask *unsent = trial_ask_new(t, 1, "contract-a", 30), *held = trial_ask_new(t, 1, "contract-a", 30),
            *late = trial_ask_new(t, 1, "contract-a", 30);
  held->script = late->script = TRIAL_HOLD;
  trial_send(unsent);
  trial_cancel(unsent);
  trial_send(held);
  trial_send(late);
  TRIAL_UNTIL(t, trial_is_held(t->ends[0], held) && trial_is_held(t->ends[0], late), "the server isn't asked");
  trial_cancel(held);
  trial_cancel(late);
  trial_answer_held(t->ends[0], late); /* it doesn't know yet that nobody waits */
  TRIAL_UNTIL(t, !trial_is_held(t->ends[0], held), "the server isn't told that a caller has gone");
  TRY(t, t->ends[0]->forgotten_incoming == 1, "the server was told %" PRIu32 " times that a caller has gone",
      t->ends[0]->forgotten_incoming);
  trial_quiet(t);
  trial_ask_until_answered(t, 1, "contract-a");
}

static void ask_other(trial_ask *ask) {
  if (trial_try_send(ask->other) != CAFE_OK) {
    trial_note(ask->t, "a request inside done failed");
  }
}

static void a_caller_may_ask_on_inside_done(trial *t) {
  trial_begin_all(t);
  trial_ask *first = trial_ask_new(t, 1, "contract-a", 30), *second = trial_ask_new(t, 1, "contract-b", 30);
  first->then = ask_other;
  first->other = second;
  trial_send(first);
  expect_echo(first);
  expect_echo(second);
  trial_quiet(t);
}

static void cancel_other(trial_ask *ask) {
  if (ask->other->is_pending) {
    trial_cancel(ask->other);
  }
}

static void another_request_may_be_canceled_inside_done(trial *t) {
  trial_begin_all(t);
  for (int i = 0; i < 2; i++) {
    trial_ask *a = trial_ask_new(t, 1, "contract-a", 30), *b = trial_ask_new(t, 1, "contract-a", 30);
    trial_ask *canceler = i ? a : b;
    canceler->then = cancel_other;
    canceler->other = i ? b : a;
    trial_send(a);
    trial_send(b);
    expect_echo(canceler);
    trial_quiet(t);
  }
}

const trial_entry trials_requests[] = {
    {"bodies_of_any_size_go_there_and_back", bodies_of_any_size_go_there_and_back, false, false},
    {"a_request_may_be_answered_later", a_request_may_be_answered_later, false, false},
    {"a_thousand_requests_at_once_get_their_own_answers", a_thousand_requests_at_once_get_their_own_answers, false,
     false},
    {"an_error_is_told_with_code_text_and_when_to_come_again", an_error_is_told_with_code_text_and_when_to_come_again,
     false, false},
    {"the_budget_travels", the_budget_travels, false, false},
    {"a_deadline_is_a_timeout_and_not_before_it", a_deadline_is_a_timeout_and_not_before_it, false, false},
    {"a_service_that_nobody_offers_is_unavailable", a_service_that_nobody_offers_is_unavailable, false, false},
    {"a_canceled_request_is_done_with", a_canceled_request_is_done_with, false, false},
    {"a_caller_may_ask_on_inside_done", a_caller_may_ask_on_inside_done, false, false},
    {"another_request_may_be_canceled_inside_done", another_request_may_be_canceled_inside_done, false, false},
    {NULL, NULL, false, false},
};
