/* SPDX-License-Identifier: Apache-2.0 */

/* A guard before what is asked of others: who gets a permit, who is refused before a trace of it is kept, and that each
 * permit is given back once, whatever becomes of the operation. The box's questions are what is guarded. */
#include "samples.h"
#include "test_engine_kit.h"

static const cafe_schema *const begins[] = {&asked_type, NULL};

/* "No" is an answer; "not here" says that who was asked can't. */
static bool is_failure(const cafe_event *outcome, void *user) {
  int *seen = user;
  ++*seen;
  return outcome->type == &denied_type && !((const denied *)outcome->data)->for_ever;
}

static int outcomes_seen;

typedef struct guarded {
  kit k;
  cafe_guard guard;
  cafe_breaker_options breaker;
  cafe_limit_options limit;
} guarded;

/* 4 calls in a window, half of them failed; a sleep of 1 s; at most `limit` at once. */
static void open_guarded(guarded *g, uint32_t limit) {
  const cafe_breaker_options breaker = {sizeof breaker, 4, 500, 10000, 1000, NULL, NULL};
  const cafe_limit_options bulkhead = CAFE_BULKHEAD_INIT(limit);
  g->breaker = breaker;
  g->limit = bulkhead;
  g->guard = (cafe_guard){CAFE_GUARD,  "questions", &ask_type,  begins, "ask-later",
                          &g->breaker, &g->limit,   is_failure, NULL,   &outcomes_seen};
  kit_init(&g->k, true);
  g->k.guard = &g->guard;
  assert_int_equal(kit_start(&g->k), CAFE_OK);
}

/* ---- what is told ---- */

static int sample(kit *k, const char *text) { return (int)sample_value(k->node, text); }

static void assert_state(kit *k, const char *state) {
  static const char *const all[] = {"CLOSED", "OPEN", "HALF_OPEN"};
  for (int i = 0; i < 3; i++) {
    char text[64];
    snprintf(text, sizeof text, "cafe_breaker_state questions %s", all[i]);
    assert_int_equal(sample(k, text), strcmp(all[i], state) == 0);
  }
}

static uint64_t events_of(kit *k) {
  cafe_node_stats stats = {.size = sizeof stats};
  cafe_node_stats_get(k->node, &stats);
  return stats.events;
}

/* ---- asking ---- */

static int keep_denial(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user) {
  bool is_final =
      outcome->verdict != CAFE_REFUSED || (outcome->event && ((const denied *)outcome->event->data)->for_ever);
  *out = (cafe_slice){NULL, 0};
  return is_final ? cafe_arena_copy(out, arena, cafe_text("kept")) : CAFE_OK;
}

static void send_ask(kit *k, call *c, uint64_t key, const char *client_key, const char *body, int64_t timeout_ms) {
  ask data = {1};
  cafe_client_key named = {cafe_text("POST /boxes"), cafe_text(client_key), cafe_text(body)};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = &ask_type;
  submit.data = &data;
  submit.data_size = sizeof data;
  submit.key = key;
  submit.timeout_ms = timeout_ms;
  if (client_key) {
    submit.client_key = &named;
    submit.reply = keep_denial;
  }
  assert_int_equal(kit_submit(k, c, &submit), CAFE_OK);
}

static void ask_new(kit *k, call *c) {
  send_ask(k, c, 0, NULL, "", 0);
  kit_run(k, 20);
}

static void assert_refused(const call *c, const char *why) {
  assert_int_equal(c->times, 1);
  assert_int_equal(c->code, CAFE_OK);
  assert_int_equal(c->verdict, CAFE_REFUSED);
  assert_string_equal(c->reason, "ask-later");
  assert_non_null(strstr(c->text, why));
  assert_null(c->event);
  assert_true(c->outcome_retry_after_ms >= 1);
  assert_string_equal(c->reply, "");
}

/* A whole call that fails (2), succeeds (1), or is a no (0). */
static void whole_call(kit *k, int64_t said) {
  call c;
  ask_new(k, &c);
  assert_int_equal(c.times, 0);
  assert_int_equal(k->running, 1);
  kit_answer(k, 0, said);
  kit_run(k, 20);
  assert_int_equal(c.times, 1);
  assert_int_equal(c.outcome_retry_after_ms, 0);
}

