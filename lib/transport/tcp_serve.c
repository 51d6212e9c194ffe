/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes in, at the one who is asked, and requests among it.
 *
 * What it keeps: what the server was given stays until it answers, or is told that nobody waits any more; then the
 * number may not come again, since numbers on a connection rise. How much one connection may have open is bounded: with
 * more it isn't read until some is answered. What all of them have open together tcp_room.c bounds.
 */
#include <utlist.h>

#include "transport/tcp_core.h"

int asked_add(asked *a, conn *c, asked_kind kind, uint64_t number) {
  a->kind = kind;
  a->number = number;
  a->conn = c;
  int code = map_put(c->asked, number, a);
  if (code == CAFE_OK && kind == ASKED_REQUEST) {
    DL_APPEND(c->requests, a);
    c->held++;
    c->held_bytes += ((held *)a)->incoming.body.size;
  } else if (code == CAFE_OK) {
    DL_APPEND(c->feeds, a);
    c->feed_count++;
    c->tcp->feed_bytes += a->size;
  }
  if (code == CAFE_OK) {
    c->asked_bytes += a->size;
    room_count(c);
  }
  return code;
}

void asked_free(asked *a) {
  conn *c = a->conn;
  (void)map_remove(c->asked, a->number);
  if (a->kind == ASKED_REQUEST) {
    DL_DELETE(c->requests, a);
    c->held--;
    c->held_bytes -= ((held *)a)->incoming.body.size;
  } else {
    DL_DELETE(c->feeds, a);
    c->feed_count--;
    c->tcp->feed_bytes -= a->size;
  }
  c->asked_bytes -= a->size;
  tcp_free(c->tcp, a);
  room_count(c);
}

static void asked_forget(asked *a) {
  cafe_server *server = a->conn->tcp->server;
  if (a->kind == ASKED_REQUEST) {
    server->ops->forget_incoming(server, &((held *)a)->incoming);
  } else if (((feed *)a)->is_asked) {
    server->ops->forget_pull(server, &((feed *)a)->pull);
  }
  asked_free(a);
}

void asked_forget_all(conn *c, bool is_told) {
  while (c->requests || c->feeds) {
    asked *a = c->requests ? c->requests : c->feeds;
    /* Who is told may close the transport: then nobody is told any more. */
    if (is_told && c->tcp->is_open) {
      asked_forget(a);
    } else {
      asked_free(a);
    }
  }
}

void asked_arrive_end(conn *c, const frame *f) {
  asked *a = map_get(c->asked, f->number);
  if (f->number == 0 || f->number > c->last_number) {
    conn_violate(c, "an end of what wasn't begun");
  } else if (a && a->kind == (f->kind == FRAME_CANCEL ? ASKED_REQUEST : ASKED_FEED)) {
    asked_forget(a);
  }
}

/* ---- requests ---- */

static void put_answer(conn *c, uint64_t number, const cafe_err *failure, cafe_slice body) {
  cafe_err err = {0};
  frame f = {.kind = FRAME_ANSWER, .number = number};
  if (failure && failure->code) {
    frame_set_failure(&f, failure);
  } else {
    f.body = body;
  }
  int code = conn_put(c, &f, &err);
  if (code == CAFE_INVALID) {
    /* It was done, only its answer doesn't fit. */
    frame_set_failure(&f, &err);
    f.code = CAFE_TIMEOUT;
    f.body = (cafe_slice){NULL, 0};
    code = conn_put(c, &f, &err);
  }
  if (code != CAFE_OK) {
    /* The answer is lost, as on a line that broke: the caller's deadline says so. A connection that isn't read ends. */
    c->has_failed = c->has_failed || code == CAFE_OVERLOADED;
    conn_touch(c);
  }
}

static void answer_request(cafe_incoming *incoming, const cafe_err *err, cafe_slice body) {
  held *h = incoming->transport_data[0];
  put_answer(h->base.conn, h->base.number, err, body);
  asked_free(&h->base);
}

static cafe_budget left_of(const frame *f, int64_t now_us) {
  bool is_endless = f->budget_us <= 0 || f->budget_us > INT64_MAX - now_us;
  return (cafe_budget){.deadline_us = is_endless ? INT64_MAX : now_us + f->budget_us,
                       .retries = f->retries < UINT32_MAX ? (uint32_t)f->retries : UINT32_MAX};
}

void held_arrive(conn *c, const frame *f) {
  tcp *self = c->tcp;
  cafe_err err;
  cafe_slice none = {NULL, 0};
  if (f->number <= c->last_number) {
    conn_violate(c, "a number that came before");
    return;
  }
  c->last_number = f->number;
  if (!tcp_offers(self, f->service)) {
    (void)cafe_fail(&err, CAFE_UNAVAILABLE, "tcp: the service %.*s isn't offered here: correct its address",
                    f->service.size < 60 ? (int)f->service.size : 60, f->service.size ? f->service.data : "");
    put_answer(c, f->number, &err, none);
    return;
  }
  size_t size = sizeof(held) + f->body.size;
  held *h = tcp_alloc(self, size);
  if (h) {
    h->base.size = size + ENTRY_SIZE;
    if (f->body.size > 0) {
      memcpy(h->body, f->body.data, f->body.size);
    }
    h->incoming.size = sizeof(h->incoming);
    h->incoming.body = (cafe_slice){h->body, f->body.size};
    h->incoming.peer = cafe_text(c->peer);
    h->incoming.budget = left_of(f, tcp_now_us(self));
    h->incoming.answer = answer_request;
    h->incoming.transport_data[0] = h;
  }
  if (!h || asked_add(&h->base, c, ASKED_REQUEST, f->number) != CAFE_OK) {
    tcp_free(self, h);
    (void)cafe_fail(&err, CAFE_UNAVAILABLE, "tcp: there is no memory to take a request");
    put_answer(c, f->number, &err, none);
    return;
  }
  self->server->ops->serve(self->server, &h->incoming);
}
