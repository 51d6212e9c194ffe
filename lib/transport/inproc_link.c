/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions.
 *
 * What it keeps: a tie has one pull outstanding, or a retry set, or waits for `more`; only a position that is refused
 * ends it for good. Pulls are numbered, and what answers any but the last is dropped: a link that lost patience, or
 * whose publisher closed, isn't told old things after new ones.
 */
#include <assert.h>

#include <utlist.h>

#include "base/sized.h"
#include "transport/network.h"

/* ---- at the subscriber ---- */

static int tie_send(tie *t) {
  cafe_inproc *hub = t->port->hub;
  packet *p = inproc_packet_create(hub, PACKET_PULL, t->port->number, t->number, 0);
  if (p) {
    p->pull_number = t->pulls + 1;
  }
  int code = inproc_packet_send(p, inproc_find_service(hub, t->link->service));
  if (code == CAFE_OK) {
    t->is_pulling = true;
    t->is_stalled = false;
    t->pulls++;
  }
  return code;
}

/* Jittered in full, as AWS's study advises (Brooker, "Exponential Backoff And Jitter", 2015). */
static int tie_wait(tie *t) {
  cafe_inproc *hub = t->port->hub;
  int64_t most_us = t->failures < 7 ? (int64_t)RETRY_FIRST_US << t->failures : RETRY_LAST_US;
  int64_t at_us =
      hub->loop->ops->now_us(hub->loop) + inproc_draw(hub, 0, most_us < RETRY_LAST_US ? most_us : RETRY_LAST_US);
  t->failures++;
  t->is_pulling = true;
  t->is_stalled = false;
  return hub->loop->ops->timer_start(hub->loop, &t->retry, at_us, NULL);
}

/* There was memory neither for a pull nor for a timer. */
static void tie_stall(tie *t) {
  t->is_pulling = true;
  t->is_stalled = true;
  t->port->hub->has_stalled = true;
}

void inproc_tie_pull(tie *t) {
  if (tie_send(t) != CAFE_OK && tie_wait(t) != CAFE_OK) {
    tie_stall(t);
  }
}

static void tie_retry(cafe_timer *timer) { inproc_tie_pull(timer->user); }

/* The outstanding pull came to nothing: another one after a while. reason NULL: nobody need know. */
static void tie_lose(tie *t, const cafe_err *reason) {
  t->pulls++; /* what still comes for the one that is lost, comes for nobody */
  if (tie_wait(t) != CAFE_OK && tie_send(t) != CAFE_OK) {
    tie_stall(t);
  }
  if (reason && !t->is_lost) {
    t->is_lost = true;
    t->link->on_lost(t->link, reason); /* last: it may unsubscribe */
  }
}

static void tie_lose_text(tie *t, const char *why) {
  cafe_err err;
  (void)cafe_fail(&err, CAFE_UNAVAILABLE, "inproc: service %s %s", t->link->service, why);
  tie_lose(t, &err);
}

void inproc_tie_destroy(tie *t) {
  cafe_inproc *hub = t->port->hub;
  hub->loop->ops->timer_stop(hub->loop, &t->retry);
  (void)map_remove(hub->ties, t->number);
  DL_DELETE(t->port->ties, t);
  inproc_free(hub, t);
}

void inproc_pull_stalled(cafe_inproc *hub) {
  if (!hub->has_stalled) {
    return;
  }
  hub->has_stalled = false;
  for (map_entry *e = map_first(hub->ties); e; e = map_next(e)) {
    tie *t = map_value(e);
    if (t->is_stalled) {
      inproc_tie_pull(t);
    }
  }
}

/* ---- at the publisher ---- */

static int copy_events(packet *p, const cafe_stored_event *events, uint32_t count) {
  p->arena = cafe_arena_create(&p->hub->allocator);
  cafe_stored_event *copies = p->arena ? cafe_arena_alloc(p->arena, sizeof(*copies) * (count + 1u)) : NULL;
  if (!copies) {
    return CAFE_NOMEM;
  }
  for (uint32_t i = 0; i < count; i++) {
    cafe_slice aggregate, type;
    copies[i] = events[i];
    if (cafe_arena_copy(&aggregate, p->arena, cafe_text(events[i].aggregate)) != CAFE_OK ||
        cafe_arena_copy(&type, p->arena, cafe_text(events[i].type)) != CAFE_OK ||
        cafe_arena_copy(&copies[i].trace, p->arena, events[i].trace) != CAFE_OK ||
        cafe_arena_copy(&copies[i].data, p->arena, events[i].data) != CAFE_OK ||
        cafe_arena_copy(&copies[i].meta, p->arena, events[i].meta) != CAFE_OK) {
      return CAFE_NOMEM;
    }
    copies[i].aggregate = aggregate.data ? aggregate.data : "";
    copies[i].type = type.data ? type.data : "";
  }
  p->events = copies;
  p->count = count;
  return CAFE_OK;
}

static void answer_pull(cafe_pull *pull, const cafe_err *err, uint64_t log_id, const cafe_stored_event *events,
                        uint32_t count, uint64_t scanned, uint64_t head) {
  held *h = pull->transport_data[0];
  cafe_inproc *hub = h->port->hub;
  tie *t = map_get(hub->ties, h->from);
  if (t && t->pulls == h->pull_number) {
    packet *p = inproc_packet_create(hub, PACKET_BATCH, h->port->number, h->from, 0);
    if (p) {
      p->pull_number = h->pull_number;
      p->log_id = log_id;
      p->scanned = scanned;
      p->head = head;
      if (err) {
        p->err = *err;
      } else if (copy_events(p, events, count) != CAFE_OK) {
        inproc_packet_destroy(p);
        p = NULL;
      }
    }
    if (inproc_packet_send(p, t->port) != CAFE_OK) {
      tie_lose(t, NULL);
    }
  }
  inproc_held_destroy(h);
}

