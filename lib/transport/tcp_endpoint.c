/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of other nodes, and how one comes to be connected to each.
 *
 * What it keeps: there is one connection to an address, or one attempt, or a time for the next one, as long as anything
 * is wanted of it. Attempts get rarer while they fail, with full jitter, so that a node that comes back isn't run over
 * by all who waited for it; a request doesn't wait that long, but brings the next attempt forward. What waits for a
 * connection, and not a byte of which was written, was surely not asked: it fails as soon as the attempt does.
 */
#include <errno.h>
#include <stdio.h>

#include <utlist.h>

#include "base/sized.h"
#include "cafe/resilience.h"
#include "transport/tcp_core.h"

enum { STEADY_US = 2000000 /* a connection that lived so long wasn't one of a row of failures */ };

/* ---- attempts ---- */

/* The next attempt, if anything is wanted. */
static void endpoint_plan(endpoint *e, int64_t at_us) {
  if (!e->conn && !e->lookup && (e->waiting || e->ties) && at_us < e->due.item.due) {
    due_at(e->tcp, &e->due, at_us);
  }
  tcp_plan(e->tcp);
}

void endpoint_need(endpoint *e) {
  int64_t now_us = tcp_now_us(e->tcp);
  int64_t soon_us = e->failures > 0 ? e->failed_us + RETRY_FIRST_MS * 1000 : now_us;
  endpoint_plan(e, soon_us);
}

static void endpoint_back_off(endpoint *e) {
  tcp *self = e->tcp;
  const cafe_retry retry = {.initial_ms = RETRY_FIRST_MS, .max_ms = RETRY_LAST_MS};
  e->failures++;
  e->failed_us = tcp_now_us(self);
  int64_t delay_ms = cafe_retry_delay_ms(&retry, e->failures, self->loop->ops->random(self->loop));
  endpoint_plan(e, e->failed_us + delay_ms * 1000);
}

/* The attempt came to nothing at any of its places. */
static void endpoint_fail(endpoint *e, const cafe_err *why) {
  tcp *self = e->tcp;
  cafe_err err;
  (void)cafe_fail_detail(&err, CAFE_UNAVAILABLE, why->detail, "tcp: no connection to %s (%s): %s", e->text, e->services,
                         why->text);
  if (!e->is_down) {
    e->is_down = true;
    tcp_log(self, CAFE_LOG_WARN, "no connection to %s (%s): %s", e->text, e->services, why->text);
  }
  endpoint_back_off(e);
  call_fail_waiting(e, &err);
  tie_lose_all(e, NULL, &err);
}

/* Tries the places that are left, until one of them is at it. */
static void endpoint_try(endpoint *e, const cafe_err *why) {
  tcp *self = e->tcp;
  cafe_err err = *why;
  while (e->place_next < e->place_count) {
    const place *p = &e->places[e->place_next++];
    if (!self->tls && !self->is_insecure && !place_is_local(p)) {
      (void)cafe_fail(&err, CAFE_UNAVAILABLE, "its name leads away from this machine, which needs tls or is_insecure");
      continue;
    }
    int fd = socket(p->any.sa_family, SOCK_STREAM, 0);
    if (fd < 0) {
      (void)cafe_fail_detail(&err, CAFE_UNAVAILABLE, errno, "%s", strerror(errno));
      continue;
    }
    e->conn = conn_create(self, fd, e, p, &err);
    if (!e->conn) {
      continue;
    }
    if (conn_connect(e->conn, p, &err) == CAFE_OK) {
      return;
    }
    e->conn = NULL;
  }
  endpoint_fail(e, &err);
}

void endpoint_refused(endpoint *e, const cafe_err *why) { endpoint_try(e, why); }

void endpoint_found(endpoint *e, const place *places, int count, const char *why) {
  cafe_err err;
  (void)cafe_fail(&err, CAFE_UNAVAILABLE, "its name can't be looked up: %s", why);
  memcpy(e->places, places, sizeof(e->places[0]) * (size_t)count);
  e->place_count = count;
  e->place_next = 0;
  endpoint_try(e, &err);
}

static void endpoint_due(due *item) {
  endpoint *e = (endpoint *)item;
  cafe_err err = {0};
  if (e->conn || e->lookup || !(e->waiting || e->ties)) {
    return;
  }
  if (address_place(&e->places[0], &e->address)) {
    e->place_count = 1;
    e->place_next = 0;
    endpoint_try(e, &err);
  } else if (lookup_begin(&e->lookup, e, &err) != CAFE_OK) {
    endpoint_fail(e, &err);
  }
}

/* ---- a connection's life ---- */

