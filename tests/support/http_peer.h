/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_PEER_H
#define HTTP_PEER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The other end of an HTTP connection, played by the test itself, byte by byte, on a real socket: what is sent to it
 * can be looked at, and it can answer anything, or nothing. `turn` is what the program under test does meanwhile.
 * Whatever is waited for and doesn't come fails the test.
 */
typedef struct http_peer {
  int listener;
  int port;
  void (*turn)(void *user);
  void *user;
} http_peer;

/* One connection, and the request that it has got last. */
typedef struct http_call {
  http_peer *peer;
  int fd;
  char head[16384]; /* with its empty line */
  char body[65536];
  size_t body_size;
} http_call;

void http_peer_open(http_peer *self, void (*turn)(void *user), void *user);
void http_peer_close(http_peer *self);
/* "http://127.0.0.1:PORT" and the path. BORROW: until the next call. */
const char *http_peer_url(const http_peer *self, const char *path);

/* Waits for a connection, and for a whole request on it. */
void http_peer_accept(http_peer *self, http_call *call);
/* The same; false: the other end closed it before. The call is to be closed all the same. */
bool http_peer_try(http_peer *self, http_call *call);
/* Whether somebody has connected; doesn't wait. */
bool http_peer_has_caller(const http_peer *self);

/* Waits for the next request on the same connection. */
void http_call_next(http_call *call);
/* The value of a header, NULL if it isn't there; fails the test if it is there twice. BORROW: until the next call. */
const char *http_call_header(const http_call *call, const char *name);
/* Sends the bytes as they are; false: the other end has gone. */
bool http_call_write(http_call *call, const char *bytes, size_t size);
/* Sends "HTTP/1.1 <status>" with these further header lines (each ending with CR LF) and the body. */
void http_call_answer(http_call *call, const char *status, const char *headers, const char *body);
/* Waits until the other end has closed. */
void http_call_wait_closed(http_call *call);
void http_call_close(http_call *call);

#endif
