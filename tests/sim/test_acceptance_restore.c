/* SPDX-License-Identifier: Apache-2.0 */

/* Stores made from backups, under nodes that go on: one node, and five of which one is set back. */
#include <unistd.h>

#include "acceptance_kit.h"
#include "cafe/sys/store.h"
#include "cafe/upkeep.h"
#include "engine/node.h"
#include "sqlite_file.h"

enum { BEFORE = 8, LOST = 7, BACKUPS = CLUSTER_SERVICES };

static const char *const backups[BACKUPS] = {"cluster-app.bak", "cluster-pay.bak", "cluster-store.bak",
                                             "cluster-customer.bak", "cluster-dashboard.bak"};

static void remove_backups(void) {
  for (int i = 0; i < BACKUPS; i++)
    sqlite_file_remove(backups[i]);
}

static cluster *create_on_files(uint64_t seed, bool is_split) {
  cluster_options options = {.seed = seed, .is_split = is_split, .is_sqlite = true, .job_max_us = 500, .id_block = 16};
  remove_backups();
  return cluster_create(&options);
}

static void destroy(cluster *c) {
  cluster_destroy(c);
  remove_backups();
}

static uint64_t refused_links(cluster *c, int service) {
  cafe_node_stats stats = {.size = sizeof stats};
  cafe_node_stats_get(cluster_node_of(c, service)->node, &stats);
  return stats.refused_links;
}

/* Log lines of a node that say this, since line `from`. Few enough that none was overwritten. */
static unsigned lines(const cluster *c, int node, const char *what, uint64_t from) {
  char prefix[32];
  unsigned count = 0;
  snprintf(prefix, sizeof prefix, "node %d ", node);
  assert_true(c->line_count - from < CLUSTER_LINES);
  for (uint64_t i = from; i < c->line_count; i++) {
    const char *text = c->lines[i % CLUSTER_LINES].text;
    count += strstr(text, prefix) && strstr(text, what);
  }
  return count;
}

typedef struct bytes {
  uint64_t count, sum;
} bytes;

static int see_any_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                       void *user) {
  bytes *all = user;
  (void)table, (void)data;
  all->count++;
  all->sum = all->sum * 31 + key * 7 + sub * 3 + version;
  return CAFE_OK;
}

/* What a node has of the others: its rows, and how long its log is. */
static bytes state_of_node(cluster *c, int service) {
  cluster_node *n = cluster_node_of(c, service);
  bytes all = {0, 0};
  for (uint32_t i = 0; i < n->node->registry.view_count; i++) {
    cafe_row_query query = {sizeof query, &n->node->registry.views[i].table, NULL, 0, 0, 0, -1, UINT32_MAX};
    assert_int_equal(n->inner->ops->read_rows(n->inner, &query, see_any_row, &all, NULL), CAFE_OK);
  }
  all.sum = all.sum * 31 + n->node->heads[0];
  return all;
}

static uint64_t head_of(cluster *c, int service) { return cluster_node_of(c, service)->node->heads[0]; }

/* ---- one node ---- */

/* A backup taken at any moment under load is a prefix of the log: from it all goes on, and I1 to I8 hold. */
static void from_a_backup_taken_under_load_everything_goes_on(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= (is_full() ? 40 : 6); seed++) {
    cluster *c = create_on_files(seed, false);
    c->program = "sim.acceptance_restore";
    c->chances = (cluster_chances){.delay_ms = 3, .jitter_ms = 20};
    uint64_t last = 0;
    for (int i = 0; i < 25; i++) {
      cluster_place(c, 4500, "token", NULL);
      cluster_run(c, (int64_t)cluster_random(c, 10));
    }
    cluster_back_up(c, CLUSTER_APP, backups[0]);
    uint64_t head = c->nodes[0].read_n; /* the store's: the node may not have heard of its last commit */
    for (int i = 0; i < 10; i++) {
      cluster_call *call = cluster_place(c, 4500, "token", NULL);
      cluster_wait(c, call);
      last = call->key;
    }
    assert_true(head_of(c, CLUSTER_APP) > head);
    cluster_rest(c);
    cluster_kill(c, CLUSTER_APP);
    cluster_restore(c, CLUSTER_APP, backups[0]);
    assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
    assert_true(head_of(c, CLUSTER_APP) <= head);
    cluster_see_again(c);
    assert_null(cluster_find(c, last)); /* lost, by the operator's choice */
    cluster_check(c, false);
    uint64_t key = place(c, 0);
    assert_true(key > last + 1000);
    cluster_finish(c);
    cluster_check(c, true);
    destroy(c);
  }
}

