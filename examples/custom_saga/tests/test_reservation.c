/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The reservation in a world where nothing is real (cafe/testing/sim.h): a clock that jumps to the next moment, and a
 * store that dies when it is told to (cafe/testing/faults.h). Two days pass in a millisecond, so each story is told
 * again for a crash before and after each of its commits, until there is none left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cafe/store/memory.h>
#include <cafe/sys/loop.h>
#include <cafe/testing/faults.h>
#include <cafe/testing/sim.h>

#include "reservation.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, TABLE = 24 * HOUR, CUT_OFF = TABLE - 2 * HOUR };
static const uint64_t key = 7;

/* ---- the world ---- */

typedef struct world {
  cafe_loop *loop;
  cafe_store *disk, *store; /* what is committed; the process that has it */
  cafe_node *node;
  desk desk;
  int64_t began_us;
  uint32_t crashes;
  int64_t pause_ms; /* who met a crash asks again so much later */
} world;

static int open_node(world *self, cafe_err *err) {
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.loop = self->loop;
  options.store = self->store;
  cafe_worker worker = desk_worker(&self->desk);
  int code = cafe_node_create(&self->node, &options, err);
  if (!code) code = cafe_node_host(self->node, &reservations_service, err);
  if (!code) code = cafe_node_host(self->node, &deposits_service, err);
  if (!code) code = cafe_node_employ(self->node, &worker, err);
  return code ? code : cafe_node_start(self->node, err);
}

static bool is_dead(const world *self) {
  cafe_store_counts counts = {.size = sizeof counts};
  cafe_faulty_store_count(self->store, &counts);
  return counts.is_dead;
}

/* Another process takes over what the dead one has committed. The desk is elsewhere, and lives on. */
static void recover(world *self) {
  cafe_err err = {0};
  while (is_dead(self)) {
    self->crashes++;
    cafe_node_destroy(self->node);
    cafe_faulty_store_set(self->store, NULL);
    cafe_faulty_store_revive(self->store);
    if (open_node(self, &err)) fail_msg("%s", err.text);
  }
}

static void world_open(world *self, const cafe_store_faults *faults) {
  cafe_memory_options memory = CAFE_MEMORY_OPTIONS_INIT;
  cafe_sim_options sim = CAFE_SIM_OPTIONS_INIT;
  memory.is_threaded = true; /* as a store on a disk: a commit takes a while, and others go on */
  sim.job_min_us = 500;
  sim.job_max_us = 5000;
  memset(self, 0, sizeof *self);
  assert_int_equal(cafe_sim_create(&self->loop, 1, &sim, NULL), CAFE_OK);
  assert_int_equal(cafe_memory_create(&self->disk, &memory, NULL), CAFE_OK);
  assert_int_equal(cafe_faulty_store_create(&self->store, self->disk, NULL, NULL), CAFE_OK);
  desk_init(&self->desk, self->loop);
  self->began_us = cafe_sim_now_us(self->loop);
  cafe_faulty_store_set(self->store, faults);
  cafe_err err = {0};
  if (open_node(self, &err) && !is_dead(self)) fail_msg("%s", err.text);
  recover(self);
}

static void world_close(world *self) {
  cafe_node_destroy(self->node);
  desk_deinit(&self->desk);
  cafe_store_destroy(self->store);
  cafe_store_destroy(self->disk);
  cafe_loop_destroy(self->loop);
}

/* Lets time pass until so long after the beginning. A process that died is replaced within ten seconds. */
static void pass_until(world *self, int64_t ms) {
  int64_t until_us = self->began_us + ms * 1000;
  while (cafe_sim_now_us(self->loop) < until_us) {
    int64_t next_us = cafe_sim_now_us(self->loop) + 10 * SECOND * 1000;
    cafe_sim_run(self->loop, next_us < until_us ? next_us : until_us);
    recover(self);
  }
}

/* ---- asking and looking ---- */

typedef struct answer {
  bool is_there;
  int code;
  cafe_verdict verdict;
  uint64_t key;
  char reason[64];
  char reply[64]; /* what is kept under the guest's own key */
  bool replayed;
} answer;

static void note_answer(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  answer *self = user;
  self->is_there = true;
  self->code = err ? err->code : CAFE_OK;
  if (err) return;
  self->verdict = outcome->verdict;
  self->key = outcome->key;
  self->replayed = outcome->replayed;
  snprintf(self->reason, sizeof self->reason, "%s", outcome->reason ? outcome->reason : "");
  snprintf(self->reply, sizeof self->reply, "%.*s", (int)outcome->reply.size, outcome->reply.data);
}