static bool is_among(cafe_slice services, cafe_slice name) {
  for (size_t at = 0; at < services.size;) {
    cafe_slice one = cafe_text(services.data + at);
    if (cafe_slice_equal(one, name)) {
      return true;
    }
    at += one.size + 1;
  }
  return false;
}

/* A wrong address is best said before anything is asked. */
static void check_services(endpoint *e, cafe_slice services) {
  for (map_entry *entry = map_first(e->tcp->services); entry; entry = map_next(entry)) {
    cafe_slice name = map_key_bytes(entry);
    if (map_value(entry) == e && !e->is_misplaced && !is_among(services, name)) {
      e->is_misplaced = true;
      tcp_log(e->tcp, CAFE_LOG_ERROR, "the service %.*s isn't offered at %s: correct its address",
              name.size < 60 ? (int)name.size : 60, name.data, e->text);
    }
  }
}

void endpoint_ready(endpoint *e, cafe_slice services) {
  if (e->is_down) {
    e->is_down = false;
    tcp_log(e->tcp, CAFE_LOG_INFO, "connected to %s (%s) again", e->text, e->services);
  }
  e->is_mismatched = false;
  check_services(e, services);
  call_send_waiting(e);
  tie_pull_all(e);
}

void endpoint_lost(endpoint *e, conn *c, const cafe_err *why) {
  tcp *self = e->tcp;
  cafe_err err;
  e->conn = NULL;
  (void)cafe_fail_detail(&err, CAFE_UNAVAILABLE, why->detail, "tcp: the connection to %s (%s) broke: %s", e->text,
                         e->services, why->text);
  if (!e->is_down) {
    e->is_down = true;
    tcp_log(self, CAFE_LOG_WARN, "the connection to %s (%s) broke: %s", e->text, e->services, why->text);
  }
  if (tcp_now_us(self) - c->ready_us > STEADY_US) {
    e->failures = 0;
  }
  endpoint_back_off(e);
  call_fail_asked(c, &err);
  call_fail_waiting(e, &err);
  tie_lose_all(e, c, &err);
}

/* ---- configuration ---- */

static endpoint *find_endpoint(tcp *self, const address *a) {
  endpoint *e;
  DL_FOREACH(self->endpoints, e) {
    if (strcmp(e->address.host, a->host) == 0 && e->address.port == a->port) {
      break;
    }
  }
  return e;
}

static endpoint *make_endpoint(tcp *self, const address *a) {
  endpoint *e = tcp_alloc(self, sizeof(*e));
  if (e) {
    e->tcp = self;
    e->address = *a;
    (void)snprintf(e->text, sizeof(e->text), strchr(a->host, ':') ? "[%s]:%u" : "%s:%u", a->host, (unsigned)a->port);
    DL_APPEND(self->endpoints, e);
  }
  return e;
}

int endpoint_add(tcp *self, const cafe_tcp_peer *peer, cafe_err *err) {
  address a;
  if (!peer->service || !peer->service[0] || !peer->address) {
    return cafe_fail(err, CAFE_INVALID, "tcp: a peer needs a service and an address");
  }
  if (!is_zero(peer->reserved, sizeof(peer->reserved))) {
    return cafe_fail(err, CAFE_UNSUPPORTED, "tcp: the peer %.60s was written for a newer library", peer->service);
  }
  int code = address_parse(&a, peer->address, err);
  if (code != CAFE_OK) {
    return code;
  }
  if (map_get_bytes(self->services, cafe_text(peer->service))) {
    return cafe_fail(err, CAFE_INVALID, "tcp: the service %.60s stands twice among the peers", peer->service);
  }
  endpoint *e = find_endpoint(self, &a);
  e = e ? e : make_endpoint(self, &a);
  if (!e || map_put_bytes(self->services, cafe_text(peer->service), e) != CAFE_OK) {
    return tcp_no_memory(err);
  }
  size_t used = strlen(e->services);
  (void)snprintf(e->services + used, sizeof(e->services) - used, "%s%s", used ? ", " : "", peer->service);
  return CAFE_OK;
}

int endpoint_open(endpoint *e) {
  e->failures = 0;
  e->is_down = e->is_mismatched = e->is_misplaced = false;
  return due_add(e->tcp, &e->due, endpoint_due, INT64_MAX);
}

void endpoint_close(endpoint *e) {
  lookup_abandon(e->lookup);
  while (e->waiting) {
    call_drop(e->waiting);
  }
  while (e->ties) {
    tie_drop(e->ties);
  }
  e->conn = NULL;
  due_remove(e->tcp, &e->due);
}
