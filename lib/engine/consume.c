/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Subscriptions: events of other logs (and of this one, for views and policies across keys) have their effect here.
 *
 * What is kept here: each event has its effect once. The effect and the checkpoint of the event's partition are one
 * unit, and the checkpoint moves by compare-and-set from exactly where the event before it leaves it. So a batch that
 * comes twice finds its events done, and a crash anywhere resumes at the first undone one (consume_place.c). What the
 * effect is: effect.c for policies and sagas, project.c for views.
 *
 * A record that fails again and again for a reason of its own is parked: its letter and the checkpoint are one unit
 * (letter.c).
 */
#include "engine/letter.h"

enum { BATCH_EVENTS = 512 };

static void take_events(struct consumer *consumer, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                        uint64_t head);

uint64_t consumer_head(const struct consumer *consumer) {
  return consumer->is_local ? consumer->node->heads[consumer->shard] : consumer->head;
}

/* An event was there at most a commit before its position is known. */
static void note_lag(struct consumer *consumer) {
  bool is_behind = consumer_head(consumer) > consumer->watermark;
  if (is_behind && !consumer->is_behind)
    consumer->complete_ms = node_utc_ms(consumer->node);
  consumer->is_behind = is_behind;
}

void consumer_see_head(struct consumer *consumer, uint64_t head) {
  consumer->head = head > consumer->head ? head : consumer->head;
  note_lag(consumer);
}

/* Its view stands still (rebuild.c): it knows its place, and takes nothing. */
static bool is_held(const struct consumer *consumer) {
  const hosted_view *view = &consumer->node->registry.views[consumer->index];
  return consumer->kind == CONSUME_VIEW && (view->is_held || view->is_outdated);
}

/* ---- where its events come from ---- */

static void link_events(cafe_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                        uint64_t head) {
  struct consumer *consumer = link->user;
  if (is_held(consumer)) {
    consumer_see_head(consumer, head);
    return; /* asked for again when it goes on */
  }
  if (consumer->log_id && link->log_id != consumer->log_id) {
    place_move(consumer, link->log_id);
    return;
  }
  if (consumer->has_batch || scanned <= consumer->after) {
    /* It came twice: the first one is in hand, or done. */
    if (!consumer->has_batch)
      consumer->node->transport->ops->more(consumer->node->transport, link);
    return;
  }
  consumer->log_id = link->log_id;
  take_events(consumer, events, count, scanned, head);
}

static void link_lost(cafe_link *link, const cafe_err *err) {
  struct consumer *consumer = link->user;
  if (err->code != CAFE_INVALID)
    return; /* the transport goes on by itself */
  consumer->is_refused = true;
  consumer->refusal = *err;
  node_log(consumer->node, CAFE_LOG_ERROR, 0, (cafe_slice){NULL, 0}, "the subscription %s to %s is refused: %s",
           consumer->name, consumer->source, err->text);
  node_pump(consumer->node); /* who waits for it is told */
}

const cafe_err *consume_refusal(const cafe_node *node, uint32_t view, const cafe_position *position) {
  const struct consumer *consumer;
  const cafe_err *refusal = NULL;
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->kind != CONSUME_VIEW || consumer->index != view || consumer->shard != position->shard)
      continue;
    if (consumer->log_id == position->log_id)
      return consumer->is_refused ? &consumer->refusal : NULL;
    if (consumer->is_refused)
      refusal = &consumer->refusal;
  }
  return refusal;
}

uint64_t consume_refused(const cafe_node *node) {
  const struct consumer *consumer;
  uint64_t count = 0;
  LL_FOREACH(node->consumers, consumer) count += consumer->is_refused;
  return count;
}

static void open_link(struct consumer *consumer) {
  cafe_err err = {0};
  cafe_transport *transport = consumer->node->transport;
  consumer->link.size = sizeof consumer->link;
  consumer->link.service = consumer->source;
  consumer->link.name = consumer->name;
  consumer->link.types = consumer->types;
  consumer->link.shard = consumer->shard;
  consumer->link.on_events = link_events;
  consumer->link.on_lost = link_lost;
  consumer->link.user = consumer;
  int code = transport->ops->subscribe(transport, &consumer->link, &err);
  if (code)
    consumer_failed(consumer, code, &err);
  else
    consumer->is_linked = true;
}

static void local_events(log_job *job, int code, const cafe_err *err) {
  struct consumer *consumer = job->user;
  consumer->is_reading = false;
  if (code)
    consumer_failed(consumer, code, err);
  else if (job->query.scanned > consumer->after && !is_held(consumer))
    take_events(consumer, job->events, job->count, job->query.scanned, job->query.head);
}

