/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The store in memory: how it opens, reads and ends; memory_commit.c writes. A crash leaves nothing here, by nature.
 * Who wants to see a restart opens it again: what was committed is there, also where a table has changed meanwhile. The
 * invariant of open: all tables are made ready beside the old ones before the first is replaced.
 *
 * Threads: with is_threaded one lock is held for the length of a call, so a reader sees the batches before it whole.
 */
#include "store/memory_store.h"

#include <string.h>

#include "base/sized.h"
#include "store/store.h"

static memory_store *self_of(cafe_store *store) { return (memory_store *)(void *)store; }

static void enter(memory_store *self) {
  if (self->is_threaded) {
    (void)pthread_mutex_lock(&self->lock);
  }
}

static int leave(memory_store *self, int code) {
  if (self->is_threaded) {
    (void)pthread_mutex_unlock(&self->lock);
  }
  return code;
}

/*
 * Tables.
 */

memory_table *memory_find_table(const memory_store *self, const cafe_table *type) {
  for (memory_table *table = self->tables; table; table = table->next) {
    if (table->is_open && table->given == type) {
      return table;
    }
  }
  return NULL;
}

static memory_table *find_table_named(const memory_store *self, const char *name) {
  memory_table *table = self->tables;
  while (table && strcmp(table->type.name, name) != 0) {
    table = table->next;
  }
  return table;
}

int memory_unknown_table(const cafe_table *type, cafe_err *err) {
  return cafe_fail(err, CAFE_INVALID, "Table %s isn't among those that the store was opened with.", type->name);
}

/* The table to be used for `type`: as it is, converted, or new. *is_made tells whether it isn't the store's yet. */
static int prepare_table(memory_table **out, bool *is_made, memory_store *self, const cafe_table *type, cafe_err *err) {
  int code = cafe_schema_check(type->row, err);
  if (code) {
    return code;
  }
  memory_table *old = find_table_named(self, type->name);
  *is_made = !old || !memory_table_is_same(&old->type, type);
  if (!*is_made) {
    *out = old;
    return CAFE_OK;
  }
  if (old) {
    return memory_table_convert(out, old, type, err);
  }
  *out = memory_table_create(type, &self->rows);
  return *out ? CAFE_OK : cafe_fail(err, CAFE_NOMEM, "Memory was refused for table %s.", type->name);
}

typedef struct prepared {
  memory_table *table;
  bool is_made;
} prepared;

/* All tables are ready: nothing fails from here on. Tables that the setup lacks stay, closed, behind the others. */
static void install_tables(memory_store *self, const prepared *tables, const cafe_table *const *types, size_t count) {
  for (size_t i = 0; i < count; i++) {
    memory_table **place = &self->tables;
    while (*place && strcmp((*place)->type.name, types[i]->name) != 0) {
      place = &(*place)->next;
    }
    memory_table *old = *place;
    if (old) {
      *place = old->next;
    }
    if (old != tables[i].table) {
      memory_table_destroy(old);
    }
  }
  for (memory_table *table = self->tables; table; table = table->next) {
    table->is_open = false;
  }
  for (size_t i = count; i-- > 0;) {
    memory_table *table = tables[i].table;
    table->given = types[i];
    table->type.is_loaded = types[i]->is_loaded;
    table->is_open = true;
    table->next = self->tables;
    self->tables = table;
  }
}

static int make_shadow(cafe_store *store, const cafe_table *shadow, const cafe_table *of, cafe_err *err) {
  memory_store *self = self_of(store);
  enter(self);
  return leave(self, memory_make_shadow(self, shadow, of, err));
}

static int drop_shadow(cafe_store *store, const cafe_table *shadow, cafe_err *err) {
  (void)err;
  memory_store *self = self_of(store);
  enter(self);
  memory_drop_shadow(self, shadow->name);
  return leave(self, CAFE_OK);
}

static int replace(cafe_store *store, const cafe_replacement *what, cafe_err *err) {
  memory_store *self = self_of(store);
  enter(self);
  return leave(self, memory_replace(self, what, err));
}

