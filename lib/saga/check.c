/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What can be known of a saga before it runs. The rules keep one promise: wherever a saga stands, something that its
 * definition names can move it, and from before the pivot everything that was begun can be taken back. A definition
 * that could come to stand still, undo what can't be undone, or leave something behind is refused here, by the step's
 * name, and not found out by an order.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/sized.h"
#include "base/str.h"
#include "saga/plan.h"

enum { NAME_MAX_BYTES = 64 };

int check_refuse_as(const check_place *place, cafe_code code, const char *format, ...) {
  char text[sizeof(((cafe_err *)0)->text)];
  va_list args;
  va_start(args, format);
  str_format(text, sizeof(text), format, args);
  va_end(args);
  if (!place->kind) {
    return cafe_fail(place->err, code, "saga %s: %s", place->saga->name, text);
  }
  return cafe_fail(place->err, code, "saga %s, %s %s: %s", place->saga->name, place->kind, place->name, text);
}

/* ---- before the names are resolved ---- */

static bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Names stand in rows, joined by '+', in logs and in graphs. */
static bool is_name(const char *name) {
  if (!name || !is_alphanumeric(name[0]) || strlen(name) > NAME_MAX_BYTES) {
    return false;
  }
  for (const char *p = name; *p; p++) {
    if (!is_alphanumeric(*p) && *p != '_' && *p != '-' && *p != '.') {
      return false;
    }
  }
  return true;
}

static int check_reserved(const check_place *place, const void *reserved, size_t size) {
  if (is_zero(reserved, size)) {
    return CAFE_OK;
  }
  return check_refuse_as(place, CAFE_UNSUPPORTED,
                         "has reserved words that this library doesn't know: zero them, or use a library as new as the "
                         "program");
}

static int check_head(const cafe_saga *saga, cafe_err *err) {
  int code = sized_check(saga, sizeof(*saga), "cafe_saga", "CAFE_SAGA", err);
  if (code) {
    return code;
  }
  if (!is_name(saga->name)) {
    return cafe_fail(err, CAFE_INVALID, "a saga needs a name of at most %d letters, digits, '_', '-' and '.'",
                     NAME_MAX_BYTES);
  }
  check_place place = {saga, NULL, NULL, err};
  if (!saga->version || !saga->data || !saga->starts || !saga->fold) {
    return check_refuse(&place, "needs a version from 1, data, starts and fold");
  }
  if (!saga->steps || saga->step_count == 0 || saga->step_count > CAFE_SAGA_STEPS_MAX) {
    return check_refuse(&place, "has %u steps: it needs 1 to %d", (unsigned)saga->step_count, CAFE_SAGA_STEPS_MAX);
  }
  if (saga->interrupt_count > CAFE_SAGA_INTERRUPTS_MAX || (saga->interrupt_count && !saga->interrupts)) {
    return check_refuse(&place, "has %u interrupts: it may have %d", (unsigned)saga->interrupt_count,
                        CAFE_SAGA_INTERRUPTS_MAX);
  }
  cafe_err cause;
  code = cafe_schema_check(saga->data, &cause);
  return code ? check_refuse(&place, "its data can't be kept: %s", cause.text)
              : check_reserved(&place, saga->reserved, sizeof(saga->reserved));
}

static int check_reserved_of_step(const cafe_saga *saga, const cafe_saga_step *step, cafe_err *err) {
  check_place place = {saga, "step", step->name, err};
  int code = check_reserved(&place, step->reserved, sizeof(step->reserved));
  if (!code) {
    code = check_reserved(&place, step->retry.reserved, sizeof(step->retry.reserved));
  }
  for (const cafe_saga_turn *turn = step->turns; !code && turn && turn->signal; turn++) {
    code = check_reserved(&place, turn->reserved, sizeof(turn->reserved));
  }
  for (const cafe_saga_timeout *timeout = step->timeouts; !code && timeout && timeout->name; timeout++) {
    code = check_reserved(&place, timeout->reserved, sizeof(timeout->reserved));
  }
  return code;
}

