/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which units of a batch may pass. A unit is judged against what there is, with what the units before it have changed
 * (sqlite_item.version), and with what it has claimed itself so far (unit_version): only a unit that passes whole moves
 * `version`. Nothing is written here.
 *
 * Most of what there is is known (sqlite_known.c). The rest is asked for, or guessed: a unit that says "this is new" of
 * something never met is believed, because its write will fail if it isn't, and the batch is judged once more. A guess
 * is good for nothing else: a unit that expects another version of the same thing has the file asked.
 */
#include "store/sqlite_batch.h"

/* Sets the item's versions unless the file has to be asked: then look() does. A guess isn't taken for more than it is:
 * who expects something else asks. */
static bool needs_look(const batch_run *r, sqlite_item *item, bool is_new, bool says_new) {
  if (item->unit == r->unit) {
    return false;
  }
  item->unit = r->unit;
  if (is_new || (item->is_guess && !item->is_pending && !says_new)) {
    item->is_guess = says_new && !r->asks;
    if (!item->is_guess) {
      return true;
    }
    item->version = item->stored = 0;
  }
  item->unit_version = item->version;
  return false;
}

static int look(const batch_run *r, sqlite_item *item, sqlite3_stmt *statement) {
  int code = batch_ask(r->store, statement, &item->version, r->err);
  item->stored = item->unit_version = item->version;
  return code;
}

static int find_stream(batch_run *r, const cafe_stored_event *event, sqlite_item **out) {
  bool is_new;
  sqlite_item *item = sqlite_known_stream(r->store->known, event->aggregate, event->key, &is_new);
  if (!item) {
    return sqlite_no_memory(r->err);
  }
  *out = item;
  if (!needs_look(r, item, is_new, event->version == 1)) {
    return CAFE_OK;
  }
  sqlite3_stmt *statement;
  int code = batch_statement(r->store, WRITER_STREAM, &statement, r->err);
  if (code == CAFE_OK) {
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)event->key);
    sqlite_bind_text(statement, 2, cafe_text(event->aggregate));
    code = look(r, item, statement);
  }
  return code;
}

static int find_row(batch_run *r, const cafe_row_write *write, sqlite_item **out) {
  sqlite_store *store = r->store;
  sqlite_table *table = sqlite_find_table(store, write->table);
  if (!table) {
    return sqlite_unknown_table(write->table, r->err);
  }
  bool is_new;
  sqlite_item *item =
      sqlite_known_row(store->known, (uint32_t)(table - store->tables), write->key, write->sub, &is_new);
  if (!item) {
    return sqlite_no_memory(r->err);
  }
  *out = item;
  if (!needs_look(r, item, is_new, write->expected == 0)) {
    return CAFE_OK;
  }
  sqlite3_stmt *statement;
  int code = sqlite_row_statement_of(store, store->writer, table, ROW_VERSION, &statement, r->err);
  if (code == CAFE_OK) {
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)write->key);
    if (write->table->sub_name) {
      sqlite3_bind_int64(statement, 2, (sqlite3_int64)write->sub);
    }
    code = look(r, item, statement);
  }
  return code;
}

void batch_bind_checkpoint(sqlite3_stmt *statement, const cafe_checkpoint *checkpoint) {
  sqlite_bind_text(statement, 1, cafe_text(checkpoint->subscription));
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)checkpoint->log_id);
  sqlite3_bind_int64(statement, 3, checkpoint->shard);
  sqlite3_bind_int(statement, 4, checkpoint->partition);
}

/* Never a guess: there are few, so asking is cheap, and its write guards nothing. */
static int find_checkpoint(batch_run *r, const cafe_checkpoint *checkpoint, sqlite_item **out) {
  bool is_new;
  sqlite_item *item = sqlite_known_checkpoint(r->store->known, checkpoint, &is_new);
  if (!item) {
    return sqlite_no_memory(r->err);
  }
  *out = item;
  if (!needs_look(r, item, is_new, false)) {
    return CAFE_OK;
  }
  sqlite3_stmt *statement;
  int code = batch_statement(r->store, WRITER_CHECKPOINT_FIND, &statement, r->err);
  if (code == CAFE_OK) {
    batch_bind_checkpoint(statement, checkpoint);
    code = look(r, item, statement);
  }
  return code;
}

