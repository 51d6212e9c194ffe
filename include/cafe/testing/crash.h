/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_TESTING_CRASH_H
#define CAFE_TESTING_CRASH_H

#include "cafe/op.h"
#include "cafe/testing/given.h"

CAFE_BEGIN_DECLS

/*
 * Crashes and faults, one after the other, for users' own definitions. A scenario says what is hosted, what clients ask
 * for, and what must be so in the end. It is run on a simulated loop, first without a fault, then with one at its first
 * moment, at its second, …, until there is no such moment any more; each time the process is started anew on what its
 * store has, everything comes to rest, in virtual time, and is checked. What fails is told with the fault, its number,
 * and a word by which that one run can be repeated.
 *
 * In random runs a seed draws everything: what happens first, late timers, slow jobs, and several faults.
 *
 * Nothing here asserts, prints or ends the process. One thread.
 */

/* One run of a scenario. What is called with it gets it BORROW: until it returns. */
typedef struct cafe_crash cafe_crash;

/* What goes wrong in a run. More may be added. */
typedef enum cafe_crash_kind {
  CAFE_CRASH_NOTHING = 0,
  CAFE_CRASH_BEFORE_COMMIT = 1, /* the process dies, commit n isn't done */
  CAFE_CRASH_AFTER_COMMIT = 2,  /* commit n is done, and the process dies before it learns of it */
  CAFE_CRASH_STORE_CALL = 3,    /* the store's n-th call fails by CAFE_UNAVAILABLE */
  CAFE_CRASH_STORE_CALLS = 4,   /* as many as in_a_row from the n-th on */
  CAFE_CRASH_ALLOCATION = 5,    /* the node's n-th allocation is refused */
  CAFE_CRASH_ALLOCATIONS = 6,   /* as many as in_a_row from the n-th on */
  CAFE_CRASH_GIVEN_UP = 7,      /* after step n each caller who waits gives up; who has to get his answer asks again */
  CAFE_CRASH_CLOSED = 8,        /* after step n the node is closed, and started anew */
  CAFE_CRASH_DRAINED = 9,       /* after step n the node is drained, and started anew */
  CAFE_CRASH_RANDOM = 10        /* several of these, drawn by seed n */
} cafe_crash_kind;
enum { CAFE_CRASH_KINDS = 16 }; /* as many as a report has room for */

/* What a user says. Callbacks get `user` last, run on the one thread there is, and need not be pure. Fields may be
 * added at the end. */
typedef struct cafe_crash_scenario {
  size_t size;    /* CAFE_CRASH_SCENARIO sets it */
  uint32_t nodes; /* that are joined, from 0; 0: one */

  /* OPTIONAL. A run begins: the user's own is as new. */
  void (*begin)(cafe_crash *run, void *user);

  /* REQUIRED. A process begins: hosts services and employs workers on a node that was just made. It is called for each
   * life of each node. A failure after a fault ends that life, and another begins; any other fails the run. Either is
   * followed by ended. */
  int (*host)(cafe_crash *run, cafe_node *node, uint32_t index, cafe_err *err, void *user);

  /* OPTIONAL. That process is over, its node is gone: lets go of what host made, as far as it came. was_killed: as by
   * kill -9, so tasks that were started are forgotten and must not be answered, and what lay in the node's memory is no
   * more. */
  void (*ended)(cafe_crash *run, uint32_t index, bool was_killed, void *user);

  /* REQUIRED. The clients: asks by cafe_crash_ask and its like, and returns when they have what they want. */
  void (*drive)(cafe_crash *run, void *user);

  /* OPTIONAL. Whether what must always be so is so; after each step, also while a node is down, but for a store of
   * one's own that couldn't be opened yet. False: by cafe_crash_wrong. */
  bool (*watch)(cafe_crash *run, void *user);

  /* REQUIRED. Whether all is well, at rest: no fault any more, all nodes up, nothing left to do. False: by
   * cafe_crash_wrong. */
  bool (*check)(cafe_crash *run, void *user);

  /* OPTIONAL. A store for a life of a node, not opened: new and without data, or again, with what it has; the one
   * before is destroyed. OWN: the run's. A failure fails the run. NULL: one in memory. */
  int (*open_store)(cafe_store **out, cafe_crash *run, uint32_t index, bool is_new, cafe_err *err, void *user);

  void *user;
} cafe_crash_scenario;

#define CAFE_CRASH_SCENARIO sizeof(cafe_crash_scenario)

