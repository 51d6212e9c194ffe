/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tier durable: what a store has acknowledged is there, whatever happens to process, disk and power.
 *
 * All checks run one script, whose state after each step is known from a run in which nothing happens. So after any
 * accident the store can be in two states only: as after the last step that was acknowledged, or as after the one that
 * was under way, whole. Whatever it is, the rest of the script must go through, and end as it does without accidents.
 *
 * Accidents are tried at every call that changes a file, one run for each, from the store's making on. With CAFE_FULL
 * set in the environment, each power loss is tried in more ways.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testing/store_checks.h"

enum { STEPS = 6, UNITS = 3, CALLS_MAX = 100000 };

typedef struct script {
  cafe_slice after[STEPS + 1]; /* what there is, in memory that outlives check_forget */
  check_unit *units[STEPS][UNITS];
} script;

static bool is_full(void) {
  const char *value = getenv("CAFE_FULL");
  return value && value[0];
}

/* ---- the script ---- */

/* One order that every step goes on with; one that each step begins, and that the next one ends. */
static void write_units(store_check *check, script *s) {
  check->last_key = 0;
  uint64_t old = check_new_key(check);
  uint64_t before = 0;
  for (uint32_t i = 0; i < STEPS; i++) {
    check_unit **units = s->units[i];
    units[0] = unit_new(check, old);
    unit_event(check, units[0], 2 * i + 1);
    unit_event(check, units[0], 2 * i + 2);
    unit_line(check, units[0], 1, i, 10 + i);
    unit_checkpoint(check, units[0], "check-a", 0, 3 * i, 3 * i + 3);
    uint64_t begun = check_new_key(check);
    units[1] = unit_new(check, begun);
    unit_append(check, units[1], "pot", 1, "Brewed", check_bytes(check, i % 3 == 2 ? 9000 : 150, i));
    unit_event(check, units[1], 1);
    unit_line(check, units[1], 1, 0, 20 + i);
    unit_line(check, units[1], 2, 0, 30 + i);
    unit_key(check, units[1], CAFE_KEY_CLAIM, check_text(check, "key %" PRIu32, i), cafe_text("print"),
             (cafe_slice){NULL, 0});
    units[2] = unit_new(check, before ? before : begun);
    unit_event(check, units[2], 2);
    unit_row(check, units[2], &check_lines, 2, 1, NULL);
    unit_key(check, units[2], CAFE_KEY_REPLY, check_text(check, "key %" PRIu32, before ? i - 1 : i),
             (cafe_slice){NULL, 0}, check_text(check, "reply %" PRIu32, i));
    before = before ? begun : 0;
    if (i == 0) {
      unit_event(check, units[1], 2);
      units[2]->unit.event_count = 0;
      before = begun;
      unit_row(check, units[2], &check_lines, 3, 0, check_line_of(check, 40));
      units[2]->unit.client_key = NULL;
      units[2]->rows[0] = units[2]->rows[1];
      units[2]->unit.row_count = 1;
    }
  }
}
