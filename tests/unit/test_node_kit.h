/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_NODE_KIT_H
#define TEST_NODE_KIT_H

/*
 * A node with one small service, on a simulated loop and a store that can fail, for tests of single moments in the
 * engine. Two aggregates share each key: a jar, which can be filled, asked and brewed in, and its lid.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/cafe.h"
#include "cafe/op.h"
#include "cafe/store/memory.h"
#include "cafe/sys/loop.h"
#include "cafe/sys/store.h"
#include "cafe/testing/faults.h"
#include "cafe/testing/sim.h"

/* Any command, event and task. */
typedef struct note {
  int64_t n;
} note;
static const cafe_field note_fields[] = {CAFE_FIELD_OF(1, I64, note, n)};
#define NOTE(name) static const cafe_schema name = CAFE_SCHEMA_OF(#name, note, note_fields)

NOTE(Fill);   /* Filled */
NOTE(Ask);    /* Asked, or nothing if it is asked already: pending until Answered */
NOTE(Answer); /* Answered */
NOTE(Brew);   /* BrewAsked: the task n is wanted */
NOTE(Stir);   /* Stirred: says nothing */
NOTE(Finish); /* BrewEnded; refused where nothing brews, or where n is below 0 */
NOTE(Forget); /* BrewForgotten */
NOTE(Close);  /* Closed, or unchanged */
NOTE(Spoil);  /* what no jar can say: it fails */
NOTE(Filled);
NOTE(Asked);
NOTE(Answered);
NOTE(BrewAsked);
NOTE(Stirred);
NOTE(BrewEnded);
NOTE(BrewForgotten);
NOTE(Closed);
NOTE(BrewTask);

typedef struct jar {
  int64_t filled, brewing;
  bool is_asked;
} jar;
static const cafe_field jar_fields[] = {CAFE_FIELD_OF(1, I64, jar, filled), CAFE_FIELD_OF(2, I64, jar, brewing),
                                        CAFE_FIELD_OF(3, BOOL, jar, is_asked)};
static const cafe_schema jar_type = CAFE_SCHEMA_OF("jar", jar, jar_fields);

typedef struct lid {
  bool is_closed;
} lid;
static const cafe_field lid_fields[] = {CAFE_FIELD_OF(1, BOOL, lid, is_closed)};
static const cafe_schema lid_type = CAFE_SCHEMA_OF("lid", lid, lid_fields);

static inline cafe_verdict say(cafe_decision *out, const cafe_schema *event, const void *data) {
  cafe_emit(out, event, data, sizeof(note));
  return CAFE_ACCEPTED;
}

static inline cafe_verdict jar_decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  const jar *self = state;
  const note *asked = command->data;
  if (command->type == &Fill)
    return say(out, &Filled, asked);
  if (command->type == &Stir)
    return say(out, &Stirred, asked);
  if (command->type == &Spoil)
    return say(out, &Closed, asked);
  if (command->type == &Answer)
    return say(out, &Answered, asked);
  if (command->type == &Brew)
    return say(out, &BrewAsked, asked);
  if (command->type == &Ask) {
    if (!self->is_asked)
      cafe_emit(out, &Asked, asked, sizeof *asked);
    return CAFE_PENDING;
  }
  if (!self->brewing)
    return cafe_refuse(out, "idle", "nothing brews");
  if (command->type == &Forget)
    return say(out, &BrewForgotten, asked);
  if (asked->n < 0)
    return cafe_refuse(out, "odd", "that is no brew");
  return say(out, &BrewEnded, asked);
}

static inline int jar_evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  jar *self = state;
  const note *said = event->data;
  (void)arena;
  if (event->type == &Filled)
    self->filled += said->n;
  if (event->type == &Asked)
    self->is_asked = true;
  if (event->type == &Answered)
    self->is_asked = false;
  if (event->type == &BrewAsked)
    self->brewing = said->n;
  if (event->type == &BrewEnded || event->type == &BrewForgotten)
    self->brewing = 0;
  return CAFE_OK;
}

static inline void jar_tasks(cafe_tasks *out, const void *state, void *user) {
  const jar *self = state;
  note brew = {self->brewing};
  if (self->brewing)
    cafe_want(out, (uint32_t)self->brewing, &BrewTask, &brew, sizeof brew, 0);
}

static inline cafe_verdict lid_decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  return ((const lid *)state)->is_closed ? CAFE_UNCHANGED : say(out, &Closed, command->data);
}

static inline int lid_evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)event, (void)arena;
  ((lid *)state)->is_closed = true;
  return CAFE_OK;
}

static const cafe_command_outcome ask_outcomes[] = {{&Answered, CAFE_ACCEPTED}, {NULL, 0}};
static const cafe_command_type jar_commands[] = {{&Fill, NULL},  {&Ask, ask_outcomes}, {&Answer, NULL},
                                                 {&Brew, NULL},  {&Stir, NULL},        {&Finish, NULL},
                                                 {&Spoil, NULL}, {&Forget, NULL},      {NULL, NULL}};
