/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The row of an order's saga: refused as damaged or as another version's, or a saga that goes on. Then what it saves is
 * what it loads, after each step. The first byte says whether the state is bytes, which come as they are, or is told by
 * numbers: few inputs would have their lists and sizes right by chance. Behind the state is what the saga remembers.
 */
#include <string.h>

#include "cafe/cafe.h"
#include "cafe/order.h"
#include "fuzz.h"
#include "saga/plan.h"
#include "saga_form.h"

enum { KEY = 7, STEPS = 6, RECORDS = 40, AS_BYTES = 0x80 };

/* Saves it and loads that: the same bytes come of it. Returns the row. */
static saga_row save(const saga_plan *plan, const saga_instance *saga, int64_t now_ms, cafe_arena *arena) {
  saga_row row;
  saga_row again;
  saga_instance *copy = saga_instance_create(plan, KEY, arena);
  require(copy != NULL && saga_save(&row, saga, now_ms, arena, NULL) == CAFE_OK);
  require(saga_load(copy, &row, NULL) == CAFE_OK && saga_save(&again, copy, now_ms, arena, NULL) == CAFE_OK);
  require(cafe_slice_equal(row.state, again.state) && cafe_slice_equal(row.data, again.data));
  require(row.phase == again.phase && row.due_ms == again.due_ms);
  return row;
}

static bool is_alive(int code) {
  require(code == CAFE_OK || code == CAFE_INVALID);
  return code == CAFE_OK;
}

/* As after a restart, and then as time goes by. */
static void go_on(const saga_plan *plan, saga_instance *saga, int64_t now_ms, cafe_arena *arena) {
  saga_asks asks;
  bool changed;
  bool alive = is_alive(saga_resume(saga, now_ms, arena, &asks, &changed, NULL));
  for (int i = 0; alive && i < STEPS; i++) {
    saga_row row = save(plan, saga, now_ms, arena);
    for (const saga_ask *ask = asks.first; alive && ask; ask = ask->next) {
      saga_asks more;
      alive = ask->kind == SAGA_ASK_OTHER ||
              is_alive(saga_answer(saga, ask->kind, ask->step, ask->attempt, i % 2 ? CAFE_TIMEOUT : CAFE_UNAVAILABLE,
                                   CAFE_REFUSED, now_ms, 0, arena, &more, &changed, NULL));
    }
    now_ms = row.due_ms > now_ms ? row.due_ms : now_ms;
    alive = alive && is_alive(saga_tick(saga, now_ms, arena, &asks, &changed, NULL));
  }
}

/* ---- the row ---- */

typedef struct input {
  const uint8_t *at;
  size_t left;
} input;

static uint8_t take(input *in) {
  if (!in->left) {
    return 0;
  }
  in->left--;
  return *in->at++;
}

static cafe_slice take_bytes(input *in, size_t size) {
  size = size < in->left ? size : in->left;
  cafe_slice bytes = {(const char *)in->at, size};
  in->at += size;
  in->left -= size;
  return bytes;
}

static int64_t take_number(input *in) { return (int8_t)take(in); }

/* One of the ids, mostly. */
static int64_t take_id(input *in, const uint32_t *ids, uint32_t count) {
  uint8_t which = take(in);
  return which < count ? ids[which] : which;
}

static cafe_slice take_list(input *in, const uint32_t *ids, uint32_t count, bool are_steps, cafe_arena *arena) {
  cafe_slice list = {NULL, 0};
  for (unsigned n = take(in) % RECORDS; n; n--) {
    record_form record = {.id = take_id(in, ids, count), .a = take_number(in)};
    if (are_steps) {
      record.b = take_number(in);
      record.c = take_number(in);
      record.d = take_number(in);
      record.e = take_number(in) * 100;
    }
    require(saga_form_push(&list, &record, arena));
  }
  return list;
}

static cafe_slice take_state(input *in, const saga_plan *plan, int32_t phase, cafe_arena *arena) {
  uint32_t steps[CAFE_SAGA_STEPS_MAX];
  uint32_t interrupts[CAFE_SAGA_INTERRUPTS_MAX];
  for (uint32_t i = 0; i < plan->saga->step_count; i++) {
    steps[i] = plan->steps[i].id;
  }
  for (uint32_t i = 0; i < plan->saga->interrupt_count; i++) {
    interrupts[i] = plan->interrupts[i].id;
  }
  state_form state = {.phase = phase, .is_joining = take(in) & 1};
  state.guard = take(in) & 1 ? take_id(in, interrupts, plan->saga->interrupt_count) : 0;
  state.signals = take_list(in, plan->signal_ids, plan->signal_count, false, arena);
  state.steps = take_list(in, steps, plan->saga->step_count, true, arena);
  state.fired = take_list(in, plan->timeout_ids, plan->timeout_count, false, arena);
  state.pending = take_list(in, interrupts, plan->saga->interrupt_count, false, arena);
  cafe_slice bytes;
  require(cafe_schema_encode(&bytes, arena, &state_type, &state, NULL) == CAFE_OK);
  return bytes;
}

static saga_row take_row(input *in, const saga_plan *plan, cafe_arena *arena) {
  uint8_t first = take(in);
  saga_row row = {.name = cafe_text(plan->saga->name), .saga_version = plan->saga->version, .started_at_ms = 1};
  row.phase = (saga_phase)(first % (SAGA_PARKED + 1));
  /* A saga that an operator is needed for stands somewhere all the same. */
  int32_t phase = row.phase == SAGA_PARKED ? take(in) % (SAGA_PARKED + 1) : (int32_t)row.phase;
  row.state = first & AS_BYTES ? take_bytes(in, take(in)) : take_state(in, plan, phase, arena);
  row.data = in->left ? take_bytes(in, in->left) : cafe_text("\x90"); /* nothing yet */
  return row;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  saga_plan *plan = NULL;
  cafe_arena *arena = cafe_arena_create(NULL);
  require(arena != NULL && saga_plan_create(&plan, &cafe_order_saga, NULL, NULL) == CAFE_OK);
  saga_instance *saga = saga_instance_create(plan, KEY, arena);
  require(saga != NULL);
  cafe_err err;
  input in = {data, size};
  saga_row row = take_row(&in, plan, arena);
  if (saga_load(saga, &row, &err)) {
    require(err.code == CAFE_CORRUPT || err.code == CAFE_UNSUPPORTED);
  } else {
    go_on(plan, saga, 1000, arena);
  }
  saga_plan_destroy(plan);
  cafe_arena_destroy(arena);
  return 0;
}
