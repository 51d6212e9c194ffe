/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets on their way, and what is held of them at the other end.
 *
 * What it keeps: a packet belongs to the hub alone, so no close and no crash of a node leaves one behind or takes one
 * along. What came in belongs to the port that it came to, until the server answers, forgets or closes. Word that
 * somebody is gone is never lost: it stands for a connection that broke, which both ends see.
 */
#include <utlist.h>

#include "transport/network.h"

/* ---- packets ---- */

void inproc_packet_destroy(packet *p) {
  if (p) {
    cafe_inproc *hub = p->hub;
    hub->loop->ops->timer_stop(hub->loop, &p->timer);
    DL_DELETE(hub->packets, p);
    cafe_arena_destroy(p->arena);
    inproc_free(hub, p);
  }
}

static void packet_arrive(cafe_timer *timer);

packet *inproc_packet_create(cafe_inproc *hub, packet_kind kind, uint64_t sender, uint64_t number, size_t size) {
  packet *made = inproc_alloc(hub, sizeof(*made) + size);
  if (made) {
    made->hub = hub;
    made->kind = kind;
    made->sender = sender;
    made->number = number;
    made->timer.fire = packet_arrive;
    made->timer.user = made;
    DL_APPEND(hub->packets, made);
  }
  return made;
}

static int packet_depart(packet *p) {
  cafe_inproc *hub = p->hub;
  int64_t delay_us = inproc_draw(hub, hub->faults.delay_min_us, hub->faults.delay_max_us);
  return hub->loop->ops->timer_start(hub->loop, &p->timer, hub->loop->ops->now_us(hub->loop) + delay_us, NULL);
}

int inproc_packet_send(packet *p, const port *to) {
  if (!p) {
    return CAFE_NOMEM;
  }
  cafe_inproc *hub = p->hub;
  p->arrivals = 1;
  if (p->kind != PACKET_FORGET) {
    p->is_dropped = inproc_happens(hub, hub->faults.drop);
    p->arrivals += !p->is_dropped && inproc_happens(hub, hub->faults.duplicate);
    p->is_cut = inproc_are_apart(hub, inproc_find_port(hub, p->sender), to);
  }
  int code = packet_depart(p);
  if (code != CAFE_OK) {
    inproc_packet_destroy(p);
  }
  return code;
}

void inproc_tell_gone(port *own, uint64_t number) {
  (void)inproc_packet_send(inproc_packet_create(own->hub, PACKET_FORGET, own->number, number, 0), NULL);
}

/* ---- what is held at the one who is asked ---- */

void inproc_held_destroy(held *h) {
  if (h) {
    cafe_inproc *hub = h->port->hub;
    DL_DELETE(h->port->held, h);
    cafe_arena_destroy(h->arena);
    inproc_free(hub, h);
  }
}

held *inproc_held_create(port *at, packet_kind kind, uint64_t from, size_t size) {
  held *made = inproc_alloc(at->hub, sizeof(*made) + size);
  if (made) {
    made->port = at;
    made->kind = kind;
    made->from = from;
    DL_APPEND(at->held, made);
  }
  return made;
}

void inproc_held_forget(held *h) {
  if (h->kind == PACKET_PULL) {
    h->port->server->ops->forget_pull(h->port->server, &h->pull);
  } else {
    h->port->server->ops->forget_incoming(h->port->server, &h->incoming);
  }
  inproc_held_destroy(h);
}

/* ---- arrivals ---- */

static void arrive_forget(const packet *p) {
  /* It may have overtaken what it is about. */
  packet *late;
  DL_FOREACH(p->hub->packets, late) { late->is_dropped |= late->kind == PACKET_REQUEST && late->number == p->number; }
  port *at;
  DL_FOREACH(p->hub->ports, at) {
    held *h, *next;
    DL_FOREACH_SAFE(at->held, h, next) {
      if (h->from == p->number) {
        inproc_held_forget(h);
      }
    }
  }
}

static void packet_arrive(cafe_timer *timer) {
  packet *p = timer->user;
  cafe_inproc *hub = p->hub;
  switch (p->kind) {
  case PACKET_REQUEST:
    inproc_arrive_request(p);
    break;
  case PACKET_ANSWER:
    inproc_arrive_answer(p);
    break;
  case PACKET_PULL:
    inproc_arrive_pull(p);
    break;
  case PACKET_BATCH:
    inproc_arrive_batch(p);
    break;
  case PACKET_FORGET:
    arrive_forget(p);
    break;
  }
  if (--p->arrivals == 0 || packet_depart(p) != CAFE_OK) {
    inproc_packet_destroy(p);
  }
  inproc_pull_stalled(hub);
}
