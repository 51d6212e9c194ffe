/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A saga of one node that asks the aggregates of another: what it asks is asked after the commit, again when no answer
 * comes, and again after a restart; and no answer is never read as a no.
 *
 * The loan asks the vault to reserve, then closes, then asks to pay. The vault's owner, the test, may take his time.
 */
#include "cafe/transport/inproc.h"
#include "test_engine_kit.h"

/* ---- the vault, at the service bank ---- */

typedef struct sum {
  int64_t amount;
} sum;

typedef struct vault {
  int64_t reserved;
  int64_t paid;
  int64_t reservations; /* Reserve came so often */
  bool is_pending, is_over;
} vault;

static const cafe_field sum_fields[] = {CAFE_FIELD_OF(1, I64, sum, amount)};
static const cafe_field vault_fields[] = {CAFE_FIELD_OF(1, I64, vault, reserved), CAFE_FIELD_OF(2, I64, vault, paid),
                                          CAFE_FIELD_OF(3, I64, vault, reservations),
                                          CAFE_FIELD_OF(4, BOOL, vault, is_pending),
                                          CAFE_FIELD_OF(5, BOOL, vault, is_over)};
static const cafe_schema vault_type = CAFE_SCHEMA_OF("Vault", vault, vault_fields);
#define SUM(name) static const cafe_schema name##_type = CAFE_SCHEMA_OF(#name, sum, sum_fields)
SUM(Reserve); /* up to 100 at once, above: pending */
SUM(Grant);   /* its owner: what is pending is reserved */
SUM(Deny);
SUM(Release);
SUM(Pay);
SUM(Withdraw); /* the guard's question: granted until it is paid */
SUM(ReserveAsked);
SUM(Reserved);
SUM(NotReserved);
SUM(Released);
SUM(Paid);
SUM(Withdrawn);
SUM(Kept);

static cafe_verdict say(cafe_decision *out, const cafe_schema *type, int64_t amount, cafe_verdict verdict) {
  sum event = {amount};
  cafe_emit(out, type, &event, sizeof event);
  return verdict;
}

static cafe_verdict vault_decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  const vault *self = state;
  int64_t amount = ((const sum *)command->data)->amount;
  if (command->type == &Reserve_type) {
    if (self->is_over)
      return cafe_refuse(out, "over", "it was withdrawn");
    if (self->reserved)
      return CAFE_UNCHANGED;
    if (self->is_pending)
      return CAFE_PENDING;
    if (amount <= 100)
      return say(out, &Reserved_type, amount, CAFE_ACCEPTED);
    return say(out, &ReserveAsked_type, amount, CAFE_PENDING);
  }
  if (command->type == &Grant_type)
    return self->is_pending ? say(out, &Reserved_type, amount, CAFE_ACCEPTED) : CAFE_UNCHANGED;
  if (command->type == &Deny_type)
    return self->is_pending ? say(out, &NotReserved_type, amount, CAFE_ACCEPTED) : CAFE_UNCHANGED;
  if (command->type == &Release_type)
    return self->is_over ? CAFE_UNCHANGED : say(out, &Released_type, self->reserved, CAFE_ACCEPTED);
  if (command->type == &Withdraw_type) {
    if (self->is_over)
      return CAFE_UNCHANGED;
    return say(out, self->paid ? &Kept_type : &Withdrawn_type, 0, CAFE_ACCEPTED);
  }
  return self->paid ? CAFE_UNCHANGED : say(out, &Paid_type, self->reserved, CAFE_ACCEPTED);
}

static int vault_evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  vault *self = state;
  (void)arena;
  self->is_pending = event->type == &ReserveAsked_type;
  if (event->type == &Reserved_type)
    self->reserved = ((const sum *)event->data)->amount;
  if (event->type == &Paid_type)
    self->paid = ((const sum *)event->data)->amount;
  if (event->type == &Released_type || event->type == &Withdrawn_type)
    self->is_over = true;
  return CAFE_OK;
}

static const cafe_schema *const vault_events[] = {
    &ReserveAsked_type, &Reserved_type,  &NotReserved_type, &Released_type,
    &Paid_type,         &Withdrawn_type, &Kept_type,        NULL};
static const cafe_command_outcome reserve_outcomes[] = {
    {&Reserved_type, CAFE_ACCEPTED}, {&NotReserved_type, CAFE_REFUSED}, {NULL, (cafe_verdict)0}};
