/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KakaoTalk, by its message REST API; cafe/channel/kakao.h names the sources and says what follows from them.
 *
 * What it keeps: a message counts as sent only when Kakao says so in the body of its answer, since status 200 is also
 * what it says of friends who didn't get it; and nobody who has a message is told again by us.
 */
#include "cafe/channel/kakao.h"

#include <stdlib.h>

#include "base/sized.h"
#include "base/str.h"
#include "channel/http.h"
#include "channel/json.h"

enum {
  IN_FLIGHT_MAX = 4,
  RECEIVERS_MAX = 5,
  TEXT_MAX = 200, /* of the default text template */
  /* A quota is a day's or a month's; to ask once in ten minutes goes on for hours, and costs nothing. */
  QUOTA_MS = 600000,
  PAUSE_MS = 60000, /* maintenance; and somebody has to write a new token */
  BAD_TOKEN = -401
};

typedef struct kakao {
  http_channel http;
  bool is_to_friends;
  char *receivers; /* NULL: the customer */
  char *template_id;
  char *link_url;
} kakao;

/* ---- what is sent ---- */

/* A field of application/x-www-form-urlencoded, with NUL: every byte that isn't unreserved in RFC 3986 as %XX. */
static const char *form_escape(cafe_arena *arena, const char *text) {
  static const char hex[] = "0123456789ABCDEF";
  char *out = cafe_arena_alloc(arena, strlen(text) * 3 + 1);
  char *to = out;
  for (; out && *text; text++) {
    unsigned char c = (unsigned char)*text;
    bool is_plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
                    c == '.' || c == '_' || c == '~';
    if (is_plain) {
      *to++ = (char)c;
    } else {
      *to++ = '%';
      *to++ = hex[c >> 4];
      *to++ = hex[c & 15];
    }
  }
  return out;
}

/* As much of the text as the template takes. Characters outside the first plane count twice: so do Kakao's clients. */
static cafe_slice shorten(cafe_slice text) {
  size_t size = 0;
  for (size_t count = 0; size < text.size;) {
    unsigned char c = (unsigned char)text.data[size];
    size_t bytes = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    count += bytes == 4 ? 2 : 1;
    if (count > TEXT_MAX || size + bytes > text.size) {
      break;
    }
    size += bytes;
  }
  return (cafe_slice){text.data, size};
}

static const char *default_template(cafe_arena *arena, const kakao *self, const cafe_delivery *delivery) {
  const char *text = json_escape(arena, shorten(delivery->message));
  const char *link = self->link_url ? json_escape(arena, cafe_text(self->link_url)) : "";
  if (!text || !link) {
    return NULL;
  }
  const char *links =
      self->link_url ? arena_printf(arena, "\"web_url\":\"%s\",\"mobile_web_url\":\"%s\"", link, link) : "";
  return links ? arena_printf(arena, "{\"object_type\":\"text\",\"text\":\"%s\",\"link\":{%s}}", text, links) : NULL;
}

static const char *template_args(cafe_arena *arena, const cafe_delivery *delivery) {
  const char *customer = json_escape(arena, delivery->customer_id);
  const char *event = json_escape(arena, delivery->event);
  const char *message = json_escape(arena, delivery->message);
  if (!customer || !event || !message) {
    return NULL;
  }
  return arena_printf(arena,
                      "{\"notificationId\":\"%s\",\"orderId\":\"%llu\",\"customerId\":\"%s\",\"event\":\"%s\","
                      "\"message\":\"%s\"}",
                      delivery->notification_id, (unsigned long long)delivery->order_id, customer, event, message);
}

/* "a,b" as ["a","b"]. */
static const char *receiver_list(cafe_arena *arena, cafe_slice uuids, bool is_list) {
  const char *escaped = json_escape(arena, uuids);
  char *out = escaped ? cafe_arena_alloc(arena, strlen(escaped) * 3 + 5) : NULL;
  char *to = out;
  if (!out) {
    return NULL;
  }
  *to++ = '[';
  *to++ = '"';
  for (; *escaped; escaped++) {
    if (*escaped == ',' && is_list) {
      *to++ = '"';
      *to++ = ',';
      *to++ = '"';
    } else {
      *to++ = *escaped;
    }
  }
  memcpy(to, "\"]", 3);
  return out;
}

static const char *write_fields(const kakao *self, const cafe_delivery *delivery, cafe_arena *arena) {
  const char *json = self->template_id ? template_args(arena, delivery) : default_template(arena, self, delivery);
  const char *escaped = json ? form_escape(arena, json) : NULL;
  if (!escaped) {
    return NULL;
  }
  return self->template_id ? arena_printf(arena, "template_id=%s&template_args=%s", self->template_id, escaped)
                           : arena_printf(arena, "template_object=%s", escaped);
}

