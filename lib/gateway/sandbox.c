/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway that moves no money, but keeps books like one that does.
 *
 * What it keeps: an idempotency key has one effect and one result for ever, however often, however late and in whatever
 * mode it is asked again. The effect is entered when the call comes, before its delay: so a caller that gives up, hangs
 * or crashes while it waits is in the position that is hardest for it, the money moved and the answer lost. What is
 * refused is not entered, and only then is it true that it was surely not done. So a key that is entered is looked up
 * before capacity and mode can refuse.
 *
 * It doesn't check that a capture follows an authorization, or that each happens once: its books are there to show it.
 */
#include "cafe/gateway/sandbox.h"

#include <assert.h>

#include <utlist.h>

#include "base/sized.h"
#include "base/str.h"
#include "cafe/sys/gateway.h"
#include "cafe/sys/loop.h"
#include "gateway/ledger.h"

enum { DELAY_MAX_MS = 3600 * 1000 };

typedef struct sandbox sandbox;

/* A call until it is answered. */
typedef struct pending {
  sandbox *sandbox;
  cafe_gateway_call *call;
  cafe_timer timer;
  cafe_gateway_result result;
  uint64_t entry; /* the ledger's number, 0: not entered */
  const char *text;
  bool is_over_capacity; /* so it isn't in in_flight */
  bool is_due;           /* its delay is over: waits for the file */
  struct pending *prev, *next;
} pending;

struct sandbox {
  cafe_gateway base;
  cafe_allocator allocator;
  cafe_loop *loop;
  ledger *books;
  cafe_sandbox_settings settings;
  cafe_sandbox_mode before_hang;
  cafe_sandbox_figures figures;
  pending *running;
};

static void pending_destroy(pending *p) {
  sandbox *self = p->sandbox;
  self->loop->ops->timer_stop(self->loop, &p->timer);
  DL_DELETE(self->running, p);
  self->figures.in_flight -= !p->is_over_capacity;
  (void)self->allocator.resize(p, 0, self->allocator.user);
}

static void finish(pending *p, cafe_gateway_result result, const char *text) {
  cafe_gateway_call *call = p->call;
  char reference[32] = "";
  if (p->entry && result == CAFE_GATEWAY_DONE) {
    (void)str_number(reference, sizeof(reference), "sandbox-", p->entry, "");
  }
  pending_destroy(p);
  cafe_gateway_answer(call, result, cafe_text(reference), text);
}

/* An answer may start and stop any call, so the list is looked through anew after each. Those that wait are at its
 * head, but for those whose delay is longer. */
static pending *find_due(const sandbox *self, uint64_t up_to) {
  pending *p;
  DL_FOREACH(self->running, p) {
    if (p->is_due && p->entry <= up_to) {
      break;
    }
  }
  return p;
}

static void books_written(const cafe_err *err, void *user) {
  sandbox *self = user;
  /* A call that is started meanwhile isn't due, so this ends. */
  for (pending *p = find_due(self, ledger_durable(self->books)); p; p = find_due(self, ledger_durable(self->books))) {
    finish(p, p->result, p->text);
  }
  cafe_err own;
  if (!err && ledger_write(self->books, &own) != CAFE_OK) {
    err = &own;
  }
  if (err) {
    for (pending *p = find_due(self, UINT64_MAX); p; p = find_due(self, UINT64_MAX)) {
      finish(p, CAFE_GATEWAY_UNKNOWN, err->text);
    }
  }
}

static void delay_over(cafe_timer *timer) {
  pending *p = timer->user;
  sandbox *self = p->sandbox;
  if (p->entry <= ledger_durable(self->books)) {
    finish(p, p->result, p->text);
    return;
  }
  cafe_err err;
  p->is_due = true;
  if (ledger_write(self->books, &err) != CAFE_OK) {
    finish(p, CAFE_GATEWAY_UNKNOWN, err.text);
  }
}

/* ---- what becomes of a call ---- */

static cafe_sandbox_mode effective_mode(const sandbox *self) {
  return self->settings.mode == CAFE_SANDBOX_HANG ? self->before_hang : self->settings.mode;
}

static int enter(pending *p, cafe_gateway_result result, cafe_err *err) {
  const cafe_gateway_call *call = p->call;
  ledger_entry entry = {.operation = call->operation,
                        .result = result,
                        .payment_id = call->payment_id,
                        .amount_minor = call->amount_minor};
  const ledger_entry *entered;
  memcpy(entry.key, call->idempotency_key, sizeof(entry.key));
  if (call->currency.size) {
    memcpy(entry.currency, call->currency.data, call->currency.size);
  }
  int code = ledger_add(&entered, p->sandbox->books, &entry, err);
  if (code == CAFE_OK) {
    p->result = result;
    p->entry = entered->number;
  }
  return code;
}

static void refuse(pending *p, const char *text) {
  p->result = CAFE_GATEWAY_REFUSED;
  p->text = text;
}

