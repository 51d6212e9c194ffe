/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The world outside. What is kept here: what was asked of it goes on when the process that asked is gone, and the book
 * is written at the moment at which something is done, whoever may still hear of it. So a test can say "once" of what
 * happened, not of what somebody was told.
 */
#include <inttypes.h>

#include <utlist.h>

#include "base/sized.h"
#include "testing/crash_core.h"

/* One task, in the book. */
struct crash_entry {
  crash_entry *next;
  const cafe_schema *task;
  uint64_t key;
  uint32_t id;
  uint32_t asked;
  uint32_t times;
  bool is_given_up;
};

/* A scripted worker on one life of a node. */
struct crash_employee {
  crash_employee *next;
  cafe_crash *run;
  crash_process *process;
  cafe_crash_worker script;
};

typedef enum errand_end { ERRAND_ANSWERED = 1, ERRAND_FAILED = 2, ERRAND_LOST = 3 } errand_end;

/* What is under way. */
struct crash_errand {
  crash_errand *prev, *next;
  crash_employee *employee;
  cafe_task *task; /* NULL: nobody waits for it any more */
  crash_entry *entry;
  errand_end end;
  bool is_done; /* the first half is over */
  int64_t half_us;
  cafe_timer timer;
};

/* ---- the book ---- */

static crash_entry *find(const cafe_crash *run, const cafe_schema *task, uint64_t key, uint32_t id) {
  crash_entry *entry = run->book;
  while (entry && (entry->task != task || entry->key != key || entry->id != id)) {
    entry = entry->next;
  }
  return entry;
}

static crash_entry *entry_of(cafe_crash *run, const cafe_task *task) {
  crash_entry *entry = find(run, task->type, task->key, task->id);
  if (entry) {
    return entry;
  }
  entry = cafe_arena_alloc(run->arena, sizeof(*entry));
  if (!entry) {
    cafe_crash_wrong(run, "no memory to keep book of %s", task->type->name);
    return NULL;
  }
  entry->task = task->type;
  entry->key = task->key;
  entry->id = task->id;
  LL_PREPEND(run->book, entry);
  return entry;
}

void cafe_crash_asked(cafe_crash *run, const cafe_task *task) {
  crash_entry *entry = entry_of(run, task);
  if (entry) {
    entry->asked++;
  }
}

void cafe_crash_did(cafe_crash *run, const cafe_task *task) {
  crash_entry *entry = entry_of(run, task);
  if (entry) {
    entry->times++;
  }
}

uint32_t cafe_crash_times(cafe_crash *run, const cafe_schema *task, uint64_t key, uint32_t id) {
  const crash_entry *entry = find(run, task, key, id);
  return entry ? entry->times : 0;
}

bool cafe_crash_did_once(cafe_crash *run, const cafe_schema *task) {
  for (const crash_entry *entry = run->book; entry; entry = entry->next) {
    bool may_be_none = entry->is_given_up && entry->times == 0;
    if (entry->task == task && entry->times != 1 && !may_be_none) {
      return cafe_crash_wrong(run, "%s %u of key %" PRIu64 " was done %u times, and asked for %u times",
                              entry->task->name, entry->id, entry->key, entry->times, entry->asked);
    }
  }
  return true;
}

/* ---- a scripted worker ---- */

static void errand_over(crash_errand *errand) { DL_DELETE(errand->employee->run->errands, errand); }

static void settle(crash_errand *errand) {
  const crash_employee *employee = errand->employee;
  cafe_crash *run = employee->run;
  const cafe_crash_worker *script = &employee->script;
  cafe_task *task = errand->task;
  cafe_reaction reaction;
  collector_init(&reaction.commands, run->arena);
  script->settle(&reaction, task, script->user);
  const collected *named = reaction.commands.first;
  if (reaction.commands.err.code || !named || named->next || named->key != task->key) {
    cafe_crash_wrong(run, "the script of %s must settle it by one command to its own key %" PRIu64 "%s%s",
                     task->type->name, task->key, reaction.commands.err.code ? ": " : "",
                     reaction.commands.err.code ? reaction.commands.err.text : "");
    return;
  }
  cafe_task_settle(task, named->type, named->data, named->type->width);
}

static void answer(crash_errand *errand) {
  cafe_task *task = errand->task;
  errand_over(errand);
  if (!task) {
    return;
  }
  if (errand->end == ERRAND_ANSWERED) {
    settle(errand);
    return;
  }
  cafe_err err;
  cafe_fail(&err, CAFE_UNAVAILABLE, "%s fails, by its script", task->type->name);
  cafe_task_fail(task, &err);
}

static void half_way(crash_errand *errand) {
  const crash_employee *employee = errand->employee;
  crash_entry *entry = errand->entry;
  errand->is_done = true;
  if (errand->end != ERRAND_FAILED && (employee->script.is_forgetful || entry->times == 0)) {
    entry->times++;
  }
}

