/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tier core: clients' keys and checkpoints, the two things that are written outside the partition rule. A key that two
 * requests could both win charges somebody twice; a checkpoint that moves without its effect, or the effect without it,
 * loses a message or does it twice.
 */
#include <inttypes.h>
#include <string.h>

#include "base/sized.h"
#include "testing/store_checks.h"

static const cafe_slice none = {NULL, 0};

/* A unit with an event, so that it shows whether it was written, and a key. */
static check_unit *key_unit(store_check *check, cafe_key_mode mode, cafe_slice key, cafe_slice fingerprint,
                            cafe_slice reply) {
  check_unit *unit = unit_new(check, check_new_key(check));
  unit_event(check, unit, 1);
  unit_key(check, unit, mode, key, fingerprint, reply);
  return unit;
}

static void expect(store_check *check, const cafe_key_record *record, uint64_t stream_key, bool same_request,
                   bool has_reply, cafe_slice reply) {
  CHECK(check, record->found, "the key isn't found");
  CHECK(check, record->stream_key == stream_key, "the key is for %" PRIu64 " instead of %" PRIu64, record->stream_key,
        stream_key);
  CHECK(check, record->same_request == same_request, "the key says that the request is %s",
        record->same_request ? "the same" : "another");
  CHECK(check, record->has_reply == has_reply && cafe_slice_equal(record->reply, reply),
        "the key has %s reply of %zu bytes", record->has_reply ? "a" : "no", record->reply.size);
}

static void a_key_is_claimed_once(store_check *check) {
  check_begin(check);
  cafe_slice key = cafe_text("order-1"), print = cafe_text("body");
  cafe_key_record record = check_key(check, key, print);
  CHECK(check, !record.found, "a key that nobody claimed is found");
  check_unit *winner = key_unit(check, CAFE_KEY_CLAIM, key, print, none);
  check_one(check, winner, CAFE_UNIT_DONE);
  record = check_key(check, key, print);
  expect(check, &record, winner->unit.key, true, false, none);

  static const cafe_key_mode modes[] = {CAFE_KEY_CLAIM, CAFE_KEY_BOTH};
  for (unsigned i = 0; i < 4; i++) {
    bool is_same = i % 2 == 0;
    check_unit *loser = key_unit(check, modes[i / 2], key, is_same ? print : cafe_text("other"), cafe_text("mine"));
    check_one(check, loser, CAFE_UNIT_KEY_CONFLICT);
    expect(check, &loser->unit.key_found, winner->unit.key, is_same, false, none);
  }
  CHECK(check, check_log(check, 0, NULL, 10)->event_count == 1, "a loser of a key wrote its event");
}

static void the_first_of_a_batch_wins_its_key(store_check *check) {
  check_begin(check);
  check_unit *units[4];
  for (unsigned i = 0; i < 4; i++) {
    units[i] = key_unit(check, i == 1 ? CAFE_KEY_BOTH : CAFE_KEY_CLAIM, cafe_text(i < 3 ? "k" : "l"), cafe_text("p"),
                        cafe_text("r"));
  }
  check_commit(check, units,
               (cafe_unit_result[]){CAFE_UNIT_DONE, CAFE_UNIT_KEY_CONFLICT, CAFE_UNIT_KEY_CONFLICT, CAFE_UNIT_DONE}, 4);
  for (unsigned i = 1; i < 3; i++) {
    expect(check, &units[i]->unit.key_found, units[0]->unit.key, true, false, none);
  }
}

static void a_key_whose_unit_conflicted_is_free(store_check *check) {
  check_begin(check);
  check_unit *units[2] = {key_unit(check, CAFE_KEY_CLAIM, cafe_text("k"), cafe_text("p"), none),
                          key_unit(check, CAFE_KEY_CLAIM, cafe_text("k"), cafe_text("q"), none)};
  units[0]->events[0].version = 2;
  check_commit(check, units, (cafe_unit_result[]){CAFE_UNIT_STREAM_CONFLICT, CAFE_UNIT_DONE}, 2);
  cafe_key_record record = check_key(check, cafe_text("k"), cafe_text("q"));
  expect(check, &record, units[1]->unit.key, true, false, none);
}

