/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_NODE_H
#define ENGINE_NODE_H

#include <stddef.h>
#include <utlist.h>

#include "base/heap.h"
#include "base/map.h"
#include "cafe/cafe.h"
#include "cafe/sys/loop.h"
#include "cafe/sys/store.h"
#include "cafe/sys/transport.h"
#include "saga/coordinator.h"
#include "schema/collect.h"

/*
 * The engine's own structures. One way through them, and nothing calls back up it:
 *
 *   submit.c   admission: an act is queued
 *   subject.c  load: the act's key is in memory, or read from the store
 *   unit.c     the act becomes a unit of work
 *   decide.c   decide, evolve, react: its commands, and those that their events cause
 *   seal.c     what it writes: rows, checkpoints, answers
 *   commit.c   group commit, and what follows it: answers, tasks, wakes of readers
 *   answer.c   the caller is told
 *
 * Beside it: task.c (workers), timer.c (durable timers), request.c (other nodes' aggregates), publish.c, subscribe.c
 * and consume.c (subscriptions), letter.c and replay.c (their dead letters), rebuild.c (views made anew), read.c
 * (lists), count.c (counts), changes.c, changes_read.c and tail.c (a view's changes), key.c (clients' keys), backup.c
 * and forget.c (upkeep), metrics.c and health.c (what an operator sees), node.c (life cycle), registry.c (what is
 * hosted).
 */

struct subject;
struct unit;
struct act;
typedef struct running_task running_task;
struct consumer;
struct guard;

#define CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* ---- registry.c: what is hosted, by number ---- */

typedef struct hosted_aggregate {
  const cafe_aggregate *type;
  const char *service;
  bool is_local;
  uint64_t number; /* stable, from its name: the high part of an attempt's row key */
} hosted_aggregate;

typedef struct hosted_saga {
  const cafe_saga *type;
  saga_plan *plan;
  uint64_t number; /* the row's sub */
} hosted_saga;

typedef struct hosted_view {
  const cafe_view *type;
  uint64_t number; /* of its row in `cafe_views`, from its name */
  cafe_table table;
  cafe_table shadow, hidden; /* where it is made anew */
  int64_t built_version;     /* of the definition that its rows are of */
  uint64_t noted_version;    /* of the row that says so; 0: none */
  bool is_outdated;          /* its rows are another definition's: they aren't added to until it is rebuilt */
  bool is_held;              /* by a rebuild: its subscriptions stand still */
  uint32_t forgetting;       /* of its rows, under way */
  int64_t rebuild_at_us;     /* not before, by the node itself */
  int64_t again_us;          /* after the next failure */
} hosted_view;

typedef struct index_list {
  uint32_t count;
  uint32_t *items;
} index_list;

/* What happens in this node when an event of this type does. */
typedef struct event_type {
  const cafe_schema *schema;
  uint32_t aggregate;
  uint32_t index;      /* among all event types */
  index_list policies; /* inline: of the event's own service, same key */
  index_list sagas;    /* of local events */
  index_list views;    /* inline */
} event_type;

typedef struct command_type {
  const cafe_command_type *type;
  uint32_t aggregate;
  uint64_t *decided;   /* so often, by verdict: for metrics */
  struct guard *guard; /* NULL: none */
} command_type;

#define LETTER_TABLE "cafe_dead_letters"

typedef struct registry {
  hosted_aggregate *aggregates;
  hosted_saga *sagas;
  hosted_view *views;
  const cafe_policy **policies;
  cafe_worker *workers;
  const cafe_service **services;
  uint32_t aggregate_count, saga_count, view_count, policy_count, worker_count, service_count;
  uint32_t event_count;
  const cafe_table **tables;  /* ended by NULL */
  const char **service_names; /* ended by NULL */
  const char *half_hosted;    /* a service with a mistake in it; NULL: none */
  map *events_by_name;
  map *events_by_schema;
  map *commands_by_schema;
  map *commands_by_name;
} registry;

enum { TABLE_IDS, TABLE_SAGAS, TABLE_WAKES, TABLE_ATTEMPTS, TABLE_LETTERS, TABLE_VIEWS, OWN_TABLES };
extern const cafe_table engine_tables[OWN_TABLES];

