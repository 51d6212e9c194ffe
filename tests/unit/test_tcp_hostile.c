/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that aren't any: whatever they send costs their own connection, and one line in the log. */
#include "tcp_raw.h"

/* ---- who connects ---- */

typedef struct attack {
  const char *name;
  bool has_hello;
  const char *bytes; /* or */
  size_t size;
  frame frame;
  int times;
} attack;

static const attack attacks[] = {
    {"HTTP", false, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27},
    {"a length of 2^31", false, "\x80\x00\x00\x00\x91", 5},
    {"a length of 2^32 - 1", true, "\xff\xff\xff\xff", 4},
    {"no length", true, "\x00\x00\x00\x00", 4},
    {"no array", true, "\x00\x00\x00\x01\x05", 5},
    {"an array of 2^31 in five bytes", true, "\x00\x00\x00\x05\xdd\x80\x00\x00\x00", 9},
    {"a body of 2^31 in a short frame", true, "\x00\x00\x00\x0d\x98\x01\x02\x01\xc0\xc0\xc0\xc0\xc6\x80\x00\x00\x00",
     17},
    {"half a frame's fields of a wrong type", true, "\x00\x00\x00\x04\x93\x01\x02\xa1", 8},
    {"an unknown kind", true, "\x00\x00\x00\x03\x92\x01\x63", 7},
    {"a negative kind", true, "\x00\x00\x00\x03\x92\x01\xff", 7},
    {"no hello", false, NULL, 0, {.kind = FRAME_PING}},
    {"a hello without a size", false, NULL, 0, {.kind = FRAME_HELLO}},
    {"a hello with half a name", false, NULL, 0, {.kind = FRAME_HELLO, .services = {"pay", 3}, .max_frame = 1000}},
    {"a second hello", true, NULL, 0, {.kind = FRAME_HELLO, .max_frame = 1000}},
    {"an answer", true, NULL, 0, {.kind = FRAME_ANSWER, .number = 1}},
    {"a batch", true, NULL, 0, {.kind = FRAME_BATCH, .number = 1}},
    {"no number", true, NULL, 0, {.kind = FRAME_REQUEST, .service = {"pay", 3}}},
    {"a number twice", true, NULL, 0, {.kind = FRAME_REQUEST, .number = 7, .service = {"pay", 3}}, 2},
    {"a subscription's number twice",
     true,
     NULL,
     0,
     {.kind = FRAME_PULL, .number = 7, .service = {"pay", 3}, .credit = 1},
     2},
    {"no credit", true, NULL, 0, {.kind = FRAME_PULL, .number = 7, .service = {"pay", 3}}},
    {"too much credit", true, NULL, 0, {.kind = FRAME_PULL, .number = 7, .service = {"pay", 3}, .credit = 3}},
    {"half a type",
     true,
     NULL,
     0,
     {.kind = FRAME_PULL, .number = 7, .service = {"pay", 3}, .credit = 1, .types = {"a\0b", 3}}},
    {"a type without a name",
     true,
     NULL,
     0,
     {.kind = FRAME_PULL, .number = 7, .service = {"pay", 3}, .credit = 1, .types = {"\0", 1}}},
    {"a shard of 2^32",
     true,
     NULL,
     0,
     {.kind = FRAME_PULL, .number = 7, .service = {"pay", 3}, .credit = 1, .shard = UINT64_C(1) << 32}},
    {"more of nothing", true, NULL, 0, {.kind = FRAME_MORE, .number = 7, .credit = 1}},
    {"a cancel of nothing", true, NULL, 0, {.kind = FRAME_CANCEL, .number = 7}},
    {"a forget of number 0", true, NULL, 0, {.kind = FRAME_FORGET}},
};

/* X15: garbage frames, a count of 2^31 in five bytes */
static void nonsense_costs_its_own_connection_and_one_line(void **state) {
  for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
    static node pay, app;
    const attack *a = &attacks[i];
    question q;
    start_pair(&pay, &app);
    append(&pay, 1);
    ask_and_wait(&q, &app, "pay", "before");
    raw_reader attacker = a->has_hello ? raw_client(pay.address) : raw_reader_of(raw_connect(pay.address));
    for (int k = 0; k < (a->times ? a->times : 1); k++) {
      if (a->bytes) {
        raw_send(attacker.fd, a->bytes, a->size);
      } else {
        raw_put(attacker.fd, &a->frame);
      }
    }
    raw_expect_end(&attacker);
    raw_close(&attacker);
    if (times_logged(&pay.log, "was closed: ") != 1) {
      fail_msg("%s: %s", a->name, pay.log.all);
    }
    ask_and_wait(&q, &app, "pay", "after");
    assert_int_equal(q.err.code, CAFE_OK);
    assert_int_equal(times_logged(&app.log, "broke"), 0); /* on the connection of before */
    node_stop(&app);
    node_stop(&pay);
  }
}

