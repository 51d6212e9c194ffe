/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include <cafe/cafe.h>
#include <cafe/testing/crash.h>
#include <cafe/testing/given.h>

typedef struct lend_bike {
  cafe_slice rider;
  int64_t minutes;
} lend_bike;
typedef struct take_back {
  bool is_overdue;
} take_back;
typedef struct record_lock {
  bool is_open;
} record_lock;
typedef struct bike_lent {
  cafe_slice rider;
  int64_t until_ms;
} bike_lent;
typedef struct bike_unlocked {
  int64_t at_ms;
} bike_unlocked;
typedef struct bike_returned {
  bool is_overdue;
} bike_returned;
typedef struct bike {
  cafe_slice rider;
  bool is_open;
  int64_t loans;
} bike;
typedef struct open_lock {
  cafe_slice rider;
} open_lock;

static const cafe_field lend_fields[] = {CAFE_FIELD_OF(1, TEXT, lend_bike, rider),
                                         CAFE_FIELD_OF(2, I64, lend_bike, minutes)};
static const cafe_field take_fields[] = {CAFE_FIELD_OF(1, BOOL, take_back, is_overdue)};
static const cafe_field record_fields[] = {CAFE_FIELD_OF(1, BOOL, record_lock, is_open)};
static const cafe_field lent_fields[] = {CAFE_FIELD_OF(1, TEXT, bike_lent, rider),
                                         CAFE_FIELD_OF(2, TIME, bike_lent, until_ms)};
static const cafe_field unlocked_fields[] = {CAFE_FIELD_OF(1, TIME, bike_unlocked, at_ms)};
static const cafe_field returned_fields[] = {CAFE_FIELD_OF(1, BOOL, bike_returned, is_overdue)};
static const cafe_field bike_fields[] = {CAFE_FIELD_OF(1, TEXT, bike, rider), CAFE_FIELD_OF(2, BOOL, bike, is_open),
                                         CAFE_FIELD_OF(3, I64, bike, loans)};
static const cafe_field lock_fields[] = {CAFE_FIELD_OF(1, TEXT, open_lock, rider)};
static const cafe_schema lend_bike_type = CAFE_SCHEMA_OF("LendBike", lend_bike, lend_fields);
static const cafe_schema take_back_type = CAFE_SCHEMA_OF("TakeBack", take_back, take_fields);
static const cafe_schema record_lock_type = CAFE_SCHEMA_OF("RecordLock", record_lock, record_fields);
static const cafe_schema bike_lent_type = CAFE_SCHEMA_OF("BikeLent", bike_lent, lent_fields);
static const cafe_schema bike_unlocked_type = CAFE_SCHEMA_OF("BikeUnlocked", bike_unlocked, unlocked_fields);
static const cafe_schema bike_returned_type = CAFE_SCHEMA_OF("BikeReturned", bike_returned, returned_fields);
static const cafe_schema bike_type = CAFE_SCHEMA_OF("Bike", bike, bike_fields);
static const cafe_schema open_lock_type = CAFE_SCHEMA_OF("OpenLock", open_lock, lock_fields);

static cafe_verdict decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  const bike *self = state;
  (void)user;
  if (command->type == &lend_bike_type) {
    const lend_bike *lend = command->data;
    if (self->rider.size && !cafe_slice_equal(self->rider, lend->rider))
      return cafe_refuse(out, "lent", "somebody else has the bike");
    if (self->rider.size)
      return CAFE_UNCHANGED;
    bike_lent lent = {lend->rider, command->now_ms + lend->minutes * 60000};
    cafe_emit(out, &bike_lent_type, &lent, sizeof lent);
    return CAFE_ACCEPTED;
  }
  if (!self->rider.size || (command->type == &record_lock_type && self->is_open))
    return CAFE_UNCHANGED;
  if (command->type == &record_lock_type) {
    bike_unlocked unlocked = {command->now_ms};
    cafe_emit(out, &bike_unlocked_type, &unlocked, sizeof unlocked);
    return CAFE_ACCEPTED;
  }
  bike_returned returned = {((const take_back *)command->data)->is_overdue};
  cafe_emit(out, &bike_returned_type, &returned, sizeof returned);
  return CAFE_ACCEPTED;
}

static int evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  bike *self = state;
  (void)user;
  self->is_open = event->type == &bike_unlocked_type;
  self->loans += event->type == &bike_lent_type;
  if (event->type == &bike_lent_type)
    return cafe_arena_copy(&self->rider, arena, ((const bike_lent *)event->data)->rider);
  if (event->type == &bike_returned_type)
    self->rider = (cafe_slice){NULL, 0};
  return CAFE_OK;
}

