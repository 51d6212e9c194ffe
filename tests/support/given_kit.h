/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GIVEN_KIT_H
#define GIVEN_KIT_H

/* testing/given.h under CMocka. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "cafe/testing/given.h"
#include "schema/collect.h"

/* A stream of the order 1041. That it can be made shows that its field tables are sound, and that no event holds a
 * secret. */
static inline cafe_given *given_begin(const cafe_aggregate *aggregate) {
  cafe_given *it = NULL;
  cafe_err err = {0};
  if (cafe_given_aggregate(&it, aggregate, NULL, &err))
    fail_msg("%s", err.text);
  cafe_given_stream(it, NULL, 1041);
  return it;
}

static inline void given_is_well(const cafe_given *it) {
  if (!cafe_given_is_well(it))
    fail_msg("%s", cafe_given_why(it));
}

/* Fails the test if anything failed on the way. */
static inline void given_end(cafe_given *it) {
  given_is_well(it);
  cafe_given_destroy(it);
}

static inline void given_table(const cafe_aggregate *aggregate, const cafe_fact *commands,
                               const cafe_given_case *cases) {
  cafe_given *it = given_begin(aggregate);
  cafe_given_table(it, commands, cases);
  given_end(it);
}

static inline void given_starve(const cafe_aggregate *aggregate, const cafe_fact *events) {
  cafe_given *it = given_begin(aggregate);
  cafe_given_events(it, events);
  cafe_given_starve(it);
  given_end(it);
}

/* The reason by which the rules refuse what no node would hand them, since it isn't listed. */
static inline void given_refuses_unlisted(const cafe_aggregate *aggregate, const cafe_schema *command, const void *data,
                                          const char *reason) {
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_decision decision = {.reason = NULL};
  cafe_command asked = {.type = command, .key = 1041, .now_ms = 1000, .data = data};
  collector_init(&decision.events, arena);
  const void *state = cafe_arena_alloc(arena, aggregate->state->width);
  assert_int_equal(aggregate->decide(&decision, state, &asked, aggregate->user), CAFE_REFUSED);
  assert_string_equal(decision.reason, reason);
  cafe_arena_destroy(arena);
}

/* An event that isn't its own leaves a state as it is. */
static inline void given_ignores(const cafe_aggregate *aggregate, const cafe_schema *event, const void *data) {
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_event happened = {.type = event, .aggregate = aggregate->name, .key = 1041, .version = 1, .data = data};
  char *state = cafe_arena_alloc(arena, aggregate->state->width);
  assert_int_equal(aggregate->evolve(state, &happened, arena, aggregate->user), CAFE_OK);
  for (uint32_t i = 0; i < aggregate->state->width; i++)
    assert_int_equal(state[i], 0);
  cafe_arena_destroy(arena);
}

#endif
