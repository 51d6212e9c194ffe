/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS by OpenSSL, on sockets that don't block.
 *
 * What it keeps: both sides show a certificate that the CA has signed, and the one who connected makes sure that the
 * other one's is for the host that it wanted. OpenSSL reads and writes through a BIO of our own, since its own would
 * write by write(2), and a peer that is gone would end the program by SIGPIPE.
 *
 * An end without a close_notify is no attack here: a frame knows its length, and an end is a lost connection.
 */
#include "transport/tcp_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct tls {
  cafe_allocator allocator;
  SSL_CTX *context;
  BIO_METHOD *method;
};

struct tls_session {
  tls *tls;
  SSL *ssl;
  int fd;
  int cause; /* errno of the last failure of the descriptor */
  bool is_ended;
  bool read_wants_write;
  bool write_wants_write;
};

/* ---- the descriptor ---- */

static int socket_write(BIO *bio, const char *from, int size) {
  tls_session *session = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  ptrdiff_t sent = send(session->fd, from, (size_t)size, MSG_NOSIGNAL);
  if (sent < 0) {
    session->cause = errno;
    if (errno == EAGAIN || errno == EINTR) {
      BIO_set_retry_write(bio);
    }
  }
  return (int)sent;
}

static int socket_read(BIO *bio, char *to, int size) {
  tls_session *session = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  ptrdiff_t got = recv(session->fd, to, (size_t)size, 0);
  session->is_ended = session->is_ended || got == 0;
  if (got < 0) {
    session->cause = errno;
    if (errno == EAGAIN || errno == EINTR) {
      BIO_set_retry_read(bio);
    }
  }
  return (int)got;
}

static long socket_control(BIO *bio, int command, long number, void *pointer) {
  (void)bio, (void)number, (void)pointer;
  return command == BIO_CTRL_FLUSH; /* nothing is kept back */
}

/* ---- what all share ---- */

/* Why it failed, by OpenSSL's own account. */
static int fail_by_openssl(cafe_err *err, cafe_code code, const char *what) {
  const char *reason = NULL;
  for (unsigned long cause; (cause = ERR_get_error());) {
    reason = reason ? reason : ERR_reason_error_string(cause);
    code = ERR_GET_REASON(cause) == ERR_R_MALLOC_FAILURE ? CAFE_NOMEM : code;
  }
  return cafe_fail(err, code, "%s: %s", what, reason ? reason : "OpenSSL doesn't say why");
}

/* A key with a passphrase: nobody is there to type it. */
static int no_passphrase(char *to, int size, int is_writing, void *user) {
  (void)to, (void)size, (void)is_writing, (void)user;
  return -1;
}

static int check_file(const char *path, const char *what, cafe_err *err) {
  if (!path) {
    return cafe_fail(err, CAFE_INVALID, "tcp: tls needs a %s", what);
  }
  FILE *file = fopen(path, "r");
  if (!file) {
    return cafe_fail_detail(err, errno == ENOMEM ? CAFE_NOMEM : CAFE_INVALID, errno,
                            "tcp: %s, the %s, can't be read: %s", path, what, strerror(errno));
  }
  (void)fclose(file);
  return CAFE_OK;
}

static int load_files(SSL_CTX *context, const cafe_tcp_tls *files, cafe_err *err) {
  int code = check_file(files->ca_file, "ca_file", err);
  if (code == CAFE_OK) {
    code = check_file(files->certificate_file, "certificate_file", err);
  }
  if (code == CAFE_OK) {
    code = check_file(files->key_file, "key_file", err);
  }
  if (code != CAFE_OK) {
    return code;
  }
  if (SSL_CTX_load_verify_locations(context, files->ca_file, NULL) != 1) {
    return fail_by_openssl(err, CAFE_INVALID, "tcp: the ca_file holds no certificates in PEM");
  }
  if (SSL_CTX_use_certificate_chain_file(context, files->certificate_file) != 1) {
    return fail_by_openssl(err, CAFE_INVALID, "tcp: the certificate_file holds no certificate in PEM");
  }
  SSL_CTX_set_default_passwd_cb(context, no_passphrase);
  if (SSL_CTX_use_PrivateKey_file(context, files->key_file, SSL_FILETYPE_PEM) != 1) {
    return fail_by_openssl(err, CAFE_INVALID,
                           "tcp: the key_file holds no key in PEM without a passphrase that is the "
                           "certificate's");
  }
  return CAFE_OK;
}

/* What peers would refuse is refused here, where it can be corrected. Not its time: a node that starts again with a
 * certificate that has expired has other things to do, too. And what OpenSSL remembers of the CA it works out now: if
 * memory is refused just then, it takes the CA for none from then on. */
