/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_RESILIENCE_H
#define CAFE_RESILIENCE_H

#include "cafe/aggregate.h"
#include "cafe/alloc.h"
#include "cafe/err.h"
#include "cafe/types.h"

CAFE_BEGIN_DECLS

/*
 * For calls of what may be slow, overloaded or gone: a budget, a circuit breaker, a bulkhead, an adaptive limit,
 * backoff, a rate for each key. Pure: now, in microseconds on a monotonic clock, and randomness are handed in; nothing
 * waits, and no thread runs. All but the table of rates lies in memory of the caller. None of it is threadsafe: one
 * owner at a time. The structs are frozen; what is in them is read only, for logs and metrics.
 *
 * A call is guarded so: take a permit, or don't call at all; call; say how it ended, once.
 */

/* ---- budget ---- */

/* How long something may take, and how often anything may be tried again on its behalf, over all hops. It is handed on
 * as what is left of it. Frozen. */
typedef struct cafe_budget {
  int64_t deadline_us; /* on the monotonic clock of whoever holds it; INT64_MAX: none */
  uint32_t retries;    /* UINT32_MAX: no limit */
  uint32_t reserved;   /* 0 */
} cafe_budget;

/* Neither a deadline nor a limit of retries. */
#define CAFE_BUDGET_NONE                                                                                               \
  { INT64_MAX, UINT32_MAX, 0 }

/* A budget from now on. timeout_ms 0 or less: no deadline; retries UINT32_MAX: no limit. THREADSAFE. Since 0.1. */
CAFE_EXPORT cafe_budget cafe_budget_from(int64_t now_us, int64_t timeout_ms, uint32_t retries);

/* The time that is left: 0 once the deadline is there, INT64_MAX without one. Since 0.1. */
CAFE_EXPORT int64_t cafe_budget_left_us(const cafe_budget *budget, int64_t now_us);

/* Takes one retry: false, and nothing is taken, where none is left, or no time for one. Since 0.1. */
CAFE_EXPORT bool cafe_budget_take_retry(cafe_budget *budget, int64_t now_us);

/* What a call may use that has limits of its own and is made on behalf of somebody who has others: the earlier deadline
 * and the fewer retries. Both on one clock. THREADSAFE. Since 0.1. */
CAFE_EXPORT cafe_budget cafe_budget_min(cafe_budget own, cafe_budget callers);

/* ---- permits ---- */

/* Given by what guards a call, and given back to it with how the call ended, exactly once. COPY it freely. Frozen. */
typedef struct cafe_permit {
  uint64_t number; /* 0: none */
} cafe_permit;

typedef enum cafe_call_end {
  CAFE_CALL_SUCCEEDED = 1,
  CAFE_CALL_FAILED = 2, /* the callee is at fault: no answer, over capacity, an error. A no to the request isn't one */
  CAFE_CALL_UNUSED = 3  /* the call wasn't made, or nobody waited for how it ends: it says nothing */
} cafe_call_end;

/* ---- circuit breaker ---- */

/*
 * It opens when, of the calls that ended within a window, so many failed; open it permits none, so that the callee can
 * recover and callers are told at once; after a while it permits a single one, the probe, whose end decides (Nygard,
 * "Release It!", 2007; Fowler, "CircuitBreaker", 2014).
 *
 *   CLOSED     permits all. To OPEN by the call that makes both volume and error rate full
 *   OPEN       permits none. To HALF_OPEN by the first that asks when sleep is over: that is the probe
 *   HALF_OPEN  permits a probe at a time. To CLOSED when one succeeds, to OPEN when one fails. Given back unused, or
 *              not given back within another sleep, it makes room for the next; its late end counts all the same
 *
 * How a call ends counts only in the state in which it began.
 */
typedef enum cafe_breaker_state {
  CAFE_BREAKER_CLOSED = 0,
  CAFE_BREAKER_OPEN = 1,
  CAFE_BREAKER_HALF_OPEN = 2
} cafe_breaker_state;

