/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a subscriber gets: all that it wants, as it was appended, from where it stands. Each batch is compared with the
 * log by the reader; a check here chooses logs and places that are easily got wrong.
 */
#include <inttypes.h>
#include <stdio.h>

#include "testing/transport_trial.h"

static void a_subscriber_gets_the_log_in_order(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 1000);
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  trial_subscribe(reader);
  trial_read_all(reader);
  TRY(t, reader->events == 1000 && reader->head == 1000, "a subscriber got %" PRIu64 " events of 1000", reader->events);
  TRY(t, reader->losses == 0, "a link was lost: %s", reader->loss.text);
}

static void a_subscriber_waits_for_what_will_be_appended(trial *t) {
  trial_begin_all(t);
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  trial_subscribe(reader);
  TRIAL_UNTIL(t, t->ends[0]->parked, "the server isn't asked");
  trial_quiet(t);
  TRY(t, reader->batches == 0, "an empty log made a batch");
  for (uint32_t i = 1; i <= 20; i++) {
    trial_append(t, 0, 0, i);
    trial_read_all(reader);
  }
  trial_quiet(t);
  TRY(t, reader->events == 210 && reader->repeats == 0 && reader->losses == 0,
      "of 210 events a subscriber got %" PRIu64, reader->events);
}

static void only_wanted_events_are_sent(trial *t) {
  static const char *const *const types[] = {NULL, trial_spilled_only, trial_no_types};
  static const uint64_t partitions[] = {
      0, 1, UINT64_C(1) << 63, UINT64_C(0x8000000080000001), UINT64_MAX, UINT64_C(0x5555555555555555)};
  trial_begin_all(t);
  trial_append(t, 0, 0, 600);
  for (unsigned i = 0; i < 3; i++) {
    for (unsigned k = 0; k < sizeof(partitions) / sizeof(partitions[0]); k++) {
      trial_reader *reader = trial_reader_new(t, 1, "contract-a");
      reader->link.types = types[i] ? types[i] : reader->link.types;
      reader->link.partitions = partitions[k];
      trial_subscribe(reader);
    }
  }
  for (trial_reader *reader = t->readers; reader; reader = reader->next) {
    trial_read_all(reader);
  }
}

static void shards_are_kept_apart(trial *t) {
  trial_begin_all(t);
  trial_append(t, 0, 0, 100);
  trial_append(t, 0, 1, 400);
  trial_reader *readers[4];
  for (uint32_t i = 0; i < 4; i++) {
    readers[i] = trial_reader_new(t, 1, "contract-a");
    readers[i]->link.shard = i % 2;
    trial_subscribe(readers[i]);
  }
  for (uint32_t i = 0; i < 4; i++) {
    trial_read_all(readers[i]);
    TRY(t, readers[i]->events == (i % 2 ? 400 : 100), "shard %" PRIu32 " gave %" PRIu64 " events", i % 2,
        readers[i]->events);
  }
}

/* Positions lie where 7, 31, 32 and 53 bits end. */
static void a_subscriber_begins_anywhere(trial *t) {
  static const uint64_t bases[] = {0, 100, (UINT64_C(1) << 31) - 10, (UINT64_C(1) << 32) - 10,
                                   (UINT64_C(1) << 53) - 40};
  for (unsigned i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
    trial_begin_all(t);
    t->ends[0]->logs[0].base = bases[i];
    trial_append(t, 0, 0, 30);
    for (uint64_t after = 0; after <= 30; after += after < 3 || after > 26 ? 1 : 5) {
      trial_reader *reader = trial_reader_new(t, after % 2 ? 1 : 2, "contract-a");
      reader->link.after = reader->scanned = bases[i] + after;
      reader->link.log_id = after % 3 ? t->ends[0]->log_id : 0;
      trial_subscribe(reader);
    }
    trial_quiet(t);
    trial_append(t, 0, 0, 3);
    for (trial_reader *reader = t->readers; reader; reader = reader->next) {
      trial_read_all(reader);
    }
  }
}

static void batches_end_anywhere(trial *t) {
  static const uint32_t counts[] = {1, 2, 127, 128, 255, 256, 257, 511, 512, 513, 1024, 1025};
  for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
    trial_begin_all(t);
    t->ends[0]->events_max = i % 3 ? 0 : i + 1;
    trial_append(t, 0, 0, counts[i]);
    trial_reader *reader = trial_reader_new(t, 1, "contract-a");
    trial_subscribe(reader);
    trial_read_all(reader);
    TRY(t, reader->events == counts[i], "of %" PRIu32 " events a subscriber got %" PRIu64, counts[i], reader->events);
    TRY(t, reader->head == counts[i] && reader->repeats == 0, "a batch came twice");
  }
}

static cafe_stored_event event_of(trial *t, uint64_t number, cafe_slice data) {
  return (cafe_stored_event){.aggregate = "cup",
                             .type = "Filled",
                             .key = number,
                             .version = number,
                             .time_ms = (int64_t)number,
                             .trace = check_bytes(&t->check, number % 60, (uint32_t)number),
                             .data = data};
}

