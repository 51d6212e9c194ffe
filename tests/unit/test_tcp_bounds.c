/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer can cost that is slow, silent, or one of too many. */
#include <sys/resource.h>
#include <sys/wait.h>

#include "tcp_raw.h"

enum { IDLE_MS = 100 };

static void start_publisher(node *pay) {
  node_init(pay, "pay");
  node_listen(pay);
  node_start(pay);
}

/* X15: requests without end */
static void so_many_unanswered_requests_and_no_more_are_read(void **state) {
  enum { HELD = 1024, ASKED = 1500 };
  static node pay;
  frame f;
  start_publisher(&pay);
  pay.is_silent = true;
  raw_reader client = raw_client(pay.address);
  for (uint64_t number = 1; number <= ASKED; number++) {
    frame request = {.kind = FRAME_REQUEST, .number = number, .service = {"pay", 3}, .body = {"hello", 5}};
    raw_put(client.fd, &request);
  }
  WAIT_UNTIL(pay.served == HELD);
  run_ms(50);
  assert_int_equal(pay.served, HELD);
  question q;
  node app;
  node_init(&app, "app");
  node_peer(&app, "pay", pay.address);
  node_start(&app);
  ask(&q, &app, "pay", "other", PATIENCE_MS); /* another connection has room of its own */
  WAIT_UNTIL(pay.served == HELD + 1);
  pay.is_silent = false;
  answer_silent(&pay, "late");
  WAIT_UNTIL(q.answers && pay.served == ASKED + 1);
  for (int i = 0; i < ASKED; i++) {
    raw_expect(&client, &f, FRAME_ANSWER);
  }
  raw_close(&client);
  node_stop(&app);
  node_stop(&pay);
}

static void so_many_bytes_of_unanswered_requests_and_no_more_are_read(void **state) {
  enum { BODY = 1000 * 1000 };
  static node pay;
  static char body[BODY];
  start_publisher(&pay);
  pay.is_silent = true;
  raw_reader client = raw_client(pay.address);
  assert_int_equal(fcntl(client.fd, F_SETFL, O_NONBLOCK), 0);
  for (uint64_t number = 1; number <= 5; number++) {
    frame request = {.kind = FRAME_REQUEST, .number = number, .service = {"pay", 3}, .body = {body, BODY}};
    raw_put(client.fd, &request);
  }
  WAIT_UNTIL(pay.served == 5);
  frame request = {.kind = FRAME_REQUEST, .number = 6, .service = {"pay", 3}};
  raw_put(client.fd, &request);
  run_ms(50);
  assert_int_equal(pay.served, 5);
  answer_silent(&pay, "done");
  WAIT_UNTIL(pay.served == 6);
  raw_close(&client);
  node_stop(&pay);
}

/* X15: who asks for everything and reads nothing */
static void a_subscriber_that_does_not_read_costs_a_bounded_amount(void **state) {
  enum { FEEDS = 100 };
  static node pay;
  start_publisher(&pay);
  pay.event_size = 2000;
  append(&pay, 1000000);
  raw_reader client = raw_client(pay.address);
  int small = 65536, large = 4 * 1024 * 1024;
  assert_int_equal(setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
  for (uint64_t number = 1; number <= FEEDS; number++) {
    frame pull = {.kind = FRAME_PULL, .number = number, .service = {"pay", 3}, .types = {"Ordered", 8}, .credit = 2};
    raw_put(client.fd, &pull);
  }
  WAIT_UNTIL(pay.pulled > 5);
  run_ms(300);
  /* A batch is 128 KiB; 1 MiB waits here, and some more in the kernel. All of them would be 25 MiB. */
  assert_in_range(pay.pulled, 6, 100);
  question q;
  node app;
  node_init(&app, "app");
  node_peer(&app, "pay", pay.address);
  node_start(&app);
  ask_and_wait(&q, &app, "pay", "other"); /* nobody else waits for it */
  assert_int_equal(q.err.code, CAFE_OK);
  assert_int_equal(setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large)), 0);
  for (int batches = 0; batches < 2 * FEEDS; batches++) { /* once it reads it gets all that it had credit for */
    frame f;
    raw_expect(&client, &f, FRAME_BATCH);
  }
  raw_close(&client);
  node_stop(&app);
  node_stop(&pay);
}

