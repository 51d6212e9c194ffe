/* SPDX-License-Identifier: Apache-2.0 */
/* The webhook: what arrives, what becomes of each answer, and what a receiver can't do to us. */
#include "test_webhook_kit.h"

#include "cafe/version.h"

/* ---- what arrives ---- */

/* F8: a pluggable channel: one message, exactly as the receiver gets it. */
static void a_message_is_a_post_of_json_under_its_id(void **state) {
  post_office *office = *state;
  http_call call;
  letter l;
  open_hook(office);
  assert_string_equal(office->channel->name, "webhook");
  letter_init(&l, "1041-3", "커피가 \"준비\"됐어요 \xe2\x98\x95\n\\");
  l.base.delivery.attempt = 2;
  letter_send(&l, office);
  assert_int_equal(l.holds, 1);
  assert_int_equal(l.begins, 0);
  http_peer_accept(&office->peer, &call);
  assert_int_equal(l.begins, 1);
  char wanted[1024];
  (void)snprintf(wanted, sizeof(wanted),
                 "POST /hook?shop=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: cafe/%s\r\nAccept: */*\r\n"
                 "Content-Type: application/json\r\nIdempotency-Key: 1041-3\r\nContent-Length: %zu\r\n\r\n",
                 office->peer.port, CAFE_VERSION, call.body_size);
  assert_string_equal(call.head, wanted);
  assert_string_equal(call.body, "{\"notificationId\":\"1041-3\",\"orderId\":1041,\"customerId\":\"customer-7\","
                                 "\"event\":\"OrderAccepted\",\"message\":\"커피가 \\\"준비\\\"됐어요 "
                                 "\xe2\x98\x95\\u000a\\\\\",\"attempt\":2}");
  assert_int_equal(l.answers, 0);
  http_call_answer(&call, "204 No Content", "", "");
  assert_int_equal(letter_wait(&l, office), CAFE_OK);
  http_call_close(&call);
}

static void a_connection_is_kept_for_the_next_message(void **state) {
  post_office *office = *state;
  http_call call;
  letter l[3];
  open_hook(office);
  for (int i = 0; i < 3; i++) {
    char id[8] = "7-1";
    id[2] = (char)('1' + i);
    letter_init(&l[i], id, "m");
    letter_send(&l[i], office);
    if (i == 0) {
      http_peer_accept(&office->peer, &call);
    } else {
      http_call_next(&call);
    }
    assert_string_equal(http_call_header(&call, "Idempotency-Key"), id);
    http_call_answer(&call, "200 OK", "", "thanks");
    assert_int_equal(letter_wait(&l[i], office), CAFE_OK);
  }
  assert_false(http_peer_has_caller(&office->peer));
  http_call_close(&call);
}

/* C10: a secret from outside, sent to nobody but the receiver. */
static void a_token_goes_along_and_a_file_is_read_anew_for_each_message(void **state) {
  post_office *office = *state;
  http_call call;
  letter l;
  options.token = token;
  open_hook(office);
  letter_init(&l, "1-1", "m");
  letter_send(&l, office);
  http_peer_accept(&office->peer, &call);
  assert_string_equal(http_call_header(&call, "Authorization"), "Bearer s3cr3t-T0ken_0123456789");
  http_call_answer(&call, "200 OK", "", "");
  assert_int_equal(letter_wait(&l, office), CAFE_OK);
  cafe_channel_destroy(office->channel);
  http_call_close(&call);

  options.token = NULL;
  options.token_file = token_path;
  write_file(token_path, " \tfirst\r\n\n");
  open_hook(office);
  static const char *const written[] = {NULL, "second", "third\n"};
  static const char *const wanted[] = {"Bearer first", "Bearer second", "Bearer third"};
  for (int i = 0; i < 3; i++) {
    if (written[i]) {
      write_file(token_path, written[i]);
    }
    letter_init(&l, "1-2", "m");
    letter_send(&l, office);
    if (i == 0) {
      http_peer_accept(&office->peer, &call);
    } else {
      http_call_next(&call);
    }
    assert_string_equal(http_call_header(&call, "Authorization"), wanted[i]);
    http_call_answer(&call, "200 OK", "", "");
    assert_int_equal(letter_wait(&l, office), CAFE_OK);
  }
  http_call_close(&call);
}

