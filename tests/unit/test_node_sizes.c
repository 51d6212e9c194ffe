/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A program may have been built with older headers than the library that it runs with, or with newer ones. What it
 * hands in says how large it is: what both know is taken, and what only the program knows may not say anything.
 */
#include "base/sized.h"
#include "cafe/gateway/sandbox.h"
#include "cafe/store/sqlite.h"
#include "test_engine_kit.h"

/* ---- data ---- */

/* add as an older and as a newer header have it. */
typedef struct older_add {
  int64_t amount;
} older_add;
typedef struct newer_add {
  add add;
  int64_t newer;
} newer_add;

static int submit(kit *k, call *c, const void *data, size_t size) {
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = &add_type;
  submit.key = 7;
  submit.data = data;
  submit.data_size = size;
  int code = kit_submit(k, c, &submit);
  kit_run(k, 10);
  return code;
}

static void a_command_of_another_size_is_taken_as_far_as_both_know_it(void **state) {
  kit k;
  call c;
  older_add older = {1};
  newer_add newer = {{2, {"two", 3}}, 0};
  kit_open(&k, false);
  assert_int_equal(submit(&k, &c, &newer, sizeof newer), CAFE_OK);
  assert_int_equal(c.state.total, 2);
  assert_true(cafe_slice_equal(c.state.note, cafe_text("two")));
  assert_int_equal(submit(&k, &c, &older, sizeof older), CAFE_OK);
  assert_int_equal(c.state.total, 3);
  assert_int_equal(c.state.note.size, 0);

  newer.newer = 1;
  assert_int_equal(submit(&k, &c, &newer, sizeof newer), CAFE_UNSUPPORTED);
  assert_string_equal(c.text, "Add: its data has 32 bytes, of which this library knows 24: use a newer one");
  assert_int_equal(submit(&k, &c, &newer, 0), CAFE_INVALID);
  assert_string_equal(c.text, "Add: its data has a size of 0: hand in sizeof the struct");
  kit_close(&k);
}

static void the_answer_of_a_task_is_taken_by_the_same_rule(void **state) {
  static const size_t sizes[] = {sizeof(older_add), sizeof(newer_add)};
  kit k;
  call c;
  newer_add data = {{5, {NULL, 0}}, 0};
  ask question = {1};
  kit_open(&k, false);
  assert_int_equal(kit_send(&k, &c, &ask_type, 7, &question), CAFE_OK);
  for (size_t i = 0; i < 2; i++) {
    kit_run(&k, 2000);
    assert_int_equal(k.running, 1);
    cafe_task *task = k.tasks[0];
    kit_forget(&k, task);
    cafe_task_settle(task, &add_type, &data, sizes[i]);
  }
  kit_run(&k, 2000);
  assert_int_equal(kit_add(&k, 7, 0).state.total, 10);
  data.newer = 1;
  cafe_task *task = k.tasks[0];
  kit_forget(&k, task);
  cafe_task_settle(task, &add_type, &data, sizeof data);
  assert_true(kit_was_logged(&k, "Add: its data has 32 bytes, of which this library knows 24: use a newer one"));
  kit_run(&k, 2000);
  assert_int_equal(k.running, 1); /* a failed attempt */
  assert_int_equal(kit_add(&k, 7, 0).state.total, 10);
  kit_answer(&k, 0, 1);
  kit_run(&k, 10);
  assert_int_equal(c.verdict, CAFE_ACCEPTED);
  kit_close(&k);
}

/* ---- what begins with its size ---- */

static kit sized_kit;

static cafe_node *fresh_node(void) {
  cafe_node *node;
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.loop = sized_kit.loop;
  options.store = sized_kit.store;
  assert_int_equal(cafe_node_create(&node, &options, NULL), CAFE_OK);
  return node;
}

static int use_node_options(const void *given, cafe_err *err) {
  cafe_node *node = NULL;
  int code = cafe_node_create(&node, given, err);
  cafe_node_destroy(node);
  return code;
}

