/* SPDX-License-Identifier: Apache-2.0 */
/* What a transport over TCP is made with, and what it does without memory. */
#include <fcntl.h>

#include "cafe/testing/sim.h"
#include "failing_alloc.h"
#include "tcp_kit.h"

static int try_create(const cafe_tcp_options *options, const char *text) {
  cafe_transport *transport = NULL;
  cafe_err err = {0};
  int code = cafe_tcp_create(&transport, options, &err);
  assert_true(code == CAFE_OK || strstr(err.text, text));
  assert_int_equal(!transport, code != CAFE_OK);
  cafe_transport_destroy(transport);
  return code;
}

static int try_peer(const char *address, bool is_insecure) {
  cafe_tcp_peer peer = {"pay", address, {NULL, NULL}};
  cafe_tcp_options options = CAFE_TCP_OPTIONS_INIT;
  options.peers = &peer;
  options.peer_count = 1;
  options.is_insecure = is_insecure;
  return try_create(&options, address && strlen(address) < 100 ? address : "");
}

static void addresses_are_read_as_they_are_written(void **state) {
  static const char *const wrong[] = {
      NULL,         "",           "pay",         ":9082",
      "127.0.0.1",  "127.0.0.1:", "127.0.0.1:0", "x:65536",
      "x:9082x",    "x:-1",       "x: 9082",     "x:999999999999",
      "[::1]",      "[::1]9082",  "[::1",        "[]:9082",
      "[pay]:9082", "::1:9082",   "[::1]x:9082", "pay example:90",
      "pay/x:9082", "tcp://x:90", "x:9082 ",     "[127.0.0.1]:9082",
  };
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    if (try_peer(wrong[i], true) != CAFE_INVALID) {
      fail_msg("%s", wrong[i]);
    }
  }
  static const char *const right[] = {"127.0.0.1:1", "[::1]:65535", "pay.example:9082", "localhost:9082",
                                      "my_host-1:80"};
  for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
    assert_int_equal(try_peer(right[i], true), CAFE_OK);
  }
  char host[300];
  memset(host, 'a', sizeof(host));
  strcpy(host + 254, ":90");
  assert_int_equal(try_peer(host, true), CAFE_INVALID);
  strcpy(host + 253, ":90");
  assert_int_equal(try_peer(host, true), CAFE_OK);
}

static void plain_needs_a_loopback_address_or_leave(void **state) {
  static const char *const away[] = {"10.0.0.1:90",  "128.0.0.1:90",         "0.0.0.0:90",    "[::]:90",
                                     "[fe80::1]:90", "[::ffff:10.0.0.1]:90", "pay.example:90"};
  static const char *const near[] = {"127.0.0.1:90", "127.9.9.9:90", "[::1]:90", "[::ffff:127.0.0.1]:90",
                                     "localhost:90"};
  for (size_t i = 0; i < sizeof(away) / sizeof(away[0]); i++) {
    assert_int_equal(try_peer(away[i], false), CAFE_INVALID);
    assert_int_equal(try_peer(away[i], true), CAFE_OK);
  }
  for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
    assert_int_equal(try_peer(near[i], false), CAFE_OK);
  }
  cafe_tcp_options options = CAFE_TCP_OPTIONS_INIT;
  options.listen = "0.0.0.0:9082";
  assert_int_equal(try_create(&options, "is_insecure"), CAFE_INVALID);
  options.is_insecure = true;
  assert_int_equal(try_create(&options, ""), CAFE_OK);
  options.listen = "localhost:9082";
  options.is_insecure = false;
  assert_int_equal(try_create(&options, ""), CAFE_OK);

  struct sockaddr_in at = {.sin_family = AF_INET};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
  options.listen = NULL;
  options.listen_fd = fd;
  assert_int_equal(try_create(&options, "is_insecure"), CAFE_INVALID);
  assert_int_equal(close(fd), 0); /* a failure takes nothing */
}

