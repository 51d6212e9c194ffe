/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Admission: what is asked for becomes an operation, and its act is queued; how an operation ends is answer.c's.
 *
 * What is kept here: every submitted operation is answered exactly once, in a later turn, with an error if what it asks
 * for wasn't committed. An act that another writer was faster than is decided again, a few times; one whose client's
 * key is known is answered, or joins what that key names. An operation may be answered early (deadline, cancel, close)
 * while its act is still under way: it is then detached, and freed when the act finishes.
 */
#include <assert.h>

#include "cafe/op.h"

#include "base/sized.h"
#include "engine/node.h"

/* Another writer may be first that often before the caller is told so. */
enum { TRIES_MAX = 8 };

static void op_fail(cafe_op *op, int code, const cafe_err *err) {
  cafe_err failure = {0};
  if (err && err->code)
    failure = *err;
  else
    cafe_fail(&failure, (cafe_code)code, "the command was not carried out: %s", cafe_code_name(code));
  op_answer(op, &failure, NULL);
}

/* ---- the act behind an operation ---- */

/* What is in memory stays there until the act comes to it, and needn't be looked for then. */
static void dispatch(cafe_op *op) {
  struct subject *known = op->act.key ? subject_find(op->node, op->act.key) : NULL;
  op->act.subject = NULL;
  if (known)
    subject_expect(known, &op->act);
  op->is_acting = true;
  act_submit(op->node, &op->act);
}

static void finish_op(cafe_op *op, int code, const cafe_err *err) {
  op->is_acting = false;
  if (op->is_detached) {
    op_free(op);
    return;
  }
  if (code == CAFE_OK)
    return; /* answered by op_committed, or waiting for its outcome */
  if (code == CAFE_CONFLICT && ++op->act.tries < TRIES_MAX && op->node->state <= NODE_DRAINING) {
    op_again(op);
    return;
  }
  op_fail(op, code, err);
}

static void finish_command(cafe_node *node, struct act *act, int code, const cafe_err *err) {
  cafe_op *op = act->op;
  struct subject *missed = act->is_coming ? act->subject : NULL;
  (void)node;
  act->is_coming = false;
  finish_op(op, code, err);
  if (!missed)
    return;
  missed->coming--;
  subject_settle(missed);
}

void op_again(cafe_op *op) {
  op->verdict = (cafe_verdict)0;
  op->answered_by = 0;
  op->event = NULL;
  dispatch(op);
}

void op_key_looked(cafe_op *op, int code, const cafe_err *err, const cafe_key_record *found) {
  op->wants_look = false;
  op->has_looked = true;
  if (!code && found->found) {
    op_key_found(op, found);
    return;
  }
  op->is_acting = false;
  if (op->is_detached)
    op_free(op);
  else if (code)
    op_fail(op, code, err);
  else
    op_again(op);
}

void op_key_found(cafe_op *op, const cafe_key_record *found) {
  op->is_acting = false;
  if (op->is_detached) {
    op_free(op);
    return;
  }
  if (!found->same_request) {
    cafe_err err;
    cafe_fail(&err, CAFE_CONFLICT, "this key was used before, for another request: use a new one");
    op_answer(op, &err, NULL);
  } else if (found->has_reply) {
    cafe_outcome outcome;
    op->verdict = CAFE_UNCHANGED;
    op->act.key = found->stream_key;
    op->event = NULL;
    op->state = NULL;
    op->reply_bytes = found->reply;
    op_fill_outcome(&outcome, op);
    outcome.replayed = true;
    op_answer(op, NULL, &outcome);
  } else {
    op->act.key = found->stream_key;
    op->act.is_new_key = false;
    op->is_joined = true;
    op->has_claimed = true;
    op->replaces = 0;
    op_again(op);
  }
}

/* ---- submitting ---- */

