/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_ERR_H
#define CAFE_ERR_H

#include <stdint.h>

#include "cafe/export.h"

CAFE_BEGIN_DECLS

/*
 * Failures are of three kinds, kept apart. A programmer's error is asserted. An operating error is a cafe_code and,
 * for people, a cafe_err. A domain refusal is a verdict (aggregate.h), not an error.
 *
 * Every code is another reaction of the caller. Functions that can fail return a cafe_code as int, CAFE_OK (0) on
 * success, and describe a failure in the caller's cafe_err, which may be NULL. On failure nothing changes hands.
 */
typedef enum cafe_code {
  CAFE_OK = 0,
  CAFE_INVALID = 1,      /* the input is wrong: correct it */
  CAFE_NOMEM = 2,        /* memory was refused: free some, then again */
  CAFE_OVERLOADED = 3,   /* a bounded queue is full: later, and less */
  CAFE_TIMEOUT = 4,      /* the deadline passed; the outcome is not known: ask, or repeat under the same key */
  CAFE_CANCELED = 5,     /* the caller gave up, or the node is closing */
  CAFE_CONFLICT = 6,     /* somebody else was first: read again, decide again */
  CAFE_NOT_FOUND = 7,    /* there is no such thing */
  CAFE_UNAVAILABLE = 8,  /* a store or a peer can't be used now, and nothing was done: again, with backoff */
  CAFE_CORRUPT = 9,      /* stored data is damaged: stop, restore */
  CAFE_UNSUPPORTED = 10, /* made by a newer version, or not offered by this backend: upgrade, or another backend */
  CAFE_DENIED = 11       /* another process owns it, or a permission is missing: free it */
} cafe_code;

/* One failure, in memory of the caller. Frozen: 256 bytes. Nothing in it needs freeing. */
typedef struct cafe_err {
  int32_t code;           /* a cafe_code */
  int32_t detail;         /* the cause's own number (errno, a backend's code), 0 if it has none */
  int32_t retry_after_ms; /* so long to wait before the same call may succeed; 0: not known */
  int32_t reserved;       /* 0 */
  char text[240];         /* one sentence: what was wrong and what to do. Ends with NUL, cut where too long */
} cafe_err;

/* Fills err, if it isn't NULL, and returns code: `return cafe_fail(err, CAFE_INVALID, "…")`. The arguments may point
 * into err. THREADSAFE. Since 0.1. */
CAFE_EXPORT int cafe_fail(cafe_err *err, cafe_code code, const char *format, ...) CAFE_PRINTF(3, 4) CAFE_COLD;

/* The same with the cause's own number. THREADSAFE. Since 0.1. Both leave retry_after_ms 0: who knows it sets it. */
CAFE_EXPORT int cafe_fail_detail(cafe_err *err, cafe_code code, int32_t detail, const char *format, ...)
    CAFE_PRINTF(4, 5) CAFE_COLD;

/* Makes err say success. err may be NULL. THREADSAFE. Since 0.1. */
CAFE_EXPORT void cafe_err_clear(cafe_err *err);

/* The code's name in lower case ("overloaded"), "unknown" for a number that is none. BORROW: a constant. THREADSAFE.
 * Since 0.1. */
CAFE_EXPORT const char *cafe_code_name(int code);

/* Whether the same call may succeed later, unchanged: 1 or 0. THREADSAFE. Since 0.1. */
CAFE_EXPORT int cafe_code_is_retryable(int code);

CAFE_END_DECLS

#endif
