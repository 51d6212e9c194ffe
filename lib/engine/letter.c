/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Dead letters: how a record that can't have its effect gets out of the way of the others.
 *
 * What is kept here: a record of a subscription lies ahead of its checkpoint, or has had its effect, or is a letter:
 * one of the three at every moment, since the letter is written by the unit that moves the checkpoint past it, and goes
 * by the unit of its effect. A crash before either leaves the record where it was: it is tried anew, from the first
 * time on; how often it failed is only remembered.
 *
 * And order: once a key has a letter, every later record of it for the same policy, saga or view becomes one too, with
 * a higher number, whatever subscription it comes by. So the first letter of a key is the only one that may be parked,
 * and what waits behind it is done by its number. A policy that skips has parked ones only.
 *
 * Which keys have letters is held in memory, for every event asks; it follows commits, and is read from the table at
 * the start. Of these keys there is a limit. A definition that fails on thousands of them isn't right itself: then its
 * subscription stands still, as one whose store can't be used does.
 *
 * What fails by another's fault is never parked: letter_is_deserved, and who calls consumer_failed_by.
 */
#include "engine/letter.h"

#include "base/arena.h"

enum {
  PARKED_KEYS_MAX = 65536, /* some 10 MB */
  START_ROWS = 1000        /* read at once */
};

static const char *const state_names[] = {"", "parked", "waiting"};
static const char *const reader_names[] = {"", "policy", "saga", "view"};

static const cafe_field letter_fields[] = {
    CAFE_FIELD_ENUM_OF(1, cafe_dead_letter, state, state_names),
    CAFE_FIELD_ENUM_OF(2, cafe_dead_letter, reader, reader_names),
    CAFE_FIELD_OF(3, TEXT, cafe_dead_letter, name),
    CAFE_FIELD_OF(4, TEXT, cafe_dead_letter, subscription),
    CAFE_FIELD_OF(5, TEXT, cafe_dead_letter, source),
    CAFE_FIELD_OF(6, I64, cafe_dead_letter, log_id),
    CAFE_FIELD_OF(7, I64, cafe_dead_letter, shard),
    CAFE_FIELD_OF(8, I64, cafe_dead_letter, n),
    CAFE_FIELD_OF(9, TEXT, cafe_dead_letter, aggregate),
    CAFE_FIELD_OF(10, TEXT, cafe_dead_letter, event),
    CAFE_FIELD_OF(11, I64, cafe_dead_letter, version),
    CAFE_FIELD_OF(12, TIME, cafe_dead_letter, time_ms),
    CAFE_FIELD_OF(13, TEXT, cafe_dead_letter, trace),
    CAFE_FIELD_OF(14, BYTES, cafe_dead_letter, data),
    CAFE_FIELD_OF(15, I64, cafe_dead_letter, attempts),
    CAFE_FIELD_OF(16, TEXT, cafe_dead_letter, code),
    CAFE_FIELD_OF(17, TEXT, cafe_dead_letter, error),
    CAFE_FIELD_OF(18, TIME, cafe_dead_letter, parked_ms),
};
const cafe_schema cafe_dead_letter_type = CAFE_SCHEMA_OF("DeadLetter", cafe_dead_letter, letter_fields);

/* Described for who reads it; nothing folds it. */
const cafe_view cafe_dead_letters_view = {
    .size = CAFE_VIEW,
    .name = LETTER_TABLE,
    .version = 1,
    .is_inline = true,
    .key_name = "record_key",
    .sub_name = "letter",
    .row = &cafe_dead_letter_type,
};

bool letter_is_deserved(int code) { return code && code != CAFE_CANCELED && !cafe_code_is_retryable(code); }

/* ---- keys that have letters ---- */

typedef struct key_name {
  uint32_t kind, index;
  uint64_t key;
} key_name;

parked_key *letter_key(const cafe_node *node, consumer_kind kind, uint32_t index, uint64_t key) {
  key_name name = {kind, index, key};
  return map_get_bytes(node->letters->keys, (cafe_slice){(const char *)&name, sizeof name});
}

static parked_key *get_key(cafe_node *node, consumer_kind kind, uint32_t index, uint64_t key) {
  parked_key *found = letter_key(node, kind, index, key);
  if (found)
    return found;
  key_name name = {kind, index, key};
  parked_key *made = node_alloc(node, sizeof *made);
  if (!made || map_put_bytes(node->letters->keys, (cafe_slice){(const char *)&name, sizeof name}, made)) {
    node_free(node, made);
    return NULL;
  }
  made->kind = kind;
  made->index = index;
  made->next.kind = REPLAY_NEXT;
  made->next.key = key;
  return made;
}

