/* SPDX-License-Identifier: Apache-2.0 */

/* What is wrong with a definition is said when it is hosted, or at the start, and says what to do. */
#include "cafe/sys/transport.h"
#include "cafe/transport/inproc.h"
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
  options.log = (cafe_log){kit_log, k, CAFE_LOG_WARN};
  assert_int_equal(cafe_node_create(&node, &options, NULL), CAFE_OK);
  return node;
}

/* With workers for what the box wants, and for what it doesn't. */
static cafe_node *make_staffed_node(kit *k) {
  cafe_worker worker = {CAFE_WORKER, &question_type, {0, 0, 0, 0}, kit_task_start, kit_task_stop, NULL, k};
  cafe_node *node = make_node(k);
  assert_int_equal(cafe_node_employ(node, &worker, NULL), CAFE_OK);
  worker.task = &ask_type;
  assert_int_equal(cafe_node_employ(node, &worker, NULL), CAFE_OK);
  return node;
}

/* Hosting it, or starting with it, is refused with these words. */
static void refuses(kit *k, const wrong *w, const char *words) {
  cafe_err err = {0};
  cafe_node *node = make_staffed_node(k);
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
  cafe_err err = {0};
  cafe_node *node = make_staffed_node(k);
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
  options.store = k.store;
  options.size = 0;
  assert_int_equal(cafe_node_create(&node, &options, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "CAFE_NODE_OPTIONS_INIT"));
  close_kit(&k);
}

static void what_is_not_of_this_versions_size_is_refused(void **state) {
  (void)state;
  kit k;
  wrong w;
  open_kit(&k);
  wrong_init(&w);
  w.service.size = 0;
  refuses(&k, &w, "set it by CAFE_SERVICE");
  wrong_init(&w);
  w.aggregate.size = 0;
  refuses(&k, &w, "set it by CAFE_AGGREGATE");
  wrong_init(&w);
  w.policy.size = offsetof(cafe_policy, user);
  refuses(&k, &w, "set it by CAFE_POLICY");
  wrong_init(&w);
  w.view.size = 0;
  refuses(&k, &w, "set it by CAFE_VIEW");
  close_kit(&k);
}

static void wrong_services_are_refused(void **state) {
  (void)state;
  static const char *const nowhere[] = {NULL};
  kit k;
  wrong w;
  open_kit(&k);
  wrong_init(&w);
  w.service.name = NULL;
  refuses(&k, &w, "a service needs a name");
  w.service.name = "the boxes";
  refuses(&k, &w, "not \"the boxes\"");
  wrong_init(&w);
  w.service.name = "readers";
  w.aggregates[0] = NULL;
  w.remotes[0] = &box_aggregate;
  w.service.remotes = w.remotes;
  refuses(&k, &w, "doesn't say where its remote 1 lives");
  w.service.remote_services = nowhere;
  refuses(&k, &w, "doesn't say where its remote 1 lives");
  close_kit(&k);
}

static void names_that_are_the_librarys_own_are_refused(void **state) {
  (void)state;
  static const char *const taken[] = {"cafe_things", "cafe_", "ids",    "sagas",       "wakes",
                                      "attempts",    "meta",  "events", "client_keys", "checkpoints"};
  kit k;
  wrong w;
  cafe_saga saga = {.size = CAFE_SAGA};
  const cafe_saga *const sagas[] = {&saga, NULL};
  open_kit(&k);
  for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "can't be named %s: ", taken[i]);
    for (int what = 0; what < 5; what++) {
      wrong_init(&w);
      *(what == 0   ? &w.service.name
        : what == 1 ? &w.aggregate.name
        : what == 2 ? &w.policy.name
        : what == 3 ? &w.view.name
                    : &saga.name) = taken[i];
      w.service.sagas = what == 4 ? sagas : NULL;
      refuses(&k, &w, wanted);
      refuses(&k, &w, "cafe_, are its own");
    }
  }
  static const char *const free_names[] = {"cafe", "cafes", "event", "a_cafe_"};
  for (size_t i = 0; i < sizeof free_names / sizeof free_names[0]; i++) {
    wrong_init(&w);
    const char *const sources[] = {free_names[i], NULL};
    w.view.name = w.policy.name = w.aggregate.name = w.service.name = w.policy.source = free_names[i];
    w.view.sources = sources;
    accepts(&k, &w);
  }
  close_kit(&k);
}

