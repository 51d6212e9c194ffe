/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How an order ended, as a text that is the same for every way that may lead there: what a crash, a retry or another
 * node's pace may change is left out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "trace_shop.h"

typedef struct description {
  char *out;
  size_t size, room;
  uint64_t key;
  const char *wanted;
  bool is_order, is_found;
} description;

static int describe_nothing(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                            void *user) {
  (void)user, (void)table, (void)key, (void)sub, (void)version, (void)data;
  return CAFE_OK;
}

static void write_line(description *d, const char *text) {
  int size = snprintf(d->out + d->size, d->room - d->size, "%s\n", text);
  assert_true(size >= 0 && (size_t)size < d->room - d->size);
  d->size += (size_t)size;
}

/* Of a draft it isn't told how often it was asked for. */
static int describe_event(const cafe_stored_event *event, void *user) {
  description *d = user;
  trace_text out = {"", 0};
  if (strcmp(event->aggregate, d->wanted) != 0) {
    return CAFE_OK;
  }
  d->is_order = d->is_order || strcmp(event->type, "Ordered") == 0;
  if (strcmp(event->aggregate, "order") != 0 || d->is_order) {
    trace_add(&out, "%s %s", event->aggregate, event->type);
    write_line(d, out.text);
  }
  return CAFE_OK;
}

static int describe_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                        void *user) {
  description *d = user;
  trace_text out = {"", 0};
  (void)version;
  if (key != d->key) {
    return CAFE_OK;
  }
  if (strcmp(table->name, "sagas") == 0) {
    trace_add(&out, "saga ");
    trace_saga(&out, data);
  } else {
    trace_add(&out, "%s %llu ", table->name, (unsigned long long)sub);
    trace_row(&out, table->row, data);
  }
  write_line(d, out.text);
  return CAFE_OK;
}

static void describe_table(description *d, const shop *s, shop_node node, const char *name) {
  cafe_store *store = shop_store(s, node);
  for (const cafe_table *const *table = shop_tables(s, node); *table; table++) {
    cafe_row_query query = {sizeof(query), *table, NULL, 0, 0, 0, -1, 1000};
    if (strcmp((*table)->name, name) == 0) {
      assert_int_equal(store->ops->read_rows(store, &query, describe_row, d, NULL), CAFE_OK);
    }
  }
}

void shop_describe(shop *s, uint64_t key, char *out, size_t size) {
  static const char *const tables[] = {"orders",      "payments", "fulfillments", "notifications",
                                       "order_infos", "sagas",    "wakes",        "attempts"};
  /* Not of notifications, whose deliveries lie between the orders' events as it happens: their rows say enough. */
  static const char *const streams[] = {"order", "payment", "fulfillment"};
  description d = {.out = out, .room = size, .key = key};
  out[0] = '\0';
  for (int i = 0; i < shop_nodes(s); i++) {
    cafe_store *store = shop_store(s, (shop_node)i);
    for (size_t stream = 0; stream < sizeof(streams) / sizeof(streams[0]); stream++) {
      d.wanted = streams[stream];
      assert_int_equal(store->ops->load(store, key, describe_event, describe_nothing, &d, NULL), CAFE_OK);
    }
    for (size_t table = 0; table < sizeof(tables) / sizeof(tables[0]); table++) {
      describe_table(&d, s, (shop_node)i, tables[table]);
    }
  }
}

static int look_for(const cafe_stored_event *event, void *user) {
  description *d = user;
  d->is_found = d->is_found || strcmp(event->type, d->wanted) == 0;
  return CAFE_OK;
}

bool shop_has_event(shop *s, shop_node node, uint64_t key, const cafe_schema *type) {
  description d = {.wanted = type->name};
  cafe_store *store = shop_store(s, node);
  assert_int_equal(store->ops->load(store, key, look_for, describe_nothing, &d, NULL), CAFE_OK);
  return d.is_found;
}
