/* SPDX-License-Identifier: Apache-2.0 */

/* What an operator is told: samples, and the counts that are made by reading. */
#include "cafe/metrics.h"
#include "failing_alloc.h"
#include "test_node_kit.h"

/* ---- a saga that waits, and two views of how full the jars are ---- */

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
static const cafe_saga waiting = {.size = CAFE_SAGA,
                                  .name = "waiting",
                                  .version = 1,
                                  .data = &memory_type,
                                  .starts = &Asked,
                                  .steps = waits,
                                  .step_count = 1,
                                  .fold = hear};
static const cafe_saga *const sagas[] = {&waiting, NULL};

typedef enum fullness { EMPTY, SOME, FULL } fullness;
static const char *const fullness_names[] = {"", "Some", "Full"};

typedef struct level {
  int32_t fullness;
  bool is_shown;
  int64_t n;
} level;
static const cafe_field level_fields[] = {CAFE_FIELD_ENUM_OF(1, level, fullness, fullness_names),
                                          CAFE_FIELD_OF(2, BOOL, level, is_shown), CAFE_FIELD_OF(3, I64, level, n)};
static const cafe_schema level_type = CAFE_SCHEMA_OF("Level", level, level_fields);

static bool is_stuck;

static int fold_level(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)out, (void)arena, (void)user;
  level *self = row;
  self->n = ((const note *)event->data)->n;
  self->fullness = self->n < 10 ? SOME : FULL;
  self->is_shown = self->n != 5;
  return CAFE_OK;
}

static int fold_shelf(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  return is_stuck ? CAFE_UNAVAILABLE : fold_level(out, row, event, arena, user);
}

static const char *const sources[] = {"kitchen", NULL};
static const cafe_schema *const filled[] = {&Filled, NULL};
#define LEVELS(name_, is_inline_, fold_)                                                                               \
  .size = CAFE_VIEW, .name = (name_), .version = 1, .is_inline = (is_inline_), .sources = sources, .events = filled,   \
  .key_name = "jar", .row = &level_type, .fold = (fold_)
static const cafe_view levels = {LEVELS("levels", true, fold_level)};
static const cafe_view shelf = {LEVELS("shelf", false, fold_shelf), .shown_by = "is_shown"};
static const cafe_view elsewhere = {LEVELS("elsewhere", true, fold_level)};
static const cafe_view *const views[] = {&levels, &shelf, NULL};

static kitchen *open_kitchen(int64_t job_us) {
  kitchen *k = kitchen_open(job_us);
  k->service.sagas = sagas;
  k->service.views = views;
  is_stuck = false;
  kitchen_up(k);
  return k;
}

/* ---- what is told ---- */

enum { SAMPLES = 400 };

typedef struct told {
  char text[160]; /* name, suffix, labels */
  char family[64];
  cafe_sample_kind kind;
  double value;
} told;

typedef struct telling {
  told samples[SAMPLES];
  uint32_t count;
} telling;

static void take(const cafe_sample *sample, void *user) {
  telling *all = user;
  assert_in_range(all->count, 0, SAMPLES - 1);
  assert_int_equal(sample->size, sizeof *sample);
  assert_true(sample->help && sample->help[0]);
  told *made = &all->samples[all->count++];
  int at = snprintf(made->text, sizeof made->text, "%s%s", sample->name, sample->suffix);
  for (uint32_t i = 0; i < sample->label_count; i++)
    at += snprintf(made->text + at, sizeof made->text - (size_t)at, " %s=%s", sample->label_names[i],
                   sample->label_values[i]);
  snprintf(made->family, sizeof made->family, "%s", sample->name);
  made->kind = sample->kind;
  made->value = sample->value;
}

static const telling *tell(kitchen *k) {
  static telling all;
  all.count = 0;
  cafe_node_metrics(k->node, take, &all);
  return &all;
}

