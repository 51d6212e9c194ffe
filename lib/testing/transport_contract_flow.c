/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who sets the pace, and who may leave when: a batch comes when it was asked for, nobody waits for a slow subscriber,
 * and a callback may end what it is called for, and what it isn't.
 */
#include <inttypes.h>

#include "testing/transport_trial.h"

static void a_slow_subscriber_costs_its_publisher_nothing(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 3000);
  t->ends[0]->events_max = 10;
  trial_reader *slow = trial_reader_new(t, 1, "contract-a");
  slow->is_slow = true;
  trial_subscribe(slow);
  TRIAL_UNTIL(t, slow->batches, "the first batch doesn't come without `more`");
  trial_quiet(t);
  uint32_t pulls_max = 1 + t->contract->ahead_max;
  TRY(t, t->ends[0]->pulls <= pulls_max, "for one batch that was taken the server was asked for %" PRIu32,
      t->ends[0]->pulls);
  for (uint32_t taken = 1; taken <= 20; taken++) {
    trial_more(slow);
    TRIAL_UNTIL(t, slow->has_batch, "the next batch doesn't come");
    TRY(t, t->ends[0]->pulls <= pulls_max + taken,
        "for %" PRIu32 " batches that were taken the server was asked for %" PRIu32, taken + 1, t->ends[0]->pulls);
  }
  trial_quiet(t);
  TRY(t, t->ends[0]->pulls <= pulls_max + 20, "a link that isn't asked for more goes on");
  slow->is_slow = false;
  trial_read_all(slow);
  TRY(t, slow->repeats == 0 && slow->events == 3000, "of 3000 events a slow subscriber got %" PRIu64, slow->events);
}

static void nobody_waits_for_a_slow_subscriber(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 2000);
  trial_reader *slow = trial_reader_new(t, 1, "contract-a"), *quick = trial_reader_new(t, 1, "contract-a");
  slow->is_slow = true;
  trial_subscribe(slow);
  trial_subscribe(quick);
  trial_ask_until_answered(t, 1, "contract-a");
  trial_read_all(quick);
  trial_ask_until_answered(t, 1, "contract-b");
  TRY(t, slow->batches == 1, "a slow subscriber got %" PRIu32 " batches", slow->batches);
}

/* A request that is held up holds up no other, and no link. */
static void nobody_waits_for_a_slow_answer(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 100);
  for (int i = 0; i < 50; i++) {
    trial_ask *held = trial_ask_new(t, 1, "contract-a", 5000);
    held->script = TRIAL_HOLD;
    trial_send(held);
  }
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  trial_subscribe(reader);
  trial_read_all(reader);
  trial_ask_until_answered(t, 1, "contract-a");
}

static void many_subscribers_read_at_once(trial *t) {
  enum { COUNT = 120 };
  trial_begin_all(t);
  trial_append(t, 0, 0, 900);
  trial_append(t, 0, 1, 50);
  for (uint32_t i = 0; i < COUNT; i++) {
    trial_reader *reader = trial_reader_new(t, 1 + i % 2, i % 3 ? "contract-a" : "contract-b");
    reader->link.shard = i % 7 == 0;
    reader->link.after = reader->scanned = reader->link.shard ? i % 50 : i * 7;
    reader->link.types = i % 5 ? trial_types : trial_spilled_only;
    reader->link.partitions = i % 4 ? 0 : UINT64_C(0xF0F0F0F0F0F0F0F0) >> i % 8;
    reader->asks_inside = i % 6 == 1;
    trial_subscribe(reader);
  }
  for (int round = 0; round < 3; round++) {
    for (trial_reader *reader = t->readers; reader; reader = reader->next) {
      trial_read_all(reader);
      TRY(t, reader->losses == 0 && reader->repeats == 0, "a link was lost: %s", reader->loss.text);
    }
    trial_append(t, 0, 0, 10);
    trial_append(t, 0, 1, 10);
  }
}

static void links_of_equal_names_are_kept_apart(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 600);
  trial_reader *readers[4];
  for (uint32_t i = 0; i < 4; i++) {
    readers[i] = trial_reader_new(t, 1, "contract-a");
    readers[i]->link.after = readers[i]->scanned = i * 100;
    trial_subscribe(readers[i]);
  }
  trial_unsubscribe(readers[1]);
  for (uint32_t i = 0; i < 4; i++) {
    if (i != 1) {
      trial_read_all(readers[i]);
      TRY(t, readers[i]->events == 600 - i * 100, "a link got %" PRIu64 " events", readers[i]->events);
    }
  }
}

/* ---- callbacks ---- */

static void leave(trial_reader *reader) { trial_unsubscribe(reader); }

static void let_other_leave(trial_reader *reader) {
  if (reader->other->is_subscribed) {
    trial_unsubscribe(reader->other);
  }
}

static void let_other_begin(trial_reader *reader) {
  if (!reader->other->is_subscribed && trial_try_subscribe(reader->other) != CAFE_OK) {
    trial_note(reader->t, "subscribe inside on_events failed");
  }
}

