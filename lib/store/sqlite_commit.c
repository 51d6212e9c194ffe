/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The write lane: a batch of units is one transaction. The invariants:
 *
 *   - A unit is judged whole before anything of it is written, so one that conflicts leaves nothing behind and needs no
 *     savepoint. Units after it are judged against what those before it wrote (sqlite_item.version), units themselves
 *     against what they have claimed so far (unit_version).
 *   - A row is written once, at the end, however often the batch changed it; so is a checkpoint. Clients' keys are
 *     written as their unit passes, since later units look them up in the file. Events wait for others, to be written
 *     by one statement: a stream that the batch has touched is known, and never looked up.
 *   - Every write states what it replaces: an event by UNIQUE, a new row by its primary key, an old one by its version.
 *     That makes guessing safe. A unit that says "this is new" of something never met is taken at its word, without a
 *     SELECT; if a write then finds otherwise, the batch is rolled back and judged once more, by asking for everything.
 *
 * What a crash leaves. Before COMMIT: nothing. Inside it: frames at the end of the WAL without a valid commit frame,
 * which recovery drops, or with one, which it keeps: then a unit is there that nobody was told of, and its client asks
 * again by its key. After it: the batch. An error before COMMIT is rolled back and known to be nothing. An error of
 * COMMIT itself is not known, but for a full disk, which leaves the commit frame incomplete: the store refuses
 * everything from there on, and only recovery at the next open tells. So it does where the file isn't at its place.
 */
#include "store/sqlite_batch.h"

/* OR FAIL: one that is refused leaves those before it, so SQLite needn't be able to take them back. The batch is. */
#define INSERT_EVENTS                                                                                                  \
  "INSERT OR FAIL INTO events(position, \"key\", aggregate, version, type, time_ms, trace, data, meta, checksum)"      \
  " VALUES"
#define EVENT_ROW       "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#define FOUR_EVENT_ROWS EVENT_ROW ", " EVENT_ROW ", " EVENT_ROW ", " EVENT_ROW

enum { EVENT_COLUMNS = 10 };

static const char *const sql_of[WRITER_STATEMENTS] = {
    [WRITER_BEGIN] = "BEGIN IMMEDIATE",
    [WRITER_COMMIT] = "COMMIT",
    [WRITER_ROLLBACK] = "ROLLBACK",
    [WRITER_DATA_VERSION] = "PRAGMA data_version",
    [WRITER_HEAD] = "SELECT max(position) FROM events",
    [WRITER_STREAM] = "SELECT max(version) FROM events WHERE \"key\" = ?1 AND aggregate = ?2",
    [WRITER_EVENT] = INSERT_EVENTS EVENT_ROW,
    [WRITER_EVENTS_4] = INSERT_EVENTS FOUR_EVENT_ROWS,
    [WRITER_EVENTS_16] = INSERT_EVENTS FOUR_EVENT_ROWS ", " FOUR_EVENT_ROWS ", " FOUR_EVENT_ROWS ", " FOUR_EVENT_ROWS,
    [WRITER_KEY_FIND] = "SELECT fingerprint, stream_key, reply FROM client_keys WHERE scope = ?1 AND \"key\" = ?2",
    [WRITER_KEY_INSERT] = "INSERT INTO client_keys(scope, \"key\", fingerprint, stream_key, reply, time_ms)"
                          " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [WRITER_KEY_TAKE] = "UPDATE client_keys SET fingerprint = ?3, stream_key = ?4, reply = ?5, time_ms = ?6"
                        " WHERE scope = ?1 AND \"key\" = ?2",
    [WRITER_KEY_REPLY] = "UPDATE client_keys SET reply = ?3, time_ms = ?4 WHERE scope = ?1 AND \"key\" = ?2",
    [WRITER_CHECKPOINT_FIND] = "SELECT n FROM checkpoints WHERE subscription = ?1 AND log_id = ?2 AND shard = ?3"
                               " AND \"partition\" = ?4",
    [WRITER_CHECKPOINT_PUT] = "INSERT INTO checkpoints(subscription, log_id, shard, \"partition\", n)"
                              " VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET n = ?5",
};

