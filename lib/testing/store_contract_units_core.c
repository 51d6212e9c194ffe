/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tier core: what a unit and a batch are. A unit is there whole or not at all, whatever it conflicted on, and the units
 * around it don't notice. What the log promises follows from that only if conflicts leave no hole in it, so nearly
 * every check here ends with a look at everything that the store holds.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "testing/store_checks.h"

static void a_unit_is_read_back_whole(store_check *check) {
  check_begin(check);
  uint64_t key = check_new_key(check);
  check_unit *unit = unit_new(check, key);
  unit_event(check, unit, 1);
  unit_append(check, unit, "cup", 2, "CupEmptied", (cafe_slice){"a\0b", 3});
  unit->events[1].time_ms = -5;
  unit->events[1].trace = (cafe_slice){NULL, 0};
  unit->events[1].meta = (cafe_slice){"by\0whom", 7};
  unit_line(check, unit, 7, 0, 23);
  unit_key(check, unit, CAFE_KEY_BOTH, cafe_text("k"), cafe_text("print"), cafe_text("reply"));
  unit_checkpoint(check, unit, "check-a", 3, 0, 12);
  check_one(check, unit, CAFE_UNIT_DONE);

  const check_found *found = check_load(check, key);
  CHECK(check, found->event_count == 2 && found->row_count == 1 && !found->mixed,
        "load gave %" PRIu32 " events and %" PRIu32 " rows instead of 2 and 1, events first", found->event_count,
        found->row_count);
  for (uint32_t i = 0; i < 2; i++) {
    const cafe_stored_event *written = &unit->events[i], *read = &found->events[i];
    CHECK(check, strcmp(read->aggregate, "cup") == 0 && strcmp(read->type, written->type) == 0 && read->key == key,
          "event %" PRIu32 " came back as %s %" PRIu64 " %s", i, read->aggregate, read->key, read->type);
    CHECK(check, read->version == i + 1 && read->time_ms == written->time_ms,
          "event %" PRIu32 " came back with version %" PRIu64 ", time %" PRId64, i, read->version, read->time_ms);
    CHECK(check, cafe_slice_equal(read->trace, written->trace) && cafe_slice_equal(read->data, written->data),
          "event %" PRIu32 " came back with another trace or other data", i);
    CHECK(check, cafe_slice_equal(read->meta, written->meta), "event %" PRIu32 " came back with another meta", i);
    CHECK(check, read->shard == 0 && read->n == i + 1, "event %" PRIu32 " is at %" PRIu32 ".%" PRIu64, i, read->shard,
          read->n);
    CHECK(check, written->shard == 0 && written->n == i + 1, "commit didn't set the position of event %" PRIu32, i);
  }
  const check_row *row = &found->rows[0];
  CHECK(check, row->table == &check_lines && row->key == key && row->sub == 7 && row->version == 1,
        "the row came back as %s %" PRIu64 ".%" PRIu64 " v%" PRIu64, row->table->name, row->key, row->sub,
        row->version);
  CHECK(check, check_lines_equal(row->data, unit->rows[0].data), "the row came back with other columns");

  cafe_key_record record = check_key(check, cafe_text("k"), cafe_text("print"));
  CHECK(check,
        record.found && record.same_request && record.has_reply && record.stream_key == key &&
            cafe_slice_equal(record.reply, cafe_text("reply")),
        "the client key came back differently");
  const check_found *checkpoints = check_checkpoints(check, "check-a");
  CHECK(check, checkpoints->checkpoint_count == 1, "there are %" PRIu32 " checkpoints instead of 1",
        checkpoints->checkpoint_count);
  const cafe_checkpoint *checkpoint = checkpoints->checkpoints;
  CHECK(check,
        strcmp(checkpoint->subscription, "check-a") == 0 && checkpoint->log_id == 77 && checkpoint->shard == 0 &&
            checkpoint->partition == 3 && checkpoint->n == 12,
        "the checkpoint came back differently");
}

