/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tasks: what committed states want of the outside world.
 *
 * What is kept here: a task is started only after the unit that made it wanted is durable, and never twice at the same
 * time by one node. That it ran, or may have run, is never forgotten: the first attempt needs no row, since the state
 * wants it; each further one is written to `attempts` before it starts.
 *
 * A crash while a task runs leaves a state that wants it: after the restart it is started with the next attempt, and
 * its idempotency key makes the repeat harmless. A crash between the answer and its commit is the same.
 */
#include "engine/node.h"
#include "engine/timer.h"

/* How long what couldn't be committed waits for its next try, and a task whose answer changed nothing for its next run.
 */
enum { AGAIN_MS = 1000 };

typedef enum task_phase {
  TASK_BEGINNING = 1, /* its attempt is being written */
  TASK_RUNNING = 2,
  TASK_SETTLING = 3, /* its answer is being committed */
  TASK_FAILING = 4,  /* its next attempt is being written */
  TASK_OVER = 5      /* no longer wanted, its row is being removed */
} task_phase;

struct running_task {
  cafe_task task; /* first: what the worker has */
  running_task *prev, *next;
  struct subject *subject;
  uint32_t aggregate;
  const cafe_worker *worker;
  cafe_arena *arena;
  task_phase phase;
  bool is_held;      /* it waits for its turn at the worker */
  heap_item timeout; /* of the attempt; or when its act is submitted again */
  struct act act;
  cafe_slice trace; /* of what made it wanted */
  attempt_row row;
};

/* ---- what is wanted ---- */

int task_look(struct subject *subject, cafe_arena *arena, wanted_task **out, cafe_err *err) {
  registry *known = &subject->node->registry;
  wanted_task **end = out;
  *out = NULL;
  for (uint32_t i = 0; i < known->aggregate_count; i++) {
    const cafe_aggregate *owner = known->aggregates[i].type;
    if (!owner->tasks || !known->aggregates[i].is_local || subject->streams[i].version == 0)
      continue;
    cafe_tasks tasks;
    collector_init(&tasks.wanted, arena);
    owner->tasks(&tasks, subject->streams[i].state, owner->user);
    if (tasks.wanted.err.code)
      return callback_failed(err, tasks.wanted.err.code, tasks.wanted.err.text,
                             "the aggregate %s can't name its tasks for key %llu", owner->name,
                             (unsigned long long)subject->key);
    int code = collector_check(&tasks.wanted, owner->task_types, owner->name, err);
    if (code)
      return code;
    for (const collected *item = tasks.wanted.first; item; item = item->next) {
      wanted_task *wanted = cafe_arena_alloc(arena, sizeof *wanted);
      if (!wanted)
        return cafe_fail(err, CAFE_NOMEM, "no memory to see what a state wants");
      wanted->aggregate = i;
      wanted->id = item->id;
      wanted->type = item->type;
      wanted->data = item->data;
      wanted->not_before_ms = item->not_before_ms;
      *end = wanted;
      end = &wanted->next;
    }
  }
  return CAFE_OK;
}

static running_task *find_running(const struct subject *subject, uint32_t aggregate, uint32_t id) {
  running_task *task;
  DL_FOREACH(subject->tasks, task) {
    if (task->aggregate == aggregate && task->task.id == id)
      return task;
  }
  return NULL;
}

/* When a task that isn't running may start: 0 at once. */
static int64_t start_ms(const struct subject *subject, const wanted_task *wanted) {
  const attempt_slot *slot = subject_attempt(subject, wanted->aggregate, wanted->id);
  int64_t due = slot ? slot->due_ms : 0;
  return due > wanted->not_before_ms ? due : wanted->not_before_ms;
}

int64_t task_due_ms(const struct subject *subject, const wanted_task *wanted, int64_t now_ms) {
  int64_t due = 0;
  for (; wanted; wanted = wanted->next) {
    int64_t start = find_running(subject, wanted->aggregate, wanted->id) ? now_ms : start_ms(subject, wanted);
    if (start < now_ms)
      start = now_ms;
    if (!due || start < due)
      due = start;
  }
  return due;
}

/* ---- one task's life ---- */