/* Not a cafe_code: a guess was wrong, the batch is to be judged by asking; or the unit of a replacement conflicts. */
enum { GUESSED_WRONG = -1, NOT_REPLACED = -2 };

/* ---- statements ---- */

int batch_statement(sqlite_store *store, sqlite_writer_statement which, sqlite3_stmt **out, cafe_err *err) {
  int code = sqlite_prepare(store, store->writer, &store->writer_statements[which], sql_of[which], err);
  *out = store->writer_statements[which];
  return code;
}

/* Runs a statement without rows. SQLITE_OK or the failure. */
static int run(sqlite3_stmt *statement) {
  int code = sqlite_step(statement);
  int reset = sqlite3_reset(statement);
  return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : reset;
}

static int run_plain(sqlite_store *store, sqlite_writer_statement which, const char *doing, cafe_err *err) {
  sqlite3_stmt *statement;
  int code = batch_statement(store, which, &statement, err);
  if (code == CAFE_OK && run(statement) != SQLITE_OK) {
    code = sqlite_fail(store, store->writer, err, doing);
  }
  return code;
}

int batch_ask(sqlite_store *store, sqlite3_stmt *statement, uint64_t *out, cafe_err *err) {
  int code = sqlite3_step(statement);
  *out = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
  code = code == SQLITE_ROW || code == SQLITE_DONE ? CAFE_OK
                                                   : sqlite_fail(store, store->writer, err, "looking up a version");
  sqlite3_reset(statement);
  return code;
}

/* A guarded write failed: either what it replaces isn't there, or the disk is the reason. */
static int fail_write(batch_run *r, int sqlite_code, const char *doing) {
  if ((sqlite_code & 0xff) != SQLITE_CONSTRAINT) {
    return sqlite_fail(r->store, r->store->writer, r->err, doing);
  }
  if (!r->asks) {
    return GUESSED_WRONG;
  }
  return cafe_fail_detail(r->err, CAFE_CORRUPT, sqlite_code,
                          "%s: a write of what isn't there was refused (%s): the file is damaged: restore it.",
                          sqlite_short(r->store->path), sqlite3_errmsg(r->store->writer));
}

/* ---- writing ---- */

/* Parameters from `first` on. */
static int bind_event(batch_run *r, sqlite3_stmt *statement, int first, const cafe_stored_event *event) {
  sqlite3_bind_int64(statement, first, (sqlite3_int64)event->n);
  sqlite3_bind_int64(statement, first + 1, (sqlite3_int64)event->key);
  sqlite_bind_text(statement, first + 2, cafe_text(event->aggregate));
  sqlite3_bind_int64(statement, first + 3, (sqlite3_int64)event->version);
  sqlite_bind_text(statement, first + 4, cafe_text(event->type));
  sqlite3_bind_int64(statement, first + 5, event->time_ms);
  if (event->trace.size) {
    sqlite_bind_text(statement, first + 6, event->trace);
  } else {
    sqlite3_bind_null(statement, first + 6);
  }
  if (sqlite_bind_blob(statement, first + 7, event->data) == SQLITE_TOOBIG) {
    return cafe_fail(r->err, CAFE_INVALID, "An event of type %s has %zu bytes: SQLite can't hold so many.", event->type,
                     event->data.size);
  }
  if (!event->meta.size) {
    sqlite3_bind_null(statement, first + 8);
  } else if (sqlite_bind_blob(statement, first + 8, event->meta) == SQLITE_TOOBIG) {
    return cafe_fail(r->err, CAFE_INVALID, "An event of type %s has %zu bytes of meta: SQLite can't hold so many.",
                     event->type, event->meta.size);
  }
  sqlite3_bind_int64(statement, first + 9, sqlite_checksum(event));
  return CAFE_OK;
}

