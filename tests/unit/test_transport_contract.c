/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The contract suite itself: a transport that lies in one small way is found out by the check that is meant for it; one
 * that doesn't lie passes.
 */
#include "cafe/testing/transport_contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <utlist.h>

#include "cafe/testing/sim.h"
#include "cafe/transport/inproc.h"

typedef enum lie {
  NO_LIE,
  ANSWERS_TWICE,
  ANSWERS_INSIDE_REQUEST,
  LARGE_BODIES_ARE_CUT,
  ANSWERS_ARE_EMPTY,
  ERRORS_LOSE_THEIR_TEXT,
  RETRY_AFTER_IS_LOST,
  RETRIES_ARE_LOST,
  THE_SERVER_HAS_MORE_TIME,
  TIMEOUTS_COME_EARLY,
  TIMEOUTS_DO_NOT_COME,
  TIMEOUTS_ARE_UNAVAILABLE,
  CANCEL_IS_NOT_HEARD,
  THE_SERVER_IS_NOT_TOLD_OF_CANCEL,
  CLOSE_TELLS_THE_SERVER,
  AN_EVENT_IS_SKIPPED,
  EVENTS_ARE_MIXED,
  META_IS_LOST,
  TIMES_ARE_POSITIVE,
  SCANNED_IS_THE_HEAD,
  THE_LOG_ID_COMES_LATE,
  ANOTHER_LOG_ID_IS_NOT_TOLD,
  BATCHES_COME_UNASKED,
  IT_FETCHES_AHEAD,
  PARTITIONS_ARE_FORGOTTEN,
  ALL_SHARDS_ARE_ONE,
  SEEN_IS_LOST,
  REFUSALS_ARE_LOSSES,
  LOSSES_ARE_REFUSALS,
  A_REFUSAL_IS_TRIED_AGAIN,
  A_LOST_LINK_STAYS_LOST,
  UNSUBSCRIBE_IS_NOT_HEARD,
  MEMORY_IS_KEPT,
  NO_MEMORY_IS_OVERLOADED,
  PEERS_ARE_ALWAYS_UP,
  LIES
} lie;

static const char *const finders[LIES] = {
    [ANSWERS_TWICE] = "a_request_may_be_answered_later",
    [ANSWERS_INSIDE_REQUEST] = "a_request_may_be_answered_later",
    [LARGE_BODIES_ARE_CUT] = "bodies_of_any_size_go_there_and_back",
    [ANSWERS_ARE_EMPTY] = "a_thousand_requests_at_once_get_their_own_answers",
    [ERRORS_LOSE_THEIR_TEXT] = "an_error_is_told_with_code_text_and_when_to_come_again",
    [RETRY_AFTER_IS_LOST] = "an_error_is_told_with_code_text_and_when_to_come_again",
    [RETRIES_ARE_LOST] = "the_budget_travels",
    [THE_SERVER_HAS_MORE_TIME] = "the_budget_travels",
    [TIMEOUTS_COME_EARLY] = "a_deadline_is_a_timeout_and_not_before_it",
    [TIMEOUTS_DO_NOT_COME] = "a_deadline_is_a_timeout_and_not_before_it",
    [TIMEOUTS_ARE_UNAVAILABLE] = "what_a_callee_held_when_it_closed_is_a_timeout",
    [CANCEL_IS_NOT_HEARD] = "a_canceled_request_is_done_with",
    [THE_SERVER_IS_NOT_TOLD_OF_CANCEL] = "a_canceled_request_is_done_with",
    [CLOSE_TELLS_THE_SERVER] = "what_a_callee_held_when_it_closed_is_a_timeout",
    [AN_EVENT_IS_SKIPPED] = "a_subscriber_gets_the_log_in_order",
    [EVENTS_ARE_MIXED] = "a_subscriber_gets_the_log_in_order",
    [META_IS_LOST] = "every_field_comes_as_it_was_appended",
    [TIMES_ARE_POSITIVE] = "every_field_comes_as_it_was_appended",
    [SCANNED_IS_THE_HEAD] = "batches_end_anywhere",
    [THE_LOG_ID_COMES_LATE] = "a_subscriber_gets_the_log_in_order",
    [ANOTHER_LOG_ID_IS_NOT_TOLD] = "a_log_that_goes_on_under_another_id_tells_so_by_an_empty_batch",
    [BATCHES_COME_UNASKED] = "a_slow_subscriber_costs_its_publisher_nothing",
    [IT_FETCHES_AHEAD] = "a_slow_subscriber_costs_its_publisher_nothing",
    [PARTITIONS_ARE_FORGOTTEN] = "only_wanted_events_are_sent",
    [ALL_SHARDS_ARE_ONE] = "shards_are_kept_apart",
    [SEEN_IS_LOST] = "how_far_effects_went_travels",
    [REFUSALS_ARE_LOSSES] = "a_foreign_log_is_refused_for_good",
    [LOSSES_ARE_REFUSALS] = "a_publisher_that_comes_later_is_found",
    [A_REFUSAL_IS_TRIED_AGAIN] = "a_place_beyond_the_log_is_refused_for_good",
    [A_LOST_LINK_STAYS_LOST] = "a_line_that_was_cut_works_again_when_it_is_healed",
    [UNSUBSCRIBE_IS_NOT_HEARD] = "a_link_that_ended_is_forgotten",
    [MEMORY_IS_KEPT] = "bodies_of_any_size_go_there_and_back",
    [NO_MEMORY_IS_OVERLOADED] = "requests_end_whenever_memory_is_refused",
    [PEERS_ARE_ALWAYS_UP] = "it_is_known_who_is_connected",
};

