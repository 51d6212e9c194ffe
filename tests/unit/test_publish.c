/* SPDX-License-Identifier: Apache-2.0 */

/* What peers are handed of the log: every event once and in order, by as few reads as it takes. */
#include "cafe/sys/transport.h"
#include "failing_alloc.h"
#include "test_node_kit.h"

/* ---- a transport that keeps what the node offers, and does nothing by itself ---- */

typedef struct desk {
  cafe_transport base;
  cafe_server *server;
} desk;

static int desk_open(cafe_transport *self, cafe_loop *loop, const char *const *services, cafe_server *server,
                     cafe_err *err) {
  (void)loop, (void)services, (void)err;
  ((desk *)self)->server = server;
  return CAFE_OK;
}
static void desk_close(cafe_transport *self) { ((desk *)self)->server = NULL; }

static const cafe_transport_ops desk_ops = {.size = sizeof desk_ops, .open = desk_open, .close = desk_close};

static void up(kitchen *k, desk *d) {
  cafe_err err = {0};
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  d->base.ops = &desk_ops;
  options.loop = k->loop;
  options.store = k->store;
  options.transport = &d->base;
  options.allocator = k->allocator;
  if (cafe_node_create(&k->node, &options, &err) || cafe_node_host(k->node, &k->service, &err) ||
      cafe_node_employ(k->node, &k->worker, &err) || cafe_node_start(k->node, &err))
    fail_msg("%s", err.text);
}

/* The tables are made, and so many events are in the log: Filled of key n at position n. */
static kitchen *with_events(uint64_t count, int64_t job_us, cafe_slice data) {
  kitchen *k = kitchen_open(job_us);
  kitchen_up(k);
  kitchen_down(k);
  for (uint64_t n = 1; n <= count; n++)
    kitchen_append(k, "jar", &Filled, n, 1, data);
  return k;
}

/* ---- a pull ---- */

enum { KEPT = 4096 };

typedef struct taker {
  cafe_pull pull;
  uint32_t answers;
  int code;
  uint32_t count; /* of all answers */
  uint64_t n[KEPT], key[KEPT];
  uint64_t scanned, head;
  uint32_t last_count;
} taker;

static const char *const all_types[] = {"Filled",    "Asked",         "Answered", "BrewAsked", "Stirred",
                                        "BrewEnded", "BrewForgotten", "Closed",   NULL};
static const char *const filled_only[] = {"Filled", NULL};

static void take(cafe_pull *pull, const cafe_err *err, uint64_t log_id, const cafe_stored_event *events, uint32_t count,
                 uint64_t scanned, uint64_t head) {
  taker *self = pull->transport_data[0];
  self->answers++;
  self->code = err ? err->code : CAFE_OK;
  if (err)
    return;
  for (uint32_t i = 0; i < count && self->count < KEPT; i++) {
    self->n[self->count] = events[i].n;
    self->key[self->count++] = events[i].key;
    assert_string_equal(events[i].aggregate, "jar");
  }
  pull->after = scanned;
  pull->log_id = log_id;
  self->last_count = count;
  self->scanned = scanned;
  self->head = head;
}

static void begin(taker *self, const char *const *types) {
  memset(self, 0, sizeof *self);
  self->pull = (cafe_pull){.size = sizeof self->pull, .types = types, .answer = take, .transport_data = {self}};
}

static void pull(desk *d, taker *self) { d->server->ops->pull(d->server, &self->pull); }

static void pull_and_wait(kitchen *k, desk *d, taker *self) {
  uint32_t before = self->answers;
  pull(d, self);
  for (int i = 0; i < 1000 && self->answers == before; i++)
    kitchen_run(k, 1000);
  assert_int_equal(self->answers, before + 1);
}

static void count_anew(kitchen *k) { cafe_faulty_store_set(k->store, NULL); }

/* Calls of the store that aren't commits. */
static uint64_t reads(kitchen *k) {
  cafe_store_counts counts = {.size = sizeof counts};
  cafe_faulty_store_count(k->store, &counts);
  return counts.calls - counts.commits;
}

