/* SPDX-License-Identifier: Apache-2.0 */

/*
 * seats: a saga that needs an answer of another key. A booking has a key of its own. How many seats are left is the
 * evening's to decide, which many bookings share; its key is the date. A saga asks its own key and hears its own key,
 * so the question leaves by an event and a policy that says other_key, and the answer comes back in the same way:
 *
 *   booking 11                              evening 20261224
 *     AskSeats → SeatsAsked   → seats-asked → TakeSeats → SeatsTaken | SeatsRefused
 *     NoteSeats               ← seats-told  ←
 *       → SeatsGiven | SeatsDenied
 *
 * The program lets three parties ask for the seats of two, on a node that crashes at every commit, and says whether
 * each was told what the evening decided.
 */
#include <stdio.h>

#include <cafe/cafe.h>
#include <cafe/testing/crash.h>
#include <cafe/testing/given.h>

enum { SEATS = 8 };

/* ---- messages ---- */

/* A command, and its event, and what the evening is asked. */
typedef struct booking_wish {
  uint64_t evening;
  cafe_slice guest;
  int64_t seats;
} booking_wish;

/* AskSeats, SeatsGiven and SeatsDenied say no more than their names. */
typedef struct nothing {
  bool unused;
} nothing;

typedef struct note_seats {
  bool are_given;
} note_seats;

/* To the evening's key. The booking is where the answer goes. */
typedef struct seats_wish {
  uint64_t booking;
  cafe_slice guest;
  int64_t seats;
} seats_wish;

typedef struct seats_refused {
  uint64_t booking;
} seats_refused;

#define SCHEMA(name_, struct_, text_)                                                                                  \
  static const cafe_schema name_##_type = CAFE_SCHEMA_OF(text_, struct_, struct_##_fields)

static const cafe_field booking_wish_fields[] = {
    CAFE_FIELD_OF(1, U64, booking_wish, evening),
    CAFE_FIELD_OF(2, TEXT, booking_wish, guest),
    CAFE_FIELD_OF(3, I64, booking_wish, seats),
};
static const cafe_field nothing_fields[] = {CAFE_FIELD_OF(1, BOOL, nothing, unused)};
static const cafe_field note_seats_fields[] = {CAFE_FIELD_OF(1, BOOL, note_seats, are_given)};
static const cafe_field seats_wish_fields[] = {
    CAFE_FIELD_OF(1, U64, seats_wish, booking),
    CAFE_FIELD_OF(2, TEXT, seats_wish, guest),
    CAFE_FIELD_OF(3, I64, seats_wish, seats),
};
static const cafe_field seats_refused_fields[] = {CAFE_FIELD_OF(1, U64, seats_refused, booking)};

SCHEMA(book_seats, booking_wish, "BookSeats");
SCHEMA(ask_seats, nothing, "AskSeats");
SCHEMA(note_seats, note_seats, "NoteSeats");
SCHEMA(take_seats, seats_wish, "TakeSeats");
SCHEMA(booking_made, booking_wish, "BookingMade");
SCHEMA(seats_asked, booking_wish, "SeatsAsked");
SCHEMA(seats_given, nothing, "SeatsGiven");
SCHEMA(seats_denied, nothing, "SeatsDenied");
SCHEMA(seats_taken, seats_wish, "SeatsTaken");
SCHEMA(seats_refused, seats_refused, "SeatsRefused");

/* ---- a booking ---- */

typedef struct booking {
  booking_wish wish; /* of no evening: there is none. A struct within a struct can't be described */
  bool was_asked;
  bool is_answered;
  int64_t seats;
} booking;

static const cafe_field booking_fields[] = {CAFE_FIELD_OF(1, I64, booking, seats)};
SCHEMA(booking, booking, "Booking");

static cafe_verdict emit(cafe_decision *out, const cafe_schema *event) {
  nothing said = {false};
  cafe_emit(out, event, &said, sizeof said);
  return CAFE_ACCEPTED;
}

