/* SPDX-License-Identifier: Apache-2.0 */
#include "app/app.h"

int main(int argc, char **argv) {
  static const server_program program = {
      .name = "cafe-app",
      .summary = "Orders: takes them, has them paid, and sees each to its end.",
      .parts = {&app_part},
      .listen = "127.0.0.1:8081",
      .node = "tcp://127.0.0.1:9081",
      .store = "sqlite:var/app.db",
  };
  return server_main(&program, argc, argv, NULL);
}