static const told *find(const telling *all, const char *text) {
  for (uint32_t i = 0; i < all->count; i++)
    if (strcmp(all->samples[i].text, text) == 0)
      return &all->samples[i];
  return NULL;
}

static double value_of(kitchen *k, const char *text) {
  const told *found = find(tell(k), text);
  if (!found)
    fail_msg("there is no sample %s", text);
  return found->value;
}

static bool is_same(double a, double b) { return a - b < 1e-9 && b - a < 1e-9; }

#define assert_value(k, text, wanted) assert_true(is_same(value_of((k), (text)), (double)(wanted)))

static void samples_of_a_family_follow_each_other_and_none_is_told_twice(void **state) {
  kitchen *k = open_kitchen(0);
  call waiter;
  submit(k, &waiter, &Ask, 7, 1, NULL);
  ask(k, &Fill, 8, 1, NULL);
  tell(k);
  kitchen_run(k, 100000);
  const telling *all = tell(k);
  assert_non_null(find(all, "cafe_saga_age_seconds saga=waiting"));
  for (uint32_t i = 0; i < all->count; i++) {
    bool has_ended = false;
    for (uint32_t j = i + 1; j < all->count; j++) {
      assert_string_not_equal(all->samples[i].text, all->samples[j].text);
      bool is_family = strcmp(all->samples[i].family, all->samples[j].family) == 0;
      assert_false(is_family && has_ended);
      assert_true(!is_family || all->samples[i].kind == all->samples[j].kind);
      has_ended = has_ended || !is_family;
    }
  }
  kitchen_close(k);
}

static void each_command_is_counted_by_its_verdict(void **state) {
  kitchen *k = open_kitchen(1000);
  call waiter;
  assert_value(k, "cafe_commands_total command=Fill verdict=accepted", 0);
  ask(k, &Fill, 7, 1, NULL);
  ask(k, &Fill, 7, 2, NULL);
  ask(k, &Close, 7, 1, NULL);
  ask(k, &Close, 7, 1, NULL);
  ask(k, &Finish, 7, 1, NULL);
  submit(k, &waiter, &Ask, 7, 1, NULL);
  kitchen_run(k, 100000);
  assert_value(k, "cafe_commands_total command=Fill verdict=accepted", 2);
  assert_value(k, "cafe_commands_total command=Close verdict=accepted", 1);
  assert_value(k, "cafe_commands_total command=Close verdict=unchanged", 1);
  assert_value(k, "cafe_commands_total command=Finish verdict=refused", 1);
  assert_value(k, "cafe_commands_total command=Ask verdict=pending", 1);
  assert_value(k, "cafe_commands_total command=Ask verdict=refused", 0);
  assert_value(k, "cafe_queue_depth", 1);
  assert_value(k, "cafe_events_total", 4);
  kitchen_close(k);
}

static void durable_writes_are_counted_by_how_long_they_took_and_how_much_they_held(void **state) {
  kitchen *k = open_kitchen(2000);
  call made[5];
  for (int i = 0; i < 5; i++)
    submit(k, &made[i], &Fill, 20 + (uint64_t)i, 1, NULL);
  kitchen_run(k, 100000);
  double batches = value_of(k, "cafe_batches_total");
  assert_true(batches > 0);
  assert_value(k, "cafe_commit_seconds_count", batches);
  assert_value(k, "cafe_commit_seconds_bucket le=+Inf", batches);
  assert_value(k, "cafe_commit_seconds_bucket le=0.001", 0);
  assert_value(k, "cafe_commit_seconds_bucket le=0.0025", batches); /* each took 2 ms */
  assert_true(value_of(k, "cafe_commit_seconds_sum") > 0.0019 * batches);
  assert_true(value_of(k, "cafe_commit_seconds_sum") < 0.0021 * batches);
  assert_value(k, "cafe_commit_units_count", batches);
  assert_value(k, "cafe_units_total", 5);
  assert_true(value_of(k, "cafe_commit_units_sum") >= 6); /* with the view's */
  assert_value(k, "cafe_batches_failed_total", 0);
  kitchen_run(k, 100000); /* with the look at the sagas that this began */
  fail_call(k, 1, 1);
  assert_int_equal(ask(k, &Fill, 20, 1, NULL).code, CAFE_UNAVAILABLE);
  assert_value(k, "cafe_batches_failed_total", 1);
  kitchen_close(k);
}

