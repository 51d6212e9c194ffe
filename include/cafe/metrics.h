/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_METRICS_H
#define CAFE_METRICS_H

#include "cafe/node.h"
#include "cafe/op.h"
#include "cafe/view.h"

CAFE_BEGIN_DECLS

/*
 * What an operator watches. Names and parts are those of Prometheus, so that writing them down in its text format is a
 * line for each sample; whoever has another system maps them.
 */
typedef enum cafe_sample_kind {
  CAFE_SAMPLE_COUNTER = 1,  /* since the node was made; never falls */
  CAFE_SAMPLE_GAUGE = 2,    /* now */
  CAFE_SAMPLE_HISTOGRAM = 3 /* several samples: see suffix */
} cafe_sample_kind;

/* One number. BORROW: it and all that it points to, until the visitor returns. Made by the library; fields may be added
 * at the end. */
typedef struct cafe_sample {
  size_t size;
  cafe_sample_kind kind;
  const char *name;   /* of its family: "cafe_commands_total" */
  const char *suffix; /* of a histogram: "_bucket" (how many up to the label `le`), then "_sum", "_count"; else "" */
  const char *help;   /* what the family is: one sentence */
  uint32_t label_count;
  const char *const *label_names;
  const char *const *label_values; /* UTF-8 */
  double value;
} cafe_sample;

/* Visits all that the node knows of itself; the samples of one family follow each other. Allocates nothing and waits
 * for nothing. Of its sagas (cafe_sagas, cafe_saga_age_seconds) a node knows what it saw when it last looked through
 * the store, since most of them rest there: this call has that done again, in later turns and a piece at a time behind
 * other reads, where the last look is 10 s old, or fifty times as long as it took. They are missing until the first one
 * has ended. visit mustn't call the node. Loop thread, also before start and after close. Since 0.1. */
CAFE_EXPORT void cafe_node_metrics(cafe_node *node, void (*visit)(const cafe_sample *sample, void *user), void *user);

/* How many rows of a view have which value. Made by the library; fields may be added at the end. */
typedef struct cafe_counts {
  size_t size;
  uint32_t count;            /* of values: all that the column's field lists, in its order */
  const char *const *values; /* "" for one without a name */
  const uint64_t *rows;
} cafe_counts;

/* err is NULL on success, otherwise counts is. BORROW both, until it returns. */
typedef void (*cafe_counts_cb)(const cafe_err *err, const cafe_counts *counts, void *user);

/* Counts the rows of a view that lists show by one of its ENUM columns. All of them are read, a piece at a time behind
 * other reads: each row is counted once, as it is when its piece is read, so a row that changes meanwhile is in one of
 * its two states; and the time is that of reading the whole view. done: err is NULL on success, otherwise counts is;
 * CAFE_CANCELED, and the store's failures. CAFE_INVALID (not started, no such view, no such column, or it is no ENUM),
 * CAFE_OVERLOADED (max_queued), CAFE_UNAVAILABLE (closing), CAFE_NOMEM. Loop thread. Since 0.1. */
CAFE_EXPORT int cafe_node_count(cafe_op **op, cafe_node *node, const cafe_view *view, const char *column,
                                cafe_counts_cb done, void *user, cafe_err *err);

CAFE_END_DECLS

#endif
