/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every order in which a saga of the order's shape can hear what happened. Each story gives three streams of events; a
 * stream's own events come in their order, the streams among each other in any, and each event again at any later time.
 *
 * All of it is walked, not sampled: for each number of events heard of each stream the distinct states are kept, each
 * loaded from its row, and fed every event that can come next. So a story of a hundred thousand interleavings is a few
 * dozen states, and in every one of them the saga has been restarted.
 */
#include <stdlib.h>

#include "test_saga_kit.h"

EVENT(Started);
EVENT(Dropped);
EVENT(Ordered);
EVENT(CancelAsked);
EVENT(CancelRejected);
EVENT(Canceled);
EVENT(OrderRejected);
EVENT(Approved);
EVENT(Declined);
EVENT(Voided);
EVENT(Captured);
EVENT(Refunded);
EVENT(Received);
EVENT(Accepted);
EVENT(Rejected);
EVENT(Begun);
EVENT(Ready);
EVENT(PickedUp);
EVENT(Failed);
EVENT(Withdrawn);

ASK(authorize)
ASK(void_payment)
ASK(establish)
ASK(end_order)
ASK(confirm)
ASK(deny)
ASK(deny_deadline)

enum { CUSTOMER = 1, DEADLINE = 2 };
static int by_customer(bool *out, const cafe_event *event, void *user) {
  *out = ((const kit_note *)event->data)->n == CUSTOMER;
  return CAFE_OK;
}
static int by_deadline(bool *out, const cafe_event *event, void *user) {
  *out = ((const kit_note *)event->data)->n == DEADLINE;
  return CAFE_OK;
}

/* How much was heard: an event that counts twice is seen in the data. */
static int count(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user) {
  (void)event;
  (void)cause;
  (void)arena;
  ((kit_memory *)data)->heard++;
  return CAFE_OK;
}

static const cafe_saga_step order_steps[] = {
    {.name = "authorize",
     .kind = CAFE_STEP_COMPENSATABLE,
     .action = authorize,
     .completes = SIGNALS(&Approved),
     .fails = SIGNALS(&Declined, &Dropped),
     .compensation = void_payment,
     .compensated = SIGNALS(&Voided, &Declined)},
    {.name = "establish",
     .kind = CAFE_STEP_COMPENSATABLE,
     .action = establish,
     .completes = SIGNALS(&Ordered),
     .fails = SIGNALS(&Dropped),
     .compensation = end_order,
     .compensated = SIGNALS(&Dropped, &Canceled, &OrderRejected)},
    {.name = "ticket", .kind = CAFE_STEP_COMPENSATABLE, .undo = CAFE_UNDO_GUARD, .completes = SIGNALS(&Received)},
    {.name = "accept",
     .kind = CAFE_STEP_COMPENSATABLE,
     .undo = CAFE_UNDO_SIGNAL,
     .completes = SIGNALS(&Accepted),
     .fails = SIGNALS(&Rejected)},
    {.name = "begin", .kind = CAFE_STEP_PIVOT, .completes = SIGNALS(&Begun)},
    {.name = "ready",
     .kind = CAFE_STEP_RETRIABLE,
     .completes = SIGNALS(&Ready),
     .turns = (const cafe_saga_turn[]){{&Failed, "give_back"}, {NULL, NULL}}},
    {.name = "pick_up",
     .kind = CAFE_STEP_RETRIABLE,
     .turns = (const cafe_saga_turn[]){{&Failed, "give_back"}, {&PickedUp, NULL}, {NULL, NULL}}},
    {.name = "give_back", .kind = CAFE_STEP_RETRIABLE, .completes = SIGNALS(&Voided, &Refunded)},
    {.name = "capture",
     .kind = CAFE_STEP_RETRIABLE,
     .branch = "money",
     .after = "begin",
     .completes = SIGNALS(&Captured, &Voided)},
};
static const cafe_saga_interrupt order_interrupts[] = {
    {.name = "customer",
     .signal = &CancelAsked,
     .when = by_customer,
     .legal_in = STEPS("ticket", "accept", "begin"),
     .granted = SIGNALS(&Withdrawn),
     .refused = SIGNALS(&Begun, &Rejected, &Failed),
     .grant = confirm,
     .refuse = deny},
    {.name = "deadline",
     .signal = &CancelAsked,
     .when = by_deadline,
     .legal_in = STEPS("accept"),
     .granted = SIGNALS(&Withdrawn),
     .refused = SIGNALS(&Accepted, &Begun, &Rejected, &Failed),
     .grant = confirm,
     .refuse = deny_deadline},
};
static const cafe_saga order = {
    CAFE_SAGA, "order", 1, &kit_memory_type, &Started, order_steps, 9, order_interrupts, 2, NULL, count, NULL};

