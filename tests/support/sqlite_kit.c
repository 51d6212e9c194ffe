/* SPDX-License-Identifier: Apache-2.0 */

/* Numbered units: written, and found again whole or not at all. Nothing here asserts, so that it serves in processes
 * that are killed, too. */
#include "sqlite_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNITS_MAX = 512, DATA_MAX = 20000 };

typedef struct kit_row {
  int64_t number;
  cafe_slice text;
} kit_row;

static const cafe_field kit_fields[] = {
    CAFE_FIELD_OF(1, I64, kit_row, number),
    CAFE_FIELD_OF(2, TEXT, kit_row, text),
};
static const cafe_schema kit_type = CAFE_SCHEMA_OF("KitRow", kit_row, kit_fields);
static const char *const kit_indexes[] = {"number", NULL};
const cafe_table kit_table = {"things", "thing_id", NULL, &kit_type, kit_indexes, true};
static const cafe_table *const kit_tables[] = {&kit_table, NULL};
const cafe_store_setup kit_setup = {sizeof(cafe_store_setup), "kit", kit_tables};

static const char *const aggregates[2] = {"cup", "pot"};
static const char *const types[2] = {"CupFilled", "PotFilled"};

int kit_open(cafe_store **out, const char *path, const char *vfs, cafe_sqlite_sync sync, cafe_err *err) {
  cafe_sqlite_options options = CAFE_SQLITE_OPTIONS_INIT;
  options.vfs = vfs;
  options.sync = sync;
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  int code = cafe_sqlite_create(out, path, &options, err);
  if (code == CAFE_OK) {
    code = (*out)->ops->open(*out, &info, &kit_setup, err);
    if (code != CAFE_OK) {
      cafe_store_destroy(*out);
      *out = NULL;
    }
  }
  return code;
}

static void write_data(char *out, size_t size, uint64_t number, int which) {
  uint64_t x = number * 2 + (uint64_t)which;
  for (size_t i = 0; i < size; i++) {
    x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    out[i] = (char)(x >> 56);
  }
  memcpy(out, &number, sizeof(number));
}

/* The first of a unit's two events has some. */
static cafe_slice meta_of(int which) { return cafe_text(which ? "" : "meta"); }

int kit_commit(cafe_store *store, uint64_t first, uint32_t count, size_t size, cafe_err *err) {
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_unit **units = arena ? cafe_arena_alloc(arena, UNITS_MAX * sizeof(*units)) : NULL;
  int code = CAFE_NOMEM;
  for (uint32_t i = 0; units && i < count; i++) {
    uint64_t number = first + i;
    cafe_unit *unit = cafe_arena_alloc(arena, sizeof(*unit));
    cafe_stored_event *events = cafe_arena_alloc(arena, 2 * sizeof(*events));
    cafe_row_write *write = cafe_arena_alloc(arena, sizeof(*write));
    kit_row *row = cafe_arena_alloc(arena, sizeof(*row));
    char *data = cafe_arena_alloc(arena, 2 * size);
    if (!unit || !events || !write || !row || !data) {
      goto done;
    }
    for (int k = 0; k < 2; k++) {
      write_data(data + (size_t)k * size, size, number, k);
      events[k] = (cafe_stored_event){.aggregate = aggregates[k],
                                      .type = types[k],
                                      .key = number,
                                      .version = 1,
                                      .time_ms = 1000 + (int64_t)number,
                                      .trace = cafe_text("trace"),
                                      .data = {data + (size_t)k * size, size},
                                      .meta = meta_of(k)};
    }
    *row = (kit_row){(int64_t)number, cafe_text("a thing")};
    *write = (cafe_row_write){.table = &kit_table, .key = number, .data = row};
    *unit = (cafe_unit){
        .size = sizeof(*unit), .key = number, .events = events, .event_count = 2, .row_count = 1, .rows = write};
    units[i] = unit;
  }
  if (units) {
    cafe_batch batch = {sizeof(batch), units, count, arena};
    code = store->ops->commit(store, &batch, err);
    for (uint32_t i = 0; code == CAFE_OK && i < count; i++) {
      if (units[i]->result != CAFE_UNIT_DONE) {
        code = cafe_fail(err, CAFE_CONFLICT, "unit %llu ended as %d", (unsigned long long)(first + i),
                         (int)units[i]->result);
      }
    }
  }
done:
  cafe_arena_destroy(arena);
  return code;
}

