/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Decide, evolve, react: the commands of a unit, one after the other, and those that their events ask for.
 *
 * What is kept here: each event goes, at once and in this order, into what will be stored, into the state, through the
 * policies of its own service, the sagas and the inline views. So whatever is decided next sees it, and what it asks
 * for stands behind what was asked for before. A command that is decided has changed nothing before its first event.
 */
#include "base/arena.h"
#include "engine/guard.h"
#include "engine/unit.h"

/* A unit that asks for more commands than this is taken for one that never ends. */
enum { COMMANDS_MAX = 64 };

/* A request is sent again for what a saga's row says is asked, and for that only. */
static int queue_remote(execution *x, const cafe_schema *schema, uint32_t saga, const saga_ask *ask) {
  if (!ask)
    return cafe_fail(x->err, CAFE_INVALID,
                     "a policy asks for %s, whose aggregate lives on another node: host the policy there",
                     schema->name);
  if (ask->kind == SAGA_ASK_OTHER)
    return cafe_fail(x->err, CAFE_INVALID,
                     "%s is asked by a guard, a timeout, or as an answer to one: its aggregate must live on this node",
                     schema->name);
  remote_ask *remote = cafe_arena_alloc(x->arena, sizeof *remote);
  if (!remote)
    return unit_no_memory(x->err);
  remote->saga = saga;
  remote->ask = ask;
  remote_ask **end = &x->unit->asks;
  while (*end)
    end = &(*end)->next;
  *end = remote;
  return CAFE_OK;
}

int decide_queue(execution *x, const cafe_schema *schema, uint64_t key, const void *data, uint32_t saga,
                 const saga_ask *ask) {
  const command_type *command = registry_command(x->node, schema);
  if (!command)
    return cafe_fail(x->err, CAFE_INVALID, "nobody takes the command %s: host its aggregate, or list it as a remote",
                     schema->name);
  if (key != x->subject->key)
    return cafe_fail(
        x->err, CAFE_INVALID,
        "%s is asked for key %llu in a unit of key %llu: mark the policy other_key; a saga reaches other keys by "
        "such a policy",
        schema->name, (unsigned long long)key, (unsigned long long)x->subject->key);
  if (!x->node->registry.aggregates[command->aggregate].is_local)
    return queue_remote(x, schema, saga, ask);
  if (++x->commands > COMMANDS_MAX)
    return cafe_fail(x->err, CAFE_INVALID,
                     "one command caused more than %d others: do the policies of %s go in a circle?", COMMANDS_MAX,
                     schema->name);
  work *item = cafe_arena_alloc(x->arena, sizeof *item);
  if (!item)
    return unit_no_memory(x->err);
  item->command = command;
  item->data = data;
  item->saga = saga;
  item->ask = ask;
  if (x->last)
    x->last->next = item;
  else
    x->first = item;
  x->last = item;
  return CAFE_OK;
}

int decide_queue_asks(execution *x, uint32_t saga, const saga_asks *asks) {
  for (const saga_ask *ask = asks->first; ask; ask = ask->next) {
    int code = decide_queue(x, ask->command->type, ask->command->key, ask->command->data, saga, ask);
    if (code)
      return code;
  }
  return CAFE_OK;
}

static int queue_reaction(execution *x, const cafe_policy *policy, const cafe_event *event,
                          const cafe_reaction *reaction) {
  if (reaction->commands.err.code)
    return callback_failed(x->err, reaction->commands.err.code, reaction->commands.err.text,
                           "the policy %s can't react to %s of key %llu", policy->name, event->type->name,
                           (unsigned long long)event->key);
  int checked = collector_check(&reaction->commands, policy->commands, policy->name, x->err);
  if (checked)
    return checked;
  for (const collected *item = reaction->commands.first; item; item = item->next) {
    int code = decide_queue(x, item->type, item->key, item->data, 0, NULL);
    if (code)
      return code;
  }
  return CAFE_OK;
}

/* A key's saga goes on in the version it began with; a new one is of the newest. Asked where there is no instance. */
static bool is_of_other_version(const execution *x, uint32_t saga) {
  const registry *known = &x->node->registry;
  if (x->subject->saga_versions[saga])
    return true; /* it ended in one that isn't hosted any more */
  for (uint32_t i = 0; i < known->saga_count; i++) {
    if (i == saga || known->sagas[i].number != known->sagas[saga].number)
      continue;
    if (x->subject->sagas[i] || known->sagas[i].type->version > known->sagas[saga].type->version)
      return true;
  }
  return false;
}