/* BORROW: until the callback returns. Fields may be added at the end. */
typedef struct cafe_breaker_change {
  cafe_breaker_state from;
  cafe_breaker_state to;
  uint64_t calls; /* CLOSED to OPEN: ended within the window, and … */
  uint64_t failures;
} cafe_breaker_change;

typedef struct cafe_breaker_options {
  size_t size;
  uint32_t volume;         /* calls in the window, below which it stays closed. 0: 20 */
  uint32_t error_permille; /* of them that failed, in thousandths, at which it opens; up to 1,000. 0: 300 */
  int64_t window_ms;       /* in tenths: what ended counts for nine to ten of them. Up to a day. 0: 10,000 */
  int64_t sleep_ms;        /* up to a day. 0: 5,000 */
  /* OPTIONAL. The state is another now; called inside the call that changed it, which it must not repeat. */
  void (*changed)(const cafe_breaker_change *change, void *user);
  void *user; /* handed to changed. BORROW: as long as the breaker is used */
} cafe_breaker_options;

#define CAFE_BREAKER_OPTIONS_INIT                                                                                      \
  { sizeof(cafe_breaker_options), 0, 0, 0, 0, NULL, NULL }

#define CAFE_BREAKER_BUCKETS 10

typedef struct cafe_breaker_bucket {
  uint32_t calls;
  uint32_t failures;
} cafe_breaker_bucket;

/* Frozen. */
typedef struct cafe_breaker {
  cafe_breaker_state state;
  uint32_t volume;
  uint32_t error_permille;
  uint32_t window_ms;
  int64_t bucket_us;
  int64_t sleep_us;
  int64_t since_us; /* when it came into this state */
  int64_t until_us; /* not CLOSED: when the next probe may be taken */
  int64_t slot;     /* CLOSED: the bucket that is being filled, counted from since_us on */
  uint64_t next;    /* permit */
  uint64_t first;   /* permit of this state: earlier ones count for nothing */
  uint64_t probe;   /* the last one */
  void (*changed)(const cafe_breaker_change *change, void *user);
  void *user;
  cafe_breaker_bucket buckets[CAFE_BREAKER_BUCKETS];
  uint64_t reserved[4];
} cafe_breaker;

/* Makes *out a closed breaker. options BORROW: until the call returns; NULL: all by default. Nothing is to be freed.
 * CAFE_INVALID: an option is out of its range; CAFE_UNSUPPORTED: it is one that only a newer library knows. Since
 * 0.1. */
CAFE_EXPORT int cafe_breaker_init(cafe_breaker *out, const cafe_breaker_options *options, int64_t now_us,
                                  cafe_err *err);

/* Permits a call, or doesn't: *out is the permit, or none. Since 0.1. */
CAFE_EXPORT bool cafe_breaker_take(cafe_permit *out, cafe_breaker *breaker, int64_t now_us);

/* How the call of that permit ended. Since 0.1. */
CAFE_EXPORT void cafe_breaker_done(cafe_breaker *breaker, cafe_permit permit, cafe_call_end end, int64_t now_us);

/* How long until it may permit a call, for a Retry-After: 0 where it does now. Since 0.1. */
CAFE_EXPORT int64_t cafe_breaker_wait_us(const cafe_breaker *breaker, int64_t now_us);

/* "CLOSED", "OPEN", "HALF_OPEN". BORROW: a constant. THREADSAFE. Since 0.1. */
CAFE_EXPORT const char *cafe_breaker_state_name(cafe_breaker_state state);

/* ---- bulkhead and adaptive limit ---- */

/*
 * So many calls at once. With min and max the same it is a bulkhead. Otherwise it finds out what the callee can bear:
 * one more for each round of calls that succeeded and ran while all of it was in use, and three tenths less when one
 * failed (additive increase, multiplicative decrease: Chiu and Jain, 1989; the factor is CUBIC's, RFC 9438). Calls that
 * began before it shrank tell of how it was then: they neither shrink it again nor let it grow.
 *
 * At the callee, count what runs: give the permit back when the work has ended, not when its caller gave up.
 */
