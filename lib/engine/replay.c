/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What becomes of letters: one is handed out again when somebody asks for it, or when it waited behind one that is
 * gone; or it is dropped. One at a time, in the order in which they are asked for.
 *
 * What is kept here: a letter is handed out just as a record is, by a consumer whose batch it is alone; in the place of
 * the checkpoint the unit of its effect removes the letter's row, in the version that was read. So a crash finds either
 * the letter, or its effect. What follows, that the next letter of the key is looked at, follows from the table: its
 * first letter waits, and nothing before it does. A start looks for such keys.
 *
 * A letter that waited is as good as a new record: tried as often before it is parked itself. One that somebody asked
 * for is tried once.
 */
#include <stdarg.h>

#include "base/sized.h"
#include "base/str.h"
#include "engine/letter.h"

enum {
  AGAIN_US = 500000, /* as in consume.c */
  TRIES_MAX = 8      /* another writer may be first that often before whoever asked is told so */
};

static parked_key *key_of(replay *next) { return CONTAINER(next, parked_key, next); }

static void enqueue(cafe_node *node, replay *it) {
  it->is_queued = true;
  DL_APPEND(node->letters->queue, it);
  node_pump(node);
}

void replay_next(cafe_node *node, parked_key *key) {
  if (!key->next.is_queued && node->letters->current != &key->next)
    enqueue(node, &key->next);
}

/* ---- the end of one ---- */

static replay *let_go(cafe_node *node) {
  replay *it = node->letters->current;
  node->letters->current = NULL;
  node->letters->held_view = 0;
  node_pump(node);
  return it;
}

/* err NULL: it is done. */
static void finish(cafe_node *node, const cafe_err *err) {
  replay *it = let_go(node);
  if (it->kind == REPLAY_NEXT) {
    const parked_key *key = key_of(it);
    if (key->count && !key->is_blocked)
      enqueue(node, it);
    return;
  }
  if (it->op)
    op_answer(it->op, err, NULL);
  node_arena_free(node, it->arena);
}

/* Not by the letter: it stays as it was. */
static void failed(cafe_node *node, const cafe_err *err) {
  replay *it = node->letters->current;
  if (it->kind == REPLAY_NEXT) {
    it->not_before_us = node_now_us(node) + AGAIN_US;
  } else if (err->code == CAFE_CONFLICT && ++it->tries < TRIES_MAX) {
    enqueue(node, let_go(node));
    return;
  }
  finish(node, err);
}

static void CAFE_PRINTF(3, 4) tell(cafe_node *node, cafe_log_level level, const char *format, ...) {
  const struct letters *letters = node->letters;
  const cafe_dead_letter *row = &letters->row;
  char text[300];
  va_list args;
  va_start(args, format);
  str_format(text, sizeof text, format, args);
  va_end(args);
  node_log(node, level, letters->current->key, row->trace, "dead letter %llu of key %llu, %.*s %lld of %.*s: %s",
           (unsigned long long)letters->letter, (unsigned long long)letters->current->key, (int)row->event.size,
           row->event.data, (long long)row->n, (int)row->subscription.size, row->subscription.data, text);
}

static void marked(struct unit *unit, int code, const cafe_err *err) {
  cafe_node *node = unit->consumer->node;
  struct letters *letters = node->letters;
  if (code) {
    failed(node, err);
    return;
  }
  if (letters->current->kind == REPLAY_NEXT)
    key_of(letters->current)->is_blocked = true;
  tell(node, CAFE_LOG_ERROR, "it is parked after %lld tries: %s", (long long)letters->row.attempts,
       letters->failure.text);
  finish(node, &letters->failure);
}

/* The letter did it. The row says so before anybody is told. */
static void failed_by_itself(cafe_node *node) {
  struct letters *letters = node->letters;
  replay *it = letters->current;
  bool waited = it->kind == REPLAY_NEXT;
  if (waited && ++it->tries < node->max_record_attempts) {
    if (it->tries == 1)
      tell(node, CAFE_LOG_WARN, "%s: tried again, and parked after %llu tries", letters->failure.text,
           (unsigned long long)node->max_record_attempts);
    it->not_before_us = node_now_us(node) + AGAIN_US;
    finish(node, NULL);
    return;
  }
  letters->row.state = CAFE_LETTER_PARKED;
  letters->row.attempts += waited ? (int64_t)it->tries : 1;
  letters->row.code = cafe_text(cafe_code_name(letters->failure.code));
  letters->row.error = cafe_text(letters->failure.text);
  letters->row.parked_ms = node_utc_ms(node);
  cafe_row_write write = letters->removal;
  cafe_err err;
  write.data = &letters->row;
  if (letter_push(&letters->replayer, &write, marked, &err))
    failed(node, &err);
}

