/* SPDX-License-Identifier: Apache-2.0 */

/* What is wrong with a definition is said when it is hosted, or at the start, and says what to do. */
#include "test_engine_kit.h"

typedef struct wrong {
  cafe_aggregate aggregate;
  cafe_policy policy;
  cafe_view view;
  const cafe_aggregate *aggregates[3];
  const cafe_policy *policies[3];
  const cafe_view *views[3];
  const cafe_aggregate *remotes[3];
  const char *remote_services[3];
  cafe_service service;
} wrong;

static void wrong_init(wrong *w) {
  memset(w, 0, sizeof *w);
  w->aggregate = box_aggregate;
  w->policy = burst_policy;
  w->view = boxes_view;
  w->aggregates[0] = &w->aggregate;
  w->policies[0] = &w->policy;
  w->views[0] = &w->view;
  w->service.size = CAFE_SERVICE;
  w->service.name = "boxes";
  w->service.aggregates = w->aggregates;
  w->service.policies = w->policies;
  w->service.views = w->views;
}

static cafe_node *make_node(kit *k) {
  cafe_node *node;
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.loop = k->loop;
  options.store = k->store;
  options.allocator = &k->memory.allocator;
  assert_int_equal(cafe_node_create(&node, &options, NULL), CAFE_OK);
  return node;
}

/* Hosting it, or starting with it, is refused with these words. */
static void refuses(kit *k, const wrong *w, const char *words) {
  cafe_err err = {0, 0, ""};
  cafe_node *node = make_node(k);
  int code = cafe_node_host(node, &w->service, &err);
  if (!code)
    code = cafe_node_start(node, &err);
  if (code != CAFE_INVALID || !strstr(err.text, words))
    print_error("\"%s\" instead of: %s\n", err.text, words);
  assert_int_equal(code, CAFE_INVALID);
  assert_non_null(strstr(err.text, words));
  cafe_node_destroy(node);
  failing_alloc_end(&k->memory);
}

static void accepts(kit *k, const wrong *w) {
  cafe_err err = {0, 0, ""};
  cafe_node *node = make_node(k);
  int code = cafe_node_host(node, &w->service, &err);
  if (!code)
    code = cafe_node_start(node, &err);
  if (code)
    print_error("%s\n", err.text);
  assert_int_equal(code, CAFE_OK);
  cafe_node_destroy(node);
}

static void open_kit(kit *k) { kit_init(k, false); }

static void close_kit(kit *k) {
  cafe_store_destroy(k->store);
  cafe_store_destroy(k->inner);
  cafe_loop_destroy(k->loop);
  failing_alloc_end(&k->memory);
}

static void a_node_needs_a_loop_and_a_store(void **state) {
  (void)state;
  kit k;
  cafe_node *node = NULL;
  cafe_err err;
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  open_kit(&k);
  assert_int_equal(cafe_node_create(&node, NULL, &err), CAFE_INVALID);
  assert_int_equal(cafe_node_create(&node, &options, &err), CAFE_INVALID);
  options.loop = k.loop;
  assert_int_equal(cafe_node_create(&node, &options, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "store"));
  close_kit(&k);
}

static void wrong_aggregates_are_refused(void **state) {
  (void)state;
  kit k;
  wrong w;
  open_kit(&k);
  wrong_init(&w);
  accepts(&k, &w);

  w.aggregate.decide = NULL;
  refuses(&k, &w, "lacks decide");
  wrong_init(&w);
  w.aggregate.events = NULL;
  refuses(&k, &w, "events");

  wrong_init(&w);
  cafe_aggregate twin = box_aggregate;
  w.aggregates[1] = &twin;
  refuses(&k, &w, "two aggregates are named box");
  twin.name = "crate";
  refuses(&k, &w, "two aggregates emit Added");
  static const cafe_schema *const no_events[] = {NULL};
  twin.events = no_events;
  refuses(&k, &w, "two aggregates take Add");

  wrong_init(&w);
  static const cafe_field secret_fields[] = {CAFE_FIELD_SECRET_OF(1, TEXT, add, note)};
  static const cafe_schema secret = CAFE_SCHEMA_OF("Leaked", add, secret_fields);
  static const cafe_schema *const secret_events[] = {&secret, NULL};
  w.aggregate.events = secret_events;
  refuses(&k, &w, "secret field note");

  wrong_init(&w);
  static const cafe_field wide_fields[] = {{1, CAFE_FIELD_I64, 0, 0, 4, 0, "amount", NULL}};
  static const cafe_schema wide = CAFE_SCHEMA_OF("Wide", add, wide_fields);
  static const cafe_schema *const wide_events[] = {&wide, NULL};
  w.aggregate.events = wide_events;
  refuses(&k, &w, "Wide");
  close_kit(&k);
}

