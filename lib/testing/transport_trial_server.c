/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The server at an end: it answers requests as the ask says that it finds by its body, and pulls from a log in memory,
 * as a node does. The invariant: it answers each once, inside the call or later, and nothing that was forgotten or came
 * after its end was closed. What it answers with is overwritten at once, since the transport is to copy it.
 */
#include <inttypes.h>

#include "testing/transport_trial.h"

/* ---- the log ---- */

uint64_t trial_head(const trial_end *end, uint32_t shard) { return end->logs[shard].base + end->logs[shard].count; }

void trial_append_event(trial *t, uint32_t end, uint32_t shard, const cafe_stored_event *event) {
  trial_log *log = &t->ends[end]->logs[shard];
  if (log->count == log->room) {
    uint32_t room = log->room ? log->room * 2 : 64;
    cafe_stored_event *grown = check_alloc(&t->check, room * sizeof(*grown));
    if (log->count) {
      memcpy(grown, log->events, log->count * sizeof(*grown));
    }
    log->events = grown;
    log->room = room;
  }
  cafe_stored_event *added = &log->events[log->count++];
  *added = *event;
  added->shard = shard;
  added->n = log->base + log->count;
}

void trial_append(trial *t, uint32_t end, uint32_t shard, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    uint64_t n = trial_head(t->ends[end], shard) + 1;
    cafe_stored_event event = {.aggregate = "cup",
                               .type = n % 3 ? "Filled" : "Spilled",
                               .key = n % CAFE_KEY_MAX + 1,
                               .version = n,
                               .time_ms = (int64_t)n * 1000,
                               .trace = cafe_text("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
                               .data =
                                   check_text(&t->check, "end %" PRIu32 ", shard %" PRIu32 ", %" PRIu64, end, shard, n),
                               .meta = cafe_text(n % 2 ? "" : "m")};
    trial_append_event(t, end, shard, &event);
  }
}

/* ---- pulls ---- */

static void answer_pull_error(cafe_pull *pull, int code) {
  cafe_err err;
  (void)cafe_fail(&err, (cafe_code)code, "the server says %s", cafe_code_name(code));
  pull->answer(pull, &err, 0, NULL, 0, 0, 0);
}

static void copy_small(cafe_slice *slice, char to[TRIAL_SMALL]) {
  if (slice->size && slice->size <= TRIAL_SMALL) {
    memcpy(to, slice->data, slice->size);
    slice->data = to;
  }
}

static void answer_from_log(trial_end *self, cafe_pull *pull) {
  const trial_log *log = &self->logs[pull->shard];
  cafe_link wanted = {.types = pull->types, .partitions = pull->partitions};
  uint32_t limit = pull->limit && pull->limit < TRIAL_BATCH_MAX ? pull->limit : TRIAL_BATCH_MAX;
  limit = self->events_max && self->events_max < limit ? self->events_max : limit;
  uint32_t count = 0;
  uint64_t n = pull->after;
  while (n < trial_head(self, pull->shard) && count < limit) {
    const cafe_stored_event *event = &log->events[n - log->base];
    n++;
    if (trial_is_wanted(&wanted, event)) {
      self->batch[count] = *event;
      copy_small(&self->batch[count].data, self->small[count]);
      count++;
    }
  }
  pull->answer(pull, NULL, self->log_id, self->batch, count, n, trial_head(self, pull->shard));
  memset(self->batch, 0x55, count * sizeof(self->batch[0]));
  memset(self->small, 0x55, count * sizeof(self->small[0]));
}

/* As a node does it (engine/publish.c): a place in a log that this one continues is good up to where it does. */
static bool refuse_place(trial_end *self, cafe_pull *pull) {
  uint64_t seen = pull->seen > pull->after ? pull->seen : pull->after;
  uint64_t until = pull->shard < TRIAL_SHARDS ? trial_head(self, pull->shard) : 0;
  bool is_known = pull->shard < TRIAL_SHARDS && (pull->log_id == 0 || pull->log_id == self->log_id);
  if (!is_known && self->origin.log_id && pull->log_id == self->origin.log_id && pull->shard == self->origin.shard) {
    is_known = true;
    until = self->origin.n;
  }
  if (is_known && seen <= until) {
    return false;
  }
  answer_pull_error(pull, CAFE_INVALID);
  return true;
}

static void serve_pull(cafe_server *server, cafe_pull *pull) {
  trial_end *self = (trial_end *)server;
  trial_called(self->t, "pull");
  if (!self->is_open) {
    trial_note(self->t, "the server was told of a pull after its transport was closed");
    return;
  }
  if (pull->size < sizeof(*pull) || !pull->types || !pull->answer) {
    trial_note(self->t, "a pull lacks its size, its types, or its answer");
    return;
  }
  self->pulls++;
  self->last_seen = pull->seen;
  self->last_log_id = pull->log_id;
  self->last_after = pull->after;
  if (self->refusal && self->refusals) {
    self->refusals--;
    answer_pull_error(pull, self->refusal);
  } else if (!refuse_place(self, pull)) {
    if (pull->log_id && pull->log_id != self->log_id) {
      pull->answer(pull, NULL, self->log_id, NULL, 0, pull->after, trial_head(self, pull->shard));
    } else if (!self->is_holding_pulls && trial_head(self, pull->shard) > pull->after) {
      answer_from_log(self, pull);
    } else {
      pull->next = self->parked;
      self->parked = pull;
    }
  }
}

static void forget_pull(cafe_server *server, cafe_pull *pull) {
  trial_end *self = (trial_end *)server;
  trial_called(self->t, "forget_pull");
  cafe_pull **at = &self->parked;
  while (*at && *at != pull) {
    at = &(*at)->next;
  }
  if (!self->is_open || !*at) {
    trial_note(self->t, "forget_pull was called %s",
               self->is_open ? "for a pull that was answered" : "after its transport was closed");
    return;
  }
  *at = pull->next;
  self->forgotten_pulls++;
}

