/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The row: its columns, its bytes for ever, definitions that have grown, rows that are damaged, and memory that is
 * refused at every place.
 */
#include "saga/plan.h"
#include "saga_form.h"
#include "test_saga_kit.h"

EVENT(Started);
EVENT(Paid);
EVENT(Declined);
EVENT(Refunded);
EVENT(Accepted);
EVENT(Begun);
EVENT(CancelAsked);
EVENT(Withdrawn);

ASK(pay)
ASK(unpay)
ASK(book)
ASK(withdraw)
ASK(confirm)
ASK(deny)
ASK(late)

static int due_of_memory(int64_t *out, const void *data, void *user) {
  *out = ((const kit_memory *)data)->due_ms;
  return CAFE_OK;
}
static int is_first(bool *out, const cafe_event *event, void *user) {
  *out = ((const kit_note *)event->data)->n == 1;
  return CAFE_OK;
}
static int is_second(bool *out, const cafe_event *event, void *user) {
  *out = ((const kit_note *)event->data)->n == 2;
  return CAFE_OK;
}

#define CANCEL(name_, when_)                                                                                           \
  {                                                                                                                    \
    .name = name_, .signal = &CancelAsked, .when = when_, .legal_in = STEPS("accept", "begin"), .guard = withdraw,     \
    .granted = SIGNALS(&Withdrawn), .refused = SIGNALS(&Begun), .grant = confirm, .refuse = deny                       \
  }
static const cafe_saga_interrupt interrupts[] = {CANCEL("first", is_first), CANCEL("second", is_second)};

#define STEP_PAY                                                                                                       \
  {                                                                                                                    \
    .name = "pay", .kind = CAFE_STEP_COMPENSATABLE, .action = pay, .completes = SIGNALS(&Paid),                        \
    .fails = SIGNALS(&Declined), .compensation = unpay, .compensated = SIGNALS(&Refunded),                             \
    .timeouts = (const cafe_saga_timeout[]) {                                                                          \
      {"late", due_of_memory, late}, { NULL, NULL, NULL }                                                              \
    }                                                                                                                  \
  }
#define STEP_BOOK                                                                                                      \
  {                                                                                                                    \
    .name = "book", .kind = CAFE_STEP_COMPENSATABLE, .branch = "room", .after = "pay", .action = book,                 \
    .undo = CAFE_UNDO_GUARD                                                                                            \
  }
#define STEP_ACCEPT                                                                                                    \
  { .name = "accept", .kind = CAFE_STEP_COMPENSATABLE, .completes = SIGNALS(&Accepted) }
#define STEP_BEGIN                                                                                                     \
  { .name = "begin", .kind = CAFE_STEP_PIVOT, .completes = SIGNALS(&Begun) }

static const cafe_saga_step order_steps[] = {STEP_PAY, STEP_BOOK, STEP_ACCEPT, STEP_BEGIN};
static const cafe_saga order = SAGA("order", order_steps, interrupts, 2);

/* ---- the format ---- */

enum { ENTERED = 1, LEFT = 2, STUCK = 64 };

static void push(kit_rig *r, cafe_slice *list, record_form record) {
  assert_true(saga_form_push(list, &record, r->scratch));
}

/* A row that says what the state says. */
static saga_row row_of(kit_rig *r, const state_form *state) {
  saga_row row = kit_row(r);
  row.phase = (saga_phase)state->phase;
  assert_int_equal(cafe_schema_encode(&row.state, r->scratch, &state_type, state, NULL), CAFE_OK);
  return row;
}

static int load(kit_rig *r, const saga_row *row, cafe_err *err) {
  cafe_arena_reset(r->arena);
  r->saga = saga_instance_create(r->plan, KIT_KEY, r->arena);
  assert_non_null(r->saga);
  return saga_load(r->saga, row, err);
}