typedef struct cafe_crash_options {
  size_t size;
  const cafe_allocator *allocator; /* COPY. Below everything; NULL: malloc */
  uint32_t kinds;                  /* bits, 1 << a cafe_crash_kind; 0: all but CAFE_CRASH_RANDOM. The run without a
                                      fault is always made, first */
  uint32_t in_a_row;               /* for the two kinds that fail several times; 0: 20 */
  uint64_t seed;                   /* of the runs that draw no seed for themselves, and the first of those that do */
  uint64_t random_runs;            /* of CAFE_CRASH_RANDOM; 0: 100 */
  uint64_t max_each;               /* runs of one kind on one node; 0: until nothing is hit */
  bool is_inline;                  /* the store in memory runs within the loop, else on its lanes, as one that blocks */
  const char *only;                /* the word of a report: that one run alone; NULL or "": all */
} cafe_crash_options;

#define CAFE_CRASH_OPTIONS_INIT                                                                                        \
  { sizeof(cafe_crash_options), NULL, 0, 0, 1, 0, 0, false, NULL }

/* What came of it. The caller sets size; fields may be added at the end. */
typedef struct cafe_crash_report {
  size_t size;
  uint64_t runs;                   /* all, those without a fault too */
  uint64_t hits[CAFE_CRASH_KINDS]; /* runs in which the fault came to pass, by kind */
  bool is_well;
  /* Of the run that failed: */
  cafe_crash_kind kind;
  uint32_t node;
  uint64_t n;
  uint64_t seed;
  char word[48];  /* hands it in as `only`, and that run is repeated */
  char why[2048]; /* the fault, what was wrong, the word, and the last that the nodes logged; "" if all is well */
} cafe_crash_report;

#define CAFE_CRASH_REPORT_INIT                                                                                         \
  { sizeof(cafe_crash_report), 0, {0}, false, CAFE_CRASH_NOTHING, 0, 0, 0, "", "" }

/* Runs the scenario with each fault in turn, up to the first run that fails. Returns whether all were well; false too
 * where the scenario or the options are wrong, or memory is refused: why says so. A fault that never comes to pass (no
 * commit at all) is no failure: hits tells. scenario, options (may be NULL) BORROW: until it returns. Since 0.1. */
CAFE_EXPORT bool cafe_crash_enumerate(cafe_crash_report *out, const cafe_crash_scenario *scenario,
                                      const cafe_crash_options *options);

/* ---- for drive ---- */

/* What a client was told. Made by the library; fields may be added at the end. */
typedef struct cafe_crash_answer {
  size_t size;
  int code; /* CAFE_OK, and the rest is set; else how a try failed: CAFE_CANCELED (given up, closed), CAFE_UNAVAILABLE,
               CAFE_TIMEOUT (its process died: nobody knows), … */
  cafe_verdict verdict;
  uint64_t key;
  uint64_t version;
  const cafe_schema *event; /* the outcome, or the stream's last one in this unit; NULL: none, or the answer was kept */
  char reason[48];          /* CAFE_REFUSED */
  uint32_t tries;
} cafe_crash_answer;

/* A client who has to get his answer: asks, and asks again after a crash, a failure, or having given up, until there is
 * one; a refusal is one. With client_key (COPY; NULL: none) each try is made under it, and its answer is kept there, so
 * that a try that comes late changes nothing; without, the aggregate's state alone has to know a repeat. key 0: a new
 * one, and then client_key is REQUIRED. The node that takes the command is found. BORROW: until the run ends. NULL: the
 * run has failed (he is never answered, or the command is wrong); return then. Since 0.1. */
CAFE_EXPORT const cafe_crash_answer *cafe_crash_ask(cafe_crash *run, const char *client_key, uint64_t key,
                                                    const cafe_schema *command, const void *data, size_t data_size);

/* A client who asks once, and takes what comes of it. Since 0.1. */
CAFE_EXPORT const cafe_crash_answer *cafe_crash_try(cafe_crash *run, const char *client_key, uint64_t key,
                                                    const cafe_schema *command, const void *data, size_t data_size);

/* As cafe_crash_ask, but without waiting: for clients who ask at the same time. It is answered before the check at the
 * latest; until then the answer's `tries` rises, and its verdict is 0. Since 0.1. */
CAFE_EXPORT const cafe_crash_answer *cafe_crash_send(cafe_crash *run, const char *client_key, uint64_t key,
                                                     const cafe_schema *command, const void *data, size_t data_size);

