/* SPDX-License-Identifier: Apache-2.0 */
#include "customer/customer.h"

int main(int argc, char **argv) {
  static const server_program program = {
      .name = "cafe-customer",
      .summary = "Notifications: tells customers what becomes of their orders.",
      .parts = {&customer_part},
      .listen = "127.0.0.1:8084",
      .node = "tcp://127.0.0.1:9084",
      .store = "sqlite:var/customer.db",
  };
  return server_main(&program, argc, argv, NULL);
}
