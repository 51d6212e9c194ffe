/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_SAGA_KIT_H
#define TEST_SAGA_KIT_H

/*
 * What the tests of the coordinator share: events and commands that say nothing but their names, a saga's memory, and a
 * rig that feeds one saga and writes down what it asks. With `restarts` the rig saves the saga after every input into a
 * row, and goes on with what it loads from there: each test runs both ways and must see the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "saga/coordinator.h"

/* Any event and any command. */
typedef struct kit_note {
  int64_t n;
  int64_t due_ms;
} kit_note;

static const cafe_field kit_note_fields[] = {
    CAFE_FIELD_OF(1, I64, kit_note, n),
    CAFE_FIELD_OF(2, TIME, kit_note, due_ms),
};

/* What the sagas here remember: how often they heard, and the last note. */
typedef struct kit_memory {
  int64_t heard;
  int64_t n;
  int64_t due_ms;
  cafe_slice last;
  cafe_slice token;
} kit_memory;

static const cafe_field kit_memory_fields[] = {
    CAFE_FIELD_OF(1, I64, kit_memory, heard),         CAFE_FIELD_OF(2, I64, kit_memory, n),
    CAFE_FIELD_OF(3, TIME, kit_memory, due_ms),       CAFE_FIELD_OF(4, TEXT, kit_memory, last),
    CAFE_FIELD_SECRET_OF(5, TEXT, kit_memory, token),
};
static const cafe_schema kit_memory_type = CAFE_SCHEMA_OF("Memory", kit_memory, kit_memory_fields);

static inline int kit_fold(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena,
                           void *user) {
  kit_memory *memory = data;
  const kit_note *note = event->data;
  memory->heard++;
  memory->n = note->n ? note->n : memory->n;
  memory->due_ms = note->due_ms ? note->due_ms : memory->due_ms;
  int code = cafe_arena_copy(&memory->last, arena, cafe_text(event->type->name));
  return code || !cause ? code : cafe_arena_copy(&memory->token, arena, cafe_text(cause->type->name));
}

#define EVENT(name)  static const cafe_schema name = CAFE_SCHEMA_OF(#name, kit_note, kit_note_fields)
#define SIGNALS(...) ((const cafe_schema *const[]){__VA_ARGS__, NULL})
#define STEPS(...)   ((const char *const[]){__VA_ARGS__, NULL})

