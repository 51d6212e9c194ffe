/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests, at the one who asks.
 *
 * What it keeps: a request ends once, by the first of answer, deadline, a lost connection and cancel; what comes later
 * finds its number gone. While it waits for a connection, or all of its bytes for being written, it surely wasn't
 * asked, and CAFE_UNAVAILABLE says so; from the first byte on nobody knows, and it is CAFE_TIMEOUT.
 */
#include <utlist.h>

#include "transport/tcp_core.h"

/* ---- the end ---- */

static call **list_of(call *c) {
  return c->conn ? &c->conn->calls : c->endpoint && !c->is_late ? &c->endpoint->waiting : &c->tcp->unsent;
}

static void count_waiting(call *c, uint32_t step) {
  if (!c->conn && c->endpoint && !c->is_late) {
    c->endpoint->waiting_count += step;
  }
}

static void call_unlist(call *c) {
  call **list = list_of(c);
  DL_DELETE(*list, c);
  count_waiting(c, UINT32_MAX);
}

static void call_enlist(call *c) {
  call **list = list_of(c);
  DL_APPEND(*list, c);
  count_waiting(c, 1);
}

void call_drop(call *c) {
  tcp *self = c->tcp;
  call_unlist(c);
  due_remove(self, &c->due);
  (void)map_remove(self->calls, c->number);
  tcp_free(self, c);
}

static void call_end(call *c, const cafe_err *err, cafe_slice answer) {
  cafe_request *request = c->request;
  call_drop(c);
  request->transport_data[0] = NULL;
  request->done(request, err, answer);
}

static void call_fail(call *c, const cafe_err *err) { call_end(c, err, (cafe_slice){NULL, 0}); }

static void call_due(due *item) {
  call *c = (call *)item;
  const char *service = c->request->service;
  cafe_err err;
  if (!c->endpoint) {
    (void)cafe_fail(&err, CAFE_UNAVAILABLE,
                    "tcp: the service %.60s isn't among the peers: add it (cafe_tcp_options.peers)", service);
  } else if (c->conn || c->is_late) {
    (void)cafe_fail(&err, CAFE_TIMEOUT, "tcp: the service %.60s gave no answer by the deadline", service);
  } else if (c->endpoint->conn && c->endpoint->conn->state == CONN_READY) {
    (void)cafe_fail(&err, CAFE_UNAVAILABLE,
                    "tcp: %s takes too slowly what it is sent: nothing was asked by the deadline", c->endpoint->text);
  } else {
    (void)cafe_fail(&err, CAFE_UNAVAILABLE, "tcp: no connection to %s (%s) by the deadline", c->endpoint->text,
                    c->endpoint->services);
  }
  call_fail(c, &err);
}

void call_fail_waiting(endpoint *e, const cafe_err *why) {
  cafe_err err = *why;
  /* Those alone that wait now: who is called may ask again. */
  for (uint64_t last = e->tcp->last_number; e->waiting && e->waiting->number <= last;) {
    call_fail(e->waiting, &err);
  }
}

void call_fail_asked(conn *c, const cafe_err *why) {
  cafe_err unknown;
  (void)cafe_fail_detail(&unknown, CAFE_TIMEOUT, why->detail, "%s; whether it was done isn't known", why->text);
  while (c->calls) {
    if (c->tcp->is_open) {
      call_fail(c->calls, c->offered > c->calls->begins_at ? &unknown : why);
    } else {
      call_drop(c->calls); /* who was called closed the transport */
    }
  }
}

/* ---- asking ---- */