static void a_peer_that_does_not_read_is_asked_no_more_than_fits(void **state) {
  enum { BODY = 100000, MOST = 1000 };
  static question q[MOST];
  static char body[BODY];
  node app;
  char address[32];
  cafe_err err = {0};
  int listener = listen_somewhere(address);
  node_init(&app, "app");
  node_peer(&app, "pay", address);
  node_start(&app);
  ask(&q[0], &app, "pay", "hello", PATIENCE_MS);
  raw_reader server = raw_server(listener);
  int count = 1, code = CAFE_OK;
  for (; count < MOST && code == CAFE_OK; count++) {
    code = try_ask(&q[count], &app, "pay", (cafe_slice){body, BODY}, PATIENCE_MS, &err);
    run_ms(1);
  }
  assert_int_equal(code, CAFE_OVERLOADED);
  assert_non_null(strstr(err.text, address));
  assert_in_range(count, 10, 200); /* 1 MiB here, and what the kernel takes */
  /* The last ones weren't written, the first ones were. */
  raw_close(&server);
  close(listener);
  for (int i = 0; i < count - 1; i++) {
    WAIT_UNTIL(q[i].answers);
    assert_int_equal(q[i].err.code, i < 5 ? CAFE_TIMEOUT : i > count - 7 ? CAFE_UNAVAILABLE : q[i].err.code);
  }
  node_stop(&app);
}

static void answers_that_nobody_reads_end_the_connection(void **state) {
  enum { ANSWER = 1000 * 1000 };
  static node pay;
  static char body[ANSWER];
  node_init(&pay, "pay");
  node_listen(&pay);
  pay.options.max_frame = 2 * ANSWER;
  node_start(&pay);
  pay.is_silent = true;
  raw_reader client = raw_client(pay.address);
  for (uint64_t number = 1; number <= 60; number++) {
    frame request = {.kind = FRAME_REQUEST, .number = number, .service = {"pay", 3}};
    raw_put(client.fd, &request);
  }
  WAIT_UNTIL(pay.silent_count == 60);
  while (pay.silent_count > 10) {
    cafe_incoming *incoming = pay.unanswered[--pay.silent_count];
    incoming->answer(incoming, NULL, (cafe_slice){body, ANSWER});
  }
  WAIT_UNTIL(pay.forgotten == 10);
  raw_close(&client);
  node_stop(&pay);
}

static void an_answer_that_does_not_fit_is_known_to_be_unknown(void **state) {
  static node pay, app;
  static char body[3000];
  question q;
  start_publisher(&pay);
  node_init(&app, "app");
  node_peer(&app, "pay", pay.address);
  app.options.max_frame = 2000;
  node_start(&app);
  pay.is_silent = true;
  ask(&q, &app, "pay", "hello", PATIENCE_MS);
  WAIT_UNTIL(pay.silent_count);
  cafe_incoming *incoming = pay.unanswered[--pay.silent_count];
  incoming->answer(incoming, NULL, (cafe_slice){body, sizeof(body)});
  WAIT_UNTIL(q.answers);
  assert_int_equal(q.err.code, CAFE_TIMEOUT);
  assert_non_null(strstr(q.err.text, "max_frame"));

  cafe_err err = {0};
  assert_int_equal(try_ask(&q, &app, "pay", (cafe_slice){body, sizeof(body)}, 1000, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "max_frame"));
  node_stop(&app);
  node_stop(&pay);
}

