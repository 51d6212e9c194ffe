/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request to its handler. What can be refused without the domain is refused here, once, for all services: paths,
 * methods, media types, keys that no header may hold.
 */
#include "http/exchange.h"
#include "http/health.h"

#include <stdio.h>
#include <strings.h>

/* A key, as it is written and in no other way: one order, one path. */
static bool read_key(uint64_t *out, const char **path) {
  if (**path < '1' || **path > '9') {
    return false;
  }
  *out = 0;
  for (; **path >= '0' && **path <= '9'; (*path)++) {
    *out = *out * 10 + (uint64_t)(**path - '0');
    if (*out > CAFE_KEY_MAX) {
      return false;
    }
  }
  return true;
}

static bool read_name(cafe_slice *out, const char **path) {
  *out = (cafe_slice){*path, strspn(*path, "abcdefghijklmnopqrstuvwxyz_0123456789")};
  *path += out->size;
  return out->size > 0;
}

/* Matches a path with a route's, reading what stands in brackets. */
static bool match(const char *pattern, const char *path, http_request *request) {
  for (; *pattern; pattern++) {
    if (*pattern != '{') {
      if (*path++ != *pattern) {
        return false;
      }
      continue;
    }
    uint64_t *key = strncmp(pattern, "{id}", 4) == 0 ? &request->id : &request->sub;
    bool is_name = strncmp(pattern, "{view}", 6) == 0;
    bool is_read = is_name ? read_name(&request->view, &path) : read_key(key, &path);
    if (!is_read) {
      return false;
    }
    pattern = strchr(pattern, '}');
  }
  return *path == '\0';
}

static bool serves(const http_route *route, const char *method) {
  return strcmp(route->method, method) == 0 || (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* Looks in one table; notes the methods that the path has. */
static const http_route *find(const http_route *routes, exchange *self, char allow[], size_t allow_size) {
  for (const http_route *route = routes; route->method; route++) {
    if (!match(route->path, self->request.path, &self->request)) {
      continue;
    }
    if (serves(route, self->method)) {
      return route;
    }
    size_t used = strlen(allow);
    (void)snprintf(allow + used, allow_size - used, "%s%s", used ? ", " : "",
                   strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method);
  }
  return NULL;
}

static bool is_json(const char *type) {
  static const char json[] = "application/json";
  size_t size = sizeof json - 1;
  return type && strncasecmp(type, json, size) == 0 &&
         (type[size] == '\0' || type[size] == ';' || type[size] == ' ' || type[size] == '\t');
}

/* 1 to 255 visible ASCII characters. */
static bool is_key(const char *key) {
  size_t size = 0;
  for (; key[size]; size++) {
    if (key[size] < 0x21 || key[size] > 0x7E || size == 255) {
      return false;
    }
  }
  return size > 0;
}

/* Version, trace and parent id, flags (W3C Trace Context). A later version may add to that, and what it adds is left
 * out; another text is no trace, nor are ids of zeros, or version ff. */
static cafe_slice trace_of(const char *header) {
  static const char form[] = "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
  const cafe_slice none = {NULL, 0};
  size_t at = 0;
  for (; header && form[at]; at++) {
    bool is_hex = (header[at] >= '0' && header[at] <= '9') || (header[at] >= 'a' && header[at] <= 'f');
    if (form[at] == 'h' ? !is_hex : header[at] != '-') {
      return none;
    }
  }
  bool is_longer = header && header[at];
  if (!header || strncmp(header, "ff", 2) == 0 || strspn(header + 3, "0") >= 32 || strspn(header + 36, "0") >= 16 ||
      (is_longer && (header[at] != '-' || strncmp(header, "00", 2) == 0))) {
    return none;
  }
  return (cafe_slice){header, at};
}

void exchange_dispatch(exchange *self) {
  http_request *request = &self->request;
  char allow[64] = "";
  const http_route *route = find(request->service->routes, self, allow, sizeof allow);
  if (!route) {
    route = find(health_routes, self, allow, sizeof allow);
  }
  if (!route && *allow) {
    http_add_header(request, "Allow", allow);
    http_problem(request, HTTP_METHOD_NOT_ALLOWED, "%s takes %s", request->path, allow);
    return;
  }
  if (!route) {
    http_problem(request, HTTP_NOT_FOUND, "There is nothing at %s", request->path);
    return;
  }
  request->route = route;
  if (strcmp(route->method, "GET") != 0 && request->body.size > 0 && !is_json(http_header(request, "Content-Type"))) {
    http_problem(request, HTTP_WRONG_CONTENT_TYPE, "Content-Type must be application/json");
    return;
  }
  const char *key = strcmp(route->method, "POST") == 0 ? http_header(request, "Idempotency-Key") : NULL;
  if (key && !is_key(key)) {
    http_problem(request, HTTP_MALFORMED, "Idempotency-Key must be 1 to 255 visible ASCII characters");
    return;
  }
  request->trace = trace_of(http_header(request, "traceparent"));
  route->handle(request);
}
