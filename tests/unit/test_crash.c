/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The enumeration of testing/crash.h: a rental that is right passes every fault there is, and each planted mistake is
 * found, told by the moment at which it shows, and found again by that word alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cafe/store/sqlite.h"
#include "cafe/sys/loop.h"
#include "cafe/testing/crash.h"
#include "failing_alloc.h"
#include "locker.h"

/* ---- three rentals: one goes well, one card is declined, one lock is stuck ---- */

enum { KIM = 1, POOR = 2, UNLUCKY = 3 };

typedef struct world {
  const cafe_service *services[2]; /* by node; on one node: both */
  uint32_t hosted, ended, killed;
  cafe_crash_worker terminal;
} world;

static bool is_done(const card_task *task) { return task->amount_minor < 1000; }

static void record(cafe_reaction *out, const cafe_task *task, void *user) {
  const card_task *asked = task->data;
  record_card answer = {asked->operation, is_done(asked)};
  cafe_react(out, &record_card_type, task->key, &answer, sizeof answer);
}

static void decline(cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user) {
  record_card answer = {((const card_task *)task->data)->operation, false};
  cafe_react(out, &record_card_type, task->key, &answer, sizeof answer);
}

static const cafe_crash_worker terminal = {.size = CAFE_CRASH_WORKER,
                                           .task = &card_task_type,
                                           .retry = {100, 1000, 0, 500, {0, 0}},
                                           .delay_ms = 20,
                                           .jitter_ms = 5,
                                           .settle = record};

static int host(cafe_crash *run, cafe_node *node, uint32_t index, cafe_err *err, void *user) {
  world *self = user;
  self->hosted++;
  int code = cafe_node_host(node, self->services[index], err);
  bool has_till = index == 1 || !self->services[1];
  return code || !has_till ? code : cafe_crash_employ(run, node, &self->terminal, err);
}

static void ended(cafe_crash *run, uint32_t index, bool was_killed, void *user) {
  world *self = user;
  assert_null(cafe_crash_node(run, index));
  self->ended++;
  self->killed += was_killed;
}

static bool rent(cafe_crash *run, uint64_t key, const char *guest, int64_t fee_minor) {
  const cafe_crash_answer *answer =
      cafe_crash_ask(run, guest, key, CAFE_DATA(hold_locker_type, hold_locker, cafe_text(guest), fee_minor));
  return answer && answer->verdict != CAFE_REFUSED;
}

static void drive(cafe_crash *run, void *user) {
  if (!rent(run, KIM, "kim", 500) || !cafe_crash_pass(run, 30))
    return;
  cafe_crash_send(run, "poor", POOR, CAFE_DATA(hold_locker_type, hold_locker, cafe_text("poor"), 5000));
  rent(run, UNLUCKY, "unlucky", 700);
  cafe_crash_pass(run, 100);
}

static bool check(cafe_crash *run, void *user) {
  const locker *held = cafe_crash_state(run, &locker_aggregate, UNLUCKY);
  if (!held || held->guest.size)
    return cafe_crash_wrong(run, "the stuck locker is still held");
  return cafe_crash_happened(run, &locker_aggregate, KIM,
                             CAFE_FACTS(CAFE_FACT(locker_held_type, locker_held, cafe_text("kim"), 500),
                                        {.type = &locker_opened_type}, {.type = &locker_freed_type})) &&
         cafe_crash_happened(run, &till_aggregate, KIM,
                             CAFE_FACTS({.type = &card_asked_type}, CAFE_FACT(card_charged_type, card_charged, 500))) &&
         cafe_crash_happened(run, &till_aggregate, UNLUCKY,
                             CAFE_FACTS({.type = &card_asked_type}, {.type = &card_charged_type},
                                        {.type = &card_asked_type}, {.type = &card_refunded_type})) &&
         cafe_crash_stands(run, &rental_saga, KIM, "ended", "") &&
         cafe_crash_stands(run, &rental_saga, POOR, "undone", "") &&
         cafe_crash_stands(run, &rental_saga, UNLUCKY, "undone", "") && cafe_crash_did_once(run, &card_task_type);
}

