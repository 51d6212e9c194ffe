/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two aggregates, since there are two keys. A visit has the order's: OrderPickedUp doesn't say whose order it was, so
 * the visit remembers that from Ordered. A card has the customer's. From one to the other leads an event of our own and
 * a policy that says other_key.
 *
 * Both policies say it. A policy without it rides in the shop's units: it hears only what happens while it is hosted,
 * and a mistake in it would fail the shop's commands. With it the policy is a subscription: it begins at the first
 * event there is, goes on where it stood after a restart, and its effect and its place in the log are one unit; so each
 * visit counts once. What the shop does doesn't wait for it.
 */
#include "coupon.h"

#define SCHEMA(name_, text_) static const cafe_schema name_##_type = CAFE_SCHEMA_OF(text_, name_, name_##_fields)

static const cafe_field note_coupon_order_fields[] = {CAFE_FIELD_OF(1, TEXT, note_coupon_order, customer_id)};
static const cafe_field note_coupon_visit_fields[] = {CAFE_FIELD_OF(1, BOOL, note_coupon_visit, unused)};
static const cafe_field count_coupon_visit_fields[] = {
    CAFE_FIELD_OF(1, U64, count_coupon_visit, order_id),
    CAFE_FIELD_OF(2, TEXT, count_coupon_visit, customer_id),
};
static const cafe_field coupon_order_noted_fields[] = {CAFE_FIELD_OF(1, TEXT, coupon_order_noted, customer_id)};
static const cafe_field coupon_visit_made_fields[] = {CAFE_FIELD_OF(1, TEXT, coupon_visit_made, customer_id)};
static const cafe_field coupon_visit_counted_fields[] = {
    CAFE_FIELD_OF(1, U64, coupon_visit_counted, order_id),
    CAFE_FIELD_OF(2, TEXT, coupon_visit_counted, customer_id),
    CAFE_FIELD_OF(3, I64, coupon_visit_counted, visits),
};
static const cafe_field coupon_issued_fields[] = {CAFE_FIELD_OF(1, I64, coupon_issued, coupons)};
static const cafe_field coupon_row_fields[] = {
    CAFE_FIELD_OF(1, TEXT, coupon_row, customer_id),
    CAFE_FIELD_OF(2, I64, coupon_row, visits),
    CAFE_FIELD_OF(3, I64, coupon_row, coupons),
};

SCHEMA(note_coupon_order, "NoteCouponOrder");
SCHEMA(note_coupon_visit, "NoteCouponVisit");
SCHEMA(count_coupon_visit, "CountCouponVisit");
SCHEMA(coupon_order_noted, "CouponOrderNoted");
SCHEMA(coupon_visit_made, "CouponVisitMade");
SCHEMA(coupon_visit_counted, "CouponVisitCounted");
SCHEMA(coupon_issued, "CouponIssued");
SCHEMA(coupon_row, "CouponRow");

/* FNV-1a (Fowler, Noll, Vo) in the upper half of the keys, where no order's number comes. Two customers may share a
 * number; the card then counts for the first only. */
uint64_t coupon_key(cafe_slice customer_id) {
  uint64_t hash = 14695981039346656037u, half = (CAFE_KEY_MAX + 1) / 2;
  for (size_t i = 0; i < customer_id.size; i++) hash = (hash ^ (unsigned char)customer_id.data[i]) * 1099511628211u;
  return half + hash % half;
}

/* ---- a visit ---- */

typedef struct visit {
  cafe_slice customer_id; /* empty: of an order that nobody told us of */
  bool is_made;
} visit;

static const cafe_field visit_fields[] = {
    CAFE_FIELD_OF(1, TEXT, visit, customer_id),
    CAFE_FIELD_OF(2, BOOL, visit, is_made),
};
SCHEMA(visit, "CouponVisit");

static cafe_verdict decide_visit(cafe_decision *out, const void *from, const cafe_command *command, void *user) {
  (void)user;
  const visit *state = from;
  if (command->type == &note_coupon_order_type) {
    if (state->customer_id.size) return CAFE_UNCHANGED;
    coupon_order_noted noted = {((const note_coupon_order *)command->data)->customer_id};
    cafe_emit(out, &coupon_order_noted_type, &noted, sizeof noted);
    return CAFE_ACCEPTED;
  }
  if (state->is_made || !state->customer_id.size) return CAFE_UNCHANGED;
  coupon_visit_made made = {state->customer_id};
  cafe_emit(out, &coupon_visit_made_type, &made, sizeof made);
  return CAFE_ACCEPTED;
}

static int evolve_visit(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  visit *self = state;
  if (event->type == &coupon_order_noted_type)
    return cafe_arena_copy(&self->customer_id, arena, ((const coupon_order_noted *)event->data)->customer_id);
  self->is_made = true;
  return CAFE_OK;
}

static const cafe_aggregate visit_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "coupon_visit",
    .state = &visit_type,
    .events = (const cafe_schema *const[]){&coupon_order_noted_type, &coupon_visit_made_type, NULL},
    .commands = (const cafe_command_type[]){{.command = &note_coupon_order_type},
                                            {.command = &note_coupon_visit_type},
                                            {.command = NULL}},
    .decide = decide_visit,
    .evolve = evolve_visit,
};

