/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Given, when, then. What is kept here: a state is only ever what the definition makes of events that it names, and
 * each is handed the memory that it will be handed by a node, no longer than there: so a test can't start from what no
 * stream could be in, nor pass because memory lived longer.
 *
 * The collectors that callbacks are handed (schema/collect.h) have this build's layout: cafe::testing goes with the
 * cafe::cafe of its own version, as its package says.
 */
#include <inttypes.h>

#include "base/str.h"
#include "cafe/node.h"
#include "cafe/store/memory.h"
#include "cafe/testing/sim.h"
#include "testing/given_core.h"

enum { FIRST_KEY = 1, FIRST_MS = 1000 };

/* ---- birth and death ---- */

static int no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "given: no memory"); }

/* A node finds what a definition shows by itself when it is hosted. */
static int host_it(cafe_given *it, cafe_node *node, cafe_err *err) {
  const cafe_aggregate *aggregates[] = {it->aggregate, NULL};
  const cafe_view *views[] = {it->view, NULL};
  const cafe_policy *policies[] = {it->policy, NULL};
  const cafe_saga *sagas[] = {it->saga, NULL};
  cafe_service service = {.size = CAFE_SERVICE,
                          .name = "given",
                          .aggregates = aggregates,
                          .sagas = sagas,
                          .policies = policies,
                          .views = views};
  return cafe_node_host(node, &service, err);
}

static int check_definition(cafe_given *it, cafe_err *err) {
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  cafe_sim_options sim = CAFE_SIM_OPTIONS_INIT;
  cafe_memory_options memory = CAFE_MEMORY_OPTIONS_INIT;
  cafe_node *node = NULL;
  sim.allocator = memory.allocator = options.allocator = &it->allocator;
  int code = cafe_sim_create(&options.loop, 1, &sim, err);
  if (!code) {
    code = cafe_memory_create(&options.store, &memory, err);
  }
  if (!code) {
    code = cafe_node_create(&node, &options, err);
  }
  if (!code) {
    code = host_it(it, node, err);
  }
  cafe_node_destroy(node);
  cafe_store_destroy(options.store);
  cafe_loop_destroy(options.loop);
  return code;
}

static bool has_arenas(cafe_given *it) {
  it->words = cafe_arena_create(&it->allocator);
  it->history = cafe_arena_create(&it->allocator);
  it->folded = cafe_arena_create(&it->allocator);
  it->answer = cafe_arena_create(&it->allocator);
  return it->words && it->history && it->folded && it->answer;
}

/* what has the definition. */
static int create(cafe_given **out, const cafe_given *what, const cafe_allocator *allocator, cafe_err *err) {
  cafe_allocator own = allocator ? *allocator : *cafe_allocator_default();
  cafe_given *it = own.resize(NULL, sizeof(*it), own.user);
  if (!it) {
    return no_memory(err);
  }
  *it = *what;
  it->allocator = own;
  int code = has_arenas(it) ? CAFE_OK : no_memory(err);
  if (!code) {
    code = check_definition(it, err);
  }
  if (!code && it->saga) {
    code = saga_plan_create(&it->plan, it->saga, &it->allocator, err);
  }
  if (code) {
    cafe_given_destroy(it);
    return code;
  }
  cafe_given_reset(it);
  *out = it;
  return CAFE_OK;
}

int cafe_given_aggregate(cafe_given **out, const cafe_aggregate *aggregate, const cafe_allocator *allocator,
                         cafe_err *err) {
  return create(out, &(cafe_given){.aggregate = aggregate}, allocator, err);
}

int cafe_given_view(cafe_given **out, const cafe_view *view, const cafe_allocator *allocator, cafe_err *err) {
  return create(out, &(cafe_given){.view = view}, allocator, err);
}

int cafe_given_policy(cafe_given **out, const cafe_policy *policy, const cafe_allocator *allocator, cafe_err *err) {
  return create(out, &(cafe_given){.policy = policy}, allocator, err);
}

