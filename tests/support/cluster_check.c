/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The oracle. It knows the shop's rules only as the invariants I1 to I8 of docs/architecture.md say them; states and
 * rows it folds by the domain's own functions, but from every event of the log from the first on, never from what a
 * node remembers. It reads the stores behind the faulty ones, so that no fault hides anything from it.
 */
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <cmocka.h>

#include "engine/forget.h"
#include "engine/guard.h"
#include "engine/node.h"

enum { ORDER, PAYMENT, FULFILLMENT, NOTIFICATION, STREAMS };

static const cafe_aggregate *const aggregates[STREAMS] = {&cafe_order_aggregate, &cafe_payment_aggregate,
                                                          &cafe_fulfillment_aggregate, &cafe_notification_aggregate};
/* Each service's own view, inline. */
static const cafe_view *const views[STREAMS] = {&cafe_orders_view, &cafe_payments_view, &cafe_fulfillments_view,
                                                &cafe_notifications_view};

/* ---- telling ---- */

void cluster_print_order(cluster *c, uint64_t key) {
  const cluster_order *order = map_get(c->orders, key);
  if (!order)
    return;
  cafe_sandbox_entry money = cluster_money(c, key);
  print_error("order %llu: %s, draft %d, payment %d running %d, ticket %d\n", (unsigned long long)key,
              order->order.status ? cafe_order_status_name(order->order.status) : "no order", (int)order->order.draft,
              (int)order->payment.status, (int)order->payment.running, (int)order->ticket.status);
  print_error("  gateway: approved %lld (%u) captured %lld (%u) voided %lld (%u) refunded %lld (%u)\n",
              (long long)money.approved_minor, money.authorizations, (long long)money.captured_minor, money.captures,
              (long long)money.voided_minor, money.voids, (long long)money.refunded_minor, money.refunds);
  for (const cluster_event *at = order->first; at; at = at->next)
    print_error("  %lld node %d n %llu: %s %s v%llu\n", (long long)at->event.time_ms, at->node,
                (unsigned long long)at->event.position.n, at->event.aggregate, at->event.type->name,
                (unsigned long long)at->event.version);
  const cluster_message *message;
  LL_FOREACH(order->messages, message) {
    print_error("  message %lld %s: status %d, delivered %u times\n", (long long)message->number, message->event,
                (int)message->status, message->deliveries);
  }
}

void cluster_violation(cluster *c, const char *invariant, uint64_t key, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  print_error("\nseed %llu, step %llu, %.3f ms: %s is violated, order %llu: %s\n", (unsigned long long)c->options.seed,
              (unsigned long long)c->steps, (double)cafe_sim_now_us(c->world) / 1000.0, invariant,
              (unsigned long long)key, text);
  cluster_print_order(c, key);
  uint64_t from = c->line_count > CLUSTER_LINES ? c->line_count - CLUSTER_LINES : 0;
  for (uint64_t i = from; i < c->line_count; i++)
    print_error("  log %s\n", c->lines[i % CLUSTER_LINES].text);
  if (c->program)
    print_error("replay: CAFE_SEED=%llu %s\n", (unsigned long long)c->options.seed, c->program);
  fail();
  abort();
}

/* ---- the model ---- */

static void *take(cluster *c, size_t size) {
  void *block = cafe_arena_alloc(c->arena, size);
  assert_non_null(block);
  return block;
}

cluster_order *cluster_find(cluster *c, uint64_t key) { return map_get(c->orders, key); }

static cluster_order *order_of(cluster *c, uint64_t key) {
  cluster_order *order = map_get(c->orders, key);
  if (order)
    return order;
  order = take(c, sizeof *order);
  order->key = key;
  assert_int_equal(map_put(c->orders, key, order), CAFE_OK);
  return order;
}

uint32_t cluster_count(const cluster_order *order, const cafe_schema *type) {
  uint32_t count = 0;
  for (const cluster_event *at = order->first; at; at = at->next)
    count += at->event.type == type;
  return count;
}

cafe_sandbox_entry cluster_money(cluster *c, uint64_t key) {
  cafe_sandbox_entry entry = {.size = sizeof entry};
  cafe_sandbox_lookup(c->sandbox, key, &entry);
  return entry;
}

