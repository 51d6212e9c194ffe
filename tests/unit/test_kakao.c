/* SPDX-License-Identifier: Apache-2.0 */
/* The KakaoTalk channel over real sockets, Kakao played by the test, with the answers that its documents show. */
#include "cafe/channel/kakao.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "http_letters.h"

static const char token_path[] = "kakao-token.txt";
static const char done[] = "{\"result_code\":0}";

static cafe_kakao_options options;

static int setup(void **state) {
  options = (cafe_kakao_options)CAFE_KAKAO_OPTIONS_INIT;
  options.token = "ya29-token";
  *state = post_office_open();
  return 0;
}

static int teardown(void **state) {
  post_office_close(*state);
  (void)unlink(token_path);
  return 0;
}

static void open_kakao(post_office *office) {
  cafe_err err = {0};
  options.base = http_peer_url(&office->peer, "");
  if (office->channel) {
    cafe_channel_destroy(office->channel);
    office->channel = NULL;
  }
  int code = cafe_kakao_create(&office->channel, office->loop, &options, &office->memory.allocator, &err);
  if (code != CAFE_OK) {
    fail_msg("%s", err.text);
  }
}

/* The value of a form's field, decoded; fails the test if it isn't there, or isn't encoded as it must be. */
static const char *field(const http_call *call, const char *name) {
  static char value[8192];
  size_t size = strlen(name);
  for (const char *at = call->body; *at; at += at[0] == '&') {
    const char *end = at + strcspn(at, "&");
    if (strncmp(at, name, size) == 0 && at[size] == '=') {
      char *to = value;
      for (at += size + 1; at < end; at++) {
        if (*at == '%') {
          char hex[3] = {at[1], at[2], '\0'};
          assert_int_equal(strspn(hex, "0123456789ABCDEF"), 2);
          *to++ = (char)strtol(hex, NULL, 16);
          at += 2;
        } else {
          assert_true(strchr("-._~", *at) || (*at >= '0' && *at <= '9') || (*at >= 'A' && *at <= 'Z') ||
                      (*at >= 'a' && *at <= 'z'));
          *to++ = *at;
        }
      }
      *to = '\0';
      return value;
    }
    at = end;
  }
  fail_msg("the form has no %s: %s", name, call->body);
  return NULL;
}

static int fields(const http_call *call) {
  int count = 1;
  for (const char *at = call->body; *at; at++) {
    count += *at == '&';
  }
  return count;
}

static void take(post_office *office, http_call *call, letter *l, const char *message) {
  letter_init(l, "1041-3", message);
  letter_send(l, office);
  http_peer_accept(&office->peer, call);
}

static int answer(post_office *office, http_call *call, letter *l, const char *status, const char *body) {
  http_call_answer(call, status, "Content-Type: application/json;charset=UTF-8\r\n", body);
  int code = letter_wait(l, office);
  http_call_wait_closed(call); /* no connection is used twice */
  http_call_close(call);
  return code;
}

/* ---- what is sent ---- */

/* F8 */
static void a_memo_is_a_default_text_template(void **state) {
  post_office *office = *state;
  http_call call;
  letter l;
  open_kakao(office);
  assert_string_equal(office->channel->name, "kakao");
  take(office, &call, &l, "커피가 \"준비\"됐어요 & 100% = 맛\n있어요+\xe2\x98\x95");
  assert_memory_equal(call.head, "POST /v2/api/talk/memo/default/send HTTP/1.1\r\n", 46);
  assert_string_equal(http_call_header(&call, "Authorization"), "Bearer ya29-token");
  assert_string_equal(http_call_header(&call, "Content-Type"), "application/x-www-form-urlencoded;charset=utf-8");
  assert_null(http_call_header(&call, "Idempotency-Key"));
  assert_int_equal(fields(&call), 1);
  assert_string_equal(field(&call, "template_object"),
                      "{\"object_type\":\"text\",\"text\":\"커피가 \\\"준비\\\"됐어요 & 100% = "
                      "맛\\u000a있어요+\xe2\x98\x95\",\"link\":{}}");
  assert_int_equal(answer(office, &call, &l, "200 OK", done), CAFE_OK);

  options.link_url = "https://shop.example/?a=\"1\"";
  open_kakao(office);
  take(office, &call, &l, "m");
  assert_string_equal(field(&call, "template_object"),
                      "{\"object_type\":\"text\",\"text\":\"m\",\"link\":{\"web_url\":\"https://shop.example/"
                      "?a=\\\"1\\\"\",\"mobile_web_url\":\"https://shop.example/?a=\\\"1\\\"\"}}");
  assert_int_equal(answer(office, &call, &l, "200 OK", " { \"result_code\" : 0 }"), CAFE_OK);
}

