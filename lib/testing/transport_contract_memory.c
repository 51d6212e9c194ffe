/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Memory that is refused: allocation n fails, at whichever end, for n = 1, 2, … until nothing was refused. A method
 * says CAFE_NOMEM, or its effect comes as it may come where something is lost; and all works again with the next
 * memory. That every block is given back in the end is seen to by every check.
 */
#include <inttypes.h>

#include "testing/transport_trial.h"

enum { DEADLINE_MS = 100, ATTEMPTS_MAX = 100000, ROUNDS = 10, SLACK = 16 };

static bool was_refused(trial *t) {
  bool refused = t->memory.refused;
  TRY(t, t->memory.calls < ATTEMPTS_MAX, "memory is asked for without end");
  check_allocator_arm(&t->memory, 0);
  return refused;
}

static void expect_ok_or_no_memory(trial *t, const char *call, int code) {
  TRY(t, code == CAFE_OK || (code == CAFE_NOMEM && t->memory.refused), "%s returned %s when memory was refused: %s",
      call, cafe_code_name(code), t->check.err.text);
  TRY(t, code == CAFE_OK || (t->check.err.code == CAFE_NOMEM && t->check.err.text[0]),
      "%s returned nomem without saying why", call);
  cafe_err_clear(&t->check.err);
}

static void name_attempt(trial *t, uint64_t n) {
  t->check.where = check_text(&t->check, "allocation %" PRIu64, n).data;
}

/* ---- birth ---- */

/* False: memory was refused, and the end isn't there. */
static bool try_open(trial *t, uint32_t end) {
  trial_end *self = t->ends[end];
  int code = t->contract->create(&self->transport, end, t->contract->user, &t->check.err);
  expect_ok_or_no_memory(t, "create", code);
  if (code) {
    self->transport = NULL;
    return false;
  }
  const cafe_transport_ops *ops = self->transport->ops;
  const char *const *services = cafe_transport_contract_services(end);
  TRIAL_CALL(t, "open", code = ops->open(self->transport, t->loop, services, &self->server, &t->check.err));
  expect_ok_or_no_memory(t, "open", code);
  if (code) {
    /* It isn't open, and can be. */
    TRY_OK(t, ops->open(self->transport, t->loop, services, &self->server, &t->check.err));
  }
  self->is_open = true;
  return true;
}

static void ends_are_made_and_opened_whenever_memory_is_refused(trial *t) {
  bool refused = true;
  for (uint64_t n = 1; refused; n++) {
    trial_begin(t);
    name_attempt(t, n);
    check_allocator_arm(&t->memory, n);
    for (uint32_t end = 0; end < TRIAL_ENDS; end++) {
      if (!try_open(t, end)) {
        trial_open(t, end);
      }
    }
    refused = was_refused(t);
    trial_ask_until_answered(t, 1, "contract-a");
  }
  t->check.where = NULL;
}

/* ---- requests ---- */

/* Something is lost, or the transport says that it had no memory: then the server wasn't asked. */
static void expect_end_without_memory(trial_ask *ask) {
  if (ask->err.code == CAFE_NOMEM || ask->err.code == CAFE_OVERLOADED) {
    TRY(ask->t, ask->ended == 1 && !ask->served, "a request that the server was asked ended as %s: %s",
        cafe_code_name(ask->err.code), ask->err.text);
  } else {
    trial_expect_any_end(ask);
  }
}

static trial_ask *try_ask(trial *t, trial_script script) {
  trial_ask *ask = trial_ask_new(t, 1, "contract-a", 300);
  ask->request.budget.deadline_us = trial_now_us(t) + DEADLINE_MS * INT64_C(1000);
  ask->script = script;
  expect_ok_or_no_memory(t, "request", trial_try_send(ask));
  return ask;
}

static void requests_end_whenever_memory_is_refused(trial *t) {
  for (int is_connected = 0; is_connected < 2; is_connected++) {
    bool refused = true;
    for (uint64_t n = 1; refused; n++) {
      trial_begin_all(t);
      name_attempt(t, n);
      if (is_connected) {
        trial_ask_until_answered(t, 1, "contract-a");
      }
      check_allocator_arm(&t->memory, n);
      trial_ask *asks[3] = {try_ask(t, TRIAL_ECHO), try_ask(t, TRIAL_LATER), try_ask(t, TRIAL_HOLD)};
      for (int i = 0; i < 3; i++) {
        TRIAL_UNTIL(t, !asks[i]->is_pending || (i == 2 && asks[i]->served), "a request doesn't end");
        if (asks[i]->ended) {
          expect_end_without_memory(asks[i]);
        }
      }
      if (asks[2]->is_pending) {
        trial_cancel(asks[2]);
      }
      refused = was_refused(t);
      trial_ask_until_answered(t, 1, "contract-a");
    }
  }
  t->check.where = NULL;
}

