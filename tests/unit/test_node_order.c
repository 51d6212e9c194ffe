/* SPDX-License-Identifier: Apache-2.0 */

/* Subscriptions have their effects oldest first, whatever keys the events are of, and whatever fails meanwhile. */
#include "test_node_kit.h"

enum {
  EVENTS = 150,    /* stirred while nobody listened: by 1, 2, … */
  TARGETS = 10000, /* the policy fills key + this, by what was stirred */
  SHARED = 9000,   /* the other one, this as well */
  BY_CALLERS = 100000,
  POISON = 77,
  NEW_EVENT = EVENTS + 1
};

static const char *poison_reason;

static void fill_by_key(cafe_reaction *out, const cafe_event *event, void *user) {
  const note *data = event->data;
  (void)user;
  cafe_react(out, &Fill, TARGETS + event->key, data, sizeof *data);
  if (poison_reason && data->n == POISON)
    cafe_reaction_fail(out, CAFE_DENIED, "%s", poison_reason);
}

static void fill_two(cafe_reaction *out, const cafe_event *event, void *user) {
  const note *data = event->data;
  (void)user;
  /* Every third one asks the shared key first: it must not get ahead of those that ask it last. */
  uint64_t own = TARGETS + event->key, first = data->n % 3 ? own : SHARED;
  cafe_react(out, &Fill, first, data, sizeof *data);
  cafe_react(out, &Fill, first == own ? SHARED : own, data, sizeof *data);
}

static void close_one(cafe_reaction *out, const cafe_event *event, void *user) {
  (void)user;
  cafe_react(out, &Close, SHARED, event->data, sizeof(note));
}

static const cafe_schema *const stirred[] = {&Stirred, NULL};
static const cafe_schema *const asks_fill[] = {&Fill, NULL};
static const cafe_policy one_key = {CAFE_POLICY, "one", "kitchen", stirred, true, fill_by_key, asks_fill, NULL};
static const cafe_policy two_keys = {CAFE_POLICY, "two", "kitchen", stirred, true, fill_two, asks_fill, NULL};
static const cafe_schema *const asks_close[] = {&Close, NULL};
static const cafe_policy closing = {CAFE_POLICY, "closing", "kitchen", stirred, true, close_one, asks_close, NULL};
static const cafe_policy *const closing_policies[] = {&closing, NULL};
static const cafe_policy *const one_key_policies[] = {&one_key, NULL};
static const cafe_policy *const two_keys_policies[] = {&two_keys, NULL};

/* Its store takes its time, sometimes longer, so that reads and writes end in any order. */
static kitchen *kitchen_at_odds(uint64_t seed) {
  cafe_sim_options sim = CAFE_SIM_OPTIONS_INIT;
  kitchen *k = kitchen_open(100);
  sim.job_min_us = 20;
  sim.job_max_us = 300;
  cafe_loop_destroy(k->loop);
  assert_int_equal(cafe_sim_create(&k->loop, seed, &sim, NULL), CAFE_OK);
  return k;
}

/* Some of one partition stand together, so that those behind them are of partitions with nothing before them. */
static uint64_t key_of(int64_t n) {
  static uint64_t keys[EVENTS];
  uint64_t next = 1, together = 0;
  for (int i = 0; i < EVENTS && !keys[EVENTS - 1]; i++, next++) {
    while (i < EVENTS / 3 && cafe_partition(next) != cafe_partition(1))
      next++;
    together = next > together ? next : together;
    keys[i] = i < EVENTS / 3 ? next : together + (uint64_t)i;
  }
  return keys[n - 1];
}

static void stir_behind_its_back(kitchen *k) {
  for (int64_t n = 1; n <= EVENTS; n++) {
    note data = {n};
    cafe_slice bytes;
    cafe_arena *arena = cafe_arena_create(NULL);
    assert_int_equal(cafe_schema_encode(&bytes, arena, &Stirred, &data, NULL), CAFE_OK);
    kitchen_append(k, "jar", &Stirred, key_of(n), 1, bytes);
    cafe_arena_destroy(arena);
  }
}