static uint64_t calls_of(kitchen *k) {
  cafe_store_counts counts = {.size = sizeof counts};
  cafe_faulty_store_count(k->store, &counts);
  return counts.calls;
}

/* T16: as many as there are, none of them is read because a node starts. */
static void the_age_of_sagas_is_right_after_a_restart_and_read_only_when_asked_for(void **state) {
  enum { MANY = 2500 }; /* three pieces */
  kitchen *k = open_kitchen(1000);
  static call waiters[MANY + 1];
  submit(k, &waiters[MANY], &Ask, MANY + 100, 1, NULL); /* not the lowest key */
  kitchen_run(k, 60 * 1000000);
  for (int i = 0; i < MANY; i++)
    submit(k, &waiters[i], &Ask, 1 + (uint64_t)i, 1, NULL);
  kitchen_run(k, 10 * 1000000);
  ask(k, &Answer, 3, 1, NULL); /* one has ended */
  kitchen_down(k);
  cafe_faulty_store_set(k->store, NULL);
  kitchen_up(k);
  kitchen_run(k, 1000000);
  uint64_t calls = calls_of(k);
  assert_in_range(calls, 1, 50);
  const telling *all = tell(k);
  assert_null(find(all, "cafe_saga_age_seconds saga=waiting"));
  kitchen_run(k, 1000000);
  assert_in_range(calls_of(k) - calls, 3, 5);
  double age = value_of(k, "cafe_saga_age_seconds saga=waiting");
  assert_true(age > 70 && age < 75);
  assert_value(k, "cafe_sagas saga=waiting phase=running steps=answered", MANY);
  calls = calls_of(k);
  for (int i = 0; i < 8; i++) {
    tell(k);
    kitchen_run(k, 1000000);
  }
  assert_int_equal(calls_of(k), calls); /* the last look is young enough */
  ask(k, &Answer, MANY + 100, 1, NULL);
  kitchen_run(k, 2000000);
  tell(k);
  kitchen_run(k, 1000000);
  assert_value(k, "cafe_sagas saga=waiting phase=running steps=answered", MANY - 1);
  assert_true(value_of(k, "cafe_saga_age_seconds saga=waiting") < age);
  kitchen_close(k);
}

static void a_look_at_the_sagas_that_fails_is_made_again(void **state) {
  kitchen *k = open_kitchen(0);
  call waiter;
  submit(k, &waiter, &Ask, 7, 1, NULL);
  kitchen_run(k, 100000);
  fail_call(k, 1, 1);
  tell(k);
  kitchen_run(k, 100000);
  assert_null(find(tell(k), "cafe_saga_age_seconds saga=waiting"));
  kitchen_run(k, 11 * 1000000);
  tell(k);
  kitchen_run(k, 100000);
  assert_true(value_of(k, "cafe_saga_age_seconds saga=waiting") > 10);
  kitchen_close(k);
}

static void a_view_that_stands_still_falls_behind_by_the_age_of_what_it_lacks(void **state) {
  kitchen *k = open_kitchen(1000);
  ask(k, &Fill, 7, 1, NULL);
  kitchen_run(k, 3600 * (int64_t)1000000); /* nothing happens for an hour */
  assert_value(k, "cafe_view_lag_seconds view=shelf", 0);
  is_stuck = true;
  ask(k, &Fill, 7, 2, NULL);
  double lag = value_of(k, "cafe_view_lag_seconds view=shelf");
  assert_true(lag >= 0 && lag < 1);
  kitchen_run(k, 30 * 1000000);
  lag = value_of(k, "cafe_view_lag_seconds view=shelf");
  assert_true(lag > 29 && lag < 31);
  assert_value(k, "cafe_subscription_lag_seconds subscription=shelf<.", lag);
  assert_value(k, "cafe_view_lag_seconds view=levels", 0); /* inline */
  kitchen_down(k);
  kitchen_up(k); /* who starts behind is behind by what he finds */
  kitchen_run(k, 1000000);
  lag = value_of(k, "cafe_view_lag_seconds view=shelf");
  assert_true(lag > 30 && lag < 33);
  is_stuck = false;
  kitchen_run(k, 1000000);
  assert_value(k, "cafe_view_lag_seconds view=shelf", 0);
  kitchen_close(k);
}