/* ---- the end of the log ---- */

static void what_was_committed_a_moment_ago_is_handed_out_without_a_read(void **state) {
  static taker one, other;
  desk d = {0};
  kitchen *k = with_events(0, 100, no_data);
  up(k, &d);
  begin(&one, all_types);
  begin(&other, filled_only);
  other.pull.partitions = UINT64_C(1) << cafe_partition(7);
  pull(&d, &one);
  pull(&d, &other);
  ask(k, &Fill, 7, 1, NULL);
  ask(k, &Stir, 7, 1, NULL);
  ask(k, &Fill, 8, 1, NULL); /* their keys are loaded */
  ask(k, &Fill, 7, 2, NULL);
  count_anew(k);
  pull_and_wait(k, &d, &one);
  pull_and_wait(k, &d, &other);
  assert_int_equal(reads(k), 0);
  assert_int_equal(one.count, 4);
  for (uint64_t i = 0; i < 4; i++)
    assert_int_equal(one.n[i], i + 1);
  assert_int_equal(other.count, 2); /* not what was stirred, nor what is of the other partition */
  assert_int_equal(other.n[0], 1);
  assert_int_equal(other.n[1], 4);
  assert_int_equal(other.scanned, 4);
  kitchen_close(k);
}

static void who_has_fallen_behind_the_end_reads(void **state) {
  enum { FILLS = 5000 }; /* more than are held */
  static taker one;
  desk d = {0};
  kitchen *k = with_events(0, 100, no_data);
  up(k, &d);
  begin(&one, all_types);
  pull(&d, &one);
  for (int i = 0; i < FILLS; i++)
    ask(k, &Fill, 7, 1, NULL);
  while (one.scanned < FILLS && one.count < KEPT)
    pull_and_wait(k, &d, &one);
  for (uint32_t i = 0; i < one.count; i++)
    assert_int_equal(one.n[i], i + 1);
  assert_int_equal(one.count, KEPT);
  kitchen_close(k);
}

static void a_position_that_another_wrote_begins_the_end_anew(void **state) {
  static taker one;
  desk d = {0};
  kitchen *k = with_events(0, 100, no_data);
  up(k, &d);
  begin(&one, all_types);
  pull(&d, &one);
  ask(k, &Fill, 7, 1, NULL);
  kitchen_append(k, "jar", &Filled, 8, 1, no_data);
  ask(k, &Fill, 7, 2, NULL);
  while (one.scanned < 3)
    pull_and_wait(k, &d, &one);
  assert_int_equal(one.count, 3);
  assert_int_equal(one.key[1], 8);
  kitchen_close(k);
}

/* ---- further back ---- */

/* What is held of the log is bounded by bytes too, whatever a single event has. */
static void an_event_that_is_too_large_is_read(void **state) {
  (void)state;
  static char trace[200000];
  static taker one;
  desk d = {0};
  kitchen *k = with_events(0, 100, no_data);
  note wanted = {1};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  memset(trace, 'x', sizeof trace);
  submit.command = &Fill;
  submit.key = 7;
  submit.data = &wanted;
  submit.data_size = sizeof wanted;
  submit.trace = (cafe_slice){trace, sizeof trace};
  up(k, &d);
  begin(&one, all_types);
  pull(&d, &one);
  ask(k, &Fill, 7, 1, NULL);
  assert_int_equal(one.count, 1);
  assert_int_equal(cafe_node_submit(NULL, k->node, &submit, NULL, NULL, NULL), CAFE_OK);
  kitchen_run(k, 10000);
  count_anew(k);
  pull_and_wait(k, &d, &one);
  assert_int_equal(reads(k), 1);
  assert_int_equal(one.scanned, 2);
  ask(k, &Fill, 7, 1, NULL);
  count_anew(k);
  pull_and_wait(k, &d, &one);
  assert_int_equal(reads(k), 0); /* the end begins anew behind it */
  assert_int_equal(one.scanned, 3);
  kitchen_close(k);
}

