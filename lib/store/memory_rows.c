/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows in memory: one block each, the struct and its texts together, found by (key, sub). The invariant: a block is
 * never changed once it is made. So a unit that fails only puts the old block back, and whatever was handed to a sink
 * stays as it was for as long as the lock is held.
 *
 * There are no indexes. A list by another column walks the table and keeps the best rows in a heap of its limit.
 */
#include "store/memory_rows.h"

#include <string.h>

static void *allocate(const memory_table *table, size_t size) {
  return table->pool->allocator.resize(NULL, size, table->pool->allocator.user);
}

static void release(const memory_table *table, void *block) {
  if (block) {
    (void)table->pool->allocator.resize(block, 0, table->pool->allocator.user);
  }
}

static bool is_slice(const cafe_field *field) {
  return field->type == CAFE_FIELD_TEXT || field->type == CAFE_FIELD_BYTES;
}

/* NULL stays NULL; no memory is told by *is_whole. */
static const char *copy_text(cafe_arena *arena, const char *text, bool *is_whole) {
  char *copy = text ? cafe_arena_alloc(arena, strlen(text) + 1) : NULL;
  if (copy) {
    memcpy(copy, text, strlen(text) + 1);
  }
  *is_whole = *is_whole && (copy || !text);
  return copy;
}

static const char *const *copy_names(cafe_arena *arena, const cafe_field *field, bool *is_whole) {
  const char **names = field->names_count ? cafe_arena_alloc(arena, field->names_count * sizeof(*names)) : NULL;
  *is_whole = *is_whole && (names || !field->names_count);
  for (uint32_t i = 0; names && i < field->names_count; i++) {
    names[i] = copy_text(arena, field->names[i], is_whole);
  }
  return names;
}

static const cafe_schema *copy_row_type(cafe_arena *arena, const cafe_schema *row, bool *is_whole) {
  cafe_schema *copy = cafe_arena_alloc(arena, sizeof(*copy));
  cafe_field *fields = cafe_arena_alloc(arena, row->field_count * sizeof(*fields));
  if (!copy || !fields) {
    *is_whole = false;
    return NULL;
  }
  *copy = *row;
  copy->name = copy_text(arena, row->name, is_whole);
  copy->fields = fields;
  for (uint32_t i = 0; i < row->field_count; i++) {
    fields[i] = row->fields[i];
    fields[i].name = copy_text(arena, row->fields[i].name, is_whole);
    fields[i].names = copy_names(arena, &row->fields[i], is_whole);
  }
  return copy;
}

static bool describe(memory_table *table, const cafe_table *type) {
  bool is_whole = true;
  table->description = cafe_arena_create(&table->pool->allocator);
  if (!table->description) {
    return false;
  }
  table->type.name = copy_text(table->description, type->name, &is_whole);
  table->type.row = copy_row_type(table->description, type->row, &is_whole);
  table->type.is_loaded = type->is_loaded;
  return is_whole;
}

memory_table *memory_table_create(const cafe_table *type, pool *rows) {
  const cafe_allocator *allocator = &rows->allocator;
  uint32_t count = type->row->field_count;
  memory_table *table = allocator->resize(NULL, sizeof(*table) + count * sizeof(table->slices[0]), allocator->user);
  if (!table) {
    return NULL;
  }
  *table = (memory_table){.pool = rows, .given = type, .is_open = true};
  sorted_init(&table->rows, allocator);
  if (!describe(table, type)) {
    memory_table_destroy(table);
    return NULL;
  }
  for (uint32_t i = 0; i < count; i++) {
    if (is_slice(&type->row->fields[i])) {
      table->slices[table->slice_count++] = type->row->fields[i].offset;
    }
  }
  return table;
}

void memory_table_destroy(memory_table *table) {
  if (!table) {
    return;
  }
  sorted_cursor cursor = sorted_seek(&table->rows, 0, 0);
  for (const sorted_entry *entry; (entry = sorted_next(&cursor));) {
    memory_row_destroy(table, entry->value);
  }
  sorted_deinit(&table->rows);
  cafe_arena_destroy(table->description);
  release(table, table);
}

