/* SPDX-License-Identifier: Apache-2.0 */

/* The graph of a saga that has everything a definition can have. */
#include "test_saga_kit.h"

EVENT(Started);
EVENT(Paid);
EVENT(Declined);
EVENT(Refunded);
EVENT(Accepted);
EVENT(Begun);
EVENT(Done);
EVENT(Failed);
EVENT(Nudged);
EVENT(CancelAsked);
EVENT(Withdrawn);

ASK(pay)
ASK(unpay)
ASK(refund)
ASK(late)

static int due(int64_t *out, const void *data, void *user) {
  *out = ((const kit_memory *)data)->due_ms;
  return CAFE_OK;
}

static const cafe_saga_step steps[] = {
    {.name = "pay",
     .kind = CAFE_STEP_COMPENSATABLE,
     .action = pay,
     .again = SIGNALS(&Nudged),
     .completes = SIGNALS(&Paid),
     .fails = SIGNALS(&Declined, &Refunded),
     .timeouts = (const cafe_saga_timeout[]){{"a \"late\" \\hour", due, late}, {NULL, NULL, NULL}},
     .compensation = unpay,
     .compensated = SIGNALS(&Refunded, &Declined)},
    {.name = "accept", .kind = CAFE_STEP_COMPENSATABLE, .undo = CAFE_UNDO_GUARD, .completes = SIGNALS(&Accepted)},
    {.name = "begin", .kind = CAFE_STEP_PIVOT, .completes = SIGNALS(&Begun)},
    {.name = "charge", .kind = CAFE_STEP_RETRIABLE, .branch = "money", .after = "begin", .action = pay},
    {.name = "finish",
     .kind = CAFE_STEP_RETRIABLE,
     .turns = (const cafe_saga_turn[]){{&Failed, "refund"}, {&Done, NULL}, {NULL, NULL}}},
    {.name = "refund", .kind = CAFE_STEP_RETRIABLE, .action = refund},
};
static const cafe_saga_interrupt interrupts[] = {{.name = "customer",
                                                  .signal = &CancelAsked,
                                                  .legal_in = STEPS("accept", "begin"),
                                                  .granted = SIGNALS(&Withdrawn),
                                                  .refused = SIGNALS(&Begun)}};
static const cafe_saga order = SAGA("order", steps, interrupts, 1);

static const char *const golden =
    "digraph \"order\" {\n"
    "  rankdir=LR;\n"
    "  start [shape=circle, label=\"\"];\n"
    "  ended [shape=doublecircle, label=\"ended\"];\n"
    "  undone [shape=doublecircle, style=dashed, label=\"undone\"];\n"
    "  s0 [shape=box, label=\"pay\\nasks\\nhas a compensation\\nuntil Refunded | Declined\"];\n"
    "  s1 [shape=box, label=\"accept\\nwaits\\nundone by the guard\"];\n"
    "  s2 [shape=box, peripheries=2, label=\"begin\\nwaits\"];\n"
    "  s3 [shape=box, style=rounded, label=\"charge\\nasks\"];\n"
    "  s4 [shape=box, style=rounded, label=\"finish\\nwaits\"];\n"
    "  s5 [shape=box, style=rounded, label=\"refund\\nasks\"];\n"
    "  start -> s0 [label=\"Started\"];\n"
    "  s0 -> s1 [label=\"Paid\"];\n"
    "  s0 -> undone [style=dashed, label=\"Declined | Refunded\"];\n"
    "  s0 -> s0 [label=\"again: Nudged\"];\n"
    "  s0 -> s0 [style=dotted, label=\"at a \\\"late\\\" \\\\hour\"];\n"
    "  s1 -> s2 [label=\"Accepted\"];\n"
    "  s2 -> s4 [label=\"Begun\"];\n"
    "  s2 -> s3 [style=bold, label=\"and beside it\"];\n"
    "  s3 -> ended [label=\"answered\"];\n"
    "  s4 -> s5 [style=bold, label=\"Failed\"];\n"
    "  s4 -> ended [style=bold, label=\"Done\"];\n"
    "  s5 -> ended [label=\"answered\"];\n"
    "  i0 [shape=diamond, label=\"customer\\nCancelAsked\\nback at Begun\"];\n"
    "  s1 -> i0 [style=dotted, dir=both];\n"
    "  s2 -> i0 [style=dotted, dir=both];\n"
    "  i0 -> undone [style=dashed, label=\"Withdrawn\"];\n"
    "}\n";

typedef struct sheet {
  char text[4096];
  size_t size;
} sheet;

static void put(cafe_slice text, void *user) {
  sheet *s = user;
  assert_true(s->size + text.size < sizeof(s->text));
  if (text.size) {
    memcpy(s->text + s->size, text.data, text.size);
  }
  s->size += text.size;
  s->text[s->size] = '\0';
}

static void a_saga_is_printed_as_a_graph(void **state) {
  sheet s = {"", 0};
  cafe_saga_print(&order, put, &s);
  assert_string_equal(s.text, golden);
}

static void a_saga_that_is_refused_is_printed_as_the_reason(void **state) {
  sheet s = {"", 0};
  cafe_saga bad = order;
  bad.step_count = 2;
  cafe_saga_print(&bad, put, &s);
  assert_string_equal(s.text,
                      "digraph {\n  refused [shape=plaintext, label=\"saga order, interrupt customer: is legal in "
                      "begin, which is no step of main\"];\n}\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_saga_is_printed_as_a_graph),
      cmocka_unit_test(a_saga_that_is_refused_is_printed_as_the_reason),
  };
  return cmocka_run_group_tests_name("saga print", tests, NULL, NULL);
}
