/* SPDX-License-Identifier: Apache-2.0 */

/* Whole orders through the four aggregates, the policies and the saga: scripted ones, which must end the same way with
 * all services in one unit and with each on its own; and seeded ones, in which anything may come late, twice or never.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/fulfillment.h"
#include "cafe/sys/gateway.h"
#include "order_world.h"

static const cafe_place_order place = {
    .product_id = {"latte", 5},
    .qty = 1,
    .customer_id = {"cdgri", 5},
    .amount_minor = 4500,
    .payment_token = {"secret-token", 12},
};

static cafe_verdict order(world *at) { return world_ask(at, WORLD_APP, &cafe_place_order_type, &place); }

static cafe_verdict cancel(world *at) {
  cafe_request_cancel request = {.by = CAFE_CANCEL_BY_CUSTOMER};
  return world_ask(at, WORLD_APP, &cafe_request_cancel_type, &request);
}

static cafe_verdict abandon(world *at) {
  cafe_drop_draft drop = {CAFE_DROP_ABANDONED, 0};
  return world_ask(at, WORLD_APP, &cafe_drop_draft_type, &drop);
}

static cafe_verdict act(world *at, cafe_ticket_action action) {
  cafe_act_on_ticket ask = {.action = action};
  return world_ask(at, WORLD_STORE, &cafe_act_on_ticket_type, &ask);
}

static void pay(world *at) { world_settle(at, CAFE_GATEWAY_DONE); }

/* ---- scripts ---- */

static void happy(world *at) {
  order(at);
  pay(at);
  for (cafe_ticket_action action = CAFE_TICKET_ACCEPT; action <= CAFE_TICKET_HAND_OUT; action++) {
    if (action != CAFE_TICKET_REJECT) {
      world_check(at, act(at, action) == CAFE_ACCEPTED, "the store can't go on");
      pay(at);
    }
  }
}

static void decline(world *at) {
  order(at);
  world_settle(at, CAFE_GATEWAY_DECLINED);
}

static void unavailable(world *at) {
  order(at);
  world_settle(at, CAFE_GATEWAY_REFUSED);
}

static void cancel_in_time(world *at) {
  order(at);
  pay(at);
  act(at, CAFE_TICKET_ACCEPT);
  pay(at);
  cancel(at);
  pay(at);
}

static void cancel_too_late(world *at) {
  order(at);
  pay(at);
  act(at, CAFE_TICKET_ACCEPT);
  act(at, CAFE_TICKET_START);
  pay(at);
  world_check(at, cancel(at) == CAFE_REFUSED, "canceled after start");
  world_check(at, cancel(at) == CAFE_REFUSED, "canceled after start");
  pay(at);
  act(at, CAFE_TICKET_FINISH);
  act(at, CAFE_TICKET_HAND_OUT);
  pay(at);
}

static void nobody_accepts(world *at) {
  order(at);
  pay(at);
  world_tick(at, at->now_ms + 900000);
  pay(at);
}

static void accepted_at_the_last_moment(world *at) {
  order(at);
  pay(at);
  act(at, CAFE_TICKET_ACCEPT);
  world_tick(at, at->now_ms + 900000);
  pay(at);
  act(at, CAFE_TICKET_START);
  act(at, CAFE_TICKET_FINISH);
  act(at, CAFE_TICKET_HAND_OUT);
  pay(at);
}

static void store_rejects(world *at) {
  order(at);
  pay(at);
  act(at, CAFE_TICKET_REJECT);
  pay(at);
}

static void store_gives_up(world *at) {
  order(at);
  pay(at);
  act(at, CAFE_TICKET_ACCEPT);
  act(at, CAFE_TICKET_START);
  pay(at);
  act(at, CAFE_TICKET_FAIL);
  pay(at);
}

static void store_rejects_while_canceling(world *at) {
  order(at);
  pay(at);
  act(at, CAFE_TICKET_REJECT);
  cancel(at);
  pay(at);
}

static void caller_gives_up(world *at) {
  order(at);
  abandon(at);
  pay(at);
}

static void paid_too_late(world *at) {
  order(at);
  world_tick(at, at->now_ms + 600);
  pay(at);
  world_tick(at, at->now_ms + 30000);
  pay(at);
}