void replay_failed(struct consumer *replayer, bool is_at_fault, const cafe_err *err) {
  struct letters *letters = replayer->node->letters;
  replayer->has_failed = true;
  letters->failure = *err;
  letters->is_at_fault = is_at_fault;
}

void replay_ended(struct consumer *replayer) {
  cafe_node *node = replayer->node;
  struct letters *letters = node->letters;
  replayer->letter = NULL;
  if (replayer->has_failed && letters->is_at_fault) {
    failed_by_itself(node);
  } else if (replayer->has_failed) {
    failed(node, &letters->failure);
  } else {
    tell(node, CAFE_LOG_INFO, "it had its effect");
    letter_gone(node, replayer->kind, replayer->index, letters->current->key);
    finish(node, NULL);
  }
}

static void removed(struct unit *unit, int code, const cafe_err *err) {
  if (code)
    consumer_failed(unit->consumer, code, err);
  consumer_end(unit->consumer);
}

int replay_without_effect(bool *begun, struct consumer *replayer, cafe_err *err) {
  int code = letter_push(replayer, replayer->letter, removed, err);
  replayer->under_way += !code;
  *begun = !code;
  return code;
}

static void dropped(struct unit *unit, int code, const cafe_err *err) {
  cafe_node *node = unit->consumer->node;
  const struct letters *letters = node->letters;
  if (code) {
    failed(node, err);
    return;
  }
  const cafe_dead_letter *row = &letters->row;
  consumer_kind kind = (consumer_kind)row->reader;
  tell(node, CAFE_LOG_INFO, "it was dropped: %s", letters->current->reason);
  letter_gone(node, kind, (uint32_t)letter_reader(node, kind, row->name), letters->current->key);
  finish(node, NULL);
}

/* ---- handing one out ---- */

static batch_event *no_record(cafe_err *err) {
  cafe_fail(err, CAFE_NOMEM, "no memory to replay a letter");
  return NULL;
}

/* What the letter is, as a record. NULL: why not. */
static batch_event *make_record(cafe_node *node, cafe_err *err) {
  const struct letters *letters = node->letters;
  const cafe_dead_letter *row = &letters->row;
  const replay *it = letters->current;
  cafe_arena *arena = letters->replayer.arena;
  const event_type *type = registry_event(node, row->event.data);
  const char *owner = type ? node->registry.aggregates[type->aggregate].type->name : NULL;
  if (!type || !cafe_slice_equal(cafe_text(owner), row->aggregate)) {
    cafe_fail(err, CAFE_INVALID, "nobody here knows the event %.*s of %.*s any more: drop the letter",
              (int)row->event.size, row->event.data, (int)row->aggregate.size, row->aggregate.data);
    return NULL;
  }
  if (it->type && it->type != type->schema) {
    cafe_fail(err, CAFE_INVALID, "the letter is of %s, not of %s: hand in the data of that one", type->schema->name,
              it->type->name);
    return NULL;
  }
  batch_event *made = cafe_arena_alloc(arena, sizeof *made);
  void *data = made ? cafe_arena_alloc(arena, type->schema->width) : NULL;
  if (!data)
    return no_record(err);
  made->type = type;
  made->data = it->type ? it->data : row->data;
  made->event.type = type->schema;
  made->event.aggregate = owner;
  made->event.key = it->key;
  made->event.version = (uint64_t)row->version;
  made->event.time_ms = row->time_ms;
  made->event.position.log_id = (uint64_t)row->log_id;
  made->event.position.shard = (uint32_t)row->shard;
  made->event.position.n = (uint64_t)row->n;
  made->event.trace = row->trace;
  return record_read(made, data, arena) ? no_record(err) : made;
}

