/* SPDX-License-Identifier: Apache-2.0 */
/* The transport over TCP, between two nodes on one loop. */
#include "tcp_kit.h"

/* ---- requests ---- */

static void a_request_is_answered_after_the_call(void **state) {
  node pay, app;
  question q;
  start_pair(&pay, &app);
  ask_and_wait(&q, &app, "pay", "hello");
  assert_int_equal(q.err.code, CAFE_OK);
  assert_string_equal(q.answer, "hello");
  assert_string_equal(pay.last_peer, "");

  ask_and_wait(&q, &app, "pay", "");
  assert_int_equal(q.err.code, CAFE_OK);
  assert_string_equal(q.answer, "");
  assert_int_equal(pay.served, 2);

  ask_and_wait(&q, &app, "pay", "fail");
  assert_int_equal(q.err.code, CAFE_OVERLOADED);
  assert_int_equal(q.err.detail, -5);
  assert_int_equal(q.err.retry_after_ms, 70);
  assert_string_equal(q.err.text, "too much");
  app.transport->ops->cancel(app.transport, &q.request); /* too late, harmless */
  assert_int_equal(q.answers, 1);
  node_stop(&app);
  node_stop(&pay);
}

/* C4 */
static void the_budget_travels_as_what_is_left_of_it(void **state) {
  node pay, app;
  question q;
  start_pair(&pay, &app);
  int64_t before_us = now_us();
  ask_and_wait(&q, &app, "pay", "hello");
  /* Both are on one clock here: what is left is counted from when it came, so it may only be later by the way's time.
   */
  int64_t asked_us = before_us + (int64_t)PATIENCE_MS * 1000;
  assert_true(pay.last_budget.deadline_us >= asked_us - 1000);
  assert_true(pay.last_budget.deadline_us <= now_us() + (int64_t)PATIENCE_MS * 1000);
  assert_int_equal(pay.last_budget.retries, 3);

  memset(&q, 0, sizeof(q));
  q.request = (cafe_request){.size = sizeof(q.request), .service = "pay", .done = on_answer, .user = &q};
  q.request.budget = (cafe_budget){INT64_MAX, UINT32_MAX, 0};
  assert_int_equal(app.transport->ops->request(app.transport, &q.request, NULL), CAFE_OK);
  WAIT_UNTIL(q.answers);
  assert_true(pay.last_budget.deadline_us == INT64_MAX);
  assert_int_equal(pay.last_budget.retries, UINT32_MAX);
  node_stop(&app);
  node_stop(&pay);
}

static void many_requests_share_one_connection(void **state) {
  enum { COUNT = 500 };
  static question q[COUNT];
  static char bodies[COUNT][16];
  node pay, app;
  start_pair(&pay, &app);
  for (int i = 0; i < COUNT; i++) {
    snprintf(bodies[i], sizeof(bodies[i]), "%d", i);
    ask(&q[i], &app, "pay", bodies[i], PATIENCE_MS);
  }
  for (int i = 0; i < COUNT; i++) {
    WAIT_UNTIL(q[i].answers);
    assert_int_equal(q[i].answers, 1);
    assert_int_equal(q[i].err.code, CAFE_OK);
    assert_string_equal(q[i].answer, bodies[i]);
  }
  assert_int_equal(pay.served, COUNT);
  node_stop(&app);
  node_stop(&pay);
}

static void a_service_that_is_not_among_the_peers_is_unavailable(void **state) {
  node pay, app;
  question q;
  reader r;
  cafe_err err;
  start_pair(&pay, &app);
  ask_and_wait(&q, &app, "store", "hello");
  assert_int_equal(q.err.code, CAFE_UNAVAILABLE);
  assert_non_null(strstr(q.err.text, "store isn't among the peers"));
  assert_int_equal(try_subscribe(&r, &app, "store", all_types, &err), CAFE_UNAVAILABLE);
  assert_non_null(strstr(err.text, "store isn't among the peers"));
  node_stop(&app);
  node_stop(&pay);
}

static void a_service_that_the_peer_does_not_offer_is_unavailable(void **state) {
  node pay, app;
  question q;
  reader r;
  node_init(&pay, "pay");
  node_listen(&pay);
  node_start(&pay);
  node_init(&app, "app");
  node_peer(&app, "store", pay.address);
  node_start(&app);
  ask_and_wait(&q, &app, "store", "hello");
  assert_int_equal(q.err.code, CAFE_UNAVAILABLE);
  assert_non_null(strstr(q.err.text, "store isn't offered"));
  subscribe(&r, &app, "store", all_types);
  WAIT_UNTIL(r.lost);
  assert_int_equal(r.last.code, CAFE_UNAVAILABLE);
  assert_non_null(strstr(r.last.text, "store isn't offered"));
  unsubscribe(&r);
  assert_int_equal(pay.served + pay.pulled, 0);
  node_stop(&app);
  node_stop(&pay);
}