static void paid_too_late_and_taken_by_a_retry(world *at) {
  order(at);
  world_tick(at, at->now_ms + 600);
  pay(at);
  order(at);
  pay(at);
  act(at, CAFE_TICKET_REJECT);
  pay(at);
}

static const struct {
  void (*script)(world *at);
  const char *together;
  const char *apart; /* NULL: the same */
} scripts[] = {
    {happy, "PickedUp Captured PickedUp ended: CoffeeDone OrderAccepted OrderPickedUp Ordered", NULL},
    {decline, "- Declined - undone:", NULL},
    {unavailable, "- - - undone:", NULL},
    {cancel_in_time, "Canceled Canceled Withdrawn undone: OrderAccepted OrderCanceled Ordered PaymentCanceled", NULL},
    {cancel_too_late, "PickedUp Captured PickedUp ended: CancelRejected CoffeeDone OrderAccepted OrderPickedUp Ordered",
     NULL},
    {nobody_accepts, "Canceled Canceled Withdrawn undone: OrderCanceled Ordered PaymentCanceled", NULL},
    {accepted_at_the_last_moment, "PickedUp Captured PickedUp ended: CoffeeDone OrderAccepted OrderPickedUp Ordered",
     NULL},
    {store_rejects, "Rejected Canceled Rejected undone: OrderRejected Ordered PaymentCanceled", NULL},
    {store_gives_up, "Rejected Refunded Failed ended: OrderAccepted OrderRejected Ordered PaymentRefunded", NULL},
    {store_rejects_while_canceling, "Rejected Canceled Rejected undone: OrderRejected Ordered PaymentCanceled", NULL},
    /* Apart the cancel is there before the authorization, and leaves a tombstone. */
    {caller_gives_up, "- Canceled - undone:", "- - - undone:"},
    {paid_too_late, "- Canceled - undone:", NULL},
    {paid_too_late_and_taken_by_a_retry, "Rejected Canceled Rejected undone: OrderRejected Ordered PaymentCanceled",
     NULL},
};

static void scripted_orders_end_the_same_way_together_and_apart(void **unused) {
  for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
    for (int is_together = 1; is_together >= 0; is_together--) {
      world at;
      world_init(&at, is_together, i);
      scripts[i].script(&at);
      world_check_rest(&at);
      const char *wanted = !is_together && scripts[i].apart ? scripts[i].apart : scripts[i].together;
      assert_string_equal(world_summary(&at), wanted);
      world_deinit(&at);
    }
  }
}

/* ---- X3 ---- */

static void a_cancel_that_reaches_the_store_before_its_ticket_ends_the_same(void **unused) {
  world at;
  world_init(&at, false, 0);
  size_t store = world_wire_of(&at, WORLD_STORE, WORLD_APP, false);
  order(&at);
  while (!world_has(&at, WORLD_APP, &cafe_ordered_type)) {
    world_request_arrives(&at, 0);
    world_gateway(&at, CAFE_GATEWAY_DONE, false);
  }
  world_check(&at, cancel(&at) == CAFE_PENDING, "the store's answer isn't waited for");
  world_deliver_early(&at, store, at.logs[WORLD_APP].count - 1);
  assert_int_equal(world_ticket(&at), CAFE_TICKET_WITHDRAWN);
  world_check(&at, act(&at, CAFE_TICKET_ACCEPT) == CAFE_REFUSED, "a tombstone is accepted");
  pay(&at);
  world_check_rest(&at);
  assert_false(world_has(&at, WORLD_STORE, &cafe_ticket_received_type));
  assert_string_equal(world_summary(&at), "Canceled Canceled Withdrawn undone: OrderCanceled Ordered PaymentCanceled");
  world_deinit(&at);
}

/* ---- seeded ---- */

static uint64_t seeds(void) {
  const char *full = getenv("CAFE_FULL");
  return full && strcmp(full, "1") == 0 ? 10000 : 1000;
}

/* How things go with one seed: so that each seed is one kind of trouble, and all kinds together are many seeds. */
typedef struct mood {
  bool cancels, sleeps, abandons, restarts;
  uint64_t declines, refuses, gives_up; /* of 16 */
} mood;