/* ---- what is in the log ---- */

typedef struct filling {
  uint64_t key;
  int64_t n;
} filling;

typedef struct fillings {
  filling all[4 * EVENTS];
  uint32_t count;
} fillings;

static int see_filling(const cafe_stored_event *event, void *user) {
  fillings *self = user;
  note data;
  if (strcmp(event->type, "Filled") != 0)
    return CAFE_OK;
  assert_true(self->count < sizeof self->all / sizeof self->all[0]);
  assert_int_equal(cafe_schema_decode(&data, &Filled, event->data, NULL), CAFE_OK);
  self->all[self->count++] = (filling){event->key, data.n};
  return CAFE_OK;
}

static fillings read_fillings(kitchen *k) {
  static fillings found;
  cafe_log_query query = {.size = sizeof query, .limit = UINT32_MAX};
  found.count = 0;
  assert_int_equal(k->inner->ops->read_log(k->inner, &query, see_filling, &found, NULL), CAFE_OK);
  return found;
}

/* How often, by what the policy filled; and not after a later one, of all keys or of that one. */
static uint32_t count_in_order(const fillings *found, int64_t n, uint64_t key) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < found->count; i++) {
    if (found->all[i].n != n || (key && found->all[i].key != key))
      continue;
    count++;
    for (uint32_t before = 0; before < i; before++)
      assert_false(found->all[before].n > n && found->all[before].n < BY_CALLERS &&
                   (!key || found->all[before].key == key));
  }
  return count;
}

static void assert_once_each_in_order(kitchen *k, int64_t last) {
  fillings found = read_fillings(k);
  for (int64_t n = 1; n <= last; n++)
    assert_int_equal(count_in_order(&found, n, 0), 1);
}

/* ---- without a fault ---- */

static void what_had_to_wait_has_its_effect_oldest_first(void **state) {
  (void)state;
  for (int64_t job_us = 0; job_us <= 100; job_us += 100) {
    kitchen *k = kitchen_open(job_us);
    k->service.policies = one_key_policies;
    kitchen_up(k);
    for (int64_t n = 1; n <= EVENTS; n += 3) /* in memory: decided at once, when its turn comes */
      ask(k, &Fill, TARGETS + key_of(n), BY_CALLERS + n, NULL);
    stir_behind_its_back(k);
    ask(k, &Stir, 9001, NEW_EVENT, NULL); /* the node hears of it */
    kitchen_run(k, 1000000);
    assert_once_each_in_order(k, NEW_EVENT);
    assert_int_equal(k->warnings, 0);
    kitchen_close(k);
  }
}

static void a_batch_of_events_takes_a_few_commits(void **state) {
  (void)state;
  kitchen *k = kitchen_open(100);
  cafe_node_stats before = {.size = sizeof before}, after = {.size = sizeof after};
  k->service.policies = one_key_policies;
  kitchen_up(k);
  for (int64_t n = 1; n <= EVENTS; n++)
    ask(k, &Fill, TARGETS + key_of(n), BY_CALLERS + n, NULL);
  stir_behind_its_back(k);
  cafe_node_stats_get(k->node, &before);
  ask(k, &Stir, 9001, NEW_EVENT, NULL);
  kitchen_run(k, 1000000);
  cafe_node_stats_get(k->node, &after);
  assert_int_equal(after.units - before.units, 1 + NEW_EVENT);
  assert_in_range(after.batches - before.batches, 2, 8); /* one partition alone has fifty of them */
  kitchen_close(k);
}

