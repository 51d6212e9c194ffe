/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_SHOP_H
#define CAFE_SHOP_H

#include "cafe/fulfillment.h"
#include "cafe/node.h"
#include "cafe/notification.h"
#include "cafe/order.h"
#include "cafe/payment.h"

CAFE_BEGIN_DECLS

typedef struct cafe_gateway cafe_gateway; /* sys/gateway.h to write one; gateway/ makes one */
typedef struct cafe_channel cafe_channel; /* sys/channel.h to write one; channel/ makes one */

/* The read model over all services: table `order_infos`, kept by subscriptions. */
typedef struct cafe_order_info_row {
  CAFE_ORDER_LINES;
  cafe_order_status status;
  cafe_payment_status payment_status;
  cafe_ticket_status fulfillment_status;
  cafe_slice last_event; /* of the latest by (time, service, position) */
  int64_t created_at_ms; /* Ordered */
  int64_t updated_at_ms; /* last_event's time */
  int64_t version;       /* the order stream's */
  int64_t order_time_ms; /* per source: time and position of its latest event */
  uint64_t order_n;
  int64_t payment_time_ms;
  uint64_t payment_n;
  int64_t fulfillment_time_ms;
  uint64_t fulfillment_n;
  bool is_visible; /* Ordered was seen */
} cafe_order_info_row;

CAFE_EXPORT extern const cafe_schema cafe_order_info_row_type;
CAFE_EXPORT extern const cafe_view cafe_order_infos_view;

typedef enum cafe_shop_service {
  CAFE_SHOP_APP = 1,        /* "app": order, its saga, `orders` */
  CAFE_SHOP_PAY = 2,        /* "pay": payment, `payments` */
  CAFE_SHOP_STORE = 4,      /* "store": fulfillment, `fulfillments` */
  CAFE_SHOP_CUSTOMER = 8,   /* "customer": notification, `notifications` */
  CAFE_SHOP_DASHBOARD = 16, /* "dashboard": `order_infos` */
  CAFE_SHOP_ALL = 31
} cafe_shop_service;

typedef struct cafe_shop_options {
  size_t size;
  unsigned services;             /* cafe_shop_service, or-ed; 0: all */
  cafe_gateway *gateway;         /* REQUIRED with PAY. BORROW: until the node is closed */
  cafe_channel *const *channels; /* with CUSTOMER, each by another name. COPY; BORROW each, as the gateway */
  uint32_t channel_count;        /* at most CAFE_CHANNELS_MAX; 0: nobody is told anything */
  cafe_retry gateway_retry;      /* zeroed: 200 ms, 30 s, 20 attempts, 10 s each */
  cafe_retry channel_retry;      /* zeroed: 500 ms, 60 s, 20 attempts, 10 s each */

  /* Payment under load. With APP a guard named "payment" (cafe_node_guard) stands before PlaceOrder, by these options:
   * an order that would have to be paid for while payment is slow, overloaded or gone is refused before it is written,
   * as "payment-unavailable". With PAY at most payment_concurrency calls of the gateway run at once: a new
   * authorization beyond that is refused, all else waits for its turn. */
  uint32_t breaker_volume;         /* 0: 20 */
  uint32_t breaker_error_permille; /* 0: 300 */
  int64_t breaker_window_ms;       /* 0: 10 s */
  int64_t breaker_sleep_ms;        /* 0: 5 s */
  uint32_t payment_concurrency;    /* with APP the most; how many are borne is found out. 0: 64 */
} cafe_shop_options;

#define CAFE_SHOP_OPTIONS_INIT                                                                                         \
  { sizeof(cafe_shop_options), 0, NULL, NULL, 0, {0, 0, 0, 0, {0}}, {0, 0, 0, 0, {0}}, 0, 0, 0, 0, 0 }

/* The coffee shop's services, hosted by a node, with their workers. */
typedef struct cafe_shop cafe_shop;

/* Hosts them; before the node's start. options BORROW: until the call returns. OWN: cafe_shop_destroy. CAFE_INVALID: an
 * option is wrong, or the node has started or hosts one of them already; CAFE_UNSUPPORTED: an option is one that only a
 * newer library knows; CAFE_NOMEM. After a failure only cafe_node_destroy is left to the node. Loop thread. Since
 * 0.1. */
CAFE_EXPORT int cafe_shop_create(cafe_shop **out, cafe_node *node, const cafe_shop_options *options, cafe_err *err);

/* Frees it; the node is destroyed before. NULL is allowed. Loop thread. Since 0.1. */
CAFE_EXPORT void cafe_shop_destroy(cafe_shop *shop);

/* Free what their constructors made, after the shop that uses it. NULL is allowed. Loop thread. Since 0.1. */
CAFE_EXPORT void cafe_gateway_destroy(cafe_gateway *gateway);
CAFE_EXPORT void cafe_channel_destroy(cafe_channel *channel);

CAFE_END_DECLS

#endif
