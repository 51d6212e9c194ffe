/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_TRANSPORT_TCP_H
#define CAFE_TRANSPORT_TCP_H

#include "cafe/log.h"
#include "cafe/node.h"

CAFE_BEGIN_DECLS

/* Where a service is. BORROW: until cafe_tcp_create returns. Frozen. */
typedef struct cafe_tcp_peer {
  const char *service; /* "pay" */
  const char *address; /* "127.0.0.1:9082", "[::1]:9082", "pay.example:9082": a name is looked up at each connect */
  const void *reserved[2];
} cafe_tcp_peer;

/* Who may talk to whom: both sides show a certificate that `ca` has signed, TLS 1.2 or later. Files in PEM. Frozen. */
typedef struct cafe_tcp_tls {
  const char *ca_file;
  const char *certificate_file; /* with the chain up to the CA's, which is left out */
  const char *key_file;
  const void *reserved[2];
} cafe_tcp_tls;

typedef struct cafe_tcp_options {
  size_t size;
  const char *listen; /* where peers connect, written as in a peer's address; NULL: nobody does */
  int listen_fd;      /* a listening socket instead, a supervisor's: TAKE. -1: none */
  const cafe_tcp_peer *peers;
  uint32_t peer_count;
  const cafe_tcp_tls *tls;  /* NULL: plain */
  bool is_insecure;         /* plain also where an address isn't a loopback one */
  uint32_t max_connections; /* of peers to here; beyond they are closed at once. 0: 256 */
  uint32_t max_frame;       /* bytes; a peer that sends or promises more is cut off. 0: 16 MiB */
  int64_t idle_timeout_ms;  /* a connection that is silent for so long is asked, and for twice as long is closed. 0:
                               10,000 */
  const cafe_allocator *allocator; /* COPY; NULL: malloc */
  cafe_log log;                    /* COPY; zeroed: none */
  uint64_t max_incoming; /* bytes that peers which connect here may make it keep, all together: of frames that aren't
                            whole, of requests that aren't answered, and of subscriptions; and as many that wait to be
                            sent to them. Each connection has 64 KiB beside that. 0: 64 MiB, or 4 of max_frame */
} cafe_tcp_options;

#define CAFE_TCP_OPTIONS_INIT                                                                                          \
  { sizeof(cafe_tcp_options), NULL, -1, NULL, 0, NULL, false, 0, 0, 0, NULL, {NULL, NULL, CAFE_LOG_ERROR}, 0 }

/* A transport over TCP: subscriptions are served from the publisher's log, so no broker is needed. options BORROW:
 * until the call returns. OWN: cafe_transport_destroy. The address is taken when the node starts. CAFE_INVALID (an
 * address that is none, a service twice, a certificate that can't be used, a plain address that isn't a loopback one
 * without is_insecure, listen and listen_fd both), CAFE_UNSUPPORTED (options of a newer library, or TLS in a library
 * without it), CAFE_NOMEM. The node's start: CAFE_UNAVAILABLE (the address is in use), CAFE_DENIED (it is one that this
 * user may not take), CAFE_UNSUPPORTED (the loop can't watch descriptors), CAFE_NOMEM. Since 0.1. */
CAFE_EXPORT int cafe_tcp_create(cafe_transport **out, const cafe_tcp_options *options, cafe_err *err);

CAFE_END_DECLS

#endif
