/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One act becomes one unit of work: what it begins with is here, what comes of that in decide.c, and what is written of
 * it in seal.c.
 *
 * What is kept here: the state in memory is always the fold of what is committed and what is in flight, in order. The
 * unit is built on that state at once, so a failure half way (no memory, a broken definition) leaves a state that no
 * unit stands for: the subject is then stale, and read anew before anything else is decided on it.
 *
 * Nothing here is durable, and nothing here may be seen: answers, tasks and requests wait for the commit. A crash here
 * leaves nothing behind.
 */
#include "engine/unit.h"
#include "engine/consume.h"
#include "engine/key.h"

static struct unit *unit_make(struct subject *subject) {
  cafe_node *node = subject->node;
  cafe_arena *arena = node_large_arena(node);
  struct unit *made = arena ? cafe_arena_alloc(arena, sizeof *made) : NULL;
  if (!made) {
    node_large_arena_free(node, arena);
    return NULL;
  }
  made->store.size = sizeof made->store;
  made->store.key = subject->key;
  made->arena = arena;
  made->subject = subject;
  made->now_ms = node_utc_ms(node);
  made->wake_ms = -1;
  return made;
}

void unit_free(cafe_node *node, struct unit *unit) {
  node_large_arena_free(node, unit->arena); /* the unit lies in it */
}

int unit_no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "no memory to decide a command"); }

/* ---- what the act begins with ---- */

/* One subscription hears for all versions of a saga. */
static int signal_versions(execution *x, uint32_t saga, const cafe_event *event) {
  const registry *known = &x->node->registry;
  int code = CAFE_OK;
  for (uint32_t i = 0; i < known->saga_count && !code; i++)
    if (known->sagas[i].number == known->sagas[saga].number)
      code = decide_signal(x, i, event, NULL);
  return code;
}

static int begin_tick(execution *x) {
  for (uint32_t i = 0; i < x->node->registry.saga_count; i++) {
    saga_instance *instance = x->subject->sagas[i];
    if (!instance)
      continue;
    saga_asks again = {NULL, NULL, 0}, due = {NULL, NULL, 0};
    bool resumed = false, ticked = false;
    int code = CAFE_OK;
    saga_instance_set_caller(instance, x->caller);
    if (!x->subject->is_resumed)
      code = saga_resume(instance, x->unit->now_ms, x->arena, &again, &resumed, x->err);
    if (!code)
      code = decide_queue_asks(x, i, &again);
    if (!code)
      code = saga_tick(instance, x->unit->now_ms, x->arena, &due, &ticked, x->err);
    if (code)
      return code;
    if (resumed || ticked)
      x->changed_sagas |= (uint64_t)1 << i;
    code = decide_queue_asks(x, i, &due);
    if (code)
      return code;
  }
  return CAFE_OK;
}

static int begin_answer(execution *x, struct act *act) {
  if (!x->subject->sagas[act->saga])
    return CAFE_OK;
  if (act->event) {
    int code = decide_signal(x, act->saga, act->event, NULL);
    if (code)
      return code;
  }
  saga_asks asks = {NULL, NULL, 0};
  bool changed = false;
  saga_instance_set_caller(x->subject->sagas[act->saga], x->caller);
  int code = saga_answer(x->subject->sagas[act->saga], act->ask_kind, act->step, act->attempt, act->code, act->verdict,
                         x->unit->now_ms, node_random(x->node), x->arena, &asks, &changed, x->err);
  if (code)
    return code;
  if (changed)
    x->changed_sagas |= (uint64_t)1 << act->saga;
  return decide_queue_asks(x, act->saga, &asks);
}

static int begin(execution *x, struct act *act) {
  switch (act->kind) {
  case ACT_COMMAND: {
    int code = decide_queue(x, act->command->type->command, x->subject->key, act->data, 0, NULL);
    if (x->last)
      x->last->op = act->op;
    return code;
  }
  case ACT_TICK:
    return begin_tick(x);
  case ACT_ANSWER:
    return begin_answer(x, act);
  case ACT_EVENT: {
    int code = act->signals ? signal_versions(x, act->saga, act->event) : CAFE_OK;
    for (const collected *item = act->commands; item && !code; item = item->next)
      if (item->key == x->subject->key)
        code = decide_queue(x, item->type, item->key, item->data, 0, NULL);
    return code;
  }
  case ACT_ROWS:
    return CAFE_OK;
  }
  return CAFE_OK;
}