/* They share no stream and no row, but they are of one partition. */
static void events_that_change_nothing_share_a_commit_too(void **state) {
  (void)state;
  kitchen *k = kitchen_open(100);
  cafe_node_stats stats = {.size = sizeof stats};
  k->service.policies = closing_policies;
  kitchen_up(k);
  stir_behind_its_back(k);
  ask(k, &Stir, 9001, NEW_EVENT, NULL);
  kitchen_run(k, 1000000);
  cafe_node_stats_get(k->node, &stats);
  assert_int_equal(stats.units, 1 + NEW_EVENT);
  assert_in_range(stats.batches, 3, 110); /* those of other partitions wait for each other, since it is one key */
  kitchen_close(k);
}

/* A caller's unit for another stream of the key is in the way: the policy's waits for it, and those behind it do. */
static void who_waits_for_a_callers_unit_is_not_overtaken(void **state) {
  (void)state;
  for (int steps = 0; steps < 60; steps++) {
    kitchen *k = kitchen_at_odds((uint64_t)steps);
    call calls[10];
    cafe_node_stats stats = {.size = sizeof stats};
    k->service.policies = one_key_policies;
    kitchen_up(k);
    for (int64_t n = 1; n <= EVENTS; n++)
      ask(k, &Fill, TARGETS + key_of(n), BY_CALLERS + n, NULL);
    stir_behind_its_back(k);
    submit(k, &calls[0], &Stir, 9001, NEW_EVENT, NULL);
    for (int i = 0; i < steps; i++)
      cafe_sim_step(k->loop);
    for (int i = 1; i < 10; i++)
      submit(k, &calls[i], &Close, TARGETS + key_of(i * 10), 1, NULL);
    kitchen_run(k, 1000000);
    for (int i = 0; i < 10; i++)
      assert_int_equal(calls[i].verdict, CAFE_ACCEPTED);
    assert_once_each_in_order(k, NEW_EVENT);
    cafe_node_stats_get(k->node, &stats);
    assert_int_equal(stats.conflicts, 0);
    kitchen_close(k);
  }
}

static void several_keys_are_asked_in_order_each(void **state) {
  (void)state;
  for (int64_t job_us = 0; job_us <= 100; job_us += 100) {
    kitchen *k = kitchen_open(job_us);
    k->service.policies = two_keys_policies;
    kitchen_up(k);
    stir_behind_its_back(k);
    ask(k, &Stir, 9001, NEW_EVENT, NULL);
    kitchen_run(k, 1000000);
    fillings found = read_fillings(k);
    assert_int_equal(found.count, 2 * NEW_EVENT);
    for (int64_t n = 1; n <= NEW_EVENT; n++)
      assert_int_equal(count_in_order(&found, n, SHARED), 1);
    kitchen_close(k);
  }
}

static void one_that_is_parked_keeps_nobody_from_his_turn(void **state) {
  (void)state;
  for (int64_t job_us = 0; job_us <= 100; job_us += 100) {
    kitchen *k = kitchen_open(job_us);
    k->service.policies = one_key_policies;
    poison_reason = "it is poison";
    kitchen_up(k);
    stir_behind_its_back(k);
    ask(k, &Stir, 9001, NEW_EVENT, NULL);
    kitchen_run(k, 60000000);
    poison_reason = NULL;
    fillings found = read_fillings(k);
    for (int64_t n = 1; n <= NEW_EVENT; n++)
      assert_int_equal(count_in_order(&found, n, 0), n != POISON);
    cafe_node_stats stats = {.size = sizeof stats};
    cafe_node_stats_get(k->node, &stats);
    assert_int_equal(stats.dead_letters, 1);
    kitchen_close(k);
  }
}

/* ---- faults ---- */

enum { CALLERS = 20 };

/* A node that has been away begins, with the fault; callers are about the same keys meanwhile. Then it begins anew,
 * without. */
typedef struct away {
  kitchen *k;
  call calls[CALLERS];
} away;