memory_row *memory_row_create(const memory_table *table, uint64_t version, const void *data) {
  size_t width = table->type.row->width;
  size_t size = MEMORY_ROW_HEAD + width;
  for (uint32_t i = 0; i < table->slice_count; i++) {
    size += ((const cafe_slice *)(const void *)((const char *)data + table->slices[i]))->size;
  }
  memory_row *row = pool_take(table->pool, size);
  if (!row) {
    return NULL;
  }
  char *copy = (char *)row + MEMORY_ROW_HEAD;
  char *bytes = copy + width;
  row->version = version;
  row->size = size;
  memcpy(copy, data, width);
  for (uint32_t i = 0; i < table->slice_count; i++) {
    cafe_slice *slice = (cafe_slice *)(void *)(copy + table->slices[i]);
    if (slice->size) {
      memcpy(bytes, slice->data, slice->size);
      slice->data = bytes;
      bytes += slice->size;
    } else {
      slice->data = NULL;
    }
  }
  return row;
}

void memory_row_destroy(const memory_table *table, memory_row *row) {
  if (row) {
    pool_give(table->pool, row, row->size);
  }
}

bool memory_table_is_same(const cafe_table *a, const cafe_table *b) {
  const cafe_schema *x = a->row, *y = b->row;
  if (x->width != y->width || x->field_count != y->field_count) {
    return false;
  }
  for (uint32_t i = 0; i < x->field_count; i++) {
    const cafe_field *f = &x->fields[i], *g = &y->fields[i];
    if (f->type != g->type || f->offset != g->offset || f->width != g->width || strcmp(f->name, g->name) != 0 ||
        f->names_count != g->names_count) {
      return false;
    }
    for (uint32_t k = 0; k < f->names_count; k++) {
      if (strcmp(f->names[k], g->names[k]) != 0) {
        return false;
      }
    }
  }
  return true;
}

/* The struct of `type` with what a row of another type has under the same names. */
static int convert_row(void *out, const cafe_table *type, const cafe_table *from, const void *data, cafe_err *err) {
  memset(out, 0, type->row->width);
  for (uint32_t i = 0; i < type->row->field_count; i++) {
    const cafe_field *field = &type->row->fields[i];
    int old = cafe_schema_find(from->row, cafe_text(field->name));
    if (old < 0) {
      continue;
    }
    if (from->row->fields[old].type != field->type) {
      return cafe_fail(err, CAFE_INVALID, "Column %s of table %s was made with another type: give it another name.",
                       field->name, type->name);
    }
    cafe_value value = cafe_schema_get(from->row, data, (uint32_t)old);
    if (cafe_schema_set(out, type->row, i, &value, NULL)) {
      return cafe_fail(err, CAFE_UNSUPPORTED,
                       "Column %s of table %s holds \"%.*s\", which this version doesn't know: use a newer one.",
                       field->name, type->name, (int)(value.bytes.size < 64 ? value.bytes.size : 64),
                       value.bytes.size ? value.bytes.data : "");
    }
  }
  return CAFE_OK;
}

int memory_table_convert(memory_table **out, const memory_table *from, const cafe_table *type, cafe_err *err) {
  int code = CAFE_OK;
  memory_table *table = memory_table_create(type, from->pool);
  void *data = table ? allocate(table, type->row->width) : NULL;
  if (!data) {
    code = cafe_fail(err, CAFE_NOMEM, "Memory was refused to convert table %s.", type->name);
  }
  sorted_cursor cursor = sorted_seek(&from->rows, 0, 0);
  for (const sorted_entry *entry; data && (entry = sorted_next(&cursor));) {
    const memory_row *old = entry->value;
    code = convert_row(data, type, &from->type, memory_row_data(old), err);
    if (code) {
      break;
    }
    memory_row *row = memory_row_create(table, old->version, data);
    if (!row || sorted_add(&table->rows, entry->key, entry->sub, row)) {
      memory_row_destroy(table, row);
      code = cafe_fail(err, CAFE_NOMEM, "Memory was refused to convert table %s.", type->name);
      break;
    }
  }
  if (table) {
    release(table, data);
  }
  if (code) {
    memory_table_destroy(table);
    return code;
  }
  *out = table;
  return CAFE_OK;
}

int memory_rows_load(const memory_table *table, uint64_t key, cafe_row_sink on_row, void *user) {
  sorted_cursor cursor = sorted_seek(&table->rows, key, 0);
  for (const sorted_entry *entry; (entry = sorted_next(&cursor)) && entry->key == key;) {
    const memory_row *row = entry->value;
    int code = on_row(table->given, key, entry->sub, row->version, memory_row_data(row), user);
    if (code) {
      return code;
    }
  }
  return CAFE_OK;
}

