/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_ENGINE_KIT_H
#define TEST_ENGINE_KIT_H

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
#include "failing_alloc.h"

/*
 * A node with an aggregate of its own, the box, small enough to see what the engine does. A box holds a total. "Add" is
 * answered at once, "Ask" by a task: pending until the worker, played by the test, answers. Everything is of the public
 * interface.
 */

/* ---- the box ---- */

typedef struct add {
  int64_t amount; /* negative: refused; 0: unchanged; above 1000: added, and refused all the same */
  cafe_slice note;
} add;
typedef struct ask {
  int64_t question;
} ask;
typedef struct answer {
  int64_t yes; /* 1 yes, 0 never, 2 not here: what is asked under a client's key may begin anew */
} answer;
typedef struct burst {
  int64_t count;
} burst;
typedef struct spread {
  uint64_t first, second;
  int64_t times;
} spread;

typedef struct added {
  int64_t amount;
  cafe_slice note;
} added;
typedef struct asked {
  int64_t question;
} asked;
typedef struct answered {
  bool unused;
} answered;
typedef struct denied {
  bool for_ever;
} denied;
typedef struct bursted {
  int64_t count;
} bursted;
typedef struct spreaded {
  uint64_t first, second;
  int64_t times;
} spreaded;

typedef struct box {
  int64_t total;
  int64_t adds;
  int64_t question; /* open */
  int64_t questions;
  int64_t denial; /* 1 for ever, 2 not; both end the box for questions */
  cafe_slice note;
} box;

typedef struct question_task {
  int64_t question;
} question_task;

static const cafe_field add_fields[] = {CAFE_FIELD_OF(1, I64, add, amount), CAFE_FIELD_OF(2, TEXT, add, note)};
static const cafe_field ask_fields[] = {CAFE_FIELD_OF(1, I64, ask, question)};
static const cafe_field answer_fields[] = {CAFE_FIELD_OF(1, I64, answer, yes)};
static const cafe_field burst_fields[] = {CAFE_FIELD_OF(1, I64, burst, count)};
static const cafe_field spread_fields[] = {CAFE_FIELD_OF(1, U64, spread, first), CAFE_FIELD_OF(2, U64, spread, second),
                                           CAFE_FIELD_OF(3, I64, spread, times)};
static const cafe_field added_fields[] = {CAFE_FIELD_OF(1, I64, added, amount), CAFE_FIELD_OF(2, TEXT, added, note)};
static const cafe_field asked_fields[] = {CAFE_FIELD_OF(1, I64, asked, question)};
static const cafe_field answered_fields[] = {CAFE_FIELD_OF(1, BOOL, answered, unused)};
static const cafe_field denied_fields[] = {CAFE_FIELD_OF(1, BOOL, denied, for_ever)};
static const cafe_field bursted_fields[] = {CAFE_FIELD_OF(1, I64, bursted, count)};
static const cafe_field spreaded_fields[] = {CAFE_FIELD_OF(1, U64, spreaded, first),
                                             CAFE_FIELD_OF(2, U64, spreaded, second),
                                             CAFE_FIELD_OF(3, I64, spreaded, times)};
static const cafe_field box_fields[] = {CAFE_FIELD_OF(1, I64, box, total),    CAFE_FIELD_OF(2, I64, box, adds),
                                        CAFE_FIELD_OF(3, I64, box, question), CAFE_FIELD_OF(4, I64, box, questions),
                                        CAFE_FIELD_OF(5, I64, box, denial),   CAFE_FIELD_OF(6, TEXT, box, note)};
static const cafe_field question_fields[] = {CAFE_FIELD_OF(1, I64, question_task, question)};

static const cafe_schema add_type = CAFE_SCHEMA_OF("Add", add, add_fields);
static const cafe_schema ask_type = CAFE_SCHEMA_OF("Ask", ask, ask_fields);
static const cafe_schema answer_type = CAFE_SCHEMA_OF("Answer", answer, answer_fields);
static const cafe_schema burst_type = CAFE_SCHEMA_OF("Burst", burst, burst_fields);
static const cafe_schema spread_type = CAFE_SCHEMA_OF("Spread", spread, spread_fields);
static const cafe_schema added_type = CAFE_SCHEMA_OF("Added", added, added_fields);
static const cafe_schema asked_type = CAFE_SCHEMA_OF("Asked", asked, asked_fields);
static const cafe_schema answered_type = CAFE_SCHEMA_OF("Answered", answered, answered_fields);
static const cafe_schema denied_type = CAFE_SCHEMA_OF("Denied", denied, denied_fields);
static const cafe_schema bursted_type = CAFE_SCHEMA_OF("Bursted", bursted, bursted_fields);
static const cafe_schema spreaded_type = CAFE_SCHEMA_OF("Spreaded", spreaded, spreaded_fields);
static const cafe_schema box_type = CAFE_SCHEMA_OF("Box", box, box_fields);
static const cafe_schema question_type = CAFE_SCHEMA_OF("QuestionTask", question_task, question_fields);

