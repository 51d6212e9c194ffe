/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The read lane: a connection of its own, read-only, so that each method sees one snapshot, a prefix of the log, while
 * the writer goes on. No event leaves here whose checksum isn't its row's, and no position is passed over: in a log
 * without gaps a missing row is damage too.
 *
 * Every statement is reset before its method returns: one that isn't holds its snapshot, and the WAL could never begin
 * anew.
 */
#include <stdio.h>

#include "store/sqlite_store.h"

enum { SCANNED_MAX = 4096 }; /* rows looked at in one call that wants few of them: some milliseconds */

#define EVENT_COLUMNS "position, \"key\", aggregate, version, type, time_ms, trace, data, meta, checksum"

static const char *const sql_of[READER_STATEMENTS] = {
    [READER_BEGIN] = "BEGIN",
    [READER_END] = "COMMIT",
    [READER_HEAD] = "SELECT max(position) FROM events",
    [READER_STREAMS] = "SELECT " EVENT_COLUMNS " FROM events WHERE \"key\" = ?1 ORDER BY position",
    [READER_LOG] = "SELECT " EVENT_COLUMNS " FROM events WHERE position > ?1 ORDER BY position LIMIT ?2",
    [READER_KEY] = "SELECT fingerprint, stream_key, reply FROM client_keys WHERE scope = ?1 AND \"key\" = ?2",
    [READER_CHECKPOINTS] = "SELECT log_id, shard, \"partition\", n FROM checkpoints WHERE subscription = ?1",
};

static int statement_of(sqlite_store *store, sqlite_reader_statement which, sqlite3_stmt **out, cafe_err *err) {
  int code = sqlite_prepare(store, store->reader, &store->reader_statements[which], sql_of[which], err);
  *out = store->reader_statements[which];
  return code;
}

/* *has_row, or the statement's end, or a failure; `what` and `number` then tell how far the reading got. */
static int step_at(const sqlite_store *store, sqlite3_stmt *statement, bool *has_row, const char *what, uint64_t number,
                   cafe_err *err) {
  int code = sqlite_step(statement);
  *has_row = code == SQLITE_ROW;
  if (code == SQLITE_ROW || code == SQLITE_DONE) {
    return CAFE_OK;
  }
  char doing[96];
  snprintf(doing, sizeof(doing), "reading %.60s %llu", what, (unsigned long long)number);
  return sqlite_fail(store, store->reader, err, doing);
}

static int step(const sqlite_store *store, sqlite3_stmt *statement, bool *has_row, cafe_err *err) {
  int code = sqlite_step(statement);
  *has_row = code == SQLITE_ROW;
  return code == SQLITE_ROW || code == SQLITE_DONE ? CAFE_OK : sqlite_fail(store, store->reader, err, "reading");
}

static int begin(sqlite_store *store, cafe_err *err) {
  sqlite3_stmt *statement;
  bool has_row;
  int code = sqlite_check_usable(store, err);
  if (code == CAFE_OK) {
    code = statement_of(store, READER_BEGIN, &statement, err);
  }
  if (code == CAFE_OK) {
    code = step(store, statement, &has_row, err);
    sqlite3_reset(statement);
  }
  return code;
}

static void end(sqlite_store *store) {
  sqlite3_stmt *statement;
  if (!sqlite3_get_autocommit(store->reader)) {
    if (statement_of(store, READER_END, &statement, NULL) == CAFE_OK) {
      sqlite3_step(statement);
      sqlite3_reset(statement);
    }
    if (!sqlite3_get_autocommit(store->reader)) {
      sqlite3_exec(store->reader, "ROLLBACK", NULL, NULL, NULL);
    }
  }
}

/* ---- events ---- */

static const char *text_of(sqlite3_stmt *statement, int column) {
  const unsigned char *text = sqlite3_column_text(statement, column);
  return text ? (const char *)text : "";
}

/* The event that the statement stands on. BORROW: until it moves. */
static int read_event(const sqlite_store *store, cafe_stored_event *out, sqlite3_stmt *statement, cafe_err *err) {
  out->n = (uint64_t)sqlite3_column_int64(statement, 0);
  out->key = (uint64_t)sqlite3_column_int64(statement, 1);
  out->aggregate = text_of(statement, 2);
  out->version = (uint64_t)sqlite3_column_int64(statement, 3);
  out->type = text_of(statement, 4);
  out->time_ms = sqlite3_column_int64(statement, 5);
  out->trace = sqlite_column_slice(statement, 6);
  out->data = sqlite_column_slice(statement, 7);
  out->meta = sqlite_column_slice(statement, 8);
  out->shard = 0;
  memset(out->reserved, 0, sizeof(out->reserved));
  if (sqlite3_column_int64(statement, 9) != sqlite_checksum(out)) {
    return cafe_fail(
        err, CAFE_CORRUPT,
        "%s: the event at position %llu (key %llu) isn't what was written: restore the file from a backup.",
        sqlite_short(store->path), (unsigned long long)out->n, (unsigned long long)out->key);
  }
  return CAFE_OK;
}