/* Writes the request on its endpoint's connection, which is there. */
static int call_send(call *c, cafe_err *err) {
  conn *at = c->endpoint->conn;
  const cafe_request *request = c->request;
  const cafe_budget *budget = &request->budget;
  int64_t left_us = budget->deadline_us == INT64_MAX ? 0 : budget->deadline_us - tcp_now_us(c->tcp);
  frame f = {.kind = FRAME_REQUEST,
             .number = c->number,
             .service = cafe_text(request->service),
             .key = (int64_t)request->key,
             .budget_us = left_us > 0 || budget->deadline_us == INT64_MAX ? left_us : 1,
             .retries = budget->retries,
             .body = request->body};
  uint64_t begins_at = at->out_begin + buffer_size(&at->out);
  int code = conn_put(at, &f, err);
  if (code == CAFE_OK) {
    c->begins_at = begins_at;
    c->conn = at;
  }
  return code;
}

static bool is_ready(const endpoint *e) { return e->conn && e->conn->state == CONN_READY; }

void call_send_waiting(endpoint *e) {
  while (e->waiting && is_ready(e) && !conn_is_full(e->conn)) {
    cafe_err err = {0};
    call *c = e->waiting;
    call_unlist(c);
    int code = call_send(c, &err);
    call_enlist(c);
    if (code != CAFE_OK) {
      err.code = code == CAFE_NOMEM ? CAFE_UNAVAILABLE : code;
      call_fail(c, &err);
    }
  }
}

static int check_room(const tcp *self, const endpoint *e, const cafe_request *request, cafe_err *err) {
  if (request->body.size > self->max_frame) {
    return cafe_fail(err, CAFE_INVALID, "tcp: a request of %zu bytes is longer than a frame may be (max_frame)",
                     request->body.size);
  }
  if (e && (is_ready(e) ? conn_is_full(e->conn) : e->waiting_count >= WAITING_MAX)) {
    return cafe_fail(err, CAFE_OVERLOADED, "tcp: too much waits for %s (%s) already", e->text, e->services);
  }
  return CAFE_OK;
}

int call_begin(cafe_transport *transport, cafe_request *request, cafe_err *err) {
  tcp *self = (tcp *)transport;
  endpoint *e = map_get_bytes(self->services, cafe_text(request->service));
  int code = check_room(self, e, request, err);
  if (code != CAFE_OK) {
    return code;
  }
  call *c = tcp_alloc(self, sizeof(*c));
  if (!c) {
    return tcp_no_memory(err);
  }
  int64_t now_us = tcp_now_us(self);
  c->tcp = self;
  c->number = ++self->last_number;
  c->endpoint = e;
  c->request = request;
  c->is_late = request->budget.deadline_us <= now_us;
  if (due_add(self, &c->due, call_due, e ? request->budget.deadline_us : now_us) != CAFE_OK ||
      map_put(self->calls, c->number, c) != CAFE_OK) {
    due_remove(self, &c->due);
    tcp_free(self, c);
    return tcp_no_memory(err);
  }
  if (e && is_ready(e) && !e->waiting && !c->is_late) {
    code = call_send(c, err);
  }
  call_enlist(c);
  if (code != CAFE_OK) {
    call_drop(c);
    return code;
  }
  request->transport_data[0] = c;
  if (e && !c->is_late) {
    endpoint_need(e);
  }
  tcp_plan(self);
  return CAFE_OK;
}

void call_cancel(cafe_transport *transport, cafe_request *request) {
  call *c = request->transport_data[0];
  (void)transport;
  if (c) {
    request->transport_data[0] = NULL;
    if (c->conn) {
      (void)conn_put_number(c->conn, FRAME_CANCEL, c->number); /* without memory it is served for nobody */
    }
    call_drop(c);
  }
}

void call_arrive_answer(conn *at, const frame *f) {
  call *c = map_get(at->tcp->calls, f->number);
  cafe_err err;
  if (f->number == 0 || f->number > at->tcp->last_number || !frame_failure(&err, f)) {
    conn_violate(at, "an answer to what was never asked, or with an error that is none");
  } else if (c && c->conn == at) {
    call_end(c, err.code ? &err : NULL, err.code ? (cafe_slice){NULL, 0} : f->body);
  }
}