/* ---- stories ---- */

enum { STREAMS = 3, EVENTS_MAX = 8 };

typedef struct told {
  const cafe_schema *type;
  int64_t n;
} told;

/* An event that comes only when one of another stream has been heard: its cause. */
typedef struct cause {
  int stream, event, of_stream, of_event;
} cause;

typedef struct story {
  const char *name;
  told streams[STREAMS][EVENTS_MAX];
  cause causes[4];
  int cause_count;
  saga_phase end;
  const char *denied; /* the interrupts that are refused in the end, in any order of the rest */
} story;

#define E(type)                                                                                                        \
  { &type, 0 }
static const story stories[] = {
    {"the order goes through",
     {{E(Started), E(Ordered)},
      {E(Approved), E(Captured)},
      {E(Received), E(Accepted), E(Begun), E(Ready), E(PickedUp)}},
     {{0}},
     0,
     SAGA_ENDED,
     ""},
    {"the payment is declined", {{E(Started), E(Dropped)}, {E(Declined)}, {{NULL, 0}}}, {{0}}, 0, SAGA_UNDONE, ""},
    {"the draft is dropped and the payment approved late",
     {{E(Started), E(Dropped)}, {E(Approved), E(Voided)}, {{NULL, 0}}},
     {{0}},
     0,
     SAGA_UNDONE,
     ""},
    {"the store rejects",
     {{E(Started), E(Ordered), E(OrderRejected)}, {E(Approved), E(Voided)}, {E(Received), E(Rejected)}},
     {{0}},
     0,
     SAGA_UNDONE,
     ""},
    {"the store gives up before it is paid",
     {{E(Started), E(Ordered), E(OrderRejected)},
      {E(Approved), E(Voided)},
      {E(Received), E(Accepted), E(Begun), E(Failed)}},
     {{0}},
     0,
     SAGA_ENDED,
     ""},
    {"the store gives up when it is paid and ready",
     {{E(Started), E(Ordered), E(OrderRejected)},
      {E(Approved), E(Captured), E(Refunded)},
      {E(Received), E(Accepted), E(Begun), E(Ready), E(Failed)}},
     {{0}},
     0,
     SAGA_ENDED,
     ""},
    {"the customer's cancel wins",
     {{E(Started), E(Ordered), {&CancelAsked, CUSTOMER}, E(Canceled)},
      {E(Approved), E(Voided)},
      {E(Received), E(Accepted), E(Withdrawn)}},
     {{0, 2, 1, 0}},
     1,
     SAGA_UNDONE,
     ""},
    {"the customer's cancel is there before the ticket",
     {{E(Started), E(Ordered), {&CancelAsked, CUSTOMER}, E(Canceled)}, {E(Approved), E(Voided)}, {E(Withdrawn)}},
     {{0, 2, 1, 0}},
     1,
     SAGA_UNDONE,
     ""},
    {"the customer's cancel loses",
     {{E(Started), E(Ordered), {&CancelAsked, CUSTOMER}, E(CancelRejected)},
      {E(Approved), E(Captured)},
      {E(Received), E(Accepted), E(Begun), E(Ready), E(PickedUp)}},
     {{2, 4, 0, 2}},
     1,
     SAGA_ENDED,
     "deny"},
    {"the customer's cancel meets a rejection",
     {{E(Started), E(Ordered), {&CancelAsked, CUSTOMER}, E(OrderRejected)},
      {E(Approved), E(Voided)},
      {E(Received), E(Rejected)}},
     {{0, 2, 1, 0}},
     1,
     SAGA_UNDONE,
     NULL},
    {"the deadline's cancel loses and the customer's wins",
     {{E(Started), E(Ordered), {&CancelAsked, DEADLINE}, {&CancelAsked, CUSTOMER}, E(Canceled)},
      {E(Approved), E(Voided)},
      {E(Received), E(Accepted), E(Withdrawn)}},
     {{0, 2, 1, 0}, {2, 1, 0, 2}},
     2,
     SAGA_UNDONE,
     "deny_deadline"},
    {"both cancels lose",
     {{E(Started), E(Ordered), {&CancelAsked, CUSTOMER}, {&CancelAsked, DEADLINE}, E(CancelRejected)},
      {E(Approved), E(Captured)},
      {E(Received), E(Accepted), E(Begun), E(Ready), E(PickedUp)}},
     {{2, 4, 0, 3}},
     1,
     SAGA_ENDED,
     "deny deny_deadline"},
};

