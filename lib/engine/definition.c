/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is wrong with definitions, said by name before the first command, so that nobody learns it from an order. By
 * themselves, when they are hosted: a pointer that was forgotten, a list that names something twice (an event would
 * have its effect twice), a name that no table can have. Together, at the start: an event that nobody emits, a task
 * that nobody does, a command that nobody takes. A saga's own rules are saga/check.c's.
 */
#include "engine/definition.h"

#include <assert.h>

#include "base/sized.h"
#include "engine/node.h"
#include "schema/field.h"

/* ---- what several have ---- */

/* The library's tables are its own, those that every store has (sys/store.h) too, and so are all names that begin as
 * the ones to come will: a later version mustn't find a user's table in its place. */
static int check_free(const char *name, const char *what, cafe_err *err) {
  static const char *const stored[] = {"meta", "events", "client_keys", "checkpoints"};
  bool is_taken = strncmp(name, "cafe_", 5) == 0;
  for (int i = 0; i < OWN_TABLES; i++)
    is_taken = is_taken || strcmp(engine_tables[i].name, name) == 0;
  for (size_t i = 0; i < sizeof stored / sizeof stored[0]; i++)
    is_taken = is_taken || strcmp(stored[i], name) == 0;
  if (!is_taken)
    return CAFE_OK;
  return cafe_fail(
      err, CAFE_INVALID,
      "%s can't be named %s: the names of the library's tables, and all that begin with cafe_, are its own", what,
      name);
}

static int check_name(const char *name, const char *what, cafe_err *err) {
  if (name && field_is_word(name))
    return check_free(name, what, err);
  return cafe_fail(err, CAFE_INVALID, "%s needs a name of letters, digits, '_', '-' and '.', not \"%s\"", what,
                   name ? name : "");
}

static int check_reserved(const void *reserved, size_t size, const char *what, const char *name, cafe_err *err) {
  if (is_zero(reserved, size))
    return CAFE_OK;
  return cafe_fail(err, CAFE_UNSUPPORTED,
                   "%s %s has reserved words that this library doesn't know: zero them, or use a library as new as the "
                   "program",
                   what, name);
}

static int check_no_secret(const cafe_schema *schema, const char *what, cafe_err *err) {
  int code = cafe_schema_check(schema, err);
  for (uint32_t i = 0; !code && i < schema->field_count; i++)
    if (schema->fields[i].flags & CAFE_FIELD_SECRET)
      code = cafe_fail(err, CAFE_INVALID,
                       "%s %s has the secret field %s: a secret lives in commands and in a saga's data only", what,
                       schema->name, schema->fields[i].name);
  return code;
}

static int check_once(const cafe_schema *const *list, const char *what, const char *name, cafe_err *err) {
  for (const cafe_schema *const *at = list; *at; at++)
    for (const cafe_schema *const *before = list; before < at; before++)
      if (*before == *at)
        return cafe_fail(err, CAFE_INVALID, "%s %s lists %s twice: once is enough", what, name, (*at)->name);
  return CAFE_OK;
}

/* The events that a policy or a view reads. */
static int check_reads(const cafe_schema *const *events, const char *what, const char *name, cafe_err *err) {
  if (!events || !events[0])
    return cafe_fail(err, CAFE_INVALID, "%s %s reads no events: list them, with NULL at the end", what, name);
  return check_once(events, what, name, err);
}

/* What a definition can't do without, or must have together. */
typedef struct needed {
  const char *name; /* NULL ends a list */
  bool is_there;
} needed;

/* The first part that isn't there; NULL: none. */
static const char *missing(const needed *part) {
  while (part->name && part->is_there)
    part++;
  return part->name;
}

/* ---- services ---- */

int definition_check_service(const cafe_service *service, cafe_err *err) {
  int code = check_name(service->name, "a service", err);
  for (uint32_t i = 0; !code && service->remotes && service->remotes[i]; i++)
    if (!service->remote_services || !service->remote_services[i])
      code = cafe_fail(err, CAFE_INVALID,
                       "the service %s doesn't say where its remote %u lives: remote_services names a service for each",
                       service->name, i + 1);
  return code;
}

