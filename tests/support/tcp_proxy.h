/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCP_PROXY_H
#define TCP_PROXY_H

#include "cafe/sys/loop.h"

/*
 * A line between two programs on this machine, on the test's own loop: a listening port, and behind each connection one
 * to the target. It can be cut, be slow, hand on what it gets in pieces, and break.
 */
typedef struct tcp_proxy tcp_proxy;

typedef enum tcp_proxy_cut {
  TCP_PROXY_WHOLE = 0,
  TCP_PROXY_BROKEN = 1, /* connections are reset, and so are new ones */
  TCP_PROXY_SILENT = 2  /* nothing gets through, and nobody is told; what was sent comes when it is whole again */
} tcp_proxy_cut;

typedef struct tcp_proxy_manners {
  size_t piece_max; /* bytes that are handed on at once; 0: as they come */
  int64_t delay_max_us;
  uint64_t break_after; /* a connection breaks after 1 to so many bytes, all together; 0: not at all */
} tcp_proxy_manners;

/* To a port that is told later. */
tcp_proxy *tcp_proxy_create(cafe_loop *loop, uint64_t seed);
void tcp_proxy_destroy(tcp_proxy *self);
int tcp_proxy_port(const tcp_proxy *self);
/* 0: nobody is there. */
void tcp_proxy_aim(tcp_proxy *self, int port);
void tcp_proxy_set_cut(tcp_proxy *self, tcp_proxy_cut cut);
/* NULL: good ones. Those of connections that there are change, too. */
void tcp_proxy_behave(tcp_proxy *self, const tcp_proxy_manners *manners);

/* A listening socket on a free port of 127.0.0.1. */
int tcp_listen_anywhere(int *out_port);

#endif