int cafe_given_saga(cafe_given **out, const cafe_saga *saga, const cafe_allocator *allocator, cafe_err *err) {
  return create(out, &(cafe_given){.saga = saga}, allocator, err);
}

void cafe_given_destroy(cafe_given *it) {
  if (!it) {
    return;
  }
  cafe_allocator allocator = it->allocator;
  saga_plan_destroy(it->plan);
  cafe_arena_destroy(it->words);
  cafe_arena_destroy(it->history);
  cafe_arena_destroy(it->folded);
  cafe_arena_destroy(it->answer);
  allocator.resize(it, 0, allocator.user);
}

static void forget_answer(cafe_given *it) {
  cafe_arena_reset(it->answer);
  it->said = (given_list){NULL, NULL};
  it->verdict = (cafe_verdict)0;
  it->reason = it->text = NULL;
  it->line = "";
}

void cafe_given_reset(cafe_given *it) {
  cafe_arena_reset(it->words);
  cafe_arena_reset(it->history);
  cafe_arena_reset(it->folded);
  forget_answer(it);
  it->why = NULL;
  it->now_ms = FIRST_MS;
  it->key = FIRST_KEY;
  it->stream = it->aggregate ? it->aggregate->name : "";
  it->count = 0;
  it->streams = NULL;
  it->first = it->last = NULL;
  it->instance = NULL;
  it->open = NULL;
  it->cause = NULL;
  if (fold_begin(it, &it->fold, it->folded)) {
    given_fail(it, "no memory to begin with");
  }
}

bool cafe_given_is_well(const cafe_given *it) { return it->why == NULL; }
const char *cafe_given_why(const cafe_given *it) { return it->why ? it->why : ""; }

/* ---- lists ---- */

bool given_lists(const cafe_schema *const *list, const cafe_schema *type) {
  while (*list && *list != type) {
    list++;
  }
  return *list != NULL;
}

bool given_push(cafe_given *it, given_list *list, cafe_arena *arena, const cafe_fact *fact) {
  cafe_err err;
  const void *data = NULL;
  if (schema_take(&data, fact->type, fact->data, fact->size, arena, &err)) {
    return given_fail(it, "%s", err.text);
  }
  given_item *item = cafe_arena_alloc(arena, sizeof(*item));
  void *copy = cafe_arena_alloc(arena, fact->type->width);
  if (!item || !copy || cafe_schema_copy(copy, data, fact->type, arena)) {
    return given_fail(it, "no memory to keep a %s", fact->type->name);
  }
  item->fact = *fact;
  item->fact.data = copy;
  item->fact.size = fact->type->width;
  if (list->last) {
    list->last->next = item;
  } else {
    list->first = item;
  }
  list->last = item;
  return true;
}

bool given_take(cafe_given *it, given_list *out, const cafe_fact *facts, cafe_arena *arena) {
  *out = (given_list){NULL, NULL};
  for (; facts && facts->type; facts++) {
    if (!given_push(it, out, arena, facts)) {
      return false;
    }
  }
  return true;
}

bool given_say(cafe_given *it, const collector *from) {
  for (const collected *item = from->first; item; item = item->next) {
    const char *line = arena_printf(it->answer, "%s%s%s", it->line, it->line[0] ? " " : "", item->type->name);
    it->line = line ? line : "";
    cafe_fact fact = {.type = item->type,
                      .data = item->data,
                      .size = item->type->width,
                      .key = item->key,
                      .task = item->id,
                      .not_before_ms = item->not_before_ms};
    if (!line) {
      return given_fail(it, "no memory to keep what is said");
    }
    if (!given_push(it, &it->said, it->answer, &fact)) {
      return false;
    }
  }
  return true;
}

bool given_begin(cafe_given *it) {
  forget_answer(it);
  return it->why == NULL;
}

/* ---- what a callback is handed ---- */

void *given_hand(cafe_given *it, const cafe_schema *schema, const void *data) {
  void *handed = cafe_arena_alloc(it->history, schema->width);
  if (!handed || cafe_schema_copy(handed, data, schema, it->history)) {
    given_fail(it, "no memory to hand over a %s", schema->name);
    return NULL;
  }
  return handed;
}