static world one_node(void) { return (world){{&locker_service, NULL}, 0, 0, 0, terminal}; }

static cafe_crash_scenario scenario_of(world *self) {
  return (cafe_crash_scenario){.size = CAFE_CRASH_SCENARIO,
                               .nodes = self->services[1] ? 2 : 1,
                               .host = host,
                               .ended = ended,
                               .drive = drive,
                               .check = check,
                               .user = self};
}

/* The lockers on one node, the till on another. */
static const cafe_aggregate *const lockers[] = {&locker_aggregate, NULL};
static const cafe_aggregate *const tills[] = {&till_aggregate, NULL};
static const cafe_saga *const sagas[] = {&rental_saga, NULL};
static const char *const till_services[] = {"tills"};
static const cafe_service locker_side = {.size = CAFE_SERVICE,
                                         .name = "lockers",
                                         .aggregates = lockers,
                                         .sagas = sagas,
                                         .remotes = tills,
                                         .remote_services = till_services};
static const cafe_service till_side = {.size = CAFE_SERVICE, .name = "tills", .aggregates = tills};

static world two_nodes(void) { return (world){{&locker_side, &till_side}, 0, 0, 0, terminal}; }

static void passes(const cafe_crash_scenario *scenario, const cafe_crash_options *options, cafe_crash_report *out) {
  *out = (cafe_crash_report)CAFE_CRASH_REPORT_INIT;
  if (!cafe_crash_enumerate(out, scenario, options))
    fail_msg("%s", out->why);
  assert_true(out->is_well);
  assert_string_equal(out->why, "");
}

static void every_fault_is_survived(void **state) {
  world self = one_node();
  cafe_crash_scenario scenario = scenario_of(&self);
  cafe_crash_options options = CAFE_CRASH_OPTIONS_INIT;
  for (int i = 0; i < 2; i++) {
    cafe_crash_report report;
    options.is_inline = i;
    passes(&scenario, &options, &report);
    print_message("crash: %llu runs, hit", (unsigned long long)report.runs);
    for (int kind = CAFE_CRASH_BEFORE_COMMIT; kind < CAFE_CRASH_RANDOM; kind++) {
      print_message(" %llu", (unsigned long long)report.hits[kind]);
      assert_true(report.hits[kind] > 5);
    }
    print_message("\n");
    assert_int_equal(report.hits[CAFE_CRASH_RANDOM], 0);
  }
  assert_true(self.killed > 20);
  assert_int_equal(self.hosted, self.ended);
}

static void every_fault_of_each_of_two_nodes_is_survived(void **state) {
  world self = two_nodes();
  cafe_crash_scenario scenario = scenario_of(&self);
  cafe_crash_report report;
  passes(&scenario, NULL, &report);
  for (int kind = CAFE_CRASH_BEFORE_COMMIT; kind < CAFE_CRASH_RANDOM; kind++)
    assert_true(report.hits[kind] > 20);
  print_message("crash: %llu runs of two nodes\n", (unsigned long long)report.runs);
}

static void random_runs_are_survived_and_differ(void **state) {
  world one = one_node(), two = two_nodes();
  cafe_crash_scenario scenarios[] = {scenario_of(&one), scenario_of(&two)};
  cafe_crash_options options = CAFE_CRASH_OPTIONS_INIT;
  options.kinds = 1u << CAFE_CRASH_RANDOM;
  options.random_runs = getenv("CAFE_FULL") ? 3000 : 150;
  for (int i = 0; i < 2; i++) {
    cafe_crash_report report;
    options.seed = (uint64_t)i * 10000;
    passes(&scenarios[i], &options, &report);
    assert_int_equal(report.runs, options.random_runs + 1);
    assert_true(report.hits[CAFE_CRASH_RANDOM] > options.random_runs / 2);
  }
}