typedef struct id_row {
  int64_t next;
} id_row;
typedef struct wake_row {
  int64_t due_ms;
} wake_row;
/* With which version of its definition a view was built. None: with 1. */
typedef struct view_version_row {
  cafe_slice name;
  int64_t version;
} view_version_row;
typedef struct attempt_row {
  cafe_slice aggregate;
  int64_t task;
  int64_t attempt; /* begun, as far as is durable */
  int64_t due_ms;  /* the next one, 0: that attempt may be running */
} attempt_row;

int registry_add_service(cafe_node *node, const cafe_service *service, cafe_err *err);
int registry_add_worker(cafe_node *node, const cafe_worker *worker, cafe_err *err);
/* CAFE_INVALID: it is started, or its store is open. */
int registry_check_open(const cafe_node *node, cafe_err *err);
int registry_create(cafe_node *node);
int registry_finish(cafe_node *node, cafe_err *err);
void registry_destroy(cafe_node *node);
const event_type *registry_event(const cafe_node *node, const char *name);
const event_type *registry_event_of(const cafe_node *node, const cafe_schema *schema);
bool registry_is_local(const cafe_node *node, const event_type *type); /* of an aggregate of this node */
const command_type *registry_command(const cafe_node *node, const cafe_schema *schema);
const command_type *registry_command_named(const cafe_node *node, cafe_slice name);
/* The names of those types that this node's own aggregates emit, ended by NULL. NULL: no memory. */
const char **registry_local_types(cafe_node *node, const cafe_schema *const *types);
const cafe_worker *registry_worker(const cafe_node *node, const cafe_schema *task);
const hosted_view *registry_view(const cafe_node *node, const cafe_view *view); /* NULL: it isn't hosted */

/* ---- storage.c: the store's blocking calls as jobs ---- */

typedef struct storage_job {
  cafe_job job;
  struct storage_job *prev, *next;
  cafe_node *node;
  cafe_lane lane;
  int (*run)(struct storage_job *job, cafe_err *err); /* on the lane; touches only the job */
  void (*done)(struct storage_job *job);              /* loop thread, never inside storage_submit */
  int code;
  cafe_err err;
} storage_job;

void storage_submit(cafe_node *node, storage_job *job);
/* Runs the done of inline jobs. */
void storage_turn(cafe_node *node);

/* ---- acts: what wants a unit on a key ---- */

typedef enum act_kind {
  ACT_COMMAND = 1, /* a command for an aggregate of the key */
  ACT_TICK = 2,    /* time, for the key's sagas and tasks */
  ACT_ANSWER = 3,  /* a request that a saga made was answered */
  ACT_EVENT = 4,   /* an event of another log, for a consumer */
  ACT_ROWS = 5     /* the engine's own rows only */
} act_kind;

struct act {
  struct act *prev, *next; /* in one of: node->acts, subject->queue, unit->acts */
  act_kind kind;
  uint64_t key;
  struct subject *subject; /* of the key, which the act keeps in memory; NULL: to be looked up */
  bool is_coming;          /* … until it is taken there: counted by subject->coming */
  bool is_new_key;         /* nothing is stored under it: no load */
  uint32_t tries;
  cafe_slice trace;

  /* ACT_COMMAND; also the command behind an ACT_EVENT. BORROW: the act's owner, until finish. */
  const command_type *command;
  const void *data;

  /* ACT_ANSWER */
  uint32_t saga;
  saga_ask_kind ask_kind;
  uint32_t step, attempt;
  int code;
  cafe_verdict verdict;
  const cafe_event *event; /* with the answer; ACT_EVENT: the event */
  bool signals;            /* ACT_EVENT: the event is for that saga */

  /* ACT_EVENT */
  struct consumer *consumer;
  cafe_checkpoint checkpoint;
  const collected *commands;    /* what its policy asks; those of this key are for this act */
  bool is_last;                 /* of the event's acts: the checkpoint, or … */
  const cafe_row_write *letter; /* … what ends a letter, goes into its unit; NULL: it is no replay */
  bool is_at_fault;             /* it failed by what it asks for, not by the store, nor by another writer */

  /* ACT_ROWS */
  cafe_row_write row;

  running_task *task; /* settled by this command; or NULL */
  struct cafe_op *op; /* answered by this command; or NULL */

  /* Exactly once, from the pump or a commit. code CAFE_OK: committed, or nothing had to be. */
  void (*finish)(cafe_node *node, struct act *act, int code, const cafe_err *err);
  void *user;
};

