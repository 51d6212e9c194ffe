/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever is drawn comes from the seed, and every breach is told by world_check, which names it: a walk that went
 * wrong can be walked again.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/fulfillment.h"
#include "cafe/notification.h"
#include "cafe/sys/gateway.h"
#include "order_world.h"

#define KEY 1041

typedef struct work {
  struct work *next;
  world_service service;
  const cafe_schema *type;
  const void *data;
  const saga_ask *ask;    /* of the saga; NULL */
  world_request *request; /* of another node; NULL */
  bool is_client;
  cafe_verdict verdict;
} work;

typedef struct queue {
  work *first, *last;
} queue;

void world_check(const world *self, bool is_so, const char *what) {
  if (!is_so) {
    print_error("seed %" PRIu64 ", %s: %s\n", self->seed, self->is_together ? "together" : "apart", what);
    for (int i = 0; i < WORLD_SERVICES; i++) {
      for (size_t j = 0; j < self->logs[i].count; j++) {
        print_error("  %s %" PRId64 " %s\n", self->logs[i].aggregate->name, self->logs[i].events[j].time_ms,
                    self->logs[i].events[j].type->name);
      }
    }
    fail();
  }
}

/* SplitMix64 (Steele et al., 2014). */
uint64_t world_draw(world *self, uint64_t below) {
  uint64_t z = self->random += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return (z ^ (z >> 31)) % below;
}

const cafe_order *world_order(const world *self) { return self->logs[WORLD_APP].state; }
const cafe_payment *world_payment(const world *self) { return self->logs[WORLD_PAY].state; }
int32_t world_ticket(const world *self) {
  return (int32_t)((const cafe_ticket *)self->logs[WORLD_STORE].state)->status;
}

/* ---- wiring, from the services as they are hosted ---- */

static world_service service_of(const char *name) {
  static const char *const names[] = {"app", "pay", "store", "customer"};
  for (int i = 0; i < WORLD_SERVICES; i++) {
    if (strcmp(names[i], name) == 0) {
      return (world_service)i;
    }
  }
  fail_msg("no service %s", name);
  return WORLD_APP;
}

static void add_service(world *self, const cafe_service *service) {
  world_service own = service_of(service->name);
  self->logs[own].aggregate = service->aggregates[0];
  self->logs[own].state = cafe_arena_alloc(self->arena, service->aggregates[0]->state->width);
  for (const cafe_policy *const *policy = service->policies; *policy; policy++) {
    self->wires[self->wire_count++] = (world_wire){*policy, service_of((*policy)->source), own, 0};
  }
}

void world_init(world *self, bool is_together, uint64_t seed) {
  memset(self, 0, sizeof(*self));
  self->seed = self->random = seed;
  self->is_together = is_together;
  self->now_ms = 1000000;
  self->arena = cafe_arena_create(NULL);
  assert_non_null(self->arena);
  add_service(self, services_app());
  add_service(self, services_pay());
  add_service(self, services_store());
  services_customer_init(&self->customer, "console file");
  add_service(self, &self->customer.service);
  self->wires[self->wire_count++] = (world_wire){NULL, WORLD_PAY, WORLD_APP, 0};
  self->wires[self->wire_count++] = (world_wire){NULL, WORLD_STORE, WORLD_APP, 0};
  cafe_err err;
  assert_int_equal(saga_plan_create(&self->plan, &cafe_order_saga, NULL, &err), CAFE_OK);
  self->saga = saga_instance_create(self->plan, KEY, self->arena);
  assert_non_null(self->saga);
}

void world_deinit(world *self) {
  saga_plan_destroy(self->plan);
  cafe_arena_destroy(self->arena);
}

/* ---- what must always be so ---- */

static size_t count_of(const world *self, world_service service, const cafe_schema *type) {
  size_t count = 0;
  for (size_t i = 0; i < self->logs[service].count; i++) {
    count += self->logs[service].events[i].type == type;
  }
  return count;
}

bool world_has(const world *self, world_service service, const cafe_schema *type) {
  return count_of(self, service, type) > 0;
}

static void check_notifications(const world *self) {
  const cafe_notifications *all = self->logs[WORLD_CUSTOMER].state;
  for (const cafe_notification_item *a = all->first; a; a = a->next) {
    for (const cafe_notification_item *b = a->next; b; b = b->next) {
      world_check(self, !cafe_slice_equal(a->event, b->event) || !cafe_slice_equal(a->channel, b->channel),
                  "I5: a transition is told twice on a channel");
    }
  }
}