static int32_t gateway_says(world *at, const mood *how) {
  uint64_t drawn = world_draw(at, 16);
  bool is_authorizing = world_payment(at)->running == CAFE_PAYMENT_AUTHORIZE;
  if (is_authorizing && drawn < how->declines) {
    return CAFE_GATEWAY_DECLINED;
  }
  if (drawn < how->declines + how->refuses) {
    return is_authorizing || world_payment(at)->running == CAFE_PAYMENT_CAPTURE ? CAFE_GATEWAY_REFUSED
                                                                                : CAFE_GATEWAY_DONE;
  }
  return drawn < how->declines + how->refuses + how->gives_up ? 0 : CAFE_GATEWAY_DONE;
}

static void repeat_gateway(world *at) {
  cafe_payment_operation operation = (cafe_payment_operation)(1 + world_draw(at, 4));
  cafe_record_gateway said = {operation, at->ledger.results[operation], {NULL, 0}, {NULL, 0}};
  if (said.result && operation != world_payment(at)->running) {
    world_check(at, world_ask(at, WORLD_PAY, &cafe_record_gateway_type, &said) == CAFE_UNCHANGED,
                "the gateway's word counts twice");
  }
}

static void disturb_a_request(world *at) {
  if (at->request_count == 0) {
    return;
  }
  size_t index = world_draw(at, at->request_count);
  const world_request *request = &at->requests[index];
  uint64_t drawn = world_draw(at, 8);
  if (drawn < 5) {
    world_request_arrives(at, index); /* also again, and after it was answered */
  } else if (drawn == 5 && !request->was_there) {
    world_request_fails(at, index, CAFE_UNAVAILABLE);
  } else {
    world_request_fails(at, index, CAFE_TIMEOUT);
  }
}

static void disturb_a_wire(world *at) {
  if (at->is_together) {
    return;
  }
  size_t wire = world_draw(at, at->wire_count);
  size_t count = at->logs[at->wires[wire].source].count;
  uint64_t drawn = world_draw(at, 8);
  if (drawn < 6) {
    world_deliver(at, wire);
  } else if (drawn == 6 && at->wires[wire].next) {
    world_deliver_again(at, wire, world_draw(at, at->wires[wire].next));
  } else if (count && at->wires[wire].reader != WORLD_CUSTOMER) {
    world_deliver_early(at, wire, world_draw(at, count));
  }
}

static int64_t due_ms(const world *at) {
  int64_t due = -1;
  assert_int_equal(saga_due_ms(&due, at->saga, NULL), CAFE_OK);
  return due;
}

static void pass_time(world *at) {
  int64_t due = due_ms(at);
  bool is_far = due > at->now_ms + 60000 && world_draw(at, 8) != 0;
  world_tick(at, due > at->now_ms && !is_far && world_draw(at, 2) ? due : at->now_ms + (int64_t)world_draw(at, 300));
}

static void disturb(world *at, const mood *how) {
  switch (world_draw(at, 16)) {
  case 0:
    if (how->cancels) {
      cancel(at);
    }
    break;
  case 1:
  case 2:
    act(at, (cafe_ticket_action)(1 + world_draw(at, 6)));
    break;
  case 3:
    pass_time(at);
    break;
  case 4:
  case 5:
    if (world_payment(at)->running) {
      world_gateway(at, gateway_says(at, how), world_draw(at, 4) == 0);
    }
    break;
  case 6:
    repeat_gateway(at);
    break;
  case 7:
    if (world_order(at)->draft != CAFE_DRAFT_ENDED && world_draw(at, 4) == 0) {
      order(at);
    }
    break;
  case 8:
    if (how->abandons && world_draw(at, 4) == 0) {
      abandon(at);
    }
    break;
  case 9:
    if (how->restarts && !at->is_together) {
      world_restart(at);
    }
    break;
  case 10:
  case 11:
    disturb_a_request(at);
    break;
  default:
    disturb_a_wire(at);
    break;
  }
}

