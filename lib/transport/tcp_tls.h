/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPORT_TCP_TLS_H
#define TRANSPORT_TCP_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "cafe/transport/tcp.h"

/* TLS on a socket that doesn't block: tcp_tls.c, or tcp_no_tls.c where the library has none. */
typedef struct tls tls;                 /* what all connections share */
typedef struct tls_session tls_session; /* of one of them */

enum { IO_AGAIN = -1, IO_FAILED = -2 };

/* OWN: tls_destroy. CAFE_INVALID: a file that can't be used; CAFE_UNSUPPORTED: there is no TLS in this library;
 * CAFE_NOMEM. */
int tls_create(tls **out, const cafe_tcp_tls *options, const cafe_allocator *allocator, cafe_err *err);
void tls_destroy(tls *self);

/* OWN: tls_close, before the descriptor is. host: whom the other side's certificate must name; NULL: the other side is
 * the one that connected. CAFE_NOMEM. */
int tls_open(tls_session **out, tls *self, int fd, const char *host, cafe_err *err);
void tls_close(tls_session *session);

/* CAFE_OK: both have shown who they are. CAFE_TIMEOUT: not yet, when the descriptor is ready again. Else it has failed:
 * CAFE_UNAVAILABLE, with why. */
int tls_shake(tls_session *session, cafe_err *err);

/* As recv and send: how many bytes, 0 at the end, IO_AGAIN, or IO_FAILED with why in err. */
ptrdiff_t tls_receive(tls_session *session, char *to, size_t size, cafe_err *err);
ptrdiff_t tls_send(tls_session *session, const char *from, size_t size, cafe_err *err);

/* Whether it has bytes that the descriptor doesn't tell of. */
bool tls_has_pending(const tls_session *session);

/* Whether what was tried last goes on when the descriptor can be written. */
bool tls_wants_write(const tls_session *session);

/* The other side's subject (RFC 2253), with NUL, after the handshake. CAFE_UNAVAILABLE: it is longer, and a part of it
 * would be another's; CAFE_NOMEM. */
int tls_subject(char *out, size_t size, const tls_session *session, cafe_err *err);

#endif