static cafe_verdict decide_booking(cafe_decision *out, const void *from, const cafe_command *command, void *user) {
  (void)user;
  const booking *state = from;
  if (command->type == &book_seats_type) {
    if (state->is_answered) return state->seats ? CAFE_UNCHANGED : cafe_refuse(out, "SeatsDenied", "the house is full");
    if (!state->wish.evening) cafe_emit(out, &booking_made_type, command->data, sizeof(booking_wish));
    return CAFE_PENDING;
  }
  if (command->type == &note_seats_type) {
    bool are_given = ((const note_seats *)command->data)->are_given;
    if (state->is_answered) return CAFE_UNCHANGED;
    return emit(out, are_given ? &seats_given_type : &seats_denied_type);
  }
  if (state->was_asked) return CAFE_UNCHANGED;
  cafe_emit(out, &seats_asked_type, &state->wish, sizeof state->wish);
  return CAFE_ACCEPTED;
}

static int evolve_booking(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  booking *self = state;
  if (event->type == &booking_made_type) return cafe_schema_copy(&self->wish, event->data, event->type, arena);
  if (event->type == &seats_asked_type) self->was_asked = true;
  else self->is_answered = true;
  if (event->type == &seats_given_type) self->seats = self->wish.seats;
  return CAFE_OK;
}

static const cafe_command_outcome book_outcomes[] = {
    {.event = &seats_given_type, .verdict = CAFE_ACCEPTED},
    {.event = &seats_denied_type, .verdict = CAFE_REFUSED},
    {.event = NULL},
};
static const cafe_aggregate booking_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "booking",
    .state = &booking_type,
    .events = (const cafe_schema *const[]){&booking_made_type, &seats_asked_type, &seats_given_type, &seats_denied_type,
                                           NULL},
    .commands = (const cafe_command_type[]){{.command = &book_seats_type, .outcomes = book_outcomes},
                                            {.command = &ask_seats_type},
                                            {.command = &note_seats_type},
                                            {.command = NULL}},
    .decide = decide_booking,
    .evolve = evolve_booking,
};

/* ---- an evening: its state has a list, which no field names ---- */

typedef struct party {
  struct party *next;
  uint64_t booking;
  cafe_slice guest; /* empty: it was refused */
} party;

typedef struct evening {
  int64_t taken;
  party *parties; /* whoever asked, the last one first */
} evening;

static const cafe_field evening_fields[] = {CAFE_FIELD_OF(1, I64, evening, taken)};
SCHEMA(evening, evening, "Evening");

static const party *find_party(const evening *self, uint64_t booking) {
  const party *at = self->parties;
  while (at && at->booking != booking) at = at->next;
  return at;
}

static cafe_verdict decide_evening(cafe_decision *out, const void *from, const cafe_command *command, void *user) {
  (void)user;
  const evening *state = from;
  const seats_wish *wish = command->data;
  seats_refused refused = {wish->booking};
  if (find_party(state, wish->booking)) return CAFE_UNCHANGED; /* asked again: it was told */
  if (wish->seats <= SEATS - state->taken) cafe_emit(out, &seats_taken_type, wish, sizeof *wish);
  else cafe_emit(out, &seats_refused_type, &refused, sizeof refused);
  return CAFE_ACCEPTED;
}

static int evolve_evening(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  evening *self = state;
  party *fresh = cafe_arena_alloc(arena, sizeof *fresh);
  if (!fresh) return CAFE_NOMEM;
  if (event->type == &seats_taken_type) {
    const seats_wish *taken = event->data;
    fresh->booking = taken->booking;
    if (cafe_arena_copy(&fresh->guest, arena, taken->guest)) return CAFE_NOMEM; /* the event's text is gone soon */
    self->taken += taken->seats;
  } else {
    fresh->booking = ((const seats_refused *)event->data)->booking;
  }
  fresh->next = self->parties;
  self->parties = fresh;
  return CAFE_OK;
}

