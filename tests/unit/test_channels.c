/* SPDX-License-Identifier: Apache-2.0 */
/* The console and the file as channels, and the worker that turns delivery tasks into messages of a channel. The
 * engine's answers to tasks are played here. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cafe/channel/file.h"
#include "cafe/sys/loop.h"
#include "cafe/testing/sim.h"
#include "channel/channel.h"
#include "failing_alloc.h"
#include "schema/collect.h"

static const char path[] = "messages.txt";

static cafe_loop *loop;

static int setup(void **state) {
  (void)unlink(path);
  assert_int_equal(cafe_sim_create(&loop, 1, NULL, NULL), CAFE_OK);
  return 0;
}

static int teardown(void **state) {
  cafe_loop_destroy(loop);
  (void)unlink(path);
  return 0;
}

static cafe_channel *open_file(void) {
  cafe_channel *channel;
  assert_int_equal(cafe_file_channel_create(&channel, loop, path, NULL, NULL), CAFE_OK);
  assert_string_equal(channel->name, "file");
  return channel;
}

static const char *contents(void) {
  static char text[8192];
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
  fclose(file);
  return text;
}

/* ---- one delivery ---- */

typedef struct letter {
  channel_delivery base;
  int answers;
  int code;
} letter;

static void on_answer(channel_delivery *base, const cafe_err *err) {
  letter *self = (letter *)base;
  self->answers++;
  self->code = err ? err->code : CAFE_OK;
}

static void letter_init(letter *self, const char *id, const char *customer, const char *message) {
  memset(self, 0, sizeof(*self));
  self->base.answered = on_answer;
  cafe_delivery *d = &self->base.delivery;
  snprintf(d->notification_id, sizeof(d->notification_id), "%s", id);
  d->order_id = 1041;
  d->attempt = 2;
  d->customer_id = cafe_text(customer);
  d->event = cafe_text("OrderAccepted");
  d->message = cafe_text(message);
}

static void deliver(cafe_channel *channel, const char *id, const char *customer, const char *message) {
  letter l;
  letter_init(&l, id, customer, message);
  assert_int_equal(channel->ops->send(channel, &l.base.delivery, NULL), CAFE_OK);
  assert_int_equal(l.answers, 0);
  cafe_sim_run(loop, -1);
  assert_int_equal(l.answers, 1);
  assert_int_equal(l.code, CAFE_OK);
}

/* ---- file ---- */

static void a_message_is_a_line_of_json(void **state) {
  cafe_channel *channel = open_file();
  deliver(channel, "1041-1", "customer-7", "Your order 1041 is accepted.");
  deliver(channel, "1041-2", "\"c\\\x01\n", "커피 \xf0\x9f\x98\x80\t");
  assert_string_equal(contents(),
                      "{\"notificationId\":\"1041-1\",\"orderId\":1041,\"customerId\":\"customer-7\","
                      "\"event\":\"OrderAccepted\",\"message\":\"Your order 1041 is accepted.\",\"attempt\":2}\n"
                      "{\"notificationId\":\"1041-2\",\"orderId\":1041,\"customerId\":\"\\\"c\\\\\\u0001\\u000a\","
                      "\"event\":\"OrderAccepted\",\"message\":\"커피 \xf0\x9f\x98\x80\\u0009\",\"attempt\":2}\n");
  cafe_channel_destroy(channel);
}

static void a_file_that_is_there_is_appended_to(void **state) {
  for (int round = 1; round <= 3; round++) {
    cafe_channel *channel = open_file();
    deliver(channel, "1-1", "c", "m");
    cafe_channel_destroy(channel);
    int lines = 0;
    for (const char *at = contents(); (at = strchr(at, '\n')) != NULL; at++) {
      lines++;
    }
    assert_int_equal(lines, round);
  }
}

static void a_line_that_was_cut_short_is_closed_by_the_next(void **state) {
  FILE *file = fopen(path, "w");
  assert_true(fputs("{\"notifica", file) >= 0);
  assert_int_equal(fclose(file), 0);
  cafe_channel *channel = open_file();
  deliver(channel, "1-1", "c", "m");
  deliver(channel, "1-2", "c", "m");
  const char *text = contents();
  assert_memory_equal(text, "{\"notifica\n{\"notificationId\":\"1-1\"", 31);
  assert_null(strstr(text, "\n\n"));
  cafe_channel_destroy(channel);
}