/* No key of a lost order is given out again, and so none of what the gateway knows it by: not after a restore, not
 * after a second one of the same backup, not where the backup has no order at all. */
static void keys_are_never_given_out_twice(void **state) {
  (void)state;
  for (int orders = 0; orders < 2; orders++) {
    cluster *c = create_on_files(3, false);
    uint64_t last = 0;
    for (int i = 0; i < orders * BEFORE; i++)
      last = place(c, 0);
    cluster_rest(c);
    cluster_back_up(c, CLUSTER_APP, backups[0]);
    for (int round = 0; round < 3; round++) {
      for (int i = 0; i < 50; i++) {
        uint64_t key = place(c, 0);
        assert_true(key > last);
        assert_int_equal(cluster_money(c, key).authorizations, 1);
        last = key;
      }
      cluster_kill(c, CLUSTER_APP);
      cluster_restore(c, CLUSTER_APP, backups[0]);
      assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
      cluster_see_again(c);
    }
    cluster_stop(c, CLUSTER_APP); /* nor does it begin anew with each start */
    assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
    uint64_t key = place(c, 0);
    assert_true(key > last);
    cluster_kill(c, CLUSTER_APP);
    assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
    uint64_t next = place(c, 0);
    assert_true(next > key && next < key + 40); /* what was left of a block */
    cluster_finish(c);
    cluster_check(c, true);
    destroy(c);
  }
}

static void canceled(const cafe_err *err, void *user) { *(int *)user = err ? (int)err->code : CAFE_OK; }

/* Giving up, or the node's end, in the middle: no file is left. */
static void a_backup_is_given_up_and_leaves_nothing(void **state) {
  (void)state;
  for (int how = 0; how < 3; how++) {
    cluster *c = create_on_files(5, false);
    for (int i = 0; i < 1500; i++) /* some pieces */
      cluster_place(c, 4500, "token", NULL);
    cluster_run(c, 5000);
    int code = -1;
    cafe_op *op;
    assert_int_equal(cafe_node_backup(&op, c->nodes[0].node, backups[0], canceled, &code, NULL), CAFE_OK);
    if (how == 0)
      cafe_op_cancel(op);
    if (how == 1)
      cluster_stop(c, CLUSTER_APP);
    if (how == 2)
      cluster_break(c, CLUSTER_APP);
    for (int i = 0; i < 1000 && code < 0; i++)
      cluster_step(c);
    cluster_stop(c, CLUSTER_APP);
    assert_true(code == CAFE_CANCELED || (how == 2 && code == CAFE_UNAVAILABLE));
    assert_int_not_equal(access(backups[0], F_OK), 0);
    destroy(c);
  }
}

/* ---- five nodes ---- */

/* Orders that wait for the store, and nothing under way. */
static void live(cluster *c, uint64_t *keys, int count) {
  for (int i = 0; i < count; i++) {
    keys[i] = place(c, 0);
    wait_for_ticket(c, keys[i], CAFE_TICKET_RECEIVED);
  }
  cluster_run(c, 2000);
}

static void back_up_all(cluster *c) {
  for (int i = 0; i < c->node_count; i++)
    cluster_back_up(c, i, backups[i]);
}

typedef struct waited {
  int code;
  char text[240];
} waited;

