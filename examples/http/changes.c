/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view's changes as server-sent events (HTML, section 9.2). What tells where a client is are the positions of its
 * last page alone, one in each log that the view is made from: so a client that comes back with the id of the last
 * event that it saw misses none and gets none twice, whichever process it meets.
 */
#include "http/changes.h"
#include "http/resource.h"

enum {
  PAGE_CHANGES = 32,
  COMMENT_MS = 15000 /* so often, where there is nothing else: whatever stands between keeps the connection open */
};

typedef struct stream {
  http_request *request;
  bool from_start; /* while `at` is empty */
  place at;
} stream;

/* ---- places ---- */

void place_write(buffer *out, const place *at) {
  for (uint32_t i = 0; i < at->count; i++) {
    char token[CAFE_POSITION_TEXT_MAX];
    cafe_position_format(token, &at->positions[i]);
    buffer_format(out, "%s%s", i ? "-" : "", token);
  }
}

bool place_read(place *out, cafe_slice token) {
  const char *end = token.data + token.size;
  out->count = 0;
  for (const char *from = token.data; from <= end && out->count < PLACE_SHARDS_MAX;) {
    const char *to = memchr(from, '-', (size_t)(end - from));
    cafe_slice one = {from, (size_t)((to ? to : end) - from)};
    if (cafe_position_parse(&out->positions[out->count], one, NULL) != CAFE_OK) {
      out->count = 0;
      return false;
    }
    out->count++;
    if (!to) {
      return true;
    }
    from = to + 1;
  }
  out->count = 0;
  return false;
}

static void take_positions(place *out, const cafe_page *page) {
  out->count = page->position_count < PLACE_SHARDS_MAX ? page->position_count : PLACE_SHARDS_MAX;
  memcpy(out->positions, page->positions, out->count * sizeof out->positions[0]);
}

static cafe_position *find(place *at, uint64_t log_id, uint32_t shard) {
  for (uint32_t i = 0; i < at->count; i++) {
    if (at->positions[i].log_id == log_id && at->positions[i].shard == shard) {
      return &at->positions[i];
    }
  }
  return NULL;
}

/* In a log that nothing was known of before it is the first one. */
static void pass(place *at, const cafe_position *seen) {
  cafe_position *one = find(at, seen->log_id, seen->shard);
  one = one ? one : find(at, 0, seen->shard);
  if (one) {
    *one = *seen;
  }
}

/* ---- pages ---- */

static void write_page(stream *self, const cafe_page *page) {
  buffer *out = http_body(self->request);
  for (uint32_t i = 0; i < page->count; i++) {
    pass(&self->at, &page->events[i]->position);
    buffer_text(out, "id: ");
    place_write(out, &self->at);
    buffer_format(out, "\nevent: %s\ndata: ", page->events[i]->type->name);
    resource_write(out, self->request->route->argument, page->rows[i], page);
    buffer_text(out, "\n\n");
  }
  take_positions(&self->at, page);
}

static int ask(stream *self, cafe_page_cb done, int64_t timeout_ms, int64_t until_ms, cafe_err *err) {
  const resource *of = self->request->route->argument;
  cafe_changes changes = CAFE_CHANGES_INIT;
  cafe_op *op;
  changes.view = of->view;
  changes.positions = self->at.count ? self->at.positions : NULL;
  changes.position_count = self->at.count;
  changes.from_start = !self->at.count && self->from_start;
  changes.limit = PAGE_CHANGES;
  changes.timeout_ms = timeout_ms;
  int code = cafe_node_changes(&op, self->request->node, &changes, done, self, err);
  if (code == CAFE_OK) {
    http_await(self->request, op, until_ms);
  }
  return code;
}

static void on_page(const cafe_err *err, const cafe_page *page, void *user) {
  stream *self = user;
  if (err && err->code != CAFE_CANCELED) {
    http_stream_end(self->request); /* whoever comes back goes on behind what he has seen */
    return;
  }
  if (page) {
    write_page(self, page);
  }
  if (!page || page->count == 0) {
    buffer_text(http_body(self->request), ":\n\n");
  }
  http_stream_on(self->request);
}

static void more(http_request *request, void *user) {
  cafe_err err = {0};
  if (ask(user, on_page, COMMENT_MS, INT64_MAX, &err) != CAFE_OK) {
    http_stream_end(request);
  }
}

/* ---- beginning ---- */

static int begin(stream *self, cafe_err *err);

static void on_first(const cafe_err *err, const cafe_page *page, void *user) {
  stream *self = user;
  cafe_err why = {0};
  if (err && err->code == CAFE_INVALID && self->at.count) { /* whose log it was came out only now */
    if (begin(self, &why) != CAFE_OK) {
      http_failure(self->request, &why);
    }
    return;
  }
  if (err) {
    http_failure(self->request, err);
    return;
  }
  if (self->at.count == 0) {
    take_positions(&self->at, page);
    for (uint32_t i = 0; i < self->at.count && self->from_start; i++) {
      self->at.positions[i].n = 0;
    }
  }
  write_page(self, page);
  http_stream(self->request, "text/event-stream", more, self);
}

/* From the start: what he has seen is of another log, or of a future that a restore took back. */
static int begin(stream *self, cafe_err *err) {
  self->at.count = 0;
  self->from_start = true;
  return ask(self, on_first, -1, HTTP_READ_TIMEOUT_MS, err);
}

/* The first page is what is there already, so that "from now on" is before the head of the answer goes out. */
void changes_stream(http_request *request) {
  const char *last = http_header(request, "Last-Event-ID");
  stream *self = cafe_arena_alloc(request->arena, sizeof *self);
  cafe_err err = {0};
  if (!self) {
    http_problem(request, HTTP_OVERLOADED, "There is no memory to answer");
    return;
  }
  self->request = request;
  if (last && *last && !place_read(&self->at, cafe_text(last))) {
    self->from_start = true;
  }
  int code = ask(self, on_first, -1, HTTP_READ_TIMEOUT_MS, &err);
  if (code == CAFE_INVALID && self->at.count) {
    code = begin(self, &err);
  }
  if (code != CAFE_OK) {
    http_failure(request, &err);
  }
}