static void what_is_told_costs_no_memory(void **state) {
  failing_alloc alloc;
  failing_alloc_init(&alloc);
  kitchen *k = kitchen_open(0);
  k->service.sagas = sagas;
  k->service.views = views;
  k->allocator = &alloc.allocator;
  kitchen_up(k);
  ask(k, &Fill, 7, 1, NULL);
  tell(k);
  kitchen_run(k, 100000);
  size_t calls = alloc.calls;
  for (int i = 0; i < 100; i++)
    tell(k);
  assert_int_equal(alloc.calls, calls);
  kitchen_close(k);
}

/* ---- counting rows ---- */

typedef struct counted {
  int times, code;
  uint64_t some, full, unnamed;
} counted;

static void note_counts(const cafe_err *err, const cafe_counts *counts, void *user) {
  counted *self = user;
  self->times++;
  self->code = err ? err->code : CAFE_OK;
  assert_true((err == NULL) != (counts == NULL));
  if (err)
    return;
  assert_int_equal(counts->count, 3);
  assert_string_equal(counts->values[EMPTY], "");
  assert_string_equal(counts->values[FULL], "Full");
  self->unnamed = counts->rows[EMPTY];
  self->some = counts->rows[SOME];
  self->full = counts->rows[FULL];
}

static counted count(kitchen *k, const cafe_view *view) {
  counted found = {0};
  cafe_err err = {0};
  if (cafe_node_count(NULL, k->node, view, "fullness", note_counts, &found, &err))
    fail_msg("%s", err.text);
  assert_int_equal(found.times, 0); /* never inside the call */
  for (int i = 0; i < 1000 && !found.times; i++)
    kitchen_run(k, 1000);
  assert_int_equal(found.times, 1);
  return found;
}

static void rows_are_counted_by_what_lists_show_of_them(void **state) {
  enum { MANY = 2300 };
  kitchen *k = open_kitchen(1000);
  static call made[MANY];
  assert_int_equal(count(k, &levels).some, 0);
  for (int i = 0; i < MANY; i++)
    submit(k, &made[i], &Fill, 1 + (uint64_t)i, i < 100 ? 5 : i < 1200 ? 7 : 70, NULL);
  kitchen_run(k, 20 * 1000000);
  counted found = count(k, &levels);
  assert_int_equal(found.code, CAFE_OK);
  assert_int_equal(found.some, 1200);
  assert_int_equal(found.full, MANY - 1200);
  assert_int_equal(found.unnamed, 0);
  found = count(k, &shelf); /* where the fives aren't shown */
  assert_int_equal(found.some, 1100);
  assert_int_equal(found.full, MANY - 1200);
  ask(k, &Fill, 1, 70, NULL);
  assert_int_equal(count(k, &levels).some, 1199);
  kitchen_close(k);
}

static void what_cannot_be_counted_is_refused(void **state) {
  kitchen *k = open_kitchen(0);
  cafe_err err;
  assert_int_equal(cafe_node_count(NULL, k->node, &elsewhere, "fullness", note_counts, NULL, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "elsewhere"));
  assert_int_equal(cafe_node_count(NULL, k->node, NULL, "fullness", note_counts, NULL, &err), CAFE_INVALID);
  assert_int_equal(cafe_node_count(NULL, k->node, &levels, "depth", note_counts, NULL, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "depth"));
  assert_int_equal(cafe_node_count(NULL, k->node, &levels, "n", note_counts, NULL, &err), CAFE_INVALID);
  kitchen_close(k);
}