static cafe_verdict box_add(cafe_decision *out, const add *wanted) {
  if (wanted->amount < 0)
    return cafe_refuse(out, "negative", "%lld is negative", (long long)wanted->amount);
  if (wanted->amount == 0)
    return CAFE_UNCHANGED;
  added event = {wanted->amount, wanted->note};
  cafe_emit(out, &added_type, &event, sizeof event);
  return wanted->amount > 1000 ? cafe_refuse(out, "too-much", "it was added, but don't do it again") : CAFE_ACCEPTED;
}

static cafe_verdict box_answer(cafe_decision *out, const box *state, const answer *said) {
  if (!state->question)
    return CAFE_UNCHANGED;
  if (said->yes == 1) {
    answered event = {false};
    cafe_emit(out, &answered_type, &event, sizeof event);
  } else {
    denied event = {said->yes == 0};
    cafe_emit(out, &denied_type, &event, sizeof event);
  }
  return CAFE_ACCEPTED;
}

static cafe_verdict box_decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  const box *self = state;
  if (command->type == &add_type)
    return box_add(out, command->data);
  if (command->type == &answer_type)
    return box_answer(out, self, command->data);
  if (command->type == &ask_type) {
    bool is_again = ((const ask *)command->data)->question < 0; /* what was denied, under its old number */
    if (self->denial == 1 && !is_again)
      return cafe_refuse(out, "denied", "it was denied for ever");
    if (self->denial == 2 && !is_again)
      return cafe_refuse(out, "dropped", "it was denied, but elsewhere it may be granted");
    if (self->question)
      return CAFE_PENDING;
    asked event = {((const ask *)command->data)->question};
    cafe_emit(out, &asked_type, &event, sizeof event);
    return CAFE_PENDING;
  }
  if (command->type == &burst_type) {
    bursted event = {((const burst *)command->data)->count};
    cafe_emit(out, &bursted_type, &event, sizeof event);
    return CAFE_ACCEPTED;
  }
  const spread *wanted = command->data;
  spreaded event = {wanted->first, wanted->second, wanted->times};
  cafe_emit(out, &spreaded_type, &event, sizeof event);
  return CAFE_ACCEPTED;
}

static int box_evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  box *self = state;
  if (event->type == &added_type) {
    const added *data = event->data;
    self->total += data->amount;
    self->adds++;
    return cafe_arena_copy(&self->note, arena, data->note);
  }
  if (event->type == &asked_type) {
    self->question = ((const asked *)event->data)->question;
    self->questions += self->question > 0;
  } else if (event->type == &answered_type || event->type == &denied_type) {
    self->question = 0;
    if (event->type == &denied_type)
      self->denial = ((const denied *)event->data)->for_ever ? 1 : 2;
  }
  return CAFE_OK;
}

static void box_tasks(cafe_tasks *out, const void *state, void *user) {
  const box *self = state;
  question_task task = {self->question};
  if (self->question)
    cafe_want(out, (uint32_t)self->questions, &question_type, &task, sizeof task, 0);
}

static const cafe_schema *const box_events[] = {
    &added_type, &asked_type, &answered_type, &denied_type, &bursted_type, &spreaded_type, NULL};
static const cafe_command_outcome ask_outcomes[] = {
    {&answered_type, CAFE_ACCEPTED}, {&denied_type, CAFE_REFUSED}, {NULL, (cafe_verdict)0}};
static const cafe_command_type box_commands[] = {{&add_type, NULL},   {&ask_type, ask_outcomes}, {&answer_type, NULL},
                                                 {&burst_type, NULL}, {&spread_type, NULL},      {NULL, NULL}};
static const cafe_schema *const box_task_types[] = {&question_type, NULL};
static const cafe_aggregate box_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "box",
    .state = &box_type,
    .events = box_events,
    .commands = box_commands,
    .decide = box_decide,
    .evolve = box_evolve,
    .task_types = box_task_types,
    .tasks = box_tasks,
};

