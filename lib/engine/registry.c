/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a node hosts, by number: aggregates, sagas, policies, views, workers; and for each event type what happens here
 * when such an event does. Filled before start, fixed afterwards. What is kept here: everything that can be found wrong
 * with a definition is found before the first command.
 */
#include "base/sized.h"
#include "base/str.h"
#include "engine/definition.h"
#include "engine/guard.h"
#include "engine/node.h"

enum { LOCAL_MAX = 64 }; /* aggregates and sagas of one node: their sets are bits of one number */

static const cafe_field id_fields[] = {CAFE_FIELD_OF(1, I64, id_row, next)};
static const cafe_field wake_fields[] = {CAFE_FIELD_OF(1, TIME, wake_row, due_ms)};
static const cafe_field attempt_fields[] = {
    CAFE_FIELD_OF(1, TEXT, attempt_row, aggregate),
    CAFE_FIELD_OF(2, I64, attempt_row, task),
    CAFE_FIELD_OF(3, I64, attempt_row, attempt),
    CAFE_FIELD_OF(4, TIME, attempt_row, due_ms),
};
static const cafe_field view_fields[] = {CAFE_FIELD_OF(1, TEXT, view_version_row, name),
                                         CAFE_FIELD_OF(2, I64, view_version_row, version)};
static const cafe_schema view_type = CAFE_SCHEMA_OF("view", view_version_row, view_fields);
static const cafe_schema id_type = CAFE_SCHEMA_OF("id", id_row, id_fields);
static const cafe_schema wake_type = CAFE_SCHEMA_OF("wake", wake_row, wake_fields);
static const cafe_schema attempt_type = CAFE_SCHEMA_OF("attempt", attempt_row, attempt_fields);
static const char *const wake_indexes[] = {"due_ms", NULL};

const cafe_table engine_tables[OWN_TABLES] = {
    [TABLE_IDS] = {"ids", "id", NULL, &id_type, NULL, false, 0},
    [TABLE_SAGAS] = {"sagas", "saga_key", "saga", &saga_row_type, NULL, true, 0},
    [TABLE_WAKES] = {"wakes", "wake_key", NULL, &wake_type, wake_indexes, true, 0},
    [TABLE_LETTERS] = {LETTER_TABLE, "record_key", "letter", &cafe_dead_letter_type, NULL, false, CAFE_TABLE_ANYWHERE},
    [TABLE_ATTEMPTS] = {"attempts", "attempt_key", "task_number", &attempt_type, NULL, true, 0},
    [TABLE_VIEWS] = {"cafe_views", "view_key", NULL, &view_type, NULL, false, 0},
};

static int no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "no memory to host a service"); }

/* One more place in an array. */
static int grow(cafe_node *node, void *array, uint32_t count, size_t width) {
  void **at = array;
  void *grown = node->allocator.resize(*at, (count + 1) * width, node->allocator.user);
  if (!grown)
    return CAFE_NOMEM;
  *at = grown;
  memset((char *)grown + count * width, 0, width);
  return CAFE_OK;
}

int registry_check_open(const cafe_node *node, cafe_err *err) {
  if (node->state != NODE_CREATED)
    return cafe_fail(err, CAFE_INVALID, "the node is started: host and employ before cafe_node_start");
  if (node->is_store_open)
    return cafe_fail(err, CAFE_INVALID,
                     "the store is open, with the tables of what was hosted then: start, or make another node");
  return CAFE_OK;
}

/* ---- aggregates ---- */

static event_type *make_event_type(cafe_node *node, const cafe_schema *schema, uint32_t aggregate, cafe_err *err) {
  registry *known = &node->registry;
  cafe_slice name = cafe_text(schema->name);
  event_type *made = cafe_arena_alloc(node->registry_arena, sizeof *made);
  if (!made) {
    no_memory(err);
    return NULL;
  }
  made->schema = schema;
  made->aggregate = aggregate;
  made->index = known->event_count;
  if (map_get_bytes(known->events_by_name, name)) {
    cafe_fail(err, CAFE_INVALID, "two aggregates emit %s: an event's name is unique", schema->name);
    return NULL;
  }
  if (map_put_bytes(known->events_by_name, name, made) ||
      map_put(known->events_by_schema, (uint64_t)(uintptr_t)schema, made)) {
    no_memory(err);
    return NULL;
  }
  known->event_count++;
  return made;
}