/* Queues an act: it is executed in the pump, never inside. */
void act_submit(cafe_node *node, struct act *act);

/* ---- subject.c: everything that shares a key ---- */

struct stream {
  uint64_t version; /* with what is in flight */
  void *state;      /* NULL: no events */
};

typedef struct view_slot {
  struct view_slot *next;
  uint32_t view;
  uint64_t sub;
  uint64_t version; /* of the row; 0: none */
  void *row;
  bool is_shown;
  bool is_dirty;
} view_slot;

typedef struct attempt_slot {
  struct attempt_slot *next;
  uint32_t aggregate;
  uint32_t task;
  uint32_t attempt;
  int64_t due_ms;
  uint64_t version;
  const cafe_command *cause; /* the task's, if it was begun since the key was read */
} attempt_slot;

typedef enum subject_state {
  SUBJECT_NEW = 0,
  SUBJECT_LOADING = 1,
  SUBJECT_READY = 2,
  SUBJECT_STALE = 3 /* a unit failed: what is in memory is wrong; read again once nothing is in flight */
} subject_state;

struct subject {
  uint64_t key;
  cafe_node *node;
  subject_state state;
  cafe_arena *arena;
  struct stream *streams;  /* by aggregate number */
  saga_instance **sagas;   /* by saga number; NULL: none */
  uint64_t *saga_versions; /* of the rows; 0: none */
  view_slot *views;
  attempt_slot *attempts;

  struct act *queue;        /* waiting for the load, or for a fresh start */
  struct cafe_op *waiters;  /* for what isn't decided yet */
  struct cafe_op *answered; /* once the units that answer them are committed, in the order of those */
  running_task *tasks;
  struct unit *last_unit;     /* in flight; NULL: none */
  uint64_t unit_seq;          /* of the last one decided, written or not: whoever waits names his unit by it */
  uint64_t failed_seq;        /* units up to here rest on one that failed */
  uint64_t batch, held_batch; /* the last batch that it has a unit in, or left one out of */
  uint32_t in_flight;

  uint32_t coming;     /* acts on their way here */
  uint32_t requests;   /* to other nodes, under way */
  uint32_t holds;      /* somebody up the stack uses it */
  int64_t task_due_ms; /* the earliest task that waits for its time; 0: none */

  heap_item due; /* in node->due from the subject's creation on; INT64_MAX: nothing is due */
  uint64_t wake_version;
  int64_t wake_written_ms; /* in the store; 0: no row */
  bool is_resumed;         /* what a restart left was taken up */
  struct act tick;
  bool is_ticking;  /* tick is under way */
  bool awaits_tick; /* it is on its way here, and nothing is decided before it */

  struct idle_list *idle; /* while nothing needs it; NULL: it is needed */
  struct subject *lru_prev, *lru_next;
};

/* Subjects that nothing needs, the oldest first. */
typedef struct idle_list {
  struct subject *first;
  uint32_t count;
} idle_list;

/* Of those that are over so many are kept: for a repeated command, which comes soon or never. */
enum { OVER_CACHED = 32 };

/* Its sagas have all ended, and it has some: nothing comes of it by itself. */
bool subject_is_over(const struct subject *subject);
struct subject *subject_find(cafe_node *node, uint64_t key);
struct subject *subject_get(cafe_node *node, uint64_t key, cafe_err *err); /* creates it; NULL: no memory */
void subject_load(struct subject *subject);
void subject_make_stale(struct subject *subject);
/* After anything that may have freed it for eviction, or allow a reload. */
void subject_settle(struct subject *subject);
void subject_drop(struct subject *subject);
/* It is needed: not thrown out before subject_settle finds it idle again. */
void subject_rouse(struct subject *subject);
/* An act of its key will come: it stays in memory until then. */
void subject_expect(struct subject *subject, struct act *act);
/* It doesn't come, if it was to. */
void subject_miss(struct act *act);
/* An act for it: executed at once, or when it was read. */
void subject_take(struct subject *subject, struct act *act);
/* A zeroed one where there are no events. NULL: no memory. */
void *subject_state_of(struct subject *subject, uint32_t aggregate);
view_slot *subject_view(struct subject *subject, uint32_t view, uint64_t sub); /* NULL: no memory */
attempt_slot *subject_attempt(const struct subject *subject, uint32_t aggregate, uint32_t task);
/* Folds a committed event that was read. CAFE_CORRUPT, CAFE_NOMEM. */
int subject_apply(struct subject *subject, const event_type *type, const cafe_event *event, cafe_err *err);
/* The callbacks, with what they fail with told. *out of view_sub stays as it is where the view has no sub. */
int aggregate_evolve(const cafe_aggregate *type, void *state, const cafe_event *event, cafe_arena *arena,
                     cafe_err *err);