/* ---- aggregates ---- */

static int check_outcomes(const cafe_aggregate *aggregate, const cafe_command_type *command, cafe_err *err) {
  const cafe_command_outcome *outcome = command->outcomes;
  if (outcome && !outcome->event)
    return cafe_fail(err, CAFE_INVALID, "%s, which %s takes, has outcomes, but none is listed: then they are NULL",
                     command->command->name, aggregate->name);
  int code = CAFE_OK;
  for (; !code && outcome && outcome->event; outcome++) {
    if (outcome->verdict != CAFE_ACCEPTED && outcome->verdict != CAFE_REFUSED)
      return cafe_fail(err, CAFE_INVALID, "%s: its outcome %s must say CAFE_ACCEPTED or CAFE_REFUSED",
                       command->command->name, outcome->event->name);
    code = check_reserved(&outcome->flags, sizeof outcome->flags, "an outcome of", command->command->name, err);
    if (!code)
      code = check_reserved(outcome->reserved, sizeof outcome->reserved, "an outcome of", command->command->name, err);
  }
  return code;
}

static int check_command(const cafe_aggregate *aggregate, const cafe_command_type *type, cafe_err *err) {
  int code = cafe_schema_check(type->command, err);
  if (!code)
    code = check_reserved(&type->flags, sizeof type->flags, "the command", type->command->name, err);
  if (!code)
    code = check_reserved(type->reserved, sizeof type->reserved, "the command", type->command->name, err);
  return code ? code : check_outcomes(aggregate, type, err);
}

static int check_tasks(const cafe_aggregate *aggregate, cafe_err *err) {
  bool has_types = aggregate->task_types && aggregate->task_types[0];
  if (aggregate->tasks && !has_types)
    return cafe_fail(err, CAFE_INVALID,
                     "the aggregate %s has tasks, but no task_types: list the types that it may want", aggregate->name);
  if (!aggregate->tasks && has_types)
    return cafe_fail(err, CAFE_INVALID, "the aggregate %s lists task_types, but has no tasks that names them",
                     aggregate->name);
  int code = CAFE_OK;
  for (uint32_t i = 0; !code && has_types && aggregate->task_types[i]; i++)
    code = check_no_secret(aggregate->task_types[i], "the task", err);
  return code;
}

int definition_check_aggregate(const cafe_aggregate *aggregate, cafe_err *err) {
  int code = sized_check(aggregate, sizeof *aggregate, "cafe_aggregate", "CAFE_AGGREGATE", err);
  if (!code)
    code = check_name(aggregate->name, "an aggregate", err);
  if (code)
    return code;
  const needed parts[] = {{"decide", aggregate->decide != NULL},         {"evolve", aggregate->evolve != NULL},
                          {"its state", aggregate->state != NULL},       {"its events", aggregate->events != NULL},
                          {"its commands", aggregate->commands != NULL}, {NULL, false}};
  const char *lacks = missing(parts);
  if (lacks)
    return cafe_fail(err, CAFE_INVALID, "the aggregate %s lacks %s", aggregate->name, lacks);
  assert(aggregate->events && aggregate->commands);
  code = check_reserved(aggregate->reserved, sizeof aggregate->reserved, "the aggregate", aggregate->name, err);
  if (!code)
    code = cafe_schema_check(aggregate->state, err);
  if (!code)
    code = check_once(aggregate->events, "the aggregate", aggregate->name, err);
  for (uint32_t i = 0; !code && aggregate->events[i]; i++)
    code = check_no_secret(aggregate->events[i], "the event", err);
  for (uint32_t i = 0; !code && aggregate->commands[i].command; i++)
    code = check_command(aggregate, &aggregate->commands[i], err);
  return code ? code : check_tasks(aggregate, err);
}

