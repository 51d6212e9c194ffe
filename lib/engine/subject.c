/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The subject: all that shares one key, in memory. Its aggregates' states, sagas, inline rows, tasks, and whoever waits
 * for it.
 *
 * What is kept here: a subject in memory is the fold of what the store holds under its key, plus its units in flight.
 * So it is never thrown out while a unit, a task, a request or a waiting operation needs it; and after a failed unit it
 * is read anew before anything is decided on it. Beyond that it is a cache: throwing it out loses nothing.
 */
#include "engine/node.h"
#include "engine/timer.h"

typedef struct loaded_event {
  struct loaded_event *next;
  cafe_stored_event event;
} loaded_event;

typedef struct loaded_row {
  struct loaded_row *next;
  const cafe_table *table;
  uint64_t sub;
  uint64_t version;
  const void *data;
} loaded_row;

typedef struct load_job {
  storage_job job;
  uint64_t key;
  cafe_arena *arena;
  loaded_event *events, *last_event;
  loaded_row *rows;
} load_job;

static void execute_queue(struct subject *subject);

struct subject *subject_find(cafe_node *node, uint64_t key) {
  return map_get(node->subjects, key);
}

/* Forgets what was folded; tasks, waiters and what is queued stay. */
static int reset_memory(struct subject *subject) {
  registry *known = &subject->node->registry;
  cafe_arena_reset(subject->arena);
  subject->views = NULL;
  subject->attempts = NULL;
  subject->wake_version = 0;
  subject->wake_written_ms = 0;
  subject->streams = cafe_arena_alloc(subject->arena, (known->aggregate_count + 1) * sizeof *subject->streams);
  subject->sagas = cafe_arena_alloc(subject->arena, (known->saga_count + 1) * sizeof(saga_instance *));
  subject->saga_versions = cafe_arena_alloc(subject->arena, (known->saga_count + 1) * sizeof(uint64_t));
  return subject->streams && subject->sagas && subject->saga_versions ? CAFE_OK : CAFE_NOMEM;
}

static void subject_free(struct subject *subject) {
  cafe_node *node = subject->node;
  heap_remove(node->due, &subject->due);
  node_large_arena_free(node, subject->arena);
  node_free(node, subject);
}

struct subject *subject_get(cafe_node *node, uint64_t key, cafe_err *err) {
  struct subject *found = map_get(node->subjects, key);
  if (found)
    return found;
  struct subject *made = node_alloc(node, sizeof *made);
  if (!made)
    goto no_memory;
  made->key = key;
  made->node = node;
  made->arena = node_large_arena(node);
  if (!made->arena || reset_memory(made))
    goto no_memory;
  if (heap_push(node->due, &made->due, INT64_MAX))
    goto no_memory;
  if (map_put(node->subjects, key, made))
    goto no_memory;
  return made;

no_memory:
  if (made)
    subject_free(made);
  cafe_fail(err, CAFE_NOMEM, "no memory for one more key");
  return NULL;
}

void subject_drop(struct subject *subject) {
  cafe_node *node = subject->node;
  subject_rouse(subject);
  map_remove(node->subjects, subject->key);
  subject_free(subject);
}

void *subject_state_of(struct subject *subject, uint32_t aggregate) {
  struct stream *stream = &subject->streams[aggregate];
  if (!stream->state)
    stream->state = cafe_arena_alloc(subject->arena, subject->node->registry.aggregates[aggregate].type->state->width);
  return stream->state;
}

view_slot *subject_view(struct subject *subject, uint32_t view, uint64_t sub) {
  view_slot *slot;
  LL_FOREACH(subject->views, slot) {
    if (slot->view == view && slot->sub == sub)
      return slot;
  }
  slot = cafe_arena_alloc(subject->arena, sizeof *slot);
  void *row = slot ? cafe_arena_alloc(subject->arena, subject->node->registry.views[view].type->row->width) : NULL;
  if (!row)
    return NULL;
  slot->view = view;
  slot->sub = sub;
  slot->row = row;
  LL_PREPEND(subject->views, slot);
  return slot;
}

