/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every callback of a definition may fail, by any code, at any time. The unit fails with that code and nothing of it is
 * there; what comes from a log or is due waits until the callback works again, and is done then, once.
 */
#include "schema/collect.h"
#include "test_node_kit.h"

/* What the callbacks are handed: which of them fails, and how. */
typedef struct defect {
  const char *callback; /* NULL: none */
  int code;
  uint32_t met;
} defect;
static defect broken;

static int fails(void *user, const char *callback) {
  defect *self = user;
  assert_ptr_equal(self, &broken);
  if (!self->callback || strcmp(self->callback, callback) != 0)
    return CAFE_OK;
  self->met++;
  return self->code;
}

static void fail_reaction(cafe_reaction *out, void *user, const char *callback) {
  int code = fails(user, callback);
  if (code)
    cafe_reaction_fail(out, (cafe_code)code, "%s is broken", callback);
}

static void break_it(const char *callback, int code) { broken = (defect){callback, code, 0}; }

static void mend(void) {
  assert_true(broken.met > 0);
  break_it(NULL, CAFE_OK);
}

/* ---- a kitchen whose every definition can be broken ---- */

static cafe_verdict pot_decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  int code = fails(user, "decide");
  if (code)
    return cafe_decision_fail(out, (cafe_code)code, "it is broken");
  cafe_verdict verdict = jar_decide(out, state, command, user);
  code = fails(user, "decide late");
  if (code)
    cafe_decision_fail(out, (cafe_code)code, "it broke %s", "late");
  if (fails(user, "refuse")) {
    char reason[] = "passing", text[] = "it passes";
    verdict = cafe_refuse(out, reason, "%s", text);
    memset(reason, 'x', sizeof reason);
  }
  return fails(user, "verdict") ? (cafe_verdict)0 : verdict;
}

static int pot_evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  int code = jar_evolve(state, event, arena, user);
  return code ? code : fails(user, "evolve"); /* half done: it has folded */
}

static void pot_tasks(cafe_tasks *out, const void *state, void *user) {
  int code = fails(user, "tasks");
  jar_tasks(out, state, user);
  if (code)
    cafe_tasks_fail(out, (cafe_code)code, "it is broken");
}

static void pot_give_up(cafe_reaction *out, const cafe_command *command, void *user) {
  note data = {1};
  if (fails(user, "give_up by no command"))
    cafe_react(out, &Closed, command->key, &data, sizeof data);
  else
    cafe_react(out, &Answer, command->key + (fails(user, "give_up elsewhere") != 0), &data, sizeof data);
  if (fails(user, "give_up twice"))
    cafe_react(out, &Close, command->key, &data, sizeof data);
  fail_reaction(out, user, "give_up");
}

static const cafe_aggregate pot = {
    .size = CAFE_AGGREGATE,
    .name = "jar",
    .state = &jar_type,
    .events = jar_events,
    .commands = jar_commands,
    .decide = pot_decide,
    .evolve = pot_evolve,
    .tasks = pot_tasks,
    .task_types = jar_task_types,
    .give_up = pot_give_up,
    .user = &broken,
};
static const cafe_aggregate *const pots[] = {&pot, &lid_aggregate, NULL};

static void close_too(cafe_reaction *out, const cafe_event *event, void *user) {
  cafe_react(out, &Close, event->key, event->data, sizeof(note));
  fail_reaction(out, user, "react");
}

/* Fills key + 100 by as much. That one is stirred too, by the saga, but goes no further. */
static void fill_another(cafe_reaction *out, const cafe_event *event, void *user) {
  if (event->key > 100)
    return;
  cafe_react(out, &Fill, event->key + 100, event->data, sizeof(note));
  fail_reaction(out, user, "react elsewhere");
}

static const cafe_schema *const filled[] = {&Filled, NULL};
static const cafe_schema *const stirred[] = {&Stirred, NULL};
static const cafe_schema *const asks_close[] = {&Close, NULL};
static const cafe_schema *const asks_fill[] = {&Fill, NULL};
static const cafe_policy closes = {.size = CAFE_POLICY,
                                   .name = "closes",
                                   .source = "kitchen",
                                   .events = filled,
                                   .react = close_too,
                                   .commands = asks_close,
                                   .user = &broken};
static const cafe_policy fills = {.size = CAFE_POLICY,
                                  .name = "fills",
                                  .source = "kitchen",
                                  .events = stirred,
                                  .other_key = true,
                                  .react = fill_another,
                                  .commands = asks_fill,
                                  .user = &broken};