static int add_events(cafe_node *node, const cafe_aggregate *type, uint32_t index, cafe_err *err) {
  for (const cafe_schema *const *event = type->events; *event; event++) {
    if (!make_event_type(node, *event, index, err))
      return err ? err->code : CAFE_INVALID;
  }
  return CAFE_OK;
}

static int add_commands(cafe_node *node, const cafe_aggregate *type, uint32_t index, cafe_err *err) {
  registry *known = &node->registry;
  for (const cafe_command_type *command = type->commands; command->command; command++) {
    const command_type *same = map_get_bytes(known->commands_by_name, cafe_text(command->command->name));
    if (same && same->aggregate == index)
      return cafe_fail(err, CAFE_INVALID, "%s takes %s twice: a command's name is unique", type->name,
                       command->command->name);
    if (same)
      return cafe_fail(err, CAFE_INVALID, "two aggregates take %s: a command's name is unique", command->command->name);
    command_type *made = cafe_arena_alloc(node->registry_arena, sizeof *made);
    if (!made)
      return no_memory(err);
    made->type = command;
    made->aggregate = index;
    made->decided = cafe_arena_alloc(node->registry_arena, (CAFE_REFUSED + 1) * sizeof *made->decided);
    if (!made->decided)
      return no_memory(err);
    if (map_put_bytes(known->commands_by_name, cafe_text(command->command->name), made) ||
        map_put(known->commands_by_schema, (uint64_t)(uintptr_t)command->command, made))
      return no_memory(err);
  }
  return CAFE_OK;
}

static int find_aggregate(const registry *known, const char *name) {
  for (uint32_t i = 0; i < known->aggregate_count; i++)
    if (strcmp(known->aggregates[i].type->name, name) == 0)
      return (int)i;
  return -1;
}

static int add_aggregate(cafe_node *node, const cafe_aggregate *type, const char *service, bool is_local,
                         cafe_err *err) {
  registry *known = &node->registry;
  int code = definition_check_aggregate(type, err);
  if (code)
    return code;
  int found = find_aggregate(known, type->name);
  if (found >= 0) {
    hosted_aggregate *same = &known->aggregates[found];
    if (same->type != type || (same->is_local && is_local))
      return cafe_fail(err, CAFE_INVALID, "two aggregates are named %s", type->name);
    if (strcmp(same->service, service) != 0)
      return cafe_fail(err, CAFE_INVALID, "%s is said to live at %s and at %s", type->name, same->service, service);
    same->is_local = same->is_local || is_local;
    return CAFE_OK;
  }
  if (known->aggregate_count >= LOCAL_MAX)
    return cafe_fail(err, CAFE_INVALID, "a node knows at most %d aggregates", LOCAL_MAX);
  if (grow(node, &known->aggregates, known->aggregate_count, sizeof *known->aggregates))
    return no_memory(err);
  uint32_t index = known->aggregate_count++;
  hosted_aggregate *made = &known->aggregates[index];
  made->type = type;
  made->service = service;
  made->is_local = is_local;
  /* 20 bits, so that a task's row key (number << 32 | task) stays below 2^53. */
  made->number = saga_number(type->name) & 0xfffff;
  for (uint32_t i = 0; i < index; i++)
    if (known->aggregates[i].number == made->number)
      return cafe_fail(err, CAFE_INVALID, "the names %s and %s can't be told apart: change one",
                       known->aggregates[i].type->name, type->name);
  code = add_events(node, type, index, err);
  return code ? code : add_commands(node, type, index, err);
}

/* ---- sagas, policies, views, workers ---- */

