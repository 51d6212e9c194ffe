/* SPDX-License-Identifier: Apache-2.0 */
#include "pay/pay.h"

int main(int argc, char **argv) {
  static const server_program program = {
      .name = "cafe-pay",
      .summary = "Payments, by the sandbox gateway: authorizes, captures, and gives back.",
      .parts = {&pay_part},
      .listen = "127.0.0.1:8082",
      .node = "tcp://127.0.0.1:9082",
      .store = "sqlite:var/pay.db",
  };
  return server_main(&program, argc, argv, NULL);
}