static const cafe_policy *const policies[] = {&closes, &fills, NULL};

static int row_of_fill(uint64_t *out, const cafe_event *event, void *user) {
  *out = 1;
  return fails(user, "sub");
}

static int add_up(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  ((note *)row)->n += ((const note *)event->data)->n;
  if (fails(user, "no fold"))
    *out = (cafe_fold)9;
  return fails(user, "fold");
}

static int row_of_fill_elsewhere(uint64_t *out, const cafe_event *event, void *user) {
  *out = 1;
  return fails(user, "sub elsewhere");
}

static int add_up_elsewhere(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  ((note *)row)->n += ((const note *)event->data)->n;
  return fails(user, "fold elsewhere");
}

static const char *const sources[] = {"kitchen", NULL};
NOTE(Shelf);
#define SHELF                                                                                                          \
  .size = CAFE_VIEW, .version = 1, .sources = sources, .events = filled, .key_name = "jar_id", .sub_name = "place",    \
  .row = &Shelf, .user = &broken
static const cafe_view shelf = {SHELF, .name = "shelf", .is_inline = true, .sub = row_of_fill, .fold = add_up};
static const cafe_view far_shelf = {SHELF, .name = "far_shelf", .sub = row_of_fill_elsewhere, .fold = add_up_elsewhere};
static const cafe_view *const views[] = {&shelf, &far_shelf, NULL};

typedef struct watch {
  uint64_t key;
  int64_t due_ms;
} watch;
static const cafe_field watch_fields[] = {CAFE_FIELD_OF(1, U64, watch, key), CAFE_FIELD_OF(2, TIME, watch, due_ms)};
static const cafe_schema watch_type = CAFE_SCHEMA_OF("watch", watch, watch_fields);

static int remember(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user) {
  watch *self = data;
  self->key = event->key;
  self->due_ms = event->time_ms + 1000;
  return fails(user, "saga fold");
}

static int is_asked(bool *out, const cafe_event *event, void *user) {
  *out = true;
  return fails(user, "when");
}

static int due(int64_t *out, const void *data, void *user) {
  *out = ((const watch *)data)->due_ms;
  return fails(user, "due_ms");
}

static int deadline(int64_t *out, const void *data, void *user) {
  *out = ((const watch *)data)->due_ms;
  return fails(user, "deadline_ms");
}

static void ask_for(cafe_reaction *out, const void *data, const cafe_schema *command) {
  note one = {1};
  cafe_react(out, command, ((const watch *)data)->key, &one, sizeof one);
}

static void ask_stir(cafe_reaction *out, const void *data, void *user) {
  ask_for(out, data, &Stir);
  fail_reaction(out, user, "action");
}

static void ask_close(cafe_reaction *out, const void *data, void *user) {
  ask_for(out, data, &Close);
  fail_reaction(out, user, "ask");
}

#define SIGNALS(...) ((const cafe_schema *const[]){__VA_ARGS__, NULL})
static const cafe_saga_timeout late[] = {{.name = "late", .due_ms = due, .ask = ask_close}, {.name = NULL}};
static const cafe_saga_step watch_steps[] = {
    {.name = "stir",
     .kind = CAFE_STEP_COMPENSATABLE,
     .action = ask_stir,
     .completes = SIGNALS(&Stirred),
     .compensation = ask_close,
     .deadline_ms = deadline,
     .unavailable = ask_close},
    {.name = "wait", .kind = CAFE_STEP_PIVOT, .completes = SIGNALS(&BrewEnded), .timeouts = late},
};
static const cafe_saga_interrupt watch_interrupts[] = {
    {.name = "stop",
     .signal = &Asked,
     .when = is_asked,
     .legal_in = (const char *const[]){"stir", NULL},
     .granted = SIGNALS(&Closed),
     .refused = SIGNALS(&BrewForgotten)},
};
static const cafe_saga watches = {
    .size = CAFE_SAGA,
    .name = "watch",
    .version = 1,
    .data = &watch_type,
    .starts = &Filled,
    .steps = watch_steps,
    .step_count = 2,
    .interrupts = watch_interrupts,
    .interrupt_count = 1,
    .fold = remember,
    .user = &broken,
};
static const cafe_saga *const sagas[] = {&watches, NULL};