static void a_store_keeps_the_numbers_that_it_was_made_with(store_check *check) {
  check_begin(check);
  cafe_store_info first = check->info;
  check_unit *unit = unit_new(check, check_new_key(check));
  unit_event(check, unit, 1);
  check_one(check, unit, CAFE_UNIT_DONE);
  check_restart(check, CAFE_STORE_CLOSED, 0);
  CHECK(check, check->info.shards == first.shards, "the log had %" PRIu32 " shards, after a restart it has %" PRIu32,
        first.shards, check->info.shards);
  CHECK(check, check->info.partitions == first.partitions, "there were %" PRIu32 " partitions, now %" PRIu32,
        first.partitions, check->info.partitions);
}

static void the_log_id_is_of_the_store_and_stays(store_check *check) {
  check_begin(check);
  uint64_t first = check->info.log_id;
  check_restart(check, CAFE_STORE_CLOSED, 0);
  CHECK(check, check->info.log_id == first, "the log id was %" PRIu64 ", after a restart it is %" PRIu64, first,
        check->info.log_id);
  check_begin(check);
  CHECK(check, check->info.log_id != first, "another store has the same log id, %" PRIu64, first);
}

/* What all units of the conflict checks meet: a stream of three events, rows, a key, a checkpoint. */
static uint64_t prepare(store_check *check) {
  check_begin(check);
  uint64_t key = check_new_key(check);
  check_unit *unit = unit_new(check, key);
  for (uint64_t version = 1; version <= 3; version++) {
    unit_event(check, unit, version);
  }
  unit_line(check, unit, 1, 0, 1);
  unit_line(check, unit, 2, 0, 2);
  unit_key(check, unit, CAFE_KEY_CLAIM, cafe_text("taken"), cafe_text("first"), (cafe_slice){NULL, 0});
  unit_checkpoint(check, unit, "check-a", 0, 0, 5);
  check_one(check, unit, CAFE_UNIT_DONE);
  unit = unit_new(check, key);
  unit_line(check, unit, 2, 1, 22);
  check_one(check, unit, CAFE_UNIT_DONE);
  return key;
}

/* A unit of everything that would go through, but for what the cases below change. */
static check_unit *good_unit(store_check *check, uint64_t key, unsigned number) {
  check_unit *unit = unit_new(check, key);
  unit_append(check, unit, "pot", 1 + number, "PotFilled", cafe_text("before"));
  unit_line(check, unit, 10 + number, 0, number);
  unit_key(check, unit, CAFE_KEY_CLAIM, check_text(check, "free %u", number), cafe_text("second"),
           (cafe_slice){NULL, 0});
  unit_checkpoint(check, unit, "check-b", (int32_t)number, 0, 3);
  return unit;
}

typedef struct conflict {
  const char *what;
  void (*spoil)(store_check *check, check_unit *unit);
  cafe_unit_result wanted;
} conflict;

static void version_was_taken(store_check *check, check_unit *unit) { unit_event(check, unit, 3); }

static void version_is_ahead(store_check *check, check_unit *unit) { unit_event(check, unit, 5); }

static void version_of_an_empty_stream(store_check *check, check_unit *unit) {
  unit_append(check, unit, "jug", 2, "JugFilled", cafe_text(""));
}

static void stream_begun_anew(store_check *check, check_unit *unit) { unit_event(check, unit, 1); }

static void last_of_many_events(store_check *check, check_unit *unit) {
  for (uint64_t version = 1; version <= 20; version++) {
    unit_append(check, unit, "jug", version, "JugFilled", check_bytes(check, 100, (uint32_t)version));
  }
  unit_event(check, unit, 3);
}

static void row_is_older(store_check *check, check_unit *unit) { unit_line(check, unit, 2, 1, 9); }

static void row_is_newer(store_check *check, check_unit *unit) { unit_line(check, unit, 2, 3, 9); }

static void row_is_there(store_check *check, check_unit *unit) { unit_line(check, unit, 1, 0, 9); }

static void row_is_not_there(store_check *check, check_unit *unit) { unit_line(check, unit, 3, 1, 9); }

static void removed_row_is_newer(store_check *check, check_unit *unit) {
  unit_row(check, unit, &check_lines, 1, 1, NULL);
  unit_row(check, unit, &check_lines, 2, 1, NULL);
}

static void removed_row_is_not_there(store_check *check, check_unit *unit) {
  unit_row(check, unit, &check_lines, 9, 1, NULL);
}

