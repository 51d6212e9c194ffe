/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <uv.h>

#include "cafe/cafe.h"
#include "http/buffer.h"
#include "http/json.h"

/*
 * What the servers share: a table of routes in, requests handed to their handlers, answers out. A handler runs on the
 * loop thread, must not block, and answers its request exactly once, at once or from a completion.
 */
typedef struct http_request http_request;
typedef struct http_server http_server;

typedef struct http_route {
  const char *method; /* GET serves HEAD too */
  const char *path;   /* "/orders/{id}/cancel": {id} and {sub} are keys, 1 to 2^53 - 1, {view} is a name */
  void (*handle)(http_request *request);
  const void *argument; /* what tells this route from others of its handler */
} http_route;

typedef struct http_service {
  const char *name;
  const http_route *routes; /* ended by {NULL} */
  const cafe_view *view;    /* a read of it tells whether the store can be used */
} http_service;

struct http_request {
  cafe_node *node;
  const void *config; /* the service's */
  const http_service *service;
  const http_route *route;
  const char *path;
  uint64_t id;     /* {id} of the path */
  uint64_t sub;    /* {sub} of the path */
  cafe_slice view; /* {view} of the path */
  cafe_slice body;
  cafe_arena *arena; /* lives as long as the request */
  cafe_slice trace;  /* traceparent, or empty */
};

/* A header, or an argument of the query, decoded and known to be UTF-8. NULL and empty where there is none. */
const char *http_header(const http_request *request, const char *name);
cafe_slice http_query(const http_request *request, const char *name);

/* So many bytes, in all, the server keeps for this request from now on, while its client sends, or takes the answer.
 * False: there is no room for them, and it keeps what it kept before. */
bool http_hold(http_request *request, size_t size);

/* The answer's body; write into it, then send. */
buffer *http_body(http_request *request);
/* COPY the value. */
void http_add_header(http_request *request, const char *name, const char *value);
void http_add_position(http_request *request, const cafe_position *position);
/* Sends what http_body holds. */
void http_send(http_request *request, unsigned status);

/* Answers with 200 and what http_body holds, and asks for `more` whenever that is sent: then http_body is empty, and may
 * be written to at once, or later, followed by http_stream_on. An operation that it waits for by http_await is canceled
 * when the client has to be written to, to see whether it is there, or the stream has to end: http_stream_on tells. It
 * ends by http_stream_end, at the server's drain, or when the client leaves. */
void http_stream(http_request *request, const char *type, void (*more)(http_request *request, void *user), void *user);
void http_stream_on(http_request *request);
void http_stream_end(http_request *request);

/* The request waits for this operation, which is canceled after timeout_ms or a second more; with HTTP_UNTIL_DRAIN only
 * when the server drains. */
void http_await(http_request *request, cafe_op *op, int64_t timeout_ms);
enum { HTTP_READ_TIMEOUT_MS = 5000, HTTP_UNTIL_DRAIN = -1 };

/* Reads the body. False, and answered, where it isn't a JSON object. */
bool http_read_object(http_request *request, json_object *out);

/* Puts the body's members into a struct. False, and answered, where the body isn't a JSON object; wrong values are
 * noted in wrongs. */
bool http_read_json(http_request *request, void *value, const cafe_schema *schema, const json_taken *taken,
                    json_wrongs *wrongs);
/* The same where the body may be empty. False, and answered, where anything is wrong. */
bool http_read_optional(http_request *request, void *value, const cafe_schema *schema, const json_taken *taken);

/* Adds _links with self. */
void http_link_self(buffer *out, const char *href);

/* ---- problems (RFC 9457) ---- */

typedef enum http_problem_name {
  HTTP_MALFORMED,
  HTTP_INVALID,
  HTTP_NOT_FOUND,
  HTTP_METHOD_NOT_ALLOWED,
  HTTP_TOO_LARGE,
  HTTP_WRONG_CONTENT_TYPE,
  HTTP_PAYMENT_DECLINED,
  HTTP_PAYMENT_UNAVAILABLE,
  HTTP_CANCEL_REJECTED,
  HTTP_WRONG_STATE,
  HTTP_IDEMPOTENCY_KEY_REUSED,
  HTTP_NOT_READY,
  HTTP_VIEW_BEHIND,
  HTTP_OVERLOADED
} http_problem_name;

/* Answers with one. */
void http_problem(http_request *request, http_problem_name name, const char *format, ...) CAFE_PRINTF(3, 4);
/* Answers 422 with what is wrong. */
void http_wrong(http_request *request, const json_wrongs *wrongs);
void http_wrong_field(http_request *request, const char *field, const char *message);
/* Answers what an operation's failure means. Why the store failed is for the log alone, with the request's trace. */
void http_failure(http_request *request, const cafe_err *err);
/* When a 503 says that the same may be asked again; 0: not known. */
void http_retry_after(http_request *request, int64_t ms);
/* Of a cafe_err's retry_after_ms: whole seconds, 1 or more, also where that isn't known. */
int http_retry_after_s(int32_t ms);

/* ---- commands ---- */

/* What an outcome means over HTTP. */
typedef struct http_verdict {
  unsigned status;
  buffer body;      /* empty with a 2xx where the answer is the row as of `version` */
  uint64_t version; /* of the stream */
} http_verdict;

typedef struct http_command {
  const cafe_schema *type;
  size_t size;             /* sizeof its struct */
  const json_taken *taken; /* names the fields that a refusal "invalid" complains of; or NULL */

  /* REQUIRED. Pure: with an Idempotency-Key it is asked in the unit that commits the outcome, and what it says is kept
   * there, so that a repeat gets the same bytes. */
  void (*judge)(http_verdict *out, const cafe_outcome *outcome);
  /* REQUIRED. Answers the request. outcome->state and event are NULL where the answer was kept from an earlier one. */
  void (*answer)(http_request *request, const cafe_outcome *outcome, http_verdict *verdict);
  /* OPTIONAL. There was no outcome by the deadline. */
  void (*late)(http_request *request);
} http_command;

/* For a judge: a problem that names the order. */
void http_judge_problem(http_verdict *out, http_problem_name name, const cafe_outcome *outcome, const char *detail);
/* For an answer: sends what the judge wrote. Takes the verdict's body. */
void http_send_verdict(http_request *request, http_verdict *verdict);

/* Submits a command for a request, under its Idempotency-Key where it has one. key 0: a new one. command BORROW: as
 * long as the request, and wrongs (what reading found wrong, or NULL) as well; data COPY. */
void http_submit(http_request *request, const http_command *command, uint64_t key, const void *data, int64_t timeout_ms,
                 json_wrongs *wrongs);

/* ---- serving ---- */

typedef struct http_limits {
  uint32_t connections; /* at once */
  uint32_t per_address; /* of one client's address; 0: no other limit */
} http_limits;

/* Serves at a listening socket: TAKE. CAFE_UNAVAILABLE, CAFE_NOMEM. OWN: http_server_close. */
int http_server_open(http_server **out, uv_loop_t *loop, int listener, bool is_shared, const http_limits *limits,
                     const http_service *service, const void *config, cafe_node *node, const cafe_log *log,
                     cafe_err *err);
/* From now on requests are read. */
void http_server_start(http_server *server);
/* Accepts what is connected (a shared listener's is the next process's), closes the listener, lets the requests in flight
 * be answered, then calls done. */
void http_server_drain(http_server *server, void (*done)(void *user), void *user);
/* Closes all connections. No request may be unanswered. The memory is freed by the loop's next turns. */
void http_server_close(http_server *server);
bool http_server_is_draining(const http_request *request);

#endif