attempt_slot *subject_attempt(const struct subject *subject, uint32_t aggregate, uint32_t task) {
  attempt_slot *slot;
  LL_FOREACH(subject->attempts, slot) {
    if (slot->aggregate == aggregate && slot->task == task)
      return slot;
  }
  return NULL;
}

/* ---- reading ---- */

static int see_event(const cafe_stored_event *event, void *user) {
  load_job *job = user;
  loaded_event *kept = cafe_arena_alloc(job->arena, sizeof *kept);
  if (!kept)
    return CAFE_NOMEM;
  kept->event = *event;
  cafe_slice aggregate, type;
  if (cafe_arena_copy(&aggregate, job->arena, cafe_text(event->aggregate)) ||
      cafe_arena_copy(&type, job->arena, cafe_text(event->type)) ||
      cafe_arena_copy(&kept->event.trace, job->arena, event->trace) ||
      cafe_arena_copy(&kept->event.data, job->arena, event->data))
    return CAFE_NOMEM;
  kept->event.aggregate = aggregate.data;
  kept->event.type = type.data;
  if (job->last_event)
    job->last_event->next = kept;
  else
    job->events = kept;
  job->last_event = kept;
  return CAFE_OK;
}

static int see_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
  (void)key;
  load_job *job = user;
  loaded_row *kept = cafe_arena_alloc(job->arena, sizeof *kept);
  void *copy = kept ? cafe_arena_alloc(job->arena, table->row->width) : NULL;
  if (!copy || cafe_schema_copy(copy, data, table->row, job->arena))
    return CAFE_NOMEM;
  kept->table = table;
  kept->sub = sub;
  kept->version = version;
  kept->data = copy;
  LL_PREPEND(job->rows, kept);
  return CAFE_OK;
}

static int run_load(storage_job *base, cafe_err *err) {
  load_job *job = CONTAINER(base, load_job, job);
  cafe_store *store = base->node->store;
  return store->ops->load(store, job->key, see_event, see_row, job, err);
}

/* ---- folding what was read ---- */

static int no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "no memory to read a key"); }

int subject_apply(struct subject *subject, const event_type *type, const cafe_event *event, cafe_err *err) {
  registry *known = &subject->node->registry;
  const cafe_aggregate *owner = known->aggregates[type->aggregate].type;
  struct stream *stream = &subject->streams[type->aggregate];
  if (event->version != stream->version + 1)
    return cafe_fail(err, CAFE_CORRUPT, "%s %llu has version %llu after version %llu in the store: restore a backup",
                     event->aggregate, (unsigned long long)event->key, (unsigned long long)event->version,
                     (unsigned long long)stream->version);
  void *state = subject_state_of(subject, type->aggregate);
  int code = state ? aggregate_evolve(owner, state, event, subject->arena, err) : no_memory(err);
  if (code)
    return code;
  stream->version = event->version;
  for (uint32_t i = 0; i < type->views.count; i++) {
    uint32_t view = type->views.items[i];
    const cafe_view *folded = known->views[view].type;
    uint64_t sub = 0;
    cafe_fold fold = CAFE_FOLD_SKIP;
    code = view_sub(&sub, folded, event, err);
    if (!code && folded->sub && sub == 0)
      continue;
    view_slot *slot = code ? NULL : subject_view(subject, view, sub);
    if (!code)
      code = slot ? view_fold(&fold, folded, slot->row, event, subject->arena, err) : no_memory(err);
    if (code)
      return code;
    if (fold == CAFE_FOLD_PUT)
      slot->is_shown = true;
    if (fold == CAFE_FOLD_HIDE)
      slot->is_shown = false;
  }
  return CAFE_OK;
}

static bool is_hosted_here(const registry *known, const char *aggregate) {
  for (uint32_t i = 0; i < known->aggregate_count; i++)
    if (known->aggregates[i].is_local && strcmp(known->aggregates[i].type->name, aggregate) == 0)
      return true;
  return false;
}