static int decide(pending *p, cafe_err *err) {
  sandbox *self = p->sandbox;
  const cafe_gateway_call *call = p->call;
  const ledger_entry *known = ledger_find(self->books, call->idempotency_key);
  bool is_authorization = call->operation == CAFE_PAYMENT_AUTHORIZE;
  if (known) {
    p->result = known->result;
    p->entry = known->number;
    p->text = known->result == CAFE_GATEWAY_DECLINED ? "declined" : NULL;
    return CAFE_OK;
  }
  if (is_authorization && call->may_have_run && call->token.size == 0) {
    refuse(p, "no call with this key has come");
    return CAFE_OK;
  }
  if (self->settings.capacity && self->figures.in_flight > self->settings.capacity) {
    p->is_over_capacity = true;
    self->figures.in_flight--;
    refuse(p, "over capacity");
    return CAFE_OK;
  }
  cafe_sandbox_mode mode = effective_mode(self);
  if (mode == CAFE_SANDBOX_ERROR) {
    refuse(p, "an error");
    return CAFE_OK;
  }
  if (is_authorization && (mode == CAFE_SANDBOX_DECLINE || cafe_slice_equal(call->token, cafe_text("decline")))) {
    p->text = "declined";
    return enter(p, CAFE_GATEWAY_DECLINED, err);
  }
  return enter(p, CAFE_GATEWAY_DONE, err);
}

static bool is_word(cafe_slice text, size_t max) {
  for (size_t i = 0; i < text.size; i++) {
    if (text.data[i] <= ' ' || text.data[i] > '~') {
      return false;
    }
  }
  return text.size <= max;
}

static int check(const cafe_gateway_call *call, cafe_err *err) {
  if (!is_word(cafe_text(call->idempotency_key), sizeof(call->idempotency_key) - 1) || !call->idempotency_key[0]) {
    return cafe_fail(err, CAFE_INVALID, "sandbox: an idempotency key must be a word");
  }
  if (!is_word(call->currency, 7) || cafe_slice_equal(call->currency, cafe_text("-"))) {
    return cafe_fail(err, CAFE_INVALID, "sandbox: a currency must be its ISO 4217 code");
  }
  if (call->amount_minor < 0) {
    return cafe_fail(err, CAFE_INVALID, "sandbox: an amount must not be negative");
  }
  return CAFE_OK;
}

static int64_t draw_delay_us(const sandbox *self) {
  int64_t jitter_us = self->settings.jitter_ms * 1000;
  int64_t extra_us = jitter_us ? (int64_t)(self->loop->ops->random(self->loop) % (uint64_t)(jitter_us + 1)) : 0;
  return self->settings.delay_ms * 1000 + extra_us;
}

static int start_delay(pending *p, cafe_err *err) {
  cafe_loop *loop = p->sandbox->loop;
  int64_t delay_us = p->is_over_capacity ? 0 : draw_delay_us(p->sandbox);
  return loop->ops->timer_start(loop, &p->timer, loop->ops->now_us(loop) + delay_us, err);
}

static int sandbox_start(cafe_gateway *base, cafe_gateway_call *call, cafe_err *err) {
  sandbox *self = (sandbox *)base;
  self->figures.calls++;
  int code = check(call, err);
  if (code != CAFE_OK) {
    return code;
  }
  pending *p = self->allocator.resize(NULL, sizeof(*p), self->allocator.user);
  if (!p) {
    return cafe_fail(err, CAFE_NOMEM, "sandbox: memory was refused");
  }
  memset(p, 0, sizeof(*p));
  p->sandbox = self;
  p->call = call;
  p->timer.fire = delay_over;
  p->timer.user = p;
  call->gateway_data[0] = p;
  DL_APPEND(self->running, p);
  self->figures.in_flight++;
  code = decide(p, err);
  if (code != CAFE_OK) {
    goto fail;
  }
  if (self->figures.in_flight > self->figures.max_in_flight) {
    self->figures.max_in_flight = self->figures.in_flight;
  }
  if (p->entry > ledger_durable(self->books)) {
    (void)ledger_write(self->books, NULL); /* fails: again when its delay is over */
  }
  if (self->settings.mode == CAFE_SANDBOX_HANG && !p->is_over_capacity) {
    return CAFE_OK;
  }
  code = start_delay(p, err);
  if (code != CAFE_OK) {
    goto fail; /* the caller takes it as unknown, and it may be done: so it is */
  }
  return CAFE_OK;

fail:
  pending_destroy(p);
  return code;
}

static void sandbox_stop(cafe_gateway *base, cafe_gateway_call *call) {
  (void)base;
  pending_destroy(call->gateway_data[0]);
}

static void sandbox_destroy(cafe_gateway *base) {
  sandbox *self = (sandbox *)base;
  assert(!self->running && "a call outlives its gateway");
  ledger_close(self->books);
  (void)self->allocator.resize(self, 0, self->allocator.user);
}