static int insert_events(batch_run *r, sqlite_writer_statement which, const cafe_stored_event *const *events,
                         uint32_t count) {
  sqlite3_stmt *statement;
  int code = batch_statement(r->store, which, &statement, r->err);
  for (uint32_t i = 0; i < count && code == CAFE_OK; i++) {
    code = bind_event(r, statement, (int)i * EVENT_COLUMNS + 1, events[i]);
  }
  if (code != CAFE_OK) {
    return code;
  }
  code = run(statement);
  return code == SQLITE_OK ? CAFE_OK : fail_write(r, code, "writing events");
}

/* Writes the events that wait, by as few statements as there are sizes for. */
static int flush_events(batch_run *r) {
  uint32_t done = 0;
  while (done < r->event_count) {
    uint32_t left = r->event_count - done;
    uint32_t count = left >= 16 ? 16 : left >= 4 ? 4 : 1;
    int code = insert_events(r,
                             count == 16  ? WRITER_EVENTS_16
                             : count == 4 ? WRITER_EVENTS_4
                                          : WRITER_EVENT,
                             r->events + done, count);
    if (code != CAFE_OK) {
      return code;
    }
    done += count;
  }
  r->event_count = 0;
  return CAFE_OK;
}

static int write_event(batch_run *r, cafe_stored_event *event) {
  event->shard = 0;
  event->n = ++r->store->head;
  r->events[r->event_count++] = event;
  return r->event_count == EVENTS_AT_ONCE ? flush_events(r) : CAFE_OK;
}

static int write_key(batch_run *r, const cafe_key_write *write, bool is_there) {
  sqlite3_stmt *statement;
  bool is_reply = write->mode == CAFE_KEY_REPLY;
  int code = batch_statement(r->store,
                             is_reply   ? WRITER_KEY_REPLY
                             : is_there ? WRITER_KEY_TAKE
                                        : WRITER_KEY_INSERT,
                             &statement, r->err);
  if (code != CAFE_OK) {
    return code;
  }
  sqlite_bind_text(statement, 1, write->scope);
  sqlite_bind_text(statement, 2, write->key);
  if (is_reply) {
    sqlite_bind_blob(statement, 3, write->reply);
    sqlite3_bind_int64(statement, 4, write->time_ms);
  } else {
    sqlite_bind_blob(statement, 3, write->fingerprint);
    sqlite3_bind_int64(statement, 4, (sqlite3_int64)write->stream_key);
    if (write->mode == CAFE_KEY_BOTH) {
      sqlite_bind_blob(statement, 5, write->reply);
    } else {
      sqlite3_bind_null(statement, 5);
    }
    sqlite3_bind_int64(statement, 6, write->time_ms);
  }
  code = run(statement);
  return code == SQLITE_OK ? CAFE_OK : fail_write(r, code, "writing a client's key");
}

static void make_pending(batch_run *r, sqlite_item *item) {
  item->version = item->unit_version;
  if (!item->is_pending) {
    item->is_pending = true;
    item->pending = NULL;
    if (r->last) {
      r->last->pending = item;
    } else {
      r->first = item;
    }
    r->last = item;
  }
}

/* The unit passed: its key goes to the file, its events wait for others, its rows and checkpoints for the batch's end.
 */
static int apply(batch_run *r, cafe_unit *unit, bool key_is_there) {
  sqlite_item **touched = r->touched;
  for (uint32_t i = 0; i < unit->event_count; i++, touched++) {
    int code = write_event(r, &unit->events[i]);
    if (code != CAFE_OK) {
      return code;
    }
    (*touched)->is_guess = false;
    (*touched)->version = (*touched)->stored = unit->events[i].version;
  }
  for (uint32_t i = 0; i < unit->row_count; i++, touched++) {
    (*touched)->write.row = &unit->rows[i];
    make_pending(r, *touched);
  }
  for (uint32_t i = 0; i < unit->checkpoint_count; i++, touched++) {
    (*touched)->write.checkpoint = &unit->checkpoints[i];
    make_pending(r, *touched);
  }
  return unit->client_key ? write_key(r, unit->client_key, key_is_there) : CAFE_OK;
}

