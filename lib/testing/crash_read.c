/* SPDX-License-Identifier: Apache-2.0 */

/* What the stores have, read beside the nodes: so it says what is durable, not what somebody has in memory. */
#include <inttypes.h>

#include "base/str.h"
#include "testing/crash_core.h"

/* What is looked for under one key. */
typedef struct reader {
  cafe_crash *run;
  const cafe_aggregate *aggregate; /* its events … */
  void *state;                     /* … folded, */
  given_list events;               /* and kept */
  const cafe_saga *saga;
  bool is_found;
  cafe_slice phase, steps;
  cafe_err err;
} reader;

static int nothing_of_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                          void *user) {
  (void)table;
  (void)key;
  (void)sub;
  (void)version;
  (void)data;
  (void)user;
  return CAFE_OK;
}

static int nothing_of_event(const cafe_stored_event *event, void *user) {
  (void)event;
  (void)user;
  return CAFE_OK;
}

static const cafe_schema *type_of(const cafe_aggregate *aggregate, const char *name) {
  const cafe_schema *const *type = aggregate->events;
  while (*type && strcmp((*type)->name, name) != 0) {
    type++;
  }
  return *type;
}

static int take_event(const cafe_stored_event *stored, void *user) {
  reader *self = user;
  cafe_arena *arena = self->run->arena;
  const cafe_aggregate *aggregate = self->aggregate;
  if (strcmp(stored->aggregate, aggregate->name) != 0) {
    return CAFE_OK;
  }
  const cafe_schema *type = type_of(aggregate, stored->type);
  if (!type) {
    return cafe_fail(&self->err, CAFE_INVALID, "the store has a %s of %s, which doesn't list it", stored->type,
                     aggregate->name);
  }
  given_item *item = cafe_arena_alloc(arena, sizeof(*item));
  void *data = cafe_arena_alloc(arena, type->width);
  cafe_slice bytes;
  if (!item || !data || cafe_arena_copy(&bytes, arena, stored->data)) {
    return cafe_fail(&self->err, CAFE_NOMEM, "no memory to read events");
  }
  int code = cafe_schema_decode(data, type, bytes, &self->err);
  if (code) {
    return code;
  }
  item->fact = (cafe_fact){.type = type, .data = data, .size = type->width};
  if (self->events.last) {
    self->events.last->next = item;
  } else {
    self->events.first = item;
  }
  self->events.last = item;
  self->is_found = true;
  cafe_event event = {.type = type,
                      .aggregate = aggregate->name,
                      .key = stored->key,
                      .version = stored->version,
                      .time_ms = stored->time_ms,
                      .position = {0, stored->shard, stored->n},
                      .data = data};
  code = aggregate->evolve(self->state, &event, arena, aggregate->user);
  return code ? cafe_fail(&self->err, (cafe_code)code, "%s can't evolve by %s", aggregate->name, type->name) : CAFE_OK;
}

/* The table `sagas`, by the names of its columns. */
static int take_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                    void *user) {
  reader *self = user;
  (void)key;
  (void)sub;
  (void)version;
  if (strcmp(table->name, "sagas") != 0) {
    return CAFE_OK;
  }
  int name = cafe_schema_find(table->row, cafe_text("name"));
  int phase = cafe_schema_find(table->row, cafe_text("phase"));
  int steps = cafe_schema_find(table->row, cafe_text("steps"));
  if (name < 0 || phase < 0 || steps < 0) {
    return cafe_fail(&self->err, CAFE_INVALID, "the table sagas isn't as this library knows it");
  }
  if (!cafe_slice_equal(cafe_schema_get(table->row, data, (uint32_t)name).bytes, cafe_text(self->saga->name))) {
    return CAFE_OK;
  }
  self->is_found = true;
  self->phase = cafe_schema_get(table->row, data, (uint32_t)phase).bytes;
  return cafe_arena_copy(&self->steps, self->run->arena, cafe_schema_get(table->row, data, (uint32_t)steps).bytes)
             ? cafe_fail(&self->err, CAFE_NOMEM, "no memory to read a saga")
             : CAFE_OK;
}

/* In the store of the node that has it. */
static bool read_key(reader *self, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row) {
  cafe_crash *run = self->run;
  for (uint32_t i = 0; i < run->count && !self->is_found && !run->is_wrong; i++) {
    cafe_store *store = run->processes[i].inner;
    cafe_err err = {0};
    int code = store ? store->ops->load(store, key, on_event, on_row, self, &err) : CAFE_OK;
    if (code) {
      cafe_crash_wrong(run, "key %" PRIu64 " can't be read from the store of node %u: %s", key, i,
                       self->err.code ? self->err.text : err.text);
    }
  }
  return !run->is_wrong;
}

static bool read_stream(reader *self, cafe_crash *run, const cafe_aggregate *aggregate, uint64_t key) {
  memset(self, 0, sizeof(*self));
  self->run = run;
  self->aggregate = aggregate;
  self->state = cafe_arena_alloc(run->arena, aggregate->state->width);
  if (!self->state) {
    return cafe_crash_wrong(run, "no memory to read a stream");
  }
  return read_key(self, key, take_event, nothing_of_row);
}

const void *cafe_crash_state(cafe_crash *run, const cafe_aggregate *aggregate, uint64_t key) {
  reader self;
  return read_stream(&self, run, aggregate, key) ? self.state : NULL;
}

static void compare(given_words *words, const given_item *got, const cafe_fact *wanted) {
  for (unsigned number = 1; got || (wanted && wanted->type); number++) {
    const cafe_fact *one = wanted && wanted->type ? wanted : NULL;
    const char *where = arena_printf(words->arena, "  event %u: ", number);
    const char *name = one ? one->type->name : "nothing", *name_got = got ? got->fact.type->name : "nothing";
    if (!where) {
      words->is_cut = true;
      return;
    }
    if (!one || !got || one->type != got->fact.type) {
      words_add(words, "%swanted %s, got %s", where, name, name_got);
    } else if (one->data) {
      words_compare(words, where, one->type, one->data, got->fact.data);
    }
    wanted = one ? wanted + 1 : NULL;
    got = got ? got->next : NULL;
  }
}

bool cafe_crash_happened(cafe_crash *run, const cafe_aggregate *aggregate, uint64_t key, const cafe_fact *events) {
  reader self;
  given_words words = {run->arena, NULL, false};
  if (!read_stream(&self, run, aggregate, key)) {
    return false;
  }
  compare(&words, self.events.first, events);
  return !words.text && !words.is_cut
             ? true
             : cafe_crash_wrong(run, "the stream %s %" PRIu64 " isn't what was wanted:\n%s", aggregate->name, key,
                                words.text ? words.text : "  there is no memory to say how");
}

bool cafe_crash_stands(cafe_crash *run, const cafe_saga *saga, uint64_t key, const char *phase, const char *steps) {
  reader self = {.run = run, .saga = saga, .phase = cafe_text("none")};
  if (!read_key(&self, key, nothing_of_event, take_row)) {
    return false;
  }
  if (cafe_slice_equal(self.phase, cafe_text(phase)) && cafe_slice_equal(self.steps, cafe_text(steps))) {
    return true;
  }
  return cafe_crash_wrong(run, "the saga %s of key %" PRIu64 " was wanted %s at \"%s\", and is %.*s at \"%.*s\"",
                          saga->name, key, phase, steps, (int)self.phase.size, self.phase.data, (int)self.steps.size,
                          self.steps.data ? self.steps.data : "");
}