int decide_signal(execution *x, uint32_t saga, const cafe_event *event, const cafe_command *cause) {
  hosted_saga *hosted = &x->node->registry.sagas[saga];
  saga_instance *instance = x->subject->sagas[saga];
  if (!instance) {
    if (is_of_other_version(x, saga))
      return CAFE_OK;
    instance = saga_instance_create(hosted->plan, x->subject->key, x->subject->arena);
    if (!instance)
      return unit_no_memory(x->err);
    x->subject->sagas[saga] = instance;
  }
  saga_asks asks = {NULL, NULL, 0};
  bool changed = false;
  saga_instance_set_caller(instance, x->caller);
  int code = saga_signal(instance, event, cause, x->unit->now_ms, x->arena, &asks, &changed, x->err);
  if (code)
    return code;
  if (changed)
    x->changed_sagas |= (uint64_t)1 << saga;
  return decide_queue_asks(x, saga, &asks);
}

static int fold_view(execution *x, uint32_t view, const cafe_event *event) {
  const cafe_view *type = x->node->registry.views[view].type;
  uint64_t sub = 0;
  cafe_fold fold = CAFE_FOLD_PUT;
  int code = view_sub(&sub, type, event, x->err);
  if (code || (type->sub && sub == 0))
    return code;
  view_slot *slot = subject_view(x->subject, view, sub);
  if (!slot)
    return unit_no_memory(x->err);
  code = view_fold(&fold, type, slot->row, event, x->subject->arena, x->err);
  if (code)
    return code;
  switch (fold) {
  case CAFE_FOLD_PUT:
    slot->is_shown = true;
    slot->is_dirty = true;
    break;
  case CAFE_FOLD_HIDE:
    slot->is_dirty = slot->is_dirty || slot->is_shown;
    slot->is_shown = false;
    break;
  case CAFE_FOLD_SKIP:
    break;
  }
  return CAFE_OK;
}

static int store_event(execution *x, const unit_event *made, const codec_measure *measure) {
  if (x->stored_count == x->stored_room) {
    uint32_t room = x->stored_room ? x->stored_room * 2 : 8;
    cafe_stored_event *grown = arena_take(x->arena, room * sizeof *grown);
    if (!grown)
      return unit_no_memory(x->err);
    if (x->stored_count)
      memcpy(grown, x->stored, x->stored_count * sizeof *grown);
    x->stored = grown;
    x->stored_room = room;
  }
  cafe_stored_event *stored = &x->stored[x->stored_count];
  const cafe_event *event = &made->event;
  *stored = (cafe_stored_event){.aggregate = event->aggregate,
                                .type = event->type->name,
                                .key = event->key,
                                .version = event->version,
                                .time_ms = event->time_ms,
                                .trace = event->trace};
  int code = codec_encode(&stored->data, x->arena, event->type, event->data, measure, x->err);
  if (code)
    return code;
  x->stored_count++;
  return CAFE_OK;
}

static int emit_event(execution *x, uint32_t aggregate, const collected *said, const cafe_command *cause) {
  registry *known = &x->node->registry;
  const cafe_aggregate *owner = known->aggregates[aggregate].type;
  const event_type *type = registry_event_of(x->node, said->type);
  if (!type || type->aggregate != aggregate)
    return cafe_fail(x->err, CAFE_INVALID, "%s emitted %s, which it doesn't list among its events", owner->name,
                     said->type->name);
  void *state = subject_state_of(x->subject, aggregate);
  unit_event *made = cafe_arena_alloc(x->arena, sizeof *made);
  if (!state || !made)
    return unit_no_memory(x->err);
  made->type = type;
  cafe_event *event = &made->event;
  event->type = said->type;
  event->aggregate = owner->name;
  event->key = x->subject->key;
  event->version = ++x->subject->streams[aggregate].version;
  event->time_ms = x->unit->now_ms;
  event->position.log_id = x->node->log_id;
  event->trace = x->unit->trace;
  event->data = said->data;
  if (x->unit->last_event)
    x->unit->last_event->next = made;
  else
    x->unit->events = made;
  x->unit->last_event = made;
  x->touched |= (uint64_t)1 << aggregate;

  int code = store_event(x, made, &said->measure);
  if (code)
    return code;
  code = aggregate_evolve(owner, state, event, x->subject->arena, x->err);
  if (code)
    return code;
  for (uint32_t i = 0; i < type->policies.count; i++) {
    const cafe_policy *policy = known->policies[type->policies.items[i]];
    cafe_reaction reaction;
    collector_init(&reaction.commands, x->arena);
    policy->react(&reaction, event, policy->user);
    code = queue_reaction(x, policy, event, &reaction);
    if (code)
      return code;
  }
  for (uint32_t i = 0; i < type->sagas.count; i++) {
    code = decide_signal(x, type->sagas.items[i], event, cause);
    if (code)
      return code;
  }
  for (uint32_t i = 0; i < type->views.count; i++) {
    code = fold_view(x, type->views.items[i], event);
    if (code)
      return code;
  }
  return CAFE_OK;
}