/* ---- a customer's card ---- */

typedef struct card {
  cafe_slice customer_id;
  int64_t visits;
} card;

static const cafe_field card_fields[] = {
    CAFE_FIELD_OF(1, TEXT, card, customer_id),
    CAFE_FIELD_OF(2, I64, card, visits),
};
SCHEMA(card, "CouponCard");

static cafe_verdict decide_card(cafe_decision *out, const void *from, const cafe_command *command, void *user) {
  (void)user;
  const card *state = from;
  const count_coupon_visit *asked = command->data;
  if (state->visits && !cafe_slice_equal(state->customer_id, asked->customer_id))
    return cafe_refuse(out, "taken", "another customer has this number");
  coupon_visit_counted counted = {asked->order_id, asked->customer_id, state->visits + 1};
  cafe_emit(out, &coupon_visit_counted_type, &counted, sizeof counted);
  if (counted.visits % COUPON_VISITS == 0) {
    coupon_issued issued = {counted.visits / COUPON_VISITS};
    cafe_emit(out, &coupon_issued_type, &issued, sizeof issued);
  }
  return CAFE_ACCEPTED;
}

static int evolve_card(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  card *self = state;
  if (event->type != &coupon_visit_counted_type) return CAFE_OK;
  const coupon_visit_counted *counted = event->data;
  self->visits = counted->visits;
  return self->customer_id.size ? CAFE_OK : cafe_arena_copy(&self->customer_id, arena, counted->customer_id);
}

static const cafe_schema *const card_events[] = {&coupon_visit_counted_type, &coupon_issued_type, NULL};

static const cafe_aggregate card_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "coupon_card",
    .state = &card_type,
    .events = card_events,
    .commands = (const cafe_command_type[]){{.command = &count_coupon_visit_type}, {.command = NULL}},
    .decide = decide_card,
    .evolve = evolve_card,
};

/* ---- policies: what is heard ---- */

static void hear_shop(cafe_reaction *out, const cafe_event *event, void *user) {
  (void)user;
  if (event->type == &cafe_ordered_type) {
    note_coupon_order noted = {((const cafe_ordered *)event->data)->customer_id};
    cafe_react(out, &note_coupon_order_type, event->key, &noted, sizeof noted);
  } else {
    note_coupon_visit visited = {false};
    cafe_react(out, &note_coupon_visit_type, event->key, &visited, sizeof visited);
  }
}

static void hear_visit(cafe_reaction *out, const cafe_event *event, void *user) {
  (void)user;
  count_coupon_visit count = {event->key, ((const coupon_visit_made *)event->data)->customer_id};
  cafe_react(out, &count_coupon_visit_type, coupon_key(count.customer_id), &count, sizeof count);
}

static const cafe_policy shop_policy = {
    .size = CAFE_POLICY,
    .name = "coupons-app",
    .source = "app",
    .events = (const cafe_schema *const[]){&cafe_ordered_type, &cafe_order_picked_up_type, NULL},
    .other_key = true, /* to catch up, and not to ride in the shop's units */
    .react = hear_shop,
    .commands = (const cafe_schema *const[]){&note_coupon_order_type, &note_coupon_visit_type, NULL},
};

static const cafe_policy visit_policy = {
    .size = CAFE_POLICY,
    .name = "coupons-visits",
    .source = "coupons",
    .events = (const cafe_schema *const[]){&coupon_visit_made_type, NULL},
    .other_key = true, /* from an order's to a customer's */
    .react = hear_visit,
    .commands = (const cafe_schema *const[]){&count_coupon_visit_type, NULL},
};

/* ---- the view, and the service ---- */

static int fold(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)out, (void)user;
  coupon_row *self = row;
  if (event->type == &coupon_issued_type) {
    self->coupons = ((const coupon_issued *)event->data)->coupons;
    return CAFE_OK;
  }
  const coupon_visit_counted *counted = event->data;
  self->visits = counted->visits;
  return self->customer_id.size ? CAFE_OK : cafe_arena_copy(&self->customer_id, arena, counted->customer_id);
}

const cafe_view coupons_view = {
    .size = CAFE_VIEW,
    .name = "coupons",
    .version = 1,
    .is_inline = true,
    .sources = (const char *const[]){"coupons", NULL},
    .events = card_events,
    .key_name = "customer_key",
    .row = &coupon_row_type,
    .fold = fold,
};

const cafe_service coupons_service = {
    .size = CAFE_SERVICE,
    .name = "coupons",
    .aggregates = (const cafe_aggregate *const[]){&visit_aggregate, &card_aggregate, NULL},
    .policies = (const cafe_policy *const[]){&shop_policy, &visit_policy, NULL},
    .views = (const cafe_view *const[]){&coupons_view, NULL},
    .remotes = (const cafe_aggregate *const[]){&cafe_order_aggregate, NULL},
    .remote_services = (const char *const[]){"app", NULL},
};