static void a_reply_is_kept_with_its_key(store_check *check) {
  check_begin(check);
  const cafe_slice replies[] = {cafe_text("201 /orders/1"), none, check_bytes(check, 65536, 1), {"a\0b", 3}};
  for (unsigned i = 0; i < 4; i++) {
    for (unsigned both = 0; both < 2; both++) {
      cafe_slice key = check_text(check, "key %u.%u", i, both), print = cafe_text("p");
      check_unit *unit = key_unit(check, both ? CAFE_KEY_BOTH : CAFE_KEY_CLAIM, key, print, both ? replies[i] : none);
      check_one(check, unit, CAFE_UNIT_DONE);
      if (!both) {
        check_unit *reply = key_unit(check, CAFE_KEY_REPLY, key, none, replies[i]);
        reply->client_key.stream_key = 0;
        check_one(check, reply, CAFE_UNIT_DONE);
      }
      cafe_key_record record = check_key(check, key, print);
      expect(check, &record, unit->unit.key, true, true, replies[i]);
      record = check_key(check, key, cafe_text("P"));
      expect(check, &record, unit->unit.key, false, true, replies[i]);
      check_unit *loser = key_unit(check, CAFE_KEY_CLAIM, key, print, none);
      check_one(check, loser, CAFE_UNIT_KEY_CONFLICT);
      expect(check, &loser->unit.key_found, unit->unit.key, true, true, replies[i]);
    }
  }
  cafe_slice before = check_dump(check);
  check_restart(check, CAFE_STORE_CLOSED, 0);
  CHECK_SAME(check, before, check_dump(check), "a restart lost a reply");
}

static void a_reply_to_a_key_that_is_gone_does_nothing(store_check *check) {
  check_begin(check);
  check_unit *unit = key_unit(check, CAFE_KEY_REPLY, cafe_text("gone"), none, cafe_text("late"));
  check_one(check, unit, CAFE_UNIT_DONE);
  CHECK(check, check_load(check, unit->unit.key)->event_count == 1, "the rest of the unit wasn't written");
  cafe_key_record record = check_key(check, cafe_text("gone"), none);
  CHECK(check, !record.found, "a reply made a key");
  check_one(check, key_unit(check, CAFE_KEY_CLAIM, cafe_text("gone"), none, none), CAFE_UNIT_DONE);
}

static void keys_are_compared_byte_by_byte(store_check *check) {
  check_begin(check);
  char all[256];
  for (unsigned i = 0; i < 256; i++) {
    all[i] = (char)i;
  }
  cafe_slice keys[] = {cafe_text("k"),
                       {"k\0", 2},
                       {"\0k", 2},
                       {"\0", 1},
                       cafe_text("K"),
                       cafe_text("k "),
                       cafe_text("%"),
                       {all, 255},
                       {all + 1, 255},
                       {all, 128},
                       {"\xff", 1},
                       {"\xff\xfe", 2},
                       cafe_text("na\xc3\xafve"),
                       cafe_text("nai\xcc\x88ve"),
                       cafe_text("'"),
                       cafe_text("0"),
                       cafe_text("00")};
  enum { COUNT = sizeof(keys) / sizeof(keys[0]) };
  uint64_t holders[COUNT];
  for (unsigned i = 0; i < COUNT; i++) {
    check_unit *unit = key_unit(check, CAFE_KEY_CLAIM, keys[i], keys[COUNT - 1 - i], none);
    check_one(check, unit, CAFE_UNIT_DONE);
    holders[i] = unit->unit.key;
  }
  check_restart(check, CAFE_STORE_CLOSED, 0);
  for (unsigned i = 0; i < COUNT; i++) {
    for (unsigned k = 0; k < COUNT; k++) {
      cafe_key_record record = check_key(check, keys[i], keys[COUNT - 1 - k]);
      expect(check, &record, holders[i], i == k, false, none);
    }
    cafe_key_record record = check_key(check, keys[i], none);
    expect(check, &record, holders[i], false, false, none);
  }
}

