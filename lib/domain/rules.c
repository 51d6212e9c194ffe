/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the four aggregates share. Their rules are total: a decide answers every command in every state, for ever, since
 * commands between services are deduplicated by nothing else. A table without a line for a command still refuses it,
 * and an event of a newer version leaves the state as it was.
 */
#include "domain/rules.h"

#include "base/str.h"

bool rules_is_text(cafe_slice text, size_t min, size_t max) {
  if (!str_is_utf8(text) || str_has_control(text)) {
    return false;
  }
  size_t count = str_count(text);
  return count >= min && count <= max;
}

cafe_verdict rules_run_decide(cafe_decision *out, const rules_decide *rules, const void *state,
                              const cafe_command *command) {
  for (; rules->command; rules++) {
    if (rules->command == command->type) {
      return rules->decide(out, state, command);
    }
  }
  return cafe_refuse(out, "unsupported", "%s isn't a command of this aggregate", command->type->name);
}

int rules_run_evolve(const rules_evolve *rules, void *state, const cafe_event *event, cafe_arena *arena) {
  for (; rules->event; rules++) {
    if (rules->event == event->type) {
      return rules->evolve(state, event, arena);
    }
  }
  return CAFE_OK;
}