int view_sub(uint64_t *out, const cafe_view *type, const cafe_event *event, cafe_err *err);
int view_fold(cafe_fold *out, const cafe_view *type, void *row, const cafe_event *event, cafe_arena *arena,
              cafe_err *err);
/* What a fold has copied into its arena, at least. */
size_t view_text_bytes(const cafe_view *type, const void *row);
/* What a give_up said of this key: *type and *data are its one command's, NULL where it said none. What it failed with,
 * or CAFE_INVALID: several, or one to another key, or one that no aggregate of this node takes. */
int callback_gave_up(const command_type **type, const void **data, const cafe_node *node, const cafe_reaction *said,
                     uint64_t key, cafe_err *err);

/* ---- unit.c, decide.c, seal.c ---- */

typedef struct unit_event {
  struct unit_event *next;
  cafe_event event;
  const event_type *type;
} unit_event;

typedef struct wanted_task {
  struct wanted_task *next;
  uint32_t aggregate;
  uint32_t id;
  const cafe_schema *type;
  const void *data;
  int64_t not_before_ms;
} wanted_task;

/* The last command that changed an aggregate with tasks. */
typedef struct task_cause {
  struct task_cause *next;
  const command_type *command;
  const void *data;
} task_cause;

typedef struct remote_ask {
  struct remote_ask *next;
  uint32_t saga;
  const saga_ask *ask;
} remote_ask;

struct unit {
  cafe_unit store;
  struct unit *prev, *next; /* in node->ready, or in its batch's commit_job */
  cafe_arena *arena;
  struct subject *subject;
  uint64_t seq;
  struct act *acts; /* what it answers: its own, and those whose answers rest on it */
  int64_t now_ms;
  cafe_slice trace; /* of what caused it: goes on in its events, tasks and requests */
  unit_event *events, *last_event;
  wanted_task *wanted; /* after it, if looked_at_tasks */
  bool is_chained;     /* it can't be written without the one before it: they share a stream, row or checkpoint */
  bool is_abandoned;   /* it rests on one that wasn't written */
  bool looked_at_tasks;
  bool is_resuming; /* the first look after the key was read: what is wanted may have run before */
  struct task_cause *causes;
  remote_ask *asks;
  int64_t wake_ms; /* written by it; -1: not written */
  int64_t due_ms;  /* of the subject's sagas, as of this unit */

  struct consumer *consumer; /* whose event's effect it is; NULL: none's */

  /* A view's, or a letter's: no subject. */
  struct rebuild *rebuild;
  void (*finished)(struct unit *unit, int code, const cafe_err *err);
};

/* Decides one act on its subject, which is ready. */
void unit_execute(struct subject *subject, struct act *act);
void unit_free(cafe_node *node, struct unit *unit);

/* ---- commit.c ---- */

void commit_push(cafe_node *node, struct unit *unit);
/* A unit that writes nothing: done when what it rests on is. */
void commit_nothing(cafe_node *node, struct unit *unit);
void commit_turn(cafe_node *node);

/* ---- operations ---- */

struct cafe_op {
  struct act act;
  cafe_node *node;
  cafe_op *prev, *next;               /* in node->ops */
  cafe_op *prev_waiter, *next_waiter; /* in subject->waiters, or ->answered */
  cafe_arena *arena;
  const cafe_schema *command;
  bool wants_new_key;
  cafe_client_key client_key; /* key.size 0: none */
  bool has_claimed;           /* the key's row names act.key already */
  uint64_t replaces;
  int (*reply)(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user);
  void *reply_user;
  cafe_op_cb done;
  void *user;
  /* Instead of done: another node's command (request.c), a read (read.c). */
  void (*served)(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome);
  void *serves;
  heap_item deadline;
  cafe_budget budget; /* of what is done for it */
  bool is_waiting;    /* in subject->waiters or ->answered */
  bool is_acting;     /* its act is under way */
  bool is_detached;   /* answered already: freed when its act finishes */
  bool is_canceled;
  bool is_joined;       /* another one claimed the client's key first: it waits for that one's outcome */
  uint64_t claimed_by;  /* the unit that claims the client's key */
  uint64_t seq;         /* of the unit that made it wait */
  uint64_t answered_by; /* of the unit whose commit answers it; 0: none yet */
  bool has_looked;      /* the client's key was read: nothing was there */
  bool wants_look;      /* it is to be, before a guard refuses the op */