/* A name that is there twice has the same number too. */
static int check_name(const cafe_saga *saga, const char *kind, const char *name, uint32_t index,
                      const char *(*other)(const cafe_saga *saga, uint32_t index), cafe_err *err) {
  if (!is_name(name)) {
    check_place all = {saga, NULL, NULL, err};
    return check_refuse(&all, "%s %u needs a name of at most %d letters, digits, '_', '-' and '.'", kind,
                        (unsigned)index + 1, NAME_MAX_BYTES);
  }
  check_place place = {saga, kind, name, err};
  for (uint32_t i = 0; i < index; i++) {
    if (saga_id(other(saga, i)) == saga_id(name)) {
      return check_refuse(&place, "rows can't tell it from %s: choose another name", other(saga, i));
    }
  }
  return CAFE_OK;
}

static const char *step_name(const cafe_saga *saga, uint32_t index) { return saga->steps[index].name; }
static const char *interrupt_name(const cafe_saga *saga, uint32_t index) { return saga->interrupts[index].name; }

int check_names(const cafe_saga *saga, cafe_err *err) {
  int code = check_head(saga, err);
  for (uint32_t i = 0; !code && i < saga->step_count; i++) {
    const cafe_saga_step *step = &saga->steps[i];
    code = check_name(saga, "step", step->name, i, step_name, err);
    if (!code && step->branch && !is_name(step->branch)) {
      check_place place = {saga, "step", step->name, err};
      code = check_refuse(&place, "its branch needs a name of letters, digits, '_', '-' and '.'");
    }
    if (!code) {
      code = check_reserved_of_step(saga, step, err);
    }
  }
  for (uint32_t i = 0; !code && i < saga->interrupt_count; i++) {
    const cafe_saga_interrupt *interrupt = &saga->interrupts[i];
    code = check_name(saga, "interrupt", interrupt->name, i, interrupt_name, err);
    if (!code) {
      check_place place = {saga, "interrupt", interrupt->name, err};
      code = check_reserved(&place, interrupt->reserved, sizeof(interrupt->reserved));
    }
  }
  return code;
}

/* ---- after: one step ---- */

/* Whether it can be done, so that what follows it is reached without a turn. */
static bool can_be_done(const saga_plan *plan, uint32_t index) {
  return plan->saga->steps[index].action || plan->steps[index].completes;
}

static int check_kind(const saga_plan *plan, uint32_t index, const check_place *place) {
  const cafe_saga_step *step = &plan->saga->steps[index];
  if (index == plan->pivot) {
    return CAFE_OK;
  }
  if (step->kind == CAFE_STEP_PIVOT) {
    return check_refuse(place, "is a second pivot after %s", plan->saga->steps[plan->pivot].name);
  }
  bool early = plan_is_early(plan, index);
  if (step->kind != (early ? CAFE_STEP_COMPENSATABLE : CAFE_STEP_RETRIABLE)) {
    return check_refuse(place, early ? "lies before the pivot, so its kind must be compensatable"
                                     : "lies after the pivot, so its kind must be retriable");
  }
  return CAFE_OK;
}

static int check_waits(const saga_plan *plan, uint32_t index, const check_place *place) {
  const cafe_saga_step *step = &plan->saga->steps[index];
  const plan_step *sets = &plan->steps[index];
  if (!can_be_done(plan, index) && !sets->turns) {
    return check_refuse(place, "waits for nothing: it needs an action, completes or turns");
  }
  if (!step->action && (step->again || step->unavailable || step->deadline_ms)) {
    return check_refuse(place, "has no action that again, unavailable or deadline_ms could be about");
  }
  const cafe_retry *retry = &step->retry;
  if (retry->initial_ms < 0 || retry->max_ms < 0 || retry->timeout_ms < 0 ||
      (retry->max_ms && retry->initial_ms > retry->max_ms)) {
    return check_refuse(place, "its retry has a negative time, or initial_ms above max_ms");
  }
  if (step->action && (retry->max_attempts || step->deadline_ms) && !step->unavailable && !step->timeouts) {
    return check_refuse(place, "its attempts can be used up, and neither unavailable nor a timeout says what then");
  }
  if ((sets->completes & sets->fails) | (sets->completes & sets->turns) | (sets->fails & sets->turns) |
      (sets->again & (sets->completes | sets->fails | sets->turns))) {
    return check_refuse(place, "one signal is in two of again, completes, fails and turns");
  }
  return CAFE_OK;
}

