/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTING_GIVEN_CORE_H
#define TESTING_GIVEN_CORE_H

#include "cafe/testing/given.h"
#include "saga/coordinator.h"
#include "schema/collect.h"

/* What the parts of given.h share. */

/* Something that was said, or was wanted. */
typedef struct given_item {
  struct given_item *next;
  cafe_fact fact; /* its size is its schema's width */
} given_item;

typedef struct given_list {
  given_item *first, *last;
} given_list;

typedef struct given_stream {
  struct given_stream *next;
  const char *aggregate;
  uint64_t key;
  uint64_t version;
} given_stream;

/* As it happened: data and all are the history's own. */
typedef struct given_event {
  struct given_event *next;
  cafe_event event;
} given_event;

typedef struct given_row {
  struct given_row *next;
  uint64_t sub;
  bool is_shown;
  void *data;
} given_row;

/* What a fold makes: an aggregate's state, or a view's rows. */
typedef struct given_fold {
  void *state;
  given_row *rows;
} given_fold;

/* An action or compensation that isn't answered. */
typedef struct given_ask {
  struct given_ask *next;
  const cafe_schema *command;
  saga_ask_kind kind;
  uint32_t step;
  uint32_t attempt;
} given_ask;

struct cafe_given {
  cafe_allocator allocator;
  /* One of them. */
  const cafe_aggregate *aggregate;
  const cafe_view *view;
  const cafe_policy *policy;
  const cafe_saga *saga;
  saga_plan *plan;

  cafe_arena *words;   /* why it failed */
  cafe_arena *history; /* what happened, and what of it isn't answered */
  cafe_arena *folded;  /* what the fold keeps; the saga's instance */
  cafe_arena *answer;  /* what was said last */

  const char *why; /* NULL: nothing has failed */
  int64_t now_ms;
  uint64_t key;       /* of the stream that the next event is of */
  const char *stream; /* the same: its aggregate */
  uint64_t count;     /* of all events */
  given_stream *streams;
  given_event *first, *last;
  given_fold fold;

  given_list said;
  cafe_verdict verdict; /* 0: none was asked for */
  const char *reason;
  const char *text;
  const char *line; /* cafe_given_said */

  saga_instance *instance;
  given_ask *open;
  cafe_command *cause; /* its data is handed out once, and spoiled */
  void *cause_data;
};

/* ---- given_words.c ---- */

/* Lines of what is wrong. NULL text: nothing is. */
typedef struct given_words {
  cafe_arena *arena;
  const char *text;
  bool is_cut; /* there was no memory for all */
} given_words;

/* Adds a line. */
void words_add(given_words *words, const char *format, ...) CAFE_PRINTF(2, 3);
/* Adds a line for each field that differs, which begins with what `where` says. */
void words_compare(given_words *words, const char *where, const cafe_schema *schema, const void *wanted,
                   const void *got);
/* Adds a line for each place where the lists differ. `what` they are of: "event". own_key is that of a fact without. */
void words_compare_lists(given_words *words, const char *what, const given_list *wanted, const given_list *got,
                         uint64_t own_key);
bool words_same(const cafe_schema *schema, const void *a, const void *b);
const char *words_verdict(cafe_verdict verdict);

/* Keeps the first failure. Returns false. */
bool given_fail(cafe_given *it, const char *format, ...) CAFE_PRINTF(2, 3);
/* The same, by a headline and the lines under it, if there are any; else true. */
bool given_judge(cafe_given *it, const given_words *words, const char *format, ...) CAFE_PRINTF(3, 4);

/* ---- given.c ---- */

/* Puts a copy at the end. False, and told: no memory, or data that its schema doesn't fit. */
bool given_push(cafe_given *it, given_list *list, cafe_arena *arena, const cafe_fact *fact);
/* Copies facts (ended by one without type; NULL: none). */
bool given_take(cafe_given *it, given_list *out, const cafe_fact *facts, cafe_arena *arena);
/* What was collected becomes what was said. */
bool given_say(cafe_given *it, const collector *from);
/* Before each input: what was said last is forgotten. False: something has failed already. */
bool given_begin(cafe_given *it);
/* A copy that can be spoiled when the callback has returned, by given_spoil. NULL, and told: no memory. */
void *given_hand(cafe_given *it, const cafe_schema *schema, const void *data);
void given_spoil(const cafe_schema *schema, void *handed);
/* It happened: history, fold, reaction, saga. */
bool given_happen(cafe_given *it, const cafe_schema *type, const void *data, size_t size);
/* Whether a list that is ended by NULL holds it. */
bool given_lists(const cafe_schema *const *list, const cafe_schema *type);

/* ---- given_fold.c ---- */

/* Folds one event. What it keeps is in the arena. Returns a cafe_code. */
int fold_event(const cafe_given *it, given_fold *fold, const cafe_event *event, cafe_arena *arena, cafe_err *err);
/* Nothing has happened. Returns a cafe_code. */
int fold_begin(const cafe_given *it, given_fold *fold, cafe_arena *arena);
given_row *fold_row(const given_fold *fold, uint64_t sub);
/* Folds all that happened anew, and tells where that gives something else than the first time. */
bool fold_is_pure(cafe_given *it);

/* ---- given_saga.c ---- */

bool given_saga_hears(cafe_given *it, const cafe_event *event);
bool given_saga_comes_to(cafe_given *it, int64_t now_ms);
/* NULL: nothing has happened. */
const void *given_saga_memory(const cafe_given *it);

#endif