static void wrong_policies_are_refused(void **state) {
  (void)state;
  kit k;
  wrong w;
  open_kit(&k);
  wrong_init(&w);
  w.policy.react = NULL;
  refuses(&k, &w, "react");
  wrong_init(&w);
  w.policy.source = "barrels";
  refuses(&k, &w, "it is boxes's");
  wrong_init(&w);
  cafe_policy twin = burst_policy;
  w.policies[1] = &twin;
  refuses(&k, &w, "two policies are named box-burst");
  wrong_init(&w);
  static const cafe_schema unknown = CAFE_SCHEMA_OF("Unheard", added, added_fields);
  static const cafe_schema *const unknown_events[] = {&unknown, NULL};
  w.policy.events = unknown_events;
  refuses(&k, &w, "reads Unheard, which no aggregate known here emits");
  close_kit(&k);
}

static void wrong_views_are_refused(void **state) {
  (void)state;
  kit k;
  wrong w;
  open_kit(&k);
  wrong_init(&w);
  w.view.fold = NULL;
  refuses(&k, &w, "lacks fold");
  wrong_init(&w);
  w.view.sub_name = "part";
  refuses(&k, &w, "sub");
  wrong_init(&w);
  w.view.shown_by = "total";
  refuses(&k, &w, "no BOOL column");
  wrong_init(&w);
  w.view.name = "sagas";
  refuses(&k, &w, "the library's own");
  wrong_init(&w);
  cafe_view twin = totals_view;
  twin.name = "boxes";
  w.views[1] = &twin;
  refuses(&k, &w, "two views are named boxes");
  wrong_init(&w);
  static const cafe_schema unknown = CAFE_SCHEMA_OF("Unheard", added, added_fields);
  static const cafe_schema *const unknown_events[] = {&unknown, NULL};
  w.view.events = unknown_events;
  refuses(&k, &w, "reads Unheard");
  wrong_init(&w);
  static const cafe_field secret_fields[] = {CAFE_FIELD_SECRET_OF(1, TEXT, add, note)};
  static const cafe_schema secret = CAFE_SCHEMA_OF("SecretRow", add, secret_fields);
  w.view.row = &secret;
  refuses(&k, &w, "secret field note");
  close_kit(&k);
}

static void an_inline_view_of_another_nodes_events_is_refused(void **state) {
  (void)state;
  kit k;
  wrong w;
  open_kit(&k);
  wrong_init(&w);
  w.service.name = "readers";
  w.aggregates[0] = NULL;
  w.policies[0] = NULL;
  w.remotes[0] = &w.aggregate;
  w.remote_services[0] = "boxes";
  w.service.remotes = w.remotes;
  w.service.remote_services = w.remote_services;
  refuses(&k, &w, "isn't an event of this node");
  w.view = totals_view;
  accepts(&k, &w);
  close_kit(&k);
}

static void wrong_workers_are_refused(void **state) {
  (void)state;
  kit k;
  cafe_err err;
  cafe_worker worker = {CAFE_WORKER, &question_type, {0, 0, 0, 0}, kit_task_start, kit_task_stop, NULL, NULL};
  open_kit(&k);
  cafe_node *node = make_node(&k);
  worker.start = NULL;
  assert_int_equal(cafe_node_employ(node, &worker, &err), CAFE_INVALID);
  worker.start = kit_task_start;
  worker.retry.max_attempts = 3;
  assert_int_equal(cafe_node_employ(node, &worker, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "give_up"));
  worker.retry.max_attempts = 0;
  assert_int_equal(cafe_node_employ(node, &worker, &err), CAFE_OK);
  assert_int_equal(cafe_node_employ(node, &worker, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "a worker already"));
  cafe_node_destroy(node);
  close_kit(&k);
}

static void after_the_start_nothing_more_is_hosted(void **state) {
  (void)state;
  kit k;
  cafe_err err;
  cafe_worker worker = {CAFE_WORKER, &ask_type, {0, 0, 0, 0}, kit_task_start, kit_task_stop, NULL, NULL};
  cafe_service other = box_service;
  kit_open(&k, false);
  other.name = "others";
  assert_int_equal(cafe_node_host(k.node, &other, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "before cafe_node_start"));
  assert_int_equal(cafe_node_employ(k.node, &worker, &err), CAFE_INVALID);
  assert_int_equal(cafe_node_start(k.node, &err), CAFE_INVALID);
  kit_close(&k);
}

