/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A state here is only ever what evolve makes of events that the aggregate lists. So no test of the rules can start
 * from a state that no stream could be in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "decider.h"
#include "failing_alloc.h"

#define KEY 1041

void decider_init(decider *self, const cafe_aggregate *aggregate) {
  memset(self, 0, sizeof(*self));
  self->aggregate = aggregate;
  self->arena = cafe_arena_create(NULL);
  assert_non_null(self->arena);
  decider_reset(self);
}

void decider_deinit(decider *self) { cafe_arena_destroy(self->arena); }

void decider_reset(decider *self) {
  cafe_arena_reset(self->arena);
  self->state = cafe_arena_alloc(self->arena, self->aggregate->state->width);
  assert_non_null(self->state);
  self->version = 0;
  self->now_ms = 1000;
}

void decider_given(decider *self, const cafe_schema *event, const void *data) {
  const cafe_schema *const *known = self->aggregate->events;
  while (*known && *known != event) {
    known++;
  }
  assert_ptr_equal(*known, event);
  cafe_event happened = {
      .type = event,
      .aggregate = self->aggregate->name,
      .key = KEY,
      .version = ++self->version,
      .time_ms = self->now_ms,
      .data = data,
  };
  assert_int_equal(self->aggregate->evolve(self->state, &happened, self->arena, NULL), CAFE_OK);
}

static void append(decider *self, const char *text) {
  size_t size = strlen(self->said);
  snprintf(self->said + size, sizeof(self->said) - size, "%s%s", size ? " " : "", text);
}

void decider_when(decider *self, const cafe_schema *command, const void *data) {
  static const char *const verdicts[] = {"", "accepted", "unchanged", "pending", "refused"};
  cafe_command asked = {command, KEY, self->now_ms, data};
  memset(&self->decision, 0, sizeof(self->decision));
  self->decision.events.arena = self->arena;
  self->verdict = self->aggregate->decide(&self->decision, self->state, &asked, NULL);
  assert_int_equal(self->decision.events.err.code, CAFE_OK);
  snprintf(self->said, sizeof(self->said), "%s", verdicts[self->verdict]);
  if (self->verdict == CAFE_REFUSED) {
    snprintf(self->said, sizeof(self->said), "refused:%s", self->decision.reason);
  }
  self->last = NULL;
  self->last_data = NULL;
  for (const collected *item = self->decision.events.first; item; item = item->next) {
    append(self, item->type->name);
    self->last = item->type;
    self->last_data = item->data;
  }
}

void decider_do(decider *self, const cafe_schema *command, const void *data) {
  decider_when(self, command, data);
  for (const collected *item = self->decision.events.first; item; item = item->next) {
    decider_given(self, item->type, item->data);
  }
}

const char *decider_said(const decider *self) { return self->said; }

const char *decider_wants(decider *self) {
  cafe_tasks tasks = {.wanted = {.arena = self->arena}};
  self->aggregate->tasks(&tasks, self->state, NULL);
  assert_int_equal(tasks.wanted.err.code, CAFE_OK);
  self->said[0] = '\0';
  for (const collected *item = tasks.wanted.first; item; item = item->next) {
    char text[64];
    snprintf(text, sizeof(text), "%u %s", (unsigned)item->id, item->type->name);
    append(self, text);
  }
  return self->said;
}

static void add_answer(char *line, size_t room, const decider *self) {
  static const char *const marks[] = {"", "", "-", "?", "!"};
  size_t size = strlen(line);
  snprintf(line + size, room - size, "%s%s%s", size ? " | " : "", marks[self->verdict],
           self->verdict == CAFE_REFUSED ? self->decision.reason : "");
  const char *gap = self->verdict == CAFE_REFUSED ? " " : "";
  for (const collected *item = self->decision.events.first; item; item = item->next) {
    size = strlen(line);
    snprintf(line + size, room - size, "%s%s", gap, item->type->name);
    gap = " ";
  }
}

void decider_table(const cafe_aggregate *aggregate, const decider_step *commands, const decider_row *rows) {
  int wrong = 0;
  decider it;
  decider_init(&it, aggregate);
  for (const decider_row *row = rows; row->state; row++) {
    char line[2048] = "";
    for (const decider_step *command = commands; command->type; command++) {
      decider_reset(&it);
      for (const decider_step *step = row->given; step->type; step++) {
        decider_given(&it, step->type, step->data);
      }
      decider_when(&it, command->type, command->data);
      add_answer(line, sizeof(line), &it);
    }
    if (strcmp(line, row->said) != 0) {
      print_error("%s, which is wrong:\n  says  %s\n  wants %s\n", row->state, line, row->said);
      wrong++;
    }
  }
  decider_deinit(&it);
  assert_int_equal(wrong, 0);
}

void decider_check_schemas(const cafe_aggregate *aggregate) {
  cafe_err err;
  assert_int_equal(cafe_schema_check(aggregate->state, &err), CAFE_OK);
  for (const cafe_command_type *command = aggregate->commands; command->command; command++) {
    assert_int_equal(cafe_schema_check(command->command, &err), CAFE_OK);
  }
  for (const cafe_schema *const *event = aggregate->events; *event; event++) {
    assert_int_equal(cafe_schema_check(*event, &err), CAFE_OK);
    for (uint32_t i = 0; i < (*event)->field_count; i++) {
      assert_false((*event)->fields[i].flags & CAFE_FIELD_SECRET);
    }
  }
}

static int happen(const cafe_aggregate *aggregate, const decider_step *given, const cafe_allocator *allocator) {
  cafe_arena *arena = cafe_arena_create(allocator);
  void *state = arena ? cafe_arena_alloc(arena, aggregate->state->width) : NULL;
  int code = state ? CAFE_OK : CAFE_NOMEM;
  for (uint64_t version = 1; !code && given->type; given++, version++) {
    cafe_event event = {.type = given->type,
                        .aggregate = aggregate->name,
                        .key = KEY,
                        .version = version,
                        .time_ms = 1000,
                        .data = given->data};
    code = aggregate->evolve(state, &event, arena, NULL);
  }
  cafe_arena_destroy(arena);
  return code;
}

void decider_starve(const cafe_aggregate *aggregate, const decider_step *given) {
  failing_alloc memory;
  int code = CAFE_OK;
  for (size_t n = 1; failing_alloc_begin(&memory, n); n++) {
    code = happen(aggregate, given, &memory.allocator);
    assert_int_equal(code, memory.refused ? CAFE_NOMEM : CAFE_OK);
    failing_alloc_end(&memory);
  }
  assert_int_equal(code, CAFE_OK);
}