/* ---- its policies ---- */

static void burst_react(cafe_reaction *out, const cafe_event *event, void *user) {
  add one = {1, {NULL, 0}};
  (void)user;
  for (int64_t i = 0; i < ((const bursted *)event->data)->count; i++)
    cafe_react(out, &add_type, event->key, &one, sizeof one);
}

static void spread_react(cafe_reaction *out, const cafe_event *event, void *user) {
  const spreaded *data = event->data;
  add one = {1, {NULL, 0}}, hundred = {100, {NULL, 0}};
  (void)user;
  for (int64_t i = 0; i < data->times; i++) {
    cafe_react(out, &add_type, data->first, &one, sizeof one);
    cafe_react(out, &add_type, data->second, &hundred, sizeof hundred);
  }
}

static const cafe_schema *const burst_events[] = {&bursted_type, NULL};
static const cafe_schema *const spread_events[] = {&spreaded_type, NULL};
static const cafe_schema *const asks_add[] = {&add_type, NULL};
static const cafe_policy burst_policy = {CAFE_POLICY, "box-burst", "boxes",  burst_events,
                                         false,       burst_react, asks_add, NULL};
static const cafe_policy spread_policy = {CAFE_POLICY, "box-spread", "boxes",  spread_events,
                                          true,        spread_react, asks_add, NULL};

/* ---- its views: one inline, one by subscription ---- */

typedef enum fill { FILL_NONE = 0, FILL_SOME = 1, FILL_MUCH = 2 } fill;

typedef struct box_row {
  int64_t total;
  fill level;
  cafe_slice note;
  bool is_shown;
} box_row;

static const char *const fill_names[] = {"", "Some", "Much"};
static const cafe_field box_row_fields[] = {
    CAFE_FIELD_OF(1, I64, box_row, total), CAFE_FIELD_ENUM_OF(2, box_row, level, fill_names),
    CAFE_FIELD_OF(3, TEXT, box_row, note), CAFE_FIELD_OF(4, BOOL, box_row, is_shown)};
static const cafe_schema box_row_type = CAFE_SCHEMA_OF("BoxRow", box_row, box_row_fields);

static int box_fold(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  box_row *self = row;
  const added *data = event->data;
  self->total += data->amount;
  self->level = self->total < 100 ? FILL_SOME : FILL_MUCH;
  self->is_shown = self->total < 5000;
  *out = self->is_shown ? CAFE_FOLD_PUT : CAFE_FOLD_HIDE;
  return cafe_arena_copy(&self->note, arena, data->note);
}

static const char *const box_sources[] = {"boxes", NULL};
static const char *const box_indexes[] = {"level", NULL};
static const cafe_schema *const box_row_events[] = {&added_type, NULL};
static const cafe_view boxes_view = {CAFE_VIEW, "boxes",       1,           true, box_sources, box_row_events, "box_id",
                                     NULL,      &box_row_type, box_indexes, NULL, NULL,        box_fold,       NULL};
static const cafe_view totals_view = {CAFE_VIEW,      "totals", 1,        false,         box_sources,
                                      box_row_events, "box_id", NULL,     &box_row_type, box_indexes,
                                      "is_shown",     NULL,     box_fold, NULL};

static const cafe_aggregate *const box_aggregates[] = {&box_aggregate, NULL};
static const cafe_policy *const box_policies[] = {&burst_policy, &spread_policy, NULL};
static const cafe_view *const box_views[] = {&boxes_view, &totals_view, NULL};
static const cafe_service box_service = {CAFE_SERVICE, "boxes",   box_aggregates, NULL,
                                         box_policies, box_views, NULL,           NULL};

/* ---- the kit ---- */

enum { KIT_TASKS = 16, KIT_LINES = 32 };

typedef struct kit {
  failing_alloc memory;
  cafe_loop *loop;
  cafe_store *inner, *store;
  cafe_node *node;
  cafe_node_options options;
  cafe_retry retry;
  const cafe_guard *guard; /* NULL: none */
  /* The worker: tasks that wait for the test's answer. */
  cafe_task *tasks[KIT_TASKS];
  uint32_t attempts[KIT_TASKS];
  uint32_t running, started, stopped, given_up;
  uint64_t stops[KIT_TASKS]; /* keys, in the order in which their tasks were stopped */
  bool start_fails;
  bool start_holds;
  bool start_answers;      /* yes */
  uint32_t start_gives_up; /* so many attempts fail inside start */
  char lines[KIT_LINES][200];
  uint32_t line_count;
} kit;

