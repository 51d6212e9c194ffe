/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_SYS_TRANSPORT_H
#define CAFE_SYS_TRANSPORT_H

#include "cafe/node.h"
#include "cafe/resilience.h"
#include "cafe/sys/store.h"

CAFE_BEGIN_DECLS

/*
 * The transport: two verbs between services. `subscribe` carries everything asynchronous, from the publisher's log;
 * `request` only what a caller waits for. Delivery is at least once, and in order within a source shard; effects are
 * once, because the subscriber's checkpoint commits with the effect. All methods and callbacks: loop thread; no
 * callback inside the method that asked for it. testing/transport_contract.h checks what is promised here.
 *
 * - A peer that is down, slow, or talks nonsense costs an error: never a crash, a stall, or memory that grows with what
 *   it sends. What a transport keeps for a peer is bounded, whatever that peer does.
 * - A request ends once. CAFE_UNAVAILABLE is said only where the peer's server was surely not asked; whatever may have
 *   been asked, and isn't answered, is CAFE_TIMEOUT, at the deadline or as soon as it is known that no answer can come.
 * - The budget travels: the server is given what is left of it, on its own clock, so that clocks needn't agree.
 * - A server whose transport is closed is told of nothing any more, and answers nothing: what came in is gone by then.
 *   To those who asked it is CAFE_TIMEOUT. An answer that comes after the end of its request goes nowhere.
 * - A subscription goes on by itself, with backoff and jitter, from link->after, until it is ended or refused: whatever
 *   becomes of connections, peers and processes. Only then is on_lost told CAFE_INVALID.
 * - Events come in the order of their positions, without gaps but for those that aren't wanted; a batch may come again
 *   after a loss, never out of order. One batch at a time: the next comes after `more`, and what is fetched ahead is
 *   bounded, so a slow subscriber costs its publisher nothing.
 *
 * Each struct begins with its size, set by whoever makes it; fields are added at the end. Zero is what was before there
 * was a field.
 */

/* One request. The caller's memory, in place until done. */
typedef struct cafe_request {
  size_t size;
  const char *service;
  uint64_t key;       /* of the stream that is asked: where a service lives on several nodes, one of them is meant */
  cafe_slice body;    /* BORROW until done */
  cafe_budget budget; /* on the loop's monotonic clock; it has a deadline */

  /* Exactly once. err NULL: body is the answer, BORROW until it returns. CAFE_UNAVAILABLE: surely not done.
   * CAFE_TIMEOUT: not known. */
  void (*done)(struct cafe_request *request, const cafe_err *err, cafe_slice answer);
  void *user;
  void *transport_data[4];
} cafe_request;

/* A request as the other side sees it. The transport's memory until it is answered. */
typedef struct cafe_incoming {
  size_t size;
  cafe_slice body;    /* BORROW until answered */
  cafe_slice peer;    /* who asks, as the transport has made sure of (the subject of a certificate); empty: it hasn't.
                         BORROW until answered */
  cafe_budget budget; /* what is left of the caller's, on this loop's clock */
  /* Answers, exactly once; the bytes are copied. Loop thread, also inside serve. */
  void (*answer)(struct cafe_incoming *incoming, const cafe_err *err, cafe_slice body);
  void *transport_data[4];
} cafe_incoming;

/* A subscription's end at the subscriber. Its memory, in place from subscribe until unsubscribe. */
typedef struct cafe_link {
  size_t size;
  const char *service;
  const char *name;         /* the subscription's, for logs */
  const char *const *types; /* wanted event types, ended by NULL */
  uint64_t partitions;      /* wanted events' partitions: bit p for partition p; 0: all. Left out by the publisher */
  uint32_t shard;
  uint64_t log_id; /* of the log that `after` belongs to; 0: not known yet, after is 0 */
  uint64_t after;  /* the first n wanted is after + 1 */

  /* One batch: wanted events in order; everything up to `scanned` was looked at. The next batch comes after `more`.
   * BORROW until it returns. Before it log_id is set in the link to the log that it is of. Another one than before: the
   * log was restored, and is the same up to the link's place; the batch is empty, and tells just that. */
  void (*on_events)(struct cafe_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                    uint64_t head);
  /* CAFE_INVALID: the position is refused for good (a restored log), the text says what to do. Any other: lost for now;
   * the transport goes on by itself, from link->after. */
  void (*on_lost)(struct cafe_link *link, const cafe_err *err);
  void *user;
  void *transport_data[4];
  uint64_t seen; /* the furthest n that has had an effect; less than after: after is */
} cafe_link;