static void a_token_file_that_is_gone_is_told_and_looked_for_again(void **state) {
  post_office *office = *state;
  http_call call;
  letter l;
  static const char *const bad[] = {NULL, "", "two words", "a\x01z"};
  options.token_file = token_path;
  write_file(token_path, "right");
  open_hook(office);
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    (void)unlink(token_path);
    if (bad[i]) {
      write_file(token_path, bad[i]);
    }
    letter_init(&l, "1-1", "m");
    letter_send(&l, office);
    assert_int_equal(letter_wait(&l, office), CAFE_UNAVAILABLE);
    assert_non_null(strstr(l.err.text, "token_file"));
    assert_null(strstr(l.err.text, "two words"));
  }
  write_file(token_path, "right");
  letter_init(&l, "1-1", "m");
  letter_send(&l, office);
  http_peer_accept(&office->peer, &call);
  http_call_answer(&call, "200 OK", "", "");
  assert_int_equal(letter_wait(&l, office), CAFE_OK);
  http_call_close(&call);
}

static void the_environment_names_no_proxy_but_an_option_does(void **state) {
  post_office *office = *state;
  http_call call;
  letter l;
  assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1/", 1), 0);
  assert_int_equal(setenv("all_proxy", "http://127.0.0.1:1/", 1), 0);
  open_hook(office);
  letter_init(&l, "1-1", "m");
  letter_send(&l, office);
  http_peer_accept(&office->peer, &call);
  http_call_answer(&call, "200 OK", "", "");
  assert_int_equal(letter_wait(&l, office), CAFE_OK);
  http_call_close(&call);
  cafe_channel_destroy(office->channel);

  char proxy[64];
  (void)snprintf(proxy, sizeof(proxy), "%s", http_peer_url(&office->peer, ""));
  assert_int_equal(setenv("no_proxy", "*", 1), 0);
  options.proxy = proxy;
  options.url = "http://receiver.example/hook";
  open_hook(office);
  letter_init(&l, "1-2", "m");
  letter_send(&l, office);
  http_peer_accept(&office->peer, &call);
  assert_memory_equal(call.head, "POST http://receiver.example/hook HTTP/1.1\r\n", 44);
  http_call_answer(&call, "200 OK", "", "");
  assert_int_equal(letter_wait(&l, office), CAFE_OK);
  http_call_close(&call);
  (void)unsetenv("http_proxy");
  (void)unsetenv("all_proxy");
  (void)unsetenv("no_proxy");
}

/* ---- what becomes of an answer ---- */

static int answer_with(post_office *office, letter *l, const char *status, const char *headers, const char *body) {
  http_call call;
  letter_init(l, "1041-1", "m");
  letter_send(l, office);
  http_peer_accept(&office->peer, &call);
  http_call_answer(&call, status, headers, body);
  int code = letter_wait(l, office);
  http_call_close(&call);
  return code;
}

static void each_status_is_a_yes_a_later_or_a_never(void **state) {
  post_office *office = *state;
  static const struct {
    const char *status;
    int code;
  } rows[] = {
      {"200 OK", CAFE_OK},
      {"202 Accepted", CAFE_OK},
      {"299 Fine", CAFE_OK},
      {"300 Choose", CAFE_INVALID},
      {"301 Moved", CAFE_INVALID},
      {"302 Found", CAFE_INVALID},
      {"307 Elsewhere", CAFE_INVALID},
      {"308 Elsewhere", CAFE_INVALID},
      {"400 Bad", CAFE_INVALID},
      {"401 Who", CAFE_DENIED},
      {"403 No", CAFE_DENIED},
      {"404 Nothing", CAFE_NOT_FOUND},
      {"408 Slow", CAFE_UNAVAILABLE},
      {"409 Conflict", CAFE_INVALID},
      {"410 Gone", CAFE_NOT_FOUND},
      {"422 Wrong", CAFE_INVALID},
      {"425 Early", CAFE_UNAVAILABLE},
      {"429 Many", CAFE_UNAVAILABLE},
      {"500 Oops", CAFE_UNAVAILABLE},
      {"501 What", CAFE_UNAVAILABLE},
      {"503 Busy", CAFE_UNAVAILABLE},
      {"599 Odd", CAFE_UNAVAILABLE},
  };
  char location[128];
  (void)snprintf(location, sizeof(location), "Connection: close\r\nLocation: %s\r\n",
                 http_peer_url(&office->peer, "/other"));
  open_hook(office);
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    letter l;
    assert_int_equal(answer_with(office, &l, rows[i].status, location, "why"), rows[i].code);
    still_loop_settle(office->still);
    assert_false(http_peer_has_caller(&office->peer)); /* no redirect is followed */
    if (rows[i].code != CAFE_OK) {
      char wanted[128];
      (void)snprintf(wanted, sizeof(wanted), "channel webhook: http://127.0.0.1:%d answered %.3s: why",
                     office->peer.port, rows[i].status);
      assert_string_equal(l.err.text, wanted);
      assert_int_equal(l.err.detail, atoi(rows[i].status));
    }
  }
}

