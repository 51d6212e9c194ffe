/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface on the loop: its sockets are watches of the loop, and it never waits for anything itself.
 * How long it can do without a turn is asked for when one has ended, by curl_multi_timeout: CURLMOPT_TIMERFUNCTION
 * would say the same, but says it once only, and has to succeed.
 *
 * What it keeps: a receiver gets one request and no more (no redirect, no protocol but the two, no credentials from
 * anywhere), and whatever it sends back is bounded: so many bytes of head and of body are taken, then the connection is
 * cut. What was said by then counts.
 *
 * What libcurl would do otherwise, and is prevented here:
 *  - to let go of a request whose name is being looked up it joins the thread that does it, for as long as the system's
 *    resolver takes: CURLOPT_QUICK_EXIT leaves the thread to itself, which frees what it has when it ends;
 *  - without such a thread it would look names up in ours: that is refused;
 *  - a socket callback that fails makes the whole multi handle unusable: so it never fails, and the request is given up
 *    afterwards;
 *  - a multi handle that had no memory once may divide by zero when it meets the same socket again: it is thrown away,
 *    with all that runs on it, and the next request makes another;
 *  - proxies and the names that need none come from the environment: both are set.
 */
#include <assert.h>
#include <string.h>

#include <utlist.h>

#include "base/str.h"
#include "cafe/version.h"
#include "channel/http.h"

/* What came back, so far. */
typedef struct http_exchange {
  char error[CURL_ERROR_SIZE];
  size_t head_size;
  size_t body_size;
  bool has_head; /* whole */
  bool has_long_head;
  bool is_cut;
  char body[HTTP_BODY_MAX + 1];
} http_exchange;

struct http_watch {
  cafe_watch watch;
  http_channel *channel;
  struct http_watch *prev, *next;
};

static const char bearer[] = "Authorization: Bearer ";

/* ---- sockets ---- */

static void watch_destroy(http_watch *watch) {
  http_channel *self = watch->channel;
  self->loop->ops->watch_stop(self->loop, &watch->watch);
  DL_DELETE(self->watches, watch);
  (void)self->allocator.resize(watch, 0, self->allocator.user);
}

static void close_multi(http_channel *self) {
  (void)curl_multi_cleanup(self->multi); /* takes its watches off, as far as it knows them */
  self->multi = NULL;
  while (self->watches) {
    watch_destroy(self->watches);
  }
}

static void act(http_channel *self, curl_socket_t fd, int ready) {
  int running;
  if (curl_multi_socket_action(self->multi, fd, ready, &running) == CURLM_OK) {
    return;
  }
  wire_collect(self);
  while (self->running) {
    http_finish(self->running, http_no_memory(self, &self->running->err), NULL);
  }
  close_multi(self);
}

static void on_ready(cafe_watch *watch, unsigned events) {
  http_channel *self = ((http_watch *)watch->user)->channel;
  int ready = ((events & CAFE_READABLE) ? CURL_CSELECT_IN : 0) | ((events & CAFE_WRITABLE) ? CURL_CSELECT_OUT : 0);
  act(self, watch->fd, ready);
  http_advance(self);
}

static http_watch *watch_make(http_channel *self, curl_socket_t fd) {
  http_watch *watch = self->allocator.resize(NULL, sizeof(*watch), self->allocator.user);
  if (watch) {
    memset(watch, 0, sizeof(*watch));
    watch->channel = self;
    watch->watch.fd = fd;
    watch->watch.ready = on_ready;
    watch->watch.user = watch;
    DL_APPEND(self->watches, watch);
    (void)curl_multi_assign(self->multi, fd, watch); /* the socket is known: this is its callback */
  }
  return watch;
}

/* What rests on it is given up, after libcurl's turn. */
static void lose_socket(http_channel *self, const CURL *easy, const cafe_err *err) {
  http_send *send;
  DL_FOREACH(self->running, send) {
    if (send->easy == easy) {
      send->has_lost_socket = true;
      send->err = *err;
    }
  }
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *of_socket) {
  http_channel *self = user;
  http_watch *watch = of_socket;
  if (what == CURL_POLL_REMOVE) {
    if (watch) {
      watch_destroy(watch);
    }
    return 0;
  }
  unsigned events = ((what & CURL_POLL_IN) ? CAFE_READABLE : 0u) | ((what & CURL_POLL_OUT) ? CAFE_WRITABLE : 0u);
  if (!watch) {
    watch = watch_make(self, fd);
  }
  cafe_err err;
  int code = watch ? self->loop->ops->watch_start(self->loop, &watch->watch, events, &err) : http_no_memory(self, &err);
  if (code != CAFE_OK) {
    lose_socket(self, easy, &err);
  }
  return 0;
}

