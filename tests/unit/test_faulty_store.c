/* SPDX-License-Identifier: Apache-2.0 */

/* The store that fails on demand: what it fails, what it lets through, and what a new process finds after its death. */
#include "cafe/testing/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/store/memory.h"
#include "failing_alloc.h"
#include "contract_suite.h"

static const cafe_store_setup setup = {sizeof(setup), "test", NULL};

typedef struct fixture {
  cafe_store *inner;
  cafe_store *store;
  cafe_arena *arena;
  cafe_store_info info;
  uint64_t version; /* of the one stream, as the store inside has it */
  cafe_err err;
} fixture;

static int set_up(void **state) {
  static fixture self;
  memset(&self, 0, sizeof(self));
  assert_int_equal(cafe_memory_create(&self.inner, NULL, &self.err), CAFE_OK);
  assert_int_equal(cafe_faulty_store_create(&self.store, self.inner, NULL, &self.err), CAFE_OK);
  self.arena = cafe_arena_create(NULL);
  assert_non_null(self.arena);
  self.info.size = sizeof(self.info);
  assert_int_equal(self.store->ops->open(self.store, &self.info, &setup, &self.err), CAFE_OK);
  *state = &self;
  return 0;
}

static int tear_down(void **state) {
  fixture *self = *state;
  cafe_store_destroy(self->store);
  cafe_store_destroy(self->inner);
  cafe_arena_destroy(self->arena);
  return 0;
}

static int commit(fixture *self, cafe_unit_result *result, uint64_t version) {
  cafe_stored_event event = {.aggregate = "cup", .type = "Filled", .key = 1, .version = version};
  cafe_unit unit = {.size = sizeof(unit), .key = 1, .events = &event, .event_count = 1};
  cafe_unit *units[] = {&unit};
  cafe_batch batch = {sizeof(batch), units, 1, self->arena};
  cafe_err_clear(&self->err);
  int code = self->store->ops->commit(self->store, &batch, &self->err);
  *result = unit.result;
  assert_int_equal(self->err.code, code);
  return code;
}

static int count_event(const cafe_stored_event *event, void *user) {
  (void)event;
  ++*(uint64_t *)user;
  return CAFE_OK;
}

static int no_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data, void *user) {
  (void)user, (void)table, (void)key, (void)sub, (void)version, (void)data;
  return CAFE_OK;
}

static int no_checkpoint(const cafe_checkpoint *checkpoint, void *user) {
  (void)user, (void)checkpoint;
  return CAFE_OK;
}

static uint64_t stored(cafe_store *store) {
  uint64_t count = 0;
  assert_int_equal(store->ops->load(store, 1, count_event, no_row, &count, NULL), CAFE_OK);
  return count;
}

static void expect_counts(fixture *self, uint64_t calls, uint64_t commits, uint64_t faults, bool is_dead) {
  cafe_store_counts counts = {.size = sizeof(counts)};
  cafe_faulty_store_count(self->store, &counts);
  assert_int_equal(counts.calls, calls);
  assert_int_equal(counts.commits, commits);
  assert_int_equal(counts.faults, faults);
  assert_int_equal(counts.is_dead, is_dead);
}

/* Every method but commit and destroy, each once: all have to return `wanted`. */
static void call_each(fixture *self, int wanted) {
  const cafe_store_ops *ops = self->store->ops;
  cafe_log_query log = {sizeof(log), 0, 0, 10, NULL, 0, 0};
  cafe_key_record record;
  uint64_t count = 0;
  assert_int_equal(ops->open(self->store, &self->info, &setup, &self->err), wanted);
  assert_int_equal(ops->load(self->store, 1, count_event, no_row, &count, &self->err), wanted);
  assert_int_equal(ops->read_log(self->store, &log, count_event, &count, &self->err), wanted);
  assert_int_equal(
      ops->read_key(self->store, &record, cafe_text("s"), cafe_text("k"), cafe_text("p"), self->arena, &self->err),
      wanted);
  assert_int_equal(ops->read_checkpoints(self->store, "s", no_checkpoint, NULL, &self->err), wanted);
  if (wanted) {
    cafe_row_query rows = {.size = sizeof(rows), .order_by = -1, .limit = 1};
    assert_int_equal(ops->read_rows(self->store, &rows, no_row, NULL, &self->err), wanted);
  }
}