static void await_done(const cafe_err *err, void *user) {
  waited *it = user;
  it->code = err ? (int)err->code : CAFE_OK;
  snprintf(it->text, sizeof it->text, "%s", err ? err->text : "");
}

/* X17: restore from backup: a subscriber ahead of the restored log is refused and told what to do; nothing is
 * skipped. */
static void x17_who_is_ahead_of_a_restored_log_is_refused_and_told_what_to_do(void **state) {
  (void)state;
  static const int readers[] = {CLUSTER_PAY, CLUSTER_STORE, CLUSTER_CUSTOMER, CLUSTER_DASHBOARD};
  uint64_t known[BEFORE], lost[LOST];
  cluster *c = create_on_files(17, true);
  live(c, known, BEFORE);
  cluster_back_up(c, CLUSTER_APP, backups[CLUSTER_APP]);
  live(c, lost, LOST);
  for (int i = 0; i < 3; i++)
    act(c, known[i], CAFE_TICKET_ACCEPT); /* app's log goes on from others' events, too */
  cluster_run(c, 2000);
  uint64_t old_log = cluster_node_of(c, CLUSTER_APP)->node->log_id;
  cluster_kill(c, CLUSTER_APP);
  cluster_restore(c, CLUSTER_APP, backups[CLUSTER_APP]);
  uint64_t from = c->line_count;
  bytes before[CLUSTER_SERVICES];
  assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
  assert_true(cluster_node_of(c, CLUSTER_APP)->node->log_id != old_log);
  cluster_run(c, 2000);
  unsigned refused = 0;
  for (int i = 0; i < 4; i++) {
    before[i] = state_of_node(c, readers[i]);
    refused += (unsigned)refused_links(c, readers[i]);
    assert_int_equal(refused_links(c, readers[i]), lines(c, readers[i], "is refused", from));
  }
  assert_true(refused >= 3 && refused_links(c, CLUSTER_STORE) && refused_links(c, CLUSTER_CUSTOMER));
  assert_int_equal(refused_links(c, CLUSTER_DASHBOARD), 1);
  assert_int_equal(refused_links(c, CLUSTER_APP), 0); /* it is behind the others, and hears what it has lost */

  /* It goes on with what it is told by others: so its log gets longer than it ever was. Nobody takes that for what he
   * has read, and nobody asks again and again. */
  for (int i = 0; i < 60; i++) {
    cluster_call *call = cluster_place(c, 4500, "token", NULL);
    cluster_run(c, 1000);
    assert_true(call->is_done && call->code == CAFE_OK && call->verdict == CAFE_ACCEPTED);
    for (int k = 0; k < LOST; k++)
      assert_true(call->key != lost[k]);
  }
  for (int i = 0; i < 4; i++) {
    bytes now = state_of_node(c, readers[i]);
    if (readers[i] != CLUSTER_PAY && readers[i] != CLUSTER_DASHBOARD) /* these have other sources, which go on */
      assert_true(now.count == before[i].count && now.sum == before[i].sum);
    assert_int_equal(refused_links(c, readers[i]), lines(c, readers[i], "is refused", from));
  }
  /* Who starts anew is refused as well, though he begins to read at a place that both logs have. But pay, which had
   * nothing to do with any event so far, has no place, and reads the log from its beginning. */
  for (int i = 0; i < 4; i++) {
    uint64_t links = readers[i] == CLUSTER_PAY ? 0 : 1;
    cluster_stop(c, readers[i]);
    from = c->line_count;
    assert_int_equal(cluster_start(c, readers[i]), CAFE_OK);
    cluster_run(c, 5000);
    assert_int_equal(refused_links(c, readers[i]), links);
    assert_int_equal(lines(c, readers[i], "is refused", from), links);
    assert_int_equal(lines(c, readers[i], "goes on", from), 0);
  }
  /* Who waits for it is told, too, and what to do. */
  waited it = {-1, ""};
  cafe_node *dashboard = cluster_node_of(c, CLUSTER_DASHBOARD)->node;
  cafe_position position = {cluster_node_of(c, CLUSTER_APP)->node->log_id, 0, head_of(c, CLUSTER_APP)};
  cafe_err err;
  assert_int_equal(cafe_node_await(NULL, dashboard, &cafe_order_infos_view, &position, 0, await_done, &it, &err),
                   CAFE_INVALID);
  assert_non_null(strstr(err.text, "cafe_node_rebuild"));
  assert_non_null(strstr(err.text, "restore their node too"));
  position = (cafe_position){old_log, 0, 1000000};
  assert_int_equal(cafe_node_await(NULL, dashboard, &cafe_order_infos_view, &position, 0, await_done, &it, &err),
                   CAFE_OK);
  for (int i = 0; i < 100 && it.code < 0; i++)
    cluster_run(c, 1);
  assert_int_equal(it.code, CAFE_INVALID);
  assert_non_null(strstr(it.text, "cafe_node_rebuild"));
  destroy(c);
}