static int hand_out(cafe_node *node, cafe_err *err) {
  struct letters *letters = node->letters;
  const cafe_dead_letter *row = &letters->row;
  struct consumer *to = &letters->replayer;
  int index = letter_reader(node, (consumer_kind)row->reader, row->name);
  if (index < 0)
    return cafe_fail(err, CAFE_INVALID, "what the letter is for, %s, isn't hosted here: host it, or drop the letter",
                     row->name.data ? row->name.data : "");
  if (row->reader == CAFE_LETTER_VIEW && node->registry.views[index].is_outdated)
    return cafe_fail(err, CAFE_UNAVAILABLE, "the view %.*s is being rebuilt for its new version, with its letters",
                     (int)row->name.size, row->name.data);
  batch_event *record = make_record(node, err);
  if (!record)
    return err->code;
  project_destroy(to); /* the view may be another one now */
  to->kind = (consumer_kind)row->reader;
  to->index = (uint32_t)index;
  to->name = row->subscription.data;
  to->source = row->source.data;
  to->log_id = record->event.position.log_id;
  to->shard = record->event.position.shard;
  memset(to->queues, 0, sizeof to->queues);
  to->queues[consumer_queue(to, record->event.key)] = record;
  to->letter = &letters->removal;
  to->has_batch = true;
  to->has_failed = false;
  to->under_way = 1; /* until all is begun */
  /* Where nobody says why. */
  letters->is_at_fault = false;
  cafe_fail(&letters->failure, CAFE_CANCELED, "the node is closing");
  if (to->kind == CONSUME_VIEW)
    project_begin(to);
  else
    effect_begin(to);
  consumer_end(to);
  return CAFE_OK;
}

/* ---- reading it ---- */

static int see_letter(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                      void *user) {
  (void)key;
  struct letters *letters = user;
  letters->is_found = true;
  letters->letter = sub;
  letters->version = version;
  return cafe_schema_copy(&letters->row, data, table->row, letters->replayer.arena);
}

static int run_read(storage_job *base, cafe_err *err) {
  struct letters *letters = CONTAINER(base, struct letters, read);
  cafe_store *store = base->node->store;
  return store->ops->read_rows(store, &letters->query, see_letter, letters, err);
}

/* Whether there is anything to do with what was found. */
static int check_found(const struct letters *letters, cafe_err *err) {
  const replay *it = letters->current;
  if (!letters->is_found)
    return cafe_fail(err, CAFE_NOT_FOUND, "key %llu has no dead letter %llu: it was replayed or dropped",
                     (unsigned long long)it->key, (unsigned long long)it->letter);
  if (it->kind == REPLAY_GIVEN && letters->row.state != CAFE_LETTER_PARKED)
    return cafe_fail(err, CAFE_INVALID,
                     "dead letter %llu waits behind another one of key %llu: replay or drop that one",
                     (unsigned long long)it->letter, (unsigned long long)it->key);
  return CAFE_OK;
}

/* Whether the key's first letter is one that only waited. */
static bool is_next(struct letters *letters) {
  replay *it = letters->current;
  if (!letters->is_found || letters->row.state != CAFE_LETTER_WAITING) {
    key_of(it)->is_blocked = true;
    return false;
  }
  if (it->letter != letters->letter)
    it->tries = 0;
  it->letter = letters->letter;
  return true;
}

/* What makes a view anew, or compares it, is about to look at its letters: they stay as they are until then. */
static bool is_put_off(cafe_node *node) {
  struct letters *letters = node->letters;
  const cafe_dead_letter *row = &letters->row;
  bool is_of_view = row->reader == CAFE_LETTER_VIEW;
  letters->held_view = is_of_view ? (uint32_t)(letter_reader(node, CONSUME_VIEW, row->name) + 1) : 0;
  if (!letters->held_view || !node->registry.views[letters->held_view - 1].is_held)
    return false;
  letters->current->waits_for = letters->held_view;
  enqueue(node, let_go(node));
  return true;
}

bool replay_is_quiet(const cafe_node *node, uint32_t view) { return node->letters->held_view != view + 1; }