/* The copy is ours, whatever the struct says of it. */
void given_spoil(const cafe_schema *schema, void *handed) {
  for (uint32_t i = 0; i < schema->field_count; i++) {
    cafe_slice bytes = cafe_schema_get(schema, handed, i).bytes;
    bool is_text = schema->fields[i].type == CAFE_FIELD_TEXT || schema->fields[i].type == CAFE_FIELD_BYTES;
    char *own = NULL;
    memcpy(&own, &bytes.data, sizeof(own));
    if (is_text && bytes.size) {
      memset(own, '~', bytes.size);
    }
  }
  memset(handed, 0, schema->width);
}

/* ---- what has happened ---- */

bool cafe_given_stream(cafe_given *it, const char *aggregate, uint64_t key) {
  if (it->why) {
    return false;
  }
  if (key == 0 || key > CAFE_KEY_MAX) {
    return given_fail(it, "a key is from 1 to 2^53 - 1");
  }
  bool is_fixed = !it->policy && it->first;
  if (is_fixed && key != it->key) {
    return given_fail(it, "key %" PRIu64 " comes too late: what has happened is of key %" PRIu64, key, it->key);
  }
  if (aggregate && it->aggregate && strcmp(aggregate, it->aggregate->name) != 0) {
    return given_fail(it, "%s is no stream of the aggregate %s", aggregate, it->aggregate->name);
  }
  cafe_slice name = {NULL, 0};
  if (aggregate && cafe_arena_copy(&name, it->history, cafe_text(aggregate))) {
    return given_fail(it, "no memory to name a stream");
  }
  it->stream = name.data ? name.data : it->stream;
  it->key = key;
  return true;
}

bool cafe_given_time(cafe_given *it, int64_t now_ms) {
  if (!given_begin(it)) {
    return false;
  }
  if (it->saga) {
    return given_saga_comes_to(it, now_ms);
  }
  it->now_ms = now_ms;
  return true;
}

bool cafe_given_cause(cafe_given *it, const cafe_schema *command, const void *data, size_t size) {
  cafe_err err;
  if (it->why) {
    return false;
  }
  if (!it->saga) {
    return given_fail(it, "%s: only a saga hears of a cause", command->name);
  }
  if (schema_take(&data, command, data, size, it->history, &err)) {
    return given_fail(it, "%s", err.text);
  }
  cafe_command *cause = cafe_arena_alloc(it->history, sizeof(*cause));
  it->cause_data = cause ? given_hand(it, command, data) : NULL;
  if (!it->cause_data) {
    return given_fail(it, "no memory to keep a cause");
  }
  *cause = (cafe_command){.type = command, .key = it->key, .now_ms = it->now_ms, .data = it->cause_data};
  it->cause = cause;
  return true;
}

static given_stream *stream_of(cafe_given *it) {
  given_stream *stream = it->streams;
  while (stream && (stream->key != it->key || strcmp(stream->aggregate, it->stream) != 0)) {
    stream = stream->next;
  }
  if (stream) {
    return stream;
  }
  stream = cafe_arena_alloc(it->history, sizeof(*stream));
  if (stream) {
    *stream = (given_stream){it->streams, it->stream, it->key, 0};
    it->streams = stream;
  }
  return stream;
}

/* Which events the definition names, and what it is called. */
static const cafe_schema *const *heard(const cafe_given *it, const char **what, const char **name) {
  *what = it->aggregate ? "aggregate" : it->view ? "view" : it->policy ? "policy" : "saga";
  if (it->aggregate) {
    *name = it->aggregate->name;
    return it->aggregate->events;
  }
  if (it->view) {
    *name = it->view->name;
    return it->view->events;
  }
  *name = it->policy ? it->policy->name : it->saga->name;
  return it->policy ? it->policy->events : saga_plan_signals(it->plan);
}

