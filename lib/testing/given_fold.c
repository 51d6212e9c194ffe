/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is made of events: an aggregate's state, or a view's rows. All that happened is kept, so that it can be folded
 * anew: to see that it comes out the same, and with memory that ends at every place where the callback takes some.
 */
#include <inttypes.h>

#include "base/arena.h"
#include "testing/given_core.h"

int fold_begin(const cafe_given *it, given_fold *fold, cafe_arena *arena) {
  *fold = (given_fold){NULL, NULL};
  if (!it->aggregate) {
    return CAFE_OK;
  }
  fold->state = cafe_arena_alloc(arena, it->aggregate->state->width);
  return fold->state ? CAFE_OK : CAFE_NOMEM;
}

given_row *fold_row(const given_fold *fold, uint64_t sub) {
  given_row *row = fold->rows;
  while (row && row->sub != sub) {
    row = row->next;
  }
  return row;
}

static int evolve(const cafe_given *it, void *state, const cafe_event *event, cafe_arena *arena, cafe_err *err) {
  const cafe_aggregate *type = it->aggregate;
  int code = type->evolve(state, event, arena, type->user);
  return code ? callback_failed(err, code, NULL, "the aggregate %s can't evolve by %s", type->name, event->type->name)
              : CAFE_OK;
}

static int put_row(given_row *row, cafe_fold said) {
  switch (said) {
  case CAFE_FOLD_PUT:
    row->is_shown = true;
    return CAFE_OK;
  case CAFE_FOLD_HIDE:
    row->is_shown = false;
    return CAFE_OK;
  case CAFE_FOLD_SKIP:
    return CAFE_OK;
  }
  return CAFE_INVALID;
}

/* The row that the event folds into: *out is NULL for none. */
static int row_of(given_row **out, const cafe_view *type, given_fold *fold, const cafe_event *event, cafe_arena *arena,
                  cafe_err *err) {
  uint64_t sub = 0;
  int code = type->sub ? type->sub(&sub, event, type->user) : CAFE_OK;
  *out = NULL;
  if (code) {
    return callback_failed(err, code, NULL, "the view %s can't tell the row of %s", type->name, event->type->name);
  }
  if (type->sub && sub == 0) {
    return CAFE_OK;
  }
  *out = fold_row(fold, sub);
  if (*out) {
    return CAFE_OK;
  }
  given_row *row = cafe_arena_alloc(arena, sizeof(*row));
  void *data = cafe_arena_alloc(arena, type->row->width);
  if (!row || !data) {
    return cafe_fail(err, CAFE_NOMEM, "no memory for a row of the view %s", type->name);
  }
  *row = (given_row){fold->rows, sub, false, data};
  fold->rows = row;
  *out = row;
  return CAFE_OK;
}

/* rows are taken from `rows`, what the fold keeps from `arena`. */
static int fold_into(const cafe_view *type, given_fold *fold, const cafe_event *event, cafe_arena *rows,
                     cafe_arena *arena, cafe_err *err) {
  given_row *row;
  cafe_fold said = CAFE_FOLD_PUT;
  int code = row_of(&row, type, fold, event, rows, err);
  if (code || !row) {
    return code;
  }
  code = type->fold(&said, row->data, event, arena, type->user);
  if (code) {
    return callback_failed(err, code, NULL, "the view %s can't fold %s", type->name, event->type->name);
  }
  /* Where the interleaving decides, a row that isn't inline shows by its column alone. */
  if (said == CAFE_FOLD_HIDE && !type->is_inline) {
    said = CAFE_FOLD_PUT;
  }
  return put_row(row, said) ? cafe_fail(err, CAFE_INVALID, "the view %s, for %s: what it said is no cafe_fold",
                                        type->name, event->type->name)
                            : CAFE_OK;
}

int fold_event(const cafe_given *it, given_fold *fold, const cafe_event *event, cafe_arena *arena, cafe_err *err) {
  return it->aggregate ? evolve(it, fold->state, event, arena, err)
                       : fold_into(it->view, fold, event, arena, arena, err);
}

/* All that happened before `until` (NULL: all). */
static int fold_until(const cafe_given *it, given_fold *fold, const given_event *until, cafe_arena *arena,
                      cafe_err *err) {
  int code = fold_begin(it, fold, arena);
  if (code) {
    return cafe_fail(err, CAFE_NOMEM, "no memory to fold anew");
  }
  for (const given_event *at = it->first; !code && at != until; at = at->next) {
    code = fold_event(it, fold, &at->event, arena, err);
  }
  return code;
}

/* ---- the same again ---- */

