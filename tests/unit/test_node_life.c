/* SPDX-License-Identifier: Apache-2.0 */

/* A node's life: what closing it, calling it from within, and times without end do to those who wait. */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failing_alloc.h"
#include "test_node_kit.h"

static void closing_answers_nobody_before_it_returns(void **state) {
  kitchen *k = kitchen_open(1000);
  call made;
  kitchen_up(k);
  submit(k, &made, &Fill, 0, 1, NULL); /* waits for a new key */
  kitchen_run(k, 100);
  assert_int_equal(cafe_node_close(k->node, NULL, NULL, NULL), CAFE_OK);
  assert_false(made.is_done);
  kitchen_run(k, 100000);
  assert_int_equal(made.times, 1);
  assert_int_equal(made.code, CAFE_CANCELED);
  kitchen_close(k);
}

typedef struct ending {
  int times, code;
} ending;

static void note_ending(const cafe_err *err, void *user) {
  ending *self = user;
  self->times++;
  self->code = err ? err->code : CAFE_OK;
}

static void a_node_that_is_closed_while_it_drains_says_both(void **state) {
  kitchen *k = kitchen_open(1000);
  ending drained = {0, -1}, closed = {0, -1};
  call made;
  kitchen_up(k);
  submit(k, &made, &Ask, 7, 1, NULL); /* never answered */
  kitchen_run(k, 100000);
  assert_int_equal(cafe_node_drain(k->node, note_ending, &drained, NULL), CAFE_OK);
  kitchen_run(k, 100000);
  assert_int_equal(drained.times, 0);
  assert_int_equal(cafe_node_close(k->node, note_ending, &closed, NULL), CAFE_OK);
  kitchen_run(k, 100000);
  assert_int_equal(made.code, CAFE_CANCELED);
  assert_int_equal(drained.times, 1);
  assert_int_equal(drained.code, CAFE_CANCELED);
  assert_int_equal(closed.times, 1);
  assert_int_equal(closed.code, CAFE_OK);
  kitchen_close(k);
}

/* Answers the task that runs, at a time of its own. */
static void brewed(cafe_timer *timer) {
  kitchen *k = timer->user;
  note said = {7};
  cafe_task *task = k->task;
  k->task = NULL;
  cafe_task_settle(task, &Finish, &said, sizeof said);
}

static void finishing_waits_for_what_runs_so_that_nothing_is_done_again(void **state) {
  for (int64_t job_us = 0; job_us <= 1000; job_us += 1000) {
    kitchen *k = kitchen_open(job_us);
    cafe_timer timer = {.fire = brewed, .user = k};
    kitchen_up(k);
    ask(k, &Brew, 7, 7, NULL);
    assert_int_equal(k->starts, 1);
    int64_t due_us = cafe_sim_now_us(k->loop) + 300000;
    assert_int_equal(k->loop->ops->timer_start(k->loop, &timer, due_us, NULL), CAFE_OK);
    assert_int_equal(cafe_node_finish(k->node, 5000, NULL), CAFE_OK);
    assert_true(cafe_sim_now_us(k->loop) >= due_us);
    assert_true(cafe_sim_now_us(k->loop) < due_us + 100000); /* and no longer */
    assert_int_equal(stored(k, 7, &BrewEnded), 1);
    assert_int_equal(cafe_node_finish(k->node, 5000, NULL), CAFE_OK); /* it is so already */
    kitchen_down(k);
    kitchen_up(k);
    kitchen_run(k, 5000000);
    assert_int_equal(k->starts, 1);
    kitchen_close(k);
  }
}

static void finishing_ends_with_its_time_and_can_be_gone_on_with(void **state) {
  kitchen *k = kitchen_open(1000);
  cafe_timer timer = {.fire = brewed, .user = k};
  cafe_submit late = CAFE_SUBMIT_INIT;
  cafe_err err;
  note data = {1};
  kitchen_up(k);
  ask(k, &Brew, 7, 7, NULL);
  int64_t began_us = cafe_sim_now_us(k->loop);
  assert_int_equal(cafe_node_finish(k->node, 2000, &err), CAFE_TIMEOUT);
  assert_non_null(strstr(err.text, "next start"));
  assert_true(cafe_sim_now_us(k->loop) >= began_us + 2000000 && cafe_sim_now_us(k->loop) < began_us + 2100000);
  late.command = &Fill;
  late.key = 8;
  late.data = &data;
  assert_int_equal(cafe_node_submit(NULL, k->node, &late, NULL, NULL, NULL), CAFE_UNAVAILABLE);
  assert_non_null(k->task); /* it goes on */
  assert_int_equal(k->loop->ops->timer_start(k->loop, &timer, cafe_sim_now_us(k->loop) + 1000, NULL), CAFE_OK);
  assert_int_equal(cafe_node_finish(k->node, 0, NULL), CAFE_OK);
  assert_int_equal(stored(k, 7, &BrewEnded), 1);
  kitchen_close(k);
}

