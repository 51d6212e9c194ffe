/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A crash after commit n, for every n. Two of them are told in docs/orders/crash.md; for all of them the order ends as
 * without a crash, and whatever was acknowledged is there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trace_shop.h"

/* ---- what is told ---- */

static void crash_after_commit(uint64_t n, const char *name) {
  shop *s = shop_open(false);
  shop_doom(s, SHOP_APP, n, true);
  shop_place(s, "token", "k1");
  shop_run(s, 500);
  trace_next(shop_trace(s));
  shop_start(s, SHOP_APP);
  shop_run(s, 700);
  trace_next(shop_trace(s));
  shop_place(s, "token", "k1");
  shop_run(s, 5000);
  trace_end(shop_trace(s));
  shop_rest(s);
  trace_check(shop_trace(s), "orders/crash.md", name);
  shop_close(s);
}

/* C1: a failing order as golden text. */
static void a_crash_before_the_gateway_is_called(void **state) { crash_after_commit(1, "after commit 1"); }

/* C1: a failing order as golden text. */
static void a_crash_before_the_answer(void **state) { crash_after_commit(2, "after commit 2"); }

/* ---- every n ---- */

enum { PATIENCE = 100, STEPS = 5 };

/* What was acknowledged, and where it must be. */
typedef struct promise {
  shop_node node;
  uint64_t key;
  const cafe_schema *event;
} promise;

typedef struct customer {
  shop *shop;
  int64_t now_ms;
  promise promises[STEPS];
  int count;
} customer;

static void restart_what_is_down(shop *s, int nodes) {
  for (int i = 0; i < nodes; i++) {
    if (!shop_is_up(s, (shop_node)i)) {
      shop_start(s, (shop_node)i);
    }
  }
}

static void wait_ms(customer *c, int64_t ms) {
  c->now_ms += ms;
  shop_run(c->shop, c->now_ms);
}

/* Waits for the answer like somebody who needs it: a node that is down is started by its supervisor meanwhile. */
static bool is_answered(customer *c, const shop_call *call, int nodes) {
  for (int i = 0; i < PATIENCE && !call->is_done && !call->is_lost; i++) {
    wait_ms(c, 10);
  }
  wait_ms(c, 300);
  restart_what_is_down(c->shop, nodes);
  return call->is_done && call->code == CAFE_OK && call->verdict != CAFE_REFUSED;
}

static void keep_promise(customer *c, shop_node node, uint64_t key, const cafe_schema *event) {
  if (event) {
    c->promises[c->count++] = (promise){node, key, event};
  }
}

/* Asks until it is ordered, with one key all along, then makes the coffee. Returns the order. */
static uint64_t order_and_serve(customer *c, int nodes) {
  static const cafe_ticket_action actions[] = {CAFE_TICKET_ACCEPT, CAFE_TICKET_START, CAFE_TICKET_FINISH,
                                               CAFE_TICKET_HAND_OUT};
  const shop_call *call;
  int tries = 0;
  do {
    assert_true(tries++ < PATIENCE);
    call = shop_place(c->shop, "token", "k1");
  } while (!is_answered(c, call, nodes));
  uint64_t key = call->key;
  assert_true(strncmp(call->reply, "201 ", 4) == 0);
  keep_promise(c, SHOP_APP, key, &cafe_ordered_type);
  for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
    tries = 0;
    do {
      assert_true(tries++ < PATIENCE);
      call = shop_act(c->shop, key, actions[i]);
    } while (!is_answered(c, call, nodes));
    keep_promise(c, SHOP_STORE, key, call->event);
  }
  wait_ms(c, 5000); /* a crash may come after the last answer, too */
  restart_what_is_down(c->shop, nodes);
  shop_rest(c->shop);
  return key;
}

/* Drafts that came to nothing hold no money. */
static void check_money(shop *s, uint64_t key) {
  cafe_sandbox_entry money = shop_money(s, key);
  assert_int_equal(money.captured_minor, 4500);
  assert_int_equal(money.refunded_minor + money.voided_minor, 0);
  assert_true(money.authorizations == 1 && money.captures == 1);
  for (uint64_t other = SHOP_ORDER; other < key; other++) {
    money = shop_money(s, other);
    assert_int_equal(money.approved_minor, money.voided_minor);
    assert_int_equal(money.captured_minor, 0);
  }
}

typedef struct ending {
  char text[4096];
} ending;

/* One order, with a crash or without one. False: there was none, n is beyond the last commit. */
static bool play(ending *out, int nodes, shop_node doomed, uint64_t n, bool is_after) {
  shop *s = shop_open(nodes > 1);
  customer c = {.shop = s};
  if (n) {
    shop_doom(s, doomed, n, is_after);
  }
  uint64_t key = order_and_serve(&c, nodes);
  bool was_hit = shop_crashes(s) > 0;
  for (int i = 0; i < c.count; i++) {
    assert_true(shop_has_event(s, c.promises[i].node, c.promises[i].key, c.promises[i].event));
  }
  check_money(s, key);
  assert_int_equal(shop_deliveries(s, key), 4);
  shop_describe(s, key, out->text, sizeof(out->text));
  shop_close(s);
  return was_hit;
}

static void crash_everywhere(int nodes) {
  static ending quiet, crashed;
  uint64_t crashes = 0;
  assert_false(play(&quiet, nodes, SHOP_APP, 0, false));
  for (int doomed = 0; doomed < nodes; doomed++) {
    for (int is_after = 0; is_after < 2; is_after++) {
      uint64_t n = 1;
      while (play(&crashed, nodes, (shop_node)doomed, n, is_after)) {
        if (strcmp(quiet.text, crashed.text) != 0) {
          fail_msg("node %d, killed %s commit %u, ends so:\n%sand without a crash so:\n%s", doomed,
                   is_after ? "after" : "before", (unsigned)n, crashed.text, quiet.text);
        }
        n++;
        crashes++;
      }
      assert_true(n > 5);
    }
  }
  print_message("%llu crashes\n", (unsigned long long)crashes);
}

/* X7: crash mid-saga, at each commit: resumes by itself. */
static void one_node_ends_the_same_after_a_crash_at_any_commit(void **state) { crash_everywhere(1); }

/* X7: crash mid-saga, at each commit: resumes by itself. */
static void five_nodes_end_the_same_after_a_crash_of_one_at_any_commit(void **state) { crash_everywhere(SHOP_NODES); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_crash_before_the_gateway_is_called),
      cmocka_unit_test(a_crash_before_the_answer),
      cmocka_unit_test(one_node_ends_the_same_after_a_crash_at_any_commit),
      cmocka_unit_test(five_nodes_end_the_same_after_a_crash_of_one_at_any_commit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
