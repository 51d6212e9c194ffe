/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the deposits hear of the reservations: whenever a guest didn't come, the deposit is kept. The policy is the
 * listener's, and the event's own key is the command's, so on one node both are one unit.
 */
#include "deposit.h"
#include "reservation.h"

static void keep(cafe_reaction *out, const cafe_event *event, void *user) {
  (void)user;
  nothing said = {false};
  cafe_react(out, &keep_deposit_type, event->key, &said, sizeof said);
}

static const cafe_policy keep_policy = {
    .size = CAFE_POLICY,
    .name = "deposits-reservations",
    .source = "reservations",
    .events = (const cafe_schema *const[]){&guest_not_shown_type, NULL},
    .react = keep,
    .commands = (const cafe_schema *const[]){&keep_deposit_type, NULL},
};

const cafe_service deposits_service = {
    .size = CAFE_SERVICE,
    .name = "deposits",
    .aggregates = (const cafe_aggregate *const[]){&deposit_aggregate, NULL},
    .policies = (const cafe_policy *const[]){&keep_policy, NULL},
    .remotes = (const cafe_aggregate *const[]){&reservation_aggregate, NULL},
    .remote_services = (const char *const[]){"reservations", NULL},
};