static void refused(kit_rig *r, const saga_row *row, int code, const char *text) {
  cafe_err err;
  assert_int_equal(load(r, row, &err), code);
  assert_int_equal(err.code, code);
  if (!strstr(err.text, text)) {
    fail_msg("says \"%s\", not \"%s\"", err.text, text);
  }
}

static void refused_state(kit_rig *r, const state_form *state, int code, const char *text) {
  saga_row row = row_of(r, state);
  refused(r, &row, code, text);
}

/* ---- tests ---- */

static void the_table_sagas_has_these_columns(void **state) {
  static const char *const expected[] = {"name",   "saga_version",  "phase",         "steps", "guard", "attempt",
                                         "due_ms", "started_at_ms", "updated_at_ms", "state", "data"};
  cafe_err err;
  assert_int_equal(cafe_schema_check(&saga_row_type, &err), CAFE_OK);
  assert_int_equal(saga_row_type.field_count, sizeof(expected) / sizeof(expected[0]));
  for (uint32_t i = 0; i < saga_row_type.field_count; i++) {
    assert_string_equal(saga_row_type.fields[i].name, expected[i]);
  }
  for (saga_phase phase = SAGA_NONE; phase <= SAGA_PARKED; phase++) {
    saga_row row = {.phase = phase};
    assert_true(cafe_slice_equal(cafe_schema_get(&saga_row_type, &row, 2).bytes, cafe_text(phases[phase])));
  }
}

static void a_row_tells_where_the_saga_stands(void **state) {
  kit_rig r;
  kit_open(&r, &order, false);
  kit_event(&r, &Started, 1, (kit_note){0, KIT_START_MS + 5}, NULL);
  kit_asked(&r, "pay#1");
  r.now_ms += 2;
  saga_row row = kit_row(&r);
  assert_true(cafe_slice_equal(row.name, cafe_text("order")));
  assert_int_equal(row.saga_version, 1);
  assert_int_equal(row.phase, SAGA_RUNNING);
  assert_true(cafe_slice_equal(row.steps, cafe_text("pay")));
  assert_int_equal(row.guard.size, 0);
  assert_int_equal(row.attempt, 1);
  assert_int_equal(row.due_ms, KIT_START_MS + 5);
  assert_int_equal(row.started_at_ms, KIT_START_MS);
  assert_int_equal(row.updated_at_ms, KIT_START_MS + 2);
  kit_hears(&r, &Paid, "book#1");
  kit_event(&r, &CancelAsked, 7, (kit_note){1, 0}, NULL);
  kit_asked(&r, "withdraw");
  row = kit_row(&r);
  assert_int_equal(row.phase, SAGA_GUARDING);
  assert_true(cafe_slice_equal(row.steps, cafe_text("accept+book")));
  assert_true(cafe_slice_equal(row.guard, cafe_text("first")));
  kit_close(&r);
}

/* What a store of today holds must load for ever: these bytes are never to be changed. */
static void the_bytes_of_a_state_are_fixed(void **state) {
  kit_rig r;
  kit_open(&r, &order, false);
  kit_event(&r, &Started, 1, (kit_note){0, KIT_START_MS}, NULL);
  kit_asked(&r, "pay#1");
  kit_tick(&r, KIT_START_MS, "late");
  kit_answer(&r, SAGA_ASK_ACTION, "pay", 1, CAFE_UNAVAILABLE, 0);
  saga_row row = kit_row(&r);
  char text[512] = "";
  for (size_t i = 0; i < row.state.size; i++) {
    snprintf(text + 2 * i, 3, "%02x", (unsigned char)row.state.data[i]);
  }
  assert_string_equal(text,
                      "9601c0c0c4080792ce97b5823e01c4100f96ce5e5606890101c0c0ce000f4240c40c0b92ce88b7048ace000f4240");
  kit_close(&r);
}

#define STEP_GREET                                                                                                     \
  { .name = "greet", .kind = CAFE_STEP_COMPENSATABLE, .completes = SIGNALS(&Refunded, &Withdrawn) }