/* Asks until there is an answer: who meets a crash asks again. */
static answer submit_it(world *self, const cafe_submit *submit) {
  for (;;) {
    answer got = {.code = CAFE_UNAVAILABLE};
    cafe_err err = {0};
    int code = cafe_node_submit(NULL, self->node, submit, note_answer, &got, &err);
    while (!code && !got.is_there && !is_dead(self)) assert_true(cafe_sim_step(self->loop));
    if (!is_dead(self)) {
      if (code) fail_msg("%s", err.text);
      assert_int_equal(got.code, CAFE_OK);
      return got;
    }
    recover(self);
    pass_until(self, (cafe_sim_now_us(self->loop) - self->began_us) / 1000 + self->pause_ms);
  }
}

static answer ask(world *self, const cafe_schema *command, const void *data, size_t size) {
  cafe_submit submit = {.size = sizeof submit, .command = command, .key = key, .data = data, .data_size = size};
  return submit_it(self, &submit);
}

static answer ask_simply(world *self, const cafe_schema *command) {
  nothing said = {false};
  return ask(self, command, &said, sizeof said);
}

static reserve_table table_for(const world *self, int64_t party_size) {
  return (reserve_table){
      .guest = cafe_text("Mina"),
      .party_size = party_size,
      .at_ms = self->loop->ops->utc_ms(self->loop) + TABLE,
      .deposit_minor = party_size * 10000,
      .currency = cafe_text("USD"),
  };
}

static answer reserve(world *self, int64_t party_size) {
  reserve_table table = table_for(self, party_size);
  return ask(self, &reserve_table_type, &table, sizeof table);
}

/* A new reservation, under the guest's own key. */
static answer reserve_as(world *self, const char *request, int64_t party_size) {
  reserve_table table = table_for(self, party_size);
  cafe_client_key client_key = {.scope = cafe_text("reservations"), .key = cafe_text(request)};
  cafe_submit submit = {sizeof submit, .command = &reserve_table_type, .data = &table, .data_size = sizeof table};
  submit.client_key = &client_key;
  submit.reply = reservation_reply;
  return submit_it(self, &submit);
}

static answer confirm(world *self, bool accepts) {
  answer_request said = {accepts, cafe_text(accepts ? "" : "fully booked")};
  return ask(self, &answer_request_type, &said, sizeof said);
}

/* 0: there is no row, or none that is shown. */
static void expect(world *self, reservation_status status, deposit_status deposit, int64_t held_minor) {
  const void *found;
  cafe_err err;
  int code = cafe_node_find(&found, self->node, &reservations_view, key, 0, &err);
  const reservation_row *row = found;
  assert_int_equal(code, status ? CAFE_OK : CAFE_NOT_FOUND);
  if (status) {
    assert_string_equal(reservation_status_names[row->status], reservation_status_names[status]);
    assert_string_equal(deposit_status_names[row->deposit], deposit_status_names[deposit]);
  }
  assert_int_equal(desk_holds(&self->desk, key), held_minor);
  assert_true(self->desk.count <= 2); /* nothing was done twice */
}

/* ---- the stories ---- */

static void guest_comes(world *self) {
  reserve(self, 2);
  pass_until(self, 10 * MINUTE);
  expect(self, RESERVATION_HELD, DEPOSIT_CHARGED, 20000);
  confirm(self, true);
  pass_until(self, TABLE);
  expect(self, RESERVATION_FIXED, DEPOSIT_CHARGED, 20000);
  ask_simply(self, &seat_guest_type);
  pass_until(self, 2 * TABLE);
  expect(self, RESERVATION_SEATED, DEPOSIT_RETURNED, 0);
}

static void guest_comes_before_the_cut_off(world *self) {
  reserve(self, 2);
  confirm(self, true);
  ask_simply(self, &seat_guest_type);
  pass_until(self, 2 * TABLE);
  expect(self, RESERVATION_SEATED, DEPOSIT_RETURNED, 0);
}

static void guest_does_not_come(world *self) {
  reserve(self, 2);
  confirm(self, true);
  pass_until(self, TABLE + 14 * MINUTE);
  expect(self, RESERVATION_FIXED, DEPOSIT_CHARGED, 20000);
  pass_until(self, TABLE + 16 * MINUTE);
  expect(self, RESERVATION_NOT_SHOWN, DEPOSIT_KEPT, 20000);
  pass_until(self, 2 * TABLE);
  expect(self, RESERVATION_NOT_SHOWN, DEPOSIT_KEPT, 20000);
}

static void deposit_is_declined(world *self) {
  reserve(self, 12);
  pass_until(self, 2 * TABLE);
  expect(self, RESERVATION_NONE, DEPOSIT_DECLINED, 0);
}