/* ---- sagas ---- */

int definition_check_saga(const cafe_saga *saga, cafe_err *err) {
  return saga->name ? check_free(saga->name, "a saga", err) : CAFE_OK; /* the rest is saga/check.c's */
}

/* ---- policies ---- */

int definition_check_policy(const cafe_policy *policy, cafe_err *err) {
  int code = check_name(policy->name, "a policy", err);
  if (code)
    return code;
  const needed parts[] = {{"its source", policy->source != NULL},
                          {"react", policy->react != NULL},
                          {"the commands that it asks for", policy->commands != NULL},
                          {NULL, false}};
  const char *lacks = missing(parts);
  if (lacks)
    return cafe_fail(err, CAFE_INVALID, "the policy %s lacks %s", policy->name, lacks);
  if (policy->flags & ~(uint64_t)CAFE_POLICY_SKIPS)
    return cafe_fail(err, CAFE_UNSUPPORTED, "the policy %s has flags that this library doesn't know: use a newer one",
                     policy->name);
  return check_reads(policy->events, "the policy", policy->name, err);
}

/* ---- views ---- */

static int check_column(const cafe_view *view, const char *name, const char *what, cafe_err *err) {
  if (!field_is_snake(name))
    return cafe_fail(err, CAFE_INVALID, "the view %s needs a %s in snake_case, not \"%s\"", view->name, what,
                     name ? name : "");
  if (cafe_schema_find(view->row, cafe_text(name)) >= 0)
    return cafe_fail(err, CAFE_INVALID, "the view %s has two columns %s: its %s stands beside the row's own",
                     view->name, name, what);
  return CAFE_OK;
}

static int check_columns(const cafe_view *view, cafe_err *err) {
  int code = check_column(view, view->key_name, "key_name", err);
  if (!code && view->sub_name)
    code = check_column(view, view->sub_name, "sub_name", err);
  if (!code && view->sub_name && strcmp(view->sub_name, view->key_name) == 0)
    code = cafe_fail(err, CAFE_INVALID, "the view %s has two columns %s", view->name, view->key_name);
  for (const char *const *index = view->indexes; !code && index && *index; index++)
    if (cafe_schema_find(view->row, cafe_text(*index)) < 0)
      code = cafe_fail(err, CAFE_INVALID, "the view %s has an index on %s, which is no column of its row", view->name,
                       *index);
  return code;
}

static int check_shown(const cafe_view *view, cafe_err *err) {
  if (!view->shown_by)
    return CAFE_OK;
  int shown = cafe_schema_find(view->row, cafe_text(view->shown_by));
  if (shown < 0 || view->row->fields[shown].type != CAFE_FIELD_BOOL)
    return cafe_fail(err, CAFE_INVALID, "the view %s is shown by %s, which is no BOOL column of it", view->name,
                     view->shown_by);
  if (view->is_inline)
    return cafe_fail(err, CAFE_INVALID, "the view %s is inline: its fold hides a row by CAFE_FOLD_HIDE, not shown_by",
                     view->name);
  return CAFE_OK;
}

int definition_check_view(const cafe_view *view, cafe_err *err) {
  int code = sized_check(view, sizeof *view, "cafe_view", "CAFE_VIEW", err);
  if (code)
    return code;
  if (!view->name || !field_is_snake(view->name))
    return cafe_fail(err, CAFE_INVALID, "a view is a table: it needs a name in snake_case, not \"%s\"",
                     view->name ? view->name : "");
  code = check_free(view->name, "a view", err);
  if (!code)
    code = check_no_secret(view->row, "the view", err);
  if (!code)
    code = check_reserved(view->reserved, sizeof view->reserved, "the view", view->name, err);
  if (!code && view->is_past && !view->is_inline)
    code =
        cafe_fail(err, CAFE_INVALID,
                  "the view %s isn't inline: only rows that are written with their events have an is_past", view->name);
  if (code)
    return code;
  const needed parts[] = {{"fold", view->fold != NULL},
                          {"its sources", view->sources && view->sources[0]},
                          {"its key_name", view->key_name != NULL},
                          {"a version: the first is 1", view->version >= 1},
                          {"sub, which its sub_name names", view->sub || !view->sub_name},
                          {"a sub_name for its sub", view->sub_name || !view->sub},
                          {NULL, false}};
  const char *lacks = missing(parts);
  if (lacks)
    return cafe_fail(err, CAFE_INVALID, "the view %s lacks %s", view->name, lacks);
  code = check_reads(view->events, "the view", view->name, err);
  if (!code)
    code = check_columns(view, err);
  return code ? code : check_shown(view, err);
}