static const cafe_saga_step grown_steps[] = {
    STEP_PAY,  STEP_GREET, STEP_ACCEPT,
    STEP_BOOK, STEP_BEGIN, {.name = "thank", .kind = CAFE_STEP_RETRIABLE, .action = pay}};
static const cafe_saga_interrupt grown_interrupts[] = {CANCEL("second", is_second), CANCEL("first", is_first)};
static const cafe_saga grown = SAGA("order", grown_steps, grown_interrupts, 2);
static const cafe_saga_step shrunk_steps[] = {STEP_PAY, STEP_ACCEPT, STEP_BEGIN};
static const cafe_saga shrunk = SAGA("order", shrunk_steps, interrupts + 1, 1);
static const cafe_saga_step forgetful_steps[] = {
    {.name = "pay", .kind = CAFE_STEP_COMPENSATABLE, .action = pay, .compensation = unpay}, STEP_BEGIN};
static const cafe_saga forgetful = SAGA("order", forgetful_steps, NULL, 0);

/* Reads the rig's saga by another definition. */
static saga_row swap(kit_rig *r, const cafe_saga *definition) {
  saga_row row = kit_row(r);
  saga_plan_destroy(r->plan);
  assert_int_equal(saga_plan_create(&r->plan, definition, NULL, NULL), CAFE_OK);
  return row;
}

static void open_at_accept(kit_rig *r) {
  kit_open(r, &order, false);
  kit_hears(r, &Started, "pay#1");
  kit_hears(r, &Paid, "book#1");
  kit_at(r, SAGA_RUNNING, "accept+book");
}

static void a_definition_may_gain_steps_and_signals_and_change_its_order(void **state) {
  kit_rig r;
  cafe_err err;
  open_at_accept(&r);
  kit_event(&r, &CancelAsked, ++r.version, (kit_note){1, 0}, NULL);
  kit_asked(&r, "withdraw");
  kit_event(&r, &CancelAsked, ++r.version, (kit_note){2, 0}, NULL);
  saga_row row = swap(&r, &grown);
  assert_int_equal(load(&r, &row, &err), CAFE_OK);
  kit_at(&r, SAGA_GUARDING, "accept+book");
  assert_true(cafe_slice_equal(kit_row(&r).guard, cafe_text("first")));
  kit_event(&r, &Paid, 2, (kit_note){0, 0}, NULL);
  assert_false(r.changed);
  kit_says(&r, "book", 1, CAFE_ACCEPTED, "");
  kit_hears(&r, &Accepted, "");
  kit_hears(&r, &Begun, "deny pay#1 deny");
  kit_at(&r, SAGA_RUNNING, "thank");
  kit_close(&r);
}

static void a_definition_that_lost_what_the_saga_stands_on_is_not_tried(void **state) {
  kit_rig r;
  open_at_accept(&r);
  saga_row row = swap(&r, &shrunk);
  refused(&r, &row, CAFE_UNSUPPORTED, "it stands in accept+book, and this definition lacks one of its steps");
  kit_close(&r);

  kit_open(&r, &order, false);
  kit_event(&r, &CancelAsked, 1, (kit_note){1, 0}, NULL);
  row = swap(&r, &shrunk);
  refused(&r, &row, CAFE_UNSUPPORTED, "it stands in , and this definition lacks an interrupt that waits");
  kit_close(&r);

  state_form form = {.phase = SAGA_GUARDING, .guard = saga_id("first")};
  kit_open(&r, &shrunk, false);
  refused_state(&r, &form, CAFE_UNSUPPORTED, "lacks the interrupt whose guard is asked");
  kit_close(&r);
}