static const cafe_aggregate evening_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "evening",
    .state = &evening_type,
    .events = (const cafe_schema *const[]){&seats_taken_type, &seats_refused_type, NULL},
    .commands = (const cafe_command_type[]){{.command = &take_seats_type}, {.command = NULL}},
    .decide = decide_evening,
    .evolve = evolve_evening,
};

/* ---- there and back ---- */

static void hear_booking(cafe_reaction *out, const cafe_event *event, void *user) {
  (void)user;
  const booking_wish *asked = event->data;
  seats_wish wish = {event->key, asked->guest, asked->seats};
  cafe_react(out, &take_seats_type, asked->evening, &wish, sizeof wish);
}

static void hear_evening(cafe_reaction *out, const cafe_event *event, void *user) {
  (void)user;
  note_seats note = {event->type == &seats_taken_type};
  uint64_t booking = note.are_given ? ((const seats_wish *)event->data)->booking
                                    : ((const seats_refused *)event->data)->booking;
  cafe_react(out, &note_seats_type, booking, &note, sizeof note);
}

static const cafe_policy asked_policy = {
    .size = CAFE_POLICY,
    .name = "seats-asked",
    .source = "bookings", /* its own service */
    .events = (const cafe_schema *const[]){&seats_asked_type, NULL},
    .other_key = true,
    .react = hear_booking,
    .commands = (const cafe_schema *const[]){&take_seats_type, NULL},
};
static const cafe_policy told_policy = {
    .size = CAFE_POLICY,
    .name = "seats-told",
    .source = "bookings",
    .events = (const cafe_schema *const[]){&seats_taken_type, &seats_refused_type, NULL},
    .other_key = true,
    .react = hear_evening,
    .commands = (const cafe_schema *const[]){&note_seats_type, NULL},
};

/* ---- the saga: one step is enough to show it ---- */

typedef struct seats_saga_data {
  uint64_t booking;
} seats_saga_data;

static const cafe_field seats_saga_data_fields[] = {CAFE_FIELD_OF(1, U64, seats_saga_data, booking)};
SCHEMA(seats_saga, seats_saga_data, "SeatsSaga");

static int fold(void *data, const cafe_event *event, const cafe_command *cause, cafe_arena *arena, void *user) {
  (void)cause, (void)arena, (void)user;
  ((seats_saga_data *)data)->booking = event->key;
  return CAFE_OK;
}

static void ask_for_seats(cafe_reaction *out, const void *data, void *user) {
  (void)user;
  nothing said = {false};
  cafe_react(out, &ask_seats_type, ((const seats_saga_data *)data)->booking, &said, sizeof said);
}

static const cafe_saga_step steps[] = {
    {
        .name = "seats",
        .kind = CAFE_STEP_PIVOT,
        .action = ask_for_seats,                                            /* to its own key */
        .completes = (const cafe_schema *const[]){&seats_given_type, NULL}, /* of its own key */
        .fails = (const cafe_schema *const[]){&seats_denied_type, NULL},
    },
};

static const cafe_saga seats_saga = {
    .size = CAFE_SAGA,
    .name = "seats",
    .version = 1,
    .data = &seats_saga_type,
    .starts = &booking_made_type,
    .steps = steps,
    .step_count = sizeof steps / sizeof steps[0],
    .fold = fold,
    .commands = (const cafe_schema *const[]){&ask_seats_type, NULL},
};

static const cafe_service bookings_service = {
    .size = CAFE_SERVICE,
    .name = "bookings",
    .aggregates = (const cafe_aggregate *const[]){&booking_aggregate, &evening_aggregate, NULL},
    .sagas = (const cafe_saga *const[]){&seats_saga, NULL},
    .policies = (const cafe_policy *const[]){&asked_policy, &told_policy, NULL},
};

/* ---- the evening's rules: what no field names isn't compared, so it is looked at ---- */