static void more_may_be_asked_for_inside_on_events(trial *t) {
  trial_begin_all(t);
  t->ends[0]->events_max = 7;
  trial_append(t, 0, 0, 500);
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  reader->asks_inside = true;
  trial_subscribe(reader);
  trial_read_all(reader);
  TRY(t, reader->events == 500 && reader->repeats == 0, "of 500 events a subscriber got %" PRIu64, reader->events);
}

static void a_link_may_end_inside_on_events(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 2000);
  trial_reader *own = trial_reader_new(t, 1, "contract-a"), *one = trial_reader_new(t, 1, "contract-a"),
               *two = trial_reader_new(t, 1, "contract-a"), *stays = trial_reader_new(t, 1, "contract-a");
  own->on_batch = leave;
  one->on_batch = two->on_batch = let_other_leave; /* whichever comes first */
  one->other = two;
  two->other = one;
  trial_subscribe(own);
  trial_subscribe(one);
  trial_subscribe(two);
  trial_subscribe(stays);
  trial_read_all(stays);
  TRY(t, own->batches == 1 && !own->is_subscribed, "a link that ended itself got %" PRIu32 " batches", own->batches);
  TRY(t, one->is_subscribed != two->is_subscribed, "of two links that end each other %s is left",
      one->is_subscribed ? "each" : "none");
  trial_read_all(one->is_subscribed ? one : two);
}

static void a_link_may_begin_inside_on_events(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 1000);
  trial_reader *first = trial_reader_new(t, 1, "contract-a"), *second = trial_reader_new(t, 1, "contract-b");
  first->on_batch = let_other_begin;
  first->other = second;
  trial_subscribe(first);
  trial_read_all(first);
  trial_read_all(second);
}

static void a_link_may_end_inside_on_lost(trial *t) {
  trial_begin(t);
  trial_open(t, 1);
  trial_reader *own = trial_reader_new(t, 1, "contract-a"), *one = trial_reader_new(t, 1, "contract-a"),
               *two = trial_reader_new(t, 1, "contract-a"), *stays = trial_reader_new(t, 1, "contract-a");
  own->on_loss = leave;
  one->on_loss = two->on_loss = let_other_leave;
  one->other = two;
  two->other = one;
  trial_subscribe(own);
  trial_subscribe(one);
  trial_subscribe(two);
  trial_subscribe(stays);
  TRIAL_UNTIL(t, own->losses && (one->losses || two->losses) && stays->losses,
              "a subscriber isn't told that nobody offers the service");
  TRY(t, !stays->is_refused, "a service that isn't there is taken for one that refuses: %s", stays->loss.text);
  trial_open(t, 0);
  trial_append(t, 0, 0, 20);
  trial_read_all(stays);
  TRY(t, own->batches == 0, "a link that ended itself got a batch");
}

/* One that has just been asked for events has to learn, soon, that nobody waits for them. */
static void a_link_that_ended_is_forgotten(trial *t) {
  trial_begin_all(t);
  trial_reader *readers[40];
  for (uint32_t i = 0; i < 40; i++) {
    readers[i] = trial_reader_new(t, 1, "contract-a");
    trial_subscribe(readers[i]);
    if (i % 4 == 0) {
      trial_unsubscribe(readers[i]);
    }
  }
  TRIAL_UNTIL(t, trial_count_parked(t->ends[0]) == 30, "the server holds %" PRIu32 " pulls instead of 30",
              trial_count_parked(t->ends[0]));
  for (uint32_t i = 0; i < 40; i++) {
    if (readers[i]->is_subscribed) {
      trial_unsubscribe(readers[i]);
    }
  }
  trial_append(t, 0, 0, 10); /* and is answered by some */
  TRIAL_UNTIL(t, !t->ends[0]->parked, "the server isn't told that subscribers have gone");
  trial_quiet(t);
  for (uint32_t i = 0; i < 40; i++) {
    TRY(t, readers[i]->batches == 0, "a link that ended got a batch");
  }
}

const trial_entry trials_flow[] = {
    {"a_slow_subscriber_costs_its_publisher_nothing", a_slow_subscriber_costs_its_publisher_nothing, false, false},
    {"nobody_waits_for_a_slow_subscriber", nobody_waits_for_a_slow_subscriber, false, false},
    {"nobody_waits_for_a_slow_answer", nobody_waits_for_a_slow_answer, false, false},
    {"many_subscribers_read_at_once", many_subscribers_read_at_once, false, false},
    {"links_of_equal_names_are_kept_apart", links_of_equal_names_are_kept_apart, false, false},
    {"more_may_be_asked_for_inside_on_events", more_may_be_asked_for_inside_on_events, false, false},
    {"a_link_may_end_inside_on_events", a_link_may_end_inside_on_events, false, false},
    {"a_link_may_begin_inside_on_events", a_link_may_begin_inside_on_events, false, false},
    {"a_link_may_end_inside_on_lost", a_link_may_end_inside_on_lost, false, false},
    {"a_link_that_ended_is_forgotten", a_link_that_ended_is_forgotten, false, false},
    {NULL, NULL, false, false},
};
