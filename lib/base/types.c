/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Values that cross borders as text: positions and money. Both are exact and have one text per value, so that tokens
 * can be compared as text and an amount survives any number of round trips. No floating point on any path: 12.50 isn't
 * a binary fraction. The partition of a key is written into every store: another function would tear streams apart.
 */
#include "cafe/types.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"

uint32_t cafe_partition(uint64_t key) { return (uint32_t)(hash_u64(key) % CAFE_PARTITIONS); }

/* ---- positions: <log id in base 36>.<shard>.<n> ---- */

void cafe_position_format(char out[CAFE_POSITION_TEXT_MAX], const cafe_position *position) {
  char digits[16];
  size_t at = sizeof(digits);
  uint64_t id = position->log_id;
  do {
    digits[--at] = "0123456789abcdefghijklmnopqrstuvwxyz"[id % 36];
    id /= 36;
  } while (id > 0);
  snprintf(out, CAFE_POSITION_TEXT_MAX, "%.*s.%" PRIu32 ".%" PRIu64, (int)(sizeof(digits) - at), digits + at,
           position->shard, position->n);
}

static int digit_of(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'z') {
    return c - 'a' + 10;
  }
  return 36;
}

/* Takes a number in its one form (no zero before another digit) off the front of *text. */
static bool take_number(uint64_t *out, cafe_slice *text, uint32_t base, uint64_t max) {
  uint64_t value = 0;
  size_t i = 0;
  for (; i < text->size; i++) {
    uint32_t digit = (uint32_t)digit_of(text->data[i]);
    if (digit >= base) {
      break;
    }
    if (value > (max - digit) / base) {
      return false;
    }
    value = value * base + digit;
  }
  if (i == 0 || (i > 1 && text->data[0] == '0')) {
    return false;
  }
  text->data += i;
  text->size -= i;
  *out = value;
  return true;
}

static bool take_point(cafe_slice *text) {
  if (text->size == 0 || text->data[0] != '.') {
    return false;
  }
  text->data++;
  text->size--;
  return true;
}

int cafe_position_parse(cafe_position *out, cafe_slice token, cafe_err *err) {
  uint64_t log_id;
  uint64_t shard;
  uint64_t n;
  if (!take_number(&log_id, &token, 36, UINT64_MAX) || !take_point(&token) ||
      !take_number(&shard, &token, 10, UINT32_MAX) || !take_point(&token) || !take_number(&n, &token, 10, UINT64_MAX) ||
      token.size != 0) {
    return cafe_fail(err, CAFE_INVALID, "not a position: use a token as it was given out, unchanged");
  }
  *out = (cafe_position){log_id, (uint32_t)shard, n};
  return CAFE_OK;
}

/* ---- money ---- */

/* ISO 4217's active codes with their decimals, sorted. Those without decimals of their own (precious metals, XDR, test
 * codes) are nobody's price. A code that is withdrawn stays, for amounts that were stored while it was in use. */
static const char currencies[] = "AED2AFN2ALL2AMD2ANG2AOA2ARS2AUD2AWG2AZN2BAM2BBD2BDT2BGN2BHD3BIF0BMD2BND2BOB2BOV2"
                                 "BRL2BSD2BTN2BWP2BYN2BZD2CAD2CDF2CHE2CHF2CHW2CLF4CLP0CNY2COP2COU2CRC2CUP2CVE2CZK2"
                                 "DJF0DKK2DOP2DZD2EGP2ERN2ETB2EUR2FJD2FKP2GBP2GEL2GHS2GIP2GMD2GNF0GTQ2GYD2HKD2HNL2"
                                 "HTG2HUF2IDR2ILS2INR2IQD3IRR2ISK0JMD2JOD3JPY0KES2KGS2KHR2KMF0KPW2KRW0KWD3KYD2KZT2"
                                 "LAK2LBP2LKR2LRD2LSL2LYD3MAD2MDL2MGA2MKD2MMK2MNT2MOP2MRU2MUR2MVR2MWK2MXN2MXV2MYR2"
                                 "MZN2NAD2NGN2NIO2NOK2NPR2NZD2OMR3PAB2PEN2PGK2PHP2PKR2PLN2PYG0QAR2RON2RSD2RUB2RWF0"
                                 "SAR2SBD2SCR2SDG2SEK2SGD2SHP2SLE2SOS2SRD2SSP2STN2SVC2SYP2SZL2THB2TJS2TMT2TND3TOP2"
                                 "TRY2TTD2TWD2TZS2UAH2UGX0USD2USN2UYI0UYU2UYW4UZS2VED2VES2VND0VUV0WST2XAD2XAF0XCD2"
                                 "XCG2XOF0XPF0YER2ZAR2ZMW2ZWG2";

