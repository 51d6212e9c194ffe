/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ORDER_WORLD_H
#define ORDER_WORLD_H

#include "cafe/aggregate.h"
#include "cafe/order.h"
#include "cafe/payment.h"
#include "domain/services.h"
#include "saga/coordinator.h"
#include "schema/collect.h"

/*
 * One order's world without an engine: the four aggregates, their policies and the saga, each command and event carried
 * by hand. Together: all in one unit, first in, first out. Apart: each service has its log, and what goes between them
 * waits until it is delivered, any number of times and in any order across the logs. What must always hold is checked
 * after every unit; a breach fails the test and names the seed.
 */
typedef enum world_service { WORLD_APP, WORLD_PAY, WORLD_STORE, WORLD_CUSTOMER, WORLD_SERVICES } world_service;

enum { WORLD_LOG_MAX = 64, WORLD_WIRES_MAX = 8, WORLD_REQUESTS_MAX = 64, WORLD_WAITERS_MAX = 64 };

typedef struct world_log {
  const cafe_aggregate *aggregate;
  void *state;
  cafe_event events[WORLD_LOG_MAX];
  size_t count;
} world_log;

/* What reads a log: a policy, or (NULL) the saga. */
typedef struct world_wire {
  const cafe_policy *policy;
  world_service source;
  world_service reader;
  size_t next;
} world_wire;

/* AuthorizePayment on its way to another node. */
typedef struct world_request {
  saga_ask ask;
  bool is_waiting; /* at pay, for its outcome */
  bool was_there;
  bool is_answered;
} world_request;

/* A caller who was told PENDING. */
typedef struct world_waiter {
  const cafe_command_type *command;
  cafe_cancel_by by;
  cafe_verdict verdict; /* 0: still waits */
} world_waiter;

/* The mover of money, which remembers every key. */
typedef struct world_ledger {
  int32_t results[CAFE_PAYMENT_REFUND + 1]; /* a cafe_gateway_result; 0: never called */
  int64_t approved, captured, voided, refunded;
} world_ledger;

typedef struct world {
  uint64_t seed;
  uint64_t random;
  bool is_together;
  int64_t now_ms;
  cafe_arena *arena;
  services_customer customer;
  world_log logs[WORLD_SERVICES];
  world_wire wires[WORLD_WIRES_MAX];
  size_t wire_count;
  saga_plan *plan;
  saga_instance *saga;
  world_request requests[WORLD_REQUESTS_MAX];
  size_t request_count;
  world_waiter waiters[WORLD_WAITERS_MAX];
  size_t waiter_count;
  world_ledger ledger;
  cafe_order_row row;
  char summary[1024];
} world;

void world_init(world *self, bool is_together, uint64_t seed);
void world_deinit(world *self);
/* 0 to below - 1 */
uint64_t world_draw(world *self, uint64_t below);

const cafe_order *world_order(const world *self);
const cafe_payment *world_payment(const world *self);
int32_t world_ticket(const world *self);

/* Whether an event of that type is in a service's log. */
bool world_has(const world *self, world_service service, const cafe_schema *type);

/* Somebody asks a service. The verdict of that moment. */
cafe_verdict world_ask(world *self, world_service service, const cafe_schema *command, const void *data);
/* Those who wait for an order's answer: how many have none yet. */
size_t world_waiting(const world *self);

/* Delivers an event to a wire's reader: the next one (false: there is none), or an earlier one again. */
bool world_deliver(world *self, size_t wire);
void world_deliver_again(world *self, size_t wire, size_t index);
/* Any event of the log, whatever came before it. The reader gets it again in its turn. */
void world_deliver_early(world *self, size_t wire, size_t index);

/* A request reaches pay, also again; or its attempt fails with a code. */
void world_request_arrives(world *self, size_t request);
void world_request_fails(world *self, size_t request, int code);

/* The gateway does what is running (at most once, by its key) with that result, and tells it, unless it is lost. */
bool world_gateway(world *self, int32_t result, bool is_lost);

/* Time moves, and fires what is due. */
void world_tick(world *self, int64_t now_ms);
/* The node of app stops and starts: the saga is read from its row. */
void world_restart(world *self);

/* The wire that reads source for reader, by a policy or for the saga. */
size_t world_wire_of(const world *self, world_service reader, world_service source, bool is_saga);

/* Delivers everything in turn, with a gateway that says `result` to an authorization and does the rest, until nothing
 * is left that needs neither time nor a person. */
void world_settle(world *self, int32_t result);

/* Fails the test, with the seed, unless it is so. */
void world_check(const world *self, bool is_so, const char *what);
/* What must be so when nothing is left to do. */
void world_check_rest(const world *self);
/* "PickedUp Captured PickedUp ended: CoffeeDone OrderAccepted …", the notifications sorted. */
const char *world_summary(world *self);

#endif