static void a_batch_is_cut_to_what_the_subscriber_takes(void **state) {
  static node pay, app;
  reader r;
  start_publisher(&pay);
  pay.event_size = 1000;
  append(&pay, 100);
  node_init(&app, "app");
  node_peer(&app, "pay", pay.address);
  app.options.max_frame = 5000;
  node_start(&app);
  subscribe(&r, &app, "pay", all_types);
  WAIT_UNTIL(r.events == 100);
  assert_true(r.batches >= 25);
  pay.event_size = 5001;
  append(&pay, 1);
  WAIT_UNTIL(r.lost);
  assert_int_equal(r.last.code, CAFE_INVALID);
  assert_non_null(strstr(r.last.text, "max_frame"));
  unsubscribe(&r);
  node_stop(&app);
  node_stop(&pay);
}

/* ---- silence ---- */

static void a_silent_peer_is_asked_and_then_closed(void **state) {
  static node pay;
  frame f;
  node_init(&pay, "pay");
  node_listen(&pay);
  pay.options.idle_timeout_ms = IDLE_MS;
  node_start(&pay);
  int64_t begin_us = now_us();
  raw_reader client = raw_client(pay.address);
  frame pong = {.kind = FRAME_PONG};
  for (int i = 0; i < 4; i++) {
    raw_expect(&client, &f, FRAME_PING);
    raw_put(client.fd, &pong);
  }
  assert_true(now_us() - begin_us >= 4 * IDLE_MS * 1000);
  raw_expect(&client, &f, FRAME_PING);
  raw_expect_end(&client);
  raw_close(&client);
  frame ping = {.kind = FRAME_PING};
  client = raw_client(pay.address);
  raw_put(client.fd, &ping);
  raw_expect(&client, &f, FRAME_PONG);
  raw_close(&client);
  node_stop(&pay);
}

/* X15: slow loris */
static void a_frame_that_does_not_get_on_is_silence(void **state) {
  static node pay;
  node_init(&pay, "pay");
  node_listen(&pay);
  pay.options.idle_timeout_ms = IDLE_MS;
  node_start(&pay);
  raw_reader client = raw_client(pay.address);
  raw_send(client.fd, "\x00\x00\x10\x00\x98", 5);
  frame unused;
  /* A byte now and then. */
  WAIT_UNTIL((raw_send(client.fd, "x", 1), run_ms(10), raw_read(&client, &unused), client.is_closed));
  raw_close(&client);
  node_stop(&pay);
}

static void a_long_frame_on_a_slow_line_is_none(void **state) {
  enum { PIECE = 70000, PIECES = 30 };
  static node pay;
  static char body[PIECE * PIECES];
  frame f = {.kind = FRAME_REQUEST, .number = 1, .service = {"pay", 3}, .body = {body, sizeof(body)}};
  node_init(&pay, "pay");
  node_listen(&pay);
  pay.options.idle_timeout_ms = IDLE_MS;
  node_start(&pay);
  raw_reader client = raw_client(pay.address);
  buffer bytes = raw_frame_bytes(&f);
  int64_t begin_us = now_us();
  for (size_t at = 0; at < buffer_size(&bytes); at += PIECE) {
    raw_send(client.fd, bytes.data + at, buffer_size(&bytes) - at < PIECE ? buffer_size(&bytes) - at : PIECE);
    run_ms(IDLE_MS / 5);
  }
  assert_true(now_us() - begin_us > 2 * IDLE_MS * 1000);
  WAIT_UNTIL(pay.served == 1);
  buffer_free(&bytes);
  raw_close(&client);
  node_stop(&pay);
}