static void a_full_disk_is_told_and_the_next_line_is_whole(void **state) {
  letter l;
  cafe_err err;
  struct rlimit before, tight;
  cafe_channel *channel = open_file();
  deliver(channel, "1-1", "c", "m");
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
  tight = before;
  tight.rlim_cur = strlen(contents()) + 9;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
  letter_init(&l, "1-2", "c", "m");
  int code = channel->ops->send(channel, &l.base.delivery, &err);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  (void)signal(SIGXFSZ, handler);
  assert_int_equal(code, CAFE_UNAVAILABLE);
  assert_true(strstr(err.text, path) != NULL);
  cafe_sim_run(loop, -1);
  assert_int_equal(l.answers, 0);
  deliver(channel, "1-2", "c", "m");
  assert_non_null(strstr(contents(), "\n{\"notific\n{\"notificationId\":\"1-2\""));
  cafe_channel_destroy(channel);
}

static void a_stopped_delivery_is_not_answered(void **state) {
  letter l;
  cafe_channel *channel = open_file();
  letter_init(&l, "1-1", "c", "m");
  assert_int_equal(channel->ops->send(channel, &l.base.delivery, NULL), CAFE_OK);
  channel->ops->stop(channel, &l.base.delivery);
  cafe_sim_run(loop, -1);
  assert_int_equal(l.answers, 0);
  cafe_channel_destroy(channel);
}

static void a_place_that_can_not_be_written_is_refused(void **state) {
  cafe_err err;
  cafe_channel *channel;
  assert_int_equal(cafe_file_channel_create(&channel, loop, "no/such/folder/file", NULL, &err), CAFE_INVALID);
  assert_int_equal(err.code, CAFE_INVALID);
  assert_non_null(strstr(err.text, "; make its folder"));
  assert_int_equal(cafe_file_channel_create(&channel, loop, ".", NULL, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "; it is a folder: name a file"));
}

static void a_file_is_made_by_its_first_message(void **state) {
  cafe_channel *channel = open_file();
  assert_int_equal(access(path, F_OK), -1);
  cafe_channel_destroy(channel);
  assert_int_equal(access(path, F_OK), -1);
  channel = open_file();
  FILE *file = fopen(path, "w"); /* another one's, that began meanwhile and was cut short */
  assert_true(fputs("{\"notifica", file) >= 0);
  assert_int_equal(fclose(file), 0);
  deliver(channel, "1-1", "c", "m");
  assert_memory_equal(contents(), "{\"notifica\n{\"notificationId\":\"1-1\"", 31);
  cafe_channel_destroy(channel);
}

static void a_file_that_cant_be_made_then_is_told_and_tried_again(void **state) {
  letter l;
  cafe_err err;
  cafe_channel *channel;
  char deep[] = "messages_folder/messages.txt";
  assert_int_equal(mkdir("messages_folder", 0700), 0);
  assert_int_equal(cafe_file_channel_create(&channel, loop, deep, NULL, NULL), CAFE_OK);
  assert_int_equal(rmdir("messages_folder"), 0);
  letter_init(&l, "1-1", "c", "m");
  assert_int_equal(channel->ops->send(channel, &l.base.delivery, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, deep));
  assert_int_equal(mkdir("messages_folder", 0700), 0);
  deliver(channel, "1-1", "c", "m");
  cafe_channel_destroy(channel);
  assert_int_equal(unlink(deep), 0);
  assert_int_equal(rmdir("messages_folder"), 0);
}

/* ---- console ---- */

