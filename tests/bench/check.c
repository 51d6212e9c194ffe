/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fast and wrong is no result. After a run everything that was ordered is looked for: in the views, in the gateway's
 * books, in what the channel was handed, and, once the file is closed, in the log itself. What is asked is what
 * I1, I2, I4, I5 and I7 of docs/architecture.md say of a node at rest.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "cafe/gateway/sandbox.h"
#include "workload.h"

enum { PAGE_ROWS = 1000 };

/* The state that a scenario leaves each order in, and what the customer was told. */
typedef struct ending {
  cafe_order_status order;
  cafe_payment_status payment;
  cafe_ticket_status ticket;
  int64_t captured_minor;
  int64_t messages;
  const char *told[5]; /* by number; ended by NULL */
} ending;

static const ending endings[] = {
    [BENCH_W1] = {CAFE_ORDER_PICKED_UP,
                  CAFE_PAYMENT_CAPTURED,
                  CAFE_TICKET_PICKED_UP,
                  WORKLOAD_AMOUNT,
                  4,
                  {"Ordered", "OrderAccepted", "CoffeeDone", "OrderPickedUp", NULL}},
    [BENCH_W2] = {CAFE_ORDER_CANCELED,
                  CAFE_PAYMENT_CANCELED,
                  CAFE_TICKET_WITHDRAWN,
                  0,
                  3,
                  {"Ordered", "OrderCanceled", "PaymentCanceled", NULL}},
};

static void require(bench_result *out, bool holds, const char *what, uint64_t key) {
  if (holds) {
    out->checks++;
  } else if (!out->failure[0]) {
    snprintf(out->failure, sizeof(out->failure), "check: %s (order %llu)", what, (unsigned long long)key);
  }
}

static void require_count(bench_result *out, uint64_t found, uint64_t wanted, const char *what) {
  if (found == wanted) {
    out->checks++;
  } else if (!out->failure[0]) {
    snprintf(out->failure, sizeof(out->failure), "check: %s: %llu, and not %llu", what, (unsigned long long)found,
             (unsigned long long)wanted);
  }
}

/* ---- the views, page by page ---- */

typedef struct reading {
  workload *w;
  const ending *right;
  void (*see)(struct reading *reading, const cafe_row *row);
  uint64_t count;
  uint64_t last_key, last_sub;
  uint32_t told[8]; /* messages of the order that is being read, by place in `told` */
  bool has_more;
  int is_done;
} reading;

static void see_page(const cafe_err *err, const cafe_page *page, void *user) {
  reading *r = user;
  r->is_done = 1;
  r->has_more = page && page->more;
  if (err) {
    snprintf(r->w->out->failure, sizeof(r->w->out->failure), "check: reading a view: %s", err->text);
    return;
  }
  for (uint32_t i = 0; i < page->count; i++) {
    r->see(r, page->rows[i]);
    r->count++;
    r->last_key = page->rows[i]->key;
    r->last_sub = page->rows[i]->sub;
  }
}

static uint64_t read_view(workload *w, const cafe_view *view, void (*see)(reading *, const cafe_row *)) {
  reading r = {.w = w, .right = &endings[w->wanted->scenario], .see = see, .has_more = true};
  while (r.has_more && !w->out->failure[0]) {
    cafe_list list = CAFE_LIST_INIT;
    cafe_err err;
    list.view = view;
    list.limit = PAGE_ROWS;
    list.after_key = r.last_key;
    list.after_sub = r.last_sub;
    r.is_done = 0;
    if (cafe_node_list(NULL, w->node, &list, see_page, &r, &err) != CAFE_OK) {
      snprintf(w->out->failure, sizeof(w->out->failure), "check: reading a view: %s", err.text);
      break;
    }
    cafe_node_run(w->node, &r.is_done);
  }
  return r.count;
}

static void see_order(reading *r, const cafe_row *row) {
  const cafe_order_row *order = row->data;
  require(r->w->out, order->status == r->right->order, "an order's status", row->key);
  require(r->w->out, order->amount_minor == WORKLOAD_AMOUNT, "an order's amount", row->key);
  cafe_sandbox_entry books = {.size = sizeof(books)};
  cafe_sandbox_lookup(r->w->gateway, row->key, &books);
  require(r->w->out, books.authorizations == 1 && books.approved_minor == WORKLOAD_AMOUNT, "authorized exactly once",
          row->key);
  require(r->w->out, books.captured_minor == r->right->captured_minor && books.captures <= 1, "captured exactly once",
          row->key);
  require(r->w->out, books.voided_minor == WORKLOAD_AMOUNT - r->right->captured_minor && books.refunds == 0,
          "void exactly what wasn't captured", row->key);
}