static void a_peer_that_is_half_open_is_given_up_and_connected_to_again(void **state) {
  node app;
  char address[32];
  question q;
  reader r;
  int listener = listen_somewhere(address);
  node_init(&app, "app");
  node_peer(&app, "pay", address);
  app.options.idle_timeout_ms = IDLE_MS;
  node_start(&app);
  ask(&q, &app, "pay", "hello", PATIENCE_MS);
  subscribe(&r, &app, "pay", all_types);
  raw_reader server = raw_server(listener);
  WAIT_UNTIL(q.answers);
  assert_int_equal(q.err.code, CAFE_TIMEOUT);
  assert_non_null(strstr(q.err.text, "silent"));
  WAIT_UNTIL(r.lost);
  raw_reader again = raw_server(listener);
  frame f;
  raw_expect(&again, &f, FRAME_PULL);
  unsubscribe(&r);
  raw_close(&server);
  raw_close(&again);
  close(listener);
  node_stop(&app);
}

static void who_does_not_greet_is_let_go(void **state) {
  static node pay, app;
  char address[32];
  question q;
  start_publisher(&pay);
  raw_reader mute = raw_reader_of(raw_connect(pay.address));
  int listener = listen_somewhere(address);
  node_init(&app, "app");
  node_peer(&app, "pay", address);
  node_start(&app);
  ask(&q, &app, "pay", "hello", PATIENCE_MS);
  raw_expect_end(&mute);
  WAIT_UNTIL(q.answers);
  assert_int_equal(q.err.code, CAFE_UNAVAILABLE);
  assert_int_equal(times_logged(&pay.log, "no hello came"), 1);
  raw_close(&mute);
  close(listener);
  node_stop(&app);
  node_stop(&pay);
}

/* ---- too many ---- */

static void connections_beyond_the_most_are_closed_at_once(void **state) {
  static node pay;
  node_init(&pay, "pay");
  node_listen(&pay);
  pay.options.max_connections = 3;
  node_start(&pay);
  raw_reader in[3];
  for (int i = 0; i < 3; i++) {
    in[i] = raw_client(pay.address);
  }
  for (int i = 0; i < 5; i++) {
    raw_reader out = raw_reader_of(raw_connect(pay.address));
    raw_expect_end(&out);
    raw_close(&out);
  }
  assert_int_equal(times_logged(&pay.log, "max_connections"), 1);
  raw_close(&in[0]);
  run_ms(20);
  in[0] = raw_client(pay.address);
  for (int i = 0; i < 3; i++) {
    raw_close(&in[i]);
  }
  node_stop(&pay);
}

static size_t live_bytes;

typedef union block {
  size_t size;
  long double unused; /* for any type */
} block;

static void *count_bytes(void *from, size_t size, void *user) {
  block *old = from ? (block *)from - 1 : NULL;
  live_bytes += size - (old ? old->size : 0);
  if (size == 0) {
    free(old);
    return NULL;
  }
  block *made = realloc(old, sizeof(*made) + size);
  assert_non_null(made);
  made->size = size;
  return made + 1;
}

/* A process that connects so often, is greeted, says so by a byte, and then does nothing until the socket is closed.
 * Returns its end of it. */
static int start_idlers(pid_t *child, const char *address, int count) {
  int ends[2];
  char bytes[64];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  *child = fork();
  assert_true(*child >= 0);
  if (*child > 0) {
    close(ends[0]);
    return ends[1];
  }
  close(ends[1]);
  for (int i = 0; i < count; i++) {
    int fd = raw_connect(address);
    raw_hello(fd);
    if (recv(fd, bytes, sizeof(bytes), 0) <= 0) {
      _exit(1);
    }
  }
  _exit(send(ends[0], "r", 1, 0) == 1 && recv(ends[0], bytes, 1, 0) == 0 ? 0 : 1);
}

