/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Watching a store: units, once they are committed, and what is read. A unit's lines are its parts in the order in
 * which the store has them; what a unit that conflicted would have written isn't told, since it isn't there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "trace_watch.h"

/* The parts of a unit, one line each; the first has its name. */
typedef struct unit_lines {
  const watched *of;
  const char *what;
  bool is_begun;
} unit_lines;

__attribute__((format(printf, 3, 4))) static void unit_line(unit_lines *lines, const char *details, const char *format,
                                                            ...) {
  char subject[64];
  va_list args;
  va_start(args, format);
  vsnprintf(subject, sizeof(subject), format, args);
  va_end(args);
  trace_line(lines->of->trace, !lines->is_begun, lines->of->node, lines->what, subject, details);
  lines->is_begun = true;
}

static int64_t number_in(const cafe_row_write *row, const char *field) {
  int index = cafe_schema_find(row->table->row, cafe_text(field));
  assert_true(index >= 0);
  return cafe_schema_get(row->table->row, row->data, (uint32_t)index).number;
}

static void tell_row(unit_lines *lines, const cafe_row_write *row, trace_text *shown) {
  const char *table = row->table->name;
  unsigned long long key = row->key;
  trace_text out = {"", 0};
  char time[24];
  if (strcmp(table, "sagas") == 0) {
    trace_saga(&out, row->data);
    unit_line(lines, out.text, "saga of %llu", key);
  } else if (strcmp(table, "wakes") == 0) {
    if (row->data)
      trace_add(&out, "due at %s", trace_time(time, number_in(row, "due_ms")));
    else
      trace_add(&out, "removed");
    unit_line(lines, out.text, "wake of %llu", key);
  } else if (strcmp(table, "attempts") == 0) {
    if (row->data)
      trace_add(&out, "attempt %lld", (long long)number_in(row, "attempt"));
    else
      trace_add(&out, "removed");
    if (row->data && number_in(row, "due_ms"))
      trace_add(&out, " failed, next at %s", trace_time(time, number_in(row, "due_ms")));
    unit_line(lines, out.text, "task %llu of %llu", (unsigned long long)(row->sub & UINT32_MAX), key);
  } else if (strcmp(table, "ids") == 0) {
    trace_add(&out, "keys below %lld are this node's", (long long)number_in(row, "next"));
    unit_line(lines, out.text, "ids");
  } else {
    trace_add(shown, "%s%s", shown->size ? ", " : "", table);
    if (row->sub)
      trace_add(shown, " %llu", (unsigned long long)row->sub);
    trace_add(shown, " ");
    if (row->data)
      trace_row(shown, row->table->row, row->data);
    else
      trace_add(shown, "gone");
  }
}

static void tell_key(unit_lines *lines, const cafe_key_write *key) {
  trace_text out = {"", 0};
  if (key->mode != CAFE_KEY_REPLY)
    trace_add(&out, "names %llu", (unsigned long long)key->stream_key);
  if (key->mode != CAFE_KEY_REPLY && key->replaces)
    trace_add(&out, ", no longer %llu", (unsigned long long)key->replaces);
  if (key->mode != CAFE_KEY_CLAIM)
    trace_add(&out, "%sanswer \"%.*s\"", out.size ? ", " : "", (int)key->reply.size, key->reply.data);
  unit_line(lines, out.text, "key %.*s", (int)key->key.size, key->key.data);
}

static void tell_unit(const watched *of, const cafe_unit *unit, bool is_first) {
  unit_lines lines = {of, is_first ? "commit" : "+ commit", false};
  for (uint32_t i = 0; i < unit->event_count; i++) {
    trace_text out = {"", 0};
    trace_event(&out, unit->events[i].type, unit->events[i].data);
    unit_line(&lines, out.text, "%s %llu v%llu", unit->events[i].aggregate, (unsigned long long)unit->events[i].key,
              (unsigned long long)unit->events[i].version);
  }
  trace_text rows = {"", 0};
  for (uint32_t i = 0; i < unit->row_count; i++) {
    tell_row(&lines, &unit->rows[i], &rows);
  }
  if (rows.size) {
    unit_line(&lines, rows.text, "rows of %llu", (unsigned long long)unit->rows[0].key);
  }
  if (unit->client_key) {
    tell_key(&lines, unit->client_key);
  }
  for (uint32_t i = 0; i < unit->checkpoint_count; i++) {
    trace_text out = {"", 0};
    trace_add(&out, "has read up to %llu", (unsigned long long)unit->checkpoints[i].n);
    unit_line(&lines, out.text, "%s", unit->checkpoints[i].subscription);
  }
}

