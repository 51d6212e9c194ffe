/* SPDX-License-Identifier: Apache-2.0 */
/* The transport over TCP, with TLS: who shows what to whom. The certificates are made here, by the openssl command. */
#include "certificates.h"
#include "tcp_raw.h"

static int make_files(void **state) {
  certificates_make_authority("ca");
  certificates_make_authority("foreign");
  certificates_make("pay", "ca", "/O=cafe/CN=pay", "IP:127.0.0.1,DNS:localhost");
  certificates_make("app", "ca", "/O=cafe, the shop/CN=app", "DNS:app.example");
  certificates_make("stranger", "foreign", "/CN=app", "IP:127.0.0.1");
  certificates_make("elsewhere", "ca", "/CN=pay", "IP:127.0.0.2,DNS:pay.example");
  certificates_make("endless", "ca",
                    "/O=0123456789012345678901234567890123456789012345678901234567890123"
                    "/OU=0123456789012345678901234567890123456789012345678901234567890123"
                    "/OU=1123456789012345678901234567890123456789012345678901234567890123"
                    "/OU=2123456789012345678901234567890123456789012345678901234567890123/CN=app",
                    "IP:127.0.0.1");
  certificates_run("cat ca.pem foreign.pem >both.pem");
  certificates_run("openssl ec -in pay.key -aes128 -passout pass:secret -out locked.key 2>>openssl.log");
  return 0;
}

static const cafe_tcp_tls pay_files = {"ca.pem", "pay.pem", "pay.key", {NULL, NULL}};
static const cafe_tcp_tls app_files = {"ca.pem", "app.pem", "app.key", {NULL, NULL}};

static void start_tls_pair(node *pay, const cafe_tcp_tls *pays, node *app, const cafe_tcp_tls *apps) {
  node_init(pay, "pay");
  node_listen(pay);
  pay->options.tls = pays;
  node_start(pay);
  node_init(app, "app");
  node_peer(app, "pay", pay->address);
  app->options.tls = apps;
  node_start(app);
}

static void all_goes_over_tls_and_the_server_knows_who_asks(void **state) {
  static node pay, app;
  question q;
  reader r;
  start_tls_pair(&pay, &pay_files, &app, &app_files);
  append(&pay, 5000);
  subscribe(&r, &app, "pay", all_types);
  ask_and_wait(&q, &app, "pay", "hello");
  assert_int_equal(q.err.code, CAFE_OK);
  assert_string_equal(q.answer, "hello");
  assert_string_equal(pay.last_peer, "CN=app,O=cafe\\, the shop"); /* RFC 2253: the last part first */
  WAIT_UNTIL(r.events == 5000);
  unsubscribe(&r);
  node_stop(&pay);
  ask_and_wait(&q, &app, "pay", "hello");
  assert_true(q.err.code == CAFE_UNAVAILABLE || q.err.code == CAFE_TIMEOUT);
  node_stop(&app);
}

static void much_goes_over_tls_both_ways_at_once(void **state) {
  enum { COUNT = 30, BODY = 700 * 1000 };
  static node pay, app;
  static question q[COUNT];
  static char body[BODY];
  start_tls_pair(&pay, &pay_files, &app, &app_files);
  int asked = 0;
  while (asked < COUNT) {
    int code = try_ask(&q[asked], &app, "pay", (cafe_slice){body, BODY}, PATIENCE_MS, NULL);
    assert_true(code == CAFE_OK || code == CAFE_OVERLOADED);
    asked += code == CAFE_OK;
    run_ms(code == CAFE_OK ? 0 : 5);
  }
  for (int i = 0; i < COUNT; i++) {
    WAIT_UNTIL(q[i].answers);
    assert_int_equal(q[i].err.code, CAFE_OK);
    assert_int_equal(q[i].answer_size, BODY);
  }
  node_stop(&app);
  node_stop(&pay);
}

static void a_name_is_looked_up_and_is_what_the_certificate_must_be_for(void **state) {
  static node pay, app;
  char address[64];
  question q;
  node_init(&pay, "pay");
  node_listen(&pay);
  pay.options.tls = &pay_files;
  node_start(&pay);
  snprintf(address, sizeof(address), "localhost%s", strchr(pay.address, ':'));
  node_init(&app, "app");
  node_peer(&app, "pay", address);
  app.options.tls = &app_files;
  node_start(&app);
  ask_and_wait(&q, &app, "pay", "hello");
  assert_int_equal(q.err.code, CAFE_OK);
  node_stop(&app);
  node_stop(&pay);
}

typedef struct stranger {
  const cafe_tcp_tls pay, app;
  const char *pay_logs, *app_hears;
} stranger;

