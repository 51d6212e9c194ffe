/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views as HAL resources: a row's fields come from its table, its id and links from the resource. A list is a page by
 * key: what is written behind the last id seen can't shift it.
 */
#include "http/resource.h"

#include <inttypes.h>
#include <stdio.h>

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 1000, ROW_SIZE = 1024, FILTERS_MAX = 8, ID_MAX = 48 };

static void write_id(char out[ID_MAX], const resource *self, const cafe_row *row) {
  if (self->sub_id) {
    (void)snprintf(out, ID_MAX, "%" PRIu64 "-%" PRIu64, row->key, row->sub);
  } else {
    (void)snprintf(out, ID_MAX, "%" PRIu64, row->key);
  }
}

void resource_write(buffer *out, const resource *self, const cafe_row *row, const cafe_page *page) {
  char id[ID_MAX];
  json_open(out, NULL, '{');
  if (self->sub_id) {
    write_id(id, self, row);
    json_string(out, self->sub_id, id);
  }
  for (const char *const *name = self->ids; *name; name++) {
    json_integer(out, *name, (int64_t)row->key);
  }
  json_fields(out, self->view->row, row->data, self->hidden);
  if (self->more) {
    self->more(out, row, page);
  }
  if (!self->sub_id) {
    char href[128];
    (void)snprintf(href, sizeof href, "%s/%" PRIu64, self->path, row->key);
    http_link_self(out, href);
  }
  json_close(out, '}');
}

/* ---- one row ---- */

static void answer_missing(http_request *request) {
  http_problem(request, HTTP_NOT_FOUND, "There is nothing at %s", request->path);
}

static void on_row(const cafe_err *err, const cafe_page *found, void *user) {
  http_request *request = user;
  if (err) {
    http_failure(request, err);
  } else if (found->count == 0) {
    answer_missing(request);
  } else {
    resource_write(http_body(request), request->route->argument, found->rows[0], found);
    http_send(request, 200);
  }
}

static void read_rows(http_request *request, const cafe_list *list, cafe_page_cb done) {
  cafe_op *op;
  cafe_err err = {0};
  if (cafe_node_list(&op, request->node, list, done, request, &err) != CAFE_OK) {
    http_failure(request, &err);
  } else {
    http_await(request, op, HTTP_READ_TIMEOUT_MS);
  }
}

void resource_find(http_request *request, const resource *self, cafe_page_cb done) {
  char id[24];
  char sub[24];
  (void)snprintf(id, sizeof id, "%" PRIu64, request->id);
  (void)snprintf(sub, sizeof sub, "%" PRIu64, request->sub);
  cafe_filter filters[] = {{.column = self->view->key_name, .equals = cafe_text(id)},
                           {.column = self->view->sub_name, .equals = cafe_text(sub)}};
  cafe_list list = CAFE_LIST_INIT;
  list.view = self->view;
  list.filters = filters;
  list.filter_count = self->sub_id ? 2 : 1;
  list.limit = 1;
  read_rows(request, &list, done);
}

void resource_get(http_request *request) { resource_find(request, request->route->argument, on_row); }

/* ---- a page ---- */

typedef struct page {
  cafe_filter filters[FILTERS_MAX + 1]; /* the resource's own is the last, and no argument */
  uint32_t filter_count;
  const char *names[FILTERS_MAX]; /* of the arguments */
  uint64_t after_key;
  uint64_t after_sub;
  uint32_t limit;
} page;

/* Reads digits up to the end or `stop`. */
static bool read_number(uint64_t *out, const char **at, const char *end, char stop, uint64_t max) {
  const char *start = *at;
  *out = 0;
  for (; *at < end && **at != stop; (*at)++) {
    if (**at < '0' || **at > '9' || *out > max) {
      return false;
    }
    *out = *out * 10 + (uint64_t)(**at - '0');
  }
  return *at > start && *out <= max;
}

static bool is_number(cafe_slice text) {
  const char *at = text.data;
  uint64_t number;
  return read_number(&number, &at, text.data + text.size, '\0', CAFE_KEY_MAX) && at == text.data + text.size;
}

static void add_filter(page *out, const char *name, const char *column, cafe_slice value) {
  out->names[out->filter_count] = name;
  out->filters[out->filter_count++] = (cafe_filter){.column = column, .equals = value};
}

