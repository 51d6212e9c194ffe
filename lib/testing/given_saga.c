/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One saga, by the coordinator that runs it in a node. After each input it is put into its row and taken out of it, so
 * that nothing is remembered but what a restart would find: a field that the schema of its data lacks, a text that
 * wasn't copied.
 */
#include <inttypes.h>

#include "testing/given_core.h"

enum { MOMENTS_MAX = 10000 };

const void *given_saga_memory(const cafe_given *it) { return it->instance ? saga_instance_data(it->instance) : NULL; }

static saga_instance *instance_of(cafe_given *it) {
  if (!it->instance) {
    it->instance = saga_instance_create(it->plan, it->key, it->folded);
  }
  if (!it->instance) {
    given_fail(it, "no memory for the saga %s", it->saga->name);
  }
  return it->instance;
}

/* ---- after an input ---- */

/* What was asked is kept until it is answered: an earlier attempt of it isn't answered any more. */
static bool keep_open(cafe_given *it, const saga_ask *ask) {
  given_ask **at = &it->open;
  while (*at) {
    if ((*at)->step == ask->step && (*at)->kind == ask->kind && (*at)->attempt != ask->attempt) {
      *at = (*at)->next;
    } else {
      at = &(*at)->next;
    }
  }
  given_ask *open = cafe_arena_alloc(it->history, sizeof(*open));
  if (!open) {
    return given_fail(it, "no memory to keep what is asked");
  }
  *open = (given_ask){NULL, ask->command->type, ask->kind, ask->step, ask->attempt};
  *at = open;
  return true;
}

static bool keep_asks(cafe_given *it, const saga_asks *asks) {
  for (const saga_ask *ask = asks->first; ask; ask = ask->next) {
    collector one;
    collected item = *ask->command;
    item.next = NULL;
    collector_init(&one, it->answer);
    one.first = one.last = &item;
    if (!given_say(it, &one) || (ask->kind != SAGA_ASK_OTHER && !keep_open(it, ask))) {
      return false;
    }
  }
  return true;
}

/* Into its row, and out of it. The row's bytes live as long as what is loaded from them. */
static bool restart(cafe_given *it) {
  cafe_err err;
  saga_row row;
  cafe_arena *arena = cafe_arena_create(&it->allocator);
  saga_instance *next = arena ? saga_instance_create(it->plan, it->key, arena) : NULL;
  if (!next || saga_save(&row, it->instance, it->now_ms, arena, &err) || saga_load(next, &row, &err)) {
    given_fail(it, "the saga %s can't be put into its row: %s", it->saga->name, next ? err.text : "no memory");
    cafe_arena_destroy(arena);
    return false;
  }
  cafe_arena_destroy(it->folded);
  it->folded = arena;
  it->instance = next;
  return true;
}

static bool took(cafe_given *it, int code, const saga_asks *asks, const cafe_err *err) {
  return code ? given_fail(it, "%s", err->text) : keep_asks(it, asks) && restart(it);
}

/* ---- inputs ---- */

bool given_saga_hears(cafe_given *it, const cafe_event *event) {
  saga_asks asks;
  bool changed;
  cafe_err err;
  cafe_event handed = *event;
  void *data = given_hand(it, event->type, event->data);
  if (!data || !instance_of(it)) {
    return false;
  }
  handed.data = data;
  int code = saga_signal(it->instance, &handed, it->cause, it->now_ms, it->answer, &asks, &changed, &err);
  given_spoil(event->type, data);
  if (it->cause) {
    given_spoil(it->cause->type, it->cause_data);
  }
  it->cause = NULL;
  return took(it, code, &asks, &err);
}

static bool tick(cafe_given *it) {
  saga_asks asks;
  bool changed;
  cafe_err err;
  int code = saga_tick(it->instance, it->now_ms, it->answer, &asks, &changed, &err);
  return took(it, code, &asks, &err);
}

