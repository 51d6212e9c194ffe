/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTING_TRANSPORT_TRIAL_H
#define TESTING_TRANSPORT_TRIAL_H

#include "cafe/sys/loop.h"
#include "cafe/testing/transport_contract.h"
#include "testing/store_checks.h"

/*
 * What the checks of a transport share: ends with a scripted server each, requests, and subscribers that compare all
 * that they get with the log it is of. How a check ends, its texts and its memory are those of the checks of a store.
 * A callback must not CHECK, because it runs inside the transport: it notes what is wrong, and the next turn fails.
 */

enum {
  TRIAL_ENDS = CAFE_TRANSPORT_ENDS,
  TRIAL_SHARDS = 2,
  TRIAL_ASKS_MAX = 4096,
  TRIAL_HELD_MAX = 2048,
  TRIAL_BATCH_MAX = 512,
  TRIAL_SMALL = 64
};

struct trial;

/* ---- the server at an end ---- */

typedef struct trial_log {
  uint64_t base; /* the first event is n = base + 1 */
  cafe_stored_event *events;
  uint32_t count;
  uint32_t room;
} trial_log;

typedef struct trial_held {
  cafe_incoming *incoming; /* NULL: free */
  struct trial_ask *ask;
  int64_t due_us; /* INT64_MAX: not before it is told */
} trial_held;

typedef struct trial_end {
  cafe_server server;
  struct trial *t;
  uint32_t number;
  cafe_transport *transport; /* NULL: there is none */
  bool is_open;

  trial_log logs[TRIAL_SHARDS];
  uint64_t log_id;
  cafe_position origin;  /* the log is the same as that one, up to there; log_id 0: none */
  uint32_t events_max;   /* in a batch; 0: as many as the pull wants */
  bool is_holding_pulls; /* parks all */
  int refusal;           /* a code for the next pulls; CAFE_OK: none */
  uint32_t refusals;     /* so many */

  cafe_pull *parked;
  trial_held held[TRIAL_HELD_MAX];
  uint32_t served;
  uint32_t pulls;
  uint32_t forgotten_incoming;
  uint32_t forgotten_pulls;
  uint64_t last_seen; /* of the last pull, as the rest */
  uint64_t last_log_id;
  uint64_t last_after;

  cafe_stored_event batch[TRIAL_BATCH_MAX]; /* what is answered: overwritten afterwards, since it is to be copied */
  char small[TRIAL_BATCH_MAX][TRIAL_SMALL];
} trial_end;

/* ---- a request ---- */

typedef enum trial_script {
  TRIAL_ECHO = 0,  /* inside serve */
  TRIAL_LATER = 1, /* after later_ms */
  TRIAL_HOLD = 2,  /* when it is told */
  TRIAL_FAIL = 3   /* with ask->failure, inside serve */
} trial_script;

typedef struct trial_ask {
  cafe_request request;
  struct trial *t;
  uint32_t from;
  trial_script script;
  int64_t later_ms;
  cafe_err failure;
  void (*then)(struct trial_ask *ask); /* inside done */
  struct trial_ask *other;             /* for then */

  bool is_pending;
  uint32_t ended;  /* done was called so often */
  uint32_t served; /* the server was asked so often */
  int64_t asked_us;
  int64_t ended_us;
  cafe_err err; /* code CAFE_OK: an answer */
  bool is_echo; /* the answer was the body */
} trial_ask;

/* ---- a subscriber ---- */

typedef struct trial_reader {
  struct trial_reader *next;
  cafe_link link;
  struct trial *t;
  uint32_t at;        /* its end */
  trial_end *from;    /* the publisher's */
  bool is_slow;       /* doesn't ask for more */
  bool asks_inside;   /* asks for more inside on_events */
  bool may_get_twice; /* a batch may come again, since something is lost */
  void (*on_batch)(struct trial_reader *reader);
  void (*on_loss)(struct trial_reader *reader);
  struct trial_reader *other; /* for those */

  bool is_subscribed;
  bool has_batch; /* and hasn't asked for more */
  bool is_refused;
  uint32_t batches;
  uint32_t repeats;
  uint32_t losses;
  uint64_t events;
  uint64_t scanned;
  uint64_t head;
  cafe_err loss;
} trial_reader;

/* ---- the trial ---- */

typedef struct trial {
  store_check check; /* the words: there is no store in it */
  const cafe_transport_contract *contract;
  int64_t patience_us;
  int64_t quiet_us;
  cafe_loop *loop; /* NULL: not begun */
  check_allocator memory;
  trial_end *ends[TRIAL_ENDS];
  trial_ask *asks[TRIAL_ASKS_MAX];
  uint32_t ask_count;
  trial_reader *readers;
  const char *method;                      /* being called, so no callback may come */
  char broken[CAFE_TRANSPORT_WHY_MAX / 2]; /* what a callback saw, the first */
} trial;

typedef struct trial_entry {
  const char *name; /* NULL ends a list */
  void (*run)(trial *t);
  bool needs_allocator; /* only where contract->takes_allocator */
  bool needs_disturb;   /* only where it can disturb */
} trial_entry;

