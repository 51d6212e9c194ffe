/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_LETTERS_H
#define CAFE_LETTERS_H

#include "cafe/op.h"

CAFE_BEGIN_DECLS

/*
 * Dead letters. A record of a log that a subscription's policy, saga or view fails on, again and again, for a reason of
 * its own, is parked: it becomes a row of the table `cafe_dead_letters`, in the unit that moves the checkpoint past it,
 * and the records behind it go on. Tried are max_record_attempts (node.h) times; what may work later by itself is tried
 * without end: a store that can't be used, refused memory, and whatever else a callback says by a code that is
 * retryable (err.h).
 *
 * Later records of the same key wait behind it: they are parked too, in their order, and done in that order, as soon as
 * what they wait for is replayed or dropped. So the order by key is kept, and a view's row is the fold of its events up
 * to the first that is parked. A policy that says CAFE_POLICY_SKIPS takes them as they come.
 *
 * A view that is made anew (cafe_node_rebuild, or for its new version) takes up all of this: its new rows are the fold
 * of what the logs have, so its letters go, and what fails now is parked, by the unit that replaces the rows. What was
 * replayed with other data, or dropped, is in no log: if it fails again it is a letter again.
 *
 * It is for people to look at: cafe_node_list and cafe_node_find read cafe_dead_letters_view, any SQL client the table.
 * Then replay it, as it is or with other data, or drop it. An event that fails a policy, a saga or a view in the unit
 * of its own command is no dead letter: the command fails, and there is no event.
 */
typedef enum cafe_letter_state {
  CAFE_LETTER_PARKED = 1, /* it failed */
  CAFE_LETTER_WAITING = 2 /* it wasn't tried: it stands behind a parked one of its key */
} cafe_letter_state;

typedef enum cafe_letter_reader {
  CAFE_LETTER_POLICY = 1,
  CAFE_LETTER_SAGA = 2,
  CAFE_LETTER_VIEW = 3
} cafe_letter_reader;

/* A row of `cafe_dead_letters`, under the record's key (the column record_key) and the letter's number (letter), which
 * rises in the order of parking. */
typedef struct cafe_dead_letter {
  cafe_letter_state state;
  cafe_letter_reader reader;
  cafe_slice name;         /* of the policy, saga or view */
  cafe_slice subscription; /* as `checkpoints` has it */
  cafe_slice source;       /* the service whose event it is */
  int64_t log_id;          /* its position: log, shard, n */
  int64_t shard;
  int64_t n;
  cafe_slice aggregate; /* its stream is (aggregate, record_key) */
  cafe_slice event;     /* its type's name */
  int64_t version;
  int64_t time_ms; /* of the event */
  cafe_slice trace;
  cafe_slice data;  /* msgpack, as in the log */
  int64_t attempts; /* that failed; 0: it waits */
  cafe_slice code;  /* what the last one failed with, as cafe_code_name says it, and why */
  cafe_slice error;
  int64_t parked_ms; /* when it was parked, or the last one failed */
} cafe_dead_letter;

CAFE_EXPORT extern const cafe_schema cafe_dead_letter_type;

/* Every node has it; it can't be hosted. What is read stands at no position. */
CAFE_EXPORT extern const cafe_view cafe_dead_letters_view;

typedef struct cafe_replay {
  size_t size;
  uint64_t key; /* REQUIRED: record_key and letter of a row that is CAFE_LETTER_PARKED */
  uint64_t letter;
  const cafe_schema *event; /* NULL: as it is. Else the letter's event type, with … */
  const void *data;         /* … the struct that it describes instead of the record's. COPY, texts too */
  size_t data_size;         /* sizeof that struct (schema.h) */
} cafe_replay;

#define CAFE_REPLAY_INIT                                                                                               \
  { sizeof(cafe_replay), 0, 0, NULL, NULL, 0 }

/* Hands a parked record to its policy, saga or view once more, as a subscription does, with other data where `event` is
 * set; the log stays as it is, and only this one reader hears of the edit. The effect and the letter's end are one
 * unit. If it fails by itself it stays parked, with the record's own data, one attempt more and the new error; by
 * anything else (the store, memory) it stays as it was. What waits behind it then goes on by itself. replay BORROW:
 * until the call returns. done may be NULL; it gets what the record failed with, and: CAFE_NOT_FOUND: there is no such
 * letter (any more: a rebuild of its view gives it another number); CAFE_INVALID: it is waiting, or of another event
 * type, or its policy, saga or view isn't hosted here (it may be dropped); CAFE_CONFLICT: other writers were first,
 * again and again; CAFE_UNAVAILABLE: its view waits to be rebuilt for its new version, which takes it up;
 * CAFE_CANCELED (cafe_op_cancel, or the node was closed; it may have happened); the store's. Returns CAFE_INVALID (not
 * started, no key or letter, an event type that is not known here, data outside its type), CAFE_UNSUPPORTED (replay or
 * data hold what only a newer library knows), CAFE_OVERLOADED (max_queued), CAFE_UNAVAILABLE (draining or closed),
 * CAFE_NOMEM. Loop thread. Since 0.1. */
CAFE_EXPORT int cafe_node_replay_letter(cafe_op **op, cafe_node *node, const cafe_replay *replay, cafe_done_cb done,
                                        void *user, cafe_err *err);

/* Gives a record up, parked or waiting: its effect will never be, and what waits behind it goes on. reason (REQUIRED,
 * COPY) is written to the node's log, with all that names the record. done may be NULL; it gets CAFE_NOT_FOUND,
 * CAFE_CANCELED and the store's, as above. Returns as above. Loop thread. Since 0.1. */
CAFE_EXPORT int cafe_node_drop_letter(cafe_op **op, cafe_node *node, uint64_t key, uint64_t letter, const char *reason,
                                      cafe_done_cb done, void *user, cafe_err *err);

CAFE_END_DECLS

#endif
