/* SPDX-License-Identifier: Apache-2.0 */

/*
 * spoil_row FILE change|remove|add ORDER...: makes rows of order_infos what no event says, as a mistake in a fold
 * would. Through the store: it refuses pages that anybody else has written.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cafe/shop.h"
#include "cafe/store/sqlite.h"
#include "cafe/sys/store.h"

typedef struct spoil {
  const char *how;
  cafe_store *store;
  cafe_arena *arena;
  cafe_row_write row;
  cafe_order_info_row data;
} spoil;

static int take(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data, void *user) {
  (void)sub;
  spoil *self = user;
  if (key != self->row.key)
    return CAFE_OK;
  self->row.expected = version;
  return cafe_schema_copy(&self->data, data, table->row, self->arena);
}

static int spoil_one(spoil *self, const cafe_table *table, uint64_t order, cafe_err *err) {
  cafe_row_query query = {sizeof query, table, NULL, 0, order - 1, 0, -1, 1};
  cafe_unit unit = {.size = sizeof unit, .key = order, .rows = &self->row, .row_count = 1};
  cafe_batch batch = {sizeof batch, (cafe_unit *[]){&unit}, 1, self->arena};
  self->row = (cafe_row_write){.table = table, .key = order};
  self->data = (cafe_order_info_row){.currency = cafe_text("KRW"), .is_visible = true};
  int code = self->store->ops->read_rows(self->store, &query, take, self, err);
  if (code)
    return code;
  if ((self->row.expected == 0) != (strcmp(self->how, "add") == 0))
    return cafe_fail(err, CAFE_INVALID, "the row of %llu is there, or isn't", (unsigned long long)order);
  self->data.qty += 1;
  self->row.data = strcmp(self->how, "remove") == 0 ? NULL : &self->data;
  code = self->store->ops->commit(self->store, &batch, err);
  return !code && unit.result != CAFE_UNIT_DONE ? cafe_fail(err, CAFE_CONFLICT, "the row wasn't written") : code;
}

int main(int argc, char **argv) {
  const cafe_view *view = &cafe_order_infos_view;
  cafe_table table = {view->name, view->key_name, view->sub_name, view->row, view->indexes, false, 0};
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  cafe_store_setup setup = {sizeof setup, "spoil_row", (const cafe_table *const[]){&table, NULL}};
  spoil self = {.how = argc > 2 ? argv[2] : "", .arena = cafe_arena_create(NULL)};
  cafe_err err = {0};
  if (argc < 4 || !self.arena)
    return 2;
  int code = cafe_sqlite_create(&self.store, argv[1], NULL, &err);
  if (!code)
    code = self.store->ops->open(self.store, &info, &setup, &err);
  for (int i = 3; i < argc && !code; i++)
    code = spoil_one(&self, &table, strtoull(argv[i], NULL, 10), &err);
  if (code)
    fprintf(stderr, "spoil_row: %s\n", err.text);
  cafe_store_destroy(self.store);
  cafe_arena_destroy(self.arena);
  return code ? 1 : 0;
}
