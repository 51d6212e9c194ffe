/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The clients. What is kept here: who has to get his answer asks again, under the same key, as a client over a wire
 * does, and is answered once; and a node that is closed, or drained, has answered everybody who asked it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "schema/collect.h"
#include "testing/crash_core.h"

enum { TRIES_MAX = 1000, STEPS_MAX = 500000, AGAIN_US = 50000 };

static void try_again(crash_call *call) {
  cafe_crash *run = call->run;
  call->op = NULL;
  call->process = NULL;
  if (call->is_once) {
    call->is_over = true;
    return;
  }
  if (call->answer.tries > TRIES_MAX) {
    cafe_crash_wrong(run, "%s to key %" PRIu64 " was asked %u times, and is never answered", call->submit.command->name,
                     call->submit.key, call->answer.tries);
  }
  int64_t due_us = cafe_sim_now_us(run->world) + AGAIN_US;
  if (run->world->ops->timer_start(run->world, &call->again, due_us, NULL)) {
    cafe_crash_wrong(run, "no memory to ask again");
  }
}

/* Whether the same may be answered later. */
static bool is_passing(int code) { return cafe_code_is_retryable(code) || code == CAFE_CANCELED; }

static void failed(crash_call *call, const cafe_err *err) {
  call->answer.code = err->code;
  if (!call->is_once && !is_passing(err->code)) {
    cafe_crash_wrong(call->run, "%s to key %" PRIu64 " failed: %s", call->submit.command->name, call->submit.key,
                     err->text);
  }
  try_again(call);
}

/* What is kept under a client's key, so that a repeat is told what the first was. */
typedef struct kept_answer {
  uint64_t key;
  uint64_t version;
  cafe_verdict verdict;
  char reason[48];
} kept_answer;

static int keep(cafe_slice *out, const cafe_outcome *outcome, cafe_arena *arena, void *user) {
  kept_answer kept;
  (void)user;
  memset(&kept, 0, sizeof(kept)); /* its padding too */
  kept.key = outcome->key;
  kept.version = outcome->version;
  kept.verdict = outcome->verdict;
  snprintf(kept.reason, sizeof(kept.reason), "%s", outcome->reason ? outcome->reason : "");
  return cafe_arena_copy(out, arena, (cafe_slice){(const char *)&kept, sizeof(kept)});
}

static void take_kept(cafe_crash_answer *answer, cafe_slice bytes) {
  kept_answer kept;
  memcpy(&kept, bytes.data, sizeof(kept));
  answer->verdict = kept.verdict;
  answer->key = kept.key;
  answer->version = kept.version;
  answer->event = NULL;
  memcpy(answer->reason, kept.reason, sizeof(answer->reason));
}

static void take(cafe_crash_answer *answer, const cafe_outcome *outcome) {
  answer->verdict = outcome->verdict;
  answer->key = outcome->key;
  answer->version = outcome->version;
  answer->event = outcome->event ? outcome->event->type : NULL;
  snprintf(answer->reason, sizeof(answer->reason), "%s", outcome->reason ? outcome->reason : "");
}

static void done(const cafe_err *err, const cafe_outcome *outcome, void *user) {
  crash_call *call = user;
  if (!call->op) {
    cafe_crash_wrong(call->run, "%s to key %" PRIu64 " was answered twice", call->submit.command->name,
                     call->submit.key);
  }
  if (err) {
    failed(call, err);
    return;
  }
  call->answer.code = CAFE_OK;
  if (outcome->replayed && outcome->reply.size == sizeof(kept_answer)) {
    take_kept(&call->answer, outcome->reply);
  } else {
    take(&call->answer, outcome);
  }
  call->op = NULL;
  call->process = NULL;
  call->is_over = true;
}

/* To the first node that takes such a command. */
static void submit(crash_call *call) {
  cafe_crash *run = call->run;
  cafe_err err, last = {0};
  bool is_any_down = false;
  call->answer.tries++;
  cafe_fail(&last, CAFE_UNAVAILABLE, "no node is up");
  for (uint32_t i = 0; i < run->count; i++) {
    crash_process *process = &run->processes[i];
    is_any_down = is_any_down || !process->node;
    if (!process->node) {
      continue;
    }
    int code = cafe_node_submit(&call->op, process->node, &call->submit, done, call, &err);
    if (!code) {
      call->process = process;
      return;
    }
    last = err;
    if (code != CAFE_INVALID) {
      break;
    }
  }
  if (last.code == CAFE_INVALID && is_any_down) {
    cafe_fail(&last, CAFE_UNAVAILABLE, "the node that would take it is down");
  }
  failed(call, &last);
}

static void is_due(cafe_timer *timer) { submit(timer->user); }

/* ---- asking ---- */

