/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deliveries over HTTP: their turns, their time, their answers.
 *
 * What it keeps: at most in_flight_max are on their way, begun in the order in which they came and no faster than the
 * rate; the others wait, at most waiting_max, without their time running. Each is answered once, from the loop, unless
 * it is stopped. Whatever happens ends in http_advance, the one place that answers and begins; and there is one timer,
 * for whatever is due next, so that at rest none runs. It is started where a delivery is taken: as long as there is
 * one, somebody comes back to it.
 *
 * A crash leaves nothing here: the notification is queued until its answer is committed, and is sent again then, under
 * its id.
 */
#include "channel/http.h"

#include <assert.h>

#include <utlist.h>

#include "base/str.h"

enum { TIMEOUT_MS = 5000, WAITING_MAX = 10000, OVERLOADED_MS = 1000 };

int http_no_memory(const http_channel *self, cafe_err *err) {
  return cafe_fail(err, CAFE_NOMEM, "channel %s: memory was refused", self->base.name);
}

static int64_t now_us(const http_channel *self) { return self->loop->ops->now_us(self->loop); }

/* ---- what is due ---- */

static int64_t due_us(const http_channel *self) {
  int64_t due = self->over ? INT64_MIN : wire_due_us(self);
  if (self->running && self->running->deadline_us < due) {
    due = self->running->deadline_us; /* the first to begin is the first to run out of time */
  }
  if (self->waiting && self->running_count < self->in_flight_max && bucket_due_us(&self->rate) < due) {
    due = bucket_due_us(&self->rate);
  }
  return due;
}

static int set_timer(http_channel *self, cafe_err *err) {
  int64_t due = due_us(self);
  if (due == INT64_MAX) {
    self->loop->ops->timer_stop(self->loop, &self->timer);
    return CAFE_OK;
  }
  return self->loop->ops->timer_start(self->loop, &self->timer, due, err);
}

/* ---- a delivery's places ---- */

static void leave(http_send *send) {
  http_channel *self = send->channel;
  self->waiting_count -= send->list == &self->waiting;
  self->running_count -= send->list == &self->running;
  DL_DELETE(*send->list, send);
  send->list = NULL;
}

static void enter(http_send *send, http_send **list) {
  http_channel *self = send->channel;
  self->waiting_count += list == &self->waiting;
  self->running_count += list == &self->running;
  DL_APPEND(*list, send);
  send->list = list;
}

static void send_destroy(http_send *send) {
  http_channel *self = send->channel;
  wire_end(send);
  leave(send);
  (void)self->allocator.resize(send, 0, self->allocator.user);
}

void http_finish(http_send *send, int code, const cafe_err *err) {
  wire_end(send);
  send->code = code;
  if (err && err != &send->err) {
    send->err = *err;
  }
  leave(send);
  enter(send, &send->channel->over);
}

static void begin(http_send *send) {
  http_channel *self = send->channel;
  int64_t now = now_us(self);
  bucket_take(&self->rate, now);
  leave(send);
  send->deadline_us = now + self->timeout_ms * 1000;
  enter(send, &self->running);
  cafe_delivery_begin(send->delivery);
  int code = wire_begin(send, &send->err);
  if (code != CAFE_OK) {
    http_finish(send, code, &send->err);
  }
}

static void end_late(http_channel *self) {
  int64_t now = now_us(self);
  while (self->running && self->running->deadline_us <= now) {
    http_send *send = self->running;
    int code = cafe_fail(&send->err, CAFE_TIMEOUT, "channel %s: %s: no answer within %lld ms", self->base.name,
                         self->origin, (long long)self->timeout_ms);
    http_finish(send, code, &send->err);
  }
}

/* Who is answered may send the next one, or stop others, right here. */
static void answer_all(http_channel *self) {
  while (self->over) {
    http_send *send = self->over;
    cafe_delivery *delivery = send->delivery;
    cafe_err err = send->err;
    int code = send->code;
    send_destroy(send);
    cafe_delivery_answer(delivery, code == CAFE_OK ? NULL : &err);
  }
}