static void who_says_when_is_not_asked_before(void **state) {
  post_office *office = *state;
  static const struct {
    const char *status, *headers;
    int32_t retry_after_ms;
  } rows[] = {
      {"503 Busy", "Retry-After: 7\r\n", 7000},
      {"429 Many", "Retry-After: 120\r\n", 120000},
      {"503 Busy", "", 0},
      {"503 Busy", "Retry-After: soon\r\n", 0},
      {"503 Busy", "Retry-After: -5\r\n", 0},
      {"503 Busy", "Retry-After: 86401\r\n", 86400000},
      {"503 Busy", "Retry-After: Sun, 06 Nov 2094 08:49:37 GMT\r\n", 86400000},
      {"503 Busy", "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 0},
      {"400 Bad", "Retry-After: 7\r\n", 0},
  };
  open_hook(office);
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    letter l;
    char headers[128];
    (void)snprintf(headers, sizeof(headers), "Connection: close\r\n%s", rows[i].headers);
    (void)answer_with(office, &l, rows[i].status, headers, "");
    assert_int_equal(l.err.retry_after_ms, rows[i].retry_after_ms);
  }
}

/* C10: a receiver that sends the token back doesn't make us write it down. */
static void what_is_told_of_an_answer_is_short_and_without_the_token(void **state) {
  post_office *office = *state;
  letter l;
  static char body[6000];
  options.token = token;
  options.url = http_peer_url(&office->peer, "/path-that-is-secret");
  open_hook(office);
  (void)snprintf(body, sizeof(body), "no\r\n\tentry \x1b[2J for \"%s\" nor Bearer %s", token, token);
  assert_int_equal(answer_with(office, &l, "400 Bad", "Connection: close\r\n", body), CAFE_INVALID);
  assert_non_null(strstr(l.err.text, "answered 400: no   entry  [2J for \"***********************\" nor Bearer ***"));

  /* Cut at any place, and in the middle of a character. */
  for (size_t before = 80; before < 130; before++) {
    memset(body, 'x', before);
    (void)snprintf(body + before, sizeof(body) - before, "%s커피커피커피커피커피커피", token);
    assert_int_equal(answer_with(office, &l, "400 Bad", "Connection: close\r\n", body), CAFE_INVALID);
    assert_null(strstr(l.err.text, "s3"));
    assert_null(strchr(l.err.text, '?'));
    assert_null(strstr(l.err.text, "path-that-is-secret"));
    assert_true(strlen(l.err.text) < 200);
  }
  for (size_t before = 4070; before < 4096; before++) {
    memset(body, ' ', before);
    body[0] = 'x';
    (void)snprintf(body + before, sizeof(body) - before, "%s", token);
    assert_int_equal(answer_with(office, &l, "400 Bad", "Connection: close\r\n", body), CAFE_INVALID);
    assert_null(strstr(l.err.text, "s3"));
  }
}

/* ---- receivers that fail ---- */

static void nobody_there_is_told_and_may_pass(void **state) {
  post_office *office = *state;
  letter l;
  open_hook(office);
  http_peer_close(&office->peer);
  letter_init(&l, "1-1", "m");
  letter_send(&l, office);
  assert_int_equal(letter_wait(&l, office), CAFE_UNAVAILABLE);
  assert_non_null(strstr(l.err.text, "connect"));
  assert_non_null(strstr(l.err.text, "http://127.0.0.1:"));
  assert_null(strstr(l.err.text, "/hook"));
}

static void an_answer_that_breaks_off_is_none(void **state) {
  post_office *office = *state;
  static const char *const parts[] = {
      "",
      "HTTP/1.1 20",
      "HTTP/1.1 200 OK\r\nContent-Le",
      "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
      "HTTP/1.1 100 Continue\r\n\r\n",
      "220 smtp.example ESMTP\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
  };
  open_hook(office);
  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
    letter l;
    http_call call;
    letter_init(&l, "1-1", "m");
    letter_send(&l, office);
    http_peer_accept(&office->peer, &call);
    assert_true(http_call_write(&call, parts[i], strlen(parts[i])));
    http_call_close(&call);
    if (letter_wait(&l, office) != CAFE_TIMEOUT) { /* nobody knows */
      fail_msg("%s", parts[i]);
    }
    assert_non_null(strstr(l.err.text, "channel webhook: http://127.0.0.1:"));
    assert_false(http_peer_has_caller(&office->peer));
  }
}