static void the_console_prints_a_line_without_control_characters(void **state) {
  cafe_channel *channel;
  assert_int_equal(cafe_console_create(&channel, loop, NULL, NULL), CAFE_OK);
  assert_string_equal(channel->name, "console");
  assert_int_equal(fflush(stdout), 0);
  int before = dup(STDOUT_FILENO);
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(before >= 0 && file >= 0);
  assert_int_equal(dup2(file, STDOUT_FILENO), STDOUT_FILENO);
  letter l;
  letter_init(&l, "1041-3", "c7", "Ready\x1b[2J\n커피\xc2\x9b!\x7f");
  int code = channel->ops->send(channel, &l.base.delivery, NULL);
  assert_int_equal(fflush(stdout), 0);
  assert_int_equal(dup2(before, STDOUT_FILENO), STDOUT_FILENO);
  close(before);
  close(file);
  assert_int_equal(code, CAFE_OK);
  cafe_sim_run(loop, -1);
  assert_int_equal(l.answers, 1);
  assert_string_equal(contents(), "1041-3 to c7: OrderAccepted: Ready [2J 커피 ! \n");
  cafe_channel_destroy(channel);
}

static void destroying_nothing_is_harmless(void **state) { cafe_channel_destroy(NULL); }

static void a_refused_allocation_leaves_nothing_behind_and_nothing_written(void **state) {
  failing_alloc memory;
  int code = CAFE_OK;
  size_t n;
  for (n = 1; failing_alloc_begin(&memory, n); n++) {
    cafe_channel *channel;
    letter l;
    (void)unlink(path);
    code = cafe_file_channel_create(&channel, loop, path, &memory.allocator, NULL);
    if (code == CAFE_OK) {
      letter_init(&l, "1-1", "c",
                  "a message that fills more than the first block of an arena ............"
                  "........................................................................");
      code = channel->ops->send(channel, &l.base.delivery, NULL);
      cafe_sim_run(loop, -1);
      assert_int_equal(l.answers, code == CAFE_OK);
      assert_int_equal(contents()[0] != '\0', code == CAFE_OK);
      cafe_channel_destroy(channel);
    }
    assert_int_equal(code, memory.refused ? CAFE_NOMEM : CAFE_OK);
    failing_alloc_end(&memory);
  }
  assert_int_equal(code, CAFE_OK);
  assert_true(n > 4);
}

/* ---- the worker ---- */

static cafe_record_delivery settled;
static char settled_text[300];
static int settles, fails;
static cafe_err fail_reason;

void cafe_task_settle(cafe_task *task, const cafe_schema *command, const void *data, size_t size) {
  assert_ptr_equal(command, &cafe_record_delivery_type);
  assert_int_equal(size, sizeof(settled));
  settled = *(const cafe_record_delivery *)data;
  snprintf(settled_text, sizeof(settled_text), "%.*s", (int)settled.text.size,
           settled.text.data ? settled.text.data : "");
  settles++;
}

void cafe_task_fail(cafe_task *task, const cafe_err *reason) {
  fail_reason = *reason;
  fails++;
}

static int holds, begins;

void cafe_task_hold(cafe_task *task) { holds++; }

void cafe_task_begin(cafe_task *task) { begins++; }

typedef struct post {
  cafe_channel base;
  int sent, stopped;
  cafe_delivery *last;
  int refuse;
} post;

static int post_send(cafe_channel *base, cafe_delivery *delivery, cafe_err *err) {
  post *self = (post *)base;
  self->sent++;
  self->last = delivery;
  return self->refuse ? cafe_fail(err, (cafe_code)self->refuse, "closed today") : CAFE_OK;
}

static void post_stop(cafe_channel *base, cafe_delivery *delivery) {
  post *self = (post *)base;
  assert_ptr_equal(self->last, delivery);
  self->stopped++;
}

static void post_destroy(cafe_channel *base) {}

static const cafe_channel_ops post_ops = {sizeof(post_ops), post_send, post_stop, post_destroy};

typedef struct job {
  cafe_delivery_task data;
  cafe_task task;
} job;

static void job_init(job *self, const char *channel, uint32_t attempt) {
  memset(self, 0, sizeof(*self));
  self->data =
      (cafe_delivery_task){3, cafe_text("CoffeeDone"), cafe_text(channel), cafe_text("c7"), cafe_text("Ready")};
  self->task.key = 1041;
  self->task.id = 3;
  self->task.attempt = attempt;
  self->task.type = &cafe_delivery_task_type;
  self->task.data = &self->data;
  settles = fails = 0;
}

static post mail, bell;
static cafe_worker worker;