static int begin_half(crash_errand *errand, cafe_err *err) {
  cafe_loop *world = errand->employee->run->world;
  return world->ops->timer_start(world, &errand->timer, world->ops->now_us(world) + errand->half_us, err);
}

static void fired(cafe_timer *timer) {
  crash_errand *errand = timer->user;
  if (errand->is_done) {
    answer(errand);
    return;
  }
  half_way(errand);
  /* One that is lost is waited for until it is stopped. */
  if (errand->end != ERRAND_LOST && begin_half(errand, NULL)) {
    cafe_crash_wrong(errand->employee->run, "no memory for the answer to a task");
  }
}

static errand_end end_of(const cafe_crash_worker *script, uint32_t asked) {
  if (asked <= script->fail_first) {
    return ERRAND_FAILED;
  }
  return asked - script->fail_first <= script->lose_first ? ERRAND_LOST : ERRAND_ANSWERED;
}

static int start(cafe_task *task, cafe_err *err, void *user) {
  crash_employee *employee = user;
  cafe_crash *run = employee->run;
  const cafe_crash_worker *script = &employee->script;
  crash_entry *entry = entry_of(run, task);
  crash_errand *errand = cafe_arena_alloc(run->arena, sizeof(*errand));
  if (!entry || !errand) {
    cafe_crash_wrong(run, "no memory to begin %s", task->type->name);
    return cafe_fail(err, CAFE_NOMEM, "no memory to begin %s", task->type->name);
  }
  entry->asked++;
  int64_t jitter_ms = script->jitter_ms > 0 ? (int64_t)cafe_crash_draw(run, (uint64_t)script->jitter_ms + 1) : 0;
  errand->employee = employee;
  errand->task = task;
  errand->entry = entry;
  errand->end = end_of(script, entry->asked);
  errand->half_us = (script->delay_ms + jitter_ms) * 500;
  errand->timer.fire = fired;
  errand->timer.user = errand;
  int code = begin_half(errand, err);
  if (!code) {
    DL_APPEND(run->errands, errand);
  }
  return code;
}

static void stop(cafe_task *task, void *user) {
  crash_errand *errand;
  DL_FOREACH(((crash_employee *)user)->run->errands, errand) {
    if (errand->task == task) {
      errand->task = NULL;
    }
  }
}

static void give_up(cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user) {
  crash_employee *employee = user;
  const cafe_crash_worker *script = &employee->script;
  crash_entry *entry = entry_of(employee->run, task);
  if (entry) {
    entry->is_given_up = true;
  }
  script->give_up(out, task, reason, script->user);
}

static int read_script(cafe_crash_worker *script, const cafe_crash_worker *given, cafe_err *err) {
  int code = SIZED_READ(script, given, cafe_crash_worker, user, "CAFE_CRASH_WORKER", err);
  if (code) {
    return code;
  }
  if (!script->task || !script->settle) {
    return cafe_fail(err, CAFE_INVALID, "a scripted worker needs its task and settle");
  }
  if (script->lose_first && script->retry.timeout_ms <= 0) {
    return cafe_fail(err, CAFE_INVALID, "the script of %s loses answers, so its retry needs a timeout_ms",
                     script->task->name);
  }
  if (script->delay_ms < 0 || script->jitter_ms < 0) {
    return cafe_fail(err, CAFE_INVALID, "the script of %s has a negative delay", script->task->name);
  }
  return CAFE_OK;
}

int cafe_crash_employ(cafe_crash *run, cafe_node *node, const cafe_crash_worker *given, cafe_err *err) {
  crash_employee *employee = cafe_arena_alloc(run->arena, sizeof(*employee));
  if (!employee) {
    return cafe_fail(err, CAFE_NOMEM, "no memory to employ a scripted worker");
  }
  const cafe_crash_worker *script = &employee->script;
  int code = read_script(&employee->script, given, err);
  if (code) {
    return code;
  }
  employee->run = run;
  for (uint32_t i = 0; i < run->count; i++) {
    employee->process = run->processes[i].node == node ? &run->processes[i] : employee->process;
  }
  cafe_worker worker = {.size = CAFE_WORKER,
                        .task = script->task,
                        .retry = script->retry,
                        .start = start,
                        .stop = stop,
                        .give_up = script->give_up ? give_up : NULL,
                        .user = employee};
  return cafe_node_employ(node, &worker, err);
}

/* ---- ends ---- */

void outside_forget(crash_process *process) {
  crash_errand *errand;
  DL_FOREACH(process->run->errands, errand) {
    if (errand->employee->process == process) {
      errand->task = NULL;
    }
  }
}

void outside_end(cafe_crash *run) {
  crash_errand *errand;
  DL_FOREACH(run->errands, errand) { run->world->ops->timer_stop(run->world, &errand->timer); }
}
