/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: how they are written, and where they are. */
#include "transport/tcp_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_host(const char *host, size_t size) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
  return size > 0 && size < HOST_MAX && strspn(host, allowed) >= size;
}

static bool parse_port(uint16_t *out, const char *text) {
  size_t size = strlen(text);
  if (size == 0 || size >= PORT_TEXT_MAX || strspn(text, "0123456789") != size) {
    return false;
  }
  unsigned long port = strtoul(text, NULL, 10);
  *out = (uint16_t)port;
  return port > 0 && port <= UINT16_MAX;
}

int address_parse(address *out, const char *text, cafe_err *err) {
  struct in6_addr unused;
  memset(out, 0, sizeof(*out));
  const char *colon = strrchr(text, ':');
  bool is_bracketed = text[0] == '[';
  const char *host = is_bracketed ? text + 1 : text;
  size_t size = colon ? (size_t)(colon - host) : 0;
  if (is_bracketed && colon && colon[-1] == ']') {
    size--;
  } else if (is_bracketed) {
    size = 0;
  }
  bool is_right = colon && colon > host && parse_port(&out->port, colon + 1) && size < HOST_MAX;
  if (is_right) {
    memcpy(out->host, host, size);
    is_right = is_bracketed ? inet_pton(AF_INET6, out->host, &unused) == 1 : is_host(host, size);
  }
  return is_right
             ? CAFE_OK
             : cafe_fail(err, CAFE_INVALID,
                         "\"%.100s\" isn't an address: write host:port or [IPv6]:port, with a port from 1 to 65535",
                         text);
}

bool address_place(place *out, const address *from) {
  memset(out, 0, sizeof(*out));
  if (inet_pton(AF_INET, from->host, &out->v4.sin_addr) == 1) {
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons(from->port);
    return true;
  }
  if (inet_pton(AF_INET6, from->host, &out->v6.sin6_addr) == 1) {
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(from->port);
    return true;
  }
  return false;
}

bool place_is_local(const place *p) {
  if (p->any.sa_family == AF_INET) {
    return ntohl(p->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
  }
  if (p->any.sa_family != AF_INET6) {
    return false;
  }
  const struct in6_addr *v6 = &p->v6.sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET);
}

bool address_is_local(const address *a) {
  place p;
  return address_place(&p, a) ? place_is_local(&p) : strcmp(a->host, "localhost") == 0;
}

socklen_t place_size(const place *p) {
  return p->any.sa_family == AF_INET ? (socklen_t)sizeof(p->v4) : (socklen_t)sizeof(p->v6);
}

void place_text(char out[PLACE_TEXT_MAX], const place *p) {
  char host[INET6_ADDRSTRLEN] = "?";
  if (p->any.sa_family == AF_INET) {
    (void)inet_ntop(AF_INET, &p->v4.sin_addr, host, sizeof(host));
    (void)snprintf(out, PLACE_TEXT_MAX, "%s:%u", host, (unsigned)ntohs(p->v4.sin_port));
  } else {
    (void)inet_ntop(AF_INET6, &p->v6.sin6_addr, host, sizeof(host));
    (void)snprintf(out, PLACE_TEXT_MAX, "[%s]:%u", host, (unsigned)ntohs(p->v6.sin6_port));
  }
}

int address_look_up(place out[PLACES_MAX], const address *from, const char **why) {
  struct addrinfo hints, *list = NULL;
  char port[PORT_TEXT_MAX];
  memset(&hints, 0, sizeof(hints));
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  (void)snprintf(port, sizeof(port), "%u", (unsigned)from->port);
  int status = getaddrinfo(from->host, port, &hints, &list);
  if (status != 0) {
    *why = status == EAI_SYSTEM ? strerror(errno) : gai_strerror(status);
    return 0;
  }
  int count = 0;
  for (const struct addrinfo *at = list; at && count < PLACES_MAX; at = at->ai_next) {
    if ((at->ai_family == AF_INET || at->ai_family == AF_INET6) && at->ai_addrlen <= sizeof(place)) {
      memset(&out[count], 0, sizeof(place));
      memcpy(&out[count++], at->ai_addr, at->ai_addrlen);
    }
  }
  freeaddrinfo(list);
  *why = "it has no address";
  return count;
}