/* seed 0: its store takes no time. */
static void set_off(away *self, uint64_t seed, const cafe_policy *const *policies) {
  self->k = seed ? kitchen_at_odds(seed) : kitchen_open(0);
  kitchen_up(self->k);
  kitchen_down(self->k); /* the tables are there */
  stir_behind_its_back(self->k);
  self->k->service.policies = policies;
}

static void call_meanwhile(away *self) {
  for (int i = 0; i < CALLERS; i++)
    submit(self->k, &self->calls[i], &Fill, TARGETS + key_of(1 + i * 7), BY_CALLERS + i, NULL);
}

static void settle(away *self) {
  kitchen *k = self->k;
  kitchen_run(k, 5000000);
  cafe_faulty_store_kill(k->store);
  kitchen_down(k);
  cafe_faulty_store_set(k->store, NULL);
  cafe_faulty_store_revive(k->store);
  kitchen_up(k);
  kitchen_run(k, 5000000);
}

static void assert_callers_were_told_the_truth(const away *self, const fillings *found) {
  for (int i = 0; i < CALLERS; i++) {
    uint32_t count = 0;
    for (uint32_t at = 0; at < found->count; at++)
      count += found->all[at].n == BY_CALLERS + i;
    assert_in_range(count, self->calls[i].is_done && self->calls[i].code == CAFE_OK, 1);
  }
}

/* Returns whether the fault was met. */
static bool survive(cafe_store_faults faults, const cafe_policy *const *policies, uint64_t seed) {
  away self = {0};
  set_off(&self, seed, policies);
  kitchen *k = self.k;
  cafe_store_counts counts = {.size = sizeof counts};
  kitchen_up(k);
  call_meanwhile(&self);
  cafe_faulty_store_set(k->store, &faults);
  kitchen_run(k, 5000000);
  cafe_faulty_store_count(k->store, &counts);
  uint64_t n = faults.fail_call ? faults.fail_call : faults.die_before_commit + faults.die_after_commit;
  bool is_met = (faults.fail_call ? counts.calls : counts.commits) >= n;
  settle(&self);
  fillings found = read_fillings(k);
  for (int64_t i = 1; i <= EVENTS; i++) {
    bool is_one = policies == one_key_policies;
    uint32_t own = count_in_order(&found, i, is_one ? 0 : TARGETS + key_of(i));
    uint32_t last = is_one || i % 3 == 0 ? own : count_in_order(&found, i, SHARED);
    assert_int_equal(last, 1);
    assert_in_range(own, 1, is_one ? 1 : 3); /* the other key may be asked again */
  }
  assert_callers_were_told_the_truth(&self, &found);
  kitchen_close(k);
  return is_met;
}

typedef enum fault_kind { FAIL_CALL, FAIL_CALLS, DIE_BEFORE, DIE_AFTER, FAULT_KINDS } fault_kind;

static void enumerate(const cafe_policy *const *policies) {
  for (int kind = 0; kind < FAULT_KINDS; kind++) {
    for (uint64_t is_slow = 0; is_slow <= 1; is_slow++) {
      uint64_t n = 1;
      for (bool is_met = true; is_met; n++) {
        cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
        faults.fail_call = kind <= FAIL_CALLS ? n : 0;
        faults.fail_calls = kind == FAIL_CALLS ? 7 : 0;
        faults.die_before_commit = kind == DIE_BEFORE ? n : 0;
        faults.die_after_commit = kind == DIE_AFTER ? n : 0;
        is_met = survive(faults, policies, is_slow * n);
      }
      assert_true(n > 4);
    }
  }
}

static void any_store_call_may_fail_and_the_process_die_at_any_commit(void **state) {
  (void)state;
  enumerate(one_key_policies);
}

static void the_same_where_several_keys_are_asked(void **state) {
  (void)state;
  enumerate(two_keys_policies);
}