static void row_of_the_last_table(store_check *check, check_unit *unit) {
  check_note *note = check_alloc(check, sizeof(*note));
  note->number = 4;
  unit_line(check, unit, 1, 1, 8);
  unit_row(check, unit, &check_notes, 0, 4, note);
}

static void key_was_taken(store_check *check, check_unit *unit) {
  (void)check;
  unit->client_key.key = cafe_text("taken");
}

static void key_was_taken_with_a_reply(store_check *check, check_unit *unit) {
  key_was_taken(check, unit);
  unit->client_key.mode = CAFE_KEY_BOTH;
  unit->client_key.reply = cafe_text("mine");
}

static void checkpoint_is_elsewhere(store_check *check, check_unit *unit) {
  unit_checkpoint(check, unit, "check-a", 0, 4, 6);
}

static void checkpoint_is_there(store_check *check, check_unit *unit) {
  unit_checkpoint(check, unit, "check-a", 0, 0, 6);
}

static void checkpoint_is_not_there(store_check *check, check_unit *unit) {
  unit_checkpoint(check, unit, "check-a", 1, 5, 6);
}

static const conflict conflicts[] = {
    {"a version that is taken", version_was_taken, CAFE_UNIT_STREAM_CONFLICT},
    {"a version ahead of the stream", version_is_ahead, CAFE_UNIT_STREAM_CONFLICT},
    {"a second version of an empty stream", version_of_an_empty_stream, CAFE_UNIT_STREAM_CONFLICT},
    {"a stream begun anew", stream_begun_anew, CAFE_UNIT_STREAM_CONFLICT},
    {"the last of many events", last_of_many_events, CAFE_UNIT_STREAM_CONFLICT},
    {"a row changed meanwhile", row_is_older, CAFE_UNIT_ROW_CONFLICT},
    {"a row version that isn't yet", row_is_newer, CAFE_UNIT_ROW_CONFLICT},
    {"a row that is there already", row_is_there, CAFE_UNIT_ROW_CONFLICT},
    {"a row that isn't there", row_is_not_there, CAFE_UNIT_ROW_CONFLICT},
    {"a removal of a changed row", removed_row_is_newer, CAFE_UNIT_ROW_CONFLICT},
    {"a removal of a row that isn't there", removed_row_is_not_there, CAFE_UNIT_ROW_CONFLICT},
    {"a row of another table", row_of_the_last_table, CAFE_UNIT_ROW_CONFLICT},
    {"a client key that is taken", key_was_taken, CAFE_UNIT_KEY_CONFLICT},
    {"a client key that is taken, with a reply", key_was_taken_with_a_reply, CAFE_UNIT_KEY_CONFLICT},
    {"a checkpoint moved meanwhile", checkpoint_is_elsewhere, CAFE_UNIT_CHECKPOINT_CONFLICT},
    {"a checkpoint that is there already", checkpoint_is_there, CAFE_UNIT_CHECKPOINT_CONFLICT},
    {"a checkpoint that isn't there", checkpoint_is_not_there, CAFE_UNIT_CHECKPOINT_CONFLICT},
};
enum { CONFLICTS = sizeof(conflicts) / sizeof(conflicts[0]) };

static void check_key_found(store_check *check, const check_unit *unit, uint64_t key) {
  const cafe_key_record *found = &unit->unit.key_found;
  CHECK(check,
        found->found && !found->same_request && !found->has_reply && found->stream_key == key && found->reply.size == 0,
        "key_found doesn't tell who holds the key");
}

static void a_conflict_writes_nothing_of_its_unit(store_check *check) {
  for (unsigned i = 0; i < CONFLICTS; i++) {
    check->where = conflicts[i].what;
    uint64_t key = prepare(check);
    cafe_slice before = check_dump(check);
    check_unit *unit = good_unit(check, key, 0);
    conflicts[i].spoil(check, unit);
    check_one(check, unit, conflicts[i].wanted);
    if (conflicts[i].wanted == CAFE_UNIT_KEY_CONFLICT) {
      check_key_found(check, unit, key);
    }
    CHECK_SAME(check, before, check_dump(check), "a unit that conflicted left something");
    check_restart(check, CAFE_STORE_CLOSED, 0);
    CHECK_SAME(check, before, check_dump(check), "a unit that conflicted left something that a restart shows");
    check_one(check, good_unit(check, key, 0), CAFE_UNIT_DONE);
  }
}