static void where_nobody_listens_a_request_is_unavailable_long_before_its_deadline(void **state) {
  char address[32];
  node app;
  question q;
  free_address(address);
  node_init(&app, "app");
  node_peer(&app, "pay", address);
  node_start(&app);
  for (int i = 0; i < 3; i++) {
    ask_and_wait(&q, &app, "pay", "hello");
    assert_int_equal(q.err.code, CAFE_UNAVAILABLE);
    assert_non_null(strstr(q.err.text, address));
    assert_true(now_us() < q.request.budget.deadline_us - (int64_t)PATIENCE_MS * 500);
  }
  assert_int_equal(times_logged(&app.log, "no connection to"), 1); /* not each time */
  node_stop(&app);
}

static void the_deadline_ends_a_request_and_a_late_answer_changes_nothing(void **state) {
  node pay, app;
  question q;
  start_pair(&pay, &app);
  pay.is_silent = true;
  ask(&q, &app, "pay", "hello", 200);
  WAIT_UNTIL(pay.silent_count);
  assert_int_equal(q.answers, 0);
  WAIT_UNTIL(q.answers);
  assert_int_equal(q.err.code, CAFE_TIMEOUT);
  assert_true(now_us() >= q.request.budget.deadline_us);
  answer_silent(&pay, "late");
  run_ms(20);
  assert_int_equal(q.answers, 1);

  ask(&q, &app, "pay", "hello", -5);
  WAIT_UNTIL(q.answers);
  assert_int_equal(q.err.code, CAFE_TIMEOUT);
  assert_int_equal(pay.served, 1); /* it was never sent */

  pay.is_silent = false;
  ask_and_wait(&q, &app, "pay", "hello"); /* the connection is as good as ever */
  assert_int_equal(q.err.code, CAFE_OK);
  node_stop(&app);
  node_stop(&pay);
}

static void a_canceled_request_is_forgotten_on_both_sides(void **state) {
  node pay, app;
  start_pair(&pay, &app);
  question *q = malloc(sizeof(*q));
  ask(q, &app, "pay", "hello", PATIENCE_MS);
  app.transport->ops->cancel(app.transport, &q->request); /* before there was a connection */
  pay.is_silent = true;
  ask(q, &app, "pay", "hello", PATIENCE_MS);
  WAIT_UNTIL(pay.silent_count);
  app.transport->ops->cancel(app.transport, &q->request);
  assert_int_equal(q->answers, 0);
  free(q);
  WAIT_UNTIL(pay.forgotten == 1);
  assert_int_equal(pay.served, 1);
  node_stop(&app);
  node_stop(&pay);
}

static void a_request_on_a_connection_that_breaks_is_unknown_at_once(void **state) {
  node pay, app;
  question q;
  start_pair(&pay, &app);
  pay.is_silent = true;
  ask(&q, &app, "pay", "hello", PATIENCE_MS);
  WAIT_UNTIL(pay.silent_count);
  node_stop(&pay);
  WAIT_UNTIL(q.answers);
  assert_int_equal(q.err.code, CAFE_TIMEOUT);
  assert_true(now_us() < q.request.budget.deadline_us - (int64_t)PATIENCE_MS * 500);
  node_stop(&app);
}

static void note_peer(const char *service, bool is_up, void *user) {
  assert_string_equal(service, "pay");
  *(int *)user += is_up ? 1 : 100;
}

/* 1: it is connected to pay, which is all that it was told of; 100: it isn't. */
static int peers_of(const node *app) {
  int seen = 0;
  app->transport->ops->peers(app->transport, note_peer, &seen);
  return seen;
}

static void it_is_known_who_is_connected(void **state) {
  node pay, app;
  reader r;
  start_pair(&pay, &app);
  assert_int_equal(peers_of(&app), 100); /* nobody has wanted anything yet */
  subscribe(&r, &app, "pay", all_types);
  WAIT_UNTIL(peers_of(&app) == 1);
  node_stop(&pay);
  WAIT_UNTIL(peers_of(&app) == 100);
  unsubscribe(&r);
  node_stop(&app);
}

/* ---- subscriptions ---- */

static void a_link_gets_everything_in_order_and_waits_for_more(void **state) {
  node pay, app;
  reader r;
  start_pair(&pay, &app);
  append(&pay, 1000);
  subscribe(&r, &app, "pay", all_types);
  r.commit_us = INT64_MAX;
  WAIT_UNTIL(r.batches);
  run_ms(30);
  assert_int_equal(r.batches, 1); /* the next one comes after `more` */
  assert_int_equal(r.link.log_id, LOG_ID);
  assert_true(pay.pulled <= 3); /* two are under way at most, and the pull of the third isn't answered */
  r.commit_us = 100;
  commit(&r);
  WAIT_UNTIL(r.events == 1000);
  append(&pay, 5);
  WAIT_UNTIL(r.events == 1005);
  assert_int_equal(r.head, 1005);
  assert_int_equal(r.lost, 0);
  unsubscribe(&r);
  WAIT_UNTIL(pay.forgotten == 1); /* the pull that waited for event 1006 */
  node_stop(&app);
  node_stop(&pay);
}