/* ---- workers ---- */

int definition_check_worker(const cafe_worker *worker, cafe_err *err) {
  int code = cafe_schema_check(worker->task, err);
  const cafe_retry *retry = &worker->retry;
  if (!code)
    code = check_reserved(retry->reserved, sizeof retry->reserved, "the worker of", worker->task->name, err);
  if (code)
    return code;
  const needed parts[] = {{"start", worker->start != NULL},
                          {"give_up, for its last attempt", !retry->max_attempts || worker->give_up},
                          {"stop, to end an attempt with that timed out", retry->timeout_ms <= 0 || worker->stop},
                          {NULL, false}};
  const char *lacks = missing(parts);
  if (lacks)
    return cafe_fail(err, CAFE_INVALID, "the worker of %s lacks %s", worker->task->name, lacks);
  if (retry->initial_ms < 0 || retry->timeout_ms < 0 || retry->initial_ms > retry->max_ms)
    return cafe_fail(err, CAFE_INVALID, "the worker of %s: its retry has a negative time, or initial_ms above max_ms",
                     worker->task->name);
  return CAFE_OK;
}

/* ---- together: what each of them needs of the others ---- */

/* Types are told apart by their address. */
static const char same_object[] = "both must use one cafe_schema, defined once and declared extern elsewhere";

static const event_type *event_for(const cafe_node *node, const cafe_schema *schema, const char *who, cafe_err *err) {
  const event_type *type = registry_event_of(node, schema);
  if (!type && registry_event(node, schema->name))
    cafe_fail(err, CAFE_INVALID, "%s reads another %s than the one that is emitted: %s", who, schema->name,
              same_object);
  else if (!type)
    cafe_fail(err, CAFE_INVALID, "%s reads %s, which no aggregate known here emits: list its aggregate as a remote",
              who, schema->name);
  return type;
}

static const char *service_of(const cafe_node *node, const event_type *type) {
  return node->registry.aggregates[type->aggregate].service;
}

/* Its events would be heard neither within this node nor from another one. */
static int check_remote(const cafe_node *node, const hosted_aggregate *remote, cafe_err *err) {
  for (uint32_t i = 0; i < node->registry.service_count; i++)
    if (strcmp(node->registry.services[i]->name, remote->service) == 0)
      return cafe_fail(err, CAFE_INVALID, "the aggregate %s is said to live at %s, which is hosted here without it",
                       remote->type->name, remote->service);
  return CAFE_OK;
}

/* A command that waits for what never comes would never be answered. */
static int check_awaited(const cafe_node *node, const cafe_command_type *command, cafe_err *err) {
  for (const cafe_command_outcome *outcome = command->outcomes; outcome && outcome->event; outcome++) {
    const event_type *type = registry_event_of(node, outcome->event);
    if (!type || !registry_is_local(node, type))
      return cafe_fail(err, CAFE_INVALID, "%s waits for %s, which no aggregate of this node emits",
                       command->command->name, outcome->event->name);
  }
  return CAFE_OK;
}