static void restaurant_refuses(world *self) {
  reserve(self, 2);
  confirm(self, false);
  pass_until(self, 2 * TABLE);
  expect(self, RESERVATION_CANCELED, DEPOSIT_RETURNED, 0);
}

static void restaurant_does_not_answer(world *self) {
  reserve(self, 2);
  pass_until(self, 29 * MINUTE);
  expect(self, RESERVATION_HELD, DEPOSIT_CHARGED, 20000);
  pass_until(self, 31 * MINUTE);
  expect(self, RESERVATION_CANCELED, DEPOSIT_RETURNED, 0);
}

static void guest_cancels_before_the_answer(world *self) {
  reserve(self, 2);
  ask_simply(self, &cancel_reservation_type);
  pass_until(self, 2 * TABLE);
  expect(self, RESERVATION_CANCELED, DEPOSIT_RETURNED, 0);
}

static void guest_cancels_just_in_time(world *self) {
  reserve(self, 2);
  confirm(self, true);
  pass_until(self, CUT_OFF - SECOND);
  ask_simply(self, &cancel_reservation_type);
  pass_until(self, 2 * TABLE);
  expect(self, RESERVATION_CANCELED, DEPOSIT_RETURNED, 0);
}

static void guest_cancels_too_late(world *self) {
  reserve(self, 2);
  confirm(self, true);
  pass_until(self, CUT_OFF + SECOND);
  answer told = ask_simply(self, &cancel_reservation_type);
  assert_int_equal(told.verdict, CAFE_REFUSED);
  assert_string_equal(told.reason, "CancelRefused");
  ask_simply(self, &seat_guest_type);
  pass_until(self, 2 * TABLE);
  expect(self, RESERVATION_SEATED, DEPOSIT_RETURNED, 0);
}

static void answers_of_the_desk_are_lost(world *self) {
  self->desk.lost_answers = 2;
  reserve(self, 2);
  self->desk.lost_answers = 2;
  confirm(self, false);
  pass_until(self, 2 * TABLE);
  expect(self, RESERVATION_CANCELED, DEPOSIT_RETURNED, 0);
}

static void deposit_takes_too_long(world *self) {
  self->desk.lost_answers = 30; /* charged at once, and nobody knows */
  reserve(self, 2);
  pass_until(self, 2 * TABLE);
  expect(self, RESERVATION_NONE, DEPOSIT_NONE, 0);
  assert_int_equal(self->desk.count, 2);
}

static void (*const stories[])(world *) = {
    guest_comes,
    guest_comes_before_the_cut_off,
    guest_does_not_come,
    deposit_is_declined,
    restaurant_refuses,
    restaurant_does_not_answer,
    guest_cancels_before_the_answer,
    guest_cancels_just_in_time,
    guest_cancels_too_late,
    answers_of_the_desk_are_lost,
    deposit_takes_too_long,
};
enum { STORIES = sizeof stories / sizeof stories[0] };

/* ---- the tests ---- */

static void every_story_ends_as_it_should(void **state) {
  (void)state;
  for (int i = 0; i < STORIES; i++) {
    world world;
    world_open(&world, NULL);
    stories[i](&world);
    assert_int_equal(world.crashes, 0);
    world_close(&world);
  }
}

static void every_story_ends_so_whichever_commit_the_process_dies_at(void **state) {
  (void)state;
  uint32_t crashes = 0;
  for (int i = 0; i < STORIES; i++) {
    for (int is_after = 0; is_after <= 1; is_after++) {
      bool was_hit = true;
      for (uint64_t n = 1; was_hit; n++) {
        cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
        *(is_after ? &faults.die_after_commit : &faults.die_before_commit) = n;
        world world;
        world_open(&world, &faults);
        stories[i](&world);
        was_hit = world.crashes > 0;
        crashes += world.crashes;
        world_close(&world);
      }
    }
  }
  assert_true(crashes > 100);
}

/* Whichever commit the process dies at: he has one reservation, or none, the desk was asked once, and he is told so. */
static void a_guest_who_asks_again_under_his_key_has_one_answer(void **state) {
  (void)state;
  uint32_t crashes = 0;
  for (int variant = 0; variant < 8; variant++) {
    bool is_after = variant & 1, is_declined = variant & 2, is_late = variant & 4, was_hit = true;
    const char *wanted = is_declined ? "DepositDeclined" : "reserved";
    for (uint64_t n = 1; was_hit; n++) {
      cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
      *(is_after ? &faults.die_after_commit : &faults.die_before_commit) = n;
      world world;
      world_open(&world, &faults);
      world.pause_ms = is_late ? 10 * SECOND : 0; /* late: it was answered meanwhile, and nobody was there */
      answer first = reserve_as(&world, "mina-1", is_declined ? 12 : 2);
      answer again = reserve_as(&world, "mina-1", is_declined ? 12 : 2);
      assert_string_equal(first.reply, wanted);
      assert_string_equal(again.reply, wanted);
      assert_true(again.replayed);
      assert_int_equal(again.verdict, CAFE_UNCHANGED);
      assert_int_equal(again.key, first.key);
      pass_until(&world, MINUTE);
      assert_int_equal(world.desk.count, 1);
      was_hit = world.crashes > 0;
      crashes += world.crashes;
      world_close(&world);
    }
  }
  assert_true(crashes > 10);
}