  /* While it holds a permit (guard.c). */
  struct guard *guard; /* NULL: it holds none */
  cafe_permit breaker_permit, limit_permit;
  int64_t guarded_us; /* since then */
  bool is_probe;

  /* The answer, as decided; given when what it rests on is committed. */
  cafe_verdict verdict;
  cafe_verdict pending_verdict; /* before the answer was made */
  const char *reason, *text;
  int64_t retry_after_ms; /* 0: not known */
  cafe_slice reply_bytes;
  const void *state;
  uint64_t version;
  const cafe_event *event;
};

/* ---- answer.c ---- */

/* Answers an op and frees it, or detaches it where its act is under way. */
void op_answer(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome);
/* What the aggregate said to it. CAFE_NOMEM. */
int op_decided(cafe_op *op, cafe_verdict verdict, const char *reason, const char *text);
void op_wait(cafe_op *op, struct subject *subject, uint64_t seq);
void op_leave(cafe_op *op, struct subject *subject);
/* Its unit writes nothing: it is done, or fails, with unit seq. */
void op_rest_on(cafe_op *op, struct subject *subject, uint64_t seq);
/* Whether this unit answers the op; then the answer is made, and the row for its client's key, if *key is free. */
int op_prepare(cafe_op *op, struct unit *unit, bool is_own, cafe_key_write **key, cafe_err *err);
/* What it is told, as it stands. */
void op_fill_outcome(cafe_outcome *out, const cafe_op *op);
/* Unit seq is committed: those that it answers are answered. */
void op_committed(struct subject *subject, uint64_t seq);
/* It failed, and its acts are still there: its own don't wait any more, those that it answers wait on. */
void op_failed(struct subject *subject, const struct unit *unit);
/* Its waiters are told that the key can't be read. */
void op_fail_waiters(struct subject *subject, const cafe_err *err);
/* Frees one that is in no list any more. */
void op_free(cafe_op *op);
/* Frees one that was never handed out. */
void op_discard(cafe_op *op);

/* ---- submit.c ---- */

/* The client's key is somebody else's. */
void op_key_found(cafe_op *op, const cafe_key_record *found);
/* It was read (key_look): found, or not, or a failure. */
void op_key_looked(cafe_op *op, int code, const cafe_err *err, const cafe_key_record *found);
/* Decides its act once more. */
void op_again(cafe_op *op);
int op_submit(cafe_op **out, cafe_node *node, const cafe_submit *submit, cafe_err *err);
void op_turn(cafe_node *node, int64_t now_us);
void op_close(cafe_node *node);

/* ---- read.c, changes.c ---- */

/* One that has no act: `served` is called when it is answered, by whoever serves it, or earlier by its deadline or its
 * caller. NULL: no memory. */
cafe_op *op_make(cafe_node *node, void *serves, void (*served)(cafe_op *, const cafe_err *, const cafe_outcome *),
                 void *user);
/* Those that wait for a view. */
void read_turn(cafe_node *node);
/* Those that wait for a view's changes. */
void changes_turn(cafe_node *node, int64_t now_us);
/* Whether it may be read from. */
int read_check(const cafe_node *node, cafe_err *err);
/* CAFE_UNAVAILABLE: it is inline, and its rows are another definition's. */
int read_check_view(const hosted_view *view, cafe_err *err);

/* ---- task.c ---- */

void task_reconcile(struct subject *subject, const struct unit *unit);
/* Its answer is committed by the unit. */
void task_settled(running_task *task, const struct unit *unit);
int64_t task_due_ms(const struct subject *subject, const wanted_task *wanted, int64_t now_ms);
void task_turn(cafe_node *node, int64_t now_us);
void task_stop_all(struct subject *subject);
/* A drain or a close begins: what only waits for its turn at a worker isn't waited for. */
void task_drop_held(struct subject *subject);
/* Names what the subject's states want. */
int task_look(struct subject *subject, cafe_arena *arena, wanted_task **out, cafe_err *err);