typedef struct world {
  lie lie;
  cafe_inproc *hub;
  const cafe_allocator *allocator;
  void *kept; /* of the allocator's, never given back to it */
} world;

/* Stands between the check and a transport that keeps its promises. */
typedef struct liar {
  cafe_transport base;
  cafe_transport *inner;
  world *world;
  cafe_server server; /* the inner one's, which tells the check's */
  cafe_server *outer;
  cafe_incoming *last;
  struct carried *requests;
  struct tie *ties;
} liar;

static liar *self_of(cafe_transport *transport) { return (liar *)transport; }
static liar *liar_of(cafe_server *server) { return (liar *)(void *)((char *)server - offsetof(liar, server)); }

/* ---- the server's side ---- */

static void serve(cafe_server *server, cafe_incoming *incoming) {
  liar *self = liar_of(server);
  self->last = incoming;
  if (self->world->lie == THE_SERVER_HAS_MORE_TIME) {
    incoming->budget.deadline_us += 10000;
  }
  self->outer->ops->serve(self->outer, incoming);
}

static void serve_pull(cafe_server *server, cafe_pull *pull) {
  liar *self = liar_of(server);
  self->outer->ops->pull(self->outer, pull);
}

static void forget_incoming(cafe_server *server, cafe_incoming *incoming) {
  liar *self = liar_of(server);
  if (self->world->lie != THE_SERVER_IS_NOT_TOLD_OF_CANCEL) {
    self->outer->ops->forget_incoming(self->outer, incoming);
  }
}

static void forget_pull(cafe_server *server, cafe_pull *pull) {
  liar *self = liar_of(server);
  self->outer->ops->forget_pull(self->outer, pull);
}

static const cafe_server_ops server_ops = {sizeof(server_ops), serve, serve_pull, forget_incoming, forget_pull};

/* ---- requests ---- */

typedef struct carried {
  cafe_request inner;
  cafe_request *outer;
  liar *by;
  struct carried *prev, *next;
} carried;

static void carried_free(carried *c) {
  DL_DELETE(c->by->requests, c);
  free(c);
}

