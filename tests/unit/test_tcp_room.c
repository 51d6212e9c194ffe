/* SPDX-License-Identifier: Apache-2.0 */
/* What all peers at a node's port can cost together, in bytes: and that whoever gets on comes to an end. */
#include "tcp_siege.h"

enum { PEERS_MAX = 256, OWN = 64 * KB }; /* what each has beside what all have */

static const char head_of_16_mb[FRAME_LENGTH] = {1, 0, 0, 0};

/* What all of them send, until so much was taken, and for a second more. */
static void pour(siege *self, const int *fds, size_t *sent, int count, const char *bytes, size_t size, size_t wanted) {
  int64_t end_us = now_us() + PATIENCE_MS * 1000;
  bool is_enough = false;
  for (int i = 0; now_us() < end_us; i = (i + 1) % count) {
    (void)push(fds[i], bytes, size, &sent[i]);
    if (i == 0) {
      turn();
    }
    if (!is_enough && self->memory.most > self->calm_bytes + wanted) {
      is_enough = true;
      end_us = now_us() + 1000000;
    }
  }
  assert_true(is_enough);
  expect_service(self);
}

/* X15: the rest isn't read, others are served, and who doesn't get on makes room for who does */
static void all_that_never_ends_has_a_bound_together(void **state) {
  enum { SIZE = 16 * MB, SMALL = 32 * KB };
  static char bytes[SIZE];
  static int fds[PEERS_MAX];
  static size_t sent[PEERS_MAX];
  raise_descriptors(2 * PEERS_MAX + 200);
  siege *self = begin_with(PEERS_MAX + 2, 0, 0, 1000);
  int small = SMALL;
  memset(sent, 0, sizeof(sent));
  for (int i = 0; i < PEERS_MAX; i++) {
    fds[i] = raw_connect(self->pay.address);
    assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    raw_hello(fds[i]);
    turn();
    raw_send(fds[i], head_of_16_mb, FRAME_LENGTH);
  }
  pour(self, fds, sent, PEERS_MAX, bytes, SIZE - 1, 60 * MB);
  expect_cost(self, 64 * MB + PEERS_MAX * (OWN + 4 * KB));
  assert_int_not_equal(times_logged(&self->pay.log, "wait for room"), 0);
  question q;
  assert_int_equal(try_ask(&q, &self->app, "pay", (cafe_slice){bytes, SIZE - 100}, 2 * PATIENCE_MS, NULL), CAFE_OK);
  for (int64_t end_us = now_us() + 2 * PATIENCE_MS * 1000; !q.answers && now_us() < end_us;) {
    turn();
  }
  assert_int_equal(q.err.code, CAFE_OK);
  assert_int_equal(q.answer_size, SIZE - 100);
  assert_int_not_equal(times_logged(&self->pay.log, "doesn't get on"), 0);
  expect_cost(self, 64 * MB + 2 * SIZE + PEERS_MAX * (OWN + 4 * KB)); /* the request and its answer, for a moment */
  for (int i = 0; i < PEERS_MAX; i++) {
    close(fds[i]);
  }
  end(self);
}

/* Long frames that come at once, more than there is room for: each one comes to its end. */
static void whole_frames_come_through_one_after_the_other(void **state) {
  enum { PEERS = 20, SIZE = MB - 100, PIECE = 10000 };
  static char body[SIZE];
  raw_reader peers[PEERS];
  size_t sent[PEERS] = {0};
  siege *self = begin_with(0, MB, 2 * MB, 0);
  frame request = {.kind = FRAME_REQUEST, .number = 1, .service = {"pay", 3}, .body = {body, SIZE}};
  buffer bytes = raw_frame_bytes(&request);
  int served = self->pay.served, ended = 0;
  for (int i = 0; i < PEERS; i++) {
    peers[i] = raw_client(self->pay.address);
  }
  int64_t end_us = now_us() + PATIENCE_MS * 1000;
  for (int i = 0; ended < PEERS && now_us() < end_us; i = (i + 1) % PEERS) {
    frame answer;
    size_t until = sent[i] + PIECE < buffer_size(&bytes) ? sent[i] + PIECE : buffer_size(&bytes);
    assert_true(push(peers[i].fd, bytes.data, until, &sent[i]));
    ended += raw_read(&peers[i], &answer);
    if (i == 0) {
      turn();
    }
  }
  assert_int_equal(ended, PEERS);
  assert_int_equal(self->pay.served, served + PEERS);
  expect_cost(self, 2 * MB + 2 * MB + PEERS * 2 * OWN + MB);
  for (int i = 0; i < PEERS; i++) {
    raw_close(&peers[i]);
  }
  buffer_free(&bytes);
  end(self);
}

