/* SPDX-License-Identifier: Apache-2.0 */

/* Whether a node's store can be used: how that is lost, how it comes back by itself, and who is told. Which peers it is
 * connected to, as far as its transport can tell. */
#include "test_node_kit.h"

#include "cafe/metrics.h"
#include "cafe/sys/transport.h"
#include "cafe/transport/inproc.h"

typedef struct lost {
  cafe_node *closes; /* by the one who is told; NULL: nothing */
  int times, code;
} lost;

static void note_lost(const cafe_err *err, void *user) {
  lost *self = user;
  self->times++;
  self->code = err->code;
  assert_non_null(strstr(err->text, "opened anew"));
  if (self->closes)
    assert_int_equal(cafe_node_close(self->closes, NULL, NULL, NULL), CAFE_OK);
}

static bool is_broken;

static bool say_broken(const cafe_store *store) { return is_broken; }

static bool never_asked(const cafe_store *store) {
  fail_msg("the store ends before this method");
  return true;
}

/* The store's methods, with another one at the end. */
static cafe_store_ops end_with(const cafe_store *store, bool (*is_lost)(const cafe_store *)) {
  cafe_store_ops ops = *store->ops;
  ops.is_lost = is_lost;
  is_broken = false;
  return ops;
}

static void up(kitchen *k, lost *told) {
  cafe_err err = {0};
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.loop = k->loop;
  options.store = k->store;
  options.store_lost = told ? note_lost : NULL;
  options.store_lost_user = told;
  if (cafe_node_create(&k->node, &options, &err) || cafe_node_host(k->node, &k->service, &err) ||
      cafe_node_employ(k->node, &k->worker, &err))
    fail_msg("%s", err.text);
  assert_int_equal(cafe_node_ready(k->node, &err), CAFE_INVALID);
  if (cafe_node_start(k->node, &err))
    fail_msg("%s", err.text);
  assert_int_equal(cafe_node_ready(k->node, &err), CAFE_OK);
}

static uint64_t commits_of(kitchen *k) {
  cafe_store_counts counts = {.size = sizeof counts};
  cafe_faulty_store_count(k->store, &counts);
  return counts.commits;
}

/* X8 */
static void a_write_that_fails_is_seen_and_the_end_of_that_too_without_a_command(void **state) {
  kitchen *k = kitchen_open(1000);
  lost told = {0};
  cafe_err err = {0};
  up(k, &told);
  uint64_t key = ask(k, &Fill, 0, 1, NULL).key;
  kitchen_run(k, 10 * 1000000);
  uint64_t commits = commits_of(k);
  kitchen_run(k, 60 * 1000000);
  assert_int_equal(commits_of(k), commits); /* nobody writes only to see whether it can be done */
  fail_call(k, 1, UINT64_MAX);
  assert_int_equal(ask(k, &Fill, key, 1, NULL).code, CAFE_UNAVAILABLE);
  assert_int_equal(cafe_node_ready(k->node, &err), CAFE_UNAVAILABLE);
  assert_non_null(strstr(err.text, "by a fault"));
  kitchen_run(k, 30 * 1000000);
  assert_int_equal(cafe_node_ready(k->node, NULL), CAFE_UNAVAILABLE);
  assert_in_range(commits_of(k), 25, 40); /* about one a second */
  cafe_faulty_store_set(k->store, NULL);
  kitchen_run(k, 2 * 1000000);
  assert_int_equal(cafe_node_ready(k->node, &err), CAFE_OK);
  commits = commits_of(k);
  kitchen_run(k, 60 * 1000000);
  assert_int_equal(commits_of(k), commits);
  assert_int_equal(told.times, 0);
  assert_int_equal(ask(k, &Fill, 0, 1, NULL).key, key + 1); /* no key was spent on it */
  kitchen_close(k);
}

/* X8: a batch in which nothing is written says nothing of whether something could be. */
static void a_repeat_that_conflicts_does_not_make_a_node_ready(void **state) {
  kitchen *k = kitchen_open(1000);
  up(k, NULL);
  uint64_t key = ask(k, &Fill, 0, 1, "once").key;
  kitchen_run(k, 10 * 1000000);
  fail_call(k, 1, 1);
  assert_int_equal(ask(k, &Fill, key, 1, NULL).code, CAFE_UNAVAILABLE);
  uint64_t commits = commits_of(k);
  assert_int_equal(ask(k, &Fill, 0, 1, "once").key, key);
  assert_int_equal(commits_of(k), commits + 1);
  assert_int_equal(cafe_node_ready(k->node, NULL), CAFE_UNAVAILABLE);
  kitchen_run(k, 2 * 1000000);
  assert_int_equal(cafe_node_ready(k->node, NULL), CAFE_OK);
  kitchen_close(k);
}