extern const trial_entry trials_requests[];
extern const trial_entry trials_ends[];
extern const trial_entry trials_links[];
extern const trial_entry trials_flow[];
extern const trial_entry trials_losses[];
extern const trial_entry trials_refusals[];
extern const trial_entry trials_memory[];

/* These stand for those of store_checks.h. */
#define TRY(t, kept, ...) CHECK(&(t)->check, kept, __VA_ARGS__)
#define TRY_OK(t, call)   CHECK_OK(&(t)->check, call)

/* A method of an end's transport, in which no callback may come. */
#define TRIAL_CALL(t, name, call)                                                                                      \
  do {                                                                                                                 \
    (t)->method = (name);                                                                                              \
    call;                                                                                                              \
    (t)->method = NULL;                                                                                                \
  } while (0)

/* ---- transport_trial.c ---- */

/* A new world, its ends without transports. An earlier one is ended, which has to leave nothing behind. */
void trial_begin(trial *t);
/* The same, and opens all ends. */
void trial_begin_all(trial *t);
/* Cancels, unsubscribes, closes and destroys whatever there is. False: something was left behind, or called back. */
bool trial_end_all(trial *t);

void trial_open(trial *t, uint32_t end);
/* Nothing of the end's is active, or it is canceled and unsubscribed first. Closes and destroys. */
void trial_close(trial *t, uint32_t end);
/* Closes the transport and opens it again. */
void trial_reopen(trial *t, uint32_t end);
/* A process ends and comes back: in order, or cut off, so that nobody is told. */
void trial_restart(trial *t, uint32_t end, bool is_killed);

int64_t trial_now_us(const trial *t);
/* Turns the loop once, lets servers answer and subscribers ask for more. Fails the check if a promise was broken.
 * Returns false once it is until_us. */
bool trial_turn(trial *t, int64_t until_us);
/* So long as what must not happen would take. */
void trial_quiet(trial *t);

/* Turns until it is so, or fails the check. */
#define TRIAL_UNTIL(t, condition, ...)                                                                                 \
  do {                                                                                                                 \
    int64_t trial_until_us = trial_now_us(t) + (t)->patience_us;                                                       \
    while (!(condition))                                                                                               \
      TRY((t), trial_turn((t), trial_until_us), __VA_ARGS__);                                                          \
  } while (0)

/* What a callback says. Only the first is kept. */
void trial_note(trial *t, const char *format, ...) CAFE_PRINTF(2, 3);
/* A callback begins: notes if it comes inside a method. */
void trial_called(trial *t, const char *callback);

/* ---- transport_trial_server.c ---- */

extern const cafe_server_ops trial_server_ops;
/* The log of an end gets `count` more events, of types "Filled" and, each third, "Spilled", keys from 1. */
void trial_append(trial *t, uint32_t end, uint32_t shard, uint32_t count);
/* One more, as given but for shard and n. BORROW until the check ends. */
void trial_append_event(trial *t, uint32_t end, uint32_t shard, const cafe_stored_event *event);
uint64_t trial_head(const trial_end *end, uint32_t shard);
/* The parked pulls that can be answered are; held requests whose time has come, too. */
void trial_serve_due(trial_end *end);
/* Answers a held one. */
void trial_answer_held(trial_end *end, trial_ask *ask);
bool trial_is_held(const trial_end *end, const trial_ask *ask);
uint32_t trial_count_held(const trial_end *end);
uint32_t trial_count_parked(const trial_end *end);

/* ---- transport_trial_ask.c ---- */

/* A request from an end, not sent: echo, with time enough. The body is some bytes and an id, by which the server knows
 * it. */
trial_ask *trial_ask_new(trial *t, uint32_t from, const char *service, size_t body_size);
void trial_send(trial_ask *ask);
int trial_try_send(trial_ask *ask);
void trial_cancel(trial_ask *ask);
/* The ask that a body is of; NULL. */
trial_ask *trial_ask_of(trial *t, cafe_slice body);
/* It ended as it may where something was lost: an answer, or TIMEOUT, or UNAVAILABLE if the server wasn't asked. */
void trial_expect_any_end(trial_ask *ask);
/* Sends, as often as needed, until there is an answer. */
void trial_ask_until_answered(trial *t, uint32_t from, const char *service);

/* ---- transport_trial_reader.c ---- */

extern const char *const trial_types[];        /* both */
extern const char *const trial_spilled_only[]; /* one */
extern const char *const trial_no_types[];

/* A subscriber, not subscribed: all events of shard 0, from the start. */
trial_reader *trial_reader_new(trial *t, uint32_t at, const char *service);
void trial_subscribe(trial_reader *reader);
int trial_try_subscribe(trial_reader *reader);
void trial_unsubscribe(trial_reader *reader);
/* Takes the batch over and asks for the next one. */
void trial_more(trial_reader *reader);
/* Those that have a batch, and aren't slow, do. */
void trial_read_on(trial *t);
/* Until it has everything that there is in the log. */
void trial_read_all(trial_reader *reader);
bool trial_is_wanted(const cafe_link *link, const cafe_stored_event *event);

#endif