int cafe_currency_decimals(int *out, cafe_slice currency, cafe_err *err) {
  size_t low = 0;
  size_t high = currency.size == 3 ? sizeof(currencies) / 4 : 0;
  while (low < high) {
    size_t middle = (low + high) / 2;
    int order = memcmp(currency.data, currencies + middle * 4, 3);
    if (order == 0) {
      *out = currencies[middle * 4 + 3] - '0';
      return CAFE_OK;
    }
    if (order < 0) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return cafe_fail(err, CAFE_INVALID, "unknown currency: use an ISO 4217 code in capitals, such as KRW");
}

/* ISO 4217 knows 4 at most. */
#define DECIMALS_MAX 12
#define AMOUNT_MAX   INT64_C(1000000000000)
/* Beyond any text that fits into memory, and far from overflow. */
#define EXPONENT_MAX INT64_C(1000000000000000000)

/* What a JSON number (RFC 8259, section 6) says: digits * 10^-scale. digits stops counting above AMOUNT_MAX. */
typedef struct decimal {
  bool negative;
  int64_t digits;
  int64_t scale;
} decimal;

static bool is_digit(const char *p, const char *end) { return p < end && *p >= '0' && *p <= '9'; }

static void add_digit(decimal *d, char c) {
  if (d->digits <= AMOUNT_MAX) {
    d->digits = d->digits * 10 + (c - '0');
  }
}

static bool read_number(decimal *out, cafe_slice text) {
  const char *p = text.data;
  const char *end = p + text.size;
  *out = (decimal){0};
  if (p < end && *p == '-') {
    out->negative = true;
    p++;
  }
  if (!is_digit(p, end) || (*p == '0' && is_digit(p + 1, end))) {
    return false;
  }
  for (; is_digit(p, end); p++) {
    add_digit(out, *p);
  }
  if (p < end && *p == '.') {
    p++;
    if (!is_digit(p, end)) {
      return false;
    }
    for (; is_digit(p, end); p++) {
      add_digit(out, *p);
      out->scale++;
    }
  }
  if (p < end && (*p == 'e' || *p == 'E')) {
    p++;
    bool down = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) {
      p++;
    }
    if (!is_digit(p, end)) {
      return false;
    }
    int64_t exponent = 0;
    for (; is_digit(p, end); p++) {
      if (exponent < EXPONENT_MAX / 10) {
        exponent = exponent * 10 + (*p - '0');
      }
    }
    out->scale += down ? exponent : -exponent;
  }
  return p == end;
}

int cafe_amount_parse(int64_t *out_minor, cafe_slice text, int decimals, cafe_err *err) {
  assert(decimals >= 0 && decimals <= DECIMALS_MAX);
  decimal number;
  if (text.size == 0 || !read_number(&number, text)) {
    return cafe_fail(err, CAFE_INVALID, "the amount isn't a decimal number");
  }
  if (number.negative && number.digits > 0) {
    return cafe_fail(err, CAFE_INVALID, "the amount is negative");
  }
  if (number.scale > decimals) {
    return cafe_fail(err, CAFE_INVALID, "the amount has more decimals than the currency, which has %d", decimals);
  }
  int64_t minor = number.digits;
  for (int64_t up = decimals - number.scale; up > 0 && minor > 0 && minor <= AMOUNT_MAX; up--) {
    minor *= 10;
  }
  if (minor > AMOUNT_MAX) {
    return cafe_fail(err, CAFE_INVALID, "the amount is above 10^12 of the currency's smallest unit");
  }
  *out_minor = minor;
  return CAFE_OK;
}

void cafe_amount_format(char out[CAFE_AMOUNT_TEXT_MAX], int64_t minor, int decimals) {
  assert(decimals >= 0 && decimals <= DECIMALS_MAX);
  char text[CAFE_AMOUNT_TEXT_MAX];
  size_t at = sizeof(text);
  uint64_t rest = minor < 0 ? (uint64_t)0 - (uint64_t)minor : (uint64_t)minor;
  text[--at] = '\0';
  for (int place = 0; rest > 0 || place <= decimals; place++) {
    if (place == decimals && decimals > 0) {
      text[--at] = '.';
    }
    text[--at] = (char)('0' + rest % 10);
    rest /= 10;
  }
  if (minor < 0) {
    text[--at] = '-';
  }
  memcpy(out, text + at, sizeof(text) - at);
}
