/* SPDX-License-Identifier: Apache-2.0 */

/* Cancels: against the start, before the ticket, by the deadline, and among others. */
#include "acceptance_kit.h"

/* ---- X1 ---- */

/* A cancel goes by way of the app, so it is given more of a start. */
static void race(cluster *c, uint64_t key, cluster_call **cancel, cluster_call **start) {
  bool is_cancel_first = cluster_chance(c, 60);
  if (is_cancel_first)
    *cancel = cluster_cancel(c, key);
  else
    *start = cluster_act(c, key, CAFE_TICKET_START);
  cluster_run(c, (int64_t)cluster_random(c, is_cancel_first ? 16 : 3));
  for (uint64_t steps = cluster_random(c, 8); steps > 0; steps--)
    cluster_step(c);
  if (is_cancel_first)
    *start = cluster_act(c, key, CAFE_TICKET_START);
  else
    *cancel = cluster_cancel(c, key);
}

static void check_winner(const cluster_order *order, bool is_canceled) {
  assert_int_equal(order->ticket.status, is_canceled ? CAFE_TICKET_WITHDRAWN : CAFE_TICKET_PREPARING);
  assert_int_equal(order->payment.status, is_canceled ? CAFE_PAYMENT_CANCELED : CAFE_PAYMENT_CAPTURED);
  assert_int_equal(cluster_count(order, &cafe_order_canceled_type), is_canceled);
  assert_int_equal(cluster_count(order, &cafe_ticket_withdrawn_type), is_canceled);
  assert_int_equal(cluster_count(order, &cafe_cancel_rejected_type), !is_canceled);
  assert_int_equal(cluster_count(order, &cafe_ticket_started_type), !is_canceled);
}

/* Returns how many the cancel won. */
static uint32_t race_all(uint64_t seed) {
  cluster *c = create(seed, seed % 4 != 0);
  uint64_t keys[ORDERS];
  cluster_call *cancels[ORDERS], *starts[ORDERS];
  uint32_t canceled = 0;
  cafe_inproc_faults faults = {sizeof faults, 0, 0, 0, 3000};
  cafe_inproc_set_faults(c->hub, &faults);
  for (int i = 0; i < ORDERS; i++) {
    keys[i] = place(c, 0);
    wait_for_ticket(c, keys[i], CAFE_TICKET_RECEIVED);
    act(c, keys[i], CAFE_TICKET_ACCEPT);
  }
  for (int i = 0; i < ORDERS; i++)
    race(c, keys[i], &cancels[i], &starts[i]);
  cluster_rest(c);
  cluster_check(c, true);
  for (int i = 0; i < ORDERS; i++) {
    cafe_order_status status = status_of(c, keys[i]);
    bool is_canceled = status == CAFE_ORDER_CANCELED;
    canceled += is_canceled;
    assert_true(is_canceled || status == CAFE_ORDER_PREPARING);
    assert_int_equal(cancels[i]->code, CAFE_OK);
    assert_int_equal(starts[i]->code, CAFE_OK);
    assert_int_equal(cancels[i]->verdict, is_canceled ? CAFE_ACCEPTED : CAFE_REFUSED);
    assert_int_equal(starts[i]->verdict, is_canceled ? CAFE_REFUSED : CAFE_ACCEPTED);
    check_winner(cluster_find(c, keys[i]), is_canceled);
  }
  cluster_destroy(c);
  return canceled;
}

/* X1: cancel against start, in 10,000 interleavings (short: 500), seeded: exactly one wins, only legal end states. */
static void x1_cancel_against_start_has_exactly_one_winner(void **state) {
  (void)state;
  uint32_t races = is_full() ? 10000 : 500;
  uint32_t canceled = 0;
  for (uint64_t seed = 1; seed <= races / ORDERS; seed++)
    canceled += race_all(seed);
  print_message("X1: %u races: %u won by the cancel, %u by the start\n", races, canceled, races - canceled);
  assert_true(canceled > races / 5 && canceled < races * 4 / 5);
}

/* ---- X3 ---- */

static void withdraw_early(cluster *c, uint64_t key) {
  const cafe_order *order = &cluster_find(c, key)->order;
  cafe_withdraw_ticket withdraw = {.by = CAFE_CANCEL_BY_CUSTOMER,
                                   .product_id = order->product_id,
                                   .qty = order->qty,
                                   .customer_id = order->customer_id,
                                   .amount_minor = order->amount_minor,
                                   .currency = order->currency,
                                   .store_id = order->store_id};
  cluster_call *call = cluster_submit(c, CLUSTER_STORE, &cafe_withdraw_ticket_type, key, &withdraw, 0, NULL);
  cluster_wait(c, call);
  assert_int_equal(call->verdict, CAFE_ACCEPTED);
}

