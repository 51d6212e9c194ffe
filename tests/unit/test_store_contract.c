/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The contract suite itself: a store that lies in one small way is found out, each by the check that is meant for it;
 * one that doesn't lie passes.
 */
#include "cafe/testing/store_contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/store/memory.h"

typedef enum lie {
  NO_LIE,
  SKIPS_AN_EVENT,
  GIVES_ONE_OVER_THE_LIMIT,
  SAYS_SCANNED_TOO_FAR,
  HEAD_IS_ONE_BEHIND,
  READS_BEYOND_THE_HEAD,
  LOADS_ROWS_FIRST,
  CONFLICTS_ARE_DONE,
  CONFLICT_STOPS_THE_BATCH,
  ANOTHER_CONFLICT,
  REPLIES_GET_LOST,
  FINGERPRINTS_DO_NOT_COUNT,
  KEYS_END_AT_NUL,
  EQUALITY_IS_AT_MOST,
  SECOND_KEY_DOES_NOT_COUNT,
  WATERMARKS_GET_LOST,
  CHECKPOINTS_SEE_NOTHING_OF_THEIR_BATCH,
  ONE_CHECKPOINT_OF_A_BATCH_COUNTS,
  NEW_LOG_ID_AT_EACH_START,
  MORE_SHARDS_AT_EACH_START,
  SINKS_ARE_NOT_HEARD,
  VERSIONS_START_AT_TWO,
  FAILURES_SAY_NOTHING,
  TIMES_IN_SECONDS,
  META_IS_LOST,
  YOUNG_KEYS_ARE_FORGOTTEN,
  OLD_KEYS_STAY,
  LIES
} lie;

/* The check that has to find it; any other may, too. */
static const char *const finders[LIES] = {
    [SKIPS_AN_EVENT] = "the_log_is_read_in_pieces_of_any_size",
    [GIVES_ONE_OVER_THE_LIMIT] = "the_log_is_read_in_pieces_of_any_size",
    [SAYS_SCANNED_TOO_FAR] = "scanned_never_passes_an_event_that_was_kept_back",
    [HEAD_IS_ONE_BEHIND] = "no_order_of_two_writers_and_a_reader_skips_an_event",
    [READS_BEYOND_THE_HEAD] = "beyond_the_head_is_refused",
    [LOADS_ROWS_FIRST] = "a_unit_is_read_back_whole",
    [CONFLICTS_ARE_DONE] = "a_conflict_writes_nothing_of_its_unit",
    [CONFLICT_STOPS_THE_BATCH] = "a_conflict_touches_no_other_unit_of_its_batch",
    [ANOTHER_CONFLICT] = "a_conflict_writes_nothing_of_its_unit",
    [REPLIES_GET_LOST] = "a_reply_is_kept_with_its_key",
    [FINGERPRINTS_DO_NOT_COUNT] = "a_key_is_claimed_once",
    [KEYS_END_AT_NUL] = "keys_are_compared_byte_by_byte",
    [EQUALITY_IS_AT_MOST] = "rows_are_filtered_by_each_column",
    [SECOND_KEY_DOES_NOT_COUNT] = "rows_are_listed_in_pages_of_any_size",
    [WATERMARKS_GET_LOST] = "checkpoints_are_kept_apart",
    [CHECKPOINTS_SEE_NOTHING_OF_THEIR_BATCH] = "checkpoints_of_a_batch_are_a_chain",
    [ONE_CHECKPOINT_OF_A_BATCH_COUNTS] = "checkpoints_of_a_batch_are_a_chain",
    [NEW_LOG_ID_AT_EACH_START] = "the_log_id_is_of_the_store_and_stays",
    [MORE_SHARDS_AT_EACH_START] = "a_store_keeps_the_numbers_that_it_was_made_with",
    [SINKS_ARE_NOT_HEARD] = "a_sink_ends_its_read",
    [VERSIONS_START_AT_TWO] = "row_versions_count_each_write_and_begin_anew",
    [FAILURES_SAY_NOTHING] = "beyond_the_head_is_refused",
    [TIMES_IN_SECONDS] = "a_unit_is_read_back_whole",
    [META_IS_LOST] = "a_unit_is_read_back_whole",
    [YOUNG_KEYS_ARE_FORGOTTEN] = "old_keys_are_forgotten_and_young_ones_stay",
    [OLD_KEYS_STAY] = "old_keys_are_forgotten_and_young_ones_stay",
};

typedef struct liar {
  cafe_store base;
  cafe_store *inner;
  lie lie;
  uint64_t starts;
} liar;

