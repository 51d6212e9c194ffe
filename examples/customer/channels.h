/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CUSTOMER_CHANNELS_H
#define CUSTOMER_CHANNELS_H

#include "cafe/shop.h"
#include "http/options.h"

/* The ways to the customer, by a server's options. A token has no flag: a command line is read by everybody. */
#define CHANNEL_OPTIONS                                                                                                \
  {.name = "channel",                                                                                                  \
   .argument = "URL",                                                                                                  \
   .fallback = "console:",                                                                                             \
   .help = "console:, file:PATH, http(s)://..., kakao:memo, kakao:friends[?uuids=A,B]; repeatable",                    \
   .is_repeatable = true},                                                                                             \
      {.name = "webhook-token-file", .argument = "FILE", .help = "http(s): bearer token; or CAFE_WEBHOOK_TOKEN"},      \
      {.name = "kakao-token-file", .argument = "FILE", .help = "kakao: access token; or CAFE_KAKAO_TOKEN"},            \
      {.name = "kakao-template", .argument = "ID", .help = "kakao: a custom template, in place of the text one"},      \
      {.name = "kakao-link", .argument = "URL", .help = "kakao: where a tap on the text template leads"},              \
      {.name = "kakao-base", .argument = "URL", .help = "kakao: where its API is",                                     \
       .fallback = "https://kapi.kakao.com"},                                                                          \
      {.name = "channel-rate", .argument = "N[/BURST]", .help = "http(s), kakao: messages a second, and at once"},     \
      {.name = "channel-timeout", .argument = "DURATION", .fallback = "5s", .help = "http(s), kakao: for a message"},  \
      {.name = "channel-ca-file", .argument = "FILE", .help = "http(s), kakao: trusted, in place of the system's"},    \
      {.name = "channel-proxy", .argument = "URL", .help = "http(s), kakao: an HTTP proxy"}

typedef struct channel_set {
  cafe_channel *all[CAFE_CHANNELS_MAX];
  uint32_t count;
} channel_set;

/* On failure the set has what was opened by then. */
int channels_open(channel_set *self, const option *options, cafe_loop *loop, cafe_err *err);
void channels_close(channel_set *self);

#endif