static int employ(void **state) {
  static const cafe_retry retry = {100, 1000, 3, 500};
  cafe_channel *channels[] = {&mail.base, &bell.base};
  mail = (post){.base = {.ops = &post_ops, .name = "mail"}};
  bell = (post){.base = {.ops = &post_ops, .name = "bell"}};
  assert_int_equal(channel_worker_create(&worker, channels, 2, retry, NULL, NULL), CAFE_OK);
  assert_ptr_equal(worker.task, &cafe_delivery_task_type);
  assert_int_equal(worker.retry.initial_ms, 100);
  return 0;
}

static int dismiss(void **state) {
  channel_worker_destroy(&worker);
  channel_worker_destroy(&worker);
  return 0;
}

static void the_worker_sends_by_the_channel_that_is_named(void **state) {
  job j;
  job_init(&j, "bell", 4);
  assert_int_equal(worker.start(&j.task, NULL, worker.user), CAFE_OK);
  assert_int_equal(mail.sent, 0);
  assert_int_equal(bell.sent, 1);
  assert_string_equal(bell.last->notification_id, "1041-3");
  assert_int_equal(bell.last->order_id, 1041);
  assert_int_equal(bell.last->attempt, 4);
  assert_true(cafe_slice_equal(bell.last->customer_id, cafe_text("c7")));
  assert_true(cafe_slice_equal(bell.last->event, cafe_text("CoffeeDone")));
  assert_true(cafe_slice_equal(bell.last->message, cafe_text("Ready")));
  cafe_delivery_answer(bell.last, NULL);
  assert_int_equal(settles, 1);
  assert_int_equal(settled.number, 3);
  assert_int_equal(settled.status, CAFE_NOTIFICATION_SENT);
  assert_int_equal(settled.attempts, 4);
  assert_string_equal(settled_text, "");
}

static void a_failure_that_may_pass_is_tried_again_and_any_other_is_final(void **state) {
  job j;
  cafe_err err;
  job_init(&j, "mail", 1);
  assert_int_equal(worker.start(&j.task, NULL, worker.user), CAFE_OK);
  (void)cafe_fail(&err, CAFE_TIMEOUT, "nobody opens");
  cafe_delivery_answer(mail.last, &err);
  assert_int_equal(fails, 1);
  assert_int_equal(settles, 0);
  assert_string_equal(fail_reason.text, "nobody opens");

  job_init(&j, "mail", 2);
  assert_int_equal(worker.start(&j.task, NULL, worker.user), CAFE_OK);
  (void)cafe_fail(&err, CAFE_NOT_FOUND, "moved away");
  cafe_delivery_answer(mail.last, &err);
  assert_int_equal(fails, 0);
  assert_int_equal(settles, 1);
  assert_int_equal(settled.status, CAFE_NOTIFICATION_FAILED);
  assert_int_equal(settled.attempts, 2);
  assert_string_equal(settled_text, "moved away");
}

static void a_channel_that_is_not_there_or_refuses_fails_the_attempt(void **state) {
  job j;
  cafe_err err;
  job_init(&j, "kakao", 1);
  assert_int_equal(worker.start(&j.task, &err, worker.user), CAFE_UNAVAILABLE);
  assert_true(strstr(err.text, "kakao") != NULL);
  job_init(&j, "mail", 1);
  mail.refuse = CAFE_UNAVAILABLE;
  assert_int_equal(worker.start(&j.task, &err, worker.user), CAFE_UNAVAILABLE);
  assert_string_equal(err.text, "closed today");
  assert_int_equal(settles + fails, 0);
}

static void a_delivery_that_waits_for_its_turn_holds_its_task(void **state) {
  job j;
  letter nobodys;
  job_init(&j, "mail", 1);
  assert_int_equal(worker.start(&j.task, NULL, worker.user), CAFE_OK);
  cafe_delivery_hold(mail.last);
  assert_int_equal(holds, 1);
  assert_int_equal(begins, 0);
  cafe_delivery_begin(mail.last);
  assert_int_equal(begins, 1);
  cafe_delivery_answer(mail.last, NULL);
  letter_init(&nobodys, "1-1", "c", "m");
  cafe_delivery_hold(&nobodys.base.delivery);
  cafe_delivery_begin(&nobodys.base.delivery);
  assert_int_equal(holds + begins, 2);
}