static const cafe_command_type vault_commands[] = {{&Reserve_type, reserve_outcomes},
                                                   {&Grant_type, NULL},
                                                   {&Deny_type, NULL},
                                                   {&Release_type, NULL},
                                                   {&Withdraw_type, NULL},
                                                   {&Pay_type, NULL},
                                                   {NULL, NULL}};
static const cafe_aggregate vault_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "vault",
    .state = &vault_type,
    .events = vault_events,
    .commands = vault_commands,
    .decide = vault_decide,
    .evolve = vault_evolve,
};

/* ---- the loan, at the service desk ---- */

typedef struct loan {
  bool is_open, is_closed, is_given_up;
  int64_t stops;
} loan;
static const cafe_field loan_fields[] = {CAFE_FIELD_OF(1, BOOL, loan, is_open), CAFE_FIELD_OF(2, BOOL, loan, is_closed),
                                         CAFE_FIELD_OF(3, BOOL, loan, is_given_up), CAFE_FIELD_OF(4, I64, loan, stops)};
static const cafe_schema loan_type = CAFE_SCHEMA_OF("Loan", loan, loan_fields);
SUM(Open);
SUM(Close);
SUM(GiveUp);
SUM(Stop);
SUM(Opened);
SUM(Closed);
SUM(GivenUp);
SUM(Stopped);

static cafe_verdict loan_decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  const loan *self = state;
  int64_t amount = ((const sum *)command->data)->amount;
  if (command->type == &Open_type)
    return self->is_open ? CAFE_UNCHANGED : say(out, &Opened_type, amount, CAFE_ACCEPTED);
  if (command->type == &Close_type)
    return self->is_closed ? CAFE_UNCHANGED : say(out, &Closed_type, amount, CAFE_ACCEPTED);
  if (command->type == &GiveUp_type)
    return self->is_given_up ? CAFE_UNCHANGED : say(out, &GivenUp_type, amount, CAFE_ACCEPTED);
  return say(out, &Stopped_type, amount, CAFE_ACCEPTED);
}

static int loan_evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  loan *self = state;
  (void)arena;
  self->is_open = true;
  self->is_closed = self->is_closed || event->type == &Closed_type;
  self->is_given_up = self->is_given_up || event->type == &GivenUp_type;
  self->stops += event->type == &Stopped_type;
  return CAFE_OK;
}

static const cafe_schema *const loan_events[] = {&Opened_type, &Closed_type, &GivenUp_type, &Stopped_type, NULL};
static const cafe_command_type loan_commands[] = {
    {&Open_type, NULL}, {&Close_type, NULL}, {&GiveUp_type, NULL}, {&Stop_type, NULL}, {NULL, NULL}};
static const cafe_aggregate loan_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "loan",
    .state = &loan_type,
    .events = loan_events,
    .commands = loan_commands,
    .decide = loan_decide,
    .evolve = loan_evolve,
};

typedef struct loan_memory {
  uint64_t key;
  int64_t amount;
} loan_memory;
static const cafe_field memory_fields[] = {CAFE_FIELD_OF(1, U64, loan_memory, key),
                                           CAFE_FIELD_OF(2, I64, loan_memory, amount)};
static const cafe_schema memory_type = CAFE_SCHEMA_OF("LoanMemory", loan_memory, memory_fields);

static int loan_fold(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user) {
  loan_memory *memory = data;
  (void)cause, (void)arena;
  memory->key = event->key;
  if (event->type == &Opened_type)
    memory->amount = ((const sum *)event->data)->amount;
  return CAFE_OK;
}

static void ask_for(cafe_reaction *out, const void *data, const cafe_schema *type) {
  const loan_memory *memory = data;
  sum amount = {memory->amount};
  cafe_react(out, type, memory->key, &amount, sizeof amount);
}
static void ask_reserve(cafe_reaction *out, const void *data, void *user) { ask_for(out, data, &Reserve_type); }
static void ask_release(cafe_reaction *out, const void *data, void *user) { ask_for(out, data, &Release_type); }
static void ask_give_up(cafe_reaction *out, const void *data, void *user) { ask_for(out, data, &GiveUp_type); }
static void ask_close(cafe_reaction *out, const void *data, void *user) { ask_for(out, data, &Close_type); }
static void ask_pay(cafe_reaction *out, const void *data, void *user) { ask_for(out, data, &Pay_type); }
static void ask_withdraw(cafe_reaction *out, const void *data, void *user) { ask_for(out, data, &Withdraw_type); }

#define SIGNALS(...)                                                                                                   \
  (const cafe_schema *const[]) { __VA_ARGS__, NULL }
