/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a channel is given, judged when it is made: a URL that can't work, or that would give a secret away, is refused
 * at the start and not with the first message. The path and query of a URL may be all the secret that a receiver has,
 * so no text shows more of it than its scheme, host and port.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "channel/http.h"

typedef struct url_parts {
  char *scheme, *host, *port, *user, *password, *path;
} url_parts;

static void parts_free(url_parts *parts) {
  curl_free(parts->scheme);
  curl_free(parts->host);
  curl_free(parts->port);
  curl_free(parts->user);
  curl_free(parts->password);
  curl_free(parts->path);
}

/* An optional part that isn't there stays NULL. */
static CURLUcode parse(url_parts *out, const char *url) {
  memset(out, 0, sizeof(*out));
  CURLU *parsed = curl_url();
  if (!parsed) {
    return CURLUE_OUT_OF_MEMORY;
  }
  CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
  const struct {
    CURLUPart part;
    char **text;
  } wanted[] = {{CURLUPART_SCHEME, &out->scheme}, {CURLUPART_HOST, &out->host},         {CURLUPART_PORT, &out->port},
                {CURLUPART_USER, &out->user},     {CURLUPART_PASSWORD, &out->password}, {CURLUPART_PATH, &out->path}};
  for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]) && code == CURLUE_OK; i++) {
    code = curl_url_get(parsed, wanted[i].part, wanted[i].text, 0);
    if (code == CURLUE_NO_PORT || code == CURLUE_NO_USER || code == CURLUE_NO_PASSWORD) {
      code = CURLUE_OK;
    }
  }
  curl_url_cleanup(parsed);
  return code;
}

static int read_url(url_parts *out, const http_channel *self, const char *what, const char *url, cafe_err *err) {
  CURLUcode parsed = parse(out, url);
  if (parsed == CURLUE_OUT_OF_MEMORY) {
    return http_no_memory(self, err);
  }
  if (parsed != CURLUE_OK) {
    return cafe_fail_detail(err, CAFE_INVALID, (int32_t)parsed, "channel %s: its %s isn't understood: %s",
                            self->base.name, what, curl_url_strerror(parsed));
  }
  if (out->user || out->password) {
    return cafe_fail(err, CAFE_INVALID, "channel %s: its %s names a user or a password: that isn't kept secret, so %s",
                     self->base.name, what, "use a token, or a proxy without one");
  }
  return CAFE_OK;
}

static bool has_scheme(const url_parts *parts, const char *name) {
  return parts->scheme && strcmp(parts->scheme, name) == 0;
}

static bool is_this_machine(const char *host) {
  bool is_127 = strncmp(host, "127.", 4) == 0 && host[strspn(host, "0123456789.")] == '\0';
  return is_127 || strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

int check_url(http_channel *self, const http_settings *settings, cafe_err *err) {
  url_parts parts;
  if (!settings->url) {
    return cafe_fail(err, CAFE_INVALID, "channel %s: url is NULL, and needed", self->base.name);
  }
  int code = read_url(&parts, self, "url", settings->url, err);
  if (code == CAFE_OK && !has_scheme(&parts, "https") && !has_scheme(&parts, "http")) {
    code = cafe_fail(err, CAFE_INVALID, "channel %s: its url begins with http:// or https://", self->base.name);
  }
  bool has_token = self->token || self->token_file;
  if (code == CAFE_OK && has_token && !has_scheme(&parts, "https") && !settings->allows_clear_token &&
      !is_this_machine(parts.host)) {
    code = cafe_fail(err, CAFE_INVALID,
                     "channel %s: its token would go to %s in the clear: use https, or set allows_clear_token",
                     self->base.name, parts.host);
  }
  if (code == CAFE_OK) {
    self->origin = arena_printf(self->kept, "%s://%s%s%s", parts.scheme, parts.host, parts.port ? ":" : "",
                                parts.port ? parts.port : "");
    code = self->origin && http_keep(&self->url, self, settings->url) ? CAFE_OK : http_no_memory(self, err);
  }
  parts_free(&parts);
  return code;
}

int check_proxy(const http_channel *self, cafe_err *err) {
  url_parts parts;
  if (!self->proxy) {
    return CAFE_OK;
  }
  int code = read_url(&parts, self, "proxy", self->proxy, err);
  if (code == CAFE_OK && !has_scheme(&parts, "https") && !has_scheme(&parts, "http")) {
    code = cafe_fail(err, CAFE_INVALID, "channel %s: its proxy begins with http:// or https://", self->base.name);
  }
  parts_free(&parts);
  return code;
}

int check_file(const http_channel *self, const char *what, const char *path, cafe_err *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd >= 0) {
    (void)close(fd);
    return CAFE_OK;
  }
  int cause = errno;
  cafe_code code = cause == EACCES || cause == EPERM ? CAFE_DENIED : CAFE_INVALID;
  return cafe_fail_detail(err, code, cause, "channel %s: its %s %s can't be read: %s", self->base.name, what, path,
                          strerror(cause));
}