void http_advance(http_channel *self) {
  cafe_err err;
  wire_collect(self);
  end_late(self);
  answer_all(self);
  while (self->waiting && self->running_count < self->in_flight_max && bucket_due_us(&self->rate) <= now_us(self)) {
    begin(self->waiting);
    answer_all(self);
  }
  int code = set_timer(self, &err);
  if (code != CAFE_OK) {
    /* Nobody would come back to them. */
    while (self->running || self->waiting) {
      http_finish(self->running ? self->running : self->waiting, code, &err);
    }
    answer_all(self);
  }
}

static void on_time(cafe_timer *timer) {
  http_channel *self = timer->user;
  if (wire_due_us(self) <= now_us(self)) {
    wire_turn(self);
  }
  http_advance(self);
}

/* ---- the channel ---- */

static int overloaded(const http_channel *self, cafe_err *err) {
  int code = cafe_fail(err, CAFE_OVERLOADED, "channel %s: %u messages wait already", self->base.name,
                       (unsigned)self->waiting_count);
  int64_t wait_ms = self->rate.interval_us * self->waiting_count / 1000;
  if (err) {
    err->retry_after_ms = (int32_t)(wait_ms < OVERLOADED_MS ? OVERLOADED_MS
                                    : wait_ms > INT32_MAX   ? INT32_MAX
                                                            : wait_ms);
  }
  return code;
}

/* It begins in a later turn, so that nothing of it can fail here but memory. */
static int channel_send(cafe_channel *base, cafe_delivery *delivery, cafe_err *err) {
  http_channel *self = (http_channel *)base;
  if (self->waiting_count >= self->waiting_max) {
    return overloaded(self, err);
  }
  http_send *send = self->allocator.resize(NULL, sizeof(*send), self->allocator.user);
  if (!send) {
    return http_no_memory(self, err);
  }
  memset(send, 0, sizeof(*send));
  send->channel = self;
  send->delivery = delivery;
  enter(send, &self->waiting);
  int code = set_timer(self, err);
  if (code != CAFE_OK) {
    send_destroy(send);
    return code;
  }
  delivery->channel_data[0] = send;
  cafe_delivery_hold(delivery);
  return CAFE_OK;
}

static void channel_stop(cafe_channel *base, cafe_delivery *delivery) {
  send_destroy(delivery->channel_data[0]);
  (void)set_timer((http_channel *)base, NULL); /* at worst it fires for nothing, as it was set */
}

static void channel_destroy(cafe_channel *base) {
  http_channel *self = (http_channel *)base;
  assert(!self->waiting && !self->running && !self->over && "a delivery outlives its channel");
  cafe_allocator allocator = self->allocator;
  wire_close(self);
  self->loop->ops->timer_stop(self->loop, &self->timer);
  if (self->token) {
    secret_wipe(self->token, strlen(self->token));
  }
  cafe_arena_destroy(self->kept);
  (void)allocator.resize(self, 0, allocator.user);
}

static const cafe_channel_ops http_ops = {
    .size = sizeof(cafe_channel_ops),
    .send = channel_send,
    .stop = channel_stop,
    .destroy = channel_destroy,
};

/* ---- making ---- */

bool http_keep(char **out, const http_channel *self, const char *text) {
  size_t size = text ? strlen(text) + 1 : 0;
  *out = text ? cafe_arena_alloc(self->kept, size) : NULL;
  if (*out) {
    memcpy(*out, text, size);
  }
  return *out || !text;
}

static int keep_texts(http_channel *self, const http_settings *settings, cafe_err *err) {
  char *name;
  bool has_memory = http_keep(&name, self, settings->name) && http_keep(&self->token, self, settings->token) &&
                    http_keep(&self->token_file, self, settings->token_file) &&
                    http_keep(&self->ca_file, self, settings->ca_file) &&
                    http_keep(&self->proxy, self, settings->proxy);
  if (!has_memory) {
    return http_no_memory(self, err);
  }
  self->base.name = name;
  return CAFE_OK;
}