static void signals_and_timeouts_that_are_no_longer_named_are_left_out(void **state) {
  kit_rig r;
  cafe_err err;
  kit_open(&r, &order, false);
  kit_event(&r, &Accepted, 3, (kit_note){0, 0}, NULL);
  kit_event(&r, &Started, 4, (kit_note){0, KIT_START_MS}, NULL);
  kit_asked(&r, "pay#1");
  kit_tick(&r, KIT_START_MS, "late");
  saga_row row = swap(&r, &forgetful);
  assert_int_equal(load(&r, &row, &err), CAFE_OK);
  kit_at(&r, SAGA_RUNNING, "pay");
  kit_says(&r, "pay", 1, CAFE_ACCEPTED, "");
  kit_at(&r, SAGA_RUNNING, "begin");
  kit_close(&r);
}

static void a_row_of_another_saga_or_version_is_not_tried(void **state) {
  kit_rig r;
  kit_open(&r, &order, false);
  saga_row row = kit_row(&r);
  row.saga_version = 2;
  refused(&r, &row, CAFE_UNSUPPORTED, "saga order of key 7 runs by version 2, and version 1 was tried");
  row = kit_row(&r);
  row.name = cafe_text("other");
  refused(&r, &row, CAFE_UNSUPPORTED, "saga order of key 7");
  kit_close(&r);
}

static void a_step_that_lost_what_it_asked_for_is_not_tried(void **state) {
  kit_rig r;
  kit_open(&r, &order, false);
  state_form form = {.phase = SAGA_RUNNING};
  push(&r, &form.steps, (record_form){.id = saga_id("accept"), .a = ENTERED, .b = 1, .d = 1});
  refused_state(&r, &form, CAFE_UNSUPPORTED, "lacks what a step asks for");
  form = (state_form){.phase = SAGA_RUNNING};
  push(&r, &form.steps, (record_form){.id = saga_id("accept"), .a = ENTERED, .b = 1, .e = 5});
  refused_state(&r, &form, CAFE_UNSUPPORTED, "lacks what a step asks for");
  form = (state_form){.phase = SAGA_COMPENSATING};
  push(&r, &form.steps, (record_form){.id = saga_id("book"), .a = STUCK, .b = 1});
  refused_state(&r, &form, CAFE_UNSUPPORTED, "lacks what a step asks for");
  kit_close(&r);
}

/* ---- damage ---- */

static void a_row_whose_parts_contradict_each_other_is_damaged(void **state) {
  kit_rig r;
  kit_open(&r, &order, false);
  saga_row row = kit_row(&r);
  row.phase = SAGA_ENDED;
  refused(&r, &row, CAFE_CORRUPT, "saga order of key 7: its row is damaged (the phase was changed)");
  row = kit_row(&r);
  row.data = cafe_text("x");
  refused(&r, &row, CAFE_CORRUPT, "what it remembers");
  row = kit_row(&r);
  row.state = cafe_text("x");
  refused(&r, &row, CAFE_CORRUPT, "its state");

  state_form form = {.phase = SAGA_PARKED};
  refused_state(&r, &form, CAFE_CORRUPT, "its state");
  form = (state_form){.phase = SAGA_RUNNING};
  refused_state(&r, &form, CAFE_CORRUPT, "its phase and its steps don't fit");
  form = (state_form){.phase = SAGA_COMPENSATING};
  refused_state(&r, &form, CAFE_CORRUPT, "don't fit");
  form = (state_form){.phase = SAGA_ENDED, .guard = saga_id("first")};
  refused_state(&r, &form, CAFE_CORRUPT, "don't fit");
  form = (state_form){.phase = SAGA_NONE};
  push(&r, &form.steps, (record_form){.id = saga_id("pay"), .a = ENTERED | LEFT});
  refused_state(&r, &form, CAFE_CORRUPT, "don't fit");
  form = (state_form){.phase = SAGA_GUARDING};
  push(&r, &form.steps, (record_form){.id = saga_id("pay"), .a = ENTERED});
  refused_state(&r, &form, CAFE_CORRUPT, "don't fit");
  form = (state_form){.phase = SAGA_GUARDING, .guard = saga_id("first")};
  push(&r, &form.steps, (record_form){.id = saga_id("book"), .a = ENTERED});
  refused_state(&r, &form, CAFE_CORRUPT, "don't fit");
  form = (state_form){.phase = SAGA_RUNNING, .is_joining = true};
  push(&r, &form.steps, (record_form){.id = saga_id("pay"), .a = ENTERED});
  refused_state(&r, &form, CAFE_CORRUPT, "main stands twice");
  form = (state_form){.phase = SAGA_RUNNING, .is_joining = true};
  push(&r, &form.steps, (record_form){.id = saga_id("begin"), .a = ENTERED | LEFT});
  refused_state(&r, &form, CAFE_CORRUPT, "main stands twice");
  form = (state_form){.phase = SAGA_RUNNING};
  push(&r, &form.steps, (record_form){.id = saga_id("pay"), .a = ENTERED});
  push(&r, &form.steps, (record_form){.id = saga_id("accept"), .a = ENTERED});
  refused_state(&r, &form, CAFE_CORRUPT, "two steps of one branch");
  kit_close(&r);
}