static const char *write_body(const kakao *self, const cafe_delivery *delivery, cafe_arena *arena) {
  const char *fields = write_fields(self, delivery, arena);
  if (!fields || !self->is_to_friends) {
    return fields;
  }
  cafe_slice uuids = self->receivers ? cafe_text(self->receivers) : delivery->customer_id;
  const char *list = receiver_list(arena, uuids, self->receivers != NULL);
  const char *escaped = list ? form_escape(arena, list) : NULL;
  return escaped ? arena_printf(arena, "receiver_uuids=%s&%s", escaped, fields) : NULL;
}

static int write_request(http_request *out, const http_channel *base, const cafe_delivery *delivery, cafe_arena *arena,
                         cafe_err *err) {
  const kakao *self = (const kakao *)base;
  out->url = base->url;
  out->body = write_body(self, delivery, arena);
  return out->body ? CAFE_OK : http_no_memory(base, err);
}

/* ---- what comes back ---- */

/* What stands behind a key, wherever in the answer; NULL: nothing. A key within a string has a backslash before its
 * quotes, and isn't found. */
static const char *find(const char *body, const char *key) {
  const char *at = strstr(body, key);
  if (!at) {
    return NULL;
  }
  at += strlen(key);
  at += strspn(at, " \t\r\n");
  if (*at != ':') {
    return NULL;
  }
  at++;
  return at + strspn(at, " \t\r\n");
}

static long find_number(const char *body, const char *key, long otherwise) {
  const char *at = find(body, key);
  char *end;
  long number = at ? strtol(at, &end, 10) : 0;
  return at && end != at ? number : otherwise;
}

/* Whether a list is there and isn't empty. */
static bool has_items(const char *body, const char *key) {
  const char *at = find(body, key);
  if (!at || *at != '[') {
    return false;
  }
  at++;
  at += strspn(at, " \t\r\n");
  return *at != ']' && *at != '\0';
}

static int32_t pause_ms(long code) {
  switch (code) {
  case -1:
  case -603:
    return 1;
  case -7:
  case -9798:
  case BAD_TOKEN:
    return PAUSE_MS;
  case -10:
  case -532:
  case -533:
  case -536:
    return QUOTA_MS;
  default:
    return 0; /* never */
  }
}

/* code 0: none was said. */
static int refused(const http_channel *self, const http_answer *answer, long code, cafe_err *err) {
  int32_t pause = pause_ms(answer->status == 401 ? BAD_TOKEN : code);
  if (pause == 0) {
    int by_status = http_judge(self, answer, err);
    return by_status != CAFE_OK ? by_status
                                : cafe_fail_detail(err, CAFE_INVALID, (int32_t)code, "channel %s: refused: %s",
                                                   self->base.name, answer->text);
  }
  const char *remedy = "";
  if (answer->status == 401 || code == BAD_TOKEN) {
    remedy = self->token_file ? "the access token isn't valid: write a new one into its token_file: "
                              : "the access token isn't valid: start anew with another: ";
  }
  (void)cafe_fail_detail(err, CAFE_UNAVAILABLE, (int32_t)code, "channel %s: %s%s", self->base.name, remedy,
                         answer->text);
  if (err) {
    err->retry_after_ms = answer->retry_after_ms > pause ? answer->retry_after_ms : pause;
  }
  return CAFE_UNAVAILABLE;
}

static int unclear(const http_channel *self, const http_answer *answer, cafe_err *err) {
  return cafe_fail(err, CAFE_TIMEOUT, "channel %s: %s answered %ld, but not as the API does: %s", self->base.name,
                   self->origin, answer->status, answer->text);
}

static int judge_friends(const http_channel *self, const http_answer *answer, cafe_err *err) {
  bool has_failed = has_items(answer->body, "\"failure_info\"");
  bool has_succeeded = has_items(answer->body, "\"successful_receiver_uuids\"");
  if (has_failed && has_succeeded) {
    return cafe_fail(err, CAFE_INVALID, "channel %s: not all receivers have it: %s", self->base.name, answer->text);
  }
  if (has_failed) {
    return refused(self, answer, find_number(answer->body, "\"code\"", 0), err);
  }
  return has_succeeded ? CAFE_OK : unclear(self, answer, err);
}

static int judge(const http_channel *base, const http_answer *answer, cafe_err *err) {
  const kakao *self = (const kakao *)base;
  if (answer->status != 200) {
    return refused(base, answer, find_number(answer->body, "\"code\"", 0), err);
  }
  if (answer->is_cut) {
    return unclear(base, answer, err);
  }
  if (self->is_to_friends) {
    return judge_friends(base, answer, err);
  }
  return find_number(answer->body, "\"result_code\"", -1) == 0 ? CAFE_OK : unclear(base, answer, err);
}

/* ---- making ---- */

static const http_kind kakao_kind = {.write = write_request,
                                     .judge = judge,
                                     .content_type = "application/x-www-form-urlencoded;charset=utf-8",
                                     .keeps_connections = false};

