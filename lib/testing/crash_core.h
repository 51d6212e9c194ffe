/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTING_CRASH_CORE_H
#define TESTING_CRASH_CORE_H

#include "cafe/sys/loop.h"
#include "cafe/testing/crash.h"
#include "cafe/testing/faults.h"
#include "cafe/testing/sim.h"
#include "cafe/transport/inproc.h"
#include "testing/given_core.h"
#include "testing/heap.h"

/* What the parts of crash.h share. */

/* One node: its lives follow each other on one loop and one store. */
typedef struct crash_process {
  cafe_crash *run;
  uint32_t index;
  cafe_loop *loop;
  cafe_store *inner, *store; /* the one that keeps, and the one around it that fails; NULL: not open */
  cafe_transport *transport; /* NULL: there is one node only */
  process_heap heap;
  cafe_node *node; /* NULL: it is down */
  uint32_t starts;
  bool was_opened; /* its store has been made once */
} crash_process;

/* What a client asks. */
typedef struct crash_call {
  struct crash_call *next;
  cafe_crash *run;
  cafe_crash_answer answer;
  cafe_op *op;            /* while a node has it */
  crash_process *process; /* that has it */
  cafe_submit submit;
  cafe_client_key client_key;
  bool is_once;
  bool is_over; /* it is answered, or (once) has failed */
  cafe_timer again;
} crash_call;

typedef struct crash_entry crash_entry;
typedef struct crash_errand crash_errand;
typedef struct crash_employee crash_employee;

enum { CRASH_LINES = 6 };

typedef struct crash_line {
  char text[160];
} crash_line;

struct cafe_crash {
  const cafe_crash_scenario *scenario;
  const cafe_crash_options *options;
  cafe_allocator allocator;
  cafe_arena *arena;

  /* The fault. */
  cafe_crash_kind kind;
  uint32_t target;
  uint64_t n;
  uint64_t seed;
  bool is_hit;

  cafe_loop *world; /* of clients and the world outside */
  cafe_inproc *hub;
  crash_process *processes;
  uint32_t count;
  bool is_driving;  /* faults may still come */
  bool is_striking; /* one is under way */
  bool is_inline;
  uint64_t steps;
  uint64_t dice;
  uint32_t strikes_left;
  uint64_t next_strike;

  crash_call *calls;
  crash_employee *employees;
  crash_errand *errands;
  crash_entry *book;

  bool is_wrong;
  char why[600];
  crash_line lines[CRASH_LINES];
  uint64_t line_count;
};

/* ---- crash_run.c ---- */

/* A run from its begin to its check. CAFE_OK, and run->is_wrong says how it went; CAFE_NOMEM and what else keeps the
 * tool from running at all. */
int crash_play(cafe_crash *run, cafe_err *err);
/* One thing happens, faults too. False: nothing is left that ever could, or the run has failed. */
bool crash_step(cafe_crash *run);
/* Makes nodes that are down anew. */
void crash_start_all(cafe_crash *run);

/* Ends a life: kill -9; in order; in order after what was asked for is done. */
void process_kill(crash_process *process);
void process_close(crash_process *process);
void process_drain(crash_process *process);
/* Whether a fault of its store came to pass. */
bool process_was_hit(const crash_process *process);

/* ---- crash_strike.c ---- */

/* What is to strike at this step does. */
void crash_strike(cafe_crash *run);
void crash_strike_begin(cafe_crash *run);
/* The faults that the store of a node has in its first life. */
cafe_store_faults crash_store_faults(const cafe_crash *run, uint32_t index);

/* ---- crash_client.c ---- */

/* The answers of a process that was killed never come. */
void client_lost(crash_process *process);
bool client_is_waiting(const cafe_crash *run);
/* Of a node that is closed or drained: who waits is wrong. */
void client_check_answered(crash_process *process);
void client_give_up(cafe_crash *run);
/* Before the run's memory goes. */
void client_end(cafe_crash *run);

/* ---- crash_outside.c ---- */

/* The process is gone: what it asked for goes on, and is never answered. */
void outside_forget(crash_process *process);
void outside_end(cafe_crash *run);

#endif
