/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox gateway and its books, on the simulated loop and a real file; and the worker that turns payment tasks
 * into its calls. The engine's answers to tasks are played here. */
#include "cafe/gateway/sandbox.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cafe/loop/uv.h"
#include "cafe/sys/loop.h"
#include "cafe/testing/sim.h"
#include "failing_alloc.h"
#include "gateway/gateway.h"
#include "schema/collect.h"

static const char path[] = "ledger.txt";

static cafe_loop *loop;
static cafe_gateway *gateway;

static int setup(void **state) {
  (void)unlink(path);
  assert_int_equal(cafe_sim_create(&loop, 1, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_sandbox_create(&gateway, loop, NULL, NULL, NULL), CAFE_OK);
  return 0;
}

static int teardown(void **state) {
  cafe_gateway_destroy(gateway);
  cafe_loop_destroy(loop);
  (void)unlink(path);
  return 0;
}

static void reopen(const char *ledger_path) {
  cafe_gateway_destroy(gateway);
  gateway = NULL;
  assert_int_equal(cafe_sandbox_create(&gateway, loop, ledger_path, NULL, NULL), CAFE_OK);
}

static void set(cafe_sandbox_mode mode, int64_t delay_ms, int64_t jitter_ms, uint32_t capacity) {
  cafe_sandbox_settings settings = {sizeof(settings), mode, delay_ms, jitter_ms, capacity};
  assert_int_equal(cafe_sandbox_set(gateway, &settings, NULL), CAFE_OK);
}

static cafe_sandbox_figures figures(void) {
  cafe_sandbox_figures now = {.size = sizeof(now)};
  cafe_sandbox_get(gateway, NULL, &now);
  return now;
}

static cafe_sandbox_entry payment(uint64_t id) {
  cafe_sandbox_entry entry = {.size = sizeof(entry)};
  cafe_sandbox_lookup(gateway, id, &entry);
  return entry;
}

/* ---- one call ---- */

typedef struct asked {
  gateway_call base;
  int answers;
  cafe_gateway_result result;
  char reference[64];
  char text[256];
  size_t file_size; /* at the answer */
} asked;

static size_t file_size(void) {
  FILE *file = fopen(path, "r");
  if (!file) {
    return 0;
  }
  assert_int_equal(fseek(file, 0, SEEK_END), 0);
  size_t size = (size_t)ftell(file);
  fclose(file);
  return size;
}

static void on_answer(gateway_call *base, cafe_gateway_result result, cafe_slice reference, const char *text) {
  asked *self = (asked *)base;
  self->answers++;
  self->result = result;
  snprintf(self->reference, sizeof(self->reference), "%.*s", (int)reference.size, reference.data);
  snprintf(self->text, sizeof(self->text), "%s", text ? text : "");
  self->file_size = file_size();
}

static int try_call(asked *self, const char *operation, uint64_t id, int64_t amount_minor, const char *token) {
  static const char *const names[] = {"", "authorize", "capture", "void", "refund"};
  memset(self, 0, sizeof(*self));
  self->base.answered = on_answer;
  cafe_gateway_call *c = &self->base.call;
  for (int i = 1; i <= 4; i++) {
    if (strncmp(operation, names[i], strlen(names[i])) == 0) {
      c->operation = (cafe_payment_operation)i;
    }
  }
  snprintf(c->idempotency_key, sizeof(c->idempotency_key), "%u/%s", (unsigned)id, operation);
  c->payment_id = id;
  c->amount_minor = amount_minor;
  c->currency = cafe_text("KRW");
  c->token = cafe_text(token);
  c->may_have_run = token == NULL;
  return gateway->ops->start(gateway, c, NULL);
}

static void begin(asked *self, const char *operation, uint64_t id, int64_t amount_minor, const char *token) {
  assert_int_equal(try_call(self, operation, id, amount_minor, token), CAFE_OK);
  assert_int_equal(self->answers, 0);
}

static cafe_gateway_result call(const char *operation, uint64_t id, int64_t amount_minor, const char *token) {
  asked a;
  begin(&a, operation, id, amount_minor, token);
  cafe_sim_run(loop, -1);
  assert_int_equal(a.answers, 1);
  return a.result;
}

/* ---- books ---- */

static void every_operation_is_done_and_entered_once(void **state) {
  asked a;
  begin(&a, "authorize", 7, 4500, "token");
  cafe_sim_run(loop, -1);
  assert_int_equal(a.result, CAFE_GATEWAY_DONE);
  assert_string_equal(a.reference, "sandbox-1");
  assert_int_equal(call("capture", 7, 4500, ""), CAFE_GATEWAY_DONE);
  assert_int_equal(call("refund", 7, 4000, ""), CAFE_GATEWAY_DONE);
  assert_int_equal(call("authorize", 8, 1000, ""), CAFE_GATEWAY_DONE);
  assert_int_equal(call("void", 8, 1000, ""), CAFE_GATEWAY_DONE);

  cafe_sandbox_entry seven = payment(7), eight = payment(8), nine = payment(9);
  assert_int_equal(seven.approved_minor, 4500);
  assert_int_equal(seven.captured_minor, 4500);
  assert_int_equal(seven.refunded_minor, 4000);
  assert_int_equal(seven.voided_minor + seven.voids, 0);
  assert_int_equal(seven.authorizations + seven.captures + seven.refunds, 3);
  assert_int_equal(eight.voided_minor, 1000);
  assert_int_equal(eight.voids, 1);
  assert_int_equal(nine.approved_minor + nine.authorizations, 0);
  assert_int_equal(nine.size, sizeof(nine));
  cafe_sandbox_figures f = figures();
  assert_int_equal(f.calls, 5);
  assert_int_equal(f.in_flight, 0);
  assert_int_equal(f.max_in_flight, 1);
  assert_int_equal(f.approved_minor, 5500);
  assert_int_equal(f.captured_minor, 4500);
  assert_int_equal(f.voided_minor, 1000);
  assert_int_equal(f.refunded_minor, 4000);
}

static void a_key_has_one_effect_and_one_result(void **state) {
  asked a, b;
  begin(&a, "authorize", 7, 4500, "token");
  begin(&b, "authorize", 7, 9900, "decline");
  cafe_sim_run(loop, -1);
  assert_int_equal(a.result, CAFE_GATEWAY_DONE);
  assert_int_equal(b.result, CAFE_GATEWAY_DONE);
  assert_string_equal(a.reference, b.reference);
  assert_int_equal(call("authorize", 8, 100, "decline"), CAFE_GATEWAY_DECLINED);
  assert_int_equal(call("authorize", 8, 100, "token"), CAFE_GATEWAY_DECLINED);
  assert_int_equal(payment(7).authorizations, 1);
  assert_int_equal(payment(7).approved_minor, 4500);
  assert_int_equal(payment(8).authorizations, 0);

  /* Another key for the same payment does move money again: the count shows it. */
  assert_int_equal(call("authorize-again", 7, 4500, "token"), CAFE_GATEWAY_DONE);
  assert_int_equal(payment(7).authorizations, 2);
  assert_int_equal(payment(7).approved_minor, 9000);
}

static void modes_decide_what_becomes_of_new_keys_only(void **state) {
  assert_int_equal(call("authorize", 1, 100, "t"), CAFE_GATEWAY_DONE);
  set(CAFE_SANDBOX_DECLINE, 0, 0, 0);
  assert_int_equal(call("authorize", 2, 100, "t"), CAFE_GATEWAY_DECLINED);
  assert_int_equal(call("authorize", 1, 100, "t"), CAFE_GATEWAY_DONE);
  assert_int_equal(call("capture", 1, 100, ""), CAFE_GATEWAY_DONE);
  set(CAFE_SANDBOX_ERROR, 0, 0, 0);
  assert_int_equal(call("authorize", 3, 100, "t"), CAFE_GATEWAY_REFUSED);
  assert_int_equal(call("refund", 1, 100, ""), CAFE_GATEWAY_REFUSED);
  assert_int_equal(call("authorize", 1, 100, "t"), CAFE_GATEWAY_DONE);
  assert_int_equal(call("authorize", 2, 100, "t"), CAFE_GATEWAY_DECLINED);
  assert_int_equal(call("capture", 1, 100, ""), CAFE_GATEWAY_DONE);
  set(CAFE_SANDBOX_APPROVE, 0, 0, 0);
  assert_int_equal(call("authorize", 2, 100, "t"), CAFE_GATEWAY_DECLINED);
  assert_int_equal(call("authorize", 3, 100, "t"), CAFE_GATEWAY_DONE); /* it was surely not done */
  assert_int_equal(call("refund", 1, 100, ""), CAFE_GATEWAY_DONE);
  assert_int_equal(payment(1).authorizations + payment(1).captures + payment(1).refunds, 3);
}

static void a_call_that_hangs_is_done_by_the_mode_before_and_never_answered(void **state) {
  static const struct {
    cafe_sandbox_mode before;
    cafe_gateway_result later;
  } cases[] = {
      {CAFE_SANDBOX_APPROVE, CAFE_GATEWAY_DONE},
      {CAFE_SANDBOX_DECLINE, CAFE_GATEWAY_DECLINED},
      {CAFE_SANDBOX_ERROR, CAFE_GATEWAY_REFUSED}, /* nothing is known of the key, and the token is lost */
  };
  for (uint64_t i = 0; i < 3; i++) {
    asked a, b;
    set(cases[i].before, 0, 0, 0);
    set(CAFE_SANDBOX_HANG, 5, 0, 0);
    set(CAFE_SANDBOX_HANG, 6, 0, 0); /* set again: what was before stays */
    begin(&a, "authorize", 10 + i, 100, "t");
    begin(&b, "authorize", 10 + i, 100, "t");
    cafe_sim_run(loop, -1);
    assert_int_equal(a.answers + b.answers, 0);
    assert_int_equal(figures().in_flight, 2);
    gateway->ops->stop(gateway, &a.base.call);
    gateway->ops->stop(gateway, &b.base.call);
    assert_int_equal(figures().in_flight, 0);
    set(CAFE_SANDBOX_APPROVE, 0, 0, 0);
    assert_int_equal(call("authorize", 10 + i, 100, NULL), cases[i].later);
    assert_int_equal(payment(10 + i).authorizations, i == 0);
  }
}

static void who_lost_the_token_only_asks(void **state) {
  assert_int_equal(call("authorize", 1, 100, NULL), CAFE_GATEWAY_REFUSED);
  assert_int_equal(payment(1).authorizations, 0);
  assert_int_equal(call("authorize", 1, 100, ""), CAFE_GATEWAY_DONE); /* an order without token, asked the first time */
  assert_int_equal(call("authorize", 1, 100, NULL), CAFE_GATEWAY_DONE);
  assert_int_equal(call("capture", 1, 100, NULL), CAFE_GATEWAY_DONE); /* has no token at any time */
  assert_int_equal(payment(1).authorizations + payment(1).captures, 2);
}

static void above_its_capacity_it_refuses_at_once_but_not_what_is_done(void **state) {
  asked a[5];
  int64_t before_us = cafe_sim_now_us(loop);
  assert_int_equal(call("authorize", 50, 100, "t"), CAFE_GATEWAY_DONE);
  set(CAFE_SANDBOX_APPROVE, 100, 0, 2);
  for (uint64_t i = 0; i < 4; i++) {
    begin(&a[i], "authorize", i + 1, 100, "t");
  }
  begin(&a[4], "authorize", 50, 100, "t");
  cafe_sim_run(loop, before_us + 1000);
  assert_int_equal(a[0].answers + a[1].answers, 0);
  for (int i = 2; i < 4; i++) {
    assert_int_equal(a[i].answers, 1);
    assert_int_equal(a[i].result, CAFE_GATEWAY_REFUSED);
    assert_string_equal(a[i].text, "over capacity");
  }
  cafe_sim_run(loop, -1);
  assert_int_equal(a[0].result, CAFE_GATEWAY_DONE);
  assert_int_equal(a[4].result, CAFE_GATEWAY_DONE);
  assert_int_equal(figures().in_flight, 0);
  assert_int_equal(payment(3).authorizations, 0);
  assert_int_equal(call("authorize", 3, 100, "t"), CAFE_GATEWAY_DONE);
}

static void an_answer_takes_delay_and_jitter(void **state) {
  int64_t shortest = INT64_MAX, longest = 0;
  set(CAFE_SANDBOX_APPROVE, 20, 30, 0);
  for (uint64_t i = 0; i < 300; i++) {
    asked a;
    int64_t before_us = cafe_sim_now_us(loop);
    begin(&a, "authorize", i + 1, 100, "t");
    while (!a.answers) {
      assert_true(cafe_sim_step(loop));
    }
    int64_t took_us = cafe_sim_now_us(loop) - before_us;
    shortest = took_us < shortest ? took_us : shortest;
    longest = took_us > longest ? took_us : longest;
  }
  assert_in_range(shortest, 20000, 21000);
  assert_in_range(longest, 49000, 50000);
}

static void a_stopped_call_is_not_answered_but_may_have_happened(void **state) {
  asked a;
  begin(&a, "authorize", 1, 100, "t");
  gateway->ops->stop(gateway, &a.base.call);
  cafe_sim_run(loop, -1);
  assert_int_equal(a.answers, 0);
  assert_int_equal(payment(1).authorizations, 1);
}

static void wrong_settings_and_calls_are_refused(void **state) {
  asked a;
  cafe_err err;
  cafe_sandbox_settings settings = {sizeof(settings), CAFE_SANDBOX_DECLINE, 5, 6, 7}, now = {.size = sizeof(now)};
  assert_int_equal(cafe_sandbox_set(gateway, &settings, &err), CAFE_OK);
  settings.mode = (cafe_sandbox_mode)4;
  assert_int_equal(cafe_sandbox_set(gateway, &settings, &err), CAFE_INVALID);
  settings.mode = CAFE_SANDBOX_APPROVE;
  settings.delay_ms = -1;
  assert_int_equal(cafe_sandbox_set(gateway, &settings, &err), CAFE_INVALID);
  settings.delay_ms = 0;
  settings.jitter_ms = INT64_MAX;
  assert_int_equal(cafe_sandbox_set(gateway, &settings, &err), CAFE_INVALID);
  cafe_sandbox_get(gateway, &now, NULL);
  assert_int_equal(now.mode, CAFE_SANDBOX_DECLINE);
  assert_int_equal(now.delay_ms * 100 + now.jitter_ms * 10 + now.capacity, 567);

  assert_int_equal(try_call(&a, "authorize twice", 1, 100, "t"), CAFE_INVALID);
  assert_int_equal(try_call(&a, "authorize", 1, -100, "t"), CAFE_INVALID);
  assert_int_equal(figures().in_flight, 0);
}

/* ---- the file ---- */

static void the_books_survive_in_the_file(void **state) {
  reopen(path);
  assert_int_equal(call("authorize", 1, 4500, "t"), CAFE_GATEWAY_DONE);
  assert_int_equal(call("authorize", 2, 100, "decline"), CAFE_GATEWAY_DECLINED);
  assert_int_equal(call("capture", 1, 4500, ""), CAFE_GATEWAY_DONE);
  for (int round = 0; round < 2; round++) {
    reopen(path);
    assert_int_equal(figures().approved_minor, 4500);
    assert_int_equal(payment(1).captures, 1);
    assert_int_equal(call("authorize", 1, 4500, NULL), CAFE_GATEWAY_DONE);
    assert_int_equal(call("authorize", 2, 100, NULL), CAFE_GATEWAY_DECLINED);
    assert_int_equal(payment(1).authorizations, 1);
  }
  asked a;
  begin(&a, "refund", 1, 4500, "");
  cafe_sim_run(loop, -1);
  assert_string_equal(a.reference, "sandbox-4");
}

static void nothing_is_answered_before_it_is_in_the_file(void **state) {
  enum { COUNT = 50 };
  static asked a[COUNT];
  cafe_sim_set_job_delay(loop, 1000, 9000);
  reopen(path);
  size_t empty = file_size();
  set(CAFE_SANDBOX_APPROVE, 0, 12, 0);
  for (uint64_t i = 0; i < COUNT; i++) {
    begin(&a[i], "authorize", i + 1, 4500, "t");
    cafe_sim_run(loop, cafe_sim_now_us(loop) + 500);
  }
  cafe_sim_run(loop, -1);
  size_t whole = file_size();
  size_t line = (whole - empty) / COUNT; /* all are about as long */
  for (uint64_t i = 0; i < COUNT; i++) {
    assert_int_equal(a[i].answers, 1);
    assert_int_equal(a[i].result, CAFE_GATEWAY_DONE);
    assert_true(a[i].file_size >= empty + i * (line - 1));
  }
}

static void rewrite(long cut, const char *more, size_t size) {
  FILE *file = fopen(path, "r+");
  assert_non_null(file);
  assert_int_equal(fseek(file, cut, SEEK_END), 0);
  assert_int_equal(ftruncate(fileno(file), ftell(file)), 0);
  assert_int_equal(fwrite(more, 1, size, file), size);
  assert_int_equal(fclose(file), 0);
}

static void write_three(void) {
  reopen(path);
  assert_int_equal(call("authorize", 1, 100, "t"), CAFE_GATEWAY_DONE);
  assert_int_equal(call("authorize", 2, 200, "t"), CAFE_GATEWAY_DONE);
  assert_int_equal(call("authorize", 3, 300, "t"), CAFE_GATEWAY_DONE);
  reopen(NULL);
}

static void a_torn_last_line_is_cut_off(void **state) {
  static const struct {
    long cut;
    const char *more;
    size_t size;
    int64_t left_minor;
  } tears[] = {{-1, "", 0, 300},
               {-5, "", 0, 300},
               {-5, "\0\0\0\0\n", 5, 300}, /* sectors are written in any order */
               {0, "4", 1, 600},
               {0, "12345678 4/auth", 15, 600}};
  for (size_t i = 0; i < sizeof(tears) / sizeof(tears[0]); i++) {
    (void)unlink(path);
    write_three();
    rewrite(tears[i].cut, tears[i].more, tears[i].size);
    reopen(path);
    assert_int_equal(figures().approved_minor, tears[i].left_minor);
    assert_int_equal(call("authorize", 3, 300, "t"), CAFE_GATEWAY_DONE);
    assert_int_equal(call("authorize", 4, 400, "t"), CAFE_GATEWAY_DONE);
    reopen(path);
    assert_int_equal(figures().approved_minor, 1000);
  }
  /* Torn while it was made. */
  for (int size = 0; size < 20; size += 5) {
    reopen(NULL);
    (void)unlink(path);
    FILE *file = fopen(path, "w");
    assert_int_equal(fwrite("cafe sandbox ledger 1\n", 1, (size_t)size, file), size);
    assert_int_equal(fclose(file), 0);
    reopen(path);
    assert_int_equal(call("authorize", 1, 100, "t"), CAFE_GATEWAY_DONE);
    reopen(path);
    assert_int_equal(figures().approved_minor, 100);
  }
}

static int open_code(void) {
  cafe_gateway *other = NULL;
  cafe_err err = {0};
  int code = cafe_sandbox_create(&other, loop, path, NULL, &err);
  assert_int_equal(code, err.code);
  assert_null(other);
  assert_true(strstr(err.text, path) != NULL);
  return code;
}

static void any_damage_elsewhere_is_refused(void **state) {
  write_three();
  size_t size = file_size();
  char *good = malloc(size + 1);
  FILE *file = fopen(path, "r+");
  assert_int_equal(fread(good, 1, size, file), size);
  good[size] = '\0';
  size_t head = (size_t)(strchr(good, '\n') - good) + 1;
  size_t last = size - 1;
  while (good[last - 1] != '\n') {
    last--;
  }
  for (size_t at = 0; at < last; at++) {
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    fputc(good[at] ^ 1, file);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(open_code(), at < head ? CAFE_INVALID : CAFE_CORRUPT);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    fputc(good[at], file);
  }
  /* A line that is there twice. */
  assert_int_equal(fseek(file, 0, SEEK_END), 0);
  assert_true(fputs(good + last, file) >= 0);
  assert_int_equal(fclose(file), 0);
  assert_int_equal(open_code(), CAFE_CORRUPT);
  free(good);
}

static void a_place_that_can_not_be_written_is_refused(void **state) {
  cafe_gateway *other;
  cafe_err err;
  assert_int_equal(cafe_sandbox_create(&other, loop, "no/such/folder/ledger", NULL, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "; make its folder"));
  assert_int_equal(cafe_sandbox_create(&other, loop, ".", NULL, &err), CAFE_INVALID);
  assert_int_equal(cafe_sandbox_create(&other, loop, "/dev/null", NULL, &err), CAFE_INVALID);
}

static void a_ledger_in_use_by_another_process_is_denied(void **state) {
  int fds[2];
  char byte;
  assert_int_equal(pipe(fds), 0);
  reopen(path);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    byte = (char)cafe_sandbox_create(&gateway, loop, path, NULL, NULL);
    _exit(write(fds[1], &byte, 1) == 1 ? 0 : 1);
  }
  assert_int_equal(read(fds[0], &byte, 1), 1);
  assert_int_equal(byte, CAFE_DENIED);
  assert_int_equal(waitpid(child, NULL, 0), child);
  close(fds[0]);
  close(fds[1]);
}