static void more_than_the_credit_is_nonsense_too(void **state) {
  node pay, app;
  start_pair(&pay, &app);
  raw_reader attacker = raw_client(pay.address);
  frame pull = {.kind = FRAME_PULL, .number = 1, .service = {"pay", 3}, .types = {"Ordered", 8}, .credit = 1};
  frame more = {.kind = FRAME_MORE, .number = 1, .credit = 1};
  raw_put(attacker.fd, &pull);
  raw_put(attacker.fd, &more);
  WAIT_UNTIL(pay.pulled);
  run_ms(10);
  assert_int_equal(pay.pulled, 1); /* one at a time, whatever the credit */
  raw_put(attacker.fd, &more);
  raw_expect_end(&attacker);
  raw_close(&attacker);
  assert_int_equal(pay.forgotten, 1);
  node_stop(&app);
  node_stop(&pay);
}

static void a_flood_of_nonsense_does_not_flood_the_log(void **state) {
  static node pay, app;
  start_pair(&pay, &app);
  for (int i = 0; i < 100; i++) {
    raw_reader attacker = raw_reader_of(raw_connect(pay.address));
    raw_send(attacker.fd, "\xff\xff\xff\xff", 4);
    raw_expect_end(&attacker);
    raw_close(&attacker);
  }
  assert_in_range(times_logged(&pay.log, "was closed: "), 10, 40);
  node_stop(&app);
  node_stop(&pay);
}

/* X15: endless frames */
static void a_frame_longer_than_allowed_is_refused_before_it_comes(void **state) {
  node pay;
  node_init(&pay, "pay");
  node_listen(&pay);
  pay.options.max_frame = 5000;
  node_start(&pay);
  static char body[6000];
  raw_reader ok = raw_client(pay.address);
  frame f = {.kind = FRAME_REQUEST, .number = 1, .service = {"pay", 3}, .body = {body, 4900}};
  raw_put(ok.fd, &f);
  raw_expect(&ok, &f, FRAME_ANSWER);
  assert_int_equal(f.body.size, 4900);
  raw_send(ok.fd, "\x00\x00\x13\x89", 4); /* 5001 */
  raw_expect_end(&ok);
  raw_close(&ok);
  node_stop(&pay);
}

static void frames_arrive_however_they_are_cut(void **state) {
  node pay;
  frame answer;
  node_init(&pay, "pay");
  node_listen(&pay);
  node_start(&pay);
  raw_reader client = raw_client(pay.address);
  for (uint64_t number = 1; number <= 2; number++) {
    frame f = {.kind = FRAME_REQUEST, .number = number, .service = {"pay", 3}, .body = {"hello", 5}};
    buffer bytes = raw_frame_bytes(&f);
    for (size_t i = 0; i < buffer_size(&bytes); i++) {
      raw_send(client.fd, bytes.data + i, 1);
      run_ms(2);
    }
    buffer_free(&bytes);
    raw_expect(&client, &answer, FRAME_ANSWER);
    assert_true(cafe_slice_equal(answer.body, cafe_text("hello")));
  }
  /* And one that is longer than any read. */
  size_t size = 10 * 1000 * 1000;
  char *body = malloc(size);
  for (size_t i = 0; i < size; i++) {
    body[i] = (char)(i * 31 >> 8);
  }
  frame f = {.kind = FRAME_REQUEST, .number = 3, .service = {"pay", 3}, .body = {body, size}};
  raw_put(client.fd, &f);
  raw_expect(&client, &answer, FRAME_ANSWER);
  assert_int_equal(answer.body.size, size);
  assert_memory_equal(answer.body.data, body, size);
  free(body);
  raw_close(&client);
  node_stop(&pay);
}

/* ---- who is connected to ---- */

static void node_towards(node *app, const char *address) {
  node_init(app, "app");
  node_peer(app, "pay", address);
  node_start(app);
}

