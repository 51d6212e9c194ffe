/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a batch of events has for effect: policies and sagas. Views: project.c.
 *
 * What is kept here: effects are decided in the order of their events, of whatever partition those are, and written in
 * that order (commit.c: units of one subscription don't overtake each other). So what had to wait arrives oldest first.
 *
 * None waits for the commit of the one before it. Its unit expects the checkpoint that that one moves, so the store
 * writes it only behind that one; and where one wasn't written, what was decided after it is abandoned, and the batch
 * begun anew from the checkpoints. A crash between two of them leaves the first ones done, and the checkpoints say so.
 *
 * One act at a time may wait for its key to be read: none behind it is decided before. The keys of those behind it are
 * read meanwhile.
 *
 * A policy that asks for several keys writes the checkpoint with the last of them, and that one is decided once the
 * others are committed. Those of later events go ahead meanwhile, but not past a key that is still to be asked. After a
 * crash they may be asked again, and aggregates answer by their state.
 */
#include "engine/commit.h"
#include "engine/letter.h"

enum {
  EFFECTS_AHEAD = CAFE_PARTITIONS /* so many are looked at ahead, and their keys read: enough to keep the store busy */
};

struct effect {
  struct effect *prev, *next; /* of those whose turn is still to come, in the order of their events */
  batch_event *record;
  struct act *acts; /* one for each key, in the order in which those are first asked for */
  uint32_t act_count;
  uint32_t begun; /* acts */
  uint32_t open;  /* of those, but for the last: not committed yet */
  bool is_judged; /* what becomes of its record is known */
};

static bool is_replay(const struct consumer *consumer) { return consumer->letter != NULL; }

void effect_go_on(struct consumer *consumer) {
  if (!consumer->line.is_open)
    return;
  consumer->node->has_effects = true;
  node_pump(consumer->node);
}

/* Several may fail at once, where each rests on a unit of somebody else's: the first one's turn comes first. */
static void note_failure(effect_line *line, struct effect *effect, bool is_at_fault, const cafe_err *err) {
  if (line->failed && line->failed->record->event.position.n < effect->record->event.position.n)
    return;
  line->failed = effect;
  line->is_at_fault = is_at_fault;
  line->failure = *err;
}

static void effect_finished(cafe_node *node, struct act *done, int code, const cafe_err *err) {
  (void)node;
  struct effect *effect = done->user;
  struct consumer *consumer = done->consumer;
  effect_line *line = &consumer->line;
  if (line->undecided == done)
    line->undecided = NULL;
  if (code && !done->is_last && !consumer->has_lost) {
    note_failure(line, effect, done->is_at_fault, err); /* those before it have their turn */
  } else if (code) {
    consumer_failed_by(consumer, done->is_at_fault ? effect->record : NULL, code, err);
  } else if (!done->is_last) {
    effect->open--;
  } else if (!is_replay(consumer)) {
    consumer_done(consumer, (uint32_t)done->checkpoint.partition, done->checkpoint.n);
  }
  consumer_end(consumer);
}

void effect_decided(struct consumer *consumer) {
  consumer->line.undecided = NULL;
  effect_go_on(consumer);
}

/* ---- what an event asks for ---- */

static int react(collector *out, const struct consumer *consumer, const batch_event *record, cafe_err *err) {
  const cafe_policy *policy = consumer->node->registry.policies[consumer->index];
  cafe_reaction reaction;
  collector_init(&reaction.commands, consumer->arena);
  policy->react(&reaction, &record->event, policy->user);
  *out = reaction.commands;
  if (out->err.code)
    return callback_failed(err, out->err.code, out->err.text, "the policy %s can't react to %s of key %llu",
                           policy->name, record->event.type->name, (unsigned long long)record->event.key);
  return collector_check(out, policy->commands, policy->name, err);
}

/* An act has all commands of its key, wherever they stand in the list. */
static bool is_first_of_key(const collected *first, const collected *item) {
  while (first->key != item->key)
    first = first->next;
  return first == item;
}

static void add_act(struct consumer *consumer, struct effect *effect, uint64_t key, const collected *commands) {
  const cafe_event *event = &effect->record->event;
  struct act *act = &effect->acts[effect->act_count++];
  act->kind = ACT_EVENT;
  act->key = key;
  act->consumer = consumer;
  act->saga = consumer->index;
  act->event = event;
  act->signals = consumer->kind == CONSUME_SAGA;
  act->commands = commands;
  act->trace = event->trace;
  act->letter = consumer->letter;
  act->finish = effect_finished;
  act->user = effect;
}

static int make_acts(struct consumer *consumer, struct effect *effect, cafe_err *err) {
  const batch_event *record = effect->record;
  const collected *first = NULL, *item;
  uint32_t count = consumer->kind == CONSUME_SAGA;
  if (record->failure) {
    *err = *record->failure;
    return err->code;
  }
  if (consumer->kind == CONSUME_POLICY) {
    collector asked;
    int code = react(&asked, consumer, record, err);
    if (code)
      return code;
    first = asked.first;
  }
  LL_FOREACH(first, item) count += is_first_of_key(first, item);
  if (!count)
    return CAFE_OK;
  effect->acts = cafe_arena_alloc(consumer->arena, count * sizeof *effect->acts);
  if (!effect->acts)
    return cafe_fail(err, CAFE_NOMEM, "no memory for an event's effect");
  if (!first)
    add_act(consumer, effect, record->event.key, NULL);
  LL_FOREACH(first, item) {
    if (is_first_of_key(first, item))
      add_act(consumer, effect, item->key, first);
  }
  effect->acts[count - 1].is_last = true;
  return CAFE_OK;
}

/* Best effort: a key that isn't read ahead is read in its turn. */
static void read_ahead(cafe_node *node, struct act *act) {
  struct subject *subject = subject_get(node, act->key, NULL);
  if (!subject)
    return;
  subject_expect(subject, act);
  if (subject->state == SUBJECT_NEW)
    subject_load(subject);
}

/* One more. False: there is none, or there are enough. */
static bool look_ahead(struct consumer *consumer) {
  effect_line *line = &consumer->line;
  cafe_err err = {0};
  if (!line->unseen || line->count == EFFECTS_AHEAD || line->failed || !consumer->node->is_consuming)
    return false;
  struct effect *made = cafe_arena_alloc(consumer->arena, sizeof *made);
  if (!made) {
    cafe_fail(&err, CAFE_NOMEM, "no memory for an event's effect");
    consumer_failed(consumer, CAFE_NOMEM, &err);
    return false;
  }
  made->record = line->unseen;
  line->unseen = line->unseen->next;
  DL_APPEND(line->effects, made);
  line->count++;
  if (!line->others)
    line->others = made;
  made->record->fate = letter_fate_of(consumer, made->record);
  made->is_judged = made->record->fate != FATE_TAKE; /* else once more, in its turn */
  if (!made->is_judged && make_acts(consumer, made, &err))
    note_failure(line, made, true, &err);
  for (uint32_t i = 0; i < made->act_count; i++)
    read_ahead(consumer->node, &made->acts[i]);
  return true;
}

/* ---- in their order ---- */

static void begin_act(struct consumer *consumer, struct effect *effect) {
  cafe_node *node = consumer->node;
  struct act *act = &effect->acts[effect->begun++];
  const cafe_event *event = act->event;
  cafe_err err;
  if (act->is_last)
    consumer_move(&act->checkpoint, consumer, cafe_partition(event->key), event->position.n);
  else
    effect->open++;
  consumer->under_way++;
  consumer->line.undecided = act;
  struct subject *subject = act->subject ? act->subject : subject_get(node, act->key, &err);
  if (subject)
    subject_take(subject, act);
  else
    act->finish(node, act, err.code, &err);
}

static letter_fate judge(struct consumer *consumer, struct effect *effect) {
  if (!effect->is_judged)
    effect->record->fate = letter_fate_of(consumer, effect->record);
  effect->is_judged = true;
  return effect->record->fate;
}

/* None of its acts that isn't begun will be. */
static void leave_line(effect_line *line, struct effect *effect) {
  if (line->others == effect)
    line->others = effect->next;
  if (line->failed == effect)
    line->failed = NULL;
  DL_DELETE(line->effects, effect);
  line->count--;
  while (effect->begun < effect->act_count)
    subject_miss(&effect->acts[effect->begun++]);
}

/* The first effect has its turn. False: it has to wait for its other keys. */
static bool take_turn(struct consumer *consumer) {
  effect_line *line = &consumer->line;
  struct effect *effect = line->effects;
  batch_event *record = effect ? effect->record : NULL;
  cafe_err err = {0};
  int code = CAFE_OK;
  bool begun = false, is_at_fault = true;
  if (!effect)
    return false;
  if (judge(consumer, effect) != FATE_TAKE) {
    code = letter_park(&begun, consumer, record, &err);
  } else if (line->failed == effect) {
    err = line->failure;
    code = err.code;
    is_at_fault = line->is_at_fault;
  } else if (effect->act_count && (effect->begun + 1 < effect->act_count || effect->open)) {
    return false;
  } else if (effect->act_count) {
    begin_act(consumer, effect);
  } else if (is_replay(consumer)) {
    code = replay_without_effect(&begun, consumer, &err);
  }
  leave_line(line, effect);
  if (code)
    consumer_failed_by(consumer, is_at_fault ? record : NULL, code, &err);
  return true;
}

/* An event before it asks the same key last, and isn't done. */
static bool is_awaited(const effect_line *line, const struct effect *effect) {
  uint64_t key = effect->acts[effect->begun].key;
  for (const struct effect *before = line->effects; before != effect; before = before->next)
    if (before->act_count && before->acts[before->act_count - 1].key == key)
      return true;
  return false;
}

/* One more key of an event that asks for several. False: there is none, or it must not go ahead. */
static bool begin_other(struct consumer *consumer) {
  effect_line *line = &consumer->line;
  struct effect *effect = line->others;
  if (!effect || effect == line->failed || (!consumer->node->is_consuming && !effect->begun))
    return false;
  if (effect->begun + 1 >= effect->act_count || judge(consumer, effect) != FATE_TAKE) {
    line->others = effect->next;
    return true;
  }
  /* What failed before may fail again, and then those behind it would be asked once more each time. */
  if (effect != line->effects && (letter_is_tried(consumer, effect->record) || is_awaited(line, effect)))
    return false;
  begin_act(consumer, effect);
  return true;
}

/* While a node is drained, what was begun is finished. */
static bool goes_on(const struct consumer *consumer) {
  const effect_line *line = &consumer->line;
  const cafe_node *node = consumer->node;
  return !consumer->has_failed && !consumer->has_lost && node->state <= NODE_DRAINING &&
         (node->is_consuming || (line->effects && line->effects->begun));
}

static void close_line(struct consumer *consumer) {
  effect_line *line = &consumer->line;
  if (line->effects || line->unseen)
    consumer->has_failed = true; /* what is left is begun anew from the checkpoints */
  while (line->effects)
    leave_line(line, line->effects);
  line->is_open = false;
  consumer_end(consumer);
}

static void advance(struct consumer *consumer) {
  effect_line *line = &consumer->line;
  while (goes_on(consumer) && !line->undecided) {
    while (look_ahead(consumer))
      ;
    if (!take_turn(consumer) && !begin_other(consumer))
      break;
    commit_early(consumer->node);
  }
  if (!goes_on(consumer) || (!line->effects && !line->unseen && !line->undecided))
    close_line(consumer);
}

void effect_begin(struct consumer *consumer) {
  consumer->line = (effect_line){.unseen = consumer->queues[0], .is_open = true};
  consumer->under_way++;
  effect_go_on(consumer);
}

void effect_turn(cafe_node *node) {
  struct consumer *consumer;
  if (!node->has_effects || node->pauses)
    return;
  node->has_effects = false;
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->line.is_open)
      advance(consumer);
  }
  if (node->letters && node->letters->replayer.line.is_open)
    advance(&node->letters->replayer);
}
