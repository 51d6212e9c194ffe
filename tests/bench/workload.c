/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Orders through a node, as a program that uses the library puts them there: the shop's services with the sandbox
 * gateway and a channel that answers at once, cafe_node_submit, completions. A fixed number is in flight: an order that
 * has ended is followed by the next in the same completion.
 *
 * The clock runs until the node is at rest, so nothing that orders leave behind (captures, messages, the last commit)
 * is anybody else's cost.
 */
#include "workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { STEPS_MAX = 5, CUSTOMERS = 1000 };

struct driver;

typedef struct order {
  struct driver *driver;
  uint32_t step;
  uint64_t key;
  int64_t placed_ns;
} order;

typedef struct driver {
  workload work;
  standing *shop;
  order *orders;
  uint64_t started;
  uint64_t finished;
  int64_t *paid_ns; /* of each order, place → paid */
  uint64_t paid;
  int is_over;
} driver;

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void fail(driver *d, const char *doing, const char *why) {
  if (!d->work.out->failure[0]) {
    snprintf(d->work.out->failure, sizeof(d->work.out->failure), "%s: %s", doing, why);
  }
  d->is_over = 1;
}

/* ---- one order ---- */

/* What comes after `step` commands of an order; false: nothing. */
typedef bool (*next_step)(cafe_submit *out, uint32_t step);

bool workload_owner_acts(cafe_submit *out, uint32_t step) {
  static const cafe_act_on_ticket acts[] = {{CAFE_TICKET_ACCEPT, {NULL, 0}},
                                            {CAFE_TICKET_START, {NULL, 0}},
                                            {CAFE_TICKET_FINISH, {NULL, 0}},
                                            {CAFE_TICKET_HAND_OUT, {NULL, 0}}};
  if (step > sizeof(acts) / sizeof(acts[0])) {
    return false;
  }
  out->command = &cafe_act_on_ticket_type;
  out->data = &acts[step - 1];
  out->data_size = sizeof acts[step - 1];
  return true;
}

static bool next_of_w2(cafe_submit *out, uint32_t step) {
  static const cafe_request_cancel cancel = {CAFE_CANCEL_BY_CUSTOMER, {"changed my mind", 15}};
  out->command = &cafe_request_cancel_type;
  out->data = &cancel;
  out->data_size = sizeof cancel;
  return step == 1;
}

static const next_step steps_of[] = {[BENCH_W1] = workload_owner_acts, [BENCH_W2] = next_of_w2};

static void answered(const cafe_err *err, const cafe_outcome *outcome, void *user);

void workload_order(cafe_place_order *out, char customer[WORKLOAD_CUSTOMER_MAX], uint64_t number) {
  snprintf(customer, WORKLOAD_CUSTOMER_MAX, "customer-%llu", (unsigned long long)(number % CUSTOMERS));
  *out = (cafe_place_order){
      .product_id = cafe_text("americano-iced-tall"),
      .qty = 1,
      .customer_id = cafe_text(customer),
      .amount_minor = WORKLOAD_AMOUNT,
      .currency = cafe_text("KRW"),
      .store_id = cafe_text("gangnam-1"),
      .pay_timeout_ms = 60000, /* a machine that stalls is slow, not wrong */
      .payment_token = cafe_text("tok_1NirD82eZvKYlo2CIvbtLWuY"),
  };
}

static void place(order *o) {
  driver *d = o->driver;
  char customer[WORKLOAD_CUSTOMER_MAX];
  cafe_place_order place;
  workload_order(&place, customer, d->started);
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = &cafe_place_order_type;
  submit.data = &place;
  submit.data_size = sizeof place;
  o->step = 1;
  o->placed_ns = now_ns();
  d->started++;
  cafe_err err;
  if (cafe_node_submit(NULL, d->work.node, &submit, answered, o, &err) != CAFE_OK) {
    fail(d, "placing an order", err.text);
  }
}

static void go_on(order *o) {
  driver *d = o->driver;
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.key = o->key;
  if (steps_of[d->work.wanted->scenario](&submit, o->step)) {
    o->step++;
    cafe_err err;
    if (cafe_node_submit(NULL, d->work.node, &submit, answered, o, &err) != CAFE_OK) {
      fail(d, submit.command->name, err.text);
    }
    return;
  }
  d->finished++;
  if (d->started < d->work.wanted->orders) {
    place(o);
  }
}