static void an_answer_or_a_batch_that_nobody_asked_for_ends_the_connection(void **state) {
  static const frame wrong[] = {
      {.kind = FRAME_ANSWER, .number = 999},
      {.kind = FRAME_ANSWER},
      {.kind = FRAME_ANSWER, .number = 1, .code = 99},
      {.kind = FRAME_ANSWER, .number = 1, .code = 1, .retry_after_ms = -1},
      {.kind = FRAME_BATCH, .number = 999},
      {.kind = FRAME_BATCH, .number = 1, .code = 99},
      {.kind = FRAME_REQUEST, .number = 1, .service = {"app", 3}},
      {.kind = FRAME_PULL, .number = 1, .service = {"app", 3}, .credit = 1},
      {.kind = FRAME_MORE, .number = 1, .credit = 1},
      {.kind = FRAME_CANCEL, .number = 1},
  };
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    static node app;
    char address[32];
    question q;
    int listener = listen_somewhere(address);
    node_towards(&app, address);
    ask(&q, &app, "pay", "hello", PATIENCE_MS);
    raw_reader server = raw_server(listener);
    frame f;
    raw_expect(&server, &f, FRAME_REQUEST);
    assert_int_equal(f.number, 1);
    raw_put(server.fd, &wrong[i]);
    raw_expect_end(&server);
    WAIT_UNTIL(q.answers);
    assert_int_equal(q.err.code, CAFE_TIMEOUT); /* it may have been done */
    assert_int_equal(times_logged(&app.log, "broke: the peer isn't one: "), 1);
    raw_close(&server);
    close(listener);
    node_stop(&app);
  }
}

static void a_late_answer_and_a_late_batch_are_no_nonsense(void **state) {
  node app;
  char address[32];
  question q;
  reader r;
  frame f;
  int listener = listen_somewhere(address);
  node_towards(&app, address);
  ask(&q, &app, "pay", "one", PATIENCE_MS);
  subscribe(&r, &app, "pay", all_types);
  raw_reader server = raw_server(listener);
  raw_expect(&server, &f, FRAME_REQUEST);
  frame late_answer = {.kind = FRAME_ANSWER, .number = f.number};
  raw_expect(&server, &f, FRAME_PULL);
  frame late_batch = {.kind = FRAME_BATCH, .number = f.number, .log_id = 5, .scanned = 10, .head = 10};
  app.transport->ops->cancel(app.transport, &q.request);
  unsubscribe(&r);
  raw_expect(&server, &f, FRAME_CANCEL);
  assert_int_equal(f.number, late_answer.number);
  raw_expect(&server, &f, FRAME_FORGET);
  assert_int_equal(f.number, late_batch.number);
  raw_put(server.fd, &late_answer);
  raw_put(server.fd, &late_batch);
  ask(&q, &app, "pay", "two", PATIENCE_MS);
  raw_expect(&server, &f, FRAME_REQUEST);
  frame answer = {.kind = FRAME_ANSWER, .number = f.number, .body = {"yes", 3}};
  raw_put(server.fd, &answer);
  WAIT_UNTIL(q.answers);
  assert_string_equal(q.answer, "yes");
  raw_close(&server);
  close(listener);
  node_stop(&app);
}

/* One event of a batch, as it is on the wire, and what is wrong with it. */
typedef struct wrong_batch {
  const char *name;
  frame frame;
  frame_event event;
} wrong_batch;

static void put_event(buffer *out, const frame_event *event) {
  cafe_slice bytes;
  cafe_arena *arena = cafe_arena_create(NULL);
  assert_int_equal(cafe_schema_encode(&bytes, arena, &frame_event_type, event, NULL), CAFE_OK);
  char *to = buffer_reserve(out, FRAME_LENGTH + bytes.size);
  memcpy(to, (char[]){0, 0, 0, (char)bytes.size}, FRAME_LENGTH);
  memcpy(to + FRAME_LENGTH, bytes.data, bytes.size);
  buffer_add(out, FRAME_LENGTH + bytes.size);
  cafe_arena_destroy(arena);
}