/* A batch of three good units with a conflict before, between or behind them leaves what the three leave alone. */
static void a_conflict_touches_no_other_unit_of_its_batch(store_check *check) {
  uint64_t key = prepare(check);
  check_unit *alone[3];
  const cafe_unit_result done[3] = {CAFE_UNIT_DONE, CAFE_UNIT_DONE, CAFE_UNIT_DONE};
  for (unsigned k = 0; k < 3; k++) {
    alone[k] = good_unit(check, key, k);
  }
  check_commit(check, alone, done, 3);
  cafe_slice wanted = check_dump(check);

  for (unsigned i = 0; i < CONFLICTS * 4; i++) {
    check->where = conflicts[i / 4].what;
    check->last_key = 0;
    key = prepare(check);
    check_unit *units[4];
    cafe_unit_result results[4];
    unsigned good = 0;
    for (unsigned k = 0; k < 4; k++) {
      bool is_bad = k == i % 4;
      units[k] = good_unit(check, key, is_bad ? 30 : good++);
      results[k] = is_bad ? conflicts[i / 4].wanted : CAFE_UNIT_DONE;
      if (is_bad) {
        units[k]->unit.event_count = 0;
        conflicts[i / 4].spoil(check, units[k]);
      }
    }
    check_commit(check, units, results, 4);
    CHECK_SAME(check, wanted, check_dump(check), "the other units of the batch didn't come out as if they were alone");
  }
}

static void units_see_those_before_them_in_their_batch(store_check *check) {
  check_begin(check);
  uint64_t key = check_new_key(check);
  check_unit *units[7];
  for (unsigned i = 0; i < 7; i++) {
    units[i] = unit_new(check, key);
  }
  /* Each stream, row, key and checkpoint moved from unit to unit; unit 3 comes too late with all of them. */
  unit_event(check, units[0], 1);
  unit_line(check, units[0], 1, 0, 1);
  unit_key(check, units[0], CAFE_KEY_CLAIM, cafe_text("k"), cafe_text("p"), (cafe_slice){NULL, 0});
  unit_checkpoint(check, units[0], "check-a", -1, 0, 4);
  unit_event(check, units[1], 2);
  unit_event(check, units[1], 3);
  unit_line(check, units[1], 1, 1, 2);
  unit_key(check, units[1], CAFE_KEY_REPLY, cafe_text("k"), (cafe_slice){NULL, 0}, cafe_text("answer"));
  unit_checkpoint(check, units[1], "check-a", -1, 4, 9);
  unit_event(check, units[2], 3);
  unit_row(check, units[3], &check_lines, 1, 2, NULL);
  unit_event(check, units[3], 4);
  unit_line(check, units[4], 1, 2, 5);
  unit_line(check, units[5], 1, 0, 6);
  unit_event(check, units[5], 5);
  unit_key(check, units[6], CAFE_KEY_CLAIM, cafe_text("k"), cafe_text("p"), (cafe_slice){NULL, 0});
  const cafe_unit_result results[7] = {CAFE_UNIT_DONE,        CAFE_UNIT_DONE,         CAFE_UNIT_STREAM_CONFLICT,
                                       CAFE_UNIT_DONE,        CAFE_UNIT_ROW_CONFLICT, CAFE_UNIT_DONE,
                                       CAFE_UNIT_KEY_CONFLICT};
  check_commit(check, units, results, 7);

  const check_found *found = check_load(check, key);
  CHECK(check, found->event_count == 5 && found->row_count == 1, "there are %" PRIu32 " events and %" PRIu32 " rows",
        found->event_count, found->row_count);
  CHECK(check, found->rows[0].version == 1 && check_lines_equal(found->rows[0].data, units[5]->rows[0].data),
        "a row that was removed and made anew in one batch has version %" PRIu64 " instead of 1",
        found->rows[0].version);
  const cafe_key_record *record = &units[6]->unit.key_found;
  CHECK(check,
        record->found && record->same_request && record->has_reply && record->stream_key == key &&
            cafe_slice_equal(record->reply, cafe_text("answer")),
        "the loser of a client key isn't told what the same batch wrote there");
  const check_found *checkpoints = check_checkpoints(check, "check-a");
  CHECK(check, checkpoints->checkpoint_count == 1 && checkpoints->checkpoints[0].n == 9,
        "the checkpoint wasn't moved twice");
}

