/* SPDX-License-Identifier: Apache-2.0 */
/* What customers were told, over HTTP: a list to read. Whom to tell, of what, and by which channel, the library knows.
 */
#include "customer/customer.h"
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

const http_service customer_service = {"customer", routes, &cafe_notifications_view};