/* Another writer was first, at one key in three: those units fail alone, in the middle of their batches. */
static void units_behind_one_that_conflicts_are_not_lost_and_not_done_twice(void **state) {
  (void)state;
  bool has_conflicted = false;
  static const cafe_policy *const *const both[] = {one_key_policies, two_keys_policies};
  for (int steps = 0; steps < 120; steps++) {
    away self = {0};
    set_off(&self, 1 + (uint64_t)steps, both[steps % 2]);
    kitchen *k = self.k;
    kitchen_up(k);
    for (int i = 0; i < steps; i++)
      cafe_sim_step(k->loop);
    for (int64_t n = 2; n <= EVENTS; n += 3) {
      note data = {BY_CALLERS + n};
      cafe_slice bytes;
      cafe_arena *arena = cafe_arena_create(NULL);
      assert_int_equal(cafe_schema_encode(&bytes, arena, &Filled, &data, NULL), CAFE_OK);
      uint64_t key = TARGETS + key_of(n);
      kitchen_append(k, "jar", &Filled, key, stored(k, key, &Filled) + 1, bytes);
      cafe_arena_destroy(arena);
    }
    kitchen_run(k, 60000000);
    cafe_node_stats stats = {.size = sizeof stats};
    cafe_node_stats_get(k->node, &stats);
    has_conflicted = has_conflicted || stats.conflicts;
    fillings found = read_fillings(k);
    for (int64_t n = 1; n <= EVENTS; n++) {
      uint32_t own = count_in_order(&found, n, TARGETS + key_of(n));
      bool is_last = steps % 2 == 0 || n % 3 == 0;
      assert_in_range(own, 1, is_last ? 1 : 100);
      if (!is_last)
        assert_int_equal(count_in_order(&found, n, SHARED), 1);
    }
    kitchen_close(k);
  }
  assert_true(has_conflicted);
}

static void drained(const cafe_err *err, void *user) { *(bool *)user = err == NULL; }

static void what_a_drain_leaves_is_the_next_starts(void **state) {
  static const cafe_policy *const *const both[] = {one_key_policies, two_keys_policies};
  (void)state;
  for (int steps = 0; steps < 80; steps++) {
    away self = {0};
    bool is_drained = false;
    set_off(&self, steps % 4 < 2 ? (uint64_t)steps : 0, both[steps % 2]);
    kitchen *k = self.k;
    kitchen_up(k);
    for (int i = 0; i < steps; i++)
      cafe_sim_step(k->loop);
    assert_int_equal(cafe_node_drain(k->node, drained, &is_drained, NULL), CAFE_OK);
    kitchen_run(k, 1000000);
    assert_true(is_drained);
    kitchen_down(k);
    kitchen_up(k);
    kitchen_run(k, 1000000);
    fillings found = read_fillings(k);
    for (int64_t n = 1; n <= EVENTS; n++) {
      assert_int_equal(count_in_order(&found, n, TARGETS + key_of(n)), 1);
      if (steps % 2)
        assert_int_equal(count_in_order(&found, n, SHARED), 1); /* what was begun was finished */
      else
        assert_int_equal(count_in_order(&found, n, 0), 1);
    }
    kitchen_close(k);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_had_to_wait_has_its_effect_oldest_first),
      cmocka_unit_test(a_batch_of_events_takes_a_few_commits),
      cmocka_unit_test(events_that_change_nothing_share_a_commit_too),
      cmocka_unit_test(who_waits_for_a_callers_unit_is_not_overtaken),
      cmocka_unit_test(several_keys_are_asked_in_order_each),
      cmocka_unit_test(one_that_is_parked_keeps_nobody_from_his_turn),
      cmocka_unit_test(any_store_call_may_fail_and_the_process_die_at_any_commit),
      cmocka_unit_test(the_same_where_several_keys_are_asked),
      cmocka_unit_test(units_behind_one_that_conflicts_are_not_lost_and_not_done_twice),
      cmocka_unit_test(what_a_drain_leaves_is_the_next_starts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