typedef struct reading {
  uint64_t last;   /* position */
  uint64_t events; /* of one key, in a load */
  uint64_t rows;
  cafe_err *err;
} reading;

static int wrong(reading *of, const char *what, uint64_t where) {
  return cafe_fail(of->err, CAFE_CONFLICT, "%s at %llu", what, (unsigned long long)where);
}

static int on_event(const cafe_stored_event *event, void *user) {
  static char data[DATA_MAX];
  reading *of = user;
  int which = strcmp(event->aggregate, aggregates[1]) == 0;
  if (event->data.size > DATA_MAX || event->data.size < sizeof(uint64_t)) {
    return wrong(of, "an event of another size", event->n);
  }
  write_data(data, event->data.size, event->key, which);
  if (strcmp(event->type, types[which]) != 0 || strcmp(event->aggregate, aggregates[which]) != 0 ||
      event->version != 1 || event->time_ms != 1000 + (int64_t)event->key ||
      !cafe_slice_equal(event->trace, cafe_text("trace")) || !cafe_slice_equal(event->meta, meta_of(which)) ||
      memcmp(event->data.data, data, event->data.size) != 0) {
    return wrong(of, "another event", event->n);
  }
  of->events++;
  return CAFE_OK;
}

static int on_logged(const cafe_stored_event *event, void *user) {
  reading *of = user;
  if (event->n != of->last + 1 || event->key != (event->n + 1) / 2) {
    return wrong(of, "an event out of order", event->n);
  }
  of->last = event->n;
  return on_event(event, user);
}

static int on_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data, void *user) {
  reading *of = user;
  const kit_row *row = data;
  if (table != &kit_table || sub != 0 || version != 1 || row->number != (int64_t)key ||
      !cafe_slice_equal(row->text, cafe_text("a thing"))) {
    return wrong(of, "another row", key);
  }
  of->rows++;
  return CAFE_OK;
}

static int read_keys(cafe_store *store, reading *of, uint64_t units, cafe_err *err) {
  int code = CAFE_OK;
  for (uint64_t key = 1; code == CAFE_OK && key <= units; key++) {
    of->events = of->rows = 0;
    code = store->ops->load(store, key, on_event, on_row, of, err);
    if (code == CAFE_OK && (of->events != 2 || of->rows != 1)) {
      code = wrong(of, "half a unit", key);
    }
  }
  return code;
}

int kit_read(cafe_store *store, uint64_t *units, cafe_err *err) {
  cafe_log_query log = {sizeof(log), 0, 0, UINT32_MAX, NULL, 0, 0};
  cafe_row_query list = {sizeof(list), &kit_table, NULL, 0, 0, 0, -1, UINT32_MAX};
  cafe_condition condition = {.column = 0, .at_most = true, .value = {.number = INT64_MAX}};
  cafe_row_query by_index = {sizeof(list), &kit_table, &condition, 1, 0, 0, 0, UINT32_MAX};
  reading of = {.err = err};
  *units = 0;
  int code = store->ops->read_log(store, &log, on_logged, &of, err);
  if (code == CAFE_OK && (log.scanned != log.head || log.head != of.last || of.last % 2 != 0)) {
    code = wrong(&of, "half a unit", of.last);
  }
  *units = of.last / 2;
  if (code == CAFE_OK) {
    code = store->ops->read_rows(store, &list, on_row, &of, err);
  }
  if (code == CAFE_OK) {
    code = store->ops->read_rows(store, &by_index, on_row, &of, err);
  }
  if (code == CAFE_OK && of.rows != 2 * *units) {
    code = wrong(&of, "another number of rows", of.rows);
  }
  return code == CAFE_OK ? read_keys(store, &of, *units, err) : code;
}

int kit_read_path(const char *path, uint64_t *units, cafe_err *err) {
  cafe_store *store = NULL;
  *units = 0;
  int code = kit_open(&store, path, NULL, CAFE_SQLITE_FULL, err);
  if (code == CAFE_OK) {
    code = kit_read(store, units, err);
  }
  cafe_store_destroy(store);
  return code;
}