/* One of the statements that write a row, guarded by the version that is there. *count: the rows that it found. */
static int write_row(batch_run *r, const sqlite_item *item, sqlite_row_statement which, int *count) {
  sqlite_store *store = r->store;
  sqlite_table *table = &store->tables[item->place];
  const cafe_row_write *write = item->write.row;
  sqlite3_stmt *statement;
  int code = sqlite_row_statement_of(store, store->writer, table, which, &statement, r->err);
  if (code == CAFE_OK && write->data) {
    code = sqlite_bind_row(statement, table->table, write->key, write->sub, item->version, write->data, r->err);
  }
  if (code != CAFE_OK) {
    return code;
  }
  if (!write->data) {
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)write->key);
    if (table->table->sub_name) {
      sqlite3_bind_int64(statement, 2, (sqlite3_int64)write->sub);
    }
  }
  if (which != ROW_INSERT) {
    sqlite3_bind_int64(statement, sqlite3_bind_parameter_count(statement), (sqlite3_int64)item->stored);
  }
  code = run(statement);
  *count = sqlite3_changes(store->writer);
  return code == SQLITE_OK ? CAFE_OK : fail_write(r, code, "writing a row");
}

/* An update of a column with an index, even to the value that it has, rewrites the index's entry: a page of its own for
 * each row, where the index is in another order than the keys. So it is tried first without those columns, on condition
 * that they stay as they are. */
static int put_row(batch_run *r, const sqlite_item *item) {
  const cafe_row_write *write = item->write.row;
  const cafe_table *table = write->table;
  if (!write->data && item->stored == 0) {
    /* It came and went within the batch. No write proves a guess then. */
    return item->is_guess ? GUESSED_WRONG : CAFE_OK;
  }
  int code = CAFE_OK;
  int count = 0;
  if (write->data && item->stored != 0 && table->indexes && table->indexes[0]) {
    code = write_row(r, item, ROW_KEEP, &count);
  }
  if (code == CAFE_OK && count == 0) {
    code = write_row(r, item, !write->data ? ROW_REMOVE : item->stored == 0 ? ROW_INSERT : ROW_UPDATE, &count);
  }
  return code == CAFE_OK && count != 1 ? fail_write(r, SQLITE_CONSTRAINT, "writing a row") : code;
}

static int put_checkpoint(batch_run *r, const sqlite_item *item) {
  sqlite3_stmt *statement;
  int code = batch_statement(r->store, WRITER_CHECKPOINT_PUT, &statement, r->err);
  if (code != CAFE_OK) {
    return code;
  }
  batch_bind_checkpoint(statement, item->write.checkpoint);
  sqlite3_bind_int64(statement, 5, (sqlite3_int64)item->version);
  code = run(statement);
  return code == SQLITE_OK ? CAFE_OK : fail_write(r, code, "moving a checkpoint");
}

static int put_pending(batch_run *r) {
  for (sqlite_item *item = r->first; item; item = item->pending) {
    int code = item->kind == KNOWN_ROW ? put_row(r, item) : put_checkpoint(r, item);
    if (code != CAFE_OK) {
      return code;
    }
  }
  return CAFE_OK;
}

/* ---- the transaction ---- */

static int read_head(sqlite_store *store, cafe_err *err) {
  sqlite3_stmt *statement;
  int code = batch_statement(store, WRITER_HEAD, &statement, err);
  return code == CAFE_OK ? batch_ask(store, statement, &store->head, err) : code;
}

/* Somebody else wrote to the file: what is known of it is void. */
static int notice_others(sqlite_store *store, cafe_err *err) {
  sqlite3_stmt *statement;
  uint64_t version = 0;
  int code = batch_statement(store, WRITER_DATA_VERSION, &statement, err);
  if (code == CAFE_OK) {
    code = batch_ask(store, statement, &version, err);
  }
  if (code == CAFE_OK && (int64_t)version != store->data_version) {
    sqlite_known_clear(store->known);
    code = read_head(store, err);
    store->data_version = code == CAFE_OK ? (int64_t)version : 0;
  }
  return code;
}

