/* SPDX-License-Identifier: Apache-2.0 */

/* The bulkhead before the gateway: so many calls run, whoever waits for them. The gateway and the node are played by
 * the test. */
#include "gateway/gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "cafe/payment.h"
#include "failing_alloc.h"

enum { JOBS = 12 };

typedef struct job {
  cafe_payment_task data;
  cafe_task task;
  cafe_gateway_call *call; /* running; NULL: not */
  int started, stopped, settled, failed, held, begun;
  int32_t result;
  char text[80];
} job;

static job jobs[JOBS];
static int running, most, start_code;
static char order[JOBS + 1]; /* in which the gateway was called: 'a' is job 0 */

static job *job_of(const cafe_task *task) { return &jobs[task->key - 1]; }

/* ---- the node ---- */

void cafe_task_settle(cafe_task *task, const cafe_schema *command, const void *data, size_t size) {
  const cafe_record_gateway *said = data;
  assert_ptr_equal(command, &cafe_record_gateway_type);
  assert_int_equal(size, sizeof *said);
  job *j = job_of(task);
  assert_int_equal(said->operation, j->data.operation);
  j->settled++;
  j->result = said->result;
  snprintf(j->text, sizeof j->text, "%.*s", (int)said->text.size, said->text.data ? said->text.data : "");
}

void cafe_task_fail(cafe_task *task, const cafe_err *reason) {
  assert_true(reason->text[0]);
  job_of(task)->failed++;
}

void cafe_task_hold(cafe_task *task) { job_of(task)->held++; }
void cafe_task_begin(cafe_task *task) { job_of(task)->begun++; }

/* ---- the gateway ---- */

static int start_call(cafe_gateway *self, cafe_gateway_call *call, cafe_err *err) {
  (void)self;
  job *j = &jobs[call->payment_id - 1];
  if (start_code)
    return cafe_fail(err, (cafe_code)start_code, "the gateway can't begin");
  j->started++;
  j->call = call;
  order[strlen(order)] = (char)('a' + (call->payment_id - 1));
  most = ++running > most ? running : most;
  return CAFE_OK;
}

static void stop_call(cafe_gateway *self, cafe_gateway_call *call) {
  (void)self;
  jobs[call->payment_id - 1].stopped++;
  jobs[call->payment_id - 1].call = NULL;
  running--;
}

static void destroy_gateway(cafe_gateway *self) { (void)self; }

static const cafe_gateway_ops ops = {sizeof ops, "played", start_call, stop_call, destroy_gateway};
static cafe_gateway gateway = {.ops = &ops};

static void answer(int index, cafe_gateway_result result) {
  cafe_gateway_call *call = jobs[index].call;
  jobs[index].call = NULL;
  running--;
  cafe_gateway_answer(call, result, cafe_text("ref"), "said");
}

/* ---- the worker ---- */

static cafe_worker worker;

static void open_worker(uint32_t concurrency, const cafe_allocator *allocator) {
  static const cafe_retry retry = {100, 1000, 3, 500, {0, 0}};
  memset(jobs, 0, sizeof jobs);
  memset(order, 0, sizeof order);
  running = most = start_code = 0;
  assert_int_equal(gateway_worker_create(&worker, &gateway, concurrency, retry, allocator, NULL), CAFE_OK);
}

static int start_task(int index, cafe_payment_task task, uint32_t attempt) {
  job *j = &jobs[index];
  cafe_err err;
  j->data = task;
  j->task.key = (uint64_t)index + 1;
  j->task.attempt = attempt;
  j->task.type = &cafe_payment_task_type;
  j->task.data = &j->data;
  return worker.start(&j->task, &err, worker.user);
}

static int start(int index, cafe_payment_operation operation, uint32_t attempt) {
  return start_task(index, (cafe_payment_task){operation, 4500, cafe_text("KRW"), false}, attempt);
}

static void stop(int index) { worker.stop(&jobs[index].task, worker.user); }

static void assert_runs(int index) { assert_non_null(jobs[index].call); }