static void open_breaker(kit *k) {
  for (int i = 0; i < 4; i++)
    whole_call(k, 2);
  assert_state(k, "OPEN");
}

/* ---- permits ---- */

static void without_a_permit_nothing_is_written(void **state) {
  (void)state;
  guarded g;
  call first[3], refused, joined, again;
  open_guarded(&g, 3);
  for (int i = 0; i < 3; i++)
    ask_new(&g.k, &first[i]);
  uint64_t before = events_of(&g.k);
  assert_int_equal(before, 3);
  ask_new(&g.k, &refused);
  assert_refused(&refused, "as many calls as it bears");
  assert_int_equal(refused.version, 0);
  assert_int_equal(events_of(&g.k), before);
  assert_int_equal(g.k.started, 3);
  assert_int_equal(sample(&g.k, "cafe_guard_in_flight questions"), 3);
  assert_int_equal(sample(&g.k, "cafe_guard_limit questions"), 3);
  assert_int_equal(sample(&g.k, "cafe_guard_rejected_total questions limit"), 1);
  assert_int_equal(sample(&g.k, "cafe_commands_total Ask refused"), 1);
  assert_int_equal(sample(&g.k, "cafe_commands_total Ask pending"), 3);
  /* What was refused left a box that is as new. */
  assert_int_equal(kit_add(&g.k, refused.key, 5).version, 1);
  /* Who joins what was begun needs none. */
  send_ask(&g.k, &joined, first[0].key ? first[0].key : 1, NULL, "", 0);
  kit_run(&g.k, 20);
  assert_int_equal(joined.times, 0);
  kit_answer(&g.k, 0, 1);
  kit_run(&g.k, 20);
  assert_int_equal(first[0].verdict, CAFE_ACCEPTED);
  assert_int_equal(joined.verdict, CAFE_ACCEPTED);
  assert_int_equal(sample(&g.k, "cafe_guard_in_flight questions"), 2);
  ask_new(&g.k, &again);
  assert_int_equal(again.times, 0);
  assert_int_equal(sample(&g.k, "cafe_guard_admitted_total questions"), 4);
  while (g.k.running) {
    kit_answer(&g.k, 0, 1);
    kit_run(&g.k, 20);
  }
  assert_int_equal(sample(&g.k, "cafe_guard_in_flight questions"), 0);
  assert_int_equal(sample(&g.k, "cafe_guard_ended_total questions succeeded"), 4);
  assert_int_equal(sample(&g.k, "cafe_guard_seconds_count questions"), 4);
  kit_close(&g.k);
}

/* Else a client who comes again when he was told to would be told the same for ever. */
static int keep_all(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user) {
  (void)outcome, (void)user;
  return cafe_arena_copy(out, arena, cafe_text("kept"));
}

static void a_refusal_by_a_guard_isnt_kept_under_a_clients_key(void **state) {
  (void)state;
  guarded g;
  call first, refused, again;
  ask data = {1};
  cafe_client_key key = {cafe_text("POST /boxes"), cafe_text("k1"), cafe_text("body")};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = &ask_type;
  submit.data = &data;
  submit.data_size = sizeof data;
  submit.client_key = &key;
  submit.reply = keep_all;
  open_guarded(&g, 1);
  ask_new(&g.k, &first);
  assert_int_equal(kit_submit(&g.k, &refused, &submit), CAFE_OK);
  kit_run(&g.k, 20);
  assert_refused(&refused, "as many calls as it bears");
  kit_answer(&g.k, 0, 1);
  kit_run(&g.k, 20);
  assert_int_equal(kit_submit(&g.k, &again, &submit), CAFE_OK);
  kit_run(&g.k, 20);
  kit_answer(&g.k, 0, 1);
  kit_run(&g.k, 20);
  assert_int_equal(again.verdict, CAFE_ACCEPTED);
  assert_false(again.replayed);
  assert_string_equal(again.reply, "kept");
  kit_close(&g.k);
}