static int write_batch(batch_run *r) {
  for (uint32_t i = 0; i < r->batch->unit_count; i++) {
    cafe_unit *unit = r->batch->units[i];
    bool key_is_there = false;
    r->unit++;
    int code = batch_judge(r, unit, &key_is_there);
    if (code == CAFE_OK && unit->result == CAFE_UNIT_DONE) {
      code = apply(r, unit, key_is_there);
    }
    if (code != CAFE_OK) {
      return code;
    }
  }
  int code = flush_events(r);
  return code == CAFE_OK ? put_pending(r) : code;
}

/* Room for the items of the batch's largest unit. */
static int make_room(batch_run *r) {
  size_t most = 1;
  for (uint32_t i = 0; i < r->batch->unit_count; i++) {
    const cafe_unit *unit = r->batch->units[i];
    size_t count = (size_t)unit->event_count + unit->row_count + unit->checkpoint_count;
    most = count > most ? count : most;
  }
  r->touched = cafe_arena_alloc(r->batch->arena, most * sizeof(sqlite_item *));
  return r->touched ? CAFE_OK : sqlite_no_memory(r->err);
}

/* Nothing of the batch is written. */
static void roll_back(sqlite_store *store) {
  if (!sqlite3_get_autocommit(store->writer)) {
    sqlite3_stmt *statement;
    if (batch_statement(store, WRITER_ROLLBACK, &statement, NULL) != CAFE_OK || run(statement) != SQLITE_OK) {
      sqlite3_exec(store->writer, "ROLLBACK", NULL, NULL, NULL);
    }
    if (!sqlite3_get_autocommit(store->writer)) {
      atomic_store(&store->refuses, true);
    }
  }
  /* Items and the head hold what is gone now: the next batch begins by forgetting them (notice_others). */
  store->data_version = 0;
}

/* Whatever SQLite called it: the batch may be durable, and the text says why nobody knows. */
static int fail_unknown(cafe_err *err) {
  if (err) {
    err->code = CAFE_UNAVAILABLE;
  }
  return CAFE_UNAVAILABLE;
}

/* A file that somebody has moved or removed while it is open takes writes as before, and nobody will find them. */
static int check_there(sqlite_store *store, cafe_err *err) {
  int is_gone = 0;
  sqlite3_file_control(store->writer, "main", SQLITE_FCNTL_HAS_MOVED, &is_gone);
  if (!is_gone) {
    return CAFE_OK;
  }
  atomic_store(&store->refuses, true);
  return cafe_fail(
      err, CAFE_UNAVAILABLE,
      "%s was moved or removed while it was open: put it back, then open it anew: what was acknowledged is "
      "in it and in the files beside it.",
      sqlite_short(store->path));
}

int sqlite_transact(sqlite_store *store, int (*write)(sqlite_store *store, void *user, cafe_err *err), void *user,
                    cafe_err *err) {
  int code = run_plain(store, WRITER_BEGIN, "beginning to write", err);
  if (code == CAFE_OK) {
    code = notice_others(store, err);
  }
  if (code == CAFE_OK) {
    code = write(store, user, err);
  }
  if (code != CAFE_OK) {
    roll_back(store);
    return code;
  }
  code = run_plain(store, WRITER_COMMIT, "making a batch durable", err);
  if (code != CAFE_OK) {
    bool is_full = (sqlite3_extended_errcode(store->writer) & 0xff) == SQLITE_FULL;
    roll_back(store);
    if (!is_full) {
      atomic_store(&store->refuses, true);
      code = fail_unknown(err);
    }
  }
  return code == CAFE_OK ? check_there(store, err) : code;
}