/* X15: counts that promise too much */
static void a_batch_that_contradicts_itself_is_not_handed_over(void **state) {
#define NAMES .names = { "order\0pay", 10 }
  static const wrong_batch wrong[] = {
      {"it is right", {.scanned = 6, .head = 6, .count = 1, NAMES}, {.n = 6, .key = 1, .version = 1, .aggregate = 6}},
      {"it goes back", {.scanned = 4, .head = 6}, {.n = 0}},
      {"an event before its begin", {.scanned = 6, .head = 6, .count = 1, NAMES}, {.n = 5, .key = 1, .version = 1}},
      {"an event behind its end", {.scanned = 6, .head = 9, .count = 1, NAMES}, {.n = 7, .key = 1, .version = 1}},
      {"a key that is none", {.scanned = 6, .head = 6, .count = 1, NAMES}, {.n = 6, .version = 1}},
      {"a version that is none", {.scanned = 6, .head = 6, .count = 1, NAMES}, {.n = 6, .key = 1}},
      {"a version below none", {.scanned = 6, .head = 6, .count = 1, NAMES}, {.n = 6, .key = 1, .version = -1}},
      {"a type that there isn't",
       {.scanned = 6, .head = 6, .count = 1, NAMES},
       {.n = 6, .key = 1, .version = 1, .type = 2}},
      {"a name behind the names",
       {.scanned = 6, .head = 6, .count = 1, NAMES},
       {.n = 6, .key = 1, .version = 1, .aggregate = 10}},
      {"a name within a name",
       {.scanned = 6, .head = 6, .count = 1, NAMES},
       {.n = 6, .key = 1, .version = 1, .aggregate = 1}},
      {"names without an end",
       {.scanned = 6, .head = 6, .count = 1, .names = {"order", 5}},
       {.n = 6, .key = 1, .version = 1}},
      {"no names", {.scanned = 6, .head = 6, .count = 1}, {.n = 6, .key = 1, .version = 1}},
      {"a count without events", {.scanned = 6, .head = 6, .count = 2, NAMES}, {.n = 6, .key = 1, .version = 1}},
      {"a count that is huge",
       {.scanned = 6, .head = 6, .count = UINT64_C(1) << 40, NAMES},
       {.n = 6, .key = 1, .version = 1}},
      {"an event without a count", {.scanned = 6, .head = 6, NAMES}, {.n = 6, .key = 1, .version = 1}},
  };
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    static node app;
    char address[32];
    reader r;
    frame f;
    int listener = listen_somewhere(address);
    node_towards(&app, address);
    assert_int_equal(try_subscribe(&r, &app, "pay", all_types, NULL), CAFE_OK);
    r.link.after = r.committing = 5;
    r.commit_us = INT64_MAX;
    r.is_lenient = true;
    raw_reader server = raw_server(listener);
    raw_expect(&server, &f, FRAME_PULL);
    assert_int_equal(f.after, 5);
    buffer events = {.allocator = cafe_allocator_default()};
    if (wrong[i].event.n) {
      put_event(&events, &wrong[i].event);
    }
    frame batch = wrong[i].frame;
    batch.kind = FRAME_BATCH;
    batch.number = f.number;
    batch.events = buffer_bytes(&events);
    raw_put(server.fd, &batch);
    if (i == 0) {
      WAIT_UNTIL(r.batches == 1);
      assert_int_equal(r.events, 1);
      assert_string_equal(r.last_aggregate, "pay");
    } else {
      raw_expect_end(&server);
      WAIT_UNTIL(r.lost);
      assert_int_equal(r.last.code, CAFE_UNAVAILABLE);
      if (r.batches || times_logged(&app.log, "broke: the peer isn't one: ") != 1) {
        fail_msg("%s: %s", wrong[i].name, app.log.all);
      }
    }
    unsubscribe(&r);
    buffer_free(&events);
    raw_close(&server);
    close(listener);
    node_stop(&app);
  }
}

static void batches_that_were_not_asked_for_are_not_kept(void **state) {
  node app;
  char address[32];
  reader r;
  frame f;
  int listener = listen_somewhere(address);
  node_towards(&app, address);
  subscribe(&r, &app, "pay", all_types);
  r.commit_us = INT64_MAX;
  raw_reader server = raw_server(listener);
  raw_expect(&server, &f, FRAME_PULL);
  assert_int_equal(f.credit, 2);
  frame batch = {.kind = FRAME_BATCH, .number = f.number, .log_id = 5};
  for (batch.scanned = batch.head = 1; batch.scanned <= 3; batch.head = ++batch.scanned) {
    raw_put(server.fd, &batch);
  }
  raw_expect_end(&server);
  assert_int_equal(r.batches, 1);
  assert_int_equal(times_logged(&app.log, "more batches than were asked for"), 1);
  unsubscribe(&r);
  raw_close(&server);
  close(listener);
  node_stop(&app);
}

/* ---- other versions ---- */