static int host(const cafe_service *service, cafe_err *err) {
  cafe_node *node = fresh_node();
  int code = cafe_node_host(node, service, err);
  cafe_node_destroy(node);
  return code;
}

static int use_service(const void *given, cafe_err *err) { return host(given, err); }

static int use_aggregate(const void *given, cafe_err *err) {
  const cafe_aggregate *const aggregates[] = {given, NULL};
  return host(&(cafe_service){.size = CAFE_SERVICE, .name = "boxes", .aggregates = aggregates}, err);
}

static int use_policy(const void *given, cafe_err *err) {
  const cafe_policy *const policies[] = {given, NULL};
  return host(&(cafe_service){.size = CAFE_SERVICE, .name = "boxes", .policies = policies}, err);
}

static int use_view(const void *given, cafe_err *err) {
  const cafe_view *const views[] = {given, NULL};
  return host(&(cafe_service){.size = CAFE_SERVICE, .name = "boxes", .views = views}, err);
}

static int use_saga(const void *given, cafe_err *err) { return cafe_saga_check(given, err); }

static int use_worker(const void *given, cafe_err *err) {
  cafe_node *node = fresh_node();
  int code = cafe_node_employ(node, given, err);
  cafe_node_destroy(node);
  return code;
}

static int use_submit(const void *given, cafe_err *err) {
  int code = cafe_node_submit(NULL, sized_kit.node, given, NULL, NULL, err);
  kit_run(&sized_kit, 10);
  return code;
}

static void rows_listed(const cafe_err *err, const cafe_page *page, void *user) { assert_null(err); }

static int use_list(const void *given, cafe_err *err) {
  int code = cafe_node_list(NULL, sized_kit.node, given, rows_listed, NULL, err);
  kit_run(&sized_kit, 10);
  return code;
}

static int use_shop_options(const void *given, cafe_err *err) {
  cafe_node *node = fresh_node();
  cafe_shop *shop = NULL;
  int code = cafe_shop_create(&shop, node, given, err);
  cafe_node_destroy(node);
  cafe_shop_destroy(shop);
  return code;
}

static int use_memory_options(const void *given, cafe_err *err) {
  cafe_store *store = NULL;
  int code = cafe_memory_create(&store, given, err);
  cafe_store_destroy(store);
  return code;
}

static int use_sqlite_options(const void *given, cafe_err *err) {
  cafe_store *store = NULL;
  int code = cafe_sqlite_create(&store, "sizes.db", given, err);
  cafe_store_destroy(store);
  return code;
}

static int use_sandbox_settings(const void *given, cafe_err *err) {
  cafe_gateway *sandbox;
  assert_int_equal(cafe_sandbox_create(&sandbox, sized_kit.loop, NULL, NULL, NULL), CAFE_OK);
  int code = cafe_sandbox_set(sandbox, given, err);
  cafe_gateway_destroy(sandbox);
  return code;
}

static int use_sim_options(const void *given, cafe_err *err) {
  cafe_loop *loop = NULL;
  int code = cafe_sim_create(&loop, 1, given, err);
  cafe_loop_destroy(loop);
  return code;
}

/* Both halves of a struct that grows by 16 bytes. */
typedef struct grown {
  _Alignas(16) unsigned char bytes[256];
} grown;

static void try_sizes(const char *name, const void *good, size_t size, size_t least,
                      int (*use)(const void *given, cafe_err *err)) {
  const struct {
    size_t size;
    unsigned char beyond;
    int code;
  } tries[] = {
      {size, 0xAA, CAFE_OK},        {least, 0xAA, CAFE_OK},
      {least - 1, 0, CAFE_INVALID}, {0, 0, CAFE_INVALID},
      {size + 16, 0, CAFE_OK},      {size + 16, 0xAA, CAFE_UNSUPPORTED},
      {size + 1, 0, CAFE_OK},       {size + 1, 0xAA, CAFE_UNSUPPORTED},
  };
  assert_true(size + 16 <= sizeof(grown));
  for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
    grown given;
    cafe_err err = {0};
    memset(given.bytes, tries[i].beyond, sizeof given.bytes);
    memcpy(given.bytes, good, size);
    memcpy(given.bytes, &tries[i].size, sizeof tries[i].size);
    int code = use(&given, &err);
    if (code != tries[i].code)
      fail_msg("%s of %zu bytes: %d, %s", name, tries[i].size, code, err.text);
    assert_true(!code || strstr(err.text, name));
  }
}

