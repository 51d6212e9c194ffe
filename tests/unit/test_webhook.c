/* SPDX-License-Identifier: Apache-2.0 */
/* The webhook over real sockets, its receiver played by the test: what arrives, what becomes of each answer, and what a
 * receiver can't do to us. Time stands still but where a test moves it. */
#include "cafe/channel/webhook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cafe/version.h"
#include "http_letters.h"

static const char token[] = "s3cr3t-T0ken_0123456789";
static const char token_path[] = "token.txt";

static cafe_webhook_options options;

static int setup(void **state) {
  (void)unlink(token_path);
  options = (cafe_webhook_options)CAFE_WEBHOOK_OPTIONS_INIT;
  *state = post_office_open();
  return 0;
}

static int teardown(void **state) {
  post_office_close(*state);
  (void)unlink(token_path);
  return 0;
}

static void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fclose(file), 0);
}

/* A webhook to the peer, by `options`. */
static void open_hook(post_office *office) {
  cafe_err err = {0};
  options.url = options.url ? options.url : http_peer_url(&office->peer, "/hook?shop=1");
  int code = cafe_webhook_create(&office->channel, office->loop, &options, &office->memory.allocator, &err);
  if (code != CAFE_OK) {
    fail_msg("%s", err.text);
  }
}

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

/* ---- turns ---- */

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

/* ---- options ---- */

static void refuse(post_office *office, int code, const char *text) {
  cafe_err err = {0};
  cafe_channel *channel = NULL;
  assert_int_equal(cafe_webhook_create(&channel, office->loop, &options, &office->memory.allocator, &err), code);
  if (!strstr(err.text, text)) {
    fail_msg("\"%s\" doesn't say \"%s\"", err.text, text);
  }
  assert_null(strstr(err.text, "s3cr3t"));
  assert_null(strstr(err.text, "hunter2"));
  assert_int_equal(cafe_webhook_create(&channel, office->loop, &options, &office->memory.allocator, NULL), code);
  assert_null(channel);
  options = (cafe_webhook_options)CAFE_WEBHOOK_OPTIONS_INIT;
  options.url = "http://127.0.0.1:9/";
}

/* C10: what would give a secret away is refused, without repeating it. */
static void wrong_options_are_refused_and_secrets_not_repeated(void **state) {
  post_office *office = *state;
  refuse(office, CAFE_INVALID, "url is NULL");
  options.url = "";
  refuse(office, CAFE_INVALID, "isn't understood");
  options.url = "127.0.0.1/hunter2";
  refuse(office, CAFE_INVALID, "isn't understood");
  options.url = "http://h ost/hunter2";
  refuse(office, CAFE_INVALID, "isn't understood");
  options.url = "ftp://host/hunter2";
  refuse(office, CAFE_INVALID, "http:// or https://");
  options.url = "file:///etc/passwd";
  refuse(office, CAFE_INVALID, "");
  options.url = "http://hunter2@host/";
  refuse(office, CAFE_INVALID, "names a user");
  options.url = "https://me:hunter2@host/";
  refuse(office, CAFE_INVALID, "names a user");
  options.proxy = "http://me:hunter2@proxy:3128";
  refuse(office, CAFE_INVALID, "proxy names a user");
  options.proxy = "socks5://proxy:1080";
  refuse(office, CAFE_INVALID, "proxy begins with");
  options.token = token;
  options.token_file = token_path;
  refuse(office, CAFE_INVALID, "give one");
  options.token = "";
  refuse(office, CAFE_INVALID, "0 characters");
  options.token = "s3cr3t\r\nX-Evil: 1";
  refuse(office, CAFE_INVALID, "characters that a token can't have");
  options.token = "s3cr3t 커피";
  refuse(office, CAFE_INVALID, "characters that a token can't have");
  options.token_file = "not-there";
  refuse(office, CAFE_INVALID, "not-there can't be read");
  options.token_file = "/";
  refuse(office, CAFE_INVALID, "can't be read");
  options.token_file = "/dev/zero";
  refuse(office, CAFE_INVALID, "can't be read");
  options.ca_file = "not-there";
  refuse(office, CAFE_INVALID, "ca_file not-there can't be read");
  options.timeout_ms = -1;
  refuse(office, CAFE_INVALID, "timeout_ms");
  options.timeout_ms = INT64_MAX;
  refuse(office, CAFE_INVALID, "timeout_ms");
  options.size = 4;
  refuse(office, CAFE_INVALID, "CAFE_WEBHOOK_OPTIONS_INIT");
}