static int compare_numbers(uint64_t a, uint64_t b) { return (a > b) - (a < b); }

static int compare_slices(cafe_slice a, cafe_slice b) {
  size_t size = a.size < b.size ? a.size : b.size;
  int order = size ? memcmp(a.data, b.data, size) : 0;
  return order ? order : compare_numbers(a.size, b.size);
}

/* As SQL sees the column: an enum is ordered by its name. */
static int compare_values(const cafe_field *field, const cafe_value *a, const cafe_value *b) {
  switch ((cafe_field_type)field->type) {
  case CAFE_FIELD_TEXT:
  case CAFE_FIELD_BYTES:
  case CAFE_FIELD_ENUM:
    return compare_slices(a->bytes, b->bytes);
  case CAFE_FIELD_BOOL:
  case CAFE_FIELD_I64:
  case CAFE_FIELD_U64:
  case CAFE_FIELD_TIME:
    return (a->number > b->number) - (a->number < b->number);
  }
  return 0;
}

static bool is_met(const cafe_table *type, const cafe_condition *condition, const sorted_entry *entry) {
  int order;
  if (condition->column < 0) {
    order = compare_numbers(condition->column == -1 ? entry->key : entry->sub, (uint64_t)condition->value.number);
  } else {
    const cafe_field *field = &type->row->fields[condition->column];
    const memory_row *row = entry->value;
    cafe_value value = cafe_schema_get(type->row, memory_row_data(row), (uint32_t)condition->column);
    cafe_value wanted = condition->value;
    if (field->type == CAFE_FIELD_ENUM) {
      wanted.bytes = cafe_text(field->names[wanted.number]);
    }
    order = compare_values(field, &value, &wanted);
  }
  return condition->at_most ? order <= 0 : order == 0;
}

static bool are_met(const cafe_row_query *query, const cafe_table *type, const sorted_entry *entry) {
  for (uint32_t i = 0; i < query->condition_count; i++) {
    if (!is_met(type, &query->conditions[i], entry)) {
      return false;
    }
  }
  return true;
}

static int check_query(const cafe_row_query *query, const cafe_table *type, cafe_err *err) {
  int columns = (int)type->row->field_count;
  if (query->order_by < -1 || query->order_by >= columns) {
    return cafe_fail(err, CAFE_INVALID, "Table %s has no column %d to order by.", type->name, query->order_by);
  }
  if (query->order_by >= 0 && (query->after_key || query->after_sub)) {
    return cafe_fail(err, CAFE_INVALID, "A list of table %s by a column can't go on after a key.", type->name);
  }
  for (uint32_t i = 0; i < query->condition_count; i++) {
    const cafe_condition *condition = &query->conditions[i];
    if (condition->column < -2 || condition->column >= columns) {
      return cafe_fail(err, CAFE_INVALID, "Table %s has no column %d to be filtered by.", type->name,
                       condition->column);
    }
    const cafe_field *field = condition->column >= 0 ? &type->row->fields[condition->column] : NULL;
    if (field && field->type == CAFE_FIELD_ENUM &&
        (condition->value.number < 0 || condition->value.number >= (int64_t)field->names_count)) {
      return cafe_fail(err, CAFE_INVALID, "Column %s of table %s has no value %lld.", field->name, type->name,
                       (long long)condition->value.number);
    }
  }
  return CAFE_OK;
}

/* The keys that the conditions leave. */
static void key_range(uint64_t *first, uint64_t *last, const cafe_row_query *query) {
  *first = query->after_key;
  *last = UINT64_MAX;
  for (uint32_t i = 0; i < query->condition_count; i++) {
    const cafe_condition *condition = &query->conditions[i];
    if (condition->column == -1) {
      uint64_t key = condition->value.number < 0 ? 0 : (uint64_t)condition->value.number;
      *last = key < *last ? key : *last;
      if (!condition->at_most && key > *first) {
        *first = key;
      }
    }
  }
}