/* A service that was removed, or moved away, leaves its events under keys that others share: they go on without it. But
 * one that is here must know all that it ever said. */
static int type_of(const event_type **out, const struct subject *subject, const cafe_stored_event *event,
                   cafe_err *err) {
  const registry *known = &subject->node->registry;
  const event_type *type = registry_event(subject->node, event->type);
  if (type && strcmp(known->aggregates[type->aggregate].type->name, event->aggregate) != 0)
    type = NULL; /* another aggregate's, that had an event of that name */
  *out = type && known->aggregates[type->aggregate].is_local ? type : NULL;
  if (*out || !is_hosted_here(known, event->aggregate))
    return CAFE_OK;
  return cafe_fail(err, CAFE_UNSUPPORTED,
                   "the store holds %s of %s %llu, which the aggregate hosted here doesn't know: use the version that "
                   "wrote it, or a newer one",
                   event->type, event->aggregate, (unsigned long long)event->key);
}

static int fold_events(struct subject *subject, const load_job *job, cafe_err *err) {
  for (const loaded_event *at = job->events; at; at = at->next) {
    const event_type *type;
    int code = type_of(&type, subject, &at->event, err);
    if (code)
      return code;
    if (!type)
      continue;
    void *data = cafe_arena_alloc(job->arena, type->schema->width);
    if (!data)
      return cafe_fail(err, CAFE_NOMEM, "no memory to read a key");
    code = cafe_schema_decode(data, type->schema, at->event.data, err);
    if (code)
      return cafe_fail(err, CAFE_UNSUPPORTED,
                       "%s %llu at position %llu isn't what this version writes: use the one that wrote it, or a newer "
                       "one",
                       at->event.type, (unsigned long long)job->key, (unsigned long long)at->event.n);
    cafe_event event = {type->schema,
                        subject->node->registry.aggregates[type->aggregate].type->name,
                        job->key,
                        at->event.version,
                        at->event.time_ms,
                        {subject->node->log_id, at->event.shard, at->event.n},
                        at->event.trace,
                        data,
                        {NULL}};
    code = subject_apply(subject, type, &event, err);
    if (code)
      return code;
  }
  return CAFE_OK;
}

static int take_saga(struct subject *subject, const loaded_row *row, cafe_err *err) {
  registry *known = &subject->node->registry;
  for (uint32_t i = 0; i < known->saga_count; i++) {
    if (known->sagas[i].number != row->sub)
      continue;
    if (known->sagas[i].type->version != ((const saga_row *)row->data)->saga_version)
      continue;
    saga_row *kept = cafe_arena_alloc(subject->arena, sizeof *kept);
    saga_instance *instance = saga_instance_create(known->sagas[i].plan, subject->key, subject->arena);
    if (!kept || !instance || cafe_schema_copy(kept, row->data, &saga_row_type, subject->arena))
      return cafe_fail(err, CAFE_NOMEM, "no memory to read a saga");
    subject->sagas[i] = instance;
    subject->saga_versions[i] = row->version;
    return saga_load(instance, kept, err);
  }
  const saga_row *unknown = row->data;
  if (unknown->phase == SAGA_ENDED || unknown->phase == SAGA_UNDONE) {
    for (uint32_t i = 0; i < known->saga_count; i++)
      if (known->sagas[i].number == row->sub)
        subject->saga_versions[i] = row->version; /* without an instance: it is over */
    return CAFE_OK;
  }
  return cafe_fail(err, CAFE_UNSUPPORTED,
                   "the store holds a saga %.*s of version %lld, which nothing here knows: host "
                   "it beside the newer one until none of its sagas runs",
                   (int)unknown->name.size, unknown->name.data, (long long)unknown->saga_version);
}