/* C5: in the engine, with its log and its metrics. */
static void it_opens_probes_and_closes(void **state) {
  (void)state;
  guarded g;
  call refused, probe, second;
  open_guarded(&g, 8);
  whole_call(&g.k, 1);
  whole_call(&g.k, 0); /* a no is no failure */
  whole_call(&g.k, 2);
  assert_state(&g.k, "CLOSED");
  whole_call(&g.k, 2);
  assert_state(&g.k, "OPEN");
  assert_true(kit_was_logged(&g.k, "breaker questions: CLOSED to OPEN: 2 of 4 calls failed in 10 s"));
  ask_new(&g.k, &refused);
  assert_refused(&refused, "failed too often");
  assert_in_range(refused.outcome_retry_after_ms, 970, 1001);
  assert_int_equal(sample(&g.k, "cafe_guard_rejected_total questions open"), 1);
  kit_run(&g.k, refused.outcome_retry_after_ms);
  ask_new(&g.k, &probe);
  ask_new(&g.k, &second);
  assert_int_equal(probe.times, 0);
  assert_refused(&second, "failed too often");
  assert_state(&g.k, "HALF_OPEN");
  assert_true(kit_was_logged(&g.k, "breaker questions: OPEN to HALF_OPEN"));
  kit_answer(&g.k, 0, 2);
  kit_run(&g.k, 20);
  assert_state(&g.k, "OPEN");
  kit_run(&g.k, 1000);
  whole_call(&g.k, 1);
  assert_state(&g.k, "CLOSED");
  assert_true(kit_was_logged(&g.k, "breaker questions: HALF_OPEN to CLOSED"));
  assert_int_equal(sample(&g.k, "cafe_breaker_transitions_total questions OPEN"), 2);
  assert_int_equal(sample(&g.k, "cafe_breaker_transitions_total questions HALF_OPEN"), 2);
  assert_int_equal(sample(&g.k, "cafe_breaker_transitions_total questions CLOSED"), 1);
  assert_int_equal(sample(&g.k, "cafe_guard_ended_total questions failed"), 3);
  kit_close(&g.k);
}

/* Its failure tells nothing of how many are borne. */
static void a_probe_does_not_shrink_the_limit(void **state) {
  (void)state;
  guarded g;
  open_guarded(&g, 8);
  kit_stop(&g.k);
  g.limit.min = 1;
  assert_int_equal(kit_start(&g.k), CAFE_OK);
  open_breaker(&g.k);
  assert_int_equal(sample(&g.k, "cafe_guard_limit questions"), 1); /* 8, 5, 3, 2, 1 */
  kit_stop(&g.k);
  g.limit.max = g.limit.initial = 100;
  assert_int_equal(kit_start(&g.k), CAFE_OK);
  open_breaker(&g.k);
  int limit = sample(&g.k, "cafe_guard_limit questions");
  kit_run(&g.k, 1000);
  whole_call(&g.k, 2);
  assert_state(&g.k, "OPEN");
  assert_int_equal(sample(&g.k, "cafe_guard_limit questions"), limit);
  assert_int_equal(sample(&g.k, "cafe_guard_in_flight questions"), 0);
  kit_close(&g.k);
}

static bool never(const cafe_event *outcome, void *user) {
  (void)user;
  assert_ptr_equal(outcome->type, &denied_type);
  return false;
}

/* Who is slow, or can't for other reasons, isn't helped by fewer calls. */
static void a_failure_shrinks_the_limit_where_it_says_so(void **state) {
  (void)state;
  for (int is_told = 0; is_told <= 1; is_told++) {
    guarded g;
    call late;
    open_guarded(&g, 8);
    kit_stop(&g.k);
    g.limit.min = 1;
    g.breaker.volume = 100;
    g.guard.is_overload = is_told ? never : NULL;
    assert_int_equal(kit_start(&g.k), CAFE_OK);
    whole_call(&g.k, 2);
    assert_int_equal(sample(&g.k, "cafe_guard_limit questions"), is_told ? 8 : 5);
    send_ask(&g.k, &late, 0, NULL, "", 50);
    kit_run(&g.k, 100);
    assert_int_equal(late.code, CAFE_TIMEOUT);
    assert_int_equal(sample(&g.k, "cafe_guard_limit questions"), is_told ? 8 : 3);
    assert_int_equal(sample(&g.k, "cafe_guard_ended_total questions failed"), 2);
    kit_answer(&g.k, 0, 1);
    kit_close(&g.k);
  }
}

/* ---- clients' keys ---- */

