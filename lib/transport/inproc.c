/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport within one process: a hub that plays the network, as badly as it is told to.
 *
 * What it keeps: no side ever sees memory of the other. Whatever is sent is copied into a packet, a packet arrives by a
 * timer (so never inside the call that sent it), and names its two ends by numbers that are never used again. So either
 * end may cancel, close, or vanish with its node while packets are under way; what arrives for nobody is dropped.
 *
 * All faults strike at the moment of arrival, where calling back is allowed. What is lost of a request its deadline
 * ends; what is lost of a subscription makes the link pull again after a while, from link->after: the subscriber moves
 * that with what it took over, so nothing is skipped, and what comes twice it knows by its checkpoint.
 *
 * If memory for a packet is refused, a request fails and a link pulls again after a while; if there is none for that
 * either, it stalls until the hub does something next.
 */
#include "cafe/transport/inproc.h"

#include <assert.h>

#include <utlist.h>

#include "base/sized.h"
#include "transport/network.h"

void *inproc_alloc(cafe_inproc *hub, size_t size) {
  void *block = hub->allocator.resize(NULL, size, hub->allocator.user);
  if (block) {
    memset(block, 0, size);
  }
  return block;
}

void inproc_free(cafe_inproc *hub, void *block) { (void)hub->allocator.resize(block, 0, hub->allocator.user); }

int inproc_no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "inproc: memory was refused"); }

/* ---- chance ---- */

bool inproc_happens(cafe_inproc *hub, double probability) {
  /* 53 bits: every double below 1 is reached, and 1 never. */
  return probability > 0 && (double)(hub->loop->ops->random(hub->loop) >> 11) * 0x1p-53 < probability;
}

int64_t inproc_draw(cafe_inproc *hub, int64_t min, int64_t max) {
  return max <= min ? min : min + (int64_t)(hub->loop->ops->random(hub->loop) % ((uint64_t)(max - min) + 1));
}

/* ---- ports ---- */

static bool offers(const port *p, const char *service) {
  for (const char *const *name = p->number ? p->services : NULL; name && *name; name++) {
    if (strcmp(*name, service) == 0) {
      return true;
    }
  }
  return false;
}

port *inproc_find_service(const cafe_inproc *hub, const char *service) {
  port *p;
  DL_FOREACH(hub->ports, p) {
    if (offers(p, service)) {
      break;
    }
  }
  return p;
}

port *inproc_find_port(const cafe_inproc *hub, uint64_t number) {
  port *p;
  DL_FOREACH(hub->ports, p) {
    if (p->number == number) {
      break;
    }
  }
  return p;
}

static bool is_isolated(const cafe_inproc *hub, const port *p) {
  for (int i = 0; i < CUTS_MAX; i++) {
    if (hub->cuts[i][0] && offers(p, hub->cuts[i])) {
      return true;
    }
  }
  return false;
}

/* Whether nothing gets from one to the other. An end that isn't there cuts nothing. */
bool inproc_are_apart(const cafe_inproc *hub, const port *a, const port *b) {
  return a != b && ((a && is_isolated(hub, a)) || (b && is_isolated(hub, b)));
}

/* ---- the transport's methods ---- */

static int inproc_open(cafe_transport *self, cafe_loop *loop, const char *const *services, cafe_server *server,
                       cafe_err *err) {
  port *own = (port *)self;
  (void)loop; /* the hub's: one process, one thread */
  assert(own->number == 0);
  for (const char *const *name = services; *name; name++) {
    if (inproc_find_service(own->hub, *name)) {
      return cafe_fail(err, CAFE_DENIED, "inproc: service %s is offered by another node; close that first", *name);
    }
  }
  own->services = services;
  own->server = server;
  own->number = ++own->hub->last_number;
  return CAFE_OK;
}

/* Also how a node's crash is played: requests and links that weren't canceled are dropped unseen, because their memory
 * may be gone. Their links' publishers learn it, and so do the links that pulled here. */
