/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A table as SQL. What is kept here: columns stand everywhere in one order, that of the schema's fields behind the keys
 * and the version, and names are quoted, so that a table may be called as it likes.
 */
#include <string.h>

#include "store/sqlite_store.h"

const char sqlite_version_name[] = "row_version";

const char *sqlite_column_type(const cafe_field *field) {
  switch (field->type) {
  case CAFE_FIELD_TEXT:
  case CAFE_FIELD_ENUM:
    return "TEXT";
  case CAFE_FIELD_BYTES:
    return "BLOB";
  default:
    return "INTEGER";
  }
}

void sqlite_append_column(sqlite3_str *sql, const cafe_field *field) {
  sqlite3_str_appendf(sql, "\"%w\" %s NOT NULL DEFAULT ", field->name, sqlite_column_type(field));
  switch (field->type) {
  case CAFE_FIELD_TEXT:
    sqlite3_str_appendall(sql, "''");
    break;
  case CAFE_FIELD_ENUM:
    sqlite3_str_appendf(sql, "%Q", field->names[0] ? field->names[0] : "");
    break;
  case CAFE_FIELD_BYTES:
    sqlite3_str_appendall(sql, "x''");
    break;
  default:
    sqlite3_str_appendall(sql, "0");
    break;
  }
}

char *sqlite_sql_create(const cafe_table *table) {
  sqlite3_str *sql = sqlite3_str_new(NULL);
  sqlite3_str_appendf(sql, "CREATE TABLE \"%w\"(\"%w\" INTEGER%s", table->name, table->key_name,
                      table->sub_name ? " NOT NULL" : " PRIMARY KEY");
  if (table->sub_name) {
    sqlite3_str_appendf(sql, ", \"%w\" INTEGER NOT NULL", table->sub_name);
  }
  sqlite3_str_appendf(sql, ", %s INTEGER NOT NULL", sqlite_version_name);
  for (uint32_t i = 0; i < table->row->field_count; i++) {
    sqlite3_str_appendall(sql, ", ");
    sqlite_append_column(sql, &table->row->fields[i]);
  }
  if (table->sub_name) {
    sqlite3_str_appendf(sql, ", PRIMARY KEY(\"%w\", \"%w\")) WITHOUT ROWID", table->key_name, table->sub_name);
  } else {
    sqlite3_str_appendall(sql, ")");
  }
  return sqlite3_str_finish(sql);
}

/* "key", "sub", row_version, fields: the order of sqlite_bind_row and sqlite_read_row. */
static void append_columns(sqlite3_str *sql, const cafe_table *table) {
  sqlite3_str_appendf(sql, "\"%w\"", table->key_name);
  if (table->sub_name) {
    sqlite3_str_appendf(sql, ", \"%w\"", table->sub_name);
  }
  sqlite3_str_appendf(sql, ", %s", sqlite_version_name);
  for (uint32_t i = 0; i < table->row->field_count; i++) {
    sqlite3_str_appendf(sql, ", \"%w\"", table->row->fields[i].name);
  }
}

/* The row by its keys, the first parameters. */
static void append_where(sqlite3_str *sql, const cafe_table *table) {
  sqlite3_str_appendf(sql, " WHERE \"%w\" = ?1", table->key_name);
  if (table->sub_name) {
    sqlite3_str_appendf(sql, " AND \"%w\" = ?2", table->sub_name);
  }
}

static void sql_insert(sqlite3_str *sql, const cafe_table *table) {
  sqlite3_str_appendf(sql, "INSERT INTO \"%w\"(", table->name);
  append_columns(sql, table);
  sqlite3_str_appendall(sql, ") VALUES(?, ?");
  for (uint32_t i = table->sub_name ? 0 : 1; i < table->row->field_count + 1; i++) {
    sqlite3_str_appendall(sql, ", ?");
  }
  sqlite3_str_appendall(sql, ")");
}

static bool has_index(const cafe_table *table, const cafe_field *field) {
  for (const char *const *index = table->indexes; index && *index; index++) {
    if (strcmp(*index, field->name) == 0) {
      return true;
    }
  }
  return false;
}

