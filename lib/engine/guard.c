/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Guards: what an operation begins may be refused before a trace of it is kept, where those who would have to answer it
 * are slow, overloaded or gone.
 *
 * What is kept here: an operation that waits for what a guarded event began holds one permit, and gives it back exactly
 * once: when it is answered, by its outcome; unused when its unit fails, or when it stops waiting without an answer.
 * So it is the operation that is counted, and not what it set going: whoever works on that counts for himself. It is
 * all in memory: after a crash nobody waits any more.
 *
 * A probe, the one call by which an open breaker finds out, says nothing about how many calls are borne, so its failure
 * doesn't shrink the limit.
 */
#include "engine/guard.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/sized.h"
#include "engine/metrics.h"

enum { TEXT_MAX = 200 };

/* ---- definitions ---- */

static int check(const cafe_node *node, const cafe_guard *guard, cafe_err *err) {
  if (!guard->name || !guard->name[0])
    return cafe_fail(err, CAFE_INVALID, "a guard needs a name");
  if (!guard->command || !guard->begins || !guard->begins[0] || !guard->is_failure || !guard->reason)
    return cafe_fail(err, CAFE_INVALID, "the guard %s needs a command, the events that begin a call, is_failure, %s",
                     guard->name, "and a reason");
  for (const struct guard *other = node->guards; other; other = other->next) {
    if (strcmp(other->said.name, guard->name) == 0)
      return cafe_fail(err, CAFE_INVALID, "there are two guards %s: their names tell them apart", guard->name);
    if (other->said.command == guard->command)
      return cafe_fail(err, CAFE_INVALID, "%s has the guard %s already", guard->command->name, other->said.name);
  }
  return cafe_schema_check(guard->command, err);
}

static void changed(const cafe_breaker_change *change, void *user) {
  struct guard *self = user;
  const cafe_slice none = {NULL, 0};
  const char *from = cafe_breaker_state_name(change->from);
  const char *to = cafe_breaker_state_name(change->to);
  self->entered[change->to]++;
  if (!change->calls) {
    node_log(self->node, CAFE_LOG_INFO, 0, none, "breaker %s: %s to %s", self->said.name, from, to);
    return;
  }
  bool is_whole = self->breaker.window_ms % 1000 == 0;
  node_log(self->node, CAFE_LOG_WARN, 0, none,
           "breaker %s: %s to %s: %" PRIu64 " of %" PRIu64 " calls failed in %" PRIu32 "%s", self->said.name, from, to,
           change->failures, change->calls, is_whole ? self->breaker.window_ms / 1000 : self->breaker.window_ms,
           is_whole ? " s" : " ms");
}

int cafe_node_guard(cafe_node *node, const cafe_guard *given, cafe_err *err) {
  cafe_guard said;
  cafe_breaker_options breaker = CAFE_BREAKER_OPTIONS_INIT;
  int code = registry_check_open(node, err);
  if (!code)
    code = SIZED_READ(&said, given, cafe_guard, user, "CAFE_GUARD", err);
  if (!code)
    code = check(node, &said, err);
  if (!code && said.breaker)
    code = SIZED_READ(&breaker, said.breaker, cafe_breaker_options, user, "CAFE_BREAKER_OPTIONS_INIT", err);
  if (code)
    return code;
  struct guard *self = node_alloc(node, sizeof *self);
  if (!self)
    return cafe_fail(err, CAFE_NOMEM, "no memory for the guard %s", said.name);
  breaker.changed = changed;
  breaker.user = self;
  code = cafe_breaker_init(&self->breaker, &breaker, node_now_us(node), err);
  if (!code)
    code = cafe_limit_init(&self->limit, said.limit, err);
  if (code) {
    node_free(node, self);
    return code;
  }
  self->node = node;
  self->said = said;
  self->said.breaker = NULL; /* the caller's, until this call returns */
  self->said.limit = NULL;
  LL_APPEND(node->guards, self);
  return CAFE_OK;
}

int guard_wire(cafe_node *node, cafe_err *err) {
  for (struct guard *guard = node->guards; guard; guard = guard->next) {
    const cafe_guard *said = &guard->said;
    command_type *command = map_get(node->registry.commands_by_schema, (uint64_t)(uintptr_t)said->command);
    if (!command || !node->registry.aggregates[command->aggregate].is_local)
      return cafe_fail(err, CAFE_INVALID, "the guard %s stands before %s, which no aggregate of this node takes",
                       said->name, said->command->name);
    for (const cafe_schema *const *begins = said->begins; *begins; begins++) {
      const event_type *type = registry_event_of(node, *begins);
      if (!type || type->aggregate != command->aggregate)
        return cafe_fail(err, CAFE_INVALID, "the guard %s waits for %s, which isn't an event of who takes %s",
                         said->name, (*begins)->name, said->command->name);
    }
    if (!command->type->outcomes)
      return cafe_fail(err, CAFE_INVALID,
                       "the guard %s stands before %s, which has no outcomes to tell how a call ended", said->name,
                       said->command->name);
    command->guard = guard;
  }
  return CAFE_OK;
}