static void tell_conflict(const watched *of, const cafe_unit *unit) {
  static const char *const what[] = {"open",           "done",     "the stream", "a row", "the client's key",
                                     "the checkpoint", "the lease"};
  char subject[64];
  snprintf(subject, sizeof(subject), "unit of %llu", (unsigned long long)unit->key);
  trace_text out = {"", 0};
  trace_add(&out, "%s had moved on", what[unit->result]);
  if (unit->result == CAFE_UNIT_KEY_CONFLICT) {
    trace_add(&out, ": it names %llu", (unsigned long long)unit->key_found.stream_key);
  }
  trace_line(of->trace, true, of->node, "conflict", subject, out.text);
}

static int store_commit(cafe_store *self, cafe_batch *batch, cafe_err *err) {
  const watched *of = trace_watched(self->ops);
  int code = ((const cafe_store_ops *)of->original)->commit(self, batch, err);
  if (code) {
    trace_say(of->trace, of->node, "commit", "fails", "%s", cafe_code_name(code));
    return code;
  }
  bool is_first = true;
  for (uint32_t i = 0; i < batch->unit_count; i++) {
    if (batch->units[i]->result == CAFE_UNIT_DONE) {
      tell_unit(of, batch->units[i], is_first);
      is_first = false;
    } else {
      tell_conflict(of, batch->units[i]);
    }
  }
  return CAFE_OK;
}

typedef struct reading {
  cafe_event_sink on_event;
  cafe_row_sink on_row;
  void *user;
  uint32_t events, rows;
  trace_text text;
} reading;

static int count_event(const cafe_stored_event *event, void *user) {
  reading *r = user;
  r->events++;
  return r->on_event(event, r->user);
}

static int count_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                     void *user) {
  reading *r = user;
  r->rows++;
  return r->on_row(table, key, sub, version, data, r->user);
}

static int store_load(cafe_store *self, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row, void *user,
                      cafe_err *err) {
  const watched *of = trace_watched(self->ops);
  reading r = {on_event, on_row, user, 0, 0, {"", 0}};
  char subject[32];
  int code = ((const cafe_store_ops *)of->original)->load(self, key, count_event, count_row, &r, err);
  snprintf(subject, sizeof(subject), "%llu", (unsigned long long)key);
  trace_say(of->trace, of->node, "load", subject, "%u events, %u rows", r.events, r.rows);
  return code;
}

static int name_event(const cafe_stored_event *event, void *user) {
  reading *r = user;
  trace_add_read(&r->text, event);
  return r->on_event(event, r->user);
}

/* In one node only views read the log by themselves, each its types: everything else is in the unit of the event. */
static int store_read_log(cafe_store *self, cafe_log_query *query, cafe_event_sink on_event, void *user,
                          cafe_err *err) {
  const watched *of = trace_watched(self->ops);
  reading r = {on_event, NULL, user, 0, 0, {"", 0}};
  int code = ((const cafe_store_ops *)of->original)->read_log(self, query, name_event, &r, err);
  if (r.text.size && query->types && !of->trace->is_split) {
    trace_line(of->trace, true, of->node, "record", "for the dashboard", r.text.text);
  }
  return code;
}

void trace_store(trace *t, const char *node, cafe_store *store) {
  watched *of = trace_watch(t, node, (const void **)&store->ops, sizeof(*store->ops));
  of->ops.store.commit = store_commit;
  of->ops.store.load = store_load;
  of->ops.store.read_log = store_read_log;
}
