/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whether all that was ordered is there, once, over the five files: what docs/architecture.md says of services at rest
 * (I1 to I7), asked by SQL of the closed files, and counted, so that nothing of the library has a say in it.
 */
#include <sqlite3.h>
#include <stdio.h>

#include "apart.h"
#include "workload.h"

#define EVENTS(service, type)                                                                                          \
  "SELECT ?1 - count(*) + ?1 - count(DISTINCT \"key\") FROM " service ".events WHERE type = '" type "'"

/* Each counts what mustn't be. ?1 is the number of orders, ?2 what each costs. */
static const struct {
  const char *what;
  const char *sql;
} wrong[] = {
    {"I1: orders that aren't there, or not picked up",
     "SELECT ?1 - count(*) FROM app.orders WHERE status = 'PickedUp' AND amount_minor = ?2"},
    {"I1: orders too many", "SELECT count(*) - ?1 FROM app.orders"},
    {"I1: orders without exactly one payment that was approved",
     "SELECT count(*) FROM app.orders WHERE 1 <> (SELECT count(*) FROM pay.events WHERE \"key\" = order_id "
     "AND type = 'PaymentApproved')"},
    {"I2: payments that aren't captured exactly once, or not for what was ordered",
     "SELECT count(*) FROM app.orders o LEFT JOIN pay.payments ON payment_id = order_id WHERE o.amount_minor IS NOT "
     "captured_minor OR refunded_minor IS NOT 0 OR 1 <> (SELECT count(*) FROM pay.events WHERE \"key\" = order_id "
     "AND type = 'PaymentCaptured')"},
    {"I2: payments of no order",
     "SELECT count(*) FROM pay.payments WHERE payment_id NOT IN (SELECT order_id FROM app.orders)"},
    {"I3: tickets of orders that aren't paid",
     "SELECT count(*) FROM store.fulfillments f WHERE NOT EXISTS (SELECT 1 FROM pay.events e WHERE e.\"key\" = "
     "f.order_id AND e.type = 'PaymentApproved')"},
    {"I3: orders whose coffee wasn't handed out",
     "SELECT count(*) FROM app.orders o WHERE NOT EXISTS (SELECT 1 FROM store.fulfillments f WHERE f.order_id = "
     "o.order_id AND f.status = 'PickedUp')"},
    {"I4: sagas that haven't ended", "SELECT ?1 - count(*) FROM app.sagas WHERE phase = 'ended'"},
    {"I5: messages that are missing",
     "SELECT 4 * ?1 - count(*) FROM customer.notifications WHERE status = 'Sent' AND event IN "
     "('Ordered', 'OrderAccepted', 'CoffeeDone', 'OrderPickedUp')"},
    {"I5: messages about a change that there was one about",
     "SELECT count(*) FROM (SELECT 1 FROM customer.notifications GROUP BY order_id, event, channel HAVING count(*) > "
     "1)"},
    {"I6: orders that the dashboard has otherwise",
     "SELECT count(*) FROM app.orders o WHERE NOT EXISTS (SELECT 1 FROM dashboard.order_infos i, pay.payments p, "
     "store.fulfillments f WHERE i.order_id = o.order_id AND p.payment_id = o.order_id AND f.order_id = o.order_id AND "
     "i.is_visible AND i.status = o.status AND i.version = o.version AND i.payment_status = p.status AND "
     "i.fulfillment_status = f.status)"},
    {"I6: orders that only the dashboard has",
     "SELECT count(*) FROM dashboard.order_infos WHERE is_visible AND order_id NOT IN (SELECT order_id FROM "
     "app.orders)"},
    {"orders that weren't drafted once", EVENTS("app", "OrderDrafted")},
    {"orders that weren't established once", EVENTS("app", "Ordered")},
    {"orders that weren't accepted once", EVENTS("app", "OrderAccepted")},
    {"orders that weren't started once", EVENTS("app", "PreparationStarted")},
    {"orders that weren't done once", EVENTS("app", "CoffeeDone")},
    {"orders that weren't picked up once", EVENTS("app", "OrderPickedUp")},
    {"tickets that weren't received once", EVENTS("store", "TicketReceived")},
    {"tickets that weren't handed out once", EVENTS("store", "TicketPickedUp")},
};

static void fail(apart_result *out, const char *what, const char *why) {
  if (!out->failure[0]) {
    snprintf(out->failure, sizeof(out->failure), "check: %.100s: %.250s", what, why);
  }
}

static bool attach(apart_result *out, sqlite3 *db, const bench_case *wanted, int which) {
  char path[512];
  sqlite3_stmt *statement = NULL;
  part_path(path, sizeof(path), wanted, which);
  bool is_there = sqlite3_prepare_v2(db, "ATTACH ?1 AS ?2", -1, &statement, NULL) == SQLITE_OK &&
                  sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC) == SQLITE_OK &&
                  sqlite3_bind_text(statement, 2, part_names[which], -1, SQLITE_STATIC) == SQLITE_OK &&
                  sqlite3_step(statement) == SQLITE_DONE;
  if (!is_there) {
    fail(out, path, sqlite3_errmsg(db));
  }
  sqlite3_finalize(statement);
  return is_there;
}

static bool ask(apart_result *out, sqlite3 *db, const char *what, const char *sql) {
  sqlite3_stmt *statement = NULL;
  char found[32];
  bool is_told = sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK;
  if (is_told && sqlite3_bind_parameter_count(statement) > 0) {
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)out->orders);
  }
  if (is_told && sqlite3_bind_parameter_count(statement) > 1) {
    sqlite3_bind_int64(statement, 2, WORKLOAD_AMOUNT);
  }
  is_told = is_told && sqlite3_step(statement) == SQLITE_ROW;
  if (!is_told) {
    fail(out, what, sqlite3_errmsg(db));
  } else if (sqlite3_column_int64(statement, 0) != 0) {
    snprintf(found, sizeof(found), "%lld", (long long)sqlite3_column_int64(statement, 0));
    fail(out, what, found);
  } else {
    out->checks++;
  }
  sqlite3_finalize(statement);
  return is_told;
}

void apart_check(apart_result *out, const bench_case *wanted) {
  sqlite3 *db = NULL;
  for (int which = 0; which < PARTS; which++) {
    char path[512];
    part_path(path, sizeof(path), wanted, which);
    check_file(&out->parts[which], path);
    out->checks += out->parts[which].checks;
    if (out->parts[which].failure[0]) {
      fail(out, part_names[which], out->parts[which].failure);
    }
  }
  bool is_there = sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK;
  for (int which = 0; which < PARTS && is_there; which++) {
    is_there = attach(out, db, wanted, which);
  }
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]) && is_there; i++) {
    is_there = ask(out, db, wrong[i].what, wrong[i].sql);
  }
  if (!is_there) {
    fail(out, "the files can't be read", db ? sqlite3_errmsg(db) : "no memory");
  }
  sqlite3_close(db);
}