static kitchen *fragile_open(int64_t job_us) {
  kitchen *k = kitchen_open(job_us);
  break_it(NULL, CAFE_OK);
  k->max_record_attempts = 1000; /* test_letters.c has what comes after the last one */
  k->service.aggregates = pots;
  k->service.policies = policies;
  k->service.views = views;
  k->service.sagas = sagas;
  kitchen_up(k);
  return k;
}

static int64_t row_of(kitchen *k, const cafe_view *view, uint64_t key) {
  const void *row = NULL;
  int code = cafe_node_find(&row, k->node, view, key, 1, NULL);
  return code ? -code : ((const note *)row)->n;
}

/* CAFE_CONFLICT and CAFE_CANCELED are the library's own words. */
static int as_told(int code) {
  bool is_theirs = code > CAFE_OK && code <= CAFE_DENIED && code != CAFE_CONFLICT && code != CAFE_CANCELED;
  return is_theirs ? code : CAFE_INVALID;
}

/* ---- in the unit of a command ---- */

static const struct {
  const char *callback;
  const cafe_schema *command, *event;
  const char *text; /* what names the definition and the event */
} in_unit[] = {
    {"decide", &Fill, &Filled, "the aggregate jar can't decide Fill of key 7: it is broken"},
    {"decide late", &Fill, &Filled, "the aggregate jar can't decide Fill of key 7: it broke late"},
    {"evolve", &Fill, &Filled, "the aggregate jar can't evolve by Filled of key 7: "},
    {"react", &Fill, &Filled, "the policy closes can't react to Filled of key 7: react is broken"},
    {"sub", &Fill, &Filled, "the view shelf can't tell the row of Filled of key 7: "},
    {"fold", &Fill, &Filled, "the view shelf can't fold Filled of key 7: "},
    {"saga fold", &Fill, &Filled, "the saga watch can't fold Filled of key 7: "},
    {"when", &Ask, &Asked, "the saga watch can't tell whether Asked of key 7 is the interrupt stop: "},
    {"action", &Fill, &Filled, "the saga watch can't ask what it has to in step stir of key 7: action is broken"},
    {"deadline_ms", &Fill, &Filled, "the saga watch, step stir, can't tell its deadline for key 7: "},
    {"due_ms", &Fill, &Filled, "the saga watch, step wait, can't tell when late is due for key 7: "},
    {"tasks", &Fill, &Filled, "the aggregate jar can't name its tasks for key 7: it is broken"},
};

static void fail_in_unit(kitchen *k, size_t row, int code) {
  break_it(in_unit[row].callback, code);
  for (int i = 0; i < 2; i++) {
    call failed = ask(k, in_unit[row].command, 7, 3, NULL);
    assert_int_equal(failed.code, as_told(code));
    if (!strstr(failed.text, in_unit[row].text))
      fail_msg("%s: %s", in_unit[row].callback, failed.text);
    assert_int_equal(stored(k, 7, in_unit[row].event), 0);
    assert_int_equal(stored(k, 7, &Closed), 0);
    assert_int_equal(row_of(k, &shelf, 7), -CAFE_NOT_FOUND);
  }
  mend();
  assert_int_equal(ask(k, &Fill, 7, 5, NULL).code, CAFE_OK);
  assert_int_equal(stored(k, 7, &Filled), 1);
  assert_int_equal(stored(k, 7, &Closed), 1);
  assert_int_equal(row_of(k, &shelf, 7), 5);
}

static void what_fails_in_a_unit_fails_it_whole_with_its_code_and_a_text(void **state) {
  for (size_t row = 0; row < sizeof in_unit / sizeof in_unit[0]; row++) {
    for (int code = -1; code <= CAFE_DENIED + 1; code++) {
      if (code == CAFE_OK)
        continue;
      kitchen *k = fragile_open(code % 2 ? 0 : 100);
      fail_in_unit(k, row, code);
      kitchen_close(k);
    }
  }
}

static void an_answer_that_is_none_fails_the_unit(void **state) {
  static const char *const answers[][2] = {
      {"verdict", "Fill was decided as 0, which is no cafe_verdict"},
      {"no fold", "the view shelf can't fold Filled of key 7: what it said is no cafe_fold"},
  };
  for (size_t i = 0; i < 2; i++) {
    kitchen *k = fragile_open(0);
    break_it(answers[i][0], CAFE_DENIED);
    call failed = ask(k, &Fill, 7, 3, NULL);
    assert_int_equal(failed.code, CAFE_INVALID);
    assert_string_equal(failed.text, answers[i][1]);
    assert_int_equal(stored(k, 7, &Filled), 0);
    mend();
    assert_int_equal(ask(k, &Fill, 7, 3, NULL).code, CAFE_OK);
    kitchen_close(k);
  }
}