static void tasks(cafe_tasks *out, const void *state, void *user) {
  const bike *self = state;
  (void)user;
  if (self->rider.size && !self->is_open)
    cafe_want(out, (uint32_t)self->loans, &open_lock_type, &(open_lock){self->rider}, sizeof(open_lock), 0);
}

static const cafe_schema *const events[] = {&bike_lent_type, &bike_unlocked_type, &bike_returned_type, NULL};
static const cafe_schema *const task_types[] = {&open_lock_type, NULL};
static const cafe_command_type commands[] = {
    {.command = &lend_bike_type}, {.command = &take_back_type}, {.command = &record_lock_type}, {.command = NULL}};
static const cafe_aggregate bike_aggregate = {CAFE_AGGREGATE,   .name = "bike",       .state = &bike_type,
                                              .events = events, .commands = commands, .decide = decide,
                                              .evolve = evolve, .tasks = tasks,       .task_types = task_types};

typedef struct loan {
  uint64_t bike;
  int64_t until_ms;
} loan;
static const cafe_field loan_fields[] = {CAFE_FIELD_OF(1, U64, loan, bike), CAFE_FIELD_OF(2, TIME, loan, until_ms)};
static const cafe_schema loan_type = CAFE_SCHEMA_OF("Loan", loan, loan_fields);

static int fold(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user) {
  loan *self = data;
  (void)cause;
  (void)arena;
  (void)user;
  self->bike = event->key;
  if (event->type == &bike_lent_type)
    self->until_ms = ((const bike_lent *)event->data)->until_ms;
  return CAFE_OK;
}

static int when_overdue(int64_t *out, const void *data, void *user) {
  (void)user;
  *out = ((const loan *)data)->until_ms;
  return CAFE_OK;
}

static void fetch_it(cafe_reaction *out, const void *data, void *user) {
  (void)user;
  cafe_react(out, &take_back_type, ((const loan *)data)->bike, &(take_back){true}, sizeof(take_back));
}

static const cafe_schema *const unlocked[] = {&bike_unlocked_type, NULL}, *const returned[] = {&bike_returned_type,
                                                                                               NULL};
static const cafe_saga_timeout overdue[] = {{.name = "overdue", .due_ms = when_overdue, .ask = fetch_it},
                                            {.name = NULL}};
static const cafe_saga_step steps[] = {
    {.name = "unlock", .kind = CAFE_STEP_COMPENSATABLE, .completes = unlocked},
    {.name = "ride", .kind = CAFE_STEP_PIVOT, .completes = returned, .timeouts = overdue}};
static const cafe_saga loan_saga = {
    CAFE_SAGA,      .name = "loan",  .version = 1, .data = &loan_type, .starts = &bike_lent_type,
    .steps = steps, .step_count = 2, .fold = fold};

static const cafe_aggregate *const aggregates[] = {&bike_aggregate, NULL};
static const cafe_saga *const sagas[] = {&loan_saga, NULL};
static const cafe_service bikes = {CAFE_SERVICE, .name = "bikes", .aggregates = aggregates, .sagas = sagas};

/* The aggregate. */
static void test_bike(cafe_given *it) {
  cafe_given_time(it, 60000);
  cafe_given_command(it, CAFE_DATA(lend_bike_type, lend_bike, .rider = cafe_text("kim"), .minutes = 5));
  cafe_then_says(it, CAFE_ACCEPTED,
                 CAFE_FACTS(CAFE_FACT(bike_lent_type, bike_lent, .rider = cafe_text("kim"), .until_ms = 360000)));
  cafe_then_is(it, CAFE_VALUE(bike, .rider = cafe_text("kim"), .loans = 1));
  cafe_then_wants(it, CAFE_FACTS(CAFE_FACT_TASK(1, open_lock_type, open_lock, .rider = cafe_text("kim"))));
  cafe_when(it, CAFE_DATA(lend_bike_type, lend_bike, .rider = cafe_text("lee")));
  cafe_then_refuses(it, "lent", NULL);
  cafe_given_event(it, CAFE_DATA(bike_unlocked_type, bike_unlocked, .at_ms = 60000));
  cafe_then_wants(it, NULL);
  cafe_given_starve(it);
}