static void a_custom_template_gets_its_arguments(void **state) {
  post_office *office = *state;
  http_call call;
  letter l;
  options.template_id = "12345";
  open_kakao(office);
  take(office, &call, &l, "준비 \"됐\"");
  assert_memory_equal(call.head, "POST /v2/api/talk/memo/send HTTP/1.1\r\n", 38);
  assert_int_equal(fields(&call), 2);
  assert_string_equal(field(&call, "template_id"), "12345");
  assert_string_equal(field(&call, "template_args"),
                      "{\"notificationId\":\"1041-3\",\"orderId\":\"1041\",\"customerId\":\"customer-7\","
                      "\"event\":\"OrderAccepted\",\"message\":\"준비 \\\"됐\\\"\"}");
  assert_int_equal(answer(office, &call, &l, "200 OK", done), CAFE_OK);
}

static void friends_are_named_by_their_uuids(void **state) {
  post_office *office = *state;
  http_call call;
  letter l;
  static const char told[] = "{\"successful_receiver_uuids\":[\"abc-1\"]}";
  options.target = CAFE_KAKAO_FRIENDS;
  open_kakao(office);
  take(office, &call, &l, "m");
  assert_memory_equal(call.head, "POST /v1/api/talk/friends/message/default/send HTTP/1.1\r\n", 57);
  assert_int_equal(fields(&call), 2);
  assert_string_equal(field(&call, "receiver_uuids"), "[\"customer-7\"]");
  (void)field(&call, "template_object");
  assert_int_equal(answer(office, &call, &l, "200 OK", told), CAFE_OK);

  letter_init(&l, "1-1", "m"); /* a customer's id can't add a receiver */
  l.base.delivery.customer_id = cafe_text("a\",\"b,c");
  letter_send(&l, office);
  http_peer_accept(&office->peer, &call);
  assert_string_equal(field(&call, "receiver_uuids"), "[\"a\\\",\\\"b,c\"]");
  assert_int_equal(answer(office, &call, &l, "200 OK", told), CAFE_OK);

  options.receivers = "abc-1,abc-2,abc-3";
  options.template_id = "77";
  open_kakao(office);
  take(office, &call, &l, "m");
  assert_memory_equal(call.head, "POST /v1/api/talk/friends/message/send HTTP/1.1\r\n", 49);
  assert_int_equal(fields(&call), 3);
  assert_string_equal(field(&call, "receiver_uuids"), "[\"abc-1\",\"abc-2\",\"abc-3\"]");
  assert_int_equal(answer(office, &call, &l, "200 OK", told), CAFE_OK);
}

static void a_long_text_is_cut_between_characters(void **state) {
  post_office *office = *state;
  static const struct {
    const char *character;
    int most;
  } rows[] = {{"x", 200}, {"\xc3\xa9", 200}, {"커", 200}, {"\xf0\x9f\x98\x80", 100}};
  open_kakao(office);
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    http_call call;
    letter l;
    char text[2048] = "", wanted[2048];
    for (int count = 0; count < rows[i].most; count++) {
      strcat(text, rows[i].character);
    }
    (void)snprintf(wanted, sizeof(wanted), "{\"object_type\":\"text\",\"text\":\"%s\",\"link\":{}}", text);
    for (int more = 0; more <= 1; more++) {
      take(office, &call, &l, text);
      assert_string_equal(field(&call, "template_object"), wanted);
      assert_int_equal(answer(office, &call, &l, "200 OK", done), CAFE_OK);
      strcat(text, rows[i].character);
    }
  }
}

