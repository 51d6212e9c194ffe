/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers without an end. Kept here: `more` is asked only when all that was written is sent, so a client that reads
 * slowly costs one piece of memory and holds nobody up; and while it waits for more its connection is suspended, so
 * that a completion finds its exchange, as everywhere.
 *
 * Nobody reads from such a connection, so libmicrohttpd wouldn't see its client leave. A client that has left looks, at
 * first, as one that has only finished sending: whether it still listens is seen by writing to it.
 */
#include "http/exchange.h"

#include <poll.h>

enum { BLOCK_SIZE = 8192 };

static ssize_t on_writable(void *user, uint64_t offset, char *out, size_t room) {
  exchange *self = user;
  (void)offset;
  if (self->streamed == self->body.size && !self->is_ended) {
    buffer_reset(&self->body);
    self->streamed = 0;
    self->more(&self->request, self->more_user);
  }
  if (self->body.failed) {
    return MHD_CONTENT_READER_END_WITH_ERROR; /* a piece is missing: better the client notices */
  }
  size_t left = self->body.size - self->streamed;
  if (left == 0 && self->is_ended) {
    return MHD_CONTENT_READER_END_OF_STREAM;
  }
  if (left == 0) {
    self->is_suspended = true;
    MHD_suspend_connection(self->connection);
    return 0;
  }
  size_t size = left < room ? left : room;
  memcpy(out, self->body.data + self->streamed, size);
  self->streamed += size;
  self->has_moved = true;
  return (ssize_t)size;
}

struct MHD_Response *exchange_stream(exchange *self) {
  return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_SIZE, on_writable, self, NULL);
}

void http_stream(http_request *request, const char *type, void (*more)(http_request *, void *), void *user) {
  exchange *self = (exchange *)request;
  self->more = more;
  self->more_user = user;
  self->content_type = type;
  http_add_header(request, "Cache-Control", "no-cache");
  http_add_header(request, "X-Accel-Buffering", "no"); /* a gateway that collects the answer would keep it for ever */
  self->must_close = true; /* nothing comes behind it */
  self->is_ended = http_server_is_draining(request);
  http_send(request, 200);
}

void http_stream_on(http_request *request) { exchange_answered((exchange *)request); }

void http_stream_end(http_request *request) {
  exchange *self = (exchange *)request;
  self->is_ended = true;
  exchange_answered(self);
}

void exchange_end_stream(exchange *self) {
  self->is_ended = true;
  if (self->op) {
    cafe_op_cancel(self->op);
  }
}

bool exchange_check_stream(exchange *self, int fd) {
  struct pollfd client = {.fd = fd, .events = POLLRDHUP};
  (void)poll(&client, 1, 0);
  bool is_gone = client.revents & (POLLERR | POLLHUP);
  if (is_gone) {
    exchange_end_stream(self);
  } else if ((client.revents & POLLRDHUP) && self->op) {
    cafe_op_cancel(self->op); /* something is written then */
  }
  return !is_gone;
}