static void check_refusals(const world *self) {
  size_t told = 0;
  const world_log *app = &self->logs[WORLD_APP];
  for (size_t i = 0; i < app->count; i++) {
    const cafe_cancel_rejected *rejected = app->events[i].data;
    told += app->events[i].type == &cafe_cancel_rejected_type && rejected->by == CAFE_CANCEL_BY_CUSTOMER;
  }
  world_check(self, told <= 1, "a customer is refused twice");
  world_check(self, told == 0 || world_has(self, WORLD_STORE, &cafe_ticket_started_type),
              "a customer is refused though nothing was started");
  for (size_t i = 0; i < self->waiter_count; i++) {
    const world_waiter *waiter = &self->waiters[i];
    bool is_customers = waiter->command->command == &cafe_request_cancel_type && waiter->by == CAFE_CANCEL_BY_CUSTOMER;
    world_check(self,
                !is_customers || waiter->verdict != CAFE_REFUSED ||
                    !world_has(self, WORLD_APP, &cafe_order_canceled_type),
                "a cancel that was refused to the customer is granted");
  }
}

static void check_always(const world *self) {
  const cafe_order *order = world_order(self);
  const world_ledger *ledger = &self->ledger;
  bool is_order = order->draft == CAFE_DRAFT_ENDED;
  world_check(self, !is_order || world_has(self, WORLD_PAY, &cafe_payment_approved_type),
              "I1: an order without approval");
  world_check(self, count_of(self, WORLD_PAY, &cafe_payment_approved_type) <= 1, "I1: two approvals");
  world_check(self, ledger->captured <= ledger->approved, "I2: captured more than approved");
  world_check(self, ledger->refunded <= ledger->captured, "I2: refunded more than captured");
  world_check(self, !ledger->voided || !ledger->captured, "I2: void and captured");
  world_check(self, !world_has(self, WORLD_STORE, &cafe_ticket_received_type) || is_order,
              "I3: a ticket without an order");
  world_check(self,
              !world_has(self, WORLD_STORE, &cafe_ticket_started_type) ||
                  !world_has(self, WORLD_APP, &cafe_order_canceled_type),
              "I3: coffee of a canceled order");
  world_check(self,
              !world_has(self, WORLD_STORE, &cafe_ticket_started_type) ||
                  !world_has(self, WORLD_STORE, &cafe_ticket_withdrawn_type),
              "X1: started and withdrawn");
  world_check(self, order->status == self->row.status, "I6: the row's status isn't the order's");
  check_notifications(self);
  check_refusals(self);
}

/* ---- one unit ---- */

static work *push(world *self, queue *to, world_service service, const cafe_schema *type, const void *data) {
  work *item = cafe_arena_alloc(self->arena, sizeof(*item));
  assert_non_null(item);
  item->service = service;
  item->type = type;
  item->data = data;
  if (to->last) {
    to->last->next = item;
  } else {
    to->first = item;
  }
  to->last = item;
  return item;
}

static world_service taker_of(const world *self, const cafe_schema *type) {
  for (int i = 0; i < WORLD_SERVICES; i++) {
    for (const cafe_command_type *known = self->logs[i].aggregate->commands; known->command; known++) {
      if (known->command == type) {
        return (world_service)i;
      }
    }
  }
  fail_msg("nobody takes %s", type->name);
  return WORLD_APP;
}

static void push_asks(world *self, queue *to, const saga_asks *asks) {
  for (const saga_ask *ask = asks->first; ask; ask = ask->next) {
    world_service taker = taker_of(self, ask->command->type);
    if (self->is_together || taker == WORLD_APP) {
      push(self, to, taker, ask->command->type, ask->command->data)->ask = ask;
    } else {
      world_check(self, self->request_count < WORLD_REQUESTS_MAX, "too many requests");
      self->requests[self->request_count++].ask = *ask;
    }
  }
}

static void signal_saga(world *self, queue *to, const cafe_event *event, const cafe_command *cause) {
  saga_asks asks;
  bool changed;
  cafe_err err;
  assert_int_equal(saga_signal(self->saga, event, cause, self->now_ms, self->arena, &asks, &changed, &err), CAFE_OK);
  push_asks(self, to, &asks);
}

static bool reads(const cafe_policy *policy, const cafe_schema *type) {
  const cafe_schema *const *known = policy->events;
  while (*known && *known != type) {
    known++;
  }
  return *known != NULL;
}

