/* SPDX-License-Identifier: Apache-2.0 */
/* The webhook: how many are on their way, how fast, in which order; and what is stopped. */
#include "test_webhook_kit.h"

static void only_so_many_are_on_their_way_and_the_others_follow_in_order(void **state) {
  post_office *office = *state;
  enum { ALL = 7, AT_ONCE = 3 };
  letter l[ALL];
  http_call calls[AT_ONCE];
  options.in_flight_max = AT_ONCE;
  open_hook(office);
  for (int i = 0; i < ALL; i++) {
    char id[8] = "1-0";
    id[2] = (char)('0' + i);
    letter_init(&l[i], id, "m");
    letter_send(&l[i], office);
  }
  int begun = 0;
  for (; begun < AT_ONCE; begun++) {
    http_peer_accept(&office->peer, &calls[begun]);
  }
  still_loop_settle(office->still);
  assert_false(http_peer_has_caller(&office->peer));
  for (int done = 0; done < ALL; done++) {
    http_call *call = &calls[done % AT_ONCE];
    assert_int_equal(http_call_header(call, "Idempotency-Key")[2], '0' + done);
    http_call_answer(call, "200 OK", "Connection: close\r\n", "");
    assert_int_equal(letter_wait(&l[done], office), CAFE_OK);
    http_call_close(call);
    if (begun < ALL) {
      http_peer_accept(&office->peer, call);
      begun++;
    }
    for (int i = 0; i < ALL; i++) {
      assert_int_equal(l[i].begins, i < begun);
      assert_int_equal(l[i].answers, i <= done);
    }
  }
}

/* How many begin, until nothing moves any more. */
static int count_begun(post_office *office, letter *l, int count) {
  http_call call;
  int begun = 0;
  for (;;) {
    still_loop_settle(office->still);
    if (!http_peer_has_caller(&office->peer)) {
      break;
    }
    http_peer_accept(&office->peer, &call);
    http_call_answer(&call, "200 OK", "Connection: close\r\n", "");
    http_call_close(&call);
  }
  for (int i = 0; i < count; i++) {
    begun += l[i].begins;
    assert_true(i == 0 || l[i - 1].begins >= l[i].begins); /* in order */
  }
  return begun;
}

static void the_rate_is_kept_and_nothing_turns_meanwhile(void **state) {
  post_office *office = *state;
  enum { ALL = 9 };
  letter l[ALL];
  options.rate_per_s = 4;
  options.burst = 3;
  open_hook(office);
  for (int i = 0; i < ALL; i++) {
    letter_init(&l[i], "1-1", "m");
    letter_send(&l[i], office);
  }
  assert_int_equal(count_begun(office, l, ALL), 3);
  assert_int_equal(still_loop_active(office->still), 1); /* the timer of the next turn */
  for (int expected = 4; expected <= 6; expected++) {
    still_loop_advance(office->still, 249999);
    assert_int_equal(count_begun(office, l, ALL), expected - 1);
    still_loop_advance(office->still, 1);
    assert_int_equal(count_begun(office, l, ALL), expected);
  }
  still_loop_advance(office->still, 500000);
  assert_int_equal(count_begun(office, l, ALL), 8);
  still_loop_advance(office->still, 60000000);
  assert_int_equal(count_begun(office, l, ALL), ALL);
  for (int i = 0; i < ALL; i++) {
    assert_int_equal(letter_wait(&l[i], office), CAFE_OK);
  }
  assert_int_equal(still_loop_active(office->still), 0); /* at rest nothing runs */
}

