/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is repeated is copied when it comes: a request with its bytes, a batch with its events. A repeat of a request is
 * given a second to be answered, so that it isn't refused for its age alone; its answer goes nowhere.
 */
#include "repeats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <cmocka.h>

enum { MORE_TIMES_MAX = 4 };

static const int64_t LATER_MAX_US = INT64_C(3) * 86400 * 1000000;
static const int64_t ANSWER_US = 1000000;

typedef struct repeats repeats;

/* One more time, of a request or of a batch. */
typedef struct repeat {
  cafe_timer timer;
  repeats *of;
  struct repeated_link *link; /* NULL: a request */
  cafe_incoming incoming;
  cafe_arena *arena;
  cafe_stored_event *events;
  uint32_t count;
  uint64_t scanned, head;
  struct repeat *prev, *next;
} repeat;

typedef struct repeated_link {
  cafe_link base;
  cafe_link *outer;
  repeats *of;
  repeat *last; /* the batch before */
  struct repeated_link *prev, *next;
} repeated_link;

struct repeats {
  cafe_transport base;
  cafe_transport *inner;
  cafe_loop *world;
  cafe_server server, *outer;
  repeat *waiting; /* with a timer, or served */
  repeated_link *links;
  repeats_counts counts;
};

static void *make(size_t size) {
  void *made = calloc(1, size);
  assert_non_null(made);
  return made;
}

static uint64_t draw(repeats *self, uint64_t below) { return self->world->ops->random(self->world) % below; }

static void repeat_free(repeat *r) {
  if (!r)
    return;
  r->of->world->ops->timer_stop(r->of->world, &r->timer);
  cafe_arena_destroy(r->arena);
  free(r);
}

static void forget(repeat *r) {
  DL_DELETE(r->of->waiting, r);
  repeat_free(r);
}

/* ---- requests ---- */

static void answer(cafe_incoming *incoming, const cafe_err *err, cafe_slice body) {
  (void)err, (void)body;
  forget(incoming->transport_data[0]);
}

static void come_again(cafe_timer *timer) {
  repeat *r = timer->user;
  repeats *self = r->of;
  self->counts.repeats++;
  if (r->link) {
    r->link->outer->on_events(r->link->outer, r->events, r->count, r->scanned, r->head);
    forget(r);
    return;
  }
  r->incoming.budget.deadline_us = self->world->ops->now_us(self->world) + ANSWER_US;
  self->outer->ops->serve(self->outer, &r->incoming);
}

static repeat *repeat_make(repeats *self) {
  repeat *made = make(sizeof *made);
  made->of = self;
  made->timer.fire = come_again;
  made->timer.user = made;
  made->arena = cafe_arena_create(NULL);
  assert_non_null(made->arena);
  return made;
}

static void come_later(repeat *r) {
  repeats *self = r->of;
  int64_t due_us = self->world->ops->now_us(self->world) + 1 + (int64_t)draw(self, (uint64_t)LATER_MAX_US);
  DL_APPEND(self->waiting, r);
  assert_int_equal(self->world->ops->timer_start(self->world, &r->timer, due_us, NULL), CAFE_OK);
}

static repeats *self_of_server(cafe_server *server) {
  return (repeats *)(void *)((char *)server - offsetof(repeats, server));
}

static void serve(cafe_server *server, cafe_incoming *incoming) {
  repeats *self = self_of_server(server);
  self->counts.requests++;
  for (uint64_t times = draw(self, MORE_TIMES_MAX + 1); times > 0; times--) {
    repeat *r = repeat_make(self);
    assert_int_equal(cafe_arena_copy(&r->incoming.body, r->arena, incoming->body), CAFE_OK);
    r->incoming.size = sizeof r->incoming;
    r->incoming.answer = answer;
    r->incoming.transport_data[0] = r;
    come_later(r);
  }
  self->outer->ops->serve(self->outer, incoming);
}

static void pull(cafe_server *server, cafe_pull *asked) {
  repeats *self = self_of_server(server);
  self->outer->ops->pull(self->outer, asked);
}

static void forget_incoming(cafe_server *server, cafe_incoming *incoming) {
  repeats *self = self_of_server(server);
  self->outer->ops->forget_incoming(self->outer, incoming);
}

static void forget_pull(cafe_server *server, cafe_pull *asked) {
  repeats *self = self_of_server(server);
  self->outer->ops->forget_pull(self->outer, asked);
}

static const cafe_server_ops server_ops = {sizeof server_ops, serve, pull, forget_incoming, forget_pull};

static int request(cafe_transport *transport, cafe_request *asked, cafe_err *err) {
  repeats *self = (repeats *)transport;
  return self->inner->ops->request(self->inner, asked, err);
}

static void cancel(cafe_transport *transport, cafe_request *asked) {
  repeats *self = (repeats *)transport;
  self->inner->ops->cancel(self->inner, asked);
}

/* ---- batches ---- */

