/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_TYPES_H
#define CAFE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cafe/err.h"
#include "cafe/export.h"

CAFE_BEGIN_DECLS

/* Bytes somebody else owns; text is UTF-8, without a NUL at its end. {NULL, 0} is empty. Frozen. */
typedef struct cafe_slice {
  const char *data;
  size_t size;
} cafe_slice;

/* A NUL-terminated string as a slice. BORROW: valid as long as the string. */
static inline cafe_slice cafe_text(const char *string) {
  cafe_slice slice = {string, string ? strlen(string) : 0};
  return slice;
}

static inline bool cafe_slice_equal(cafe_slice a, cafe_slice b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Keys of streams and rows: 1 to 2^53 - 1, so that every JSON reader holds them exactly (RFC 8259, section 6). */
#define CAFE_KEY_MAX ((uint64_t)9007199254740991)

/* A unit of work lies within one partition; the number is fixed for ever. */
#define CAFE_PARTITIONS 64u

/* The partition of a key, 0 to CAFE_PARTITIONS - 1 (the finaliser of SplitMix64, Steele et al., OOPSLA 2014).
 * THREADSAFE. Since 0.1. */
CAFE_EXPORT uint32_t cafe_partition(uint64_t key);

/*
 * A place in a log. Opaque to clients: log_id is random and renewed by a restore, so a token of another log, or of a
 * future that a restore took back, is recognised and refused. n counts from 1 without gaps in each shard; 0 is before
 * the first event. Frozen.
 */
typedef struct cafe_position {
  uint64_t log_id;
  uint32_t shard;
  uint64_t n;
} cafe_position;

#define CAFE_POSITION_TEXT_MAX 48

/* Writes the position as a token of [0-9a-z.] with NUL. THREADSAFE. Since 0.1. */
CAFE_EXPORT void cafe_position_format(char out[CAFE_POSITION_TEXT_MAX], const cafe_position *position);

/* Reads such a token. CAFE_INVALID if it is none, with *out as it was. THREADSAFE. Since 0.1. */
CAFE_EXPORT int cafe_position_parse(cafe_position *out, cafe_slice token, cafe_err *err);

/*
 * Money is an integer of minor units and an ISO 4217 code, never a float. These read and write the decimal form that
 * people use, for a currency with `decimals` digits after the point (KRW 0, USD 2).
 */

/* The number of decimals of an ISO 4217 code, three capitals: 0 to 4. CAFE_INVALID for one that the library doesn't
 * know, with *out as it was. THREADSAFE. Since 0.1. */
CAFE_EXPORT int cafe_currency_decimals(int *out, cafe_slice currency, cafe_err *err);

/* Reads a JSON number or its text ("4500", "12.50", "1e3") exactly, for a currency with 0 to 12 decimals. CAFE_INVALID
 * if it isn't one, is negative, has more decimals than the currency (trailing zeros count), or is above 10^12 minor
 * units, with *out_minor as it was. THREADSAFE. Since 0.1. */
CAFE_EXPORT int cafe_amount_parse(int64_t *out_minor, cafe_slice text, int decimals, cafe_err *err);

#define CAFE_AMOUNT_TEXT_MAX 32

/* Writes the decimal form with NUL: 1250 with 2 decimals is "12.50"; 0 to 12 decimals. THREADSAFE. Since 0.1. */
CAFE_EXPORT void cafe_amount_format(char out[CAFE_AMOUNT_TEXT_MAX], int64_t minor, int decimals);

CAFE_END_DECLS

#endif
