/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One service of the five. In app's process orders are placed, so many at a time: the next one follows when one was
 * picked up, as app knows it. In the store's the owner takes each ticket that has become durable and makes it, step
 * after step, each a command of its own as in W1. The others only answer.
 *
 * When a service has done all that it owes to an order shows in what it commits: the row that says so is seen by the
 * store's own thread, once it is durable. So nothing is asked of a node that a shop wouldn't ask.
 */
#include "part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cafe/gateway/sandbox.h"
#include "cafe/sys/store.h"
#include "workload.h"

const char *const part_names[PARTS] = {"app", "pay", "store", "customer", "dashboard"};
static const unsigned services[PARTS] = {CAFE_SHOP_APP, CAFE_SHOP_PAY, CAFE_SHOP_STORE, CAFE_SHOP_CUSTOMER,
                                         CAFE_SHOP_DASHBOARD};

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void part_fail(part *self, const char *doing, const char *why) {
  if (!self->out->failure[0]) {
    snprintf(self->out->failure, sizeof(self->out->failure), "%s: %s: %s", part_names[self->which], doing, why);
  }
}

void part_path(char *out, size_t size, const bench_case *wanted, int which) {
  snprintf(out, size, "%s/cafe-bench-%s.db", wanted->dir, part_names[which]);
}

/* ---- on the write lane: what became durable ---- */

static bool has_name(const cafe_row_write *row, const char *field, const char *name) {
  const cafe_schema *schema = row->table->row;
  for (uint32_t i = 0; i < schema->field_count; i++) {
    if (strcmp(schema->fields[i].name, field) == 0) {
      return cafe_slice_equal(cafe_schema_get(schema, row->data, i).bytes, cafe_text(name));
    }
  }
  return false;
}

/* Whether the service owes the row's order nothing more, or, in customer, owes one message less. */
static bool is_last(int which, const cafe_row_write *row) {
  const char *table = row->table->name;
  switch (which) {
  case PART_APP:
    return strcmp(table, "sagas") == 0 && has_name(row, "phase", "ended");
  case PART_PAY:
    return strcmp(table, "payments") == 0 && ((const cafe_payment_row *)row->data)->status == CAFE_PAYMENT_CAPTURED;
  case PART_STORE:
    return strcmp(table, "fulfillments") == 0 &&
           ((const cafe_fulfillment_row *)row->data)->status == CAFE_TICKET_PICKED_UP;
  case PART_CUSTOMER:
    return strcmp(table, "notifications") == 0 &&
           ((const cafe_notification_row *)row->data)->status == CAFE_NOTIFICATION_SENT;
  default:
    break;
  }
  const cafe_order_info_row *info = row->data;
  return strcmp(table, "order_infos") == 0 && info->status == CAFE_ORDER_PICKED_UP &&
         info->payment_status == CAFE_PAYMENT_CAPTURED && info->fulfillment_status == CAFE_TICKET_PICKED_UP;
}

static void add_ticket(part *self, uint64_t key) {
  pthread_mutex_lock(&self->mutex);
  if (self->ticket_count < self->wanted->orders) { /* more are found by the check */
    self->tickets[self->ticket_count++] = key;
  }
  pthread_mutex_unlock(&self->mutex);
}

static void see_unit(const cafe_unit *unit, void *user) {
  part *self = user;
  for (uint32_t i = 0; i < unit->event_count; i++) {
    const char *type = unit->events[i].type;
    if (self->which == PART_APP && strcmp(type, cafe_order_picked_up_type.name) == 0) {
      atomic_fetch_add(&self->picked_up, 1);
    } else if (self->which == PART_STORE && strcmp(type, cafe_ticket_received_type.name) == 0) {
      add_ticket(self, unit->key);
    }
  }
  for (uint32_t i = 0; i < unit->row_count; i++) {
    if (unit->rows[i].data && is_last(self->which, &unit->rows[i])) {
      atomic_fetch_add(&self->over, 1);
    }
  }
}

/* ---- on the loop: app's orders, the store's owner ---- */

static void submit(part_order *order, const cafe_submit *wanted, cafe_op_cb done) {
  cafe_err err;
  if (cafe_node_submit(NULL, order->part->shop.node, wanted, done, order, &err) != CAFE_OK) {
    part_fail(order->part, wanted->command->name, err.text);
  }
}

static bool is_taken(part *self, const cafe_err *err, const cafe_outcome *outcome) {
  if (!err && outcome->verdict == CAFE_ACCEPTED) {
    return true;
  }
  if (!self->is_over) {
    part_fail(self, "a command wasn't taken", err ? err->text : outcome->text ? outcome->text : "nothing changed");
  }
  return false;
}

static void placed(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  part_order *order = user;
  part *self = order->part;
  if (is_taken(self, err, outcome)) {
    self->paid_ns[self->paid++] = now_ns() - order->placed_ns;
  }
}