/* ---- the walk ---- */

/* A distinct state, with what was asked on the ways to it: how often can't be read from the row. */
typedef struct place {
  struct place *next;
  saga_row row;
  uint32_t compensated; /* commands of compensations that were asked, a bit each */
  uint32_t denied;
} place;

typedef struct walk {
  const story *story;
  kit_rig rig;
  cafe_arena *memory;
  place *places[EVENTS_MAX + 1][EVENTS_MAX + 1][EVENTS_MAX + 1];
  uint32_t states;
  uint32_t inputs;
} walk;

static int length(const story *s, int stream) {
  int n = 0;
  while (n < EVENTS_MAX && s->streams[stream][n].type) {
    n++;
  }
  return n;
}

static bool may_come(const story *s, const int heard[STREAMS], int stream) {
  for (int i = 0; i < s->cause_count; i++) {
    const cause *c = &s->causes[i];
    if (c->stream == stream && c->event == heard[stream] && heard[c->of_stream] <= c->of_event) {
      return false;
    }
  }
  return heard[stream] < length(s, stream);
}

static cafe_slice keep_bytes(walk *w, cafe_slice bytes) {
  cafe_slice kept;
  assert_int_equal(cafe_arena_copy(&kept, w->memory, bytes), CAFE_OK);
  return kept;
}

static void add_place(walk *w, const int heard[STREAMS], const saga_row *row, uint32_t compensated, uint32_t denied) {
  place **list = &w->places[heard[0]][heard[1]][heard[2]];
  for (const place *p = *list; p; p = p->next) {
    if (cafe_slice_equal(p->row.state, row->state) && cafe_slice_equal(p->row.data, row->data) &&
        p->compensated == compensated && p->denied == denied) {
      kit_assert_same(&p->row, row);
      return;
    }
  }
  place *added = cafe_arena_alloc(w->memory, sizeof(*added));
  added->next = *list;
  added->row = *row;
  added->row.steps = keep_bytes(w, row->steps);
  added->row.state = keep_bytes(w, row->state);
  added->row.data = keep_bytes(w, row->data);
  added->compensated = compensated;
  added->denied = denied;
  *list = added;
  w->states++;
}

static void load(walk *w, const saga_row *row) {
  cafe_err err;
  cafe_arena_reset(w->rig.arena);
  w->rig.saga = saga_instance_create(w->rig.plan, KIT_KEY, w->rig.arena);
  if (saga_load(w->rig.saga, row, &err)) {
    fail_msg("%s: %s", w->story->name, err.text);
  }
}

static void feed(walk *w, int stream, int event) {
  const told *t = &w->story->streams[stream][event];
  kit_event(&w->rig, t->type, (uint64_t)event + 1, (kit_note){t->n, 0}, NULL);
  w->rig.log[0] = '\0';
  w->inputs++;
}

