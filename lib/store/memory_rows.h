/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_MEMORY_ROWS_H
#define STORE_MEMORY_ROWS_H

#include "cafe/sys/store.h"
#include "store/memory_pool.h"
#include "store/memory_sorted.h"

/* The head of a row's own copy; behind it the struct, then the texts. A row never changes: another version is another
 * block. */
typedef struct memory_row {
  uint64_t version;
  size_t size; /* of the block */
} memory_row;

/* What malloc aligns to: the struct begins behind the head. */
enum { MEMORY_ROW_HEAD = (sizeof(memory_row) + 15) / 16 * 16 };

static inline const void *memory_row_data(const memory_row *row) { return (const char *)row + MEMORY_ROW_HEAD; }

typedef struct memory_table {
  struct memory_table *next;
  pool *pool;              /* the store's, for rows and all else */
  const cafe_table *given; /* the setup's that was opened last: its address, which may be stale once it is closed */
  cafe_table type;         /* a copy of what is needed of it, whole: who described it may be gone at the next start */
  cafe_arena *description; /* where that copy lies */
  bool is_open;            /* in the setup that was opened last */
  sorted rows;             /* memory_row; NULL stands for a row that a batch under way has removed */
  uint32_t slice_count;
  uint32_t slices[]; /* offsets of the texts and bytes in the struct */
} memory_table;

/* NULL: no memory. */
memory_table *memory_table_create(const cafe_table *type, pool *rows);
void memory_table_destroy(memory_table *table);

/* A new table of this type with all rows of `from`, column by column by name. CAFE_NOMEM; CAFE_INVALID where a column
 * has another type; CAFE_UNSUPPORTED where a row holds a word that the type doesn't know. */
int memory_table_convert(memory_table **out, const memory_table *from, const cafe_table *type, cafe_err *err);

/* Whether rows of the one are rows of the other, byte by byte. */
bool memory_table_is_same(const cafe_table *a, const cafe_table *b);

/* A copy of the struct with all it points to. NULL: no memory. */
memory_row *memory_row_create(const memory_table *table, uint64_t version, const void *data);
void memory_row_destroy(const memory_table *table, memory_row *row);

/* All rows of the key, in the order of sub. */
int memory_rows_load(const memory_table *table, uint64_t key, cafe_row_sink on_row, void *user);

/* As cafe_store_ops.read_rows has it. */
int memory_rows_read(const memory_table *table, const cafe_row_query *query, cafe_row_sink on_row, void *user,
                     cafe_err *err);

#endif