/* One submitted command. */
typedef struct call {
  cafe_op *op;
  uint32_t times;
  int code;
  char text[240];
  int32_t retry_after_ms;
  cafe_verdict verdict;
  uint64_t key, version;
  cafe_position position;
  const cafe_schema *event;
  box state;
  bool has_state;
  bool replayed;
  char reason[32];
  char reply[64];
  int64_t outcome_retry_after_ms;
} call;

static inline int kit_task_start(cafe_task *task, cafe_err *err, void *user) {
  kit *k = user;
  k->started++;
  if (k->start_fails)
    return cafe_fail(err, CAFE_UNAVAILABLE, "the worker is out");
  if (k->start_gives_up) {
    cafe_err reason;
    k->start_gives_up--;
    cafe_fail(&reason, CAFE_UNAVAILABLE, "not at all");
    cafe_task_fail(task, &reason);
    return CAFE_OK;
  }
  if (k->start_answers) {
    answer said = {1};
    cafe_task_settle(task, &answer_type, &said, sizeof said);
    return CAFE_OK;
  }
  assert_true(k->running < KIT_TASKS);
  k->attempts[k->running] = task->attempt;
  k->tasks[k->running++] = task;
  if (k->start_holds)
    cafe_task_hold(task);
  return CAFE_OK;
}

static inline void kit_forget(kit *k, const cafe_task *task) {
  for (uint32_t i = 0; i < k->running; i++) {
    if (k->tasks[i] != task)
      continue;
    k->running--;
    memmove(&k->tasks[i], &k->tasks[i + 1], (k->running - i) * sizeof k->tasks[0]);
    memmove(&k->attempts[i], &k->attempts[i + 1], (k->running - i) * sizeof k->attempts[0]);
    return;
  }
  fail_msg("%s", "a task that isn't running was stopped");
}

static inline void kit_task_stop(cafe_task *task, void *user) {
  kit *k = user;
  k->stops[k->stopped++ % KIT_TASKS] = task->key;
  kit_forget(k, task);
}

static inline void kit_give_up(struct cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user) {
  kit *k = user;
  answer no = {0};
  assert_non_null(reason);
  k->given_up++;
  cafe_react(out, &answer_type, task->key, &no, sizeof no);
}

static inline void kit_answer(kit *k, uint32_t index, int64_t yes) {
  answer said = {yes};
  cafe_task *task = k->tasks[index];
  kit_forget(k, task);
  cafe_task_settle(task, &answer_type, &said, sizeof said);
}

static inline void kit_fail_task_for(kit *k, uint32_t index, int32_t retry_after_ms) {
  cafe_err err;
  cafe_task *task = k->tasks[index];
  cafe_fail(&err, CAFE_UNAVAILABLE, "not now");
  err.retry_after_ms = retry_after_ms;
  kit_forget(k, task);
  cafe_task_fail(task, &err);
}

static inline void kit_fail_task(kit *k, uint32_t index) { kit_fail_task_for(k, index, 0); }

static inline void kit_log(const cafe_log_record *record, void *user) {
  kit *k = user;
  snprintf(k->lines[k->line_count++ % KIT_LINES], sizeof k->lines[0], "%s", record->text);
}

static inline bool kit_was_logged(const kit *k, const char *text) {
  for (uint32_t i = 0; i < k->line_count && i < KIT_LINES; i++)
    if (strstr(k->lines[i], text))
      return true;
  return false;
}

static inline int kit_start(kit *k) {
  cafe_err err = {0};
  cafe_worker worker = {CAFE_WORKER, &question_type, k->retry, kit_task_start, kit_task_stop, kit_give_up, k};
  k->options.loop = k->loop;
  k->options.store = k->store;
  k->options.allocator = &k->memory.allocator;
  k->options.log.write = kit_log;
  k->options.log.user = k;
  k->options.log.level = k->guard ? CAFE_LOG_INFO : CAFE_LOG_WARN;
  int code = cafe_node_create(&k->node, &k->options, &err);
  if (!code)
    code = cafe_node_host(k->node, &box_service, &err);
  if (!code)
    code = cafe_node_employ(k->node, &worker, &err);
  if (!code && k->guard)
    code = cafe_node_guard(k->node, k->guard, &err);
  if (!code)
    code = cafe_node_start(k->node, &err);
  if (code)
    print_error("%s\n", err.text);
  return code;
}

