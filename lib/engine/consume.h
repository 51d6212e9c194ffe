/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_CONSUME_H
#define ENGINE_CONSUME_H

#include "engine/publish.h"

typedef enum consumer_kind {
  CONSUME_POLICY = CAFE_LETTER_POLICY,
  CONSUME_SAGA = CAFE_LETTER_SAGA,
  CONSUME_VIEW = CAFE_LETTER_VIEW
} consumer_kind;

/* What becomes of a record (letter.c). */
typedef enum letter_fate {
  FATE_TAKE = 0,
  FATE_PARK = 1, /* it failed often enough */
  FATE_WAIT = 2  /* an earlier one of its key is parked */
} letter_fate;

/* An event of the batch in hand. */
typedef struct batch_event {
  struct batch_event *next; /* of its queue */
  cafe_event event;         /* data NULL: it can't be read, and failure says why */
  const event_type *type;
  cafe_slice data; /* as it came */
  const cafe_err *failure;
  letter_fate fate;
} batch_event;

/* In the arena, what a log has at that position. *out NULL: it isn't one of this node's types. CAFE_NOMEM. */
int record_make(batch_event **out, const cafe_node *node, const cafe_stored_event *stored, cafe_position position,
                cafe_arena *arena);
/* Reads record->data, which stays where it is, into data, as wide as the type, or keeps why it can't be. CAFE_NOMEM. */
int record_read(batch_event *record, void *data, cafe_arena *arena);

/* What policies and sagas have in hand (effect.c), in the arena of the batch. */
typedef struct effect_line {
  batch_event *unseen;    /* the first of those that nothing was made of yet */
  struct effect *effects; /* those whose turn is still to come, in the order of their events */
  uint32_t count;         /* of them */
  struct effect *others;  /* the first of them that may have other keys than the last to ask; NULL: none */
  struct act *undecided;  /* the one that waits for its key; NULL: none */
  struct effect *failed;  /* when its turn comes … */
  cafe_err failure;       /* … by this; nothing behind it is looked at */
  bool is_at_fault;       /* its record is */
  bool is_open;           /* it counts in under_way */
} effect_line;

/* One subscription: a policy's, a saga's or a view's, to one shard of one service's log. Or the replayer (replay.c),
 * which is in no list and reads no log: its batch is a letter. */
struct consumer {
  struct consumer *next;
  cafe_node *node;
  consumer_kind kind;
  uint32_t index;   /* of the policy, saga or view */
  const char *name; /* the subscription's, kept for ever: "order_infos<pay", "order_infos<." of the node's own log */
  const char *source;
  bool is_local;
  uint32_t shard;
  uint64_t log_id;    /* of the source; 0: not known yet */
  const char **types; /* ended by NULL */

  /* Where it is. A partition's events up to max(applied[p], watermark) have had their effect. */
  uint64_t applied[CAFE_PARTITIONS];
  uint64_t stored[CAFE_PARTITIONS]; /* the rows in `checkpoints`; 0: none */
  uint64_t moved[CAFE_PARTITIONS];  /* … and once all that is in flight is written */
  uint64_t watermark, stored_watermark;
  uint64_t after;      /* read up to here */
  uint64_t head;       /* of the source, as far as is known */
  bool is_ready;       /* the checkpoints were read */
  bool is_refused;     /* the source refused the position for good … */
  cafe_err refusal;    /* … and said so */
  uint64_t pointer;    /* the row that says which log the checkpoints are of; 0: none, they are of the only one */
  int64_t retry_at_us; /* after a failure; 0: none */

  cafe_link link; /* remote */
  bool is_linked;
  bool is_reading; /* local */