static void a_stopped_task_is_let_go_of(void **state) {
  job a, b;
  job_init(&a, "mail", 1);
  job_init(&b, "bell", 1);
  assert_int_equal(worker.start(&a.task, NULL, worker.user), CAFE_OK);
  assert_int_equal(worker.start(&b.task, NULL, worker.user), CAFE_OK);
  worker.stop(&b.task, worker.user);
  assert_int_equal(bell.stopped, 1);
  assert_int_equal(mail.stopped, 0);
  worker.stop(&a.task, worker.user);
  assert_int_equal(settles + fails, 0);
}

static void who_gives_up_records_a_failure(void **state) {
  job j;
  cafe_err reason;
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_reaction reaction = {{arena, NULL, NULL, 0, {0}}};
  job_init(&j, "mail", 20);
  (void)cafe_fail(&reason, CAFE_TIMEOUT, "nobody opens");
  worker.give_up(&reaction, &j.task, &reason, worker.user);
  assert_int_equal(reaction.commands.count, 1);
  assert_ptr_equal(reaction.commands.first->type, &cafe_record_delivery_type);
  assert_int_equal(reaction.commands.first->key, 1041);
  const cafe_record_delivery *said = reaction.commands.first->data;
  assert_int_equal(said->number, 3);
  assert_int_equal(said->status, CAFE_NOTIFICATION_FAILED);
  assert_int_equal(said->attempts, 20);
  assert_true(cafe_slice_equal(said->text, cafe_text("nobody opens")));
  cafe_arena_destroy(arena);
}

static void a_worker_without_memory_says_so(void **state) {
  static const cafe_retry retry = {100, 1000, 3, 500};
  failing_alloc memory;
  cafe_worker own;
  cafe_channel *channels[] = {&mail.base};
  job j;
  failing_alloc_init(&memory);
  memory.fail_at = 1;
  assert_int_equal(channel_worker_create(&own, channels, 1, retry, &memory.allocator, NULL), CAFE_NOMEM);
  failing_alloc_init(&memory);
  memory.fail_at = 2;
  assert_int_equal(channel_worker_create(&own, channels, 1, retry, &memory.allocator, NULL), CAFE_OK);
  job_init(&j, "mail", 1);
  assert_int_equal(own.start(&j.task, NULL, own.user), CAFE_NOMEM);
  assert_int_equal(mail.sent, 0);
  assert_int_equal(own.start(&j.task, NULL, own.user), CAFE_OK);
  cafe_delivery_answer(mail.last, NULL);
  channel_worker_destroy(&own);
  failing_alloc_end(&memory);
}

int main(void) {
#define ON_LOOP(test)  cmocka_unit_test_setup_teardown(test, setup, teardown)
#define EMPLOYED(test) cmocka_unit_test_setup_teardown(test, employ, dismiss)
  const struct CMUnitTest tests[] = {
      ON_LOOP(a_message_is_a_line_of_json),
      ON_LOOP(a_file_that_is_there_is_appended_to),
      ON_LOOP(a_line_that_was_cut_short_is_closed_by_the_next),
      ON_LOOP(a_full_disk_is_told_and_the_next_line_is_whole),
      ON_LOOP(a_stopped_delivery_is_not_answered),
      ON_LOOP(a_place_that_can_not_be_written_is_refused),
      ON_LOOP(a_file_is_made_by_its_first_message),
      ON_LOOP(a_file_that_cant_be_made_then_is_told_and_tried_again),
      ON_LOOP(the_console_prints_a_line_without_control_characters),
      cmocka_unit_test(destroying_nothing_is_harmless),
      ON_LOOP(a_refused_allocation_leaves_nothing_behind_and_nothing_written),
      EMPLOYED(the_worker_sends_by_the_channel_that_is_named),
      EMPLOYED(a_failure_that_may_pass_is_tried_again_and_any_other_is_final),
      EMPLOYED(a_channel_that_is_not_there_or_refuses_fails_the_attempt),
      EMPLOYED(a_delivery_that_waits_for_its_turn_holds_its_task),
      EMPLOYED(a_stopped_task_is_let_go_of),
      EMPLOYED(who_gives_up_records_a_failure),
      EMPLOYED(a_worker_without_memory_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
