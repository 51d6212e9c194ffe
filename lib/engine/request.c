/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Requests: what a saga asks of an aggregate on another node, and what other nodes ask here.
 *
 * What is kept here: a request is sent only after the unit that asks is durable, and the saga's row says that it is
 * asked, so after a crash it is asked again; the aggregate over there answers by its state, however often. An answer
 * becomes an act like any other. One that never comes is a timeout, which the saga knows how to take.
 */
#include "engine/node.h"
#include "engine/timer.h"

enum {
  WIRE_VERSION = 1,
  TIMEOUT_DEFAULT_MS = 5000,
  TRACE_MAX = 512 /* a traceparent has 55 bytes (W3C Trace Context), a later version may have more */
};

typedef struct wire_request {
  int64_t version;
  cafe_slice command;
  uint64_t key;
  cafe_slice data;
  cafe_slice trace;
} wire_request;

typedef struct wire_answer {
  int64_t version;
  int64_t verdict;
  cafe_slice reason;
  cafe_slice text;
  cafe_slice event; /* its type; empty: none */
  uint64_t event_version;
  int64_t event_time_ms;
  cafe_slice event_data;
} wire_answer;

static const cafe_field request_fields[] = {
    CAFE_FIELD_OF(1, I64, wire_request, version), CAFE_FIELD_OF(2, TEXT, wire_request, command),
    CAFE_FIELD_OF(3, U64, wire_request, key),     CAFE_FIELD_OF(4, BYTES, wire_request, data),
    CAFE_FIELD_OF(5, TEXT, wire_request, trace),
};
static const cafe_field answer_fields[] = {
    CAFE_FIELD_OF(1, I64, wire_answer, version),        CAFE_FIELD_OF(2, I64, wire_answer, verdict),
    CAFE_FIELD_OF(3, TEXT, wire_answer, reason),        CAFE_FIELD_OF(4, TEXT, wire_answer, text),
    CAFE_FIELD_OF(5, TEXT, wire_answer, event),         CAFE_FIELD_OF(6, U64, wire_answer, event_version),
    CAFE_FIELD_OF(7, TIME, wire_answer, event_time_ms), CAFE_FIELD_OF(8, BYTES, wire_answer, event_data),
};
const cafe_schema wire_request_type = CAFE_SCHEMA_OF("request", wire_request, request_fields);
const cafe_schema wire_answer_type = CAFE_SCHEMA_OF("answer", wire_answer, answer_fields);

/* ---- asking ---- */

typedef struct request_out {
  cafe_request request;
  struct request_out *prev, *next;
  cafe_node *node;
  struct subject *subject;
  cafe_arena *arena;
  cafe_event event;
  struct act act;
} request_out;

static void request_free(request_out *out) {
  struct subject *subject = out->subject;
  DL_DELETE(out->node->requests, out);
  subject->requests--;
  node_arena_free(out->node, out->arena);
  subject_settle(subject);
}

static void answer_finished(cafe_node *node, struct act *act, int code, const cafe_err *err) {
  request_out *out = act->user;
  (void)node, (void)err;
  if (code) {
    /* The saga still says that it asked, and nobody asks any more: taken up as after a restart. */
    out->subject->is_resumed = false;
    timer_retry(out->subject);
  }
  request_free(out);
}

static void answer_saga(request_out *out, int code, cafe_verdict verdict) {
  if (out->node->state > NODE_DRAINING) {
    request_free(out);
    return;
  }
  out->act.kind = ACT_ANSWER;
  out->act.key = out->subject->key;
  out->act.code = code;
  out->act.verdict = verdict;
  out->act.finish = answer_finished;
  out->act.user = out;
  act_submit(out->node, &out->act);
}