uint32_t trial_count_parked(const trial_end *end) {
  uint32_t count = 0;
  for (const cafe_pull *pull = end->parked; pull; pull = pull->next) {
    count++;
  }
  return count;
}

/* ---- requests ---- */

static void answer_echo(cafe_incoming *incoming) {
  char small[TRIAL_SMALL];
  cafe_slice body = incoming->body;
  copy_small(&body, small);
  incoming->answer(incoming, NULL, body);
  memset(small, 0x55, sizeof(small));
}

static void check_budget(trial_end *self, const cafe_incoming *incoming, const trial_ask *ask) {
  /* What is left is known when it is sent and told when it comes, and may be rounded to milliseconds. */
  int64_t under_way_us = trial_now_us(self->t) - ask->asked_us;
  int64_t differs_us = incoming->budget.deadline_us - ask->request.budget.deadline_us;
  if (differs_us > under_way_us || differs_us < -under_way_us - 1000) {
    trial_note(self->t, "the server's deadline is %" PRId64 " us after the caller's, %" PRId64 " us after it was asked",
               differs_us, under_way_us);
  }
  if (incoming->budget.retries != ask->request.budget.retries) {
    trial_note(self->t, "the server was given %" PRIu32 " retries instead of %" PRIu32, incoming->budget.retries,
               ask->request.budget.retries);
  }
}

static void hold(trial_end *self, cafe_incoming *incoming, trial_ask *ask) {
  for (uint32_t i = 0; i < TRIAL_HELD_MAX; i++) {
    if (!self->held[i].incoming) {
      int64_t due_us = ask->script == TRIAL_LATER ? trial_now_us(self->t) + ask->later_ms * 1000 : INT64_MAX;
      self->held[i] = (trial_held){incoming, ask, due_us};
      return;
    }
  }
  trial_note(self->t, "the server was handed more requests than the check sent");
}

static void serve(cafe_server *server, cafe_incoming *incoming) {
  trial_end *self = (trial_end *)server;
  trial_called(self->t, "serve");
  if (!self->is_open) {
    trial_note(self->t, "the server was asked after its transport was closed");
    return;
  }
  self->served++;
  if (incoming->size < sizeof(*incoming) || !incoming->answer || (incoming->peer.size && !incoming->peer.data)) {
    trial_note(self->t, "a request lacks its size, its peer, or its answer");
    return;
  }
  trial_ask *ask = trial_ask_of(self->t, incoming->body);
  if (ask) {
    ask->served++;
    if (!cafe_slice_equal(incoming->body, ask->request.body)) {
      trial_note(self->t, "the server was given another body than the caller's");
    }
    check_budget(self, incoming, ask);
  }
  if (ask && (ask->script == TRIAL_HOLD || ask->script == TRIAL_LATER)) {
    hold(self, incoming, ask);
  } else if (ask && ask->script == TRIAL_FAIL) {
    cafe_err failure = ask->failure;
    incoming->answer(incoming, &failure, (cafe_slice){NULL, 0});
    memset(&failure, 0x55, sizeof(failure));
  } else {
    answer_echo(incoming);
  }
}

static void forget_incoming(cafe_server *server, cafe_incoming *incoming) {
  trial_end *self = (trial_end *)server;
  trial_called(self->t, "forget_incoming");
  for (uint32_t i = 0; self->is_open && i < TRIAL_HELD_MAX; i++) {
    if (self->held[i].incoming == incoming) {
      self->held[i].incoming = NULL;
      self->forgotten_incoming++;
      return;
    }
  }
  trial_note(self->t, "forget_incoming was called %s",
             self->is_open ? "for a request that was answered" : "after its transport was closed");
}

bool trial_is_held(const trial_end *end, const trial_ask *ask) {
  for (uint32_t i = 0; i < TRIAL_HELD_MAX; i++) {
    if (end->held[i].incoming && end->held[i].ask == ask) {
      return true;
    }
  }
  return false;
}

uint32_t trial_count_held(const trial_end *end) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < TRIAL_HELD_MAX; i++) {
    count += end->held[i].incoming != NULL;
  }
  return count;
}

static void answer_held(trial_held *held) {
  cafe_incoming *incoming = held->incoming;
  held->incoming = NULL;
  answer_echo(incoming);
}

void trial_answer_held(trial_end *end, trial_ask *ask) {
  for (uint32_t i = 0; i < TRIAL_HELD_MAX; i++) {
    if (end->held[i].incoming && end->held[i].ask == ask) {
      answer_held(&end->held[i]);
    }
  }
}

void trial_serve_due(trial_end *end) {
  int64_t now_us = trial_now_us(end->t);
  /* The last one first: answers needn't come in the order of their requests. */
  for (uint32_t i = TRIAL_HELD_MAX; i-- > 0;) {
    if (end->held[i].incoming && end->held[i].due_us <= now_us) {
      answer_held(&end->held[i]);
    }
  }
  cafe_pull *pull = end->is_holding_pulls ? NULL : end->parked, *next, *kept = NULL;
  if (!pull) {
    return;
  }
  end->parked = NULL;
  for (; pull; pull = next) {
    next = pull->next;
    if (trial_head(end, pull->shard) > pull->after) {
      answer_from_log(end, pull);
    } else {
      pull->next = kept;
      kept = pull;
    }
  }
  end->parked = kept;
}

const cafe_server_ops trial_server_ops = {sizeof(trial_server_ops), serve, serve_pull, forget_incoming, forget_pull};