static int add_saga(cafe_node *node, const cafe_saga *type, cafe_err *err) {
  registry *known = &node->registry;
  int code = definition_check_saga(type, err);
  if (code)
    return code;
  if (known->saga_count >= LOCAL_MAX)
    return cafe_fail(err, CAFE_INVALID, "a node hosts at most %d sagas", LOCAL_MAX);
  if (grow(node, &known->sagas, known->saga_count, sizeof *known->sagas))
    return no_memory(err);
  hosted_saga *made = &known->sagas[known->saga_count];
  code = saga_plan_create(&made->plan, type, &node->allocator, err);
  if (code)
    return code;
  known->saga_count++;
  made->type = type;
  made->number = saga_number(type->name);
  for (uint32_t i = 0; i + 1 < known->saga_count; i++)
    if (known->sagas[i].number == made->number &&
        (known->sagas[i].type->version == type->version || strcmp(known->sagas[i].type->name, type->name) != 0))
      return cafe_fail(err, CAFE_INVALID, "two sagas are named %s in version %u, or their names can't be told apart",
                       type->name, type->version);
  return CAFE_OK;
}

static int add_policy(cafe_node *node, const cafe_policy *given, cafe_err *err) {
  registry *known = &node->registry;
  cafe_policy *policy = cafe_arena_alloc(node->registry_arena, sizeof *policy);
  if (!policy)
    return no_memory(err);
  int code = SIZED_READ(policy, given, cafe_policy, user, "CAFE_POLICY", err);
  if (!code)
    code = definition_check_policy(policy, err);
  if (code)
    return code;
  for (uint32_t i = 0; i < known->policy_count; i++)
    if (strcmp(known->policies[i]->name, policy->name) == 0)
      return cafe_fail(err, CAFE_INVALID, "two policies are named %s: the name keeps their places in the log",
                       policy->name);
  if (grow(node, &known->policies, known->policy_count, sizeof *known->policies))
    return no_memory(err);
  known->policies[known->policy_count++] = policy;
  return CAFE_OK;
}

static int add_view(cafe_node *node, const cafe_view *view, cafe_err *err) {
  registry *known = &node->registry;
  int code = definition_check_view(view, err);
  if (code)
    return code;
  for (uint32_t i = 0; i < known->view_count; i++)
    if (strcmp(known->views[i].type->name, view->name) == 0)
      return cafe_fail(err, CAFE_INVALID, "two views are named %s", view->name);
  if (grow(node, &known->views, known->view_count, sizeof *known->views))
    return no_memory(err);
  uint64_t number = saga_number(view->name);
  for (uint32_t i = 0; i < known->view_count; i++)
    if (known->views[i].number == number)
      return cafe_fail(err, CAFE_INVALID, "the names of the views %s and %s can't be told apart: change one",
                       known->views[i].type->name, view->name);
  hosted_view *made = &known->views[known->view_count++];
  made->type = view;
  made->number = number;
  made->table.name = view->name;
  made->table.key_name = view->key_name;
  made->table.sub_name = view->sub_name;
  made->table.row = view->row;
  made->table.indexes = view->indexes;
  made->table.is_loaded = view->is_inline;
  return CAFE_OK;
}

static int add_parts(cafe_node *node, const cafe_service *service, cafe_err *err) {
  int code = CAFE_OK;
  for (uint32_t i = 0; service->aggregates && service->aggregates[i] && !code; i++)
    code = add_aggregate(node, service->aggregates[i], service->name, true, err);
  for (uint32_t i = 0; service->remotes && service->remotes[i] && !code; i++)
    code = add_aggregate(node, service->remotes[i], service->remote_services[i], false, err);
  for (uint32_t i = 0; service->sagas && service->sagas[i] && !code; i++)
    code = add_saga(node, service->sagas[i], err);
  for (uint32_t i = 0; service->policies && service->policies[i] && !code; i++)
    code = add_policy(node, service->policies[i], err);
  for (uint32_t i = 0; service->views && service->views[i] && !code; i++)
    code = add_view(node, service->views[i], err);
  return code;
}

static int add_service(cafe_node *node, const cafe_service *service, cafe_err *err) {
  registry *known = &node->registry;
  int code = definition_check_service(service, err);
  if (code)
    return code;
  for (uint32_t i = 0; i < known->service_count; i++)
    if (strcmp(known->services[i]->name, service->name) == 0)
      return cafe_fail(err, CAFE_INVALID, "the service %s is hosted already", service->name);
  if (grow(node, &known->services, known->service_count, sizeof *known->services))
    return no_memory(err);
  known->services[known->service_count++] = service;
  return add_parts(node, service, err);
}

