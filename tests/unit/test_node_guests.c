/* SPDX-License-Identifier: Apache-2.0 */

/* A service that is added, used and removed leaves events, a saga, attempts and rows under keys that others share. They
 * go on without it, and it finds its own again when it comes back. */
#include "test_node_kit.h"

NOTE(Redeem);   /* Redeemed */
NOTE(Book);     /* Booked */
NOTE(Redeemed); /* the task n is wanted until it is booked */
NOTE(Booked);
NOTE(Doubled);
NOTE(BookTask);

typedef struct coupon {
  int64_t redeemed, booking;
} coupon;
static const cafe_field coupon_fields[] = {CAFE_FIELD_OF(1, I64, coupon, redeemed),
                                           CAFE_FIELD_OF(2, I64, coupon, booking)};
static const cafe_schema coupon_type = CAFE_SCHEMA_OF("coupon", coupon, coupon_fields);

static cafe_verdict coupon_decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  (void)state, (void)user;
  return say(out, command->type == &Redeem ? &Redeemed : &Booked, command->data);
}

static int coupon_evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  coupon *self = state;
  (void)arena, (void)user;
  self->redeemed += event->type == &Redeemed;
  self->booking = event->type == &Redeemed ? ((const note *)event->data)->n : 0;
  return CAFE_OK;
}

static void coupon_tasks(cafe_tasks *out, const void *state, void *user) {
  const coupon *self = state;
  (void)user;
  note book = {self->booking};
  if (self->booking)
    cafe_want(out, (uint32_t)self->redeemed, &BookTask, &book, sizeof book, 0);
}

static const cafe_command_type coupon_commands[] = {{&Redeem, NULL}, {&Book, NULL}, {NULL, NULL}};
static const cafe_schema *const coupon_events[] = {&Redeemed, &Booked, NULL};
static const cafe_schema *const coupon_task_types[] = {&BookTask, NULL};
static const cafe_aggregate coupon_aggregate = {.size = CAFE_AGGREGATE,
                                                .name = "coupon",
                                                .state = &coupon_type,
                                                .events = coupon_events,
                                                .commands = coupon_commands,
                                                .decide = coupon_decide,
                                                .evolve = coupon_evolve,
                                                .task_types = coupon_task_types,
                                                .tasks = coupon_tasks};
static const cafe_aggregate *const coupon_aggregates[] = {&coupon_aggregate, NULL};

static int count_up(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)event, (void)arena, (void)user;
  ((note *)row)->n++;
  *out = CAFE_FOLD_PUT;
  return CAFE_OK;
}

static const cafe_schema coupon_row = CAFE_SCHEMA_OF("CouponRow", note, note_fields);
static const char *const coupon_sources[] = {"coupons", NULL};
static const cafe_view coupons_view = {.size = CAFE_VIEW,
                                       .name = "coupons",
                                       .version = 1,
                                       .is_inline = true,
                                       .sources = coupon_sources,
                                       .events = coupon_events,
                                       .key_name = "jar_id",
                                       .row = &coupon_row,
                                       .fold = count_up};
static const cafe_view *const coupon_views[] = {&coupons_view, NULL};

static int hear(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user) {
  (void)data, (void)event, (void)cause, (void)arena, (void)user;
  return CAFE_OK;
}

static const cafe_schema *const by_booking[] = {&Booked, NULL};
static const cafe_saga_step books[] = {{.name = "booked", .kind = CAFE_STEP_PIVOT, .completes = by_booking}};
static const cafe_saga coupon_saga = {.size = CAFE_SAGA,
                                      .name = "coupon",
                                      .version = 1,
                                      .data = &coupon_row,
                                      .starts = &Redeemed,
                                      .steps = books,
                                      .step_count = 1,
                                      .fold = hear};
static const cafe_saga *const coupon_sagas[] = {&coupon_saga, NULL};
static const cafe_service coupons = {.size = CAFE_SERVICE,
                                     .name = "coupons",
                                     .aggregates = coupon_aggregates,
                                     .sagas = coupon_sagas,
                                     .views = coupon_views};

/* The first attempt fails, so that the second one's row is stored. */
static int book_start(cafe_task *task, cafe_err *err, void *user) {
  kitchen *k = user;
  k->starts++;
  if (task->attempt == 1)
    return cafe_fail(err, CAFE_UNAVAILABLE, "not now");
  k->task = task;
  return CAFE_OK;
}

static void kitchen_up_with(kitchen *k, const cafe_service *guest) {
  cafe_err err;
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  cafe_worker books_it = {
      .size = CAFE_WORKER, .task = &BookTask, .retry = {100, 100, 0, 0}, .start = book_start, .user = k};
  books_it.stop = kitchen_stop;
  options.loop = k->loop;
  options.store = k->store;
  options.log = (cafe_log){kitchen_log, k, CAFE_LOG_WARN};
  if (cafe_node_create(&k->node, &options, &err) || cafe_node_host(k->node, &k->service, &err) ||
      cafe_node_employ(k->node, &k->worker, &err) || (guest && cafe_node_host(k->node, guest, &err)) ||
      (guest && cafe_node_employ(k->node, &books_it, &err)) || cafe_node_start(k->node, &err))
    fail_msg("%s", err.text);
}

