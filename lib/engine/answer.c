/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An operation's answer: who waits for which unit, what he is told, and his end.
 *
 * What is kept here: nobody is answered before everything that his answer rests on is committed. It is made from the
 * state as it is after the unit that gives it, and told once that unit is committed. If the unit fails, the answer is
 * taken back, and he waits for the next one that has an answer for him. Those who are answered stand in the order of
 * their units, which is that of the commits. Whoever is answered, or stops waiting, gives a guard's permit back.
 */
#include <assert.h>

#include "cafe/op.h"

#include "engine/guard.h"
#include "engine/key.h"
#include "engine/node.h"

void op_free(cafe_op *op) { node_arena_free(op->node, op->arena); /* the op lies in it */ }

static void op_unlist(cafe_op *op) {
  cafe_node *node = op->node;
  DL_DELETE(node->ops, op);
  node->op_count--;
  heap_remove(node->deadlines, &op->deadline);
}

void op_discard(cafe_op *op) {
  op_unlist(op);
  op_free(op);
}

void op_answer(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome) {
  struct subject *subject = op->is_waiting ? op->act.subject : NULL;
  if (subject)
    op_leave(op, subject);
  guard_answered(op, err, outcome);
  op_unlist(op);
  op->is_detached = true;
  if (subject)
    subject->holds++; /* whoever is told may close the node, which settles it */
  if (op->served)
    op->served(op, err, outcome);
  else if (op->done)
    op->done(err, outcome, op->user);
  if (!op->is_acting)
    op_free(op);
  if (!subject)
    return;
  subject->holds--;
  subject_settle(subject);
}

/* ---- waiting for the outcome ---- */

static cafe_op **list_of(const cafe_op *op, struct subject *subject) {
  return op->answered_by ? &subject->answered : &subject->waiters;
}

void op_wait(cafe_op *op, struct subject *subject, uint64_t seq) {
  op->act.subject = subject;
  op->seq = seq;
  op->answered_by = 0;
  op->is_waiting = true;
  DL_APPEND2(subject->waiters, op, prev_waiter, next_waiter);
}

void op_leave(cafe_op *op, struct subject *subject) {
  if (!op->is_waiting)
    return;
  op->is_waiting = false;
  DL_DELETE2(*list_of(op, subject), op, prev_waiter, next_waiter);
}

/* seq 0: by none. At the end of its list, so that those who are answered stand in the order of their units. */
static void set_answered_by(cafe_op *op, struct subject *subject, uint64_t seq) {
  assert(op != *list_of(op, subject) || op->next_waiter ||
         op->prev_waiter == op); /* the head has a next, or is alone */
  DL_DELETE2(*list_of(op, subject), op, prev_waiter, next_waiter);
  op->answered_by = seq;
  DL_APPEND2(*list_of(op, subject), op, prev_waiter, next_waiter);
}

void op_rest_on(cafe_op *op, struct subject *subject, uint64_t seq) {
  op->seq = seq;
  if (op->is_waiting && op->answered_by)
    set_answered_by(op, subject, seq);
}

int op_decided(cafe_op *op, cafe_verdict verdict, const char *reason, const char *text) {
  cafe_slice kept = {NULL, 0}, word = {NULL, 0};
  if (cafe_arena_copy(&kept, op->arena, cafe_text(text)) || cafe_arena_copy(&word, op->arena, cafe_text(reason)))
    return CAFE_NOMEM;
  op->verdict = verdict;
  op->reason = word.data;
  op->text = kept.data ? kept.data : word.data;
  return CAFE_OK;
}

/* The last event among the unit's that answers the op's command; *verdict is what it means. */
static const cafe_event *find_outcome(const cafe_op *op, const struct unit *unit, cafe_verdict *verdict) {
  const cafe_command_outcome *outcomes = op->act.command->type->outcomes;
  const cafe_event *found = NULL;
  for (const unit_event *at = unit->events; at && outcomes; at = at->next) {
    for (const cafe_command_outcome *outcome = outcomes; outcome->event; outcome++) {
      if (outcome->event != at->event.type)
        continue;
      found = &at->event;
      *verdict = outcome->verdict;
    }
  }
  return found;
}

static const cafe_event *last_of_stream(const cafe_op *op, const struct unit *unit) {
  const cafe_event *last = NULL;
  for (const unit_event *at = unit->events; at; at = at->next)
    if (at->type->aggregate == op->act.command->aggregate)
      last = &at->event;
  return last;
}

