/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DOMAIN_SERVICES_H
#define DOMAIN_SERVICES_H

#include "cafe/node.h"

/* What is hosted together, for cafe_node_host. The fifth service, the dashboard, is lib/view's (view/dashboard.h). */
const cafe_service *services_app(void);
const cafe_service *services_pay(void);
const cafe_service *services_store(void);

/* What app's orders wait for, and how an answer tells that payment is at fault: cafe_node_guard, with options. */
cafe_guard services_payment_guard(void);

/* The customer's: its policies name the channels. Caller's memory; must stay where it is while a node hosts it. */
typedef struct services_customer {
  cafe_service service; /* host this */
  cafe_policy by_source[2];
  const cafe_policy *policies[3];
} services_customer;

/* channels: names separated by spaces, with NUL. BORROW: as long as *out is in use. */
void services_customer_init(services_customer *out, const char *channels);

#endif