static void a_call_that_fails_is_not_done_and_the_next_one_is(void **state) {
  fixture *self = *state;
  cafe_unit_result result;
  for (uint64_t n = 1; n <= 5; n++) {
    cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
    faults.fail_call = n;
    faults.fail_code = n % 2 ? CAFE_NOMEM : 0;
    cafe_faulty_store_set(self->store, &faults);
    for (uint64_t call = 1; call <= 5; call++) {
      int code = commit(self, &result, self->version + 1);
      if (call == n) {
        assert_int_equal(code, n % 2 ? CAFE_NOMEM : CAFE_UNAVAILABLE);
        assert_int_equal(result, CAFE_UNIT_OPEN);
      } else {
        assert_int_equal(code, CAFE_OK);
        assert_int_equal(result, CAFE_UNIT_DONE);
        self->version++;
      }
      assert_int_equal(stored(self->inner), self->version);
    }
    expect_counts(self, 5, 5, 1, false);
  }
}

static void each_method_fails_at_its_turn(void **state) {
  fixture *self = *state;
  cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
  faults.fail_call = 1;
  faults.fail_calls = 6;
  faults.fail_code = CAFE_CORRUPT;
  cafe_faulty_store_set(self->store, &faults);
  call_each(self, CAFE_CORRUPT);
  expect_counts(self, 6, 0, 6, false);
  call_each(self, CAFE_OK);
  expect_counts(self, 11, 0, 6, false);
}

static void a_store_that_dies_before_commit_n_has_the_commits_before(void **state) {
  fixture *self = *state;
  cafe_unit_result result;
  for (uint64_t n = 1; n <= 4; n++) {
    cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
    faults.die_before_commit = n;
    cafe_faulty_store_set(self->store, &faults);
    for (uint64_t number = 1; number < n; number++) {
      assert_int_equal(commit(self, &result, ++self->version), CAFE_OK);
    }
    assert_int_equal(commit(self, &result, self->version + 1), CAFE_UNAVAILABLE);
    assert_int_equal(stored(self->inner), self->version);
    call_each(self, CAFE_UNAVAILABLE);
    expect_counts(self, n + 6, n, 1, true);
    cafe_faulty_store_revive(self->store);
    call_each(self, CAFE_OK);
  }
}

static void a_store_that_dies_after_commit_n_has_it_and_tells_nobody(void **state) {
  fixture *self = *state;
  cafe_unit_result result;
  for (uint64_t n = 1; n <= 4; n++) {
    cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
    faults.die_after_commit = n;
    cafe_faulty_store_set(self->store, &faults);
    for (uint64_t number = 1; number < n; number++) {
      assert_int_equal(commit(self, &result, ++self->version), CAFE_OK);
    }
    assert_int_equal(commit(self, &result, ++self->version), CAFE_UNAVAILABLE);
    assert_int_equal(result, CAFE_UNIT_OPEN);
    assert_int_equal(stored(self->inner), self->version);
    call_each(self, CAFE_UNAVAILABLE);
    assert_int_equal(commit(self, &result, self->version + 1), CAFE_UNAVAILABLE);
    assert_int_equal(stored(self->inner), self->version);
    expect_counts(self, n + 7, n + 1, 1, true);
    cafe_faulty_store_revive(self->store);
    call_each(self, CAFE_OK);
    assert_int_equal(stored(self->store), self->version);
  }
}

static void new_faults_leave_a_dead_store_dead(void **state) {
  fixture *self = *state;
  cafe_unit_result result;
  cafe_faulty_store_kill(self->store);
  cafe_faulty_store_set(self->store, NULL);
  assert_int_equal(commit(self, &result, 1), CAFE_UNAVAILABLE);
  expect_counts(self, 1, 1, 0, true);
  cafe_faulty_store_revive(self->store);
  assert_int_equal(commit(self, &result, 1), CAFE_OK);
  expect_counts(self, 2, 2, 0, false);
}

