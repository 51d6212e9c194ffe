/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is reserved is a newer library's to give a meaning to. A program that sets it asks for something that this one
 * can't do: it is told so, wherever the word stands.
 */
#include "test_node_kit.h"

static const char newer = 1;

/* ---- one of each definition, with one word set ---- */

typedef struct parts {
  cafe_command_outcome outcomes[2];
  cafe_command_type commands[2];
  cafe_schema state;
  cafe_aggregate aggregate;
  cafe_view view;
  cafe_saga_turn turns[2];
  cafe_saga_timeout timeouts[2];
  cafe_saga_step steps[1];
  cafe_saga_interrupt interrupts[1];
  cafe_saga saga;
  cafe_worker worker;
} parts;

static int put(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) { return CAFE_OK; }
static int remember(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user) {
  return CAFE_OK;
}
static int due(int64_t *out, const void *data, void *user) { return CAFE_OK; }
static void ask_nothing(cafe_reaction *out, const void *data, void *user) {}

static void parts_init(parts *p) {
  static const char *const sources[] = {"kitchen", NULL};
  static const cafe_schema *const answered[] = {&Answered, NULL};
  static const cafe_schema *const ended[] = {&BrewEnded, NULL};
  static const cafe_schema *const forgotten[] = {&BrewForgotten, NULL};
  static const char *const wait[] = {"wait", NULL};
  memset(p, 0, sizeof *p);
  p->outcomes[0] = (cafe_command_outcome){.event = &Answered, .verdict = CAFE_ACCEPTED};
  p->commands[0] = (cafe_command_type){.command = &Ask, .outcomes = p->outcomes};
  p->aggregate = jar_aggregate;
  p->state = jar_type;
  p->aggregate.state = &p->state;
  p->aggregate.commands = p->commands;
  p->aggregate.tasks = NULL;
  p->aggregate.task_types = NULL;
  p->view = (cafe_view){.size = CAFE_VIEW,
                        .name = "shelf",
                        .version = 1,
                        .sources = sources,
                        .events = answered,
                        .key_name = "jar_id",
                        .row = &Fill,
                        .fold = put};
  p->turns[0] = (cafe_saga_turn){.signal = &Stirred};
  p->timeouts[0] = (cafe_saga_timeout){.name = "late", .due_ms = due, .ask = ask_nothing};
  p->steps[0] = (cafe_saga_step){
      .name = "wait", .kind = CAFE_STEP_PIVOT, .completes = answered, .turns = p->turns, .timeouts = p->timeouts};
  p->interrupts[0] = (cafe_saga_interrupt){
      .name = "stop", .signal = &Filled, .legal_in = wait, .granted = ended, .refused = forgotten};
  p->saga = (cafe_saga){.size = CAFE_SAGA,
                        .name = "watch",
                        .version = 1,
                        .data = &Fill,
                        .starts = &Asked,
                        .steps = p->steps,
                        .step_count = 1,
                        .interrupts = p->interrupts,
                        .interrupt_count = 1,
                        .fold = remember};
}

/* What hosting and employing them says. */
static int host(const parts *p, cafe_err *err) {
  const cafe_aggregate *aggregates[] = {&p->aggregate, NULL};
  const cafe_view *views[] = {&p->view, NULL};
  const cafe_saga *sagas[] = {&p->saga, NULL};
  cafe_service service = {
      .size = CAFE_SERVICE, .name = "kitchen", .aggregates = aggregates, .views = views, .sagas = sagas};
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  kitchen *k = kitchen_open(0);
  options.loop = k->loop;
  options.store = k->store;
  k->worker.retry.reserved[0] = p->worker.retry.reserved[0];
  assert_int_equal(cafe_node_create(&k->node, &options, NULL), CAFE_OK);
  int code = cafe_node_host(k->node, &service, err);
  if (!code)
    code = cafe_node_employ(k->node, &k->worker, err);
  if (!code)
    code = cafe_node_start(k->node, err);
  kitchen_close(k);
  return code;
}