typedef struct upkeep {
  int code;
  char text[240];
  cafe_rebuild_report report;
} upkeep;

static void kept_up(const cafe_err *err, const cafe_rebuild_report *report, void *user) {
  upkeep *u = user;
  u->code = err ? (int)err->code : CAFE_OK;
  snprintf(u->text, sizeof u->text, "%s", err ? err->text : "");
  if (report)
    u->report = *report;
}

static upkeep keep_up(cluster *c, bool verifies) {
  upkeep u = {.code = -1};
  cafe_node *node = cluster_node_of(c, CLUSTER_DASHBOARD)->node;
  assert_int_equal(verifies ? cafe_node_verify(NULL, node, &cafe_order_infos_view, kept_up, &u, NULL)
                            : cafe_node_rebuild(NULL, node, &cafe_order_infos_view, kept_up, &u, NULL),
                   CAFE_OK);
  for (int i = 0; i < 1000 && u.code < 0; i++)
    cluster_run(c, 20);
  return u;
}

static void assert_is_right(cluster *c) {
  upkeep u = keep_up(c, true);
  assert_int_equal(u.code, CAFE_OK);
  assert_int_equal(u.report.differing + u.report.missing + u.report.surplus, 0);
}

/* The dashboard has seen more of the order's service than that has after its restore, or not, where nobody has lost
 * an order. What it has of the others goes on, and what it has of lost orders is theirs. */
static cluster *create_refused(uint64_t seed, bool is_refused) {
  uint64_t known[BEFORE], lost[LOST];
  cluster *c = create_on_files(seed, true);
  live(c, known, BEFORE);
  cluster_back_up(c, CLUSTER_APP, backups[CLUSTER_APP]);
  if (is_refused)
    live(c, lost, LOST);
  cluster_kill(c, CLUSTER_APP);
  cluster_restore(c, CLUSTER_APP, backups[CLUSTER_APP]);
  assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
  cluster_run(c, 2000);
  assert_int_equal(refused_links(c, CLUSTER_DASHBOARD), is_refused);
  for (int i = 0; i < 3; i++)
    place(c, 0);
  cluster_run(c, 2000);
  return c;
}

