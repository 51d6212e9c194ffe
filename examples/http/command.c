/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands over HTTP. With an Idempotency-Key the answer is made in the unit that commits the outcome and kept there,
 * as "STATUS VERSION\n" and the body; a repeat, also after a crash, is answered from those bytes and nothing else. What
 * is kept is what can't turn out otherwise: 402, 409, and every 2xx but 202.
 */
#include "http/exchange.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool http_read_object(http_request *request, json_object *out) {
  cafe_err err = {0};
  int code = json_read(out, request->arena, request->body, &err);
  if (code != CAFE_OK) {
    http_problem(request, code == CAFE_NOMEM ? HTTP_OVERLOADED : HTTP_MALFORMED, "%s", err.text);
    return false;
  }
  if (!out->is_object) {
    http_problem(request, HTTP_INVALID, "The body must be a JSON object");
  }
  return out->is_object;
}

bool http_read_json(http_request *request, void *value, const cafe_schema *schema, const json_taken *taken,
                    json_wrongs *wrongs) {
  json_object object;
  if (!http_read_object(request, &object)) {
    return false;
  }
  json_take(value, schema, &object, taken, wrongs);
  return true;
}

bool http_read_optional(http_request *request, void *value, const cafe_schema *schema, const json_taken *taken) {
  json_wrongs wrongs = {.count = 0};
  if (request->body.size == 0) {
    return true;
  }
  if (!http_read_json(request, value, schema, taken, &wrongs)) {
    return false;
  }
  if (wrongs.count) {
    http_wrong(request, &wrongs);
  }
  return wrongs.count == 0;
}

static bool is_kept(unsigned status) {
  return status == 402 || status == 409 || (status >= 200 && status < 300 && status != 202);
}

static bool is_refused(const cafe_outcome *outcome, const char *reason) {
  return outcome->verdict == CAFE_REFUSED && outcome->reason && strcmp(outcome->reason, reason) == 0;
}

static void judge(http_verdict *out, const http_command *command, const cafe_outcome *outcome) {
  *out = (http_verdict){.version = outcome->version};
  if (!is_refused(outcome, "invalid") && !is_refused(outcome, "not-found")) {
    command->judge(out, outcome);
  }
}

static int keep(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user) {
  const exchange *self = user;
  http_verdict verdict;
  buffer bytes = {0};
  judge(&verdict, self->command, outcome);
  *out = (cafe_slice){NULL, 0};
  if (is_kept(verdict.status)) {
    buffer_format(&bytes, "%u %" PRIu64 "\n", verdict.status, verdict.version);
    buffer_add(&bytes, verdict.body.data, verdict.body.size);
  }
  bool is_whole = !verdict.body.failed && !bytes.failed;
  int code = is_whole ? cafe_arena_copy(out, arena, (cafe_slice){bytes.data, bytes.size}) : CAFE_NOMEM;
  buffer_reset(&verdict.body);
  buffer_reset(&bytes);
  return code;
}

/* The reverse of keep. */
static bool recall(http_verdict *out, cafe_slice kept) {
  char head[40];
  const char *end = kept.size ? memchr(kept.data, '\n', kept.size) : NULL;
  *out = (http_verdict){0};
  if (!end || (size_t)(end - kept.data) >= sizeof head) {
    return false;
  }
  memcpy(head, kept.data, (size_t)(end - kept.data));
  head[end - kept.data] = '\0';
  char *space = NULL;
  char *stop = NULL;
  out->status = (unsigned)strtoul(head, &space, 10);
  out->version = *space == ' ' ? strtoull(space + 1, &stop, 10) : 0;
  if (!stop || *stop || out->status < 200 || out->status > 499) {
    return false;
  }
  buffer_add(&out->body, end + 1, kept.size - (size_t)(end + 1 - kept.data));
  return true;
}

/* A refusal "invalid" says "field: message" on each line, with the fields of the command. */
static void answer_invalid(exchange *self, const char *text) {
  json_wrongs none = {.count = 0};
  json_wrongs *wrongs = self->wrongs ? self->wrongs : &none;
  char *lines = cafe_arena_alloc(self->request.arena, strlen(text) + 1);
  if (!lines) {
    http_problem(&self->request, HTTP_OVERLOADED, "There is no memory to answer");
    return;
  }
  memcpy(lines, text, strlen(text));
  char *rest = NULL;
  for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    char *colon = strstr(line, ": ");
    const char *field = line;
    if (!colon) {
      continue;
    }
    *colon = '\0';
    for (const json_taken *taken = self->command->taken; taken && taken->name; taken++) {
      if (strcmp(taken->field, line) == 0) {
        field = taken->name;
      }
    }
    json_add_wrong(wrongs, field, colon + 2);
  }
  if (wrongs->count == 0) {
    http_problem(&self->request, HTTP_INVALID, "%s", text);
  } else {
    http_wrong(&self->request, wrongs);
  }
}

static void on_outcome(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  exchange *self = user;
  http_request *request = &self->request;
  http_verdict verdict = {0};
  self->op = NULL;
  if (err) {
    if (err->code == CAFE_CONFLICT && http_header(request, "Idempotency-Key")) {
      http_problem(request, HTTP_IDEMPOTENCY_KEY_REUSED, "Another request was sent to %s under this Idempotency-Key",
                   request->path);
    } else if (err->code == CAFE_TIMEOUT && self->command->late) {
      self->command->late(request);
    } else {
      http_failure(request, err);
    }
    return;
  }
  request->id = outcome->key;
  if (outcome->replayed) {
    if (!recall(&verdict, outcome->reply)) {
      http_problem(request, HTTP_NOT_READY, "The answer kept under this Idempotency-Key can't be read");
      return;
    }
    http_add_header(request, "Idempotency-Replayed", "true");
  } else if (is_refused(outcome, "invalid")) {
    answer_invalid(self, outcome->text);
    return;
  } else if (is_refused(outcome, "not-found")) {
    http_problem(request, HTTP_NOT_FOUND, "%s", outcome->text);
    return;
  } else {
    judge(&verdict, self->command, outcome);
  }
  self->command->answer(request, outcome, &verdict);
  buffer_reset(&verdict.body);
}

void http_submit(http_request *request, const http_command *command, uint64_t key, const void *data, int64_t timeout_ms,
                 json_wrongs *wrongs) {
  exchange *self = (exchange *)request;
  char scope[256];
  cafe_submit submit = CAFE_SUBMIT_INIT;
  cafe_client_key client_key = {.key = {NULL, 0}};
  cafe_err err = {0};
  self->command = command;
  self->wrongs = wrongs;
  submit.command = command->type;
  submit.key = key;
  submit.data = data;
  submit.data_size = command->size;
  submit.timeout_ms = timeout_ms;
  submit.trace = request->trace;
  const char *name = http_header(request, "Idempotency-Key");
  if (name) {
    (void)snprintf(scope, sizeof scope, "%s %s", self->method, request->path);
    client_key.scope = cafe_text(scope);
    client_key.key = cafe_text(name);
    client_key.fingerprint = request->body;
    submit.client_key = &client_key;
    submit.reply = keep;
    submit.reply_user = self;
  }
  if (cafe_node_submit(NULL, request->node, &submit, on_outcome, self, &err) != CAFE_OK) {
    http_failure(request, &err);
  }
}
