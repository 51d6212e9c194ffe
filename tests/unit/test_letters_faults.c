/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A record is parked, and replayed or dropped, and each thing that can fail fails once: every call of the store, alone
 * and many in a row, every allocation of the node, the process before and after every commit. n = 1, 2, … until nothing
 * is hit. Then every record has had its effect once, in its order, and no letter is left.
 */
#include "failing_alloc.h"
#include "test_letters_kit.h"

typedef enum fault_kind { FAIL_CALL, FAIL_CALLS, DIE_BEFORE, DIE_AFTER, FAIL_ALLOC } fault_kind;

typedef struct script {
  kitchen *k;
  failing_alloc memory;
  const char *reader;
  bool drops;
  bool is_hit;
  uint32_t parked; /* letters that were seen parked */
} script;

static const cafe_policy *const no_policies[] = {NULL};
static const cafe_view *const no_views[] = {NULL};

/* Again until it succeeds: a fault is hit once. */
static void start(script *s) {
  kitchen *k = s->k;
  for (int tries = 0;; tries++) {
    cafe_err err = {0};
    cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
    options.loop = k->loop;
    options.store = k->store;
    options.allocator = k->allocator;
    int code = cafe_node_create(&k->node, &options, &err);
    if (!code)
      code = cafe_node_host(k->node, &k->service, &err);
    if (!code)
      code = cafe_node_employ(k->node, &k->worker, &err);
    if (!code)
      code = cafe_node_start(k->node, &err);
    if (!code)
      return;
    s->is_hit = true;
    if (tries > 60)
      fail_msg("%s", err.text);
    cafe_node_destroy(k->node);
    k->node = NULL;
    if (k->is_file) { /* it may be open */
      letters_close_store(k);
      letters_open_store(k);
    }
  }
}

/* A dead process is followed by another one. */
static void bury(script *s) {
  cafe_store_counts counts = {.size = sizeof counts};
  cafe_faulty_store_count(s->k->store, &counts);
  s->is_hit = s->is_hit || counts.faults || counts.is_dead;
  if (!counts.is_dead)
    return;
  kitchen_down(s->k);
  if (s->k->is_file) {
    letters_close_store(s->k);
    letters_open_store(s->k);
  } else {
    cafe_faulty_store_set(s->k->store, NULL);
    cafe_faulty_store_revive(s->k->store);
  }
  start(s);
}

static void rest(script *s) {
  for (int i = 0; i < 2; i++) {
    kitchen_run(s->k, MINUTE_US);
    bury(s);
  }
}

/* One parked letter is taken in hand, whatever comes of it. */
static void act(script *s) {
  letter_list list;
  letter_call made = {0};
  note other = {99};
  if (read_letters(s->k, &list))
    return;
  const stored_letter *at = list.letters;
  while (at < list.letters + list.count && at->state != CAFE_LETTER_PARKED)
    at++;
  if (at == list.letters + list.count)
    return;
  s->parked++;
  assert_true(at->key == 7 && strcmp(at->name, s->reader) == 0 && at->attempts >= 5);
  int code = s->drops ? cafe_node_drop_letter(NULL, s->k->node, 7, at->letter, "spilt", letter_answered, &made, NULL)
                      : begin_replay(s->k, &made, 7, at->letter, &other);
  if (code)
    return;
  for (int i = 0; i < 2000 && !made.times; i++)
    kitchen_run(s->k, 1000);
  bury(s); /* a call that meets a dead process is answered, too */
  assert_int_equal(made.times, 1);
}

static void check(const script *s) {
  bool is_policy = strcmp(s->reader, "fills") == 0;
  assert_true(s->parked > 0);
  assert_int_equal(dead_letters(s->k), 0);
  assert_string_equal(letters_of(s->k, s->reader), "");
  const char *others = "13 1 3", *mine = s->drops ? "1 3" : "99 1 3";
  assert_string_equal(fills_of(s->k, 107), is_policy ? mine : others);
  assert_string_equal(row_text(s->k, &lines_view, 7), is_policy ? others : mine);
  assert_string_equal(fills_of(s->k, 108), "2");
  assert_string_equal(row_text(s->k, &lines_view, 8), "2");
  assert_string_equal(fills_of(s->k, 207), others);
}