static void a_step_that_is_none_is_damage(void **state) {
  static const record_form bad[] = {
      {.a = -1},
      {.a = ENTERED | 128},
      {.a = ENTERED, .c = -1},
      {.a = ENTERED, .b = 1, .c = 2},
      {.a = ENTERED, .b = INT64_C(1) << 32},
      {.a = ENTERED, .d = -1},
      {.a = ENTERED, .d = INT64_C(1) << 32},
      {.a = ENTERED, .e = -1},
      {.a = LEFT},
  };
  kit_rig r;
  kit_open(&r, &order, false);
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    state_form form = {.phase = SAGA_RUNNING};
    record_form record = bad[i];
    record.id = saga_id("pay");
    push(&r, &form.steps, record);
    refused_state(&r, &form, CAFE_CORRUPT, "(a step)");
  }
  state_form form = {.phase = SAGA_COMPENSATING};
  push(&r, &form.steps, (record_form){.id = saga_id("pay"), .a = ENTERED});
  refused_state(&r, &form, CAFE_CORRUPT, "(a step)");
  form = (state_form){.phase = SAGA_COMPENSATING};
  push(&r, &form.steps, (record_form){.id = saga_id("pay")});
  push(&r, &form.steps, (record_form){.id = saga_id("pay")});
  refused_state(&r, &form, CAFE_CORRUPT, "a step is there twice");
  kit_close(&r);
}

static void a_list_that_is_none_is_damage(void **state) {
  kit_rig r;
  kit_open(&r, &order, false);
  static const cafe_slice cut = {"\x05\x91", 2};
  static const cafe_slice wrong = {"\x01x", 2};
  state_form form = {.signals = cut};
  refused_state(&r, &form, CAFE_CORRUPT, "its signals");
  form = (state_form){.signals = wrong};
  refused_state(&r, &form, CAFE_CORRUPT, "its signals");
  form = (state_form){.steps = cut};
  refused_state(&r, &form, CAFE_CORRUPT, "its steps");
  form = (state_form){.fired = cut};
  refused_state(&r, &form, CAFE_CORRUPT, "its timeouts");
  form = (state_form){.pending = cut};
  refused_state(&r, &form, CAFE_CORRUPT, "its interrupts");
  form = (state_form){.phase = SAGA_NONE};
  push(&r, &form.signals, (record_form){.id = saga_id("Paid")});
  refused_state(&r, &form, CAFE_CORRUPT, "a signal's version");
  form = (state_form){.phase = SAGA_NONE};
  for (uint32_t i = 0; i <= CAFE_SAGA_INTERRUPTS_MAX; i++) {
    push(&r, &form.pending, (record_form){.id = saga_id("first")});
  }
  refused_state(&r, &form, CAFE_CORRUPT, "too many interrupts");
  kit_close(&r);
}