/* Redeems a coupon of the key, whose booking is tried a second time and answered, or not. */
static void redeem(kitchen *k, uint64_t key, bool is_booked) {
  const note booked = {1};
  ask(k, &Redeem, key, 5, NULL);
  kitchen_run(k, 1000000);
  assert_non_null(k->task);
  cafe_task *task = k->task;
  if (is_booked) {
    k->task = NULL;
    cafe_task_settle(task, &Book, &booked, sizeof booked);
    kitchen_run(k, 1000000);
    assert_int_equal(stored(k, key, &Booked), 1);
  }
}

static void a_key_goes_on_without_a_service_that_was_removed(void **state) {
  for (int64_t job_us = 0; job_us <= 1000; job_us += 1000) {
    kitchen *k = kitchen_open(job_us);
    const void *row;
    kitchen_up_with(k, &coupons);
    ask(k, &Fill, 7, 1, NULL);
    redeem(k, 7, true);
    ask(k, &Fill, 7, 2, NULL);
    kitchen_down(k);

    k->warnings = 0;
    kitchen_up_with(k, NULL);
    assert_int_equal(ask(k, &Fill, 7, 4, NULL).verdict, CAFE_ACCEPTED);
    assert_int_equal(ask(k, &Close, 7, 1, NULL).verdict, CAFE_ACCEPTED);
    kitchen_down(k);
    kitchen_up_with(k, NULL);
    assert_int_equal(ask(k, &Close, 7, 1, NULL).verdict, CAFE_UNCHANGED);
    assert_int_equal(stored(k, 7, &Filled), 3);
    assert_int_equal(k->warnings, 0);
    kitchen_down(k);

    kitchen_up_with(k, &coupons);
    assert_int_equal(cafe_node_find(&row, k->node, &coupons_view, 7, 0, NULL), CAFE_OK);
    assert_int_equal(((const note *)row)->n, 2);
    assert_int_equal(ask(k, &Redeem, 7, 5, NULL).verdict, CAFE_ACCEPTED); /* the stream goes on where it was */
    assert_int_equal(cafe_node_find(&row, k->node, &coupons_view, 7, 0, NULL), CAFE_OK);
    assert_int_equal(((const note *)row)->n, 3);
    kitchen_close(k);
  }
}

static void what_a_removed_service_has_begun_waits_for_it(void **state) {
  kitchen *k = kitchen_open(0);
  cafe_service without_saga = coupons;
  without_saga.sagas = NULL;
  kitchen_up_with(k, &without_saga);
  redeem(k, 7, false);
  kitchen_down(k);
  assert_int_equal(k->starts, 2);
  kitchen_up_with(k, NULL);
  assert_int_equal(ask(k, &Fill, 7, 1, NULL).verdict, CAFE_ACCEPTED);
  kitchen_run(k, 100000000);
  assert_int_equal(k->starts, 2);
  kitchen_down(k);
  kitchen_up_with(k, &without_saga);
  assert_int_equal(ask(k, &Fill, 7, 1, NULL).verdict, CAFE_ACCEPTED);
  kitchen_run(k, 1000000);
  assert_int_equal(k->starts, 3);
  assert_int_equal(k->task->attempt, 3); /* the row of the second one was kept */
  kitchen_close(k);
}

/* Nobody else could finish it, or undo it. */
static void a_key_whose_saga_runs_is_not_read_without_its_service(void **state) {
  kitchen *k = kitchen_open(0);
  kitchen_up_with(k, &coupons);
  redeem(k, 7, false);
  kitchen_down(k);
  kitchen_up_with(k, NULL);
  assert_int_equal(ask(k, &Fill, 7, 1, NULL).code, CAFE_UNSUPPORTED);
  assert_int_equal(ask(k, &Fill, 8, 1, NULL).verdict, CAFE_ACCEPTED);
  kitchen_close(k);
}

static void what_a_hosted_aggregate_does_not_know_stays_an_error(void **state) {
  kitchen *k = kitchen_open(0);
  kitchen_up_with(k, NULL);
  ask(k, &Fill, 7, 1, NULL);
  kitchen_down(k);
  kitchen_append(k, "jar", &Doubled, 7, 2, no_data); /* of a newer version */
  kitchen_append(k, "box", &Doubled, 8, 1, no_data); /* of an aggregate that isn't here */
  kitchen_append(k, "box", &Filled, 8, 2, no_data);  /* which had an event of a jar's name */
  kitchen_append(k, "jar", &Closed, 9, 1, no_data);  /* which is the lid's */
  kitchen_up_with(k, NULL);
  assert_int_equal(ask(k, &Fill, 7, 1, NULL).code, CAFE_UNSUPPORTED);
  assert_int_equal(ask(k, &Fill, 8, 1, NULL).verdict, CAFE_ACCEPTED);
  assert_int_equal(ask(k, &Fill, 9, 1, NULL).code, CAFE_UNSUPPORTED);
  kitchen_close(k);
}