static void on_done(cafe_request *request, const cafe_err *err, cafe_slice answer) {
  carried *c = request->user;
  lie told = c->by->world->lie;
  cafe_request *outer = c->outer;
  cafe_err changed;
  if (err) {
    changed = *err;
    if (told == ERRORS_LOSE_THEIR_TEXT) {
      snprintf(changed.text, sizeof(changed.text), "failed");
    }
    if (told == RETRY_AFTER_IS_LOST) {
      changed.retry_after_ms = 0;
    }
    if (told == TIMEOUTS_ARE_UNAVAILABLE && err->code == CAFE_TIMEOUT) {
      changed.code = CAFE_UNAVAILABLE;
    }
    if (told == TIMEOUTS_DO_NOT_COME && err->code == CAFE_TIMEOUT) {
      return;
    }
  } else if (told == ANSWERS_ARE_EMPTY) {
    answer.size = 0;
  }
  carried_free(c);
  outer->transport_data[0] = NULL;
  outer->done(outer, err ? &changed : NULL, answer);
  if (told == ANSWERS_TWICE) {
    outer->done(outer, err ? &changed : NULL, answer);
  }
}

static int liar_request(cafe_transport *transport, cafe_request *request, cafe_err *err) {
  liar *self = self_of(transport);
  lie told = self->world->lie;
  carried *c = calloc(1, sizeof(*c));
  assert_non_null(c);
  c->by = self;
  c->outer = request;
  c->inner = *request;
  c->inner.done = on_done;
  c->inner.user = c;
  if (told == LARGE_BODIES_ARE_CUT && request->body.size > 65536) {
    c->inner.body.size = 65536;
  }
  if (told == RETRIES_ARE_LOST) {
    c->inner.budget.retries = 0;
  }
  if (told == TIMEOUTS_COME_EARLY) {
    c->inner.budget.deadline_us -= 500;
  }
  DL_APPEND(self->requests, c);
  int code = self->inner->ops->request(self->inner, &c->inner, err);
  if (code != CAFE_OK) {
    carried_free(c);
    return told == NO_MEMORY_IS_OVERLOADED ? cafe_fail(err, CAFE_OVERLOADED, "too much") : code;
  }
  request->transport_data[0] = c;
  if (told == ANSWERS_INSIDE_REQUEST) {
    cafe_err now;
    (void)cafe_fail(&now, CAFE_TIMEOUT, "at once");
    self->inner->ops->cancel(self->inner, &c->inner);
    carried_free(c);
    request->transport_data[0] = NULL;
    request->done(request, &now, (cafe_slice){NULL, 0});
  }
  if (told == MEMORY_IS_KEPT && !self->world->kept) {
    self->world->kept = self->world->allocator->resize(NULL, 16, self->world->allocator->user);
  }
  return code;
}

static void liar_cancel(cafe_transport *transport, cafe_request *request) {
  liar *self = self_of(transport);
  carried *c = request->transport_data[0];
  if (c && self->world->lie != CANCEL_IS_NOT_HEARD) {
    request->transport_data[0] = NULL;
    self->inner->ops->cancel(self->inner, &c->inner);
    carried_free(c);
  }
}

/* ---- links ---- */

typedef struct tie {
  cafe_link inner;
  cafe_link *outer; /* NULL: its own, and nobody sees what comes */
  liar *by;
  bool is_lost;
  bool is_refused;
  struct tie *prev, *next;
} tie;

static void tie_free(tie *t) {
  DL_DELETE(t->by->ties, t);
  free(t);
}

static void pull_ahead(tie *t, uint64_t scanned) {
  t->inner.after = scanned;
  t->by->inner->ops->more(t->by->inner, &t->inner);
}

static void change_events(lie told, cafe_stored_event *events, uint32_t *count) {
  for (uint32_t i = 0; i < *count; i++) {
    if (told == META_IS_LOST) {
      events[i].meta.size = 0;
    }
    if (told == TIMES_ARE_POSITIVE && events[i].time_ms < 0) {
      events[i].time_ms = 0;
    }
  }
  if (told == EVENTS_ARE_MIXED && *count > 1) {
    cafe_stored_event first = events[0];
    events[0] = events[1];
    events[1] = first;
  }
  *count -= told == AN_EVENT_IS_SKIPPED && *count > 3;
}