/* That it took too long isn't kept: the key begins another reservation. */
static void a_key_may_try_again_what_keeps_nothing(void **state) {
  (void)state;
  world world;
  world_open(&world, NULL);
  world.desk.lost_answers = 30;
  answer first = reserve_as(&world, "mina-1", 2);
  assert_string_equal(first.reason, "RequestAbandoned");
  world.desk.lost_answers = 0;
  answer again = reserve_as(&world, "mina-1", 2);
  assert_int_equal(again.verdict, CAFE_ACCEPTED);
  assert_int_not_equal(again.key, first.key);
  pass_until(&world, HOUR);
  assert_int_equal(desk_holds(&world.desk, first.key), 0);
  assert_int_equal(reserve_as(&world, "mina-1", 2).key, again.key);
  world_close(&world);
}

static void what_people_are_told(void **state) {
  (void)state;
  world world;
  world_open(&world, NULL);
  assert_string_equal(ask_simply(&world, &cancel_reservation_type).reason, "not-found");
  assert_string_equal(reserve(&world, 21).reason, "invalid");
  assert_int_equal(reserve(&world, 2).verdict, CAFE_ACCEPTED);
  assert_int_equal(reserve(&world, 2).verdict, CAFE_UNCHANGED);
  assert_string_equal(ask_simply(&world, &seat_guest_type).reason, "wrong-state");
  assert_int_equal(confirm(&world, true).verdict, CAFE_ACCEPTED);
  assert_int_equal(confirm(&world, true).verdict, CAFE_UNCHANGED);
  assert_string_equal(confirm(&world, false).reason, "wrong-state");
  assert_int_equal(ask_simply(&world, &cancel_reservation_type).verdict, CAFE_ACCEPTED);
  assert_int_equal(ask_simply(&world, &cancel_reservation_type).verdict, CAFE_UNCHANGED);
  assert_string_equal(ask_simply(&world, &seat_guest_type).reason, "wrong-state");
  world_close(&world);

  world_open(&world, NULL);
  assert_string_equal(reserve(&world, 12).reason, "DepositDeclined");
  assert_string_equal(reserve(&world, 12).reason, "DepositDeclined"); /* now it is the state that says so */
  world_close(&world);
  world_open(&world, NULL);
  world.desk.lost_answers = 30;
  assert_string_equal(reserve(&world, 2).reason, "RequestAbandoned");
  assert_string_equal(reserve(&world, 2).reason, "RequestAbandoned");
  world_close(&world);
}

/* What is wrong with a definition is said before the first reservation. */
static void wrong_definitions_are_refused_by_name(void **state) {
  (void)state;
  cafe_err err;
  assert_int_equal(cafe_saga_check(&reservation_saga, &err), CAFE_OK);
  cafe_saga_step steps[CAFE_SAGA_STEPS_MAX];
  cafe_saga spoiled = reservation_saga;
  memcpy(steps, reservation_saga.steps, reservation_saga.step_count * sizeof steps[0]);
  spoiled.steps = steps;
  steps[1].compensation = NULL;
  steps[1].compensated = NULL;
  assert_int_equal(cafe_saga_check(&spoiled, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "step deposit: has an action and nothing that undoes it"));

  world world;
  world_open(&world, NULL);
  cafe_node_destroy(world.node);
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.loop = world.loop;
  options.store = world.store;
  static const cafe_aggregate *const remotes[] = {NULL};
  cafe_service alone = reservations_service;
  alone.remotes = remotes;
  alone.views = NULL;
  assert_int_equal(cafe_node_create(&world.node, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_host(world.node, &alone, &err), CAFE_OK);
  assert_int_equal(cafe_node_start(world.node, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "DepositDeclined, which no aggregate of this node emits"));
  world_close(&world);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_story_ends_as_it_should),
      cmocka_unit_test(every_story_ends_so_whichever_commit_the_process_dies_at),
      cmocka_unit_test(a_guest_who_asks_again_under_his_key_has_one_answer),
      cmocka_unit_test(a_key_may_try_again_what_keeps_nothing),
      cmocka_unit_test(what_people_are_told),
      cmocka_unit_test(wrong_definitions_are_refused_by_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
