/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_PEERS_H
#define SERVER_PEERS_H

#include "http/host.h"
#include "server/server.h"

/* How a program's node listens and talks. */
#define PEER_OPTIONS                                                                                                   \
  {.name = "node", .argument = "URL", .help = "where peers connect: tcp://HOST:PORT"},                                 \
      {.name = "peer",                                                                                                 \
       .argument = "NAME=URL",                                                                                         \
       .help = "where another service is: pay=tcp://HOST:PORT; repeatable; one that isn't needed is ignored",          \
       .is_repeatable = true},                                                                                         \
      {.name = "tls-ca", .argument = "FILE", .help = "nodes: who has signed the certificates of all, in PEM"},         \
      {.name = "tls-certificate", .argument = "FILE", .help = "nodes: this one's certificate, which it shows"},        \
      {.name = "tls-key", .argument = "FILE", .help = "nodes: the certificate's key"},                                 \
      {.name = "node-insecure", .help = "nodes: no TLS, also where an address isn't this machine's own"}

/* Takes the node's address, or the supervisor's socket "node", and makes the transport. OWN: cafe_transport_destroy.
 * CAFE_INVALID names the option that is wrong or missing, CAFE_DENIED: the address is in use. */
int peers_open(cafe_transport **out, const server_program *program, const option *options, host *of, cafe_err *err);

#endif