static int take_attempt(struct subject *subject, const loaded_row *row, cafe_err *err) {
  registry *known = &subject->node->registry;
  const attempt_row *stored = row->data;
  for (uint32_t i = 0; i < known->aggregate_count; i++) {
    if (!known->aggregates[i].is_local ||
        !cafe_slice_equal(cafe_text(known->aggregates[i].type->name), stored->aggregate))
      continue;
    attempt_slot *slot = cafe_arena_alloc(subject->arena, sizeof *slot);
    if (!slot)
      return cafe_fail(err, CAFE_NOMEM, "no memory to read a task's attempts");
    slot->aggregate = i;
    slot->task = (uint32_t)stored->task;
    slot->attempt = (uint32_t)stored->attempt;
    slot->due_ms = stored->due_ms;
    slot->version = row->version;
    LL_PREPEND(subject->attempts, slot);
    return CAFE_OK;
  }
  return CAFE_OK; /* of a service that moved away */
}

static int take_rows(struct subject *subject, const load_job *job, cafe_err *err) {
  registry *known = &subject->node->registry;
  for (const loaded_row *row = job->rows; row; row = row->next) {
    int code = CAFE_OK;
    if (row->table == &engine_tables[TABLE_SAGAS]) {
      code = take_saga(subject, row, err);
    } else if (row->table == &engine_tables[TABLE_ATTEMPTS]) {
      code = take_attempt(subject, row, err);
    } else if (row->table == &engine_tables[TABLE_WAKES]) {
      subject->wake_version = row->version;
      subject->wake_written_ms = ((const wake_row *)row->data)->due_ms;
    }
    for (uint32_t i = 0; i < known->view_count && !code; i++) {
      if (row->table != &known->views[i].table || !known->views[i].type->is_inline)
        continue;
      view_slot *slot = subject_view(subject, i, row->sub);
      if (!slot)
        return cafe_fail(err, CAFE_NOMEM, "no memory to read a row");
      slot->version = row->version;
    }
    if (code)
      return code;
  }
  return CAFE_OK;
}

static void fail_queue(struct subject *subject, bool is_by_store, int code, const cafe_err *err) {
  while (subject->queue) {
    struct act *act = subject->queue;
    DL_DELETE(subject->queue, act);
    act->is_at_fault = !is_by_store;
    act->finish(subject->node, act, code, err);
  }
}

static void load_done(storage_job *base) {
  load_job *job = CONTAINER(base, load_job, job);
  cafe_node *node = base->node;
  struct subject *subject = subject_find(node, job->key);
  cafe_err err = base->err;
  int code = base->code;
  bool is_by_store = code != CAFE_OK;
  node->loads--;
  subject->holds++;
  if (!code)
    code = fold_events(subject, job, &err);
  if (!code)
    code = take_rows(subject, job, &err);
  node_arena_free(node, job->arena); /* the job lies in it */
  if (code) {
    if (code == CAFE_CORRUPT || code == CAFE_UNSUPPORTED)
      node_log(node, CAFE_LOG_ERROR, subject->key, (cafe_slice){NULL, 0}, "%s", err.text);
    subject->state = SUBJECT_STALE;
    fail_queue(subject, is_by_store, code, &err);
    if (!cafe_code_is_retryable(code))
      op_fail_waiters(subject, &err);
    timer_retry(subject);
  } else {
    subject->state = SUBJECT_READY;
    timer_loaded(subject);
    execute_queue(subject);
  }
  subject->holds--;
  subject_settle(subject);
}

void subject_load(struct subject *subject) {
  cafe_node *node = subject->node;
  cafe_err err = {0};
  cafe_arena *arena = node_arena(node);
  load_job *job = arena ? cafe_arena_alloc(arena, sizeof *job) : NULL;
  if (!job || reset_memory(subject)) {
    node_arena_free(node, arena);
    cafe_fail(&err, CAFE_NOMEM, "no memory to read a key");
    subject->state = SUBJECT_STALE;
    fail_queue(subject, false, CAFE_NOMEM, &err);
    return;
  }
  subject->state = SUBJECT_LOADING;
  node->loads++;
  job->key = subject->key;
  job->arena = arena;
  job->job.run = run_load;
  job->job.done = load_done;
  job->job.lane = CAFE_LANE_READ;
  storage_submit(node, &job->job);
}

/* ---- what wants a unit ---- */