static void assert_waits(int index) {
  assert_null(jobs[index].call);
  assert_int_equal(jobs[index].held, 1);
  assert_int_equal(jobs[index].begun + jobs[index].settled + jobs[index].failed, 0);
}

static void assert_refused(int index) {
  assert_int_equal(jobs[index].started + jobs[index].held, 0);
  assert_int_equal(jobs[index].settled, 1);
  assert_int_equal(jobs[index].result, CAFE_GATEWAY_REFUSED);
  assert_non_null(strstr(jobs[index].text, "as many calls"));
}

/* N2b: never more than the limit, and at once. */
static void an_authorization_beyond_the_limit_is_refused_at_once(void **state) {
  (void)state;
  open_worker(2, NULL);
  for (int i = 0; i < 4; i++)
    assert_int_equal(start(i, CAFE_PAYMENT_AUTHORIZE, 1), CAFE_OK);
  assert_runs(0);
  assert_runs(1);
  assert_refused(2);
  assert_refused(3);
  answer(0, CAFE_GATEWAY_DONE);
  assert_int_equal(jobs[0].result, CAFE_GATEWAY_DONE);
  assert_int_equal(start(4, CAFE_PAYMENT_AUTHORIZE, 1), CAFE_OK);
  assert_runs(4);
  assert_int_equal(start(5, CAFE_PAYMENT_AUTHORIZE, 1), CAFE_OK);
  assert_refused(5);
  answer(1, CAFE_GATEWAY_DECLINED);
  answer(4, CAFE_GATEWAY_UNKNOWN);
  assert_int_equal(most, 2);
  gateway_worker_destroy(&worker);
}

/* N2b: what must happen in the end waits, and goes first. */
static void all_else_waits_for_its_turn_before_new_authorizations(void **state) {
  (void)state;
  open_worker(2, NULL);
  assert_int_equal(start(0, CAFE_PAYMENT_AUTHORIZE, 1), CAFE_OK);
  assert_int_equal(start(1, CAFE_PAYMENT_AUTHORIZE, 1), CAFE_OK);
  assert_int_equal(start(2, CAFE_PAYMENT_CAPTURE, 1), CAFE_OK);
  assert_int_equal(start(3, CAFE_PAYMENT_VOID, 1), CAFE_OK);
  assert_int_equal(start(4, CAFE_PAYMENT_AUTHORIZE, 2), CAFE_OK); /* it may have run: "refused" would be a lie */
  assert_int_equal(start(5, CAFE_PAYMENT_REFUND, 1), CAFE_OK);
  for (int i = 2; i < 6; i++)
    assert_waits(i);
  answer(0, CAFE_GATEWAY_DONE);
  assert_runs(2);
  assert_int_equal(jobs[2].begun, 1);
  assert_int_equal(start(6, CAFE_PAYMENT_AUTHORIZE, 1), CAFE_OK);
  assert_refused(6); /* others wait for that place */
  answer(2, CAFE_GATEWAY_UNKNOWN);
  assert_int_equal(jobs[2].failed, 1);
  assert_runs(3);
  answer(1, CAFE_GATEWAY_REFUSED);
  answer(3, CAFE_GATEWAY_DONE);
  assert_runs(4);
  assert_runs(5);
  assert_true(jobs[4].call->may_have_run);
  answer(4, CAFE_GATEWAY_DONE);
  assert_int_equal(start(7, CAFE_PAYMENT_AUTHORIZE, 1), CAFE_OK);
  assert_runs(7);
  answer(5, CAFE_GATEWAY_DONE);
  answer(7, CAFE_GATEWAY_DONE);
  assert_string_equal(order, "abcdefh");
  assert_int_equal(most, 2);
  gateway_worker_destroy(&worker);
}