static const cafe_gateway_ops sandbox_ops = {
    .size = sizeof(cafe_gateway_ops),
    .name = "sandbox",
    .start = sandbox_start,
    .stop = sandbox_stop,
    .destroy = sandbox_destroy,
};

int cafe_sandbox_create(cafe_gateway **out, cafe_loop *loop, const char *ledger_path, const cafe_allocator *allocator,
                        cafe_err *err) {
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  sandbox *self = allocator->resize(NULL, sizeof(*self), allocator->user);
  if (!self) {
    return cafe_fail(err, CAFE_NOMEM, "sandbox: memory was refused");
  }
  memset(self, 0, sizeof(*self));
  self->base.ops = &sandbox_ops;
  self->allocator = *allocator;
  self->loop = loop;
  self->settings.size = sizeof(self->settings);
  self->figures.size = sizeof(self->figures);
  int code = ledger_open(&self->books, loop, ledger_path, books_written, self, allocator, err);
  if (code != CAFE_OK) {
    (void)allocator->resize(self, 0, allocator->user);
    return code;
  }
  *out = &self->base;
  return CAFE_OK;
}

/* ---- drills ---- */

static sandbox *sandbox_of(cafe_gateway *gateway) {
  assert(gateway->ops == &sandbox_ops && "this gateway is no sandbox");
  return (sandbox *)gateway;
}

static const sandbox *sandbox_seen(const cafe_gateway *gateway) {
  assert(gateway->ops == &sandbox_ops && "this gateway is no sandbox");
  return (const sandbox *)gateway;
}

/* Fills as much of a struct as its user's version of it has. */
static void fill(void *out, const void *from, size_t size) {
  size_t known;
  memcpy(&known, out, sizeof(known));
  assert(known >= sizeof(known) && size >= sizeof(known) && "a struct's size isn't set");
  memcpy((char *)out + sizeof(known), (const char *)from + sizeof(known),
         (known < size ? known : size) - sizeof(known));
}

int cafe_sandbox_open(cafe_gateway *gateway, const char *ledger_path, cafe_err *err) {
  sandbox *self = sandbox_of(gateway);
  ledger *books;
  if (self->figures.calls || ledger_is_file(self->books)) {
    return cafe_fail(err, CAFE_INVALID, "sandbox: a ledger is opened once, before the first call");
  }
  int code = ledger_open(&books, self->loop, ledger_path, books_written, self, &self->allocator, err);
  if (code == CAFE_OK) {
    ledger_close(self->books);
    self->books = books;
  }
  return code;
}

void cafe_sandbox_get(const cafe_gateway *gateway, cafe_sandbox_settings *settings, cafe_sandbox_figures *figures) {
  const sandbox *self = sandbox_seen(gateway);
  if (settings) {
    fill(settings, &self->settings, sizeof(*settings));
  }
  if (figures) {
    const cafe_sandbox_entry *total = ledger_total(self->books);
    cafe_sandbox_figures now = self->figures;
    now.approved_minor = total->approved_minor;
    now.captured_minor = total->captured_minor;
    now.voided_minor = total->voided_minor;
    now.refunded_minor = total->refunded_minor;
    fill(figures, &now, sizeof(now));
  }
}

int cafe_sandbox_set(cafe_gateway *gateway, const cafe_sandbox_settings *given, cafe_err *err) {
  sandbox *self = sandbox_of(gateway);
  cafe_sandbox_settings own;
  const cafe_sandbox_settings *settings = &own;
  int code = SIZED_READ(&own, given, cafe_sandbox_settings, capacity, "sizeof(cafe_sandbox_settings)", err);
  if (code) {
    return code;
  }
  if ((int)settings->mode < CAFE_SANDBOX_APPROVE || settings->mode > CAFE_SANDBOX_HANG) {
    return cafe_fail(err, CAFE_INVALID, "sandbox: mode must be approve, decline, error or hang");
  }
  if (settings->delay_ms < 0 || settings->delay_ms > DELAY_MAX_MS || settings->jitter_ms < 0 ||
      settings->jitter_ms > DELAY_MAX_MS) {
    return cafe_fail(err, CAFE_INVALID, "sandbox: delay and jitter must be from 0 to %d ms", DELAY_MAX_MS);
  }
  if (settings->mode == CAFE_SANDBOX_HANG && self->settings.mode != CAFE_SANDBOX_HANG) {
    self->before_hang = self->settings.mode;
  }
  self->settings = own;
  return CAFE_OK;
}

void cafe_sandbox_lookup(const cafe_gateway *gateway, uint64_t payment_id, cafe_sandbox_entry *out) {
  cafe_sandbox_entry found = ledger_payment(sandbox_seen(gateway)->books, payment_id);
  fill(out, &found, sizeof(found));
}