static void read_done(storage_job *base) {
  struct letters *letters = CONTAINER(base, struct letters, read);
  cafe_node *node = base->node;
  cafe_err err = base->err;
  int code = base->code;
  if (!code && !node->is_consuming)
    code = cafe_fail(&err, CAFE_CANCELED, "the node is closing");
  if (!code && letters->current->kind == REPLAY_NEXT && !is_next(letters)) {
    finish(node, NULL);
    return;
  }
  if (!code)
    code = check_found(letters, &err);
  if (!code && is_put_off(node))
    return;
  letters->removal = (cafe_row_write){.table = &engine_tables[TABLE_LETTERS],
                                      .key = letters->current->key,
                                      .sub = letters->letter,
                                      .expected = letters->version};
  if (!code)
    code = letters->current->kind == REPLAY_DROP ? letter_push(&letters->replayer, &letters->removal, dropped, &err)
                                                 : hand_out(node, &err);
  if (code)
    failed(node, &err);
}

static void add_condition(struct letters *letters, const char *column, cafe_value value) {
  cafe_condition *added = &letters->conditions[letters->query.condition_count++];
  added->column = cafe_schema_find(&cafe_dead_letter_type, cafe_text(column));
  added->value = value;
  added->value.field = &cafe_dead_letter_type.fields[added->column];
}

static void begin(cafe_node *node, replay *it) {
  struct letters *letters = node->letters;
  letters->current = it;
  letters->is_found = false;
  cafe_arena_reset(letters->replayer.arena);
  letters->query =
      (cafe_row_query){sizeof letters->query, &engine_tables[TABLE_LETTERS], letters->conditions, 1, 0, 0, -1, 1};
  letters->conditions[0] = (cafe_condition){.column = -1, .value.number = (int64_t)it->key};
  if (it->kind == REPLAY_NEXT) {
    const parked_key *key = key_of(it);
    cafe_slice name = cafe_text(letter_reader_name(node, key->kind, key->index));
    add_condition(letters, "reader", (cafe_value){.number = (int64_t)key->kind});
    add_condition(letters, "name", (cafe_value){.bytes = name});
  } else {
    letters->query.condition_count = 2;
    letters->conditions[1] = (cafe_condition){.column = -2, .value.number = (int64_t)it->letter};
  }
  letters->read = (storage_job){.run = run_read, .done = read_done, .lane = CAFE_LANE_READ};
  storage_submit(node, &letters->read);
}

/* ---- the turn's share ---- */

/* Its view stands still, or has rows of another definition. */
static bool is_barred(const cafe_node *node, replay *it) {
  uint32_t view = it->waits_for;
  if (it->kind == REPLAY_NEXT && key_of(it)->kind == CONSUME_VIEW)
    view = key_of(it)->index + 1;
  const hosted_view *hosted = view ? &node->registry.views[view - 1] : NULL;
  return hosted && (hosted->is_held || (hosted->is_outdated && it->kind == REPLAY_NEXT));
}

void replay_turn(cafe_node *node, int64_t now_us) {
  struct letters *letters = node->letters;
  replay *it, *next;
  if (!letters || letters->current || !node->is_consuming)
    return;
  DL_FOREACH_SAFE(letters->queue, it, next) {
    if (it->not_before_us > now_us || is_barred(node, it))
      continue;
    DL_DELETE(letters->queue, it);
    it->is_queued = false;
    if (it->kind == REPLAY_NEXT || it->op) {
      begin(node, it);
      return;
    }
    node_arena_free(node, it->arena); /* whoever asked gave up before it was begun */
  }
}

int64_t replay_next_us(const cafe_node *node) {
  const struct letters *letters = node->letters;
  int64_t next = INT64_MAX, now = node_now_us(node);
  replay *it;
  if (!letters || letters->current || !node->is_consuming)
    return next;
  DL_FOREACH(letters->queue, it) {
    if (is_barred(node, it))
      continue;
    int64_t due = it->not_before_us > now ? it->not_before_us : now;
    next = due < next ? due : next;
  }
  return next;
}

void replay_destroy(cafe_node *node) {
  struct letters *letters = node->letters;
  project_destroy(&letters->replayer);
  if (letters->current)
    DL_APPEND(letters->queue, letters->current);
  while (letters->queue) {
    replay *it = letters->queue;
    DL_DELETE(letters->queue, it);
    if (it->kind != REPLAY_NEXT)
      node_arena_free(node, it->arena);
  }
}