static int check_receivers(const cafe_kakao_options *options, cafe_err *err) {
  const char *at = options->receivers;
  size_t count = 1;
  if (!at) {
    return CAFE_OK;
  }
  if (options->target != CAFE_KAKAO_FRIENDS) {
    return cafe_fail(err, CAFE_INVALID, "channel kakao: receivers are friends: set the target, too");
  }
  for (bool has_some = false; *at; at++) {
    if (*at == ',' && (!has_some || !at[1])) {
      count = RECEIVERS_MAX + 1;
      break;
    }
    has_some = *at != ',';
    count += *at == ',';
  }
  return *options->receivers && count <= RECEIVERS_MAX
             ? CAFE_OK
             : cafe_fail(err, CAFE_INVALID, "channel kakao: receivers must be 1 to %d uuids, separated by commas",
                         (int)RECEIVERS_MAX);
}

static int check_options(const cafe_kakao_options *options, cafe_err *err) {
  if (options->target != CAFE_KAKAO_MEMO && options->target != CAFE_KAKAO_FRIENDS) {
    return cafe_fail(err, CAFE_INVALID, "channel kakao: target: an unknown one is asked for");
  }
  if (!options->token && !options->token_file) {
    return cafe_fail(err, CAFE_INVALID, "channel kakao: it needs an access token: set token_file");
  }
  const char *id = options->template_id;
  if (id && (!*id || id[strspn(id, "0123456789")] || strlen(id) > 20)) {
    return cafe_fail(err, CAFE_INVALID, "channel kakao: template_id must be digits");
  }
  return check_receivers(options, err);
}

static const char *path_of(const cafe_kakao_options *options) {
  if (options->target == CAFE_KAKAO_MEMO) {
    return options->template_id ? "/v2/api/talk/memo/send" : "/v2/api/talk/memo/default/send";
  }
  return options->template_id ? "/v1/api/talk/friends/message/send" : "/v1/api/talk/friends/message/default/send";
}

static int make_url(char **out, cafe_arena *arena, const cafe_kakao_options *options, cafe_err *err) {
  const char *base = options->base ? options->base : "https://kapi.kakao.com";
  const char *host = strstr(base, "://");
  size_t size = strlen(base);
  size -= size > 0 && base[size - 1] == '/';
  if (!host || strcspn(host + 3, "/?#") < size - (size_t)(host + 3 - base)) {
    return cafe_fail(err, CAFE_INVALID, "channel kakao: base must be http(s)://HOST[:PORT], without a path");
  }
  *out = arena_printf(arena, "%.*s%s", (int)size, base, path_of(options));
  return *out ? CAFE_OK : cafe_fail(err, CAFE_NOMEM, "channel kakao: memory was refused");
}

static int create(kakao **out, cafe_loop *loop, const cafe_kakao_options *options, const char *url,
                  const cafe_allocator *allocator, cafe_err *err) {
  http_settings settings = {
      .name = options->name ? options->name : "kakao",
      .url = url,
      .token = options->token,
      .token_file = options->token_file,
      .ca_file = options->ca_file,
      .proxy = options->proxy,
      .allows_clear_token = options->allows_clear_token,
      .timeout_ms = options->timeout_ms,
      .in_flight_max = options->in_flight_max ? options->in_flight_max : IN_FLIGHT_MAX,
      .waiting_max = options->waiting_max,
      .rate_per_s = options->rate_per_s,
      .burst = options->burst,
  };
  http_channel *http;
  int code = http_create(&http, sizeof(kakao), loop, &kakao_kind, &settings, allocator, err);
  if (code != CAFE_OK) {
    return code;
  }
  kakao *self = (kakao *)http;
  self->is_to_friends = options->target == CAFE_KAKAO_FRIENDS;
  if (!http_keep(&self->receivers, http, options->receivers) ||
      !http_keep(&self->template_id, http, options->template_id) ||
      !http_keep(&self->link_url, http, options->link_url)) {
    code = http_no_memory(http, err);
    cafe_channel_destroy(&http->base);
    return code;
  }
  *out = self;
  return CAFE_OK;
}

int cafe_kakao_create(cafe_channel **out, cafe_loop *loop, const cafe_kakao_options *given,
                      const cafe_allocator *allocator, cafe_err *err) {
  cafe_kakao_options options;
  kakao *self = NULL;
  char *url = NULL;
  int code = SIZED_READ(&options, given, cafe_kakao_options, burst, "CAFE_KAKAO_OPTIONS_INIT", err);
  if (code == CAFE_OK) {
    code = check_options(&options, err);
  }
  if (code != CAFE_OK) {
    return code;
  }
  cafe_arena *arena = cafe_arena_create(allocator);
  code = arena ? make_url(&url, arena, &options, err) : cafe_fail(err, CAFE_NOMEM, "channel kakao: memory was refused");
  if (code == CAFE_OK) {
    code = create(&self, loop, &options, url, allocator, err);
  }
  cafe_arena_destroy(arena);
  if (code == CAFE_OK) {
    *out = &self->http.base;
  }
  return code;
}