static int check_submit(const cafe_node *node, const cafe_submit *submit, const command_type **command, cafe_err *err) {
  if (node->state == NODE_CREATED)
    return cafe_fail(err, CAFE_INVALID, "the node isn't started: cafe_node_start");
  if (node->state != NODE_RUNNING)
    return cafe_fail(err, CAFE_UNAVAILABLE, "the node is draining: it takes no more commands");
  if (!submit->command || !submit->data)
    return cafe_fail(err, CAFE_INVALID, "a command needs its type and its data");
  *command = registry_command(node, submit->command);
  if (!*command && registry_command_named(node, cafe_text(submit->command->name)))
    return cafe_fail(err, CAFE_INVALID, "this is another %s than the one that is taken: use one cafe_schema for both",
                     submit->command->name);
  if (!*command || !node->registry.aggregates[(*command)->aggregate].is_local)
    return cafe_fail(err, CAFE_INVALID, "no aggregate of this node takes the command %s", submit->command->name);
  if (submit->key > CAFE_KEY_MAX)
    return cafe_fail(err, CAFE_INVALID, "the key %llu is above 2^53 - 1", (unsigned long long)submit->key);
  const cafe_client_key *key = submit->client_key;
  if (key && (key->key.size < 1 || key->key.size > 255 || key->scope.size > 255 || key->fingerprint.size > 65536))
    return cafe_fail(err, CAFE_INVALID,
                     "a client's key has 1 to 255 bytes, its scope up to 255, its fingerprint up to 65,536");
  if (key && !is_zero(key->reserved, sizeof key->reserved))
    return cafe_fail(err, CAFE_UNSUPPORTED, "a client's key has reserved words that this library doesn't know");
  return node_has_room(node, err);
}

static int copy_submit(cafe_op *op, const cafe_submit *submit, const void *taken) {
  void *data = cafe_arena_alloc(op->arena, submit->command->width);
  if (!data || cafe_schema_copy(data, taken, submit->command, op->arena))
    return CAFE_NOMEM;
  op->act.data = data;
  if (cafe_arena_copy(&op->act.trace, op->arena, submit->trace))
    return CAFE_NOMEM;
  if (!submit->client_key)
    return CAFE_OK;
  if (cafe_arena_copy(&op->client_key.scope, op->arena, submit->client_key->scope))
    return CAFE_NOMEM;
  if (cafe_arena_copy(&op->client_key.key, op->arena, submit->client_key->key))
    return CAFE_NOMEM;
  return cafe_arena_copy(&op->client_key.fingerprint, op->arena, submit->client_key->fingerprint);
}

int op_submit(cafe_op **out, cafe_node *node, const cafe_submit *submit, cafe_err *err) {
  const command_type *command = NULL;
  const void *data = NULL;
  int code = check_submit(node, submit, &command, err);
  if (code)
    return code;
  cafe_arena *arena = node_arena(node);
  cafe_op *op = arena ? cafe_arena_alloc(arena, sizeof *op) : NULL;
  if (!op)
    goto no_memory;
  op->arena = arena;
  op->node = node;
  code = schema_take(&data, submit->command, submit->data, submit->data_size, arena, err);
  if (code)
    goto fail;
  if (copy_submit(op, submit, data))
    goto no_memory;
  if (submit->timeout_ms > 0 && heap_push(node->deadlines, &op->deadline, node_after_us(node, submit->timeout_ms)))
    goto no_memory;
  op->act.kind = ACT_COMMAND;
  op->act.command = command;
  op->act.key = submit->key;
  op->act.op = op;
  op->act.finish = finish_command;
  op->wants_new_key = submit->key == 0;
  op->budget =
      cafe_budget_from(node_now_us(node), submit->timeout_ms, submit->attempts ? submit->attempts - 1 : UINT32_MAX);
  op->reply = submit->reply;
  op->reply_user = submit->reply_user;
  DL_APPEND(node->ops, op);
  node->op_count++;
  dispatch(op);
  *out = op;
  return CAFE_OK;

no_memory:
  code = cafe_fail(err, CAFE_NOMEM, "no memory to take a command");
fail:
  node_arena_free(node, arena);
  return code;
}

