/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Forgetting under a node that goes on: clients' keys after their time, messages that were sent. The oracle, which
 * knows every event, allows that rows of messages are missing which were sent before the time that was named, and no
 * others.
 */
#include <unistd.h>

#include "acceptance_kit.h"
#include "cafe/sys/store.h"
#include "cafe/upkeep.h"
#include "engine/forget.h"
#include "engine/node.h"
#include "failing_alloc.h"

enum { ALL_ORDERS = 40 };

static cluster *create_world(uint64_t seed, unsigned kind) {
  cluster_options options = {.seed = seed,
                             .is_sqlite = kind == 2,
                             .is_threaded = kind == 1,
                             .job_max_us = 500,
                             .max_cached = seed % 2 ? 5 : 0};
  return cluster_create(&options);
}

static int64_t utc_ms(cluster *c) { return c->world->ops->utc_ms(c->world); }

typedef struct forgotten {
  bool is_done;
  int code;
  uint64_t count;
} forgotten;

static void see_forgotten(const cafe_err *err, uint64_t count, void *user) {
  *(forgotten *)user = (forgotten){true, err ? (int)err->code : CAFE_OK, count};
}

static forgotten wait_for(cluster *c, forgotten *it) {
  for (int i = 0; !it->is_done; i++) {
    assert_true(i < 100000);
    cluster_step(c);
  }
  return *it;
}

static forgotten forget_rows(cluster *c, int64_t before_ms) {
  forgotten it = {false, 0, 0};
  if (before_ms > c->forgotten_ms)
    c->forgotten_ms = before_ms;
  int code =
      cafe_node_forget_rows(NULL, c->nodes[0].node, &cafe_notifications_view, before_ms, see_forgotten, &it, NULL);
  return code ? (forgotten){true, code, 0} : wait_for(c, &it);
}

static forgotten forget_keys(cluster *c, int64_t before_ms) {
  forgotten it = {false, 0, 0};
  int code = cafe_node_forget_keys(NULL, c->nodes[0].node, before_ms, see_forgotten, &it, NULL);
  return code ? (forgotten){true, code, 0} : wait_for(c, &it);
}

typedef struct counted {
  uint64_t all, sent, past;
  int64_t before_ms;
} counted;

static int count_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                     void *user) {
  (void)table, (void)key, (void)sub, (void)version;
  counted *to = user;
  const cafe_notification_row *row = data;
  to->all++;
  to->sent += row->status == CAFE_NOTIFICATION_SENT;
  to->past += row->status == CAFE_NOTIFICATION_SENT && row->updated_at_ms < to->before_ms;
  return CAFE_OK;
}

static counted count_rows(cluster *c, int64_t before_ms) {
  const cafe_node *node = c->nodes[0].node;
  counted to = {.before_ms = before_ms};
  cafe_row_query query = {sizeof query, &registry_view(node, &cafe_notifications_view)->table, NULL, 0, 0, 0, -1,
                          UINT32_MAX};
  assert_int_equal(c->nodes[0].inner->ops->read_rows(c->nodes[0].inner, &query, count_row, &to, NULL), CAFE_OK);
  return to;
}

static uint64_t conflicts(cluster *c) {
  cafe_node_stats stats = {.size = sizeof stats};
  cafe_node_stats_get(c->nodes[0].node, &stats);
  return stats.conflicts;
}

static int64_t mark_of(cluster *c) {
  int64_t before_ms = -1;
  assert_int_equal(forget_mark(&before_ms, c->nodes[0].node, &cafe_notifications_view, NULL), CAFE_OK);
  return before_ms;
}

/* Messages that were sent go; those that wait, those that failed and those of later stay. What is in memory of their
 * orders is right: nothing conflicts when they go on. */
