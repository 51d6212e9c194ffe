/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Decide, evolve, react: one act becomes one unit of work.
 *
 * What is kept here: the state in memory is always the fold of what is committed and what is in flight, in order. The
 * unit is built on that state at once, so a failure half way (no memory, a broken definition) leaves a state that no
 * unit stands for: the subject is then stale, and read anew before anything else is decided on it.
 *
 * Nothing here is durable, and nothing here may be seen: answers, tasks and requests wait for the commit. A crash here
 * leaves nothing behind.
 */
#include "base/arena.h"
#include "engine/consume.h"
#include "engine/guard.h"
#include "engine/key.h"

/* A unit that asks for more commands than this is taken for one that never ends. */
enum { COMMANDS_MAX = 64 };

typedef struct work {
  struct work *next;
  const command_type *command;
  const void *data;
  cafe_op *op;
  uint32_t saga;
  const saga_ask *ask; /* NULL: a policy's, or the act's own */
} work;

typedef struct execution {
  cafe_node *node;
  struct subject *subject;
  struct unit *unit;
  cafe_arena *arena;
  work *first, *last;
  uint32_t commands;
  uint64_t changed_sagas;
  uint64_t touched; /* aggregates with new events */
  cafe_stored_event *stored;
  uint32_t stored_count, stored_room;
  saga_caller caller; /* who waits for the act */
  cafe_err *err;
} execution;

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

static int no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "no memory to decide a command"); }

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
    return no_memory(x->err);
  remote->saga = saga;
  remote->ask = ask;
  remote_ask **end = &x->unit->asks;
  while (*end)
    end = &(*end)->next;
  *end = remote;
  return CAFE_OK;
}

