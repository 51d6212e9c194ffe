/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ONE_UNIT_H
#define ONE_UNIT_H

#include <stdio.h>

#include "cafe/store/sqlite.h"
#include "cafe/sys/store.h"

/* Commits one unit to a store that nobody has open. Returns what main returns; `taken`: why the unit isn't written
 * where the store is well. */
static inline int one_unit(const char *program, const char *file, const cafe_table *const *tables, cafe_unit *unit,
                           const char *taken) {
  cafe_err err = {0};
  cafe_store *store = NULL;
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  cafe_store_setup setup = {sizeof setup, program, tables};
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_batch batch = {sizeof batch, &unit, 1, arena};
  int code = arena ? cafe_sqlite_create(&store, file, NULL, &err) : cafe_fail(&err, CAFE_NOMEM, "no memory");
  if (!code)
    code = store->ops->open(store, &info, &setup, &err);
  if (!code)
    code = store->ops->commit(store, &batch, &err);
  bool is_done = !code && unit->result == CAFE_UNIT_DONE;
  if (!is_done)
    fprintf(stderr, "%s: %s\n", program, code ? err.text : taken);
  cafe_store_destroy(store);
  cafe_arena_destroy(arena);
  return !is_done;
}

#endif