static void count_letter(cafe_node *node, parked_key *key, cafe_letter_state state) {
  if (key->count++ == 0) {
    node->letters->open++;
    key->is_blocked = state == CAFE_LETTER_PARKED;
  }
  if (!key->is_blocked)
    replay_next(node, key);
}

void letter_gone(cafe_node *node, consumer_kind kind, uint32_t index, uint64_t key) {
  parked_key *from = letter_key(node, kind, index, key);
  node->stats.dead_letters--;
  if (!from)
    return; /* nobody's here */
  if (--from->count == 0) {
    node->letters->open--;
    return;
  }
  from->is_blocked = false; /* as far as is known */
  replay_next(node, from);
}

static bool is_named(const char *name, cafe_slice wanted) { return cafe_slice_equal(cafe_text(name), wanted); }

int letter_reader(const cafe_node *node, consumer_kind kind, cafe_slice name) {
  const registry *known = &node->registry;
  for (uint32_t i = 0; kind == CONSUME_POLICY && i < known->policy_count; i++)
    if (is_named(known->policies[i]->name, name))
      return (int)i;
  for (uint32_t i = 0; kind == CONSUME_SAGA && i < known->saga_count; i++)
    if (is_named(known->sagas[i].type->name, name))
      return (int)i; /* its first version, as in consume.c */
  for (uint32_t i = 0; kind == CONSUME_VIEW && i < known->view_count; i++)
    if (is_named(known->views[i].type->name, name) && !known->views[i].type->is_inline)
      return (int)i;
  return -1;
}

const char *letter_reader_name(const cafe_node *node, consumer_kind kind, uint32_t index) {
  const registry *known = &node->registry;
  if (kind == CONSUME_POLICY)
    return known->policies[index]->name;
  return kind == CONSUME_SAGA ? known->sagas[index].type->name : known->views[index].type->name;
}

/* ---- records that fail ---- */

struct trial {
  struct trial *next;
  uint32_t partition;
  uint64_t n;
  uint64_t count;
  cafe_err err;
};

static struct trial *find_trial(const struct consumer *consumer, const batch_event *record) {
  uint32_t partition = cafe_partition(record->event.key);
  struct trial *found;
  LL_FOREACH(consumer->trials, found) {
    if (found->partition == partition)
      break;
  }
  return found;
}

bool letter_try(struct consumer *consumer, const batch_event *record, const cafe_err *err) {
  cafe_node *node = consumer->node;
  const cafe_event *event = &record->event;
  struct trial *trial = find_trial(consumer, record);
  if (!trial) {
    trial = node_alloc(node, sizeof *trial);
    if (!trial)
      return true; /* it isn't counted */
    trial->partition = cafe_partition(event->key);
    LL_PREPEND(consumer->trials, trial);
  }
  if (trial->n != event->position.n)
    trial->count = 0;
  trial->n = event->position.n;
  trial->err = *err;
  if (++trial->count == 1 && node->max_record_attempts > 1)
    node_log(node, CAFE_LOG_WARN, event->key, event->trace,
             "the subscription %s to %s: %s: tried again, and parked after %llu tries", consumer->name,
             consumer->source, err->text, (unsigned long long)node->max_record_attempts);
  return trial->count < node->max_record_attempts;
}

bool letter_is_tried(const struct consumer *consumer, const batch_event *record) {
  const struct trial *trial = consumer->trials ? find_trial(consumer, record) : NULL;
  return trial && trial->n == record->event.position.n;
}

void letter_forget_trials(struct consumer *consumer) {
  struct trial *trial, *next;
  LL_FOREACH_SAFE(consumer->trials, trial, next) node_free(consumer->node, trial);
  consumer->trials = NULL;
}

/* Behind one of the same batch, which may not be written yet. */
static bool is_behind(const struct consumer *consumer, const batch_event *record) {
  const batch_event *before = consumer->queues[consumer_queue(consumer, record->event.key)];
  for (; before && before != record; before = before->next)
    if (before->fate != FATE_TAKE && before->event.key == record->event.key)
      return true;
  return false;
}

static bool waits(const struct consumer *consumer, const batch_event *record) {
  const cafe_node *node = consumer->node;
  if (consumer->kind == CONSUME_POLICY && node->registry.policies[consumer->index]->flags & CAFE_POLICY_SKIPS)
    return false;
  if (consumer->is_parking && is_behind(consumer, record))
    return true;
  const parked_key *key =
      node->letters->open ? letter_key(node, consumer->kind, consumer->index, record->event.key) : NULL;
  return key && key->count;
}

letter_fate letter_fate_of(struct consumer *consumer, const batch_event *record) {
  if (consumer->letter)
    return FATE_TAKE;
  letter_fate fate = FATE_TAKE;
  if (waits(consumer, record)) {
    fate = FATE_WAIT;
  } else if (letter_is_tried(consumer, record)) {
    fate = find_trial(consumer, record)->count >= consumer->node->max_record_attempts ? FATE_PARK : FATE_TAKE;
  }
  consumer->is_parking = consumer->is_parking || fate != FATE_TAKE;
  return fate;
}