/* What of a service with a mistake is in stays in; and without the service the node isn't what was meant. */
int registry_add_service(cafe_node *node, const cafe_service *given, cafe_err *err) {
  int code = registry_check_open(node, err);
  if (code)
    return code;
  cafe_service *service = cafe_arena_alloc(node->registry_arena, sizeof *service);
  if (!service)
    return no_memory(err);
  code = SIZED_READ(service, given, cafe_service, remote_services, "CAFE_SERVICE", err);
  if (!code)
    code = add_service(node, service, err);
  if (code)
    node->registry.half_hosted = service && service->name ? service->name : "without a name";
  return code;
}

int registry_add_worker(cafe_node *node, const cafe_worker *given, cafe_err *err) {
  registry *known = &node->registry;
  cafe_worker worker;
  int code = registry_check_open(node, err);
  if (!code)
    code = SIZED_READ(&worker, given, cafe_worker, user, "CAFE_WORKER", err);
  if (!code)
    code = definition_check_worker(&worker, err);
  if (code)
    return code;
  if (registry_worker(node, worker.task))
    return cafe_fail(err, CAFE_INVALID, "%s has a worker already", worker.task->name);
  if (grow(node, &known->workers, known->worker_count, sizeof *known->workers))
    return no_memory(err);
  known->workers[known->worker_count++] = worker;
  return CAFE_OK;
}

/* ---- at start: who hears what ---- */

static int add_index(cafe_node *node, index_list *list, uint32_t index) {
  uint32_t *items = cafe_arena_alloc(node->registry_arena, (list->count + 1) * sizeof *items);
  if (!items)
    return CAFE_NOMEM;
  if (list->count)
    memcpy(items, list->items, list->count * sizeof *items);
  items[list->count++] = index;
  list->items = items;
  return CAFE_OK;
}

static event_type *type_of(const cafe_node *node, const cafe_schema *schema) {
  return map_get(node->registry.events_by_schema, (uint64_t)(uintptr_t)schema);
}

static int wire_policies(cafe_node *node) {
  registry *known = &node->registry;
  for (uint32_t i = 0; i < known->policy_count; i++) {
    const cafe_policy *policy = known->policies[i];
    for (const cafe_schema *const *event = policy->events; *event; event++) {
      event_type *type = type_of(node, *event);
      if (!policy->other_key && registry_is_local(node, type) && add_index(node, &type->policies, i))
        return CAFE_NOMEM;
    }
  }
  return CAFE_OK;
}

static int wire_sagas(cafe_node *node) {
  registry *known = &node->registry;
  for (uint32_t i = 0; i < known->saga_count; i++) {
    const cafe_schema *const *signals = saga_plan_signals(known->sagas[i].plan);
    for (; *signals; signals++) {
      event_type *type = type_of(node, *signals);
      if (registry_is_local(node, type) && add_index(node, &type->sagas, i))
        return CAFE_NOMEM;
    }
  }
  return CAFE_OK;
}

static int wire_views(cafe_node *node) {
  registry *known = &node->registry;
  for (uint32_t i = 0; i < known->view_count; i++) {
    const cafe_view *view = known->views[i].type;
    for (const cafe_schema *const *event = view->events; view->is_inline && *event; event++)
      if (add_index(node, &type_of(node, *event)->views, i))
        return CAFE_NOMEM;
  }
  return CAFE_OK;
}

static int list_tables(cafe_node *node) {
  registry *known = &node->registry;
  known->tables = cafe_arena_alloc(node->registry_arena, (OWN_TABLES + known->view_count + 1) * sizeof(cafe_table *));
  known->service_names = cafe_arena_alloc(node->registry_arena, (known->service_count + 1) * sizeof(char *));
  if (!known->tables || !known->service_names)
    return CAFE_NOMEM;
  for (uint32_t i = 0; i < OWN_TABLES; i++)
    known->tables[i] = &engine_tables[i];
  for (uint32_t i = 0; i < known->view_count; i++) {
    hosted_view *view = &known->views[i];
    known->tables[OWN_TABLES + i] = &view->table;
    view->shadow = view->hidden = view->table;
    view->shadow.is_loaded = view->hidden.is_loaded = false;
    view->hidden.indexes = NULL;
    view->shadow.name = arena_printf(node->registry_arena, CAFE_SHADOW_NAME "of_%s", view->type->name);
    view->hidden.name = arena_printf(node->registry_arena, CAFE_SHADOW_NAME "hidden_%s", view->type->name);
    if (!view->shadow.name || !view->hidden.name)
      return CAFE_NOMEM;
  }
  for (uint32_t i = 0; i < known->service_count; i++)
    known->service_names[i] = known->services[i]->name;
  return CAFE_OK;
}

