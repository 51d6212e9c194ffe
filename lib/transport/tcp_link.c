/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions, at the subscriber.
 *
 * What it keeps: one batch is handed over at a time, and one more may lie here, so that there is work while the next is
 * on its way; a third one nobody asked for. Each pull has a number of its own, and what belongs to an older one is
 * dropped: a link that went on from another place, or another connection, isn't told old things after new ones. As long
 * as the link is there, and not refused for good, it is being worked on, or pulled, or a time for that is set.
 */
#include <utlist.h>

#include "base/sized.h"
#include "cafe/resilience.h"
#include "transport/tcp_core.h"

static bool is_ready(const endpoint *e) { return e->conn && e->conn->state == CONN_READY; }

/* ---- pulling ---- */

/* What is still to come for the last pull comes for nobody. */
static void tie_leave(tie *t) {
  if (t->conn) {
    (void)conn_put_number(t->conn, FRAME_FORGET, t->number); /* without memory it stays until the connection ends */
    t->conn = NULL;
  }
  (void)map_remove(t->tcp->ties, t->number);
  t->number = 0;
  t->credit = 0;
  buffer_clear(&t->ahead);
}

static void tie_back_off(tie *t) {
  const cafe_retry retry = {.initial_ms = RETRY_FIRST_MS, .max_ms = RETRY_LAST_MS};
  tcp *self = t->tcp;
  t->failures++;
  int64_t delay_ms = cafe_retry_delay_ms(&retry, t->failures, self->loop->ops->random(self->loop));
  due_at(self, &t->due, tcp_now_us(self) + delay_ms * 1000);
  tcp_plan(self);
}

static int put_pull(tie *t) {
  const cafe_link *link = t->link;
  tcp *self = t->tcp;
  int code = frame_put_texts(&self->names, link->types);
  if (code != CAFE_OK) {
    return code;
  }
  frame f = {.kind = FRAME_PULL,
             .number = t->number,
             .service = cafe_text(link->service),
             .types = buffer_bytes(&self->names),
             .partitions = (int64_t)link->partitions,
             .shard = link->shard,
             .log_id = (int64_t)link->log_id,
             .after = link->after,
             .seen = link->size >= SIZED_UNTIL(cafe_link, seen) ? link->seen : 0,
             .credit = CREDIT};
  return conn_put(t->endpoint->conn, &f, NULL);
}

/* Opens the subscription on the connection that is there, from the link's place. */
static void tie_pull(tie *t) {
  tcp *self = t->tcp;
  endpoint *e = t->endpoint;
  tie_leave(t);
  t->number = ++self->last_number;
  if (conn_is_full(e->conn) || map_put(self->ties, t->number, t) != CAFE_OK || put_pull(t) != CAFE_OK) {
    tie_leave(t);
    tie_back_off(t);
    return;
  }
  t->conn = e->conn;
  t->credit = CREDIT;
  t->scanned = t->link->after;
}

static void tie_want(tie *t) {
  if (is_ready(t->endpoint)) {
    tie_pull(t);
  } else {
    endpoint_need(t->endpoint);
  }
}

void tie_pull_all(endpoint *e) {
  tie *t;
  DL_FOREACH(e->ties, t) {
    if (!t->is_working && !t->is_refused) {
      tie_pull(t);
    }
  }
}

/* ---- losing ---- */

static void tie_lose(tie *t, const cafe_err *why) {
  if (!t->is_lost) {
    t->is_lost = true;
    t->link->on_lost(t->link, why); /* last: it may unsubscribe */
  }
}

static bool is_concerned(const tie *t, const conn *broken) {
  return broken ? t->conn == broken : !t->is_working && !t->is_refused && !t->is_lost;
}

void tie_lose_all(endpoint *e, conn *broken, const cafe_err *why) {
  const cafe_err kept = *why;
  tcp *self = e->tcp;
  /* Who is told may end any of them: so it is looked for anew each time, and none is found twice. */
  for (tie *t = e->ties; t && self->is_open;) {
    if (!is_concerned(t, broken)) {
      t = t->next;
      continue;
    }
    t->conn = NULL;
    tie_leave(t);
    due_at(self, &t->due, INT64_MAX);
    if (!t->is_working) {
      tie_lose(t, &kept);
    }
    t = e->ties;
  }
}

/* ---- batches ---- */

static void tie_deliver(tie *t, const frame *f) {
  tcp *self = t->tcp;
  cafe_link *link = t->link;
  cafe_err err = {0};
  if (batch_read(self->events, f, link->types, t->type_count, t->scanned, link->shard, &err) != CAFE_OK) {
    conn_violate(t->conn, err.text);
    return;
  }
  t->is_working = true;
  t->is_lost = false;
  t->failures = 0;
  t->scanned = f->scanned;
  link->log_id = (uint64_t)f->log_id;
  link->on_events(link, self->events, (uint32_t)f->count, f->scanned, f->head);
}

/* The batch comes while another one is being worked on. */
static void tie_keep(tie *t, cafe_slice bytes) {
  tcp *self = t->tcp;
  if (!t->ahead.data) {
    t->ahead = self->spare;
    self->spare.data = NULL;
    self->spare.capacity = 0;
  }
  if (buffer_set(&t->ahead, bytes) != CAFE_OK) {
    tie_leave(t); /* pulled again when that one is done */
  }
}