static int stream_of(const char *aggregate) {
  for (int i = 0; i < STREAMS; i++)
    if (strcmp(aggregates[i]->name, aggregate) == 0)
      return i;
  return -1;
}

static const cafe_schema *type_of(int stream, const char *name) {
  for (const cafe_schema *const *event = aggregates[stream]->events; *event; event++)
    if (strcmp((*event)->name, name) == 0)
      return *event;
  return NULL;
}

static bool is_among(const cafe_schema *const *types, const cafe_schema *type) {
  for (; *types; types++)
    if (*types == type)
      return true;
  return false;
}

static void *state_of(cluster_order *order, int stream) {
  void *const states[STREAMS] = {&order->order, &order->payment, &order->ticket, &order->notifications};
  return states[stream];
}

static cluster_row *row_of(cluster *c, cluster_order *order, const cafe_view *view, uint64_t sub) {
  cluster_row *row;
  LL_FOREACH(order->rows, row) if (row->view == view && row->sub == sub) return row;
  row = take(c, sizeof *row);
  row->view = view;
  row->sub = sub;
  row->row = take(c, view->row->width);
  LL_PREPEND(order->rows, row);
  return row;
}

static void fold_row(cluster *c, cluster_order *order, const cafe_view *view, const cafe_event *event) {
  if (!is_among(view->events, event->type))
    return;
  uint64_t sub = 0;
  cafe_fold fold = CAFE_FOLD_PUT;
  if (view->sub)
    assert_int_equal(view->sub(&sub, event, view->user), CAFE_OK);
  if (view->sub && !sub)
    return;
  cluster_row *row = row_of(c, order, view, sub);
  assert_int_equal(view->fold(&fold, row->row, event, c->arena, view->user), CAFE_OK);
  switch (fold) {
  case CAFE_FOLD_PUT:
    row->is_shown = true;
    break;
  case CAFE_FOLD_HIDE:
    row->is_shown = false;
    break;
  case CAFE_FOLD_SKIP:
    break;
  }
}

static void see_message(cluster *c, cluster_order *order, const cafe_event *event) {
  if (event->type == &cafe_notification_queued_type) {
    const cafe_notification_queued *queued = event->data;
    cluster_message *known;
    LL_FOREACH(order->messages, known) {
      if (cafe_slice_equal(cafe_text(known->event), queued->event))
        cluster_violation(c, "I5", order->key, "%s was queued twice", known->event);
    }
    cluster_message *made = take(c, sizeof *made);
    cafe_slice name;
    assert_int_equal(cafe_arena_copy(&name, c->arena, queued->event), CAFE_OK);
    made->event = name.data;
    made->number = queued->number;
    made->status = CAFE_NOTIFICATION_QUEUED;
    LL_APPEND(order->messages, made);
    return;
  }
  bool is_sent = event->type == &cafe_notification_sent_type;
  int64_t number = is_sent ? ((const cafe_notification_sent *)event->data)->number
                           : ((const cafe_notification_failed *)event->data)->number;
  cluster_message *message;
  LL_FOREACH(order->messages, message) if (message->number == number) break;
  if (!message || message->status != CAFE_NOTIFICATION_QUEUED)
    cluster_violation(c, "I5", order->key, "message %lld ended, and wasn't queued", (long long)number);
  if (is_sent && c->is_rereading)
    message->deliveries = 1;
  if (is_sent && !message->deliveries)
    cluster_violation(c, "I5", order->key, "message %lld is said to be sent, and never was", (long long)number);
  message->status = is_sent ? CAFE_NOTIFICATION_SENT : CAFE_NOTIFICATION_FAILED;
}

static void count_event(cluster_order *order, const cafe_event *event) {
  const cafe_schema *type = event->type;
  order->ordered += type == &cafe_ordered_type;
  order->approved += type == &cafe_payment_approved_type;
  order->payment_failures += type == &cafe_payment_failed_type;
  order->received += type == &cafe_ticket_received_type;
  order->is_started = order->is_started || type == &cafe_ticket_started_type;
  order->is_withdrawn = order->is_withdrawn || type == &cafe_ticket_withdrawn_type;
}

typedef struct reading {
  cluster *cluster;
  cluster_node *node;
} reading;