static void options_that_do_not_do_are_refused(void **state) {
  cafe_tcp_peer twice[] = {{"pay", "127.0.0.1:90", {NULL, NULL}}, {"pay", "127.0.0.1:91", {NULL, NULL}}};
  cafe_tcp_options options = CAFE_TCP_OPTIONS_INIT;
  assert_int_equal(try_create(&options, ""), CAFE_OK);
  options.peers = twice;
  options.peer_count = 2;
  assert_int_equal(try_create(&options, "stands twice"), CAFE_INVALID);
  twice[1].service = "store";
  assert_int_equal(try_create(&options, ""), CAFE_OK);
  twice[1].reserved[1] = "newer";
  assert_int_equal(try_create(&options, "newer library"), CAFE_UNSUPPORTED);
  twice[1] = (cafe_tcp_peer){NULL, "127.0.0.1:90", {NULL, NULL}};
  assert_int_equal(try_create(&options, "needs a service"), CAFE_INVALID);
  twice[1].service = "";
  assert_int_equal(try_create(&options, "needs a service"), CAFE_INVALID);
  options.peers = NULL;
  assert_int_equal(try_create(&options, "peers is NULL"), CAFE_INVALID);

  options = (cafe_tcp_options)CAFE_TCP_OPTIONS_INIT;
  options.max_frame = 1000;
  assert_int_equal(try_create(&options, "max_frame"), CAFE_INVALID);
  options.max_frame = UINT32_MAX;
  assert_int_equal(try_create(&options, "max_frame"), CAFE_INVALID);
  options.max_frame = 1024;
  options.max_incoming = 2047;
  assert_int_equal(try_create(&options, "max_incoming"), CAFE_INVALID);
  options.max_incoming = 2048;
  assert_int_equal(try_create(&options, ""), CAFE_OK);
  options.max_frame = 0;
  assert_int_equal(try_create(&options, "max_incoming"), CAFE_INVALID);
  options.max_incoming = 0;
  options.max_frame = INT32_MAX;
  assert_int_equal(try_create(&options, ""), CAFE_OK);
  options.max_frame = 1024;
  options.idle_timeout_ms = -1;
  assert_int_equal(try_create(&options, "idle_timeout_ms"), CAFE_INVALID);
  options.idle_timeout_ms = INT64_MAX;
  assert_int_equal(try_create(&options, "idle_timeout_ms"), CAFE_INVALID);
  options.idle_timeout_ms = 0;
  options.size = 8;
  assert_int_equal(try_create(&options, "CAFE_TCP_OPTIONS_INIT"), CAFE_INVALID);
  assert_int_equal(try_create(NULL, "NULL"), CAFE_INVALID);

  options = (cafe_tcp_options)CAFE_TCP_OPTIONS_INIT;
  options.listen = "127.0.0.1:x";
  assert_int_equal(try_create(&options, "127.0.0.1:x"), CAFE_INVALID);
  options.listen = "nowhere.invalid:90";
  assert_int_equal(try_create(&options, "nowhere.invalid"), CAFE_INVALID);
  options.listen = "127.0.0.1:90";
  options.listen_fd = 1;
  assert_int_equal(try_create(&options, "not both"), CAFE_INVALID);
  options.listen = NULL;
  options.listen_fd = open("/dev/null", O_RDONLY);
  assert_int_equal(try_create(&options, "isn't a socket"), CAFE_INVALID);
  close(options.listen_fd);
}

static void a_loop_without_descriptors_is_not_enough(void **state) {
  static node app;
  cafe_err err = {0};
  node_init(&app, "app");
  assert_int_equal(cafe_tcp_create(&app.transport, &app.options, NULL), CAFE_OK);
  assert_int_equal(cafe_sim_create(&loop, 1, NULL, NULL), CAFE_OK);
  assert_int_equal(node_try_open(&app, &err), CAFE_UNSUPPORTED);
  assert_non_null(strstr(err.text, "can't watch"));
  node_stop(&app);
  cafe_loop_destroy(loop);
}

/* ---- names ---- */

static void a_name_that_is_none_is_unavailable_and_tried_again(void **state) {
  static node app;
  question q;
  reader r;
  node_init(&app, "app");
  node_peer(&app, "pay", "nowhere.invalid:9082");
  app.options.is_insecure = true;
  node_start(&app);
  for (int i = 0; i < 2; i++) {
    ask_and_wait(&q, &app, "pay", "hello");
    assert_int_equal(q.err.code, CAFE_UNAVAILABLE);
    assert_non_null(strstr(q.err.text, "nowhere.invalid:9082"));
    assert_non_null(strstr(q.err.text, "can't be looked up"));
  }
  subscribe(&r, &app, "pay", all_types);
  WAIT_UNTIL(r.lost);
  unsubscribe(&r);
  node_stop(&app);
}

