/* SPDX-License-Identifier: Apache-2.0 */
#include "http_letters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { PATIENCE_S = 20 };

static void turn(void *user) { still_loop_turn(((post_office *)user)->still); }

post_office *post_office_open(void) {
  post_office *self = calloc(1, sizeof(*self));
  assert_non_null(self);
  self->still = still_loop_create();
  self->loop = still_loop_base(self->still);
  failing_alloc_init(&self->memory);
  http_peer_open(&self->peer, turn, self);
  return self;
}

void post_office_close(post_office *self) {
  cafe_channel_destroy(self->channel);
  failing_alloc_end(&self->memory);
  assert_int_equal(still_loop_active(self->still), 0);
  http_peer_close(&self->peer);
  still_loop_destroy(self->still);
  free(self);
}

static void on_answer(channel_delivery *base, const cafe_err *err) {
  letter *self = (letter *)base;
  self->answers++;
  self->code = err ? err->code : CAFE_OK;
  if (err) {
    self->err = *err;
  }
  if (self->then) {
    self->then(self);
  }
}

static void on_hold(channel_delivery *base, bool is_held) {
  letter *self = (letter *)base;
  self->holds += is_held;
  self->begins += !is_held;
}

void letter_init(letter *self, const char *id, const char *message) {
  memset(self, 0, sizeof(*self));
  self->base.answered = on_answer;
  self->base.held = on_hold;
  cafe_delivery *d = &self->base.delivery;
  (void)snprintf(d->notification_id, sizeof(d->notification_id), "%s", id);
  d->order_id = strtoull(id, NULL, 10);
  d->attempt = 1;
  d->customer_id = cafe_text("customer-7");
  d->event = cafe_text("OrderAccepted");
  d->message = cafe_text(message);
}

void letter_send(letter *self, post_office *office) {
  cafe_err err = {0};
  int code = office->channel->ops->send(office->channel, &self->base.delivery, &err);
  if (code != CAFE_OK) {
    fail_msg("%s", err.text);
  }
  assert_int_equal(self->answers, 0);
}

int letter_wait(letter *self, post_office *office) {
  struct timespec now;
  assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
  time_t until = now.tv_sec + PATIENCE_S;
  while (!self->answers) {
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    if (now.tv_sec > until) {
      fail_msg("%s isn't answered", self->base.delivery.notification_id);
    }
    still_loop_turn(office->still);
  }
  assert_int_equal(self->answers, 1);
  return self->code;
}