/* Time passes, and what is due happens. False: the run has failed. Since 0.1. */
CAFE_EXPORT bool cafe_crash_pass(cafe_crash *run, int64_t ms);

/* ---- for any callback ---- */

/* Fails the run: the first text is kept. Returns false. Since 0.1. */
CAFE_EXPORT bool cafe_crash_wrong(cafe_crash *run, const char *format, ...) CAFE_PRINTF(2, 3);

/* The loop of a node, for timers of one's own, all of which are gone when it is killed. BORROW: until the run ends.
 * Since 0.1. */
CAFE_EXPORT cafe_loop *cafe_crash_loop(cafe_crash *run, uint32_t index);

/* The node; NULL while it is down. BORROW: until its life is over. Since 0.1. */
CAFE_EXPORT cafe_node *cafe_crash_node(cafe_crash *run, uint32_t index);

/* A number that the seed draws, from 0 to below - 1; below is above 0. Since 0.1. */
CAFE_EXPORT uint64_t cafe_crash_draw(cafe_crash *run, uint64_t below);

/* The state of a stream as the store has it: of all zeros where there is none. BORROW: until the run ends. NULL: it
 * can't be read, and the run has failed. Since 0.1. */
CAFE_EXPORT const void *cafe_crash_state(cafe_crash *run, const cafe_aggregate *aggregate, uint64_t key);

/* Whether the store has exactly these events of a stream (ended by one without type; NULL: none), compared as in
 * given.h; a fact without data is compared by its type alone. Else the run has failed, and says which. Since 0.1. */
CAFE_EXPORT bool cafe_crash_happened(cafe_crash *run, const cafe_aggregate *aggregate, uint64_t key,
                                     const cafe_fact *events);

/* Whether a key's saga is so, as by cafe_then_stands. Else the run has failed. Since 0.1. */
CAFE_EXPORT bool cafe_crash_stands(cafe_crash *run, const cafe_saga *saga, uint64_t key, const char *phase,
                                   const char *steps);

/* ---- the world outside ---- */

/*
 * A worker by a script: for what a real one would do over a wire. It has its own loop, so that what was begun there
 * goes on when the node that asked is gone. A book is kept of what was done, by key and task id. Fields may be added at
 * the end.
 */
typedef struct cafe_crash_worker {
  size_t size;             /* CAFE_CRASH_WORKER sets it */
  const cafe_schema *task; /* REQUIRED. */
  cafe_retry retry;        /* of the worker */
  int64_t delay_ms;        /* from being asked to the answer; what is asked is done half way */
  int64_t jitter_ms;       /* drawn, and added */
  uint32_t fail_first;     /* of each task: so many attempts fail, and nothing is done */
  uint32_t lose_first; /* of each task: so many attempts after those are done, and never answered; needs a timeout */
  bool is_forgetful;   /* it knows no idempotency key: each attempt is done anew */

  /* REQUIRED. It was done: names by cafe_react the one command that answers the task, to its own key. */
  void (*settle)(cafe_reaction *out, const cafe_task *task, void *user);
  /* REQUIRED if retry.max_attempts isn't 0: as a worker's. */
  void (*give_up)(cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user);
  void *user;
} cafe_crash_worker;

#define CAFE_CRASH_WORKER sizeof(cafe_crash_worker)

/* Employs it; inside host. worker COPY, its user BORROW: until the run ends. CAFE_INVALID, CAFE_UNSUPPORTED (it asks
 * for what only a newer library knows), CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_crash_employ(cafe_crash *run, cafe_node *node, const cafe_crash_worker *worker, cafe_err *err);

/* A worker of one's own writes into the book: asked for this task; has done it, now. Since 0.1. */
CAFE_EXPORT void cafe_crash_asked(cafe_crash *run, const cafe_task *task);
CAFE_EXPORT void cafe_crash_did(cafe_crash *run, const cafe_task *task);

/* How often the book says that it was done. Since 0.1. */
CAFE_EXPORT uint32_t cafe_crash_times(cafe_crash *run, const cafe_schema *task, uint64_t key, uint32_t id);

/* Whether each task of that type that was asked for was done, and none more than once. Else the run has failed, and
 * says which. Since 0.1. */
CAFE_EXPORT bool cafe_crash_did_once(cafe_crash *run, const cafe_schema *task);

CAFE_END_DECLS

#endif
