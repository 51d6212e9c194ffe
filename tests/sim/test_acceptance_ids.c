/* SPDX-License-Identifier: Apache-2.0 */

/* Ids beyond all small integers. */
#include "acceptance_kit.h"
#include "cafe/sys/store.h"
#include "engine/node.h"

/* ---- X14 ---- */

static void set_next_id(cluster *c, uint64_t next) {
  cafe_store *inner = c->nodes[0].inner;
  cafe_arena *arena = cafe_arena_create(NULL);
  assert_non_null(arena);
  id_row data = {(int64_t)next};
  cafe_row_write row = {.table = &engine_tables[TABLE_IDS], .key = 1, .data = &data};
  cafe_unit unit = {.size = sizeof unit, .key = 1, .rows = &row, .row_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_batch batch = {sizeof batch, units, 1, arena};
  assert_int_equal(inner->ops->commit(inner, &batch, NULL), CAFE_OK);
  assert_int_equal(unit.result, CAFE_UNIT_DONE);
  cafe_arena_destroy(arena);
}

static cluster *create_at(uint64_t next, bool is_split) {
  cluster_options options = {.seed = next, .is_split = is_split, .id_block = 3};
  cluster *c = cluster_create(&options);
  cluster_stop(c, CLUSTER_APP);
  set_next_id(c, next);
  assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
  return c;
}

static void live_from(uint64_t next, bool is_split) {
  cluster *c = create_at(next, is_split);
  for (uint64_t i = 0; i < 6; i++) {
    uint64_t key = place(c, 0);
    assert_true(key == next + i);
    if (i % 2)
      cluster_cancel(c, key);
    if (i == 3) {
      cluster_kill(c, CLUSTER_APP);
      assert_int_equal(cluster_start(c, CLUSTER_APP), CAFE_OK);
      next += 2; /* what is left of the block in hand is lost: 3, 4, 5 of it were begun by key 3 */
    }
  }
  cluster_finish(c);
  cluster_check(c, true);
  cluster_destroy(c);
}

/* X14: ids past 127 and 2^31, up to 2^53 - 1: all go on working. */
static void x14_orders_past_127_and_2_to_the_31st_live_like_all_others(void **state) {
  (void)state;
  static const uint64_t from[] = {
      1, 125, 253, 32765, 65533, (UINT64_C(1) << 31) - 3, (UINT64_C(1) << 32) - 3, UINT64_C(1) << 52};
  for (size_t i = 0; i < sizeof from / sizeof from[0]; i++) {
    live_from(from[i], true);
    live_from(from[i], false);
  }
}

/* X14: beyond 2^53 - 1: a clear refusal. */
static void x14_the_last_id_is_2_to_the_53rd_less_1_and_beyond_is_a_clear_refusal(void **state) {
  (void)state;
  cluster *c = create_at(CAFE_KEY_MAX - 1, true);
  uint64_t before = place(c, 0), last = place(c, 0);
  assert_true(before == CAFE_KEY_MAX - 1 && last == CAFE_KEY_MAX);
  for (int i = 0; i < 3; i++) {
    cluster_call *beyond = cluster_place(c, 4500, "token", NULL);
    cluster_wait(c, beyond);
    assert_int_equal(beyond->code, CAFE_UNSUPPORTED);
    assert_non_null(strstr(beyond->reason, "no keys are left"));
  }
  cluster_cancel(c, last);
  cluster_finish(c);
  cluster_check(c, true);
  assert_int_equal(status_of(c, last), CAFE_ORDER_CANCELED);
  cluster_destroy(c);
}

/* X14: a key beyond, as somebody outside might name it: refused before anything is done. */
static void x14_a_command_for_an_id_beyond_is_refused_clearly(void **state) {
  (void)state;
  cluster *c = create(14, true);
  static const uint64_t beyond[] = {CAFE_KEY_MAX + 1, UINT64_C(1) << 63, UINT64_MAX};
  cafe_request_cancel cancel = {.by = CAFE_CANCEL_BY_CUSTOMER};
  for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
    cafe_submit submit = {sizeof submit, .command = &cafe_request_cancel_type, .key = beyond[i], .data = &cancel,
                          .data_size = sizeof cancel};
    cafe_err err;
    int code = cafe_node_submit(NULL, cluster_node_of(c, CLUSTER_APP)->node, &submit, NULL, NULL, &err);
    assert_int_equal(code, CAFE_INVALID);
    assert_non_null(strstr(err.text, "2^53 - 1"));
  }
  cluster_rest(c);
  assert_int_equal(map_count(c->orders), 0);
  cluster_destroy(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(x14_orders_past_127_and_2_to_the_31st_live_like_all_others),
      cmocka_unit_test(x14_a_command_for_an_id_beyond_is_refused_clearly),
      cmocka_unit_test(x14_the_last_id_is_2_to_the_53rd_less_1_and_beyond_is_a_clear_refusal),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