static void units_see_nothing_of_a_conflict_before_them(store_check *check) {
  uint64_t key = prepare(check);
  for (unsigned i = 0; i < CONFLICTS; i++) {
    check->where = conflicts[i].what;
    check_unit *units[2] = {good_unit(check, key, i), good_unit(check, key, i)};
    conflicts[i].spoil(check, units[0]);
    /* The second has the very versions, key and checkpoint that the first would have had. */
    check_commit(check, units, (cafe_unit_result[]){conflicts[i].wanted, CAFE_UNIT_DONE}, 2);
  }
}

static void positions_have_no_gaps_around_conflicts(store_check *check) {
  uint64_t key = prepare(check);
  uint64_t written = 3, version = 0;
  for (unsigned i = 0; i < 60; i++) {
    check_unit *units[3];
    cafe_unit_result results[3];
    for (unsigned k = 0; k < 3; k++) {
      units[k] = unit_new(check, key);
      bool is_good = (i * 7 + k * 5) % 4 != 0;
      for (unsigned events = 0; events <= (i + k) % 3; events++) {
        unit_append(check, units[k], "pot", version + 1 + events, "PotFilled", cafe_text("x"));
      }
      results[k] = CAFE_UNIT_DONE;
      if (is_good) {
        version += units[k]->unit.event_count;
        written += units[k]->unit.event_count;
      } else {
        const conflict *bad = &conflicts[(i * 3 + k) % 6];
        bad->spoil(check, units[k]);
        results[k] = bad->wanted;
      }
    }
    check_commit(check, units, results, 3);
  }
  const check_found *found = check_log(check, 0, NULL, 17);
  CHECK(check, found->event_count == written, "the log has %" PRIu32 " events instead of %" PRIu64, found->event_count,
        written);
}

static void a_unit_may_hold_several_streams_and_keys(store_check *check) {
  check_begin(check);
  uint64_t key = check_new_key(check), other = check_neighbour(key);
  check_unit *unit = unit_new(check, key);
  unit_event(check, unit, 1);
  unit_event(check, unit, 2);
  unit_append(check, unit, "pot", 1, "PotFilled", cafe_text("pot"));
  unit_event(check, unit, 3);
  unit_event(check, unit, 1);
  unit->events[4].key = other;
  unit_line(check, unit, 1, 0, 1);
  unit_line(check, unit, 1, 0, 2);
  unit->rows[1].key = other;
  check_one(check, unit, CAFE_UNIT_DONE);

  const check_found *found = check_log(check, 0, NULL, 100);
  CHECK(check, found->event_count == 5, "the log has %" PRIu32 " events instead of 5", found->event_count);
  for (uint32_t i = 0; i < 5; i++) {
    const cafe_stored_event *read = &found->events[i], *written = &unit->events[i];
    CHECK(check,
          strcmp(read->aggregate, written->aggregate) == 0 && read->key == written->key &&
              read->version == written->version,
          "position %" PRIu32 " holds %s %" PRIu64 " v%" PRIu64 ": not in the order of the unit", i + 1,
          read->aggregate, read->key, read->version);
  }
  found = check_load(check, key);
  CHECK(check, found->event_count == 4 && found->row_count == 1, "load mixes keys");
  found = check_load(check, other);
  CHECK(check, found->event_count == 1 && found->row_count == 1, "load misses what another key's unit wrote");

  check_unit *late = unit_new(check, key);
  unit_append(check, late, "pot", 2, "PotFilled", cafe_text("pot"));
  unit_event(check, late, 1);
  late->events[1].key = other;
  check_one(check, late, CAFE_UNIT_STREAM_CONFLICT);
}