static void what_is_kept_or_begun_is_found_behind_an_open_breaker(void **state) {
  (void)state;
  guarded g;
  call kept, begun, again, other, joined, fresh, dropped;
  open_guarded(&g, 8);
  send_ask(&g.k, &kept, 0, "kept", "body", 0);
  kit_run(&g.k, 20);
  kit_answer(&g.k, 0, 1);
  send_ask(&g.k, &dropped, 0, "dropped", "body", 0);
  kit_run(&g.k, 20);
  kit_answer(&g.k, 0, 2);
  kit_run(&g.k, 20);
  for (int i = 0; i < 2; i++)
    whole_call(&g.k, 2);
  assert_state(&g.k, "OPEN");
  kit_run(&g.k, 1000);
  send_ask(&g.k, &begun, 0, "begun", "body", 0); /* the probe, so that nobody else is admitted */
  kit_run(&g.k, 20);
  assert_state(&g.k, "HALF_OPEN");
  uint64_t before = events_of(&g.k);

  send_ask(&g.k, &again, 0, "kept", "body", 0);
  send_ask(&g.k, &other, 0, "kept", "another", 0);
  send_ask(&g.k, &joined, 0, "begun", "body", 0);
  send_ask(&g.k, &fresh, 0, "fresh", "body", 0);
  send_ask(&g.k, &dropped, 0, "dropped", "body", 0); /* what came to nothing would begin anew */
  kit_run(&g.k, 50);
  assert_true(again.replayed);
  assert_string_equal(again.reply, "kept");
  assert_int_equal(other.code, CAFE_CONFLICT);
  assert_int_equal(joined.times, 0);
  assert_refused(&fresh, "failed too often");
  assert_refused(&dropped, "failed too often");
  assert_int_equal(events_of(&g.k), before);
  kit_answer(&g.k, 0, 1);
  kit_run(&g.k, 50);
  assert_string_equal(begun.reply, "kept");
  assert_string_equal(joined.reply, "kept");
  assert_int_equal(joined.key, begun.key);
  assert_state(&g.k, "CLOSED");

  /* The refusal wasn't kept. */
  send_ask(&g.k, &again, 0, "fresh", "body", 0);
  kit_run(&g.k, 50);
  assert_int_equal(g.k.running, 1);
  kit_answer(&g.k, 0, 1);
  kit_run(&g.k, 50);
  assert_int_equal(again.verdict, CAFE_ACCEPTED);
  assert_false(again.replayed);
  kit_close(&g.k);
}

/* A repeat that got a permit, and then finds that its key is somebody's, gives it back. */
static void a_repeat_keeps_no_permit(void **state) {
  (void)state;
  guarded g;
  call first, again[3];
  open_guarded(&g, 8);
  send_ask(&g.k, &first, 0, "a", "body", 0);
  for (int i = 0; i < 3; i++)
    send_ask(&g.k, &again[i], 0, "a", "body", 0);
  kit_run(&g.k, 50);
  assert_int_equal(sample(&g.k, "cafe_guard_in_flight questions"), 1);
  kit_answer(&g.k, 0, 2);
  kit_run(&g.k, 50);
  assert_int_equal(sample(&g.k, "cafe_guard_in_flight questions"), 0);
  assert_int_equal(sample(&g.k, "cafe_guard_ended_total questions failed"), 1);
  assert_int_equal(sample(&g.k, "cafe_guard_ended_total questions unused"), 3);
  kit_close(&g.k);
}

/* ---- permits come back ---- */

static void a_deadline_is_a_failure_and_a_cancel_says_nothing(void **state) {
  (void)state;
  guarded g;
  call late, canceled, closed;
  open_guarded(&g, 8);
  send_ask(&g.k, &late, 0, NULL, "", 100);
  send_ask(&g.k, &canceled, 0, NULL, "", 0);
  kit_run(&g.k, 50);
  cafe_op_cancel(canceled.op);
  kit_run(&g.k, 100);
  assert_int_equal(late.code, CAFE_TIMEOUT);
  assert_int_equal(canceled.code, CAFE_CANCELED);
  assert_int_equal(sample(&g.k, "cafe_guard_ended_total questions failed"), 1);
  assert_int_equal(sample(&g.k, "cafe_guard_ended_total questions unused"), 1);
  assert_int_equal(sample(&g.k, "cafe_guard_in_flight questions"), 0);
  /* Before it is committed nobody was asked. */
  cafe_sim_set_job_delay(g.k.loop, 200000, 200000);
  send_ask(&g.k, &late, 0, NULL, "", 100);
  kit_run(&g.k, 150);
  assert_int_equal(late.code, CAFE_TIMEOUT);
  assert_int_equal(sample(&g.k, "cafe_guard_ended_total questions failed"), 1);
  assert_int_equal(sample(&g.k, "cafe_guard_ended_total questions unused"), 2);
  ask_new(&g.k, &closed);
  kit_close(&g.k); /* with two questions open */
  assert_int_equal(closed.code, CAFE_CANCELED);
}

