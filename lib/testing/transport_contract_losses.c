/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Lines that are cut, come late, lose and break: a request ends as it may, a subscription goes on from where its link
 * stands, and nothing comes out of order. That each batch begins at the link's place and has no gap is the reader's to
 * see; that nothing is said of a request but what is known, the ask's.
 */
#include <inttypes.h>

#include "testing/transport_trial.h"

enum { DEADLINE_MS = 150, SEEDS = 5, SEEDS_IN_FULL = 40 };

static void cut(trial *t, uint32_t end, bool is_cut) { t->contract->cut(end, is_cut, t->contract->user); }

static trial_ask *ask_for_some_time(trial *t, uint32_t from, const char *service, int64_t ms) {
  trial_ask *ask = trial_ask_new(t, from, service, 200);
  ask->request.budget.deadline_us = trial_now_us(t) + ms * 1000;
  int code = trial_try_send(ask);
  TRY(t, code == CAFE_OK || code == CAFE_UNAVAILABLE, "request returned %s: %s", cafe_code_name(code),
      t->check.err.text);
  cafe_err_clear(&t->check.err);
  return ask;
}

static void a_line_that_was_cut_works_again_when_it_is_healed(trial *t) {
  trial_begin_all(t);
  trial_reader *reader = trial_reader_new(t, 1, "contract-a"), *own = trial_reader_new(t, 0, "contract-c"),
               *beside = trial_reader_new(t, 2, "contract-c");
  reader->may_get_twice = true;
  trial_subscribe(reader);
  trial_subscribe(own);
  trial_subscribe(beside);
  for (uint32_t i = 1; i <= 3; i++) {
    trial_append(t, 0, 0, 30);
    trial_read_all(reader);
    uint32_t losses = reader->losses;
    cut(t, 0, true);
    trial_append(t, 0, 0, 30);
    trial_append(t, 1, 0, 30);
    trial_ask *ask = ask_for_some_time(t, 1, "contract-a", DEADLINE_MS);
    TRIAL_UNTIL(t, ask->ended || !ask->is_pending, "a request over a line that is cut doesn't end");
    TRY(t, !ask->is_echo && !ask->served, "a line that is cut let a request through");
    TRIAL_UNTIL(t, reader->losses > losses, "a subscriber isn't told that its line is cut");
    trial_read_all(beside); /* whose line isn't */
    TRY(t, reader->link.after == i * 60 - 30, "a line that is cut let events through");
    cut(t, 0, false);
    trial_read_all(reader);
    trial_read_all(own);
    trial_ask_until_answered(t, 1, "contract-a");
  }
  TRY(t, !reader->is_refused && !own->is_refused, "a cut was taken for a refusal");
}

static void a_line_may_be_cut_while_it_is_used(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 5000);
  t->ends[0]->events_max = 100;
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  reader->may_get_twice = true;
  trial_subscribe(reader);
  for (uint32_t i = 0; i < 10; i++) {
    trial_ask *asks[20];
    for (uint32_t k = 0; k < 20; k++) {
      asks[k] = ask_for_some_time(t, 1 + k % 2, "contract-a", DEADLINE_MS);
      asks[k]->script = k % 2 ? TRIAL_LATER : TRIAL_ECHO;
      asks[k]->later_ms = k % 5;
    }
    for (uint32_t turns = 0; turns < i * 3; turns++) {
      (void)trial_turn(t, INT64_MAX);
    }
    cut(t, i % 3 == 2, true);
    (void)trial_turn(t, INT64_MAX);
    cut(t, i % 3 == 2, false);
    for (uint32_t k = 0; k < 20; k++) {
      TRIAL_UNTIL(t, !asks[k]->is_pending, "a request doesn't end");
      if (asks[k]->ended) {
        trial_expect_any_end(asks[k]);
      }
    }
  }
  trial_read_all(reader);
}

static void a_publisher_that_comes_later_is_found(trial *t) {
  trial_begin(t);
  trial_open(t, 1);
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  trial_subscribe(reader);
  TRIAL_UNTIL(t, reader->losses, "a subscriber isn't told that nobody is there");
  trial_quiet(t);
  trial_append(t, 0, 0, 5);
  trial_open(t, 0);
  trial_read_all(reader);
}

static void a_link_is_found_again_where_it_stands(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 500);
  t->ends[0]->events_max = 50;
  trial_reader *slow = trial_reader_new(t, 1, "contract-a");
  slow->is_slow = true;
  slow->may_get_twice = true;
  trial_subscribe(slow);
  for (int i = 0; i < 5; i++) {
    TRIAL_UNTIL(t, slow->has_batch, "a batch doesn't come");
    trial_restart(t, 0, i % 2);
    if (i % 2) {
      trial_quiet(t);
    }
    trial_more(slow);
  }
  slow->is_slow = false;
  trial_read_all(slow);
}

