/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Shadows in memory: one more table in the store's list, until the table that it is of takes its rows. That exchange
 * allocates nothing, so it comes last, when the unit beside it stands. With is_threaded the lock is held throughout: a
 * reader finds the rows of before or those of after.
 */
#include "store/memory_store.h"

#include <string.h>

#include "store/store.h"

static memory_table **place_named(memory_store *self, const char *name) {
  memory_table **place = &self->tables;
  while (*place && strcmp((*place)->type.name, name) != 0) {
    place = &(*place)->next;
  }
  return place;
}

static void drop_at(memory_table **place) {
  memory_table *table = *place;
  *place = table->next;
  memory_table_destroy(table);
}

void memory_drop_shadow(memory_store *self, const char *name) {
  memory_table **place = place_named(self, name);
  if (*place) {
    drop_at(place);
  }
}

void memory_drop_shadows(memory_store *self) {
  memory_table **place = &self->tables;
  while (*place) {
    if (strncmp((*place)->type.name, CAFE_SHADOW_NAME, strlen(CAFE_SHADOW_NAME)) == 0) {
      drop_at(place);
    } else {
      place = &(*place)->next;
    }
  }
}

int memory_make_shadow(memory_store *self, const cafe_table *shadow, const cafe_table *of, cafe_err *err) {
  if (!memory_find_table(self, of)) {
    return memory_unknown_table(of, err);
  }
  if (!memory_table_is_same(shadow, of)) {
    return cafe_fail(err, CAFE_INVALID, "%s can't be a shadow of %s: it has other columns.", shadow->name, of->name);
  }
  memory_table *made = memory_table_create(shadow, &self->rows);
  if (!made) {
    return cafe_fail(err, CAFE_NOMEM, "Memory was refused for table %s.", shadow->name);
  }
  memory_drop_shadow(self, shadow->name);
  made->type.is_loaded = false;
  made->next = self->tables;
  self->tables = made;
  return CAFE_OK;
}

int memory_replace(memory_store *self, const cafe_replacement *what, cafe_err *err) {
  cafe_unit *units[1] = {what->unit};
  cafe_batch batch = {sizeof(batch), units, 1, what->arena};
  memory_table *table = memory_find_table(self, what->table);
  memory_table *shadow = memory_find_table(self, what->shadow);
  if (!table || !shadow) {
    return memory_unknown_table(table ? what->shadow : what->table, err);
  }
  int code = store_batch_check(&batch, err);
  if (code == CAFE_OK) {
    code = memory_commit_anew(self, what->subscriptions, what->unit, what->arena, err);
  }
  if (code || what->unit->result != CAFE_UNIT_DONE) {
    return code;
  }
  sorted rows = table->rows;
  table->rows = shadow->rows;
  shadow->rows = rows;
  memory_drop_shadow(self, what->shadow->name);
  return CAFE_OK;
}
