/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Places that are of another log. A refusal is final: whoever would be let go on would take what is there for what it
 * has read. A log that continues the one that was read is told by its id, before any of it.
 */
#include <inttypes.h>

#include "testing/transport_trial.h"

enum { OLD_LOG = 4711 };

/* The reader is told once, for good: nothing comes, whatever is asked and appended. */
static void expect_refusal(trial_reader *reader) {
  trial *t = reader->t;
  TRIAL_UNTIL(t, reader->losses, "a place that there isn't was not refused");
  TRY(t, reader->loss.code == CAFE_INVALID && strstr(reader->loss.text, "the server says invalid"),
      "a refusal came as %s: %s", cafe_code_name(reader->loss.code), reader->loss.text);
  uint32_t pulls = t->ends[0]->pulls, batches = reader->batches;
  cafe_transport *transport = t->ends[1]->transport;
  TRIAL_CALL(t, "more", transport->ops->more(transport, &reader->link));
  trial_append(t, 0, 0, 3);
  trial_quiet(t);
  TRY(t, t->ends[0]->pulls == pulls && reader->losses == 1 && reader->batches == batches,
      "a link that was refused goes on");
  trial_ask_until_answered(t, 1, "contract-a");
}

static void a_place_beyond_the_log_is_refused_for_good(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 10);
  trial_reader *beyond = trial_reader_new(t, 1, "contract-a");
  beyond->link.after = 11;
  beyond->link.log_id = t->ends[0]->log_id;
  trial_subscribe(beyond);
  expect_refusal(beyond);
  trial_unsubscribe(beyond);
  trial_reader *behind = trial_reader_new(t, 1, "contract-a");
  trial_subscribe(behind);
  trial_read_all(behind);
}

static void a_shard_that_there_is_not_is_refused_for_good(trial *t) {
  trial_begin_all(t);
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  reader->link.shard = TRIAL_SHARDS;
  trial_subscribe(reader);
  expect_refusal(reader);
}

static void a_foreign_log_is_refused_for_good(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 10);
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  reader->link.log_id = OLD_LOG;
  reader->link.after = 3;
  trial_subscribe(reader);
  expect_refusal(reader);
}

static void effects_beyond_the_log_are_refused_for_good(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 10);
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  reader->link.seen = 11;
  trial_subscribe(reader);
  expect_refusal(reader);
}

/* The publisher's log is restored while it is down: it goes on from `until`, under another id. */
static void restore(trial *t, uint64_t until) {
  trial_end *end = t->ends[0];
  trial_restart(t, 0, false);
  end->origin = (cafe_position){end->log_id, 0, until};
  end->log_id = OLD_LOG + 1;
}

static void see_log(trial_reader *reader) {
  bool is_new = reader->link.log_id == OLD_LOG + 1;
  if (is_new && reader->events == 10 && reader->scanned != 10) {
    trial_note(reader->t, "the batch that tells of another log has scanned %" PRIu64, reader->scanned);
  }
}

static void a_log_that_goes_on_under_another_id_tells_so_by_an_empty_batch(trial *t) {
  for (int is_told_in_subscribe = 0; is_told_in_subscribe < 2; is_told_in_subscribe++) {
    trial_begin_all(t);
    trial_append(t, 0, 0, 10);
    trial_reader *reader = trial_reader_new(t, 1, "contract-a");
    reader->on_batch = see_log;
    reader->may_get_twice = true;
    if (is_told_in_subscribe) {
      reader->link.log_id = t->ends[0]->log_id;
      reader->link.after = reader->scanned = reader->events = 10;
      restore(t, 10);
      trial_subscribe(reader);
    } else {
      trial_subscribe(reader);
      trial_read_all(reader);
      restore(t, 10);
    }
    uint32_t batches = reader->batches;
    TRIAL_UNTIL(t, reader->batches > batches, "a link isn't told that the log has another id");
    TRY(t, reader->events == 10 && reader->link.log_id == OLD_LOG + 1, "a log with another id began with events");
    trial_append(t, 0, 0, 5);
    trial_read_all(reader);
    TRY(t, reader->events == 15 && !reader->is_refused, "of 15 events a subscriber got %" PRIu64, reader->events);
  }
}

static void who_has_read_more_than_was_restored_is_refused_for_good(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 10);
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  trial_subscribe(reader);
  trial_read_all(reader);
  restore(t, 9);
  /* That the publisher was away is a loss of its own. */
  TRIAL_UNTIL(t, reader->is_refused, "a place in a log that was restored was not refused");
  uint32_t losses = reader->losses;
  trial_append(t, 0, 0, 5);
  trial_quiet(t);
  TRY(t, reader->losses == losses && reader->events == 10, "a link that was refused goes on");
}

const trial_entry trials_refusals[] = {
    {"a_place_beyond_the_log_is_refused_for_good", a_place_beyond_the_log_is_refused_for_good, false, false},
    {"a_shard_that_there_is_not_is_refused_for_good", a_shard_that_there_is_not_is_refused_for_good, false, false},
    {"a_foreign_log_is_refused_for_good", a_foreign_log_is_refused_for_good, false, false},
    {"effects_beyond_the_log_are_refused_for_good", effects_beyond_the_log_are_refused_for_good, false, false},
    {"a_log_that_goes_on_under_another_id_tells_so_by_an_empty_batch",
     a_log_that_goes_on_under_another_id_tells_so_by_an_empty_batch, false, false},
    {"who_has_read_more_than_was_restored_is_refused_for_good", who_has_read_more_than_was_restored_is_refused_for_good,
     false, false},
    {NULL, NULL, false, false},
};