static int write_all(sqlite_store *store, void *user, cafe_err *err) {
  batch_run *r = user;
  r->first = r->last = NULL;
  r->event_count = 0;
  int code = r->replacement ? sqlite_replace_begin(store, r->replacement, err) : CAFE_OK;
  if (code == CAFE_OK) {
    code = write_batch(r);
  }
  if (code != CAFE_OK || !r->replacement) {
    return code;
  }
  return r->replacement->unit->result == CAFE_UNIT_DONE ? sqlite_replace_end(store, r->replacement, err) : NOT_REPLACED;
}

static int try_batch(batch_run *r) { return sqlite_transact(r->store, write_all, r, r->err); }

static void settle_pending(const batch_run *r) {
  for (sqlite_item *item = r->first; item; item = item->pending) {
    item->stored = item->version;
    item->is_pending = false;
    item->is_guess = false;
  }
}

/* A checkpoint that fails does no harm: the WAL has everything, grows, and the next one does the work. */
static void copy_wal(sqlite_store *store) {
  if (store->wal_frames >= WAL_PAGES) {
    sqlite3_wal_checkpoint_v2(store->writer, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  }
}

static void testify(sqlite_store *store) {
  sqlite3_file *wal = NULL;
  unsigned char frame[24];
  sqlite3_int64 offset = 32 + (sqlite3_int64)(store->wal_frames - 1) * (24 + FILE_PAGE_SIZE);
  if (store->sync != CAFE_SQLITE_FULL || store->wal_frames <= 0 ||
      sqlite3_file_control(store->writer, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) != SQLITE_OK || !wal ||
      !wal->pMethods || wal->pMethods->xRead(wal, frame, sizeof(frame), offset) != SQLITE_OK) {
    return;
  }
  sqlite_witness witness = {.log_id = store->log_id, .head = store->head, .frames = (uint32_t)store->wal_frames};
  for (size_t i = 0; i < 2; i++) {
    witness.salt[i] = sqlite_big(frame + 8 + 4 * i);
    witness.checksum[i] = sqlite_big(frame + 16 + 4 * i);
  }
  sqlite_lock_write(&store->lock, store, &witness, false, NULL);
}

void sqlite_testify(sqlite_store *store) {
  testify(store);
  copy_wal(store);
}

int sqlite_write(sqlite_store *store, cafe_batch *batch, const cafe_replacement *replacement, cafe_err *err) {
  batch_run r = {.store = store, .batch = batch, .replacement = replacement, .err = err, .unit = store->units};
  int code = sqlite_check_usable(store, err);
  if (code == CAFE_OK) {
    code = store_batch_check(batch, err);
  }
  if (code == CAFE_OK) {
    code = make_room(&r);
  }
  if (code != CAFE_OK) {
    return code;
  }
  sqlite_known_trim(store->known);
  if (replacement || store->units > UINT32_MAX / 2) {
    /* A replacement changes what is known of rows and checkpoints without naming them. And items remember the unit that
     * they were in: none may meet its number again. */
    sqlite_known_clear(store->known);
    r.unit = 0;
  }
  code = try_batch(&r);
  if (code == GUESSED_WRONG) {
    r.asks = true;
    code = try_batch(&r);
  }
  store->units = r.unit;
  if (code == NOT_REPLACED) {
    return CAFE_OK; /* the unit's result tells */
  }
  if (code != CAFE_OK) {
    for (uint32_t i = 0; i < batch->unit_count; i++) {
      batch->units[i]->result = CAFE_UNIT_OPEN;
    }
    return code;
  }
  if (replacement) {
    sqlite_known_clear(store->known);
  } else {
    settle_pending(&r);
  }
  sqlite_testify(store);
  return CAFE_OK;
}

int sqlite_commit(cafe_store *self, cafe_batch *batch, cafe_err *err) {
  return sqlite_write((sqlite_store *)self, batch, NULL, err);
}

int sqlite_writer_begin(sqlite_store *store, cafe_err *err) { return notice_others(store, err); }