/* ---- request.c ---- */

/* What goes between nodes. */
extern const cafe_schema wire_request_type, wire_answer_type;
void request_send(struct subject *subject, const remote_ask *ask, cafe_slice trace);
void request_serve(cafe_node *node, cafe_incoming *incoming);
void request_forget(cafe_node *node, cafe_incoming *incoming);
void request_close(cafe_node *node);

/* ---- publish.c, subscribe.c, consume.c, effect.c ---- */

void publish_pull(cafe_node *node, cafe_pull *pull);
void publish_forget(cafe_node *node, cafe_pull *pull);
void publish_turn(cafe_node *node);
bool publish_is_due(const cafe_node *node);
/* The unit's events are durable. */
void publish_committed(cafe_node *node, const struct unit *unit);
void publish_close(cafe_node *node);
void publish_destroy(cafe_node *node);

/* effect.c: events have their effects, in their order. */
void effect_turn(cafe_node *node);
int consume_start(cafe_node *node, cafe_err *err);
void consume_turn(cafe_node *node, int64_t now_us);
void consume_close(cafe_node *node);
void consume_destroy(cafe_node *node);

/* ---- rebuild.c ---- */

/* What the store has of other versions is found out; it is rebuilt in later turns. */
int rebuild_start(cafe_node *node, cafe_err *err);
void rebuild_turn(cafe_node *node, int64_t now_us);
bool rebuild_is_making(const cafe_node *node, const hosted_view *view); /* anew */
int64_t rebuild_next_us(const cafe_node *node);                         /* monotonic; INT64_MAX: nothing is due */
void rebuild_drain(cafe_node *node);
void rebuild_close(cafe_node *node);
void rebuild_destroy(cafe_node *node);

/* ---- forget.c ---- */

/* Those that wait for the end of a rebuild. */
void forget_turn(cafe_node *node);

/* ---- the node ---- */

/* Arenas that are reset, for whoever needs one next. */
enum { SPARE_ARENAS = 256 };
typedef struct arena_pool {
  size_t block; /* the first one of each: what it is for mostly fits, and lies together */
  uint32_t count;
  cafe_arena *spare[SPARE_ARENAS];
} arena_pool;

typedef enum node_state {
  NODE_CREATED = 0,
  NODE_RUNNING = 1,
  NODE_DRAINING = 2,
  NODE_CLOSING = 3,
  NODE_CLOSED = 4
} node_state;

/* metrics.c: how many values are up to which bound; the last one is beyond all. */
enum { HISTOGRAM_BUCKETS = 12 };
typedef struct histogram {
  uint64_t sum;
  uint64_t counts[HISTOGRAM_BUCKETS + 1];
} histogram;

struct cafe_node {
  cafe_allocator allocator;
  cafe_log log;
  char *name;
  cafe_loop *loop;
  cafe_store *store;
  cafe_transport *transport;
  uint32_t max_queued, max_batch, max_cached, id_block;
  uint64_t max_record_attempts;
  node_state state;
  registry registry;
  cafe_arena *registry_arena;
  uint64_t log_id;
  int64_t restored_ms;          /* the store was made from a backup then; 0: it wasn't */
  const cafe_position *origins; /* … of these logs, each up to there. BORROW: the store's */
  uint32_t origin_count;
  uint32_t shards; /* of the store's log, from its open on */
  uint64_t *heads; /* per shard, as far as this node knows */

  cafe_timer pump;    /* runs the turn: at once when there is work, else when something is due */
  cafe_wake wake;     /* runs it where there is no memory to start the pump */
  int64_t pump_at_us; /* INT64_MAX: not set */
  bool is_pump_due;   /* it is set to run at once */
  bool is_store_open; /* by a start, which may have failed later */
  bool is_turning;
  int64_t turn_us; /* the time of this turn: one look at the clock, since everything in it is at once */
  bool is_closing_ops;
  bool is_consuming;   /* subscriptions are open: while it runs, and while an operation waits in a draining node */
  int64_t utc_base_ms; /* UTC = utc_base_ms + monotonic */