bool given_saga_comes_to(cafe_given *it, int64_t now_ms) {
  cafe_err err;
  if (now_ms < it->now_ms) {
    return given_fail(it, "a saga's time goes on: %" PRId64 " is before %" PRId64, now_ms, it->now_ms);
  }
  if (!instance_of(it)) {
    return false;
  }
  for (int moments = 0;; moments++) {
    int64_t due_ms = 0;
    if (saga_due_ms(&due_ms, it->instance, &err)) {
      return given_fail(it, "%s", err.text);
    }
    if (!due_ms || due_ms > now_ms) {
      break;
    }
    if (moments == MOMENTS_MAX) {
      return given_fail(it, "the saga %s is due again and again at %" PRId64, it->saga->name, due_ms);
    }
    it->now_ms = due_ms > it->now_ms ? due_ms : it->now_ms;
    if (!tick(it)) {
      return false;
    }
  }
  it->now_ms = now_ms;
  return true;
}

/* The first that was asked by it and isn't answered. False, and told: there is none. */
static bool take_open(cafe_given *it, given_ask *out, const cafe_schema *command) {
  if (!given_begin(it)) {
    return false;
  }
  if (!it->saga) {
    return given_fail(it, "%s: only what a saga asks is answered", command->name);
  }
  given_ask **at = &it->open;
  while (*at && (*at)->command != command) {
    at = &(*at)->next;
  }
  if (!*at) {
    return given_fail(it, "the saga %s waits for no answer to %s", it->saga->name, command->name);
  }
  *out = **at;
  *at = (*at)->next;
  return true;
}

static bool answer(cafe_given *it, const given_ask *open, int code, cafe_verdict verdict) {
  saga_asks asks;
  bool changed;
  cafe_err err;
  int failed = saga_answer(it->instance, open->kind, open->step, open->attempt, code, verdict, it->now_ms, 0,
                           it->answer, &asks, &changed, &err);
  return took(it, failed, &asks, &err);
}

bool cafe_when_answered(cafe_given *it, const cafe_schema *command, cafe_verdict verdict, const cafe_fact *events) {
  given_ask open = {NULL, NULL, SAGA_ASK_ACTION, 0, 0};
  bool is_well = take_open(it, &open, command);
  for (; is_well && events && events->type; events++) {
    is_well = given_happen(it, events->type, events->data, events->size);
  }
  return is_well && answer(it, &open, CAFE_OK, verdict);
}

bool cafe_when_failed(cafe_given *it, const cafe_schema *command, cafe_code code) {
  given_ask open = {NULL, NULL, SAGA_ASK_ACTION, 0, 0};
  return take_open(it, &open, command) && answer(it, &open, (int)code, (cafe_verdict)0);
}

bool cafe_when_restarted(cafe_given *it) {
  saga_asks asks;
  bool changed;
  cafe_err err;
  if (!given_begin(it)) {
    return false;
  }
  if (!it->saga) {
    return given_fail(it, "only a saga is restarted");
  }
  if (!instance_of(it)) {
    return false;
  }
  it->open = NULL;
  int code = saga_resume(it->instance, it->now_ms, it->answer, &asks, &changed, &err);
  return took(it, code, &asks, &err);
}

/* ---- then ---- */

bool cafe_then_stands(cafe_given *it, const char *phase, const char *steps) {
  cafe_err err;
  saga_row row;
  if (it->why) {
    return false;
  }
  if (!it->saga) {
    return given_fail(it, "only a saga stands at steps");
  }
  if (!instance_of(it)) {
    return false;
  }
  if (saga_save(&row, it->instance, it->now_ms, it->answer, &err)) {
    return given_fail(it, "%s", err.text);
  }
  given_words words = {it->words, NULL, false};
  int column = cafe_schema_find(&saga_row_type, cafe_text("phase"));
  cafe_slice got = cafe_schema_get(&saga_row_type, &row, (uint32_t)column).bytes;
  if (!cafe_slice_equal(got, cafe_text(phase))) {
    words_add(&words, "  wanted %s, got %.*s", phase, (int)got.size, got.data);
  }
  if (!cafe_slice_equal(row.steps, cafe_text(steps))) {
    words_add(&words, "  wanted at \"%s\", got \"%.*s\"", steps, (int)row.steps.size,
              row.steps.data ? row.steps.data : "");
  }
  return given_judge(it, &words, "the saga %s isn't there", it->saga->name);
}