static void cancel_before_ticket(cluster *c, bool is_early, cluster_order *out) {
  cafe_inproc_cut(c->hub, "store", true);
  uint64_t key = place(c, 0);
  cluster_call *call = cluster_cancel(c, key);
  cluster_run(c, 1000);
  assert_int_equal(status_of(c, key), CAFE_ORDER_CANCELING);
  assert_false(call->is_done);
  if (is_early)
    withdraw_early(c, key);
  cafe_inproc_cut(c->hub, "store", false);
  cluster_rest(c);
  assert_int_equal(call->verdict, CAFE_ACCEPTED);
  cluster_check(c, true);
  *out = *cluster_find(c, key);
}

/* Status, money and messages are told of both alike. */
static void check_same_end(cluster *c, const cluster_order *a, const cluster_order *b) {
  cafe_sandbox_entry paid[] = {cluster_money(c, a->key), cluster_money(c, b->key)};
  uint32_t count[] = {0, 0};
  assert_int_equal(a->order.status, b->order.status);
  assert_int_equal(a->ticket.status, b->ticket.status);
  assert_int_equal(a->payment.status, b->payment.status);
  assert_int_equal(paid[0].approved_minor, paid[1].approved_minor);
  assert_int_equal(paid[0].voided_minor, paid[1].voided_minor);
  for (const cluster_message *message = a->messages; message; message = message->next, count[0]++) {
    uint32_t deliveries;
    assert_int_equal(count_messages(b, message->event, &deliveries), 1);
    assert_int_equal(deliveries, message->deliveries);
  }
  for (const cluster_message *message = b->messages; message; message = message->next)
    count[1]++;
  assert_int_equal(count[0], count[1]);
}

/* X3: the cancel reaches the store before the ticket: the same end as in order. */
static void x3_a_cancel_that_reaches_the_store_before_the_ticket_ends_the_same(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 10; seed++) {
    cluster *c = create(seed, true);
    cluster_order early, in_order;
    cancel_before_ticket(c, true, &early);
    cancel_before_ticket(c, false, &in_order);
    assert_int_equal(early.received, 0);
    assert_int_equal(in_order.received, 1);
    assert_int_equal(early.order.status, CAFE_ORDER_CANCELED);
    assert_int_equal(early.payment.status, CAFE_PAYMENT_CANCELED);
    assert_int_equal(cluster_money(c, early.key).voided_minor, 4500);
    check_same_end(c, &early, &in_order);
    cluster_destroy(c);
  }
}

/* ---- X12 ---- */

static void check_told_once(const cluster_order *order) {
  static const char *const events[] = {"OrderCanceled", "PaymentCanceled"};
  for (int i = 0; i < 2; i++) {
    uint32_t deliveries;
    assert_int_equal(count_messages(order, events[i], &deliveries), 1);
    assert_int_equal(deliveries, 1);
  }
}

/* X12: nobody at the store acts: at the deadline, once the store lets go of the ticket, canceled, voided, told, once.
 */
static void x12_what_nobody_accepts_is_canceled_voided_and_told_once(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 4; seed++) {
    cluster *c = create(seed, seed % 2 == 0);
    uint64_t key = place(c, 5000);
    cluster_rest(c);
    cluster_check(c, true);
    const cluster_order *order = cluster_find(c, key);
    assert_int_equal(order->order.status, CAFE_ORDER_CANCELED);
    assert_int_equal(order->payment.status, CAFE_PAYMENT_CANCELED);
    assert_int_equal(cluster_count(order, &cafe_order_canceled_type), 1);
    assert_int_equal(cluster_money(c, key).voided_minor, 4500);
    assert_int_equal(cluster_money(c, key).voids, 1);
    check_told_once(order);
    int64_t waited_ms = 0;
    for (const cluster_event *at = order->first; at; at = at->next) {
      if (at->event.type == &cafe_ticket_received_type)
        waited_ms -= at->event.time_ms;
      if (at->event.type == &cafe_order_canceled_type)
        waited_ms += at->event.time_ms;
    }
    assert_in_range(waited_ms, 5000, 5500);
    cluster_destroy(c);
  }
}

typedef struct listing {
  uint64_t key;
  uint32_t count;
  bool is_done;
} listing;

static void listed(const cafe_err *err, const cafe_page *page, void *user) {
  listing *out = user;
  assert_null(err);
  out->count = page->count;
  out->key = page->count ? page->rows[0]->key : 0;
  out->is_done = true;
}