static void a_ledger_can_be_opened_after_the_sandbox_is_made(void **state) {
  cafe_err err;
  write_three();
  rewrite(0, "x\n", 2);
  assert_int_equal(cafe_sandbox_open(gateway, path, &err), CAFE_CORRUPT);
  rewrite(-2, "", 0);
  assert_int_equal(figures().approved_minor, 0); /* as before */
  assert_int_equal(cafe_sandbox_open(gateway, path, &err), CAFE_OK);
  assert_int_equal(figures().approved_minor, 600);
  assert_int_equal(cafe_sandbox_open(gateway, path, &err), CAFE_INVALID); /* it would lose the lock */
  assert_int_equal(call("capture", 1, 100, ""), CAFE_GATEWAY_DONE);
  reopen(NULL);
  assert_int_equal(call("authorize", 9, 900, "t"), CAFE_GATEWAY_DONE);
  assert_int_equal(cafe_sandbox_open(gateway, path, &err), CAFE_INVALID); /* what it did isn't in there */
  reopen(path);
  assert_int_equal(figures().captured_minor, 100);
}

static void a_full_disk_makes_the_outcome_unknown_until_there_is_room(void **state) {
  asked a, b;
  struct rlimit before, tight;
  reopen(path);
  assert_int_equal(call("authorize", 1, 100, "t"), CAFE_GATEWAY_DONE);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
  tight = before;
  tight.rlim_cur = file_size() + 10; /* in the middle of a line */
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
  begin(&a, "authorize", 2, 100, "t");
  begin(&b, "authorize", 3, 100, "t");
  cafe_sim_run(loop, -1);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  (void)signal(SIGXFSZ, handler);
  assert_int_equal(a.answers + b.answers, 2);
  assert_int_equal(a.result, CAFE_GATEWAY_UNKNOWN);
  assert_int_equal(b.result, CAFE_GATEWAY_UNKNOWN);
  assert_true(a.text[0] != '\0');
  assert_int_equal(call("authorize", 2, 100, "t"), CAFE_GATEWAY_DONE);
  assert_int_equal(payment(2).authorizations, 1);
  reopen(path);
  assert_int_equal(figures().approved_minor, 300);
}