void op_fill_outcome(cafe_outcome *out, const cafe_op *op) {
  memset(out, 0, sizeof *out);
  out->verdict = op->verdict;
  out->key = op->act.key;
  out->version = op->version;
  out->event = op->event;
  out->state = op->state;
  out->reply = op->reply_bytes;
  out->retry_after_ms = op->retry_after_ms;
  uint32_t shard = cafe_partition(op->act.key) % op->node->shards;
  out->position.log_id = op->node->log_id;
  out->position.shard = shard;
  out->position.n = op->event && op->event->position.n ? op->event->position.n : op->node->heads[shard];
  if (op->verdict == CAFE_REFUSED) {
    out->reason = op->reason;
    out->text = op->text;
  }
}

int op_prepare(cafe_op *op, struct unit *unit, bool is_own, cafe_key_write **key, cafe_err *err) {
  cafe_verdict verdict = op->verdict;
  const cafe_event *event = NULL;
  if (verdict == CAFE_PENDING) {
    event = find_outcome(op, unit, &verdict);
    if (!event)
      return is_own ? key_claim(op, unit, key, err) : CAFE_OK;
    if (verdict == CAFE_REFUSED) {
      op->reason = event->type->name;
      op->text = event->type->name;
    }
  } else if (is_own) {
    event = last_of_stream(op, unit);
  } else {
    return CAFE_OK;
  }
  uint32_t aggregate = op->act.command->aggregate;
  const cafe_schema *type = op->node->registry.aggregates[aggregate].type->state;
  void *state = subject_state_of(unit->subject, aggregate);
  void *copy = cafe_arena_alloc(op->arena, type->width);
  if (!state || !copy)
    return cafe_fail(err, CAFE_NOMEM, "no memory to answer a command");
  memcpy(copy, state, type->width);
  op->pending_verdict = op->verdict;
  op->verdict = verdict;
  op->event = event;
  op->state = copy;
  op->version = unit->subject->streams[aggregate].version;
  set_answered_by(op, unit->subject, unit->seq);
  bool is_guards = op->retry_after_ms != 0; /* nothing of a guard's refusal is kept */
  if (op->client_key.key.size == 0 || is_guards)
    return CAFE_OK;
  cafe_outcome outcome;
  op_fill_outcome(&outcome, op);
  outcome.position.n = 0; /* it isn't written yet */
  return key_answer(op, unit, &outcome, key, err);
}

void op_committed(struct subject *subject, uint64_t seq) {
  cafe_op *op;
  while ((op = subject->answered) && op->answered_by == seq) {
    cafe_outcome outcome;
    op_fill_outcome(&outcome, op);
    if (op->is_joined && op->wants_new_key && op->verdict == CAFE_REFUSED && !op->event && op->reply &&
        !op->reply_bytes.size && !op->retry_after_ms) {
      /* What the first one began came to nothing, and its reply keeps no answer: this one begins anew, under the same
       * key. Without a reply nobody says so, and the refusal stands. */
      op_leave(op, subject);
      op->replaces = op->act.key;
      op->act.key = 0;
      op->is_joined = false;
      op->has_claimed = false;
      op_again(op);
    } else {
      op_answer(op, NULL, &outcome);
    }
  }
}

static void take_answer_back(cafe_op *op, struct subject *subject) {
  op->verdict = op->pending_verdict;
  op->event = NULL;
  set_answered_by(op, subject, 0);
}

void op_failed(struct subject *subject, const struct unit *unit) {
  uint64_t seq = unit->seq;
  const struct act *act;
  DL_FOREACH(unit->acts, act) {
    cafe_op *own = act->op;
    if (!own || !own->is_waiting || own->seq != seq)
      continue;
    op_leave(own, subject);
    guard_unused(own);
    if (own->claimed_by == seq)
      own->has_claimed = false;
  }
  /* They stand in the order of the units that answer them. One that fails is the last, since it was only being decided,
   * or among the first: so many units may fail without each looking at all. */
  cafe_op *op, *next;
  while (subject->answered && (op = subject->answered->prev_waiter)->answered_by == seq)
    take_answer_back(op, subject);
  for (op = subject->answered; op && op->answered_by <= seq; op = next) {
    next = op->next_waiter;
    if (op->answered_by == seq)
      take_answer_back(op, subject);
  }
}

void op_fail_waiters(struct subject *subject, const cafe_err *err) {
  while (subject->waiters)
    op_answer(subject->waiters, err, NULL);
}