/* Whatever became of the bytes, either they are refused, or they are a saga that can be fed and written. */
static void use(kit_rig *r, const saga_row *row) {
  cafe_err err;
  int code = load(r, row, &err);
  if (code) {
    assert_true(code == CAFE_CORRUPT || code == CAFE_UNSUPPORTED);
    return;
  }
  saga_asks asks;
  bool changed;
  assert_int_equal(saga_resume(r->saga, r->now_ms, r->scratch, &asks, &changed, &err), CAFE_OK);
  const cafe_schema *const *signals = saga_plan_signals(r->plan);
  for (uint32_t i = 0; signals[i]; i++) {
    kit_event(r, signals[i], CAFE_KEY_MAX, (kit_note){1, 0}, NULL);
    r->log[0] = '\0';
  }
  kit_row(r);
}

static void every_changed_byte_is_refused_or_harmless(void **state) {
  kit_rig r;
  open_at_accept(&r);
  kit_event(&r, &CancelAsked, ++r.version, (kit_note){1, 0}, NULL);
  kit_event(&r, &CancelAsked, ++r.version, (kit_note){2, 0}, NULL);
  kit_asked(&r, "withdraw");
  saga_row row = kit_row(&r);
  char good[512];
  char bytes[512];
  static const char empty[] = {(char)0x90}; /* an array of nothing: the row's bytes go with each reset */
  row.data = (cafe_slice){empty, sizeof(empty)};
  size_t size = row.state.size;
  assert_in_range(size, 60, sizeof(good));
  memcpy(good, row.state.data, size);
  for (size_t i = 0; i < size; i++) {
    row.state = (cafe_slice){good, i};
    use(&r, &row);
    for (unsigned bit = 0; bit < 8; bit++) {
      memcpy(bytes, good, size);
      bytes[i] = (char)(bytes[i] ^ (1 << bit));
      row.state = (cafe_slice){bytes, size};
      use(&r, &row);
    }
    cafe_arena_reset(r.scratch);
  }
  kit_close(&r);
}

/* ---- memory ---- */

typedef struct stingy {
  cafe_allocator allocator;
  bool refuses;
} stingy;

static void *stingy_resize(void *block, size_t size, void *user) {
  stingy *s = user;
  if (s->refuses && size) {
    return NULL;
  }
  const cafe_allocator *heap = cafe_allocator_default();
  return heap->resize(block, size, heap->user);
}

enum { ARENA_BYTES = 64 * 1024 };

/* An arena that has so many bytes and gets no more. */
static cafe_arena *arena_of(stingy *s, size_t bytes) {
  s->allocator = (cafe_allocator){stingy_resize, s};
  s->refuses = false;
  cafe_arena *arena = cafe_arena_create(&s->allocator);
  assert_non_null(cafe_arena_alloc(arena, ARENA_BYTES));
  cafe_arena_reset(arena);
  if (bytes < ARENA_BYTES) {
    assert_non_null(cafe_arena_alloc(arena, ARENA_BYTES - bytes));
  }
  s->refuses = true;
  return arena;
}