static int open_store(cafe_store *store, cafe_store_info *out, const cafe_store_setup *setup, cafe_err *err) {
  memory_store *self = self_of(store);
  size_t count = 0, ready = 0;
  while (setup->tables && setup->tables[count]) {
    count++;
  }
  int code = CAFE_OK;
  prepared *tables = count ? memory_alloc(self, count * sizeof(*tables)) : NULL;
  if (count && !tables) {
    return cafe_fail(err, CAFE_NOMEM, "Memory was refused to open the store.");
  }
  for (; ready < count; ready++) {
    code = prepare_table(&tables[ready].table, &tables[ready].is_made, self, setup->tables[ready], err);
    if (code) {
      goto fail;
    }
  }
  enter(self);
  memory_drop_shadows(self);
  install_tables(self, tables, setup->tables, count);
  out->log_id = self->log_id;
  out->shards = 1;
  out->partitions = CAFE_PARTITIONS;
  (void)leave(self, CAFE_OK);
  memory_free(self, tables);
  return CAFE_OK;

fail:
  while (ready-- > 0) {
    if (tables[ready].is_made) {
      memory_table_destroy(tables[ready].table);
    }
  }
  memory_free(self, tables);
  return code;
}

static int commit(cafe_store *store, cafe_batch *batch, cafe_err *err) {
  memory_store *self = self_of(store);
  int code = store_batch_check(batch, err);
  if (code) {
    return code;
  }
  enter(self);
  return leave(self, memory_commit(self, batch, err));
}

/*
 * Reading.
 */

static int load_all(const memory_store *self, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row,
                    void *user) {
  int code = memory_log_load(&self->log, key, on_event, user);
  for (const memory_table *table = self->tables; table && !code; table = table->next) {
    if (table->is_open && table->type.is_loaded) {
      code = memory_rows_load(table, key, on_row, user);
    }
  }
  return code;
}

static int load(cafe_store *store, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row, void *user,
                cafe_err *err) {
  (void)err;
  memory_store *self = self_of(store);
  enter(self);
  return leave(self, load_all(self, key, on_event, on_row, user));
}

static int read_log(cafe_store *store, cafe_log_query *query, cafe_event_sink on_event, void *user, cafe_err *err) {
  memory_store *self = self_of(store);
  enter(self);
  return leave(self, memory_log_read(&self->log, query, UINT64_MAX, on_event, user, err));
}

static int load_changes(memory_store *self, cafe_change_query *query, cafe_event_sink on_event, cafe_row_sink on_row,
                        void *user, cafe_err *err) {
  const memory_table *table = memory_find_table(self, query->table);
  if (!table) {
    return memory_unknown_table(query->table, err);
  }
  int code = memory_log_read(&self->log, query->log, query->until, on_event, user, err);
  for (uint32_t i = 0; i < query->key_count && !code; i++) {
    code = memory_rows_load(table, query->keys[i], on_row, user);
  }
  return code;
}

static int read_changes(cafe_store *store, cafe_change_query *query, cafe_event_sink on_event, cafe_row_sink on_row,
                        void *user, cafe_err *err) {
  memory_store *self = self_of(store);
  enter(self);
  return leave(self, load_changes(self, query, on_event, on_row, user, err));
}

static int read_rows(cafe_store *store, const cafe_row_query *query, cafe_row_sink on_row, void *user, cafe_err *err) {
  memory_store *self = self_of(store);
  enter(self);
  const memory_table *table = memory_find_table(self, query->table);
  return leave(self,
               table ? memory_rows_read(table, query, on_row, user, err) : memory_unknown_table(query->table, err));
}

static int read_key(cafe_store *store, cafe_key_record *out, cafe_slice scope, cafe_slice key, cafe_slice fingerprint,
                    cafe_arena *arena, cafe_err *err) {
  memory_store *self = self_of(store);
  cafe_slice name;
  memset(out, 0, sizeof(*out));
  enter(self);
  int code = memory_name_key(&name, self, scope, key);
  if (code == CAFE_OK) {
    code = memory_describe_key(out, map_get_bytes(self->keys, name), fingerprint, arena);
  }
  (void)leave(self, code);
  return code ? cafe_fail(err, CAFE_NOMEM, "Memory was refused to read a client's key.") : CAFE_OK;
}