static liar *self_of(cafe_store *store) { return (liar *)store; }

static int open_store(cafe_store *store, cafe_store_info *out, const cafe_store_setup *setup, cafe_err *err) {
  liar *self = self_of(store);
  int code = self->inner->ops->open(self->inner, out, setup, err);
  out->log_id += self->lie == NEW_LOG_ID_AT_EACH_START ? self->starts++ : 0;
  out->shards += self->lie == MORE_SHARDS_AT_EACH_START ? (uint32_t)self->starts++ : 0;
  return code;
}

/* sign 1: as the lie has it; -1: as they were. */
static void bend_checkpoints(const liar *self, cafe_batch *batch, int sign) {
  bool is_first = true;
  for (uint32_t i = 0; i < batch->unit_count; i++) {
    cafe_unit *unit = batch->units[i];
    if (!unit->checkpoints || unit->checkpoints[0].partition < 0) {
      continue;
    }
    if (!is_first && self->lie == CHECKPOINTS_SEE_NOTHING_OF_THEIR_BATCH) {
      ((cafe_checkpoint *)unit->checkpoints)->expected += (uint64_t)sign;
    } else if (!is_first && self->lie == ONE_CHECKPOINT_OF_A_BATCH_COUNTS) {
      unit->checkpoint_count -= (uint32_t)sign;
    }
    is_first = false;
  }
}

static int commit(cafe_store *store, cafe_batch *batch, cafe_err *err) {
  liar *self = self_of(store);
  cafe_slice keys[1024];
  bend_checkpoints(self, batch, 1);
  for (uint32_t i = 0; i < batch->unit_count; i++) {
    cafe_key_write *key = (cafe_key_write *)batch->units[i]->client_key;
    if (key && self->lie == KEYS_END_AT_NUL) {
      keys[i] = key->key;
      const char *end = memchr(key->key.data, 0, key->key.size);
      key->key.size = end && end > key->key.data ? (size_t)(end - key->key.data) : key->key.size;
    }
  }
  int code = self->inner->ops->commit(self->inner, batch, err);
  bend_checkpoints(self, batch, -1);
  bool conflicts = false;
  for (uint32_t i = 0; i < batch->unit_count; i++) {
    cafe_unit *unit = batch->units[i];
    if (unit->client_key && self->lie == KEYS_END_AT_NUL) {
      ((cafe_key_write *)unit->client_key)->key = keys[i];
    }
    if (conflicts && self->lie == CONFLICT_STOPS_THE_BATCH) {
      unit->result = CAFE_UNIT_STREAM_CONFLICT;
    }
    conflicts = conflicts || unit->result > CAFE_UNIT_DONE;
    if (unit->result > CAFE_UNIT_DONE && self->lie == CONFLICTS_ARE_DONE) {
      unit->result = CAFE_UNIT_DONE;
    }
    if (unit->result == CAFE_UNIT_ROW_CONFLICT && self->lie == ANOTHER_CONFLICT) {
      unit->result = CAFE_UNIT_STREAM_CONFLICT;
    }
  }
  return code;
}

/* Stands between the store and a reader's sinks. */
typedef struct between {
  const liar *self;
  cafe_event_sink on_event;
  cafe_row_sink on_row;
  cafe_checkpoint_sink on_checkpoint;
  void *user;
} between;

static int heard(const between *to, int code) { return to->self->lie == SINKS_ARE_NOT_HEARD ? CAFE_OK : code; }

static int pass_event(const cafe_stored_event *event, void *user) {
  const between *to = user;
  if (to->self->lie == SKIPS_AN_EVENT && event->n == 5) {
    return CAFE_OK;
  }
  cafe_stored_event passed = *event;
  if (to->self->lie == TIMES_IN_SECONDS) {
    passed.time_ms /= 1000;
  }
  if (to->self->lie == META_IS_LOST) {
    passed.meta.size = 0;
  }
  return heard(to, to->on_event(&passed, to->user));
}

static int pass_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                    void *user) {
  const between *to = user;
  version += to->self->lie == VERSIONS_START_AT_TWO;
  return heard(to, to->on_row(table, key, sub, version, data, to->user));
}

static int pass_checkpoint(const cafe_checkpoint *checkpoint, void *user) {
  const between *to = user;
  if (to->self->lie == WATERMARKS_GET_LOST && checkpoint->partition == -1) {
    return CAFE_OK;
  }
  return heard(to, to->on_checkpoint(checkpoint, to->user));
}

static int no_event(const cafe_stored_event *event, void *user) {
  (void)user, (void)event;
  return CAFE_OK;
}