/* What a publisher is asked for: the events after a place, once there are any. */
typedef struct cafe_pull {
  size_t size;
  const char *const *types;
  uint64_t partitions; /* as in the link */
  uint32_t shard;
  uint64_t log_id; /* 0: any */
  uint64_t after;
  uint32_t limit;
  /* Answers, exactly once, also with no wanted event (scanned tells). The events are copied. */
  void (*answer)(struct cafe_pull *pull, const cafe_err *err, uint64_t log_id, const cafe_stored_event *events,
                 uint32_t count, uint64_t scanned, uint64_t head);
  void *transport_data[4];
  struct cafe_pull *next; /* the server's */
  uint64_t seen;          /* as in the link */
} cafe_pull;

/* What a node offers its peers. The node implements it. */
typedef struct cafe_server cafe_server;

typedef struct cafe_server_ops {
  size_t size;
  void (*serve)(cafe_server *self, cafe_incoming *incoming);
  void (*pull)(cafe_server *self, cafe_pull *pull);
  /* The peer that asked is gone: don't answer. */
  void (*forget_incoming)(cafe_server *self, cafe_incoming *incoming);
  void (*forget_pull)(cafe_server *self, cafe_pull *pull);
} cafe_server_ops;

/* A server embeds this first, or somewhere: it is only ever handed back. */
struct cafe_server {
  const cafe_server_ops *ops;
};

typedef struct cafe_transport_ops {
  size_t size;
  const char *name;

  /* REQUIRED. Offers these services (ended by NULL) by the server, until `close`. BORROW both. */
  int (*open)(cafe_transport *self, cafe_loop *loop, const char *const *services, cafe_server *server, cafe_err *err);

  /* REQUIRED. Sends. A failure returned: done isn't called. */
  int (*request)(cafe_transport *self, cafe_request *request, cafe_err *err);
  /* REQUIRED. Lets go: done isn't called any more. */
  void (*cancel)(cafe_transport *self, cafe_request *request);

  /* REQUIRED. Begins; the first batch comes without `more`. */
  int (*subscribe)(cafe_transport *self, cafe_link *link, cafe_err *err);
  /* REQUIRED. Asks for the next batch, after link->after. */
  void (*more)(cafe_transport *self, cafe_link *link);
  /* REQUIRED. Ends: nothing is called any more. */
  void (*unsubscribe)(cafe_transport *self, cafe_link *link);

  /* REQUIRED. Stops offering and forgets what came in: each cafe_incoming and cafe_pull is gone, and isn't to be
   * answered any more. Requests and links must be canceled before. */
  void (*close)(cafe_transport *self);
  /* REQUIRED. Frees it. */
  void (*destroy)(cafe_transport *self);

  /* OPTIONAL, for a transport that is told where others are. At any time: visits each service elsewhere that it was
   * told of, and whether it is connected to that now, without asking anybody. A node that hears any other doesn't
   * start. service BORROW: until visit returns, which doesn't call the transport. */
  void (*peers)(const cafe_transport *self, void (*visit)(const char *service, bool is_up, void *user), void *user);
} cafe_transport_ops;

/* A transport embeds this first, and zeroes it when it is made. */
struct cafe_transport {
  const cafe_transport_ops *ops;
  void *reserved[4]; /* the library's own */
};

CAFE_END_DECLS

#endif