/* An argument of the name that the column's member has. */
static void read_filter(page *out, http_request *request, const cafe_field *field, json_wrongs *wrongs) {
  char name[JSON_NAME_MAX];
  cafe_slice copy;
  json_name(name, field);
  cafe_slice value = http_query(request, name);
  if (value.size == 0 || out->filter_count == FILTERS_MAX) {
    return;
  }
  if (cafe_arena_copy(&copy, request->arena, cafe_text(name)) != CAFE_OK) {
    json_add_wrong(wrongs, field->name, "couldn't be read: no memory");
    return;
  }
  bool is_known = true;
  if (field->type == CAFE_FIELD_ENUM) {
    is_known = false;
    for (uint32_t i = 1; i < field->names_count; i++) {
      is_known = is_known || cafe_slice_equal(value, cafe_text(field->names[i]));
    }
  } else if (field->type != CAFE_FIELD_TEXT) {
    is_known = is_number(value);
  }
  if (!is_known) {
    json_add_wrong(wrongs, copy.data, "is not a value that it can have");
  } else {
    add_filter(out, copy.data, field->name, value);
  }
}

static void read_page(page *out, http_request *request, const resource *self, json_wrongs *wrongs) {
  const cafe_schema *row = self->view->row;
  *out = (page){.limit = LIMIT_DEFAULT};
  cafe_slice key = http_query(request, self->key_filter);
  if (key.size && !is_number(key)) {
    json_add_wrong(wrongs, self->key_filter, "must be a whole number");
  } else if (key.size) {
    add_filter(out, self->key_filter, self->view->key_name, key);
  }
  for (const char *const *name = self->filters; name && *name; name++) {
    int index = cafe_schema_find(row, cafe_text(*name));
    if (index >= 0) {
      read_filter(out, request, &row->fields[index], wrongs);
    }
  }
  cafe_slice limit = http_query(request, "limit");
  uint64_t number;
  const char *at = limit.data;
  if (limit.size) {
    if (read_number(&number, &at, limit.data + limit.size, '\0', LIMIT_MAX) && number > 0) {
      out->limit = (uint32_t)number;
    } else {
      json_add_wrong(wrongs, "limit", "must be from 1 to 1000");
    }
  }
  cafe_slice after = http_query(request, "after");
  if (after.size) {
    const char *end = after.data + after.size;
    at = after.data;
    bool ok = read_number(&out->after_key, &at, end, self->sub_id ? '-' : '\0', CAFE_KEY_MAX);
    if (ok && self->sub_id && at < end) {
      at++;
      ok = read_number(&out->after_sub, &at, end, '\0', CAFE_KEY_MAX);
    } else if (ok && self->sub_id) {
      out->after_sub = CAFE_KEY_MAX; /* a bare key: behind all its rows */
    }
    if (!ok || at != end) {
      json_add_wrong(wrongs, "after", "must be an id");
    }
  }
}

static void add_encoded(buffer *out, cafe_slice text) {
  for (size_t i = 0; i < text.size; i++) {
    char c = text.data[i];
    bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                    c == '.' || c == '_' || c == '~';
    if (is_plain) {
      buffer_add(out, &c, 1);
    } else {
      buffer_format(out, "%%%02X", (unsigned char)c);
    }
  }
}

/* The page's own address, or that of the one behind `after`. */
static void write_href(buffer *out, const char *name, const resource *self, const page *at, const char *after) {
  buffer href = {0};
  buffer_text(&href, self->path);
  for (uint32_t i = 0; i < at->filter_count; i++) {
    buffer_format(&href, "%c%s=", i ? '&' : '?', at->names[i]);
    add_encoded(&href, at->filters[i].equals);
  }
  buffer_format(&href, "%climit=%" PRIu32, at->filter_count ? '&' : '?', at->limit);
  if (after) {
    buffer_format(&href, "&after=%s", after);
  }
  json_open(out, name, '{');
  json_text(out, "href", (cafe_slice){href.data, href.size});
  json_close(out, '}');
  out->failed = out->failed || href.failed;
  buffer_reset(&href);
}

static void on_rows(const cafe_err *err, const cafe_page *found, void *user) {
  http_request *request = user;
  const resource *self = request->route->argument;
  buffer *out = http_body(request);
  json_wrongs wrongs = {.count = 0};
  page at;
  char id[ID_MAX];
  if (err) {
    http_failure(request, err);
    return;
  }
  read_page(&at, request, self, &wrongs);
  json_open(out, NULL, '{');
  json_open(out, "_embedded", '{');
  json_open(out, strrchr(self->path, '/') + 1, '[');
  for (uint32_t i = 0; i < found->count; i++) {
    resource_write(out, self, found->rows[i], found);
  }
  json_close(out, ']');
  json_close(out, '}');
  json_open(out, "page", '{');
  json_integer(out, "size", at.limit);
  json_close(out, '}');
  json_open(out, "_links", '{');
  cafe_row last = {.key = at.after_key, .sub = at.after_sub};
  write_id(id, self, &last);
  write_href(out, "self", self, &at, at.after_key ? id : NULL);
  if (found->more) {
    write_id(id, self, found->rows[found->count - 1]);
    write_href(out, "next", self, &at, id);
  }
  json_close(out, '}');
  json_close(out, '}');
  http_send(request, 200);
}

