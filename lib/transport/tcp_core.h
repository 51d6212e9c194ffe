/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPORT_TCP_CORE_H
#define TRANSPORT_TCP_CORE_H

#include "base/heap.h"
#include "base/map.h"
#include "cafe/sys/loop.h"
#include "cafe/sys/transport.h"
#include "cafe/transport/tcp.h"
#include "resilience/bucket.h"
#include "transport/tcp_address.h"
#include "transport/tcp_frame.h"
#include "transport/tcp_tls.h"

/* The transport tcp: what its files share. */

enum {
  READ_SIZE = 256 * 1024,           /* what one read takes at most: a batch or two */
  OUT_MAX = 1024 * 1024,            /* bytes not written yet, with which nothing is added but what must be */
  HELD_MAX = 1024,                  /* requests of one connection that aren't answered; with more it isn't read */
  HELD_BYTES_MAX = 4 * 1024 * 1024, /* and the bytes of their bodies */
  FEEDS_MAX = 256,                  /* subscriptions of one connection */
  RESERVE = 64 * 1024,              /* what an accepted connection may take whatever the others have taken */
  WAITING_MAX = 4096,               /* requests that wait for one peer's connection */
  ENTRY_SIZE = 96,                  /* of one that is asked, in its connection's map */
  CREDIT = 2, /* batches of a subscription under way: one is worked on, and one is there when it is done */
  PEER_TEXT_MAX = 256,
  GREETING_MS = 5000, /* from a connection's begin to the other side's hello */
  RETRY_FIRST_MS = 20,
  RETRY_LAST_MS = 2000
};

typedef struct tcp tcp;
typedef struct conn conn;
typedef struct endpoint endpoint;

/* Something that happens at a time: first in what it is of. It is in the transport's heap for as long as that lives. */
typedef struct due {
  heap_item item;
  void (*fire)(struct due *self);
} due;

/* A request at the one who asks. */
typedef struct call {
  due due; /* its deadline */
  uint64_t number;
  tcp *tcp;
  endpoint *endpoint; /* NULL: nobody offers it */
  conn *conn;         /* it was asked on; NULL: it waits for one */
  uint64_t begins_at; /* in the connection's output */
  bool is_late;       /* the deadline had passed when it came */
  cafe_request *request;
  struct call *prev, *next; /* in the connection's, or those that wait */
} call;

/* A subscription at the subscriber. It pulls, until there is a batch; or it is being worked on, until `more`. */
typedef struct tie {
  due due; /* the batch ahead is handed over, or it is pulled again */
  tcp *tcp;
  endpoint *endpoint;
  conn *conn;      /* the subscription is open there */
  uint64_t number; /* of the last pull; 0: none */
  cafe_link *link;
  uint32_t type_count;
  uint32_t failures; /* since the last batch */
  uint32_t credit;   /* batches that may come */
  uint64_t scanned;  /* of the last batch handed over, or where the pull began */
  buffer ahead;      /* the next batch's frame, which came while one was being worked on */
  bool is_working;
  bool is_lost; /* and the link was told so */
  bool is_refused;
  struct tie *prev, *next;
} tie;

typedef enum asked_kind { ASKED_REQUEST = 1, ASKED_FEED = 2 } asked_kind;

/* What came in at the one who is asked, by its number. */
typedef struct asked {
  asked_kind kind;
  uint64_t number;
  size_t size; /* of its memory */
  conn *conn;
  struct asked *prev, *next;
} asked;

typedef struct held {
  asked base;
  cafe_incoming incoming;
  char body[];
} held;

/* A subscription at the publisher. */
typedef struct feed {
  asked base;
  cafe_pull pull;
  uint32_t credit;
  bool is_asked; /* the server has the pull */
  const char *types[];
} feed;

typedef enum conn_state {
  CONN_CONNECTING = 1, /* by TCP */
  CONN_SHAKING = 2,    /* TLS */
  CONN_GREETING = 3,   /* hello hasn't come */
  CONN_READY = 4,
  CONN_DEAD = 5 /* freed when nobody is within it */
} conn_state;

struct conn {
  due due; /* silence, or no hello */
  tcp *tcp;
  endpoint *endpoint; /* whose connection it is; NULL: it was accepted */
  int fd;
  conn_state state;
  cafe_watch watch;
  unsigned watched; /* events */
  tls_session *tls;
  char peer[PEER_TEXT_MAX]; /* the certificate's subject; empty: none */
  char place[PLACE_TEXT_MAX];
  uint64_t max_frame; /* that the other side takes */
  uint64_t last_number;

  buffer in;       /* the begin of a frame, or frames that wait */
  size_t progress; /* bytes of a frame that is under way, as of heard_us */
  int64_t heard_us;
  int64_t ready_us;
  bool has_pending; /* input that the descriptor doesn't tell of */
  bool has_failed;  /* what must be written can't be: it ends */

  buffer out;
  uint64_t out_begin; /* the place of its first byte in all that was ever written */
  uint64_t offered;   /* up to there bytes may have left */
  bool is_blocked;
  bool was_full;