static void the_first_failure_counts_and_one_without_a_code_is_invalid(void **state) {
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_reaction reaction = {{arena, NULL, NULL, 0, {0}}};
  note data = {1};
  cafe_reaction_fail(&reaction, CAFE_OK, "%s", "the first");
  cafe_reaction_fail(&reaction, CAFE_DENIED, "%s", "the second");
  cafe_react(&reaction, &Fill, 1, &data, sizeof data);
  assert_int_equal(reaction.commands.err.code, CAFE_INVALID);
  assert_string_equal(reaction.commands.err.text, "the first");
  assert_int_equal(reaction.commands.count, 0);
  cafe_arena_destroy(arena);
}

static void what_a_refusal_says_is_copied(void **state) {
  kitchen *k = fragile_open(0);
  cafe_submit asked = CAFE_SUBMIT_INIT;
  note data = {3};
  const cafe_outcome *out;
  asked.command = &Stir;
  asked.key = 7;
  asked.data = &data;
  asked.data_size = sizeof data;
  break_it("refuse", CAFE_DENIED);
  assert_int_equal(cafe_node_call(&out, k->node, &asked, NULL), CAFE_OK);
  assert_int_equal(out->verdict, CAFE_REFUSED);
  assert_string_equal(out->reason, "passing");
  assert_string_equal(out->text, "it passes");
  mend();
  kitchen_close(k);
}

static int no_reply(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user) {
  return fails(user, "reply");
}

static void a_reply_that_fails_fails_the_command(void **state) {
  kitchen *k = fragile_open(0);
  cafe_submit asked = CAFE_SUBMIT_INIT;
  note data = {3};
  call made = {0};
  cafe_client_key key = {cafe_text("kitchen"), cafe_text("once"), {NULL, 0}};
  asked.command = &Fill;
  asked.key = 7;
  asked.data = &data;
  asked.data_size = sizeof data;
  asked.client_key = &key;
  asked.reply = no_reply;
  asked.reply_user = &broken;
  break_it("reply", CAFE_DENIED);
  assert_int_equal(cafe_node_submit(NULL, k->node, &asked, call_answered, &made, NULL), CAFE_OK);
  kitchen_run(k, 1000);
  assert_int_equal(made.code, CAFE_DENIED);
  assert_string_equal(made.text, "no reply could be made to Fill of key 7: denied");
  assert_int_equal(stored(k, 7, &Filled), 0);
  mend();
  assert_int_equal(cafe_node_submit(NULL, k->node, &asked, call_answered, &made, NULL), CAFE_OK);
  kitchen_run(k, 1000);
  assert_int_equal(made.code, CAFE_OK);
  assert_int_equal(stored(k, 7, &Filled), 1);
  kitchen_close(k);
}

/* ---- while a key is read ---- */

static void what_fails_while_a_key_is_read_is_told_and_the_key_read_again(void **state) {
  static const char *const folds[][2] = {
      {"evolve", "the aggregate jar can't evolve by Filled of key 7: corrupt"},
      {"sub", "the view shelf can't tell the row of Filled of key 7: corrupt"},
      {"fold", "the view shelf can't fold Filled of key 7: corrupt"},
  };
  for (size_t i = 0; i < 3; i++) {
    kitchen *k = fragile_open(100);
    assert_int_equal(ask(k, &Fill, 7, 3, NULL).code, CAFE_OK);
    kitchen_down(k);
    kitchen_up(k);
    break_it(folds[i][0], CAFE_CORRUPT);
    call failed = ask(k, &Fill, 7, 4, NULL);
    assert_int_equal(failed.code, CAFE_CORRUPT);
    assert_string_equal(failed.text, folds[i][1]);
    assert_int_equal(stored(k, 7, &Filled), 1);
    mend();
    assert_int_equal(ask(k, &Fill, 7, 4, NULL).code, CAFE_OK);
    assert_int_equal(row_of(k, &shelf, 7), 7);
    kitchen_close(k);
  }
}

/* ---- from a log ---- */