/* A subscription's moves of one checkpoint follow one another. */
static bool follows(const struct unit *unit, const struct unit *before) {
  return unit->consumer && unit->consumer == before->consumer && unit->store.checkpoint_count &&
         before->store.checkpoint_count &&
         unit->store.checkpoints[0].partition == before->store.checkpoints[0].partition;
}

/* Whether the store refuses it where the one before it, still in flight, isn't written. */
static bool is_chained(const struct unit *unit, const struct unit *before) {
  if (!before || follows(unit, before))
    return true;
  for (uint32_t i = 0; i < unit->store.row_count; i++) {
    const cafe_row_write *row = &unit->store.rows[i];
    for (uint32_t j = 0; j < before->store.row_count; j++)
      if (before->store.rows[j].table == row->table && before->store.rows[j].sub == row->sub)
        return true;
  }
  for (uint32_t i = 0; i < unit->store.event_count; i++) {
    const char *aggregate = unit->store.events[i].aggregate;
    for (uint32_t j = 0; j < before->store.event_count; j++)
      if (before->store.events[j].aggregate == aggregate)
        return true;
  }
  return false;
}

/* The budget goes with the unit, as the trace does. */
static saga_caller caller_of(const cafe_op *op, int64_t now_ms) {
  int64_t left_us = cafe_budget_left_us(&op->budget, node_now_us(op->node));
  return (saga_caller){true, left_us == INT64_MAX ? 0 : now_ms + left_us / 1000, op->budget.retries};
}

/* Why nothing is decided for it any more; CAFE_OK: it is. */
static int check_act(const struct act *act, cafe_err *err) {
  /* Whoever asked was told that the outcome isn't known, and may ask again under his key, which isn't his yet. */
  if (act->op && act->op->is_detached)
    return CAFE_CANCELED;
  if (act->consumer && act->consumer->has_lost)
    return cafe_fail(err, CAFE_CONFLICT, "the effect of an event before it was not written");
  return CAFE_OK;
}

static void hand_on(struct subject *subject, struct unit *unit) {
  cafe_node *node = subject->node;
  const cafe_unit *store = &unit->store;
  if (!store->event_count && !store->row_count && !store->client_key && !store->checkpoint_count) {
    commit_nothing(node, unit);
    return;
  }
  unit->is_chained = is_chained(unit, subject->last_unit);
  subject->last_unit = unit;
  subject->in_flight++;
  node->units_in_flight++;
  commit_push(node, unit);
}

void unit_execute(struct subject *subject, struct act *act) {
  cafe_node *node = subject->node;
  cafe_err err;
  cafe_err_clear(&err);
  int code = check_act(act, &err);
  struct unit *unit = code ? NULL : unit_make(subject);
  if (!unit) {
    act->finish(node, act, code ? code : unit_no_memory(&err), &err);
    return;
  }
  DL_APPEND(unit->acts, act);
  unit->seq = ++subject->unit_seq;
  unit->consumer = act->consumer;
  unit->is_resuming = act->kind == ACT_TICK && !subject->is_resumed;
  execution x = {.node = node, .subject = subject, .unit = unit, .arena = unit->arena, .err = &err};
  if (act->op) {
    x.caller = caller_of(act->op, unit->now_ms);
    op_wait(act->op, subject, unit->seq);
  }
  /* The act may be over before what the unit began is. */
  code = cafe_arena_copy(&unit->trace, unit->arena, act->trace) ? unit_no_memory(&err) : begin(&x, act);
  if (!code)
    code = decide_run(&x);
  if (!code && act->op && act->op->wants_look) {
    op_failed(subject, unit);
    unit_free(node, unit);
    key_look(act->op);
    return;
  }
  /* A command changes nothing before its first event. */
  bool is_as_before = code && act->kind == ACT_COMMAND && !x.touched;
  if (!code)
    code = seal_unit(&x, act);
  if (code) {
    op_failed(subject, unit);
    unit_free(node, unit);
    if (!is_as_before)
      subject_make_stale(subject);
    act->is_at_fault = true;
    act->finish(node, act, code, &err);
    return;
  }
  if (act->kind == ACT_TICK)
    subject->is_resumed = true;
  if (act->consumer)
    effect_decided(act->consumer);
  hand_on(subject, unit);
}