/* A first attempt, but not the operation's first: "refused" would be a lie. */
static void what_was_given_up_before_may_have_run(void **state) {
  (void)state;
  open_worker(1, NULL);
  assert_int_equal(start(0, CAFE_PAYMENT_VOID, 1), CAFE_OK);
  assert_false(jobs[0].call->may_have_run);
  assert_int_equal(start_task(1, (cafe_payment_task){CAFE_PAYMENT_AUTHORIZE, 4500, cafe_text("KRW"), true}, 1),
                   CAFE_OK);
  assert_waits(1);
  answer(0, CAFE_GATEWAY_DONE);
  assert_runs(1);
  assert_true(jobs[1].call->may_have_run);
  assert_string_equal(jobs[1].call->idempotency_key, "2/authorize");
  answer(1, CAFE_GATEWAY_DONE);
  gateway_worker_destroy(&worker);
}

static void whoever_is_stopped_makes_room_or_leaves_the_queue(void **state) {
  (void)state;
  open_worker(1, NULL);
  assert_int_equal(start(0, CAFE_PAYMENT_CAPTURE, 1), CAFE_OK);
  for (int i = 1; i < 4; i++)
    assert_int_equal(start(i, CAFE_PAYMENT_CAPTURE, 1), CAFE_OK);
  stop(2); /* it only waited: the gateway never hears of it */
  assert_runs(0);
  stop(0);
  assert_int_equal(jobs[0].stopped, 1);
  assert_runs(1);
  answer(1, CAFE_GATEWAY_DONE);
  assert_runs(3);
  stop(3);
  assert_int_equal(jobs[2].started + jobs[2].stopped, 0);
  assert_string_equal(order, "abd");
  assert_int_equal(running, 0);
  assert_int_equal(start(4, CAFE_PAYMENT_AUTHORIZE, 1), CAFE_OK);
  assert_runs(4);
  stop(4);
  gateway_worker_destroy(&worker);
}

static void a_turn_that_cannot_begin_passes_on(void **state) {
  (void)state;
  open_worker(1, NULL);
  for (int i = 0; i < 3; i++)
    assert_int_equal(start(i, CAFE_PAYMENT_CAPTURE, 1), CAFE_OK);
  start_code = CAFE_UNAVAILABLE;
  answer(0, CAFE_GATEWAY_DONE);
  assert_int_equal(jobs[1].failed, 1);
  assert_int_equal(jobs[2].failed, 1);
  assert_int_equal(start(3, CAFE_PAYMENT_CAPTURE, 1), CAFE_UNAVAILABLE);
  assert_int_equal(jobs[3].failed, 0); /* its start failed: nobody is to be told twice */
  start_code = 0;
  assert_int_equal(start(4, CAFE_PAYMENT_CAPTURE, 1), CAFE_OK);
  assert_runs(4);
  answer(4, CAFE_GATEWAY_DONE);
  gateway_worker_destroy(&worker);
}

static void without_memory_no_place_is_lost(void **state) {
  (void)state;
  failing_alloc memory;
  failing_alloc_init(&memory);
  open_worker(1, &memory.allocator);
  memory.fail_at = memory.calls + 1;
  assert_int_equal(start(0, CAFE_PAYMENT_CAPTURE, 1), CAFE_NOMEM);
  assert_int_equal(start(1, CAFE_PAYMENT_CAPTURE, 1), CAFE_OK);
  assert_runs(1);
  memory.fail_at = memory.calls + 1;
  assert_int_equal(start(2, CAFE_PAYMENT_CAPTURE, 1), CAFE_NOMEM);
  assert_int_equal(start(3, CAFE_PAYMENT_AUTHORIZE, 1), CAFE_OK);
  assert_refused(3); /* which needs none */
  answer(1, CAFE_GATEWAY_DONE);
  assert_int_equal(start(4, CAFE_PAYMENT_CAPTURE, 1), CAFE_OK);
  answer(4, CAFE_GATEWAY_DONE);
  gateway_worker_destroy(&worker);
  failing_alloc_end(&memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_authorization_beyond_the_limit_is_refused_at_once),
      cmocka_unit_test(all_else_waits_for_its_turn_before_new_authorizations),
      cmocka_unit_test(what_was_given_up_before_may_have_run),
      cmocka_unit_test(whoever_is_stopped_makes_room_or_leaves_the_queue),
      cmocka_unit_test(a_turn_that_cannot_begin_passes_on),
      cmocka_unit_test(without_memory_no_place_is_lost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