static void what_is_not_finished_in_time_goes_on_at_the_next_start(void **state) {
  kitchen *k = kitchen_open(1000);
  kitchen_up(k);
  ask(k, &Brew, 7, 7, NULL);
  assert_int_equal(cafe_node_finish(k->node, 2000, NULL), CAFE_TIMEOUT);
  kitchen_down(k);
  assert_int_equal(k->stops, 1);
  kitchen_up(k);
  kitchen_run(k, 5000000);
  assert_int_equal(k->starts, 2);
  assert_int_equal(k->attempt, 2);
  kitchen_close(k);
}

/* A store of another make, as far as a node gets with it. */
typedef struct odd_store {
  cafe_store base;
  cafe_store *inner;
  uint32_t shards, partitions;
} odd_store;

static int odd_open(cafe_store *store, cafe_store_info *out, const cafe_store_setup *setup, cafe_err *err) {
  odd_store *self = (odd_store *)store;
  int code = self->inner->ops->open(self->inner, out, setup, err);
  out->shards = self->shards;
  out->partitions = self->partitions;
  return code;
}

static void odd_destroy(cafe_store *store) { cafe_store_destroy(((odd_store *)store)->inner); }

static const cafe_store_ops odd_ops = {
    .size = sizeof odd_ops, .name = "odd", .is_inline = true, .open = odd_open, .destroy = odd_destroy};

static void a_store_that_divides_keys_otherwise_is_refused(void **state) {
  static const uint32_t numbers[][2] = {{1, 128}, {1, 0}, {0, CAFE_PARTITIONS}};
  kitchen *k = kitchen_open(0);
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.loop = k->loop;
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    odd_store odd = {.base.ops = &odd_ops, .shards = numbers[i][0], .partitions = numbers[i][1]};
    cafe_node *node;
    cafe_err err;
    assert_int_equal(cafe_memory_create(&odd.inner, NULL, NULL), CAFE_OK);
    options.store = &odd.base;
    assert_int_equal(cafe_node_create(&node, &options, NULL), CAFE_OK);
    assert_int_equal(cafe_node_start(node, &err), CAFE_UNSUPPORTED);
    assert_non_null(strstr(err.text, "the store odd has"));
    cafe_node_destroy(node);
    cafe_store_destroy(&odd.base);
  }
  kitchen_close(k);
}

static void close_it(cafe_timer *timer) {
  kitchen *k = timer->user;
  assert_int_equal(cafe_node_close(k->node, NULL, NULL, NULL), CAFE_OK);
}