/* Adds up what was asked, and refuses what may never be. */
static void look_at_asks(walk *w, uint32_t *compensated, uint32_t *denied) {
  for (const saga_ask *ask = w->rig.asks.first; ask; ask = ask->next) {
    uint32_t bit = ask->command->type == &Cvoid_payment ? 1 : 2;
    if (ask->kind == SAGA_ASK_COMPENSATION) {
      if (w->story->end == SAGA_ENDED) {
        fail_msg("%s: undone after the pivot", w->story->name);
      }
      if (*compensated & bit) {
        fail_msg("%s: %s is asked twice", w->story->name, ask->command->type->name);
      }
      *compensated |= bit;
    }
    if (ask->command->type == &Cdeny || ask->command->type == &Cdeny_deadline) {
      bit = ask->command->type == &Cdeny ? 1 : 2;
      if (*denied & bit) {
        fail_msg("%s: %s is asked twice", w->story->name, ask->command->type->name);
      }
      *denied |= bit;
    }
  }
}

static void hear_again(walk *w, const place *p, const int heard[STREAMS]) {
  for (int stream = 0; stream < STREAMS; stream++) {
    for (int event = 0; event < heard[stream]; event++) {
      load(w, &p->row);
      feed(w, stream, event);
      assert_false(w->rig.changed);
      assert_int_equal(w->rig.asks.count, 0);
    }
  }
  saga_row row = kit_row(&w->rig);
  kit_assert_same(&p->row, &row);
}

static void go_on(walk *w, const place *p, const int heard[STREAMS]) {
  for (int stream = 0; stream < STREAMS; stream++) {
    if (!may_come(w->story, heard, stream)) {
      continue;
    }
    int then[STREAMS] = {heard[0], heard[1], heard[2]};
    uint32_t compensated = p->compensated;
    uint32_t denied = p->denied;
    load(w, &p->row);
    feed(w, stream, then[stream]++);
    look_at_asks(w, &compensated, &denied);
    saga_row row = kit_row(&w->rig);
    assert_int_not_equal(row.phase, SAGA_PARKED);
    add_place(w, then, &row, compensated, denied);
  }
}

static uint32_t denied_of(const char *names) {
  return (strcmp(names, "deny") == 0 ? 1u : 0u) | (strcmp(names, "deny_deadline") == 0 ? 2u : 0u) |
         (strcmp(names, "deny deny_deadline") == 0 ? 3u : 0u);
}

static void check_end(const walk *w, const int heard[STREAMS]) {
  const story *s = w->story;
  const place *p = w->places[heard[0]][heard[1]][heard[2]];
  assert_non_null(p);
  for (; p; p = p->next) {
    if (p->row.phase != s->end) {
      fail_msg("%s: ends as %d at %.*s", s->name, (int)p->row.phase, (int)p->row.steps.size, p->row.steps.data);
    }
    if (s->denied && p->denied != denied_of(s->denied)) {
      fail_msg("%s: refused %u", s->name, p->denied);
    }
  }
}

static void tell(walk *w, const story *s) {
  int ends[STREAMS] = {length(s, 0), length(s, 1), length(s, 2)};
  w->story = s;
  memset(w->places, 0, sizeof(w->places));
  saga_row none;
  cafe_arena_reset(w->memory);
  w->rig.saga = saga_instance_create(w->rig.plan, KIT_KEY, w->rig.arena);
  none = kit_row(&w->rig);
  add_place(w, (int[STREAMS]){0, 0, 0}, &none, 0, 0);
  for (int a = 0; a <= ends[0]; a++) {
    for (int b = 0; b <= ends[1]; b++) {
      for (int c = 0; c <= ends[2]; c++) {
        int heard[STREAMS] = {a, b, c};
        for (const place *p = w->places[a][b][c]; p; p = p->next) {
          hear_again(w, p, heard);
          go_on(w, p, heard);
          cafe_arena_reset(w->rig.scratch);
        }
      }
    }
  }
  check_end(w, ends);
}

static void each_story_ends_the_same_in_whatever_order_it_is_heard(void **state) {
  walk *w = calloc(1, sizeof(*w));
  assert_non_null(w);
  kit_open(&w->rig, &order, false);
  w->memory = cafe_arena_create(NULL);
  for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
    uint32_t before = w->states;
    tell(w, &stories[i]);
    print_message("%s: %u states\n", stories[i].name, w->states - before);
  }
  cafe_arena_destroy(w->memory);
  kit_close(&w->rig);
  free(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_story_ends_the_same_in_whatever_order_it_is_heard),
  };
  return cmocka_run_group_tests_name("saga orders", tests, NULL, NULL);
}