/* The outside world fails, and forgets to answer. */
static void a_bad_line_is_survived(void **state) {
  world self = one_node();
  cafe_crash_scenario scenario = scenario_of(&self);
  cafe_crash_options options = CAFE_CRASH_OPTIONS_INIT;
  cafe_crash_report report;
  options.kinds = 1u << CAFE_CRASH_BEFORE_COMMIT | 1u << CAFE_CRASH_AFTER_COMMIT;
  self.terminal.fail_first = 1;
  self.terminal.lose_first = 2;
  passes(&scenario, &options, &report);
}

/* ---- mistakes ---- */

/* Fails as it should, and does so again by its word alone. Returns where. */
static cafe_crash_report fails(const cafe_crash_scenario *scenario, const cafe_crash_options *options,
                               const char *begins, const char *says) {
  cafe_crash_report report = CAFE_CRASH_REPORT_INIT, again = CAFE_CRASH_REPORT_INIT;
  assert_false(cafe_crash_enumerate(&report, scenario, options));
  assert_false(report.is_well);
  if (strncmp(report.why, begins, strlen(begins)) != 0 || !strstr(report.why, says))
    fail_msg("wanted \"%s\" and \"%s\", got %s", begins, says, report.why);
  cafe_crash_options alone = CAFE_CRASH_OPTIONS_INIT;
  if (options)
    alone = *options;
  alone.only = report.word;
  assert_false(cafe_crash_enumerate(&again, scenario, &alone));
  assert_string_equal(again.why, report.why);
  assert_int_equal(again.runs, 1);
  assert_int_equal(again.kind, report.kind);
  return report;
}

static void a_worker_that_is_not_idempotent_is_found(void **state) {
  world self = one_node();
  cafe_crash_scenario scenario = scenario_of(&self);
  self.terminal.is_forgetful = true;
  cafe_crash_report report = fails(&scenario, NULL, "the process died before commit ",
                                   ": CardTask 1 of key 1 was done 2 times, and asked for 2 times");
  assert_int_equal(report.kind, CAFE_CRASH_BEFORE_COMMIT);
  assert_true(report.n > 1);
  cafe_crash_options options = CAFE_CRASH_OPTIONS_INIT;
  options.kinds = 1u << CAFE_CRASH_RANDOM;
  options.random_runs = 1000;
  report = fails(&scenario, &options, "several faults, drawn by seed ", "was done ");
  assert_int_equal(report.kind, CAFE_CRASH_RANDOM);
}

static cafe_verdict decides_as_before(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  return till_aggregate.decide(out, state, command, NULL);
}

/* Whatever was given back is given back again. */
static cafe_verdict refunds_each_time(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  const till *self = state;
  if (command->type != &refund_card_type || self->running == CARD_REFUND)
    return decides_as_before(out, state, command, user);
  cafe_emit(out, &card_asked_type, &(card_asked){CARD_REFUND, self->charged_minor}, sizeof(card_asked));
  return CAFE_PENDING;
}

static void a_compensation_that_is_not_repeatable_is_found(void **state) {
  cafe_aggregate wrong = till_aggregate;
  wrong.decide = refunds_each_time;
  const cafe_aggregate *wrong_tills[] = {&wrong, NULL};
  cafe_service wrong_lockers = locker_side, wrong_side = till_side;
  wrong_lockers.remotes = wrong_tills;
  wrong_side.aggregates = wrong_tills;
  world self = two_nodes();
  self.services[0] = &wrong_lockers;
  self.services[1] = &wrong_side;
  cafe_crash_scenario scenario = scenario_of(&self);
  cafe_crash_report report = fails(&scenario, NULL, "the process died ",
                                   "the stream till 3 isn't what was wanted:\n"
                                   "  event 5: wanted nothing, got CardAsked");
  assert_true(report.n > 1);
}

static cafe_verdict holds_each_time(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  if (command->type != &hold_locker_type)
    return locker_aggregate.decide(out, state, command, NULL);
  const hold_locker *hold = command->data;
  cafe_emit(out, &locker_held_type, &(locker_held){hold->guest, hold->fee_minor}, sizeof(locker_held));
  return CAFE_ACCEPTED;
}