static void react(world *self, queue *to, const cafe_policy *policy, world_service reader, const cafe_event *event) {
  cafe_reaction reaction = {.commands = {.arena = self->arena}};
  policy->react(&reaction, event, policy->user);
  assert_int_equal(reaction.commands.err.code, CAFE_OK);
  for (const collected *item = reaction.commands.first; item; item = item->next) {
    world_check(self, item->key == KEY, "a policy asks for another key");
    push(self, to, reader, item->type, item->data);
  }
}

static void answer_waiters(world *self, const cafe_schema *event) {
  for (size_t i = 0; i < self->waiter_count; i++) {
    world_waiter *waiter = &self->waiters[i];
    for (const cafe_command_outcome *outcome = waiter->command->outcomes; outcome->event && !waiter->verdict;
         outcome++) {
      if (outcome->event == event) {
        waiter->verdict = outcome->verdict;
      }
    }
  }
}

static void emit(world *self, queue *to, world_service service, const collected *said, const cafe_command *cause) {
  world_log *log = &self->logs[service];
  world_check(self, log->count < WORLD_LOG_MAX, "a log without end");
  cafe_event *event = &log->events[log->count++];
  *event = (cafe_event){
      .type = said->type,
      .aggregate = log->aggregate->name,
      .key = KEY,
      .version = log->count,
      .time_ms = self->now_ms,
      .position = {.n = log->count},
      .data = said->data,
  };
  assert_int_equal(log->aggregate->evolve(log->state, event, self->arena, NULL), CAFE_OK);
  answer_waiters(self, said->type);
  for (size_t i = 0; i < self->wire_count && self->is_together; i++) {
    const world_wire *wire = &self->wires[i];
    if (wire->policy && wire->source == service && reads(wire->policy, said->type)) {
      react(self, to, wire->policy, wire->reader, event);
    }
  }
  if (self->is_together || service == WORLD_APP) {
    signal_saga(self, to, event, cause);
  }
  if (service == WORLD_APP) {
    for (const cafe_schema *const *known = cafe_orders_view.events; *known; known++) {
      if (*known == said->type) {
        cafe_fold fold = CAFE_FOLD_PUT;
        assert_int_equal(cafe_orders_view.fold(&fold, &self->row, event, self->arena, NULL), CAFE_OK);
        assert_int_equal(fold, CAFE_FOLD_PUT);
      }
    }
  }
}

static void answer_saga(world *self, queue *to, const saga_ask *ask, int code, cafe_verdict verdict) {
  saga_asks asks;
  bool changed;
  cafe_err err;
  assert_int_equal(saga_answer(self->saga, ask->kind, ask->step, ask->attempt, code, verdict, self->now_ms,
                               world_draw(self, UINT64_MAX), self->arena, &asks, &changed, &err),
                   CAFE_OK);
  push_asks(self, to, &asks);
}

static const cafe_command_type *type_of(const world *self, const work *item) {
  const cafe_command_type *known = self->logs[item->service].aggregate->commands;
  while (known->command != item->type) {
    known++;
  }
  return known;
}

static void wait_for(world *self, const work *item) {
  const cafe_command_type *type = type_of(self, item);
  world_check(self, type->outcomes != NULL, "pending without outcomes");
  if (item->is_client) {
    world_check(self, self->waiter_count < WORLD_WAITERS_MAX, "too many waiters");
    world_waiter *waiter = &self->waiters[self->waiter_count++];
    waiter->command = type;
    if (item->type == &cafe_request_cancel_type) {
      waiter->by = ((const cafe_request_cancel *)item->data)->by;
    }
  }
}

static void run_command(world *self, queue *to, work *item) {
  world_log *log = &self->logs[item->service];
  cafe_decision decision = {.events = {.arena = self->arena}};
  cafe_command command = {item->type, KEY, self->now_ms, item->data};
  item->verdict = log->aggregate->decide(&decision, log->state, &command, NULL);
  assert_int_equal(decision.events.err.code, CAFE_OK);
  if (item->verdict == CAFE_PENDING) {
    wait_for(self, item);
  }
  if (item->verdict == CAFE_REFUSED && !item->is_client && !item->request && !item->ask) {
    print_error("%s: %s\n", item->type->name, decision.text);
    world_check(self, false, "a policy's command is refused");
  }
  for (const collected *said = decision.events.first; said; said = said->next) {
    emit(self, to, item->service, said, &command);
  }
  if (item->ask && item->ask->kind != SAGA_ASK_OTHER) {
    answer_saga(self, to, item->ask, CAFE_OK, item->verdict);
  }
}