static void scopes_keep_keys_apart(store_check *check) {
  check_begin(check);
  static const char *const pairs[][2] = {
      {"POST /orders", "1"}, {"POST /order", "s1"}, {"POST /orders1", "x"}, {"post /orders", "1"}, {"", "1"},
      {"", "POST /orders1"}};
  enum { COUNT = sizeof(pairs) / sizeof(pairs[0]) };
  uint64_t holders[COUNT];
  for (unsigned i = 0; i < COUNT; i++) {
    check_unit *unit = key_unit(check, CAFE_KEY_CLAIM, cafe_text(pairs[i][1]), cafe_text("p"), none);
    unit->client_key.scope = cafe_text(pairs[i][0]);
    check_one(check, unit, CAFE_UNIT_DONE);
    holders[i] = unit->unit.key;
  }
  for (unsigned i = 0; i < COUNT; i++) {
    cafe_key_record record;
    CHECK_OK(check, check->store->ops->read_key(check->store, &record, cafe_text(pairs[i][0]), cafe_text(pairs[i][1]),
                                                cafe_text("p"), check->arena, &check->err));
    expect(check, &record, holders[i], true, false, none);
  }
}

static void a_key_is_taken_over_from_what_came_to_nothing(store_check *check) {
  check_begin(check);
  cafe_slice key = cafe_text("k");
  check_unit *first = key_unit(check, CAFE_KEY_CLAIM, key, cafe_text("p"), none);
  check_one(check, first, CAFE_UNIT_DONE);
  uint64_t holder = first->unit.key;
  for (unsigned i = 0; i < 2; i++) {
    check_unit *wrong = key_unit(check, i ? CAFE_KEY_BOTH : CAFE_KEY_CLAIM, key, cafe_text("p"), cafe_text("r"));
    wrong->client_key.replaces = holder + 1;
    check_one(check, wrong, CAFE_UNIT_KEY_CONFLICT);
    expect(check, &wrong->unit.key_found, holder, true, false, none);
  }
  /* Two want to take it over: the second finds the first there. */
  check_unit *units[2];
  for (unsigned i = 0; i < 2; i++) {
    units[i] = key_unit(check, CAFE_KEY_CLAIM, key, cafe_text(i ? "p2" : "p1"), none);
    units[i]->client_key.replaces = holder;
  }
  check_commit(check, units, (cafe_unit_result[]){CAFE_UNIT_DONE, CAFE_UNIT_KEY_CONFLICT}, 2);
  expect(check, &units[1]->unit.key_found, units[0]->unit.key, false, false, none);
  holder = units[0]->unit.key;
  cafe_key_record record = check_key(check, key, cafe_text("p1"));
  expect(check, &record, holder, true, false, none);

  /* One whose unit conflicts leaves it where it was. */
  check_unit *late = key_unit(check, CAFE_KEY_BOTH, key, cafe_text("p3"), cafe_text("r3"));
  late->client_key.replaces = holder;
  late->events[0].version = 9;
  check_one(check, late, CAFE_UNIT_STREAM_CONFLICT);
  record = check_key(check, key, cafe_text("p1"));
  expect(check, &record, holder, true, false, none);

  /* With its reply at once; a key that has one isn't given away. */
  check_unit *both = key_unit(check, CAFE_KEY_BOTH, key, cafe_text("p4"), cafe_text("r4"));
  both->client_key.replaces = holder;
  check_one(check, both, CAFE_UNIT_DONE);
  holder = both->unit.key;
  check_unit *greedy = key_unit(check, CAFE_KEY_CLAIM, key, cafe_text("p4"), none);
  greedy->client_key.replaces = holder;
  check_one(check, greedy, CAFE_UNIT_KEY_CONFLICT);
  expect(check, &greedy->unit.key_found, holder, true, true, cafe_text("r4"));

  /* A key that is gone meanwhile has no holder to conflict with. */
  check_unit *anew = key_unit(check, CAFE_KEY_CLAIM, cafe_text("never"), cafe_text("p"), none);
  anew->client_key.replaces = holder;
  check_one(check, anew, CAFE_UNIT_DONE);
}

/* ---- forgetting ---- */

enum { OLD_KEYS = 3000, YOUNG_KEYS = 300, AT_ONCE = 100 };

static cafe_slice numbered(store_check *check, uint32_t number) { return check_text(check, "key %" PRIu32, number); }