/* ---- a value that was added later ---- */

typedef struct mark {
  int32_t colour;
} mark;
static const char *const all_colours[] = {"Red", "Blue", "Green"};
static const cafe_field old_fields[] = {{.number = 1,
                                         .type = CAFE_FIELD_ENUM,
                                         .offset = offsetof(mark, colour),
                                         .width = sizeof(int32_t),
                                         .names_count = 2,
                                         .name = "colour",
                                         .names = all_colours}};
static const cafe_field new_fields[] = {CAFE_FIELD_ENUM_OF(1, mark, colour, all_colours)};
static const cafe_schema Marked = CAFE_SCHEMA_OF("Marked", mark, old_fields);
static const cafe_schema MarkedNewer = CAFE_SCHEMA_OF("Marked", mark, new_fields);
static const cafe_schema mark_type = CAFE_SCHEMA_OF("mark", mark, old_fields);
static const cafe_schema Mark = CAFE_SCHEMA_OF("Mark", mark, old_fields);

static cafe_verdict mark_decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  (void)state, (void)user;
  cafe_emit(out, &Marked, command->data, sizeof(mark));
  return CAFE_ACCEPTED;
}

static int mark_evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)arena, (void)user;
  *(mark *)state = *(const mark *)event->data;
  return CAFE_OK;
}

static const cafe_command_type mark_commands[] = {{&Mark, NULL}, {NULL, NULL}};
static const cafe_schema *const mark_events[] = {&Marked, NULL};
static const cafe_aggregate mark_aggregate = {.size = CAFE_AGGREGATE,
                                              .name = "mark",
                                              .state = &mark_type,
                                              .events = mark_events,
                                              .commands = mark_commands,
                                              .decide = mark_decide,
                                              .evolve = mark_evolve};
static const cafe_aggregate *const mark_aggregates[] = {&mark_aggregate, NULL};

typedef struct told {
  int code;
  char text[240];
} told;

static void tell_outcome(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  told *self = user;
  (void)outcome;
  self->code = err ? err->code : CAFE_OK;
  snprintf(self->text, sizeof self->text, "%s", err ? err->text : "");
}

static void tell_page(const cafe_err *err, const cafe_page *page, void *user) {
  (void)page;
  tell_outcome(err, NULL, user);
}

static void a_value_that_is_not_known_is_refused_and_nothing_is_guessed(void **state) {
  kitchen *k = kitchen_open(0);
  cafe_arena *arena = cafe_arena_create(NULL);
  mark colours[2] = {{1}, {2}};
  cafe_slice data[2];
  told of_order = {-1, ""}, of_history = {-1, ""};
  cafe_submit again = CAFE_SUBMIT_INIT;
  k->service.aggregates = mark_aggregates;
  kitchen_up_with(k, NULL);
  kitchen_down(k);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(cafe_schema_encode(&data[i], arena, &MarkedNewer, &colours[i], NULL), CAFE_OK);
    kitchen_append(k, "mark", &MarkedNewer, 7 + (uint64_t)i, 1, data[i]);
  }
  kitchen_up_with(k, NULL);
  again.command = &Mark;
  again.data = &colours[0];
  again.data_size = sizeof colours[0];
  again.key = 7;
  assert_int_equal(cafe_node_submit(NULL, k->node, &again, tell_outcome, &of_order, NULL), CAFE_OK);
  kitchen_run(k, 1000);
  assert_int_equal(of_order.code, CAFE_OK); /* Blue is known */
  again.key = 8;
  assert_int_equal(cafe_node_submit(NULL, k->node, &again, tell_outcome, &of_order, NULL), CAFE_OK);
  assert_int_equal(cafe_node_history(NULL, k->node, "mark", 8, 0, tell_page, &of_history, NULL), CAFE_OK);
  kitchen_run(k, 1000);
  assert_int_equal(of_order.code, CAFE_UNSUPPORTED);
  assert_non_null(strstr(of_order.text, "Marked 8 at position 2"));
  assert_non_null(strstr(of_order.text, "newer"));
  assert_int_equal(of_history.code, CAFE_UNSUPPORTED);
  cafe_arena_destroy(arena);
  kitchen_close(k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_key_goes_on_without_a_service_that_was_removed),
      cmocka_unit_test(what_a_removed_service_has_begun_waits_for_it),
      cmocka_unit_test(a_key_whose_saga_runs_is_not_read_without_its_service),
      cmocka_unit_test(what_a_hosted_aggregate_does_not_know_stays_an_error),
      cmocka_unit_test(a_value_that_is_not_known_is_refused_and_nothing_is_guessed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