static void a_probe_that_is_taken_back_makes_room_for_the_next(void **state) {
  (void)state;
  guarded g;
  call probe;
  open_guarded(&g, 8);
  open_breaker(&g.k);
  kit_run(&g.k, 1000);
  ask_new(&g.k, &probe);
  assert_state(&g.k, "HALF_OPEN");
  cafe_op_cancel(probe.op);
  kit_run(&g.k, 20);
  kit_answer(&g.k, 0, 1);
  kit_run(&g.k, 20);
  whole_call(&g.k, 1);
  assert_state(&g.k, "CLOSED");
  kit_close(&g.k);
}

/* What happens while one call of the store, or one of the allocator, fails. */
static void one_life(kit *k) {
  call calls[3];
  memset(calls, 0, sizeof calls);
  ask data = {1};
  cafe_client_key named = {cafe_text("s"), cafe_text("a"), {NULL, 0}};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = &ask_type;
  submit.data = &data;
  submit.data_size = sizeof data;
  submit.client_key = &named;
  submit.reply = keep_denial;
  for (int i = 0; i < 3; i++) { /* with a limit of 1: one is admitted, the others look for their key */
    named.key = cafe_text(i == 1 ? "b" : "a");
    (void)kit_submit(k, &calls[i], &submit);
  }
  kit_run(k, 2000);
  while (k->running) {
    kit_answer(k, 0, 1);
    kit_run(k, 2000);
  }
  kit_run(k, 20000);
  assert_int_equal(sample(k, "cafe_guard_in_flight questions"), 0);
  int admitted = sample(k, "cafe_guard_admitted_total questions");
  assert_int_equal(admitted, sample(k, "cafe_guard_ended_total questions succeeded") +
                                 sample(k, "cafe_guard_ended_total questions unused") +
                                 sample(k, "cafe_guard_ended_total questions failed"));
}

static void whatever_fails_each_permit_comes_back_once(void **state) {
  (void)state;
  for (uint64_t n = 1, hit = 1; hit; n++) {
    guarded g;
    open_guarded(&g, 1);
    kit_run(&g.k, 10);
    cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
    faults.fail_call = n;
    cafe_faulty_store_set(g.k.store, &faults);
    one_life(&g.k);
    cafe_store_counts counts = {.size = sizeof counts};
    cafe_faulty_store_count(g.k.store, &counts);
    hit = counts.faults;
    kit_close(&g.k);
  }
}

static void without_memory_each_permit_comes_back_once(void **state) {
  (void)state;
  int refused = 1;
  for (size_t n = 1; refused; n++) {
    guarded g;
    open_guarded(&g, 1);
    kit_run(&g.k, 10);
    g.k.memory.fail_at = g.k.memory.calls + n;
    one_life(&g.k);
    refused = g.k.memory.refused;
    kit_close(&g.k);
  }
}

/* ---- definitions ---- */

static cafe_node *make_node(kit *k) {
  cafe_node *node = NULL;
  k->options.loop = k->loop;
  k->options.store = k->store;
  k->options.allocator = &k->memory.allocator;
  assert_int_equal(cafe_node_create(&node, &k->options, NULL), CAFE_OK);
  return node;
}

static const cafe_guard good = {CAFE_GUARD, "questions", &ask_type,  begins, "ask-later",
                                NULL,       NULL,        is_failure, NULL,   &outcomes_seen};