static const cafe_saga_step loan_steps[] = {
    {.name = "reserve",
     .kind = CAFE_STEP_COMPENSATABLE,
     .action = ask_reserve,
     .completes = SIGNALS(&Reserved_type),
     .fails = SIGNALS(&NotReserved_type, &GivenUp_type),
     .compensation = ask_release,
     .compensated = SIGNALS(&Released_type, &Withdrawn_type),
     .retry = {.initial_ms = 20, .max_ms = 100, .max_attempts = 5, .timeout_ms = 300},
     .unavailable = ask_give_up},
    {.name = "close", .kind = CAFE_STEP_PIVOT, .action = ask_close, .completes = SIGNALS(&Closed_type)},
    {.name = "pay",
     .kind = CAFE_STEP_RETRIABLE,
     .action = ask_pay,
     .retry = {.initial_ms = 20, .max_ms = 200, .timeout_ms = 300}},
};
static const cafe_saga_interrupt loan_interrupts[] = {
    {.name = "stop",
     .signal = &Stopped_type,
     .legal_in = (const char *const[]){"reserve", NULL},
     .guard = ask_withdraw,
     .granted = SIGNALS(&Withdrawn_type),
     .refused = SIGNALS(&Kept_type)},
};
static const cafe_saga loan_saga = {
    .size = CAFE_SAGA,
    .name = "loan",
    .version = 1,
    .data = &memory_type,
    .starts = &Opened_type,
    .steps = loan_steps,
    .step_count = 3,
    .interrupts = loan_interrupts,
    .interrupt_count = 1,
    .fold = loan_fold,
};

static const cafe_service bank = {
    .size = CAFE_SERVICE, .name = "bank", .aggregates = (const cafe_aggregate *const[]){&vault_aggregate, NULL}};
static const cafe_service desk = {.size = CAFE_SERVICE,
                                  .name = "desk",
                                  .aggregates = (const cafe_aggregate *const[]){&loan_aggregate, NULL},
                                  .sagas = (const cafe_saga *const[]){&loan_saga, NULL},
                                  .remotes = (const cafe_aggregate *const[]){&vault_aggregate, NULL},
                                  .remote_services = (const char *const[]){"bank", NULL}};

/* ---- two nodes ---- */

enum { DESK, BANK };

typedef struct town {
  failing_alloc memory;
  cafe_loop *loop;
  cafe_inproc *hub;
  cafe_transport *transports[2];
  cafe_store *inner[2], *stores[2];
  cafe_node *nodes[2];
} town;

