/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels by their URLs. What a message says of a URL that is wrong is no more than its beginning: the rest may be a
 * secret.
 */
#include "customer/channels.h"
#include "cafe/channel/file.h"
#ifdef CAFE_HAS_CHANNELS
#include "cafe/channel/kakao.h"
#include "cafe/channel/webhook.h"
#endif

#include <stdio.h>
#include <stdlib.h>

static bool begins(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

#ifdef CAFE_HAS_CHANNELS
/* The shop's worker takes a message for failed that has no answer after 10 s. */
enum { RATE_MAX = 1000000, TIMEOUT_MAX_MS = 9000 };

/* What both kinds are told. */
typedef struct common {
  const char *ca_file, *proxy;
  int64_t timeout_ms;
  uint32_t rate_per_s, burst;
} common;

/* A number from 1, ended by `end` or by the text. */
static bool read_number(uint32_t *out, const char **at, char end) {
  const char *from = *at;
  uint32_t number = 0;
  for (; **at >= '0' && **at <= '9' && number <= RATE_MAX; (*at)++) {
    number = number * 10 + (uint32_t)(**at - '0');
  }
  *out = number;
  return *at > from && number >= 1 && number <= RATE_MAX && (**at == end || **at == '\0');
}

static int read_common(common *out, const option *options, cafe_err *err) {
  const char *rate = option_value(options, "channel-rate");
  *out = (common){.ca_file = option_value(options, "channel-ca-file"), .proxy = option_value(options, "channel-proxy")};
  if (rate) {
    const char *at = rate;
    bool is_good = read_number(&out->rate_per_s, &at, '/');
    if (is_good && *at == '/') {
      at++;
      is_good = read_number(&out->burst, &at, '\0');
    }
    if (!is_good) {
      return cafe_fail(err, CAFE_INVALID, "%s%s: a rate is N or N/BURST, from 1 to %d",
                       option_given_as(options, "channel-rate"), rate, RATE_MAX);
    }
  }
  int code = option_duration(&out->timeout_ms, options, "channel-timeout", err);
  if (code == CAFE_OK && out->timeout_ms > TIMEOUT_MAX_MS) {
    code = cafe_fail(err, CAFE_INVALID, "%s%s: at most %d ms", option_given_as(options, "channel-timeout"),
                     option_value(options, "channel-timeout"), TIMEOUT_MAX_MS);
  }
  return code;
}

/* From a file, or from the environment: never from the command line. */
static void read_token(const char **token, const char **file, const option *options, const char *name,
                       const char *variable) {
  const char *value = getenv(variable);
  *file = option_value(options, name);
  *token = !*file && value && *value ? value : NULL;
}

static int open_webhook(cafe_channel **out, const char *url, const option *options, cafe_loop *loop, cafe_err *err) {
  cafe_webhook_options wanted = CAFE_WEBHOOK_OPTIONS_INIT;
  common given;
  int code = read_common(&given, options, err);
  if (code != CAFE_OK) {
    return code;
  }
  wanted.url = url;
  read_token(&wanted.token, &wanted.token_file, options, "webhook-token-file", "CAFE_WEBHOOK_TOKEN");
  wanted.ca_file = given.ca_file;
  wanted.proxy = given.proxy;
  wanted.timeout_ms = given.timeout_ms;
  wanted.rate_per_s = given.rate_per_s;
  wanted.burst = given.burst;
  return cafe_webhook_create(out, loop, &wanted, NULL, err);
}

/* Behind "kakao:". */
static bool read_target(cafe_kakao_options *out, const char *text) {
  static const char friends[] = "friends", uuids[] = "?uuids=";
  if (!*text || strcmp(text, "memo") == 0) {
    return true;
  }
  if (!begins(text, friends)) {
    return false;
  }
  out->target = CAFE_KAKAO_FRIENDS;
  text += strlen(friends);
  if (begins(text, uuids)) {
    out->receivers = text + strlen(uuids);
    return true;
  }
  return !*text;
}

static int open_kakao(cafe_channel **out, const char *url, const option *options, cafe_loop *loop, cafe_err *err) {
  cafe_kakao_options wanted = CAFE_KAKAO_OPTIONS_INIT;
  common given;
  int code = read_common(&given, options, err);
  if (code != CAFE_OK) {
    return code;
  }
  if (!read_target(&wanted, strchr(url, ':') + 1)) {
    return cafe_fail(err, CAFE_INVALID, "%skakao:...: it is kakao:memo, kakao:friends or kakao:friends?uuids=A,B",
                     option_given_as(options, "channel"));
  }
  read_token(&wanted.token, &wanted.token_file, options, "kakao-token-file", "CAFE_KAKAO_TOKEN");
  if (!wanted.token && !wanted.token_file) {
    return cafe_fail(err, CAFE_INVALID, "%skakao:...: it needs an access token: set --kakao-token-file",
                     option_given_as(options, "channel"));
  }
  wanted.base = option_value(options, "kakao-base");
  wanted.template_id = option_value(options, "kakao-template");
  wanted.link_url = option_value(options, "kakao-link");
  wanted.ca_file = given.ca_file;
  wanted.proxy = given.proxy;
  wanted.timeout_ms = given.timeout_ms;
  wanted.rate_per_s = given.rate_per_s;
  wanted.burst = given.burst;
  return cafe_kakao_create(out, loop, &wanted, NULL, err);
}
#else
static int open_webhook(cafe_channel **out, const char *url, const option *options, cafe_loop *loop, cafe_err *err) {
  (void)out, (void)url, (void)options, (void)loop;
  return cafe_fail(err, CAFE_UNSUPPORTED, "--channel: only console: and file: here: build with CAFE_WITH_CHANNELS");
}

static int open_kakao(cafe_channel **out, const char *url, const option *options, cafe_loop *loop, cafe_err *err) {
  return open_webhook(out, url, options, loop, err);
}
#endif

static int open_channel(cafe_channel **out, const char *url, const option *options, cafe_loop *loop, cafe_err *err) {
  if (strcmp(url, "console:") == 0) {
    return cafe_console_create(out, loop, NULL, err);
  }
  if (begins(url, "file:") && url[5]) {
    return cafe_file_channel_create(out, loop, url + 5, NULL, err);
  }
  if (begins(url, "http://") || begins(url, "https://")) {
    return open_webhook(out, url, options, loop, err);
  }
  if (begins(url, "kakao:")) {
    return open_kakao(out, url, options, loop, err);
  }
  return cafe_fail(err, CAFE_INVALID, "%s%.*s...: a channel is console:, file:PATH, http(s)://... or kakao:",
                   option_given_as(options, "channel"), (int)strcspn(url, ":/@?#"), url);
}

int channels_open(channel_set *self, const option *options, cafe_loop *loop, cafe_err *err) {
  const option *wanted = option_find(options, "channel");
  if (wanted->count > CAFE_CHANNELS_MAX) {
    return cafe_fail(err, CAFE_INVALID, "%s...: it is given more than %d times", wanted->given_as, CAFE_CHANNELS_MAX);
  }
  int code = CAFE_OK;
  for (uint32_t i = 0; i < wanted->count && code == CAFE_OK; i++) {
    code = open_channel(&self->all[i], wanted->values[i], options, loop, err);
    self->count += code == CAFE_OK;
  }
  return code;
}

void channels_close(channel_set *self) {
  while (self->count > 0) {
    cafe_channel_destroy(self->all[--self->count]);
  }
}
