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
 * that with what it took over, so nothing is skipped, and what comes twice it knows by its checkpoint. A link has one
 * pull outstanding; a batch that answers an older one is dropped, so that batches never go back. Only a batch that was
 * itself doubled comes without having been asked for.
 *
 * If memory for a packet is refused, a request fails and a link stalls: it is tried again with whatever the hub does
 * next.
 */
#include "cafe/transport/inproc.h"

#include <assert.h>

#include <utlist.h>

#include "base/map.h"
#include "cafe/sys/loop.h"
#include "cafe/sys/transport.h"

enum {
  PULL_LIMIT = 256, /* events in a batch: some 100 KB, and a commit of that size is still cheap */
  RETRY_FIRST_US = 10000,
  RETRY_LAST_US = 1000000,
  CUTS_MAX = 32,
  CUT_NAME_MAX = 64
};

typedef enum packet_kind {
  PACKET_REQUEST = 1, /* to a service */
  PACKET_ANSWER = 2,  /* to a call */
  PACKET_PULL = 3,    /* to a service */
  PACKET_BATCH = 4,   /* to a tie */
  PACKET_FORGET = 5   /* to whoever holds something for a call or a tie: the other end is gone */
} packet_kind;

/* One node's end. Opened again it has another number, so that nothing from its earlier life reaches it. */
typedef struct port {
  cafe_transport base;
  cafe_inproc *hub;
  uint64_t number; /* 0: closed */
  const char *const *services;
  cafe_server *server;
  struct call *calls;
  struct tie *ties;
  struct held *held;
  struct port *prev, *next;
} port;

/* A request at the one who asks. */
typedef struct call {
  uint64_t number;
  port *port;
  cafe_request *request;
  cafe_timer deadline;
  struct call *prev, *next;
} call;

/* A subscription at the subscriber. */
typedef struct tie {
  uint64_t number;
  port *port;
  cafe_link *link;
  cafe_timer retry;
  uint64_t pulls;    /* sent so far: the number of the last one */
  uint32_t failures; /* since the last batch */
  bool is_pulling;   /* a pull is outstanding, or a retry is set */
  bool is_lost;      /* and the link was told so */
  bool is_refused;   /* for good */
  bool is_stalled;
  struct tie *prev, *next;
} tie;

/* What came in at the one who is asked, until it is answered. */
typedef struct held {
  port *port;
  packet_kind kind; /* REQUEST or PULL */
  uint64_t from;    /* call or tie */
  uint64_t pull_number;
  cafe_arena *arena; /* PULL: the types */
  cafe_incoming incoming;
  cafe_pull pull;
  struct held *prev, *next;
  char body[];
} held;

typedef struct packet {
  cafe_timer timer;
  cafe_inproc *hub;
  packet_kind kind;
  uint64_t sender; /* a port */
  uint64_t number; /* call or tie */
  uint64_t pull_number;
  unsigned arrivals;
  bool is_dropped;
  bool is_cut;
  bool was_delivered; /* BATCH: to the link; its twin may be too */
  struct packet *prev, *next;

  int64_t deadline_us; /* REQUEST */
  const char *service; /* REQUEST: behind the body */
  cafe_err err;        /* ANSWER, BATCH */
  cafe_slice body;     /* REQUEST, ANSWER: in bytes */
  cafe_arena *arena;   /* BATCH: the events */
  const cafe_stored_event *events;
  uint32_t count;
  uint64_t log_id;
  uint64_t scanned;
  uint64_t head;
  char bytes[];
} packet;

struct cafe_inproc {
  cafe_allocator allocator;
  cafe_loop *loop;
  uint64_t last_number;
  port *ports;
  packet *packets;
  map *calls;
  map *ties;
  cafe_inproc_faults faults;
  char cuts[CUTS_MAX][CUT_NAME_MAX];
  bool has_stalled;
};

static void *hub_alloc(cafe_inproc *hub, size_t size) {
  void *block = hub->allocator.resize(hub->allocator.user, NULL, size);
  if (block) {
    memset(block, 0, size);
  }
  return block;
}

static void hub_free(cafe_inproc *hub, void *block) { (void)hub->allocator.resize(hub->allocator.user, block, 0); }

static int no_memory(cafe_err *err) { return cafe_fail(err, CAFE_NOMEM, "inproc: memory was refused"); }

/* ---- chance ---- */

static bool happens(cafe_inproc *hub, double probability) {
  /* 53 bits: every double below 1 is reached, and 1 never. */
  return probability > 0 && (double)(hub->loop->ops->random(hub->loop) >> 11) * 0x1p-53 < probability;
}