/* C14: the kinds' numbers, the length and the version before them; what follows is tests/abi/bytes.txt's. */
static void frames_begin_as_they_always_did(void **state) {
  static const struct {
    frame frame;
    const char *bytes;
    size_t size;
  } cases[] = {
      {{.kind = FRAME_HELLO, .max_frame = 5}, "\0\0\0\x05\x94\x01\x01\xc0\x05", 9},
      {{.kind = FRAME_REQUEST, .number = 7}, "\0\0\0\x04\x93\x01\x02\x07", 8},
      {{.kind = FRAME_ANSWER, .number = 7}, "\0\0\0\x04\x93\x01\x03\x07", 8},
      {{.kind = FRAME_CANCEL, .number = 7}, "\0\0\0\x04\x93\x01\x04\x07", 8},
      {{.kind = FRAME_PULL, .number = 7}, "\0\0\0\x04\x93\x01\x05\x07", 8},
      {{.kind = FRAME_BATCH, .number = 7}, "\0\0\0\x04\x93\x01\x06\x07", 8},
      {{.kind = FRAME_MORE, .number = 7}, "\0\0\0\x04\x93\x01\x07\x07", 8},
      {{.kind = FRAME_FORGET, .number = 7}, "\0\0\0\x04\x93\x01\x08\x07", 8},
      {{.kind = FRAME_PING}, "\0\0\0\x03\x92\x01\x09", 7},
      {{.kind = FRAME_PONG}, "\0\0\0\x03\x92\x01\x0a", 7},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    buffer bytes = raw_frame_bytes(&cases[i].frame);
    assert_int_equal(buffer_size(&bytes), cases[i].size);
    assert_memory_equal(bytes.data, cases[i].bytes, cases[i].size);
    buffer_free(&bytes);
  }
}

static void put_version(int fd, char version) {
  frame hello = {.kind = FRAME_HELLO, .services = {"pay", 4}, .max_frame = 1000};
  buffer bytes = raw_frame_bytes(&hello);
  assert_int_equal(bytes.data[FRAME_LENGTH + 1], FRAME_VERSION);
  bytes.data[FRAME_LENGTH + 1] = version;
  raw_send(fd, bytes.data, buffer_size(&bytes));
  buffer_free(&bytes);
}

static void a_newer_peer_is_refused_and_told_what_is_spoken_here(void **state) {
  node pay;
  frame f;
  node_init(&pay, "pay");
  node_listen(&pay);
  node_start(&pay);
  for (int i = 0; i < 3; i++) {
    raw_reader client = raw_reader_of(raw_connect(pay.address));
    put_version(client.fd, 2);
    raw_expect(&client, &f, FRAME_HELLO);
    assert_int_equal(f.version, FRAME_VERSION);
    raw_expect_end(&client);
    raw_close(&client);
  }
  assert_int_equal(times_logged(&pay.log, "it speaks version 2, and this library version 1"), 1);
  node_stop(&pay);
}

static void a_request_to_a_newer_peer_says_why_it_is_unavailable(void **state) {
  node app;
  char address[32];
  question q;
  int listener = listen_somewhere(address);
  node_towards(&app, address);
  for (int i = 0; i < 3; i++) {
    ask(&q, &app, "pay", "hello", PATIENCE_MS);
    int fd = raw_accept(listener);
    put_version(fd, 2);
    WAIT_UNTIL(q.answers);
    assert_int_equal(q.err.code, CAFE_UNAVAILABLE);
    assert_non_null(strstr(q.err.text, "it speaks version 2"));
    close(fd);
  }
  assert_int_equal(times_logged(&app.log, "was refused: it speaks version 2"), 1);
  close(listener);
  node_stop(&app);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_LOOP(nonsense_costs_its_own_connection_and_one_line),
      ON_LOOP(more_than_the_credit_is_nonsense_too),
      ON_LOOP(a_flood_of_nonsense_does_not_flood_the_log),
      ON_LOOP(a_frame_longer_than_allowed_is_refused_before_it_comes),
      ON_LOOP(frames_arrive_however_they_are_cut),
      ON_LOOP(an_answer_or_a_batch_that_nobody_asked_for_ends_the_connection),
      ON_LOOP(a_late_answer_and_a_late_batch_are_no_nonsense),
      ON_LOOP(a_batch_that_contradicts_itself_is_not_handed_over),
      ON_LOOP(batches_that_were_not_asked_for_are_not_kept),
      cmocka_unit_test(frames_begin_as_they_always_did),
      ON_LOOP(a_newer_peer_is_refused_and_told_what_is_spoken_here),
      ON_LOOP(a_request_to_a_newer_peer_says_why_it_is_unavailable),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
