/* SPDX-License-Identifier: Apache-2.0 */

/* set_next_id FILE N: makes a store whose first order will have the number N. */
#include <stdio.h>
#include <stdlib.h>

#include "cafe/store/sqlite.h"
#include "cafe/sys/store.h"
#include "engine/node.h"

int main(int argc, char **argv) {
  cafe_err err = {0};
  cafe_store *store = NULL;
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  const cafe_table *tables[] = {&engine_tables[TABLE_IDS], NULL};
  cafe_store_setup setup = {sizeof setup, "set_next_id", tables};
  cafe_arena *arena = cafe_arena_create(NULL);
  if (argc != 3 || !arena)
    return 2;
  id_row data = {(int64_t)strtoull(argv[2], NULL, 10)};
  cafe_row_write row = {.table = tables[0], .key = 1, .data = &data};
  cafe_unit unit = {.size = sizeof unit, .key = 1, .rows = &row, .row_count = 1};
  cafe_batch batch = {sizeof batch, (cafe_unit *[]){&unit}, 1, arena};
  int code = cafe_sqlite_create(&store, argv[1], NULL, &err);
  if (!code)
    code = store->ops->open(store, &info, &setup, &err);
  if (!code)
    code = store->ops->commit(store, &batch, &err);
  if (code || unit.result != CAFE_UNIT_DONE)
    fprintf(stderr, "set_next_id: %s\n", code ? err.text : "the store has numbers already");
  cafe_store_destroy(store);
  cafe_arena_destroy(arena);
  return code || unit.result != CAFE_UNIT_DONE;
}