static void what_waits_is_bounded(void **state) {
  post_office *office = *state;
  enum { ALL = 5 };
  letter l[ALL + 1];
  cafe_err err;
  options.rate_per_s = 2;
  options.waiting_max = ALL;
  open_hook(office);
  for (int i = 0; i <= ALL; i++) {
    letter_init(&l[i], "1-1", "m");
    if (i < ALL) {
      letter_send(&l[i], office);
    }
  }
  assert_int_equal(office->channel->ops->send(office->channel, &l[ALL].base.delivery, &err), CAFE_OVERLOADED);
  assert_non_null(strstr(err.text, "5 messages wait"));
  assert_int_equal(err.retry_after_ms, 2500);
  assert_int_equal(office->channel->ops->send(office->channel, &l[ALL].base.delivery, NULL), CAFE_OVERLOADED);
  assert_int_equal(count_begun(office, l, ALL), 1);
  letter_send(&l[ALL], office);
  still_loop_advance(office->still, 10000000);
  while (count_begun(office, l, ALL + 1) < ALL + 1) {
    still_loop_advance(office->still, 500000);
  }
  for (int i = 0; i <= ALL; i++) {
    assert_int_equal(letter_wait(&l[i], office), CAFE_OK);
  }
}

static void send_next(letter *self) {
  letter *next = self->user;
  post_office *office = next->user;
  letter_send(next, office);
}

static void stop_other(letter *self) {
  letter *other = self->user;
  post_office *office = other->user;
  office->channel->ops->stop(office->channel, &other->base.delivery);
}

static void whoever_is_answered_may_send_and_stop_at_once(void **state) {
  post_office *office = *state;
  letter a, b;
  http_call calls[2];
  open_hook(office);
  letter_init(&a, "1-1", "m");
  letter_init(&b, "1-2", "m");
  a.then = send_next;
  a.user = &b;
  b.user = office;
  letter_send(&a, office);
  http_peer_accept(&office->peer, &calls[0]);
  http_call_answer(&calls[0], "200 OK", "", "");
  assert_int_equal(letter_wait(&a, office), CAFE_OK);
  http_call_next(&calls[0]);
  http_call_answer(&calls[0], "200 OK", "Connection: close\r\n", "");
  assert_int_equal(letter_wait(&b, office), CAFE_OK);
  http_call_close(&calls[0]);

  /* Both are over in the same turn, and the first that is answered stops the other. */
  letter x, y;
  letter_init(&x, "2-1", "m");
  letter_init(&y, "2-2", "m");
  x.then = stop_other;
  x.user = &y;
  y.user = office;
  letter_send(&x, office);
  letter_send(&y, office);
  http_peer_accept(&office->peer, &calls[0]);
  http_peer_accept(&office->peer, &calls[1]);
  still_loop_advance(office->still, 3600000000); /* both have run out of time */
  assert_int_equal(letter_wait(&x, office), CAFE_TIMEOUT);
  still_loop_settle(office->still);
  assert_int_equal(y.answers, 0);
  http_call_close(&calls[0]);
  http_call_close(&calls[1]);
}

static void a_stopped_delivery_is_let_go_of_wherever_it_is(void **state) {
  post_office *office = *state;
  letter l;
  http_call call;
  open_hook(office);
  for (int turns = 0; turns <= 3; turns++) { /* waiting; begun; connected */
    letter_init(&l, "1-1", "m");
    letter_send(&l, office);
    for (int i = 0; i < turns; i++) {
      still_loop_turn(office->still);
    }
    office->channel->ops->stop(office->channel, &l.base.delivery);
    still_loop_settle(office->still);
    assert_int_equal(l.answers, 0);
    assert_int_equal(still_loop_active(office->still), 0);
  }
  http_peer_close(&office->peer);
  http_peer_open(&office->peer, office->peer.turn, office->peer.user);
  cafe_channel_destroy(office->channel);
  options.url = NULL;
  open_hook(office);
  letter_init(&l, "1-1", "m");
  letter_send(&l, office);
  http_peer_accept(&office->peer, &call);
  office->channel->ops->stop(office->channel, &l.base.delivery);
  http_call_wait_closed(&call);
  assert_int_equal(l.answers, 0);
  assert_int_equal(still_loop_active(office->still), 0);
  http_call_close(&call);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(only_so_many_are_on_their_way_and_the_others_follow_in_order),
      TEST(the_rate_is_kept_and_nothing_turns_meanwhile),
      TEST(what_waits_is_bounded),
      TEST(whoever_is_answered_may_send_and_stop_at_once),
      TEST(a_stopped_delivery_is_let_go_of_wherever_it_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