static void a_view_stands_still_while_it_fails_and_skips_nothing(void **state) {
  static const char *const texts[][2] = {
      {"sub elsewhere", "the view far_shelf can't tell the row of Filled of key 7: "},
      {"fold elsewhere", "the view far_shelf can't fold Filled of key 7: "},
  };
  for (size_t i = 0; i < 2; i++) {
    for (int code = 1; code <= CAFE_DENIED + 1; code++) {
      kitchen *k = fragile_open(code % 2 ? 0 : 100);
      break_it(texts[i][0], code);
      assert_int_equal(ask(k, &Fill, 7, 1, NULL).code, CAFE_OK);
      kitchen_run(k, 2000000);
      assert_int_equal(ask(k, &Fill, 7, 2, NULL).code, CAFE_OK);
      kitchen_run(k, 2000000);
      assert_true(broken.met > 2);
      assert_true(k->warnings > 0);
      assert_non_null(strstr(k->warning, texts[i][1]));
      assert_int_equal(row_of(k, &far_shelf, 7), -CAFE_NOT_FOUND);
      mend();
      assert_int_equal(ask(k, &Fill, 8, 4, NULL).code, CAFE_OK);
      kitchen_run(k, 2000000);
      assert_int_equal(row_of(k, &far_shelf, 7), 3);
      assert_int_equal(row_of(k, &far_shelf, 8), 4);
      kitchen_close(k);
    }
  }
}

static void a_policy_that_fails_is_asked_again_until_it_works_and_acts_once(void **state) {
  for (int code = 1; code <= CAFE_DENIED + 1; code++) {
    kitchen *k = fragile_open(code % 2 ? 0 : 100);
    break_it("react elsewhere", code);
    assert_int_equal(ask(k, &Stir, 7, 1, NULL).code, CAFE_OK);
    assert_int_equal(ask(k, &Stir, 7, 2, NULL).code, CAFE_OK);
    kitchen_run(k, 2000000);
    assert_true(broken.met > 2);
    assert_non_null(strstr(k->warning, "the policy fills can't react to Stirred of key 7: react elsewhere is broken"));
    assert_int_equal(stored(k, 107, &Filled), 0);
    mend();
    kitchen_run(k, 2000000);
    assert_int_equal(stored(k, 107, &Filled), 2);
    kitchen_close(k);
  }
}

/* ---- when something is due ---- */

/* What fails is looked at about once a second, and may be asked more than once by a look. */
enum { SECONDS_5 = 20 };

static void what_is_due_is_done_once_its_callbacks_work(void **state) {
  static const char *const texts[][2] = {
      {"due_ms", "what is due can't be done: the saga watch, step wait, can't tell when late is due for key 7: denied"},
      {"ask",
       "what is due can't be done: the saga watch can't ask what it has to in step wait of key 7: ask is broken"},
  };
  for (size_t i = 0; i < 2; i++) {
    kitchen *k = fragile_open(0);
    k->service.policies = NULL;
    kitchen_down(k);
    kitchen_up(k);
    assert_int_equal(ask(k, &Fill, 7, 3, NULL).code, CAFE_OK);
    break_it(texts[i][0], CAFE_DENIED);
    kitchen_run(k, 5000000);
    assert_string_equal(k->warning, texts[i][1]);
    assert_in_range(broken.met, 2, SECONDS_5);
    assert_int_equal(stored(k, 7, &Closed), 0);
    mend();
    kitchen_run(k, 5000000);
    assert_int_equal(stored(k, 7, &Closed), 1);
    kitchen_close(k);
  }
}

/* ---- tasks, and what is given up ---- */

static void a_task_is_not_lost_where_its_state_cant_be_had(void **state) {
  static const char *const texts[][2] = {
      {"tasks", "what is due can't be done: the aggregate jar can't name its tasks for key 7: it is broken"},
      {"evolve", "what is due can't be done: the aggregate jar can't evolve by BrewAsked of key 7: denied"},
  };
  for (size_t i = 0; i < 2; i++) {
    kitchen *k = fragile_open(0);
    assert_int_equal(ask(k, &Brew, 7, 1, NULL).code, CAFE_OK);
    assert_non_null(k->task);
    kitchen_down(k);
    break_it(texts[i][0], CAFE_DENIED);
    kitchen_up(k);
    kitchen_run(k, 5000000);
    assert_null(k->task);
    assert_string_equal(k->warning, texts[i][1]);
    assert_in_range(broken.met, 2, SECONDS_5);
    mend();
    kitchen_run(k, 5000000);
    assert_non_null(k->task);
    assert_int_equal(k->attempt, 2);
    kitchen_close(k);
  }
}

static int silent_start(cafe_task *task, cafe_err *err, void *user) { return fails(user, "start"); }

static void give_up_too(cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user) {
  cafe_react(out, &Forget, task->key, task->data, sizeof(note));
  fail_reaction(out, user, "worker give_up");
}