static void a_link_gets_the_types_that_it_wants_from_its_place_on(void **state) {
  node pay, app;
  reader r, s;
  start_pair(&pay, &app);
  append(&pay, 100);
  assert_int_equal(try_subscribe(&r, &app, "pay", accepted_only, NULL), CAFE_OK);
  r.link.after = r.committing = 50;
  r.link.log_id = LOG_ID;
  subscribe(&s, &app, "pay", all_types);
  s.commit_us = -1; /* inside the callback */
  WAIT_UNTIL(r.committing == 100 && s.committing == 100);
  assert_int_equal(r.events, 17); /* 51, 54, … 99 */
  assert_int_equal(s.events, 100);
  append(&pay, 2000);
  WAIT_UNTIL(r.committing == 2100 && s.committing == 2100);
  assert_int_equal(r.events, 17 + 667);
  assert_int_equal(s.events, 2100);
  unsubscribe(&r);
  unsubscribe(&s);
  node_stop(&app);
  node_stop(&pay);
}

static void a_link_goes_back_to_its_place_if_it_did_not_get_on(void **state) {
  node pay, app;
  reader r;
  start_pair(&pay, &app);
  append(&pay, 2000);
  subscribe(&r, &app, "pay", all_types);
  r.commit_us = INT64_MAX;
  WAIT_UNTIL(r.batches == 1);
  run_ms(20); /* the next one is there already, and stale */
  r.committing = r.link.after;
  r.events = 0;
  r.commit_us = 10;
  app.transport->ops->more(app.transport, &r.link);
  WAIT_UNTIL(r.committing == 2000);
  assert_int_equal(r.events, 2000);
  unsubscribe(&r);
  node_stop(&app);
  node_stop(&pay);
}

static void a_log_that_became_another_is_told_before_its_events(void **state) {
  node pay, app;
  reader r;
  start_pair(&pay, &app);
  append(&pay, 10);
  assert_int_equal(try_subscribe(&r, &app, "pay", all_types, NULL), CAFE_OK);
  r.link.after = r.committing = 4;
  r.link.log_id = LOG_ID - 1;
  WAIT_UNTIL(r.committing == 10);
  assert_int_equal(r.moves, 1);
  assert_int_equal(r.link.log_id, LOG_ID);
  assert_int_equal(r.events, 6);
  unsubscribe(&r);
  node_stop(&app);
  node_stop(&pay);
}

static void a_refused_position_is_final_and_another_failure_is_not(void **state) {
  node pay, app;
  reader r, s;
  start_pair(&pay, &app);
  pay.refuse = CAFE_INVALID;
  subscribe(&r, &app, "pay", all_types);
  WAIT_UNTIL(r.lost);
  assert_int_equal(r.last.code, CAFE_INVALID);
  assert_string_equal(r.last.text, "not this place");
  pay.refuse = CAFE_CORRUPT;
  subscribe(&s, &app, "pay", all_types);
  WAIT_UNTIL(s.lost);
  assert_int_equal(s.last.code, CAFE_CORRUPT);
  WAIT_UNTIL(pay.pulled > 5);
  assert_int_equal(s.lost, 1); /* told once */
  pay.refuse = 0;
  append(&pay, 4);
  WAIT_UNTIL(s.events == 4);
  assert_int_equal(r.batches, 0);
  unsubscribe(&r);
  unsubscribe(&s);
  node_stop(&app);
  node_stop(&pay);
}

static void a_link_waits_for_a_publisher_that_comes_later_and_outlives_its_crashes(void **state) {
  node pay, app;
  reader r;
  question q;
  node_init(&pay, "pay");
  free_address(pay.address);
  pay.options.listen = pay.address;
  node_init(&app, "app");
  node_peer(&app, "pay", pay.address);
  node_start(&app);
  subscribe(&r, &app, "pay", all_types);
  WAIT_UNTIL(r.lost == 1);
  assert_int_equal(r.last.code, CAFE_UNAVAILABLE);
  uint64_t expected = 0;
  for (int life = 1; life <= 3; life++) {
    node_start(&pay);
    append(&pay, 700);
    expected += 700;
    WAIT_UNTIL(r.events >= expected / 2); /* somewhere in between */
    node_stop(&pay);
    WAIT_UNTIL(r.lost > life);
  }
  node_start(&pay);
  WAIT_UNTIL(r.committing == expected);
  assert_true(r.events >= expected);
  ask_and_wait(&q, &app, "pay", "hello"); /* over the same connection */
  assert_int_equal(q.err.code, CAFE_OK);
  unsubscribe(&r);
  node_stop(&app);
  node_stop(&pay);
}