static void check_follows(cluster *c, uint64_t from) {
  waited it = {-1, ""};
  assert_int_equal(refused_links(c, CLUSTER_DASHBOARD), 0);
  assert_int_equal(lines(c, CLUSTER_DASHBOARD, "is refused", from), 0);
  assert_is_right(c);
  uint64_t key = place(c, 0);
  cafe_node *dashboard = cluster_node_of(c, CLUSTER_DASHBOARD)->node;
  cafe_position position = {cluster_node_of(c, CLUSTER_APP)->node->log_id, 0, head_of(c, CLUSTER_APP)};
  assert_int_equal(cafe_node_await(NULL, dashboard, &cafe_order_infos_view, &position, 0, await_done, &it, NULL),
                   CAFE_OK);
  for (int i = 0; i < 100 && it.code < 0; i++)
    cluster_run(c, 20);
  assert_int_equal(it.code, CAFE_OK);
  cafe_condition is_key = {.column = -1, .value.number = (int64_t)key};
  cafe_row_query query = {
      sizeof query, &registry_view(dashboard, &cafe_order_infos_view)->table, &is_key, 1, 0, 0, -1, 1};
  bytes found = {0, 0};
  cafe_store *inner = cluster_node_of(c, CLUSTER_DASHBOARD)->inner;
  assert_int_equal(inner->ops->read_rows(inner, &query, see_any_row, &found, NULL), CAFE_OK);
  assert_int_equal(found.count, 1);
  assert_is_right(c);
}

/* X17: restore from backup: the remedy for a view: it is rebuilt, and goes on with the restored log, also over a
 * restart, and a second restore. */
static void x17_a_view_that_is_refused_is_rebuilt_and_goes_on(void **state) {
  (void)state;
  for (int is_refused = 0; is_refused < 2; is_refused++) {
    cluster *c = create_refused(21, is_refused);
    upkeep u = keep_up(c, true);
    assert_int_equal(u.code, is_refused ? CAFE_INVALID : CAFE_OK);
    assert_true(!is_refused || strstr(u.text, "cafe_node_rebuild"));
    u = keep_up(c, false);
    assert_int_equal(u.code, CAFE_OK);
    uint64_t from = c->line_count;
    cluster_run(c, 2000);
    check_follows(c, from);
    cluster_kill(c, CLUSTER_DASHBOARD);
    assert_int_equal(cluster_start(c, CLUSTER_DASHBOARD), CAFE_OK);
    cluster_run(c, 2000);
    check_follows(c, from);
    sqlite_file_remove(backups[CLUSTER_APP]);
    cluster_run(c, 5000);
    cluster_back_up(c, CLUSTER_APP, backups[CLUSTER_APP]);
    cluster_kill(c, CLUSTER_APP); /* the dashboard isn't ahead of this one */
    cluster_restore(c, CLUSTER_APP, backups[CLUSTER_APP]);
    assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
    cluster_run(c, 2000);
    check_follows(c, from);
    destroy(c);
  }
}

/* X17: restore from backup: at any step of a rebuild, or of a verification, whose view is ahead of it or not. What is
 * made of two logs is never taken for right. */
static void a_log_is_restored_at_any_step_of_a_rebuild(void **state) {
  (void)state;
  for (int how = 0; how < 4; how++) {
    bool verifies = how % 2, is_ahead = how / 2, is_over = false;
    for (int step = 0; !is_over; step += is_full() ? 1 : 5) {
      uint64_t known[4], lost[2];
      upkeep u = {.code = -1};
      cluster *c = create_on_files(23, true);
      live(c, known, 4);
      cluster_back_up(c, CLUSTER_APP, backups[CLUSTER_APP]);
      if (is_ahead)
        live(c, lost, 2);
      cafe_node *node = cluster_node_of(c, CLUSTER_DASHBOARD)->node;
      assert_int_equal(verifies ? cafe_node_verify(NULL, node, &cafe_order_infos_view, kept_up, &u, NULL)
                                : cafe_node_rebuild(NULL, node, &cafe_order_infos_view, kept_up, &u, NULL),
                       CAFE_OK);
      for (int i = 0; i < step && u.code < 0; i++)
        cluster_step(c);
      is_over = u.code >= 0;
      cluster_kill(c, CLUSTER_APP);
      cluster_restore(c, CLUSTER_APP, backups[CLUSTER_APP]);
      assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
      place(c, 0);
      for (int i = 0; i < 1000 && u.code < 0; i++)
        cluster_run(c, 20);
      assert_true(u.code == CAFE_OK || (is_ahead && u.code == CAFE_INVALID));
      assert_true(!verifies || u.code || !(u.report.differing + u.report.missing + u.report.surplus));
      cluster_run(c, 2000);
      if (refused_links(c, CLUSTER_DASHBOARD)) {
        assert_true(is_ahead);
        assert_int_equal(keep_up(c, false).code, CAFE_OK);
      }
      uint64_t from = c->line_count;
      cluster_run(c, 2000);
      check_follows(c, from);
      destroy(c);
    }
  }
}

