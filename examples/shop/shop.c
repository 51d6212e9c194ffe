/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cafe-shop: all five services in one process, on one SQLite file. Each has the port and the paths that it has as a
 * process of its own, so that nobody who calls them can tell the difference.
 */
#include "shop/shop.h"

#include "app/app.h"
#include "customer/customer.h"
#include "dashboard/dashboard.h"
#include "pay/pay.h"
#include "store/store.h"

int shop_main(int argc, char **argv, const cafe_service *const *guests) {
  static const server_program shop = {
      .name = "cafe-shop",
      .summary = "All five services of the coffee shop in one process: app, pay, store, customer and dashboard.",
      .parts = {&app_part, &pay_part, &store_part, &customer_part, &dashboard_part},
      .listen = "127.0.0.1:8080",
      .store = "sqlite:var/shop.db",
  };
  return server_main(&shop, argc, argv, guests);
}