static const cafe_command_type lid_commands[] = {{&Close, NULL}, {NULL, NULL}};
static const cafe_schema *const jar_events[] = {&Filled,  &Asked,     &Answered,      &BrewAsked,
                                                &Stirred, &BrewEnded, &BrewForgotten, NULL};
static const cafe_schema *const lid_events[] = {&Closed, NULL};
static const cafe_schema *const jar_task_types[] = {&BrewTask, NULL};
static const cafe_aggregate jar_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "jar",
    .state = &jar_type,
    .events = jar_events,
    .commands = jar_commands,
    .decide = jar_decide,
    .evolve = jar_evolve,
    .task_types = jar_task_types,
    .tasks = jar_tasks,
};
static const cafe_aggregate lid_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "lid",
    .state = &lid_type,
    .events = lid_events,
    .commands = lid_commands,
    .decide = lid_decide,
    .evolve = lid_evolve,
};
static const cafe_aggregate *const kitchen_aggregates[] = {&jar_aggregate, &lid_aggregate, NULL};

/* ---- the worker: what it is handed waits in the kitchen until the test answers ---- */

typedef struct kitchen {
  cafe_loop *loop;
  cafe_store *inner, *store;
  cafe_node *node;
  cafe_service service;
  cafe_worker worker;
  cafe_task *task; /* running; NULL: none */
  uint32_t starts, stops, gave_up;
  uint32_t attempt;       /* of the last start */
  uint32_t attempts[512]; /* the same by key */
  bool has_cause;         /* that one had */
  uint32_t max_cached;
  uint64_t max_record_attempts;
  bool is_file; /* test_letters_kit.h */
  const cafe_allocator *allocator;
  int (*on_start)(struct kitchen *self); /* OPTIONAL. CAFE_OK: it runs */
  const cafe_schema *gives_up_by;
  uint32_t warnings;
  char warning[256]; /* the last one */
  uint32_t errors;   /* of them */
  char error[512];   /* the last one, with its key and trace in front */
} kitchen;

static inline int kitchen_start(cafe_task *task, cafe_err *err, void *user) {
  kitchen *self = user;
  self->starts++;
  self->attempt = task->attempt;
  self->attempts[task->key % 512] = task->attempt;
  self->has_cause = task->cause != NULL;
  if (self->on_start && self->on_start(self))
    return cafe_fail(err, CAFE_UNAVAILABLE, "it won't brew");
  self->task = task;
  return CAFE_OK;
}

static inline void kitchen_stop(cafe_task *task, void *user) {
  kitchen *self = user;
  self->stops++;
  if (self->task == task)
    self->task = NULL;
}

static inline void kitchen_give_up(struct cafe_reaction *out, const cafe_task *task, const cafe_err *reason,
                                   void *user) {
  kitchen *self = user;
  (void)reason;
  self->gave_up++;
  cafe_react(out, self->gives_up_by, task->key, task->data, sizeof(note));
}

static inline void kitchen_log(const cafe_log_record *record, void *user) {
  kitchen *self = user;
  self->warnings++;
  snprintf(self->warning, sizeof self->warning, "%s", record->text);
  if (record->level != CAFE_LOG_ERROR)
    return;
  self->errors++;
  snprintf(self->error, sizeof self->error, "%llu %.*s %s", (unsigned long long)record->key, (int)record->trace.size,
           record->trace.data ? record->trace.data : "", record->text);
}

static inline void kitchen_up(kitchen *self) {
  cafe_err err = {0};
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.loop = self->loop;
  options.store = self->store;
  options.max_cached = self->max_cached;
  options.max_record_attempts = self->max_record_attempts;
  options.allocator = self->allocator;
  options.log = (cafe_log){kitchen_log, self, CAFE_LOG_WARN};
  if (cafe_node_create(&self->node, &options, &err) || cafe_node_host(self->node, &self->service, &err) ||
      cafe_node_employ(self->node, &self->worker, &err) || cafe_node_start(self->node, &err))
    fail_msg("%s", err.text);
}

/* job_us: how long a call of the store takes; 0: it is made on the loop. */
static inline kitchen *kitchen_open(int64_t job_us) {
  kitchen *self = calloc(1, sizeof *self);
  cafe_memory_options memory = CAFE_MEMORY_OPTIONS_INIT;
  cafe_sim_options sim = CAFE_SIM_OPTIONS_INIT;
  assert_non_null(self);
  memory.is_threaded = job_us > 0;
  sim.job_min_us = sim.job_max_us = job_us;
  sim.is_orderly = true;
  assert_int_equal(cafe_sim_create(&self->loop, 1, &sim, NULL), CAFE_OK);
  assert_int_equal(cafe_memory_create(&self->inner, &memory, NULL), CAFE_OK);
  assert_int_equal(cafe_faulty_store_create(&self->store, self->inner, NULL, NULL), CAFE_OK);
  self->service = (cafe_service){.size = CAFE_SERVICE, .name = "kitchen", .aggregates = kitchen_aggregates};
  self->worker = (cafe_worker){.size = CAFE_WORKER,
                               .task = &BrewTask,
                               .retry = {100, 100, 0, 0},
                               .start = kitchen_start,
                               .stop = kitchen_stop,
                               .give_up = kitchen_give_up,
                               .user = self};
  self->gives_up_by = &Forget;
  return self;
}