static int check_done(const cafe_node *node, const cafe_aggregate *owner, const cafe_schema *task, cafe_err *err) {
  if (registry_worker(node, task))
    return CAFE_OK;
  for (uint32_t i = 0; i < node->registry.worker_count; i++)
    if (strcmp(node->registry.workers[i].task->name, task->name) == 0)
      return cafe_fail(err, CAFE_INVALID, "the aggregate %s wants another %s than the one that has a worker: %s",
                       owner->name, task->name, same_object);
  return cafe_fail(err, CAFE_INVALID,
                   "the task %s, which the aggregate %s wants, has no worker: give it one by cafe_node_employ",
                   task->name, owner->name);
}

static int check_hosted_aggregate(const cafe_node *node, const hosted_aggregate *hosted, cafe_err *err) {
  const cafe_aggregate *owner = hosted->type;
  if (!hosted->is_local)
    return check_remote(node, hosted, err);
  int code = CAFE_OK;
  for (const cafe_command_type *command = owner->commands; !code && command->command; command++)
    code = check_awaited(node, command, err);
  for (uint32_t i = 0; !code && owner->task_types && owner->task_types[i]; i++)
    code = check_done(node, owner, owner->task_types[i], err);
  return code;
}

/* Who takes what a policy or a saga asks for; NULL: nobody known here. */
static const command_type *taker_of(const cafe_node *node, const char *what, const char *name,
                                    const cafe_schema *command, cafe_err *err) {
  const command_type *type = registry_command(node, command);
  if (!type && registry_command_named(node, cafe_text(command->name)))
    cafe_fail(err, CAFE_INVALID, "the %s %s asks for another %s than the one that is taken: %s", what, name,
              command->name, same_object);
  else if (!type)
    cafe_fail(err, CAFE_INVALID,
              "the %s %s asks for %s, which no aggregate of this node takes, nor one of its remotes: host that too",
              what, name, command->name);
  return type;
}

/* What a policy asks for is decided here, in a unit that also holds its event or its checkpoint. */
static int check_asked(const cafe_node *node, const cafe_policy *policy, const cafe_schema *command, cafe_err *err) {
  const command_type *type = taker_of(node, "policy", policy->name, command, err);
  if (!type)
    return CAFE_INVALID;
  const hosted_aggregate *taker = &node->registry.aggregates[type->aggregate];
  if (taker->is_local)
    return CAFE_OK;
  return cafe_fail(err, CAFE_INVALID, "the policy %s asks for %s, whose aggregate lives at %s: host the policy there",
                   policy->name, command->name, taker->service);
}

typedef struct peer_search {
  const char *service;
  bool is_found;
} peer_search;

static void see_peer(const char *service, bool is_up, void *user) {
  peer_search *self = user;
  (void)is_up;
  self->is_found = self->is_found || strcmp(service, self->service) == 0;
}

/* True also where the transport can't tell. */
static bool knows_peer(const cafe_transport *transport, const char *service) {
  peer_search search = {service, false};
  if (!SIZED_HAS(transport->ops, peers))
    return true;
  transport->ops->peers(transport, see_peer, &search);
  return search.is_found;
}

/* Without a transport nothing is heard from elsewhere, nor from where it doesn't know: what is caused by it would never
 * be done, and nobody would say so. */
static int check_heard(const cafe_node *node, const char *what, const char *name, const char *service, cafe_err *err) {
  for (uint32_t i = 0; i < node->registry.service_count; i++)
    if (strcmp(node->registry.services[i]->name, service) == 0)
      return CAFE_OK;
  if (node->transport && knows_peer(node->transport, service))
    return CAFE_OK;
  if (node->transport)
    return cafe_fail(
        err, CAFE_INVALID,
        "the %s %s hears the service %s, which isn't hosted here, nor among the peers of the transport %s: "
        "host the service too, or tell the transport where it is",
        what, name, service, node->transport->ops->name);
  return cafe_fail(err, CAFE_INVALID,
                   "the %s %s hears the service %s, which isn't hosted here, and the node has no transport: host the "
                   "service too, or give the node a transport",
                   what, name, service);
}