static void a_kept_connection_that_is_dead_costs_nothing_but_the_same_key(void **state) {
  post_office *office = *state;
  letter l;
  http_call first, second;
  open_hook(office);
  letter_init(&l, "1-1", "m");
  letter_send(&l, office);
  http_peer_accept(&office->peer, &first);
  http_call_answer(&first, "200 OK", "", "");
  assert_int_equal(letter_wait(&l, office), CAFE_OK);
  letter_init(&l, "1-2", "m");
  letter_send(&l, office);
  http_call_next(&first);
  http_call_close(&first); /* it was read, and isn't answered */
  http_peer_accept(&office->peer, &second);
  assert_string_equal(http_call_header(&second, "Idempotency-Key"), "1-2");
  http_call_answer(&second, "200 OK", "", "");
  assert_int_equal(letter_wait(&l, office), CAFE_OK);
  http_call_close(&second);
}

static void no_answer_in_time_is_none_and_the_time_counts_from_its_turn(void **state) {
  post_office *office = *state;
  letter l[2];
  http_call call;
  options.timeout_ms = 3000;
  options.in_flight_max = 1;
  open_hook(office);
  for (int i = 0; i < 2; i++) {
    letter_init(&l[i], i ? "1-2" : "1-1", "m");
    letter_send(&l[i], office);
  }
  http_peer_accept(&office->peer, &call);
  still_loop_advance(office->still, 2999999);
  still_loop_settle(office->still);
  assert_int_equal(l[0].answers, 0);
  still_loop_advance(office->still, 1);
  assert_int_equal(letter_wait(&l[0], office), CAFE_TIMEOUT);
  assert_non_null(strstr(l[0].err.text, "no answer within 3000 ms"));
  http_call_wait_closed(&call);
  http_call_close(&call);
  http_peer_accept(&office->peer, &call);
  assert_string_equal(http_call_header(&call, "Idempotency-Key"), "1-2");
  still_loop_advance(office->still, 2999999);
  still_loop_settle(office->still);
  assert_int_equal(l[1].answers, 0);
  still_loop_advance(office->still, 1);
  assert_int_equal(letter_wait(&l[1], office), CAFE_TIMEOUT);
  http_call_close(&call);
}

static void a_body_without_end_is_cut_and_the_status_counts(void **state) {
  post_office *office = *state;
  static char much[65536];
  memset(much, 'x', sizeof(much));
  open_hook(office);
  for (int is_error = 0; is_error <= 1; is_error++) {
    letter l;
    http_call call;
    letter_init(&l, "1-1", "m");
    letter_send(&l, office);
    http_peer_accept(&office->peer, &call);
    const char *head = is_error ? "HTTP/1.1 500 Oops\r\n\r\n" : "HTTP/1.1 200 OK\r\n\r\n";
    assert_true(http_call_write(&call, head, strlen(head)));
    int written = 0;
    while (http_call_write(&call, much, sizeof(much))) {
      assert_true(++written < 1000);
    }
    assert_int_equal(letter_wait(&l, office), is_error ? CAFE_UNAVAILABLE : CAFE_OK);
    http_call_close(&call);
  }
}

static void a_head_without_end_is_cut(void **state) {
  post_office *office = *state;
  static const char *const lines[] = {"X-More: 0123456789012345678901234567890123456789\r\n",
                                      "HTTP/1.1 100 Continue\r\n\r\n"};
  open_hook(office);
  for (int kind = 0; kind < 2; kind++) {
    letter l;
    http_call call;
    letter_init(&l, "1-1", "m");
    letter_send(&l, office);
    http_peer_accept(&office->peer, &call);
    if (kind == 0) {
      assert_true(http_call_write(&call, "HTTP/1.1 200 OK\r\n", 17));
    }
    int written = 0;
    while (http_call_write(&call, lines[kind], strlen(lines[kind]))) {
      assert_true(++written < 100000);
    }
    assert_int_equal(letter_wait(&l, office), CAFE_TIMEOUT);
    http_call_close(&call);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(a_message_is_a_post_of_json_under_its_id),
      TEST(a_connection_is_kept_for_the_next_message),
      TEST(a_token_goes_along_and_a_file_is_read_anew_for_each_message),
      TEST(a_token_file_that_is_gone_is_told_and_looked_for_again),
      TEST(the_environment_names_no_proxy_but_an_option_does),
      TEST(each_status_is_a_yes_a_later_or_a_never),
      TEST(who_says_when_is_not_asked_before),
      TEST(what_is_told_of_an_answer_is_short_and_without_the_token),
      TEST(nobody_there_is_told_and_may_pass),
      TEST(an_answer_that_breaks_off_is_none),
      TEST(a_kept_connection_that_is_dead_costs_nothing_but_the_same_key),
      TEST(no_answer_in_time_is_none_and_the_time_counts_from_its_turn),
      TEST(a_body_without_end_is_cut_and_the_status_counts),
      TEST(a_head_without_end_is_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
