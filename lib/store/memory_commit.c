/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A batch's way into memory. The invariant: between two batches the store holds whole units only. A unit is applied
 * write by write, each write checked as it is made; before a write changes anything, what undoes it is noted, in memory
 * that was reserved first. A conflict undoes its unit, a refusal of memory the whole batch, and undoing allocates
 * nothing: the log is cut, old rows and keys are put back. What was replaced is freed when the batch stands.
 */
#include "store/memory_store.h"

#include <assert.h>
#include <string.h>

#include "store/store.h"

/*
 * Undoing.
 */

/* Room for one more: after that the write may be made. */
static undo *reserve_undo(memory_store *self) {
  if (self->undo_count == self->undo_room) {
    size_t room = self->undo_room ? self->undo_room * 2 : 256;
    undo *undos = self->allocator.resize(self->undos, room * sizeof(*undos), self->allocator.user);
    if (!undos) {
      return NULL;
    }
    self->undos = undos;
    self->undo_room = room;
  }
  return &self->undos[self->undo_count];
}

static void undo_row(const undo *done) {
  memory_table *table = done->of.row.table;
  void **place = sorted_find(&table->rows, done->of.row.key, done->of.row.sub);
  assert(place);
  memory_row_destroy(table, *place);
  *place = done->of.row.old;
  if (done->is_new) {
    sorted_remove(&table->rows, done->of.row.key, done->of.row.sub);
  }
}

static void undo_key(memory_store *self, const undo *done) {
  key_entry *made = done->of.key.made;
  if (done->of.key.old) {
    (void)map_put_bytes(self->keys, made->name, done->of.key.old);
  } else {
    (void)map_remove_bytes(self->keys, made->name);
  }
  memory_free(self, made);
}

/* Back to when there were `count` writes and the log ended at `mark`. Backwards: what a write made may be what a later
 * one replaced. */
static void undo_to(memory_store *self, size_t count, log_mark mark) {
  while (self->undo_count > count) {
    const undo *done = &self->undos[--self->undo_count];
    switch (done->kind) {
    case UNDO_ROW:
      undo_row(done);
      break;
    case UNDO_KEY:
      undo_key(self, done);
      break;
    case UNDO_CHECKPOINT:
      done->of.checkpoint.place->n = done->of.checkpoint.old;
      break;
    }
  }
  memory_log_cut(&self->log, mark);
}

/* The batch stands: what its writes replaced goes, and the places of rows that it removed. */
static void forget_undos(memory_store *self) {
  for (size_t i = 0; i < self->undo_count; i++) {
    const undo *done = &self->undos[i];
    if (done->kind == UNDO_KEY) {
      memory_free(self, done->of.key.old);
    } else if (done->kind == UNDO_ROW) {
      memory_table *table = done->of.row.table;
      memory_row_destroy(table, done->of.row.old);
      if (done->is_removal) {
        /* A later unit may have made the row anew. */
        void **place = sorted_find(&table->rows, done->of.row.key, done->of.row.sub);
        if (place && !*place) {
          sorted_remove(&table->rows, done->of.row.key, done->of.row.sub);
        }
      }
    }
  }
  self->undo_count = 0;
}

/*
 * Writing. Each returns CAFE_OK, CAFE_CONFLICT or a failure; after anything but CAFE_OK it changed nothing.
 */

static int write_row(memory_store *self, const cafe_row_write *write, cafe_err *err) {
  memory_table *table = memory_find_table(self, write->table);
  if (!table) {
    return memory_unknown_table(write->table, err);
  }
  void **place = sorted_find(&table->rows, write->key, write->sub);
  memory_row *old = place ? *place : NULL;
  if ((old ? old->version : 0) != write->expected) {
    return CAFE_CONFLICT;
  }
  undo *done = reserve_undo(self);
  if (!done) {
    return CAFE_NOMEM;
  }
  memory_row *row = NULL;
  if (write->data) {
    row = memory_row_create(table, write->expected + 1, write->data);
    if (!row) {
      return CAFE_NOMEM;
    }
  }
  if (place) {
    *place = row;
  } else if (sorted_add(&table->rows, write->key, write->sub, row)) {
    memory_row_destroy(table, row);
    return CAFE_NOMEM;
  }
  done->kind = UNDO_ROW;
  done->is_new = !place;
  done->is_removal = !row;
  done->of.row.table = table;
  done->of.row.key = write->key;
  done->of.row.sub = write->sub;
  done->of.row.old = old;
  self->undo_count++;
  return CAFE_OK;
}

static void put_bytes(char **at, const void *bytes, size_t size) {
  if (size) {
    memcpy(*at, bytes, size);
    *at += size;
  }
}