static int see_event(const cafe_stored_event *stored, void *user) {
  const reading *from = user;
  cluster *c = from->cluster;
  cluster_node *n = from->node;
  cluster_order *order = order_of(c, stored->key);
  if (stored->n != n->read_n + 1)
    cluster_violation(c, "I7", stored->key, "node %d: position %llu comes after %llu", (int)(n - c->nodes),
                      (unsigned long long)stored->n, (unsigned long long)n->read_n);
  n->read_n = stored->n;
  int stream = stream_of(stored->aggregate);
  const cafe_schema *type = stream < 0 ? NULL : type_of(stream, stored->type);
  if (!type)
    cluster_violation(c, "I7", stored->key, "unknown: %s of %s", stored->type, stored->aggregate);
  if (stored->version != order->versions[stream] + 1)
    cluster_violation(c, "I7", stored->key, "%s has version %llu after %llu", stored->aggregate,
                      (unsigned long long)stored->version, (unsigned long long)order->versions[stream]);
  order->versions[stream] = stored->version;

  cluster_event *seen = take(c, sizeof *seen);
  void *data = take(c, type->width);
  cafe_slice bytes;
  assert_int_equal(cafe_arena_copy(&bytes, c->arena, stored->data), CAFE_OK);
  assert_int_equal(cafe_schema_decode(data, type, bytes, NULL), CAFE_OK);
  seen->node = (int)(n - c->nodes);
  seen->event = (cafe_event){type,
                             aggregates[stream]->name,
                             stored->key,
                             stored->version,
                             stored->time_ms,
                             {0, stored->shard, stored->n},
                             {NULL, 0},
                             data};
  if (order->last)
    order->last->next = seen;
  else
    order->first = seen;
  order->last = seen;

  assert_int_equal(aggregates[stream]->evolve(state_of(order, stream), &seen->event, c->arena, NULL), CAFE_OK);
  fold_row(c, order, views[stream], &seen->event);
  if (stream == NOTIFICATION)
    see_message(c, order, &seen->event);
  count_event(order, &seen->event);
  assert_int_equal(map_put(n->touched, order->key, order), CAFE_OK);
  return CAFE_OK;
}

/* ---- I6: rows ---- */

static bool are_equal(const cafe_schema *schema, const void *a, const void *b, const char **where) {
  for (uint32_t i = 0; i < schema->field_count; i++) {
    cafe_value x = cafe_schema_get(schema, a, i), y = cafe_schema_get(schema, b, i);
    if (x.number == y.number && cafe_slice_equal(x.bytes, y.bytes))
      continue;
    *where = schema->fields[i].name;
    return false;
  }
  return true;
}

static const cafe_table *table_of(const cluster_node *n, const cafe_view *view) {
  for (uint32_t i = 0; i < n->node->registry.view_count; i++)
    if (n->node->registry.views[i].type == view)
      return &n->node->registry.views[i].table;
  return NULL;
}

typedef struct row_check {
  cluster *cluster;
  cluster_order *order;
  const cafe_view *view;
  uint32_t count;
} row_check;

static int see_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
  row_check *check = user;
  const cluster_row *row;
  const char *where = "";
  (void)version;
  LL_FOREACH(check->order->rows, row) if (row->view == check->view && row->sub == sub) break;
  if (!row || !row->is_shown)
    cluster_violation(check->cluster, "I6", key, "%s has a row %llu that no event made", table->name,
                      (unsigned long long)sub);
  if (!are_equal(table->row, row->row, data, &where))
    cluster_violation(check->cluster, "I6", key, "%s, row %llu: %s isn't what the events make it", table->name,
                      (unsigned long long)sub, where);
  check->count++;
  return CAFE_OK;
}

static void check_rows(cluster *c, cluster_node *n, cluster_order *order) {
  for (int i = 0; i < STREAMS; i++) {
    const cafe_table *table = table_of(n, views[i]);
    if (!table)
      continue;
    row_check check = {c, order, views[i], 0};
    cafe_condition is_key = {.column = -1, .value.number = (int64_t)order->key};
    cafe_row_query query = {sizeof query, table, &is_key, 1, 0, 0, -1, 1000};
    assert_int_equal(n->inner->ops->read_rows(n->inner, &query, see_row, &check, NULL), CAFE_OK);
    uint32_t wanted = 0;
    const cluster_row *row;
    uint32_t may_be_gone = 0;
    LL_FOREACH(order->rows, row) {
      wanted += row->view == views[i] && row->is_shown;
      may_be_gone += row->view == views[i] && row->is_shown && forget_covers(views[i], row->row, c->forgotten_ms);
    }
    if (check.count > wanted || check.count + may_be_gone < wanted)
      cluster_violation(c, "I6", order->key, "%s has %u rows instead of %u", table->name, check.count, wanted);
  }
}