/* A task that comes of it may need what no event holds. */
static int keep_cause(execution *x, const work *item) {
  task_cause *cause;
  LL_FOREACH(x->unit->causes, cause) {
    if (cause->command->aggregate == item->command->aggregate)
      break;
  }
  if (!cause) {
    cause = cafe_arena_alloc(x->arena, sizeof *cause);
    if (!cause)
      return unit_no_memory(x->err);
    LL_PREPEND(x->unit->causes, cause);
  }
  cause->command = item->command;
  cause->data = item->data;
  /* What the unit itself asked for lies in its arena. The act may be over, with its data, before the task begins. */
  const struct act *act = x->unit->acts;
  if (act->kind != ACT_EVENT && item->data != act->data)
    return CAFE_OK;
  const cafe_schema *type = item->command->type->command;
  void *copy = cafe_arena_alloc(x->arena, type->width);
  if (!copy || cafe_schema_copy(copy, item->data, type, x->arena))
    return unit_no_memory(x->err);
  cause->data = copy;
  return CAFE_OK;
}

/* The operation or the saga that asked learns what was decided; of a policy's command only a refusal is noted. */
static int tell_asker(execution *x, const work *item, cafe_verdict verdict, const cafe_decision *decision) {
  if (item->op) {
    if (op_decided(item->op, verdict, decision->reason, decision->text))
      return unit_no_memory(x->err);
  } else if (item->ask && item->ask->kind != SAGA_ASK_OTHER) {
    saga_asks asks = {NULL, NULL, 0};
    bool changed = false;
    saga_instance_set_caller(x->subject->sagas[item->saga], x->caller);
    int code = saga_answer(x->subject->sagas[item->saga], item->ask->kind, item->ask->step, item->ask->attempt, CAFE_OK,
                           verdict, x->unit->now_ms, node_random(x->node), x->arena, &asks, &changed, x->err);
    if (code)
      return code;
    if (changed)
      x->changed_sagas |= (uint64_t)1 << item->saga;
    return decide_queue_asks(x, item->saga, &asks);
  } else if (verdict == CAFE_REFUSED) {
    node_log(x->node, CAFE_LOG_WARN, x->subject->key, x->unit->trace, "%s was refused: %s",
             item->command->type->command->name, decision->text ? decision->text : decision->reason);
  }
  return CAFE_OK;
}

static int run_command(execution *x, const work *item) {
  uint32_t aggregate = item->command->aggregate;
  const cafe_aggregate *owner = x->node->registry.aggregates[aggregate].type;
  void *state = subject_state_of(x->subject, aggregate);
  if (!state)
    return unit_no_memory(x->err);
  cafe_decision decision;
  collector_init(&decision.events, x->arena);
  decision.reason = decision.text = NULL;
  cafe_command command = {item->command->type->command, x->subject->key, x->unit->now_ms, item->data};
  cafe_verdict verdict = owner->decide(&decision, state, &command, owner->user);
  const cafe_err *failed = &decision.events.err;
  if (failed->code)
    return callback_failed(x->err, failed->code, failed->text, "the aggregate %s can't decide %s of key %llu",
                           owner->name, command.type->name, (unsigned long long)command.key);
  int checked = decision_check(&decision, verdict, item->command->type, x->err);
  if (checked)
    return checked;
  guard_answer guarded = item->op ? guard_ask(item->op, &decision, verdict) : GUARD_PASSES;
  if (guarded != GUARD_PASSES) {
    item->op->wants_look = guarded == GUARD_LOOKS;
    if (item->op->wants_look)
      return CAFE_OK;
    verdict = CAFE_REFUSED;
    decision.reason = item->op->reason;
    decision.text = item->op->text;
    decision.events.first = NULL; /* as if it hadn't been asked */
  }
  item->command->decided[verdict]++;
  x->node->stats.commands++;
  if (verdict == CAFE_REFUSED)
    x->node->stats.refused++;
  for (const collected *said = decision.events.first; said; said = said->next) {
    int code = emit_event(x, aggregate, said, &command);
    if (code)
      return code;
  }
  if (decision.events.first && owner->tasks) {
    int code = keep_cause(x, item);
    if (code)
      return code;
  }
  return tell_asker(x, item, verdict, &decision);
}

int decide_run(execution *x) {
  for (work *item = x->first; item; item = item->next) {
    int code = run_command(x, item);
    if (code)
      return code;
  }
  return CAFE_OK;
}
