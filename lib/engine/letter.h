/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_LETTER_H
#define ENGINE_LETTER_H

#include "engine/consume.h"

/*
 * Dead letters. letter.c parks records, and knows which keys have any; replay.c hands them out again.
 */

/* ---- letter.c ---- */

typedef enum replay_kind {
  REPLAY_NEXT = 1, /* the first letter of a key, if it only waits */
  REPLAY_GIVEN = 2,
  REPLAY_DROP = 3
} replay_kind;

/* Something to be done with one letter, one after the other. */
typedef struct replay {
  struct replay *prev, *next; /* in letters->queue */
  replay_kind kind;
  bool is_queued;
  uint32_t waits_for;   /* the view that stands still, + 1; NEXT: its key says so */
  uint64_t key, letter; /* NEXT: the one that was tried last */
  uint64_t tries;
  int64_t not_before_us;

  /* GIVEN, DROP */
  cafe_op *op;       /* NULL: answered already */
  cafe_arena *arena; /* it lies in it */
  cafe_done_cb done;
  const cafe_schema *type; /* of the edited data; NULL: as it is */
  cafe_slice data;
  const char *reason;
} replay;

/* A key that has letters for one policy, saga or view. Once made it stays while the node does, so that what follows a
 * commit needs no memory. */
typedef struct parked_key {
  consumer_kind kind;
  uint32_t index;
  uint64_t count;  /* of its letters, committed ones */
  bool is_blocked; /* the first of them is parked, not waiting */
  replay next;     /* REPLAY_NEXT */
} parked_key;

struct letters {
  map *keys;     /* parked_key, by definition and key */
  uint64_t open; /* of those that have letters */
  uint64_t last; /* number given */

  /* replay.c: one at a time. */
  replay *queue;
  replay *current; /* NULL: none */
  struct consumer replayer;
  storage_job read;
  cafe_condition conditions[3];
  cafe_row_query query;
  bool is_found;
  uint32_t held_view; /* whose letter is in hand, + 1; 0: no view's */
  uint64_t letter, version;
  cafe_dead_letter row;
  cafe_row_write removal;
  cafe_err failure;
  bool is_at_fault; /* failure is by the letter itself */
};

/* Reads which keys have letters, and how many there are. Blocks. */
int letter_start(cafe_node *node, cafe_err *err);
void letter_destroy(cafe_node *node);

/* Whether what fails by this code does so by itself, and will again. */
bool letter_is_deserved(int code);
/* A record failed by itself. False: that was the last time, park it. */
bool letter_try(struct consumer *consumer, const batch_event *record, const cafe_err *err);
/* It has failed before. */
bool letter_is_tried(const struct consumer *consumer, const batch_event *record);
void letter_forget_trials(struct consumer *consumer);
letter_fate letter_fate_of(struct consumer *consumer, const batch_event *record);
/* The row of a record that is parked or waits, for the unit that moves the checkpoint past it. CAFE_NOMEM;
 * CAFE_OVERLOADED: too many keys are parked. */
int letter_write(cafe_row_write *out, struct consumer *consumer, const batch_event *record, cafe_arena *arena,
                 cafe_err *err);
/* The unit is committed, and the letters that it wrote for this reader are there. */
void letter_written(cafe_node *node, consumer_kind kind, uint32_t index, const cafe_unit *unit);
/* It has removed all letters of the view, so many, and the ones that it wrote are there instead. */
void letter_replaced(cafe_node *node, uint32_t view, uint32_t removed, const cafe_unit *unit);
/* The same as a unit of its own, for policies and sagas. */
int letter_park(bool *begun, struct consumer *consumer, const batch_event *record, cafe_err *err);
/* A letter of that key is gone: it had its effect, or was given up. */
void letter_gone(cafe_node *node, consumer_kind kind, uint32_t index, uint64_t key);
/* -1: none of that name is hosted. */
int letter_reader(const cafe_node *node, consumer_kind kind, cafe_slice name);
const char *letter_reader_name(const cafe_node *node, consumer_kind kind, uint32_t index);
parked_key *letter_key(const cafe_node *node, consumer_kind kind, uint32_t index, uint64_t key); /* NULL: none */
/* A unit that writes this row and nothing else. CAFE_NOMEM. */
int letter_push(struct consumer *consumer, const cafe_row_write *row,
                void (*finished)(struct unit *unit, int code, const cafe_err *err), cafe_err *err);

/* ---- replay.c ---- */

/* Looks at the first letter of a key, if it isn't known to be parked. */
void replay_next(cafe_node *node, parked_key *key);
void replay_turn(cafe_node *node, int64_t now_us);
int64_t replay_next_us(const cafe_node *node);
void replay_destroy(cafe_node *node);
/* From the replayer's batch. */
void replay_failed(struct consumer *replayer, bool is_at_fault, const cafe_err *err);
void replay_ended(struct consumer *replayer);
/* None of the view's letters is in hand, and while it stands still none will be. */
bool replay_is_quiet(const cafe_node *node, uint32_t view);
/* The letter's policy asks for nothing: it goes, and that is all. */
int replay_without_effect(bool *begun, struct consumer *replayer, cafe_err *err);

#endif
