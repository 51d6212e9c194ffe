/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notifications as deliveries of a channel, and its answers as commands.
 *
 * What it keeps: a notification ends as sent only when its channel said so, and as failed only when the channel said
 * that it never will be, or the last attempt failed. Everything in between is tried again, under the notification's id.
 * So is one for a channel that this process doesn't have: whoever left it out of the configuration may bring it back.
 */
#include "channel/channel.h"

#include <assert.h>

#include <utlist.h>

#include "base/str.h"
#include "cafe/notification.h"

typedef struct bridge bridge;

typedef struct attempt {
  channel_delivery base;
  bridge *bridge;
  cafe_channel *channel;
  cafe_task *task;
  struct attempt *prev, *next;
} attempt;

struct bridge {
  cafe_allocator allocator;
  cafe_channel *channels[CAFE_CHANNELS_MAX];
  uint32_t count;
  attempt *attempts;
};

void cafe_channel_destroy(cafe_channel *channel) {
  if (channel) {
    channel->ops->destroy(channel);
  }
}

void cafe_delivery_answer(cafe_delivery *delivery, const cafe_err *err) {
  channel_delivery *self = (channel_delivery *)delivery;
  self->answered(self, err);
}

static void hold(cafe_delivery *delivery, bool is_held) {
  channel_delivery *self = (channel_delivery *)delivery;
  if (self->held) {
    self->held(self, is_held);
  }
}

void cafe_delivery_hold(cafe_delivery *delivery) { hold(delivery, true); }

void cafe_delivery_begin(cafe_delivery *delivery) { hold(delivery, false); }

static void attempt_destroy(attempt *self) {
  bridge *b = self->bridge;
  DL_DELETE(b->attempts, self);
  (void)b->allocator.resize(self, 0, b->allocator.user);
}

static void answered(channel_delivery *base, const cafe_err *err) {
  attempt *self = (attempt *)base;
  cafe_task *task = self->task;
  const cafe_delivery_task *wanted = task->data;
  attempt_destroy(self);
  if (err && cafe_code_is_retryable(err->code)) {
    cafe_task_fail(task, err);
    return;
  }
  cafe_record_delivery said = {
      .number = wanted->number,
      .status = err ? CAFE_NOTIFICATION_FAILED : CAFE_NOTIFICATION_SENT,
      .attempts = task->attempt,
      .text = cafe_text(err ? err->text : NULL),
  };
  cafe_task_settle(task, &cafe_record_delivery_type, &said, sizeof(said));
}

static void held(channel_delivery *base, bool is_held) {
  cafe_task *task = ((attempt *)base)->task;
  if (is_held) {
    cafe_task_hold(task);
  } else {
    cafe_task_begin(task);
  }
}

static cafe_channel *find_channel(const bridge *b, cafe_slice name) {
  for (uint32_t i = 0; i < b->count; i++) {
    if (cafe_slice_equal(cafe_text(b->channels[i]->name), name)) {
      return b->channels[i];
    }
  }
  return NULL;
}

static int start(cafe_task *task, cafe_err *err, void *user) {
  bridge *b = user;
  const cafe_delivery_task *wanted = task->data;
  cafe_channel *channel = find_channel(b, wanted->channel);
  if (!channel) {
    return cafe_fail(err, CAFE_UNAVAILABLE, "there is no channel %.*s here", (int)wanted->channel.size,
                     wanted->channel.data ? wanted->channel.data : "");
  }
  attempt *self = b->allocator.resize(NULL, sizeof(*self), b->allocator.user);
  if (!self) {
    return cafe_fail(err, CAFE_NOMEM, "channel %s: memory was refused", channel->name);
  }
  memset(self, 0, sizeof(*self));
  self->base.answered = answered;
  self->base.held = held;
  self->bridge = b;
  self->channel = channel;
  self->task = task;
  cafe_delivery *delivery = &self->base.delivery;
  char *id = delivery->notification_id;
  size_t size = str_number(id, sizeof(delivery->notification_id), "", task->key, "-");
  (void)str_number(id + size, sizeof(delivery->notification_id) - size, "", (uint64_t)wanted->number, "");
  delivery->order_id = task->key;
  delivery->attempt = task->attempt;
  delivery->customer_id = wanted->customer_id;
  delivery->event = wanted->event;
  delivery->message = wanted->message;
  DL_APPEND(b->attempts, self);
  int code = channel->ops->send(channel, delivery, err);
  if (code != CAFE_OK) {
    attempt_destroy(self);
  }
  return code;
}

static void stop(cafe_task *task, void *user) {
  bridge *b = user;
  attempt *self;
  DL_FOREACH(b->attempts, self) {
    if (self->task == task) {
      self->channel->ops->stop(self->channel, &self->base.delivery);
      attempt_destroy(self);
      return;
    }
  }
}

static void give_up(struct cafe_reaction *out, const cafe_task *task, const cafe_err *reason, void *user) {
  const cafe_delivery_task *wanted = task->data;
  cafe_record_delivery said = {
      .number = wanted->number,
      .status = CAFE_NOTIFICATION_FAILED,
      .attempts = task->attempt,
      .text = cafe_text(reason->text),
  };
  (void)user;
  cafe_react(out, &cafe_record_delivery_type, task->key, &said, sizeof(said));
}

int channel_worker_create(cafe_worker *out, cafe_channel *const *channels, uint32_t count, cafe_retry retry,
                          const cafe_allocator *allocator, cafe_err *err) {
  assert(count <= CAFE_CHANNELS_MAX);
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  bridge *b = allocator->resize(NULL, sizeof(*b), allocator->user);
  if (!b) {
    return cafe_fail(err, CAFE_NOMEM, "channels: memory was refused");
  }
  memset(b, 0, sizeof(*b));
  b->allocator = *allocator;
  b->count = count;
  for (uint32_t i = 0; i < count; i++) {
    b->channels[i] = channels[i];
  }
  *out = (cafe_worker){
      .size = CAFE_WORKER,
      .task = &cafe_delivery_task_type,
      .retry = retry,
      .start = start,
      .stop = stop,
      .give_up = give_up,
      .user = b,
  };
  return CAFE_OK;
}

void channel_worker_destroy(cafe_worker *worker) {
  bridge *b = worker->user;
  if (b) {
    assert(!b->attempts && "a delivery outlives its worker");
    worker->user = NULL;
    (void)b->allocator.resize(b, 0, b->allocator.user);
  }
}