  call *calls; /* asked here, not answered */
  map *asked;  /* accepted ones */
  asked *requests;
  asked *feeds;
  uint32_t held;
  size_t held_bytes;
  uint32_t feed_count;

  size_t asked_bytes; /* the memory of both */
  size_t incoming;    /* what counts of it in the transport's totals */
  size_t outgoing;
  int64_t waits_us; /* since when it wants more room than there is; 0: it doesn't */
  int64_t moved_us; /* when the other side last took something, while it is blocked */

  bool is_busy;
  conn *busy_prev, *busy_next;
  conn *prev, *next;
};

/* Another node's address, and the one connection there. */
struct endpoint {
  due due; /* the next attempt */
  tcp *tcp;
  address address;
  char text[HOST_MAX + PORT_TEXT_MAX + 2];
  char services[PEER_TEXT_MAX]; /* those that are there, for messages */
  conn *conn;
  struct lookup *lookup;
  place places[PLACES_MAX];
  int place_count;
  int place_next;
  uint32_t failures;
  int64_t failed_us;
  bool is_down;       /* and that was logged */
  bool is_mismatched; /* of a newer version, which was logged */
  bool is_misplaced;  /* without a service that should be there, which was logged */
  call *waiting;
  uint32_t waiting_count;
  tie *ties;
  endpoint *prev, *next;
};

struct tcp {
  cafe_transport base;
  cafe_allocator allocator;
  cafe_log log;
  bucket log_bucket;
  endpoint *endpoints;
  map *services; /* name -> endpoint */
  bool has_listen;
  place listen;
  char listen_text[PLACE_TEXT_MAX];
  int given_fd; /* a listening socket of the options; -1 */
  tls *tls;
  bool is_insecure;
  uint32_t max_connections;
  uint32_t max_frame;
  int64_t idle_us;

  bool is_open;
  cafe_loop *loop;
  const char *const *offered;
  cafe_server *server;
  cafe_timer turn;
  int64_t turn_at_us; /* when the timer fires */
  bool is_stalled;    /* it couldn't be started */
  heap *dues;
  unsigned depth; /* of calls within this transport: nothing dies meanwhile */
  bool is_destroyed;

  uint64_t last_number;
  map *calls;
  map *ties;
  call *unsent; /* that came too late, or for a service that isn't among the peers */
  conn *conns;
  conn *busy;
  conn *dead;
  bool is_listening;
  cafe_watch listener;
  due accept_again;
  uint32_t accepted;
  bool is_short;      /* of descriptors, which was logged */
  bool is_full;       /* of connections, which was logged */
  bool is_mismatched; /* a newer peer came, which was logged */

  uint64_t max_incoming;
  uint64_t incoming;   /* taken by accepted connections beyond their reserves */
  uint64_t outgoing;   /* the same of what waits to be sent */
  uint64_t feed_bytes; /* within incoming: of subscriptions */
  uint32_t waiting;    /* connections that wait for room */
  due stalls;          /* while there are any, who doesn't get on is looked for */
  conn *first;         /* of them: room for its frame is set aside */
  int64_t first_us;    /* since when */
  bool is_eldest_next; /* and else the one that has waited longest */

  char *read_buffer;
  cafe_stored_event *events;
  buffer names;  /* of a batch that is made */
  buffer packed; /* its events */
  buffer spare;  /* of a tie's batch ahead, for the next one */
};

/* ---- tcp.c ---- */

void *tcp_alloc(tcp *self, size_t size);
void tcp_free(tcp *self, void *block);
int tcp_no_memory(cafe_err *err);
int64_t tcp_now_us(tcp *self);
/* Of a peer's doing, so at most one line a second after the first ten. */
void tcp_log(tcp *self, cafe_log_level level, const char *format, ...) CAFE_PRINTF(3, 4);
bool tcp_offers(const tcp *self, cafe_slice service);

/* Around what is done in a callback of the loop, or what kills connections. */
void tcp_enter(tcp *self);
void tcp_leave(tcp *self);
/* After something was made due, outside of the two above. */
void tcp_plan(tcp *self);

int due_add(tcp *self, due *item, void (*fire)(due *item), int64_t at_us);
void due_at(tcp *self, due *item, int64_t at_us);
void due_remove(tcp *self, due *item);

/* ---- tcp_conn.c ---- */

/* TAKES the descriptor, also on failure. NULL: no memory, or it can't be watched. */
conn *conn_create(tcp *self, int fd, endpoint *of, const place *at, cafe_err *err);
/* Begins to connect it. CAFE_UNAVAILABLE: it can't, and is gone without anybody being told. */
int conn_connect(conn *c, const place *to, cafe_err *err);
/* TCP is connected: goes on with TLS, or hello. */
void conn_begin(conn *c);
/* It is over; who waits for something of it is told. */
void conn_break(conn *c, const cafe_err *why);
/* The other side did what no peer does. */
void conn_violate(conn *c, const char *what);
/* Nobody is told. */
void conn_drop(conn *c);
void conn_free(conn *c);
void conn_work(conn *c);
/* And once more after a while: memory was refused. */
void conn_retry_soon(conn *c);
static inline bool conn_is_up(const conn *c) { return c->state == CONN_READY || c->state == CONN_GREETING; }
/* Whether there is room for what more it might ask, and for the answers. */
bool conn_has_room(const conn *c);
static inline bool conn_is_full(const conn *c) { return buffer_size(&c->out) >= OUT_MAX; }