static void task_free(running_task *task) {
  cafe_node *node = task->subject->node;
  DL_DELETE(task->subject->tasks, task);
  heap_remove(node->retries, &task->timeout);
  node->stats.tasks_running--;
  node_arena_free(node, task->arena); /* the task lies in it */
}

static running_task *task_make(struct subject *subject, const wanted_task *wanted, const cafe_worker *worker,
                               cafe_slice trace) {
  cafe_node *node = subject->node;
  cafe_arena *arena = node_arena(node);
  running_task *task = arena ? cafe_arena_alloc(arena, sizeof *task) : NULL;
  void *data = task ? cafe_arena_alloc(arena, wanted->type->width) : NULL;
  if (!data || cafe_schema_copy(data, wanted->data, wanted->type, arena) ||
      cafe_arena_copy(&task->trace, arena, trace) || heap_push(node->retries, &task->timeout, INT64_MAX)) {
    node_arena_free(node, arena);
    return NULL;
  }
  task->subject = subject;
  task->aggregate = wanted->aggregate;
  task->worker = worker;
  task->arena = arena;
  task->task.key = subject->key;
  task->task.aggregate = node->registry.aggregates[wanted->aggregate].type->name;
  task->task.id = wanted->id;
  task->task.attempt = 1;
  task->task.type = wanted->type;
  task->task.data = data;
  DL_APPEND(subject->tasks, task);
  node->stats.tasks_running++;
  return task;
}

static void limit_time(running_task *task) {
  cafe_node *node = task->subject->node;
  if (task->worker->retry.timeout_ms > 0)
    heap_update(node->retries, &task->timeout, node_after_us(node, task->worker->retry.timeout_ms));
}

static void task_start(running_task *task) {
  cafe_node *node = task->subject->node;
  cafe_err err = {0};
  task->phase = TASK_RUNNING;
  task->is_held = false;
  task->task.now_ms = node_utc_ms(node);
  limit_time(task);
  int code = task->worker->start(&task->task, &err, task->worker->user);
  if (code && !err.code)
    callback_failed(&err, code, NULL, "the worker of %s can't start it", task->task.type->name);
  if (code)
    cafe_task_fail(&task->task, &err);
}

static bool is_wanted(const wanted_task *wanted, uint32_t aggregate, uint32_t id) {
  for (; wanted; wanted = wanted->next)
    if (wanted->aggregate == aggregate && wanted->id == id)
      return true;
  return false;
}

/* Whether the state, as it is now, wants it. */
static bool is_still_wanted(const running_task *task) {
  struct subject *subject = task->subject;
  wanted_task *wanted = NULL;
  if (subject->state != SUBJECT_READY || task_look(subject, task->arena, &wanted, NULL))
    return false;
  return is_wanted(wanted, task->aggregate, task->task.id);
}

/* A copy without memory is none, as after a restart. */
static const cafe_command *copy_cause(cafe_arena *arena, const cafe_command *cause) {
  cafe_command *kept = cafe_arena_alloc(arena, sizeof *kept);
  void *data = kept ? cafe_arena_alloc(arena, cause->type->width) : NULL;
  if (!data || cafe_schema_copy(data, cause->data, cause->type, arena))
    return NULL;
  *kept = *cause;
  kept->data = data;
  return kept;
}

/* Its act wasn't committed. */
static void submit_again(running_task *task, int code) {
  cafe_node *node = task->subject->node;
  heap_update(node->retries, &task->timeout, node_after_us(node, code == CAFE_CONFLICT ? 0 : AGAIN_MS));
  node_pump(node);
}

