/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What stands still, and what a restart takes. Orders are placed until so many are in flight, and the process is killed
 * while others are on their way; then a new process starts on what that left. How long until it answers, what it needs
 * of memory at rest, and, where they are brought to their end, whether all of them get there.
 */
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "standing.h"

enum {
  STEPS = 5, /* an order that was placed may have had so many: none, accept, start, finish, hand out (not that one) */
  AMOUNT = 4500,
  PAGE = 1000,
  REST_MS = 10000,
  SETTLE_MS = 5000, /* until what goes on in the background is done */
  CALM_MS = 20
};

typedef struct parked {
  const bench_case *wanted;
  standing shop;
  uv_timer_t timer;
  char *failure; /* of BENCH_FAILURE_MAX */
  uint64_t started, placed;
  int is_done;
  uint64_t last_key; /* of a page */
  uint64_t in_hand;  /* commands that aren't answered yet */
  bool has_more;
} parked;

static const cafe_act_on_ticket acts[] = {{CAFE_TICKET_ACCEPT, {NULL, 0}},
                                          {CAFE_TICKET_START, {NULL, 0}},
                                          {CAFE_TICKET_FINISH, {NULL, 0}},
                                          {CAFE_TICKET_HAND_OUT, {NULL, 0}}};

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void fail(parked *p, const char *doing, const char *why) {
  if (!p->failure[0]) {
    snprintf(p->failure, BENCH_FAILURE_MAX, "%s: %s", doing, why);
  }
  p->is_done = 1;
}

static bool submit(parked *p, uint64_t key, const cafe_schema *command, const void *data, size_t size, cafe_op_cb done,
                   void *user) {
  cafe_submit wanted = CAFE_SUBMIT_INIT;
  cafe_err err;
  wanted.command = command;
  wanted.key = key;
  wanted.data = data;
  wanted.data_size = size;
  if (cafe_node_submit(NULL, p->shop.node, &wanted, done, user, &err) != CAFE_OK) {
    fail(p, command->name, err.text);
    return false;
  }
  return true;
}

static bool place(parked *p, cafe_op_cb done, void *user) {
  cafe_place_order order = {
      .product_id = cafe_text("americano-iced-tall"),
      .qty = 1,
      .customer_id = cafe_text("customer-1"),
      .amount_minor = AMOUNT,
      .currency = cafe_text("KRW"),
      .store_id = cafe_text("gangnam-1"),
      .pay_timeout_ms = 60000,
      .accept_timeout_ms = 86400000,
  };
  p->started++;
  return submit(p, 0, &cafe_place_order_type, &order, sizeof(order), done, user);
}

static void on_time(uv_timer_t *timer) { *(int *)timer->data = 1; }

/* Turns the loop for so long. */
static void turn_for(parked *p, uint64_t ms) {
  int is_over = 0;
  p->timer.data = &is_over;
  uv_timer_start(&p->timer, on_time, ms, 0);
  cafe_node_run(p->shop.node, &is_over);
}

/* ---- filling ---- */

typedef struct going {
  parked *p;
  uint64_t key;
  uint32_t steps, wanted;
} going;

static void filled(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  going *one = user;
  parked *p = one->p;
  if (err || outcome->verdict != CAFE_ACCEPTED) {
    fail(p, "a step wasn't taken", err ? err->text : outcome->text);
    return;
  }
  if (one->steps == 0) {
    one->key = outcome->key;
    one->wanted = p->wanted->scenario == BENCH_KILLED ? (uint32_t)(p->placed % (STEPS - 1)) : 0;
    p->placed++;
  }
  if (one->steps < one->wanted) {
    const cafe_act_on_ticket *act = &acts[one->steps++];
    submit(p, one->key, &cafe_act_on_ticket_type, act, sizeof(*act), filled, one);
    return;
  }
  one->steps = 0;
  if (p->placed >= p->wanted->orders) {
    p->is_done = 1;
    if (p->wanted->scenario == BENCH_PARKED) {
      return;
    }
  }
  place(p, filled, one);
}

void parked_fill(const bench_case *wanted, void (*say)(const char *failure, void *user), void *user) {
  static char failure[BENCH_FAILURE_MAX];
  parked *p = calloc(1, sizeof(*p));
  going *all = calloc(wanted->in_flight, sizeof(*all));
  cafe_err err = {0};
  if (!p || !all) {
    say("no memory", user);
    return;
  }
  p->wanted = wanted;
  p->failure = failure;
  if (standing_open_alone(&p->shop, wanted, &err) != CAFE_OK) {
    fail(p, "starting a node", err.text);
  }
  for (uint32_t i = 0; i < wanted->in_flight && !p->is_done; i++) {
    all[i].p = p;
    place(p, filled, &all[i]);
  }
  if (!p->is_done) {
    cafe_node_run(p->shop.node, &p->is_done);
  }
  if (wanted->scenario == BENCH_PARKED && !p->failure[0]) {
    uv_timer_init(&p->shop.uv, &p->timer);
    turn_for(p, SETTLE_MS); /* parked for long, so that each has put its wake right */
  }
  say(p->failure, user);
  raise(SIGKILL);
}

/* ---- after the restart ---- */

static void answered(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  parked *p = user;
  if (err || outcome->verdict != CAFE_ACCEPTED) {
    fail(p, "an order wasn't taken", err ? err->text : outcome->text);
  }
  p->is_done = 1;
}

static void stepped(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  parked *p = user;
  if (err || outcome->verdict == CAFE_REFUSED) {
    fail(p, "a step was refused", err ? err->text : outcome->text);
  }
  if (--p->in_hand == 0) {
    p->is_done = 1;
  }
}