static void town_start(town *t, int which) {
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  options.loop = t->loop;
  options.store = t->stores[which];
  options.transport = t->transports[which];
  options.allocator = &t->memory.allocator;
  assert_int_equal(cafe_node_create(&t->nodes[which], &options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_host(t->nodes[which], which == DESK ? &desk : &bank, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(t->nodes[which], NULL), CAFE_OK);
}

static void town_stop(town *t, int which) {
  cafe_node_destroy(t->nodes[which]);
  t->nodes[which] = NULL;
}

static void town_crash(town *t, int which) {
  cafe_faulty_store_kill(t->stores[which]);
  town_stop(t, which);
  cafe_faulty_store_revive(t->stores[which]);
  cafe_faulty_store_set(t->stores[which], NULL);
}

static void town_open(town *t, uint64_t seed) {
  cafe_memory_options memory = CAFE_MEMORY_OPTIONS_INIT;
  memory.is_threaded = seed % 2 == 0;
  memset(t, 0, sizeof *t);
  failing_alloc_init(&t->memory);
  assert_int_equal(cafe_sim_create(&t->loop, seed, NULL, NULL), CAFE_OK);
  if (memory.is_threaded)
    cafe_sim_set_job_delay(t->loop, 100, 400);
  assert_int_equal(cafe_inproc_create(&t->hub, t->loop, NULL, NULL), CAFE_OK);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(cafe_inproc_join(&t->transports[i], t->hub, NULL), CAFE_OK);
    assert_int_equal(cafe_memory_create(&t->inner[i], &memory, NULL), CAFE_OK);
    assert_int_equal(cafe_faulty_store_create(&t->stores[i], t->inner[i], NULL, NULL), CAFE_OK);
    town_start(t, i);
  }
}

static void town_close(town *t) {
  for (int i = 0; i < 2; i++) {
    town_stop(t, i);
    cafe_transport_destroy(t->transports[i]);
    cafe_store_destroy(t->stores[i]);
    cafe_store_destroy(t->inner[i]);
  }
  failing_alloc_end(&t->memory);
  cafe_inproc_destroy(t->hub);
  cafe_loop_destroy(t->loop);
}

static void town_run(town *t, int64_t ms) { cafe_sim_run(t->loop, cafe_sim_now_us(t->loop) + ms * 1000); }

static void told(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  call *c = user;
  (void)outcome; /* its state isn't a box */
  if (!c)
    return;
  c->times++;
  c->code = err ? err->code : CAFE_OK;
}

static void town_send(town *t, int which, const cafe_schema *type, uint64_t key, int64_t amount) {
  sum data = {amount};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = type;
  submit.key = key;
  submit.data = &data;
  submit.data_size = sizeof data;
  assert_int_equal(cafe_node_submit(NULL, t->nodes[which], &submit, told, NULL, NULL), CAFE_OK);
}

/* How often an event of that type is in a log. */
typedef struct counting {
  const char *type;
  uint64_t key;
  uint32_t count;
} counting;

static int count_event(const cafe_stored_event *event, void *user) {
  counting *c = user;
  c->count += event->key == c->key && strcmp(event->type, c->type) == 0;
  return CAFE_OK;
}

static uint32_t count(town *t, int which, const cafe_schema *type, uint64_t key) {
  counting c = {type->name, key, 0};
  cafe_log_query query = {sizeof query, 0, 0, 100000, NULL, 0, 0};
  assert_int_equal(t->inner[which]->ops->read_log(t->inner[which], &query, count_event, &c, NULL), CAFE_OK);
  return c.count;
}

static void assert_paid(town *t, uint64_t key) {
  if (!count(t, BANK, &Paid_type, key) || count(t, BANK, &Released_type, key))
    print_error("loan %llu: asked %u reserved %u closed %u given up %u released %u paid %u\n", (unsigned long long)key,
                count(t, BANK, &ReserveAsked_type, key), count(t, BANK, &Reserved_type, key),
                count(t, DESK, &Closed_type, key), count(t, DESK, &GivenUp_type, key),
                count(t, BANK, &Released_type, key), count(t, BANK, &Paid_type, key));
  assert_int_equal(count(t, BANK, &Reserved_type, key), 1);
  assert_int_equal(count(t, DESK, &Closed_type, key), 1);
  assert_int_equal(count(t, BANK, &Paid_type, key), 1);
  assert_int_equal(count(t, BANK, &Released_type, key), 0);
}

/* ---- tests ---- */

static void a_saga_runs_over_two_nodes(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 4; seed++) {
    town t;
    town_open(&t, seed);
    for (uint64_t key = 1; key <= 20; key++)
      town_send(&t, DESK, &Open_type, key, (int64_t)key);
    town_run(&t, 1000);
    for (uint64_t key = 1; key <= 20; key++)
      assert_paid(&t, key);
    town_close(&t);
  }
}

static void an_answer_that_takes_longer_than_an_attempt_comes_by_the_log(void **state) {
  (void)state;
  town t;
  town_open(&t, 2);
  town_send(&t, DESK, &Open_type, 1, 500);
  town_run(&t, 5000);                                     /* all five attempts pass without an answer */
  assert_int_equal(count(&t, DESK, &GivenUp_type, 1), 0); /* no answer isn't a no */
  assert_int_equal(count(&t, BANK, &ReserveAsked_type, 1), 1);
  town_send(&t, BANK, &Grant_type, 1, 500);
  town_run(&t, 1000);
  assert_paid(&t, 1);
  town_close(&t);
}

static void a_denial_undoes_the_saga(void **state) {
  (void)state;
  town t;
  town_open(&t, 2);
  town_send(&t, DESK, &Open_type, 1, 500);
  town_run(&t, 100);
  town_send(&t, BANK, &Deny_type, 1, 500);
  town_run(&t, 1000);
  assert_int_equal(count(&t, DESK, &Closed_type, 1), 0);
  assert_int_equal(count(&t, BANK, &Released_type, 1), 1);
  town_close(&t);
}

static void a_peer_that_surely_did_nothing_is_given_up(void **state) {
  (void)state;
  town t;
  town_open(&t, 2);
  town_stop(&t, BANK);
  town_send(&t, DESK, &Open_type, 1, 5);
  town_run(&t, 1000);
  assert_int_equal(count(&t, DESK, &GivenUp_type, 1), 1);
  town_start(&t, BANK);
  town_run(&t, 60000);
  assert_int_equal(count(&t, BANK, &Reserved_type, 1), 0);
  assert_int_equal(count(&t, BANK, &Released_type, 1), 1); /* asked until it is there */
  town_close(&t);
}