/* ---- what holds at every moment ---- */

static void check_money(cluster *c, const cluster_order *order) {
  cafe_sandbox_entry money = cluster_money(c, order->key);
  int64_t amount = order->payment.amount_minor;
  if (money.authorizations > 1 || money.captures > 1 || money.voids > 1 || money.refunds > 1)
    cluster_violation(c, "I2", order->key, "money was moved twice");
  if (money.captured_minor + money.voided_minor > money.approved_minor || money.refunded_minor > money.captured_minor)
    cluster_violation(c, "I2", order->key, "more was captured, void or refunded than there was");
  if ((money.approved_minor && money.approved_minor != amount) || order->payment.captured_minor > amount ||
      order->payment.refunded_minor > order->payment.captured_minor)
    cluster_violation(c, "I2", order->key, "the sums aren't the payment's");
  if ((order->approved && !money.authorizations) || (order->payment.captured_minor && !money.captures) ||
      (order->payment.refunded_minor && !money.refunds))
    cluster_violation(c, "I2", order->key, "the payment says what the gateway never did");
}

static void check_now(cluster *c, const cluster_order *order) {
  if (order->ordered > 1 || order->approved > 1 || (order->ordered && order->approved != 1))
    cluster_violation(c, "I1", order->key, "ordered %u times, approved %u times", order->ordered, order->approved);
  check_money(c, order);
  if (order->received && !order->ordered)
    cluster_violation(c, "I3", order->key, "the store has a ticket, and there is no order");
  if (order->received > 1)
    cluster_violation(c, "I3", order->key, "the ticket came twice");
  if (order->is_started && (order->is_withdrawn || order->order.status == CAFE_ORDER_CANCELED))
    cluster_violation(c, "I3", order->key, "started and withdrawn");
}

static void read_log(cluster *c, cluster_node *n) {
  cafe_store_counts counts = {.size = sizeof counts};
  if (!n->store)
    return; /* read before it was closed */
  cafe_faulty_store_count(n->store, &counts);
  if (counts.calls == n->read_calls)
    return;
  n->read_calls = counts.calls;
  reading from = {c, n};
  cafe_log_query query = {sizeof query, 0, 0, 1000, NULL, 0, 0};
  do {
    cafe_err err;
    query.after = n->read_n;
    int code = n->inner->ops->read_log(n->inner, &query, see_event, &from, &err);
    n->is_stuck = code == CAFE_UNAVAILABLE;
    if (n->is_stuck)
      return;
    if (code)
      cluster_violation(c, "I8", 0, "the log of node %d, seen up to %llu, can't be read: %s", (int)(n - c->nodes),
                        (unsigned long long)n->read_n, err.text);
  } while (query.head > n->read_n);
}

void cluster_look(cluster *c) {
  if (c->is_blind)
    return;
  for (int i = 0; i < c->node_count; i++)
    read_log(c, &c->nodes[i]);
  for (int i = 0; i < c->node_count; i++) {
    cluster_node *n = &c->nodes[i];
    if (!n->node || n->is_stuck)
      continue; /* its tables are described by the node: later */
    for (map_entry *entry = map_first(n->touched); entry; entry = map_first(n->touched)) {
      cluster_order *order = map_value(entry);
      map_remove(n->touched, order->key);
      check_now(c, order);
      check_rows(c, n, order);
    }
  }
}

/* ---- I4: sagas and timers ---- */

typedef struct timer_check {
  cluster *cluster;
  map *wakes; /* due time by key, + 1 */
  bool at_rest;
} timer_check;

static int see_wake(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                    void *user) {
  timer_check *check = user;
  (void)table, (void)sub, (void)version;
  int64_t due_ms = ((const wake_row *)data)->due_ms;
  assert_int_equal(map_put(check->wakes, key, (void *)(intptr_t)(due_ms + 1)), CAFE_OK);
  return CAFE_OK;
}