static void sent_messages_are_forgotten_and_their_orders_go_on(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 2; seed++) {
    for (unsigned kind = 0; kind < 3; kind++) {
      cluster *c = create_world(seed, kind);
      uint64_t keys[ALL_ORDERS];
      for (int i = 0; i < ALL_ORDERS; i++) {
        c->chances.fail = i % 8 == 7 ? 100 : 0; /* dead letters, in the end */
        keys[i] = place(c, 0);
        if (c->chances.fail)
          cluster_run(c, 60000);
      }
      c->chances.fail = 0;
      cluster_run(c, 1000);
      int64_t before_ms = utc_ms(c);
      cluster_run(c, 1);
      for (int i = 0; i < ALL_ORDERS; i += 2)
        act(c, keys[i], CAFE_TICKET_ACCEPT);
      cluster_run(c, 1000);
      c->chances.lost = 100; /* these are never answered */
      act(c, keys[1], CAFE_TICKET_ACCEPT);
      cluster_run(c, 100);
      counted before = count_rows(c, before_ms);
      assert_true(before.past >= ALL_ORDERS / 2 && before.past < before.sent && before.sent < before.all);
      assert_int_equal(mark_of(c), 0);
      forgotten it = forget_rows(c, before_ms);
      assert_int_equal(it.code, CAFE_OK);
      assert_int_equal(it.count, before.past);
      counted after = count_rows(c, before_ms);
      assert_true(after.past == 0 && after.all == before.all - before.past);
      assert_int_equal(mark_of(c), before_ms);
      it = forget_rows(c, before_ms - 5); /* nothing is older, and the mark never goes back */
      assert_true(it.code == CAFE_OK && it.count == 0 && mark_of(c) == before_ms);
      c->chances.lost = 0;
      uint64_t had = conflicts(c);
      for (int i = 0; i < ALL_ORDERS; i += 4)
        act(c, keys[i], CAFE_TICKET_START);
      cluster_run(c, 2000);
      assert_int_equal(conflicts(c), had);
      cluster_kill(c, 0);
      assert_int_equal(cluster_start(c, 0), CAFE_OK);
      cluster_finish(c);
      assert_int_equal(conflicts(c), 0);
      assert_true(count_rows(c, before_ms).past == 0); /* nothing brings them back */
      cluster_check(c, true);
      it = forget_rows(c, utc_ms(c));
      assert_int_equal(it.code, CAFE_OK);
      counted rest = count_rows(c, INT64_MAX);
      assert_true(rest.past == 0 && rest.all == ALL_ORDERS / 8); /* the dead letters */
      cluster_check(c, true);
      cluster_destroy(c);
    }
  }
}

/* While orders are under way, at any moment: nothing is lost, and nothing is told twice. */
static void forgetting_amid_everything_harms_nothing(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= (is_full() ? 100 : 8); seed++) {
    cluster *c = create_world(seed, (unsigned)(seed % 3));
    c->program = "sim.upkeep";
    c->chances = (cluster_chances){.delay_ms = 1, .jitter_ms = 10, .silent = 5, .fail = 5};
    for (int i = 0; i < 30; i++) {
      cluster_place(c, 4500, "token", NULL);
      cluster_run(c, (int64_t)cluster_random(c, 20));
      forgotten rows = forget_rows(c, utc_ms(c));
      forgotten keys = forget_keys(c, utc_ms(c) - 1000);
      assert_true(rows.code == CAFE_OK && keys.code == CAFE_OK);
      if (cluster_chance(c, 20)) {
        cluster_kill(c, 0);
        assert_int_equal(cluster_start(c, 0), CAFE_OK);
      }
    }
    cluster_heal(c);
    cluster_finish(c);
    cluster_check(c, true);
    cluster_destroy(c);
  }
}

static cluster_call *place_with(cluster *c, const char *key) {
  cluster_call *call = cluster_place(c, 4500, "token", key);
  assert_non_null(call);
  cluster_wait(c, call);
  assert_int_equal(call->code, CAFE_OK);
  return call;
}

/* A key answers for as long as it is kept, and is anybody's again afterwards. */
static void keys_answer_until_they_are_forgotten(void **state) {
  (void)state;
  for (unsigned kind = 0; kind < 3; kind++) {
    cluster *c = create_world(9, kind);
    uint64_t old = place_with(c, "old")->key;
    cluster_run(c, 1000);
    int64_t before_ms = utc_ms(c);
    cluster_run(c, 1);
    uint64_t young = place_with(c, "young")->key;
    assert_true(place_with(c, "old")->replayed && place_with(c, "young")->replayed);
    forgotten it = forget_keys(c, before_ms);
    assert_true(it.code == CAFE_OK && it.count == 1);
    map_remove_bytes(c->client_keys, cafe_text("old")); /* the oracle, too */
    const cluster_call *again = place_with(c, "old");
    assert_true(!again->replayed && again->key != old);
    again = place_with(c, "young");
    assert_true(again->replayed && again->key == young);
    cluster_run(c, 1);
    it = forget_keys(c, utc_ms(c));
    assert_true(it.code == CAFE_OK && it.count == 2);
    cluster_finish(c);
    cluster_check(c, true);
    cluster_destroy(c);
  }
}

