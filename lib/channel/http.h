/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHANNEL_HTTP_H
#define CHANNEL_HTTP_H

#include <curl/curl.h>

#include "cafe/sys/channel.h"
#include "cafe/sys/loop.h"
#include "resilience/bucket.h"

/* What the channels over HTTP share: http.c has the deliveries and their turns, http_wire.c libcurl, http_secret.c the
 * token, http_check.c URLs and files. */

enum {
  HTTP_TOKEN_MAX = 4096,
  HTTP_HEAD_MAX = 16384, /* of an answer, in bytes */
  HTTP_BODY_MAX = 4096,  /* of an answer, as far as it is looked at */
  HTTP_TEXT_MAX = 120    /* of it in a text */
};

typedef struct http_channel http_channel;

/* What a kind of channel sends. BORROW: the delivery's arena. */
typedef struct http_request {
  const char *url;
  const char *body;
  const char *idempotency_key; /* NULL: there is none */
} http_request;

typedef struct http_answer {
  long status;
  const char *body;       /* ends with NUL */
  bool is_cut;            /* there is more of it */
  int32_t retry_after_ms; /* 0: not said */
  const char *text;       /* of the body, for people: on one line, short, without the token */
} http_answer;

typedef struct http_kind {
  /* CAFE_OK; CAFE_NOMEM; a code that isn't retryable where the delivery can't be sent at all. */
  int (*write)(http_request *out, const http_channel *self, const cafe_delivery *delivery, cafe_arena *arena,
               cafe_err *err);
  /* What the answer is. */
  int (*judge)(const http_channel *self, const http_answer *answer, cafe_err *err);
  const char *content_type;
  bool keeps_connections;
} http_kind;

/* What both kinds' options say. */
typedef struct http_settings {
  const char *name, *url, *token, *token_file, *ca_file, *proxy;
  bool allows_clear_token;
  int64_t timeout_ms;
  uint32_t in_flight_max, waiting_max, rate_per_s, burst;
} http_settings;

/* One delivery: in `waiting`, `running` or `over` of its channel. */
typedef struct http_send {
  http_channel *channel;
  cafe_delivery *delivery;
  struct http_send **list;
  struct http_send *prev, *next;
  int64_t deadline_us; /* running */
  /* libcurl's side, while it runs. */
  cafe_arena *arena;
  CURL *easy;
  struct curl_slist *headers; /* one has the token in it */
  const char *token;          /* there; NULL: none */
  struct http_exchange *exchange;
  bool has_lost_socket; /* one that can't be watched */
  int code;             /* over: what becomes of it */
  cafe_err err;
} http_send;

typedef struct http_watch http_watch;

/* A kind's struct embeds this first. */
struct http_channel {
  cafe_channel base;
  cafe_allocator allocator;
  cafe_loop *loop;
  const http_kind *kind;
  cafe_arena *kept; /* the texts below, and the kind's own */
  char *url, *origin, *token_file, *ca_file, *proxy;
  char *token; /* a secret */
  int64_t timeout_ms;
  uint32_t in_flight_max, waiting_max;
  bucket rate;
  cafe_timer timer; /* the only one: whatever is due next */
  http_send *waiting, *running, *over;
  uint32_t waiting_count, running_count;
  bool has_curl;
  CURLM *multi;
  http_watch *watches;
};

/* ---- http.c ---- */

/* Makes a channel of `size` zeroed bytes that begin with http_channel, and opens it. settings BORROW. OWN:
 * cafe_channel_destroy. */
int http_create(http_channel **out, size_t size, cafe_loop *loop, const http_kind *kind, const http_settings *settings,
                const cafe_allocator *allocator, cafe_err *err);

/* Afterwards it is in `over`, and answered when the turn ends. err NULL: the receiver has it. */
void http_finish(http_send *send, int code, const cafe_err *err);
/* What any turn of libcurl ends with: answers what is over, begins what has its turn, sets the timer. */
void http_advance(http_channel *self);

/* A copy in `kept`; NULL of NULL. false: no memory. */
bool http_keep(char **out, const http_channel *self, const char *text);
int http_no_memory(const http_channel *self, cafe_err *err);
/* By its status alone: CAFE_OK for 2xx. */
int http_judge(const http_channel *self, const http_answer *answer, cafe_err *err);

/* ---- http_wire.c ---- */

int wire_open(http_channel *self, cafe_err *err);
void wire_close(http_channel *self);
/* Begins it; on failure wire_end has been done. */
int wire_begin(http_send *send, cafe_err *err);
/* Lets go of it, whatever it does. Harmless where it hasn't begun. */
void wire_end(http_send *send);
/* When libcurl wants its turn; INT64_MAX: never. */
int64_t wire_due_us(const http_channel *self);
void wire_turn(http_channel *self);
/* Finishes what libcurl says is done. */
void wire_collect(http_channel *self);

/* ---- http_secret.c ---- */

/* The token for one message; *out is empty where there is none. CAFE_UNAVAILABLE, CAFE_DENIED: its file can't be read;
 * CAFE_INVALID: it is none that a header can carry. */
int secret_read(char out[HTTP_TOKEN_MAX + 1], const http_channel *self, cafe_err *err);
/* Overwrites, in a way that no compiler leaves out. */
void secret_wipe(void *bytes, size_t size);
/* Every trace of the token in the text becomes '*', also one that the text's end cuts off. */
void secret_mask(char *text, const char *token);

/* ---- http_check.c ---- */

/* Sets url and origin, and says whether a token may be sent there. */
int check_url(http_channel *self, const http_settings *settings, cafe_err *err);
int check_proxy(const http_channel *self, cafe_err *err);
/* Whether a file of PEM certificates can be read. */
int check_file(const http_channel *self, const char *what, const char *path, cafe_err *err);

#endif
