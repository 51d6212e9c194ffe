/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Between a struct described by its field table and a row of SQL. What goes in comes out again byte for byte; an empty
 * text is '' (no column is ever NULL, so a query by hand needs no care), an ENUM its name.
 */
#include "store/sqlite_store.h"

/* Parameters and columns before the fields. */
static int fields_from(const cafe_table *table) { return table->sub_name ? 3 : 2; }

/* sqlite3_bind_* takes a NULL pointer as NULL, and sizes as int. */
static const char *not_null(cafe_slice slice) { return slice.size ? slice.data : ""; }

int sqlite_bind_text(sqlite3_stmt *statement, int place, cafe_slice text) {
  return sqlite3_bind_text64(statement, place, not_null(text), text.size, SQLITE_STATIC, SQLITE_UTF8);
}

int sqlite_bind_blob(sqlite3_stmt *statement, int place, cafe_slice bytes) {
  return sqlite3_bind_blob64(statement, place, not_null(bytes), bytes.size, SQLITE_STATIC);
}

cafe_slice sqlite_column_slice(sqlite3_stmt *statement, int column) {
  cafe_slice slice = {sqlite3_column_blob(statement, column), 0};
  slice.size = slice.data ? (size_t)sqlite3_column_bytes(statement, column) : 0;
  if (slice.size == 0) {
    slice.data = NULL;
  }
  return slice;
}

int sqlite_bind_value(sqlite3_stmt *statement, int place, const cafe_field *field, const cafe_value *value,
                      cafe_err *err) {
  int code;
  switch (field->type) {
  case CAFE_FIELD_ENUM:
    if (value->number < 0 || value->number >= (int64_t)field->names_count) {
      return cafe_fail(err, CAFE_INVALID, "%lld is no value of the column %s.", (long long)value->number, field->name);
    }
    code = sqlite_bind_text(statement, place, cafe_text(field->names[value->number]));
    break;
  case CAFE_FIELD_TEXT:
    code = sqlite_bind_text(statement, place, value->bytes);
    break;
  case CAFE_FIELD_BYTES:
    code = sqlite_bind_blob(statement, place, value->bytes);
    break;
  default:
    code = sqlite3_bind_int64(statement, place, value->number);
    break;
  }
  if (code == SQLITE_TOOBIG) {
    return cafe_fail(err, CAFE_INVALID, "The column %s can't hold %zu bytes.", field->name, value->bytes.size);
  }
  return code == SQLITE_OK ? CAFE_OK : sqlite_no_memory(err);
}

int sqlite_bind_row(sqlite3_stmt *statement, const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version,
                    const void *data, cafe_err *err) {
  int place = 1;
  sqlite3_bind_int64(statement, place++, (sqlite3_int64)key);
  if (table->sub_name) {
    sqlite3_bind_int64(statement, place++, (sqlite3_int64)sub);
  }
  sqlite3_bind_int64(statement, place++, (sqlite3_int64)version);
  for (uint32_t i = 0; i < table->row->field_count; i++) {
    cafe_value value = cafe_schema_get(table->row, data, i);
    int code = sqlite_bind_value(statement, place++, value.field, &value, err);
    if (code) {
      return code;
    }
  }
  return CAFE_OK;
}

/* The field's column as a value. CAFE_CORRUPT: of another type than the field's. */
static int read_value(cafe_value *out, sqlite3_stmt *statement, int column, const cafe_field *field) {
  int type = sqlite3_column_type(statement, column);
  *out = (cafe_value){field, 0, {NULL, 0}};
  switch (field->type) {
  case CAFE_FIELD_ENUM:
  case CAFE_FIELD_TEXT:
    out->bytes = sqlite_column_slice(statement, column);
    return type == SQLITE_TEXT ? CAFE_OK : CAFE_CORRUPT;
  case CAFE_FIELD_BYTES:
    out->bytes = sqlite_column_slice(statement, column);
    return type == SQLITE_BLOB ? CAFE_OK : CAFE_CORRUPT;
  default:
    out->number = sqlite3_column_int64(statement, column);
    return type == SQLITE_INTEGER ? CAFE_OK : CAFE_CORRUPT;
  }
}

int sqlite_read_row(const sqlite_store *store, uint64_t *key, uint64_t *sub, uint64_t *version, void *data,
                    sqlite3_stmt *statement, const cafe_table *table, cafe_err *err) {
  const cafe_schema *schema = table->row;
  int first = fields_from(table);
  *key = (uint64_t)sqlite3_column_int64(statement, 0);
  *sub = table->sub_name ? (uint64_t)sqlite3_column_int64(statement, 1) : 0;
  *version = (uint64_t)sqlite3_column_int64(statement, first - 1);
  memset(data, 0, schema->width);
  for (uint32_t i = 0; i < schema->field_count; i++) {
    const cafe_field *field = &schema->fields[i];
    cafe_value value;
    int code = read_value(&value, statement, first + (int)i, field);
    if (code == CAFE_OK && cafe_schema_set(data, schema, i, &value, NULL) != CAFE_OK) {
      code = field->type == CAFE_FIELD_ENUM ? CAFE_UNSUPPORTED : CAFE_CORRUPT;
    }
    if (code != CAFE_OK) {
      return cafe_fail(err, (cafe_code)code, "%s: in %s the row %llu, %llu has a %s that %s.",
                       sqlite_short(store->path), table->name, (unsigned long long)*key, (unsigned long long)*sub,
                       field->name,
                       code == CAFE_CORRUPT ? "no store writes: restore the file from a backup"
                                            : "this version doesn't know: use a newer one");
    }
  }
  return CAFE_OK;
}