static void set_fault(script *s, fault_kind kind, uint64_t n) {
  cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
  if (kind == FAIL_CALL || kind == FAIL_CALLS)
    faults.fail_call = n;
  if (kind == FAIL_CALLS)
    faults.fail_calls = 30;
  if (kind == DIE_BEFORE)
    faults.die_before_commit = n;
  if (kind == DIE_AFTER)
    faults.die_after_commit = n;
  cafe_faulty_store_set(s->k->store, &faults);
}

/* Returns whether the fault was hit. */
static bool play(letters_store where, const char *reader, bool drops, fault_kind kind, uint64_t n) {
  script s = {.k = letters_open(where), .reader = reader, .drops = drops};
  kitchen *k = s.k;
  failing_alloc_init(&s.memory);
  k->allocator = &s.memory.allocator;
  k->service.policies = no_policies;
  k->service.views = no_views;
  kitchen_up(k);
  stir(k, 7, POISON);
  stir(k, 7, 1);
  stir(k, 8, 2);
  kitchen_down(k);
  if (k->is_file) {
    letters_close_store(k);
    letters_open_store(k);
  }
  k->service.policies = letter_policies;
  k->service.views = letter_views;
  poison_it(reader, CAFE_DENIED, -1);
  set_fault(&s, kind, n);
  s.memory.calls = 0;
  s.memory.fail_at = kind == FAIL_ALLOC ? n : 0;
  start(&s);
  rest(&s);
  for (int i = 0; i < 60 && dead_letters(k); i++) {
    act(&s);
    rest(&s);
  }
  s.is_hit = s.is_hit || s.memory.refused;
  s.memory.fail_at = 0;
  cafe_faulty_store_set(k->store, NULL);
  stir(k, 7, 3);
  letters_restart(k, true);
  kitchen_run(k, MINUTE_US);
  check(&s);
  kitchen_close(k);
  failing_alloc_end(&s.memory);
  return s.is_hit;
}

static void enumerate(fault_kind kind, uint64_t at_least) {
  static const char *const who[] = {"fills", "lines"};
  bool is_stores = kind != FAIL_ALLOC && kind != FAIL_CALLS; /* a file makes a difference, and takes its time */
  uint64_t most = 0;
  for (int i = 0; i < 4 * (is_stores ? LETTERS_STORES : IN_A_FILE); i++) {
    uint64_t n = 1;
    while (play((letters_store)(i / 4), who[i % 2], i / 2 % 2, kind, n))
      n++;
    most = n > most ? n : most;
    assert_true(n > at_least);
  }
  print_message("fault: up to %llu times\n", (unsigned long long)most - 1);
}

/* X10: parking, replaying and dropping survive each failure of the store */
static void x10_any_store_call_may_fail(void **state) {
  (void)state;
  enumerate(FAIL_CALL, 20);
}

static void any_store_call_and_those_behind_it_may_fail(void **state) {
  (void)state;
  enumerate(FAIL_CALLS, 20);
}

/* X10: and a crash before and after each commit */
static void x10_the_process_may_die_before_any_commit(void **state) {
  (void)state;
  enumerate(DIE_BEFORE, 4);
}

static void x10_the_process_may_die_after_any_commit(void **state) {
  (void)state;
  enumerate(DIE_AFTER, 4);
}

static void any_allocation_of_the_node_may_fail(void **state) {
  (void)state;
  enumerate(FAIL_ALLOC, 100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(x10_any_store_call_may_fail),
      cmocka_unit_test(any_store_call_and_those_behind_it_may_fail),
      cmocka_unit_test(x10_the_process_may_die_before_any_commit),
      cmocka_unit_test(x10_the_process_may_die_after_any_commit),
      cmocka_unit_test(any_allocation_of_the_node_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
