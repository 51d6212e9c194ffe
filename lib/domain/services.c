/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The services as data. A service commands its own aggregates only; others hear its events. The one exception is the
 * order's saga, which waits for payment: so app names payment as a remote, and fulfillment since the saga listens to
 * it.
 */
#include "domain/services.h"

#include <string.h>

#include "cafe/fulfillment.h"
#include "cafe/notification.h"
#include "cafe/order.h"
#include "cafe/payment.h"
#include "domain/policies.h"

static const cafe_service app = {
    .size = CAFE_SERVICE,
    .name = "app",
    .aggregates = (const cafe_aggregate *const[]){&cafe_order_aggregate, NULL},
    .sagas = (const cafe_saga *const[]){&cafe_order_saga, NULL},
    .policies = (const cafe_policy *const[]){&policies_app_store, NULL},
    .views = (const cafe_view *const[]){&cafe_orders_view, NULL},
    .remotes = (const cafe_aggregate *const[]){&cafe_payment_aggregate, &cafe_fulfillment_aggregate, NULL},
    .remote_services = (const char *const[]){"pay", "store", NULL},
};

static const cafe_service pay = {
    .size = CAFE_SERVICE,
    .name = "pay",
    .aggregates = (const cafe_aggregate *const[]){&cafe_payment_aggregate, NULL},
    .policies = (const cafe_policy *const[]){&policies_pay_app, NULL},
    .views = (const cafe_view *const[]){&cafe_payments_view, NULL},
    .remotes = (const cafe_aggregate *const[]){&cafe_order_aggregate, NULL},
    .remote_services = (const char *const[]){"app", NULL},
};

static const cafe_service store = {
    .size = CAFE_SERVICE,
    .name = "store",
    .aggregates = (const cafe_aggregate *const[]){&cafe_fulfillment_aggregate, NULL},
    .policies = (const cafe_policy *const[]){&policies_store_app, NULL},
    .views = (const cafe_view *const[]){&cafe_fulfillments_view, NULL},
    .remotes = (const cafe_aggregate *const[]){&cafe_order_aggregate, NULL},
    .remote_services = (const char *const[]){"app", NULL},
};

static const cafe_service customer = {
    .size = CAFE_SERVICE,
    .name = "customer",
    .aggregates = (const cafe_aggregate *const[]){&cafe_notification_aggregate, NULL},
    .views = (const cafe_view *const[]){&cafe_notifications_view, NULL},
    .remotes = (const cafe_aggregate *const[]){&cafe_order_aggregate, &cafe_payment_aggregate, NULL},
    .remote_services = (const char *const[]){"app", "pay", NULL},
};

/* A no of the payer's bank is an answer. What was dropped since nobody came back, or was taken back, isn't payment's.
 */
static bool payment_failed(const cafe_event *outcome, void *user) {
  (void)user;
  if (outcome->type == &cafe_draft_unclaimed_type) {
    return true;
  }
  if (outcome->type != &cafe_draft_dropped_type) {
    return false;
  }
  cafe_drop_reason reason = ((const cafe_draft_dropped *)outcome->data)->reason;
  return reason == CAFE_DROP_UNAVAILABLE || reason == CAFE_DROP_UNKNOWN;
}

/* It said so itself; who is only slow may be so with fewer, too. */
static bool payment_is_full(const cafe_event *outcome, void *user) {
  (void)user;
  return outcome->type == &cafe_draft_dropped_type &&
         ((const cafe_draft_dropped *)outcome->data)->reason == CAFE_DROP_UNAVAILABLE;
}

cafe_guard services_payment_guard(void) {
  static const cafe_schema *const begins[] = {&cafe_order_drafted_type, NULL};
  return (cafe_guard){.size = CAFE_GUARD,
                      .name = "payment",
                      .command = &cafe_place_order_type,
                      .begins = begins,
                      .reason = "payment-unavailable",
                      .is_failure = payment_failed,
                      .is_overload = payment_is_full};
}

const cafe_service *services_app(void) { return &app; }
const cafe_service *services_pay(void) { return &pay; }
const cafe_service *services_store(void) { return &store; }

void services_customer_init(services_customer *out, const char *channels) {
  void *user;
  memcpy(&user, &channels, sizeof(user)); /* the policies only read it */
  out->by_source[0] = policies_customer_app;
  out->by_source[0].user = user;
  out->by_source[1] = policies_customer_pay;
  out->by_source[1].user = user;
  out->policies[0] = &out->by_source[0];
  out->policies[1] = &out->by_source[1];
  out->policies[2] = NULL;
  out->service = customer;
  out->service.policies = out->policies;
}
