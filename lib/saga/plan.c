/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Resolves a definition once, at hosting. What is kept here: nothing that a row stores is a number of this plan. Rows
 * name steps, signals, timeouts and interrupts by saga_id of their names, so a definition may be put in another order,
 * or gain a step or a signal, and running sagas are still found where they stood.
 */
#include "saga/plan.h"

uint32_t saga_id(const char *name) {
  uint32_t hash = UINT32_C(2166136261);
  for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
    hash = (hash ^ *p) * UINT32_C(16777619);
  }
  return hash ? hash : 1;
}

uint64_t saga_number(const char *name) { return saga_id(name); }

uint32_t plan_find(const cafe_saga *saga, const char *step) {
  for (uint32_t i = 0; i < saga->step_count; i++) {
    if (strcmp(saga->steps[i].name, step) == 0) {
      return i;
    }
  }
  return SAGA_NO;
}

/* By name where the pointer is another one: two parts of a program may each hold the same table. */
uint32_t plan_signal(const saga_plan *plan, const cafe_schema *type) {
  for (uint32_t i = 0; i < plan->signal_count; i++) {
    if (plan->signals[i] == type) {
      return i;
    }
  }
  for (uint32_t i = 0; i < plan->signal_count; i++) {
    if (strcmp(plan->signals[i]->name, type->name) == 0) {
      return i;
    }
  }
  return SAGA_NO;
}

bool plan_is_early(const saga_plan *plan, uint32_t step) {
  uint32_t branch = plan->steps[step].branch;
  return (branch == SAGA_MAIN ? step : plan->steps[plan->first[branch]].after) < plan->pivot;
}

/* ---- signals ---- */

static int add_signal(saga_plan *plan, uint32_t *out, const cafe_schema *type, const check_place *place) {
  if (!type->name || !type->name[0]) {
    return check_refuse(place, "names an event type without a name");
  }
  uint32_t signal = plan_signal(plan, type);
  if (signal == SAGA_NO) {
    if (plan->signal_count == CAFE_SAGA_SIGNALS_MAX) {
      return check_refuse(place, "names %s, one event type too many: a saga has at most %d", type->name,
                          CAFE_SAGA_SIGNALS_MAX);
    }
    uint32_t id = saga_id(type->name);
    for (uint32_t i = 0; i < plan->signal_count; i++) {
      if (plan->signal_ids[i] == id) {
        return check_refuse(place, "names %s, which rows can't tell from %s: their numbers are equal", type->name,
                            plan->signals[i]->name);
      }
    }
    signal = plan->signal_count++;
    plan->signals[signal] = type;
    plan->signal_ids[signal] = id;
  }
  *out = signal;
  return CAFE_OK;
}

static int add_list(saga_plan *plan, saga_set *out, const cafe_schema *const *list, const char *what,
                    const check_place *place) {
  *out = 0;
  if (!list) {
    return CAFE_OK;
  }
  if (!list[0]) {
    return check_refuse(place, "%s is an empty list", what);
  }
  for (; *list; list++) {
    uint32_t signal = 0;
    int code = add_signal(plan, &signal, *list, place);
    if (code) {
      return code;
    }
    *out |= (saga_set)1 << signal;
  }
  return CAFE_OK;
}

/* ---- steps ---- */

static int add_to_branch(saga_plan *plan, uint32_t index, const check_place *place) {
  const cafe_saga_step *steps = plan->saga->steps;
  const cafe_saga_step *step = &steps[index];
  plan_step *out = &plan->steps[index];
  out->next = SAGA_NO;
  out->after = SAGA_NO;
  uint32_t last = SAGA_NO;
  for (uint32_t i = 0; i < index; i++) {
    const char *branch = steps[i].branch;
    if (branch == step->branch || (branch && step->branch && strcmp(branch, step->branch) == 0)) {
      last = i;
    }
  }
  if (last != SAGA_NO) {
    plan->steps[last].next = (uint8_t)index;
    out->branch = plan->steps[last].branch;
    return step->after ? check_refuse(place, "only the first step of a branch other than main begins after another")
                       : CAFE_OK;
  }
  if (!step->branch != (index == 0)) {
    return check_refuse(place, "the first step of the table, and no later branch, is main's");
  }
  if (!step->branch) {
    if (step->after) {
      return check_refuse(place, "main begins with the saga, not after a step");
    }
  } else {
    if (!step->after) {
      return check_refuse(place, "the branch %s must say after which step of main it begins", step->branch);
    }
    uint32_t after = plan_find(plan->saga, step->after);
    if (after == SAGA_NO || steps[after].branch) {
      return check_refuse(place, "begins after %s, which is no step of main", step->after);
    }
    out->after = (uint8_t)after;
  }
  out->branch = plan->branch_count++;
  plan->first[out->branch] = (uint8_t)index;
  return CAFE_OK;
}

static int add_turns(saga_plan *plan, uint32_t index, const check_place *place) {
  const cafe_saga_step *step = &plan->saga->steps[index];
  for (const cafe_saga_turn *turn = step->turns; turn && (turn->signal || turn->to); turn++) {
    if (!turn->signal) {
      return check_refuse(place, "the turn to %s names no signal", turn->to);
    }
    uint32_t signal = SAGA_NO;
    int code = add_signal(plan, &signal, turn->signal, place);
    if (code) {
      return code;
    }
    plan->steps[index].turns |= (saga_set)1 << signal;
  }
  return CAFE_OK;
}