static bool is_closed(raw_reader *peer) {
  frame unused;
  return raw_read(peer, &unused) ? false : peer->is_closed;
}

/* X15: who has the room and never stands still, but takes its time, goes when another one waits for it */
static void who_is_slow_keeps_the_room_from_nobody_for_long(void **state) {
  enum { PEERS = 6, SIZE = 4 * MB, PIECE = 70000, PACE_MS = 150 };
  static char bytes[SIZE];
  raw_reader peers[PEERS];
  size_t sent[PEERS] = {0};
  siege *self = begin_with(0, SIZE, 2 * SIZE, 2000);
  for (int i = 0; i < PEERS; i++) {
    peers[i] = raw_client(self->pay.address);
    raw_send(peers[i].fd, (const char[]){0, 0x40, 0, 0}, FRAME_LENGTH);
  }
  /* At this pace a frame takes eight seconds. */
  int closed = 0;
  for (int64_t end_us = now_us() + PATIENCE_MS * 1000; closed == 0 && now_us() < end_us; run_ms(PACE_MS)) {
    for (int i = 0; i < PEERS; i++) {
      size_t until = sent[i] + PIECE < SIZE ? sent[i] + PIECE : SIZE - 1;
      (void)push(peers[i].fd, bytes, until, &sent[i]);
      closed += is_closed(&peers[i]);
    }
  }
  assert_true(closed > 0);
  assert_int_not_equal(times_logged(&self->pay.log, "takes too long"), 0);
  for (int i = 0; i < PEERS; i++) {
    raw_close(&peers[i]);
  }
  end(self);
}

/* X15: a hello is short */
static void nothing_long_comes_before_a_hello(void **state) {
  enum { PEERS = 100, LONGEST = OWN - FRAME_LENGTH };
  static char bytes[LONGEST];
  int fds[PEERS];
  siege *self = begin(0, 0);
  raw_reader peer = raw_reader_of(raw_connect(self->pay.address));
  raw_send(peer.fd, (const char[]){0, 0, (char)((LONGEST + 1) >> 8), (char)(LONGEST + 1)}, FRAME_LENGTH);
  raw_expect_end(&peer);
  raw_close(&peer);
  for (int i = 0; i < PEERS; i++) {
    fds[i] = raw_connect(self->pay.address);
    raw_send(fds[i], (const char[]){0, 0, (char)(LONGEST >> 8), (char)LONGEST}, FRAME_LENGTH);
    turn();
    raw_send(fds[i], bytes, LONGEST - 1);
  }
  expect_service(self);
  expect_cost(self, PEERS * (OWN + 4 * KB));
  for (int i = 0; i < PEERS; i++) {
    close(fds[i]);
  }
  end(self);
}

/* X15: what the server has and doesn't answer counts, too */
static void requests_that_are_not_answered_have_a_bound_together(void **state) {
  enum { PEERS = 20, BODY = 500000 };
  static char body[BODY];
  raw_reader peers[PEERS];
  size_t sent[PEERS] = {0};
  siege *self = begin_with(0, MB, 4 * MB, 0);
  frame request = {.kind = FRAME_REQUEST, .number = 1, .service = {"pay", 3}, .body = {body, BODY}};
  buffer bytes = raw_frame_bytes(&request);
  int served = self->pay.served;
  self->pay.is_silent = true;
  int fds[PEERS];
  for (int i = 0; i < PEERS; i++) {
    peers[i] = raw_client(self->pay.address);
    fds[i] = peers[i].fd;
  }
  int64_t quiet_us = now_us();
  for (int i = 0; now_us() < quiet_us + 200000; i = (i + 1) % PEERS) {
    size_t before = sent[i];
    assert_true(push(fds[i], bytes.data, buffer_size(&bytes), &sent[i]));
    quiet_us = sent[i] > before ? now_us() : quiet_us;
    if (i == 0) {
      turn();
    }
  }
  assert_in_range(self->pay.served - served, 5, 8); /* 4 MB of them */
  expect_cost(self, 4 * MB + MB + PEERS * 2 * OWN);
  self->pay.is_silent = false;
  answer_silent(&self->pay, "done");
  frame answer;
  for (int i = 0; i < PEERS; i++) {
    raw_send(fds[i], bytes.data + sent[i], buffer_size(&bytes) - sent[i]);
    raw_expect(&peers[i], &answer, FRAME_ANSWER);
    raw_close(&peers[i]);
  }
  buffer_free(&bytes);
  end(self);
}