/* What the owner still has to do for a ticket: each action in its turn; an order's are committed in one batch. */
static void finish(parked *p, const cafe_row *row) {
  const cafe_fulfillment_row *ticket = row->data;
  for (int next = (int)ticket->status - CAFE_TICKET_RECEIVED; next < 4; next++) {
    p->in_hand++;
    if (!submit(p, row->key, &cafe_act_on_ticket_type, &acts[next], sizeof(acts[next]), stepped, p)) {
      p->in_hand--;
      return;
    }
  }
}

static void see_page(const cafe_err *err, const cafe_page *page, void *user) {
  parked *p = user;
  p->has_more = page && page->more;
  if (err) {
    fail(p, "reading tickets", err->text);
    return;
  }
  for (uint32_t i = 0; i < page->count; i++) {
    p->last_key = page->rows[i]->key;
    finish(p, page->rows[i]);
  }
  if (p->in_hand == 0) {
    p->is_done = 1;
  }
}

static void wait_for(parked *p) {
  if (!p->failure[0]) {
    cafe_node_run(p->shop.node, &p->is_done);
  }
  p->is_done = 0;
}

static void read_tickets(parked *p, uint32_t limit) {
  cafe_list list = CAFE_LIST_INIT;
  cafe_err err;
  list.view = &cafe_fulfillments_view;
  list.limit = limit;
  list.after_key = p->last_key;
  if (cafe_node_list(NULL, p->shop.node, &list, see_page, p, &err) != CAFE_OK) {
    fail(p, "reading tickets", err.text);
  }
  wait_for(p);
}

static long sleeps(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw;
}

static uint64_t resident_kib(void) {
  unsigned long long size = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file) {
    if (fscanf(file, "%llu %llu", &size, &resident) != 2) {
      resident = 0;
    }
    fclose(file);
  }
  return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void measure_rest(parked *p, parked_result *out) {
  turn_for(p, SETTLE_MS);
  bench_result before = {0}, after = {0};
  counted_store_get(p->shop.counted, &before);
  long slept = sleeps();
  turn_for(p, REST_MS);
  counted_store_get(p->shop.counted, &after);
  out->wakeups_per_s = (double)(sleeps() - slept - 1) * 1e3 / REST_MS; /* one is the measurement's own */
  out->store_calls = after.calls - before.calls;
  out->idle_kib = resident_kib();
}

/* What the closed file says of the orders: none is anywhere but at its end. */
static void check_ends(parked_result *out, const bench_case *wanted) {
  static const char sql[] =
      "SELECT (SELECT count(*) FROM orders WHERE status <> 'PickedUp') + "
      "(SELECT count(*) FROM payments WHERE status <> 'Captured' OR captured_minor <> 4500) + "
      "(SELECT count(*) FROM sagas WHERE phase NOT IN ('ended', 'undone')) + "
      "(SELECT count(*) FROM orders) * 4 - (SELECT count(*) FROM notifications WHERE status = 'Sent') + "
      "(SELECT count(*) FROM orders) - (SELECT count(*) FROM payments)";
  char path[512];
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  workload_path(path, sizeof(path), wanted);
  if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
      sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW) {
    snprintf(out->failure, sizeof(out->failure), "the file can't be read: %s", sqlite3_errmsg(db));
  } else if (sqlite3_column_int64(statement, 0) != 0) {
    snprintf(out->failure, sizeof(out->failure), "not every order has ended, been paid and told of, once");
  }
  sqlite3_finalize(statement);
  sqlite3_close(db);
}

static bool is_calm(const parked *p) {
  cafe_node_stats stats = {.size = sizeof(stats)};
  cafe_node_stats_get(p->shop.node, &stats);
  return stats.queued == 0 && stats.tasks_running == 0;
}

static void bring_to_end(parked *p, parked_result *out, double began) {
  /* Those whose payment was on its way, too: no draft is left when nothing is on its way any more. */
  for (int round = 0; round < 2 && !p->failure[0]; round++) {
    p->last_key = 0;
    do {
      read_tickets(p, PAGE);
    } while (p->has_more && !p->failure[0]);
    do {
      turn_for(p, CALM_MS);
    } while (!is_calm(p));
  }
  out->resumed_ms = now_ms() - began;
}

void parked_restart(parked_result *out, const bench_case *wanted) {
  parked *p = calloc(1, sizeof(*p));
  cafe_err err = {0};
  memset(out, 0, sizeof(*out));
  if (!p) {
    snprintf(out->failure, sizeof(out->failure), "no memory");
    return;
  }
  p->wanted = wanted;
  p->failure = out->failure;
  double began = now_ms();
  if (standing_open_alone(&p->shop, wanted, &err) != CAFE_OK) {
    fail(p, "starting a node", err.text);
  } else {
    out->start_ms = now_ms() - began;
    uv_timer_init(&p->shop.uv, &p->timer);
    const void *row;
    if (cafe_node_find(&row, p->shop.node, &cafe_orders_view, 1, 0, &err) != CAFE_OK) {
      fail(p, "reading the first order", err.text);
    }
    out->first_read_ms = now_ms() - began;
    place(p, answered, p);
    wait_for(p);
    out->first_order_ms = now_ms() - began;
    if (wanted->scenario == BENCH_KILLED) {
      bring_to_end(p, out, began);
    } else {
      measure_rest(p, out);
    }
    uv_close((uv_handle_t *)&p->timer, NULL);
  }
  out->orders = wanted->orders;
  standing_close(&p->shop);
  if (!out->failure[0] && wanted->scenario == BENCH_KILLED) {
    check_ends(out, wanted);
  }
  free(p);
}