static int copy_key(crash_call *call, const char *client_key) {
  cafe_client_key *key = &call->client_key;
  if (!client_key) {
    return CAFE_OK;
  }
  key->scope = cafe_text("crash");
  call->submit.client_key = key;
  call->submit.reply = keep;
  int code = cafe_arena_copy(&key->key, call->run->arena, cafe_text(client_key));
  key->fingerprint = key->key;
  return code;
}

static crash_call *call_create(cafe_crash *run, bool is_once, const char *client_key, uint64_t key,
                               const cafe_schema *command, const void *data, size_t size) {
  cafe_err err;
  if (run->is_wrong) {
    return NULL;
  }
  if (key == 0 && !client_key && !is_once) {
    cafe_crash_wrong(run, "%s asks for a new key without a client key: each try would be another one", command->name);
    return NULL;
  }
  if (schema_take(&data, command, data, size, run->arena, &err)) {
    cafe_crash_wrong(run, "%s", err.text);
    return NULL;
  }
  crash_call *call = cafe_arena_alloc(run->arena, sizeof(*call));
  void *copy = cafe_arena_alloc(run->arena, command->width);
  if (!call || !copy || cafe_schema_copy(copy, data, command, run->arena)) {
    cafe_crash_wrong(run, "no memory to ask for %s", command->name);
    return NULL;
  }
  cafe_submit init = CAFE_SUBMIT_INIT;
  call->run = run;
  call->is_once = is_once;
  call->submit = init;
  call->submit.command = command;
  call->submit.key = key;
  call->submit.data = copy;
  call->submit.data_size = command->width;
  call->answer.size = sizeof(call->answer);
  call->answer.key = key;
  call->again.fire = is_due;
  call->again.user = call;
  if (copy_key(call, client_key)) {
    cafe_crash_wrong(run, "no memory to ask for %s", command->name);
    return NULL;
  }
  call->next = run->calls;
  run->calls = call;
  return call;
}

/* Begins to ask. NULL: the run has failed. */
static crash_call *ask(cafe_crash *run, bool is_once, const char *client_key, uint64_t key, const cafe_schema *command,
                       const void *data, size_t size) {
  crash_call *call = call_create(run, is_once, client_key, key, command, data, size);
  if (call) {
    submit(call);
  }
  return run->is_wrong ? NULL : call;
}

static const cafe_crash_answer *wait_for(crash_call *call) {
  if (!call) {
    return NULL;
  }
  cafe_crash *run = call->run;
  for (uint64_t steps = 0; !call->is_over && !run->is_wrong; steps++) {
    crash_start_all(run);
    if ((!crash_step(run) && !call->is_over) || steps > STEPS_MAX) {
      cafe_crash_wrong(run, "%s to key %" PRIu64 " is never answered", call->submit.command->name, call->submit.key);
    }
  }
  return run->is_wrong ? NULL : &call->answer;
}

const cafe_crash_answer *cafe_crash_send(cafe_crash *run, const char *client_key, uint64_t key,
                                         const cafe_schema *command, const void *data, size_t data_size) {
  crash_call *call = ask(run, false, client_key, key, command, data, data_size);
  return call ? &call->answer : NULL;
}

const cafe_crash_answer *cafe_crash_ask(cafe_crash *run, const char *client_key, uint64_t key,
                                        const cafe_schema *command, const void *data, size_t data_size) {
  return wait_for(ask(run, false, client_key, key, command, data, data_size));
}

const cafe_crash_answer *cafe_crash_try(cafe_crash *run, const char *client_key, uint64_t key,
                                        const cafe_schema *command, const void *data, size_t data_size) {
  return wait_for(ask(run, true, client_key, key, command, data, data_size));
}

/* ---- what becomes of those who wait ---- */

void client_lost(crash_process *process) {
  for (crash_call *call = process->run->calls; call; call = call->next) {
    if (call->process == process) {
      call->answer.code = CAFE_TIMEOUT;
      try_again(call);
    }
  }
}

bool client_is_waiting(const cafe_crash *run) {
  const crash_call *call = run->calls;
  while (call && call->is_over) {
    call = call->next;
  }
  return call != NULL;
}

void client_check_answered(crash_process *process) {
  for (const crash_call *call = process->run->calls; call; call = call->next) {
    if (call->process == process) {
      cafe_crash_wrong(process->run, "%s to key %" PRIu64 " wasn't answered, and node %u has ended",
                       call->submit.command->name, call->submit.key, process->index);
    }
  }
}

void client_give_up(cafe_crash *run) {
  for (crash_call *call = run->calls; call; call = call->next) {
    if (call->op) {
      cafe_op_cancel(call->op);
    }
  }
}

void client_end(cafe_crash *run) {
  for (crash_call *call = run->calls; call; call = call->next) {
    run->world->ops->timer_stop(run->world, &call->again);
  }
}