static int64_t draw_between(cafe_inproc *hub, int64_t min, int64_t max) {
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

static port *find_service(const cafe_inproc *hub, const char *service) {
  port *p;
  DL_FOREACH(hub->ports, p) {
    if (offers(p, service)) {
      break;
    }
  }
  return p;
}

static port *find_port(const cafe_inproc *hub, uint64_t number) {
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
static bool are_apart(const cafe_inproc *hub, const port *a, const port *b) {
  return a != b && ((a && is_isolated(hub, a)) || (b && is_isolated(hub, b)));
}

/* ---- packets ---- */

static void packet_destroy(packet *p) {
  if (p) {
    cafe_inproc *hub = p->hub;
    hub->loop->ops->timer_stop(hub->loop, &p->timer);
    DL_DELETE(hub->packets, p);
    cafe_arena_destroy(p->arena);
    hub_free(hub, p);
  }
}

static void packet_arrive(cafe_timer *timer);

static packet *packet_create(cafe_inproc *hub, packet_kind kind, uint64_t sender, uint64_t number, size_t size) {
  packet *made = hub_alloc(hub, sizeof(*made) + size);
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
  int64_t delay_us = draw_between(hub, hub->faults.delay_min_us, hub->faults.delay_max_us);
  return hub->loop->ops->timer_start(hub->loop, &p->timer, hub->loop->ops->now_us(hub->loop) + delay_us, NULL);
}

/* Takes the packet, also on failure: CAFE_NOMEM, and it is gone. p NULL: there was no memory for it already. */
static int packet_send(packet *p, const port *to) {
  if (!p) {
    return CAFE_NOMEM;
  }
  cafe_inproc *hub = p->hub;
  p->arrivals = 1;
  if (p->kind != PACKET_FORGET) {
    p->is_dropped = happens(hub, hub->faults.drop);
    p->arrivals += !p->is_dropped && happens(hub, hub->faults.duplicate);
    p->is_cut = are_apart(hub, find_port(hub, p->sender), to);
  }
  int code = packet_depart(p);
  if (code != CAFE_OK) {
    packet_destroy(p);
  }
  return code;
}

/* ---- links at the subscriber ---- */

static void tie_pull(tie *t) {
  cafe_inproc *hub = t->port->hub;
  packet *p = packet_create(hub, PACKET_PULL, t->port->number, t->number, 0);
  if (p) {
    p->pull_number = t->pulls + 1;
  }
  t->is_pulling = true;
  t->is_stalled = packet_send(p, find_service(hub, t->link->service)) != CAFE_OK;
  if (t->is_stalled) {
    hub->has_stalled = true;
  } else {
    t->pulls++;
  }
}

static void tie_retry(cafe_timer *timer) { tie_pull(timer->user); }

/* The outstanding pull came to nothing: another one after a while. Jittered in full, as AWS's study advises (Brooker,
 * "Exponential Backoff And Jitter", 2015). reason NULL: nobody need know. */
static void tie_lose(tie *t, const cafe_err *reason) {
  cafe_inproc *hub = t->port->hub;
  int64_t most_us = t->failures < 7 ? (int64_t)RETRY_FIRST_US << t->failures : RETRY_LAST_US;
  t->failures++;
  t->pulls++; /* what still comes for the one that is lost, comes for nobody */
  int64_t at_us =
      hub->loop->ops->now_us(hub->loop) + draw_between(hub, 0, most_us < RETRY_LAST_US ? most_us : RETRY_LAST_US);
  t->is_pulling = true;
  t->is_stalled = hub->loop->ops->timer_start(hub->loop, &t->retry, at_us, NULL) != CAFE_OK;
  hub->has_stalled |= t->is_stalled;
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

static void tie_destroy(tie *t) {
  cafe_inproc *hub = t->port->hub;
  hub->loop->ops->timer_stop(hub->loop, &t->retry);
  (void)map_remove(hub->ties, t->number);
  DL_DELETE(t->port->ties, t);
  hub_free(hub, t);
}

static void pull_stalled(cafe_inproc *hub) {
  if (!hub->has_stalled) {
    return;
  }
  hub->has_stalled = false;
  for (map_entry *e = map_first(hub->ties); e; e = map_next(e)) {
    tie *t = map_value(e);
    if (t->is_stalled) {
      tie_pull(t);
    }
  }
}

/* ---- what is held at the one who is asked ---- */

static void held_destroy(held *h) {
  if (h) {
    cafe_inproc *hub = h->port->hub;
    DL_DELETE(h->port->held, h);
    cafe_arena_destroy(h->arena);
    hub_free(hub, h);
  }
}

static held *held_create(port *at, packet_kind kind, uint64_t from, size_t size) {
  held *made = hub_alloc(at->hub, sizeof(*made) + size);
  if (made) {
    made->port = at;
    made->kind = kind;
    made->from = from;
    DL_APPEND(at->held, made);
  }
  return made;
}

static void held_forget(held *h) {
  if (h->kind == PACKET_PULL) {
    h->port->server->forget_pull(h->port->server, &h->pull);
  } else {
    h->port->server->forget_incoming(h->port->server, &h->incoming);
  }
  held_destroy(h);
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

static void answer_request(cafe_incoming *incoming, const cafe_err *err, cafe_slice body) {
  held *h = incoming->transport_data[0];
  cafe_inproc *hub = h->port->hub;
  const call *c = map_get(hub->calls, h->from);
  packet *p = c ? packet_create(hub, PACKET_ANSWER, h->port->number, h->from, body.size) : NULL;
  if (p) {
    if (err) {
      p->err = *err;
    }
    if (body.size) {
      memcpy(p->bytes, body.data, body.size);
    }
    p->body = (cafe_slice){p->bytes, body.size};
    (void)packet_send(p, c->port);
  }
  held_destroy(h);
}

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
        cafe_arena_copy(&copies[i].data, p->arena, events[i].data) != CAFE_OK) {
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
    packet *p = packet_create(hub, PACKET_BATCH, h->port->number, h->from, 0);
    if (p) {
      p->pull_number = h->pull_number;
      p->log_id = log_id;
      p->scanned = scanned;
      p->head = head;
      if (err) {
        p->err = *err;
      } else if (copy_events(p, events, count) != CAFE_OK) {
        packet_destroy(p);
        p = NULL;
      }
    }
    if (packet_send(p, t->port) != CAFE_OK) {
      tie_lose(t, NULL);
    }
  }
  held_destroy(h);
}

/* ---- arrivals ---- */

static void call_destroy(call *c) {
  cafe_inproc *hub = c->port->hub;
  hub->loop->ops->timer_stop(hub->loop, &c->deadline);
  (void)map_remove(hub->calls, c->number);
  DL_DELETE(c->port->calls, c);
  hub_free(hub, c);
}

static void call_end(call *c, const cafe_err *err, cafe_slice answer) {
  cafe_request *request = c->request;
  call_destroy(c);
  request->transport_data[0] = NULL;
  request->done(request, err, answer);
}

static void call_expire(cafe_timer *timer) {
  call *c = timer->user;
  cafe_err err;
  (void)cafe_fail(&err, CAFE_TIMEOUT, "inproc: service %s gave no answer by the deadline", c->request->service);
  call_end(c, &err, (cafe_slice){NULL, 0});
}

static void arrive_request(const packet *p) {
  cafe_inproc *hub = p->hub;
  port *to = find_service(hub, p->service);
  call *c = map_get(hub->calls, p->number);
  if (p->is_dropped || p->is_cut || are_apart(hub, find_port(hub, p->sender), to)) {
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
  held *h = held_create(to, PACKET_REQUEST, p->number, p->body.size);
  if (!h) {
    return; /* as if it were lost */
  }
  if (p->body.size) {
    memcpy(h->body, p->body.data, p->body.size);
  }
  h->incoming.body = (cafe_slice){h->body, p->body.size};
  h->incoming.deadline_us = p->deadline_us;
  h->incoming.answer = answer_request;
  h->incoming.transport_data[0] = h;
  to->server->serve(to->server, &h->incoming);
}

static void arrive_answer(const packet *p) {
  call *c = map_get(p->hub->calls, p->number);
  if (c && !p->is_dropped && !p->is_cut && !are_apart(p->hub, find_port(p->hub, p->sender), c->port)) {
    call_end(c, p->err.code ? &p->err : NULL, p->body);
  }
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

static void arrive_pull(const packet *p) {
  cafe_inproc *hub = p->hub;
  tie *t = map_get(hub->ties, p->number);
  if (!t || t->pulls != p->pull_number || !t->is_pulling) {
    return;
  }
  port *to = find_service(hub, t->link->service);
  if (p->is_dropped) {
    tie_lose(t, NULL);
    return;
  }
  if (p->is_cut || are_apart(hub, t->port, to)) {
    tie_lose_text(t, "is cut off");
    return;
  }
  if (!to) {
    tie_lose_text(t, "is offered by nobody");
    return;
  }
  held *older = find_held(to, PACKET_PULL, t->number);
  if (older) {
    held_forget(older);
  }
  held *h = held_create(to, PACKET_PULL, t->number, 0);
  if (!h || copy_types(h, t->link->types) != CAFE_OK) {
    held_destroy(h);
    tie_lose(t, NULL);
    return;
  }
  h->pull_number = p->pull_number;
  h->pull.shard = t->link->shard;
  h->pull.log_id = t->link->log_id;
  h->pull.after = t->link->after;
  h->pull.limit = PULL_LIMIT;
  h->pull.answer = answer_pull;
  h->pull.transport_data[0] = h;
  to->server->pull(to->server, &h->pull);
}

static void arrive_batch(packet *p) {
  cafe_inproc *hub = p->hub;
  tie *t = map_get(hub->ties, p->number);
  if (!t || t->pulls != p->pull_number || (!t->is_pulling && !p->was_delivered)) {
    return; /* of the answers to a pull that was doubled only one counts: they may differ */
  }
  bool is_lost = p->is_dropped || p->is_cut || are_apart(hub, find_port(hub, p->sender), t->port);
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
  if (t->link->log_id == 0) {
    t->link->log_id = p->log_id;
  }
  t->link->on_events(t->link, p->events, p->count, p->scanned, p->head);
}

static void arrive_forget(const packet *p) {
  port *at;
  DL_FOREACH(p->hub->ports, at) {
    held *h, *next;
    DL_FOREACH_SAFE(at->held, h, next) {
      if (h->from == p->number) {
        held_forget(h);
      }
    }
  }
}

static void packet_arrive(cafe_timer *timer) {
  packet *p = timer->user;
  cafe_inproc *hub = p->hub;
  switch (p->kind) {
  case PACKET_REQUEST:
    arrive_request(p);
    break;
  case PACKET_ANSWER:
    arrive_answer(p);
    break;
  case PACKET_PULL:
    arrive_pull(p);
    break;
  case PACKET_BATCH:
    arrive_batch(p);
    break;
  case PACKET_FORGET:
    arrive_forget(p);
    break;
  }
  if (--p->arrivals == 0 || packet_depart(p) != CAFE_OK) {
    packet_destroy(p);
  }
  pull_stalled(hub);
}

/* ---- the transport's methods ---- */

static int inproc_open(cafe_transport *self, cafe_loop *loop, const char *const *services, cafe_server *server,
                       cafe_err *err) {
  port *own = (port *)self;
  (void)loop; /* the hub's: one process, one thread */
  assert(own->number == 0);
  for (const char *const *name = services; *name; name++) {
    if (find_service(own->hub, *name)) {
      return cafe_fail(err, CAFE_DENIED, "inproc: service %s is offered by another node; close that first", *name);
    }
  }
  own->services = services;
  own->server = server;
  own->number = ++own->hub->last_number;
  return CAFE_OK;
}

static int inproc_request(cafe_transport *self, cafe_request *request, cafe_err *err) {
  port *own = (port *)self;
  cafe_inproc *hub = own->hub;
  assert(own->number != 0);
  pull_stalled(hub);
  size_t name_size = strlen(request->service) + 1;
  call *c = hub_alloc(hub, sizeof(*c));
  packet *p =
      c ? packet_create(hub, PACKET_REQUEST, own->number, ++hub->last_number, request->body.size + name_size) : NULL;
  if (!p) {
    goto fail;
  }
  if (request->body.size) {
    memcpy(p->bytes, request->body.data, request->body.size);
  }
  memcpy(p->bytes + request->body.size, request->service, name_size);
  p->body = (cafe_slice){p->bytes, request->body.size};
  p->service = p->bytes + request->body.size;
  p->deadline_us = request->deadline_us;

  c->number = p->number;
  c->port = own;
  c->request = request;
  c->deadline.fire = call_expire;
  c->deadline.user = c;
  if (map_put(hub->calls, c->number, c) != CAFE_OK) {
    packet_destroy(p);
    goto fail;
  }
  DL_APPEND(own->calls, c);
  if (hub->loop->ops->timer_start(hub->loop, &c->deadline, request->deadline_us, NULL) != CAFE_OK) {
    packet_destroy(p);
    call_destroy(c);
    return no_memory(err);
  }
  if (packet_send(p, find_service(hub, request->service)) != CAFE_OK) {
    call_destroy(c);
    return no_memory(err);
  }
  request->transport_data[0] = c;
  return CAFE_OK;

fail:
  hub_free(hub, c);
  return no_memory(err);
}

/* A failure to send it leaves something held until its port is closed. */
static void tell_gone(port *own, uint64_t number) {
  (void)packet_send(packet_create(own->hub, PACKET_FORGET, own->number, number, 0), NULL);
}

static void inproc_cancel(cafe_transport *self, cafe_request *request) {
  call *c = request->transport_data[0];
  if (c) {
    request->transport_data[0] = NULL;
    tell_gone((port *)self, c->number);
    call_destroy(c);
  }
}

static int inproc_subscribe(cafe_transport *self, cafe_link *link, cafe_err *err) {
  port *own = (port *)self;
  cafe_inproc *hub = own->hub;
  assert(own->number != 0);
  tie *t = hub_alloc(hub, sizeof(*t));
  if (!t) {
    return no_memory(err);
  }
  t->number = ++hub->last_number;
  t->port = own;
  t->link = link;
  t->retry.fire = tie_retry;
  t->retry.user = t;
  if (map_put(hub->ties, t->number, t) != CAFE_OK) {
    hub_free(hub, t);
    return no_memory(err);
  }
  DL_APPEND(own->ties, t);
  tie_pull(t);
  if (t->is_stalled) {
    tie_destroy(t);
    return no_memory(err);
  }
  link->transport_data[0] = t;
  return CAFE_OK;
}

static void inproc_more(cafe_transport *self, cafe_link *link) {
  tie *t = link->transport_data[0];
  pull_stalled(((port *)self)->hub);
  if (!t->is_pulling && !t->is_refused) {
    tie_pull(t);
  }
}

static void inproc_unsubscribe(cafe_transport *self, cafe_link *link) {
  tie *t = link->transport_data[0];
  if (t) {
    link->transport_data[0] = NULL;
    tell_gone((port *)self, t->number);
    tie_destroy(t);
  }
}

/* Also how a node's crash is played: requests and links that weren't canceled are dropped unseen, because their memory
 * may be gone. Their links' publishers learn it, and so do the links that pulled here. */
static void inproc_close(cafe_transport *self) {
  port *own = (port *)self;
  cafe_inproc *hub = own->hub;
  while (own->calls) {
    tell_gone(own, own->calls->number);
    call_destroy(own->calls);
  }
  while (own->ties) {
    tell_gone(own, own->ties->number);
    tie_destroy(own->ties);
  }
  own->number = 0;
  while (own->held) {
    held *h = own->held;
    tie *t = h->kind == PACKET_PULL ? map_get(hub->ties, h->from) : NULL;
    if (t && t->pulls == h->pull_number) {
      t->failures = 0;
      tie_pull(t); /* finds nobody there, and begins to retry */
    }
    held_destroy(h);
  }
}

static void inproc_destroy(cafe_transport *self) {
  port *own = (port *)self;
  if (own->number) {
    inproc_close(self);
  }
  DL_DELETE(own->hub->ports, own);
  hub_free(own->hub, own);
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
  cafe_inproc *hub = allocator->resize(allocator->user, NULL, sizeof(*hub));
  if (!hub) {
    return no_memory(err);
  }
  memset(hub, 0, sizeof(*hub));
  hub->allocator = *allocator;
  hub->loop = loop;
  hub->calls = map_create(allocator, MAP_U64);
  hub->ties = map_create(allocator, MAP_U64);
  if (!hub->calls || !hub->ties) {
    cafe_inproc_destroy(hub);
    return no_memory(err);
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
    packet_destroy(hub->packets);
  }
  map_destroy(hub->calls);
  map_destroy(hub->ties);
  hub_free(hub, hub);
}

int cafe_inproc_join(cafe_transport **out, cafe_inproc *hub, cafe_err *err) {
  port *made = hub_alloc(hub, sizeof(*made));
  if (!made) {
    return no_memory(err);
  }
  made->base.ops = &inproc_ops;
  made->hub = hub;
  DL_APPEND(hub->ports, made);
  *out = &made->base;
  return CAFE_OK;
}

void cafe_inproc_set_faults(cafe_inproc *hub, const cafe_inproc_faults *faults) {
  if (faults) {
    assert(faults->delay_min_us >= 0 && faults->delay_min_us <= faults->delay_max_us);
    hub->faults = *faults;
  } else {
    memset(&hub->faults, 0, sizeof(hub->faults));
  }
}

void cafe_inproc_cut(cafe_inproc *hub, const char *service, bool is_cut) {
  int unused = -1;
  assert(strlen(service) < CUT_NAME_MAX);
  for (int i = CUTS_MAX - 1; i >= 0; i--) {
    if (strcmp(hub->cuts[i], service) == 0) {
      hub->cuts[i][0] = is_cut ? hub->cuts[i][0] : '\0';
      return;
    }
    unused = hub->cuts[i][0] ? unused : i;
  }
  if (is_cut) {
    assert(unused >= 0 && "more services are cut off than the hub can name");
    memcpy(hub->cuts[unused], service, strlen(service) + 1);
  }
}