static void a_count_ends_once_whatever_comes_between(void **state) {
  enum { MANY = 2300 };
  kitchen *k = open_kitchen(1000);
  static call made[MANY];
  counted canceled = {0}, closed = {0};
  cafe_op *op;
  for (int i = 0; i < MANY; i++)
    submit(k, &made[i], &Fill, 1 + (uint64_t)i, 1, NULL);
  kitchen_run(k, 20 * 1000000);
  for (uint64_t n = 1; n <= 3; n++) { /* a piece each */
    fail_call(k, n, 1);
    assert_int_equal(count(k, &levels).code, CAFE_UNAVAILABLE);
  }
  assert_int_equal(count(k, &levels).some, MANY);
  assert_int_equal(cafe_node_count(&op, k->node, &levels, "fullness", note_counts, &canceled, NULL), CAFE_OK);
  kitchen_run(k, 1500); /* in the second piece */
  cafe_op_cancel(op);
  kitchen_run(k, 100000);
  assert_int_equal(canceled.times, 1);
  assert_int_equal(canceled.code, CAFE_CANCELED);
  assert_int_equal(cafe_node_count(NULL, k->node, &levels, "fullness", note_counts, &closed, NULL), CAFE_OK);
  tell(k);
  kitchen_down(k);
  assert_int_equal(closed.times, 1);
  assert_int_equal(closed.code, CAFE_CANCELED);
  kitchen_close(k);
}

static void counting_without_memory_says_so_and_leaves_nothing(void **state) {
  failing_alloc alloc;
  for (uint64_t n = 1;; n++) {
    failing_alloc_init(&alloc);
    kitchen *k = kitchen_open(0);
    k->service.sagas = sagas;
    k->service.views = views;
    k->allocator = &alloc.allocator;
    kitchen_up(k);
    ask(k, &Fill, 7, 1, NULL);
    call waiter;
    counted found = {0};
    submit(k, &waiter, &Ask, 7, 1, NULL);
    kitchen_run(k, 100000);
    alloc.fail_at = alloc.calls + n;
    cafe_err err;
    int code = cafe_node_count(NULL, k->node, &levels, "fullness", note_counts, &found, &err);
    tell(k);
    kitchen_run(k, 100000);
    bool was_hit = alloc.refused;
    alloc.fail_at = 0;
    assert_true(code == CAFE_OK || code == CAFE_NOMEM);
    assert_int_equal(found.times, code == CAFE_OK);
    kitchen_run(k, 11 * 1000000);
    tell(k);
    kitchen_run(k, 100000);
    assert_non_null(find(tell(k), "cafe_saga_age_seconds saga=waiting"));
    assert_int_equal(count(k, &levels).some, 1);
    kitchen_close(k);
    assert_int_equal(alloc.live, 0);
    if (!was_hit)
      break;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(samples_of_a_family_follow_each_other_and_none_is_told_twice),
      cmocka_unit_test(each_command_is_counted_by_its_verdict),
      cmocka_unit_test(durable_writes_are_counted_by_how_long_they_took_and_how_much_they_held),
      cmocka_unit_test(the_age_of_sagas_is_right_after_a_restart_and_read_only_when_asked_for),
      cmocka_unit_test(a_look_at_the_sagas_that_fails_is_made_again),
      cmocka_unit_test(a_view_that_stands_still_falls_behind_by_the_age_of_what_it_lacks),
      cmocka_unit_test(what_is_told_costs_no_memory),
      cmocka_unit_test(rows_are_counted_by_what_lists_show_of_them),
      cmocka_unit_test(what_cannot_be_counted_is_refused),
      cmocka_unit_test(a_count_ends_once_whatever_comes_between),
      cmocka_unit_test(counting_without_memory_says_so_and_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