static int64_t wake_of(const timer_check *check, uint64_t key) {
  void *found = map_get(check->wakes, key);
  return found ? (int64_t)(intptr_t)found - 1 : INT64_MAX;
}

static bool is_over(const cluster_order *order) {
  cafe_order_status status = order->order.status;
  return order->order.draft == CAFE_DRAFT_DROPPED || status == CAFE_ORDER_CANCELED || status == CAFE_ORDER_REJECTED ||
         status == CAFE_ORDER_PICKED_UP;
}

static int see_saga(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                    void *user) {
  timer_check *check = user;
  cluster *c = check->cluster;
  const saga_row *row = data;
  const cluster_order *order = cluster_find(c, key);
  (void)table, (void)sub, (void)version;
  bool has_ended = row->phase == SAGA_ENDED || row->phase == SAGA_UNDONE;
  if (!order)
    cluster_violation(c, "I4", key, "there is a saga without any event");
  if (row->due_ms && wake_of(check, key) > row->due_ms)
    cluster_violation(c, "I4", key, "the saga %.*s is due at %lld, and nothing wakes it", (int)row->steps.size,
                      row->steps.data, (long long)row->due_ms);
  if (row->phase == SAGA_PARKED && !order->payment_failures)
    cluster_violation(c, "I4", key, "the saga is parked at %.*s", (int)row->steps.size, row->steps.data);
  if (check->at_rest && is_over(order) != has_ended)
    cluster_violation(c, "I4", key, "the saga is in phase %d at %.*s, due %lld, and the order is %s", (int)row->phase,
                      (int)row->steps.size, row->steps.data ? row->steps.data : "", (long long)row->due_ms,
                      is_over(order) ? "over" : "not over");
  return CAFE_OK;
}

static void read_table(cluster_node *n, const cafe_table *table, cafe_row_sink sink, void *user) {
  cafe_row_query query = {sizeof query, table, NULL, 0, 0, 0, -1, UINT32_MAX};
  assert_int_equal(n->inner->ops->read_rows(n->inner, &query, sink, user, NULL), CAFE_OK);
}

static bool has_queued(const cluster_order *order) {
  const cluster_message *message;
  LL_FOREACH(order->messages, message) if (message->status == CAFE_NOTIFICATION_QUEUED) return true;
  return false;
}

static void check_timers(cluster *c, cluster_node *n, bool at_rest) {
  timer_check check = {c, map_create(NULL, MAP_U64), at_rest};
  assert_non_null(check.wakes);
  read_table(n, &engine_tables[TABLE_WAKES], see_wake, &check);
  read_table(n, &engine_tables[TABLE_SAGAS], see_saga, &check);
  for (map_entry *entry = map_first(c->orders); entry; entry = map_next(entry)) {
    const cluster_order *order = map_value(entry);
    bool wants = (n->services & CAFE_SHOP_PAY && order->payment.running) ||
                 (n->services & CAFE_SHOP_CUSTOMER && has_queued(order));
    if (wants && wake_of(&check, order->key) == INT64_MAX)
      cluster_violation(c, "I4", order->key, "a task is wanted on node %d, and nothing wakes it", (int)(n - c->nodes));
  }
  map_destroy(check.wakes);
}

/* ---- I6: the view over all services, but for what is parked ---- */

typedef struct places {
  uint64_t by_partition[CAFE_PARTITIONS];
  uint64_t all;
} places;

static int see_checkpoint(const cafe_checkpoint *checkpoint, void *user) {
  places *found = user;
  if (checkpoint->partition < 0)
    found->all = checkpoint->n;
  else
    found->by_partition[checkpoint->partition] = checkpoint->n;
  return CAFE_OK;
}

static void read_places(places out[3], cluster *c, cluster_node *n) {
  static const char *const split[] = {"order_infos<app", "order_infos<pay", "order_infos<store"};
  static const char *const together[] = {"order_infos<."};
  memset(out, 0, 3 * sizeof *out);
  const char *const *names = c->options.is_split ? split : together;
  int count = c->options.is_split ? 3 : 1;
  for (int i = 0; i < count; i++)
    assert_int_equal(n->inner->ops->read_checkpoints(n->inner, names[i], see_checkpoint, &out[i], NULL), CAFE_OK);
}