/* A function that asks for one command of its name with a C in front. */
#define ASK(name)                                                                                                      \
  static const cafe_schema C##name = CAFE_SCHEMA_OF(#name, kit_note, kit_note_fields);                                 \
  static void name(cafe_reaction *out, const void *data, void *user) {                                                 \
    const kit_memory *memory = data;                                                                                   \
    kit_note note = {memory->n, 0};                                                                                    \
    cafe_react(out, &C##name, 7, &note, sizeof note);                                                                  \
  }

#define SAGA(name_, steps_, interrupts_, interrupt_count_)                                                             \
  {                                                                                                                    \
    CAFE_SAGA, name_, 1, &kit_memory_type, &Started, steps_, (uint32_t)(sizeof(steps_) / sizeof((steps_)[0])),         \
        interrupts_, interrupt_count_, NULL, kit_fold, NULL                                                            \
  }

enum { KIT_KEY = 7, KIT_START_MS = 1000000 };

typedef struct kit_rig {
  bool restarts;
  saga_plan *plan;
  cafe_arena *arena;
  cafe_arena *scratch;
  saga_instance *saga;
  int64_t now_ms;
  uint64_t random;
  uint64_t version; /* of the last event */
  bool changed;
  saga_asks asks; /* of the last input */
  char log[1024];
} kit_rig;

static inline saga_row kit_row(kit_rig *r) {
  saga_row row;
  cafe_err err;
  assert_int_equal(saga_save(&row, r->saga, r->now_ms, r->scratch, &err), CAFE_OK);
  return row;
}

static inline int64_t kit_due_ms(const saga_instance *saga) {
  int64_t due_ms = -1;
  assert_int_equal(saga_due_ms(&due_ms, saga, NULL), CAFE_OK);
  return due_ms;
}

static inline void kit_assert_bytes(cafe_slice a, cafe_slice b) {
  assert_int_equal(a.size, b.size);
  if (a.size) {
    assert_memory_equal(a.data, b.data, a.size);
  }
}

static inline void kit_assert_same(const saga_row *a, const saga_row *b) {
  kit_assert_bytes(a->name, b->name);
  kit_assert_bytes(a->steps, b->steps);
  kit_assert_bytes(a->guard, b->guard);
  kit_assert_bytes(a->state, b->state);
  kit_assert_bytes(a->data, b->data);
  assert_int_equal(a->phase, b->phase);
  assert_int_equal(a->attempt, b->attempt);
  assert_int_equal(a->due_ms, b->due_ms);
  assert_int_equal(a->started_at_ms, b->started_at_ms);
}

/* Goes on with what the row says. */
static inline void kit_restart(kit_rig *r) {
  saga_row row = kit_row(r);
  cafe_err err;
  cafe_arena *arena = cafe_arena_create(NULL);
  saga_instance *saga = saga_instance_create(r->plan, KIT_KEY, arena);
  assert_non_null(saga);
  if (saga_load(saga, &row, &err)) {
    fail_msg("%s", err.text);
  }
  r->saga = saga;
  saga_row again = kit_row(r);
  kit_assert_same(&row, &again);
  cafe_arena_destroy(r->arena);
  r->arena = arena;
}

static inline void kit_open(kit_rig *r, const cafe_saga *saga, bool restarts) {
  memset(r, 0, sizeof(*r));
  cafe_err err;
  if (saga_plan_create(&r->plan, saga, NULL, &err)) {
    fail_msg("%s", err.text);
  }
  r->restarts = restarts;
  r->arena = cafe_arena_create(NULL);
  r->scratch = cafe_arena_create(NULL);
  r->saga = saga_instance_create(r->plan, KIT_KEY, r->arena);
  r->now_ms = KIT_START_MS;
  assert_non_null(r->saga);
  assert_int_equal(saga_instance_phase(r->saga), SAGA_NONE);
}

static inline void kit_close(kit_rig *r) {
  assert_string_equal(r->log, "");
  saga_plan_destroy(r->plan);
  cafe_arena_destroy(r->arena);
  cafe_arena_destroy(r->scratch);
}

/* Writes down what was asked: an action as "pay#1", a compensation as "unpay~1", anything else as "tell". */
static inline void kit_log(kit_rig *r, int code, const cafe_err *err) {
  if (code) {
    fail_msg("%s", err->text);
  }
  uint32_t count = 0;
  for (const saga_ask *ask = r->asks.first; ask; ask = ask->next) {
    size_t used = strlen(r->log);
    char number[16] = "";
    if (ask->kind != SAGA_ASK_OTHER) {
      snprintf(number, sizeof(number), "%c%u", ask->kind == SAGA_ASK_ACTION ? '#' : '~', ask->attempt);
    }
    snprintf(r->log + used, sizeof(r->log) - used, "%s%s%s", used ? " " : "", ask->command->type->name, number);
    count++;
    assert_true(ask->next || ask == r->asks.last);
  }
  assert_int_equal(count, r->asks.count);
  if (count) {
    /* What was asked must be in the row before it is asked. */
    assert_true(r->changed);
  }
  if (r->restarts) {
    kit_restart(r);
  }
}

/* What was asked since the last time, in order. */
static inline void kit_asked(kit_rig *r, const char *expected) {
  assert_string_equal(r->log, expected);
  r->log[0] = '\0';
}

static inline void kit_event(kit_rig *r, const cafe_schema *type, uint64_t version, kit_note note,
                             const cafe_command *cause) {
  cafe_event event = {type, "kit", KIT_KEY, version, r->now_ms, {0, 0, 0}, {NULL, 0}, &note};
  cafe_err err;
  int code = saga_signal(r->saga, &event, cause, r->now_ms, r->scratch, &r->asks, &r->changed, &err);
  kit_log(r, code, &err);
}

static inline void kit_signal(kit_rig *r, const cafe_schema *type) {
  kit_event(r, type, ++r->version, (kit_note){0, 0}, NULL);
  assert_true(r->changed);
}

/* The same, and then what was asked. */
static inline void kit_hears(kit_rig *r, const cafe_schema *type, const char *expected) {
  kit_signal(r, type);
  kit_asked(r, expected);
}

static inline uint32_t kit_step(const kit_rig *r, const char *name) {
  const cafe_saga *saga = saga_plan_saga(r->plan);
  uint32_t i = 0;
  while (i < saga->step_count && strcmp(saga->steps[i].name, name) != 0) {
    i++;
  }
  assert_true(i < saga->step_count);
  return i;
}

static inline void kit_answer(kit_rig *r, saga_ask_kind kind, const char *step, uint32_t attempt, int answer,
                              cafe_verdict verdict) {
  cafe_err err;
  int code = saga_answer(r->saga, kind, kit_step(r, step), attempt, answer, verdict, r->now_ms, r->random, r->scratch,
                         &r->asks, &r->changed, &err);
  kit_log(r, code, &err);
}

/* An action was answered by a verdict. */
static inline void kit_says(kit_rig *r, const char *step, uint32_t attempt, cafe_verdict verdict,
                            const char *expected) {
  kit_answer(r, SAGA_ASK_ACTION, step, attempt, CAFE_OK, verdict);
  kit_asked(r, expected);
}

/* An attempt of an action failed. */
static inline void kit_lost(kit_rig *r, const char *step, uint32_t attempt, int code, const char *expected) {
  kit_answer(r, SAGA_ASK_ACTION, step, attempt, code, 0);
  kit_asked(r, expected);
}

static inline void kit_tick(kit_rig *r, int64_t now_ms, const char *expected) {
  cafe_err err;
  r->now_ms = now_ms;
  int code = saga_tick(r->saga, now_ms, r->scratch, &r->asks, &r->changed, &err);
  kit_log(r, code, &err);
  kit_asked(r, expected);
}

static inline void kit_resume(kit_rig *r, const char *expected) {
  cafe_err err;
  int code = saga_resume(r->saga, r->now_ms, r->scratch, &r->asks, &r->changed, &err);
  if (r->asks.first && r->asks.first->kind == SAGA_ASK_OTHER) {
    r->changed = true; /* a guard is asked again as it stands in the row */
  }
  kit_log(r, code, &err);
  kit_asked(r, expected);
}

/* Where it stands: the phase, and the steps as the row shows them. */
static inline void kit_at(kit_rig *r, saga_phase phase, const char *steps) {
  saga_row row = kit_row(r);
  assert_int_equal(saga_instance_phase(r->saga), phase);
  assert_int_equal(row.phase, phase);
  if (!cafe_slice_equal(row.steps, cafe_text(steps))) {
    fail_msg("stands at %.*s, not at %s", (int)row.steps.size, row.steps.data ? row.steps.data : "", steps);
  }
}

static inline const kit_memory *kit_data(const kit_rig *r) { return saga_instance_data(r->saga); }

#define KIT_TWICE(test)                                                                                                \
  {#test, test, NULL, NULL, (void *)(intptr_t)0}, {                                                                    \
#test "_restarted_after_every_input", test, NULL, NULL, (void *)(intptr_t)1                                        \
  }
#define KIT_OPEN(r, saga) kit_open(r, saga, *state != NULL)

#endif
