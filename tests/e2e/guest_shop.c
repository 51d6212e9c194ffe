/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cafe-shop with a newcomer: points for what was ordered, given out when it is picked up. Its policy hears the app's
 * log, and has a mistake of the kind that such newcomers have: it can't do anything with a product that it doesn't know
 * ("unknown…"). Such a record poisons it.
 */
#include "cafe/cafe.h"
#include "shop/shop.h"

typedef struct note_points {
  cafe_slice product_id;
  int64_t qty;
} note_points;

typedef struct give_points {
  bool unused;
} give_points;

typedef struct points_row {
  cafe_slice product_id;
  int64_t qty;
  bool is_given;
} points_row;

static const cafe_field note_fields[] = {CAFE_FIELD_OF(1, TEXT, note_points, product_id),
                                         CAFE_FIELD_OF(2, I64, note_points, qty)};
static const cafe_field give_fields[] = {CAFE_FIELD_OF(1, BOOL, give_points, unused)};
static const cafe_field row_fields[] = {CAFE_FIELD_OF(1, TEXT, points_row, product_id),
                                        CAFE_FIELD_OF(2, I64, points_row, qty),
                                        CAFE_FIELD_OF(3, BOOL, points_row, is_given)};
static const cafe_schema note_type = CAFE_SCHEMA_OF("NotePoints", note_points, note_fields);
static const cafe_schema give_type = CAFE_SCHEMA_OF("GivePoints", give_points, give_fields);
static const cafe_schema noted_type = CAFE_SCHEMA_OF("PointsNoted", note_points, note_fields);
static const cafe_schema given_type = CAFE_SCHEMA_OF("PointsGiven", give_points, give_fields);
static const cafe_schema row_type = CAFE_SCHEMA_OF("PointsRow", points_row, row_fields);
static const cafe_schema *const events[] = {&noted_type, &given_type, NULL};

/* What comes twice shows: it is added, not set. */
static int evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  points_row *self = state;
  if (event->type == &given_type) {
    self->is_given = true;
    return CAFE_OK;
  }
  const note_points *noted = event->data;
  self->qty += noted->qty;
  return cafe_arena_copy(&self->product_id, arena, noted->product_id);
}

static int fold(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)out;
  return evolve(row, event, arena, user);
}

static cafe_verdict decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  (void)user;
  if (command->type == &note_type)
    cafe_emit(out, &noted_type, command->data, sizeof(note_points));
  else if (((const points_row *)state)->qty == 0)
    return cafe_refuse(out, "nothing", "points are given for what was noted before");
  else
    cafe_emit(out, &given_type, command->data, sizeof(give_points));
  return CAFE_ACCEPTED;
}

static void hear(cafe_reaction *out, const cafe_event *event, void *user) {
  (void)user;
  if (event->type == &cafe_order_picked_up_type) {
    give_points give = {false};
    cafe_react(out, &give_type, event->key, &give, sizeof give);
    return;
  }
  const cafe_ordered *ordered = event->data;
  if (ordered->product_id.size >= 7 && memcmp(ordered->product_id.data, "unknown", 7) == 0) {
    cafe_reaction_fail(out, CAFE_INVALID, "nobody knows what %.*s is worth", (int)ordered->product_id.size,
                       ordered->product_id.data);
    return;
  }
  note_points note = {ordered->product_id, ordered->qty};
  cafe_react(out, &note_type, event->key, &note, sizeof note);
}

static const cafe_aggregate aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "points",
    .state = &row_type,
    .events = events,
    .commands = (const cafe_command_type[]){{.command = &note_type}, {.command = &give_type}, {.command = NULL}},
    .decide = decide,
    .evolve = evolve,
};

static const cafe_policy policy = {
    .size = CAFE_POLICY,
    .name = "points-app",
    .source = "app",
    .events = (const cafe_schema *const[]){&cafe_ordered_type, &cafe_order_picked_up_type, NULL},
    .other_key = true,
    .react = hear,
    .commands = (const cafe_schema *const[]){&note_type, &give_type, NULL},
};

static const cafe_view view = {
    .size = CAFE_VIEW,
    .name = "points_rows",
    .version = 1,
    .is_inline = true,
    .sources = (const char *const[]){"points", NULL},
    .events = events,
    .key_name = "order_id",
    .row = &row_type,
    .fold = fold,
};

static const cafe_service points = {
    .size = CAFE_SERVICE,
    .name = "points",
    .aggregates = (const cafe_aggregate *const[]){&aggregate, NULL},
    .policies = (const cafe_policy *const[]){&policy, NULL},
    .views = (const cafe_view *const[]){&view, NULL},
    .remotes = (const cafe_aggregate *const[]){&cafe_order_aggregate, NULL},
    .remote_services = (const char *const[]){"app", NULL},
};

int main(int argc, char **argv) { return shop_main(argc, argv, (const cafe_service *const[]){&points, NULL}); }