int registry_finish(cafe_node *node, cafe_err *err) {
  int code = definition_check_all(node, err);
  if (code)
    return code;
  for (map_entry *entry = map_first(node->registry.events_by_name); entry; entry = map_next(entry)) {
    event_type *type = map_value(entry); /* an earlier start may have failed half way */
    type->policies.count = type->sagas.count = type->views.count = 0;
  }
  if (wire_policies(node) || wire_sagas(node) || wire_views(node) || list_tables(node))
    return no_memory(err);
  return guard_wire(node, err);
}

int registry_create(cafe_node *node) {
  registry *known = &node->registry;
  node->registry_arena = cafe_arena_create(&node->allocator);
  known->events_by_name = map_create(&node->allocator, MAP_BYTES);
  known->events_by_schema = map_create(&node->allocator, MAP_U64);
  known->commands_by_name = map_create(&node->allocator, MAP_BYTES);
  known->commands_by_schema = map_create(&node->allocator, MAP_U64);
  return node->registry_arena && known->events_by_name && known->events_by_schema && known->commands_by_name &&
                 known->commands_by_schema
             ? CAFE_OK
             : CAFE_NOMEM;
}

void registry_destroy(cafe_node *node) {
  registry *known = &node->registry;
  for (uint32_t i = 0; i < known->saga_count; i++)
    saga_plan_destroy(known->sagas[i].plan);
  node_free(node, known->aggregates);
  node_free(node, known->sagas);
  node_free(node, known->views);
  node_free(node, known->policies);
  node_free(node, known->workers);
  node_free(node, known->services);
  map_destroy(known->events_by_name);
  map_destroy(known->events_by_schema);
  map_destroy(known->commands_by_name);
  map_destroy(known->commands_by_schema);
  cafe_arena_destroy(node->registry_arena);
}

/* ---- looking up ---- */

const event_type *registry_event(const cafe_node *node, const char *name) {
  return map_get_bytes(node->registry.events_by_name, cafe_text(name));
}

const event_type *registry_event_of(const cafe_node *node, const cafe_schema *schema) {
  return map_get(node->registry.events_by_schema, (uint64_t)(uintptr_t)schema);
}

bool registry_is_local(const cafe_node *node, const event_type *type) {
  return node->registry.aggregates[type->aggregate].is_local;
}

const command_type *registry_command(const cafe_node *node, const cafe_schema *schema) {
  return map_get(node->registry.commands_by_schema, (uint64_t)(uintptr_t)schema);
}

const command_type *registry_command_named(const cafe_node *node, cafe_slice name) {
  return map_get_bytes(node->registry.commands_by_name, name);
}

const cafe_worker *registry_worker(const cafe_node *node, const cafe_schema *task) {
  for (uint32_t i = 0; i < node->registry.worker_count; i++)
    if (node->registry.workers[i].task == task)
      return &node->registry.workers[i];
  return NULL;
}

const hosted_view *registry_view(const cafe_node *node, const cafe_view *view) {
  for (uint32_t i = 0; i < node->registry.view_count; i++)
    if (node->registry.views[i].type == view)
      return &node->registry.views[i];
  return NULL;
}

const char **registry_local_types(cafe_node *node, const cafe_schema *const *types) {
  size_t count = 0, used = 0;
  while (types[count])
    count++;
  const char **names = cafe_arena_alloc(node->registry_arena, (count + 1) * sizeof *names);
  if (!names)
    return NULL;
  for (size_t i = 0; i < count; i++) {
    const event_type *known = registry_event_of(node, types[i]);
    if (known && registry_is_local(node, known))
      names[used++] = types[i]->name;
  }
  return names;
}