static void tie_deliver_ahead(tie *t) {
  frame f;
  buffer taken = t->ahead;
  tcp *self = t->tcp;
  /* The events lie in it until they are handed over, whatever becomes of the tie meanwhile. */
  t->ahead = (buffer){.allocator = taken.allocator};
  if (frame_read(&f, buffer_bytes(&taken), NULL) == CAFE_OK) { /* it was, when it came */
    tie_deliver(t, &f);
  }
  buffer_free(&self->spare);
  buffer_clear(&taken);
  self->spare = taken;
}

static void tie_due(due *item) {
  tie *t = (tie *)item;
  if (t->is_working || t->is_refused) {
    return;
  }
  if (t->conn && buffer_size(&t->ahead) > 0) {
    tie_deliver_ahead(t);
  } else if (!t->conn) {
    tie_want(t);
  }
}

/* The publisher has ended it. One that is being worked on is pulled again afterwards, and told the same. */
static void tie_fail(tie *t, const cafe_err *err) {
  t->conn = NULL;
  tie_leave(t);
  if (t->is_working) {
    return;
  }
  if (err->code == CAFE_INVALID) {
    t->is_refused = true;
    t->link->on_lost(t->link, err);
  } else {
    if (!t->is_lost) {
      tcp_log(t->tcp, CAFE_LOG_WARN, "the subscription %.60s to %.60s is interrupted: %s", t->link->name,
              t->link->service, err->text);
    }
    tie_back_off(t);
    tie_lose(t, err);
  }
}

void tie_arrive_batch(conn *c, const frame *f, cafe_slice bytes) {
  tcp *self = c->tcp;
  cafe_err failure;
  tie *t = map_get(self->ties, f->number);
  if (f->number == 0 || f->number > self->last_number || !frame_failure(&failure, f)) {
    conn_violate(c, "a batch that nobody asked for, or with an error that is none");
    return;
  }
  if (t && t->conn == c && !t->is_working && buffer_size(&t->ahead) > 0) {
    tie_deliver_ahead(t); /* that one was first; who gets it may end the tie */
    t = self->is_open ? map_get(self->ties, f->number) : NULL;
  }
  if (!t || t->conn != c) {
    return; /* it isn't wanted any more */
  }
  if (failure.code) {
    tie_fail(t, &failure);
  } else if (t->credit == 0) {
    conn_violate(c, "more batches than were asked for");
  } else {
    t->credit--;
    if (t->is_working) {
      tie_keep(t, bytes);
    } else {
      tie_deliver(t, f);
    }
  }
}

/* ---- the transport's methods ---- */

/* What the publisher would take for nonsense is refused here. */
static int check_types(uint32_t *count, const cafe_link *link, cafe_err *err) {
  size_t size = 0;
  for (*count = 0; link->types[*count]; ++*count) {
    size_t length = strlen(link->types[*count]);
    size += length + 1;
    if (length == 0 || size > FRAME_TYPES_MAX) {
      return cafe_fail(err, CAFE_INVALID,
                       "tcp: the subscription %.60s has a type without a name, or more than %d bytes "
                       "of names",
                       link->name, FRAME_TYPES_MAX);
    }
  }
  return CAFE_OK;
}

int tie_begin(cafe_transport *transport, cafe_link *link, cafe_err *err) {
  tcp *self = (tcp *)transport;
  endpoint *e = map_get_bytes(self->services, cafe_text(link->service));
  if (!e) {
    return cafe_fail(err, CAFE_UNAVAILABLE,
                     "tcp: the service %.60s isn't among the peers: add it (cafe_tcp_options.peers)", link->service);
  }
  uint32_t type_count;
  int code = check_types(&type_count, link, err);
  if (code != CAFE_OK) {
    return code;
  }
  tie *t = tcp_alloc(self, sizeof(*t));
  if (!t || due_add(self, &t->due, tie_due, tcp_now_us(self)) != CAFE_OK) {
    tcp_free(self, t);
    return tcp_no_memory(err);
  }
  t->tcp = self;
  t->endpoint = e;
  t->link = link;
  t->ahead.allocator = &self->allocator;
  t->type_count = type_count;
  DL_APPEND(e->ties, t);
  link->transport_data[0] = t;
  tcp_plan(self);
  return CAFE_OK;
}

void tie_more(cafe_transport *transport, cafe_link *link) {
  tie *t = link->transport_data[0];
  tcp *self = (tcp *)transport;
  if (!t->is_working || t->is_refused) {
    return;
  }
  t->is_working = false;
  frame f = {.kind = FRAME_MORE, .number = t->number, .credit = 1};
  bool goes_on = t->conn && link->after == t->scanned && conn_put(t->conn, &f, NULL) == CAFE_OK;
  t->credit += goes_on;
  if (!goes_on) {
    tie_leave(t);
  }
  /* A batch that is here already, or a pull, is the turn's: nothing is called back from here. */
  if (!goes_on || buffer_size(&t->ahead) > 0) {
    due_at(self, &t->due, tcp_now_us(self));
  }
  tcp_plan(self);
}

void tie_drop(tie *t) {
  tcp *self = t->tcp;
  due_remove(self, &t->due);
  (void)map_remove(self->ties, t->number);
  DL_DELETE(t->endpoint->ties, t);
  buffer_free(&t->ahead);
  tcp_free(self, t);
}

void tie_end(cafe_transport *transport, cafe_link *link) {
  tie *t = link->transport_data[0];
  (void)transport;
  if (t) {
    link->transport_data[0] = NULL;
    tie_leave(t);
    tie_drop(t);
  }
}