static void execute_queue(struct subject *subject) {
  while (subject->queue && subject->state == SUBJECT_READY && !subject->awaits_tick) {
    struct act *act = subject->queue;
    DL_DELETE(subject->queue, act);
    if (subject->node->state > NODE_DRAINING) {
      cafe_err err;
      cafe_fail(&err, CAFE_CANCELED, "the node is closing");
      act->finish(subject->node, act, CAFE_CANCELED, &err);
      continue;
    }
    unit_execute(subject, act);
  }
}

bool subject_is_over(const struct subject *subject) {
  bool has_saga = false;
  for (uint32_t i = 0; i < subject->node->registry.saga_count; i++) {
    if (!subject->sagas[i])
      continue;
    saga_phase phase = saga_instance_phase(subject->sagas[i]);
    if (phase != SAGA_ENDED && phase != SAGA_UNDONE)
      return false;
    has_saga = true;
  }
  return has_saga;
}

/* ---- what nothing needs now, the oldest first ---- */

static void lay_down(struct subject *subject) {
  cafe_node *node = subject->node;
  /* What is over comes back only if somebody asks for it: to keep it would cost the others their place. */
  bool is_over = subject->due.due == INT64_MAX && subject_is_over(subject);
  subject->idle = is_over ? &node->idle_over : &node->idle;
  DL_APPEND2(subject->idle->first, subject, lru_prev, lru_next);
  subject->idle->count++;
  uint32_t most = is_over && node->max_cached > OVER_CACHED ? OVER_CACHED : node->max_cached;
  while (subject->idle->count > most) {
    struct subject *oldest = subject->idle->first; /* another one: at least one is kept */
    timer_remember(oldest);
    subject_drop(oldest);
  }
}

void subject_rouse(struct subject *subject) {
  if (!subject->idle)
    return;
  DL_DELETE2(subject->idle->first, subject, lru_prev, lru_next);
  subject->idle->count--;
  subject->idle = NULL;
}

void subject_expect(struct subject *subject, struct act *act) {
  subject_rouse(subject);
  subject->coming++;
  act->subject = subject;
  act->is_coming = true;
}

void subject_miss(struct act *act) {
  if (!act->is_coming)
    return;
  act->is_coming = false;
  act->subject->coming--;
  subject_settle(act->subject);
}

void subject_take(struct subject *subject, struct act *act) {
  subject_rouse(subject);
  if (act->is_coming)
    subject->coming--;
  act->is_coming = false;
  if (subject->state == SUBJECT_NEW && act->is_new_key) {
    subject->state = SUBJECT_READY;
    subject->is_resumed = true;
  }
  subject->holds++;
  if (act == &subject->tick && subject->awaits_tick) {
    subject->awaits_tick = false;
    DL_PREPEND(subject->queue, act);
  } else {
    DL_APPEND(subject->queue, act);
  }
  if (subject->state == SUBJECT_READY)
    execute_queue(subject);
  else if (subject->state == SUBJECT_NEW)
    subject_load(subject);
  subject->holds--;
  subject_settle(subject);
}

void subject_make_stale(struct subject *subject) { subject->state = SUBJECT_STALE; }

void subject_settle(struct subject *subject) {
  if (subject->in_flight || subject->state == SUBJECT_LOADING || subject->holds)
    return;
  if (subject->queue && !subject->awaits_tick) {
    subject->holds++; /* whoever is told of a failure here may settle it, too */
    if (subject->state == SUBJECT_STALE)
      subject_load(subject);
    else
      execute_queue(subject);
    subject->holds--;
    subject_settle(subject);
    return;
  }
  bool is_needed = subject->queue || subject->waiters || subject->tasks || subject->coming || subject->requests ||
                   subject->is_ticking;
  if (is_needed) {
    if (subject->state == SUBJECT_STALE)
      timer_retry(subject);
    return;
  }
  if (subject->idle)
    return;
  if (subject->state == SUBJECT_STALE) {
    timer_remember(subject);
    subject_drop(subject);
    return;
  }
  lay_down(subject);
}