static void on_events(cafe_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                      uint64_t head) {
  tie *t = link->user;
  lie told = t->by->world->lie;
  if (!t->outer || (told == A_LOST_LINK_STAYS_LOST && t->is_lost)) {
    return;
  }
  cafe_stored_event *copy = calloc(count + 1u, sizeof(*copy));
  assert_non_null(copy);
  for (uint32_t i = 0; i < count; i++) {
    copy[i] = events[i];
  }
  change_events(told, copy, &count);
  cafe_link *outer = t->outer;
  bool is_new = outer->log_id && outer->log_id != link->log_id;
  if (told != THE_LOG_ID_COMES_LATE && !(told == ANOTHER_LOG_ID_IS_NOT_TOLD && is_new)) {
    outer->log_id = link->log_id;
  }
  outer->on_events(outer, copy, count, told == SCANNED_IS_THE_HEAD ? head : scanned, head);
  if (told == THE_LOG_ID_COMES_LATE) {
    outer->log_id = link->log_id;
  }
  if (told == BATCHES_COME_UNASKED && outer->transport_data[0] == t) {
    pull_ahead(t, scanned);
  }
  free(copy);
}

static void on_lost(cafe_link *link, const cafe_err *err) {
  tie *t = link->user;
  lie told = t->by->world->lie;
  cafe_err changed = *err;
  t->is_lost = true;
  t->is_refused = err->code == CAFE_INVALID;
  if (told == REFUSALS_ARE_LOSSES && t->is_refused) {
    changed.code = CAFE_UNAVAILABLE;
  }
  if (told == LOSSES_ARE_REFUSALS) {
    changed.code = CAFE_INVALID;
  }
  t->outer->on_lost(t->outer, &changed);
}

static int begin_tie(liar *self, cafe_link *link, cafe_link *outer, cafe_err *err) {
  lie told = self->world->lie;
  tie *t = calloc(1, sizeof(*t));
  assert_non_null(t);
  t->by = self;
  t->outer = outer;
  t->inner = *link;
  t->inner.on_events = on_events;
  t->inner.on_lost = on_lost;
  t->inner.user = t;
  t->inner.partitions = told == PARTITIONS_ARE_FORGOTTEN ? 0 : link->partitions;
  t->inner.shard = told == ALL_SHARDS_ARE_ONE ? 0 : link->shard;
  t->inner.seen = told == SEEN_IS_LOST ? 0 : link->seen;
  DL_APPEND(self->ties, t);
  int code = self->inner->ops->subscribe(self->inner, &t->inner, err);
  if (code != CAFE_OK) {
    tie_free(t);
  } else if (outer) {
    outer->transport_data[0] = t;
  }
  return code;
}

static int liar_subscribe(cafe_transport *transport, cafe_link *link, cafe_err *err) {
  liar *self = self_of(transport);
  int code = begin_tie(self, link, link, err);
  if (code == CAFE_OK && self->world->lie == IT_FETCHES_AHEAD) {
    code = begin_tie(self, link, NULL, err);
  }
  return code;
}

static void liar_more(cafe_transport *transport, cafe_link *link) {
  liar *self = self_of(transport);
  tie *t = link->transport_data[0];
  t->inner.after = link->after;
  if (self->world->lie == A_REFUSAL_IS_TRIED_AGAIN && t->is_refused) {
    self->inner->ops->unsubscribe(self->inner, &t->inner);
    assert_int_equal(self->inner->ops->subscribe(self->inner, &t->inner, NULL), CAFE_OK);
  } else {
    self->inner->ops->more(self->inner, &t->inner);
  }
}

static void liar_unsubscribe(cafe_transport *transport, cafe_link *link) {
  liar *self = self_of(transport);
  tie *t = link->transport_data[0];
  link->transport_data[0] = NULL;
  if (t && self->world->lie != UNSUBSCRIBE_IS_NOT_HEARD) {
    self->inner->ops->unsubscribe(self->inner, &t->inner);
    tie_free(t);
  }
}