static void see_payment(reading *r, const cafe_row *row) {
  const cafe_payment_row *payment = row->data;
  require(r->w->out, payment->status == r->right->payment, "a payment's status", row->key);
  require(r->w->out, payment->captured_minor == r->right->captured_minor && payment->refunded_minor == 0,
          "captured as the view tells it", row->key);
}

static void see_ticket(reading *r, const cafe_row *row) {
  const cafe_fulfillment_row *ticket = row->data;
  require(r->w->out, ticket->status == r->right->ticket, "a ticket's status", row->key);
}

static void see_message(reading *r, const cafe_row *row) {
  const cafe_notification_row *message = row->data;
  if (row->key != r->last_key) {
    memset(r->told, 0, sizeof(r->told));
  }
  require(r->w->out, message->status == CAFE_NOTIFICATION_SENT && message->attempts == 1, "sent at the first attempt",
          row->key);
  int place = -1;
  for (int i = 0; r->right->told[i]; i++) {
    place = cafe_slice_equal(message->event, cafe_text(r->right->told[i])) ? i : place;
  }
  require(r->w->out, place >= 0 && ++r->told[place >= 0 ? place : 0] == 1, "told once of each change", row->key);
}

void check_all(workload *w) {
  const ending *right = &endings[w->wanted->scenario];
  bench_result *out = w->out;
  uint64_t orders = w->wanted->orders;
  uint64_t messages = orders * (uint64_t)right->messages;
  require_count(out, read_view(w, &cafe_orders_view, see_order), orders, "orders");
  require_count(out, read_view(w, &cafe_payments_view, see_payment), orders, "payments");
  require_count(out, read_view(w, &cafe_fulfillments_view, see_ticket), orders, "tickets");
  require_count(out, read_view(w, &cafe_notifications_view, see_message), messages, "notifications");
  require_count(out, w->delivered, messages, "messages that the channel was handed");

  cafe_sandbox_settings settings = {.size = sizeof(settings)};
  cafe_sandbox_figures books = {.size = sizeof(books)};
  cafe_sandbox_get(w->gateway, &settings, &books);
  require_count(out, (uint64_t)books.captured_minor, orders * (uint64_t)right->captured_minor, "captured in all");
  require_count(out, (uint64_t)(books.captured_minor + books.voided_minor), (uint64_t)books.approved_minor,
                "captured or void, of what was approved");
  cafe_node_stats stats = {.size = sizeof(stats)};
  cafe_node_stats_get(w->node, &stats);
  require_count(out, stats.parked, 0, "sagas and tasks that need an operator");
  require_count(out, stats.conflicts, 0, "units that were decided again");
}

/* ---- the file ---- */

/* Each counts what mustn't be. */
static const struct {
  const char *what;
  const char *sql;
} wrong[] = {
    {"gaps in the positions", "SELECT max(position) - count(*) FROM events"},
    {"streams whose versions have gaps",
     "SELECT count(*) FROM (SELECT 1 FROM events GROUP BY \"key\", aggregate HAVING max(version) <> count(*))"},
    {"sagas that haven't ended", "SELECT count(*) FROM sagas WHERE phase NOT IN ('ended', 'undone')"},
    {"unfinished attempts", "SELECT count(*) FROM attempts"},
    {"damaged pages", "SELECT count(*) FROM pragma_quick_check WHERE quick_check <> 'ok'"},
};

void check_file(bench_result *out, const char *path) {
  sqlite3 *db = NULL;
  bool is_open = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK;
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]) && is_open; i++) {
    sqlite3_stmt *statement = NULL;
    is_open = sqlite3_prepare_v2(db, wrong[i].sql, -1, &statement, NULL) == SQLITE_OK &&
              sqlite3_step(statement) == SQLITE_ROW;
    if (is_open) {
      require_count(out, (uint64_t)sqlite3_column_int64(statement, 0), 0, wrong[i].what);
    }
    sqlite3_finalize(statement);
  }
  if (!is_open && !out->failure[0]) {
    snprintf(out->failure, sizeof(out->failure), "check: the file can't be read: %s", sqlite3_errmsg(db));
  }
  sqlite3_close(db);
}
