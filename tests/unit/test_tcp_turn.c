/* SPDX-License-Identifier: Apache-2.0 */
/* What is said in one turn of the loop leaves in one write: the system's own send is counted, by one in its place. */
#include "tcp_raw.h"

enum { MANY = 50 };

static int sends;

ssize_t send(int fd, const void *bytes, size_t size, int flags) {
  sends++;
  return sendto(fd, bytes, size, flags, NULL, 0);
}

static void what_is_asked_in_a_turn_leaves_in_one_write(void **state) {
  static question q[MANY];
  static node pay, app;
  start_pair(&pay, &app);
  ask_and_wait(&q[0], &app, "pay", "hello"); /* they are connected */
  pay.is_silent = true;
  int before = sends;
  for (int i = 0; i < MANY; i++) {
    ask(&q[i], &app, "pay", "hello", PATIENCE_MS);
  }
  WAIT_UNTIL(pay.silent_count == MANY);
  assert_int_equal(sends - before, 1);
  node_stop(&app);
  node_stop(&pay);
}

static void what_is_answered_in_a_turn_leaves_in_one_write(void **state) {
  static node pay;
  buffer all = {.allocator = cafe_allocator_default()};
  frame f;
  node_init(&pay, "pay");
  node_listen(&pay);
  node_start(&pay);
  raw_reader client = raw_client(pay.address);
  for (uint64_t number = 1; number <= MANY; number++) {
    frame request = {.kind = FRAME_REQUEST, .number = number, .service = {"pay", 3}, .budget_us = PATIENCE_MS * 1000};
    assert_int_equal(frame_put(&all, &request, FRAME_MAX_OF_TESTS, NULL), CAFE_OK);
  }
  raw_send(client.fd, all.data, buffer_size(&all));
  int before = sends;
  for (int i = 0; i < MANY; i++) {
    raw_expect(&client, &f, FRAME_ANSWER);
  }
  assert_int_equal(sends - before, 1);
  buffer_free(&all);
  raw_close(&client);
  node_stop(&pay);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_LOOP(what_is_asked_in_a_turn_leaves_in_one_write),
      ON_LOOP(what_is_answered_in_a_turn_leaves_in_one_write),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
