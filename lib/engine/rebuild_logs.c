/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The logs that a view is made from, read from their first event on. A batch of each may be in hand, and the next one
 * is read while it is folded. What is kept here: `after` is what was folded, and nothing is left out before it.
 *
 * How far. A view that is made anew may run ahead of the table that it replaces, but never stay behind it, since
 * readers have seen that. One that is compared follows behind, and ends where the table stands.
 */
#include "engine/rebuild.h"

static void no_memory(rebuild *self) {
  rebuild_fail_code(self, CAFE_NOMEM, "no memory to read the log for the view %s", rebuild_view(self)->type->name);
}

/* ---- reading ---- */

static void take_batch(rebuild_source *source, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                       uint64_t head) {
  rebuild *self = source->rebuild;
  batch_event **end = &source->events;
  int code = CAFE_OK;
  cafe_arena_reset(source->arena);
  *end = NULL;
  for (uint32_t i = 0; i < count && !code; i++) {
    cafe_position position = {source->log_id, source->shard, events[i].n};
    code = record_make(end, self->node, &events[i], position, source->arena);
    if (*end)
      end = &(*end)->next;
  }
  source->head = head;
  source->scanned = scanned;
  source->has_batch = true;
  if (code)
    no_memory(self);
  node_pump(self->node);
}

/* It may be another one than before: restored, and the same up to `after`. A subscription that stands still hears of
 * its own log's head in no other way. */
static void see_log(rebuild_source *source, uint64_t log_id, uint64_t head) {
  source->log_id = log_id;
  source->head = head;
  if (source->consumer->log_id == log_id)
    consumer_see_head(source->consumer, head);
}

static void link_events(cafe_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                        uint64_t head) {
  rebuild_source *source = link->user;
  if (source->has_batch)
    return; /* it came twice: `more` follows when the first one is folded */
  see_log(source, link->log_id, head);
  if (scanned <= source->after) {
    source->rebuild->node->transport->ops->more(source->rebuild->node->transport, link);
    node_pump(source->rebuild->node);
    return;
  }
  take_batch(source, events, count, scanned, head);
}

static void link_lost(cafe_link *link, const cafe_err *err) {
  rebuild_source *source = link->user;
  if (err->code != CAFE_INVALID)
    return; /* the transport goes on by itself */
  rebuild_fail(source->rebuild, err);
  node_pump(source->rebuild->node);
}

static void open_link(rebuild_source *source, const struct consumer *consumer) {
  cafe_node *node = source->rebuild->node;
  cafe_err err = {0};
  source->link.size = sizeof source->link;
  source->link.service = consumer->source;
  source->link.name = consumer->name;
  source->link.types = source->types;
  source->link.shard = source->shard;
  /* What is compared has to be of the same log; what is made anew is of the one that there is now. */
  source->link.log_id = source->rebuild->verifies ? consumer->log_id : 0;
  source->link.on_events = link_events;
  source->link.on_lost = link_lost;
  source->link.user = source;
  if (node->transport->ops->subscribe(node->transport, &source->link, &err))
    rebuild_fail(source->rebuild, &err);
  else
    source->is_linked = true;
}

static void log_came(log_job *job, int code, const cafe_err *err) {
  rebuild_source *source = job->user;
  rebuild *self = source->rebuild;
  source->is_reading = false;
  if (self->err.code)
    return;
  if (code)
    rebuild_fail(self, err);
  else if (job->query.scanned > source->after)
    take_batch(source, job->events, job->count, job->query.scanned, job->query.head);
}

/* Where the view stands in this log: nothing beyond has had its effect in the table. */
static uint64_t stands_at(const rebuild_source *source) {
  if (!source->consumer)
    return source->rebuild->node->heads[source->shard];
  uint64_t place = 0;
  for (uint32_t p = 0; p < CAFE_PARTITIONS; p++)
    if (consumer_place(source->consumer, p) > place)
      place = consumer_place(source->consumer, p);
  return place;
}

/* A comparison ends where the view stands, and needs no more. */
static bool wants_more(const rebuild_source *source) {
  const rebuild *self = source->rebuild;
  uint64_t head = self->verifies ? stands_at(source) : self->node->heads[source->shard];
  return head > source->after;
}

void logs_read(rebuild *self) {
  for (rebuild_source *source = self->sources; source && !self->err.code; source = source->next) {
    if (self->verifies && source->consumer && source->consumer->is_refused)
      rebuild_fail(self, &source->consumer->refusal); /* there is nothing to compare it with */
    if (source->has_batch || source->is_reading || (source->consumer && !source->consumer->is_ready))
      continue;
    if (source->consumer && !source->is_local) {
      if (!source->is_linked)
        open_link(source, source->consumer);
    } else if (wants_more(source)) {
      source->is_reading = true;
      if (log_read(self->node, source->shard, source->after, REBUILD_EVENTS, source->types, 0, log_came, source))
        continue;
      source->is_reading = false;
      no_memory(self);
    }
  }
}

bool logs_are_being_read(const rebuild *self) {
  for (const rebuild_source *source = self->sources; source; source = source->next)
    if (source->is_reading)
      return true;
  return false;
}