static void want_more(struct consumer *consumer) {
  cafe_node *node = consumer->node;
  if (consumer->has_batch || consumer->is_reading || consumer->is_refused)
    return;
  if (!consumer->is_ready) {
    place_read(consumer);
  } else if (is_held(consumer)) {
    return;
  } else if (!consumer->is_local) {
    if (!consumer->is_linked)
      open_link(consumer);
  } else if (node->heads[consumer->shard] > consumer->after) {
    consumer->is_reading = true;
    if (log_read(node, consumer->shard, consumer->after, BATCH_EVENTS, consumer->types, 0, local_events, consumer))
      return;
    consumer->is_reading = false;
    consumer->retry_at_us = node_now_us(node) + CONSUME_AGAIN_US;
  }
}

/* ---- a batch ---- */

int record_make(batch_event **out, const cafe_node *node, const cafe_stored_event *stored, cafe_position position,
                cafe_arena *arena) {
  const event_type *type = registry_event(node, stored->type);
  const char *aggregate = type ? node->registry.aggregates[type->aggregate].type->name : NULL;
  *out = NULL;
  if (!type || strcmp(aggregate, stored->aggregate) != 0)
    return CAFE_OK; /* not asked for, or another aggregate's that had the name */
  batch_event *made = cafe_arena_alloc(arena, sizeof *made);
  void *data = made ? cafe_arena_alloc(arena, type->schema->width) : NULL;
  if (!data || cafe_arena_copy(&made->data, arena, stored->data) ||
      cafe_arena_copy(&made->event.trace, arena, stored->trace))
    return CAFE_NOMEM;
  made->type = type;
  made->event.type = type->schema;
  made->event.aggregate = aggregate;
  made->event.key = stored->key;
  made->event.version = stored->version;
  made->event.time_ms = stored->time_ms;
  made->event.position = position;
  if (record_read(made, data, arena))
    return CAFE_NOMEM;
  *out = made;
  return CAFE_OK;
}

uint32_t consumer_queue(const struct consumer *consumer, uint64_t key) {
  return consumer->kind == CONSUME_VIEW ? cafe_partition(key) : 0;
}

static int keep_event(struct consumer *consumer, const cafe_stored_event *stored, batch_event ***ends, cafe_err *err) {
  if (stored->n <= consumer_place(consumer, cafe_partition(stored->key)))
    return CAFE_OK;
  batch_event *kept;
  cafe_position position = {consumer->log_id, consumer->shard, stored->n};
  if (record_make(&kept, consumer->node, stored, position, consumer->arena))
    return cafe_fail(err, CAFE_NOMEM, "no memory for events of %s", consumer->source);
  if (!kept)
    return CAFE_OK;
  consumer->batch_ms = stored->time_ms;
  if (stored->time_ms < consumer->complete_ms)
    consumer->complete_ms = stored->time_ms;
  batch_event ***end = &ends[consumer_queue(consumer, stored->key)];
  **end = kept;
  *end = &kept->next;
  return CAFE_OK;
}

int record_read(batch_event *record, void *data, cafe_arena *arena) {
  cafe_err why;
  record->event.data = data;
  int code = cafe_schema_decode(data, record->type->schema, record->data, &why);
  if (!code)
    return CAFE_OK;
  cafe_err *kept = cafe_arena_alloc(arena, sizeof *kept);
  if (!kept)
    return CAFE_NOMEM;
  cafe_fail(kept, (cafe_code)code, "%s of key %llu can't be read: %s", record->event.type->name,
            (unsigned long long)record->event.key, why.text);
  record->failure = kept;
  record->event.data = NULL;
  return CAFE_OK;
}

static void take_events(struct consumer *consumer, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                        uint64_t head) {
  batch_event **ends[CAFE_PARTITIONS];
  cafe_err err = {0};
  int code = CAFE_OK;
  cafe_arena_reset(consumer->arena);
  for (uint32_t p = 0; p < CAFE_PARTITIONS; p++) {
    consumer->queues[p] = NULL;
    ends[p] = &consumer->queues[p];
  }
  consumer->head = head;
  note_lag(consumer);
  consumer->batch_ms = 0;
  consumer->scanned = scanned;
  consumer->has_batch = true;
  consumer->has_failed = false;
  consumer->has_lost = false;
  memcpy(consumer->moved, consumer->stored, sizeof consumer->moved);
  consumer->is_parking = false;
  for (uint32_t i = 0; i < count && !code; i++)
    code = keep_event(consumer, &events[i], ends, &err);
  consumer->under_way = 1; /* until all is begun */
  if (code)
    consumer_failed(consumer, code, &err);
  else if (consumer->kind == CONSUME_VIEW)
    project_begin(consumer);
  else
    effect_begin(consumer);
  consumer_end(consumer);
}

static void begin_anew(struct consumer *consumer, int64_t after_us) {
  consumer->has_failed = true;
  consumer->retry_at_us = node_now_us(consumer->node) + after_us;
  node_pump(consumer->node);
}

