/* SPDX-License-Identifier: Apache-2.0 */

/* Messages that come more than once, late, in another order, or never. */
#include "acceptance_kit.h"
#include "domain/policies.h"
#include "repeats.h"
#include "schema/collect.h"

/* ---- X4 ---- */

static struct {
  uint32_t orders, commands, messages, deliveries;
  repeats_counts over_hub;
} tally;

static int service_of(const cafe_schema *command) {
  static const cafe_aggregate *const owners[] = {&cafe_order_aggregate, &cafe_payment_aggregate,
                                                 &cafe_fulfillment_aggregate, &cafe_notification_aggregate};
  for (int service = 0; service < 4; service++)
    for (const cafe_command_type *type = owners[service]->commands; type->command; type++)
      if (type->command == command)
        return service;
  fail();
  return -1;
}

/* A moment, or one to three days. */
static void let_time_pass(cluster *c) {
  cluster_run(c, cluster_chance(c, 30) ? (int64_t)(1 + cluster_random(c, 3)) * DAY_MS : (int64_t)cluster_random(c, 50));
}

static void send_some(cluster *c, const cafe_schema *command, uint64_t key, const void *data) {
  for (uint64_t times = 1 + cluster_random(c, 5); times > 0; times--) {
    cluster_submit(c, service_of(command), command, key, data, 0, NULL);
    tally.commands++;
    let_time_pass(c);
  }
}

/* Everything that any event made a policy ask for is asked for again. */
static void send_again(cluster *c, const cluster_order *order, const cluster_event *last) {
  static const cafe_policy *const policies[] = {&policies_app_store, &policies_pay_app, &policies_store_app,
                                                &policies_customer_app, &policies_customer_pay};
  for (const cluster_event *at = order->first; at; at = at == last ? NULL : at->next) {
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
      bool hears = false;
      for (const cafe_schema *const *event = policies[i]->events; *event; event++)
        hears = hears || *event == at->event.type;
      if (!hears)
        continue;
      cafe_reaction reaction;
      memset(&reaction, 0, sizeof reaction);
      reaction.commands.arena = c->arena;
      static char channels[] = "test";
      policies[i]->react(&reaction, &at->event, i >= 3 ? channels : NULL);
      for (const collected *item = reaction.commands.first; item; item = item->next)
        send_some(c, item->type, item->key, item->data);
    }
  }
}

static void resend_all(cluster *c, const cluster_order *order) {
  const cluster_event *last = order->last;
  cafe_authorize_payment authorize = {order->order.amount_minor, order->order.currency, order->order.customer_id,
                                      cafe_text("token")};
  cafe_establish_order establish = {order->order.amount_minor};
  send_some(c, &cafe_authorize_payment_type, order->key, &authorize);
  send_some(c, &cafe_establish_order_type, order->key, &establish);
  send_again(c, order, last);
}

/* Of one that is over, nothing may come. */
static void resend_order(cluster *c, const cluster_order *order) {
  const cluster_event *last = order->last;
  resend_all(c, order);
  cluster_rest(c);
  if (order->last != last)
    cluster_violation(c, "X4", order->key, "a repeat had an effect");
}

static void place_some(cluster *c, const char *client_key) {
  for (uint64_t times = 1 + cluster_random(c, 5); times > 0; times--) {
    submit_order(c, 365 * DAY_MS, client_key);
    tally.commands++;
    let_time_pass(c);
  }
}

static void act_some(cluster *c, uint64_t key, cafe_ticket_action action) {
  cafe_act_on_ticket act = {.action = action};
  send_some(c, &cafe_act_on_ticket_type, key, &act);
}

/* Served to the end, or canceled before, as `how` says. */
static void live_doubly(cluster *c, int how) {
  static const cafe_ticket_action actions[] = {CAFE_TICKET_ACCEPT, CAFE_TICKET_START, CAFE_TICKET_FINISH,
                                               CAFE_TICKET_HAND_OUT};
  char client_key[16];
  snprintf(client_key, sizeof client_key, "order %d", how);
  place_some(c, client_key);
  cluster_run(c, 20000); /* repeats that are under way as well */
  cluster_wait(c, c->calls->prev);
  for (int tries = 0; tries < 10 && cluster_find(c, c->calls->prev->key)->ordered == 0; tries++) {
    submit_order(c, 365 * DAY_MS, client_key); /* payment was too slow: a little later */
    cluster_wait(c, c->calls->prev);
  }
  uint64_t key = c->calls->prev->key;
  for (int i = 0; i < how % 5 && i < 4; i++) {
    wait_for_ticket(c, key, (cafe_ticket_status)(CAFE_TICKET_RECEIVED + i));
    if (cluster_chance(c, 30))
      resend_all(c, cluster_find(c, key));
    act_some(c, key, actions[i]);
  }
  if (how % 5 >= 3)
    return;
  cafe_request_cancel cancel = {.by = CAFE_CANCEL_BY_CUSTOMER};
  send_some(c, &cafe_request_cancel_type, key, &cancel);
}

/* One payment, one ticket, one row for each message; deliveries count by distinct id. */
static void check_once(cluster *c, const cluster_order *order) {
  cafe_sandbox_entry money = cluster_money(c, order->key);
  assert_int_equal(order->ordered, 1);
  assert_int_equal(order->received, 1);
  assert_int_equal(money.authorizations, 1);
  assert_int_equal(money.captures + money.voids, 1);
  for (const cluster_message *message = order->messages; message; message = message->next) {
    uint32_t deliveries;
    assert_int_equal(count_messages(order, message->event, &deliveries), 1);
    assert_true(deliveries >= 1);
    assert_int_equal(message->status, CAFE_NOTIFICATION_SENT);
    tally.messages++;
    tally.deliveries += deliveries;
  }
}