/* ---- how far ---- */

/* While a view that is compared goes on, its shadow follows behind it: else it would hold what the table doesn't. */
static bool may_take(const rebuild_source *source) {
  const rebuild *self = source->rebuild;
  return !self->verifies || !source->consumer || self->step == REBUILD_REST ||
         source->scanned <= source->consumer->watermark;
}

/* The view's place is in a log that isn't there any more. Where nobody refuses it, it is the same up to there. */
static bool is_of_other_log(const rebuild_source *source) {
  const struct consumer *consumer = source->consumer;
  return consumer && consumer->log_id && source->log_id && source->log_id != consumer->log_id;
}

static bool is_near(const rebuild_source *source) {
  const rebuild *self = source->rebuild;
  if (source->consumer && !source->consumer->is_ready)
    return false;
  if (source->consumer && self->verifies)
    return source->has_batch ? !may_take(source) : source->after >= stands_at(source);
  if (source->is_local) {
    /* The log may be growing all the time: it was at its end once, and is little behind. */
    uint64_t head = self->node->heads[source->shard];
    bool was_at_end = source->head && source->after >= source->head;
    return head <= source->after || (was_at_end && head <= source->after + REBUILD_EVENTS);
  }
  if (source->has_batch || source->after < source->head)
    return false;
  return is_of_other_log(source) || source->after >= stands_at(source);
}

static bool is_there(const rebuild_source *source) {
  if (source->has_batch)
    return false;
  if (is_of_other_log(source) && !source->rebuild->verifies)
    return source->after >= source->head;
  return source->after >= stands_at(source);
}

bool logs_are_near(const rebuild *self) {
  for (const rebuild_source *source = self->sources; source; source = source->next)
    if (!is_near(source))
      return false;
  return true;
}

bool logs_are_there(const rebuild *self) {
  for (const rebuild_source *source = self->sources; source; source = source->next)
    if (!is_there(source))
      return false;
  return true;
}

/* ---- what is in hand ---- */

rebuild_source *logs_take(rebuild *self) {
  rebuild_source *source = self->sources;
  while (source && !(source->has_batch && may_take(source)))
    source = source->next;
  return source;
}

bool logs_want(const rebuild_source *source, const cafe_event *event) {
  if (!source->rebuild->verifies || !source->consumer)
    return true;
  return event->position.n <= consumer_place(source->consumer, cafe_partition(event->key));
}

/* The next one is read while this one is written. */
void logs_give_back(rebuild_source *source) {
  cafe_node *node = source->rebuild->node;
  source->events = NULL;
  source->has_batch = false;
  source->after = source->link.after = source->scanned;
  if (source->is_linked)
    node->transport->ops->more(node->transport, &source->link);
  node_pump(node);
}

/* ---- beginning and end ---- */

static int add_source(rebuild *self, struct consumer *consumer, uint32_t shard, const char *const *types) {
  rebuild_source *made = cafe_arena_alloc(self->arena, sizeof *made);
  if (!made)
    return CAFE_NOMEM;
  LL_APPEND(self->sources, made);
  made->rebuild = self;
  made->consumer = consumer;
  made->types = types;
  made->shard = shard;
  made->is_local = !consumer || consumer->is_local;
  made->log_id = made->is_local ? self->node->log_id : 0;
  made->arena = cafe_arena_create(&self->node->allocator);
  return made->arena ? CAFE_OK : CAFE_NOMEM;
}

/* All of an inline view's events are of the node's own log. */
static int add_own_log(rebuild *self) {
  const cafe_schema *const *events = rebuild_view(self)->type->events;
  size_t count = 0;
  while (events[count])
    count++;
  const char **types = cafe_arena_alloc(self->arena, (count + 1) * sizeof *types);
  for (size_t i = 0; types && i < count; i++)
    types[i] = events[i]->name;
  int code = types ? CAFE_OK : CAFE_NOMEM;
  for (uint32_t shard = 0; shard < self->node->shards && !code; shard++)
    code = add_source(self, NULL, shard, types);
  return code;
}

int logs_open(rebuild *self, cafe_err *err) {
  struct consumer *consumer;
  int code = rebuild_view(self)->type->is_inline ? add_own_log(self) : CAFE_OK;
  LL_FOREACH(self->node->consumers, consumer) {
    if (!code && consumer->kind == CONSUME_VIEW && consumer->index == self->view)
      code = add_source(self, consumer, consumer->shard, consumer->types);
  }
  return code ? cafe_fail(err, CAFE_NOMEM, "no memory to make the view %s anew", rebuild_view(self)->type->name)
              : CAFE_OK;
}

void logs_close(rebuild *self) {
  for (rebuild_source *source = self->sources; source; source = source->next) {
    if (source->is_linked)
      self->node->transport->ops->unsubscribe(self->node->transport, &source->link);
    source->is_linked = false;
  }
}

void logs_free(rebuild *self) {
  for (rebuild_source *source = self->sources; source; source = source->next)
    cafe_arena_destroy(source->arena);
}
