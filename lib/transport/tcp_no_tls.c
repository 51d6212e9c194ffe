/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of tcp_tls.c where the library was built without OpenSSL: no session ever comes to be. */
#include "transport/tcp_tls.h"

int tls_create(tls **out, const cafe_tcp_tls *options, const cafe_allocator *allocator, cafe_err *err) {
  (void)out, (void)options, (void)allocator;
  return cafe_fail(err, CAFE_UNSUPPORTED,
                   "tcp: this library was built without TLS: build it with CAFE_WITH_TLS, which needs OpenSSL");
}

void tls_destroy(tls *self) { (void)self; }

int tls_open(tls_session **out, tls *self, int fd, const char *host, cafe_err *err) {
  (void)self, (void)fd, (void)host;
  *out = NULL;
  return cafe_fail(err, CAFE_UNSUPPORTED, "there is no TLS");
}

void tls_close(tls_session *session) { (void)session; }

int tls_shake(tls_session *session, cafe_err *err) {
  (void)session;
  return cafe_fail(err, CAFE_UNSUPPORTED, "there is no TLS");
}

ptrdiff_t tls_receive(tls_session *session, char *to, size_t size, cafe_err *err) {
  (void)session, (void)to, (void)size;
  (void)cafe_fail(err, CAFE_UNSUPPORTED, "there is no TLS");
  return IO_FAILED;
}

ptrdiff_t tls_send(tls_session *session, const char *from, size_t size, cafe_err *err) {
  (void)session, (void)from, (void)size;
  (void)cafe_fail(err, CAFE_UNSUPPORTED, "there is no TLS");
  return IO_FAILED;
}

bool tls_has_pending(const tls_session *session) {
  (void)session;
  return false;
}

bool tls_wants_write(const tls_session *session) {
  (void)session;
  return false;
}

int tls_subject(char *out, size_t size, const tls_session *session, cafe_err *err) {
  (void)out, (void)size, (void)session;
  return cafe_fail(err, CAFE_UNSUPPORTED, "there is no TLS");
}