typedef struct cafe_limit_options {
  size_t size;
  uint32_t min;     /* 0: 1 */
  uint32_t max;     /* 0: 64, or min where that is more */
  uint32_t initial; /* from min to max. 0: max */
} cafe_limit_options;

#define CAFE_LIMIT_OPTIONS_INIT                                                                                        \
  { sizeof(cafe_limit_options), 0, 0, 0 }

/* A bulkhead of n. */
#define CAFE_BULKHEAD_INIT(n)                                                                                          \
  { sizeof(cafe_limit_options), (n), (n), (n) }

/* Frozen. */
typedef struct cafe_limit {
  uint32_t min;
  uint32_t max;
  uint32_t limit; /* now */
  uint32_t running;
  uint32_t grown; /* calls that succeeded towards the next one */
  uint32_t unused;
  uint64_t next;   /* permit */
  uint64_t shrunk; /* the first permit since it shrank */
  uint64_t full;   /* the last permit that took the last room: it, and those before it, ran while all was in use */
  uint64_t reserved[1];
} cafe_limit;

/* options BORROW: until the call returns; NULL: all by default. Nothing is to be freed. CAFE_INVALID,
 * CAFE_UNSUPPORTED: as of cafe_breaker_init. Since 0.1. */
CAFE_EXPORT int cafe_limit_init(cafe_limit *out, const cafe_limit_options *options, cafe_err *err);

/* Permits a call, or doesn't: *out is the permit, or none. Since 0.1. */
CAFE_EXPORT bool cafe_limit_take(cafe_permit *out, cafe_limit *limit);

/* How the call of that permit ended, which makes room for another. Since 0.1. */
CAFE_EXPORT void cafe_limit_done(cafe_limit *limit, cafe_permit permit, cafe_call_end end);

/* ---- retry ---- */

/* How long attempt + 1 waits after attempt (from 1) failed: U(0, min(max_ms, initial_ms * 2^(attempt - 1))), by a
 * random number over all 64 bits. Never negative. retry BORROW: until the call returns. THREADSAFE. Since 0.1. */
CAFE_EXPORT int64_t cafe_retry_delay_ms(const cafe_retry *retry, uint32_t attempt, uint64_t random);

/* ---- a rate for each key ---- */

/* Who asks too often is told when to come back: for each key so many a second, so many of them at once. */
typedef struct cafe_rates cafe_rates;

typedef struct cafe_rates_options {
  size_t size;
  uint32_t per_s;                  /* REQUIRED */
  uint32_t burst;                  /* 0: 1 */
  uint32_t max_keys;               /* remembered at once. Beyond, the one that was quiet for longest is forgotten, and
                                      begins anew. 0: 10,000 */
  const cafe_allocator *allocator; /* COPY; NULL: malloc */
} cafe_rates_options;

#define CAFE_RATES_OPTIONS_INIT                                                                                        \
  { sizeof(cafe_rates_options), 0, 0, 0, NULL }

/* Memory is taken as keys come. OWN: cafe_rates_destroy. options BORROW: until the call returns. CAFE_INVALID: no
 * per_s; CAFE_UNSUPPORTED; CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_rates_create(cafe_rates **out, const cafe_rates_options *options, cafe_err *err);

/* NULL is allowed. Since 0.1. */
CAFE_EXPORT void cafe_rates_destroy(cafe_rates *rates);

/* Takes one for the key (any bytes, COPY), if it is due. CAFE_OVERLOADED: it isn't, err's retry_after_ms says when it
 * is; CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_rates_take(cafe_rates *rates, cafe_slice key, int64_t now_us, cafe_err *err);

CAFE_END_DECLS

#endif