static void what_cannot_be_is_refused(void **state) {
  (void)state;
  cluster *c = create_world(1, 0);
  cafe_node *node = c->nodes[0].node;
  cafe_err err;
  assert_int_equal(cafe_node_forget_keys(NULL, node, utc_ms(c) + 1, see_forgotten, NULL, &err), CAFE_INVALID);
  assert_int_equal(cafe_node_forget_rows(NULL, node, &cafe_notifications_view, utc_ms(c) + 1, NULL, NULL, &err),
                   CAFE_INVALID);
  assert_int_equal(cafe_node_forget_rows(NULL, node, &cafe_notifications_view, 0, NULL, NULL, &err), CAFE_INVALID);
  assert_int_equal(cafe_node_forget_rows(NULL, node, &cafe_orders_view, 1, NULL, NULL, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "orders"));
  assert_int_equal(cafe_node_forget_rows(NULL, node, &cafe_order_infos_view, 1, NULL, NULL, &err), CAFE_INVALID);
  assert_int_equal(cafe_node_forget_rows(NULL, node, NULL, 1, NULL, NULL, &err), CAFE_INVALID);
  assert_int_equal(cafe_node_backup(NULL, node, "memory.bak", NULL, NULL, &err), CAFE_UNSUPPORTED);
  assert_int_equal(cafe_node_backup(NULL, node, "", NULL, NULL, &err), CAFE_INVALID);
  assert_int_equal(cafe_node_backup(NULL, node, NULL, NULL, NULL, &err), CAFE_INVALID);
  cluster_destroy(c);
}

static void giving_up_is_told_at_once(void **state) {
  (void)state;
  for (unsigned kind = 0; kind < 3; kind++) {
    cluster *c = create_world(1, kind);
    for (int i = 0; i < 5; i++)
      place(c, 0);
    cluster_run(c, 1000);
    forgotten rows = {0}, keys = {0};
    cafe_op *ops[2];
    cafe_node *node = c->nodes[0].node;
    assert_int_equal(
        cafe_node_forget_rows(&ops[0], node, &cafe_notifications_view, utc_ms(c), see_forgotten, &rows, NULL), CAFE_OK);
    assert_int_equal(cafe_node_forget_keys(&ops[1], node, utc_ms(c), see_forgotten, &keys, NULL), CAFE_OK);
    c->forgotten_ms = utc_ms(c);
    cafe_op_cancel(ops[0]);
    cafe_op_cancel(ops[1]);
    assert_int_equal(wait_for(c, &rows).code, CAFE_CANCELED);
    int code = wait_for(c, &keys).code; /* they may be gone by then */
    assert_true(code == CAFE_CANCELED || code == CAFE_OK);
    cluster_finish(c);
    cluster_check(c, true);
    cluster_destroy(c);
  }
}

/* Each call of the store fails, each commit is the last: whoever asked is told, nothing is lost, and the next one does
 * the rest. */