/* ---- what is answered ---- */

static void each_answer_is_a_yes_a_later_or_a_never(void **state) {
  post_office *office = *state;
  static const struct {
    const char *status, *body;
    int code;
    int32_t retry_after_ms;
    const char *text;
  } rows[] = {
      {"200 OK", "{\"result_code\":0}", CAFE_OK, 0, ""},
      {"200 OK", "{\"result_code\":-1}", CAFE_TIMEOUT, 0, "not as the API does"},
      {"200 OK", "", CAFE_TIMEOUT, 0, "not as the API does"},
      {"200 OK", "<html>welcome to this hotel's network</html>", CAFE_TIMEOUT, 0, "not as the API does: <html>"},
      {"302 Found", "", CAFE_INVALID, 0, "answered 302"},
      {"400 Bad", "{\"msg\":\"internal error\",\"code\":-1}", CAFE_UNAVAILABLE, 1, "internal error"},
      {"400 Bad", "{\"msg\":\"service is under maintenance\",\"code\":-7}", CAFE_UNAVAILABLE, 60000, "maintenance"},
      {"503 Busy", "{\"msg\":\"under inspection\",\"code\":-9798}", CAFE_UNAVAILABLE, 60000, "inspection"},
      {"400 Bad", "{\"msg\":\"API limit has been exceeded.\",\"code\":-10}", CAFE_UNAVAILABLE, 600000, "exceeded"},
      {"400 Bad", "{ \"code\" : -532 , \"msg\":\"m\"}", CAFE_UNAVAILABLE, 600000, "-532"},
      {"401 No", "{\"msg\":\"this access token does not exist\",\"code\":-401}", CAFE_UNAVAILABLE, 60000,
       "the access token isn't valid: start anew with another: {\"msg\":\"this access token does not exist\""},
      {"401 No", "", CAFE_UNAVAILABLE, 60000, "the access token isn't valid"},
      {"400 Bad", "{\"msg\":\"no\",\"code\":-2}", CAFE_INVALID, 0, "answered 400: {\"msg\":\"no\",\"code\":-2}"},
      {"400 Bad", "{\"msg\":\"say \\\"code\\\": -10\",\"code\":-2}", CAFE_INVALID, 0, "-2"},
      {"403 No", "{\"msg\":\"insufficient scopes.\",\"code\":-402}", CAFE_DENIED, 0, "insufficient scopes"},
      {"404 Not", "", CAFE_NOT_FOUND, 0, "answered 404"},
      {"429 Many", "{}", CAFE_UNAVAILABLE, 0, "answered 429"},
      {"502 Bad", "<html>", CAFE_UNAVAILABLE, 0, "answered 502"},
  };
  open_kakao(office);
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    http_call call;
    letter l;
    take(office, &call, &l, "m");
    if (answer(office, &call, &l, rows[i].status, rows[i].body) != rows[i].code) {
      fail_msg("%s %s: %d %s", rows[i].status, rows[i].body, l.code, l.err.text);
    }
    assert_int_equal(l.err.retry_after_ms, rows[i].retry_after_ms);
    if (!strstr(l.err.text, rows[i].text)) {
      fail_msg("\"%s\" doesn't say \"%s\"", l.err.text, rows[i].text);
    }
  }
}