/* As it stands; change options and retry before kit_start. */
static inline void kit_init(kit *k, bool is_threaded) {
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  cafe_memory_options memory = CAFE_MEMORY_OPTIONS_INIT;
  memory.is_threaded = is_threaded;
  memset(k, 0, sizeof *k);
  failing_alloc_init(&k->memory);
  k->options = options;
  k->retry = (cafe_retry){100, 100, 0, 0};
  assert_int_equal(cafe_sim_create(&k->loop, 7, NULL, NULL), CAFE_OK);
  if (is_threaded)
    cafe_sim_set_job_delay(k->loop, 100, 400);
  assert_int_equal(cafe_memory_create(&k->inner, &memory, NULL), CAFE_OK);
  assert_int_equal(cafe_faulty_store_create(&k->store, k->inner, NULL, NULL), CAFE_OK);
}

static inline void kit_open(kit *k, bool is_threaded) {
  kit_init(k, is_threaded);
  assert_int_equal(kit_start(k), CAFE_OK);
}

/* In order; everything is answered and nothing is left. */
static inline void kit_stop(kit *k) {
  cafe_node_destroy(k->node);
  k->node = NULL;
  assert_int_equal(k->running, 0);
  failing_alloc_end(&k->memory);
}

static inline void kit_restart(kit *k) {
  kit_stop(k);
  assert_int_equal(kit_start(k), CAFE_OK);
}

/* The store dies, then the node: what wasn't committed is gone. */
static inline void kit_crash(kit *k) {
  cafe_faulty_store_kill(k->store);
  kit_stop(k);
  cafe_faulty_store_revive(k->store);
  cafe_faulty_store_set(k->store, NULL);
  assert_int_equal(kit_start(k), CAFE_OK);
}

static inline void kit_close(kit *k) {
  kit_stop(k);
  cafe_store_destroy(k->store);
  cafe_store_destroy(k->inner);
  cafe_loop_destroy(k->loop);
}

static inline void kit_run(kit *k, int64_t ms) { cafe_sim_run(k->loop, cafe_sim_now_us(k->loop) + ms * 1000); }

static inline void call_done(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  call *c = user;
  c->times++;
  c->op = NULL;
  if (err) {
    c->code = err->code;
    memcpy(c->text, err->text, sizeof c->text);
    return;
  }
  c->verdict = outcome->verdict;
  c->key = outcome->key;
  c->version = outcome->version;
  c->position = outcome->position;
  c->event = outcome->event ? outcome->event->type : NULL;
  c->replayed = outcome->replayed;
  c->outcome_retry_after_ms = outcome->retry_after_ms;
  c->has_state = outcome->state != NULL;
  if (outcome->state)
    c->state = *(const box *)outcome->state;
  if (outcome->reason)
    snprintf(c->reason, sizeof c->reason, "%s", outcome->reason);
  if (outcome->text)
    snprintf(c->text, sizeof c->text, "%s", outcome->text);
  snprintf(c->reply, sizeof c->reply, "%.*s", (int)outcome->reply.size, outcome->reply.data ? outcome->reply.data : "");
}

static inline int kit_submit(kit *k, call *c, const cafe_submit *submit) {
  cafe_err err = {0};
  memset(c, 0, sizeof *c);
  int code = cafe_node_submit(&c->op, k->node, submit, call_done, c, &err);
  if (code)
    snprintf(c->text, sizeof c->text, "%s", err.text);
  c->retry_after_ms = err.retry_after_ms;
  assert_int_equal(c->times, 0); /* never inside */
  return code;
}

static inline int kit_send(kit *k, call *c, const cafe_schema *command, uint64_t key, const void *data) {
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = command;
  submit.key = key;
  submit.data = data;
  submit.data_size = command ? command->width : 0;
  return kit_submit(k, c, &submit);
}

/* Adds, and waits for the answer. */
static inline call kit_add(kit *k, uint64_t key, int64_t amount) {
  call c;
  add data = {amount, cafe_text("kit")};
  assert_int_equal(kit_send(k, &c, &add_type, key, &data), CAFE_OK);
  kit_run(k, 10);
  assert_int_equal(c.times, 1);
  return c;
}

#endif