static void copy_events(repeat *to, const cafe_stored_event *events, uint32_t count) {
  to->events = cafe_arena_alloc(to->arena, (count + 1) * sizeof *to->events);
  assert_non_null(to->events);
  to->count = count;
  for (uint32_t i = 0; i < count; i++) {
    cafe_slice aggregate, type;
    to->events[i] = events[i];
    assert_int_equal(cafe_arena_copy(&aggregate, to->arena, cafe_text(events[i].aggregate)), CAFE_OK);
    assert_int_equal(cafe_arena_copy(&type, to->arena, cafe_text(events[i].type)), CAFE_OK);
    assert_int_equal(cafe_arena_copy(&to->events[i].trace, to->arena, events[i].trace), CAFE_OK);
    assert_int_equal(cafe_arena_copy(&to->events[i].data, to->arena, events[i].data), CAFE_OK);
    assert_int_equal(cafe_arena_copy(&to->events[i].meta, to->arena, events[i].meta), CAFE_OK);
    to->events[i].aggregate = aggregate.data;
    to->events[i].type = type.data;
  }
}

static repeat *keep_batch(repeated_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                          uint64_t head) {
  repeat *kept = repeat_make(link->of);
  copy_events(kept, events, count);
  kept->link = link;
  kept->scanned = scanned;
  kept->head = head;
  return kept;
}

/* The batch before, and behind it this one. */
static void deliver_both(repeated_link *link, const repeat *batch) {
  const repeat *last = link->last;
  cafe_stored_event *both = make((last->count + batch->count + 1) * sizeof *both);
  memcpy(both, last->events, last->count * sizeof *both);
  memcpy(both + last->count, batch->events, batch->count * sizeof *both);
  link->of->counts.repeats++;
  link->outer->on_events(link->outer, both, last->count + batch->count, batch->scanned, batch->head);
  free(both);
}

static void on_events(cafe_link *base, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                      uint64_t head) {
  repeated_link *link = (repeated_link *)base;
  repeats *self = link->of;
  repeat *batch = keep_batch(link, events, count, scanned, head);
  bool is_twin = link->last && link->last->scanned >= scanned;
  self->counts.batches++;
  link->outer->log_id = base->log_id;
  for (uint64_t times = draw(self, MORE_TIMES_MAX + 1); times > 0; times--)
    come_later(keep_batch(link, events, count, scanned, head));
  if (link->last && !is_twin && draw(self, 2))
    deliver_both(link, batch);
  else
    link->outer->on_events(link->outer, batch->events, batch->count, scanned, head);
  repeat_free(is_twin ? batch : link->last);
  link->last = is_twin ? link->last : batch;
}

static void on_lost(cafe_link *base, const cafe_err *err) {
  repeated_link *link = (repeated_link *)base;
  link->outer->on_lost(link->outer, err);
}

static void link_free(repeated_link *link) {
  repeat *r, *next;
  DL_FOREACH_SAFE(link->of->waiting, r, next) {
    if (r->link == link)
      forget(r);
  }
  DL_DELETE(link->of->links, link);
  repeat_free(link->last);
  free(link);
}

static int subscribe(cafe_transport *transport, cafe_link *outer, cafe_err *err) {
  repeats *self = (repeats *)transport;
  repeated_link *link = make(sizeof *link);
  link->base = *outer;
  link->base.on_events = on_events;
  link->base.on_lost = on_lost;
  link->outer = outer;
  link->of = self;
  DL_APPEND(self->links, link);
  int code = self->inner->ops->subscribe(self->inner, &link->base, err);
  if (code)
    link_free(link);
  else
    outer->transport_data[0] = link;
  return code;
}

static void more(cafe_transport *transport, cafe_link *outer) {
  repeats *self = (repeats *)transport;
  repeated_link *link = outer->transport_data[0];
  link->base.after = outer->after;
  self->inner->ops->more(self->inner, &link->base);
}

static void unsubscribe(cafe_transport *transport, cafe_link *outer) {
  repeats *self = (repeats *)transport;
  repeated_link *link = outer->transport_data[0];
  if (!link)
    return;
  outer->transport_data[0] = NULL;
  self->inner->ops->unsubscribe(self->inner, &link->base);
  link_free(link);
}

/* ---- life ---- */

static int open_transport(cafe_transport *transport, cafe_loop *loop, const char *const *services, cafe_server *server,
                          cafe_err *err) {
  repeats *self = (repeats *)transport;
  self->outer = server;
  return self->inner->ops->open(self->inner, loop, services, &self->server, err);
}

static void close_transport(cafe_transport *transport) {
  repeats *self = (repeats *)transport;
  while (self->waiting)
    forget(self->waiting);
  while (self->links) /* of a node that was killed */
    link_free(self->links);
  self->inner->ops->close(self->inner);
}

static void destroy(cafe_transport *transport) { free(transport); }

static const cafe_transport_ops repeats_ops = {.size = sizeof repeats_ops,
                                               .name = "repeats",
                                               .open = open_transport,
                                               .request = request,
                                               .cancel = cancel,
                                               .subscribe = subscribe,
                                               .more = more,
                                               .unsubscribe = unsubscribe,
                                               .close = close_transport,
                                               .destroy = destroy};

cafe_transport *repeats_create(cafe_transport *inner, cafe_loop *world) {
  repeats *made = make(sizeof *made);
  made->base.ops = &repeats_ops;
  made->inner = inner;
  made->world = world;
  made->server.ops = &server_ops;
  return &made->base;
}

void repeats_count(const cafe_transport *transport, repeats_counts *out) {
  *out = ((const repeats *)transport)->counts;
}