static void forgetting_survives_a_store_that_fails(void **state) {
  (void)state;
  for (int how = 0; how < 3; how++) {
    for (uint64_t n = 1;; n++) {
      cluster *c = create_world(4, n % 2 ? 0 : 2);
      for (int i = 0; i < 6; i++)
        cluster_place(c, 4500, "token", i % 2 ? "a" : "b");
      cluster_run(c, 2000);
      counted before = count_rows(c, utc_ms(c));
      assert_true(before.past > 0);
      cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
      *(how == 0 ? &faults.fail_call : how == 1 ? &faults.die_before_commit : &faults.die_after_commit) = n;
      cluster_set_faults(c, 0, &faults);
      c->forgotten_ms = utc_ms(c);
      forgotten rows = {0}, keys = {0};
      cafe_node *node = c->nodes[0].node;
      assert_int_equal(
          cafe_node_forget_rows(NULL, node, &cafe_notifications_view, c->forgotten_ms, see_forgotten, &rows, NULL),
          CAFE_OK);
      assert_int_equal(cafe_node_forget_keys(NULL, node, c->forgotten_ms, see_forgotten, &keys, NULL), CAFE_OK);
      for (int i = 0; i < 10000 && c->nodes[0].node && !(rows.is_done && keys.is_done); i++)
        cluster_step(c);
      bool was_hit = rows.code || keys.code || !c->nodes[0].node;
      assert_true(was_hit || (rows.is_done && keys.is_done && rows.count == before.past && keys.count == 2));
      cluster_heal(c);
      rows = forget_rows(c, c->forgotten_ms);
      keys = forget_keys(c, c->forgotten_ms);
      assert_true(rows.code == CAFE_OK && keys.code == CAFE_OK);
      assert_int_equal(count_rows(c, c->forgotten_ms).past, 0);
      cluster_finish(c);
      cluster_check(c, true);
      cluster_destroy(c);
      if (!was_hit) {
        assert_true(n > 2);
        break;
      }
    }
  }
}

/* ---- beside rebuilds ---- */

typedef struct rebuilt {
  uint32_t times;
  int code;
  cafe_rebuild_report report;
} rebuilt;

static void see_rebuilt(const cafe_err *err, const cafe_rebuild_report *report, void *user) {
  rebuilt *it = user;
  it->times++;
  it->code = err ? (int)err->code : CAFE_OK;
  if (report)
    it->report = *report;
}

static void begin_rebuild(cluster *c, rebuilt *it, bool verifies) {
  cafe_node *node = c->nodes[0].node;
  memset(it, 0, sizeof *it);
  assert_int_equal(verifies ? cafe_node_verify(NULL, node, &cafe_notifications_view, see_rebuilt, it, NULL)
                            : cafe_node_rebuild(NULL, node, &cafe_notifications_view, see_rebuilt, it, NULL),
                   CAFE_OK);
}

static cafe_rebuild_report rebuild(cluster *c, bool verifies) {
  rebuilt it;
  begin_rebuild(c, &it, verifies);
  for (int i = 0; !it.times; i++) {
    assert_true(i < 100000);
    cluster_step(c);
  }
  assert_int_equal(it.code, CAFE_OK);
  return it.report;
}

static void assert_is_right(cluster *c) {
  cafe_rebuild_report report = rebuild(c, true);
  assert_int_equal(report.differing + report.missing + report.surplus, 0);
  assert_int_equal(report.first_key, 0);
}