/* Keys first to first + AT_ONCE - 1 as one batch; each of its own time. */
static void claim_keys(store_check *check, uint32_t first, cafe_key_mode mode) {
  check_unit *units[AT_ONCE];
  cafe_unit_result done[AT_ONCE];
  for (uint32_t i = 0; i < AT_ONCE; i++) {
    units[i] = key_unit(check, mode, numbered(check, first + i), cafe_text("p"), cafe_text("r"));
    units[i]->client_key.time_ms = 1000 + first + i;
    done[i] = CAFE_UNIT_DONE;
  }
  check_commit(check, units, done, AT_ONCE);
}

/* Until it is done, with a commit between two calls. */
static uint64_t forget_keys(store_check *check, int64_t before_ms) {
  cafe_forget forget = {.size = sizeof(forget), .before_ms = before_ms};
  for (uint32_t i = 0; !forget.is_done; i++) {
    uint64_t count = forget.count;
    CHECK_OK(check, check->store->ops->forget_keys(check->store, &forget, &check->err));
    CHECK(check, forget.count >= count && i < 2 * (OLD_KEYS + YOUNG_KEYS), "forgetting comes to no end");
    check_unit *unit = unit_new(check, check_new_key(check));
    unit_event(check, unit, 1);
    check_one(check, unit, CAFE_UNIT_DONE);
  }
  return forget.count;
}

static void old_keys_are_forgotten_and_young_ones_stay(store_check *check) {
  check_begin(check);
  if (!SIZED_HAS(check->store->ops, forget_keys)) {
    return;
  }
  for (uint32_t i = 0; i < OLD_KEYS + YOUNG_KEYS; i += AT_ONCE) {
    claim_keys(check, i, i % (3 * AT_ONCE) ? CAFE_KEY_BOTH : CAFE_KEY_CLAIM);
  }
  /* Two of the first were answered, and taken over, late: they are young, wherever they lie. */
  check_unit *late = key_unit(check, CAFE_KEY_REPLY, numbered(check, 1), none, cafe_text("late"));
  late->client_key.time_ms = 1000 + OLD_KEYS;
  check_one(check, late, CAFE_UNIT_DONE);
  cafe_key_record record = check_key(check, numbered(check, 2), cafe_text("p"));
  late = key_unit(check, CAFE_KEY_CLAIM, numbered(check, 2), cafe_text("q"), none);
  late->client_key.time_ms = 1000 + OLD_KEYS;
  late->client_key.replaces = record.stream_key;
  check_one(check, late, CAFE_UNIT_DONE);

  uint64_t none_yet = forget_keys(check, 1000);
  CHECK(check, none_yet == 0, "%" PRIu64 " keys were forgotten before their time", none_yet);
  uint64_t count = forget_keys(check, 1000 + OLD_KEYS);
  CHECK(check, count == OLD_KEYS - 2, "%" PRIu64 " keys were forgotten instead of %d", count, OLD_KEYS - 2);
  for (unsigned round = 0; round < 2; round++) {
    for (uint32_t i = 0; i < OLD_KEYS + YOUNG_KEYS; i++) {
      record = check_key(check, numbered(check, i), cafe_text("p"));
      bool is_kept = i == 1 || i == 2 || i >= OLD_KEYS;
      CHECK(check, record.found == is_kept, "key %" PRIu32 " is %s", i, is_kept ? "gone" : "still there");
      CHECK(check, !is_kept || record.has_reply == (i != 2 && (i == 1 || i % (3 * AT_ONCE) >= AT_ONCE)),
            "key %" PRIu32 " has another reply", i);
    }
    check_restart(check, CAFE_STORE_CLOSED, 0);
  }
  /* Its number is anybody's again. */
  check_one(check, key_unit(check, CAFE_KEY_CLAIM, numbered(check, 0), cafe_text("x"), none), CAFE_UNIT_DONE);
  count = forget_keys(check, INT64_MAX);
  CHECK(check, count == YOUNG_KEYS + 3, "%" PRIu64 " keys were left instead of %d", count, YOUNG_KEYS + 3);
}

/*
 * Checkpoints.
 */

static check_unit *checkpoint_unit(store_check *check, const char *subscription, uint64_t log_id, uint32_t shard,
                                   int32_t partition, uint64_t expected, uint64_t n) {
  check_unit *unit = unit_new(check, check_new_key(check));
  unit_event(check, unit, 1);
  unit_checkpoint(check, unit, subscription, partition, expected, n);
  unit->checkpoints[0].log_id = log_id;
  unit->checkpoints[0].shard = shard;
  return unit;
}