static void nobody_is_told_twice_where_some_friends_have_it(void **state) {
  post_office *office = *state;
  static const struct {
    const char *body;
    int code;
    int32_t retry_after_ms;
  } rows[] = {
      {"{\"successful_receiver_uuids\":[\"a\",\"b\"]}", CAFE_OK, 0},
      {"{\"successful_receiver_uuids\":[\"a\",\"b\"],\"failure_info\":[]}", CAFE_OK, 0},
      {"{\"successful_receiver_uuids\":[\"a\"],\"failure_info\":[{\"code\":-532,\"msg\":\"limit\","
       "\"receiver_uuids\":[\"b\"]}]}",
       CAFE_INVALID, 0},
      {"{\"successful_receiver_uuids\":[],\"failure_info\":[{\"code\":-532,\"msg\":\"limit\",\"receiver_uuids\":"
       "[\"a\",\"b\"]}]}",
       CAFE_UNAVAILABLE, 600000},
      {"{\"failure_info\":[{\"code\":-530,\"msg\":\"refuses\",\"receiver_uuids\":[\"a\",\"b\"]}]}", CAFE_INVALID, 0},
      {"{\"successful_receiver_uuids\":[]}", CAFE_TIMEOUT, 0},
      {"{\"result_code\":0}", CAFE_TIMEOUT, 0},
  };
  options.target = CAFE_KAKAO_FRIENDS;
  options.receivers = "a,b";
  open_kakao(office);
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    http_call call;
    letter l;
    take(office, &call, &l, "m");
    if (answer(office, &call, &l, "200 OK", rows[i].body) != rows[i].code) {
      fail_msg("%s: %d %s", rows[i].body, l.code, l.err.text);
    }
    assert_int_equal(l.err.retry_after_ms, rows[i].retry_after_ms);
  }
}

/* C10 */
static void a_token_that_was_renewed_is_used_without_a_restart(void **state) {
  post_office *office = *state;
  http_call call;
  letter l;
  FILE *file = fopen(token_path, "w");
  assert_true(fputs("old\n", file) >= 0);
  assert_int_equal(fclose(file), 0);
  options.token = NULL;
  options.token_file = token_path;
  open_kakao(office);
  take(office, &call, &l, "m");
  assert_string_equal(http_call_header(&call, "Authorization"), "Bearer old");
  assert_int_equal(answer(office, &call, &l, "401 No", "{\"msg\":\"no old token\",\"code\":-401}"), CAFE_UNAVAILABLE);
  assert_non_null(strstr(l.err.text, "write a new one into its token_file: {\"msg\":\"no *** token\",\"code\":-401}"));
  file = fopen(token_path, "w");
  assert_true(fputs("new\n", file) >= 0);
  assert_int_equal(fclose(file), 0);
  take(office, &call, &l, "m");
  assert_string_equal(http_call_header(&call, "Authorization"), "Bearer new");
  assert_int_equal(answer(office, &call, &l, "200 OK", done), CAFE_OK);
}

static void a_request_is_never_repeated_by_itself(void **state) {
  post_office *office = *state;
  http_call call;
  letter l;
  open_kakao(office);
  for (int i = 0; i < 2; i++) {
    take(office, &call, &l, "m");
    assert_int_equal(answer(office, &call, &l, "200 OK", done), CAFE_OK);
    take(office, &call, &l, "m");
    http_call_close(&call);
    assert_int_equal(letter_wait(&l, office), CAFE_TIMEOUT);
    still_loop_settle(office->still);
    assert_false(http_peer_has_caller(&office->peer));
  }
}

/* ---- options ---- */

static void refuse(post_office *office, int code, const char *text) {
  cafe_err err = {0};
  cafe_channel *channel = NULL;
  assert_int_equal(cafe_kakao_create(&channel, office->loop, &options, &office->memory.allocator, &err), code);
  if (!strstr(err.text, text)) {
    fail_msg("\"%s\" doesn't say \"%s\"", err.text, text);
  }
  assert_null(strstr(err.text, "ya29"));
  options = (cafe_kakao_options)CAFE_KAKAO_OPTIONS_INIT;
  options.token = "ya29-token";
}