/* ---- parking ---- */

static int no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "no memory to park a record"); }

/* Rises, also over restarts: as far as it can it tells the time. */
static uint64_t next_number(cafe_node *node) {
  uint64_t now = (uint64_t)node_utc_ms(node);
  struct letters *letters = node->letters;
  letters->last = now > letters->last ? now : letters->last + 1;
  return letters->last;
}

/* By the last trial; or, of a view that is made anew, by the only one. */
static int note_failure(cafe_dead_letter *row, const struct consumer *consumer, const batch_event *record,
                        cafe_arena *arena) {
  const struct trial *trial = find_trial(consumer, record);
  const cafe_err *why = trial ? &trial->err : record->failure;
  row->attempts = trial ? (int64_t)trial->count : 1;
  row->code = cafe_text(cafe_code_name(why->code));
  return cafe_arena_copy(&row->error, arena, cafe_text(why->text));
}

int letter_write(cafe_row_write *out, struct consumer *consumer, const batch_event *record, cafe_arena *arena,
                 cafe_err *err) {
  cafe_node *node = consumer->node;
  const cafe_event *event = &record->event;
  const parked_key *key = get_key(node, consumer->kind, consumer->index, event->key);
  cafe_dead_letter *row = key ? cafe_arena_alloc(arena, sizeof *row) : NULL;
  if (!row)
    return no_memory(err);
  if (!key->count && node->letters->open >= PARKED_KEYS_MAX)
    return cafe_fail(err, CAFE_OVERLOADED,
                     "%llu keys have dead letters already: replay or drop them, the subscription waits",
                     (unsigned long long)node->letters->open);
  row->state = record->fate == FATE_PARK ? CAFE_LETTER_PARKED : CAFE_LETTER_WAITING;
  row->reader = (cafe_letter_reader)consumer->kind;
  row->name = cafe_text(letter_reader_name(node, consumer->kind, consumer->index));
  row->subscription = cafe_text(consumer->name);
  row->source = cafe_text(node->registry.aggregates[record->type->aggregate].service);
  row->log_id = (int64_t)event->position.log_id;
  row->shard = event->position.shard;
  row->n = (int64_t)event->position.n;
  row->aggregate = cafe_text(event->aggregate);
  row->event = cafe_text(event->type->name);
  row->version = (int64_t)event->version;
  row->time_ms = event->time_ms;
  row->trace = event->trace;
  row->data = record->data;
  row->parked_ms = node_utc_ms(node);
  if (record->fate == FATE_PARK && note_failure(row, consumer, record, arena))
    return no_memory(err);
  *out = (cafe_row_write){
      .table = &engine_tables[TABLE_LETTERS], .key = event->key, .sub = next_number(node), .data = row};
  return CAFE_OK;
}

static void tell_parked(cafe_node *node, const cafe_row_write *write) {
  const cafe_dead_letter *row = write->data;
  node_log(node, CAFE_LOG_ERROR, write->key, row->trace,
           "the subscription %.*s to %.*s: %.*s %llu is parked after %lld tries, as dead letter %llu of key %llu: %.*s",
           (int)row->subscription.size, row->subscription.data, (int)row->source.size, row->source.data,
           (int)row->event.size, row->event.data, (unsigned long long)row->n, (long long)row->attempts,
           (unsigned long long)write->sub, (unsigned long long)write->key, (int)row->error.size, row->error.data);
}

void letter_written(cafe_node *node, consumer_kind kind, uint32_t index, const cafe_unit *unit) {
  for (uint32_t i = 0; i < unit->row_count; i++) {
    const cafe_row_write *write = &unit->rows[i];
    if (write->table != &engine_tables[TABLE_LETTERS] || !write->data)
      continue;
    const cafe_dead_letter *row = write->data;
    node->stats.dead_letters++;
    count_letter(node, letter_key(node, kind, index, write->key), row->state);
    if (row->state == CAFE_LETTER_PARKED)
      tell_parked(node, write);
  }
}

void letter_replaced(cafe_node *node, uint32_t view, uint32_t removed, const cafe_unit *unit) {
  struct letters *letters = node->letters;
  for (map_entry *entry = map_first(letters->keys); entry; entry = map_next(entry)) {
    parked_key *key = map_value(entry);
    if (key->kind != CONSUME_VIEW || key->index != view || !key->count)
      continue;
    letters->open--;
    key->count = 0;
  }
  node->stats.dead_letters -= removed;
  letter_written(node, CONSUME_VIEW, view, unit);
}

