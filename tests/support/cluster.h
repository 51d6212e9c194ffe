/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLUSTER_H
#define CLUSTER_H

#include "base/map.h"
#include "cafe/cafe.h"
#include "cafe/gateway/sandbox.h"
#include "cafe/op.h"
#include "cafe/sys/channel.h"
#include "cafe/sys/gateway.h"
#include "cafe/sys/loop.h"
#include "cafe/testing/faults.h"
#include "cafe/testing/sim.h"
#include "cafe/transport/inproc.h"
#include "testing/heap.h"

/*
 * The coffee shop in one seeded world: one node or five, stores that can fail (in memory, or SQLite files), the sandbox
 * gateway, a channel that records, clients, and an oracle. The oracle reads every log as it grows and keeps a model of
 * each order; it checks the invariants I1 to I8 after every step as far as they hold at every moment, and by
 * cluster_check those that hold at rest. A violation prints the seed, the step, the invariant, and all that is known of
 * the order, and fails the test.
 */
typedef struct cluster cluster;

/* Services; a node of one's own each, or all of them on node 0. */
enum { CLUSTER_APP, CLUSTER_PAY, CLUSTER_STORE, CLUSTER_CUSTOMER, CLUSTER_DASHBOARD, CLUSTER_SERVICES };

typedef struct cluster_options {
  uint64_t seed;
  bool is_split;                                        /* five nodes over a hub; else one */
  bool is_threaded;                                     /* the stores run on the loop's lanes; else within the loop */
  bool is_sqlite;                                       /* files in the working folder, on lanes; else in memory */
  bool loses_power;                                     /* one node on SQLite: its disk remembers what it has to lose */
  bool spoils;                                          /* what comes over the hub may be spoilt (spoils.h) */
  bool repeats;                                         /* what comes over the hub comes again (repeats.h) */
  uint32_t max_queued, max_batch, max_cached, id_block; /* 0: the node's own */
  int64_t job_max_us, late_max_us;                      /* as in cafe_sim_options */
  cafe_retry gateway_retry, channel_retry;              /* zeroed: short ones */
  uint32_t payment_concurrency;                         /* 0: 1,000 */
  uint32_t breaker_volume;                              /* with breaker_sleep_ms; 0: the node's own */
  int64_t breaker_sleep_ms;
  const cafe_allocator *allocator; /* below the nodes; NULL: malloc */
  const cafe_store_faults *faults; /* of node 0's store, from its first start on; NULL: none */
  bool (*arm)(bool is_armed); /* told when the library is entered, and left for what is the test's; returns what it was;
                                 NULL: nobody listens */
} cluster_options;

/* What happens to calls of the gateway and to messages on the channel, in percent of them. */
typedef struct cluster_chances {
  int decline, error, hang; /* gateway; a call that hangs may have been done */
  uint32_t capacity;        /* of the gateway; 0: no limit */
  int silent, lost, fail;   /* channel: delivered but not answered, neither, answered by an error */
  int64_t delay_ms, jitter_ms;
} cluster_chances;

typedef struct cluster_node {
  cluster *cluster;
  unsigned services;
  cafe_loop *loop;
  cafe_store *inner, *store;        /* NULL: a file that isn't open */
  cafe_transport *port, *transport; /* the hub's, and the node's over it */
  process_heap heap;
  cafe_node *node; /* NULL: it is down */
  cafe_shop *shop;
  uint32_t starts;
  bool is_stuck;       /* its file refuses everything until it is opened anew */
  uint64_t read_n;     /* of its log, by the oracle */
  uint64_t read_calls; /* of its store, when that was */
  map *touched;        /* orders whose rows are to be compared */
} cluster_node;

/* One command and what became of it. */
typedef struct cluster_call {
  struct cluster_call *prev, *next;
  cluster *cluster;
  int service;
  const cafe_schema *command;
  cafe_op *op;  /* while it is under way */
  uint64_t key; /* of the stream, once known */
  bool is_done;
  bool is_lost;   /* its node was killed: nobody will answer */
  uint32_t times; /* its completion ran; more than once is a violation */
  int code;       /* of the error; CAFE_OK */
  cafe_verdict verdict;
  uint64_t version;
  cafe_position position;
  const cafe_schema *event;
  char reason[48];
  char reply[64];
  bool replayed;
  int64_t retry_after_ms; /* a guard refused it */
  char client_key[32];
} cluster_call;

typedef struct cluster_event {
  struct cluster_event *next;
  int node;
  cafe_event event; /* data and all: in the cluster's arena */
} cluster_event;

typedef struct cluster_row {
  struct cluster_row *next;
  const cafe_view *view;
  uint64_t sub;
  bool is_shown;
  void *row;
} cluster_row;

typedef struct cluster_message {
  struct cluster_message *next;
  const char *event;
  int64_t number;
  cafe_notification_status status;
  uint32_t deliveries;
} cluster_message;

/* What the logs say of one order. */
typedef struct cluster_order {
  uint64_t key;
  cluster_event *first, *last;
  cafe_order order;
  cafe_payment payment;
  cafe_ticket ticket;
  cafe_notifications notifications;
  uint64_t versions[4]; /* of the four streams */
  cluster_row *rows;    /* of the inline views */
  cluster_message *messages;
  uint32_t ordered, approved, received, payment_failures;
  bool is_started, is_withdrawn;
  int64_t last_delivered;
} cluster_order;

typedef struct cluster_log_line {
  char text[200];
} cluster_log_line;

enum { CLUSTER_LINES = 40 };

