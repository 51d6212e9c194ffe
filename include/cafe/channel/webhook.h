/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_CHANNEL_WEBHOOK_H
#define CAFE_CHANNEL_WEBHOOK_H

#include "cafe/shop.h"

CAFE_BEGIN_DECLS

/*
 * Messages by HTTP to a receiver of yours. Library cafe::channels, which needs libcurl.
 *
 * Each is a POST of a JSON object {notificationId, orderId, customerId, event, message, attempt}, with the header
 * `Idempotency-Key: <notificationId>`: one that comes again (its answer was lost, or a crash came before the commit)
 * has the same key, and a higher attempt, or the same one where only the connection had to be made anew. The receiver
 * keeps the keys that it has seen.
 *
 * 2xx: the receiver has it. 408, 425, 429, 5xx, no connection, no answer in time, or half of one: again later, and not
 * before a Retry-After has passed (at most a day). Any other status, redirects among them: never, a dead letter whose
 * text says what the receiver answered.
 *
 * Nothing blocks the loop: names are looked up on a thread of libcurl's. (A libcurl before 7.87 waits for it where a
 * delivery is stopped meanwhile.) What the environment says of proxies counts for nothing. Certificates are verified,
 * and TLS is 1.2 or later.
 */
typedef struct cafe_webhook_options {
  size_t size;
  const char *url;         /* REQUIRED. http or https, without a user: texts and logs show its host only, since the path
                              may be a secret */
  const char *name;        /* the notification's channel column, a word, kept for ever; NULL: "webhook" */
  const char *token;       /* sent as `Authorization: Bearer`; NULL: none. At most 4096 visible ASCII characters. It is
                              in no text, and wiped when it isn't needed any more, but for what libcurl copies of it */
  const char *token_file;  /* the same from a file, without white space at its ends, read anew for each message, so that
                              it may be replaced; NULL: none. Not both */
  bool allows_clear_token; /* a token may go over http to another machine */
  const char *ca_file;     /* certificates (PEM) that are trusted, in place of the system's; NULL: those */
  const char *proxy;       /* an HTTP proxy's URL, without a user; NULL: none */
  int64_t timeout_ms;      /* for one message, name and connection included; less than the shop's channel_retry has;
                              0: 5000 */
  uint32_t in_flight_max;  /* messages at once, a connection each; 0: 8 */
  uint32_t waiting_max;    /* messages that wait for their turn, in their order, beyond which one fails with
                              CAFE_OVERLOADED, for later; 0: 10000 */
  uint32_t rate_per_s;     /* messages that begin in a second, at most; 0: no limit */
  uint32_t burst;          /* so many of them at once; 0: 1 */
} cafe_webhook_options;

#define CAFE_WEBHOOK_OPTIONS_INIT                                                                                      \
  { sizeof(cafe_webhook_options), NULL, NULL, NULL, NULL, false, NULL, NULL, 0, 0, 0, 0, 0 }

/* Makes the channel; no connection is made yet. loop BORROW, one that watches descriptors; options BORROW: until the
 * call returns. OWN: cafe_channel_destroy. CAFE_INVALID: an option is wrong, or a file can't be read; CAFE_DENIED: it
 * mustn't be; CAFE_UNSUPPORTED: an option that only a newer library knows, a loop without descriptors, or a libcurl
 * that can't do what is said above; CAFE_NOMEM. Loop thread, and no other thread in libcurl's first use. Since 0.1. */
CAFE_EXPORT int cafe_webhook_create(cafe_channel **out, cafe_loop *loop, const cafe_webhook_options *options,
                                    const cafe_allocator *allocator, cafe_err *err);

CAFE_END_DECLS

#endif
