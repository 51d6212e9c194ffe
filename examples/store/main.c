/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

int main(int argc, char **argv) {
  static const server_program program = {
      .name = "cafe-store",
      .summary = "Tickets: what the owner of a store makes, and hands out.",
      .parts = {&store_part},
      .listen = "127.0.0.1:8083",
      .node = "tcp://127.0.0.1:9083",
      .store = "sqlite:var/store.db",
  };
  return server_main(&program, argc, argv, NULL);
}
