/* SPDX-License-Identifier: Apache-2.0 */
/* The webhook: options that are refused, secrets that aren't left anywhere, and memory and loops that fail. */
#include "test_webhook_kit.h"

/* ---- options ---- */

static void refuse(post_office *office, int code, const char *text) {
  cafe_err err = {0};
  cafe_channel *channel = NULL;
  assert_int_equal(cafe_webhook_create(&channel, office->loop, &options, &office->memory.allocator, &err), code);
  assert_int_equal(err.code, code);
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