static void a_service_with_a_mistake_keeps_its_node_from_starting(void **state) {
  (void)state;
  kit k;
  wrong w;
  cafe_err err;
  open_kit(&k);
  wrong_init(&w);
  w.view.fold = NULL;
  cafe_node *node = make_staffed_node(&k);
  assert_int_equal(cafe_node_host(node, &w.service, NULL), CAFE_INVALID);
  assert_int_equal(cafe_node_start(node, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "boxes couldn't be hosted"));
  cafe_node_destroy(node);

  wrong_init(&w);
  node = make_staffed_node(&k);
  assert_int_equal(cafe_node_host(node, &w.service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_host(node, &w.service, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "boxes is hosted already"));
  assert_int_equal(cafe_node_start(node, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "boxes couldn't be hosted"));
  cafe_node_destroy(node);

  w.service.name = NULL;
  node = make_staffed_node(&k);
  assert_int_equal(cafe_node_host(node, &w.service, NULL), CAFE_INVALID);
  assert_int_equal(cafe_node_start(node, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "the service without a name couldn't be hosted"));
  cafe_node_destroy(node);
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
  refuses(&k, &w, "the aggregate box lacks decide");
  wrong_init(&w);
  w.aggregate.evolve = NULL;
  refuses(&k, &w, "the aggregate box lacks evolve");
  wrong_init(&w);
  w.aggregate.state = NULL;
  refuses(&k, &w, "the aggregate box lacks its state");
  wrong_init(&w);
  w.aggregate.events = NULL;
  refuses(&k, &w, "the aggregate box lacks its events");
  wrong_init(&w);
  w.aggregate.commands = NULL;
  refuses(&k, &w, "the aggregate box lacks its commands");

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
  static const cafe_field wide_fields[] = {{.number = 1, .type = CAFE_FIELD_I64, .width = 4, .name = "amount"}};
  static const cafe_schema wide = CAFE_SCHEMA_OF("Wide", add, wide_fields);
  static const cafe_schema *const wide_events[] = {&wide, NULL};
  w.aggregate.events = wide_events;
  refuses(&k, &w, "Wide");
  wrong_init(&w);
  w.aggregate.state = &wide;
  refuses(&k, &w, "Wide.amount: the member has 4 bytes");

  wrong_init(&w);
  w.aggregate.name = NULL;
  refuses(&k, &w, "an aggregate needs a name");
  wrong_init(&w);
  static const cafe_schema *const twice[] = {&added_type, &asked_type, &added_type, NULL};
  w.aggregate.events = twice;
  refuses(&k, &w, "box lists Added twice");
  wrong_init(&w);
  static const cafe_command_type repeated[] = {{&add_type, NULL}, {&add_type, NULL}, {NULL, NULL}};
  w.aggregate.commands = repeated;
  refuses(&k, &w, "box takes Add twice");
  close_kit(&k);
}

static void outcomes_that_never_come_are_refused(void **state) {
  (void)state;
  kit k;
  wrong w;
  open_kit(&k);
  wrong_init(&w);
  static const cafe_command_outcome none[] = {{NULL, (cafe_verdict)0}};
  static const cafe_command_type with_none[] = {{&ask_type, none}, {&add_type, NULL}, {NULL, NULL}};
  w.aggregate.commands = with_none;
  refuses(&k, &w, "none is listed");
  static const cafe_command_outcome again[] = {{&answered_type, CAFE_PENDING}, {NULL, (cafe_verdict)0}};
  static const cafe_command_type with_again[] = {{&ask_type, again}, {&add_type, NULL}, {NULL, NULL}};
  w.aggregate.commands = with_again;
  refuses(&k, &w, "its outcome Answered must say");
  static const cafe_schema unheard = CAFE_SCHEMA_OF("Unheard", added, added_fields);
  static const cafe_command_outcome never[] = {{&unheard, CAFE_ACCEPTED}, {NULL, (cafe_verdict)0}};
  static const cafe_command_type with_never[] = {{&ask_type, never}, {&add_type, NULL}, {NULL, NULL}};
  w.aggregate.commands = with_never;
  refuses(&k, &w, "Ask waits for Unheard, which no aggregate of this node emits");
  close_kit(&k);
}

static void a_task_that_nobody_does_is_refused(void **state) {
  (void)state;
  static const cafe_schema twin = CAFE_SCHEMA_OF("QuestionTask", question_task, question_fields);
  cafe_worker worker = {CAFE_WORKER, &twin, {0, 0, 0, 0}, kit_task_start, kit_task_stop, NULL, NULL};
  kit k;
  wrong w;
  cafe_err err;
  open_kit(&k);
  cafe_node *node = make_node(&k);
  assert_int_equal(cafe_node_host(node, &box_service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(node, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "the task QuestionTask, which the aggregate box wants, has no worker"));
  assert_non_null(strstr(err.text, "cafe_node_employ"));
  assert_int_equal(cafe_node_employ(node, &worker, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(node, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "one cafe_schema"));
  worker.task = &question_type;
  assert_int_equal(cafe_node_employ(node, &worker, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(node, &err), CAFE_OK);
  cafe_node_destroy(node);

  wrong_init(&w);
  w.aggregate.task_types = NULL;
  refuses(&k, &w, "has tasks, but no task_types");
  wrong_init(&w);
  w.aggregate.tasks = NULL;
  refuses(&k, &w, "has no tasks that names them");
  wrong_init(&w);
  static const cafe_field secret_fields[] = {CAFE_FIELD_SECRET_OF(1, TEXT, add, note)};
  static const cafe_schema secret = CAFE_SCHEMA_OF("SecretTask", add, secret_fields);
  static const cafe_schema *const secret_tasks[] = {&secret, NULL};
  w.aggregate.task_types = secret_tasks;
  refuses(&k, &w, "the task SecretTask has the secret field note");
  close_kit(&k);
}

/* Elsewhere somebody else does them. */
static void the_tasks_of_a_remote_aggregate_need_no_worker_here(void **state) {
  (void)state;
  kit k;
  wrong w;
  open_kit(&k);
  wrong_init(&w);
  w.service.name = "readers";
  w.aggregates[0] = NULL;
  w.policies[0] = NULL;
  w.views[0] = NULL;
  w.remotes[0] = &w.aggregate;
  w.remote_services[0] = "boxes";
  w.service.remotes = w.remotes;
  w.service.remote_services = w.remote_services;
  cafe_node *node = make_node(&k);
  assert_int_equal(cafe_node_host(node, &w.service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(node, NULL), CAFE_OK);
  cafe_node_destroy(node);
  close_kit(&k);
}

/* What hears another node needs a transport, or it would wait in silence, for ever. */
static void what_can_hear_nothing_is_refused(void **state) {
  (void)state;
  kit k;
  wrong w;
  cafe_err err;
  open_kit(&k);
  wrong_init(&w);
  w.service.name = "readers";
  w.aggregates[0] = NULL;
  w.policies[0] = NULL;
  w.view = totals_view;
  w.remotes[0] = &box_aggregate;
  w.remote_services[0] = "boxes";
  w.service.remotes = w.remotes;
  w.service.remote_services = w.remote_services;
  refuses(&k, &w, "the view totals hears the service boxes, which isn't hosted here, and the node has no transport");

  /* The box is elsewhere, a crate that is filled whenever it is, is here. */
  static const cafe_field crate_fields[] = {CAFE_FIELD_OF(1, I64, added, amount)};
  static const cafe_schema crated = CAFE_SCHEMA_OF("Crated", added, crate_fields);
  static const cafe_schema crate = CAFE_SCHEMA_OF("Crate", added, crate_fields);
  static const cafe_schema *const crate_events[] = {&crated, NULL};
  static const cafe_schema *const asks[] = {&crate, NULL};
  static const cafe_command_type crate_commands[] = {{&crate, NULL}, {NULL, NULL}};
  w.aggregate.name = "crate";
  w.aggregate.events = crate_events;
  w.aggregate.commands = crate_commands;
  w.aggregate.tasks = NULL;
  w.aggregate.task_types = NULL;
  w.aggregate.give_up = NULL;
  w.aggregates[0] = &w.aggregate;
  w.views[0] = NULL;
  w.policies[0] = &w.policy;
  w.policy.commands = asks;
  refuses(&k, &w,
          "the policy box-burst hears the service boxes, which isn't hosted here, and the node has no transport");

  /* With the service, it hears it. */
  cafe_node *node = make_staffed_node(&k);
  assert_int_equal(cafe_node_host(node, &w.service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(node, &err), CAFE_INVALID);
  static const cafe_service boxes = {CAFE_SERVICE, "boxes", box_aggregates, NULL, NULL, NULL, NULL, NULL};
  assert_int_equal(cafe_node_host(node, &boxes, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(node, NULL), CAFE_OK);
  cafe_node_destroy(node);
  close_kit(&k);
}

static void tell_boxes(const cafe_transport *self, void (*visit)(const char *service, bool is_up, void *user),
                       void *user) {
  visit("barrels", true, user);
  if (self->reserved[0])
    visit("boxes", false, user);
}

/* Nor is who isn't known to be anywhere; who is only down now, is waited for. */
static void what_hears_nobody_that_the_transport_knows_is_refused(void **state) {
  (void)state;
  kit k;
  wrong w;
  cafe_err err;
  cafe_inproc *hub;
  cafe_transport *transport;
  open_kit(&k);
  wrong_init(&w);
  w.service.name = "readers";
  w.aggregates[0] = NULL;
  w.policies[0] = NULL;
  w.view = totals_view;
  w.remotes[0] = &box_aggregate;
  w.remote_services[0] = "boxes";
  w.service.remotes = w.remotes;
  w.service.remote_services = w.remote_services;
  assert_int_equal(cafe_inproc_create(&hub, k.loop, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_inproc_join(&transport, hub, NULL), CAFE_OK);
  cafe_transport_ops ops = *transport->ops;
  ops.peers = tell_boxes;
  transport->ops = &ops;
  for (int knows = 0; knows < 3; knows++) {
    cafe_node *node;
    cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
    options.loop = k.loop;
    options.store = k.store;
    options.transport = transport;
    transport->reserved[0] = knows == 1 ? transport : NULL;
    ops.size = knows == 2 ? offsetof(cafe_transport_ops, peers) : sizeof ops; /* it can't tell */
    assert_int_equal(cafe_node_create(&node, &options, NULL), CAFE_OK);
    assert_int_equal(cafe_node_host(node, &w.service, NULL), CAFE_OK);
    assert_int_equal(cafe_node_start(node, &err), knows ? CAFE_OK : CAFE_INVALID);
    if (!knows)
      assert_non_null(strstr(err.text,
                             "the view totals hears the service boxes, which isn't hosted here, nor among the "
                             "peers of the transport"));
    cafe_node_destroy(node);
  }
  cafe_transport_destroy(transport);
  cafe_inproc_destroy(hub);
  close_kit(&k);
}

static void wrong_policies_are_refused(void **state) {
  (void)state;
  kit k;
  wrong w;
  open_kit(&k);
  wrong_init(&w);
  w.policy.react = NULL;
  refuses(&k, &w, "the policy box-burst lacks react");
  wrong_init(&w);
  w.policy.source = NULL;
  refuses(&k, &w, "the policy box-burst lacks its source");
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
  static const cafe_schema added_twin = CAFE_SCHEMA_OF("Added", added, added_fields);
  static const cafe_schema *const twin_events[] = {&added_twin, NULL};
  w.policy.events = twin_events;
  refuses(&k, &w, "reads another Added than the one that is emitted");

  wrong_init(&w);
  w.policy.name = "";
  refuses(&k, &w, "a policy needs a name");
  wrong_init(&w);
  static const cafe_schema *const no_events[] = {NULL};
  w.policy.events = no_events;
  refuses(&k, &w, "box-burst reads no events");
  w.policy.events = NULL;
  refuses(&k, &w, "box-burst reads no events");
  static const cafe_schema *const twice[] = {&bursted_type, &bursted_type, NULL};
  w.policy.events = twice;
  refuses(&k, &w, "box-burst lists Bursted twice");
  close_kit(&k);
}

static void what_a_policy_asks_for_must_be_taken_on_its_node(void **state) {
  (void)state;
  kit k;
  wrong w;
  open_kit(&k);
  wrong_init(&w);
  w.policy.commands = NULL;
  refuses(&k, &w, "the policy box-burst lacks the commands that it asks for");
  static const cafe_schema nobodys = CAFE_SCHEMA_OF("Whistle", add, add_fields);
  static const cafe_schema *const unknown[] = {&add_type, &nobodys, NULL};
  w.policy.commands = unknown;
  refuses(&k, &w, "box-burst asks for Whistle, which no aggregate of this node takes");
  static const cafe_schema add_twin = CAFE_SCHEMA_OF("Add", add, add_fields);
  static const cafe_schema *const twin[] = {&add_twin, NULL};
  w.policy.commands = twin;
  refuses(&k, &w, "asks for another Add than the one that is taken");

  wrong_init(&w);
  w.service.name = "readers";
  w.aggregates[0] = NULL;
  w.views[0] = NULL;
  w.remotes[0] = &w.aggregate;
  w.remote_services[0] = "boxes";
  w.service.remotes = w.remotes;
  w.service.remote_services = w.remote_services;
  refuses(&k, &w, "asks for Add, whose aggregate lives at boxes: host the policy there");
  close_kit(&k);
}

static int first_part(uint64_t *out, const cafe_event *event, void *user) {
  (void)event, (void)user;
  *out = 1;
  return CAFE_OK;
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
  refuses(&k, &w, "the view boxes lacks sub, which its sub_name names");
  w.view.sub_name = NULL;
  w.view.sub = first_part;
  refuses(&k, &w, "the view boxes lacks a sub_name for its sub");
  wrong_init(&w);
  w.view.key_name = NULL;
  refuses(&k, &w, "the view boxes lacks its key_name");
  wrong_init(&w);
  wrong_init(&w);
  w.view.shown_by = "total";
  refuses(&k, &w, "no BOOL column");
  wrong_init(&w);
  w.view.name = "sagas";
  refuses(&k, &w, "the library's tables");
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

  wrong_init(&w);
  w.view.row = NULL;
  refuses(&k, &w, "schema");
  wrong_init(&w);
  w.view.name = NULL;
  refuses(&k, &w, "a view is a table");
  w.view.name = "All boxes";
  refuses(&k, &w, "not \"All boxes\"");
  w.view.name = "events";
  refuses(&k, &w, "the library's tables");
  wrong_init(&w);
  w.view.version = 0;
  refuses(&k, &w, "lacks a version: the first is 1");
  wrong_init(&w);
  static const cafe_schema *const twice[] = {&added_type, &added_type, NULL};
  w.view.events = twice;
  refuses(&k, &w, "boxes lists Added twice");
  close_kit(&k);
}

static void wrong_columns_of_views_are_refused(void **state) {
  (void)state;
  static const char *const wrong_index[] = {"level", "colour", NULL};
  kit k;
  wrong w;
  open_kit(&k);
  wrong_init(&w);
  w.view.key_name = "boxId";
  refuses(&k, &w, "needs a key_name in snake_case, not \"boxId\"");
  w.view.key_name = "total";
  refuses(&k, &w, "two columns total");
  wrong_init(&w);
  w.view.sub = first_part;
  w.view.sub_name = "note";
  refuses(&k, &w, "two columns note");
  w.view.sub_name = "box_id";
  refuses(&k, &w, "two columns box_id");
  w.view.sub_name = "part";
  accepts(&k, &w);
  close_kit(&k);
  open_kit(&k);
  wrong_init(&w);
  w.view.indexes = wrong_index;
  refuses(&k, &w, "an index on colour, which is no column");
  wrong_init(&w);
  w.view.shown_by = "is_shown";
  refuses(&k, &w, "hides a row by CAFE_FOLD_HIDE");
  close_kit(&k);
}

static void sources_of_views_that_miss_events_are_refused(void **state) {
  (void)state;
  static const char *const other[] = {"barrels", NULL}, *const more[] = {"boxes", "barrels", NULL};
  static const char *const none[] = {NULL};
  kit k;
  wrong w;
  open_kit(&k);
  for (int is_inline = 0; is_inline <= 1; is_inline++) {
    wrong_init(&w);
    if (!is_inline)
      w.view = totals_view;
    w.view.sources = none;
    refuses(&k, &w, "lacks its sources");
    w.view.sources = other;
    refuses(&k, &w, "its sources lack the service of that, boxes");
    w.view.sources = more;
    refuses(&k, &w, "has the source barrels, which emits none of its events");
  }
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
  close_kit(&k);
}

static void wrong_workers_are_refused(void **state) {
  (void)state;
  kit k;
  cafe_err err;
  cafe_worker worker = {CAFE_WORKER, &question_type, {0, 0, 0, 0}, kit_task_start, kit_task_stop, NULL, NULL};
  open_kit(&k);
  cafe_node *node = make_node(&k);
  worker.size = 0;
  assert_int_equal(cafe_node_employ(node, &worker, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "CAFE_WORKER"));
  worker.size = CAFE_WORKER;
  worker.task = NULL;
  assert_int_equal(cafe_node_employ(node, &worker, &err), CAFE_INVALID);
  worker.task = &question_type;
  worker.start = NULL;
  assert_int_equal(cafe_node_employ(node, &worker, &err), CAFE_INVALID);
  worker.start = kit_task_start;
  worker.retry.max_attempts = 3;
  assert_int_equal(cafe_node_employ(node, &worker, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "give_up"));
  worker.retry.max_attempts = 0;
  worker.retry.initial_ms = 100;
  assert_int_equal(cafe_node_employ(node, &worker, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "initial_ms above max_ms"));
  worker.retry.initial_ms = 0;
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
    cafe_node *node = make_staffed_node(&k);
    assert_int_equal(cafe_node_host(node, &box_service, NULL), CAFE_OK);
    assert_int_equal(cafe_node_start(node, &err), CAFE_DENIED);
    assert_int_equal(cafe_node_start(node, &err), CAFE_OK);
    cafe_node_destroy(node);
  }
  close_kit(&k);
}

/* ---- what no definition shows before it runs ---- */

/* Starts a node with this and sends it a command, which fails with these words and leaves nothing behind. */
static void fails(const wrong *w, const cafe_schema *command, const void *data, const char *words) {
  kit k;
  call c;
  open_kit(&k);
  k.node = make_staffed_node(&k);
  assert_int_equal(cafe_node_host(k.node, &w->service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(k.node, NULL), CAFE_OK);
  assert_int_equal(kit_send(&k, &c, command, 1, data), CAFE_OK);
  kit_run(&k, 20);
  if (!strstr(c.text, words))
    print_error("\"%s\" instead of: %s\n", c.text, words);
  assert_int_equal(c.times, 1);
  assert_int_equal(c.code, CAFE_INVALID);
  assert_non_null(strstr(c.text, words));
  kit_stop(&k);
  kit_start(&k);
  assert_int_equal(kit_add(&k, 1, 1).version, 1);
  kit_close(&k);
}

static void what_an_aggregate_does_not_list_fails_the_command(void **state) {
  (void)state;
  wrong w;
  burst one = {1};
  ask question = {1};
  static const cafe_schema *const fewer[] = {&added_type, &asked_type, &answered_type, &denied_type, NULL};
  wrong_init(&w);
  w.aggregate.events = fewer;
  w.policies[0] = NULL;
  fails(&w, &burst_type, &one, "Bursted, which it doesn't list");

  wrong_init(&w);
  static const cafe_schema *const other_task[] = {&ask_type, NULL};
  w.aggregate.task_types = other_task;
  fails(&w, &ask_type, &question, "box asks for QuestionTask, which it doesn't list");
}

static void ask_for_an_answer(cafe_reaction *out, const cafe_event *event, void *user) {
  answer said = {1};
  (void)user;
  cafe_react(out, &answer_type, event->key, &said, sizeof said);
}

static void ask_elsewhere(cafe_reaction *out, const cafe_event *event, void *user) {
  add one = {1, {NULL, 0}};
  (void)user;
  cafe_react(out, &add_type, event->key + 1, &one, sizeof one);
}

static void what_a_policy_does_not_say_fails_the_command(void **state) {
  (void)state;
  wrong w;
  burst one = {1};
  wrong_init(&w);
  w.policy.react = ask_for_an_answer;
  fails(&w, &burst_type, &one, "box-burst asks for Answer, which it doesn't list");
  w.policy.react = ask_elsewhere;
  fails(&w, &burst_type, &one, "mark the policy other_key");
}

static cafe_verdict decide_against_events(cafe_decision *out, const void *state, const cafe_command *command,
                                          void *user) {
  added some = {1, {NULL, 0}};
  (void)state, (void)user;
  if (command->type == &add_type)
    return CAFE_ACCEPTED;
  cafe_emit(out, &added_type, &some, sizeof some);
  return CAFE_UNCHANGED;
}

static void a_verdict_that_its_events_deny_fails_the_command(void **state) {
  (void)state;
  wrong w;
  add some = {1, {NULL, 0}};
  burst one = {1};
  wrong_init(&w);
  w.aggregate.decide = decide_against_events;
  fails(&w, &add_type, &some, "Add was accepted without an event: emit one, or return CAFE_UNCHANGED");
  fails(&w, &burst_type, &one, "Burst emitted Added, but changes nothing: return CAFE_ACCEPTED");
}

static cafe_verdict decide_nonsense(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  (void)out, (void)state, (void)user;
  return command->type == &add_type ? (cafe_verdict)0 : command->type == &burst_type ? CAFE_PENDING : CAFE_REFUSED;
}

static void a_verdict_that_says_nothing_fails_the_command(void **state) {
  (void)state;
  wrong w;
  add some = {1, {NULL, 0}};
  burst one = {1};
  ask question = {1};
  wrong_init(&w);
  w.aggregate.decide = decide_nonsense;
  fails(&w, &add_type, &some, "decided as 0, which is no cafe_verdict");
  fails(&w, &burst_type, &one, "lists no outcomes");
  fails(&w, &ask_type, &question, "refused without a reason");
}

static int fold_nonsense(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)row, (void)event, (void)arena, (void)user;
  *out = (cafe_fold)0;
  return CAFE_OK;
}

static void a_fold_that_says_nothing_fails_the_command(void **state) {
  (void)state;
  wrong w;
  add some = {1, {NULL, 0}};
  wrong_init(&w);
  w.view.fold = fold_nonsense;
  fails(&w, &add_type, &some, "the view boxes can't fold Added of key 1: what it said is no cafe_fold");

  kit k;
  open_kit(&k);
  w.view = totals_view; /* nobody waits for this one: it is logged */
  w.view.fold = fold_nonsense;
  k.node = make_staffed_node(&k);
  assert_int_equal(cafe_node_host(k.node, &w.service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(k.node, NULL), CAFE_OK);
  assert_int_equal(kit_add(&k, 1, 1).verdict, CAFE_ACCEPTED);
  assert_true(kit_was_logged(&k, "the view totals can't fold Added of key 1: what it said is no cafe_fold"));
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
      cmocka_unit_test(what_is_not_of_this_versions_size_is_refused),
      cmocka_unit_test(wrong_services_are_refused),
      cmocka_unit_test(names_that_are_the_librarys_own_are_refused),
      cmocka_unit_test(a_service_with_a_mistake_keeps_its_node_from_starting),
      cmocka_unit_test(wrong_aggregates_are_refused),
      cmocka_unit_test(outcomes_that_never_come_are_refused),
      cmocka_unit_test(a_task_that_nobody_does_is_refused),
      cmocka_unit_test(the_tasks_of_a_remote_aggregate_need_no_worker_here),
      cmocka_unit_test(what_a_policy_asks_for_must_be_taken_on_its_node),
      cmocka_unit_test(what_can_hear_nothing_is_refused),
      cmocka_unit_test(what_hears_nobody_that_the_transport_knows_is_refused),
      cmocka_unit_test(wrong_policies_are_refused),
      cmocka_unit_test(wrong_views_are_refused),
      cmocka_unit_test(wrong_columns_of_views_are_refused),
      cmocka_unit_test(sources_of_views_that_miss_events_are_refused),
      cmocka_unit_test(an_inline_view_of_another_nodes_events_is_refused),
      cmocka_unit_test(wrong_workers_are_refused),
      cmocka_unit_test(after_the_start_nothing_more_is_hosted),
      cmocka_unit_test(a_start_that_failed_may_be_repeated),
      cmocka_unit_test(a_store_that_cannot_be_opened_is_told),
      cmocka_unit_test(what_an_aggregate_does_not_list_fails_the_command),
      cmocka_unit_test(what_a_policy_does_not_say_fails_the_command),
      cmocka_unit_test(a_verdict_that_says_nothing_fails_the_command),
      cmocka_unit_test(a_verdict_that_its_events_deny_fails_the_command),
      cmocka_unit_test(a_fold_that_says_nothing_fails_the_command),
      cmocka_unit_test(a_node_that_never_started_is_destroyed_like_any_other),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