static void inproc_close(cafe_transport *self) {
  port *own = (port *)self;
  cafe_inproc *hub = own->hub;
  while (own->calls) {
    inproc_tell_gone(own, own->calls->number);
    inproc_call_destroy(own->calls);
  }
  while (own->ties) {
    inproc_tell_gone(own, own->ties->number);
    inproc_tie_destroy(own->ties);
  }
  own->number = 0;
  while (own->held) {
    held *h = own->held;
    tie *t = h->kind == PACKET_PULL ? map_get(hub->ties, h->from) : NULL;
    if (t && t->pulls == h->pull_number) {
      t->failures = 0;
      inproc_tie_pull(t); /* finds nobody there, and begins to retry */
    }
    inproc_held_destroy(h);
  }
}

static void inproc_destroy(cafe_transport *self) {
  port *own = (port *)self;
  if (own->number) {
    inproc_close(self);
  }
  DL_DELETE(own->hub->ports, own);
  inproc_free(own->hub, own);
}

static const cafe_transport_ops inproc_ops = {
    .size = sizeof(cafe_transport_ops),
    .name = "inproc",
    .open = inproc_open,
    .request = inproc_request,
    .cancel = inproc_cancel,
    .subscribe = inproc_subscribe,
    .more = inproc_more,
    .unsubscribe = inproc_unsubscribe,
    .close = inproc_close,
    .destroy = inproc_destroy,
};

/* ---- the hub ---- */

int cafe_inproc_create(cafe_inproc **out, cafe_loop *loop, const cafe_allocator *allocator, cafe_err *err) {
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  cafe_inproc *hub = allocator->resize(NULL, sizeof(*hub), allocator->user);
  if (!hub) {
    return inproc_no_memory(err);
  }
  memset(hub, 0, sizeof(*hub));
  hub->allocator = *allocator;
  hub->loop = loop;
  hub->calls = map_create(allocator, MAP_U64);
  hub->ties = map_create(allocator, MAP_U64);
  if (!hub->calls || !hub->ties) {
    cafe_inproc_destroy(hub);
    return inproc_no_memory(err);
  }
  *out = hub;
  return CAFE_OK;
}

void cafe_inproc_destroy(cafe_inproc *hub) {
  if (!hub) {
    return;
  }
  assert(!hub->ports && "a transport outlives its hub");
  while (hub->packets) {
    inproc_packet_destroy(hub->packets);
  }
  map_destroy(hub->calls);
  map_destroy(hub->ties);
  inproc_free(hub, hub);
}

int cafe_inproc_join(cafe_transport **out, cafe_inproc *hub, cafe_err *err) {
  port *made = inproc_alloc(hub, sizeof(*made));
  if (!made) {
    return inproc_no_memory(err);
  }
  made->base.ops = &inproc_ops;
  made->hub = hub;
  DL_APPEND(hub->ports, made);
  *out = &made->base;
  return CAFE_OK;
}

void cafe_inproc_set_faults(cafe_inproc *hub, const cafe_inproc_faults *faults) {
  if (faults) {
    int code = SIZED_READ(&hub->faults, faults, cafe_inproc_faults, delay_max_us, "sizeof(cafe_inproc_faults)", NULL);
    assert(code == CAFE_OK && hub->faults.delay_min_us >= 0 && hub->faults.delay_min_us <= hub->faults.delay_max_us);
    (void)code; /* a program's mistake; none are set then */
  } else {
    memset(&hub->faults, 0, sizeof(hub->faults));
  }
}

void cafe_inproc_cut(cafe_inproc *hub, const char *service, bool is_cut) {
  int unused = -1;
  assert(strlen(service) < CUT_NAME_MAX);
  for (int i = CUTS_MAX - 1; i >= 0; i--) {
    if (strcmp(hub->cuts[i], service) == 0) {
      if (!is_cut) {
        hub->cuts[i][0] = '\0';
      }
      return;
    }
    unused = hub->cuts[i][0] ? unused : i;
  }
  if (is_cut) {
    assert(unused >= 0 && "more services are cut off than the hub can name");
    memcpy(hub->cuts[unused], service, strlen(service) + 1);
  }
}
