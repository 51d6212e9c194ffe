/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests.
 *
 * What it keeps: a call ends once, by the first of answer, deadline and cancel; whatever comes later finds its number
 * gone. Only where nobody offers the service is it said that surely nothing was done; of all that is lost on the way it
 * isn't known, so the deadline says so.
 */
#include <assert.h>

#include <utlist.h>

#include "transport/network.h"

void inproc_call_destroy(call *c) {
  cafe_inproc *hub = c->port->hub;
  hub->loop->ops->timer_stop(hub->loop, &c->deadline);
  (void)map_remove(hub->calls, c->number);
  DL_DELETE(c->port->calls, c);
  inproc_free(hub, c);
}

static void call_end(call *c, const cafe_err *err, cafe_slice answer) {
  cafe_request *request = c->request;
  inproc_call_destroy(c);
  request->transport_data[0] = NULL;
  request->done(request, err, answer);
}

static void call_expire(cafe_timer *timer) {
  call *c = timer->user;
  cafe_err err;
  (void)cafe_fail(&err, CAFE_TIMEOUT, "inproc: service %s gave no answer by the deadline", c->request->service);
  call_end(c, &err, (cafe_slice){NULL, 0});
}

/* ---- at the one who is asked ---- */

static void answer_request(cafe_incoming *incoming, const cafe_err *err, cafe_slice body) {
  held *h = incoming->transport_data[0];
  cafe_inproc *hub = h->port->hub;
  const call *c = map_get(hub->calls, h->from);
  packet *p = c ? inproc_packet_create(hub, PACKET_ANSWER, h->port->number, h->from, body.size) : NULL;
  if (p) {
    if (err) {
      p->err = *err;
    }
    if (body.size) {
      memcpy(p->bytes, body.data, body.size);
    }
    p->body = (cafe_slice){p->bytes, body.size};
    (void)inproc_packet_send(p, c->port);
  }
  inproc_held_destroy(h);
}

void inproc_arrive_request(const packet *p) {
  cafe_inproc *hub = p->hub;
  port *to = inproc_find_service(hub, p->service);
  call *c = map_get(hub->calls, p->number);
  if (p->is_dropped || p->is_cut || inproc_are_apart(hub, inproc_find_port(hub, p->sender), to)) {
    return;
  }
  if (!to) {
    if (c) {
      cafe_err err;
      (void)cafe_fail(&err, CAFE_UNAVAILABLE, "inproc: nobody offers service %s", p->service);
      call_end(c, &err, (cafe_slice){NULL, 0});
    }
    return;
  }
  held *h = inproc_held_create(to, PACKET_REQUEST, p->number, p->body.size);
  if (!h) {
    return; /* as if it were lost */
  }
  if (p->body.size) {
    memcpy(h->body, p->body.data, p->body.size);
  }
  h->incoming.size = sizeof(h->incoming);
  h->incoming.body = (cafe_slice){h->body, p->body.size};
  h->incoming.budget = p->budget;
  h->incoming.answer = answer_request;
  h->incoming.transport_data[0] = h;
  to->server->ops->serve(to->server, &h->incoming);
}

/* ---- at the one who asks ---- */

void inproc_arrive_answer(const packet *p) {
  call *c = map_get(p->hub->calls, p->number);
  if (c && !p->is_dropped && !p->is_cut && !inproc_are_apart(p->hub, inproc_find_port(p->hub, p->sender), c->port)) {
    call_end(c, p->err.code ? &p->err : NULL, p->body);
  }
}

int inproc_request(cafe_transport *self, cafe_request *request, cafe_err *err) {
  port *own = (port *)self;
  cafe_inproc *hub = own->hub;
  assert(own->number != 0);
  inproc_pull_stalled(hub);
  size_t name_size = strlen(request->service) + 1;
  call *c = inproc_alloc(hub, sizeof(*c));
  packet *p =
      c ? inproc_packet_create(hub, PACKET_REQUEST, own->number, ++hub->last_number, request->body.size + name_size)
        : NULL;
  if (!p) {
    goto fail;
  }
  if (request->body.size) {
    memcpy(p->bytes, request->body.data, request->body.size);
  }
  memcpy(p->bytes + request->body.size, request->service, name_size);
  p->body = (cafe_slice){p->bytes, request->body.size};
  p->service = p->bytes + request->body.size;
  p->budget = request->budget;

  c->number = p->number;
  c->port = own;
  c->request = request;
  c->deadline.fire = call_expire;
  c->deadline.user = c;
  if (map_put(hub->calls, c->number, c) != CAFE_OK) {
    inproc_packet_destroy(p);
    goto fail;
  }
  DL_APPEND(own->calls, c);
  if (hub->loop->ops->timer_start(hub->loop, &c->deadline, request->budget.deadline_us, NULL) != CAFE_OK) {
    inproc_packet_destroy(p);
    inproc_call_destroy(c);
    return inproc_no_memory(err);
  }
  if (inproc_packet_send(p, inproc_find_service(hub, request->service)) != CAFE_OK) {
    inproc_call_destroy(c);
    return inproc_no_memory(err);
  }
  request->transport_data[0] = c;
  return CAFE_OK;

fail:
  inproc_free(hub, c);
  return inproc_no_memory(err);
}

void inproc_cancel(cafe_transport *self, cafe_request *request) {
  call *c = request->transport_data[0];
  if (c) {
    request->transport_data[0] = NULL;
    inproc_tell_gone((port *)self, c->number);
    inproc_call_destroy(c);
  }
}
