/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include <cafe/resilience.h>

typedef struct bank {
  int64_t down_from_us, down_until_us;
  int64_t took_us;
  int called;
} bank;

static int bank_rate(bank *self, int64_t now_us, cafe_err *err) {
  bool is_down = now_us >= self->down_from_us && now_us < self->down_until_us;
  self->called++;
  self->took_us = is_down ? 100000 : 20000;
  return is_down ? cafe_fail(err, CAFE_TIMEOUT, "the bank gave no answer") : CAFE_OK;
}

typedef struct guard {
  cafe_breaker breaker;
  cafe_limit limit;
  int opened;
} guard;

typedef struct guarded_call {
  cafe_permit breaker;
  cafe_permit limit;
} guarded_call;

static void tell(const cafe_breaker_change *change, void *user) {
  guard *self = user;
  self->opened += change->to == CAFE_BREAKER_OPEN;
  printf("breaker bank: %s to %s", cafe_breaker_state_name(change->from), cafe_breaker_state_name(change->to));
  printf(change->calls ? ": %" PRIu64 " of %" PRIu64 " calls failed\n" : "\n", change->failures, change->calls);
}

static int guard_init(guard *self, int64_t now_us, cafe_err *err) {
  cafe_breaker_options breaker = CAFE_BREAKER_OPTIONS_INIT;
  cafe_limit_options limit = CAFE_LIMIT_OPTIONS_INIT;
  breaker.volume = 5;
  breaker.sleep_ms = 1000;
  breaker.changed = tell;
  breaker.user = self;
  limit.max = 8;
  self->opened = 0;
  int code = cafe_breaker_init(&self->breaker, &breaker, now_us, err);
  return code ? code : cafe_limit_init(&self->limit, &limit, err);
}

static int guard_take(guarded_call *out, guard *self, int64_t now_us, cafe_err *err) {
  int64_t wait_ms = 100;
  if (!cafe_limit_take(&out->limit, &self->limit)) {
    cafe_fail(err, CAFE_OVERLOADED, "the bank has as many calls as it can bear");
  } else if (!cafe_breaker_take(&out->breaker, &self->breaker, now_us)) {
    cafe_limit_done(&self->limit, out->limit, CAFE_CALL_UNUSED);
    wait_ms = cafe_breaker_wait_us(&self->breaker, now_us) / 1000 + 1;
    cafe_fail(err, CAFE_UNAVAILABLE, "the bank isn't asked now");
  } else {
    return CAFE_OK;
  }
  err->retry_after_ms = (int32_t)wait_ms;
  return err->code;
}

static void guard_done(guard *self, guarded_call call, cafe_call_end end, int64_t now_us) {
  cafe_breaker_done(&self->breaker, call.breaker, end, now_us);
  cafe_limit_done(&self->limit, call.limit, end);
}

static int guarded_rate(guard *self, bank *callee, int64_t *now_us, cafe_err *err) {
  guarded_call call;
  int code = guard_take(&call, self, *now_us, err);
  if (code)
    return code;
  code = bank_rate(callee, *now_us, err);
  *now_us += callee->took_us;
  guard_done(self, call, code ? CAFE_CALL_FAILED : CAFE_CALL_SUCCEEDED, *now_us);
  return code;
}

static int patient_rate(guard *self, bank *callee, cafe_budget budget, int64_t *now_us, cafe_err *err) {
  static const cafe_retry retry = {.initial_ms = 20, .max_ms = 200};
  for (uint32_t attempt = 1;; attempt++) {
    int code = guarded_rate(self, callee, now_us, err);
    if (!code || !cafe_code_is_retryable(code) || !cafe_budget_take_retry(&budget, *now_us))
      return code;
    uint64_t random = UINT64_C(0x9e3779b97f4a7c15) * (attempt + (uint64_t)*now_us); /* yours: the loop's */
    int64_t wait_us = 1000 * cafe_retry_delay_ms(&retry, attempt, random);
    if (wait_us < 1000 * (int64_t)err->retry_after_ms)
      wait_us = 1000 * (int64_t)err->retry_after_ms;
    if (wait_us >= cafe_budget_left_us(&budget, *now_us))
      return code;
    *now_us += wait_us; /* yours: a timer */
  }
}

int main(void) {
  bank callee = {.down_from_us = 2000000, .down_until_us = 5000000};
  guard self;
  cafe_err err;
  cafe_rates *rates = NULL;
  cafe_rates_options options = CAFE_RATES_OPTIONS_INIT;
  options.per_s = 4;
  options.burst = 2;
  if (guard_init(&self, 0, &err) || cafe_rates_create(&rates, &options, &err)) {
    fprintf(stderr, "%s\n", err.text);
    return 1;
  }
  int given = 0, refused = 0, failed = 0, too_often = 0;
  for (int64_t at_us = 0; at_us < 8000000; at_us += 100000) {
    int64_t now_us = at_us;
    const char *customer = at_us / 100000 % 4 == 0 ? "kim" : "lee";
    int code = cafe_rates_take(rates, cafe_text(customer), now_us, &err);
    if (code) {
      too_often++;
      continue;
    }
    int before = callee.called;
    code = patient_rate(&self, &callee, cafe_budget_from(now_us, 300, 2), &now_us, &err);
    given += !code;
    failed += code && callee.called > before;
    refused += code && callee.called == before;
  }
  cafe_rates_destroy(rates);
  printf("%d rates given, %d asked too often, %d failed, %d told at once to come later\n", given, too_often, failed,
         refused);
  bool is_right = self.breaker.state == CAFE_BREAKER_CLOSED && self.opened > 1 && self.limit.running == 0;
  return is_right && given > 30 && refused > 3 * failed && too_often > 0 ? 0 : 1;
}