static void silence_is_never_read_as_a_no(void **state) {
  (void)state;
  town t;
  town_open(&t, 2);
  cafe_inproc_faults lost = {sizeof lost, 1.0, 0, 0, 0};
  cafe_inproc_set_faults(t.hub, &lost);
  town_send(&t, DESK, &Open_type, 1, 5);
  town_run(&t, 60000);
  assert_int_equal(count(&t, DESK, &GivenUp_type, 1), 0);
  town_close(&t);
}

static void what_comes_after_the_pivot_is_asked_until_it_is_done(void **state) {
  (void)state;
  town t;
  town_open(&t, 2);
  town_send(&t, DESK, &Open_type, 1, 500);
  town_run(&t, 50);
  town_send(&t, BANK, &Grant_type, 1, 500);
  while (!count(&t, DESK, &Closed_type, 1))
    assert_true(cafe_sim_step(t.loop));
  town_crash(&t, BANK);
  town_run(&t, 3600000);
  town_start(&t, BANK);
  town_run(&t, 60000);
  assert_paid(&t, 1);
  town_close(&t);
}

/* Each node crashes at each step, and comes back: the saga ends as if nothing had been. */
static void a_crash_at_any_step_changes_nothing_in_the_end(void **state) {
  (void)state;
  for (int which = 0; which < 2; which++) {
    bool is_over = false;
    uint64_t steps = 0;
    for (; !is_over; steps++) {
      town t;
      town_open(&t, 2 + 2 * steps);
      town_run(&t, 100);
      town_send(&t, DESK, &Open_type, 1, 500);
      town_send(&t, DESK, &Open_type, 2, 5);
      bool is_granted = false;
      for (uint64_t i = 0; i < steps; i++) {
        if (!is_granted && count(&t, BANK, &ReserveAsked_type, 1)) {
          town_send(&t, BANK, &Grant_type, 1, 500);
          is_granted = true;
        }
        cafe_sim_step(t.loop);
      }
      assert_true(steps < 2000);
      is_over = count(&t, BANK, &Paid_type, 1) && count(&t, BANK, &Paid_type, 2);
      bool is_open[2] = {count(&t, DESK, &Opened_type, 1), count(&t, DESK, &Opened_type, 2)};
      town_crash(&t, which);
      town_start(&t, which);
      for (int i = 0; i < 100; i++) {
        if (count(&t, BANK, &ReserveAsked_type, 1) && !count(&t, BANK, &Reserved_type, 1))
          town_send(&t, BANK, &Grant_type, 1, 500);
        town_run(&t, 50);
      }
      for (uint64_t key = 1; key <= 2; key++) {
        if (is_open[key - 1])
          assert_paid(&t, key);
      }
      town_close(&t);
    }
    assert_true(steps > 20);
  }
}

/* No allocation that fails, of either node, leaves a saga standing. */
static void no_refused_allocation_stops_a_saga(void **state) {
  (void)state;
  size_t n = 1;
  for (bool was_refused = true; was_refused; n += 1) {
    town t;
    town_open(&t, 1);
    town_run(&t, 100);
    t.memory.fail_at = t.memory.calls + n;
    sum data = {5};
    cafe_submit submit = CAFE_SUBMIT_INIT;
    static call c;
    submit.command = &Open_type;
    submit.key = 1;
    submit.data = &data;
    submit.data_size = sizeof data;
    memset(&c, 0, sizeof c);
    int code = cafe_node_submit(NULL, t.nodes[DESK], &submit, told, &c, NULL);
    town_run(&t, 60000);
    if (code == CAFE_OK && c.code == CAFE_OK) {
      assert_int_equal(c.times, 1);
      assert_paid(&t, 1);
    }
    was_refused = t.memory.refused;
    town_close(&t);
  }
  assert_true(n > 15);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_saga_runs_over_two_nodes),
      cmocka_unit_test(an_answer_that_takes_longer_than_an_attempt_comes_by_the_log),
      cmocka_unit_test(a_denial_undoes_the_saga),
      cmocka_unit_test(a_peer_that_surely_did_nothing_is_given_up),
      cmocka_unit_test(silence_is_never_read_as_a_no),
      cmocka_unit_test(what_comes_after_the_pivot_is_asked_until_it_is_done),
      cmocka_unit_test(a_crash_at_any_step_changes_nothing_in_the_end),
      cmocka_unit_test(no_refused_allocation_stops_a_saga),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
