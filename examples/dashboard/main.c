/* SPDX-License-Identifier: Apache-2.0 */
#include "dashboard/dashboard.h"

int main(int argc, char **argv) {
  static const server_program program = {
      .name = "cafe-dashboard",
      .summary = "The read model over all services, and its changes as they happen.",
      .parts = {&dashboard_part},
      .listen = "127.0.0.1:8085",
      .node = "tcp://127.0.0.1:9085",
      .store = "sqlite:var/dashboard.db",
  };
  return server_main(&program, argc, argv, NULL);
}