/* Scope and key as one name; the scope's size in front keeps ("a", "bc") and ("ab", "c") apart. */
int memory_name_key(cafe_slice *out, memory_store *self, cafe_slice scope, cafe_slice key) {
  uint64_t scope_size = scope.size;
  size_t size = sizeof(scope_size) + scope.size + key.size;
  if (size > self->name_room) {
    size_t room = size < 512 ? 512 : size;
    char *name = self->allocator.resize(self->name, room, self->allocator.user);
    if (!name) {
      return CAFE_NOMEM;
    }
    self->name = name;
    self->name_room = room;
  }
  char *at = self->name;
  put_bytes(&at, &scope_size, sizeof(scope_size));
  put_bytes(&at, scope.data, scope.size);
  put_bytes(&at, key.data, key.size);
  *out = (cafe_slice){self->name, size};
  return CAFE_OK;
}

static key_entry *make_key(memory_store *self, cafe_slice name, cafe_slice fingerprint, uint64_t stream_key,
                           int64_t time_ms, bool has_reply, cafe_slice reply) {
  key_entry *entry = memory_alloc(self, sizeof(*entry) + name.size + fingerprint.size + reply.size);
  if (entry) {
    char *at = entry->bytes;
    entry->name = (cafe_slice){at, name.size};
    put_bytes(&at, name.data, name.size);
    entry->stream_key = stream_key;
    entry->time_ms = time_ms;
    entry->has_reply = has_reply;
    entry->fingerprint = (cafe_slice){at, fingerprint.size};
    put_bytes(&at, fingerprint.data, fingerprint.size);
    entry->reply = (cafe_slice){at, reply.size};
    put_bytes(&at, reply.data, reply.size);
  }
  return entry;
}

int memory_describe_key(cafe_key_record *out, const key_entry *entry, cafe_slice fingerprint, cafe_arena *arena) {
  memset(out, 0, sizeof(*out));
  if (!entry) {
    return CAFE_OK;
  }
  int code = cafe_arena_copy(&out->reply, arena, entry->reply);
  if (code == CAFE_OK) {
    out->found = true;
    out->same_request = cafe_slice_equal(entry->fingerprint, fingerprint);
    out->has_reply = entry->has_reply;
    out->stream_key = entry->stream_key;
  }
  return code;
}

static int write_key(memory_store *self, cafe_unit *unit, cafe_arena *arena) {
  const cafe_key_write *write = unit->client_key;
  cafe_slice name;
  int code = memory_name_key(&name, self, write->scope, write->key);
  if (code) {
    return code;
  }
  key_entry *old = map_get_bytes(self->keys, name);
  if (!old && write->mode == CAFE_KEY_REPLY) {
    return CAFE_OK;
  }
  if (old && !store_key_is_free(write, old->stream_key, old->has_reply)) {
    code = memory_describe_key(&unit->key_found, old, write->fingerprint, arena);
    return code ? code : CAFE_CONFLICT;
  }
  undo *done = reserve_undo(self);
  if (!done) {
    return CAFE_NOMEM;
  }
  cafe_slice none = {NULL, 0};
  key_entry *entry = write->mode == CAFE_KEY_REPLY
                         ? make_key(self, name, old->fingerprint, old->stream_key, write->time_ms, true, write->reply)
                         : make_key(self, name, write->fingerprint, write->stream_key, write->time_ms,
                                    write->mode == CAFE_KEY_BOTH, write->mode == CAFE_KEY_BOTH ? write->reply : none);
  if (!entry || map_put_bytes(self->keys, name, entry)) {
    memory_free(self, entry);
    return CAFE_NOMEM;
  }
  done->kind = UNDO_KEY;
  done->of.key.made = entry;
  done->of.key.old = old;
  self->undo_count++;
  return CAFE_OK;
}

static subscription *find_subscription(const memory_store *self, const char *name) {
  subscription *found = self->subscriptions;
  while (found && strcmp(found->name, name) != 0) {
    found = found->next;
  }
  return found;
}

const subscription *memory_find_subscription(const memory_store *self, const char *name) {
  return find_subscription(self, name);
}

static subscription *get_subscription(memory_store *self, const char *name) {
  subscription *found = find_subscription(self, name);
  if (!found) {
    size_t size = strlen(name) + 1;
    found = memory_alloc(self, sizeof(*found) + size);
    if (found) {
      memcpy(found->name, name, size);
      sorted_init(&found->places, &self->allocator);
      found->next = self->subscriptions;
      self->subscriptions = found;
    }
  }
  return found;
}

/* Shard and partition as one number; -1 comes first. */
static uint64_t place_of(uint32_t shard, int32_t partition) {
  return (uint64_t)shard << 32 | (uint32_t)(partition + 1);
}

/* The checkpoint's place, made with n 0 if need be: that says nothing yet, so nothing has to undo it. */
static checkpoint *get_place(memory_store *self, const cafe_checkpoint *of) {
  subscription *in = get_subscription(self, of->subscription);
  if (!in) {
    return NULL;
  }
  uint64_t sub = place_of(of->shard, of->partition);
  void **found = sorted_find(&in->places, of->log_id, sub);
  if (found) {
    return *found;
  }
  checkpoint *place = memory_alloc(self, sizeof(*place));
  if (place) {
    place->n = 0;
    if (sorted_add(&in->places, of->log_id, sub, place)) {
      memory_free(self, place);
      place = NULL;
    }
  }
  return place;
}