void consumer_failed(struct consumer *consumer, int code, const cafe_err *err) {
  if (consumer->letter) {
    replay_failed(consumer, false, err);
    return;
  }
  bool is_news = code != CAFE_CONFLICT && code != CAFE_CANCELED && !consumer->has_warned;
  if (is_news)
    node_log(consumer->node, CAFE_LOG_WARN, 0, (cafe_slice){NULL, 0}, "the subscription %s to %s: %s", consumer->name,
             consumer->source, err->text);
  consumer->has_warned = consumer->has_warned || is_news;
  begin_anew(consumer, CONSUME_AGAIN_US);
}

void consumer_failed_by(struct consumer *consumer, const batch_event *record, int code, const cafe_err *err) {
  if (!record || !letter_is_deserved(code))
    consumer_failed(consumer, code, err);
  else if (consumer->letter)
    replay_failed(consumer, true, err);
  else
    begin_anew(consumer, letter_try(consumer, record, err) ? CONSUME_AGAIN_US : 1);
}

void consumer_end(struct consumer *consumer) {
  if (--consumer->under_way) {
    effect_go_on(consumer);
    return;
  }
  consumer->has_batch = false;
  if (consumer->kind == CONSUME_VIEW)
    project_end(consumer);
  if (consumer->letter) {
    replay_ended(consumer);
    return;
  }
  if (consumer->has_failed)
    return; /* begun anew from the checkpoints, by consume_turn */
  consumer->has_warned = false;
  consumer->after = consumer->scanned;
  consumer->watermark = consumer->scanned;
  if (consumer->batch_ms > consumer->complete_ms)
    consumer->complete_ms = consumer->batch_ms;
  consumer->link.after = consumer->after;
  if (consumer->is_linked)
    consumer->node->transport->ops->more(consumer->node->transport, &consumer->link);
  node_pump(consumer->node);
}

void consumer_done(struct consumer *consumer, uint32_t partition, uint64_t n) {
  consumer->applied[partition] = consumer->stored[partition] = n;
}

/* ---- the turn's share, and the life of subscriptions ---- */

static bool is_busy(const struct consumer *consumer) {
  return consumer->has_batch || consumer->is_reading || consumer->is_moving;
}

void consume_turn(cafe_node *node, int64_t now_us) {
  if (!node->is_consuming)
    return;
  struct consumer *consumer;
  LL_FOREACH(node->consumers, consumer) {
    note_lag(consumer);
    if (consumer->retry_at_us && !is_busy(consumer) && consumer->retry_at_us <= now_us) {
      consumer->retry_at_us = 0;
      consumer->has_failed = false;
      consumer->is_ready = false;
      if (consumer->is_linked)
        node->transport->ops->unsubscribe(node->transport, &consumer->link);
      consumer->is_linked = false;
    }
    if (!consumer->retry_at_us)
      want_more(consumer);
    if (consumer->is_ready && !consumer->has_batch && !consumer->is_moving && !is_held(consumer))
      place_mark(consumer);
  }
}

int64_t consume_next_us(const cafe_node *node) {
  int64_t next = INT64_MAX;
  if (!node->is_consuming)
    return next;
  const struct consumer *consumer;
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->retry_at_us && !is_busy(consumer) && consumer->retry_at_us < next)
      next = consumer->retry_at_us;
  }
  return next;
}

bool consume_is_quiet(const cafe_node *node, uint32_t view) {
  const struct consumer *consumer;
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->kind == CONSUME_VIEW && consumer->index == view &&
        (is_busy(consumer) || consumer->is_marking || consumer->retry_at_us || !consumer->is_ready))
      return false;
  }
  return true;
}

void consume_release(cafe_node *node, uint32_t view, bool is_replaced) {
  struct consumer *consumer;
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->kind != CONSUME_VIEW || consumer->index != view)
      continue;
    if (!is_replaced) {
      if (consumer->is_linked && !consumer->is_refused && !is_busy(consumer))
        node->transport->ops->more(node->transport, &consumer->link);
      continue;
    }
    if (consumer->is_linked)
      node->transport->ops->unsubscribe(node->transport, &consumer->link);
    consumer->is_linked = consumer->is_refused = consumer->is_ready = consumer->has_failed = false;
    project_forget(consumer);
  }
}

void consume_close(cafe_node *node) {
  struct consumer *consumer;
  node->is_consuming = false;
  LL_FOREACH(node->consumers, consumer) {
    if (consumer->is_linked)
      node->transport->ops->unsubscribe(node->transport, &consumer->link);
    consumer->is_linked = false;
  }
}

void consume_destroy(cafe_node *node) {
  struct consumer *consumer, *next;
  letter_destroy(node);
  LL_FOREACH_SAFE(node->consumers, consumer, next) {
    project_destroy(consumer);
    letter_forget_trials(consumer);
    cafe_arena_destroy(consumer->arena);
    node_free(node, consumer);
  }
  node->consumers = NULL;
}
