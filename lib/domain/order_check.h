/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DOMAIN_ORDER_CHECK_H
#define DOMAIN_ORDER_CHECK_H

#include "cafe/order.h"

#define ORDER_COMPLAINTS_MAX 1024 /* room for every field at once */

/* Whether a request can be placed. If not, why names all that is wrong, "field: message" a line, with NUL. */
bool order_check(char why[ORDER_COMPLAINTS_MAX], const cafe_place_order *place);

#endif