static void the_file_is_written_beside_the_loop(void **state) {
  enum { COUNT = 200 };
  static asked a[COUNT];
  cafe_loop *simulated = loop;
  cafe_gateway *in_memory = gateway;
  assert_int_equal(cafe_uv_create(&loop, NULL, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_sandbox_create(&gateway, loop, path, NULL, NULL), CAFE_OK);
  set(CAFE_SANDBOX_APPROVE, 0, 2, 0);
  int answered = 0;
  for (uint64_t i = 0; i < COUNT; i++) {
    begin(&a[i], "authorize", i + 1, 10, "t");
    assert_int_equal(loop->ops->turn(loop, 0), CAFE_OK);
  }
  for (int64_t until_us = loop->ops->now_us(loop) + 20000000; answered < COUNT;) {
    assert_true(loop->ops->now_us(loop) < until_us);
    assert_int_equal(loop->ops->turn(loop, 1000), CAFE_OK);
    answered = 0;
    for (int i = 0; i < COUNT; i++) {
      answered += a[i].answers;
    }
  }
  /* A write under way is waited for. */
  begin(&a[0], "authorize", COUNT + 1, 10, "t");
  gateway->ops->stop(gateway, &a[0].base.call);
  reopen(path);
  assert_int_equal(figures().approved_minor, (COUNT + 1) * 10);
  cafe_gateway_destroy(gateway);
  cafe_loop_destroy(loop);
  loop = simulated;
  gateway = in_memory;
}

static int use_everything(const cafe_allocator *allocator) {
  cafe_sim_options options = CAFE_SIM_OPTIONS_INIT;
  cafe_gateway *own = gateway;
  cafe_loop *own_loop = loop;
  options.allocator = allocator;
  (void)unlink(path);
  int code = cafe_sim_create(&loop, 1, &options, NULL);
  if (code == CAFE_OK) {
    code = cafe_sandbox_create(&gateway, loop, path, allocator, NULL);
    if (code == CAFE_OK) {
      asked a[3];
      int started[3];
      for (uint64_t i = 0; i < 3; i++) {
        started[i] = try_call(&a[i], "authorize", i + 1, 100, "t");
        assert_true(started[i] == CAFE_OK || started[i] == CAFE_NOMEM);
        code = started[i] != CAFE_OK ? started[i] : code;
      }
      cafe_sim_run(loop, -1);
      for (int i = 0; i < 3; i++) {
        assert_int_equal(a[i].answers, started[i] == CAFE_OK);
      }
      cafe_gateway_destroy(gateway);
    }
    cafe_loop_destroy(loop);
  }
  loop = own_loop;
  gateway = own;
  return code;
}

static void a_refused_allocation_fails_one_call_at_most(void **state) {
  failing_alloc memory;
  int code = CAFE_OK;
  size_t n;
  for (n = 1; failing_alloc_begin(&memory, n); n++) {
    code = use_everything(&memory.allocator);
    failing_alloc_end(&memory);
  }
  assert_int_equal(code, CAFE_OK);
  assert_true(n > 20);
}

static void a_file_is_read_whole_or_not_at_all(void **state) {
  failing_alloc memory;
  int code = CAFE_OK;
  size_t n;
  write_three();
  for (n = 1; failing_alloc_begin(&memory, n); n++) {
    cafe_gateway *own = gateway;
    gateway = NULL;
    code = cafe_sandbox_create(&gateway, loop, path, &memory.allocator, NULL);
    assert_int_equal(code, memory.refused ? CAFE_NOMEM : CAFE_OK);
    if (code == CAFE_OK) {
      assert_int_equal(figures().approved_minor, 600);
    }
    cafe_gateway_destroy(gateway);
    gateway = own;
    failing_alloc_end(&memory);
  }
  assert_int_equal(code, CAFE_OK);
  assert_true(n > 10);
}

static void the_file_may_lie_in_another_folder(void **state) {
  (void)unlink("books/ledger.txt");
  (void)rmdir("books");
  assert_int_equal(mkdir("books", 0700), 0);
  reopen("books/ledger.txt");
  assert_int_equal(call("authorize", 1, 100, "t"), CAFE_GATEWAY_DONE);
  reopen(NULL);
  assert_int_equal(unlink("books/ledger.txt"), 0);
  assert_int_equal(rmdir("books"), 0);
}

/* ---- the worker ---- */

static cafe_record_gateway settled;
static char settled_text[300];
static int settles, fails;
static cafe_err fail_reason;

void cafe_task_settle(cafe_task *task, const cafe_schema *command, const void *data, size_t size) {
  assert_ptr_equal(command, &cafe_record_gateway_type);
  assert_int_equal(size, sizeof(settled));
  settled = *(const cafe_record_gateway *)data;
  snprintf(settled_text, sizeof(settled_text), "%.*s/%.*s", (int)settled.reference.size, settled.reference.data,
           (int)settled.text.size, settled.text.data ? settled.text.data : "");
  settles++;
}

void cafe_task_fail(cafe_task *task, const cafe_err *reason) {
  fail_reason = *reason;
  fails++;
}

/* Nothing here is so much that it has to wait. */
void cafe_task_hold(cafe_task *task) { fail(); }
void cafe_task_begin(cafe_task *task) { fail(); }

static const cafe_retry some_retry = {100, 1000, 3, 500};

typedef struct job {
  cafe_payment_task data;
  cafe_authorize_payment authorize;
  cafe_command cause;
  cafe_task task;
} job;

static void job_init(job *self, cafe_payment_operation operation, const char *token, uint32_t attempt) {
  memset(self, 0, sizeof(*self));
  self->data = (cafe_payment_task){operation, 4500, cafe_text("KRW")};
  self->task.key = 1041;
  self->task.attempt = attempt;
  self->task.type = &cafe_payment_task_type;
  self->task.data = &self->data;
  if (token) {
    self->authorize.payment_token = cafe_text(token);
    self->cause.type = &cafe_authorize_payment_type;
    self->cause.data = &self->authorize;
    self->task.cause = &self->cause;
  }
  settles = fails = 0;
}

static void perform(const cafe_worker *worker, job *self) {
  assert_int_equal(worker->start(&self->task, NULL, worker->user), CAFE_OK);
  assert_int_equal(settles + fails, 0);
  cafe_sim_run(loop, -1);
  assert_int_equal(settles + fails, 1);
}

static void the_worker_tells_what_the_gateway_said(void **state) {
  cafe_worker worker;
  job j;
  assert_int_equal(gateway_worker_create(&worker, gateway, 64, some_retry, NULL, NULL), CAFE_OK);
  assert_int_equal(worker.retry.max_attempts, 3);
  assert_ptr_equal(worker.task, &cafe_payment_task_type);

  job_init(&j, CAFE_PAYMENT_AUTHORIZE, "token", 1);
  perform(&worker, &j);
  assert_int_equal(settled.operation, CAFE_PAYMENT_AUTHORIZE);
  assert_int_equal(settled.result, CAFE_GATEWAY_DONE);
  assert_string_equal(settled_text, "sandbox-1/");
  assert_int_equal(payment(1041).approved_minor, 4500);

  job_init(&j, CAFE_PAYMENT_CAPTURE, "token", 1); /* a cause that is none of its own is let alone */
  perform(&worker, &j);
  assert_int_equal(settled.operation, CAFE_PAYMENT_CAPTURE);
  assert_int_equal(settled.result, CAFE_GATEWAY_DONE);
  job_init(&j, CAFE_PAYMENT_VOID, NULL, 1);
  perform(&worker, &j);
  assert_int_equal(settled.operation, CAFE_PAYMENT_VOID);
  job_init(&j, CAFE_PAYMENT_REFUND, NULL, 1);
  perform(&worker, &j);
  assert_int_equal(settled.operation, CAFE_PAYMENT_REFUND);
  cafe_sandbox_entry moved = payment(1041); /* four keys, so four moves */
  assert_int_equal(moved.authorizations + moved.captures + moved.voids + moved.refunds, 4);
  gateway_worker_destroy(&worker);
}

static void the_worker_passes_the_token_and_asks_when_it_is_lost(void **state) {
  cafe_worker worker;
  job j;
  assert_int_equal(gateway_worker_create(&worker, gateway, 64, some_retry, NULL, NULL), CAFE_OK);
  job_init(&j, CAFE_PAYMENT_AUTHORIZE, "decline", 1);
  perform(&worker, &j);
  assert_int_equal(settled.result, CAFE_GATEWAY_DECLINED);
  assert_string_equal(settled_text, "/declined");

  job_init(&j, CAFE_PAYMENT_AUTHORIZE, NULL, 2);
  perform(&worker, &j);
  assert_int_equal(settled.result, CAFE_GATEWAY_DECLINED);
  j.task.key = 1042;
  settles = 0;
  perform(&worker, &j);
  assert_int_equal(settled.result, CAFE_GATEWAY_REFUSED);
  assert_int_equal(payment(1042).authorizations, 0);
  gateway_worker_destroy(&worker);
}

static void a_refusal_ends_an_authorization_only(void **state) {
  cafe_worker worker;
  job j;
  assert_int_equal(gateway_worker_create(&worker, gateway, 64, some_retry, NULL, NULL), CAFE_OK);
  set(CAFE_SANDBOX_ERROR, 0, 0, 0);
  job_init(&j, CAFE_PAYMENT_AUTHORIZE, "token", 1);
  perform(&worker, &j);
  assert_int_equal(settles, 1);
  assert_int_equal(settled.result, CAFE_GATEWAY_REFUSED);
  for (int operation = CAFE_PAYMENT_CAPTURE; operation <= CAFE_PAYMENT_REFUND; operation++) {
    job_init(&j, (cafe_payment_operation)operation, NULL, 1);
    perform(&worker, &j);
    assert_int_equal(fails, 1);
    assert_int_equal(fail_reason.code, CAFE_UNAVAILABLE);
    assert_true(strstr(fail_reason.text, "an error") != NULL);
  }
  gateway_worker_destroy(&worker);
}

static void who_gives_up_records_an_outcome_that_is_not_known(void **state) {
  cafe_worker worker;
  cafe_err reason;
  job j;
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_reaction reaction = {{arena, NULL, NULL, 0, {0}}};
  assert_int_equal(gateway_worker_create(&worker, gateway, 64, some_retry, NULL, NULL), CAFE_OK);
  job_init(&j, CAFE_PAYMENT_CAPTURE, NULL, 3);
  (void)cafe_fail(&reason, CAFE_TIMEOUT, "no answer");
  worker.give_up(&reaction, &j.task, &reason, worker.user);
  assert_int_equal(reaction.commands.count, 1);
  assert_ptr_equal(reaction.commands.first->type, &cafe_record_gateway_type);
  assert_int_equal(reaction.commands.first->key, 1041);
  const cafe_record_gateway *said = reaction.commands.first->data;
  assert_int_equal(said->operation, CAFE_PAYMENT_CAPTURE);
  assert_int_equal(said->result, 0);
  assert_true(cafe_slice_equal(said->text, cafe_text("no answer")));
  cafe_arena_destroy(arena);
  gateway_worker_destroy(&worker);
}

static void a_stopped_task_is_let_go_of(void **state) {
  cafe_worker worker;
  job a, b;
  assert_int_equal(gateway_worker_create(&worker, gateway, 64, some_retry, NULL, NULL), CAFE_OK);
  set(CAFE_SANDBOX_HANG, 0, 0, 0);
  job_init(&a, CAFE_PAYMENT_CAPTURE, NULL, 1);
  job_init(&b, CAFE_PAYMENT_VOID, NULL, 1);
  assert_int_equal(worker.start(&a.task, NULL, worker.user), CAFE_OK);
  assert_int_equal(worker.start(&b.task, NULL, worker.user), CAFE_OK);
  assert_int_equal(figures().in_flight, 2);
  worker.stop(&a.task, worker.user);
  assert_int_equal(figures().in_flight, 1);
  worker.stop(&b.task, worker.user);
  cafe_sim_run(loop, -1);
  assert_int_equal(settles + fails, 0);
  gateway_worker_destroy(&worker);
}

static void a_worker_without_memory_says_so(void **state) {
  failing_alloc memory;
  cafe_worker worker;
  job j;
  failing_alloc_init(&memory);
  memory.fail_at = 1;
  assert_int_equal(gateway_worker_create(&worker, gateway, 64, some_retry, &memory.allocator, NULL), CAFE_NOMEM);
  failing_alloc_init(&memory);
  memory.fail_at = 2;
  assert_int_equal(gateway_worker_create(&worker, gateway, 64, some_retry, &memory.allocator, NULL), CAFE_OK);
  job_init(&j, CAFE_PAYMENT_VOID, NULL, 1);
  assert_int_equal(worker.start(&j.task, NULL, worker.user), CAFE_NOMEM);
  perform(&worker, &j);
  gateway_worker_destroy(&worker);
  gateway_worker_destroy(&worker);
  failing_alloc_end(&memory);
}

int main(void) {
#define ON_SANDBOX(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
  const struct CMUnitTest tests[] = {
      ON_SANDBOX(every_operation_is_done_and_entered_once),
      ON_SANDBOX(a_key_has_one_effect_and_one_result),
      ON_SANDBOX(modes_decide_what_becomes_of_new_keys_only),
      ON_SANDBOX(a_call_that_hangs_is_done_by_the_mode_before_and_never_answered),
      ON_SANDBOX(who_lost_the_token_only_asks),
      ON_SANDBOX(above_its_capacity_it_refuses_at_once_but_not_what_is_done),
      ON_SANDBOX(an_answer_takes_delay_and_jitter),
      ON_SANDBOX(a_stopped_call_is_not_answered_but_may_have_happened),
      ON_SANDBOX(wrong_settings_and_calls_are_refused),
      ON_SANDBOX(the_books_survive_in_the_file),
      ON_SANDBOX(nothing_is_answered_before_it_is_in_the_file),
      ON_SANDBOX(a_torn_last_line_is_cut_off),
      ON_SANDBOX(any_damage_elsewhere_is_refused),
      ON_SANDBOX(a_place_that_can_not_be_written_is_refused),
      ON_SANDBOX(a_ledger_in_use_by_another_process_is_denied),
      ON_SANDBOX(a_ledger_can_be_opened_after_the_sandbox_is_made),
      ON_SANDBOX(a_full_disk_makes_the_outcome_unknown_until_there_is_room),
      ON_SANDBOX(the_file_is_written_beside_the_loop),
      ON_SANDBOX(a_refused_allocation_fails_one_call_at_most),
      ON_SANDBOX(a_file_is_read_whole_or_not_at_all),
      ON_SANDBOX(the_file_may_lie_in_another_folder),
      ON_SANDBOX(the_worker_tells_what_the_gateway_said),
      ON_SANDBOX(the_worker_passes_the_token_and_asks_when_it_is_lost),
      ON_SANDBOX(a_refusal_ends_an_authorization_only),
      ON_SANDBOX(who_gives_up_records_an_outcome_that_is_not_known),
      ON_SANDBOX(a_stopped_task_is_let_go_of),
      ON_SANDBOX(a_worker_without_memory_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