/* Any error but a refusal: again, but not at once. */
static void a_server_that_fails_is_asked_again_after_a_while(trial *t) {
  enum { TIMES_MAX = 100 };
  static const int codes[] = {CAFE_UNAVAILABLE, CAFE_OVERLOADED, CAFE_NOMEM, CAFE_TIMEOUT, CAFE_CORRUPT, CAFE_DENIED};
  for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
    trial_begin_all(t);
    trial_append(t, 0, 0, 10);
    t->ends[0]->refusal = codes[i];
    t->ends[0]->refusals = UINT32_MAX;
    trial_reader *reader = trial_reader_new(t, 1, "contract-a");
    trial_subscribe(reader);
    TRIAL_UNTIL(t, reader->losses, "a subscriber isn't told that the server fails");
    TRY(t, reader->loss.code == codes[i], "%s came as %s: %s", cafe_code_name(codes[i]),
        cafe_code_name(reader->loss.code), reader->loss.text);
    trial_quiet(t);
    TRY(t, t->ends[0]->pulls < TIMES_MAX, "a server that fails was asked %" PRIu32 " times", t->ends[0]->pulls);
    t->ends[0]->refusals = 0;
    trial_read_all(reader);
  }
}

/* ---- bad connections ---- */

static void try_bad_connections(trial *t, uint64_t seed) {
  enum { ROUNDS = 12, READERS = 4 };
  trial_reader *readers[READERS];
  trial_begin_all(t);
  t->ends[0]->events_max = 20; /* small ones get through */
  t->contract->disturb(seed, t->contract->user);
  for (uint32_t i = 0; i < READERS; i++) {
    readers[i] = trial_reader_new(t, 1 + i % 2, i % 3 ? "contract-a" : "contract-b");
    readers[i]->may_get_twice = true;
    readers[i]->link.types = i == 3 ? trial_spilled_only : trial_types;
    trial_subscribe(readers[i]);
  }
  for (uint32_t round = 0; round < ROUNDS; round++) {
    trial_append(t, 0, 0, 1 + (uint32_t)(seed * 7 + round * 31) % 20);
    for (uint32_t i = 0; i < 5; i++) {
      trial_ask *ask = ask_for_some_time(t, 1 + i % 2, "contract-a", DEADLINE_MS);
      ask->script = i % 2 ? TRIAL_LATER : TRIAL_ECHO;
      ask->later_ms = i;
    }
    for (int i = 0; i < 3; i++) {
      (void)trial_turn(t, INT64_MAX);
    }
  }
  for (uint32_t i = 0; i < t->ask_count; i++) {
    TRIAL_UNTIL(t, !t->asks[i]->is_pending, "a request doesn't end");
    if (t->asks[i]->ended) {
      trial_expect_any_end(t->asks[i]);
    }
  }
  for (uint32_t i = 0; i < READERS; i++) {
    trial_read_all(readers[i]);
  }
  t->contract->disturb(0, t->contract->user);
  trial_ask_until_answered(t, 1, "contract-a");
}

static void bad_connections_lose_no_event_and_answer_nothing_twice(trial *t) {
  for (uint64_t seed = 1; seed <= (check_is_full() ? SEEDS_IN_FULL : SEEDS); seed++) {
    t->check.where = check_text(&t->check, "seed %" PRIu64, seed).data;
    try_bad_connections(t, seed);
  }
  t->check.where = NULL;
}

const trial_entry trials_losses[] = {
    {"a_line_that_was_cut_works_again_when_it_is_healed", a_line_that_was_cut_works_again_when_it_is_healed, false,
     false},
    {"a_line_may_be_cut_while_it_is_used", a_line_may_be_cut_while_it_is_used, false, false},
    {"a_publisher_that_comes_later_is_found", a_publisher_that_comes_later_is_found, false, false},
    {"a_link_is_found_again_where_it_stands", a_link_is_found_again_where_it_stands, false, false},
    {"a_server_that_fails_is_asked_again_after_a_while", a_server_that_fails_is_asked_again_after_a_while, false,
     false},
    {"bad_connections_lose_no_event_and_answer_nothing_twice", bad_connections_lose_no_event_and_answer_nothing_twice,
     false, true},
    {NULL, NULL, false, false},
};