static void compare_rows(given_words *words, const cafe_view *type, const given_fold *first, const given_fold *again) {
  for (const given_row *row = first->rows; row; row = row->next) {
    const given_row *other = fold_row(again, row->sub);
    if (!other || other->is_shown != row->is_shown) {
      words_add(words, "  row %" PRIu64 ": once shown and once not", row->sub);
      continue;
    }
    words_compare(words, "  ", type->row, row->data, other->data);
  }
}

bool fold_is_pure(cafe_given *it) {
  if (!it->aggregate && !it->view) {
    return true;
  }
  cafe_err err;
  given_fold again;
  given_words words = {it->words, NULL, false};
  cafe_arena *arena = cafe_arena_create(&it->allocator);
  if (!arena || fold_until(it, &again, NULL, arena, &err)) {
    bool is_well = given_fail(it, "%s", arena ? err.text : "no memory to fold anew");
    cafe_arena_destroy(arena);
    return is_well;
  }
  if (it->aggregate) {
    words_compare(&words, "  ", it->aggregate->state, it->fold.state, again.state);
  } else {
    compare_rows(&words, it->view, &it->fold, &again);
  }
  bool is_well = given_judge(it, &words, "the same events, folded anew, make something else: it must be pure");
  cafe_arena_destroy(arena);
  return is_well;
}

/* ---- without memory ---- */

enum { ALIGNMENT = 16, BLOCK = 64 * 1024 };

/* Refuses everything from when it is told to. */
typedef struct refusing {
  cafe_allocator allocator;
  cafe_allocator below;
  bool is_refusing;
  bool has_refused;
} refusing;

static void *resize(void *block, size_t size, void *user) {
  refusing *memory = user;
  if (size && memory->is_refusing) {
    memory->has_refused = true;
    return NULL;
  }
  return memory->below.resize(block, size, memory->below.user);
}

/* An arena with `room` bytes left, and no way to more. NULL: not even that. */
static cafe_arena *create_full(refusing *memory, size_t room) {
  memory->is_refusing = false;
  cafe_arena *arena = arena_create(&memory->allocator, BLOCK);
  memory->is_refusing = true;
  if (!arena) {
    return NULL;
  }
  /* The largest piece there is, less the room: found by halving. */
  size_t left = 0;
  for (size_t step = BLOCK; step >= ALIGNMENT; step /= 2) {
    void *piece = cafe_arena_alloc(arena, left + step);
    if (piece) {
      left += step;
      cafe_arena_reset(arena);
    }
  }
  if (room < left) {
    (void)cafe_arena_alloc(arena, left - room);
  }
  memory->has_refused = false;
  return arena;
}

/* One event with that much room. *is_enough: nothing more was asked for. */
static bool starve_once(cafe_given *it, const given_event *at, size_t room, bool *is_enough) {
  refusing memory = {{resize, NULL}, it->allocator, false, false};
  memory.allocator.user = &memory;
  cafe_err err;
  given_fold fold;
  cafe_arena *before = cafe_arena_create(&it->allocator);
  cafe_arena *arena = create_full(&memory, room);
  int code = before && arena ? fold_until(it, &fold, at, before, &err) : CAFE_NOMEM;
  if (code) {
    given_fail(it, "no memory to let it run out of memory");
  } else {
    code = it->aggregate ? evolve(it, fold.state, &at->event, arena, &err)
                         : fold_into(it->view, &fold, &at->event, before, arena, &err);
    *is_enough = !memory.has_refused;
    if (code == CAFE_OK && memory.has_refused) {
      given_fail(it, "without memory, after %zu bytes, %s goes on as if it had it: return CAFE_NOMEM", room,
                 at->event.type->name);
    } else if (code != CAFE_OK && code != CAFE_NOMEM) {
      given_fail(it, "without memory, after %zu bytes, %s must fail by CAFE_NOMEM: %s", room, at->event.type->name,
                 err.text);
    } else if (code && !memory.has_refused) {
      given_fail(it, "%s fails by CAFE_NOMEM, though nothing was refused: %s", at->event.type->name, err.text);
    }
  }
  memory.is_refusing = false;
  cafe_arena_destroy(arena);
  cafe_arena_destroy(before);
  return it->why == NULL;
}

bool cafe_given_starve(cafe_given *it) {
  if (it->why) {
    return false;
  }
  if (!it->aggregate && !it->view) {
    return given_fail(it, "only an aggregate and a view take memory that can run out");
  }
  for (const given_event *at = it->first; at; at = at->next) {
    bool is_enough = false;
    /* A step that grows with the room: the first pieces, where structs lie, are met one by one. */
    for (size_t room = 0; !is_enough && room < BLOCK; room += ALIGNMENT * (1 + room / 1024)) {
      if (!starve_once(it, at, room, &is_enough)) {
        return false;
      }
    }
  }
  return true;
}