/* X15: names without end */
static void subscriptions_have_a_bound_together(void **state) {
  enum { PEERS = 4, FEEDS = 200, NAMES = 60000 };
  static char names[NAMES];
  raw_reader peers[PEERS];
  int refused = 0, taken = 0;
  siege *self = begin_with(0, MB, 16 * MB, 0);
  for (int i = 0; i < NAMES; i += 2) {
    names[i] = 'n';
  }
  for (int i = 0; i < PEERS; i++) {
    peers[i] = raw_client(self->pay.address);
    for (uint64_t number = 1; number <= FEEDS; number++) {
      frame answer, pull = {.kind = FRAME_PULL,
                            .number = number,
                            .service = {"pay", 3},
                            .types = {names, NAMES},
                            .after = self->pay.head,
                            .credit = 2};
      raw_put(peers[i].fd, &pull);
      run_ms(1);
      if (raw_read(&peers[i], &answer)) {
        assert_int_equal(answer.code, CAFE_OVERLOADED);
        refused++;
      }
    }
  }
  for (const cafe_pull *pull = self->pay.waiting; pull; pull = pull->next) {
    taken++;
  }
  assert_in_range(taken, 10, 20); /* each costs 300,000 bytes: a quarter of the room */
  assert_true(refused > 0);
  expect_cost(self, 4 * MB + MB + PEERS * 2 * OWN);
  for (int i = 0; i < PEERS; i++) {
    raw_close(&peers[i]);
  }
  end(self);
}

/* X15: who reads gets all, and of those who don't as many go as there is no room for */
static void what_nobody_reads_has_a_bound_together(void **state) {
  enum { PEERS = 40, EVENTS = 5000 };
  raw_reader peers[PEERS];
  siege *self = begin_with(0, MB, 8 * MB, 0);
  self->pay.event_size = 5000;
  append(&self->pay, EVENTS);
  expect_service(self);
  self->calm_bytes = self->memory.live; /* what a batch is made in stays */
  for (int i = 0; i < PEERS; i++) {
    int small = 4 * KB;
    peers[i] = raw_client(self->pay.address);
    assert_int_equal(setsockopt(peers[i].fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    for (uint64_t number = 1; number <= 100; number++) {
      frame pull = {.kind = FRAME_PULL, .number = number, .service = {"pay", 3}, .types = {"Ordered", 8}, .credit = 2};
      raw_put(peers[i].fd, &pull);
    }
    run_ms(5);
  }
  WAIT_UNTIL(times_logged(&self->pay.log, "reads nothing") > 0);
  expect_service(self);
  expect_cost(self, 8 * MB + MB + PEERS * 2 * OWN);
  for (int i = 0; i < PEERS; i++) {
    raw_close(&peers[i]);
  }
  end(self);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_that_never_ends_has_a_bound_together),
      cmocka_unit_test(whole_frames_come_through_one_after_the_other),
      cmocka_unit_test(who_is_slow_keeps_the_room_from_nobody_for_long),
      cmocka_unit_test(nothing_long_comes_before_a_hello),
      cmocka_unit_test(requests_that_are_not_answered_have_a_bound_together),
      cmocka_unit_test(subscriptions_have_a_bound_together),
      cmocka_unit_test(what_nobody_reads_has_a_bound_together),
  };
  return cmocka_run_group_tests(tests, open_loop, close_loop);
}