int cafe_node_submit(cafe_op **op, cafe_node *node, const cafe_submit *submit, cafe_op_cb done, void *user,
                     cafe_err *err) {
  cafe_op *made = NULL;
  cafe_submit own;
  int code = SIZED_READ(&own, submit, cafe_submit, reply_user, "CAFE_SUBMIT_INIT", err);
  if (!code)
    code = op_submit(&made, node, &own, err);
  if (!made)
    return code;
  made->done = done;
  made->user = user;
  if (op)
    *op = made;
  return CAFE_OK;
}

void cafe_op_cancel(cafe_op *op) {
  if (op->is_canceled)
    return;
  op->is_canceled = true;
  op->node->has_canceled = true;
  node_pump(op->node);
}

/* ---- giving up ---- */

/* The command that takes a pending one back. It lies in its arena. */
typedef struct give_up {
  struct act act;
  cafe_arena *arena;
} give_up;

static void give_up_finished(cafe_node *node, struct act *act, int code, const cafe_err *err) {
  give_up *self = act->user;
  if (code == CAFE_CONFLICT && ++act->tries < TRIES_MAX && node->state <= NODE_DRAINING) {
    act_submit(node, act);
    return;
  }
  if (code && node->state <= NODE_DRAINING)
    node_log(node, CAFE_LOG_WARN, act->key, act->trace, "what was given up goes on: %s",
             err && err->code ? err->text : cafe_code_name(code));
  node_arena_free(node, self->arena);
}

/* Whether somebody else waits for a command of the same type. */
static bool is_shared(const cafe_op *op, const struct subject *subject) {
  const cafe_op *other;
  DL_FOREACH2(subject->waiters, other, next_waiter) {
    if (other != op && other->act.command == op->act.command && other->verdict == CAFE_PENDING)
      return true;
  }
  return false;
}

/* *out stays NULL where there is nothing to take back. */
static int ask_back(give_up **out, const cafe_op *op, const cafe_aggregate *owner, cafe_arena *arena, cafe_err *err) {
  cafe_node *node = op->node;
  give_up *self = cafe_arena_alloc(arena, sizeof *self);
  cafe_command given_up = {op->act.command->type->command, op->act.key, node_utc_ms(node), op->act.data};
  if (!self || cafe_arena_copy(&self->act.trace, arena, op->act.trace))
    return cafe_fail(err, CAFE_NOMEM, "no memory to take it back");
  cafe_reaction said;
  collector_init(&said.commands, arena);
  owner->give_up(&said, &given_up, owner->user);
  cafe_err why;
  int code = callback_gave_up(&self->act.command, &self->act.data, node, &said, op->act.key, &why);
  if (code)
    return callback_failed(err, code, why.text, "the aggregate %s can't give up %s", owner->name, given_up.type->name);
  if (!self->act.command)
    return CAFE_OK;
  self->arena = arena;
  self->act.kind = ACT_COMMAND;
  self->act.key = op->act.key;
  self->act.finish = give_up_finished;
  self->act.user = self;
  *out = self;
  return CAFE_OK;
}

static void take_back(const cafe_op *op) {
  cafe_node *node = op->node;
  const cafe_aggregate *owner = node->registry.aggregates[op->act.command->aggregate].type;
  const struct subject *subject = subject_find(node, op->act.key);
  if (!owner->give_up || !subject || is_shared(op, subject))
    return;
  cafe_arena *arena = node_arena(node);
  give_up *asked = NULL;
  cafe_err err;
  int code =
      arena ? ask_back(&asked, op, owner, arena, &err) : cafe_fail(&err, CAFE_NOMEM, "no memory to take it back");
  if (asked)
    act_submit(node, &asked->act);
  else
    node_arena_free(node, arena);
  if (code)
    node_log(node, CAFE_LOG_WARN, op->act.key, op->act.trace, "what was given up goes on: %s", err.text);
}

/* ---- the turn's share ---- */