/* Whether some interrupt may be granted when the step has been entered. */
static bool has_guard(const saga_plan *plan, uint32_t index) {
  uint32_t begun =
      plan->steps[index].branch == SAGA_MAIN ? index : plan->steps[plan->first[plan->steps[index].branch]].after;
  for (uint32_t i = 0; i < plan->saga->interrupt_count; i++) {
    if (plan->interrupts[i].legal_in >> begun) {
      return true;
    }
  }
  return false;
}

static int check_undo(const saga_plan *plan, uint32_t index, const check_place *place) {
  const cafe_saga_step *step = &plan->saga->steps[index];
  if (!plan_is_early(plan, index) && index != plan->pivot) {
    return step->fails || step->compensation || step->compensated || step->undo != CAFE_UNDO_COMPENSATION
               ? check_refuse(place, "lies after the pivot, where nothing fails and nothing is undone: use turns")
               : CAFE_OK;
  }
  switch (step->undo) {
  case CAFE_UNDO_COMPENSATION:
    /* The pivot may lack one: until it is done, its action did nothing, or its own signal wouldn't fail it. */
    return step->action && !step->compensation && !step->compensated && index != plan->pivot
               ? check_refuse(place, "has an action and nothing that undoes it: give it a compensation, or say in undo "
                                     "how else")
               : CAFE_OK;
  case CAFE_UNDO_GUARD:
    if (!has_guard(plan, index)) {
      return check_refuse(place, "is undone by a guard, but no interrupt is legal from there on");
    }
    break;
  case CAFE_UNDO_SIGNAL:
    if (!step->fails) {
      return check_refuse(place, "is undone by the signal that fails it, but none does");
    }
    break;
  default:
    return check_refuse(place, "%d is no way to undo it", (int)step->undo);
  }
  return step->compensation ? check_refuse(place, "has a compensation and another undo: which is it?") : CAFE_OK;
}

static int check_turns(const saga_plan *plan, uint32_t index, const check_place *place) {
  const cafe_saga_step *step = &plan->saga->steps[index];
  bool on_main = plan->steps[index].branch == SAGA_MAIN;
  for (const cafe_saga_turn *turn = step->turns; turn && turn->signal; turn++) {
    uint32_t to = turn->to ? plan_find(plan->saga, turn->to) : SAGA_NO;
    if (turn->to && (to == SAGA_NO || to <= index || plan->steps[to].branch != plan->steps[index].branch)) {
      return check_refuse(place, "%s turns to %s, which is no later step of the same branch", turn->signal->name,
                          turn->to);
    }
    if (on_main && index < plan->pivot && to > plan->pivot) {
      return check_refuse(place, "%s turns past the pivot %s: only the pivot itself ends what can be undone",
                          turn->signal->name, plan->saga->steps[plan->pivot].name);
    }
  }
  return CAFE_OK;
}

