/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_H
#define CAFE_H

/* All that a program needs, but for the constructors of what it chooses: store/, loop/, transport/, gateway/,
 * channel/. Backends are written against sys/, tests against testing/. */
#include "cafe/aggregate.h"
#include "cafe/alloc.h"
#include "cafe/err.h"
#include "cafe/export.h"
#include "cafe/fulfillment.h"
#include "cafe/letters.h"
#include "cafe/log.h"
#include "cafe/metrics.h"
#include "cafe/node.h"
#include "cafe/notification.h"
#include "cafe/op.h"
#include "cafe/order.h"
#include "cafe/payment.h"
#include "cafe/policy.h"
#include "cafe/resilience.h"
#include "cafe/saga.h"
#include "cafe/schema.h"
#include "cafe/shop.h"
#include "cafe/types.h"
#include "cafe/upkeep.h"
#include "cafe/version.h"
#include "cafe/view.h"

#endif