static int add_timeouts(saga_plan *plan, uint32_t index, const check_place *place) {
  const cafe_saga_timeout *timeout = plan->saga->steps[index].timeouts;
  plan_step *out = &plan->steps[index];
  out->first_timeout = plan->timeout_count;
  for (; timeout && (timeout->name || timeout->due_ms || timeout->ask); timeout++) {
    if (!timeout->name || !timeout->name[0] || !timeout->due_ms || !timeout->ask) {
      return check_refuse(place, "a timeout needs a name, due_ms and ask");
    }
    if (plan->timeout_count == CAFE_SAGA_TIMEOUTS_MAX) {
      return check_refuse(place, "%s is one timeout too many: a saga has at most %d", timeout->name,
                          CAFE_SAGA_TIMEOUTS_MAX);
    }
    /* Unique in its step is enough: the step's own id is part of it. */
    uint32_t id = saga_id(timeout->name) ^ out->id * UINT32_C(16777619);
    for (uint32_t i = 0; i < plan->timeout_count; i++) {
      if (plan->timeout_ids[i] == id) {
        return check_refuse(place, "the timeout %s can't be told from another one: choose another name", timeout->name);
      }
    }
    plan->timeout_ids[plan->timeout_count++] = id;
    out->timeout_count++;
  }
  return CAFE_OK;
}

static int add_step(saga_plan *plan, uint32_t index, cafe_err *err) {
  const cafe_saga_step *step = &plan->saga->steps[index];
  plan_step *out = &plan->steps[index];
  check_place place = {plan->saga, "step", step->name, err};
  out->id = saga_id(step->name);
  int code = add_to_branch(plan, index, &place);
  if (!code) {
    code = add_list(plan, &out->again, step->again, "again", &place);
  }
  if (!code) {
    code = add_list(plan, &out->completes, step->completes, "completes", &place);
  }
  if (!code) {
    code = add_list(plan, &out->fails, step->fails, "fails", &place);
  }
  if (!code) {
    code = add_turns(plan, index, &place);
  }
  if (!code) {
    code = add_list(plan, &out->compensated, step->compensated, "compensated", &place);
  }
  return code ? code : add_timeouts(plan, index, &place);
}

static int add_interrupt(saga_plan *plan, uint32_t index, cafe_err *err) {
  const cafe_saga_interrupt *interrupt = &plan->saga->interrupts[index];
  plan_interrupt *out = &plan->interrupts[index];
  check_place place = {plan->saga, "interrupt", interrupt->name, err};
  out->id = saga_id(interrupt->name);
  if (!interrupt->signal || !interrupt->legal_in || !interrupt->granted || !interrupt->refused) {
    return check_refuse(&place, "needs a signal, legal_in, granted and refused");
  }
  uint32_t signal = SAGA_NO;
  int code = add_signal(plan, &signal, interrupt->signal, &place);
  if (!code) {
    code = add_list(plan, &out->granted, interrupt->granted, "granted", &place);
  }
  if (!code) {
    code = add_list(plan, &out->refused, interrupt->refused, "refused", &place);
  }
  if (code) {
    return code;
  }
  out->signal = (uint8_t)signal;
  for (const char *const *name = interrupt->legal_in; *name; name++) {
    uint32_t step = plan_find(plan->saga, *name);
    if (step == SAGA_NO || plan->steps[step].branch != SAGA_MAIN) {
      return check_refuse(&place, "is legal in %s, which is no step of main", *name);
    }
    out->legal_in |= UINT32_C(1) << step;
  }
  return CAFE_OK;
}

int plan_build(saga_plan *plan, const cafe_saga *saga, cafe_err *err) {
  memset(plan, 0, sizeof(*plan));
  int code = check_names(saga, err);
  if (code) {
    return code;
  }
  plan->saga = saga;
  plan->pivot = SAGA_NO;
  check_place place = {saga, NULL, NULL, err};
  uint32_t starts = SAGA_NO;
  code = add_signal(plan, &starts, saga->starts, &place);
  for (uint32_t i = 0; !code && i < saga->step_count; i++) {
    code = add_step(plan, i, err);
  }
  for (uint32_t i = 0; !code && i < saga->interrupt_count; i++) {
    code = add_interrupt(plan, i, err);
  }
  for (const cafe_schema *const *type = saga->remembers; !code && type && *type; type++) {
    uint32_t unused;
    code = add_signal(plan, &unused, *type, &place);
  }
  for (uint32_t i = 0; !code && i < saga->step_count; i++) {
    if (saga->steps[i].kind == CAFE_STEP_PIVOT && plan->pivot == SAGA_NO) {
      plan->pivot = (uint8_t)i;
    }
  }
  return code ? code : check_rules(plan, err);
}

int saga_plan_create(saga_plan **out, const cafe_saga *saga, const cafe_allocator *allocator, cafe_err *err) {
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  saga_plan *plan = allocator->resize(NULL, sizeof(*plan), allocator->user);
  if (!plan) {
    return cafe_fail(err, CAFE_NOMEM, "no memory for the plan of a saga");
  }
  int code = plan_build(plan, saga, err);
  plan->allocator = *allocator;
  if (code) {
    saga_plan_destroy(plan);
    return code;
  }
  *out = plan;
  return CAFE_OK;
}

void saga_plan_destroy(saga_plan *plan) {
  if (plan) {
    cafe_allocator allocator = plan->allocator;
    allocator.resize(plan, 0, allocator.user);
  }
}

const cafe_saga *saga_plan_saga(const saga_plan *plan) { return plan->saga; }

const cafe_schema *const *saga_plan_signals(const saga_plan *plan) { return plan->signals; }
