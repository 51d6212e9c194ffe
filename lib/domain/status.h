/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DOMAIN_STATUS_H
#define DOMAIN_STATUS_H

#include "cafe/fulfillment.h"
#include "cafe/order.h"
#include "cafe/payment.h"

/* What is shown after an event of the stream, from what was shown before. Of a payment's tombstone nothing is shown:
 * don't ask. */
cafe_order_status status_of_order(cafe_order_status before, const cafe_event *event);
cafe_payment_status status_of_payment(cafe_payment_status before, const cafe_event *event);
cafe_ticket_status status_of_ticket(cafe_ticket_status before, const cafe_event *event);

#endif
