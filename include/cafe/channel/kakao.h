/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_CHANNEL_KAKAO_H
#define CAFE_CHANNEL_KAKAO_H

#include "cafe/shop.h"

CAFE_BEGIN_DECLS

/*
 * Messages in KakaoTalk, by the KakaoTalk message REST API. Library cafe::channels, which needs libcurl.
 *
 * Sources: developers.kakao.com, "Kakao Talk Message: REST API" (docs/latest/en/kakaotalk-message/rest-api), "Default
 * template: text" (docs/latest/en/message-template/default) and "Error code" (docs/latest/en/rest-api/error-code).
 * What a message needs there: Kakao Login, the scope talk_message, for friends the permission to send to
 * them, and a domain for links that is registered under "Product Link".
 *
 * The API has no idempotency key. A message whose answer was lost, or whose `NotificationSent` wasn't committed before
 * a crash, is sent again, and the receiver sees it twice; nothing but a number of attempts above 1 tells. So a
 * connection is never used twice: libcurl would repeat a request by itself when an old one turns out to be dead.
 *
 * Again later: no connection, no answer, 5xx, 429; the codes -1 (internal error), -603 (time ran out); -7 and -9798
 * (maintenance), after a minute or more; -10, -532, -533 and -536 (a quota is used up), after ten minutes or more; 401
 * or -401 (the token isn't valid), after a minute or more, and the log says what to do: write a new one into
 * token_file, which is read anew for each message. Renewing the token by the refresh token is left to whoever writes
 * that file. Any other failure is a dead letter, with Kakao's code and text. So is a message that some of several
 * friends have: who is left out is in the text, and nobody is told twice.
 */
typedef enum cafe_kakao_target {
  CAFE_KAKAO_MEMO = 0,   /* the token's own user ("memo", My Chatroom): the shop's own people */
  CAFE_KAKAO_FRIENDS = 1 /* friends of that user who use the same app */
} cafe_kakao_target;

typedef struct cafe_kakao_options {
  size_t size;
  const char *token;      /* an access token with the scope talk_message; one of the two is REQUIRED, not both; as a
                             webhook's */
  const char *token_file; /* the better one: it can be replaced while the program runs */
  const char *name;       /* the notification's channel column, a word, kept for ever; NULL: "kakao" */
  const char *base;       /* NULL: "https://kapi.kakao.com"; http or https, without a user or a path */
  cafe_kakao_target target;
  const char *receivers;   /* with FRIENDS: their uuids, separated by commas, at most 5; NULL: the customer's id is the
                              uuid */
  const char *template_id; /* digits: a custom template, filled with notificationId, orderId, customerId, event and
                              message; NULL: the default text template, with the first 200 characters of the message */
  const char *link_url;    /* where a tap on the default template leads; NULL: nowhere */
  bool allows_clear_token; /* the token may go over http to another machine */
  const char *ca_file;     /* this and the rest: as a webhook's */
  const char *proxy;
  int64_t timeout_ms;
  uint32_t in_flight_max; /* 0: 4 */
  uint32_t waiting_max;
  uint32_t rate_per_s;
  uint32_t burst;
} cafe_kakao_options;

#define CAFE_KAKAO_OPTIONS_INIT                                                                                        \
  {                                                                                                                    \
    sizeof(cafe_kakao_options), NULL, NULL, NULL, NULL, CAFE_KAKAO_MEMO, NULL, NULL, NULL, false, NULL, NULL, 0, 0, 0, \
        0, 0                                                                                                           \
  }

/* As cafe_webhook_create. Since 0.1. */
CAFE_EXPORT int cafe_kakao_create(cafe_channel **out, cafe_loop *loop, const cafe_kakao_options *options,
                                  const cafe_allocator *allocator, cafe_err *err);

CAFE_END_DECLS

#endif