static void answer_canceled(cafe_node *node) {
  if (!node->has_canceled)
    return;
  node->has_canceled = false;
  cafe_op *op = node->ops;
  while (op) {
    cafe_op *next = op->next;
    if (op->is_canceled) {
      if (op->is_waiting && op->verdict == CAFE_PENDING)
        take_back(op);
      cafe_err err;
      cafe_fail(&err, CAFE_CANCELED, "the caller gave up waiting");
      op_answer(op, &err, NULL);
      next = node->ops; /* the completion may have changed the list */
    }
    op = next;
  }
}

void op_turn(cafe_node *node, int64_t now_us) {
  answer_canceled(node);
  heap_item *item;
  while ((item = heap_peek(node->deadlines)) && item->due <= now_us) {
    cafe_op *op = CONTAINER(item, cafe_op, deadline);
    cafe_err err;
    if (op->is_acting && !op->verdict) /* it isn't decided, and won't be: nobody waits for it any more */
      cafe_fail(&err, CAFE_OVERLOADED,
                "the deadline passed before its turn came: nothing was done; later, or with more "
                "time");
    else
      cafe_fail(&err, CAFE_TIMEOUT, "the deadline passed; what was asked for goes on");
    op_answer(op, &err, NULL);
  }
}

void op_close(cafe_node *node) {
  cafe_err err;
  cafe_fail(&err, CAFE_CANCELED, "the node is closing");
  while (node->ops)
    op_answer(node->ops, &err, NULL);
}

/* ---- the blocking form ---- */

typedef struct blocking_call {
  cafe_outcome *out; /* in the arena; NULL: none yet */
  cafe_arena *arena;
  cafe_err *err;
  int code;
  bool is_done;
} blocking_call;

static int keep_outcome(blocking_call *call, const cafe_outcome *outcome) {
  cafe_outcome *kept = cafe_arena_alloc(call->arena, sizeof *kept);
  if (!kept)
    return CAFE_NOMEM;
  *kept = *outcome;
  if (cafe_arena_copy(&kept->reply, call->arena, outcome->reply))
    return CAFE_NOMEM;
  cafe_slice text, reason;
  if (cafe_arena_copy(&text, call->arena, cafe_text(outcome->text)) ||
      cafe_arena_copy(&reason, call->arena, cafe_text(outcome->reason)))
    return CAFE_NOMEM;
  kept->text = text.data;
  kept->reason = reason.data;
  kept->state = NULL;
  kept->event = NULL;
  if (!outcome->event) {
    call->out = kept;
    return CAFE_OK;
  }
  cafe_event *event = cafe_arena_alloc(call->arena, sizeof *event);
  void *data = event ? cafe_arena_alloc(call->arena, outcome->event->type->width) : NULL;
  if (!data || cafe_schema_copy(data, outcome->event->data, outcome->event->type, call->arena))
    return CAFE_NOMEM;
  *event = *outcome->event;
  event->data = data;
  if (cafe_arena_copy(&event->trace, call->arena, outcome->event->trace))
    return CAFE_NOMEM;
  kept->event = event;
  call->out = kept;
  return CAFE_OK;
}

static void call_done(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  blocking_call *call = user;
  call->is_done = true;
  if (err) {
    call->code = err->code;
    if (call->err)
      *call->err = *err;
  } else if (keep_outcome(call, outcome)) {
    call->code = cafe_fail(call->err, CAFE_NOMEM, "the command was answered, but there is no memory for the answer");
  }
}

int cafe_node_call(const cafe_outcome **out, cafe_node *node, const cafe_submit *submit, cafe_err *err) {
  assert(out && "cafe_node_call needs a place for the outcome: cafe_node_submit needs none");
  *out = NULL;
  blocking_call call = {NULL, node->call_arena, err, CAFE_OK, false};
  int code = node_may_block(node, err);
  if (code)
    return code; /* with the arena as it is: a call further up the stack may have its answer there */
  cafe_arena_reset(node->call_arena);
  code = cafe_node_submit(NULL, node, submit, call_done, &call, err);
  while (!code && !call.is_done)
    code = node->loop->ops->turn(node->loop, -1);
  *out = call.out;
  return code ? code : call.code;
}