static int check_own_certificate(SSL_CTX *context, cafe_err *err) {
  STACK_OF(X509) *chain = NULL;
  int reason = X509_V_ERR_OUT_OF_MEM;
  X509_STORE_CTX *check = X509_STORE_CTX_new();
  (void)SSL_CTX_get0_chain_certs(context, &chain);
  if (check && X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(context), SSL_CTX_get0_certificate(context), chain)) {
    X509_STORE_CTX_set_flags(check, X509_V_FLAG_NO_CHECK_TIME);
    X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(check), SSL_CTX_get_security_level(context));
    reason = X509_verify_cert(check) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(check);
  }
  X509_STORE_CTX_free(check);
  if (reason == X509_V_OK) {
    return CAFE_OK;
  }
  char what[160];
  (void)snprintf(what, sizeof(what), "tcp: the certificate_file's certificate isn't one that ca_file accepts (%s)",
                 X509_verify_cert_error_string(reason));
  return fail_by_openssl(err, reason == X509_V_ERR_OUT_OF_MEM ? CAFE_NOMEM : CAFE_INVALID, what);
}

static int set_up(tls *self, const cafe_tcp_tls *files, cafe_err *err) {
  self->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without signals");
  self->context = SSL_CTX_new(TLS_method());
  if (!self->context || !self->method || BIO_meth_set_write(self->method, socket_write) != 1 ||
      BIO_meth_set_read(self->method, socket_read) != 1 || BIO_meth_set_ctrl(self->method, socket_control) != 1 ||
      SSL_CTX_set_min_proto_version(self->context, TLS1_2_VERSION) != 1) {
    return fail_by_openssl(err, CAFE_NOMEM, "tcp: TLS can't be set up");
  }
  (void)SSL_CTX_set_options(self->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  (void)SSL_CTX_set_session_cache_mode(self->context, SSL_SESS_CACHE_OFF);
  (void)SSL_CTX_set_num_tickets(self->context, 0); /* connections are kept, not resumed */
  (void)SSL_CTX_set_mode(self->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                            SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(self->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  int code = load_files(self->context, files, err);
  return code == CAFE_OK ? check_own_certificate(self->context, err) : code;
}

int tls_create(tls **out, const cafe_tcp_tls *options, const cafe_allocator *allocator, cafe_err *err) {
  tls *self = allocator->resize(NULL, sizeof(*self), allocator->user);
  if (!self) {
    return cafe_fail(err, CAFE_NOMEM, "tcp: memory was refused");
  }
  memset(self, 0, sizeof(*self));
  self->allocator = *allocator;
  ERR_clear_error();
  int code = set_up(self, options, err);
  if (code != CAFE_OK) {
    tls_destroy(self);
    return code;
  }
  *out = self;
  return CAFE_OK;
}

void tls_destroy(tls *self) {
  if (self) {
    SSL_CTX_free(self->context);
    BIO_meth_free(self->method);
    (void)self->allocator.resize(self, 0, self->allocator.user);
  }
}

/* ---- a session ---- */

static bool set_host(SSL *ssl, const char *host) {
  struct in6_addr number;
  X509_VERIFY_PARAM *wanted = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (inet_pton(AF_INET, host, &number) == 1 || inet_pton(AF_INET6, host, &number) == 1) {
    return X509_VERIFY_PARAM_set1_ip_asc(wanted, host) == 1;
  }
  char name[TLSEXT_MAXLEN_host_name + 1]; /* OpenSSL copies it, and asks for one that isn't const */
  (void)snprintf(name, sizeof(name), "%s", host);
  return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

int tls_open(tls_session **out, tls *self, int fd, const char *host, cafe_err *err) {
  ERR_clear_error();
  tls_session *session = self->allocator.resize(NULL, sizeof(*session), self->allocator.user);
  BIO *bio = NULL;
  if (!session) {
    return cafe_fail(err, CAFE_NOMEM, "memory was refused");
  }
  memset(session, 0, sizeof(*session));
  session->tls = self;
  session->fd = fd;
  session->ssl = SSL_new(self->context);
  bio = BIO_new(self->method);
  if (!session->ssl || !bio || (host && !set_host(session->ssl, host))) {
    BIO_free(bio);
    tls_close(session);
    return fail_by_openssl(err, CAFE_NOMEM, "no TLS session can be made");
  }
  BIO_set_data(bio, session);
  BIO_set_init(bio, 1);
  SSL_set_bio(session->ssl, bio, bio); /* takes it */
  if (host) {
    SSL_set_connect_state(session->ssl);
  } else {
    SSL_set_accept_state(session->ssl);
  }
  *out = session;
  return CAFE_OK;
}

void tls_close(tls_session *session) {
  if (session) {
    tls *self = session->tls;
    SSL_free(session->ssl);
    (void)self->allocator.resize(session, 0, self->allocator.user);
  }
}

static int fail_session(tls_session *session, int status, cafe_err *err) {
  long verified = SSL_get_verify_result(session->ssl);
  if (verified != X509_V_OK) {
    ERR_clear_error();
    return cafe_fail(err, CAFE_UNAVAILABLE, "the certificate isn't accepted: %s",
                     X509_verify_cert_error_string(verified));
  }
  if (session->is_ended) {
    ERR_clear_error();
    return cafe_fail(err, CAFE_UNAVAILABLE, "it closed the connection");
  }
  if (status == SSL_ERROR_SYSCALL && session->cause) {
    ERR_clear_error();
    return cafe_fail_detail(err, CAFE_UNAVAILABLE, session->cause, "%s", strerror(session->cause));
  }
  return fail_by_openssl(err, CAFE_UNAVAILABLE, "TLS");
}

int tls_shake(tls_session *session, cafe_err *err) {
  ERR_clear_error();
  int done = SSL_do_handshake(session->ssl);
  int status = done == 1 ? SSL_ERROR_NONE : SSL_get_error(session->ssl, done);
  session->write_wants_write = status == SSL_ERROR_WANT_WRITE;
  if (done == 1) {
    return CAFE_OK;
  }
  return status == SSL_ERROR_WANT_READ || status == SSL_ERROR_WANT_WRITE ? CAFE_TIMEOUT
                                                                         : fail_session(session, status, err);
}

static int bounded(size_t size) { return size < INT_MAX ? (int)size : INT_MAX; }

ptrdiff_t tls_receive(tls_session *session, char *to, size_t size, cafe_err *err) {
  ptrdiff_t total = 0;
  int status = SSL_ERROR_NONE;
  ERR_clear_error();
  /* A record at a time is what it gives: as many as there is room for. */
  while ((size_t)total < size) {
    int got = SSL_read(session->ssl, to + total, bounded(size - (size_t)total));
    if (got <= 0) {
      status = SSL_get_error(session->ssl, got);
      break;
    }
    total += got;
  }
  session->read_wants_write = status == SSL_ERROR_WANT_WRITE;
  if (total > 0) {
    ERR_clear_error();
    return total; /* what ended it is there the next time, too */
  }
  if (status == SSL_ERROR_WANT_READ || status == SSL_ERROR_WANT_WRITE) {
    return IO_AGAIN;
  }
  if (status == SSL_ERROR_ZERO_RETURN) {
    return 0;
  }
  (void)fail_session(session, status, err);
  return IO_FAILED;
}

ptrdiff_t tls_send(tls_session *session, const char *from, size_t size, cafe_err *err) {
  ERR_clear_error();
  int sent = SSL_write(session->ssl, from, bounded(size));
  int status = sent > 0 ? SSL_ERROR_NONE : SSL_get_error(session->ssl, sent);
  session->write_wants_write = status == SSL_ERROR_WANT_WRITE;
  if (sent > 0) {
    return sent;
  }
  if (status == SSL_ERROR_WANT_READ || status == SSL_ERROR_WANT_WRITE) {
    return IO_AGAIN;
  }
  (void)fail_session(session, status, err);
  return IO_FAILED;
}

bool tls_has_pending(const tls_session *session) { return SSL_pending(session->ssl) > 0; }

bool tls_wants_write(const tls_session *session) { return session->read_wants_write || session->write_wants_write; }

int tls_subject(char *out, size_t size, const tls_session *session, cafe_err *err) {
  int code = CAFE_NOMEM;
  char *text = NULL;
  X509 *certificate = SSL_get_peer_certificate(session->ssl);
  BIO *bio = BIO_new(BIO_s_mem());
  if (certificate && bio && X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0) {
    long length = BIO_get_mem_data(bio, &text);
    code = length >= 0 && (size_t)length < size ? CAFE_OK : CAFE_UNAVAILABLE;
    if (code == CAFE_OK) {
      memcpy(out, text, (size_t)length);
      out[length] = '\0';
    }
  }
  BIO_free(bio);
  X509_free(certificate);
  ERR_clear_error();
  return code == CAFE_OK
             ? code
             : cafe_fail(err, (cafe_code)code,
                         code == CAFE_NOMEM ? "memory was refused" : "the subject of its certificate is too long");
}