  struct act *acts;   /* submitted, not looked at yet */
  struct unit *ready; /* decided, waiting for the next batch */
  uint32_t ready_count;
  int64_t ready_us; /* monotonic: since when there has been any */
  bool is_awaited;  /* somebody waits for one of them */
  struct commit_job *commits;
  uint32_t next_commit;          /* the one that the next batch takes */
  struct commit_job *committing; /* its outcome isn't known yet; NULL: the store is free */
  uint32_t units_in_flight;      /* decided, and not over: those of keys */
  bool has_failed;               /* there may be units in `ready` that rest on one that failed */
  uint64_t batch_number;
  storage_job *jobs_done; /* inline jobs, to be finished in the turn */
  uint32_t jobs;          /* under way */

  map *subjects;
  uint32_t loads;  /* of keys, under way */
  uint32_t pauses; /* above 0: no act is taken up; rebuilds of inline views wait until nothing is under way */
  struct rebuild *rebuilds;
  struct rows_job *forgets; /* that wait for their end */
  idle_list idle, idle_over;
  heap *due;       /* subjects and far wakes, by UTC ms */
  heap *deadlines; /* ops, by monotonic us */
  heap *retries;   /* tasks: timeouts, by monotonic us */
  struct guard *guards;
  struct timer_state *timers;
  cafe_op *ops;
  uint32_t op_count;
  uint32_t wait_count;   /* ops that wait for a view */
  struct watch *watches; /* ops that wait for a view's changes */
  bool has_new_watches;  /* some weren't looked at yet */
  struct tail *tails;    /* of other nodes' logs, for them */
  bool has_canceled;     /* some op is_canceled */
  struct consumer *consumers;
  bool has_effects; /* of events in hand, some may go on */
  struct letters *letters;
  struct publisher *publisher; /* NULL: nobody has pulled yet */
  struct request_out *requests;
  cafe_server server;

  uint64_t id_next, id_end; /* keys in hand: id_next to id_end - 1 */
  uint64_t id_version;      /* of the row */
  int64_t id_stored;
  struct id_job *id_job; /* reserving; NULL: not */
  struct act *waiting_for_id;

  void (*drained)(const cafe_err *err, void *user);
  void *drained_user;
  bool is_drained;
  void (*closed)(const cafe_err *err, void *user);
  void *closed_user;
  cafe_arena *call_arena;
  arena_pool small_arenas, large_arenas;
  cafe_node_stats stats;
  histogram commit_us, commit_units;
  uint64_t batches_failed;
  cafe_err write_err;  /* of the last write; code CAFE_OK: it succeeded */
  int64_t probe_at_us; /* the next write of the library's own, while they fail */
  bool is_store_lost;  /* it has to be opened anew */
  void (*store_lost)(const cafe_err *err, void *user);
  void *store_lost_user;
  struct saga_census *census; /* the last look at the sagas; NULL: none yet */
  int64_t census_at_us;       /* the next one not before */
};

/* Makes the pump run in the next turn. */
void node_pump(cafe_node *node);
void *node_alloc(cafe_node *node, size_t size); /* zeroed */
/* An arena for an operation, a task, a read: what lives in turns of the loop. NULL: no memory. */
cafe_arena *node_arena(cafe_node *node);
void node_arena_free(cafe_node *node, cafe_arena *arena);
/* The same for all of a key, or of a unit. */
cafe_arena *node_large_arena(cafe_node *node);
void node_large_arena_free(cafe_node *node, cafe_arena *arena);
void node_free(cafe_node *node, void *block);
int64_t node_utc_ms(const cafe_node *node);
int64_t node_now_us(const cafe_node *node);
/* So long from now; INT64_MAX where that is beyond all time. */
int64_t node_after_us(const cafe_node *node, int64_t ms);
/* CAFE_OVERLOADED: there are as many operations as may be. */
int node_has_room(const cafe_node *node, cafe_err *err);
/* CAFE_INVALID: somebody up the stack turns the node. */
int node_may_block(cafe_node *node, cafe_err *err);
uint64_t node_random(const cafe_node *node);
void node_log(cafe_node *node, cafe_log_level level, uint64_t key, cafe_slice trace, const char *format, ...)
    CAFE_PRINTF(5, 6) CAFE_COLD;

#endif
