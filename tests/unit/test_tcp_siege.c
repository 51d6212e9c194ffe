/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile peers at a node's port: what each kind can cost, in bytes and descriptors, while another node is served. */
#include "tcp_siege.h"

/* ---- bytes that are no frames ---- */

static uint32_t next_random(uint32_t *x) { return (*x = *x * 1664525u + 1013904223u) >> 8; }

/* Bytes of any kind; or each in a frame of the right length; or behind a hello that is right. */
static void send_garbage(siege *self, uint32_t seed) {
  static char bytes[65536];
  uint32_t x = seed * 2654435761u;
  size_t size = 1 + next_random(&x) % (seed % 4 ? 300 : sizeof(bytes));
  for (size_t i = 0; i < size; i++) {
    bytes[i] = (char)next_random(&x);
  }
  if (seed % 3 && size > 8) {
    memcpy(bytes, (const char[]){0, 0, (char)((size - 4) >> 8), (char)(size - 4)}, 4);
    bytes[4] = (char)(0x90 + seed % 16); /* an array */
  }
  int fd = raw_connect(self->pay.address);
  if (seed % 2) {
    raw_hello(fd);
  }
  raw_send(fd, bytes, size);
  turn();
  close(fd);
}

/* X15 */
static void garbage_costs_nothing(void **state) {
  siege *self = begin(0, 0);
  for (uint32_t seed = 1; seed <= 400; seed++) {
    send_garbage(self, seed);
    if (seed % 50 == 0) {
      expect_service(self);
    }
  }
  expect_cost(self, MB);
  end(self);
}

/* X15 */
static void a_length_that_is_too_large_is_never_taken_for_true(void **state) {
  static const char lengths[][4] = {{'\x80', 0, 0, 0}, {'\xff', '\xff', '\xff', '\xff'}, {1, 0, 0, 1}, {0, 0, 0, 0}};
  siege *self = begin(0, 0);
  for (int is_greeted = 0; is_greeted < 2; is_greeted++) {
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
      raw_reader peer = raw_reader_of(raw_connect(self->pay.address));
      if (is_greeted) {
        raw_hello(peer.fd);
      }
      raw_send(peer.fd, lengths[i], 4);
      raw_expect_end(&peer);
      raw_close(&peer);
      expect_service(self);
    }
  }
  expect_cost(self, MB);
  end(self);
}

/* X15: what is promised isn't reserved; what comes counts, up to the longest frame of each connection */
static void frames_that_never_end_cost_what_they_sent(void **state) {
  enum { PEERS = 20, FRAME = 256 * KB };
  static char bytes[FRAME];
  int fds[PEERS];
  siege *self = begin(0, FRAME);
  memset(bytes, 0x2a, sizeof(bytes));
  for (int i = 0; i < PEERS; i++) {
    fds[i] = raw_connect(self->pay.address);
    raw_hello(fds[i]);
    raw_send(fds[i], (const char[]){0, 4, 0, 0}, 4); /* 256 KiB follow */
    raw_send(fds[i], bytes, 100);
  }
  expect_service(self);
  expect_cost(self, PEERS * 4 * KB + 512 * KB);
  for (int i = 0; i < PEERS; i++) {
    raw_send(fds[i], bytes, FRAME - 101); /* one is missing */
  }
  expect_service(self);
  expect_cost(self, (size_t)PEERS * 2 * FRAME + 512 * KB);
  for (int i = 0; i < PEERS; i++) {
    close(fds[i]);
  }
  end(self);
}

/* X15: a request that comes byte by byte is served like any other */
static void a_frame_byte_by_byte_holds_up_nobody(void **state) {
  siege *self = begin(0, 0);
  raw_reader peer = raw_client(self->pay.address);
  frame answer, request = {.kind = FRAME_REQUEST, .number = 1, .service = {"pay", 3}, .body = {"slowly", 6}};
  buffer bytes = raw_frame_bytes(&request);
  int served = self->pay.served;
  for (size_t i = 0; i < buffer_size(&bytes); i++) {
    raw_send(peer.fd, bytes.data + i, 1);
    expect_service(self);
    served++;
  }
  buffer_free(&bytes);
  raw_expect(&peer, &answer, FRAME_ANSWER);
  assert_true(cafe_slice_equal(answer.body, cafe_text("slowly")));
  assert_int_equal(self->pay.served, served + 1);
  raw_close(&peer);
  expect_cost(self, MB);
  end(self);
}

/* ---- too many ---- */