static void a_checkpoint_moves_by_compare_and_set(store_check *check) {
  static const uint64_t steps[] = {0, 1, 2, 127, 128, 5, UINT64_C(1) << 31, UINT64_C(1) << 32, CAFE_KEY_MAX};
  check_begin(check);
  for (unsigned i = 1; i < sizeof(steps) / sizeof(steps[0]); i++) {
    for (unsigned k = 0; k < i; k++) {
      if (steps[k] != steps[i - 1]) {
        check_one(check, checkpoint_unit(check, "check-a", 9, 0, 0, steps[k], 77), CAFE_UNIT_CHECKPOINT_CONFLICT);
      }
    }
    check_one(check, checkpoint_unit(check, "check-a", 9, 0, 0, steps[i - 1], steps[i]), CAFE_UNIT_DONE);
    const check_found *found = check_checkpoints(check, "check-a");
    CHECK(check, found->checkpoint_count == 1 && found->checkpoints[0].n == steps[i],
          "the checkpoint isn't at %" PRIu64, steps[i]);
  }
  CHECK(check, check_log(check, 0, NULL, 100)->event_count == sizeof(steps) / sizeof(steps[0]) - 1,
        "a unit whose checkpoint conflicted wrote its event");
}

/* Each is its own by (subscription, log, shard, partition), -1 as well. */
static void checkpoints_are_kept_apart(store_check *check) {
  static const char *const names[] = {"check-a", "check-ab", "check-b"};
  static const uint64_t logs[] = {1, CAFE_KEY_MAX};
  static const int32_t partitions[] = {-1, 0, 1, 63};
  check_begin(check);
  uint64_t n = 100;
  for (unsigned i = 0; i < 48; i++) {
    check_one(check, checkpoint_unit(check, names[i % 3], logs[i / 3 % 2], i / 6 % 2, partitions[i / 12], 0, n + i),
              CAFE_UNIT_DONE);
  }
  check_restart(check, CAFE_STORE_CLOSED, 0);
  for (unsigned name = 0; name < 3; name++) {
    const check_found *found = check_checkpoints(check, names[name]);
    CHECK(check, found->checkpoint_count == 16, "%s has %" PRIu32 " checkpoints instead of 16", names[name],
          found->checkpoint_count);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < 16; i++) {
      const cafe_checkpoint *checkpoint = &found->checkpoints[i];
      unsigned at = (unsigned)(checkpoint->n - n);
      CHECK(check,
            at < 48 && at % 3 == name && strcmp(checkpoint->subscription, names[name]) == 0 &&
                checkpoint->log_id == logs[at / 3 % 2] && checkpoint->shard == at / 6 % 2 &&
                checkpoint->partition == partitions[at / 12],
            "a checkpoint of %s came back differently", names[name]);
      seen |= UINT64_C(1) << at;
    }
    CHECK(check, seen == UINT64_C(0x249249249249) << name, "a checkpoint of %s comes twice", names[name]);
  }
  CHECK(check, check_checkpoints(check, "check")->checkpoint_count == 0, "a subscription that never was has some");
}

static void checkpoints_of_a_unit_move_together(store_check *check) {
  check_begin(check);
  uint64_t key = check_new_key(check);
  check_unit *unit = unit_new(check, key);
  for (int32_t i = 0; i < 8; i++) {
    unit_checkpoint(check, unit, "check-a", i - 1, 0, 10);
  }
  check_one(check, unit, CAFE_UNIT_DONE);
  cafe_slice before = check_dump(check);
  for (unsigned wrong = 0; wrong < 8; wrong++) {
    unit = unit_new(check, key);
    for (int32_t i = 0; i < 8; i++) {
      unit_checkpoint(check, unit, "check-a", i - 1, 10, 11);
    }
    unit->checkpoints[wrong].expected = wrong % 2 ? 9 : 0;
    check_one(check, unit, CAFE_UNIT_CHECKPOINT_CONFLICT);
    CHECK_SAME(check, before, check_dump(check), "some checkpoints moved, though one conflicted");
  }
  unit->checkpoints[7].expected = 10;
  check_one(check, unit, CAFE_UNIT_DONE);
  const check_found *found = check_checkpoints(check, "check-a");
  for (uint32_t i = 0; i < found->checkpoint_count; i++) {
    CHECK(check, found->checkpoints[i].n == 11, "a checkpoint stayed behind");
  }
}

