/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a program's node meets the others. A peer that is missing would be noticed by nothing but orders that don't go
 * on, so it is said at the start; whether one that is named answers is for the transport to find out, again and again.
 */
#include "server/peers.h"

#include "cafe/transport/tcp.h"

#include <stdio.h>
#include <unistd.h>

enum { PEERS_MAX = 8 };

static bool is_here(const server_program *program, const char *service) {
  for (const server_part *const *part = program->parts; *part; part++) {
    if (strcmp((*part)->service->name, service) == 0) {
      return true;
    }
  }
  return false;
}

/* Two parts may need the same peer. */
static bool is_listed(const cafe_tcp_peer *peers, uint32_t count, const char *service) {
  for (uint32_t i = 0; i < count; i++) {
    if (strcmp(peers[i].service, service) == 0) {
      return true;
    }
  }
  return false;
}

static int find_peers(cafe_tcp_peer *out, uint32_t *count, const server_program *program, const option *options,
                      cafe_err *err) {
  int code = option_peers(options, "peer", err);
  if (code != CAFE_OK) {
    return code;
  }
  for (const server_part *const *part = program->parts; *part; part++) {
    for (const server_need *need = (*part)->needs; need->peer; need++) {
      if (is_here(program, need->peer) || is_listed(out, *count, need->peer)) {
        continue;
      }
      const char *address = option_peer(options, "peer", need->peer);
      if (!address) {
        return cafe_fail(err, CAFE_INVALID, "--peer %s=tcp://HOST:PORT is missing: %s", need->peer, need->why);
      }
      out[*count] = (cafe_tcp_peer){.service = need->peer, .address = address};
      ++*count;
    }
  }
  return CAFE_OK;
}

/* All three, or none. */
static int read_tls(cafe_tcp_tls *out, bool *is_wanted, const option *options, cafe_err *err) {
  static const char *const names[] = {"tls-ca", "tls-certificate", "tls-key"};
  const char *files[3];
  int given = 0;
  int missing = 0;
  for (int i = 0; i < 3; i++) {
    files[i] = option_value(options, names[i]);
    given += files[i] != NULL;
    missing = files[i] ? missing : i;
  }
  *out = (cafe_tcp_tls){.ca_file = files[0], .certificate_file = files[1], .key_file = files[2]};
  *is_wanted = given == 3;
  return given == 0 || given == 3
             ? CAFE_OK
             : cafe_fail(err, CAFE_INVALID, "--%s is missing: TLS needs --tls-ca, --tls-certificate and --tls-key",
                         names[missing]);
}

/* The library names its own option where it refuses to be plain, and whoever runs a server gives another. */
static void name_switch(cafe_err *err) {
  cafe_err said = *err;
  if (strstr(said.text, "is_insecure")) {
    (void)cafe_fail(err, (cafe_code)said.code, "--tls-ca, --tls-certificate and --tls-key, or --node-insecure: %s",
                    said.text);
  }
}

int peers_open(cafe_transport **out, const server_program *program, const option *options, host *of, cafe_err *err) {
  cafe_tcp_options wanted = CAFE_TCP_OPTIONS_INIT;
  cafe_tcp_peer peers[PEERS_MAX];
  cafe_tcp_tls tls;
  bool has_tls = false;
  char address[256];
  int port;
  int code = option_node(address, sizeof address, &port, options, "node", err);
  if (code == CAFE_OK) {
    code = find_peers(peers, &wanted.peer_count, program, options, err);
  }
  if (code == CAFE_OK) {
    code = read_tls(&tls, &has_tls, options, err);
  }
  if (code == CAFE_OK) {
    code = option_switch(&wanted.is_insecure, options, "node-insecure", err);
  }
  if (code != CAFE_OK) {
    return code;
  }
  wanted.peers = peers;
  wanted.tls = has_tls ? &tls : NULL;
  wanted.log = of->log;
  wanted.listen_fd = listen_take(&of->inherited, "node");
  bool is_shared = wanted.listen_fd >= 0;
  if (!is_shared) {
    code = listen_open(&wanted.listen_fd, address, port, err);
  }
  if (code == CAFE_OK) {
    host_note(of, "node", wanted.listen_fd, is_shared, option_find(options, "node"));
    code = cafe_tcp_create(out, &wanted, err);
    if (code != CAFE_OK) {
      (void)close(wanted.listen_fd);
      name_switch(err);
    }
  }
  return code;
}