/* Returns whether there is a row. */
static bool fold_info(cluster *c, const cluster_order *order, const places *at, const cluster_parked *parked,
                      cafe_order_info_row *out) {
  uint32_t partition = cafe_partition(order->key);
  bool is_there = false;
  memset(out, 0, sizeof *out);
  for (const cluster_event *seen = order->first; seen; seen = seen->next) {
    if (!is_among(cafe_order_infos_view.events, seen->event.type))
      continue;
    const places *from = at ? &at[seen->node] : NULL;
    uint64_t up_to = !from ? UINT64_MAX : from->all;
    if (from && from->by_partition[partition] > up_to)
      up_to = from->by_partition[partition];
    if (seen->event.position.n > up_to || cluster_is_parked(parked, seen))
      continue;
    cafe_fold fold = CAFE_FOLD_PUT;
    assert_int_equal(cafe_order_infos_view.fold(&fold, out, &seen->event, c->arena, NULL), CAFE_OK);
    if (fold != CAFE_FOLD_SKIP)
      is_there = true;
  }
  return is_there;
}

typedef struct info_check {
  cluster *cluster;
  const places *at;
  const cluster_parked *parked;
  uint32_t count;
} info_check;

static int see_info(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                    void *user) {
  info_check *check = user;
  cafe_order_info_row row;
  const char *where = "";
  (void)sub, (void)version;
  const cluster_order *order = cluster_find(check->cluster, key);
  if (!order || !fold_info(check->cluster, order, check->at, check->parked, &row))
    cluster_violation(check->cluster, "I6", key, "%s has a row that no event made", table->name);
  if (!are_equal(table->row, &row, data, &where))
    cluster_violation(check->cluster, "I6", key, "%s: %s isn't what the events make it", table->name, where);
  check->count++;
  return CAFE_OK;
}

static void check_infos(cluster *c, cluster_node *n, bool at_rest) {
  places at[3];
  cluster_parked parked;
  read_places(at, c, n);
  cluster_read_parked(&parked, c, n, cafe_order_infos_view.name);
  info_check check = {c, at_rest ? NULL : at, &parked, 0};
  read_table(n, table_of(n, &cafe_order_infos_view), see_info, &check);
  uint32_t wanted = 0;
  for (map_entry *entry = map_first(c->orders); entry; entry = map_next(entry)) {
    cafe_order_info_row row;
    wanted += fold_info(c, map_value(entry), check.at, &parked, &row);
  }
  if (check.count != wanted)
    cluster_violation(c, "I6", 0, "order_infos has %u rows, not %u", check.count, wanted);
}

/* ---- what holds at rest ---- */

static bool is_told(const cluster_order *order, const cafe_schema *type) {
  const cluster_message *message;
  LL_FOREACH(order->messages, message) if (strcmp(message->event, type->name) == 0) break;
  return message && (message->status == CAFE_NOTIFICATION_FAILED ||
                     (message->status == CAFE_NOTIFICATION_SENT && message->deliveries));
}

static bool is_to_be_told(const cafe_event *event) {
  static const cafe_schema *const plain[] = {
      &cafe_ordered_type,        &cafe_order_accepted_type, &cafe_coffee_done_type,      &cafe_order_picked_up_type,
      &cafe_order_canceled_type, &cafe_order_rejected_type, &cafe_payment_refunded_type, NULL};
  if (event->type == &cafe_cancel_rejected_type)
    return ((const cafe_cancel_rejected *)event->data)->by == CAFE_CANCEL_BY_CUSTOMER;
  if (event->type == &cafe_payment_canceled_type)
    return ((const cafe_payment_canceled *)event->data)->reason != CAFE_PAYMENT_DRAFT_DROPPED;
  return is_among(plain, event->type);
}

static void check_messages(cluster *c, const cluster_order *order) {
  uint32_t wanted = 0, rows = 0;
  for (const cluster_event *at = order->first; at; at = at->next) {
    if (!is_to_be_told(&at->event))
      continue;
    wanted++;
    if (!is_told(order, at->event.type))
      cluster_violation(c, "I5", order->key, "the customer isn't told of %s", at->event.type->name);
  }
  const cluster_message *message;
  LL_FOREACH(order->messages, message) rows++;
  if (rows != wanted)
    cluster_violation(c, "I5", order->key, "%u messages instead of %u", rows, wanted);
}