/* X17: restore from backup: the process dies before and after each commit of the remedy, and each call of the store
 * fails. */
static void x17_a_rebuild_of_a_refused_view_survives_faults(void **state) {
  (void)state;
  for (int kind = 0; kind < 3; kind++) {
    for (uint64_t n = 1;; n++) {
      cluster *c = create_refused(22, true);
      cluster_node *dashboard = cluster_node_of(c, CLUSTER_DASHBOARD);
      cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
      upkeep u = {.code = -1};
      *(kind == 0 ? &faults.fail_call : kind == 1 ? &faults.die_before_commit : &faults.die_after_commit) = n;
      cluster_set_faults(c, CLUSTER_DASHBOARD, &faults);
      assert_int_equal(cafe_node_rebuild(NULL, dashboard->node, &cafe_order_infos_view, kept_up, &u, NULL), CAFE_OK);
      for (int i = 0; i < 500 && dashboard->node && u.code < 0; i++)
        cluster_run(c, 20);
      cafe_store_counts counts = {.size = sizeof counts};
      if (dashboard->store)
        cafe_faulty_store_count(dashboard->store, &counts);
      bool was_hit = counts.faults || !dashboard->node;
      assert_true(was_hit || u.code == CAFE_OK);
      cluster_heal(c);
      cluster_run(c, 2000);
      uint64_t refused = refused_links(c, CLUSTER_DASHBOARD);
      assert_true(refused <= 1 && (refused == 0 || u.code != CAFE_OK)); /* the old one, or the new one */
      if (refused)
        assert_int_equal(keep_up(c, false).code, CAFE_OK);
      uint64_t from = c->line_count;
      cluster_run(c, 2000);
      check_follows(c, from);
      destroy(c);
      if (!was_hit) {
        assert_true(n > 1);
        break;
      }
    }
  }
}

/* X17: restore from backup: a subscriber that isn't ahead goes on, once and without a gap, also over restarts and a
 * second restore. */
static void x17_who_is_not_ahead_goes_on(void **state) {
  (void)state;
  uint64_t keys[BEFORE];
  cluster *c = create_on_files(18, true);
  live(c, keys, BEFORE);
  cluster_back_up(c, CLUSTER_APP, backups[CLUSTER_APP]);
  for (int round = 0; round < 2; round++) {
    cluster_kill(c, CLUSTER_APP);
    cluster_restore(c, CLUSTER_APP, backups[CLUSTER_APP]);
    if (round == 1) { /* one that was away hears of it when it comes */
      cluster_stop(c, CLUSTER_DASHBOARD);
    }
    assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
    assert_int_equal(cluster_start(c, CLUSTER_DASHBOARD), CAFE_OK);
    cluster_see_again(c);
    cluster_run(c, 3000);
    for (int i = 0; i < CLUSTER_SERVICES; i++)
      assert_int_equal(refused_links(c, i), 0);
    if (round == 0) {
      /* Nothing has happened on the new log: so the next restore, of the same backup, is of one that nobody is ahead
       * of only if the moves themselves count for nothing. */
      remove_backups();
      cluster_back_up(c, CLUSTER_APP, backups[CLUSTER_APP]);
    }
  }
  uint64_t key = place(c, 0);
  wait_for_ticket(c, key, CAFE_TICKET_RECEIVED);
  for (int i = 0; i < CLUSTER_SERVICES; i++) {
    cluster_kill(c, i);
    assert_int_equal(cluster_start(c, i), CAFE_OK);
  }
  cluster_run(c, 3000);
  for (int i = 0; i < CLUSTER_SERVICES; i++)
    assert_int_equal(refused_links(c, i), 0);
  cluster_finish(c);
  cluster_check(c, true);
  destroy(c);
}