static void row_finished(cafe_node *node, struct act *act, int code, const cafe_err *err) {
  running_task *task = act->user;
  struct subject *subject = task->subject;
  (void)err;
  if (node->state > NODE_DRAINING || (code && task->phase == TASK_OVER)) {
    task_free(task);
    timer_retry(subject);
    return;
  }
  if (code) {
    submit_again(task, code); /* nothing is begun without it, and no attempt forgotten */
    return;
  }
  attempt_slot *slot = subject_attempt(subject, task->aggregate, task->task.id);
  if (!slot)
    slot = cafe_arena_alloc(subject->arena, sizeof *slot);
  if (!slot) {
    /* The store knows more than the memory: read it anew. */
    task_free(task);
    subject_make_stale(subject);
    timer_retry(subject);
    return;
  }
  if (!slot->version) {
    slot->aggregate = task->aggregate;
    slot->task = task->task.id;
    LL_PREPEND(subject->attempts, slot);
  }
  slot->attempt = (uint32_t)task->row.attempt;
  slot->due_ms = task->row.due_ms;
  slot->version++;
  if (task->phase == TASK_BEGINNING && is_still_wanted(task)) {
    task_start(task);
    return;
  }
  if (task->phase == TASK_BEGINNING) {
    task_free(task); /* its end came between the look and the row */
    timer_retry(subject);
    return;
  }
  int64_t due_ms = slot->due_ms;
  if (task->phase == TASK_OVER) {
    LL_DELETE(subject->attempts, slot);
    due_ms = is_still_wanted(task) ? node_utc_ms(node) : 0; /* anew: what came meanwhile left it to this */
  }
  if (!slot->cause && task->task.cause)
    slot->cause = copy_cause(subject->arena, task->task.cause);
  task_free(task);
  /* Not by arming the timer: what follows a commit sets it anew, from this. */
  if (due_ms && (!subject->task_due_ms || due_ms < subject->task_due_ms))
    subject->task_due_ms = due_ms;
}

static void write_attempt(running_task *task, uint32_t attempt, int64_t due_ms, task_phase phase) {
  struct subject *subject = task->subject;
  const hosted_aggregate *owner = &subject->node->registry.aggregates[task->aggregate];
  const attempt_slot *slot = subject_attempt(subject, task->aggregate, task->task.id);
  task->phase = phase;
  task->row.aggregate = cafe_text(owner->type->name);
  task->row.task = task->task.id;
  task->row.attempt = attempt;
  task->row.due_ms = due_ms;
  memset(&task->act, 0, sizeof task->act);
  task->act.kind = ACT_ROWS;
  task->act.key = subject->key;
  task->act.subject = subject;
  task->act.row.table = &engine_tables[TABLE_ATTEMPTS];
  task->act.row.key = subject->key;
  task->act.row.sub = owner->number << 32 | task->task.id;
  task->act.row.expected = slot ? slot->version : 0;
  task->act.row.data = phase == TASK_OVER ? NULL : &task->row;
  task->act.finish = row_finished;
  task->act.user = task;
  act_submit(subject->node, &task->act);
}

static void keep_cause(running_task *task, const struct unit *unit) {
  const task_cause *cause;
  LL_FOREACH(unit->causes, cause) {
    if (cause->command->aggregate == task->aggregate)
      break;
  }
  if (!cause)
    return;
  cafe_command command = {cause->command->type->command, task->task.key, unit->now_ms, cause->data};
  task->task.cause = copy_cause(task->arena, &command);
}

static void consider(struct subject *subject, const struct unit *unit, const wanted_task *wanted) {
  cafe_node *node = subject->node;
  if (find_running(subject, wanted->aggregate, wanted->id))
    return;
  int64_t start = start_ms(subject, wanted);
  if (start > node_utc_ms(node)) {
    if (!subject->task_due_ms || start < subject->task_due_ms)
      subject->task_due_ms = start;
    return;
  }
  const cafe_worker *worker = registry_worker(node, wanted->type);
  running_task *task = worker ? task_make(subject, wanted, worker, unit->trace) : NULL;
  if (!task) {
    subject->task_due_ms = node_utc_ms(node) + 1000;
    return;
  }
  const attempt_slot *slot = subject_attempt(subject, wanted->aggregate, wanted->id);
  if (slot || unit->is_resuming) {
    task->task.attempt = slot ? slot->attempt + 1 : 2;
    if (slot && slot->cause)
      task->task.cause = copy_cause(task->arena, slot->cause);
    write_attempt(task, task->task.attempt, 0, TASK_BEGINNING);
    return;
  }
  keep_cause(task, unit);
  task_start(task);
}