static int read_answer(request_out *out, cafe_slice body, cafe_verdict *verdict, cafe_err *err) {
  wire_answer answer;
  cafe_slice kept;
  if (cafe_arena_copy(&kept, out->arena, body))
    return cafe_fail(err, CAFE_NOMEM, "no memory for an answer");
  int code = cafe_schema_decode(&answer, &wire_answer_type, kept, err);
  if (code)
    return code;
  if (answer.version != WIRE_VERSION || answer.verdict < CAFE_ACCEPTED || answer.verdict > CAFE_REFUSED)
    return cafe_fail(err, CAFE_UNSUPPORTED, "the answer has version %lld", (long long)answer.version);
  *verdict = (cafe_verdict)answer.verdict;
  if (answer.event.size == 0)
    return CAFE_OK;
  cafe_slice name;
  if (cafe_arena_copy(&name, out->arena, answer.event))
    return cafe_fail(err, CAFE_NOMEM, "no memory for an answer");
  const event_type *type = registry_event(out->node, name.data);
  /* A service speaks for its own aggregates. */
  if (!type || strcmp(out->node->registry.aggregates[type->aggregate].service, out->request.service) != 0)
    return cafe_fail(err, CAFE_UNSUPPORTED, "the answer is %s, which is no event of that service known here",
                     name.data);
  void *data = cafe_arena_alloc(out->arena, type->schema->width);
  if (!data)
    return cafe_fail(err, CAFE_NOMEM, "no memory for an answer");
  code = cafe_schema_decode(data, type->schema, answer.event_data, err);
  if (code)
    return code;
  out->event.type = type->schema;
  out->event.aggregate = out->node->registry.aggregates[type->aggregate].type->name;
  out->event.key = out->subject->key;
  out->event.version = answer.event_version;
  out->event.time_ms = answer.event_time_ms;
  out->event.data = data;
  out->act.event = &out->event;
  return CAFE_OK;
}

static void request_done(cafe_request *request, const cafe_err *err, cafe_slice body) {
  request_out *out = CONTAINER(request, request_out, request);
  cafe_verdict verdict = CAFE_REFUSED;
  cafe_err failure = {0};
  int code = err ? err->code : read_answer(out, body, &verdict, &failure);
  if (code) {
    /* What fails again, fails as it was told the first time. */
    node_log(out->node, out->act.attempt > 1 ? CAFE_LOG_DEBUG : CAFE_LOG_WARN, out->subject->key, (cafe_slice){NULL, 0},
             "asking %s: %s", request->service, err ? err->text : failure.text);
  }
  /* What can't be read was perhaps done: as if no answer had come. */
  answer_saga(out, err ? code : code ? CAFE_TIMEOUT : CAFE_OK, verdict);
}

static int encode_request(request_out *out, const remote_ask *ask, cafe_slice trace, cafe_err *err) {
  wire_request wire = {
      WIRE_VERSION, cafe_text(ask->ask->command->type->name), ask->ask->command->key, {NULL, 0}, trace};
  int code = cafe_schema_encode(&wire.data, out->arena, ask->ask->command->type, ask->ask->command->data, err);
  if (code)
    return code;
  return cafe_schema_encode(&out->request.body, out->arena, &wire_request_type, &wire, err);
}

/* The attempt's own time, and what is left of the step's and its caller's. */
static cafe_budget budget_of(const cafe_node *node, const saga_ask *ask) {
  int64_t timeout_ms = ask->timeout_ms > 0 ? ask->timeout_ms : TIMEOUT_DEFAULT_MS;
  cafe_budget own = {node_after_us(node, timeout_ms), ask->retries, 0};
  cafe_budget steps = CAFE_BUDGET_NONE;
  if (ask->deadline_ms)
    steps.deadline_us = node_after_us(node, ask->deadline_ms - node_utc_ms(node));
  return cafe_budget_min(own, steps);
}

void request_send(struct subject *subject, const remote_ask *ask, cafe_slice trace) {
  cafe_node *node = subject->node;
  cafe_err err = {0};
  if (node->state > NODE_DRAINING)
    return; /* the saga's row says that it asked: taken up at the next start */
  cafe_arena *arena = node_arena(node);
  request_out *out = arena ? cafe_arena_alloc(arena, sizeof *out) : NULL;
  if (!out) {
    node_arena_free(node, arena);
    subject->is_resumed = false;
    timer_retry(subject);
    return;
  }
  out->node = node;
  out->subject = subject;
  out->arena = arena;
  out->act.saga = ask->saga;
  out->act.ask_kind = ask->ask->kind;
  out->act.step = ask->ask->step;
  out->act.attempt = ask->ask->attempt;
  DL_APPEND(node->requests, out);
  subject->requests++;
  const command_type *command = registry_command(node, ask->ask->command->type);
  out->request.size = sizeof out->request;
  out->request.key = ask->ask->command->key;
  out->request.service = node->registry.aggregates[command->aggregate].service;
  out->request.budget = budget_of(node, ask->ask);
  out->request.done = request_done;
  int code = encode_request(out, ask, trace, &err);
  if (!code && cafe_arena_copy(&out->act.trace, arena, trace))
    code = cafe_fail(&err, CAFE_NOMEM, "no memory to ask");
  cafe_transport *transport = node->transport;
  if (!code)
    code = transport ? transport->ops->request(transport, &out->request, &err)
                     : cafe_fail(&err, CAFE_UNAVAILABLE, "%s is another node's, and there is no transport",
                                 out->request.service);
  if (code)
    answer_saga(out, code, CAFE_REFUSED);
}