/* Each command in each state. */
static void test_every_answer(cafe_given *it) {
  const cafe_fact *asked =
      CAFE_FACTS(CAFE_FACT(lend_bike_type, lend_bike, cafe_text("kim"), 5),
                 CAFE_FACT(record_lock_type, record_lock, true), CAFE_FACT(take_back_type, take_back, false));
  const cafe_fact *kims = CAFE_FACTS(CAFE_FACT(bike_lent_type, bike_lent, cafe_text("kim"), 300000));
  const cafe_fact *lees = CAFE_FACTS(CAFE_FACT(bike_lent_type, bike_lent, cafe_text("lee"), 300000),
                                     CAFE_FACT(bike_unlocked_type, bike_unlocked, 1000));
  const cafe_given_case cases[] = {{.name = "there", .given = NULL, .said = "BikeLent | - | -"},
                                   {.name = "kim's", .given = kims, .said = "- | BikeUnlocked | BikeReturned"},
                                   {.name = "lee's", .given = lees, .said = "!lent | - | BikeReturned"},
                                   {.name = NULL}};
  cafe_given_table(it, asked, cases);
}

/* The saga. */
static void test_loan(cafe_given *it) {
  cafe_given_event(it, CAFE_DATA(bike_lent_type, bike_lent, .rider = cafe_text("kim"), .until_ms = 360000));
  cafe_then_stands(it, "running", "unlock");
  cafe_given_event(it, CAFE_DATA(bike_unlocked_type, bike_unlocked, .at_ms = 60000));
  cafe_given_time(it, 359999);
  cafe_then_asks(it, NULL);
  cafe_given_time(it, 360000);
  cafe_then_asks(it, CAFE_FACTS(CAFE_FACT(take_back_type, take_back, .is_overdue = true)));
  cafe_given_event(it, CAFE_DATA(bike_returned_type, bike_returned, .is_overdue = true));
  cafe_then_stands(it, "ended", "");
}

/* All of it, on a node that crashes. */
static void settle(cafe_reaction *out, const cafe_task *task, void *user) {
  (void)user;
  cafe_react(out, &record_lock_type, task->key, &(record_lock){true}, sizeof(record_lock));
}

static const cafe_crash_worker lock = {CAFE_CRASH_WORKER, .task = &open_lock_type, .delay_ms = 50, .settle = settle};

static int host(cafe_crash *run, cafe_node *node, uint32_t index, cafe_err *err, void *user) {
  (void)index;
  (void)user;
  int code = cafe_node_host(node, &bikes, err);
  return code ? code : cafe_crash_employ(run, node, &lock, err);
}

static void drive(cafe_crash *run, void *user) {
  (void)user;
  cafe_crash_ask(run, "kim's loan", 7, CAFE_DATA(lend_bike_type, lend_bike, .rider = cafe_text("kim"), .minutes = 5));
}

static bool check(cafe_crash *run, void *user) {
  (void)user;
  return cafe_crash_happened(run, &bike_aggregate, 7,
                             CAFE_FACTS({.type = &bike_lent_type}, {.type = &bike_unlocked_type},
                                        CAFE_FACT(bike_returned_type, bike_returned, .is_overdue = true))) &&
         cafe_crash_stands(run, &loan_saga, 7, "ended", "") && cafe_crash_did_once(run, &open_lock_type);
}

static int failures;

static void tell(const char *test, const char *why) {
  printf("%s: %s\n", test, why[0] ? why : "passed");
  failures += why[0] != '\0';
}

int main(void) {
  cafe_given *it = NULL;
  if (cafe_given_aggregate(&it, &bike_aggregate, NULL, NULL) == CAFE_OK) {
    test_bike(it);
    test_every_answer(it);
  }
  tell("a bike is one rider's", it ? cafe_given_why(it) : "it can't be tested");
  cafe_given_destroy(it);
  it = NULL;
  if (cafe_given_saga(&it, &loan_saga, NULL, NULL) == CAFE_OK)
    test_loan(it);
  tell("who is late loses the bike", it ? cafe_given_why(it) : "it can't be tested");
  cafe_given_destroy(it);

  cafe_crash_scenario scenario = {CAFE_CRASH_SCENARIO, .host = host, .drive = drive, .check = check};
  cafe_crash_options options = CAFE_CRASH_OPTIONS_INIT;
  cafe_crash_report report = CAFE_CRASH_REPORT_INIT;
  options.only = getenv("CAFE_CRASH");
  cafe_crash_enumerate(&report, &scenario, &options);
  tell("a loan survives every fault", report.why);
  options.kinds = 1u << CAFE_CRASH_RANDOM;
  cafe_crash_enumerate(&report, &scenario, &options);
  tell("and those that are drawn", report.why);
  return failures;
}
