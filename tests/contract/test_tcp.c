/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The transport tcp keeps its contract, on libuv and loopback. Between any two ends, in each direction, there is a
 * proxy: lines are cut there, by resets or by silence, and behave badly.
 */
#include <stdio.h>
#include <unistd.h>

#include "cafe/loop/uv.h"
#include "cafe/transport/tcp.h"
#include "certificates.h"
#include "tcp_proxy.h"
#include "contract_suite.h"

enum { ENDS = CAFE_TRANSPORT_ENDS, SILENT_MS = 150 };

typedef struct world {
  tcp_proxy_cut cut;
  const cafe_tcp_tls *tls;
  cafe_loop *loop;
  const cafe_allocator *allocator;
  tcp_proxy *lines[ENDS][ENDS]; /* from, to */
} world;

static void each_line(world *self, void (*act)(tcp_proxy *line, const void *with), const void *with) {
  for (int from = 0; from < ENDS; from++) {
    for (int to = 0; to < ENDS; to++) {
      if (from != to) {
        act(self->lines[from][to], with);
      }
    }
  }
}

static int begin(cafe_loop **out, const cafe_allocator *allocator, void *user, cafe_err *err) {
  world *self = user;
  int code = cafe_uv_create(out, NULL, allocator, err);
  if (code != CAFE_OK) {
    return code;
  }
  self->loop = *out;
  self->allocator = allocator;
  for (int from = 0; from < ENDS; from++) {
    for (int to = 0; to < ENDS; to++) {
      self->lines[from][to] = from == to ? NULL : tcp_proxy_create(*out, (uint64_t)(from * ENDS + to));
    }
  }
  return CAFE_OK;
}

static void end_line(tcp_proxy *line, const void *with) {
  (void)with;
  tcp_proxy_destroy(line);
}

static void end(cafe_loop *loop, void *user) {
  each_line(user, end_line, NULL);
  cafe_loop_destroy(loop);
}

static int create(cafe_transport **out, uint32_t number, void *user, cafe_err *err) {
  world *self = user;
  cafe_tcp_peer peers[ENDS * 2];
  char addresses[ENDS][32];
  cafe_tcp_options options = CAFE_TCP_OPTIONS_INIT;
  uint32_t count = 0;
  for (uint32_t to = 0; to < ENDS; to++) {
    if (to == number) {
      continue;
    }
    (void)snprintf(addresses[to], sizeof(addresses[to]), "127.0.0.1:%d", tcp_proxy_port(self->lines[number][to]));
    for (const char *const *service = cafe_transport_contract_services(to); *service; service++) {
      peers[count++] = (cafe_tcp_peer){*service, addresses[to], {NULL, NULL}};
    }
  }
  int port;
  options.listen_fd = tcp_listen_anywhere(&port);
  options.peers = peers;
  options.peer_count = count;
  options.tls = self->tls;
  options.idle_timeout_ms = self->cut == TCP_PROXY_SILENT ? SILENT_MS : 0;
  options.allocator = self->allocator;
  int code = cafe_tcp_create(out, &options, err);
  if (code != CAFE_OK) {
    (void)close(options.listen_fd); /* it wasn't taken */
    return code;
  }
  for (int from = 0; from < ENDS; from++) {
    if (from != (int)number) {
      tcp_proxy_aim(self->lines[from][number], port);
    }
  }
  return CAFE_OK;
}

static void cut(uint32_t number, bool is_cut, void *user) {
  world *self = user;
  for (uint32_t other = 0; other < ENDS; other++) {
    if (other != number) {
      tcp_proxy_set_cut(self->lines[number][other], is_cut ? self->cut : TCP_PROXY_WHOLE);
      tcp_proxy_set_cut(self->lines[other][number], is_cut ? self->cut : TCP_PROXY_WHOLE);
    }
  }
}

static void behave(tcp_proxy *line, const void *with) { tcp_proxy_behave(line, with); }

static void disturb(uint64_t seed, void *user) {
  static const tcp_proxy_manners bad[] = {{500, 1000, 60000}, {1, 0, 0},        {0, 0, 20000}, {2000, 3000, 0},
                                          {0, 10000, 0},      {1000, 0, 40000}, {2, 0, 30000}};
  each_line(user, behave, seed ? &bad[seed % (sizeof(bad) / sizeof(bad[0]))] : NULL);
}

static int run(const char *name, tcp_proxy_cut kind, const cafe_tcp_tls *tls, const char *only) {
  world self = {.cut = kind, .tls = tls};
  cafe_transport_contract contract = CAFE_TRANSPORT_CONTRACT_INIT;
  contract.name = name;
  contract.takes_allocator = true;
  contract.ahead_max = 1;
  contract.quiet_ms = 50;
  contract.user = &self;
  contract.begin = begin;
  contract.end = end;
  contract.create = create;
  contract.cut = cut;
  contract.disturb = disturb;
  return transport_suite_run(&contract, only);
}

/* All three show the same one. */
static const cafe_tcp_tls *make_certificate(void) {
  static const cafe_tcp_tls files = {"ca.pem", "end.pem", "end.key", {NULL, NULL}};
  certificates_make_authority("ca");
  certificates_make("end", "ca", "/CN=end", "IP:127.0.0.1");
  return &files;
}

int main(int argc, char **argv) {
  const char *only = argc > 1 ? argv[1] : NULL;
  return run("tcp, resets", TCP_PROXY_BROKEN, NULL, only) + run("tcp, silence", TCP_PROXY_SILENT, NULL, only) +
         run("tcp, TLS", TCP_PROXY_BROKEN, make_certificate(), only);
}
