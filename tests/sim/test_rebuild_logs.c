/* SPDX-License-Identifier: Apache-2.0 */

/* The read model over three nodes' logs is made anew over the hub, with peers that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"
#include "engine/node.h"

typedef struct upkeep {
  uint32_t times;
  int code;
  cafe_rebuild_report report;
} upkeep;

static void kept_up(const cafe_err *err, const cafe_rebuild_report *report, void *user) {
  upkeep *u = user;
  u->times++;
  u->code = err ? (int)err->code : CAFE_OK;
  if (report)
    u->report = *report;
}

static cafe_node *dashboard(cluster *c) { return cluster_node_of(c, CLUSTER_DASHBOARD)->node; }

static void begin(cluster *c, upkeep *u, bool verifies) {
  memset(u, 0, sizeof *u);
  assert_int_equal(verifies ? cafe_node_verify(NULL, dashboard(c), &cafe_order_infos_view, kept_up, u, NULL)
                            : cafe_node_rebuild(NULL, dashboard(c), &cafe_order_infos_view, kept_up, u, NULL),
                   CAFE_OK);
}

static cafe_rebuild_report finish(cluster *c, upkeep *u) {
  for (int i = 0; i < 1000 && !u->times; i++)
    cluster_run(c, 20);
  assert_int_equal(u->times, 1);
  assert_int_equal(u->code, CAFE_OK);
  return u->report;
}

static void serve_orders(cluster *c, int count) {
  for (int i = 0; i < count; i++)
    cluster_wait(c, cluster_place(c, 4500 + i, "token", NULL));
  cluster_finish(c);
}

typedef struct first_row {
  uint64_t key, version;
  uint32_t count;
} first_row;

static int see_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
  first_row *out = user;
  (void)table, (void)sub, (void)data;
  if (out->count++ == 0) {
    out->key = key;
    out->version = version;
  }
  return CAFE_OK;
}

static const cafe_table *infos(cluster *c) {
  const registry *known = &dashboard(c)->registry;
  for (uint32_t i = 0; i < known->view_count; i++)
    if (known->views[i].type == &cafe_order_infos_view)
      return &known->views[i].table;
  return NULL;
}

static first_row look(cluster *c) {
  cafe_store *inner = cluster_node_of(c, CLUSTER_DASHBOARD)->inner;
  cafe_row_query query = {sizeof query, infos(c), NULL, 0, 0, 0, -1, UINT32_MAX};
  first_row found = {0, 0, 0};
  assert_int_equal(inner->ops->read_rows(inner, &query, see_row, &found, NULL), CAFE_OK);
  return found;
}

/* Past the node. */
static void remove_first(cluster *c) {
  cafe_store *inner = cluster_node_of(c, CLUSTER_DASHBOARD)->inner;
  cafe_arena *arena = cafe_arena_create(NULL);
  first_row first = look(c);
  cafe_row_write write = {.table = infos(c), .key = first.key, .expected = first.version};
  cafe_unit unit = {.size = sizeof unit, .key = first.key, .rows = &write, .row_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_batch batch = {sizeof batch, units, 1, arena};
  assert_int_equal(inner->ops->commit(inner, &batch, NULL), CAFE_OK);
  assert_int_equal(unit.result, CAFE_UNIT_DONE);
  cafe_arena_destroy(arena);
}

/* C2: over all services' logs, each on its own node. */
static void c2_a_view_over_several_nodes_logs_is_repaired(void **state) {
  (void)state;
  for (int how = 0; how < 8; how++) {
    cluster_options options = {
        .seed = 11, .is_split = !(how & 1), .is_threaded = how & 2, .is_sqlite = how & 4, .job_max_us = 300};
    cluster *c = cluster_create(&options);
    upkeep u;
    serve_orders(c, 12);
    uint32_t count = look(c).count;
    first_row gone = look(c);
    remove_first(c);
    begin(c, &u, true);
    cafe_rebuild_report report = finish(c, &u);
    assert_int_equal(report.missing, 1);
    assert_int_equal(report.differing + report.surplus, 0);
    assert_int_equal(report.first_key, gone.key);
    while (look(c).count)
      remove_first(c);
    begin(c, &u, false);
    serve_orders(c, 2); /* meanwhile */
    report = finish(c, &u);
    assert_in_range(report.events, 12 * 5, 100000);
    cluster_rest(c);
    assert_int_equal(look(c).count, count + 2);
    cluster_check(c, true);
    begin(c, &u, true);
    report = finish(c, &u);
    assert_int_equal(report.rows, count + 2);
    assert_int_equal(report.missing + report.differing + report.surplus, 0);
    cluster_destroy(c);
  }
}

static void a_peer_that_is_away_is_waited_for(void **state) {
  (void)state;
  for (int is_threaded = 0; is_threaded < 2; is_threaded++) {
    cluster_options options = {.seed = 12, .is_split = true, .is_threaded = is_threaded, .job_max_us = 300};
    cluster *c = cluster_create(&options);
    upkeep u;
    serve_orders(c, 8);
    uint32_t count = look(c).count;
    remove_first(c);
    cafe_inproc_cut(c->hub, "pay", true);
    begin(c, &u, false);
    cluster_run(c, 20000);
    assert_int_equal(u.times, 0);
    assert_int_equal(look(c).count, count - 1); /* the old one serves */
    cafe_inproc_cut(c->hub, "pay", false);
    finish(c, &u);
    cluster_rest(c);
    assert_int_equal(look(c).count, count);
    cluster_check(c, true);
    cluster_destroy(c);
  }
}

/* The publisher's node ends in the middle, and comes again; so does the view's own. */
static void nodes_may_end_in_the_middle_of_it(void **state) {
  (void)state;
  for (int step = 0; step < 60; step += 3) {
    cluster_options options = {.seed = 13, .is_split = true, .is_threaded = true, .job_max_us = 300};
    cluster *c = cluster_create(&options);
    upkeep u;
    serve_orders(c, 5);
    uint32_t count = look(c).count;
    begin(c, &u, false);
    for (int i = 0; i < step; i++)
      cluster_step(c);
    int service = step % 2 ? CLUSTER_PAY : CLUSTER_DASHBOARD;
    cluster_kill(c, service);
    cluster_run(c, 50);
    assert_int_equal(cluster_start(c, service), CAFE_OK);
    if (service == CLUSTER_PAY)
      finish(c, &u);
    cluster_rest(c);
    assert_int_equal(look(c).count, count);
    begin(c, &u, false);
    finish(c, &u);
    cluster_rest(c);
    cluster_check(c, true);
    cluster_destroy(c);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(c2_a_view_over_several_nodes_logs_is_repaired),
      cmocka_unit_test(a_peer_that_is_away_is_waited_for),
      cmocka_unit_test(nodes_may_end_in_the_middle_of_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