/* ---- tcp_room.c ---- */

int room_open(tcp *self);
/* So many bytes may be read, and kept if need be. */
size_t room_to_read(const conn *c);
/* After its memory has become more or less. */
void room_count(conn *c);
/* Whether a request more may be taken: it has none yet, or there is room. */
bool room_for_request(const conn *c);
bool room_for_feed(const conn *c, size_t size);
/* It joins those that wait for room, if it can't be read without. */
void room_ask(conn *c);
/* It waits, and nobody is first: so it is watched, and the first of those that get on is it. */
bool room_is_open(const conn *c);
void room_choose(tcp *self);
/* Whether there is anything to read: bytes, or its end. */
bool room_is_readable(const conn *c);
/* It has come to the end of a frame, or of its life: it isn't first any more. */
void room_leave(conn *c);
/* Whether it has been first for long enough, and others wait. */
bool room_is_overdue(const conn *c, int64_t now_us);
/* Output was added: who takes nothing has to make room. */
void room_make(tcp *self);

/* ---- tcp_io.c ---- */

/* In the turn to come: input that was kept, what feeds have, and output. */
void conn_touch(conn *c);
/* Writes a frame that must be written. CAFE_NOMEM, CAFE_INVALID; CAFE_OVERLOADED: the other side doesn't read. */
int conn_put(conn *c, frame *f, cafe_err *err);
int conn_put_number(conn *c, frame_kind kind, uint64_t number);
int conn_put_hello(conn *c, cafe_err *err);
void conn_flush(conn *c);
/* As much as the descriptor takes at once, whatever comes of it. */
void conn_flush_last(conn *c);
void conn_receive(conn *c);
/* Frames that had to wait until there was room. */
void conn_resume(conn *c);

/* ---- tcp_endpoint.c ---- */

/* Something waits for a connection: there will be one soon. */
void endpoint_need(endpoint *e);
/* Its connection has said who is there: services, each with a NUL behind it. */
void endpoint_ready(endpoint *e, cafe_slice services);
/* Its connection broke. */
void endpoint_lost(endpoint *e, conn *c, const cafe_err *why);
/* TCP didn't connect to the place. */
void endpoint_refused(endpoint *e, const cafe_err *why);
int endpoint_add(tcp *self, const cafe_tcp_peer *peer, cafe_err *err);
int endpoint_open(endpoint *e);
void endpoint_close(endpoint *e);

/* ---- tcp_lookup.c ---- */

typedef struct lookup lookup;
/* Looks the endpoint's name up on a thread of its own; endpoint_found is called in a later turn. CAFE_NOMEM,
 * CAFE_UNAVAILABLE. */
int lookup_begin(lookup **out, endpoint *e, cafe_err *err);
/* The outcome goes nowhere. */
void lookup_abandon(lookup *l);
void endpoint_found(endpoint *e, const place *places, int count, const char *why);

/* ---- tcp_accept.c ---- */

int accept_open(tcp *self, cafe_err *err);
void accept_close(tcp *self);

/* ---- tcp_request.c ---- */

int call_begin(cafe_transport *transport, cafe_request *request, cafe_err *err);
void call_cancel(cafe_transport *transport, cafe_request *request);
void call_drop(call *c);
/* Those that wait are asked, until the output is full. */
void call_send_waiting(endpoint *e);
void call_fail_waiting(endpoint *e, const cafe_err *why);
void call_fail_asked(conn *c, const cafe_err *why);
void call_arrive_answer(conn *c, const frame *f);

/* ---- tcp_serve.c ---- */

void held_arrive(conn *c, const frame *f);
void asked_arrive_end(conn *c, const frame *f);
/* All that came in on a connection goes; the server is told, or not. */
void asked_forget_all(conn *c, bool is_told);
int asked_add(asked *a, conn *c, asked_kind kind, uint64_t number);
void asked_free(asked *a);

/* ---- tcp_feed.c ---- */

void feed_arrive(conn *c, const frame *f);
void feed_arrive_more(conn *c, const frame *f);
void feed_pump_all(conn *c);

/* ---- tcp_link.c ---- */

int tie_begin(cafe_transport *transport, cafe_link *link, cafe_err *err);
void tie_more(cafe_transport *transport, cafe_link *link);
void tie_end(cafe_transport *transport, cafe_link *link);
void tie_drop(tie *t);
void tie_pull_all(endpoint *e);
/* Those that pull learn it, once. broken NULL: there was no connection. */
void tie_lose_all(endpoint *e, conn *broken, const cafe_err *why);
void tie_arrive_batch(conn *c, const frame *f, cafe_slice bytes);

#endif