static void drive_keyless(cafe_crash *run, void *user) {
  cafe_crash_ask(run, NULL, KIM, CAFE_DATA(hold_locker_type, hold_locker, cafe_text("kim"), 500));
}

static bool check_held_once(cafe_crash *run, void *user) {
  return cafe_crash_happened(
      run, &locker_aggregate, KIM,
      CAFE_FACTS({.type = &locker_held_type}, {.type = &locker_opened_type}, {.type = &locker_freed_type}));
}

static void an_aggregate_that_takes_a_repeat_for_news_is_found(void **state) {
  cafe_aggregate wrong = locker_aggregate;
  wrong.decide = holds_each_time;
  const cafe_aggregate *wrong_aggregates[] = {&wrong, &till_aggregate, NULL};
  cafe_service service = locker_service;
  service.aggregates = wrong_aggregates;
  world self = one_node();
  self.services[0] = &service;
  cafe_crash_scenario scenario = scenario_of(&self);
  scenario.drive = drive_keyless;
  scenario.check = check_held_once;
  cafe_crash_options options = CAFE_CRASH_OPTIONS_INIT;
  options.kinds = 1u << CAFE_CRASH_AFTER_COMMIT;
  fails(&scenario, &options, "the process died after commit 1: the stream locker 1 isn't what was wanted:\n",
        "got LockerHeld\n");
}

static void forgets(cafe_reaction *out, const cafe_event *event, void *user) {}

static void frees(cafe_reaction *out, const cafe_event *event, void *user) {
  cafe_react(out, &free_locker_type, event->key, &(free_locker){true}, sizeof(free_locker));
}

/* No saga: whoever can't pay has to be freed by a policy. */
static bool check_freed(cafe_crash *run, void *user) {
  return cafe_crash_happened(run, &locker_aggregate, POOR,
                             CAFE_FACTS({.type = &locker_held_type}, {.type = &locker_freed_type}));
}

static void drive_poor(cafe_crash *run, void *user) {
  if (rent(run, POOR, "poor", 5000))
    cafe_crash_ask(run, NULL, POOR, CAFE_DATA(charge_card_type, charge_card, 5000));
}

static void a_policy_that_forgets_is_found(void **state) {
  static const cafe_schema *const heard[] = {&card_declined_type, NULL}, *const named[] = {&free_locker_type, NULL};
  cafe_policy policy = {.size = CAFE_POLICY,
                        .name = "free-the-poor",
                        .source = "lockers",
                        .events = heard,
                        .react = frees,
                        .commands = named};
  const cafe_policy *policies[] = {&policy, NULL};
  cafe_service service = locker_service;
  service.sagas = NULL;
  service.policies = policies;
  world self = one_node();
  self.services[0] = &service;
  cafe_crash_scenario scenario = scenario_of(&self);
  scenario.drive = drive_poor;
  scenario.check = check_freed;
  cafe_crash_report report;
  passes(&scenario, NULL, &report);
  policy.react = forgets;
  fails(&scenario, NULL, "without a fault: the stream locker 2 isn't what was wanted:\n",
        "  event 2: wanted LockerFreed, got nothing\n"
        "to repeat it alone: only = \"nothing:0:0:1\"");
}

/* What is remembered beside the store is gone with the process. */
static uint32_t in_memory;

static void drive_memory(cafe_crash *run, void *user) {
  if (rent(run, KIM, "kim", 500))
    in_memory++;
  rent(run, POOR, "poor", 500);
}

static void ended_forgets(cafe_crash *run, uint32_t index, bool was_killed, void *user) { in_memory = 0; }

static bool check_memory(cafe_crash *run, void *user) { return in_memory == 1; }

static void begin_memory(cafe_crash *run, void *user) { in_memory = 0; }