static void run(world *self, queue *all) {
  size_t count = 0;
  for (work *item = all->first; item; item = item->next) {
    world_check(self, ++count <= 64, "a unit without end");
    run_command(self, all, item);
  }
  check_always(self);
}

cafe_verdict world_ask(world *self, world_service service, const cafe_schema *command, const void *data) {
  queue all = {NULL, NULL};
  void *copy = cafe_arena_alloc(self->arena, command->width);
  assert_non_null(copy);
  assert_int_equal(cafe_schema_copy(copy, data, command, self->arena), CAFE_OK);
  work *item = push(self, &all, service, command, copy);
  item->is_client = true;
  run(self, &all);
  return item->verdict;
}

size_t world_waiting(const world *self) {
  size_t count = 0;
  for (size_t i = 0; i < self->waiter_count; i++) {
    count += self->waiters[i].verdict == 0;
  }
  return count;
}

/* ---- between the services, when they are apart ---- */

static void hand_over(world *self, const world_wire *wire, const cafe_event *event) {
  queue all = {NULL, NULL};
  if (!wire->policy) {
    signal_saga(self, &all, event, NULL);
  } else if (reads(wire->policy, event->type)) {
    react(self, &all, wire->policy, wire->reader, event);
  }
  run(self, &all);
}

bool world_deliver(world *self, size_t wire) {
  world_wire *at = &self->wires[wire];
  if (self->is_together || at->next == self->logs[at->source].count) {
    return false;
  }
  hand_over(self, at, &self->logs[at->source].events[at->next++]);
  return true;
}

void world_deliver_again(world *self, size_t wire, size_t index) {
  world_check(self, index < self->wires[wire].next, "an event is repeated before it came");
  world_deliver_early(self, wire, index);
}

void world_deliver_early(world *self, size_t wire, size_t index) {
  hand_over(self, &self->wires[wire], &self->logs[self->wires[wire].source].events[index]);
}

static void answer_request(world *self, world_request *request, const cafe_event *event, int code,
                           cafe_verdict verdict) {
  queue all = {NULL, NULL};
  request->is_answered = true;
  request->is_waiting = false;
  if (event) {
    signal_saga(self, &all, event, NULL);
  }
  answer_saga(self, &all, &request->ask, code, verdict);
  run(self, &all);
}

void world_request_arrives(world *self, size_t index) {
  world_request *request = &self->requests[index];
  queue all = {NULL, NULL};
  work *item = push(self, &all, WORLD_PAY, request->ask.command->type, request->ask.command->data);
  item->request = request;
  request->was_there = true;
  run(self, &all);
  if (request->is_answered) {
    return;
  }
  if (item->verdict == CAFE_PENDING) {
    request->is_waiting = true;
  } else {
    answer_request(self, request, NULL, CAFE_OK, item->verdict);
  }
}

void world_request_fails(world *self, size_t index, int code) {
  world_request *request = &self->requests[index];
  if (!request->is_answered) {
    answer_request(self, request, NULL, code, (cafe_verdict)0);
  }
}

/* The replies to those who wait at pay. */
static void reply(world *self, const cafe_event *event) {
  const cafe_command_outcome *outcome = cafe_payment_aggregate.commands[0].outcomes;
  while (outcome->event && outcome->event != event->type) {
    outcome++;
  }
  for (size_t i = 0; outcome->event && i < self->request_count; i++) {
    if (self->requests[i].is_waiting) {
      answer_request(self, &self->requests[i], event, CAFE_OK, outcome->verdict);
    }
  }
}

/* ---- the gateway ---- */

static void move_money(world *self, cafe_payment_operation operation, int64_t amount) {
  world_ledger *ledger = &self->ledger;
  switch (operation) {
  case CAFE_PAYMENT_AUTHORIZE:
    ledger->approved += amount;
    break;
  case CAFE_PAYMENT_CAPTURE:
    ledger->captured += amount;
    break;
  case CAFE_PAYMENT_VOID:
    ledger->voided += amount;
    break;
  default:
    ledger->refunded += amount;
    break;
  }
}