static int kill_store(const cafe_stored_event *event, void *user) {
  (void)event;
  cafe_faulty_store_kill(user);
  return CAFE_OK;
}

static void a_call_under_way_when_the_store_dies_fails_too(void **state) {
  fixture *self = *state;
  cafe_unit_result result;
  assert_int_equal(commit(self, &result, 1), CAFE_OK);
  assert_int_equal(self->store->ops->load(self->store, 1, kill_store, no_row, self->store, &self->err),
                   CAFE_UNAVAILABLE);
  assert_int_equal(self->err.code, CAFE_UNAVAILABLE);
}

static void the_store_inside_outlives_it_and_keeps_its_log(void **state) {
  fixture *self = *state;
  cafe_unit_result result;
  uint64_t log_id = self->info.log_id;
  assert_int_equal(commit(self, &result, 1), CAFE_OK);
  cafe_store_destroy(self->store);
  assert_int_equal(cafe_faulty_store_create(&self->store, self->inner, NULL, &self->err), CAFE_OK);
  assert_int_equal(self->store->ops->open(self->store, &self->info, &setup, &self->err), CAFE_OK);
  assert_int_equal(self->info.log_id, log_id);
  assert_int_equal(stored(self->store), 1);
}

static void making_one_survives_refused_memory(void **state) {
  fixture *self = *state;
  failing_alloc memory;
  failing_alloc_init(&memory);
  for (size_t n = 1; failing_alloc_begin(&memory, n); n++) {
    cafe_store *store = NULL;
    int code = cafe_faulty_store_create(&store, self->inner, &memory.allocator, &self->err);
    assert_int_equal(code, memory.refused ? CAFE_NOMEM : CAFE_OK);
    cafe_store_destroy(store);
    failing_alloc_end(&memory);
  }
}

/* Without faults it is a store like the one inside: the whole contract holds. */
typedef struct backend {
  cafe_store *inner;
  bool is_threaded;
} backend;

static int create(cafe_store **out, const cafe_allocator *allocator, void *user, cafe_err *err) {
  backend *self = user;
  cafe_memory_options options = CAFE_MEMORY_OPTIONS_INIT;
  options.is_threaded = self->is_threaded;
  cafe_store_destroy(self->inner);
  self->inner = NULL;
  int code = cafe_memory_create(&self->inner, &options, err);
  return code ? code : cafe_faulty_store_create(out, self->inner, allocator, err);
}

static int restart(cafe_store **store, cafe_store_ending ending, uint64_t seed, const cafe_allocator *allocator,
                   void *user, cafe_err *err) {
  backend *self = user;
  (void)ending, (void)seed;
  cafe_store_destroy(*store);
  *store = NULL;
  return cafe_faulty_store_create(store, self->inner, allocator, err);
}

static int run_suite(bool is_threaded) {
  backend self = {NULL, is_threaded};
  cafe_store_contract contract = CAFE_STORE_CONTRACT_INIT;
  contract.name = is_threaded ? "faulty store, threaded" : "faulty store";
  contract.is_inline = !is_threaded;
  contract.user = &self;
  contract.create = create;
  contract.restart = restart;
  int failed = store_suite_run(&contract, NULL);
  cafe_store_destroy(self.inner);
  return failed;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_call_that_fails_is_not_done_and_the_next_one_is, set_up, tear_down),
      cmocka_unit_test_setup_teardown(each_method_fails_at_its_turn, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_store_that_dies_before_commit_n_has_the_commits_before, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_store_that_dies_after_commit_n_has_it_and_tells_nobody, set_up, tear_down),
      cmocka_unit_test_setup_teardown(new_faults_leave_a_dead_store_dead, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_call_under_way_when_the_store_dies_fails_too, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_store_inside_outlives_it_and_keeps_its_log, set_up, tear_down),
      cmocka_unit_test_setup_teardown(making_one_survives_refused_memory, set_up, tear_down),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  return failed + run_suite(false) + run_suite(true);
}