/* X17: restore from backup: the remedy: all are set back to one moment, and nothing is skipped. */
static void x17_all_set_back_to_one_moment_go_on_together(void **state) {
  (void)state;
  uint64_t known[BEFORE], lost[LOST];
  cluster *c = create_on_files(19, true);
  live(c, known, BEFORE);
  back_up_all(c);
  live(c, lost, LOST);
  for (int i = 0; i < c->node_count; i++)
    cluster_kill(c, i);
  for (int i = 0; i < c->node_count; i++)
    cluster_restore(c, i, backups[i]);
  for (int i = 0; i < c->node_count; i++)
    assert_int_equal(cluster_start(c, i), CAFE_OK);
  cluster_see_again(c);
  cluster_run(c, 3000);
  for (int i = 0; i < c->node_count; i++)
    assert_int_equal(refused_links(c, i), 0);
  for (int i = 0; i < LOST; i++)
    assert_null(cluster_find(c, lost[i]));
  for (int i = 0; i < BEFORE; i++)
    assert_non_null(cluster_find(c, known[i]));
  place(c, 0);
  cluster_finish(c);
  cluster_check(c, true);
  destroy(c);
}

/* X17: the move to the restored log is one unit: the store fails at each call of it, the process dies before and after
 * each commit. */
static void a_move_to_the_restored_log_survives_faults(void **state) {
  (void)state;
  for (int kind = 0; kind < 3; kind++) {
    for (uint64_t n = 1;; n++) {
      uint64_t keys[2];
      cluster *c = create_on_files(20, true);
      live(c, keys, 2);
      cluster_back_up(c, CLUSTER_APP, backups[CLUSTER_APP]);
      cluster_kill(c, CLUSTER_APP);
      cluster_restore(c, CLUSTER_APP, backups[CLUSTER_APP]);
      cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
      *(kind == 0 ? &faults.fail_call : kind == 1 ? &faults.die_before_commit : &faults.die_after_commit) = n;
      cluster_set_faults(c, CLUSTER_STORE, &faults);
      assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
      cluster_see_again(c);
      cluster_run(c, 3000);
      cafe_store_counts counts = {.size = sizeof counts};
      cafe_faulty_store_count(cluster_node_of(c, CLUSTER_STORE)->store ? cluster_node_of(c, CLUSTER_STORE)->store
                                                                       : cluster_node_of(c, CLUSTER_APP)->store,
                              &counts);
      bool was_hit = counts.faults || !cluster_node_of(c, CLUSTER_STORE)->node;
      cluster_heal(c);
      place(c, 0);
      cluster_finish(c);
      assert_int_equal(refused_links(c, CLUSTER_STORE), 0);
      cluster_check(c, true);
      destroy(c);
      if (!was_hit) {
        assert_true(n > 1);
        break;
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(from_a_backup_taken_under_load_everything_goes_on),
      cmocka_unit_test(keys_are_never_given_out_twice),
      cmocka_unit_test(a_backup_is_given_up_and_leaves_nothing),
      cmocka_unit_test(x17_who_is_ahead_of_a_restored_log_is_refused_and_told_what_to_do),
      cmocka_unit_test(x17_a_view_that_is_refused_is_rebuilt_and_goes_on),
      cmocka_unit_test(a_log_is_restored_at_any_step_of_a_rebuild),
      cmocka_unit_test(x17_a_rebuild_of_a_refused_view_survives_faults),
      cmocka_unit_test(x17_who_is_not_ahead_goes_on),
      cmocka_unit_test(x17_all_set_back_to_one_moment_go_on_together),
      cmocka_unit_test(a_move_to_the_restored_log_survives_faults),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
