/* SPDX-License-Identifier: Apache-2.0 */

/* Sagas across restarts: what an old version left behind, and what is due while much else is. */
#include "test_node_kit.h"

typedef struct memory {
  int64_t heard;
} memory;
static const cafe_field memory_fields[] = {CAFE_FIELD_OF(1, I64, memory, heard)};
static const cafe_schema memory_type = CAFE_SCHEMA_OF("Memory", memory, memory_fields);

static int hear(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user) {
  (void)event, (void)cause, (void)arena;
  ((memory *)data)->heard++;
  return CAFE_OK;
}

static const cafe_schema *const by_answer[] = {&Answered, NULL};
static const cafe_saga_step waits[] = {{.name = "answered", .kind = CAFE_STEP_PIVOT, .completes = by_answer}};
#define WAITING(version_)                                                                                              \
  {                                                                                                                    \
    .size = CAFE_SAGA, .name = "waiting", .version = (version_), .data = &memory_type, .starts = &Asked,               \
    .steps = waits, .step_count = 1, .fold = hear                                                                      \
  }
static const cafe_saga waiting_1 = WAITING(1), waiting_2 = WAITING(2);
static const cafe_saga *const old_sagas[] = {&waiting_1, NULL}, *const new_sagas[] = {&waiting_2, NULL};

static void a_key_whose_saga_has_ended_can_be_read_without_that_sagas_version(void **state) {
  kitchen *k = kitchen_open(0);
  call waiting, again;
  k->service.sagas = old_sagas;
  kitchen_up(k);
  submit(k, &waiting, &Ask, 7, 1, NULL);
  kitchen_run(k, 10000);
  ask(k, &Answer, 7, 1, NULL);
  assert_int_equal(waiting.verdict, CAFE_ACCEPTED);
  kitchen_down(k);
  k->service.sagas = new_sagas;
  kitchen_up(k);
  assert_int_equal(ask(k, &Fill, 7, 1, NULL).verdict, CAFE_ACCEPTED);
  submit(k, &again, &Ask, 7, 1, NULL); /* the saga hears of it, and has ended */
  kitchen_run(k, 10000);
  assert_int_equal(ask(k, &Answer, 7, 1, NULL).verdict, CAFE_ACCEPTED);
  assert_int_equal(again.verdict, CAFE_ACCEPTED);
  kitchen_close(k);
}

static void a_key_whose_saga_runs_isnt_read_without_that_sagas_version(void **state) {
  kitchen *k = kitchen_open(0);
  call waiting;
  k->service.sagas = old_sagas;
  kitchen_up(k);
  submit(k, &waiting, &Ask, 7, 1, NULL);
  kitchen_run(k, 10000);
  kitchen_down(k);
  k->service.sagas = new_sagas;
  kitchen_up(k);
  assert_int_equal(ask(k, &Fill, 7, 1, NULL).code, CAFE_UNSUPPORTED);
  kitchen_close(k);
}

static int at_once(int64_t *out, const void *data, void *user) {
  *out = ((const memory *)data)->heard;
  return CAFE_OK;
}

static void ask_of_nobody(cafe_reaction *out, const void *data, void *user) {
  const note odd = {1};
  (void)data;
  cafe_react(out, &Fill, 0, &odd, sizeof odd);
}

static const cafe_saga_timeout odd_timeouts[] = {{"odd", at_once, ask_of_nobody}, {NULL, NULL, NULL}};
static const cafe_saga_step odd_steps[] = {
    {.name = "answered", .kind = CAFE_STEP_PIVOT, .completes = by_answer, .timeouts = odd_timeouts}};
static const cafe_saga odd = {.size = CAFE_SAGA,
                              .name = "odd",
                              .version = 1,
                              .data = &memory_type,
                              .starts = &Asked,
                              .steps = odd_steps,
                              .step_count = 1,
                              .fold = hear};
static const cafe_saga *const odd_sagas[] = {&odd, NULL};

static void what_is_due_and_cant_be_done_is_told_and_tried_again_at_a_pace(void **state) {
  kitchen *k = kitchen_open(0);
  call waiting;
  k->service.sagas = odd_sagas;
  kitchen_up(k);
  submit(k, &waiting, &Ask, 7, 1, NULL);
  kitchen_run(k, 10000000);
  assert_in_range(k->warnings, 5, 12);
  kitchen_close(k);
}

static void a_key_that_cannot_be_read_is_looked_at_again_at_a_pace(void **state) {
  kitchen *k = kitchen_open(0);
  call waiting;
  k->service.sagas = odd_sagas;
  kitchen_up(k);
  submit(k, &waiting, &Ask, 7, 1, NULL);
  kitchen_run(k, 10000);
  kitchen_down(k);
  k->service.sagas = NULL;
  kitchen_up(k);
  cafe_faulty_store_set(k->store, NULL);
  int64_t until_us = cafe_sim_now_us(k->loop) + 10000000;
  for (int i = 0; i < 10000 && cafe_sim_now_us(k->loop) < until_us; i++)
    cafe_sim_step(k->loop);
  assert_true(cafe_sim_now_us(k->loop) >= until_us);
  cafe_store_counts counts = {.size = sizeof counts};
  cafe_faulty_store_count(k->store, &counts);
  assert_in_range(counts.calls, 5, 20);
  kitchen_close(k);
}

static void ask_elsewhere(cafe_reaction *out, const void *data, void *user) {
  const note any = {1};
  (void)data;
  cafe_react(out, &Close, 7, &any, sizeof any);
}

