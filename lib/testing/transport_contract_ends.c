/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Ends that come and go, while something is asked of them. What was asked of one that goes isn't known; the one that
 * went is told of nothing any more, which the server at each end sees to in every check.
 */
#include <inttypes.h>

#include "base/sized.h"
#include "testing/transport_trial.h"

enum { DEADLINE_MS = 500 };

static void two_services_live_at_one_end(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 10);
  trial_reader *a = trial_reader_new(t, 1, "contract-a"), *b = trial_reader_new(t, 1, "contract-b");
  trial_subscribe(a);
  trial_subscribe(b);
  trial_ask_until_answered(t, 1, "contract-a");
  trial_ask_until_answered(t, 1, "contract-b");
  trial_ask_until_answered(t, 2, "contract-b");
  trial_read_all(a);
  trial_read_all(b);
  TRY(t, t->ends[1]->served + t->ends[2]->served == 0, "a request came to another end than it was meant for");
}

static void everybody_asks_and_reads_everybody(trial *t) {
  static const char *const services[TRIAL_ENDS] = {"contract-a", "contract-c", "contract-d"};
  trial_reader *readers[TRIAL_ENDS * TRIAL_ENDS];
  uint32_t count = 0;
  trial_begin_all(t);
  for (uint32_t from = 0; from < TRIAL_ENDS; from++) {
    trial_append(t, from, 0, 700);
    for (uint32_t to = 0; to < TRIAL_ENDS; to++) {
      if (from != to) {
        readers[count] = trial_reader_new(t, from, services[to]);
        trial_subscribe(readers[count++]);
        for (int i = 0; i < 20; i++) {
          trial_ask *ask = trial_ask_new(t, from, services[to], 5000);
          ask->script = i % 2 ? TRIAL_LATER : TRIAL_ECHO;
          trial_send(ask);
        }
      }
    }
  }
  for (uint32_t i = 0; i < t->ask_count; i++) {
    TRIAL_UNTIL(t, t->asks[i]->ended, "a request doesn't end");
    TRY(t, t->asks[i]->is_echo, "a request failed: %s", t->asks[i]->err.text);
  }
  for (uint32_t i = 0; i < count; i++) {
    trial_read_all(readers[i]);
  }
}

/* The callee goes while it holds a request: whether that is done isn't known. */
static void what_a_callee_held_when_it_closed_is_a_timeout(trial *t) {
  trial_begin_all(t);
  trial_ask *held = trial_ask_new(t, 1, "contract-a", 30);
  held->script = TRIAL_HOLD;
  held->request.budget.deadline_us = trial_now_us(t) + DEADLINE_MS * INT64_C(1000);
  trial_send(held);
  TRIAL_UNTIL(t, trial_is_held(t->ends[0], held), "the server isn't asked");
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  trial_subscribe(reader);
  TRIAL_UNTIL(t, t->ends[0]->parked, "the server isn't asked for events");
  trial_close(t, 0);
  TRIAL_UNTIL(t, held->ended, "a request whose callee closed doesn't end");
  TRY(t, held->err.code == CAFE_TIMEOUT, "a request whose callee closed ended as %s: %s",
      cafe_code_name(held->err.code), held->err.text);
  TRIAL_UNTIL(t, reader->losses, "a subscriber isn't told that its publisher is gone");
  TRY(t, !reader->is_refused, "a publisher that closed is taken for one that refuses: %s", reader->loss.text);
}

static void close_and_return(trial *t, bool is_killed) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 300);
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  trial_subscribe(reader);
  trial_read_all(reader);
  trial_ask_until_answered(t, 1, "contract-a");
  for (int i = 0; i < 3; i++) {
    trial_ask *ask = trial_ask_new(t, 1, "contract-a", 30);
    ask->script = TRIAL_HOLD;
    ask->request.budget.deadline_us = trial_now_us(t) + DEADLINE_MS * INT64_C(1000);
    trial_send(ask);
    TRIAL_UNTIL(t, ask->served || i, "the server isn't asked");
    if (i == 2) {
      trial_reopen(t, 0);
    } else {
      trial_restart(t, 0, is_killed);
    }
    trial_append(t, 0, 0, 100);
    trial_ask_until_answered(t, 1, "contract-a");
    trial_read_all(reader);
    TRIAL_UNTIL(t, ask->ended, "a request whose callee went doesn't end");
    trial_expect_any_end(ask);
    TRY(t, ask->err.code, "a request was answered by a callee that never did");
  }
  TRY(t, reader->events == 600, "a subscriber got %" PRIu64 " new events instead of 600", reader->events);
}

static void a_callee_that_closes_and_returns_is_found_again(trial *t) { close_and_return(t, false); }

static void a_callee_that_is_killed_and_returns_is_found_again(trial *t) { close_and_return(t, true); }