/* What a metric of orders by status counts. */
static listing list_orders(cluster *c, const char *status) {
  cafe_filter filter = {.column = "status", .equals = cafe_text(status)};
  cafe_list list = CAFE_LIST_INIT;
  listing out = {0, 0, false};
  list.view = &cafe_orders_view;
  list.filters = &filter;
  list.filter_count = 1;
  assert_int_equal(cafe_node_list(NULL, cluster_node_of(c, CLUSTER_APP)->node, &list, listed, &out, NULL), CAFE_OK);
  while (!out.is_done)
    cluster_step(c);
  return out;
}

static void pass_deadline_unreachable(bool has_accepted) {
  cluster *c = create(5, true);
  uint64_t key = place(c, 5000);
  wait_for_ticket(c, key, CAFE_TICKET_RECEIVED);
  cluster_run(c, 1000);
  cafe_inproc_cut(c->hub, "store", true);
  if (has_accepted)
    act(c, key, CAFE_TICKET_ACCEPT);
  cluster_run(c, 3600000);
  assert_int_equal(status_of(c, key), CAFE_ORDER_CANCELING); /* never guessed */
  listing canceling = list_orders(c, "Canceling");
  assert_int_equal(canceling.count, 1);
  assert_true(canceling.key == key);
  assert_int_equal(cluster_money(c, key).voids, 0);
  cluster_check(c, false);
  cafe_inproc_cut(c->hub, "store", false);
  cluster_rest(c);
  cluster_check(c, true);
  assert_int_equal(status_of(c, key), has_accepted ? CAFE_ORDER_ACCEPTED : CAFE_ORDER_CANCELED);
  assert_int_equal(cluster_money(c, key).voided_minor, has_accepted ? 0 : 4500);
  cluster_destroy(c);
}

/* X12: the store unreachable: canceling, shown where metrics count, never guessed. */
static void x12_while_the_store_is_unreachable_the_order_is_canceling_and_never_guessed(void **state) {
  (void)state;
  pass_deadline_unreachable(false);
  pass_deadline_unreachable(true);
}

/* ---- C3 ---- */

static void cancel_every_seventh(bool is_split) {
  enum { COUNT = 100 };
  cluster *c = create(7, is_split);
  cluster_call *calls[COUNT], *cancels[COUNT];
  for (int i = 0; i < COUNT; i++)
    calls[i] = cluster_place(c, 1000 + i, "token", NULL);
  cluster_run(c, 5000);
  for (int i = 0; i < COUNT; i++) {
    assert_int_equal(calls[i]->verdict, CAFE_ACCEPTED);
    cancels[i] = i % 7 == 6 ? cluster_cancel(c, calls[i]->key) : NULL;
  }
  cluster_run(c, 5000);
  cluster_check(c, false);
  cafe_sandbox_figures figures = {.size = sizeof figures};
  cafe_sandbox_get(c->sandbox, NULL, &figures);
  int64_t voided = 0;
  for (int i = 0; i < COUNT; i++) {
    bool is_canceled = i % 7 == 6;
    if (is_canceled)
      assert_int_equal(cancels[i]->verdict, CAFE_ACCEPTED);
    cafe_sandbox_entry money = cluster_money(c, calls[i]->key);
    assert_int_equal(money.approved_minor, 1000 + i);
    assert_int_equal(money.voided_minor, is_canceled ? 1000 + i : 0);
    assert_int_equal(status_of(c, calls[i]->key), is_canceled ? CAFE_ORDER_CANCELED : CAFE_ORDER_ORDERED);
    voided += is_canceled ? 1000 + i : 0;
  }
  assert_int_equal(figures.voided_minor, voided);
  cluster_finish(c);
  cluster_check(c, true);
  cluster_destroy(c);
}

/* C3: compensation, correlation: 100 orders at once, every 7th canceled: exactly those voided. */
static void c3_of_100_orders_at_once_exactly_every_seventh_is_voided(void **state) {
  (void)state;
  cancel_every_seventh(false);
  cancel_every_seventh(true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(x1_cancel_against_start_has_exactly_one_winner),
      cmocka_unit_test(x3_a_cancel_that_reaches_the_store_before_the_ticket_ends_the_same),
      cmocka_unit_test(x12_what_nobody_accepts_is_canceled_voided_and_told_once),
      cmocka_unit_test(x12_while_the_store_is_unreachable_the_order_is_canceling_and_never_guessed),
      cmocka_unit_test(c3_of_100_orders_at_once_exactly_every_seventh_is_voided),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