/* A start that failed is repeated on the same node, and it is as if it had succeeded at once. */
static void a_start_that_failed_may_be_repeated(void **state) {
  (void)state;
  uint32_t failures = 0;
  bool has_failed = true;
  for (size_t n = 1; has_failed; n++) {
    kit k;
    call c;
    burst data = {3};
    cafe_worker worker = {CAFE_WORKER, &question_type, {0, 0, 0, 0}, kit_task_start, kit_task_stop, NULL, &k};
    kit_init(&k, false);
    k.options.loop = k.loop;
    k.options.store = k.store;
    k.options.allocator = &k.memory.allocator;
    assert_int_equal(cafe_node_create(&k.node, &k.options, NULL), CAFE_OK);
    assert_int_equal(cafe_node_host(k.node, &box_service, NULL), CAFE_OK);
    assert_int_equal(cafe_node_employ(k.node, &worker, NULL), CAFE_OK);
    k.memory.fail_at = k.memory.calls + n;
    has_failed = cafe_node_start(k.node, NULL) != CAFE_OK;
    if (has_failed) {
      failures++;
      assert_int_equal(cafe_node_start(k.node, NULL), CAFE_OK);
    }
    k.memory.fail_at = 0;
    assert_int_equal(kit_send(&k, &c, &burst_type, 1, &data), CAFE_OK);
    kit_run(&k, 20);
    assert_int_equal(c.code, CAFE_OK);
    assert_int_equal(c.state.total, 3); /* and not twice of anything */
    assert_int_equal(c.version, 4);
    kit_close(&k);
  }
  assert_true(failures > 3);
}

static void a_store_that_cannot_be_opened_is_told(void **state) {
  (void)state;
  kit k;
  cafe_err err;
  open_kit(&k);
  for (uint64_t n = 1; n <= 2; n++) {
    cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
    faults.fail_call = n;
    faults.fail_code = CAFE_DENIED;
    cafe_faulty_store_set(k.store, &faults);
    cafe_node *node = make_node(&k);
    assert_int_equal(cafe_node_host(node, &box_service, NULL), CAFE_OK);
    assert_int_equal(cafe_node_start(node, &err), CAFE_DENIED);
    assert_int_equal(cafe_node_start(node, &err), CAFE_OK);
    cafe_node_destroy(node);
  }
  close_kit(&k);
}

static void an_event_that_an_aggregate_does_not_list_fails_its_command(void **state) {
  (void)state;
  kit k;
  wrong w;
  call c;
  burst data = {1};
  open_kit(&k);
  wrong_init(&w);
  static const cafe_schema *const fewer[] = {&added_type, NULL};
  w.aggregate.events = fewer;
  w.policies[0] = NULL;
  k.node = make_node(&k);
  assert_int_equal(cafe_node_host(k.node, &w.service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(k.node, NULL), CAFE_OK);
  kit_add(&k, 1, 1);
  assert_int_equal(kit_send(&k, &c, &burst_type, 1, &data), CAFE_OK);
  kit_run(&k, 20);
  assert_int_equal(c.code, CAFE_INVALID);
  assert_non_null(strstr(c.text, "Bursted"));
  assert_int_equal(kit_add(&k, 1, 1).state.total, 2);
  kit_close(&k);
}

static void a_node_that_never_started_is_destroyed_like_any_other(void **state) {
  (void)state;
  kit k;
  open_kit(&k);
  cafe_node *node = make_node(&k);
  assert_int_equal(cafe_node_close(node, NULL, NULL, NULL), CAFE_INVALID);
  assert_int_equal(cafe_node_drain(node, NULL, NULL, NULL), CAFE_INVALID);
  assert_int_equal(cafe_node_host(node, &box_service, NULL), CAFE_OK);
  cafe_node_destroy(node);
  cafe_node_destroy(NULL);
  close_kit(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_node_needs_a_loop_and_a_store),
      cmocka_unit_test(wrong_aggregates_are_refused),
      cmocka_unit_test(wrong_policies_are_refused),
      cmocka_unit_test(wrong_views_are_refused),
      cmocka_unit_test(an_inline_view_of_another_nodes_events_is_refused),
      cmocka_unit_test(wrong_workers_are_refused),
      cmocka_unit_test(after_the_start_nothing_more_is_hosted),
      cmocka_unit_test(a_start_that_failed_may_be_repeated),
      cmocka_unit_test(a_store_that_cannot_be_opened_is_told),
      cmocka_unit_test(an_event_that_an_aggregate_does_not_list_fails_its_command),
      cmocka_unit_test(a_node_that_never_started_is_destroyed_like_any_other),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