static void a_certificate_that_does_not_do_ends_the_connection(void **state) {
  static const stranger cases[] = {
      {{"ca.pem", "pay.pem", "pay.key", {0}}, {"both.pem", "stranger.pem", "stranger.key", {0}}, "isn't accepted", ""},
      {{"both.pem", "stranger.pem", "stranger.key", {0}}, {"ca.pem", "app.pem", "app.key", {0}}, "", "isn't accepted"},
      {{"ca.pem", "elsewhere.pem", "elsewhere.key", {0}},
       {"ca.pem", "app.pem", "app.key", {0}},
       "",
       "IP address mismatch"},
      {{"ca.pem", "pay.pem", "pay.key", {0}},
       {"ca.pem", "endless.pem", "endless.key", {0}},
       "the subject of its certificate is too long",
       ""},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    static node pay, app;
    question q;
    start_tls_pair(&pay, &cases[i].pay, &app, &cases[i].app);
    ask_and_wait(&q, &app, "pay", "hello");
    assert_int_equal(q.err.code, CAFE_UNAVAILABLE);
    if (!strstr(q.err.text, cases[i].app_hears) || !strstr(pay.log.all, cases[i].pay_logs)) {
      fail_msg("%u: %s; %s", (unsigned)i, q.err.text, pay.log.all);
    }
    assert_int_equal(pay.served, 0);
    node_stop(&app);
    node_stop(&pay);
  }
}

static void plain_and_tls_do_not_meet(void **state) {
  for (int i = 0; i < 2; i++) {
    static node pay, app;
    question q;
    start_tls_pair(&pay, i ? &pay_files : NULL, &app, i ? NULL : &app_files);
    ask_and_wait(&q, &app, "pay", "hello");
    assert_int_equal(q.err.code, CAFE_UNAVAILABLE);
    assert_int_equal(pay.served, 0);
    node_stop(&app);
    node_stop(&pay);
  }
}

static void who_does_not_shake_hands_costs_only_itself(void **state) {
  static node pay, app;
  question q;
  start_tls_pair(&pay, &pay_files, &app, &app_files);
  raw_reader mute = raw_reader_of(raw_connect(pay.address));
  raw_reader loud = raw_reader_of(raw_connect(pay.address));
  raw_send(loud.fd, "GET / HTTP/1.1\r\n\r\n", 18);
  ask_and_wait(&q, &app, "pay", "hello");
  assert_int_equal(q.err.code, CAFE_OK);
  frame unused;
  WAIT_UNTIL((recv(loud.fd, &unused, sizeof(unused), MSG_DONTWAIT) == 0 || errno == ECONNRESET));
  WAIT_UNTIL(times_logged(&pay.log, "no hello came")); /* mute */
  raw_close(&loud);
  raw_close(&mute);
  node_stop(&app);
  node_stop(&pay);
}

/* A peer of another library: it sends what is in asked.bin, and what it gets is in got.bin. */
static void start_openssl(const node *pay, const char *version) {
  certificates_run(
      "rm -f got.bin; timeout 20 openssl s_client %s -quiet -connect %s -cert app.pem -key app.key -CAfile "
      "ca.pem <asked.bin >got.bin 2>>openssl.log &",
      version, pay->address);
}

static buffer file_bytes(const char *path) {
  buffer out = {.allocator = cafe_allocator_default()};
  FILE *file = fopen(path, "r");
  for (size_t got = 1; file && got > 0;) {
    char *to = buffer_reserve(&out, 4096);
    assert_non_null(to);
    got = fread(to, 1, 4096, file);
    buffer_add(&out, got);
  }
  if (file) {
    fclose(file);
  }
  return out;
}

/* The frame at the place, counted from 0, in got.bin. */
static bool has_frame(int place, frame_kind kind) {
  buffer all = file_bytes("got.bin");
  cafe_slice one;
  frame f;
  bool is_there = frame_cut(&one, buffer_bytes(&all), FRAME_MAX_OF_TESTS) == 1;
  for (int i = 0; is_there && i < place; i++) {
    buffer_drop(&all, FRAME_LENGTH + one.size);
    is_there = frame_cut(&one, buffer_bytes(&all), FRAME_MAX_OF_TESTS) == 1;
  }
  is_there = is_there && frame_read(&f, one, NULL) == CAFE_OK && f.kind == (int64_t)kind;
  buffer_free(&all);
  return is_there;
}

static void tls_1_2_is_spoken_and_nothing_older(void **state) {
  static node pay;
  frame hello = {.kind = FRAME_HELLO, .services = {"raw", 4}, .max_frame = FRAME_MAX_OF_TESTS};
  frame request = {.kind = FRAME_REQUEST, .number = 1, .service = {"pay", 3}, .body = {"hello", 5}};
  FILE *file = fopen("asked.bin", "w");
  assert_non_null(file);
  for (int i = 0; i < 2; i++) {
    buffer bytes = raw_frame_bytes(i ? &request : &hello);
    assert_int_equal(fwrite(bytes.data, 1, buffer_size(&bytes), file), buffer_size(&bytes));
    buffer_free(&bytes);
  }
  assert_int_equal(fclose(file), 0);
  node_init(&pay, "pay");
  node_listen(&pay);
  pay.options.tls = &pay_files;
  node_start(&pay);
  start_openssl(&pay, "-tls1_2");
  WAIT_UNTIL(has_frame(0, FRAME_HELLO) && has_frame(1, FRAME_ANSWER));
  assert_int_equal(pay.served, 1);
  assert_string_equal(pay.last_peer, "CN=app,O=cafe\\, the shop");
  start_openssl(&pay, "-tls1_1 -cipher ALL@SECLEVEL=0");
  WAIT_UNTIL(times_logged(&pay.log, "was refused: TLS") == 1);
  assert_int_equal(pay.served, 1);
  node_stop(&pay);
}