static void answered(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  order *o = user;
  driver *d = o->driver;
  if (d->is_over) {
    return;
  }
  if (err || outcome->verdict != CAFE_ACCEPTED) {
    fail(d, o->step == 1 ? "an order wasn't taken" : "a step was refused",
         err             ? err->text
         : outcome->text ? outcome->text
                         : "nothing changed");
    return;
  }
  if (o->step == 1) {
    o->key = outcome->key;
    d->paid_ns[d->paid++] = now_ns() - o->placed_ns;
  }
  go_on(o);
}

/* ---- the whole ---- */

static void look(void *user) {
  driver *d = user;
  if (d->finished == d->work.wanted->orders) {
    cafe_node_stats stats = {.size = sizeof(stats)};
    cafe_node_stats_get(d->work.node, &stats);
    d->is_over = stats.queued == 0 && stats.tasks_running == 0;
  }
}

static int compare_ns(const void *a, const void *b) {
  int64_t left = *(const int64_t *)a;
  int64_t right = *(const int64_t *)b;
  return (left > right) - (left < right);
}

void workload_percentiles(double out_us[3], int64_t *taken_ns, uint64_t count) {
  static const double wanted[] = {0.5, 0.99, 0.999};
  qsort(taken_ns, count, sizeof(*taken_ns), compare_ns);
  for (int i = 0; i < 3 && count; i++) {
    out_us[i] = (double)taken_ns[(uint64_t)(wanted[i] * (double)(count - 1))] / 1e3;
  }
}

/* What is measured, and nothing else: a frame of its own, so that a profiler can be told to look at it alone
 * (valgrind --tool=callgrind --toggle-collect=run_orders). */
__attribute__((noinline)) static void run_orders(driver *d) {
  const bench_case *wanted = d->work.wanted;
  bench_usage start;
  counted_store_reset(d->shop->counted);
  counted_now(&start);
  for (uint32_t i = 0; i < wanted->in_flight && d->started < wanted->orders && !d->is_over; i++) {
    d->orders[i].driver = d;
    place(&d->orders[i]);
  }
  cafe_node_run(d->work.node, &d->is_over);
  counted_since(&d->work.out->used, &start);
  counted_store_get(d->shop->counted, d->work.out);
  d->work.out->orders = d->finished;
  workload_percentiles(d->work.out->paid_us, d->paid_ns, d->paid);
}

void workload_path(char *out, size_t size, const bench_case *wanted) {
  snprintf(out, size, "%s/cafe-bench.db", wanted->dir);
}

void workload_ledger(char *out, size_t size, const bench_case *wanted) {
  snprintf(out, size, "%s/cafe-bench.ledger", wanted->dir);
}

void workload_clean(const bench_case *wanted) {
  static const char *const ends[] = {"", "-wal", "-shm", "-lock"};
  static const char *const names[] = {"cafe-bench", "cafe-bench-yardstick"};
  for (int n = 0; n < 2; n++) {
    for (int i = 0; i < 4; i++) {
      char path[512];
      snprintf(path, sizeof(path), "%s/%s.db%s", wanted->dir, names[n], ends[i]);
      unlink(path);
    }
  }
  char ledger[512];
  workload_ledger(ledger, sizeof(ledger), wanted);
  unlink(ledger);
}

void workload_fill(bench_result *out, standing *shop, const bench_case *wanted) {
  driver *d = calloc(1, sizeof(*d));
  memset(out, 0, sizeof(*out));
  if (d) {
    d->orders = calloc(wanted->in_flight, sizeof(*d->orders));
    d->paid_ns = calloc(wanted->orders, sizeof(*d->paid_ns));
  }
  if (!d || !d->orders || !d->paid_ns) {
    snprintf(out->failure, sizeof(out->failure), "no memory");
  } else {
    d->work = (workload){wanted, shop->node, shop->gateway, 0, out};
    d->shop = shop;
    shop->look = look;
    shop->user = d;
    run_orders(d);
    shop->look = NULL;
    d->work.delivered = shop->channel.count;
    if (!out->failure[0]) {
      check_all(&d->work);
    }
  }
  if (d) {
    free(d->orders);
    free(d->paid_ns);
  }
  free(d);
}

void workload_run(bench_result *out, const bench_case *wanted) {
  standing *shop = calloc(1, sizeof(*shop));
  cafe_err err = {.text = "no memory"};
  memset(out, 0, sizeof(*out));
  if (!shop || standing_open_alone(shop, wanted, &err) != CAFE_OK) {
    snprintf(out->failure, sizeof(out->failure), "starting a node: %s", err.text);
  } else {
    workload_fill(out, shop, wanted);
  }
  if (shop) {
    standing_close(shop);
  }
  free(shop);
  if (wanted->store == BENCH_SQLITE && !out->failure[0]) {
    char path[512];
    workload_path(path, sizeof(path), wanted);
    check_file(out, path);
  }
}