static int check_hosted_policy(const cafe_node *node, const cafe_policy *policy, cafe_err *err) {
  int code = CAFE_OK;
  for (const cafe_schema *const *command = policy->commands; !code && *command; command++)
    code = check_asked(node, policy, *command, err);
  for (const cafe_schema *const *event = policy->events; !code && *event; event++) {
    const event_type *type = event_for(node, *event, policy->name, err);
    if (!type)
      return CAFE_INVALID;
    if (strcmp(service_of(node, type), policy->source) != 0)
      code = cafe_fail(err, CAFE_INVALID, "the policy %s reads %s from %s, but it is %s's", policy->name,
                       (*event)->name, policy->source, service_of(node, type));
  }
  return code ? code : check_heard(node, "policy", policy->name, policy->source, err);
}

static int check_hosted_saga(const cafe_node *node, const hosted_saga *saga, cafe_err *err) {
  int code = CAFE_OK;
  for (const cafe_schema *const *signal = saga_plan_signals(saga->plan); !code && *signal; signal++) {
    const event_type *type = event_for(node, *signal, saga->type->name, err);
    if (!type)
      return CAFE_INVALID;
    code = check_heard(node, "saga", saga->type->name, service_of(node, type), err);
  }
  for (const cafe_schema *const *asked = saga->type->commands; !code && asked && *asked; asked++)
    if (!taker_of(node, "saga", saga->type->name, *asked, err))
      return CAFE_INVALID;
  return code;
}

static bool is_source(const cafe_view *view, const char *service) {
  for (const char *const *source = view->sources; *source; source++)
    if (strcmp(*source, service) == 0)
      return true;
  return false;
}

static int check_source(const cafe_node *node, const cafe_view *view, const char *source, cafe_err *err) {
  for (const cafe_schema *const *event = view->events; *event; event++)
    if (strcmp(service_of(node, registry_event_of(node, *event)), source) == 0)
      return CAFE_OK;
  return cafe_fail(err, CAFE_INVALID, "the view %s has the source %s, which emits none of its events", view->name,
                   source);
}

/* An event of a service that isn't read would never come. */
static int check_hosted_view(const cafe_node *node, const cafe_view *view, cafe_err *err) {
  int code = CAFE_OK;
  for (const cafe_schema *const *event = view->events; !code && *event; event++) {
    const event_type *type = event_for(node, *event, view->name, err);
    if (!type)
      return CAFE_INVALID;
    if (view->is_inline && !registry_is_local(node, type))
      code = cafe_fail(err, CAFE_INVALID, "the view %s is inline, but %s isn't an event of this node", view->name,
                       (*event)->name);
    else if (!is_source(view, service_of(node, type)))
      code = cafe_fail(err, CAFE_INVALID, "the view %s reads %s, but its sources lack the service of that, %s",
                       view->name, (*event)->name, service_of(node, type));
  }
  for (const char *const *source = view->sources; !code && *source; source++) {
    code = check_source(node, view, *source, err);
    if (!code)
      code = check_heard(node, "view", view->name, *source, err);
  }
  return code;
}

int definition_check_all(const cafe_node *node, cafe_err *err) {
  const registry *known = &node->registry;
  int code = CAFE_OK;
  if (known->half_hosted)
    return cafe_fail(err, CAFE_INVALID, "the service %s couldn't be hosted: make another node, without the mistake",
                     known->half_hosted);
  for (uint32_t i = 0; !code && i < known->aggregate_count; i++)
    code = check_hosted_aggregate(node, &known->aggregates[i], err);
  for (uint32_t i = 0; !code && i < known->policy_count; i++)
    code = check_hosted_policy(node, known->policies[i], err);
  for (uint32_t i = 0; !code && i < known->saga_count; i++)
    code = check_hosted_saga(node, &known->sagas[i], err);
  for (uint32_t i = 0; !code && i < known->view_count; i++)
    code = check_hosted_view(node, known->views[i].type, err);
  return code;
}