static void a_token_in_the_clear_stays_on_this_machine(void **state) {
  post_office *office = *state;
  static const struct {
    const char *url;
    int code;
  } rows[] = {
      {"http://127.0.0.1:9/", CAFE_OK},
      {"http://127.1.2.3/", CAFE_OK},
      {"http://localhost/", CAFE_OK},
      {"http://[::1]:9/", CAFE_OK},
      {"https://receiver.example/", CAFE_OK},
      {"http://receiver.example/", CAFE_INVALID},
      {"http://127.evil.example/", CAFE_INVALID},
      {"http://localhost.evil.example/", CAFE_INVALID},
      {"http://10.0.0.1/", CAFE_INVALID},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    cafe_err err = {0};
    cafe_channel *channel = NULL;
    options.url = rows[i].url;
    options.token = token;
    options.allows_clear_token = false;
    assert_int_equal(cafe_webhook_create(&channel, office->loop, &options, NULL, &err), rows[i].code);
    if (rows[i].code == CAFE_OK) {
      cafe_channel_destroy(channel);
    } else {
      assert_non_null(strstr(err.text, "in the clear"));
    }
    options.allows_clear_token = true;
    assert_int_equal(cafe_webhook_create(&channel, office->loop, &options, NULL, &err), CAFE_OK);
    cafe_channel_destroy(channel);
  }
}

static void a_loop_without_descriptors_is_refused(void **state) {
  post_office *office = *state;
  const cafe_loop_ops *seeing = office->loop->ops;
  cafe_loop_ops blind = *seeing;
  cafe_channel *channel = NULL;
  cafe_err err;
  blind.watch_start = NULL;
  office->loop->ops = &blind;
  options.url = "http://127.0.0.1:9/";
  assert_int_equal(cafe_webhook_create(&channel, office->loop, &options, NULL, &err), CAFE_UNSUPPORTED);
  office->loop->ops = seeing;
  assert_non_null(strstr(err.text, "must watch descriptors"));
}

static void a_name_of_ones_own_is_kept(void **state) {
  post_office *office = *state;
  char name[] = "crm";
  options.name = name;
  open_hook(office);
  name[0] = 'x';
  assert_string_equal(office->channel->name, "crm");
}

/* ---- what is left in memory ---- */

typedef struct sealed {
  size_t size;
  max_align_t bytes[];
} sealed;

/* Refuses to take back memory that still holds the token. */
static void *sealed_resize(void *block, size_t size, void *user) {
  sealed *old = block ? (sealed *)(void *)((char *)block - offsetof(sealed, bytes)) : NULL;
  sealed *fresh = NULL;
  if (size > 0) {
    fresh = malloc(sizeof(sealed) + size);
    assert_non_null(fresh);
    fresh->size = size;
    if (old) {
      memcpy(fresh->bytes, old->bytes, old->size < size ? old->size : size);
    }
  }
  if (old) {
    assert_null(memmem(old->bytes, old->size, token, strlen(token)));
    free(old);
  }
  return fresh ? fresh->bytes : NULL;
}

/* C10 */
static void the_token_is_wiped_from_our_memory(void **state) {
  post_office *office = *state;
  const cafe_allocator allocator = {sealed_resize, NULL};
  http_call call;
  letter l;
  for (int is_file = 0; is_file <= 1; is_file++) {
    cafe_err err;
    write_file(token_path, token);
    options.url = http_peer_url(&office->peer, "/");
    options.token = is_file ? NULL : token;
    options.token_file = is_file ? token_path : NULL;
    assert_int_equal(cafe_webhook_create(&office->channel, office->loop, &options, &allocator, &err), CAFE_OK);
    letter_init(&l, "1-1", "m");
    letter_send(&l, office);
    http_peer_accept(&office->peer, &call);
    http_call_answer(&call, "400 Bad", "Connection: close\r\n", token);
    assert_int_equal(letter_wait(&l, office), CAFE_INVALID);
    http_call_close(&call);
    cafe_channel_destroy(office->channel);
    office->channel = NULL;
    options.timeout_ms = -1;
    assert_int_equal(cafe_webhook_create(&office->channel, office->loop, &options, &allocator, &err), CAFE_INVALID);
    options.timeout_ms = 0;
  }
}

