/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DOMAIN_POLICIES_H
#define DOMAIN_POLICIES_H

#include "cafe/policy.h"

/* What the services ask of each other. Each is hosted by the first service of its name and reads the second one's log:
 * one subscription for each pair, so that what one log says about an order is heard in its order. */
extern const cafe_policy policies_app_store; /* the order follows the ticket */
extern const cafe_policy policies_pay_app;   /* money follows the order */
extern const cafe_policy policies_store_app; /* the ticket follows the order */

/* The customer is told. user: the names of the channels, separated by spaces, with NUL. Copy it and set user. */
extern const cafe_policy policies_customer_app;
extern const cafe_policy policies_customer_pay;

#endif