static void a_word_of_a_newer_library_is_refused_in_every_definition(void **state) {
  static parts p;
  const struct {
    void *word;
    size_t size;
    const char *text;
  } words[] = {
#define WORD(member, text) {&(member), sizeof(member), text}
      WORD(p.outcomes[0].flags, "an outcome of Ask has"),
      WORD(p.outcomes[0].reserved[1], "an outcome of Ask has"),
      WORD(p.commands[0].flags, "the command Ask has"),
      WORD(p.commands[0].reserved[1], "the command Ask has"),
      WORD(p.state.reserved[7], "jar: has"),
      WORD(p.aggregate.reserved[0], "the aggregate jar has"),
      WORD(p.aggregate.reserved[7], "the aggregate jar has"),
      WORD(p.view.reserved[0], "the view shelf has"),
      WORD(p.view.reserved[6], "the view shelf has"),
      WORD(p.turns[0].reserved[1], "saga watch, step wait: has"),
      WORD(p.timeouts[0].reserved[1], "saga watch, step wait: has"),
      WORD(p.steps[0].reserved[3], "saga watch, step wait: has"),
      WORD(p.steps[0].retry.reserved[1], "saga watch, step wait: has"),
      WORD(p.interrupts[0].reserved[3], "saga watch, interrupt stop: has"),
      WORD(p.saga.reserved[0], "saga watch: has"),
      WORD(p.saga.reserved[6], "saga watch: has"),
      WORD(p.worker.retry.reserved[0], "the worker of BrewTask has"),
#undef WORD
  };
  cafe_err err = {0};
  parts_init(&p);
  if (host(&p, &err))
    fail_msg("%s", err.text);
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    parts_init(&p);
    memset(words[i].word, 1, words[i].size);
    assert_int_equal(host(&p, &err), CAFE_UNSUPPORTED);
    assert_int_equal(err.code, CAFE_UNSUPPORTED);
    if (!strstr(err.text, words[i].text))
      fail_msg("%s: %s", words[i].text, err.text);
  }
}

/* ---- in what is handed to a running node ---- */

static void never(const cafe_err *err, const cafe_page *page, void *user) {
  fail_msg("%s", "a refused read was answered");
}

static void a_word_of_a_newer_library_is_refused_in_a_call(void **state) {
  static parts p;
  kitchen *k = kitchen_open(0);
  const cafe_view *views[] = {&p.view, NULL};
  parts_init(&p);
  k->service.views = views;
  kitchen_up(k);
  note data = {1};
  cafe_client_key key = {.key = cafe_text("once")};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  cafe_err err;
  submit.command = &Fill;
  submit.data = &data;
  submit.data_size = sizeof data;
  submit.client_key = &key;
  key.reserved[1] = &newer;
  assert_int_equal(cafe_node_submit(NULL, k->node, &submit, NULL, NULL, &err), CAFE_UNSUPPORTED);
  assert_non_null(strstr(err.text, "a client's key has reserved words"));

  cafe_filter filters[2] = {{.column = "n", .equals = cafe_text("1")}, {.column = "n", .equals = cafe_text("1")}};
  cafe_list list = CAFE_LIST_INIT;
  list.view = &p.view;
  list.filters = filters;
  list.filter_count = 2;
  filters[1].flags = 1;
  assert_int_equal(cafe_node_list(NULL, k->node, &list, never, NULL, &err), CAFE_UNSUPPORTED);
  filters[1].flags = 0;
  filters[1].reserved[1] = &newer;
  assert_int_equal(cafe_node_list(NULL, k->node, &list, never, NULL, &err), CAFE_UNSUPPORTED);
  assert_non_null(strstr(err.text, "a filter has reserved words"));
  kitchen_close(k);
}

static void a_word_of_a_newer_library_is_refused_in_a_shops_retries(void **state) {
  kitchen *k = kitchen_open(0);
  kitchen_up(k);
  for (int i = 0; i < 2; i++) {
    cafe_shop *shop = NULL;
    cafe_err err;
    cafe_shop_options options = CAFE_SHOP_OPTIONS_INIT;
    options.services = CAFE_SHOP_APP;
    (i ? &options.gateway_retry : &options.channel_retry)->reserved[1] = 1;
    assert_int_equal(cafe_shop_create(&shop, k->node, &options, &err), CAFE_UNSUPPORTED);
    assert_non_null(strstr(err.text, "a retry has reserved words"));
  }
  kitchen_close(k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_word_of_a_newer_library_is_refused_in_every_definition),
      cmocka_unit_test(a_word_of_a_newer_library_is_refused_in_a_call),
      cmocka_unit_test(a_word_of_a_newer_library_is_refused_in_a_shops_retries),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