/* The ticket's status is the order's. */
static cafe_order_status status_after(cafe_ticket_status ticket) {
  static const cafe_order_status by_ticket[] = {CAFE_ORDER_NONE,      CAFE_ORDER_ORDERED,     CAFE_ORDER_ACCEPTED,
                                                CAFE_ORDER_PREPARING, CAFE_ORDER_COFFEE_DONE, CAFE_ORDER_PICKED_UP,
                                                CAFE_ORDER_REJECTED,  CAFE_ORDER_REJECTED,    CAFE_ORDER_CANCELED};
  return by_ticket[ticket];
}

static bool is_charged(cafe_order_status status) {
  return status == CAFE_ORDER_PREPARING || status == CAFE_ORDER_COFFEE_DONE || status == CAFE_ORDER_PICKED_UP;
}

static void check_sums(cluster *c, const cluster_order *order) {
  cafe_sandbox_entry money = cluster_money(c, order->key);
  cafe_order_status status = order->order.status;
  if (order->payment.status == CAFE_PAYMENT_FAILED)
    return; /* an operator's */
  if (order->payment.running)
    cluster_violation(c, "I2", order->key, "an operation at the gateway is under way");
  int64_t kept = money.captured_minor - money.refunded_minor;
  int64_t held = money.approved_minor - money.voided_minor - money.captured_minor;
  if (kept != (is_charged(status) ? order->order.amount_minor : 0))
    cluster_violation(c, "I2", order->key, "%lld are kept of an order that is %s", (long long)kept,
                      status ? cafe_order_status_name(status) : "none");
  bool is_open = status == CAFE_ORDER_ORDERED || status == CAFE_ORDER_ACCEPTED;
  if (held != (is_open ? order->order.amount_minor : 0))
    cluster_violation(c, "I2", order->key, "%lld are held of an order that is %s", (long long)held,
                      status ? cafe_order_status_name(status) : "none");
}

static void check_rest(cluster *c, const cluster_order *order) {
  if (order->order.draft == CAFE_DRAFT_CLAIMED || order->order.draft == CAFE_DRAFT_UNCLAIMED)
    cluster_violation(c, "I4", order->key, "a draft is left");
  if (order->order.status != status_after(order->ticket.status))
    cluster_violation(c, "I7", order->key, "the order is %s and its ticket %d",
                      order->order.status ? cafe_order_status_name(order->order.status) : "none",
                      (int)order->ticket.status);
  check_sums(c, order);
  check_messages(c, order);
}

static void check_calls(cluster *c) {
  const cluster_call *call;
  DL_FOREACH(c->calls, call) {
    if (!call->is_done && !call->is_lost)
      cluster_violation(c, "answers", call->key, "%s is never answered", call->command->name);
  }
}

/* Whoever has a permit waits for an answer; and each is given back once. */
static void check_guards(cluster *c, const cluster_node *n, bool at_rest) {
  for (const struct guard *guard = n->node->guards; guard; guard = guard->next) {
    uint32_t holders = 0;
    for (const cafe_op *op = n->node->ops; op; op = op->next)
      holders += op->guard == guard;
    if (guard->limit.running != holders || (at_rest && holders))
      cluster_violation(c, "guard", 0, "%u permits are out, %u operations have one", guard->limit.running, holders);
  }
}

void cluster_check(cluster *c, bool at_rest) {
  for (int i = 0; i < c->node_count; i++)
    c->nodes[i].read_calls = UINT64_MAX;
  cluster_look(c);
  for (map_entry *entry = map_first(c->orders); entry; entry = map_next(entry))
    check_now(c, map_value(entry));
  for (int i = 0; i < c->node_count; i++) {
    if (!c->nodes[i].node)
      continue;
    check_timers(c, &c->nodes[i], at_rest);
    check_guards(c, &c->nodes[i], at_rest);
    if (c->nodes[i].services & CAFE_SHOP_DASHBOARD)
      check_infos(c, &c->nodes[i], at_rest);
  }
  if (!at_rest)
    return;
  for (map_entry *entry = map_first(c->orders); entry; entry = map_next(entry))
    check_rest(c, map_value(entry));
  check_calls(c);
  if (cluster_letters(c))
    cluster_violation(c, "X10", 0, "%llu dead letters are left", (unsigned long long)cluster_letters(c));
}