/* The row of a task that nobody wants any more. */
static void forget_attempt(struct subject *subject, const attempt_slot *slot) {
  static const cafe_schema nothing = {.name = "nothing", .width = 1};
  const char none = 0;
  wanted_task past = {NULL, slot->aggregate, slot->task, &nothing, &none, 0};
  running_task *task = task_make(subject, &past, NULL, (cafe_slice){NULL, 0});
  if (task)
    write_attempt(task, slot->attempt, 0, TASK_OVER);
}

/* A worker that can't be stopped is waited for: what it says then is judged by the state. */
static void task_stop(running_task *task) {
  if (task->phase != TASK_RUNNING || !task->worker->stop)
    return;
  task->worker->stop(&task->task, task->worker->user);
  task_free(task);
}

void task_reconcile(struct subject *subject, const struct unit *unit) {
  if (!timer_is_for(subject))
    return;
  running_task *task, *next;
  DL_FOREACH_SAFE(subject->tasks, task, next) {
    if (is_wanted(unit->wanted, task->aggregate, task->task.id))
      continue;
    task_stop(task);
  }
  subject->task_due_ms = 0;
  for (const wanted_task *wanted = unit->wanted; wanted; wanted = wanted->next)
    consider(subject, unit, wanted);
  attempt_slot *slot, *after;
  LL_FOREACH_SAFE(subject->attempts, slot, after) {
    if (is_wanted(unit->wanted, slot->aggregate, slot->task))
      continue;
    if (!find_running(subject, slot->aggregate, slot->task))
      forget_attempt(subject, slot);
  }
}

/* ---- answers ---- */

static void settle_finished(cafe_node *node, struct act *act, int code, const cafe_err *err) {
  running_task *task = act->user; /* only failures come here: task_settled has the rest */
  if (node->state > NODE_DRAINING) {
    struct subject *subject = task->subject;
    task_free(task);
    subject_settle(subject);
    return;
  }
  if (code != CAFE_CONFLICT)
    node_log(node, CAFE_LOG_WARN, act->key, act->trace, "%s %u of %s: its answer wasn't taken: %s",
             task->task.type->name, task->task.id, task->task.aggregate, err ? err->text : cafe_code_name(code));
  submit_again(task, code);
}

void task_settled(running_task *task, const struct unit *unit) {
  cafe_node *node = task->subject->node;
  bool is_over = !unit->looked_at_tasks || !is_wanted(unit->wanted, task->aggregate, task->task.id);
  if (is_over || node->state > NODE_DRAINING) {
    task_free(task);
    return;
  }
  /* The answer changed nothing, so the state wants the same again: not at once, or it would go in a circle. */
  int64_t delay = cafe_retry_delay_ms(&task->worker->retry, task->task.attempt, node_random(node));
  write_attempt(task, task->task.attempt, node_utc_ms(node) + (delay > AGAIN_MS ? delay : AGAIN_MS), TASK_FAILING);
}

/* data lies in the task's arena. */
static void submit_answer(running_task *task, const command_type *type, const void *data) {
  cafe_node *node = task->subject->node;
  heap_update(node->retries, &task->timeout, INT64_MAX);
  task->phase = TASK_SETTLING;
  memset(&task->act, 0, sizeof task->act);
  task->act.trace = task->trace;
  task->act.kind = ACT_COMMAND;
  task->act.key = task->subject->key;
  task->act.subject = task->subject;
  task->act.command = type;
  task->act.data = data;
  task->act.task = task;
  task->act.finish = settle_finished;
  task->act.user = task;
  act_submit(node, &task->act);
}

static int settle(running_task *task, const cafe_schema *command, const void *data, size_t size, cafe_err *err) {
  cafe_node *node = task->subject->node;
  const command_type *type = registry_command(node, command);
  if (!type || !node->registry.aggregates[type->aggregate].is_local)
    return cafe_fail(err, CAFE_INVALID, "a task is answered by %s, which no aggregate of this node takes",
                     command->name);
  int code = schema_take(&data, command, data, size, task->arena, err);
  if (code)
    return code;
  void *copy = cafe_arena_alloc(task->arena, command->width);
  if (!copy || cafe_schema_copy(copy, data, command, task->arena))
    return cafe_fail(err, CAFE_NOMEM, "no memory for a task's answer");
  submit_answer(task, type, copy);
  return CAFE_OK;
}

