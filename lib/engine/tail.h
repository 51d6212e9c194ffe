/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_TAIL_H
#define ENGINE_TAIL_H

#include "engine/consume.h"

/*
 * Events of other nodes' logs, for who follows a view that is made from them: a link from a place on, for all that
 * stand there.
 */
typedef struct tail {
  struct tail *prev, *next; /* in node->tails */
  cafe_node *node;
  const struct consumer *peer; /* the view's subscription to that log */
  uint64_t log_id;
  cafe_link link;
  bool is_linked;
  bool is_asked;  /* a batch is to come … */
  bool is_lost;   /* … but the peer is out of reach */
  bool is_wanted; /* somebody stands at its end, and the view holds more */
  bool is_needed; /* somebody stands in it */
  int64_t end_us; /* then it ends, if it isn't needed */
  cafe_err err;   /* why it is over; code CAFE_OK: it isn't */

  uint64_t from, scanned; /* what is in hand: all events that were asked for behind the one, up to the other */
  batch_event *records;
  cafe_arena *arena;
  uint32_t readers; /* reads that have some of it */
} tail;

/* CAFE_INVALID: what to tell who stands in a log that isn't there any more. */
int tail_other_log(cafe_err *err, const cafe_position *at);
/* Up to where the events behind `after` are in hand, at most to `until`, which the view holds: `after` where none are.
 * They are asked for then; *is_coming: soon. CAFE_INVALID: the log was restored; CAFE_NOMEM, and what the transport
 * says. */
int tail_reach(uint64_t *reach, bool *is_coming, cafe_node *node, const struct consumer *peer,
               const cafe_position *after, uint64_t until, cafe_err *err);
/* The one that has those behind `after`; it stays as it is until it is given back. NULL: none. */
tail *tail_take(cafe_node *node, const struct consumer *peer, const cafe_position *after);
void tail_give_back(tail *self);
/* All that stand somewhere have been looked at: those who are wanted ask on, those who aren't needed end. */
void tail_turn(cafe_node *node, int64_t now_us);
int64_t tail_next_us(const cafe_node *node); /* monotonic; INT64_MAX: nothing is due */
void tail_close(cafe_node *node);
void tail_destroy(cafe_node *node);

#endif