/* Who isn't read for want of room may have bytes of which its descriptor doesn't tell. */
static void more_than_there_is_room_for_comes_over_tls_in_turn(void **state) {
  enum { PEERS = 8, BODY = 900 * 1000, FRAME = 1024 * 1024 };
  static node pay, apps[PEERS];
  static question q[PEERS];
  static char body[BODY];
  node_init(&pay, "pay");
  node_listen(&pay);
  pay.options.tls = &pay_files;
  pay.options.max_frame = FRAME;
  pay.options.max_incoming = 2 * FRAME;
  pay.is_silent = true;
  node_start(&pay);
  for (int i = 0; i < PEERS; i++) {
    node_init(&apps[i], "app");
    node_peer(&apps[i], "pay", pay.address);
    apps[i].options.tls = &app_files;
    node_start(&apps[i]);
    assert_int_equal(try_ask(&q[i], &apps[i], "pay", (cafe_slice){body, BODY}, PATIENCE_MS, NULL), CAFE_OK);
  }
  WAIT_UNTIL(times_logged(&pay.log, "wait for room") > 0 && pay.served > 0);
  run_ms(50);
  assert_true(pay.served <= 3);
  for (int i = 0; i < PEERS; i++) {
    WAIT_UNTIL((answer_silent(&pay, "done"), q[i].answers));
    assert_int_equal(q[i].err.code, CAFE_OK);
  }
  for (int i = 0; i < PEERS; i++) {
    node_stop(&apps[i]);
  }
  node_stop(&pay);
}

static void files_that_do_not_do_are_refused_by_name(void **state) {
  static const struct {
    cafe_tcp_tls files;
    const char *text;
  } cases[] = {
      {{NULL, "pay.pem", "pay.key", {0}}, "ca_file"},
      {{"ca.pem", NULL, "pay.key", {0}}, "certificate_file"},
      {{"ca.pem", "pay.pem", NULL, {0}}, "key_file"},
      {{"nowhere.pem", "pay.pem", "pay.key", {0}}, "nowhere.pem"},
      {{"ca.pem", "nowhere.pem", "pay.key", {0}}, "nowhere.pem"},
      {{"ca.pem", "pay.pem", "nowhere.key", {0}}, "nowhere.key"},
      {{"pay.key", "pay.pem", "pay.key", {0}}, "ca_file"},
      {{"ca.pem", "pay.key", "pay.key", {0}}, "certificate_file"},
      {{"ca.pem", "pay.pem", "pay.pem", {0}}, "key_file"},
      {{"ca.pem", "pay.pem", "app.key", {0}}, "key_file"},
      {{"ca.pem", "pay.pem", "locked.key", {0}}, "passphrase"},
      {{"ca.pem", "stranger.pem", "stranger.key", {0}}, "isn't one that ca_file accepts"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    cafe_tcp_options options = CAFE_TCP_OPTIONS_INIT;
    cafe_transport *transport = NULL;
    cafe_err err = {0};
    options.tls = &cases[i].files;
    assert_int_equal(cafe_tcp_create(&transport, &options, &err), CAFE_INVALID);
    assert_null(transport);
    if (!strstr(err.text, cases[i].text)) {
      fail_msg("%s: %s", cases[i].text, err.text);
    }
  }
  cafe_tcp_options options = CAFE_TCP_OPTIONS_INIT;
  cafe_transport *transport = NULL;
  cafe_tcp_tls newer = pay_files;
  newer.reserved[1] = "newer";
  options.tls = &newer;
  assert_int_equal(cafe_tcp_create(&transport, &options, NULL), CAFE_UNSUPPORTED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_LOOP(all_goes_over_tls_and_the_server_knows_who_asks),
      ON_LOOP(much_goes_over_tls_both_ways_at_once),
      ON_LOOP(a_name_is_looked_up_and_is_what_the_certificate_must_be_for),
      ON_LOOP(a_certificate_that_does_not_do_ends_the_connection),
      ON_LOOP(plain_and_tls_do_not_meet),
      ON_LOOP(who_does_not_shake_hands_costs_only_itself),
      ON_LOOP(tls_1_2_is_spoken_and_nothing_older),
      ON_LOOP(more_than_there_is_room_for_comes_over_tls_in_turn),
      cmocka_unit_test(files_that_do_not_do_are_refused_by_name),
  };
  return cmocka_run_group_tests(tests, make_files, NULL);
}
