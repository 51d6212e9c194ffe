/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions, at the publisher.
 *
 * What it keeps: a subscription is a place in the log and a credit, no more. While it has credit, and its connection
 * room, the server has one pull of it; the next one begins where that ended, without being asked. A subscriber that is
 * slow gives no credit, one that isn't there takes nothing off its connection: both cost the memory of the place.
 */
#include <utlist.h>

#include "transport/tcp_core.h"

/* ---- batches ---- */

static void feed_end(feed *self, const cafe_err *why) {
  conn *c = self->base.conn;
  frame f = {.kind = FRAME_BATCH, .number = self->base.number};
  frame_set_failure(&f, why);
  if (conn_put(c, &f, NULL) != CAFE_OK) {
    c->has_failed = true; /* it would wait for ever: as the connection is lost, it asks again */
    conn_touch(c);
  }
  asked_free(&self->base);
}

/* As many of the events as a batch holds. CAFE_NOMEM; CAFE_INVALID: the first one can't be sent at all. */
static int feed_send(feed *self, uint64_t log_id, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                     uint64_t head, cafe_err *err) {
  conn *c = self->base.conn;
  tcp *t = c->tcp;
  enum { HEAD_ROOM = 256 }; /* a batch's own fields */
  batch_out out = {&t->names, &t->packed, self->pull.types, 0, 0, 0};
  out.room = c->max_frame > HEAD_ROOM ? (size_t)c->max_frame - HEAD_ROOM : 0;
  buffer_clear(&t->names);
  buffer_clear(&t->packed);
  int code = batch_put(&out, events, count, err);
  if (code != CAFE_OK) {
    return code;
  }
  if (out.taken < count) {
    if (out.taken == 0) {
      return cafe_fail(err, CAFE_INVALID,
                       "tcp: the event at %llu doesn't fit into a frame of %llu bytes: raise the "
                       "subscriber's max_frame",
                       (unsigned long long)events[0].n, (unsigned long long)c->max_frame);
    }
    scanned = events[out.taken - 1].n;
  }
  frame f = {.kind = FRAME_BATCH,
             .number = self->base.number,
             .log_id = (int64_t)log_id,
             .scanned = scanned,
             .head = head,
             .count = out.written,
             .names = buffer_bytes(&t->names),
             .events = buffer_bytes(&t->packed)};
  code = conn_put(c, &f, err);
  if (code == CAFE_OK) {
    self->credit--;
    self->pull.after = scanned;
    self->pull.log_id = log_id;
  }
  return code;
}

static void answer_pull(cafe_pull *pull, const cafe_err *err, uint64_t log_id, const cafe_stored_event *events,
                        uint32_t count, uint64_t scanned, uint64_t head) {
  feed *self = pull->transport_data[0];
  conn *c = self->base.conn;
  cafe_err failure = {0};
  self->is_asked = false;
  if (err && err->code) {
    feed_end(self, err);
    return;
  }
  if (conn_is_full(c)) {
    conn_touch(c); /* read again from the same place when there is room */
    return;
  }
  int code = feed_send(self, log_id, events, count, scanned, head, &failure);
  if (code == CAFE_INVALID) {
    feed_end(self, &failure);
  } else if (code != CAFE_OK) {
    conn_retry_soon(c);
  }
}

static void feed_pump(feed *self) {
  conn *c = self->base.conn;
  if (!self->is_asked && self->credit > 0 && !conn_is_full(c)) {
    self->is_asked = true;
    c->tcp->server->ops->pull(c->tcp->server, &self->pull);
  }
}

/* The server is called, and may answer at once: so any of them may be gone afterwards, but none is added. */
void feed_pump_all(conn *c) {
  asked *a, *next;
  DL_FOREACH_SAFE(c->feeds, a, next) {
    feed_pump((feed *)a);
    if (c->state == CONN_DEAD) {
      return;
    }
  }
}

/* ---- what the subscriber says ---- */

static void refuse(conn *c, const frame *f, cafe_code code, const char *why) {
  frame answer = {.kind = FRAME_BATCH, .number = f->number};
  cafe_err err;
  (void)cafe_fail(&err, code, "tcp: the service %.*s %s", f->service.size < 60 ? (int)f->service.size : 60,
                  f->service.size ? f->service.data : "", why);
  frame_set_failure(&answer, &err);
  if (conn_put(c, &answer, NULL) != CAFE_OK) {
    c->has_failed = true;
    conn_touch(c);
  }
}

static size_t names_size(uint32_t type_count) { return sizeof(const char *) * ((size_t)type_count + 1); }

static feed *make_feed(conn *c, const frame *f, uint32_t type_count, size_t size) {
  feed *made = tcp_alloc(c->tcp, size);
  if (!made) {
    return NULL;
  }
  char *text = (char *)made + sizeof(*made) + names_size(type_count);
  made->base.size = size + ENTRY_SIZE;
  if (f->types.size > 0) {
    memcpy(text, f->types.data, f->types.size);
  }
  for (uint32_t i = 0; i < type_count; i++) {
    made->types[i] = text;
    text += strlen(text) + 1;
  }
  made->credit = (uint32_t)f->credit;
  made->pull.size = sizeof(made->pull);
  made->pull.types = made->types;
  made->pull.partitions = (uint64_t)f->partitions;
  made->pull.shard = (uint32_t)f->shard;
  made->pull.log_id = (uint64_t)f->log_id;
  made->pull.after = f->after;
  made->pull.limit = BATCH_EVENTS;
  made->pull.answer = answer_pull;
  made->pull.transport_data[0] = made;
  made->pull.seen = f->seen;
  return made;
}

void feed_arrive(conn *c, const frame *f) {
  uint32_t type_count;
  if (f->number <= c->last_number || f->shard > UINT32_MAX || f->credit == 0 || f->credit > CREDIT ||
      f->types.size > FRAME_TYPES_MAX || !frame_texts(&type_count, f->types)) {
    conn_violate(c, "a subscription that contradicts itself, or has a number that came before");
    return;
  }
  c->last_number = f->number;
  if (!tcp_offers(c->tcp, f->service)) {
    refuse(c, f, CAFE_UNAVAILABLE, "isn't offered here: correct its address");
    return;
  }
  size_t size = sizeof(feed) + names_size(type_count) + f->types.size;
  if (c->feed_count >= FEEDS_MAX || !room_for_feed(c, size + ENTRY_SIZE)) {
    refuse(c, f, CAFE_OVERLOADED, "has too many subscriptions of one peer, or too large ones of all (max_incoming)");
    return;
  }
  feed *made = make_feed(c, f, type_count, size);
  if (!made || asked_add(&made->base, c, ASKED_FEED, f->number) != CAFE_OK) {
    tcp_free(c->tcp, made);
    refuse(c, f, CAFE_UNAVAILABLE, "has no memory for a subscription");
    return;
  }
  feed_pump(made);
}

void feed_arrive_more(conn *c, const frame *f) {
  asked *a = map_get(c->asked, f->number);
  feed *known = a && a->kind == ASKED_FEED ? (feed *)a : NULL;
  if (f->number == 0 || f->number > c->last_number || f->credit == 0 || f->credit > CREDIT ||
      (known && known->credit + f->credit > CREDIT)) {
    conn_violate(c, "more credit than there is");
  } else if (known) {
    known->credit += (uint32_t)f->credit;
    feed_pump(known);
  }
}