/* An inline view, a saga and a policy in the unit of the event hear it before it has a position. */
static given_event *keep_event(cafe_given *it, const cafe_schema *type, const void *data) {
  given_event *kept = cafe_arena_alloc(it->history, sizeof(*kept));
  given_stream *stream = stream_of(it);
  void *copy = given_hand(it, type, data);
  if (!kept || !stream || !copy) {
    given_fail(it, "no memory to keep an event");
    return NULL;
  }
  it->count++;
  kept->event = (cafe_event){.type = type,
                             .aggregate = stream->aggregate,
                             .key = it->key,
                             .version = ++stream->version,
                             .time_ms = it->now_ms,
                             .position = {1, 0, it->view && !it->view->is_inline ? it->count : 0},
                             .data = copy};
  if (it->last) {
    it->last->next = kept;
  } else {
    it->first = kept;
  }
  it->last = kept;
  return kept;
}

static bool react_once(cafe_given *it, cafe_reaction *out, const cafe_event *event) {
  const cafe_policy *policy = it->policy;
  cafe_event handed = *event;
  void *data = given_hand(it, event->type, event->data);
  if (!data) {
    return false;
  }
  handed.data = data;
  collector_init(&out->commands, it->answer);
  policy->react(out, &handed, policy->user);
  given_spoil(event->type, data);
  cafe_err err;
  if (collector_check(&out->commands, policy->commands, policy->name, &err)) {
    return given_fail(it, "the policy %s, for %s: %s", policy->name, event->type->name, err.text);
  }
  for (const collected *item = out->commands.first; item; item = item->next) {
    if (item->key != event->key && !policy->other_key) {
      return given_fail(it,
                        "the policy %s asks for %s to key %" PRIu64 ", and the event is of key %" PRIu64
                        ": mark the policy other_key",
                        policy->name, item->type->name, item->key, event->key);
    }
  }
  return true;
}

static bool react(cafe_given *it, const cafe_event *event) {
  cafe_reaction reaction, again;
  if (!react_once(it, &reaction, event) || !react_once(it, &again, event)) {
    return false;
  }
  given_words words = {it->words, NULL, false};
  const collected *one = reaction.commands.first, *other = again.commands.first;
  while (one && other && one->type == other->type && one->key == other->key &&
         words_same(one->type, one->data, other->data)) {
    one = one->next;
    other = other->next;
  }
  if (one || other) {
    words_add(&words, "  first %s, then %s", one ? one->type->name : "nothing", other ? other->type->name : "nothing");
  }
  return given_judge(it, &words, "the policy %s reacts to one %s in two ways: it must be pure", it->policy->name,
                     event->type->name) &&
         given_say(it, &reaction.commands);
}

static bool fold(cafe_given *it, const cafe_event *event) {
  cafe_err err;
  cafe_event handed = *event;
  void *data = given_hand(it, event->type, event->data);
  if (!data) {
    return false;
  }
  handed.data = data;
  int code = fold_event(it, &it->fold, &handed, it->folded, &err);
  given_spoil(event->type, data);
  return code ? given_fail(it, "%s", err.text) : true;
}

bool given_happen(cafe_given *it, const cafe_schema *type, const void *data, size_t size) {
  const char *what, *name;
  cafe_err err;
  codec_measure measure;
  if (!given_lists(heard(it, &what, &name), type)) {
    return given_fail(it, "the %s %s doesn't name %s among its events", what, name, type->name);
  }
  if (schema_take(&data, type, data, size, it->history, &err) || codec_check(&measure, type, data, &err)) {
    return given_fail(it, "%s", err.text);
  }
  given_event *kept = keep_event(it, type, data);
  if (!kept) {
    return false;
  }
  if (it->policy) {
    return react(it, &kept->event);
  }
  return it->saga ? given_saga_hears(it, &kept->event) : fold(it, &kept->event);
}

bool cafe_given_event(cafe_given *it, const cafe_schema *event, const void *data, size_t size) {
  return given_begin(it) && given_happen(it, event, data, size);
}

bool cafe_given_events(cafe_given *it, const cafe_fact *events) {
  bool is_well = given_begin(it);
  for (; is_well && events && events->type; events++) {
    is_well = given_happen(it, events->type, events->data, events->size);
  }
  return is_well;
}