static void what_is_kept_in_memory_only_is_found(void **state) {
  world self = one_node();
  cafe_crash_scenario scenario = scenario_of(&self);
  scenario.begin = begin_memory;
  scenario.drive = drive_memory;
  scenario.check = check_memory;
  scenario.ended = ended_forgets;
  fails(&scenario, NULL, "the process died before commit ", ": check says that not all is well\n");
}

static bool watch_for_open(cafe_crash *run, void *user) {
  const locker *self = cafe_crash_state(run, &locker_aggregate, KIM);
  const till *till_of = cafe_crash_state(run, &till_aggregate, KIM);
  return self && till_of && !(self->is_open && till_of->charged_minor);
}

static void what_must_always_be_so_is_watched(void **state) {
  world self = one_node();
  cafe_crash_scenario scenario = scenario_of(&self);
  scenario.watch = watch_for_open;
  fails(&scenario, NULL, "without a fault: watch says that something isn't as it must always be", "");
}

static void a_world_that_never_rests_is_told(void **state) {
  world self = one_node();
  cafe_crash_scenario scenario = scenario_of(&self);
  self.terminal.fail_first = UINT32_MAX;
  fails(&scenario, NULL, "without a fault: it doesn't come to rest", "");
  /* With an end to it the card is declined, and the check misses the money. */
  self.terminal.retry.max_attempts = 3;
  self.terminal.give_up = decline;
  fails(&scenario, NULL, "without a fault: the stream locker 1 isn't what was wanted", "");
}

/* ---- scenarios with a mistake ---- */

static void drive_without_key(cafe_crash *run, void *user) {
  assert_null(cafe_crash_ask(run, NULL, 0, CAFE_DATA(hold_locker_type, hold_locker, cafe_text("kim"), 5)));
  assert_null(cafe_crash_send(run, NULL, 1, CAFE_DATA(hold_locker_type, hold_locker, cafe_text("kim"), 5)));
  assert_false(cafe_crash_pass(run, 5));
}

static void drive_stranger(cafe_crash *run, void *user) {
  assert_null(cafe_crash_ask(run, NULL, 1, CAFE_DATA(write_letter_type, write_letter, cafe_text("kim"))));
}

static int host_nothing(cafe_crash *run, cafe_node *node, uint32_t index, cafe_err *err, void *user) {
  return cafe_fail(err, CAFE_DENIED, "no key for the shop");
}

static int host_without_worker(cafe_crash *run, cafe_node *node, uint32_t index, cafe_err *err, void *user) {
  return cafe_node_host(node, &locker_service, err);
}

static int host_careless(cafe_crash *run, cafe_node *node, uint32_t index, cafe_err *err, void *user) {
  static const cafe_crash_worker careless = {
      .size = CAFE_CRASH_WORKER, .task = &card_task_type, .lose_first = 1, .settle = record};
  int code = cafe_node_host(node, &locker_service, err);
  return code ? code : cafe_crash_employ(run, node, &careless, err);
}

static bool check_saga(cafe_crash *run, void *user) {
  return cafe_crash_stands(run, &rental_saga, KIM, "running", "charge");
}