/* A life of the saga with every kind of input. CAFE_OK or what the first failing call said. */
static int live(const saga_plan *plan, cafe_arena *own, cafe_arena *scratch, cafe_err *err) {
  static const struct {
    const cafe_schema *type;
    kit_note note;
  } events[] = {{&CancelAsked, {2, 0}}, {&Started, {0, KIT_START_MS + 1}},
                {&Paid, {0, 0}},        {&CancelAsked, {1, 0}},
                {&CancelAsked, {2, 0}}, {&Withdrawn, {0, 0}}};
  saga_instance *saga = saga_instance_create(plan, KIT_KEY, own);
  saga_asks asks;
  bool changed;
  if (!saga) {
    return cafe_fail(err, CAFE_NOMEM, "no saga");
  }
  int code = CAFE_OK;
  for (uint32_t i = 0; !code && i < sizeof(events) / sizeof(events[0]); i++) {
    cafe_command cause = {&Cpay, KIT_KEY, KIT_START_MS, NULL};
    cafe_event event = {events[i].type, "kit", KIT_KEY, i + 1, KIT_START_MS, {0, 0, 0}, {NULL, 0}, &events[i].note};
    code = saga_signal(saga, &event, &cause, KIT_START_MS, scratch, &asks, &changed, err);
    saga_row row;
    if (!code) {
      code = saga_save(&row, saga, KIT_START_MS, scratch, err);
    }
    if (!code) {
      saga = saga_instance_create(plan, KIT_KEY, own);
      code = saga ? saga_load(saga, &row, err) : cafe_fail(err, CAFE_NOMEM, "no saga");
    }
    if (!code) {
      code = saga_resume(saga, KIT_START_MS, scratch, &asks, &changed, err);
    }
    if (!code && i == 1) {
      code =
          saga_answer(saga, SAGA_ASK_ACTION, 0, 2, CAFE_UNAVAILABLE, 0, KIT_START_MS, 0, scratch, &asks, &changed, err);
    }
    if (!code) {
      code = saga_tick(saga, KIT_START_MS + 1, scratch, &asks, &changed, err);
    }
  }
  return code;
}

static void memory_refused_anywhere_is_told(void **state) {
  saga_plan *plan;
  assert_int_equal(saga_plan_create(&plan, &order, NULL, NULL), CAFE_OK);
  for (int starved = 0; starved < 2; starved++) {
    int code = CAFE_NOMEM;
    size_t bytes = 0;
    for (; code; bytes += 16) {
      stingy own_memory, scratch_memory;
      cafe_arena *own = arena_of(&own_memory, starved ? ARENA_BYTES : bytes);
      cafe_arena *scratch = arena_of(&scratch_memory, starved ? bytes : ARENA_BYTES);
      cafe_err err = {0};
      code = live(plan, own, scratch, &err);
      assert_int_equal(code, err.code);
      assert_true(code == CAFE_OK || code == CAFE_NOMEM);
      cafe_arena_destroy(own);
      cafe_arena_destroy(scratch);
      assert_in_range(bytes, 0, ARENA_BYTES - 1);
    }
    assert_in_range(bytes, 1024, ARENA_BYTES - 1);
  }
  saga_plan_destroy(plan);
}

static void a_plan_needs_memory(void **state) {
  stingy memory = {{stingy_resize, &memory}, true};
  saga_plan *plan = NULL;
  cafe_err err;
  assert_int_equal(saga_plan_create(&plan, &order, &memory.allocator, &err), CAFE_NOMEM);
  assert_null(plan);
  memory.refuses = false;
  assert_int_equal(saga_plan_create(&plan, &order, &memory.allocator, &err), CAFE_OK);
  saga_plan_destroy(plan);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_table_sagas_has_these_columns),
      cmocka_unit_test(a_row_tells_where_the_saga_stands),
      cmocka_unit_test(the_bytes_of_a_state_are_fixed),
      cmocka_unit_test(a_definition_may_gain_steps_and_signals_and_change_its_order),
      cmocka_unit_test(a_definition_that_lost_what_the_saga_stands_on_is_not_tried),
      cmocka_unit_test(signals_and_timeouts_that_are_no_longer_named_are_left_out),
      cmocka_unit_test(a_row_of_another_saga_or_version_is_not_tried),
      cmocka_unit_test(a_step_that_lost_what_it_asked_for_is_not_tried),
      cmocka_unit_test(a_row_whose_parts_contradict_each_other_is_damaged),
      cmocka_unit_test(a_step_that_is_none_is_damage),
      cmocka_unit_test(a_list_that_is_none_is_damage),
      cmocka_unit_test(every_changed_byte_is_refused_or_harmless),
      cmocka_unit_test(memory_refused_anywhere_is_told),
      cmocka_unit_test(a_plan_needs_memory),
  };
  return cmocka_run_group_tests_name("saga row", tests, NULL, NULL);
}