static CURLMcode set_multi(http_channel *self) {
  CURLMcode code = curl_multi_setopt(self->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  if (code == CURLM_OK) {
    code = curl_multi_setopt(self->multi, CURLMOPT_SOCKETDATA, (void *)self);
  }
  if (code == CURLM_OK) {
    code = curl_multi_setopt(self->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)self->in_flight_max);
  }
  if (code == CURLM_OK) {
    code = curl_multi_setopt(self->multi, CURLMOPT_MAXCONNECTS, (long)self->in_flight_max);
  }
  return code;
}

static int open_multi(http_channel *self, cafe_err *err) {
  self->multi = curl_multi_init();
  if (self->multi && set_multi(self) == CURLM_OK) {
    return CAFE_OK;
  }
  close_multi(self);
  return http_no_memory(self, err);
}

/* ---- what comes back ---- */

static size_t on_head(char *bytes, size_t one, size_t size, void *user) {
  http_exchange *exchange = user;
  (void)one;
  exchange->head_size += size;
  if (size >= 5 && memcmp(bytes, "HTTP/", 5) == 0) {
    exchange->has_head = false; /* what came before was an interim answer */
  } else if (bytes[0] == '\r' || bytes[0] == '\n') {
    exchange->has_head = true;
  }
  exchange->has_long_head = exchange->head_size > HTTP_HEAD_MAX;
  return exchange->has_long_head ? 0 : size;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *user) {
  http_exchange *exchange = user;
  size_t room = HTTP_BODY_MAX - exchange->body_size;
  size_t taken = size < room ? size : room;
  (void)one;
  memcpy(exchange->body + exchange->body_size, bytes, taken);
  exchange->body_size += taken;
  exchange->is_cut = taken < size;
  return taken; /* less than size ends the transfer */
}

/* For people: on one line, without the token, cut between two characters. */
static void make_text(char out[HTTP_BODY_MAX + 1], const http_exchange *exchange, const char *token) {
  memcpy(out, exchange->body, exchange->body_size);
  out[exchange->body_size] = '\0';
  for (size_t i = 0; i < exchange->body_size; i++) {
    if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f) {
      out[i] = ' ';
    }
  }
  if (token) {
    secret_mask(out, token);
  }
  size_t size = strlen(out);
  if (size > HTTP_TEXT_MAX) {
    size = HTTP_TEXT_MAX;
    while (size > 0 && ((unsigned char)out[size] & 0xc0) == 0x80) {
      size--;
    }
  }
  while (size > 0 && out[size - 1] == ' ') {
    size--;
  }
  out[size] = '\0';
}

static int32_t retry_after_ms(CURL *easy) {
  const curl_off_t most_s = 86400;
  curl_off_t seconds = 0;
  if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds) != CURLE_OK || seconds <= 0) {
    return 0;
  }
  return (int32_t)((seconds < most_s ? seconds : most_s) * 1000);
}

static int judge(http_send *send) {
  http_channel *self = send->channel;
  char text[HTTP_BODY_MAX + 1];
  make_text(text, send->exchange, send->token);
  http_answer answer = {.body = send->exchange->body, .is_cut = send->exchange->is_cut, .text = text};
  (void)curl_easy_getinfo(send->easy, CURLINFO_RESPONSE_CODE, &answer.status);
  answer.retry_after_ms = retry_after_ms(send->easy);
  return self->kind->judge(self, &answer, &send->err);
}

/* Once the request was on its way nobody knows what became of it. */
static int fail(http_send *send, CURLcode result) {
  http_channel *self = send->channel;
  http_exchange *exchange = send->exchange;
  long sent = 0;
  if (result == CURLE_OUT_OF_MEMORY) {
    return http_no_memory(self, &send->err);
  }
  (void)curl_easy_getinfo(send->easy, CURLINFO_REQUEST_SIZE, &sent);
  const char *why = exchange->error[0] ? exchange->error : curl_easy_strerror(result);
  if (exchange->has_long_head) {
    why = "the head of its answer has no end";
  } else if (result == CURLE_OK) {
    why = "its answer broke off";
  }
  return cafe_fail_detail(&send->err, sent > 0 ? CAFE_TIMEOUT : CAFE_UNAVAILABLE, (int32_t)result, "channel %s: %s: %s",
                          self->base.name, self->origin, why);
}

