/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who reads which log: at the start, a subscription for each policy, saga and view, source and shard. What is kept
 * here: its name, under which its places are stored for ever, whoever is hosted beside whom
 * (decisions/0010-subscription-names.md).
 */
#include "base/str.h"
#include "engine/letter.h"

static bool is_hosted(const cafe_node *node, const char *service) {
  for (uint32_t i = 0; i < node->registry.service_count; i++)
    if (strcmp(node->registry.services[i]->name, service) == 0)
      return true;
  return false;
}

/* A node's services come and go, its log stays: a place in it must be found again whoever is hosted beside whom. No
 * service has that name. */
static const char local_log[] = ".";

static int add_consumer(cafe_node *node, consumer_kind kind, uint32_t index, const char *name, const char *source,
                        uint32_t shard, const char **types, cafe_err *err) {
  struct consumer *made = node_alloc(node, sizeof *made), *other;
  if (!made)
    goto no_memory;
  LL_APPEND(node->consumers, made);
  made->node = node;
  made->kind = kind;
  made->index = index;
  made->is_in_order = kind != CONSUME_VIEW;
  made->source = source;
  made->is_local = is_hosted(node, source);
  made->shard = shard;
  made->types = types;
  made->arena = cafe_arena_create(&node->allocator);
  made->name = arena_printf(node->registry_arena, "%s<%s", name, made->is_local ? local_log : source);
  if (!made->arena || !made->name)
    goto no_memory;
  LL_FOREACH(node->consumers, other) {
    if (other != made && other->shard == shard && strcmp(other->name, made->name) == 0)
      return cafe_fail(err, CAFE_INVALID,
                       "two of the policies, sagas and views are named %s and read %s: each would skip what the other "
                       "has read",
                       name, source);
  }
  return CAFE_OK;

no_memory:
  return cafe_fail(err, CAFE_NOMEM, "no memory for the subscription %s", name);
}

static int add_consumers(cafe_node *node, consumer_kind kind, uint32_t index, const char *name, const char *source,
                         const char **types, cafe_err *err) {
  uint32_t shards = is_hosted(node, source) ? node->shards : 1;
  for (uint32_t shard = 0; shard < shards; shard++) {
    int code = add_consumer(node, kind, index, name, source, shard, types, err);
    if (code)
      return code;
  }
  return CAFE_OK;
}

/* The names of the types, of one source where it is known whose they are. In the registry's arena. */
static const char **type_names(cafe_node *node, const cafe_schema *const *types, const char *source) {
  size_t count = 0;
  while (types[count])
    count++;
  const char **names = cafe_arena_alloc(node->registry_arena, (count + 1) * sizeof *names);
  if (!names)
    return NULL;
  size_t used = 0;
  for (size_t i = 0; i < count; i++) {
    const event_type *known = registry_event_of(node, types[i]);
    if (known && strcmp(node->registry.aggregates[known->aggregate].service, source) == 0)
      names[used++] = types[i]->name;
  }
  return names;
}

static int start_policies(cafe_node *node, cafe_err *err) {
  registry *known = &node->registry;
  for (uint32_t i = 0; i < known->policy_count; i++) {
    const cafe_policy *policy = known->policies[i];
    if (is_hosted(node, policy->source) && !policy->other_key)
      continue; /* inline */
    const char **names = type_names(node, policy->events, policy->source);
    if (!names)
      return cafe_fail(err, CAFE_NOMEM, "no memory to start");
    int code = add_consumers(node, CONSUME_POLICY, i, policy->name, policy->source, names, err);
    if (code)
      return code;
  }
  return CAFE_OK;
}

static bool is_first_version(const registry *known, uint32_t saga) {
  for (uint32_t i = 0; i < saga; i++)
    if (known->sagas[i].number == known->sagas[saga].number)
      return false;
  return true;
}

/* All that any version of the saga wants to hear, ended by NULL. */
static const cafe_schema *const *signals_of_versions(cafe_node *node, uint32_t saga) {
  const registry *known = &node->registry;
  size_t count = 0;
  for (uint32_t i = 0; i < known->saga_count; i++)
    for (const cafe_schema *const *at = saga_plan_signals(known->sagas[i].plan); *at; at++)
      count++;
  const cafe_schema **signals = cafe_arena_alloc(node->registry_arena, (count + 1) * sizeof *signals);
  size_t used = 0;
  for (uint32_t i = 0; signals && i < known->saga_count; i++) {
    if (known->sagas[i].number != known->sagas[saga].number)
      continue;
    for (const cafe_schema *const *at = saga_plan_signals(known->sagas[i].plan); *at; at++)
      signals[used++] = *at;
  }
  return signals;
}

static int start_sagas(cafe_node *node, cafe_err *err) {
  registry *known = &node->registry;
  for (uint32_t i = 0; i < known->saga_count; i++) {
    if (!is_first_version(known, i))
      continue;
    const cafe_schema *const *signals = signals_of_versions(node, i);
    if (!signals)
      return cafe_fail(err, CAFE_NOMEM, "no memory to start");
    for (uint32_t a = 0; a < known->aggregate_count; a++) {
      const char *source = known->aggregates[a].service;
      bool is_seen = is_hosted(node, source);
      for (uint32_t b = 0; b < a && !is_seen; b++)
        is_seen = strcmp(known->aggregates[b].service, source) == 0;
      if (is_seen)
        continue;
      const char **names = type_names(node, signals, source);
      if (!names)
        return cafe_fail(err, CAFE_NOMEM, "no memory to start");
      if (!names[0])
        continue;
      int code = add_consumers(node, CONSUME_SAGA, i, known->sagas[i].type->name, source, names, err);
      if (code)
        return code;
    }
  }
  return CAFE_OK;
}

static int start_views(cafe_node *node, cafe_err *err) {
  registry *known = &node->registry;
  for (uint32_t i = 0; i < known->view_count; i++) {
    const cafe_view *view = known->views[i].type;
    if (view->is_inline)
      continue;
    for (const char *const *source = view->sources; *source; source++) {
      bool is_seen = false; /* hosted services share one log: one subscription for all of them */
      for (const char *const *before = view->sources; before < source; before++)
        is_seen = is_seen || (is_hosted(node, *source) && is_hosted(node, *before));
      if (is_seen)
        continue;
      const char **names =
          is_hosted(node, *source) ? registry_local_types(node, view->events) : type_names(node, view->events, *source);
      if (!names)
        return cafe_fail(err, CAFE_NOMEM, "no memory to start");
      int code = add_consumers(node, CONSUME_VIEW, i, view->name, *source, names, err);
      if (code)
        return code;
    }
  }
  return CAFE_OK;
}

int consume_start(cafe_node *node, cafe_err *err) {
  int code = letter_start(node, err);
  if (!code)
    code = start_policies(node, err);
  if (!code)
    code = start_sagas(node, err);
  if (!code)
    code = start_views(node, err);
  return code;
}
