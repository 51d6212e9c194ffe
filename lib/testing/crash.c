/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every fault in turn. What is kept here: runs know nothing of each other, and a run is made whole by its kind, its
 * node, its number and its seed; so each can be repeated alone, by a word that says these four.
 */
#include "cafe/testing/crash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sized.h"
#include "testing/crash_core.h"

enum { IN_A_ROW = 20, RANDOM_RUNS = 100 };

/* How each kind is called in a word, and what it did. */
static const struct {
  const char *word;
  const char *did; /* by n and node */
} kinds[] = {
    {"nothing", "without a fault"},
    {"before-commit", "the process died before commit"},
    {"after-commit", "the process died after commit"},
    {"store-call", "the store failed at call"},
    {"store-calls", "the store failed for a while from call"},
    {"allocation", "memory was refused at allocation"},
    {"allocations", "memory was refused for a while from allocation"},
    {"given-up", "callers gave up after step"},
    {"closed", "the node was closed after step"},
    {"drained", "the node was drained after step"},
    {"random", "several faults, drawn by seed"},
};

/* One run that is made. */
typedef struct plan {
  const cafe_crash_scenario *scenario;
  const cafe_crash_options *options;
  cafe_crash_report *out;
} plan;

static void tell_lines(cafe_crash_report *out, const cafe_crash *run) {
  uint64_t first = run->line_count > CRASH_LINES ? run->line_count - CRASH_LINES : 0;
  for (uint64_t i = first; i < run->line_count; i++) {
    size_t used = strlen(out->why);
    snprintf(out->why + used, sizeof(out->why) - used, "%s\n  %s", i == first ? "\nlogged last:" : "",
             run->lines[i % CRASH_LINES].text);
  }
}

static void tell(cafe_crash_report *out, const cafe_crash *run) {
  bool is_random = run->kind == CAFE_CRASH_RANDOM;
  char number[32] = "", node[32] = "";
  out->is_well = false;
  out->kind = run->kind;
  out->node = run->target;
  out->n = run->n;
  out->seed = run->seed;
  snprintf(out->word, sizeof(out->word), "%s:%u:%" PRIu64 ":%" PRIu64, kinds[run->kind].word, run->target, run->n,
           run->seed);
  if (run->kind != CAFE_CRASH_NOTHING) {
    snprintf(number, sizeof(number), " %" PRIu64, is_random ? run->seed : run->n);
  }
  if (run->kind != CAFE_CRASH_NOTHING && !is_random && run->scenario->nodes > 1) {
    snprintf(node, sizeof(node), " of node %u", run->target);
  }
  snprintf(out->why, sizeof(out->why), "%s%s%s: %s\nto repeat it alone: only = \"%s\"", kinds[run->kind].did, number,
           node, run->why, out->word);
  tell_lines(out, run);
}

/* One run. *was_hit: its fault came to pass. False: it failed, and out says how. */
static bool play(const plan *self, cafe_crash_kind kind, uint32_t node, uint64_t n, uint64_t seed, bool *was_hit) {
  cafe_crash run = {
      .scenario = self->scenario, .options = self->options, .kind = kind, .target = node, .n = n, .seed = seed};
  cafe_crash_report *out = self->out;
  cafe_err err;
  *was_hit = false;
  run.allocator = self->options->allocator ? *self->options->allocator : *cafe_allocator_default();
  run.arena = cafe_arena_create(&run.allocator);
  int code = run.arena ? crash_play(&run, &err) : cafe_fail(&err, CAFE_NOMEM, "no memory for a run");
  if (code) {
    cafe_crash_wrong(&run, "it can't be run: %s", err.text);
  }
  out->runs++;
  if (run.is_wrong) {
    tell(out, &run);
  } else {
    out->hits[kind] += run.is_hit;
    *was_hit = run.is_hit;
  }
  cafe_arena_destroy(run.arena);
  return !run.is_wrong;
}

static bool enumerate(const plan *self, cafe_crash_kind kind, uint32_t node) {
  const cafe_crash_options *options = self->options;
  bool was_hit = true;
  for (uint64_t n = 1; was_hit && (!options->max_each || n <= options->max_each); n++) {
    if (!play(self, kind, node, n, options->seed, &was_hit)) {
      return false;
    }
  }
  return true;
}

