/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A saga as a graph: what the coordinator does with the definition, and nothing else. Names of steps and signals come
 * from outside and are written as quoted strings of DOT, so no name can become a part of the language.
 */
#include <stdio.h>

#include "saga/plan.h"

typedef struct printer {
  void (*write)(cafe_slice text, void *user);
  void *user;
} printer;

static void put(const printer *p, const char *text) { p->write(cafe_text(text), p->user); }

static void put_node(const printer *p, char kind, uint32_t index) {
  char text[16];
  snprintf(text, sizeof(text), "%c%u", kind, (unsigned)index);
  put(p, text);
}

/* Inside quotes. */
static void put_name(const printer *p, const char *name) {
  for (; *name; name++) {
    if (*name == '"' || *name == '\\') {
      put(p, "\\");
    }
    p->write((cafe_slice){name, 1}, p->user);
  }
}

static void put_list(const printer *p, const char *before, const cafe_schema *const *list) {
  put(p, before);
  for (const cafe_schema *const *type = list; *type; type++) {
    put(p, type == list ? "" : " | ");
    put_name(p, (*type)->name);
  }
}

static void put_steps_edge(const printer *p, uint32_t from, uint32_t to) {
  put(p, "  ");
  put_node(p, 's', from);
  put(p, " -> ");
  if (to == SAGA_NO) {
    put(p, "ended");
  } else {
    put_node(p, 's', to);
  }
}

/* ---- steps ---- */

static void put_step_node(const printer *p, const cafe_saga *saga, uint32_t index) {
  static const char *const undo[] = {"", "\\nundone by the guard", "\\nundone by its signal"};
  const cafe_saga_step *step = &saga->steps[index];
  put(p, "  ");
  put_node(p, 's', index);
  put(p, " [shape=box");
  put(p, step->kind == CAFE_STEP_PIVOT ? ", peripheries=2" : "");
  put(p, step->kind == CAFE_STEP_RETRIABLE ? ", style=rounded" : "");
  put(p, ", label=\"");
  put_name(p, step->name);
  put(p, step->action ? "\\nasks" : "\\nwaits");
  put(p, step->compensation ? "\\nhas a compensation" : undo[step->undo]);
  if (step->compensated) {
    put_list(p, "\\nuntil ", step->compensated);
  }
  put(p, "\"];\n");
}

static void put_step_edges(const printer *p, const saga_plan *plan, uint32_t index) {
  const cafe_saga_step *step = &plan->saga->steps[index];
  if (plan->steps[index].after != SAGA_NO) {
    put_steps_edge(p, plan->steps[index].after, index);
    put(p, " [style=bold, label=\"and beside it\"];\n");
  }
  if (step->completes || step->action) {
    put_steps_edge(p, index, plan->steps[index].next);
    if (step->completes) {
      put_list(p, " [label=\"", step->completes);
      put(p, "\"];\n");
    } else {
      put(p, " [label=\"answered\"];\n");
    }
  }
  for (const cafe_saga_turn *turn = step->turns; turn && turn->signal; turn++) {
    put_steps_edge(p, index, turn->to ? plan_find(plan->saga, turn->to) : SAGA_NO);
    put(p, " [style=bold, label=\"");
    put_name(p, turn->signal->name);
    put(p, "\"];\n");
  }
  if (step->fails) {
    put(p, "  ");
    put_node(p, 's', index);
    put_list(p, " -> undone [style=dashed, label=\"", step->fails);
    put(p, "\"];\n");
  }
  if (step->again) {
    put_steps_edge(p, index, index);
    put_list(p, " [label=\"again: ", step->again);
    put(p, "\"];\n");
  }
  const cafe_saga_timeout *timeout = step->timeouts;
  for (uint32_t i = 0; i < plan->steps[index].timeout_count; i++) {
    put_steps_edge(p, index, index);
    put(p, " [style=dotted, label=\"at ");
    put_name(p, timeout[i].name);
    put(p, "\"];\n");
  }
}

/* ---- interrupts ---- */

static void put_interrupt(const printer *p, const saga_plan *plan, uint32_t index) {
  const cafe_saga_interrupt *interrupt = &plan->saga->interrupts[index];
  put(p, "  ");
  put_node(p, 'i', index);
  put(p, " [shape=diamond, label=\"");
  put_name(p, interrupt->name);
  put(p, "\\n");
  put_name(p, interrupt->signal->name);
  put_list(p, "\\nback at ", interrupt->refused);
  put(p, "\"];\n");
  for (uint32_t i = 0; i < plan->saga->step_count; i++) {
    if (plan->interrupts[index].legal_in >> i & 1) {
      put(p, "  ");
      put_node(p, 's', i);
      put(p, " -> ");
      put_node(p, 'i', index);
      put(p, " [style=dotted, dir=both];\n");
    }
  }
  put(p, "  ");
  put_node(p, 'i', index);
  put_list(p, " -> undone [style=dashed, label=\"", interrupt->granted);
  put(p, "\"];\n");
}

void cafe_saga_print(const cafe_saga *saga, void (*write)(cafe_slice text, void *user), void *user) {
  printer p = {write, user};
  saga_plan plan;
  cafe_err err;
  if (plan_build(&plan, saga, &err)) {
    /* Still a graph, so that a tool which draws it shows why there is none. */
    put(&p, "digraph {\n  refused [shape=plaintext, label=\"");
    put_name(&p, err.text);
    put(&p, "\"];\n}\n");
    return;
  }
  put(&p, "digraph \"");
  put_name(&p, saga->name);
  put(&p, "\" {\n  rankdir=LR;\n  start [shape=circle, label=\"\"];\n  ended [shape=doublecircle, label=\"ended\"];\n"
          "  undone [shape=doublecircle, style=dashed, label=\"undone\"];\n");
  for (uint32_t i = 0; i < saga->step_count; i++) {
    put_step_node(&p, saga, i);
  }
  put(&p, "  start -> s0 [label=\"");
  put_name(&p, saga->starts->name);
  put(&p, "\"];\n");
  for (uint32_t i = 0; i < saga->step_count; i++) {
    put_step_edges(&p, &plan, i);
  }
  for (uint32_t i = 0; i < saga->interrupt_count; i++) {
    put_interrupt(&p, &plan, i);
  }
  put(&p, "}\n");
}