/* X15 */
static void a_thousand_connections_that_say_nothing_keep_out_nobody_for_long(void **state) {
  enum { PEERS = 1000, MOST = 100 };
  static int fds[PEERS];
  raise_descriptors(PEERS + MOST + 200);
  siege *self = begin(MOST, 0);
  for (int i = 0; i < PEERS; i++) {
    fds[i] = raw_connect(self->pay.address);
    if (i % 50 == 0) {
      expect_service(self);
    }
  }
  expect_service(self);
  assert_true(count_descriptors() <= self->calm_descriptors + PEERS + MOST);
  expect_cost(self, MOST * 8 * KB + 64 * KB);
  /* Who doesn't greet is let go, and another one finds room, though they still hold on. */
  node late;
  question q;
  node_init(&late, "late");
  node_peer(&late, "pay", self->pay.address);
  node_start(&late);
  for (int tries = 0; tries == 0 || q.err.code; tries++) {
    assert_true(tries < 20);
    ask(&q, &late, "pay", "late", 1000);
    WAIT_UNTIL(q.answers);
    run_ms(q.err.code ? 500 : 0);
  }
  node_stop(&late);
  for (int i = 0; i < PEERS; i++) {
    close(fds[i]);
  }
  end(self);
}

/* X15 */
static void answers_that_nobody_reads_are_bounded(void **state) {
  enum { BODY = 20000, REQUESTS = 3000 };
  static char body[BODY];
  siege *self = begin(0, 0);
  raw_reader peer = raw_client(self->pay.address);
  bool is_open = true;
  for (uint64_t number = 1; is_open && number <= REQUESTS; number++) {
    frame request = {.kind = FRAME_REQUEST, .number = number, .service = {"pay", 3}, .body = {body, BODY}};
    buffer bytes = raw_frame_bytes(&request);
    size_t sent = 0;
    for (int tries = 0; is_open && sent < buffer_size(&bytes) && tries < 50; tries++) {
      is_open = push(peer.fd, bytes.data, buffer_size(&bytes), &sent);
      turn();
    }
    is_open = is_open && sent == buffer_size(&bytes); /* it isn't read any more */
    buffer_free(&bytes);
  }
  assert_false(is_open);
  expect_service(self);
  expect_cost(self, 8 * MB);
  raw_close(&peer);
  end(self);
}

/* X15 */
static void a_flood_of_requests_leaves_room_for_others(void **state) {
  enum { REQUESTS = 20000, EACH = 200 };
  siege *self = begin(0, 0);
  raw_reader peer = raw_client(self->pay.address);
  uint64_t number = 0, answered = 0;
  int served = self->pay.served;
  for (int wave = 0; wave < REQUESTS / EACH; wave++) {
    for (int i = 0; i < EACH; i++) {
      frame request = {.kind = FRAME_REQUEST, .number = ++number, .service = {"pay", 3}, .body = {"flood", 5}};
      raw_put(peer.fd, &request);
    }
    frame answer;
    while (raw_read(&peer, &answer)) {
      answered++;
    }
    if (wave % 10 == 0) {
      expect_service(self);
      served++;
    }
  }
  WAIT_UNTIL(self->pay.served == served + REQUESTS);
  expect_cost(self, 2 * MB);
  assert_true(answered > 0);
  raw_close(&peer);
  end(self);
}

/* X15 */
static void ten_thousand_subscriptions_of_one_peer_are_refused(void **state) {
  enum { TIMES = 10000 };
  siege *self = begin(0, 0);
  raw_reader peer = raw_client(self->pay.address);
  for (uint64_t number = 1; number <= TIMES; number++) {
    frame pull = {.kind = FRAME_PULL,
                  .number = number,
                  .service = {"pay", 3},
                  .types = {"Ordered", 8},
                  .after = self->pay.head,
                  .credit = 2};
    raw_put(peer.fd, &pull);
  }
  expect_service(self);
  int waiting = 0;
  for (const cafe_pull *pull = self->pay.waiting; pull; pull = pull->next) {
    waiting++;
  }
  assert_true(waiting <= 300);
  expect_cost(self, MB);
  raw_close(&peer);
  end(self);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(garbage_costs_nothing),
      cmocka_unit_test(a_length_that_is_too_large_is_never_taken_for_true),
      cmocka_unit_test(frames_that_never_end_cost_what_they_sent),
      cmocka_unit_test(a_frame_byte_by_byte_holds_up_nobody),
      cmocka_unit_test(a_thousand_connections_that_say_nothing_keep_out_nobody_for_long),
      cmocka_unit_test(answers_that_nobody_reads_are_bounded),
      cmocka_unit_test(a_flood_of_requests_leaves_room_for_others),
      cmocka_unit_test(ten_thousand_subscriptions_of_one_peer_are_refused),
  };
  return cmocka_run_group_tests(tests, open_loop, close_loop);
}
