/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two nodes over TCP with TLS, and allocation n of the loop's thread fails, OpenSSL's among them: in making them, in
 * connecting, in asking, in events under way. n = 1, … until nothing is hit. What can't be
 * begun says so, a request ends once, all events come, and nothing is left. OpenSSL makes some 20,000, so most are
 * passed over, also with CAFE_FULL.
 *
 * libuv ends the process where it has no memory for its table of descriptors, so the loop is made before, and the table
 * is as long as it has to be.
 */
#include <fcntl.h>

#include "certificates.h"
#include "refusing_malloc.h"
#include "tcp_kit.h"

enum { EVENTS = 600, SHORT_RUNS = 150, LONG_RUNS = 6000 };

static const cafe_tcp_tls files = {"ca.pem", "node.pem", "node.key", {NULL, NULL}};

static int make_files(void **state) {
  certificates_make_authority("ca");
  certificates_make("node", "ca", "/CN=node", "IP:127.0.0.1");
  return 0;
}

static void nothing(cafe_watch *watch, unsigned events) {}

static void lengthen_table(int socket_of_ours) {
  cafe_watch watch = {.ready = nothing, .fd = fcntl(socket_of_ours, F_DUPFD_CLOEXEC, 200)};
  assert_true(watch.fd >= 200);
  assert_int_equal(loop->ops->watch_start(loop, &watch, CAFE_READABLE, NULL), CAFE_OK);
  loop->ops->turn(loop, 0);
  loop->ops->watch_stop(loop, &watch);
  loop->ops->turn(loop, 0);
  (void)close(watch.fd);
}

/* What the test itself does has its memory. */
#define ARMED(call) (refusing_malloc_arm(true), armed_code = (call), (void)refusing_malloc_arm(false), armed_code)

static int armed_code;
static uint64_t refused; /* for messages */

static void turn_armed(void) { assert_int_equal(ARMED(loop->ops->turn(loop, 5)), CAFE_OK); }

#define TURN_UNTIL(condition)                                                                                          \
  do {                                                                                                                 \
    int64_t turn_end_us = now_us() + (int64_t)PATIENCE_MS * 1000;                                                      \
    while (!(condition)) {                                                                                             \
      if (now_us() > turn_end_us) {                                                                                    \
        fail_msg("allocation %llu: %s didn't come to hold", (unsigned long long)refused, #condition);                  \
      }                                                                                                                \
      turn_armed();                                                                                                    \
    }                                                                                                                  \
  } while (0)

static void use(node *pay, node *app, reader *r) {
  question q;
  append(pay, EVENTS);
  int code = ARMED(try_ask(&q, app, "pay", cafe_text("hello"), 500, NULL));
  assert_true(code == CAFE_OK || code == CAFE_NOMEM);
  TURN_UNTIL(code != CAFE_OK || q.answers);
  code = ARMED(try_subscribe(r, app, "pay", all_types, NULL));
  r->commit_us = -1;
  if (code != CAFE_OK) {
    assert_int_equal(code, CAFE_NOMEM);
    return;
  }
  TURN_UNTIL(r->committing == EVENTS);
  assert_int_equal(r->events, EVENTS);
  unsubscribe(r);
}

/* Returns the number of allocations. */
static uint64_t run_without_memory(uint64_t n) {
  static node pay, app;
  reader r;
  cafe_err err = {0};
  assert_int_equal(cafe_uv_create(&loop, NULL, NULL, NULL), CAFE_OK);
  node_init(&pay, "pay");
  node_listen(&pay);
  lengthen_table(pay.options.listen_fd);
  node_init(&app, "app");
  node_peer(&app, "pay", pay.address);
  pay.options.tls = app.options.tls = &files;
  pay.options.idle_timeout_ms = app.options.idle_timeout_ms = 300;
  refused = n;
  refusing_malloc_begin(n, n ? 1 : 0);
  int code = ARMED(cafe_tcp_create(&pay.transport, &pay.options, &err));
  if (code != CAFE_OK) {
    close(pay.options.listen_fd);
  }
  code = code ? code : ARMED(cafe_tcp_create(&app.transport, &app.options, &err));
  code = code ? code : ARMED(node_try_open(&pay, &err));
  code = code ? code : ARMED(node_try_open(&app, &err));
  if (code == CAFE_OK) {
    use(&pay, &app, &r);
  } else if (!refusing_malloc_refused() || (code != CAFE_NOMEM && !strstr(err.text, "_file"))) {
    /* OpenSSL may take for wrong what it had no memory to read. */
    fail_msg("allocation %llu: code %d, %s", (unsigned long long)n, code, err.text);
  }
  uint64_t calls = refusing_malloc_calls();
  refusing_malloc_begin(0, 0);
  cafe_transport_destroy(app.transport);
  cafe_transport_destroy(pay.transport);
  cafe_loop_destroy(loop);
  return calls;
}

static void tcp_bears_every_refused_allocation(void **state) {
  (void)run_without_memory(0); /* what OpenSSL makes once */
  uint64_t all = run_without_memory(0);
  uint64_t step = 1 + all / (getenv("CAFE_FULL") ? LONG_RUNS : SHORT_RUNS);
  for (uint64_t n = 1; n <= all; n += step) {
    run_without_memory(n);
  }
  print_message("fault: of %llu allocations every %llu. failed once\n", (unsigned long long)all,
                (unsigned long long)step);
  assert_true(all > 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(tcp_bears_every_refused_allocation)};
  return cmocka_run_group_tests(tests, make_files, NULL);
}