void guard_destroy(cafe_node *node) {
  struct guard *guard, *next;
  LL_FOREACH_SAFE(node->guards, guard, next) { node_free(node, guard); }
  node->guards = NULL;
}

/* ---- before ---- */

static bool begins_call(const struct guard *self, const cafe_decision *decision) {
  for (const collected *said = decision->events.first; said; said = said->next)
    for (const cafe_schema *const *begins = self->said.begins; *begins; begins++)
      if (*begins == said->type)
        return true;
  return false;
}

static int64_t mean_us(const struct guard *self) {
  uint64_t count = self->ended[CAFE_CALL_SUCCEEDED] + self->ended[CAFE_CALL_FAILED];
  return count ? (int64_t)(self->took_us.sum / count) : 0;
}

static void refuse(cafe_op *op, const struct guard *self, const char *why, int64_t wait_us) {
  char *text = cafe_arena_alloc(op->arena, TEXT_MAX);
  if (text)
    (void)snprintf(text, TEXT_MAX, "%s isn't asked now, %s", self->said.name, why);
  op->reason = self->said.reason;
  op->text = text ? text : self->said.reason;
  op->retry_after_ms = wait_us / 1000 + 1;
}

static guard_answer reject(cafe_op *op, struct guard *self, int64_t wait_us) {
  bool is_open = wait_us > 0;
  bool may_have_answer = op->client_key.key.size && !op->has_claimed && !op->replaces && !op->has_looked;
  if (may_have_answer)
    return GUARD_LOOKS;
  if (is_open) {
    self->rejected_open++;
    refuse(op, self, "since it failed too often", wait_us);
  } else {
    self->rejected_limit++;
    refuse(op, self, "since as many calls as it bears are under way", mean_us(self));
  }
  return GUARD_REFUSES;
}

guard_answer guard_ask(cafe_op *op, const cafe_decision *decision, cafe_verdict verdict) {
  struct guard *self = op->act.command->guard;
  op->retry_after_ms = 0;
  if (!self || verdict != CAFE_PENDING || !begins_call(self, decision))
    return GUARD_PASSES;
  int64_t now_us = node_now_us(self->node);
  int64_t wait_us = cafe_breaker_wait_us(&self->breaker, now_us);
  if (wait_us > 0 || !cafe_limit_take(&op->limit_permit, &self->limit))
    return reject(op, self, wait_us);
  (void)cafe_breaker_take(&op->breaker_permit, &self->breaker, now_us); /* it permits one, since there is no wait */
  op->guard = self;
  op->guarded_us = now_us;
  op->is_probe = self->breaker.state != CAFE_BREAKER_CLOSED;
  self->admitted++;
  return GUARD_PASSES;
}

/* ---- after ---- */

static void give_back(cafe_op *op, cafe_call_end end, cafe_call_end for_limit) {
  struct guard *self = op->guard;
  int64_t now_us = node_now_us(self->node);
  op->guard = NULL;
  self->ended[end]++;
  if (end != CAFE_CALL_UNUSED)
    metrics_guarded(&self->took_us, now_us - op->guarded_us);
  cafe_breaker_done(&self->breaker, op->breaker_permit, end, now_us);
  cafe_limit_done(&self->limit, op->limit_permit, for_limit);
}

void guard_unused(cafe_op *op) {
  if (op->guard)
    give_back(op, CAFE_CALL_UNUSED, CAFE_CALL_UNUSED);
}

static bool is_overload(const struct guard *self, const cafe_event *outcome) {
  if (!self->said.is_overload)
    return true;
  return outcome && self->said.is_overload(outcome, self->said.user);
}

void guard_answered(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome) {
  struct guard *self = op->guard;
  if (!self)
    return;
  const cafe_event *event = err ? NULL : outcome->event;
  cafe_call_end end = CAFE_CALL_UNUSED;
  if (event)
    end = self->said.is_failure(event, self->said.user) ? CAFE_CALL_FAILED : CAFE_CALL_SUCCEEDED;
  else if (err && err->code == CAFE_TIMEOUT && !op->is_acting)
    end = CAFE_CALL_FAILED; /* what it began is committed, and wasn't answered in time */
  bool says_nothing = end == CAFE_CALL_FAILED && (op->is_probe || !is_overload(self, event));
  give_back(op, end, says_nothing ? CAFE_CALL_UNUSED : end);
}