/* X15: 10,000 idle connections, or as many as a process may have open */
static void ten_thousand_idle_connections_cost_little_and_others_are_served(void **state) {
  enum { COUNT = 10000, BYTES_EACH = 4096 };
  static node pay, app;
  static const cafe_allocator counting = {count_bytes, NULL};
  struct rlimit before, wide;
  pid_t child;
  question q;
  int status;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  wide = before;
  wide.rlim_cur = before.rlim_max < COUNT + 200 ? before.rlim_max : COUNT + 200;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &wide), 0);
  int count = (int)wide.rlim_cur - 200;
  assert_true(count > 500);
  node_init(&pay, "pay");
  node_listen(&pay);
  pay.options.max_connections = COUNT + 10;
  pay.options.allocator = &counting;
  live_bytes = 0;
  node_start(&pay);
  size_t alone = live_bytes;
  int end = start_idlers(&child, pay.address, count);
  char ready;
  WAIT_UNTIL(recv(end, &ready, 1, MSG_DONTWAIT) == 1);
  node_init(&app, "app");
  node_peer(&app, "pay", pay.address);
  node_start(&app);
  ask_and_wait(&q, &app, "pay", "hello");
  assert_int_equal(q.err.code, CAFE_OK);
  assert_true(live_bytes - alone < (size_t)count * BYTES_EACH);
  close(end);
  WAIT_UNTIL(live_bytes - alone < (size_t)count * 64); /* a table keeps its size */
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  ask_and_wait(&q, &app, "pay", "hello");
  assert_int_equal(q.err.code, CAFE_OK);
  node_stop(&app);
  node_stop(&pay);
  assert_int_equal(live_bytes, 0);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void without_descriptors_accepting_waits_and_says_so_once(void **state) {
  static node pay;
  struct rlimit before, tight;
  frame f;
  start_publisher(&pay);
  run_ms(5);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  int fds[4];
  for (int i = 0; i < 4; i++) {
    fds[i] = raw_connect(pay.address);
    raw_hello(fds[i]);
  }
  int next = dup(0);
  close(next);
  tight = before;
  tight.rlim_cur = (rlim_t)next + 1; /* one of the four */
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
  raw_reader first = raw_reader_of(fds[0]);
  raw_expect(&first, &f, FRAME_HELLO);
  int64_t turns = 0;
  for (int64_t end_us = now_us() + 300000; now_us() < end_us; turns++) {
    assert_int_equal(loop->ops->turn(loop, 50), CAFE_OK);
  }
  assert_true(turns < 200); /* it doesn't spin */
  assert_int_equal(times_logged(&pay.log, "no connection can be accepted"), 1);
  frame request = {.kind = FRAME_REQUEST, .number = 1, .service = {"pay", 3}, .body = {"hello", 5}};
  raw_put(first.fd, &request); /* those that are there are served */
  raw_expect(&first, &f, FRAME_ANSWER);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  for (int i = 1; i < 4; i++) {
    raw_reader later = raw_reader_of(fds[i]);
    raw_expect(&later, &f, FRAME_HELLO);
    raw_close(&later);
  }
  raw_close(&first);
  node_stop(&pay);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_LOOP(so_many_unanswered_requests_and_no_more_are_read),
      ON_LOOP(so_many_bytes_of_unanswered_requests_and_no_more_are_read),
      ON_LOOP(a_subscriber_that_does_not_read_costs_a_bounded_amount),
      ON_LOOP(a_peer_that_does_not_read_is_asked_no_more_than_fits),
      ON_LOOP(answers_that_nobody_reads_end_the_connection),
      ON_LOOP(an_answer_that_does_not_fit_is_known_to_be_unknown),
      ON_LOOP(a_batch_is_cut_to_what_the_subscriber_takes),
      ON_LOOP(a_silent_peer_is_asked_and_then_closed),
      ON_LOOP(a_frame_that_does_not_get_on_is_silence),
      ON_LOOP(a_long_frame_on_a_slow_line_is_none),
      ON_LOOP(a_peer_that_is_half_open_is_given_up_and_connected_to_again),
      ON_LOOP(who_does_not_greet_is_let_go),
      ON_LOOP(connections_beyond_the_most_are_closed_at_once),
      ON_LOOP(ten_thousand_idle_connections_cost_little_and_others_are_served),
      ON_LOOP(without_descriptors_accepting_waits_and_says_so_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