static void place_orders(part *self) {
  uint64_t done = atomic_load(&self->picked_up);
  while (self->started < self->wanted->orders && self->started - done < self->wanted->in_flight &&
         !self->out->failure[0]) {
    char customer[WORKLOAD_CUSTOMER_MAX];
    cafe_place_order place;
    cafe_submit wanted = CAFE_SUBMIT_INIT;
    part_order *order = &self->orders[self->started];
    workload_order(&place, customer, self->started);
    wanted.command = &cafe_place_order_type;
    wanted.data = &place;
    wanted.data_size = sizeof(place);
    *order = (part_order){.part = self, .placed_ns = now_ns()};
    self->started++;
    submit(order, &wanted, placed);
  }
}

static void made(const cafe_err *err, const cafe_outcome *outcome, void *user);

static void make(part_order *order) {
  cafe_submit wanted = CAFE_SUBMIT_INIT;
  wanted.key = order->key;
  if (workload_owner_acts(&wanted, order->step)) {
    order->step++;
    submit(order, &wanted, made);
  }
}

static void made(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  part_order *order = user;
  if (is_taken(order->part, err, outcome)) {
    make(order);
  }
}

static void take_tickets(part *self) {
  pthread_mutex_lock(&self->mutex);
  uint64_t count = self->ticket_count;
  pthread_mutex_unlock(&self->mutex); /* those that are in there stay */
  for (; self->started < count && !self->out->failure[0]; self->started++) {
    self->orders[self->started] = (part_order){.part = self, .key = self->tickets[self->started], .step = 1};
    make(&self->orders[self->started]);
  }
}

static void look(void *user) {
  part *self = user;
  if (!self->has_begun || self->is_over) {
    return;
  }
  if (self->which == PART_APP) {
    place_orders(self);
  } else if (self->which == PART_STORE) {
    take_tickets(self);
  }
  uint64_t messages = self->which == PART_CUSTOMER ? 4 : 1;
  self->is_over = atomic_load(&self->over) >= messages * self->wanted->orders || self->out->failure[0];
  if (self->is_over) {
    self->ended(self, self->user);
  }
}

/* ---- its life ---- */

bool part_open(part *self, const bench_case *wanted, int which, const standing_options *how, bench_result *out) {
  char path[512];
  cafe_err err = {.text = "no memory"};
  standing_options options = *how;
  part_path(path, sizeof(path), wanted, which);
  options.name = part_names[which];
  options.services = services[which];
  options.store = wanted->store;
  options.path = path;
  self->which = which;
  self->wanted = wanted;
  self->out = out;
  pthread_mutex_init(&self->mutex, NULL);
  self->orders = calloc(wanted->orders, sizeof(*self->orders));
  self->paid_ns = calloc(wanted->orders, sizeof(*self->paid_ns));
  self->tickets = calloc(wanted->orders, sizeof(*self->tickets));
  options.see = see_unit;
  options.see_user = self;
  self->shop.look = look;
  self->shop.user = self;
  if (!self->orders || !self->paid_ns || !self->tickets || standing_open(&self->shop, &options, &err) != CAFE_OK) {
    part_fail(self, "starting its node", err.text);
    return false;
  }
  return true;
}

void part_begin(part *self) {
  counted_store_reset(self->shop.counted);
  self->has_begun = true;
  look(self);
}

void part_finish(part *self) {
  bench_result *out = self->out;
  counted_store_get(self->shop.counted, out);
  out->orders = self->wanted->orders;
  workload_percentiles(out->paid_us, self->paid_ns, self->paid);
  cafe_sandbox_figures books = {.size = sizeof(books)};
  cafe_sandbox_get(self->shop.gateway, NULL, &books);
  int64_t all = self->which == PART_PAY ? (int64_t)self->wanted->orders * WORKLOAD_AMOUNT : 0;
  if (books.approved_minor != all || books.captured_minor != all || books.voided_minor || books.refunded_minor) {
    part_fail(self, "check", "the gateway's books aren't what was ordered");
  }
  uint64_t messages = self->which == PART_CUSTOMER ? 4 * self->wanted->orders : 0;
  if (self->shop.channel.count != messages) {
    part_fail(self, "check", "the channel wasn't handed each message once");
  }
  cafe_node_stats stats = {.size = sizeof(stats)};
  cafe_node_stats_get(self->shop.node, &stats);
  if (stats.parked || stats.dead_letters || stats.refused_links) {
    part_fail(self, "check", "something needs an operator");
  }
}

void part_close(part *self) {
  standing_close(&self->shop);
  pthread_mutex_destroy(&self->mutex);
  free(self->orders);
  free(self->paid_ns);
  free(self->tickets);
}