/* ---- judging ---- */

static int judge_key(batch_run *r, cafe_unit *unit, bool *is_there) {
  const cafe_key_write *write = unit->client_key;
  *is_there = false;
  if (!write || write->mode == CAFE_KEY_REPLY) {
    return CAFE_OK;
  }
  sqlite3_stmt *statement;
  int code = batch_statement(r->store, WRITER_KEY_FIND, &statement, r->err);
  if (code != CAFE_OK) {
    return code;
  }
  sqlite_bind_text(statement, 1, write->scope);
  sqlite_bind_text(statement, 2, write->key);
  int step = sqlite3_step(statement);
  if (step == SQLITE_ROW) {
    *is_there = true;
    uint64_t holder = (uint64_t)sqlite3_column_int64(statement, 1);
    bool has_reply = sqlite3_column_type(statement, 2) != SQLITE_NULL;
    if (!store_key_is_free(write, holder, has_reply)) {
      unit->result = CAFE_UNIT_KEY_CONFLICT;
      code = sqlite_read_key_columns(&unit->key_found, statement, write->fingerprint, r->batch->arena, r->err);
    }
  } else if (step != SQLITE_DONE) {
    code = sqlite_fail(r->store, r->store->writer, r->err, "looking up a client's key");
  }
  sqlite3_reset(statement);
  return code;
}

/* Each of these goes through one kind of the unit's writes, and leaves a conflict in its result. */
static int judge_events(batch_run *r, cafe_unit *unit, sqlite_item **touched) {
  for (uint32_t i = 0; i < unit->event_count; i++) {
    int code = find_stream(r, &unit->events[i], &touched[i]);
    if (code != CAFE_OK) {
      return code;
    }
    if (unit->events[i].version != touched[i]->unit_version + 1) {
      unit->result = CAFE_UNIT_STREAM_CONFLICT;
      return CAFE_OK;
    }
    touched[i]->unit_version++;
  }
  return CAFE_OK;
}

static int judge_rows(batch_run *r, cafe_unit *unit, sqlite_item **touched) {
  for (uint32_t i = 0; i < unit->row_count; i++) {
    const cafe_row_write *write = &unit->rows[i];
    int code = find_row(r, write, &touched[i]);
    if (code != CAFE_OK) {
      return code;
    }
    if (write->expected != touched[i]->unit_version) {
      unit->result = CAFE_UNIT_ROW_CONFLICT;
      return CAFE_OK;
    }
    touched[i]->unit_version = write->data ? write->expected + 1 : 0;
  }
  return CAFE_OK;
}

static int judge_checkpoints(batch_run *r, cafe_unit *unit, sqlite_item **touched) {
  for (uint32_t i = 0; i < unit->checkpoint_count; i++) {
    const cafe_checkpoint *checkpoint = &unit->checkpoints[i];
    int code = find_checkpoint(r, checkpoint, &touched[i]);
    if (code != CAFE_OK) {
      return code;
    }
    if (checkpoint->expected != touched[i]->unit_version) {
      unit->result = CAFE_UNIT_CHECKPOINT_CONFLICT;
      return CAFE_OK;
    }
    touched[i]->unit_version = checkpoint->n;
  }
  return CAFE_OK;
}

/* Sets the unit's result: DONE if nothing stands against it, and then r->touched. The client's key comes first: who
 * repeats a request wants to be told so, whatever else has changed meanwhile. */
int batch_judge(batch_run *r, cafe_unit *unit, bool *key_is_there) {
  if (unit->lease) {
    return cafe_fail(r->err, CAFE_UNSUPPORTED, "The SQLite store has no leases: it serves one node.");
  }
  sqlite_item **touched = r->touched;
  unit->result = CAFE_UNIT_DONE;
  int code = judge_key(r, unit, key_is_there);
  if (code == CAFE_OK && unit->result == CAFE_UNIT_DONE) {
    code = judge_events(r, unit, touched);
  }
  if (code == CAFE_OK && unit->result == CAFE_UNIT_DONE) {
    code = judge_rows(r, unit, touched + unit->event_count);
  }
  if (code == CAFE_OK && unit->result == CAFE_UNIT_DONE) {
    code = judge_checkpoints(r, unit, touched + unit->event_count + unit->row_count);
  }
  return code;
}