static void a_subscriber_that_vanishes_is_forgotten(void **state) {
  node pay, app;
  reader r;
  question q;
  start_pair(&pay, &app);
  pay.is_silent = true;
  subscribe(&r, &app, "pay", all_types);
  ask(&q, &app, "pay", "hello", PATIENCE_MS);
  WAIT_UNTIL(pay.pulled == 1 && pay.served == 1);
  node_stop(&app); /* as if it had crashed: nothing was canceled */
  WAIT_UNTIL(pay.forgotten == 2);
  assert_int_equal(q.answers, 0);
  assert_int_equal(r.batches + r.lost, 0);
  node_stop(&pay);
}

/* ---- life ---- */

static void callbacks_may_end_what_they_are_called_for(void **state) {
  node pay, app;
  reader r, s;
  start_pair(&pay, &app);
  append(&pay, 3000);
  subscribe(&r, &app, "pay", all_types);
  subscribe(&s, &app, "pay", all_types);
  r.leave_in_callback = true;
  s.close_in_callback = true;
  WAIT_UNTIL(r.batches == 1 && s.batches == 1);
  run_ms(20);
  assert_int_equal(r.batches, 1);
  assert_int_equal(s.batches, 1);
  assert_null(app.transport);
  node_stop(&pay);
}

static void a_transport_is_opened_again_after_it_was_closed(void **state) {
  node pay, app;
  question q;
  reader r;
  start_pair(&pay, &app);
  for (int i = 1; i <= 3; i++) {
    ask_and_wait(&q, &app, "pay", "hello");
    assert_int_equal(q.err.code, CAFE_OK);
    append(&pay, 10);
    subscribe(&r, &app, "pay", all_types);
    WAIT_UNTIL(r.events == 10u * (unsigned)i);
    unsubscribe(&r);
    app.transport->ops->close(app.transport);
    pay.transport->ops->close(pay.transport);
    assert_int_equal(node_try_open(&pay, NULL), CAFE_OK);
    assert_int_equal(node_try_open(&app, NULL), CAFE_OK);
  }
  node_stop(&app);
  node_stop(&pay);
}

static void an_address_in_use_is_said_when_it_is_opened(void **state) {
  node pay, app;
  cafe_err err = {0};
  node_init(&pay, "pay");
  node_listen(&pay);
  node_start(&pay);
  node_init(&app, "app");
  app.options.listen = pay.address;
  assert_int_equal(cafe_tcp_create(&app.transport, &app.options, NULL), CAFE_OK);
  assert_int_equal(node_try_open(&app, &err), CAFE_UNAVAILABLE);
  assert_non_null(strstr(err.text, pay.address));
  node_stop(&pay);
  assert_int_equal(node_try_open(&app, &err), CAFE_OK);
  node_stop(&app);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_LOOP(a_request_is_answered_after_the_call),
      ON_LOOP(the_budget_travels_as_what_is_left_of_it),
      ON_LOOP(many_requests_share_one_connection),
      ON_LOOP(a_service_that_is_not_among_the_peers_is_unavailable),
      ON_LOOP(a_service_that_the_peer_does_not_offer_is_unavailable),
      ON_LOOP(where_nobody_listens_a_request_is_unavailable_long_before_its_deadline),
      ON_LOOP(the_deadline_ends_a_request_and_a_late_answer_changes_nothing),
      ON_LOOP(a_canceled_request_is_forgotten_on_both_sides),
      ON_LOOP(a_request_on_a_connection_that_breaks_is_unknown_at_once),
      ON_LOOP(it_is_known_who_is_connected),
      ON_LOOP(a_link_gets_everything_in_order_and_waits_for_more),
      ON_LOOP(a_link_gets_the_types_that_it_wants_from_its_place_on),
      ON_LOOP(a_link_goes_back_to_its_place_if_it_did_not_get_on),
      ON_LOOP(a_log_that_became_another_is_told_before_its_events),
      ON_LOOP(a_refused_position_is_final_and_another_failure_is_not),
      ON_LOOP(a_link_waits_for_a_publisher_that_comes_later_and_outlives_its_crashes),
      ON_LOOP(a_subscriber_that_vanishes_is_forgotten),
      ON_LOOP(callbacks_may_end_what_they_are_called_for),
      ON_LOOP(a_transport_is_opened_again_after_it_was_closed),
      ON_LOOP(an_address_in_use_is_said_when_it_is_opened),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