/* ---- life ---- */

static int liar_open(cafe_transport *transport, cafe_loop *loop, const char *const *services, cafe_server *server,
                     cafe_err *err) {
  liar *self = self_of(transport);
  self->server.ops = &server_ops;
  self->outer = server;
  return self->inner->ops->open(self->inner, loop, services, &self->server, err);
}

static void liar_close(cafe_transport *transport) {
  liar *self = self_of(transport);
  if (self->world->lie == CLOSE_TELLS_THE_SERVER && self->last) {
    self->outer->ops->forget_incoming(self->outer, self->last);
  }
  self->inner->ops->close(self->inner); /* drops what wasn't canceled */
  while (self->requests) {
    carried_free(self->requests);
  }
  while (self->ties) {
    tie_free(self->ties);
  }
}

static void liar_destroy(cafe_transport *transport) {
  liar *self = self_of(transport);
  cafe_transport_destroy(self->inner);
  free(self);
}

static void liar_peers(const cafe_transport *transport, void (*visit)(const char *service, bool is_up, void *user),
                       void *user) {
  (void)transport;
  visit("contract-a", true, user);
  visit("contract-b", true, user);
  visit("contract-d", true, user);
}

/* What was built before there was `peers` ends before it. */
static const cafe_transport_ops liar_ops = {
    .size = offsetof(cafe_transport_ops, peers),
    .name = "liar",
    .open = liar_open,
    .request = liar_request,
    .cancel = liar_cancel,
    .subscribe = liar_subscribe,
    .more = liar_more,
    .unsubscribe = liar_unsubscribe,
    .close = liar_close,
    .destroy = liar_destroy,
};

static const cafe_transport_ops knowing_ops = {
    .size = sizeof(cafe_transport_ops),
    .name = "liar",
    .open = liar_open,
    .request = liar_request,
    .cancel = liar_cancel,
    .subscribe = liar_subscribe,
    .more = liar_more,
    .unsubscribe = liar_unsubscribe,
    .close = liar_close,
    .destroy = liar_destroy,
    .peers = liar_peers,
};

/* ---- the contract ---- */

static int begin(cafe_loop **out, const cafe_allocator *allocator, void *user, cafe_err *err) {
  world *self = user;
  self->allocator = allocator;
  assert_int_equal(cafe_sim_create(out, 1, NULL, err), CAFE_OK);
  assert_int_equal(cafe_inproc_create(&self->hub, *out, allocator, err), CAFE_OK);
  return CAFE_OK;
}

static void end(cafe_loop *loop, void *user) {
  world *self = user;
  cafe_inproc_destroy(self->hub);
  cafe_loop_destroy(loop);
}

static int create(cafe_transport **out, uint32_t number, void *user, cafe_err *err) {
  world *self = user;
  liar *made = calloc(1, sizeof(*made));
  (void)number;
  assert_non_null(made);
  made->base.ops = self->lie == PEERS_ARE_ALWAYS_UP ? &knowing_ops : &liar_ops;
  made->world = self;
  int code = cafe_inproc_join(&made->inner, self->hub, err);
  if (code != CAFE_OK) {
    free(made);
    return code;
  }
  *out = &made->base;
  return CAFE_OK;
}

static void cut(uint32_t number, bool is_cut, void *user) {
  const world *self = user;
  cafe_inproc_cut(self->hub, cafe_transport_contract_services(number)[0], is_cut);
}

static cafe_transport_contract contract_of(world *self) {
  cafe_transport_contract contract = CAFE_TRANSPORT_CONTRACT_INIT;
  contract.name = "liar";
  contract.takes_allocator = true;
  contract.quiet_ms = 2000;
  contract.user = self;
  contract.begin = begin;
  contract.end = end;
  contract.create = create;
  contract.cut = cut;
  return contract;
}

/* ---- the tests ---- */

typedef struct findings {
  uint32_t passed;
  uint32_t failed;
} findings;