static void those_who_come_the_same_way_share_a_read(void **state) {
  static taker takers[3], later, other;
  desk d = {0};
  kitchen *k = with_events(300, 100, no_data);
  up(k, &d);
  kitchen_run(k, 10000);
  count_anew(k);
  for (int i = 0; i < 3; i++) {
    begin(&takers[i], all_types);
    pull(&d, &takers[i]);
  }
  kitchen_run(k, 10000);
  begin(&later, all_types);
  later.pull.after = 100;
  pull_and_wait(k, &d, &later);
  assert_int_equal(reads(k), 1);
  begin(&other, filled_only);
  pull_and_wait(k, &d, &other);
  assert_int_equal(reads(k), 2);
  for (int i = 0; i < 3; i++)
    assert_int_equal(takers[i].count, 300);
  assert_int_equal(later.count, 200);
  assert_int_equal(later.n[0], 101);
  assert_int_equal(other.count, 300);
  kitchen_close(k);
}

static void who_is_behind_finds_the_next_piece_read(void **state) {
  static taker one;
  desk d = {0};
  kitchen *k = with_events(2000, 100, no_data);
  up(k, &d);
  kitchen_run(k, 10000);
  count_anew(k);
  begin(&one, all_types);
  pull_and_wait(k, &d, &one);
  kitchen_run(k, 100000);
  assert_int_equal(one.scanned, 512);
  assert_int_equal(reads(k), 2); /* it, and the one behind it; no further, whoever may come */
  while (one.scanned < 2000)
    pull_and_wait(k, &d, &one);
  assert_int_equal(reads(k), 4);
  assert_int_equal(one.count, 2000);
  for (uint32_t i = 0; i < one.count; i++)
    assert_int_equal(one.n[i], i + 1);
  kitchen_close(k);
}

static void a_store_that_doesnt_block_is_read_when_it_is_asked(void **state) {
  static taker one;
  desk d = {0};
  kitchen *k = with_events(2000, 0, no_data);
  up(k, &d);
  kitchen_run(k, 10000);
  count_anew(k);
  begin(&one, all_types);
  pull_and_wait(k, &d, &one);
  assert_int_equal(reads(k), 1);
  kitchen_close(k);
}

static void an_answer_has_no_more_than_was_asked_for(void **state) {
  static taker one;
  desk d = {0};
  kitchen *k = with_events(20, 100, no_data);
  up(k, &d);
  begin(&one, all_types);
  one.pull.limit = 3;
  for (int i = 0; i < 7; i++)
    pull_and_wait(k, &d, &one);
  assert_int_equal(one.count, 20);
  assert_int_equal(one.last_count, 2);
  for (uint32_t i = 0; i < one.count; i++)
    assert_int_equal(one.n[i], i + 1);
  kitchen_close(k);
}

static void a_read_stops_by_bytes_too(void **state) {
  static char bytes[50000];
  static taker one;
  desk d = {0};
  kitchen *k = with_events(10, 100, (cafe_slice){bytes, sizeof bytes});
  up(k, &d);
  begin(&one, all_types);
  pull_and_wait(k, &d, &one);
  assert_int_equal(one.count, 3);
  assert_int_equal(one.scanned, 3);
  assert_int_equal(one.head, 10);
  while (one.scanned < 10)
    pull_and_wait(k, &d, &one);
  assert_int_equal(one.count, 10);
  kitchen_close(k);
}

/* ---- who is gone, what fails ---- */