static void finishing_says_what_it_could_not_finish(void **state) {
  kitchen *k = kitchen_open(1000);
  cafe_timer timer = {.fire = close_it, .user = k};
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.loop = k->loop;
  options.store = k->store;
  assert_int_equal(cafe_node_create(&k->node, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_finish(k->node, 0, NULL), CAFE_INVALID); /* not started */
  kitchen_down(k);
  kitchen_up(k);
  ask(k, &Brew, 7, 7, NULL);
  assert_int_equal(k->loop->ops->timer_start(k->loop, &timer, cafe_sim_now_us(k->loop) + 1000, NULL), CAFE_OK);
  assert_int_equal(cafe_node_finish(k->node, 0, NULL), CAFE_CANCELED);
  assert_int_equal(cafe_node_finish(k->node, 0, NULL), CAFE_INVALID); /* closing */
  kitchen_close(k);
}

typedef struct nested {
  kitchen *kitchen;
  int call_code, find_code, finish_code;
  bool is_done;
} nested;

static const cafe_view shelf;

static void call_from_within(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  nested *self = user;
  cafe_submit asked = CAFE_SUBMIT_INIT;
  const cafe_outcome *out;
  note data = {1};
  const void *row;
  asked.command = &Fill;
  asked.key = 8;
  asked.data = &data;
  asked.data_size = sizeof data;
  self->call_code = cafe_node_call(&out, self->kitchen->node, &asked, NULL);
  self->find_code = cafe_node_find(&row, self->kitchen->node, &shelf, 7, 0, NULL);
  self->finish_code = cafe_node_finish(self->kitchen->node, 0, NULL);
  self->is_done = true;
}

static int put(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  ((note *)row)->n++;
  return CAFE_OK;
}

static const char *const kitchen_sources[] = {"kitchen", NULL};
static const cafe_schema *const filled[] = {&Filled, NULL};
NOTE(Shelf);
static const cafe_view shelf = {.size = CAFE_VIEW,
                                .name = "shelf",
                                .version = 1,
                                .is_inline = true,
                                .sources = kitchen_sources,
                                .events = filled,
                                .key_name = "jar_id",
                                .row = &Shelf,
                                .fold = put};
static const cafe_view *const shelf_views[] = {&shelf, NULL};

static void a_call_from_a_completion_is_refused_and_leaves_nothing_behind(void **state) {
  for (int64_t job_us = 0; job_us <= 1000; job_us += 1000) {
    kitchen *k = kitchen_open(job_us);
    nested inner = {k, 0, 0, 0, false};
    note data = {1};
    cafe_submit asked = CAFE_SUBMIT_INIT;
    k->service.views = shelf_views;
    kitchen_up(k);
    asked.command = &Fill;
    asked.key = 7;
    asked.data = &data;
    asked.data_size = sizeof data;
    assert_int_equal(cafe_node_submit(NULL, k->node, &asked, call_from_within, &inner, NULL), CAFE_OK);
    kitchen_run(k, 1000000);
    assert_true(inner.is_done);
    assert_int_equal(inner.call_code, CAFE_INVALID);
    assert_int_equal(inner.find_code, CAFE_INVALID);
    assert_int_equal(inner.finish_code, CAFE_INVALID);
    assert_int_equal(ask(k, &Fill, 7, 1, NULL).verdict, CAFE_ACCEPTED); /* nothing was drained */
    assert_int_equal(stored(k, 8, &Filled), 0);
    cafe_node_stats stats = {.size = sizeof stats};
    cafe_node_stats_get(k->node, &stats);
    assert_int_equal(stats.queued, 0);
    kitchen_close(k);
  }
}

/* A definition that a program makes while it runs, and may free. */
typedef struct made_view {
  char name[8], key_name[8], column[2];
  const char *sources[2];
  char source[8];
  const cafe_schema *events[2];
  cafe_field field;
  cafe_schema row;
  cafe_view view;
  const cafe_view *views[2];
} made_view;

static made_view *make_view(bool is_inline) {
  made_view *made = calloc(1, sizeof *made);
  assert_non_null(made);
  memcpy(made->name, "made", 5);
  memcpy(made->key_name, "jar_id", 7);
  memcpy(made->column, "n", 2);
  memcpy(made->source, "kitchen", 8);
  made->sources[0] = made->source;
  made->events[0] = &Filled;
  made->field = note_fields[0];
  made->field.name = made->column;
  made->row = Shelf;
  made->row.fields = &made->field;
  made->view = shelf;
  made->view.is_inline = is_inline;
  made->view.name = made->name;
  made->view.key_name = made->key_name;
  made->view.sources = made->sources;
  made->view.events = made->events;
  made->view.row = &made->row;
  made->views[0] = &made->view;
  return made;
}

static void definitions_may_go_once_their_node_is_destroyed(void **state) {
  for (int i = 0; i < 4; i++) {
    kitchen *k = kitchen_open(i / 2 ? 1000 : 0);
    for (int64_t runs = 1; runs <= 3; runs++) {
      const void *row = NULL;
      made_view *made = make_view(i % 2);
      k->service.views = made->views;
      kitchen_up(k);
      ask(k, &Fill, 7, 1, NULL);
      kitchen_run(k, 1000000);
      assert_int_equal(cafe_node_find(&row, k->node, &made->view, 7, 0, NULL), CAFE_OK);
      assert_int_equal(((const note *)row)->n, runs);
      kitchen_down(k);
      memset(made, 0x5A, sizeof *made);
      free(made);
    }
    kitchen_close(k);
  }
}

static void call_once_drained(const cafe_err *err, void *user) { call_from_within(err, NULL, user); }

/* Who waits for the answer is told, and in the same turn the node is drained. */
static void answer_and_drain(cafe_timer *timer) {
  static call made;
  nested *inner = timer->user;
  submit(inner->kitchen, &made, &Answer, 7, 1, NULL);
  assert_int_equal(cafe_node_drain(inner->kitchen->node, call_once_drained, inner, NULL), CAFE_OK);
}

static void a_refused_call_leaves_the_answer_of_the_one_further_up(void **state) {
  kitchen *k = kitchen_open(0);
  nested inner = {k, 0, 0, 0, false};
  cafe_timer timer = {.fire = answer_and_drain, .user = &inner};
  note data = {1};
  cafe_submit asked = CAFE_SUBMIT_INIT;
  const cafe_outcome *out;
  k->service.views = shelf_views;
  kitchen_up(k);
  asked.command = &Ask;
  asked.key = 7;
  asked.data = &data;
  asked.data_size = sizeof data;
  assert_int_equal(k->loop->ops->timer_start(k->loop, &timer, cafe_sim_now_us(k->loop) + 1000, NULL), CAFE_OK);
  assert_int_equal(cafe_node_call(&out, k->node, &asked, NULL), CAFE_OK);
  assert_true(inner.is_done);
  assert_int_equal(inner.find_code, CAFE_INVALID);
  assert_int_equal(out->verdict, CAFE_ACCEPTED);
  assert_int_equal(out->key, 7);
  assert_ptr_equal(out->event->type, &Answered);
  kitchen_close(k);
}

static void a_timeout_of_ages_is_no_timeout(void **state) {
  kitchen *k = kitchen_open(1000);
  note data = {1};
  call made = {0};
  cafe_submit asked = CAFE_SUBMIT_INIT;
  k->worker.retry.timeout_ms = INT64_MAX;
  kitchen_up(k);
  asked.command = &Brew;
  asked.key = 7;
  asked.data = &data;
  asked.data_size = sizeof data;
  asked.timeout_ms = INT64_MAX;
  assert_int_equal(cafe_node_submit(NULL, k->node, &asked, call_answered, &made, NULL), CAFE_OK);
  kitchen_run(k, 10000000);
  assert_int_equal(made.times, 1);
  assert_int_equal(made.code, CAFE_OK);
  assert_int_equal(k->starts, 1);
  kitchen_close(k);
}

static void fill_too(cafe_reaction *out, const cafe_event *event, void *user) {
  (void)user;
  cafe_react(out, &Fill, event->key, event->data, sizeof(note));
}

static const cafe_schema *const stirred[] = {&Stirred, NULL};
static const cafe_schema *const fill_list[] = {&Fill, NULL};
static const cafe_policy fills = {CAFE_POLICY, "fills", "kitchen", stirred, false, fill_too, fill_list, NULL};
static const cafe_policy *const fills_policies[] = {&fills, NULL};

static const cafe_schema *const closed_or_filled[] = {&Filled, &Closed, NULL};
static const char *const both_sources[] = {"kitchen", "lids", NULL};
static const cafe_view both = {.size = CAFE_VIEW,
                               .name = "both",
                               .version = 1,
                               .is_inline = true,
                               .sources = both_sources,
                               .events = closed_or_filled,
                               .key_name = "jar_id",
                               .row = &Shelf,
                               .fold = put};
static const cafe_view *const both_views[] = {&both, NULL};
static const cafe_aggregate *const jars[] = {&jar_aggregate, NULL};
static const cafe_aggregate *const lids[] = {&lid_aggregate, NULL};

static void a_start_that_lacked_a_service_can_be_made_again_with_it(void **state) {
  kitchen *k = kitchen_open(0);
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  cafe_service lid_service = {.size = CAFE_SERVICE, .name = "lids", .aggregates = lids};
  k->service.aggregates = jars;
  k->service.policies = fills_policies;
  k->service.views = both_views;
  options.loop = k->loop;
  options.store = k->store;
  assert_int_equal(cafe_node_create(&k->node, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_host(k->node, &k->service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_employ(k->node, &k->worker, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(k->node, NULL), CAFE_INVALID);
  assert_int_equal(cafe_node_host(k->node, &lid_service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(k->node, NULL), CAFE_OK);
  ask(k, &Stir, 7, 1, NULL);
  assert_int_equal(stored(k, 7, &Filled), 1);
  kitchen_close(k);
}

/* Its policy and its view work, too. */
static void a_start_that_failed_at_the_store_takes_what_is_hosted_after_it(void **state) {
  kitchen *k = kitchen_open(0);
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
  cafe_service lid_service = {
      .size = CAFE_SERVICE, .name = "lids", .aggregates = lids, .policies = fills_policies, .views = both_views};
  cafe_err err;
  k->service.aggregates = jars;
  k->service.policies = NULL;
  options.loop = k->loop;
  options.store = k->store;
  assert_int_equal(cafe_node_create(&k->node, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_host(k->node, &k->service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_employ(k->node, &k->worker, NULL), CAFE_OK);
  faults.fail_call = 1; /* open */
  cafe_faulty_store_set(k->store, &faults);
  assert_int_equal(cafe_node_start(k->node, NULL), CAFE_UNAVAILABLE);
  assert_int_equal(cafe_node_host(k->node, &lid_service, NULL), CAFE_OK);
  faults.fail_call = 2; /* what is read after it: the store stays open, with its tables */
  cafe_faulty_store_set(k->store, &faults);
  assert_int_equal(cafe_node_start(k->node, NULL), CAFE_UNAVAILABLE);
  assert_int_equal(cafe_node_host(k->node, &lid_service, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "the store is open"));
  cafe_faulty_store_set(k->store, NULL);
  assert_int_equal(cafe_node_start(k->node, NULL), CAFE_OK);
  ask(k, &Stir, 7, 1, NULL);
  assert_int_equal(stored(k, 7, &Filled), 1);
  kitchen_close(k);
}

static void refuse_start(const cafe_service *service) {
  kitchen *k = kitchen_open(0);
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.loop = k->loop;
  options.store = k->store;
  assert_int_equal(cafe_node_create(&k->node, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_employ(k->node, &k->worker, NULL), CAFE_OK);
  int code = cafe_node_host(k->node, service, NULL);
  if (!code)
    code = cafe_node_start(k->node, NULL);
  assert_int_equal(code, CAFE_INVALID);
  kitchen_close(k);
}

static int one(uint64_t *out, const cafe_event *event, void *user) {
  *out = 1;
  return CAFE_OK;
}

static void what_would_lose_events_in_silence_is_refused_at_the_start(void **state) {
  static const char *const here[] = {"kitchen"};
  static const cafe_view shelf_too = {.size = CAFE_VIEW,
                                      .name = "shelf",
                                      .version = 1,
                                      .sources = kitchen_sources,
                                      .events = filled,
                                      .key_name = "jar_id",
                                      .row = &Shelf,
                                      .fold = put};
  static const cafe_policy shelf_policy = {CAFE_POLICY, "shelf", "kitchen", stirred, true, fill_too, fill_list, NULL};
  static const cafe_policy *const shelf_policies[] = {&shelf_policy, NULL};
  static const cafe_view *const shelf_too_views[] = {&shelf_too, NULL};
  static const cafe_view halved = {.size = CAFE_VIEW,
                                   .name = "halved",
                                   .version = 1,
                                   .sources = kitchen_sources,
                                   .events = filled,
                                   .key_name = "jar_id",
                                   .row = &Shelf,
                                   .sub = one,
                                   .fold = put};
  static const cafe_view *const halved_views[] = {&halved, NULL};
  cafe_service service = {.size = CAFE_SERVICE, .name = "kitchen", .aggregates = kitchen_aggregates};
  service.policies = shelf_policies;
  service.views = shelf_too_views; /* both would move the checkpoints of "shelf" */
  refuse_start(&service);
  service.policies = NULL;
  service.views = halved_views; /* rows of different subs would be one */
  refuse_start(&service);
  service.views = NULL;
  service.aggregates = jars;
  service.remotes = lids; /* neither here nor elsewhere */
  service.remote_services = here;
  refuse_start(&service);
}

static void a_node_isnt_started_on_a_loop_that_cant_turn_it(void **state) {
  failing_alloc memory;
  kitchen *k = kitchen_open(0);
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  cafe_sim_options sim = CAFE_SIM_OPTIONS_INIT;
  failing_alloc_init(&memory);
  sim.allocator = &memory.allocator;
  cafe_loop_destroy(k->loop);
  assert_int_equal(cafe_sim_create(&k->loop, 1, &sim, NULL), CAFE_OK);
  options.loop = k->loop;
  options.store = k->store;
  assert_int_equal(cafe_node_create(&k->node, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_host(k->node, &k->service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_employ(k->node, &k->worker, NULL), CAFE_OK);
  memory.fail_at = memory.calls + 1;
  assert_int_equal(cafe_node_start(k->node, NULL), CAFE_NOMEM);
  assert_int_equal(cafe_node_start(k->node, NULL), CAFE_OK);
  assert_int_equal(ask(k, &Stir, 7, 1, NULL).verdict, CAFE_ACCEPTED);
  kitchen_close(k);
  failing_alloc_end(&memory);
}

/* The loop has its own memory. What is submitted at rest needs a turn, and the turn a timer. */
static void a_turn_comes_though_there_was_no_memory_for_its_timer(void **state) {
  kitchen *k = kitchen_open(0);
  failing_alloc memory;
  cafe_sim_options sim = CAFE_SIM_OPTIONS_INIT;
  call made;
  failing_alloc_init(&memory);
  sim.allocator = &memory.allocator;
  cafe_loop_destroy(k->loop);
  assert_int_equal(cafe_sim_create(&k->loop, 1, &sim, NULL), CAFE_OK);
  kitchen_up(k);
  kitchen_run(k, 100000);
  memory.fail_at = memory.calls + 1;
  submit(k, &made, &Fill, 7, 1, NULL);
  assert_true(memory.refused);
  kitchen_run(k, 100000);
  assert_int_equal(made.times, 1);
  assert_int_equal(made.code, CAFE_OK);
  kitchen_close(k);
  failing_alloc_end(&memory);
}

/* ---- programmers' errors ---- */

static void destroy_from_within(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  (void)err, (void)outcome;
  cafe_node_destroy(user);
}

static void destroy_in_a_completion(kitchen *k) {
  note data = {1};
  cafe_submit asked = CAFE_SUBMIT_INIT;
  asked.command = &Fill;
  asked.key = 7;
  asked.data = &data;
  asked.data_size = sizeof data;
  if (cafe_node_submit(NULL, k->node, &asked, destroy_from_within, k->node, NULL) == CAFE_OK)
    kitchen_run(k, 1000000);
}

static void call_without_a_place(kitchen *k) { cafe_node_call(NULL, k->node, NULL, NULL); }
static void find_without_a_place(kitchen *k) { cafe_node_find(NULL, k->node, NULL, 1, 0, NULL); }

/* A child does it, for the assert ends it: with these words, and without a core. */
static void asserts(void (*mistake)(kitchen *k), const char *words) {
  char said[2000];
  int ends[2];
  int status = 0;
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    static const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)signal(SIGABRT, SIG_DFL);
    (void)dup2(ends[1], STDERR_FILENO);
    kitchen *k = kitchen_open(0);
    kitchen_up(k);
    mistake(k);
    _exit(0);
  }
  close(ends[1]);
  size_t size = 0;
  ssize_t more;
  while (size < sizeof said - 1 && (more = read(ends[0], said + size, sizeof said - 1 - size)) > 0)
    size += (size_t)more;
  said[size] = '\0';
  close(ends[0]);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  if (!strstr(said, words))
    fail_msg("\"%s\" instead of: %s", said, words);
}

static void a_programmers_error_is_asserted(void **state) {
  asserts(destroy_in_a_completion, "must not be called from a completion");
  asserts(call_without_a_place, "needs a place for the outcome");
  asserts(find_without_a_place, "needs a place for the row");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_start_that_lacked_a_service_can_be_made_again_with_it),
      cmocka_unit_test(a_start_that_failed_at_the_store_takes_what_is_hosted_after_it),
      cmocka_unit_test(what_would_lose_events_in_silence_is_refused_at_the_start),
      cmocka_unit_test(a_node_isnt_started_on_a_loop_that_cant_turn_it),
      cmocka_unit_test(a_turn_comes_though_there_was_no_memory_for_its_timer),
      cmocka_unit_test(closing_answers_nobody_before_it_returns),
      cmocka_unit_test(a_node_that_is_closed_while_it_drains_says_both),
      cmocka_unit_test(a_store_that_divides_keys_otherwise_is_refused),
      cmocka_unit_test(finishing_waits_for_what_runs_so_that_nothing_is_done_again),
      cmocka_unit_test(finishing_ends_with_its_time_and_can_be_gone_on_with),
      cmocka_unit_test(what_is_not_finished_in_time_goes_on_at_the_next_start),
      cmocka_unit_test(finishing_says_what_it_could_not_finish),
      cmocka_unit_test(a_call_from_a_completion_is_refused_and_leaves_nothing_behind),
      cmocka_unit_test(definitions_may_go_once_their_node_is_destroyed),
      cmocka_unit_test(a_refused_call_leaves_the_answer_of_the_one_further_up),
      cmocka_unit_test(a_timeout_of_ages_is_no_timeout),
      cmocka_unit_test(a_programmers_error_is_asserted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