/* ---- what is refused to us ---- */

/* One message with its answer, whatever fails. Returns its code, or that of the step before. */
static int try_message(post_office *office) {
  letter l;
  cafe_err err;
  int code = cafe_webhook_create(&office->channel, office->loop, &options, &office->memory.allocator, &err);
  if (code != CAFE_OK) {
    office->channel = NULL;
    return code;
  }
  letter_init(&l, "1-1", "a message");
  code = office->channel->ops->send(office->channel, &l.base.delivery, &err);
  for (int i = 0; code == CAFE_OK && !l.answers; i++) {
    http_call call;
    assert_true(i < 2000);
    still_loop_turn(office->still);
    if (http_peer_has_caller(&office->peer)) {
      if (http_peer_try(&office->peer, &call)) {
        http_call_answer(&call, "200 OK", "", "");
      }
      (void)letter_wait(&l, office);
      http_call_close(&call);
    }
  }
  code = code == CAFE_OK ? l.code : code;
  cafe_channel_destroy(office->channel);
  office->channel = NULL;
  return code;
}

/* Connections that were given up before their request came. */
static void renew_peer(post_office *office) {
  http_peer_close(&office->peer);
  http_peer_open(&office->peer, office->peer.turn, office->peer.user);
  options.url = http_peer_url(&office->peer, "/hook");
}

static void a_refused_allocation_fails_one_attempt_and_leaves_nothing(void **state) {
  post_office *office = *state;
  size_t n;
  options.token = token;
  for (n = 1; failing_alloc_begin(&office->memory, n); n++) {
    renew_peer(office);
    int code = try_message(office);
    assert_int_equal(code, office->memory.refused ? CAFE_NOMEM : CAFE_OK);
    failing_alloc_end(&office->memory);
  }
  assert_true(n > 5);
}

static void a_loop_that_fails_fails_one_attempt_and_leaves_nothing(void **state) {
  post_office *office = *state;
  for (int what = 0; what < 4; what++) {
    uint64_t n = 1;
    bool was_hit;
    do {
      renew_peer(office);
      still_loop_fail(office->still, what % 2 ? 0 : n, what % 2 ? n : 0, what >= 2);
      int code = try_message(office);
      was_hit = still_loop_failed(office->still) > 0;
      assert_true(code == CAFE_OK || (was_hit && code == CAFE_NOMEM));
      n++;
    } while (was_hit);
    assert_true(n > 2);
  }
  still_loop_fail(office->still, 0, 0, false);
}

static void a_timer_that_fails_fails_all_who_rest_on_it(void **state) {
  post_office *office = *state;
  letter l[4];
  http_call call;
  options.in_flight_max = 2;
  open_hook(office);
  for (int i = 0; i < 4; i++) {
    letter_init(&l[i], "1-1", "m");
    letter_send(&l[i], office);
  }
  http_peer_accept(&office->peer, &call);
  still_loop_settle(office->still);
  still_loop_fail(office->still, 1, 0, true);
  http_call_answer(&call, "200 OK", "", "");
  assert_int_equal(letter_wait(&l[0], office), CAFE_OK);
  for (int i = 1; i < 4; i++) {
    assert_int_equal(letter_wait(&l[i], office), CAFE_NOMEM);
  }
  still_loop_fail(office->still, 0, 0, false);
  http_call_close(&call);
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
      TEST(only_so_many_are_on_their_way_and_the_others_follow_in_order),
      TEST(the_rate_is_kept_and_nothing_turns_meanwhile),
      TEST(what_waits_is_bounded),
      TEST(whoever_is_answered_may_send_and_stop_at_once),
      TEST(a_stopped_delivery_is_let_go_of_wherever_it_is),
      TEST(wrong_options_are_refused_and_secrets_not_repeated),
      TEST(a_token_in_the_clear_stays_on_this_machine),
      TEST(a_loop_without_descriptors_is_refused),
      TEST(a_name_of_ones_own_is_kept),
      TEST(the_token_is_wiped_from_our_memory),
      TEST(a_refused_allocation_fails_one_attempt_and_leaves_nothing),
      TEST(a_loop_that_fails_fails_one_attempt_and_leaves_nothing),
      TEST(a_timer_that_fails_fails_all_who_rest_on_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