static void who_is_forgotten_isnt_answered(void **state) {
  static taker reading, waiting;
  desk d = {0};
  kitchen *k = with_events(20, 1000, no_data);
  up(k, &d);
  kitchen_run(k, 10000);
  begin(&reading, all_types);
  begin(&waiting, filled_only);
  waiting.pull.after = 20;
  pull(&d, &reading);
  pull(&d, &waiting);
  kitchen_run(k, 500); /* the read is under way */
  d.server->ops->forget_pull(d.server, &reading.pull);
  d.server->ops->forget_pull(d.server, &waiting.pull);
  ask(k, &Fill, 30, 1, NULL);
  kitchen_run(k, 10000);
  assert_int_equal(reading.answers + waiting.answers, 0);
  pull_and_wait(k, &d, &reading);
  pull(&d, &waiting);
  kitchen_down(k); /* while one is under way */
  assert_int_equal(reading.count, 20);
  kitchen_close(k);
}

static void a_read_that_fails_fails_all_who_wait_for_it(void **state) {
  static taker takers[2];
  desk d = {0};
  kitchen *k = with_events(20, 100, no_data);
  up(k, &d);
  kitchen_run(k, 10000);
  fail_call(k, 1, 1);
  for (int i = 0; i < 2; i++) {
    begin(&takers[i], all_types);
    pull(&d, &takers[i]);
  }
  kitchen_run(k, 10000);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(takers[i].answers, 1);
    assert_int_not_equal(takers[i].code, CAFE_OK);
    pull_and_wait(k, &d, &takers[i]);
    assert_int_equal(takers[i].count, 20);
  }
  kitchen_close(k);
}

/* False: there was no memory for it. */
static bool may_fill(kitchen *k, uint64_t key) {
  static const note one = {1};
  cafe_submit asked = CAFE_SUBMIT_INIT;
  call filled = {0};
  asked.command = &Fill;
  asked.key = key;
  asked.data = &one;
  asked.data_size = sizeof one;
  if (cafe_node_submit(NULL, k->node, &asked, call_answered, &filled, NULL))
    return false;
  kitchen_run(k, 100000);
  assert_true(filled.is_done);
  return filled.code == CAFE_OK;
}

static void memory_that_is_refused_costs_an_answer_and_no_event(void **state) {
  failing_alloc memory;
  for (size_t n = 1;; n++) {
    static taker one;
    desk d = {0};
    failing_alloc_init(&memory);
    kitchen *k = with_events(700, 100, no_data);
    k->allocator = &memory.allocator;
    up(k, &d);
    kitchen_run(k, 10000);
    begin(&one, all_types);
    memory.fail_at = memory.calls + n;
    for (int i = 0; i < 10 && one.scanned < 700; i++)
      pull_and_wait(k, &d, &one);
    bool is_filled = may_fill(k, 1000);
    for (int i = 0; i < 10 && is_filled && one.scanned < 701; i++)
      pull_and_wait(k, &d, &one);
    int was_refused = memory.refused;
    assert_int_equal(one.count, is_filled ? 701 : 700);
    for (uint32_t i = 0; i < one.count; i++)
      assert_int_equal(one.n[i], i + 1);
    kitchen_down(k);
    failing_alloc_end(&memory);
    kitchen_close(k);
    if (!was_refused)
      break;
    assert_in_range(n, 1, 1000);
  }
}

/* ---- commits that nobody waits for ---- */

static uint64_t commits(kitchen *k) {
  cafe_store_counts counts = {.size = sizeof counts};
  cafe_faulty_store_count(k->store, &counts);
  return counts.commits;
}

static cafe_task *brew(kitchen *k, uint64_t key) {
  assert_int_equal(ask(k, &Brew, key, 1, NULL).code, CAFE_OK);
  for (int i = 0; i < 100 && (!k->task || k->task->key != key); i++)
    kitchen_run(k, 1000);
  assert_non_null(k->task);
  return k->task;
}

static void end_brew(cafe_task *task) {
  static const note end = {1};
  cafe_task_settle(task, &Finish, &end, sizeof end);
}