static int check_settings(http_channel *self, const http_settings *settings, cafe_err *err) {
  const cafe_loop_ops *loop = self->loop->ops;
  if (!loop->watch_start || !loop->watch_stop) {
    return cafe_fail(err, CAFE_UNSUPPORTED, "channel %s: its loop must watch descriptors, as the one on libuv does",
                     self->base.name);
  }
  if (settings->timeout_ms < 0 || settings->timeout_ms > INT32_MAX) {
    return cafe_fail(err, CAFE_INVALID, "channel %s: timeout_ms must be from 0 to %d", self->base.name, INT32_MAX);
  }
  if (self->token && self->token_file) {
    return cafe_fail(err, CAFE_INVALID, "channel %s: there is a token and a token_file: give one", self->base.name);
  }
  int code = check_url(self, settings, err);
  if (code == CAFE_OK) {
    code = check_proxy(self, err);
  }
  if (code == CAFE_OK && self->ca_file) {
    code = check_file(self, "ca_file", self->ca_file, err);
  }
  if (code == CAFE_OK) {
    char token[HTTP_TOKEN_MAX + 1];
    code = secret_read(token, self, err);
    secret_wipe(token, sizeof(token));
  }
  if (code != CAFE_UNAVAILABLE) {
    return code;
  }
  if (err) {
    err->code = CAFE_INVALID; /* later it may be put there, at the start it is a mistake */
  }
  return CAFE_INVALID;
}

int http_create(http_channel **out, size_t size, cafe_loop *loop, const http_kind *kind, const http_settings *settings,
                const cafe_allocator *allocator, cafe_err *err) {
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  http_channel *self = allocator->resize(NULL, size, allocator->user);
  if (!self) {
    return cafe_fail(err, CAFE_NOMEM, "channel %s: memory was refused", settings->name);
  }
  memset(self, 0, size);
  self->base.ops = &http_ops;
  self->base.name = settings->name;
  self->allocator = *allocator;
  self->loop = loop;
  self->kind = kind;
  self->timer.fire = on_time;
  self->timer.user = self;
  self->timeout_ms = settings->timeout_ms ? settings->timeout_ms : TIMEOUT_MS;
  self->in_flight_max = settings->in_flight_max;
  self->waiting_max = settings->waiting_max ? settings->waiting_max : WAITING_MAX;
  self->rate = bucket_full(settings->rate_per_s, settings->burst, now_us(self));
  self->kept = cafe_arena_create(&self->allocator);
  int code = self->kept ? keep_texts(self, settings, err) : http_no_memory(self, err);
  if (code == CAFE_OK) {
    code = wire_open(self, err);
  }
  if (code == CAFE_OK) {
    code = check_settings(self, settings, err);
  }
  if (code != CAFE_OK) {
    channel_destroy(&self->base);
    return code;
  }
  *out = self;
  return CAFE_OK;
}

/* ---- answers ---- */

static cafe_code code_of(long status) {
  switch (status) {
  case 401:
  case 403:
  case 407:
    return CAFE_DENIED;
  case 404:
  case 410:
    return CAFE_NOT_FOUND;
  case 408:
  case 425:
  case 429:
    return CAFE_UNAVAILABLE;
  default:
    return status >= 500 ? CAFE_UNAVAILABLE : CAFE_INVALID;
  }
}

int http_judge(const http_channel *self, const http_answer *answer, cafe_err *err) {
  if (answer->status >= 200 && answer->status < 300) {
    return CAFE_OK;
  }
  cafe_code code = code_of(answer->status);
  (void)cafe_fail_detail(err, code, (int32_t)answer->status, "channel %s: %s answered %ld%s%s", self->base.name,
                         self->origin, answer->status, answer->text[0] ? ": " : "", answer->text);
  if (err && cafe_code_is_retryable((int)code)) {
    err->retry_after_ms = answer->retry_after_ms;
  }
  return (int)code;
}
