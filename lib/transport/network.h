/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPORT_NETWORK_H
#define TRANSPORT_NETWORK_H

#include "base/map.h"
#include "cafe/sys/loop.h"
#include "cafe/sys/transport.h"
#include "cafe/transport/inproc.h"

/* The transport inproc: what its files share. */

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

  cafe_budget budget;  /* REQUEST */
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

/* ---- inproc.c ---- */

void *inproc_alloc(cafe_inproc *hub, size_t size);
void inproc_free(cafe_inproc *hub, void *block);
int inproc_no_memory(cafe_err *err);

/* From the loop's random; nothing is drawn where there is no choice. */
bool inproc_happens(cafe_inproc *hub, double probability);
int64_t inproc_draw(cafe_inproc *hub, int64_t min, int64_t max);

port *inproc_find_service(const cafe_inproc *hub, const char *service);
port *inproc_find_port(const cafe_inproc *hub, uint64_t number);

/* Whether nothing gets from one to the other. An end that isn't there cuts nothing. */
bool inproc_are_apart(const cafe_inproc *hub, const port *a, const port *b);

/* ---- inproc_packet.c ---- */

packet *inproc_packet_create(cafe_inproc *hub, packet_kind kind, uint64_t sender, uint64_t number, size_t size);
/* Takes the packet, also on failure: CAFE_NOMEM, and it is gone. p NULL: there was no memory for it already. */
int inproc_packet_send(packet *p, const port *to);
void inproc_packet_destroy(packet *p);
/* The one who asked by that number is gone. A failure to say so leaves something held until its port is closed. */
void inproc_tell_gone(port *own, uint64_t number);

held *inproc_held_create(port *at, packet_kind kind, uint64_t from, size_t size);
/* Tells the server not to answer. */
void inproc_held_forget(held *h);
void inproc_held_destroy(held *h);

/* ---- inproc_request.c ---- */

int inproc_request(cafe_transport *self, cafe_request *request, cafe_err *err);
void inproc_cancel(cafe_transport *self, cafe_request *request);
void inproc_call_destroy(call *c);
void inproc_arrive_request(const packet *p);
void inproc_arrive_answer(const packet *p);

/* ---- inproc_link.c ---- */

int inproc_subscribe(cafe_transport *self, cafe_link *link, cafe_err *err);
void inproc_more(cafe_transport *self, cafe_link *link);
void inproc_unsubscribe(cafe_transport *self, cafe_link *link);
void inproc_tie_pull(tie *t);
void inproc_tie_destroy(tie *t);
/* Links that had no memory try again. */
void inproc_pull_stalled(cafe_inproc *hub);
void inproc_arrive_pull(const packet *p);
void inproc_arrive_batch(packet *p);

#endif