static inline void kitchen_down(kitchen *self) {
  cafe_node_destroy(self->node);
  self->node = NULL;
  self->task = NULL;
}

static inline void kitchen_close(kitchen *self) {
  kitchen_down(self);
  cafe_store_destroy(self->store);
  cafe_store_destroy(self->inner);
  cafe_loop_destroy(self->loop);
  free(self);
}

static inline void kitchen_run(kitchen *self, int64_t us) {
  cafe_sim_run(self->loop, cafe_sim_now_us(self->loop) + us);
}

/* ---- callers ---- */

typedef struct call {
  bool is_done;
  uint32_t times;
  int code;
  char text[248];
  cafe_verdict verdict;
  uint64_t key;
  bool replayed;
  char reply[16];
} call;

static inline void call_answered(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  call *self = user;
  self->is_done = true;
  self->times++;
  self->code = err ? err->code : CAFE_OK;
  snprintf(self->text, sizeof self->text, "%s", err ? err->text : "");
  if (err)
    return;
  self->verdict = outcome->verdict;
  self->key = outcome->key;
  self->replayed = outcome->replayed;
  snprintf(self->reply, sizeof self->reply, "%.*s", (int)outcome->reply.size,
           outcome->reply.data ? outcome->reply.data : "");
}

static inline int call_reply(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user) {
  (void)user;
  return cafe_arena_copy(out, arena, cafe_text(outcome->verdict == CAFE_ACCEPTED ? "done" : "no need"));
}

/* client_key "" or NULL: none; its fingerprint is the number n. */
static inline void submit(kitchen *self, call *out, const cafe_schema *command, uint64_t key, int64_t n,
                          const char *client_key) {
  cafe_submit asked = CAFE_SUBMIT_INIT;
  note data = {n};
  char digits[24];
  snprintf(digits, sizeof digits, "%lld", (long long)n);
  cafe_client_key own = {cafe_text("kitchen"), cafe_text(client_key), cafe_text(digits)};
  cafe_err err = {0};
  memset(out, 0, sizeof *out);
  asked.command = command;
  asked.key = key;
  asked.data = &data;
  asked.data_size = sizeof data;
  if (client_key) {
    asked.client_key = &own;
    asked.reply = call_reply;
  }
  if (cafe_node_submit(NULL, self->node, &asked, call_answered, out, &err))
    fail_msg("%s", err.text);
}

/* Submits it and waits for the answer. */
static inline call ask(kitchen *self, const cafe_schema *command, uint64_t key, int64_t n, const char *client_key) {
  call made;
  submit(self, &made, command, key, n, client_key);
  for (int i = 0; i < 1000 && !made.is_done; i++)
    kitchen_run(self, 1000);
  assert_true(made.is_done);
  return made;
}

typedef struct seen {
  const char *type;
  uint64_t count;
} seen;

static inline int see_stored(const cafe_stored_event *event, void *user) {
  seen *self = user;
  self->count += strcmp(event->type, self->type) == 0;
  return CAFE_OK;
}

static inline int see_no_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                             void *user) {
  (void)user, (void)table, (void)key, (void)sub, (void)version, (void)data;
  return CAFE_OK;
}

/* How many events of that type the store holds for the key. */
static inline uint64_t stored(kitchen *self, uint64_t key, const cafe_schema *type) {
  seen count = {type->name, 0};
  assert_int_equal(self->inner->ops->load(self->inner, key, see_stored, see_no_row, &count, NULL), CAFE_OK);
  return count.count;
}

static const cafe_slice no_data = {NULL, 0};

/* Writes an event past the node. */
static inline void kitchen_append(kitchen *k, const char *aggregate, const cafe_schema *type, uint64_t key,
                                  uint64_t version, cafe_slice data) {
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_stored_event event = {.aggregate = aggregate,
                             .type = type->name,
                             .key = key,
                             .version = version,
                             .time_ms = 1,
                             .data = data,
                             .meta = cafe_text("by hand")};
  cafe_unit unit = {.size = sizeof unit, .key = key, .events = &event, .event_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_batch batch = {sizeof batch, units, 1, arena};
  assert_int_equal(k->inner->ops->commit(k->inner, &batch, NULL), CAFE_OK);
  assert_int_equal(unit.result, CAFE_UNIT_DONE);
  cafe_arena_destroy(arena);
}

/* The store's n-th commit from now fails. */
static inline void fail_call(kitchen *self, uint64_t n, uint64_t calls) {
  cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
  faults.fail_call = n;
  faults.fail_calls = calls;
  cafe_faulty_store_set(self->store, &faults);
}

#endif