struct cluster {
  cluster_options options;
  cafe_loop *world;
  cafe_inproc *hub;
  cafe_gateway *sandbox;
  struct cluster_front *front;
  struct cluster_channel *channel;
  cluster_chances chances;
  cluster_node nodes[CLUSTER_SERVICES];
  int node_count;
  uint64_t steps;
  uint64_t dice;
  cluster_call *calls;
  uint32_t call_count;
  map *orders;      /* cluster_order by key */
  map *client_keys; /* what was acknowledged under each */
  cafe_arena *arena;
  cluster_log_line lines[CLUSTER_LINES]; /* the nodes' last log lines */
  uint64_t line_count;
  const char *program;  /* that replays a seed; NULL: not told */
  bool is_blind;        /* the oracle doesn't look: what it would see is broken on purpose */
  bool is_rereading;    /* what the logs say of messages is believed */
  int64_t forgotten_ms; /* rows of messages sent before may be missing; 0: none may */
  uint64_t replays;     /* of dead letters */
};

/* All nodes are started. Whatever fails here fails the test, but for allocations that options.allocator refuses: then
 * nodes may be down. */
cluster *cluster_create(const cluster_options *options);
/* Closes what is up; a node that leaks fails the test. */
void cluster_destroy(cluster *c);

/* A number from the environment. */
uint64_t cluster_setting(const char *name, uint64_t otherwise);

/* Chance, from the cluster's seed, and no draw of the program's. */
uint64_t cluster_random(cluster *c, uint64_t below);
bool cluster_chance(cluster *c, int percent);

cluster_node *cluster_node_of(cluster *c, int service);

/* One thing happens, and the oracle looks. False: nothing is left that ever could. */
bool cluster_step(cluster *c);
void cluster_run(cluster *c, int64_t ms);
/* Until nothing is left; that this takes more than a million steps fails the test. */
void cluster_rest(cluster *c);

/* kill -9: the node's memory, timers and jobs are gone; what its store holds stays. Its calls are lost. */
void cluster_kill(cluster *c, int service);
/* The same, and its disk loses some of what wasn't synced. With loses_power only. */
void cluster_lose_power(cluster *c);
/* Its store dies first, then the node is closed; every call is answered, and no memory is left. */
void cluster_break(cluster *c, int service);
/* In order. */
void cluster_stop(cluster *c, int service);
/* Makes it anew on the same store, revived and without faults. CAFE_OK, or why not (then it is down); that it fails
 * without a fault or refused memory fails the test. */
int cluster_start(cluster *c, int service);
/* On SQLite. Runs until a backup of its store is made. */
void cluster_back_up(cluster *c, int service, const char *path);
/* Its node is down: its store is one made from the backup. The oracle is blind from then on, until it reads all logs
 * anew, with all nodes up. */
void cluster_restore(cluster *c, int service, const char *path);
void cluster_see_again(cluster *c);
/* Of its store; NULL: none. */
void cluster_set_faults(cluster *c, int service, const cafe_store_faults *faults);
/* Kills nodes whose store died by a fault, or refuses everything; part of every step. Whether there were any. */
bool cluster_bury(cluster *c);

/* Submits; NULL: refused, or the node is down. client_key may be NULL; the answer is then kept under it, as the HTTP
 * server does. */
cluster_call *cluster_submit(cluster *c, int service, const cafe_schema *command, uint64_t key, const void *data,
                             int64_t timeout_ms, const char *client_key);
cluster_call *cluster_place(cluster *c, int64_t amount, const char *token, const char *client_key);
cluster_call *cluster_cancel(cluster *c, uint64_t key);
cluster_call *cluster_act(cluster *c, uint64_t key, cafe_ticket_action action);
/* What was given up at the gateway is to be tried again. */
cluster_call *cluster_retry(cluster *c, uint64_t key);
/* Runs until the call is done. */
void cluster_wait(cluster *c, cluster_call *call);

/* What the logs say of it; NULL: nothing. */
cluster_order *cluster_find(cluster *c, uint64_t key);
/* How many of its events have that type. */
uint32_t cluster_count(const cluster_order *order, const cafe_schema *type);
cafe_sandbox_entry cluster_money(cluster *c, uint64_t key);
/* Whether the gateway is asked for something, and hasn't answered yet. */
bool cluster_is_paying(const cluster *c);

/* Faults end: all nodes up, no chances, no cuts, the hub's faults gone. */
void cluster_heal(cluster *c);
/* The owner finishes what is open, until nothing is; then it rests. */
void cluster_finish(cluster *c);

/* With spoils: about one record in so many comes spoilt, 0: none. Those that did are parked soon. */
void cluster_spoil(cluster *c, uint64_t one_in);
/* Asks a node to replay its parked letters, with what they should have been; whatever comes of it. */
void cluster_mend(cluster *c, int service);
/* Until none is left, once nothing is spoilt any more; all nodes are up. */
void cluster_mend_all(cluster *c);
/* How many dead letters the nodes that are up say they have. */
uint64_t cluster_letters(const cluster *c);

enum { CLUSTER_PARKED = 2000 };
/* The letters of one policy, saga or view. */
typedef struct cluster_parked {
  cluster *cluster;
  const char *reader;
  uint32_t count;
  struct {
    uint64_t key, n;
    int node; /* whose log it is */
  } letters[CLUSTER_PARKED];
} cluster_parked;
void cluster_read_parked(cluster_parked *out, cluster *c, const cluster_node *n, const char *reader);
bool cluster_is_parked(const cluster_parked *parked, const cluster_event *event);

/* The invariants, those at rest too if at_rest. */
void cluster_check(cluster *c, bool at_rest);
/* Reads what the logs have more; part of every step. */
void cluster_look(cluster *c);
void cluster_violation(cluster *c, const char *invariant, uint64_t key, const char *format, ...)
    __attribute__((format(printf, 4, 5), noreturn));
void cluster_print_order(cluster *c, uint64_t key);

#endif