static void a_scenario_with_a_mistake_is_told_so(void **state) {
  world self = one_node();
  cafe_crash_scenario scenario = scenario_of(&self);
  scenario.drive = drive_without_key;
  fails(&scenario, NULL, "without a fault: HoldLocker asks for a new key without a client key", "");
  scenario.drive = drive_stranger;
  fails(&scenario, NULL, "without a fault: WriteLetter to key 1 failed: ", "WriteLetter");
  scenario = scenario_of(&self);
  scenario.host = host_nothing;
  fails(&scenario, NULL, "without a fault: node 0 can't be started: no key for the shop", "");
  scenario.host = host_without_worker;
  fails(&scenario, NULL, "without a fault: node 0 can't be started: the task CardTask", "has no worker");
  scenario.host = host_careless;
  fails(&scenario, NULL, "without a fault: node 0 can't be started: the script of CardTask loses answers", "");
  scenario = scenario_of(&self);
  scenario.check = check_saga;
  fails(&scenario, NULL,
        "without a fault: the saga rental of key 1 was wanted running at \"charge\", and is ended at \"\"", "");

  cafe_crash_report report = CAFE_CRASH_REPORT_INIT;
  scenario.check = NULL;
  assert_false(cafe_crash_enumerate(&report, &scenario, NULL));
  assert_string_equal(report.why, "a scenario needs host, drive and check");
  scenario = scenario_of(&self);
  cafe_crash_options options = CAFE_CRASH_OPTIONS_INIT;
  const char *const words[] = {"after-commit", "after:0:1:1", "after-commit:1:1:1"};
  for (int i = 0; i < 3; i++) {
    options.only = words[i];
    assert_false(cafe_crash_enumerate(&report, &scenario, &options));
    assert_non_null(strstr(report.why, "only is no word of a report: after"));
  }
  options.only = NULL;
  options.size = 3;
  assert_false(cafe_crash_enumerate(&report, &scenario, &options));
  assert_non_null(strstr(report.why, "CAFE_CRASH_OPTIONS_INIT"));
}

/* ---- a worker of one's own ---- */

typedef struct own_work {
  cafe_crash *run;
  cafe_loop *loop;
  cafe_task *task;
  cafe_timer timer;
  bool is_twice; /* it does each attempt anew */
} own_work;

static void own_done(cafe_timer *timer) {
  own_work *self = timer->user;
  cafe_task *task = self->task;
  record_card answer = {((const card_task *)task->data)->operation, true};
  self->task = NULL;
  if (self->is_twice || !cafe_crash_times(self->run, task->type, task->key, task->id))
    cafe_crash_did(self->run, task);
  cafe_task_settle(task, &record_card_type, &answer, sizeof answer);
}

static int own_start(cafe_task *task, cafe_err *err, void *user) {
  own_work *self = user;
  assert_null(self->task);
  cafe_crash_asked(self->run, task);
  self->task = task;
  return self->loop->ops->timer_start(self->loop, &self->timer, self->loop->ops->now_us(self->loop) + 9000, err);
}

static void own_stop(cafe_task *task, void *user) {
  own_work *self = user;
  self->loop->ops->timer_stop(self->loop, &self->timer);
  self->task = NULL;
}

static int host_own(cafe_crash *run, cafe_node *node, uint32_t index, cafe_err *err, void *user) {
  own_work *self = user;
  self->run = run;
  self->loop = cafe_crash_loop(run, index);
  self->timer = (cafe_timer){.fire = own_done, .user = self};
  cafe_worker worker = {
      .size = CAFE_WORKER, .task = &card_task_type, .start = own_start, .stop = own_stop, .user = self};
  int code = cafe_node_host(node, &locker_service, err);
  return code ? code : cafe_node_employ(node, &worker, err);
}

static void ended_own(cafe_crash *run, uint32_t index, bool was_killed, void *user) {
  own_work *self = user;
  assert_true(was_killed || !self->task);
  self->task = NULL;
}

static void drive_own(cafe_crash *run, void *user) { rent(run, KIM, "kim", 500); }

static bool check_own(cafe_crash *run, void *user) { return cafe_crash_did_once(run, &card_task_type); }

static void a_worker_of_ones_own_writes_into_the_book(void **state) {
  own_work work = {.is_twice = false};
  cafe_crash_scenario scenario = {.size = CAFE_CRASH_SCENARIO,
                                  .host = host_own,
                                  .ended = ended_own,
                                  .drive = drive_own,
                                  .check = check_own,
                                  .user = &work};
  cafe_crash_report report;
  passes(&scenario, NULL, &report);
  work.is_twice = true;
  fails(&scenario, NULL, "the process died before commit ",
        ": CardTask 1 of key 1 was done 2 times, and asked for 2 times");
}

/* ---- what is kept under a client's key ---- */