static bool draw(const plan *self) {
  const cafe_crash_options *options = self->options;
  uint64_t runs = options->random_runs;
  if (options->max_each && options->max_each < runs) {
    runs = options->max_each;
  }
  for (uint64_t i = 0; i < runs; i++) {
    bool was_hit;
    if (!play(self, CAFE_CRASH_RANDOM, 0, 1, options->seed + i, &was_hit)) {
      return false;
    }
  }
  return true;
}

static bool play_all(const plan *self) {
  bool was_hit;
  uint32_t nodes = self->scenario->nodes ? self->scenario->nodes : 1;
  if (!play(self, CAFE_CRASH_NOTHING, 0, 0, self->options->seed, &was_hit)) {
    return false;
  }
  for (int kind = CAFE_CRASH_BEFORE_COMMIT; kind < CAFE_CRASH_RANDOM; kind++) {
    /* Who gives up does so at all nodes. */
    uint32_t targets = kind == CAFE_CRASH_GIVEN_UP ? 1 : nodes;
    for (uint32_t node = 0; self->options->kinds >> kind & 1 && node < targets; node++) {
      if (!enumerate(self, (cafe_crash_kind)kind, node)) {
        return false;
      }
    }
  }
  return self->options->kinds >> CAFE_CRASH_RANDOM & 1 ? draw(self) : true;
}

/* ---- one alone ---- */

static bool refuse(cafe_crash_report *out, const char *why, const char *what) {
  out->is_well = false;
  snprintf(out->why, sizeof(out->why), "%s%s", why, what);
  return false;
}

/* The number behind the next colon, and on to its end. False: there is none. */
static bool take_number(uint64_t *out, const char **at) {
  char *end = NULL;
  if (**at != ':' || (*at)[1] < '0' || (*at)[1] > '9') {
    return false;
  }
  *out = strtoull(*at + 1, &end, 10);
  *at = end;
  return true;
}

static bool play_only(const plan *self, const char *word) {
  uint64_t node, n, seed;
  bool was_hit;
  size_t size = strcspn(word, ":");
  const char *at = word + size;
  uint32_t nodes = self->scenario->nodes ? self->scenario->nodes : 1;
  if (take_number(&node, &at) && take_number(&n, &at) && take_number(&seed, &at) && !*at && node < nodes) {
    for (int kind = CAFE_CRASH_NOTHING; kind <= CAFE_CRASH_RANDOM; kind++) {
      if (strlen(kinds[kind].word) == size && memcmp(word, kinds[kind].word, size) == 0) {
        return play(self, (cafe_crash_kind)kind, (uint32_t)node, n, seed, &was_hit);
      }
    }
  }
  return refuse(self->out, "only is no word of a report: ", word);
}

/* ---- in ---- */

static int read_options(cafe_crash_options *own, const cafe_crash_options *given, cafe_err *err) {
  int code = given ? SIZED_READ(own, given, cafe_crash_options, only, "CAFE_CRASH_OPTIONS_INIT", err) : CAFE_OK;
  if (code) {
    return code;
  }
  own->kinds = own->kinds ? own->kinds : (1u << CAFE_CRASH_RANDOM) - 1;
  own->in_a_row = own->in_a_row ? own->in_a_row : IN_A_ROW;
  own->random_runs = own->random_runs ? own->random_runs : RANDOM_RUNS;
  return CAFE_OK;
}

static int read_scenario(cafe_crash_scenario *own, const cafe_crash_scenario *given, cafe_err *err) {
  int code = SIZED_READ(own, given, cafe_crash_scenario, user, "CAFE_CRASH_SCENARIO", err);
  if (!code && (!own->host || !own->drive || !own->check)) {
    code = cafe_fail(err, CAFE_INVALID, "a scenario needs host, drive and check");
  }
  return code;
}

bool cafe_crash_enumerate(cafe_crash_report *out, const cafe_crash_scenario *given,
                          const cafe_crash_options *settings) {
  cafe_crash_options options = CAFE_CRASH_OPTIONS_INIT;
  cafe_crash_scenario scenario;
  cafe_crash_report report = CAFE_CRASH_REPORT_INIT;
  cafe_err err;
  plan self = {&scenario, &options, &report};
  bool is_well;
  if (read_scenario(&scenario, given, &err) || read_options(&options, settings, &err)) {
    is_well = refuse(&report, err.text, "");
  } else {
    is_well = options.only && options.only[0] ? play_only(&self, options.only) : play_all(&self);
  }
  report.is_well = is_well;
  report.size = out->size < sizeof(report) ? out->size : sizeof(report);
  memcpy(out, &report, report.size);
  return is_well;
}