static void a_node_that_never_reserved_keys_recovers_as_well(void **state) {
  kitchen *k = kitchen_open(0);
  up(k, NULL);
  for (uint64_t n = 1; n <= 3; n++) { /* it reads before it writes */
    fail_call(k, 1, n);
    ask(k, &Fill, 7, 1, NULL);
    kitchen_run(k, 10 * 1000000);
    assert_int_equal(cafe_node_ready(k->node, NULL), CAFE_OK);
  }
  assert_int_equal(ask(k, &Fill, 0, 1, NULL).key, 1);
  kitchen_close(k);
}

static void a_lost_store_is_told_once_and_not_tried_again(void **state) {
  kitchen *k = kitchen_open(1000);
  lost told = {0};
  cafe_err err = {0};
  cafe_store_ops ops = end_with(k->inner, say_broken); /* the one around it passes it on */
  k->inner->ops = &ops;
  up(k, &told);
  ask(k, &Fill, 7, 1, NULL);
  fail_call(k, 1, UINT64_MAX);
  is_broken = true;
  assert_int_equal(ask(k, &Fill, 7, 1, NULL).code, CAFE_UNAVAILABLE);
  assert_int_equal(told.times, 1);
  assert_int_equal(told.code, CAFE_UNAVAILABLE);
  assert_int_equal(cafe_node_ready(k->node, &err), CAFE_UNAVAILABLE);
  assert_non_null(strstr(err.text, "opened anew"));
  assert_non_null(strstr(err.text, "by a fault"));
  uint64_t commits = commits_of(k);
  kitchen_run(k, 60 * 1000000);
  assert_int_equal(commits_of(k), commits);
  assert_int_equal(ask(k, &Fill, 8, 1, NULL).code, CAFE_UNAVAILABLE);
  assert_int_equal(told.times, 1);
  kitchen_close(k);
}

static void whoever_is_told_may_close_the_node(void **state) {
  for (int64_t job_us = 0; job_us <= 1000; job_us += 1000) {
    kitchen *k = kitchen_open(job_us);
    lost told = {0};
    call made[3];
    cafe_store_ops ops = end_with(k->inner, say_broken);
    k->inner->ops = &ops;
    up(k, &told);
    told.closes = k->node;
    ask(k, &Fill, 7, 1, NULL);
    fail_call(k, 1, UINT64_MAX);
    is_broken = true;
    for (int i = 0; i < 3; i++)
      submit(k, &made[i], &Fill, 7, 1, NULL);
    kitchen_run(k, 10 * 1000000);
    assert_int_equal(told.times, 1);
    for (int i = 0; i < 3; i++) {
      assert_int_equal(made[i].times, 1);
      assert_true(made[i].code == CAFE_UNAVAILABLE || made[i].code == CAFE_CANCELED);
    }
    assert_int_equal(cafe_node_ready(k->node, NULL), CAFE_UNAVAILABLE);
    kitchen_close(k);
  }
}

static void a_store_that_was_built_before_is_not_asked(void **state) {
  for (int is_inner = 0; is_inner <= 1; is_inner++) {
    kitchen *k = kitchen_open(0);
    lost told = {0};
    cafe_store *store = is_inner ? k->inner : k->store;
    cafe_store_ops ops = end_with(store, never_asked);
    ops.size = offsetof(cafe_store_ops, is_lost);
    store->ops = &ops;
    up(k, &told);
    ask(k, &Fill, 7, 1, NULL);
    fail_call(k, 1, 1);
    assert_int_equal(ask(k, &Fill, 7, 1, NULL).code, CAFE_UNAVAILABLE);
    assert_int_equal(told.times, 0);
    kitchen_run(k, 2 * 1000000);
    assert_int_equal(cafe_node_ready(k->node, NULL), CAFE_OK);
    kitchen_close(k);
  }
}