static int copy_types(held *h, const char *const *types) {
  size_t count = 0;
  while (types[count]) {
    count++;
  }
  h->arena = cafe_arena_create(&h->port->hub->allocator);
  const char **copies = h->arena ? cafe_arena_alloc(h->arena, sizeof(*copies) * (count + 1)) : NULL;
  for (size_t i = 0; copies && i < count; i++) {
    cafe_slice copy;
    if (cafe_arena_copy(&copy, h->arena, cafe_text(types[i])) != CAFE_OK) {
      return CAFE_NOMEM;
    }
    copies[i] = copy.data;
  }
  h->pull.types = copies;
  return copies ? CAFE_OK : CAFE_NOMEM;
}

static held *find_held(const port *at, packet_kind kind, uint64_t from) {
  held *h;
  DL_FOREACH(at->held, h) {
    if (h->kind == kind && h->from == from) {
      break;
    }
  }
  return h;
}

void inproc_arrive_pull(const packet *p) {
  cafe_inproc *hub = p->hub;
  tie *t = map_get(hub->ties, p->number);
  if (!t || t->pulls != p->pull_number || !t->is_pulling) {
    return;
  }
  port *to = inproc_find_service(hub, t->link->service);
  if (p->is_dropped) {
    tie_lose(t, NULL);
    return;
  }
  if (p->is_cut || inproc_are_apart(hub, t->port, to)) {
    tie_lose_text(t, "is cut off");
    return;
  }
  if (!to) {
    tie_lose_text(t, "is offered by nobody");
    return;
  }
  held *older = find_held(to, PACKET_PULL, t->number);
  if (older) {
    inproc_held_forget(older);
  }
  held *h = inproc_held_create(to, PACKET_PULL, t->number, 0);
  if (!h || copy_types(h, t->link->types) != CAFE_OK) {
    inproc_held_destroy(h);
    tie_lose(t, NULL);
    return;
  }
  h->pull_number = p->pull_number;
  h->pull.size = sizeof(h->pull);
  h->pull.partitions = t->link->partitions;
  h->pull.shard = t->link->shard;
  h->pull.log_id = t->link->log_id;
  h->pull.after = t->link->after;
  h->pull.seen = t->link->size >= SIZED_UNTIL(cafe_link, seen) ? t->link->seen : 0;
  h->pull.limit = PULL_LIMIT;
  h->pull.answer = answer_pull;
  h->pull.transport_data[0] = h;
  to->server->ops->pull(to->server, &h->pull);
}

/* ---- at the subscriber again ---- */

void inproc_arrive_batch(packet *p) {
  cafe_inproc *hub = p->hub;
  tie *t = map_get(hub->ties, p->number);
  if (!t || t->pulls != p->pull_number || (!t->is_pulling && !p->was_delivered)) {
    return; /* of the answers to a pull that was doubled only one counts: they may differ */
  }
  bool is_lost = p->is_dropped || p->is_cut || inproc_are_apart(hub, inproc_find_port(hub, p->sender), t->port);
  if (is_lost) {
    if (t->is_pulling) { /* else its twin was here */
      if (p->is_dropped) {
        tie_lose(t, NULL);
      } else {
        tie_lose_text(t, "is cut off");
      }
    }
    return;
  }
  if (p->err.code == CAFE_INVALID) {
    t->is_pulling = false;
    t->is_refused = true;
    t->link->on_lost(t->link, &p->err);
    return;
  }
  if (p->err.code) {
    tie_lose(t, &p->err);
    return;
  }
  p->was_delivered = true;
  t->is_pulling = false;
  t->is_lost = false;
  t->failures = 0;
  t->link->log_id = p->log_id;
  t->link->on_events(t->link, p->events, p->count, p->scanned, p->head);
}

int inproc_subscribe(cafe_transport *self, cafe_link *link, cafe_err *err) {
  port *own = (port *)self;
  cafe_inproc *hub = own->hub;
  assert(own->number != 0);
  tie *t = inproc_alloc(hub, sizeof(*t));
  if (!t) {
    return inproc_no_memory(err);
  }
  t->number = ++hub->last_number;
  t->port = own;
  t->link = link;
  t->retry.fire = tie_retry;
  t->retry.user = t;
  if (map_put(hub->ties, t->number, t) != CAFE_OK) {
    inproc_free(hub, t);
    return inproc_no_memory(err);
  }
  DL_APPEND(own->ties, t);
  if (tie_send(t) != CAFE_OK) {
    inproc_tie_destroy(t);
    return inproc_no_memory(err);
  }
  link->transport_data[0] = t;
  return CAFE_OK;
}

void inproc_more(cafe_transport *self, cafe_link *link) {
  tie *t = link->transport_data[0];
  inproc_pull_stalled(((port *)self)->hub);
  if (!t->is_pulling && !t->is_refused) {
    inproc_tie_pull(t);
  }
}

void inproc_unsubscribe(cafe_transport *self, cafe_link *link) {
  tie *t = link->transport_data[0];
  if (t) {
    link->transport_data[0] = NULL;
    inproc_tell_gone((port *)self, t->number);
    inproc_tie_destroy(t);
  }
}