/* *row is its only one. */
static struct unit *make_unit(cafe_row_write **row, struct consumer *consumer, uint64_t key,
                              void (*finished)(struct unit *unit, int code, const cafe_err *err)) {
  cafe_arena *arena = node_large_arena(consumer->node);
  struct unit *made = arena ? cafe_arena_alloc(arena, sizeof *made) : NULL;
  *row = made ? cafe_arena_alloc(arena, sizeof **row) : NULL;
  if (!*row) {
    node_large_arena_free(consumer->node, arena);
    return NULL;
  }
  made->store.size = sizeof made->store;
  made->store.key = key;
  made->store.rows = *row;
  made->store.row_count = 1;
  made->arena = arena;
  made->consumer = consumer;
  made->finished = finished;
  return made;
}

int letter_push(struct consumer *consumer, const cafe_row_write *row,
                void (*finished)(struct unit *unit, int code, const cafe_err *err), cafe_err *err) {
  cafe_row_write *own;
  struct unit *made = make_unit(&own, consumer, row->key, finished);
  if (!made)
    return no_memory(err);
  *own = *row;
  commit_push(consumer->node, made);
  return CAFE_OK;
}

static void park_finished(struct unit *unit, int code, const cafe_err *err) {
  struct consumer *consumer = unit->consumer;
  const cafe_checkpoint *moved = &unit->store.checkpoints[0];
  if (code) {
    consumer_failed(consumer, code, err);
  } else {
    letter_written(consumer->node, consumer->kind, consumer->index, &unit->store);
    consumer_done(consumer, (uint32_t)moved->partition, moved->n);
  }
  consumer_end(consumer);
}

int letter_park(bool *begun, struct consumer *consumer, const batch_event *record, cafe_err *err) {
  cafe_row_write *row;
  struct unit *made = make_unit(&row, consumer, record->event.key, park_finished);
  cafe_checkpoint *checkpoint = made ? cafe_arena_alloc(made->arena, sizeof *checkpoint) : NULL;
  int code = checkpoint ? letter_write(row, consumer, record, made->arena, err) : no_memory(err);
  if (code) {
    if (made)
      unit_free(consumer->node, made);
    return code;
  }
  consumer_move(checkpoint, consumer, cafe_partition(record->event.key), record->event.position.n);
  made->store.checkpoints = checkpoint;
  made->store.checkpoint_count = 1;
  consumer->under_way++;
  commit_push(consumer->node, made);
  *begun = true;
  return CAFE_OK;
}

/* ---- at the start ---- */

typedef struct start_read {
  cafe_node *node;
  uint64_t key, letter; /* the last one */
  uint32_t count;
} start_read;

static int see_letter(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                      void *user) {
  (void)table, (void)version;
  start_read *read = user;
  cafe_node *node = read->node;
  const cafe_dead_letter *row = data;
  int index = letter_reader(node, (consumer_kind)row->reader, row->name);
  read->key = key;
  read->letter = sub;
  read->count++;
  node->stats.dead_letters++;
  if (sub > node->letters->last)
    node->letters->last = sub;
  if (index < 0)
    return CAFE_OK; /* it may be dropped, or come back */
  parked_key *of = get_key(node, (consumer_kind)row->reader, (uint32_t)index, key);
  if (!of)
    return CAFE_NOMEM;
  count_letter(node, of, row->state);
  return CAFE_OK;
}

int letter_start(cafe_node *node, cafe_err *err) {
  struct letters *made = node_alloc(node, sizeof *made);
  if (!made)
    return no_memory(err);
  letter_destroy(node); /* a start that failed left one */
  node->letters = made;
  node->stats.dead_letters = 0;
  made->replayer.node = node;
  made->replayer.arena = cafe_arena_create(&node->allocator);
  made->keys = map_create(&node->allocator, MAP_BYTES);
  if (!made->replayer.arena || !made->keys)
    return no_memory(err);
  start_read read = {.node = node, .count = START_ROWS};
  while (read.count == START_ROWS) {
    cafe_row_query query = {sizeof query, &engine_tables[TABLE_LETTERS], NULL, 0, read.key, read.letter, -1,
                            START_ROWS};
    cafe_err why = {0};
    read.count = 0;
    int code = node->store->ops->read_rows(node->store, &query, see_letter, &read, &why);
    if (code)
      return why.code ? cafe_fail(err, (cafe_code)code, "%s", why.text) : no_memory(err);
  }
  return CAFE_OK;
}

void letter_destroy(cafe_node *node) {
  struct letters *letters = node->letters;
  if (!letters)
    return;
  replay_destroy(node);
  for (map_entry *entry = letters->keys ? map_first(letters->keys) : NULL; entry; entry = map_next(entry))
    node_free(node, map_value(entry));
  map_destroy(letters->keys);
  cafe_arena_destroy(letters->replayer.arena);
  node_free(node, letters);
  node->letters = NULL;
}