static void wrong_options_are_refused(void **state) {
  post_office *office = *state;
  static const char *const receivers[] = {"", ",", "a,", ",a", "a,,b", "1,2,3,4,5,6"};
  static const char *const ids[] = {"", "12a", "1&x=2", "123456789012345678901"};
  static const char *const bases[] = {"", "kapi.kakao.com", "https://host/path", "https://host/?q", "https://host#f"};
  options.token = NULL;
  refuse(office, CAFE_INVALID, "needs an access token");
  options.target = (cafe_kakao_target)7;
  refuse(office, CAFE_INVALID, "target");
  options.receivers = "a";
  refuse(office, CAFE_INVALID, "set the target");
  for (size_t i = 0; i < sizeof(receivers) / sizeof(receivers[0]); i++) {
    options.target = CAFE_KAKAO_FRIENDS;
    options.receivers = receivers[i];
    refuse(office, CAFE_INVALID, "1 to 5 uuids");
  }
  for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
    options.template_id = ids[i];
    refuse(office, CAFE_INVALID, "template_id must be digits");
  }
  for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
    options.base = bases[i];
    refuse(office, CAFE_INVALID, "without a path");
  }
  options.base = "https://me:ya29@host";
  refuse(office, CAFE_INVALID, "names a user");
  options.base = "http://kakao.example/";
  refuse(office, CAFE_INVALID, "in the clear");
  options.size = 0;
  refuse(office, CAFE_INVALID, "CAFE_KAKAO_OPTIONS_INIT");
}

static void the_real_address_is_the_default(void **state) {
  post_office *office = *state;
  assert_int_equal(cafe_kakao_create(&office->channel, office->loop, &options, &office->memory.allocator, NULL),
                   CAFE_OK);
}

static void a_refused_allocation_fails_one_attempt_and_leaves_nothing(void **state) {
  post_office *office = *state;
  size_t n;
  char base[64], text[2000];
  memset(text, '"', sizeof(text) - 1);
  text[sizeof(text) - 1] = '\0';
  (void)snprintf(base, sizeof(base), "%s", http_peer_url(&office->peer, ""));
  options.target = CAFE_KAKAO_FRIENDS;
  options.receivers = "a,b";
  options.link_url = "https://shop.example/";
  options.base = base;
  for (int is_custom = 0; is_custom <= 1; is_custom++) {
    options.template_id = is_custom ? "1" : NULL;
    for (n = 1; failing_alloc_begin(&office->memory, n); n++) {
      letter l;
      cafe_err err;
      int code = cafe_kakao_create(&office->channel, office->loop, &options, &office->memory.allocator, &err);
      if (code == CAFE_OK) {
        letter_init(&l, "1-1", text);
        code = office->channel->ops->send(office->channel, &l.base.delivery, &err);
        if (code == CAFE_OK) {
          still_loop_settle(office->still);
          if (http_peer_has_caller(&office->peer)) {
            http_call call;
            if (http_peer_try(&office->peer, &call)) {
              http_call_answer(&call, "200 OK", "", "{\"successful_receiver_uuids\":[\"a\",\"b\"]}");
            }
            code = letter_wait(&l, office);
            http_call_close(&call);
          } else {
            code = letter_wait(&l, office);
          }
        }
        cafe_channel_destroy(office->channel);
        office->channel = NULL;
      }
      assert_int_equal(code, office->memory.refused ? CAFE_NOMEM : CAFE_OK);
      failing_alloc_end(&office->memory);
      while (http_peer_has_caller(&office->peer)) {
        http_call left;
        (void)http_peer_try(&office->peer, &left);
        http_call_close(&left);
      }
    }
    assert_true(n > 10);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(a_memo_is_a_default_text_template),
      TEST(a_custom_template_gets_its_arguments),
      TEST(friends_are_named_by_their_uuids),
      TEST(a_long_text_is_cut_between_characters),
      TEST(each_answer_is_a_yes_a_later_or_a_never),
      TEST(nobody_is_told_twice_where_some_friends_have_it),
      TEST(a_token_that_was_renewed_is_used_without_a_restart),
      TEST(a_request_is_never_repeated_by_itself),
      TEST(wrong_options_are_refused),
      TEST(the_real_address_is_the_default),
      TEST(a_refused_allocation_fails_one_attempt_and_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