static void a_worker_that_says_nothing_is_spoken_for(void **state) {
  kitchen *k = kitchen_open(0);
  k->worker.start = silent_start;
  k->worker.user = &broken;
  kitchen_up(k);
  break_it("start", CAFE_DENIED);
  assert_int_equal(ask(k, &Brew, 7, 1, NULL).code, CAFE_OK);
  kitchen_run(k, 1000000);
  assert_non_null(strstr(k->warning, "the worker of BrewTask can't start it: denied"));
  mend();
  kitchen_close(k);
}

static int never_start(cafe_task *task, cafe_err *err, void *user) {
  return cafe_fail(err, CAFE_UNAVAILABLE, "it won't brew");
}

static void what_cant_be_given_up_is_tried_on_and_given_up_later(void **state) {
  kitchen *k = kitchen_open(0);
  k->worker.start = never_start;
  k->worker.give_up = give_up_too;
  k->worker.user = &broken;
  k->worker.retry.max_attempts = 2;
  kitchen_up(k);
  break_it("worker give_up", CAFE_DENIED);
  assert_int_equal(ask(k, &Brew, 7, 1, NULL).code, CAFE_OK);
  kitchen_run(k, 5000000);
  assert_true(broken.met > 1);
  assert_string_equal(k->warning, "BrewTask 1 of jar can't be given up: worker give_up is broken");
  assert_int_equal(stored(k, 7, &BrewForgotten), 0);
  mend();
  kitchen_run(k, 5000000);
  assert_int_equal(stored(k, 7, &BrewForgotten), 1);
  kitchen_close(k);
}

/* Gives up Ask of key 7, and with that tries to take it back. */
static void ask_and_give_up(kitchen *k) {
  cafe_submit asked = CAFE_SUBMIT_INIT;
  note data = {3};
  call made = {0};
  cafe_op *op;
  asked.command = &Ask;
  asked.key = 7;
  asked.data = &data;
  asked.data_size = sizeof data;
  assert_int_equal(cafe_node_submit(&op, k->node, &asked, call_answered, &made, NULL), CAFE_OK);
  kitchen_run(k, 1000);
  cafe_op_cancel(op);
  kitchen_run(k, 1000);
  assert_int_equal(made.code, CAFE_CANCELED);
}

static void a_pending_command_that_cant_be_taken_back_goes_on(void **state) {
  static const char *const texts[][2] = {
      {"give_up", "give_up is broken"},
      {"give_up twice", "give_up names 2 commands: it may name one"},
      {"give_up elsewhere", "give_up names Answer to key 8, not to its own key 7"},
      {"give_up by no command", "give_up names Closed, which no aggregate of this node takes"},
  };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    kitchen *k = fragile_open(0);
    char text[200];
    break_it(texts[i][0], CAFE_DENIED);
    ask_and_give_up(k);
    snprintf(text, sizeof text, "what was given up goes on: the aggregate jar can't give up Ask: %s", texts[i][1]);
    assert_string_equal(k->warning, text);
    assert_int_equal(stored(k, 7, &Answered), 0);
    assert_int_equal(stored(k, 8, &Answered), 0);
    mend();
    ask_and_give_up(k);
    assert_int_equal(stored(k, 7, &Answered), 1);
    kitchen_close(k);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_fails_in_a_unit_fails_it_whole_with_its_code_and_a_text),
      cmocka_unit_test(an_answer_that_is_none_fails_the_unit),
      cmocka_unit_test(the_first_failure_counts_and_one_without_a_code_is_invalid),
      cmocka_unit_test(what_a_refusal_says_is_copied),
      cmocka_unit_test(a_reply_that_fails_fails_the_command),
      cmocka_unit_test(what_fails_while_a_key_is_read_is_told_and_the_key_read_again),
      cmocka_unit_test(a_view_stands_still_while_it_fails_and_skips_nothing),
      cmocka_unit_test(a_policy_that_fails_is_asked_again_until_it_works_and_acts_once),
      cmocka_unit_test(what_is_due_is_done_once_its_callbacks_work),
      cmocka_unit_test(a_task_is_not_lost_where_its_state_cant_be_had),
      cmocka_unit_test(a_worker_that_says_nothing_is_spoken_for),
      cmocka_unit_test(what_cant_be_given_up_is_tried_on_and_given_up_later),
      cmocka_unit_test(a_pending_command_that_cant_be_taken_back_goes_on),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