static int no_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data, void *user) {
  (void)user, (void)table, (void)key, (void)sub, (void)version, (void)data;
  return CAFE_OK;
}

static int load(cafe_store *store, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row, void *user,
                cafe_err *err) {
  liar *self = self_of(store);
  between to = {self, on_event, on_row, NULL, user};
  const cafe_store_ops *ops = self->inner->ops;
  if (self->lie == LOADS_ROWS_FIRST) {
    int code = ops->load(self->inner, key, no_event, pass_row, &to, err);
    return code ? code : ops->load(self->inner, key, pass_event, no_row, &to, err);
  }
  return ops->load(self->inner, key, pass_event, pass_row, &to, err);
}

static int read_log(cafe_store *store, cafe_log_query *query, cafe_event_sink on_event, void *user, cafe_err *err) {
  liar *self = self_of(store);
  between to = {self, on_event, NULL, NULL, user};
  query->limit += self->lie == GIVES_ONE_OVER_THE_LIMIT;
  int code = self->inner->ops->read_log(self->inner, query, pass_event, &to, err);
  query->limit -= self->lie == GIVES_ONE_OVER_THE_LIMIT;
  if (code == CAFE_INVALID && self->lie == READS_BEYOND_THE_HEAD) {
    query->scanned = query->head = query->after;
    return CAFE_OK;
  }
  if (code && self->lie == FAILURES_SAY_NOTHING) {
    cafe_err_clear(err);
  }
  if (self->lie == SAYS_SCANNED_TOO_FAR) {
    query->scanned = query->head;
  }
  if (self->lie == HEAD_IS_ONE_BEHIND && query->head > query->scanned) {
    query->head--;
  }
  return code;
}

static int read_rows(cafe_store *store, const cafe_row_query *query, cafe_row_sink on_row, void *user, cafe_err *err) {
  liar *self = self_of(store);
  between to = {self, NULL, on_row, NULL, user};
  cafe_row_query other = *query;
  cafe_condition conditions[8];
  for (uint32_t i = 0; i < query->condition_count && self->lie == EQUALITY_IS_AT_MOST; i++) {
    conditions[i] = query->conditions[i];
    conditions[i].at_most = true;
    other.conditions = conditions;
  }
  if (self->lie == SECOND_KEY_DOES_NOT_COUNT) {
    other.after_sub = 0;
  }
  return self->inner->ops->read_rows(self->inner, &other, pass_row, &to, err);
}

static int read_key(cafe_store *store, cafe_key_record *out, cafe_slice scope, cafe_slice key, cafe_slice fingerprint,
                    cafe_arena *arena, cafe_err *err) {
  liar *self = self_of(store);
  int code = self->inner->ops->read_key(self->inner, out, scope, key, fingerprint, arena, err);
  if (self->lie == REPLIES_GET_LOST) {
    out->reply.size = 0;
  }
  if (self->lie == FINGERPRINTS_DO_NOT_COUNT) {
    out->same_request = false;
  }
  return code;
}

static int read_checkpoints(cafe_store *store, const char *subscription, cafe_checkpoint_sink on_checkpoint, void *user,
                            cafe_err *err) {
  liar *self = self_of(store);
  between to = {self, NULL, NULL, on_checkpoint, user};
  return self->inner->ops->read_checkpoints(self->inner, subscription, pass_checkpoint, &to, err);
}

static int forget_keys(cafe_store *store, cafe_forget *forget, cafe_err *err) {
  liar *self = self_of(store);
  cafe_forget other = *forget;
  other.before_ms += self->lie == YOUNG_KEYS_ARE_FORGOTTEN ? 1 : self->lie == OLD_KEYS_STAY ? -1 : 0;
  int code = self->inner->ops->forget_keys(self->inner, &other, err);
  other.before_ms = forget->before_ms;
  *forget = other;
  return code;
}

static void destroy(cafe_store *store) {
  liar *self = self_of(store);
  cafe_store_destroy(self->inner);
  self->inner = NULL;
}

static const cafe_store_ops ops = {
    .size = sizeof(cafe_store_ops),
    .name = "liar",
    .is_inline = true,
    .open = open_store,
    .commit = commit,
    .load = load,
    .read_log = read_log,
    .read_rows = read_rows,
    .read_key = read_key,
    .read_checkpoints = read_checkpoints,
    .destroy = destroy,
    .forget_keys = forget_keys,
};