static int read_streams(sqlite_store *store, uint64_t key, cafe_event_sink on_event, void *user, cafe_err *err) {
  sqlite3_stmt *statement;
  bool has_row = false;
  int code = statement_of(store, READER_STREAMS, &statement, err);
  if (code != CAFE_OK) {
    return code;
  }
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)key);
  while ((code = step_at(store, statement, &has_row, "the events of key", key, err)) == CAFE_OK && has_row) {
    cafe_stored_event event;
    code = read_event(store, &event, statement, err);
    if (code == CAFE_OK) {
      code = on_event(&event, user);
    }
    if (code != CAFE_OK) {
      break;
    }
  }
  sqlite3_reset(statement);
  return code;
}

static int hand_rows(sqlite_store *store, const cafe_table *table, sqlite3_stmt *statement, cafe_row_sink on_row,
                     void *user, cafe_err *err) {
  bool has_row = false;
  int code;
  uint64_t key = 0;
  while ((code = step_at(store, statement, &has_row, table->name, key, err)) == CAFE_OK && has_row) {
    uint64_t sub;
    uint64_t version;
    code = sqlite_read_row(store, &key, &sub, &version, store->row, statement, table, err);
    if (code == CAFE_OK) {
      code = on_row(table, key, sub, version, store->row, user);
    }
    if (code != CAFE_OK) {
      break;
    }
  }
  sqlite3_reset(statement);
  return code;
}

static int load_rows(sqlite_store *store, sqlite_table *table, uint64_t key, cafe_row_sink on_row, void *user,
                     cafe_err *err) {
  sqlite3_stmt *statement;
  int code = sqlite_row_statement_of(store, store->reader, table, ROW_LOAD, &statement, err);
  if (code == CAFE_OK) {
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)key);
    code = hand_rows(store, table->table, statement, on_row, user, err);
  }
  return code;
}

int sqlite_load(cafe_store *self, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row, void *user,
                cafe_err *err) {
  sqlite_store *store = (sqlite_store *)self;
  int code = begin(store, err);
  if (code != CAFE_OK) {
    return code;
  }
  code = read_streams(store, key, on_event, user, err);
  for (uint32_t i = 0; code == CAFE_OK && i < store->table_count; i++) {
    if (store->tables[i].table->is_loaded) {
      code = load_rows(store, &store->tables[i], key, on_row, user, err);
    }
  }
  end(store);
  return code;
}

/* ---- the log ---- */

static bool is_wanted(const char *const *types, const char *type) {
  if (!types) {
    return true;
  }
  for (; *types; types++) {
    if (strcmp(*types, type) == 0) {
      return true;
    }
  }
  return false;
}

static int read_head(sqlite_store *store, uint64_t *out, cafe_err *err) {
  sqlite3_stmt *statement;
  bool has_row = false;
  int code = statement_of(store, READER_HEAD, &statement, err);
  if (code == CAFE_OK) {
    code = step(store, statement, &has_row, err);
    *out = has_row ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
  }
  return code;
}

/* The event behind query->scanned, unless the statement has come to its limit. There must be one: the head is beyond.
 */
static int next_logged(sqlite_store *store, const cafe_log_query *query, sqlite3_stmt *statement, uint64_t most,
                       cafe_stored_event *out, bool *has_event, cafe_err *err) {
  int code = step_at(store, statement, has_event, "the log behind position", query->scanned, err);
  if (code != CAFE_OK || (!*has_event && query->scanned - query->after >= most)) {
    return code;
  }
  uint64_t wanted = query->scanned + 1;
  if (!*has_event || (uint64_t)sqlite3_column_int64(statement, 0) != wanted) {
    return cafe_fail(err, CAFE_CORRUPT, "%s: the log has no position %llu: restore the file from a backup.",
                     sqlite_short(store->path), (unsigned long long)wanted);
  }
  return read_event(store, out, statement, err);
}