static void a_caller_that_goes_is_forgotten(trial *t) {
  trial_begin_all(t);
  trial_ask *ask = trial_ask_new(t, 1, "contract-a", 30), *other = trial_ask_new(t, 2, "contract-a", 30);
  ask->script = other->script = TRIAL_HOLD;
  trial_send(ask);
  trial_send(other);
  trial_subscribe(trial_reader_new(t, 1, "contract-a"));
  trial_reader *stays = trial_reader_new(t, 2, "contract-a");
  trial_subscribe(stays);
  TRIAL_UNTIL(t, trial_count_held(t->ends[0]) == 2 && trial_count_parked(t->ends[0]) == 2, "the server isn't asked");
  trial_close(t, 1);
  TRIAL_UNTIL(t, trial_count_held(t->ends[0]) == 1 && trial_count_parked(t->ends[0]) == 1,
              "the server isn't told that a caller has gone: it holds %" PRIu32 " requests and %" PRIu32 " pulls",
              trial_count_held(t->ends[0]), trial_count_parked(t->ends[0]));
  trial_answer_held(t->ends[0], other);
  TRIAL_UNTIL(t, other->ended, "who stays isn't answered");
  TRY(t, other->is_echo, "who stays was told: %s", other->err.text);
  trial_append(t, 0, 0, 3);
  trial_read_all(stays);
}

static void a_caller_that_returns_asks_and_reads_again(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 50);
  for (int i = 0; i < 4; i++) {
    trial_reader *reader = trial_reader_new(t, 1, "contract-a");
    trial_subscribe(reader);
    trial_read_all(reader);
    trial_ask_until_answered(t, 1, "contract-b");
    if (i % 2) {
      trial_reopen(t, 1);
    } else {
      trial_restart(t, 1, i > 1);
    }
  }
}

static void an_end_may_go_without_having_been_opened(trial *t) {
  trial_begin(t);
  for (int i = 0; i < 3; i++) {
    for (uint32_t end = 0; end < TRIAL_ENDS; end++) {
      if (i == 1) {
        trial_open(t, end);
      } else {
        TRY_OK(t, t->contract->create(&t->ends[end]->transport, end, t->contract->user, &t->check.err));
      }
      trial_close(t, end);
    }
  }
}

/* ---- who is connected ---- */

typedef struct peers_seen {
  uint32_t up;
  uint32_t down;
  bool is_odd; /* a service that isn't another end's */
} peers_seen;

static void see_peer(const char *service, bool is_up, void *user) {
  peers_seen *seen = user;
  bool is_known = false;
  for (uint32_t end = 0; end < TRIAL_ENDS; end += 2) {
    for (const char *const *name = cafe_transport_contract_services(end); *name; name++) {
      is_known |= strcmp(*name, service) == 0;
    }
  }
  seen->is_odd |= !is_known;
  seen->up += is_up;
  seen->down += !is_up;
}

static peers_seen see_peers(trial *t) {
  peers_seen seen = {0, 0, false};
  cafe_transport *transport = t->ends[1]->transport;
  TRIAL_CALL(t, "peers", transport->ops->peers(transport, see_peer, &seen));
  TRY(t, !seen.is_odd, "a peer is named that there isn't");
  return seen;
}

/* Where a transport has the method. */
static void it_is_known_who_is_connected(trial *t) {
  trial_begin_all(t);
  if (!SIZED_HAS(t->ends[1]->transport->ops, peers)) {
    return;
  }
  peers_seen seen = see_peers(t);
  TRY(t, seen.up + seen.down == 3, "of 3 services elsewhere %" PRIu32 " are named", seen.up + seen.down);
  trial_subscribe(trial_reader_new(t, 1, "contract-a"));
  trial_subscribe(trial_reader_new(t, 1, "contract-d"));
  TRIAL_UNTIL(t, see_peers(t).up == 3, "peers that answer aren't up");
  t->contract->cut(1, true, t->contract->user);
  TRIAL_UNTIL(t, see_peers(t).down == 3, "peers that are cut off are up");
  t->contract->cut(1, false, t->contract->user);
  TRIAL_UNTIL(t, see_peers(t).up == 3, "peers that answer again aren't up");
}

const trial_entry trials_ends[] = {
    {"two_services_live_at_one_end", two_services_live_at_one_end, false, false},
    {"everybody_asks_and_reads_everybody", everybody_asks_and_reads_everybody, false, false},
    {"what_a_callee_held_when_it_closed_is_a_timeout", what_a_callee_held_when_it_closed_is_a_timeout, false, false},
    {"a_callee_that_closes_and_returns_is_found_again", a_callee_that_closes_and_returns_is_found_again, false, false},
    {"a_callee_that_is_killed_and_returns_is_found_again", a_callee_that_is_killed_and_returns_is_found_again, false,
     false},
    {"a_caller_that_goes_is_forgotten", a_caller_that_goes_is_forgotten, false, false},
    {"a_caller_that_returns_asks_and_reads_again", a_caller_that_returns_asks_and_reads_again, false, false},
    {"it_is_known_who_is_connected", it_is_known_who_is_connected, false, false},
    {"an_end_may_go_without_having_been_opened", an_end_may_go_without_having_been_opened, false, false},
    {NULL, NULL, false, false},
};