  cafe_arena *arena;                    /* of the batch in hand */
  batch_event *queues[CAFE_PARTITIONS]; /* a view's by partition; others have all in the first, in their order */
  effect_line line;
  uint64_t scanned;
  uint32_t under_way; /* acts, units or jobs of the batch */
  bool has_failed;
  bool has_batch;
  bool is_in_order;              /* its units rest on those before them: a policy's or saga's subscription */
  bool has_lost;                 /* one of these was not written: none behind it is */
  uint64_t held_batch;           /* the last batch that one was left out of */
  bool is_marking;               /* the watermark is being written */
  bool is_moving;                /* the checkpoints are being moved to a restored log */
  int64_t mark_at_us;            /* not before */
  bool is_behind;                /* it doesn't hold all that is known of its log */
  int64_t complete_ms;           /* UTC: then it holds all of it up to here. For metrics */
  int64_t batch_ms;              /* of the last event in hand */
  bool has_warned;               /* of a failure that isn't a record's; until a batch is done */
  struct trial *trials;          /* of records that failed; at most one a partition */
  bool is_parking;               /* the batch has a record that isn't taken */
  const cafe_row_write *letter;  /* the replayer: the row that goes with the effect, in the checkpoint's place */
  struct projection *projection; /* views: shared by the subscriptions of one view */
  struct consumer *next_waiting; /* for its turn there */
};

/* ---- consume.c: one subscription ---- */

enum { CONSUME_AGAIN_US = 500000 }; /* after a failure */

/* A record of that key is in that one of the batch's queues. */
uint32_t consumer_queue(const struct consumer *consumer, uint64_t key);
/* A step of the batch in hand is over. */
void consumer_end(struct consumer *consumer);
void consumer_failed(struct consumer *consumer, int code, const cafe_err *err);
/* The same by what a record asks for; NULL: it isn't known, or not its fault. */
void consumer_failed_by(struct consumer *consumer, const batch_event *record, int code, const cafe_err *err);
/* The partition's records up to n are done, durably. */
void consumer_done(struct consumer *consumer, uint32_t partition, uint64_t n);
/* The last position of its log that is known. */
uint64_t consumer_head(const struct consumer *consumer);
/* Up to there its log is known, or had its effect. */
uint64_t consumer_known(const struct consumer *consumer);
/* Its log is at least so long. */
void consumer_see_head(struct consumer *consumer, uint64_t head);
/* ---- consume_place.c: where it stands ---- */

/* The partition's events up to there are done. */
uint64_t consumer_place(const struct consumer *consumer, uint32_t partition);
/* The move of the partition's checkpoint to n, from where the move before it leaves it. */
void consumer_move(cafe_checkpoint *out, struct consumer *consumer, uint32_t partition, uint64_t n);
/* Reads it from the store, or will try again. */
void place_read(struct consumer *consumer);
/* Stores the watermark, if it has gone far. */
void place_mark(struct consumer *consumer);
/* To a log whose first `after` events are those that were read under its old id. */
void place_move(struct consumer *consumer, uint64_t log_id);

/* ---- consume.c: all subscriptions of a view, or of the node ---- */

/* Why the view can't go on with that log, or with one that it doesn't know; NULL: it can. */
const cafe_err *consume_refusal(const cafe_node *node, uint32_t view, const cafe_position *position);
uint64_t consume_refused(const cafe_node *node); /* subscriptions */

/* Monotonic; INT64_MAX: nothing is due. */
int64_t consume_next_us(const cafe_node *node);

/* A view whose subscriptions are held: whether what was in hand is over, and they know where they stand. */
bool consume_is_quiet(const cafe_node *node, uint32_t view);
/* They go on; is_replaced: from other places, in other rows. */
void consume_release(cafe_node *node, uint32_t view, bool is_replaced);

/* ---- effect.c: a policy's or saga's batch ---- */

void effect_begin(struct consumer *consumer);
/* Something that its effects wait for may have come. */
void effect_go_on(struct consumer *consumer);
/* The act that waited for its key is a unit now. */
void effect_decided(struct consumer *consumer);

/* ---- project.c: a view's batch ---- */

void project_begin(struct consumer *consumer);
/* It is over: another subscription of the view has its turn. */
void project_end(struct consumer *consumer);
void project_destroy(struct consumer *consumer);
/* Its rows aren't what is stored any more. */
void project_forget(struct consumer *consumer);

#endif