/* ---- what is asked for ---- */

static void served(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome) {
  (void)outcome;
  replay *it = op->serves;
  it->op = NULL;
  if (it->done)
    it->done(err, op->user);
}

static int check_asked(const cafe_node *node, uint64_t key, uint64_t letter, cafe_err *err) {
  if (node->state == NODE_CREATED)
    return cafe_fail(err, CAFE_INVALID, "the node isn't started: cafe_node_start");
  if (node->state != NODE_RUNNING)
    return cafe_fail(err, CAFE_UNAVAILABLE, "the node is draining: it takes no more commands");
  if (key < 1 || key > CAFE_KEY_MAX || letter < 1 || letter > INT64_MAX)
    return cafe_fail(err, CAFE_INVALID, "a letter is named by a record's key and its number in cafe_dead_letters");
  return node_has_room(node, err);
}

/* NULL: no memory. */
static replay *make(cafe_node *node, replay_kind kind, uint64_t key, uint64_t letter, cafe_done_cb done) {
  cafe_arena *arena = node_arena(node);
  replay *made = arena ? cafe_arena_alloc(arena, sizeof *made) : NULL;
  if (!made) {
    node_arena_free(node, arena);
    return NULL;
  }
  made->arena = arena;
  made->kind = kind;
  made->key = key;
  made->letter = letter;
  made->done = done;
  return made;
}

/* code: what became of it so far; its memory goes where that is a failure. */
static int submit(cafe_op **op, cafe_node *node, replay *it, int code, void *user, cafe_err *err) {
  if (!code && !(it->op = op_make(node, it, served, user)))
    code = cafe_fail(err, CAFE_NOMEM, "no memory for a letter");
  if (code) {
    node_arena_free(node, it->arena);
    return code;
  }
  if (op)
    *op = it->op;
  enqueue(node, it);
  return CAFE_OK;
}

static int take_edit(replay *it, const cafe_node *node, const cafe_replay *given, cafe_err *err) {
  const void *data;
  if (!given->event)
    return CAFE_OK;
  if (!given->data)
    return cafe_fail(err, CAFE_INVALID, "%s: other data for it is needed", given->event->name);
  if (!registry_event_of(node, given->event))
    return cafe_fail(err, CAFE_INVALID, "nobody here knows the event %s: use the one cafe_schema for it",
                     given->event->name);
  it->type = given->event;
  int code = schema_take(&data, it->type, given->data, given->data_size, it->arena, err);
  return code ? code : cafe_schema_encode(&it->data, it->arena, it->type, data, err);
}

int cafe_node_replay_letter(cafe_op **op, cafe_node *node, const cafe_replay *given, cafe_done_cb done, void *user,
                            cafe_err *err) {
  cafe_replay asked;
  int code = SIZED_READ(&asked, given, cafe_replay, data_size, "CAFE_REPLAY_INIT", err);
  if (!code)
    code = check_asked(node, asked.key, asked.letter, err);
  if (code)
    return code;
  replay *made = make(node, REPLAY_GIVEN, asked.key, asked.letter, done);
  if (!made)
    return cafe_fail(err, CAFE_NOMEM, "no memory for a letter");
  return submit(op, node, made, take_edit(made, node, &asked, err), user, err);
}

int cafe_node_drop_letter(cafe_op **op, cafe_node *node, uint64_t key, uint64_t letter, const char *reason,
                          cafe_done_cb done, void *user, cafe_err *err) {
  int code = check_asked(node, key, letter, err);
  if (!code && (!reason || !*reason))
    code = cafe_fail(err, CAFE_INVALID, "why is it dropped? Say a reason, for the log");
  if (code)
    return code;
  replay *made = make(node, REPLAY_DROP, key, letter, done);
  cafe_slice kept = {NULL, 0};
  if (!made)
    return cafe_fail(err, CAFE_NOMEM, "no memory for a letter");
  if (cafe_arena_copy(&kept, made->arena, cafe_text(reason)))
    code = cafe_fail(err, CAFE_NOMEM, "no memory for a letter");
  made->reason = kept.data;
  return submit(op, node, made, code, user, err);
}