static int create(cafe_store **out, const cafe_allocator *allocator, void *user, cafe_err *err) {
  liar *self = user;
  (void)allocator;
  self->base.ops = &ops;
  int code = cafe_memory_create(&self->inner, NULL, err);
  *out = code ? NULL : &self->base;
  return code;
}

static int restart(cafe_store **store, cafe_store_ending ending, uint64_t seed, const cafe_allocator *allocator,
                   void *user, cafe_err *err) {
  (void)user, (void)store, (void)ending, (void)seed, (void)allocator, (void)err;
  return CAFE_OK;
}

static cafe_store_contract contract_of(liar *self) {
  cafe_store_contract contract = CAFE_STORE_CONTRACT_INIT;
  contract.name = "liar";
  contract.is_inline = true;
  contract.user = self;
  contract.create = create;
  contract.restart = restart;
  return contract;
}

typedef struct findings {
  const char *finder;
  bool is_found;
  uint32_t passed;
  uint32_t failed;
} findings;

static void note(const char *check, const char *why, void *user) {
  findings *found = user;
  found->passed += why == NULL;
  found->failed += why != NULL;
  if (why) {
    assert_true(strlen(why) > 0);
    found->is_found = found->is_found || (found->finder && strcmp(check, found->finder) == 0);
  }
}

static void a_store_that_does_not_lie_passes_every_check(void **state) {
  (void)state;
  liar self = {.lie = NO_LIE};
  cafe_store_contract contract = contract_of(&self);
  findings found = {0};
  assert_int_equal(cafe_store_contract_run(&contract, note, &found), 0);
  assert_int_equal(found.failed, 0);
  assert_int_equal(found.passed, cafe_store_contract_count(&contract));
  assert_true(found.passed > 40);
}

static void every_lie_is_found_by_its_check(void **state) {
  (void)state;
  for (int number = NO_LIE + 1; number < LIES; number++) {
    liar self = {.lie = number};
    cafe_store_contract contract = contract_of(&self);
    findings found = {.finder = finders[number]};
    uint32_t failed = cafe_store_contract_run(&contract, note, &found);
    if (!found.is_found) {
      fail_msg("%s didn't find lie %d", finders[number], number);
    }
    assert_int_equal(failed, found.failed);
  }
}

static void a_contract_that_lacks_something_has_no_checks(void **state) {
  (void)state;
  liar self = {.lie = NO_LIE};
  for (unsigned i = 0; i < 8; i++) {
    cafe_store_contract contract = contract_of(&self);
    contract.size = i == 7 ? offsetof(cafe_store_contract, query) : contract.size;
    contract.name = i == 0 ? NULL : contract.name;
    contract.create = i == 1 ? NULL : contract.create;
    contract.restart = i == 2 ? NULL : contract.restart;
    static const unsigned tiers[] = {CAFE_STORE_CORE,
                                     CAFE_STORE_CORE,
                                     CAFE_STORE_CORE,
                                     CAFE_STORE_CORE | CAFE_STORE_DURABLE,
                                     CAFE_STORE_CORE | CAFE_STORE_INSPECTABLE,
                                     CAFE_STORE_CORE | CAFE_STORE_SHARED,
                                     CAFE_STORE_CORE | CAFE_STORE_BACKED_UP,
                                     CAFE_STORE_CORE};
    contract.tiers = tiers[i];
    findings found = {0};
    assert_int_equal(cafe_store_contract_count(&contract), 0);
    assert_null(cafe_store_contract_name(&contract, 0));
    assert_int_equal(cafe_store_contract_run(&contract, note, &found), 1);
    assert_int_equal(found.passed + found.failed, 0);
  }
}

static void checks_have_names_of_their_own_up_to_the_last(void **state) {
  (void)state;
  liar self = {.lie = NO_LIE};
  cafe_store_contract contract = contract_of(&self);
  uint32_t count = cafe_store_contract_count(&contract);
  for (uint32_t i = 0; i < count; i++) {
    for (uint32_t k = 0; k < i; k++) {
      assert_string_not_equal(cafe_store_contract_name(&contract, i), cafe_store_contract_name(&contract, k));
    }
  }
  char why[CAFE_STORE_WHY_MAX];
  assert_null(cafe_store_contract_name(&contract, count));
  assert_false(cafe_store_contract_check(why, &contract, count));
  assert_true(strlen(why) > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_store_that_does_not_lie_passes_every_check),
      cmocka_unit_test(every_lie_is_found_by_its_check),
      cmocka_unit_test(a_contract_that_lacks_something_has_no_checks),
      cmocka_unit_test(checks_have_names_of_their_own_up_to_the_last),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