/* An attempt whose approval came so late that nobody claimed it: the repeat that came after it began anew. */
static void check_dropped(cluster *c, const cluster_order *order) {
  cafe_sandbox_entry money = cluster_money(c, order->key);
  assert_int_equal(order->ordered, 0);
  assert_int_equal(order->received, 0);
  assert_null(order->messages);
  assert_int_equal(money.authorizations, 1);
  assert_int_equal(money.voids, 1);
  assert_int_equal(money.captures, 0);
}

static void count_over_hub(cluster *c) {
  for (int i = 0; i < c->node_count; i++) {
    repeats_counts counts;
    repeats_count(c->nodes[i].transport, &counts);
    tally.over_hub.requests += counts.requests;
    tally.over_hub.batches += counts.batches;
    tally.over_hub.repeats += counts.repeats;
  }
}

static void repeat_everything(uint64_t seed) {
  cluster_options options = {.seed = seed, .is_split = true, .is_threaded = seed % 2, .job_max_us = 500};
  options.repeats = true;
  options.gateway_retry = options.channel_retry = (cafe_retry){50, 1000, 0, 800};
  cluster *c = cluster_create(&options);
  cafe_inproc_faults faults = {sizeof faults, 0, 0.5, 0, 20000};
  cafe_inproc_set_faults(c->hub, &faults);
  /* So that the gateway and the receiver are asked more than once. */
  c->chances = (cluster_chances){.silent = 50, .hang = 30};
  for (int how = 0; how < 10; how++)
    live_doubly(c, how);
  cluster_finish(c);
  uint32_t orders = 0;
  for (map_entry *entry = map_first(c->orders); entry; entry = map_next(entry)) {
    const cluster_order *order = map_value(entry);
    resend_order(c, order);
    if (order->order.draft == CAFE_DRAFT_DROPPED) {
      check_dropped(c, order);
    } else {
      check_once(c, order);
      orders++;
    }
  }
  cluster_check(c, true);
  assert_int_equal(orders, 10);
  tally.orders += orders;
  count_over_hub(c);
  cluster_destroy(c);
}

/* X4: duplicates: every message 1 to 5 times, days apart: one payment, one ticket, one notification row; deliveries
 * counted by distinct id. */
static void x4_what_comes_one_to_five_times_days_apart_counts_once(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= (is_full() ? 100 : 5); seed++)
    repeat_everything(seed);
  print_message("X4: %u orders by %u commands; %llu requests and %llu batches over the hub, and %llu repeats; %u "
                "messages, delivered %u times\n",
                tally.orders, tally.commands, (unsigned long long)tally.over_hub.requests,
                (unsigned long long)tally.over_hub.batches, (unsigned long long)tally.over_hub.repeats, tally.messages,
                tally.deliveries);
  assert_true(tally.commands > 2 * tally.orders && tally.deliveries > tally.messages);
  assert_true(tally.over_hub.repeats > tally.over_hub.requests + tally.over_hub.batches);
}

/* ---- X6 ---- */

static struct { uint32_t orders, picked_up, canceled, rejected, dropped; } ends;

static void count_ends(cluster *c) {
  for (map_entry *entry = map_first(c->orders); entry; entry = map_next(entry)) {
    const cafe_order *order = &((cluster_order *)map_value(entry))->order;
    ends.orders++;
    ends.picked_up += order->status == CAFE_ORDER_PICKED_UP;
    ends.canceled += order->status == CAFE_ORDER_CANCELED;
    ends.rejected += order->status == CAFE_ORDER_REJECTED;
    ends.dropped += order->draft == CAFE_DRAFT_DROPPED;
  }
}

static void lose_and_reorder(uint64_t seed) {
  cluster *c = create(seed, true);
  cafe_inproc_faults faults = {sizeof faults, 0.2, 0.1, 0, 300000};
  cafe_inproc_set_faults(c->hub, &faults);
  c->chances = (cluster_chances){.lost = 20, .hang = 20};
  for (int i = 0; i < ORDERS; i++) {
    char client_key[16];
    snprintf(client_key, sizeof client_key, "order %d", i);
    cluster_place(c, 100 + i, "token", client_key);
    cluster_run(c, (int64_t)cluster_random(c, 200));
    if (!cluster_chance(c, 30))
      continue;
    map_entry *entry = map_first(c->orders);
    if (entry)
      cluster_cancel(c, map_key(entry) + cluster_random(c, (uint64_t)i + 1));
  }
  cluster_finish(c);
  cluster_check(c, true);
  count_ends(c);
  cluster_destroy(c);
}

/* X6: 20 % of all messages dropped, the others reordered: all invariants at rest. */
static void x6_with_a_fifth_of_all_messages_lost_and_the_rest_reordered_all_ends_well(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= (is_full() ? 200 : 10); seed++)
    lose_and_reorder(seed);
  print_message("X6: %u orders: %u picked up, %u canceled, %u rejected, %u dropped before they were paid\n",
                ends.orders, ends.picked_up, ends.canceled, ends.rejected, ends.dropped);
  assert_true(ends.picked_up > ends.orders / 10 && ends.canceled && ends.rejected && ends.dropped);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(x4_what_comes_one_to_five_times_days_apart_counts_once),
      cmocka_unit_test(x6_with_a_fifth_of_all_messages_lost_and_the_rest_reordered_all_ends_well),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