/* What the store still does, if anything. */
static bool go_on(world *at, const mood *how) {
  switch (world_ticket(at)) {
  case CAFE_TICKET_RECEIVED:
    return !how->sleeps && act(at, CAFE_TICKET_ACCEPT) == CAFE_ACCEPTED;
  case CAFE_TICKET_ACCEPTED:
    return act(at, CAFE_TICKET_START) == CAFE_ACCEPTED;
  case CAFE_TICKET_PREPARING:
    return act(at, CAFE_TICKET_FINISH) == CAFE_ACCEPTED;
  case CAFE_TICKET_READY:
    return act(at, CAFE_TICKET_HAND_OUT) == CAFE_ACCEPTED;
  default:
    return false;
  }
}

/* Nothing is disturbed any more: everything comes to its end. */
static void calm_down(world *at, const mood *how) {
  for (size_t rounds = 0;; rounds++) {
    world_check(at, rounds < 100, "it never comes to rest");
    pay(at);
    if (go_on(at, how)) {
      continue;
    }
    int64_t due = due_ms(at);
    if (due == 0) {
      return;
    }
    world_tick(at, due > at->now_ms ? due : at->now_ms);
  }
}

static void walk(uint64_t seed) {
  world at;
  world_init(&at, seed % 4 == 0, seed);
  mood how = {
      .cancels = world_draw(&at, 2),
      .sleeps = world_draw(&at, 4) == 0,
      .abandons = world_draw(&at, 8) == 0,
      .restarts = world_draw(&at, 2),
      .declines = world_draw(&at, 8) == 0 ? 8 : 0,
      .refuses = world_draw(&at, 8) == 0 ? 8 : 0,
      .gives_up = world_draw(&at, 16) == 0 ? 4 : 0,
  };
  order(&at);
  for (uint64_t left = 20 + world_draw(&at, 200); left; left--) {
    disturb(&at, &how);
  }
  calm_down(&at, &how);
  world_check_rest(&at);
  world_deinit(&at);
}

static void seeded_orders_end_well_whatever_comes_late_twice_or_never(void **unused) {
  for (uint64_t seed = 1; seed <= seeds(); seed++) {
    walk(seed);
  }
}

/* ---- X1 ---- */

static void cancel_and_start_never_both_win(void **unused) {
  uint64_t canceled = 0;
  for (uint64_t seed = 1; seed <= seeds(); seed++) {
    world at;
    world_init(&at, seed % 4 == 0, seed);
    order(&at);
    pay(&at);
    act(&at, CAFE_TICKET_ACCEPT);
    bool has_canceled = false, has_started = false;
    while (!has_canceled || !has_started) {
      uint64_t drawn = world_draw(&at, 8);
      if (drawn == 0 && !has_canceled) {
        has_canceled = cancel(&at) != 0;
      } else if (drawn == 1 && !has_started) {
        has_started = act(&at, CAFE_TICKET_START) != 0;
      } else {
        disturb_a_wire(&at);
      }
    }
    for (uint64_t left = world_draw(&at, 40); left; left--) {
      disturb_a_wire(&at);
    }
    pay(&at);
    bool is_canceled = world_order(&at)->status == CAFE_ORDER_CANCELED;
    world_check(&at, is_canceled || world_order(&at)->status == CAFE_ORDER_PREPARING, "nobody won");
    world_check(&at, is_canceled == (world_ticket(&at) == CAFE_TICKET_WITHDRAWN), "the store says otherwise");
    world_check(&at, is_canceled || world_has(&at, WORLD_APP, &cafe_cancel_rejected_type), "the loser isn't told");
    calm_down(&at, &(mood){.cancels = false});
    world_check_rest(&at);
    canceled += is_canceled;
    world_deinit(&at);
  }
  /* Both do win, each in its seeds. */
  assert_true(canceled > seeds() / 8 && canceled < seeds() - seeds() / 8);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(scripted_orders_end_the_same_way_together_and_apart),
      cmocka_unit_test(a_cancel_that_reaches_the_store_before_its_ticket_ends_the_same),
      cmocka_unit_test(seeded_orders_end_well_whatever_comes_late_twice_or_never),
      cmocka_unit_test(cancel_and_start_never_both_win),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