static int set_place(memory_store *self, checkpoint *place, uint64_t n) {
  undo *done = reserve_undo(self);
  if (!done) {
    return CAFE_NOMEM;
  }
  done->kind = UNDO_CHECKPOINT;
  done->of.checkpoint.place = place;
  done->of.checkpoint.old = place->n;
  self->undo_count++;
  place->n = n;
  return CAFE_OK;
}

static int write_checkpoint(memory_store *self, const cafe_checkpoint *write) {
  checkpoint *place = get_place(self, write);
  if (!place) {
    return CAFE_NOMEM;
  }
  return place->n == write->expected ? set_place(self, place, write->n) : CAFE_CONFLICT;
}

/* CAFE_CONFLICT: *conflict says of which kind. The client's key comes first: who repeats a request wants to be told so,
 * whatever else has changed meanwhile. */
static int write_unit(memory_store *self, cafe_unit *unit, cafe_arena *arena, cafe_unit_result *conflict,
                      cafe_err *err) {
  int code = CAFE_OK;
  if (unit->lease) {
    return cafe_fail(err, CAFE_UNSUPPORTED, "The memory store has no leases: it serves one node.");
  }
  *conflict = CAFE_UNIT_KEY_CONFLICT;
  if (unit->client_key) {
    code = write_key(self, unit, arena);
    if (code) {
      return code;
    }
  }
  *conflict = CAFE_UNIT_STREAM_CONFLICT;
  for (uint32_t i = 0; i < unit->event_count; i++) {
    code = memory_log_append(&self->log, &unit->events[i]);
    if (code) {
      return code;
    }
  }
  *conflict = CAFE_UNIT_ROW_CONFLICT;
  for (uint32_t i = 0; i < unit->row_count; i++) {
    code = write_row(self, &unit->rows[i], err);
    if (code) {
      return code;
    }
  }
  *conflict = CAFE_UNIT_CHECKPOINT_CONFLICT;
  for (uint32_t i = 0; i < unit->checkpoint_count; i++) {
    code = write_checkpoint(self, &unit->checkpoints[i]);
    if (code) {
      return code;
    }
  }
  return CAFE_OK;
}

static int tell_failure(int code, cafe_err *err) {
  return code == CAFE_NOMEM ? cafe_fail(err, CAFE_NOMEM, "Memory was refused to the memory store: nothing was written.")
                            : code;
}

int memory_commit(memory_store *self, cafe_batch *batch, cafe_err *err) {
  log_mark start = memory_log_mark(&self->log);
  for (uint32_t i = 0; i < batch->unit_count; i++) {
    cafe_unit *unit = batch->units[i];
    cafe_unit_result conflict = CAFE_UNIT_OPEN;
    size_t undo_count = self->undo_count;
    log_mark mark = memory_log_mark(&self->log);
    int code = write_unit(self, unit, batch->arena, &conflict, err);
    unit->result = CAFE_UNIT_DONE;
    if (code == CAFE_CONFLICT) {
      undo_to(self, undo_count, mark);
      unit->result = conflict;
    } else if (code) {
      undo_to(self, 0, start);
      for (uint32_t k = 0; k <= i; k++) {
        batch->units[k]->result = CAFE_UNIT_OPEN;
      }
      return tell_failure(code, err);
    }
  }
  forget_undos(self);
  return CAFE_OK;
}

static int forget_checkpoints(memory_store *self, const char *name) {
  const subscription *found = find_subscription(self, name);
  if (!found) {
    return CAFE_OK;
  }
  int code = CAFE_OK;
  sorted_cursor cursor = sorted_seek(&found->places, 0, 0);
  for (const sorted_entry *entry; code == CAFE_OK && (entry = sorted_next(&cursor));) {
    code = set_place(self, entry->value, 0);
  }
  return code;
}

int memory_commit_anew(memory_store *self, const char *const *subscriptions, cafe_unit *unit, cafe_arena *arena,
                       cafe_err *err) {
  log_mark start = memory_log_mark(&self->log);
  cafe_unit_result conflict = CAFE_UNIT_OPEN;
  int code = CAFE_OK;
  for (; subscriptions && *subscriptions && code == CAFE_OK; subscriptions++) {
    code = forget_checkpoints(self, *subscriptions);
  }
  if (code == CAFE_OK) {
    code = write_unit(self, unit, arena, &conflict, err);
  }
  unit->result = code == CAFE_OK ? CAFE_UNIT_DONE : code == CAFE_CONFLICT ? conflict : CAFE_UNIT_OPEN;
  if (code == CAFE_OK) {
    forget_undos(self);
    return CAFE_OK;
  }
  undo_to(self, 0, start);
  if (code == CAFE_CONFLICT) {
    return CAFE_OK;
  }
  return tell_failure(code, err);
}