void cafe_task_settle(cafe_task *public, const cafe_schema *command, const void *data, size_t size) {
  cafe_err err;
  if (settle(CONTAINER(public, running_task, task), command, data, size, &err))
    cafe_task_fail(public, &err);
}

/* Whether the command that says so is on its way. */
static bool give_up(running_task *task, const cafe_err *reason) {
  cafe_node *node = task->subject->node;
  const cafe_task *given = &task->task;
  const command_type *type;
  const void *data;
  cafe_err err;
  cafe_reaction said;
  collector_init(&said.commands, task->arena);
  task->worker->give_up(&said, given, reason, task->worker->user);
  node->stats.parked++;
  int code = callback_gave_up(&type, &data, node, &said, given->key, &err);
  if (!code && !type)
    code = cafe_fail(&err, CAFE_INVALID, "give_up names no command: it must name the one that says so");
  if (!code) {
    submit_answer(task, type, data);
    return true;
  }
  node_log(node, CAFE_LOG_ERROR, given->key, task->trace, "%s %u of %s can't be given up: %s", given->type->name,
           given->id, given->aggregate, err.text);
  return false;
}

void cafe_task_fail(cafe_task *public, const cafe_err *reason) {
  running_task *task = CONTAINER(public, running_task, task);
  cafe_node *node = task->subject->node;
  const cafe_retry *retry = &task->worker->retry;
  bool is_last = retry->max_attempts && public->attempt >= retry->max_attempts;
  heap_update(node->retries, &task->timeout, INT64_MAX);
  node_log(node, is_last ? CAFE_LOG_ERROR : CAFE_LOG_WARN, public->key, (cafe_slice){NULL, 0},
           "%s %u of %s, attempt %u%s: %s", public->type->name, public->id, public->aggregate, public->attempt,
           is_last ? ", the last" : "", reason->text);
  if (is_last && give_up(task, reason))
    return;
  int64_t delay = cafe_retry_delay_ms(retry, public->attempt, node_random(node));
  if (delay <= reason->retry_after_ms)
    delay = (int64_t)reason->retry_after_ms + 1; /* the millisecond that it is now has begun already */
  write_attempt(task, public->attempt, node_utc_ms(node) + (delay > 0 ? delay : 1), TASK_FAILING);
}

void cafe_task_hold(cafe_task *public) {
  running_task *task = CONTAINER(public, running_task, task);
  task->is_held = true;
  heap_update(task->subject->node->retries, &task->timeout, INT64_MAX);
}

void cafe_task_begin(cafe_task *public) {
  running_task *task = CONTAINER(public, running_task, task);
  task->is_held = false;
  limit_time(task);
  node_pump(task->subject->node);
}

void task_drop_held(struct subject *subject) {
  running_task *task, *next;
  DL_FOREACH_SAFE(subject->tasks, task, next) {
    if (task->is_held && !timer_is_for(subject))
      task_stop(task);
  }
}

void task_turn(cafe_node *node, int64_t now_us) {
  heap_item *item;
  while ((item = heap_peek(node->retries)) && item->due <= now_us) {
    running_task *task = CONTAINER(item, running_task, timeout);
    heap_update(node->retries, item, INT64_MAX);
    if (task->phase == TASK_SETTLING) {
      act_submit(node, &task->act);
      continue;
    }
    if (task->phase != TASK_RUNNING) {
      write_attempt(task, (uint32_t)task->row.attempt, task->row.due_ms, task->phase);
      continue;
    }
    cafe_err err;
    cafe_fail(&err, CAFE_TIMEOUT, "no answer within %lld ms", (long long)task->worker->retry.timeout_ms);
    task->worker->stop(&task->task, task->worker->user);
    cafe_task_fail(&task->task, &err);
  }
}

void task_stop_all(struct subject *subject) {
  running_task *task, *next;
  DL_FOREACH_SAFE(subject->tasks, task, next) {
    bool is_waiting = task->phase != TASK_RUNNING && task->timeout.due != INT64_MAX;
    if (is_waiting)
      heap_update(subject->node->retries, &task->timeout, node_now_us(subject->node)); /* to be canceled */
    else
      task_stop(task); /* where its act is under way, that frees it */
  }
}