/* A row that isn't past, and one that is and was never forgotten, are missed all the same. */
static void remove_row(cluster *c, uint64_t key, uint64_t sub, uint64_t version) {
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_row_write write = {.table = &registry_view(c->nodes[0].node, &cafe_notifications_view)->table,
                          .key = key,
                          .sub = sub,
                          .expected = version};
  cafe_unit unit = {.size = sizeof unit, .key = key, .rows = &write, .row_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_batch batch = {sizeof batch, units, 1, arena};
  assert_int_equal(c->nodes[0].inner->ops->commit(c->nodes[0].inner, &batch, NULL), CAFE_OK);
  assert_int_equal(unit.result, CAFE_UNIT_DONE);
  cafe_arena_destroy(arena);
}

typedef struct young_row {
  int64_t before_ms;
  uint64_t key, sub, version;
} young_row;

static int see_young(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                     void *user) {
  (void)table;
  young_row *it = user;
  if (!forget_covers(&cafe_notifications_view, data, it->before_ms))
    *it = (young_row){it->before_ms, key, sub, version};
  return CAFE_OK;
}

static void remove_a_young_row(cluster *c, int64_t before_ms) {
  young_row it = {.before_ms = before_ms};
  cafe_row_query query = {
      sizeof query, &registry_view(c->nodes[0].node, &cafe_notifications_view)->table, NULL, 0, 0, 0, -1, UINT32_MAX};
  assert_int_equal(c->nodes[0].inner->ops->read_rows(c->nodes[0].inner, &query, see_young, &it, NULL), CAFE_OK);
  assert_true(it.key > 0);
  remove_row(c, it.key, it.sub, it.version);
}

/* Orders with messages of before and of after that time. */
static int64_t place_some(cluster *c, uint64_t keys[ALL_ORDERS]) {
  for (int i = 0; i < ALL_ORDERS; i++)
    keys[i] = place(c, 0);
  cluster_run(c, 1000);
  int64_t before_ms = utc_ms(c);
  cluster_run(c, 1);
  for (int i = 0; i < ALL_ORDERS; i += 2)
    act(c, keys[i], CAFE_TICKET_ACCEPT);
  cluster_run(c, 1000);
  return before_ms;
}

static void what_was_forgotten_isnt_brought_back_and_isnt_missed(void **state) {
  (void)state;
  for (unsigned kind = 0; kind < 3; kind++) {
    uint64_t keys[ALL_ORDERS];
    cluster *c = create_world(3, kind);
    int64_t before_ms = place_some(c, keys);
    counted before = count_rows(c, before_ms);
    rebuild(c, false); /* while nothing is forgotten all comes back */
    assert_int_equal(count_rows(c, before_ms).all, before.all);
    assert_int_equal(forget_rows(c, before_ms).count, before.past);
    assert_is_right(c);
    cafe_rebuild_report report = rebuild(c, false);
    counted after = count_rows(c, before_ms);
    assert_true(after.past == 0 && after.all == before.all - before.past && report.rows == after.all);
    assert_is_right(c);
    remove_a_young_row(c, before_ms);
    assert_int_equal(rebuild(c, true).missing, 1);
    rebuild(c, false);
    assert_int_equal(count_rows(c, before_ms).all, after.all);
    /* An order whose rows are gone goes on, as it is after the rebuild. */
    for (int i = 0; i < ALL_ORDERS; i += 4)
      act(c, keys[i], CAFE_TICKET_START);
    cluster_run(c, 1000);
    assert_is_right(c);
    cluster_kill(c, 0);
    assert_int_equal(cluster_start(c, 0), CAFE_OK);
    rebuild(c, false);
    cluster_finish(c);
    assert_int_equal(count_rows(c, before_ms).past, 0);
    assert_is_right(c);
    cluster_check(c, true);
    cluster_destroy(c);
  }
}

/* At each step, in both orders: nothing that was forgotten is there in the end, and nothing is wrong at any moment. */
static void forgetting_and_rebuilding_meet_at_any_step(void **state) {
  (void)state;
  for (int how = 0; how < 12; how++) {
    bool verifies = how % 2, forgets_first = how / 2 % 2, is_over = false;
    for (int step = 0; !is_over; step++) {
      cluster *c = create_world(2, (unsigned)how / 4);
      uint64_t keys[4];
      rebuilt made;
      forgotten it = {0};
      for (int i = 0; i < 4; i++)
        keys[i] = place(c, 0);
      cluster_run(c, 1000);
      int64_t before_ms = utc_ms(c);
      cluster_run(c, 1);
      act(c, keys[0], CAFE_TICKET_ACCEPT);
      cluster_run(c, 1000);
      c->forgotten_ms = before_ms;
      cafe_node *node = c->nodes[0].node;
      for (int i = 0; i < 2; i++) {
        if (forgets_first == (i == 0))
          assert_int_equal(
              cafe_node_forget_rows(NULL, node, &cafe_notifications_view, before_ms, see_forgotten, &it, NULL),
              CAFE_OK);
        else
          begin_rebuild(c, &made, verifies);
        for (int k = 0; i == 0 && k < step; k++)
          cluster_step(c);
        if (i == 0)
          is_over = forgets_first ? it.is_done : made.times > 0;
      }
      while (!made.times)
        cluster_step(c);
      assert_int_equal(wait_for(c, &it).code, CAFE_OK);
      assert_int_equal(it.count, 4);
      assert_int_equal(made.code, CAFE_OK);
      assert_int_equal(verifies ? made.report.differing + made.report.missing + made.report.surplus : 0, 0);
      assert_int_equal(count_rows(c, before_ms).past, 0);
      assert_is_right(c);
      cluster_finish(c);
      cluster_check(c, true);
      cluster_destroy(c);
    }
  }
}

/* One that waits for a rebuild is given up, or the node ends: whoever asked is told, and no memory is left. */
static void a_forgetting_that_waits_can_be_given_up(void **state) {
  (void)state;
  for (int how = 0; how < 4; how++) {
    cluster *c = create_world(5, 1);
    rebuilt made;
    forgotten it = {0};
    cafe_op *op;
    for (int i = 0; i < 5; i++)
      place(c, 0);
    cluster_run(c, 1000);
    c->forgotten_ms = utc_ms(c);
    begin_rebuild(c, &made, false);
    assert_int_equal(cafe_node_forget_rows(&op, c->nodes[0].node, &cafe_notifications_view, c->forgotten_ms,
                                           see_forgotten, &it, NULL),
                     CAFE_OK);
    if (how == 0)
      cafe_op_cancel(op);
    if (how == 1)
      cluster_stop(c, 0);
    if (how == 2)
      cluster_break(c, 0);
    if (how == 3) /* a drain ends the rebuild, and does what was asked for */
      assert_int_equal(cafe_node_drain(c->nodes[0].node, NULL, NULL, NULL), CAFE_OK);
    for (int i = 0; i < 1000 && !it.is_done; i++)
      cluster_step(c);
    assert_int_equal(it.code, how == 3 ? CAFE_OK : CAFE_CANCELED);
    assert_int_equal(it.count, how == 3 ? 5 : 0);
    cluster_run(c, 1000);
    assert_int_equal(made.code, how ? CAFE_CANCELED : CAFE_OK);
    cluster_kill(c, 0);
    cluster_heal(c);
    cluster_finish(c);
    assert_is_right(c);
    cluster_check(c, true);
    cluster_destroy(c);
  }
}

/* Each allocation is refused. */
static void upkeep_survives_refused_memory(void **state) {
  (void)state;
  for (unsigned what = 0; what < 3; what++) {
    failing_alloc memory;
    failing_alloc_init(&memory);
    cluster_options options = {.seed = 2, .is_sqlite = true, .allocator = &memory.allocator};
    for (size_t n = 1;; n++) {
      cluster *c = cluster_create(&options);
      for (int i = 0; i < 4; i++)
        cluster_place(c, 4500, "token", i ? NULL : "key");
      cluster_run(c, 2000);
      unlink("upkeep.bak");
      c->forgotten_ms = utc_ms(c);
      memory.calls = 0;
      memory.refused = 0;
      memory.fail_at = n;
      forgotten it = {0};
      cafe_node *node = c->nodes[0].node;
      int code = what == 0 ? cafe_node_forget_rows(NULL, node, &cafe_notifications_view, c->forgotten_ms, see_forgotten,
                                                   &it, NULL)
                 : what == 1 ? cafe_node_forget_keys(NULL, node, c->forgotten_ms, see_forgotten, &it, NULL)
                             : cafe_node_backup(NULL, node, "upkeep.bak", NULL, NULL, NULL);
      assert_true(code == CAFE_OK || (code == CAFE_NOMEM && memory.refused));
      cluster_run(c, 5000);
      bool was_refused = memory.refused;
      memory.fail_at = 0;
      assert_true(code || what == 2 || it.is_done);
      assert_true(was_refused || what == 2 || it.code == CAFE_OK);
      cluster_finish(c);
      cluster_check(c, true);
      cluster_destroy(c);
      unlink("upkeep.bak");
      if (!was_refused) {
        assert_true(n > 1 || what); /* what is there already serves for the small ones */
        break;
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sent_messages_are_forgotten_and_their_orders_go_on),
      cmocka_unit_test(forgetting_amid_everything_harms_nothing),
      cmocka_unit_test(keys_answer_until_they_are_forgotten),
      cmocka_unit_test(what_cannot_be_is_refused),
      cmocka_unit_test(giving_up_is_told_at_once),
      cmocka_unit_test(forgetting_survives_a_store_that_fails),
      cmocka_unit_test(what_was_forgotten_isnt_brought_back_and_isnt_missed),
      cmocka_unit_test(forgetting_and_rebuilding_meet_at_any_step),
      cmocka_unit_test(a_forgetting_that_waits_can_be_given_up),
      cmocka_unit_test(upkeep_survives_refused_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