bool world_gateway(world *self, int32_t result, bool is_lost) {
  cafe_tasks tasks = {.wanted = {.arena = self->arena}};
  const world_log *pay = &self->logs[WORLD_PAY];
  pay->aggregate->tasks(&tasks, pay->state, NULL);
  if (!tasks.wanted.first) {
    return false;
  }
  const cafe_payment_task *task = tasks.wanted.first->data;
  int32_t *known = &self->ledger.results[task->operation];
  if (*known == 0 && result != 0) {
    *known = result;
    if (result == CAFE_GATEWAY_DONE) {
      move_money(self, task->operation, task->amount_minor);
    }
  }
  if (!is_lost) {
    size_t before = pay->count;
    cafe_record_gateway said = {task->operation, result == 0 ? 0 : *known, {NULL, 0}, {NULL, 0}};
    world_ask(self, WORLD_PAY, &cafe_record_gateway_type, &said);
    for (size_t i = before; i < pay->count; i++) {
      reply(self, &pay->events[i]);
    }
  }
  return true;
}

/* ---- time and restarts ---- */

void world_tick(world *self, int64_t now_ms) {
  self->now_ms = now_ms;
  queue all = {NULL, NULL};
  saga_asks asks;
  bool changed;
  cafe_err err;
  assert_int_equal(saga_tick(self->saga, now_ms, self->arena, &asks, &changed, &err), CAFE_OK);
  push_asks(self, &all, &asks);
  run(self, &all);
}

static bool contains(cafe_slice bytes, const char *text) {
  size_t size = strlen(text);
  for (size_t i = 0; i + size <= bytes.size; i++) {
    if (memcmp(bytes.data + i, text, size) == 0) {
      return true;
    }
  }
  return false;
}

void world_restart(world *self) {
  saga_row row;
  cafe_err err;
  assert_int_equal(saga_save(&row, self->saga, self->now_ms, self->arena, &err), CAFE_OK);
  bool is_settled =
      world_has(self, WORLD_APP, &cafe_ordered_type) || world_has(self, WORLD_APP, &cafe_draft_dropped_type);
  world_check(self, !is_settled || !contains(row.data, "secret-token"), "the token outlives the authorization");
  self->saga = saga_instance_create(self->plan, KEY, self->arena);
  assert_non_null(self->saga);
  if (row.phase != SAGA_NONE) {
    assert_int_equal(saga_load(self->saga, &row, &err), CAFE_OK);
  }
  for (size_t i = 0; i < self->request_count; i++) {
    self->requests[i].is_answered = true; /* nobody is there any more who could hear it */
    self->requests[i].is_waiting = false;
  }
  queue all = {NULL, NULL};
  saga_asks asks;
  bool changed;
  assert_int_equal(saga_resume(self->saga, self->now_ms, self->arena, &asks, &changed, &err), CAFE_OK);
  push_asks(self, &all, &asks);
  run(self, &all);
}

size_t world_wire_of(const world *self, world_service reader, world_service source, bool is_saga) {
  size_t i = 0;
  while (self->wires[i].reader != reader || self->wires[i].source != source || !self->wires[i].policy != is_saga) {
    i++;
  }
  return i;
}

void world_settle(world *self, int32_t result) {
  bool moved = true;
  for (size_t rounds = 0; moved; rounds++) {
    world_check(self, rounds < 1000, "it never settles");
    moved = false;
    for (size_t i = 0; i < self->wire_count; i++) {
      while (world_deliver(self, i)) {
        moved = true;
      }
    }
    for (size_t i = 0; i < self->request_count; i++) {
      if (!self->requests[i].is_answered && !self->requests[i].is_waiting) {
        world_request_arrives(self, i);
        moved = true;
      }
    }
    bool is_authorizing = world_payment(self)->running == CAFE_PAYMENT_AUTHORIZE;
    moved = world_gateway(self, is_authorizing ? result : (int32_t)CAFE_GATEWAY_DONE, false) || moved;
  }
}

/* ---- at rest ---- */

static const char *saga_end(const world *self) {
  switch (saga_instance_phase(self->saga)) {
  case SAGA_ENDED:
    return "ended";
  case SAGA_UNDONE:
    return "undone";
  case SAGA_NONE:
    return "none";
  case SAGA_PARKED:
    return "parked";
  default:
    return "running";
  }
}

static bool is_told(const world *self, const cafe_event *event) {
  if (event->type == &cafe_cancel_rejected_type) {
    return ((const cafe_cancel_rejected *)event->data)->by == CAFE_CANCEL_BY_CUSTOMER;
  }
  if (event->type == &cafe_payment_canceled_type) {
    return ((const cafe_payment_canceled *)event->data)->reason != CAFE_PAYMENT_DRAFT_DROPPED;
  }
  for (size_t i = 0; i < self->wire_count; i++) {
    if (self->wires[i].reader == WORLD_CUSTOMER && reads(self->wires[i].policy, event->type)) {
      return true;
    }
  }
  return false;
}