/* A head that breaks off is enough for libcurl. */
static bool is_answered(const http_send *send, CURLcode result) {
  const http_exchange *exchange = send->exchange;
  return exchange->has_head && (result == CURLE_OK || (result == CURLE_WRITE_ERROR && exchange->is_cut));
}

void wire_collect(http_channel *self) {
  CURLMsg *message;
  int left;
  while (self->multi && (message = curl_multi_info_read(self->multi, &left))) {
    CURLcode result = message->data.result;
    char *private = NULL;
    (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
    http_send *send = (http_send *)(void *)private;
    http_finish(send, is_answered(send, result) ? judge(send) : fail(send, result), NULL);
  }
  http_send *send, *next;
  DL_FOREACH_SAFE(self->running, send, next) {
    if (send->has_lost_socket) {
      http_finish(send, send->err.code, NULL);
    }
  }
}

/* ---- one request ---- */

static int add_header(http_send *send, const char *name, const char *value, cafe_err *err) {
  char line[sizeof(bearer) + HTTP_TOKEN_MAX];
  struct curl_slist *list = NULL;
  assert(strlen(name) + strlen(value) < sizeof(line));
  memcpy(line, name, strlen(name) + 1);
  memcpy(line + strlen(name), value, strlen(value) + 1);
  list = curl_slist_append(send->headers, line);
  secret_wipe(line, sizeof(line));
  if (!list) {
    return http_no_memory(send->channel, err);
  }
  send->headers = list;
  return CAFE_OK;
}

static int add_token(http_send *send, cafe_err *err) {
  char token[HTTP_TOKEN_MAX + 1];
  int code = secret_read(token, send->channel, err);
  if (code == CAFE_OK && token[0]) {
    code = add_header(send, bearer, token, err);
  }
  if (code == CAFE_OK && token[0]) {
    const struct curl_slist *last = send->headers;
    while (last->next) {
      last = last->next;
    }
    send->token = last->data + strlen(bearer);
  }
  secret_wipe(token, sizeof(token));
  if (code == CAFE_INVALID || code == CAFE_DENIED) {
    code = err->code = CAFE_UNAVAILABLE; /* whoever wrote the file may write it anew */
  }
  return code;
}

static int add_headers(http_send *send, const http_request *request, cafe_err *err) {
  int code = add_header(send, "Content-Type: ", send->channel->kind->content_type, err);
  if (code == CAFE_OK) {
    code = add_header(send, "Expect:", "", err); /* not sent: no turn is spent on asking first */
  }
  if (code == CAFE_OK && request->idempotency_key) {
    code = add_header(send, "Idempotency-Key: ", request->idempotency_key, err);
  }
  return code == CAFE_OK ? add_token(send, err) : code;
}

#define SET(option, value) (result = result == CURLE_OK ? curl_easy_setopt(easy, option, value) : result)

static CURLcode set_protocols(CURL *easy) {
  CURLcode result = CURLE_OK;
#if LIBCURL_VERSION_NUM >= 0x075500
  SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
  SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
  (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* not known to an older one that this may run with */
#endif
  SET(CURLOPT_NOSIGNAL, 1L);
  SET(CURLOPT_FOLLOWLOCATION, 0L);
  SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  SET(CURLOPT_USERAGENT, "cafe/" CAFE_VERSION);
  return result;
}

static CURLcode set_connection(CURL *easy, const http_channel *self) {
  CURLcode result = CURLE_OK;
  long is_fresh = self->kind->keeps_connections ? 0L : 1L;
  SET(CURLOPT_FRESH_CONNECT, is_fresh);
  SET(CURLOPT_FORBID_REUSE, is_fresh);
  SET(CURLOPT_PROXY, self->proxy ? self->proxy : "");
  SET(CURLOPT_NOPROXY, "");
  SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
  SET(CURLOPT_SSL_VERIFYPEER, 1L);
  SET(CURLOPT_SSL_VERIFYHOST, 2L);
  if (self->ca_file) {
    SET(CURLOPT_CAINFO, self->ca_file);
    SET(CURLOPT_CAPATH, NULL);
  }
  return result;
}

static CURLcode set_request(http_send *send, const http_request *request) {
  CURLcode result = CURLE_OK;
  CURL *easy = send->easy;
  SET(CURLOPT_PRIVATE, (void *)send);
  SET(CURLOPT_ERRORBUFFER, send->exchange->error);
  SET(CURLOPT_HEADERFUNCTION, on_head);
  SET(CURLOPT_HEADERDATA, (void *)send->exchange);
  SET(CURLOPT_WRITEFUNCTION, on_body);
  SET(CURLOPT_WRITEDATA, (void *)send->exchange);
  SET(CURLOPT_URL, request->url);
  SET(CURLOPT_POSTFIELDS, request->body);
  SET(CURLOPT_HTTPHEADER, send->headers);
  return result;
}

#undef SET

static int prepare(http_send *send, const http_request *request, cafe_err *err) {
  http_channel *self = send->channel;
  send->exchange = cafe_arena_alloc(send->arena, sizeof(*send->exchange));
  send->easy = send->exchange ? curl_easy_init() : NULL;
  if (!send->easy) {
    return http_no_memory(self, err);
  }
  int code = add_headers(send, request, err);
  if (code != CAFE_OK) {
    return code;
  }
  CURLcode result = set_protocols(send->easy);
  if (result == CURLE_OK) {
    result = set_connection(send->easy, self);
  }
  if (result == CURLE_OK) {
    result = set_request(send, request);
  }
  if (result == CURLE_OUT_OF_MEMORY || (result == CURLE_OK && curl_multi_add_handle(self->multi, send->easy))) {
    return http_no_memory(self, err);
  }
  return result == CURLE_OK ? CAFE_OK
                            : cafe_fail_detail(err, CAFE_UNSUPPORTED, (int32_t)result,
                                               "channel %s: libcurl doesn't take an option: %s", self->base.name,
                                               curl_easy_strerror(result));
}

int wire_begin(http_send *send, cafe_err *err) {
  http_channel *self = send->channel;
  http_request request = {0};
  int code = self->multi ? CAFE_OK : open_multi(self, err);
  if (code == CAFE_OK) {
    send->arena = cafe_arena_create(&self->allocator);
    code =
        send->arena ? self->kind->write(&request, self, send->delivery, send->arena, err) : http_no_memory(self, err);
  }
  if (code == CAFE_OK) {
    code = prepare(send, &request, err);
  }
  if (code != CAFE_OK) {
    wire_end(send);
  }
  return code;
}

void wire_end(http_send *send) {
  if (send->easy) {
    (void)curl_multi_remove_handle(send->channel->multi, send->easy); /* harmless where it wasn't added */
    curl_easy_cleanup(send->easy);
  }
  if (send->token) {
    secret_wipe(send->exchange, sizeof(*send->exchange)); /* receivers repeat what they were sent */
  }
  for (struct curl_slist *header = send->headers; header; header = header->next) {
    secret_wipe(header->data, strlen(header->data));
  }
  curl_slist_free_all(send->headers);
  cafe_arena_destroy(send->arena);
  send->easy = NULL;
  send->headers = NULL;
  send->token = NULL;
  send->exchange = NULL;
  send->arena = NULL;
}

/* ---- turns ---- */

int64_t wire_due_us(const http_channel *self) {
  long wait_ms = -1;
  if (!self->multi || curl_multi_timeout(self->multi, &wait_ms) != CURLM_OK || wait_ms < 0) {
    return INT64_MAX;
  }
  return self->loop->ops->now_us(self->loop) + (int64_t)wait_ms * 1000;
}

void wire_turn(http_channel *self) { act(self, CURL_SOCKET_TIMEOUT, 0); }

/* ---- the handle ---- */

int wire_open(http_channel *self, cafe_err *err) {
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    return http_no_memory(self, err);
  }
  self->has_curl = true;
  const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
  if (!(curl->features & CURL_VERSION_ASYNCHDNS) || !(curl->features & CURL_VERSION_SSL)) {
    return cafe_fail(err, CAFE_UNSUPPORTED,
                     "channel %s: libcurl %s can't look names up beside the loop, or has no TLS: use another build",
                     self->base.name, curl->version);
  }
  return open_multi(self, err);
}

void wire_close(http_channel *self) {
  close_multi(self);
  if (self->has_curl) {
    curl_global_cleanup();
  }
}