static void drive_refused(cafe_crash *run, void *user) {
  const cafe_crash_answer *held =
      cafe_crash_ask(run, "a", KIM, CAFE_DATA(hold_locker_type, hold_locker, cafe_text("kim"), 1));
  const cafe_crash_answer *refused =
      held ? cafe_crash_ask(run, "b", KIM, CAFE_DATA(hold_locker_type, hold_locker, cafe_text("lee"), 1)) : NULL;
  const cafe_crash_answer *again =
      refused ? cafe_crash_ask(run, "b", KIM, CAFE_DATA(hold_locker_type, hold_locker, cafe_text("lee"), 1)) : NULL;
  if (!again)
    return;
  assert_int_equal(held->verdict, CAFE_ACCEPTED);
  assert_int_equal(held->version, 1);
  for (int i = 0; i < 2; i++) {
    const cafe_crash_answer *answer = i ? again : refused;
    assert_int_equal(answer->verdict, CAFE_REFUSED);
    assert_int_equal(answer->key, KIM);
    assert_string_equal(answer->reason, "taken");
  }
}

static bool check_any(cafe_crash *run, void *user) { return true; }

static void an_answer_is_the_same_however_often_it_is_asked_for(void **state) {
  world self = one_node();
  cafe_crash_scenario scenario = scenario_of(&self);
  cafe_crash_report report;
  scenario.drive = drive_refused;
  scenario.check = check_any;
  passes(&scenario, NULL, &report);
}

/* ---- who asks once ---- */

static void drive_once(cafe_crash *run, void *user) {
  const cafe_crash_answer *answer =
      cafe_crash_try(run, NULL, KIM, CAFE_DATA(hold_locker_type, hold_locker, cafe_text("kim"), 500));
  if (!answer)
    return;
  assert_int_equal(answer->tries, 1);
  *(int *)user |= 1 << answer->code;
  if (answer->code == CAFE_OK)
    assert_ptr_equal(answer->event, &locker_held_type);
}

static bool check_once(cafe_crash *run, void *user) {
  const locker *self = cafe_crash_state(run, &locker_aggregate, KIM);
  return self && cafe_crash_times(run, &card_task_type, KIM, CARD_CHARGE) <= 1 &&
         cafe_crash_times(run, &card_task_type, KIM, CARD_REFUND) == 0;
}

static int host_once(cafe_crash *run, cafe_node *node, uint32_t index, cafe_err *err, void *user) {
  int code = cafe_node_host(node, &locker_service, err);
  return code ? code : cafe_crash_employ(run, node, &terminal, err);
}

static void who_asks_once_may_never_know(void **state) {
  int codes = 0;
  cafe_crash_scenario scenario = {
      .size = CAFE_CRASH_SCENARIO, .host = host_once, .drive = drive_once, .check = check_once, .user = &codes};
  cafe_crash_report report;
  passes(&scenario, NULL, &report);
  assert_true(codes & 1 << CAFE_OK);
  assert_true(codes & 1 << CAFE_TIMEOUT);     /* the process died */
  assert_true(codes & 1 << CAFE_CANCELED);    /* he gave up */
  assert_true(codes & 1 << CAFE_UNAVAILABLE); /* the store failed */
}

/* ---- a store on a disk ---- */

static int open_sqlite(cafe_store **out, cafe_crash *run, uint32_t index, bool is_new, cafe_err *err, void *user) {
  static const char *const files[] = {"crash.db", "crash.db-wal", "crash.db-shm", "crash.db-lock"};
  for (int i = 0; is_new && i < 4; i++)
    (void)unlink(files[i]);
  cafe_sqlite_options options = CAFE_SQLITE_OPTIONS_INIT;
  options.sync = CAFE_SQLITE_OFF; /* the process dies, not the power */
  return cafe_sqlite_create(out, "crash.db", &options, err);
}

