/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A message over HTTP, and allocation n of the loop's thread fails, libcurl's among them: in making the channel, in
 * sending, in taking the answer. n = 1, 2, … until nothing is hit. The attempt succeeds or says that it may be tried
 * again, nothing is left, and the next message goes through. Where libcurl can't note a socket for want of memory the
 * message runs out of time: so time passes here, a second with each turn.
 *
 * libuv ends the process where it has no memory for its table of descriptors, so the loop is made before, and the table
 * is as long as it has to be.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "cafe/channel/webhook.h"
#include "http_letters.h"
#include "refusing_malloc.h"

/* What the test itself does has its memory. */
static void turn_armed(post_office *office) {
  still_loop_advance(office->still, 1000000);
  refusing_malloc_arm(true);
  still_loop_turn(office->still);
  refusing_malloc_arm(false);
}

/* The receiver, which answers whoever connects: whether a request comes isn't known. */
typedef struct receiver {
  int calls[8];
  int count;
} receiver;

static void receiver_turn(receiver *self, const post_office *office) {
  static const char yes[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  while (http_peer_has_caller(&office->peer)) {
    assert_true(self->count < 8);
    int fd = accept(office->peer.listener, NULL, NULL);
    assert_true(fd >= 0);
    self->calls[self->count++] = fd;
    (void)send(fd, yes, sizeof(yes) - 1, MSG_NOSIGNAL); /* or it has gone already */
  }
}

static int send_one(post_office *office) {
  letter l;
  receiver there = {.count = 0};
  letter_init(&l, "1-1", "a message");
  refusing_malloc_arm(true);
  int code = office->channel->ops->send(office->channel, &l.base.delivery, NULL);
  refusing_malloc_arm(false);
  for (int turns = 0; code == CAFE_OK && !l.answers; turns++) {
    assert_true(turns < 1000);
    turn_armed(office);
    receiver_turn(&there, office);
  }
  receiver_turn(&there, office); /* connections that were given up */
  while (there.count > 0) {
    (void)close(there.calls[--there.count]);
  }
  return code == CAFE_OK ? l.code : code;
}

static int open_hook(post_office *office) {
  cafe_webhook_options options = CAFE_WEBHOOK_OPTIONS_INIT;
  options.url = http_peer_url(&office->peer, "/hook");
  options.token = "a-token";
  options.timeout_ms = 60000;
  refusing_malloc_arm(true);
  int code = cafe_webhook_create(&office->channel, office->loop, &options, &office->memory.allocator, NULL);
  refusing_malloc_arm(false);
  if (code != CAFE_OK) {
    office->channel = NULL;
  }
  return code;
}

static void nothing(cafe_watch *watch, unsigned events) {}

static void lengthen_table(post_office *office) {
  cafe_watch watch = {.ready = nothing, .fd = fcntl(office->peer.listener, F_DUPFD_CLOEXEC, 200)};
  assert_true(watch.fd >= 200);
  assert_int_equal(office->loop->ops->watch_start(office->loop, &watch, CAFE_READABLE, NULL), CAFE_OK);
  still_loop_turn(office->still);
  office->loop->ops->watch_stop(office->loop, &watch);
  still_loop_turn(office->still);
  (void)close(watch.fd);
}

/* Returns the number of allocations. */
static uint64_t send_without_memory(uint64_t n) {
  post_office *office = post_office_open();
  lengthen_table(office);
  refusing_malloc_begin(n, n ? 1 : 0);
  int code = open_hook(office);
  if (code == CAFE_OK) {
    code = send_one(office);
  }
  bool was_hit = refusing_malloc_refused() > 0;
  uint64_t calls = refusing_malloc_calls();
  /* libcurl may do without, and may call it a broken connection. */
  if (code != CAFE_OK && !(was_hit && cafe_code_is_retryable(code))) {
    fail_msg("allocation %llu: code %d", (unsigned long long)n, code);
  }
  refusing_malloc_begin(0, 0);
  if (!office->channel) {
    assert_int_equal(open_hook(office), CAFE_OK);
  }
  assert_int_equal(send_one(office), CAFE_OK);
  post_office_close(office);
  return calls;
}

static void a_message_bears_every_refused_allocation(void **state) {
  (void)state;
  (void)send_without_memory(0); /* what OpenSSL makes once */
  uint64_t all = send_without_memory(0);
  for (uint64_t n = 1; n <= all; n++) {
    send_without_memory(n);
  }
  print_message("fault: each of %llu allocations failed once\n", (unsigned long long)all);
  assert_true(all > 50);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_message_bears_every_refused_allocation)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