static void a_node_that_drains_is_not_ready(void **state) {
  kitchen *k = kitchen_open(0);
  cafe_err err = {0};
  up(k, NULL);
  assert_int_equal(cafe_node_drain(k->node, NULL, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_node_ready(k->node, &err), CAFE_UNAVAILABLE);
  assert_non_null(strstr(err.text, "draining"));
  kitchen_close(k);
}

/* ---- peers ---- */

static bool pay_is_up;

static void tell_two(const cafe_transport *self, void (*visit)(const char *service, bool is_up, void *user),
                     void *user) {
  visit("pay", pay_is_up, user);
  visit("store", true, user);
}

static void never_told(const cafe_transport *self, void (*visit)(const char *service, bool is_up, void *user),
                       void *user) {
  fail_msg("the transport ends before this method");
}

typedef struct peers_seen {
  char text[64];
} peers_seen;

static void see(peers_seen *self, const char *service, bool is_up) {
  size_t size = strlen(self->text);
  (void)snprintf(self->text + size, sizeof self->text - size, "%s %d ", service, is_up);
}

static void see_peer(const cafe_peer *peer, void *user) {
  assert_int_equal(peer->size, sizeof *peer);
  see(user, peer->service, peer->is_up);
}

static void see_sample(const cafe_sample *sample, void *user) {
  if (strcmp(sample->name, "cafe_peer_up") == 0) {
    assert_int_equal(sample->label_count, 1);
    assert_string_equal(sample->label_names[0], "peer");
    see(user, sample->label_values[0], sample->value > 0);
  }
}

static void expect_peers(kitchen *k, const char *wanted) {
  peers_seen peers = {""}, samples = {""};
  cafe_node_peers(k->node, see_peer, &peers);
  cafe_node_metrics(k->node, see_sample, &samples);
  assert_string_equal(peers.text, wanted);
  assert_string_equal(samples.text, wanted);
}

static void with_transport(kitchen *k, cafe_transport *transport) {
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.loop = k->loop;
  options.store = k->store;
  options.transport = transport;
  assert_int_equal(cafe_node_create(&k->node, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_host(k->node, &k->service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_employ(k->node, &k->worker, NULL), CAFE_OK);
}

/* C11 */
static void peers_are_told_while_the_node_runs(void **state) {
  kitchen *k = kitchen_open(0);
  cafe_inproc *hub;
  cafe_transport *transport;
  assert_int_equal(cafe_inproc_create(&hub, k->loop, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_inproc_join(&transport, hub, NULL), CAFE_OK);
  cafe_transport_ops ops = *transport->ops;
  ops.peers = tell_two;
  transport->ops = &ops;
  pay_is_up = false;
  with_transport(k, transport);
  expect_peers(k, "");
  assert_int_equal(cafe_node_start(k->node, NULL), CAFE_OK);
  expect_peers(k, "pay 0 store 1 ");
  assert_int_equal(cafe_node_ready(k->node, NULL), CAFE_OK);
  pay_is_up = true;
  expect_peers(k, "pay 1 store 1 ");
  assert_int_equal(cafe_node_drain(k->node, NULL, NULL, NULL), CAFE_OK);
  expect_peers(k, "pay 1 store 1 ");
  assert_int_equal(cafe_node_close(k->node, NULL, NULL, NULL), CAFE_OK);
  kitchen_run(k, 1000000);
  expect_peers(k, "");
  cafe_node_destroy(k->node);
  k->node = NULL;
  cafe_transport_destroy(transport);
  cafe_inproc_destroy(hub);
  kitchen_close(k);
}

static void a_transport_that_cannot_tell_is_not_asked(void **state) {
  kitchen *k = kitchen_open(0);
  cafe_inproc *hub;
  cafe_transport *transport;
  assert_int_equal(cafe_inproc_create(&hub, k->loop, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_inproc_join(&transport, hub, NULL), CAFE_OK);
  cafe_transport_ops ops = *transport->ops;
  ops.peers = never_told;
  ops.size = offsetof(cafe_transport_ops, peers);
  transport->ops = &ops;
  with_transport(k, transport);
  assert_int_equal(cafe_node_start(k->node, NULL), CAFE_OK);
  expect_peers(k, "");
  cafe_node_destroy(k->node);
  up(k, NULL); /* and where there is no transport nobody is */
  expect_peers(k, "");
  cafe_node_destroy(k->node);
  k->node = NULL;
  cafe_transport_destroy(transport);
  cafe_inproc_destroy(hub);
  kitchen_close(k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_write_that_fails_is_seen_and_the_end_of_that_too_without_a_command),
      cmocka_unit_test(a_repeat_that_conflicts_does_not_make_a_node_ready),
      cmocka_unit_test(a_node_that_never_reserved_keys_recovers_as_well),
      cmocka_unit_test(a_lost_store_is_told_once_and_not_tried_again),
      cmocka_unit_test(whoever_is_told_may_close_the_node),
      cmocka_unit_test(a_store_that_was_built_before_is_not_asked),
      cmocka_unit_test(a_node_that_drains_is_not_ready),
      cmocka_unit_test(peers_are_told_while_the_node_runs),
      cmocka_unit_test(a_transport_that_cannot_tell_is_not_asked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
