/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A cafe_err lives in the caller's memory and needs no allocation, so that "no memory" can be told too. Its text always
 * is UTF-8, whatever it quotes, and ends with NUL: it reaches JSON.
 */
#include "cafe/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "base/str.h"

static void CAFE_PRINTF(4, 0) fill(cafe_err *err, cafe_code code, int32_t detail, const char *format, va_list args) {
  /* The arguments may point into err itself: "loading 7: <err->text>". */
  char text[sizeof(err->text)];
  str_format(text, sizeof(text), format, args);
  memcpy(err->text, text, sizeof(text));
  err->code = (int32_t)code;
  err->detail = detail;
  err->retry_after_ms = 0;
  err->reserved = 0;
}

int cafe_fail(cafe_err *err, cafe_code code, const char *format, ...) {
  if (err) {
    va_list args;
    va_start(args, format);
    fill(err, code, 0, format, args);
    va_end(args);
  }
  return (int)code;
}

int cafe_fail_detail(cafe_err *err, cafe_code code, int32_t detail, const char *format, ...) {
  if (err) {
    va_list args;
    va_start(args, format);
    fill(err, code, detail, format, args);
    va_end(args);
  }
  return (int)code;
}

void cafe_err_clear(cafe_err *err) {
  if (err) {
    err->code = err->detail = err->retry_after_ms = err->reserved = 0;
    err->text[0] = '\0';
  }
}

const char *cafe_code_name(int code) {
  static const char *const names[] = {
      [CAFE_OK] = "ok",
      [CAFE_INVALID] = "invalid",
      [CAFE_NOMEM] = "nomem",
      [CAFE_OVERLOADED] = "overloaded",
      [CAFE_TIMEOUT] = "timeout",
      [CAFE_CANCELED] = "canceled",
      [CAFE_CONFLICT] = "conflict",
      [CAFE_NOT_FOUND] = "not_found",
      [CAFE_UNAVAILABLE] = "unavailable",
      [CAFE_CORRUPT] = "corrupt",
      [CAFE_UNSUPPORTED] = "unsupported",
      [CAFE_DENIED] = "denied",
  };
  if (code < 0 || (size_t)code >= sizeof(names) / sizeof(names[0])) {
    return "unknown";
  }
  return names[code];
}

int cafe_code_is_retryable(int code) {
  switch (code) {
  case CAFE_NOMEM:
  case CAFE_OVERLOADED:
  case CAFE_TIMEOUT:
  case CAFE_CONFLICT:
  case CAFE_UNAVAILABLE:
    return 1;
  default:
    return 0;
  }
}
