/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPORT_TCP_ADDRESS_H
#define TRANSPORT_TCP_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "cafe/alloc.h"
#include "cafe/err.h"

enum { HOST_MAX = 254, PORT_TEXT_MAX = 6, PLACES_MAX = 8, PLACE_TEXT_MAX = 64 };

/* An address as it is written. */
typedef struct address {
  char host[HOST_MAX]; /* without brackets */
  uint16_t port;       /* not 0 */
} address;

/* A place in the network. */
typedef union place {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} place;

/* Reads "host:port", "[v6]:port". CAFE_INVALID. */
int address_parse(address *out, const char *text, cafe_err *err);

/* The place of an address whose host is a number. False: it is a name. */
bool address_place(place *out, const address *from);

/* Whether it is reached from this machine only: 127.0.0.0/8, ::1, and for a name, localhost. */
bool place_is_local(const place *p);
bool address_is_local(const address *a);

socklen_t place_size(const place *p);
/* As it is written. */
void place_text(char out[PLACE_TEXT_MAX], const place *p);

/* Looks a name up, which takes as long as it takes. Returns how many places, at most PLACES_MAX; 0: *why tells. Any
 * thread. */
int address_look_up(place out[PLACES_MAX], const address *from, const char **why);

#endif