/* Whether they come as they were appended is compared of each event. */
static void every_field_comes_as_it_was_appended(trial *t) {
  static const uint64_t numbers[] = {1,
                                     127,
                                     128,
                                     255,
                                     256,
                                     65535,
                                     65536,
                                     (UINT64_C(1) << 31) - 1,
                                     UINT64_C(1) << 31,
                                     (UINT64_C(1) << 32) - 1,
                                     UINT64_C(1) << 32,
                                     CAFE_KEY_MAX - 1,
                                     CAFE_KEY_MAX};
  static const char *const texts[] = {"", "\x80\xff\xfe", "no\0end", "\xed\xa0\x80", "커피"};
  static const size_t sizes[] = {0, 3, 6, 3, 6};
  static const char *const names[] = {"A", "a_name_of_an_event_type_that_is_longer_than_most_names_of_event_types_are",
                                      "커피"};
  static const char *const wanted[] = {"A", "a_name_of_an_event_type_that_is_longer_than_most_names_of_event_types_are",
                                       "커피", NULL};
  trial_begin_all(t);
  for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
    for (int sign = -1; sign <= 1; sign += 2) {
      cafe_stored_event event = event_of(t, numbers[i], (cafe_slice){texts[i % 5], sizes[i % 5]});
      event.time_ms = sign * (int64_t)numbers[i];
      event.meta = (cafe_slice){texts[(i + 1) % 5], sizes[(i + 1) % 5]};
      event.trace = (cafe_slice){texts[(i + 2) % 5], sizes[(i + 2) % 5]};
      event.type = names[i % 3];
      event.aggregate = names[(i + 1) % 3];
      trial_append_event(t, 0, 0, &event);
    }
  }
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  reader->link.types = wanted;
  trial_subscribe(reader);
  trial_read_all(reader);
}

/* Together they are more than any one message should hold. */
static void large_events_come_however_many(trial *t) {
  static const size_t sizes[] = {127, 128, 4096, 65535, 65536, 65537, 200000, 1 << 20};
  trial_begin_all(t);
  for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    cafe_stored_event event = event_of(t, i + 1, check_bytes(&t->check, sizes[i], i));
    event.meta = i % 2 ? check_bytes(&t->check, sizes[i] / 2, i + 50) : (cafe_slice){NULL, 0};
    trial_append_event(t, 0, 0, &event);
  }
  cafe_slice large = check_bytes(&t->check, 1 << 16, 77);
  for (unsigned i = 0; i < 300; i++) {
    cafe_stored_event event = event_of(t, i + 1, large);
    trial_append_event(t, 0, 0, &event);
  }
  trial_reader *reader = trial_reader_new(t, 1, "contract-a");
  trial_subscribe(reader);
  trial_read_all(reader);
  TRY(t, reader->losses == 0, "a link was lost: %s", reader->loss.text);
}

static void how_far_effects_went_travels(trial *t) {
  static const uint64_t seen[] = {0, 5, 127, 128, 199, 200};
  trial_begin_all(t);
  trial_append(t, 0, 0, 200);
  for (unsigned i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
    trial_reader *reader = trial_reader_new(t, 1, "contract-a");
    reader->link.seen = seen[i];
    reader->is_slow = true;
    t->ends[0]->is_holding_pulls = true;
    uint32_t pulls = t->ends[0]->pulls;
    trial_subscribe(reader);
    TRIAL_UNTIL(t, t->ends[0]->pulls > pulls, "the server isn't asked");
    TRY(t, t->ends[0]->last_seen == seen[i] && t->ends[0]->last_after == 0 && t->ends[0]->last_log_id == 0,
        "seen %" PRIu64 " came as %" PRIu64 ", after 0 as %" PRIu64, seen[i], t->ends[0]->last_seen,
        t->ends[0]->last_after);
    t->ends[0]->is_holding_pulls = false;
    reader->is_slow = false;
    trial_read_all(reader);
    trial_unsubscribe(reader);
    TRIAL_UNTIL(t, !t->ends[0]->parked, "the server isn't told that a subscriber has gone");
  }
}

const trial_entry trials_links[] = {
    {"a_subscriber_gets_the_log_in_order", a_subscriber_gets_the_log_in_order, false, false},
    {"a_subscriber_waits_for_what_will_be_appended", a_subscriber_waits_for_what_will_be_appended, false, false},
    {"only_wanted_events_are_sent", only_wanted_events_are_sent, false, false},
    {"shards_are_kept_apart", shards_are_kept_apart, false, false},
    {"a_subscriber_begins_anywhere", a_subscriber_begins_anywhere, false, false},
    {"batches_end_anywhere", batches_end_anywhere, false, false},
    {"every_field_comes_as_it_was_appended", every_field_comes_as_it_was_appended, false, false},
    {"large_events_come_however_many", large_events_come_however_many, false, false},
    {"how_far_effects_went_travels", how_far_effects_went_travels, false, false},
    {NULL, NULL, false, false},
};