static void a_store_of_ones_own_is_tried(void **state) {
  world self = one_node();
  cafe_crash_scenario scenario = scenario_of(&self);
  cafe_crash_options options = CAFE_CRASH_OPTIONS_INIT;
  cafe_crash_report report;
  scenario.open_store = open_sqlite;
  options.kinds = 1u << CAFE_CRASH_BEFORE_COMMIT | 1u << CAFE_CRASH_AFTER_COMMIT;
  passes(&scenario, &options, &report);
  assert_true(report.hits[CAFE_CRASH_AFTER_COMMIT] > 5);
  self.terminal.is_forgetful = true;
  fails(&scenario, &options, "the process died before commit ", "was done 2 times");
}

/* While its node can't be started it isn't open, and nobody looks at it. */
static bool watch_store(cafe_crash *run, void *user) {
  return cafe_crash_state(run, &locker_aggregate, KIM) && cafe_crash_stands(run, &rental_saga, 99, "none", "");
}

static void a_store_of_ones_own_is_watched_while_it_is_open(void **state) {
  world self = one_node();
  cafe_crash_scenario scenario = scenario_of(&self);
  cafe_crash_options options = CAFE_CRASH_OPTIONS_INIT;
  cafe_crash_report report;
  scenario.open_store = open_sqlite;
  scenario.watch = watch_store;
  options.kinds = 1u << CAFE_CRASH_ALLOCATIONS | 1u << CAFE_CRASH_BEFORE_COMMIT;
  options.max_each = 12;
  passes(&scenario, &options, &report);
  assert_true(report.hits[CAFE_CRASH_ALLOCATIONS] == 12 && report.hits[CAFE_CRASH_BEFORE_COMMIT] > 5);
}

/* ---- without memory ---- */

static void without_memory_it_says_so(void **state) {
  world self = one_node();
  cafe_crash_scenario scenario = scenario_of(&self);
  cafe_crash_options options = CAFE_CRASH_OPTIONS_INIT;
  failing_alloc memory;
  uint64_t told = 0, runs = 0;
  options.kinds = 1u << CAFE_CRASH_NOTHING;
  options.allocator = &memory.allocator;
  failing_alloc_init(&memory);
  cafe_crash_report report;
  passes(&scenario, &options, &report);
  size_t all = memory.calls;
  for (size_t n = 1; n <= all; n += getenv("CAFE_FULL") ? 1 : 1 + all / 400) {
    failing_alloc_init(&memory);
    memory.fail_at = n;
    bool is_well = cafe_crash_enumerate(&report, &scenario, &options);
    failing_alloc_end(&memory);
    runs++;
    told += !is_well;
    if (!is_well && !strcasestr(report.why, "memory"))
      fail_msg("%zu: %s", n, report.why);
  }
  print_message("crash: %zu allocations, %llu runs, %llu of them told\n", all, (unsigned long long)runs,
                (unsigned long long)told);
  assert_true(told > 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_fault_is_survived),
      cmocka_unit_test(every_fault_of_each_of_two_nodes_is_survived),
      cmocka_unit_test(random_runs_are_survived_and_differ),
      cmocka_unit_test(a_bad_line_is_survived),
      cmocka_unit_test(a_worker_that_is_not_idempotent_is_found),
      cmocka_unit_test(a_compensation_that_is_not_repeatable_is_found),
      cmocka_unit_test(an_aggregate_that_takes_a_repeat_for_news_is_found),
      cmocka_unit_test(a_policy_that_forgets_is_found),
      cmocka_unit_test(what_is_kept_in_memory_only_is_found),
      cmocka_unit_test(what_must_always_be_so_is_watched),
      cmocka_unit_test(a_world_that_never_rests_is_told),
      cmocka_unit_test(a_scenario_with_a_mistake_is_told_so),
      cmocka_unit_test(a_worker_of_ones_own_writes_into_the_book),
      cmocka_unit_test(an_answer_is_the_same_however_often_it_is_asked_for),
      cmocka_unit_test(who_asks_once_may_never_know),
      cmocka_unit_test(a_store_of_ones_own_is_tried),
      cmocka_unit_test(a_store_of_ones_own_is_watched_while_it_is_open),
      cmocka_unit_test(without_memory_it_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
