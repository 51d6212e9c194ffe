/* SPDX-License-Identifier: Apache-2.0 */

/* Who is away misses nothing, and keeps nobody waiting. */
#include "acceptance_kit.h"

enum { BEFORE = 50, MEANWHILE = 1000 };

typedef struct place_in_logs {
  uint64_t ordered, received; /* positions in app's log, and in store's */
} place_in_logs;

static int64_t place_many(cluster *c, uint64_t *keys, int count) {
  int64_t from_us = cafe_sim_now_us(c->world);
  for (int i = 0; i < count; i++)
    keys[i] = place(c, DAY_MS);
  return (cafe_sim_now_us(c->world) - from_us) / count;
}

static place_in_logs find_places(cluster *c, uint64_t key) {
  const cluster_order *order = cluster_find(c, key);
  place_in_logs found = {0, 0};
  assert_int_equal(cluster_count(order, &cafe_ticket_received_type), 1);
  for (const cluster_event *at = order->first; at; at = at->next) {
    if (at->event.type == &cafe_ordered_type)
      found.ordered = at->event.position.n;
    if (at->event.type == &cafe_ticket_received_type)
      found.received = at->event.position.n;
  }
  return found;
}

static int compare_orders(const void *a, const void *b) {
  const place_in_logs *x = a, *y = b;
  return (x->ordered > y->ordered) - (x->ordered < y->ordered);
}

/* N2a: the store down, with customer and dashboard: 1,000 orders, with ordinary latency; the store back: 1,000 tickets,
 * once each, in order. */
static void n2a_tickets_that_had_to_wait_arrive_once_each_in_order(void **state) {
  (void)state;
  for (uint64_t seed = 31; seed <= 32; seed++) {
    static uint64_t keys[MEANWHILE];
    static place_in_logs places[MEANWHILE];
    cluster *c = create(seed, true);
    c->chances.delay_ms = 10; /* of the gateway */
    int64_t ordinary_us = place_many(c, keys, BEFORE);
    cluster_rest(c);
    for (int service = CLUSTER_STORE; service <= CLUSTER_DASHBOARD; service++)
      cluster_stop(c, service);
    assert_in_range(place_many(c, keys, MEANWHILE), 1, ordinary_us * 11 / 10);
    assert_int_equal(cluster_find(c, keys[0])->received, 0);
    assert_int_equal(cluster_start(c, CLUSTER_STORE), CAFE_OK);
    wait_for_ticket(c, keys[MEANWHILE - 1], CAFE_TICKET_RECEIVED);
    for (int i = 0; i < MEANWHILE; i++)
      places[i] = find_places(c, keys[i]);
    qsort(places, MEANWHILE, sizeof places[0], compare_orders);
    for (int i = 1; i < MEANWHILE; i++)
      assert_true(places[i - 1].ordered < places[i].ordered && places[i - 1].received < places[i].received);
    assert_int_equal(cluster_start(c, CLUSTER_CUSTOMER), CAFE_OK);
    assert_int_equal(cluster_start(c, CLUSTER_DASHBOARD), CAFE_OK);
    cluster_rest(c);
    cluster_check(c, true);
    cluster_destroy(c);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(n2a_tickets_that_had_to_wait_arrive_once_each_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
