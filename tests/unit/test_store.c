/* SPDX-License-Identifier: Apache-2.0 */

/* What backends share: a batch that isn't well formed is refused by name, whole; a log id is one that every reader
 * holds. */
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const cafe_table plain = {.name = "plain", .key_name = "id"};
static const cafe_table nested = {.name = "nested", .key_name = "id", .sub_name = "line"};
static const cafe_table anywhere = {.name = "anywhere", .key_name = "id", .flags = CAFE_TABLE_ANYWHERE};

/* A unit of key 5 in which nothing is wrong. */
typedef struct sample {
  cafe_unit unit;
  cafe_stored_event events[4];
  cafe_row_write rows[3];
  cafe_key_write key;
  cafe_checkpoint checkpoints[2];
} sample;

static uint64_t neighbour(uint64_t key, bool of_same_partition) {
  uint64_t next = key + 1;
  while ((cafe_partition(next) == cafe_partition(key)) != of_same_partition) {
    next++;
  }
  return next;
}

static void sample_init(sample *out) {
  static const int row = 1;
  memset(out, 0, sizeof(*out));
  out->events[0] = (cafe_stored_event){.aggregate = "cup", .type = "T", .key = 5, .version = 7};
  out->events[1] = (cafe_stored_event){.aggregate = "pot", .type = "T", .key = 5, .version = 1};
  out->events[2] = (cafe_stored_event){.aggregate = "cup", .type = "T", .key = 5, .version = 8};
  out->events[3] = (cafe_stored_event){.aggregate = "cup", .type = "T", .key = neighbour(5, true), .version = 3};
  out->rows[0] = (cafe_row_write){.table = &plain, .key = 5, .data = &row};
  out->rows[1] = (cafe_row_write){.table = &nested, .key = 5, .sub = 4, .expected = 2};
  out->rows[2] = (cafe_row_write){.table = &nested, .key = neighbour(5, true), .sub = 4, .data = &row};
  out->key = (cafe_key_write){.mode = CAFE_KEY_CLAIM, .key = {"k", 1}};
  out->checkpoints[0] = (cafe_checkpoint){.subscription = "s", .log_id = 1, .partition = -1, .n = 1};
  out->checkpoints[1] = (cafe_checkpoint){.subscription = "s", .log_id = 1, .partition = 63, .expected = 4, .n = 9};
  out->unit = (cafe_unit){.size = sizeof(cafe_unit),
                          .key = 5,
                          .events = out->events,
                          .event_count = 4,
                          .rows = out->rows,
                          .row_count = 3,
                          .client_key = &out->key,
                          .checkpoints = out->checkpoints,
                          .checkpoint_count = 2};
}

static void nothing(sample *s) { (void)s; }
static void no_unit_key(sample *s) { s->unit.key = 0; }
static void large_unit_key(sample *s) { s->unit.key = CAFE_KEY_MAX + 1; }
static void no_aggregate(sample *s) { s->events[1].aggregate = NULL; }
static void no_type(sample *s) { s->events[3].type = NULL; }
static void version_0(sample *s) { s->events[1].version = 0; }
static void version_repeated(sample *s) { s->events[2].version = 7; }
static void version_skipped(sample *s) { s->events[2].version = 9; }
static void version_backwards(sample *s) { s->events[2].version = 6; }
static void event_elsewhere(sample *s) { s->events[3].key = neighbour(5, false); }
static void event_without_key(sample *s) { s->events[0].key = 0; }
static void event_with_a_large_key(sample *s) { s->events[0].key = UINT64_MAX; }
static void no_table(sample *s) { s->rows[0].table = NULL; }
static void row_elsewhere(sample *s) { s->rows[2].key = neighbour(5, false); }
static void row_anywhere(sample *s) {
  row_elsewhere(s);
  s->rows[2].table = &anywhere;
  s->rows[2].sub = 0;
}
static void row_nowhere(sample *s) {
  row_anywhere(s);
  s->rows[2].key = CAFE_KEY_MAX + 1;
}
static void removal_of_nothing(sample *s) { s->rows[1].expected = 0; }
static void sub_without_name(sample *s) { s->rows[0].sub = 1; }
static void empty_client_key(sample *s) { s->key.key.size = 0; }
static void no_mode(sample *s) { s->key.mode = (cafe_key_mode)0; }
static void no_subscription(sample *s) { s->checkpoints[1].subscription = NULL; }
static void partition_64(sample *s) { s->checkpoints[1].partition = 64; }
static void partition_minus_2(sample *s) { s->checkpoints[0].partition = -2; }
static void position_0(sample *s) { s->checkpoints[0].n = 0; }

static const struct {
  void (*spoil)(sample *s);
  const char *says;
} cases[] = {
    {nothing, NULL},
    {no_unit_key, "key is out of range"},
    {large_unit_key, "key is out of range"},
    {no_aggregate, "lacks its aggregate"},
    {no_type, "lacks its aggregate, type"},
    {version_0, "version"},
    {version_repeated, "don't follow"},
    {version_skipped, "don't follow"},
    {version_backwards, "don't follow"},
    {event_elsewhere, "another partition"},
    {event_without_key, "out of range"},
    {event_with_a_large_key, "out of range"},
    {no_table, "lacks its table"},
    {row_elsewhere, "another partition"},
    {row_anywhere, NULL},
    {row_nowhere, "out of range"},
    {removal_of_nothing, "to be removed"},
    {sub_without_name, "second key"},
    {empty_client_key, "client key"},
    {no_mode, "client key"},
    {no_subscription, "checkpoint"},
    {partition_64, "checkpoint"},
    {partition_minus_2, "checkpoint"},
    {position_0, "checkpoint"},
};

static void a_unit_that_is_not_well_formed_is_refused_by_name(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    sample good, bad;
    sample_init(&good);
    sample_init(&bad);
    cases[i].spoil(&bad);
    cafe_unit *units[] = {&good.unit, &bad.unit};
    cafe_batch batch = {sizeof(batch), units, 2, NULL};
    cafe_err err;
    cafe_err_clear(&err);
    int code = store_batch_check(&batch, &err);
    assert_int_equal(code, cases[i].says ? CAFE_INVALID : CAFE_OK);
    assert_int_equal(err.code, code);
    if (cases[i].says) {
      assert_non_null(strstr(err.text, cases[i].says));
      assert_non_null(strstr(err.text, "Unit 1 "));
    }
  }
}

static void a_log_id_is_random_and_fits_every_reader(void **state) {
  (void)state;
  uint64_t seen[64], bits = 0;
  for (unsigned i = 0; i < 64; i++) {
    assert_int_equal(store_random_id(&seen[i], NULL), CAFE_OK);
    assert_in_range(seen[i], 1, CAFE_KEY_MAX);
    bits |= seen[i];
    for (unsigned k = 0; k < i; k++) {
      assert_true(seen[k] != seen[i]);
    }
  }
  /* All 53 bits are used: that one of them is 0 in 64 ids has a chance of 3 in 10^18. */
  assert_true(bits == CAFE_KEY_MAX);
}

static void destroying_no_store_is_nothing(void **state) {
  (void)state;
  cafe_store_destroy(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_unit_that_is_not_well_formed_is_refused_by_name),
      cmocka_unit_test(a_log_id_is_random_and_fits_every_reader),
      cmocka_unit_test(destroying_no_store_is_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
