/* SPDX-License-Identifier: Apache-2.0 */
#include "server/payment_options.h"

static int read_count(uint32_t *out, const option *options, const char *name, cafe_err *err) {
  int code = option_number(out, options, name, err);
  if (code == CAFE_OK && *out == 0) {
    code = cafe_fail(err, CAFE_INVALID, "%s%s: it is 1 or more", option_given_as(options, name),
                     option_value(options, name));
  }
  return code;
}

/* In thousandths, exactly. */
static int read_rate(uint32_t *out, const option *options, const char *name, cafe_err *err) {
  const char *value = option_value(options, name);
  int64_t permille;
  int code = cafe_amount_parse(&permille, cafe_text(value), 3, NULL);
  if (code != CAFE_OK || permille < 1 || permille > 1000) {
    return cafe_fail(err, CAFE_INVALID, "%s%s: a rate is from 0.001 to 1, in thousandths",
                     option_given_as(options, name), value);
  }
  *out = (uint32_t)permille;
  return CAFE_OK;
}

int concurrency_option_read(cafe_shop_options *out, const option *options, cafe_err *err) {
  return read_count(&out->payment_concurrency, options, "payment-concurrency", err);
}

int guard_options_read(cafe_shop_options *out, const option *options, cafe_err *err) {
  int code = read_count(&out->breaker_volume, options, "breaker-volume", err);
  if (code == CAFE_OK) {
    code = read_rate(&out->breaker_error_permille, options, "breaker-error-rate", err);
  }
  if (code == CAFE_OK) {
    code = option_duration(&out->breaker_window_ms, options, "breaker-window", err);
  }
  if (code == CAFE_OK) {
    code = option_duration(&out->breaker_sleep_ms, options, "breaker-sleep", err);
  }
  return code == CAFE_OK ? concurrency_option_read(out, options, err) : code;
}
