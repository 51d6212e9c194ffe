/* SPDX-License-Identifier: Apache-2.0 */

/* Which records are spoilt follows from the seed, the subscription and the position alone, so a repeat is spoilt too.
 */
#include "spoils.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <cmocka.h>

#include "base/hash.h"

typedef struct spoils spoils;

typedef struct spoilt_link {
  cafe_link base;
  cafe_link *outer;
  spoils *of;
  uint64_t hash; /* of the subscription */
  struct spoilt_link *prev, *next;
} spoilt_link;

struct spoils {
  cafe_transport base;
  cafe_transport *inner;
  uint64_t seed, one_in;
  spoilt_link *links;
};

static bool is_spoilt(const spoilt_link *link, uint64_t n) {
  uint64_t one_in = link->of->one_in;
  return one_in && hash_u64(link->hash + n) % one_in == 0;
}

static void on_events(cafe_link *base, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                      uint64_t head) {
  spoilt_link *link = (spoilt_link *)base;
  cafe_stored_event *copy = calloc(count + 1, sizeof *copy);
  assert_non_null(copy);
  for (uint32_t i = 0; i < count; i++) {
    copy[i] = events[i];
    if (is_spoilt(link, events[i].n))
      copy[i].data = (cafe_slice){"\xc1", 1}; /* what msgpack never uses */
  }
  link->outer->log_id = base->log_id;
  link->outer->on_events(link->outer, copy, count, scanned, head);
  free(copy);
}

static void on_lost(cafe_link *base, const cafe_err *err) {
  spoilt_link *link = (spoilt_link *)base;
  link->outer->on_lost(link->outer, err);
}

static void link_free(spoilt_link *link) {
  DL_DELETE(link->of->links, link);
  free(link);
}

static int subscribe(cafe_transport *transport, cafe_link *outer, cafe_err *err) {
  spoils *self = (spoils *)transport;
  spoilt_link *link = calloc(1, sizeof *link);
  assert_non_null(link);
  link->base = *outer;
  link->base.on_events = on_events;
  link->base.on_lost = on_lost;
  link->outer = outer;
  link->of = self;
  link->hash = self->seed;
  for (const char *at = outer->name; *at; at++)
    link->hash = hash_u64(link->hash + (unsigned char)*at);
  DL_APPEND(self->links, link);
  int code = self->inner->ops->subscribe(self->inner, &link->base, err);
  if (code)
    link_free(link);
  else
    outer->transport_data[0] = link;
  return code;
}

static void more(cafe_transport *transport, cafe_link *outer) {
  spoils *self = (spoils *)transport;
  spoilt_link *link = outer->transport_data[0];
  link->base.after = outer->after;
  self->inner->ops->more(self->inner, &link->base);
}

static void unsubscribe(cafe_transport *transport, cafe_link *outer) {
  spoils *self = (spoils *)transport;
  spoilt_link *link = outer->transport_data[0];
  if (!link)
    return;
  outer->transport_data[0] = NULL;
  self->inner->ops->unsubscribe(self->inner, &link->base);
  link_free(link);
}

static int open_transport(cafe_transport *transport, cafe_loop *loop, const char *const *services, cafe_server *server,
                          cafe_err *err) {
  spoils *self = (spoils *)transport;
  return self->inner->ops->open(self->inner, loop, services, server, err);
}

static int request(cafe_transport *transport, cafe_request *asked, cafe_err *err) {
  spoils *self = (spoils *)transport;
  return self->inner->ops->request(self->inner, asked, err);
}

static void cancel(cafe_transport *transport, cafe_request *asked) {
  spoils *self = (spoils *)transport;
  self->inner->ops->cancel(self->inner, asked);
}

static void close_transport(cafe_transport *transport) {
  spoils *self = (spoils *)transport;
  while (self->links) /* of a node that was killed */
    link_free(self->links);
  self->inner->ops->close(self->inner);
}

static void destroy(cafe_transport *transport) { free(transport); }

static const cafe_transport_ops spoils_ops = {.size = sizeof spoils_ops,
                                              .name = "spoils",
                                              .open = open_transport,
                                              .request = request,
                                              .cancel = cancel,
                                              .subscribe = subscribe,
                                              .more = more,
                                              .unsubscribe = unsubscribe,
                                              .close = close_transport,
                                              .destroy = destroy};

cafe_transport *spoils_create(cafe_transport *inner, uint64_t seed) {
  spoils *made = calloc(1, sizeof *made);
  assert_non_null(made);
  made->base.ops = &spoils_ops;
  made->inner = inner;
  made->seed = hash_u64(seed);
  return &made->base;
}

void spoils_set(cafe_transport *transport, uint64_t one_in) { ((spoils *)transport)->one_in = one_in; }