static void units_without_events_and_batches_without_units_are_fine(store_check *check) {
  uint64_t key = prepare(check);
  cafe_slice before = check_dump(check);
  check_commit(check, NULL, NULL, 0);
  check_one(check, unit_new(check, key), CAFE_UNIT_DONE);
  CHECK_SAME(check, before, check_dump(check), "nothing was to be written");
  check_unit *unit = unit_new(check, key);
  unit_checkpoint(check, unit, "check-a", 0, 5, 6);
  check_one(check, unit, CAFE_UNIT_DONE);
  unit = unit_new(check, key);
  unit_key(check, unit, CAFE_KEY_CLAIM, cafe_text("alone"), cafe_text(""), (cafe_slice){NULL, 0});
  check_one(check, unit, CAFE_UNIT_DONE);
  CHECK(check, check_log(check, 0, NULL, 100)->event_count == 3, "a unit without events wrote one");
}

static void a_batch_of_many_units_is_written_whole(store_check *check) {
  enum { UNITS = 512 };
  check_begin(check);
  check_unit **units = check_alloc(check, UNITS * sizeof(check_unit *));
  cafe_unit_result *results = check_alloc(check, UNITS * sizeof(cafe_unit_result));
  uint64_t keys[UNITS];
  for (unsigned i = 0; i < UNITS; i++) {
    /* Every third unit goes on with the key of the one before. */
    keys[i] = i % 3 == 1 ? keys[i - 1] : check_new_key(check);
    units[i] = unit_new(check, keys[i]);
    unit_event(check, units[i], i % 3 == 1 ? 2 : 1);
    unit_line(check, units[i], 1, i % 3 == 1 ? 1 : 0, i);
    results[i] = CAFE_UNIT_DONE;
  }
  check_commit(check, units, results, UNITS);
  const check_found *found = check_log(check, 0, NULL, 100);
  CHECK(check, found->event_count == UNITS, "the log has %" PRIu32 " events instead of %d", found->event_count, UNITS);
  for (unsigned i = 0; i < UNITS; i++) {
    CHECK(check, found->events[i].key == keys[i], "position %u holds key %" PRIu64 " instead of %" PRIu64, i + 1,
          found->events[i].key, keys[i]);
  }
}

static void a_restart_keeps_everything(store_check *check) {
  uint64_t key = prepare(check);
  check_one(check, good_unit(check, key, 0), CAFE_UNIT_DONE);
  for (unsigned i = 1; i < 4; i++) {
    cafe_slice before = check_dump(check);
    check_restart(check, CAFE_STORE_CLOSED, 0);
    CHECK_SAME(check, before, check_dump(check), "a restart lost something");
    /* And goes on where it was: versions, positions, keys and checkpoints. */
    check_one(check, good_unit(check, key, i), CAFE_UNIT_DONE);
    check_unit *unit = good_unit(check, key, i + 1);
    conflicts[i].spoil(check, unit);
    check_one(check, unit, conflicts[i].wanted);
  }
}

const store_check_entry store_checks_units[] = {
    {"a_unit_is_read_back_whole", a_unit_is_read_back_whole, false, false},
    {"a_store_keeps_the_numbers_that_it_was_made_with", a_store_keeps_the_numbers_that_it_was_made_with, false, false},
    {"the_log_id_is_of_the_store_and_stays", the_log_id_is_of_the_store_and_stays, false, false},
    {"a_conflict_writes_nothing_of_its_unit", a_conflict_writes_nothing_of_its_unit, false, false},
    {"a_conflict_touches_no_other_unit_of_its_batch", a_conflict_touches_no_other_unit_of_its_batch, false, false},
    {"units_see_those_before_them_in_their_batch", units_see_those_before_them_in_their_batch, false, false},
    {"units_see_nothing_of_a_conflict_before_them", units_see_nothing_of_a_conflict_before_them, false, false},
    {"positions_have_no_gaps_around_conflicts", positions_have_no_gaps_around_conflicts, false, false},
    {"a_unit_may_hold_several_streams_and_keys", a_unit_may_hold_several_streams_and_keys, false, false},
    {"units_without_events_and_batches_without_units_are_fine", units_without_events_and_batches_without_units_are_fine,
     false, false},
    {"a_batch_of_many_units_is_written_whole", a_batch_of_many_units_is_written_whole, false, false},
    {"a_restart_keeps_everything", a_restart_keeps_everything, false, false},
    {NULL, NULL, false, false},
};