static int queue_command(execution *x, const cafe_schema *schema, uint64_t key, const void *data, uint32_t saga,
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
    return no_memory(x->err);
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

static int queue_asks(execution *x, uint32_t saga, const saga_asks *asks) {
  for (const saga_ask *ask = asks->first; ask; ask = ask->next) {
    int code = queue_command(x, ask->command->type, ask->command->key, ask->command->data, saga, ask);
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
    int code = queue_command(x, item->type, item->key, item->data, 0, NULL);
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

static int signal_saga(execution *x, uint32_t saga, const cafe_event *event, const cafe_command *cause) {
  hosted_saga *hosted = &x->node->registry.sagas[saga];
  saga_instance *instance = x->subject->sagas[saga];
  if (!instance) {
    if (is_of_other_version(x, saga))
      return CAFE_OK;
    instance = saga_instance_create(hosted->plan, x->subject->key, x->subject->arena);
    if (!instance)
      return no_memory(x->err);
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
  return queue_asks(x, saga, &asks);
}

/* One subscription hears for all versions of a saga. */
static int signal_versions(execution *x, uint32_t saga, const cafe_event *event) {
  const registry *known = &x->node->registry;
  int code = CAFE_OK;
  for (uint32_t i = 0; i < known->saga_count && !code; i++)
    if (known->sagas[i].number == known->sagas[saga].number)
      code = signal_saga(x, i, event, NULL);
  return code;
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
    return no_memory(x->err);
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
      return no_memory(x->err);
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
    return no_memory(x->err);
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
    code = signal_saga(x, type->sagas.items[i], event, cause);
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
      return no_memory(x->err);
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
    return no_memory(x->err);
  cause->data = copy;
  return CAFE_OK;
}

static int run_command(execution *x, const work *item) {
  uint32_t aggregate = item->command->aggregate;
  const cafe_aggregate *owner = x->node->registry.aggregates[aggregate].type;
  void *state = subject_state_of(x->subject, aggregate);
  if (!state)
    return no_memory(x->err);
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
  if (item->op) {
    if (op_decided(item->op, verdict, decision.reason, decision.text))
      return no_memory(x->err);
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
    return queue_asks(x, item->saga, &asks);
  } else if (verdict == CAFE_REFUSED) {
    node_log(x->node, CAFE_LOG_WARN, x->subject->key, x->unit->trace, "%s was refused: %s", command.type->name,
             decision.text ? decision.text : decision.reason);
  }
  return CAFE_OK;
}

static int run_queue(execution *x) {
  for (work *item = x->first; item; item = item->next) {
    int code = run_command(x, item);
    if (code)
      return code;
  }
  return CAFE_OK;
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
      code = queue_asks(x, i, &again);
    if (!code)
      code = saga_tick(instance, x->unit->now_ms, x->arena, &due, &ticked, x->err);
    if (code)
      return code;
    if (resumed || ticked)
      x->changed_sagas |= (uint64_t)1 << i;
    code = queue_asks(x, i, &due);
    if (code)
      return code;
  }
  return CAFE_OK;
}

static int begin_answer(execution *x, struct act *act) {
  if (!x->subject->sagas[act->saga])
    return CAFE_OK;
  if (act->event) {
    int code = signal_saga(x, act->saga, act->event, NULL);
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
  return queue_asks(x, act->saga, &asks);
}

static int begin(execution *x, struct act *act) {
  switch (act->kind) {
  case ACT_COMMAND: {
    int code = queue_command(x, act->command->type->command, x->subject->key, act->data, 0, NULL);
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
        code = queue_command(x, item->type, item->key, item->data, 0, NULL);
    return code;
  }
  case ACT_ROWS:
    return CAFE_OK;
  }
  return CAFE_OK;
}

/* ---- sealing: what the unit writes ---- */

static cafe_row_write *add_row(execution *x, cafe_row_write *rows, const cafe_table *table, uint64_t sub,
                               uint64_t expected, const void *data) {
  cafe_row_write *row = &rows[x->unit->store.row_count++];
  row->table = table;
  row->key = x->subject->key;
  row->sub = sub;
  row->expected = expected;
  row->data = data;
  return row;
}

static int seal_views(execution *x, cafe_row_write *rows) {
  for (view_slot *slot = x->subject->views; slot; slot = slot->next) {
    if (!slot->is_dirty)
      continue;
    const cafe_table *table = &x->node->registry.views[slot->view].table;
    slot->is_dirty = false;
    if (x->node->registry.views[slot->view].is_outdated)
      continue; /* the rebuild folds what this unit says */
    if (!slot->is_shown) {
      if (slot->version)
        add_row(x, rows, table, slot->sub, slot->version, NULL);
      slot->version = 0;
      continue;
    }
    /* The texts of the row lie in the subject's arena, which outlives its units in flight. */
    void *copy = cafe_arena_alloc(x->arena, table->row->width);
    if (!copy)
      return no_memory(x->err);
    memcpy(copy, slot->row, table->row->width);
    add_row(x, rows, table, slot->sub, slot->version++, copy);
  }
  return CAFE_OK;
}

static int seal_sagas(execution *x, cafe_row_write *rows) {
  for (uint32_t i = 0; i < x->node->registry.saga_count; i++) {
    if (!(x->changed_sagas >> i & 1))
      continue;
    saga_row *row = cafe_arena_alloc(x->arena, sizeof *row);
    if (!row)
      return no_memory(x->err);
    int code = saga_save(row, x->subject->sagas[i], x->unit->now_ms, x->arena, x->err);
    if (code)
      return code;
    add_row(x, rows, &engine_tables[TABLE_SAGAS], x->node->registry.sagas[i].number, x->subject->saga_versions[i]++,
            row);
  }
  return CAFE_OK;
}

/* The row in `wakes` may be early, never late: a crash then finds the key in time. It is brought exactly up to date by
 * ticks only, and goes with the last thing that was due to a key that is over, so that an order that runs through needs
 * one row, not one a step. */
static int seal_wake(execution *x, cafe_row_write *rows, bool is_exact) {
  struct subject *subject = x->subject;
  struct unit *unit = x->unit;
  int64_t now = unit->now_ms;
  int64_t due = 0;
  for (uint32_t i = 0; i < x->node->registry.saga_count; i++) {
    int64_t saga_due = 0;
    int code = subject->sagas[i] ? saga_due_ms(&saga_due, subject->sagas[i], x->err) : CAFE_OK;
    if (code)
      return code;
    if (saga_due && (!due || saga_due < due))
      due = saga_due;
  }
  unit->due_ms = due;
  int64_t task_due = task_due_ms(subject, unit->wanted, now);
  if (task_due && (!due || task_due < due))
    due = task_due;
  if (unit->asks || subject->requests)
    due = due && due < now ? due : now;
  bool is_earlier = due && (!subject->wake_written_ms || due < subject->wake_written_ms);
  bool is_late = subject->wake_written_ms && (!due || (due > subject->wake_written_ms && due > now));
  /* Rows of attempts go after this unit: until then a crash must find the key. */
  bool is_last = !due && unit->looked_at_tasks && !subject->attempts && subject_is_over(subject);
  if (!is_earlier && !(is_late && (is_exact || is_last)))
    return CAFE_OK;
  wake_row *row = NULL;
  if (due) {
    row = cafe_arena_alloc(x->arena, sizeof *row);
    if (!row)
      return no_memory(x->err);
    row->due_ms = due;
  }
  add_row(x, rows, &engine_tables[TABLE_WAKES], 0, subject->wake_version, row);
  subject->wake_version = due ? subject->wake_version + 1 : 0;
  subject->wake_written_ms = due;
  unit->wake_ms = due;
  return CAFE_OK;
}

static int seal_rows(execution *x, struct act *act) {
  uint32_t room = 3;
  for (view_slot *slot = x->subject->views; slot; slot = slot->next)
    room += slot->is_dirty;
  for (uint64_t left = x->changed_sagas; left; left &= left - 1)
    room++;
  cafe_row_write *rows = cafe_arena_alloc(x->arena, room * sizeof *rows);
  if (!rows)
    return no_memory(x->err);
  int code = seal_views(x, rows);
  if (!code)
    code = seal_sagas(x, rows);
  if (!code)
    code = seal_wake(x, rows, act->kind == ACT_TICK);
  if (act->kind == ACT_ROWS)
    rows[x->unit->store.row_count++] = act->row;
  if (act->is_last && act->letter)
    rows[x->unit->store.row_count++] = *act->letter;
  x->unit->store.rows = rows;
  return code;
}

/* The ops that this unit answers get their answer now, from the state as it is after it. */
static int seal_answers(execution *x, struct act *act) {
  struct unit *unit = x->unit;
  cafe_key_write *key = NULL;
  /* Its own first: a unit has room for one client's key, and nobody else would write this one. */
  int code = act->op ? op_prepare(act->op, unit, true, &key, x->err) : CAFE_OK;
  cafe_op *next;
  for (cafe_op *op = x->subject->waiters; op && !code; op = next) {
    next = op->next_waiter;
    if (op != act->op)
      code = op_prepare(op, unit, false, &key, x->err);
  }
  unit->store.client_key = key;
  return code;
}

static int seal(execution *x, struct act *act) {
  struct unit *unit = x->unit;
  bool looks = act->kind == ACT_TICK || act->task;
  for (uint32_t i = 0; i < x->node->registry.aggregate_count && !looks; i++)
    looks = (x->touched >> i & 1) && x->node->registry.aggregates[i].type->tasks;
  if (!looks) {
    /* What the states want can't have changed: the last look holds. */
    unit->looked_at_tasks = false;
  } else {
    unit->looked_at_tasks = true;
    int code = task_look(x->subject, x->arena, &unit->wanted, x->err);
    if (code)
      return code;
  }
  unit->store.events = x->stored;
  unit->store.event_count = x->stored_count;
  if (act->is_last && !act->letter) {
    unit->store.checkpoints = &act->checkpoint;
    unit->store.checkpoint_count = 1;
  }
  int code = seal_rows(x, act);
  return code ? code : seal_answers(x, act);
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

void unit_execute(struct subject *subject, struct act *act) {
  cafe_node *node = subject->node;
  cafe_err err;
  cafe_err_clear(&err);
  if (act->op && act->op->is_detached) {
    /* Whoever asked was told that the outcome isn't known, and may ask again under his key, which isn't his yet. */
    act->finish(node, act, CAFE_CANCELED, &err);
    return;
  }
  if (act->consumer && act->consumer->has_lost) {
    cafe_fail(&err, CAFE_CONFLICT, "the effect of an event before it was not written");
    act->finish(node, act, CAFE_CONFLICT, &err);
    return;
  }
  struct unit *unit = unit_make(subject);
  if (!unit) {
    cafe_fail(&err, CAFE_NOMEM, "no memory to decide a command");
    act->finish(node, act, CAFE_NOMEM, &err);
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
  int code = cafe_arena_copy(&unit->trace, unit->arena, act->trace) ? no_memory(&err) : begin(&x, act);
  if (!code)
    code = run_queue(&x);
  if (!code && act->op && act->op->wants_look) {
    op_failed(subject, unit);
    unit_free(node, unit);
    key_look(act->op);
    return;
  }
  /* A command changes nothing before its first event. */
  bool is_as_before = code && act->kind == ACT_COMMAND && !x.touched;
  if (!code)
    code = seal(&x, act);
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
  if (unit->store.event_count || unit->store.row_count || unit->store.client_key || unit->store.checkpoint_count) {
    unit->is_chained = is_chained(unit, subject->last_unit);
    subject->last_unit = unit;
    subject->in_flight++;
    node->units_in_flight++;
    commit_push(node, unit);
  } else {
    commit_nothing(node, unit);
  }
}