static int scan(sqlite_store *store, cafe_log_query *query, uint64_t until, cafe_event_sink on_event, void *user,
                cafe_err *err) {
  sqlite3_stmt *statement;
  int code = statement_of(store, READER_LOG, &statement, err);
  if (code != CAFE_OK) {
    return code;
  }
  uint32_t left = query->limit;
  uint32_t most = query->types && query->limit < SCANNED_MAX ? SCANNED_MAX : query->limit;
  uint64_t last = until < query->head ? until : query->head;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)query->after);
  sqlite3_bind_int64(statement, 2, most);
  while (code == CAFE_OK && left > 0 && query->scanned < last) {
    bool has_event = false;
    cafe_stored_event event = {.type = ""};
    code = next_logged(store, query, statement, most, &event, &has_event, err);
    if (code != CAFE_OK || !has_event) {
      break;
    }
    if (is_wanted(query->types, event.type)) {
      code = on_event(&event, user);
      left--;
    }
    if (code == CAFE_OK) {
      query->scanned = event.n;
    }
  }
  sqlite3_reset(statement);
  return code;
}

/* In a transaction. */
static int read_log(sqlite_store *store, cafe_log_query *query, uint64_t until, cafe_event_sink on_event, void *user,
                    cafe_err *err) {
  int code = read_head(store, &query->head, err);
  if (code == CAFE_OK && query->after > query->head) {
    code =
        cafe_fail(err, CAFE_INVALID,
                  "%s: position %llu is beyond the log's end, %llu: it is of another log, or of one that was restored.",
                  sqlite_short(store->path), (unsigned long long)query->after, (unsigned long long)query->head);
  }
  return code == CAFE_OK ? scan(store, query, until, on_event, user, err) : code;
}

static int begin_log(sqlite_store *store, cafe_log_query *query, cafe_err *err) {
  query->scanned = query->after;
  query->head = 0;
  if (query->shard != 0) {
    return cafe_fail(err, CAFE_INVALID, "%s has one shard, 0, and no shard %u.", sqlite_short(store->path),
                     (unsigned)query->shard);
  }
  return begin(store, err);
}

int sqlite_read_log(cafe_store *self, cafe_log_query *query, cafe_event_sink on_event, void *user, cafe_err *err) {
  sqlite_store *store = (sqlite_store *)self;
  int code = begin_log(store, query, err);
  if (code == CAFE_OK) {
    code = read_log(store, query, UINT64_MAX, on_event, user, err);
    end(store);
  }
  return code;
}

int sqlite_read_changes(cafe_store *self, cafe_change_query *query, cafe_event_sink on_event, cafe_row_sink on_row,
                        void *user, cafe_err *err) {
  sqlite_store *store = (sqlite_store *)self;
  sqlite_table *table = sqlite_find_table(store, query->table);
  if (!table || sqlite_is_shadow(store, table)) {
    return sqlite_unknown_table(query->table, err);
  }
  int code = begin_log(store, query->log, err);
  if (code != CAFE_OK) {
    return code;
  }
  code = read_log(store, query->log, query->until, on_event, user, err);
  for (uint32_t i = 0; i < query->key_count && code == CAFE_OK; i++) {
    code = load_rows(store, table, query->keys[i], on_row, user, err);
  }
  end(store);
  return code;
}

/* ---- rows ---- */

static int check_query(const sqlite_store *store, const cafe_row_query *query, cafe_err *err) {
  const cafe_table *table = query->table;
  if (!sqlite_find_table(store, table)) {
    return sqlite_unknown_table(table, err);
  }
  int fields = (int)table->row->field_count;
  for (uint32_t i = 0; i < query->condition_count; i++) {
    if (query->conditions[i].column < -2 || query->conditions[i].column >= fields) {
      return cafe_fail(err, CAFE_INVALID, "The table %s has no column %d.", table->name, query->conditions[i].column);
    }
  }
  if (query->order_by < -1 || query->order_by >= fields) {
    return cafe_fail(err, CAFE_INVALID, "The table %s has no column %d to order by.", table->name, query->order_by);
  }
  if (query->order_by >= 0 && (query->after_key || query->after_sub)) {
    return cafe_fail(err, CAFE_INVALID, "Rows ordered by a column can't be read on from a key.");
  }
  return CAFE_OK;
}

/* The statement of that text, kept from before or in the place of the oldest. Takes sql. */
static int list_statement(sqlite_store *store, char *sql, sqlite3_stmt **out, cafe_err *err) {
  if (!sql) {
    return sqlite_no_memory(err);
  }
  for (uint32_t i = 0; i < LISTS_KEPT; i++) {
    if (store->lists[i].sql && strcmp(store->lists[i].sql, sql) == 0) {
      sqlite3_free(sql);
      *out = store->lists[i].statement;
      return CAFE_OK;
    }
  }
  sqlite_list *list = &store->lists[store->next_list];
  sqlite3_finalize(list->statement);
  sqlite3_free(list->sql);
  *list = (sqlite_list){NULL, NULL};
  int code = sqlite_prepare(store, store->reader, &list->statement, sql, err);
  if (code != CAFE_OK) {
    sqlite3_free(sql);
    return code;
  }
  store->next_list = (store->next_list + 1) % LISTS_KEPT;
  list->sql = sql;
  *out = list->statement;
  return CAFE_OK;
}