void resource_list(http_request *request) {
  const resource *self = request->route->argument;
  json_wrongs wrongs = {.count = 0};
  page at;
  read_page(&at, request, self, &wrongs);
  if (wrongs.count) {
    http_wrong(request, &wrongs);
    return;
  }
  if (!http_hold(request, (size_t)at.limit * ROW_SIZE)) { /* rows are read faster than clients take them */
    http_problem(request, HTTP_OVERLOADED, "Too many large answers are on their way; a smaller limit may do");
    return;
  }
  cafe_list list = CAFE_LIST_INIT;
  list.view = self->view;
  list.filters = at.filters;
  list.filter_count = at.filter_count;
  if (self->only.column) {
    at.filters[list.filter_count++] = self->only;
  }
  list.after_key = at.after_key;
  list.after_sub = at.after_sub;
  list.limit = at.limit;
  read_rows(request, &list, on_rows);
}

/* ---- a row as of a version ---- */

typedef struct as_of {
  http_request *request;
  const resource *resource;
  unsigned status;
  unsigned (*judge)(const void *row); /* or NULL: status */
  uint64_t version;
  bool is_kept; /* the body is there */
} as_of;

static bool is_folded(const cafe_view *view, const cafe_schema *type) {
  for (const cafe_schema *const *each = view->events; *each; each++) {
    if (*each == type) {
      return true;
    }
  }
  return false;
}

static void answer_kept(const as_of *self, const cafe_page *stream) {
  const cafe_event *last = NULL;
  for (uint32_t i = 0; i < stream->count && stream->events[i]->version <= self->version; i++) {
    last = stream->events[i];
  }
  if (last) {
    http_add_position(self->request, &last->position);
    http_send(self->request, self->status);
  } else {
    answer_missing(self->request);
  }
}

/* False: it doesn't show what was asked for. */
static bool judge_row(as_of *self, const void *row) {
  self->status = self->judge ? self->judge(row) : self->status;
  return self->status != 0;
}

static void on_history(const cafe_err *err, const cafe_page *stream, void *user) {
  as_of *self = user;
  http_request *request = self->request;
  const cafe_view *view = self->resource->view;
  if (err) {
    http_failure(request, err);
    return;
  }
  if (self->is_kept) {
    answer_kept(self, stream);
    return;
  }
  void *data = cafe_arena_alloc(request->arena, view->row->width);
  cafe_fold shown = CAFE_FOLD_HIDE;
  int code = data ? CAFE_OK : CAFE_NOMEM;
  const cafe_event *last = NULL;
  for (uint32_t i = 0; i < stream->count && stream->events[i]->version <= self->version && !code; i++) {
    last = stream->events[i];
    if (is_folded(view, last->type)) {
      cafe_fold fold = CAFE_FOLD_PUT;
      code = view->fold(&fold, data, last, request->arena, view->user);
      shown = fold == CAFE_FOLD_SKIP ? shown : fold;
    }
  }
  if (code) {
    http_problem(request, HTTP_OVERLOADED, "There is no memory to answer");
  } else if (shown != CAFE_FOLD_PUT) {
    answer_missing(request);
  } else if (!judge_row(self, data)) {
    http_problem(request, HTTP_OVERLOADED, "What was asked for isn't written yet; ask again");
  } else {
    cafe_row row = {.key = request->id, .data = data};
    resource_write(http_body(request), self->resource, &row, NULL);
    http_add_position(request, &last->position);
    http_send(request, self->status);
  }
}

static void read_history(const as_of *wanted) {
  http_request *request = wanted->request;
  cafe_op *op;
  cafe_err err = {0};
  as_of *waiting = cafe_arena_alloc(request->arena, sizeof *waiting);
  if (!waiting) {
    http_problem(request, HTTP_OVERLOADED, "There is no memory to answer");
    return;
  }
  *waiting = *wanted;
  if (cafe_node_history(&op, request->node, waiting->resource->aggregate, request->id, 0, on_history, waiting, &err) !=
      CAFE_OK) {
    http_failure(request, &err);
  } else {
    http_await(request, op, HTTP_READ_TIMEOUT_MS);
  }
}

void resource_as_of(http_request *request, const resource *self, unsigned status, uint64_t version) {
  read_history(&(as_of){.request = request, .resource = self, .status = status, .version = version});
}

void resource_kept(http_request *request, const resource *self, http_verdict *verdict) {
  *http_body(request) = verdict->body;
  verdict->body = (buffer){0};
  read_history(&(as_of){
      .request = request, .resource = self, .status = verdict->status, .version = verdict->version, .is_kept = true});
}

void resource_as_is(http_request *request, const resource *self, unsigned (*judge)(const void *row)) {
  read_history(&(as_of){.request = request, .resource = self, .judge = judge, .version = UINT64_MAX});
}