static const cafe_saga_timeout far_timeouts[] = {{"far", at_once, ask_elsewhere}, {NULL, NULL, NULL}};
static const cafe_saga_step far_steps[] = {
    {.name = "answered", .kind = CAFE_STEP_PIVOT, .completes = by_answer, .timeouts = far_timeouts}};
static const cafe_saga far = {.size = CAFE_SAGA,
                              .name = "far",
                              .version = 1,
                              .data = &memory_type,
                              .starts = &Asked,
                              .steps = far_steps,
                              .step_count = 1,
                              .fold = hear};
static const cafe_saga *const far_sagas[] = {&far, NULL};
static const cafe_aggregate *const jars[] = {&jar_aggregate, NULL};
static const cafe_aggregate *const lids[] = {&lid_aggregate, NULL};
static const char *const elsewhere[] = {"elsewhere", NULL};

/* Nobody would ask again, if it were lost on the way. */
static void what_a_timeout_asks_of_another_node_is_refused_and_told(void **state) {
  kitchen *k = kitchen_open(0);
  call waiting;
  k->service.sagas = far_sagas;
  k->service.aggregates = jars;
  k->service.remotes = lids;
  k->service.remote_services = elsewhere;
  kitchen_up(k);
  k->warnings = 0;
  submit(k, &waiting, &Ask, 7, 1, NULL);
  kitchen_run(k, 10000000);
  assert_in_range(k->warnings, 5, 12);
  kitchen_close(k);
}

/* ---- what a saga says that it may ask for ---- */

static void ask_to_fill(cafe_reaction *out, const void *data, void *user) {
  const note any = {1};
  (void)data;
  cafe_react(out, &Fill, 7, &any, sizeof any);
}

static const cafe_saga_step filling_steps[] = {
    {.name = "fill", .kind = CAFE_STEP_PIVOT, .action = ask_to_fill, .completes = by_answer}};
static const cafe_saga filling = {.size = CAFE_SAGA,
                                  .name = "filling",
                                  .version = 1,
                                  .data = &memory_type,
                                  .starts = &Asked,
                                  .steps = filling_steps,
                                  .step_count = 1,
                                  .fold = hear};

/* What starting a node says that hosts the saga with these commands. */
static int start_with(kitchen *k, const cafe_schema *const *commands, cafe_err *err) {
  cafe_saga saga = filling;
  const cafe_saga *const sagas[] = {&saga, NULL};
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  saga.commands = commands;
  options.loop = k->loop;
  options.store = k->store;
  k->service.sagas = sagas;
  assert_int_equal(cafe_node_create(&k->node, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_host(k->node, &k->service, err), CAFE_OK);
  assert_int_equal(cafe_node_employ(k->node, &k->worker, err), CAFE_OK);
  int code = cafe_node_start(k->node, err);
  kitchen_down(k);
  return code;
}

static void a_saga_that_asks_for_what_nobody_takes_isnt_started(void **state) {
  static const cafe_schema whistle = CAFE_SCHEMA_OF("Whistle", note, note_fields);
  static const cafe_schema other_fill = CAFE_SCHEMA_OF("Fill", note, note_fields);
  static const cafe_schema *const taken[] = {&Fill, &Close, NULL}, *const nobodys[] = {&Fill, &whistle, NULL},
                                  *const twin[] = {&other_fill, NULL};
  kitchen *k = kitchen_open(0);
  cafe_err err;
  assert_int_equal(start_with(k, taken, &err), CAFE_OK);
  assert_int_equal(start_with(k, nobodys, &err), CAFE_INVALID);
  assert_string_equal(err.text, "the saga filling asks for Whistle, which no aggregate of this node takes, nor one of "
                                "its remotes: host that too");
  assert_int_equal(start_with(k, twin, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "the saga filling asks for another Fill than the one that is taken"));
  k->service.aggregates = jars; /* the lid's command is taken elsewhere */
  k->service.remotes = lids;
  k->service.remote_services = elsewhere;
  assert_int_equal(start_with(k, taken, &err), CAFE_OK);
  kitchen_close(k);
}

static void a_saga_asks_for_nothing_that_it_doesnt_list(void **state) {
  static const cafe_schema *const listed[] = {&Fill, NULL}, *const others[] = {&Close, NULL};
  for (int is_listed = 0; is_listed <= 1; is_listed++) {
    kitchen *k = kitchen_open(0);
    call made;
    cafe_saga saga = filling;
    const cafe_saga *const sagas[] = {&saga, NULL};
    saga.commands = is_listed ? listed : others;
    k->service.sagas = sagas;
    kitchen_up(k);
    submit(k, &made, &Ask, 7, 1, NULL);
    kitchen_run(k, 10000);
    assert_int_equal(stored(k, 7, &Filled), is_listed);
    assert_int_equal(stored(k, 7, &Asked), is_listed);
    assert_int_equal(made.is_done, !is_listed);
    if (!is_listed) {
      assert_int_equal(made.code, CAFE_INVALID);
      assert_string_equal(made.text, "filling asks for Fill, which it doesn't list: add it");
    }
    kitchen_close(k);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_key_whose_saga_has_ended_can_be_read_without_that_sagas_version),
      cmocka_unit_test(a_key_whose_saga_runs_isnt_read_without_that_sagas_version),
      cmocka_unit_test(a_key_that_cannot_be_read_is_looked_at_again_at_a_pace),
      cmocka_unit_test(what_is_due_and_cant_be_done_is_told_and_tried_again_at_a_pace),
      cmocka_unit_test(what_a_timeout_asks_of_another_node_is_refused_and_told),
      cmocka_unit_test(a_saga_that_asks_for_what_nobody_takes_isnt_started),
      cmocka_unit_test(a_saga_asks_for_nothing_that_it_doesnt_list),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