static int remember(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user) {
  return CAFE_OK;
}

static int use_replay(const void *given, cafe_err *err) {
  return cafe_node_replay_letter(NULL, sized_kit.node, given, NULL, NULL, err);
}

static void options_and_definitions_may_be_shorter_or_longer_within_bounds(void **state) {
#define TRY(type, good, last, use)  try_sizes(#type, (good), sizeof(type), SIZED_UNTIL(type, last), use)
#define TRY_FROZEN(type, good, use) try_sizes(#type, (good), sizeof(type), sizeof(type), use)
  kit *k = &sized_kit;
  add data = {1, {NULL, 0}};
  static const cafe_schema *const ends[] = {&added_type, NULL};
  static const cafe_saga_step steps[] = {{.name = "wait", .kind = CAFE_STEP_PIVOT, .completes = ends}};
  cafe_saga saga = {.size = CAFE_SAGA,
                    .name = "waiting",
                    .version = 1,
                    .data = &add_type,
                    .starts = &asked_type,
                    .steps = steps,
                    .step_count = 1,
                    .fold = remember};
  cafe_worker worker = {.size = CAFE_WORKER, .task = &question_type, .start = kit_task_start, .stop = kit_task_stop};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  cafe_list list = CAFE_LIST_INIT;
  cafe_replay replay = CAFE_REPLAY_INIT;
  cafe_node_options node_options = CAFE_NODE_OPTIONS_INIT;
  cafe_shop_options shop_options = CAFE_SHOP_OPTIONS_INIT;
  cafe_memory_options memory_options = CAFE_MEMORY_OPTIONS_INIT;
  cafe_sqlite_options sqlite_options = CAFE_SQLITE_OPTIONS_INIT;
  cafe_sim_options sim_options = CAFE_SIM_OPTIONS_INIT;
  cafe_sandbox_settings settings = {.size = sizeof settings, .mode = CAFE_SANDBOX_APPROVE};
  kit_open(k, false);
  submit.command = &add_type;
  submit.data = &data;
  submit.data_size = sizeof data;
  list.view = &boxes_view;
  replay.key = replay.letter = 1;
  node_options.loop = k->loop;
  node_options.store = k->store;
  shop_options.services = CAFE_SHOP_APP;
  TRY(cafe_node_options, &node_options, id_block, use_node_options);
  TRY(cafe_service, &box_service, remote_services, use_service);
  TRY(cafe_policy, &burst_policy, user, use_policy);
  TRY(cafe_worker, &worker, user, use_worker);
  TRY_FROZEN(cafe_aggregate, &box_aggregate, use_aggregate);
  TRY_FROZEN(cafe_view, &boxes_view, use_view);
  TRY_FROZEN(cafe_saga, &saga, use_saga);
  TRY(cafe_submit, &submit, reply_user, use_submit);
  TRY(cafe_list, &list, limit, use_list);
  TRY(cafe_replay, &replay, data_size, use_replay);
  TRY(cafe_shop_options, &shop_options, channel_retry, use_shop_options);
  TRY(cafe_memory_options, &memory_options, is_threaded, use_memory_options);
  TRY(cafe_sqlite_options, &sqlite_options, vfs, use_sqlite_options);
  TRY(cafe_sandbox_settings, &settings, capacity, use_sandbox_settings);
  TRY(cafe_sim_options, &sim_options, is_orderly, use_sim_options);
  kit_close(k);
#undef TRY
#undef TRY_FROZEN
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_command_of_another_size_is_taken_as_far_as_both_know_it),
      cmocka_unit_test(the_answer_of_a_task_is_taken_by_the_same_rule),
      cmocka_unit_test(options_and_definitions_may_be_shorter_or_longer_within_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