static int check_reached(const saga_plan *plan, uint32_t index, const check_place *place) {
  const plan_step *own = &plan->steps[index];
  if (own->after != SAGA_NO) {
    return can_be_done(plan, own->after) ? CAFE_OK
                                         : check_refuse(place, "begins after %s, which is only ever left by a turn",
                                                        plan->saga->steps[own->after].name);
  }
  if (index == plan->first[SAGA_MAIN]) {
    return CAFE_OK;
  }
  for (uint32_t i = 0; i < index; i++) {
    if (plan->steps[i].branch != own->branch) {
      continue;
    }
    if (plan->steps[i].next == index && can_be_done(plan, i)) {
      return CAFE_OK;
    }
    for (const cafe_saga_turn *turn = plan->saga->steps[i].turns; turn && turn->signal; turn++) {
      if (turn->to && strcmp(turn->to, plan->saga->steps[index].name) == 0) {
        return CAFE_OK;
      }
    }
  }
  return check_refuse(place, "is never reached");
}

static int check_step(const saga_plan *plan, uint32_t index, cafe_err *err) {
  check_place place = {plan->saga, "step", plan->saga->steps[index].name, err};
  int code = check_kind(plan, index, &place);
  if (!code) {
    code = check_waits(plan, index, &place);
  }
  if (!code) {
    code = check_undo(plan, index, &place);
  }
  if (!code) {
    code = check_turns(plan, index, &place);
  }
  return code ? code : check_reached(plan, index, &place);
}

/* ---- after: interrupts ---- */

/* Whether the signal moves the saga anywhere: then it can't be a question as well. */
static bool is_move(const saga_plan *plan, uint32_t signal) {
  saga_set moves = (saga_set)1 << SAGA_STARTS;
  for (uint32_t i = 0; i < plan->saga->step_count; i++) {
    const plan_step *step = &plan->steps[i];
    moves |= step->again | step->completes | step->fails | step->turns | step->compensated;
  }
  for (uint32_t i = 0; i < plan->saga->interrupt_count; i++) {
    moves |= plan->interrupts[i].granted | plan->interrupts[i].refused;
  }
  return moves >> signal & 1;
}

static int check_interrupt(const saga_plan *plan, uint32_t index, cafe_err *err) {
  const cafe_saga_interrupt *interrupt = &plan->saga->interrupts[index];
  const plan_interrupt *sets = &plan->interrupts[index];
  check_place place = {plan->saga, "interrupt", interrupt->name, err};
  if (!sets->legal_in) {
    return check_refuse(&place, "is legal nowhere");
  }
  for (uint32_t i = plan->pivot + 1u; i < plan->saga->step_count; i++) {
    if (sets->legal_in >> i & 1) {
      return check_refuse(&place, "is legal in %s, after the pivot, where nothing can be undone",
                          plan->saga->steps[i].name);
    }
  }
  if (sets->granted & sets->refused) {
    return check_refuse(&place, "one signal both grants and refuses it");
  }
  if (is_move(plan, sets->signal)) {
    return check_refuse(&place, "its signal %s moves the saga elsewhere in the definition too",
                        interrupt->signal->name);
  }
  for (uint32_t i = 0; i < index; i++) {
    if (plan->interrupts[i].signal == sets->signal && !plan->saga->interrupts[i].when) {
      return check_refuse(&place, "%s takes every %s before it: give that one a when", plan->saga->interrupts[i].name,
                          interrupt->signal->name);
    }
  }
  return CAFE_OK;
}

int check_rules(const saga_plan *plan, cafe_err *err) {
  const cafe_saga *saga = plan->saga;
  check_place place = {saga, NULL, NULL, err};
  if (plan->pivot == SAGA_NO) {
    return check_refuse(&place, "has no pivot: one step of main must be the point of no return");
  }
  if (plan->steps[plan->pivot].branch != SAGA_MAIN) {
    return check_refuse(&place, "its pivot %s isn't on main", saga->steps[plan->pivot].name);
  }
  int code = CAFE_OK;
  for (uint32_t i = 0; !code && i < saga->step_count; i++) {
    code = check_step(plan, i, err);
  }
  for (uint32_t i = 0; !code && i < saga->interrupt_count; i++) {
    code = check_interrupt(plan, i, err);
  }
  return code;
}

int cafe_saga_check(const cafe_saga *saga, cafe_err *err) {
  saga_plan plan;
  return plan_build(&plan, saga, err);
}