/* ---- subscriptions ---- */

static void links_go_on_whenever_memory_is_refused(trial *t) {
  for (int is_connected = 0; is_connected < 2; is_connected++) {
    bool refused = true;
    for (uint64_t n = 1; refused; n++) {
      trial_begin_all(t);
      name_attempt(t, n);
      trial_append(t, 0, 0, 20);
      t->ends[0]->events_max = 8;
      if (is_connected) {
        trial_ask_until_answered(t, 1, "contract-a");
      }
      check_allocator_arm(&t->memory, n);
      trial_reader *reader = trial_reader_new(t, 1, "contract-a");
      reader->may_get_twice = true;
      int code = trial_try_subscribe(reader);
      expect_ok_or_no_memory(t, "subscribe", code);
      if (code) {
        trial_subscribe(reader);
      }
      trial_read_all(reader);
      trial_append(t, 0, 0, 5);
      trial_read_all(reader);
      trial_unsubscribe(reader);
      refused = was_refused(t);
      trial_ask_until_answered(t, 1, "contract-a");
    }
  }
  t->check.where = NULL;
}

/* A restart of either end, with a request and a link in use. */
static void restarts_are_survived_whenever_memory_is_refused(trial *t) {
  for (uint32_t end = 0; end < 2; end++) {
    bool refused = true;
    for (uint64_t n = 1; refused; n++) {
      trial_begin_all(t);
      name_attempt(t, n);
      trial_append(t, 0, 0, 5);
      trial_reader *reader = trial_reader_new(t, 1, "contract-a");
      reader->may_get_twice = true;
      trial_subscribe(reader);
      trial_read_all(reader);
      check_allocator_arm(&t->memory, n);
      trial_ask *ask = try_ask(t, TRIAL_HOLD);
      trial_close(t, end);
      if (!try_open(t, end)) {
        trial_open(t, end);
      }
      TRIAL_UNTIL(t, !ask->is_pending, "a request doesn't end");
      if (!reader->is_subscribed) {
        int code = trial_try_subscribe(reader);
        expect_ok_or_no_memory(t, "subscribe", code);
        if (code) {
          trial_subscribe(reader);
        }
      }
      trial_append(t, 0, 0, 5);
      trial_read_all(reader);
      refused = was_refused(t);
      trial_ask_until_answered(t, 1, "contract-a");
    }
  }
  t->check.where = NULL;
}

/* ---- what is over ---- */

static void use(trial *t) {
  for (uint32_t i = 0; i < 60; i++) {
    trial_ask *ask = trial_ask_new(t, 1, "contract-a", 500);
    ask->script = i % 3 == 0 ? TRIAL_HOLD : i % 3 == 1 ? TRIAL_LATER : TRIAL_ECHO;
    trial_send(ask);
    trial_reader *reader = trial_reader_new(t, 1, "contract-a");
    trial_subscribe(reader);
    if (i % 10 == 0) {
      trial_read_all(reader);
    }
    (void)trial_turn(t, INT64_MAX);
    trial_unsubscribe(reader);
    if (ask->is_pending && ask->script == TRIAL_HOLD) {
      trial_cancel(ask);
    }
    TRIAL_UNTIL(t, !ask->is_pending, "a request doesn't end");
  }
  TRIAL_UNTIL(t, trial_count_held(t->ends[0]) + trial_count_parked(t->ends[0]) == 0,
              "the server isn't told that callers have gone");
  t->readers = NULL; /* all have ended */
  trial_quiet(t);
}

static void what_is_over_costs_nothing(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 100);
  use(t);
  uint64_t blocks = t->memory.blocks;
  for (int i = 0; i < ROUNDS; i++) {
    use(t);
  }
  TRY(t, t->memory.blocks <= blocks + SLACK, "%" PRIu64 " blocks of memory became %" PRIu64 ", with nothing in use",
      blocks, t->memory.blocks);
}

const trial_entry trials_memory[] = {
    {"what_is_over_costs_nothing", what_is_over_costs_nothing, true, false},
    {"ends_are_made_and_opened_whenever_memory_is_refused", ends_are_made_and_opened_whenever_memory_is_refused, true,
     false},
    {"requests_end_whenever_memory_is_refused", requests_end_whenever_memory_is_refused, true, false},
    {"links_go_on_whenever_memory_is_refused", links_go_on_whenever_memory_is_refused, true, false},
    {"restarts_are_survived_whenever_memory_is_refused", restarts_are_survived_whenever_memory_is_refused, true, false},
    {NULL, NULL, false, false},
};