enum { CHAIN = 6 };

/* Units of one batch whose checkpoints follow one another, each with an event of its own stream. */
static void make_chain(store_check *check, check_unit *chain[CHAIN], uint64_t from) {
  for (unsigned i = 0; i < CHAIN; i++) {
    chain[i] = checkpoint_unit(check, "check-a", 9, 0, 7, from + i, from + i + 1);
  }
}

static void expect_place(store_check *check, uint64_t n, uint64_t events) {
  const check_found *found = check_checkpoints(check, "check-a");
  CHECK(check, found->checkpoint_count == 1 && found->checkpoints[0].n == n, "the checkpoint isn't at %" PRIu64, n);
  CHECK(check, check_log(check, 0, NULL, 100)->event_count == events, "there aren't %" PRIu64 " events", events);
}

/* Subscriptions have several events of a partition in one batch. What makes that safe: where one of them fails, none
 * behind it is written, each for the same reason. */
static void checkpoints_of_a_batch_are_a_chain(store_check *check) {
  check_unit *chain[CHAIN];
  check_begin(check);
  make_chain(check, chain, 0);
  const cafe_unit_result all_done[CHAIN] = {CAFE_UNIT_DONE, CAFE_UNIT_DONE, CAFE_UNIT_DONE,
                                            CAFE_UNIT_DONE, CAFE_UNIT_DONE, CAFE_UNIT_DONE};
  check_commit(check, chain, all_done, CHAIN);
  uint64_t n = CHAIN, events = CHAIN;
  expect_place(check, n, events);
  for (unsigned broken = 0; broken < CHAIN; broken++) {
    cafe_unit_result results[CHAIN];
    make_chain(check, chain, n);
    chain[broken]->events[0].version = 2; /* of a stream that has none */
    for (unsigned i = 0; i < CHAIN; i++) {
      results[i] = i < broken    ? CAFE_UNIT_DONE
                   : i == broken ? CAFE_UNIT_STREAM_CONFLICT
                                 : CAFE_UNIT_CHECKPOINT_CONFLICT;
    }
    check_commit(check, chain, results, CHAIN);
    n += broken;
    events += broken;
    expect_place(check, n, events);
  }
  check_restart(check, CAFE_STORE_CLOSED, 0);
  expect_place(check, n, events);
  make_chain(check, chain, n);
  check_commit(check, chain, all_done, CHAIN);
}

const store_check_entry store_checks_keys[] = {
    {"a_key_is_claimed_once", a_key_is_claimed_once, false, false},
    {"the_first_of_a_batch_wins_its_key", the_first_of_a_batch_wins_its_key, false, false},
    {"a_key_whose_unit_conflicted_is_free", a_key_whose_unit_conflicted_is_free, false, false},
    {"a_reply_is_kept_with_its_key", a_reply_is_kept_with_its_key, false, false},
    {"a_reply_to_a_key_that_is_gone_does_nothing", a_reply_to_a_key_that_is_gone_does_nothing, false, false},
    {"keys_are_compared_byte_by_byte", keys_are_compared_byte_by_byte, false, false},
    {"scopes_keep_keys_apart", scopes_keep_keys_apart, false, false},
    {"a_key_is_taken_over_from_what_came_to_nothing", a_key_is_taken_over_from_what_came_to_nothing, false, false},
    {"old_keys_are_forgotten_and_young_ones_stay", old_keys_are_forgotten_and_young_ones_stay, false, false},
    {"a_checkpoint_moves_by_compare_and_set", a_checkpoint_moves_by_compare_and_set, false, false},
    {"checkpoints_are_kept_apart", checkpoints_are_kept_apart, false, false},
    {"checkpoints_of_a_unit_move_together", checkpoints_of_a_unit_move_together, false, false},
    {"checkpoints_of_a_batch_are_a_chain", checkpoints_of_a_batch_are_a_chain, false, false},
    {NULL, NULL, false, false},
};
