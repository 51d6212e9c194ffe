/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include <microhttpd.h>

#include "http/http.h"

enum {
  EXCHANGE_BODY_MAX = 65536,
  EXCHANGE_DISCARD_MAX = 16777216, /* of a larger body so much is read, so that the answer reaches its sender */
  EXCHANGE_HEADERS_MAX = 8
};

/* A request and its answer, as they lie between libmicrohttpd and the handlers. In the request's own arena. */
typedef struct exchange {
  http_request request; /* first: a request is its exchange */
  http_server *server;
  struct MHD_Connection *connection;
  const char *method;
  buffer received;
  uint64_t discarded; /* bytes of a body that is too large */
  size_t held;        /* http_hold */
  uint64_t *all_held; /* by all of the server's */
  bool is_dispatched; /* its body was read */
  bool is_suspended;
  bool is_sent; /* the answer is libmicrohttpd's to send */
  bool must_close;

  cafe_op *op; /* what it waits for, or NULL */
  uint64_t op_until_ms;

  uint64_t begun_ns;        /* uv_hrtime */
  unsigned status;          /* 0: not answered yet */
  const char *content_type; /* of a 2xx; NULL: JSON */
  buffer body;
  struct {
    const char *name;
    const char *value;
  } headers[EXCHANGE_HEADERS_MAX];
  uint32_t header_count;
  int32_t retry_after_ms; /* 0: not known */
  char retry_after[12];

  /* stream.c's */
  void (*more)(http_request *request, void *user); /* NULL: the answer is whole */
  void *more_user;
  size_t streamed; /* of body */
  bool has_moved;  /* something was sent since the last look */
  bool is_ended;

  /* command.c's */
  const http_command *command;
  json_wrongs *wrongs;
} exchange;

/* Answers what the head shows to be wrong. */
void exchange_check_head(exchange *self, const char *version, bool is_uri_too_long, bool is_uri_malformed);

/* Finds the route and hands the request to it, or answers why not. */
void exchange_dispatch(exchange *self);

/* A problem with a status of its own (too-large has three). */
void exchange_problem(exchange *self, unsigned status, http_problem_name name, const char *detail);

/* What its server counts, how many it is connected to, and where it writes what it has to say. */
struct http_metrics *exchange_metrics(const exchange *self);
uint32_t exchange_connections(const exchange *self);
const cafe_log *exchange_log(const exchange *self);

/* The answer is complete, or its next piece is: it goes out in this turn of the loop or the next. */
void exchange_answered(exchange *self);

/* ---- stream.c ---- */

struct MHD_Response *exchange_stream(exchange *self); /* NULL: no memory */
/* No piece is asked for any more; what is written is sent. */
void exchange_end_stream(exchange *self);
/* Now and then: false if the client has left. */
bool exchange_check_stream(exchange *self, int fd);

#endif