static void serve_done(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome);

/* Before the transport is closed: what came in is the transport's, and is forgotten by it. */
void request_close(cafe_node *node) {
  cafe_op *op;
  DL_FOREACH(node->ops, op) {
    if (op->served == serve_done)
      op->serves = NULL;
  }
  request_out *out, *next;
  DL_FOREACH_SAFE(node->requests, out, next) {
    if (out->act.kind)
      continue; /* its answer is an act under way, which frees it */
    node->transport->ops->cancel(node->transport, &out->request);
    request_free(out);
  }
}

/* ---- being asked ---- */

static void serve_done(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome) {
  cafe_incoming *incoming = op->serves;
  cafe_slice body = {NULL, 0};
  if (!incoming)
    return; /* whoever asked is gone */
  cafe_err failure = {0};
  if (!err) {
    wire_answer answer = {
        WIRE_VERSION, outcome->verdict, cafe_text(outcome->reason), cafe_text(outcome->text), {NULL, 0}, 0, 0,
        {NULL, 0}};
    const cafe_event *event = outcome->event;
    int code = CAFE_OK;
    if (event) {
      answer.event = cafe_text(event->type->name);
      answer.event_version = event->version;
      answer.event_time_ms = event->time_ms;
      code = cafe_schema_encode(&answer.event_data, op->arena, event->type, event->data, &failure);
    }
    if (!code)
      code = cafe_schema_encode(&body, op->arena, &wire_answer_type, &answer, &failure);
    if (code) {
      /* It is done, only the answer can't be written: the caller mustn't take it for undone. */
      failure.code = CAFE_TIMEOUT;
      err = &failure;
    }
  }
  incoming->answer(incoming, err, body);
}

/* What is asked for, with data in the arena. The rest BORROWs from the request's body. */
static int read_request(cafe_submit *out, const cafe_node *node, const cafe_incoming *incoming, cafe_arena *arena,
                        cafe_err *err) {
  wire_request wire;
  int code = cafe_schema_decode(&wire, &wire_request_type, incoming->body, err);
  if (code)
    return code;
  if (wire.version != WIRE_VERSION)
    return cafe_fail(err, CAFE_UNSUPPORTED, "the request has version %lld, this node speaks %d",
                     (long long)wire.version, WIRE_VERSION);
  const command_type *command = registry_command_named(node, wire.command);
  if (!command)
    return cafe_fail(err, CAFE_INVALID, "nobody here takes %.*s", (int)wire.command.size, wire.command.data);
  void *data = cafe_arena_alloc(arena, command->type->command->width);
  if (!data)
    return cafe_fail(err, CAFE_NOMEM, "no memory to take a request");
  code = cafe_schema_decode(data, command->type->command, wire.data, err);
  if (code)
    return code;
  if (wire.key == 0 || wire.key > CAFE_KEY_MAX)
    return cafe_fail(err, CAFE_INVALID, "a request needs a key from 1 to 2^53 - 1");
  int64_t left_us = cafe_budget_left_us(&incoming->budget, node_now_us(node));
  if (left_us == 0)
    return cafe_fail(err, CAFE_UNAVAILABLE, "the deadline passed before it came here");
  out->command = command->type->command;
  out->key = wire.key;
  out->data = data;
  out->data_size = out->command->width;
  out->timeout_ms = left_us == INT64_MAX ? 0 : (left_us + 999) / 1000;
  out->attempts = incoming->budget.retries == UINT32_MAX ? 0 : incoming->budget.retries + 1;
  if (wire.trace.size <= TRACE_MAX) /* it would be in each event: what is longer is none */
    out->trace = wire.trace;
  return CAFE_OK;
}

void request_serve(cafe_node *node, cafe_incoming *incoming) {
  cafe_err err = {0};
  cafe_op *op = NULL;
  cafe_slice none = {NULL, 0};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  cafe_arena *arena = node_arena(node);
  int code = arena ? read_request(&submit, node, incoming, arena, &err)
                   : cafe_fail(&err, CAFE_NOMEM, "no memory to take a request");
  if (!code)
    code = op_submit(&op, node, &submit, &err);
  node_arena_free(node, arena);
  if (code) {
    incoming->answer(incoming, &err, none);
    return;
  }
  op->served = serve_done;
  op->serves = incoming;
}

void request_forget(cafe_node *node, cafe_incoming *incoming) {
  cafe_op *op;
  DL_FOREACH(node->ops, op) {
    if (op->served == serve_done && op->serves == incoming)
      op->serves = NULL;
  }
}