static int read_by_key(const memory_table *table, const cafe_row_query *query, cafe_row_sink on_row, void *user) {
  uint64_t first, last;
  key_range(&first, &last, query);
  uint32_t found = 0;
  sorted_cursor cursor = sorted_seek(&table->rows, first, first == query->after_key ? query->after_sub : 0);
  for (const sorted_entry *entry; found < query->limit && (entry = sorted_next(&cursor)) && entry->key <= last;) {
    bool is_after = entry->key != query->after_key || entry->sub != query->after_sub;
    if (is_after && are_met(query, &table->type, entry)) {
      const memory_row *row = entry->value;
      int code = on_row(table->given, entry->key, entry->sub, row->version, memory_row_data(row), user);
      if (code) {
        return code;
      }
      found++;
    }
  }
  return CAFE_OK;
}

/* The best rows so far, the worst of them first: a heap. */
typedef struct best {
  const memory_table *table;
  uint32_t column;
  sorted_entry *rows;
  size_t count;
  size_t room;
} best;

static int compare_rows(const best *of, const sorted_entry *a, const sorted_entry *b) {
  const cafe_schema *schema = of->table->type.row;
  cafe_value x = cafe_schema_get(schema, memory_row_data(a->value), of->column);
  cafe_value y = cafe_schema_get(schema, memory_row_data(b->value), of->column);
  int order = compare_values(&schema->fields[of->column], &x, &y);
  if (order == 0) {
    order = compare_numbers(a->key, b->key);
  }
  return order ? order : compare_numbers(a->sub, b->sub);
}

static void sift_down(best *of, size_t count) {
  const sorted_entry moved = of->rows[0];
  size_t at = 0;
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && compare_rows(of, &of->rows[child + 1], &of->rows[child]) > 0) {
      child++;
    }
    if (compare_rows(of, &moved, &of->rows[child]) >= 0) {
      break;
    }
    of->rows[at] = of->rows[child];
  }
  of->rows[at] = moved;
}

static int push(best *of, const sorted_entry *entry) {
  if (of->count == of->room) {
    size_t room = of->room ? of->room * 2 : 64;
    const cafe_allocator *allocator = &of->table->pool->allocator;
    sorted_entry *rows = allocator->resize(of->rows, room * sizeof(*rows), allocator->user);
    if (!rows) {
      return CAFE_NOMEM;
    }
    of->rows = rows;
    of->room = room;
  }
  size_t at = of->count++;
  for (size_t parent; at > 0 && compare_rows(of, entry, &of->rows[parent = (at - 1) / 2]) > 0; at = parent) {
    of->rows[at] = of->rows[parent];
  }
  of->rows[at] = *entry;
  return CAFE_OK;
}

static int read_by_column(const memory_table *table, const cafe_row_query *query, cafe_row_sink on_row, void *user,
                          cafe_err *err) {
  best of = {table, (uint32_t)query->order_by, NULL, 0, 0};
  int code = CAFE_OK;
  uint64_t first, last;
  key_range(&first, &last, query);
  sorted_cursor cursor = sorted_seek(&table->rows, first, 0);
  for (const sorted_entry *entry; query->limit && (entry = sorted_next(&cursor)) && entry->key <= last;) {
    if (!are_met(query, &table->type, entry)) {
      continue;
    }
    if (of.count < query->limit) {
      code = push(&of, entry);
      if (code) {
        (void)cafe_fail(err, CAFE_NOMEM, "Memory was refused to order rows of table %s.", table->type.name);
        goto fail;
      }
    } else if (compare_rows(&of, entry, &of.rows[0]) < 0) {
      of.rows[0] = *entry;
      sift_down(&of, of.count);
    }
  }
  for (size_t left = of.count; left > 1; left--) {
    const sorted_entry worst = of.rows[0];
    of.rows[0] = of.rows[left - 1];
    sift_down(&of, left - 1);
    of.rows[left - 1] = worst;
  }
  for (size_t i = 0; i < of.count && code == CAFE_OK; i++) {
    const memory_row *row = of.rows[i].value;
    code = on_row(table->given, of.rows[i].key, of.rows[i].sub, row->version, memory_row_data(row), user);
  }
fail:
  release(table, of.rows);
  return code;
}

int memory_rows_read(const memory_table *table, const cafe_row_query *query, cafe_row_sink on_row, void *user,
                     cafe_err *err) {
  int code = check_query(query, &table->type, err);
  if (code) {
    return code;
  }
  return query->order_by < 0 ? read_by_key(table, query, on_row, user)
                             : read_by_column(table, query, on_row, user, err);
}