static void check_everybody_told(const world *self) {
  size_t wanted = 0;
  for (int service = WORLD_APP; service <= WORLD_PAY; service++) {
    for (size_t i = 0; i < self->logs[service].count; i++) {
      wanted += is_told(self, &self->logs[service].events[i]) ? 2 : 0;
    }
  }
  const cafe_notifications *all = self->logs[WORLD_CUSTOMER].state;
  world_check(self, (size_t)all->count == wanted, "I5: not everything is told, or too much");
}

static void check_money(const world *self) {
  const world_ledger *ledger = &self->ledger;
  const cafe_order *order = world_order(self);
  bool is_kept = order->status == CAFE_ORDER_PREPARING || order->status == CAFE_ORDER_COFFEE_DONE ||
                 order->status == CAFE_ORDER_PICKED_UP;
  world_check(self, ledger->captured - ledger->refunded == (is_kept ? order->amount_minor : 0),
              "I2: what is kept isn't what was made");
  world_check(self, is_kept || ledger->approved == ledger->voided + ledger->refunded, "an approval is left over");
}

void world_check_rest(const world *self) {
  const cafe_order *order = world_order(self);
  int32_t ticket = world_ticket(self);
  cafe_order_status status = order->status;
  world_check(self, order->draft == CAFE_DRAFT_ENDED || order->draft == CAFE_DRAFT_DROPPED, "a draft is left over");
  if (order->draft == CAFE_DRAFT_DROPPED) {
    world_check(self, ticket == CAFE_TICKET_NONE, "I3: a ticket of a draft");
    world_check(self, strcmp(saga_end(self), "undone") == 0, "I4: the draft's saga isn't undone");
  } else {
    world_check(self, status == CAFE_ORDER_PICKED_UP || status == CAFE_ORDER_CANCELED || status == CAFE_ORDER_REJECTED,
                "the order hasn't ended");
    world_check(self, (status == CAFE_ORDER_PICKED_UP) == (ticket == CAFE_TICKET_PICKED_UP), "picked up or not?");
    world_check(self, (status == CAFE_ORDER_CANCELED) == (ticket == CAFE_TICKET_WITHDRAWN), "canceled or not?");
    world_check(self,
                (status == CAFE_ORDER_REJECTED) == (ticket == CAFE_TICKET_REJECTED || ticket == CAFE_TICKET_FAILED),
                "rejected or not?");
    bool is_done = status == CAFE_ORDER_PICKED_UP || ticket == CAFE_TICKET_FAILED;
    world_check(self, strcmp(saga_end(self), is_done ? "ended" : "undone") == 0,
                "I4: the saga hasn't ended as it must");
  }
  world_check(self, world_payment(self)->running == CAFE_PAYMENT_NO_OPERATION, "an operation still runs");
  world_check(self, world_waiting(self) == 0, "somebody still waits for an answer");
  /* Whatever an operator has to look at is listed. */
  if (!world_has(self, WORLD_PAY, &cafe_payment_failed_type)) {
    check_money(self);
  }
  check_everybody_told(self);
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

const char *world_summary(world *self) {
  static const char *const payments[] = {"-", "Approved", "Declined", "Captured", "Canceled", "Refunded", "Failed"};
  static const char *const tickets[] = {"-",        "Received", "Accepted", "Preparing", "Ready",
                                        "PickedUp", "Rejected", "Failed",   "Withdrawn"};
  const char *status = cafe_order_status_name(world_order(self)->status);
  const char *names[64];
  size_t count = 0;
  const cafe_notifications *all = self->logs[WORLD_CUSTOMER].state;
  for (const cafe_notification_item *item = all->first; item && count < 64; item = item->next) {
    if (cafe_slice_equal(item->channel, cafe_text("console"))) {
      names[count++] = item->event.data;
    }
  }
  qsort(names, count, sizeof(names[0]), by_name);
  snprintf(self->summary, sizeof(self->summary), "%s %s %s %s:", status ? status : "-",
           payments[world_payment(self)->status], tickets[world_ticket(self)], saga_end(self));
  for (size_t i = 0; i < count; i++) {
    size_t size = strlen(self->summary);
    snprintf(self->summary + size, sizeof(self->summary) - size, " %s", names[i]);
  }
  return self->summary;
}