static void what_nobody_waits_for_waits_for_company_and_takes_it_along(void **state) {
  kitchen *k = kitchen_open(100);
  kitchen_up(k);
  cafe_task *first = brew(k, 7), *second = brew(k, 8), *third = brew(k, 9);
  kitchen_run(k, 10000000); /* the wakes are put right */
  count_anew(k);
  end_brew(first);
  kitchen_run(k, 600);
  end_brew(second);
  kitchen_run(k, 300);
  assert_int_equal(commits(k), 0);
  kitchen_run(k, 300);
  assert_int_equal(commits(k), 1);
  assert_int_equal(stored(k, 7, &BrewEnded) + stored(k, 8, &BrewEnded), 2);
  kitchen_run(k, 10000);
  count_anew(k);
  end_brew(third);
  kitchen_run(k, 100);
  call asked;
  submit(k, &asked, &Fill, 7, 1, NULL);
  kitchen_run(k, 250);
  assert_true(asked.is_done); /* who waits isn't kept waiting */
  assert_int_equal(commits(k), 1);
  assert_int_equal(stored(k, 9, &BrewEnded), 1);
  kitchen_close(k);
}

/* A clock that goes on at each look, as a real one does: sometimes past the end of the wait, between two looks. */
static int64_t (*now_of_sim)(cafe_loop *loop);
static int64_t looked_us;

static int64_t now_at_each_look(cafe_loop *loop) {
  int64_t now_us = now_of_sim(loop);
  looked_us = now_us > looked_us + 90 ? now_us : looked_us + 90;
  return looked_us;
}

static void a_clock_that_goes_on_while_it_is_looked_at_leaves_nothing_waiting(void **state) {
  enum { KEYS = 100 };
  kitchen *k = kitchen_open(100);
  cafe_loop_ops ops = *k->loop->ops;
  const cafe_loop_ops *own = k->loop->ops;
  now_of_sim = own->now_us;
  looked_us = 0;
  ops.now_us = now_at_each_look;
  k->loop->ops = &ops;
  kitchen_up(k);
  for (uint64_t key = 1; key <= KEYS; key++) {
    cafe_task *first = brew(k, key), *second = brew(k, KEYS + key);
    kitchen_run(k, 5000000); /* nothing else is due any more */
    end_brew(first);
    kitchen_run(k, (int64_t)key * 10);
    end_brew(second); /* a turn, at about the time when the wait is over */
    kitchen_run(k, 100000);
    assert_int_equal(stored(k, key, &BrewEnded) + stored(k, KEYS + key, &BrewEnded), 2);
  }
  kitchen_down(k);
  k->loop->ops = own;
  kitchen_close(k);
}

static void a_close_doesnt_wait_for_company(void **state) {
  kitchen *k = kitchen_open(100);
  kitchen_up(k);
  cafe_task *task = brew(k, 7);
  end_brew(task);
  kitchen_run(k, 200);
  kitchen_down(k);
  assert_int_equal(stored(k, 7, &BrewEnded), 1);
  kitchen_close(k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_was_committed_a_moment_ago_is_handed_out_without_a_read),
      cmocka_unit_test(who_has_fallen_behind_the_end_reads),
      cmocka_unit_test(a_position_that_another_wrote_begins_the_end_anew),
      cmocka_unit_test(an_event_that_is_too_large_is_read),
      cmocka_unit_test(those_who_come_the_same_way_share_a_read),
      cmocka_unit_test(who_is_behind_finds_the_next_piece_read),
      cmocka_unit_test(a_store_that_doesnt_block_is_read_when_it_is_asked),
      cmocka_unit_test(an_answer_has_no_more_than_was_asked_for),
      cmocka_unit_test(a_read_stops_by_bytes_too),
      cmocka_unit_test(who_is_forgotten_isnt_answered),
      cmocka_unit_test(a_read_that_fails_fails_all_who_wait_for_it),
      cmocka_unit_test(memory_that_is_refused_costs_an_answer_and_no_event),
      cmocka_unit_test(what_nobody_waits_for_waits_for_company_and_takes_it_along),
      cmocka_unit_test(a_clock_that_goes_on_while_it_is_looked_at_leaves_nothing_waiting),
      cmocka_unit_test(a_close_doesnt_wait_for_company),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
