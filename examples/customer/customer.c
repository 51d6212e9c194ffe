/* SPDX-License-Identifier: Apache-2.0 */
/* What customers were told, over HTTP: a list to read. Whom to tell, of what, and by which channel, the library knows.
 */
#include "customer/customer.h"
#include "customer/channels.h"
#include "http/resource.h"

static const resource notifications = {
    .view = &cafe_notifications_view,
    .path = "/notifications",
    .ids = (const char *const[]){"orderId", NULL},
    .filters = (const char *const[]){"customer_id", NULL},
    .key_filter = "orderId",
    .sub_id = "notificationId",
};

static const http_route routes[] = {
    {"GET", "/notifications", resource_list, &notifications},
    {NULL, NULL, NULL, NULL},
};

static const http_service service = {"customer", routes, &cafe_notifications_view};

static channel_set channels;

static int open_part(server_setup *setup, cafe_err *err) {
  int code = channels_open(&channels, setup->options, setup->loop, err);
  setup->shop.channels = channels.all;
  setup->shop.channel_count = channels.count;
  return code;
}

static void close_part(void) { channels_close(&channels); }

static const server_need needs[] = {
    {"app", "customers are told of its orders"},
    {"pay", "customers are told of money that is given back"},
    {NULL, NULL},
};

static const option options[] = {CHANNEL_OPTIONS, {.name = NULL}};

const server_part customer_part = {.service = &service,
                                   .hosted = CAFE_SHOP_CUSTOMER,
                                   .needs = needs,
                                   .options = options,
                                   .open = open_part,
                                   .close = close_part};