static int read_checkpoints(cafe_store *store, const char *name, cafe_checkpoint_sink on_checkpoint, void *user,
                            cafe_err *err) {
  (void)err;
  memory_store *self = self_of(store);
  int code = CAFE_OK;
  enter(self);
  const subscription *found = memory_find_subscription(self, name);
  if (found) {
    sorted_cursor cursor = sorted_seek(&found->places, 0, 0);
    for (const sorted_entry *entry; !code && (entry = sorted_next(&cursor));) {
      const checkpoint *place = entry->value;
      const cafe_checkpoint out = {
          .subscription = found->name,
          .log_id = entry->key,
          .shard = (uint32_t)(entry->sub >> 32),
          .partition = (int32_t)(uint32_t)entry->sub - 1,
          .n = place->n,
      };
      if (place->n) {
        code = on_checkpoint(&out, user);
      }
    }
  }
  return leave(self, code);
}

/* All at once: they are found by looking at all, and in memory that takes no time to speak of. */
static int forget_keys(cafe_store *store, cafe_forget *forget, cafe_err *err) {
  (void)err;
  memory_store *self = self_of(store);
  enter(self);
  map_entry *next;
  for (map_entry *entry = map_first(self->keys); entry; entry = next) {
    key_entry *key = map_value(entry);
    next = map_next(entry);
    if (key->time_ms < forget->before_ms) {
      (void)map_remove_bytes(self->keys, key->name);
      memory_free(self, key);
      forget->count++;
    }
  }
  forget->is_done = true;
  return leave(self, CAFE_OK);
}

/*
 * Making and freeing.
 */

static void destroy(cafe_store *store) {
  memory_store *self = self_of(store);
  memory_log_deinit(&self->log);
  for (memory_table *table = self->tables; table;) {
    memory_table *next = table->next;
    memory_table_destroy(table);
    table = next;
  }
  pool_deinit(&self->rows);
  for (map_entry *entry = self->keys ? map_first(self->keys) : NULL; entry; entry = map_next(entry)) {
    memory_free(self, map_value(entry));
  }
  map_destroy(self->keys);
  for (subscription *of = self->subscriptions; of;) {
    subscription *next = of->next;
    sorted_cursor cursor = sorted_seek(&of->places, 0, 0);
    for (const sorted_entry *entry; (entry = sorted_next(&cursor));) {
      memory_free(self, entry->value);
    }
    sorted_deinit(&of->places);
    memory_free(self, of);
    of = next;
  }
  memory_free(self, self->undos);
  memory_free(self, self->name);
  if (self->is_threaded) {
    (void)pthread_mutex_destroy(&self->lock);
  }
  memory_free(self, self);
}

#define MEMORY_OPS(is_inline_)                                                                                         \
  {                                                                                                                    \
    sizeof(cafe_store_ops), "memory", (is_inline_), open_store, commit, load, read_log, read_rows, read_key,           \
        read_checkpoints, destroy, read_changes, NULL, NULL, NULL, forget_keys, make_shadow, drop_shadow, replace      \
  }
static const cafe_store_ops inline_ops = MEMORY_OPS(true);
static const cafe_store_ops threaded_ops = MEMORY_OPS(false);

int cafe_memory_create(cafe_store **out, const cafe_memory_options *options, cafe_err *err) {
  cafe_memory_options all = CAFE_MEMORY_OPTIONS_INIT;
  int code =
      options ? SIZED_READ(&all, options, cafe_memory_options, is_threaded, "CAFE_MEMORY_OPTIONS_INIT", err) : CAFE_OK;
  if (code) {
    return code;
  }
  const cafe_allocator *allocator = all.allocator ? all.allocator : cafe_allocator_default();
  memory_store *self = allocator->resize(NULL, sizeof(*self), allocator->user);
  if (!self) {
    return cafe_fail(err, CAFE_NOMEM, "Memory was refused for a memory store.");
  }
  memset(self, 0, sizeof(*self));
  self->base.ops = all.is_threaded ? &threaded_ops : &inline_ops;
  self->allocator = *allocator;
  memory_log_init(&self->log, allocator);
  pool_init(&self->rows, allocator);
  code = store_random_id(&self->log_id, err);
  if (code) {
    goto fail;
  }
  self->keys = map_create(allocator, MAP_BYTES);
  if (!self->keys) {
    code = cafe_fail(err, CAFE_NOMEM, "Memory was refused for a memory store.");
    goto fail;
  }
  if (all.is_threaded) {
    if (pthread_mutex_init(&self->lock, NULL) != 0) {
      code = cafe_fail(err, CAFE_NOMEM, "The system refused a lock for a memory store.");
      goto fail;
    }
    self->is_threaded = true;
  }
  *out = &self->base;
  return CAFE_OK;

fail:
  destroy(&self->base);
  return code;
}