static void try_evening(cafe_given *it) {
  cafe_given_command(it, CAFE_DATA(take_seats_type, seats_wish, 11, cafe_text("mina"), 5));
  cafe_when(it, CAFE_DATA(take_seats_type, seats_wish, 11, cafe_text("mina"), 5));
  cafe_then_says(it, CAFE_UNCHANGED, NULL);
  cafe_given_command(it, CAFE_DATA(take_seats_type, seats_wish, 12, cafe_text("joon"), 5));
  cafe_then_says(it, CAFE_ACCEPTED, CAFE_FACTS(CAFE_FACT(seats_refused_type, seats_refused, 12)));
  cafe_then_is(it, CAFE_VALUE(evening, .taken = 5));
  cafe_given_starve(it);
}

static bool knows_its_guests(void) {
  cafe_given *it = NULL;
  if (cafe_given_aggregate(&it, &evening_aggregate, NULL, NULL)) return false;
  try_evening(it);
  const party *mina = find_party(cafe_given_state(it), 11);
  bool is_well = cafe_given_is_well(it) && mina && cafe_slice_equal(mina->guest, cafe_text("mina"));
  if (!is_well) printf("the evening doesn't know its guests: %s\n", cafe_given_why(it));
  cafe_given_destroy(it);
  return is_well;
}

/* ---- three parties ask for the seats of two ---- */

enum { EVENING = 20261224, PARTIES = 3 };
static const char *const guests[PARTIES] = {"mina", "joon", "kim"};

static int host(cafe_crash *run, cafe_node *node, uint32_t index, cafe_err *err, void *user) {
  (void)run, (void)index, (void)user;
  return cafe_node_host(node, &bookings_service, err);
}

static void drive(cafe_crash *run, void *user) {
  (void)user;
  for (uint64_t i = 0; i < PARTIES; i++)
    cafe_crash_send(run, guests[i], 11 + i,
                    CAFE_DATA(book_seats_type, booking_wish, EVENING, cafe_text(guests[i]), SEATS / 2));
}

/* Who came first isn't known: between the keys there is no order. */
static bool check(cafe_crash *run, void *user) {
  (void)user;
  const evening *house = cafe_crash_state(run, &evening_aggregate, EVENING);
  if (!house || house->taken != SEATS) return cafe_crash_wrong(run, "the house isn't full");
  for (uint64_t i = 0; i < PARTIES; i++) {
    const booking *told = cafe_crash_state(run, &booking_aggregate, 11 + i);
    const party *there = find_party(house, 11 + i);
    if (!told || !there) return cafe_crash_wrong(run, "%s wasn't heard", guests[i]);
    if (there->guest.size && !cafe_slice_equal(there->guest, cafe_text(guests[i])))
      return cafe_crash_wrong(run, "somebody has %s's seats", guests[i]);
    if ((told->seats > 0) != (there->guest.size > 0)) return cafe_crash_wrong(run, "%s was told wrong", guests[i]);
    if (!cafe_crash_stands(run, &seats_saga, 11 + i, told->seats ? "ended" : "undone", "")) return false;
  }
  return true;
}

int main(void) {
  cafe_crash_scenario scenario = {CAFE_CRASH_SCENARIO, .host = host, .drive = drive, .check = check};
  cafe_crash_options options = CAFE_CRASH_OPTIONS_INIT;
  cafe_crash_report report = CAFE_CRASH_REPORT_INIT;
  options.kinds = 1u << CAFE_CRASH_BEFORE_COMMIT | 1u << CAFE_CRASH_AFTER_COMMIT | 1u << CAFE_CRASH_ALLOCATION |
                  1u << CAFE_CRASH_RANDOM;
  if (!knows_its_guests()) return 1;
  bool is_well = cafe_crash_enumerate(&report, &scenario, &options);
  printf("%s\n", is_well ? "each was told what the evening decided" : report.why);
  return is_well ? 0 : 1;
}
