/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The stamp card's rules. All pure: what a decision needs is in the state and the command, and whatever comes of it is
 * an event. The library calls these functions again and again over the same events, after a restart too; so they look
 * at no clock, no file and no variable of their own.
 */
#include "card.h"

/* ---- field tables: what is stored, by numbers that stay for ever ---- */

static const cafe_field open_card_fields[] = {CAFE_FIELD_OF(1, TEXT, open_card, holder)};
static const cafe_field stamp_card_fields[] = {CAFE_FIELD_OF(1, U64, stamp_card, visit)};
static const cafe_field redeem_card_fields[] = {CAFE_FIELD_OF(1, BOOL, redeem_card, unused)};
static const cafe_field card_opened_fields[] = {CAFE_FIELD_OF(1, TEXT, card_opened, holder)};
static const cafe_field card_stamped_fields[] = {
    CAFE_FIELD_OF(1, U64, card_stamped, visit),
    CAFE_FIELD_OF(2, I64, card_stamped, stamps),
};
static const cafe_field card_redeemed_fields[] = {CAFE_FIELD_OF(1, I64, card_redeemed, cups)};
static const cafe_field card_fields[] = {
    CAFE_FIELD_OF(1, TEXT, card, holder),
    CAFE_FIELD_OF(2, U64, card, last_visit),
    CAFE_FIELD_OF(3, I64, card, stamps),
    CAFE_FIELD_OF(4, I64, card, cups),
};
static const cafe_field card_row_fields[] = {
    CAFE_FIELD_OF(1, TEXT, card_row, holder),
    CAFE_FIELD_OF(2, I64, card_row, stamps),
    CAFE_FIELD_OF(3, I64, card_row, cups),
    CAFE_FIELD_OF(4, TIME, card_row, updated_at_ms),
};

const cafe_schema open_card_type = CAFE_SCHEMA_OF("OpenCard", open_card, open_card_fields);
const cafe_schema stamp_card_type = CAFE_SCHEMA_OF("StampCard", stamp_card, stamp_card_fields);
const cafe_schema redeem_card_type = CAFE_SCHEMA_OF("RedeemCard", redeem_card, redeem_card_fields);
const cafe_schema card_opened_type = CAFE_SCHEMA_OF("CardOpened", card_opened, card_opened_fields);
const cafe_schema card_stamped_type = CAFE_SCHEMA_OF("CardStamped", card_stamped, card_stamped_fields);
const cafe_schema card_redeemed_type = CAFE_SCHEMA_OF("CardRedeemed", card_redeemed, card_redeemed_fields);
static const cafe_schema card_type = CAFE_SCHEMA_OF("Card", card, card_fields);
static const cafe_schema card_row_type = CAFE_SCHEMA_OF("CardRow", card_row, card_row_fields);

/* ---- decide: (state, command) to events and a verdict ---- */

static cafe_verdict open_it(cafe_decision *out, const card *state, const open_card *command) {
  if (state->holder.size)
    return cafe_refuse(out, "taken", "this card is %.*s's", (int)state->holder.size, state->holder.data);
  if (command->holder.size < 1 || command->holder.size > 64)
    return cafe_refuse(out, "invalid", "holder: must have 1 to 64 bytes");
  card_opened opened = {command->holder};
  cafe_emit(out, &card_opened_type, &opened, sizeof opened);
  return CAFE_ACCEPTED;
}

static cafe_verdict stamp_it(cafe_decision *out, const card *state, const stamp_card *command) {
  if (command->visit <= state->last_visit) return CAFE_UNCHANGED; /* told again */
  if (state->stamps == CARD_FULL) return cafe_refuse(out, "full", "the card is full: a cup is free");
  card_stamped stamped = {command->visit, state->stamps + 1};
  cafe_emit(out, &card_stamped_type, &stamped, sizeof stamped);
  return CAFE_ACCEPTED;
}

static cafe_verdict redeem_it(cafe_decision *out, const card *state) {
  if (state->stamps < CARD_FULL)
    return cafe_refuse(out, "not-full", "the card has %d of %d stamps", (int)state->stamps, CARD_FULL);
  card_redeemed redeemed = {state->cups + 1};
  cafe_emit(out, &card_redeemed_type, &redeemed, sizeof redeemed);
  return CAFE_ACCEPTED;
}

static cafe_verdict decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  (void)user;
  if (command->type == &open_card_type) return open_it(out, state, command->data);
  if (!((const card *)state)->holder.size)
    return cafe_refuse(out, "not-found", "there is no card %llu", (unsigned long long)command->key);
  if (command->type == &stamp_card_type) return stamp_it(out, state, command->data);
  return redeem_it(out, state);
}

/* ---- evolve: what happened can't be refused ---- */

static int evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  card *self = state;
  if (event->type == &card_opened_type)
    return cafe_arena_copy(&self->holder, arena, ((const card_opened *)event->data)->holder);
  if (event->type == &card_stamped_type) {
    const card_stamped *stamped = event->data;
    self->last_visit = stamped->visit;
    self->stamps = stamped->stamps;
  } else {
    self->stamps = 0;
    self->cups = ((const card_redeemed *)event->data)->cups;
  }
  return CAFE_OK;
}

static const cafe_schema *const events[] = {&card_opened_type, &card_stamped_type, &card_redeemed_type, NULL};
static const cafe_command_type commands[] = {
    {.command = &open_card_type},
    {.command = &stamp_card_type},
    {.command = &redeem_card_type},
    {.command = NULL},
};
static const cafe_aggregate aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "card",
    .state = &card_type,
    .events = events,
    .commands = commands,
    .decide = decide,
    .evolve = evolve,
};

/* ---- the view: a table `cards`, written in the units of the events ---- */

static int fold(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)out, (void)user; /* *out says already that the row is to be put */
  card_row *self = row;
  self->updated_at_ms = event->time_ms;
  if (event->type == &card_opened_type)
    return cafe_arena_copy(&self->holder, arena, ((const card_opened *)event->data)->holder);
  if (event->type == &card_stamped_type) {
    self->stamps = ((const card_stamped *)event->data)->stamps;
  } else {
    self->stamps = 0;
    self->cups = ((const card_redeemed *)event->data)->cups;
  }
  return CAFE_OK;
}

const cafe_view cards_view = {
    .size = CAFE_VIEW,
    .name = "cards",
    .version = 1,
    .is_inline = true,
    .sources = (const char *const[]){"cards", NULL},
    .events = events,
    .key_name = "card_id",
    .row = &card_row_type,
    .fold = fold,
};

const cafe_service cards_service = {
    .size = CAFE_SERVICE,
    .name = "cards",
    .aggregates = (const cafe_aggregate *const[]){&aggregate, NULL},
    .views = (const cafe_view *const[]){&cards_view, NULL},
};