/* Parameters: the keys, the new version, all fields, the version that must be there. */
static void sql_update(sqlite3_str *sql, const cafe_table *table, bool keeps) {
  int first = table->sub_name ? 3 : 2;
  int last = first + 1 + (int)table->row->field_count;
  sqlite3_str_appendf(sql, "UPDATE \"%w\" SET %s = ?%d", table->name, sqlite_version_name, first);
  for (uint32_t i = 0; i < table->row->field_count; i++) {
    const cafe_field *field = &table->row->fields[i];
    if (!keeps || !has_index(table, field)) {
      sqlite3_str_appendf(sql, ", \"%w\" = ?%d", field->name, first + 1 + (int)i);
    }
  }
  append_where(sql, table);
  sqlite3_str_appendf(sql, " AND %s = ?%d", sqlite_version_name, last);
  for (uint32_t i = 0; keeps && i < table->row->field_count; i++) {
    const cafe_field *field = &table->row->fields[i];
    if (has_index(table, field)) {
      sqlite3_str_appendf(sql, " AND \"%w\" = ?%d", field->name, first + 1 + (int)i);
    }
  }
}

static char *sql_of(const cafe_table *table, sqlite_row_statement which) {
  sqlite3_str *sql = sqlite3_str_new(NULL);
  switch (which) {
  case ROW_VERSION:
    sqlite3_str_appendf(sql, "SELECT %s FROM \"%w\"", sqlite_version_name, table->name);
    append_where(sql, table);
    break;
  case ROW_INSERT:
    sql_insert(sql, table);
    break;
  case ROW_UPDATE:
  case ROW_KEEP:
    sql_update(sql, table, which == ROW_KEEP);
    break;
  case ROW_REMOVE:
    sqlite3_str_appendf(sql, "DELETE FROM \"%w\"", table->name);
    append_where(sql, table);
    sqlite3_str_appendf(sql, " AND %s = ?%d", sqlite_version_name, table->sub_name ? 3 : 2);
    break;
  case ROW_LOAD:
  case ROW_STATEMENTS:
    sqlite3_str_appendall(sql, "SELECT ");
    append_columns(sql, table);
    sqlite3_str_appendf(sql, " FROM \"%w\" WHERE \"%w\" = ?1", table->name, table->key_name);
    if (table->sub_name) {
      sqlite3_str_appendf(sql, " ORDER BY \"%w\"", table->sub_name);
    }
    break;
  }
  return sqlite3_str_finish(sql);
}

int sqlite_row_statement_of(const sqlite_store *store, sqlite3 *db, sqlite_table *table, sqlite_row_statement which,
                            sqlite3_stmt **out, cafe_err *err) {
  sqlite3_stmt **kept = &table->statements[which];
  int code = CAFE_OK;
  if (!*kept) {
    char *sql = sql_of(table->table, which);
    code = sql ? sqlite_prepare(store, db, kept, sql, err) : sqlite_no_memory(err);
    sqlite3_free(sql);
  }
  *out = *kept;
  return code;
}

/* -1 the key, -2 the sub; a table without one has 0 there. */
static void append_name(sqlite3_str *sql, const cafe_table *table, int column) {
  if (column == -2 && !table->sub_name) {
    sqlite3_str_appendall(sql, "0");
    return;
  }
  sqlite3_str_appendf(sql, "\"%w\"",
                      column == -1   ? table->key_name
                      : column == -2 ? table->sub_name
                                     : table->row->fields[column].name);
}

/* Parameters: the conditions' values in their order, then after_key and after_sub if there is one, then the limit. */
char *sqlite_sql_list(const cafe_row_query *query) {
  const cafe_table *table = query->table;
  sqlite3_str *sql = sqlite3_str_new(NULL);
  sqlite3_str_appendall(sql, "SELECT ");
  append_columns(sql, table);
  sqlite3_str_appendf(sql, " FROM \"%w\"", table->name);
  const char *joint = " WHERE ";
  for (uint32_t i = 0; i < query->condition_count; i++) {
    const cafe_condition *condition = &query->conditions[i];
    sqlite3_str_appendall(sql, joint);
    append_name(sql, table, condition->column);
    sqlite3_str_appendall(sql, condition->at_most ? " <= ?" : " = ?");
    joint = " AND ";
  }
  if (query->after_key || query->after_sub) {
    sqlite3_str_appendall(sql, joint);
    if (table->sub_name) {
      sqlite3_str_appendf(sql, "(\"%w\", \"%w\") > (?, ?)", table->key_name, table->sub_name);
    } else {
      sqlite3_str_appendf(sql, "\"%w\" > ?", table->key_name);
    }
  }
  sqlite3_str_appendall(sql, " ORDER BY ");
  if (query->order_by >= 0) {
    append_name(sql, table, query->order_by);
    sqlite3_str_appendall(sql, ", ");
  }
  sqlite3_str_appendf(sql, "\"%w\"", table->key_name);
  if (table->sub_name) {
    sqlite3_str_appendf(sql, ", \"%w\"", table->sub_name);
  }
  sqlite3_str_appendall(sql, " LIMIT ?");
  return sqlite3_str_finish(sql);
}