static void note(const char *check, const char *why, void *user) {
  findings *found = user;
  found->passed += why == NULL;
  found->failed += why != NULL;
  if (why) {
    print_error("%s: %s\n", check, why);
  }
}

static void a_transport_that_does_not_lie_passes_every_check(void **state) {
  world self = {.lie = NO_LIE};
  cafe_transport_contract contract = contract_of(&self);
  findings found = {0};
  assert_int_equal(cafe_transport_contract_run(&contract, note, &found), 0);
  assert_int_equal(found.failed, 0);
  assert_int_equal(found.passed, cafe_transport_contract_count(&contract));
  assert_true(found.passed > 40);
}

static uint32_t index_of(const cafe_transport_contract *contract, const char *name) {
  for (uint32_t i = 0; i < cafe_transport_contract_count(contract); i++) {
    if (strcmp(cafe_transport_contract_name(contract, i), name) == 0) {
      return i;
    }
  }
  fail_msg("there is no check %s", name);
  return 0;
}

static void every_lie_is_found_by_its_check(void **state) {
  for (int number = NO_LIE + 1; number < LIES; number++) {
    world self = {.lie = (lie)number};
    cafe_transport_contract contract = contract_of(&self);
    char why[CAFE_TRANSPORT_WHY_MAX];
    if (cafe_transport_contract_check(why, &contract, index_of(&contract, finders[number]))) {
      fail_msg("%s didn't find lie %d", finders[number], number);
    }
    assert_true(strlen(why) > 0);
    (void)cafe_allocator_default()->resize(self.kept, 0, NULL); /* the check's own took it from there */
  }
}

static void a_contract_that_lacks_something_has_no_checks(void **state) {
  for (unsigned i = 0; i < 6; i++) {
    world self = {.lie = NO_LIE};
    cafe_transport_contract contract = contract_of(&self);
    contract.size = i == 0 ? offsetof(cafe_transport_contract, disturb) : contract.size;
    contract.name = i == 1 ? NULL : contract.name;
    contract.begin = i == 2 ? NULL : contract.begin;
    contract.end = i == 3 ? NULL : contract.end;
    contract.create = i == 4 ? NULL : contract.create;
    contract.cut = i == 5 ? NULL : contract.cut;
    findings found = {0};
    assert_int_equal(cafe_transport_contract_count(&contract), 0);
    assert_null(cafe_transport_contract_name(&contract, 0));
    assert_int_equal(cafe_transport_contract_run(&contract, note, &found), 1);
    assert_int_equal(found.passed + found.failed, 0);
  }
}

static void checks_have_names_of_their_own_up_to_the_last(void **state) {
  world self = {.lie = NO_LIE};
  cafe_transport_contract contract = contract_of(&self);
  uint32_t count = cafe_transport_contract_count(&contract);
  for (uint32_t i = 0; i < count; i++) {
    assert_int_equal(index_of(&contract, cafe_transport_contract_name(&contract, i)), i);
  }
  char why[CAFE_TRANSPORT_WHY_MAX];
  assert_null(cafe_transport_contract_name(&contract, count));
  assert_false(cafe_transport_contract_check(why, &contract, count));
  assert_true(strlen(why) > 0);
}

static void what_a_transport_cannot_is_not_checked(void **state) {
  world self = {.lie = NO_LIE};
  cafe_transport_contract contract = contract_of(&self);
  uint32_t count = cafe_transport_contract_count(&contract);
  contract.takes_allocator = false;
  assert_true(cafe_transport_contract_count(&contract) < count);
  (void)index_of(&contract, "bodies_of_any_size_go_there_and_back");
  assert_null(cafe_transport_contract_services(CAFE_TRANSPORT_ENDS));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_transport_that_does_not_lie_passes_every_check),
      cmocka_unit_test(every_lie_is_found_by_its_check),
      cmocka_unit_test(a_contract_that_lacks_something_has_no_checks),
      cmocka_unit_test(checks_have_names_of_their_own_up_to_the_last),
      cmocka_unit_test(what_a_transport_cannot_is_not_checked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