static void a_lookup_under_way_keeps_nobody(void **state) {
  static node app;
  question q;
  node_init(&app, "app");
  node_peer(&app, "pay", "nowhere.invalid:9082");
  app.options.is_insecure = true;
  node_start(&app);
  for (int i = 0; i < 20; i++) {
    ask(&q, &app, "pay", "hello", PATIENCE_MS);
    if (i % 2) {
      assert_int_equal(loop->ops->turn(loop, 0), CAFE_OK);
      assert_int_equal(loop->ops->turn(loop, 0), CAFE_OK);
    }
    int answers = q.answers; /* a lookup may have ended within the two */
    app.transport->ops->close(app.transport);
    assert_int_equal(node_try_open(&app, NULL), CAFE_OK);
    assert_int_equal(q.answers, answers);
  }
  ask(&q, &app, "pay", "hello", PATIENCE_MS);
  assert_int_equal(loop->ops->turn(loop, 0), CAFE_OK);
  node_stop(&app); /* and the loop right after it */
}

static void a_name_that_leads_to_this_machine_is_connected_to(void **state) {
  static node pay, app;
  char address[64];
  question q;
  node_init(&pay, "pay");
  node_listen(&pay);
  node_start(&pay);
  snprintf(address, sizeof(address), "localhost%s", strchr(pay.address, ':'));
  node_init(&app, "app");
  node_peer(&app, "pay", address);
  node_start(&app);
  ask_and_wait(&q, &app, "pay", "hello");
  assert_int_equal(q.err.code, CAFE_OK); /* by whichever of its addresses somebody listens at */
  node_stop(&app);
  node_stop(&pay);
}

/* ---- memory ---- */

static void answer_if_any(node *self) {
  if (self->silent_count) {
    answer_silent(self, "late");
  }
}

/* A request, a subscription, a peer that goes and comes. Returns the code of what was refused to begin. */
static int use_everything(const cafe_allocator *allocator, int64_t idle_ms) {
  static node pay, app;
  reader r;
  question q;
  node_init(&pay, "pay");
  node_init(&app, "app");
  free_address(pay.address);
  pay.options.listen = pay.address;
  node_peer(&app, "pay", pay.address);
  pay.options.allocator = app.options.allocator = allocator;
  pay.options.idle_timeout_ms = app.options.idle_timeout_ms = idle_ms;
  pay.event_size = 300;
  int code = cafe_uv_create(&loop, NULL, allocator, NULL);
  if (code != CAFE_OK) {
    return code;
  }
  code = cafe_tcp_create(&pay.transport, &pay.options, NULL);
  code = code ? code : cafe_tcp_create(&app.transport, &app.options, NULL);
  code = code ? code : node_try_open(&pay, NULL);
  code = code ? code : node_try_open(&app, NULL);
  code = code ? code : try_subscribe(&r, &app, "pay", all_types, NULL);
  if (code == CAFE_OK) {
    /* What fails from here on is made up for. */
    r.commit_us = -1;
    append(&pay, 1500);
    for (int i = 0; i < 3; i++) {
      pay.is_silent = i == 1;
      int asked = try_ask(&q, &app, "pay", cafe_text("hello"), i == 1 ? 50 : 1000, NULL);
      assert_true(asked == CAFE_OK || asked == CAFE_NOMEM);
      WAIT_UNTIL(asked != CAFE_OK || q.answers);
      answer_if_any(&pay);
    }
    WAIT_UNTIL(r.committing == 1500);
    append(&pay, 10);
    WAIT_UNTIL(r.committing == 1510);
    unsubscribe(&r);
  }
  cafe_transport_destroy(app.transport);
  cafe_transport_destroy(pay.transport);
  cafe_loop_destroy(loop);
  return code;
}

static void a_refused_allocation_costs_a_connection_at_most(void **state) {
  failing_alloc memory;
  int code = CAFE_OK;
  size_t n;
  for (n = 1; failing_alloc_begin(&memory, n); n++) {
    code = use_everything(&memory.allocator, 200);
    failing_alloc_end(&memory);
    assert_true(code == CAFE_OK || code == CAFE_NOMEM);
  }
  assert_int_equal(code, CAFE_OK);
  assert_true(n > 40);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(addresses_are_read_as_they_are_written),
      cmocka_unit_test(plain_needs_a_loopback_address_or_leave),
      cmocka_unit_test(options_that_do_not_do_are_refused),
      cmocka_unit_test(a_loop_without_descriptors_is_not_enough),
      ON_LOOP(a_name_that_is_none_is_unavailable_and_tried_again),
      ON_LOOP(a_lookup_under_way_keeps_nobody),
      ON_LOOP(a_name_that_leads_to_this_machine_is_connected_to),
      cmocka_unit_test(a_refused_allocation_costs_a_connection_at_most),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