static void a_guard_that_lacks_something_is_refused(void **state) {
  (void)state;
  kit k;
  kit_init(&k, false);
  cafe_node *node = make_node(&k);
  const cafe_schema *const nothing[] = {NULL};
  const cafe_breaker_options breaker = {sizeof breaker, 0, 1001, 0, 0, NULL, NULL};
  const cafe_breaker_options no_breaker = {0};
  const cafe_limit_options limit = {sizeof limit, 5, 4, 0};
  cafe_guard wrong[11];
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
    wrong[i] = good;
  wrong[0].size = 0;
  wrong[1].name = NULL;
  wrong[2].name = "";
  wrong[3].command = NULL;
  wrong[4].begins = NULL;
  wrong[5].begins = nothing;
  wrong[6].reason = NULL;
  wrong[7].is_failure = NULL;
  wrong[8].breaker = &breaker;
  wrong[9].limit = &limit;
  wrong[10].breaker = &no_breaker;
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    cafe_err err = {0};
    assert_int_equal(cafe_node_guard(node, &wrong[i], &err), CAFE_INVALID);
    assert_true(err.text[0]);
  }
  assert_int_equal(cafe_node_guard(node, &good, NULL), CAFE_OK);
  cafe_guard second = good;
  cafe_err err;
  assert_int_equal(cafe_node_guard(node, &second, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "two guards questions"));
  second.name = "others";
  assert_int_equal(cafe_node_guard(node, &second, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "Ask has the guard questions"));
  cafe_node_destroy(node);
  k.node = NULL;
  kit_close(&k);
}

static void what_a_guard_names_must_be_there_at_start(void **state) {
  (void)state;
  static const cafe_schema *const strange[] = {&box_row_type, NULL};
  const struct {
    const cafe_schema *command;
    const cafe_schema *const *begins;
    const char *named;
  } wrong[] = {{&box_row_type, begins, "no aggregate of this node takes"},
               {&ask_type, strange, "isn't an event of who takes Ask"},
               {&add_type, begins, "no outcomes"}};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    kit k;
    cafe_err err = {0};
    kit_init(&k, false);
    cafe_node *node = make_node(&k);
    cafe_worker worker = {CAFE_WORKER, &question_type, k.retry, kit_task_start, kit_task_stop, kit_give_up, &k};
    cafe_guard guard = good;
    guard.command = wrong[i].command;
    guard.begins = wrong[i].begins;
    assert_int_equal(cafe_node_host(node, &box_service, NULL), CAFE_OK);
    assert_int_equal(cafe_node_employ(node, &worker, NULL), CAFE_OK);
    assert_int_equal(cafe_node_guard(node, &guard, NULL), CAFE_OK);
    assert_int_equal(cafe_node_start(node, &err), CAFE_INVALID);
    assert_non_null(strstr(err.text, wrong[i].named));
    cafe_node_destroy(node);
    kit_close(&k);
  }
}

static void a_started_node_takes_no_guard(void **state) {
  (void)state;
  kit k;
  cafe_err err;
  kit_open(&k, false);
  assert_int_equal(cafe_node_guard(k.node, &good, &err), CAFE_INVALID);
  assert_non_null(strstr(err.text, "started"));
  kit_close(&k);
}

static void a_guard_without_memory_is_none(void **state) {
  (void)state;
  kit k;
  kit_init(&k, false);
  cafe_node *node = make_node(&k);
  k.memory.fail_at = k.memory.calls + 1;
  assert_int_equal(cafe_node_guard(node, &good, NULL), CAFE_NOMEM);
  assert_int_equal(cafe_node_guard(node, &good, NULL), CAFE_OK);
  cafe_node_destroy(node);
  kit_close(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_a_permit_nothing_is_written),
      cmocka_unit_test(a_refusal_by_a_guard_isnt_kept_under_a_clients_key),
      cmocka_unit_test(it_opens_probes_and_closes),
      cmocka_unit_test(a_probe_does_not_shrink_the_limit),
      cmocka_unit_test(a_failure_shrinks_the_limit_where_it_says_so),
      cmocka_unit_test(what_is_kept_or_begun_is_found_behind_an_open_breaker),
      cmocka_unit_test(a_repeat_keeps_no_permit),
      cmocka_unit_test(a_deadline_is_a_failure_and_a_cancel_says_nothing),
      cmocka_unit_test(a_probe_that_is_taken_back_makes_room_for_the_next),
      cmocka_unit_test(whatever_fails_each_permit_comes_back_once),
      cmocka_unit_test(without_memory_each_permit_comes_back_once),
      cmocka_unit_test(a_guard_that_lacks_something_is_refused),
      cmocka_unit_test(what_a_guard_names_must_be_there_at_start),
      cmocka_unit_test(a_started_node_takes_no_guard),
      cmocka_unit_test(a_guard_without_memory_is_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
