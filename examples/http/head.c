/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request's head alone shows to be wrong. Where its body ends must have one reading only: whoever stands before
 * this server may have taken the other, and would hand the rest of one client's body to the next as a request.
 */
#include "http/exchange.h"

#include <stdlib.h>
#include <strings.h>

enum { HEAD_MAX = 16384 };

typedef struct framing {
  uint32_t lengths;
  uint32_t codings;
  uint32_t hosts;
  uint32_t keys;
  uint32_t odd; /* read in different ways by different readers: "Content-Length : 5", or with a NUL */
} framing;

static enum MHD_Result count_framing(void *user, enum MHD_ValueKind kind, const char *name, size_t name_size,
                                     const char *value, size_t value_size) {
  (void)kind;
  framing *seen = user;
  seen->lengths += strcasecmp(name, "Content-Length") == 0;
  seen->codings += strcasecmp(name, "Transfer-Encoding") == 0;
  seen->hosts += strcasecmp(name, "Host") == 0;
  seen->keys += strcasecmp(name, "Idempotency-Key") == 0;
  seen->odd += strcspn(name, " \t") != name_size || memchr(value, '\0', value_size) != NULL;
  return MHD_YES;
}

static enum MHD_Result check_argument(void *user, enum MHD_ValueKind kind, const char *name, size_t name_size,
                                      const char *value, size_t value_size) {
  (void)kind;
  (void)name;
  (void)name_size;
  bool *is_utf8 = user;
  *is_utf8 = *is_utf8 && json_is_utf8((cafe_slice){value, value_size});
  return MHD_YES;
}

const char *http_header(const http_request *request, const char *name) {
  return MHD_lookup_connection_value(((const exchange *)request)->connection, MHD_HEADER_KIND, name);
}

cafe_slice http_query(const http_request *request, const char *name) {
  cafe_slice value = {NULL, 0};
  (void)MHD_lookup_connection_value_n(((const exchange *)request)->connection, MHD_GET_ARGUMENT_KIND, name,
                                      strlen(name), &value.data, &value.size);
  return value;
}

void exchange_check_head(exchange *self, const char *version, bool is_uri_too_long, bool is_uri_malformed) {
  framing seen = {.odd = 0};
  bool is_utf8 = true;
  (void)MHD_get_connection_values_n(self->connection, MHD_HEADER_KIND, count_framing, &seen);
  (void)MHD_get_connection_values_n(self->connection, MHD_GET_ARGUMENT_KIND, check_argument, &is_utf8);
  const union MHD_ConnectionInfo *head =
      MHD_get_connection_info(self->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
  const char *coding = http_header(&self->request, "Transfer-Encoding");
  const char *length = http_header(&self->request, "Content-Length");
  unsigned long long announced = length ? strtoull(length, NULL, 10) : 0;

  if (seen.odd || seen.lengths + seen.codings > 1 || seen.hosts > 1 ||
      (seen.hosts == 0 && strcmp(version, MHD_HTTP_VERSION_1_1) == 0) ||
      (coding && strcasecmp(coding, "chunked") != 0)) {
    self->must_close = true;
    http_problem(&self->request, HTTP_MALFORMED,
                 "The body's framing or the Host is missing or contradictory, or a header is no text");
  } else if (seen.keys > 1) {
    http_problem(&self->request, HTTP_MALFORMED, "There is more than one Idempotency-Key");
  } else if (is_uri_too_long) {
    exchange_problem(self, 414, HTTP_TOO_LARGE, "The path and query are longer than 8192 bytes");
  } else if (head && head->header_size > HEAD_MAX) {
    exchange_problem(self, 431, HTTP_TOO_LARGE, "The headers are longer than 16384 bytes");
  } else if (is_uri_malformed || !is_utf8) {
    http_problem(&self->request, HTTP_MALFORMED, "The path or query isn't text in UTF-8");
  } else if (announced > EXCHANGE_BODY_MAX) {
    /* Whoever asks first (Expect: 100-continue) gets the answer before sending, and so does who would send too much. */
    self->must_close = announced > EXCHANGE_DISCARD_MAX || http_header(&self->request, "Expect") != NULL;
    http_problem(&self->request, HTTP_TOO_LARGE, "The body is larger than %d bytes", EXCHANGE_BODY_MAX);
  }
}