static int bind_conditions(sqlite3_stmt *statement, const cafe_row_query *query, cafe_err *err) {
  const cafe_table *table = query->table;
  int place = 1;
  for (uint32_t i = 0; i < query->condition_count; i++, place++) {
    const cafe_condition *condition = &query->conditions[i];
    const cafe_field *field = condition->column >= 0 ? &table->row->fields[condition->column] : NULL;
    if (!field) {
      sqlite3_bind_int64(statement, place, condition->value.number);
      continue;
    }
    int code = sqlite_bind_value(statement, place, field, &condition->value, err);
    if (code != CAFE_OK) {
      return code;
    }
  }
  if (query->after_key || query->after_sub) {
    sqlite3_bind_int64(statement, place++, (sqlite3_int64)query->after_key);
    if (table->sub_name) {
      sqlite3_bind_int64(statement, place++, (sqlite3_int64)query->after_sub);
    }
  }
  sqlite3_bind_int64(statement, place, query->limit);
  return CAFE_OK;
}

int sqlite_read_rows(cafe_store *self, const cafe_row_query *query, cafe_row_sink on_row, void *user, cafe_err *err) {
  sqlite_store *store = (sqlite_store *)self;
  sqlite3_stmt *statement = NULL;
  int code = sqlite_check_usable(store, err);
  if (code == CAFE_OK) {
    code = check_query(store, query, err);
  }
  if (code == CAFE_OK) {
    code = list_statement(store, sqlite_sql_list(query), &statement, err);
  }
  if (code == CAFE_OK) {
    code = bind_conditions(statement, query, err);
  }
  if (code == CAFE_OK) {
    code = hand_rows(store, query->table, statement, on_row, user, err);
  }
  return code;
}

/* ---- clients' keys and checkpoints ---- */

int sqlite_read_key_columns(cafe_key_record *out, sqlite3_stmt *statement, cafe_slice fingerprint, cafe_arena *arena,
                            cafe_err *err) {
  memset(out, 0, sizeof(*out));
  out->found = true;
  out->same_request = cafe_slice_equal(sqlite_column_slice(statement, 0), fingerprint);
  out->stream_key = (uint64_t)sqlite3_column_int64(statement, 1);
  out->has_reply = sqlite3_column_type(statement, 2) != SQLITE_NULL;
  return cafe_arena_copy(&out->reply, arena, sqlite_column_slice(statement, 2)) == CAFE_OK ? CAFE_OK
                                                                                           : sqlite_no_memory(err);
}

int sqlite_read_key(cafe_store *self, cafe_key_record *out, cafe_slice scope, cafe_slice key, cafe_slice fingerprint,
                    cafe_arena *arena, cafe_err *err) {
  sqlite_store *store = (sqlite_store *)self;
  memset(out, 0, sizeof(*out));
  sqlite3_stmt *statement;
  bool has_row = false;
  int code = sqlite_check_usable(store, err);
  if (code == CAFE_OK) {
    code = statement_of(store, READER_KEY, &statement, err);
  }
  if (code != CAFE_OK) {
    return code;
  }
  sqlite_bind_text(statement, 1, scope);
  sqlite_bind_text(statement, 2, key);
  code = step(store, statement, &has_row, err);
  if (code == CAFE_OK && has_row) {
    code = sqlite_read_key_columns(out, statement, fingerprint, arena, err);
  }
  sqlite3_reset(statement);
  return code;
}

int sqlite_read_checkpoints(cafe_store *self, const char *subscription, cafe_checkpoint_sink on_checkpoint, void *user,
                            cafe_err *err) {
  sqlite_store *store = (sqlite_store *)self;
  sqlite3_stmt *statement;
  bool has_row = false;
  int code = sqlite_check_usable(store, err);
  if (code == CAFE_OK) {
    code = statement_of(store, READER_CHECKPOINTS, &statement, err);
  }
  if (code != CAFE_OK) {
    return code;
  }
  sqlite_bind_text(statement, 1, cafe_text(subscription));
  while ((code = step(store, statement, &has_row, err)) == CAFE_OK && has_row) {
    cafe_checkpoint checkpoint = {.subscription = subscription};
    checkpoint.log_id = (uint64_t)sqlite3_column_int64(statement, 0);
    checkpoint.shard = (uint32_t)sqlite3_column_int64(statement, 1);
    checkpoint.partition = sqlite3_column_int(statement, 2);
    checkpoint.n = (uint64_t)sqlite3_column_int64(statement, 3);
    code = on_checkpoint(&checkpoint, user);
    if (code != CAFE_OK) {
      break;
    }
  }
  sqlite3_reset(statement);
  return code;
}
